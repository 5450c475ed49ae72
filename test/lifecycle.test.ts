import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  applyJobToRunner,
  applyRunnerEvent,
  applyToJob,
  isAvailable,
  isFinal,
  isRunner,
  jobState,
  needsRunner,
  newRunner,
  priced,
  readySince,
  runnerState,
  startedAs,
  withCost,
} from '../functions/core/lifecycle.ts'
import type { Job, JobEvent, Runner, RunnerEvent, RunnerLaunch } from '../functions/core/types.ts'
import {
  at,
  awsEvent,
  claimOf,
  completed,
  inProgress,
  job,
  launch,
  queued,
  REF,
  RUNNER,
  request,
  runner,
  T0,
  waiting,
} from './support/facts.ts'

const STOP = { code: 'EssentialContainerExited', reason: 'Essential container in task exited' }

describe('a job', () => {
  it('is made by whatever is heard of it first', () => {
    for (const event of [queued(), waiting(), inProgress(30), completed(60)])
      expect(applyToJob(undefined, event)).toMatchObject({ key: '41-1', version: 0, request: request() })
  })

  it('goes from queued over running to completed', () => {
    const first = applyToJob(undefined, queued())
    const second = applyToJob(first, inProgress(30))
    const third = applyToJob(second, completed(90))
    expect([first, second, third].map(jobState)).toEqual(['queued', 'running', 'completed'])
    expect([first, second, third].map(needsRunner)).toEqual([true, false, false])
    expect([first, second, third].map(isFinal)).toEqual([false, false, true])
  })

  it('waits behind a gate and needs no runner there', () => {
    const held = applyToJob(undefined, waiting())
    expect([jobState(held), needsRunner(held)]).toEqual(['waiting', false])
    const opened = applyToJob(held, queued(600))
    expect([jobState(opened), needsRunner(opened)]).toEqual(['queued', true])
    expect(readySince(opened)).toBe(at(600))
  })

  it('without a gate could have run since its creation', () => {
    expect(readySince(applyToJob(undefined, queued(12)))).toBe(T0)
  })

  it.each([
    [
      'refused above all',
      { refused: { at: T0, code: 'labels', problems: [] }, completed: ended() },
      'refused',
    ],
    ['cancelled', { completed: ended('cancelled') }, 'cancelled'],
    [
      'completed, whatever the conclusion',
      { completed: ended('failure'), deferred: deferral() },
      'completed',
    ],
    ['running before deferred', { started: { at: T0, runner: REF }, deferred: deferral() }, 'running'],
    ['deferred before launching', { deferred: deferral(), claim: claimOf() }, 'deferred'],
    ['launching', { claim: claimOf() }, 'launching'],
    ['queued', {}, 'queued'],
    ['waiting', { queuedAt: null }, 'waiting'],
  ] satisfies [string, Partial<Job>, string][])('is %s', (_, facts, state) => {
    expect(jobState(job(facts))).toBe(state)
  })

  it('is deferred no more once it runs or has ended', () => {
    expect(applyToJob(job({ deferred: deferral() }), inProgress(30)).deferred).toBeNull()
    expect(applyToJob(job({ deferred: deferral() }), completed(30, { runner: null })).deferred).toBeNull()
  })

  it('keeps the first of two starts, and the first of two ends', () => {
    const twice = [inProgress(30), inProgress(31), completed(90), completed(95, { conclusion: 'failure' })]
    const end = fold(twice)
    expect(end.job.started?.at).toBe(at(30))
    expect(end.job.completed).toMatchObject({ at: at(90), conclusion: 'success' })
  })

  it('that ended is known to have run when its end names a runner', () => {
    const done = applyToJob(undefined, completed(90, { startedAt: at(30) }))
    expect(done.started).toEqual({ at: at(30), runner: REF })
  })

  it('that no runner ever took has no start', () => {
    const event = completed(90, { conclusion: 'cancelled', runner: null })
    expect(applyToJob(applyToJob(undefined, queued()), event)).toMatchObject({ started: null, runner: null })
  })
})

