/**
 * Starts the runner of a claim and arms it: the task first, because only it can fail for want of capacity, then the
 * JIT config, which no other call to GitHub must precede, then the ticket that only this task can take.
 */
import type { Config } from './config.ts'
import { backOffMs } from './core/backoff.ts'
import { type CapacityReport, includes, kindKey } from './core/breaker.ts'
import { launchOf, nextAttempt, released } from './core/claim.ts'
import { pauseAskedFor } from './core/errors.ts'
import { isLostTo, needsRunner, newRunner, priced, startedAs } from './core/lifecycle.ts'
import { after, registrationName } from './core/plan.ts'
import type { CapacityKind, Claim, Job, Runner, RunnerShape } from './core/types.ts'
import type { Compute, GitHubScope, JitOutcome, Ports } from './ports.ts'
import type { RefuseCode } from './refuse.ts'
import { create, update } from './update.ts'

export type StartResult =
  /** With a time where GitHub is better asked for no more before. */
  | { readonly outcome: 'armed'; readonly pauseUntil?: number }
  | { readonly outcome: 'not-needed' }
  /** It was started, and can serve the job no more: the job needs another one. */
  | { readonly outcome: 'lost' }
  /** Definitely not started; the claim is released with a new request. */
  | {
      readonly outcome: 'deferred'
      readonly reason: 'no-capacity' | 'throttled'
      readonly message: string
      readonly notBefore: number
    }
  /** It may have been started before, and the provider has not said; the claim must be resumed then. */
  | { readonly outcome: 'unknown'; readonly until: number }
  /** Started, and GitHub is not asked for it before it has come up; the claim is released and must be resumed then. */
  | { readonly outcome: 'held'; readonly until: number }
  /** Started, but GitHub asked to wait; the claim is released and must be resumed. */
  | { readonly outcome: 'paused'; readonly until: number }
  | { readonly outcome: 'refused'; readonly code: RefuseCode; readonly message: string }

type StartPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'metrics' | 'tickets'> & {
  readonly compute: Pick<Compute, 'start' | 'stop'>
}

/** How long a runner waits for its ticket. */
const TICKET_WAIT_MS = 3 * 60_000
/** A ticket is taken within minutes or never. */
const TICKET_LIFE_MS = 15 * 60_000
/** Names tried for one runner: each is taken only where a crash lost the JIT config of the one before. */
const MINTS = 5
const THROTTLE_MS = 5_000
const LONGEST_THROTTLE_MS = 60_000
const SCARCE_MS = 20_000
/** From its start a task that finds no capacity is told of within about a minute; the ticket is waited for for longer. */
const HELD_MS = 120_000
const LONGEST_SCARCE_MS = 300_000

/** Where the job may be started. */
export interface Where {
  /** All kinds for it, the first choice first, and those of them that may be tried now. */
  readonly order: readonly CapacityKind[]
  readonly kinds: readonly CapacityKind[]
  /** Is told how each kind did. */
  readonly report: (news: CapacityReport) => void
  /** True of a kind that may fail after it has taken a task. */
  readonly isDoubtful: (shape: RunnerShape) => boolean
}

/** @param resumed an earlier invocation may have sent the request of this claim */
export async function startRunner(
  ports: StartPorts,
  config: Pick<Config, 'region'>,
  job: Job,
  claim: Claim,
  resumed: boolean,
  where: Where,
): Promise<StartResult> {
  const before = resumed ? await ports.ledger.runners.get(claim.runner) : undefined
  if (before && isLostTo(before, job.key)) return { outcome: 'lost' }
  if (before && (before.job || (await isArmed(ports, before)))) return { outcome: 'not-needed' }
  // It has waited for its ticket in vain, and is gone.
  if (before?.startedAt && ports.clock.now() - before.startedAt > TICKET_WAIT_MS) return { outcome: 'lost' }
  const started = await startTask(ports, job, claim, resumed, where)
  if (started.outcome !== 'started') return started
  const held = await hold(ports, config, job, started, resumed, before, where)
  return held ?? arm(ports, config, job, started)
}

/**
 * Where tasks fail only after they were taken, a runner is registered once it has come up: what was asked of GitHub for one
 * that does not would have to be taken back, and asked again for the next.
 * @returns null once it may be armed
 */
