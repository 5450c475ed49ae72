/** What the sweep makes good, in whole worlds: events of AWS that were lost, runners and registrations left over. */
import { describe, expect, it } from 'vitest'
import { TornadeError } from '../functions/core/errors.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import type { JobEvent } from '../functions/core/types.ts'
import type { Fields, Log, Ports } from '../functions/ports.ts'
import { update } from '../functions/update.ts'
import type { Fate } from '../local/compute.ts'
import { SILENT } from '../local/log.ts'
import type { WorldOptions } from '../local/world.ts'
import { job as jobItem, request } from './support/facts.ts'
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
  proxy,
  runners,
  SECOND,
  START,
  type Stack,
  stack,
  startedFor,
  untilQuiet,
} from './support/world.ts'

const SCOPE = { repository: job(1).repository, installationId: 5001 }

/** Events of AWS that never come. */
function losing(lost: (detail: { lastStatus?: string; 'build-status'?: string }) => boolean) {
  return {
    onEvent: (_: unknown, event: unknown, pass: (event: unknown) => void) => {
      if (!lost((event as { detail: object }).detail)) pass(event)
    },
  } satisfies Partial<WorldOptions>
}

function isStop(detail: { lastStatus?: string; 'build-status'?: string }): boolean {
  return detail.lastStatus === 'STOPPED' || !['IN_PROGRESS', undefined].includes(detail['build-status'])
}

/** Calls of the sweep alone, by their name. */
function counting(): { readonly calls: Map<string, number>; readonly options: Partial<WorldOptions> } {
  const calls = new Map<string, number>()
  const wrapPorts = (ports: Ports, name: string) =>
    name === 'sweep'
      ? guarded(ports, async (work, call) => {
          calls.set(call, (calls.get(call) ?? 0) + 1)
          return work()
        })
      : ports
  return { calls, options: { wrapPorts } }
}

function listening(): { readonly lines: { message: string; fields: Fields }[]; readonly log: Log } {
  const lines: { message: string; fields: Fields }[] = []
  const write = (message: string, fields: Fields = {}) => void lines.push({ message, fields })
  return { lines, log: { ...SILENT, warn: write, error: write } }
}

