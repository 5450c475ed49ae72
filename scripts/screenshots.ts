/**
 * Takes the pictures of docs/screenshots/ from the sample weeks, always of the same moment. Wants Chromium, and pngquant to
 * make them small: apt-get install chromium fonts-inter pngquant.
 *
 *     node scripts/screenshots.ts
 */
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launch, pagesOf, sampleWorld, serve, withTab } from '../test/browser/support.ts'

const FOLDER = fileURLToPath(new URL('../docs/screenshots', import.meta.url))
const LARGEST_BYTES = 150_000

const world = await sampleWorld({ hostile: false })
const { items } = await world.ledger.jobs.page({ state: 'completed', limit: 500 })
const job = items.find(({ request }) => request.name === 'e2e')!.key
const SHOTS = [
  ['overview', '/', 1280, 'light'],
  ['overview-dark', '/', 1280, 'dark'],
  ['overview-phone', '/', 390, 'light'],
  ['live', '/live', 1280, 'light'],
  ['repositories', '/repositories', 1280, 'light'],
  ['repository', '/repositories/acme/app', 1280, 'light'],
  ['workflow', '/repositories/acme/app/workflows?name=CI', 1280, 'light'],
  ['jobs', '/jobs', 1280, 'dark'],
  ['job', `/jobs/${job}`, 1280, 'light'],
  ['health', '/health', 1280, 'light'],
] as const

await mkdir(FOLDER, { recursive: true })
const [browser, server] = await Promise.all([launch(), serve(pagesOf(world))])
for (const [name, path, width, colorScheme] of SHOTS) {
  await withTab(
    browser,
    { viewport: { width, height: 860 }, colorScheme, timezoneId: 'UTC' },
    async ({ page }) => {
      await page.goto(server.url + path)
      const file = join(FOLDER, `${name}.png`)
      const height = Math.min(1500, await page.evaluate<number>('document.documentElement.scrollHeight'))
      await page.setViewportSize({ width, height })
      await page.waitForTimeout(400)
      await page.screenshot({ path: file })
      execFileSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--output', file, '64', file])
    },
  )
}
await Promise.all([browser.close(), server.close()])
for (const file of await readdir(FOLDER)) {
  const { size } = await stat(join(FOLDER, file))
  if (size > LARGEST_BYTES) throw new Error(`${file} has ${size} bytes: more than ${LARGEST_BYTES}`)
}
process.exit(0)
