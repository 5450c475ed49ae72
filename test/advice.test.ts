/** Advice: from ten runs on, by the figures, to a size that AWS has. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { adviceFor } from '../functions/core/advice.ts'
import { perMinute } from '../functions/core/cost.ts'
import { DEFAULT_RULES, readLabels } from '../functions/core/labels.ts'
import { firstCapacity, shapeOf } from '../functions/core/plan.ts'
import type { UsageSample } from '../functions/core/rollups.ts'
import { CODEBUILD_TYPES, FARGATE_SIZES } from '../functions/core/sizes.ts'
import type { RunnerShape } from '../functions/core/types.ts'

const MINUTES = 1000
const REGION = 'us-east-1'

function fargate(cpu: number, memoryGiB: number, over: Partial<RunnerShape> = {}): RunnerShape {
  const rest = { arch: 'x64', capacity: 'on-demand', diskGiB: 20, computeType: null } as const
  return { compute: 'fargate', cpu, memoryGiB, ...rest, ...over }
}
function codebuild(size: string, arch: 'x64' | 'arm64' = 'x64'): RunnerShape {
  const type = CODEBUILD_TYPES[arch].find(({ computeType }) => computeType.endsWith(`1_${size}`))!
  return { arch, compute: 'codebuild', capacity: null, ...type }
}

/** Shares of what the runner has: average and peak of cpu, then of memory. */
type Shares = readonly [number, number, number, number]
const IDLE: Shares = [0.2, 0.5, 0.2, 0.4]
const FITS: Shares = [0.5, 0.9, 0.5, 0.8]

function run({ cpu, memoryGiB }: RunnerShape, [a, b, c, d]: Shares, at: number): UsageSample {
  return {
    jobKey: `${at}-1`,
    at,
    seconds: 60,
    cpuAverage: a * cpu,
    cpuPeak: b * cpu,
    memoryAverageGiB: c * memoryGiB,
    memoryPeakGiB: d * memoryGiB,
  }
}
const runs = (shape: RunnerShape, count: number, shares: Shares): UsageSample[] =>
  Array.from({ length: count }, (_, at) => run(shape, shares, at))
const adviceOn = (shape: RunnerShape, samples: readonly UsageSample[], region = REGION) =>
  adviceFor({ shape, region, samples }, MINUTES)
const advise = (shape: RunnerShape, shares: Shares, count = 20) => adviceOn(shape, runs(shape, count, shares))

