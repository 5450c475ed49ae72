/** One decision over the gate: what is taken so far, what is left, and why somebody must wait. */
import { ownOf } from '../own.ts'
import type { DeferReason, Gate, Holder } from '../types.ts'
import { enqueue, type LinePlace, lineOf, mapLine } from './lines.ts'
import { counted, opensAt, recent, type SlotWindow, total } from './slots.ts'
import { type Cap, capsAt, type SpendLimits, usd } from './spend.ts'

export interface AdmissionLimits {
  /** Runners at the same time, in total and of one repository. */
  readonly runners: number
  readonly perRepository: number
  /** Runners started for one repository within any hour; null is no limit. */
  readonly startsPerHour?: number | null
  /** Role → runners at the same time; roles that are not listed have no limit. */
  readonly roles?: Readonly<Record<string, number>>
  /** owner/name → what holds for this repository instead. */
  readonly repositories?: Readonly<Record<string, RepositoryLimits>>
  readonly spend?: SpendLimits | null
}
export interface RepositoryLimits {
  readonly runners?: number
  readonly startsPerHour?: number
}

export interface Candidate extends LinePlace {
  readonly by: string
  /** Deferred before: somebody must be found who starts it. */
  readonly head: boolean
}

export interface Why {
  readonly reason: DeferReason
  readonly message: string
}
export interface Denial extends Why {
  readonly runner: string
  readonly jobKey: string
  readonly notBefore: number | null
}
/** A job that no waiting helps. */
export interface Hopeless {
  readonly runner: string
  readonly jobKey: string
  readonly message: string
}
/** Money for this job comes no sooner than the next day or month; `notBefore` is null when never, or too late. */
export interface Unaffordable {
  readonly message: string
  readonly notBefore: number | null
}

/**
 * GitHub allows 900 points a minute to one endpoint and a JIT config costs 5, so 180 a minute; counted in slots, and
 * with room for the sweep.
 * https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
export const JIT_CONFIGS_PER_MINUTE = 170
/** Short slots, because all of the oldest one must be over before any of it may be asked for again. */
export const PACE: SlotWindow = { slotMs: 1_000, windowMs: 60_000 }
/** Slots as long as keep a busy gate small: thirteen of them for each repository that has a limit. */
export const STARTS: SlotWindow = { slotMs: 300_000, windowMs: 3_600_000 }
/** SQS delays a message by 15 minutes at most; who waits longer is woken in between. */
const LONGEST_WAKE_MS = 900_000
/**
 * GitHub gives up a job that was queued for a day, and by then its runner must be there.
 * https://docs.github.com/en/actions/reference/limits
 */
const LONGEST_QUEUED_MS = 24 * 3_600_000 - LONGEST_WAKE_MS

export class Round {
  readonly #gate: Gate
  readonly #limits: AdmissionLimits
  readonly #now: number
  readonly #given = new Map<string, Holder>()
  readonly #takenOver = new Map<string, Holder>()
  readonly #perRepository = new Map<number, number>()
  readonly #perRole = new Map<string, number>()
  readonly #starts: Map<number, Gate['starts'][string]>
  readonly #caps: readonly Cap[]
  readonly #passed = new Map<string, string>()
  readonly #pausedUntil: number
  #overSpend = 0
  /** The cap under which what is left is kept for the job whose turn it is. */
  #keptFor: Cap | undefined
  #waiting: Gate['waiting']
  #total = 0
  #minted: number
  #reserved = 0

