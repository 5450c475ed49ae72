/**
 * Starts the runner of a claim and arms it: the task first, because only it can fail for want of capacity, then the
 * JIT config, which no other call to GitHub must precede, then the ticket that only this task can take.
 */
import type { Config } from './config.ts'
import { nextAttempt, released } from './core/claim.ts'
import { needsRunner, newRunner, priced } from './core/lifecycle.ts'
import { firstCapacity, nextCapacity, registrationName } from './core/plan.ts'
import type { Claim, Job, Runner } from './core/types.ts'
import type { GitHubScope, Ports } from './ports.ts'
import type { RefuseCode } from './refuse.ts'
import { create, update } from './update.ts'

export type StartResult =
  | { readonly outcome: 'armed' }
  | { readonly outcome: 'not-needed' }
  /** Definitely not started; the claim is released with a new request. */
  | {
      readonly outcome: 'deferred'
      readonly reason: 'no-capacity' | 'throttled'
      readonly message: string
      readonly notBefore: number
    }
  /** Started, but GitHub asked to wait; the claim is released and must be resumed. */
  | { readonly outcome: 'paused'; readonly until: number }
  | { readonly outcome: 'refused'; readonly code: RefuseCode; readonly message: string }

type StartPorts = Pick<Ports, 'clock' | 'compute' | 'github' | 'ledger' | 'log' | 'metrics' | 'tickets'>

/** A ticket is taken within minutes or never. */
const TICKET_LIFE_MS = 15 * 60_000
/** Names tried for one runner: each is taken only where a crash lost the JIT config of the one before. */
const MINTS = 5
const THROTTLE_MS = 5_000

/** @param resumed an earlier invocation may have sent the request of this claim */
export async function startRunner(
  ports: StartPorts,
  config: Pick<Config, 'region'>,
  job: Job,
  claim: Claim,
  resumed: boolean,
): Promise<StartResult> {
  const before = resumed ? await ports.ledger.runners.get(claim.runner) : undefined
  if (before && (before.stoppedAt !== null || before.job)) return { outcome: 'not-needed' }
  if (before?.registration && before.ticketKey && (await ports.tickets.has(before.ticketKey)))
    return { outcome: 'not-needed' }
  const started = await startTask(ports, job, claim)
  if (started.outcome !== 'started') return started
  return arm(ports, config, job, started.claim, started)
}

type TaskResult = Extract<StartResult, { outcome: 'deferred' | 'refused' | 'not-needed' }>
type StartedTask = { outcome: 'started'; claim: Claim; providerId: string; ticketKey: string }

async function startTask(ports: StartPorts, job: Job, first: Claim): Promise<TaskResult | StartedTask> {
  const { clock, compute, log, metrics } = ports
  const spec = job.spec!
  let claim = first
  for (;;) {
    const outcome = await compute.start(claim.request)
    if (outcome.outcome === 'started') return { ...outcome, claim }
    metrics.count('StartFailures')
    log.warn('runner not started', { runner: claim.runner, kind: outcome.kind, reason: outcome.message })
    if (outcome.kind === 'permanent')
      return { outcome: 'refused', code: 'provider-refused', message: outcome.message }
    if (outcome.kind === 'throttled') {
      await saveClaim(ports, job.key, released(nextAttempt(claim, spec, claim.request.shape.capacity)))
      return {
        outcome: 'deferred',
        reason: 'throttled',
        message: outcome.message,
        notBefore: clock.now() + THROTTLE_MS,
      }
    }
    const next = nextCapacity(spec, claim.request.shape.capacity)
    if (next === undefined) {
      await saveClaim(ports, job.key, released(nextAttempt(claim, spec, firstCapacity(spec))))
      return {
        outcome: 'deferred',
        reason: 'no-capacity',
        message: outcome.message,
        notBefore: clock.now() + backOffMs(claim.attempt),
      }
    }
    claim = nextAttempt(claim, spec, next)
    if (!(await saveClaim(ports, job.key, claim))) return { outcome: 'not-needed' }
  }
}

/** 15 s, 30 s, 1 min, 2 min, then every 5 minutes. */
function backOffMs(attempts: number): number {
  return Math.min(300_000, 15_000 * 2 ** Math.min(attempts - 1, 10))
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
  claim: Claim,
  { providerId, ticketKey }: StartedTask,
): Promise<StartResult> {
  const { clock, compute, ledger, tickets } = ports
  const jit = await mint(ports, job, claim.runner)
  if (jit.outcome === 'paused') {
    await saveClaim(ports, job.key, released(claim))
    return { outcome: 'paused', until: clock.now() + jit.retryAfterSeconds * 1000 }
  }
  if (jit.outcome === 'failed') {
    await compute.stop(providerId, 'GitHub refused to register this runner')
    return { outcome: 'refused', code: 'github-refused', message: jit.message }
  }
  const registration = { id: jit.runnerId, name: jit.name, at: clock.now() }
  await create(ledger.runners, claim.runner, current =>
    armed(
      current ?? newRunner(claim.runner),
      job,
      claim,
      config.region,
      registration,
      { providerId, ticketKey },
      clock.now(),
    ),
  )
  await tickets.put(ticketKey, jit.encodedJitConfig, clock.now() + TICKET_LIFE_MS)
  return { outcome: 'armed' }
}

function armed(
  runner: Runner,
  job: Job,
  claim: Claim,
  region: string,
  registration: NonNullable<Runner['registration']>,
  provider: { readonly providerId: string; readonly ticketKey: string },
  now: number,
): Runner {
  return priced({
    ...runner,
    ...provider,
    registration,
    for: job.key,
    launch: {
      at: runner.launch?.at ?? now,
      cause: claim.cause,
      generation: claim.generation,
      jobKey: job.key,
      repository: job.request.repository,
      installationId: job.request.installationId,
      labels: job.request.labels,
      shape: claim.request.shape,
      role: claim.request.role,
      region,
      timeoutMinutes: claim.request.timeoutMinutes,
    },
  })
}

type Minted =
  | { outcome: 'created'; runnerId: number; name: string; encodedJitConfig: string }
  | { outcome: 'paused'; retryAfterSeconds: number }
  | { outcome: 'failed'; message: string }

/**
 * A name that is taken is that of an earlier try whose JIT config is lost: nobody can come online with it, so it is
 * removed before the next name is asked for.
 */
async function mint({ github }: StartPorts, job: Job, runner: string): Promise<Minted> {
  const scope: GitHubScope = {
    repository: job.request.repository,
    installationId: job.request.installationId,
  }
  for (let count = 1; count <= MINTS; count++) {
    const name = registrationName(runner, count)
    const answer = await github.createJitConfig(scope, name, job.request.labels)
    if (answer.outcome !== 'name-taken') return answer
    const taken = await github.findRunner(scope, name)
    if (taken && !taken.busy) await github.removeRunner(scope, taken.id)
  }
  return { outcome: 'failed', message: `GitHub has ${MINTS} runners named like ${runner} already` }
}
