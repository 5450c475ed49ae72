/**
 * What an operator decides in tornade.yml. The file is read and checked by cli/config-file.ts, once, and compiled
 * to this JSON, so that no function parses YAML or needs a schema library for it.
 */

import type { AdmissionLimits, SpendLimits } from './core/admission.ts'
import type { ChatPolicy } from './core/chat.ts'
import { DEFAULT_RULES, type LabelRules } from './core/labels.ts'
import { ownOf } from './core/own.ts'
import type { Pool } from './core/pools.ts'
import type { DailyTime } from './core/schedule.ts'
import type { Arch, Fallback } from './core/types.ts'

export interface RolePolicy {
  /** owner/name of the repositories that may use the role. */
  readonly repositories: readonly string[]
  /** Full refs, for example refs/heads/main; empty means the default branch. */
  readonly refs: readonly string[]
  /** Events of the workflow run; empty means push, workflow_dispatch and schedule. */
  readonly events: readonly string[]
  /** Whether the ref must be protected at GitHub; it must where nothing is said. */
  readonly protected?: boolean
  /** Runners with the role at the same time; no limit where nothing is said. */
  readonly runners?: number
}

/** Of one name: the image of each architecture that there is. */
export type Images = Readonly<Partial<Record<Arch, string>>>

/** What holds for one repository instead of `limits`. */
export interface RepositoryException {
  readonly runners?: number
  readonly startsPerHour?: number
  readonly cpu?: number
  readonly memoryGiB?: number
  readonly diskGiB?: number
}

export interface Config {
  /** The label that says a job is ours. */
  readonly marker: string
  readonly region: string
  /** Login → numeric id of the accounts that may start runners; null means any, which only the local stack allows. */
  readonly owners: Readonly<Record<string, number>> | null
  readonly sizes: Readonly<Record<string, readonly string[]>>
  /** Runner images beside the standard one, in ECR and by digest. */
  readonly images: Readonly<Record<string, Images>>
  readonly roles: Readonly<Record<string, RolePolicy>>
  readonly limits: {
    readonly runners: number
    readonly perRepository: number
    readonly cpu: number
    readonly memoryGiB: number
    readonly diskGiB: number
    /** Starts of one job before it is given up. */
    readonly starts: number
    /** Runners started at once for one job because another job took the one before; later ones must wait. */
    readonly replacements: number
    /** Runners started for one repository within an hour; null is no limit. */
    readonly startsPerHour: number | null
  }
  /** owner/name → its exceptions from the limits. */
  readonly repositories: Readonly<Record<string, RepositoryException>>
  /** null is no cap. */
  readonly spend: SpendLimits | null
  /** What is told in a channel of Slack, and may be asked for there; null is nothing. */
  readonly slack: {
    readonly digest: DailyTime | null
    /** Percents of a spend cap at which something is said. */
    readonly alerts: readonly number[]
    /** Who may operate tornade from there; null is nobody. */
    readonly commands: ChatPolicy | null
  } | null
  readonly runner: {
    /** Longest life. */
    readonly lifeMinutes: number
    /** How long a runner waits for a job before it goes. */
    readonly idleMinutes: number
  }
  /** Where jobs go that find no capacity where their labels send them. */
  readonly fallback: readonly Fallback[]
  /** Whether a job is run again that Spot ended; `with-role` says that those with a role are, too. */
  readonly rerunAfterReclaim: boolean | 'with-role'
  /** owner/name → priority; higher goes first, 0 for all others. */
  readonly priority: Readonly<Record<string, number>>
  /** Runners that wait for jobs. */
  readonly pools: readonly Pool[]
  readonly github: {
    /** Root of the REST API of a GitHub Enterprise Server, https://HOST/api/v3; null is github.com. */
    readonly url: string | null
    /** Runners are registered with the organisation and not with the repository of their job. */
    readonly organisationRunners: boolean
    /** Id of the group that runners of an organisation join; 1 is its default group. */
    readonly runnerGroup: number
  }
  /** Whether a run whose labels cannot be served is cancelled as well. */
  readonly labelMistakes: 'cancel' | 'report'
  /** Whether jobs of forks may run; never with a role. */
  readonly forks: 'refuse' | 'allow'
  /** Who may sign in to the deployed dashboard, by numeric ids at GitHub: these, and active members of these. */
  readonly dashboard: { readonly users: readonly number[]; readonly organisations: readonly number[] }
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
    startsPerHour: null,
  },
  repositories: {},
  spend: null,
  slack: null,
  runner: { lifeMinutes: 360, idleMinutes: 5 },
  fallback: ['on-demand'],
  rerunAfterReclaim: true,
  priority: {},
  pools: [],
  github: { url: null, organisationRunners: false, runnerGroup: 1 },
  labelMistakes: 'cancel',
  forks: 'refuse',
  dashboard: { users: [], organisations: [] },
}

/**
 * The part of a configuration that labels are read by. Without `limits` a set may be larger than the deployment takes;
 * with a `repository` (owner/name) its exceptions hold.
 */
export function labelRules(
  config: Config,
  { limits, repository }: { readonly limits: boolean; readonly repository?: string },
): LabelRules {
  return {
    ...DEFAULT_RULES,
    marker: config.marker,
    sizes: new Map(Object.entries(config.sizes)),
    roles: new Set(Object.keys(config.roles)),
    images: new Map(Object.entries(config.images).map(([name, own]) => [name, architecturesOf(own)])),
    longestMinutes: config.runner.lifeMinutes,
    limits: limits ? sizeLimits(config, repository) : null,
  }
}

function architecturesOf(images: Images): readonly Arch[] {
  return (['x64', 'arm64'] as const).filter(arch => images[arch] !== undefined)
}

function sizeLimits(config: Config, repository: string | undefined): NonNullable<LabelRules['limits']> {
  const { cpu, memoryGiB, diskGiB } = config.limits
  const own = repository === undefined ? undefined : ownOf(config.repositories, repository)
  const setting = (name: string, value: number | undefined) =>
    value === undefined ? {} : { [name]: `repositories.${repository}.${name}` }
  return {
    cpu: own?.cpu ?? cpu,
    memoryGiB: own?.memoryGiB ?? memoryGiB,
    diskGiB: own?.diskGiB ?? diskGiB,
    settings: {
      ...setting('cpu', own?.cpu),
      ...setting('memory', own?.memoryGiB),
      ...setting('disk', own?.diskGiB),
    },
  }
}

/** The part of a configuration that the gate goes by. */
export function admissionLimits({ limits, roles, repositories, spend }: Config): AdmissionLimits {
  const { runners, perRepository, startsPerHour } = limits
  return {
    runners,
    perRepository,
    startsPerHour,
    roles: Object.fromEntries(
      Object.entries(roles).flatMap(([role, rule]) => (rule.runners ? [[role, rule.runners]] : [])),
    ),
    repositories,
    spend,
  }
}

/** Priority of a repository by its owner/name, whatever the name. */
export function priorityOf({ priority }: Pick<Config, 'priority'>, repository: string): number {
  return ownOf(priority, repository) ?? 0
}
