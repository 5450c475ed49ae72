/**
 * Who gets a role: the filter before the launch by what GitHub says of the run, and the guard on the runner by what it
 * is handed. The runners of these worlds decide by the guard's own code; that no step runs before its verdict, those
 * with `if: always()` included, is shown with the image's own programs in runner-image/guard.test.ts.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { guardPolicy } from '../functions/core/guard.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import { runRefusal } from '../functions/core/policy.ts'
import type { DoubleJob } from '../local/github.ts'
import { assignedJob } from '../local/github-jobs.ts'
import { handed } from '../local/runner.ts'
import { decide } from '../runner-image/supervisor/policy.ts'
import * as facts from './support/facts.ts'
import {
  job,
  jobOf,
  jobs,
  leftovers,
  repository,
  runners,
  SECOND,
  type Stack,
  stack,
  startedFor,
  untilQuiet,
} from './support/world.ts'

const RULE = { repositories: ['acme/app'], refs: ['refs/heads/main'], events: [] as string[] }
const LABELS = ['tornade', 'role:deploy']
const FORK = 8001

/** Runs that may not have the role, by what GitHub says of them and what their runner is handed. */
const HOSTILE: readonly [string, Partial<DoubleJob>][] = [
  ['of a fork', { event: 'pull_request', headRepositoryId: FORK, headBranch: 'patch' }],
  [
    "of a fork's branch named like an allowed one",
    { event: 'pull_request', headRepositoryId: FORK, headBranch: 'main' },
  ],
  ['of a fork that is gone', { event: 'pull_request', headRepositoryId: null, headBranch: 'main' }],
  [
    "of pull_request_target for a fork's branch",
    { event: 'pull_request_target', headRepositoryId: FORK, headBranch: 'main' },
  ],
  ['of pull_request_target for a branch of its own', { event: 'pull_request_target', headBranch: 'main' }],
  ['of a pull request of its own', { event: 'pull_request', headBranch: 'main' }],
  ['of a tag named like the branch', { handed: { ref: 'refs/tags/main', refProtected: true } }],
  ['of another branch', { headBranch: 'feature', handed: { refProtected: true } }],
  ['of a branch that nobody protects', { handed: { refProtected: false } }],
  ['of a release', { event: 'release', headBranch: 'main', handed: { refProtected: true } }],
  ['of a comment', { event: 'issue_comment' }],
  ['that follows another run', { event: 'workflow_run' }],
  ["that follows a fork's run", { event: 'workflow_run', handed: { followsRepositoryId: FORK } }],
]
const isOfFork = ({ headRepositoryId, handed: told }: Partial<DoubleJob>) =>
  headRepositoryId !== undefined || told?.followsRepositoryId !== undefined

const world = (over: Parameters<typeof stack>[0] = {}) =>
  stack({ ...over, config: { roles: { deploy: RULE }, ...over.config } })

