/**
 * What GitHub knows and did not tell: failed deliveries are asked for again, runs whose jobs should have moved are
 * asked for their jobs, and repositories for runs that nobody told of.
 *
 * Launching comes first at GitHub: all of this keeps within a tenth of what an endpoint allows in a minute (900
 * points, a GET is one: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api), and a pause
 * that GitHub asks for ends it.
 */
import { askGitHub, eventOf, isNews, requestOf } from './ask.ts'
import type { Config } from './config.ts'
import { jobKey } from './core/delivery.ts'
import { pauseAskedFor, TornadeError } from './core/errors.ts'
import { hasMarker } from './core/labels.ts'
import { runnerOf } from './core/plan.ts'
import { isWorthAsking, type RunQuestion, repositoriesToList, runsToAsk } from './core/questions.ts'
import { type Failure, lookFrom, notAsked, redeliveries } from './core/redelivery.ts'
import type { Job, JobEvent, SeenRepository } from './core/types.ts'
import { errorFields } from './lambda.ts'
import { pauseFor } from './patience.ts'
import type { GitHubRunJob, GitHubScope } from './ports.ts'
import { route } from './route.ts'
import type { Round, SweepPorts } from './sweep.ts'

export type Step = (name: string, work: () => Promise<void>) => Promise<void>

const POINTS = 90
/** GitHub pages its lists by so many. */
const PAGE = 100
/** Asked for in one sweep, each a write of five points, at an endpoint that nothing else uses. */
const REDELIVERIES = 60
const LOG_PAGES = 30
/** Calls under way at a time; GitHub allows 100 to all of us. */
const AT_ONCE = 5
/** Not begun later than this before the end of the function: a call that hangs takes ten. */
const LEAST_MS = 15_000
/** Of a job that has ended, the news may have been lost so long after it was last asked for. */
const MARGIN_MS = 2 * 60_000
const FIRST_QUESTION_MS = 60 * 60_000

