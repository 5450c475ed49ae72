/**
 * What a runner is told of its rights. The guard inside it decides by what the runner was really handed, because GitHub
 * gives a job to any runner with its labels; runner-image/supervisor/policy.ts reads this.
 */
import type { RoleRule } from './policy.ts'
import type { StartRequest } from './types.ts'

export interface GuardPolicy {
  /** Ids of the repositories that the runner works for. */
  readonly repositories: readonly number[]
  /** Whether jobs of forks may run; never with a role. */
  readonly forks: boolean
  readonly role: {
    readonly name: string
    readonly repositories: readonly number[]
    /** Full refs; empty means the default branch. */
    readonly refs: readonly string[]
    /** Empty means push, workflow_dispatch and schedule. */
    readonly events: readonly string[]
    /** The ref must be protected. */
    readonly protected: boolean
  } | null
}

/** The part of tornade.yml that says who may run with what. A role that it does not know is nobody's. */
export interface GuardRules {
  readonly roles: Readonly<Record<string, RoleRule>>
  readonly forks: 'refuse' | 'allow'
}

export function guardPolicy(
  { repositoryId, role }: Pick<StartRequest, 'repositoryId' | 'role'>,
  rules: GuardRules,
): GuardPolicy {
  const repositories = [repositoryId]
  const forks = rules.forks === 'allow'
  if (role === null) return { repositories, forks, role: null }
  const rule = Object.hasOwn(rules.roles, role) ? rules.roles[role] : undefined
  return {
    repositories,
    forks,
    role: {
      name: role,
      // The launch has held the repository's name against tornade.yml; the runner is registered for it alone.
      repositories: rule ? repositories : [],
      refs: rule?.refs ?? [],
      events: rule?.events ?? [],
      protected: rule?.protected ?? true,
    },
  }
}
