/** The GitHub App's own credentials: JSON Web Tokens signed with its key, and the installation tokens that they buy. */
import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto'
import { createAppAuth } from '@octokit/auth-app'
import { TornadeError } from '../core/errors.ts'
import type { Clock } from '../ports.ts'
import type { Client } from './client.ts'

export interface AppKey {
  /** App id or client id. */
  readonly appId: string | number
  /** PEM, PKCS#1 (as GitHub gives it) or PKCS#8. */
  readonly privateKey: string
}

/** GitHub allows ten minutes, by its own clock; issued in the past, for the same reason. */
const LIFE_SECONDS = 540
const SKEW_SECONDS = 60

export type AppAuth = ReturnType<typeof createAppAuth>

/**
 * Octokit's own JWTs have no `jti`, so two of the same second are the same, and GitHub answers the second with 404:
 * https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5025
 */
export function appAuth({ appId, privateKey }: AppKey, clock: Clock, request: Client): AppAuth {
  const key = readKey(privateKey)
  return createAppAuth({
    appId,
    createJwt: async () => signed(appId, key, Math.floor(clock.now() / 1000)),
    request,
    // tokens.ts keeps tokens: by the clock, bounded, and one copy of each
    cache: { get: () => '', set: () => {} },
    log: { warn: () => {} },
  })
}

function signed(appId: string | number, key: KeyObject, now: number): { jwt: string; expiresAt: string } {
  const exp = now + LIFE_SECONDS
  const claims = { iss: String(appId), iat: now - SKEW_SECONDS, exp, jti: randomUUID() }
  const text = `${base64url({ alg: 'RS256', typ: 'JWT' })}.${base64url(claims)}`
  const signature = sign('sha256', Buffer.from(text), key).toString('base64url')
  return { jwt: `${text}.${signature}`, expiresAt: new Date(exp * 1000).toISOString() }
}

function readKey(pem: string): KeyObject {
  try {
    // A key in one line, as environment variables and parameter stores often hold it
    return createPrivateKey(pem.replaceAll('\\n', '\n'))
  } catch {
    // What OpenSSL says of a key is not for logs
    throw new TornadeError(
      'config-invalid',
      'The private key of the GitHub App cannot be read: store the .pem file as GitHub gave it.',
    )
  }
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
