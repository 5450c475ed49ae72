/** The pages in Chromium: with and without JavaScript, on a phone and on a wall, in light and dark, by keyboard. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dashboard, dashboardOptions } from '../../functions/dashboard.ts'
import { LocalLedger } from '../../local/ledger.ts'
import type { World } from '../../local/world.ts'
import {
  axeFaults,
  CONFIG,
  HOSTILE,
  launch,
  NOW,
  pagesOf,
  portsOf,
  type Server,
  sampleWorld,
  serve,
  withTab,
} from './support.ts'

let browser: Browser
let world: World
let server: Server
let empty: Server
let fast: Server
/** Keys of jobs by what became of them. */
const jobs: Record<string, string> = {}

beforeAll(async () => {
  ;[browser, world] = await Promise.all([launch(), sampleWorld()])
  server = await serve(pagesOf(world))
  fast = await serve(pagesOf(world, 1))
  const nothing = { ...portsOf(world), ledger: new LocalLedger() }
  empty = await serve(
    dashboard(nothing, dashboardOptions(CONFIG, { notice: null, refreshSeconds: null, logs: null })),
  )
  for (const state of ['completed', 'refused', 'running', 'cancelled'] as const) {
    const { items } = await world.ledger.jobs.page({ state, limit: 1 })
    jobs[state] = items[0]!.key
  }
}, 120_000)
afterAll(async () => {
  await browser?.close()
  for (const one of [server, empty, fast]) await one?.close()
})

const PAGES: readonly (readonly [name: string, path: () => string, title: string | RegExp])[] = [
  ['Overview', () => '/', 'Overview'],
  ['Live', () => '/live', 'Live'],
  ['Repositories', () => '/repositories', 'Repositories'],
  ['a repository', () => '/repositories/acme/app', 'acme/app'],
  ['a workflow', () => '/repositories/acme/app/workflows?name=CI', 'CI'],
  ['Jobs', () => '/jobs', 'Jobs'],
  ['Jobs by cost', () => '/jobs?sort=cost&state=completed', 'Jobs'],
  ['a job that ran', () => `/jobs/${jobs.completed}`, /./],
  ['a job that runs', () => `/jobs/${jobs.running}`, /./],
  ['a job that was refused', () => `/jobs/${jobs.refused}`, /./],
  ['Health', () => '/health', 'Health'],
]
const HOSTILE_PAGES: typeof PAGES = [
  ['a job with a hostile name', () => '/jobs/77-1', /<script>/],
  [
    'a workflow with one',
    () => `/repositories/acme/app/workflows?${new URLSearchParams({ name: HOSTILE })}`,
    /<script>/,
  ],
]

const overflow = (page: Page) =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

describe.each([...PAGES, ...HOSTILE_PAGES])('%s', (_, path, title) => {
  it.each([
    ['a phone', 360, 'light'],
    ['a desk', 1440, 'dark'],
    ['a wall', 2560, 'light'],
  ] as const)('opens on %s, fits, and nothing is wrong', async (_, width, colorScheme) => {
    await withTab(browser, { viewport: { width, height: 900 }, colorScheme }, async ({ page, errors }) => {
      const answer = await page.goto(server.url + path())
      expect(answer!.status()).toBe(200)
      expect(await page.locator('h1').textContent()).toMatch(title)
      expect(await overflow(page)).toBe(0)
      expect(await axeFaults(page)).toEqual([])
      expect(errors).toEqual([])
    })
  })

  it('passes axe-core in the other colours and with details open', async () => {
    await withTab(
      browser,
      { viewport: { width: 1000, height: 900 }, colorScheme: 'light' },
      async ({ page }) => {
        await page.goto(server.url + path())
        await page.evaluate('document.querySelectorAll("details").forEach(one => { one.open = true })')
        expect(await axeFaults(page)).toEqual([])
        await page.setViewportSize({ width: 360, height: 800 })
        expect(await overflow(page)).toBe(0)
        await page.emulateMedia({ colorScheme: 'dark' })
        expect(await axeFaults(page)).toEqual([])
      },
    )
  })

  it('says the same without JavaScript', async () => {
    const read = (javaScriptEnabled: boolean) =>
      withTab(browser, { javaScriptEnabled, timezoneId: 'UTC' }, async ({ page }) => {
        await page.goto(server.url + path())
        const shown = await page.locator('.tiles .figure, table[role] td.number').allTextContents()
        return [await page.locator('h1').textContent(), ...shown]
      })
    const plain = await read(false)
    expect(plain.length).toBeGreaterThan(1)
    expect(plain).toEqual(await read(true))
  })
})

