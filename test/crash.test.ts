/**
 * A function may die at any port call: before the call took effect or after, by an error or without a word. Whatever
 * was under way then is delivered again, and in the end nothing is lost, doubled or left behind.
 */
import { describe, expect, it } from 'vitest'
import { jobState } from '../functions/core/lifecycle.ts'
import type { Ports } from '../functions/ports.ts'
import { HOUR, job, jobs, leftovers, MINUTE, SECOND, type Stack, stack, startedFor, untilQuiet } from './support/world.ts'

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
  const guard = <T extends object>(port: T, portName: string): T =>
    new Proxy(port, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return async (...parameters: unknown[]) => {
          if (ports.clock.now() < deadUntil) return never
          const hit = ++calls === crash.call
          if (hit) crash.crashed = `${portName}.${String(name)}`
          if (hit && crash.way === 'death') deadUntil = ports.clock.now() + DEAD_MS
          if (!hit || crash.moment === 'after') {
            const answer: unknown = await member.apply(target, parameters)
            if (!hit) return answer
          }
          if (crash.way === 'death') return never
          throw new Error('a crash that this test asked for')
        }
      },
    })
  const { ledger } = ports
  return {
    ...ports,
    queue: guard(ports.queue, 'queue'),
    compute: guard(ports.compute, 'compute'),
    github: guard(ports.github, 'github'),
    tickets: guard(ports.tickets, 'tickets'),
    ledger: {
      jobs: guard(ledger.jobs, 'jobs'),
      runners: guard(ledger.runners, 'runners'),
      gate: guard(ledger.gate, 'gate'),
    },
  }
}

type Scene = (s: Stack) => void

const SCENES: Readonly<Record<string, Scene>> = {
  'one job': ({ world }) => world.github.queue(job(1, { script: { durationMs: MINUTE } })),
  'a theft': ({ world }) => {
    world.github.queue(job(1, { script: { durationMs: 10 * MINUTE } }))
    world.clock.after(1, () => world.github.queue(job(2, { labels: ['tornade', 'docker'] })))
  },
  'a job cancelled before its start': ({ world }) => {
    world.github.queue(job(1))
    world.clock.after(8 * SECOND, () => void world.github.cancelJob(1))
  },
}

/** Runs a scene with one crash; answers everything that is wrong in the end, and whether the crash came. */
async function run(scene: Scene, crash: Crash): Promise<readonly string[]> {
  const s = await stack({
    config: { limits: { runners: 2 } },
    wrapPorts: (ports, name) => (name === crash.functionName ? crashing(ports, crash) : ports),
  })
  scene(s)
  await untilQuiet(s, 3 * HOUR)
  const faults = await leftovers(s)
  for (const one of await jobs(s.world)) {
    const state = jobState(one)
    const started = await startedFor(s.world, one.key)
    if (state !== 'completed' && state !== 'cancelled') faults.push(`job ${one.key} is ${state}`)
    if (state === 'completed' && one.completed?.conclusion !== 'success') faults.push(`job ${one.key} did not succeed`)
    if (started.length > 3) faults.push(`job ${one.key} has the runners ${started.join(', ')}`)
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
        if (functionName === 'sweep' && call === 12) break
      }
      expect(seen.length).toBeGreaterThan(functionName === 'sweep' ? 2 : 5)
    })
  })
})
