/** What the pages and documents show, read from the ledger. */
import { jobState, needsRunner, readySince, runnerState } from '../core/lifecycle.ts'
import { type Period, type Report, type Summary, summaryOf } from '../core/reports.ts'
import type { Job, Runner } from '../core/types.ts'
import { type ApiJob, apiJob, ranOn, secondsBetween } from '../core/views.ts'
import type { JobQuery, Ledger, Page, Ports } from '../ports.ts'
import { readReport, readReports } from '../reports.ts'

export type DashboardPorts = Pick<Ports, 'clock' | 'ledger' | 'log'> & {
  /** Messages that were given up, in all dead-letter queues together. */
  readonly stats: {
    deadLetters(): Promise<number>
    /** Of the runner program in the image in use; null where nobody knows. `releasedAt` is GitHub's time of that release. */
    runnerVersion(): Promise<RunnerVersion | null>
  }
}

export interface RunnerVersion {
  /** For example 2.336.0. */
  readonly version: string
  readonly releasedAt: number
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

/** What the front page shows. */
export interface Overview {
  readonly now: number
  /** Of this month until now, and of the one before. */
  readonly month: Report
  readonly before: Report
  readonly deadLetters: number
  /** Runners that hold a place. */
  readonly live: number
  /** Jobs that a limit, or a lack of capacity, holds back; `more` says that there are others. */
  readonly deferred: { readonly count: number; readonly more: boolean; readonly oldest: number | null }
}

/** What moves now. */
export interface Live {
  readonly now: number
  readonly health: Pick<Health, 'queued' | 'oldestQueuedSeconds' | 'live' | 'deferred'>
  /** Runners that a job runs on. */
  readonly busy: number
  /** The first open jobs that no live runner runs, oldest first, of so many. */
  readonly queue: readonly Job[]
  readonly queueLength: number
  /** The newest runners that have not stopped, with the job they run, else the one they are meant for. */
  readonly runners: readonly { readonly runner: Runner; readonly job: Job | undefined }[]
}

/** One job with all that is known of it. */
export interface JobDetail extends JobWithRunner {
  readonly now: number
}

/** Far more than may be open: GitHub fails a job that waited for a day. */
const OPEN_JOBS = 10_000
const PAGE = 1000
/** Jobs that are sorted by anything but their time. */
export const SORTED_JOBS = 1000
const SORTED_PAGES = 20
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
  return { ...health(jobs, runners, clock.now()), refused, deadLetters }
}

export async function readSummary(ports: DashboardPorts, period: Period): Promise<Summary> {
  return summaryOf(await readReport(ports, period))
}

/** Roll-ups of two months and two items, however much there is. */
export async function readOverview(ports: DashboardPorts): Promise<Overview> {
  const { clock, ledger, stats } = ports
  const now = clock.now()
  const start = startOfMonth(now, 0)
  const [reports, gate, deadLetters] = await Promise.all([
    readReports(ports, [
      { from: start, to: now + 1 },
      { from: startOfMonth(now, -1), to: start },
    ]),
    ledger.gate.get(),
    stats.deadLetters(),
  ])
  const [month, before] = reports as [Report, Report]
  const lines = Object.values(gate.waiting)
  const heads = lines.flatMap(line => line.heads)
  return {
    now,
    month,
    before,
    deadLetters,
    live: Object.keys(gate.holders).length,
    deferred: {
      count: heads.length,
      more: lines.some(line => line.more),
      oldest: heads.reduce<number | null>((oldest, { since }) => Math.min(oldest ?? since, since), null),
    },
  }
}

function startOfMonth(at: number, months: number): number {
  const date = new Date(at)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months)
}

export async function readLive({ clock, ledger }: DashboardPorts): Promise<Live> {
  const now = clock.now()
  const [open, runners] = await Promise.all([ledger.jobs.open({ limit: OPEN_JOBS }), ledger.runners.open({})])
  const live = runners.filter(isLive).sort((a, b) => bornAt(b) - bornAt(a))
  const running = new Set(live.map(runner => runner.job?.key))
  const queue = open.filter(job => !running.has(job.key))
  const shown = live.slice(0, ROWS)
  const known = new Map(open.map(job => [job.key, job]))
  return {
    now,
    health: health(open, runners, now),
    busy: live.filter(runner => runnerState(runner) === 'busy').length,
    queue: queue.slice(0, ROWS),
    queueLength: queue.length,
    runners: await Promise.all(
      shown.map(async runner => {
        const key = runner.job?.key ?? runner.for
        return { runner, job: key === null ? undefined : (known.get(key) ?? (await ledger.jobs.get(key))) }
      }),
    ),
  }
}

/** Newest first. A page of a filter that fits few jobs can hold fewer than its limit. */
export async function readJobRows(ledger: Ledger, query: JobQuery): Promise<Page<JobWithRunner>> {
  const { items, next } = await ledger.jobs.page(query)
  return { items: await withRunners(ledger, items), next }
}

/** The newest jobs that fit, in another order: only so many, because the ledger knows them by their time alone. */
export async function readSortedJobs(
  ledger: Ledger,
  query: JobQuery,
  value: (job: Job) => number,
  order: 'asc' | 'desc',
  place: { readonly page: number; readonly size: number },
): Promise<{ readonly rows: readonly JobWithRunner[]; readonly found: number; readonly more: boolean }> {
  const { cursor: _, ...filter } = query
  const found: Job[] = []
  let next: string | null = null
  for (
    let page = 0;
    page < SORTED_PAGES && found.length < SORTED_JOBS && (page === 0 || next !== null);
    page++
  ) {
    const answer: Page<Job> = await ledger.jobs.page({
      ...filter,
      ...(next === null ? {} : { cursor: next }),
      limit: SORTED_JOBS - found.length,
    })
    found.push(...answer.items)
    next = answer.next
  }
  const sign = order === 'asc' ? 1 : -1
  const sorted = found
    .map(job => [value(job), job] as const)
    // What has no value stands last, in both directions.
    .sort(([a], [b]) => Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || sign * (a - b))
    .map(([, job]) => job)
  const from = (place.page - 1) * place.size
  return {
    rows: await withRunners(ledger, sorted.slice(from, from + place.size)),
    found: found.length,
    more: next !== null,
  }
}

export async function readJobDetail(
  { clock, ledger }: DashboardPorts,
  key: string,
): Promise<JobDetail | undefined> {
  const job = await ledger.jobs.get(key)
  if (!job) return undefined
  const name = ranOn(job) ?? job.runner
  return { now: clock.now(), job, runner: name === null ? undefined : await ledger.runners.get(name) }
}

/** Whether anything is known of a repository of that name. */
export async function isKnownRepository(ledger: Ledger, repository: string): Promise<boolean> {
  const { items, next } = await ledger.jobs.page({ repository, limit: 1 })
  return items.length > 0 || next !== null
}

function health(jobs: readonly Job[], runners: readonly Runner[], now: number): Live['health'] {
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
  const query = { state: 'refused', from: since - DAY_MS, limit: PAGE } as const
  for await (const jobs of pages(cursor => ledger.jobs.page({ ...query, ...cursor })))
    count += jobs.filter(({ refused }) => refused && refused.at >= since).length
  return count
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
