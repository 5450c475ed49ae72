import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  applyJobToRunner,
  applyRunnerEvent,
  applyToJob,
  newJob,
  newRunner,
  priced,
  withCost,
} from '../functions/core/lifecycle.ts'
import { totals } from '../functions/core/reports.ts'
import type { Job, JobEvent, JobRequest, Runner, RunnerShape } from '../functions/core/types.ts'
import { apiJob, apiRunner, jobView, ranOn } from '../functions/core/views.ts'
import { shape } from './support/facts.ts'

const words = (text: string) => text.trim().split(/\s+/)

const T0 = Date.UTC(2026, 10, 2, 9, 0, 0)
const DAY_MS = 86_400_000
const at = (seconds: number) => T0 + Math.round(seconds * 1000)

const FARGATE = shape()
const SPOT: RunnerShape = { ...FARGATE, arch: 'arm64', capacity: 'spot' }
const BUILD: RunnerShape = {
  ...FARGATE,
  compute: 'codebuild',
  capacity: null,
  computeType: 'BUILD_GENERAL1_SMALL',
}

function request(over: Partial<JobRequest> = {}): JobRequest {
  return {
    key: '11-1',
    jobId: 11,
    attempt: 1,
    runId: 5,
    repository: { id: 1, name: 'acme/app', private: true },
    ownerId: 9,
    installationId: null,
    workflow: 'CI',
    name: 'test',
    headBranch: 'main',
    headSha: 'a1b2',
    labels: ['tornade', 'spot'],
    createdAt: T0,
    mayBeFork: false,
    ...over,
  }
}

function open(over: Partial<Job> = {}): Job {
  return { ...newJob(request()), version: 1, queuedAt: at(1), ...over }
}

interface Run {
  readonly request: JobRequest
  readonly shape?: RunnerShape
  readonly region?: string
  /** Seconds after T0; null leaves the event out. */
  readonly pull?: number
  readonly up?: number
  readonly started: number
  readonly completed: number | null
  readonly stopped: number | null
  readonly conclusion?: string
}

/** A job and its runner, made by the events that make them in life. */
function ran(run: Run): { job: Job; runner: Runner } {
  const { request, shape = FARGATE, region = 'us-east-1', conclusion = 'success' } = run
  const name = `tornade-${request.key}-1`
  const ref = { id: 70, name }
  const started: JobEvent = { kind: 'in_progress', at: at(run.started), request, runner: ref }
  const facts = {
    kind: 'runner',
    runner: name,
    providerId: 'arn:task',
    pullStartedAt: at(run.pull ?? run.started - 30),
    startedAt: at(run.up ?? run.started - 5),
  } as const
  const { repository, labels, key } = request
  let runner: Runner = {
    ...newRunner(name),
    launch: {
      at: request.createdAt,
      cause: 'job',
      generation: 1,
      jobKey: key,
      repository,
      installationId: null,
      labels,
      shape,
      role: null,
      region,
      timeoutMinutes: 360,
    },
    registration: { id: 70, name, at: request.createdAt },
  }
  let job = applyToJob(undefined, { kind: 'queued', at: at(1), request })
  job = { ...applyToJob(job, started), runner: name }
  runner = applyJobToRunner(
    applyRunnerEvent(runner, { ...facts, stoppingAt: null, stoppedAt: null, stop: null }),
    started,
  )
  if (run.completed !== null) {
    const completed: JobEvent = {
      kind: 'completed',
      at: at(run.completed),
      request,
      conclusion,
      runner: ref,
      startedAt: at(run.started),
    }
    job = applyToJob(job, completed)
    runner = applyJobToRunner(runner, completed)
  }
  if (run.stopped !== null) {
    runner = applyRunnerEvent(runner, {
      ...facts,
      stoppingAt: null,
      stoppedAt: at(run.stopped),
      stop: { code: 'EssentialContainerExited', reason: '' },
    })
    job = withCost(job, runner)
  }
  return { job, runner }
}

const served = () =>
  ran({ request: request(), pull: 10, up: 40, started: 42.1234, completed: 162, stopped: 170 })

