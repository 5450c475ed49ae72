import { describe, expect, it } from 'vitest'
import { isWorthAsking, repositoriesToList, runsToAsk } from '../functions/core/questions.ts'
import type { Job, Runner, SeenRepository } from '../functions/core/types.ts'
import { at, claimOf, job, REF, RUNNER, request, runner, T0 } from './support/facts.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE
const RAN = { key: '41-1', startedAt: at(30), completedAt: null, publicRepository: false }
const launching = (over: Partial<Job> = {}) => job({ claim: claimOf(), runner: RUNNER, ...over })
const running = launching({ started: { at: at(30), runner: REF } })
const busy = runner({ startedAt: at(20), job: RAN })

/** Times, in seconds, at which the run of a job is asked about by sweeps of each minute until then. */
function askedAt(until: number, jobs: readonly Job[], runners: readonly Runner[] = []): number[] {
  const asked: Record<string, number> = {}
  const times: number[] = []
  for (let seconds = 0; seconds <= until; seconds += MINUTE) {
    for (const { runId } of runsToAsk(jobs, runners, asked, at(seconds))) {
      asked[runId] = at(seconds)
      times.push(seconds)
    }
  }
  return times
}

describe('GitHub is asked about a run', () => {
  it('with a job that runs on a runner which is gone, within two minutes', () => {
    expect(askedAt(5 * MINUTE, [running])).toEqual([2 * MINUTE, 4 * MINUTE])
    const stopped = runner({ ...busy, stoppedAt: at(40) })
    expect(askedAt(2 * MINUTE, [running], [stopped])).toEqual([2 * MINUTE])
  })

  it('with a job that runs on and on, now and then', () => {
    expect(askedAt(HOUR, [running], [busy])).toEqual([11, 21, 31, 41, 51].map(minute => minute * MINUTE))
  })

  it('with a job whose runner lives longer than it may', () => {
    const overAge = askedAt(364 * MINUTE, [running], [busy]).filter(seconds => seconds > 362 * MINUTE)
    expect(overAge).toEqual([363 * MINUTE])
  })

  it('whose runner came up and got no job', () => {
    expect(askedAt(4 * MINUTE, [launching()], [runner({ startedAt: at(20) })])).toEqual([
      2 * MINUTE,
      4 * MINUTE,
    ])
    expect(askedAt(4 * MINUTE, [launching()], [runner()])).toEqual([])
  })

  it('behind a gate, each hour', () => {
    expect(askedAt(3 * HOUR, [job({ gatedAt: T0, queuedAt: null })])).toEqual([HOUR, 2 * HOUR, 3 * HOUR])
  })

  it('with a job that began although nobody told that it was queued, no later than any other', () => {
    expect(askedAt(2 * MINUTE, [job({ queuedAt: null, started: { at: at(30), runner: REF } })])).toEqual([
      2 * MINUTE,
    ])
  })

  it('with a deferred job, which may have been cancelled, now and then', () => {
    const deferred = {
      since: T0,
      reason: 'total-limit',
      message: '',
      notBefore: null,
      runner: RUNNER,
      cause: 'job',
    } as const
    expect(askedAt(31 * MINUTE, [job({ deferred })])).toEqual([15 * MINUTE, 30 * MINUTE])
  })

  it('not about jobs that have ended, and of those that wait for their launch now and then', () => {
    const ended = { at: at(90), conclusion: 'success', startedAt: null, runner: null }
    expect(askedAt(HOUR, [{ ...running, completed: ended }])).toEqual([])
    expect(askedAt(HOUR, [job()])).toEqual([15, 30, 45, 60].map(minute => minute * MINUTE))
  })

  it('once for all of its jobs, the most overdue run first', () => {
    const of = (jobId: number, runId: number, started: number) =>
      launching({
        key: `${jobId}-1`,
        request: request({ key: `${jobId}-1`, jobId, runId }),
        started: { at: at(started), runner: REF },
      })
    const jobs = [of(1, 17, 50), of(2, 18, 20), of(3, 17, 30), of(4, 19, 4000)]
    expect(runsToAsk(jobs, [], {}, at(10 * MINUTE)).map(({ runId }) => runId)).toEqual([18, 17])
  })

  it('with a job that should have moved before all that only wait, however many have done so for longer', () => {
    const waiting = Array.from({ length: 600 }, (_, index) => {
      const jobId = 1000 + index
      const own = { key: `${jobId}-1`, jobId, runId: jobId, createdAt: at(-100 * HOUR) }
      return job({ key: own.key, request: request(own), gatedAt: at(-100 * HOUR), queuedAt: null })
    })
    const [first, ...others] = runsToAsk([...waiting, running], [], {}, at(2 * MINUTE))
    expect(first?.runId).toBe(running.request.runId)
    expect(others).toHaveLength(600)
  })

  it('that is listed and new, and again after two minutes', () => {
    expect(isWorthAsking(17, {}, at(0))).toBe(true)
    expect(isWorthAsking(17, { 17: at(0) }, at(MINUTE))).toBe(false)
    expect(isWorthAsking(17, { 17: at(0) }, at(2 * MINUTE))).toBe(true)
  })
})

describe('the runs of a repository are listed', () => {
  const repository = (id: number, seen: number, listed: number): SeenRepository => ({
    ref: { id, name: `acme/r${id}`, private: true },
    ownerId: 9919,
    installationId: 5001,
    seenAt: at(seen),
    listedAt: at(listed),
  })
  const listed = (known: readonly SeenRepository[], seconds: number) =>
    repositoriesToList(known, at(seconds)).map(({ ref }) => ref.id)

  it('in every sweep for two hours after its last job, then in turn', () => {
    expect(listed([repository(1, 0, 7140)], 7200)).toEqual([1])
    expect(listed([repository(1, 0, 7200)], 7201)).toEqual([])
    expect(listed([repository(1, 0, 7200)], 7200 + 15 * MINUTE)).toEqual([1])
  })

  it('the one listed longest ago first, so that all have their turn', () => {
    expect(listed([repository(1, 60, 30), repository(2, 60, 10), repository(3, 60, 20)], 90)).toEqual([
      2, 3, 1,
    ])
  })
})
