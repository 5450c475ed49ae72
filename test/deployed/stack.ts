/**
 * The deployed system without an account: the functions as they are bundled, each in a worker thread with the environment
 * that the compiled template gives it, over HTTP to doubles of everything they call. Queues, event rules, timeouts and batch
 * sizes are those of the template.
 *
 * Fidelity: one instance of each function, which handles one event at a time; no function runs into its timeout. The clock is
 * the machine's, and tests put it forward. Who is not served here (DynamoDB's signatures, IAM's) is not checked either.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import {
  type AttributeValue,
  CreateTableCommand,
  ScanCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import type { APIGatewayProxyStructuredResultV2, SQSBatchResponse } from 'aws-lambda'
import { unpack } from '../../functions/aws/ledger.ts'
import { type Config, DEFAULT_CONFIG } from '../../functions/config.ts'
import { newJob, newRunner } from '../../functions/core/lifecycle.ts'
import type { Gate, Job, RepositoryRef, Runner } from '../../functions/core/types.ts'
import { matchesPattern, type Pattern } from '../../local/patterns.ts'
import { hex, workflowJobPayload } from '../../local/payloads.ts'
import { usageLine } from '../../runner-image/supervisor/usage.ts'
import { Wire } from '../aws/wire/server.ts'
import type { EventBridgeEvent } from '../aws/wire/service.ts'
import { APP, APP_ID, KEY, SITE } from '../github/harness.ts'
import { ACCOUNT, compileStack, ofType, REGION, Resolver, roleId, type Stack } from '../infra/stack.ts'
import type { Ask } from '../support/browser.ts'
import { CHAT, slackRequest } from '../support/chat.ts'
import { type Dynalite, startDynalite, type TableId, tableProperties } from '../support/dynalite.ts'
import { GitHubServer, type ServerJob, type ServerRun, type ServerRunner } from '../support/github-server.ts'
import { GitHubWeb } from '../support/github-web.ts'
import { type SlackServer, slackServer } from '../support/slack-server.ts'
import { bundles } from './bundles.ts'
import { type Asked, Gateway, json, type Meddle, type Reply } from './gateway.ts'
import type { InstanceData, Invocation, Outcome } from './instance.ts'
import { type Message, Queue, serveSqs } from './sqs.ts'

export const FUNCTIONS = ['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack'] as const
export type FunctionName = (typeof FUNCTIONS)[number]

/** A request of a function, with what came of it. */
export interface Recorded {
  readonly caller: FunctionName
  readonly service: string
  readonly operation: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the function sends
  readonly input: any
  readonly headers: Readonly<Record<string, string>>
  /** null while there is none, and where none will come. */
  reply: Reply | null
}

export interface LogLine {
  readonly caller: FunctionName
  readonly text: string
}

export interface DeploymentOptions {
  readonly config?: Partial<Config>
  /** Ids of the runner groups of the organisation. */
  readonly groups?: readonly number[]
  /** Webhook secrets; the previous one may be missing. */
  readonly webhookSecrets?: readonly [current: string, previous?: string]
}

interface Settings {
  readonly timeoutMs: number
  readonly batchSize: number
}

const CLIENT_ID = 'Iv23liCANARYCLIENT01'
/** Of the API, without its host. */
const DOMAIN = `api.execute-api.${REGION}.amazonaws.com`
export const ORIGIN = `https://${DOMAIN}`

/** What every job uses. */
export const USED = {
  seconds: 0.5,
  cpuAverage: 0.25,
  cpuPeak: 1.5,
  memoryAverageMiB: 512,
  memoryPeakMiB: 1024,
}

