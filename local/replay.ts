/**
 * Recorded deliveries through the whole system, in stepped time.
 *
 * A queued delivery goes the whole way and stands for GitHub's own state. What came after it in the recording passes
 * the webhook too, but only to be verified and counted: it scripts the GitHub double, which alone says what happens,
 * because the runner that a recording names is not the one that is started here.
 */
import { sign } from '@octokit/webhooks-methods'
import type { Config } from '../functions/config.ts'
import { isFinal, jobState } from '../functions/core/lifecycle.ts'
import { totals } from '../functions/core/reports.ts'
import type { Job, Runner } from '../functions/core/types.ts'
import { type JobView, jobView, ranOn } from '../functions/core/views.ts'
import type { Log } from '../functions/ports.ts'
import type { JobScript } from './github.ts'
import { type RecordedJob, type Recording, scriptsOf } from './recordings.ts'
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
  /** Tests look at the world when it is over; a gap of many weeks in a recording makes two. */
  readonly onEnd?: (world: World) => void
}

const MINUTE_MS = 60_000
/** GitHub cancels what waited for a day; whatever is open an hour later stays open. */
const LONGEST_MS = 25 * 60 * MINUTE_MS
/**
 * A workflow run ends within 35 days, the wait for an approval included, so nothing lasts from before such a gap until
 * after it: https://docs.github.com/en/actions/reference/limits
 */
const LONGEST_RUN_MS = 35 * 24 * 60 * MINUTE_MS
/** Start of the clock for recordings without any time. */
const NO_TIME = Date.UTC(2026, 0, 1)

interface Timed {
  readonly recording: Recording
  readonly at: number
}

type Outcome = 'accepted' | 'ignored' | 'rejected'

export async function replay(
  recordings: readonly Recording[],
  options: ReplayOptions,
): Promise<ReplayReport> {
  const count = { accepted: 0, ignored: 0, rejected: 0 }
  const ended: Ledgers[] = []
  const scripts = scriptsOf(recordings)
  for (const part of partsOf(withTimes(recordings))) {
    const before = {
      delivered: count.accepted + count.ignored + count.rejected,
      ended: ended.reduce((sum, { jobs }) => sum + jobs.filter(isFinal).length, 0),
    }
    const world = await runPart(part, scripts, {
      ...options,
      onOutcome: outcome => count[outcome]++,
      onProgress: ({ delivered, ended, now }) =>
        options.onProgress?.({ delivered: before.delivered + delivered, ended: before.ended + ended, now }),
    })
    options.onEnd?.(world)
    ended.push(await ledgersOf(world))
  }
  return {
    deliveries: recordings.length,
    ...count,
    duplicates: duplicates(recordings),
    jobs: ended.flatMap(({ views }) => views),
    totals: totals(
      ended.flatMap(({ jobs }) => jobs),
      ended.flatMap(({ runners }) => runners),
    ),
  }
}

interface PartOptions extends ReplayOptions {
  readonly onOutcome: (outcome: Outcome) => void
}

async function runPart(
  part: readonly Timed[],
  scripts: ReadonlyMap<string, JobScript>,
  options: PartOptions,
): Promise<World> {
  const world = await World.create({ ...options, start: part[0]!.at })
  const queued = new Set(part.flatMap(({ recording: { job } }) => (job && makesKnown(job) ? [job.key] : [])))
  for (const key of queued) world.github.script(key, scripts.get(key) ?? {})
  let delivered = 0
  for (const { recording, at } of part) {
    world.clock.at(at, async () => {
      const { status, outcome, reason } = await deliver(world, recording, options.secret, queued)
      options.onOutcome(outcome)
      if (outcome === 'rejected') options.onRejected?.(recording, status, reason)
      delivered++
    })
  }

  let over = false
  const look = async (): Promise<void> => {
    const open = await world.ledger.jobs.open({ limit: Number.POSITIVE_INFINITY })
    const moving = open.some(job => jobState(job) !== 'waiting' || willBeCancelled(job, scripts))
    over = delivered === part.length && !moving && world.backlog.waiting === 0 && world.compute.live === 0
    options.onProgress?.({
      delivered,
      ended: world.metrics.get('JobsCompleted') ?? 0,
      now: world.clock.now(),
    })
    world.clock.after(MINUTE_MS, look)
  }
  // Half a minute beside the sweep, so that what it sends has been handled.
  world.clock.at(world.clock.now() + MINUTE_MS / 2, look)
  await world.clock.run(part.at(-1)!.at + LONGEST_MS, () => over)
  return world
}

/** Behind a gate, and not for ever. */
function willBeCancelled(job: Job, scripts: ReadonlyMap<string, JobScript>): boolean {
  return scripts.get(job.key)?.cancelAt !== undefined
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
): Promise<{ readonly status: number; readonly outcome: Outcome; readonly reason: string }> {
  const { job, body, run } = recording
  const headers = await signedHeaders(recording, secret)
  // Without its queued delivery the double does not know the job: what was recorded is all that will be heard of it.
  const scripted = job && !makesKnown(job) && queued.has(job.key)
  const answer = await (scripted
    ? world.verify(headers, body)
    : world.request('POST', '/webhook', headers, body))
  const { outcome, reason = '' } = JSON.parse(Buffer.from(answer.body).toString('utf8')) as {
    outcome: Outcome
    reason?: string
  }
  if (job && makesKnown(job) && outcome === 'accepted')
    world.github.adopt(JSON.parse(Buffer.from(body).toString('utf8')), run)
  return { status: answer.status, outcome: answer.status >= 400 ? 'rejected' : outcome, reason }
}

function makesKnown({ action }: RecordedJob): boolean {
  return action === 'queued' || action === 'waiting'
}

/** A recording that does not say when it came is taken to have come with the one before it. Earliest first. */
function withTimes(recordings: readonly Recording[]): Timed[] {
  let at = recordings.find(recording => recording.at !== null)?.at ?? NO_TIME
  return recordings
    .map(recording => {
      at = recording.at ?? at
      return { recording, at }
    })
    .sort((a, b) => a.at - b.at)
}

/** Cut where nothing can be left of what came before, so that nobody has to wait for years to pass. */
function partsOf(timed: readonly Timed[]): Timed[][] {
  const parts: Timed[][] = []
  let last = Number.NEGATIVE_INFINITY
  for (const one of timed) {
    if (one.at - last > LONGEST_RUN_MS) parts.push([])
    parts.at(-1)!.push(one)
    last = one.at
  }
  return parts
}

interface Ledgers {
  readonly jobs: readonly Job[]
  readonly runners: readonly Runner[]
  readonly views: readonly JobView[]
}

/** Oldest first. */
async function ledgersOf({ ledger }: World): Promise<Ledgers> {
  const jobs = (await all(ledger.jobs.page)).reverse()
  const runners = (await all(ledger.runners.page)).reverse()
  const byName = new Map(runners.map(runner => [runner.name, runner]))
  const views = jobs.map(job => jobView(job, byName.get(ranOn(job) ?? ''), { final: true }))
  return { jobs, runners, views }
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