describe('the stop of a runner of which nobody told', () => {
  it.each([
    ['on Fargate', ['tornade']],
    ['on CodeBuild', ['tornade', 'docker']],
  ])('is found by asking, and all that hangs on it, %s', async (_, labels) => {
    const s = await stack(losing(isStop))
    for (const id of [1, 2]) s.world.github.queue(job(id, { labels, script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed'])
    for (const { stop, cost, cleanedAt } of await runners(s.world)) {
      expect(stop?.code).not.toBe('missing')
      expect(cost).not.toBeNull()
      expect(cleanedAt).not.toBeNull()
    }
    expect(await leftovers(s)).toEqual([])
  })

  it('frees its place for a job that waits', async () => {
    const s = await stack({ ...losing(isStop), config: { limits: { runners: 1 } } })
    for (const id of [1, 2, 3]) s.world.github.queue(job(id, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed', 'completed'])
    expect(await leftovers(s)).toEqual([])
  })

  it('and that the provider has forgotten is taken as when it was last alive, and its job gets another', async () => {
    const s = await stack({
      computeFaults: {
        fate: ({ token }) => (token.includes('-1-1-1-t') ? { kind: 'dies', afterMs: 100 } : null),
      },
      onEvent: (_, event, pass) => {
        if (!JSON.stringify(event).includes('tornade-1-1-1')) pass(event)
      },
      wrapPorts: ports => ({
        ...ports,
        compute: proxy(ports.compute, {
          describe: async ids => new Map(ids.map(id => [id, null])),
        }),
      }),
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    const [first] = (await runners(s.world)).filter(({ name }) => name === 'tornade-1-1-1')
    expect(first).toMatchObject({ stop: { code: 'missing' } })
    expect(first!.stoppedAt! - first!.launch!.at).toBeLessThan(MINUTE)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('money', () => {
  it('of a job is not lost with the last try of the message that its runner has stopped', async () => {
    let failing = true
    const s = await stack({
      wrapPorts: (ports, name) => {
        if (name !== 'lifecycle') return ports
        const { jobs } = ports.ledger
        const put: typeof jobs.put = async item => {
          if (item.cost && failing) throw new Error('not now')
          return jobs.put(item)
        }
        return { ...ports, ledger: { ...ports.ledger, jobs: { ...jobs, put } } }
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + HOUR, () => s.world.backlog.dead > 0)
    expect(s.world.backlog.dead).toBeGreaterThan(0)
    failing = false
    await s.world.clock.run(START + 2 * HOUR)
    const [only] = await runners(s.world)
    expect((await jobOf(s.world, '1-1')).cost?.microUsd).toBe(only!.cost!.jobMicroUsd)
  })

  it('is booked for a runner that somebody is starting while its job is cancelled', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        await world.accept(delivery)
        if (!delivery.body.includes('"action":"queued"')) return
        await world.clock.sleep(3 * SECOND)
        await world.accept(delivery)
      },
      wrapPorts: (ports, name) =>
        name === 'launch'
          ? {
              ...ports,
              compute: proxy(ports.compute, {
                start: async request => {
                  const answer = await ports.compute.start(request)
                  await s.world.clock.sleep(10 * SECOND)
                  return answer
                },
              }),
            }
          : ports,
    })
    s.world.github.queue(job(1, { script: { cancelAt: START + SECOND } }))
    await untilQuiet(s)
    const [only] = await runners(s.world)
    expect(only!.cost!.totalMicroUsd).toBeGreaterThan(0)
    expect((await s.world.ledger.gate.get()).spent['2026-11']).toBe(only!.cost!.totalMicroUsd)
  })

  it('is spent on one runner, although the call that carried its start on was throttled', async () => {
    let starts = 0
    const s = await stack({
      wrapPorts: (ports, name) =>
        name === 'launch'
          ? {
              ...ports,
              compute: proxy(ports.compute, {
                start: async request => {
                  starts++
                  if (starts === 2) return { outcome: 'failed', kind: 'throttled', message: 'Rate exceeded' }
                  const answer = await ports.compute.start(request)
                  if (starts === 1) throw new Error('no answer')
                  return answer
                },
              }),
            }
          : ports,
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await untilQuiet(s)
    expect(starts).toBe(3)
    expect([...s.world.compute.tasks()]).toHaveLength(1)
    const [only] = await runners(s.world)
    expect((await s.world.ledger.gate.get()).spent['2026-11']).toBe(only!.cost!.totalMicroUsd)
  })

  it('that is found out after the stop of a runner is booked as well, once', async () => {
    const s = await stack({
      onEvent: (world, event, pass) => {
        pass(event)
        const { detail } = event as { detail: { lastStatus: string; pullStartedAt: string } }
        if (detail.lastStatus !== 'STOPPED') return
        const earlier = new Date(Date.parse(detail.pullStartedAt) - 20 * SECOND).toISOString()
        for (const seconds of [30, 31])
          world.clock.after(seconds * SECOND, () =>
            pass({ ...(event as object), detail: { ...detail, pullStartedAt: earlier } }),
          )
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: 2 * MINUTE } }))
    await untilQuiet(s)
    await s.world.clock.run(START + 10 * MINUTE)
    const [only] = await runners(s.world)
    const [task] = s.world.compute.tasks()
    expect(task!.pullStartedAt! - only!.pullStartedAt!).toBeGreaterThan(19 * SECOND)
    expect((await s.world.ledger.gate.get()).spent['2026-11']).toBe(only!.cost!.totalMicroUsd)
  })

  it('of a second build of a runner is booked once, as idle and as wasted', async () => {
    let second: string | null = null
    const s = await stack({
      onEvent: (_, event, pass) => {
        pass(event)
        pass(event)
      },
    })
    s.world.github.queue(job(1, { labels: ['tornade', 'docker'], script: { durationMs: 10 * MINUTE } }))
    await s.world.clock.run(START + MINUTE)
    const { request } = (await jobOf(s.world, '1-1')).claim!
    const first = (await runners(s.world))[0]!
    const answer = await s.world.compute.start({ ...request, token: `${request.token}-forgotten` })
    if (answer.outcome === 'started') second = answer.providerId
    await untilQuiet(s)
    const [only] = await runners(s.world)
    expect(only).toMatchObject({ providerId: first.providerId, pullStartedAt: first.pullStartedAt })
    expect(only!.stoppedAt! - START).toBeGreaterThan(10 * MINUTE)
    // It is stopped as soon as it is heard of: one minute, $0.005.
    expect(only!.wasted).toEqual({ [second!]: 5000 })
    expect(only!.cost!.wastedMicroUsd).toBe(5000)
    expect(only!.cost!.idleMicroUsd).toBeGreaterThanOrEqual(5000)
    expect((await s.world.ledger.gate.get()).spent['2026-11']).toBe(only!.cost!.totalMicroUsd)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('what a stopped runner left behind', () => {
  it('goes with the next sweep but one, whatever failed at its stop', async () => {
    const until = START + 3 * MINUTE
    const failing = async (): Promise<never> => {
      throw new Error('not now')
    }
    const s = await stack({
      computeFaults: {
        fate: ({ token }) => (token.includes('-1-1-1-t') ? { kind: 'dies', afterMs: 100 } : null),
      },
      wrapPorts: (ports, name) =>
        name === 'lifecycle' || name === 'launch'
          ? {
              ...ports,
              tickets: proxy(ports.tickets, {
                remove: key => (ports.clock.now() < until ? failing() : ports.tickets.remove(key)),
              }),
              github: proxy(ports.github, {
                findRunner: (scope, runner) =>
                  ports.clock.now() < until ? failing() : ports.github.findRunner(scope, runner),
              }),
            }
          : ports,
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await s.world.clock.run(until)
    expect([...s.world.github.runners()].map(({ name }) => name)).toContain('tornade-1-1-1')
    await s.world.clock.run(until + 2 * MINUTE + 10 * SECOND)
    expect([...s.world.github.runners()].map(({ name }) => name)).not.toContain('tornade-1-1-1')
    expect(s.world.tickets.waiting).toBe(0)
    expect((await s.world.ledger.runners.get('tornade-1-1-1'))!.cleanedAt).not.toBeNull()
    expect(await s.world.ledger.runners.open({})).toEqual([])
  })

  it('under a name that GitHub did not let go of goes as well, although it ran its job', async () => {
    const until = START + 4 * MINUTE
    let interrupted = false
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          createJitConfig: async (...call) => {
            const answer = await ports.github.createJitConfig(...call)
            if (interrupted) return answer
            interrupted = true
            throw new Error('the answer is lost')
          },
          removeRunner: async (...call) =>
            ports.clock.now() < until ? 'busy' : ports.github.removeRunner(...call),
        }),
      }),
    })
    s.world.github.queue(job(1, { script: { durationMs: SECOND } }))
    await s.world.clock.run(until)
    expect((await runners(s.world))[0]).toMatchObject({
      registration: { name: 'tornade-1-1-1-r2' },
      stoppedAt: expect.any(Number),
      cleanedAt: null,
    })
    expect([...s.world.github.runners()].map(({ name }) => name)).toEqual(['tornade-1-1-1'])
    await s.world.clock.run(until + 70 * SECOND)
    expect([...s.world.github.runners()]).toEqual([])
    expect((await runners(s.world))[0]!.cleanedAt).not.toBeNull()
  })

  it('is nothing where it ran its job: that is written with its stop', async () => {
    let writes = 0
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        ledger: {
          ...ports.ledger,
          runners: proxy(ports.ledger.runners, {
            put: item => {
              writes++
              return ports.ledger.runners.put(item)
            },
          }),
        },
      }),
    })
    s.world.github.queue(job(1, { script: { durationMs: 5 * MINUTE } }))
    await untilQuiet(s)
    const [only] = await runners(s.world)
    expect(only!.cleanedAt).not.toBeNull()
    // Its launch, its start, the start and the end of its job, its stop.
    expect(writes).toBe(5)
  })
})

describe('an orphan', () => {
  it('that runs and that the ledger does not know is adopted, stopped and priced', async () => {
    const s = await stack(losing(() => true))
    s.world.github.queue(job(1, { script: { durationMs: 20 * MINUTE } }))
    await s.world.clock.run(START + MINUTE)
    const { request } = (await jobOf(s.world, '1-1')).claim!
    await s.world.compute.start({ ...request, runner: 'tornade-77-1-1', token: 'tornade-77-1-1-t1' })
    await s.world.clock.run(START + 8 * MINUTE)
    expect(s.world.compute.live).toBe(1)
    await untilQuiet(s)
    expect(await s.world.ledger.runners.get('tornade-77-1-1')).toMatchObject({
      stoppedAt: expect.any(Number),
    })
  })

  it('among the registrations is removed when nobody accounts for it for two sweeps, and not before', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { script: { durationMs: 30 * MINUTE } }))
    await s.world.clock.run(START + 3 * MINUTE)
    for (const name of ['tornade-99-1-1', 'somebody-else'])
      await s.world.github.createJitConfig(SCOPE, name, ['x'])
    const names = () => [...s.world.github.runners()].map(({ name }) => name)
    let goneAt: number | null = null
    let seenAt: number | null = null
    for (let minute = 4; minute < 15; minute++) {
      await s.world.clock.run(START + minute * MINUTE + 30 * SECOND)
      if (Object.keys((await s.world.ledger.sweep.get()).suspects).length > 0) seenAt ??= minute
      if (!names().includes('tornade-99-1-1')) goneAt ??= minute
    }
    expect(goneAt! - seenAt!).toBe(2)
    expect(names()).toEqual(['tornade-1-1-1', 'somebody-else'])
  })
})

describe('the sweep', () => {
  it('of an idle stack reads five times and calls nobody', async () => {
    const { calls, options } = counting()
    const s = await stack(options)
    await s.world.clock.run(START + 30 * MINUTE + SECOND)
    expect(Object.fromEntries(calls)).toEqual({
      'jobs.open': 30,
      'reruns.open': 30,
      'runners.open': 30,
      'gate.get': 30,
      'sweep.get': 30,
    })
  })

  it('is as quiet again two hours after the last job, but for a look now and then', async () => {
    const { calls, options } = counting()
    const s = await stack(options)
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 3 * HOUR)
    calls.clear()
    await s.world.clock.run(START + 4 * HOUR)
    expect(calls.get('github.listRuns')).toBe(8)
    expect(calls.get('github.listFailedDeliveries')).toBe(4)
    expect(calls.get('github.listJobs')).toBeUndefined()
    expect(calls.get('compute.list') ?? 0).toBeLessThanOrEqual(4)
    expect(calls.get('jobs.open')).toBe(60)
  })

  it('finds the first job of a quiet day, although nobody told of it', async () => {
    const s = await stack({
      deliver: async (world, delivery) => {
        if (!delivery.body.includes('"name":"job 2"')) await world.accept(delivery)
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + 9 * HOUR)
    s.world.github.queue(job(2, { script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + 9.5 * HOUR)
    expect(jobState(await jobOf(s.world, '2-1'))).toBe('completed')
  })

  it('does nothing beside another one, and takes over from one that died', async () => {
    const { calls, options } = counting()
    const s = await stack(options)
    s.world.github.queue(job(1, { script: { durationMs: HOUR } }))
    await s.world.clock.run(START + 5 * MINUTE + 30 * SECOND)
    const memory = await s.world.ledger.sweep.get()
    expect(memory.lease).toBeNull()
    const lease = { owner: 'another', until: START + 7 * MINUTE + 30 * SECOND }
    await s.world.ledger.sweep.put({ ...memory, lease, version: memory.version + 1 })
    calls.clear()
    await s.world.clock.run(START + 7 * MINUTE + 20 * SECOND)
    expect([...calls.keys()].filter(name => /github|queue|compute|put/.test(name))).toEqual([])
    await s.world.clock.run(START + 8 * MINUTE + 20 * SECOND)
    expect(calls.get('sweep.put')).toBe(2)
  })

  it.each(['github', 'compute'] as const)('goes on with everything else while %s fails', async broken => {
    const { lines, log } = listening()
    const s = await stack({
      log,
      ...losing(isStop),
      config: { limits: { runners: 1 } },
      wrapPorts: (ports, name) => {
        if (name !== 'sweep') return ports
        const failing = guarded(ports, async () => {
          throw new Error('out of order')
        })
        return { ...ports, [broken]: failing[broken] }
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: MINUTE } }))
    await s.world.clock.run(START + 15 * MINUTE)
    const [only] = await runners(s.world)
    const isKnown = only!.stoppedAt !== null
    expect(isKnown).toBe(broken !== 'compute')
    const failed = new Set(lines.map(({ fields }) => fields.step))
    expect(failed.size).toBeGreaterThan(0)
    const memory = await s.world.ledger.sweep.get()
    expect(memory.lease).toBeNull()
  })

  it('leaves GitHub alone when it asks for that, pauses the gate and does the rest', async () => {
    const { calls, options } = counting()
    const asked = { count: 0 }
    const s = await stack({
      ...losing(isStop),
      wrapPorts: (ports, name) => {
        if (name !== 'sweep') return ports
        const paused = proxy(ports.github, {
          listFailedDeliveries: async () => {
            asked.count++
            throw Object.assign(new TornadeError('github-paused', 'wait'), { retryAfterSeconds: 600 })
          },
        })
        return options.wrapPorts!({ ...ports, github: paused }, name)
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: 8 * MINUTE } }))
    await s.world.clock.run(START + 5 * MINUTE)
    expect(asked.count).toBe(1)
    expect(calls.get('github.listRuns')).toBeUndefined()
    expect((await s.world.ledger.gate.get()).pauses.github).toBeGreaterThan(START + 10 * MINUTE)
    await s.world.clock.run(START + 20 * MINUTE)
    expect((await runners(s.world))[0]!.stoppedAt).not.toBeNull()
  })

  it('asks GitHub within a tenth of its pace, however many runs there are', async () => {
    const perMinute = new Map<number, number>()
    const s = await stack({
      config: { limits: { runners: 1000, perRepository: 1000 } },
      deliver: async (world, delivery) => {
        if (delivery.body.startsWith('{"action":"queued"')) await world.accept(delivery)
      },
      wrapPorts: (ports, name) =>
        name === 'sweep'
          ? guarded(ports, async (work, call) => {
              const minute = Math.floor((ports.clock.now() - START) / MINUTE)
              if (
                call.startsWith('github.') &&
                call !== 'github.listFailedDeliveries' &&
                call !== 'github.listRunners'
              )
                perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1)
              return work()
            })
          : ports,
    })
    for (let id = 1; id <= 300; id++) s.world.github.queue(job(id, { script: { durationMs: 2 * MINUTE } }))
    await untilQuiet(s)
    expect(Math.max(...perMinute.values())).toBeLessThanOrEqual(90)
    expect(Math.max(...perMinute.values())).toBeGreaterThan(60)
    expect((await jobs(s.world)).map(jobState)).toEqual(Array(300).fill('completed'))
    expect(await leftovers(s)).toEqual([])
  })
})

describe('whatever is lost together', () => {
  it.each([1, 2, 3, 4])('leaves nothing behind, seed %i', { timeout: 60_000 }, async seed => {
    const random = generator(seed)
    const fate = (): Fate | null => {
      const chance = random()
      if (chance < 0.04) return { kind: 'dies', afterMs: random() * 5 * MINUTE }
      if (chance < 0.07) return { kind: 'reclaimed', afterMs: random() * 3 * MINUTE }
      if (chance < 0.1) return { kind: 'hangs', at: (['ticket', 'connect', 'exit'] as const)[seed % 3]! }
      return chance < 0.11 ? { kind: 'fails-to-start', at: 'pull', reason: 'no image' } : null
    }
    const s: Stack = await stack({
      config: { limits: { runners: 25 } },
      deliver: async (world, delivery) => {
        if (random() < 0.7) return world.accept(delivery)
        if (random() < 0.5) throw new Error('nobody answered')
      },
      onEvent: (_, event, pass) => {
        if (random() > 0.2) pass(event)
      },
      computeFaults: { fate },
      wrapPorts: ports =>
        guarded(ports, async work => {
          const isOver = ports.clock.now() > START + 3 * HOUR
          if (!isOver && random() < 0.01) throw new Error('before')
          const answer = await work()
          if (!isOver && random() < 0.01) throw new Error('after')
          return answer
        }),
    })
    busyDay(s.world, { seed, count: 80, hours: 2 })
    await s.world.clock.run(START + 2.6 * HOUR)
    await untilQuiet(s)
    // One call in fifty fails: a message can meet that five times. What it was about was made good all the same.
    expect((await leftovers(s)).filter(left => !left.endsWith('dead letters'))).toEqual([])
    expect(await s.world.ledger.runners.open({})).toEqual([])
  })
})

describe('the end of a job that is told otherwise after its runner has stopped', () => {
  it('is paid for, although the message about it ends as a dead letter in between', async () => {
    let later: (() => Promise<void>) | undefined
    let fails = false
    const s = await stack({
      wrapPorts: (ports, name) => {
        const { jobs: store } = ports.ledger
        const put: typeof store.put = async item => {
          if (fails && name === 'lifecycle') throw new Error('a fault that this test asked for')
          return store.put(item)
        }
        const send: typeof ports.queue.send = async (queue, messages) => {
          const ended = messages.find(({ body }) => (body as { kind?: string }).kind === 'completed')
          const body = ended && { ...(ended.body as JobEvent), at: (ended.body as JobEvent).at - 5 * SECOND }
          later ??= body && (() => ports.queue.send(queue, [{ body }]))
          return ports.queue.send(queue, messages)
        }
        return { ...ports, queue: { send }, ledger: { ...ports.ledger, jobs: { ...store, put } } }
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: 3 * MINUTE } }))
    await untilQuiet(s)
    const before = (await jobOf(s.world, '1-1')).cost!.microUsd
    fails = true
    await later!()
    await s.world.clock.run(s.world.clock.now() + 40 * MINUTE)
    expect(s.world.backlog.dead).toBeGreaterThan(0)
    fails = false
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).cost!.microUsd).toBeLessThan(before)
    expect((await leftovers(s)).filter(left => !left.endsWith('dead letters'))).toEqual([])
    expect(await s.world.ledger.runners.open({})).toEqual([])
  })
})

