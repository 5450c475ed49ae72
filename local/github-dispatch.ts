/**
 * Which runner gets which job. Any runner that is online and idle and has all labels of a job may get it, whoever it
 * was started for; the oldest job first, and of several runners the one that has been idle longest.
 * https://github.com/github/docs/pull/9307
 */
import type { LocalClock } from './clock.ts'
import { type AssignedJob, assignedJob, between, type JobRecord, plan } from './github-jobs.ts'
import { JobIndex, RunnerIndex } from './github-labels.ts'
import type { Registration, Registrations, RunnerProgram, RunnerSession } from './github-runners.ts'
import type { Conclusion } from './payloads.ts'

type Runner = Registration<AssignedJob>

/** The jobs and the idle runners of one repository that look for each other. */
interface Line {
  readonly jobs: JobIndex<JobRecord>
  readonly idle: RunnerIndex<Runner>
}

export interface DispatchHooks {
  /** A runner has acquired the job. */
  started(record: JobRecord, runner: Runner): void
  /** The job must end: it queued too long, or its runner said so or is lost. */
  ended(record: JobRecord, conclusion: Conclusion): void
}

/** From "there is a job for this runner" to the return of the runner's long poll with it. */
const MATCH_MS = [1_000, 2_000] as const
/** "If the runner doesn't pick up the assigned job within 60 seconds", the job is queued again (the page above). */
const ACQUIRE_MS = 60_000
/**
 * "Each job for self-hosted runners that has been queued for at least 24 hours will be canceled": it can take up to
 * 48 hours there, never here. https://docs.github.com/en/enterprise-server@3.14/actions/reference/usage-limits-for-self-hosted-runners
 */
const QUEUE_MS = 24 * 60 * 60_000
/** The lock on a job, which its runner renews each minute. https://github.com/actions/runner/issues/1546 */
const LOCK_MS = 10 * 60_000

export class Dispatch {
  readonly #clock: LocalClock
  readonly #runners: Registrations<AssignedJob>
  readonly #hooks: DispatchHooks
  readonly #lines = new Map<number, Line>()
  /** The job that is matched with, offered to or running on a runner. */
  readonly #jobOf = new Map<Runner, JobRecord>()
  #order = 0

  constructor(clock: LocalClock, runners: Registrations<AssignedJob>, hooks: DispatchHooks) {
    this.#clock = clock
    this.#runners = runners
    this.#hooks = hooks
  }

