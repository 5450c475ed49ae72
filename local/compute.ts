/**
 * ECS and CodeBuild on a laptop: takes start requests, gives tasks and builds the time that they take, runs the
 * runner program in them, and emits the events that EventBridge would get.
 *
 * Fidelity: durations are within what is commonly seen on Fargate and CodeBuild, hashed from the token, so that the
 * same run takes the same time; nothing here is a measurement. Capacity is endless, images are always there and Spot
 * takes nothing back, unless `faults` say otherwise.
 */
import { createHash } from 'node:crypto'
import { RUNNER_VARIABLE, readAwsEvent } from '../functions/core/aws-events.ts'
import type { GuardPolicy } from '../functions/core/guard.ts'
import { CODEBUILD_QUEUED_MINUTES } from '../functions/core/sizes.ts'
import type { RunnerEvent, RunnerShape, StartRequest, Usage } from '../functions/core/types.ts'
import { readUsage } from '../functions/core/usage.ts'
import type { Compute, RunnerLog, StartOutcome } from '../functions/ports.ts'
import type { LocalClock } from './clock.ts'
import type { GitHubDouble } from './github.ts'
import { LOCAL_ACCOUNT } from './lambda.ts'
import { LocalRunner, type RunnerRights } from './runner.ts'
import type { LocalTickets } from './tickets.ts'

type StartFailure = Extract<StartOutcome, { outcome: 'failed' }>

/** What happens to a task or build besides the usual. */
export type Fate =
  /** It never runs: for want of capacity or by an error before the image pull, or because the image cannot be had. */
  | { readonly kind: 'fails-to-start'; readonly at: 'provision' | 'pull'; readonly reason: string }
  /** Spot takes it back so long after its start: a warning and SIGTERM, and after `stopTimeout` SIGKILL. */
  | { readonly kind: 'reclaimed'; readonly afterMs: number }
  /** Its host fails so long after its start: it is gone without a signal. */
  | { readonly kind: 'dies'; readonly afterMs: number }
  /** Its program takes no ticket, never comes online, or does not end with its job, and heeds SIGKILL alone. */
  | { readonly kind: 'hangs'; readonly at: 'ticket' | 'connect' | 'exit' }

/** Called once for each start token; null is the usual. */
export interface ComputeFaults {
  readonly refuse?: (request: StartRequest) => StartFailure | null
  readonly fate?: (request: StartRequest) => Fate | null
}

export interface ComputeOptions {
  readonly clock: LocalClock
  readonly github: GitHubDouble
  readonly tickets: LocalTickets
  /** Where events go. */
  readonly emit: (event: unknown) => void
  readonly region: string
  readonly clusterArn: string
  readonly buildProject: string
  /** Divides simulated durations. */
  readonly speed: number
  readonly idleMinutes: number
  readonly faults?: ComputeFaults
  /** What the guard of its runner is told; nothing but this repository without a role, where nothing is said. */
  readonly policy?: (request: StartRequest) => GuardPolicy
  /** Seconds from the request until a runner is up, where that is to be the same for all of a kind; null is the usual. */
  readonly startSeconds?: (shape: RunnerShape) => number | null
  /** Called when the steps of a job begin with a role. */
  readonly onRoleUse?: (use: RoleUse) => void
  /** How many builds the account runs at once, the others queue; as many as are asked for, where nothing is said. */
  readonly buildsAtOnce?: number
}

/** The steps of a job ran with a role. */
export interface RoleUse {
  readonly runner: string
  readonly jobKey: string
  readonly role: string
}

/** [least, most], milliseconds. */
type Span = readonly [number, number]
const FARGATE = {
  provision: [9_000, 19_000],
  pull: [5_000, 11_000],
  stop: [1_000, 3_000],
} as const satisfies Record<string, Span>
const CODEBUILD = {
  provision: [2_000, 7_000],
  pull: [2_000, 6_000],
  stop: [500, 2_000],
} as const satisfies Record<string, Span>

/** Of a start whose length is given. */
const SHARE = { provision: 0.6, pull: 0.4, stop: 0 } as const