describe('jobView', () => {
  it('has the fields of the document, in their order', () => {
    const { job, runner } = served()
    const view = jobView(job, runner, { final: true })
    expect(JSON.parse(JSON.stringify(view))).toEqual({
      jobId: 11,
      attempt: 1,
      repository: 'acme/app',
      workflow: 'CI',
      labels: ['tornade', 'spot'],
      outcome: 'completed',
      conclusion: 'success',
      reason: null,
      runner: {
        name: 'tornade-11-1-1',
        compute: 'fargate',
        capacity: 'on-demand',
        arch: 'x64',
        cpu: 2,
        memoryGiB: 4,
      },
      queueSeconds: 42.123,
      runSeconds: 119.877,
      costUsd: job.cost!.microUsd / 1e6,
      githubHostedUsd: 0.012,
    })
    expect(Object.keys(view)).toEqual(
      words(`
        jobId attempt repository workflow labels outcome conclusion reason runner queueSeconds
        runSeconds costUsd githubHostedUsd
      `),
    )
    expect(Object.keys(view.runner!)).toEqual(['name', 'compute', 'capacity', 'arch', 'cpu', 'memoryGiB'])
    expect(view.costUsd).toBeGreaterThan(0)
  })

  const deferred = open({
    deferred: {
      since: T0,
      reason: 'total-limit',
      message: 'All 100 runners are in use.',
      notBefore: null,
      runner: 'tornade-11-1-1',
      cause: 'job',
    },
  })
  const refused = open({
    refused: {
      at: at(2),
      code: 'labels',
      problems: [
        { label: '5cpu', message: 'Fargate has 4 or 8 vCPU.', suggestion: '8cpu' },
        { label: 'amr64', message: 'Did you mean `arm64`?', suggestion: 'arm64' },
      ],
    },
  })
  const ended = (conclusion: string) =>
    open({ completed: { at: at(9), conclusion, startedAt: null, runner: null } })

  it('say what a deferred job waits for and since when, and only of those', () => {
    const view = jobView(deferred, undefined, { final: false })
    expect(view.deferred).toEqual({ reason: 'total-limit', since: new Date(T0).toISOString() })
    expect(jobView(open(), undefined, { final: false })).not.toHaveProperty('deferred')
  })

  it.each([
    ['queued', open(), null, 'waiting', null],
    ['gated', open({ queuedAt: null, gatedAt: T0 }), null, 'waiting', null],
    ['deferred', deferred, null, 'deferred', 'All 100 runners are in use.'],
    [
      'refused',
      refused,
      'refused',
      'refused',
      '`5cpu`: Fargate has 4 or 8 vCPU. Use `8cpu`. `amr64`: Did you mean `arm64`? Use `arm64`.',
    ],
    ['cancelled', ended('cancelled'), 'cancelled', 'cancelled', 'Cancelled before a runner took it.'],
    ['failed', ended('failure'), 'completed', 'completed', 'Failed before a runner took it.'],
    ['skipped', ended('skipped'), 'completed', 'completed', null],
  ] as const)('a job that is %s', (_name, job, outcome, finalOutcome, reason) => {
    expect(jobView(job, undefined, { final: false })).toMatchObject({ outcome, reason })
    expect(jobView(job, undefined, { final: true })).toMatchObject({
      outcome: finalOutcome,
      reason,
      runner: null,
      queueSeconds: null,
      runSeconds: null,
      costUsd: null,
      githubHostedUsd: null,
    })
  })

  it('a running job waits for its end', () => {
    const { job, runner } = ran({ request: request(), started: 40, completed: null, stopped: null })
    expect(jobView(job, runner, { final: false })).toMatchObject({
      outcome: null,
      runner: { name: 'tornade-11-1-1' },
      queueSeconds: 40,
      runSeconds: null,
      costUsd: null,
    })
    expect(jobView(job, runner, { final: true }).outcome).toBe('waiting')
  })

  it('shows no runner but the one that ran the job', () => {
    const { job } = served()
    const other = ran({
      request: request({ key: '12-1', jobId: 12 }),
      started: 40,
      completed: 50,
      stopped: 60,
    })
    expect(jobView(job, other.runner, { final: true }).runner).toBeNull()
    expect(jobView(open(), other.runner, { final: true }).runner).toBeNull()
    const unlaunched: Runner = { ...other.runner, launch: null }
    expect(jobView(other.job, unlaunched, { final: true }).runner).toBeNull()
  })

  it('names the item of the runner that ran it', () => {
    expect(ranOn(served().job)).toBe('tornade-11-1-1')
    expect(ranOn(open({ runner: 'tornade-11-1-1' }))).toBeNull()
  })

  it('says that Spot took the runner', () => {
    const { job, runner } = ran({
      request: request(),
      started: 40,
      completed: 90,
      stopped: 80,
      conclusion: 'failure',
    })
    const lost: Job = { ...job, lostTo: 'spot' }
    expect(jobView(lost, runner, { final: true }).reason).toBe('AWS took the Spot runner back.')
    expect(apiJob(lost, runner)).toMatchObject({ lostTo: 'spot', rerunOf: null })
    const again = apiJob({ ...job, rerunOf: '10-1' }, runner)
    expect(again).toMatchObject({ rerunOf: { jobId: 10, attempt: 1 }, lostTo: null })
    expect(jobView(job, runner, { final: true }).reason).toBeNull()
  })

  it('counts waiting from when a gate opened, and never below 0', () => {
    const gated = open({
      gatedAt: at(2),
      queuedAt: at(100),
      started: { at: at(130), runner: { id: 1, name: 'x' } },
    })
    expect(jobView(gated, undefined, { final: false }).queueSeconds).toBe(30)
    const skewed = open({
      started: { at: at(-5), runner: { id: 1, name: 'x' } },
      completed: { at: at(-9), conclusion: 'success', startedAt: null, runner: null },
    })
    expect(jobView(skewed, undefined, { final: false })).toMatchObject({ queueSeconds: 0, runSeconds: 0 })
  })

  it('shows an unknown price as null, a lower bound and a free minute as numbers', () => {
    const elsewhere = ran({
      request: request(),
      region: 'xx-nowhere-1',
      started: 40,
      completed: 50,
      stopped: 60,
    })
    expect(elsewhere.job.cost).toMatchObject({ microUsd: 0, basis: 'unknown' })
    expect(jobView(elsewhere.job, elsewhere.runner, { final: true })).toMatchObject({
      costUsd: null,
      githubHostedUsd: 0.006,
    })
    const { job, runner } = served()
    const bound: Job = { ...job, cost: { ...job.cost!, basis: 'unknown' } }
    expect(jobView(bound, runner, { final: true }).costUsd).toBeGreaterThan(0)
    const free = ran({
      request: request({ repository: { id: 1, name: 'acme/app', private: false } }),
      started: 40,
      completed: 50,
      stopped: 60,
    })
    expect(jobView(free.job, free.runner, { final: true }).githubHostedUsd).toBe(0)
  })

  it('cleans labels', () => {
    const job = open({ request: request({ labels: ['\u001b[31mtornade', 'x'.repeat(10_000), '__proto__'] }) })
    const { labels } = jobView(job, undefined, { final: false })
    expect(labels[0]).toBe('[31mtornade')
    expect(labels[1]).toHaveLength(100)
    expect(labels[2]).toBe('__proto__')
  })
})

