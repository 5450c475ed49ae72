/** Who may start a runner for a job right now. One conditional write on the job item makes the answer true. */
import { needsRunner, newJob } from './lifecycle.ts'
import { firstCapacity, startRequest } from './plan.ts'
import type { Claim, Job, JobRequest, LaunchCause, Spec } from './types.ts'

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
  const expected = [null, candidate.replaces, candidate.runner, held?.runner]
  // A runner that another job left may have been paired with this one meanwhile.
  if (!needsRunner(queued) || !expected.includes(queued.runner)) return { outcome: 'not-needed' }
  if (held && held.generation > candidate.generation) return { outcome: 'not-needed' }
  if (held && held.generation === candidate.generation) {
    if (held.leaseUntil > now && held.owner !== owner) return { outcome: 'held', until: held.leaseUntil }
    return take(queued, { ...held, owner, leaseUntil }, true)
  }
  const { generation, cause, runner, spec } = candidate
  const request = startRequest(spec, runner, 1, firstCapacity(spec))
  return take(queued, { generation, attempt: 1, cause, runner, request, owner, leaseUntil }, false)
}

/** The next start request of the same generation, after the one before was definitely not started. */
export function nextAttempt(
  claimed: Claim,
  spec: Spec,
  capacity: Claim['request']['shape']['capacity'],
): Claim {
  const attempt = claimed.attempt + 1
  return { ...claimed, attempt, request: startRequest(spec, claimed.runner, attempt, capacity) }
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
