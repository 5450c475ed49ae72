/**
 * What a runner costs, and which part of that the job pays.
 *
 * A runner costs its billed window × the price of its shape. The window is cut at two moments, when the runner
 * was up and when its job ended, into start-up, job and idle. All arithmetic is in integers (BigInt for
 * products) and rounds once, so the three parts sum to the whole, to the micro-dollar. Of that whole, whatever part
 * it is in, is told how much was wasted: paid for a runner that an interruption took, or that was started by mistake.
 */
import {
  FARGATE_INCLUDED_DISK_GIB,
  type GitHubPrices,
  PRICES,
  type Price,
  type PriceTable,
  PUBLIC_STANDARD_MAX_CPU,
  pricesAt,
  type RegionPrices,
} from './prices.ts'
import { isInVain } from './stops.ts'
import type { Arch, Compute, JobCost, PriceBasis, Runner, RunnerCost, RunnerShape } from './types.ts'

const MINUTE_MS = 60_000
const NANO_PER_MICRO = 1000

/** Shapes are counted in 1/1024 vCPU and MiB, in which 0.25 vCPU and 512 MB are whole numbers. */
const AMOUNT_UNITS = 1024
/** One micro-dollar, in the units of a rate × milliseconds. */
const MICRO_USD = BigInt(AMOUNT_UNITS) * BigInt(60 * MINUTE_MS) * BigInt(NANO_PER_MICRO)

const SCALED_PER_MICRO_USD_MINUTE = Number(MICRO_USD) / MINUTE_MS

/** Both are billed from a start until the stop, for at least a minute, and rounded up to a whole step. */
const SHORTEST_BILL_MS = MINUTE_MS
const BILLING_STEP_MS: Readonly<Record<Compute, number>> = { fargate: 1000, codebuild: MINUTE_MS }

/** Last moment that a time with a four-digit year can say; what lies beyond is a fault and no time. */
const LAST_INSTANT = Date.UTC(9999, 11, 31)

/** Price of a shape in nano-dollars per hour × AMOUNT_UNITS; null where it is unknown. */
interface Rate {
  readonly scaled: bigint | null
  readonly basis: PriceBasis
}

const UNKNOWN_RATE: Rate = { scaled: null, basis: 'unknown' }

/**
 * Price of one minute of this shape, IPv4 included on Fargate; microUsd may be fractional; null = unknown.
 *
 * With a number and the basis `unknown`, only a smaller part, such as the extra storage, has no known price: the number
 * is then a lower bound.
 * @param at milliseconds since 1970; the newest prices without it
 */
export function perMinute(
  shape: RunnerShape,
  region: string,
  at = Number.POSITIVE_INFINITY,
  prices = PRICES,
): { readonly microUsd: number | null; readonly basis: PriceBasis } {
  const { scaled, basis } = rateOf(shape, region, at, prices)
  return { microUsd: scaled === null ? null : Number(scaled) / SCALED_PER_MICRO_USD_MINUTE, basis }
}

/**
 * GitHub-hosted smallest Linux runner of that architecture with at least `cpu` vCPUs; null = GitHub has none.
 * microUsd per started minute, in a private repository.
 */
export function githubHostedPerMinute(
  arch: Arch,
  cpu: number,
  { hosted }: GitHubPrices = pricesAt(PRICES.github, Number.POSITIVE_INFINITY),
): { readonly microUsd: number; readonly cpu: number } | null {
  const runner = hosted[arch].find(one => one.cpu >= cpu)
  return runner ? { microUsd: runner.nanoUsd / NANO_PER_MICRO, cpu: runner.cpu } : null
}

/** Cost of a runner whose end is known, at the prices of its stop; null before (launch unknown or not stopped). */
export function runnerCost(runner: Runner, prices = PRICES): RunnerCost | null {
  const bill = invoice(runner, prices)
  if (bill === null) return null
  const { own } = bill
  const twice = costOfDoubles(runner)
  const total = own.totalMicroUsd + twice
  return {
    ...own,
    totalMicroUsd: total,
    idleMicroUsd: own.idleMicroUsd + twice,
    onDemandMicroUsd: own.onDemandMicroUsd + twice,
    wastedMicroUsd: isInVain(runner) ? total : twice,
  }
}

/** What a runner would cost that stopped at `now`; null while its launch is unknown. One that has stopped costs what it did. */
export function costSoFar(runner: Runner, now: number): RunnerCost | null {
  return runnerCost(runner.stoppedAt === null ? { ...runner, stoppedAt: now } : runner)
}

