/**
 * Invoices, worked out by hand, of runners and jobs that went through the whole system. What happens and in which order is the
 * system's and its doubles' doing; which times AWS and GitHub tell of it is written here, so that the sums can be, too.
 */
import { sign } from '@octokit/webhooks-methods'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RUNNER_VARIABLE } from '../functions/core/aws-events.ts'
import {
  applyJobToRunner,
  applyRunnerEvent,
  applyToJob,
  newJob,
  newRunner,
  priced,
  withCost,
} from '../functions/core/lifecycle.ts'
import { PRICES } from '../functions/core/prices.ts'
import type { Job, JobEvent, JobRequest, Runner, RunnerEvent, RunnerShape } from '../functions/core/types.ts'
import type { DoubleJob } from '../local/github.ts'
import { at, awsEvent, launch, request } from './support/facts.ts'
import { summaryOfItems } from './support/summary.ts'
import {
  job,
  jobs,
  proxy,
  runners,
  SECOND,
  START,
  type Stack,
  type StackOptions,
  stack,
  untilQuiet,
} from './support/world.ts'

const SECRET = 'a secret of these tests'

/** Seconds after START. */
interface AwsTimes {
  readonly pull: number
  readonly up?: number
  readonly stopping?: number
  readonly stopped: number
  /** Another stopCode than that of the double. */
  readonly code?: string
}
interface Times {
  /** By name of the runner, without the marker: `1-1-1`. */
  readonly aws: Readonly<Record<string, AwsTimes>>
  /** By key of the job: when it started and when it was completed. */
  readonly github?: Readonly<Record<string, readonly [started: number, completed: number]>>
}

const time = (seconds: number) => START + seconds * SECOND
const isoTime = (seconds: number) => new Date(time(seconds)).toISOString()

/** Lets these jobs run; AWS and GitHub tell the times of `times`. */
async function billed(
  times: Times,
  queue: readonly DoubleJob[],
  { wrapPorts = ports => ports, ...options }: StackOptions = {},
): Promise<{ readonly s: Stack; readonly bills: Map<string, Runner>; readonly shares: Map<string, Job> }> {
  const s = await stack({
    secret: SECRET,
    ...options,
    onEvent: (_, event, pass) => pass(retoldByAws(event, times)),
    deliver: async (world, delivery) => {
      const body = retoldByGitHub(delivery.body, times)
      const headers = { ...delivery.headers, 'x-hub-signature-256': await sign(SECRET, body) }
      await world.accept({ ...delivery, headers, body })
    },
    // The sweep asks too.
    wrapPorts: (ports, name) =>
      wrapPorts(
        {
          ...ports,
          compute: proxy(ports.compute, {
            describe: async ids => {
              const told = await ports.compute.describe(ids)
              return new Map([...told].map(([id, event]) => [id, event && retold(event, times)]))
            },
          }),
        },
        name,
      ),
  })
  queue.forEach((item, index) => {
    s.world.clock.at(time(index), () => s.world.github.queue(item))
  })
  await untilQuiet(s)
  const bills = (await runners(s.world)).map(item => [item.name.replace('tornade-', ''), item] as const)
  const shares = (await jobs(s.world)).map(item => [item.key, item] as const)
  return { s, bills: new Map(bills), shares: new Map(shares) }
}

function timesOf(runner: string | undefined, { aws }: Times): AwsTimes {
  const times = aws[runner?.replace('tornade-', '') ?? '']
  if (!times) throw new Error(`no times of ${runner}`)
  return times
}

// biome-ignore lint/suspicious/noExplicitAny: events as EventBridge has them
function retoldByAws(event: any, times: Times): unknown {
  const { detail } = event
  if (event.source === 'aws.ecs') {
    const { pull, up, stopping, stopped, code } = timesOf(detail.startedBy, times)
    const retold = {
      ...('pullStartedAt' in detail ? { pullStartedAt: isoTime(pull) } : {}),
      ...('startedAt' in detail ? { startedAt: isoTime(up!) } : {}),
      ...('stoppingAt' in detail ? { stoppingAt: isoTime(stopping ?? stopped) } : {}),
      ...('stoppedAt' in detail ? { stoppedAt: isoTime(stopped), ...(code ? { stopCode: code } : {}) } : {}),
    }
    return { ...event, detail: { ...detail, ...retold } }
  }
  const information = detail['additional-information']
  const variables: { name: string; value: string }[] = information.environment['environment-variables']
  const { pull, up, stopped } = timesOf(variables.find(({ name }) => name === RUNNER_VARIABLE)?.value, times)
  const phases = (information.phases as { 'phase-type': string }[]).map(phase => ({
    ...phase,
    'end-time': buildTime(phase['phase-type'] === 'PROVISIONING' ? (up ?? pull) : pull),
  }))
  return {
    ...event,
    time: isoTime(stopped),
    detail: {
      ...detail,
      'additional-information': { ...information, 'build-start-time': buildTime(pull), phases },
    },
  }
}

