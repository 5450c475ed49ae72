import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AdmissionLimits,
  admit,
  EMPTY_GATE,
  forget,
  forgo,
  HEADS_PER_REPOSITORY,
  type HeadTerms,
  isAnyoneWaiting,
  JIT_CONFIGS_PER_MINUTE,
  leave,
  linesToRefill,
  type PlaceRequest,
  pause,
  refill,
  reservation,
  stepBack,
} from '../functions/core/admission.ts'
import { perMinute } from '../functions/core/cost.ts'
import { shapeOf } from '../functions/core/plan.ts'
import type { Gate } from '../functions/core/types.ts'
import { at, CODEBUILD, ON_DEMAND, spec, T0 } from './support/facts.ts'
import { densest, Line } from './support/line.ts'

const LIMITS = { runners: 3, perRepository: 2 }
const ROOMY = { runners: 10_000, perRepository: 10_000 }
const TERMS: HeadTerms = { take: 10, by: 'm1', redelivered: new Set() }

function ask(number: number, over: Partial<PlaceRequest> = {}): PlaceRequest {
  const runner = `tornade-${String(number).padStart(3, '0')}-1-1`
  return {
    runner,
    jobKey: `${number}-1`,
    repositoryId: 1,
    repository: `acme/r${over.repositoryId ?? 1}`,
    role: null,
    priority: 0,
    since: at(number),
    by: 'm1',
    reserveMicroUsd: 0,
    ...over,
  }
}
const many = (count: number, over: Partial<PlaceRequest> = {}, first = 1) =>
  Array.from({ length: count }, (_, index) => ask(first + index, over))
const names = (list: readonly { readonly runner: string }[]) =>
  list.map(({ runner }) => Number(runner.split('-')[1]))
const fill = (
  gate: Gate,
  requests: readonly PlaceRequest[],
  limits: AdmissionLimits = LIMITS,
  terms = TERMS,
) => admit(gate, requests, limits, T0, terms)

describe('a place', () => {
  it('is given while there are any, and is written on the gate', () => {
    const { gate, admitted, denied } = fill(EMPTY_GATE, [ask(1, { role: 'deploy' })])
    expect(names(admitted)).toEqual([1])
    expect(denied).toEqual([])
    expect(gate.holders).toEqual({
      'tornade-001-1-1': {
        repository: 1,
        role: 'deploy',
        since: T0,
        jobKey: '1-1',
        by: 'm1',
        reservedMicroUsd: 0,
      },
    })
  })

  it('is not given beyond the limit of the repository, nor beyond that of all', () => {
    const { admitted, denied } = fill(EMPTY_GATE, [
      ...many(3),
      ask(4, { repositoryId: 2 }),
      ask(5, { repositoryId: 3 }),
    ])
    expect(names(admitted).sort()).toEqual([1, 4, 5])
    expect(denied.map(({ reason }) => reason)).toEqual(['total-limit', 'total-limit'])
    const { denied: third } = fill(EMPTY_GATE, many(3))
    expect(third).toEqual([
      {
        runner: 'tornade-003-1-1',
        jobKey: '3-1',
        reason: 'repository-limit',
        message: 'This repository uses all of its 2 runners (limits.perRepository).',
        notBefore: null,
      },
    ])
  })

  it('is had once, however often it is asked for', () => {
    const once = fill(EMPTY_GATE, many(2))
    const again = fill(once.gate, many(2))
    expect(again.admitted.map(({ already }) => already)).toEqual([true, true])
    expect(Object.keys(again.gate.holders)).toEqual(Object.keys(once.gate.holders))
    expect(again.gate.pace).toEqual(once.gate.pace)
    const doubled = fill(EMPTY_GATE, [ask(1), ask(1)])
    expect(names(doubled.admitted)).toEqual([1])
  })

  it('is kept through a pause and full limits by who has it', () => {
    const full = pause(fill(EMPTY_GATE, many(2)).gate, 'github', at(600))
    expect(fill(full, many(2)).admitted.map(({ already }) => already)).toEqual([true, true])
  })

  it('that was given back can be given again', () => {
    const full = fill(EMPTY_GATE, many(3)).gate
    const freed = leave(full, ['tornade-001-1-1'])
    expect(names(fill(freed, []).admitted)).toEqual([3])
  })

  it('is not freed by the leaving of somebody unknown', () => {
    const { gate } = fill(EMPTY_GATE, many(2))
    expect(leave(gate, ['tornade-999-1-1'])).toEqual(gate)
  })
})

