/**
 * Rolls hours up that are due, and with them their days and months. Everything is computed from items and overwritten, so
 * it can be repeated at any time.
 *
 * What is larger is written first. That an hour differs from what is stored is what its day is made anew for, so an hour
 * that is written before its day would leave the day as it was, should all of it end in between.
 */
import {
  afterPasses,
  currentHours,
  dueHours,
  isCurrentDue,
  isFirstPass,
  PASSES_MS,
} from './core/rollup-passes.ts'
import {
  type Grain,
  isEmptyRollup,
  isSameRollup,
  jobsWanted,
  KEPT_MS,
  partsOf,
  periodOf,
  type Rollup,
  rollupKey,
  type SpendRollup,
  spanOf,
  spendOf,
  spendOfHour,
  type UsageRollup,
  usageOf,
  usageOfHour,
} from './core/rollups.ts'
import type { RollupMemory } from './core/types.ts'
import type { Ports } from './ports.ts'

type Ledger = Ports['ledger']

/** A sweep that was away for days comes back to them a few at a time. */
const HOURS_PER_SWEEP = 48
/** Not begun later than this before the end of the function. */
const LEAST_MS = 15_000
const HOUR_MS = 3_600_000

export async function rollUp(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  memory: RollupMemory,
  remainingMs: () => number,
): Promise<RollupMemory> {
  const now = clock.now()
  const due = dueHours(memory, now, KEPT_MS.hour, HOURS_PER_SWEEP)
  if (due.length === 0 && !isCurrentDue(memory, now)) return memory
  const days = new Map<string, number[]>()
  for (const hour of due.length < HOURS_PER_SWEEP ? [...due, ...currentHours(now)] : due) {
    const day = periodOf('day', hour)
    days.set(day, [...(days.get(day) ?? []), hour])
  }
  const done: number[] = []
  for (const [day, hours] of days) {
    if (remainingMs() < LEAST_MS) break
    const isClosed = hours.some(
      hour => periodOf('day', hour + HOUR_MS) !== day && isFirstPass(memory, hour, now),
    )
    await rollUpDay(ledger, day, hours, isClosed, now)
    done.push(...hours)
  }
  return afterPasses(memory, done, now)
}

/** These hours of a day, the day where one of them differs or it is over with them, and once it is over its month. */
async function rollUpDay(
  ledger: Ledger,
  day: string,
  hours: readonly number[],
  isClosed: boolean,
  now: number,
): Promise<void> {
  const hourly: Rollup[] = []
  for (const hour of hours) hourly.push(...(await rollUpHour(ledger, periodOf('hour', hour), now)))
  if (hourly.length === 0 && !isClosed) return
  const daily = await mergeParts(ledger, 'day', day, hourly, now)
  const monthly = isOver('day', day, now)
    ? await mergeParts(ledger, 'month', day.slice(0, 7), daily, now)
    : []
  await ledger.rollups.put([...monthly, ...daily, ...hourly])
}

/** What of an hour differs from what is stored. */
async function rollUpHour(ledger: Ledger, period: string, now: number): Promise<Rollup[]> {
  const keys = keysOf('hour', period, now)
  const [runners, unserved, stored] = await Promise.all([
    ledger.runners.stopped(period),
    ledger.jobs.unserved(period),
    ledger.rollups.get(keys),
  ])
  const jobs = await ledger.jobs.some(jobsWanted(runners))
  const items = { runners, jobs, unserved }
  const made = [
    spendOfHour(period, now, items),
    ...(isOver('hour', period, now) ? [usageOfHour(period, now, items)] : []),
  ]
  return made.filter(rollup => isNews(stored, rollup))
}

/**
 * What of a day or month differs from what is stored, with `news` in place of what is stored of its parts: a day has all
 * hours that have begun, a month all days that are over.
 */
async function mergeParts(
  ledger: Ledger,
  grain: 'day' | 'month',
  period: string,
  news: readonly Rollup[],
  now: number,
): Promise<Rollup[]> {
  const part = grain === 'day' ? 'hour' : 'day'
  const made = partsOf(grain, period).filter(one =>
    grain === 'month' ? isOver(part, one, now) : spanOf(part, one).from <= now,
  )
  const stored = await ledger.rollups.get([
    ...keysOf(grain, period, now),
    ...made.flatMap(one => keysOf(part, one, now)),
  ])
  const parts = new Map(stored)
  for (const rollup of news) parts.set(rollupKey(rollup), rollup)
  const all = [...parts.values()].filter(one => one.grain === part)
  const spend = spendOf(grain, period, now, all.filter(isSpend))
  const usage =
    grain === 'month' || isOver(grain, period, now) ? [usageOf(grain, period, now, all.filter(isUsage))] : []
  return [spend, ...usage].filter(rollup => isNews(stored, rollup))
}

function isNews(stored: ReadonlyMap<string, Rollup>, rollup: Rollup): boolean {
  const before = stored.get(rollupKey(rollup))
  return before ? !isSameRollup(before, rollup) : !isEmptyRollup(rollup)
}

/** Its last hour has had its first pass, or has it now. */
function isOver(grain: Grain, period: string, now: number): boolean {
  return spanOf(grain, period).to + PASSES_MS[0]! <= now
}

/** There is no usage of what is not over. */
function keysOf(grain: Grain, period: string, now: number): readonly string[] {
  const families =
    grain === 'month' || isOver(grain, period, now) ? (['spend', 'usage'] as const) : (['spend'] as const)
  return families.map(family => rollupKey({ grain, period, family }))
}

function isSpend(rollup: Rollup): rollup is SpendRollup {
  return rollup.family === 'spend'
}
function isUsage(rollup: Rollup): rollup is UsageRollup {
  return rollup.family === 'usage'
}
