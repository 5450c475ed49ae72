/** A thousand jobs at once, under the limits of GitHub and AWS; and a repository in which hundreds wait. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../../functions/core/lifecycle.ts'
import { limitedStarts } from '../../local/faults/calls.ts'
import {
  HOUR,
  job,
  jobs,
  leftovers,
  MINUTE,
  proxy,
  runners,
  SECOND,
  START,
  type Stack,
  stack,
  untilQuiet,
} from '../support/world.ts'

/** 900 points a minute to one endpoint, of which a JIT config costs 5; more are answered with 403. */
const JIT_CONFIGS_PER_MINUTE = 180
/** RunTask and the launches of Fargate: bursts of 100, then 20 a second. */
const STARTS = { burst: 100, perSecond: 20 }

/** A world with these limits, whose runners are counted when their ticket is stored: from then on they are launched. */
async function limited(): Promise<{ s: Stack; launchedAt: number[]; refused: () => number }> {
  const launchedAt: number[] = []
  const minted: number[] = []
  let refused = 0
  let clock: { now(): number }
  const strikes = { on: () => true, struck: () => void refused++ }
  const s: Stack = await stack({
    config: { limits: { runners: 2_000, perRepository: 2_000 } },
    wrapPorts: (ports, name) => {
      if (name !== 'launch') return ports
      const started = limitedStarts(ports, { ...STARTS, now: () => clock.now() }, strikes)
      return {
        ...started,
        github: proxy(ports.github, {
          createJitConfig: async (scope, runner, labels) => {
            while (minted[0]! <= clock.now() - MINUTE) minted.shift()
            if (minted.length >= JIT_CONFIGS_PER_MINUTE) {
              refused++
              return { outcome: 'paused', retryAfterSeconds: 60 }
            }
            minted.push(clock.now())
            return ports.github.createJitConfig(scope, runner, labels)
          },
        }),
        tickets: proxy(ports.tickets, {
          put: async (...ticket) => {
            launchedAt.push(clock.now())
            return ports.tickets.put(...ticket)
          },
        }),
      }
    },
  })
  clock = s.world.clock
  return { s, launchedAt, refused: () => refused }
}

/** Seconds for as many as no limit holds up. */
const SOON = 10

/** Seconds until the last of so many launches that these limits allow at best. */
function bound(count: number): number {
  const minutes = Math.ceil(count / JIT_CONFIGS_PER_MINUTE) - 1
  const inLastMinute = count - minutes * JIT_CONFIGS_PER_MINUTE
  return minutes * 60 + Math.max(0, inLastMinute - STARTS.burst) / STARTS.perSecond
}

describe('a burst', () => {
  it.each([100, 1_000])('of %i jobs loses and doubles nothing, and is as fast as it may be', async count => {
    const { s, launchedAt, refused } = await limited()
    for (let id = 1; id <= count; id++)
      s.world.github.queue(job(1000 + id, { script: { durationMs: 2 * MINUTE } }))
    await untilQuiet(s)
    const ended = await jobs(s.world)
    expect(ended.filter(({ completed }) => completed?.conclusion === 'success')).toHaveLength(count)
    expect(await leftovers(s)).toEqual([])
    const started = (await runners(s.world)).length
    expect(started).toBeLessThanOrEqual(count * 1.01)
    const last = (launchedAt.toSorted((a, b) => a - b)[count - 1]! - START) / SECOND
    const limits =
      count > STARTS.burst ? `these limits allow ${bound(count).toFixed(1)} s` : 'within the burst of RunTask'
    const most = count > STARTS.burst ? bound(count) * 1.1 : SOON
    const seconds = `last launch after ${last.toFixed(1)} s, at most ${most.toFixed(1)} s (${limits})`
    process.stderr.write(`burst of ${count}: ${seconds}, ${started} runners, ${refused()} calls refused\n`)
    expect(last).toBeLessThanOrEqual(most)
  })

  it.each([
    [100, 100],
    [300, 300],
    [300, 50],
  ])('of %i jobs, %i at a time, starts hardly a runner more than jobs', async (count, most) => {
    const s = await stack({ config: { limits: { runners: most, perRepository: most } } })
    for (let id = 1; id <= count; id++)
      s.world.github.queue(job(1000 + id, { script: { durationMs: 2 * MINUTE } }))
    await untilQuiet(s)
    const started = (await runners(s.world)).length
    process.stderr.write(`burst of ${count}, ${most} at a time: ${started} runners\n`)
    expect(started).toBeLessThanOrEqual(count * 1.01)
  })
})

describe('a repository with 800 jobs that wait', () => {
  it('loses none of them, and starts hardly more runners than it has jobs', { timeout: 60_000 }, async () => {
    const s: Stack = await stack({ config: { limits: { runners: 60, perRepository: 60 } } })
    for (let id = 1; id <= 800; id++) {
      // Of two kinds, of which one takes the runners of the other.
      const labels = id % 2 === 0 ? ['tornade'] : ['tornade', 'arm64']
      s.world.github.queue(job(id, { labels, script: { durationMs: (30 + (id % 7) * 10) * SECOND } }))
    }
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(800).fill('completed'))
    expect((await runners(s.world)).length).toBeLessThanOrEqual(808)
    expect(await leftovers(s)).toEqual([])
  })

  it('takes no runner from a job behind 600 older ones', { timeout: 60_000 }, async () => {
    const s: Stack = await stack({ config: { limits: { runners: 60, perRepository: 60 } } })
    for (let id = 1; id <= 800; id++) {
      const gate = id <= 600
      const labels = gate ? ['tornade', 'arm64', 'docker'] : id % 2 === 0 ? ['tornade'] : ['tornade', 'arm64']
      const durationMs = (30 + (id % 7) * 10) * SECOND
      s.world.github.queue(job(id, { labels, gate, script: { durationMs } }))
    }
    await s.world.clock.run(START + HOUR)
    const waits = (await jobs(s.world))
      .filter(({ started }) => started !== null)
      .map(({ started, request }) => started!.at - request.createdAt)
    expect(waits).toHaveLength(200)
    expect(Math.max(...waits)).toBeLessThan(6 * MINUTE)
    for (let id = 1; id <= 600; id++) s.world.github.openGate(id)
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(800).fill('completed'))
    expect(await leftovers(s)).toEqual([])
  })
})
