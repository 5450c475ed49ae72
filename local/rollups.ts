/** Roll-ups without waiting for the sweeps that make them. */
import { hourOf, PASSES_MS, upToDateAt } from '../functions/core/rollup-passes.ts'
import type { RollupMemory } from '../functions/core/types.ts'
import type { Clock, Ledger } from '../functions/ports.ts'
import { rollUp } from '../functions/rollup.ts'

/** Makes all of them from the hour of `since` on, and leaves the sweep to remember it. */
export async function rollUpSince(ledger: Ledger, clock: Clock, since: number): Promise<void> {
  let memory: RollupMemory = { lookedAt: 0, done: PASSES_MS.map(() => hourOf(since)) }
  do memory = await rollUp({ ledger, clock }, memory, () => Number.POSITIVE_INFINITY)
  while (upToDateAt(memory) !== clock.now())
  const sweep = await ledger.sweep.get()
  await ledger.sweep.put({ ...sweep, version: sweep.version + 1, rollups: memory })
}

/** A ledger whose roll-ups are brought up to date before they are read: who posts a job wants to see what it cost. */
export function upToDate(ledger: Ledger, clock: Clock): Ledger {
  const { rollups, sweep } = ledger
  const catchUp = async () => {
    const memory = await sweep.get()
    const now = await rollUp(
      { ledger, clock },
      { ...memory.rollups, lookedAt: 0 },
      () => Number.POSITIVE_INFINITY,
    )
    return { ...memory, rollups: now }
  }
  return {
    ...ledger,
    sweep: { ...sweep, get: catchUp },
    rollups: {
      ...rollups,
      get: async keys => {
        await catchUp()
        return rollups.get(keys)
      },
    },
  }
}
