/** Why a task or build stopped, in the provider's words, and what that means. */
import { CODEBUILD_QUEUED_MINUTES } from './sizes.ts'
import type { Runner, StopReason } from './types.ts'

/** A task that has stopped did so for some reason; one on its way out may not say it yet. */
export function stopReason(
  stopped: boolean,
  {
    stopCode,
    stoppedReason,
  }: { readonly stopCode?: string | null | undefined; readonly stoppedReason?: string | null | undefined },
): StopReason | null {
  return stopped || stopCode || stoppedReason
    ? { code: stopCode ?? 'unknown', reason: stoppedReason ?? '' }
    : null
}

/**
 * Spot took it back. Newer events have a stopCode of its own; in older ones TerminationNotice stood for more than that,
 * and the sentence tells.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
 */
export function isReclaim({ code, reason }: StopReason): boolean {
  return code === 'SpotInterruption' || /\bspot task was interrupted\b/i.test(reason)
}

/**
 * It was taken, and then there was no capacity or quota for it. The sentences are those of RunTask.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
 */
export function isShortage({ code, reason }: StopReason): boolean {
  return (
    code === 'TaskFailedToStart' && /capacity is unavailable|reached the limit on the number of/i.test(reason)
  )
}

/** The runner never had a job, because there was no capacity for it, or none any more. */
export function lostForCapacity(runner: Pick<Runner, 'job' | 'stop' | 'startedAt'>): boolean {
  const { job, stop } = runner
  return job === null && stop !== null && (isShortage(stop) || isReclaim(stop) || queuedTooLong(runner))
}

/** A build whose turn never came. */
function queuedTooLong({ stop, startedAt }: Pick<Runner, 'stop' | 'startedAt'>): boolean {
  return stop?.code === 'TIMED_OUT' && startedAt === null
}

/** AWS ended it, or never got it to run: nobody who used it had a part in that. */
function isInterruption(stop: StopReason): boolean {
  return isReclaim(stop) || FAULTS_OF_AWS.has(stop.code)
}
/** Of ECS: no capacity, no image, no network; the host. Of CodeBuild: its own fault. */
const FAULTS_OF_AWS: ReadonlySet<string> = new Set(['TaskFailedToStart', 'InfrastructureHealth', 'FAULT'])

const FAILED: ReadonlySet<string> = new Set(['failure', 'cancelled', 'timed_out'])
/** GitHub's clock against that of AWS. */
const SKEW_MS = 5_000

/**
 * True when a job was cut off by the stop of its runner: it failed, and not before. One that a person had cancelled, or that
 * failed by itself, may well have had a runner on Spot.
 */
export function wasCutOff(
  ended: { readonly at: number; readonly conclusion: string },
  stoppingAt: number,
): boolean {
  return FAILED.has(ended.conclusion) && ended.at >= stoppingAt - SKEW_MS
}

/** True when all that the runner cost was paid for nothing: an interruption took it from its job, or before it had one. */
export function isInVain({ job, stop, stoppingAt, stoppedAt }: Runner): boolean {
  if (stop === null || stoppedAt === null || !isInterruption(stop)) return false
  if (job === null || job.completedAt === null) return true
  // Where its conclusion was not kept, the time decides.
  const { completedAt: at, conclusion = 'failure' } = job
  return wasCutOff({ at, conclusion }, stoppingAt ?? stoppedAt)
}

/** Why a runner came to nothing. */
export function lossWords(runner: Pick<Runner, 'stop' | 'startedAt'>): string {
  return queuedTooLong(runner)
    ? `The account ran as many builds as it may for ${CODEBUILD_QUEUED_MINUTES} minutes. Have "Concurrently running builds" raised in Service Quotas (CodeBuild).`
    : stopWords(runner.stop!)
}

/** In the provider's own words. */
export function stopWords({ code, reason }: StopReason): string {
  return reason === '' ? code : `${reason} (${code})`
}
