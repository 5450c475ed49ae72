/** Who gets in to the deployed dashboard: over HTTP, with GitHub's site and API beside it. */
import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { serve } from '@hono/node-server'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { access } from '../functions/dashboard/access/access.ts'
import { localPath } from '../functions/dashboard/access/next.ts'
import { seal, unseal } from '../functions/dashboard/access/seal.ts'
import {
  type Pending,
  type Session,
  sealPending,
  sealSession,
} from '../functions/dashboard/access/session.ts'
import { signOutForm, viewerOf } from '../functions/dashboard/access/viewer.ts'
import { nonceOf, secured } from '../functions/dashboard/headers.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { createSignIn } from '../functions/github/sign-in.ts'
import type { DashboardSecrets, Fields } from '../functions/ports.ts'
import { LocalLedger } from '../local/ledger.ts'
import { startServer } from './github/harness.ts'
import { Browser } from './support/browser.ts'
import type { GitHubServer, ServerUser } from './support/github-server.ts'
import { GitHubWeb } from './support/github-web.ts'

const CLIENT = { id: 'Iv23liCLIENT', secret: 'canary-client-secret-0123456789abcdef' }
const KEY = 'canary-session-key-0123456789abcdef'
const OLD_KEY = 'canary-session-key-of-before-0123456789'
const TOKEN = 'canary-token-of-prometheus-0123456789'
const NEXT_TOKEN = 'canary-token-of-tomorrow-0123456789'

const ADA: ServerUser = { id: 583231, login: 'ada', memberships: [] }
const GRACE: ServerUser = { id: 42, login: 'grace', memberships: [{ id: 9919, login: 'acme' }] }
const STRANGER: ServerUser = { id: 666, login: 'mallory', memberships: [{ id: 1, login: 'evil' }] }
const ALLOWED = { users: [ADA.id], organisations: [9919] }
const HOURS = 3_600_000

let server: GitHubServer
let web: GitHubWeb
let clock: { time: number; now(): number }
let site: Site
let logged: { level: string; message: string; fields: Fields | undefined }[]
let secrets: DashboardSecrets | Error
let browser: Browser

const FOUND: DashboardSecrets = {
  tokens: [TOKEN, NEXT_TOKEN],
  signIn: { client: CLIENT, sessionKeys: [KEY, OLD_KEY] },
}

interface Site {
  readonly url: string
  readonly host: string
  close(): Promise<void>
}

/** The dashboard as it is deployed, but for Lambda. */
async function deploy(allowed = ALLOWED, timeoutMs = 5_000): Promise<Site> {
  const line = (level: string) => (message: string, fields?: Fields) =>
    void logged.push({ level, message, fields })
  const log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  const ports = {
    clock,
    log,
    ledger: new LocalLedger(),
    stats: { deadLetters: async () => 0, runnerVersion: async () => null },
  }
  const pages = dashboard(
    ports,
    dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null }),
  )
  pages.get('/who', secured(), c => {
    const viewer = viewerOf(c)
    return c.html(`<script nonce="${nonceOf(c)}"></script>${viewer ? signOutForm(viewer) : 'a machine'}`)
  })
  pages.get('/api/who', c => c.json(viewerOf(c)))
  const app = access(
    {
      clock,
      log,
      secrets: async () => {
        if (secrets instanceof Error) throw secrets
        return secrets
      },
      signIn: createSignIn({ baseUrl: `${web.url}/api/v3`, timeoutMs }, { clock, log }),
    },
    allowed,
    pages,
  )
  return new Promise(resolve => {
    const listening = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, (info: AddressInfo) => {
      const host = `127.0.0.1:${info.port}`
      const close = () =>
        new Promise<void>(done => {
          listening.close(() => done())
          if ('closeAllConnections' in listening) listening.closeAllConnections()
        })
      resolve({ url: `http://${host}`, host, close })
    })
  })
}

beforeAll(async () => {
  const started = await startServer({ root: '/api/v3' })
  server = started.server
  clock = started.clock
  web = await GitHubWeb.start({ clock, api: server, client: CLIENT })
})
afterAll(() => Promise.all([web.close(), server.close()]))

