/**
 * Roll-ups: what an hour, a day or a month came to, made from the runners that stopped in it and from the jobs that ended in
 * it without one. They are recomputed from those items and overwritten, so that a second pass changes nothing. Days are made
 * from hours and months from days; all of them are of UTC.
 *
 * Data only: written as JSON. Money is integer micro-dollars, lengths are milliseconds.
 */
import { readySince } from './lifecycle.ts'
import { isReclaim } from './stops.ts'
import { clean, NAME_LIMIT } from './text.ts'
import type { Arch, Job, PriceBasis, Runner, RunnerCost, RunnerShape, Spec } from './types.ts'

export type ComputeKind = 'fargate' | 'fargate-spot' | 'codebuild'
export type Grain = 'hour' | 'day' | 'month'

/** What runners and their jobs sum to. startup + job + idle is the whole; nothing else is part of that sum. */
export interface Sums {
  /** Runners that stopped. */
  readonly runners: number
  /** Jobs that ran on them. */
  readonly jobs: number
  /** Of these jobs, those that did not end with success. */
  readonly failed: number
  readonly startupMicroUsd: number
  readonly jobMicroUsd: number
  readonly idleMicroUsd: number
  /** The part of the whole that interruptions made worthless. */
  readonly wastedMicroUsd: number
  /** The same runners on demand. */
  readonly onDemandMicroUsd: number
  /** The jobs' minutes on runners of GitHub; jobs that GitHub has no runner for count as 0. */
  readonly githubHostedMicroUsd: number
  /** The part of the whole that rests on an estimated price. */
  readonly estimateMicroUsd: number
  /** Runners whose price, or a part of it, is unknown and counts as 0. */
  readonly unknownRunners: number
  /** How long the jobs ran. */
  readonly jobMs: number
  readonly billedMs: number
  /** How long the jobs waited, from when they could have run until they ran. */
  readonly queueMs: number
}

/** What was spent for one kind of thing. The cells of a period are all different, and sum to its totals. */
export interface Cell extends Sums {
  /** owner/name; one that was renamed stands under each of its names. */
  readonly repository: string
  /** null where no job ran, and where GitHub does not say. */
  readonly workflow: string | null
  readonly role: string | null
  readonly compute: ComputeKind
}

/** Lengths counted in buckets, each a tenth longer than the one before: bucket → count. */
export type Histogram = Readonly<Record<string, number>>

/** A job's way from GitHub to its first step. */
export interface StartTimes {
  /** Created at GitHub → heard of. */
  readonly delivery: Histogram
  /** Heard of, or the gate opened → its runner asked for. */
  readonly queue: Histogram
  /** Asked for → begins to pull its image. */
  readonly provisioning: Histogram
  /** Pull, until the container runs. */
  readonly pull: Histogram
  /** Runs → GitHub has given it the job. */
  readonly registration: Histogram
  /** All of it, from when the job could have run. */
  readonly whole: Histogram
}

/** What happened, each counted in the hour in which the job or its runner ended. */
export interface Happenings {
  readonly refused: number
  /** Cancelled, or failed by GitHub, before a runner took them. */
  readonly unserved: number
  /** Runners that Spot took back. */
  readonly reclaims: number
  /** Runners started on another kind of capacity than the labels ask for first. */
  readonly fallbacks: number
  /** Runners started because another job took the one before. */
  readonly replacements: number
  /** Runners that never came to run. */
  readonly startFailures: number
}

/** One run of a workflow, as its runner measured itself. */
export interface UsageSample {
  readonly jobKey: string
  readonly at: number
  readonly seconds: number
  /** vCPU used. */
  readonly cpuAverage: number
  readonly cpuPeak: number
  readonly memoryAverageGiB: number
  readonly memoryPeakGiB: number
}
export interface UsageOf {
  readonly repository: string
  readonly workflow: string
  readonly region: string
  readonly shape: RunnerShape
  /** The newest 20, newest first. */
  readonly samples: readonly UsageSample[]
}

