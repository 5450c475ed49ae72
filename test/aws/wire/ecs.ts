/**
 * ECS as far as runners need it: tasks on Fargate, their idempotency and their events. Nothing happens by itself: a test
 * says when a task runs and when it stops.
 */
import { fargateMemory } from '../../../functions/core/sizes.ts'
import {
  defined,
  type EventBridgeEvent,
  envelope,
  fingerprint,
  hex,
  type Input,
  seconds,
  uuid,
  type WireContext,
  WireException,
} from './service.ts'

export interface TaskDefinition {
  readonly containers: readonly string[]
  readonly architecture: 'X86_64' | 'ARM64'
  readonly active?: boolean
}

export interface WireTask {
  readonly arn: string
  readonly input: RunTaskInput
  readonly createdAt: number
  pullStartedAt: number | null
  pullStoppedAt: number | null
  startedAt: number | null
  stoppingAt: number | null
  stoppedAt: number | null
  stop: { code: string; reason: string } | null
  exitCode: number | null
  version: number
}

interface RunTaskInput {
  readonly cluster?: string
  readonly taskDefinition: string
  readonly capacityProviderStrategy?: readonly {
    readonly capacityProvider: string
    readonly weight?: number
  }[]
  readonly launchType?: string
  readonly platformVersion?: string
  readonly count?: number
  readonly startedBy?: string
  readonly clientToken?: string
  readonly networkConfiguration?: { readonly awsvpcConfiguration?: { readonly subnets: readonly string[] } }
  readonly overrides?: {
    readonly cpu?: string
    readonly memory?: string
    readonly taskRoleArn?: string
    readonly containerOverrides?: readonly { readonly name?: string }[]
  }
  readonly tags?: readonly { readonly key: string; readonly value: string }[]
}

interface Remembered {
  readonly fingerprint: string
  readonly answer: () => Record<string, unknown>
  readonly at: number
  readonly task: WireTask | null
}

export interface Failure {
  readonly reason: string
  readonly detail?: string
}

const HOUR = 3_600_000

export class WireEcs {
  readonly #context: WireContext
  readonly clusterArn: string
  /** Capacity providers of the cluster. */
  readonly capacityProviders = new Set(['FARGATE', 'FARGATE_SPOT'])
  /** By ARN with revision. */
  readonly taskDefinitions = new Map<string, TaskDefinition>()
  readonly tasks = new Map<string, WireTask>()
  readonly #tokens = new Map<string, Remembered>()
  #count = 0

  constructor(context: WireContext, cluster: string) {
    this.#context = context
    this.clusterArn = `arn:aws:ecs:${context.region}:${context.account}:cluster/${cluster}`
  }

  // Operations