function buildTime(seconds: number): string {
  return new Date(time(seconds)).toLocaleString('en-US', {
    dateStyle: 'medium',
    timeStyle: 'medium',
    timeZone: 'UTC',
  })
}

function retold(event: RunnerEvent, times: Times): RunnerEvent {
  const { pull, up, stopping, stopped } = timesOf(event.runner, times)
  return {
    ...event,
    pullStartedAt: event.pullStartedAt && time(pull),
    startedAt: event.startedAt && time(up ?? pull),
    stoppingAt: event.stoppingAt && time(stopping ?? stopped),
    stoppedAt: event.stoppedAt && time(stopped),
  }
}

function retoldByGitHub(body: string, { github = {} }: Times): string {
  const payload = JSON.parse(body)
  const told = payload.workflow_job
  const [started, completed] = github[`${told.id}-${told.run_attempt}`] ?? []
  if (started === undefined || told.runner_name === null) return body
  const times = {
    ...(told.started_at ? { started_at: isoTime(started) } : {}),
    ...(told.completed_at ? { completed_at: isoTime(completed!) } : {}),
  }
  return JSON.stringify({ ...payload, workflow_job: { ...told, ...times } })
}

/** Jobs, start-up and idle of a whole world sum to what its runners cost. */
function expectConserved(bills: ReadonlyMap<string, Runner>, shares: ReadonlyMap<string, Job>): void {
  const costs = [...bills.values()].flatMap(({ cost }) => (cost ? [cost] : []))
  const sum = (amounts: readonly number[]) => amounts.reduce((all, one) => all + one, 0)
  expect(
    sum([...shares.values()].map(({ cost }) => cost?.microUsd ?? 0)) +
      sum(costs.map(({ startupMicroUsd, idleMicroUsd }) => startupMicroUsd + idleMicroUsd)),
  ).toBe(sum(costs.map(({ totalMicroUsd }) => totalMicroUsd)))
}

const SHORT = { script: { durationMs: 20 * SECOND } }
const LONG = { script: { durationMs: 600 * SECOND } }

