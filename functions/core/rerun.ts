/**
 * Jobs that Spot ended in the middle: which they are, and their one re-run.
 *
 * GitHub gives the new attempt a new job id, and says nowhere of which job it is the re-run. So what was lost is remembered
 * under its run and job name, and the first later attempt of that name is its re-run. Its attempt cannot be told
 * beforehand: where Spot took several jobs of a run, each is an attempt of its own, one after the other.
 */
import { isReclaim, wasCutOff } from './stops.ts'
import type { Job, JobRequest, Rerun, Runner } from './types.ts'

/** A run can be run again for so long. https://docs.github.com/actions/managing-workflow-runs/re-running-workflows-and-jobs */
export const RERUN_POSSIBLE_MS = 30 * 24 * 3_600_000
/** GitHub says no for as long as any job of the run has not ended, which can be hours, or days behind a gate. */
const FIRST_ASK_MS = 10_000
const LONGEST_ASK_MS = 3_600_000
/** Nobody else asks while a call is under way: longer than a function can run. */
const CALL_MS = 5 * 60_000

/** True when the runner of the job was taken back before the job had ended. */
export function isLostToSpot({ key, completed }: Job, { job, stop, stoppingAt }: Runner): boolean {
  if (!completed || job?.key !== key || stop === null || stoppingAt === null) return false
  return isReclaim(stop) && wasCutOff(completed, stoppingAt)
}

export function rerunKey({ runId, name }: Pick<JobRequest, 'runId' | 'name'>): string {
  return `${runId}-${name}`
}

/** Notes that `job` is to be run again. @returns `current` where it is noted already, or the job is a re-run itself */
export function remember(current: Rerun | undefined, { key, request }: Job, now: number): Rerun {
  if (current && (current.jobKey === key || isRerun(current, request))) return current
  const { jobId, runId, attempt, repository, installationId } = request
  return {
    key: rerunKey(request),
    version: current?.version ?? 0,
    jobKey: key,
    ...{ jobId, runId, attempt, repository, installationId },
    lostAt: now,
    asked: 0,
    askAt: now + FIRST_ASK_MS,
    asking: null,
    behind: false,
    outcome: null,
    message: null,
    by: null,
  }
}

/** True when that job is the re-run. A person who was faster than us has made it, too. */
export function isRerun({ attempt, outcome, by }: Rerun, request: JobRequest): boolean {
  if (by !== null) return by === request.key
  return request.attempt > attempt && (outcome === null || outcome === 'started')
}

/** The job has come that is the re-run: there will be no other. */
export function adopt(rerun: Rerun, request: JobRequest): Rerun {
  return rerun.by === null ? { ...rerun, by: request.key, outcome: 'started', asking: null } : rerun
}

/** What to do when it is time to ask GitHub. */
export function nextStep(
  rerun: Rerun,
  runAttempt: number | null,
  now: number,
): 'wait' | 'ask' | Pick<Rerun, 'outcome' | 'message'> {
  if (rerun.askAt > now) return 'wait'
  if (runAttempt === null) return { outcome: 'gone', message: null }
  // A call of which no answer is known has had its effect: a second one would be a second re-run.
  if (rerun.asking !== null && runAttempt > rerun.asking) return { outcome: 'started', message: null }
  if (now - rerun.lostAt > RERUN_POSSIBLE_MS)
    return { outcome: 'failed', message: 'The run did not end within 30 days.' }
  return 'ask'
}

/** Written before the call, so that whoever comes next knows that there may have been one. */
export function asking(rerun: Rerun, runAttempt: number, now: number): Rerun {
  return { ...rerun, asking: runAttempt, asked: rerun.asked + 1, askAt: now + CALL_MS }
}

/** GitHub said that the run has not ended. */
export function askLater(rerun: Rerun, now: number): Rerun {
  const delay = Math.min(LONGEST_ASK_MS, FIRST_ASK_MS * 2 ** Math.min(rerun.asked, 30))
  return { ...rerun, asking: null, askAt: now + delay }
}

/**
 * The jobs of its run that are open, as the ledger knows them. When the last of them has ended GitHub is asked at once, and
 * with short delays again, because a job that needs it may come, and a delivery of a job of another system never does.
 * @returns the same re-run where that is no news
 */
export function seenBehind(rerun: Rerun, behind: boolean, now: number): Rerun {
  if (rerun.outcome !== null || rerun.behind === behind) return rerun
  if (behind) return { ...rerun, behind }
  // A call that is under way, or whose answer is not known, keeps its time.
  return rerun.asking === null ? { ...rerun, behind, asked: 0, askAt: now } : { ...rerun, behind }
}

export function settled(rerun: Rerun, { outcome, message }: Pick<Rerun, 'outcome' | 'message'>): Rerun {
  return rerun.outcome === null ? { ...rerun, asking: null, outcome, message } : rerun
}
