/**
 * Reads how the deployed functions are wired together from the files that deploy them: serverless.yml and the pieces
 * of infra/ that it includes. So a setting that is wrong or forgotten there fails on the laptop as it would on AWS.
 *
 * What it does not know it refuses by name, because a setting that is silently ignored here would make the laptop
 * behave unlike the cloud. Settings that cannot change what the local stack does are listed as such, one by one.
 */
import { z } from 'zod'
import type { QueueName } from '../functions/ports.ts'
import { LOCAL_ACCOUNT } from './lambda.ts'
import { type Pattern, patternFaults } from './patterns.ts'
import type { Mapping, QueueSettings } from './queue.ts'
import { Faults, loadTemplates, type Path, step, type Templates } from './templates.ts'

export { matchesPattern, type Pattern } from './patterns.ts'

export interface Wiring {
  readonly stage: string
  readonly region: string
  readonly functions: readonly FunctionWiring[]
  readonly queues: readonly QueueWiring[]
  readonly rules: readonly RuleWiring[]
  readonly names: DeploymentNames
}

export interface FunctionWiring {
  readonly name: string
  /** Module and export, without extension: functions/aws/entry/webhook.handler */
  readonly handler: string
  readonly timeoutMs: number
  readonly memoryMb: number
  /** null: no limit of its own. */
  readonly reservedConcurrency: number | null
  /** `method` is ANY or one of HTTP. */
  readonly http: readonly { readonly method: string; readonly path: string }[]
  readonly queues: readonly (Mapping & { readonly queue: QueueName })[]
  readonly schedules: readonly { readonly everyMs: number }[]
}

export interface QueueWiring extends QueueSettings {
  readonly name: QueueName
  /** Name of the dead-letter queue; null when there is none. */
  readonly deadLetter: string | null
}

/**
 * The function that API Gateway calls for a request, with the route that took it: a path in full before one with {rest+}, of
 * those the longest, and a method before ANY. `path` without its query.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
 */
export function routeOf(
  functions: readonly FunctionWiring[],
  method: string,
  path: string,
): { readonly name: string; readonly routeKey: string } | null {
  const found = functions
    .flatMap(({ name, http }) => http.map(route => ({ name, ...route })))
    .filter(route => ['ANY', method].includes(route.method) && takes(route.path, path))
    .sort((a, b) => rankOf(b) - rankOf(a))[0]
  return found ? { name: found.name, routeKey: `${found.method} ${found.path}` } : null
}

function takes(route: string, path: string): boolean {
  const open = route.indexOf('{')
  // {rest+} takes one character at least.
  return open === -1 ? route === path : path.length > open && path.startsWith(route.slice(0, open))
}

function rankOf({ method, path }: { readonly method: string; readonly path: string }): number {
  const whole = path.includes('{') ? 0 : 100_000
  return whole + path.length * 2 + (method === 'ANY' ? 0 : 1)
}

/** Events that match `pattern` go to `queue`. */
export interface RuleWiring {
  readonly name: string
  readonly pattern: Pattern
  readonly queue: QueueName
}

/** What the adapters call their cluster and project; events name them, and rules ask for them. */
export interface DeploymentNames {
  readonly clusterArn: string
  readonly buildProject: string
}

/**
 * Reads the wiring of `stage` from the project in the folder `root`. Throws TornadeError: `wiring-unknown` with every
 * fault, `config-unreadable` when a file is missing or is no YAML.
 */
export async function readWiring(root: string, stage: string, region = 'us-east-1'): Promise<Wiring> {
  const faults = new Faults()
  const templates = await loadTemplates(root, stage, faults)
  const reader = new Reader(templates, faults)
  const service = reader.read(Service, templates.tree, [])
  const resources = readResources(templates, reader)
  faults.raise()
  const wiring = new Interpreter(service!, resources, { stage, region }, faults).wiring()
  faults.raise()
  return wiring
}

/** Holds parts of the tree against schemas. */
class Reader {
  readonly #templates: Templates
  readonly #faults: Faults

  constructor(templates: Templates, faults: Faults) {
    this.#templates = templates
    this.#faults = faults
  }

