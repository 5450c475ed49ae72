/**
 * A month in a minute: the deployed decisions (launch, lifecycle and sweep, unchanged) around the same doubles of GitHub,
 * ECS and CodeBuild, in the same stepped time as `World` (world.ts), without what makes that one slow. Nothing is signed,
 * written as JSON or parsed again; what is over is counted and forgotten; and the sweep rolls nothing up, and does not ask
 * GitHub for lost news, because none is lost here. Times are those of `World` to the millisecond: test/whatif-world.test.ts holds the
 * two against each other.
 */
import type { Config } from '../functions/config.ts'
import { readAwsEvent } from '../functions/core/aws-events.ts'
import { readDelivery } from '../functions/core/delivery.ts'
import { guardPolicy } from '../functions/core/guard.ts'
import { isFinal, jobState } from '../functions/core/lifecycle.ts'
import { PASSES_MS } from '../functions/core/rollup-passes.ts'
import type { Job, JobEvent, JobRequest, Runner, RunnerShape } from '../functions/core/types.ts'
import type { Invocation, QueueRecord } from '../functions/lambda.ts'
import { launch } from '../functions/launch.ts'
import { lifecycle } from '../functions/lifecycle.ts'
import type { Ledger, Ports, Queue, QueueName } from '../functions/ports.ts'
import { route } from '../functions/route.ts'
import { sweep } from '../functions/sweep.ts'
import { mostlyMicrotasks, SteppedClock } from './clock.ts'
import { type Fate, LocalCompute } from './compute.ts'
import { type DoubleJob, GitHubDouble, type JobScript, type RunFacts } from './github.ts'
import type { News } from './github-webhooks.ts'
import { withLatency } from './latency.ts'
import { LocalLedger } from './ledger.ts'
import { SILENT } from './log.ts'
import type { Mapping } from './queue.ts'
import { LocalTickets } from './tickets.ts'
import type { Wiring } from './wiring.ts'

/** A `queued` or `waiting` delivery, with what else was recorded of its job. */
export interface Arrival {
  /** When it was delivered, milliseconds since 1970. */
  readonly at: number
  /** As much of the payload as anything here reads. */
  readonly payload: ArrivalPayload
  readonly run: RunFacts
  readonly script: JobScript
}

export interface ArrivalPayload {
  readonly action: string
  readonly workflow_job: { readonly labels: readonly string[] } & Readonly<Record<string, unknown>>
  readonly repository: Readonly<Record<string, unknown>>
  readonly installation?: unknown
  readonly deployment?: unknown
}

export interface LeanWorldOptions {
  readonly config: Config
  readonly wiring: Wiring
  /** In the order of their times. */
  readonly arrivals: readonly Arrival[]
  /** When the last delivery of the recording came, which may be no arrival. */
  readonly end?: number
  /** What is delivered instead; asked for when its time has come. */
  readonly change?: (arrival: Arrival) => Arrival
  /** Seconds of a job whose length nobody recorded. */
  readonly jobSeconds?: readonly [number, number]
  readonly startSeconds?: (shape: RunnerShape) => number | null
  readonly fate?: (token: string, shape: RunnerShape) => Fate | null
  /** Called once for each job, and once for each runner, when nothing can happen to it any more, or when all is over. */
  readonly onJob: (job: Job) => void
  readonly onRunner: (runner: Runner) => void
  /** Called when a job begins to wait for this reason. */
  readonly onDeferred?: (job: Job) => void
  /** Called now and then with the time of the world. */
  readonly onProgress?: (now: number) => void
}

/** What became of the deliveries. */
export interface Intake {
  readonly accepted: number
  readonly ignored: number
  readonly rejected: number
  /** Messages that no function could handle. */
  readonly dead: number
}

const MINUTE_MS = 60_000
/** GitHub cancels what waited for a day; whatever is open an hour later stays open. */
const LONGEST_MS = 25 * 60 * MINUTE_MS
/** What is over is still looked at for a while: by messages under way, and where GitHub is asked for a re-run. */
const KEPT_MS = 60 * MINUTE_MS
const TIDY_MS = 10 * MINUTE_MS
/** From an event at GitHub to its delivery (github-webhooks.ts). */
const DELIVERY_MS = 300
/** From a visible message to its function (queue.ts). */
const PICK_UP_MS = 20

