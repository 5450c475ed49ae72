/** CloudWatch Logs as far as the end of a stream needs it. */
import { type Input, WireException } from './service.ts'

export class WireLogs {
  /** Group and stream → messages with their times, oldest first. */
  readonly #streams = new Map<string, { readonly timestamp: number; readonly message: string }[]>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  write(group: string, stream: string, ...messages: readonly string[]): void {
    const key = `${group}\n${stream}`
    const events = messages.map(message => ({ timestamp: this.#now(), message }))
    this.#streams.set(key, [...(this.#streams.get(key) ?? []), ...events])
  }

  /** One page, the last one unless `startFromHead`. */
  getLogEvents(input: Input): Record<string, unknown> {
    const all = this.#streams.get(`${input.logGroupName}\n${input.logStreamName}`)
    if (!all) throw new WireException('ResourceNotFoundException', 'The specified log stream does not exist.')
    const limit = (input.limit as number | undefined) ?? 10_000
    const page = input.startFromHead === true ? all.slice(0, limit) : all.slice(-limit)
    return {
      events: page.map(event => ({ ...event, ingestionTime: event.timestamp })),
      nextForwardToken: `f/${'0'.repeat(56)}/s`,
      nextBackwardToken: `b/${'0'.repeat(56)}/s`,
    }
  }
}