describe('a job that nobody took up', () => {
  it('is queued again, however many older ones wait behind their gates', async () => {
    const later = START + 10 * MINUTE
    const s = await stack({
      deliver: async (world, delivery) => {
        const { action, workflow_job: told } = JSON.parse(delivery.body)
        if (told.id !== 1 || action !== 'queued') await world.accept(delivery)
      },
    })
    for (let id = 1000; id < 3100; id++) s.world.github.queue(job(id, { gate: true }))
    await s.world.clock.run(later)
    // Somebody was interrupted when no more was known of it.
    const { runId, repository, headSha } = job(1)
    const known = { key: '1-1', jobId: 1, runId, repository, headSha, createdAt: later }
    s.world.github.queue(job(1))
    await s.world.ledger.jobs.put(
      jobItem({ key: '1-1', request: request(known), spec: null, queuedAt: later, version: 1 }),
    )
    await s.world.clock.run(later + 20 * MINUTE)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
  })
})

describe('a job whose borrowed runner is lost', () => {
  it('goes back to its own, although lists do not show that one yet', async () => {
    const own = 'tornade-1-1-1'
    const borrowed = 'tornade-2-1-1'
    const lagging = (ports: Ports): Ports => {
      const { runners: store } = ports.ledger
      const open: typeof store.open = async query =>
        (await store.open(query)).filter(({ name }) => name !== own)
      return { ...ports, ledger: { ...ports.ledger, runners: { ...store, open } } }
    }
    const s = await stack({ wrapPorts: (ports, name) => (name === 'lifecycle' ? lagging(ports) : ports) })
    const { world } = s
    const { jobs: jobStore, runners: runnerStore } = world.ledger
    world.github.queue(job(1))
    await world.clock.run(START + 5 * SECOND)
    // A swap that was interrupted: the job has the other's runner, and its own is still meant for it.
    const mine = (await runnerStore.get(own))!
    expect(mine.registration).not.toBeNull()
    const providerId = 'arn:aws:ecs:eu-west-1:000000000000:task/tornade/borrowed'
    const theirs = { ...mine, name: borrowed, version: 1, registration: null, ticketKey: null }
    await runnerStore.put({ ...theirs, providerId, for: '1-1' })
    await update(jobStore, '1-1', current => current && { ...current, runner: borrowed })
    const stop = { code: 'TaskFailedToStart', reason: 'CannotPullContainerError' }
    void world.ports.queue.send('events', [
      {
        body: {
          kind: 'runner',
          runner: borrowed,
          providerId,
          pullStartedAt: null,
          startedAt: null,
          stoppingAt: null,
          stoppedAt: START + 5 * SECOND,
          stop,
        },
      },
    ])
    await untilQuiet(s)
    expect(await startedFor(world, '1-1')).toEqual(['1 job'])
    expect((await jobOf(world, '1-1')).runner).toBe(own)
  })
})