type Handler = (records: readonly QueueRecord[], invocation: Invocation) => Promise<readonly string[]>

/** Plays `arrivals` to their end. */
export async function playLean(options: LeanWorldOptions): Promise<Intake> {
  const world = new LeanWorld(options)
  await world.run()
  return world.intake
}

class LeanWorld {
  readonly #options: LeanWorldOptions
  readonly #clock: SteppedClock
  readonly #github: GitHubDouble
  readonly #compute: LocalCompute
  readonly #ledger: LocalLedger
  readonly #tickets: LocalTickets
  readonly #queues: Readonly<Record<QueueName, LeanQueue>>
  readonly #ports: Ports
  /** By key of the job, as its first delivery told of it: later ones repeat it. */
  readonly #requests = new Map<string, JobRequest>()
  readonly #doneJobs = new Done()
  readonly #doneRunners = new Done()
  readonly #count = { accepted: 0, ignored: 0, rejected: 0 }
  #invocations = 0
  #delivered = 0

  constructor(options: LeanWorldOptions) {
    const { config, wiring, arrivals } = options
    this.#options = options
    const clock = new SteppedClock(arrivals[0]!.at, undefined, mostlyMicrotasks())
    this.#clock = clock
    this.#ledger = new LocalLedger((job, before) => this.#onJob(job, before))
    this.#github = new GitHubDouble({
      clock,
      secret: 'whatif',
      speed: 1,
      jobSeconds: options.jobSeconds ?? [30, 300],
      deliver: async () => {},
      tell: news => clock.after(DELIVERY_MS, () => this.#tell(news)),
      lastJobId: arrivals.reduce(
        (most, { payload }) => Math.max(most, Number(payload.workflow_job.id) || 0),
        0,
      ),
    })
    const tickets = new LocalTickets(clock)
    this.#tickets = tickets
    const { fate, startSeconds } = options
    this.#compute = new LocalCompute({
      clock,
      github: this.#github,
      tickets,
      emit: event => this.#emit(event),
      region: wiring.region,
      ...wiring.names,
      speed: 1,
      idleMinutes: config.runner.idleMinutes,
      policy: request => guardPolicy(request, config),
      ...(fate ? { faults: { fate: ({ token, shape }) => fate(token, shape) } } : {}),
      ...(startSeconds ? { startSeconds } : {}),
    })
    const [launchQueue, eventsQueue] = (['launch', 'events'] as const).map(
      name => new LeanQueue(clock, wiring.queues.find(queue => queue.name === name)!),
    )
    this.#queues = { launch: launchQueue!, events: eventsQueue! }
    const doubles: Ports = {
      clock,
      log: SILENT,
      metrics: { count: () => {}, gauge: () => {} },
      notices: { post: async () => 'off' },
      runnerLog: { usage: async () => null },
      secrets: { webhook: async () => ['whatif'] },
      chatSecrets: { signing: async () => [] },
      replies: { say: async () => null, answer: async () => {} },
      queue: new LeanQueues(this.#queues),
      compute: this.#compute,
      github: this.#github,
      tickets,
      ledger: this.#watched(),
    }
    this.#ports = withLatency(clock, doubles)
    this.#connect('launch', launch(this.#ports, config))
    this.#connect('lifecycle', lifecycle(this.#ports, config))
    this.#connectSweep()
  }

  get intake(): Intake {
    const dead = this.#queues.launch.dead + this.#queues.events.dead
    return { ...this.#count, dead }
  }

  async run(): Promise<void> {
    const { arrivals, onJob, onRunner, onProgress } = this.#options
    for (const arrival of arrivals) this.#clock.at(arrival.at, () => this.#deliver(arrival))
    let over = false
    const look = async (): Promise<void> => {
      const open = await this.#ledger.jobs.open({ limit: Number.POSITIVE_INFINITY })
      const moving = open.some(job => jobState(job) !== 'waiting' || this.#willBeCancelled(job))
      const busy = this.#queues.launch.length + this.#queues.events.length + this.#compute.live
      over = this.#delivered === arrivals.length && !moving && busy === 0
      this.#clock.after(MINUTE_MS, look)
    }
    // Half a minute beside the sweep, so that what it sends has been handled.
    this.#clock.after(MINUTE_MS / 2, look)
    const tidy = (): void => {
      this.#tidy(this.#clock.now() - KEPT_MS)
      onProgress?.(this.#clock.now())
      this.#clock.after(TIDY_MS, tidy)
    }
    this.#clock.after(TIDY_MS, tidy)
    const last = Math.max(arrivals.at(-1)!.at, this.#options.end ?? 0)
    await this.#clock.run(last + LONGEST_MS, () => over)
    for (const job of await everything(this.#ledger.jobs)) onJob(job)
    for (const runner of await everything(this.#ledger.runners)) onRunner(runner)
  }

  // In and out

  /** What the webhook does with a delivery that is signed and JSON (functions/webhook.ts). */
  async #deliver(arrival: Arrival): Promise<void> {
    const { payload, run, script } = this.#options.change?.(arrival) ?? arrival
    const { owners, marker } = this.#options.config
    const rules = { marker, owners: owners && new Set(Object.values(owners)) }
    const reading = readDelivery('workflow_job', payload, this.#clock.now(), rules)
    if (reading.outcome !== 'ours') this.#count[reading.outcome === 'invalid' ? 'rejected' : 'ignored']++
    else {
      const { event } = reading
      this.#count.accepted++
      this.#requests.set(event.request.key, event.request)
      await this.#ports.queue.send(...route(event))
      this.#github.know(doubleOf(event, payload, run, script), event.request.createdAt)
    }
    this.#delivered++
  }

  async #tell({ action, job, moment }: News): Promise<void> {
    const key = `${job.jobId}-${job.attempt}`
    const known = this.#requests.get(key)
    const at = this.#clock.now()
    const request = known ?? requestOf(job, wholeSecond(moment.createdAt))
    if (!known) this.#requests.set(key, request)
    const { runner, conclusion } = moment
    const startedAt = wholeSecond(moment.startedAt ?? moment.createdAt)
    if (action === 'in_progress')
      await this.#send(runner && { kind: 'in_progress', at: startedAt, request, runner })
    else if (action === 'completed')
      await this.#send({
        kind: 'completed',
        at: moment.completedAt === null ? at : wholeSecond(moment.completedAt),
        request,
        conclusion: conclusion ?? 'unknown',
        runner,
        startedAt: runner && startedAt,
      })
    else await this.#send({ kind: moment.status === 'waiting' ? 'waiting' : 'queued', at, request })
  }

  async #send(event: JobEvent | null): Promise<void> {
    if (event) await this.#ports.queue.send(...route(event))
  }

  #emit(event: unknown): void {
    const read = readAwsEvent(event)
    if (read) this.#queues.events.send(read)
  }

  // Functions

  #connect(name: 'launch' | 'lifecycle', handler: Handler): void {
    const wired = this.#options.wiring.functions.find(one => one.name === name)!
    for (const { queue, ...mapping } of wired.queues)
      this.#queues[queue].subscribe(records => handler(records, this.#invocation(wired.timeoutMs)), mapping)
  }

  #connectSweep(): void {
    const wired = this.#options.wiring.functions.find(({ name }) => name === 'sweep')!
    const ports = { ...this.#ports, ledger: this.#calm() }
    const handler = sweep(ports, this.#options.config)
    for (const { everyMs } of wired.schedules) {
      const next = async (): Promise<void> => {
        this.#clock.after(everyMs, next)
        this.#swept = true
        await handler(this.#invocation(wired.timeoutMs))
      }
      this.#clock.after(everyMs, next)
    }
  }
  #swept = false

  /**
   * Shows a sweep, at its first look and nowhere else, a gate at which GitHub is being left alone, so that it asks GitHub for
   * nothing; and that all is rolled up, which nobody here reads.
   */
  #calm(): Ledger {
    const { ledger } = this.#ports
    return {
      ...ledger,
      gate: {
        put: gate => ledger.gate.put(gate),
        get: async () => {
          const first = this.#swept
          this.#swept = false
          const gate = await ledger.gate.get()
          return first ? { ...gate, pauses: { ...gate.pauses, github: Number.MAX_SAFE_INTEGER } } : gate
        },
      },
      sweep: {
        put: memory => ledger.sweep.put(memory),
        get: async () => {
          const lookedAt = this.#clock.now()
          return { ...(await ledger.sweep.get()), rollups: { lookedAt, done: PASSES_MS.map(() => lookedAt) } }
        },
      },
    }
  }

  #invocation(timeoutMs: number): Invocation {
    const deadline = this.#clock.now() + timeoutMs
    return {
      id: `invocation-${++this.#invocations}`,
      remainingMs: () => Math.max(0, deadline - this.#clock.now()),
    }
  }

  // What is over

  #watched(): Ledger {
    const { runners } = this.#ledger
    return {
      jobs: this.#ledger.jobs,
      reruns: this.#ledger.reruns,
      audit: this.#ledger.audit,
      refusals: this.#ledger.refusals,
      rollups: this.#ledger.rollups,
      gate: this.#ledger.gate,
      sweep: this.#ledger.sweep,
      notices: this.#ledger.notices,
      runners: {
        ...runners,
        put: async runner => {
          const answer = await runners.put(runner)
          if (answer.ok && runner.cleanedAt !== null) this.#doneRunners.add(runner.name, this.#clock.now())
          return answer
        },
      },
    }
  }

  #onJob(job: Job, before: Job | undefined): void {
    if (job.deferred && !before?.deferred) this.#options.onDeferred?.(job)
    if (isFinal(job)) this.#doneJobs.add(job.key, this.#clock.now())
  }

  #tidy(before: number): void {
    const { onJob, onRunner } = this.#options
    this.#doneJobs.take(before, key => {
      // GitHub may yet be asked to run it again.
      if (!this.#github.forget(key)) return false
      const job = this.#ledger.forgetJob(key)
      this.#requests.delete(key)
      if (job) onJob(job)
      return true
    })
    this.#doneRunners.take(before, name => {
      const runner = this.#ledger.forgetRunner(name)
      this.#compute.forget(name)
      if (runner?.ticketKey) void this.#tickets.remove(runner.ticketKey)
      if (runner) onRunner(runner)
      return true
    })
  }

  #willBeCancelled({ key }: Job): boolean {
    return this.#github.job(key)?.job.script?.cancelAt !== undefined
  }
}

