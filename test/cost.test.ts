import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { githubHostedPerMinute, jobCost, perMinute, runnerCost } from '../functions/core/cost.ts'
import { PRICES } from '../functions/core/prices.ts'
import type { Runner, RunnerCost, RunnerLaunch, RunnerShape } from '../functions/core/types.ts'
import { shape } from './support/facts.ts'

const T0 = Date.UTC(2026, 10, 2, 9, 0, 0)
const at = (seconds: number) => T0 + Math.round(seconds * 1000)

function build(over: Partial<RunnerShape> = {}): RunnerShape {
  return shape({
    compute: 'codebuild',
    capacity: null,
    diskGiB: 64,
    computeType: 'BUILD_GENERAL1_SMALL',
    ...over,
  })
}

function launch(over: Partial<RunnerLaunch> = {}): RunnerLaunch {
  return {
    at: T0,
    cause: 'job',
    generation: 1,
    jobKey: '1-1',
    repository: { id: 1, name: 'acme/app', private: true },
    installationId: null,
    labels: ['tornade'],
    shape: shape(),
    role: null,
    region: 'us-east-1',
    timeoutMinutes: 360,
    ...over,
  }
}

function runner(over: Partial<Runner> = {}): Runner {
  return {
    name: 'tornade-1-1-1',
    version: 1,
    launch: launch(),
    registration: null,
    providerId: null,
    ticketKey: null,
    pullStartedAt: at(0),
    startedAt: null,
    stoppingAt: null,
    stoppedAt: null,
    cleanedAt: null,
    stop: null,
    for: null,
    job: null,
    deregisteredAt: null,
    stopRequestedAt: null,
    cost: null,
    ...over,
  }
}

/** A job that ran between two seconds of its runner's life. */
function job(from: number, to: number | null, over: Partial<NonNullable<Runner['job']>> = {}) {
  return {
    key: '1-1',
    startedAt: at(from),
    completedAt: to === null ? null : at(to),
    publicRepository: false,
    ...over,
  }
}

// The default shape, 2 vCPU and 4 GB in us-east-1, costs an hour
// 2 × 0.04048 + 4 × 0.004445 + 0.005 (IPv4) = 0.10374 USD, a minute 1,729 µ$.

