import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { dashboard } from '../functions/dashboard.ts'
import { LocalLedger } from '../local/ledger.ts'
import { constants } from '../scripts/bundle.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tornade-pages-'))
})
afterAll(() => rm(folder, { recursive: true }))

it('the bundled pages carry style, scripts and icon, and need no file beside them', async () => {
  const { outputFiles } = await build({
    entryPoints: ['functions/dashboard.ts'],
    bundle: true,
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    minify: true,
    write: false,
    plugins: [constants],
  })
  const path = join(folder, 'dashboard.mjs')
  await writeFile(path, outputFiles[0]!.text)
  const bundled = (await import(pathToFileURL(path).href)) as { dashboard: typeof dashboard }
  const answers = await Promise.all(
    [bundled.dashboard, dashboard].map(async make => {
      const app = make(
        {
          clock: { now: () => Date.UTC(2026, 10, 20) },
          ledger: new LocalLedger(),
          log: { debug() {}, info() {}, warn() {}, error() {} },
          stats: { deadLetters: async () => 0, runnerVersion: async () => null },
        },
        { notice: null, refreshSeconds: null, gitHub: 'https://github.com', spend: null, logs: null },
      )
      const page = await (await app.request('/')).text()
      const assets = [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(async ([, asset]) =>
        (await app.request(asset!)).text(),
      )
      return [page.replaceAll(/nonce="[^"]+"/g, ''), ...(await Promise.all(assets))]
    }),
  )
  expect(answers[0]).toHaveLength(4)
  expect(answers[0]).toEqual(answers[1])
})
