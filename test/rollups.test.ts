import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { withCost } from '../functions/core/lifecycle.ts'
import { type Report, summaryOf, totals, unitsOf } from '../functions/core/reports.ts'
import {
  afterPasses,
  currentHours,
  dueHours,
  hourOf,
  isCurrentDue,
  NO_PASSES,
  PASSES_MS,
  upToDateAt,
} from '../functions/core/rollup-passes.ts'
import {
  isSameRollup,
  KEPT_MS,
  NO_SUMS,
  partsOf,
  periodOf,
  quantileOf,
  type Rollup,
  type SpendRollup,
  type Sums,
  spanOf,
  spendOf,
  spendOfHour,
  sumOf,
  type UsageRollup,
  wholeOf,
} from '../functions/core/rollups.ts'
import type { Job, Runner, RunnerShape } from '../functions/core/types.ts'
import { readReport } from '../functions/reports.ts'
import { rollUp } from '../functions/rollup.ts'
import { LocalLedger } from '../local/ledger.ts'
import { rollUpSince } from '../local/rollups.ts'
import { job, launch, REF, request, runner, spec, T0 } from './support/facts.ts'
import { job as queuedJob, START, stack } from './support/world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** A Monday at midnight, some months of roll-ups before which there is nothing. */
const MIDNIGHT = Date.UTC(2026, 10, 2)

const SHAPE = launch().shape
const SPOT: RunnerShape = { ...SHAPE, arch: 'arm64', capacity: 'spot' }
const BUILD: RunnerShape = {
  ...SHAPE,
  compute: 'codebuild',
  capacity: null,
  computeType: 'BUILD_GENERAL1_SMALL',
}

interface Ran {
  readonly job: Job
  readonly runner: Runner
}
interface Recipe {
  readonly stoppedAt: number
  readonly seconds?: number
  readonly repository?: string
  readonly workflow?: string | null
  readonly role?: string | null
  readonly region?: string
  readonly shape?: RunnerShape
  readonly conclusion?: string
  readonly usage?: number | null
  readonly idle?: boolean
}

let made = 0
/** A runner that stopped then, and its job; of an idle one the job was cancelled before. */
function ran({ stoppedAt, seconds = 60, conclusion = 'success', usage = null, ...recipe }: Recipe): Ran {
  const {
    repository = 'acme/app',
    workflow = 'CI',
    role = null,
    region = 'us-east-1',
    shape = SHAPE,
  } = recipe
  const key = `${++made}-1`
  const name = `tornade-${key}-1`
  const startedAt = stoppedAt - seconds * 1000
  const ref = { id: 1, name: repository, private: true }
  const asked = request({ key, jobId: made, repository: ref, workflow, createdAt: startedAt - 40_000 })
  const by = { ...REF, name }
  const [started, completed] = recipe.idle
    ? [null, { at: startedAt, conclusion: 'cancelled', startedAt: null, runner: null }]
    : [
        { at: startedAt, runner: by },
        { at: stoppedAt - 1000, conclusion, startedAt, runner: by },
      ]
  const one = runner({
    name,
    launch: launch({ at: startedAt - 30_000, jobKey: key, repository: ref, role, region, shape }),
    pullStartedAt: startedAt - 20_000,
    startedAt: startedAt - 10_000,
    stoppedAt,
    cleanedAt: stoppedAt,
    job: recipe.idle ? null : { key, startedAt, completedAt: stoppedAt - 1000, publicRepository: false },
  })
  const measured = { seconds, cpuAverage: usage, cpuPeak: usage, memoryAverageGiB: 1, memoryPeakGiB: 1 }
  return {
    runner: usage === null ? one : ({ ...one, usage: measured } as Runner),
    job: withCost(
      { ...job({ key, request: asked, queuedAt: startedAt - 35_000 }), started, completed, runner: name },
      one,
    ),
  }
}

let ledger: LocalLedger
let now: number
const clock = { now: () => now }
beforeEach(() => {
  ledger = new LocalLedger()
  made = 0
})