  constructor(gate: Gate, limits: AdmissionLimits, now: number) {
    this.#gate = gate
    this.#limits = limits
    this.#now = now
    this.#waiting = gate.waiting
    this.#minted = total(recent(gate.pace, PACE, now))
    this.#pausedUntil = Math.max(0, ...Object.values(gate.pauses))
    this.#caps = capsAt(gate, limits.spend, now)
    this.#starts = new Map(
      Object.entries(gate.starts).map(([id, slots]) => [Number(id), recent(slots, STARTS, now)]),
    )
    for (const holder of Object.values(gate.holders)) this.#count(holder)
  }

  /**
   * Highest priority first, then the repository with the fewest runners, then the oldest. Where the money that is left
   * is not enough for that one, nobody else gets it: else small jobs would keep a large one waiting for ever.
   */
  best(pool: readonly Candidate[]): Candidate | undefined {
    if (this.#total >= this.#limits.runners || this.#paceLeft() <= 0 || this.#paused()) return undefined
    let best: Candidate | undefined
    for (const candidate of pool) {
      if (this.#own(candidate)) continue
      if (!best || this.#compare(candidate, best) < 0) best = candidate
    }
    this.#keptFor = best && this.#tooDear(best)
    return this.#keptFor ? undefined : best
  }

  /** The place is the message's that asks now, and in use. */
  takeOver(runner: string, holder: Holder, by: string): Holder {
    const taken = { ...holder, by, touchedAt: this.#now }
    this.#takenOver.set(runner, taken)
    return taken
  }

  give(candidate: Candidate): Holder {
    const { runner, jobKey, repositoryId, role, by, reserveMicroUsd } = candidate
    const holder: Holder = {
      repository: repositoryId,
      role,
      since: this.#now,
      jobKey,
      by,
      reservedMicroUsd: reserveMicroUsd,
    }
    this.#warn(candidate)
    this.#given.set(runner, holder)
    this.#count(holder)
    this.#minted++
    if (this.#startsPerHour(candidate) !== null)
      this.#starts.set(repositoryId, counted(this.#started(repositoryId), 1, STARTS, this.#now))
    this.forget(candidate)
    return holder
  }

  /** Says why it has no place, and remembers that it waits. */
  deny(request: LinePlace): Denial {
    return this.holdBack(request, this.#why(request), this.#paused() ? this.#pausedUntil : null)
  }

  /** It waits until then, whoever leaves; null is for a place. */
  holdBack(place: LinePlace, { reason, message }: Why, notBefore: number | null): Denial {
    this.#waiting = enqueue(this.#waiting, place, notBefore)
    return { runner: place.runner, jobKey: place.jobKey, reason, message, notBefore }
  }

  /** It waits no more. */
  forget({ runner, repositoryId, role }: LinePlace): void {
    this.#waiting = mapLine(this.#waiting, lineOf({ repositoryId, role }), line => ({
      ...line,
      heads: line.heads.filter(head => head.runner !== runner),
    }))
  }

  /** When no runner that ends can make room for what it may cost; null when it can be paid, or will be. */
  unaffordable({ reserveMicroUsd, since }: LinePlace): Unaffordable | null {
    if (this.#limits.spend?.onCap !== 'block') return null
    const costs = `this job may cost up to ${usd(reserveMicroUsd)}`
    let later: Cap | null = null
    for (const cap of this.#caps) {
      if (reserveMicroUsd > cap.microUsd)
        return { message: `${cap.words} is less than what ${costs}.`, notBefore: null }
      if (cap.spent + reserveMicroUsd > cap.microUsd && cap.endsAt > (later?.endsAt ?? 0)) later = cap
    }
    if (!later) return null
    const state = `${later.words} is used up: ${usd(later.spent)} are spent, ${usd(this.#reserved)} reserved, and ${costs}`
    const until = new Date(later.endsAt).toISOString().slice(0, 16).replace('T', ' ')
    return later.endsAt - since > LONGEST_QUEUED_MS
      ? {
          message: `${state}. GitHub queues no job until ${until} UTC, when the next begins.`,
          notBefore: null,
        }
      : { message: `${state}. The next begins ${until} UTC.`, notBefore: later.endsAt }
  }

  /** When waiting ends by itself: the pace has room again, a pause is over, or it is somebody's time. */
  wakeAt(left: readonly Candidate[]): number | null {
    const heldBack = this.#nextHeldBack()
    if (this.#total >= this.#limits.runners || (left.length === 0 && heldBack === null)) return null
    const due = this.#openAt() ?? earliest(heldBack, this.#nextStart(left))
    return due === null ? null : Math.min(due, this.#now + LONGEST_WAKE_MS)
  }

  result(): Gate {
    const gate = this.#gate
    const current = new Set(this.#caps.map(({ period }) => period))
    const started = [...this.#starts].filter(([, slots]) => slots.length > 0)
    return {
      ...gate,
      holders: {
        ...gate.holders,
        ...Object.fromEntries(this.#takenOver),
        ...Object.fromEntries(this.#given),
      },
      waiting: this.#waiting,
      pace: counted(recent(gate.pace, PACE, this.#now), this.#given.size, PACE, this.#now),
      starts: Object.fromEntries(started),
      warned: [...gate.warned.filter(period => current.has(period)), ...this.#passed.keys()],
      pauses: Object.fromEntries(Object.entries(gate.pauses).filter(([, until]) => until > this.#now)),
    }
  }

  /** Spend caps that were passed in this round for the first time in their day or month. */
  get warnings(): readonly string[] {
    return [...this.#passed.values()]
  }

  /** Places given over a spend cap. */
  get overSpend(): number {
    return this.#overSpend
  }

  /** What keeps this one back and not everybody. */
  #own(place: LinePlace): Why | null {
    const { role, repositoryId } = place
    const most = this.#repositoryRunners(place)
    if (this.#running(repositoryId) >= most) {
      const setting =
        this.#exception(place.repository)?.runners === undefined
          ? 'limits.perRepository'
          : `repositories.${place.repository}.runners`
      return {
        reason: 'repository-limit',
        message: `This repository uses all of its ${most} runners (${setting}).`,
      }
    }
    const ofRole = this.#roleRunners(role)
    if (role !== null && ofRole !== null && (this.#perRole.get(role) ?? 0) >= ofRole) {
      return {
        reason: 'role-limit',
        message: `All ${ofRole} runners with the role ${role} are in use (roles.${role}.runners).`,
      }
    }
    const hourly = this.#startsPerHour(place)
    if (hourly !== null && total(this.#started(repositoryId)) >= hourly) {
      return {
        reason: 'starts-per-hour',
        message: `This repository has started ${hourly} runners within an hour, as many as it may (startsPerHour).`,
      }
    }
    return null
  }

  /** The cap under which there is no room for it while others have their reservations. */
  #tooDear({ reserveMicroUsd }: LinePlace): Cap | undefined {
    if (this.#limits.spend?.onCap !== 'block') return undefined
    return this.#caps.find(cap => cap.spent + this.#reserved + reserveMicroUsd > cap.microUsd)
  }

  #warn({ reserveMicroUsd }: LinePlace): void {
    if (this.#limits.spend?.onCap !== 'warn') return
    const passed = this.#caps.filter(cap => cap.spent + this.#reserved + reserveMicroUsd > cap.microUsd)
    if (passed.length > 0) this.#overSpend++
    for (const { period, words, spent } of passed) {
      if (this.#gate.warned.includes(period) || this.#passed.has(period)) continue
      this.#passed.set(
        period,
        `${words} is passed: ${usd(spent)} are spent, ${usd(this.#reserved)} reserved.`,
      )
    }
  }

  #why(request: LinePlace): Why {
    const { runners } = this.#limits
    if (this.#paused())
      return { reason: 'paused', message: 'Starts are paused because a provider asked to slow down.' }
    if (this.#total >= runners)
      return { reason: 'total-limit', message: `All ${runners} runners are in use (limits.runners).` }
    const own = this.#own(request)
    if (own) return own
    if (this.#paceLeft() <= 0) {
      return {
        reason: 'github-pace',
        message: `GitHub allows about ${JIT_CONFIGS_PER_MINUTE} new runners a minute.`,
      }
    }
    const cap = this.#tooDear(request)
    if (cap) {
      const money = `${usd(cap.spent)} are spent, ${usd(this.#reserved)} reserved`
      const costs = `this job may cost up to ${usd(request.reserveMicroUsd)}`
      return { reason: 'spend-limit', message: `${cap.words} has no room: ${money}, and ${costs}.` }
    }
    if (this.#keptFor) {
      const message = `${this.#keptFor.words} has no room but for a job that waited longer.`
      return { reason: 'spend-limit', message }
    }
    return { reason: 'total-limit', message: 'Jobs that waited longer go first.' }
  }

  /** When a place can be given again, as far as time alone decides; null when it does not. */
  #openAt(): number | null {
    if (this.#paused()) return this.#pausedUntil
    if (this.#paceLeft() > 0) return null
    const oldest = recent(this.#gate.pace, PACE, this.#now)[0]
    return (oldest?.at ?? this.#now) + PACE.windowMs + PACE.slotMs
  }

  #nextHeldBack(): number | null {
    let next: number | null = null
    for (const { heads } of Object.values(this.#waiting)) {
      for (const { notBefore } of heads)
        if (notBefore !== null && notBefore > this.#now) next = earliest(next, notBefore)
    }
    return next
  }

  /** When the first of these repositories may start another runner; no runner that ends would tell. */
  #nextStart(left: readonly Candidate[]): number | null {
    let next: number | null = null
    for (const candidate of left) {
      const hourly = this.#startsPerHour(candidate)
      if (hourly !== null)
        next = earliest(next, opensAt(this.#started(candidate.repositoryId), STARTS, hourly))
    }
    return next
  }

  #compare(a: Candidate, b: Candidate): number {
    return (
      b.priority - a.priority ||
      this.#running(a.repositoryId) - this.#running(b.repositoryId) ||
      a.since - b.since ||
      (a.runner < b.runner ? -1 : 1)
    )
  }

  #count({ repository, role, reservedMicroUsd }: Holder): void {
    this.#perRepository.set(repository, this.#running(repository) + 1)
    if (role !== null) this.#perRole.set(role, (this.#perRole.get(role) ?? 0) + 1)
    this.#total++
    this.#reserved += reservedMicroUsd
  }

  #running(repository: number): number {
    return this.#perRepository.get(repository) ?? 0
  }

  #started(repository: number): Gate['starts'][string] {
    return this.#starts.get(repository) ?? []
  }

  #exception(repository: string): RepositoryLimits | undefined {
    return ownOf(this.#limits.repositories ?? {}, repository)
  }

  #repositoryRunners({ repository }: LinePlace): number {
    return this.#exception(repository)?.runners ?? this.#limits.perRepository
  }

  #startsPerHour({ repository }: LinePlace): number | null {
    return this.#exception(repository)?.startsPerHour ?? this.#limits.startsPerHour ?? null
  }

  #roleRunners(role: string | null): number | null {
    const { roles = {} } = this.#limits
    return role !== null && Object.hasOwn(roles, role) ? roles[role]! : null
  }

  #paceLeft(): number {
    return JIT_CONFIGS_PER_MINUTE - this.#minted
  }

  #paused(): boolean {
    return this.#pausedUntil > this.#now
  }
}

export function earliest(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}
