/**
 * The Lambda service on a laptop: invokes a handler with a context, a timeout and a concurrency limit, and
 * builds the events that API Gateway and EventBridge send.
 *
 * Where it is less than the real thing:
 * - No cold starts, no memory limit, no CPU share; one process holds all functions, so module state is shared.
 * - JavaScript cannot be stopped from outside. After its timeout an invocation counts as failed and its result is
 *   ignored, but what it still does (a port call, say) takes effect; Lambda would have ended the sandbox.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import type { APIGatewayProxyEventV2, Context, ScheduledEvent } from 'aws-lambda'
import type { LocalClock } from './clock.ts'

/** The account of the local stack; AWS's own example account, so that it can never be a real one. */
export const LOCAL_ACCOUNT = '123456789012'

/** Takes any handler: what a handler asks of its event is its own business, as on Lambda. */
export type LambdaHandler = (event: never, context: Context) => unknown

export interface FunctionSettings {
  readonly name: string
  readonly timeoutMs: number
  readonly memoryMb?: number
  readonly region?: string
  /** Invocations at once that Lambda lets this function have; null: no limit of its own. */
  readonly reservedConcurrency?: number | null
}

/**
 * Why an invocation failed: `function` (the handler threw, or answered what cannot be written as JSON), `timeout`,
 * or `throttled` (it never started). `errorType` is what Lambda would report.
 */
export class InvocationError extends Error {
  readonly kind: 'function' | 'timeout' | 'throttled'
  readonly errorType: string

  constructor(kind: InvocationError['kind'], errorType: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'InvocationError'
    this.kind = kind
    this.errorType = errorType
  }
}

export class LocalFunction {
  readonly #clock: LocalClock
  readonly #settings: FunctionSettings
  readonly #handler: LambdaHandler
  readonly #arn: string
  readonly #ids: () => string
  #running = 0

  constructor(clock: LocalClock, settings: FunctionSettings, handler: LambdaHandler) {
    this.#clock = clock
    this.#settings = settings
    this.#handler = handler
    this.#arn = `arn:aws:lambda:${settings.region ?? 'us-east-1'}:${LOCAL_ACCOUNT}:function:${settings.name}`
    this.#ids = guids(this.#arn)
  }

  get name(): string {
    return this.#settings.name
  }

  /** Invocations under way. */
  get running(): number {
    return this.#running
  }

  /**
   * Invokes the handler and waits for its answer. Event and answer pass through JSON, as they do on Lambda, so
   * neither side can change what the other holds; no answer is null. Throws InvocationError.
   */
  async invoke(event: unknown): Promise<unknown> {
    const limit = this.#settings.reservedConcurrency ?? Number.POSITIVE_INFINITY
    if (this.#running >= limit)
      throw new InvocationError('throttled', 'TooManyRequestsException', 'Rate Exceeded.')
    this.#running++
    try {
      return await this.#withTimeout(this.#context(), event)
    } finally {
      this.#running--
    }
  }

  async #withTimeout(context: Context, event: unknown): Promise<unknown> {
    const { promise: timeout, reject } = Promise.withResolvers<never>()
    const timer = this.#clock.after(this.#settings.timeoutMs, () => reject(this.#timedOut(context)))
    try {
      return await Promise.race([this.#run(context, event), timeout])
    } finally {
      timer.cancel()
    }
  }

  async #run(context: Context, event: unknown): Promise<unknown> {
    try {
      const handle = () => this.#handler(json(event) as never, context)
      return json(await invocations.run(context.awsRequestId, handle))
    } catch (error) {
      const { name, message } =
        error instanceof Error ? error : { name: typeof error, message: String(error) }
      throw new InvocationError('function', name, message, { cause: error })
    }
  }

  #timedOut(context: Context): InvocationError {
    const seconds = (this.#settings.timeoutMs / 1000).toFixed(2)
    const message = `RequestId: ${context.awsRequestId} Error: Task timed out after ${seconds} seconds`
    return new InvocationError('timeout', 'Sandbox.Timedout', message)
  }

  #context(): Context {
    const deadline = this.#clock.now() + this.#settings.timeoutMs
    const requestId = this.#ids()
    const { name, memoryMb = 1024 } = this.#settings
    return {
      callbackWaitsForEmptyEventLoop: true,
      functionName: name,
      functionVersion: '$LATEST',
      invokedFunctionArn: this.#arn,
      memoryLimitInMB: String(memoryMb),
      awsRequestId: requestId,
      logGroupName: `/aws/lambda/${name}`,
      logStreamName: `local/[$LATEST]${requestId}`,
      getRemainingTimeInMillis: () => Math.max(0, deadline - this.#clock.now()),
      // Callbacks ended with nodejs22.x: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
      done: noCallbacks,
      fail: noCallbacks,
      succeed: noCallbacks,
    }
  }
}

const invocations = new AsyncLocalStorage<string>()

/** Request id of the invocation on whose behalf this code runs; undefined outside of any. */
export function currentInvocation(): string | undefined {
  return invocations.getStore()
}

function noCallbacks(): never {
  throw new Error('nodejs24.x has no callbacks: return a promise')
}

function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null) ?? 'null')
}

/** Ids in the shape of GUIDs: the same ones in every run, others for every `seed`. */
export function guids(seed: string): () => string {
  const prefix = createHash('sha256').update(seed).digest('hex')
  const head = `${prefix.slice(0, 8)}-${prefix.slice(8, 12)}-4${prefix.slice(12, 15)}-8${prefix.slice(15, 18)}`
  let count = 0
  return () => `${head}-${(++count).toString(16).padStart(12, '0')}`
}

