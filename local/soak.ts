/**
 * One seeded world: two hours of jobs and faults, time to recover, and then everything that it promised. All of it
 * follows from the seed, so that the same seed is the same run.
 */
import { type Config, DEFAULT_CONFIG } from '../functions/config.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import type { Ports } from '../functions/ports.ts'
import { FAULTS, OrderedFaults } from './faults/catalogue.ts'
import { told as toldDelivery } from './faults/deliveries.ts'
import { told as toldEvent } from './faults/events.ts'
import { type FaultOrder, MINUTE, type PlannedJob, SECOND } from './faults/fault.ts'
import type { DoubleJob, DoubleRepository } from './github.ts'
import { SILENT } from './log.ts'
import { ACME_APP, hex } from './payloads.ts'
import { type Broken, Promises } from './promises.ts'
import { Dice } from './random.ts'
import { Timeline, type TimelineEntry } from './timeline.ts'
import { World, type WorldOptions } from './world.ts'

export const START = Date.UTC(2026, 10, 2, 9)
/** For so long jobs are queued, and things begin to fail. */
export const BUSY_MINUTES = 120
/** So long after that what began comes to its end: late deliveries, runners that are taken back. Then nothing fails any more. */
const SETTLING_MS = 20 * MINUTE
/** Kinds of fault that strike in each world. */
export const KINDS = 5
/**
 * Everything must have ended so long after that: a message that failed comes again after 6 minutes and up
 * to five times, a closed gate is asked about each hour, and the longest job takes half an hour.
 */
export const BOUND_MS = 90 * MINUTE
/** A message that a fault failed last comes again after 6 minutes, and may have to wait for its turn. */
const SETTLED_MS = 15 * MINUTE

/** These keep nobody from cleaning up: while nothing else strikes, what outlives its runner is looked for all the time. */
const MILD: ReadonlySet<string> = new Set([
  'no-spot',
  'no-capacity',
  'no-capacity-late',
  'image-pull',
  'spot-reclaim',
  'host-dies',
  'hung-runner',
  'jit-expired',
  'jobs-cancelled',
  'jobs-stolen',
  'delete-race',
])

export interface SoakOptions {
  /** All of these strike instead of a choice; names of FAULTS. */
  readonly faults?: readonly string[]
  /** These do not strike, unless `faults` has them. */
  readonly except?: readonly string[]
  /** Jobs are queued for so long, instead of BUSY_MINUTES: a world of those from before it was that. */
  readonly minutes?: number
  readonly timeline?: boolean
  /** Makes another system of it, for whoever wants to see a promise broken. */
  readonly variant?: Variant
}

export interface Variant {
  readonly config?: (config: Config) => Config
  readonly ports?: (ports: Ports, functionName: string, world: () => World) => Ports
  readonly options?: (world: () => World) => Partial<WorldOptions>
}

export interface SoakResult {
  readonly seed: number
  /** How many jobs GitHub had, re-runs included. */
  readonly jobs: number
  readonly faults: readonly (FaultOrder & { readonly struck: number })[]
  readonly broken: readonly Broken[]
  readonly stats: {
    /** State → how many jobs ended in it. */
    readonly states: Readonly<Record<string, number>>
    readonly runners: number
    readonly deadLetters: number
    /** Jobs of repositories of which no delivery ever came: nobody accepted them, so nothing is promised about them. */
    readonly unheard: number
    /** From the time at which nothing fails any more to the end of everything. */
    readonly recoveryMinutes: number
  }
  /** What happened to the jobs and runners that `broken` names. */
  readonly timeline: readonly TimelineEntry[]
}

export interface SoakPlan {
  readonly config: Config
  readonly faults: readonly FaultOrder[]
  readonly jobs: readonly PlannedJob[]
  /** From here on nothing fails any more. */
  readonly calm: number
}

/** One world; where too few kinds of its choice of faults have struck in it, the same with one more in the choice. */
export async function soak(seed: number, options: SoakOptions = {}): Promise<SoakResult> {
  const isGiven = options.faults !== undefined || options.minutes !== undefined
  for (let more = 0; ; more++) {
    const result = await play(seed, planOf(seed, options, more), options)
    const kinds = result.faults.filter(({ struck }) => struck > 0).length
    if (isGiven || kinds >= KINDS || more === FAULTS.size) return result
  }
}

