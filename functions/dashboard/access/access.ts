/**
 * What stands in front of the deployed pages: sign-in by GitHub, sessions, and tokens for machines. Nothing that it does not
 * know of is let through, and what it needs and does not have closes it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { csrf } from 'hono/csrf'
import { HTTPException } from 'hono/http-exception'
import { clean } from '../../core/text.ts'
import { errorFields } from '../../lambda.ts'
import type { DashboardSecrets, Person, Ports, SignIn } from '../../ports.ts'
import { secured } from '../headers.ts'
import { localPath } from './next.ts'
import { notSetUpPage, refusedPage, signedInPage, signInPage, strangerPage } from './pages.ts'
import { isSame } from './seal.ts'
import {
  type Allowed,
  readPending,
  readSession,
  SESSION_SECONDS,
  type Session,
  SIGN_IN_SECONDS,
  sealPending,
  sealSession,
} from './session.ts'
import type { ViewerBindings } from './viewer.ts'

export type AccessPorts = Pick<Ports, 'clock' | 'log'> & {
  readonly secrets: () => Promise<DashboardSecrets>
  readonly signIn: SignIn
}

export interface Pages {
  fetch(request: Request, bindings: ViewerBindings): Response | Promise<Response>
}

const SESSION = 'tornade'
const SIGN_IN = 'tornade-signin'
/** The browser sends them to this host alone, over https, and keeps them from scripts. Lax: GitHub's way back carries them. */
const COOKIE = { prefix: 'host', path: '/', secure: true, httpOnly: true, sameSite: 'Lax' } as const
const HSTS = { 'strict-transport-security': 'max-age=31536000' }

/** Lines that name what an operator has to set. */
class NotSetUp extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('; '))
    this.faults = faults
  }
}

