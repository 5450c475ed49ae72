/**
 * SQS on a laptop: a standard queue with visibility timeout, delays, receive counts and dead letters, and the event
 * source mapping through which Lambda reads it. Driven by events: an idle queue sets no timer.
 *
 * Where it is kinder than the real thing:
 * - Order: messages come in the order in which they became visible. SQS promises no order.
 * - Duplicates: a message comes again only because it failed. SQS may deliver one twice for no reason.
 * - Batches are filled as far as messages are there; SQS often hands out fewer.
 * - Messages never expire; on AWS the retention period ends them, four days after they were sent by default.
 * - Without reportBatchItemFailures Lambda reads more slowly after errors; here the pace never changes.
 */
import { createHash } from 'node:crypto'
import type { SQSEvent, SQSRecord } from 'aws-lambda'
import type { Queue, QueueMessage, QueueName } from '../functions/ports.ts'
import type { LocalClock, Timer } from './clock.ts'
import { guids, InvocationError } from './lambda.ts'

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html */
export const MAX_MESSAGE_BYTES = 1_048_576
export const MAX_DELAY_SECONDS = 900

/** Lambda stops filling a batch here: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const MAX_BATCH_BYTES = 6_291_456

/** What SQS does not take in a body, of all that JSON can hold: its characters are those of XML 1.0. */
const FORBIDDEN = /[\uFFFE\uFFFF]/

/** Stands for the long poll that notices a message and the hand-over to the function; measured nowhere. */
const PICK_UP_MS = 20

/** Pause before Lambda hands a throttled batch to the function again; AWS names no figure. */
const THROTTLE_RETRY_MS = 1_000

/** A mapping without a limit of its own: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html */
const DEFAULT_CONCURRENCY = 1_000

export interface QueueSettings {
  readonly arn: string
  readonly visibilityTimeoutMs: number
  /** Deliveries after which a message becomes a dead letter; null: it comes again for ever. */
  readonly maxReceiveCount: number | null
}

export interface Mapping {
  /** 1–10. */
  readonly batchSize: number
  /** False is what forgetting `functionResponseType` gives: then the answer of the function is not read at all. */
  readonly reportBatchItemFailures: boolean
  /** null: as far as Lambda goes. */
  readonly maximumConcurrency: number | null
}

/** What a mapping hands its batches to: a LocalFunction, or anything that can be invoked like one. */
export interface Consumer {
  invoke(event: SQSEvent): Promise<unknown>
}

export interface DeadLetter {
  readonly messageId: string
  readonly body: string
  readonly sentAt: number
  readonly deadAt: number
  readonly receiveCount: number
  /** Why the last delivery failed. */
  readonly reason: string
}

/** A call that SQS refuses; `name` is the code of its error. */
export class SqsError extends Error {
  constructor(code: 'InvalidMessageContents' | 'InvalidParameterValue', message: string) {
    super(message)
    this.name = code
  }
}

interface Message {
  readonly id: string
  readonly body: string
  readonly bytes: number
  readonly sentAt: number
  firstReceivedAt: number
  receiveCount: number
  reason: string
}

/** One delivery of a batch. A message that comes again belongs to its newest receipt, as SQS has it. */
interface Receipt {
  readonly messages: readonly Message[]
  readonly expiresAt: number
  expiry: Timer
}

interface Subscription {
  readonly consumer: Consumer
  readonly mapping: Mapping
  running: number
}

export class LocalQueue {
  readonly #clock: LocalClock
  readonly #settings: QueueSettings
  readonly #region: string
  readonly #ids: () => string
  /** All messages that are neither deleted nor dead, oldest first. */
  readonly #messages = new Map<string, Message>()
  readonly #visible = new Fifo<Message>()
  readonly #receipts = new Map<Message, Receipt>()
  #delayed = 0
  #subscription: Subscription | null = null
  #pickUp: Timer | null = null
  #deadLetters: DeadLetter[] = []

  constructor(clock: LocalClock, settings: QueueSettings) {
    this.#clock = clock
    this.#settings = settings
    this.#region = settings.arn.split(':')[3] ?? 'us-east-1'
    this.#ids = guids(settings.arn)
  }

  get arn(): string {
    return this.#settings.arn
  }

  /**
   * Takes a message whose body is `body` as JSON, to be seen after 0–900 whole seconds; answers its id. Throws
   * SqsError for what SQS would refuse.
   */
  send(body: unknown, delaySeconds = 0): string {
    if (!Number.isInteger(delaySeconds) || delaySeconds < 0 || delaySeconds > MAX_DELAY_SECONDS) {
      throw new SqsError(
        'InvalidParameterValue',
        `DelaySeconds is 0 to ${MAX_DELAY_SECONDS}, not ${delaySeconds}`,
      )
    }
    return this.#enqueue(messageText(body), delaySeconds * 1000)
  }