describe('an invoice', () => {
  it('of Fargate above a minute', async () => {
    // 2 vCPU, 4 GB, x64, us-east-1: 2 × 0.04048 + 4 × 0.004445 + 0.005 (IPv4) = 0.10374 an hour
    // 15 s to 217 s are 202 s: 103,740 × 202/3600 = 5,820.97 → 5,821 µ$
    // start-up 12/202 → 345.8 → 345; job 30 s to 210 s, 180/202 → 5,187.03 → 5,187; idle 5,821 − 345 − 5,187 = 289
    const times = {
      aws: { '1-1-1': { pull: 15, up: 27, stopped: 217 } },
      github: { '1-1': [30, 210] },
    } as const
    const { bills, shares } = await billed(times, [job(1, SHORT)])
    expect(bills.get('1-1-1')!.cost).toEqual({
      totalMicroUsd: 5821,
      startupMicroUsd: 345,
      jobMicroUsd: 5187,
      idleMicroUsd: 289,
      wastedMicroUsd: 0,
      onDemandMicroUsd: 5821,
      billedMs: 202_000,
      basis: 'published',
      onDemandBasis: 'published',
    })
    // GitHub: 180 s are 3 min × 0.006
    expect(shares.get('1-1')!.cost).toEqual({
      runner: 'tornade-1-1-1',
      microUsd: 5187,
      githubHostedMicroUsd: 18_000,
      onDemandMicroUsd: 5187,
      basis: 'published',
      onDemandBasis: 'published',
    })
    expectConserved(bills, shares)
  })

  it('of Fargate below a minute', async () => {
    // 10 s to 48 s are 38 s, billed as 60: 103,740 / 60 = 1,729 µ$
    // start-up 8/60 → 230.53 → 230; job 20 s to 45 s, 25/60 → 720.42 → 720; idle 1,729 − 230 − 720 = 779
    const times = {
      aws: { '1-1-1': { pull: 10, up: 18, stopped: 48 } },
      github: { '1-1': [20, 45] },
    } as const
    const { bills, shares } = await billed(times, [job(1, SHORT)])
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 1729,
      startupMicroUsd: 230,
      jobMicroUsd: 720,
      idleMicroUsd: 779,
      billedMs: 60_000,
    })
    // 25 s are a minute of GitHub's.
    expect(shares.get('1-1')!.cost).toMatchObject({ microUsd: 720, githubHostedMicroUsd: 6000 })
    expectConserved(bills, shares)
  })

  it('of ARM with storage over 20 GiB, of a public repository', async () => {
    // 4 vCPU, 8 GB, 50 GiB: 4 × 0.03238 + 8 × 0.00356 + 0.005 + 30 × 0.000111 = 0.16633 an hour
    // 10 s to 130 s: 166,330 × 120/3600 = 5,544.33 → 5,544; start-up 15/120 → 693; job 100/120 → 4,620; idle 231
    const times = {
      aws: { '1-1-1': { pull: 10, up: 25, stopped: 130 } },
      github: { '1-1': [27, 127] },
    } as const
    const { bills, shares } = await billed(times, [
      job(1, {
        ...SHORT,
        labels: ['tornade', 'arm64', '4cpu', 'disk:50gb'],
        repository: { ...job(1).repository, private: false },
      }),
    ])
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 5544,
      startupMicroUsd: 693,
      jobMicroUsd: 4620,
      idleMicroUsd: 231,
      basis: 'published',
    })
    expect(shares.get('1-1')!.cost).toMatchObject({ microUsd: 4620, githubHostedMicroUsd: 0 })
    expectConserved(bills, shares)
  })

  it('of Tokyo, on ARM and Spot', async () => {
    // 2 vCPU, 4 GB: 2 × 0.012944 + 4 × 0.0014144 + 0.005 = 0.0365456 an hour, all Spot prices 68 % off
    // 10 s to 370 s: 36,545.6 × 360/3600 = 3,654.56 → 3,655; start-up 20/360 → 203.06 → 203;
    // job 40 s to 340 s, 300/360 → 3,045.83 → 3,045; idle 407
    // on demand: 2 × 0.04045 + 4 × 0.00442 + 0.005 = 0.10358 → 10,358; of the job 300/360 → 8,631.67 → 8,631
    const times = {
      aws: { '1-1-1': { pull: 10, up: 30, stopped: 370 } },
      github: { '1-1': [40, 340] },
    } as const
    const { bills, shares } = await billed(
      times,
      [job(1, { ...SHORT, labels: ['tornade', 'arm64', 'spot'] })],
      {
        config: { region: 'ap-northeast-1' },
      },
    )
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 3655,
      startupMicroUsd: 203,
      jobMicroUsd: 3045,
      idleMicroUsd: 407,
      onDemandMicroUsd: 10_358,
      basis: 'estimate',
      onDemandBasis: 'published',
    })
    // GitHub's 2-core arm64 runner: 5 min × 0.005
    expect(shares.get('1-1')!.cost).toMatchObject({
      microUsd: 3045,
      onDemandMicroUsd: 8631,
      githubHostedMicroUsd: 25_000,
      basis: 'estimate',
      onDemandBasis: 'published',
    })
    expectConserved(bills, shares)
  })

  it('of CodeBuild, by begun minutes', async () => {
    // 5 s to 126 s are 121 s, billed as 3 min × 0.005 = 15,000 µ$. It runs from its beginning, so there is no start-up;
    // job 20 s to 110 s, 90/180 → 7,500; idle 7,500
    const times = { aws: { '1-1-1': { pull: 5, stopped: 126 } }, github: { '1-1': [20, 110] } } as const
    const { bills, shares } = await billed(times, [job(1, { ...SHORT, labels: ['tornade', 'docker'] })])
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 15_000,
      startupMicroUsd: 0,
      jobMicroUsd: 7500,
      idleMicroUsd: 7500,
      onDemandMicroUsd: 15_000,
      billedMs: 180_000,
    })
    expectConserved(bills, shares)
  })

  it('of a fallback: Spot had nothing, so the job paid on-demand prices and Spot saved nothing', async () => {
    // 103,740 × 300/3600 = 8,645; start-up 20/300 → 576.33 → 576; job 240/300 → 6,916; idle 1,153
    const times = {
      aws: { '1-1-1': { pull: 10, up: 30, stopped: 310 } },
      github: { '1-1': [40, 280] },
    } as const
    const { bills, shares } = await billed(times, [job(1, { ...SHORT, labels: ['tornade', 'spot'] })], {
      computeFaults: {
        refuse: ({ shape }) =>
          shape.capacity === 'spot'
            ? { outcome: 'failed', kind: 'capacity', message: 'Capacity is unavailable at this time' }
            : null,
      },
    })
    expect(bills.get('1-1-1')!.launch!.shape.capacity).toBe('on-demand')
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 8645,
      startupMicroUsd: 576,
      jobMicroUsd: 6916,
      idleMicroUsd: 1153,
      onDemandMicroUsd: 8645,
      wastedMicroUsd: 0,
      basis: 'published',
    })
    expectConserved(bills, shares)
  })

  it('of a fallback in the middle: a task of Spot that pulled and failed to start, and its follower', async () => {
    // The first pulled for 22 s: a minute of Spot, all start-up, all for nothing.
    // 2 × 0.012945 + 4 × 0.001415 + 0.005 = 0.03655 an hour; 36,550 / 60 = 609.17 → 609; on demand it were 1,729
    // The second, on demand: 120 s = 3,458; start-up 10/120 → 288.17 → 288; job 60/120 → 1,729; idle 1,441
    const times = {
      aws: { '1-1-1': { pull: 12, stopped: 34 }, '1-1-2': { pull: 50, up: 60, stopped: 170 } },
      github: { '1-1': [70, 130] },
    } as const
    const { bills, shares } = await billed(times, [job(1, { ...SHORT, labels: ['tornade', 'spot'] })], {
      computeFaults: {
        fate: ({ shape }) =>
          shape.capacity === 'spot'
            ? { kind: 'fails-to-start', at: 'pull', reason: 'Capacity is unavailable at this time' }
            : null,
      },
    })
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 609,
      startupMicroUsd: 609,
      jobMicroUsd: 0,
      idleMicroUsd: 0,
      wastedMicroUsd: 609,
      onDemandMicroUsd: 1729,
      basis: 'estimate',
    })
    expect(bills.get('1-1-2')!.cost).toMatchObject({
      totalMicroUsd: 3458,
      startupMicroUsd: 288,
      jobMicroUsd: 1729,
      idleMicroUsd: 1441,
      wastedMicroUsd: 0,
      basis: 'published',
    })
    expect(shares.get('1-1')!.cost).toMatchObject({ runner: 'tornade-1-1-2', microUsd: 1729 })
    expectConserved(bills, shares)
  })

  it('of a reclaim in the middle of a job, and of its re-run', async () => {
    // Spot, 240 s: 36,550 × 240/3600 = 2,436.67 → 2,437. Start-up 30/240 → 304.63 → 304; job from 45 s until 230 s, when
    // GitHub knew that it was over, 185/240 → 1,878.52 → 1,878; idle 255. All of it was for nothing.
    // The re-run, on demand, 600 s: 17,290; start-up 30/600 → 864.5 → 864; job 540/600 → 15,561; idle 865
    const times = {
      aws: {
        '1-1-1': { pull: 10, up: 40, stopping: 215, stopped: 250 },
        '40000000001-2-1': { pull: 300, up: 330, stopped: 900 },
      },
      github: { '1-1': [45, 230], '40000000001-2': [340, 880] },
    } as const
    const { bills, shares } = await billed(times, [job(1, { ...LONG, labels: ['tornade', 'spot'] })], {
      computeFaults: { fate: () => ({ kind: 'reclaimed', afterMs: 180 * SECOND }) },
    })
    const [lost, again] = [...bills.values()]
    expect(lost!.cost).toMatchObject({
      totalMicroUsd: 2437,
      startupMicroUsd: 304,
      jobMicroUsd: 1878,
      idleMicroUsd: 255,
      wastedMicroUsd: 2437,
      basis: 'estimate',
    })
    expect(again!.cost).toMatchObject({
      totalMicroUsd: 17_290,
      startupMicroUsd: 864,
      jobMicroUsd: 15_561,
      idleMicroUsd: 865,
      wastedMicroUsd: 0,
    })
    expect([...shares.values()].map(({ cost, lostTo }) => [cost!.microUsd, lostTo])).toEqual([
      [1878, 'spot'],
      [15_561, null],
    ])
    expectConserved(bills, shares)
  })

  it('of a reclaim that came after the job had ended: nothing was lost by it', async () => {
    // 36,550 × 120/3600 = 1,218.33 → 1,218
    const times = {
      aws: { '1-1-1': { pull: 10, up: 30, stopping: 120, stopped: 130, code: 'SpotInterruption' } },
      github: { '1-1': [40, 118] },
    } as const
    const { bills, shares } = await billed(times, [job(1, { ...SHORT, labels: ['tornade', 'spot'] })])
    expect(bills.get('1-1-1')!.stop!.code).toBe('SpotInterruption')
    expect(bills.get('1-1-1')!.cost).toMatchObject({ totalMicroUsd: 1218, wastedMicroUsd: 0 })
    expect(shares.get('1-1')!.lostTo).toBeNull()
    expectConserved(bills, shares)
  })

  it('of a host that died under a job', async () => {
    // 103,740 × 180/3600 = 5,187; start-up 20/180 → 576.33 → 576; job from 40 s until the stop, 150/180 → 4,322.5 → 4,322;
    // idle 289. GitHub gives the job up ten minutes later: on its runners it would have cost the minutes until then,
    // 750 s are 13 × 0.006
    const times = {
      aws: { '1-1-1': { pull: 10, up: 30, stopped: 190 } },
      github: { '1-1': [40, 790] },
    } as const
    const { bills, shares } = await billed(times, [job(1, LONG)], {
      computeFaults: { fate: () => ({ kind: 'dies', afterMs: 120 * SECOND }) },
    })
    expect(bills.get('1-1-1')!.stop!.code).toBe('InfrastructureHealth')
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 5187,
      startupMicroUsd: 576,
      jobMicroUsd: 4322,
      idleMicroUsd: 289,
      wastedMicroUsd: 5187,
    })
    expect(shares.get('1-1')!.cost).toMatchObject({ microUsd: 4322, githubHostedMicroUsd: 78_000 })
    expectConserved(bills, shares)
  })

  it('of a runner whose job was cancelled before it came: start-up and idle, and no interruption', async () => {
    // 103,740 × 150/3600 = 4,322.5 → 4,323 (half up); start-up 20/150 → 576.4 → 576; idle 3,747
    const times = { aws: { '1-1-1': { pull: 10, up: 30, stopped: 160 } } }
    const { bills, shares } = await billed(times, [job(1, { script: { cancelAt: time(8) } })])
    expect(bills.get('1-1-1')!.cost).toMatchObject({
      totalMicroUsd: 4323,
      startupMicroUsd: 576,
      jobMicroUsd: 0,
      idleMicroUsd: 3747,
      wastedMicroUsd: 0,
    })
    expect(shares.get('1-1')!.cost).toBeNull()
    expectConserved(bills, shares)
  })

  it('of a stolen runner: the job that it ran pays, at the price of what was started', async () => {
    // Job 1 asks for 2 vCPU and finds no capacity at first, so that the runner of job 2, 4 vCPU and 8 GB, takes it.
    // 4 × 0.04048 + 8 × 0.004445 + 0.005 = 0.20248 an hour; 20 s to 200 s: 202,480 × 180/3600 = 10,124
    // start-up 15/180 → 843.67 → 843; job 90/180 → 5,062; idle 4,219; GitHub's 4 cores, 2 min × 0.012
    // Job 2 has the other, 4 vCPU as well: 200 s to 320 s: 202,480 × 120/3600 = 6,749.33 → 6,749;
    // start-up 10/120 → 562.42 → 562; job 60/120 → 3,374.5 → 3,374; idle 2,813; GitHub 1 min × 0.012
    const times = {
      aws: { '2-1-1': { pull: 20, up: 35, stopped: 200 }, '2-1-2': { pull: 200, up: 210, stopped: 320 } },
      github: { '1-1': [40, 130], '2-1': [220, 280] },
    } as const
    const { bills, shares } = await billed(
      times,
      [job(1, SHORT), job(2, { ...SHORT, labels: ['tornade', '4cpu'] })],
      {
        computeFaults: {
          refuse: ({ shape }) =>
            shape.cpu === 2
              ? { outcome: 'failed', kind: 'capacity', message: 'Capacity is unavailable at this time' }
              : null,
        },
      },
    )
    expect(shares.get('1-1')!.cost).toMatchObject({
      runner: 'tornade-2-1-1',
      microUsd: 5062,
      githubHostedMicroUsd: 24_000,
    })
    expect(bills.get('2-1-1')!.cost).toMatchObject({
      totalMicroUsd: 10_124,
      startupMicroUsd: 843,
      jobMicroUsd: 5062,
      idleMicroUsd: 4219,
      wastedMicroUsd: 0,
    })
    expect(shares.get('2-1')!.cost).toMatchObject({ runner: 'tornade-2-1-2', microUsd: 3374 })
    expect(bills.get('2-1-2')!.cost).toMatchObject({
      totalMicroUsd: 6749,
      startupMicroUsd: 562,
      idleMicroUsd: 2813,
    })
    expect(bills.get('2-1-2')!.launch!.cause).toBe('replacement')
    expectConserved(bills, shares)
  })
})