describe('invoices', () => {
  it('Fargate above a minute', () => {
    // 300 s = 5 min × 1,729 = 8,645 µ$
    // start-up 30/300 → 864.5 → 864; job 180/300 → 5,187; idle 8,645 − 864 − 5,187 = 2,594
    // GitHub: 180 s = 3 min × 0.006
    const facts = runner({ startedAt: at(30), stoppedAt: at(300), job: job(40, 220) })
    expect(runnerCost(facts)).toEqual({
      totalMicroUsd: 8645,
      startupMicroUsd: 864,
      jobMicroUsd: 5187,
      idleMicroUsd: 2594,
      wastedMicroUsd: 0,
      onDemandMicroUsd: 8645,
      billedMs: 300_000,
      basis: 'published',
      onDemandBasis: 'published',
    })
    expect(jobCost(facts)).toEqual({
      runner: 'tornade-1-1-1',
      microUsd: 5187,
      githubHostedMicroUsd: 18_000,
      onDemandMicroUsd: 5187,
      basis: 'published',
      onDemandBasis: 'published',
    })
  })

  it('Fargate below a minute: a whole one is billed, what is added is idle', () => {
    // 40 s → 60 s = 1,729 µ$; start-up 10/60 → 288.17 → 288; job 20/60 → 576.33 → 576; idle 865
    const facts = runner({ startedAt: at(10), stoppedAt: at(40), job: job(12, 32) })
    expect(runnerCost(facts)).toMatchObject({
      totalMicroUsd: 1729,
      startupMicroUsd: 288,
      jobMicroUsd: 576,
      idleMicroUsd: 865,
      billedMs: 60_000,
    })
    // 20 s are one started minute at GitHub.
    expect(jobCost(facts)?.githubHostedMicroUsd).toBe(6000)
  })

  it('Fargate in whole seconds, money rounded half up', () => {
    // 61.2 s → 62 s × 103,740 / 3,600 = 1,786.63 → 1,787
    expect(runnerCost(runner({ stoppedAt: at(61.2) }))).toMatchObject({
      totalMicroUsd: 1787,
      billedMs: 62_000,
    })
    // 90 s × 103,740 / 3,600 = 2,593.5 → 2,594
    expect(runnerCost(runner({ stoppedAt: at(90) }))?.totalMicroUsd).toBe(2594)
  })

  it('Fargate Spot, and the same on demand', () => {
    // 4 vCPU, 8 GB: 4 × 0.012945 + 8 × 0.001415 + 0.005 = 0.0681 an hour; 10 min = 11,350 µ$
    // on demand: 4 × 0.04048 + 8 × 0.004445 + 0.005 = 0.20248 an hour; 10 min = 33,746.67 → 33,747
    // start-up 45/600 → 851.25 → 851; job 500/600 → 9,458.33 → 9,458; idle 1,041
    // job on demand 33,747 × 500/600 = 28,122.5 → 28,122; GitHub: 500 s = 9 min × 0.012
    const spot = launch({ shape: shape({ capacity: 'spot', cpu: 4, memoryGiB: 8 }) })
    const facts = runner({ launch: spot, startedAt: at(45), stoppedAt: at(600), job: job(60, 560) })
    expect(runnerCost(facts)).toEqual({
      totalMicroUsd: 11_350,
      startupMicroUsd: 851,
      jobMicroUsd: 9458,
      idleMicroUsd: 1041,
      wastedMicroUsd: 0,
      onDemandMicroUsd: 33_747,
      billedMs: 600_000,
      basis: 'estimate',
      onDemandBasis: 'published',
    })
    expect(jobCost(facts)).toMatchObject({
      microUsd: 9458,
      githubHostedMicroUsd: 108_000,
      onDemandMicroUsd: 28_122,
      basis: 'estimate',
    })
  })

  it('ARM for an hour', () => {
    // 4 × 0.03238 + 8 × 0.00356 + 0.005 = 0.163; job 59 min: 163,000 × 59/60 = 160,283.33 → 160,283
    // GitHub: 59 min × 0.008
    const arm = launch({ shape: shape({ arch: 'arm64', cpu: 4, memoryGiB: 8 }) })
    const facts = runner({ launch: arm, startedAt: at(30), stoppedAt: at(3600), job: job(30, 3570) })
    expect(runnerCost(facts)).toMatchObject({ totalMicroUsd: 163_000, jobMicroUsd: 160_283 })
    expect(jobCost(facts)?.githubHostedMicroUsd).toBe(472_000)
  })

  it('a quarter of a vCPU with half a GB', () => {
    // 0.25 × 0.04048 + 0.5 × 0.004445 + 0.005 = 0.0173425; 1 h = 17,342.5 → 17,343
    const small = launch({ shape: shape({ cpu: 0.25, memoryGiB: 0.5 }) })
    expect(runnerCost(runner({ launch: small, stoppedAt: at(3600) }))?.totalMicroUsd).toBe(17_343)
  })

  it('storage over 20 GiB', () => {
    // 0.10374 + 30 × 0.000111 = 0.10707; 20 min = 35,690 µ$
    const large = launch({ shape: shape({ diskGiB: 50 }) })
    expect(runnerCost(runner({ launch: large, stoppedAt: at(1200) }))).toMatchObject({
      totalMicroUsd: 35_690,
      basis: 'published',
    })
  })

  it('Tokyo', () => {
    // 1 vCPU, 2 GB: 0.05056 + 2 × 0.00553 + 0.005 = 0.06662; 15 min = 16,655 µ$
    const tokyo = { region: 'ap-northeast-1' }
    const small = launch({ ...tokyo, shape: shape({ cpu: 1, memoryGiB: 2 }) })
    expect(runnerCost(runner({ launch: small, stoppedAt: at(900) }))).toMatchObject({
      totalMicroUsd: 16_655,
      basis: 'published',
    })
    // with 120 GiB: 0.06662 + 100 × 0.000133 = 0.07992; 15 min = 19,980 µ$; that storage is an estimate
    const large = launch({ ...tokyo, shape: shape({ cpu: 1, memoryGiB: 2, diskGiB: 120 }) })
    expect(runnerCost(runner({ launch: large, stoppedAt: at(900) }))).toMatchObject({
      totalMicroUsd: 19_980,
      basis: 'estimate',
    })
  })

  it('Tokyo Spot on ARM, 68 % off', () => {
    // 2 × 0.04045 × 0.32 + 4 × 0.00442 × 0.32 + 0.005 = 0.025888 + 0.0056576 + 0.005 = 0.0365456
    // 30 min = 18,272.8 → 18,273; on demand 2 × 0.04045 + 4 × 0.00442 + 0.005 = 0.10358 → 51,790
    const tokyo = launch({ region: 'ap-northeast-1', shape: shape({ arch: 'arm64', capacity: 'spot' }) })
    expect(runnerCost(runner({ launch: tokyo, stoppedAt: at(1800) }))).toMatchObject({
      totalMicroUsd: 18_273,
      onDemandMicroUsd: 51_790,
      basis: 'estimate',
    })
  })

  it('CodeBuild by the started minute', () => {
    // 61 s → 2 min × 0.005 = 10,000 µ$; start-up 5/120 → 416.67 → 416; job 48/120 → 4,000; idle 5,584
    const facts = runner({
      launch: launch({ shape: build() }),
      startedAt: at(5),
      stoppedAt: at(61),
      job: job(10, 58),
    })
    expect(runnerCost(facts)).toEqual({
      totalMicroUsd: 10_000,
      startupMicroUsd: 416,
      jobMicroUsd: 4000,
      idleMicroUsd: 5584,
      wastedMicroUsd: 0,
      onDemandMicroUsd: 10_000,
      billedMs: 120_000,
      basis: 'published',
      onDemandBasis: 'published',
    })
    expect(jobCost(facts)).toMatchObject({ microUsd: 4000, onDemandMicroUsd: 4000 })
  })

  it('CodeBuild on ARM in Tokyo: 1 s is a minute, 60 s too', () => {
    // 0.00425 a minute
    const tokyo = launch({ region: 'ap-northeast-1', shape: build({ arch: 'arm64' }) })
    for (const seconds of [1, 60])
      expect(runnerCost(runner({ launch: tokyo, stoppedAt: at(seconds) }))).toMatchObject({
        totalMicroUsd: 4250,
        billedMs: 60_000,
        basis: 'estimate',
      })
  })

  it('a runner that another job took: the job that ran pays', () => {
    // 300 s = 8,645 µ$; job 90 s: 8,645 × 90/300 = 2,593.5 → 2,593; start-up 20/300 → 576.33 → 576; idle 5,476
    const facts = runner({
      launch: launch({ jobKey: '1-1' }),
      startedAt: at(20),
      stoppedAt: at(300),
      job: job(100, 190, { key: '2-1' }),
    })
    expect(runnerCost(facts)).toMatchObject({
      startupMicroUsd: 576,
      jobMicroUsd: 2593,
      idleMicroUsd: 5476,
    })
    expect(jobCost(facts)).toMatchObject({ microUsd: 2593, githubHostedMicroUsd: 12_000 })
  })

  it('a runner that Spot took while its job ran: the job ran until the stop', () => {
    // Spot, 2 vCPU, 4 GB: 2 × 0.012945 + 4 × 0.001415 + 0.005 = 0.03655; 240 s = 2,436.67 → 2,437
    // start-up 30/240 → 304.63 → 304; job 210/240 → 2,132.375 → 2,132; idle 1 (rounding); GitHub: 210 s = 4 min
    const facts = runner({
      launch: launch({ shape: shape({ capacity: 'spot' }) }),
      startedAt: at(30),
      stoppedAt: at(240),
      job: job(30, null),
    })
    expect(runnerCost(facts)).toMatchObject({
      totalMicroUsd: 2437,
      startupMicroUsd: 304,
      jobMicroUsd: 2132,
      idleMicroUsd: 1,
    })
    expect(jobCost(facts)?.githubHostedMicroUsd).toBe(24_000)
  })

  it('a runner that no job took: start-up and idle', () => {
    // 360 s = 6 min × 1,729 = 10,374; start-up 60/360 → 1,729; idle 8,645
    const facts = runner({ startedAt: at(60), stoppedAt: at(360) })
    expect(runnerCost(facts)).toMatchObject({ startupMicroUsd: 1729, jobMicroUsd: 0, idleMicroUsd: 8645 })
    expect(jobCost(facts)).toBeNull()
  })

  it('a runner that pulled and never ran: start-up alone', () => {
    // 20 s → 60 s = 1,729
    expect(runnerCost(runner({ stoppedAt: at(20) }))).toMatchObject({
      startupMicroUsd: 1729,
      jobMicroUsd: 0,
      idleMicroUsd: 0,
    })
  })

  it('a runner that never pulled costs nothing, for sure, in any region', () => {
    const nothing: RunnerCost = {
      totalMicroUsd: 0,
      startupMicroUsd: 0,
      jobMicroUsd: 0,
      idleMicroUsd: 0,
      wastedMicroUsd: 0,
      onDemandMicroUsd: 0,
      billedMs: 0,
      basis: 'published',
      onDemandBasis: 'published',
    }
    for (const region of ['us-east-1', 'mars-north-1'])
      expect(
        runnerCost(runner({ launch: launch({ region }), pullStartedAt: null, stoppedAt: at(20) })),
      ).toEqual(nothing)
  })

  it('an unknown region counts 0 and says so; GitHub is still known', () => {
    const facts = runner({
      launch: launch({ region: 'mars-north-1' }),
      startedAt: at(10),
      stoppedAt: at(300),
      job: job(10, 100),
    })
    expect(runnerCost(facts)).toMatchObject({
      totalMicroUsd: 0,
      onDemandMicroUsd: 0,
      billedMs: 300_000,
      basis: 'unknown',
    })
    expect(jobCost(facts)).toMatchObject({ microUsd: 0, githubHostedMicroUsd: 12_000, basis: 'unknown' })
  })

  it('unknown Spot prices beside known on-demand ones', () => {
    // Ireland on demand costs what Virginia costs: 300 s = 8,645
    const ireland = launch({ region: 'eu-west-1', shape: shape({ capacity: 'spot' }) })
    expect(runnerCost(runner({ launch: ireland, stoppedAt: at(300) }))).toMatchObject({
      totalMicroUsd: 0,
      onDemandMicroUsd: 8645,
      basis: 'unknown',
    })
  })

  it('only the storage unknown: the known parts count, as a lower bound', () => {
    const ireland = launch({ region: 'eu-west-1', shape: shape({ diskGiB: 50 }) })
    expect(runnerCost(runner({ launch: ireland, stoppedAt: at(300) }))).toMatchObject({
      totalMicroUsd: 8645,
      basis: 'unknown',
    })
    expect(perMinute(ireland.shape, 'eu-west-1', T0)).toEqual({ microUsd: 1729, basis: 'unknown' })
    expect(perMinute(shape(), 'eu-west-1', T0)).toEqual({ microUsd: 1729, basis: 'published' })
  })
})

