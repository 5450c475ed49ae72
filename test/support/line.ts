/**
 * A model of all who use the gate: jobs that ask, runners that end, capacity that lacks, and the messages between them,
 * exactly as the functions send them. It keeps its own account of who holds a place and who waits, and holds the gate
 * against it after every step.
 */
import {
  type AdmissionLimits,
  admit,
  type Bill,
  EMPTY_GATE,
  isAnyoneWaiting,
  leave,
  lineOf,
  linesToRefill,
  type PlaceRequest,
  pause,
  refill,
  stepBack,
} from '../../functions/core/admission.ts'
import type { Gate } from '../../functions/core/types.ts'

export interface Asking {
  readonly repository: number
  readonly priority: number
  readonly role?: string | null
  /** The most that it can cost, and the share of that which it will. */
  readonly reserveMicroUsd?: number
  readonly costs?: number
}

interface Job extends PlaceRequest {
  /** Counts arrivals. */
  readonly order: number
  readonly costs: number
  state: 'new' | 'waiting' | 'holding' | 'gone'
  notBefore: number | null
}

/** Heads that one invocation starts besides. */
const TAKE = 10
/** Longest delay of a message. */
const LONGEST_DELAY_MS = 900_000

export class Line {
  gate: Gate = EMPTY_GATE
  now: number
  /** Times of the wake messages that are on their way. */
  readonly wakes: number[] = []
  /** When each place was given. */
  readonly given: number[] = []
  readonly faults: string[] = []
  /** Runners whose jobs were told that no waiting helps. */
  readonly hopeless: string[] = []
  readonly warnings: string[] = []
  /** Day → micro-dollars; an account of its own. */
  readonly booked = new Map<string, number>()
  /** Repository → when each of its places was given and not taken back for want of capacity. */
  readonly starts = new Map<number, Map<string, number>>()
  readonly limits: AdmissionLimits
  readonly #jobs = new Map<string, Job>()
  readonly #holding = new Set<string>()
  readonly #waiting = new Set<string>()
  #messages = 0

  constructor(limits: AdmissionLimits, now: number) {
    this.limits = limits
    this.now = now
  }

