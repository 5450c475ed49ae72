/**
 * What becomes of a job and of a runner.
 *
 * Deliveries and events come late, twice and in any order. So an item holds facts, and taking an event in means
 * merging its facts: each fact has one value that wins whatever came first, and the state is read off the facts.
 * That makes every order of the same events, doubled ones included, end in the same item.
 */
import { jobCost, runnerCost } from './cost.ts'
import { isReclaim } from './stops.ts'
import type {
  GitHubRunnerRef,
  Job,
  JobEvent,
  JobRequest,
  JobState,
  Runner,
  RunnerEvent,
  RunnerState,
  StopReason,
} from './types.ts'

export function newJob(request: JobRequest): Job {
  return {
    key: request.key,
    version: 0,
    request,
    spec: null,
    gatedAt: null,
    queuedAt: null,
    started: null,
    completed: null,
    refused: null,
    deferred: null,
    claim: null,
    earlier: null,
    runner: null,
    replacements: 0,
    shortages: 0,
    lostTo: null,
    rerunOf: null,
    cost: null,
  }
}

/** Takes a delivery into a job; `undefined` is a job not seen before. */
export function applyToJob(job: Job | undefined, event: JobEvent): Job {
  const base = job ?? newJob(event.request)
  const known: Job = { ...base, request: pickRequest(base.request, event.request) }
  switch (event.kind) {
    case 'queued':
      return { ...known, queuedAt: least(known.queuedAt, event.at) }
    case 'waiting':
      return { ...known, gatedAt: least(known.gatedAt, event.at) }
    case 'in_progress':
      return withStart(known, event.at, event.runner)
    case 'completed': {
      const { at, conclusion, startedAt, runner } = event
      const completed = pick(known.completed, { at, conclusion, startedAt, runner }, order)
      const done: Job = { ...known, completed, deferred: null }
      return runner ? withStart(done, startedAt ?? at, runner) : done
    }
  }
}

function withStart(job: Job, at: number, runner: GitHubRunnerRef): Job {
  return { ...job, started: pick(job.started, { at, runner }, order), deferred: null }
}

export function jobState(job: Job): JobState {
  if (job.refused) return 'refused'
  if (job.completed) return job.completed.conclusion === 'cancelled' ? 'cancelled' : 'completed'
  if (job.started) return 'running'
  if (job.deferred) return 'deferred'
  if (job.claim) return 'launching'
  return job.queuedAt === null ? 'waiting' : 'queued'
}

/** True once nothing more can happen to the job. */
export function isFinal(job: Job): boolean {
  return job.refused !== null || job.completed !== null
}

/** When a job ended that no runner ran; null for every other one. */
export function unservedAt({ started, refused, completed }: Job): number | null {
  return started === null ? (refused?.at ?? completed?.at ?? null) : null
}

/** True while the job still needs a runner. */
export function needsRunner(job: Job): boolean {
  return !isFinal(job) && job.started === null && job.queuedAt !== null
}

/** Since when the job could have run: behind an environment gate, since the gate opened. */
export function readySince(job: Job): number {
  return job.gatedAt === null ? job.request.createdAt : (job.queuedAt ?? job.request.createdAt)
}

export function newRunner(name: string): Runner {
  return {
    name,
    version: 0,
    launch: null,
    registration: null,
    providerId: null,
    ticketKey: null,
    pullStartedAt: null,
    startedAt: null,
    stoppingAt: null,
    stoppedAt: null,
    stop: null,
    for: null,
    job: null,
    deregisteredAt: null,
    stopRequestedAt: null,
    cleanedAt: null,
    cost: null,
  }
}

/**
 * Takes in what AWS tells about the task or build. There can be a second one for a runner, because CodeBuild forgets
 * its tokens after five minutes: what happens to that one is no fact of this runner.
 */
export function applyRunnerEvent(runner: Runner | undefined, event: RunnerEvent): Runner {
  const base = runner ?? newRunner(event.runner)
  if (isOfAnother(base, event)) return base
  return priced({
    ...base,
    providerId: base.providerId ?? event.providerId,
    pullStartedAt: least(base.pullStartedAt, event.pullStartedAt),
    startedAt: least(base.startedAt, event.startedAt),
    stoppingAt: least(base.stoppingAt, event.stoppingAt),
    ...ending(base, event),
  })
}

/** True when the event is about another task or build than the one that the runner is known by. */
export function isOfAnother({ providerId }: Runner, event: RunnerEvent): boolean {
  return providerId !== null && providerId !== event.providerId
}

/**
 * Our own write of what was started. Facts that came before it and were about another task or build are no facts of
 * this one; should some of its own have been passed over for them, the sweep asks for them.
 */
export function startedAs(runner: Runner, providerId: string, ticketKey: string): Runner {
  const own = runner.providerId === null || runner.providerId === providerId
  const facts = { pullStartedAt: null, startedAt: null, stoppingAt: null, stoppedAt: null, stop: null }
  return { ...runner, ...(own ? {} : facts), providerId, ticketKey }
}

/** How a stop is called that nobody told of: the provider does not know the runner any more. */
export const MISSING = 'missing'

type Ending = Pick<Runner, 'stoppedAt' | 'stop'>