describe('apiJob', () => {
  it('adds state and times', () => {
    const { job, runner } = served()
    const document = apiJob(job, runner)
    expect(Object.keys(document).slice(13)).toEqual(
      words(`
        state createdAt queuedAt startedAt completedAt lostTo rerunOf basis onDemandUsd onDemandBasis
        githubHostedBasis githubFeeUsd usage
      `),
    )
    expect(document).toMatchObject({
      ...jobView(job, runner, { final: false }),
      state: 'completed',
      createdAt: '2026-11-02T09:00:00.000Z',
      queuedAt: '2026-11-02T09:00:01.000Z',
      startedAt: '2026-11-02T09:00:42.123Z',
      completedAt: '2026-11-02T09:02:42.000Z',
    })
  })

  it('says by which code a job was refused, and when', () => {
    const refused = {
      at: at(9),
      code: 'labels',
      problems: [{ label: '5cpu', message: 'No.', suggestion: null }],
    } as const
    expect(apiJob(open({ refused }), undefined)).toMatchObject({
      outcome: 'refused',
      state: 'refused',
      refused: { code: 'labels', at: new Date(at(9)).toISOString() },
    })
    expect(apiJob(open({}), undefined)).not.toHaveProperty('refused')
  })

  it('has no outcome while the job is open', () => {
    expect(apiJob(open({ queuedAt: null }), undefined)).toMatchObject({
      outcome: null,
      state: 'waiting',
      queuedAt: null,
      startedAt: null,
      completedAt: null,
    })
  })
})

