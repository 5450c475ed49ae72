/**
 * What a job may have, decided from what the runner was handed. Pure.
 *
 * The launcher has already held the run against tornade.yml, but GitHub gives a job to any runner with its labels, so
 * only what arrived counts.
 */

/** Written by the launcher into TORNADE_POLICY. */
export interface Policy {
  /** Ids of the repositories that this runner works for. */
  readonly repositories: readonly number[]
  /** Jobs of forks may run, never with a role. */
  readonly forks: boolean
  /** The role that the task or build was started with; null is the plain runner role, which is never released. */
  readonly role: RolePolicy | null
}

export interface RolePolicy {
  readonly name: string
  /** Ids of the repositories that may use the role. */
  readonly repositories: readonly number[]
  /** Full refs; empty means the default branch. No wildcards. */
  readonly refs: readonly string[]
  /** Events; empty means push, workflow_dispatch and schedule. No wildcards. */
  readonly events: readonly string[]
  /** The ref must be protected (GITHUB_REF_PROTECTED). */
  readonly protected: boolean
}

/** What the hook was started with. */
export interface Handed {
  readonly repositoryId: number
  readonly event: string
  readonly ref: string
  readonly headRef: string
  readonly refProtected: boolean
  readonly runId: string
  /** The webhook payload; undefined when it could not be read. */
  readonly payload: unknown
}

export interface Verdict {
  /** release: with the role's credentials; run: without any; kill: not at all. */
  readonly kind: 'release' | 'run' | 'kill'
  /** A sentence for the job's log. */
  readonly reason: string
  /** Worth the author's attention. */
  readonly notice: boolean
  readonly building: Building
}

/**
 * What the image builder beside a runner may have: the role of the task, nothing but what the job hands it, or no builds at all,
 * where it must not lead to a role that was refused.
 */
export type Building = 'role' | 'plain' | 'closed'

const DEFAULT_EVENTS = ['push', 'workflow_dispatch', 'schedule']

/** Events whose payload says where the code comes from, and where in the payload. */
const HEAD_OF: Readonly<Record<string, readonly string[]>> = {
  pull_request: ['pull_request', 'head', 'repo', 'id'],
  pull_request_target: ['pull_request', 'head', 'repo', 'id'],
  pull_request_review: ['pull_request', 'head', 'repo', 'id'],
  pull_request_review_comment: ['pull_request', 'head', 'repo', 'id'],
  workflow_run: ['workflow_run', 'head_repository', 'id'],
}

/**
 * @param forgets credentials can be made unreachable for root in the job. On CodeBuild they cannot: its own agent
 * keeps their address, so a job that may not have the role may not run at all.
 */
export function decide(handed: Handed, policy: Policy, { forgets }: { readonly forgets: boolean }): Verdict {
  if (!policy.repositories.includes(handed.repositoryId))
    return kill('This runner was not started for this repository.')
  if (isFork(handed)) {
    return policy.forks
      ? policy.role && !forgets
        ? kill('A job of a fork may not run on a runner that has a role.')
        : run('The job of a fork runs without a role.', policy.role !== null, 'closed')
      : kill('Jobs of forks are not allowed on these runners.')
  }
  if (!policy.role) return run('The job runs without a role: none was asked for.', false, 'plain')
  const violation = roleViolation(handed, policy.role)
  if (!violation)
    return {
      kind: 'release',
      reason: `The job has the role ${policy.role.name}.`,
      notice: false,
      building: 'role',
    }
  return forgets
    ? run(`The job runs without the role ${policy.role.name}: ${violation}`, true, 'closed')
    : kill(`The job may not use the role ${policy.role.name}: ${violation}`)
}

function run(reason: string, notice: boolean, building: Building): Verdict {
  return { kind: 'run', reason, notice, building }
}

function kill(reason: string): Verdict {
  return { kind: 'kill', reason, notice: true, building: 'closed' }
}

/** A head repository that is not known counts as a fork. */
function isFork({ event, repositoryId, payload }: Handed): boolean {
  const path = HEAD_OF[event]
  return path !== undefined && at(payload, path) !== repositoryId
}

function roleViolation(handed: Handed, role: RolePolicy): string | null {
  if (!role.repositories.includes(handed.repositoryId)) return 'this repository may not use it.'
  const events = role.events.length > 0 ? role.events : DEFAULT_EVENTS
  if (!events.includes(handed.event))
    return `it is for ${events.join(', ')} runs, and this is ${handed.event}.`
  const refs = role.refs.length > 0 ? role.refs : defaultBranch(handed)
  if (!refs.includes(branchOf(handed)))
    return `it is for ${refs.join(', ') || 'the default branch'}, and this is ${branchOf(handed)}.`
  if (role.protected && !handed.refProtected) return `${branchOf(handed)} is not protected.`
  return null
}

/** The ref that rules name: a pull request's own ref is refs/pull/NUMBER/merge, which nobody can list. */
function branchOf({ event, ref, headRef }: Handed): string {
  return event === 'pull_request' && headRef ? `refs/heads/${headRef}` : ref
}

function defaultBranch({ event, ref, payload }: Handed): string[] {
  // Schedules run on the default branch only, and their payload need not name it.
  // https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#schedule
  if (event === 'schedule') return [ref]
  const name = at(payload, ['repository', 'default_branch'])
  return typeof name === 'string' ? [`refs/heads/${name}`] : []
}

function at(value: unknown, path: readonly string[]): unknown {
  let current = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined
    current = (current as Record<string, unknown>)[key]
  }
  return current
}
