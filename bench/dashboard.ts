/**
 * `npm run bench -- dashboard`: a month of 100,000 jobs, rolled up and read: how fast from the local ledger, with how many
 * calls and bytes from DynamoDB, and what rolling up costs there.
 */
import { DynamoLedger } from '../functions/aws/ledger.ts'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { spanOf } from '../functions/core/rollups.ts'
import type { RollupMemory } from '../functions/core/types.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import type { Clock, Ledger } from '../functions/ports.ts'
import { readReport } from '../functions/reports.ts'
import { rollUp } from '../functions/rollup.ts'
import { LocalLedger } from '../local/ledger.ts'
import { SILENT } from '../local/log.ts'
import { rollUpSince } from '../local/rollups.ts'
import { type Dynalite, startDynalite } from '../test/support/dynalite.ts'
import { ROLLED_UP } from './bill.ts'
import { quantile } from './imports.ts'
import { Meter, metered } from './meter.ts'
import { ledgerOf, month } from './month.ts'

const BUDGET = {
  p95Ms: 150,
  requests: 3,
  bytes: 1_000_000,
}
/** USD: https://aws.amazon.com/dynamodb/pricing/on-demand/ (us-east-1) */
const [WRITE_UNIT, READ_UNIT] = [0.625 / 1e6, 0.125 / 1e6]

const JOBS = 100_000
const DAYS = 30
/** Monday. */
const START = Date.UTC(2026, 9, 5)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const SWEEP_MS = 15 * MINUTE_MS
/** Until the last pass over the last hour. */
const AFTER_MS = 4 * DAY_MS
const REPEATS = 100

type Check = readonly [name: string, ok: boolean]
type Items = ReturnType<typeof itemsOf>

/** @returns whether all budgets were kept */
export async function dashboardBench(): Promise<boolean> {
  const items = itemsOf(JOBS)
  const checks: Check[] = []
  const local = new LocalLedger()
  const end = START + DAYS * DAY_MS
  for (const item of items) await put(local, item)
  const began = performance.now()
  await rollUpSince(local, { now: () => end }, START)
  write(`${JOBS} jobs of ${DAYS} days are rolled up in ${seconds(performance.now() - began)} s`, '')
  checks.push(...(await fromMemory(local, end)))
  const dynamo = await startDynalite()
  try {
    checks.push(...(await fromDynamo(dynamo, local, end)))
    const few = await costOf(dynamo, null, itemsOf(1000), START, START + DAYS * DAY_MS)
    const day = START + 28 * DAY_MS
    const many = items.filter(({ endedAt }) => endedAt >= day && endedAt < day + DAY_MS)
    const busy = await costOf(dynamo, local, many, day, day + DAY_MS)
    printCosts([
      [`${JOBS} a month (a working day of ${many.length})`, busy],
      ['1000 a month', few],
    ])
    const [written, read] = [busy.writes / busy.jobs, busy.reads / busy.jobs]
    checks.push([
      `rolling a job up, of ${JOBS} a month: ${written.toFixed(2)} write units (at most ${ROLLED_UP.writeUnits}), ${read.toFixed(1)} read units (at most ${ROLLED_UP.readUnits})`,
      written <= ROLLED_UP.writeUnits && read <= ROLLED_UP.readUnits,
    ])
  } finally {
    await dynamo.close()
  }
  write(...checks.map(([name, ok]) => `${ok ? 'ok    ' : 'BROKEN'} ${name}`), '')
  return checks.every(([, ok]) => ok)
}

function itemsOf(jobs: number) {
  return [...ledgerOf(month({ jobs, days: DAYS, start: START }))]
    .map(({ job, runner }) => ({
      job: { ...job, version: 1 },
      runner: runner && { ...runner, version: 1 },
      endedAt: runner?.stoppedAt ?? job.refused?.at ?? job.completed!.at,
    }))
    .sort((a, b) => a.endedAt - b.endedAt)
}

async function put(ledger: Ledger, { job, runner }: Items[number]): Promise<void> {
  await ledger.jobs.put(job)
  if (runner) await ledger.runners.put(runner)
}

const PATHS = ['/api/summary', '/']

