/**
 * ECS, CodeBuild, SSM and CloudWatch Logs on loopback, over real HTTP in AWS JSON 1.1. Every request must be signed, and fit the schema
 * that the SDK publishes for its operation and the limits of the API reference; what does not is refused and kept in
 * `refused`, so that no test passes over it.
 *
 * Fidelity: one cluster, one project, one account. Tasks and builds stand still until a test moves them. AWS passes over
 * unknown members; here they are refused. Sentences are those of AWS where they are documented or reported, else made up.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { GetLogEvents$ } from '@aws-sdk/client-cloudwatch-logs'
import { BatchGetBuilds$, ListBuildsForProject$, StartBuild$, StopBuild$ } from '@aws-sdk/client-codebuild'
import { DescribeTasks$, ListTasks$, RunTask$, StopTask$ } from '@aws-sdk/client-ecs'
import { GetParameter$, GetParameters$ } from '@aws-sdk/client-ssm'
import { WireCodeBuild } from './codebuild.ts'
import { WireEcs } from './ecs.ts'
import { type Effect, type Exception, FAULTS, type FaultName } from './faults.ts'
import { limitFaults } from './limits.ts'
import { WireLogs } from './logs.ts'
import { schemaFaults } from './schema.ts'
import { type EventBridgeEvent, type Input, type WireContext, WireException } from './service.ts'
import { readSignature, type Signed } from './signature.ts'
import { WireSsm } from './ssm.ts'

/** One request that was understood, in the order in which they came. */
export interface WireCall {
  /** As in IAM actions: `ecs`, `codebuild`, `ssm`, `logs`. */
  readonly service: string
  readonly operation: string
  readonly input: Input
  readonly signed: Signed
  /** The request as it came: request line, headers and body. */
  readonly raw: string
}

export interface WireOptions {
  readonly region?: string
  readonly account?: string
  readonly cluster?: string
  readonly project?: string
  readonly now?: () => number
  /** Secret access key by access key id. */
  readonly credentials?: Readonly<Record<string, string>>
  /** Called with what EventBridge would send. */
  readonly emit?: (event: EventBridgeEvent) => void
}

export const WIRE_CREDENTIALS = { accessKeyId: 'AKIAWIRE0000EXAMPLE0', secretAccessKey: 'wire/secret/key' }

interface Operation {
  readonly service: string
  readonly schema: readonly unknown[]
  readonly run: (wire: Wire, input: Input, effect: Effect | null) => Record<string, unknown>
}

