import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EMPTY_GATE, HEADS_PER_REPOSITORY } from '../functions/core/admission.ts'
import { type Sight, type SweepAction, sweepActions } from '../functions/core/sweep.ts'
import type { Gate, Job, Runner, WaitingHead } from '../functions/core/types.ts'
import { at, claimOf, job, REF, RUNNER, request, runner, T0 } from './support/facts.ts'

const LIMITS = { runner: { lifeMinutes: 360, idleMinutes: 5 } }
const MINUTE = 60

function look(sight: Partial<Sight>, seconds: number): SweepAction[] {
  return sweepActions({ jobs: [], runners: [], gate: EMPTY_GATE, ...sight }, LIMITS, at(seconds))
}

const RAN = { key: '41-1', startedAt: at(30), completedAt: null, publicRepository: false }
const launching = (over: Partial<Job> = {}) =>
  job({ claim: claimOf({ leaseUntil: at(90) }), runner: RUNNER, ...over })
const deferred = (over: Partial<Job> = {}) =>
  job({
    deferred: {
      since: T0,
      reason: 'total-limit',
      message: '',
      notBefore: null,
      runner: RUNNER,
      cause: 'job',
    },
    ...over,
  })

describe('a job', () => {
  it('that nobody took up is queued again, not before five minutes have passed', () => {
    expect(look({ jobs: [job()] }, 5 * MINUTE)).toEqual([])
    expect(look({ jobs: [job()] }, 5 * MINUTE + 1)).toEqual([{ kind: 'queue-again', jobKey: '41-1' }])
  })

  it('that was to have the runner of another, which is gone, gets one of its own', () => {
    const paired = job({ runner: 'tornade-40-1-1' })
    expect(look({ jobs: [paired] }, 5 * MINUTE + 1)).toEqual([
      { kind: 'relaunch', jobKey: '41-1', after: 'tornade-40-1-1' },
    ])
    const coming = runner({ name: 'tornade-40-1-1', startedAt: at(20), for: '41-1' })
    expect(look({ jobs: [paired], runners: [coming] }, 4 * MINUTE)).toEqual([])
  })

  it('whose gate opened late is not late itself', () => {
    const opened = job({ gatedAt: T0, queuedAt: at(3600) })
    expect(look({ jobs: [opened] }, 3660)).toEqual([])
  })

  it('whose claim was interrupted is carried on once its lease is over', () => {
    expect(look({ jobs: [launching()] }, 89)).toEqual([])
    expect(look({ jobs: [launching()] }, 90)).toEqual([{ kind: 'resume', jobKey: '41-1' }])
  })

  it('whose runner came up and is not armed is carried on as well', () => {
    const unarmed = runner({ registration: null, startedAt: at(20) })
    expect(look({ jobs: [launching()], runners: [unarmed] }, 100)).toEqual([
      { kind: 'resume', jobKey: '41-1' },
    ])
  })

  it('whose runner waits for it is left alone', () => {
    expect(look({ jobs: [launching()], runners: [runner({ startedAt: at(20) })] }, 4 * MINUTE)).toEqual([])
  })

  it('whose runner is gone gets another', () => {
    expect(look({ jobs: [launching()] }, 90 + 5 * MINUTE + 1)).toEqual([
      { kind: 'relaunch', jobKey: '41-1', after: RUNNER },
    ])
  })

  it('whose runner has long had another job gets another', () => {
    const taken = runner({ startedAt: at(20), job: { ...RAN, key: '42-1' } })
    const thief = job({ key: '42-1', started: { at: at(30), runner: REF }, runner: RUNNER })
    expect(look({ jobs: [launching(), thief], runners: [taken] }, 5 * MINUTE)).toEqual([])
    expect(look({ jobs: [launching(), thief], runners: [taken] }, 6 * MINUTE)).toEqual([
      { kind: 'relaunch', jobKey: '41-1', after: RUNNER },
    ])
  })

  it('that is final needs nothing', () => {
    const ended = { completed: { at: at(90), conclusion: 'success', startedAt: null, runner: null } }
    expect(
      look({ jobs: [launching(ended), job({ refused: { at: T0, code: 'labels', problems: [] } })] }, 9999),
    ).toEqual([])
  })
})

