/**
 * Each minute: what should have moved and did not. Most of it is decided on the ledger alone; GitHub and the provider
 * are asked about what may have been lost. Every step can fail without the others, and is taken again in a minute.
 */
import type { Config } from './config.ts'
import { type Bill, billOf, isAnyoneWaiting, leave } from './core/admission.ts'
import { claimOf, launchOf } from './core/claim.ts'
import { isFinal, jobState, MISSING, newRunner, priced } from './core/lifecycle.ts'
import { jobKeyOf } from './core/plan.ts'
import { poolState } from './core/pools.ts'
import { LATELY_MS } from './core/questions.ts'
import { seenBehind } from './core/rerun.ts'
import { isForgotten, type Sight, type SweepAction, sweepActions } from './core/sweep.ts'
import { leased, released, withSeen } from './core/sweep-memory.ts'
import type { Job, Runner, StopReason, SweepMemory } from './core/types.ts'
import { errorFields, type Invocation } from './lambda.ts'
import { fillPools, homeOf } from './pools.ts'
import type { Compute, EventsMessage, LaunchMessage, Ports } from './ports.ts'
import { refillGate } from './refill.ts'
import { rollUp } from './rollup.ts'
import { stopRunner } from './stop.ts'
import { askAround } from './sweep-github.ts'
import { findOrphans, reconcile } from './sweep-runners.ts'
import { changeGate, update } from './update.ts'

/** It stops runners and starts none. */
export type SweepPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'queue'> & {
  readonly compute: Omit<Compute, 'start'>
}

/** Jobs looked at in one sweep, oldest first. */
const JOBS_PER_SWEEP = 2000
/** Of those the ones behind gates, where they may stay for a month and pile up: they must not keep the others out of sight. */
const GATED_PER_SWEEP = 500
const RERUNS_PER_SWEEP = 100
/** While nothing has happened for long, GitHub is still asked so often whether it only seems so. */
const IDLE_LOOK_MS = 15 * 60_000
const ORPHANS_MS = 5 * 60_000
/** Looked at as often, for repositories that no sweep has seen. */
const RECENT_JOBS = 100

const UNHEARD: StopReason = {
  code: MISSING,
  reason: 'Its start was interrupted, and nobody heard of it since.',
}

/** What the steps of one sweep share. */
export interface Round {
  readonly sight: Sight
  readonly invocation: Invocation
  /** What the next sweep will know; steps replace it. */
  memory: SweepMemory
}

