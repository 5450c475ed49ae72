/** What the doubles of single services share. */
import { createHash } from 'node:crypto'
import type { Exception } from './faults.ts'

/** An answer that is an error. */
export class WireException extends Error {
  readonly exception: Exception

  constructor(name: string, message: string, members: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.exception = { name, message, status: 400, members }
  }
}

export interface WireContext {
  readonly region: string
  readonly account: string
  readonly now: () => number
  /** Where EventBridge would send it. */
  readonly emit: (event: EventBridgeEvent) => void
}

export interface EventBridgeEvent {
  readonly version: '0'
  readonly id: string
  readonly 'detail-type': string
  readonly source: string
  readonly account: string
  readonly time: string
  readonly region: string
  readonly resources: readonly string[]
  readonly detail: Readonly<Record<string, unknown>>
}

export function envelope(
  { region, account, now }: WireContext,
  source: string,
  type: string,
  resource: string,
  detail: Readonly<Record<string, unknown>>,
): EventBridgeEvent {
  return {
    version: '0',
    id: uuid(`${resource} ${JSON.stringify(detail)}`),
    'detail-type': type,
    source,
    account,
    time: new Date(now()).toISOString(),
    region,
    resources: [resource],
    detail,
  }
}

/** The same for equal values, whatever the order of their members. */
export function fingerprint(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

export function hex(seed: string, length: number): string {
  return createHash('sha256').update(seed).digest('hex').slice(0, length)
}

export function uuid(seed: string): string {
  const h = hex(seed, 32)
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-4${h.slice(13, 16)}-8${h.slice(17, 20)}-${h.slice(20)}`
}

export type Input = Readonly<Record<string, unknown>>
/** AWS JSON writes times as seconds. */
export const seconds = (time: number | null): number | undefined => (time === null ? undefined : time / 1000)

/** Without the members that are undefined, as JSON has them. */
export function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T
}
