import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newRunner } from '../functions/core/lifecycle.ts'
import { longestStandby, type Pool, poolFor, poolState, standbyMinutes } from '../functions/core/pools.ts'
import { minutesLeft, readSchedule, type Schedule } from '../functions/core/schedule.ts'
import type { Runner } from '../functions/core/types.ts'

const HOUR = 3_600_000
/** A Monday. */
const MONDAY = Date.UTC(2026, 10, 2)

describe('the schedule of a pool', () => {
  it.each([
    ['09:00-19:00', { days: [0, 1, 2, 3, 4, 5, 6], from: 540, to: 1140, timeZone: 'UTC' }],
    [
      'Mon-Fri 09:00-19:00 Asia/Tokyo',
      { days: [1, 2, 3, 4, 5], from: 540, to: 1140, timeZone: 'Asia/Tokyo' },
    ],
    ['sat,sun 00:00-24:00', { days: [0, 6], from: 0, to: 1440, timeZone: 'UTC' }],
    ['Fri-Mon 22:30-06:00', { days: [0, 1, 5, 6], from: 1350, to: 360, timeZone: 'UTC' }],
  ])('%s', (text, schedule) => {
    expect(readSchedule(text)).toEqual(schedule)
  })

  it.each([
    ['', 'write days'],
    ['Mon-Fri', 'write days'],
    ['Mon-Fry 09:00-19:00', 'no days'],
    ['Mon-Tue-Wed 09:00-19:00', 'no days'],
    ['09:00-25:00', '00:00 to 24:00'],
    ['09:60-10:00', '00:00 to 24:00'],
    ['24:00-10:00', '00:00 to 24:00'],
    ['09:00-09:00', 'leave the schedule away'],
    ['09:00-19:00 Mars/Olympus', 'no time zone'],
  ])('%s is none: %s', (text, words) => {
    expect(readSchedule(text)).toEqual(expect.stringContaining(words))
  })

  it.each([
    ['Mon-Fri 09:00-19:00', 9 * HOUR, 600],
    ['Mon-Fri 09:00-19:00', 9 * HOUR - 1, null],
    ['Mon-Fri 09:00-19:00', 19 * HOUR - 1, 1],
    ['Mon-Fri 09:00-19:00', 19 * HOUR, null],
    ['Mon-Fri 09:00-19:00', 5 * 24 * HOUR + 12 * HOUR, null],
    ['Mon-Fri 09:00-19:00 Asia/Tokyo', 0, 600],
    ['Mon-Fri 09:00-19:00 Asia/Tokyo', 10 * HOUR, null],
    ['Mon 22:00-06:00', 23 * HOUR, 420],
    ['Mon 22:00-06:00', 28 * HOUR, 120],
    ['Mon 22:00-06:00', 30 * HOUR, null],
    ['Mon 22:00-06:00', 4 * HOUR, null],
    ['Mon 00:00-24:00', 23 * HOUR, 60],
  ])('%s, %d ms into a Monday, closes in %s minutes', (text, time, left) => {
    expect(minutesLeft(readSchedule(text) as Schedule, MONDAY + time)).toBe(left)
  })

  it('follows the clocks of its time zone', () => {
    const office = readSchedule('09:00-10:00 Europe/Berlin') as Schedule
    expect(minutesLeft(office, Date.UTC(2026, 9, 24, 7))).toBe(60)
    expect(minutesLeft(office, Date.UTC(2026, 9, 25, 7))).toBeNull()
    expect(minutesLeft(office, Date.UTC(2026, 9, 25, 8))).toBe(60)
  })

  it('is never closed where there is none', () => {
    expect(minutesLeft(null, MONDAY)).toBe(Number.POSITIVE_INFINITY)
  })
})

const POOL: Pool = { labels: ['tornade/arm64'], repository: 'acme/app', size: 2, schedule: null }

function runner(name: string, facts: Partial<Runner> = {}, labels: readonly string[] = POOL.labels): Runner {
  return {
    ...newRunner(name),
    launch: {
      at: MONDAY,
      cause: 'job',
      generation: 1,
      jobKey: '1-1',
      repository: { id: 1, name: 'Acme/app', private: true },
      installationId: null,
      labels,
      shape: {
        arch: 'arm64',
        compute: 'fargate',
        capacity: 'spot',
        cpu: 2,
        memoryGiB: 4,
        diskGiB: 20,
        computeType: null,
      },
      role: null,
      region: 'us-east-1',
      timeoutMinutes: 360,
    },
    registration: { id: 1, name, at: MONDAY },
    ...facts,
  }
}

