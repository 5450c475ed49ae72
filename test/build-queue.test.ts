/** An account runs so many builds at once; CodeBuild queues the others, and tells of them as if they ran. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../functions/core/lifecycle.ts'
import { job, jobs, leftovers, MINUTE, runners, stack, startedFor, untilQuiet } from './support/world.ts'

const LABELS = ['tornade', 'docker']

describe('a build that queues', () => {
  it('keeps its runner while its turn may come', async () => {
    const s = await stack({ buildsAtOnce: 1 })
    for (const id of [1, 2])
      s.world.github.queue(job(id, { labels: LABELS, script: { durationMs: 12 * MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed'])
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job'])
    expect(await startedFor(s.world, '2-1')).toEqual(['1 job'])
    expect(await leftovers(s)).toEqual([])
  })

  it('is known to be up when its turn has come, and not before', async () => {
    const s = await stack({ buildsAtOnce: 1 })
    for (const id of [1, 2])
      s.world.github.queue(job(id, { labels: LABELS, script: { durationMs: 12 * MINUTE } }))
    await s.world.clock.run(s.world.clock.now() + 2 * MINUTE)
    const up = async () => (await runners(s.world)).map(({ startedAt }) => startedAt !== null)
    expect(await up()).toEqual([true, false])
    await s.world.clock.run(s.world.clock.now() + 12 * MINUTE)
    expect(await up()).toEqual([true, true])
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('keeps it, although the life of its runner is shorter than the queue', async () => {
    const s = await stack({ buildsAtOnce: 1 })
    s.world.github.queue(job(1, { labels: LABELS, script: { durationMs: 12 * MINUTE } }))
    s.world.github.queue(job(2, { labels: [...LABELS, 'timeout:5m'], script: { durationMs: 2 * MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed'])
    expect(await startedFor(s.world, '2-1')).toEqual(['1 job'])
    expect(await leftovers(s)).toEqual([])
  })

  it('is asked for again once it has queued for too long, however often, and its job is not refused', async () => {
    const s = await stack({ buildsAtOnce: 1 })
    for (const id of [1, 2, 3, 4, 5])
      s.world.github.queue(job(id, { labels: LABELS, script: { durationMs: 40 * MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(5).fill('completed'))
    const causes = (await runners(s.world)).map(({ launch }) => launch?.cause)
    expect(causes).toContain('capacity')
    expect(causes).not.toContain('retry')
    expect(await leftovers(s)).toEqual([])
  })
})