  get holding(): string[] {
    return [...this.#holding]
  }
  get gone(): string[] {
    return [...this.#jobs.values()].filter(({ state }) => state === 'gone').map(({ runner }) => runner)
  }
  get waiting(): string[] {
    return [...this.#waiting]
  }

  /** New jobs ask in one batch, oldest first; answers the names of their runners. */
  ask(askings: readonly Asking[]): string[] {
    const jobs = askings.map(({ repository, priority, role = null, reserveMicroUsd = 0, costs = 1 }) => {
      const order = this.#jobs.size
      const runner = `r${String(order).padStart(6, '0')}`
      const job: Job = {
        runner,
        jobKey: `job of ${runner}`,
        repositoryId: repository,
        repository: `acme/r${repository}`,
        role,
        reserveMicroUsd,
        costs,
        priority,
        since: this.now,
        by: '',
        order,
        state: 'new',
        notBefore: null,
      }
      this.#jobs.set(runner, job)
      return job
    })
    this.#admit(jobs)
    return jobs.map(job => job.runner)
  }

  /** The same message again. */
  askAgain(runner: string): void {
    const job = this.#jobs.get(runner)
    if (job && job.state !== 'gone') this.#admit([job])
  }

  /** A runner has stopped, or a waiting job needs none any more. */
  leave(runner: string): void {
    const job = this.#jobs.get(runner)
    if (!job) return
    const held = job.state === 'holding'
    this.#become(job, 'gone')
    // Nobody goes to the gate for a waiting job that was cancelled; it is found gone when its turn comes.
    if (held) {
      const microUsd = Math.round(job.reserveMicroUsd * job.costs)
      const day = new Date(this.now).toISOString().slice(0, 10)
      this.booked.set(day, (this.booked.get(day) ?? 0) + microUsd)
      this.#giveBack([runner], new Map([[runner, { at: this.now, microUsd }]]))
    }
    this.#check()
  }

  /** The stop of a runner is told again. */
  leaveAgain(runner: string): void {
    const job = this.#jobs.get(runner)
    if (job?.state === 'gone') this.#giveBack([runner], new Map([[runner, { at: this.now, microUsd: 1e9 }]]))
    this.#check()
  }

  #giveBack(runners: readonly string[], bills: ReadonlyMap<string, Bill> = new Map()): void {
    if (runners.length === 0) return
    this.gate = leave(this.gate, runners, bills)
    if (!isAnyoneWaiting(this.gate)) return
    this.#refill()
    this.#send(this.now)
  }

  /** There was no capacity for a runner that had its place. */
  stepBack(runner: string, milliseconds: number): void {
    const job = this.#jobs.get(runner)
    if (job?.state !== 'holding') return
    this.#become(job, 'waiting')
    job.notBefore = this.now + milliseconds
    this.starts.get(job.repositoryId)?.delete(runner)
    this.gate = stepBack(this.gate, job, job.notBefore)
    this.#send(job.notBefore)
    this.#check()
  }

  pause(milliseconds: number): void {
    this.gate = pause(this.gate, 'github', this.now + milliseconds)
  }

  /** Time passes; wake messages that are due are handled when they are. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds
    for (;;) {
      this.wakes.sort((a, b) => a - b)
      const due = this.wakes[0]
      if (due === undefined || due > end) break
      this.wakes.shift()
      this.now = Math.max(this.now, due)
      this.#admit([])
    }
    this.now = end
  }

  #admit(asking: readonly Job[]): void {
    const by = `message ${++this.#messages}`
    const requests = asking.map(job => ({ ...job, by }))
    const before = new Set(asking.filter(job => job.state !== 'new').map(job => job.runner))
    const terms = { take: TAKE, by, redelivered: new Set<string>() }
    const answer = admit(this.gate, requests, this.limits, this.now, terms)
    const { gate, admitted, denied, wakeAt } = answer
    this.gate = gate
    this.warnings.push(...answer.warnings)
    for (const { runner } of answer.hopeless) {
      const job = this.#jobs.get(runner)!
      if (job.state === 'holding') this.faults.push(`${runner} has its place and is told that it is hopeless`)
      if (job.state !== 'gone') this.hopeless.push(runner)
      this.#become(job, 'gone')
    }
    const newcomers: Job[] = []
    const gone: string[] = []
    for (const { runner, already } of admitted) {
      const job = this.#jobs.get(runner)!
      if (job.state === 'gone') gone.push(runner)
      else {
        if (already !== (job.state === 'holding'))
          this.faults.push(`${runner} has its place ${already ? '' : 'not '}already`)
        if (job.state === 'new') newcomers.push(job)
        if (job.state !== 'holding') {
          this.given.push(this.now)
          const started = this.starts.get(job.repositoryId) ?? new Map<string, number>()
          this.starts.set(job.repositoryId, started.set(runner, this.now))
        }
        this.#become(job, 'holding')
        job.notBefore = null
      }
    }
    for (const { runner, notBefore } of denied) {
      const job = this.#jobs.get(runner)!
      if (job.state === 'gone') {
        gone.push(runner)
        continue
      }
      if (job.state === 'holding' && before.has(runner))
        this.faults.push(`${runner} lost its place by asking again`)
      this.#become(job, 'waiting')
      job.notBefore = Math.max(notBefore ?? 0, job.notBefore ?? 0) || null
    }
    for (const job of newcomers) this.#checkOvertaken(job)
    if (wakeAt !== null) this.#send(wakeAt)
    this.#giveBack(gone)
    if (this.#refill()) this.#send(this.now)
    this.#check()
  }

  /** As refill.ts does; answers whether it brought anybody to the gate. */
  #refill(): boolean {
    let added = false
    for (const line of linesToRefill(this.gate)) {
      const deferred = this.waiting
        .sort()
        .map(runner => this.#jobs.get(runner)!)
        .filter(job => lineOf(job) === line)
        .slice(0, 100)
        .map(job => ({ ...job, notBefore: (job.notBefore ?? 0) > this.now ? job.notBefore : null }))
      const refilled = refill(this.gate, line, deferred, deferred.length === 100)
      added ||= refilled !== this.gate
      this.gate = refilled
    }
    return added
  }

  #send(time: number): void {
    this.wakes.push(Math.min(Math.max(time, this.now), this.now + LONGEST_DELAY_MS))
  }

  #checkOvertaken(newcomer: Job): void {
    for (const runner of this.#waiting) {
      const other = this.#jobs.get(runner)!
      const overtaken =
        lineOf(other) === lineOf(newcomer) &&
        other.priority === newcomer.priority &&
        other.order < newcomer.order &&
        (other.notBefore === null || other.notBefore <= this.now)
      if (overtaken) this.faults.push(`${newcomer.runner} overtook ${other.runner}`)
    }
  }

