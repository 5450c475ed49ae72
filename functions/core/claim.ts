/** Who may start a runner for a job right now. One conditional write on the job item makes the answer true. */
import { needsRunner, newJob } from './lifecycle.ts'
import { generationOf, startRequest } from './plan.ts'
import type {
  CapacityKind,
  Claim,
  Job,
  JobRequest,
  LaunchCause,
  RunnerLaunch,
  Spec,
  Waited,
} from './types.ts'

export interface Candidate {
  readonly request: JobRequest
  readonly spec: Spec
  readonly runner: string
  readonly generation: number
  readonly cause: LaunchCause
  readonly queuedAt: number
  /** The runner that the job is known to have lost, when this one is to replace it. */
  readonly replaces: string | null
  /** Key of the job lost to Spot whose re-run this is. */
  readonly rerunOf: string | null
  /** Minutes that its runner may wait in a pool, should another runner take the job. */
  readonly standby?: number
}

export type ClaimResult =
  /** The claim is ours; `resumed` when an earlier holder may have sent its request already. */
  | { readonly outcome: 'claimed'; readonly job: Job; readonly claim: Claim; readonly resumed: boolean }
  /** Another invocation holds it until then. */
  | { readonly outcome: 'held'; readonly until: number }
  /** The job needs no runner, or has another one by now. */
  | { readonly outcome: 'not-needed' }
  /** A new request is due, and there is no kind of capacity to make it for. */
  | { readonly outcome: 'no-capacity' }

/**
 * Claims `candidate` on its job (`current`, or a new one) for `owner` until `leaseUntil`.
 * A claim whose lease is over is taken over with its request as it is: its outcome is unknown. After a refusal there is a
 * new request, like the first one for the first of `kinds`.
 */
export function claim(
  current: Job | undefined,
  candidate: Candidate,
  kinds: readonly CapacityKind[],
  owner: string,
  now: number,
  leaseUntil: number,
): ClaimResult {
  const queued = queue(current, candidate)
  const held = queued.claim
  if (!wants(queued, candidate)) return { outcome: 'not-needed' }
  if (held && held.generation === candidate.generation) {
    if (held.leaseUntil > now && held.owner !== owner) return { outcome: 'held', until: held.leaseUntil }
    if (!held.refused) return take(queued, { ...held, owner, leaseUntil }, true)
  }
  const [kind] = kinds
  if (!kind) return { outcome: 'no-capacity' }
  const { generation, cause, runner, spec } = candidate
  if (held && held.generation === generation)
    return take(queued, { ...nextAttempt(held, spec, kind), owner, leaseUntil }, false)
  const request = startRequest(spec, candidate.request.repository, runner, 1, kind, candidate.standby)
  return take(queued, { generation, attempt: 1, cause, runner, request, owner, leaseUntil }, false)
}

/** True while `candidate` is the runner that the job needs: neither another one nor a later one is meant for it. */
export function wants(job: Job, candidate: Pick<Candidate, 'runner' | 'generation' | 'replaces'>): boolean {
  // A runner that another job left may have been paired with this one meanwhile.
  const expected = [null, candidate.replaces, candidate.runner]
  const latest = Math.max(job.claim?.generation ?? 0, job.deferred ? generationOf(job.deferred.runner) : 0)
  return needsRunner(job) && expected.includes(job.runner) && latest <= candidate.generation
}

/** The claim under which `runner` was started, or may have been; undefined where the provider refused. */
export function claimOf(job: Job | undefined, runner: string): Claim | undefined {
  const claims = job ? [...(job.earlier ?? []), ...(job.claim ? [job.claim] : [])] : []
  return claims.find(claimed => claimed.runner === runner && !claimed.refused)
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
    ...(claimed.request.idleMinutes === undefined ? {} : { idleMinutes: claimed.request.idleMinutes }),
  }
}

/** The next start request of the same generation, after the one before was definitely not started. */
export function nextAttempt({ refused: _, ...claimed }: Claim, spec: Spec, kind: CapacityKind): Claim {
  const attempt = claimed.attempt + 1
  const { repositoryId: id, repository: name } = claimed.request
  return {
    ...claimed,
    attempt,
    request: startRequest(spec, { id, name }, claimed.runner, attempt, kind, claimed.request.idleMinutes),
  }
}

/** A claim that nobody holds: whoever comes next may go on with it at once. */
export function released(claimed: Claim): Claim {
  return { ...claimed, owner: '', leaseUntil: 0 }
}

/** The job as known, with the fact that it is queued. */
export function queue(
  current: Job | undefined,
  { request, spec, queuedAt, rerunOf }: Pick<Candidate, 'request' | 'spec' | 'queuedAt' | 'rerunOf'>,
): Job {
  const job = current ?? newJob(request)
  return {
    ...job,
    spec: job.spec ?? spec,
    queuedAt: Math.min(job.queuedAt ?? queuedAt, queuedAt),
    rerunOf: job.rerunOf ?? rerunOf,
  }
}

/** How long the job has waited for this runner, whatever was tried meanwhile; null where it has not. */
export function waitedFor({ deferred, claim: held }: Job, runner: string): Waited | null {
  if (!deferred) return held?.runner === runner ? (held.waited ?? null) : null
  const { since, overQuotaSince } = deferred
  return { since, ...(overQuotaSince === undefined ? {} : { overQuotaSince }) }
}

function take(job: Job, claimed: Claim, resumed: boolean): ClaimResult {
  const isAnother = claimed.runner !== job.claim?.runner
  const another = (cause: LaunchCause) => (claimed.cause === cause && isAnother ? 1 : 0)
  const waited = waitedFor(job, claimed.runner)
  const own = waited ? { ...claimed, waited } : claimed
  return {
    outcome: 'claimed',
    claim: own,
    resumed,
    job: {
      ...job,
      claim: own,
      earlier: job.claim && isAnother ? [...(job.earlier ?? []), job.claim] : job.earlier,
      runner: claimed.runner,
      deferred: null,
      replacements: job.replacements + another('replacement'),
      shortages: job.shortages + another('capacity'),
    },
  }
}