export function access(ports: AccessPorts, allowed: Allowed, pages: Pages): Hono {
  const { clock, log, secrets, signIn } = ports
  const isNobodyAllowed = allowed.users.length + allowed.organisations.length === 0
  const app = new Hono()
  const sameOrigin = csrf()

  app.use(secured(HSTS))
  app.get('/healthz', c => c.json({ ok: true }))
  app.use(async (c, next) => {
    const methods = c.req.path === '/signout' ? ['POST'] : ['GET', 'HEAD']
    if (methods.includes(c.req.method)) return next()
    c.header('allow', methods.join(', '))
    return isForMachines(c)
      ? c.json({ error: 'this can only be read' }, 405)
      : c.html(refusedPage('Not possible', 'This can only be read.', { again: false }), 405)
  })

  app.post('/signout', sameOrigin, c => {
    deleteCookie(c, SESSION, COOKIE)
    return c.redirect('/signin', 303)
  })

  app.get('/signin', async c => {
    if (isNobodyAllowed) return nobody(c)
    await settings()
    const session = await sessionOf(c)
    return c.html(session ? signedInPage(session) : signInPage(localPath(c.req.query('next'))))
  })

  app.get('/signin/github', async c => {
    if (isNobodyAllowed) return nobody(c)
    const { client, sessionKeys } = await settings()
    const [state, verifier] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')]
    const pending = { state, verifier, next: localPath(c.req.query('next')), at: clock.now() }
    setCookie(c, SIGN_IN, sealPending(pending, sessionKeys[0]), { ...COOKIE, maxAge: SIGN_IN_SECONDS })
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    return c.redirect(signIn.url(client.id, { state, challenge, redirectUri: redirectUri(c) }), 302)
  })

  app.get('/signin/callback', async c => {
    if (isNobodyAllowed) return nobody(c)
    const { client, sessionKeys } = await settings()
    const pending = readPending(getCookie(c, SIGN_IN, 'host') ?? '', sessionKeys, clock.now())
    const { state = '', code, error } = c.req.query()
    if (!pending || !isSame(state, pending.state))
      return c.html(
        refusedPage(
          'Not signed in',
          'This is not the sign-in that this browser began in the last ten minutes, or it was carried on already.',
        ),
        400,
      )
    // Once only, however it ends.
    deleteCookie(c, SIGN_IN, COOKIE)
    if (error !== undefined || !code)
      return c.html(refusedPage('Not signed in', 'GitHub was told not to say who you are.'), 403)
    const { verifier, next } = pending
    let person: Person | null
    let by: Session['by'] | 'unseen' | null
    try {
      person = await signIn.identify(client, { code, verifier, redirectUri: redirectUri(c) })
      by = person && (await admitted(person))
    } catch (failure) {
      log.error('GitHub could not be asked who somebody is', errorFields(failure))
      return c.html(
        refusedPage(
          'GitHub cannot be asked',
          'Its answer was not as it should be. The log of the dashboard says why.',
        ),
        502,
      )
    }
    if (person === null)
      return c.html(
        refusedPage(
          'Not signed in',
          'GitHub does not know this code, or does not any more: it works once, for ten minutes.',
        ),
        400,
      )
    const { id } = person
    const login = clean(person.login, 39)
    if (by === null || by === 'unseen') {
      deleteCookie(c, SESSION, COOKIE)
      log.warn('sign-in refused', {
        id,
        login,
        ...(by === 'unseen' ? { reason: 'the App may not see members' } : {}),
      })
      return c.html(strangerPage({ id, login }, by === 'unseen'), 403)
    }
    log.info('signed in', { id, login, by })
    const session = sealSession({ id, login, by, at: clock.now() }, sessionKeys[0])
    setCookie(c, SESSION, session, { ...COOKIE, maxAge: SESSION_SECONDS })
    return c.redirect(next, 303)
  })

  app.all('*', async c => {
    const authorization = c.req.header('authorization')
    if (isForMachines(c) && authorization !== undefined)
      return (await isToken(authorization)) ? pages.fetch(c.req.raw, {}) : unauthorized(c, true)
    const session = await sessionOf(c)
    if (session) return pages.fetch(c.req.raw, { viewer: { id: session.id, login: session.login } })
    if (isForMachines(c)) return unauthorized(c, false)
    const { pathname, search } = new URL(c.req.url)
    const next = localPath(pathname + search)
    return c.redirect(next === '/' ? '/signin' : `/signin?${new URLSearchParams({ next })}`, 303)
  })

  app.onError((error, c) => {
    if (error instanceof HTTPException)
      return c.html(
        refusedPage('Not possible', 'This came from another site than this one.', { again: false }),
        error.status,
      )
    const notSetUp = error instanceof NotSetUp
    log.error(
      'dashboard cannot say who may see it',
      notSetUp ? { code: 'config-unreadable', error: error.message } : errorFields(error),
    )
    if (isForMachines(c)) return c.json({ error: 'the dashboard is closed: its log says why' }, 503)
    return c.html(
      notSetUp
        ? notSetUpPage(error.faults)
        : refusedPage('Closed', 'Who may see this cannot be found out. The log of the dashboard says why.'),
      503,
    )
  })
  return app

  /** @throws NotSetUp */
  async function settings() {
    const { signIn: found } = await secrets()
    if ('faults' in found) throw new NotSetUp(found.faults)
    return found
  }

  async function sessionOf(c: Context): Promise<Session | null> {
    const cookie = getCookie(c, SESSION, 'host')
    if (!cookie || isNobodyAllowed) return null
    const { sessionKeys } = await settings()
    return readSession(cookie, sessionKeys, clock.now(), allowed)
  }

  /** By what; null for a stranger, and for one of whom that cannot be seen. */
  async function admitted(person: Person): Promise<Session['by'] | 'unseen' | null> {
    if (allowed.users.includes(person.id)) return 'user'
    if (allowed.organisations.length === 0) return null
    const theirs = await person.organisations()
    if (theirs === null) return 'unseen'
    return allowed.organisations.find(id => theirs.includes(id)) ?? null
  }

  /** All tokens are looked at, so that the time says nothing of which one it is. */
  async function isToken(authorization: string): Promise<boolean> {
    const [, given] = /^Bearer +([!-~]+)$/i.exec(authorization) ?? []
    const { tokens } = await secrets()
    return given !== undefined && tokens.filter(token => isSame(token, given)).length > 0
  }

  function nobody(c: Context) {
    const message =
      'Nobody may sign in: tornade.yml of this deployment names no one below dashboard.users and dashboard.organisations.'
    return c.html(refusedPage('Not set up yet', message, { again: false }), 403)
  }
}

/** Where GitHub sends them back to. API Gateway says what the host is, not the request. */
function redirectUri(c: Context): string {
  return `${new URL(c.req.url).origin}/signin/callback`
}

function unauthorized(c: Context, wrongToken: boolean) {
  c.header('www-authenticate', `Bearer realm="tornade"${wrongToken ? ', error="invalid_token"' : ''}`)
  return c.json({ error: 'a session or a bearer token is needed' }, 401)
}

function isForMachines(c: Context): boolean {
  return /^\/(?:api|metrics)(?:\/|$)/.test(c.req.path)
}
