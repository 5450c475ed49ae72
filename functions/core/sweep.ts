/** What the sweep should do about what it sees. Pure: the same ledger and time give the same steps. */
import { HEADS_PER_REPOSITORY, isAnyoneWaiting, lineAt, lineOf, readyHeads } from './admission.ts'
import { isFinal, needsRunner, readySince, runnerState } from './lifecycle.ts'
import { CODEBUILD_QUEUED_MINUTES } from './sizes.ts'
import type { Gate, Holder, Job, Rerun, Runner, RunnerLaunch } from './types.ts'

export type SweepAction =
  /** Its claim was interrupted. */
  | { readonly kind: 'resume'; readonly jobKey: string }
  /** Its runner is gone. */
  | { readonly kind: 'relaunch'; readonly jobKey: string; readonly after: string }
  /** Nobody took it up. */
  | { readonly kind: 'queue-again'; readonly jobKey: string }
  | { readonly kind: 'refill'; readonly lines: readonly string[] }
  | { readonly kind: 'wake' }
  /** Places whose runner never came to be. */
  | { readonly kind: 'free'; readonly runners: readonly string[] }
  /** No job needs it: deregister, then stop. */
  | { readonly kind: 'release'; readonly runner: string }
  | { readonly kind: 'stop'; readonly runner: string; readonly providerId: string; readonly reason: string }
  /** GitHub is to be asked for it: nobody did in time, or the last job that it waited for has ended. */
  | { readonly kind: 'rerun'; readonly rerun: string }
  /** Whether jobs of its run are open has changed. */
  | { readonly kind: 'note-behind'; readonly rerun: string; readonly behind: boolean }
  /** It has stopped, and left its ticket or its registration behind. */
  | { readonly kind: 'clean-up'; readonly runner: string }

export interface Sight {
  /** Open jobs, oldest first, and runners that have not stopped or left something behind. Both may lag. */
  readonly jobs: readonly Job[]
  readonly runners: readonly Runner[]
  readonly gate: Gate
  readonly reruns?: readonly Rerun[]
}
export interface SweepLimits {
  readonly runner: { readonly lifeMinutes: number; readonly idleMinutes: number }
}

const MINUTE_MS = 60_000
/** Nothing is called stuck before: messages, retries and lagging lists need their time. */
const STUCK_MS = 5 * MINUTE_MS
/** From a stop to its last clean-up by whoever heard of it. */
const CLEANED_MS = 30_000
/** The runner goes by itself when its time is over; the sweep comes after it. */
const MARGIN_MS = 2 * MINUTE_MS

const NONE: ReadonlySet<string> = new Set()

/** @param kept runners that stand in a pool */
export function sweepActions(
  { jobs, runners, gate, reruns = [] }: Sight,
  limits: SweepLimits,
  now: number,
  kept: ReadonlySet<string> = NONE,
): SweepAction[] {
  const live = new Map(
    runners.filter(({ stoppedAt }) => stoppedAt === null).map(runner => [runner.name, runner]),
  )
  const needed = new Set(jobs.filter(needsRunner).map(job => job.runner))
  return [
    ...jobs.flatMap(job => jobActions(job, live, gate, now)),
    ...runners.flatMap(runner =>
      runner.stoppedAt === null ? runnerActions(runner, needed, kept, limits, now) : leftovers(runner, now),
    ),
    ...gateActions(gate, jobs, live, now),
    ...rerunActions(reruns, jobs, now),
  ]
}

function rerunActions(reruns: readonly Rerun[], jobs: readonly Job[], now: number): SweepAction[] {
  const running = new Set(jobs.filter(job => !isFinal(job)).map(({ request }) => request.runId))
  return reruns.flatMap(({ key, runId, behind, askAt, asking }) => {
    const isBehind = running.has(runId)
    const actions: SweepAction[] = []
    if (isBehind !== behind) actions.push({ kind: 'note-behind', rerun: key, behind: isBehind })
    const isFree = behind && !isBehind && asking === null
    if (isFree || now - askAt > MINUTE_MS) actions.push({ kind: 'rerun', rerun: key })
    return actions
  })
}

function jobActions(job: Job, live: ReadonlyMap<string, Runner>, gate: Gate, now: number): SweepAction[] {
  if (isFinal(job) || job.deferred) return []
  const runner = job.runner === null ? undefined : live.get(job.runner)
  // Of these only GitHub knows more (questions.ts).
  if (job.started || job.queuedAt === null) return []
  if (!job.claim && job.runner === null) {
    // While GitHub asks to wait, its message comes again by itself.
    const isPaused = (gate.pauses.github ?? 0) > now
    return now - readySince(job) > STUCK_MS && !isPaused ? [{ kind: 'queue-again', jobKey: job.key }] : []
  }
  if (runner?.registration && job.runner !== null) {
    return runnerState(runner) === 'busy' &&
      runner.job?.key !== job.key &&
      now - runner.job!.startedAt > STUCK_MS
      ? [{ kind: 'relaunch', jobKey: job.key, after: job.runner }]
      : []
  }
  // It never had a runner of its own: that of another job was meant for it, and is gone.
  if (!job.claim)
    return job.runner !== null && now - readySince(job) > STUCK_MS
      ? [{ kind: 'relaunch', jobKey: job.key, after: job.runner }]
      : []
  if (job.claim.leaseUntil > now) return []
  // Released because GitHub asked to wait (start.ts): its runner is only to be armed, once that is over.
  if (job.claim.leaseUntil === 0 && job.claim.runner === job.runner)
    return (gate.pauses.github ?? 0) > now ? [] : [{ kind: 'resume', jobKey: job.key }]
  // Without a registration the claim was interrupted; with none in sight long after, the runner is gone.
  if (now - job.claim.leaseUntil <= STUCK_MS || job.runner === null)
    return [{ kind: 'resume', jobKey: job.key }]
  return [{ kind: 'relaunch', jobKey: job.key, after: job.runner }]
}

