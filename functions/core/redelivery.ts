/** Which failed deliveries of GitHub's log to ask for again. */
import type { AskedDelivery, SweepMemory } from './types.ts'

/** An attempt of the log that failed. */
export interface Failure {
  readonly id: string
  readonly guid: string
  readonly deliveredAt: number
  readonly statusCode: number
  readonly event: string
}

type Memory = SweepMemory['deliveries']

/** How often one delivery is asked for. */
export const TIMES = 3
/** Between two requests for the same delivery. */
const APART_MS = 60_000
/** Entries can come into the log late, and out of order. */
export const OVERLAP_MS = 10 * 60_000
/** How far back the first look goes. */
const FIRST_LOOK_MS = 60 * 60_000

/** From when on failures are looked at. */
export function lookFrom({ watermark }: Memory, now: number): number {
  return (watermark ?? now - FIRST_LOOK_MS) - OVERLAP_MS
}

/**
 * @param failures attempts since `lookFrom`, all of them or (`complete` false) the newest
 * @param limit how many may be asked for; the oldest go first
 * @returns what to ask for, and what to remember before asking
 */
export function redeliveries(
  failures: readonly Failure[],
  complete: boolean,
  memory: Memory,
  limit: number,
  now: number,
): { readonly ask: readonly Failure[]; readonly memory: Memory } {
  const asked = new Map(Object.entries(memory.asked))
  // A delivery that worked meanwhile is not in the log of failures; that it was asked for is all that is known.
  const open = latest(failures.filter(isOurs))
    .filter(failure => wants(failure, asked.get(failure.guid), now))
    .sort((a, b) => a.deliveredAt - b.deliveredAt)
  const ask = open.slice(0, limit)
  for (const { guid, deliveredAt } of ask)
    asked.set(guid, { times: (asked.get(guid)?.times ?? 0) + 1, at: now, failedAt: deliveredAt })
  // What is left for the next sweep must still be in its sight.
  const left = open[limit]
  const reached = left ? Math.min(left.deliveredAt, now) : now
  const watermark = complete ? Math.max(memory.watermark ?? 0, reached) : memory.watermark
  const oldest = lookFrom({ ...memory, watermark }, now)
  const kept = [...asked].filter(([, { at, failedAt }]) => Math.max(at, failedAt) >= oldest)
  return { ask, memory: { watermark, lookedAt: now, asked: Object.fromEntries(kept) } }
}

/** Of these it is not known that GitHub was asked: they are wanted again, and stay in sight. */
export function notAsked(memory: Memory, failures: readonly Failure[]): Memory {
  const asked = { ...memory.asked }
  let { watermark } = memory
  for (const { guid, deliveredAt } of failures) {
    const known = asked[guid]
    if (known) asked[guid] = { ...known, times: known.times - 1, failedAt: deliveredAt - 1 }
    if (watermark !== null) watermark = Math.min(watermark, deliveredAt)
  }
  return { ...memory, watermark, asked }
}

/**
 * What was answered with 4xx was refused by us, and would be again; but 429 is API Gateway's own, which has had too many at a
 * time: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
 * Without an answer GitHub says 502, 504 or 0.
 */
function isOurs({ event, statusCode }: Failure): boolean {
  return event === 'workflow_job' && (statusCode >= 500 || statusCode === 429 || statusCode === 0)
}

function wants(failure: Failure, asked: AskedDelivery | undefined, now: number): boolean {
  if (!asked) return true
  // Only a later attempt that failed as well says that asking did not help.
  return asked.times < TIMES && failure.deliveredAt > asked.failedAt && now - asked.at >= APART_MS
}

/** The last failed attempt of each delivery. */
function latest(failures: readonly Failure[]): Failure[] {
  const byGuid = new Map<string, Failure>()
  for (const failure of failures) {
    const other = byGuid.get(failure.guid)
    if (!other || failure.deliveredAt > other.deliveredAt) byGuid.set(failure.guid, failure)
  }
  return [...byGuid.values()]
}
