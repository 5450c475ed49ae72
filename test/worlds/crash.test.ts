/**
 * A function may die at any port call: before the call took effect or after, by an error or without a word. Whatever
 * was under way then is delivered again, and in the end nothing is lost, doubled or left behind.
 */
import { describe, expect, it } from 'vitest'
import { jobState } from '../../functions/core/lifecycle.ts'
import type { Ports } from '../../functions/ports.ts'
import type { ComputeFaults, Fate } from '../../local/compute.ts'
import type { World } from '../../local/world.ts'
import {
  busyDay,
  generator,
  guarded,
  HOUR,
  job,
  jobs,
  leftovers,
  MINUTE,
  proxy,
  SECOND,
  START,
  type Stack,
  stack,
  startedFor,
  untilQuiet,
} from '../support/world.ts'

/**
 * error: the call throws, and the function goes on as it does with an error. death: from this call on the invocation
 * does nothing any more, and runs into its timeout.
 */
const WAYS = [
  { way: 'error', moment: 'before' },
  { way: 'error', moment: 'after' },
  { way: 'death', moment: 'before' },
  { way: 'death', moment: 'after' },
] as const
type Way = (typeof WAYS)[number]

/** Nothing runs into its timeout for so long. */
const DEAD_MS = 60 * SECOND

type Crash = Way & {
  readonly functionName: string
  /** Counts the port calls of the function from 1. */
  readonly call: number
  /** Name of the call that crashed; null while none has. */
  crashed: string | null
}

/** Ports that crash once. */
function crashing(ports: Ports, crash: Crash): Ports {
  let calls = 0
  let deadUntil = 0
  const never = new Promise<never>(() => {})
  return guarded(ports, async (work, name) => {
    if (ports.clock.now() < deadUntil) return never
    if (++calls !== crash.call) return work()
    crash.crashed = name
    if (crash.way === 'death') deadUntil = ports.clock.now() + DEAD_MS
    if (crash.moment === 'after') await work()
    if (crash.way === 'death') return never
    throw new Error('a crash that this test asked for')
  })
}

interface Scene {
  readonly runners: number
  /** Start calls that answer that there is no capacity. */
  readonly refusedStarts?: number
  readonly play: (world: World) => void
  readonly computeFaults?: ComputeFaults
  /** For one job; 3 where nothing is said. */
  readonly mostRunners?: number
  /** How its jobs end, where that is not with success. */
  readonly ends?: readonly string[]
}

const TOO_LATE: Fate = {
  kind: 'fails-to-start',
  at: 'provision',
  reason: 'Capacity is unavailable at this time.',
}
const isFirstOf = (jobId: number, runner: string) => runner === `tornade-${jobId}-1-1`

/** The second job comes when it is known that tasks on Spot fail late. */
function afterTooLate({ clock, github }: World): void {
  const facts = { labels: ['tornade', 'spot'], script: { durationMs: MINUTE } }
  github.queue(job(1, facts))
  clock.after(2 * MINUTE, () => github.queue(job(2, facts)))
}

const SCENES: Readonly<Record<string, Scene>> = {
  'one job': {
    runners: 2,
    play: ({ github }) => github.queue(job(1, { script: { durationMs: MINUTE } })),
  },
  'a theft': {
    runners: 2,
    play: ({ clock, github }) => {
      github.queue(job(1, { script: { durationMs: 10 * MINUTE } }))
      clock.after(1, () => github.queue(job(2, { labels: ['tornade', 'docker'] })))
    },
  },
  'a job cancelled before its start': {
    runners: 2,
    play: ({ clock, github }) => {
      github.queue(job(1))
      clock.after(8 * SECOND, () => void github.cancelJob(1))
    },
  },
  'a job that waits for a place': {
    runners: 1,
    play: ({ clock, github }) => {
      github.queue(job(1, { script: { durationMs: MINUTE } }))
      clock.after(2 * SECOND, () => github.queue(job(2, { script: { durationMs: MINUTE } })))
    },
  },
  'a job that waits for capacity': {
    runners: 1,
    refusedStarts: 3,
    play: ({ github }) =>
      github.queue(job(1, { labels: ['tornade', 'spot'], script: { durationMs: MINUTE } })),
  },
  'a runner that does not start': {
    runners: 1,
    computeFaults: {
      fate: ({ runner }) =>
        runner.endsWith('-1')
          ? { kind: 'fails-to-start', at: 'pull', reason: 'CannotPullContainerError' }
          : null,
    },
    play: ({ github }) => github.queue(job(1, { script: { durationMs: MINUTE } })),
  },
  'a task that finds no capacity': {
    runners: 1,
    // Where a crash costs the second one, the third is tried on Spot again.
    mostRunners: 4,
    computeFaults: {
      fate: ({ shape }) =>
        shape.capacity === 'spot'
          ? { kind: 'fails-to-start', at: 'provision', reason: 'Capacity is unavailable at this time.' }
          : null,
    },
    play: ({ github }) =>
      github.queue(job(1, { labels: ['tornade', 'spot'], script: { durationMs: MINUTE } })),
  },
  'a runner that is not registered before it comes up': {
    runners: 3,
    mostRunners: 4,
    computeFaults: {
      fate: ({ runner, shape }) => (isFirstOf(1, runner) && shape.capacity === 'spot' ? TOO_LATE : null),
    },
    play: afterTooLate,
  },
  'a task that fails before its runner is registered': {
    runners: 3,
    mostRunners: 4,
    computeFaults: { fate: ({ shape }) => (shape.capacity === 'spot' ? TOO_LATE : null) },
    play: afterTooLate,
  },
  'a job that Spot ends': {
    runners: 2,
    computeFaults: { fate: () => ({ kind: 'reclaimed', afterMs: 6 * MINUTE }) },
    play: ({ github }) => {
      github.queue(job(1, { labels: ['tornade', 'spot'], script: { durationMs: 12 * MINUTE } }))
      // Its run lasts for longer, so that GitHub has to be asked more than once.
      github.queue(job(2, { runId: 900_001, script: { durationMs: 13 * MINUTE } }))
    },
    ends: ['1-1 cancelled, lost to spot', '2-1 success', '40000000001-2 success, re-run of 1-1'],
  },
}

