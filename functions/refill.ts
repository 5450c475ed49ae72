/** Brings deferred jobs from the ledger to the gate, where a line runs short. */
import { type Config, priorityOf } from './config.ts'
import { type DeferredRequest, linesToRefill, refill } from './core/admission.ts'
import { runnerName } from './core/plan.ts'
import type { Gate, Job } from './core/types.ts'
import type { Ports } from './ports.ts'
import { changeGate } from './update.ts'

/** More than the gate takes at once, because some of them may hold a place by now or wait for their time. */
const JOBS_LOOKED_AT = 100

/** @returns true when somebody came to the gate, who may find a place free: it must be looked at again. */
export async function refillGate(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  config: Pick<Config, 'marker' | 'priority'>,
  gate: Gate,
  repositories: readonly number[] = linesToRefill(gate),
): Promise<boolean> {
  let came = false
  for (const repositoryId of repositories) {
    const jobs = await ledger.jobs.open({ repositoryId, state: 'deferred', limit: JOBS_LOOKED_AT })
    const requests = jobs.map(job => waitingRequest(job, config, clock.now()))
    const more = jobs.length === JOBS_LOOKED_AT
    const { changed } = await changeGate(ledger, current => {
      const next = refill(current, repositoryId, requests, more)
      return { gate: next, changed: next !== current }
    })
    came ||= changed
  }
  return came
}

function waitingRequest(job: Job, config: Pick<Config, 'marker' | 'priority'>, now: number): DeferredRequest {
  const { request, spec, deferred } = job
  const notBefore = deferred?.notBefore ?? null
  return {
    notBefore: notBefore !== null && notBefore > now ? notBefore : null,
    runner: deferred?.runner ?? runnerName(config.marker, job.key, 1),
    jobKey: job.key,
    repositoryId: request.repository.id,
    role: spec?.role ?? null,
    priority: priorityOf(config, request.repository.name),
    since: job.queuedAt ?? request.createdAt,
    by: '',
  }
}