function runnerActions(
  runner: Runner,
  needed: ReadonlySet<string | null>,
  kept: ReadonlySet<string>,
  limits: SweepLimits,
  now: number,
): SweepAction[] {
  const { name, providerId, launch } = runner
  if (providerId === null) return []
  // Nobody knows what it was started for, so nobody will arm it.
  if (launch === null) return now - firstSeen(runner) > STUCK_MS ? [{ kind: 'release', runner: name }] : []
  if (isOverAge(runner, now))
    return [{ kind: 'stop', runner: name, providerId, reason: 'longest life reached' }]
  if (
    runner.job === null &&
    runner.deregisteredAt !== null &&
    runner.stopRequestedAt === null &&
    now - runner.deregisteredAt > MARGIN_MS
  ) {
    return [{ kind: 'release', runner: name }]
  }
  if (runner.job?.completedAt && now - runner.job.completedAt > STUCK_MS) {
    return [{ kind: 'stop', runner: name, providerId, reason: 'its job has ended' }]
  }
  if (runner.job || runner.deregisteredAt !== null || kept.has(name)) return []
  if (isOverIdle(runner, limits, now)) return [{ kind: 'release', runner: name }]
  return !needed.has(name) && now - launch.at > MINUTE_MS ? [{ kind: 'release', runner: name }] : []
}

function firstSeen({ pullStartedAt, startedAt, stoppingAt }: Runner): number {
  return pullStartedAt ?? startedAt ?? stoppingAt ?? 0
}

function leftovers({ name, stoppedAt, cleanedAt }: Runner, now: number): SweepAction[] {
  return cleanedAt === null && now - stoppedAt! > CLEANED_MS ? [{ kind: 'clean-up', runner: name }] : []
}

/** No job came in all the time in which it waits for one, and a margin: it hangs, or has gone and nobody heard of it. */
export function isOverIdle(
  { startedAt, launch }: Runner,
  { runner: { idleMinutes } }: SweepLimits,
  now: number,
): boolean {
  if (launch === null) return false
  // Its start may not have been told.
  const since = startedAt ?? launch.at + Math.max(STUCK_MS, queueMs(launch))
  return now - since > (launch.idleMinutes ?? idleMinutes) * MINUTE_MS + MARGIN_MS
}

/** It should have gone by itself. If it did, nobody heard of it. */
export function isOverAge({ startedAt, launch, job }: Runner, now: number): boolean {
  if (launch === null) return false
  const queued = Math.min((startedAt ?? job?.startedAt ?? now) - launch.at, queueMs(launch))
  return now - launch.at - queued > launch.timeoutMinutes * MINUTE_MS + MARGIN_MS
}

/** A build may wait for its turn so long, which is no part of its life. */
function queueMs({ shape }: RunnerLaunch): number {
  return shape.compute === 'codebuild' ? CODEBUILD_QUEUED_MINUTES * MINUTE_MS : 0
}

/** Nobody has done anything about this place for so long that nobody will. */
export function isForgotten({ since, touchedAt }: Holder, now: number): boolean {
  return now - Math.max(since, touchedAt ?? 0) > STUCK_MS
}

function gateActions(
  gate: Gate,
  jobs: readonly Job[],
  live: ReadonlyMap<string, Runner>,
  now: number,
): SweepAction[] {
  const actions: SweepAction[] = []
  // A job that waits has no use for a place: whoever gave it one did not come to start its runner.
  const claims = new Set(jobs.filter(job => needsRunner(job) && !job.deferred).map(job => job.claim?.runner))
  const empty = Object.entries(gate.holders)
    .filter(([name, holder]) => !live.has(name) && !claims.has(name) && isForgotten(holder, now))
    .map(([name]) => name)
  if (empty.length > 0) actions.push({ kind: 'free', runners: empty })
  const lines = forgotten(gate, jobs, now)
  if (lines.length > 0) actions.push({ kind: 'refill', lines })
  if (isAnyoneWaiting(gate) || lines.length > 0) actions.push({ kind: 'wake' })
  return actions
}

/** Lines of deferred jobs that have room for them at the gate. Who waits for a time is missed when it has come. */
function forgotten(gate: Gate, jobs: readonly Job[], now: number): string[] {
  const lines = new Set<string>()
  for (const job of jobs) {
    if (!job.deferred || Object.hasOwn(gate.holders, job.deferred.runner)) continue
    if (job.deferred.notBefore !== null && job.deferred.notBefore > now) continue
    const key = lineOf({ repositoryId: job.request.repository.id, role: job.spec?.role ?? null })
    const line = lineAt(gate.waiting, key)
    if (readyHeads(line) < HEADS_PER_REPOSITORY && !line.heads.some(head => head.jobKey === job.key))
      lines.add(key)
  }
  return [...lines]
}