async function keep(...items: readonly { job?: Job; runner?: Runner }[]): Promise<void> {
  for (const one of items) {
    if (one.job)
      await ledger.jobs.put({ ...one.job, version: ((await ledger.jobs.get(one.job.key))?.version ?? 0) + 1 })
    if (one.runner)
      await ledger.runners.put({
        ...one.runner,
        version: ((await ledger.runners.get(one.runner.name))?.version ?? 0) + 1,
      })
  }
}

const forever = () => Number.POSITIVE_INFINITY
const report = (from = MIDNIGHT, to = now) => readReport({ clock, ledger }, { from, to })
const micro = (usd: number) => Math.round(usd * 1e6)

describe('the sums', () => {
  const recipes = fc.array(
    fc.record({
      stoppedAt: fc.integer({ min: MIDNIGHT, max: MIDNIGHT + 3 * DAY }),
      seconds: fc.integer({ min: 0, max: 20_000 }),
      repository: fc.constantFrom('acme/app', 'acme/web', '__proto__', 'constructor', '', 'a\nb'),
      workflow: fc.constantFrom(null, 'CI', '__proto__', 'null', ''),
      role: fc.constantFrom(null, 'deploy', 'null'),
      region: fc.constantFrom('us-east-1', 'eu-west-1', 'nowhere'),
      shape: fc.constantFrom(SHAPE, SPOT, BUILD),
      conclusion: fc.constantFrom('success', 'failure'),
      idle: fc.boolean(),
    }),
    { maxLength: 40 },
  )

  it('of a report are those of its runners and jobs, to the micro-dollar, whatever it is grouped by', async () => {
    await fc.assert(
      fc.asyncProperty(recipes, fc.integer({ min: 0, max: 72 }), async (all, cut) => {
        ledger = new LocalLedger()
        now = MIDNIGHT + 3 * DAY
        const items = all.map(ran)
        await keep(...items)
        await rollUpSince(ledger, clock, MIDNIGHT - DAY)
        const read = await report(MIDNIGHT, now + DAY)
        const { costUsd, idleUsd, startupUsd, githubHostedUsd } = totals(
          items.map(one => one.job),
          items.map(one => one.runner),
        )
        const summary = summaryOf(read)
        expect(summary.totals).toMatchObject({ costUsd, idleUsd, startupUsd, githubHostedUsd })
        expect(read.sums).toMatchObject({
          runners: items.length,
          jobs: items.filter(one => one.runner.job).length,
          failed: items.filter(one => one.runner.job && one.job.completed!.conclusion === 'failure').length,
          onDemandMicroUsd: add(items.map(one => one.runner.cost!.onDemandMicroUsd)),
          billedMs: add(items.map(one => one.runner.cost!.billedMs)),
          unknownRunners: items.filter(one => one.runner.cost!.basis === 'unknown').length,
        })
        for (const rows of [read.byRepository, read.byWorkflow, read.byRole, read.byCompute]) {
          expect(sumOf(rows.map(({ sums }) => sums))).toEqual(read.sums)
          for (const { sums, daily } of rows) expect(add(daily)).toBe(wholeOf(sums))
        }
        for (const rows of [summary.byDay, summary.byWorkflow])
          expect(add(rows.map(row => micro(row.costUsd)))).toBe(micro(costUsd))
        const [before, after] = [
          await report(MIDNIGHT, MIDNIGHT + cut * HOUR),
          await report(MIDNIGHT + cut * HOUR, now + DAY),
        ]
        expect(sumOf([before.sums, after.sums])).toEqual(read.sums)
      }),
      { numRuns: 60 },
    )
  })

  it('are the same in whatever order and parts they are merged', () => {
    fc.assert(
      fc.property(recipes, fc.array(fc.nat(), { minLength: 80, maxLength: 80 }), (all, dice) => {
        const hours = partsOf('day', '2026-11-02').map(period => {
          const items = all.map(ran).filter(one => periodOf('hour', one.runner.stoppedAt!) === period)
          return spendOfHour(period, 1, {
            runners: items.map(one => one.runner),
            jobs: new Map(items.map(one => [one.job.key, one.job])),
            unserved: [],
          })
        })
        const day = spendOf('day', '2026-11-02', 1, hours)
        let parts: SpendRollup[] = [...hours]
        for (const number of dice.slice(0, 40)) {
          if (parts.length < 2) break
          const [a] = parts.splice(number % parts.length, 1)
          const [b] = parts.splice(number % parts.length, 1)
          parts = [...parts, spendOf('day', 'some', 0, [a!, b!])]
        }
        expect(spendOf('day', '2026-11-02', 1, parts)).toEqual(day)
        expect(sumOf(day.cells)).toEqual(day.sums)
        expect(sumOf(Object.values(day.byCompute))).toEqual(day.sums)
        expect(sumOf(Object.values(day.byArch))).toEqual(day.sums)
      }),
      { numRuns: 60 },
    )
  })

  it('book a runner, with its job, in the hour of its stop', async () => {
    now = MIDNIGHT + 2 * DAY
    await keep(ran({ stoppedAt: MIDNIGHT + DAY - 1 }), ran({ stoppedAt: MIDNIGHT + DAY, shape: SPOT }))
    await rollUpSince(ledger, clock, MIDNIGHT)
    const read = await report()
    expect(read.days.map(({ day, sums }) => [day, sums.runners, sums.jobs])).toEqual([
      ['2026-11-02', 1, 1],
      ['2026-11-03', 1, 1],
    ])
    expect(read.days[1]!.byCompute).toEqual({ 'fargate-spot': read.days[1]!.sums })
    expect(read.sums).toMatchObject({ jobMs: 118_000, queueMs: 80_000, failed: 0 })
  })

  it('leave out what has no cost yet: a runner that lives, and one that only AWS told of', async () => {
    now = MIDNIGHT + 2 * DAY
    const { runner: alive } = ran({ stoppedAt: MIDNIGHT })
    await keep(
      { runner: { ...alive, stoppedAt: null, cost: null } },
      { runner: runner({ launch: null, stoppedAt: MIDNIGHT }) },
    )
    await rollUpSince(ledger, clock, MIDNIGHT)
    expect((await report()).sums).toEqual(NO_SUMS)
  })

  function add(numbers: readonly number[]): number {
    return numbers.reduce((all, one) => all + one, 0)
  }
})