describe('what interruptions wasted', () => {
  const reclaim = { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }
  const missed = { code: 'TaskFailedToStart', reason: 'CannotPullContainerError' }
  const host = { code: 'InfrastructureHealth', reason: '' }
  const fault = { code: 'FAULT', reason: 'build fault' }
  const exit = { code: 'EssentialContainerExited', reason: 'Essential container in task exited' }
  const stopped = { code: 'UserInitiated', reason: 'it lived for longer than it may' }
  const failed = job(40, 280, { conclusion: 'failure' })

  it.each<[string, Partial<Runner>, 'all' | 'nothing']>([
    ['Spot took it in the middle of its job', { stop: reclaim, job: job(40, null) }, 'all'],
    ['Spot took it, and GitHub gave the job up later', { stop: reclaim, job: failed }, 'all'],
    [
      'Spot took it and its job succeeded',
      { stop: reclaim, job: job(40, 280, { conclusion: 'success' }) },
      'nothing',
    ],
    [
      'Spot took it after its job had failed',
      { stop: reclaim, job: { ...failed, completedAt: at(200) } },
      'nothing',
    ],
    ['Spot took it before it had a job', { stop: reclaim }, 'all'],
    ['how its job ended was not kept', { stop: reclaim, job: job(40, 280) }, 'all'],
    [
      'how its job ended was not kept, but it was long before',
      { stop: reclaim, job: job(40, 200) },
      'nothing',
    ],
    ['it failed to start', { stop: missed, startedAt: null }, 'all'],
    ['its host was lost', { stop: host, job: failed }, 'all'],
    ['CodeBuild failed', { stop: fault, job: job(40, null) }, 'all'],
    ['it ended by itself, with a failed job', { stop: exit, job: failed }, 'nothing'],
    ['it waited in vain and went', { stop: exit }, 'nothing'],
    ['it was stopped for its age', { stop: stopped, job: job(40, null) }, 'nothing'],
    ['nobody knows why it stopped', { stop: null, job: job(40, null) }, 'nothing'],
  ])('where %s', (_, facts, wasted) => {
    const spot = launch({ shape: shape({ capacity: 'spot' }) })
    const cost = runnerCost(
      runner({ launch: spot, startedAt: at(20), stoppingAt: at(250), stoppedAt: at(300), ...facts }),
    )!
    expect(cost.totalMicroUsd).toBeGreaterThan(0)
    expect(cost.wastedMicroUsd).toBe(wasted === 'all' ? cost.totalMicroUsd : 0)
  })

  it('and what was started twice, which is idle of the runner that it was started for', () => {
    // 300 s = 8,645; start-up 864, job 5,187, idle 2,594 as above; and 1,729 for another task
    const facts = runner({ startedAt: at(30), stoppedAt: at(300), job: job(40, 220) })
    const twice = { ...facts, wasted: { 'another task': 1000, 'a third': 729 } }
    expect(runnerCost(twice)).toMatchObject({
      totalMicroUsd: 8645 + 1729,
      startupMicroUsd: 864,
      jobMicroUsd: 5187,
      idleMicroUsd: 2594 + 1729,
      wastedMicroUsd: 1729,
      onDemandMicroUsd: 8645 + 1729,
      billedMs: 300_000,
    })
    expect(jobCost(twice)).toEqual(jobCost(facts))
    const lost = { ...twice, stop: reclaim, job: null }
    expect(runnerCost(lost)?.wastedMicroUsd).toBe(8645 + 1729)
  })
})

