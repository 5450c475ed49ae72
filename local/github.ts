/**
 * GitHub on a laptop: queues jobs, gives them to runners, sends `workflow_job` deliveries, and answers the calls of
 * the `GitHub` port. Everything happens on one clock; the same input gives the same run.
 *
 * Fidelity: runners are registered at repository level only. A runner polls without fail: none is dropped for being
 * idle, and a job is offered to one runner at a time, where GitHub's broker can offer it to several
 * (https://github.com/orgs/community/discussions/209463). Jobs have no dependents and no timeouts of their own. Calls
 * have no latency, no rate limits and no failures; whoever wants those wraps the port, or `deliver`.
 */
import type { RefusalReport } from '../functions/core/refusal.ts'
import type {
  DispatchOutcome,
  FailedDelivery,
  GitHub,
  GitHubJob,
  GitHubListedRun,
  GitHubListedRunner,
  GitHubRun,
  GitHubRunJob,
  GitHubScope,
  JitOutcome,
  RerunOutcome,
} from '../functions/ports.ts'
import type { LocalClock } from './clock.ts'
import { type AdoptedPayload, readPayload } from './github-adopt.ts'
import { Dispatch } from './github-dispatch.ts'
import {
  type AssignedJob,
  apiOf,
  between,
  type DoubleJob,
  type JobRecord,
  type JobScript,
  type JobSource,
  type JobView,
  jobKey,
  listedJob,
  momentOf,
  newRecord,
  plan,
  type RunFacts,
  viewOf,
} from './github-jobs.ts'
import { Registrations, type RunnerProgram, type RunnerSession, type RunnerView } from './github-runners.ts'
import { type Delivery, type News, Webhooks } from './github-webhooks.ts'
import { type Conclusion, type Envelope, envelopeOf, type WorkflowJobAction } from './payloads.ts'

export type {
  AssignedJob,
  DoubleJob,
  DoubleRepository,
  HandedFacts,
  JobScript,
  JobView,
  RunFacts,
} from './github-jobs.ts'
export type { RunnerProgram, RunnerSession, RunnerView } from './github-runners.ts'
export { type Delivery, DeliveryRefused } from './github-webhooks.ts'

export interface GitHubDoubleOptions {
  readonly clock: LocalClock
  /** Of the webhook. */
  readonly secret: string
  /** Sends a delivery to the webhook endpoint; GitHub does not retry. A rejection is counted in `undelivered`. */
  readonly deliver: (delivery: Delivery) => Promise<void>
  /** Divides how long jobs run. */
  readonly speed: number
  /** Length of a job without a recording, seconds: [least, most], hashed from its id. */
  readonly jobSeconds: readonly [number, number]
  /** Jobs that it makes itself have greater ids; those of a recording may come later. */
  readonly lastJobId?: number
  /** Is told what there would be a delivery of, and no payload is made. */
  readonly tell?: (news: News) => void
}

export interface CheckRun {
  readonly externalId: string
  /** owner/name */
  readonly repository: string
  readonly headSha: string
  readonly title: string
  readonly summary: string
  readonly at: number
}

interface Run {
  readonly repositoryId: number
  /** Of its latest job. */
  attempt: number
  readonly facts: GitHubRun
  /** Of all attempts. */
  readonly jobs: JobRecord[]
  /** Jobs that are not completed. */
  readonly open: Set<JobRecord>
}

/** GitHub lists no more: https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository */
const LISTED_RUNS = 1000

/** Check runs younger than this are not in the list yet; how far it lags is measured nowhere. */
const CHECKS_LAG_MS = 3_000

/** From the wish to cancel a running job to its end: the runner's cleanup. */
const CANCEL_MS = [2_000, 6_000] as const

export class GitHubDouble implements GitHub {
  readonly #options: GitHubDoubleOptions
  readonly #clock: LocalClock
  readonly #webhooks: Webhooks
  readonly #runners: Registrations<AssignedJob>
  readonly #dispatch: Dispatch
  /** By `<job id>-<run attempt>`. */
  readonly #jobs = new Map<string, JobRecord>()
  /** Latest attempt by job id. GitHub gives every attempt an id of its own; recordings may not. */
  readonly #latest = new Map<number, JobRecord>()
  readonly #runs = new Map<number, Run>()
  /** Those that have not ended. */
  readonly #openRuns = new Map<number, Run>()
  /** Scripts of jobs that are not known yet. */
  readonly #scripts = new Map<string, JobScript>()
  readonly #checks: CheckRun[] = []
  /** The envelope that the last adopted delivery of a repository had: most of them are alike. */
  readonly #envelopes = new Map<number, { readonly text: string; readonly envelope: Envelope }>()
  /** What was started by hand, oldest first. */
  readonly dispatched: {
    readonly repository: string
    readonly workflow: string
    readonly branch: string
    readonly inputs: Readonly<Record<string, string>>
  }[] = []
  #openJobs = 0
  #lastJobId: number