  /** Connects the queue with a function; one queue has one mapping. */
  subscribe(consumer: Consumer, mapping: Mapping): void {
    if (this.#subscription) throw new Error(`${this.arn} has a consumer already`)
    this.#subscription = { consumer, mapping, running: 0 }
    this.#schedulePickUp()
  }

  /** Visible: to be had now; in flight: handed out and not yet deleted; delayed: not to be seen yet. */
  depth(): { visible: number; inFlight: number; delayed: number } {
    return { visible: this.#visible.length, inFlight: this.#receipts.size, delayed: this.#delayed }
  }

  /** Age of the oldest message that is neither deleted nor dead; 0 when there is none. */
  oldestAgeMs(): number {
    const [oldest] = this.#messages.values()
    return oldest ? this.#clock.now() - oldest.sentAt : 0
  }

  get deadLetters(): readonly DeadLetter[] {
    return this.#deadLetters
  }

  /**
   * Sends the dead letters again and answers how many they were. They are new messages, with ids, times and counts
   * of their own: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
   */
  redrive(): number {
    const letters = this.#deadLetters
    this.#deadLetters = []
    for (const letter of letters) this.#enqueue(letter.body, 0)
    return letters.length
  }

  #enqueue(body: string, delayMs: number): string {
    const bytes = Buffer.byteLength(body)
    const now = this.#clock.now()
    const message: Message = {
      id: this.#ids(),
      body,
      bytes,
      sentAt: now,
      firstReceivedAt: 0,
      receiveCount: 0,
      reason: '',
    }
    this.#messages.set(message.id, message)
    if (delayMs === 0) this.#show(message)
    else {
      this.#delayed++
      this.#clock.after(delayMs, () => {
        this.#delayed--
        this.#show(message)
      })
    }
    return message.id
  }

  #show(message: Message): void {
    this.#visible.push(message)
    this.#schedulePickUp()
  }

  #schedulePickUp(): void {
    const subscription = this.#subscription
    if (!subscription || this.#pickUp || this.#visible.length === 0) return
    if (subscription.running >= limit(subscription)) return
    this.#pickUp = this.#clock.after(PICK_UP_MS, () => {
      this.#pickUp = null
      this.#handOut(subscription)
    })
  }

  #handOut(subscription: Subscription): void {
    while (subscription.running < limit(subscription)) {
      const batch = this.#receive(subscription.mapping.batchSize)
      if (batch.length === 0) return
      this.#deliver(subscription, batch)
    }
  }

  /** Takes up to `count` visible messages; those that were received often enough become dead letters here, as on SQS. */
  #receive(count: number): Message[] {
    const batch: Message[] = []
    let bytes = 0
    while (batch.length < count) {
      const message = this.#visible.peek()
      if (!message || (batch.length > 0 && bytes + message.bytes > MAX_BATCH_BYTES)) break
      this.#visible.shift()
      if (message.receiveCount >= (this.#settings.maxReceiveCount ?? Number.POSITIVE_INFINITY))
        this.#bury(message)
      else {
        bytes += message.bytes
        batch.push(message)
      }
    }
    return batch
  }

  #bury(message: Message): void {
    this.#messages.delete(message.id)
    const { id: messageId, body, sentAt, receiveCount, reason } = message
    this.#deadLetters.push({ messageId, body, sentAt, deadAt: this.#clock.now(), receiveCount, reason })
  }

  #deliver(subscription: Subscription, messages: readonly Message[]): void {
    const now = this.#clock.now()
    const expiresAt = now + this.#settings.visibilityTimeoutMs
    const receipt: Receipt = {
      messages,
      expiresAt,
      expiry: this.#clock.at(expiresAt, () => this.#expire(receipt)),
    }
    for (const message of messages) {
      message.receiveCount++
      message.firstReceivedAt ||= now
      this.#receipts.set(message, receipt)
    }
    subscription.running++
    void this.#invoke(subscription, receipt).finally(() => {
      subscription.running--
      this.#schedulePickUp()
    })
  }

  async #invoke(subscription: Subscription, receipt: Receipt): Promise<void> {
    const event = { Records: receipt.messages.map(message => this.#record(message)) }
    const ids = receipt.messages.map(message => message.id)
    try {
      const answer = await this.#untilAdmitted(subscription.consumer, event, receipt)
      this.#settle(receipt, failures(answer, ids, subscription.mapping))
    } catch (error) {
      this.#settle(receipt, new Map(ids.map(id => [id, reason(error)])))
    }
  }

  /**
   * A throttled invocation is tried again until the messages are visible again; that costs no receive.
   * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
   */
  async #untilAdmitted(consumer: Consumer, event: SQSEvent, receipt: Receipt): Promise<unknown> {
    for (;;) {
      try {
        return await consumer.invoke(event)
      } catch (error) {
        const throttled = error instanceof InvocationError && error.kind === 'throttled'
        if (!throttled || this.#clock.now() + THROTTLE_RETRY_MS >= receipt.expiresAt) throw error
        await this.#clock.sleep(THROTTLE_RETRY_MS)
      }
    }
  }

  /** Deletes what went well. The rest stays hidden for what is left of its visibility timeout: Lambda does not cut it short. */
  #settle(receipt: Receipt, failed: ReadonlyMap<string, string>): void {
    for (const message of receipt.messages) {
      if (this.#receipts.get(message) !== receipt) continue
      const why = failed.get(message.id)
      if (why === undefined) {
        this.#receipts.delete(message)
        this.#messages.delete(message.id)
      } else message.reason = why
    }
    if (failed.size === 0) receipt.expiry.cancel()
  }

  #expire(receipt: Receipt): void {
    for (const message of receipt.messages) {
      if (this.#receipts.get(message) !== receipt) continue
      this.#receipts.delete(message)
      this.#show(message)
    }
  }

  #record(message: Message): SQSRecord {
    return {
      messageId: message.id,
      receiptHandle: `${message.id}/${message.receiveCount}`,
      body: message.body,
      attributes: {
        ApproximateReceiveCount: String(message.receiveCount),
        SentTimestamp: String(message.sentAt),
        SenderId: 'AROAEXAMPLELOCALSTACK:tornade',
        ApproximateFirstReceiveTimestamp: String(message.firstReceivedAt),
      },
      messageAttributes: {},
      md5OfBody: createHash('md5').update(message.body).digest('hex'),
      eventSource: 'aws:sqs',
      eventSourceARN: this.arn,
      awsRegion: this.#region,
    }
  }
}