/** What has ended, in the order in which it did. */
class Done {
  #entries: { readonly key: string; readonly at: number }[] = []

  add(key: string, at: number): void {
    this.#entries.push({ key, at })
  }

  /** Hands out what ended before; what is not taken is handed out again the next time. */
  take(before: number, take: (key: string) => boolean): void {
    const end = this.#entries.findIndex(({ at }) => at > before)
    const due = this.#entries.splice(0, end < 0 ? this.#entries.length : end)
    this.#entries.unshift(...due.filter(({ key }) => !take(key)))
  }
}

interface LeanMessage {
  readonly id: string
  readonly body: unknown
  receives: number
}

/** As LocalQueue (queue.ts), with messages that stay what they are. */
class LeanQueue {
  readonly #clock: SteppedClock
  readonly #settings: Wiring['queues'][number]
  readonly #visible: LeanMessage[] = []
  #handler: ((records: readonly QueueRecord[]) => Promise<readonly string[]>) | null = null
  #mapping: Mapping | null = null
  #running = 0
  #picking = false
  #sent = 0
  /** Messages that are neither done nor dead. */
  length = 0
  dead = 0

  constructor(clock: SteppedClock, settings: Wiring['queues'][number]) {
    this.#clock = clock
    this.#settings = settings
  }