describe('a run that may use the role', () => {
  it.each<[string, Partial<DoubleJob>, Partial<typeof RULE> & { protected?: boolean }]>([
    ['by a push', {}, {}],
    ['by hand', { event: 'workflow_dispatch' }, {}],
    ['by a schedule', { event: 'schedule' }, { refs: [] }],
    [
      'on a branch that need not be protected',
      { headBranch: 'next' },
      { refs: ['refs/heads/next'], protected: false },
    ],
    [
      'by a release and a tag that are named',
      { event: 'release', headBranch: 'v1', handed: { refProtected: true } },
      { events: ['release'], refs: ['refs/tags/v1'] },
    ],
    ['by a comment, which is named', { event: 'issue_comment' }, { events: ['issue_comment'] }],
    [
      'by a run that follows another, which is named',
      { event: 'workflow_run' },
      { events: ['workflow_run'] },
    ],
    [
      'by pull_request_target from a branch of its own, which is named',
      { event: 'pull_request_target', headBranch: 'next' },
      { events: ['pull_request_target'] },
    ],
  ])('%s has it', async (_, told, rule) => {
    const s = await stack({ config: { roles: { deploy: { ...RULE, ...rule } } } })
    s.world.github.queue(job(1, { labels: LABELS, ...told }))
    await untilQuiet(s)
    expect(s.world.roleUses).toEqual([{ runner: 'tornade-1-1-1', jobKey: '1-1', role: 'deploy' }])
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('success')
    expect(await leftovers(s)).toEqual([])
  })

  it('has it on whatever runner of the role GitHub gives it', async () => {
    const s = await world()
    for (let id = 1; id <= 20; id++) s.world.github.queue(job(id, { labels: LABELS, runId: 1 }))
    await untilQuiet(s)
    const uses = s.world.roleUses
    expect(uses.map(({ jobKey }) => jobKey).sort()).toEqual(
      (await jobs(s.world)).map(({ key }) => key).sort(),
    )
    expect(uses.filter(({ runner, jobKey }) => !runner.includes(`-${jobKey}-`)).length).toBeGreaterThan(0)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a run that may not', () => {
  it.each(HOSTILE)('%s has no step with the role', async (_, told) => {
    const s = await world()
    s.world.github.queue(job(1, { labels: LABELS, ...told }))
    await untilQuiet(s)
    expect(s.world.roleUses).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it.each(
    HOSTILE.flatMap(([what, told]) =>
      (['fargate', 'codebuild'] as const).map(compute => [what, compute, told] as const),
    ),
  )('%s, on %s, has none on the runner of a run that may', async (_, compute, told) => {
    const s = await stolen([...LABELS, compute], told)
    expect(s.world.roleUses.map(({ jobKey }) => jobKey)).toEqual(['2-1'])
    const thief = s.world.github.job('1-1')!
    expect(thief.runnerName).toBe('tornade-2-1-1')
    // Where credentials cannot be forgotten, and for a fork anywhere, no step runs at all.
    expect(thief.conclusion).toBe(compute === 'codebuild' || isOfFork(told) ? 'failure' : 'success')
    expect(await startedFor(s.world, '2-1')).toEqual(['1 job', '2 replacement'])
    expect((await jobOf(s.world, '2-1')).completed?.conclusion).toBe('success')
    expect(await leftovers(s)).toEqual([])
  })

  it('ends at once when it is killed, and takes its runner with it', async () => {
    const s = await stolen(LABELS, { event: 'pull_request', headRepositoryId: FORK })
    const { startedAt, completedAt } = s.world.github.job('1-1')!
    expect(completedAt! - startedAt!).toBeLessThan(5 * SECOND)
    const { stop } = (await s.world.ledger.runners.get('tornade-2-1-1'))!
    expect(stop).toMatchObject({ code: 'EssentialContainerExited' })
  })

  it('on a runner of its own without a role, when it asks for none', async () => {
    const s = await world()
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(s.world.roleUses).toEqual([])
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
  })

  /** Job 1, of whose queueing tornade never hears, takes the runner that was started for job 2, which may use the role. */
  async function stolen(labels: readonly string[], told: Partial<DoubleJob>): Promise<Stack> {
    const s = await world({
      deliver: async (to, delivery) => {
        if (!/^\{"action":"queued","workflow_job":\{"id":1,/.test(delivery.body)) await to.accept(delivery)
      },
    })
    s.world.github.queue(job(1, { labels, ...told }))
    s.world.github.queue(job(2, { labels }))
    await untilQuiet(s)
    return s
  }
})

describe('a job of a fork', () => {
  const OPEN = { ...repository(7001, 'acme/app'), private: false }
  const fork = { event: 'pull_request', headRepositoryId: FORK, headBranch: 'main', repository: OPEN }

  it.each([
    ['of a public repository', {}],
    [
      'of a private repository that may be forked',
      { repository: { ...OPEN, private: true, allowForking: true } },
    ],
    ['whose fork is gone', { headRepositoryId: null }],
    ['by pull_request_target', { event: 'pull_request_target' }],
  ])('%s is refused, cancelled, and told what can be done', async (_, over) => {
    const s = await stack({ config: { labelMistakes: 'report' } })
    s.world.github.queue(job(1, { ...fork, ...over }))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      refused: { code: 'fork' },
      completed: { conclusion: 'cancelled' },
    })
    expect(s.world.github.checks).toMatchObject([{ summary: expect.stringContaining('`forks: allow`') }])
    expect(s.world.metrics.get('JobsRefused')).toBe(1)
    expect(await runners(s.world)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('of a private repository that cannot be forked is not looked for, and the guard stops it all the same', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { ...fork, repository: { ...OPEN, private: true } }))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({ refused: null, completed: { conclusion: 'failure' } })
    expect(await leftovers(s)).toEqual([])
  })

  it('runs where tornade.yml allows it, without a role', async () => {
    const s = await world({ config: { forks: 'allow' } })
    s.world.github.queue(job(1, fork))
    s.world.github.queue(job(2, { ...fork, labels: LABELS }))
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('success')
    expect((await jobOf(s.world, '2-1')).refused).toMatchObject({ code: 'role' })
    expect(s.world.roleUses).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('that GitHub knows nothing of is not run', async () => {
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: new Proxy(ports.github, {
          get: (target, name) =>
            name === 'getRun' ? async () => null : Reflect.get(target, name).bind(target),
        }),
      }),
    })
    s.world.github.queue(job(1, { repository: OPEN }))
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).refused).toMatchObject({ code: 'fork' })
    expect(await runners(s.world)).toEqual([])
  })

  it.each([
    ['none for a private repository without forks', { repository: { ...OPEN, private: true } }, 0],
    ['one for a public repository', { repository: OPEN }, 1],
    ['one for a job with a role', { repository: { ...OPEN, private: true }, labels: LABELS }, 1],
    ['one for both', { repository: OPEN, labels: LABELS }, 1],
  ])('costs %s: a call to GitHub for the run', async (_, over, calls) => {
    let count = 0
    const s = await world({
      wrapPorts: ports => ({
        ...ports,
        github: new Proxy(ports.github, {
          get: (target, name) => {
            if (name === 'getRun') count++
            return Reflect.get(target, name).bind(target)
          },
        }),
      }),
    })
    s.world.github.queue(job(1, over))
    await untilQuiet(s)
    expect(count).toBe(calls)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
  })
})

