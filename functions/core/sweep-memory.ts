/** What one sweep leaves for the next. */
import { NO_PASSES } from './rollup-passes.ts'
import type { Job, SeenRepository, SweepMemory } from './types.ts'

/** Before it has seen anything. */
export const EMPTY_MEMORY: SweepMemory = {
  version: 0,
  lease: null,
  deliveries: { watermark: null, lookedAt: 0, asked: {} },
  runs: {},
  repositories: [],
  orphansAt: 0,
  suspects: {},
  pools: {},
  rollups: NO_PASSES,
}

/** One sweep at a time writes the item, so its size is its price: about 100 bytes each. */
const REPOSITORIES = 100
const RUNS = 500
/** Longer than any run is asked about at intervals. */
const RUN_MS = 2 * 3_600_000

/** The memory with `owner` at work until then; null while another sweep is. */
export function leased(memory: SweepMemory, owner: string, now: number, until: number): SweepMemory | null {
  const { lease } = memory
  if (lease && lease.until > now && lease.owner !== owner) return null
  return { ...memory, version: memory.version + 1, lease: { owner, until } }
}

/** What is left to the next sweep, without what it has no use for. */
export function released(memory: SweepMemory, now: number): SweepMemory {
  const runs = Object.entries(memory.runs)
    .filter(([, at]) => now - at < RUN_MS)
    .sort(([, a], [, b]) => b - a)
    .slice(0, RUNS)
  return { ...memory, version: memory.version + 1, lease: null, runs: Object.fromEntries(runs) }
}

/**
 * The repositories with those of `jobs`, the one seen last first. Jobs behind gates may stay for a month.
 * @param at when a job was seen; one that is open is seen now
 */
export function withSeen(
  known: readonly SeenRepository[],
  jobs: readonly Job[],
  at: (job: Job) => number,
): readonly SeenRepository[] {
  const seen = new Map(known.map(one => [one.ref.id, one]))
  for (const job of jobs) {
    const { repository: ref, ownerId, installationId } = job.request
    const before = seen.get(ref.id)
    if (job.queuedAt === null && before) continue
    const seenAt = at(job)
    if (before && before.seenAt > seenAt) continue
    seen.set(ref.id, { ref, ownerId, installationId, seenAt, listedAt: before?.listedAt ?? 0 })
  }
  return [...seen.values()].sort((a, b) => b.seenAt - a.seenAt).slice(0, REPOSITORIES)
}