describe('advice', () => {
  it('is never drawn from fewer than ten runs', () => {
    for (let count = 0; count < 10; count++) {
      expect(advise(fargate(4, 8), IDLE, count)).toBeNull()
      expect(advise(fargate(4, 8), [1, 1, 1, 1], count)).toBeNull()
    }
    expect(advise(fargate(4, 8), IDLE, 10)).toMatchObject({ runs: 10 })
  })

  it('looks at the last twenty', () => {
    const shape = fargate(4, 8)
    const busy = (at: number) => run(shape, [0.99, 1, 0.99, 1], at)
    const twenty = runs(shape, 20, IDLE)
    expect(adviceOn(shape, [busy(-1), ...twenty])).toMatchObject({ runs: 20, cpu: 'smaller' })
    expect(adviceOn(shape, [busy(100), ...twenty])).toBeNull()
  })

  it.each<[string, RunnerShape, Shares, readonly string[] | null]>([
    ['less of both', fargate(4, 8), IDLE, ['2cpu', '4gb']],
    ['less cpu', fargate(4, 8), [0.2, 0.5, 0.5, 0.8], ['2cpu', '8gb']],
    ['less memory', fargate(4, 16), [0.5, 0.9, 0.2, 0.4], ['4cpu', '8gb']],
    ['only as much less memory as its peak leaves', fargate(4, 16), [0.5, 0.9, 0.29, 0.65], ['4cpu', '12gb']],
    ['no less memory than its cpu has', fargate(4, 8), [0.5, 0.9, 0.1, 0.1], null],
    ['no less cpu than has the memory', fargate(4, 30), [0.1, 0.2, 0.5, 0.8], null],
    ['less cpu where it may have less memory too', fargate(4, 30), [0.1, 0.2, 0.1, 0.2], ['2cpu', '15gb']],
    ['more cpu, with the memory that it needs', fargate(2, 4), [0.95, 1, 0.5, 0.8], ['4cpu', '8gb']],
    ['more cpu, and the same memory', fargate(1, 8), [0.95, 1, 0.5, 0.8], ['2cpu', '8gb']],
    ['more memory', fargate(2, 4), [0.5, 0.9, 0.95, 1], ['2cpu', '8gb']],
    ['as much more memory as its cpu has', fargate(2, 15), [0.5, 0.9, 0.95, 1], ['2cpu', '16gb']],
    ['more cpu for more memory', fargate(2, 16), [0.5, 0.9, 0.95, 1], ['4cpu', '30gb']],
    ['less cpu and more memory', fargate(2, 4), [0.1, 0.2, 0.95, 1], ['1cpu', '8gb']],
    ['nothing where it fits', fargate(2, 4), FITS, null],
    ['nothing below the smallest', fargate(0.25, 0.5), [0.01, 0.01, 0.01, 0.01], null],
    ['nothing above the largest', fargate(32, 244), [1, 1, 1, 1], null],
    ['512 MB as they are written', fargate(0.25, 1), [0.5, 0.9, 0.2, 0.4], ['0.25cpu', '512mb']],
    ['a smaller type of CodeBuild', codebuild('LARGE'), IDLE, ['4cpu', '8gb']],
    ['no smaller type that lacks the memory', codebuild('LARGE'), [0.1, 0.2, 0.4, 0.5], null],
    ['a smaller type that has the memory', codebuild('LARGE'), [0.1, 0.2, 0.4, 0.44], ['4cpu', '8gb']],
    ['no smaller type for its memory alone', codebuild('LARGE'), [0.5, 0.9, 0.1, 0.1], null],
    ['a larger type for either', codebuild('SMALL'), [0.5, 0.9, 0.95, 1], ['4cpu', '8gb']],
    ['no type of a quarter for what needs a third', codebuild('XLARGE'), [0.25, 0.3, 0.05, 0.1], null],
    [
      'a type of a quarter for what needs a tenth',
      codebuild('XLARGE'),
      [0.1, 0.1, 0.05, 0.1],
      ['8cpu', '16gb'],
    ],
  ])('is %s', (_, shape, shares, labels) => {
    expect(advise(shape, shares)?.labels ?? null).toEqual(labels)
  })

  it('has bounds that are just where they are said to be', () => {
    const shape = fargate(4, 8)
    const cpu = (average: number, peak: number) => advise(shape, [average, peak, 0.5, 0.8])?.cpu ?? null
    expect(cpu(0.2999, 0.6999)).toBe('smaller')
    expect(cpu(0.3, 0.6)).toBeNull()
    expect(cpu(0.2, 0.7)).toBeNull()
    expect(cpu(0.9, 1)).toBeNull()
    expect(cpu(0.9001, 1)).toBe('larger')
  })

  it('asks of all runs that they stay low, and of more than half that they sit high', () => {
    const shape = fargate(4, 8)
    const mixed = (high: number) => [
      ...runs(shape, high, [0.95, 1, 0.5, 0.8]),
      ...runs(shape, 20 - high, [0.1, 0.2, 0.5, 0.8]),
    ]
    const of = (high: number) => adviceOn(shape, mixed(high))?.cpu ?? null
    expect([0, 1, 10, 11, 20].map(of)).toEqual(['smaller', null, null, 'larger', 'larger'])
  })

  it('says what a month of the same minutes costs less, or more', () => {
    // 2 × 0.04048 + 4 × 0.004445 USD an hour for 1,000 minutes.
    expect(advise(fargate(4, 8), IDLE)).toMatchObject({
      savingMicroUsdPerMonth: 1_645_667,
      basis: 'published',
      most: { cpuAverage: 0.2, cpuPeak: 0.5, memoryAverage: 0.2, memoryPeak: 0.4 },
    })
    expect(advise(fargate(2, 4), [0.95, 1, 0.5, 0.8])).toMatchObject({ savingMicroUsdPerMonth: -1_645_667 })
    expect(advise(fargate(4, 8, { capacity: 'spot' }), IDLE)).toMatchObject({ basis: 'estimate' })
    const idle = runs(fargate(4, 8), 20, IDLE)
    expect(adviceOn(fargate(4, 8), idle, 'xx-nowhere-1')).toMatchObject({
      labels: ['2cpu', '4gb'],
      savingMicroUsdPerMonth: null,
      basis: 'unknown',
    })
    const never = adviceFor({ shape: fargate(4, 8), region: REGION, samples: idle }, 0)
    expect(never!.savingMicroUsdPerMonth).toBe(0)
  })
})

