/** What every answer of the dashboard says to the browser that gets it. */
import { randomBytes } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { STYLE_HASH } from './style.ts'

export type Secured = { Variables: { nonce?: string } }

const HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

/**
 * No frame, nothing from anywhere else, and no script but those with the nonce: text that authors wrote has nothing to reach
 * for.
 * @param nonce of the page's own scripts; null where it has none
 */
export function securityPolicy(nonce: string | null): string {
  const scripts = nonce === null ? '' : `script-src 'nonce-${nonce}'; connect-src 'self'; img-src 'self'; `
  return `default-src 'none'; style-src '${STYLE_HASH}'; ${scripts}base-uri 'none'; form-action 'self'; frame-ancestors 'none'`
}

/** For the scripts of this answer: the policy lets them through once a page has asked for it. */
export function nonceOf(c: Context<Secured>): string {
  const nonce = c.get('nonce') ?? randomBytes(16).toString('base64')
  c.set('nonce', nonce)
  return nonce
}

/** Leaves alone what an app further in has said already. */
export function secured(more: Readonly<Record<string, string>> = {}): MiddlewareHandler<Secured> {
  return async (c, next) => {
    await next()
    const policy = securityPolicy(c.get('nonce') ?? null)
    for (const [name, value] of Object.entries({
      ...HEADERS,
      ...more,
      'content-security-policy': policy,
    })) {
      if (!c.res.headers.has(name)) c.res.headers.set(name, value)
    }
  }
}
