/** Typed errors. Every code is stable: logs, metrics and docs name it. docs/errors.md says what each one means. */

/** Of a TornadeError, and of the log line about it. */
export const ERROR_CODES = [
  'config-invalid',
  'config-unreadable',
  'signature-missing',
  'signature-wrong',
  'signature-old',
  'payload-not-json',
  'payload-invalid',
  'payload-too-large',
  'content-type',
  'github-failed',
  'github-paused',
  'ledger-contention',
  'notice-failed',
  'message-invalid',
  'wiring-unknown',
  'input-unreadable',
  'usage',
] as const
export type ErrorCode = (typeof ERROR_CODES)[number]

/** Of log lines about what is no TornadeError. */
export const LOG_CODES = ['unexpected', 'runner-unknown', 'ledger-item-unreadable'] as const

/** Why a job is refused. */
export const REFUSE_CODES = [
  'labels',
  'role',
  'start-failed',
  'spend-limit',
  'quota',
  'provider-refused',
  'github-refused',
  'fork',
] as const
export type RefuseCode = (typeof REFUSE_CODES)[number]

/** Why a job waits. */
export const DEFER_REASONS = [
  'total-limit',
  'repository-limit',
  'github-pace',
  'no-capacity',
  'throttled',
  'paused',
  'role-limit',
  'spend-limit',
  'starts-per-hour',
  'replacement-limit',
  'start-failed',
  'quota',
] as const
export type DeferReason = (typeof DEFER_REASONS)[number]

/** An error that a person reads: `message` says what is wrong and what to do next. */
export class TornadeError extends Error {
  readonly code: ErrorCode
  /** One line each, where several things are wrong at once. */
  readonly details: readonly string[]

  constructor(code: ErrorCode, message: string, details: readonly string[] = [], options?: ErrorOptions) {
    super(message, options)
    this.name = 'TornadeError'
    this.code = code
    this.details = details
  }
}

/** Nothing was done, because whoever was asked has had enough: the same can be asked again after that time. */
export interface Paused {
  readonly retryAfterSeconds: number
}

/** Seconds to wait, where `error` asks for that; null for every other failure. */
export function pauseAskedFor(error: unknown): number | null {
  const paused = error instanceof TornadeError && error.code === 'github-paused'
  return paused ? (error as TornadeError & Paused).retryAfterSeconds : null
}