/** Plays a scene with one crash; answers everything that is wrong in the end. */
async function run(
  { runners, refusedStarts = 0, play, computeFaults, mostRunners = 3, ends }: Scene,
  crash: Crash,
): Promise<readonly string[]> {
  let starts = 0
  const s = await stack({
    ...(computeFaults ? { computeFaults } : {}),
    config: { limits: { runners } },
    wrapPorts: (ports, name) => {
      const scarce: Ports = {
        ...ports,
        compute: proxy(ports.compute, {
          start: async request =>
            ++starts <= refusedStarts
              ? { outcome: 'failed', kind: 'capacity', message: 'Capacity is unavailable at this time.' }
              : ports.compute.start(request),
        }),
      }
      return name === crash.functionName ? crashing(scarce, crash) : scarce
    },
  })
  play(s.world)
  await untilQuiet(s, 3 * HOUR)
  return [...(await leftovers(s)), ...(ends ? await otherEnds(s, ends) : await failures(s, mostRunners))]
}

async function otherEnds({ world }: Stack, wanted: readonly string[]): Promise<string[]> {
  const ends = (await jobs(world)).map(({ key, completed, lostTo, rerunOf }) => {
    const lost = lostTo === null ? '' : `, lost to ${lostTo}`
    return `${key} ${completed?.conclusion}${lost}${rerunOf === null ? '' : `, re-run of ${rerunOf}`}`
  })
  return ends.toSorted().join('; ') === wanted.join('; ') ? [] : ends
}

async function failures({ world }: Stack, mostRunners: number): Promise<string[]> {
  const faults: string[] = []
  for (const one of await jobs(world)) {
    const state = jobState(one)
    const started = await startedFor(world, one.key)
    if (state !== 'completed' && state !== 'cancelled') faults.push(`job ${one.key} is ${state}`)
    if (state === 'completed' && one.completed?.conclusion !== 'success')
      faults.push(`job ${one.key} did not succeed`)
    if (started.length > mostRunners) faults.push(`job ${one.key} has the runners ${started.join(', ')}`)
  }
  return faults
}

describe.each(Object.keys(SCENES))('%s', scene => {
  describe.each(['launch', 'lifecycle', 'sweep'])('while %s crashes', functionName => {
    it.each(WAYS)('by $way $moment any of its calls', { timeout: 60_000 }, async way => {
      const seen: string[] = []
      for (let call = 1; ; call++) {
        const crash: Crash = { ...way, functionName, call, crashed: null }
        const faults = await run(SCENES[scene]!, crash)
        if (crash.crashed === null) break
        seen.push(crash.crashed)
        expect({ call, crashed: crash.crashed, faults }).toEqual({ call, crashed: crash.crashed, faults: [] })
        // A sweep comes each minute for ever, and its calls are alike.
        if (functionName === 'sweep' && call === 12) break
      }
      expect(seen.length).toBeGreaterThan(5)
    })
  })
})

describe('a bad day', () => {
  it.each([1, 2, 3])(
    'on which every call fails now and then, and deliveries are late, doubled and lost, ends well (%i)',
    { timeout: 20_000 },
    async seed => {
      const random = generator(seed)
      const calm = START + 2 * HOUR
      const isBad = (now: number, share: number) => now < calm && random() < share
      const s = await stack({
        config: {
          limits: { runners: 12, perRepository: 7, starts: 20, replacements: 20 },
          roles: { deploy: { repositories: ['acme/r1'], refs: [], events: [] } },
        },
        wrapPorts: (ports, name) =>
          guarded(ports, async work => {
            if (name === 'webhook' || !isBad(ports.clock.now(), 0.01)) return work()
            if (random() < 0.5) await work()
            throw new Error('a fault that this test asked for')
          }),
        deliver: async (world, delivery) => {
          const send = () => world.accept(delivery)
          const now = world.clock.now()
          // What was queued and is never told of, nobody can know yet.
          if (!delivery.body.startsWith('{"action":"queued"') && isBad(now, 0.05)) return
          if (isBad(now, 0.05)) world.clock.after(random() * 10 * MINUTE, send)
          if (isBad(now, 0.1)) world.clock.after(random() * 2 * MINUTE, send)
          else await send()
        },
      })
      busyDay(s.world, { seed, count: 80, hours: 1.5 })
      await s.world.clock.run(calm)
      await untilQuiet(s)
      expect(await leftovers(s)).toEqual([])
      const refused = (await jobs(s.world)).map(one => one.refused?.code ?? 'none')
      expect([...new Set(refused)].sort()).toEqual(['fork', 'none', 'role'])
    },
  )
})
