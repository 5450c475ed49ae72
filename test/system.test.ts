import { describe, expect, it } from 'vitest'
import { applyRunnerEvent, jobState, runnerState } from '../functions/core/lifecycle.ts'
import { totals } from '../functions/core/reports.ts'
import type { Compute, Deferral, Job, RunnerCapacity } from '../functions/core/types.ts'
import { GitHubError } from '../functions/github/errors.ts'
import type { Ports, StartOutcome } from '../functions/ports.ts'
import { update } from '../functions/update.ts'
import * as facts from './support/facts.ts'
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
  repository,
  runners,
  SECOND,
  START,
  type Stack,
  type StackOptions,
  stack,
  startedFor,
  untilQuiet,
} from './support/world.ts'

const FORBIDDEN = {
  operation: 'GET /',
  status: 403,
  detail: 'a secondary rate limit',
  documentationUrl: null,
}

describe('one job', () => {
  it('is started, runs, ends, is paid for, and leaves nothing behind', async () => {
    const s = await stack()
    s.world.github.queue(
      job(1, { labels: ['tornade', 'arm64', 'spot', '4cpu'], script: { durationMs: 2 * MINUTE } }),
    )
    await untilQuiet(s)
    const ended = await jobOf(s.world, '1-1')
    expect(ended).toMatchObject({
      runner: 'tornade-1-1-1',
      spec: { arch: 'arm64', capacity: 'spot', cpu: 4 },
      completed: { conclusion: 'success' },
    })
    expect(ended.started!.at - START).toBeLessThan(45 * SECOND)
    const [only, ...others] = await runners(s.world)
    expect(others).toEqual([])
    expect(only).toMatchObject({
      launch: { cause: 'job', jobKey: '1-1', shape: { capacity: 'spot', cpu: 4, memoryGiB: 8 } },
      job: { key: '1-1' },
      stop: { code: 'EssentialContainerExited' },
    })
    expect(ended.cost?.microUsd).toBe(only?.cost?.jobMicroUsd)
    expect(only!.cost!.jobMicroUsd).toBeGreaterThan(0)
    expect(await leftovers(s)).toEqual([])
  })

  it('on CodeBuild goes the same way', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { labels: ['tornade', 'docker'] }))
    await untilQuiet(s)
    expect((await runners(s.world))[0]).toMatchObject({
      launch: { shape: { compute: 'codebuild', capacity: null, computeType: 'BUILD_GENERAL1_SMALL' } },
      stop: { code: 'SUCCEEDED' },
    })
    expect(await leftovers(s)).toEqual([])
  })

  it('with an image of tornade.yml gets that image, on whatever it runs', async () => {
    const image = `123456789012.dkr.ecr.us-east-1.amazonaws.com/node@sha256:${'a'.repeat(64)}`
    const asked: [string, string | null][] = []
    const s = await stack({
      config: { images: { node: { x64: image, arm64: image } } },
      wrapPorts: ports => noting(ports, ({ shape, image }) => asked.push([shape.compute, image])),
    })
    s.world.github.queue(job(1, { labels: ['tornade/image:node'] }))
    s.world.github.queue(job(2, { labels: ['tornade/image:node/arm64/docker'] }))
    s.world.github.queue(job(3, { labels: ['tornade'] }))
    await untilQuiet(s)
    expect(asked.sort()).toEqual([
      ['codebuild', 'node'],
      ['fargate', null],
      ['fargate', 'node'],
    ])
    expect(await leftovers(s)).toEqual([])
  })

  it('that builds images is served on Fargate, and on CodeBuild where it asks for that', async () => {
    const s = await stack()
    const asked: (readonly [string, boolean])[] = []
    const start = s.world.compute.start.bind(s.world.compute)
    s.world.compute.start = async request => {
      asked.push([request.shape.compute, request.build])
      return start(request)
    }
    s.world.github.queue(job(1, { labels: ['tornade', 'build'] }))
    s.world.github.queue(job(2, { labels: ['tornade/codebuild/build'] }))
    await untilQuiet(s)
    expect(asked.sort()).toEqual([
      ['codebuild', true],
      ['fargate', true],
    ])
    expect(await leftovers(s)).toEqual([])
  })

  it('behind a gate is started when the gate opens, not before', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { gate: true }))
    await s.world.clock.run(START + 20 * MINUTE)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('waiting')
    expect(await runners(s.world)).toEqual([])
    s.world.github.openGate(1)
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job'])
    expect(await leftovers(s)).toEqual([])
  })

  it('that is run again is another job with a runner of its own', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { script: { durationMs: MINUTE, conclusion: 'failure' } }))
    await untilQuiet(s)
    const again = s.world.github.runAgain(1)!
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, `${again.jobId}-2`))).toBe('completed')
    expect(await runners(s.world)).toHaveLength(2)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a runner that another job takes', () => {
  it('is swapped for the other one when both jobs have the same labels', async () => {
    const s = await stack()
    // Whichever runner is up first gets the older job.
    for (let id = 1; id <= 20; id++) s.world.github.queue(job(id, { runId: 1 }))
    await untilQuiet(s)
    const all = await runners(s.world)
    expect(all.filter(({ name, job: ran }) => ran && !name.includes(`-${ran.key}-`)).length).toBeGreaterThan(
      0,
    )
    expect(all.map(({ launch }) => launch?.cause)).toEqual(Array(20).fill('job'))
    expect(await leftovers(s)).toEqual([])
  })

  it('is replaced when nobody else can serve the job that lost it', async () => {
    const s = await stack()
    const taken = await theft(s)
    expect(taken).toMatchObject({ job: { key: '1-1' }, for: '1-1' })
    await untilQuiet(s)
    expect(await startedFor(s.world, '2-1')).toEqual(['1 job', '2 replacement'])
    expect(await jobOf(s.world, '2-1')).toMatchObject({ runner: 'tornade-2-1-2', replacements: 1 })
    expect(await leftovers(s)).toEqual([])
  })

  it('frees the runner of the thief, which goes at once', async () => {
    const s = await stack()
    await theft(s)
    await s.world.clock.run(s.world.clock.now() + 150 * SECOND)
    const idle = await s.world.ledger.runners.get('tornade-1-1-1')
    expect(idle).toMatchObject({
      job: null,
      deregisteredAt: expect.any(Number),
      stoppedAt: expect.any(Number),
    })
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('is replaced so many times; then its job waits, which says why, for what is left over', async () => {
    const deferrals: Deferral[] = []
    // Fargate starts nothing, so the older jobs take whatever CodeBuild runner comes up.
    const s = await stack({
      ...failing(({ compute }) => compute === 'fargate' && none('capacity')),
      config: { limits: { replacements: 2 } },
      onJob: ({ key, deferred }) => void (key === '9-1' && deferred && deferrals.push(deferred)),
    })
    for (let id = 1; id <= 5; id++) s.world.github.queue(job(id))
    await s.world.clock.run(START + 5 * SECOND)
    s.world.github.queue(job(9, { labels: ['tornade', 'docker'], runId: 9 }))
    for (let minute = 1; !deferrals.some(({ reason }) => reason === 'replacement-limit'); minute++)
      await s.world.clock.run(START + minute * MINUTE)
    expect(await jobOf(s.world, '9-1')).toMatchObject({
      replacements: 2,
      refused: null,
    })
    expect(deferrals.find(({ reason }) => reason === 'replacement-limit')).toMatchObject({
      message:
        'Other jobs took 3 runners started for this one (limits.replacements): it gets the next that is left over, or one of its own later.',
      cause: 'replacement',
      runner: 'tornade-9-1-4',
    })
    const { deferred } = await jobOf(s.world, '9-1')
    expect(deferred?.notBefore).toBeGreaterThan(s.world.clock.now() + MINUTE)
    expect((await s.world.ledger.gate.get()).holders).not.toHaveProperty('tornade-9-1-4')
    // GitHub gives it the first runner of a later job that no older one takes.
    s.world.github.queue(job(10, { labels: ['tornade', 'docker'] }))
    await s.world.clock.run(deferred!.notBefore! - SECOND)
    expect(await jobOf(s.world, '9-1')).toMatchObject({
      started: { runner: { name: expect.stringMatching(/^tornade-10-1-/) } },
    })
    await untilQuiet(s)
    for (const key of ['9-1', '10-1'])
      expect(await jobOf(s.world, key)).toMatchObject({ completed: expect.anything(), refused: null })
    expect(s.world.github.checks).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  /** The plain job is older and the runner with more labels is up first, so it is taken. */
  async function theft(s: Stack) {
    const { world } = s
    const ids = [1, 2]
    world.github.queue(job(1, { labels: ['tornade'], script: { durationMs: 20 * MINUTE } }))
    world.clock.after(1, () => world.github.queue(job(2, { labels: ['tornade', 'docker'] })))
    await world.clock.run(
      START + 5 * MINUTE,
      () => [...world.github.jobs()].filter(one => one.startedAt).length > 0,
    )
    await world.clock.run(world.clock.now() + 2 * SECOND)
    expect(ids.map(id => world.github.job(`${id}-1`)?.status)).toEqual(['in_progress', 'queued'])
    const taken = await world.ledger.runners.get('tornade-2-1-1')
    return taken!
  }
})

describe('a mixed day', () => {
  it.each([
    ['with room for everybody', 1, {}],
    ['with a few places', 2, { limits: { runners: 12, perRepository: 7 } }],
    ['all at once', 3, { limits: { runners: 30, perRepository: 15 }, hours: 0.02 }],
    ['all at once, with room', 4, { limits: { runners: 400, perRepository: 300 }, hours: 0.02 }],
    ['through the eye of a needle', 5, { limits: { runners: 2, perRepository: 1 }, hours: 1, count: 60 }],
  ])(
    '%s strands nobody',
    { timeout: 20_000 },
    async (_, seed, { limits = {}, hours = 6, count = 300 }: DayOptions) => {
      const config = { limits, roles: { deploy: { repositories: ['acme/r1'], refs: [], events: [] } } }
      const s = await stack({ config })
      busyDay(s.world, { seed, count, hours })
      await s.world.clock.run(START + hours * HOUR)
      await untilQuiet(s)
      expect(await leftovers(s)).toEqual([])
      const all = await jobs(s.world)
      expect(all.length).toBeGreaterThanOrEqual(count)
      // Only forks, and who asks for a role that is not theirs, are turned away.
      const codes = new Set(all.map(({ refused }) => refused?.code ?? 'none'))
      expect([...codes].filter(code => code !== 'fork').sort()).toEqual(['none', 'role'])
      const ran = all.filter(({ started }) => started !== null)
      expect(ran.length).toBeGreaterThan(count / 2)
      for (const { key, cost } of ran) expect([key, cost?.microUsd]).toEqual([key, expect.any(Number)])
      const started = await runners(s.world)
      // Runners that ran nothing are the price of cancelled jobs and of thefts, not the rule.
      expect(started.length).toBeLessThan(ran.length * 1.25)
      const { costUsd, idleUsd, startupUsd } = totals(all, started)
      const paid = all.reduce((sum, { cost }) => sum + (cost?.microUsd ?? 0), 0)
      expect(Math.round((costUsd - idleUsd - startupUsd) * 1e6)).toBe(paid)
    },
  )

  interface DayOptions {
    readonly limits?: { readonly runners?: number; readonly perRepository?: number }
    readonly hours?: number
    readonly count?: number
  }
})

describe('a cancelled job', () => {
  it.each([
    ['before its runner is claimed', 0.2],
    ['while its runner is being started', 0.8],
    ['while its JIT config is asked for', 1.2],
    ['while its runner is being armed', 1.4],
    ['while its task is provisioned', 5],
    ['while its image is pulled', 15],
    ['just before its runner is up', 24],
    ['while it is matched with its runner', 27],
  ])('%s takes its runner with it', async (_, seconds) => {
    const s = await stack()
    s.world.github.queue(job(1))
    await s.world.clock.run(START + seconds * SECOND)
    s.world.github.cancelJob(1)
    await s.world.clock.run(s.world.clock.now() + 10 * SECOND)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('cancelled')
    expect([...s.world.github.runners()]).toEqual([])
    await s.world.clock.run(s.world.clock.now() + 110 * SECOND)
    expect(s.world.compute.live).toBe(0)
    await untilQuiet(s)
    expect((await runners(s.world)).every(runner => runnerState(runner) === 'stopped')).toBe(true)
    expect(await leftovers(s)).toEqual([])
  })

  it('leaves its runner to a waiting job that fits', async () => {
    const s = await stack({ config: { limits: { runners: 1 } } })
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 5 * SECOND)
    s.world.github.queue(job(2))
    await s.world.clock.run(START + 10 * SECOND)
    s.world.github.cancelJob(1)
    await untilQuiet(s)
    expect(await jobOf(s.world, '2-1')).toMatchObject({
      runner: 'tornade-1-1-1',
      completed: { conclusion: 'success' },
    })
    expect(await runners(s.world)).toHaveLength(1)
    expect(await leftovers(s)).toEqual([])
  })

  it('that waits for a place is never started', async () => {
    const s = await stack({ config: { limits: { runners: 1 } } })
    s.world.github.queue(job(1, { script: { durationMs: 10 * MINUTE } }))
    await s.world.clock.run(START + SECOND)
    s.world.github.queue(job(2))
    await s.world.clock.run(START + MINUTE)
    s.world.github.cancelJob(2)
    await untilQuiet(s)
    expect(await startedFor(s.world, '2-1')).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('that runs ends on its runner and pays for what it ran', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { script: { durationMs: HOUR } }))
    await s.world.clock.run(START + 5 * MINUTE)
    s.world.github.cancelJob(1)
    await untilQuiet(s)
    const ended = await jobOf(s.world, '1-1')
    expect(jobState(ended)).toBe('cancelled')
    expect(ended.cost!.microUsd).toBeGreaterThan(0)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a delivery that comes again', () => {
  it.each([
    ['while the job is launching', 1, 0.6],
    ['while its runner comes up', 1, 10],
    ['while it runs', 1, 60],
    ['long after it has ended', 1, 1800],
    ['many times over', 12, 5],
  ])('%s starts no second runner', async (_, times, everySeconds) => {
    const bodies: (() => Promise<void>)[] = []
    const s = await stack({
      deliver: async (world, delivery) => {
        if (bodies.length === 0) bodies.push(() => world.accept(delivery))
        await world.accept(delivery)
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: 3 * MINUTE } }))
    for (let count = 1; count <= times; count++)
      s.world.clock.after(SECOND + count * everySeconds * SECOND, () => bodies[0]!())
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job'])
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })

  it('of a job that waits for a place leaves it where it is', async () => {
    const again: (() => Promise<void>)[] = []
    const s = await stack({
      config: { limits: { runners: 1 } },
      deliver: async (world, delivery) => {
        again.push(() => world.accept(delivery))
        await world.accept(delivery)
      },
    })
    for (const id of [1, 2, 3]) s.world.github.queue(job(id, { script: { durationMs: 5 * MINUTE } }))
    for (let count = 1; count < 60; count++)
      s.world.clock.after(count * 20 * SECOND, async () => {
        for (const send of again.slice(0, 3)) await send()
      })
    await untilQuiet(s)
    expect(await runners(s.world)).toHaveLength(3)
    expect(await leftovers(s)).toEqual([])
  })

  it('of everything, all in disorder, changes nothing', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        const digits = Number.parseInt(delivery.id.slice(0, 4), 16)
        world.clock.after(1 + (digits % 20) * SECOND, () => world.accept(delivery))
        if (digits % 3 === 0) world.clock.after(1 + (digits % 400) * SECOND, () => world.accept(delivery))
      },
    })
    for (let id = 1; id <= 60; id++)
      s.world.github.queue(job(id, { labels: id % 3 === 0 ? ['tornade', 'arm64'] : ['tornade'] }))
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(60).fill('completed'))
  })
})

