/**
 * `npm run bench -- whatif`: `tornade whatif` over a month of 100,000 jobs, as a whole process, plain and packed, held
 * against its budget of time and memory.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createGzip } from 'node:zlib'
import type { WhatIfReport } from '../local/whatif.ts'
import { deliveriesOf, month } from './month.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const JOBS = 100_000
const BUDGET = { seconds: 60, megabytes: 1000 }
const SET = ['capacity=spot', 'arch=arm64']

interface Measured {
  readonly name: string
  readonly inputMegabytes: number
  readonly seconds: number
  readonly megabytes: number
  readonly today: WhatIfReport
  readonly changed: WhatIfReport
}

/** @returns whether all budgets were kept */
export async function whatif(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'tornade-bench-'))
  try {
    const [plain, gzip] = [join(folder, 'month.jsonl'), join(folder, 'month.jsonl.gz')]
    process.stderr.write('writing a month ')
    const load = loadavg()[0]!
    await pipeline(lines(), createWriteStream(plain))
    const first = await measure(folder, 'plain', plain)
    await pipeline(lines(), createGzip({ level: 6 }), createWriteStream(gzip))
    await rm(plain)
    return print([first, await measure(folder, 'gzip', gzip)], load)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function lines(): Readable {
  return Readable.from(
    (function* () {
      for (const delivery of deliveriesOf(month({ jobs: JOBS }))) yield `${JSON.stringify(delivery)}\n`
    })(),
  )
}

async function measure(folder: string, name: string, file: string): Promise<Measured> {
  process.stderr.write(`\r\u001b[Kwhatif over ${JOBS} jobs, ${name} `)
  const memory = join(folder, 'memory')
  const start = performance.now()
  const child = spawn(
    process.execPath,
    [
      ...['--import', join(ROOT, 'bench/memory.ts'), join(ROOT, 'cli/tornade.ts'), 'whatif', file, '--json'],
      ...SET.flatMap(set => ['--set', set]),
    ],
    {
      cwd: folder,
      env: { ...process.env, TORNADE_BENCH_MEMORY: memory },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(child, 'close')
  const seconds = (performance.now() - start) / 1000
  process.stderr.write('\r\u001b[K')
  const { today, changed } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Measured
  const megabytes = (Number(await readFile(memory, 'utf8')) * 1024) / 1e6
  return { name, inputMegabytes: (await stat(file)).size / 1e6, seconds, megabytes, today, changed }
}

function print(results: readonly Measured[], load: number): boolean {
  const [{ today, changed }] = results as [Measured, Measured]
  const checks: [string, boolean][] = [
    ...results.map(({ name, seconds }): [string, boolean] => [
      `${name}: under ${BUDGET.seconds} s`,
      seconds < BUDGET.seconds,
    ]),
    ...results.map(({ name, megabytes }): [string, boolean] => [
      `${name}: under ${BUDGET.megabytes} MB`,
      megabytes < BUDGET.megabytes,
    ]),
    [
      `every job has ended in both worlds`,
      [today, changed].every(({ jobs }) => jobs.total === JOBS && jobs.open === 0),
    ],
    ['both forms say the same', JSON.stringify(results[0]!.changed) === JSON.stringify(results[1]!.changed)],
  ]
  const text = [
    `Node ${process.version}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; whole processes; load before: ${load.toFixed(1)}${load > 0.5 ? ', so the machine is not idle' : ''}`,
    '',
    'recording   input MB   seconds   peak MB',
    ...results.map(
      ({ name, inputMegabytes, seconds, megabytes }) =>
        `${name.padEnd(9)} ${inputMegabytes.toFixed(0).padStart(10)} ${seconds.toFixed(1).padStart(9)} ${megabytes.toFixed(0).padStart(9)}`,
    ),
    '',
    `$${today.totals.costUsd.toFixed(2)} today, $${changed.totals.costUsd.toFixed(2)} with ${SET.join(' and ')}`,
    '',
    ...checks.map(([name, ok]) => `${ok ? 'ok    ' : 'BROKEN'} ${name}`),
    '',
  ]
  process.stdout.write(text.join('\n'))
  return checks.every(([, ok]) => ok)
}