describe('what happened', () => {
  it('is counted in the hour in which the job or its runner ended', async () => {
    now = MIDNIGHT + DAY
    const one = ran({ stoppedAt: MIDNIGHT + HOUR })
    const fallback = ran({ stoppedAt: MIDNIGHT + HOUR })
    const failed = ran({ stoppedAt: MIDNIGHT + HOUR, idle: true })
    const cancelled = ran({ stoppedAt: MIDNIGHT + HOUR, idle: true })
    const refused = job({ key: '90-1', request: request({ key: '90-1', jobId: 90 }), spec: null })
    await keep(
      {
        ...one,
        runner: {
          ...one.runner,
          launch: { ...one.runner.launch!, cause: 'replacement' },
          stop: { code: 'SpotInterruption', reason: '' },
        },
      },
      { ...fallback, job: { ...fallback.job, spec: spec({ capacity: 'spot' }) } },
      { runner: { ...failed.runner, startedAt: null }, job: { ...failed.job, completed: null } },
      { ...cancelled, runner: { ...cancelled.runner, startedAt: null, deregisteredAt: 1 } },
      { job: { ...refused, refused: { at: MIDNIGHT + HOUR, code: 'labels', problems: [] } } },
    )
    await rollUpSince(ledger, clock, MIDNIGHT)
    expect((await report()).happened).toEqual({
      refused: 1,
      unserved: 1,
      reclaims: 1,
      fallbacks: 1,
      replacements: 1,
      startFailures: 1,
    })
  })

  it('is how long each part of a start took, to a twentieth', async () => {
    now = MIDNIGHT + DAY
    for (let count = 0; count < 20; count++) await keep(ran({ stoppedAt: MIDNIGHT + 60 * count }))
    await rollUpSince(ledger, clock, MIDNIGHT)
    const { starts } = await report()
    const seconds = { delivery: 5, queue: 5, provisioning: 10, pull: 10, registration: 10, whole: 40 }
    for (const [name, expected] of Object.entries(seconds)) {
      const p50 = quantileOf(starts[name as keyof typeof seconds], 0.5)!
      expect(p50 / 1000 / expected).toBeGreaterThan(0.95)
      expect(p50 / 1000 / expected).toBeLessThan(1.05)
    }
  })

  it('counts no part of a start that a warm runner had behind it', async () => {
    now = MIDNIGHT + DAY
    const one = ran({ stoppedAt: MIDNIGHT })
    await keep({ ...one, runner: { ...one.runner, launch: { ...one.runner.launch!, cause: 'pool' } } })
    await rollUpSince(ledger, clock, MIDNIGHT)
    const { starts } = await report()
    expect(
      Object.entries(starts).flatMap(([name, counts]) => (Object.keys(counts).length > 0 ? [name] : [])),
    ).toEqual(['delivery', 'whole'])
  })

  it('of a share of nothing is not known', () => {
    expect(quantileOf({}, 0.95)).toBeNull()
    expect(quantileOf({ 0: 3 }, 0.5)).toBe(0)
  })
})

