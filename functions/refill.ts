/** Brings deferred jobs from the ledger to the gate, where a line runs short. */
import { type Config, priorityOf } from './config.ts'
import {
  type DeferredRequest,
  lineOf,
  linesToRefill,
  type PlaceRequest,
  refill,
  repositoryIdOf,
  reservation,
} from './core/admission.ts'
import type { Candidate } from './core/claim.ts'
import { runnerName } from './core/plan.ts'
import { longestStandby } from './core/pools.ts'
import type { Gate, Job } from './core/types.ts'
import type { Ports } from './ports.ts'
import { changeGate } from './update.ts'

/** More than the gate takes at once, because some of them may hold a place by now or wait for their time. */
const JOBS_LOOKED_AT = 100

type PlaceConfig = Pick<Config, 'fallback' | 'pools' | 'priority' | 'region' | 'spend'>
type RefillConfig = PlaceConfig & Pick<Config, 'marker'>
type Asking = Pick<Candidate, 'runner' | 'request' | 'spec' | 'queuedAt' | 'cause'>

/** What a job asks the gate for. */
export function placeRequest(config: PlaceConfig, asking: Asking, by: string): PlaceRequest {
  const { runner, request, spec, queuedAt } = asking
  const { id, name } = request.repository
  return {
    runner,
    jobKey: request.key,
    repositoryId: id,
    repository: name,
    role: spec.role,
    priority: priorityOf(config, name),
    since: queuedAt,
    by,
    reserveMicroUsd: reservation(spec, config.region, config.fallback, standbyFor(config, asking)),
  }
}

/**
 * The most minutes that the runner may wait in a pool, which are paid for, too. None for that of a job that a spend cap would
 * then never let in.
 */
export function standbyFor(
  { fallback, pools, region, spend }: PlaceConfig,
  { request, spec, cause }: Pick<Candidate, 'request' | 'spec' | 'cause'>,
): number {
  const standby = longestStandby(pools, request.repository.name, request.labels)
  if (standby === 0 || cause === 'pool' || spend?.onCap !== 'block') return standby
  const cost = reservation(spec, region, fallback, standby)
  const isTooDear = [spend.dailyMicroUsd, spend.monthlyMicroUsd].some(cap => cap !== null && cost > cap)
  return isTooDear ? 0 : standby
}

/** @returns true when somebody came to the gate, who may find a place free: it must be looked at again. */
export async function refillGate(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  config: RefillConfig,
  gate: Gate,
  lines: readonly string[] = linesToRefill(gate),
): Promise<boolean> {
  let came = false
  for (const line of lines) {
    const now = clock.now()
    const jobs = await jobsOf(ledger, line, now)
    const requests = jobs.flatMap(job => waitingRequest(job, config, now))
    const more = jobs.length >= JOBS_LOOKED_AT
    const { changed } = await changeGate(ledger, current => {
      const next = refill(current, line, requests, more)
      return { gate: next, changed: next !== current }
    })
    came ||= changed
  }
  return came
}

/** The oldest of a line. Where all of those wait for their time, the oldest that do not come with them. */
async function jobsOf(ledger: Ports['ledger'], line: string, now: number): Promise<readonly Job[]> {
  const query = { repositoryId: repositoryIdOf(line), state: 'deferred', limit: JOBS_LOOKED_AT } as const
  const isOf = (job: Job) =>
    lineOf({ repositoryId: job.request.repository.id, role: job.spec?.role ?? null }) === line
  const isReady = ({ deferred }: Job) => (deferred?.notBefore ?? 0) <= now
  const oldest = await ledger.jobs.open({ ...query, wanted: isOf })
  if (oldest.length < JOBS_LOOKED_AT || oldest.some(isReady)) return oldest
  const ready = await ledger.jobs.open({ ...query, wanted: job => isOf(job) && isReady(job) })
  return [...oldest, ...ready]
}

function waitingRequest(job: Job, config: RefillConfig, now: number): DeferredRequest[] {
  const { request, spec, deferred } = job
  // Its labels were read before it was deferred.
  if (!spec) return []
  const notBefore = deferred?.notBefore ?? null
  const runner = deferred?.runner ?? runnerName(config.marker, job.key, 1)
  const queuedAt = job.queuedAt ?? request.createdAt
  return [
    {
      ...placeRequest(config, { runner, request, spec, queuedAt, cause: deferred?.cause ?? 'job' }, ''),
      notBefore: notBefore !== null && notBefore > now ? notBefore : null,
    },
  ]
}