const JOB_ROLE = 'tornade-dev-deploy'
export const JOB_ROLE_ID = 'AROADEPLOY0000000000'
export const JOB_ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/tornade/dev/jobs/${JOB_ROLE}`

/** Of names that have no end in tests: `SubnetA-id`, as the template's references are worked out, is no id of a subnet. */
const IDS: readonly (readonly [RegExp, string])[] = [
  [/\bSubnetA-id\b/g, 'subnet-0aaa'],
  [/\bSubnetB-id\b/g, 'subnet-0bbb'],
  [/\bSubnetC-id\b/g, 'subnet-0ccc'],
  [/\bRunnerSecurityGroup-id\b/g, 'sg-0aaa'],
]

export const CONFIG: Config = {
  ...DEFAULT_CONFIG,
  region: REGION,
  owners: { acme: 9919 },
  dashboard: { users: [583231], organisations: [9919] },
  slack: {
    // An hour ago, whenever that is.
    digest: {
      days: [0, 1, 2, 3, 4, 5, 6],
      minute: Math.floor((Date.now() - 3_600_000) / 60_000) % 1440,
      timeZone: 'UTC',
    },
    alerts: [50],
    commands: CHAT,
  },
  roles: {
    deploy: { repositories: [APP.name], refs: [], events: [] },
    ghost: { repositories: [APP.name], refs: [], events: [] },
  },
}

export class Deployment {
  readonly stack: Stack
  readonly wire: Wire
  readonly dynamo: Dynalite
  readonly github: GitHubServer
  /** Where people sign in. */
  readonly web: GitHubWeb
  readonly slack: SlackServer
  readonly queues: { readonly launch: Queue; readonly events: Queue }
  readonly calls: Recorded[] = []
  readonly logs: LogLine[] = []
  /** Bodies of answers to deliveries. */
  readonly answers: string[] = []
  /** What no text may hold, by what it is: grows with what GitHub hands out. */
  readonly secrets = new Map<string, string>()
  /** Asked about each request; null lets it pass. */
  meddle: ((caller: FunctionName, asked: Asked) => ReturnType<Meddle>) | null = null
  readonly #ahead = new Float64Array(new SharedArrayBuffer(8))
  readonly #folder: string
  readonly #code: string
  readonly #instances = new Map<FunctionName, Instance>()
  /** Started ahead, for who needs many. */
  readonly #spares = new Map<FunctionName, Promise<Instance>>()
  readonly #credentials: Readonly<Record<string, string>>
  readonly #config: Config
  readonly #settings: Readonly<Record<FunctionName, Settings>>

  private constructor(parts: {
    stack: Stack
    wire: Wire
    dynamo: Dynalite
    github: GitHubServer
    web: GitHubWeb
    slack: SlackServer
    queues: Deployment['queues']
    ahead: Float64Array<SharedArrayBuffer>
    folder: string
    code: string
    credentials: Readonly<Record<string, string>>
    config: Config
  }) {
    this.stack = parts.stack
    this.wire = parts.wire
    this.dynamo = parts.dynamo
    this.github = parts.github
    this.web = parts.web
    this.slack = parts.slack
    this.queues = parts.queues
    this.#ahead = parts.ahead
    this.#folder = parts.folder
    this.#code = parts.code
    this.#credentials = parts.credentials
    this.#config = parts.config
    this.#settings = settingsOf(parts.stack)
  }

  static async start({ config, groups = [1], webhookSecrets = [canary('webhook')] }: DeploymentOptions = {}) {
    const ahead = new Float64Array(new SharedArrayBuffer(8))
    const clock = { now: () => Date.now() + ahead[0]! }
    const credentials = Object.fromEntries(
      FUNCTIONS.map(name => [accessKeyOf(name), canary(`secret key of ${name}`)]),
    )
    const queues = {} as Deployment['queues']
    const [stack, code, dynamo, folder] = await Promise.all([
      compileStack({ images: config?.images ?? {} }),
      bundles(),
      startDynalite(),
      mkdtemp(join(tmpdir(), 'tornade-deployed-')),
    ])
    const resolver = new Resolver(stack)
    const rules = eventRules(stack, resolver)
    const emit = (event: EventBridgeEvent) => {
      if (rules.some(pattern => matchesPattern(pattern, event)))
        queues.events.put(JSON.stringify(event), clock.now())
    }
    const names = { cluster: resolver.name('Cluster'), project: resolver.name('BuildProject') }
    const [wire, github] = await Promise.all([
      Wire.start({ region: REGION, account: ACCOUNT, ...names, now: clock.now, credentials, emit }),
      GitHubServer.start({
        clock,
        appId: APP_ID,
        publicKey: KEY.publicKey,
        installations: [{ id: 5001, repositories: [APP, SITE] }],
        root: '/github',
        groups,
      }),
      createTable(dynamo, 'LedgerTable', resolver.name('LedgerTable')),
      createTable(dynamo, 'TicketsTable', resolver.name('TicketsTable')),
    ])
    const client = { id: CLIENT_ID, secret: canary('client secret') }
    const slackToken = canary('token of Slack')
    const slack = await slackServer(slackToken)
    const web = await GitHubWeb.start({ clock, api: github, client, root: '/github' })
    web.callbacks.push(`${ORIGIN}/signin/callback`)
    Object.assign(queues, {
      launch: new Queue(queueSettings(stack, resolver, 'LaunchQueue')),
      events: new Queue(queueSettings(stack, resolver, 'EventsQueue')),
    })
    const deployment = new Deployment({
      ...{ stack, wire, dynamo, github, web, slack, queues, ahead, folder, code, credentials },
      config: { ...CONFIG, ...config },
    })
    deployment.#fill(resolver, webhookSecrets, slackToken)
    deployment.#fillDashboard(resolver, client)
    return deployment
  }

  /** What a deployment and an operator put there: images, parameters. */
  #fill(resolver: Resolver, [current, previous]: readonly [string, string?], slackToken: string): void {
    const { ecs, ssm } = this.wire
    for (const [arch, architecture] of [
      ['x64', 'X86_64'],
      ['arm64', 'ARM64'],
    ] as const) {
      ecs.taskDefinitions.set(`tornade-dev-${arch}`, { containers: ['runner'], architecture })
      ecs.taskDefinitions.set(`tornade-dev-build-${arch}`, {
        containers: ['runner', 'builder'],
        architecture,
      })
      const image = `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/tornade-dev-runner@sha256:${hex(arch, 64)}`
      ssm.parameters.set(`/tornade/dev/images/codebuild-${arch}`, image)
    }
    for (const [name, { Properties }] of ofType(this.stack.template, 'AWS::ECS::TaskDefinition')) {
      if (/^(?:Runner|Build)Draft/.test(name)) continue
      const { ContainerDefinitions, RuntimePlatform } = Properties as {
        ContainerDefinitions: { Name: string }[]
        RuntimePlatform: { CpuArchitecture: 'X86_64' | 'ARM64' }
      }
      ecs.taskDefinitions.set(resolver.text(Properties!.Family), {
        containers: ContainerDefinitions.map(({ Name }) => Name),
        architecture: RuntimePlatform.CpuArchitecture,
      })
    }
    const { TORNADE_WEBHOOK_SECRET, TORNADE_WEBHOOK_SECRET_PREVIOUS } = resolver.environment('webhook')
    ssm.parameters.set(TORNADE_WEBHOOK_SECRET!, current)
    this.secrets.set('webhook secret', current)
    if (previous !== undefined) {
      ssm.parameters.set(TORNADE_WEBHOOK_SECRET_PREVIOUS!, previous)
      this.secrets.set('previous webhook secret', previous)
    }
    const signing = canary('signing secret')
    ssm.parameters.set(resolver.environment('slack').TORNADE_SLACK_SIGNING_SECRET!, `${signing}\n`)
    this.secrets.set('signing secret', signing)
    const { TORNADE_APP_ID, TORNADE_APP_KEY, TORNADE_SLACK_TOKEN } = resolver.environment('lifecycle')
    ssm.parameters.set(TORNADE_SLACK_TOKEN!, `${slackToken}\n`)
    this.secrets.set('token of Slack', slackToken)
    ssm.parameters.set(TORNADE_APP_ID!, `${APP_ID}\n`)
    ssm.parameters.set(TORNADE_APP_KEY!, KEY.privateKey)
    this.secrets.set('key of the App', KEY.privateKey)
    for (const [id, secret] of Object.entries(this.#credentials)) this.secrets.set(`secret of ${id}`, secret)
  }

  #fillDashboard(resolver: Resolver, client: { readonly id: string; readonly secret: string }): void {
    const names = resolver.environment('dashboard')
    const put = (variable: string, what: string, value: string) => {
      this.wire.ssm.parameters.set(names[variable]!, `${value}\n`)
      this.secrets.set(what, value)
    }
    this.wire.ssm.parameters.set(names.TORNADE_CLIENT_ID!, client.id)
    put('TORNADE_CLIENT_SECRET', 'client secret', client.secret)
    put('TORNADE_SESSION_KEY', 'session key', canary('session key'))
    put('TORNADE_TOKENS', 'bearer token', canary('bearer token'))
  }

  now(): number {
    return Date.now() + this.#ahead[0]!
  }

  /** Puts the clock forward, for everybody. */
  advance(seconds: number): void {
    this.#ahead[0] = this.#ahead[0]! + seconds * 1000
  }

  // ------------------------------------------------------------------------------------------------------- functions

  /** @throws Error when the invocation fails, or its instance dies */
  async invoke(name: FunctionName, event: unknown): Promise<unknown> {
    let instance = this.#instances.get(name)
    if (!instance) {
      const spare = this.#spares.get(name)
      instance = await (spare ?? this.#instance(name))
      this.#instances.set(name, instance)
      if (spare) this.keepSpare(name)
    }
    try {
      return await instance.invoke(event, `tornade-dev-${name}`, this.#settings[name].timeoutMs)
    } catch (error) {
      if (error instanceof InstanceDied) {
        this.#instances.delete(name)
        await instance.close()
      }
      throw error
    }
  }

  /** The next invocation has an instance of its own, which has read nothing yet. */
  async cool(...names: FunctionName[]): Promise<void> {
    for (const name of names.length > 0 ? names : FUNCTIONS) {
      await this.#instances.get(name)?.close()
      this.#instances.delete(name)
    }
  }

  /** From now on the next instance is always ready. */
  keepSpare(name: FunctionName): void {
    this.#spares.set(name, this.#instance(name))
  }

  async #instance(name: FunctionName): Promise<Instance> {
    const worker: { current?: Worker } = {}
    const gateway = await Gateway.start({
      now: () => this.now(),
      meddle: asked => this.meddle?.(name, asked),
      die: () => void worker.current?.terminate(),
      noted: asked => this.#note(name, asked),
      serve: asked => this.#serve(asked),
    })
    const variables = JSON.stringify(new Resolver(this.stack).environment(name))
    const environment = IDS.reduce((text, [pattern, id]) => text.replace(pattern, id), variables)
    // As long as they are.
    const sessionToken = randomBytes(420).toString('base64')
    this.secrets.set(`session token ${randomUUID()}`, sessionToken)
    const nothing = join(this.#folder, 'none')
    const config = `${randomUUID()}.json`
    const { github, ...decided } = this.#config
    const reached = { ...decided, github: { ...github, url: `${gateway.url}/github` } }
    await writeFile(join(this.#folder, config), JSON.stringify(reached))
    worker.current = new Worker(new URL('./instance.ts', import.meta.url), {
      env: {
        ...JSON.parse(environment),
        AWS_REGION: REGION,
        AWS_LAMBDA_FUNCTION_NAME: `tornade-dev-${name}`,
        AWS_ACCESS_KEY_ID: accessKeyOf(name),
        AWS_SECRET_ACCESS_KEY: this.#credentials[accessKeyOf(name)],
        AWS_SESSION_TOKEN: sessionToken,
        AWS_CONFIG_FILE: nothing,
        AWS_SHARED_CREDENTIALS_FILE: nothing,
        AWS_ENDPOINT_URL: gateway.url,
        TORNADE_CONFIG: config,
        LAMBDA_TASK_ROOT: this.#folder,
        // Whatever an operator may turn on to find a fault.
        POWERTOOLS_LOG_LEVEL: 'DEBUG',
      },
      workerData: {
        module: pathToFileURL(join(this.#code, name, this.#handler(name))).href,
        ahead: this.#ahead.buffer,
      } satisfies InstanceData,
      stdout: true,
      stderr: true,
    })
    return new Instance(worker.current, gateway, text => this.logs.push({ caller: name, text }))
  }

  /** File of the handler that the template names. */
  #handler(name: FunctionName): string {
    const [, { Properties }] = ofType(this.stack.template, 'AWS::Lambda::Function').find(
      ([, { Properties }]) => Properties!.FunctionName === `tornade-dev-${name}`,
    )!
    return (Properties!.Handler as string).replace(/\.handler$/, '.mjs')
  }

  #note(caller: FunctionName, asked: Asked) {
    const { service, operation, headers } = asked
    const text = asked.body.toString()
    const input =
      service === 'iam'
        ? Object.fromEntries(new URL(asked.path, 'http://127.0.0.1').searchParams)
        : headers['content-type']?.startsWith('application/x-www-form-urlencoded')
          ? Object.fromEntries(new URLSearchParams(text))
          : text === ''
            ? null
            : JSON.parse(text)
    const call: Recorded = { caller, service, operation, input, headers, reply: null }
    this.calls.push(call)
    const bearer = /^bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
    if (service === 'github' && bearer)
      this.secrets.set(`${bearer.startsWith('ghu_') ? 'user token' : 'JWT'} ${hex(bearer, 8)}`, bearer)
    return (reply: Reply | null) => {
      call.reply = reply
      if (service !== 'github' || !reply || reply.status !== 201) return
      const { token, encoded_jit_config: jit } = JSON.parse(reply.body.toString())
      if (token) this.secrets.set(`token ${hex(token, 8)}`, token)
      if (jit) this.secrets.set(`JIT config ${hex(jit, 8)}`, jit)
    }
  }

  #serve(asked: Asked): string | Reply {
    switch (asked.service) {
      case 'github':
        return asked.path.startsWith('/github/login/') ? this.web.url : this.github.url
      case 'dynamodb':
        return this.dynamo.endpoint
      case 'ecs':
      case 'codebuild':
      case 'ssm':
      case 'logs':
        return this.wire.url
      case 'sqs':
        return serveSqs(asked, Object.values(this.queues), this.now(), id => this.#credentials[id])
      case 'iam':
        return getRole(asked)
      case 'slack':
        return this.slack.origin
      default:
        return json(400, { __type: 'UnknownOperationException', message: asked.service })
    }
  }

  // ------------------------------------------------------------------------------------------------------ deliveries

  /** A delivery as API Gateway hands it over. */
  async deliver(
    payload: unknown,
    { secret = this.secrets.get('webhook secret')!, event = 'workflow_job' } = {},
  ): Promise<{ status: number; body: { outcome: string; reason?: string } }> {
    const body = JSON.stringify(payload)
    const key = await crypto.subtle.importKey(
      'raw',
      Buffer.from(secret),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    )
    const signature = Buffer.from(await crypto.subtle.sign('HMAC', key, Buffer.from(body))).toString('hex')
    const time = new Date(this.now())
    const answer = (await this.invoke('webhook', {
      version: '2.0',
      routeKey: 'ANY /webhook',
      rawPath: '/webhook',
      rawQueryString: '',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'GitHub-Hookshot/7f3a2c1',
        'x-github-delivery': randomUUID(),
        'x-github-event': event,
        'x-hub-signature-256': `sha256=${signature}`,
      },
      requestContext: {
        accountId: ACCOUNT,
        apiId: 'api',
        domainName: DOMAIN,
        domainPrefix: 'api',
        http: {
          method: 'POST',
          path: '/webhook',
          protocol: 'HTTP/1.1',
          sourceIp: '140.82.115.1',
          userAgent: 'GitHub-Hookshot/7f3a2c1',
        },
        requestId: randomUUID(),
        routeKey: 'ANY /webhook',
        stage: '$default',
        time: time.toISOString(),
        timeEpoch: time.getTime(),
      },
      body,
      isBase64Encoded: false,
    })) as APIGatewayProxyStructuredResultV2
    this.answers.push(JSON.stringify(answer))
    return { status: answer.statusCode!, body: JSON.parse(answer.body!) }
  }

  /** A request of the dashboard, as API Gateway hands it over, and the answer as it hands that back. */
  readonly visit: Ask = async (url, init) => {
    if (url.origin !== ORIGIN) return fetch(this.web.url + url.pathname + url.search, init)
    const { cookie, ...headers } = Object.fromEntries(new Headers(init.headers))
    const method = init.method ?? 'GET'
    const time = new Date(this.now())
    const routeKey = url.pathname === '/' ? 'ANY /' : 'ANY /{proxy+}'
    const answer = (await this.invoke('dashboard', {
      version: '2.0',
      routeKey,
      rawPath: url.pathname,
      rawQueryString: url.search.slice(1),
      ...(cookie === undefined ? {} : { cookies: cookie.split(/; */) }),
      headers: { host: DOMAIN, 'x-forwarded-proto': 'https', ...headers },
      requestContext: {
        accountId: ACCOUNT,
        apiId: 'api',
        domainName: DOMAIN,
        domainPrefix: 'api',
        http: { method, path: url.pathname, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'tests' },
        requestId: randomUUID(),
        routeKey,
        stage: '$default',
        time: time.toISOString(),
        timeEpoch: time.getTime(),
      },
      isBase64Encoded: false,
    })) as APIGatewayProxyStructuredResultV2
    const { statusCode = 200, body = '', isBase64Encoded, cookies = [] } = answer
    const kept = new Headers(answer.headers as Record<string, string>)
    for (const one of cookies) kept.append('set-cookie', one)
    // What it says of cookies is for one browser; all else is told to whoever asks.
    this.answers.push(JSON.stringify({ ...answer, cookies: [] }))
    const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8')
    return new Response([204, 303, 302].includes(statusCode) ? null : bytes, {
      status: statusCode,
      headers: kept,
    })
  }

  /** A command that somebody types in Slack, as API Gateway hands it over. @returns what Slack shows */
  async typed(text: string): Promise<string> {
    const at = this.now()
    const { headers, body } = slackRequest(text, { at, secret: this.secrets.get('signing secret')! })
    const http = {
      method: 'POST',
      path: '/slack',
      protocol: 'HTTP/1.1',
      sourceIp: '192.0.2.1',
      userAgent: 'tests',
    }
    const answer = (await this.invoke('slack', {
      version: '2.0',
      routeKey: 'POST /slack',
      rawPath: '/slack',
      rawQueryString: '',
      headers,
      requestContext: { http, requestId: randomUUID(), routeKey: 'POST /slack', stage: '$default' },
      body: body.toString('base64'),
      isBase64Encoded: true,
    })) as APIGatewayProxyStructuredResultV2
    this.answers.push(JSON.stringify(answer))
    return JSON.parse(answer.body!).text
  }

  /** Lambda takes a batch from a queue. @returns how many messages there were, and which of them failed */
  async batch(name: 'launch' | 'events'): Promise<{ taken: Message[]; failed: string[]; error?: string }> {
    const queue = this.queues[name]
    const reader = name === 'launch' ? 'launch' : 'lifecycle'
    const taken = queue.receive(this.now(), this.#settings[reader].batchSize)
    if (taken.length === 0) return { taken, failed: [] }
    try {
      const answer = (await this.invoke(reader, queue.event(taken))) as SQSBatchResponse
      const failed = answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier)
      queue.settle(taken, new Set(failed))
      return { taken, failed }
    } catch (error) {
      const failed = taken.map(({ id }) => id)
      queue.settle(taken, new Set(failed))
      return { taken, failed, error: (error as Error).message }
    }
  }

  /** Until nothing is due in either queue. @returns texts of invocations that failed as a whole */
  async settle(): Promise<string[]> {
    const errors: string[] = []
    for (let rounds = 0; rounds < 50; rounds++) {
      const batches = [await this.batch('launch'), await this.batch('events')]
      errors.push(...batches.flatMap(({ error }) => error ?? []))
      if (batches.every(({ taken }) => taken.length === 0)) return errors
    }
    throw new Error('the queues do not come to rest')
  }

  async sweep(): Promise<void> {
    await this.#onSchedule('sweep')
  }

  async notify(): Promise<void> {
    await this.#onSchedule('notify')
  }

  async #onSchedule(name: FunctionName): Promise<void> {
    await this.invoke(name, {
      version: '0',
      id: randomUUID(),
      'detail-type': 'Scheduled Event',
      source: 'aws.events',
      account: ACCOUNT,
      time: new Date(this.now()).toISOString(),
      region: REGION,
      resources: [],
      detail: {},
    })
  }

  // ---------------------------------------------------------------------------------------------- GitHub and runners

  /** A job that is queued on GitHub, and its delivery. */
  async queue(
    labels: readonly string[],
    { run = {}, repository = APP }: { run?: Partial<ServerRun>; repository?: RepositoryRef } = {},
  ) {
    const job = this.github.queueJob(repository.id, run)
    job.labels = labels
    const answer = await this.deliver(this.payload('queued', job, labels))
    return { job, labels, answer, key: `${job.id}-1` }
  }

  payload(
    action: 'queued' | 'in_progress' | 'completed' | 'waiting',
    job: ServerJob,
    labels: readonly string[],
    over: Partial<Parameters<typeof workflowJobPayload>[0]> = {},
  ) {
    const repository = [APP, SITE].find(({ id }) => id === job.repositoryId)!
    return workflowJobPayload({
      action,
      repository: { ...repository, ownerId: 9919, ownerType: 'Organization', defaultBranch: 'main' },
      jobId: job.id,
      runId: job.runId,
      labels,
      createdAt: job.createdAt,
      startedAt: job.startedAt,
      completedAt: job.completedAt,
      conclusion: job.conclusion as 'success' | null,
      runner: job.runner,
      ...over,
    })
  }

  /** The newest task or build of a runner, as the wire server has it. */
  started(runner: string): { readonly arn: string; readonly role: string; readonly key: string } | undefined {
    const environmentOf = (variables: readonly { name?: string; value?: string }[] = []) =>
      Object.fromEntries(variables.map(({ name, value }) => [name, value]))
    for (const { arn, input } of [...this.wire.ecs.tasks.values()].reverse()) {
      const [container] = (input.overrides?.containerOverrides ?? []) as { environment: { name: string }[] }[]
      const variables = environmentOf(container?.environment)
      if (variables.TORNADE_RUNNER === runner)
        return {
          arn,
          role: variables.TORNADE_ROLE_ID!,
          key: `${variables.TORNADE_ROLE_ID}:${arn.split('/').at(-1)}`,
        }
    }
    for (const { arn, input } of [...this.wire.codebuild.builds.values()].reverse()) {
      const variables = environmentOf(input.environmentVariablesOverride)
      if (variables.TORNADE_RUNNER === runner)
        return {
          arn,
          role: variables.TORNADE_ROLE_ID!,
          key: `${variables.TORNADE_ROLE_ID}:AWSCodeBuild-${arn.split(':').at(-1)}`,
        }
    }
    return undefined
  }

  /** As runner-image/ does it. @returns the JIT config; null when there is none for this key (any more) */
  async takeTicket(key: string): Promise<string | null> {
    const command = new UpdateItemCommand({
      TableName: new Resolver(this.stack).name('TicketsTable'),
      Key: { k: { S: key } },
      UpdateExpression: 'REMOVE j',
      ConditionExpression: 'attribute_exists(j)',
      ReturnValues: 'ALL_OLD',
    })
    try {
      return (await this.dynamo.client.send(command)).Attributes?.j?.S ?? null
    } catch (error) {
      if ((error as Error).name === 'ConditionalCheckFailedException') return null
      throw error
    }
  }

  /** The task runs, takes its ticket, comes online at GitHub and gets `job`. */
  async runnerTakes(runner: string, job: ServerJob, labels: readonly string[]): Promise<ServerRunner> {
    const { arn, key } = this.started(runner)!
    if (this.wire.ecs.tasks.has(arn)) this.wire.ecs.run(arn)
    else {
      this.wire.codebuild.started(arn)
      this.wire.codebuild.provisioned(arn)
    }
    const jit = await this.takeTicket(key)
    const registered = [...this.github.runners.values()].find(one => one.encodedJitConfig === jit)
    if (!registered) throw new Error(`${runner} has no ticket`)
    registered.busy = true
    job.status = 'in_progress'
    job.startedAt = this.now()
    job.runner = { id: registered.id, name: registered.name }
    await this.deliver(this.payload('in_progress', job, labels))
    return registered
  }

  /** The job ends, and with it its runner: GitHub forgets it, it says what was used, and its task stops. */
  async runnerEnds(runner: string, job: ServerJob, labels: readonly string[]): Promise<void> {
    this.github.finishJob(job, 'success')
    await this.deliver(this.payload('completed', job, labels))
    this.github.runners.delete(job.runner!.id)
    this.writes(runner, usageLine(USED), '{"level":"info","message":"ended","code":0}')
    this.stops(runner)
  }

  /** Lines in the log of the newest task or build of a runner, where AWS would put them. */
  writes(runner: string, ...lines: readonly string[]): void {
    const { arn } = this.started(runner)!
    const properties = (logicalName: string) => this.stack.template.Resources[logicalName]!.Properties
    const resolver = new Resolver(this.stack)
    if (this.wire.ecs.tasks.has(arn)) {
      const { ContainerDefinitions } = resolver.value(properties('RunnerDraftX64')) as {
        ContainerDefinitions: { Name: string; LogConfiguration: { Options: Record<string, string> } }[]
      }
      const [{ Name, LogConfiguration }] = ContainerDefinitions as [(typeof ContainerDefinitions)[0]]
      const { 'awslogs-group': group, 'awslogs-stream-prefix': prefix } = LogConfiguration.Options
      this.wire.logs.write(group!, `${prefix}/${Name}/${arn.split('/').at(-1)}`, ...lines)
    } else {
      const { LogsConfig } = resolver.value(properties('BuildProject')) as {
        LogsConfig: { CloudWatchLogs: { GroupName: string } }
      }
      this.wire.logs.write(LogsConfig.CloudWatchLogs.GroupName, arn.split(':').at(-1)!, ...lines)
    }
  }

  stops(runner: string): void {
    const { arn } = this.started(runner)!
    if (this.wire.ecs.tasks.has(arn)) this.wire.ecs.stopped(arn)
    else this.wire.codebuild.ended(arn)
  }

  // ---------------------------------------------------------------------------------------------------------- ledger

  async items(table: 'LedgerTable' | 'TicketsTable'): Promise<Record<string, AttributeValue>[]> {
    const TableName = new Resolver(this.stack).name(table)
    return (await this.dynamo.client.send(new ScanCommand({ TableName, ConsistentRead: true }))).Items ?? []
  }

  async #ledger<T>(name: string): Promise<T[]> {
    const items = await this.items('LedgerTable')
    return items.filter(({ pk }) => pk!.S === name).map(item => JSON.parse(unpack(item)) as T)
  }

  /** Facts that nobody knows yet are not stored. */
  async job(key: string): Promise<Job> {
    const [job] = await this.#ledger<Job>(`job#${key}`)
    if (!job) throw new Error(`the ledger has no job ${key}`)
    return { ...newJob(job.request), ...job }
  }

  async runner(name: string): Promise<Runner> {
    const [runner] = await this.#ledger<Runner>(`runner#${name}`)
    if (!runner) throw new Error(`the ledger has no runner ${name}`)
    return { ...newRunner(name), ...runner }
  }

  async gate(): Promise<Gate | undefined> {
    return (await this.#ledger<Gate>('gate'))[0]
  }

  /** Metrics as CloudWatch would count them. */
  metrics(): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const { text } of this.logs) {
      for (const line of text.split('\n').filter(one => one.includes('"_aws"'))) {
        const parsed = JSON.parse(line)
        for (const { Name } of parsed._aws.CloudWatchMetrics[0].Metrics)
          sums[Name] = (sums[Name] ?? 0) + [parsed[Name]].flat().reduce((sum, value) => sum + value, 0)
      }
    }
    return sums
  }

  /** What no test may pass with: requests that AWS or GitHub would not take. */
  faults(): string[] {
    return [...this.wire.refused, ...this.github.problems, ...this.web.problems]
  }

  async close(): Promise<void> {
    await this.cool()
    for (const spare of this.#spares.values()) await (await spare).close()
    await Promise.all([
      this.wire.close(),
      this.github.close(),
      this.web.close(),
      this.slack.close(),
      this.dynamo.close(),
    ])
    await rm(this.#folder, { recursive: true })
  }
}

class InstanceDied extends Error {}

class Instance {
  readonly #worker: Worker
  readonly #gateway: Gateway
  #invocations = 0

  constructor(worker: Worker, gateway: Gateway, log: (text: string) => void) {
    this.#worker = worker
    this.#gateway = gateway
    for (const stream of [worker.stdout, worker.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => text.trim() && log(text))
  }

  invoke(event: unknown, functionName: string, timeoutMs: number): Promise<unknown> {
    const id = ++this.#invocations
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#worker.off('message', answered).off('error', died).off('exit', exited)
      }
      const answered = (outcome: Outcome) => {
        if (outcome.id !== id) return
        stop()
        if ('error' in outcome) reject(new Error(outcome.error))
        else resolve(outcome.result)
      }
      const died = (error: Error) => {
        stop()
        reject(new InstanceDied(error.message))
      }
      const exited = () => died(new Error('the instance died'))
      this.#worker.on('message', answered).on('error', died).on('exit', exited)
      const invocation: Invocation = { id, event, requestId: randomUUID(), functionName, timeoutMs }
      this.#worker.postMessage(invocation)
    })
  }

  async close(): Promise<void> {
    await Promise.all([this.#worker.terminate(), this.#gateway.close()])
  }
}

/** A value that is nowhere else. */
export function canary(name: string): string {
  return `canary-${name.replaceAll(' ', '-')}-${randomBytes(24).toString('hex')}`
}

function accessKeyOf(name: FunctionName): string {
  return `ASIA${name.toUpperCase().padEnd(16, '0')}`
}

async function createTable({ client }: Dynalite, id: TableId, name: string): Promise<void> {
  const { AttributeDefinitions, KeySchema, BillingMode, GlobalSecondaryIndexes } = tableProperties(id)
  const indexes = GlobalSecondaryIndexes ? { GlobalSecondaryIndexes } : {}
  const table = { AttributeDefinitions, KeySchema, BillingMode, ...indexes }
  await client.send(new CreateTableCommand({ TableName: name, ...table }))
}

function queueSettings(stack: Stack, resolver: Resolver, logicalName: string) {
  const { VisibilityTimeout, RedrivePolicy } = resolver.value(
    stack.template.Resources[logicalName]!.Properties,
  ) as { VisibilityTimeout: number; RedrivePolicy: { maxReceiveCount: number } }
  return {
    arn: resolver.arn(logicalName),
    url: resolver.text({ Ref: logicalName }),
    region: REGION,
    visibilityMs: VisibilityTimeout * 1000,
    maxReceives: RedrivePolicy.maxReceiveCount,
  }
}

/** Patterns of the rules that send to the events queue. */
function eventRules(stack: Stack, resolver: Resolver): Pattern[] {
  const arn = resolver.arn('EventsQueue')
  return ofType(stack.template, 'AWS::Events::Rule').flatMap(([, { Properties }]) => {
    const { EventPattern, Targets } = Properties as { EventPattern?: unknown; Targets: { Arn: unknown }[] }
    const isOurs = EventPattern !== undefined && Targets.some(({ Arn }) => resolver.text(Arn) === arn)
    return isOurs ? [resolver.value(EventPattern) as Pattern] : []
  })
}

function settingsOf({ template }: Stack): Readonly<Record<FunctionName, Settings>> {
  const each = FUNCTIONS.map((name): [FunctionName, Settings] => {
    const [logicalName, { Properties }] = ofType(template, 'AWS::Lambda::Function').find(
      ([, { Properties }]) => Properties!.FunctionName === `tornade-dev-${name}`,
    )!
    const mapping = ofType(template, 'AWS::Lambda::EventSourceMapping').find(([, { Properties }]) =>
      JSON.stringify(Properties!.FunctionName).includes(`"${logicalName}"`),
    )
    const batchSize = (mapping?.[1].Properties?.BatchSize as number | undefined) ?? 1
    return [name, { timeoutMs: (Properties!.Timeout as number) * 1000, batchSize }]
  })
  return Object.fromEntries(each) as Record<FunctionName, Settings>
}

/** IAM: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html */
function getRole({ path, headers }: Asked): Reply {
  const xml = (status: number, text: string): Reply => ({
    status,
    headers: { 'content-type': 'text/xml' },
    body: Buffer.from(text),
  })
  if (!/\/us-east-1\/iam\/aws4_request/.test(headers.authorization ?? ''))
    return xml(403, '<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>')
  const name = new URL(path, 'http://127.0.0.1').searchParams.get('RoleName')
  if (name !== JOB_ROLE)
    return xml(404, '<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>')
  return xml(
    200,
    `<GetRoleResponse><GetRoleResult><Role><Path>/tornade/dev/jobs/</Path><RoleName>${name}</RoleName><RoleId>${JOB_ROLE_ID}</RoleId><Arn>${JOB_ROLE_ARN}</Arn></Role></GetRoleResult></GetRoleResponse>`,
  )
}

/** Unique id of the role of runners that ask for none. */
export const PLAIN_ROLE_ID = roleId('RunnerRole')
