/** What a caller may ask for, read from the query string. An empty parameter is one that was not given. */
import type { Period } from '../core/reports.ts'
import type { JobState } from '../core/types.ts'
import type { JobQuery } from '../ports.ts'

/** Says which parameter is wrong, and what it takes. */
export class QueryError extends Error {
  override readonly name = 'QueryError'
}

export type Parameters = (name: string) => string | undefined

const STATES: Readonly<Record<JobState, true>> = {
  waiting: true,
  queued: true,
  deferred: true,
  launching: true,
  running: true,
  completed: true,
  cancelled: true,
  refused: true,
}

export const DEFAULT_LIMIT = 100
export const LARGEST_LIMIT = 500
const LONGEST_REPOSITORY = 140

const DAY_MS = 86_400_000
export const DEFAULT_DAYS = 30

/** @throws QueryError */
export function readJobQuery(parameters: Parameters): JobQuery {
  const state = readState(parameters('state'))
  const repository = parameters('repository')
  if (repository && repository.length > LONGEST_REPOSITORY)
    throw new QueryError('repository must be owner/name')
  return {
    ...(state ? { state } : {}),
    ...(repository ? { repository } : {}),
    ...readPlace(parameters),
  }
}

/** @throws QueryError */
export function readPlace(parameters: Parameters): { readonly cursor?: string; readonly limit: number } {
  const cursor = parameters('cursor')
  const limit = parameters('limit')
  if (cursor && !/^[\w.~:=+/-]{1,2000}$/.test(cursor))
    throw new QueryError('cursor must be the value of next in an answer')
  if (limit && !(/^\d{1,4}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= LARGEST_LIMIT)) {
    throw new QueryError(`limit must be a whole number from 1 to ${LARGEST_LIMIT}`)
  }
  return { ...(cursor ? { cursor } : {}), limit: limit ? Number(limit) : DEFAULT_LIMIT }
}

/**
 * Without `to`, until the end of this day; without `from`, thirty days. All days are UTC days, and a day given as
 * `to` is part of the period.
 * @throws QueryError
 */
export function readPeriod(parameters: Parameters, now: number): Period {
  const to = readMoment('to', parameters('to'), DAY_MS) ?? startOfDay(now) + DAY_MS
  const from = readMoment('from', parameters('from'), 0) ?? startOfDay(to - 1) - (DEFAULT_DAYS - 1) * DAY_MS
  if (from >= to) throw new QueryError('from must be before to')
  return { from, to }
}

function readMoment(name: string, text: string | undefined, wholeDayMs: number): number | null {
  if (!text) return null
  const match = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/.exec(text)
  const at = match && isDay(match[1]!) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new QueryError(`${name} must be a day (2026-11-02) or a time with its zone (2026-11-02T09:00:00Z)`)
  return text.length === 10 ? at + wholeDayMs : at
}

/** Date.parse takes the 30th of February for the 2nd of March. */
function isDay(day: string): boolean {
  const at = Date.parse(day)
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day)
}

function startOfDay(at: number): number {
  return Math.floor(at / DAY_MS) * DAY_MS
}

function readState(text: string | undefined): JobState | undefined {
  if (!text) return undefined
  if (isState(text)) return text
  throw new QueryError(`state must be one of ${Object.keys(STATES).join(', ')}`)
}

function isState(text: string): text is JobState {
  return Object.hasOwn(STATES, text)
}
