/**
 * Which run may use a role: what tornade.yml says, held against what GitHub says of the run. This is a filter
 * before the launch; it cannot know what a runner will be handed, so the guard on the runner decides again.
 */
import type { JobRequest, Problem, RepositoryRef } from './types.ts'

export interface RoleRule {
  readonly repositories: readonly string[]
  readonly refs: readonly string[]
  readonly events: readonly string[]
  /** False lets refs use the role that GitHub does not protect; checked on the runner. */
  readonly protected?: boolean
}

export interface RunFacts {
  readonly event: string
  readonly headBranch: string | null
  /** null when the head repository is gone, which counts as a fork. */
  readonly headRepositoryId: number | null
}

/** Their runs name the branch that set them off, and run on the default branch: only the guard sees which that is. */
const ELSEWHERE: ReadonlySet<string> = new Set(['pull_request_target', 'workflow_run'])

const DEFAULT_EVENTS = ['push', 'workflow_dispatch', 'schedule']

/** Why the run may not use the role; null when it may. */
export function roleViolation(
  role: string,
  rule: RoleRule,
  repository: RepositoryRef,
  run: RunFacts,
  defaultBranch?: string,
): string | null {
  if (!rule.repositories.some(name => name.toLowerCase() === repository.name.toLowerCase())) {
    return `tornade.yml does not let ${repository.name} use the role ${role}.`
  }
  if (isFork(repository, run)) return `A fork may never use a role; ${role} was asked for.`
  const events = rule.events.length > 0 ? rule.events : DEFAULT_EVENTS
  if (!events.includes(run.event))
    return `The role ${role} may not be used by ${run.event} runs, only by ${events.join(', ')}.`
  // GitHub's run object has a branch name, not a ref; a tag of the same name is told apart by the guard.
  const own = defaultBranch === undefined ? [] : [`refs/heads/${defaultBranch}`]
  const refs = rule.refs.length > 0 ? rule.refs : own
  if (
    refs.length > 0 &&
    !ELSEWHERE.has(run.event) &&
    !refs.includes(`refs/heads/${run.headBranch}`) &&
    !refs.includes(`refs/tags/${run.headBranch}`)
  ) {
    return `The role ${role} may be used on ${refs.join(', ')} only.`
  }
  return null
}

/** What the author of a fork's job is told. */
export function forkProblem(request: JobRequest, run: RunFacts | null): Problem {
  const message = run
    ? 'This run comes from a fork, and jobs of forks are not run here. Who administers tornade can allow them, always without a role, by `forks: allow` in tornade.yml; a branch of the repository itself needs no permission.'
    : 'GitHub does not know the run of this job, so that it may be one of a fork.'
  return { label: request.labels.join(', '), message, suggestion: null }
}

export function isFork(repository: RepositoryRef, run: RunFacts): boolean {
  return run.headRepositoryId !== repository.id
}

/** Why a run may not be served, by what GitHub says of it; null when it may. A run that GitHub does not know is a fork's. */
export function runRefusal(
  {
    roles,
    forks,
  }: { readonly roles: Readonly<Record<string, RoleRule>>; readonly forks: 'refuse' | 'allow' },
  request: JobRequest,
  role: string | null,
  run: RunFacts | null,
): { readonly code: 'fork' | 'role'; readonly problem: Problem } | null {
  if (forks === 'refuse' && (run === null || isFork(request.repository, run)))
    return { code: 'fork', problem: forkProblem(request, run) }
  if (role === null) return null
  const message = run
    ? roleViolation(role, roles[role]!, request.repository, run, request.defaultBranch)
    : 'GitHub does not know the run of this job.'
  return message === null
    ? null
    : { code: 'role', problem: { label: `role:${role}`, message, suggestion: null } }
}
