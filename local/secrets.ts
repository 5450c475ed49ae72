/** The one webhook secret of a local stack, which nobody rotates. */
import type { Secrets } from '../functions/ports.ts'

export class LocalSecrets implements Secrets {
  readonly #webhook: string

  constructor(webhook: string) {
    this.#webhook = webhook
  }

  async webhook(): Promise<readonly [string]> {
    return [this.#webhook]
  }
}