describe('usage', () => {
  it('is the newest twenty of each repository, workflow and shape, once the day is over', async () => {
    now = MIDNIGHT + 26 * HOUR
    for (let count = 0; count < 30; count++)
      await keep(ran({ stoppedAt: MIDNIGHT + count * 30 * MINUTE, usage: count }))
    await keep(
      ran({ stoppedAt: MIDNIGHT, usage: 1, shape: SPOT }),
      ran({ stoppedAt: MIDNIGHT, usage: 1, workflow: null }),
    )
    await rollUpSince(ledger, clock, MIDNIGHT)
    const keys = [
      'hour#2026-11-02T00#usage',
      'day#2026-11-02#usage',
      'month#2026-11#usage',
      'day#2026-11-03#usage',
    ]
    const rollups = await ledger.rollups.get(keys)
    expect([...rollups.keys()]).toEqual(keys.slice(0, 3))
    for (const key of keys.slice(1, 3)) {
      const { usage } = rollups.get(key) as UsageRollup
      expect(usage.map(({ workflow, shape, samples }) => [workflow, shape.capacity, samples.length])).toEqual(
        [
          ['CI', 'spot', 1],
          ['CI', 'on-demand', 20],
        ],
      )
      expect(usage[1]!.samples.map(({ cpuAverage }) => cpuAverage)).toEqual(
        Array.from({ length: 20 }, (_, index) => 29 - index),
      )
    }
  })
})

