/**
 * The whole system on a laptop: the deployed functions in their deployed wrappers, wired as serverless.yml and infra/
 * say, around doubles of GitHub, ECS, CodeBuild, SQS and DynamoDB, on one clock.
 */
import { fileURLToPath } from 'node:url'
import { handle } from 'hono/aws-lambda'
import type { Config } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { guardPolicy } from '../functions/core/guard.ts'
import type { Job } from '../functions/core/types.ts'
import { type DashboardPorts, dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { httpLambda, queueLambda, scheduleLambda } from '../functions/lambda.ts'
import { launch } from '../functions/launch.ts'
import { lifecycle } from '../functions/lifecycle.ts'
import { notify } from '../functions/notify.ts'
import type { GaugeName, Log, MetricName, Ports, QueueName } from '../functions/ports.ts'
import { slack } from '../functions/slack.ts'
import { sweep } from '../functions/sweep.ts'
import { webhook } from '../functions/webhook.ts'
import { LocalChat } from './chat.ts'
import { SteppedClock } from './clock.ts'
import { type ComputeFaults, LocalCompute, type RoleUse } from './compute.ts'
import { type Delivery, DeliveryRefused, GitHubDouble } from './github.ts'
import {
  HTTP_FAILURE,
  type HttpAnswer,
  httpAnswer,
  httpEvent,
  type LambdaHandler,
  LocalFunction,
  type RequestHeaders,
  scheduledEvent,
} from './lambda.ts'
import { withLatency } from './latency.ts'
import { LocalLedger } from './ledger.ts'
import { LocalQueue, LocalQueues } from './queue.ts'
import { LocalSecrets } from './secrets.ts'
import { LocalTickets } from './tickets.ts'
import { matchesPattern, readWiring, routeOf, type Wiring } from './wiring.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** By region. Reading serverless.yml takes longer than many worlds do. */
const read = new Map<string, Wiring>()

async function wiringOf(region: string): Promise<Wiring> {
  const wiring = read.get(region) ?? (await readWiring(ROOT, 'local', region))
  read.set(region, wiring)
  return wiring
}

export interface WorldOptions {
  readonly config: Config
  /** Time at which the clock starts, milliseconds since 1970. */
  readonly start: number
  readonly secret: string
  readonly log: Log
  /** Divides simulated durations. */
  readonly speed?: number
  /** Least and most seconds of a job without a recording. */
  readonly jobSeconds?: readonly [number, number]
  /**
   * Called for deliveries of the double; by default they go straight to the webhook function (`accept`). One that
   * throws has failed, and GitHub's log says so; one that returns without handing it on has lost it without a trace.
   */
  readonly deliver?: (world: World, delivery: Delivery) => Promise<void>
  /** Called after each write of a job. */
  readonly onJob?: (job: Job, before: Job | undefined) => void
  /** Puts something between a function and the doubles, before the latency: faults, for example. */
  readonly wrapPorts?: (ports: Ports, functionName: string) => Ports
  readonly computeFaults?: ComputeFaults
  /** How many builds the account runs at once; the others queue. */
  readonly buildsAtOnce?: number
  /** Events of AWS on their way to EventBridge: may be lost, late or doubled. By default each one passes at once. */
  readonly onEvent?: (world: World, event: unknown, pass: (event: unknown) => void) => void
}

/** Named as in serverless.yml. */
const FUNCTIONS: Readonly<
  Record<string, (ports: Ports, config: Config, stats: DashboardPorts['stats']) => LambdaHandler>
> = {
  webhook: (ports, config) => httpLambda(webhook(ports, config), ports),
  launch: (ports, config) => queueLambda(launch(ports, config), ports),
  lifecycle: (ports, config) => queueLambda(lifecycle(ports, config), ports),
  sweep: (ports, config) => scheduleLambda(sweep(ports, config), ports),
  notify: (ports, config, stats) =>
    scheduleLambda(notify({ ...ports, stats }, config, 'tornade local'), ports),
  slack: (ports, config, stats) =>
    httpLambda(slack({ ...ports, secrets: ports.chatSecrets, stats }, config, null), ports),
  // Open: what stands in front of it (functions/dashboard/access/) has nobody to let in here.
  dashboard: (ports, config, stats) =>
    handle(
      dashboard(
        { ...ports, stats },
        dashboardOptions(config, { notice: null, refreshSeconds: null, logs: null }),
      ),
    ),
}

export class World {
  readonly clock: SteppedClock
  readonly github: GitHubDouble
  readonly compute: LocalCompute
  readonly tickets: LocalTickets
  readonly ledger: LocalLedger
  readonly queues: Readonly<Record<QueueName, LocalQueue>>
  readonly metrics = new Map<MetricName, number>()
  readonly gauges = new Map<GaugeName, number>()
  /** What operators were told, oldest first. */
  readonly told: string[] = []
  /** Where commands are answered. */
  readonly chat = new LocalChat()
  /** What the functions are given, unless it is wrapped. */
  readonly ports: Ports
  readonly #stats = {
    deadLetters: async () => this.backlog.dead,
    // Its runners are doubles: they have no program, and so no version.
    runnerVersion: async () => null,
  }
  readonly #roleUses: RoleUse[] = []
  readonly #wiring: Wiring
  readonly #functions = new Map<string, LocalFunction>()
  /** The webhook function with queues that lead nowhere. */
  readonly #verifier: LocalFunction
  #requests = 0

  /** @throws TornadeError wiring-unknown */
  static async create(options: WorldOptions): Promise<World> {
    return new World(options, await wiringOf(options.config.region))
  }

  private constructor(options: WorldOptions, wiring: Wiring) {
    const { config, secret, log, speed = 1, jobSeconds = [30, 300] } = options
    this.#wiring = wiring
    this.ledger = new LocalLedger(options.onJob)
    this.clock = new SteppedClock(options.start)
    const { clock } = this
    const deliver = options.deliver ?? ((world, delivery) => world.accept(delivery))
    this.github = new GitHubDouble({
      clock,
      secret,
      speed,
      jobSeconds,
      deliver: delivery => deliver(this, delivery),
    })
    this.tickets = new LocalTickets(clock)
    this.compute = new LocalCompute({
      clock,
      github: this.github,
      tickets: this.tickets,
      emit: event => {
        const pass = (passed: unknown) => this.#emit(passed)
        if (options.onEvent) options.onEvent(this, event, pass)
        else pass(event)
      },
      ...(options.computeFaults ? { faults: options.computeFaults } : {}),
      ...(options.buildsAtOnce ? { buildsAtOnce: options.buildsAtOnce } : {}),
      region: wiring.region,
      ...wiring.names,
      speed,
      idleMinutes: config.runner.idleMinutes,
      policy: request => guardPolicy(request, config),
      onRoleUse: use => this.#roleUses.push(use),
    })
    const [launchQueue, eventsQueue] = (['launch', 'events'] as const).map(
      name => new LocalQueue(clock, wiring.queues.find(queue => queue.name === name)!),
    )
    this.queues = { launch: launchQueue!, events: eventsQueue! }
    const secrets = new LocalSecrets(secret)
    const doubles: Ports = {
      clock,
      log,
      metrics: {
        count: (name, value = 1) => void this.metrics.set(name, (this.metrics.get(name) ?? 0) + value),
        gauge: (name, value) => void this.gauges.set(name, value),
      },
      secrets,
      chatSecrets: secrets,
      notices: {
        post: async text => {
          this.told.push(text)
          return 'sent'
        },
      },
      replies: this.chat,
      queue: new LocalQueues(this.queues),
      compute: this.compute,
      runnerLog: this.compute,
      github: this.github,
      tickets: this.tickets,
      ledger: this.ledger,
    }
    this.ports = withLatency(clock, doubles)
    const { wrapPorts } = options
    for (const wired of wiring.functions) {
      const ports = wrapPorts ? withLatency(clock, wrapPorts(doubles, wired.name)) : this.ports
      this.#functions.set(wired.name, this.#connect(wired, ports, config))
    }
    const nowhere: Ports = { ...doubles, queue: { send: async () => {} } }
    this.#verifier = new LocalFunction(
      clock,
      { name: 'verifier', timeoutMs: 10_000 },
      FUNCTIONS.webhook!(nowhere, config, this.#stats),
    )
  }

  /** A request to the deployed HTTP endpoint. Unknown routes are API Gateway's own 404. */
  async request(
    method: string,
    path: string,
    headers: RequestHeaders,
    body: Uint8Array,
  ): Promise<HttpAnswer> {
    const route = routeOf(this.#wiring.functions, method, path.split('?')[0]!)
    if (!route)
      return httpAnswer({
        statusCode: 404,
        headers: { 'content-type': 'application/json' },
        body: '{"message":"Not Found"}',
      })
    return this.#invoke(this.#functions.get(route.name)!, method, path, headers, body, route.routeKey)
  }

  /** The same answer as the endpoint would give, without anything coming of it. */
  async verify(headers: RequestHeaders, body: Uint8Array): Promise<HttpAnswer> {
    return this.#invoke(this.#verifier, 'POST', '/webhook', headers, body)
  }

  /** Each time that the steps of a job ran with a role, oldest first. */
  get roleUses(): readonly RoleUse[] {
    return this.#roleUses
  }

  /** Messages that are still to be handled, or that gave up. */
  get backlog(): { readonly waiting: number; readonly dead: number } {
    const queues = Object.values(this.queues)
    const waiting = queues
      .map(queue => queue.depth())
      .reduce((sum, { visible, inFlight, delayed }) => sum + visible + inFlight + delayed, 0)
    return { waiting, dead: queues.reduce((sum, queue) => sum + queue.deadLetters.length, 0) }
  }

  async #invoke(
    target: LocalFunction,
    method: string,
    path: string,
    headers: RequestHeaders,
    body: Uint8Array,
    routeKey = `ANY ${path}`,
  ): Promise<HttpAnswer> {
    const options = { at: this.clock.now(), requestId: `local-${++this.#requests}`, routeKey }
    try {
      return httpAnswer(await target.invoke(httpEvent(body, headers, method, path, options)))
    } catch {
      return HTTP_FAILURE
    }
  }

  /** A delivery of the double to the endpoint, in process. @throws DeliveryRefused when it is not taken */
  async accept({ headers, body }: Delivery): Promise<void> {
    const { status } = await this.request('POST', '/webhook', headers, Buffer.from(body))
    if (status >= 300) throw new DeliveryRefused(status)
  }

  #connect(wired: Wiring['functions'][number], ports: Ports, config: Config): LocalFunction {
    const make = FUNCTIONS[wired.name]
    if (!make)
      throw new TornadeError(
        'wiring-unknown',
        `serverless.yml has a function ${wired.name} that the local stack does not know`,
      )
    const { name, timeoutMs, memoryMb, reservedConcurrency } = wired
    const target = new LocalFunction(
      this.clock,
      { name, timeoutMs, memoryMb, reservedConcurrency, region: this.#wiring.region },
      make(ports, config, this.#stats),
    )
    for (const { queue, ...mapping } of wired.queues) this.queues[queue].subscribe(target, mapping)
    for (const { everyMs } of wired.schedules) this.#schedule(target, everyMs)
    return target
  }

  #schedule(target: LocalFunction, everyMs: number): void {
    this.clock.after(everyMs, async () => {
      this.#schedule(target, everyMs)
      const at = this.clock.now()
      // A failed sweep is not repeated (maximumRetryAttempts: 0): the next one does its work.
      await target
        .invoke(scheduledEvent(at, `schedule-${at}`, target.name, this.#wiring.region))
        .catch(() => {})
    })
  }

  #emit(event: unknown): void {
    for (const { pattern, queue } of this.#wiring.rules) {
      if (matchesPattern(pattern, event)) this.queues[queue].send(event)
    }
  }
}