  /** Label sets compared so far: the work of finding runners for jobs. */
  get comparisons(): number {
    let sum = 0
    for (const { jobs, idle } of this.#lines.values()) sum += jobs.comparisons + idle.comparisons
    return sum
  }

  /** Puts a job into the line; one that was there before gets its old place. */
  enqueue(record: JobRecord): void {
    record.phase = 'queued'
    record.runner = null
    record.queued ??= { order: ++this.#order, at: this.#clock.now() }
    const end = record.queued.at + QUEUE_MS
    plan(this.#clock, record, end, () => this.#hooks.ended(record, 'cancelled'))
    if (this.#clock.now() < end) this.#findRunner(record, record.queued.order)
  }

  /** A job has ended; `ran` is what its runner hears of it, null if none had acquired it. */
  withdraw(record: JobRecord, ran: Conclusion | null): void {
    const runner = record.runner
    record.runner = null
    this.#line(record.job.repository.id).jobs.delete(record)
    if (!runner) return
    this.#jobOf.delete(runner)
    if (ran === null) this.#free(runner)
    else this.#dismiss(runner, ran)
  }

  connect(runner: Runner, program: RunnerProgram<AssignedJob>): RunnerSession {
    runner.program = program
    this.#free(runner)
    return {
      runnerId: runner.id,
      name: runner.name,
      acquire: jobId => this.#acquire(runner, jobId),
      failJob: (conclusion = 'failure') => this.#failJob(runner, conclusion),
      disconnect: () => this.#disconnect(runner),
      deregister: () => this.#deregister(runner),
    }
  }

  /** A job is offered or runs. A match that nobody knows of yet does not count. */
  isBusy(runner: Runner): boolean {
    const phase = this.#jobOf.get(runner)?.phase
    return phase === 'offered' || phase === 'running'
  }

  /** Removes a runner that is not busy. If it is matched already, its job arrives all the same. */
  remove(runner: Runner): void {
    this.#runners.remove(runner)
    this.#line(runner.repositoryId).idle.delete(runner)
    if (!this.#jobOf.has(runner)) this.#sendAway(runner)
  }

  #findRunner(record: JobRecord, order: number): void {
    const { jobs, idle } = this.#line(record.job.repository.id)
    const runner = idle.oldestContaining(record.job.labels)
    if (runner) this.#match(record, runner)
    else jobs.add(record, order, record.job.labels)
  }

  #match(record: JobRecord, runner: Runner): void {
    const { jobs, idle } = this.#line(runner.repositoryId)
    jobs.delete(record)
    idle.delete(runner)
    record.phase = 'matched'
    record.runner = runner
    this.#jobOf.set(runner, record)
    const at = this.#clock.now() + between(MATCH_MS, `match ${record.key} ${runner.id}`)
    plan(this.#clock, record, at, () => this.#offer(record, runner))
  }

  #offer(record: JobRecord, runner: Runner): void {
    record.phase = 'offered'
    plan(this.#clock, record, this.#clock.now() + ACQUIRE_MS, () => this.#takeBack(record, runner))
    runner.program?.onJob(assignedJob(record.job))
  }

  /** The runner did not acquire the job in time: both look for somebody else, the job first. */
  #takeBack(record: JobRecord, runner: Runner): void {
    this.#jobOf.delete(runner)
    this.enqueue(record)
    this.#free(runner)
  }

  #acquire(runner: Runner, jobId: number): boolean {
    const record = this.#jobOf.get(runner)
    if (record?.phase !== 'offered' || record.job.jobId !== jobId || !runner.program) return false
    record.phase = 'running'
    this.#hooks.started(record, runner)
    return true
  }

  /** The runner has no job: it takes the oldest one that fits, or waits. */
  #free(runner: Runner): void {
    if (!runner.registered) this.#sendAway(runner)
    else if (!runner.program) this.#runners.expireOffline(runner)
    else this.#findJob(runner)
  }

  #findJob(runner: Runner): void {
    const { jobs, idle } = this.#line(runner.repositoryId)
    const record = jobs.oldestWithin(runner.labels)
    if (record) this.#match(record, runner)
    else idle.add(runner, ++this.#order, runner.labels)
  }

  /** GitHub removes an ephemeral runner when its job ends. https://github.com/actions/runner/pull/660 */
  #dismiss(runner: Runner, ran: Conclusion): void {
    this.#runners.remove(runner)
    const program = runner.program
    runner.program = null
    program?.onDone(ran)
  }

  #sendAway(runner: Runner): void {
    const program = runner.program
    runner.program = null
    program?.onGone('removed')
  }

  #failJob(runner: Runner, conclusion: Conclusion): void {
    const record = this.#jobOf.get(runner)
    if (record?.phase === 'running' && runner.program) this.#hooks.ended(record, conclusion)
  }

  /** GitHub does not notice at once: a matched or offered job comes back after its 60 s, a running one is lost. */
  #disconnect(runner: Runner): void {
    if (!runner.program) return
    runner.program = null
    const record = this.#jobOf.get(runner)
    if (!record) {
      this.#line(runner.repositoryId).idle.delete(runner)
      this.#runners.expireOffline(runner)
    } else if (record.phase === 'running') {
      const conclusion = record.cancelling ? 'cancelled' : 'failure'
      plan(this.#clock, record, this.#clock.now() + LOCK_MS, () => this.#hooks.ended(record, conclusion))
    }
  }

  #deregister(runner: Runner): void {
    const idle = runner.program !== null && !this.#jobOf.has(runner)
    this.#disconnect(runner)
    if (idle) this.#runners.remove(runner)
  }

  #line(repositoryId: number): Line {
    const known = this.#lines.get(repositoryId)
    if (known) return known
    const line: Line = { jobs: new JobIndex(), idle: new RunnerIndex() }
    this.#lines.set(repositoryId, line)
    return line
  }
}
