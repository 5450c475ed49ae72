/** The lean world of `whatif` against the whole system: the same jobs must cost and wait the same, to the micro-dollar. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { deliveriesOf, month } from '../../bench/month.ts'
import { type Config, DEFAULT_CONFIG } from '../../functions/config.ts'
import { totals } from '../../functions/core/reports.ts'
import type { Job, Runner } from '../../functions/core/types.ts'
import { jobView, ranOn } from '../../functions/core/views.ts'
import { SILENT } from '../../local/log.ts'
import { Dice } from '../../local/random.ts'
import { readRecordings } from '../../local/recordings.ts'
import { replay } from '../../local/replay.ts'
import { joined, readBlock } from '../../local/whatif-facts.ts'
import { playLean } from '../../local/whatif-world.ts'
import { readWiring } from '../../local/wiring.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const wiring = await readWiring(ROOT, 'local', DEFAULT_CONFIG.region)
const limits = DEFAULT_CONFIG.limits
const HOLES = 0.03

/** Settings, and what they make happen: jobs wait, are refused, or find a runner that stands by. */
export const SETTINGS: Readonly<Record<string, readonly [Partial<Config>, happens: string]>> = {
  'the defaults': [{}, 'job'],
  'few runners': [{ limits: { ...limits, runners: 3 } }, 'total-limit'],
  'few of a repository': [{ limits: { ...limits, perRepository: 1 } }, 'repository-limit'],
  'few starts in an hour': [{ limits: { ...limits, startsPerHour: 4 } }, 'starts-per-hour'],
  'a spend cap': [
    { spend: { monthlyMicroUsd: 1_500_000, dailyMicroUsd: 900_000, onCap: 'block' } },
    'spend-limit',
  ],
  'small sizes': [{ limits: { ...limits, cpu: 2 }, labelMistakes: 'report' }, 'labels'],
  'a pool': [
    {
      pools: [{ labels: ['tornade'], repository: 'acme/shop-api', size: 2, schedule: null }],
      runner: { lifeMinutes: 360, idleMinutes: 10 },
    },
    'pool',
  ],
}

/** Plays it in both; `happens` is what the settings must have made happen. */
export async function expectTheSame(file: Buffer, settings: Partial<Config>, happens: string): Promise<void> {
  const config = { ...DEFAULT_CONFIG, ...settings }
  const recordings = readRecordings(file, 'recording', () => {})
  const expected = await replay(recordings, { config, secret: 's', log: SILENT })
  const { arrivals, end } = joined([readBlock(file)])
  const jobs: Job[] = []
  const runners: Runner[] = []
  const happened = new Set<string>()
  const intake = await playLean({
    config,
    wiring,
    arrivals,
    end,
    onJob: job => {
      jobs.push(job)
      if (job.refused) happened.add(job.refused.code)
    },
    onRunner: runner => {
      runners.push(runner)
      happened.add(runner.launch!.cause)
    },
    onDeferred: ({ deferred }) => happened.add(deferred!.reason),
  })
  expect(intake).toMatchObject({ rejected: 0, dead: 0 })
  const byName = new Map(runners.map(runner => [runner.name, runner]))
  expect(runners).toHaveLength(byName.size)
  const views = jobs.map(job => jobView(job, byName.get(ranOn(job) ?? ''), { final: true }))
  const byKey = (views: readonly { jobId: number; attempt: number }[]) =>
    views.toSorted((a, b) => a.jobId - b.jobId || a.attempt - b.attempt)
  expect(byKey(views)).toEqual(byKey(expected.jobs))
  expect(totals(jobs, runners)).toEqual(expected.totals)
  expect([...happened]).toContain(happens)
}

const SHOP = { id: 8000, name: 'acme/shop-api', private: true }

/** Jobs of a day, with doubled deliveries, and without some that were lost. */
export function recording(seed: number, [least, most]: readonly [number, number]): Buffer {
  const dice = new Dice(seed, 'recording')
  const jobs = month({ jobs: dice.whole(least, most), days: 1, seed })
  // Some are public, whose runs are looked at before a launch; and many are of one repository, where jobs meet.
  const some = jobs.map((job, index) => ({
    ...job,
    repository:
      index % 4 === 0 ? { ...job.repository, ...SHOP } : { ...job.repository, private: index % 3 > 0 },
  }))
  const lines = [...deliveriesOf(some)].flatMap(delivery => {
    const line = JSON.stringify(delivery)
    const isQueued = delivery.request.payload.action === 'queued'
    if (!isQueued && dice.chance(HOLES)) return []
    return isQueued && dice.chance(HOLES) ? [line, line] : [line]
  })
  return Buffer.from(`${lines.join('\n')}\n`)
}
