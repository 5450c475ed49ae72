/** What a caller may ask for, read from the query string. An empty parameter is one that was not given. */
import type { Period } from '../core/reports.ts'
import { clean } from '../core/text.ts'
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
export const JOB_STATES = Object.keys(STATES) as readonly JobState[]

export const DEFAULT_LIMIT = 100
export const LARGEST_LIMIT = 500
const LONGEST_REPOSITORY = 140
const LONGEST_WORKFLOW = 300
const LONGEST_SEARCH = 140
const LARGEST_PAGE = 10_000

const DAY_MS = 86_400_000
export const DEFAULT_DAYS = 30

/** @throws QueryError */
export function readJobQuery(parameters: Parameters): JobQuery {
  const state = readState(parameters('state'))
  const repository = readText('repository', 'owner/name', LONGEST_REPOSITORY, parameters)
  const workflow = readText('workflow', 'the name of a workflow', LONGEST_WORKFLOW, parameters)
  const from = readMoment('from', parameters('from'), 0)
  const to = readMoment('to', parameters('to'), DAY_MS)
  if (from !== null && to !== null && from >= to) throw new QueryError('from must be before to')
  return {
    ...(state ? { state } : {}),
    ...(repository ? { repository } : {}),
    ...(workflow ? { workflow } : {}),
    ...(from === null ? {} : { from }),
    ...(to === null ? {} : { to }),
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

export interface Order<By extends string> {
  readonly by: By
  readonly order: 'asc' | 'desc'
}

/**
 * @param columns what may be sorted by; the first one is the default
 * @throws QueryError
 */
export function readOrder<By extends string>(
  parameters: Parameters,
  columns: readonly [By, ...By[]],
  first: (by: By) => 'asc' | 'desc',
): Order<By> {
  const [sort, order] = [parameters('sort'), parameters('order')]
  const by = sort ? columns.find(column => column === sort) : columns[0]
  if (by === undefined) throw new QueryError(`sort must be one of ${columns.join(', ')}`)
  if (order && order !== 'asc' && order !== 'desc') throw new QueryError('order must be asc or desc')
  return { by, order: order ? (order as 'asc' | 'desc') : first(by) }
}

/** From 1. @throws QueryError */
export function readPageNumber(parameters: Parameters): number {
  const text = parameters('page')
  if (!text) return 1
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > LARGEST_PAGE)
    throw new QueryError(`page must be a whole number from 1 to ${LARGEST_PAGE}`)
  return Number(text)
}

/** Part of a name, in small letters; empty where none was given. @throws QueryError */
export function readSearch(parameters: Parameters): string {
  return clean(readText('q', 'a part of a name', LONGEST_SEARCH, parameters), LONGEST_SEARCH).toLowerCase()
}

/** Name of a workflow. @throws QueryError */
export function readWorkflow(parameters: Parameters): string {
  const name = readText('name', 'the name of a workflow', LONGEST_WORKFLOW, parameters)
  if (name === '') throw new QueryError('name must be the name of a workflow')
  return name
}

function readText(name: string, what: string, longest: number, parameters: Parameters): string {
  const text = parameters(name) ?? ''
  if (text.length > longest) throw new QueryError(`${name} must be ${what}`)
  return text
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

export function startOfDay(at: number): number {
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