beforeEach(async () => {
  logged = []
  secrets = FOUND
  site = await deploy()
  web.callbacks.splice(0, 9, `${site.url}/signin/callback`)
  web.visitor = ADA
  browser = new Browser(clock)
})
afterEach(async () => {
  await site.close()
  expect([...server.problems.splice(0), ...web.problems.splice(0)]).toEqual([])
  expect(browser.refused).toEqual([])
  const said = inspect(logged, { depth: 10 })
  for (const secret of [KEY, OLD_KEY, CLIENT.secret, TOKEN, NEXT_TOKEN, ...web.secrets])
    if (secret !== '') expect(said).not.toContain(secret)
})

const open = (path: string, init?: RequestInit) => browser.open(site.url + path, init)
const session = () => browser.cookie(site.host, '__Host-tornade')
const signIn = (next = '/') => open(`/signin/github?${new URLSearchParams({ next })}`)
/** Without following, or cookies. */
const ask = (path: string, init: RequestInit = {}) => fetch(site.url + path, { redirect: 'manual', ...init })
const withCookie = (value: string, path = '/') =>
  ask(path, { headers: { cookie: `__Host-tornade=${value}` } })
const bearer = (token: string, path = '/api/who') =>
  ask(path, { headers: { authorization: `Bearer ${token}` } })
/** As GitHub sends the browser back, stopped before it gets there. */
async function returning(): Promise<{ readonly callback: URL; readonly pending: string }> {
  const begun = await ask('/signin/github?next=/who')
  const [cookie = ''] = begun.headers.getSetCookie()
  const pending = /^__Host-tornade-signin=([^;]*)/.exec(cookie)![1]!
  const github = await fetch(begun.headers.get('location')!, { redirect: 'manual' })
  return { callback: new URL(github.headers.get('location')!), pending }
}
const callBack = (callback: URL, pending: string | null) =>
  fetch(callback, {
    redirect: 'manual',
    headers: pending === null ? {} : { cookie: `__Host-tornade-signin=${pending}` },
  })

async function refused(response: Response, status: number): Promise<string> {
  expect(response.status).toBe(status)
  expect(response.headers.getSetCookie().filter(line => /^__Host-tornade=[^;]/.test(line))).toEqual([])
  return response.text()
}

describe('somebody who is named', () => {
  it('signs in by their id, and comes out where they wanted to go', async () => {
    const visit = await open('/who?a=b')
    expect(visit.url).toBe(`${site.url}/signin?next=%2Fwho%3Fa%3Db`)
    const [, link] = /class="button" href="([^"]+)"/.exec(visit.text)!
    const inside = await open(link!.replaceAll('&amp;', '&'))
    expect(inside).toMatchObject({ status: 200, url: `${site.url}/who?a=b` })
    expect(inside.text).toContain('ada')
    expect(inside.way).toHaveLength(4)
    expect(logged).toEqual([
      { level: 'info', message: 'signed in', fields: { id: ADA.id, login: 'ada', by: 'user' } },
    ])
    // Their organisations are nobody's business then.
    expect(server.calls.splice(0).map(({ operation, as }) => [operation, as])).toEqual([
      ['users/get-authenticated', 'user'],
    ])
  })

  it('signs in as a member of an organisation', async () => {
    web.visitor = GRACE
    expect((await signIn()).status).toBe(200)
    expect(logged[0]!.fields).toEqual({ id: GRACE.id, login: 'grace', by: 9919 })
  })

  it('signs in as a member of more organisations than a page of the list has', async () => {
    const many = Array.from({ length: 100 }, (_, index) => ({ id: 100 + index, login: `o${index}` }))
    web.visitor = { ...GRACE, memberships: [...many, ...GRACE.memberships] }
    expect((await signIn()).status).toBe(200)
  })

  it('is in for eight hours, whatever they do meanwhile', async () => {
    await signIn()
    const kept = session()!
    clock.time += 8 * HOURS - 1000
    expect((await withCookie(kept)).status).toBe(200)
    expect(session()).toBe(kept)
    clock.time += 1000
    expect((await withCookie(kept)).status).toBe(303)
    expect(session()).toBeUndefined()
  })

  it('has cookies that no script reads, no other host gets, and no other site sends along', async () => {
    await signIn()
    const cookies = browser.jar.get(site.host)!
    expect([...cookies].map(([name, { attributes }]) => [name, attributes])).toEqual([
      ['__Host-tornade-signin', expect.arrayContaining(['Max-Age=0', 'Path=/', 'Secure'])],
      ['__Host-tornade', ['Max-Age=28800', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']],
    ])
    const begun = (await ask('/signin/github')).headers.getSetCookie()
    expect(begun).toEqual([expect.stringMatching(/; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/)])
  })

  it('sees /api with the session, too', async () => {
    await signIn()
    expect(await (await withCookie(session()!, '/api/who')).json()).toEqual({ id: ADA.id, login: 'ada' })
  })

  it('is out as soon as a deployment does not name them, or their organisation, any more', async () => {
    await signIn()
    const ada = session()!
    web.visitor = GRACE
    await signIn()
    const grace = session()!
    await site.close()
    site = await deploy({ users: [GRACE.id], organisations: [1] })
    for (const cookie of [ada, grace]) expect((await withCookie(cookie)).status).toBe(303)
  })
})

