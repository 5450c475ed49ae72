import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Candidate, claim, nextAttempt, queue, released } from '../functions/core/claim.ts'
import { applyToJob, jobState } from '../functions/core/lifecycle.ts'
import { pairAnew } from '../functions/core/pairing.ts'
import { fits, runnerName } from '../functions/core/plan.ts'
import type { Job, Runner } from '../functions/core/types.ts'
import {
  at,
  claimOf,
  completed,
  inProgress,
  job,
  launch,
  ON_DEMAND,
  RUNNER,
  request,
  runner,
  SPOT,
  spec,
  T0,
} from './support/facts.ts'

const SECOND_RUNNER = 'tornade-41-1-2'
const LEASE = at(90)

function candidate(over: Partial<Candidate> = {}): Candidate {
  return {
    request: request(),
    spec: spec(),
    runner: RUNNER,
    generation: 1,
    cause: 'job',
    queuedAt: T0,
    replaces: null,
    rerunOf: null,
    ...over,
  }
}
const replacement = (over: Partial<Candidate> = {}) =>
  candidate({ runner: SECOND_RUNNER, generation: 2, cause: 'replacement', replaces: RUNNER, ...over })
const take = (current: Job | undefined, wanted = candidate(), owner = 'me', now = T0) =>
  claim(current, wanted, [ON_DEMAND], owner, now, LEASE)

/** A job whose first runner is claimed, until `leaseUntil`. */
const launching = (leaseUntil = LEASE, over: Partial<Job> = {}) =>
  job({ claim: claimOf({ leaseUntil, owner: 'other' }), runner: RUNNER, ...over })