/** What a period came to. */
export interface SpendRollup {
  readonly family: 'spend'
  readonly grain: Grain
  /** 2026-11-02T09, 2026-11-02 or 2026-11 */
  readonly period: string
  /** When it was computed. */
  readonly at: number
  readonly sums: Sums
  readonly byCompute: Readonly<Partial<Record<ComputeKind, Sums>>>
  readonly byArch: Readonly<Partial<Record<Arch, Sums>>>
  readonly happened: Happenings
  readonly starts: StartTimes
  readonly cells: readonly Cell[]
  /** A part of the cells could not be read. */
  readonly incomplete?: true
}
/** What runners measured; made only of hours, days and months that are over. */
export interface UsageRollup {
  readonly family: 'usage'
  readonly grain: Grain
  readonly period: string
  readonly at: number
  readonly usage: readonly UsageOf[]
  /** A part of it could not be read. */
  readonly incomplete?: true
}
export type Rollup = SpendRollup | UsageRollup

/** Key of a roll-up in the ledger, for example `day#2026-11-02#spend`. */
export function rollupKey({ grain, period, family }: Pick<Rollup, 'grain' | 'period' | 'family'>): string {
  return `${grain}#${period}#${family}`
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** How long roll-ups are kept after their period; those of hours as long as the items that they are made of. */
export const KEPT_MS: Readonly<Record<Grain, number>> = {
  hour: 90 * DAY_MS,
  day: 400 * DAY_MS,
  month: 400 * DAY_MS,
}

const PERIOD_CHARACTERS: Readonly<Record<Grain, number>> = { hour: 13, day: 10, month: 7 }

/** Name of the hour, day or month that a time lies in. */
export function periodOf(grain: Grain, at: number): string {
  return new Date(at).toISOString().slice(0, PERIOD_CHARACTERS[grain])
}

/** When a period of that name begins, and when the next one does. */
export function spanOf(grain: Grain, period: string): { readonly from: number; readonly to: number } {
  const from = Date.parse(grain === 'hour' ? `${period}:00Z` : period)
  if (grain !== 'month') return { from, to: from + (grain === 'hour' ? HOUR_MS : DAY_MS) }
  const [year, month] = period.split('-').map(Number)
  return { from, to: Date.UTC(year!, month!, 1) }
}

/** The hours of a day, or the days of a month. */
export function partsOf(grain: 'day' | 'month', period: string): readonly string[] {
  const { from, to } = spanOf(grain, period)
  const [part, length] = grain === 'day' ? (['hour', HOUR_MS] as const) : (['day', DAY_MS] as const)
  return Array.from({ length: (to - from) / length }, (_, index) => periodOf(part, from + index * length))
}

/** How sure a sum is: the worst basis of what is in it. */
export function basisOf({
  estimateMicroUsd,
  unknownRunners,
}: Pick<Sums, 'estimateMicroUsd' | 'unknownRunners'>): PriceBasis {
  if (unknownRunners > 0) return 'unknown'
  return estimateMicroUsd > 0 ? 'estimate' : 'published'
}

/** startup + job + idle */
export function wholeOf({ startupMicroUsd, jobMicroUsd, idleMicroUsd }: Sums): number {
  return startupMicroUsd + jobMicroUsd + idleMicroUsd
}

// Adding up

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

export const NO_SUMS: Sums = {
  runners: 0,
  jobs: 0,
  failed: 0,
  startupMicroUsd: 0,
  jobMicroUsd: 0,
  idleMicroUsd: 0,
  wastedMicroUsd: 0,
  onDemandMicroUsd: 0,
  githubHostedMicroUsd: 0,
  estimateMicroUsd: 0,
  unknownRunners: 0,
  jobMs: 0,
  billedMs: 0,
  queueMs: 0,
}
export const NOTHING_HAPPENED: Happenings = {
  refused: 0,
  unserved: 0,
  reclaims: 0,
  fallbacks: 0,
  replacements: 0,
  startFailures: 0,
}
export const NO_STARTS: StartTimes = {
  delivery: {},
  queue: {},
  provisioning: {},
  pull: {},
  registration: {},
  whole: {},
}
export const SUM_NAMES = Object.keys(NO_SUMS) as readonly (keyof Sums)[]
export const HAPPENING_NAMES = Object.keys(NOTHING_HAPPENED) as readonly (keyof Happenings)[]
export const START_NAMES = Object.keys(NO_STARTS) as readonly (keyof StartTimes)[]

function add<Name extends string>(
  names: readonly Name[],
  to: Record<Name, number>,
  from: Readonly<Record<Name, number>>,
): void {
  for (const name of names) to[name] += from[name]
}

export function sumOf(all: Iterable<Sums>): Sums {
  const sum: Mutable<Sums> = { ...NO_SUMS }
  for (const one of all) add(SUM_NAMES, sum, one)
  return sum
}

export function happenedIn(all: Iterable<Happenings>): Happenings {
  const sum: Mutable<Happenings> = { ...NOTHING_HAPPENED }
  for (const one of all) add(HAPPENING_NAMES, sum, one)
  return sum
}

export function startsOf(all: Iterable<StartTimes>): StartTimes {
  const sum = { delivery: {}, queue: {}, provisioning: {}, pull: {}, registration: {}, whole: {} }
  for (const one of all) for (const name of START_NAMES) merge(sum[name], one[name])
  return sum
}

function merge(to: Record<string, number>, from: Histogram): void {
  for (const [bucket, count] of Object.entries(from)) to[bucket] = (to[bucket] ?? 0) + count
}

/** Sums by some name; a Map, because names are written by people: `__proto__` is one like any other. */
export class Groups<T> {
  readonly #groups = new Map<string, { readonly of: T; readonly sums: Mutable<Sums> }>()

  /** @returns what stands for the group: the `of` that it was first given */
  add(key: string, of: T, sums: Sums): T {
    const group = this.#groups.get(key) ?? { of, sums: { ...NO_SUMS } }
    this.#groups.set(key, group)
    add(SUM_NAMES, group.sums, sums)
    return group.of
  }

  /** In the order of their keys. */
  all(): (readonly [T, Sums])[] {
    return [...this.#groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { of, sums }]) => [of, sums] as const)
  }
}

// Of hours

/** What an hour is made of. */
export interface HourItems {
  /** Runners that stopped in it. */
  readonly runners: readonly Runner[]
  /** Jobs by their keys: those that ran on these runners, and those that these were started for. */
  readonly jobs: ReadonlyMap<string, Job>
  /** Jobs that ended in it without having run. */
  readonly unserved: readonly Job[]
}

const SAMPLES = 20

export function spendOfHour(period: string, at: number, items: HourItems): SpendRollup {
  const cells = new Groups<CellNames>()
  const computes = new Groups<ComputeKind>()
  const arches = new Groups<Arch>()
  const happened: Mutable<Happenings> = { ...NOTHING_HAPPENED }
  const starts: StartTimes[] = []
  for (const runner of items.runners) {
    count(happened, happenedTo(runner, items.jobs))
    const { launch, job: ran, cost } = runner
    if (launch === null || cost === null) continue
    const job = ran === null ? undefined : items.jobs.get(ran.key)
    const names: CellNames = {
      repository: clean(launch.repository.name, NAME_LIMIT),
      workflow: job?.request.workflow == null ? null : clean(job.request.workflow),
      role: launch.role === null ? null : clean(launch.role),
      compute: computeKind(launch.shape),
    }
    const sums = sumsOf(runner, cost, job)
    cells.add(cellKey(names), names, sums)
    computes.add(names.compute, names.compute, sums)
    arches.add(launch.shape.arch, launch.shape.arch, sums)
    if (job) starts.push(startTimes(runner, job))
  }
  for (const { refused } of items.unserved) count(happened, refused ? ['refused'] : ['unserved'])
  return {
    family: 'spend',
    grain: 'hour',
    period,
    at,
    sums: sumOf(cells.all().map(([, sums]) => sums)),
    byCompute: Object.fromEntries(computes.all()),
    byArch: Object.fromEntries(arches.all()),
    happened,
    starts: startsOf(starts),
    cells: cells.all().map(([names, sums]) => ({ ...names, ...sums })),
  }
}

/** Keys of the jobs that `HourItems.jobs` wants. */
export function jobsWanted(runners: readonly Runner[]): readonly string[] {
  const keys = runners.flatMap(({ job, launch }) => [
    ...(job ? [job.key] : []),
    ...(launch && launch.cause !== 'pool' ? [launch.jobKey] : []),
  ])
  return [...new Set(keys)]
}

export function computeKind({ compute, capacity }: RunnerShape): ComputeKind {
  return compute === 'fargate' && capacity === 'spot' ? 'fargate-spot' : compute
}

type CellNames = Pick<Cell, 'repository' | 'workflow' | 'role' | 'compute'>

function cellKey({ repository, workflow, role, compute }: CellNames): string {
  return keyOf(repository, workflow, role, compute)
}

/** Names are cleaned, so none has a control character. */
export function keyOf(...names: readonly (string | null)[]): string {
  return names.map(name => name ?? '\u0000').join('\n')
}

function sumsOf(runner: Runner, cost: RunnerCost, job: Job | undefined): Sums {
  const { job: ran, stoppedAt } = runner
  const { startupMicroUsd, jobMicroUsd, idleMicroUsd, onDemandMicroUsd, billedMs, basis } = cost
  const paid = job?.cost?.runner === runner.name ? job.cost : null
  return {
    runners: 1,
    jobs: ran ? 1 : 0,
    failed: job?.completed && job.completed.conclusion !== 'success' ? 1 : 0,
    startupMicroUsd,
    jobMicroUsd,
    idleMicroUsd,
    wastedMicroUsd: cost.wastedMicroUsd ?? 0,
    onDemandMicroUsd,
    githubHostedMicroUsd: Math.round(paid?.githubHostedMicroUsd ?? 0),
    estimateMicroUsd: basis === 'estimate' ? startupMicroUsd + jobMicroUsd + idleMicroUsd : 0,
    unknownRunners: basis === 'unknown' ? 1 : 0,
    jobMs: ran ? between(ran.startedAt, ran.completedAt ?? stoppedAt) : 0,
    billedMs,
    queueMs: job?.started ? between(readySince(job), job.started.at) : 0,
  }
}

type Happening = keyof Happenings

function count(happened: Mutable<Happenings>, what: readonly Happening[]): void {
  for (const name of what) happened[name] += 1
}

function happenedTo(runner: Runner, jobs: HourItems['jobs']): Happening[] {
  const { launch, stop, startedAt, job, stopRequestedAt, deregisteredAt } = runner
  const spec = launch && jobs.get(launch.jobKey)?.spec
  const isUnasked = stopRequestedAt === null && deregisteredAt === null
  return [
    ...(stop && isReclaim(stop) ? (['reclaims'] as const) : []),
    ...(spec && isFallback(launch.shape, spec) ? (['fallbacks'] as const) : []),
    ...(launch?.cause === 'replacement' ? (['replacements'] as const) : []),
    ...(startedAt === null && job === null && isUnasked ? (['startFailures'] as const) : []),
  ]
}

function isFallback({ compute, capacity }: RunnerShape, spec: Spec): boolean {
  if (compute !== spec.compute) return true
  const first = spec.capacity === null ? null : spec.capacity === 'on-demand' ? 'on-demand' : 'spot'
  return capacity !== first
}

/** Parts of which a time is not known are left out, and so are those that a runner had behind it before the job came. */
function startTimes({ launch, pullStartedAt, startedAt, job: ran }: Runner, job: Job): StartTimes {
  const { request, gatedAt, queuedAt, started } = job
  const isOwn = launch!.jobKey === job.key && launch!.cause !== 'pool'
  const part = (from: number | null, to: number | null, own = true): Histogram =>
    from === null || to === null || (own && !isOwn) ? {} : { [bucketOf(to - from)]: 1 }
  return {
    delivery: gatedAt === null ? part(request.createdAt, queuedAt, false) : {},
    queue: part(queuedAt, launch!.at),
    provisioning: part(launch!.at, pullStartedAt),
    pull: part(pullStartedAt, startedAt),
    registration: part(startedAt, ran!.startedAt),
    whole: part(readySince(job), started?.at ?? null, false),
  }
}

/** Clocks differ: what would be negative is 0. */
function between(from: number, to: number | null): number {
  return to === null ? 0 : Math.max(0, Math.round(to - from))
}

export function usageOfHour(period: string, at: number, { runners, jobs }: HourItems): UsageRollup {
  const usage = runners.flatMap((runner): UsageOf[] => {
    const { launch, job: ran, stoppedAt, usage: measured } = runner
    const workflow = ran && jobs.get(ran.key)?.request.workflow
    if (!launch || !ran || !measured || workflow == null) return []
    const { seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB } = measured
    const sample = { seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB }
    return [
      {
        repository: clean(launch.repository.name, NAME_LIMIT),
        workflow: clean(workflow),
        region: launch.region,
        shape: launch.shape,
        samples: [{ jobKey: ran.key, at: stoppedAt!, ...sample }],
      },
    ]
  })
  return { family: 'usage', grain: 'hour', period, at, usage: mergeUsage(usage) }
}

// Of days and months

/** What the parts of a day or a month sum to, in whatever order they are given. */
export function spendOf(
  grain: 'day' | 'month',
  period: string,
  at: number,
  parts: readonly SpendRollup[],
): SpendRollup {
  const cells = new Groups<CellNames>()
  const computes = new Groups<ComputeKind>()
  const arches = new Groups<Arch>()
  for (const { cells: some, byCompute, byArch } of parts) {
    for (const cell of some) {
      const { repository, workflow, role, compute } = cell
      const names = { repository, workflow, role, compute }
      cells.add(cellKey(names), names, cell)
    }
    for (const [kind, sums] of entries(byCompute)) computes.add(kind, kind, sums)
    for (const [arch, sums] of entries(byArch)) arches.add(arch, arch, sums)
  }
  return {
    family: 'spend',
    grain,
    period,
    at,
    sums: sumOf(parts.map(({ sums }) => sums)),
    byCompute: Object.fromEntries(computes.all()),
    byArch: Object.fromEntries(arches.all()),
    happened: happenedIn(parts.map(({ happened }) => happened)),
    starts: startsOf(parts.map(({ starts }) => starts)),
    cells: cells.all().map(([names, sums]) => ({ ...names, ...sums })),
    ...(parts.some(({ incomplete }) => incomplete) ? { incomplete: true } : {}),
  }
}

export function usageOf(
  grain: 'day' | 'month',
  period: string,
  at: number,
  parts: readonly UsageRollup[],
): UsageRollup {
  return {
    family: 'usage',
    grain,
    period,
    at,
    usage: mergeUsage(parts.flatMap(({ usage }) => usage)),
    ...(parts.some(({ incomplete }) => incomplete) ? { incomplete: true } : {}),
  }
}

/** The newest samples of each repository, workflow, region and shape. */
export function mergeUsage(all: readonly UsageOf[]): readonly UsageOf[] {
  const groups = new Map<string, { readonly of: UsageOf; readonly samples: Map<string, UsageSample> }>()
  for (const one of all) {
    const { repository, workflow, region, shape } = one
    const { arch, compute, capacity, cpu, memoryGiB, diskGiB, computeType } = shape
    const size = [arch, compute, capacity, cpu, memoryGiB, diskGiB, computeType]
    const key = JSON.stringify([repository, workflow, region, ...size])
    const group = groups.get(key) ?? { of: one, samples: new Map() }
    groups.set(key, group)
    for (const sample of one.samples) group.samples.set(sample.jobKey, sample)
  }
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { of, samples }]) => ({ ...of, samples: [...samples.values()].sort(newest).slice(0, SAMPLES) }))
}