const shapes = fc.oneof(
  fc
    .record({
      arch: fc.constantFrom('x64', 'arm64'),
      capacity: fc.constantFrom('on-demand', 'spot'),
      size: fc.constantFrom(
        ...FARGATE_SIZES.flatMap(({ cpu, memoryGiB }) => memoryGiB.map(gib => [cpu, gib] as const)),
      ),
    })
    .map(({ size: [cpu, gib], ...over }) => fargate(cpu, gib, over as Partial<RunnerShape>)),
  fc.constantFrom(
    ...(['x64', 'arm64'] as const).flatMap(arch =>
      CODEBUILD_TYPES[arch].map(({ computeType }) => codebuild(computeType.split('1_')[1]!, arch)),
    ),
  ),
)
/** Runs that are alike, as those of one job are. */
const samples = shapes.chain(shape => {
  const share = fc.double({ min: 0, max: 1, noNaN: true })
  return fc.tuple(share, share, fc.integer({ min: 1, max: 30 })).chain(([cpu, memory, count]) => {
    const near = (base: number) =>
      fc
        .double({ min: base * 0.9, max: Math.min(1, base * 1.1), noNaN: true })
        .chain(average =>
          fc
            .double({ min: average, max: Math.min(1, average * 2), noNaN: true })
            .map(peak => [average, peak] as const),
        )
    return fc
      .array(fc.tuple(near(cpu), near(memory)), { minLength: count, maxLength: count })
      .map(all => ({ shape, all: all.map(([[a, b], [c, d]], at) => run(shape, [a, b, c, d], at)) }))
  })
})

describe('any advice', () => {
  it('leads to the size that it names when its labels are written', () => {
    let given = 0
    fc.assert(
      fc.property(samples, ({ shape, all }) => {
        const advice = adviceOn(shape, all)
        if (!advice) return
        given++
        const { arch, compute } = advice.from
        const reading = readLabels(['tornade', arch, compute, ...advice.labels], DEFAULT_RULES)
        if (reading.outcome !== 'spec') throw new Error(`${advice.labels} are not read`)
        const { computeType, cpu, memoryGiB } = shapeOf(reading.spec, firstCapacity(reading.spec))
        expect({ computeType, cpu, memoryGiB }).toEqual({
          computeType: advice.to.computeType,
          cpu: advice.to.cpu,
          memoryGiB: advice.to.memoryGiB,
        })
      }),
      { numRuns: 1000 },
    )
    expect(given).toBeGreaterThan(200)
  })

  it('comes from ten runs or more, in any order, takes no memory that a peak needs, and saves where it takes away', () => {
    fc.assert(
      fc.property(samples, ({ shape, all }) => {
        const advice = adviceOn(shape, all)
        expect(adviceOn(shape, all.toReversed())).toEqual(advice)
        if (!advice) return
        const { cpu, memory, from, to, savingMicroUsdPerMonth } = advice
        expect(all.length).toBeGreaterThanOrEqual(10)
        expect([to.cpu, to.memoryGiB]).not.toEqual([from.cpu, from.memoryGiB])
        const counted = all.slice(-20)
        const peak = Math.max(...counted.map(({ memoryPeakGiB }) => memoryPeakGiB))
        if (to.memoryGiB < from.memoryGiB) expect(peak).toBeLessThanOrEqual(0.9 * to.memoryGiB)
        if (cpu !== 'smaller') expect(to.cpu).toBeGreaterThanOrEqual(from.cpu)
        if (cpu === 'larger' && from.cpu < 32) expect(to.cpu).toBeGreaterThan(from.cpu)
        const prices = [from, to].map(shape => perMinute(shape, REGION).microUsd)
        if (cpu !== 'larger' && memory !== 'larger' && !prices.includes(null))
          expect(savingMicroUsdPerMonth).toBeGreaterThan(0)
      }),
      { numRuns: 1000 },
    )
  })
})