describe('filter and guard', () => {
  const own = repository(7001, 'acme/app')
  const branch = fc.constantFrom('main', 'next', 'v1', 'refs/heads/main', '*')
  const event = fc.constantFrom(
    'push',
    'workflow_dispatch',
    'schedule',
    'release',
    'pull_request',
    'pull_request_target',
    'pull_request_review',
    'workflow_run',
    'issue_comment',
    'repository_dispatch',
  )
  const ON_DEFAULT = new Set(['schedule', 'issue_comment', 'repository_dispatch'])
  const head = fc.constantFrom(own.id, own.id, FORK, null)
  const run = fc
    .record({
      event,
      headBranch: branch,
      head,
      isTag: fc.boolean(),
      refProtected: fc.boolean(),
      followsRepositoryId: head,
    })
    .map(({ event, headBranch, head, isTag, refProtected, followsRepositoryId }) =>
      job(1, {
        event,
        headBranch: ON_DEFAULT.has(event) ? own.defaultBranch : headBranch,
        // Only a pull request has another head.
        headRepositoryId: event.startsWith('pull_request') ? head : own.id,
        handed: {
          refProtected,
          followsRepositoryId,
          ...(isTag && event === 'push' ? { ref: `refs/tags/${headBranch}` } : {}),
        },
      }),
    )
  const ref = fc.constantFrom(
    'refs/heads/main',
    'refs/heads/next',
    'refs/tags/v1',
    'refs/tags/main',
    'refs/heads/*',
  )
  const rules = fc.record({
    forks: fc.constantFrom('refuse' as const, 'allow' as const),
    roles: fc.record({
      deploy: fc.record({
        repositories: fc.constant(['acme/app']),
        refs: fc.array(ref, { maxLength: 2 }),
        events: fc.array(event, { maxLength: 3 }),
        protected: fc.boolean(),
      }),
    }),
  })
  const roles = fc.constantFrom('deploy', null)

  it('agree: what the filter refuses gets nothing of the guard, and what the guard releases passes the filter', () => {
    let released = 0
    fc.assert(
      fc.property(run, rules, roles, fc.boolean(), (queued, said, role, forgets) => {
        const request = facts.request({ repository: own })
        const { headBranch, headRepositoryId } = queued
        const refused = runRefusal(said, request, role, { event: queued.event, headBranch, headRepositoryId })
        const policy = guardPolicy({ repositoryId: own.id, role }, said)
        const { kind } = decide(handed(assignedJob(queued)), policy, { forgets })
        if (refused) expect(kind).not.toBe('release')
        if (refused?.code === 'fork') expect(kind).toBe('kill')
        if (kind === 'release') released++
        if (headRepositoryId !== own.id)
          expect(kind).toBe(said.forks === 'allow' && (forgets || !role) ? 'run' : 'kill')
      }),
      { numRuns: 2000 },
    )
    expect(released).toBeGreaterThan(20)
  })
})
