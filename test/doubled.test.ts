/** GitHub sends a delivery again, by itself or by hand: whenever a queued one comes again, it is taken and starts nothing. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../functions/core/lifecycle.ts'
import type { JobState } from '../functions/core/types.ts'
import type { Delivery } from '../local/github.ts'
import {
  job,
  jobOf,
  jobs,
  leftovers,
  MINUTE,
  repository,
  SECOND,
  type Stack,
  stack,
  startedFor,
  untilQuiet,
} from './support/world.ts'

/** A job that runs for three minutes, and its queued delivery. */
async function queued(labels: readonly string[], over: Parameters<typeof job>[1] = {}) {
  const deliveries: Delivery[] = []
  const s = await stack({
    deliver: async (world, delivery) => {
      deliveries.push(delivery)
      await world.accept(delivery)
    },
  })
  s.world.github.queue(job(1, { labels, script: { durationMs: 3 * MINUTE }, ...over }))
  while (deliveries.length === 0) await s.world.clock.run(s.world.clock.now() + 1)
  const again = async () => {
    const { headers, body } = deliveries.find(one => one.body.startsWith('{"action":"queued"'))!
    return (await s.world.request('POST', '/webhook', headers, Buffer.from(body))).status
  }
  return { s, again }
}

async function ranOnce(s: Stack): Promise<void> {
  await untilQuiet(s)
  expect(await startedFor(s.world, '1-1')).toEqual(['1 job'])
  expect(await jobs(s.world)).toHaveLength(1)
  expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('success')
  expect(await leftovers(s)).toEqual([])
}

const OPEN = { repository: { ...repository(7001, 'acme/app'), private: false } }

describe.each<[string, readonly string[], Parameters<typeof job>[1]]>([
  ['on Fargate', ['tornade'], {}],
  ['on CodeBuild', ['tornade', 'docker'], {}],
  ['of a public repository, whose run is looked up', ['tornade'], OPEN],
])('a queued delivery %s', (_, labels, over) => {
  it('that comes again at any moment is 202, and there is one runner', async () => {
    const states = new Set<JobState>()
    // Densely while it is launched, then while its runner comes up, while it runs, and after its end.
    const dense = Array.from({ length: 40 }, (_, index) => index * 50)
    const wide = Array.from({ length: 40 }, (_, index) => 2 * SECOND + index * 7 * SECOND)
    for (const after of [...dense, ...wide, 10 * MINUTE, 30 * MINUTE]) {
      const { s, again } = await queued(labels, over)
      await s.world.clock.run(s.world.clock.now() + after)
      const known = await s.world.ledger.jobs.get('1-1')
      if (known) states.add(jobState(known))
      let status: number | undefined
      s.world.clock.after(0, async () => {
        status = await again()
      })
      await ranOnce(s)
      expect({ after, status }).toEqual({ after, status: 202 })
    }
    expect([...states].sort()).toEqual(['completed', 'launching', 'running'])
  })

  it('that comes again all the time is as good as once', async () => {
    const { s, again } = await queued(labels, over)
    const statuses = new Set<number>()
    for (let count = 1; count <= 300; count++)
      s.world.clock.after(count * SECOND, async () => void statuses.add(await again()))
    await ranOnce(s)
    expect([...statuses]).toEqual([202])
  })
})
