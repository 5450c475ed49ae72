/**
 * What it all cost. Sums are made in integer micro-dollars and divided once, at the end, so that
 * costUsd = jobs + idleUsd + startupUsd holds to the micro-dollar.
 *
 * A runner is booked whole at the moment of its stop, and with it the job that it ran: a job that began before
 * midnight belongs to the day on which its runner stopped. What has not stopped has no cost yet.
 */
import {
  basisOf,
  type Cell,
  type ComputeKind,
  Groups,
  type Happenings,
  happenedIn,
  KEPT_MS,
  keyOf,
  periodOf,
  type SpendRollup,
  type StartTimes,
  type Sums,
  spendOf,
  startsOf,
  sumOf,
  wholeOf,
} from './rollups.ts'
import type { Job, PriceBasis, Runner } from './types.ts'

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

/** What `Totals` says, and how sure it is. */
export interface Spend extends Totals {
  /** The part of costUsd that interruptions made worthless. */
  readonly wastedUsd: number
  /** The same runners on demand. */
  readonly onDemandUsd: number
  /** The part of costUsd that rests on an estimated price. */
  readonly estimateUsd: number
  /** Runners whose price, or a part of it, is unknown and counts as 0. */
  readonly unknownRunners: number
  /** The worst basis of what is in it. */
  readonly basis: PriceBasis
}
export interface Row extends Spend {
  readonly runners: number
  /** Jobs that ran on these runners. */
  readonly jobs: number
}

/** The document of `GET /api/summary` and of `tornade costs --json`. */
export interface Summary {
  readonly totals: Row
  /** Days (YYYY-MM-DD, UTC) on which a runner stopped, oldest first. */
  readonly byDay: readonly ({ readonly day: string } & Row)[]
  /** Dearest first, as all below. */
  readonly byRepository: readonly (Pick<Cell, 'repository'> & Row)[]
  readonly byCompute: readonly (Pick<Cell, 'compute'> & Row)[]
  readonly byWorkflow: readonly (Pick<Cell, 'repository' | 'workflow'> & Row)[]
  readonly byRole: readonly (Pick<Cell, 'role'> & Row)[]
  /** Whole hours around what was asked for; ISO 8601, UTC. */
  readonly from: string
  readonly to: string
  /** As of when it stands; null where nothing was rolled up yet. */
  readonly computedAt: string | null
  /** Days, or hours, of which a part could not be read: it is in no row by repository, workflow, role or compute. */
  readonly incomplete: readonly string[]
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
  /** As of when it stands; null where nothing was rolled up yet. */
  readonly computedAt: number | null
  /** Days, or hours, of which a part could not be read: it is in no row by repository, workflow, role or compute. */
  readonly incomplete: readonly string[]
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

// Periods

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Roll-ups may go a little before their time is over. */
const EXPIRY_MARGIN_MS = DAY_MS

/** A roll-up that a report is made from. */
export interface Unit {
  readonly grain: 'hour' | 'day'
  readonly period: string
}

/**
 * The roll-ups of a period: days, and hours at its edges. It is made wider to whole hours, or to whole days where its hours are
 * not kept any more, and cut to what can be there: until the end of this day, as far back as days are kept.
 */
export function unitsOf(
  asked: Period,
  now: number,
): { readonly period: Period; readonly units: readonly Unit[] } {
  const today = floor(now, DAY_MS)
  const oldest = today - KEPT_MS.day + EXPIRY_MARGIN_MS
  const oldestHour = today - KEPT_MS.hour + EXPIRY_MARGIN_MS
  const stepAt = (at: number) => (at < oldestHour ? DAY_MS : HOUR_MS)
  const to = Math.min(ceil(asked.to, stepAt(asked.to)), today + DAY_MS)
  const from = Math.min(Math.max(floor(asked.from, stepAt(asked.from)), oldest), to)
  const units: Unit[] = []
  for (let at = from; at < to; ) {
    const grain = at % DAY_MS === 0 && at + DAY_MS <= to ? 'day' : 'hour'
    units.push({ grain, period: periodOf(grain, at) })
    at += grain === 'day' ? DAY_MS : HOUR_MS
  }
  return { period: { from, to }, units }
}

function floor(at: number, step: number): number {
  return Math.floor(at / step) * step
}
function ceil(at: number, step: number): number {
  return Math.ceil(at / step) * step
}

// Reports

/** @param rollups those of the period's units that there are */
export function reportOf(period: Period, rollups: readonly SpendRollup[], computedAt: number | null): Report {
  const first = floor(period.from, DAY_MS)
  const count = period.to > period.from ? Math.ceil((period.to - first) / DAY_MS) : 0
  const days = Array.from({ length: count }, (_, index) => {
    const day = periodOf('day', first + index * DAY_MS)
    return { day, parts: rollups.filter(rollup => rollup.period.startsWith(day)) }
  })
  const rows = {
    repository: new Rows<Pick<Cell, 'repository'>>(count),
    workflow: new Rows<Pick<Cell, 'repository' | 'workflow'>>(count),
    role: new Rows<Pick<Cell, 'role'>>(count),
    compute: new Rows<Pick<Cell, 'compute'>>(count),
  }
  for (const [index, { parts }] of days.entries()) {
    for (const cell of parts.flatMap(({ cells }) => cells)) {
      const { repository, workflow, role, compute } = cell
      rows.repository.add(repository, { repository }, index, cell)
      rows.workflow.add(keyOf(repository, workflow), { repository, workflow }, index, cell)
      rows.role.add(keyOf(role), { role }, index, cell)
      rows.compute.add(compute, { compute }, index, cell)
    }
  }
  return {
    period,
    computedAt,
    incomplete: rollups.filter(({ incomplete }) => incomplete).map(rollup => rollup.period),
    sums: sumOf(rollups.map(({ sums }) => sums)),
    happened: happenedIn(rollups.map(({ happened }) => happened)),
    starts: startsOf(rollups.map(({ starts }) => starts)),
    days: days.map(({ day, parts }) => {
      const { sums, byCompute, happened, starts } =
        parts.length === 1 ? parts[0]! : spendOf('day', day, 0, parts)
      return { day, sums, byCompute, happened, starts }
    }),
    byRepository: rows.repository.dearestFirst(),
    byWorkflow: rows.workflow.dearestFirst(),
    byRole: rows.role.dearestFirst(),
    byCompute: rows.compute.dearestFirst(),
  }
}

/** Sums by name, with what each day is of them. */
class Rows<Names> {
  readonly #groups = new Groups<Names>()
  readonly #daily = new Map<Names, number[]>()
  readonly #days: number