async function fromMemory(ledger: Ledger, now: number): Promise<Check[]> {
  const pages = pagesOf(ledger, now)
  const checks: Check[] = []
  for (const path of PATHS) {
    const times: number[] = []
    for (let count = 0; count < REPEATS; count++) {
      const began = performance.now()
      const answer = await pages.request(path)
      await answer.text()
      if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`)
      times.push(performance.now() - began)
    }
    const [p50, p95] = [quantile(times, 0.5), quantile(times, 0.95)]
    const name = `GET ${path} from memory: p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms`
    checks.push([`${name} (at most ${BUDGET.p95Ms})`, p95 <= BUDGET.p95Ms])
  }
  return checks
}

/** The roll-ups of the local ledger, put into DynamoDB: what the pages read of them there. */
async function fromDynamo(dynamo: Dynalite, local: LocalLedger, now: number): Promise<Check[]> {
  const clock = { now: () => now }
  const { ledger, tally } = await ledgerIn(dynamo, clock)
  await ledger.rollups.put(await allRollups(local, now))
  await ledger.sweep.put({ ...(await local.sweep.get()), version: 1 })
  const period = { from: now - DAYS * DAY_MS, to: now }
  const [read, there] = [
    await readReport({ clock, ledger }, period),
    await readReport({ clock, ledger: local }, period),
  ]
  if (JSON.stringify(read) !== JSON.stringify(there)) throw new Error('DynamoDB has other roll-ups')
  const pages = pagesOf(ledger, now)
  const checks: Check[] = []
  for (const path of PATHS) {
    tally.clear()
    const answer = await pages.request(path)
    await answer.text()
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`)
    const requests = [...tally]
      .filter(([name]) => /^dynamodb [A-Z]/.test(name))
      .reduce((all, [, by]) => all + by, 0)
    const bytes = tally.get('bytes')!
    checks.push([
      `GET ${path} from DynamoDB: ${requests} requests (at most ${BUDGET.requests}), ${bytes} bytes (at most ${BUDGET.bytes})`,
      requests <= BUDGET.requests && bytes <= BUDGET.bytes,
    ])
  }
  return checks
}

function pagesOf(ledger: Ledger, now: number) {
  const stats = { deadLetters: async () => 0, runnerVersion: async () => null }
  const options = dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null })
  return dashboard({ clock: { now: () => now }, ledger, log: SILENT, stats }, options)
}

async function allRollups({ rollups }: LocalLedger, before: number) {
  const keys: string[] = []
  for (let at = START; at < before; at += HOUR_MS) {
    const text = new Date(at).toISOString()
    for (const period of [
      `hour#${text.slice(0, 13)}`,
      `day#${text.slice(0, 10)}`,
      `month#${text.slice(0, 7)}`,
    ])
      keys.push(`${period}#spend`, `${period}#usage`)
  }
  return [...(await rollups.get([...new Set(keys)])).values()]
}

interface Cost {
  readonly jobs: number
  readonly reads: number
  readonly writes: number
  /** Of 1,000 jobs. */
  readonly dollars: number
}

/** Sweeps while these items come about, and until nothing is looked at any more. Writing the items is not in it. */
async function costOf(
  dynamo: Dynalite,
  before: LocalLedger | null,
  items: Items,
  from: number,
  to: number,
): Promise<Cost> {
  let now = from
  const clock = { now: () => now }
  const { ledger, tally } = await ledgerIn(dynamo, clock)
  if (before) {
    const earlier = await allRollups(before, from)
    await ledger.rollups.put(
      earlier.filter(({ grain, period }) => grain === 'month' || spanOf(grain, period).to <= from),
    )
  }
  let memory: RollupMemory = { lookedAt: 0, done: [] }
  let [reads, writes, next] = [0, 0, 0]
  for (; now <= to + AFTER_MS; now += SWEEP_MS) {
    while (next < items.length && items[next]!.endedAt < now) await put(ledger, items[next++]!)
    tally.clear()
    memory = await rollUp({ clock, ledger }, memory, () => Number.POSITIVE_INFINITY)
    reads += tally.get('dynamodb read units') ?? 0
    writes += tally.get('dynamodb write units') ?? 0
  }
  const jobs = items.length
  return { jobs, reads, writes, dollars: ((reads * READ_UNIT + writes * WRITE_UNIT) * 1000) / jobs }
}

async function ledgerIn(dynamo: Dynalite, clock: Clock) {
  const tally = new Map<string, number>()
  const count = (name: string, by: number) => void tally.set(name, (tally.get(name) ?? 0) + by)
  dynamo.intercept = metered(new Meter(), count, bytes => count('bytes', bytes))
  const table = await dynamo.table('LedgerTable')
  const settings = { client: dynamo.client, table, clock, log: { ...SILENT, error: fail } }
  return { ledger: new DynamoLedger(settings), tally }
}

function fail(message: string): never {
  throw new Error(message)
}

function printCosts(rows: readonly (readonly [string, Cost])[]): void {
  write('rolling up on DynamoDB, 1,000 jobs (us-east-1)')
  for (const [name, { jobs, reads, writes, dollars }] of rows) {
    const [read, written] = [(reads * 1000) / jobs, (writes * 1000) / jobs]
    write(
      `  ${name}: ${read.toFixed(0)} read units, ${written.toFixed(0)} write units, $${dollars.toFixed(5)}`,
    )
  }
  write('')
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}

function write(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