describe('a runner', () => {
  const idle = runner({ startedAt: at(20), for: null })

  it('that no job needs goes after a minute', () => {
    expect(look({ runners: [idle] }, 60)).toEqual([])
    expect(look({ runners: [idle] }, 61)).toEqual([{ kind: 'release', runner: RUNNER }])
  })

  it('that has been idle for too long goes, whoever it is meant for', () => {
    const sight = { jobs: [launching()], runners: [idle] }
    expect(look(sight, 20 + 7 * MINUTE)).toEqual([])
    expect(look(sight, 21 + 7 * MINUTE)).toEqual([{ kind: 'release', runner: RUNNER }])
  })

  it('that never came up goes as well', () => {
    expect(look({ jobs: [launching()], runners: [runner()] }, 12 * MINUTE)).toEqual([])
    expect(look({ jobs: [launching()], runners: [runner()] }, 12 * MINUTE + 1)).toEqual([
      { kind: 'release', runner: RUNNER },
    ])
  })

  it('that lives longer than it may is stopped, busy or not', () => {
    const stop = { kind: 'stop', runner: RUNNER, providerId: 'task-1', reason: 'longest life reached' }
    for (const facts of [{}, { job: RAN }, { deregisteredAt: at(60) }])
      expect(look({ runners: [runner({ startedAt: at(20), ...facts })] }, 362 * MINUTE + 1)).toEqual([stop])
    expect(look({ runners: [runner({ startedAt: at(20), job: RAN })] }, 362 * MINUTE)).toEqual([])
  })

  it('whose job ended long ago is stopped', () => {
    const done = runner({ startedAt: at(20), job: { ...RAN, completedAt: at(90) } })
    expect(look({ runners: [done] }, 6 * MINUTE)).toEqual([])
    expect(look({ runners: [done] }, 7 * MINUTE)).toEqual([
      { kind: 'stop', runner: RUNNER, providerId: 'task-1', reason: 'its job has ended' },
    ])
  })

  it('that is off GitHub is reminded to go, unless a job slipped in', () => {
    const off = { startedAt: at(20), deregisteredAt: at(60) }
    expect(look({ runners: [runner(off)] }, 3 * MINUTE)).toEqual([])
    expect(look({ runners: [runner(off)] }, 4 * MINUTE)).toEqual([{ kind: 'release', runner: RUNNER }])
    expect(look({ runners: [runner({ ...off, stopRequestedAt: at(150) })] }, 4 * MINUTE)).toEqual([])
    expect(look({ runners: [runner({ ...off, job: RAN })] }, 4 * MINUTE)).toEqual([])
  })

  it('of which only AWS has told is nothing to act on yet, and goes when nobody has claimed it for long', () => {
    const unclaimed = runner({ launch: null, registration: null, startedAt: at(20) })
    expect(look({ runners: [unclaimed, runner({ providerId: null })] }, 20 + 5 * MINUTE)).toEqual([])
    expect(look({ runners: [unclaimed] }, 21 + 5 * MINUTE)).toEqual([{ kind: 'release', runner: RUNNER }])
  })
})