describe.each(PAGES.filter(([, path]) => !path().includes('undefined') && !path().includes('acme')))(
  '%s of an empty ledger',
  (_, path) => {
    it('is written for people', async () => {
      await withTab(browser, { viewport: { width: 360, height: 800 } }, async ({ page, errors }) => {
        await page.goto(empty.url + path())
        expect(await page.locator('.empty').first().textContent()).toMatch(/\w{3}.*\./s)
        expect(await overflow(page)).toBe(0)
        expect(await axeFaults(page)).toEqual([])
        expect(errors).toEqual([])
      })
    })
  },
)

describe.each([
  ['nothing', '/nothing', 404, 'There is nothing at this address.'],
  ['an unknown job', '/jobs/1-1', 404, 'Nothing is known of job 1-1'],
  ['what is no job', '/jobs/x', 404, 'Nothing is known of job x'],
  ['an unknown repository', '/repositories/acme/none', 404, 'Nothing is known of repository acme/none'],
  [
    'an unknown workflow',
    '/repositories/acme/app/workflows?name=None',
    404,
    'Nothing is known of workflow None',
  ],
  ['a malformed filter', '/jobs?state=lost', 400, 'state must be one of'],
  ['a malformed day', '/health?from=yesterday', 400, 'from must be a day'],
] as const)('%s', (_, path, status, message) => {
  it('has a page that says so', async () => {
    await withTab(browser, { viewport: { width: 360, height: 800 } }, async ({ page }) => {
      expect((await page.goto(server.url + path))!.status()).toBe(status)
      expect(await page.locator('main').textContent()).toContain(message)
      expect(await overflow(page)).toBe(0)
      expect(await axeFaults(page)).toEqual([])
    })
  })
})