// Any world at all

const KINDS = ['fargate', 'spot', 'codebuild'] as const
const STOPS = [
  { code: 'EssentialContainerExited', reason: 'Essential container in task exited' },
  { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' },
  { code: 'InfrastructureHealth', reason: 'The host is gone.' },
  { code: 'TaskFailedToStart', reason: 'Capacity is unavailable at this time' },
  { code: 'UserInitiated', reason: 'nobody needs it' },
  { code: 'SUCCEEDED', reason: 'build succeeded' },
] as const

const seconds = fc.integer({ min: -30, max: 20_000 }).map(at)
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 5 })

/** A runner, what AWS tells of it, and what GitHub tells of the job that it ran. */
const anyRunner = fc.record({
  kind: fc.constantFrom(...KINDS),
  arch: fc.constantFrom('x64' as const, 'arm64' as const),
  region: fc.constantFrom(...PRICES.regions.keys(), 'mars-north-1'),
  cpu: fc.constantFrom(0.25, 2, 16),
  diskGiB: fc.integer({ min: 20, max: 200 }),
  pullStartedAt: maybe(seconds),
  startedAt: maybe(seconds),
  stoppingAt: maybe(seconds),
  stoppedAt: maybe(seconds),
  stop: fc.constantFrom(...STOPS),
  job: maybe(
    fc.record({
      startedAt: seconds,
      completedAt: maybe(seconds),
      conclusion: fc.constantFrom('success', 'failure', 'cancelled'),
      publicRepository: fc.boolean(),
    }),
  ),
  /** What another task cost that was started for it by mistake. */
  twice: maybe(fc.integer({ min: 0, max: 50_000 })),
})
type AnyRunner = ReturnType<(typeof anyRunner)['generate']>['value']
type Happening = { readonly runner: string } & (
  | { readonly aws: RunnerEvent }
  | { readonly github: Extract<JobEvent, { kind: 'in_progress' | 'completed' }> }
  | { readonly twice: number }
)

