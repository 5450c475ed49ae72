/**
 * What to ask GitHub when its deliveries may have been lost: a run at a time, because one call tells of a hundred
 * jobs. Whoever asks too much has no calls left for launching, so every answer is remembered for a while.
 */
import { isFinal } from './lifecycle.ts'
import { isOverAge } from './sweep.ts'
import type { Job, RepositoryRef, Runner, SeenRepository, SweepMemory } from './types.ts'

export interface RunQuestion {
  readonly runId: number
  readonly repository: RepositoryRef
  readonly installationId: number | null
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** A runner that came up has its job within seconds, and the end of a runner is the end of its job. */
const SOON_MS = MINUTE_MS
/** Between two questions about the same run while one of its jobs should have moved. */
export const AGAIN_MS = 2 * MINUTE_MS
/** A job that runs may well do so for long. Until its lost end is known, its runner may hang, and costs. */
const RUNNING_MS = 10 * MINUTE_MS
/** A job may wait for its turn for long. */
const NOW_AND_THEN_MS = 15 * MINUTE_MS
/** A gate can stay closed for 30 days. */
const GATE_MS = HOUR_MS

/** A repository is looked at in every sweep so long after a job of it was seen. */
export const LATELY_MS = 2 * HOUR_MS
/** The others in turn, so often each. */
const SELDOM_MS = 15 * MINUTE_MS

interface Due {
  readonly at: number
  /** Something should have been heard of the job; of others it is only asked whether they still wait or run. */
  readonly isMissed: boolean
}

/**
 * Runs with jobs that should have moved, the most overdue first, and then those with others: any number of jobs may wait, and
 * must not use up what may be asked.
 */
export function runsToAsk(
  jobs: readonly Job[],
  runners: readonly Runner[],
  asked: SweepMemory['runs'],
  now: number,
): RunQuestion[] {
  const live = new Map(runners.filter(({ stoppedAt }) => stoppedAt === null).map(one => [one.name, one]))
  const due = new Map<number, Due & { readonly question: RunQuestion }>()
  for (const job of jobs) {
    const { runId, repository, installationId } = job.request
    const own = dueOf(job, job.runner === null ? undefined : live.get(job.runner), asked[runId], now)
    if (own === null || own.at > now) continue
    const known = due.get(runId)
    if (known && byUrgency(known, own) <= 0) continue
    due.set(runId, { ...own, question: { runId, repository, installationId } })
  }
  return [...due.values()].sort(byUrgency).map(({ question }) => question)
}

function byUrgency(a: Due, b: Due): number {
  return Number(b.isMissed) - Number(a.isMissed) || a.at - b.at
}

/** When to ask about a job; null where whatever is to come will be told by something else. */
function dueOf(job: Job, runner: Runner | undefined, askedAt: number | undefined, now: number): Due | null {
  const after = (fact: number, first: number, again: number, isMissed = false) => ({
    at: askedAt === undefined || askedAt < fact ? fact + first : askedAt + again,
    isMissed,
  })
  if (isFinal(job)) return null
  if (job.started) {
    const lost = !runner || isOverAge(runner, now) || runner.job?.completedAt != null
    return lost
      ? after(job.started.at, SOON_MS, AGAIN_MS, true)
      : after(job.started.at, RUNNING_MS, RUNNING_MS)
  }
  if (job.queuedAt === null) return after(job.gatedAt ?? job.request.createdAt, GATE_MS, GATE_MS)
  if (job.deferred) return after(job.deferred.since, NOW_AND_THEN_MS, NOW_AND_THEN_MS)
  // Its launch waits for GitHub.
  if (!job.claim) return after(job.queuedAt, NOW_AND_THEN_MS, NOW_AND_THEN_MS)
  const isIdle = runner?.startedAt != null && runner.registration !== null && runner.job === null
  return isIdle ? after(runner.startedAt!, SOON_MS, AGAIN_MS, true) : null
}

/** Repositories whose open runs to list, the one listed longest ago first. */
export function repositoriesToList(known: readonly SeenRepository[], now: number): SeenRepository[] {
  return known
    .filter(({ seenAt, listedAt }) => now - seenAt <= LATELY_MS || now - listedAt >= SELDOM_MS)
    .sort((a, b) => a.listedAt - b.listedAt)
}

/** True when a listed run is new, or may have got more jobs since it was asked for. */
export function isWorthAsking(runId: number, asked: SweepMemory['runs'], now: number): boolean {
  const askedAt = asked[runId]
  // A sweep comes a little sooner or later than a minute after the one before.
  return askedAt === undefined || now - askedAt > AGAIN_MS - MINUTE_MS / 2
}