/** Share of the job it really ran; null when it ran none or has no cost yet. */
export function jobCost(runner: Runner, prices = PRICES): JobCost | null {
  const bill = invoice(runner, prices)
  if (bill === null || runner.launch === null || runner.job === null) return null
  const { own, window, jobMs } = bill
  const github = pricesAt(prices.github, window.endedAt)
  const minutes = startedMinutes(runner.job, window.endedAt)
  const fee = Math.round((minutes * github.selfHostedMinuteNanoUsd) / NANO_PER_MICRO)
  return {
    runner: runner.name,
    microUsd: own.jobMicroUsd,
    githubHostedMicroUsd: githubHostedCost(runner.launch.shape, runner.job, minutes, github),
    onDemandMicroUsd: share(own.onDemandMicroUsd, jobMs, own.billedMs),
    basis: own.basis,
    onDemandBasis: own.onDemandBasis,
    ...(fee > 0 ? { githubFeeMicroUsd: fee } : {}),
  }
}

/** What other tasks or builds cost that were started for this runner by mistake. */
export function costOfDoubles({ wasted }: Pick<Runner, 'wasted'>): number {
  return Object.values(wasted ?? {}).reduce((sum, microUsd) => sum + microUsd, 0)
}

interface Invoice {
  /** Without other tasks that were started for it. */
  readonly own: Required<Omit<RunnerCost, 'wastedMicroUsd'>>
  readonly window: BilledWindow
  readonly jobMs: number
}

function invoice(runner: Runner, prices: PriceTable): Invoice | null {
  const window = billedWindow(runner)
  if (runner.launch === null || window === null) return null
  const { shape, region } = runner.launch
  const { billedMs, endedAt } = window
  const onDemandShape = shape.capacity === null ? shape : ({ ...shape, capacity: 'on-demand' } as const)
  const rate = rateOf(shape, region, endedAt, prices)
  const onDemand = rateOf(onDemandShape, region, endedAt, prices)
  const { startupMs, jobMs } = splitWindow(runner, window)

  const total = charge(rate, billedMs)
  const startup = share(total, startupMs, billedMs)
  const job = share(total, jobMs, billedMs)
  const own = {
    totalMicroUsd: total,
    startupMicroUsd: startup,
    jobMicroUsd: job,
    idleMicroUsd: total - startup - job,
    onDemandMicroUsd: charge(onDemand, billedMs),
    billedMs,
    // Nothing billed costs nothing for sure, whatever is known about the price.
    basis: billedMs === 0 ? ('published' as const) : rate.basis,
    onDemandBasis: billedMs === 0 ? ('published' as const) : onDemand.basis,
  }
  return { own, window, jobMs }
}

// Prices

function rateOf(shape: RunnerShape, region: string, at: number, { regions }: PriceTable): Rate {
  const history = regions.get(region)
  if (!history) return UNKNOWN_RATE
  const prices = pricesAt(history, at)
  return shape.compute === 'fargate' ? fargateRate(shape, prices) : codebuildRate(shape, prices)
}

/**
 * vCPU, memory and address always count; storage only beyond what is included. Without a price of vCPU or
 * memory the rest says nothing, so the whole is unknown. A lacking price of the others leaves a lower bound, which
 * serves spend caps and reports better than nothing would.
 */
function fargateRate(shape: RunnerShape, prices: RegionPrices): Rate {
  const { vcpuHour, gbHour } = prices.fargate[shape.arch][shape.capacity ?? 'on-demand']
  if (vcpuHour.nanoUsd === null || gbHour.nanoUsd === null) return UNKNOWN_RATE
  const parts: readonly Part[] = [
    { price: vcpuHour, amount: shape.cpu },
    { price: gbHour, amount: shape.memoryGiB },
    { price: prices.publicIpv4Hour, amount: 1 },
    { price: prices.fargateStorageGbHour, amount: shape.diskGiB - FARGATE_INCLUDED_DISK_GIB },
  ]
  return sum(parts.filter(part => part.amount > 0))
}

/** Disk and address are part of a build's price. */
function codebuildRate(shape: RunnerShape, prices: RegionPrices): Rate {
  const minute = prices.codebuildMinute[shape.arch].get(shape.computeType ?? '')
  return minute && minute.nanoUsd !== null ? sum([{ price: minute, amount: 60 }]) : UNKNOWN_RATE
}

/** So many units of something that has a price per unit and hour. */
interface Part {
  readonly price: Price
  readonly amount: number
}