describe('a deferred job', () => {
  const full = fill(EMPTY_GATE, many(5)).gate

  it('waits at the gate and is counted among the waiting', () => {
    expect(full.waiting[1]?.heads.map(({ jobKey }) => jobKey)).toEqual(['3-1', '4-1', '5-1'])
    expect(isAnyoneWaiting(full)).toBe(true)
    expect(isAnyoneWaiting(EMPTY_GATE)).toBe(false)
  })

  it('goes before a newcomer of its repository and priority', () => {
    const { admitted, denied } = fill(leave(full, ['tornade-001-1-1']), [ask(9)])
    expect(names(admitted)).toEqual([3])
    expect(names(denied)).toEqual([9])
  })

  it('goes before a newcomer even when nobody may start it in this round', () => {
    const freed = leave(full, ['tornade-001-1-1'])
    const { admitted, denied, wakeAt } = fill(freed, [ask(9)], LIMITS, { ...TERMS, take: 0 })
    expect(admitted).toEqual([])
    expect(denied[0]).toMatchObject({ message: 'Jobs that waited longer go first.' })
    expect(wakeAt).toBe(T0)
  })

  it('may be overtaken by one of higher priority', () => {
    const { admitted } = fill(leave(full, ['tornade-001-1-1']), [ask(9, { priority: 1 })])
    expect(names(admitted)).toEqual([9])
  })

  it('that needs no runner any more is forgotten with its place in line', () => {
    expect(leave(full, ['tornade-003-1-1', 'tornade-004-1-1', 'tornade-005-1-1']).waiting).toEqual({})
  })

  it('is forgotten without the place that it got meanwhile', () => {
    const gate = {
      ...EMPTY_GATE,
      holders: {
        a: { repository: 1, role: null, since: 0, jobKey: 'a', by: 'm', reservedMicroUsd: 9 },
      },
    }
    expect(forget(gate, ['a', 'b'])).toEqual(gate)
  })

  it('that asks again keeps its place in line', () => {
    expect(fill(full, [ask(3)]).gate.waiting).toEqual(full.waiting)
  })

  it('beyond the heads of a line waits in the ledger, and is fetched when the line runs short', () => {
    const crowd = fill(EMPTY_GATE, many(2 + HEADS_PER_REPOSITORY + 5)).gate
    expect(crowd.waiting[1]).toMatchObject({ more: true })
    expect(crowd.waiting[1]?.heads).toHaveLength(HEADS_PER_REPOSITORY)
    expect(linesToRefill(crowd)).toEqual([])
    const gone = many(HEADS_PER_REPOSITORY / 2, {}, 3).map(({ runner }) => runner)
    const short = leave(crowd, gone)
    expect(linesToRefill(short)).toEqual(['1'])
    const rest = many(15, {}, 13).map(request => ({ ...request, notBefore: null }))
    const refilled = refill(short, '1', rest, false)
    expect(names(refilled.waiting[1]!.heads)).toEqual(names(many(15, {}, 13)))
    expect(refilled.waiting[1]?.more).toBe(false)
  })

  it('in the ledger is not overtaken by a newcomer while its line is empty', () => {
    const line = { name: null, heads: [], more: true }
    const { admitted, gate } = fill({ ...EMPTY_GATE, waiting: { 1: line } }, [
      ask(9),
      ask(8, { repositoryId: 2 }),
    ])
    expect(names(admitted)).toEqual([8])
    expect(linesToRefill(gate)).toEqual(['1'])
  })

  it('is not brought to the gate twice, nor while it holds a place', () => {
    const refilled = refill(
      full,
      '1',
      many(5).map(request => ({ ...request, notBefore: null })),
      false,
    )
    expect(refilled.waiting).toEqual(full.waiting)
  })

  it('leaves no line behind when there was nobody to fetch', () => {
    const stale: Gate = { ...EMPTY_GATE, waiting: { 1: { name: null, heads: [], more: true } } }
    expect(refill(stale, '1', [], false).waiting).toEqual({})
  })

  it('without capacity holds nothing, and waits for its time', () => {
    const gate = stepBack(fill(EMPTY_GATE, [ask(1)]).gate, ask(1), at(15))
    expect(gate.holders).toEqual({})
    const early = admit(gate, [], LIMITS, at(14), TERMS)
    expect(early).toMatchObject({ admitted: [], wakeAt: at(15) })
    expect(names(admit(gate, [], LIMITS, at(15), TERMS).admitted)).toEqual([1])
  })

  it('without capacity keeps nobody else of its repository from the gate', () => {
    let gate = EMPTY_GATE
    for (const request of many(2 * HEADS_PER_REPOSITORY)) gate = stepBack(gate, request, at(3600))
    const { admitted, denied } = fill(gate, [ask(900), ask(901), ask(902)])
    expect(names(admitted)).toEqual([900, 901])
    const { waiting } = fill(gate, [ask(900), ask(901), ask(902)]).gate
    expect(names(denied)).toEqual([902])
    expect(names(waiting[1]!.heads)).toContain(902)
  })

  it('keeps its own time when it comes back from the ledger', () => {
    const gate: Gate = { ...EMPTY_GATE, waiting: { 1: { name: null, heads: [], more: true } } }
    const refilled = refill(gate, '1', [{ ...ask(1), notBefore: at(300) }], false)
    expect(admit(refilled, [], LIMITS, at(299), TERMS)).toMatchObject({ admitted: [], wakeAt: at(300) })
  })
})