async function hold(
  ports: StartPorts,
  config: Pick<Config, 'region'>,
  job: Job,
  started: StartedTask,
  resumed: boolean,
  before: Runner | undefined,
  { isDoubtful, report }: Where,
): Promise<StartResult | null> {
  const { claim } = started
  const { shape, token } = claim.request
  const now = ports.clock.now()
  // Of an earlier try GitHub may know already, and nobody would carry on for a pool.
  const isNew = !resumed && claim.cause !== 'pool' && isDoubtful(shape)
  const until = before?.heldUntil ?? (isNew ? now + HELD_MS : null)
  if (until === null) return null
  const isOver = until <= now
  const runner =
    before?.heldUntil && !isOver
      ? before
      : await record(ports, config, job, started, known => ({ ...known, heldUntil: isOver ? null : until }))
  if (runner.stoppedAt !== null) return { outcome: 'lost' }
  if (runner.startedAt !== null)
    report({ kind: kindKey(shape), runner: runner.name, id: token, at: runner.startedAt, result: 'ran' })
  if (runner.startedAt !== null || isOver) return null
  await saveClaim(ports, job.key, released(claim))
  return { outcome: 'held', until }
}

/** True when its ticket waits for it or was taken; one that lives long after must have taken it. */
async function isArmed({ clock, tickets }: StartPorts, runner: Runner): Promise<boolean> {
  if (runner.registration === null || runner.ticketKey === null) return false
  return clock.now() - runner.registration.at >= TICKET_LIFE_MS || (await tickets.has(runner.ticketKey))
}

type TaskResult = Extract<StartResult, { outcome: 'deferred' | 'unknown' | 'refused' | 'not-needed' }>
type StartedTask = { outcome: 'started'; claim: Claim; providerId: string; ticketKey: string }

async function startTask(
  ports: StartPorts,
  job: Job,
  first: Claim,
  resumed: boolean,
  { order, kinds, report }: Where,
): Promise<TaskResult | StartedTask> {
  const { clock, compute, log, metrics } = ports
  let claim = first
  for (;;) {
    const { request, runner } = claim
    const outcome = await compute.start(request)
    const news = { kind: kindKey(request.shape), runner, id: request.token, at: clock.now() }
    if (outcome.outcome === 'started') {
      report({ ...news, result: 'taken' })
      return { ...outcome, claim }
    }
    metrics.count('StartFailures')
    log.warn('runner not started', { runner, kind: outcome.kind, reason: outcome.message })
    const { message } = outcome
    const wait = (firstMs: number, longestMs: number) =>
      clock.now() + backOffMs(firstMs, longestMs, claim.attempt, runner)
    // A throttled call was not looked at, so it does not say that the one before it was not taken. Any other answer
    // does: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    if (outcome.kind === 'throttled' && resumed && claim === first) {
      const until = wait(SCARCE_MS, LONGEST_SCARCE_MS)
      await saveClaim(ports, job.key, { ...claim, owner: '', leaseUntil: until })
      return { outcome: 'unknown', until }
    }
    if (outcome.kind === 'permanent') {
      await saveClaim(ports, job.key, released({ ...claim, refused: true }))
      return { outcome: 'refused', code: 'provider-refused', message }
    }
    if (outcome.kind === 'throttled') {
      const notBefore = wait(THROTTLE_MS, LONGEST_THROTTLE_MS)
      await saveClaim(ports, job.key, released({ ...claim, refused: true }))
      return { outcome: 'deferred', reason: 'throttled', message, notBefore }
    }
    const isQuota = outcome.kind === 'quota'
    if (isQuota) metrics.count('StartsOverQuota')
    report({ ...news, result: 'refused', words: message, ...(isQuota ? { quota: request.shape.cpu } : {}) })
    const next = after(order, request.shape).find(kind => includes(kinds, kind))
    if (!next) {
      await saveClaim(ports, job.key, released({ ...claim, refused: true }))
      return {
        outcome: 'deferred',
        reason: 'no-capacity',
        message,
        notBefore: wait(SCARCE_MS, LONGEST_SCARCE_MS),
      }
    }
    claim = nextAttempt(claim, job.spec!, next)
    if (!(await saveClaim(ports, job.key, claim))) return { outcome: 'not-needed' }
  }
}

