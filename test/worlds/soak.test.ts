/** Seeded worlds with faults keep all promises, and a system that breaks one is caught by that one. */
import { describe, expect, it } from 'vitest'
import type { Io } from '../../cli/io.ts'
import { soakCommand } from '../../cli/soak.ts'
import type { Config } from '../../functions/config.ts'
import { proxy } from '../../local/around.ts'
import { FAULTS } from '../../local/faults/catalogue.ts'
import { MINUTE } from '../../local/faults/fault.ts'
import { LATER_FAULTS, PAST_MINUTES, PAST_SEEDS } from '../../local/faults/past.ts'
import { PROMISES, type PromiseName } from '../../local/promises.ts'
import { BOUND_MS, BUSY_MINUTES, KINDS, planOf, START, soak, type Variant } from '../../local/soak.ts'
import { Timeline } from '../../local/timeline.ts'

const SEEDS = Array.from({ length: 8 }, (_, index) => index + 1)
/** Some of those that broke a promise once; .ci/run plays them all. */
const PAST = [4, 13, 33, 36, 85, 87, 371, 375, 842]

/** One whose first choice has five faults, of which one does not strike. */
const FEW = 2

describe('a seed', () => {
  it.each(SEEDS)('%i keeps all promises', async seed => {
    const { broken, faults, jobs, stats } = await soak(seed)
    expect({ seed, broken }).toEqual({ seed, broken: [] })
    expect(jobs).toBeGreaterThanOrEqual(50)
    expect(faults.filter(({ struck }) => struck > 0).length).toBeGreaterThanOrEqual(KINDS)
    expect(stats.states.completed).toBeGreaterThan(10)
  })

  it.each(PAST)('%i of the past keeps them by now', async seed => {
    const { broken } = await soak(seed, { except: LATER_FAULTS, minutes: PAST_MINUTES })
    expect({ seed, broken }).toEqual({ seed, broken: [] })
  })

  it('queues jobs for two hours, of at least five kinds of fault', async () => {
    const plans = Array.from({ length: 50 }, (_, seed) => planOf(seed))
    const hours = plans.flatMap(({ jobs }) => jobs.map(({ at }) => (at - START) / (60 * MINUTE)))
    expect(Math.min(...hours)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...hours)).toBeGreaterThan(1.95)
    expect(Math.max(...hours)).toBeLessThan(2.01)
  })

  it('in which few of its faults would strike has more of them', async () => {
    const { faults, broken } = await soak(FEW)
    expect(faults.length).toBeGreaterThan(planOf(FEW).faults.length)
    expect(faults.filter(({ struck }) => struck > 0).length).toBeGreaterThanOrEqual(KINDS)
    expect(faults.map(({ name }) => name)).toEqual(
      expect.arrayContaining(planOf(FEW).faults.map(({ name }) => name)),
    )
    expect(broken).toEqual([])
  })

  it('is the same run each time, and another one than its neighbour', async () => {
    const [first, again, other] = [await soak(7), await soak(7), await soak(8)]
    expect(again).toEqual(first)
    expect({ ...other, seed: 7 }).not.toEqual(first)
  })

  it('says what happened to whom a broken promise is about', async () => {
    const { broken, timeline } = await soak(7, { faults: [], timeline: true, variant: VARIANTS.final })
    const key = '1000-1'
    expect(broken.map(({ what }) => what).join('\n')).toContain(key)
    const about = timeline.map(({ what }) => what).filter(what => what.includes(key))
    expect(about.join('\n')).toMatch(/delivery queued[\s\S]*compute\.start[\s\S]*delivery completed/)
  })
})

describe('a timeline', () => {
  const timeline = new Timeline(() => ({ now: () => START, sleep: async () => {} }))
  timeline.add('job 1000-1 is queued')
  timeline.add('compute.start tornade-1001-1-1')
  const about = (...texts: string[]) => timeline.about(texts).map(({ what }) => what)

  it('is of the jobs that are named, by themselves or by their runners', () => {
    expect(about('job 1001-1 is not final')).toEqual(['compute.start tornade-1001-1-1'])
    expect(about('the ticket of tornade-1000-1-2 is left')).toEqual(['job 1000-1 is queued'])
  })

  it('is of everything where nobody is named, and a month is nobody', () => {
    expect(about('the gate booked 5 in 2026-11, and its runners cost 6')).toHaveLength(2)
    expect(about()).toHaveLength(2)
  })
})