describe('among repositories', () => {
  it('the one with the fewest runners goes first, then the oldest job', () => {
    const requests = [...many(3), ask(7, { repositoryId: 2 }), ask(6, { repositoryId: 3 })]
    expect(names(fill(EMPTY_GATE, requests, { runners: 4, perRepository: 4 }).admitted)).toEqual([1, 6, 7, 2])
  })

  it('priority goes before everything', () => {
    const requests = [
      ...many(3),
      ask(9, { repositoryId: 2, priority: 5 }),
      ask(10, { repositoryId: 2, priority: 5 }),
    ]
    expect(names(fill(EMPTY_GATE, requests, { runners: 3, perRepository: 3 }).admitted)).toEqual([9, 10, 1])
  })

  it('two hundred jobs of one do not starve five of another', () => {
    const line = new Line({ runners: 10, perRepository: 10 }, T0)
    line.ask(Array.from({ length: 200 }, () => ({ repository: 1, priority: 0 })))
    line.pass(1000)
    const five = line.ask(Array.from({ length: 5 }, () => ({ repository: 2, priority: 0 })))
    for (let count = 0; count < 5; count++) {
      line.leave(line.holding.find(runner => !five.includes(runner))!)
      line.pass(1000)
    }
    expect(line.holding).toEqual(expect.arrayContaining(five))
    expect(line.faults).toEqual([])
  })
})

describe("GitHub's pace", () => {
  it('is kept by leaving the rest for later, with a message that comes then', () => {
    const crowd = many(JIT_CONFIGS_PER_MINUTE + 30)
    const { admitted, denied, wakeAt } = fill(EMPTY_GATE, crowd, ROOMY)
    expect(admitted).toHaveLength(JIT_CONFIGS_PER_MINUTE)
    expect(denied[0]).toMatchObject({ reason: 'github-pace', notBefore: null })
    expect(wakeAt).toBe(at(61))
  })

  it('is not spent by a job that was not started', () => {
    const full = fill(EMPTY_GATE, many(JIT_CONFIGS_PER_MINUTE), ROOMY)
    const back = stepBack(full.gate, many(1)[0]!, at(5))
    expect(fill(back, [ask(9999)], ROOMY).admitted).toHaveLength(1)
    expect(fill(full.gate, [ask(9999)], ROOMY).admitted).toHaveLength(0)
  })

  it('is never exceeded: no more than 180 in any 60 seconds', () => {
    const step = fc.record({
      count: fc.integer({ min: 1, max: 120 }),
      after: fc.integer({ min: 0, max: 40_000 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: 'max' }), steps => {
        const line = new Line(ROOMY, T0)
        for (const { count, after } of steps) {
          line.ask(Array.from({ length: count }, () => ({ repository: 1, priority: 0 })))
          line.pass(after)
        }
        expect(densest(line.given, 60_000)).toBeLessThanOrEqual(180)
        expect(line.faults).toEqual([])
      }),
      { numRuns: 15 },
    )
  })
})

