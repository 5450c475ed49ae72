/**
 * Runners as ECS tasks on Fargate and Fargate Spot.
 * https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
 */
import {
  DescribeTasksCommand,
  ECSClient,
  type ECSClientConfig,
  ListTasksCommand,
  RunTaskCommand,
  type RunTaskCommandInput,
  type RunTaskCommandOutput,
  StopTaskCommand,
  type Task,
} from '@aws-sdk/client-ecs'
import { awsTag } from '../core/escape.ts'
import { DISK } from '../core/sizes.ts'
import { stopReason } from '../core/stops.ts'
import { clean } from '../core/text.ts'
import type { RunnerEvent, StartRequest } from '../core/types.ts'
import type { Compute, StartOutcome } from '../ports.ts'
import {
  attempt,
  CLIENT_DEFAULTS,
  type ComputeSettings,
  type FailureKind,
  failed,
  imageAdvice,
  imageKey,
  isThrottle,
  type RoleRef,
  roleOf,
  runnerVariables,
  type Trouble,
} from './provider.ts'

/** Spot on arm64 and ephemeral storage of more than 20 GiB need 1.4.0; a newer one would come unasked with LATEST. */
const PLATFORM_VERSION = '1.4.0'
/** Longest `overrides` of RunTask, as JSON. */
const OVERRIDES_LIMIT = 8192
/** Longest `reason` of StopTask. */
const REASON_LIMIT = 255
/** Most tasks that one DescribeTasks takes. */
const DESCRIBE_LIMIT = 100

export function ecsClient(config: ECSClientConfig = {}): ECSClient {
  return new ECSClient({ ...CLIENT_DEFAULTS, ...config })
}

export class Fargate implements Compute {
  readonly #settings: ComputeSettings
  readonly #client: ECSClient

  constructor(settings: ComputeSettings, client: ECSClient = ecsClient()) {
    this.#settings = settings
    this.#client = client
  }