describe('no cost yet', () => {
  it('before the stop, or while the launch is unknown', () => {
    const running = runner({ startedAt: at(10), job: job(12, null) })
    const orphan = runner({ launch: null, stoppedAt: at(300), job: job(12, 200) })
    for (const facts of [running, orphan]) {
      expect(runnerCost(facts)).toBeNull()
      expect(jobCost(facts)).toBeNull()
    }
  })
})

describe('odd times', () => {
  const whole = { startupMicroUsd: 0, jobMicroUsd: 0, idleMicroUsd: 0 }

  it('stopped before the pull: the least that is billed, all idle once it ran', () => {
    const facts = runner({ startedAt: at(-5), stoppedAt: at(-10), job: job(-8, -6) })
    expect(runnerCost(facts)).toMatchObject({ ...whole, idleMicroUsd: 1729, billedMs: 60_000 })
  })

  it('a job that completed before it started ran no time', () => {
    const facts = runner({ startedAt: at(10), stoppedAt: at(60), job: job(40, 20) })
    expect(runnerCost(facts)).toMatchObject({ startupMicroUsd: 288, jobMicroUsd: 0, idleMicroUsd: 1441 })
    expect(jobCost(facts)).toMatchObject({ microUsd: 0, githubHostedMicroUsd: 6000 })
  })

  it('a job before the pull ran no time of this runner', () => {
    const facts = runner({ startedAt: at(0), stoppedAt: at(60), job: job(-600, -300) })
    expect(runnerCost(facts)).toMatchObject({ ...whole, idleMicroUsd: 1729 })
  })

  it('a job that outlasts its runner ends with it', () => {
    const facts = runner({ startedAt: at(0), stoppedAt: at(30), job: job(0, 600) })
    // 30/60 of 1,729 → 864.5 → 864
    expect(runnerCost(facts)).toMatchObject({ jobMicroUsd: 864, idleMicroUsd: 865 })
  })

  it('without a time of RUNNING, start-up ends where the job starts', () => {
    // 120 s = 3,458; start-up 30/120 → 864.5 → 864; job 60/120 → 1,729; idle 865
    const facts = runner({ stoppedAt: at(120), job: job(30, 90) })
    expect(runnerCost(facts)).toMatchObject({ startupMicroUsd: 864, jobMicroUsd: 1729, idleMicroUsd: 865 })
  })

  it('without a time of the pull, a runner that ran is billed from then', () => {
    const facts = runner({ pullStartedAt: null, startedAt: at(0), stoppedAt: at(300) })
    expect(runnerCost(facts)).toMatchObject({ totalMicroUsd: 8645, idleMicroUsd: 8645 })
  })
})