function shapeOf({ kind, arch, cpu, diskGiB }: AnyRunner): RunnerShape {
  const computeType = kind === 'codebuild' ? 'BUILD_GENERAL1_SMALL' : null
  const capacity = kind === 'codebuild' ? null : kind === 'spot' ? ('spot' as const) : ('on-demand' as const)
  const compute = kind === 'codebuild' ? ('codebuild' as const) : ('fargate' as const)
  return { arch, compute, capacity, cpu, memoryGiB: cpu * 2, diskGiB, computeType }
}

/** Everything that is told of a world, in the order in which it would be if nothing came late. */
function happenings(world: readonly AnyRunner[]): Happening[] {
  return world.flatMap((facts, index) => {
    const runner = `tornade-${index}-1-1`
    const { pullStartedAt, startedAt, stoppingAt, stoppedAt, stop, job, twice } = facts
    const aws = awsEvent({ runner, pullStartedAt, startedAt })
    const jobRequest: JobRequest = request({
      key: `${index}-1`,
      jobId: index,
      repository: { id: 1, name: 'acme/app', private: !job?.publicRepository },
    })
    const ref = { id: index, name: runner }
    return [
      { runner, aws },
      ...(job
        ? [
            {
              runner,
              github: { kind: 'in_progress' as const, at: job.startedAt, request: jobRequest, runner: ref },
            },
          ]
        : []),
      ...(stoppingAt === null ? [] : [{ runner, aws: { ...aws, stoppingAt, stop } }]),
      ...(stoppedAt === null ? [] : [{ runner, aws: { ...aws, stoppingAt, stoppedAt, stop } }]),
      ...(job && job.completedAt !== null
        ? [
            {
              runner,
              github: {
                kind: 'completed' as const,
                at: job.completedAt,
                conclusion: job.conclusion,
                startedAt: job.startedAt,
                request: jobRequest,
                runner: ref,
              },
            },
          ]
        : []),
      ...(twice === null ? [] : [{ runner, twice }]),
    ]
  })
}

