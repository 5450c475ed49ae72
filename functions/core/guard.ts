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

/**
 * Most characters of a policy, as policyLength() counts them. RunTask takes 8,192 characters of overrides, and what else a runner
 * is told must fit beside it. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
 */
export const LONGEST_POLICY = 7000

/** Characters that a policy has in the overrides of a task: as JSON, as the JSON of a text. */
export function policyLength(policy: GuardPolicy): number {
  return JSON.stringify(JSON.stringify(policy)).length
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