  fault(path: Path, message: string): void {
    this.#faults.add(this.#templates.locate(path), message)
  }

  /** `value` as `schema` has it; undefined, and faults, when it does not fit. */
  read<T>(schema: z.ZodType<T>, value: unknown, path: Path): T | undefined {
    const { data, error } = schema.safeParse(value)
    for (const issue of error?.issues ?? []) this.#issue(issue, [...path, ...issue.path])
    return data
  }

  #issue(issue: z.core.$ZodIssue, path: Path): void {
    if (issue.code !== 'unrecognized_keys') this.fault(path, issue.message)
    else for (const key of issue.keys) this.fault([...path, key], 'the local stack does not know this key')
  }
}

/** Taken as it is: what stands there cannot change what the local stack does. */
const noBearing = z.unknown().optional()

/* ------------------------------------------------------------------------------------------------ serverless.yml */

/** A transform's way to refuse: https://zod.dev/api#transforms */
function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}

const GetArn = z.strictObject({ 'Fn::GetAtt': z.tuple([z.string(), z.literal('Arn')]) })

/** The ARN of a resource of this stack, read as that resource's logical name. */
const Arn = z.unknown().transform((value, context): string => {
  const { data } = GetArn.safeParse(value)
  if (data) return data['Fn::GetAtt'][0]
  return refuse(context, 'the local stack knows Fn::GetAtt: [LogicalName, Arn] here and nothing else')
})

const UNITS: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }

const Rate = z.string().transform((text, context): number => {
  const [, count = '', unit = '', plural] = /^rate\(([1-9]\d*) (minute|hour|day)(s?)\)$/.exec(text) ?? []
  const unitMs = UNITS[unit]
  // AWS refuses `1 minutes` and `5 minute`.
  if (unitMs !== undefined && (count === '1') === (plural === '')) return Number(count) * unitMs
  return refuse(context, `the local stack does not know the schedule ${text}; it knows rate(5 minutes)`)
})