function sum(parts: readonly Part[]): Rate {
  const scaled = parts.reduce(
    (total, { price, amount }) =>
      total + BigInt(price.nanoUsd ?? 0) * BigInt(Math.round(amount * AMOUNT_UNITS)),
    0n,
  )
  return { scaled, basis: worst(parts.map(part => part.price.basis)) }
}

function worst(bases: readonly PriceBasis[]): PriceBasis {
  if (bases.includes('unknown')) return 'unknown'
  return bases.includes('estimate') ? 'estimate' : 'published'
}

/** Micro-dollars of a window, rounded half up; an unknown rate counts as 0. */
function charge(rate: Rate, billedMs: number): number {
  const exact = (rate.scaled ?? 0n) * BigInt(billedMs)
  return Number((2n * exact + MICRO_USD) / (2n * MICRO_USD))
}

/** The share that `partMs` of `wholeMs` have in an amount, rounded down. */
function share(microUsd: number, partMs: number, wholeMs: number): number {
  return wholeMs === 0 ? 0 : Number((BigInt(microUsd) * BigInt(partMs)) / BigInt(wholeMs))
}

// Times

interface BilledWindow {
  readonly startedAt: number
  /** When the runner stopped; never before startedAt. */
  readonly endedAt: number
  /** What is billed: at least endedAt − startedAt, by the billing floor and step often more. */
  readonly billedMs: number
}

/**
 * Fargate bills from the start of the image pull, CodeBuild from the start of the build; both stand in
 * pullStartedAt. A runner without one that is known to have run is billed from then; without either it never
 * got to pulling and costs nothing. null while the runner has not stopped.
 */
function billedWindow(runner: Runner): BilledWindow | null {
  const stoppedAt = instant(runner.stoppedAt)
  if (runner.launch === null || stoppedAt === null) return null
  const startedAt = instant(runner.pullStartedAt) ?? instant(runner.startedAt)
  if (startedAt === null) return { startedAt: stoppedAt, endedAt: stoppedAt, billedMs: 0 }
  const endedAt = Math.max(startedAt, stoppedAt)
  const step = BILLING_STEP_MS[runner.launch.shape.compute]
  const billedMs = Math.max(SHORTEST_BILL_MS, Math.ceil((endedAt - startedAt) / step) * step)
  return { startedAt, endedAt, billedMs }
}

/**
 * How much of a billed window is start-up and job; the rest is idle, and so is what billing adds after the stop.
 * A runner that never ran is start-up alone. Each clock (AWS, GitHub) may be off: every moment is brought
 * between its neighbours, in the order start, up, job started, job completed, end.
 */
function splitWindow(runner: Runner, window: BilledWindow): { startupMs: number; jobMs: number } {
  const { startedAt, endedAt, billedMs } = window
  const jobStartedAt = instant(runner.job?.startedAt)
  // The event that says RUNNING can be lost; a runner with a job did run.
  const upAt = instant(runner.startedAt) ?? jobStartedAt
  if (upAt === null) return { startupMs: billedMs, jobMs: 0 }
  const up = clamp(upAt, startedAt, endedAt)
  const from = clamp(jobStartedAt ?? endedAt, up, endedAt)
  // Spot can take a runner before GitHub knows the end of its job: then it ran until the stop.
  const to = clamp(instant(runner.job?.completedAt) ?? endedAt, from, endedAt)
  return { startupMs: up - startedAt, jobMs: to - from }
}

/** As GitHub counts: at least one. */
function startedMinutes(job: NonNullable<Runner['job']>, runnerEndedAt: number): number {
  const completedAt = instant(job.completedAt) ?? runnerEndedAt
  const runMs = completedAt - (instant(job.startedAt) ?? completedAt)
  return Math.max(1, Math.ceil(runMs / MINUTE_MS))
}

/** The job's minutes on GitHub's runner of the same size. */
function githubHostedCost(
  { arch, cpu }: RunnerShape,
  { publicRepository }: NonNullable<Runner['job']>,
  minutes: number,
  github: GitHubPrices,
): number | null {
  const hosted = githubHostedPerMinute(arch, cpu, github)
  if (hosted === null) return null
  return publicRepository && hosted.cpu <= PUBLIC_STANDARD_MAX_CPU ? 0 : minutes * hosted.microUsd
}

/** A moment in whole milliseconds; null for none, and for what is no moment (NaN, before 1970, past 9999). */
function instant(at: number | null | undefined): number | null {
  return at != null && at >= 0 && at <= LAST_INSTANT ? Math.trunc(at) : null
}

function clamp(at: number, low: number, high: number): number {
  return Math.min(Math.max(at, low), high)
}