async function play(seed: number, plan: SoakPlan, options: SoakOptions): Promise<SoakResult> {
  const { variant } = options
  const { calm } = plan
  const secret = `hush-hush-${hex(`secret ${seed}`, 16)}`
  let world: World | null = null
  const present = () => world!
  const timeline = options.timeline ? new Timeline(() => present().clock) : null
  const promises = new Promises(plan.config, secret)
  const faults = new OrderedFaults(
    seed,
    plan.faults,
    () => present().clock,
    timeline && ((name, what) => world && timeline.add(`! ${name}: ${what}`)),
  )
  const { wrapPorts, onEvent, deliver, computeFaults } = faults.worldOptions(async (target, delivery) => {
    const { headers, body } = delivery
    timeline?.add(toldDelivery(delivery))
    const answer = await target.request('POST', '/webhook', headers, Buffer.from(body))
    promises.answered(Buffer.from(answer.body).toString())
    if (answer.status >= 300) throw new Error(`delivery answered with ${answer.status}`)
  })
  world = await World.create({
    config: variant?.config?.(plan.config) ?? plan.config,
    start: START,
    secret,
    log: promises.log(timeline?.log() ?? SILENT),
    jobSeconds: [20, 320],
    onJob: (job, before) => {
      promises.onJob(job, before)
      timeline?.onJob(job, before)
    },
    wrapPorts: (ports, name) => {
      const watched = timeline?.watch(promises.watch(ports), name) ?? promises.watch(ports)
      return wrapPorts(variant?.ports?.(watched, name, present) ?? watched, name)
    },
    deliver,
    onEvent: (target, event, pass) =>
      onEvent(target, event, passed => {
        timeline?.add(toldEvent(passed))
        pass(passed)
      }),
    computeFaults,
    ...variant?.options?.(present),
  })
  promises.attach(world)
  queueAll(world, faults.jobs(plan.jobs))
  if (plan.faults.every(({ name }) => MILD.has(name))) lookEachMinute(world, promises, calm)
  await world.clock.run(calm)
  const recovered = await recover(world, promises, calm)
  const broken = await promises.end()
  return {
    seed,
    jobs: [...world.github.jobs()].length,
    faults: plan.faults.map(order => ({ ...order, struck: faults.struck.get(order.name) ?? 0 })),
    broken,
    stats: {
      states: await statesOf(world),
      runners: [...world.compute.tasks()].length,
      deadLetters: world.backlog.dead,
      unheard: await unheardOf(world),
      recoveryMinutes: Math.round((recovered - calm) / MINUTE),
    },
    timeline: timeline?.about(broken.map(({ what }) => what)) ?? [],
  }
}

/**
 * Everything that is drawn from the seed before the world begins.
 * @param more how many faults more than the seed says
 */
export function planOf(
  seed: number,
  options: Pick<SoakOptions, 'faults' | 'except' | 'minutes'> = {},
  more = 0,
): SoakPlan {
  const busyMs = (options.minutes ?? BUSY_MINUTES) * MINUTE
  const faults = faultsOf(seed, options, busyMs, more)
  const config = faults.reduce(
    (changed, { name }) => FAULTS.get(name)!.config?.(changed) ?? changed,
    configOf(seed),
  )
  return { config, faults, jobs: jobsOf(seed, busyMs), calm: START + busyMs + SETTLING_MS }
}

function configOf(seed: number): Config {
  const dice = new Dice(seed, 'config')
  const runners = dice.pick([100, 100, 60, 20, 8])
  const perRepository = dice.pick([50, 50, runners, Math.ceil(runners / 2)])
  return {
    ...DEFAULT_CONFIG,
    limits: { ...DEFAULT_CONFIG.limits, runners, perRepository: Math.min(runners, perRepository) },
    roles: {
      deploy: {
        repositories: ['acme/r1', 'acme/r2'],
        refs: dice.chance(0.5) ? [] : ['refs/heads/main'],
        events: dice.chance(0.7) ? [] : ['push', 'pull_request'],
      },
    },
    priority: dice.chance(0.3) ? { 'acme/r2': 5 } : {},
  }
}

function faultsOf(
  seed: number,
  { faults, except = [] }: Pick<SoakOptions, 'faults' | 'except'>,
  busyMs: number,
  more: number,
): FaultOrder[] {
  const dice = new Dice(seed, 'faults')
  const pool = [...FAULTS.keys()].filter(name => !except.includes(name))
  const chosen = faults ?? dice.some(pool, dice.whole(KINDS, 10) + more)
  return chosen.map(name => {
    const own = new Dice(seed, `order ${name}`)
    const length = own.between(30 * MINUTE, busyMs)
    const from = START + own.between(0, busyMs - length)
    return { name, share: own.between(...FAULTS.get(name)!.share), from, to: from + length }
  })
}

/** Sets that contain each other, so that runners are taken by other jobs. */
const LABELS: readonly (readonly string[])[] = [
  ['tornade'],
  ['tornade', 'arm64'],
  ['tornade', 'arm64', 'spot'],
  ['tornade', 'arm64', 'spot', '4cpu'],
  ['tornade', 'spot', '4cpu'],
  ['tornade', '4cpu'],
  ['tornade', 'spot-only'],
  ['tornade', 'docker'],
  ['tornade', 'timeout:15m'],
  ['tornade/arm64'],
  ['tornade/arm64/spot/run-7'],
]
const ROLE_LABELS: readonly (readonly string[])[] = [['tornade', 'role:deploy'], ['tornade/role:deploy']]
const MISTAKES: readonly (readonly string[])[] = [
  ['tornade', '5cpu'],
  ['tornade', 'role:unknown'],
]

