/** A real browser before a server of a given app. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { serve as listen } from '@hono/node-server'
import type { AxeResults } from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { DEFAULT_CONFIG } from '../../functions/config.ts'
import { type DashboardPorts, dashboard, dashboardOptions } from '../../functions/dashboard.ts'
import { ACME_APP } from '../../local/payloads.ts'
import { SAMPLE_FAULTS, SAMPLE_HISTORY_DAYS, scheduleSample } from '../../local/sample.ts'
import { World } from '../../local/world.ts'

export interface App {
  fetch(request: Request): Response | Promise<Response>
}
export interface Server {
  readonly url: string
  close(): Promise<void>
}

/** On a free port of this machine. */
export function serve(app: App): Promise<Server> {
  return new Promise(resolve => {
    const server = listen(
      { fetch: request => app.fetch(request), port: 0, hostname: '127.0.0.1' },
      ({ port }: AddressInfo) =>
        resolve({
          url: `http://127.0.0.1:${port}`,
          close: () =>
            new Promise(done => {
              server.close(() => done())
              if ('closeAllConnections' in server) server.closeAllConnections()
            }),
        }),
    )
  })
}

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where Chromium is; undefined where there is none. */
export function chromiumPath(): string | undefined {
  return [process.env.CHROMIUM, ...PLACES].find(path => path && existsSync(path))
}

/** No account, no update, no GPU: it looks at this one server. Root has no sandbox. */
const FLAGS = `--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
  --disable-component-update --disable-sync`.split(/\s+/)

export function launch(): Promise<Browser> {
  const executablePath = chromiumPath()
  if (executablePath === undefined)
    throw new Error(`Chromium is in none of ${PLACES.join(', ')}, nor in CHROMIUM`)
  return chromium.launch({ executablePath, args: FLAGS })
}

export interface Tab {
  readonly page: Page
  /** What the browser complained about. */
  readonly errors: string[]
}

export async function withTab<T>(
  browser: Browser,
  options: BrowserContextOptions,
  use: (tab: Tab) => Promise<T>,
): Promise<T> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Asia/Tokyo', ...options })
  const page = await context.newPage()
  const errors: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  page.on('pageerror', error => errors.push(String(error)))
  page.on('dialog', dialog => {
    errors.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  try {
    return await use({ page, errors })
  } finally {
    await context.close()
  }
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Rules of axe-core that this page breaks, serious ones and worse, each with what breaks it. */
export async function axeFaults(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate('axe.run()')) as AxeResults
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .slice(0, 3)
          .map(node => `${node.html.slice(0, 160)}: ${node.failureSummary ?? ''}`)
          .join(' | ')}`,
    )
}

export const NOW = Date.UTC(2026, 10, 20, 9, 41, 12)
export const HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

/** The sample weeks, and a workflow that somebody named in order to be executed. Time stands still at NOW. */
export async function sampleWorld({ hostile = true } = {}): Promise<World> {
  const config = { ...CONFIG, owners: { acme: 9919 } }
  const world = await World.create({
    config,
    secret: 'a secret of these tests',
    start: NOW - (SAMPLE_HISTORY_DAYS + 1) * 86_400_000,
    computeFaults: SAMPLE_FAULTS,
    log: SILENT,
  })
  const owner = { login: 'acme', id: 9919 }
  scheduleSample(world.clock, world.github, NOW, { marker: 'tornade', owner })
  if (hostile) {
    world.clock.at(NOW - 3_600_000, () =>
      world.github.queue({
        repository: ACME_APP,
        installationId: 5001,
        jobId: 77,
        runId: 78,
        attempt: 1,
        workflow: HOSTILE,
        name: `${HOSTILE}${'very long '.repeat(40)}`,
        labels: ['tornade', 'spot'],
        headBranch: HOSTILE,
        headSha: '0'.repeat(40),
        event: 'push',
        headRepositoryId: ACME_APP.id,
        script: { durationMs: 60_000, conclusion: 'success' },
      }),
    )
  }
  await world.clock.run(NOW)
  return world
}

export const CONFIG = {
  ...DEFAULT_CONFIG,
  spend: { monthlyMicroUsd: 50_000_000, dailyMicroUsd: null, onCap: 'block' as const },
}

export function portsOf(world: World): DashboardPorts {
  return {
    ...world.ports,
    ledger: world.ledger,
    stats: {
      deadLetters: async () => world.backlog.dead,
      runnerVersion: async () => ({ version: '2.336.0', releasedAt: NOW - 12 * 86_400_000 }),
    },
  }
}

export function pagesOf(world: World, refreshSeconds: number | null = null) {
  return dashboard(portsOf(world), dashboardOptions(CONFIG, { notice: null, refreshSeconds, logs: null }))
}