const HttpRoute = z.string().transform((text, context): { method: string; path: string } => {
  const [, method, path] =
    /^(ANY|GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (\/[\w/-]*|\/(?:[\w-]+\/)*\{[\w-]+\+\})$/.exec(text) ?? []
  if (method !== undefined && path !== undefined) return { method, path }
  return refuse(
    context,
    `the local stack does not know the route ${text}; it knows ANY /path and ANY /path/{rest+}`,
  )
})

const SqsEvent = z.strictObject({
  arn: Arn,
  // More than 10 needs a batch window, which the local stack does not have.
  batchSize: z.int().min(1).max(10).default(10),
  functionResponseType: z.literal('ReportBatchItemFailures').optional(),
  maximumConcurrency: z.int().min(2).max(1000).optional(),
})

const FunctionEvent = z
  .strictObject({ httpApi: HttpRoute.optional(), sqs: SqsEvent.optional(), schedule: Rate.optional() })
  .refine(event => Object.keys(event).length === 1, 'an event has one kind: httpApi, sqs or schedule')

const Timeout = z.int().min(1).max(900)
const Memory = z.int().min(128).max(10_240)
/** What Serverless takes when nothing is said. */
const DEFAULT_TIMEOUT_SECONDS = 6
const DEFAULT_MEMORY_MB = 1024

/**
 * How much Lambda writes of its own, which the local stack never does. What would leave out lines of the function itself
 * (applicationLogLevel), metrics among them, is not known here. Lambda takes a level with JSON only.
 */
const Logs = z.strictObject({
  logFormat: z.literal('JSON'),
  systemLogLevel: z.enum(['DEBUG', 'INFO', 'WARN']),
})

const LambdaFunction = z
  .strictObject({
    handler: z.string(),
    timeout: Timeout.optional(),
    memorySize: Memory.optional(),
    reservedConcurrency: z.int().min(0).optional(),
    maximumRetryAttempts: z.literal(0).optional(),
    events: z.array(FunctionEvent).default([]),
    description: noBearing,
    environment: noBearing,
    logs: Logs.optional(),
    package: noBearing,
    role: noBearing,
  })
  .refine(one => one.maximumRetryAttempts === 0 || one.events.every(event => event.schedule === undefined), {
    message: 'write 0 where there is a schedule: Lambda repeats a failed one twice, the local stack never',
    path: ['maximumRetryAttempts'],
  })

/** Limits of the API that the local stack does not have: it answers everyone. */
const RouteSettings = z.strictObject({
  DetailedMetricsEnabled: noBearing,
  ThrottlingBurstLimit: noBearing,
  ThrottlingRateLimit: noBearing,
})
const StageExtension = z.strictObject({
  DependsOn: noBearing,
  Properties: z.strictObject({
    DefaultRouteSettings: RouteSettings,
    RouteSettings: z.record(z.string(), RouteSettings).optional(),
  }),
})

const Service = z.strictObject({
  service: z.string(),
  provider: z.strictObject({
    name: z.literal('aws'),
    timeout: Timeout.optional(),
    memorySize: Memory.optional(),
    architecture: noBearing,
    deploymentBucket: noBearing,
    environment: noBearing,
    iam: noBearing,
    logRetentionInDays: noBearing,
    region: noBearing,
    runtime: noBearing,
    stackTags: noBearing,
    tags: noBearing,
    versionFunctions: noBearing,
  }),
  functions: z.record(z.string(), LambdaFunction),
  resources: z.array(
    z.strictObject({
      // Read by readResources.
      Resources: noBearing,
      Conditions: noBearing,
      Outputs: noBearing,
      Parameters: noBearing,
      extensions: z.strictObject({ HttpApiStage: StageExtension }).optional(),
    }),
  ),
  configValidationMode: noBearing,
  custom: noBearing,
  frameworkVersion: noBearing,
  package: noBearing,
  // Read by templates.ts.
  params: noBearing,
})
type Service = z.infer<typeof Service>

/* -------------------------------------------------------------------------------------------------------- infra/ */

/** Types that the local stack may pass over: they have no part in what calls what. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  'AWS::CloudWatch::Alarm',
  'AWS::CloudWatch::Dashboard',
  'AWS::CodeBuild::Project',
  'AWS::DynamoDB::Table',
  'AWS::EC2::InternetGateway',
  'AWS::EC2::Route',
  'AWS::EC2::RouteTable',
  'AWS::EC2::SecurityGroup',
  'AWS::EC2::Subnet',
  'AWS::EC2::SubnetRouteTableAssociation',
  'AWS::EC2::VPC',
  'AWS::EC2::VPCEndpoint',
  'AWS::EC2::VPCGatewayAttachment',
  'AWS::ECR::Repository',
  'AWS::ECS::Cluster',
  'AWS::ECS::ClusterCapacityProviderAssociations',
  'AWS::ECS::TaskDefinition',
  'AWS::IAM::ManagedPolicy',
  'AWS::IAM::Policy',
  'AWS::IAM::Role',
  'AWS::KMS::Key',
  'AWS::Logs::LogGroup',
  'AWS::SecretsManager::Secret',
  'AWS::SNS::Subscription',
  'AWS::SNS::Topic',
  'AWS::SSM::Parameter',
])

const Resource = z.strictObject({
  Type: z.string(),
  Properties: z.unknown().optional(),
  DeletionPolicy: noBearing,
  DependsOn: noBearing,
  Metadata: noBearing,
  UpdateReplacePolicy: noBearing,
})
/** What is passed over may be there or not. */
const PassedOverResource = Resource.extend({ Condition: noBearing })

const SqsQueue = z.strictObject({
  QueueName: z.string(),
  /** Seconds; SQS takes 30 when nothing is said. */
  VisibilityTimeout: z.int().min(0).max(43_200).default(30),
  RedrivePolicy: z
    .strictObject({ deadLetterTargetArn: Arn, maxReceiveCount: z.int().min(1).max(1000) })
    .optional(),
  MessageRetentionPeriod: noBearing,
  SqsManagedSseEnabled: noBearing,
  Tags: noBearing,
})
type SqsQueue = z.infer<typeof SqsQueue>

const EventsRule = z.strictObject({
  EventPattern: z.unknown(),
  Targets: z.array(z.strictObject({ Id: noBearing, Arn })),
  Description: noBearing,
  Name: noBearing,
})
type EventsRule = z.infer<typeof EventsRule>

/** A rule whose targets are all resources of this stack. */
const RuleToResources = z.object({ Targets: z.array(z.object({ Arn })).min(1) })
/** The project whose builds are runners (DeploymentNames.buildProject); all others build images, which nothing here runs. */
const RUNNER_PROJECT = 'BuildProject'

/** A policy that lets named rules send; of other statements the local stack could not say what they allow. */
const QueuePolicy = z.strictObject({
  Queues: z.array(z.strictObject({ Ref: z.string() }).transform(value => value.Ref)),
  PolicyDocument: z.strictObject({
    Version: z.literal('2012-10-17'),
    Statement: z.array(
      z.strictObject({
        Sid: noBearing,
        Effect: z.literal('Allow'),
        Principal: z.strictObject({ Service: z.literal('events.amazonaws.com') }),
        Action: z.literal('sqs:SendMessage'),
        Resource: Arn,
        Condition: z.strictObject({ ArnEquals: z.strictObject({ 'aws:SourceArn': z.array(Arn) }) }),
      }),
    ),
  }),
})
type QueuePolicy = z.infer<typeof QueuePolicy>

/** Resources by logical name, of the types that the local stack follows. */
interface Resources {
  readonly queues: Map<string, SqsQueue>
  readonly rules: Map<string, EventsRule>
  readonly policies: Map<string, QueuePolicy>
  /** Logical name → where it stands. */
  readonly places: Map<string, string>
}

/** Everything below `resources` of serverless.yml. What has the wrong shape there is Service's to say. */
function readResources(templates: Templates, reader: Reader): Resources {
  const found: Resources = { queues: new Map(), rules: new Map(), policies: new Map(), places: new Map() }
  const lists = ResourceLists.safeParse(templates.tree).data?.resources ?? []
  const types = new Map(lists.flatMap(({ Resources }) => Object.entries(Resources).map(typeOf)))
  for (const [index, { Resources }] of lists.entries()) {
    for (const [name, value] of Object.entries(Resources)) {
      const path = ['resources', index, 'Resources', name]
      if (found.places.has(name)) reader.fault(path, `the name stands at ${found.places.get(name)} too`)
      found.places.set(name, templates.locate(path))
      readResource(name, value, types, path, reader, found)
    }
  }
  return found
}

const ResourceLists = z.object({
  resources: z.array(z.object({ Resources: z.record(z.string(), z.unknown()).default({}) })),
})

function typeOf([name, value]: [string, unknown]): [string, string | undefined] {
  return [name, z.object({ Type: z.string() }).safeParse(value).data?.Type]
}

function readResource(
  name: string,
  value: unknown,
  types: ReadonlyMap<string, string | undefined>,
  path: Path,
  reader: Reader,
  found: Resources,
): void {
  const type = types.get(name)
  const isPassedOver = type !== undefined && PASSED_OVER.has(type)
  const resource = reader.read(isPassedOver ? PassedOverResource : Resource, value, path)
  if (!resource || isPassedOver) return
  const { Type, Properties } = resource
  const keep = <T>(schema: z.ZodType<T>, into: Map<string, T>): void => {
    const properties = reader.read(schema, Properties, [...path, 'Properties'])
    if (properties !== undefined) into.set(name, properties)
  }
  if (Type === 'AWS::SQS::Queue') keep(SqsQueue, found.queues)
  else if (Type === 'AWS::SQS::QueuePolicy') keep(QueuePolicy, found.policies)
  else if (Type !== 'AWS::Events::Rule')
    reader.fault([...path, 'Type'], `the local stack does not know ${Type}`)
  else if (!buildsImages(Properties, types)) keep(EventsRule, found.rules)
}

/** Whether a rule does nothing but start builds of images. */
function buildsImages(properties: unknown, types: ReadonlyMap<string, string | undefined>): boolean {
  const { data } = RuleToResources.safeParse(properties)
  return (
    data?.Targets.every(
      ({ Arn: target }) => target !== RUNNER_PROJECT && types.get(target) === 'AWS::CodeBuild::Project',
    ) ?? false
  )
}

/* ------------------------------------------------------------------------------------------------ what calls what */

/** The port `launch` is LaunchQueue in infra/. A record, so that a port without its queue does not compile. */
const QUEUES: Readonly<Record<QueueName, string>> = { launch: 'LaunchQueue', events: 'EventsQueue' }
const PORTS = Object.keys(QUEUES) as QueueName[]

class Interpreter {
  readonly #service: Service
  readonly #resources: Resources
  readonly #target: { readonly stage: string; readonly region: string }
  readonly #faults: Faults

  constructor(
    service: Service,
    resources: Resources,
    target: { stage: string; region: string },
    faults: Faults,
  ) {
    this.#service = service
    this.#resources = resources
    this.#target = target
    this.#faults = faults
  }

  wiring(): Wiring {
    const functions = Object.entries(this.#service.functions).map(([name, one]) => this.#function(name, one))
    const rules = [...this.#resources.rules].flatMap(([name, rule]) => this.#rule(name, rule))
    const queues = PORTS.flatMap(name => this.#queue(name))
    this.#checkStrays()
    this.#checkReaders(functions)
    return { ...this.#target, functions, queues, rules, names: this.#names() }
  }

  #function(name: string, one: Service['functions'][string]): FunctionWiring {
    const { provider } = this.#service
    const timeoutMs = (one.timeout ?? provider.timeout ?? DEFAULT_TIMEOUT_SECONDS) * 1000
    return {
      name,
      handler: one.handler,
      timeoutMs,
      memoryMb: one.memorySize ?? provider.memorySize ?? DEFAULT_MEMORY_MB,
      reservedConcurrency: one.reservedConcurrency ?? null,
      http: one.events.flatMap(event => event.httpApi ?? []),
      queues: one.events.flatMap(({ sqs }, index) =>
        sqs ? this.#mapping(sqs, timeoutMs, `functions.${name}`, index) : [],
      ),
      schedules: one.events.flatMap(({ schedule }) => (schedule === undefined ? [] : { everyMs: schedule })),
    }
  }

  #mapping(
    sqs: z.infer<typeof SqsEvent>,
    timeoutMs: number,
    where: string,
    index: number,
  ): FunctionWiring['queues'] {
    const queue = this.#port(sqs.arn, `${where}.events[${index}].sqs.arn`)
    if (queue === null) return []
    // Lambda refuses such a mapping: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    if (timeoutMs > this.#resources.queues.get(sqs.arn)!.VisibilityTimeout * 1000) {
      this.#faults.add(
        `${where}.timeout`,
        `longer than the VisibilityTimeout of ${sqs.arn}, which Lambda refuses`,
      )
    }
    return [
      {
        queue,
        batchSize: sqs.batchSize,
        reportBatchItemFailures: sqs.functionResponseType !== undefined,
        maximumConcurrency: sqs.maximumConcurrency ?? null,
      },
    ]
  }

  /** The port that has this queue; null, and a fault, when there is none. */
  #port(logicalName: string, where: string): QueueName | null {
    const port = PORTS.find(name => QUEUES[name] === logicalName)
    if (port && this.#resources.queues.has(logicalName)) return port
    this.#faults.add(where, `${logicalName} is no queue of functions/ports.ts and infra/`)
    return null
  }

  #rule(name: string, { EventPattern, Targets }: EventsRule): RuleWiring[] {
    const where = `${this.#resources.places.get(name)}.Properties`
    const pattern = this.#pattern(EventPattern, `${where}.EventPattern`)
    return Targets.flatMap(({ Arn: target }, index) => {
      const queue = this.#port(target, `${where}.Targets[${index}].Arn`)
      if (queue === null) return []
      // EventBridge drops in silence what the queue does not take.
      if (!this.#maySend(name, target)) {
        this.#faults.add(
          `${where}.Targets[${index}]`,
          `no AWS::SQS::QueuePolicy lets this rule send to ${target}`,
        )
      }
      return { name, pattern, queue }
    })
  }

  #maySend(rule: string, queue: string): boolean {
    return [...this.#resources.policies.values()].some(
      ({ Queues, PolicyDocument }) =>
        Queues.includes(queue) &&
        PolicyDocument.Statement.some(
          ({ Resource: to, Condition }) =>
            to === queue && Condition.ArnEquals['aws:SourceArn'].includes(rule),
        ),
    )
  }

  #pattern(value: unknown, where: string): Pattern {
    const pattern = this.#substitute(value, where)
    for (const { path, message } of patternFaults(pattern))
      this.#faults.add(path.reduce(step, where), message)
    return pattern as Pattern
  }

  /** Works out every Fn::Sub below `value`. */
  #substitute(value: unknown, where: string): unknown {
    if (Array.isArray(value)) return value.map((one, index) => this.#substitute(one, step(where, index)))
    if (typeof value !== 'object' || value === null) return value
    if ('Fn::Sub' in value && typeof value['Fn::Sub'] === 'string') return this.#text(value['Fn::Sub'], where)
    const entries = Object.entries(value).map(([key, one]) => [key, this.#substitute(one, step(where, key))])
    return Object.fromEntries(entries)
  }

  #text(template: string, where: string): string {
    const known = new Map([
      ['AWS::Partition', 'aws'],
      ['AWS::Region', this.#target.region],
      ['AWS::AccountId', LOCAL_ACCOUNT],
    ])
    return template.replace(/\$\{([^{}]*)\}/g, (whole, name: string) => {
      const value = known.get(name)
      if (value === undefined) this.#faults.add(where, `the local stack does not know ${whole}`)
      return value ?? ''
    })
  }

  #queue(name: QueueName): QueueWiring[] {
    const logicalName = QUEUES[name]
    const queue = this.#resources.queues.get(logicalName)
    if (!queue) {
      this.#faults.add(`infra/: ${logicalName}`, `missing; it is the queue ${name} of functions/ports.ts`)
      return []
    }
    const { RedrivePolicy: redrive } = queue
    return [
      {
        name,
        arn: `arn:aws:sqs:${this.#target.region}:${LOCAL_ACCOUNT}:${queue.QueueName}`,
        visibilityTimeoutMs: queue.VisibilityTimeout * 1000,
        maxReceiveCount: redrive?.maxReceiveCount ?? null,
        deadLetter: redrive ? this.#deadLetter(logicalName, redrive.deadLetterTargetArn) : null,
      },
    ]
  }

  #deadLetter(queue: string, target: string): string | null {
    const name = this.#resources.queues.get(target)?.QueueName
    const where = `${this.#resources.places.get(queue)}.Properties.RedrivePolicy.deadLetterTargetArn`
    if (name === undefined) this.#faults.add(where, `${target} is no queue of infra/`)
    return name ?? null
  }

  /** A queue that nothing here would ever send to. */
  #checkStrays(): void {
    const { queues, places } = this.#resources
    const expected = new Set<string | undefined>(Object.values(QUEUES))
    for (const queue of queues.values()) expected.add(queue.RedrivePolicy?.deadLetterTargetArn)
    for (const name of queues.keys()) {
      if (!expected.has(name))
        this.#faults.add(places.get(name)!, 'neither a queue of functions/ports.ts nor for dead letters')
    }
  }

  #checkReaders(functions: readonly FunctionWiring[]): void {
    const read = functions.flatMap(one => one.queues.map(mapping => mapping.queue))
    for (const port of PORTS.filter(name => this.#resources.queues.has(QUEUES[name]))) {
      const count = read.filter(name => name === port).length
      if (count !== 1)
        this.#faults.add('functions', `${QUEUES[port]} needs one function that reads it and has ${count}`)
    }
  }

  #names(): DeploymentNames {
    const name = `${this.#service.service}-${this.#target.stage}`
    return {
      clusterArn: `arn:aws:ecs:${this.#target.region}:${LOCAL_ACCOUNT}:cluster/${name}`,
      buildProject: name,
    }
  }
}
