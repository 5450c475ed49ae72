/** Warm pools: runners that wait for jobs, kept at size while their window is open. */
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../cli/config-file.ts'
import { perMinute } from '../functions/core/cost.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import { shapeOf } from '../functions/core/plan.ts'
import type { Pool } from '../functions/core/pools.ts'
import { readSchedule, type Schedule } from '../functions/core/schedule.ts'
import type { Ports } from '../functions/ports.ts'
import { ON_DEMAND, spec } from './support/facts.ts'
import {
  busyDay,
  generator,
  guarded,
  HOUR,
  job,
  jobOf,
  jobs,
  leftovers,
  MINUTE,
  noting,
  proxy,
  runners,
  SECOND,
  START,
  type Stack,
  stack,
  untilQuiet,
} from './support/world.ts'

const LABEL = 'tornade/arm64'

function pool(over: Partial<Pool> = {}): Pool {
  // START is nine o'clock.
  const schedule = readSchedule('09:00-11:00') as Schedule
  return { labels: [LABEL], repository: 'acme/app', size: 2, schedule, ...over }
}

/** Runners that wait for a job. */
async function waiting({ world }: Stack): Promise<number> {
  return [...world.github.runners()].filter(({ status }) => status === 'idle').length
}

/** A world whose pool is at size: tornade knows the repository from its first job. */
async function warm(over: Partial<Pool> = {}, options: Parameters<typeof stack>[0] = {}): Promise<Stack> {
  const s = await stack({ ...options, config: { ...options.config, pools: [pool(over)] } })
  s.world.github.queue(job(1, { labels: ['tornade'], script: { durationMs: 3 * MINUTE } }))
  await s.world.clock.run(START + 6 * MINUTE)
  return s
}

