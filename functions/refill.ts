/** Brings deferred jobs from the ledger to the gate, where a line runs short. */
import type { Config } from './config.ts'
import { HEADS_PER_REPOSITORY, linesToRefill, type PlaceRequest, refill } from './core/admission.ts'
import { runnerName } from './core/plan.ts'
import type { Gate, Job } from './core/types.ts'
import type { Ports } from './ports.ts'
import { changeGate } from './update.ts'

export async function refillGate(
  { ledger }: Pick<Ports, 'ledger'>,
  config: Pick<Config, 'marker' | 'priority'>,
  gate: Gate,
  repositories: readonly number[] = linesToRefill(gate),
): Promise<void> {
  for (const repositoryId of repositories) {
    const limit = HEADS_PER_REPOSITORY * 2
    const jobs = await ledger.jobs.open({ repositoryId, state: 'deferred', limit })
    const requests = jobs.map(job => waitingRequest(job, config))
    await changeGate(ledger, current => ({
      gate: refill(current, repositoryId, requests, jobs.length === limit),
    }))
  }
}

function waitingRequest(job: Job, { marker, priority }: Pick<Config, 'marker' | 'priority'>): PlaceRequest {
  const { request, spec, deferred } = job
  return {
    runner: deferred?.runner ?? runnerName(marker, job.key, 1),
    jobKey: job.key,
    repositoryId: request.repository.id,
    role: spec?.role ?? null,
    priority: Object.hasOwn(priority, request.repository.name) ? priority[request.repository.name]! : 0,
    since: request.createdAt,
    by: '',
  }
}