describe('a claim', () => {
  it('is had on a job that nobody knew', () => {
    const result = take(undefined)
    expect(result).toMatchObject({
      outcome: 'claimed',
      resumed: false,
      claim: { generation: 1, attempt: 1, runner: RUNNER, owner: 'me', leaseUntil: LEASE },
      job: { queuedAt: T0, runner: RUNNER, spec: spec(), replacements: 0 },
    })
    expect(result.outcome === 'claimed' && jobState(result.job)).toBe('launching')
  })

  it('says exactly what is started, so that it can be sent again byte for byte', () => {
    const first = take(undefined)
    expect(first.outcome === 'claimed' && first.claim.request).toEqual({
      runner: RUNNER,
      token: `${RUNNER}-t1`,
      repositoryId: 7001,
      repository: 'acme/app',
      shape: {
        arch: 'x64',
        compute: 'fargate',
        capacity: 'on-demand',
        cpu: 2,
        memoryGiB: 4,
        diskGiB: 20,
        computeType: null,
      },
      role: null,
      image: null,
      docker: false,
      build: false,
      timeoutMinutes: 360,
    })
  })

  it('of somebody else is left alone while its lease lasts', () => {
    expect(take(launching())).toEqual({ outcome: 'held', until: LEASE })
  })

  it('whose lease is over is carried on with the request that it has', () => {
    const interrupted = launching(at(-1), {
      claim: claimOf({ attempt: 3, leaseUntil: at(-1), owner: 'other' }),
    })
    expect(take(interrupted)).toMatchObject({
      outcome: 'claimed',
      resumed: true,
      claim: { attempt: 3, owner: 'me', leaseUntil: LEASE, request: { token: `${RUNNER}-t3` } },
    })
  })

  it('that was refused for good is followed by a new request, for another kind', () => {
    const refused = launching(0, { claim: released({ ...claimOf(), refused: true }) })
    const result = claim(refused, candidate(), [SPOT, ON_DEMAND], 'me', T0, LEASE)
    expect(result).toMatchObject({
      outcome: 'claimed',
      resumed: false,
      claim: { attempt: 2, generation: 1, request: { token: `${RUNNER}-t2`, shape: { capacity: 'spot' } } },
    })
    expect(result.outcome === 'claimed' && 'refused' in result.claim).toBe(false)
  })

  it('needs a kind of capacity for a new request, and none to carry on an old one', () => {
    const without = (current: Job | undefined) => claim(current, candidate(), [], 'me', T0, LEASE).outcome
    expect(without(undefined)).toBe('no-capacity')
    expect(without(launching(0, { claim: released({ ...claimOf(), refused: true }) }))).toBe('no-capacity')
    expect(without(launching(0, { claim: released(claimOf()) }))).toBe('claimed')
  })

  it('that was released is carried on at once', () => {
    const free = launching(0, { claim: released(nextAttempt(claimOf(), spec(), SPOT)) })
    expect(take(free)).toMatchObject({
      outcome: 'claimed',
      resumed: true,
      claim: { attempt: 2, request: { token: `${RUNNER}-t2`, shape: { capacity: 'spot' } } },
    })
  })

  it.each([
    ['running', { started: { at: at(30), runner: { id: 7, name: RUNNER } } }],
    ['completed', { completed: { at: at(90), conclusion: 'success', startedAt: null, runner: null } }],
    ['refused', { refused: { at: T0, code: 'labels', problems: [] } }],
  ] satisfies [string, Partial<Job>][])('is not had on a job that is %s', (_, facts) => {
    expect(take(job(facts))).toEqual({ outcome: 'not-needed' })
  })

  it('of a later runner stands against a doubled delivery', () => {
    const second = job({
      claim: claimOf({ generation: 2, runner: SECOND_RUNNER, leaseUntil: at(-1) }),
      runner: SECOND_RUNNER,
    })
    expect(take(second)).toEqual({ outcome: 'not-needed' })
  })

  it('is not had for a job that was given another runner meanwhile', () => {
    expect(take(launching(at(-1), { runner: 'tornade-99-1-1' }))).toEqual({ outcome: 'not-needed' })
    expect(take(launching(at(-1), { runner: 'tornade-99-1-1' }), replacement())).toEqual({
      outcome: 'not-needed',
    })
  })

  it('for a replacement counts it, once', () => {
    const first = take(launching(), replacement())
    expect(first).toMatchObject({ outcome: 'claimed', job: { replacements: 1, runner: SECOND_RUNNER } })
    const known = first.outcome === 'claimed' ? first.job : undefined
    expect(take(known, replacement(), 'me')).toMatchObject({ outcome: 'claimed', job: { replacements: 1 } })
    expect(take(launching(), replacement({ cause: 'retry' }))).toMatchObject({ job: { replacements: 0 } })
  })

  it('ends a deferral', () => {
    const waits = job({ deferred: deferral(RUNNER) })
    expect(take(waits)).toMatchObject({ outcome: 'claimed', job: { deferred: null } })
  })

  it('on a lost runner is not carried on when the job waits for the next one', () => {
    const lost = launching(at(-1), { deferred: deferral(SECOND_RUNNER) })
    expect(take(lost)).toEqual({ outcome: 'not-needed' })
    expect(take(lost, replacement())).toMatchObject({ outcome: 'claimed', claim: { generation: 2 } })
  })
})

describe('of any number of claims on one job', () => {
  it('one at a time holds it, and it never goes back to an earlier runner', () => {
    const step = fc.record({
      owner: fc.constantFrom('a', 'b', 'c'),
      wanted: fc.constantFrom(candidate(), replacement(), replacement({ cause: 'retry' })),
      after: fc.integer({ min: 0, max: 120 }),
      end: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), steps => {
        let known: Job | undefined
        let now = T0
        for (const { owner, wanted, after, end } of steps) {
          now += after * 1000
          const before = known?.claim
          const result = claim(known, wanted, [ON_DEMAND], owner, now, now + 90_000)
          if (result.outcome === 'claimed') {
            if (before && before.leaseUntil > now && before.owner !== owner)
              expect(result.claim.generation).toBeGreaterThan(before.generation)
            expect(result.claim.generation).toBeGreaterThanOrEqual(before?.generation ?? 0)
            known = result.job
          }
          if (end && known) known = applyToJob(applyToJob(known, inProgress(1)), completed(2))
        }
      }),
    )
  })
})

describe('queue', () => {
  it('notes that the job is queued, the first time there was', () => {
    expect(queue(undefined, candidate({ queuedAt: at(5) })).queuedAt).toBe(at(5))
    expect(queue(job({ queuedAt: at(1) }), candidate({ queuedAt: at(5) })).queuedAt).toBe(at(1))
    expect(queue(job({ queuedAt: null, gatedAt: T0 }), candidate({ queuedAt: at(600) }))).toMatchObject({
      gatedAt: T0,
      queuedAt: at(600),
    })
  })
})

