/** What people asked to have changed, and what became of it. */
import type { Sender } from './chat.ts'
import { clean } from './text.ts'

export type AuditAction =
  | { readonly kind: 'rerun'; readonly jobId: number; readonly attempt: number | null }
  | { readonly kind: 'deploy'; readonly app: string; readonly branch: string }

/**
 * asked: it waits to be done. working: GitHub is being asked. done, failed: GitHub said so. refused: it was never
 * tried. unknown: GitHub was asked, and its answer is not known.
 */
export type AuditOutcome = 'asked' | 'working' | 'done' | 'failed' | 'refused' | 'unknown'

export interface AuditEntry {
  /** The same for the same request. */
  readonly key: string
  readonly version: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** When its outcome became what it is. */
  readonly since: number
  readonly by: Sender & { readonly via: 'slack' }
  readonly action: AuditAction
  readonly outcome: AuditOutcome
  /** Why it was not done. */
  readonly message: string | null
  /** The message in the channel that tells of it; null where there is none. What comes of it is answered below. */
  readonly thread: string | null
}

/** Later it is not what was meant any more; Slack takes answers for half an hour. */
export const ASKED_FOR_MS = 15 * 60_000
/** More than the function that asks GitHub may take. */
const WORKING_MS = 120_000
const LONGEST_MESSAGE = 300

export function asked(
  key: string,
  by: Sender,
  action: AuditAction,
  now: number,
  refusal: string | null = null,
): AuditEntry {
  return {
    key,
    version: 1,
    at: now,
    since: now,
    by: { via: 'slack', ...by },
    action:
      action.kind === 'deploy'
        ? { ...action, app: clean(action.app), branch: clean(action.branch, 244) }
        : action,
    outcome: refusal === null ? 'asked' : 'refused',
    message: refusal,
    thread: null,
  }
}

export function isSettled({ outcome }: AuditEntry): boolean {
  return outcome !== 'asked' && outcome !== 'working'
}

/** Somebody else does it just now. */
export function isAtWork({ outcome, since }: AuditEntry, now: number): boolean {
  return outcome === 'working' && now - since < WORKING_MS
}

export function withOutcome(
  entry: AuditEntry,
  outcome: AuditOutcome,
  now: number,
  message: string | null = null,
): AuditEntry {
  return { ...entry, outcome, since: now, message: message === null ? null : clean(message, LONGEST_MESSAGE) }
}

/** A document of `GET /api/audit`. */
export function apiAudit({ at, by, action, outcome, message }: AuditEntry) {
  return { at: new Date(at).toISOString(), by, action, outcome, message }
}