/** That it is missing was a guess. It gives way to what AWS tells, whichever comes first. */
function ending(known: Ending, told: Ending): Ending {
  const [knownIsGuess, toldIsGuess] = [known.stop?.code === MISSING, told.stop?.code === MISSING]
  if (told.stoppedAt !== null && knownIsGuess && !toldIsGuess)
    return { stoppedAt: told.stoppedAt, stop: told.stop }
  if (known.stoppedAt !== null && toldIsGuess && !knownIsGuess)
    return { stoppedAt: known.stoppedAt, stop: known.stop }
  return {
    stoppedAt: least(known.stoppedAt, told.stoppedAt),
    stop: told.stop ? pick(known.stop, told.stop, stopOrder) : known.stop,
  }
}

/**
 * A stopped runner that ran its job leaves nothing behind, nor does one that GitHub was not asked for; of any other one
 * has to look, and of one that goes by a later name too: GitHub did not let go of the first.
 */
export function withCleaning(runner: Runner, now: number): Runner {
  const { stoppedAt, job, cleanedAt, registration, name } = runner
  const isByFirstName = registration === null || registration.name === name
  const isClean = (job !== null && isByFirstName) || neverCameUp(runner)
  return stoppedAt !== null && cleanedAt === null && isClean ? { ...runner, cleanedAt: now } : runner
}

/** True of a held runner (`heldUntil`) that has not come up: nobody has asked GitHub for it. */
export function neverCameUp({ heldUntil, startedAt, registration }: Runner): boolean {
  return heldUntil != null && startedAt === null && registration === null
}

/** Takes in that GitHub gave this runner a job, or that the job ended. */
export function applyJobToRunner(
  runner: Runner,
  event: Extract<JobEvent, { kind: 'in_progress' | 'completed' }>,
): Runner {
  const { job } = runner
  // A runner runs one job. Whoever names it for another is wrong, and must not take the cost from the first.
  if (job && job.key !== event.request.key) return runner
  const startedAt = event.kind === 'in_progress' ? event.at : (event.startedAt ?? event.at)
  const known = job?.completedAt == null ? null : { at: job.completedAt, conclusion: job.conclusion }
  const ended =
    event.kind === 'completed' ? pick(known, { at: event.at, conclusion: event.conclusion }, order) : known
  return priced({
    ...runner,
    job: {
      key: event.request.key,
      startedAt: least(job?.startedAt ?? null, startedAt)!,
      completedAt: ended?.at ?? null,
      ...(ended?.conclusion === undefined ? {} : { conclusion: ended.conclusion }),
      publicRepository: !event.request.repository.private,
    },
  })
}

/** The cost follows from the facts; it is worked out again whenever one of them is new. */
export function priced(runner: Runner): Runner {
  return { ...runner, cost: runnerCost(runner) }
}

/** The job's side of its runner's cost; unchanged while the runner is not priced or ran another job. */
export function withCost(job: Job, runner: Runner): Job {
  const cost = runner.job?.key === job.key ? jobCost(runner) : null
  return cost ? { ...job, cost: { ...cost, runner: runner.name } } : job
}

export function runnerState(runner: Runner): RunnerState {
  if (runner.stoppedAt !== null) return 'stopped'
  const { deregisteredAt, stopRequestedAt, stoppingAt } = runner
  if (stoppingAt !== null || stopRequestedAt !== null || deregisteredAt !== null || runner.job?.completedAt)
    return 'stopping'
  if (runner.job) return 'busy'
  return runner.startedAt === null ? 'starting' : 'idle'
}

/** True while GitHub may still give this runner a job. */
export function isAvailable(runner: Runner): boolean {
  const state = runnerState(runner)
  return runner.registration !== null && (state === 'starting' || state === 'idle')
}

/** True when the runner can serve that job no more: it is on its way out, or has another job. */
export function isLostTo(runner: Runner, jobKey: string): boolean {
  const state = runnerState(runner)
  return state === 'stopped' || state === 'stopping' || (runner.job !== null && runner.job.key !== jobKey)
}

/** True when `ref`, as a delivery names it, is this runner: same registration, same repository. */
export function isRunner(runner: Runner, ref: GitHubRunnerRef, repositoryId: number): boolean {
  return (
    runner.launch?.repository.id === repositoryId &&
    (runner.registration === null ||
      (runner.registration.id === ref.id && runner.registration.name === ref.name))
  )
}

function least(a: number | null, b: number | null): number | null {
  if (a === null) return b
  return b === null ? a : Math.min(a, b)
}

/** The one of two differing values that wins in any order. */
function pick<T>(a: T | null, b: T, compare: (a: T, b: T) => number): T {
  return a === null || compare(b, a) < 0 ? b : a
}

function order<T extends { readonly at: number }>(a: T, b: T): number {
  return a.at - b.at || text(a, b)
}

/** What ends a task for Spot also ends its program, and that is told as well. */
function stopOrder(a: StopReason, b: StopReason): number {
  return Number(isReclaim(b)) - Number(isReclaim(a)) || text([a.code, a.reason], [b.code, b.reason])
}

function text(a: unknown, b: unknown): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)]
  return left < right ? -1 : left > right ? 1 : 0
}

/** Deliveries of one job carry the same request, except that an old server leaves the creation time to us. */
function pickRequest(a: JobRequest, b: JobRequest): JobRequest {
  if (a === b) return a
  return pick(a, b, (x, y) => x.createdAt - y.createdAt || text(x, y))
}