describe('the gate', () => {
  const holder = (jobKey: string, since = 0) => ({
    repository: 7001,
    role: null,
    since: at(since),
    jobKey,
    by: 'm1',
    reservedMicroUsd: 0,
  })
  const head = (over: Partial<WaitingHead> = {}): WaitingHead => ({
    jobKey: '41-1',
    runner: RUNNER,
    role: null,
    priority: 0,
    since: T0,
    notBefore: null,
    reserveMicroUsd: 0,
    ...over,
  })
  const gate = (over: Partial<Gate>): Gate => ({ ...EMPTY_GATE, ...over })
  const held = gate({ holders: { [RUNNER]: holder('41-1') } })

  it('keeps the places of runners that live, and of starts that are under way', () => {
    expect(look({ gate: held, runners: [runner()], jobs: [launching()] }, 400)).toEqual([])
    expect(
      look({ gate: held, jobs: [launching({ claim: claimOf({ leaseUntil: at(1000) }) })] }, 900),
    ).toEqual([])
  })

  it('gets back the places of which no runner came', () => {
    expect(look({ gate: held }, 5 * MINUTE)).toEqual([])
    expect(look({ gate: held }, 5 * MINUTE + 1)).toEqual([{ kind: 'free', runners: [RUNNER] }])
  })

  it('gets back the place of a job that still waits: nobody came to start its runner', () => {
    const forgotten = deferred({ claim: claimOf({ leaseUntil: 0 }), runner: RUNNER })
    expect(look({ gate: held, jobs: [forgotten] }, 5 * MINUTE + 1)).toEqual([
      { kind: 'free', runners: [RUNNER] },
    ])
  })

  it('is told of deferred jobs that it has forgotten, and looked at', () => {
    expect(look({ jobs: [deferred()] }, 10)).toEqual([{ kind: 'refill', lines: ['7001'] }, { kind: 'wake' }])
  })

  it('is looked at while somebody waits there', () => {
    const waits = gate({ waiting: { 7001: { name: 'acme/app', heads: [head()], more: false } } })
    expect(look({ gate: waits, jobs: [deferred()] }, 10)).toEqual([{ kind: 'wake' }])
  })

  it('need not be told of jobs for which its line has no room', () => {
    const heads = Array.from({ length: HEADS_PER_REPOSITORY }, (_, index) =>
      head({ jobKey: `${index}-1`, runner: `tornade-${index}-1-1` }),
    )
    const full = gate({ waiting: { 7001: { name: 'acme/app', heads, more: true } } })
    expect(look({ gate: full, jobs: [deferred()] }, 10)).toEqual([{ kind: 'wake' }])
  })
})

describe('whatever is seen', () => {
  it('gives the same steps for the same sight, and leaves the young alone', () => {
    const time = fc.option(fc.integer({ min: 0, max: 8000 }).map(at))
    const anyRunner = fc
      .record({
        startedAt: time,
        deregisteredAt: time,
        stopRequestedAt: time,
        job: fc.option(fc.record({ startedAt: fc.constant(at(30)), completedAt: time })),
      })
      .map(({ job: ran, ...facts }) => runner({ ...facts, job: ran && { ...RAN, ...ran } }))
    const anyJob = fc
      .record({ claimed: fc.boolean(), started: fc.boolean(), ended: fc.boolean(), deferred: fc.boolean() })
      .map(facts => {
        const base = facts.deferred ? deferred() : job()
        return {
          ...base,
          ...(facts.claimed ? { claim: claimOf(), runner: RUNNER } : {}),
          ...(facts.started ? { started: { at: at(30), runner: REF } } : {}),
          ...(facts.ended
            ? { completed: { at: at(90), conclusion: 'success', startedAt: null, runner: null } }
            : {}),
        }
      })
    fc.assert(
      fc.property(
        fc.array(anyJob, { maxLength: 3 }),
        fc.array(anyRunner, { maxLength: 3 }),
        fc.nat({ max: 9000 }),
        (jobs, runners, now) => {
          const keyed = jobs.map(
            (one, index): Job => ({ ...one, key: `${index}-1`, request: request({ key: `${index}-1` }) }),
          )
          const named = runners.map((one, index): Runner => ({ ...one, name: `tornade-${index}-1-1` }))
          const steps = look({ jobs: keyed, runners: named }, now)
          expect(look({ jobs: keyed, runners: named }, now)).toEqual(steps)
          if (now <= 60) expect(steps.filter(({ kind }) => !['refill', 'wake'].includes(kind))).toEqual([])
          // Nothing is asked for twice in one sweep.
          const asked = steps.map(step => JSON.stringify(step))
          expect(new Set(asked).size).toBe(asked.length)
        },
      ),
    )
  })
})