  /** Caps, pace, and that the gate and this account agree. */
  #check(): void {
    const holders = Object.entries(this.gate.holders)
    const { limits } = this
    if (holders.length > limits.runners) this.faults.push(`${holders.length} runners at once`)
    const counts = new Map<number, number>()
    for (const [, { repository }] of holders) counts.set(repository, (counts.get(repository) ?? 0) + 1)
    for (const [repository, count] of counts) {
      const most = limits.repositories?.[`acme/r${repository}`]?.runners ?? limits.perRepository
      if (count > most) this.faults.push(`${count} runners of ${repository} at once`)
    }
    for (const [role, most] of Object.entries(limits.roles ?? {})) {
      const count = holders.filter(([, holder]) => holder.role === role).length
      if (count > most) this.faults.push(`${count} runners with the role ${role} at once`)
    }
    this.#checkStarts()
    this.#checkSpend()
    if (holders.length !== this.#holding.size || holders.some(([runner]) => !this.#holding.has(runner)))
      this.faults.push(`places of ${Object.keys(this.gate.holders)}, not of ${this.holding}`)
    for (const [line, { heads }] of Object.entries(this.gate.waiting))
      for (const { runner } of heads) {
        const job = this.#jobs.get(runner)!
        if (job.state === 'holding') this.faults.push(`${runner} waits and has its place`)
        if (lineOf(job) !== line) this.faults.push(`${runner} waits in another line`)
      }
  }

  #checkStarts(): void {
    const { repositories, startsPerHour } = this.limits
    for (const [repository, times] of this.starts) {
      const most = repositories?.[`acme/r${repository}`]?.startsPerHour ?? startsPerHour
      const within = densest(
        [...times.values()].sort((a, b) => a - b),
        3_600_000,
      )
      if (most && within > most) this.faults.push(`${within} starts of ${repository} within an hour`)
    }
  }

  /** What is booked is what has left, once; and under a cap that blocks it is never passed. */
  #checkSpend(): void {
    const { spend } = this.limits
    const today = new Date(this.now).toISOString().slice(0, 10)
    for (const [period, sum] of [
      [today, this.booked.get(today) ?? 0],
      [today.slice(0, 7), this.#sum(([day]) => day.startsWith(today.slice(0, 7)))],
    ] as const) {
      if ((this.gate.spent[period] ?? 0) !== sum)
        this.faults.push(`${this.gate.spent[period]} booked in ${period}, not ${sum}`)
      const cap = period === today ? spend?.dailyMicroUsd : spend?.monthlyMicroUsd
      if (spend?.onCap === 'block' && cap && sum > cap)
        this.faults.push(`${sum} spent in ${period} of ${cap}`)
    }
  }

  #sum(wanted: (entry: [string, number]) => boolean): number {
    return [...this.booked].filter(wanted).reduce((sum, [, microUsd]) => sum + microUsd, 0)
  }

  #become(job: Job, state: Job['state']): void {
    job.state = state
    for (const [set, name] of [
      [this.#holding, 'holding'],
      [this.#waiting, 'waiting'],
    ] as const) {
      if (state === name) set.add(job.runner)
      else set.delete(job.runner)
    }
  }
}

/** Most entries of `times` within any window of that length. */
export function densest(times: readonly number[], windowMs: number): number {
  let most = 0
  let from = 0
  for (let to = 0; to < times.length; to++) {
    while (times[to]! - times[from]! >= windowMs) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}
