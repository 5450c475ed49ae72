/**
 * Which run may use a role: what tornade.yml says, held against what GitHub says of the run. This is a filter
 * before the launch; it cannot know what a runner will be handed, so the guard on the runner decides again.
 */
import type { RepositoryRef } from './types.ts'

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

const DEFAULT_EVENTS = ['push', 'workflow_dispatch', 'schedule']

/** Why the run may not use the role; null when it may. */
export function roleViolation(
  role: string,
  rule: RoleRule,
  repository: RepositoryRef,
  run: RunFacts,
): string | null {
  if (!rule.repositories.some(name => name.toLowerCase() === repository.name.toLowerCase())) {
    return `tornade.yml does not let ${repository.name} use the role ${role}.`
  }
  if (isFork(repository, run)) return `A fork may never use a role; ${role} was asked for.`
  const events = rule.events.length > 0 ? rule.events : DEFAULT_EVENTS
  if (!events.includes(run.event))
    return `The role ${role} may not be used by ${run.event} runs, only by ${events.join(', ')}.`
  // GitHub's run object has a branch name, not a ref; a tag of the same name is told apart by the guard.
  if (
    rule.refs.length > 0 &&
    !rule.refs.includes(`refs/heads/${run.headBranch}`) &&
    !rule.refs.includes(`refs/tags/${run.headBranch}`)
  ) {
    return `The role ${role} may be used on ${rule.refs.join(', ')} only.`
  }
  return null
}

export function isFork(repository: RepositoryRef, run: RunFacts): boolean {
  return run.headRepositoryId !== repository.id
}
