/** `npm run test:browser`: exits 77 where there is no Chromium. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { chromiumPath } from './support.ts'

if (chromiumPath() === undefined) {
  process.stderr.write(
    'There is no Chromium here: apt-get install chromium, or name one in the environment variable CHROMIUM.\n',
  )
  process.exit(77)
}
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/browser', ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exit(status ?? 1)
