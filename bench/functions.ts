/**
 * `npm run bench -- functions`: the deployed functions as they are packaged. Size, import, time of a delivery, calls of a
 * job, and what 1,000 jobs cost beside their runners; each against its budget.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import type { RepositoryRef } from '../functions/core/types.ts'
import { type Bill, billOf, idleBillOf, PRICES_AS_OF, STEPS, sum } from './bill.ts'
import { type Unpacked, unpackedBundles } from './bundles.ts'
import { Cloud, Lambda } from './cloud.ts'
import { type ImportTime, importTimes, quantile, RUNS } from './imports.ts'
import { delivery, type Functions, goTheWay, type Step, sweepTimes, together, type Way } from './way.ts'

const ROOT = join(import.meta.dirname, '..')

const BUDGET = {
  webhookZipBytes: 60_000,
  webhookImportMs: 25,
  launchImportMs: 75,
  deliveryP50Ms: 1.0,
  /** Of a delivery, warm. */
  webhookCalls: 1,
  /** Of a job, warm; the gate's two are for each batch. */
  launch: { github: 1, starts: 1, dynamodb: 3, gate: 2 },
  dollars: 0.04,
  idleDollars: 3,
}

const REPOSITORIES: readonly RepositoryRef[] = Array.from({ length: 5 }, (_, index) => ({
  id: 7001 + index,
  name: `acme/service-${index}`,
  private: true,
}))

const WARM_UP_DELIVERIES = 500
const DELIVERIES = 3000

type Check = readonly [name: string, ok: boolean]

interface DeliveryTime {
  readonly p50: number
  readonly p95: number
  readonly cpu: number
  readonly calls: number
}