  /** @param failure what the request meets instead of starting anything; its token remembers that too */
  runTask(input: Input, failure: Failure | null): Record<string, unknown> {
    const request = input as unknown as RunTaskInput
    this.#cluster(request.cluster)
    this.#check(request)
    const { clientToken } = request
    const known = clientToken === undefined ? undefined : this.#remembered(clientToken)
    const print = fingerprint(input)
    if (known) {
      if (known.fingerprint === print) return known.answer()
      throw new WireException('ConflictException', 'The clientToken is in use with other parameters.', {
        resourceIds: known.task ? [known.task.arn] : [],
      })
    }
    const task = failure ? null : this.#create(request)
    const answer = () =>
      task
        ? { tasks: [this.#shape(task)], failures: [] }
        : { tasks: [], failures: [defined({ reason: failure?.reason, detail: failure?.detail })] }
    if (clientToken !== undefined)
      this.#tokens.set(clientToken, { fingerprint: print, answer, at: this.#context.now(), task })
    return answer()
  }

  stopTask(input: Input): Record<string, unknown> {
    this.#cluster(input.cluster as string | undefined)
    const task = this.#find(input.task as string)
    if (!task) throw new WireException('InvalidParameterException', 'The referenced task was not found.')
    if (!task.stop)
      this.stopping(task.arn, 'UserInitiated', (input.reason as string | undefined) ?? 'Task stopped by user')
    return { task: this.#shape(task) }
  }

  describeTasks(input: Input): Record<string, unknown> {
    this.#cluster(input.cluster as string | undefined)
    const tasks: unknown[] = []
    const failures: unknown[] = []
    for (const id of input.tasks as readonly string[]) {
      const task = this.#find(id)
      const visible = task && (task.stoppedAt === null || this.#context.now() - task.stoppedAt < HOUR)
      if (visible) tasks.push(this.#shape(task))
      else failures.push({ arn: id, reason: 'MISSING' })
    }
    return { tasks, failures }
  }

  /** Of one cluster, in pages; a task whose stop was asked for has the desired status STOPPED. */
  listTasks(input: Input): Record<string, unknown> {
    this.#cluster(input.cluster as string | undefined)
    const wanted = (input.desiredStatus as string | undefined) ?? 'RUNNING'
    const found = [...this.tasks.values()].filter(
      ({ stop, stoppedAt }) => (stop || stoppedAt !== null ? 'STOPPED' : 'RUNNING') === wanted,
    )
    const from = Number(input.nextToken ?? 0)
    const to = from + Number(input.maxResults ?? 100)
    return defined({
      taskArns: found.slice(from, to).map(({ arn }) => arn),
      nextToken: to < found.length ? String(to) : undefined,
    })
  }

  // What happens to tasks

  /** The image is pulled and the containers run. */
  run(arn: string): EventBridgeEvent {
    const task = this.#get(arn)
    const now = this.#context.now()
    task.pullStartedAt = now
    task.pullStoppedAt = now
    task.startedAt = now
    return this.#emit(task)
  }

  /** SIGTERM; the task still runs. As an event this is the Spot warning. */
  stopping(arn: string, code: string, reason: string): EventBridgeEvent {
    const task = this.#get(arn)
    task.stop = { code, reason }
    task.stoppingAt = this.#context.now()
    return this.#emit(task)
  }

  stopped(
    arn: string,
    code = 'EssentialContainerExited',
    reason = 'Essential container in task exited',
    exitCode: number | null = 0,
  ): EventBridgeEvent {
    const task = this.#get(arn)
    task.stop ??= { code, reason }
    task.stoppedAt = this.#context.now()
    task.exitCode = task.startedAt === null ? null : exitCode
    return this.#emit(task)
  }

  /** The event of a task as it is now. */
  event(arn: string): EventBridgeEvent {
    const task = this.#get(arn)
    const iso = (time: number | null) => (time === null ? undefined : new Date(time).toISOString())
    const { taskArn, ...facts } = this.#facts(task)
    return envelope(this.#context, 'aws.ecs', 'ECS Task State Change', arn, {
      ...defined({
        taskArn,
        ...facts,
        createdAt: iso(task.createdAt),
        pullStartedAt: iso(task.pullStartedAt),
        pullStoppedAt: iso(task.pullStoppedAt),
        startedAt: iso(task.startedAt),
        stoppingAt: iso(task.stoppingAt),
        stoppedAt: iso(task.stoppedAt),
      }),
    })
  }

  #emit(task: WireTask): EventBridgeEvent {
    task.version++
    const event = this.event(task.arn)
    this.#context.emit(event)
    return event
  }

  #create(request: RunTaskInput): WireTask {
    const id = hex(`${this.clusterArn} ${++this.#count} ${request.clientToken}`, 32)
    const task: WireTask = {
      arn: `${this.clusterArn.replace(':cluster/', ':task/')}/${id}`,
      input: request,
      createdAt: this.#context.now(),
      pullStartedAt: null,
      pullStoppedAt: null,
      startedAt: null,
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
      exitCode: null,
      version: 1,
    }
    this.tasks.set(task.arn, task)
    return task
  }

  #facts(task: WireTask) {
    const { input } = task
    const lastStatus =
      task.stoppedAt !== null ? 'STOPPED' : task.startedAt !== null ? 'RUNNING' : 'PROVISIONING'
    return {
      clusterArn: this.clusterArn,
      taskArn: task.arn,
      taskDefinitionArn: input.taskDefinition,
      capacityProviderName: input.capacityProviderStrategy?.[0]?.capacityProvider,
      cpu: input.overrides?.cpu,
      memory: input.overrides?.memory,
      availabilityZone: `${this.#context.region}a`,
      desiredStatus: task.stop ? 'STOPPED' : 'RUNNING',
      lastStatus,
      startedBy: input.startedBy,
      stopCode: task.stop?.code,
      stoppedReason: task.stop?.reason,
      version: task.version,
      platformVersion: '1.4.0',
      overrides: input.overrides,
      containers: (this.taskDefinitions.get(input.taskDefinition)?.containers ?? []).map(name =>
        defined({
          containerArn: `${task.arn.replace(':task/', ':container/')}/${uuid(`${task.arn} ${name}`)}`,
          name,
          lastStatus,
          taskArn: task.arn,
          exitCode: task.exitCode ?? undefined,
        }),
      ),
    }
  }

  #shape(task: WireTask): Record<string, unknown> {
    return defined({
      ...this.#facts(task),
      createdAt: seconds(task.createdAt),
      pullStartedAt: seconds(task.pullStartedAt),
      pullStoppedAt: seconds(task.pullStoppedAt),
      startedAt: seconds(task.startedAt),
      stoppingAt: seconds(task.stoppingAt),
      stoppedAt: seconds(task.stoppedAt),
      tags: task.input.tags ?? [],
    })
  }