describe('GitHub-hosted', () => {
  it.each([
    ['x64', 0.25, { microUsd: 2000, cpu: 1 }],
    ['x64', 2, { microUsd: 6000, cpu: 2 }],
    ['x64', 36, { microUsd: 162_000, cpu: 64 }],
    ['x64', 97, null],
    ['arm64', 1, { microUsd: 5000, cpu: 2 }],
    ['arm64', 16, { microUsd: 26_000, cpu: 16 }],
    ['arm64', 72, null],
  ] as const)('%s with %d vCPU', (arch, cpu, price) => {
    expect(githubHostedPerMinute(arch, cpu)).toEqual(price)
  })

  it('is free on public repositories up to the standard 4 cores, and charged beyond', () => {
    const hosted = (cpu: number, publicRepository: boolean) =>
      jobCost(
        runner({
          launch: launch({ shape: shape({ cpu, memoryGiB: 32 }) }),
          stoppedAt: at(300),
          job: job(0, 61, { publicRepository }),
        }),
      )?.githubHostedMicroUsd
    expect(hosted(4, true)).toBe(0)
    expect(hosted(4, false)).toBe(24_000)
    // 2 started minutes × 0.022
    expect(hosted(8, true)).toBe(44_000)
    expect(hosted(128, true)).toBeNull()
  })
})

