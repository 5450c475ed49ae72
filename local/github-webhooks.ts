/** Deliveries as GitHub sends them: signed, with its headers, a moment after the event, once. */
import { sign } from '@octokit/webhooks-methods'
import type { FailedDelivery } from '../functions/ports.ts'
import type { LocalClock } from './clock.ts'
import {
  assemble,
  type Envelope,
  hex,
  type JobIdentity,
  type PayloadJob,
  type PayloadMoment,
  type WorkflowJobAction,
} from './payloads.ts'

export interface Delivery {
  /** GUID, as in X-GitHub-Delivery. */
  readonly id: string
  readonly event: 'workflow_job'
  /** JSON; the signature is over exactly these characters in UTF-8. */
  readonly body: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/** What a delivery tells; the payload is built from it when it is sent. */
export interface News {
  readonly action: WorkflowJobAction
  readonly job: PayloadJob
  readonly moment: PayloadMoment
  readonly envelope: Envelope
  /** The `workflow_job` of the delivery that made the job known, for jobs that came from outside. */
  readonly base?: JobIdentity
}

/** From an event to its delivery. GitHub promises neither this delay nor any order. */
const DELAY_MS = 300

/** An answer of the receiver that was no success. Whatever else its caller throws is no answer at all. */
export class DeliveryRefused extends Error {
  readonly status: number

  constructor(status: number) {
    super(`delivery answered with ${status}`)
    this.name = 'DeliveryRefused'
    this.status = status
  }
}

/** An attempt to deliver, as the log has it. */
export interface Attempt extends FailedDelivery {
  /** What it would take to send it again; only failures have it, because payloads are large. */
  readonly again: (() => void) | null
}

/** How long the log keeps an attempt. */
const KEPT_MS = 3 * 24 * 60 * 60_000
/** What GitHub says where nobody answered. */
const NO_ANSWER = 502
const PER_PAGE = 100
/** Ids of deliveries are beyond 2^53, where a number would round them. */
const FIRST_ID = 90_071_992_547_409_931n

/**
 * Sends deliveries, once each, and keeps a log of all attempts.
 *
 * Whoever receives them decides what is lost: a `deliver` that throws fails with a trace in the log, and can be
 * asked for again; one that returns without passing the delivery on loses it without a trace.
 *
 * Fidelity: a delivery that was taken cannot be asked for again here; at GitHub it can.
 */
export class Webhooks {
  readonly #clock: LocalClock
  readonly #secret: string
  readonly #deliver: (delivery: Delivery) => Promise<void>
  /** By id, oldest first. */
  readonly #log = new Map<string, Attempt>()
  #count = 0
  #attempts = 0n
  #undelivered = 0

  constructor(clock: LocalClock, secret: string, deliver: (delivery: Delivery) => Promise<void>) {
    this.#clock = clock
    this.#secret = secret
    this.#deliver = deliver
  }

  /** Attempts that their receiver did not take. */
  get undelivered(): number {
    return this.#undelivered
  }

  /** All attempts that the log keeps, oldest first. */
  get log(): Iterable<FailedDelivery> {
    this.#forget()
    return this.#log.values()
  }

  send(news: News): void {
    const number = ++this.#count
    this.#clock.after(DELAY_MS, () => this.#attempt(news, number, this.#clock.now(), false))
  }

  /** The failures, newest first; `cursor` is the id of the last one of the page before. */
  failures(cursor: string | null): { deliveries: FailedDelivery[]; next: string | null } {
    this.#forget()
    const failed = [...this.#log.values()]
      .filter(({ id, statusCode }) => statusCode >= 400 && (cursor === null || BigInt(id) < BigInt(cursor)))
      .toReversed()
    const deliveries = failed.slice(0, PER_PAGE).map(({ again: _, ...attempt }) => attempt)
    return { deliveries, next: failed.length > PER_PAGE ? deliveries.at(-1)!.id : null }
  }

  redeliver(id: string): 'accepted' | 'gone' {
    this.#forget()
    const again = this.#log.get(id)?.again
    if (!again) return 'gone'
    this.#clock.after(DELAY_MS, again)
    return 'accepted'
  }

  async #attempt(news: News, number: number, firstAt: number, redelivery: boolean): Promise<void> {
    const delivery = await this.#write(news, number, firstAt)
    const attempt = {
      id: String(FIRST_ID + this.#attempts++),
      guid: delivery.id,
      deliveredAt: this.#clock.now(),
      redelivery,
      event: delivery.event,
      action: news.action,
      installationId: news.job.installationId,
      repositoryId: news.job.repository.id,
    }
    try {
      await this.#deliver(delivery)
      this.#log.set(attempt.id, { ...attempt, statusCode: 202, again: null })
    } catch (error) {
      // GitHub logs a failed delivery and does not send it again:
      // https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
      this.#undelivered++
      const statusCode = error instanceof DeliveryRefused ? error.status : NO_ANSWER
      const again = () => this.#attempt(news, number, firstAt, true)
      this.#log.set(attempt.id, { ...attempt, statusCode, again })
    }
  }

  #forget(): void {
    const oldest = this.#clock.now() - KEPT_MS
    for (const [id, { deliveredAt }] of this.#log) {
      if (deliveredAt >= oldest) return
      this.#log.delete(id)
    }
  }

  async #write(news: News, number: number, at: number): Promise<Delivery> {
    const { action, job, moment, envelope, base } = news
    const body = JSON.stringify(assemble(action, job, moment, envelope, base))
    const id = guid(`${this.#secret} ${at} ${number}`)
    return {
      id,
      event: 'workflow_job',
      body,
      headers: {
        accept: '*/*',
        'content-type': 'application/json',
        'user-agent': 'GitHub-Hookshot/7f3a2c1',
        'x-github-delivery': id,
        'x-github-event': 'workflow_job',
        'x-github-hook-id': '480000001',
        'x-github-hook-installation-target-id': '900001',
        'x-github-hook-installation-target-type': 'integration',
        'x-hub-signature-256': await sign(this.#secret, body),
      },
    }
  }
}

/** Looks like a random UUID, the same for the same seed. */
function guid(seed: string): string {
  const digits = hex(seed, 32)
  const groups = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `4${digits.slice(13, 16)}`,
    `a${digits.slice(17, 20)}`,
  ]
  return `${groups.join('-')}-${digits.slice(20)}`
}
