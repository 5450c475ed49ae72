/** Asks for the runners that pools lack. */
import type { Config } from './config.ts'
import type { Pool, PoolState } from './core/pools.ts'
import type { SeenRepository, SweepMemory } from './core/types.ts'
import type { LaunchMessage } from './ports.ts'
import { standbyName } from './standby.ts'
import type { Round, SweepPorts } from './sweep.ts'

/** What was asked for shows in the ledger by then, and what came to nothing may work again. */
const AGAIN_MS = 3 * 60_000
/** Of one pool at a time: a burst of them would hold up the jobs. */
const AT_ONCE = 10
const PLACES = 1000

/** The repository of a pool, which tornade knows from its first job on: its ids come with that. */
export function homeOf({ repository }: Pool, { repositories }: SweepMemory): SeenRepository | undefined {
  return repositories.find(({ ref }) => ref.name.toLowerCase() === repository.toLowerCase())
}

export async function fillPools(
  { clock, log, queue }: SweepPorts,
  config: Config,
  round: Round,
  missing: PoolState['missing'],
): Promise<void> {
  const now = clock.now()
  let place = 0
  for (const { pool, count } of missing) {
    const key = String(config.pools.indexOf(pool))
    if (now - (round.memory.pools[key] ?? 0) < AGAIN_MS) continue
    const home = homeOf(pool, round.memory)
    if (!home) continue
    const { ref: repository, ownerId, installationId } = home
    const bodies = Array.from(
      { length: Math.min(count, AT_ONCE, PLACES - place) },
      (): LaunchMessage => ({
        kind: 'standby',
        runner: standbyName(config.marker, now, place++),
        repository,
        ownerId,
        installationId,
        labels: pool.labels,
      }),
    )
    log.info('a pool lacks runners', {
      repository: repository.name,
      labels: pool.labels,
      count: bodies.length,
    })
    round.memory = { ...round.memory, pools: { ...round.memory.pools, [key]: now } }
    await queue.send(
      'launch',
      bodies.map(body => ({ body })),
    )
  }
}
