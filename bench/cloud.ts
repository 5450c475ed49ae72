/**
 * What the functions call, on this machine and over HTTP: ECS, CodeBuild and SSM (the wire server, which checks signatures and
 * schemas), DynamoDB (dynalite), GitHub (the mock, which checks against GitHub's description), SQS and IAM. Every call is counted.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import type { Config } from '../functions/config.ts'
import type { RepositoryRef } from '../functions/core/types.ts'
import { WIRE_CREDENTIALS, Wire } from '../test/aws/wire/server.ts'
import { compileStack, ofType, REGION, Resolver, type Stack } from '../test/infra/stack.ts'
import { type Dynalite, startDynalite } from '../test/support/dynalite.ts'
import { GitHubServer } from '../test/support/github-server.ts'
import type { FunctionName, Unpacked } from './bundles.ts'
import { Meter, metered } from './meter.ts'
import type { Answer } from './worker.ts'

export type QueueName = 'launch' | 'events'

export const WEBHOOK_SECRET = 'a secret of the benchmarks'
const STAGE = 'bench'
const APP_ID = 12345
const INSTALLATION = 5001
const IMAGE = `123456789012.dkr.ecr.${REGION}.amazonaws.com/tornade@sha256:${'0'.repeat(64)}`

/** How often something happened, by its name: `dynamodb PutItem`, `dynamodb write units`, `sqs SendMessage`, … */
export type Tally = ReadonlyMap<string, number>

/** What the template says of the stack. */
export interface Deployed {
  readonly memoryMb: Readonly<Record<FunctionName, number>>
  /** Of which invocations Lambda writes lines of its own. None fails here. */
  readonly platformLogs: Readonly<Record<FunctionName, 'all' | 'failures'>>
  readonly alarms: number
  /** Queues that a function reads. */
  readonly polledQueues: number
  /** Whether tickets are encrypted with a key of the account, which KMS charges for, and not with DynamoDB's own. */
  readonly ticketsHaveKey: boolean
}

export interface CloudOptions {
  readonly folder: string
  readonly bundles: readonly Unpacked[]
  readonly repositories: readonly RepositoryRef[]
}

export class Cloud {
  readonly wire: Wire
  readonly github: GitHubServer
  /** Bodies of messages, oldest first. */
  readonly queues: Record<QueueName, string[]> = { launch: [], events: [] }
  readonly #dynamo: Dynalite
  readonly #sqs: Server
  readonly #meter = new Meter()
  readonly #counts = new Map<string, number>()
  readonly #environments = new Map<FunctionName, Record<string, string>>()
  readonly #options: CloudOptions
  #tickets = ''
  #deployed: Deployed | undefined

  private constructor(options: CloudOptions, wire: Wire, github: GitHubServer, dynamo: Dynalite) {
    this.#options = options
    this.wire = wire
    this.github = github
    this.#dynamo = dynamo
    dynamo.intercept = metered(this.#meter, (name, by) => add(this.#counts, name, by))
    this.#sqs = createServer((request, response) => void this.#serveSqs(request, response))
  }

  static async start(options: CloudOptions): Promise<Cloud> {
    const key = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    })
    const github = await GitHubServer.start({
      clock: Date,
      appId: APP_ID,
      publicKey: key.publicKey,
      installations: [{ id: INSTALLATION, repositories: options.repositories }],
    })
    const name = `tornade-${STAGE}`
    const wire = await Wire.start({ region: REGION, cluster: name, project: name })
    for (const arch of ['x64', 'arm64'] as const)
      wire.ecs.taskDefinitions.set(`${name}-${arch}`, {
        containers: ['runner'],
        architecture: arch === 'x64' ? 'X86_64' : 'ARM64',
      })
    const cloud = new Cloud(options, wire, github, await startDynalite())
    await new Promise<void>(resolve => cloud.#sqs.listen(0, '127.0.0.1', resolve))
    await cloud.#prepare(key.privateKey)
    return cloud
  }

