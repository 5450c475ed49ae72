/**
 * Stands in for bin/Runner.Worker: runs the hook, then two steps, of which the second has `if: always()` and so runs
 * after a failed hook and after a cancel. GITHUB_ENV and ::add-mask:: are what a hook can change for later steps.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Scenario } from '../supervised.ts'

const scenario = JSON.parse(readFileSync(process.env.STAND_IN!, 'utf8')) as Scenario
const temp = join(scenario.folder, '_work', '_temp')
mkdirSync(join(temp, '_runner_file_commands'), { recursive: true })
const eventPath = join(temp, 'event.json')
const environmentPath = join(temp, '_runner_file_commands', 'set_env_1')
writeFileSync(eventPath, JSON.stringify(scenario.payload ?? {}))
writeFileSync(environmentPath, '')

const context = {
  GITHUB_ACTIONS: 'true',
  GITHUB_EVENT_PATH: eventPath,
  GITHUB_ENV: environmentPath,
  GITHUB_RUN_ID: '4711',
  ...scenario.handed,
}
let failed = false
let cancelled = false
let current: ChildProcess | null = null
process.on('message', () => {
  cancelled = true
  // CancelAndKillProcessTree: SIGINT first.
  current?.kill('SIGINT')
})
// A terminal handler keeps the worker alive on SIGINT; its listener tells it what to do.
process.on('SIGINT', () => {})

async function execute(script: string, added: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn('bash', ['-e', script], {
    env: { ...process.env, ...context, ...added, NOTES: scenario.folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  current = child
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', data => appendFileSync(join(scenario.folder, 'job-log'), data))
  const code = await new Promise<number>(resolve =>
    child.on('exit', (code, signal) => resolve(signal ? 1 : (code ?? 1))),
  )
  current = null
  return code
}

async function step(name: string, text: string, added: Readonly<Record<string, string>>): Promise<void> {
  const script = join(temp, `${name}.sh`)
  writeFileSync(script, text)
  if ((await execute(script, added)) !== 0) failed = true
}

async function hook(): Promise<void> {
  const path = process.env.ACTIONS_RUNNER_HOOK_JOB_STARTED!
  const running = execute(path, {})
  // A user who cancels while the hook runs: SIGINT, then SIGTERM.
  if (scenario.hook === 'cancelled') {
    cancelled = true
    setTimeout(() => current?.kill('SIGINT'), 250)
    setTimeout(() => current?.kill('SIGTERM'), 350)
  }
  if ((await running) !== 0) failed = true
  // Between two steps the real worker evaluates conditions and writes files.
  await new Promise(resolve => setTimeout(resolve, 100))
}

if (scenario.hook === 'debugged') {
  createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => setTimeout(resolve, 150))
}
if (scenario.hook === 'forged') {
  // Something else of this user asks first, with an environment of its own choice.
  const url = ['--unix-socket', process.env.TORNADE_GUARD_SOCKET!, 'http://guard/verdict']
  const curl = spawn('curl', ['--silent', '--include', ...url], {
    env: { ...process.env, ...context, ...scenario.forged },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  curl.stdout.on('data', data => appendFileSync(join(scenario.folder, 'job-log'), data))
  await new Promise(resolve => curl.on('exit', resolve))
}
if (scenario.hook !== 'skipped') await hook()

const released: Record<string, string> = Object.fromEntries(
  readFileSync(environmentPath, 'utf8')
    .split('\n')
    .filter(line => line.includes('='))
    .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
)
if (!failed && !cancelled) await step('step', scenario.step ?? 'true', released)
await step('always', `echo yes >"${scenario.folder}/always"`, released)
process.disconnect()
process.exit(failed || cancelled ? 102 : 100)
