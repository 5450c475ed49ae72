/**
 * What an operator decides in tornade.yml. The file is read and checked by cli/config-file.ts, once, and compiled
 * to this JSON, so that no function parses YAML or needs a schema library for it.
 */
import { DEFAULT_RULES, type LabelRules } from './core/labels.ts'

export interface RolePolicy {
  /** owner/name of the repositories that may use the role. */
  readonly repositories: readonly string[]
  /** Full refs, for example refs/heads/main; empty means the default branch. */
  readonly refs: readonly string[]
  /** Events of the workflow run; empty means push, workflow_dispatch and schedule. */
  readonly events: readonly string[]
  /** Whether the ref must be protected at GitHub; it must where nothing is said. */
  readonly protected?: boolean
}

export interface Config {
  /** The label that says a job is ours. */
  readonly marker: string
  readonly region: string
  /** Login → numeric id of the accounts that may start runners; null means any, which only the local stack allows. */
  readonly owners: Readonly<Record<string, number>> | null
  readonly sizes: Readonly<Record<string, readonly string[]>>
  readonly images: Readonly<Record<string, string>>
  readonly roles: Readonly<Record<string, RolePolicy>>
  readonly limits: {
    readonly runners: number
    readonly perRepository: number
    readonly cpu: number
    readonly memoryGiB: number
    readonly diskGiB: number
    /** Starts of one job before it is given up. */
    readonly starts: number
    /** Runners started for one job because another job took the one before. */
    readonly replacements: number
  }
  readonly runner: {
    /** Longest life. */
    readonly lifeMinutes: number
    /** How long a runner waits for a job before it goes. */
    readonly idleMinutes: number
  }
  /** owner/name → priority; higher goes first, 0 for all others. */
  readonly priority: Readonly<Record<string, number>>
  /** Whether a run whose labels cannot be served is cancelled as well. */
  readonly labelMistakes: 'cancel' | 'report'
  /** Whether jobs of forks may run; never with a role. */
  readonly forks: 'refuse' | 'allow'
}

export const DEFAULT_CONFIG: Config = {
  marker: 'tornade',
  region: 'us-east-1',
  owners: null,
  sizes: {},
  images: {},
  roles: {},
  limits: {
    runners: 100,
    perRepository: 50,
    cpu: 16,
    memoryGiB: 120,
    diskGiB: 200,
    starts: 4,
    replacements: 3,
  },
  runner: { lifeMinutes: 360, idleMinutes: 5 },
  priority: {},
  labelMistakes: 'cancel',
  forks: 'refuse',
}

/** The part of a configuration that labels are read by. Without `limits` a set may be larger than the deployment takes. */
export function labelRules(config: Config, { limits }: { readonly limits: boolean }): LabelRules {
  const { cpu, memoryGiB, diskGiB } = config.limits
  return {
    ...DEFAULT_RULES,
    marker: config.marker,
    sizes: new Map(Object.entries(config.sizes)),
    roles: new Set(Object.keys(config.roles)),
    images: new Set(Object.keys(config.images)),
    longestMinutes: config.runner.lifeMinutes,
    limits: limits ? { cpu, memoryGiB, diskGiB } : null,
  }
}

/** Priority of a repository by its owner/name; an own entry only, whatever the name. */
export function priorityOf({ priority }: Pick<Config, 'priority'>, repository: string): number {
  return Object.hasOwn(priority, repository) ? priority[repository]! : 0
}
