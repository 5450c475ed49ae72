/**
 * The queues on SQS, over its JSON protocol and with aws4fetch alone: the SDK's client would be most of the time in which
 * the webhook function starts.
 *
 * A message whose outcome is unknown is sent again, so it may arrive twice, as any message of a standard queue may.
 */
import { AwsClient } from 'aws4fetch'
import { TornadeError } from '../core/errors.ts'
import type { Queue, QueueMessage, QueueName } from '../ports.ts'

export interface SqsQueueSettings {
  /** Of those that the function uses. */
  readonly urls: Readonly<Partial<Record<QueueName, string>>>
  readonly region: string
  /** Where calls go, if not to the host of the queue's URL. */
  readonly endpoint?: string | undefined
  /** Of one try. Three of them, with the pauses, end within the 10 seconds that GitHub waits for an answer. */
  readonly timeoutMs?: number
}

/**
 * Of a message, and of all messages of a batch together.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
 */
export const MAX_BYTES = 1_048_576
const MAX_BATCH = 10
const MAX_DELAY_SECONDS = 900
const TRIES = 3
const TIMEOUT_MS = 2_500
const PAUSE_MS = 100

/** SQS did not take a message, and trying again did not help. */
export class SqsError extends Error {
  /** The code of SQS, or of the connection. */
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options)
    this.name = 'SqsError'
    this.code = code
  }
}

/** How many messages wait that no function could handle; `urls` are those of the dead-letter queues. */
export function countDeadLetters(
  urls: Readonly<Record<QueueName, string>>,
  region: string,
): () => Promise<number> {
  const given = new SqsQueue({ urls, region })
  return async () => (await given.depth('launch')) + (await given.depth('events'))
}

interface Entry {
  readonly Id: string
  readonly MessageBody: string
  readonly DelaySeconds?: number
}
interface BatchAnswer {
  readonly Successful?: readonly { readonly Id: string }[]
  readonly Failed?: readonly {
    readonly Id: string
    readonly SenderFault: boolean
    readonly Code: string
    readonly Message?: string
  }[]
}

export class SqsQueue implements Queue {
  readonly #settings: SqsQueueSettings
  #client: { readonly credentials: Credentials; readonly client: AwsClient } | null = null

  constructor(settings: SqsQueueSettings) {
    this.#settings = settings
  }

  /** @throws TornadeError message-invalid or payload-too-large, before anything is sent; SqsError */
  async send(queue: QueueName, messages: readonly QueueMessage[]): Promise<void> {
    const entries = messages.map(entry)
    const url = this.#url(queue)
    const [first] = entries
    if (first && entries.length === 1) {
      const { Id: _, ...message } = first
      await this.#call(url, 'SendMessage', message)
      return
    }
    const answers = await Promise.allSettled(batches(entries).map(batch => this.#sendBatch(url, batch)))
    const failed = answers.find(answer => answer.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** Messages that could be received now, about. @throws SqsError */
  async depth(queue: QueueName): Promise<number> {
    const answer = await this.#call(this.#url(queue), 'GetQueueAttributes', {
      AttributeNames: ['ApproximateNumberOfMessages'],
    })
    const { Attributes } = answer as { Attributes?: { ApproximateNumberOfMessages?: string } }
    return Number(Attributes?.ApproximateNumberOfMessages ?? 0)
  }

  #url(queue: QueueName): string {
    const url = this.#settings.urls[queue]
    if (url === undefined)
      throw new TornadeError('config-invalid', `this function was given no address of the queue ${queue}`)
    return url
  }

  /** Some messages of a batch may fail; what is not their own fault is sent again. */
  async #sendBatch(url: string, batch: readonly Entry[]): Promise<void> {
    let left = batch
    for (let count = 1; ; count++) {
      const answer = (await this.#call(url, 'SendMessageBatch', { Entries: left })) as BatchAnswer
      const sent = new Set(answer.Successful?.map(({ Id }) => Id))
      left = left.filter(({ Id }) => !sent.has(Id))
      const [fault = UNANSWERED] = answer.Failed ?? []
      if (left.length === 0) return
      if (count === TRIES || answer.Failed?.every(({ SenderFault }) => SenderFault)) {
        const what = `${left.length} of ${batch.length} messages were not taken`
        throw new SqsError(fault.Code, `${what}: ${fault.Message ?? 'no reason given'}`)
      }
      await pause(count)
    }
  }

  async #call(url: string, action: string, message: object): Promise<unknown> {
    const { endpoint = endpointOf(url) } = this.#settings
    const body = JSON.stringify({ QueueUrl: url, ...message })
    for (let count = 1; ; count++) {
      try {
        return await this.#once(endpoint, action, body)
      } catch (error) {
        if (count === TRIES || !(error instanceof Retryable)) throw plain(error)
        await pause(count)
      }
    }
  }