describe.each([true, false])('with JavaScript: %s', javaScriptEnabled => {
  const visit = (path: string, use: (page: Page) => Promise<void>, width = 1440) =>
    withTab(browser, { javaScriptEnabled, viewport: { width, height: 900 } }, async ({ page, errors }) => {
      await page.goto(server.url + path)
      await use(page)
      expect(errors).toEqual([])
    })
  const column = (page: Page, label: string) =>
    page.locator(`table[aria-label="Jobs"] td[data-label="${label}"]`).allTextContents()
  const amounts = (texts: string[]) =>
    texts.filter(text => text !== '').map(text => Number(/[\d.]+$/.exec(text)![0]))

  it('filters jobs', () =>
    visit('/jobs', async page => {
      await page.selectOption('select[name=state]', 'refused')
      await page.fill('input[name=repository]', 'acme/mobile')
      await page.click('form[aria-label="Which jobs to show"] button')
      const address = new URL(page.url())
      expect(address.searchParams.get('state')).toBe('refused')
      const states = await column(page, 'State')
      expect(states.length).toBeGreaterThan(0)
      for (const state of states) expect(state).toMatch(/^refused/)
      for (const job of await column(page, 'Job')) expect(job).toMatch(/acme\/mobile$/)
      expect(await page.inputValue('select[name=state]')).toBe('refused')
      await page.click('text=Show all')
      expect(page.url()).toBe(`${server.url}/jobs`)
    }))

  it('filters jobs by day and workflow, and says when there is none', () =>
    visit('/jobs', async page => {
      await page.fill('input[name=workflow]', 'CI')
      await page.fill('input[name=from]', '2026-11-18')
      await page.fill('input[name=to]', '2026-11-18')
      await page.click('form[aria-label="Which jobs to show"] button')
      const created = await page
        .locator('td.time time')
        .evaluateAll(all => all.map(one => one.getAttribute('datetime')))
      expect(created.length).toBeGreaterThan(0)
      for (const at of created) expect(at).toMatch(/^2026-11-18/)
      await page.fill('input[name=workflow]', 'No such workflow')
      await page.click('form[aria-label="Which jobs to show"] button')
      expect(await page.locator('.empty').textContent()).toMatch(/^No job fits|^None of the jobs/)
    }))

  it.each([1440, 360])('sorts jobs at %d px', width =>
    visit(
      '/jobs?state=completed',
      async page => {
        await page.click('th a:has-text("Cost")')
        const costs = amounts(await column(page, 'Cost'))
        expect(costs.length).toBeGreaterThan(20)
        expect(costs).toEqual(costs.toSorted((a, b) => b - a))
        expect(await page.locator('th[aria-sort]').getAttribute('aria-sort')).toBe('descending')
        await page.click('th a:has-text("Cost")')
        const rising = amounts(await column(page, 'Cost'))
        expect(rising).toEqual(rising.toSorted((a, b) => a - b))
        expect(await page.locator('th[aria-sort]').getAttribute('aria-sort')).toBe('ascending')
        expect(new URL(page.url()).searchParams.get('state')).toBe('completed')
      },
      width,
    ),
  )

  it('pages through all jobs, in the order of time and in another', () =>
    visit('/jobs', async page => {
      const all = (await world.ledger.jobs.page({ limit: 10_000 })).items.length
      for (const start of ['/jobs', '/jobs?sort=waited']) {
        await page.goto(server.url + start)
        const seen = new Set<string>()
        for (let count = 0; count < 40; count++) {
          const hrefs = await page
            .locator('td.main > div > a:first-child')
            .evaluateAll(all => all.map(one => one.getAttribute('href')!))
          for (const href of hrefs) seen.add(href)
          const next = page.locator('nav.pager a[rel=next]')
          if ((await next.count()) === 0) break
          await next.click()
        }
        expect(seen.size).toBe(all)
      }
    }))

  it('leads from the overview to a repository, its workflow, a job, and back up', () =>
    visit('/', async page => {
      await page.click('table >> text=acme/app')
      expect(page.url()).toBe(`${server.url}/repositories/acme/app`)
      await page.click('table a:text-is("CI")')
      expect(await page.locator('h1').textContent()).toBe('CI')
      await page.click('td.main > div > a:first-child >> nth=0')
      expect(new URL(page.url()).pathname).toMatch(/^\/jobs\/\d+-1$/)
      await page.click('nav[aria-label="Above this page"] a:has-text("acme/app")')
      for (const job of await column(page, 'Job')) expect(job).toMatch(/acme\/app$/)
    }))

  it('sorts and finds repositories, and changes the days', () =>
    visit('/repositories', async page => {
      const names = () => page.locator('td.main').allTextContents()
      await page.click('th a:has-text("Repository")')
      const sorted = await names()
      expect(sorted).toEqual([...sorted].sort())
      expect(sorted.length).toBeGreaterThan(3)
      await page.fill('input[name=q]', 'DOC')
      await page.click('form[aria-label="Find a repository"] button')
      expect(await names()).toEqual(['acme/docs'])
      await page.click('.presets a:text-is("7 days")')
      expect(await page.inputValue('input[name=from]')).toBe('2026-11-14')
      expect(await names()).toEqual(['acme/docs'])
    }))
})