  /**
   * The clientToken makes this idempotent for a day (or until an hour after the task stopped), failures included:
   * https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
   * @throws where the outcome is unknown: send the same request again
   */
  async start(request: StartRequest): Promise<StartOutcome> {
    const role = roleOf(this.#settings, request)
    if ('outcome' in role) return role
    const key = imageKey(request.shape.arch, request.image, request.build)
    const { taskDefinitions } = this.#settings
    const taskDefinition = Object.hasOwn(taskDefinitions, key) ? taskDefinitions[key] : undefined
    if (!taskDefinition)
      return failed(
        'permanent',
        `This deployment has no task definition for ${key}.`,
        imageAdvice(request.shape.arch, request.image),
      )
    const input = this.#input(request, role, taskDefinition)
    const length = JSON.stringify(input.overrides).length
    if (length > OVERRIDES_LIMIT)
      return failed(
        'permanent',
        `The runner would be told ${length} characters, and ECS takes ${OVERRIDES_LIMIT}.`,
        'Let fewer repositories or refs use its role.',
      )
    const command = new RunTaskCommand(input)
    const answer = await attempt(command, () => this.#client.send(command))
    return 'output' in answer ? read(answer.output, role, request) : refused(answer.trouble, role, request)
  }

  async stop(providerId: string, reason: string): Promise<void> {
    const { cluster } = this.#settings
    try {
      await this.#client.send(
        new StopTaskCommand({ cluster, task: providerId, reason: clean(reason, REASON_LIMIT) }),
      )
    } catch (error) {
      if (!isUnknownTask(error)) throw error
    }
  }

  async describe(providerIds: readonly string[]): Promise<Map<string, RunnerEvent | null>> {
    const { cluster } = this.#settings
    const events = new Map<string, RunnerEvent | null>(providerIds.map(id => [id, null]))
    for (let from = 0; from < providerIds.length; from += DESCRIBE_LIMIT) {
      const tasks = providerIds.slice(from, from + DESCRIBE_LIMIT)
      const answer = await this.#client.send(new DescribeTasksCommand({ cluster, tasks }))
      for (const task of answer.tasks ?? []) if (task.taskArn) events.set(task.taskArn, event(task))
      // MISSING is what ECS says of a task it never had, and of one that stopped more than an hour ago.
      const trouble = answer.failures?.find(({ reason }) => reason !== 'MISSING')
      if (trouble) throw new Error(`DescribeTasks failed for ${trouble.arn}: ${trouble.reason}`)
    }
    return events
  }

  /** Tasks that are on their way out have the desired status STOPPED: they need nobody to stop them. */
  async list(): Promise<readonly string[]> {
    const { cluster } = this.#settings
    const ids: string[] = []
    let nextToken: string | undefined
    do {
      const query = { cluster, desiredStatus: 'RUNNING', ...(nextToken ? { nextToken } : {}) } as const
      const answer = await this.#client.send(new ListTasksCommand(query))
      ids.push(...(answer.taskArns ?? []))
      nextToken = answer.nextToken
    } while (nextToken)
    return ids
  }

  #input(request: StartRequest, role: RoleRef, taskDefinition: string): RunTaskCommandInput {
    const { cluster, container, roles, securityGroups, subnets, tags } = this.#settings
    const { capacity, cpu, diskGiB, memoryGiB } = request.shape
    return {
      cluster,
      taskDefinition,
      // One provider: a strategy of two divides its tasks between them, and falls back from neither.
      capacityProviderStrategy: [
        { capacityProvider: capacity === 'spot' ? 'FARGATE_SPOT' : 'FARGATE', weight: 1 },
      ],
      platformVersion: PLATFORM_VERSION,
      count: 1,
      startedBy: request.runner,
      clientToken: request.token,
      networkConfiguration: {
        awsvpcConfiguration: {
          subnets: [...subnets],
          securityGroups: [...securityGroups],
          // There is no NAT: without an address of its own a task reaches neither its image nor GitHub.
          assignPublicIp: 'ENABLED',
        },
      },
      overrides: {
        cpu: String(cpu * 1024),
        memory: String(memoryGiB * 1024),
        ...(diskGiB > DISK.includedGiB ? { ephemeralStorage: { sizeInGiB: diskGiB } } : {}),
        taskRoleArn: role.arn,
        ...(roles.execution ? { executionRoleArn: roles.execution } : {}),
        containerOverrides: [
          { name: container, environment: [...runnerVariables(this.#settings, request, role)] },
        ],
      },
      ...(tags ? { tags: tagsOf(tags, request) } : {}),
    }
  }
}

/** By these the bill of AWS can be divided: docs/costs.md. The id stays when a repository is renamed. */
function tagsOf(
  tags: Readonly<Record<string, string>>,
  { repositoryId, repository }: StartRequest,
): { key: string; value: string }[] {
  const all = {
    ...tags,
    'tornade:repository-id': String(repositoryId),
    ...(repository === undefined ? {} : { 'tornade:repository': awsTag(repository) }),
  }
  return Object.entries(all).map(([key, value]) => ({ key, value }))
}

/** RunTask answers 200 also when it started nothing: then `failures` says why. */
function read({ tasks, failures }: RunTaskCommandOutput, role: RoleRef, request: StartRequest): StartOutcome {
  const arn = tasks?.[0]?.taskArn
  if (arn) return started(arn, role)
  const failure = failures?.[0]
  if (!failure) throw new Error('RunTask answered with neither a task nor a failure')
  const words = [failure.reason, failure.detail].filter(Boolean).join(': ')
  return failed(kindOf(words) ?? 'permanent', words, adviceFor(words, request))
}

function refused(
  { error, name, message, uncertain }: Trouble,
  role: RoleRef,
  request: StartRequest,
): StartOutcome {
  if (name === 'ConflictException') {
    // The same token with other parameters, as after a deployment in between: its task is the one to go on with.
    const arn = (error as { resourceIds?: string[] }).resourceIds?.[0]
    if (arn) return started(arn, role)
    throw error
  }
  if (uncertain) throw error
  if (isThrottle(name)) return failed('throttled', `${name}: ${message}`)
  // Anything else is about credentials, clocks or the way to ECS, and not about this request.
  if (!PERMANENT.has(name)) throw error
  return failed(kindOf(message) ?? 'permanent', `${name}: ${message}`, adviceFor(message, request))
}

const PERMANENT: ReadonlySet<string> = new Set([
  'AccessDeniedException',
  'BlockedException',
  'ClientException',
  'ClusterNotFoundException',
  'InvalidParameterException',
  'PlatformTaskDefinitionIncompatibilityException',
  'PlatformUnknownException',
  'UnsupportedFeatureException',
])

/**
 * Meanings of the sentences that RunTask uses, in `failures` and in exceptions alike. They are prose, so they are told by
 * the shortest part that tells; "You’ve reached the limit" begins with a curly apostrophe.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
 */
const KINDS: readonly (readonly [RegExp, FailureKind])[] = [
  [/reached the limit on the number of/i, 'quota'],
  // A limit on one task, not on all of them: it will be above it tomorrow too.
  [/configuration is above your limit/i, 'permanent'],
  [/capacity is unavailable/i, 'capacity'],
  [/^RESOURCE:|^AGENT\b/, 'capacity'],
  [/internal (?:service )?error/i, 'capacity'],
  // Also inside of another: "Error retrieving security group information for […]: Request limit exceeded."
  // https://github.com/dask/dask-cloudprovider/issues/56
  [/rate exceeded|request limit exceeded|throttl/i, 'throttled'],
]

function kindOf(words: string): FailureKind | undefined {
  return KINDS.find(([pattern]) => pattern.test(words))?.[1]
}

const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /service.linked role/i,
    'Create it once for the account: aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com',
  ],
  [
    /configuration is above your limit/i,
    'Ask for less, or have the quota raised in Service Quotas (Fargate).',
  ],
  [
    /limit on the number of/i,
    'Have it raised in Service Quotas: L-3032A538 (on-demand) or L-36FBB829 (Spot).',
  ],
  [/capacity provider/i, 'FARGATE and FARGATE_SPOT must be associated with the cluster: deploy again.'],
  [/iam:PassRole/, 'The launch function may pass roles below the path of job roles only.'],
  [/unable to assume the role/i, 'Its trust policy must let ecs-tasks.amazonaws.com assume it.'],
]

/** The task definition of the standard image comes with its first build, and not with a deployment. */
const NO_IMAGE =
  /task ?definition.*(?:not found|inactive|unable to describe)|unable to describe task definition/i

function adviceFor(words: string, { shape, image }: StartRequest): string | undefined {
  if (NO_IMAGE.test(words)) return imageAdvice(shape.arch, image)
  return ADVICE.find(([pattern]) => pattern.test(words))?.[1]
}

/** A task's role session is named by its id, so this is its `aws:userid`. */
function started(arn: string, role: RoleRef): StartOutcome {
  return {
    outcome: 'started',
    providerId: arn,
    ticketKey: `${role.id}:${arn.slice(arn.lastIndexOf('/') + 1)}`,
  }
}

/** "The referenced task was not found." has no exception of its own. */
function isUnknownTask(error: unknown): boolean {
  const { name, message } = error as Error
  return name === 'InvalidParameterException' && /task was not found/i.test(message)
}

/** The same facts that the task's events tell (core/aws-events.ts); null for a task that is no runner. */
function event(task: Task): RunnerEvent | null {
  if (!task.taskArn || !task.startedBy) return null
  const stopped = task.lastStatus === 'STOPPED'
  const stopping = stopped || task.desiredStatus === 'STOPPED'
  return {
    kind: 'runner',
    runner: task.startedBy,
    providerId: task.taskArn,
    pullStartedAt: task.pullStartedAt?.getTime() ?? null,
    startedAt: task.startedAt?.getTime() ?? null,
    stoppingAt: task.stoppingAt?.getTime() ?? null,
    stoppedAt: stopped ? (task.stoppedAt?.getTime() ?? null) : null,
    stop: stopReason(stopped, stopping ? task : {}),
  }
}