describe('a fault', () => {
  it('strikes when it is ordered, whichever it is', async () => {
    const { faults } = await soak(1, { faults: [...FAULTS.keys()] })
    // One that another one always comes before is ordered alone.
    for (const { name } of faults.filter(({ struck }) => struck === 0)) {
      const alone = await Promise.all([1, 2, 3, 4, 13].map(seed => soak(seed, { faults: [name] })))
      expect({ name, struck: alone.some(world => world.faults[0]!.struck > 0) }).toEqual({
        name,
        struck: true,
      })
    }
  })

  it('is among those of several seeds that are always played', () => {
    const always = [
      ...Array.from({ length: 50 }, (_, index) => planOf(index + 1)),
      ...PAST_SEEDS.map(seed => planOf(seed, { except: LATER_FAULTS, minutes: PAST_MINUTES })),
    ]
    for (const name of FAULTS.keys()) {
      const worlds = always.filter(({ faults }) => faults.some(fault => fault.name === name)).length
      expect({ name, worlds, several: worlds >= 3 }).toMatchObject({ name, several: true })
    }
  })

  it('leaves the world alone before and after its time', async () => {
    const { faults } = planOf(1)
    for (const { name } of faults) {
      const [order] = planOf(1, { faults: [name] }).faults
      expect(order!.from).toBeGreaterThanOrEqual(START)
      expect(order!.to).toBeLessThanOrEqual(START + BUSY_MINUTES * MINUTE)
    }
    const late = await soak(3, { faults: ['event-late'], timeline: true, variant: VARIANTS.final })
    const [{ from, to }] = late.faults as [(typeof late.faults)[number]]
    const strikes = late.timeline.filter(({ what }) => what.startsWith('! event-late'))
    expect(strikes.length).toBeGreaterThan(0)
    for (const { at } of strikes) expect(at >= from && at < to).toBe(true)
  })
})

const EVERYBODY = {
  repositories: ['acme/r1', 'acme/r2', 'acme/r3', 'acme/r4', 'acme/r5'],
  refs: ['refs/heads/main', 'refs/heads/feature', 'refs/pull/1/merge'],
  events: ['push', 'pull_request'],
  protected: false,
}

/** Systems that each break one promise, made of the right one at its seams. */
const VARIANTS: Readonly<Record<PromiseName, Variant>> = {
  final: {
    // The end of some jobs is never written.
    ports: ports => {
      const { jobs } = ports.ledger
      const put: typeof jobs.put = async job =>
        job.completed && job.request.jobId % 5 === 0 ? { ok: true } : jobs.put(job)
      return { ...ports, ledger: { ...ports.ledger, jobs: { ...jobs, put } } }
    },
  },
  'one-runner': {
    // A second runner is registered for the same job.
    ports: ports => ({
      ...ports,
      github: proxy(ports.github, {
        createJitConfig: async (scope, name, labels) => {
          if (name.endsWith('-1')) await ports.github.createJitConfig(scope, name.replace(/1$/, '2'), labels)
          return ports.github.createJitConfig(scope, name, labels)
        },
      }),
    }),
  },
  ends: {
    // No runner is ever stopped, and some of them hang.
    ports: ports => ({ ...ports, compute: proxy(ports.compute, { stop: async () => {} }) }),
  },
  'nothing-left': {
    // Registrations stay, whatever the functions are told.
    ports: ports => ({ ...ports, github: proxy(ports.github, { removeRunner: async () => 'removed' }) }),
  },
  money: {
    // A micro-dollar is lost.
    ports: ports => {
      const { runners } = ports.ledger
      const put: typeof runners.put = ({ cost, ...runner }) =>
        runners.put({ ...runner, cost: cost && { ...cost, totalMicroUsd: cost.totalMicroUsd + 1 } })
      return { ...ports, ledger: { ...ports.ledger, runners: { ...runners, put } } }
    },
  },
  secrets: {
    // A helpful log line.
    ports: ports => ({
      ...ports,
      tickets: proxy(ports.tickets, {
        put: async (ticketKey, encodedJitConfig, expiresAt) => {
          ports.log.debug('ticket stored', { ticketKey, encodedJitConfig })
          return ports.tickets.put(ticketKey, encodedJitConfig, expiresAt)
        },
      }),
    }),
  },
  caps: {
    // The gate reads other limits than the operator wrote.
    config: config => ({ ...config, limits: { ...config.limits, runners: 100, perRepository: 100 } }),
  },
  roles: {
    // Everybody may use the role, the guard on the runner says so too.
    config: config => ({ ...config, roles: { deploy: EVERYBODY } }),
  },
}

