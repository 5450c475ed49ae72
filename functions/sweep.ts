/**
 * Each minute: what should have moved and did not. It decides on the ledger alone and asks GitHub only about jobs
 * whose runner is gone.
 */
import type { Config } from './config.ts'
import { isAnyoneWaiting, leave } from './core/admission.ts'
import { jobKey } from './core/delivery.ts'
import { applyToJob } from './core/lifecycle.ts'
import { type SweepAction, sweepActions } from './core/sweep.ts'
import type { Job, JobEvent } from './core/types.ts'
import { errorFields } from './lambda.ts'
import type { EventsMessage, LaunchMessage, Ports } from './ports.ts'
import { refillGate } from './refill.ts'
import { changeGate, update } from './update.ts'

export type SweepPorts = Ports

/** Jobs looked at in one sweep, oldest first. */
const JOBS_PER_SWEEP = 2000

export function sweep(ports: SweepPorts, config: Config): () => Promise<void> {
  const { clock, compute, github, ledger, log, queue } = ports

  return async () => {
    const [jobs, runners, gate] = await Promise.all([
      ledger.jobs.open({ limit: JOBS_PER_SWEEP }),
      ledger.runners.open({}),
      ledger.gate.get(),
    ])
    for (const action of sweepActions({ jobs, runners, gate }, config, clock.now())) {
      try {
        await act(action)
      } catch (error) {
        log.error('sweep step failed and will be tried again', { step: action.kind, ...errorFields(error) })
      }
    }
  }

  async function act(action: SweepAction): Promise<void> {
    log.info('sweep', { ...action })
    switch (action.kind) {
      case 'resume':
        return launchQueue({ kind: 'resume', jobKey: action.jobKey })
      case 'relaunch':
        return launchQueue({ kind: 'relaunch', jobKey: action.jobKey, after: action.after, cause: 'retry' })
      case 'queue-again': {
        const job = await ledger.jobs.get(action.jobKey)
        if (job)
          await launchQueue({ kind: 'job', request: job.request, queuedAt: job.queuedAt ?? clock.now() })
        return
      }
      case 'refill':
        await refillGate(ports, config, await ledger.gate.get(), action.repositories)
        return
      case 'wake':
        return launchQueue({ kind: 'wake' })
      case 'free': {
        const { gate } = await changeGate(ledger, current => ({ gate: leave(current, action.runners) }))
        if (isAnyoneWaiting(gate)) await launchQueue({ kind: 'wake' })
        return
      }
      case 'release':
        return eventsQueue({ kind: 'stop-if-idle', runner: action.runner })
      case 'stop':
        await compute.stop(action.providerId, action.reason)
        await update(
          ledger.runners,
          action.runner,
          current => current && { ...current, stopRequestedAt: current.stopRequestedAt ?? clock.now() },
        )
        return
      case 'ask-github': {
        const job = await ledger.jobs.get(action.jobKey)
        if (job) await ask(job)
        return
      }
    }
  }

  /** The end of a job whose delivery did not come. */
  async function ask(job: Job): Promise<void> {
    const { request } = job
    const known = await github.getJob(
      { repository: request.repository, installationId: request.installationId },
      request.jobId,
    )
    if (known && known.status !== 'completed') return
    const event: JobEvent = {
      kind: 'completed',
      at: known?.completedAt ?? clock.now(),
      request: { ...request, key: jobKey(request.jobId, request.attempt) },
      conclusion: known?.conclusion ?? 'unknown',
      runner: known?.runnerId && known.runnerName ? { id: known.runnerId, name: known.runnerName } : null,
      startedAt: known?.startedAt ?? null,
    }
    await update(ledger.jobs, job.key, current => applyToJob(current, event))
    await eventsQueue(event)
  }

  async function launchQueue(body: LaunchMessage): Promise<void> {
    await queue.send('launch', [{ body }])
  }

  async function eventsQueue(body: EventsMessage): Promise<void> {
    await queue.send('events', [{ body }])
  }
}
