/**
 * What it all cost. Sums are made in integer micro-dollars and divided once, at the end, so that
 * costUsd = jobs + idleUsd + startupUsd holds to the micro-dollar.
 *
 * A runner is booked whole at the moment of its stop, and with it the job that it ran: a job that began before
 * midnight belongs to the day on which its runner stopped. What has not stopped has no cost yet.
 */
import type { Cell, ComputeKind, Happenings, StartTimes, Sums } from './rollups.ts'
import type { Job, PriceBasis, Runner, RunnerCost, RunnerShape } from './types.ts'

export type { ComputeKind }

/** US dollars with six decimals. */
export interface Totals {
  /** All runners: what their jobs cost, plus idleUsd, plus startupUsd. */
  readonly costUsd: number
  readonly idleUsd: number
  readonly startupUsd: number
  /** The jobs' minutes on runners of GitHub; a job that GitHub has no runner for counts as 0. */
  readonly githubHostedUsd: number
}

export interface DayTotals extends Totals {
  /** YYYY-MM-DD, UTC. */
  readonly day: string
}
export interface RepositoryTotals extends Totals {
  /** owner/name; one that was renamed stands under each of its names. */
  readonly repository: string
  /** Jobs that ran on these runners. */
  readonly jobs: number
}
export interface ComputeTotals extends Totals {
  readonly compute: ComputeKind
  readonly runners: number
}

export interface Summary {
  readonly totals: Totals
  /** Days on which a runner stopped, oldest first. */
  readonly byDay: readonly DayTotals[]
  /** Dearest first. */
  readonly byRepository: readonly RepositoryTotals[]
  /** Dearest first. */
  readonly byCompute: readonly ComputeTotals[]
}

/** Milliseconds since 1970; `to` is not part of it. */
export interface Period {
  readonly from: number
  readonly to: number
}

/** A period as its roll-ups have it. */
export interface Report {
  /** Whole hours, as they were asked for or around them. */
  readonly period: Period
  /** When the oldest of its roll-ups that may still change was computed; null when there is none at all. */
  readonly computedAt: number | null
  readonly sums: Sums
  readonly happened: Happenings
  readonly starts: StartTimes
  /** Every UTC day of the period, oldest first. */
  readonly days: readonly ReportDay[]
  /** Dearest first. */
  readonly byRepository: readonly (ReportRow & Pick<Cell, 'repository'>)[]
  readonly byWorkflow: readonly (ReportRow & Pick<Cell, 'repository' | 'workflow'>)[]
  readonly byRole: readonly (ReportRow & Pick<Cell, 'role'>)[]
  readonly byCompute: readonly (ReportRow & Pick<Cell, 'compute'>)[]
}
export interface ReportDay {
  /** YYYY-MM-DD */
  readonly day: string
  readonly sums: Sums
  readonly byCompute: Readonly<Partial<Record<ComputeKind, Sums>>>
  readonly happened: Happenings
  readonly starts: StartTimes
}
export interface ReportRow {
  readonly sums: Sums
  /** Micro-dollars of each day of the period. */
  readonly daily: readonly number[]
}

const MICRO_PER_USD = 1_000_000

/** Totals of these runners, beside GitHub's price of these jobs. */
export function totals(jobs: Iterable<Job>, runners: Iterable<Runner>): Totals {
  const sum = new Sum()
  for (const { cost } of runners) if (cost) sum.addRunner(cost)
  for (const { cost } of jobs) if (cost) sum.addGitHubHosted(cost.githubHostedMicroUsd)
  return sum.totals()
}