  #get(arn: string): WireTask {
    const task = this.tasks.get(arn)
    if (!task) throw new Error(`no task ${arn}`)
    return task
  }

  #find(idOrArn: string): WireTask | undefined {
    return (
      this.tasks.get(idOrArn) ??
      this.tasks.get(`${this.clusterArn.replace(':cluster/', ':task/')}/${idOrArn}`)
    )
  }

  /** A token lives for a day, or until an hour after its task stopped, whichever is sooner. */
  #remembered(token: string): Remembered | undefined {
    const known = this.#tokens.get(token)
    if (!known) return undefined
    const now = this.#context.now()
    const stoppedAt = known.task?.stoppedAt ?? null
    const live = now - known.at < 24 * HOUR && (stoppedAt === null || now - stoppedAt < HOUR)
    return live ? known : undefined
  }

  #cluster(cluster = 'default'): void {
    if (cluster !== this.clusterArn && !this.clusterArn.endsWith(`:cluster/${cluster}`))
      throw new WireException('ClusterNotFoundException', 'Cluster not found.')
  }

  #check(request: RunTaskInput): void {
    const { capacityProviderStrategy: strategy, launchType, overrides, platformVersion = 'LATEST' } = request
    const definition = this.taskDefinitions.get(request.taskDefinition)
    if (!definition) throw new WireException('ClientException', 'TaskDefinition not found.')
    if (definition.active === false) throw new WireException('ClientException', 'TaskDefinition is inactive')
    if (strategy && launchType)
      throw new WireException(
        'InvalidParameterException',
        'Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.',
      )
    for (const { capacityProvider } of strategy ?? [])
      if (!this.capacityProviders.has(capacityProvider))
        throw new WireException(
          'InvalidParameterException',
          `The specified capacity provider '${capacityProvider}' was not found.`,
        )
    // The default weight is 0, and nothing is ever placed by it.
    if (strategy && !strategy.some(({ weight = 0 }) => weight > 0))
      throw new WireException(
        'InvalidParameterException',
        'The capacity provider strategy must have at least one capacity provider with a weight greater than zero.',
      )
    if (!request.networkConfiguration?.awsvpcConfiguration)
      throw new WireException(
        'InvalidParameterException',
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
      )
    if (!['LATEST', '1.3.0', '1.4.0'].includes(platformVersion))
      throw new WireException('PlatformUnknownException', 'The specified platform version does not exist.')
    for (const { name } of overrides?.containerOverrides ?? [])
      if (!definition.containers.includes(name ?? ''))
        throw new WireException(
          'InvalidParameterException',
          `Override for container named ${name} is not a container in the TaskDefinition.`,
        )
    const { cpu, memory } = overrides ?? {}
    if (cpu && memory && !fargateMemory(Number(cpu) / 1024)?.includes(Number(memory) / 1024))
      throw new WireException('ClientException', 'No Fargate configuration exists for given values.')
  }
}
