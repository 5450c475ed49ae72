/**
 * Each minute: what should have moved and did not. It decides on the ledger alone and asks GitHub only about jobs
 * whose runner is gone.
 */
import { askGitHub } from './ask.ts'
import type { Config } from './config.ts'
import { type Bill, billOf, isAnyoneWaiting, leave } from './core/admission.ts'
import { launchOf } from './core/claim.ts'
import { newRunner, priced } from './core/lifecycle.ts'
import { jobKeyOf } from './core/plan.ts'
import { type SweepAction, sweepActions } from './core/sweep.ts'
import { errorFields } from './lambda.ts'
import type { Compute, EventsMessage, LaunchMessage, Ports } from './ports.ts'
import { refillGate } from './refill.ts'
import { changeGate, update } from './update.ts'

/** It stops runners and starts none. */
export type SweepPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'queue'> & {
  readonly compute: Pick<Compute, 'stop'>
}

/** Jobs looked at in one sweep, oldest first. */
const JOBS_PER_SWEEP = 2000
const RERUNS_PER_SWEEP = 100

export function sweep(ports: SweepPorts, config: Config): () => Promise<void> {
  const { clock, compute, ledger, log, queue } = ports

  return async () => {
    const [jobs, runners, gate, reruns] = await Promise.all([
      ledger.jobs.open({ limit: JOBS_PER_SWEEP }),
      ledger.runners.open({}),
      ledger.gate.get(),
      ledger.reruns.open({ limit: RERUNS_PER_SWEEP }),
    ])
    for (const action of sweepActions({ jobs, runners, gate, reruns }, config, clock.now())) {
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
        await refillGate(ports, config, await ledger.gate.get(), action.lines)
        return
      case 'wake':
        return launchQueue({ kind: 'wake' })
      case 'free': {
        const bills = await billsOf(action.runners)
        const { gate } = await changeGate(ledger, current => ({
          gate: leave(current, action.runners, bills),
        }))
        if (isAnyoneWaiting(gate)) await launchQueue({ kind: 'wake' })
        return
      }
      case 'release':
        return eventsQueue({ kind: 'stop-if-idle', runner: action.runner })
      case 'rerun':
        return eventsQueue({ kind: 'rerun', rerun: action.rerun })
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
        const event = job && (await askGitHub(ports, job))
        if (event?.kind === 'completed') await eventsQueue(event)
        // The gate was opened, and nobody heard of it.
        if (event?.kind === 'queued' && job?.queuedAt === null)
          await launchQueue({ kind: 'job', request: job.request, queuedAt: event.at })
        return
      }
    }
  }

  async function billsOf(runners: readonly string[]): Promise<ReadonlyMap<string, Bill>> {
    const { holders } = await ledger.gate.get()
    const bills = new Map<string, Bill>()
    for (const name of runners) {
      const bill = await lateBill(name, holders[name]?.since ?? clock.now())
      if (bill) bills.set(name, bill)
    }
    return bills
  }

  /**
   * What a place without a live runner did cost, as far as the ledger knows. A start that was interrupted before it was
   * written down can have cost no more than all the time since; without a claim nothing was started.
   */
  async function lateBill(name: string, since: number): Promise<Bill | null> {
    const now = clock.now()
    const runner = await ledger.runners.get(name)
    if (runner?.cost) return billOf(runner, runner.stoppedAt ?? now)
    const job = await ledger.jobs.get(jobKeyOf(name))
    if (job?.claim?.runner !== name) return null
    const launch = launchOf(job, job.claim, config.region, since)
    return billOf(priced({ ...newRunner(name), launch, pullStartedAt: since, stoppedAt: now }), now)
  }

  async function launchQueue(body: LaunchMessage): Promise<void> {
    await queue.send('launch', [{ body }])
  }

  async function eventsQueue(body: EventsMessage): Promise<void> {
    await queue.send('events', [{ body }])
  }
}
