/**
 * Runs a built test variant of the image in containers with Docker's default capabilities: `image.ts run IMAGE`.
 * `image.ts runner FOLDER` writes the stand-in for the runner program that the variant is built with. Called by
 * runner-image/test-image.sh.
 */
import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startFakeAws } from './fake-aws.ts'
import { JIT_CONFIG, PAYLOAD, POLICY, PUSH, type Scenario, writeRunner } from './supervised.ts'

const say = (text: string) => process.stdout.write(`${text}\n`)
const execute = promisify(execFile)

/** What a job can find: by itself, and as root. */
const STEP = `
env >"$NOTES/environment"
sudo --non-interactive id -u >"$NOTES/root"
sudo bash -c 'for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr "\\0" "\\n" <"$file"; done; cat /proc/[0-9]*/fd/3' >"$NOTES/found" 2>/dev/null </dev/null || :
sudo cat /proc/1/cmdline >"$NOTES/first"
cat /proc/1/environ >"$NOTES/refused" 2>&1 || :
`

interface Case {
  readonly name: string
  readonly scenario: Omit<Scenario, 'folder'>
  readonly ticket: boolean
  readonly code: number
  readonly released: boolean
  readonly steps: boolean
}

const JOB = { jobAfterMs: 0, handed: PUSH, payload: PAYLOAD, step: STEP }
const CASES: readonly Case[] = [
  { name: 'a job that may use the role', scenario: JOB, ticket: true, code: 0, released: true, steps: true },
  {
    name: 'a job that may not',
    scenario: { ...JOB, handed: { ...PUSH, GITHUB_REF: 'refs/heads/wip' } },
    ticket: true,
    code: 0,
    released: false,
    steps: true,
  },
  {
    name: 'a job of a fork',
    scenario: {
      ...JOB,
      handed: { ...PUSH, GITHUB_EVENT_NAME: 'pull_request' },
      payload: { pull_request: { head: { repo: { id: 666 } } } },
    },
    ticket: true,
    code: 7,
    released: false,
    steps: false,
  },
  { name: 'no ticket', scenario: JOB, ticket: false, code: 3, released: false, steps: false },
]

async function run(
  image: string,
  { name, scenario, ticket, code, released, steps }: Case,
): Promise<string[]> {
  const aws = await startFakeAws(`image${process.pid}`)
  const folder = mkdtempSync(join(tmpdir(), 'tornade-image-'))
  chmodSync(folder, 0o777)
  writeFileSync(join(folder, 'scenario.json'), JSON.stringify({ ...scenario, folder: '/notes' }))
  if (ticket) aws.put(JIT_CONFIG)
  const environment = {
    ...aws.environment,
    TORNADE_RUNNER: 'tornade-1-1-1',
    TORNADE_POLICY: JSON.stringify(POLICY),
    TORNADE_TICKET_SECONDS: '4',
    TORNADE_EXPLAIN_SECONDS: '0.2',
    STAND_IN: '/notes/scenario.json',
  }
  const variables = Object.entries(environment).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  const answer = await execute('docker', [
    'run',
    '--rm',
    '--network',
    'host',
    '--volume',
    `${folder}:/notes`,
    ...variables,
    image,
  ]).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
    error => ({ code: error.code as number, output: `${error.stdout}${error.stderr}` }),
  )
  const read = (file: string) => {
    try {
      return readFileSync(join(folder, file), 'latin1')
    } catch {
      return null
    }
  }
  const { path, token, keys } = aws.canaries
  const secrets = [path, token, ...keys, 'canary-metadata']
  const faults: string[] = []
  const expect = (what: string, holds: boolean) => {
    if (!holds) faults.push(`${name}: ${what}`)
  }
  expect(`it ended with ${answer.code}, not ${code}`, answer.code === code)
  expect('the output has a secret', !answer.output.includes('canary'))
  expect('a request was refused', !aws.calls.some(call => call.startsWith('refused')))
  expect('its always() step ran', (read('always') !== null) === steps)
  if (steps) {
    expect('sudo was not open', read('root') === '0\n')
    expect('tini is not the first process', read('first')?.startsWith('tini\0') === true)
    expect(
      'the environment of the first process could be read',
      read('refused')?.includes('Permission denied') === true,
    )
    expect('the credentials were not released', released === read('environment')!.includes(path))
    expect('root saw no process', read('found')!.includes('TORNADE_POLICY='))
    if (!released)
      for (const secret of secrets) expect(`root found ${secret}`, !read('found')!.includes(secret))
  }
  if (faults.length > 0) say(answer.output)
  rmSync(folder, { recursive: true, force: true })
  await aws.close()
  return faults
}

function writeTestRunner(folder: string): void {
  const node = 'externals/node24/bin'
  writeRunner(folder, `/opt/runner/${node}/node`)
  mkdirSync(join(folder, node), { recursive: true })
  cpSync(process.execPath, join(folder, node, 'node'))
  writeFileSync(join(folder, 'bin', 'installdependencies.sh'), '#!/bin/sh\n', { mode: 0o755 })
  mkdirSync(join(folder, 'externals', 'node24_alpine'))
}

const [, , verb, argument] = process.argv
if (verb === 'runner') writeTestRunner(argument!)
else {
  const faults: string[] = []
  for (const one of CASES) {
    const start = performance.now()
    faults.push(...(await run(argument!, one)))
    say(`image: ${one.name}, ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }
  for (const fault of faults) say(`FAILED ${fault}`)
  say(
    `${CASES.length - new Set(faults.map(fault => fault.split(':')[0])).size} passed, ${faults.length} failed`,
  )
  process.exitCode = faults.length > 0 ? 1 : 0
}