describe('with JavaScript', () => {
  it('times are those of who looks; without, they are UTC', async () => {
    const first = (javaScriptEnabled: boolean) =>
      withTab(browser, { javaScriptEnabled }, async ({ page }) => {
        await page.goto(`${server.url}/live`)
        const zone = await page.locator('#zone').textContent()
        return [zone, (await page.locator('.lead time').textContent())!.trim()]
      })
    expect(await first(false)).toEqual(['UTC', '2026-11-20 09:41:12'])
    expect(await first(true)).toEqual(['those of Asia/Tokyo', '20 Nov 18:41:12'])
  })

  it('charts are drawn from their tables and answer to the mouse; without, they are there as SVG', async () => {
    await withTab(browser, { javaScriptEnabled: false }, async ({ page }) => {
      await page.goto(server.url)
      expect(await page.locator('figure.chart svg rect').count()).toBeGreaterThan(10)
      expect(await page.locator('figure.chart svg').isVisible()).toBe(true)
    })
    await withTab(browser, { viewport: { width: 1200, height: 1200 } }, async ({ page }) => {
      await page.goto(server.url)
      expect(await page.locator('figure.chart canvas').isVisible()).toBe(true)
      expect(await page.locator('figure.chart .plot > svg').isVisible()).toBe(false)
      const value = page.locator('figure.chart .key .value').first()
      const total = await value.textContent()
      const over = (await page.locator('figure.chart .u-over').boundingBox())!
      await page.mouse.move(over.x + over.width - 12, over.y + 40)
      expect(await page.locator('figure.chart .key .day').textContent()).toMatch(/^Fri,? 20 Nov$/)
      const cells = page.locator('figure.chart table.data tbody tr').last().locator('td')
      expect(await value.textContent()).toBe(await cells.first().textContent())
      await page.mouse.move(5, 5)
      expect(await value.textContent()).toBe(total)
      await page.setViewportSize({ width: 500, height: 1200 })
      await expect
        .poll(() => page.locator('.u-over').evaluate(over => over.clientWidth), { timeout: 10_000 })
        .toBeLessThan(420)
      expect(await overflow(page)).toBe(0)
    })
  })

  it('a chart has room for the longest of its numbers', async () => {
    await withTab(browser, { viewport: { width: 1200, height: 1200 } }, async ({ page }) => {
      await page.route('**/health', async route => {
        const answer = await route.fetch()
        const text = (await answer.text()).replace(/data-value="\d+"/g, 'data-value="2700000"')
        await route.fulfill({ response: answer, body: text })
      })
      await page.goto(`${server.url}/health`)
      const inkAtTheEdge = await page.locator('figure.chart canvas').evaluate(canvas => {
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, 2, canvas.height)
        return data.some((value: number) => value !== 0)
      })
      expect(inkAtTheEdge).toBe(false)
    })
  })

  it('Live keeps itself up to date without taking focus or place from the reader', async () => {
    await withTab(browser, { viewport: { width: 500, height: 500 } }, async ({ page, errors }) => {
      await page.goto(`${fast.url}/live`)
      const rows = page.locator('#queue tbody tr')
      const before = await rows.count()
      const link = page.locator('#runners td.main a').first()
      await link.focus()
      await page.evaluate('scrollTo(0, 300)')
      const job = (await world.ledger.jobs.get(jobs.refused!))!
      const key = '990-1'
      const request = { ...job.request, key, jobId: 990, name: 'a new one', createdAt: NOW - 60_000 }
      await world.ledger.jobs.put({
        ...job,
        key,
        version: 1,
        request,
        refused: null,
        completed: null,
        queuedAt: NOW - 60_000,
      })
      await expect.poll(() => rows.count(), { timeout: 10_000 }).toBe(before + 1)
      expect(await page.evaluate('document.activeElement.closest("#runners") !== null')).toBe(true)
      expect(await page.evaluate('scrollY')).toBeGreaterThan(250)
      const times = await page.locator('.lead time').textContent()
      expect(times).toContain('18:41:12')

      await page.click('button:text-is("Pause")')
      const put = (await world.ledger.jobs.get(key))!
      await world.ledger.jobs.put({
        ...put,
        version: 2,
        completed: { at: NOW, conclusion: 'cancelled', startedAt: null, runner: null },
      })
      await page.waitForTimeout(1_500)
      expect(await rows.count()).toBe(before + 1)
      await page.click('button:text-is("Go on")')
      await expect.poll(() => rows.count(), { timeout: 10_000 }).toBe(before)
      expect(errors).toEqual([])
    })
  })

  it('Live says when the server cannot be reached, and goes on when it can', async () => {
    await withTab(browser, {}, async ({ page }) => {
      await page.goto(`${fast.url}/live`)
      await page.context().setOffline(true)
      await page.waitForSelector('text=cannot be reached')
      expect(await page.locator('#runners tbody tr').count()).toBeGreaterThan(0)
      await page.context().setOffline(false)
      await page.waitForSelector('text=Kept up to date')
    })
  })
})

describe('by keyboard', () => {
  it('the content is one step away, and everything that can be chosen can be reached', async () => {
    await withTab(browser, {}, async ({ page }) => {
      await page.goto(`${server.url}/jobs`)
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
      await page.keyboard.press('Enter')
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.name')).toBe('state')
      await page.keyboard.press('r')
      await page.keyboard.press('Enter')
      const reached: string[] = []
      for (let index = 0; index < 40; index++) {
        await page.keyboard.press('Tab')
        reached.push((await page.evaluate('document.activeElement.textContent.trim()')) as string)
      }
      expect(reached).toContain('Cost')
    })
  })
})

it('markup in names is text', async () => {
  await withTab(browser, {}, async ({ page, errors }) => {
    for (const path of ['/jobs', '/jobs/77-1', '/repositories/acme/app', '/']) {
      await page.goto(server.url + path)
      expect(await page.locator('main script, main img').count()).toBe(0)
    }
    await page.goto(`${server.url}/repositories/acme/app`)
    await page.click('table a:has-text("onerror")')
    expect(await page.locator('h1').textContent()).toContain('<script>alert(2)</script>')
    expect(errors).toEqual([])
  })
})