/** The port over local queues. Like the real one it takes any number of messages. */
export class LocalQueues implements Queue {
  readonly #queues: Readonly<Record<QueueName, LocalQueue>>

  constructor(queues: Readonly<Record<QueueName, LocalQueue>>) {
    this.#queues = queues
  }

  async send(queue: QueueName, messages: readonly QueueMessage[]): Promise<void> {
    for (const { body, delaySeconds } of messages) this.#queues[queue].send(body, delaySeconds)
  }
}

function limit({ mapping }: Subscription): number {
  return mapping.maximumConcurrency ?? DEFAULT_CONCURRENCY
}

function messageText(body: unknown): string {
  const text = JSON.stringify(body)
  if (text === undefined) throw new SqsError('InvalidMessageContents', 'The body is no JSON value')
  if (FORBIDDEN.test(text))
    throw new SqsError('InvalidMessageContents', 'The body has U+FFFE or U+FFFF in it')
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_MESSAGE_BYTES) {
    throw new SqsError('InvalidParameterValue', `The body has ${bytes} bytes; SQS takes ${MAX_MESSAGE_BYTES}`)
  }
  return text
}

/**
 * Which messages of a batch failed, by id, and why. An answer that cannot be read fails the whole batch.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */
function failures(answer: unknown, ids: readonly string[], mapping: Mapping): ReadonlyMap<string, string> {
  if (!mapping.reportBatchItemFailures) return new Map()
  const reported = reportedIds(answer)
  const unreadable = reported === null || reported.some(id => !ids.includes(id))
  if (unreadable)
    return new Map(ids.map(id => [id, 'the function answered no list of failed messages of its batch']))
  return new Map(reported.map(id => [id, 'reported by the function in batchItemFailures']))
}

/** Nothing, or nothing in the list, is success; null is an answer that Lambda cannot read. */
function reportedIds(answer: unknown): readonly string[] | null {
  if (answer === undefined || answer === null || answer === '') return []
  if (typeof answer !== 'object') return null
  const list = 'batchItemFailures' in answer ? (answer.batchItemFailures ?? null) : null
  if (list === null) return []
  if (!Array.isArray(list)) return null
  const ids = list.map((item: { itemIdentifier?: unknown } | null) => item?.itemIdentifier)
  return ids.every(id => typeof id === 'string' && id !== '') ? (ids as string[]) : null
}

function reason(error: unknown): string {
  if (error instanceof InvocationError) return `${error.errorType}: ${error.message}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** First in, first out, in constant time at both ends. */
class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.#head === this.#items.length) return undefined
    this.#items[this.#head++] = undefined
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }
}
