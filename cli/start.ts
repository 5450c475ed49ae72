/** `tornade start`: the local stack, live. */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import type { Config } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import { stalePrices } from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import type { Job } from '../functions/core/types.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { lineLog } from '../local/log.ts'
import { upToDate } from '../local/rollups.ts'
import { SAMPLE_FAULTS, SAMPLE_HISTORY_DAYS, scheduleSample } from '../local/sample.ts'
import { type LocalServer, listen } from '../local/server.ts'
import { World } from '../local/world.ts'
import { loadConfigFile } from './config-file.ts'
import { EXIT, type Io } from './io.ts'

const HELP = `Usage: tornade start [OPTION…]

Runs the whole system on this machine: a webhook endpoint, a page, and doubles
of GitHub and AWS. It is a simulation: GitHub and AWS are never called. Five
sample weeks are run through it first, and then go on.

  --port PORT     default 3000; 0 takes a free one
  --speed N       simulated durations are divided by N
  --empty         no sample weeks
  --config FILE   tornade.yml to use (default: ./tornade.yml if there is one)
  --verbose       log of the functions on stderr

The webhook secret is taken from the environment variable
TORNADE_WEBHOOK_SECRET, or made and printed.
`

const NOTICE =
  'This is a simulation on this machine: no job really runs, and neither GitHub nor AWS is called.'
const PARENT_MS = 500
const DAY_MS = 24 * 3_600_000
/** Short, so that a job that somebody posts is over within a minute or so. */
const POSTED_JOB_SECONDS = [10, 30] as const

export async function start(argv: readonly string[], io: Io): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      port: { type: 'string', default: '3000' },
      speed: { type: 'string', default: '1' },
      empty: { type: 'boolean', default: false },
      config: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    io.stdout(HELP)
    return EXIT.good
  }
  const port = number(values.port, '--port', 0, 65_535)
  const speed = number(values.speed, '--speed', 0.01, 1000)
  const { config, warnings } = await loadConfigFile(values.config ?? null, io.cwd)
  const stale = stalePrices(config.region, Date.now())
  for (const warning of [...warnings, ...(stale ? [stale] : [])]) io.stderr(`${warning}\n`)
  return run({ port, speed, empty: values.empty, verbose: values.verbose }, config, io)
}

interface Options {
  readonly port: number
  readonly speed: number
  readonly empty: boolean
  readonly verbose: boolean
}

async function run({ port, speed, empty, verbose }: Options, config: Config, io: Io): Promise<number> {
  const shell = io.env.npm_lifecycle_event === undefined ? null : process.ppid
  const secret = io.env.TORNADE_WEBHOOK_SECRET || randomBytes(20).toString('hex')
  const now = Date.now()
  let live: LocalServer | null = null
  const filled = Promise.withResolvers<void>()
  const world = await World.create({
    config,
    secret,
    speed,
    jobSeconds: POSTED_JOB_SECONDS,
    start: empty ? now : now - (SAMPLE_HISTORY_DAYS + 1) * DAY_MS,
    ...(empty ? {} : { computeFaults: SAMPLE_FAULTS }),
    log: lineLog(io.stderr, verbose ? 'info' : 'error', () => world.clock),
    onJob: (job, before) => live && announce(job, before, io),
    // Once time is real, GitHub's double sends its deliveries over HTTP like anybody else.
    deliver: async (target, delivery) => (live ? post(live, delivery) : target.accept(delivery)),
  })
  const stats = {
    deadLetters: async () => world.backlog.dead,
    // Its runners are doubles: they have no program, and so no version.
    runnerVersion: async () => null,
  }
  const pages = dashboard(
    { ...world.ports, ledger: upToDate(world.ledger, world.clock), stats },
    dashboardOptions(config, { notice: NOTICE, refreshSeconds: 5, logs: null }),
  )
  const server = await listen(world, pages, port, filled.promise)
  io.stdout(
    [
      'tornade, local stack. A simulation: neither GitHub nor AWS is called.',
      '',
      `  page     ${server.url}/`,
      `  webhook  ${server.url}/webhook`,
      `  secret   ${io.env.TORNADE_WEBHOOK_SECRET ? '(from TORNADE_WEBHOOK_SECRET)' : secret}`,
      ...(empty ? [] : ['', 'Five sample weeks run first; the page waits for them some seconds.']),
      '',
    ].join('\n'),
  )
  if (!empty) {
    scheduleSample(world.clock, world.github, now, { marker: config.marker, owner: ownerOf(config) })
    await world.clock.run(now)
    const { items } = await world.ledger.jobs.page({ limit: 100_000 })
    io.stdout(`They have run: ${items.length} jobs. They go on now; stop with Ctrl-C.\n\n`)
  }
  world.clock.goLive()
  live = server
  filled.resolve()
  await stopped(shell)
  world.clock.stop()
  await server.close()
  return EXIT.good
}

/** The account that the sample belongs to: one that tornade.yml allows. */
function ownerOf({ owners }: Config): { login: string; id: number } {
  const [login, id] = Object.entries(owners ?? { acme: 9919 })[0] ?? ['acme', 9919]
  return { login, id }
}

async function post(
  { url }: LocalServer,
  { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
): Promise<void> {
  const answer = await fetch(`${url}/webhook`, { method: 'POST', headers, body })
  await answer.arrayBuffer()
  if (!answer.ok) throw new Error(`delivery answered with ${answer.status}`)
}

/** One line for each state that a job comes to. */
function announce(job: Job, before: Job | undefined, io: Io): void {
  const state = jobState(job)
  if (before && jobState(before) === state) return
  const { request } = job
  const what = clean(`${request.repository.name} ${request.name}`, 40).padEnd(40)
  const detail =
    state === 'running'
      ? ` on ${job.runner ?? 'a runner of somebody else'}`
      : state === 'completed'
        ? ` (${job.completed?.conclusion})`
        : ''
  io.stdout(`${new Date().toISOString().slice(11, 19)}  ${what} ${state}${detail}\n`)
}

function number(text: string, option: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= least && value <= most))
    throw new TornadeError('usage', `${option} ${clean(text)}: a number from ${least} to ${most} is needed`)
  return value
}

/** @param shell in which npm has started this; null without npm. What ends npm ends its shell, and that tells nobody. */
async function stopped(shell: number | null): Promise<void> {
  let watch: NodeJS.Timeout | undefined
  await new Promise<void>(resolve => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
    if (shell !== null) watch = setInterval(() => process.ppid !== shell && resolve(), PARENT_MS)
  })
  clearInterval(watch)
}