describe('a pool', () => {
  it('is at size a few minutes after the first job of its repository, and stays so', async () => {
    const s = await warm()
    for (const minutes of [6, 20, 60, 110]) {
      await s.world.clock.run(START + minutes * MINUTE)
      expect([minutes, await waiting(s)]).toEqual([minutes, 2])
    }
    expect(s.world.metrics.get('StandbysLaunched')).toBe(2)
  })

  it('may be of runners with an image of tornade.yml', async () => {
    const x64 = `123456789012.dkr.ecr.us-east-1.amazonaws.com/node@sha256:${'a'.repeat(64)}`
    const labels = ['tornade/image:node']
    const asked: (string | null)[] = []
    const wrapPorts = (ports: Ports) => noting(ports, ({ image }) => asked.push(image))
    const s = await warm({ labels }, { config: { images: { node: { x64 } } }, wrapPorts })
    s.world.github.queue(job(2, { labels, script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + 10 * MINUTE)
    expect((await jobOf(s.world, '2-1')).runner).toMatch(/-0-1$/)
    // The first job, the pool, and the runner of the second job, which takes the place of the one that served it.
    expect(asked).toEqual([null, 'node', 'node', 'node'])
  })

  it('serves a job within seconds, and the runner started for that job takes the place in it', async () => {
    const s = await warm()
    s.world.github.queue(job(2, { labels: [LABEL], script: { durationMs: 10 * MINUTE } }))
    await s.world.clock.run(START + 8 * MINUTE)
    const { started, runner } = await jobOf(s.world, '2-1')
    expect(started!.at - (START + 6 * MINUTE)).toBeLessThan(5 * SECOND)
    expect(runner).toMatch(/-0-1$/)
    expect(await waiting(s)).toBe(2)
    const own = (await runners(s.world)).find(({ name }) => name === 'tornade-2-1-1')
    expect(own).toMatchObject({ for: null, stoppedAt: null, launch: { cause: 'job' } })
    await s.world.clock.run(START + 100 * MINUTE)
    expect(await waiting(s)).toBe(2)
    expect(s.world.metrics.get('StandbysLaunched')).toBe(2)
  })

  it('is filled up again after a burst, and holds up no job', async () => {
    const s = await warm()
    for (let id = 10; id < 20; id++)
      s.world.github.queue(job(id, { labels: [LABEL], script: { durationMs: 2 * MINUTE } }))
    await s.world.clock.run(START + 20 * MINUTE)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(11).fill('completed'))
    expect(await waiting(s)).toBe(2)
  })

  it('ends with its window, and leaves nothing behind', async () => {
    const s = await warm()
    await s.world.clock.run(START + 2 * HOUR + 10 * MINUTE)
    expect(await waiting(s)).toBe(0)
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
    for (const { launch, cost } of await runners(s.world))
      if (launch!.cause === 'pool') expect([cost!.jobMicroUsd, cost!.idleMicroUsd > 0]).toEqual([0, true])
  })

  it('opens by itself in the morning', async () => {
    const s = await warm({ schedule: readSchedule('10:00-10:30') as Schedule })
    expect(await waiting(s)).toBe(0)
    await s.world.clock.run(START + HOUR + 5 * MINUTE)
    expect(await waiting(s)).toBe(2)
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('opens on time after a quiet night as well', async () => {
    const s = await warm({ schedule: readSchedule('Tue 09:00-10:00') as Schedule })
    await s.world.clock.run(START + 24 * HOUR + 3 * MINUTE)
    expect(await waiting(s)).toBe(2)
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('knows what a runner was started for whose start was interrupted, although its window has closed', async () => {
    let crashes = 2
    const wrapPorts = (ports: Ports): Ports => ({
      ...ports,
      compute: proxy(ports.compute, {
        start: async request => {
          const answer = await ports.compute.start(request)
          if (/-0-1$/.test(request.runner) && crashes-- > 0)
            throw new Error('a fault that this test asked for')
          return answer
        },
      }),
    })
    const s = await warm({ schedule: readSchedule('09:00-09:05') as Schedule }, { wrapPorts })
    await untilQuiet(s)
    expect(crashes).toBeLessThanOrEqual(0)
    expect(await leftovers(s)).toEqual([])
  })

  it('replaces a runner that ends before its window', async () => {
    let killed = 0
    const s = await warm(
      {},
      {
        computeFaults: {
          fate: ({ runner }) =>
            /-0-1$/.test(runner) && killed++ === 0 ? { kind: 'dies', afterMs: 10 * MINUTE } : null,
        },
      },
    )
    await s.world.clock.run(START + 30 * MINUTE)
    expect(killed).toBeGreaterThan(2)
    expect(await waiting(s)).toBe(2)
  })

  it('gives way to jobs: it takes no place that one could have, and never more than the limits', async () => {
    const s = await warm({ size: 5 }, { config: { limits: { runners: 6, perRepository: 4 } } })
    expect(await waiting(s)).toBe(4)
    for (let id = 10; id < 16; id++)
      s.world.github.queue(job(id, { labels: ['tornade', 'docker'], script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + 2 * HOUR + 30 * MINUTE)
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(7).fill('completed'))
    expect(await leftovers(s)).toEqual([])
  })

  it('is no home to runners with other labels', async () => {
    const s = await warm()
    s.world.github.queue(job(2, { labels: ['tornade', 'docker'] }))
    s.world.clock.after(10 * SECOND, () => void s.world.github.cancelJob(2))
    await s.world.clock.run(START + 15 * MINUTE)
    expect((await runners(s.world)).find(({ name }) => name === 'tornade-2-1-1')!.stoppedAt).not.toBeNull()
  })

  it('is paid for under a spend cap with all the time that its runners may wait and live', async () => {
    const runner = { lifeMinutes: 30 }
    const { microUsd } = perMinute(shapeOf(spec({ arch: 'arm64' }), ON_DEMAND), 'us-east-1')
    // Enough for two runners of 30 minutes, and not for one that waits for two hours before that.
    const dailyMicroUsd = Math.ceil(microUsd! * 80)
    const spend = { dailyMicroUsd, monthlyMicroUsd: null, onCap: 'block' } as const
    const s = await warm({ size: 1 }, { config: { runner, spend } })
    await s.world.clock.run(START + 100 * MINUTE)
    s.world.github.queue(job(2, { labels: [LABEL], script: { durationMs: 29 * MINUTE } }))
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it.each([1, 2, 3, 4])('comes to a clean end with failing calls and a busy day, seed %i', async seed => {
    const random = generator(seed)
    const s = await stack({
      config: {
        limits: { runners: 20 },
        pools: [pool({ repository: 'acme/r1', labels: ['tornade/arm64'] })],
      },
      wrapPorts: (ports: Ports) =>
        guarded(ports, async work => {
          if (ports.clock.now() < START + 2 * HOUR && random() < 0.01) throw new Error('before')
          const answer = await work()
          if (ports.clock.now() < START + 2 * HOUR && random() < 0.01) throw new Error('after')
          return answer
        }),
    })
    busyDay(s.world, { seed, count: 60, hours: 2 })
    await s.world.clock.run(START + 2.2 * HOUR)
    await untilQuiet(s)
    expect((await runners(s.world)).some(({ launch }) => launch?.cause === 'pool')).toBe(true)
    expect((await leftovers(s)).filter(left => !left.endsWith('dead letters'))).toEqual([])
  })
})

describe('pools in tornade.yml', () => {
  const faultsOf = (text: string): readonly string[] => {
    try {
      parseConfig(text, 'tornade.yml')
      return []
    } catch (error) {
      return (error as { details: readonly string[] }).details
    }
  }

  it('are read', () => {
    const text =
      'pools: [{ runsOn: tornade/arm64, repository: acme/app, size: 2, schedule: Mon-Fri 09:00-19:00 Asia/Tokyo }, { runsOn: [tornade, arm64], repository: acme/app, size: 1 }]'
    const { config, warnings } = parseConfig(text, 'tornade.yml')
    expect(warnings).toEqual([])
    expect(config.pools).toEqual([
      {
        labels: ['tornade/arm64'],
        repository: 'acme/app',
        size: 2,
        schedule: { days: [1, 2, 3, 4, 5], from: 540, to: 1140, timeZone: 'Asia/Tokyo' },
      },
      { labels: ['tornade', 'arm64'], repository: 'acme/app', size: 1, schedule: null },
    ])
  })

  it.each([
    ['{ runsOn: ubuntu-latest, repository: acme/app, size: 1 }', 'not among these labels'],
    ['{ runsOn: tornade/5cpu, repository: acme/app, size: 1 }', '5cpu'],
    ['{ runsOn: tornade, repository: acme/app, size: 1, schedule: all day }', 'write days'],
    ['{ runsOn: tornade, repository: acme/app, size: 100 }', 'limits.runners'],
    ['{ runsOn: tornade, repository: acme, size: 1 }', 'owner/name'],
    ['{ runsOn: [], repository: acme/app, size: 1 }', 'pools.0.runsOn'],
  ])('%s is refused: %s', (entry, words) => {
    expect(faultsOf(`pools: [${entry}]`).join('\n')).toContain(words)
  })

  it.each([
    ['limits: { perRepository: 3 }', 'limits.perRepository'],
    ['repositories: { Acme/App: { runners: 3 } }', 'repositories.acme/app.runners'],
  ])('leave a job of their repository a place, under %s', (limit, setting) => {
    const pool = (size: number) =>
      `${limit}\npools: [{ runsOn: tornade, repository: acme/app, size: ${size} }, { runsOn: tornade/arm64, repository: ACME/app, size: 1 }]`
    expect(faultsOf(pool(1))).toEqual([])
    expect(faultsOf(pool(2))).toEqual([
      `pools: 3 runners of acme/app would wait, of 3 that it may have (${setting})`,
    ])
  })

  it('never have a role', () => {
    const text =
      'roles: { deploy: { repositories: [acme/app] } }\npools: [{ runsOn: tornade/role:deploy, repository: acme/app, size: 1 }]'
    expect(faultsOf(text)).toEqual(['pools.0.runsOn: runners of a pool have no role'])
  })
})
