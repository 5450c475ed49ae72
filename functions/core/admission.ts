/**
 * Who may start a runner now.
 *
 * All of it is decided on one item, the gate: whoever holds a place is written there, and so are the first deferred
 * jobs of every repository. A decision is a new gate, written only if nobody wrote it meanwhile. Asking again for
 * a place one has already changes nothing, so a message may be handled twice.
 */
import type { DeferReason, Gate, Holder, WaitingHead, WaitingLine } from './types.ts'

export interface AdmissionLimits {
  /** Runners at the same time, in total and of one repository. */
  readonly runners: number
  readonly perRepository: number
}

export interface PlaceRequest {
  readonly runner: string
  readonly jobKey: string
  readonly repositoryId: number
  readonly role: string | null
  /** Higher goes first. */
  readonly priority: number
  /** Since when the job waits; among equals the oldest goes first. */
  readonly since: number
  /** Id of the message that asks. */
  readonly by: string
}

export interface Denial {
  readonly runner: string
  readonly reason: DeferReason
  readonly message: string
  readonly notBefore: number | null
}

export interface Admission {
  readonly gate: Gate
  /** Places given, to those who asked and to deferred jobs whose turn it was. */
  readonly admitted: readonly (Holder & { readonly runner: string; readonly already: boolean })[]
  readonly denied: readonly Denial[]
  /** When a wake message must be sent for; null when one is on its way, or a runner that ends will do. */
  readonly wakeAt: number | null
}

/** Deferred jobs of one repository that the gate itself remembers; the others wait in the ledger. */
export const HEADS_PER_REPOSITORY = 20
/** Of those that wait for their time it remembers more, because they must not keep the others from the gate. */
const HELD_BACK_PER_REPOSITORY = 60
/** SQS delays a message by 15 minutes at most; who waits longer is woken in between. */
const LONGEST_WAKE_MS = 900_000

/**
 * GitHub allows 900 points a minute to one endpoint and a JIT config costs 5, so 180 a minute; counted in slots, of
 * which the oldest may reach into the minute, and with room for the sweep.
 * https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
export const JIT_CONFIGS_PER_MINUTE = 170
const PACE_SLOT_MS = 5_000
const PACE_WINDOW_MS = 60_000

const EMPTY_LINE: WaitingLine = { heads: [], more: false }
export const EMPTY_GATE: Gate = { version: 0, holders: {}, waiting: {}, pace: [], pauses: {}, wakeAt: null }

export interface HeadTerms {
  /** How many deferred jobs may be admitted besides, because the caller starts them too. */
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
    if (asking.delete(runner) || redelivered.has(holder.by))
      admitted.push({ ...holder, runner, already: true })
  }
  const heads = eligibleHeads(gate, now, by).filter(head => !asking.has(head.runner))
  const pool: Candidate[] = [
    ...heads.map(head => ({ ...head, head: true })),
    ...[...asking.values()]
      .filter(request => !isBehind(request, gate.waiting[request.repositoryId]))
      .map(request => ({ ...request, head: false })),
  ]
  let headsTaken = 0
  let wakeAt: number | null = null
  for (let next = round.best(pool); next; next = round.best(pool)) {
    if (next.head && headsTaken === take) {
      // A newcomer must not overtake a deferred job that only waits for somebody to start it.
      wakeAt = now
      break
    }
    if (next.head) headsTaken++
    pool.splice(pool.indexOf(next), 1)
    asking.delete(next.runner)
    admitted.push({ ...round.give(next), runner: next.runner, already: false })
  }
  const denied = [...asking.values()].map(request => round.deny(request))
  const due = earliest(wakeAt, round.wakeAt(pool.length > 0))
  const underWay = gate.wakeAt !== null && gate.wakeAt > now ? gate.wakeAt : null
  const wanted = due !== null && (underWay === null || due < underWay)
  return {
    gate: { ...round.result(), wakeAt: wanted ? due : underWay },
    admitted,
    denied,
    wakeAt: wanted ? due : null,
  }
}

/** Gives places back, and forgets waiting jobs that need none any more. */
export function leave(gate: Gate, runners: readonly string[]): Gate {
  const gone = new Set(runners)
  const holders = Object.fromEntries(Object.entries(gate.holders).filter(([runner]) => !gone.has(runner)))
  const waiting = mapLines(gate.waiting, line => ({
    ...line,
    heads: line.heads.filter(head => !gone.has(head.runner)),
  }))
  return { ...gate, holders, waiting }
}

