/**
 * How an event of Lambda becomes a call of a factory's function, and its outcome an answer. No SDK: the deployed
 * entries and the local stack use the same wrappers.
 */
import middy from '@middy/core'
import type {
  APIGatewayProxyEventV2,
  APIGatewayProxyStructuredResultV2,
  Context,
  SQSBatchResponse,
  SQSEvent,
} from 'aws-lambda'
import { TornadeError } from './core/errors.ts'
import type { Log, Metrics } from './ports.ts'

export interface Invocation {
  /** Unique per invocation: owner of the claims it makes. */
  readonly id: string
  readonly remainingMs: () => number
}

export interface HttpRequest {
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly query: Readonly<Record<string, string | undefined>>
  /** The body, byte for byte. */
  readonly body: Buffer
}
export interface HttpResponse {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface QueueRecord {
  readonly id: string
  /** 1 for the first time. */
  readonly receives: number
  readonly body: unknown
}
/** Ids of the records that must be delivered again. */
export type FailedRecords = readonly string[]

type Handler<Event, Result> = (event: Event, context: Context) => Promise<Result>

/** HTTP API, payload version 2.0. An error that nobody expected is a 500 without its text. */
export function httpLambda(
  handle: (request: HttpRequest) => Promise<HttpResponse>,
  { log }: { readonly log: Log },
): Handler<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2> {
  const wrapped = middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>()
    .use(logErrors(log))
    .onError(request => {
      request.response = json({ status: 500, body: { outcome: 'rejected', reason: 'internal error' } })
    })
    .handler(async (event: APIGatewayProxyEventV2) => json(await handle(readHttp(event))))
  return (event, context) => wrapped(event, context)
}

/** SQS with ReportBatchItemFailures: only the records that failed come back. */
export function queueLambda(
  handle: (records: readonly QueueRecord[], invocation: Invocation) => Promise<FailedRecords>,
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
): Handler<SQSEvent, SQSBatchResponse> {
  const wrapped = middy<SQSEvent, SQSBatchResponse>()
    .use(logErrors(log))
    .handler(async (event: SQSEvent, context: Context) => {
      const unreadable: string[] = []
      const records = event.Records.flatMap(({ messageId, body, attributes }) => {
        const parsed = parse(body)
        const receives = Number(attributes.ApproximateReceiveCount)
        if (parsed !== undefined) return [{ id: messageId, receives, body: parsed }]
        unreadable.push(messageId)
        if (receives === 1) log.error('message is not JSON', { code: 'message-invalid', message: messageId })
        return []
      })
      const failed = [
        ...unreadable,
        ...(records.length > 0 ? await handle(records, invocationOf(context)) : []),
      ]
      if (failed.length > 0) metrics.count('MessagesFailed', failed.length)
      return { batchItemFailures: failed.map(itemIdentifier => ({ itemIdentifier })) }
    })
  return (event, context) => wrapped(event, context)
}

export function scheduleLambda(
  handle: (invocation: Invocation) => Promise<void>,
  { log }: { readonly log: Log },
): Handler<unknown, void> {
  const wrapped = middy<unknown, void>()
    .use(logErrors(log))
    .handler(async (_event: unknown, context: Context) => handle(invocationOf(context)))
  return (event, context) => wrapped(event, context)
}

/** Runs `work` on every record by itself, and names the ones that threw. */
export async function eachRecord(
  records: readonly QueueRecord[],
  log: Log,
  work: (record: QueueRecord) => Promise<void>,
): Promise<string[]> {
  const failed: string[] = []
  await Promise.all(
    records.map(async record => {
      try {
        await work(record)
      } catch (error) {
        failed.push(record.id)
        const { id: message, receives } = record
        const fields = { message, receives, ...errorFields(error) }
        // It fails each time that it comes, and says so once.
        const known = fields.code === 'message-invalid' && receives > 1
        if (!known) log.error('message failed and will be delivered again', fields)
      }
    }),
  )
  return failed
}

export function errorFields(error: unknown): { code: string; error: string } {
  if (error instanceof TornadeError) return { code: error.code, error: error.message }
  return {
    code: 'unexpected',
    error: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
  }
}

function logErrors(log: Log): middy.MiddlewareObj {
  return {
    name: 'log-errors',
    onError: ({ error }) => log.error('invocation failed', errorFields(error)),
  }
}

function readHttp(event: APIGatewayProxyEventV2): HttpRequest {
  return {
    method: event.requestContext.http.method,
    path: event.rawPath,
    headers: Object.fromEntries(
      Object.entries(event.headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    query: event.queryStringParameters ?? {},
    body: Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8'),
  }
}

function json({ status, body, headers }: HttpResponse): APIGatewayProxyStructuredResultV2 {
  return {
    statusCode: status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function invocationOf(context: Context): Invocation {
  return { id: context.awsRequestId, remainingMs: () => context.getRemainingTimeInMillis() }
}