/** Totals of the runners that stopped within the period, and of the jobs that they ran. */
export function summary(runners: Iterable<Runner>, jobs: Iterable<Job>, period: Period): Summary {
  const all = new Sum()
  const days = new Groups<string>()
  const repositories = new Groups<string>()
  const computes = new Groups<ComputeKind>()
  const githubHosted = githubHostedByRunner(jobs)
  for (const { name, launch, stoppedAt, job, cost } of runners) {
    if (cost === null || launch === null || stoppedAt === null || !within(stoppedAt, period)) continue
    const sums = [
      all,
      days.get(new Date(stoppedAt).toISOString().slice(0, 10)),
      repositories.get(launch.repository.name),
      computes.get(computeKind(launch.shape)),
    ]
    for (const sum of sums) {
      sum.addRunner(cost)
      if (job !== null) sum.addJob()
      sum.addGitHubHosted(githubHosted.get(name) ?? null)
    }
  }
  return {
    totals: all.totals(),
    byDay: days.sorted(byName).map(([day, sum]) => ({ day, ...sum.totals() })),
    byRepository: repositories
      .sorted(byCost)
      .map(([repository, sum]) => ({ repository, jobs: sum.jobs, ...sum.totals() })),
    byCompute: computes
      .sorted(byCost)
      .map(([compute, sum]) => ({ compute, runners: sum.runners, ...sum.totals() })),
  }
}

/**
 * How sure the totals of a period are: runners in it whose price is an estimate, and runners whose price, or a part
 * of it, is unknown and counts as 0.
 */
export function uncertainty(
  runners: Iterable<Runner>,
  period: Period,
): Readonly<Record<Exclude<PriceBasis, 'published'>, number>> {
  const counts = { estimate: 0, unknown: 0 }
  for (const { cost, stoppedAt } of runners) {
    if (cost === null || stoppedAt === null || !within(stoppedAt, period)) continue
    if (cost.basis !== 'published') counts[cost.basis] += 1
  }
  return counts
}

function computeKind({ compute, capacity }: RunnerShape): ComputeKind {
  return compute === 'fargate' && capacity === 'spot' ? 'fargate-spot' : compute
}

function githubHostedByRunner(jobs: Iterable<Job>): Map<string, number> {
  const prices = new Map<string, number>()
  for (const { cost } of jobs) {
    if (cost && cost.githubHostedMicroUsd !== null) prices.set(cost.runner, cost.githubHostedMicroUsd)
  }
  return prices
}

function within(at: number, { from, to }: Period): boolean {
  return at >= from && at < to
}

/** Micro-dollars. */
class Sum {
  runners = 0
  jobs = 0
  cost = 0
  #idle = 0
  #startup = 0
  #githubHosted = 0

  addRunner({ startupMicroUsd, jobMicroUsd, idleMicroUsd }: RunnerCost): void {
    this.runners += 1
    // The whole is made from its parts, so that they cannot differ.
    this.cost += startupMicroUsd + jobMicroUsd + idleMicroUsd
    this.#idle += idleMicroUsd
    this.#startup += startupMicroUsd
  }

  addJob(): void {
    this.jobs += 1
  }

  addGitHubHosted(microUsd: number | null): void {
    this.#githubHosted += Math.round(microUsd ?? 0)
  }

  totals(): Totals {
    return {
      costUsd: this.cost / MICRO_PER_USD,
      idleUsd: this.#idle / MICRO_PER_USD,
      startupUsd: this.#startup / MICRO_PER_USD,
      githubHostedUsd: this.#githubHosted / MICRO_PER_USD,
    }
  }
}

type Entry<Name> = readonly [Name, Sum]

/** A Map, because names are written by people: `__proto__` is one like any other. */
class Groups<Name extends string> {
  readonly #sums = new Map<Name, Sum>()

  get(name: Name): Sum {
    const known = this.#sums.get(name)
    if (known) return known
    const sum = new Sum()
    this.#sums.set(name, sum)
    return sum
  }

  sorted(compare: (a: Entry<Name>, b: Entry<Name>) => number): Entry<Name>[] {
    return [...this.#sums].sort(compare)
  }
}

function byName([a]: Entry<string>, [b]: Entry<string>): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function byCost(a: Entry<string>, b: Entry<string>): number {
  return b[1].cost - a[1].cost || byName(a, b)
}