describe('what came to be kept later', () => {
  const older = <T extends object>(cost: T | null) => {
    const { onDemandBasis: _, wastedMicroUsd: __, ...rest } = cost as T & Record<string, unknown>
    return rest as unknown as T
  }

  it('is 0 or unknown in older items, and their figures are shown as before', () => {
    const { job, runner } = served()
    const [item, itsRunner] = [
      { ...job, cost: older(job.cost) },
      { ...runner, cost: older(runner.cost) },
    ]
    expect(apiJob(item, itsRunner)).toEqual({ ...apiJob(job, runner), onDemandBasis: null })
    expect(apiRunner(itsRunner, at(1000))).toEqual({ ...apiRunner(runner, at(1000)), onDemandBasis: null })
    expect(apiRunner(itsRunner, at(1000)).wastedUsd).toBe(0)
  })

  it('tells how sure each figure is', () => {
    const { job, runner } = served()
    expect(apiJob(job, runner)).toMatchObject({
      basis: 'published',
      onDemandUsd: apiJob(job, runner).costUsd,
      onDemandBasis: 'published',
      githubHostedBasis: 'published',
      githubFeeUsd: 0,
    })
    const [none, taken] = [null, { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }]
    const spot = {
      ...runner.launch!,
      region: 'eu-west-1',
      shape: { ...runner.launch!.shape, capacity: 'spot' as const },
    }
    const lost = priced({ ...runner, launch: spot, job: none, stop: taken })
    // Of Ireland the prices of Spot are not known, those on demand are.
    expect(apiRunner(lost, at(1000))).toMatchObject({
      costUsd: null,
      wastedUsd: null,
      basis: 'unknown',
      onDemandUsd: apiRunner(runner, at(1000)).costUsd,
      onDemandBasis: 'published',
    })
  })
})

describe('usage', () => {
  const usage = {
    seconds: 119,
    cpuAverage: 0.5,
    cpuPeak: 1.5,
    memoryAverageGiB: 1,
    memoryPeakGiB: 2,
  }

  it('is that of the runner, beside it and beside the job it ran; null where there is none', () => {
    const { job, runner } = served()
    const measured = { ...runner, usage }
    expect(apiRunner(measured, at(1000)).usage).toEqual(usage)
    expect(apiJob(job, measured).usage).toEqual(usage)
    expect(apiRunner(runner, at(1000)).usage).toBeNull()
    expect(apiJob(job, runner).usage).toBeNull()
    const ofAnother = { ...measured, job: { ...runner.job!, key: '12-1' } }
    expect(apiJob(job, ofAnother).usage).toBeNull()
    expect(apiJob(job, undefined).usage).toBeNull()
  })
})

