/** Runners for pools: started like those of jobs, for a job that nobody has queued yet. */
import { type Config, labelRules } from './config.ts'
import { spend } from './core/admission.ts'
import { type Candidate, launchOf } from './core/claim.ts'
import { readLabels } from './core/labels.ts'
import { newJob, priced } from './core/lifecycle.ts'
import { firstCapacity, generationOf, jobKeyOf, startRequest } from './core/plan.ts'
import { poolFor } from './core/pools.ts'
import type { CapacityKind, Claim, Job, JobRequest, Runner } from './core/types.ts'
import type { LaunchMessage, Ports } from './ports.ts'
import { changeGate, update } from './update.ts'

type StandbyMessage = Extract<LaunchMessage, { kind: 'standby' }>

/** Runners of pools have names like those of jobs, with an attempt that no job has. */
const NO_ATTEMPT = 0

/** Name of a runner of a pool; no other minute and no other place in it has the same. */
export function standbyName(marker: string, now: number, place: number): string {
  return `${marker}-${Math.floor(now / 60_000) * 1000 + place}-${NO_ATTEMPT}-1`
}

/** null once the pool is closed, or tornade.yml knows it no more. */
export function standbyCandidate(config: Config, message: StandbyMessage, now: number): Candidate | null {
  const { repository, labels } = message
  return poolFor(config.pools, repository.name, labels, now) ? candidateOf(config, message, now) : null
}

/**
 * An earlier try may have started the runner without writing that down. Nobody else knows what for, and there may be no
 * place for it any more, or no pool. What it did cost is booked first: rather twice than never.
 */
export async function explainStandby(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  config: Config,
  message: StandbyMessage,
): Promise<void> {
  const known = await ledger.runners.get(message.runner)
  const now = clock.now()
  const candidate = known && !known.launch ? candidateOf(config, message, now) : null
  const standby = candidate && standbyClaim(candidate, [firstCapacity(candidate.spec)], now)
  if (!known || !standby) return
  const at = known.pullStartedAt ?? known.startedAt ?? known.stoppedAt ?? now
  const explain = (runner: Runner) =>
    priced({ ...runner, launch: launchOf(standby.job, standby.claim, config.region, at) })
  const { stoppedAt, cost } = explain(known)
  if (stoppedAt !== null && cost) {
    const bill = { at: stoppedAt, microUsd: cost.totalMicroUsd }
    await changeGate(ledger, gate => ({ gate: spend(gate, bill) }))
  }
  await update(ledger.runners, known.name, current =>
    current && !current.launch ? explain(current) : current,
  )
}

function candidateOf(config: Config, message: StandbyMessage, now: number): Candidate | null {
  const { runner, repository, ownerId, installationId, labels } = message
  const reading = readLabels(labels, labelRules(config, { limits: true, repository: repository.name }))
  if (reading.outcome !== 'spec') return null
  const key = jobKeyOf(runner)
  const request: JobRequest = {
    key,
    jobId: Number(key.split('-')[0]),
    attempt: NO_ATTEMPT,
    runId: 0,
    repository,
    ownerId,
    installationId,
    workflow: null,
    name: 'pool',
    headBranch: null,
    headSha: '',
    labels,
    createdAt: now,
    mayBeFork: false,
  }
  return {
    request,
    spec: reading.spec,
    runner,
    generation: generationOf(runner),
    cause: 'pool',
    queuedAt: now,
    replaces: null,
    rerunOf: null,
  }
}

/** What a start needs of a job and its claim; neither is written down. undefined where there is no capacity to try. */
export function standbyClaim(
  { request, spec, runner, generation, cause, standby }: Candidate,
  kinds: readonly CapacityKind[],
  now: number,
): { readonly job: Job; readonly claim: Claim } | undefined {
  const [kind] = kinds
  if (!kind) return undefined
  const start = startRequest(spec, request.repository, runner, 1, kind, standby)
  const claim: Claim = { generation, attempt: 1, cause, runner, request: start, owner: '', leaseUntil: now }
  return { job: { ...newJob(request), spec }, claim }
}