describe('a pass', () => {
  /** Passes over all that is due, and what they wrote. */
  async function pass(at: number): Promise<string[]> {
    now = at
    const written: string[] = []
    const rollups = {
      ...ledger.rollups,
      put: async (all: readonly Rollup[]) => {
        written.push(...all.map(({ grain, period, family }) => `${grain}#${period}#${family}`))
        await ledger.rollups.put(all)
      },
    }
    const { version, ...sweep } = await ledger.sweep.get()
    const memory = await rollUp({ clock, ledger: { ...ledger, rollups } }, sweep.rollups, forever)
    await ledger.sweep.put({ ...sweep, version: version + 1, rollups: memory })
    return written
  }

  it('writes what has changed and nothing else, larger periods first', async () => {
    expect(await pass(T0)).toEqual([])
    await keep(ran({ stoppedAt: T0 + MINUTE }))
    expect(await pass(T0 + 15 * MINUTE)).toEqual(['day#2026-11-02#spend', 'hour#2026-11-02T09#spend'])
    expect(await pass(T0 + 30 * MINUTE)).toEqual([])
    await keep(ran({ stoppedAt: T0 + 59 * MINUTE, usage: 1 }))
    expect(await pass(T0 + HOUR + 10 * MINUTE)).toEqual([
      'day#2026-11-02#spend',
      'hour#2026-11-02T09#spend',
      'hour#2026-11-02T09#usage',
    ])
    for (let at = T0 + 75 * MINUTE; at < MIDNIGHT + DAY + 10 * MINUTE; at += 15 * MINUTE)
      expect(await pass(at)).toEqual([])
    expect(await pass(MIDNIGHT + DAY + 10 * MINUTE)).toEqual([
      'month#2026-11#spend',
      'month#2026-11#usage',
      'day#2026-11-02#usage',
    ])
    for (let at = MIDNIGHT + DAY + 25 * MINUTE; at < MIDNIGHT + 5 * DAY; at += 15 * MINUTE)
      expect(await pass(at)).toEqual([])
  })

  it.each([
    [1.2, 'day hour'],
    [72, 'month day hour'],
  ])('takes in what is learnt %d hours later', async (hours, grains) => {
    const one = ran({ stoppedAt: T0 + MINUTE })
    await keep({ runner: { ...one.runner, job: null } })
    for (let at = T0; at <= T0 + hours * HOUR; at += 15 * MINUTE) await pass(at)
    expect((await report()).sums).toMatchObject({ runners: 1, jobs: 0 })
    await keep(one)
    const written: string[] = []
    for (let at = now; at <= T0 + (hours + 3) * HOUR; at += 15 * MINUTE) written.push(...(await pass(at)))
    expect([...new Set(written.map(key => key.split('#')[0]))].join(' ')).toBe(grains)
    expect((await report()).sums).toMatchObject({ runners: 1, jobs: 1 })
  })

  it('moves a runner whose stop is corrected to another hour, and to another day', async () => {
    const one = ran({ stoppedAt: MIDNIGHT + 23.5 * HOUR })
    await keep(one)
    await pass(MIDNIGHT + 24 * HOUR)
    expect((await report(MIDNIGHT, MIDNIGHT + DAY)).sums.runners).toBe(1)
    await keep({ runner: { ...one.runner, stoppedAt: MIDNIGHT + 24.1 * HOUR } })
    await pass(MIDNIGHT + 25 * HOUR)
    expect((await report(MIDNIGHT, MIDNIGHT + DAY)).sums.runners).toBe(0)
    expect((await report(MIDNIGHT + DAY, MIDNIGHT + 2 * DAY)).sums.runners).toBe(1)
  })

  it('that is interrupted, wherever, is made good by the next', async () => {
    const items = Array.from({ length: 12 }, (_, index) =>
      ran({ stoppedAt: MIDNIGHT + index * 5 * HOUR, usage: index }),
    )
    const clean = new LocalLedger()
    now = MIDNIGHT + 5 * DAY
    ledger = clean
    await keep(...items)
    await rollUpSince(clean, clock, MIDNIGHT)
    const expected = await everything(clean)
    expect(expected.length).toBeGreaterThan(20)
    for (let crash = 1; ; crash++) {
      ledger = new LocalLedger()
      await keep(...items)
      let writes = 0
      const put = async (all: readonly Rollup[]) => {
        for (const rollup of all) {
          if (++writes === crash) throw new Error('it ends here')
          await ledger.rollups.put([rollup])
        }
      }
      const fragile = { ...ledger, sweep: ledger.sweep, rollups: { ...ledger.rollups, put } }
      const ended = await rollUpSince(fragile, clock, MIDNIGHT).then(
        () => false,
        () => true,
      )
      if (!ended) break
      await rollUpSince(ledger, clock, MIDNIGHT)
      expect(await everything(ledger)).toEqual(expected)
    }
  })

  it('looks at a bounded number of hours, and leaves those that it has no time for', async () => {
    const looked: string[] = []
    const stopped = async (hour: string) => {
      looked.push(hour)
      return ledger.runners.stopped(hour)
    }
    const watched = { ...ledger, runners: { ...ledger.runners, stopped } }
    now = MIDNIGHT + 30 * DAY
    const memory = { lookedAt: 0, done: PASSES_MS.map(() => MIDNIGHT) }
    const first = await rollUp({ clock, ledger: watched }, memory, forever)
    expect(looked).toHaveLength(48)
    expect(upToDateAt(first)).toBe(MIDNIGHT + 2 * DAY)
    let left = 2
    const second = await rollUp({ clock, ledger: watched }, first, () => (left-- > 0 ? 20_000 : 14_000))
    expect(looked).toHaveLength(48 + 48)
    expect(second.lookedAt).toBe(0)
    expect(await rollUp({ clock, ledger: watched }, second, () => 14_000)).toEqual(second)
  })

  async function everything({ rollups }: LocalLedger): Promise<Rollup[]> {
    const days = Array.from({ length: 6 }, (_, day) => periodOf('day', MIDNIGHT + day * DAY))
    const periods = [
      'month#2026-11',
      ...days.flatMap(day => [`day#${day}`, ...partsOf('day', day).map(hour => `hour#${hour}`)]),
    ]
    return [...(await rollups.get(periods.flatMap(one => [`${one}#spend`, `${one}#usage`]))).values()]
  }
})

