/** The one secret of a local stack, which nobody rotates: GitHub signs with it, and Slack. */
import type { ChatSecrets, Secrets } from '../functions/ports.ts'

export class LocalSecrets implements Secrets, ChatSecrets {
  readonly #webhook: string

  constructor(webhook: string) {
    this.#webhook = webhook
  }

  async webhook(): Promise<readonly [string]> {
    return [this.#webhook]
  }

  async signing(): Promise<readonly [string]> {
    return [this.#webhook]
  }
}
