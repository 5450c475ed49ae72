import { describe, expect, it } from 'vitest'
import { decide, type Handed, type Policy, type RolePolicy } from '../../runner-image/supervisor/policy.ts'

const ID = 1296269
const ROLE: RolePolicy = { name: 'deploy', repositories: [ID], refs: [], events: [], protected: true }
const POLICY: Policy = { repositories: [ID], forks: false, role: ROLE }
const PUSH: Handed = {
  repositoryId: ID,
  event: 'push',
  ref: 'refs/heads/main',
  headRef: '',
  refProtected: true,
  runId: '4711',
  payload: { repository: { default_branch: 'main' } },
}
const head = (id: unknown) => ({ pull_request: { head: { repo: id === null ? null : { id } } } })

function verdict(
  handed: Partial<Handed> = {},
  role: Partial<RolePolicy> | null = {},
  policy: Partial<Policy> = {},
) {
  const all = { ...POLICY, role: role && { ...ROLE, ...role }, ...policy }
  return decide({ ...PUSH, ...handed }, all, { forgets: true })
}

describe('a job may have the role', () => {
  it.each<[string, Partial<Handed>, Partial<RolePolicy>]>([
    ['by a push to the default branch', {}, {}],
    ['by hand on the default branch', { event: 'workflow_dispatch' }, {}],
    [
      'by a schedule, whose payload need not name the branch',
      { event: 'schedule', payload: { schedule: '0 0 * * *' } },
      {},
    ],
    ['on a branch that is named', { ref: 'refs/heads/wip' }, { refs: ['refs/heads/wip'] }],
    ['for a tag that is named', { ref: 'refs/tags/v1' }, { refs: ['refs/tags/v1'] }],
    [
      'by an event that is named',
      { event: 'release', ref: 'refs/tags/v1' },
      { events: ['release'], refs: ['refs/tags/v1'] },
    ],
    [
      'by a pull request from a named branch of its own',
      { event: 'pull_request', ref: 'refs/pull/7/merge', headRef: 'next', payload: head(ID) },
      { events: ['pull_request'], refs: ['refs/heads/next'] },
    ],
    ['on a branch that need not be protected', { refProtected: false }, { protected: false }],
  ])('%s', (_, handed, role) => {
    expect(verdict(handed, role)).toMatchObject({ kind: 'release', notice: false })
  })
})

describe('a job runs without the role', () => {
  it.each<[string, Partial<Handed>, Partial<RolePolicy>, string]>([
    ['in a repository that may not', {}, { repositories: [2] }, 'this repository may not use it'],
    [
      'on another branch',
      { ref: 'refs/heads/wip' },
      {},
      'it is for refs/heads/main, and this is refs/heads/wip',
    ],
    ['for a tag named like the branch', { ref: 'refs/tags/main' }, {}, 'this is refs/tags/main'],
    ['on a branch that is not protected', { refProtected: false }, {}, 'refs/heads/main is not protected'],
    ['by an event that nobody named', { event: 'issue_comment' }, {}, 'this is issue_comment'],
    ['by an event that the rule leaves out', {}, { events: ['schedule'] }, 'it is for schedule runs'],
    ['by a wildcard', {}, { refs: ['refs/heads/*'] }, 'this is refs/heads/main'],
    ['by a wildcard of events', { event: 'release' }, { events: ['*'] }, 'this is release'],
    ['when the default branch is not known', { payload: undefined }, {}, 'it is for the default branch'],
    ['when the payload is odd', { payload: { repository: ['default_branch'] } }, {}, 'the default branch'],
    [
      'by a pull request of its own that nobody named',
      { event: 'pull_request', ref: 'refs/pull/7/merge', headRef: 'main', payload: head(ID) },
      {},
      'this is pull_request',
    ],
  ])('%s', (_, handed, role, reason) => {
    expect(verdict(handed, role)).toMatchObject({
      kind: 'run',
      notice: true,
      reason: expect.stringContaining(reason),
    })
  })

  it('that nobody asked for, and is not told off for it', () => {
    expect(verdict({}, null)).toMatchObject({ kind: 'run', notice: false })
  })
})

describe('a job does not run', () => {
  it.each<[string, Partial<Handed>]>([
    ['of another repository', { repositoryId: 2 }],
    ['of no repository', { repositoryId: Number.NaN }],
    ['of a fork', { event: 'pull_request', payload: head(2) }],
    ['of a fork that targets', { event: 'pull_request_target', payload: head(2) }],
    ['of a fork that is reviewed', { event: 'pull_request_review', payload: head(2) }],
    ['of a fork that is gone', { event: 'pull_request', payload: head(null) }],
    ['of a fork that is not told', { event: 'pull_request', payload: undefined }],
    ['of a fork whose id is a text', { event: 'pull_request', payload: head(String(ID)) }],
    [
      'after a run of a fork',
      { event: 'workflow_run', payload: { workflow_run: { head_repository: { id: 2 } } } },
    ],
  ])('%s', (_, handed) => {
    expect(verdict(handed)).toMatchObject({ kind: 'kill' })
    expect(verdict(handed, null)).toMatchObject({ kind: 'kill' })
  })

  it('without its role where credentials cannot be forgotten', () => {
    const handed = { ...PUSH, ref: 'refs/heads/wip' }
    expect(decide(handed, POLICY, { forgets: false })).toMatchObject({ kind: 'kill' })
    expect(decide(handed, { ...POLICY, role: null }, { forgets: false })).toMatchObject({ kind: 'run' })
    expect(decide(PUSH, POLICY, { forgets: false })).toMatchObject({ kind: 'release' })
  })
})

describe('forks that may run', () => {
  const fork = { event: 'pull_request', ref: 'refs/pull/7/merge', headRef: 'main', payload: head(2) }
  const rules = { events: ['pull_request'], refs: ['refs/heads/main'], protected: false }

  it('never have a role', () => {
    expect(verdict(fork, rules, { forks: true })).toMatchObject({ kind: 'run' })
    expect(verdict(fork, null, { forks: true })).toMatchObject({ kind: 'run', notice: false })
  })

  it('do not run beside a role that cannot be forgotten', () => {
    const policy = { ...POLICY, forks: true, role: { ...ROLE, ...rules } }
    expect(decide({ ...PUSH, ...fork }, policy, { forgets: false })).toMatchObject({ kind: 'kill' })
  })
})