  send(body: unknown, delaySeconds = 0): void {
    const message = {
      id: `${this.#settings.name}-${(++this.#sent).toString().padStart(12, '0')}`,
      body,
      receives: 0,
    }
    this.length++
    if (delaySeconds === 0) this.#show(message)
    else this.#clock.after(delaySeconds * 1000, () => this.#show(message))
  }

  subscribe(
    handler: (records: readonly QueueRecord[]) => Promise<readonly string[]>,
    mapping: Mapping,
  ): void {
    this.#handler = handler
    this.#mapping = mapping
  }

  #show(message: LeanMessage): void {
    this.#visible.push(message)
    this.#pickUp()
  }

  #pickUp(): void {
    if (this.#picking || this.#visible.length === 0 || this.#isFull()) return
    this.#picking = true
    this.#clock.after(PICK_UP_MS, () => {
      this.#picking = false
      while (!this.#isFull() && this.#visible.length > 0) this.#handOut()
    })
  }

  #isFull(): boolean {
    return this.#running >= (this.#mapping!.maximumConcurrency ?? Number.POSITIVE_INFINITY)
  }

  #handOut(): void {
    const { maxReceiveCount, visibilityTimeoutMs } = this.#settings
    const batch: LeanMessage[] = []
    while (batch.length < this.#mapping!.batchSize && this.#visible.length > 0) {
      const message = this.#visible.shift()!
      if (message.receives++ < (maxReceiveCount ?? Number.POSITIVE_INFINITY)) batch.push(message)
      else {
        this.dead++
        this.length--
      }
    }
    if (batch.length === 0) return
    const visibleAt = this.#clock.now() + visibilityTimeoutMs
    this.#running++
    void this.#handle(batch).then(failed => {
      for (const message of batch)
        if (failed.has(message.id)) this.#clock.at(visibleAt, () => this.#show(message))
        else this.length--
      this.#running--
      this.#pickUp()
    })
  }

  async #handle(batch: readonly LeanMessage[]): Promise<ReadonlySet<string>> {
    try {
      return new Set(await this.#handler!(batch.map(message => ({ ...message }))))
    } catch {
      return new Set(batch.map(({ id }) => id))
    }
  }
}

