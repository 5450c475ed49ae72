/**
 * Each minute: what should have moved and did not. Most of it is decided on the ledger alone; GitHub and the provider
 * are asked about what may have been lost. Every step can fail without the others, and is taken again in a minute.
 */
import type { Config } from './config.ts'
import { type Bill, billOf, isAnyoneWaiting, leave } from './core/admission.ts'
import { launchOf, mayHaveStarted } from './core/claim.ts'
import { newRunner, priced } from './core/lifecycle.ts'
import { jobKeyOf } from './core/plan.ts'
import { LATELY_MS } from './core/questions.ts'
import { type Sight, type SweepAction, sweepActions } from './core/sweep.ts'
import { leased, released, withSeen } from './core/sweep-memory.ts'
import type { Runner, SweepMemory } from './core/types.ts'
import { errorFields, type Invocation } from './lambda.ts'
import type { Compute, EventsMessage, LaunchMessage, Ports } from './ports.ts'
import { refillGate } from './refill.ts'
import { askAround } from './sweep-github.ts'
import { findOrphans, reconcile } from './sweep-runners.ts'
import { changeGate, update } from './update.ts'

/** It stops runners and starts none. */
export type SweepPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'queue'> & {
  readonly compute: Omit<Compute, 'start'>
}

/** Jobs looked at in one sweep, oldest first. */
const JOBS_PER_SWEEP = 2000
const RERUNS_PER_SWEEP = 100
/** While nothing has happened for long, GitHub is still asked so often whether it only seems so. */
const IDLE_LOOK_MS = 15 * 60_000
const ORPHANS_MS = 5 * 60_000

/** What the steps of one sweep share. */
export interface Round {
  readonly sight: Sight
  readonly invocation: Invocation
  /** What the next sweep will know; steps replace it. */
  memory: SweepMemory
}

export function sweep(ports: SweepPorts, config: Config): (invocation: Invocation) => Promise<void> {
  const { clock, compute, ledger, log, queue } = ports

  return async invocation => {
    const [jobs, runners, gate, reruns, memory] = await Promise.all([
      ledger.jobs.open({ limit: JOBS_PER_SWEEP }),
      ledger.runners.open({}),
      ledger.gate.get(),
      ledger.reruns.open({ limit: RERUNS_PER_SWEEP }),
      ledger.sweep.get(),
    ])
    const sight: Sight = { jobs, runners, gate, reruns }
    if (isIdle(sight, memory, clock.now())) return
    const now = clock.now()
    const leasing = leased(memory, invocation.id, now, now + invocation.remainingMs())
    // Another sweep is at work, or has just begun.
    if (!leasing || !(await ledger.sweep.put(leasing)).ok) return

    const round: Round = { sight, invocation, memory: leasing }
    round.memory = { ...round.memory, repositories: withSeen(memory.repositories, jobs, now) }
    for (const action of sweepActions(sight, config, now)) await step(action.kind, () => act(action))
    await step('reconcile', () => reconcile(ports, config, round))
    await step('ask GitHub', () => askAround(ports, config, round, step))
    if (areOrphansDue(round.memory, clock.now()))
      await step('orphans', () => findOrphans(ports, config, round, step))
    await step('remember', async () => {
      // Who took over meanwhile knows better.
      await ledger.sweep.put(released(round.memory, clock.now()))
    })
  }

  async function step(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      log.error('sweep step failed and will be tried again', { step: name, ...errorFields(error) })
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
        const { gone, bills } = await billsOf(action.runners)
        const { gate } = await changeGate(ledger, current => ({ gate: leave(current, gone, bills) }))
        if (isAnyoneWaiting(gate)) await launchQueue({ kind: 'wake' })
        return
      }
      case 'release':
        return eventsQueue({ kind: 'stop-if-idle', runner: action.runner })
      case 'rerun':
        return eventsQueue({ kind: 'rerun', rerun: action.rerun })
      case 'clean-up':
        return eventsQueue({ kind: 'clean-up', runner: action.runner })
      case 'stop':
        await compute.stop(action.providerId, action.reason)
        await update(
          ledger.runners,
          action.runner,
          current => current && { ...current, stopRequestedAt: current.stopRequestedAt ?? clock.now() },
        )
        return
    }
  }

  /** Places whose runner is gone after all, and what those cost that were started. */
  async function billsOf(runners: readonly string[]) {
    const { holders } = await ledger.gate.get()
    const gone: string[] = []
    const bills = new Map<string, Bill>()
    for (const name of runners) {
      const runner = await ledger.runners.get(name)
      // The list may lag behind: it goes with its stop.
      if (runner && runner.stoppedAt === null) continue
      gone.push(name)
      const bill = await lateBill(name, runner, holders[name]?.since ?? clock.now())
      if (bill) bills.set(name, bill)
    }
    return { gone, bills }
  }

  /**
   * What a place without a live runner did cost, as far as the ledger knows. A start that was interrupted before it was
   * written down can have cost no more than all the time since; without a claim nothing was started.
   */
  async function lateBill(name: string, runner: Runner | undefined, since: number): Promise<Bill | null> {
    const now = clock.now()
    if (runner?.cost) return billOf(runner, runner.stoppedAt ?? now)
    const job = await ledger.jobs.get(jobKeyOf(name))
    if (!job?.claim || !mayHaveStarted(job, name)) return null
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

/** Nothing is open, nothing was lately, and GitHub has been asked not long ago. */
function isIdle({ jobs, runners, gate }: Sight, memory: SweepMemory, now: number): boolean {
  const isEmpty = jobs.length + runners.length + Object.keys(gate.holders).length === 0
  if (!isEmpty || isAnyoneWaiting(gate) || Object.keys(memory.suspects).length > 0) return false
  const [last] = memory.repositories
  if (!last) return true
  return now - last.seenAt > LATELY_MS && now - memory.deliveries.lookedAt < IDLE_LOOK_MS
}

function areOrphansDue({ orphansAt, suspects }: SweepMemory, now: number): boolean {
  return now - orphansAt >= ORPHANS_MS || Object.keys(suspects).length > 0
}
