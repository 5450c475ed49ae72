/** Times of a day that tornade.yml names, in a time zone of its own. */

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
const EVERY_DAY = [0, 1, 2, 3, 4, 5, 6]
const DAY_MINUTES = 1440
const MINUTE_MS = 60_000
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
  const days = dayText ? readDays(dayText) : EVERY_DAY
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

/** Minutes from the beginning of the window until its end. */
export function lengthOf({ from, to }: Schedule): number {
  return (to <= from ? to + DAY_MINUTES : to) - from
}

/** A moment of some days. */
export interface DailyTime {
  /** 0 is Sunday. */
  readonly days: readonly number[]
  /** Since midnight, 0–1439. */
  readonly minute: number
  /** IANA name. */
  readonly timeZone: string
}

const MOMENT = /^(?:([a-z,-]+)\s+)?(\d\d):(\d\d)(?:\s+([\w+/-]+))?$/i

/** Reads `[DAYS ]HH:MM[ ZONE]`, for example `Mon-Fri 09:00 Asia/Tokyo`. @returns what is wrong with it, where it is none */
export function readDailyTime(text: string): DailyTime | string {
  const match = MOMENT.exec(text.trim())
  if (!match) return 'write days, a time and a time zone, for example Mon-Fri 09:00 Asia/Tokyo'
  const [, dayText, hour, minuteText, timeZone = 'UTC'] = match
  const days = dayText ? readDays(dayText) : EVERY_DAY
  if (!days) return `${dayText} are no days: write Mon-Fri or Sat,Sun`
  const minute = minutes(hour!, minuteText!)
  if (minute === null || minute === DAY_MINUTES) return 'times go from 00:00 to 23:59'
  if (!isTimeZone(timeZone)) return `${timeZone} is no time zone: write UTC or a name like Asia/Tokyo`
  return { days, minute, timeZone }
}

/** When it was last that time, at most a day ago; null when that was no day for it. */
export function lastDue({ days, minute, timeZone }: DailyTime, now: number): number | null {
  const local = localTime(now, timeZone)
  const today = local.minute >= minute
  if (!days.includes(today ? local.day : (local.day + 6) % 7)) return null
  const ago = local.minute - minute + (today ? 0 : DAY_MINUTES)
  return (Math.floor(now / MINUTE_MS) - ago) * MINUTE_MS
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

/** Day of the week (0 is Sunday) and minutes since midnight there. */
export function localTime(now: number, timeZone: string): { day: number; minute: number } {
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