/** @returns whether all budgets were kept */
export async function functions(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'tornade-bench-'))
  try {
    const deploy = { repositories: REPOSITORIES.map(({ name }) => name), refs: [], events: [] }
    const config = { ...DEFAULT_CONFIG, owners: { acme: 9919 }, roles: { deploy } }
    const bundles = await unpackedBundles(ROOT, folder, config)
    const cloud = await Cloud.start({ folder, bundles, repositories: REPOSITORIES })
    try {
      return await measure(folder, bundles, cloud)
    } finally {
      await cloud.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(folder: string, bundles: readonly Unpacked[], cloud: Cloud): Promise<boolean> {
  const load = loadavg()[0]!
  const machine = `Node ${process.version}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`
  const busy = load > cpus().length / 2 ? ': the machine is busy, so times say little' : ''
  write(`${machine}; load ${load.toFixed(1)} when this began${busy}`, '')

  const imports = await importTimes(
    folder,
    bundles.map(({ name, module }) => ({ name, module, environment: cloud.environment(name) })),
  )
  const checks = [...printSizes(bundles), ...printImports(imports)]

  const lambdas = Object.fromEntries(
    await Promise.all(bundles.map(async one => [one.name, await Lambda.start(cloud, one)] as const)),
  ) as unknown as Functions & { readonly sweep: Lambda }
  try {
    checks.push(...printDelivery(await deliveryTime(cloud, lambdas.webhook)))
    const labels = ['tornade']
    const go = (jobs: number, batch: number, asked = labels) =>
      goTheWay(cloud, lambdas, REPOSITORIES, jobs, { batch, labels: asked })
    // Tokens, secrets and connections.
    await go(REPOSITORIES.length, 1)
    const alone: Way[] = []
    for (let job = 0; job < 20; job++) alone.push(await go(1, 1))
    const quiet = together(alone)
    const burst = await go(50, 10)
    await go(REPOSITORIES.length, 1, ['tornade', 'codebuild'])
    const build = await go(5, 1, ['tornade', 'codebuild'])
    const role = ['tornade', 'role:deploy']
    const first = await go(1, 1, role)
    const roles: Way[] = []
    for (let job = 0; job < 5; job++) roles.push(await go(1, 1, role))
    checks.push(...printCalls('jobs one at a time, on Fargate', quiet))
    checks.push(...printCalls('50 jobs at once, in batches of 10, on Fargate', burst))
    checks.push(...printCalls('jobs one at a time, on CodeBuild', build))
    // Its run is fetched; the id of the role is known for five minutes.
    checks.push(...printCalls('jobs one at a time, on Fargate, with a role', together(roles), 1))
    const asked = [first, ...roles].map(way => sum(way.steps.launch, /^iam /))
    checks.push([
      `launch, with a role: IAM is asked ${asked[0]} times by the first job, and by the next ${asked.slice(1).join(', ')} (1, then 0)`,
      asked.join() === [1, ...roles.map(() => 0)].join(),
    ])
    for (const [title, way] of [
      ['jobs one at a time', quiet],
      ['50 jobs at once', burst],
    ] as const)
      checks.push(
        printBill(`control plane of 1,000 jobs, ${title}`, billOf(way, cloud.deployed), BUDGET.dollars),
      )
    await sweepTimes(cloud, lambdas.sweep, 2)
    const idle = idleBillOf(await sweepTimes(cloud, lambdas.sweep, 10), cloud.deployed)
    checks.push(printBill('an idle stack, a month', idle, BUDGET.idleDollars))
  } finally {
    await Promise.all(Object.values(lambdas).map(lambda => lambda.stop()))
  }
  write(...checks.map(([name, ok]) => `${ok ? 'ok    ' : 'BROKEN'} ${name}`), '')
  return checks.every(([, ok]) => ok)
}

/** Signed deliveries of queued jobs to the warm function, one after the other. */
async function deliveryTime(cloud: Cloud, webhook: Lambda): Promise<DeliveryTime> {
  const make = (index: number) =>
    delivery({ action: 'queued', jobId: 1_000_000 + index, createdAt: Date.now(), labels: ['tornade'] })
  const events = await Promise.all(Array.from({ length: WARM_UP_DELIVERIES + DELIVERIES }, (_, i) => make(i)))
  await webhook.call(events.slice(0, WARM_UP_DELIVERIES))
  const before = cloud.tally()
  const { milliseconds, cpuMilliseconds, results } = await webhook.call(events.slice(WARM_UP_DELIVERIES))
  const accepted = results.filter(result => (result as { statusCode: number }).statusCode === 202)
  if (accepted.length !== DELIVERIES) throw new Error('deliveries were not accepted')
  const after = cloud.tally()
  const calls = [...after].reduce((all, [name, count]) => all + count - (before.get(name) ?? 0), 0)
  cloud.queues.launch.splice(0)
  return {
    p50: quantile(milliseconds, 0.5),
    p95: quantile(milliseconds, 0.95),
    cpu: cpuMilliseconds / DELIVERIES,
    calls: calls / DELIVERIES,
  }
}

function printSizes(bundles: readonly Unpacked[]): Check[] {
  table(
    'zips, bytes',
    bundles.map(({ name, zipBytes }) => [name, String(zipBytes)]),
  )
  const { zipBytes } = bundles.find(({ name }) => name === 'webhook')!
  return [
    [
      `webhook: zip ${zipBytes} bytes (at most ${BUDGET.webhookZipBytes})`,
      zipBytes <= BUDGET.webhookZipBytes,
    ],
  ]
}

function printImports(times: readonly ImportTime[]): Check[] {
  table(`time of \`await import(handler)\` in a fresh process, ms; ${RUNS} runs, in turns`, [
    ['', 'median', 'fastest', '× empty'],
    ...times.map(({ name, median, fastest, ratio }) => [
      name,
      median.toFixed(1),
      fastest.toFixed(1),
      ratio.toFixed(0),
    ]),
  ])
  const limits = { webhook: BUDGET.webhookImportMs, launch: BUDGET.launchImportMs }
  return Object.entries(limits).map(([name, limit]): Check => {
    const { median } = times.find(one => one.name === name)!
    return [`${name}: import ${median.toFixed(1)} ms (at most ${limit})`, median <= limit]
  })
}

function printDelivery({ p50, p95, cpu, calls }: DeliveryTime): Check[] {
  table(`a signed delivery to the warm webhook function, ms; ${DELIVERIES} deliveries, SQS on this machine`, [
    ['p50', p50.toFixed(2)],
    ['p95', p95.toFixed(2)],
    ['CPU', cpu.toFixed(2)],
    ['calls to AWS', String(calls)],
  ])
  return [
    [
      `delivery: p50 ${p50.toFixed(2)} ms (at most ${BUDGET.deliveryP50Ms.toFixed(1)})`,
      p50 <= BUDGET.deliveryP50Ms,
    ],
    [`delivery: ${calls} call to AWS (exactly ${BUDGET.webhookCalls})`, calls === BUDGET.webhookCalls],
  ]
}

/** @param more calls to GitHub that such a job takes besides */
function printCalls(title: string, way: Way, more = 0): Check[] {
  const rows = STEPS.flatMap((step: Step) =>
    [...way.steps[step].calls]
      .filter(([name]) => !name.endsWith(' units'))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => [step, name, decimal(count / way.jobs)]),
  )
  const units = STEPS.map(step => [
    step,
    'dynamodb units written, read',
    `${decimal(sum(way.steps[step], /write units$/) / way.jobs)}, ${decimal(sum(way.steps[step], /read units$/) / way.jobs)}`,
  ]).filter(([step]) => step !== 'webhook')
  table(`calls of a job: ${title} (gate: ${way.gateBytes} bytes)`, [...rows, ...units])
  const { launch } = way.steps
  const gate = (BUDGET.launch.gate * launch.invocations) / way.jobs
  const counted = {
    github: sum(launch, /^github /) / way.jobs,
    starts: sum(launch, /RunTask|StartBuild/) / way.jobs,
    dynamodb: sum(launch, /^dynamodb (?!.* units$)/) / way.jobs - gate,
  }
  return (['github', 'starts', 'dynamodb'] as const).map((name): Check => {
    const most = BUDGET.launch[name] + (name === 'github' ? more : 0)
    const beside = name === 'dynamodb' ? ' beside the gate' : ''
    return [
      `launch, ${title}: ${decimal(counted[name])} × ${name}${beside} (at most ${most})`,
      counted[name] <= most + 1e-9,
    ]
  })
}

function printBill(title: string, bill: Bill, limit: number): Check {
  table(`${title} (us-east-1, ${PRICES_AS_OF})`, [
    ...bill.lines.map(({ name, quantity, unit, dollars }) => [
      name,
      quantity.toFixed(quantity < 100 ? 1 : 0),
      unit,
      `$${dollars.toFixed(5)}`,
    ]),
    ['total', '', '', `$${bill.total.toFixed(4)}`],
  ])
  const assumed = Object.entries(bill.milliseconds).map(([name, ms]) => `${name} ${ms.toFixed(0)} ms`)
  write(`  assumed of an invocation: ${assumed.join(', ')}`, '')
  return [`${title}: $${bill.total.toFixed(4)} (at most $${limit})`, bill.total <= limit]
}

function decimal(value: number): string {
  return String(Math.round(value * 100) / 100)
}

function table(title: string, rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  write(
    title,
    ...rows.map(row =>
      `  ${row.map((cell, at) => (/^[\d$.,\s]*\d/.test(cell) ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!))).join('  ')}`.trimEnd(),
    ),
    '',
  )
}

function write(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
