/**
 * Tickets in memory. Functions store and remove them; only the runner whose key it is takes one, once: what is left
 * behind says that it was taken. Expired tickets go at once here; DynamoDB's TTL takes its time.
 */
import type { Tickets } from '../functions/ports.ts'
import type { LocalClock } from './clock.ts'

interface Ticket {
  /** null once it was taken. */
  encodedJitConfig: string | null
  readonly expiresAt: number
}

export class LocalTickets implements Tickets {
  readonly #clock: LocalClock
  readonly #tickets = new Map<string, Ticket>()

  constructor(clock: LocalClock) {
    this.#clock = clock
  }

  async put(ticketKey: string, encodedJitConfig: string, expiresAt: number): Promise<'stored' | 'exists'> {
    if (this.#live(ticketKey)) return 'exists'
    this.#tickets.set(ticketKey, { encodedJitConfig, expiresAt })
    return 'stored'
  }

  async has(ticketKey: string): Promise<boolean> {
    return this.#live(ticketKey) !== undefined
  }

  async remove(ticketKey: string): Promise<void> {
    this.#tickets.delete(ticketKey)
  }

  /** What the runner program does: the JIT config, the first time; null before it is there and ever after. */
  take(ticketKey: string): string | null {
    const ticket = this.#live(ticketKey)
    const config = ticket?.encodedJitConfig ?? null
    if (ticket) ticket.encodedJitConfig = null
    return config
  }

  /** Tickets that hold a JIT config. */
  get waiting(): number {
    return this.held().length
  }

  /** Their keys. */
  held(): string[] {
    return [...this.#tickets.keys()].filter(key => this.#live(key)?.encodedJitConfig != null)
  }

  #live(ticketKey: string): Ticket | undefined {
    const ticket = this.#tickets.get(ticketKey)
    if (ticket && ticket.expiresAt <= this.#clock.now()) this.#tickets.delete(ticketKey)
    return this.#tickets.get(ticketKey)
  }
}