// Properties

const REGION_NAMES = [...PRICES.regions.keys(), 'mars-north-1', '__proto__', 'constructor', '']
const COMPUTE_TYPES = ['SMALL', 'MEDIUM', 'LARGE', 'XLARGE', '2XLARGE', 'HUGE'].map(
  size => `BUILD_GENERAL1_${size}`,
)

const anyArch = fc.constantFrom('x64' as const, 'arm64' as const)
const anyFargate: fc.Arbitrary<RunnerShape> = fc.record({
  arch: anyArch,
  compute: fc.constant('fargate'),
  capacity: fc.constantFrom('on-demand', 'spot'),
  cpu: fc.constantFrom(0.25, 0.5, 1, 2, 4, 8, 16, 32),
  memoryGiB: fc.oneof(fc.constant(0.5), fc.integer({ min: 1, max: 244 })),
  diskGiB: fc.integer({ min: 20, max: 200 }),
  computeType: fc.constant(null),
})
const anyBuild: fc.Arbitrary<RunnerShape> = fc.record({
  arch: anyArch,
  compute: fc.constant('codebuild'),
  capacity: fc.constant(null),
  cpu: fc.constantFrom(2, 4, 8, 32, 36, 48, 72),
  memoryGiB: fc.constantFrom(4, 8, 16, 144),
  diskGiB: fc.constantFrom(64, 128, 256, 824),
  computeType: fc.option(fc.constantFrom(...COMPUTE_TYPES)),
})
const anyShape = fc.oneof(anyFargate, anyBuild)
const anyRegion = fc.constantFrom(...REGION_NAMES)

