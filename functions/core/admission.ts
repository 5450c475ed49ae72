/**
 * Who may start a runner now.
 *
 * All of it is decided on one item, the gate: whoever holds a place is written there, and so are the first deferred
 * jobs of every repository. A decision is a new gate, written only if nobody wrote it meanwhile. Asking again for
 * a place one has already changes nothing, so a message may be handled twice.
 */
import {
  enqueue,
  HEADS_PER_REPOSITORY,
  headOf,
  isBehind,
  lineAt,
  lineOf,
  mapLine,
  readyHeads,
  repositoryIdOf,
  trimmed,
  without,
} from './admission/lines.ts'
import {
  type AdmissionLimits,
  type Candidate,
  type Denial,
  earliest,
  type Hopeless,
  PACE,
  Round,
  STARTS,
  type Why,
} from './admission/round.ts'
import { uncounted } from './admission/slots.ts'
import { added, type Bill, booked } from './admission/spend.ts'
import type { Gate, Holder } from './types.ts'

export { HEADS_PER_REPOSITORY, lineAt, lineOf, readyHeads, repositoryIdOf } from './admission/lines.ts'
export {
  type AdmissionLimits,
  type Denial,
  JIT_CONFIGS_PER_MINUTE,
  type RepositoryLimits,
} from './admission/round.ts'
export { type Bill, billOf, reservation, type SpendLimits } from './admission/spend.ts'

export interface PlaceRequest {
  readonly runner: string
  readonly jobKey: string
  readonly repositoryId: number
  /** owner/name */
  readonly repository: string
  readonly role: string | null
  /** Higher goes first. */
  readonly priority: number
  /** Since when the job waits; among equals the oldest goes first. */
  readonly since: number
  /** Id of the message that asks. */
  readonly by: string
  /** The most that the runner can cost. */
  readonly reserveMicroUsd: number
  /** It asks to be remembered only: it waits until then, whoever leaves. */
  readonly heldBack?: Why & { readonly notBefore: number }
  /** It takes a place that is free, or none: nobody remembers it. */
  readonly optional?: boolean
}

export interface Admission {
  readonly gate: Gate
  /** Places given, to those who asked and to deferred jobs whose turn it was. */
  readonly admitted: readonly (Holder & { readonly runner: string; readonly already: boolean })[]
  /** Who must wait: of those who asked, and deferred jobs that have to wait for another reason now. */
  readonly denied: readonly Denial[]
  /** Jobs that can never be paid under the spend caps; they wait no more. */
  readonly hopeless: readonly Hopeless[]
  /** Spend caps that were passed for the first time in their day or month, in words. */
  readonly warnings: readonly string[]
  /** Places given over a spend cap. */
  readonly overSpend: number
  /** When a wake message must be sent for; null when one is on its way, or a runner that ends will do. */
  readonly wakeAt: number | null
}

export const EMPTY_GATE: Gate = {
  version: 0,
  holders: {},
  waiting: {},
  pace: [],
  starts: {},
  spent: {},
  warned: [],
  pauses: {},
  wakeAt: null,
  breakers: {},
}

export interface HeadTerms {
  /** How many deferred jobs may be admitted or refused besides, because the caller sees to them too. */
  readonly take: number
  /** Id of the message on whose behalf they are admitted. */
  readonly by: string
  /** Ids of messages that came before: whom they admitted then is carried on with now. */
  readonly redelivered: ReadonlySet<string>
}