export async function askAround(ports: SweepPorts, config: Config, round: Round, step: Step): Promise<void> {
  const { clock, github, ledger, log, queue } = ports
  if ((round.sight.gate.pauses.github ?? 0) > clock.now()) return
  const open = new Map(round.sight.jobs.map(job => [job.key, job]))
  const asked = new Set<number>()
  let points = POINTS
  let paused = false

  await part('redeliver', redeliver)
  await part('ask about runs', askAboutRuns)
  await part('list runs', listRuns)

  /** GitHub's own wish to be left alone ends what is left; any other failure only the part that met it. */
  async function part(name: string, work: () => Promise<void>): Promise<void> {
    if (paused) return
    await step(name, async () => {
      try {
        await work()
      } catch (error) {
        if ((await pauseFor(ports, error)) === null) throw error
        paused = true
        log.warn('GitHub asks to wait, the sweep goes on without it', { step: name })
      }
    })
  }

  function spend(cost: number): boolean {
    if (paused || points < cost || round.invocation.remainingMs() < LEAST_MS) return false
    points -= cost
    return true
  }

  async function redeliver(): Promise<void> {
    const now = clock.now()
    const from = lookFrom(round.memory.deliveries, now)
    const failures: Failure[] = []
    let cursor: string | null = null
    let complete = false
    for (let page = 0; page < LOG_PAGES && !complete; page++) {
      const { deliveries, next } = await github.listFailedDeliveries(cursor)
      failures.push(...deliveries.filter(({ deliveredAt }) => deliveredAt >= from))
      complete = next === null || deliveries.some(({ deliveredAt }) => deliveredAt < from)
      cursor = next
    }
    if (!complete) log.warn('more deliveries failed than are looked at', { failures: failures.length })
    const { ask, memory } = redeliveries(failures, complete, round.memory.deliveries, REDELIVERIES, now)
    round.memory = { ...round.memory, deliveries: memory }
    if (ask.length === 0) return
    // First, so that a crash cannot make it ask without end.
    await remember()
    log.info('failed deliveries are asked for again', { count: ask.length })
    const left = new Set(ask)
    try {
      await inTurn(ask, async failure => {
        await github.redeliver(failure.id)
        left.delete(failure)
      })
    } finally {
      round.memory = { ...round.memory, deliveries: notAsked(round.memory.deliveries, [...left]) }
    }
  }

  async function remember(): Promise<void> {
    const next = { ...round.memory, version: round.memory.version + 1 }
    if (!(await ledger.sweep.put(next)).ok)
      throw new TornadeError('ledger-contention', 'another sweep has taken over from this one')
    round.memory = next
  }

  async function askAboutRuns(): Promise<void> {
    const { jobs, runners } = round.sight
    await inTurn(runsToAsk(jobs, runners, round.memory.runs, clock.now()), question => ask(question))
  }

  async function listRuns(): Promise<void> {
    const repositories = repositoriesToList(round.memory.repositories, clock.now())
    await inTurn(repositories, async ({ ref, installationId }) => {
      if (!spend(2)) return
      const scope: GitHubScope = { repository: ref, installationId }
      const now = clock.now()
      try {
        const queued = await github.listRuns(scope, 'queued')
        const running = await github.listRuns(scope, 'in_progress')
        points -= more(queued.length) + more(running.length)
        noteListed(ref.id, now)
        for (const { id } of [...queued, ...running])
          if (!asked.has(id) && isWorthAsking(id, round.memory.runs, now))
            await ask({ runId: id, repository: ref, installationId })
      } catch (error) {
        if (pauseAskedFor(error) !== null) throw error
        // It may have been deleted, or the App taken off it: the others must not wait for it.
        noteListed(ref.id, now)
        log.warn('the runs of a repository cannot be listed', { repository: ref.name, ...errorFields(error) })
      }
    })
  }

  function noteListed(repositoryId: number, listedAt: number): void {
    const repositories = round.memory.repositories.map(one =>
      one.ref.id === repositoryId ? { ...one, listedAt } : one,
    )
    round.memory = { ...round.memory, repositories }
  }

  async function ask({ runId, repository, installationId }: RunQuestion): Promise<void> {
    if (asked.has(runId) || !spend(1)) return
    asked.add(runId)
    const now = clock.now()
    const listed = await github.listJobs({ repository, installationId }, runId)
    points -= more(listed?.length ?? 0)
    const before = round.memory.runs[runId] ?? now - FIRST_QUESTION_MS
    round.memory = { ...round.memory, runs: { ...round.memory.runs, [runId]: now } }
    const known = round.memory.repositories.find(({ ref }) => ref.id === repository.id)
    const told = new Set<string>()
    for (const job of listed ?? []) {
      told.add(jobKey(job.id, job.attempt))
      const event = await newsOf(job, known, runId, before)
      if (event) await tell(event)
    }
    // Of an attempt that is not the run's latest any more, or of a run that was deleted.
    for (const job of open.values())
      if (job.request.runId === runId && !told.has(job.key)) await askAlone(job, listed === null)
  }

  async function askAlone(job: Job, isDeleted: boolean): Promise<void> {
    if (!isDeleted && !spend(1)) return
    const event = isDeleted ? eventOf(job.request, null, clock.now()) : await askGitHub(ports, job)
    if (event && isNews(event, job)) await tell(event)
  }

  /** What is new about a job of an asked run; null for jobs of others, and where the ledger knows it all. */
  async function newsOf(
    listed: GitHubRunJob,
    repository: SeenRepository | undefined,
    runId: number,
    askedBefore: number,
  ): Promise<JobEvent | null> {
    const now = clock.now()
    const known = open.get(jobKey(listed.id, listed.attempt))
    if (known) {
      const event = eventOf(known.request, listed, now)
      return event && isNews(event, known) ? event : null
    }
    if (!repository || !isOwned(repository)) return null
    const event = eventOf(requestOf(repository, runId, listed, now), listed, now)
    if (event?.kind === 'completed') {
      const lately = event.at >= askedBefore - MARGIN_MS
      return lately && (await ranUnseen(listed)) ? event : null
    }
    const isOurs =
      hasMarker(listed.labels, config.marker) || runnerOf(listed.runnerName ?? '', config.marker) !== null
    if (!event || !isOurs) return null
    return isNews(event, await ledger.jobs.get(event.request.key)) ? event : null
  }

  function isOwned({ ownerId }: SeenRepository): boolean {
    return config.owners === null || Object.values(config.owners).includes(ownerId)
  }

  /** It ended on a runner of ours of which nobody knows what it ran. */
  async function ranUnseen({ runnerName }: GitHubRunJob): Promise<boolean> {
    const name = runnerOf(runnerName ?? '', config.marker)
    const runner = name === null ? undefined : await ledger.runners.get(name)
    return runner !== undefined && runner.job === null
  }

  async function tell(event: JobEvent): Promise<void> {
    log.info('told by GitHub when asked', { job: event.request.key, news: event.kind })
    await queue.send(...route(event))
  }

  /** A few at a time, in their order. One that fails does not keep the others, unless GitHub asks for a pause. */
  async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    const waiting = [...items]
    const failures: unknown[] = []
    const isPaused = () => failures.some(error => pauseAskedFor(error) !== null)
    const worker = async () => {
      for (let item = waiting.shift(); item !== undefined && !isPaused(); item = waiting.shift()) {
        try {
          await work(item)
        } catch (error) {
          failures.push(error)
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    if (failures.length > 0) throw failures.find(error => pauseAskedFor(error) !== null) ?? failures[0]
  }
}

/** Pages after the first that so many items took. */
function more(items: number): number {
  return Math.floor(items / PAGE)
}