describe('pairing anew', () => {
  const runnerOf = (name: string, labels: string[], over: Partial<Runner> = {}) =>
    runner({ name, launch: launch({ labels }), ...over })
  const jobOf = (id: number, labels: string[], runs: string | null, over: Partial<Job> = {}) =>
    job({ key: `${id}-1`, request: request({ key: `${id}-1`, jobId: id, labels }), runner: runs, ...over })

  it('takes a free runner that fits', () => {
    const lost = jobOf(1, ['tornade'], 'gone')
    const pairs = pairAnew(lost, [lost], [runnerOf('a', ['tornade', 'arm64'])])
    expect(pairs?.map(({ job: { key }, runner: { name } }) => [key, name])).toEqual([['1-1', 'a']])
  })

  it('takes none that has not all of the labels, is busy, gone or unregistered', () => {
    const lost = jobOf(1, ['tornade', 'arm64'], 'gone')
    const none = [
      runnerOf('a', ['tornade']),
      runnerOf('b', ['tornade', 'arm64'], {
        job: { key: '9-1', startedAt: T0, completedAt: null, publicRepository: false },
      }),
      runnerOf('c', ['tornade', 'arm64'], { deregisteredAt: T0 }),
      runnerOf('d', ['tornade', 'arm64'], { registration: null }),
    ]
    expect(pairAnew(lost, [lost], none)).toBeNull()
  })

  it('swaps through others who could do with another runner', () => {
    const lost = jobOf(1, ['tornade', 'arm64'], 'gone')
    const content = jobOf(2, ['tornade'], 'big')
    const pairs = pairAnew(
      lost,
      [lost, content],
      [runnerOf('big', ['tornade', 'arm64']), runnerOf('small', ['tornade'])],
    )
    expect(pairs?.map(({ job: { key }, runner: { name } }) => [key, name])).toEqual([
      ['2-1', 'small'],
      ['1-1', 'big'],
    ])
  })

  it('finds a way whenever there is one, and leaves nobody without a runner', () => {
    const label = fc.subarray(['a', 'b', 'c']).map(labels => ['tornade', ...labels])
    fc.assert(
      fc.property(
        fc.array(label, { minLength: 1, maxLength: 5 }),
        fc.array(label, { maxLength: 5 }),
        (wants, has) => {
          const free = has.map((labels, index) => runnerOf(`r${index}`, labels))
          // All but the first job have a runner, as far as there are any that fit.
          const taken = new Set<string>()
          const others = wants.slice(1).flatMap((labels, index) => {
            const own = free.find(({ name, launch: l }) => !taken.has(name) && fits(labels, l!.labels))
            if (!own) return []
            taken.add(own.name)
            return [jobOf(index + 2, labels, own.name)]
          })
          const lost = jobOf(1, wants[0]!, 'gone')
          const pairs = pairAnew(lost, [lost, ...others], free)
          expect(pairs !== null).toBe(canServe([lost, ...others], free))
          if (!pairs) return
          const after = new Map([lost, ...others].map(({ key, runner: own }) => [key, own]))
          for (const pair of pairs) {
            expect(fits(pair.job.request.labels, pair.runner.launch!.labels)).toBe(true)
            after.set(pair.job.key, pair.runner.name)
          }
          expect(new Set(after.values()).size).toBe(after.size)
          expect([...after.values()].every(name => free.some(one => one.name === name))).toBe(true)
        },
      ),
    )
  })

  /** By trying everything. */
  function canServe(jobs: readonly Job[], free: readonly Runner[]): boolean {
    const [first, ...rest] = jobs
    if (!first) return true
    return free.some(
      one =>
        fits(first.request.labels, one.launch!.labels) &&
        canServe(
          rest,
          free.filter(other => other !== one),
        ),
    )
  }
})

function deferral(name: string): Job['deferred'] {
  return { since: T0, reason: 'total-limit', message: 'full', notBefore: null, runner: name, cause: 'job' }
}

describe('the name of a runner', () => {
  it('says its job and which of its runners it is', () => {
    expect(runnerName('tornade', '41-1', 2)).toBe(SECOND_RUNNER)
  })
})
