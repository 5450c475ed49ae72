/** Why a task or build stopped, in the provider's words, and what that means. */
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
export function lostForCapacity({ job, stop }: Pick<Runner, 'job' | 'stop'>): boolean {
  return job === null && stop !== null && (isShortage(stop) || isReclaim(stop))
}

/** In the provider's own words. */
export function stopWords({ code, reason }: StopReason): string {
  return reason === '' ? code : `${reason} (${code})`
}
