/**
 * Warm pools: runners that wait for a job of one repository while their window is open.
 *
 * A pool counts the free runners with exactly its labels, whoever started them for whatever: a job that takes a warm
 * runner has one of its own coming, and that one then takes the place of the taken one.
 */
import { isAvailable, runnerState } from './lifecycle.ts'
import { lengthOf, minutesLeft, type Schedule } from './schedule.ts'
import type { Runner } from './types.ts'

export interface Pool {
  /** As a job writes them in `runs-on`. */
  readonly labels: readonly string[]
  /** owner/name */
  readonly repository: string
  /** Free runners to keep. */
  readonly size: number
  /** null: always. */
  readonly schedule: Schedule | null
}

/**
 * The longest wait of a runner in a pool; then another takes its place. Its life is longer by that, so that a job that comes
 * late has its full time.
 */
const LONGEST_WAIT_MINUTES = 240

/** Minutes that a runner started now may wait for a job in `pool`. */
export function standbyMinutes({ schedule }: Pool, now: number): number {
  return Math.min(LONGEST_WAIT_MINUTES, minutesLeft(schedule, now) ?? 0)
}

/** The most minutes that a runner of this repository with these labels may wait in a pool, whenever it is started. */
export function longestStandby(
  pools: readonly Pool[],
  repository: string,
  labels: readonly string[],
): number {
  const own = pools.filter(pool => same(pool.repository, repository) && sameLabels(pool.labels, labels))
  const waits = own.map(({ schedule }) => (schedule ? lengthOf(schedule) : LONGEST_WAIT_MINUTES))
  return Math.min(LONGEST_WAIT_MINUTES, Math.max(0, ...waits))
}

export interface PoolState {
  /** Free runners that a pool needs: nobody may let them go for being idle. */
  readonly kept: ReadonlySet<string>
  /** What is to be started, pools without anything left out. */
  readonly missing: readonly { readonly pool: Pool; readonly count: number }[]
}

/** What the pools need now of the runners there are. */
export function poolState(pools: readonly Pool[], runners: readonly Runner[], now: number): PoolState {
  const kept = new Set<string>()
  const missing: { pool: Pool; count: number }[] = []
  for (const pool of pools) {
    if (minutesLeft(pool.schedule, now) === null) continue
    const free = runners.filter(runner => !kept.has(runner.name) && belongs(runner, pool) && isSpare(runner))
    for (const runner of free.slice(0, pool.size)) kept.add(runner.name)
    if (free.length < pool.size) missing.push({ pool, count: pool.size - free.length })
  }
  return { kept, missing }
}

/** The open pool that a runner of this repository with these labels can stand in; undefined when there is none. */
export function poolFor(
  pools: readonly Pool[],
  repository: string,
  labels: readonly string[],
  now: number,
): Pool | undefined {
  return pools.find(
    pool =>
      same(pool.repository, repository) &&
      sameLabels(pool.labels, labels) &&
      minutesLeft(pool.schedule, now) !== null,
  )
}

function belongs({ launch }: Runner, pool: Pool): boolean {
  return (
    launch !== null && same(launch.repository.name, pool.repository) && sameLabels(launch.labels, pool.labels)
  )
}

/** On its way or idle, and meant for nobody. */
function isSpare(runner: Runner): boolean {
  return runner.for === null && (isAvailable(runner) || runnerState(runner) === 'starting')
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

/** GitHub compares labels without case, and their order says nothing. */
function sameLabels(a: readonly string[], b: readonly string[]): boolean {
  return labelKey(a) === labelKey(b)
}

function labelKey(labels: readonly string[]): string {
  return [...new Set(labels.map(label => label.toLowerCase()))].sort().join('\n')
}