describe('a runner', () => {
  it.each([
    ['starting', {}, 'starting', true],
    ['idle once its task runs', { startedAt: at(20) }, 'idle', true],
    ['not available before it is registered', { registration: null }, 'starting', false],
    ['busy', { startedAt: at(20), job: ran(30, null) }, 'busy', false],
    ['stopping when its job has ended', { startedAt: at(20), job: ran(30, 90) }, 'stopping', false],
    ['stopping once it is off GitHub', { startedAt: at(20), deregisteredAt: at(40) }, 'stopping', false],
    ['stopping when it was told to', { startedAt: at(20), stopRequestedAt: at(40) }, 'stopping', false],
    ['stopped', { startedAt: at(20), stoppedAt: at(40), deregisteredAt: at(30) }, 'stopped', false],
  ] satisfies [string, Partial<Runner>, string, boolean][])('is %s', (_, facts, state, available) => {
    expect(runnerState(runner(facts))).toBe(state)
    expect(isAvailable(runner(facts))).toBe(available)
  })

  it('is told from another one by its registration and its repository', () => {
    expect(isRunner(runner(), REF, 7001)).toBe(true)
    expect(isRunner(runner(), { ...REF, id: 8 }, 7001)).toBe(false)
    expect(isRunner(runner(), { ...REF, name: `${RUNNER}-r2` }, 7001)).toBe(false)
    expect(isRunner(runner(), REF, 7002)).toBe(false)
    // GitHub can be faster than our own write of the registration.
    expect(isRunner(runner({ registration: null }), REF, 7001)).toBe(true)
    expect(isRunner(runner({ registration: null, launch: null }), REF, 7001)).toBe(false)
  })

  it('may be known from AWS before our own write of it', () => {
    const early = applyRunnerEvent(undefined, awsEvent({ pullStartedAt: at(10), startedAt: at(20) }))
    expect(early).toMatchObject({ name: RUNNER, providerId: 'task-1', launch: null, cost: null })
    const stopped = applyRunnerEvent(early, awsEvent({ stoppedAt: at(80), stop: STOP }))
    expect(stopped.cost).toBeNull()
    expect(priced({ ...stopped, launch: launch() }).cost).toMatchObject({ billedMs: 70_000 })
  })

  it('is not changed by what happens to a second task or build of its name', () => {
    const known = applyRunnerEvent(undefined, awsEvent({ pullStartedAt: at(10), startedAt: at(20) }))
    const other = { providerId: 'task-2', pullStartedAt: at(5), stoppedAt: at(30), stop: STOP }
    expect(applyRunnerEvent(known, awsEvent(other))).toBe(known)
    // Our own write says which of the two it is.
    expect(startedAs(known, 'task-1', 'key')).toMatchObject({ startedAt: at(20), ticketKey: 'key' })
    const second = startedAs(known, 'task-2', 'key')
    expect(second).toMatchObject({ providerId: 'task-2', pullStartedAt: null, startedAt: null })
    expect(applyRunnerEvent(second, awsEvent(other))).toMatchObject({ stoppedAt: at(30) })
  })

  it('has a price when it has stopped, and its job pays its share', () => {
    const { job: paid, runner: dead } = fold([
      queued(),
      'launch',
      awsEvent({ pullStartedAt: at(10), startedAt: at(20) }),
      inProgress(30),
      completed(90),
      awsEvent({ pullStartedAt: at(10), startedAt: at(20), stoppedAt: at(100), stop: STOP }),
    ])
    expect(dead?.cost).toMatchObject({ billedMs: 90_000 })
    expect(paid.cost).toMatchObject({ runner: RUNNER, microUsd: dead?.cost?.jobMicroUsd })
  })

  it('is paid by no job but the one that it ran', () => {
    const other = runner({ stoppedAt: at(100), pullStartedAt: T0, job: { ...ran(10, 90), key: '42-1' } })
    expect(withCost(job(), other).cost).toBeNull()
  })
})

describe('the order of events', () => {
  it('makes no difference to job, runner and cost, doubled events included', () => {
    fc.assert(
      fc.property(
        history.chain(events => fc.tuple(fc.constant(events), disordered(events))),
        ([known, told]) => {
          expect(fold(told)).toEqual(fold(known))
        },
      ),
      { numRuns: 500 },
    )
  })

  it('never makes a final job open again, nor a stopped runner run', () => {
    fc.assert(
      fc.property(history.chain(disordered), told => {
        let final = false
        let stopped = false
        for (let count = 1; count <= told.length; count++) {
          const { job: known, runner: seen } = fold(told.slice(0, count))
          if (final) expect(isFinal(known)).toBe(true)
          if (stopped) expect(runnerState(seen!)).toBe('stopped')
          final = isFinal(known)
          stopped = seen !== undefined && runnerState(seen) === 'stopped'
        }
      }),
    )
  })
})

describe('any event', () => {
  it('is taken without a throw, and leaves one of the known states', () => {
    const states = 'waiting queued deferred launching running completed cancelled refused'.split(' ')
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 12 }), events => {
        const { job: known, runner: seen } = fold(events)
        expect(states).toContain(jobState(known))
        expect(['starting', 'idle', 'busy', 'stopping', 'stopped']).toContain(
          runnerState(seen ?? newRunner('x')),
        )
        if (seen?.cost) {
          const { totalMicroUsd, startupMicroUsd, jobMicroUsd, idleMicroUsd } = seen.cost
          expect(startupMicroUsd + jobMicroUsd + idleMicroUsd).toBe(totalMicroUsd)
        }
      }),
      { numRuns: 500 },
    )
  })
})

// What happens to a job and to the runner that it is given: deliveries, AWS events, and our own write of the launch.

type Told = JobEvent | RunnerEvent | 'launch'

