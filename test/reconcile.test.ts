import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyRunnerEvent, MISSING } from '../functions/core/lifecycle.ts'
import { lostEvent, orphanVerdict, shouldHaveMoved } from '../functions/core/reconcile.ts'
import type { Runner } from '../functions/core/types.ts'
import { at, awsEvent, RUNNER, runner } from './support/facts.ts'

const LIMITS = { runner: { lifeMinutes: 360, idleMinutes: 5 } }
const MINUTE = 60
const RAN = { key: '41-1', startedAt: at(30), completedAt: null, publicRepository: false }

/** When a runner is asked about for the first time, in seconds after its launch. */
function overdueAt(over: Partial<Runner>): number | null {
  for (let seconds = 0; seconds < 30_000; seconds++)
    if (shouldHaveMoved(runner(over), LIMITS, at(seconds))) return seconds
  return null
}

describe('the provider is asked about a runner', () => {
  it.each<[string, Partial<Runner>, number | null]>([
    ['that starts for three minutes', {}, 3 * MINUTE],
    ['that is idle for longer than it may be', { startedAt: at(20) }, 6 * MINUTE + 20],
    [
      'whose job ended two minutes ago',
      { startedAt: at(20), job: { ...RAN, completedAt: at(90) } },
      90 + 2 * MINUTE,
    ],
    ['that was to stop three minutes ago', { startedAt: at(20), stopRequestedAt: at(60) }, 4 * MINUTE],
    ['that is over its age', { startedAt: at(20), job: RAN }, 362 * MINUTE + 1],
    ['that has stopped', { startedAt: at(20), stoppedAt: at(40) }, null],
    ['that has no task', { providerId: null }, null],
  ])('%s', (_, over, seconds) => {
    expect(overdueAt(over)).toBe(seconds)
  })
})

describe('what the provider says', () => {
  it('is passed on when the ledger does not have it', () => {
    const told = awsEvent({ pullStartedAt: at(10), startedAt: at(20) })
    expect(lostEvent(runner(), told, at(200))).toEqual(told)
    expect(lostEvent(applyRunnerEvent(runner(), told), told, at(200))).toBeNull()
  })

  it('of a runner that it does not know is no verdict for five minutes', () => {
    const silent = runner({ startedAt: at(20) })
    expect(lostEvent(silent, null, at(20 + 5 * MINUTE) - 1)).toBeNull()
    expect(lostEvent(silent, null, at(20 + 5 * MINUTE))).toMatchObject({ stop: { code: MISSING } })
    // A stop that was asked for is a fact as well.
    const stopping = { ...silent, stopRequestedAt: at(300) }
    expect(lostEvent(stopping, null, at(300 + 5 * MINUTE) - 1)).toBeNull()
  })

  it('then means that it stopped when it was last known to be alive, and it is priced by that', () => {
    const ran = runner({ pullStartedAt: at(10), startedAt: at(20), job: { ...RAN, completedAt: at(120) } })
    const event = lostEvent(ran, null, at(900))!
    expect(event).toMatchObject({ stoppedAt: at(120), stop: { code: MISSING } })
    expect(applyRunnerEvent(ran, event).cost).toMatchObject({ billedMs: 110_000 })
  })

  it('gives way to what AWS tells, in whatever order that comes', () => {
    const guess = awsEvent({ stoppedAt: at(120), stop: { code: MISSING, reason: 'unknown' } })
    const real = awsEvent({ stoppedAt: at(300), stop: { code: 'SpotInterruption', reason: 'taken back' } })
    const started = awsEvent({ pullStartedAt: at(10), startedAt: at(20) })
    fc.assert(
      fc.property(fc.shuffledSubarray([guess, real, started, real, guess], { minLength: 5 }), events => {
        const ended = events.reduce<Runner>(applyRunnerEvent, runner())
        expect(ended).toMatchObject({ stoppedAt: at(300), stop: { code: 'SpotInterruption' } })
        expect(ended.cost?.billedMs).toBe(290_000)
      }),
    )
  })
})

describe('a task that no open runner of the ledger accounts for', () => {
  const event = awsEvent({ startedAt: at(20) })

  it.each([
    ['is adopted while its claim may be carried on', undefined, true, 'adopt'],
    ['is adopted and stopped when nobody will come for it', undefined, false, 'adopt-and-stop'],
    [
      'is adopted and stopped when its runner knows of none',
      runner({ providerId: null }),
      false,
      'adopt-and-stop',
    ],
    ['is left alone when the list was behind', runner(), false, 'leave'],
    ['is stopped when its runner has another', runner({ providerId: 'task-2' }), true, 'stop'],
    ['is stopped when its runner was given up', runner({ stoppedAt: at(90) }), false, 'stop'],
  ] as const)('%s', (_, known, isClaimed, verdict) => {
    expect(orphanVerdict(event, known, isClaimed)).toBe(verdict)
  })

  it('is nothing to stop when it has stopped', () => {
    const stopped = awsEvent({ stoppedAt: at(90), stop: { code: 'x', reason: '' } })
    expect(orphanVerdict(stopped, runner(), false)).toBe('leave')
    expect(stopped.runner).toBe(RUNNER)
  })
})