describe('a session', () => {
  const now = () => clock.now()
  const of = (over: Partial<Session> = {}, key = KEY) =>
    sealSession({ id: ADA.id, login: 'ada', by: 'user', at: now(), ...over }, key)

  it('holds under the key of before, until that is gone', async () => {
    expect((await withCookie(of({}, OLD_KEY))).status).toBe(200)
    secrets = { ...FOUND, signIn: { client: CLIENT, sessionKeys: [KEY] } }
    expect((await withCookie(of({}, OLD_KEY))).status).toBe(303)
  })

  it.each<[string, () => string]>([
    ['sealed with another key', () => of({}, 'another key 0123456789abcdef0123456789')],
    ['that is too old', () => of({ at: now() - 8 * HOURS })],
    ['from the future', () => of({ at: now() + HOURS })],
    ['of somebody who is not named', () => of({ id: STRANGER.id })],
    ['of an organisation that is not named', () => of({ by: 1 })],
    ['sealed for a sign-in', () => seal('sign-in', { id: ADA.id, login: 'ada', by: 'user', at: now() }, KEY)],
    ['without a seal', () => of().split('.').slice(0, 2).join('.')],
    ['with an empty seal', () => `${of().split('.').slice(0, 2).join('.')}.`],
    ['cut short', () => of().slice(0, -1)],
    ['with something at its end', () => `${of()}A`],
    [
      'with another value under the same seal',
      () => {
        const [id, , mac] = of().split('.')
        const value = { id: ADA.id, login: 'root', by: 'user', at: now() }
        return `${id}.${Buffer.from(JSON.stringify(value)).toString('base64url')}.${mac}`
      },
    ],
    ['that is nothing', () => ''],
    ['that is JSON', () => encodeURIComponent(JSON.stringify({ id: ADA.id, by: 'user', at: now() }))],
    ['that is long', () => 'a'.repeat(8000)],
  ])('%s is none', async (_, cookie) => {
    const response = await withCookie(cookie())
    expect([response.status, response.headers.get('location')]).toEqual([303, '/signin'])
    expect((await withCookie(cookie(), '/api/who')).status).toBe(401)
  })

  it('is the only one: a second cookie of that name does not stand in for it', async () => {
    const headers = { cookie: `__Host-tornade=${of({}, 'x'.repeat(40))}; __Host-tornade=${of()}` }
    expect((await ask('/', { headers })).status).toBe(303)
  })
})

