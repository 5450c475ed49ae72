/** A whole tornade in stepped time, with what tests want to know of it. */
import { fileURLToPath } from 'node:url'
import { admissionLimits, type Config, DEFAULT_CONFIG } from '../../functions/config.ts'
import type { AdmissionLimits } from '../../functions/core/admission.ts'
import { isFinal } from '../../functions/core/lifecycle.ts'
import { generationOf, jobKeyOf, runnerOf } from '../../functions/core/plan.ts'
import type { Gate, Job, Runner } from '../../functions/core/types.ts'
import type { Ports } from '../../functions/ports.ts'
import type { DoubleJob } from '../../local/github.ts'
import { SILENT } from '../../local/log.ts'
import { ACME_APP, hex } from '../../local/payloads.ts'
import { readWiring } from '../../local/wiring.ts'
import { World, type WorldOptions } from '../../local/world.ts'

export const START = Date.UTC(2026, 10, 2, 9)
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export type ConfigOverrides = Omit<Partial<Config>, 'limits' | 'runner'> & {
  readonly limits?: Partial<Config['limits']>
  readonly runner?: Partial<Config['runner']>
}
export interface StackOptions extends Omit<Partial<WorldOptions>, 'config'> {
  readonly config?: ConfigOverrides
}

/** Reading serverless.yml takes longer than most of these worlds do. */
const WIRING = await readWiring(
  fileURLToPath(new URL('../..', import.meta.url)),
  'local',
  DEFAULT_CONFIG.region,
)

/** A world and a list of everything in it that must never be: the list stays empty. */
export interface Stack {
  readonly world: World
  readonly config: Config
  readonly violations: string[]
  /** Most runners at once that the gate gave a place. */
  readonly peak: { total: number; readonly perRepository: Map<number, number> }
}

export async function stack({ config: overrides = {}, ...options }: StackOptions = {}): Promise<Stack> {
  const config: Config = {
    ...DEFAULT_CONFIG,
    ...overrides,
    limits: { ...DEFAULT_CONFIG.limits, ...overrides.limits },
    runner: { ...DEFAULT_CONFIG.runner, ...overrides.runner },
  }
  const violations: string[] = []
  const peak = { total: 0, perRepository: new Map<number, number>() }
  const { wrapPorts = (ports: Ports) => ports } = options
  let world: World
  const watched: WorldOptions = {
    start: START,
    secret: 'a secret of these tests',
    log: SILENT,
    wiring: WIRING,
    ...options,
    config,
    wrapPorts: (ports, name) =>
      wrapPorts(
        watch(ports, config, peak, violations, () => world),
        name,
      ),
  }
  world = await World.create(watched)
  return { world, config, violations, peak }
}

/** Looks at every write that could break a promise. */
function watch(
  ports: Ports,
  config: Config,
  peak: Stack['peak'],
  violations: string[],
  world: () => World,
): Ports {
  const { ledger, github, compute } = ports
  const limits = admissionLimits(config)
  return {
    ...ports,
    ledger: {
      ...ledger,
      gate: {
        get: () => ledger.gate.get(),
        put: async gate => {
          const answer = await ledger.gate.put(gate)
          if (answer.ok) violations.push(...overLimits(gate, limits, peak))
          return answer
        },
      },
    },
    github: proxy(github, {
      createJitConfig: async (scope, name, labels) => {
        const answer = await github.createJitConfig(scope, name, labels)
        if (answer.outcome === 'created') violations.push(...secondRegistration(world(), answer.name))
        return answer
      },
    }),
    compute: proxy(compute, {
      start: async request => {
        const answer = await compute.start(request)
        const { live } = world().compute
        if (live > limits.runners) violations.push(`${live} tasks live at once, of ${limits.runners}`)
        return answer
      },
    }),
  }
}

function overLimits(gate: Gate, limits: AdmissionLimits, peak: Stack['peak']): string[] {
  const counts = new Map<number, number>()
  const roles = new Map<string, number>()
  for (const { repository, role } of Object.values(gate.holders)) {
    counts.set(repository, (counts.get(repository) ?? 0) + 1)
    if (role !== null) roles.set(role, (roles.get(role) ?? 0) + 1)
  }
  const total = Object.keys(gate.holders).length
  peak.total = Math.max(peak.total, total)
  const faults = total > limits.runners ? [`${total} places given, of ${limits.runners}`] : []
  for (const [role, count] of roles) {
    const most = limits.roles?.[role] ?? count
    if (count > most) faults.push(`${count} places with the role ${role}, of ${most}`)
  }
  for (const [repository, count] of counts) {
    peak.perRepository.set(repository, Math.max(count, peak.perRepository.get(repository) ?? 0))
    // As `repository()` names them.
    const most = limits.repositories?.[`acme/r${repository}`]?.runners ?? limits.perRepository
    if (count > most) faults.push(`${count} places of repository ${repository}, of ${most}`)
  }
  return faults
}