class LeanQueues implements Queue {
  readonly #queues: Readonly<Record<QueueName, LeanQueue>>

  constructor(queues: Readonly<Record<QueueName, LeanQueue>>) {
    this.#queues = queues
  }

  async send(queue: QueueName, messages: Parameters<Queue['send']>[1]): Promise<void> {
    for (const { body, delaySeconds } of messages) this.#queues[queue].send(body, delaySeconds)
  }
}

function doubleOf(
  { kind, request }: JobEvent,
  { repository }: ArrivalPayload,
  run: RunFacts,
  script: JobScript,
): DoubleJob {
  const { headRepositoryId = request.repository.id } = run
  // What is pushed to a fork runs in the fork.
  const { event = headRepositoryId === request.repository.id ? 'push' : 'pull_request' } = run
  const { jobId, runId, attempt, installationId, workflow, name, labels, headBranch, headSha } = request
  return {
    ...{ jobId, runId, attempt, installationId, workflow, name, labels, headBranch, headSha },
    repository: {
      ...request.repository,
      ownerId: request.ownerId,
      ownerType: 'Organization',
      defaultBranch: typeof repository.default_branch === 'string' ? repository.default_branch : 'main',
      allowForking: repository.allow_forking !== false,
    },
    event,
    headRepositoryId,
    gate: kind === 'waiting',
    script,
  }
}

/** Of a job that the double made by itself: a re-run. */
function requestOf(job: News['job'], createdAt: number): JobRequest {
  const { repository, labels } = job
  const { jobId, runId, attempt, installationId, workflow, name, headBranch, headSha } = job
  const { ownerId, defaultBranch } = repository
  return {
    key: `${jobId}-${attempt}`,
    ...{
      jobId,
      runId,
      attempt,
      ownerId,
      installationId,
      workflow,
      name,
      headBranch,
      headSha,
      labels,
      createdAt,
    },
    repository: { id: repository.id, name: repository.name, private: repository.private },
    mayBeFork: !repository.private || (repository.allowForking ?? false),
    ...(labels.some(label => /\b(?:role|size):/i.test(label)) ? { defaultBranch } : {}),
  }
}

/** GitHub's times have whole seconds. */
function wholeSecond(time: number): number {
  return Math.floor(time / 1000) * 1000
}

async function everything<T>(store: {
  page(query: { cursor?: string; limit: number }): Promise<{ items: readonly T[]; next: string | null }>
}): Promise<T[]> {
  return [...(await store.page({ limit: Number.POSITIVE_INFINITY })).items].reverse()
}