/** Puts a job that had its place back in line; it holds nothing until `notBefore`. */
export function stepBack(gate: Gate, request: PlaceRequest, notBefore: number): Gate {
  const without = leave(gate, [request.runner])
  return { ...without, waiting: enqueue(without.waiting, request, notBefore) }
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
 * Brings deferred jobs of a repository from the ledger to the gate; `more` says whether others are left there.
 * @returns the same gate when there is nothing to bring
 */
export function refill(
  gate: Gate,
  repositoryId: number,
  jobs: readonly DeferredRequest[],
  more: boolean,
): Gate {
  const line = gate.waiting[repositoryId] ?? EMPTY_LINE
  const known = new Set([...line.heads.map(head => head.runner), ...Object.keys(gate.holders)])
  const added = jobs.filter(job => !known.has(job.runner)).map(job => headOf(job, job.notBefore))
  const filled = trimmed([...line.heads, ...added], more)
  const same =
    filled.heads.length === line.heads.length &&
    filled.heads.every((head, index) => head.runner === line.heads[index]!.runner)
  if (same && filled.more === line.more) return gate
  return {
    ...gate,
    waiting: mapLine({ ...gate.waiting, [repositoryId]: filled }, repositoryId, kept => kept),
  }
}

/** Repositories whose line at the gate runs short while more of their jobs wait in the ledger. */
export function linesToRefill(gate: Gate): readonly number[] {
  return Object.entries(gate.waiting)
    .filter(([, line]) => line.more && readyHeads(line) <= HEADS_PER_REPOSITORY / 2)
    .map(([repository]) => Number(repository))
}

/** Deferred jobs in a line that wait for nothing but a place. */
export function readyHeads(line: WaitingLine): number {
  return line.heads.filter(head => head.notBefore === null).length
}

/** True when somebody waits at the gate. */
export function isAnyoneWaiting(gate: Gate): boolean {
  return Object.values(gate.waiting).some(line => line.heads.length > 0 || line.more)
}

interface Candidate {
  readonly runner: string
  readonly jobKey: string
  readonly repositoryId: number
  readonly role: string | null
  readonly priority: number
  readonly since: number
  readonly by: string
  readonly head: boolean
}

/** One decision over the gate: what is taken so far, and what is left. */
class Round {
  readonly #gate: Gate
  readonly #limits: AdmissionLimits
  readonly #now: number
  readonly #given = new Map<string, Holder>()
  readonly #perRepository = new Map<number, number>()
  #waiting: Gate['waiting']
  #total: number
  #minted: number
  readonly #pausedUntil: number

  constructor(gate: Gate, limits: AdmissionLimits, now: number) {
    this.#gate = gate
    this.#limits = limits
    this.#now = now
    this.#waiting = gate.waiting
    this.#minted = recent(gate.pace, now).reduce((sum, slot) => sum + slot.count, 0)
    this.#pausedUntil = Math.max(0, ...Object.values(gate.pauses))
    const holders = Object.values(gate.holders)
    this.#total = holders.length
    for (const { repository } of holders) this.#count(repository)
  }

  /** Highest priority first, then the repository with the fewest runners, then the oldest. */
  best(pool: readonly Candidate[]): Candidate | undefined {
    if (this.#total >= this.#limits.runners || this.#paceLeft() <= 0 || this.#paused()) return undefined
    let best: Candidate | undefined
    for (const candidate of pool) {
      if (this.#running(candidate.repositoryId) >= this.#limits.perRepository) continue
      if (!best || this.#compare(candidate, best) < 0) best = candidate
    }
    return best
  }

  give({ runner, jobKey, repositoryId, role, by }: Candidate): Holder {
    const holder: Holder = { repository: repositoryId, role, since: this.#now, jobKey, by }
    this.#given.set(runner, holder)
    this.#count(repositoryId)
    this.#total++
    this.#minted++
    this.#waiting = mapLine(this.#waiting, repositoryId, line => ({
      ...line,
      heads: line.heads.filter(h => h.runner !== runner),
    }))
    return holder
  }

  deny(request: PlaceRequest): Denial {
    this.#waiting = enqueue(this.#waiting, request, null)
    const notBefore = this.#paused() ? this.#pausedUntil : null
    return { runner: request.runner, notBefore, ...this.#reason(request) }
  }

  /** When waiting ends by itself: the pace has room again, a pause is over, or it is somebody's time. */
  wakeAt(anyoneLeft: boolean): number | null {
    const heldBack = this.#nextHeldBack()
    if (this.#total >= this.#limits.runners || (!anyoneLeft && heldBack === null)) return null
    const due = this.#openAt() ?? heldBack
    return due === null ? null : Math.min(due, this.#now + LONGEST_WAKE_MS)
  }

  result(): Gate {
    return {
      ...this.#gate,
      holders: { ...this.#gate.holders, ...Object.fromEntries(this.#given) },
      waiting: this.#waiting,
      pace: spend(recent(this.#gate.pace, this.#now), this.#given.size, this.#now),
      pauses: Object.fromEntries(Object.entries(this.#gate.pauses).filter(([, until]) => until > this.#now)),
    }
  }

  /** When a place can be given again, as far as time alone decides; null when it does not. */
  #openAt(): number | null {
    if (this.#paused()) return this.#pausedUntil
    if (this.#paceLeft() > 0) return null
    const oldest = recent(this.#gate.pace, this.#now)[0]
    return (oldest?.at ?? this.#now) + PACE_WINDOW_MS + PACE_SLOT_MS
  }

  #nextHeldBack(): number | null {
    let next: number | null = null
    for (const { heads } of Object.values(this.#waiting)) {
      for (const { notBefore } of heads)
        if (notBefore !== null && notBefore > this.#now) next = earliest(next, notBefore)
    }
    return next
  }

  #reason(request: PlaceRequest): { reason: DeferReason; message: string } {
    const { runners, perRepository } = this.#limits
    if (this.#paused())
      return { reason: 'paused', message: 'Starts are paused because a provider asked to slow down.' }
    if (this.#total >= runners)
      return { reason: 'total-limit', message: `All ${runners} runners are in use (limits.runners).` }
    if (this.#running(request.repositoryId) >= perRepository) {
      return {
        reason: 'repository-limit',
        message: `This repository uses all of its ${perRepository} runners (limits.perRepository).`,
      }
    }
    if (this.#paceLeft() > 0) return { reason: 'total-limit', message: 'Jobs that waited longer go first.' }
    return {
      reason: 'github-pace',
      message: `GitHub allows about ${JIT_CONFIGS_PER_MINUTE} new runners a minute.`,
    }
  }

  #compare(a: Candidate, b: Candidate): number {
    return (
      b.priority - a.priority ||
      this.#running(a.repositoryId) - this.#running(b.repositoryId) ||
      a.since - b.since ||
      (a.runner < b.runner ? -1 : 1)
    )
  }

  #count(repository: number): void {
    this.#perRepository.set(repository, this.#running(repository) + 1)
  }

  #running(repository: number): number {
    return this.#perRepository.get(repository) ?? 0
  }

  #paceLeft(): number {
    return JIT_CONFIGS_PER_MINUTE - this.#minted
  }

  #paused(): boolean {
    return this.#pausedUntil > this.#now
  }
}

function eligibleHeads(gate: Gate, now: number, by: string): Omit<Candidate, 'head'>[] {
  return Object.entries(gate.waiting).flatMap(([repository, line]) =>
    line.heads
      .filter(head => head.notBefore === null || head.notBefore <= now)
      .map(head => ({ ...head, repositoryId: Number(repository), by })),
  )
}

/** Behind jobs that wait in the ledger: nobody may step in front of those but a job older than one at the gate. */
function isBehind(request: PlaceRequest, line: WaitingLine | undefined): boolean {
  if (!line?.more) return false
  const asking = headOf(request, null)
  return !line.heads.some(head => head.notBefore === null && byAge(asking, head) <= 0)
}

function enqueue(waiting: Gate['waiting'], request: PlaceRequest, notBefore: number | null): Gate['waiting'] {
  const line = waiting[request.repositoryId] ?? EMPTY_LINE
  return { ...waiting, [request.repositoryId]: enter(line, request, notBefore) }
}

function enter(line: WaitingLine, request: PlaceRequest, notBefore: number | null): WaitingLine {
  const known = line.heads.find(head => head.runner === request.runner)
  if (known) {
    const head = headOf(request, notBefore ?? known.notBefore)
    return { ...line, heads: line.heads.with(line.heads.indexOf(known), head) }
  }
  if (notBefore === null && isBehind(request, line)) return line
  return trimmed([...line.heads, headOf(request, notBefore)], line.more)
}

/** Heads in order, as many as the gate remembers; the others are in the ledger. */
function trimmed(heads: readonly WaitingHead[], more: boolean): WaitingLine {
  const sorted = [...heads].sort(byAge)
  const ready = sorted.filter(head => head.notBefore === null).slice(0, HEADS_PER_REPOSITORY)
  const heldBack = sorted.filter(head => head.notBefore !== null).slice(0, HELD_BACK_PER_REPOSITORY)
  const kept = [...ready, ...heldBack].sort(byAge)
  return { heads: kept, more: more || kept.length < heads.length }
}

function headOf(
  { jobKey, runner, role, priority, since }: PlaceRequest,
  notBefore: number | null,
): WaitingHead {
  return { jobKey, runner, role, priority, since, notBefore }
}

function byAge(a: WaitingHead, b: WaitingHead): number {
  return b.priority - a.priority || a.since - b.since || (a.runner < b.runner ? -1 : 1)
}

function mapLine(
  waiting: Gate['waiting'],
  repository: number,
  change: (line: WaitingLine) => WaitingLine,
): Gate['waiting'] {
  const line = waiting[repository]
  if (!line) return waiting
  const { [repository]: _, ...others } = waiting
  const changed = change(line)
  return changed.heads.length === 0 && !changed.more ? others : { ...others, [repository]: changed }
}

function mapLines(waiting: Gate['waiting'], change: (line: WaitingLine) => WaitingLine): Gate['waiting'] {
  return Object.keys(waiting).reduce(
    (result, repository) => mapLine(result, Number(repository), change),
    waiting,
  )
}

function recent(pace: Gate['pace'], now: number): Gate['pace'] {
  return pace.filter(slot => slot.at + PACE_SLOT_MS + PACE_WINDOW_MS > now)
}

function spend(pace: Gate['pace'], count: number, now: number): Gate['pace'] {
  if (count === 0) return pace
  const at = now - (now % PACE_SLOT_MS)
  const last = pace.at(-1)
  return last?.at === at
    ? [...pace.slice(0, -1), { at, count: last.count + count }]
    : [...pace, { at, count }]
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}
