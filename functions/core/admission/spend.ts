/**
 * Spend caps. A place reserves the most that its runner can cost; when the runner has stopped and the place is given back,
 * its real cost is booked to the day and the month of its stop (UTC). What is spent, what is reserved and what asks
 * must fit under the cap together, so a cap is never passed by runners that were let in under it.
 */
import { costOfDoubles, perMinute } from '../cost.ts'
import { capacities, shapeOf } from '../plan.ts'
import { CODEBUILD_QUEUED_MINUTES } from '../sizes.ts'
import type { Fallback, Gate, Holder, Runner, Spec } from '../types.ts'

export interface SpendLimits {
  readonly monthlyMicroUsd: number | null
  readonly dailyMicroUsd: number | null
  /** What happens at the cap: jobs wait, or it is only said. */
  readonly onCap: 'block' | 'warn'
}

/** What a runner that has left did cost; null where nobody knows. */
export interface Bill {
  /** When it stopped. */
  readonly at: number
  readonly microUsd: number | null
}

export interface Cap {
  readonly microUsd: number
  readonly spent: number
  /** Key of the day or month in `gate.spent`. */
  readonly period: string
  readonly endsAt: number
  /** For people, with the setting. */
  readonly words: string
}

/** Until an overdue runner is gone: seen by the next sweep after its margin, then given its stop timeout. */
const GRACE_MINUTES = 5
/** Of each kind of period; a stop can be told late, and clocks differ. */
const PERIODS_KEPT = 2

/**
 * The most that a runner for `spec` can cost: its dearest capacity for its longest life. An unknown price is 0.
 * @param standby minutes that it may wait in a pool besides
 */
export function reservation(spec: Spec, region: string, fallback: readonly Fallback[], standby = 0): number {
  const minutes = spec.timeoutMinutes + standby + GRACE_MINUTES
  const costs = capacities(spec, fallback).map(kind => {
    const queued = kind.compute === 'codebuild' ? CODEBUILD_QUEUED_MINUTES : 0
    return (perMinute(shapeOf(spec, kind), region).microUsd ?? 0) * (minutes + queued)
  })
  return Math.ceil(Math.max(...costs))
}

/** The caps that hold at `now`. */
export function capsAt(gate: Gate, limits: SpendLimits | null | undefined, now: number): readonly Cap[] {
  if (!limits) return []
  const date = new Date(now)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const cap = (microUsd: number | null, period: string, endsAt: number, per: string, setting: string) =>
    microUsd === null
      ? []
      : [
          {
            microUsd,
            period,
            endsAt,
            spent: gate.spent[period] ?? 0,
            words: `The cap of ${usd(microUsd)} a ${per} (spend.${setting})`,
          },
        ]
  return [
    ...cap(limits.dailyMicroUsd, dayOf(now), Date.UTC(year, month, day + 1), 'day', 'dailyUsd'),
    ...cap(limits.monthlyMicroUsd, monthOf(now), Date.UTC(year, month + 1), 'month', 'monthlyUsd'),
  ]
}

/**
 * Books a runner that gives its place back. Where its cost is not known the whole reservation is booked: a cap that errs
 * must not err on the side of more money.
 */
export function booked(spent: Gate['spent'], holder: Holder, { at, microUsd }: Bill): Gate['spent'] {
  return added(spent, at, microUsd ?? holder.reservedMicroUsd)
}

export function added(spent: Gate['spent'], at: number, cost: number): Gate['spent'] {
  if (cost === 0) return spent
  const changed: Record<string, number> = { ...spent }
  for (const period of [dayOf(at), monthOf(at)]) changed[period] = (changed[period] ?? 0) + cost
  return latest(changed)
}

/** What a runner that has stopped is booked with; other tasks that were started for it are booked by themselves. */
export function billOf(runner: Runner, stoppedAt: number): Bill {
  const { cost } = runner
  return { at: stoppedAt, microUsd: cost && cost.totalMicroUsd - costOfDoubles(runner) }
}

export function usd(microUsd: number): string {
  return `$${(microUsd / 1_000_000).toFixed(microUsd < 1_000_000 ? 4 : 2)}`
}

export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

export function monthOf(at: number): string {
  return new Date(at).toISOString().slice(0, 7)
}

function latest(spent: Gate['spent']): Gate['spent'] {
  const periods = Object.keys(spent).sort().reverse()
  const kept = [10, 7].flatMap(length =>
    periods.filter(period => period.length === length).slice(0, PERIODS_KEPT),
  )
  return Object.fromEntries(kept.map(period => [period, spent[period]!]))
}
