/** Deliveries as GitHub sends them: signed, with its headers, a moment after the event, once. */
import { sign } from '@octokit/webhooks-methods'
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

export class Webhooks {
  readonly #clock: LocalClock
  readonly #secret: string
  readonly #deliver: (delivery: Delivery) => Promise<void>
  #count = 0
  #undelivered = 0

  constructor(clock: LocalClock, secret: string, deliver: (delivery: Delivery) => Promise<void>) {
    this.#clock = clock
    this.#secret = secret
    this.#deliver = deliver
  }

  /** Deliveries whose receiver did not take them. */
  get undelivered(): number {
    return this.#undelivered
  }

  send(news: News): void {
    const number = ++this.#count
    this.#clock.after(DELAY_MS, async () => {
      const delivery = await this.#write(news, number)
      try {
        await this.#deliver(delivery)
      } catch {
        // GitHub logs a failed delivery and does not send it again:
        // https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
        this.#undelivered++
      }
    })
  }

  async #write(news: News, number: number): Promise<Delivery> {
    const { action, job, moment, envelope, base } = news
    const body = JSON.stringify(assemble(action, job, moment, envelope, base))
    const id = guid(`${this.#secret} ${this.#clock.now()} ${number}`)
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