describe('a pause', () => {
  it('keeps everybody waiting until it is over, with a message that comes then', () => {
    const paused = pause(EMPTY_GATE, 'github', at(60))
    const { admitted, denied, gate, wakeAt } = fill(paused, [ask(1)])
    expect(admitted).toEqual([])
    expect(denied).toMatchObject([{ reason: 'paused', notBefore: at(60) }])
    expect(wakeAt).toBe(at(60))
    expect(names(admit(gate, [], LIMITS, at(60), TERMS).admitted)).toEqual([1])
  })

  it('is not shortened by a shorter one, and is forgotten when it is over', () => {
    const paused = pause(pause(EMPTY_GATE, 'github', at(60)), 'github', at(30))
    expect(paused.pauses).toEqual({ github: at(60) })
    expect(admit(paused, [], LIMITS, at(61), TERMS).gate.pauses).toEqual({})
  })

  it('of many hours is waited for in messages that can be sent', () => {
    const paused = pause(EMPTY_GATE, 'github', at(7200))
    const first = fill(paused, [ask(1)])
    expect(first.wakeAt).toBe(at(900))
    expect(admit(first.gate, [], LIMITS, at(900), TERMS).wakeAt).toBe(at(1800))
  })
})

describe('a wake message', () => {
  it('is not sent twice for the same time', () => {
    const paused = pause(EMPTY_GATE, 'github', at(60))
    const first = fill(paused, [ask(1)])
    expect(fill(first.gate, [ask(2)]).wakeAt).toBeNull()
  })

  it('is sent for the jobs that one invocation cannot start', () => {
    const gate = leave(fill(EMPTY_GATE, many(4)).gate, ['tornade-001-1-1', 'tornade-002-1-1'])
    expect(fill(gate, [], LIMITS, { ...TERMS, take: 1 })).toMatchObject({ wakeAt: T0 })
    expect(fill(gate, [], LIMITS, { ...TERMS, take: 2 })).toMatchObject({ wakeAt: null })
  })

  it('is not needed where a runner that ends will do', () => {
    expect(fill(EMPTY_GATE, many(9)).wakeAt).toBeNull()
    expect(fill(EMPTY_GATE, [ask(1), ask(2), ask(3)]).wakeAt).toBeNull()
  })
})

describe('a message that is delivered again', () => {
  const gate = leave(fill(EMPTY_GATE, many(5)).gate, ['tornade-001-1-1', 'tornade-002-1-1'])
  const woken = fill(gate, [], LIMITS, { ...TERMS, by: 'wake' })

  it('carries on with everybody that it admitted', () => {
    expect(names(woken.admitted)).toEqual([3, 4])
    const again = fill(woken.gate, [], LIMITS, { ...TERMS, by: 'wake', redelivered: new Set(['wake']) })
    expect(again.admitted.map(({ runner, already }) => [runner, already])).toEqual([
      ['tornade-003-1-1', true],
      ['tornade-004-1-1', true],
    ])
  })

  it('carries on with nobody else', () => {
    const again = fill(woken.gate, [], LIMITS, { ...TERMS, by: 'other', redelivered: new Set(['other']) })
    expect(again.admitted).toEqual([])
  })
})

describe('the limit of a role', () => {
  const limits: AdmissionLimits = { ...ROOMY, roles: { deploy: 1 } }
  const deploy = (number: number, over: Partial<PlaceRequest> = {}) =>
    ask(number, { role: 'deploy', ...over })

  it('holds across repositories, and for no other role', () => {
    const { admitted, denied } = fill(
      EMPTY_GATE,
      [deploy(1), deploy(2, { repositoryId: 2 }), ask(3, { role: 'release' }), ask(4)],
      limits,
    )
    expect(names(admitted)).toEqual([1, 3, 4])
    expect(denied).toMatchObject([{ jobKey: '2-1', reason: 'role-limit', notBefore: null }])
  })

  it('has a line of its own, so that a long one keeps no other job of the repository from the gate', () => {
    const crowd = Array.from({ length: 3 * HEADS_PER_REPOSITORY }, (_, index) => deploy(index + 1))
    const { gate } = fill(EMPTY_GATE, crowd, limits)
    expect(gate.waiting['1/deploy']).toMatchObject({ name: 'acme/r1', more: true })
    expect(names(fill(gate, [ask(900)], limits).admitted)).toEqual([900])
    expect(names(fill(gate, [deploy(901)], limits).admitted)).toEqual([])
  })
})

