/**
 * One clock for everything that takes time on the laptop.
 *
 * Stepped: time stands still while anything is at work and then jumps to the next timer, so a day takes seconds
 * and two runs with the same input are the same run. Live: the same timers on the machine's own clock.
 */
import type { Clock } from '../functions/ports.ts'

export interface Timer {
  cancel(): void
}

export interface LocalClock extends Clock {
  /** Calls `run` at `time` (or at once if that has passed). Timers of the same time fire in the order they were set. */
  at(time: number, run: () => void | Promise<void>): Timer
  after(milliseconds: number, run: () => void | Promise<void>): Timer
  sleep(milliseconds: number): Promise<void>
  /** Real input or output: stepped time waits for it. */
  track<T>(work: Promise<T>): Promise<T>
}

class Entry implements Timer {
  readonly time: number
  readonly order: number
  run: () => void | Promise<void>
  cancelled = false

  constructor(time: number, order: number, run: () => void | Promise<void>) {
    this.time = time
    this.order = order
    this.run = run
  }

  cancel(): void {
    this.cancelled = true
    // What it held on to may go now; the entry itself goes when its time comes.
    this.run = nothing
  }
}

/** A stepped clock that can be set going live. */
export class SteppedClock implements LocalClock {
  #now: number
  #order = 0
  readonly #heap: Entry[] = []
  #tracked = 0
  #live: { readonly since: number; timeout: NodeJS.Timeout | null } | null = null
  readonly #onError: (error: unknown) => void
  readonly #turn: () => Promise<void>

  /**
   * `onError` gets what a timer's work throws; by default it ends the process, because no timer may fail unseen.
   * `turn` lets every promise go on that can.
   */
  constructor(
    start: number,
    onError: (error: unknown) => void = error => {
      throw error
    },
    turn: () => Promise<void> = eventLoopTurn,
  ) {
    this.#now = start
    this.#onError = onError
    this.#turn = turn
  }

  now(): number {
    return this.#live ? this.#now + Math.floor(performance.now() - this.#live.since) : this.#now
  }

  at(time: number, run: () => void | Promise<void>): Timer {
    const entry = new Entry(Math.max(time, this.now()), this.#order++, run)
    push(this.#heap, entry)
    if (this.#live && this.#heap[0] === entry) this.#arm()
    return entry
  }

  after(milliseconds: number, run: () => void | Promise<void>): Timer {
    return this.at(this.now() + milliseconds, run)
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise(resolve => this.after(milliseconds, resolve))
  }

  async track<T>(work: Promise<T>): Promise<T> {
    this.#tracked++
    try {
      return await work
    } finally {
      this.#tracked--
    }
  }

  /** Time of the next timer; null when nothing is left to happen. */
  next(): number | null {
    while (this.#heap[0]?.cancelled) pop(this.#heap)
    return this.#heap[0]?.time ?? null
  }

  /** Steps until `done` says so, until `end`, or until nothing is left to happen; a given `end` is always reached. */
  async run(end: number = Number.POSITIVE_INFINITY, done: () => boolean = () => false): Promise<void> {
    await this.#settle()
    while (!done()) {
      const time = this.next()
      if (time === null || time > end) break
      const entry = pop(this.#heap)!
      this.#now = entry.time
      this.#fire(entry)
      await this.#settle()
    }
    if (Number.isFinite(end) && !done()) this.#now = Math.max(this.#now, end)
  }

  /** From here on time passes by itself, whatever is done to the clock of the machine. */
  goLive(): void {
    this.#live = { since: performance.now(), timeout: null }
    this.#arm()
  }

  stop(): void {
    if (this.#live?.timeout) clearTimeout(this.#live.timeout)
    this.#heap.length = 0
  }

  #fire(entry: Entry): void {
    try {
      entry.run()?.catch(this.#onError)
    } catch (error) {
      this.#onError(error)
    }
  }

  /** Waits until every promise that can go on has gone on. */
  async #settle(): Promise<void> {
    do await this.#turn()
    while (this.#tracked > 0)
  }

  #arm(): void {
    const live = this.#live!
    if (live.timeout) clearTimeout(live.timeout)
    const time = this.next()
    // setTimeout fires at once for delays over 2^31 - 1 ms.
    live.timeout =
      time === null
        ? null
        : setTimeout(() => this.#due(), Math.min(Math.max(0, time - this.now()), 2 ** 31 - 1))
  }

  #due(): void {
    for (let time = this.next(); time !== null && time <= this.now(); time = this.next())
      this.#fire(pop(this.#heap)!)
    this.#arm()
  }
}

function nothing(): void {}

/** Drains all microtasks, and lets input and output happen. */
function eventLoopTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

const TURNS_BETWEEN = 1000

/**
 * Drains all microtasks and mostly no more, which takes a fraction of the time: for worlds in which nothing but promises
 * is waited for. Node takes the next tick only when no microtask is left, the ones that these made included; `run` is in
 * one whenever it has fired something. Now and then the event loop turns all the same, or what native objects leave
 * behind would never be freed. https://nodejs.org/api/process.html#when-to-use-queuemicrotask-vs-processnexttick
 */
export function mostlyMicrotasks(): () => Promise<void> {
  let turns = 0
  return () => {
    if (++turns % TURNS_BETWEEN === 0) return eventLoopTurn()
    return new Promise(resolve => process.nextTick(resolve))
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order)
}

function push(heap: Entry[], entry: Entry): void {
  let index = heap.push(entry) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (before(heap[parent]!, entry)) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = entry
}

function pop(heap: Entry[]): Entry | undefined {
  const top = heap[0]
  const last = heap.pop()
  if (heap.length === 0 || last === undefined) return top
  let index = 0
  for (;;) {
    let child = index * 2 + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
    if (!before(heap[child]!, last)) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
  return top
}
