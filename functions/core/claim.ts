/** Who may start a runner for a job right now. One conditional write on the job item makes the answer true. */
import { needsRunner, newJob } from './lifecycle.ts'
import { firstCapacity, generationOf, startRequest } from './plan.ts'
import type { Claim, Job, JobRequest, LaunchCause, RunnerLaunch, Spec } from './types.ts'

export interface Candidate {
  readonly request: JobRequest
  readonly spec: Spec
  readonly runner: string
  readonly generation: number
  readonly cause: LaunchCause
  readonly queuedAt: number
  /** The runner that the job is known to have lost, when this one is to replace it. */
  readonly replaces: string | null
}

export type ClaimResult =
  /** The claim is ours; `resumed` when an earlier holder may have sent its request already. */
  | { readonly outcome: 'claimed'; readonly job: Job; readonly claim: Claim; readonly resumed: boolean }
  /** Another invocation holds it until then. */
  | { readonly outcome: 'held'; readonly until: number }
  /** The job needs no runner, or has another one by now. */
  | { readonly outcome: 'not-needed' }

/**
 * Claims `candidate` on its job (`current`, or a new one) for `owner` until `leaseUntil`.
 * A claim whose lease is over is taken over with its request as it is: its outcome is unknown.
 */
export function claim(
  current: Job | undefined,
  candidate: Candidate,
  owner: string,
  now: number,
  leaseUntil: number,
): ClaimResult {
  const queued = queue(current, candidate)
  const held = queued.claim
  if (!wants(queued, candidate)) return { outcome: 'not-needed' }
  if (held && held.generation === candidate.generation) {
    if (held.leaseUntil > now && held.owner !== owner) return { outcome: 'held', until: held.leaseUntil }
    return take(queued, { ...held, owner, leaseUntil }, true)
  }
  const { generation, cause, runner, spec } = candidate
  const request = startRequest(spec, candidate.request.repository.id, runner, 1, firstCapacity(spec))
  return take(queued, { generation, attempt: 1, cause, runner, request, owner, leaseUntil }, false)
}

/** True while `candidate` is the runner that the job needs: neither another one nor a later one is meant for it. */
export function wants(job: Job, candidate: Pick<Candidate, 'runner' | 'generation' | 'replaces'>): boolean {
  // A runner that another job left may have been paired with this one meanwhile.
  const expected = [null, candidate.replaces, candidate.runner]
  const latest = Math.max(job.claim?.generation ?? 0, job.deferred ? generationOf(job.deferred.runner) : 0)
  return needsRunner(job) && expected.includes(job.runner) && latest <= candidate.generation
}

/** Why and for whom the runner of a claim is started. */
export function launchOf(job: Job, claimed: Claim, region: string, at: number): RunnerLaunch {
  return {
    at,
    cause: claimed.cause,
    generation: claimed.generation,
    jobKey: job.key,
    repository: job.request.repository,
    installationId: job.request.installationId,
    labels: job.request.labels,
    shape: claimed.request.shape,
    role: claimed.request.role,
    region,
    timeoutMinutes: claimed.request.timeoutMinutes,
  }
}

/** The next start request of the same generation, after the one before was definitely not started. */
export function nextAttempt(
  claimed: Claim,
  spec: Spec,
  capacity: Claim['request']['shape']['capacity'],
): Claim {
  const attempt = claimed.attempt + 1
  return {
    ...claimed,
    attempt,
    request: startRequest(spec, claimed.request.repositoryId, claimed.runner, attempt, capacity),
  }
}

/** A claim that nobody holds: whoever comes next may go on with it at once. */
export function released(claimed: Claim): Claim {
  return { ...claimed, owner: '', leaseUntil: 0 }
}

/** The job as known, with the fact that it is queued. */
export function queue(
  current: Job | undefined,
  { request, spec, queuedAt }: Pick<Candidate, 'request' | 'spec' | 'queuedAt'>,
): Job {
  const job = current ?? newJob(request)
  return { ...job, spec: job.spec ?? spec, queuedAt: Math.min(job.queuedAt ?? queuedAt, queuedAt) }
}

function take(job: Job, claimed: Claim, resumed: boolean): ClaimResult {
  const replacements =
    job.replacements + (claimed.cause === 'replacement' && claimed.runner !== job.claim?.runner ? 1 : 0)
  return {
    outcome: 'claimed',
    claim: claimed,
    resumed,
    job: { ...job, claim: claimed, runner: claimed.runner, deferred: null, replacements },
  }
}