function newest(a: UsageSample, b: UsageSample): number {
  return b.at - a.at || (a.jobKey < b.jobKey ? -1 : 1)
}

/** True when both say the same, whenever each was computed. */
export function isSameRollup(a: Rollup | undefined, b: Rollup): boolean {
  return a !== undefined && canonical({ ...a, at: 0 }) === canonical({ ...b, at: 0 })
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  )
}

export function isEmptyRollup(rollup: Rollup): boolean {
  if (rollup.family === 'usage') return rollup.usage.length === 0
  return rollup.cells.length === 0 && HAPPENING_NAMES.every(name => rollup.happened[name] === 0)
}

function entries<Name extends string>(
  record: Readonly<Partial<Record<Name, Sums>>>,
): readonly (readonly [Name, Sums])[] {
  return Object.entries(record) as unknown as [Name, Sums][]
}

// Lengths

/** The first bucket is all below this; each further one reaches a tenth longer. */
const FIRST_BUCKET_MS = 100
const BUCKET_GROWTH = 1.1

function bucketOf(ms: number): number {
  if (!(ms > FIRST_BUCKET_MS)) return 0
  return Math.ceil(Math.log(ms / FIRST_BUCKET_MS) / Math.log(BUCKET_GROWTH))
}

/** The length, in milliseconds, that this share of those counted stay within, to a twentieth; null when there is none. */
export function quantileOf(lengths: Histogram, share: number): number | null {
  const buckets = Object.entries(lengths).map(([bucket, count]) => [Number(bucket), count] as const)
  buckets.sort(([a], [b]) => a - b)
  const total = buckets.reduce((all, [, count]) => all + count, 0)
  let left = Math.max(1, Math.ceil(share * total))
  for (const [bucket, count] of buckets) {
    left -= count
    // The middle of what lies in the bucket.
    if (left <= 0) return bucket === 0 ? 0 : Math.round(FIRST_BUCKET_MS * BUCKET_GROWTH ** (bucket - 0.5))
  }
  return null
}
