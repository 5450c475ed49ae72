/** Recordings through the system, and what must hold after each of them. */
import { expect } from 'vitest'
import { type Config, DEFAULT_CONFIG } from '../../functions/config.ts'
import type { JobView } from '../../functions/core/views.ts'
import { SILENT } from '../../local/log.ts'
import { type Recording, readRecordings } from '../../local/recordings.ts'
import { type ReplayOptions, type ReplayReport, replay } from '../../local/replay.ts'
import type { World } from '../../local/world.ts'

export interface Run {
  readonly report: ReplayReport
  readonly world: World
  readonly rejected: readonly (readonly [number, string])[]
}

export async function runUnchecked(
  recordings: readonly Recording[],
  config: Partial<Config> = {},
  options: Partial<ReplayOptions> = {},
): Promise<Run> {
  let world: World | undefined
  const rejected: [number, string][] = []
  const report = await replay(recordings, {
    config: { ...DEFAULT_CONFIG, ...config },
    log: SILENT,
    secret: 'a secret of the tests',
    onRejected: (_, status, reason) => rejected.push([status, reason]),
    onEnd: ended => {
      world = ended
    },
    ...options,
  })
  return { report, world: world!, rejected }
}

/** totals.costUsd = Σ jobs' costUsd + idleUsd + startupUsd, to the micro-dollar. */
export function expectMoneyConserved({ jobs, totals }: ReplayReport): void {
  const spent = jobs.reduce((sum, { costUsd }) => sum + micro(costUsd ?? 0), 0)
  expect(spent + micro(totals.idleUsd) + micro(totals.startupUsd)).toBe(micro(totals.costUsd))
  const hosted = jobs.reduce((sum, { githubHostedUsd }) => sum + micro(githubHostedUsd ?? 0), 0)
  expect(micro(totals.githubHostedUsd)).toBe(hosted)
  for (const amount of [...jobs.flatMap(money), ...Object.values(totals)])
    expect(Math.abs(amount * 1e6 - micro(amount)), `${amount} has more than six decimals`).toBeLessThan(1e-6)
}

function money({ costUsd, githubHostedUsd }: JobView): number[] {
  return [costUsd, githubHostedUsd].filter(amount => amount !== null)
}

function micro(usd: number): number {
  return Math.round(usd * 1e6)
}

export async function expectNothingLeft(world: World): Promise<void> {
  expect(world.compute.live).toBe(0)
  expect(world.backlog).toEqual({ waiting: 0, dead: 0 })
  expect(world.tickets.waiting).toBe(0)
  expect([...world.github.runners()]).toEqual([])
  expect(await world.ledger.gate.get()).toMatchObject({ holders: {}, waiting: {} })
  for (const runner of await runnersOf(world)) {
    expect(runner.stoppedAt).not.toBeNull()
    expect(runner.launch).not.toBeNull()
    expect(runner.cost).not.toBeNull()
  }
}

/** All runners there ever were, oldest first. */
export async function runnersOf(world: World) {
  return [...(await world.ledger.runners.page({ limit: Number.POSITIVE_INFINITY })).items].reverse()
}

export function recordingsOf(text: string | Buffer, name = 'a test'): Recording[] {
  return readRecordings(Buffer.from(text), name, fault => {
    throw fault
  })
}
