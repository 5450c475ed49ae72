/**
 * The program that runs inside a task or build: takes its ticket, registers, runs one job, and ends. The same waits
 * and limits as the entrypoint of the runner image, and the same guard; what a job does is left out.
 */

import type { RunnerShape } from '../functions/core/types.ts'
import { decide, type Handed, type Policy } from '../runner-image/supervisor/policy.ts'
import type { LocalClock, Timer } from './clock.ts'
import type { AssignedJob, GitHubDouble, RunnerSession } from './github.ts'
import type { LocalTickets } from './tickets.ts'
import { usageLine } from './usage.ts'

export interface RunnerLimits {
  readonly ticketMs: number
  readonly idleMs: number
  readonly lifeMs: number
  /** Where the program stops for good: before its ticket, before it comes online, or after its job. */
  readonly hangs?: 'ticket' | 'connect' | 'exit' | null
}

/** What its guard goes by. */
export interface RunnerRights {
  readonly policy: Policy
  /** Whether credentials can be put out of the job's reach: on Fargate they can. */
  readonly forgets: boolean
  /** Told before the first step of a job that has the role of the policy. */
  readonly onRelease: (job: AssignedJob) => void
}

/** What it runs on, and where its log goes. */
export interface RunnerHost {
  readonly shape: RunnerShape
  readonly print: (line: string) => void
}

const POLL_MS = 1_000
/** From the ticket to a listener that is online; measured nowhere. */
const CONNECT_MS = 2_500
/** From an offer to a worker that has it. */
const ACQUIRE_MS = 600
const EXIT_MS = 800
/** The exit code of the supervisor whose guard killed the job. */
const REFUSED = 7

export class LocalRunner {
  readonly #clock: LocalClock
  readonly #github: GitHubDouble
  readonly #tickets: LocalTickets
  readonly #limits: RunnerLimits
  readonly #rights: RunnerRights
  readonly #host: RunnerHost
  readonly #exit: (code: number) => void
  readonly #timers: Timer[] = []
  #session: RunnerSession | null = null
  /** The job that it runs, and since when. */
  #busy: { readonly job: AssignedJob; readonly since: number } | null = null
  #refused = false
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
    rights: RunnerRights,
    host: RunnerHost,
    exit: (code: number) => void,
  ) {
    this.#clock = clock
    this.#github = github
    this.#tickets = tickets
    this.#limits = limits
    this.#rights = rights
    this.#host = host
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
    this.#busy = null
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
      onDone: () => this.#after(EXIT_MS, () => this.#leave(this.#refused ? REFUSED : 0)),
      onGone: () => this.#leave(0),
    })
    if (!this.#session) this.#end(4)
    this.#after(this.#limits.idleMs, () => this.#idleTooLong())
  }

  #acquire(job: AssignedJob): void {
    if (!this.#session?.acquire(job.jobId)) return
    this.#busy = { job, since: this.#clock.now() }
    this.#judge(job)
  }

  /** The verdict comes before any step: a job that is killed has none, whatever their conditions. */
  #judge(job: AssignedJob): void {
    const { policy, forgets, onRelease } = this.#rights
    const { kind } = decide(handed(job), policy, { forgets })
    if (kind === 'release') onRelease(job)
    if (kind !== 'kill') return
    this.#refused = true
    this.#session?.failJob('failure')
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
    if (this.#busy && !this.#refused) this.#measure(this.#busy.job, this.#busy.since)
    this.#exit(code)
  }

  #measure(job: AssignedJob, since: number): void {
    const { shape, print } = this.#host
    print(usageLine(job, shape, (this.#clock.now() - since) / 1000))
  }
}

/** What the hook of the runner image reads from its environment and the event's payload. */
export function handed(job: AssignedJob): Handed {
  const { repository, event, ref, headRef, refProtected, runId, headRepositoryId, followsRepositoryId } = job
  return {
    repositoryId: repository.id,
    event,
    ref,
    headRef,
    refProtected,
    runId: String(runId),
    payload: {
      repository: { id: repository.id, default_branch: repository.defaultBranch },
      ...(event.startsWith('pull_request')
        ? { pull_request: { head: { repo: idOf(headRepositoryId) } } }
        : {}),
      ...(event === 'workflow_run' ? { workflow_run: { head_repository: idOf(followsRepositoryId) } } : {}),
    },
  }
}

function idOf(id: number | null): { readonly id: number } | null {
  return id === null ? null : { id }
}