  constructor(options: GitHubDoubleOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#lastJobId = options.lastJobId ?? 40_000_000_000
    this.#webhooks = new Webhooks(options.clock, options.secret, options.deliver)
    this.#runners = new Registrations(options.clock, options.tell ? null : options.secret)
    this.#dispatch = new Dispatch(options.clock, this.#runners, {
      started: (record, runner) => this.#start(record, runner),
      ended: (record, conclusion) => this.#complete(record, conclusion),
    })
  }

  // What happens at GitHub by itself, or by its users

  /**
   * GitHub queues a job and says so. Behind a gate it says so twice, as waiting and as queued with status waiting; a
   * third time, as queued, when the gate opens: https://github.com/CloudSnorkel/cdk-github-runners/pull/416
   */
  queue(job: DoubleJob): void {
    if (!this.#jobs.has(jobKey(job))) this.#announce(job, { envelope: envelopeOf(job) })
  }

  /**
   * A `queued` or `waiting` delivery from outside stands for GitHub's own state: its job is known from now on, and
   * no delivery is sent for that. Later deliveries of the job repeat what this one said. A doubled one changes
   * nothing, except that a waiting job becomes ready with a queued one.
   * @param payload parsed, complete or not
   * @returns false when it is no such payload
   */
  adopt(payload: unknown, run: RunFacts = {}): boolean {
    const adopted = readPayload(payload, this.#clock.now())
    if (!adopted) return false
    const record = this.#jobs.get(jobKey(adopted.job)) ?? this.#take(adopted, run)
    if (record.phase === 'waiting' && adopted.status === 'queued') this.#dispatch.enqueue(record)
    return true
  }

  /** Like `adopt`, for who has read the payload and needs none made from it. */
  know(job: DoubleJob, createdAt: number): void {
    const record =
      this.#jobs.get(jobKey(job)) ?? this.#remember(job, createdAt, { envelope: envelopeOf(job) })
    if (record.phase === 'waiting' && !job.gate) this.#dispatch.enqueue(record)
  }

  /**
   * Forgets a job of a run that has ended: nobody will ask for it again.
   * @returns false where that is not so
   */
  forget(key: string): boolean {
    const record = this.#jobs.get(key)
    if (!record) return true
    const { jobId, runId } = record.job
    const run = this.#runOf(record.job)
    if (run.open.size > 0) return false
    this.#jobs.delete(key)
    if (this.#latest.get(jobId) === record) this.#latest.delete(jobId)
    run.jobs.splice(run.jobs.indexOf(record), 1)
    if (run.jobs.length === 0) this.#runs.delete(runId)
    return true
  }

  /** Recorded behaviour of a job, known already or not; `key` is `<job id>-<run attempt>`. */
  script(key: string, script: JobScript): void {
    const record = this.#jobs.get(key)
    if (record) this.#follow(record, script)
    else this.#scripts.set(key, { ...this.#scripts.get(key), ...script })
  }

  /** Somebody lets a waiting job through its gate; false if it does not wait. */
  openGate(jobId: number): boolean {
    const record = this.#latest.get(jobId)
    if (record?.phase !== 'waiting') return false
    this.#dispatch.enqueue(record)
    this.#tell(record, 'queued')
    return true
  }

  /** Somebody cancels a job: at once while no runner has it, else its runner gets a few seconds. False: it has ended. */
  cancelJob(jobId: number): boolean {
    const record = this.#latest.get(jobId)
    if (!record || record.phase === 'completed') return false
    this.#cancel(record)
    return true
  }

  /**
   * Somebody runs a finished job again: a new job id, the next attempt.
   * @returns the new job; null while its run is in progress (GitHub: 403) or when the job is unknown
   */
  runAgain(jobId: number, script?: JobScript): DoubleJob | null {
    const record = this.#latest.get(jobId)
    const run = record && this.#runOf(record.job)
    if (!run || run.open.size > 0) return null
    const { script: _, gate: __, ...same } = record.job
    const next = { jobId: this.#lastJobId + 1, attempt: run.attempt + 1, ...(script ? { script } : {}) }
    const job: DoubleJob = { ...same, ...next }
    this.#announce(job, { envelope: this.#envelopes.get(job.repository.id)?.envelope ?? envelopeOf(job) })
    return job
  }

  /**
   * A runner program comes online with its JIT config and is idle from then on.
   * @returns null when the config was used before, is unknown or expired, or its registration was removed
   */
  connect(encodedJitConfig: string, program: RunnerProgram<AssignedJob>): RunnerSession | null {
    const runner = this.#runners.use(encodedJitConfig)
    return runner && this.#dispatch.connect(runner, program)
  }

  // What tests and reports look at

  /** Check runs in the order they were made. */
  get checks(): readonly CheckRun[] {
    return this.#checks
  }

  /** Attempts to deliver that their receiver did not take. */
  get undelivered(): number {
    return this.#webhooks.undelivered
  }

  /** GitHub's log of deliveries: every attempt of the last 3 days, oldest first. */
  get deliveries(): Iterable<FailedDelivery> {
    return this.#webhooks.log
  }

  /** How many jobs have not ended. */
  get openJobs(): number {
    return this.#openJobs
  }

  /** Label sets compared so far: the work of finding runners for jobs. */
  get comparisons(): number {
    return this.#dispatch.comparisons
  }

  /** Every job, in the order in which they became known. */
  *jobs(): Generator<JobView> {
    for (const record of this.#jobs.values()) yield viewOf(record)
  }

  /** `key` is `<job id>-<run attempt>`. */
  job(key: string): JobView | null {
    const record = this.#jobs.get(key)
    return record ? viewOf(record) : null
  }

  /** Every registration, oldest first. */
  *runners(): Generator<RunnerView> {
    for (const runner of this.#runners.all()) {
      const { id, name, repositoryId, labels, createdAt } = runner
      const status = this.#dispatch.isBusy(runner) ? 'busy' : runner.program ? 'idle' : 'offline'
      yield { id, name, repositoryId, labels, createdAt, status }
    }
  }

  // The port

  async createJitConfig(scope: GitHubScope, name: string, labels: readonly string[]): Promise<JitOutcome> {
    return this.#runners.create(scope, name, labels)
  }

  /**
   * Between the choice of a runner for a job and its offer GitHub still answers 204, and the job arrives there all
   * the same: the race of removal and assignment. The runner then runs it without being listed.
   */
  async removeRunner(scope: GitHubScope, runnerId: number): Promise<'removed' | 'gone' | 'busy'> {
    const runner = this.#runners.get(scope, runnerId)
    if (!runner) return 'gone'
    if (this.#dispatch.isBusy(runner)) return 'busy'
    this.#dispatch.remove(runner)
    return 'removed'
  }

  async findRunner(
    scope: GitHubScope,
    name: string,
  ): Promise<{ readonly id: number; readonly busy: boolean } | null> {
    const runner = this.#runners.find(scope, name)
    return runner && { id: runner.id, busy: this.#dispatch.isBusy(runner) }
  }

  async getJob(scope: GitHubScope, jobId: number): Promise<GitHubJob | null> {
    const record = this.#latest.get(jobId)
    return record && record.job.repository.id === scope.repository.id ? apiOf(record) : null
  }

  async getRun(scope: GitHubScope, runId: number): Promise<GitHubRun | null> {
    const run = this.#runs.get(runId)
    return run && run.repositoryId === scope.repository.id ? run.facts : null
  }

  async runAttempt(scope: GitHubScope, runId: number): Promise<number | null> {
    const run = this.#runs.get(runId)
    return run && run.repositoryId === scope.repository.id ? run.attempt : null
  }

  /** Runs that wait for nothing but a gate are in neither list, as at GitHub. */
  async listRuns(scope: GitHubScope, status: 'queued' | 'in_progress'): Promise<readonly GitHubListedRun[]> {
    const found: GitHubListedRun[] = []
    for (const [id, run] of this.#openRuns) {
      if (run.repositoryId !== scope.repository.id || statusOf(run) !== status) continue
      const { event, headBranch } = run.facts
      found.push({ id, attempt: run.attempt, event, headBranch })
    }
    return found.toReversed().slice(0, LISTED_RUNS)
  }

  /** Fidelity: a job that was not run again belongs to the attempt before, and is not among those of the latest. */
  async listJobs(scope: GitHubScope, runId: number): Promise<readonly GitHubRunJob[] | null> {
    const run = this.#runs.get(runId)
    if (run?.repositoryId !== scope.repository.id) return null
    return run.jobs.filter(({ job }) => job.attempt === run.attempt).map(listedJob)
  }

  async listRunners(scope: GitHubScope): Promise<readonly GitHubListedRunner[]> {
    return [...this.#runners.all()]
      .filter(({ repositoryId }) => repositoryId === scope.repository.id)
      .map(runner => ({
        id: runner.id,
        name: runner.name,
        busy: this.#dispatch.isBusy(runner),
        online: runner.program !== null,
      }))
  }

  async listFailedDeliveries(cursor: string | null) {
    return this.#webhooks.failures(cursor)
  }

  async redeliver(id: string): Promise<'accepted' | 'gone'> {
    return this.#webhooks.redeliver(id)
  }

  async cancelRun(scope: GitHubScope, runId: number): Promise<void> {
    const run = this.#runs.get(runId)
    if (run?.repositoryId !== scope.repository.id) return
    for (const record of [...run.open]) this.#cancel(record)
  }

  async rerunJob(scope: GitHubScope, jobId: number): Promise<RerunOutcome> {
    if (this.#latest.get(jobId)?.job.repository.id !== scope.repository.id) return { outcome: 'gone' }
    return this.runAgain(jobId) ? { outcome: 'started' } : { outcome: 'running' }
  }

  /** Fidelity: workflows and branches are those of earlier runs, and the new run has the first job of the last one there. */
  async dispatchWorkflow(
    scope: GitHubScope,
    workflow: string,
    branch: string,
    inputs: Readonly<Record<string, string>>,
  ): Promise<DispatchOutcome> {
    const own = [...this.#runs.values()].filter(({ repositoryId }) => repositoryId === scope.repository.id)
    const runs = own.filter(({ facts }) => facts.path === `.github/workflows/${workflow}`)
    const known = runs.findLast(({ facts }) => facts.headBranch === branch) ?? runs.at(-1)
    if (!known) return { outcome: 'failed', message: 'Not Found' }
    if (!own.some(({ facts }) => facts.headBranch === branch))
      return { outcome: 'failed', message: `No ref found for: refs/heads/${branch}` }
    this.dispatched.push({ repository: scope.repository.name, workflow, branch, inputs })
    const { script: _, gate: __, ...same } = known.jobs[0]!.job
    const jobId = this.#lastJobId + 1
    const headRepositoryId = scope.repository.id
    this.queue({
      ...same,
      ...{
        jobId,
        runId: jobId,
        attempt: 1,
        event: 'workflow_dispatch',
        headBranch: branch,
        headRepositoryId,
      },
    })
    return { outcome: 'started' }
  }

  async reportRefusal(
    scope: GitHubScope,
    report: RefusalReport,
    known: number | null,
  ): Promise<number | null> {
    const repository = scope.repository.name
    const isListed = ({ at, ...check }: CheckRun) =>
      check.repository === repository &&
      check.externalId === report.externalId &&
      check.headSha === report.headSha &&
      this.#clock.now() - at >= CHECKS_LAG_MS
    const place = known === null ? this.#checks.findIndex(isListed) : known - 1
    const before = this.#checks[place]
    if (!before) return this.#checks.push({ ...report, repository, at: this.#clock.now() })
    this.#checks[place] = { ...before, title: report.title, summary: report.summary }
    return place + 1
  }

  // The life of a job; where it meets runners is in github-dispatch.ts

  #announce(job: DoubleJob, source: JobSource): void {
    const record = this.#remember(job, this.#clock.now(), source)
    if (job.gate) this.#tell(record, 'waiting')
    else this.#dispatch.enqueue(record)
    this.#tell(record, 'queued')
  }

  #take({ job: known, status, createdAt, base, envelope }: AdoptedPayload, run: RunFacts): JobRecord {
    const { headRepositoryId = known.repository.id } = run
    // What is pushed to a fork runs in the fork.
    const { event = headRepositoryId === known.repository.id ? 'push' : 'pull_request' } = run
    const job: DoubleJob = { ...known, event, headRepositoryId, gate: status === 'waiting' }
    return this.#remember(job, createdAt, { envelope: this.#share(job.repository.id, envelope), base })
  }

  #remember(job: DoubleJob, createdAt: number, source: JobSource): JobRecord {
    const record = newRecord(job, createdAt, source)
    this.#jobs.set(record.key, record)
    if (job.attempt >= (this.#latest.get(job.jobId)?.job.attempt ?? 0)) this.#latest.set(job.jobId, record)
    this.#lastJobId = Math.max(this.#lastJobId, job.jobId)
    const run = this.#runOf(job)
    run.jobs.push(record)
    run.open.add(record)
    this.#openRuns.set(job.runId, run)
    run.attempt = Math.max(run.attempt, job.attempt)
    this.#openJobs++
    this.#follow(record, { ...job.script, ...this.#scripts.get(record.key) })
    this.#scripts.delete(record.key)
    return record
  }

  #runOf(job: DoubleJob): Run {
    const known = this.#runs.get(job.runId)
    if (known) return known
    const { event, headBranch, headRepositoryId } = job
    const facts: GitHubRun = { event, headBranch, headRepositoryId, path: workflowPath(job.workflow ?? 'ci') }
    const run: Run = {
      repositoryId: job.repository.id,
      attempt: job.attempt,
      facts,
      jobs: [],
      open: new Set(),
    }
    this.#runs.set(job.runId, run)
    return run
  }

  /** The one object for all envelopes of a repository that say the same. */
  #share(repositoryId: number, envelope: Envelope): Envelope {
    const text = JSON.stringify(envelope)
    const last = this.#envelopes.get(repositoryId)
    if (last?.text === text) return last.envelope
    this.#envelopes.set(repositoryId, { text, envelope })
    return envelope
  }

  #follow(record: JobRecord, script: JobScript): void {
    record.script = { ...record.script, ...script }
    if (record.phase === 'completed') return
    if (script.cancelAt !== undefined) {
      record.cancellation?.cancel()
      record.cancellation = this.#clock.at(script.cancelAt, () => this.#cancel(record))
    }
    const running = record.phase === 'running' && record.runner?.program && !record.cancelling
    if (running && script.durationMs !== undefined) this.#planEnd(record)
  }

  #start(record: JobRecord, runner: { readonly id: number; readonly name: string }): void {
    record.startedAt = this.#clock.now()
    record.ranOn = { id: runner.id, name: runner.name }
    this.#planEnd(record)
    this.#tell(record, 'in_progress')
  }

  #planEnd(record: JobRecord): void {
    const [least, most] = this.#options.jobSeconds
    const duration = record.script.durationMs ?? between([least * 1000, most * 1000], `length ${record.key}`)
    const end = record.startedAt! + Math.round(duration / this.#options.speed)
    plan(this.#clock, record, end, () => this.#complete(record, record.script.conclusion ?? 'success'))
  }

  #cancel(record: JobRecord): void {
    if (record.phase === 'completed' || record.cancelling) return
    if (record.phase === 'running') this.#cancelRunning(record)
    else this.#complete(record, 'cancelled')
  }

  #cancelRunning(record: JobRecord): void {
    record.cancelling = true
    const program = record.runner?.program
    // Without a runner to hear of it the lock must run out: https://github.com/actions/runner/issues/3669
    const end = program ? this.#clock.now() + between(CANCEL_MS, `cancel ${record.key}`) : record.next!.at
    plan(this.#clock, record, end, () => this.#complete(record, 'cancelled'))
    program?.onCancel?.()
  }

  #complete(record: JobRecord, conclusion: Conclusion): void {
    record.next?.timer.cancel()
    record.next = null
    record.cancellation?.cancel()
    record.cancellation = null
    record.phase = 'completed'
    record.conclusion = conclusion
    record.completedAt = this.#clock.now()
    this.#tell(record, 'completed')
    record.source = null
    this.#openJobs--
    const run = this.#runOf(record.job)
    run.open.delete(record)
    if (run.open.size === 0) this.#openRuns.delete(record.job.runId)
    this.#dispatch.withdraw(record, record.ranOn ? conclusion : null)
  }

  #tell(record: JobRecord, action: WorkflowJobAction): void {
    const news = { action, job: record.job, moment: momentOf(record), ...record.source! }
    if (this.#options.tell) this.#options.tell(news)
    else this.#webhooks.send(news)
  }
}

/** A run is in progress from the start of its first job to the end of its last. */
function statusOf({ jobs, attempt }: Run): 'waiting' | 'queued' | 'in_progress' {
  const phases = jobs.filter(({ job }) => job.attempt === attempt).map(({ phase }) => phase)
  if (phases.some(phase => phase === 'running' || phase === 'completed')) return 'in_progress'
  return phases.every(phase => phase === 'waiting') ? 'waiting' : 'queued'
}

function workflowPath(workflow: string): string {
  return `.github/workflows/${workflow.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.yml`
}
