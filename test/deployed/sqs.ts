/**
 * SQS with the queues of the compiled template, as far as one that sends to it can tell, and Lambda's reading of it: batches,
 * receives that are counted, records that come again once their time is over, and dead letters.
 */
import { randomUUID } from 'node:crypto'
import type { SQSEvent } from 'aws-lambda'
import { readSignature } from '../aws/wire/signature.ts'
import { type Asked, json, type Reply } from './gateway.ts'

export interface QueueSettings {
  readonly arn: string
  readonly url: string
  readonly region: string
  readonly visibilityMs: number
  readonly maxReceives: number
}

export interface Message {
  readonly id: string
  readonly body: string
  readonly sentAt: number
  receives: number
  dueAt: number
}

export class Queue {
  readonly settings: QueueSettings
  readonly messages: Message[] = []
  readonly deadLetters: Message[] = []
  /** All that was ever sent. */
  readonly sent: Message[] = []

  constructor(settings: QueueSettings) {
    this.settings = settings
  }

  put(body: string, now: number, delaySeconds = 0): Message {
    const message = { id: randomUUID(), body, sentAt: now, receives: 0, dueAt: now + delaySeconds * 1000 }
    this.messages.push(message)
    this.sent.push(message)
    return message
  }

  /** Messages that are due, oldest first; none of them comes again before the visibility timeout. */
  receive(now: number, most: number): Message[] {
    const due = this.messages.filter(({ dueAt }) => dueAt <= now).slice(0, most)
    for (const message of due) {
      message.receives++
      message.dueAt = now + this.settings.visibilityMs
    }
    return due
  }

  /** What Lambda does once an invocation is over. */
  settle(batch: readonly Message[], failed: ReadonlySet<string>): void {
    for (const message of batch) {
      if (failed.has(message.id) && message.receives < this.settings.maxReceives) continue
      this.messages.splice(this.messages.indexOf(message), 1)
      if (failed.has(message.id)) this.deadLetters.push(message)
    }
  }

  event(batch: readonly Message[]): SQSEvent {
    const { arn, region } = this.settings
    return {
      Records: batch.map(({ id, body, receives, sentAt }) => ({
        messageId: id,
        receiptHandle: Buffer.from(id).toString('base64'),
        body,
        attributes: {
          ApproximateReceiveCount: String(receives),
          SentTimestamp: String(sentAt),
          SenderId: 'AROAEXAMPLE:sender',
          ApproximateFirstReceiveTimestamp: String(sentAt),
        },
        messageAttributes: {},
        md5OfBody: '0'.repeat(32),
        eventSource: 'aws:sqs',
        eventSourceARN: arn,
        awsRegion: region,
      })),
    }
  }
}

/** SendMessage and SendMessageBatch, and how many dead letters there are. */
export function serveSqs(
  { operation, method, path, headers, body }: Asked,
  queues: readonly Queue[],
  now: number,
  secretOf: (accessKeyId: string) => string | undefined,
): Reply {
  const signed = readSignature({ method, path, headers, body: body.toString() }, secretOf)
  if (typeof signed === 'string' || signed.service !== 'sqs')
    return json(403, { __type: 'com.amazonaws.sqs#SignatureDoesNotMatch', message: String(signed) })
  const input = JSON.parse(body.toString())
  const dead = queues.find(({ settings }) => `${settings.url}-dead-letters` === input.QueueUrl)
  if (dead && operation === 'GetQueueAttributes')
    return json(200, { Attributes: { ApproximateNumberOfMessages: String(dead.deadLetters.length) } })
  const queue = queues.find(({ settings }) => settings.url === input.QueueUrl)
  if (!queue) return json(400, { __type: 'com.amazonaws.sqs#QueueDoesNotExist', message: 'no such queue' })
  const put = ({ MessageBody, DelaySeconds }: { MessageBody: string; DelaySeconds?: number }) =>
    queue.put(MessageBody, now, DelaySeconds).id
  switch (operation) {
    case 'SendMessage':
      return json(200, { MessageId: put(input) })
    case 'SendMessageBatch':
      return json(200, {
        Successful: input.Entries.map(
          (entry: { Id: string; MessageBody: string; DelaySeconds?: number }) => ({
            Id: entry.Id,
            MessageId: put(entry),
          }),
        ),
        Failed: [],
      })
    default:
      return json(400, { __type: 'com.amazonaws.sqs#UnsupportedOperation', message: operation })
  }
}