describe('a seal', () => {
  it('gives back what was sealed', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string({ minLength: 32 }), (value, key) => {
        const text = seal('session', value, key)
        expect(unseal('session', text, ['another', key])).toEqual(JSON.parse(JSON.stringify(value)))
        expect(unseal('sign-in', text, [key])).toBeUndefined()
        expect(unseal('session', text, [`${key}x`])).toBeUndefined()
      }),
    )
  })

  it('is broken by any other character, anywhere', () => {
    const text = seal('session', { id: 1, login: 'ada' }, KEY)
    for (let at = 0; at < text.length; at++) {
      for (const other of ['A', 'B', '_', '.', '=', ' ']) {
        if (text[at] === other) continue
        expect(unseal('session', text.slice(0, at) + other + text.slice(at + 1), [KEY])).toBeUndefined()
      }
    }
  })
})

describe('a stranger', () => {
  it.each<[string, ServerUser]>([
    ['without such an organisation', STRANGER],
    ['who is only invited', { ...GRACE, memberships: [{ id: 9919, login: 'acme', state: 'pending' }] }],
    ['who only pays', { ...GRACE, memberships: [{ id: 9919, login: 'acme', role: 'billing_manager' }] }],
    ['with the login of another', { ...STRANGER, login: 'ada' }],
    ['in an organisation of that name', { ...STRANGER, memberships: [{ id: 2, login: 'acme' }] }],
  ])('%s is told what to do, and not let in', async (_, visitor) => {
    web.visitor = visitor
    const { status, text } = await signIn()
    expect(status).toBe(403)
    expect(text).toContain(visitor.login)
    expect(text).toContain(String(visitor.id))
    expect(text).toContain('dashboard.users')
    expect(session()).toBeFalsy()
    expect((await open('/who')).url).toMatch(/\/signin\?next=%2Fwho$/)
    expect(logged[0]).toMatchObject({ level: 'warn', message: 'sign-in refused', fields: { id: visitor.id } })
  })

  it('whose organisations the App may not see is told that', async () => {
    web.visitor = { ...GRACE, mayListMembers: false }
    const { status, text } = await signIn()
    expect(status).toBe(403)
    expect(text).toContain('Members: read-only')
    expect(logged[0]!.fields).toMatchObject({ reason: 'the App may not see members' })
  })

  it('takes the session of whoever sat there before with them', async () => {
    await signIn()
    web.visitor = STRANGER
    await signIn()
    expect(session()).toBeFalsy()
  })

  it('is everybody where nobody is named, and no secret is read for them', async () => {
    await site.close()
    site = await deploy({ users: [], organisations: [] })
    secrets = new Error('was read')
    for (const path of ['/', '/signin', '/signin/github', '/signin/callback?code=a&state=b']) {
      const { status, text } = await open(path)
      expect([path, status]).toEqual([path, 403])
      expect(text).toContain('dashboard.organisations')
    }
    const cookie = sealSession({ id: ADA.id, login: 'ada', by: 'user', at: clock.now() }, KEY)
    expect((await withCookie(cookie)).status).toBe(303)
    expect((await withCookie(cookie, '/api/who')).status).toBe(401)
    expect(logged).toEqual([])
  })
})

