/** The gate in whole worlds: fairness, roles, starts per hour and money, as jobs meet them. */
import { describe, expect, it } from 'vitest'
import { DEFAULT_CONFIG } from '../../functions/config.ts'
import { jobState } from '../../functions/core/lifecycle.ts'
import type { Gate } from '../../functions/core/types.ts'
import { refillGate } from '../../functions/refill.ts'
import { LocalLedger } from '../../local/ledger.ts'
import * as facts from '../support/facts.ts'
import {
  busyDay,
  generator,
  HOUR,
  job,
  jobOf,
  jobs,
  leftovers,
  MINUTE,
  repository,
  runners,
  SECOND,
  START,
  type Stack,
  type StackOptions,
  stack,
  untilQuiet,
} from '../support/world.ts'

/** Two vCPU and 4 GB, x64, on demand in us-east-1: micro-dollars of a minute, and of a minute's reservation. */
const MINUTE_MICRO_USD = 1729
const USD = 1_000_000

const gateOf = (s: Stack): Promise<Gate> => s.world.ledger.gate.get()
const at = (s: Stack, time: number) => s.world.clock.run(START + time)

describe('among repositories', () => {
  const LENGTH = 10 * MINUTE
  /** The longest wait of five jobs that come after two hundred: for a place, and until they run. */
  const crowd = async (after: number, length: () => number) => {
    const s = await stack({ config: { limits: { runners: 20, perRepository: 200 } } })
    for (let id = 1; id <= 200; id++)
      s.world.github.queue(job(id, { repository: repository(1), script: { durationMs: length() } }))
    await at(s, after)
    for (let id = 1001; id <= 1005; id++)
      s.world.github.queue(job(id, { repository: repository(2), script: { durationMs: MINUTE } }))
    const queuedAt = s.world.clock.now()
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
    expect(s.promises.peak.total).toBe(20)
    const ofTwo = (await runners(s.world)).filter(({ launch }) => launch?.repository.id === 2)
    const ofOne = (await runners(s.world)).filter(({ launch }) => launch?.repository.id === 1)
    const started = (await jobs(s.world)).filter(({ request }) => request.repository.id === 2)
    return {
      place: Math.max(...ofTwo.map(({ launch }) => launch!.at - queuedAt)),
      start: Math.max(...started.map(item => item.started!.at - queuedAt)),
      longestHold: Math.max(...ofOne.map(({ launch, stoppedAt }) => stoppedAt! - launch!.at)),
    }
  }

  it.each([0, 1, 5, 9.9, 15, 40])(
    'two hundred jobs of one let five of another in within one job: after %d minutes',
    async minutes => {
      const { place, start, longestHold } = await crowd(minutes * MINUTE, () => LENGTH)
      // Its runner's own start and stop are part of what a job takes.
      expect(place).toBeLessThanOrEqual(longestHold)
      expect(longestHold).toBeLessThan(LENGTH + 90 * SECOND)
      if (minutes > 0) expect(start).toBeLessThanOrEqual(LENGTH)
    },
  )

  it('and so they do when jobs are of all lengths', async () => {
    const random = generator(7)
    const { start } = await crowd(12 * MINUTE, () => MINUTE + random() * (LENGTH - MINUTE))
    expect(start).toBeLessThanOrEqual(LENGTH)
  })
})