describe('apiRunner', () => {
  it('has its fields, in their order', () => {
    const { runner } = served()
    const document = apiRunner(runner, at(1000))
    expect(Object.keys(document)).toEqual(
      words(`
        name state repository job compute capacity arch cpu memoryGiB diskGiB cause launchedAt
        pullStartedAt startedAt jobStartedAt jobCompletedAt stoppedAt ageSeconds costUsd startupUsd
        jobUsd idleUsd basis wastedUsd onDemandUsd onDemandBasis usage
      `),
    )
    expect(document).toMatchObject({
      state: 'stopped',
      repository: 'acme/app',
      job: { jobId: 11, attempt: 1 },
      cause: 'job',
      stoppedAt: '2026-11-02T09:02:50.000Z',
      ageSeconds: 170,
      basis: 'published',
    })
    const { costUsd, startupUsd, jobUsd, idleUsd } = document
    expect(Math.round((startupUsd! + jobUsd! + idleUsd!) * 1e6)).toBe(Math.round(costUsd! * 1e6))
  })

  it('is mostly null while only AWS has told of it, and grows older until it stops', () => {
    const seen = applyRunnerEvent(undefined, {
      kind: 'runner',
      runner: 'tornade-11-1-1',
      providerId: 'arn:task',
      pullStartedAt: null,
      startedAt: null,
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
    })
    const { name, state, ...rest } = apiRunner(seen, T0)
    expect([name, state]).toEqual(['tornade-11-1-1', 'starting'])
    expect(new Set(Object.values(rest))).toEqual(new Set([null]))
    const { runner } = ran({ request: request(), started: 40, completed: null, stopped: null })
    expect(apiRunner(runner, at(90))).toMatchObject({
      ageSeconds: 90,
      costUsd: null,
      basis: null,
      state: 'busy',
    })
  })

  it('has no cost where the price is unknown', () => {
    const { runner } = ran({ request: request(), region: 'xx', started: 40, completed: 50, stopped: 60 })
    expect(apiRunner(runner, T0)).toMatchObject({
      costUsd: null,
      startupUsd: null,
      jobUsd: null,
      idleUsd: null,
      basis: 'unknown',
    })
  })
})

describe('reports', () => {
  const micro = (usd: number) => Math.round(usd * 1e6)
  const KEYS = ['costUsd', 'idleUsd', 'startupUsd', 'githubHostedUsd'] as const

  it('totals of nothing', () => {
    expect(totals([], [])).toEqual({ costUsd: 0, idleUsd: 0, startupUsd: 0, githubHostedUsd: 0 })
    expect(Object.keys(totals([], []))).toEqual([...KEYS])
  })

  it('conserves money, in whole and in every part', () => {
    const second = fc.integer({ min: 0, max: 100_000 })
    const runs = fc.array(
      fc.record({
        repository: fc.constantFrom('acme/app', 'acme/web', '__proto__', 'constructor'),
        private: fc.boolean(),
        shape: fc.constantFrom(FARGATE, SPOT, BUILD, { ...FARGATE, cpu: 16, memoryGiB: 32, diskGiB: 100 }),
        region: fc.constantFrom('us-east-1', 'eu-west-1', 'nowhere'),
        createdAt: fc.integer({ min: T0, max: T0 + 2 * DAY_MS }),
        pull: second,
        up: second,
        started: second,
        completed: fc.option(second),
        stopped: fc.option(second),
        idle: fc.boolean(),
      }),
      { maxLength: 30 },
    )
    fc.assert(
      fc.property(runs, recipes => {
        const items = recipes.map(({ repository, private: isPrivate, createdAt, idle, ...run }, index) => {
          const key = `${index}-1`
          const made = ran({
            ...run,
            request: request({
              key,
              jobId: index,
              createdAt,
              repository: { id: 1, name: repository, private: isPrivate },
            }),
          })
          // Some runners never get a job.
          if (!idle) return made
          const event = {
            kind: 'runner',
            runner: made.runner.name,
            providerId: 'arn:task',
            stop: null,
          } as const
          const none = { pullStartedAt: null, startedAt: null, stoppingAt: null, stoppedAt: null }
          return {
            job: newJob(made.job.request),
            runner: applyRunnerEvent({ ...made.runner, job: null }, { ...event, ...none }),
          }
        })
        const runners = items.map(item => item.runner)
        const jobs = items.map(item => item.job)
        const result = totals(jobs, runners)

        const billed = runners.reduce((sum, { cost }) => sum + (cost?.totalMicroUsd ?? 0), 0)
        expect(micro(result.costUsd)).toBe(billed)
        const shown = jobs.map((job, index) => jobView(job, runners[index], { final: true }))
        const jobsMicro = shown.reduce((sum, { costUsd }) => sum + micro(costUsd ?? 0), 0)
        expect(micro(result.costUsd)).toBe(jobsMicro + micro(result.idleUsd) + micro(result.startupUsd))
        expect(micro(result.githubHostedUsd)).toBe(
          shown.reduce((sum, { githubHostedUsd }) => sum + micro(githubHostedUsd ?? 0), 0),
        )
      }),
    )
  })
})