/** Faults that bring a variant to light, and a seed whose limits are small where that matters. */
const FAULTS_OF: Partial<Record<PromiseName, readonly string[]>> = {
  ends: ['hung-runner'],
  'nothing-left': ['hung-runner'],
}

describe('a system that breaks the promise', () => {
  it.each(Object.keys(PROMISES) as PromiseName[])('%s is caught by it', async promise => {
    const small = (seed: number) => planOf(seed).config.limits.runners === 8
    const seed = SEEDS.find(small)!
    const faults = FAULTS_OF[promise] ?? []
    expect(await soak(seed, { faults })).toMatchObject({ broken: [] })
    const { broken } = await soak(seed, { faults, variant: VARIANTS[promise] })
    expect(broken.map(item => item.promise)).toContain(promise)
  })
})

describe('what outlives its runner', () => {
  /** GitHub is asked to remove a registration no sooner than 20 minutes after somebody wanted that first. */
  const slow: Variant = {
    ports: (ports, _, world) => {
      const removeRunner: typeof ports.github.removeRunner = async (scope, id) => {
        const now = world().clock.now()
        const first = wanted.get(id) ?? now
        wanted.set(id, first)
        return now - first < 20 * MINUTE ? 'busy' : ports.github.removeRunner(scope, id)
      }
      return { ...ports, github: proxy(ports.github, { removeRunner }) }
    },
  }
  const wanted = new Map<number, number>()

  it('is seen although it is gone when the world ends', async () => {
    const promises = new Set<PromiseName>()
    for (const seed of SEEDS) {
      wanted.clear()
      expect(await soak(seed, { faults: ['hung-runner', 'host-dies'] })).toMatchObject({ broken: [] })
      const { broken } = await soak(seed, { faults: ['hung-runner', 'host-dies'], variant: slow })
      for (const { promise } of broken) promises.add(promise)
    }
    expect(promises).toContain('nothing-left')
  })
})

describe('a cap that the gate does not know', () => {
  // Seeds in which many jobs come at once.
  it.each<[string, number, string, { limits?: { startsPerHour: null }; spend?: null }]>([
    ['few-starts', 13, 'starts of repository', { limits: { startsPerHour: null } }],
    ['small-budget', 8, 'runners cost or can cost', { spend: null }],
  ])('%s is seen to be passed', async (fault, seed, words, { limits, ...rest }) => {
    expect(await soak(seed, { faults: [fault] })).toMatchObject({ broken: [] })
    const config = (known: Config): Config => ({
      ...known,
      ...rest,
      limits: { ...known.limits, ...limits },
      repositories: limits ? {} : known.repositories,
    })
    const { broken } = await soak(seed, { faults: [fault], variant: { config } })
    expect(
      broken
        .filter(({ promise }) => promise === 'caps')
        .map(({ what }) => what)
        .join(),
    ).toContain(words)
  })
})

