/** What the provider says of runners, held against what the ledger believes. */
import { applyRunnerEvent, MISSING } from './lifecycle.ts'
import { isOverAge, type SweepLimits } from './sweep.ts'
import type { Runner, RunnerEvent } from './types.ts'

const MINUTE_MS = 60_000
const STARTED_MS = 3 * MINUTE_MS
const ENDED_MS = 2 * MINUTE_MS
const STOPPED_MS = 3 * MINUTE_MS
const IDLE_MARGIN_MS = MINUTE_MS
/** A list of a provider can lag behind what it just started, and so can our own news of it. */
export const NO_VERDICT_MS = 5 * MINUTE_MS

/** True for a runner of which something should have been heard by now. */
export function shouldHaveMoved(runner: Runner, { runner: limits }: SweepLimits, now: number): boolean {
  const { providerId, launch, startedAt, stoppedAt, stopRequestedAt, job } = runner
  if (providerId === null || stoppedAt !== null) return false
  const since = launch?.at ?? lastAlive(runner)
  if (isOverAge(runner, now)) return true
  if (stopRequestedAt !== null && now - stopRequestedAt >= STOPPED_MS) return true
  if (startedAt === null) return now - since >= STARTED_MS
  if (job) return job.completedAt !== null && now - job.completedAt >= ENDED_MS
  return now - startedAt >= (launch?.idleMinutes ?? limits.idleMinutes) * MINUTE_MS + IDLE_MARGIN_MS
}

/**
 * The event that was lost, if one was.
 * @param told what the provider says; null where it does not know the runner
 */
export function lostEvent(runner: Runner, told: RunnerEvent | null, now: number): RunnerEvent | null {
  const event = told ?? missing(runner, now)
  return event && isNews(runner, event) ? event : null
}

function isNews(runner: Runner, event: RunnerEvent): boolean {
  const known = applyRunnerEvent(runner, event)
  return (['pullStartedAt', 'startedAt', 'stoppingAt', 'stoppedAt'] as const).some(
    fact => known[fact] !== runner[fact],
  )
}

/**
 * ECS describes a task for an hour after its stop, so one that it does not know stopped long ago, or never was; nobody
 * knows when. It is taken as stopped when it was last known to be alive: that it ran, and so cost, any longer cannot be
 * shown, and a runner is never billed for what nobody saw. Should AWS tell of its stop after all, that counts instead.
 */
function missing(runner: Runner, now: number): RunnerEvent | null {
  const { name, providerId, stopRequestedAt, deregisteredAt } = runner
  const lastFact = Math.max(lastAlive(runner), stopRequestedAt ?? 0, deregisteredAt ?? 0)
  if (now - lastFact < NO_VERDICT_MS) return null
  return {
    kind: 'runner',
    runner: name,
    providerId: providerId!,
    pullStartedAt: null,
    startedAt: null,
    stoppingAt: null,
    stoppedAt: lastAlive(runner),
    stop: { code: MISSING, reason: 'The provider does not know this runner any more.' },
  }
}

/** The last moment at which it was known to be alive. */
function lastAlive({ launch, registration, pullStartedAt, startedAt, job }: Runner): number {
  const facts = [launch?.at, registration?.at, pullStartedAt, startedAt, job?.startedAt, job?.completedAt]
  return Math.max(0, ...facts.map(fact => fact ?? 0))
}

/** What to do about a task or build that runs and that no open runner of the ledger accounts for. */
export type OrphanVerdict = 'leave' | 'adopt' | 'stop' | 'adopt-and-stop'

/**
 * @param runner the runner that it was started for, as the ledger has it now
 * @param isClaimed somebody is about to use it: its claim is held, or will be resumed
 */
export function orphanVerdict(
  event: RunnerEvent,
  runner: Runner | undefined,
  isClaimed: boolean,
): OrphanVerdict {
  if (event.stoppedAt !== null && runner) return 'leave'
  if (!runner || runner.providerId === null) return isClaimed ? 'adopt' : 'adopt-and-stop'
  // Started twice for one runner, or given up for missing: the ledger has an end or another beginning for it.
  if (runner.providerId !== event.providerId || runner.stoppedAt !== null) return 'stop'
  return 'leave'
}