/** Writes the claim if it is still this runner's; false when the job went on without it. */
async function saveClaim({ ledger }: StartPorts, jobKey: string, claim: Claim): Promise<boolean> {
  const saved = await update(ledger.jobs, jobKey, current =>
    current && needsRunner(current) && current.claim?.runner === claim.runner
      ? { ...current, claim }
      : current,
  )
  return saved?.claim === claim
}

async function arm(
  ports: StartPorts,
  config: Pick<Config, 'region'>,
  job: Job,
  started: StartedTask,
): Promise<StartResult> {
  const { clock, compute, github, tickets } = ports
  const { claim } = started
  const scope = scopeOf(job)
  const jit = await mintOrPause(ports, scope, job.request.labels, claim.runner)
  if (jit.outcome === 'paused') {
    await record(ports, config, job, started)
    await saveClaim(ports, job.key, released(claim))
    return { outcome: 'paused', until: clock.now() + jit.retryAfterSeconds * 1000 }
  }
  if (jit.outcome === 'failed') {
    await record(ports, config, job, started)
    await compute.stop(started.providerId, 'GitHub refused to register this runner')
    return { outcome: 'refused', code: 'github-refused', message: jit.message }
  }
  const registration = { id: jit.runnerId, name: jit.name, at: clock.now() }
  // It may have stopped meanwhile, and been looked at before there was anything to remove.
  const armed = await record(ports, config, job, started, known => ({
    ...known,
    registration,
    cleanedAt: null,
  }))
  if (armed.stoppedAt !== null) {
    // It stopped too early for its registration to be removed with it.
    await github.removeRunner(scope, jit.runnerId)
    return { outcome: 'lost' }
  }
  await tickets.put(started.ticketKey, jit.encodedJitConfig, clock.now() + TICKET_LIFE_MS)
  return { outcome: 'armed', ...(jit.pauseUntil ? { pauseUntil: jit.pauseUntil } : {}) }
}

/** One write where nobody wrote before: what it is, and what `also` knows of it. */
async function record(
  { clock, ledger }: StartPorts,
  { region }: Pick<Config, 'region'>,
  job: Job,
  started: StartedTask,
  also: (known: Runner) => Runner = known => known,
): Promise<Runner> {
  const { runner } = started.claim
  const written = await create(ledger.runners, runner, current =>
    also(launched(current ?? newRunner(runner), job, started, region, clock.now())),
  )
  return written!
}

/** What a start is known by. Where it is interrupted before this is written, its claim says the same (claim.ts). */
function launched(
  runner: Runner,
  job: Job,
  { claim, providerId, ticketKey }: StartedTask,
  region: string,
  now: number,
): Runner {
  const launch = launchOf(job, claim, region, runner.launch?.at ?? now)
  const known = startedAs(runner, providerId, ticketKey)
  const meantFor = claim.cause === 'pool' ? null : job.key
  return priced({ ...known, for: runner.registration ? runner.for : meantFor, launch })
}

function scopeOf({ request }: Job): GitHubScope {
  return { repository: request.repository, installationId: request.installationId }
}

type Minted = Exclude<JitOutcome, { outcome: 'name-taken' }>

/** Any of its calls may be asked to wait. */
async function mintOrPause(...call: Parameters<typeof mint>): Promise<Minted> {
  try {
    return await mint(...call)
  } catch (error) {
    const retryAfterSeconds = pauseAskedFor(error)
    if (retryAfterSeconds === null) throw error
    return { outcome: 'paused', retryAfterSeconds }
  }
}

/**
 * A name that is taken is that of an earlier try whose JIT config is lost: nobody can come online with it, so it is
 * removed and asked for again. Under another name it would be left behind, should this try be interrupted too. Where
 * GitHub takes it for busy it does stay, and goes with the runner (registration.ts).
 */
async function mint(
  { github }: StartPorts,
  scope: GitHubScope,
  labels: readonly string[],
  runner: string,
): Promise<Minted> {
  for (let count = 1; count <= MINTS; count++) {
    const name = registrationName(runner, count)
    for (let again = 0; again < 2; again++) {
      const answer = await github.createJitConfig(scope, name, labels)
      if (answer.outcome !== 'name-taken') return answer
      const taken = await github.findRunner(scope, name)
      if (taken && !taken.busy) await github.removeRunner(scope, taken.id)
    }
  }
  return { outcome: 'failed', message: `GitHub has ${MINTS} runners named like ${runner} already` }
}