export function sweep(ports: SweepPorts, config: Config): (invocation: Invocation) => Promise<void> {
  const { clock, ledger, log, queue } = ports

  return async invocation => {
    const [jobs, runners, gate, reruns, memory] = await Promise.all([
      openJobs(),
      ledger.runners.open({}),
      ledger.gate.get(),
      ledger.reruns.open({ limit: RERUNS_PER_SWEEP }),
      ledger.sweep.get(),
    ])
    const sight: Sight = { jobs, runners, gate, reruns }
    const now = clock.now()
    const pools = poolState(config.pools, runners, now)
    const lacking = pools.missing.filter(({ pool }) => homeOf(pool, memory))
    if (lacking.length === 0 && isIdle(sight, memory, now)) return
    const leasing = leased(memory, invocation.id, now, now + invocation.remainingMs())
    // Another sweep is at work, or has just begun.
    if (!leasing || !(await ledger.sweep.put(leasing)).ok) return

    const round: Round = { sight, invocation, memory: leasing }
    round.memory = { ...round.memory, repositories: withSeen(memory.repositories, jobs, () => now) }
    for (const action of sweepActions(sight, config, now, pools.kept))
      await step(action.kind, () => act(action))
    await step('reconcile', () => reconcile(ports, config, round, pools.kept))
    await step('pools', () => fillPools(ports, config, round, lacking))
    await step('ask GitHub', () => askAround(ports, config, round, step))
    if (areOrphansDue(round.memory, clock.now())) {
      await step('repositories', () => seePassedBy(round))
      await step('orphans', () => findOrphans(ports, config, round, step))
    }
    await step('roll-ups', async () => {
      const { remainingMs } = invocation
      round.memory = { ...round.memory, rollups: await rollUp(ports, round.memory.rollups, remainingMs) }
    })
    await step('remember', async () => {
      // Who took over meanwhile knows better.
      await ledger.sweep.put(released(round.memory, clock.now()))
    })
  }

  function openJobs(): Promise<readonly Job[]> {
    let gated = 0
    const wanted = (job: Job) => jobState(job) !== 'waiting' || ++gated <= GATED_PER_SWEEP
    return ledger.jobs.open({ limit: JOBS_PER_SWEEP, wanted })
  }

  /** Repositories whose jobs came and went between two sweeps. */
  async function seePassedBy(round: Round): Promise<void> {
    const { items } = await ledger.jobs.page({ limit: RECENT_JOBS })
    const seenAt = ({ request, queuedAt, completed }: Job) => completed?.at ?? queuedAt ?? request.createdAt
    const ended = items.filter(isFinal)
    round.memory = { ...round.memory, repositories: withSeen(round.memory.repositories, ended, seenAt) }
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
      case 'free':
        return free(action.runners)
      case 'release':
        return eventsQueue({ kind: 'stop-if-idle', runner: action.runner })
      case 'rerun':
        return eventsQueue({ kind: 'rerun', rerun: action.rerun })
      case 'note-behind':
        await update(
          ledger.reruns,
          action.rerun,
          current => current && seenBehind(current, action.behind, clock.now()),
        )
        return
      case 'clean-up':
        return eventsQueue({ kind: 'clean-up', runner: action.runner })
      case 'stop':
        return stopRunner(ports, action.runner, action.providerId, action.reason)
    }
  }

  /** Gives places back whose runner has gone or never came to be; one that lives is only missing in a list that lags. */
  async function free(names: readonly string[]): Promise<void> {
    const { holders } = await ledger.gate.get()
    const bills = new Map<string, Bill>()
    const leaving: string[] = []
    for (const name of names) {
      const holder = holders[name]
      if (!holder || !isForgotten(holder, clock.now())) continue
      const runner = await writtenDown(name, holder.since)
      if (runner && runner.stoppedAt === null) continue
      leaving.push(name)
      if (runner?.cost) bills.set(name, billOf(runner, runner.stoppedAt!))
    }
    if (leaving.length === 0) return
    const { gate } = await changeGate(ledger, current => {
      const still = leaving.filter(name => current.holders[name]?.touchedAt === holders[name]?.touchedAt)
      return { gate: leave(current, still, bills) }
    })
    if (isAnyoneWaiting(gate)) await launchQueue({ kind: 'wake' })
  }

  /**
   * The runner of a place, written down now where its start was interrupted before that. It can have cost no more than all
   * the time since; what AWS tells of its end counts instead. Without a claim nothing was started.
   */
  async function writtenDown(name: string, since: number): Promise<Runner | undefined> {
    const job = await ledger.jobs.get(jobKeyOf(name))
    const claimed = claimOf(job, name)
    return update(ledger.runners, name, current => {
      if (!claimed || current?.launch) return current
      const known = current ?? {
        ...newRunner(name),
        pullStartedAt: since,
        stoppedAt: clock.now(),
        stop: UNHEARD,
      }
      return priced({ ...known, launch: launchOf(job!, claimed, config.region, since) })
    })
  }

  async function launchQueue(body: LaunchMessage): Promise<void> {
    await queue.send('launch', [{ body }])
  }

  async function eventsQueue(body: EventsMessage): Promise<void> {
    await queue.send('events', [{ body }])
  }
}

/** Nothing is open, nothing was lately, and GitHub has been asked not long ago. */
function isIdle({ jobs, runners, gate, reruns = [] }: Sight, memory: SweepMemory, now: number): boolean {
  const isEmpty = jobs.length + runners.length + Object.keys(gate.holders).length === 0
  if (reruns.some(({ behind, askAt }) => behind || askAt <= now)) return false
  if (!isEmpty || isAnyoneWaiting(gate) || Object.keys(memory.suspects).length > 0) return false
  const [last] = memory.repositories
  if (!last) return true
  return now - last.seenAt > LATELY_MS && now - memory.deliveries.lookedAt < IDLE_LOOK_MS
}

function areOrphansDue({ orphansAt, suspects }: SweepMemory, now: number): boolean {
  return now - orphansAt >= ORPHANS_MS || Object.keys(suspects).length > 0
}
