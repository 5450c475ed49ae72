/** Deliveries that never come, of every kind, with and without a trace in GitHub's log. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../../functions/core/lifecycle.ts'
import type { Job } from '../../functions/core/types.ts'
import type { Delivery } from '../../local/github.ts'
import {
  generator,
  HOUR,
  job,
  jobs,
  leftovers,
  MINUTE,
  repository,
  SECOND,
  START,
  type Stack,
  stack,
  untilQuiet,
} from '../support/world.ts'

type Action = 'queued' | 'in_progress' | 'completed'
interface Loss {
  readonly key: string
  readonly action: Action
  readonly at: number
  readonly trace: boolean
}

/** GitHub tells a system of what happens, and so many of a hundred deliveries are lost, half of them without a trace. */
async function lossy(percent: number, seed: number) {
  const random = generator(seed)
  const losses = new Map<string, Loss>()
  /** When the ledger first knew of it: `<action> <job>`. */
  const known = new Map<string, number>()
  const note = (action: Action, item: Job, isKnown: boolean) => {
    const id = `${action} ${item.key}`
    if (isKnown && !known.has(id)) known.set(id, s.world.clock.now())
  }
  const s: Stack = await stack({
    deliver: async (world, delivery) => {
      if (random() * 100 >= percent) return world.accept(delivery)
      const trace = random() < 0.5
      const { id, ...loss } = lossOf(delivery, world.clock.now(), trace)
      if (!losses.has(id)) losses.set(id, loss)
      if (trace) throw new Error('nobody answered')
    },
    onJob: item => {
      // A later fact of the same job says as much: it is known, and that it runs is in its end.
      note('queued', item, true)
      note('in_progress', item, item.started !== null || item.completed !== null)
      note('completed', item, item.completed !== null)
    },
  })
  const delays = () =>
    [...losses].map(([id, loss]) => ({
      ...loss,
      delay: (known.get(id) ?? Number.POSITIVE_INFINITY) - loss.at,
    }))
  return { s, losses, delays }
}

function lossOf({ body }: Delivery, at: number, trace: boolean): Loss & { readonly id: string } {
  const { action, workflow_job } = JSON.parse(body) as {
    action: Action
    workflow_job: { id: number; run_attempt: number }
  }
  const key = `${workflow_job.id}-${workflow_job.run_attempt}`
  return { id: `${action} ${key}`, key, action, at, trace }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Two hours of four repositories, in runs of one to five jobs. */
function twoHours({ world: { clock, github } }: Stack, seed: number, runs: number): number {
  const random = generator(seed + 7)
  let jobId = 0
  for (let run = 1; run <= runs; run++) {
    const at = START + random() * 2 * HOUR
    const own = repository(1 + Math.floor(random() * 4))
    const count = 1 + Math.floor(random() * 5)
    for (let index = 0; index < count; index++) {
      const durationMs = Math.round((20 + random() * 400) * SECOND)
      const queued = job(++jobId, {
        repository: own,
        runId: run,
        headRepositoryId: own.id,
        script: { durationMs },
      })
      // Some wait for others of their run.
      clock.at(at + (index > 2 ? random() * 10 * MINUTE : 0), () => github.queue(queued))
    }
  }
  return jobId
}

/** Median of what was lost: somebody waits for a lost queued job, and for the others a runner at most. */
const MOST: Readonly<Record<Action, number>> = {
  queued: MINUTE,
  in_progress: 2 * MINUTE,
  completed: 2 * MINUTE,
}

describe('with 30 % of deliveries lost', () => {
  it.each([1, 2, 3, 4, 5])(
    'every job is served, and what was lost is known within a minute or two (median), seed %i',
    { timeout: 60_000 },
    async seed => {
      const { s, losses, delays } = await lossy(30, seed)
      const count = twoHours(s, seed, 40)
      await s.world.clock.run(START + 2 * HOUR + 11 * MINUTE)
      await untilQuiet(s)
      expect(await leftovers(s)).toEqual([])
      expect((await jobs(s.world)).map(jobState)).toEqual(Array(count).fill('completed'))
      for (const { key, delay } of delays()) expect(delay, key).toBeLessThan(5 * MINUTE)
      const of = (action: Action, trace?: boolean) =>
        delays()
          .filter(loss => loss.action === action && (trace === undefined || loss.trace === trace))
          .map(({ delay }) => delay)
      const seconds = (values: readonly number[]) =>
        `${values.length}, median ${Math.round(median(values) / SECOND)} s, most ${Math.round(Math.max(0, ...values) / SECOND)} s`
      for (const action of ['queued', 'in_progress', 'completed'] as const) {
        print(
          `seed ${seed}: ${action} lost: ${seconds(of(action))}; without a trace: ${seconds(of(action, false))}`,
        )
        expect(median(of(action)), action).toBeLessThan(MOST[action])
        expect(median(of(action, false)), action).toBeLessThan(MOST[action])
      }
      expect(losses.size).toBeGreaterThan(count / 2)
      const all = delays().map(({ delay }) => delay)
      expect(median(all)).toBeLessThan(1.5 * MINUTE)
      print(`seed ${seed}: ${count} jobs, all lost deliveries: ${seconds(all)}`)
    },
  )
})