/** The ledger after all that, as core/lifecycle keeps it. */
function ledgerOf(world: readonly AnyRunner[], told: readonly Happening[]) {
  const ledger = { runners: new Map<string, Runner>(), jobs: new Map<string, Job>() }
  for (const [index, facts] of world.entries()) {
    const name = `tornade-${index}-1-1`
    const started = launch({ shape: shapeOf(facts), region: facts.region, jobKey: `${index}-1` })
    ledger.runners.set(name, { ...newRunner(name), launch: started })
  }
  for (const { runner: name, ...what } of told) {
    const known = ledger.runners.get(name)!
    const after =
      'aws' in what
        ? applyRunnerEvent(known, what.aws)
        : 'github' in what
          ? applyJobToRunner(known, what.github)
          : priced({ ...known, wasted: { 'another task': what.twice } })
    ledger.runners.set(name, after)
    if ('github' in what) {
      const { key } = what.github.request
      ledger.jobs.set(key, applyToJob(ledger.jobs.get(key) ?? newJob(what.github.request), what.github))
    }
    const ran = after.job && ledger.jobs.get(after.job.key)
    if (ran) ledger.jobs.set(ran.key, withCost(ran, after))
  }
  return { runners: [...ledger.runners.values()], jobs: [...ledger.jobs.values()] }
}

