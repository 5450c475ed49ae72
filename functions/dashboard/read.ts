/** What the pages and documents show, read from the ledger. */
import { jobState, needsRunner, readySince, runnerState } from '../core/lifecycle.ts'
import { type PriceAge, priceAge } from '../core/prices.ts'
import { type Period, type Summary, summaryOf } from '../core/reports.ts'
import type { Job, Runner } from '../core/types.ts'
import { type ApiJob, apiJob, ranOn, secondsBetween } from '../core/views.ts'
import type { JobQuery, Ledger, Page, Ports } from '../ports.ts'
import { readReport } from '../reports.ts'

export type DashboardPorts = Pick<Ports, 'clock' | 'ledger' | 'log'> & {
  /** Messages that were given up, in all dead-letter queues together. */
  readonly stats: { deadLetters(): Promise<number> }
}

export interface Health {
  /** Jobs that wait for a runner, deferred ones included. */
  readonly queued: number
  /** How long the oldest of them has; null when there is none. */
  readonly oldestQueuedSeconds: number | null
  /** Runners that have not stopped. */
  readonly live: number
  /** Queued jobs that a limit, or a lack of capacity, holds back. */
  readonly deferred: number
  /** Jobs refused in the last 24 hours. */
  readonly refused: number
  readonly deadLetters: number
}

/** A job with the runner that ran it. */
export interface JobWithRunner {
  readonly job: Job
  readonly runner: Runner | undefined
}

export interface Overview {
  readonly now: number
  readonly health: Health
  /** Runners that a job runs on. */
  readonly busy: number
  /** The first open jobs that no live runner runs, oldest first, of so many. */
  readonly queue: readonly Job[]
  readonly queueLength: number
  /** The newest runners that have not stopped, with the job they run, else the one they are meant for. */
  readonly live: readonly { readonly runner: Runner; readonly job: Job | undefined }[]
  /** Latest jobs that ended, newest first. */
  readonly recent: readonly JobWithRunner[]
  readonly summary: Summary
  readonly prices: PriceAge
}

/** Far more than may be open: GitHub fails a job that waited for a day. */
const OPEN_JOBS = 10_000
const PAGE = 1000
const RECENT_JOBS = 50
/** Rows of one table; counts are of all. */
const ROWS = 100
const DAY_MS = 86_400_000

export async function readJobs(ledger: Ledger, query: JobQuery): Promise<Page<ApiJob>> {
  const { items, next } = await ledger.jobs.page(query)
  const found = await withRunners(ledger, items)
  return { items: found.map(({ job, runner }) => apiJob(job, runner)), next }
}

export async function readHealth({ clock, ledger, stats }: DashboardPorts): Promise<Health> {
  const [jobs, runners, refused, deadLetters] = await Promise.all([
    ledger.jobs.open({ limit: OPEN_JOBS }),
    ledger.runners.open({}),
    refusedSince(ledger, clock.now() - DAY_MS),
    stats.deadLetters(),
  ])
  return health(jobs, runners, refused, deadLetters, clock.now())
}

export async function readSummary(ports: DashboardPorts, period: Period): Promise<Summary> {
  return summaryOf(await readReport(ports, period))
}

/** All that the front page shows. */
export async function readOverview(ports: DashboardPorts, period: Period): Promise<Overview> {
  const { clock, ledger, stats } = ports
  const now = clock.now()
  const [open, runners, refused, deadLetters, recent, summary] = await Promise.all([
    ledger.jobs.open({ limit: OPEN_JOBS }),
    ledger.runners.open({}),
    refusedSince(ledger, now - DAY_MS),
    stats.deadLetters(),
    recentJobs(ledger),
    readSummary(ports, period),
  ])
  const live = runners.filter(isLive).sort((a, b) => bornAt(b) - bornAt(a))
  const running = new Set(live.map(runner => runner.job?.key))
  const shown = live.slice(0, ROWS)
  const queue = open.filter(job => !running.has(job.key))
  return {
    now,
    health: health(open, runners, refused, deadLetters, now),
    busy: live.filter(runner => runnerState(runner) === 'busy').length,
    queue: queue.slice(0, ROWS),
    queueLength: queue.length,
    live: await Promise.all(
      shown.map(async runner => {
        const key = runner.job?.key ?? runner.for
        return { runner, job: key === null ? undefined : await ledger.jobs.get(key) }
      }),
    ),
    recent: await withRunners(ledger, recent),
    summary,
    prices: priceAge(now),
  }
}

function health(
  jobs: readonly Job[],
  runners: readonly Runner[],
  refused: number,
  deadLetters: number,
  now: number,
): Health {
  const queued = jobs.filter(needsRunner)
  const oldest = queued.reduce<number | null>(
    (since, job) => Math.min(since ?? readySince(job), readySince(job)),
    null,
  )
  return {
    queued: queued.length,
    oldestQueuedSeconds: oldest === null ? null : secondsBetween(oldest, now),
    live: runners.filter(isLive).length,
    deferred: queued.filter(job => jobState(job) === 'deferred').length,
    refused,
    deadLetters,
  }
}

/** Lists may lag behind the items in them. */
function isLive(runner: Runner): boolean {
  return runnerState(runner) !== 'stopped'
}

function bornAt({ launch, pullStartedAt, startedAt }: Runner): number {
  return launch?.at ?? pullStartedAt ?? startedAt ?? 0
}

/** A refused job was created at most a day before it was refused: older deliveries are ignored. */
async function refusedSince(ledger: Ledger, since: number): Promise<number> {
  let count = 0
  for await (const jobs of pages(cursor => ledger.jobs.page({ state: 'refused', limit: PAGE, ...cursor }))) {
    count += jobs.filter(({ refused }) => refused && refused.at >= since).length
    if (jobs.some(job => job.request.createdAt < since - DAY_MS)) break
  }
  return count
}

/** Newest by creation of each way to end, put together by when they ended. */
async function recentJobs(ledger: Ledger): Promise<Job[]> {
  const states = ['completed', 'cancelled', 'refused'] as const
  const ended = await Promise.all(states.map(state => ledger.jobs.page({ state, limit: RECENT_JOBS })))
  return ended
    .flatMap(page => page.items)
    .sort((a, b) => endedAt(b) - endedAt(a))
    .slice(0, RECENT_JOBS)
}

export function endedAt({ refused, completed }: Job): number {
  return refused?.at ?? completed?.at ?? 0
}

function withRunners(ledger: Ledger, jobs: readonly Job[]): Promise<JobWithRunner[]> {
  return Promise.all(
    jobs.map(async job => {
      const name = ranOn(job)
      return { job, runner: name === null ? undefined : await ledger.runners.get(name) }
    }),
  )
}

type ReadPage<T> = (cursor: { readonly cursor?: string }) => Promise<Page<T>>

async function* pages<T>(read: ReadPage<T>): AsyncGenerator<readonly T[]> {
  let next: string | null = null
  do {
    const page: Page<T> = await read(next === null ? {} : { cursor: next })
    yield page.items
    next = page.next
  } while (next !== null)
}