describe('an exception of a repository', () => {
  it('holds instead of the limit, for newcomers and for who waits', () => {
    const limits: AdmissionLimits = {
      runners: 9,
      perRepository: 3,
      repositories: { 'acme/r1': { runners: 1 } },
    }
    const { gate, admitted, denied } = fill(
      EMPTY_GATE,
      [...many(2), ...many(4, { repositoryId: 2 }, 5)],
      limits,
    )
    expect(names(admitted).sort()).toEqual([1, 5, 6, 7])
    expect(denied.map(({ message }) => message)).toEqual([
      'This repository uses all of its 1 runners (repositories.acme/r1.runners).',
      'This repository uses all of its 3 runners (limits.perRepository).',
    ])
    expect(fill(gate, [], limits).admitted).toEqual([])
    expect(names(fill(gate, [], { ...limits, repositories: {} }).admitted)).toEqual([2])
  })
})

describe('an exception of a repository whose name GitHub writes in another case', () => {
  it('holds all the same', () => {
    const limits = { ...LIMITS, repositories: { 'acme/app': { runners: 1 } } }
    const { denied } = fill(EMPTY_GATE, many(2, { repository: 'Acme/App' }), limits)
    expect(denied.map(({ reason }) => reason)).toEqual(['repository-limit'])
  })
})

describe('starts per hour', () => {
  const limits: AdmissionLimits = { ...ROOMY, startsPerHour: 2 }

  it('are waited for with a message that comes when there is room, also when all runners have left', () => {
    const { gate, denied, wakeAt } = fill(EMPTY_GATE, many(3), limits)
    expect(denied).toMatchObject([{ reason: 'starts-per-hour', notBefore: null }])
    expect(wakeAt).toBe(at(900))
    const idle = leave(gate, ['tornade-001-1-1', 'tornade-002-1-1'])
    expect(admit({ ...idle, wakeAt: null }, [], limits, at(3599), TERMS)).toMatchObject({
      admitted: [],
      wakeAt: at(3900),
    })
    const { admitted, gate: later } = admit(idle, [], limits, at(3900), TERMS)
    expect(names(admitted)).toEqual([3])
    expect(later.starts).toEqual({ 1: [{ at: at(3900), count: 1 }] })
  })

  it('do not count a runner for which there was no capacity', () => {
    const full = fill(EMPTY_GATE, many(2), limits).gate
    const back = stepBack(full, ask(1), at(60))
    expect(back.starts).toEqual({ 1: [{ at: T0, count: 1 }] })
    expect(stepBack(back, ask(1), at(60)).starts).toEqual(back.starts)
  })

  it('are not written down where nothing limits them', () => {
    expect(fill(EMPTY_GATE, many(2), ROOMY).gate.starts).toEqual({})
  })
})