describe('limits', () => {
  it('of all runners and of a repository are never exceeded, and are used up', async () => {
    const s = await stack({ config: { limits: { runners: 8, perRepository: 5 } } })
    for (let id = 1; id <= 60; id++) s.world.github.queue(job(id, { repository: repository(1 + (id % 3)) }))
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
    expect(s.promises.peak.total).toBe(8)
    expect(Math.max(...s.promises.peak.perRepository.values())).toBeLessThanOrEqual(5)
  })

  it('make the others wait, and a waiting job says why', async () => {
    const s = await stack({ config: { limits: { runners: 2, perRepository: 1 } } })
    for (const id of [1, 2]) s.world.github.queue(job(id, { repository: repository(id) }))
    await s.world.clock.run(START + 5 * SECOND)
    s.world.github.queue(job(3, { repository: repository(3) }))
    await s.world.clock.run(START + 10 * SECOND)
    expect(await jobOf(s.world, '3-1')).toMatchObject({
      deferred: {
        reason: 'total-limit',
        message: 'All 2 runners are in use (limits.runners).',
        runner: 'tornade-3-1-1',
      },
    })
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '3-1'))).toBe('completed')

    const t = await stack({ config: { limits: { runners: 2, perRepository: 1 } } })
    for (const id of [1, 2]) t.world.github.queue(job(id))
    await t.world.clock.run(START + 10 * SECOND)
    const states = await Promise.all([jobOf(t.world, '1-1'), jobOf(t.world, '2-1')])
    expect(states.find(({ deferred }) => deferred)).toMatchObject({
      deferred: {
        reason: 'repository-limit',
        message: 'This repository uses all of its 1 runners (limits.perRepository).',
      },
    })
    await untilQuiet(t)
    expect(await leftovers(t)).toEqual([])
  })

  it('hand a place on within seconds, and the older job gets it', async () => {
    const s = await stack({ config: { limits: { runners: 1 } } })
    for (let id = 1; id <= 5; id++)
      s.world.clock.after(id * SECOND, () =>
        s.world.github.queue(job(id, { script: { durationMs: MINUTE } })),
      )
    await untilQuiet(s)
    const all = await jobs(s.world)
    const starts = all.map(({ started }) => started!.at)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    // One runner after the other: start, a minute of work, and its end.
    for (let index = 1; index < starts.length; index++)
      expect(starts[index]! - starts[index - 1]!).toBeLessThan(100 * SECOND)
    expect(await leftovers(s)).toEqual([])
  })

  it('serve a crowd that the gate cannot remember, in the order in which it came', async () => {
    const s = await stack({ config: { limits: { runners: 10 } } })
    for (let id = 1; id <= 120; id++)
      s.world.clock.after(id * 1200, () =>
        s.world.github.queue(job(id, { script: { durationMs: 30 * SECOND } })),
      )
    await untilQuiet(s)
    const starts = (await jobs(s.world)).map(({ started }) => started!.at)
    // Ten at a time, so each may be a batch away from its turn.
    const sorted = starts.toSorted((a, b) => a - b)
    for (let index = 0; index < starts.length; index++) {
      expect(sorted.indexOf(starts[index]!)).toBeGreaterThan(index - 20)
      expect(sorted.indexOf(starts[index]!)).toBeLessThan(index + 20)
    }
    expect(await leftovers(s)).toEqual([])
  })

  it('let higher priority go first', async () => {
    const s = await stack({ config: { limits: { runners: 1 }, priority: { 'acme/r2': 10 } } })
    s.world.github.queue(job(1, { repository: repository(1) }))
    await s.world.clock.run(START + SECOND)
    for (const id of [2, 3]) s.world.github.queue(job(id, { repository: repository(1) }))
    await s.world.clock.run(START + 2 * SECOND)
    s.world.github.queue(job(4, { repository: repository(2) }))
    await untilQuiet(s)
    const started = async (key: string) => (await jobOf(s.world, key)).started!.at
    expect(await started('4-1')).toBeLessThan(await started('2-1'))
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a runner that is gone before it is registered', () => {
  it('leaves no registration and no ticket, and its job gets another', async () => {
    let providerId = ''
    let gone = ''
    const tickets: string[] = []
    const s = await stack({
      wrapPorts: (ports, name) => {
        if (name !== 'launch') return ports
        const createJitConfig: Ports['github']['createJitConfig'] = async (scope, runner, labels) => {
          const answer = await ports.github.createJitConfig(scope, runner, labels)
          if (gone === '' && answer.outcome === 'created') {
            gone = runner
            // As lifecycle writes it when AWS says so, while GitHub has not answered yet.
            const now = ports.clock.now()
            await update(ports.ledger.runners, runner, current =>
              applyRunnerEvent(current, {
                kind: 'runner',
                runner,
                providerId,
                pullStartedAt: now,
                startedAt: null,
                stoppingAt: null,
                stoppedAt: now,
                stop: { code: 'TaskFailedToStart', reason: 'CannotPullContainerError' },
              }),
            )
          }
          return answer
        }
        return {
          ...ports,
          compute: proxy(ports.compute, {
            start: async request => {
              const answer = await ports.compute.start(request)
              if (answer.outcome === 'started') providerId = answer.providerId
              return answer
            },
          }),
          github: proxy(ports.github, { createJitConfig }),
          tickets: proxy(ports.tickets, {
            put: (key, ...rest) => {
              tickets.push(key)
              return ports.tickets.put(key, ...rest)
            },
          }),
        }
      },
    })
    s.world.github.queue(job(1))
    await s.world.clock.run(START + MINUTE)
    expect(gone).toBe('tornade-1-1-1')
    expect([...s.world.github.runners()].map(({ name }) => name)).not.toContain(gone)
    expect(tickets).toHaveLength(1)
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a provider that does not start a runner', () => {
  it('for want of Spot starts it on demand at once', async () => {
    const s = await stack(failing(({ capacity }) => capacity === 'spot' && none('capacity')))
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'] }))
    await untilQuiet(s)
    const ended = await jobOf(s.world, '1-1')
    expect(ended.started!.at - START).toBeLessThan(45 * SECOND)
    expect((await runners(s.world)).map(({ launch }) => launch?.shape.capacity)).toEqual(['on-demand'])
    expect(await leftovers(s)).toEqual([])
  })

  it('leaves a spot-only job waiting, which is served when capacity is back, and never on demand', async () => {
    const back = START + 40 * MINUTE
    const asked: (RunnerCapacity | null)[] = []
    const s = await stack(
      failing(({ capacity, now }) => {
        asked.push(capacity)
        return now < back && none('capacity')
      }),
    )
    s.world.github.queue(job(1, { labels: ['tornade', 'spot-only'] }))
    await s.world.clock.run(back)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      deferred: { reason: 'no-capacity', message: 'Capacity is unavailable at this time.' },
    })
    expect((await s.world.ledger.gate.get()).holders).toEqual({})
    await untilQuiet(s)
    const ended = await jobOf(s.world, '1-1')
    expect(ended.started!.at - back).toBeLessThan(7 * MINUTE)
    expect([...new Set(asked)]).toEqual(['spot'])
    // Tried again soon, then every five minutes.
    expect(asked.length).toBeGreaterThan(8)
    expect(asked.length).toBeLessThan(20)
    expect(await leftovers(s)).toEqual([])
  })

  it('for want of Spot keeps nobody waiting who does not ask for it', async () => {
    const s = await stack(failing(({ capacity }) => capacity === 'spot' && none('capacity')))
    for (let id = 1; id <= 70; id++)
      s.world.github.queue(
        job(id, { labels: ['tornade', 'spot-only'], script: { cancelAt: START + 2 * HOUR } }),
      )
    await s.world.clock.run(START + 10 * MINUTE)
    for (let id = 101; id <= 105; id++) s.world.github.queue(job(id))
    await s.world.clock.run(START + 15 * MINUTE)
    for (let id = 101; id <= 105; id++) {
      const { started, request } = await jobOf(s.world, `${id}-1`)
      expect(started?.at ?? 0).toBeGreaterThan(0)
      expect(started!.at - request.createdAt).toBeLessThan(MINUTE)
    }
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('because it is called too often is asked again soon', async () => {
    const s = await stack(failing(({ count }) => count <= 2 && none('throttled', 'Rate exceeded')))
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 3 * SECOND)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      deferred: { reason: 'throttled', message: 'Rate exceeded' },
    })
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).started!.at - START).toBeLessThan(75 * SECOND)
    expect(await leftovers(s)).toEqual([])
  })

  it('because its quota is used up is asked again later', async () => {
    const message = 'You’ve reached the limit on the number of vCPUs you can run concurrently'
    const s = await stack(failing(({ now }) => now < START + 10 * MINUTE && none('quota', message)))
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 5 * MINUTE)
    expect((await jobOf(s.world, '1-1')).deferred?.message).toBe(message)
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })

  it('and never will is quoted where the author looks', async () => {
    const words = 'No Fargate configuration exists for given values.'
    const s = await stack(failing(() => none('permanent', words)))
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      refused: { code: 'provider-refused', problems: [{ message: words }] },
      completed: { conclusion: 'cancelled' },
    })
    expect(s.world.github.checks).toMatchObject([
      { externalId: 'tornade:900001:1', summary: expect.stringContaining(words) },
    ])
    expect(await runners(s.world)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('GitHub', () => {
  it('that asks to wait is left alone until then, and everybody is served', async () => {
    const asked: number[] = []
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            asked.push(ports.clock.now())
            if (ports.clock.now() < START + 2 * MINUTE) return { outcome: 'paused', retryAfterSeconds: 120 }
            return ports.github.createJitConfig(...call)
          },
        }),
      }),
    })
    for (let id = 1; id <= 30; id++) s.world.clock.after(id * 3 * SECOND, () => s.world.github.queue(job(id)))
    await untilQuiet(s)
    expect(asked.filter(time => time > START + 8 * SECOND && time < START + 2 * MINUTE)).toEqual([])
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(30).fill('completed'))
    expect(await leftovers(s)).toEqual([])
  })

  it('that asks to wait for an hour gets no runner and no task that idles', async () => {
    const until = START + HOUR
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            const left = Math.ceil((until - ports.clock.now()) / 1000)
            if (left > 0) return { outcome: 'paused', retryAfterSeconds: left }
            return ports.github.createJitConfig(...call)
          },
        }),
      }),
    })
    for (let id = 1; id <= 5; id++) s.world.github.queue(job(id))
    await s.world.clock.run(START + 30 * MINUTE)
    expect(s.world.compute.live).toBe(0)
    for (const { deferred } of await jobs(s.world)) expect(deferred?.reason).toBe('paused')
    await untilQuiet(s)
    for (const { started } of await jobs(s.world)) expect(started!.at - until).toBeLessThan(2 * MINUTE)
    expect(await leftovers(s)).toEqual([])
  })

  it('that asks to wait at any other call is left alone as well, and no message fails for it', async () => {
    const until = START + 10 * MINUTE
    const asked: number[] = []
    const busy = (ports: Ports): Ports['github'] => {
      const call =
        <A extends unknown[], R>(work: (...parameters: A) => Promise<R>) =>
        async (...parameters: A): Promise<R> => {
          asked.push(ports.clock.now())
          const left = Math.ceil((until - ports.clock.now()) / 1000)
          if (left > 0) throw new GitHubError({ ...FORBIDDEN, retryAfterSeconds: left })
          return work(...parameters)
        }
      const { github } = ports
      return proxy(github, {
        getRun: call((...parameters) => github.getRun(...parameters)),
        removeRunner: call((...parameters) => github.removeRunner(...parameters)),
        reportRefusal: call((...parameters) => github.reportRefusal(...parameters)),
      })
    }
    const roles = { deploy: { repositories: ['acme/app'], refs: [], events: [] } }
    const s = await stack({ config: { roles }, wrapPorts: ports => ({ ...ports, github: busy(ports) }) })
    s.world.github.queue(job(1, { labels: ['tornade', 'role:deploy'] }))
    s.world.github.queue(job(2, { labels: ['tornade', '5cpu'] }))
    s.world.github.queue(job(3))
    s.world.clock.after(40 * SECOND, () => void s.world.github.cancelJob(3))
    await s.world.clock.run(until - SECOND)
    expect(asked.length).toBeLessThan(8)
    // Who waits is to be seen: the one whose run must be looked at, and the one that is to be refused.
    const waiting = (await jobs(s.world)).filter(({ key }) => key !== '3-1')
    expect(waiting.map(one => [one.key, jobState(one), one.spec])).toEqual([
      ['1-1', 'queued', null],
      ['2-1', 'queued', null],
    ])
    expect((await s.world.ledger.gate.get()).pauses).toEqual({ github: expect.any(Number) })
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState).toSorted()).toEqual(['cancelled', 'completed', 'refused'])
    expect(s.world.metrics.get('MessagesFailed') ?? 0).toBe(0)
    expect(await leftovers(s)).toEqual([])
  })

  it('whose budget runs low is asked for no more runners until it is new', async () => {
    const until = START + 10 * MINUTE
    const minted: number[] = []
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            minted.push(ports.clock.now())
            const answer = await ports.github.createJitConfig(...call)
            const low = answer.outcome === 'created' && ports.clock.now() < until
            return low ? { ...answer, pauseUntil: until } : answer
          },
        }),
      }),
    })
    for (let id = 1; id <= 5; id++) s.world.clock.after(id * MINUTE, () => s.world.github.queue(job(id)))
    await untilQuiet(s)
    expect(minted.map(at => at > until)).toEqual([false, true, true, true, true])
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(5).fill('completed'))
    expect(await leftovers(s)).toEqual([])
  })

  it('that will not register a runner is quoted, and the task goes', async () => {
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async () => ({
            outcome: 'failed',
            message: 'Resource not accessible by integration',
          }),
        }),
      }),
    })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({ refused: { code: 'github-refused' } })
    expect(s.world.github.checks[0]?.summary).toContain('Resource not accessible by integration')
    const [only] = await runners(s.world)
    expect(only).toMatchObject({ launch: { jobKey: '1-1' }, cost: expect.anything() })
    expect(await leftovers(s)).toEqual([])
  })

  it('that will not register a runner frees its place when the task has stopped, not before', async () => {
    const s = await stack({
      config: { limits: { runners: 1 } },
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (scope, name, labels) =>
            name === 'tornade-1-1-1'
              ? { outcome: 'failed', message: 'Resource not accessible by integration' }
              : ports.github.createJitConfig(scope, name, labels),
        }),
      }),
    })
    s.world.github.queue(job(1))
    s.world.clock.after(SECOND, () => s.world.github.queue(job(2)))
    await untilQuiet(s)
    expect(await jobOf(s.world, '2-1')).toMatchObject({ completed: { conclusion: 'success' } })
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a job that cannot be served', () => {
  it('for its labels gets one check run for its run, and the run is cancelled', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        await world.accept(delivery)
        await world.accept(delivery)
        world.clock.after(20 * MINUTE, () => world.accept(delivery))
      },
    })
    for (const id of [1, 2, 3])
      s.world.github.queue(job(id, { runId: 5, headSha: 'c'.repeat(40), labels: ['tornade', '5cpu'] }))
    await untilQuiet(s)
    expect(s.world.github.checks).toMatchObject([
      { externalId: 'tornade:5:1', headSha: 'c'.repeat(40), summary: expect.stringContaining('5cpu') },
    ])
    for (const one of await jobs(s.world)) {
      expect(jobState(one)).toBe('refused')
      expect(one.refused).toMatchObject({ code: 'labels', problems: [{ label: '5cpu' }] })
      expect(one.completed?.conclusion).toBe('cancelled')
    }
    expect(s.world.metrics.get('JobsRefused')).toBe(3)
    expect(await leftovers(s)).toEqual([])
  })

  it('for its labels stays queued at GitHub where the operator wants no run cancelled', async () => {
    const s = await stack({ config: { labelMistakes: 'report' } })
    s.world.github.queue(job(1, { labels: ['tornade', '5cpu'] }))
    await s.world.clock.run(START + 10 * MINUTE)
    expect(s.world.github.job('1-1')?.status).toBe('queued')
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('refused')
    expect(s.world.github.checks).toHaveLength(1)
  })

  it('with a role that is not for forks is refused and cancelled, where forks are allowed too', async () => {
    const s = await stack({
      config: {
        forks: 'allow',
        roles: { deploy: { repositories: ['acme/app'], refs: [], events: ['pull_request'] } },
      },
    })
    for (const headRepositoryId of [8001, null])
      s.world.github.queue(
        job(1 + Number(headRepositoryId ?? 0), {
          labels: ['tornade/role:deploy'],
          headRepositoryId,
          event: 'pull_request',
        }),
      )
    await untilQuiet(s)
    for (const { refused } of await jobs(s.world))
      expect(refused).toMatchObject({
        code: 'role',
        problems: [{ message: 'A fork may never use a role; deploy was asked for.' }],
      })
    expect(await runners(s.world)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('within a day is given up by GitHub, and nothing is left of it', async () => {
    const s = await stack(failing(() => none('capacity')))
    s.world.github.queue(job(1, { labels: ['tornade', 'spot-only'] }))
    await untilQuiet(s)
    expect(s.world.clock.now() - START).toBeGreaterThan(24 * HOUR)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      completed: { conclusion: 'cancelled' },
      deferred: null,
    })
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a runner that does not do its part', () => {
  it('and comes up without its ticket ends, and the job gets another', async () => {
    let lost = 0
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        tickets: proxy(ports.tickets, {
          put: async (...call) => (lost++ === 0 ? 'stored' : ports.tickets.put(...call)),
          has: async key => (lost === 1 ? true : ports.tickets.has(key)),
        }),
      }),
    })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect((await jobOf(s.world, '1-1')).started!.at - START).toBeLessThan(6 * MINUTE)
    expect(await leftovers(s)).toEqual([])
  })

  it('time and again has the job refused, which says so', async () => {
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        tickets: proxy(ports.tickets, { put: async () => 'stored', has: async () => true }),
      }),
    })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      refused: {
        code: 'start-failed',
        problems: [
          {
            message:
              '4 runners were started for this job and none came to run it (limits.starts). ' +
              'The last one: Essential container in task exited (EssentialContainerExited)',
          },
        ],
      },
    })
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry', '3 retry', '4 retry'])
    expect(await leftovers(s)).toEqual([])
  })

  it('and gets no job within its idle time ends by itself', async () => {
    const s = await stack({
      config: { runner: { idleMinutes: 2 } },
      // Nobody hears that the job was cancelled.
      deliver: async (world, delivery) => {
        if (delivery.body.startsWith('{"action":"queued"')) await world.accept(delivery)
      },
      // And nobody looks after it.
      wrapPorts: (ports, name) =>
        name === 'sweep' ? { ...ports, clock: { now: () => START }, github: proxy(ports.github, {}) } : ports,
    })
    s.world.github.queue(job(1, { labels: ['tornade', 'arm64'] }))
    await s.world.clock.run(START + 10 * SECOND)
    s.world.github.cancelJob(1)
    await s.world.clock.run(START + 4 * MINUTE)
    expect(await s.world.ledger.runners.get('tornade-1-1-1')).toMatchObject({
      job: null,
      stop: { code: 'EssentialContainerExited' },
    })
    expect([...s.world.github.runners()].map(({ name }) => name)).not.toContain('tornade-1-1-1')
  })

  it('and hangs without ever taking a job is ended, and the job gets another at once', async () => {
    const s = await stack()
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 3 * SECOND)
    // As if it had been up for an hour: it waits for a ticket that is gone.
    const { runners: store } = s.world.ledger
    const hung = (await store.get('tornade-1-1-1'))!
    await s.world.tickets.remove(hung.ticketKey!)
    await store.put({ ...hung, startedAt: START - HOUR, version: hung.version + 1 })
    await s.world.clock.run(START + 90 * SECOND)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect([...s.world.github.runners()].map(({ name }) => name)).toEqual(['tornade-1-1-2'])
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })

  it('lives no longer than it may, and its job is told so', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { labels: ['tornade', 'timeout:10m'], script: { durationMs: 3 * HOUR } }))
    await untilQuiet(s)
    const [only] = await runners(s.world)
    expect(only!.stoppedAt! - only!.launch!.at).toBeLessThan(13 * MINUTE)
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('failure')
    expect(await leftovers(s)).toEqual([])
  })
})