/** Gives out places to `requests`, jobs that ask now, and to deferred jobs whose turn it is. */
export function admit(
  gate: Gate,
  requests: readonly PlaceRequest[],
  limits: AdmissionLimits,
  now: number,
  { take, by, redelivered }: HeadTerms,
): Admission {
  const round = new Round(gate, limits, now)
  const asking = new Map(requests.map(request => [request.runner, request]))
  const admitted: (Holder & { runner: string; already: boolean })[] = []
  for (const [runner, holder] of Object.entries(gate.holders)) {
    const request = asking.get(runner)
    if (!request && !redelivered.has(holder.by)) continue
    asking.delete(runner)
    // Whoever gave it, or the sweep, may be about to give it back, having found no use for it.
    const taken = round.takeOver(runner, holder, request?.by ?? holder.by)
    admitted.push({ ...taken, runner, already: true })
  }
  const denied: Denial[] = []
  const hopeless: Hopeless[] = []
  const pool: Candidate[] = []
  let headsLeft = take
  let wakeAt: number | null = null
  const heads = eligibleHeads(gate, now, by).filter(head => !asking.has(head.runner))
  for (const candidate of [...heads, ...newcomers(asking, now)]) {
    const unaffordable = round.unaffordable(candidate)
    if (!unaffordable) {
      if (candidate.head || !isBehind(candidate, gate.waiting[lineOf(candidate)])) pool.push(candidate)
      continue
    }
    if (candidate.head && headsLeft === 0) {
      wakeAt = now
      continue
    }
    const { message, notBefore } = unaffordable
    const { runner, jobKey } = candidate
    const optional = asking.get(runner)?.optional
    asking.delete(runner)
    if (optional) continue
    if (candidate.head) headsLeft--
    if (notBefore !== null)
      denied.push(round.holdBack(candidate, { reason: 'spend-limit', message }, notBefore))
    else {
      round.forget(candidate)
      hopeless.push({ runner, jobKey, message })
    }
  }
  for (let next = round.best(pool); next; next = round.best(pool)) {
    if (next.head && headsLeft === 0) {
      // A newcomer must not overtake a deferred job that only waits for somebody to start it.
      wakeAt = now
      break
    }
    if (next.head) headsLeft--
    pool.splice(pool.indexOf(next), 1)
    asking.delete(next.runner)
    admitted.push({ ...round.give(next), runner: next.runner, already: false })
  }
  for (const request of asking.values()) {
    const { heldBack, optional } = request
    if (optional) continue
    const waits = heldBack && heldBack.notBefore > now
    denied.push(waits ? round.holdBack(request, heldBack, heldBack.notBefore) : round.deny(request))
  }
  const waiting = pool.filter(({ runner }) => !asking.get(runner)?.optional)
  const due = earliest(wakeAt, round.wakeAt(waiting))
  const underWay = gate.wakeAt !== null && gate.wakeAt > now ? gate.wakeAt : null
  const wanted = due !== null && (underWay === null || due < underWay)
  return {
    gate: { ...round.result(), wakeAt: wanted ? due : underWay },
    admitted,
    denied,
    hopeless,
    warnings: round.warnings,
    overSpend: round.overSpend,
    wakeAt: wanted ? due : null,
  }
}

const NO_BILLS: ReadonlyMap<string, Bill> = new Map()

/**
 * Gives places back, and forgets waiting jobs that need none any more.
 * @param bills what those cost that were started; only who held a place is booked, so each runner is booked once
 */
export function leave(
  gate: Gate,
  runners: readonly string[],
  bills: ReadonlyMap<string, Bill> = NO_BILLS,
): Gate {
  const gone = new Set(runners)
  let spent = gate.spent
  const staying: Record<string, Holder> = {}
  for (const [runner, holder] of Object.entries(gate.holders)) {
    const bill = bills.get(runner)
    if (!gone.has(runner)) staying[runner] = holder
    else if (bill) spent = booked(spent, holder, bill)
  }
  return { ...gate, holders: staying, spent, waiting: without(gate.waiting, gone) }
}

/** Books what was spent without a place. */
export function spend(gate: Gate, { at, microUsd }: Bill & { readonly microUsd: number }): Gate {
  const spent = added(gate.spent, at, microUsd)
  return spent === gate.spent ? gate : { ...gate, spent }
}

/** Forgets waiting jobs that need no place any more, and leaves alone who got one meanwhile. */
export function forget(gate: Gate, runners: readonly string[]): Gate {
  return runners.length === 0 ? gate : { ...gate, waiting: without(gate.waiting, new Set(runners)) }
}