describe('a spend cap', () => {
  const spend = { monthlyMicroUsd: null, dailyMicroUsd: 100, onCap: 'block' } as const
  const limits: AdmissionLimits = { ...ROOMY, spend }
  const dear = (number: number, reserveMicroUsd: number, over: Partial<PlaceRequest> = {}) =>
    ask(number, { reserveMicroUsd, ...over })
  const NOVEMBER_3 = Date.UTC(2026, 10, 3)

  it('counts what is reserved until the runner has left, and then what it did cost', () => {
    const { gate, denied } = fill(EMPTY_GATE, [dear(1, 60), dear(2, 60)], limits)
    expect(denied).toMatchObject([{ reason: 'spend-limit', notBefore: null }])
    const bill = new Map([['tornade-001-1-1', { at: at(60), microUsd: 7 }]])
    const left = leave(gate, ['tornade-001-1-1'], bill)
    expect(left.spent).toEqual({ '2026-11-02': 7, '2026-11': 7 })
    expect(names(fill(left, [], limits).admitted)).toEqual([2])
    expect(leave(left, ['tornade-001-1-1'], bill).spent).toEqual(left.spent)
  })

  it('books the whole reservation of a runner of which nobody knows what it did cost', () => {
    const { gate } = fill(EMPTY_GATE, [dear(1, 60)], limits)
    const bill = new Map([['tornade-001-1-1', { at: at(60), microUsd: null }]])
    expect(leave(gate, ['tornade-001-1-1'], bill).spent['2026-11']).toBe(60)
  })

  it('books nothing for a place on which nothing was started', () => {
    const { gate } = fill(EMPTY_GATE, [dear(1, 60)], limits)
    expect(leave(gate, ['tornade-001-1-1']).spent).toEqual({})
    expect(stepBack(gate, dear(1, 60), at(15)).spent).toEqual({})
  })

  it('books a stop that is told late to its own day, and remembers two of each', () => {
    let gate: Gate = EMPTY_GATE
    const stops = [Date.UTC(2026, 8, 30), Date.UTC(2026, 9, 31), Date.UTC(2026, 10, 2), Date.UTC(2026, 10, 1)]
    for (const [index, stop] of stops.entries()) {
      gate = fill(gate, [dear(index, 10)]).gate
      const runner = ask(index).runner
      gate = leave(gate, [runner], new Map([[runner, { at: stop, microUsd: index + 1 }]]))
    }
    expect(gate.spent).toEqual({ '2026-11-02': 3, '2026-11-01': 4, '2026-11': 7, '2026-10': 2 })
  })

  it('keeps small jobs from the money that a large one waits for', () => {
    const { gate } = fill(EMPTY_GATE, [dear(1, 40), dear(2, 90)], limits)
    const { admitted, denied } = fill(gate, [dear(3, 5), dear(4, 5, { repositoryId: 2 })], limits)
    expect(names(admitted)).toEqual([4])
    expect(denied).toMatchObject([{ jobKey: '3-1', reason: 'spend-limit' }])
  })

  it('sets aside until the next day what this one cannot pay any more, and lets others go', () => {
    const spent = { '2026-11-02': 50 }
    const { gate, admitted, denied } = fill({ ...EMPTY_GATE, spent }, [dear(1, 60), dear(2, 20)], limits)
    expect(names(admitted)).toEqual([2])
    expect(denied).toMatchObject([{ jobKey: '1-1', notBefore: NOVEMBER_3 }])
    expect(gate.waiting[1]?.heads).toMatchObject([{ notBefore: NOVEMBER_3 }])
    const left = leave(gate, ['tornade-002-1-1'])
    expect(names(admit(left, [], limits, NOVEMBER_3, TERMS).admitted)).toEqual([1])
  })

  it('sets aside who waits already when the money goes, and says so, but no more than can be told at once', () => {
    const { gate } = fill(EMPTY_GATE, [dear(1, 90), dear(2, 60), dear(3, 60)], limits)
    const bill = new Map([['tornade-001-1-1', { at: at(60), microUsd: 80 }]])
    const left = leave(gate, ['tornade-001-1-1'], bill)
    const { denied, wakeAt } = fill(left, [], limits, { ...TERMS, take: 1 })
    expect(denied).toMatchObject([{ jobKey: '2-1', reason: 'spend-limit', notBefore: NOVEMBER_3 }])
    expect(wakeAt).toBe(T0)
  })

  it('has no hope for a job that no day can pay, nor for one that GitHub gives up before', () => {
    const { gate, hopeless, denied } = fill(EMPTY_GATE, [dear(1, 101)], limits)
    expect(hopeless).toMatchObject([{ jobKey: '1-1', message: expect.stringContaining('spend.dailyUsd') }])
    expect([denied, gate.waiting]).toEqual([[], {}])
    const old = dear(2, 60, { since: T0 - 10 * 3_600_000 })
    expect(fill({ ...EMPTY_GATE, spent: { '2026-11-02': 50 } }, [old], limits).hopeless).toMatchObject([
      { jobKey: '2-1', message: expect.stringContaining('2026-11-03 00:00 UTC') },
    ])
  })

  it('knows nothing of an unknown price', () => {
    const spent = { '2026-11-02': 100 }
    expect(names(fill({ ...EMPTY_GATE, spent }, [dear(1, 0)], limits).admitted)).toEqual([1])
  })

  it('that only warns lets everybody go, and says so once a day', () => {
    const warns: AdmissionLimits = { ...ROOMY, spend: { ...spend, onCap: 'warn' } }
    const first = fill(EMPTY_GATE, [dear(1, 90), dear(2, 90)], warns)
    expect(names(first.admitted)).toEqual([1, 2])
    expect(first.overSpend).toBe(1)
    expect(first.warnings).toEqual([
      'The cap of $0.0001 a day (spend.dailyUsd) is passed: $0.0000 are spent, $0.0001 reserved.',
    ])
    const second = fill(first.gate, [dear(3, 90)], warns)
    expect([second.overSpend, second.warnings]).toEqual([1, []])
    expect(admit(second.gate, [dear(4, 90)], warns, NOVEMBER_3, TERMS).warnings).toHaveLength(1)
  })
})