describe('a return from GitHub', () => {
  it('is taken once', async () => {
    const { callback, pending } = await returning()
    expect((await callBack(callback, pending)).status).toBe(303)
    // The browser has forgotten the sign-in; who has not is refused by GitHub.
    await refused(await callBack(callback, null), 400)
    expect(await refused(await callBack(callback, pending), 400)).toContain('works once')
  })

  it.each<[string, (callback: URL) => void]>([
    ['with another state', callback => callback.searchParams.set('state', 'x'.repeat(43))],
    ['with an empty state', callback => callback.searchParams.set('state', '')],
    ['without a state', callback => callback.searchParams.delete('state')],
    [
      'with half a state',
      callback => callback.searchParams.set('state', callback.searchParams.get('state')!.slice(0, 20)),
    ],
  ])('%s is not taken, and GitHub not asked', async (_, change) => {
    const { callback, pending } = await returning()
    change(callback)
    web.exchanges.length = 0
    await refused(await callBack(callback, pending), 400)
    expect(web.exchanges).toEqual([])
  })

  it.each<[string, (pending: Pending) => string]>([
    ['none', () => ''],
    ['one sealed with another key', pending => sealPending(pending, 'x'.repeat(40))],
    ['an old one', pending => sealPending({ ...pending, at: pending.at - 600_000 }, KEY)],
    ['a session', pending => seal('session', pending, KEY)],
  ])('to a browser that has %s in the place of its sign-in is not taken', async (_, change) => {
    const { callback, pending } = await returning()
    const value = unseal('sign-in', decodeURIComponent(pending), [KEY]) as Pending
    web.exchanges.length = 0
    await refused(await callBack(callback, change(value)), 400)
    expect(web.exchanges).toEqual([])
  })

  it('with the code of a sign-in that somebody else began is not taken', async () => {
    const mine = await returning()
    web.visitor = STRANGER
    const theirs = await returning()
    mine.callback.searchParams.set('code', theirs.callback.searchParams.get('code')!)
    expect(await refused(await callBack(mine.callback, mine.pending), 400)).toContain('works once')
  })

  it('with a code that was given out without a challenge is not taken', async () => {
    const { callback, pending } = await returning()
    callback.searchParams.set('code', web.code(ADA, `${site.url}/signin/callback`))
    await refused(await callBack(callback, pending), 400)
  })

  it('with a code that is too old, or was never one, is not taken', async () => {
    const late = await returning()
    clock.time += 599_999
    const { callback, pending } = await returning()
    clock.time += 1
    await refused(await callBack(late.callback, late.pending), 400)
    for (const code of ['never', 'a&b=c', '<script>', 'ä'.repeat(500)]) {
      callback.searchParams.set('code', code)
      await refused(await callBack(callback, pending), 400)
    }
    callback.searchParams.set('code', '')
    await refused(await callBack(callback, pending), 403)
  })

  it('of somebody who said no is one of nobody, and repeats nothing that stands in it', async () => {
    web.visitor = 'refuses'
    const { callback, pending } = await returning()
    callback.searchParams.set('error_description', 'call-me-on-0900')
    const text = await refused(await callBack(callback, pending), 403)
    expect(text).not.toContain('0900')
    expect(text).toContain('Sign in again')
  })

  it('asks GitHub with the verifier of its challenge, and the address that it was sent to', async () => {
    const begun = await ask('/signin/github')
    const asked = new URL(begun.headers.get('location')!)
    expect(asked.origin + asked.pathname).toBe(`${web.url}/login/oauth/authorize`)
    const { callback, pending } = await returning()
    web.exchanges.length = 0
    await callBack(callback, pending)
    const [form] = web.exchanges
    const { verifier } = unseal('sign-in', decodeURIComponent(pending), [KEY]) as Pending
    expect(form!.get('code_verifier')).toBe(verifier)
    expect(verifier).toMatch(/^[\w-]{43}$/)
    expect(form!.get('redirect_uri')).toBe(`${site.url}/signin/callback`)
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    expect(asked.searchParams.get('code_challenge')).not.toBe(challenge)
  })
})