export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

export interface HttpRequestOptions {
  /** Time of the request, ms since 1970. */
  readonly at?: number
  readonly requestId?: string
  readonly sourceIp?: string
  /** Route that took the request, as serverless.yml spells it; by default ANY and the path. */
  readonly routeKey?: string
}

/**
 * A request as API Gateway's HTTP API hands it to a function (payload format 2.0): header names in lower case,
 * repeated ones joined by commas, cookies apart, the body a string for text and base64 for everything else.
 * `path` may hold a query string.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
export function httpEvent(
  raw: Uint8Array,
  headers: RequestHeaders,
  method: string,
  path: string,
  options: HttpRequestOptions = {},
): APIGatewayProxyEventV2 {
  const at = options.at ?? 0
  const { cookie, ...rest } = lowerCase(headers)
  const [rawPath = '/', ...query] = path.split('?')
  const rawQueryString = query.join('?')
  const routeKey = options.routeKey ?? `ANY ${rawPath}`
  return {
    version: '2.0',
    routeKey,
    rawPath,
    rawQueryString,
    ...(cookie === undefined ? {} : { cookies: cookie.split(/; */) }),
    headers: rest,
    ...(rawQueryString === '' ? {} : { queryStringParameters: parameters(rawQueryString) }),
    requestContext: {
      accountId: LOCAL_ACCOUNT,
      apiId: 'local',
      domainName: 'localhost',
      domainPrefix: 'local',
      http: {
        method,
        path: rawPath,
        protocol: 'HTTP/1.1',
        sourceIp: options.sourceIp ?? '127.0.0.1',
        userAgent: rest['user-agent'] ?? '',
      },
      requestId: options.requestId ?? 'local',
      routeKey,
      stage: '$default',
      time: commonLogTime(at),
      timeEpoch: at,
    },
    ...body(raw, rest['content-type']),
  }
}

function lowerCase(headers: RequestHeaders): Record<string, string> {
  const lower = new Map<string, string>()
  for (const [key, value] of Object.entries(headers)) {
    const name = key.toLowerCase()
    for (const one of typeof value === 'string' ? [value] : (value ?? [])) {
      const known = lower.get(name)
      lower.set(name, known === undefined ? one : `${known}${name === 'cookie' ? '; ' : ','}${one}`)
    }
  }
  return Object.fromEntries(lower)
}

function parameters(query: string): Record<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(query)) {
    const known = found.get(name)
    found.set(name, known === undefined ? value : `${known},${value}`)
  }
  return Object.fromEntries(found)
}

/** API Gateway takes these for text and anything else for binary: a form arrives in base64. */
const TEXT = /^(?:text\/|application\/(?:json|javascript|xml|[\w.-]+\+(?:json|xml)))/i

function body(raw: Uint8Array, contentType: string | undefined): { body?: string; isBase64Encoded: boolean } {
  if (raw.length === 0) return { isBase64Encoded: false }
  const text = TEXT.test(contentType ?? '') ? utf8(raw) : null
  if (text !== null) return { body: text, isBase64Encoded: false }
  return { body: Buffer.from(raw).toString('base64'), isBase64Encoded: true }
}

/** null when the bytes are no UTF-8. The byte order mark stays: the signature covers it. */
function utf8(raw: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    return null
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** 12/Mar/2026:19:03:58 +0000 */
function commonLogTime(at: number): string {
  const time = new Date(at).toISOString()
  return `${time.slice(8, 10)}/${MONTHS[Number(time.slice(5, 7)) - 1]}/${time.slice(0, 4)}:${time.slice(11, 19)} +0000`
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** What API Gateway sends for an invocation that failed; the reason stays inside. */
export const HTTP_FAILURE: HttpAnswer = {
  status: 500,
  headers: { 'content-type': 'application/json' },
  body: new TextEncoder().encode('{"message":"Internal Server Error"}'),
}

/**
 * What API Gateway sends for a function's answer: an object with `statusCode` is a response, anything else is the
 * body of a 200 in JSON (payload format 2.0), and a status that is no status makes a 500.
 */
export function httpAnswer(answer: unknown): HttpAnswer {
  if (!isResult(answer) || answer.statusCode === undefined) {
    const text = typeof answer === 'string' ? answer : JSON.stringify(answer ?? null)
    return {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: new TextEncoder().encode(text),
    }
  }
  const status = Number(answer.statusCode)
  if (!Number.isInteger(status) || status < 100 || status > 599) return HTTP_FAILURE
  const encoding = answer.isBase64Encoded === true ? 'base64' : 'utf8'
  const named = Object.entries(answer.headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    String(value),
  ])
  return {
    status,
    headers: Object.fromEntries(named),
    body: Buffer.from(String(answer.body ?? ''), encoding),
  }
}

interface HttpResult {
  readonly statusCode?: unknown
  readonly headers?: object | null
  readonly body?: unknown
  readonly isBase64Encoded?: unknown
}

function isResult(value: unknown): value is HttpResult {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a rule with a schedule sends at `at` (ms since 1970). */
export function scheduledEvent(at: number, id: string, rule: string, region = 'us-east-1'): ScheduledEvent {
  return {
    id,
    version: '0',
    account: LOCAL_ACCOUNT,
    time: `${new Date(at).toISOString().slice(0, 19)}Z`,
    region,
    resources: [`arn:aws:events:${region}:${LOCAL_ACCOUNT}:rule/${rule}`],
    source: 'aws.events',
    'detail-type': 'Scheduled Event',
    detail: {},
  }
}
