/** Signing in and out of the dashboard in a real browser, with GitHub's site beside it. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { access } from '../../functions/dashboard/access/access.ts'
import { sealSession } from '../../functions/dashboard/access/session.ts'
import { createSignIn } from '../../functions/github/sign-in.ts'
import type { World } from '../../local/world.ts'
import { startServer } from '../github/harness.ts'
import type { GitHubServer, ServerUser } from '../support/github-server.ts'
import { GitHubWeb } from '../support/github-web.ts'
import { axeFaults, launch, pagesOf, type Server, sampleWorld, serve, withTab } from './support.ts'

const CLIENT = { id: 'Iv23liCLIENT', secret: 'canary-client-secret-0123456789abcdef' }
const KEY = 'canary-session-key-0123456789abcdef'
const ADA: ServerUser = { id: 583231, login: 'ada', memberships: [] }
const STRANGER: ServerUser = { id: 666, login: 'mallory', memberships: [] }
const SESSION = '__Host-tornade'

let browser: Browser
let world: World
let github: GitHubServer
let web: GitHubWeb
let site: Server
beforeAll(async () => {
  browser = await launch()
  world = await sampleWorld({ hostile: false })
  const started = await startServer({ root: '/api/v3' })
  github = started.server
  const { clock } = started
  web = await GitHubWeb.start({ clock, api: github, client: CLIENT })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const secrets = async () => ({ tokens: [], signIn: { client: CLIENT, sessionKeys: [KEY] as const } })
  const signIn = createSignIn({ baseUrl: `${web.url}/api/v3` }, { clock, log })
  const allowed = { users: [ADA.id], organisations: [] }
  site = await serve(access({ clock, log, secrets, signIn }, allowed, pagesOf(world)))
  web.callbacks.push(`${site.url}/signin/callback`)
}, 120_000)
afterAll(async () => {
  await browser?.close()
  await Promise.all([site?.close(), web?.close(), github?.close()])
  expect([...web.problems, ...github.problems]).toEqual([])
})
beforeEach(() => {
  web.visitor = ADA
})

describe.each([true, false])('with JavaScript: %s', javaScriptEnabled => {
  it('somebody who is allowed signs in, lands where they wanted to go, and signs out', async () => {
    await withTab(browser, { javaScriptEnabled }, async ({ page, errors }) => {
      await page.goto(`${site.url}/jobs`)
      expect(new URL(page.url()).pathname).toBe('/signin')
      await page.getByRole('link', { name: /sign in/i }).click()
      await page.waitForURL(`${site.url}/jobs`)
      expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('Jobs')
      expect(await page.getByText('ada').count()).toBeGreaterThan(0)
      const [cookie] = (await page.context().cookies()).filter(({ name }) => name === SESSION)
      expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Lax', path: '/' })

      await page.getByRole('button', { name: /sign out/i }).click()
      await page.waitForURL(`${site.url}/signin`)
      expect((await page.context().cookies()).filter(({ name }) => name === SESSION)).toEqual([])
      await page.goto(`${site.url}/jobs`)
      expect(new URL(page.url()).pathname).toBe('/signin')
      expect(errors).toEqual([])
    })
  })
})

describe('nobody else', () => {
  it('gets in: a stranger is told so, and who to ask', async () => {
    web.visitor = STRANGER
    await withTab(browser, {}, async ({ page }) => {
      await page.goto(`${site.url}/signin`)
      const [answer] = await Promise.all([
        page.waitForResponse(response => response.url().includes('/signin/callback')),
        page.getByRole('link', { name: /sign in/i }).click(),
      ])
      expect(answer.status()).toBe(403)
      await page.waitForLoadState()
      expect(await page.locator('body').innerText()).toContain('666')
      expect((await page.context().cookies()).filter(({ name }) => name === SESSION)).toEqual([])
      await page.goto(`${site.url}/`)
      expect(new URL(page.url()).pathname).toBe('/signin')
    })
  })

  it.each([
    ['of another key', sealSession({ id: ADA.id, login: 'ada', by: 'user', at: Date.now() }, `${KEY}x`)],
    ['that is no session', 'eyJpZCI6NTgzMjMxfQ.AAAA'],
  ])('gets in with a forged cookie: one %s', async (_, value) => {
    await withTab(browser, {}, async ({ page }) => {
      // What the prefix of its name asks for; an http address of this machine is safe enough for Chromium.
      const url = site.url.replace('http:', 'https:')
      await page.context().addCookies([{ name: SESSION, value, url, secure: true, httpOnly: true }])
      const [request] = await Promise.all([
        page.waitForRequest(`${site.url}/jobs`),
        page.goto(`${site.url}/jobs`),
      ])
      expect((await request.allHeaders()).cookie).toContain(`${SESSION}=`)
      expect(new URL(page.url()).pathname).toBe('/signin')
    })
  })
})

describe('the page to sign in', () => {
  it.each([360, 1440])('fits %d px, in light and dark, and breaks no serious rule', async width => {
    for (const colorScheme of ['light', 'dark'] as const)
      await withTab(browser, { viewport: { width, height: 800 }, colorScheme }, async ({ page, errors }) => {
        await page.goto(`${site.url}/signin`)
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
        expect(errors).toEqual([])
        expect(await axeFaults(page)).toEqual([])
      })
  })
})
