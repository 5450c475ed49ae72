/**
 * Values in the browser's hands that it can read and not change: HMAC-SHA256, with the id of the key so that keys can be
 * rotated. `<key id>.<JSON in base64url>.<MAC in base64url>`
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** What a value was sealed for: one for a sign-in is no session. */
export type Purpose = 'session' | 'sign-in'

export function seal(purpose: Purpose, value: object, key: string): string {
  const head = `${keyId(key)}.${Buffer.from(JSON.stringify(value)).toString('base64url')}`
  return `${head}.${mac(purpose, head, key)}`
}

/** @returns undefined for what was not sealed by one of the keys, for this purpose, just so */
export function unseal(purpose: Purpose, text: string, keys: readonly string[]): unknown {
  const [, head, id, payload, given] = /^(([\w-]{8})\.([\w-]+))\.([\w-]{43})$/.exec(text) ?? []
  if (head === undefined || payload === undefined || given === undefined) return undefined
  const key = keys.find(one => keyId(one) === id)
  // As text: of a MAC in base64 several spellings mean the same bytes.
  if (key === undefined || !isSame(given, mac(purpose, head, key))) return undefined
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

/** In a time that says nothing of where two texts differ. */
export function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b))
}

function mac(purpose: Purpose, head: string, key: string): string {
  return createHmac('sha256', key).update(`tornade ${purpose} ${head}`).digest('base64url')
}

function keyId(key: string): string {
  return digest(`tornade key ${key}`).toString('base64url').slice(0, 8)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
