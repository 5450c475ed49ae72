/**
 * A circuit breaker for each kind of capacity: what has failed several times in a row is left alone for a while, so that
 * no job waits for a refusal that is known beforehand; then one runner tries it, and a success ends it.
 * https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
 *
 * The breakers stand in the gate, which every launch reads and every end of a runner writes, so that they cost calls only
 * where there is trouble. Refusals come at once (RunTask says so) or late (the task is taken and fails to start). Where
 * they came late, that a request is taken proves nothing; but its failure would be told, so silence does.
 */
import { isSameKind } from './plan.ts'
import { clean } from './text.ts'
import type { Arch, Breaker, CapacityKind } from './types.ts'

export type Breakers = Readonly<Record<string, Breaker>>

/** One can be bad luck with one zone, and two the same at the same moment. */
const FAILURES_TO_OPEN = 3
/** Failures further apart than this are not in a row. */
const IN_A_ROW_MS = 10 * 60_000
/** Spot often comes back within minutes; a probe each quarter of an hour costs next to nothing. */
const FIRST_SKIP_MS = 60_000
const LONGEST_SKIP_MS = 15 * 60_000
/** RunTask answers within seconds. */
const PROBE_MS = 15_000
/** A task that finds no capacity is told of within about a minute of its start. */
const LATE_PROBE_MS = 120_000
/** The gate is one item, and a sentence says enough. */
const WORDS_LIMIT = 200

export interface CapacityReport {
  /** kindKey() */
  readonly kind: string
  readonly runner: string
  /**
   * refused: at once. failed: it was taken, and then there was none. taken: the provider has taken the request.
   * ran: a runner came up, at the time `at`.
   */
  readonly result: 'refused' | 'failed' | 'taken' | 'ran'
  readonly at: number
  /** The same try has the same one. */
  readonly id: string
  /** The provider's, of a failure. */
  readonly words?: string
  /** vCPU that a quota of the account had no room for, where that was the failure. */
  readonly quota?: number
}

/** What has capacity or has none for all jobs alike. */
export function kindKey({ compute, capacity, arch }: CapacityKind & { readonly arch: Arch }): string {
  return [compute, capacity, arch].filter(Boolean).join('-')
}

export interface Choice {
  /** Kinds to try, in order. */
  readonly kinds: readonly CapacityKind[]
  /** A kind before all of those that is to be probed now by somebody: takeProbe() says whether by this one. */
  readonly probe: CapacityKind | null
  /** When the first of the kinds that are left alone may be tried; null when none is. */
  readonly until: number | null
  /** What the provider said of those, each sentence once. */
  readonly words: readonly string[]
}

/** Which of `order` the runner may try. */
export function choose(
  breakers: Breakers,
  order: readonly CapacityKind[],
  arch: Arch,
  runner: string,
  now: number,
): Choice {
  const kinds: CapacityKind[] = []
  let probe: CapacityKind | null = null
  let until: number | null = null
  const words = new Set<string>()
  for (const kind of order) {
    const breaker = breakers[kindKey({ ...kind, arch })]
    const skip = skipUntil(breaker, runner, now)
    if (skip === null) kinds.push(kind)
    else {
      if (skip <= now && kinds.length === 0) probe ??= kind
      until = Math.min(until ?? skip, skip)
      words.add(breaker!.words)
    }
  }
  return { kinds, probe, until, words: [...words] }
}

/** @returns null where the kind may be tried; a time that is over where a probe is due. */
function skipUntil(breaker: Breaker | undefined, runner: string, now: number): number | null {
  if (!breaker || breaker.openUntil === null) return null
  const { openUntil, probe } = breaker
  if (probe === null) return openUntil
  return probe.runner === runner || isSilent(breaker, now) ? null : silentAt(breaker, probe)
}

/** Nobody has told of a failure of the probe, so it went well. */
function isSilent(breaker: Breaker, now: number): boolean {
  return breaker.probe !== null && silentAt(breaker, breaker.probe) <= now
}

function silentAt({ late }: Breaker, probe: { readonly at: number }): number {
  return probe.at + (late ? LATE_PROBE_MS : PROBE_MS)
}