/** Runners that wait at GitHub and were started for the same job. A busy one has found its job already. */
function secondRegistration(world: World, name: string): string[] {
  const key = jobKeyOf(runnerOf(name, 'tornade') ?? name)
  const same = [...world.github.runners()].filter(
    runner => runner.status !== 'busy' && jobKeyOf(runnerOf(runner.name, 'tornade') ?? runner.name) === key,
  )
  return same.length > 1
    ? [`job ${key} has the registrations ${same.map(other => other.name).join(', ')}`]
    : []
}

/** The same port with some of its calls replaced; works for classes with private fields. */
export function proxy<T extends object>(port: T, replaced: Partial<T>): T {
  return new Proxy(port, {
    get(target, name) {
      if (Object.hasOwn(replaced, name)) return Reflect.get(replaced, name)
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

/** The ports with every call to the outside behind `guard`, which is given the call and its name. */
export function guarded(
  ports: Ports,
  guard: (work: () => Promise<unknown>, name: string) => Promise<unknown>,
): Ports {
  const wrap = <T extends object>(port: T, portName: string): T =>
    new Proxy(port, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return (...parameters: unknown[]) =>
          guard(async () => member.apply(target, parameters), `${portName}.${String(name)}`)
      },
    })
  const { ledger } = ports
  return {
    ...ports,
    queue: wrap(ports.queue, 'queue'),
    compute: wrap(ports.compute, 'compute'),
    github: wrap(ports.github, 'github'),
    tickets: wrap(ports.tickets, 'tickets'),
    ledger: {
      jobs: wrap(ledger.jobs, 'jobs'),
      runners: wrap(ledger.runners, 'runners'),
      reruns: wrap(ledger.reruns, 'reruns'),
      gate: wrap(ledger.gate, 'gate'),
      sweep: wrap(ledger.sweep, 'sweep'),
    },
  }
}

/** An ordinary job of acme/app, pushed to main. */
export function job(jobId: number, facts: Partial<DoubleJob> = {}): DoubleJob {
  const repository = facts.repository ?? ACME_APP
  return {
    repository,
    installationId: 5001,
    jobId,
    runId: 900_000 + jobId,
    attempt: 1,
    workflow: 'CI',
    name: `job ${jobId}`,
    labels: ['tornade'],
    headBranch: 'main',
    headSha: hex(`commit ${jobId}`, 40),
    event: 'push',
    headRepositoryId: repository.id,
    ...facts,
  }
}

export function repository(id: number, name = `acme/r${id}`): DoubleJob['repository'] {
  return { ...ACME_APP, id, name }
}

export async function jobs({ ledger }: World): Promise<readonly Job[]> {
  return (await ledger.jobs.page({ limit: Number.POSITIVE_INFINITY })).items.toReversed()
}

export async function runners({ ledger }: World): Promise<readonly Runner[]> {
  return (await ledger.runners.page({ limit: Number.POSITIVE_INFINITY })).items.toReversed()
}

export async function jobOf({ ledger }: World, key: string): Promise<Job> {
  const found = await ledger.jobs.get(key)
  if (!found) throw new Error(`the ledger has no job ${key}`)
  return found
}

/** Names of the runners that were started for a job, and why. */
export async function startedFor(world: World, key: string): Promise<string[]> {
  const own = (await runners(world)).filter(({ name }) => jobKeyOf(name) === key)
  return own.map(({ name, launch }) => `${generationOf(name)} ${launch?.cause}`)
}

/**
 * Lets time pass until nothing is under way any more, at most `limit`, and then for half an hour, in which all that
 * has a time limit runs out.
 */
export async function untilQuiet({ world }: Stack, limit = 26 * HOUR): Promise<void> {
  const end = world.clock.now() + limit
  let quiet = false
  const look = async (): Promise<void> => {
    const { jobs: store, reruns } = world.ledger
    const owed = (await store.open({ limit: 1 })).length + (await reruns.open({ limit: 1 })).length
    const open = owed + world.github.openJobs
    quiet = open === 0 && world.compute.live === 0 && world.backlog.waiting === 0
    if (!quiet) world.clock.after(MINUTE, look)
  }
  // Between two sweeps, so that what a sweep sends has been handled.
  world.clock.at(world.clock.now() - (world.clock.now() % MINUTE) + 1.5 * MINUTE, look)
  await world.clock.run(end, () => quiet)
  await world.clock.run(world.clock.now() + 30 * MINUTE)
}

/** Everything that must be so once nothing is under way; an empty list is a clean end. */
export async function leftovers({ world, violations }: Stack): Promise<string[]> {
  const [allJobs, allRunners, gate] = await Promise.all([
    jobs(world),
    runners(world),
    world.ledger.gate.get(),
  ])
  const faults = [...violations]
  for (const item of allJobs) {
    if (!isFinal(item)) faults.push(`job ${item.key} is not final`)
    if (item.deferred) faults.push(`job ${item.key} is final and deferred`)
  }
  for (const { key } of await world.ledger.reruns.open({ limit: 100 }))
    faults.push(`the re-run ${key} is not settled`)
  for (const view of world.github.jobs()) {
    const key = `${view.job.jobId}-${view.job.attempt}`
    if (view.status !== 'completed') faults.push(`job ${key} is ${view.status} at GitHub`)
  }
  for (const runner of allRunners) {
    if (runner.stoppedAt === null) faults.push(`runner ${runner.name} has not stopped`)
    else if (runner.cleanedAt === null) faults.push(`runner ${runner.name} may have left something behind`)
    if (runner.launch === null) faults.push(`nobody knows why runner ${runner.name} was started`)
    else if (runner.cost === null) faults.push(`runner ${runner.name} has no price`)
  }
  if (Object.keys(gate.holders).length > 0)
    faults.push(`places left: ${Object.keys(gate.holders).join(', ')}`)
  if (Object.keys(gate.waiting).length > 0)
    faults.push(`waiting at the gate: ${JSON.stringify(gate.waiting)}`)
  if (world.compute.live > 0) faults.push(`${world.compute.live} tasks live`)
  if (world.tickets.waiting > 0) faults.push(`${world.tickets.waiting} tickets left`)
  const registered = [...world.github.runners()].map(runner => `${runner.name} (${runner.status})`)
  if (registered.length > 0) faults.push(`registered at GitHub: ${registered.join(', ')}`)
  if (world.backlog.dead > 0) faults.push(`${world.backlog.dead} dead letters`)
  if (world.backlog.waiting > 0) faults.push(`${world.backlog.waiting} messages left`)
  return [...faults, ...moneyFaults(allJobs, allRunners), ...bookingFaults(gate, allRunners)]
}

/**
 * What the gate booked is at least what its runners cost: a start that a crash interrupted, and that may have cost
 * something, is booked by the time since.
 */
function bookingFaults({ spent }: Gate, allRunners: readonly Runner[]): string[] {
  const sums = new Map<string, number>()
  for (const { stoppedAt, cost } of allRunners) {
    const month = stoppedAt === null ? '' : new Date(stoppedAt).toISOString().slice(0, 7)
    sums.set(month, (sums.get(month) ?? 0) + (cost?.totalMicroUsd ?? 0))
  }
  return [...sums]
    .filter(([month, sum]) => (spent[month] ?? 0) < sum)
    .map(([month, sum]) => `the gate booked ${spent[month]} in ${month}, and its runners cost ${sum}`)
}

/** Money is conserved: the parts of every runner sum to its whole, and what jobs pay is what their runners say. */
function moneyFaults(allJobs: readonly Job[], allRunners: readonly Runner[]): string[] {
  const faults: string[] = []
  const paid = new Map(allJobs.flatMap(({ cost }) => (cost ? [[cost.runner, cost.microUsd]] : [])))
  for (const { name, cost, job: ran } of allRunners) {
    if (!cost) continue
    if (cost.startupMicroUsd + cost.jobMicroUsd + cost.idleMicroUsd !== cost.totalMicroUsd)
      faults.push(`the parts of ${name} do not sum to its whole`)
    if (ran && paid.get(name) !== cost.jobMicroUsd)
      faults.push(`the job ${ran.key} pays ${paid.get(name)} of the ${cost.jobMicroUsd} of ${name}`)
    if (!ran && (cost.jobMicroUsd !== 0 || paid.has(name)))
      faults.push(`${name} ran nothing and is paid for it`)
  }
  return faults
}

/** Sets of labels that contain each other, so that runners are taken by other jobs. */
const LABELS: readonly (readonly string[])[] = [
  ['tornade'],
  ['tornade', 'arm64'],
  ['tornade', 'arm64', 'spot'],
  ['tornade', 'arm64', 'spot', '4cpu'],
  ['tornade', 'spot', '4cpu'],
  ['tornade', '4cpu'],
  ['tornade', 'docker'],
  ['tornade/arm64'],
]

/**
 * Queues a day of three repositories: jobs of all kinds, some cancelled before they start or while they run, some
 * behind gates, some run again, some of forks and some with a role that only acme/r1 may use.
 */
export function busyDay(
  { clock, github }: World,
  { seed, count, hours }: { readonly seed: number; readonly count: number; readonly hours: number },
): void {
  const random = generator(seed)
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  for (let index = 0; index < count; index++) {
    const at = START + random() * hours * HOUR
    const own = repository(pick([1, 2, 3]))
    const gate = random() < 0.06
    const cancelled = random() < 0.15
    const queued = job(1000 + index, {
      repository: own,
      labels: random() < 0.06 ? ['tornade', 'role:deploy'] : pick(LABELS),
      ...(random() < 0.04 ? ofFork(own) : {}),
      gate,
      script: {
        durationMs: Math.round((20 + random() * 300) * SECOND),
        ...(cancelled ? { cancelAt: at + random() * 2 * MINUTE } : {}),
      },
    })
    clock.at(at, () => github.queue(queued))
    if (gate) clock.at(at + random() * 20 * MINUTE, () => void github.openGate(queued.jobId))
    if (random() < 0.06) clock.at(at + random() * 30 * MINUTE, () => void github.runAgain(queued.jobId))
  }
}

/** A pull request from a fork that is gone. */
function ofFork(own: DoubleJob['repository']): Partial<DoubleJob> {
  return { repository: { ...own, allowForking: true }, headRepositoryId: null, event: 'pull_request' }
}

/** mulberry32 */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
