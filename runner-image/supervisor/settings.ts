/** What the supervisor is told by its environment; read once, all faults reported together. */
import type { Policy, RolePolicy } from './policy.ts'

export interface Settings {
  /** Name of the runner, for the log. */
  readonly runner: string
  readonly region: string
  readonly table: string
  readonly policy: Policy
  readonly compute: 'fargate' | 'codebuild'
  /** Start a Docker daemon. */
  readonly docker: boolean
  readonly times: Times
  /** Who the job is. */
  readonly user: { readonly uid: number; readonly gid: number; readonly home: string }
  readonly paths: {
    /** Folder of the runner program. */
    readonly runner: string
    readonly hooks: string
    /** For the guard's socket; made by the supervisor. */
    readonly run: string
    readonly sudoers: string
    readonly dockerSocket: string
    /** Where control groups are mounted. */
    readonly cgroup: string
    /** Folder shared with the image builder beside the runner; null when there is none. */
    readonly exchange: string | null
  }
}

/** Milliseconds. */
export interface Times {
  readonly ticket: number
  readonly idle: number
  readonly life: number
  /** From the start of the hook to a verdict. */
  readonly verdict: number
  /** How long a refused job is kept waiting, so that the reason reaches its log. */
  readonly explain: number
  /** From a request to stop to the use of force; below the stopTimeout of the task. */
  readonly stop: number
  readonly relaunch: number
  /** Between two looks at what the job uses. */
  readonly sample: number
  /** For the image builder to obey the verdict. */
  readonly builder: number
}

export class SettingsError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>

export function readSettings(environment: Environment): Settings {
  const faults: string[] = []
  const text = (name: string, fallback?: string): string => {
    const value = environment[name] || fallback
    if (!value) faults.push(`${name} is missing.`)
    return value ?? ''
  }
  const number = (name: string, fallback: number, least: number, most: number): number => {
    const value = environment[name] ? Number(environment[name]) : fallback
    if (!(value >= least && value <= most)) faults.push(`${name} is not a number from ${least} to ${most}.`)
    return value
  }
  // A timer takes no more than 2^31 milliseconds, and fires at once beyond that.
  const seconds = (name: string, fallback: number) => number(name, fallback, 0, 1_000_000) * 1000
  const id = (name: string) => number(name, 1001, 1, 2 ** 31)

  if (environment.TORNADE_CREDENTIALS_FD !== '3') faults.push('The supervisor is started by the entrypoint.')
  const compute = text('TORNADE_COMPUTE')
  if (compute && compute !== 'fargate' && compute !== 'codebuild')
    faults.push('TORNADE_COMPUTE is neither fargate nor codebuild.')
  const settings: Settings = {
    runner: text('TORNADE_RUNNER'),
    region: text('AWS_REGION', environment.AWS_DEFAULT_REGION),
    table: text('TORNADE_TICKETS_TABLE'),
    policy: readPolicy(text('TORNADE_POLICY'), faults),
    compute: compute as Settings['compute'],
    docker:
      compute === 'codebuild' &&
      (environment.TORNADE_DOCKER === 'true' || environment.TORNADE_BUILD === 'true'),
    times: {
      ticket: seconds('TORNADE_TICKET_SECONDS', 180),
      idle: seconds('TORNADE_IDLE_SECONDS', 300),
      life: number('TORNADE_TIMEOUT_MINUTES', 360, 0, 30_000) * 60_000,
      verdict: seconds('TORNADE_VERDICT_SECONDS', 30),
      explain: seconds('TORNADE_EXPLAIN_SECONDS', 3),
      stop: seconds('TORNADE_STOP_SECONDS', 100),
      relaunch: seconds('TORNADE_RELAUNCH_SECONDS', 5),
      sample: seconds('TORNADE_SAMPLE_SECONDS', 2),
      builder: seconds('TORNADE_BUILDER_SECONDS', 15),
    },
    user: {
      uid: id('TORNADE_USER_ID'),
      gid: id('TORNADE_GROUP_ID'),
      home: text('TORNADE_HOME', '/home/runner'),
    },
    paths: {
      runner: text('TORNADE_RUNNER_FOLDER', '/opt/runner'),
      hooks: text('TORNADE_HOOKS_FOLDER', '/opt/tornade/hooks'),
      run: text('TORNADE_RUN_FOLDER', '/run/tornade'),
      sudoers: text('TORNADE_SUDOERS', '/etc/sudoers.d/tornade'),
      dockerSocket: text('TORNADE_DOCKER_SOCKET', '/var/run/docker.sock'),
      cgroup: text('TORNADE_CGROUP_FOLDER', '/sys/fs/cgroup'),
      exchange: environment.TORNADE_EXCHANGE_FOLDER || null,
    },
  }
  if (faults.length > 0) throw new SettingsError(faults.join(' '))
  return settings
}

function readPolicy(json: string, faults: string[]): Policy {
  const nothing: Policy = { repositories: [], forks: false, role: null }
  if (!json) return nothing
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    faults.push('TORNADE_POLICY is not JSON.')
    return nothing
  }
  if (isPolicy(value)) return value
  faults.push('TORNADE_POLICY does not have the shape of a policy.')
  return nothing
}

function isPolicy(value: unknown): value is Policy {
  const policy = value as Policy
  return (
    hasOnly(value, ['repositories', 'forks', 'role']) &&
    areIds(policy.repositories) &&
    typeof policy.forks === 'boolean' &&
    (policy.role === null || isRole(policy.role))
  )
}

function isRole(value: unknown): value is RolePolicy {
  const role = value as RolePolicy
  return (
    hasOnly(value, ['name', 'repositories', 'refs', 'events', 'protected']) &&
    typeof role.name === 'string' &&
    areIds(role.repositories) &&
    areTexts(role.refs) &&
    areTexts(role.events) &&
    typeof role.protected === 'boolean'
  )
}

/** A key that is not known is a fault: it may be a restriction that this version cannot keep. */
function hasOnly(value: unknown, keys: readonly string[]): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).every(key => keys.includes(key))
}

function areIds(value: unknown): boolean {
  return Array.isArray(value) && value.every(id => Number.isSafeInteger(id) && id > 0)
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(text => typeof text === 'string' && text !== '')
}