/**
 * Puts a job that had its place back in line; nothing was started on it, and it holds nothing until `notBefore`.
 * @param by whose message gave the place; one that somebody else has taken over since stays, for a runner may live on it
 */
export function stepBack(
  gate: Gate,
  request: PlaceRequest,
  notBefore: number,
  by?: ReadonlyMap<string, string>,
): Gate {
  const left = forgo(gate, [request.runner], by)
  if (Object.hasOwn(left.holders, request.runner)) return gate
  return { ...left, waiting: enqueue(left.waiting, request, notBefore) }
}

/**
 * Gives places back that came to nothing: they are no starts, and GitHub was not asked for anything either.
 * @param by whose message gave a place; one that somebody else has taken over since stays
 */
export function forgo(gate: Gate, runners: readonly string[], by?: ReadonlyMap<string, string>): Gate {
  let { pace, starts } = gate
  const leaving: string[] = []
  for (const runner of runners) {
    const holder = gate.holders[runner]
    if (holder && by && by.get(runner) !== holder.by) continue
    leaving.push(runner)
    if (!holder) continue
    pace = uncounted(pace, PACE, holder.since)
    const slots = starts[holder.repository]
    if (slots) starts = { ...starts, [holder.repository]: uncounted(slots, STARTS, holder.since) }
  }
  return { ...leave(gate, leaving), pace, starts }
}

/** Nothing of `scope` is started before `until`. */
export function pause(gate: Gate, scope: string, until: number): Gate {
  return { ...gate, pauses: { ...gate.pauses, [scope]: Math.max(until, gate.pauses[scope] ?? 0) } }
}

export interface DeferredRequest extends PlaceRequest {
  /** It waits until then, whoever leaves; null when a place is all it waits for. */
  readonly notBefore: number | null
}

/**
 * Brings deferred jobs of a line from the ledger to the gate; `more` says whether others are left there.
 * @returns the same gate when there is nothing to bring
 */
export function refill(gate: Gate, key: string, jobs: readonly DeferredRequest[], more: boolean): Gate {
  const line = lineAt(gate.waiting, key)
  const known = new Set([...line.heads.map(head => head.runner), ...Object.keys(gate.holders)])
  const added = jobs.filter(job => !known.has(job.runner)).map(job => headOf(job, job.notBefore))
  const named = { ...line, name: jobs[0]?.repository ?? line.name }
  const filled = trimmed(named, [...line.heads, ...added], more)
  const same =
    filled.heads.length === line.heads.length &&
    filled.heads.every((head, index) => head.runner === line.heads[index]!.runner)
  if (same && filled.more === line.more) return gate
  return { ...gate, waiting: mapLine({ ...gate.waiting, [key]: filled }, key, kept => kept) }
}

/** Lines at the gate that run short while more of their jobs wait in the ledger. */
export function linesToRefill(gate: Gate): readonly string[] {
  return Object.entries(gate.waiting)
    .filter(([, line]) => line.more && readyHeads(line) <= HEADS_PER_REPOSITORY / 2)
    .map(([key]) => key)
}

/** True when somebody waits at the gate. */
export function isAnyoneWaiting(gate: Gate): boolean {
  return Object.values(gate.waiting).some(line => line.heads.length > 0 || line.more)
}

function eligibleHeads(gate: Gate, now: number, by: string): Candidate[] {
  return Object.entries(gate.waiting).flatMap(([key, line]) =>
    line.heads
      .filter(head => head.notBefore === null || head.notBefore <= now)
      .map(head => ({
        ...head,
        repositoryId: repositoryIdOf(key),
        repository: line.name ?? '',
        by,
        head: true,
      })),
  )
}

function newcomers(asking: ReadonlyMap<string, PlaceRequest>, now: number): Candidate[] {
  return [...asking.values()]
    .filter(({ heldBack }) => !heldBack || heldBack.notBefore <= now)
    .map(request => ({ ...request, head: false }))
}