describe('a reservation', () => {
  it('is the longest life and what ending it takes, at the price of the dearest capacity', () => {
    const onDemand = reservation(spec({ timeoutMinutes: 55 }), 'us-east-1', ['on-demand'])
    // 55 minutes, and 5 until an overdue one is gone.
    const { microUsd } = perMinute(shapeOf(spec(), ON_DEMAND), 'us-east-1')
    expect(onDemand).toBe(Math.ceil(60 * microUsd!))
    expect(reservation(spec({ timeoutMinutes: 55, capacity: 'spot' }), 'us-east-1', ['on-demand'])).toBe(
      onDemand,
    )
    expect(
      reservation(spec({ timeoutMinutes: 55, capacity: 'spot-only' }), 'us-east-1', ['on-demand']),
    ).toBeLessThan(onDemand)
  })

  it('of a build has the time that it may queue, and that of a runner which may stand in a pool the wait there', () => {
    const builds = spec({ compute: 'codebuild', capacity: null, timeoutMinutes: 55 })
    const ofBuild = perMinute(shapeOf(builds, CODEBUILD), 'us-east-1').microUsd!
    expect(reservation(builds, 'us-east-1', [])).toBe(75 * ofBuild)
    const ofTask = perMinute(shapeOf(spec(), ON_DEMAND), 'us-east-1').microUsd!
    expect(reservation(spec({ timeoutMinutes: 55 }), 'us-east-1', [], 240)).toBe(Math.ceil(300 * ofTask))
  })

  it('of an unknown price is nothing', () => {
    expect(reservation(spec(), 'eu-north-1', ['on-demand'])).toBe(0)
  })
})

describe('a place that is given to a deferred job while somebody asks for it', () => {
  it('is not given back by who gave it and found no use for it', () => {
    const waiting = fill(fill(EMPTY_GATE, [ask(1)], { runners: 1, perRepository: 1 }).gate, [ask(2)], {
      runners: 1,
      perRepository: 1,
    }).gate
    const woken = admit(waiting, [], ROOMY, at(2), { ...TERMS, by: 'the wake' })
    expect(names(woken.admitted)).toEqual([2])
    const asked = admit(woken.gate, [{ ...ask(2), by: 'the relaunch' }], ROOMY, at(3), TERMS)
    expect(asked.admitted).toMatchObject([{ already: true, by: 'the relaunch' }])
    const { runner } = asked.admitted[0]!
    const back = (by: string) => forgo(asked.gate, [runner], new Map([[runner, by]]))
    expect(back('the wake').holders).toHaveProperty([runner])
    expect(back('the relaunch').holders).not.toHaveProperty([runner])
  })

  it('is not left by who gave it and found no capacity, when somebody else has carried on with it', () => {
    const given = admit(EMPTY_GATE, [{ ...ask(1), by: 'the job' }], ROOMY, at(1), TERMS)
    const again = admit(given.gate, [{ ...ask(1), by: 'its twin' }], ROOMY, at(3), TERMS)
    const { runner } = again.admitted[0]!
    const back = (by: string) => stepBack(again.gate, ask(1), at(60), new Map([[runner, by]]))
    expect(back('the job')).toBe(again.gate)
    expect(back('its twin').holders).toEqual({})
  })
})

describe('a job that is held back', () => {
  const heldBack = { reason: 'replacement-limit', message: 'Later.', notBefore: at(300) } as const

  it('gets no place that is free, and is let in at its time', () => {
    const { gate, admitted, denied, wakeAt } = fill(EMPTY_GATE, [ask(1, { heldBack })])
    expect(admitted).toEqual([])
    expect(denied).toEqual([{ runner: 'tornade-001-1-1', jobKey: '1-1', ...heldBack }])
    expect(wakeAt).toBe(at(300))
    expect(names(admit(gate, [], LIMITS, at(300), TERMS).admitted)).toEqual([1])
  })
})