/** At least 50 jobs in runs of one to eight, and now and then a crowd at once. */
function jobsOf(seed: number, busyMs: number): PlannedJob[] {
  const dice = new Dice(seed, 'jobs')
  const repositories = Array.from({ length: dice.whole(3, 5) }, (_, index) => repositoryOf(index + 1))
  const crowd = dice.chance(0.2) ? dice.between(0, busyMs) : null
  const planned: PlannedJob[] = []
  for (let run = 1; planned.length < 50; run++) {
    const repository = dice.pick(repositories)
    const fork = dice.chance(0.06)
    const commit = {
      headBranch: dice.chance(0.7) ? 'main' : 'feature',
      headSha: hex(`commit ${seed} ${run}`, 40),
      event: fork || dice.chance(0.2) ? 'pull_request' : 'push',
      headRepositoryId: fork ? dice.pick([null, 77]) : repository.id,
    }
    const at = START + (crowd !== null && dice.chance(0.5) ? crowd : dice.between(0, busyMs))
    const count = dice.pick([1, 1, 2, 3, 8])
    for (let index = 0; index < count; index++) {
      const jobId = 1000 + planned.length
      const job = jobOf(dice, { repository, jobId, runId: 900_000 + run, ...commit })
      const when = at + dice.between(0, 5 * SECOND)
      planned.push({
        at: when,
        job,
        gateAt: job.gate ? when + dice.between(0, 15 * MINUTE) : null,
        againAt: dice.chance(0.06) ? when + dice.between(MINUTE, 20 * MINUTE) : null,
      })
    }
  }
  return planned
}

type JobFacts = Pick<
  DoubleJob,
  'repository' | 'jobId' | 'runId' | 'headBranch' | 'headSha' | 'event' | 'headRepositoryId'
>

function jobOf(dice: Dice, facts: JobFacts): DoubleJob {
  const kind = dice.number()
  const labels = dice.pick(kind < 0.08 ? ROLE_LABELS : kind < 0.1 ? MISTAKES : LABELS)
  const conclusion = dice.chance(0.1) ? ('failure' as const) : ('success' as const)
  const long = dice.chance(0.03)
  return {
    installationId: 5001,
    attempt: 1,
    workflow: 'CI',
    name: `job ${facts.jobId}`,
    labels,
    ...facts,
    gate: dice.chance(0.05),
    script: { durationMs: Math.round(dice.between(20, long ? 1500 : 300) * SECOND), conclusion },
  }
}

function repositoryOf(number: number): DoubleRepository {
  return { ...ACME_APP, id: number, name: `acme/r${number}` }
}

function queueAll({ clock, github }: World, planned: readonly PlannedJob[]): void {
  for (const { at, job, gateAt, againAt } of planned) {
    clock.at(at, () => github.queue(job))
    if (gateAt !== null) clock.at(gateAt, () => void github.openGate(job.jobId))
    if (againAt !== null) clock.at(againAt, () => void github.runAgain(job.jobId))
  }
}

function lookEachMinute({ clock }: World, promises: Promises, calm: number): void {
  const look = () => {
    promises.look()
    if (clock.now() < calm) clock.after(MINUTE, look)
  }
  clock.after(MINUTE, look)
}

/** Lets time pass until nothing is under way, or the bound is over; answers when that was. */
async function recover(world: World, promises: Promises, calm: number): Promise<number> {
  const { clock } = world
  const end = calm + BOUND_MS
  let quiet = false
  const look = async (): Promise<void> => {
    if (clock.now() > calm + SETTLED_MS) promises.look()
    quiet = await isQuiet(world)
    if (!quiet) clock.after(MINUTE, look)
  }
  // Between two sweeps, so that what a sweep sends has been handled.
  clock.at(clock.now() + MINUTE / 2, look)
  await clock.run(end, () => quiet)
  return clock.now()
}

async function isQuiet({ ledger, github, compute, tickets, backlog }: World): Promise<boolean> {
  if (github.openJobs > 0 || compute.live > 0 || backlog.waiting > 0 || tickets.waiting > 0) return false
  if (!github.runners().next().done) return false
  const [jobs, runners, gate, reruns] = await Promise.all([
    ledger.jobs.open({ limit: 1 }),
    ledger.runners.open({}),
    ledger.gate.get(),
    ledger.reruns.open({ limit: 1 }),
  ])
  const places = Object.keys(gate.holders).length + Object.keys(gate.waiting).length
  return jobs.length + runners.length + reruns.length + places === 0
}

async function unheardOf({ ledger, github }: World): Promise<number> {
  const { items } = await ledger.jobs.page({ limit: Number.POSITIVE_INFINITY })
  const heardOf = new Set(items.map(({ request }) => request.repository.id))
  return [...github.jobs()].filter(({ job }) => !heardOf.has(job.repository.id)).length
}

async function statesOf({ ledger }: World): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const job of (await ledger.jobs.page({ limit: Number.POSITIVE_INFINITY })).items) {
    const state = jobState(job)
    counts[state] = (counts[state] ?? 0) + 1
  }
  return counts
}
