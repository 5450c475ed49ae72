/** Items and events for tests: an ordinary one, with what a test cares about on top. */
import { newJob, newRunner, priced } from '../../functions/core/lifecycle.ts'
import { startRequest } from '../../functions/core/plan.ts'
import type {
  CapacityKind,
  Claim,
  GitHubRunnerRef,
  Job,
  JobEvent,
  JobRequest,
  Runner,
  RunnerEvent,
  RunnerLaunch,
  RunnerShape,
  Spec,
} from '../../functions/core/types.ts'

export const T0 = Date.UTC(2026, 10, 2, 9)
/** Milliseconds since 1970 of so many seconds after T0. */
export const at = (seconds: number): number => T0 + Math.round(seconds * 1000)

export const RUNNER = 'tornade-41-1-1'
export const ON_DEMAND: CapacityKind = { compute: 'fargate', capacity: 'on-demand' }
export const SPOT: CapacityKind = { compute: 'fargate', capacity: 'spot' }
export const CODEBUILD: CapacityKind = { compute: 'codebuild', capacity: null }

export const REF: GitHubRunnerRef = { id: 7, name: RUNNER }

export function request(over: Partial<JobRequest> = {}): JobRequest {
  return {
    key: '41-1',
    jobId: 41,
    attempt: 1,
    runId: 17,
    repository: { id: 7001, name: 'acme/app', private: true },
    ownerId: 9919,
    installationId: 5001,
    workflow: 'CI',
    name: 'build',
    headBranch: 'main',
    headSha: 'a'.repeat(40),
    labels: ['tornade'],
    createdAt: T0,
    mayBeFork: false,
    ...over,
  }
}

export function spec(over: Partial<Spec> = {}): Spec {
  return {
    arch: 'x64',
    compute: 'fargate',
    capacity: 'on-demand',
    cpu: 2,
    memoryGiB: 4,
    diskGiB: 20,
    docker: false,
    build: false,
    role: null,
    image: null,
    timeoutMinutes: 360,
    ...over,
  }
}

export function job(over: Partial<Job> = {}): Job {
  return { ...newJob(over.request ?? request()), spec: spec(), queuedAt: T0, ...over }
}

export function claimOf(over: Partial<Claim> = {}): Claim {
  const runner = over.runner ?? RUNNER
  return {
    generation: 1,
    attempt: 1,
    cause: 'job',
    runner,
    request: startRequest(spec(), request().repository, runner, over.attempt ?? 1, ON_DEMAND),
    owner: 'somebody',
    leaseUntil: at(90),
    ...over,
  }
}

/** What is started for spec(). */
export function shape(over: Partial<RunnerShape> = {}): RunnerShape {
  return {
    arch: 'x64',
    compute: 'fargate',
    capacity: 'on-demand',
    cpu: 2,
    memoryGiB: 4,
    diskGiB: 20,
    computeType: null,
    ...over,
  }
}

export function launch(over: Partial<RunnerLaunch> = {}): RunnerLaunch {
  return {
    at: T0,
    cause: 'job',
    generation: 1,
    jobKey: '41-1',
    repository: request().repository,
    installationId: 5001,
    labels: ['tornade'],
    shape: startRequest(spec(), request().repository, RUNNER, 1, ON_DEMAND).shape,
    role: null,
    region: 'us-east-1',
    timeoutMinutes: 360,
    ...over,
  }
}

/** A runner that waits at GitHub for its job. */
export function runner(over: Partial<Runner> = {}): Runner {
  return priced({
    ...newRunner(RUNNER),
    launch: launch(),
    registration: { ...REF, at: T0 },
    providerId: 'task-1',
    ticketKey: 'local:1',
    for: '41-1',
    ...over,
  })
}

export function queued(seconds = 0, over: Partial<JobRequest> = {}): JobEvent {
  return { kind: 'queued', at: at(seconds), request: request(over) }
}
export function waiting(seconds = 0): JobEvent {
  return { kind: 'waiting', at: at(seconds), request: request() }
}
export function inProgress(seconds: number, ref = REF): Extract<JobEvent, { kind: 'in_progress' }> {
  return { kind: 'in_progress', at: at(seconds), request: request(), runner: ref }
}
export function completed(
  seconds: number,
  over: Partial<Extract<JobEvent, { kind: 'completed' }>> = {},
): Extract<JobEvent, { kind: 'completed' }> {
  const event = { at: at(seconds), request: request(), conclusion: 'success', runner: REF, startedAt: null }
  return { kind: 'completed', ...event, ...over }
}
export function awsEvent(over: Partial<RunnerEvent> = {}): RunnerEvent {
  const none = { pullStartedAt: null, startedAt: null, stoppingAt: null, stoppedAt: null, stop: null }
  return { kind: 'runner', runner: RUNNER, providerId: 'task-1', ...none, ...over }
}
