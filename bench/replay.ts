/**
 * `npm run bench -- replay`: replays 1,000 and 10,000 complete deliveries of distinct queued jobs, as whole processes, and holds
 * time and memory against their budgets.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { workflowJobPayload } from '../local/payloads.ts'
import type { ReplayReport } from '../local/replay.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SIZES = [1_000, 10_000] as const
const BUDGET = { seconds: 60, megabytes: 1000 }
/** Ten times the jobs may take this many times as long, and as much memory, beside what an empty replay takes. */
const LINEAR = 12
const RUNS = 3

const LABELS = [
  ['tornade'],
  ['tornade', 'arm64', 'spot'],
  ['tornade/x64/4cpu'],
  ['tornade', 'codebuild'],
  ['tornade', 'spot', '8cpu'],
]

interface Measured {
  readonly jobs: number
  readonly completed: number
  readonly inputMegabytes: number
  readonly seconds: number
  readonly megabytes: number
}

/** @returns whether all budgets were kept */
export async function replay(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'tornade-bench-'))
  try {
    const empty = await measure(folder, 1)
    const results: Measured[] = []
    for (const jobs of SIZES) results.push(await measure(folder, jobs))
    return print(empty, results)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(folder: string, jobs: number): Promise<Measured> {
  const file = join(folder, `${jobs}.jsonl`)
  await write(file, jobs)
  const runs: Measured[] = []
  for (let run = 0; run < RUNS; run++) {
    process.stderr.write(`\rreplay of ${jobs} jobs, run ${run + 1} of ${RUNS} `)
    runs.push(await runOnce(folder, file, jobs))
  }
  process.stderr.write('\r\u001b[K')
  return runs.sort((a, b) => a.seconds - b.seconds)[Math.floor(RUNS / 2)]!
}

async function runOnce(folder: string, file: string, jobs: number): Promise<Measured> {
  const memory = join(folder, 'memory')
  const start = performance.now()
  const child = spawn(
    process.execPath,
    ['--import', join(ROOT, 'bench/memory.ts'), join(ROOT, 'cli/tornade.ts'), 'replay', file, '--json'],
    {
      env: { ...process.env, TORNADE_BENCH_MEMORY: memory },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(child, 'close')
  const seconds = (performance.now() - start) / 1000
  const report = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ReplayReport
  return {
    jobs,
    completed: report.jobs.filter(job => job.outcome === 'completed').length,
    inputMegabytes: (await stat(file)).size / 1e6,
    seconds,
    megabytes: (Number(await readFile(memory, 'utf8')) * 1024) / 1e6,
  }
}

/** Twenty repositories, a job every four seconds: a busy company. */
async function write(file: string, jobs: number): Promise<void> {
  const start = Date.UTC(2026, 10, 20, 9)
  const out = createWriteStream(file)
  for (let index = 0; index < jobs; index++) {
    const repository = {
      id: 8000 + (index % 20),
      name: `acme/service-${index % 20}`,
      private: true,
      ownerId: 9919,
      ownerType: 'Organization',
      defaultBranch: 'main',
    } as const
    const payload = workflowJobPayload({
      action: 'queued',
      repository,
      jobId: 41_000_000_000 + index,
      runId: 17_000_000_000 + index,
      labels: LABELS[index % LABELS.length]!,
      createdAt: start + index * 4000,
    })
    if (!out.write(`${JSON.stringify(payload)}\n`)) await once(out, 'drain')
  }
  out.end()
  await finished(out)
}

function print(empty: Measured, results: readonly Measured[]): boolean {
  const [small, large] = [results[0]!, results.at(-1)!]
  const time = (large.seconds - empty.seconds) / (small.seconds - empty.seconds)
  const memory = (large.megabytes - empty.megabytes) / (small.megabytes - empty.megabytes)
  const factor = large.jobs / small.jobs
  const checks: [string, boolean][] = [
    ...results.map(({ jobs, completed }): [string, boolean] => [
      `all ${jobs} jobs completed`,
      completed === jobs,
    ]),
    [`${large.jobs} jobs under ${BUDGET.seconds} s`, large.seconds < BUDGET.seconds],
    [`${large.jobs} jobs under ${BUDGET.megabytes} MB`, large.megabytes < BUDGET.megabytes],
    [`time × ${time.toFixed(1)} for jobs × ${factor} (at most ${LINEAR})`, time <= LINEAR],
    [`memory × ${memory.toFixed(1)} for jobs × ${factor} (at most ${LINEAR})`, memory <= LINEAR],
  ]
  const lines = [
    `Node ${process.version}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; whole processes, median of ${RUNS} by time`,
    '',
    '  jobs    input MB   seconds   peak MB   ms per job',
    ...[empty, ...results].map(
      ({ jobs, inputMegabytes, seconds, megabytes }) =>
        `${String(jobs).padStart(6)} ${inputMegabytes.toFixed(1).padStart(11)} ${seconds.toFixed(2).padStart(9)} ${megabytes.toFixed(0).padStart(9)} ${((seconds / jobs) * 1000).toFixed(2).padStart(12)}`,
    ),
    '',
    ...checks.map(([name, ok]) => `${ok ? 'ok    ' : 'BROKEN'} ${name}`),
    '',
  ]
  process.stdout.write(lines.join('\n'))
  return checks.every(([, ok]) => ok)
}