describe('which hours are due', () => {
  it('are those that end, and again later, however irregularly one looks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 * 60 }), { minLength: 30, maxLength: 60 }),
        minutes => {
          let memory = NO_PASSES
          let at = T0
          const looked = new Map<number, number[]>()
          const wrong: { hour: number; times: readonly number[] }[] = []
          for (const step of minutes) {
            at += step * MINUTE
            for (
              let due = dueHours(memory, at, KEPT_MS.hour, 7);
              due.length > 0;
              due = dueHours(memory, at, KEPT_MS.hour, 7)
            ) {
              expect(due.length).toBeLessThanOrEqual(7)
              expect(due).toEqual(due.toSorted((a, b) => a - b))
              for (const hour of due) looked.set(hour, [...(looked.get(hour) ?? []), at])
              memory = afterPasses(memory, due, at)
            }
            memory = afterPasses(memory, currentHours(at), at)
            expect(upToDateAt(memory)).toBe(at)
          }
          for (
            let hour = hourOf(T0 + minutes[0]! * MINUTE);
            hour + HOUR + PASSES_MS.at(-1)! <= at;
            hour += HOUR
          ) {
            const times = looked.get(hour)!
            const isDone =
              PASSES_MS.every(delay => times.some(time => time >= hour + HOUR + delay)) &&
              times.every(time => time >= hour + HOUR + PASSES_MS[0]!) &&
              times.length <= PASSES_MS.length
            if (!isDone) wrong.push({ hour, times })
          }
          expect(wrong).toEqual([])
        },
      ),
    )
  })

  it('are none whose items may have expired', () => {
    const at = T0 + 200 * DAY
    const due = dueHours({ lookedAt: 0, done: PASSES_MS.map(() => T0) }, at, KEPT_MS.hour, 100_000)
    expect(due[0]).toBeGreaterThan(at - KEPT_MS.hour + DAY)
    expect(due.at(-1)).toBe(at - 2 * HOUR)
  })

  it('begin a day before the first look', () => {
    expect(dueHours(NO_PASSES, T0 + HOUR, KEPT_MS.hour, 100)[0]).toBe(T0 + HOUR - DAY)
  })

  it('are joined by the one that runs, each quarter of an hour', () => {
    const memory = afterPasses(NO_PASSES, [T0], T0 + MINUTE)
    expect(memory.lookedAt).toBe(T0 + MINUTE)
    expect(isCurrentDue(memory, T0 + 15 * MINUTE)).toBe(false)
    expect(isCurrentDue(memory, T0 + 16 * MINUTE)).toBe(true)
    const late = { ...memory, lookedAt: T0 + 44 * MINUTE }
    expect(isCurrentDue(late, T0 + 59 * MINUTE)).toBe(true)
    expect(isCurrentDue(late, T0 + 69 * MINUTE)).toBe(false)
    expect(isCurrentDue(late, T0 + 70 * MINUTE)).toBe(true)
    expect(isCurrentDue({ ...late, lookedAt: T0 + 30 * MINUTE }, T0 + 60 * MINUTE)).toBe(true)
  })

  it('say as of when all stands: of the first hour that is behind', () => {
    expect(upToDateAt(NO_PASSES)).toBeNull()
    expect(upToDateAt({ lookedAt: T0 + 5 * HOUR, done: PASSES_MS.map(() => T0) })).toBe(T0)
  })
})