const TICKET_MS = 180_000
/** Until a build that was asked for is told of. */
const SUBMITTED_MS = 1_000
/** `queuedTimeoutInMinutes` of a build. */
const QUEUED_MS = CODEBUILD_QUEUED_MINUTES * 60_000
/** How long ECS describes a task that has stopped. */
const DESCRIBED_MS = 3_600_000
/** `stopTimeout` of the task definitions: from SIGTERM to SIGKILL. */
const STOP_TIMEOUT_MS = 120_000

/** What became of a start request. Times are milliseconds since 1970. */
export interface TaskView {
  readonly request: StartRequest
  readonly providerId: string
  readonly ticketKey: string
  readonly createdAt: number
  readonly pullStartedAt: number | null
  readonly startedAt: number | null
  readonly stoppedAt: number | null
}

interface Task extends TaskView {
  readonly id: string
  readonly fate: Fate | null
  pullStartedAt: number | null
  pullStoppedAt: number | null
  startedAt: number | null
  /** Since when it is on its way out. */
  stoppingAt: number | null
  stoppedAt: number | null
  stop: { readonly code: string; readonly reason: string } | null
  exitCode: number | null
  version: number
  runner: LocalRunner | null
  /** Its log. */
  readonly lines: string[]
}

export class LocalCompute implements Compute, RunnerLog {
  readonly #options: ComputeOptions
  readonly #byToken = new Map<string, Task>()
  readonly #byProviderId = new Map<string, Task>()
  readonly #byRunner = new Map<string, Task[]>()
  readonly #refusals = new Map<string, StartFailure>()
  readonly #liveTasks = new Set<Task>()
  /** Builds that run, and those that wait for one of them to end. */
  readonly #building = new Set<Task>()
  readonly #queued = new Set<Task>()

  constructor(options: ComputeOptions) {
    this.#options = options
  }

  /** Tasks and builds that have not stopped. */
  get live(): number {
    return this.#liveTasks.size
  }

  /** Every task and build, in the order in which they were asked for. */
  *tasks(): Generator<TaskView> {
    yield* this.#byToken.values()
  }

  /** Of those the ones that have not stopped. */
  *liveTasks(): Generator<TaskView> {
    yield* this.#liveTasks
  }

  /** Those that were started for a runner; more than one is one too many. */
  tasksOf(runner: string): readonly TaskView[] {
    return this.#byRunner.get(runner) ?? []
  }

  /** Forgets the tasks of a runner that have stopped; its tokens are new again. */
  forget(runner: string): void {
    for (const task of this.#byRunner.get(runner) ?? []) {
      this.#byToken.delete(task.request.token)
      this.#byProviderId.delete(task.providerId)
    }
    this.#byRunner.delete(runner)
  }

  async start(request: StartRequest): Promise<StartOutcome> {
    // The same token gets the same answer, a refusal included:
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    const refusal = this.#refusals.get(request.token) ?? this.#refuse(request)
    if (refusal) return refusal
    const task = this.#byToken.get(request.token) ?? this.#create(request)
    return { outcome: 'started', providerId: task.providerId, ticketKey: task.ticketKey }
  }

  async stop(providerId: string, reason: string): Promise<void> {
    const task = this.#byProviderId.get(providerId)
    if (task)
      this.#stopping(task, task.request.shape.compute === 'fargate' ? 'UserInitiated' : 'STOPPED', reason)
  }

