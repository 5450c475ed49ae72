/** Where a job may be started, in which order, and what is left alone because it failed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backOffMs } from '../functions/core/backoff.ts'
import {
  type Breakers,
  type CapacityReport,
  choose,
  kindKey,
  report,
  takeProbe,
} from '../functions/core/breaker.ts'
import { after, capacities, isSameKind, shapeOf } from '../functions/core/plan.ts'
import { codeBuildType } from '../functions/core/sizes.ts'
import { isReclaim, isShortage, stopReason } from '../functions/core/stops.ts'
import type { CapacityKind, Fallback, SpecCapacity } from '../functions/core/types.ts'
import { CODEBUILD, ON_DEMAND, SPOT, spec, T0 } from './support/facts.ts'

const MINUTE = 60_000
const SECOND = 1000

describe('the order of capacities', () => {
  it.each([
    ['on-demand', [], [ON_DEMAND]],
    ['on-demand', ['on-demand', 'codebuild'], [ON_DEMAND, CODEBUILD]],
    ['spot', [], [SPOT]],
    ['spot', ['on-demand'], [SPOT, ON_DEMAND]],
    ['spot', ['codebuild'], [SPOT, CODEBUILD]],
    ['spot', ['codebuild', 'on-demand'], [SPOT, ON_DEMAND, CODEBUILD]],
    ['spot-only', ['on-demand', 'codebuild'], [SPOT]],
    [null, ['on-demand', 'codebuild'], [CODEBUILD]],
  ] as const)('of %s with the fallback %j', (capacity, fallback, order) => {
    const wanted = spec({ capacity, compute: capacity === null ? 'codebuild' : 'fargate' })
    expect(capacities(wanted, fallback)).toEqual(order)
  })

  it('after a reclaim leaves Spot out, if there is anything else', () => {
    const spot = spec({ capacity: 'spot' })
    expect(capacities(spot, ['on-demand'], true)).toEqual([ON_DEMAND])
    expect(capacities(spot, [], true)).toEqual([SPOT])
    expect(capacities(spec({ capacity: 'spot-only' }), ['on-demand'], true)).toEqual([SPOT])
  })

  it('has something for every job, nothing twice, and nothing that does not hold its size', () => {
    const anySpec = fc
      .record({
        capacity: fc.constantFrom<SpecCapacity>('on-demand', 'spot', 'spot-only'),
        arch: fc.constantFrom('x64' as const, 'arm64' as const),
        cpu: fc.constantFrom(0.25, 2, 8, 16, 32),
        memoryGiB: fc.constantFrom(0.5, 4, 60, 120, 244),
        diskGiB: fc.constantFrom(20, 100, 200),
      })
      .map(spec)
    const anyFallback = fc.subarray<Fallback>(['on-demand', 'codebuild'])
    fc.assert(
      fc.property(anySpec, anyFallback, fc.boolean(), (wanted, fallback, reclaimed) => {
        const order = capacities(wanted, fallback, reclaimed)
        expect(order.length).toBeGreaterThan(0)
        expect(new Set(order.map(kind => kindKey({ ...kind, arch: wanted.arch }))).size).toBe(order.length)
        for (const kind of order) {
          const shape = shapeOf(wanted, kind)
          expect(isSameKind(shape, kind)).toBe(true)
          expect(shape.cpu).toBeGreaterThanOrEqual(wanted.cpu)
          expect(shape.memoryGiB).toBeGreaterThanOrEqual(wanted.memoryGiB)
          expect(shape.diskGiB).toBeGreaterThanOrEqual(wanted.diskGiB)
          if (kind.compute === 'codebuild') expect(codeBuildType(wanted)).not.toBeNull()
        }
        if (wanted.capacity === 'spot-only') expect(order).toEqual([SPOT])
        if (wanted.capacity === 'on-demand') expect(order).not.toContainEqual(SPOT)
        // Walking from kind to kind meets all of them once.
        const walked: CapacityKind[] = []
        for (let rest = order; rest.length > 0; rest = after(order, rest[0]!)) walked.push(rest[0]!)
        expect(walked).toEqual(order)
      }),
    )
  })
})

describe('a breaker', () => {
  const KIND = 'fargate-spot-x64'
  const ORDER = [SPOT, ON_DEMAND]
  let tries = 0
  const news = (
    result: CapacityReport['result'],
    at: number,
    over: Partial<CapacityReport> = {},
  ): CapacityReport => ({
    words: 'None.',
    kind: KIND,
    runner: 'r',
    id: `try ${++tries}`,
    result,
    at,
    ...over,
  })
  const fail = (at: number, count: number, result: 'refused' | 'failed' = 'refused') =>
    Array.from({ length: count }, () => news(result, at))
  const kinds = (breakers: Breakers, now: number, runner = 'r') =>
    choose(breakers, ORDER, 'x64', runner, now).kinds
  const spot = { ...SPOT, arch: 'x64' as const }
  const opened = (result: 'refused' | 'failed' = 'refused') => report({}, fail(T0, 3, result))

  it('opens at the third failure in a row, and leaves other kinds alone', () => {
    expect(kinds(report({}, fail(T0, 2)), T0)).toEqual(ORDER)
    expect(kinds(opened(), T0)).toEqual([ON_DEMAND])
    expect(choose(opened(), ORDER, 'arm64', 'r', T0).kinds).toEqual(ORDER)
    expect(choose(opened(), [SPOT], 'x64', 'r', T0)).toEqual({
      kinds: [],
      probe: null,
      until: T0 + MINUTE,
      words: ['None.'],
    })
  })

  it('counts a failure that is told twice once', () => {
    const twice = news('refused', T0)
    expect(kinds(report({}, [twice, twice, twice]), T0)).toEqual(ORDER)
  })

  it('forgets failures before a success, and those of long ago', () => {
    expect(report({}, [...fail(T0, 2), news('taken', T0)])).toEqual({})
    const sparse = [0, 11, 22, 33].flatMap(minute => fail(T0 + minute * MINUTE, 1))
    expect(kinds(report({}, sparse), T0 + 33 * MINUTE)).toEqual(ORDER)
  })

  it('believes no taken request where refusals come late, and no runner that came up before them', () => {
    const late = report({}, fail(T0, 2, 'failed'))
    expect(report(late, [news('taken', T0)])).toBe(late)
    expect(report(late, [news('ran', T0 - SECOND)])).toBe(late)
    expect(report(late, [news('ran', T0 + SECOND)])).toEqual({})
  })

  it('lets one probe through when its time is over, and closes when that goes well', () => {
    const due = T0 + MINUTE
    expect(choose(opened(), ORDER, 'x64', 'r', due)).toMatchObject({ kinds: [ON_DEMAND], probe: SPOT })
    const probed = takeProbe(opened(), spot, 'r', due)!
    expect(takeProbe(probed, spot, 'other', due)).toBeNull()
    expect(kinds(probed, due, 'r')).toEqual(ORDER)
    expect(choose(probed, ORDER, 'x64', 'other', due)).toMatchObject({ kinds: [ON_DEMAND], probe: null })
    expect(report(probed, [news('taken', due)])).toEqual({})
  })

  it.each([
    ['refused', 15 * SECOND],
    ['failed', 2 * MINUTE],
  ] as const)('takes the silence about a probe for good news where it was %s before', (how, silence) => {
    const due = T0 + MINUTE
    const probed = takeProbe(opened(how), spot, 'r', due)!
    expect(kinds(probed, due + silence - 1, 'other')).toEqual([ON_DEMAND])
    expect(kinds(probed, due + silence, 'other')).toEqual(ORDER)
    // It is on probation: one failure is enough.
    expect(kinds(report(probed, [news('refused', due + silence)]), due + silence)).toEqual([ON_DEMAND])
  })

  it('stays open for longer after each failed probe, and for a quarter of an hour at most', () => {
    let breakers = opened()
    let now = T0
    const minutes: number[] = []
    for (let round = 0; round < 7; round++) {
      const { until } = choose(breakers, [SPOT], 'x64', 'r', now)
      minutes.push((until! - now) / MINUTE)
      now = until!
      breakers = report(takeProbe(breakers, spot, 'r', now)!, [news('refused', now)])
    }
    expect(minutes).toEqual([1, 2, 4, 8, 15, 15, 15])
  })

  it('hears nothing new from those that were under way when it opened', () => {
    const breakers = opened()
    expect(report(breakers, fail(T0 + SECOND, 5))).toBe(breakers)
  })

  it('never lets a kind be tried by two while it is open, and always lets one try in the end', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 20 * MINUTE }),
      runner: fc.constantFrom('a', 'b', 'c'),
      result: fc.constantFrom('refused', 'failed', 'taken', 'ran', 'silence'),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        let breakers: Breakers = {}
        let now = T0
        for (const { wait, runner, result } of steps) {
          now += wait
          const { kinds: usable, probe, until } = choose(breakers, [SPOT], 'x64', runner, now)
          if (usable.length === 0 && probe === null) {
            expect(until! - now).toBeLessThanOrEqual(15 * MINUTE)
            continue
          }
          if (probe) {
            breakers = takeProbe(breakers, spot, runner, now)!
            for (const other of ['a', 'b', 'c'].filter(name => name !== runner))
              expect(choose(breakers, [SPOT], 'x64', other, now)).toMatchObject({ kinds: [], probe: null })
          }
          if (result !== 'silence') breakers = report(breakers, [news(result, now, { runner })])
        }
        const { until } = choose(breakers, [SPOT], 'x64', 'd', now)
        const later = choose(breakers, [SPOT], 'x64', 'd', until ?? now)
        expect(later.kinds.length > 0 || later.probe !== null).toBe(true)
      }),
    )
  })
})

describe('back-off', () => {
  it('doubles up to the longest, is shortened by half at most, and is the same for the same name', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1000 }), (name, count) => {
        const whole = Math.min(300_000, 10_000 * 2 ** (count - 1))
        const wait = backOffMs(10_000, 300_000, count, name)
        expect(wait).toBeGreaterThanOrEqual(whole / 2)
        expect(wait).toBeLessThanOrEqual(whole)
        expect(backOffMs(10_000, 300_000, count, name)).toBe(wait)
      }),
    )
  })

  it('spreads those that failed together', () => {
    const waits = Array.from({ length: 100 }, (_, index) =>
      backOffMs(60_000, 60_000, 1, `tornade-${index}-1-1`),
    )
    const early = waits.filter(wait => wait < 45_000).length
    expect(early).toBeGreaterThan(30)
    expect(early).toBeLessThan(70)
  })
})

describe('the reason of a stop', () => {
  it.each([
    ['SpotInterruption', '', true],
    ['TerminationNotice', 'Your Spot Task was interrupted.', true],
    ['TerminationNotice', 'The host is retired.', false],
    ['UserInitiated', 'no job needs this runner', false],
    ['EssentialContainerExited', 'Essential container in task exited', false],
  ])('%s (%s) is a reclaim: %s', (code, reason, reclaim) => {
    expect(isReclaim({ code, reason })).toBe(reclaim)
  })

  it.each([
    ['TaskFailedToStart', 'Capacity is unavailable at this time. Please try again later', true],
    ['TaskFailedToStart', 'You’ve reached the limit on the number of vCPUs you can run concurrently', true],
    ['TaskFailedToStart', 'CannotPullContainerError: not found', false],
    ['EssentialContainerExited', 'Capacity is unavailable at this time', false],
  ])('%s (%s) is a want of capacity: %s', (code, reason, shortage) => {
    expect(isShortage({ code, reason })).toBe(shortage)
  })

  it('is there once a task has stopped, and before that only if it was told', () => {
    expect(stopReason(true, {})).toEqual({ code: 'unknown', reason: '' })
    expect(stopReason(false, {})).toBeNull()
    expect(stopReason(false, { stopCode: 'SpotInterruption' })).toEqual({
      code: 'SpotInterruption',
      reason: '',
    })
  })
})