describe('whatever happens', () => {
  const repository = fc.integer({ min: 1, max: 4 })
  const priority = fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constant(1) },
  )
  const role = fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom('deploy', 'release') },
  )
  const reserveMicroUsd = fc.integer({ min: 0, max: 40 })
  const costs = fc.constantFrom(0, 0.1, 0.5, 1)
  const index = fc.nat({ max: 10_000 })
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        ask: fc.array(fc.record({ repository, priority, role, reserveMicroUsd, costs }), {
          minLength: 1,
          maxLength: 30,
        }),
      }),
    },
    { weight: 6, arbitrary: fc.record({ leave: index }) },
    { weight: 1, arbitrary: fc.record({ cancel: index }) },
    { weight: 2, arbitrary: fc.record({ again: index }) },
    { weight: 2, arbitrary: fc.record({ leaveAgain: index }) },
    {
      weight: 2,
      arbitrary: fc.record({ stepBack: index, milliseconds: fc.integer({ min: 1000, max: 300_000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ pause: fc.integer({ min: 1000, max: 5_000_000 }) }) },
    { weight: 6, arbitrary: fc.record({ pass: fc.integer({ min: 0, max: 70_000 }) }) },
    { weight: 1, arbitrary: fc.record({ pass: fc.integer({ min: 0, max: 30 * 3_600_000 }) }) },
  )
  const cap = fc.option(fc.integer({ min: 20, max: 600 }), { nil: null })
  const limits: fc.Arbitrary<AdmissionLimits> = fc.record({
    runners: fc.integer({ min: 1, max: 60 }),
    perRepository: fc.integer({ min: 1, max: 40 }),
    startsPerHour: fc.option(fc.integer({ min: 1, max: 60 }), { nil: null }),
    roles: fc.constantFrom({}, { deploy: 1 }, { deploy: 3, release: 1 }),
    repositories: fc.constantFrom(
      {},
      { 'acme/r1': { runners: 1 }, 'acme/r2': { runners: 50, startsPerHour: 2 } },
    ),
    spend: fc.option(
      fc.record({ monthlyMicroUsd: cap, dailyMicroUsd: cap, onCap: fc.constantFrom('block', 'warn') }),
      { nil: null },
    ),
  })

  it('no cap is exceeded, nobody is overtaken, and the gate knows who holds what', () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 80, size: 'max' }), (most, steps) => {
        const line = new Line(most, T0)
        for (const one of steps) take(line, one)
        expect(line.faults).toEqual([])
        expect(densest(line.given, 60_000)).toBeLessThanOrEqual(180)
      }),
      { numRuns: 200 },
    )
  })

  it('nobody waits for ever: messages under way and runners that end are enough to let all in', () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 80, size: 'max' }), (most, steps) => {
        const line = new Line(most, T0)
        for (const one of steps) take(line, one)
        for (let turns = 0; line.waiting.length > 0 && turns < 10_000; turns++) {
          if (line.wakes.length > 0) line.pass(Math.max(0, Math.min(...line.wakes) - line.now))
          else if (line.holding.length > 0) line.leave(line.holding[0]!)
          else break
        }
        expect(line.waiting).toEqual([])
        expect(line.faults).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('the gate stays small enough for one item', () => {
    const line = new Line({ runners: 100, perRepository: 50 }, T0)
    for (let repositoryId = 1; repositoryId <= 25; repositoryId++) {
      line.ask(Array.from({ length: 60 }, () => ({ repository: repositoryId, priority: 0 })))
      line.pass(10)
    }
    expect(Buffer.byteLength(JSON.stringify(line.gate))).toBeLessThan(400_000)
    while (line.holding.length > 0) {
      line.leave(line.holding[0]!)
      line.pass(2000)
    }
    expect(line.waiting).toEqual([])
    expect(line.gate).toMatchObject({ holders: {}, waiting: {} })
  })

  function take(line: Line, one: typeof step extends fc.Arbitrary<infer Step> ? Step : never): void {
    const pick = (list: readonly string[], number: number) => list[number % Math.max(1, list.length)] ?? ''
    if ('ask' in one) line.ask(one.ask)
    else if ('leave' in one) line.leave(pick(line.holding, one.leave))
    else if ('cancel' in one) line.leave(pick(line.waiting, one.cancel))
    else if ('leaveAgain' in one) line.leaveAgain(pick(line.gone, one.leaveAgain))
    else if ('again' in one) line.askAgain(pick([...line.holding, ...line.waiting], one.again))
    else if ('stepBack' in one) line.stepBack(pick(line.holding, one.stepBack), one.milliseconds)
    else if ('pause' in one) line.pause(one.pause)
    else line.pass(one.pass)
  }
})