describe('where GitHub fails', () => {
  it.each([
    ['the exchange breaks', () => web.fail({ connection: 'breaks' })],
    ['the exchange is answered 500', () => web.fail({ status: 500, text: 'Unicorn' })],
    ['a proxy answers the exchange', () => web.fail({ text: '<html>canary' })],
    ['the exchange is answered with nothing', () => web.fail({ text: '{}' })],
    ['the secret is wrong', () => web.fail({ error: 'incorrect_client_credentials' })],
    ['the callback is not registered', () => web.fail({ error: 'redirect_uri_mismatch' })],
    ['an error is like nothing known', () => web.fail({ error: `ghu_${'x'.repeat(300)}` })],
    ['nobody can be named', () => server.fail('users/get-authenticated', { status: 502 }, 2)],
    ['the name breaks off', () => server.fail('users/get-authenticated', { connection: 'breaks' }, 2)],
    [
      'the name is none',
      () => server.fail('users/get-authenticated', { status: 200, text: '{"id":"583231"}' }),
    ],
  ])('%s: nobody gets in, and the log says why', async (_, fault) => {
    const { callback, pending } = await returning()
    fault()
    expect(await refused(await callBack(callback, pending), 502)).toContain('Sign in again')
    expect(logged.at(-1)).toMatchObject({
      level: 'error',
      message: 'GitHub could not be asked who somebody is',
      fields: { code: 'github-failed' },
    })
    // And the next one works.
    expect((await signIn('/who')).status).toBe(200)
  })

  it('gives up an exchange that hangs', async () => {
    await site.close()
    site = await deploy(ALLOWED, 100)
    web.callbacks.push(`${site.url}/signin/callback`)
    const { callback, pending } = await returning()
    web.fail({ connection: 'hangs' })
    await refused(await callBack(callback, pending), 502)
    expect(logged.at(-1)!.fields!.error).toContain('TimeoutError')
  })

  it.each([
    ['are not told', { status: 500 }, 2],
    ['are limited', { status: 403, headers: { 'retry-after': '60' } }, 1],
    ['are no list', { status: 200, text: '{}' }, 1],
  ])('organisations that %s let nobody in', async (_, fault, times) => {
    web.visitor = GRACE
    const { callback, pending } = await returning()
    server.fail('orgs/list-memberships-for-authenticated-user', fault, times)
    await refused(await callBack(callback, pending), 502)
  })

  it('says what the secret or callback is wrong by, for whoever reads the log', async () => {
    web.fail({ error: 'redirect_uri_mismatch' })
    await signIn()
    expect(logged.at(-1)!.fields!.error).toContain('redirect_uri_mismatch')
  })
})

describe('where somebody goes after signing in', () => {
  it.each([
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example/',
    'javascript:alert(1)',
    'evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/..//evil.example',
    '/.//evil.example',
    '/a/../..//evil.example',
    '/%0d%0aset-cookie:a=b\r\nset-cookie: a=b',
    '/signin',
    '/signin/github?next=/',
    '/signout',
    '/ä',
    `/${'a'.repeat(2000)}`,
    '',
  ])('is never %j', async next => {
    expect(localPath(next)).toBe('/')
    const visit = await signIn(next)
    expect([visit.status, visit.url]).toEqual([200, `${site.url}/`])
    expect(visit.way.map(address => new URL(address).origin)).toEqual([site.url, web.url, site.url, site.url])
  })

  it('is a page of this site', () => {
    for (const path of [
      '/',
      '/who',
      '/jobs/123-1',
      '/repositories/acme/app?state=queued&cursor=a%2Fb',
      '/signins',
    ])
      expect(localPath(path)).toBe(path)
  })

  it('is on this site whatever is given', () => {
    const piece = fc.constantFrom(
      '/',
      '\\',
      '//',
      '..',
      '.',
      '@',
      ':',
      '?',
      '#',
      '%2f',
      '%5c',
      '\t',
      '\r\n',
      'evil.example',
      'http:',
    )
    const text = fc.oneof(
      fc.array(piece).map(pieces => pieces.join('')),
      fc.string(),
      fc.webUrl(),
    )
    fc.assert(
      fc.property(text, given => {
        const path = localPath(given)
        const url = new URL(path, 'https://tornade.example')
        expect(url.origin).toBe('https://tornade.example')
        expect(path).toMatch(/^\/(?![/\\])[\x21-\x7e]*$/)
      }),
      { numRuns: 2000 },
    )
  })

  it('stands escaped in the page that offers the sign-in', async () => {
    const { text } = await open(`/signin?${new URLSearchParams({ next: '/a"><script>alert(1)</script>' })}`)
    expect(text).not.toContain('<script')
    expect(text).toContain('href="/signin/github?next=%2F')
  })
})