/** Some come twice, and any of them late. */
const anyWorld = fc.array(anyRunner, { minLength: 1, maxLength: 12 }).chain(world =>
  fc.tuple(
    fc.constant(world),
    fc.shuffledSubarray(happenings(world), { minLength: 0 }).chain(again =>
      fc.shuffledSubarray([...happenings(world), ...again], {
        minLength: happenings(world).length + again.length,
      }),
    ),
  ),
)

describe('in 1,000 random worlds', () => {
  const sum = (amounts: readonly number[]) => amounts.reduce((all, one) => all + one, 0)

  it('jobs, start-up and idle sum to what the runners cost, to the micro-dollar, in whatever order it is heard of', () => {
    fc.assert(
      fc.property(anyWorld, ([world, told]) => {
        const { runners, jobs } = ledgerOf(world, told)
        const costs = runners.flatMap(({ cost }) => (cost ? [cost] : []))
        const whole = sum(costs.map(({ totalMicroUsd }) => totalMicroUsd))
        const ofJobs = sum(jobs.map(({ cost }) => cost?.microUsd ?? 0))
        const rest = sum(costs.map(({ startupMicroUsd, idleMicroUsd }) => startupMicroUsd + idleMicroUsd))
        expect(ofJobs + rest).toBe(whole)
        for (const { wastedMicroUsd, totalMicroUsd, idleMicroUsd } of costs) {
          expect(wastedMicroUsd).toBeGreaterThanOrEqual(0)
          expect(wastedMicroUsd).toBeLessThanOrEqual(totalMicroUsd)
          expect(idleMicroUsd).toBeGreaterThanOrEqual(0)
        }
        // What is shown is that sum, and comes to the same by day, repository and compute.
        const report = summaryOfItems(runners, jobs)
        const micro = (usd: number) => Math.round(usd * 1e6)
        expect(micro(report.totals.costUsd)).toBe(whole)
        for (const parts of [report.byDay, report.byRepository, report.byCompute])
          expect(sum(parts.map(({ costUsd }) => micro(costUsd)))).toBe(whole)
        expect(ledgerOf(world, happenings(world)).runners).toEqual(runners)
      }),
      { numRuns: 1000 },
    )
  })
})
