import { describe, expect, it } from 'vitest'
import { guardPolicy } from '../functions/core/guard.ts'
import { decide, type Handed } from '../runner-image/supervisor/policy.ts'
import { readSettings } from '../runner-image/supervisor/settings.ts'

const REPOSITORY = 7001
const ROLES = {
  deploy: { repositories: ['acme/app'], refs: ['refs/heads/main'], events: [] },
  unprotected: { repositories: ['acme/app'], refs: [], events: ['push'], protected: false },
}

/** A push to the protected default branch of the runner's own repository. */
const push: Handed = {
  repositoryId: REPOSITORY,
  event: 'push',
  ref: 'refs/heads/main',
  headRef: '',
  refProtected: true,
  runId: '1',
  payload: { repository: { default_branch: 'main' } },
}

describe('what launch tells a runner, and what the guard on it decides by that', () => {
  it.each<[string, string | null, Partial<Handed>, 'release' | 'run' | 'kill']>([
    ['no role asked for', null, {}, 'run'],
    ['a role that the run may use', 'deploy', {}, 'release'],
    ['another branch', 'deploy', { ref: 'refs/heads/feature' }, 'run'],
    ['a tag named like the branch', 'deploy', { ref: 'refs/tags/main' }, 'run'],
    ['a branch that is not protected', 'deploy', { refProtected: false }, 'run'],
    ['a branch that need not be protected', 'unprotected', { refProtected: false }, 'release'],
    ['pull_request_target, which is not named', 'deploy', { event: 'pull_request_target' }, 'kill'],
    ['a role that tornade.yml does not know', 'gone', {}, 'run'],
    ['a name that every object has', 'constructor', {}, 'run'],
    ['another repository', 'deploy', { repositoryId: 7002 }, 'kill'],
  ])('%s', (_, role, handed, kind) => {
    expect(decide({ ...push, ...handed }, toldTo(role), { forgets: true }).kind).toBe(kind)
  })
})

describe('a fork, as launch tells a runner of it', () => {
  const fork = {
    ...push,
    event: 'pull_request',
    ref: 'refs/pull/7/merge',
    headRef: 'main',
    payload: { pull_request: { head: { repo: { id: 666 } } } },
  }

  it.each([
    ['refuse', null, 'kill'],
    ['refuse', 'deploy', 'kill'],
    ['allow', null, 'run'],
    ['allow', 'deploy', 'run'],
  ] as const)('forks: %s, role %s: %s', (forks, role, kind) => {
    expect(decide(fork, toldTo(role, forks), { forgets: true }).kind).toBe(kind)
    expect(decide(push, toldTo(role, forks), { forgets: true }).kind).toBe(role ? 'release' : 'run')
  })
})

/** Through the environment of the container and the supervisor's own reading of it. */
function toldTo(role: string | null, forks: 'refuse' | 'allow' = 'refuse') {
  const policy = guardPolicy({ repositoryId: REPOSITORY, role }, { roles: ROLES, forks })
  return readSettings({
    TORNADE_CREDENTIALS_FD: '3',
    AWS_REGION: 'us-east-1',
    TORNADE_RUNNER: 'tornade-1-1-1',
    TORNADE_TICKETS_TABLE: 'tickets',
    TORNADE_COMPUTE: 'fargate',
    TORNADE_POLICY: JSON.stringify(policy),
  }).policy
}