describe('deliveries that never come', () => {
  it('of the end are made up for by asking GitHub', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        if (!delivery.body.startsWith('{"action":"completed"')) await world.accept(delivery)
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect((await jobOf(s.world, '1-1')).cost!.microUsd).toBeGreaterThan(0)
    expect(await leftovers(s)).toEqual([])
  })

  it('of a cancelled job cost one runner, and the other jobs of its run nothing', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        if (!delivery.body.includes('"conclusion":"cancelled"')) await world.accept(delivery)
      },
    })
    for (const id of [1, 2]) s.world.github.queue(job(id, { runId: 1, script: { durationMs: HOUR } }))
    await s.world.clock.run(START + SECOND)
    s.world.github.queue(job(3, { runId: 1, labels: ['tornade/arm64'], script: { durationMs: HOUR } }))
    await s.world.clock.run(START + 10 * SECOND)
    s.world.github.cancelJob(3)
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed', 'cancelled'])
    expect(await startedFor(s.world, '3-1')).toEqual(['1 job'])
    expect(await leftovers(s)).toEqual([])
  })

  it('of the start are made up for by the end', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        if (!delivery.body.startsWith('{"action":"in_progress"')) await world.accept(delivery)
      },
    })
    for (const id of [1, 2, 3, 4]) s.world.github.queue(job(id, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(({ started }) => started !== null)).toEqual([true, true, true, true])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('calls that take their time', () => {
  it('change nothing but the waiting, whatever happens in between', { timeout: 20_000 }, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = generator(seed)
      const s: Stack = await stack({
        wrapPorts: ports =>
          guarded(ports, async work => {
            await s.world.clock.sleep(Math.floor(random() * random() * 1500))
            const answer = await work()
            await s.world.clock.sleep(Math.floor(random() * random() * 1500))
            return answer
          }),
      })
      for (let id = 1; id <= 10; id++) {
        const at = START + random() * 20 * SECOND
        const labels = [['tornade'], ['tornade', 'arm64'], ['tornade', 'docker']][id % 3]!
        const script = {
          durationMs: Math.round((5 + random() * 40) * SECOND),
          ...(random() < 0.25 ? { cancelAt: at + random() * MINUTE } : {}),
        }
        s.world.clock.at(at, () => s.world.github.queue(job(id, { labels, script })))
      }
      await untilQuiet(s)
      expect({ seed, faults: await leftovers(s) }).toEqual({ seed, faults: [] })
      for (const { key, started, queuedAt } of await jobs(s.world)) {
        // Nobody had to wait for a sweep to find out.
        const waited = started ? started.at - queuedAt! : 0
        expect({ seed, key, soon: waited < 2.5 * MINUTE }).toEqual({ seed, key, soon: true })
      }
    }
  })

  it('to GitHub, while the task stops, leave no registration behind', async () => {
    const s: Stack = await stack({
      wrapPorts: ports => ({
        ...ports,
        compute: proxy(ports.compute, {
          start: async request => {
            const answer = await ports.compute.start(request)
            if (answer.outcome === 'started' && request.runner.endsWith('-1-1'))
              await ports.compute.stop(answer.providerId, 'the image cannot be pulled')
            return answer
          },
        }),
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            await s.world.clock.sleep(10 * SECOND)
            return ports.github.createJitConfig(...call)
          },
        }),
      }),
    })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect((await jobOf(s.world, '1-1')).started!.at - START).toBeLessThan(MINUTE)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a launch that is carried on', () => {
  it('after one of those that it admitted failed leaves the others their places', async () => {
    let paused = false
    let failed = false
    const s = await stack({
      config: { limits: { runners: 3 } },
      wrapPorts: ports => ({
        ...ports,
        // A pause, after which one message lets in all who waited for its end.
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            if (paused) return ports.github.createJitConfig(...call)
            paused = true
            return { outcome: 'paused', retryAfterSeconds: 60 }
          },
        }),
        compute: proxy(ports.compute, {
          start: async request => {
            if (request.runner !== 'tornade-2-1-1' || failed) return ports.compute.start(request)
            failed = true
            throw new Error('ECS did not answer')
          },
        }),
      }),
    })
    const script = { durationMs: 20 * MINUTE }
    s.world.github.queue(job(1, { script }))
    await s.world.clock.run(START + 10 * SECOND)
    for (const id of [2, 3, 4, 5]) s.world.github.queue(job(id, { script }))
    await untilQuiet(s)
    expect(failed).toBe(true)
    expect(await leftovers(s)).toEqual([])
  })

  it('and finds that its runner has stopped starts another at once', async () => {
    const s = await stack()
    const stopped = facts.runner({ name: 'tornade-1-1-1', for: '1-1', stoppedAt: START, version: 1 })
    await s.world.ledger.runners.put(stopped)
    const claim = facts.claimOf({ runner: 'tornade-1-1-1', leaseUntil: 0 })
    const request = facts.request({ key: '1-1', jobId: 1 })
    await s.world.ledger.jobs.put(facts.job({ key: '1-1', request, claim, runner: claim.runner, version: 1 }))
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 5 * SECOND)
    expect((await jobOf(s.world, '1-1')).runner).toBe('tornade-1-1-2')
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('twice after its JIT config was lost leaves no registration behind', async () => {
    let lost = 0
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            const answer = await ports.github.createJitConfig(...call)
            if (answer.outcome === 'created' && ++lost <= 2) throw new Error('GitHub did not answer')
            return answer
          },
        }),
      }),
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })

  it('for a runner that must be gone by now starts another', async () => {
    let lost = false
    const s = await stack({
      wrapPorts: (ports, name) => ({
        ...ports,
        tickets: proxy(ports.tickets, {
          put: async (...call) => {
            if (lost) return ports.tickets.put(...call)
            lost = true
            throw new Error('DynamoDB did not answer')
          },
        }),
        ledger: {
          ...ports.ledger,
          // The news that it stopped takes its time.
          runners: proxy(ports.ledger.runners, {
            put: async item => {
              const early = ports.clock.now() < START + 8 * MINUTE
              if (name === 'lifecycle' && early && item.name === 'tornade-1-1-1' && item.stoppedAt !== null)
                throw new Error('DynamoDB did not answer')
              return ports.ledger.runners.put(item)
            },
          }),
        },
      }),
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect((await jobOf(s.world, '1-1')).started!.at - START).toBeLessThan(8 * MINUTE)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a job that was given the runner of another', () => {
  /** The second job waits for capacity or for a place; the first is cancelled and leaves its runner. */
  async function inherit(options: StackOptions, again: boolean): Promise<Stack> {
    const queued: (() => Promise<void>)[] = []
    const s = await stack({
      ...options,
      deliver: async (world, delivery) => {
        if (delivery.body.startsWith('{"action":"queued"')) queued.push(() => world.accept(delivery))
        await world.accept(delivery)
      },
    })
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 2 * SECOND)
    s.world.github.queue(job(2, { script: { durationMs: 10 * MINUTE } }))
    await s.world.clock.run(START + 5 * SECOND)
    expect(jobState(await jobOf(s.world, '2-1'))).toBe('deferred')
    s.world.github.cancelJob(1)
    await s.world.clock.run(START + 8 * SECOND)
    expect(await jobOf(s.world, '2-1')).toMatchObject({ runner: 'tornade-1-1-1', deferred: null })
    if (again) s.world.clock.after(0, queued[1]!)
    await s.world.clock.run(START + 11 * SECOND)
    return s
  }

  it('is not started again when its turn comes', async () => {
    const s = await inherit(
      failing(({ count }) => count === 2 && none('capacity')),
      false,
    )
    await untilQuiet(s)
    expect((await runners(s.world)).map(({ name }) => name)).toEqual(['tornade-1-1-1'])
    expect(await leftovers(s)).toEqual([])
  })

  it('is not deferred again by a delivery that comes again', async () => {
    const s = await inherit({ config: { limits: { runners: 1 } } }, true)
    expect((await jobOf(s.world, '2-1')).deferred).toBeNull()
    await untilQuiet(s)
    expect((await runners(s.world)).map(({ name }) => name)).toEqual(['tornade-1-1-1'])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('news that come at the same time', () => {
  const name = (id: number) => `tornade-${id}-1-1`
  const requestOf = (id: number) => facts.request({ key: `${id}-1`, jobId: id })

  /** Jobs with the same labels that wait for their runners, which are idle; those beyond `count` have none. */
  async function idle(
    { world: { ledger, github } }: Stack,
    ids: readonly number[],
    count: number,
  ): Promise<void> {
    const scope = { repository: requestOf(1).repository, installationId: 5001 }
    for (const id of ids) {
      const own = ids.indexOf(id) < count
      const claim = facts.claimOf({ runner: name(id), leaseUntil: 0 })
      const waits = { request: requestOf(id), claim, runner: own ? name(id) : null }
      await ledger.jobs.put(facts.job({ key: `${id}-1`, version: 1, ...waits }))
      if (!own) continue
      const jit = await github.createJitConfig(scope, name(id), ['tornade'])
      if (jit.outcome !== 'created') throw new Error('GitHub has the name already')
      const registration = { id: jit.runnerId, name: name(id), at: START }
      const launch = facts.launch({ at: START, jobKey: `${id}-1` })
      await ledger.runners.put(
        facts.runner({ name: name(id), registration, for: `${id}-1`, version: 1, launch }),
      )
    }
  }

  async function took({ world }: Stack, id: number, by: number): Promise<void> {
    const { id: runnerId } = (await world.ledger.runners.get(name(id)))!.registration!
    const ref = { id: runnerId, name: name(id) }
    world.queues.events.send({ kind: 'in_progress', at: START, request: requestOf(by), runner: ref })
  }

  it('do not let two jobs have one runner', async () => {
    const s = await stack()
    await idle(s, [1, 2, 3, 4], 3)
    // Jobs 1 and 2 lose their runners at the same moment; only that of job 3 is left over.
    await took(s, 1, 3)
    await took(s, 2, 4)
    await s.world.clock.run(START + 10 * SECOND)
    const both = [await jobOf(s.world, '1-1'), await jobOf(s.world, '2-1')]
    const [inherits] = both.filter(({ runner }) => runner === name(3))
    const [replaced] = both.filter(({ runner }) => runner !== name(3))
    expect(await s.world.ledger.runners.get(name(3))).toMatchObject({ for: inherits!.key })
    expect(replaced).toMatchObject({ replacements: 1, runner: `tornade-${replaced!.key}-2` })
  })

  /** Jobs that fit are written this much later. */
  async function slowToWrite(milliseconds: number, fits: (item: Job) => boolean): Promise<Stack> {
    const s: Stack = await stack({
      wrapPorts: ports => ({
        ...ports,
        ledger: {
          ...ports.ledger,
          jobs: proxy(ports.ledger.jobs, {
            put: async item => {
              if (fits(item)) await s.world.clock.sleep(milliseconds)
              return ports.ledger.jobs.put(item)
            },
          }),
        },
      }),
    })
    return s
  }

  it('do not leave a job with a runner that is taken while it is given it', async () => {
    const s = await slowToWrite(3 * SECOND, item => item.key === '1-1' && item.runner === name(3))
    await idle(s, [1, 3, 4], 2)
    await took(s, 1, 3)
    await s.world.clock.run(START + SECOND)
    await took(s, 3, 4)
    await s.world.clock.run(START + 10 * SECOND)
    expect(await jobOf(s.world, '1-1')).toMatchObject({ replacements: 1, runner: 'tornade-1-1-2' })
  })

  it('leave a job with what its runner costs in the end', async () => {
    const s = await slowToWrite(5 * SECOND, item => item.started !== null && item.completed === null)
    await idle(s, [1], 1)
    const { ledger, queues, clock } = s.world
    const known = (await ledger.runners.get(name(1)))!
    const stopped = { pullStartedAt: START, startedAt: START, stoppedAt: START + 10 * MINUTE }
    await ledger.runners.put({ ...known, ...stopped, version: 2 })
    const runner = { id: known.registration!.id, name: name(1) }
    await took(s, 1, 1)
    await clock.run(START + SECOND)
    const end = { at: START + 5 * MINUTE, conclusion: 'success', runner, startedAt: START }
    queues.events.send({ kind: 'completed', request: requestOf(1), ...end })
    await clock.run(START + MINUTE)
    const { cost } = (await ledger.runners.get(name(1)))!
    expect(cost!.idleMicroUsd).toBeGreaterThan(0)
    expect((await jobOf(s.world, '1-1')).cost?.microUsd).toBe(cost!.jobMicroUsd)
  })
})

interface StartCall {
  readonly compute: Compute
  readonly capacity: RunnerCapacity | null
  readonly now: number
  /** 1 for the first call. */
  readonly count: number
}

/** A compute that answers what `answer` says, and starts the runner where that is false. */
function failing(answer: (call: StartCall) => StartOutcome | false): { wrapPorts: (ports: Ports) => Ports } {
  let count = 0
  return {
    wrapPorts: ports => ({
      ...ports,
      compute: proxy(ports.compute, {
        start: async request => {
          const { compute, capacity } = request.shape
          const call = { compute, capacity, now: ports.clock.now(), count: ++count }
          return answer(call) || ports.compute.start(request)
        },
      }),
    }),
  }
}

function none(
  kind: 'capacity' | 'quota' | 'throttled' | 'permanent',
  message = 'Capacity is unavailable at this time.',
): StartOutcome {
  return { outcome: 'failed', kind, message }
}
