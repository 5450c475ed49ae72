/**
 * Stands in for bin/Runner.Listener: takes the JIT config from its environment, waits, gets one job, hands it to a
 * worker, reports its result and ends. What it does is written in the scenario (JSON, named by STAND_IN), what it saw
 * goes into the same folder. Behaves as https://github.com/actions/runner does at v2.336.0 where a test depends on it.
 */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scenario } from '../supervised.ts'

if (process.argv.includes('--version')) {
  process.stdout.write('2.999.0\n')
  process.exit(0)
}

const scenario = JSON.parse(readFileSync(process.env.STAND_IN!, 'utf8')) as Scenario
const note = (name: string, value: unknown) =>
  writeFileSync(join(scenario.folder, name), JSON.stringify(value))
const root = join(import.meta.dirname, '..')

// Before its first note: whoever reads that may send a signal.
let cancel: () => void = () => {
  note('signed-off', true)
  process.exit(0)
}
process.on('SIGINT', () => {
  if (!scenario.deaf) cancel()
})
// What a default handler would do to the real one as well, had it not its own.
process.on('SIGTERM', () => process.exit(99))

const jitConfig = process.env.ACTIONS_RUNNER_INPUT_JITCONFIG ?? null
delete process.env.ACTIONS_RUNNER_INPUT_JITCONFIG
const starts = count('starts')
note(`listener-${starts}`, { jitConfig, arguments: process.argv.slice(2), environment: process.env })

const exitCode = scenario.listenerExits?.[starts - 1]
if (exitCode !== undefined) process.exit(exitCode)
process.stdout.write('√ Connected to GitHub\n')

const forever = setInterval(() => {}, 1000)
if (scenario.jobAfterMs !== undefined) {
  setTimeout(() => {
    const worker = spawn(join(root, 'bin', 'Runner.Worker'), ['spawnclient', '1', '2'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    note('worker', worker.pid)
    let cancelled = false
    cancel = () => {
      cancelled = true
      worker.send('cancel', () => {})
    }
    worker.on('exit', (code, signal) => {
      clearInterval(forever)
      note('result', {
        result: cancelled ? 'cancelled' : code === 100 ? 'succeeded' : 'failed',
        code,
        signal,
      })
      process.exit(0)
    })
  }, scenario.jobAfterMs)
}

function count(name: string): number {
  const path = join(scenario.folder, name)
  let value = 1
  try {
    value = Number(readFileSync(path, 'utf8')) + 1
  } catch {}
  writeFileSync(path, String(value))
  return value
}