  constructor(days: number) {
    this.#days = days
  }

  add(key: string, names: Names, day: number, sums: Sums): void {
    const known = this.#groups.add(key, names, sums)
    const daily = this.#daily.get(known) ?? new Array<number>(this.#days).fill(0)
    this.#daily.set(known, daily)
    daily[day]! += wholeOf(sums)
  }

  dearestFirst(): (Names & ReportRow)[] {
    return this.#groups
      .all()
      .map(([names, sums]) => ({ ...names, sums, daily: this.#daily.get(names)! }))
      .sort((a, b) => wholeOf(b.sums) - wholeOf(a.sums))
  }
}

export function summaryOf(report: Report): Summary {
  const { period, computedAt, incomplete, sums, days, byRepository, byCompute, byWorkflow, byRole } = report
  return {
    totals: rowOf(sums),
    byDay: days.filter(day => day.sums.runners > 0).map(day => ({ day: day.day, ...rowOf(day.sums) })),
    byRepository: byRepository.map(({ repository, sums: { runners, jobs }, sums: of }) => ({
      repository,
      jobs,
      ...spend(of),
      runners,
    })),
    byCompute: byCompute.map(({ compute, sums: { runners, jobs }, sums: of }) => ({
      compute,
      runners,
      ...spend(of),
      jobs,
    })),
    byWorkflow: byWorkflow.map(row => ({
      repository: row.repository,
      workflow: row.workflow,
      ...rowOf(row.sums),
    })),
    byRole: byRole.map(row => ({ role: row.role, ...rowOf(row.sums) })),
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    computedAt: computedAt === null ? null : new Date(computedAt).toISOString(),
    incomplete,
  }
}

function rowOf(sums: Sums): Row {
  return { ...spend(sums), runners: sums.runners, jobs: sums.jobs }
}

function spend(sums: Sums): Spend {
  return {
    costUsd: wholeOf(sums) / MICRO_PER_USD,
    idleUsd: sums.idleMicroUsd / MICRO_PER_USD,
    startupUsd: sums.startupMicroUsd / MICRO_PER_USD,
    githubHostedUsd: sums.githubHostedMicroUsd / MICRO_PER_USD,
    wastedUsd: sums.wastedMicroUsd / MICRO_PER_USD,
    onDemandUsd: sums.onDemandMicroUsd / MICRO_PER_USD,
    estimateUsd: sums.estimateMicroUsd / MICRO_PER_USD,
    unknownRunners: sums.unknownRunners,
    basis: basisOf(sums),
  }
}

// Of items

/** Totals of these runners, beside GitHub's price of these jobs. */
export function totals(jobs: Iterable<Job>, runners: Iterable<Runner>): Totals {
  const sum = { startup: 0, job: 0, idle: 0, githubHosted: 0 }
  for (const { cost } of runners) {
    sum.startup += cost?.startupMicroUsd ?? 0
    sum.job += cost?.jobMicroUsd ?? 0
    sum.idle += cost?.idleMicroUsd ?? 0
  }
  for (const { cost } of jobs) sum.githubHosted += Math.round(cost?.githubHostedMicroUsd ?? 0)
  return {
    // The whole is made from its parts, so that they cannot differ.
    costUsd: (sum.startup + sum.job + sum.idle) / MICRO_PER_USD,
    idleUsd: sum.idle / MICRO_PER_USD,
    startupUsd: sum.startup / MICRO_PER_USD,
    githubHostedUsd: sum.githubHosted / MICRO_PER_USD,
  }
}