describe('a role with a limit', () => {
  const DEPLOY = { repositories: ['acme/r1'], refs: [], events: [], protected: false, runners: 1 }

  it('has no more runners at once, says why, and holds up nobody else', async () => {
    const s = await stack({ config: { roles: { deploy: DEPLOY } } })
    const own = repository(1)
    for (let id = 1; id <= 45; id++)
      s.world.github.queue(
        job(id, { repository: own, labels: ['tornade/role:deploy'], script: { durationMs: 3 * MINUTE } }),
      )
    await at(s, 30 * SECOND)
    for (let id = 101; id <= 130; id++) s.world.github.queue(job(id, { repository: own }))
    await at(s, 90 * SECOND)
    for (let id = 101; id <= 130; id++) expect((await jobOf(s.world, `${id}-1`)).started).not.toBeNull()
    const waiting = (await jobs(s.world)).filter(({ deferred }) => deferred)
    expect(waiting).toHaveLength(44)
    for (const { deferred } of waiting)
      expect(deferred).toMatchObject({
        reason: 'role-limit',
        message: 'All 1 runners with the role deploy are in use (roles.deploy.runners).',
      })
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a line that is filled up from the ledger', () => {
  const clock = { now: () => facts.T0 }
  const filled = async (
    specs: readonly { readonly role: string | null; readonly notBefore: number | null }[],
    line: string,
  ) => {
    const ledger = new LocalLedger()
    for (const [index, { role, notBefore }] of specs.entries()) {
      const key = `${index + 1}-1`
      const request = facts.request({ key, jobId: index + 1 })
      const why = { since: facts.T0, reason: 'spend-limit', message: 'Later.', cause: 'job' } as const
      const deferred = { ...why, notBefore, runner: `tornade-${key}-1` }
      await ledger.jobs.put(facts.job({ key, version: 1, request, spec: facts.spec({ role }), deferred }))
    }
    await refillGate({ clock, ledger }, DEFAULT_CONFIG, await ledger.gate.get(), [line])
    return (await ledger.gate.get()).waiting
  }

  it('gets the jobs of its role alone', async () => {
    const roles = ['deploy', null, 'release', null, 'deploy']
    const waiting = await filled(
      roles.map(role => ({ role, notBefore: null })),
      '7001/deploy',
    )
    expect(Object.keys(waiting)).toEqual(['7001/deploy'])
    expect(waiting['7001/deploy']).toMatchObject({
      name: 'acme/app',
      heads: [{ jobKey: '1-1' }, { jobKey: '5-1' }],
    })
  })

  it('gets jobs that may go, however many wait for their time before them', async () => {
    const later = { role: null, notBefore: facts.T0 + HOUR }
    const waiting = await filled([...Array(120).fill(later), { role: null, notBefore: null }], '7001')
    expect(waiting[7001]!.heads.filter(head => head.notBefore === null)).toMatchObject([{ jobKey: '121-1' }])
  })
})

describe('starts per hour', () => {
  it('are not exceeded, and the rest is started as soon as they allow', async () => {
    const s = await stack({ config: { repositories: { 'acme/r1': { startsPerHour: 10 } } } })
    for (let id = 1; id <= 25; id++)
      s.world.github.queue(job(id, { repository: repository(1), script: { durationMs: MINUTE } }))
    s.world.github.queue(job(99, { repository: repository(2) }))
    await at(s, MINUTE)
    expect((await jobOf(s.world, '99-1')).started).not.toBeNull()
    expect((await jobs(s.world)).find(({ deferred }) => deferred)?.deferred).toMatchObject({
      reason: 'starts-per-hour',
      message: 'This repository has started 10 runners within an hour, as many as it may (startsPerHour).',
    })
    await untilQuiet(s)
    const started = (await runners(s.world))
      .filter(({ launch }) => launch?.repository.id === 1)
      .map(({ launch }) => launch!.at)
      .sort((a, b) => a - b)
    expect(started).toHaveLength(25)
    for (let index = 10; index < 25; index++) {
      const apart = started[index]! - started[index - 10]!
      expect(apart).toBeGreaterThanOrEqual(HOUR - 5 * SECOND)
      expect(apart).toBeLessThan(HOUR + 10 * MINUTE)
    }
    expect(await leftovers(s)).toEqual([])
  })
})

describe('money', () => {
  /** So many jobs with a life of at most ten minutes, each of which reserves 15 minutes' worth. */
  const queue = (s: Stack, count: number, first = 1) => {
    for (let id = first; id < first + count; id++)
      s.world.github.queue(job(id, { labels: ['tornade/timeout:10m'], script: { durationMs: 5 * MINUTE } }))
  }
  const RESERVED = 15 * MINUTE_MICRO_USD
  const capped = (
    spend: Partial<NonNullable<StackOptions['config']>['spend'] & object>,
    more: StackOptions = {},
  ) =>
    stack({
      ...more,
      config: { spend: { monthlyMicroUsd: null, dailyMicroUsd: null, onCap: 'block', ...spend } },
    })
  const booked = (gate: Gate) => gate.spent['2026-11'] ?? 0
  const costs = async (s: Stack) =>
    (await runners(s.world)).reduce((sum, { cost }) => sum + cost!.totalMicroUsd, 0)

  it('is reserved at admission, and booked by what it was at the stop', async () => {
    const s = await stack()
    queue(s, 3)
    await at(s, MINUTE)
    const { holders, spent } = await gateOf(s)
    expect(Object.values(holders).map(({ reservedMicroUsd }) => reservedMicroUsd)).toEqual([
      RESERVED,
      RESERVED,
      RESERVED,
    ])
    expect(spent).toEqual({})
    await untilQuiet(s)
    const gate = await gateOf(s)
    expect(gate.spent).toEqual({ '2026-11-02': await costs(s), '2026-11': await costs(s) })
    expect(await leftovers(s)).toEqual([])
  })

  it('is booked once and to the last micro-dollar, on a day on which everything is told twice', async () => {
    const s = await stack({
      onEvent: (_, event, pass) => {
        pass(event)
        pass(event)
      },
    })
    busyDay(s.world, { seed: 5, count: 150, hours: 6 })
    await at(s, 6 * HOUR)
    await untilQuiet(s)
    expect(booked(await gateOf(s))).toBe(await costs(s))
    expect(await leftovers(s)).toEqual([])
  })

  it('that is all reserved is waited for, and the job says so', async () => {
    const s = await capped({ dailyMicroUsd: 3 * RESERVED })
    queue(s, 4)
    await at(s, MINUTE)
    expect(Object.keys((await gateOf(s)).holders)).toHaveLength(3)
    const waiting = (await jobs(s.world)).filter(({ deferred }) => deferred)
    expect(waiting.map(({ deferred }) => deferred)).toMatchObject([
      {
        reason: 'spend-limit',
        message:
          'The cap of $0.0778 a day (spend.dailyUsd) has no room: $0.0000 are spent, $0.0778 reserved, and this job may cost up to $0.0259.',
        notBefore: null,
      },
    ])
    await at(s, 10 * MINUTE)
    expect((await jobOf(s.world, waiting[0]!.key)).started).not.toBeNull()
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('that is spent is there again the next day, in UTC', async () => {
    const s = await capped({ dailyMicroUsd: 2 * RESERVED })
    queue(s, 6)
    await at(s, HOUR)
    const waiting = (await jobs(s.world)).filter(({ deferred }) => deferred)
    expect(waiting.length).toBeGreaterThan(0)
    const midnight = Date.UTC(2026, 10, 3)
    for (const { deferred } of waiting) {
      expect(deferred).toMatchObject({ reason: 'spend-limit', notBefore: midnight })
      expect(deferred!.message).toMatch(/is used up: .* The next begins 2026-11-03 00:00 UTC\.$/)
    }
    await untilQuiet(s, 40 * HOUR)
    for (const { key } of waiting) {
      const { started } = await jobOf(s.world, key)
      expect(started!.at - midnight).toBeGreaterThan(0)
      expect(started!.at - midnight).toBeLessThan(2 * MINUTE + 5 * MINUTE * waiting.length)
    }
    const { spent } = await gateOf(s)
    for (const day of ['2026-11-02', '2026-11-03']) expect(spent[day]).toBeLessThanOrEqual(2 * RESERVED)
    expect(await leftovers(s)).toEqual([])
  })

  it('that will not come in time is a refusal with what to do, visible where the author looks', async () => {
    const s = await capped({ monthlyMicroUsd: 2 * RESERVED })
    queue(s, 8)
    await at(s, 2 * HOUR)
    const refused = (await jobs(s.world)).filter(item => item.refused)
    expect(refused.length).toBeGreaterThan(0)
    for (const { refused: why } of refused) {
      expect(why!.code).toBe('spend-limit')
      expect(why!.problems[0]!.message).toMatch(
        /^The cap of \$0\.0519 a month \(spend\.monthlyUsd\) is used up: .* until 2026-12-01 00:00 UTC, when the next begins\. Ask for less/,
      )
    }
    expect(s.world.github.checks).toHaveLength(refused.length)
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('is no reason to refuse a job that runs already, whatever is delivered again', async () => {
    const s = await capped({ monthlyMicroUsd: 12 * RESERVED })
    for (let id = 1; id <= 12; id++) {
      const durationMs = id % 2 === 0 ? 30 * SECOND : 9 * MINUTE
      s.world.github.queue(job(id, { labels: ['tornade/timeout:10m'], script: { durationMs } }))
    }
    await at(s, 5 * MINUTE)
    const gate = await gateOf(s)
    const { holders } = gate
    const swapped = (await jobs(s.world)).filter(
      ({ key, started, completed }) =>
        started !== null && completed === null && !Object.hasOwn(holders, `tornade-${key}-1`),
    )
    expect(swapped.length).toBeGreaterThan(0)
    const spent = { '2026-11': 12 * RESERVED }
    await s.world.ledger.gate.put({ ...gate, version: gate.version + 1, spent })
    for (const { request, queuedAt } of swapped)
      s.world.queues.launch.send({ kind: 'job', request: { ...request }, queuedAt: queuedAt! })
    await at(s, 6 * MINUTE)
    for (const { key } of swapped) expect((await jobOf(s.world, key)).refused).toBeNull()
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('that no day has is a refusal at once', async () => {
    const s = await capped({ dailyMicroUsd: RESERVED - 1 })
    queue(s, 1)
    await at(s, MINUTE)
    const { refused } = await jobOf(s.world, '1-1')
    expect(refused).toMatchObject({ code: 'spend-limit' })
    expect(refused!.problems[0]!.message).toMatch(
      /^The cap of \$0\.0259 a day \(spend\.dailyUsd\) is less than what this job may cost up to \$0\.0259\./,
    )
    expect(s.world.metrics.get('JobsRefused')).toBe(1)
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
  })

  it('over a cap that warns is spent, said once in each period, and counted', async () => {
    const warnings: unknown[] = []
    const log = { debug() {}, info() {}, error() {}, warn: (...line: unknown[]) => void warnings.push(line) }
    const s = await capped({ dailyMicroUsd: RESERVED, monthlyMicroUsd: 2 * RESERVED, onCap: 'warn' }, { log })
    queue(s, 5)
    await untilQuiet(s)
    expect((await jobs(s.world)).every(({ completed }) => completed !== null)).toBe(true)
    const said = warnings.filter(line => String((line as unknown[])[0]).startsWith('spend cap'))
    expect(said).toHaveLength(2)
    expect(s.world.metrics.get('StartsOverSpend')).toBe(4)
    expect(await leftovers(s)).toEqual([])
  })

  it('is never passed on a busy day, nor is any other cap, and nothing is left behind', async () => {
    for (const seed of [1, 2, 3]) {
      // The dearest job, on CodeBuild, reserves $1.83.
      const cap = 3 * USD
      const deploy = { repositories: ['acme/r1'], refs: [], events: [], protected: false, runners: 1 }
      const s = await stack({
        config: {
          limits: { runners: 12, startsPerHour: 20 },
          roles: { deploy },
          repositories: { 'acme/r2': { runners: 2 }, 'acme/r3': { startsPerHour: 8 } },
          spend: { dailyMicroUsd: cap, monthlyMicroUsd: null, onCap: 'block' },
        },
      })
      let most = 0
      busyDay(s.world, { seed, count: 120, hours: 5 })
      for (let minutes = 10; minutes <= 6 * 60; minutes += 10) {
        await at(s, minutes * MINUTE)
        const { spent, holders } = await gateOf(s)
        const reserved = Object.values(holders).reduce((sum, holder) => sum + holder.reservedMicroUsd, 0)
        most = Math.max(most, (spent['2026-11-02'] ?? 0) + reserved)
      }
      expect(most).toBeLessThanOrEqual(cap)
      expect(most).toBeGreaterThan(cap / 2)
      await untilQuiet(s, 60 * HOUR)
      const kinds = new Set((await jobs(s.world)).map(jobState))
      expect(kinds).toContain('completed')
      expect(await leftovers(s)).toEqual([])
    }
  })
})