/** Times around the runner's life, which overlap often, and absurd ones. */
const near = fc.integer({ min: -120_000, max: 7_200_000 }).map(ms => T0 + ms)
const absurd = fc.oneof(
  fc.double(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.MAX_VALUE, Date.UTC(9999, 11, 31)),
)
const anyTime = fc.oneof({ weight: 4, arbitrary: near }, { weight: 1, arbitrary: absurd })
const maybeTime = fc.option(anyTime, { freq: 6 })

const anyRunner: fc.Arbitrary<Runner> = fc
  .record({
    shape: anyShape,
    region: anyRegion,
    pullStartedAt: maybeTime,
    startedAt: maybeTime,
    stoppedAt: maybeTime,
    job: fc.option(
      fc.record({
        key: fc.constant('1-1'),
        startedAt: anyTime,
        completedAt: maybeTime,
        publicRepository: fc.boolean(),
      }),
      { freq: 6 },
    ),
  })
  .map(({ shape, region, ...facts }) => runner({ ...facts, launch: launch({ shape, region }) }))

const naturals = (...values: number[]) => values.every(value => Number.isSafeInteger(value) && value >= 0)

describe('properties', () => {
  it('the parts are natural numbers and sum to the whole, whatever the times', () => {
    fc.assert(
      fc.property(anyRunner, facts => {
        const cost = runnerCost(facts)
        if (cost === null) return
        const { totalMicroUsd, startupMicroUsd, jobMicroUsd, idleMicroUsd, onDemandMicroUsd, billedMs } = cost
        expect(naturals(startupMicroUsd, jobMicroUsd, idleMicroUsd, onDemandMicroUsd, billedMs)).toBe(true)
        expect(startupMicroUsd + jobMicroUsd + idleMicroUsd).toBe(totalMicroUsd)
      }),
      { numRuns: 2000 },
    )
  })

  it('a job has a cost exactly when its runner has one, and pays its part of it', () => {
    fc.assert(
      fc.property(anyRunner, facts => {
        const whole = runnerCost(facts)
        const part = jobCost(facts)
        expect(part === null).toBe(whole === null || facts.job === null)
        if (part === null || whole === null) return
        expect(part.microUsd).toBe(whole.jobMicroUsd)
        expect(naturals(part.onDemandMicroUsd, part.githubHostedMicroUsd ?? 0)).toBe(true)
        expect(part.onDemandMicroUsd).toBeLessThanOrEqual(whole.onDemandMicroUsd)
      }),
      { numRuns: 2000 },
    )
  })

  it('a longer window never costs less', () => {
    const length = fc.integer({ min: 0, max: 30 * 86_400_000 })
    fc.assert(
      fc.property(anyShape, anyRegion, length, length, (shape, region, one, other) => {
        const cost = (ms: number) =>
          runnerCost(runner({ launch: launch({ shape, region }), stoppedAt: T0 + ms }))!.totalMicroUsd
        expect(cost(Math.max(one, other))).toBeGreaterThanOrEqual(cost(Math.min(one, other)))
      }),
    )
  })

  it('60 minutes at the price of one are an hour, within a micro-dollar', () => {
    fc.assert(
      fc.property(anyShape, anyRegion, (shape, region) => {
        const hour = runnerCost(runner({ launch: launch({ shape, region }), stoppedAt: at(3600) }))!
        const minute = perMinute(shape, region, T0)
        expect(Math.abs((minute.microUsd ?? 0) * 60 - hour.totalMicroUsd)).toBeLessThanOrEqual(1)
        expect(hour.basis).toBe(minute.basis)
      }),
    )
  })

  it('every shape in every region has a price above 0, or none and the basis unknown', () => {
    fc.assert(
      fc.property(anyShape, anyRegion, (shape, region) => {
        const { microUsd, basis } = perMinute(shape, region)
        if (microUsd === null) expect(basis).toBe('unknown')
        else expect(Number.isFinite(microUsd) && microUsd > 0).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('Spot never costs more than on-demand where both are known', () => {
    fc.assert(
      fc.property(anyFargate, anyRegion, (shape, region) => {
        const price = (capacity: 'on-demand' | 'spot') => perMinute({ ...shape, capacity }, region).microUsd
        const spot = price('spot')
        if (spot !== null) expect(spot).toBeLessThan(price('on-demand')!)
      }),
    )
  })
})