  /** As ECS, which knows a stopped task for about an hour; CodeBuild would know a build for a year. */
  async describe(providerIds: readonly string[]): Promise<Map<string, RunnerEvent | null>> {
    const oldest = this.#options.clock.now() - DESCRIBED_MS
    return new Map(
      providerIds.map(id => {
        const task = this.#byProviderId.get(id)
        const known = task && (task.stoppedAt === null || task.stoppedAt >= oldest)
        return [id, known ? readAwsEvent(this.#eventOf(task)) : null]
      }),
    )
  }

  async list(): Promise<readonly string[]> {
    return [...this.#liveTasks].map(({ providerId }) => providerId)
  }

  /** Logs are kept for as long as the stack lives. */
  async usage(providerId: string): Promise<Usage | null> {
    return readUsage(this.#byProviderId.get(providerId)?.lines ?? [])
  }

  #refuse(request: StartRequest): StartFailure | null {
    if (this.#byToken.has(request.token)) return null
    const refusal = this.#options.faults?.refuse?.(request) ?? null
    if (refusal) this.#refusals.set(request.token, refusal)
    return refusal
  }

  #create(request: StartRequest): Task {
    const { compute } = request.shape
    const id = hash(request.token).slice(0, 32)
    const task: Task = {
      request,
      id,
      providerId: compute === 'fargate' ? this.#taskArn(id) : this.#buildArn(id),
      ticketKey: compute === 'fargate' ? `local:${id}` : `local:AWSCodeBuild-${uuid(id)}`,
      createdAt: this.#options.clock.now(),
      fate: this.#options.faults?.fate?.(request) ?? null,
      pullStartedAt: null,
      pullStoppedAt: null,
      startedAt: null,
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
      exitCode: null,
      version: 1,
      runner: null,
      lines: [],
    }
    this.#byToken.set(request.token, task)
    this.#byProviderId.set(task.providerId, task)
    this.#byRunner.set(request.runner, [...(this.#byRunner.get(request.runner) ?? []), task])
    this.#liveTasks.add(task)
    if (compute === 'codebuild') this.#submit(task)
    else this.#after(task, 'provision', () => this.#pull(task))
    return task
  }

  /** It is told of as one that began now, whenever its turn comes. */
  #submit(task: Task): void {
    task.pullStartedAt = task.createdAt
    this.#options.clock.after(SUBMITTED_MS, () => {
      if (!task.stop) this.#emit(task)
    })
    if (this.#building.size < (this.#options.buildsAtOnce ?? Number.POSITIVE_INFINITY)) {
      this.#build(task)
      return
    }
    this.#queued.add(task)
    this.#options.clock.after(QUEUED_MS, () => {
      if (this.#queued.has(task)) this.#stopping(task, 'TIMED_OUT', 'queued for too long')
    })
  }

  #build(task: Task): void {
    this.#queued.delete(task)
    this.#building.add(task)
    this.#after(task, 'provision', () => this.#pull(task))
  }

  #pull(task: Task): void {
    if (task.stop) return
    const fails = task.fate?.kind === 'fails-to-start' ? task.fate : null
    if (fails?.at === 'provision') {
      this.#failToStart(task, fails.reason)
      return
    }
    task.pullStartedAt ??= this.#options.clock.now()
    this.#after(task, 'pull', () => (fails ? this.#failToStart(task, fails.reason) : this.#run(task)))
  }

  #failToStart(task: Task, reason: string): void {
    this.#stopping(task, task.request.shape.compute === 'fargate' ? 'TaskFailedToStart' : 'FAILED', reason)
  }

  #run(task: Task): void {
    if (task.stop) return
    const { clock, idleMinutes } = this.#options
    task.pullStoppedAt = clock.now()
    task.startedAt = clock.now()
    this.#emit(task, task.request.shape.compute === 'codebuild')
    const { fate } = task
    const limits = {
      ticketMs: TICKET_MS,
      idleMs: (task.request.idleMinutes ?? idleMinutes) * 60_000,
      lifeMs: task.request.timeoutMinutes * 60_000,
      hangs: fate?.kind === 'hangs' ? fate.at : null,
    }
    const { shape } = task.request
    const host = { shape, print: (line: string) => void task.lines.push(line) }
    const exited = (code: number) => this.#exited(task, code)
    const rights = this.#rights(task.request)
    task.runner = new LocalRunner(this.#options, task.ticketKey, limits, rights, host, exited)
    if (fate?.kind === 'reclaimed' && task.request.shape.capacity === 'spot')
      clock.after(fate.afterMs, () => this.#reclaim(task))
    if (fate?.kind === 'dies') clock.after(fate.afterMs, () => this.#die(task))
  }

  #rights(request: StartRequest): RunnerRights {
    const { policy: policyOf, onRoleUse } = this.#options
    const nothing = { repositories: [request.repositoryId], forks: false, role: null }
    const policy = policyOf?.(request) ?? nothing
    return {
      policy,
      forgets: request.shape.compute === 'fargate',
      onRelease: ({ key }) => onRoleUse?.({ runner: request.runner, jobKey: key, role: policy.role!.name }),
    }
  }

  /** The warning comes with the signal: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html */
  #reclaim(task: Task): void {
    if (task.stop) return
    task.stop = { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }
    task.stoppingAt = this.#options.clock.now()
    this.#emit(task)
    this.#signal(task)
  }

  #die(task: Task): void {
    if (task.stop) return
    const fargate = task.request.shape.compute === 'fargate'
    task.stop = { code: fargate ? 'InfrastructureHealth' : 'FAULT', reason: 'The host is gone.' }
    task.stoppingAt = this.#options.clock.now()
    task.runner?.kill()
  }

  #exited(task: Task, code: number): void {
    task.exitCode = code
    const own = code === 0 ? 'SUCCEEDED' : 'FAILED'
    task.stop ??= {
      code: task.request.shape.compute === 'fargate' ? 'EssentialContainerExited' : own,
      reason: 'Essential container in task exited',
    }
    task.stoppingAt ??= this.#options.clock.now()
    this.#end(task)
  }

  #stopping(task: Task, code: string, reason: string): void {
    if (task.stop) return
    task.stop = { code, reason }
    task.stoppingAt = this.#options.clock.now()
    if (task.runner) this.#signal(task)
    else this.#end(task)
  }

  /** SIGTERM, and SIGKILL for a program that does not heed it. */
  #signal(task: Task): void {
    task.runner?.terminate()
    if (task.exitCode === null) this.#options.clock.after(STOP_TIMEOUT_MS, () => task.runner?.kill())
  }

  #end(task: Task): void {
    this.#after(task, 'stop', () => {
      task.stoppedAt = this.#options.clock.now()
      this.#liveTasks.delete(task)
      this.#emit(task)
      this.#queued.delete(task)
      const [next] = this.#queued
      if (this.#building.delete(task) && next) this.#build(next)
      // Nothing asks for a stopped task again but its token, which ECS forgets in time as well.
      task.runner = null
    })
  }

  #after(task: Task, step: keyof typeof FARGATE, work: () => void): void {
    const { shape, token } = task.request
    const spans = shape.compute === 'fargate' ? FARGATE : CODEBUILD
    const seconds = step === 'stop' ? null : (this.#options.startSeconds?.(shape) ?? null)
    const usual = seconds === null ? between(spans[step], `${token} ${step}`) : seconds * 1000 * SHARE[step]
    this.#options.clock.after(usual / this.#options.speed, work)
  }

  /** @param isUp its container came up just now: that is an event of another kind where a build's did */
  #emit(task: Task, isUp = false): void {
    task.version++
    this.#options.emit(isUp ? this.#phaseEvent(task) : this.#eventOf(task))
  }

  #eventOf(task: Task): unknown {
    return task.request.shape.compute === 'fargate' ? this.#taskEvent(task) : this.#buildEvent(task)
  }

  #taskEvent(task: Task): unknown {
    const { request, stop, stoppedAt } = task
    const shape = request.shape
    const status = stoppedAt === null ? 'RUNNING' : 'STOPPED'
    return this.#envelope(task, 'aws.ecs', 'ECS Task State Change', {
      clusterArn: this.#options.clusterArn,
      taskArn: task.providerId,
      taskDefinitionArn: `arn:aws:ecs:${this.#options.region}:${LOCAL_ACCOUNT}:task-definition/tornade-${shape.arch}:1`,
      capacityProviderName: shape.capacity === 'spot' ? 'FARGATE_SPOT' : 'FARGATE',
      cpu: String(shape.cpu * 1024),
      memory: String(shape.memoryGiB * 1024),
      desiredStatus: stop ? 'STOPPED' : 'RUNNING',
      lastStatus: status,
      createdAt: iso(task.createdAt),
      ...times(task),
      ...(stop ? { stopCode: stop.code, stoppedReason: stop.reason } : {}),
      startedBy: request.runner,
      version: task.version,
      platformVersion: '1.4.0',
      overrides: { containerOverrides: [] },
      containers: [
        {
          name: 'runner',
          lastStatus: status,
          ...(task.exitCode === null ? {} : { exitCode: task.exitCode }),
        },
      ],
    })
  }

  #buildEvent(task: Task): unknown {
    const running = task.stoppedAt === null
    return this.#envelope(task, 'aws.codebuild', 'CodeBuild Build State Change', {
      'build-status': running ? 'IN_PROGRESS' : task.stop!.code,
      'current-phase': running ? 'BUILD' : 'COMPLETED',
      ...this.#buildDetail(task),
    })
  }

  #phaseEvent(task: Task): unknown {
    return this.#envelope(task, 'aws.codebuild', 'CodeBuild Build Phase Change', {
      'completed-phase': 'PROVISIONING',
      'completed-phase-status': 'SUCCEEDED',
      ...this.#buildDetail(task),
    })
  }

  #buildDetail(task: Task) {
    const { shape, docker, runner } = task.request
    const phase = (type: string, end: number) => ({
      'phase-type': type,
      'phase-status': 'SUCCEEDED',
      'end-time': buildTime(end),
    })
    return {
      'project-name': this.#options.buildProject,
      'build-id': task.providerId,
      'additional-information': {
        'build-start-time': buildTime(task.createdAt),
        phases: [
          phase('SUBMITTED', task.createdAt),
          ...(task.startedAt === null ? [] : [phase('PROVISIONING', task.startedAt)]),
        ],
        environment: {
          'compute-type': shape.computeType,
          type: shape.arch === 'arm64' ? 'ARM_CONTAINER' : 'LINUX_CONTAINER',
          'privileged-mode': docker,
          'environment-variables': [{ name: RUNNER_VARIABLE, type: 'PLAINTEXT', value: runner }],
        },
      },
      version: '1',
    }
  }

  #envelope(task: Task, source: string, type: string, detail: unknown): unknown {
    return {
      version: '0',
      id: uuid(hash(`${task.id} ${task.version} ${type}`)),
      'detail-type': type,
      source,
      account: LOCAL_ACCOUNT,
      // A build's event tells the time of its end in no other way.
      time: iso(task.stoppedAt ?? this.#options.clock.now()),
      region: this.#options.region,
      resources: [task.providerId],
      detail,
    }
  }

  #taskArn(id: string): string {
    return `${this.#options.clusterArn.replace(':cluster/', ':task/')}/${id}`
  }

  #buildArn(id: string): string {
    const { region, buildProject } = this.#options
    return `arn:aws:codebuild:${region}:${LOCAL_ACCOUNT}:build/${buildProject}:${uuid(id)}`
  }
}

/** What `shape` is called when people read it. */
export function shapeName(shape: RunnerShape): string {
  return shape.compute === 'codebuild'
    ? `CodeBuild ${shape.arch}`
    : `Fargate${shape.capacity === 'spot' ? ' Spot' : ''} ${shape.arch}`
}

function times({
  pullStartedAt,
  pullStoppedAt,
  startedAt,
  stoppingAt,
  stoppedAt,
}: Task): Record<string, string> {
  const known = Object.entries({ pullStartedAt, pullStoppedAt, startedAt, stoppingAt, stoppedAt }).filter(
    ([, at]) => at !== null,
  )
  return Object.fromEntries(known.map(([name, at]) => [name, iso(at!)]))
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

/** As CodeBuild writes times: "Sep 1, 2017 4:12:29 PM", in UTC. */
function buildTime(time: number): string {
  return BUILD_TIME.format(time).replaceAll('\u202f', ' ')
}

const BUILD_TIME = new Intl.DateTimeFormat('en-US', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  timeZone: 'UTC',
})

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function uuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function between([least, most]: Span, seed: string): number {
  return least + (Number.parseInt(hash(seed).slice(0, 8), 16) / 0xffffffff) * (most - least)
}