describe('a pool', () => {
  it('lacks what it has not', () => {
    expect(poolState([POOL], [], MONDAY)).toEqual({ kept: new Set(), missing: [{ pool: POOL, count: 2 }] })
  })

  it('counts runners that are free or on their way, whoever they were started for', () => {
    const runners = [runner('a', { startedAt: MONDAY }), runner('b', { registration: null })]
    expect(poolState([POOL], runners, MONDAY)).toEqual({ kept: new Set(['a', 'b']), missing: [] })
  })

  it('counts none that is meant for a job, has one, is on its way out, or has other labels or another home', () => {
    const job = { key: '1-1', startedAt: MONDAY, completedAt: null, publicRepository: false }
    const runners = [
      runner('meant', { for: '1-1' }),
      runner('busy', { job }),
      runner('leaving', { deregisteredAt: MONDAY }),
      runner('stopped', { stoppedAt: MONDAY }),
      runner('others', {}, ['tornade']),
      runner('more', {}, [...POOL.labels, 'tornade']),
      {
        ...runner('elsewhere'),
        launch: { ...runner('x').launch!, repository: { id: 2, name: 'acme/b', private: true } },
      },
    ]
    expect(poolState([POOL], runners, MONDAY).missing).toEqual([{ pool: POOL, count: 2 }])
  })

  it('keeps no more than its size, and none while it is closed', () => {
    const runners = ['a', 'b', 'c'].map(name => runner(name))
    expect(poolState([POOL], runners, MONDAY).kept).toEqual(new Set(['a', 'b']))
    const night = { ...POOL, schedule: readSchedule('22:00-23:00') as Schedule }
    expect(poolState([night], runners, MONDAY)).toEqual({ kept: new Set(), missing: [] })
  })

  it('is reserved for at least as long as its runners may wait, whenever they are started', () => {
    const windows = [
      '09:00-19:00',
      'Fri-Mon 22:30-06:00',
      '09:00-09:20',
      'Sat,Sun 00:00-24:00',
      '01:00-04:00 Europe/Berlin',
    ]
    const schedules = [null, ...windows.map(text => readSchedule(text) as Schedule)]
    const pools = fc.array(
      fc.constantFrom(...schedules).map(schedule => ({ ...POOL, schedule })),
      { maxLength: 3 },
    )
    fc.assert(
      fc.property(pools, fc.integer({ min: 0, max: 366 * 24 * 60 }), (all, minutes) => {
        const now = MONDAY + minutes * 60_000
        const pool = poolFor(all, POOL.repository, POOL.labels, now)
        const longest = longestStandby(all, POOL.repository, POOL.labels)
        expect(longest).toBeGreaterThanOrEqual(pool ? standbyMinutes(pool, now) : 0)
        expect(longest).toBeLessThanOrEqual(240)
      }),
    )
    expect(longestStandby([POOL], 'acme/other', POOL.labels)).toBe(0)
  })

  it('shares no runner with another pool', () => {
    const pools = fc.array(fc.record({ size: fc.integer({ min: 1, max: 4 }), arm: fc.boolean() }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(pools, fc.array(fc.boolean(), { maxLength: 12 }), (sizes, arms) => {
        const labels = (arm: boolean) => (arm ? ['tornade', 'ARM64'] : ['tornade'])
        const all = sizes.map(({ size, arm }) => ({ ...POOL, labels: labels(arm), size }))
        const runners = arms.map((arm, index) => runner(`r${index}`, {}, labels(arm).toReversed()))
        const { kept, missing } = poolState(all, runners, MONDAY)
        for (const arm of [true, false]) {
          const wanted = sizes.filter(pool => pool.arm === arm).reduce((sum, { size }) => sum + size, 0)
          const there = arms.filter(other => other === arm).length
          const lacking = missing.filter(({ pool }) => pool.labels.length === labels(arm).length)
          expect(lacking.reduce((sum, { count }) => sum + count, 0)).toBe(Math.max(0, wanted - there))
        }
        const total = sizes.reduce((sum, { size }) => sum + size, 0)
        expect(kept.size + missing.reduce((sum, { count }) => sum + count, 0)).toBe(total)
      }),
    )
  })

  it('is found by the repository and labels of a job', () => {
    expect(poolFor([POOL], 'ACME/app', ['Tornade/ARM64'], MONDAY)).toBe(POOL)
    expect(poolFor([POOL], 'acme/app', ['tornade/arm64', 'tornade'], MONDAY)).toBeUndefined()
    expect(poolFor([POOL], 'acme/other', POOL.labels, MONDAY)).toBeUndefined()
  })
})
