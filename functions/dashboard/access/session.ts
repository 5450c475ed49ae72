/** Who is signed in, and who is about to be. */
import type { Config } from '../../config.ts'
import { seal, unseal } from './seal.ts'

export const SESSION_SECONDS = 8 * 3600
/** GitHub's codes last as long. */
export const SIGN_IN_SECONDS = 600

export type Allowed = Config['dashboard']

export interface Session {
  readonly id: number
  readonly login: string
  /** What lets them in: their own id, or an organisation that they were a member of when they signed in. */
  readonly by: 'user' | number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** A browser that was sent to GitHub. */
export interface Pending {
  readonly state: string
  readonly verifier: string
  /** A path here. */
  readonly next: string
  readonly at: number
}

export const sealSession = (session: Session, key: string) => seal('session', session, key)
export const sealPending = (pending: Pending, key: string) => seal('sign-in', pending, key)

/** @returns null for what is none, too old, or of somebody who is not allowed any more */
export function readSession(
  text: string,
  keys: readonly string[],
  now: number,
  { users, organisations }: Allowed,
): Session | null {
  const session = unseal('session', text, keys) as Session | undefined
  if (!session || !isYoung(session.at, SESSION_SECONDS, now)) return null
  const { by, id } = session
  return (by === 'user' ? users.includes(id) : organisations.includes(by)) ? session : null
}

export function readPending(text: string, keys: readonly string[], now: number): Pending | null {
  const pending = unseal('sign-in', text, keys) as Pending | undefined
  return pending && isYoung(pending.at, SIGN_IN_SECONDS, now) ? pending : null
}

/** Clocks of two machines are never quite the same. */
const SKEW_MS = 60_000

function isYoung(at: number, seconds: number, now: number): boolean {
  return at <= now + SKEW_MS && now < at + seconds * 1000
}
