/**
 * When roll-ups are computed. An hour is looked at while it runs, once it is over, and again: a job can be bound late, and
 * the stop of a runner corrected. GitHub keeps its deliveries for three days, so nothing changes after that.
 */
import type { RollupMemory } from './types.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** After the end of an hour; all a little past a full hour, so that one sweep does all of them. */
export const PASSES_MS = [0, 2, 73].map(hours => hours * HOUR_MS + 10 * MINUTE_MS)
/** A little less than 15 minutes, which is how often a sweep looks around on a quiet stack. */
const CURRENT_MS = 14.5 * MINUTE_MS
/** An hour that has just ended waits for its pass, so that it is not read twice within minutes. */
const LONGEST_MS = 30 * MINUTE_MS
/** What a first sweep looks back to. */
const FIRST_MS = DAY_MS
/** Items may go a little before their time is over. */
const EXPIRY_MARGIN_MS = DAY_MS

export function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS) * HOUR_MS
}

/** Before any hour was looked at. */
export const NO_PASSES: RollupMemory = { lookedAt: 0, done: [] }

/**
 * Hours (their starts) that are over and due for a pass, oldest first, `limit` at most. Those whose items may have
 * expired are left as they are.
 */
export function dueHours(
  { done }: RollupMemory,
  now: number,
  keepMs: number,
  limit: number,
): readonly number[] {
  const oldest = hourOf(now - keepMs + EXPIRY_MARGIN_MS) + HOUR_MS
  const due: number[] = []
  const ranges = PASSES_MS.map(
    (_, pass) => [Math.max(from(done, pass, now), oldest), until(pass, now)] as const,
  )
  const last = Math.max(...ranges.map(([, to]) => to))
  for (
    let hour = Math.min(...ranges.map(([start]) => start));
    hour < last && due.length < limit;
    hour += HOUR_MS
  )
    if (ranges.some(([start, end]) => hour >= start && hour < end)) due.push(hour)
  return due
}

/** True when this hour, which is over, was not looked at since. */
export function isFirstPass({ done }: RollupMemory, hour: number, now: number): boolean {
  return hour >= from(done, 0, now) && hour < until(0, now)
}

/** The hour that runs, after the one before it while that is not due. */
export function currentHours(now: number): readonly number[] {
  const [before, current] = [until(0, now), hourOf(now)]
  return before === current ? [current] : [before, current]
}

/** With these hours looked at: those that `dueHours` gave at `now`, or the first of them, and then those of `currentHours`. */
export function afterPasses(memory: RollupMemory, hours: readonly number[], now: number): RollupMemory {
  const done = PASSES_MS.map((_, pass) =>
    hours.reduce(
      (next, hour) => (hour >= next && hour < until(pass, now) ? hour + HOUR_MS : next),
      from(memory.done, pass, now),
    ),
  )
  return { done, lookedAt: hours.includes(hourOf(now)) ? now : memory.lookedAt }
}

/** As of when roll-ups stand; null before the first. */
export function upToDateAt({ lookedAt, done }: RollupMemory): number | null {
  const [first] = done
  if (first === undefined) return null
  return first === until(0, lookedAt) ? lookedAt : first
}

/** True when `currentHours` are to be looked at. */
export function isCurrentDue({ lookedAt }: RollupMemory, now: number): boolean {
  const isJustOver = until(0, now) < hourOf(now)
  return now - lookedAt >= (isJustOver ? LONGEST_MS : CURRENT_MS)
}

/** The first hour that this pass has not been made of. */
function from(done: readonly number[], pass: number, now: number): number {
  return done[pass] ?? hourOf(now) - FIRST_MS
}

/** Hours before this one are due. */
function until(pass: number, now: number): number {
  return hourOf(now - PASSES_MS[pass]!)
}
