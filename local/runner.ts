/**
 * The program that runs inside a task or build: takes its ticket, registers, runs one job, and ends. The same waits
 * and limits as the entrypoint of the runner image; what a job does is left out.
 */
import type { LocalClock, Timer } from './clock.ts'
import type { AssignedJob, GitHubDouble, RunnerSession } from './github.ts'
import type { LocalTickets } from './tickets.ts'

export interface RunnerLimits {
  readonly ticketMs: number
  readonly idleMs: number
  readonly lifeMs: number
  /** Where the program stops for good: before its ticket, before it comes online, or after its job. */
  readonly hangs?: 'ticket' | 'connect' | 'exit' | null
}

const POLL_MS = 1_000
/** From the ticket to a listener that is online; measured nowhere. */
const CONNECT_MS = 2_500
/** From an offer to a worker that has it. */
const ACQUIRE_MS = 600
const EXIT_MS = 800

export class LocalRunner {
  readonly #clock: LocalClock
  readonly #github: GitHubDouble
  readonly #tickets: LocalTickets
  readonly #limits: RunnerLimits
  readonly #exit: (code: number) => void
  readonly #timers: Timer[] = []
  #session: RunnerSession | null = null
  #busy = false
  #over = false

  /** @param exit called once, when the process ends */
  constructor(
    {
      clock,
      github,
      tickets,
    }: { readonly clock: LocalClock; readonly github: GitHubDouble; readonly tickets: LocalTickets },
    ticketKey: string,
    limits: RunnerLimits,
    exit: (code: number) => void,
  ) {
    this.#clock = clock
    this.#github = github
    this.#tickets = tickets
    this.#limits = limits
    this.#exit = exit
    if (limits.hangs === 'ticket') return
    if (!limits.hangs) this.#after(limits.lifeMs, () => this.#endOfLife())
    this.#waitForTicket(ticketKey, clock.now() + limits.ticketMs)
  }

  /** SIGTERM: a running job is cancelled, an idle runner signs off. */
  terminate(): void {
    if (this.#limits.hangs) return
    if (this.#busy) this.#session?.failJob('cancelled')
    else this.#session?.deregister()
    this.#end(143)
  }

  /** SIGKILL: nobody is told. */
  kill(): void {
    this.#session?.disconnect()
    this.#end(137)
  }

  #waitForTicket(ticketKey: string, deadline: number): void {
    const config = this.#tickets.take(ticketKey)
    if (config !== null && this.#limits.hangs === 'connect') return
    if (config !== null) this.#after(CONNECT_MS, () => this.#connect(config))
    else if (this.#clock.now() >= deadline) this.#end(3)
    else this.#after(POLL_MS, () => this.#waitForTicket(ticketKey, deadline))
  }

  #connect(config: string): void {
    this.#session = this.#github.connect(config, {
      onJob: job => this.#after(ACQUIRE_MS, () => this.#acquire(job)),
      onDone: () => this.#after(EXIT_MS, () => this.#leave(0)),
      onGone: () => this.#leave(0),
    })
    if (!this.#session) this.#end(4)
    this.#after(this.#limits.idleMs, () => this.#idleTooLong())
  }

  #acquire(job: AssignedJob): void {
    if (this.#session?.acquire(job.jobId)) this.#busy = true
  }

  #idleTooLong(): void {
    if (this.#busy) return
    this.#session?.deregister()
    this.#leave(0)
  }

  #endOfLife(): void {
    if (this.#busy) this.#session?.failJob('failure')
    else this.#session?.deregister()
    this.#end(5)
  }

  #leave(code: number): void {
    if (this.#limits.hangs !== 'exit') this.#end(code)
  }

  #after(milliseconds: number, work: () => void): void {
    this.#timers.push(this.#clock.after(milliseconds, () => (this.#over ? undefined : work())))
  }

  #end(code: number): void {
    if (this.#over) return
    this.#over = true
    for (const timer of this.#timers) timer.cancel()
    this.#exit(code)
  }
}