describe('tornade soak', () => {
  async function run(...argv: string[]) {
    return runWith(argv)
  }

  /** @param onStderr called with each text of it, as somebody who watches would read it */
  async function runWith(
    argv: readonly string[],
    onStderr: ((text: string) => void) | null = null,
    worker?: URL,
  ) {
    const [out, errors]: [string[], string[]] = [[], []]
    const io: Io = {
      stdout: text => out.push(text),
      stderr: text => {
        errors.push(text)
        onStderr?.(text)
      },
      stdin: async () => Buffer.alloc(0),
      cwd: process.cwd(),
      env: {},
      interactive: onStderr !== null,
    }
    const code = worker ? await soakCommand(argv, io, worker) : await soakCommand(argv, io)
    return { code, stdout: out.join(''), stderr: errors.join('') }
  }

  it('prints one JSON document and nothing else, with the bound of the first promise', async () => {
    const { code, stdout, stderr } = await run('--seeds', '2', '--faults', 'delivery-doubled', '--json')
    expect(JSON.parse(stdout)).toMatchObject({
      asked: 2,
      worlds: 2,
      interrupted: false,
      boundMinutes: BOUND_MS / MINUTE,
      outcomes: [
        { seed: 1, error: null },
        { seed: 2, error: null },
      ],
    })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('goes on without a world that comes to no end, and says which', async () => {
    const worker = new URL('../support/dying-worker.ts', import.meta.url)
    const faults = [...FAULTS.keys()].join(',')
    const { code, stdout } = await runWith(
      ['--seeds', '6', '--except', faults.slice(0, 400).replace(/,[^,]*$/, '')],
      null,
      worker,
    )
    expect(stdout).toContain('seed 2 came to no end:\n  Error: the world of seed 2 is no more')
    expect(stdout).toContain('seed 5 came to no end:\n  its thread ended with 7')
    expect(stdout).toMatch(/ {2}npx tornade soak --seed 2 --except delivery-lost.* \\\n/)
    expect(stdout).toContain('Broken in 2 of 6 worlds: no end in 2.')
    expect(code).toBe(1)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('ends by %s with what there is so far', async signal => {
    const listeners = process.listenerCount(signal)
    const interrupt = () => {
      for (const listener of process.listeners(signal).slice(listeners)) listener(signal)
    }
    const { code, stdout, stderr } = await runWith(
      ['--seeds', '1000', '--faults', 'delivery-doubled'],
      interrupt,
    )
    const [, worlds] = stderr.match(/interrupted after (\d+) of 1000 worlds\n$/)!
    expect(Number(worlds)).toBeLessThan(10)
    expect(stdout).toMatch(
      new RegExp(`^Interrupted: all promises were kept in ${worlds} worlds? so far\\.$`, 'm'),
    )
    expect(code).toBe(1)
    expect(process.listenerCount(signal)).toBe(listeners)
  })

  it('plays worlds on all cores and sums them up', async () => {
    const { code, stdout } = await run('--seeds', '3', '--faults', 'delivery-doubled,spot-reclaim')
    expect(stdout).toMatch(/spot-reclaim +3 +\d+\n[\s\S]*All promises were kept in 3 worlds\.\n$/)
    expect(code).toBe(0)
  })

  it('names every fault and promise in 80 columns', async () => {
    const { stdout } = await run('--list')
    for (const name of [...FAULTS.keys(), ...Object.keys(PROMISES)]) expect(stdout).toContain(`  ${name} `)
    expect(Math.max(...stdout.split('\n').map(line => line.length))).toBeLessThanOrEqual(80)
  })

  it('names them in one JSON document as well', async () => {
    const { stdout } = await run('--list', '--json')
    const { faults, promises } = JSON.parse(stdout)
    expect(faults.map(({ name }: { name: string }) => name)).toEqual([...FAULTS.keys()])
    expect(promises.map(({ name }: { name: string }) => name)).toEqual(Object.keys(PROMISES))
  })

  it('plays all seeds that are named, however they are', async () => {
    const { stdout } = await run('--seed', '1', '--seed', '3,2', '--faults', 'delivery-doubled', '--json')
    expect(JSON.parse(stdout).outcomes.map(({ seed }: { seed: number }) => seed)).toEqual([1, 3, 2])
  })

  it.each([
    ['--seeds', 'many'],
    ['--seeds', '2147483647'],
    ['--seeds', '0'],
    ['--faults', 'delivery-doubled,no-such-fault'],
    ['--seed', '1', '--fresh'],
    ['--seed', 'one'],
    ['--seed', '1,-2'],
    ['--seed', '2147483648'],
    ['--except', ''],
    ['--past', '--seeds', '3'],
    ['--past', '--faults', 'delivery-lost'],
  ])('does not take %s %s %s', async (...argv) => {
    await expect(run(...argv.filter(text => text !== undefined))).rejects.toThrow(/^--/)
  })
})