  async #once(endpoint: string, action: string, body: string): Promise<unknown> {
    const { timeoutMs = TIMEOUT_MS } = this.#settings
    const client = this.#signer()
    let status: number
    let text: string
    try {
      const response = await client.fetch(endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
        body,
        signal: AbortSignal.timeout(timeoutMs),
      })
      status = response.status
      text = await response.text()
    } catch (error) {
      const { name, message, cause } = error as Error
      const code = name === 'TimeoutError' ? name : ((cause as { code?: string } | undefined)?.code ?? name)
      throw new Retryable(code, `no answer from SQS: ${message}`, { cause: error })
    }
    if (status === 200) return readJson(text) ?? {}
    const { __type: type = `HTTP ${status}`, message = 'no reason given' } = readFault(text)
    const code = type.slice(type.lastIndexOf('#') + 1)
    const passing = status >= 500 || status === 429 || /Throttl|TooManyRequests|RequestTimeout/i.test(code)
    throw passing ? new Retryable(code, message) : new SqsError(code, message)
  }

  /** Keeps the signing key of the day; the credentials of a function change while it lives. */
  #signer(): AwsClient {
    const credentials = readCredentials()
    const known = this.#client
    if (
      known?.credentials.accessKeyId === credentials.accessKeyId &&
      known.credentials.secretAccessKey === credentials.secretAccessKey &&
      known.credentials.sessionToken === credentials.sessionToken
    )
      return known.client
    const client = new AwsClient({
      ...credentials,
      service: 'sqs',
      region: this.#settings.region,
      retries: 0,
    })
    this.#client = { credentials, client }
    return client
  }
}

/** A failure that may not come again. */
class Retryable extends SqsError {}

const UNANSWERED = { Code: 'NoAnswer', Message: 'SQS did not say what became of them' }

function plain(error: unknown): unknown {
  if (!(error instanceof Retryable)) return error
  return new SqsError(error.code, `${error.message.slice(error.code.length + 2)} (${TRIES} tries)`, {
    cause: error.cause,
  })
}

interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Lambda puts them into the environment. */
function readCredentials(): Credentials {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY) {
    throw new TornadeError(
      'config-invalid',
      'The environment has no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set',
    )
  }
  return {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    ...(AWS_SESSION_TOKEN ? { sessionToken: AWS_SESSION_TOKEN } : {}),
  }
}

/** As the SDK has it: the environment may name another one. */
function endpointOf(queueUrl: string): string {
  const { AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL } = process.env
  return new URL('/', AWS_ENDPOINT_URL_SQS || AWS_ENDPOINT_URL || queueUrl).href
}

function entry({ body, delaySeconds }: QueueMessage, index: number): Entry {
  const whole = delaySeconds === undefined || Number.isInteger(delaySeconds)
  if (!whole || (delaySeconds ?? 0) < 0 || (delaySeconds ?? 0) > MAX_DELAY_SECONDS) {
    throw new TornadeError(
      'message-invalid',
      `A message can be delayed by 0 to ${MAX_DELAY_SECONDS} whole seconds, not by ${delaySeconds}`,
    )
  }
  const text = messageText(body)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_BYTES)
    throw new TornadeError('payload-too-large', `The message has ${bytes} bytes; SQS takes ${MAX_BYTES}`)
  return { Id: String(index), MessageBody: text, ...(delaySeconds ? { DelaySeconds: delaySeconds } : {}) }
}

/**
 * SQS takes the characters of XML 1.0. JSON.stringify escapes control characters and lone surrogates; U+FFFE and U+FFFF
 * are escaped here, and pairs of surrogates too, which SQS takes and some of its doubles do not.
 */
function messageText(body: unknown): string {
  const text = stringify(body)
  if (text === undefined) throw new TornadeError('message-invalid', 'The body of a message is no JSON value')
  return text.replace(/[\uD800-\uDFFF\uFFFE\uFFFF]/g, unit => `\\u${unit.charCodeAt(0).toString(16)}`)
}

function stringify(body: unknown): string | undefined {
  try {
    return JSON.stringify(body)
  } catch {
    // A cycle, or a bigint.
    return undefined
  }
}

function batches(entries: readonly Entry[]): Entry[][] {
  const found: Entry[][] = []
  let bytes = 0
  for (const next of entries) {
    const more = Buffer.byteLength(next.MessageBody)
    const last = found.at(-1)
    if (last && last.length < MAX_BATCH && bytes + more <= MAX_BYTES) {
      last.push(next)
      bytes += more
    } else {
      found.push([next])
      bytes = more
    }
  }
  return found
}

function readFault(text: string): { readonly __type?: string; readonly message?: string } {
  const fault = readJson(text)
  if (typeof fault !== 'object' || fault === null) return {}
  const { __type, message, Message } = fault as Record<string, unknown>
  const words = message ?? Message
  return {
    ...(typeof __type === 'string' ? { __type } : {}),
    ...(typeof words === 'string' ? { message: words } : {}),
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // A proxy's error page, or nothing: the status says enough.
    return undefined
  }
}

function pause(count: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.random() * PAUSE_MS * 2 ** count))
}