  async close(): Promise<void> {
    this.#sqs.closeAllConnections()
    await new Promise(resolve => this.#sqs.close(resolve))
    await Promise.all([this.wire.close(), this.github.close(), this.#dynamo.close()])
  }

  /** What the stack gives a function as its environment, with the services of this machine. */
  environment(name: FunctionName): Readonly<Record<string, string>> {
    return this.#environments.get(name)!
  }

  get deployed(): Deployed {
    return this.#deployed!
  }

  /** All that was counted so far, and went wrong by no means. */
  tally(): Tally {
    const problems = [...this.wire.refused, ...this.github.problems]
    if (problems.length > 0) throw new Error(`calls were not as they should be:\n${problems.join('\n')}`)
    const counts = new Map(this.#counts)
    for (const { service, operation } of this.wire.calls) add(counts, `${service} ${operation}`)
    for (const { operation } of this.github.calls) add(counts, `github ${operation}`)
    return counts
  }

  /** The runner whose task or build came up takes its ticket. */
  async takeTicket(providerId: string): Promise<void> {
    const end = providerId.slice(providerId.search(/[/:][^/:]*$/) + 1)
    const key = this.#meter.keys('k').find(one => one.endsWith(end))
    if (key === undefined) throw new Error(`no ticket waits for ${providerId}`)
    await this.#dynamo.client.send(
      new UpdateItemCommand({
        TableName: this.#tickets,
        Key: { k: { S: key } },
        UpdateExpression: 'REMOVE j',
        ConditionExpression: 'attribute_exists(j)',
        ReturnValues: 'ALL_OLD',
      }),
    )
  }

  /** Bytes of an item: of the gate, say. */
  itemBytes(attribute: string, key: string): number {
    return this.#meter.bytes(attribute, key)
  }

  async #prepare(appKey: string): Promise<void> {
    const ledger = await this.#dynamo.table('LedgerTable')
    this.#tickets = await this.#dynamo.table('TicketsTable')
    const compiled = await compileStack({ stage: STAGE })
    this.#deployed = deployedOf(compiled)
    const stack = new Resolver(compiled)
    const { platformLogs } = this.#deployed
    const here = (port: unknown) => `http://127.0.0.1:${port}`
    const { port } = this.#sqs.address() as AddressInfo
    for (const { name, folder } of this.#options.bundles) {
      const deployed = stack.environment(name)
      const settings = join(folder, deployed.TORNADE_CONFIG!)
      const config: Config = JSON.parse(await readFile(settings, 'utf8'))
      await writeFile(
        settings,
        JSON.stringify({ ...config, github: { ...config.github, url: this.github.url } }),
      )
      this.#environments.set(name, {
        ...deployed,
        ...('TORNADE_LEDGER_TABLE' in deployed ? { TORNADE_LEDGER_TABLE: ledger } : {}),
        ...('TORNADE_TICKETS_TABLE' in deployed ? { TORNADE_TICKETS_TABLE: this.#tickets } : {}),
        // The stack's own are known when it is deployed.
        ...('TORNADE_SUBNETS' in deployed
          ? { TORNADE_SUBNETS: 'subnet-0a,subnet-0b,subnet-0c', TORNADE_SECURITY_GROUP: 'sg-0a' }
          : {}),
        AWS_REGION: REGION,
        AWS_ACCESS_KEY_ID: WIRE_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: WIRE_CREDENTIALS.secretAccessKey,
        AWS_ENDPOINT_URL: this.wire.url,
        AWS_ENDPOINT_URL_DYNAMODB: this.#dynamo.endpoint,
        AWS_ENDPOINT_URL_SQS: here(port),
        AWS_ENDPOINT_URL_IAM: here(port),
        AWS_LAMBDA_FUNCTION_NAME: `tornade-${STAGE}-${name}`,
        AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
        // As Lambda sets them: Powertools goes by them.
        ...(platformLogs[name] === 'failures'
          ? { AWS_LAMBDA_LOG_FORMAT: 'JSON', AWS_LAMBDA_LOG_LEVEL: 'INFO' }
          : {}),
        LAMBDA_TASK_ROOT: folder,
        HOME: folder,
      })
    }
    const { TORNADE_WEBHOOK_SECRET } = this.environment('webhook')
    const { TORNADE_APP_ID, TORNADE_APP_KEY, ...launch } = this.environment('launch')
    for (const [parameter, value] of [
      [TORNADE_WEBHOOK_SECRET, WEBHOOK_SECRET],
      [TORNADE_APP_ID, String(APP_ID)],
      [TORNADE_APP_KEY, appKey],
      [launch.TORNADE_BUILD_IMAGE_X64, IMAGE],
      [launch.TORNADE_BUILD_IMAGE_ARM64, IMAGE],
    ])
      this.wire.ssm.parameters.set(parameter!, value!)
  }

  async #serveSqs(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // IAM is asked by GET, and for roles alone.
    if (request.method === 'GET') {
      add(this.#counts, 'iam GetRole')
      const role = '<GetRoleResult><Role><RoleId>AROAOFTHEBENCHMARKS</RoleId></Role></GetRoleResult>'
      response.writeHead(200).end(`<GetRoleResponse>${role}</GetRoleResponse>`)
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const action = String(request.headers['x-amz-target']).split('.')[1]!
    const { QueueUrl, MessageBody, Entries } = JSON.parse(Buffer.concat(chunks).toString())
    const signed = request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 ')
    const queue = /-(launch|events)$/i.exec(QueueUrl)?.[1]
    if (!signed || !queue || !['SendMessage', 'SendMessageBatch'].includes(action)) {
      response.writeHead(400).end(JSON.stringify({ __type: 'com.amazonaws.sqs#InvalidAction' }))
      return
    }
    add(this.#counts, `sqs ${action}`)
    const bodies: string[] =
      action === 'SendMessage'
        ? [MessageBody]
        : Entries.map((entry: { MessageBody: string }) => entry.MessageBody)
    this.queues[queue as QueueName].push(...bodies)
    const answer =
      action === 'SendMessage'
        ? { MessageId: '0' }
        : { Successful: Entries.map(({ Id }: { Id: string }) => ({ Id, MessageId: Id })), Failed: [] }
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(answer))
  }
}

function deployedOf({ stage, template }: Stack): Deployed {
  const encryption = template.Resources.TicketsTable?.Properties?.SSESpecification as
    | { readonly SSEEnabled?: boolean }
    | undefined
  const ofEach = <T>(property: string, read: (value: unknown) => T) =>
    Object.fromEntries(
      ofType(template, 'AWS::Lambda::Function').map(([, { Properties }]) => [
        String(Properties!.FunctionName).replace(`tornade-${stage}-`, ''),
        read(Properties![property]),
      ]),
    ) as Record<FunctionName, T>
  return {
    memoryMb: ofEach('MemorySize', Number),
    platformLogs: ofEach('LoggingConfig', platformLogsOf),
    alarms: ofType(template, 'AWS::CloudWatch::Alarm').length,
    polledQueues: ofType(template, 'AWS::Lambda::EventSourceMapping').length,
    ticketsHaveKey: encryption?.SSEEnabled === true,
  }
}

/** @throws Error where it is not known here what Lambda writes */
export function platformLogsOf(loggingConfig: unknown): 'all' | 'failures' {
  const { LogFormat = 'Text', SystemLogLevel } = (loggingConfig ?? {}) as Readonly<Record<string, string>>
  if (LogFormat === 'Text') return 'all'
  if (SystemLogLevel === 'WARN') return 'failures'
  throw new Error(`what does Lambda write in ${LogFormat} at the level ${SystemLogLevel}?`)
}

function add(counts: Map<string, number>, name: string, count = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}

export interface LogSize {
  readonly lines: number
  readonly bytes: number
}

/** A function in a process of its own. */
export class Lambda {
  readonly #child: ChildProcess
  readonly #logPath: string

  private constructor(child: ChildProcess, logPath: string) {
    this.#child = child
    this.#logPath = logPath
  }

  static async start(cloud: Cloud, { name, module, folder }: Unpacked): Promise<Lambda> {
    const logPath = join(folder, 'log')
    const log = openSync(logPath, 'a')
    const child = fork(join(import.meta.dirname, 'worker.ts'), [module], {
      env: { ...cloud.environment(name) },
      // Both are the log of a function.
      stdio: ['ignore', log, log, 'ipc'],
    })
    closeSync(log)
    const lambda = new Lambda(child, logPath)
    await lambda.#next()
    return lambda
  }

  async call(events: readonly unknown[]): Promise<Answer> {
    this.#child.send([...events])
    return (await this.#next()) as Answer
  }

  /** The next message of the process. */
  async #next(): Promise<unknown> {
    const ended = new AbortController()
    const { signal } = ended
    const exit = () => ended.abort(new Error(`a function ended:\n${this.logText().slice(-4000)}`))
    this.#child.once('exit', exit)
    try {
      return (await once(this.#child, 'message', { signal }))[0]
    } catch {
      throw signal.reason
    } finally {
      this.#child.off('exit', exit)
    }
  }

  /** What it has written to its log, without what Lambda itself writes there. */
  logged(): LogSize {
    const text = readFileSync(this.#logPath)
    return { bytes: text.length, lines: text.filter(byte => byte === 10).length }
  }

  logText(): string {
    return readFileSync(this.#logPath, 'utf8')
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }
}
