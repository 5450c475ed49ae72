import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Failure,
  lookFrom,
  notAsked,
  OVERLAP_MS,
  redeliveries,
  TIMES,
} from '../functions/core/redelivery.ts'
import { EMPTY_MEMORY } from '../functions/core/sweep-memory.ts'
import type { SweepMemory } from '../functions/core/types.ts'
import { at, T0 } from './support/facts.ts'

const NONE = EMPTY_MEMORY.deliveries
const MINUTE = 60
let ids = 90_071_992_547_409_931n

function failure(guid: string, seconds: number, over: Partial<Failure> = {}): Failure {
  const id = String(ids++)
  return { id, guid, deliveredAt: at(seconds), statusCode: 502, event: 'workflow_job', ...over }
}

const sweep = (
  failures: readonly Failure[],
  seconds: number,
  memory: SweepMemory['deliveries'] = NONE,
  limit = 60,
) => {
  const from = lookFrom(memory, at(seconds))
  const seen = failures.filter(({ deliveredAt }) => deliveredAt >= from)
  return redeliveries(seen, true, memory, limit, at(seconds))
}

describe('a failed delivery', () => {
  it('is asked for again by the id of its attempt, in all its digits', () => {
    const failed = failure('a', 0)
    expect(sweep([failed], 30).ask).toEqual([failed])
    expect(BigInt(failed.id) > 2n ** 53n).toBe(true)
  })

  it.each([429, 500, 502, 503, 504, 0])('is ours to ask for when it was answered with %i', statusCode => {
    expect(sweep([failure('a', 0, { statusCode })], 30).ask).toHaveLength(1)
  })

  it.each([400, 401, 413, 415, 422])('stays refused when it was answered with %i', statusCode => {
    expect(sweep([failure('a', 0, { statusCode })], 30).ask).toEqual([])
  })

  it('of another event is not ours', () => {
    expect(sweep([failure('a', 0, { event: 'installation' })], 30).ask).toEqual([])
  })

  it('is not asked for twice while nothing says that asking did not help', () => {
    const failed = failure('a', 0)
    let { memory } = sweep([failed], 30)
    for (let minute = 1; minute < 30; minute++) {
      const next = sweep([failed], 30 + minute * MINUTE, memory)
      expect(next.ask).toEqual([])
      memory = next.memory
    }
  })

  it('is asked for again for as long as GitHub did not take the question, and then no more', () => {
    const failed = failure('a', 0)
    let memory = NONE
    for (let minute = 0; minute < 30; minute++) {
      const next = sweep([failed], 30 + minute * MINUTE, memory)
      expect({ minute, ask: next.ask }).toEqual({ minute, ask: [failed] })
      memory = notAsked(next.memory, next.ask)
    }
    const taken = sweep([failed], 40 * MINUTE, memory)
    expect(taken.ask).toEqual([failed])
    expect(sweep([failed], 42 * MINUTE, taken.memory).ask).toEqual([])
  })

  it('is asked for three times when every attempt fails, a minute apart at least', () => {
    const log = [failure('a', 0)]
    let memory = NONE
    const times: number[] = []
    for (let seconds = 30; seconds < 600; seconds += 10) {
      const next = sweep(log, seconds, memory)
      memory = next.memory
      if (next.ask.length === 0) continue
      expect(next.ask).toEqual([log.at(-1)])
      times.push(seconds)
      log.push(failure('a', seconds + 1))
    }
    expect(times).toHaveLength(TIMES)
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(MINUTE)
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(MINUTE)
  })

  it('waits for the next sweep when there are too many, the oldest first, and stays in sight', () => {
    const failures = [failure('c', 30), failure('b', 20), failure('a', 10)]
    const first = sweep(failures, 60, NONE, 2)
    expect(first.ask.map(({ guid }) => guid)).toEqual(['a', 'b'])
    expect(first.memory.watermark).toBe(at(30))
    const second = sweep(failures, 120, first.memory, 2)
    expect(second.ask.map(({ guid }) => guid)).toEqual(['c'])
    expect(second.memory.watermark).toBe(at(120))
  })

  it('is forgotten once it has left what is looked at, and not before', () => {
    const { memory } = sweep([failure('a', 0)], 30)
    const later = sweep([], OVERLAP_MS / 1000 + 29, memory)
    expect(Object.keys(later.memory.asked)).toEqual(['a'])
    expect(sweep([], OVERLAP_MS / 1000 + 31, memory).memory.asked).toEqual({})
  })

  it('leaves the watermark where it was while the log was not read to its end', () => {
    const known = { ...NONE, watermark: T0 }
    expect(redeliveries([failure('a', 60)], false, known, 60, at(90)).memory.watermark).toBe(T0)
  })

  it('of the first look is an hour old at most', () => {
    expect(lookFrom(NONE, at(0))).toBe(at(-3600) - OVERLAP_MS)
  })
})

describe('whatever fails', () => {
  it('is asked for three times at most, never twice within a minute, and never after it worked', () => {
    const event = fc.record({
      guid: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      at: fc.nat({ max: 3600 }),
      works: fc.integer({ min: 1, max: 6 }),
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(event, { selector: ({ guid }) => guid }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.integer({ min: 5, max: 300 }), { minLength: 10, maxLength: 60 }),
        (events, limit, pauses) => {
          const log: Failure[] = []
          const asked = new Map<string, number[]>()
          let memory = NONE
          let now = 0
          for (const pause of pauses) {
            for (const { guid, at: time } of events)
              if (time >= now && time < now + pause) log.push(failure(guid, time))
            now += pause
            const next = sweep(log, now, memory, limit)
            memory = next.memory
            expect(next.ask.length).toBeLessThanOrEqual(limit)
            for (const { guid } of next.ask) {
              const times = [...(asked.get(guid) ?? []), now]
              asked.set(guid, times)
              const { works } = events.find(one => one.guid === guid)!
              if (times.length < works) log.push(failure(guid, now))
            }
          }
          for (const [guid, times] of asked) {
            const { works } = events.find(one => one.guid === guid)!
            expect(times.length).toBeLessThanOrEqual(Math.min(TIMES, works))
            for (let index = 1; index < times.length; index++)
              expect(times[index]! - times[index - 1]!).toBeGreaterThanOrEqual(MINUTE)
          }
          // Whatever failed in time for the sweeps that followed was asked for.
          const due = events.filter(({ at: time }) => time < now - 1800)
          if (limit >= events.length) for (const { guid } of due) expect(asked.has(guid)).toBe(true)
        },
      ),
    )
  })
})