describe('a period', () => {
  const NOW = T0 + 30 * MINUTE
  const texts = (from: number, to: number) => {
    const { period, units } = unitsOf({ from, to }, NOW)
    return [
      new Date(period.from).toISOString(),
      new Date(period.to).toISOString(),
      ...units.map(unit => unit.period),
    ]
  }

  it('is days, with hours at its edges', () => {
    expect(texts(MIDNIGHT - 25 * HOUR, MIDNIGHT + 2 * HOUR)).toEqual([
      '2026-10-31T23:00:00.000Z',
      '2026-11-02T02:00:00.000Z',
      '2026-10-31T23',
      '2026-11-01',
      '2026-11-02T00',
      '2026-11-02T01',
    ])
  })

  it('is made wider to whole hours, and to whole days where hours are gone', () => {
    expect(texts(MIDNIGHT + 1, MIDNIGHT + HOUR + 1).slice(0, 2)).toEqual([
      '2026-11-02T00:00:00.000Z',
      '2026-11-02T02:00:00.000Z',
    ])
    const old = MIDNIGHT - 200 * DAY
    expect(texts(old + HOUR, old + 2 * HOUR)).toEqual([
      '2026-04-16T00:00:00.000Z',
      '2026-04-17T00:00:00.000Z',
      '2026-04-16',
    ])
  })

  it('reaches as far back as days are kept, and to the end of this day', () => {
    const { period, units } = unitsOf({ from: 0, to: Number.MAX_SAFE_INTEGER }, NOW)
    expect(units).toHaveLength(400)
    expect(period.to).toBe(MIDNIGHT + DAY)
  })

  it.each([
    ['in the future', MIDNIGHT + 3 * DAY, MIDNIGHT + 4 * DAY],
    ['long gone', 0, DAY],
  ])('%s has nothing', (_, from, to) => {
    const { period, units } = unitsOf({ from, to }, NOW)
    expect(units).toEqual([])
    expect(period.from).toBe(period.to)
  })

  it('of a month ends where the next begins', () => {
    expect(spanOf('month', '2026-12')).toEqual({ from: Date.UTC(2026, 11, 1), to: Date.UTC(2027, 0, 1) })
    expect(partsOf('month', '2028-02')).toHaveLength(29)
    expect(partsOf('day', '2026-11-02').at(-1)).toBe('2026-11-02T23')
  })
})