/** By X-Amz-Target. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  'AmazonEC2ContainerServiceV20141113.RunTask': {
    service: 'ecs',
    schema: RunTask$,
    run: ({ ecs }, input, effect) => ecs.runTask(input, effect?.kind === 'failures' ? effect : null),
  },
  'AmazonEC2ContainerServiceV20141113.StopTask': {
    service: 'ecs',
    schema: StopTask$,
    run: ({ ecs }, input) => ecs.stopTask(input),
  },
  'AmazonEC2ContainerServiceV20141113.DescribeTasks': {
    service: 'ecs',
    schema: DescribeTasks$,
    run: ({ ecs }, input) => ecs.describeTasks(input),
  },
  'AmazonEC2ContainerServiceV20141113.ListTasks': {
    service: 'ecs',
    schema: ListTasks$,
    run: ({ ecs }, input) => ecs.listTasks(input),
  },
  'CodeBuild_20161006.StartBuild': {
    service: 'codebuild',
    schema: StartBuild$,
    run: ({ codebuild }, input) => codebuild.startBuild(input),
  },
  'CodeBuild_20161006.StopBuild': {
    service: 'codebuild',
    schema: StopBuild$,
    run: ({ codebuild }, input) => codebuild.stopBuild(input),
  },
  'CodeBuild_20161006.BatchGetBuilds': {
    service: 'codebuild',
    schema: BatchGetBuilds$,
    run: ({ codebuild }, input) => codebuild.batchGetBuilds(input),
  },
  'CodeBuild_20161006.ListBuildsForProject': {
    service: 'codebuild',
    schema: ListBuildsForProject$,
    run: ({ codebuild }, input) => codebuild.listBuildsForProject(input),
  },
  'AmazonSSM.GetParameter': {
    service: 'ssm',
    schema: GetParameter$,
    run: ({ ssm }, input) => ssm.getParameter(input),
  },
  'AmazonSSM.GetParameters': {
    service: 'ssm',
    schema: GetParameters$,
    run: ({ ssm }, input) => ssm.getParameters(input),
  },
  'Logs_20140328.GetLogEvents': {
    service: 'logs',
    schema: GetLogEvents$,
    run: ({ logs }, input) => logs.getLogEvents(input),
  },
}

export class Wire {
  readonly region: string
  readonly account: string
  readonly ecs: WireEcs
  readonly codebuild: WireCodeBuild
  readonly ssm: WireSsm
  readonly logs: WireLogs
  readonly calls: WireCall[] = []
  /** Why requests were refused, with the operation: empty wherever the code under test is right. */
  readonly refused: string[] = []
  readonly events: EventBridgeEvent[] = []
  readonly #credentials: Readonly<Record<string, string>>
  readonly #server: Server
  readonly #due: { readonly operation: string; readonly effect: Effect; times: number }[] = []

  private constructor(options: WireOptions) {
    const { region = 'us-east-1', account = '123456789012', emit } = options
    this.region = region
    this.account = account
    const context: WireContext = {
      region,
      account,
      now: options.now ?? Date.now,
      emit: event => {
        this.events.push(event)
        emit?.(event)
      },
    }
    this.ecs = new WireEcs(context, options.cluster ?? 'tornade-test')
    this.codebuild = new WireCodeBuild(context, options.project ?? 'tornade-test')
    this.ssm = new WireSsm(context)
    this.logs = new WireLogs(context.now)
    this.#credentials = options.credentials ?? {
      [WIRE_CREDENTIALS.accessKeyId]: WIRE_CREDENTIALS.secretAccessKey,
    }
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(error => {
        this.refused.push(`the wire server failed: ${(error as Error).stack}`)
        response.destroy()
      })
    })
  }

  static async start(options: WireOptions = {}): Promise<Wire> {
    const wire = new Wire(options)
    await new Promise<void>(resolve => wire.#server.listen(0, '127.0.0.1', resolve))
    return wire
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What an SDK client needs to come here. */
  get client() {
    return { endpoint: this.url, region: this.region, credentials: WIRE_CREDENTIALS }
  }

  /** The next calls of the fault's operation meet it. */
  play(name: FaultName, times = 1): void {
    this.#due.push({ ...FAULTS[name], times })
  }

  /** Operations that were called, in order. */
  get operations(): string[] {
    return this.calls.map(({ operation }) => operation)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const answer = this.#answer(request, Buffer.concat(chunks).toString('utf8'))
    if (answer === 'silence') return
    if (answer === 'lost') {
      response.destroy()
      return
    }
    response.writeHead(answer.status, {
      'content-type': 'application/x-amz-json-1.1',
      'x-amzn-requestid': '00000000-0000-4000-8000-000000000000',
    })
    response.end(JSON.stringify(answer.body))
  }

  #answer({ method, url, headers }: IncomingMessage, body: string): Answer {
    const target = String(headers['x-amz-target'] ?? '')
    const operation = Object.hasOwn(OPERATIONS, target) ? OPERATIONS[target] : undefined
    const name = target.split('.').at(-1)!
    const understood = operation
      ? this.#understand(operation, name, method, url, headers, body)
      : `unknown operation ${target}`
    if (!operation || typeof understood === 'string') {
      this.refused.push(`${name || url}: ${understood}`)
      return failure({ name: 'ValidationException', message: String(understood) })
    }
    const raw = `${method} ${url}\n${JSON.stringify(headers)}\n${body}`
    this.calls.push({ service: operation.service, operation: name, ...understood, raw })
    return this.#perform(operation, understood.input, this.#effect(name))
  }

  /** @returns what is wrong with the request, as text */
  #understand(
    operation: Operation,
    name: string,
    method: string | undefined,
    url: string | undefined,
    headers: IncomingHttpHeaders,
    body: string,
  ): Pick<WireCall, 'input' | 'signed'> | string {
    if (method !== 'POST' || url !== '/') return 'not POST /'
    const type = headers['content-type']
    if (type !== 'application/x-amz-json-1.1') return `content-type ${type}`
    const signed = readSignature({ method, path: url, headers, body }, id =>
      Object.hasOwn(this.#credentials, id) ? this.#credentials[id] : undefined,
    )
    if (typeof signed === 'string') return signed
    if (signed.service !== operation.service || signed.region !== this.region)
      return `signed for ${signed.service} in ${signed.region}`
    const input = parse(body)
    if (!input) return 'the body is no JSON'
    const faults = schemaFaults(operation.schema[4], input)
    // Limits are looked up along paths that the schema has seen to.
    if (faults.length === 0) faults.push(...limitFaults(name, input))
    return faults.length > 0 ? faults.join('; ') : { input, signed }
  }

  #perform(operation: Operation, input: Input, effect: Effect | null): Answer {
    if (effect?.kind === 'lost' && effect.when === 'before') return 'lost'
    if (effect?.kind === 'exception') return failure(effect.exception)
    let output: Record<string, unknown>
    try {
      output = operation.run(this, input, effect)
    } catch (error) {
      if (error instanceof WireException) return failure(error.exception)
      throw error
    }
    // The answers are held against the schemas as well: a double that answers what AWS cannot would prove nothing.
    const faults = schemaFaults(operation.schema[5], output)
    if (faults.length > 0) throw new Error(`wrong answer: ${faults.join('; ')}`)
    switch (effect?.kind) {
      case 'lost':
      case 'silence':
        return effect.kind
      case 'done-but-500':
        return failure({ name: 'InternalFailure', message: 'internal failure', status: 500 })
      default:
        return { status: 200, body: output }
    }
  }

  #effect(operation: string): Effect | null {
    const due = this.#due.find(fault => fault.operation === operation && fault.times > 0)
    if (!due) return null
    due.times--
    return due.effect
  }
}

type Answer = { readonly status: number; readonly body: unknown } | 'lost' | 'silence'

function failure({ name, message, status = 400, members = {} }: Exception): Answer {
  return { status, body: { __type: name, message, ...members } }
}

function parse(body: string): Input | null {
  try {
    return JSON.parse(body) as Input
  } catch {
    return null
  }
}
