/**
 * Warm pools: runners that wait for a job of one repository while their window is open.
 *
 * A pool counts the free runners with exactly its labels, whoever started them for whatever: a job that takes a warm
 * runner has one of its own coming, and that one then takes the place of the taken one.
 */
import { isAvailable, runnerState } from './lifecycle.ts'
import type { Runner } from './types.ts'

export interface Pool {
  /** As a job writes them in `runs-on`. */
  readonly labels: readonly string[]
  /** owner/name */
  readonly repository: string
  /** Free runners to keep. */
  readonly size: number
  /** null: always. */
  readonly schedule: Schedule | null
}

/** A daily window in a time zone; one that ends before it begins ends on the next day. */
export interface Schedule {
  /** Days on which it begins, 0 is Sunday. */
  readonly days: readonly number[]
  /** Minutes since midnight, 0–1440. */
  readonly from: number
  readonly to: number
  /** IANA name. */
  readonly timeZone: string
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const DAY_MINUTES = 1440
const WINDOW = /^(?:([a-z,-]+)\s+)?(\d\d):(\d\d)-(\d\d):(\d\d)(?:\s+([\w+/-]+))?$/i

/**
 * Reads `[DAYS ]HH:MM-HH:MM[ ZONE]`, for example `Mon-Fri 09:00-19:00 Asia/Tokyo`; every day and UTC where nothing is
 * said.
 * @returns what is wrong with it, as a sentence, where it is none
 */
export function readSchedule(text: string): Schedule | string {
  const match = WINDOW.exec(text.trim())
  if (!match) return 'write days, times and a time zone, for example Mon-Fri 09:00-19:00 Asia/Tokyo'
  const [, dayText, fromHour, fromMinute, toHour, toMinute, timeZone = 'UTC'] = match
  const days = dayText ? readDays(dayText) : [0, 1, 2, 3, 4, 5, 6]
  if (!days) return `${dayText} are no days: write Mon-Fri or Sat,Sun`
  const from = minutes(fromHour!, fromMinute!)
  const to = minutes(toHour!, toMinute!)
  if (from === null || to === null || from === DAY_MINUTES) return 'times go from 00:00 to 24:00'
  if (from === to)
    return 'the window ends where it begins; leave the schedule away for a pool that is always there'
  if (!isTimeZone(timeZone)) return `${timeZone} is no time zone: write UTC or a name like Asia/Tokyo`
  return { days, from, to, timeZone }
}

/** Minutes until the window closes, which can be none that is known (null: it is closed now). A pool without one never does. */
export function minutesLeft(schedule: Schedule | null, now: number): number | null {
  if (schedule === null) return Number.POSITIVE_INFINITY
  const { days, from, to } = schedule
  const { day, minute } = localTime(now, schedule.timeZone)
  const overnight = to <= from
  if (days.includes(day) && minute >= from && (overnight || minute < to))
    return (overnight ? to + DAY_MINUTES : to) - minute
  const yesterday = (day + 6) % 7
  return overnight && days.includes(yesterday) && minute < to ? to - minute : null
}

/**
 * The longest wait of a runner in a pool; then another takes its place. Its life is longer by that, so that a job that comes
 * late has its full time.
 */
const LONGEST_WAIT_MINUTES = 240

/** Minutes that a runner started now may wait for a job in `pool`. */
export function standbyMinutes({ schedule }: Pool, now: number): number {
  return Math.min(LONGEST_WAIT_MINUTES, minutesLeft(schedule, now) ?? 0)
}

export interface PoolState {
  /** Free runners that a pool needs: nobody may let them go for being idle. */
  readonly kept: ReadonlySet<string>
  /** What is to be started, pools without anything left out. */
  readonly missing: readonly { readonly pool: Pool; readonly count: number }[]
}

/** What the pools need now of the runners there are. */
export function poolState(pools: readonly Pool[], runners: readonly Runner[], now: number): PoolState {
  const kept = new Set<string>()
  const missing: { pool: Pool; count: number }[] = []
  for (const pool of pools) {
    if (minutesLeft(pool.schedule, now) === null) continue
    const free = runners.filter(runner => !kept.has(runner.name) && belongs(runner, pool) && isSpare(runner))
    for (const runner of free.slice(0, pool.size)) kept.add(runner.name)
    if (free.length < pool.size) missing.push({ pool, count: pool.size - free.length })
  }
  return { kept, missing }
}

/** The open pool that a runner of this repository with these labels can stand in; undefined when there is none. */
export function poolFor(
  pools: readonly Pool[],
  repository: string,
  labels: readonly string[],
  now: number,
): Pool | undefined {
  return pools.find(
    pool =>
      same(pool.repository, repository) &&
      sameLabels(pool.labels, labels) &&
      minutesLeft(pool.schedule, now) !== null,
  )
}

function belongs({ launch }: Runner, pool: Pool): boolean {
  return (
    launch !== null && same(launch.repository.name, pool.repository) && sameLabels(launch.labels, pool.labels)
  )
}

/** On its way or idle, and meant for nobody. */
function isSpare(runner: Runner): boolean {
  return runner.for === null && (isAvailable(runner) || runnerState(runner) === 'starting')
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

/** GitHub compares labels without case, and their order says nothing. */
function sameLabels(a: readonly string[], b: readonly string[]): boolean {
  return labelKey(a) === labelKey(b)
}

function labelKey(labels: readonly string[]): string {
  return [...new Set(labels.map(label => label.toLowerCase()))].sort().join('\n')
}

function readDays(text: string): number[] | null {
  const days = new Set<number>()
  for (const part of text.toLowerCase().split(',')) {
    const [first, last = first, ...rest] = part.split('-').map(name => DAYS.indexOf(name))
    if (first === undefined || first < 0 || last! < 0 || rest.length > 0) return null
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day)
      if (day === last) break
    }
  }
  return [...days].sort()
}

function minutes(hour: string, minute: string): number | null {
  const total = Number(hour) * 60 + Number(minute)
  return Number(minute) < 60 && total <= DAY_MINUTES ? total : null
}

function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone })
    return true
  } catch {
    return false
  }
}

const FORMATS = new Map<string, Intl.DateTimeFormat>()

function localTime(now: number, timeZone: string): { day: number; minute: number } {
  let format = FORMATS.get(timeZone)
  if (!format) {
    const parts = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
    format = new Intl.DateTimeFormat('en-US', { timeZone, ...parts })
    FORMATS.set(timeZone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]))
  return {
    day: DAYS.indexOf(parts.weekday!.toLowerCase()),
    minute: Number(parts.hour) * 60 + Number(parts.minute),
  }
}