describe('a report', () => {
  it('lists every day, dearest first within, with what each day was of it', async () => {
    now = MIDNIGHT + 2.5 * DAY
    await keep(
      ran({ stoppedAt: MIDNIGHT, repository: 'acme/b', role: 'deploy' }),
      ran({ stoppedAt: MIDNIGHT + 2 * DAY, repository: 'acme/a' }),
      ran({ stoppedAt: MIDNIGHT + 2 * DAY, repository: 'acme/c', seconds: 9000 }),
    )
    await rollUpSince(ledger, clock, MIDNIGHT)
    const read = await report(MIDNIGHT, MIDNIGHT + 3 * DAY)
    expect(read.days.map(({ day, sums }) => [day, sums.runners])).toEqual([
      ['2026-11-02', 1],
      ['2026-11-03', 0],
      ['2026-11-04', 2],
    ])
    expect(read.byRepository.map(row => [row.repository, row.daily.map(amount => amount > 0)])).toEqual([
      ['acme/c', [false, false, true]],
      ['acme/a', [false, false, true]],
      ['acme/b', [true, false, false]],
    ])
    expect(read.byRole.map(({ role }) => role)).toEqual([null, 'deploy'])
    expect(read).toMatchObject({ computedAt: now, incomplete: [] } satisfies Partial<Report>)
  })

  it('says where a part of a day could not be read', async () => {
    now = MIDNIGHT + DAY
    await keep(ran({ stoppedAt: MIDNIGHT }))
    await rollUpSince(ledger, clock, MIDNIGHT)
    const [day] = (await ledger.rollups.get(['day#2026-11-02#spend'])).values()
    await ledger.rollups.put([{ ...(day as SpendRollup), cells: [], incomplete: true }])
    const read = await report()
    expect(read.incomplete).toEqual(['2026-11-02'])
    expect(read.sums.runners).toBe(1)
  })

  it('of nothing is empty', async () => {
    now = MIDNIGHT
    expect(summaryOf(await report(MIDNIGHT - DAY))).toMatchObject({
      totals: { costUsd: 0, basis: 'published', runners: 0 },
      byDay: [],
      byRepository: [],
      computedAt: null,
    })
  })

  it('is told apart by what it says, not by the order of its names', () => {
    const sums: Sums = NO_SUMS
    const rollup = spendOf('day', '2026-11-02', 1, [])
    const turned = Object.fromEntries(
      Object.entries({ ...rollup, at: 9 }).toReversed(),
    ) as unknown as SpendRollup
    expect(isSameRollup(turned, rollup)).toBe(true)
    expect(isSameRollup({ ...rollup, sums: { ...sums, jobs: 1 } }, rollup)).toBe(false)
    expect(isSameRollup(undefined, rollup)).toBe(false)
  })
})

describe('the sweep', () => {
  it('rolls up while things happen and after, and writes nothing each minute on an idle stack', async () => {
    let writes = 0
    const { world } = await stack({
      wrapPorts: ports => {
        const { sweep, rollups } = ports.ledger
        const counted =
          <T>(put: (item: T) => Promise<unknown>) =>
          (item: T) => {
            writes += 1
            return put(item)
          }
        return {
          ...ports,
          ledger: {
            ...ports.ledger,
            sweep: { ...sweep, put: counted(sweep.put) as typeof sweep.put },
            rollups: { ...rollups, put: counted(rollups.put) as typeof rollups.put },
          },
        }
      },
    })
    await world.clock.run(START + 30 * MINUTE)
    expect(writes).toBe(0)
    for (let id = 1; id <= 5; id++) world.github.queue(queuedJob(id))
    await world.clock.run(START + 80 * MINUTE)
    const sums = async () => (await readReport(world, { from: START, to: START + HOUR })).sums
    expect(await sums()).toMatchObject({ runners: 5, jobs: 5 })
    await world.clock.run(START + 100 * HOUR)
    writes = 0
    await world.clock.run(START + 110 * HOUR)
    // Four sweeps an hour look around, each with its lease and what it remembers.
    expect(writes).toBeLessThanOrEqual(10 * 4 * 2)
    expect((await readReport(world, { from: START, to: START + 5 * DAY })).sums).toEqual(await sums())
  })

  it.each([
    [-DAY, []],
    [80 * HOUR, ['money']],
  ])('is held to its months by the promises: %d ms passed over', async (skipped, broken) => {
    const { world, promises } = await stack({
      wrapPorts: ports => ({
        ...ports,
        ledger: {
          ...ports.ledger,
          sweep: {
            ...ports.ledger.sweep,
            put: memory => {
              const done = memory.rollups.done.map(hour => Math.max(hour, START + skipped))
              return ports.ledger.sweep.put({
                ...memory,
                rollups: { lookedAt: Number.MAX_SAFE_INTEGER, done },
              })
            },
          },
        },
      }),
    })
    for (let id = 1; id <= 3; id++) world.github.queue(queuedJob(id))
    await world.clock.run(START + 59 * MINUTE)
    expect((await promises.end()).map(({ promise }) => promise)).toEqual(broken)
  })
})