function fold(events: readonly Told[]): { job: Job; runner: Runner | undefined } {
  let known: Job = { ...job(), queuedAt: null, spec: null }
  let seen: Runner | undefined
  for (const event of events) {
    if (event === 'launch') seen = launched(seen ?? newRunner(RUNNER), launch())
    else if (event.kind === 'runner') seen = applyRunnerEvent(seen, event)
    else {
      known = applyToJob(known, event)
      const took = (event.kind === 'in_progress' || event.kind === 'completed') && event.runner
      if (took) seen = applyJobToRunner(seen ?? newRunner(RUNNER), event)
    }
    if (seen) known = withCost(known, seen)
  }
  return { job: known, runner: seen }
}

function launched(known: Runner, facts: RunnerLaunch): Runner {
  return priced({ ...known, launch: facts, registration: { ...REF, at: T0 }, for: '41-1' })
}

const seconds = (least: number, most: number) =>
  fc.integer({ min: least * 1000, max: most * 1000 }).map(ms => ms / 1000)

/**
 * A whole life as far as it may come: the clocks of GitHub and AWS may be minutes apart, a doubled delivery may be
 * received later, and the start that `completed` names may not be the one that `in_progress` did.
 */
const history: fc.Arbitrary<Told[]> = fc
  .record({
    skew: seconds(-300, 300),
    gate: fc.boolean(),
    received: fc.array(seconds(0, 900), { minLength: 1, maxLength: 3 }),
    createdLate: fc.boolean(),
    start: fc.option(seconds(20, 120), { freq: 5 }),
    startAgain: seconds(20, 120),
    end: fc.option(seconds(100, 4000), { freq: 5 }),
    conclusion: fc.constantFrom('success', 'failure', 'cancelled'),
    launch: fc.boolean(),
    pull: seconds(5, 20),
    up: seconds(10, 40),
    stop: fc.option(seconds(40, 5000), { freq: 4 }),
  })
  .map(facts => {
    const { skew, start, end, pull, up, stop } = facts
    const task = { pullStartedAt: at(pull + skew), startedAt: at(up + skew) }
    return [
      ...(facts.gate ? [waiting(0)] : []),
      ...facts.received.map(second => queued(second, facts.createdLate ? { createdAt: at(second) } : {})),
      ...(facts.launch ? ['launch' as const] : []),
      awsEvent({ pullStartedAt: task.pullStartedAt }),
      awsEvent(task),
      ...(start === null ? [] : [inProgress(start)]),
      ...(end === null
        ? []
        : [
            completed(end, {
              conclusion: facts.conclusion,
              ...(start === null ? { runner: null } : { startedAt: at(facts.startAgain) }),
            }),
          ]),
      ...(stop === null
        ? []
        : [
            // The Spot warning: not stopped yet.
            awsEvent(task),
            awsEvent({ ...task, stoppedAt: at(stop + skew), stop: STOP }),
            awsEvent({ ...task, stoppedAt: at(stop + skew + 1), stop: { ...STOP, reason: 'said again' } }),
          ]),
    ]
  })

/** All of them in any order, some of them several times. */
function disordered(events: readonly Told[]): fc.Arbitrary<Told[]> {
  return fc
    .array(fc.constantFrom(...events), { maxLength: 6 })
    .chain(again => fc.shuffledSubarray([...events, ...again], { minLength: events.length + again.length }))
}

const anyTime = fc.oneof(
  fc.integer({ min: T0 - 86_400_000, max: T0 + 86_400_000 }),
  fc.constantFrom(
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.MAX_SAFE_INTEGER,
    Number.MAX_VALUE,
    1.5,
  ),
)
const maybeTime = fc.option(anyTime)
const anyRef = fc.record({ id: fc.oneof(fc.integer(), anyTime), name: fc.string() })
const anyRequest = fc.record({ key: fc.string(), createdAt: anyTime, name: fc.string() }).map(request)
const anyEvent: fc.Arbitrary<Told> = fc.oneof(
  fc.constant('launch' as const),
  fc.record({ kind: fc.constantFrom('queued', 'waiting'), at: anyTime, request: anyRequest }),
  fc.record({ kind: fc.constant('in_progress' as const), at: anyTime, request: anyRequest, runner: anyRef }),
  fc.record({
    kind: fc.constant('completed' as const),
    at: anyTime,
    request: anyRequest,
    conclusion: fc.string(),
    runner: fc.option(anyRef),
    startedAt: maybeTime,
  }),
  fc.record({
    kind: fc.constant('runner' as const),
    runner: fc.string(),
    providerId: fc.string(),
    pullStartedAt: maybeTime,
    startedAt: maybeTime,
    stoppingAt: maybeTime,
    stoppedAt: maybeTime,
    stop: fc.option(fc.record({ code: fc.string(), reason: fc.string() })),
  }),
)

function ended(conclusion = 'success'): Job['completed'] {
  return { at: at(90), conclusion, startedAt: null, runner: null }
}
function deferral(): Job['deferred'] {
  return { since: T0, reason: 'total-limit', message: 'full', notBefore: null, runner: RUNNER, cause: 'job' }
}
function ran(from: number, to: number | null): NonNullable<Runner['job']> {
  return {
    key: '41-1',
    startedAt: at(from),
    completedAt: to === null ? null : at(to),
    publicRepository: false,
  }
}