describe('signing out', () => {
  const post = (headers: Record<string, string>, body?: string) =>
    open('/signout', { method: 'POST', headers, ...(body === undefined ? {} : { body }) })

  it('takes the session away, and the page asks to sign in', async () => {
    await signIn()
    const visit = await post({
      'sec-fetch-site': 'same-origin',
      origin: site.url,
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect(visit).toMatchObject({ status: 200, url: `${site.url}/signin` })
    expect(session()).toBeFalsy()
    expect((await open('/who')).url).toContain('/signin?next=')
  })

  it('works by the Origin alone, in browsers that do not say more', async () => {
    await signIn()
    await post({ origin: site.url, 'content-type': 'application/x-www-form-urlencoded' })
    expect(session()).toBeFalsy()
  })

  it.each([
    ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
    ['a neighbour', { 'sec-fetch-site': 'same-site', origin: 'https://other.acme.example' }],
    ['nowhere', {}],
    ['a page without an origin', { origin: 'null' }],
    ['another port of this host', { origin: 'http://127.0.0.1:1' }],
  ])('is not done for %s', async (_, headers) => {
    await signIn()
    const visit = await post({ ...headers, 'content-type': 'application/x-www-form-urlencoded' })
    expect(visit.status).toBe(403)
    expect(session()).toBeTruthy()
    expect((await open('/who')).status).toBe(200)
  })

  it('is no link', async () => {
    await signIn()
    expect((await open('/signout')).status).toBe(405)
    expect(session()).toBeTruthy()
  })

  it('is a button of the front page, for whoever is signed in', async () => {
    await signIn()
    const { text } = await open('/')
    expect(text).toMatch(/<form [^>]*method="post" action="\/signout">/)
    expect(text).toContain('ada')
  })

  it('can be done at /signin, too', async () => {
    await signIn()
    const { text } = await open('/signin')
    expect(text).toContain('action="/signout"')
    expect(text).toContain('ada')
  })
})

describe('a machine', () => {
  it.each([TOKEN, NEXT_TOKEN])('reads /api and /metrics with %s', async token => {
    expect(await (await bearer(token)).json()).toBeNull()
    expect((await bearer(token, '/metrics')).status).toBe(200)
    expect((await ask('/api/who', { headers: { authorization: `bearer  ${token}` } })).status).toBe(200)
  })

  it.each([
    ['a wrong one', `Bearer ${'x'.repeat(40)}`],
    ['one that is cut short', `Bearer ${TOKEN.slice(0, -1)}`],
    ['one with more at its end', `Bearer ${TOKEN}x`],
    ['an empty one', 'Bearer '],
    ['none after Bearer', 'Bearer'],
    ['two', `Bearer ${TOKEN} ${NEXT_TOKEN}`],
    ['two with a comma', `Bearer ${TOKEN},${NEXT_TOKEN}`],
    ['one of another kind', `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`],
    ['one without a kind', TOKEN],
    ['the session key', `Bearer ${KEY}`],
    ['the client secret', `Bearer ${CLIENT.secret}`],
  ])('is not let in with %s', async (_, authorization) => {
    for (const path of ['/api/who', '/api', '/metrics']) {
      const response = await ask(path, { headers: { authorization } })
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer realm="tornade", error="invalid_token"')
      expect(await response.json()).toEqual({ error: expect.any(String) })
    }
  })

  it('is told what to bring', async () => {
    for (const path of ['/api/jobs', '/metrics', '/api/nothing']) {
      const response = await ask(path)
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer realm="tornade"')
    }
  })

  it('is let in with none where there are no tokens', async () => {
    secrets = { ...FOUND, tokens: [] }
    for (const token of ['', 'undefined', 'null', TOKEN]) expect((await bearer(token)).status).toBe(401)
  })

  it('sees no pages with its token', async () => {
    for (const path of ['/', '/who', '/apis', '/%61pi/who/../..', '/metricsx'])
      expect((await bearer(TOKEN, path)).status).toBe(303)
  })

  it('gets in where nobody else may, or can', async () => {
    await site.close()
    site = await deploy({ users: [], organisations: [] })
    secrets = { ...FOUND, signIn: { faults: ['x'] } }
    expect((await bearer(TOKEN)).status).toBe(200)
  })

  it('asks whether it lives without any', async () => {
    secrets = new Error('was read')
    const response = await ask('/healthz')
    expect([response.status, await response.json()]).toEqual([200, { ok: true }])
    expect((await ask('/healthz/x')).status).toBe(303)
  })
})

describe('without what it needs', () => {
  it('it is closed, and says what to set', async () => {
    const faults = [
      '/tornade/dev/client-secret is missing',
      '/tornade/dev/session-key is shorter than 32 characters',
    ]
    secrets = { tokens: [TOKEN], signIn: { faults } }
    for (const path of ['/', '/signin', '/signin/github', '/signin/callback?code=a&state=b']) {
      const { status, text } = await open(path)
      expect([path, status]).toEqual([path, 503])
      for (const fault of faults) expect(text).toContain(fault)
    }
    const cookie = sealSession({ id: ADA.id, login: 'ada', by: 'user', at: clock.now() }, KEY)
    expect((await withCookie(cookie)).status).toBe(503)
    expect((await withCookie(cookie, '/api/who')).status).toBe(503)
    // Once it is set, it opens.
    secrets = FOUND
    expect((await withCookie(cookie)).status).toBe(200)
  })

  it('it is closed where the secrets cannot be read, and tells nobody but the log', async () => {
    const message = 'SSM GetParameters: arn:aws:sts::123456789012:assumed-role/x is not authorized'
    secrets = new TornadeError('config-unreadable', message)
    const { status, text } = await open('/signin')
    expect(status).toBe(503)
    expect(text).not.toContain('arn:aws')
    const response = await bearer(TOKEN)
    expect([response.status, await response.text()]).toEqual([503, expect.not.stringContaining('arn:aws')])
    expect(logged[0]).toMatchObject({ level: 'error', fields: { code: 'config-unreadable', error: message } })
  })
})

describe('every answer', () => {
  it.each([
    '/',
    '/signin',
    '/signin/github',
    '/signin/callback',
    '/api/who',
    '/metrics',
    '/healthz',
    '/nothing',
    '/signout',
  ])('guards what it is about: %s', async path => {
    const { headers } = await ask(path)
    expect(Object.fromEntries(headers)).toMatchObject({
      'strict-transport-security': 'max-age=31536000',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
    )
    expect(headers.get('access-control-allow-origin')).toBeNull()
  })

  it('lets through the scripts of the page that asked for it, by a nonce of its own', async () => {
    await signIn()
    const nonces = new Set<string>()
    for (let count = 0; count < 2; count++) {
      const { headers, text } = await open('/who')
      const [, nonce] = /<script nonce="([^"]+)">/.exec(text)!
      expect(headers.get('content-security-policy')).toContain(
        `script-src 'nonce-${nonce}'; connect-src 'self';`,
      )
      nonces.add(nonce!)
    }
    expect(nonces.size).toBe(2)
  })

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])(
    'is no to %s, for everybody',
    async method => {
      await signIn()
      for (const path of ['/', '/who', '/api/who', '/metrics', '/signin', '/nothing']) {
        const headers = { cookie: `__Host-tornade=${session()}`, authorization: `Bearer ${TOKEN}` }
        const response = await ask(path, { method, headers })
        expect([path, response.status, response.headers.get('allow')]).toEqual([path, 405, 'GET, HEAD'])
      }
      if (method !== 'POST') expect((await ask('/signout', { method })).status).toBe(405)
    },
  )

  it('has no body for HEAD, and is the same otherwise', async () => {
    await signIn()
    const headers = { cookie: `__Host-tornade=${session()}` }
    for (const [path, status] of [
      ['/who', 200],
      ['/signin', 200],
      ['/nothing', 404],
      ['/healthz', 200],
    ] as const) {
      const response = await ask(path, { method: 'HEAD', headers })
      expect([path, response.status, await response.text()]).toEqual([path, status, ''])
    }
    expect((await ask('/api/who', { method: 'HEAD' })).status).toBe(401)
    expect((await ask('/who', { method: 'HEAD' })).status).toBe(303)
  })

  it('shows a login as text', async () => {
    web.visitor = { ...STRANGER, login: '<b>x</b>' }
    const { text } = await signIn()
    expect(text).not.toContain('<b>')
    expect(text).toContain('&lt;b&gt;x')
  })
})
