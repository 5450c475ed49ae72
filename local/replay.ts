/**
 * Recorded deliveries through the whole system, in stepped time.
 *
 * A queued delivery goes the whole way and stands for GitHub's own state. What came after it in the recording passes
 * the webhook too, but only to be verified and counted: it scripts the GitHub double, which alone says what happens,
 * because the runner that a recording names is not the one that is started here.
 */
import { sign } from '@octokit/webhooks-methods'
import type { Config } from '../functions/config.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import { totals } from '../functions/core/reports.ts'
import { type JobView, jobView, ranOn } from '../functions/core/views.ts'
import type { Log } from '../functions/ports.ts'
import type { HttpAnswer } from './lambda.ts'
import { type Recording, scriptsOf } from './recordings.ts'
import { World } from './world.ts'

export interface ReplayReport {
  readonly deliveries: number
  readonly accepted: number
  readonly ignored: number
  readonly rejected: number
  readonly duplicates: number
  readonly jobs: readonly JobView[]
  readonly totals: ReturnType<typeof totals>
}

export interface ReplayOptions {
  readonly config: Config
  readonly log: Log
  readonly secret: string
  /** Called for each delivery that would have got a 4xx, with the reason. */
  readonly onRejected?: (recording: Recording, status: number, reason: string) => void
  /** Called now and then with how far it is. */
  readonly onProgress?: (progress: {
    readonly delivered: number
    readonly ended: number
    readonly now: number
  }) => void
  /** Tests look at the world when it is over. */
  readonly onEnd?: (world: World) => void
}

const MINUTE_MS = 60_000
/** GitHub cancels what waited for a day; whatever is open an hour later stays open. */
const LONGEST_MS = 25 * 60 * MINUTE_MS
/** Start of the clock for recordings without any time. */
const NO_TIME = Date.UTC(2026, 0, 1)

export async function replay(
  recordings: readonly Recording[],
  options: ReplayOptions,
): Promise<ReplayReport> {
  const timed = withTimes(recordings)
  const start = timed.reduce((earliest, { at }) => Math.min(earliest, at), Number.POSITIVE_INFINITY)
  const world = await World.create({ ...options, start: Number.isFinite(start) ? start : NO_TIME })
  const count = { accepted: 0, ignored: 0, rejected: 0 }
  let delivered = 0
  let last = world.clock.now()

  for (const [key, script] of scriptsOf(recordings)) world.github.script(key, script)
  const queued = new Set(recordings.flatMap(({ job }) => (job && becomesKnown(job.action) ? [job.key] : [])))
  for (const { recording, at } of timed) {
    last = Math.max(last, at)
    world.clock.at(at, async () => {
      const answer = await deliver(world, recording, options.secret, queued)
      const { outcome, reason = '' } = JSON.parse(Buffer.from(answer.body).toString('utf8')) as {
        outcome: keyof typeof count
        reason?: string
      }
      count[answer.status >= 400 ? 'rejected' : outcome]++
      if (answer.status >= 400) options.onRejected?.(recording, answer.status, reason)
      delivered++
    })
  }

  let over = recordings.length === 0
  const look = async (): Promise<void> => {
    const open = await world.ledger.jobs.open({ limit: Number.POSITIVE_INFINITY })
    const moving = open.some(job => jobState(job) !== 'waiting')
    over =
      delivered === recordings.length && !moving && world.backlog.waiting === 0 && world.compute.live === 0
    options.onProgress?.({
      delivered,
      ended: world.metrics.get('JobsCompleted') ?? 0,
      now: world.clock.now(),
    })
    world.clock.after(MINUTE_MS, look)
  }
  // Half a minute beside the sweep, so that what it sends has been handled.
  world.clock.at(world.clock.now() + MINUTE_MS / 2, look)
  await world.clock.run(last + LONGEST_MS, () => over)
  options.onEnd?.(world)
  return {
    deliveries: recordings.length,
    ...count,
    duplicates: duplicates(recordings),
    ...(await report(world)),
  }
}

/** The same delivery id, or the same job, attempt, action and status: the second one and all after it. */
export function duplicates(recordings: readonly Recording[]): number {
  const seen = new Set<string>()
  let count = 0
  for (const { id, hasId, job } of recordings) {
    const names = [
      ...(hasId ? [`id ${id}`] : []),
      ...(job ? [`job ${job.key} ${job.action} ${job.status}`] : []),
    ]
    if (names.some(name => seen.has(name))) count++
    for (const name of names) seen.add(name)
  }
  return count
}

/** Headers for a body, as GitHub would send them with this secret. */
export async function signedHeaders(
  { headers, event, id, body }: Recording,
  secret: string,
): Promise<Record<string, string>> {
  const text = Buffer.from(body).toString('utf8')
  return {
    'content-type': 'application/json',
    'user-agent': 'tornade-replay',
    ...headers,
    'x-github-event': event,
    'x-github-delivery': id,
    ...(text === '' ? {} : { 'x-hub-signature-256': await sign(secret, text) }),
  }
}

async function deliver(
  world: World,
  recording: Recording,
  secret: string,
  queued: ReadonlySet<string>,
): Promise<HttpAnswer> {
  const { job, body, run } = recording
  const headers = await signedHeaders(recording, secret)
  // Without its queued delivery the double does not know the job: what was recorded is all that will be heard of it.
  if (job && !becomesKnown(job.action) && queued.has(job.key)) return world.verify(headers, body)
  const answer = await world.request('POST', '/webhook', headers, body)
  const { outcome } = JSON.parse(Buffer.from(answer.body).toString('utf8')) as { outcome?: string }
  if (job && becomesKnown(job.action) && outcome === 'accepted')
    world.github.adopt(JSON.parse(Buffer.from(body).toString('utf8')), run)
  return answer
}

function becomesKnown(action: string): boolean {
  return action === 'queued' || action === 'waiting'
}

/** A recording that does not say when it came is taken to have come with the one before it. */
function withTimes(
  recordings: readonly Recording[],
): { readonly recording: Recording; readonly at: number }[] {
  let at = recordings.find(recording => recording.at !== null)?.at ?? NO_TIME
  return recordings.map(recording => {
    at = recording.at ?? at
    return { recording, at }
  })
}

async function report(world: World): Promise<Pick<ReplayReport, 'jobs' | 'totals'>> {
  const jobs = (await all(world.ledger.jobs.page)).reverse()
  const runners = await all(world.ledger.runners.page)
  const byName = new Map(runners.map(runner => [runner.name, runner]))
  return {
    jobs: jobs.map(job => jobView(job, byName.get(ranOn(job) ?? ''), { final: true })),
    totals: totals(jobs, runners),
  }
}

async function all<T>(
  page: (query: { cursor?: string; limit: number }) => Promise<{ items: readonly T[]; next: string | null }>,
): Promise<T[]> {
  const items: T[] = []
  let cursor: string | null | undefined
  while (cursor !== null) {
    const answer = await page({ limit: 1000, ...(cursor === undefined ? {} : { cursor }) })
    items.push(...answer.items)
    cursor = answer.next
  }
  return items
}