/** The one who tries the kind; null when that is somebody else, or nobody any more. */
export function takeProbe(
  breakers: Breakers,
  kind: CapacityKind & { readonly arch: Arch },
  runner: string,
  now: number,
): Breakers | null {
  const key = kindKey(kind)
  const breaker = breakers[key]
  if (!breaker || breaker.openUntil === null || breaker.openUntil > now || breaker.probe !== null) return null
  return { ...breakers, [key]: { ...breaker, probe: { runner, at: now } } }
}

/** Takes in how starts went. @returns the same object when that changes nothing */
export function report(breakers: Breakers, reports: readonly CapacityReport[]): Breakers {
  return reports.reduce(taken, breakers)
}

function taken(breakers: Breakers, news: CapacityReport): Breakers {
  const { [news.kind]: breaker, ...others } = breakers
  if (news.result === 'refused' || news.result === 'failed') {
    const next = failed(breaker, news)
    return next === breaker ? breakers : { ...others, [news.kind]: next }
  }
  if (!breaker) return breakers
  // One that came up before the last failure says nothing about the time after it.
  const proves = news.result === 'ran' ? news.at >= breaker.at : !breaker.late
  return proves ? others : breakers
}

function failed(
  breaker: Breaker | undefined,
  { id, runner, result, at, words: said = '', quota: cpu }: CapacityReport,
): Breaker {
  const words = clean(said, WORDS_LIMIT)
  const late = result === 'failed'
  if (breaker?.last === id) return breaker
  const over = (least: number) => (cpu === undefined ? {} : { quota: Math.min(cpu, least) })
  if (!breaker || isOld(breaker, at))
    return {
      failures: 1,
      late,
      at,
      last: id,
      words,
      ...over(cpu!),
      openings: 0,
      openUntil: null,
      probe: null,
    }
  const failures = breaker.failures + 1
  const { quota: least = Number.POSITIVE_INFINITY, ...known } = breaker
  const next = { ...known, late: breaker.late || late, failures, at, last: id, words, ...over(least) }
  if (breaker.openUntil === null) return next.failures < FAILURES_TO_OPEN ? next : open(next, at)
  // Those that were under way when it opened are no news.
  return breaker.probe?.runner === runner || isSilent(breaker, at) ? open(next, at) : breaker
}

function isOld(breaker: Breaker, now: number): boolean {
  const since = breaker.openUntil === null ? breaker.at : breaker.probe?.at
  return since !== undefined && now - since > IN_A_ROW_MS
}

function open(breaker: Breaker, now: number): Breaker {
  const openings = breaker.openings + 1
  const skip = Math.min(LONGEST_SKIP_MS, FIRST_SKIP_MS * 2 ** Math.min(openings - 1, 30))
  return { ...breaker, openings, openUntil: now + skip, probe: null }
}

/** True where tasks of a kind failed only after they were taken, lately, and none has come up since. */
export function isDoubtful(
  breakers: Breakers,
  shape: CapacityKind & { readonly arch: Arch },
  now: number,
): boolean {
  const breaker = breakers[kindKey(shape)]
  return breaker?.late === true && !isOld(breaker, now)
}

/** True when every kind of `order` failed for a quota of the account last. */
export function isOverQuota(breakers: Breakers, order: readonly CapacityKind[], arch: Arch): boolean {
  return order.every(kind => breakers[kindKey({ ...kind, arch })]?.quota !== undefined)
}

/** Tries in a row that came to nothing for a quota, after which the quota is taken for what it is. */
const QUOTA_TRIES = 5

/**
 * True when a quota has no room for so many vCPU on any kind of `order` although no runner of ours takes any of it.
 * Builds wait for those of everybody in the account, so of them that says nothing.
 * @param used kinds of the runners that live
 */
export function isBeyondQuota(
  breakers: Breakers,
  order: readonly CapacityKind[],
  { arch, cpu }: { readonly arch: Arch; readonly cpu: number },
  used: readonly CapacityKind[],
): boolean {
  return order.every(kind => {
    const { quota = Number.POSITIVE_INFINITY, failures = 0 } = breakers[kindKey({ ...kind, arch })] ?? {}
    return kind.compute === 'fargate' && quota <= cpu && failures >= QUOTA_TRIES && !includes(used, kind)
  })
}

/** True when a kind of this choice is the one. */
export function includes(kinds: readonly CapacityKind[], kind: CapacityKind): boolean {
  return kinds.some(other => isSameKind(other, kind))
}
