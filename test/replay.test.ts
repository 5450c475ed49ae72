import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { type Config, DEFAULT_CONFIG } from '../functions/config.ts'
import { SILENT } from '../local/log.ts'
import { workflowJobPayload } from '../local/payloads.ts'
import { type Recording, readRecordings } from '../local/recordings.ts'
import { duplicates, type ReplayReport, replay } from '../local/replay.ts'
import type { World } from '../local/world.ts'
import { FILES, START } from './payloads/factory.ts'
import {
  expectMoneyConserved,
  expectNothingLeft,
  type Run,
  recordingsOf,
  runnersOf,
  runUnchecked,
} from './support/replaying.ts'

// Some look at thousands of cases, beside whatever else this machine does.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

const PAYLOADS = join(import.meta.dirname, 'payloads')
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('the recordings in test/payloads', () => {
  test('are what the factory makes', async () => {
    const entries = await readdir(PAYLOADS, { recursive: true, withFileTypes: true })
    const files = entries
      .filter(entry => entry.isFile() && !entry.name.endsWith('.ts'))
      .map(entry => relative(PAYLOADS, join(entry.parentPath, entry.name)))
    expect(files.sort()).toEqual([...FILES.keys()].sort())
    for (const [name, text] of FILES) expect(await readFile(join(PAYLOADS, name), 'utf8'), name).toBe(text)
  })

  test.each<[string, string]>([
    ['an array of labels', 'array-labels.json'],
    ['one label', 'one-label.json'],
  ])('our labels as %s: completed on Fargate Spot', async (_, file) => {
    const { report } = await replayFile(file)
    expect(counts(report)).toEqual({ deliveries: 1, accepted: 1, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toHaveLength(1)
    expect(report.jobs[0]).toMatchObject({
      outcome: 'completed',
      conclusion: 'success',
      reason: null,
      runner: { compute: 'fargate', capacity: 'spot', arch: 'arm64', cpu: 4, memoryGiB: 8 },
    })
  })

  test('a matrix of 20: every job completed, on as many runners, whichever of them came first', async () => {
    const { report, world } = await replayFile('matrix-of-20.jsonl')
    expect(counts(report)).toEqual({ deliveries: 20, accepted: 20, ignored: 0, rejected: 0, duplicates: 0 })
    expect(outcomes(report)).toEqual(Array(20).fill('completed success'))
    for (const { runner } of report.jobs)
      expect(runner).toMatchObject({ compute: 'fargate', capacity: 'spot', cpu: 1, memoryGiB: 2 })
    expect(new Set(report.jobs.map(({ runner }) => runner!.name)).size).toBe(20)
    const runners = await runnersOf(world)
    expect(runners).toHaveLength(20)
    // The labels are the same for all, so GitHub mixes them up: those that were, were paired anew, not replaced.
    expect(runners.some(runner => runner.launch!.jobKey !== runner.job!.key)).toBe(true)
  })

  test('a re-run: two jobs, each on a runner of its own', async () => {
    const { report } = await replayFile('re-run.jsonl')
    expect(counts(report)).toEqual({ deliveries: 6, accepted: 6, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([
      { attempt: 1, outcome: 'completed', conclusion: 'failure', reason: null, runSeconds: 120 },
      { attempt: 2, outcome: 'completed', conclusion: 'success', reason: null, runSeconds: 120 },
    ])
    expect(report.jobs[0]!.jobId).not.toBe(report.jobs[1]!.jobId)
    expect(report.jobs[0]!.runner!.name).not.toBe(report.jobs[1]!.runner!.name)
  })

  test('cancelled before a runner had it: cancelled, with the runner that came in vain under idle', async () => {
    const { report, world } = await replayFile('cancelled-before-start.jsonl')
    expect(counts(report)).toEqual({ deliveries: 2, accepted: 2, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([
      {
        outcome: 'cancelled',
        conclusion: 'cancelled',
        reason: 'Cancelled before a runner took it.',
        runner: null,
        queueSeconds: null,
        runSeconds: null,
        costUsd: null,
        githubHostedUsd: null,
      },
    ])
    expect(await runnersOf(world)).toMatchObject([{ job: null, cost: { jobMicroUsd: 0 } }])
    expect(report.totals.idleUsd).toBeGreaterThan(0)
  })

  test('cancelled while it ran: cancelled after the time that it took, and paid for', async () => {
    const { report } = await replayFile('cancelled-while-running.jsonl')
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 3, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([
      { outcome: 'cancelled', conclusion: 'cancelled', reason: null, runSeconds: 120 },
    ])
    expect(report.jobs[0]!.runner).not.toBeNull()
    expect(report.jobs[0]!.costUsd).toBeGreaterThan(0)
  })

  test('completed and in_progress before queued: one job, as if they had come in order', async () => {
    const { report, world } = await replayFile('reordered.jsonl')
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 3, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([{ outcome: 'completed', conclusion: 'success', runSeconds: 120 }])
    expect(await runnersOf(world)).toHaveLength(1)
  })

  test('the same delivery twice, and the same news under another id: one job, one runner', async () => {
    const { report, world } = await replayFile('doubled.jsonl')
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 3, ignored: 0, rejected: 0, duplicates: 2 })
    expect(outcomes(report)).toEqual(['completed success'])
    expect(await runnersOf(world)).toHaveLength(1)
  })

  test.each([
    [
      'nothing starts before it opens, and the wait for it is no queueing',
      'environment-gate.jsonl',
      20 * MINUTE,
    ],
    ['one that opened after a weekend: the job is not too old', 'environment-gate-weekend.jsonl', 63 * HOUR],
  ])('an environment gate: %s', async (_, file, opened) => {
    const { report, world } = await replayFile(file)
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 3, ignored: 0, rejected: 0, duplicates: 0 })
    expect(outcomes(report)).toEqual(['completed success'])
    const runners = await runnersOf(world)
    expect(runners).toHaveLength(1)
    expect(runners[0]!.launch!.at).toBeGreaterThan(START + opened)
    expect(report.jobs[0]!.queueSeconds).toBeLessThan(60)
  })

  test('a job of a hosted runner: ignored', async () => {
    const { report, world } = await replayFile('hosted-runner.jsonl')
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 0, ignored: 3, rejected: 0, duplicates: 0 })
    expect(report.jobs).toEqual([])
    expect(report.totals).toEqual({ costUsd: 0, idleUsd: 0, startupUsd: 0, githubHostedUsd: 0 })
    expect(await runnersOf(world)).toEqual([])
  })

  test('a stolen runner: the job it was taken from gets a replacement, the one left over goes', async () => {
    const { report, world } = await replayFile('stolen-runner.jsonl')
    expect(counts(report)).toEqual({ deliveries: 2, accepted: 2, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([
      {
        labels: ['tornade'],
        outcome: 'completed',
        conclusion: 'success',
        runner: { name: 'tornade-45000001002-1-1', compute: 'codebuild', capacity: null },
      },
      {
        labels: ['tornade', 'codebuild'],
        outcome: 'completed',
        conclusion: 'success',
        runner: { name: 'tornade-45000001002-1-2', compute: 'codebuild', capacity: null },
      },
    ])
    const runners = await runnersOf(world)
    expect(runners.map(({ name, launch, job }) => [name, launch!.cause, job?.key ?? null])).toEqual([
      ['tornade-45000001001-1-1', 'job', null],
      ['tornade-45000001002-1-1', 'job', '45000001001-1'],
      ['tornade-45000001002-1-2', 'replacement', '45000001002-1'],
    ])
  })

  test('a label mistake: refused, told on the commit with what to write instead, and the run cancelled', async () => {
    const { report, world } = await replayFile('label-mistake.json')
    expect(counts(report)).toEqual({ deliveries: 1, accepted: 1, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs).toMatchObject([{ outcome: 'refused', runner: null, costUsd: null }])
    expect(report.jobs[0]!.reason).toContain('did you mean `arm64`?')
    expect(report.jobs[0]!.reason).toContain('Fargate has 4 or 8 vCPU')
    expect(world.github.checks).toHaveLength(1)
    const { summary } = world.github.checks[0]!
    expect(summary).toContain('- `amr64`:')
    expect(summary).toContain('Use `arm64`.')
    expect(summary).toContain('- `5cpu`:')
    expect(summary).toContain('Use `8cpu`.')
    expect(world.github.job('45000001101-1')).toMatchObject({ status: 'completed', conclusion: 'cancelled' })
    expect(await runnersOf(world)).toEqual([])
  })

  test('every form in which people have deliveries: one job each', async () => {
    const names = [...FILES.keys()].filter(name => name.startsWith('forms/'))
    const recordings = names.flatMap(name => recordingsOf(FILES.get(name)!, name))
    const { report } = await run(recordings)
    expect(counts(report)).toEqual({ deliveries: 6, accepted: 6, ignored: 0, rejected: 0, duplicates: 0 })
    expect(report.jobs.map(({ jobId, outcome }) => [jobId - 45_000_000_000, outcome])).toEqual(
      [1201, 1202, 1203, 1204, 1205, 1206].map(id => [id, 'completed']),
    )
  })
})

describe('the official examples of workflow_job', () => {
  const examples = officialExamples()
  const recordings = () =>
    recordingsOf(examples.map(example => JSON.stringify(example)).join('\n'), 'official')

  test('all eight are ignored, and no field that an old one lacks makes it rejected', async () => {
    const { report, rejected } = await run(recordings())
    // The second and the third say the same of job 289782451 (one of them has a failed step).
    expect(counts(report)).toEqual({ deliveries: 8, accepted: 0, ignored: 8, rejected: 0, duplicates: 1 })
    expect(rejected).toEqual([])
    expect(report.jobs).toEqual([])
  })

  /**
   * Two of the eight carry the label self-hosted: both tell of job 12877621891, which waits at a gate. Of the first
   * one only the runner is self-hosted; its labels (gpu, db-app, dc-03) do not say so. The other five ran on
   * GitHub's runners.
   */
  const WITH_SELF_HOSTED: readonly [string, 'accepted' | 'ignored'][] = [
    ['in_progress in_progress gpu,db-app,dc-03', 'ignored'],
    ['completed completed ubuntu-latest', 'ignored'],
    ['completed completed ubuntu-latest', 'ignored'],
    ['in_progress in_progress ubuntu-latest', 'ignored'],
    ['in_progress in_progress ubuntu-latest', 'ignored'],
    ['queued queued ubuntu-latest', 'ignored'],
    ['queued waiting self-hosted,k8s', 'accepted'],
    ['waiting waiting self-hosted,k8s', 'accepted'],
  ]

  test.each(WITH_SELF_HOSTED.map(([what, outcome], index) => [index + 1, what, outcome] as const))(
    'with the marker self-hosted, number %i (%s) is %s',
    async (number, what, outcome) => {
      const { action, workflow_job: job } = examples[number - 1]!
      expect([action, job.status, job.labels.join(',')].join(' ')).toBe(what)
      const { report } = await run([recordings()[number - 1]!], { marker: 'self-hosted' })
      expect(counts(report)).toMatchObject({ deliveries: 1, [outcome]: 1, rejected: 0 })
    },
  )

  test('with the marker self-hosted, the one job of ours still waits at its gate in the end', async () => {
    const { report, world } = await run(recordings(), { marker: 'self-hosted' })
    expect(counts(report)).toEqual({ deliveries: 8, accepted: 2, ignored: 6, rejected: 0, duplicates: 1 })
    expect(report.jobs).toMatchObject([
      { jobId: 12877621891, outcome: 'waiting', conclusion: null, runner: null, queueSeconds: null },
    ])
    expect(await runnersOf(world)).toEqual([])
  })

  test('with the marker self-hosted and its gate opened, k8s is a label that does not exist: refused', async () => {
    const opened = structuredClone(examples[6]!)
    opened.workflow_job.status = 'queued'
    const { report } = await run(recordingsOf(JSON.stringify(opened)), { marker: 'self-hosted' })
    expect(report.jobs).toMatchObject([{ jobId: 12877621891, outcome: 'refused', runner: null }])
  })
})

describe('a thousand jobs at once', () => {
  let report: ReplayReport
  let world: World
  beforeAll(async () => {
    ;({ report, world } = await run(burst(1000)))
  })

  test('are all completed, oldest first', () => {
    expect(counts(report)).toEqual({
      deliveries: 1000,
      accepted: 1000,
      ignored: 0,
      rejected: 0,
      duplicates: 0,
    })
    expect(outcomes(report)).toEqual(Array(1000).fill('completed success'))
    const ids = report.jobs.map(({ jobId }) => jobId)
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
  })

  test('leave nothing behind', async () => {
    expect(world.compute.live).toBe(0)
    expect(world.backlog).toEqual({ waiting: 0, dead: 0 })
    expect(world.tickets.waiting).toBe(0)
    expect([...world.github.runners()]).toEqual([])
    expect(world.github.openJobs).toBe(0)
    expect(world.github.undelivered).toBe(0)
    expect(await world.ledger.gate.get()).toMatchObject({ holders: {}, waiting: {} })
  })

  test('are priced, every runner of theirs', async () => {
    const runners = await runnersOf(world)
    expect(runners.filter(({ job }) => job !== null)).toHaveLength(1000)
    // Now and then a runner is let go just when a job was to have it.
    expect(runners.length).toBeLessThan(1010)
    for (const { stoppedAt, cost } of runners) {
      expect(stoppedAt).not.toBeNull()
      expect(cost!.totalMicroUsd).toBeGreaterThan(0)
    }
  })

  test('never had more runners than limits.runners and limits.perRepository', async () => {
    const runners = await runnersOf(world)
    expect(mostAtOnce(runners)).toBeLessThanOrEqual(DEFAULT_CONFIG.limits.runners)
    for (const id of [7001, 7002, 7003, 7004]) {
      const own = runners.filter(({ launch }) => launch!.repository.id === id)
      expect(own.filter(({ job }) => job !== null)).toHaveLength(250)
      expect(mostAtOnce(own)).toBeLessThanOrEqual(DEFAULT_CONFIG.limits.perRepository)
    }
  })
})

describe('limits', () => {
  const limited = (limits: Partial<Config['limits']>) => ({ limits: { ...DEFAULT_CONFIG.limits, ...limits } })

  test('jobs above limits.runners wait their turn, and all are completed', async () => {
    const { report, world } = await run(burst(30), limited({ runners: 4 }))
    expect(outcomes(report)).toEqual(Array(30).fill('completed success'))
    expect(mostAtOnce(await runnersOf(world))).toBe(4)
    expect(world.metrics.get('JobsDeferred')).toBeGreaterThanOrEqual(26)
  })

  test('limits.perRepository holds one repository back and no other', async () => {
    const { report, world } = await run(burst(40), limited({ runners: 100, perRepository: 2 }))
    expect(outcomes(report)).toEqual(Array(40).fill('completed success'))
    const runners = await runnersOf(world)
    for (const id of [7001, 7002, 7003, 7004])
      expect(mostAtOnce(runners.filter(({ launch }) => launch!.repository.id === id))).toBe(2)
  })

  test('a job that is larger than the deployment takes is refused, the others run', async () => {
    const recordings = [
      recorded({ jobId: 1, runId: 1, labels: ['tornade/16cpu'] }),
      recorded({ jobId: 2, runId: 2, labels: ['tornade/4cpu'] }),
    ]
    const { report } = await run(recordings, limited({ cpu: 8 }))
    expect(report.jobs.map(({ outcome }) => outcome)).toEqual(['refused', 'completed'])
    expect(report.jobs[0]!.reason).toContain('8')
  })
})

describe('what a recording says of a job', () => {
  test('how long it ran and how it ended is kept, whenever a runner of ours took it', async () => {
    const { report } = await run([
      recorded({ jobId: 1 }),
      recorded({ jobId: 1, action: 'in_progress', startedAt: START + HOUR }, HOUR),
      recorded(
        {
          jobId: 1,
          action: 'completed',
          conclusion: 'timed_out',
          startedAt: START + HOUR,
          completedAt: START + HOUR + 754 * SECOND,
        },
        HOUR + 755 * SECOND,
      ),
    ])
    expect(report.jobs).toMatchObject([
      { outcome: 'completed', conclusion: 'timed_out', runSeconds: 754, queueSeconds: expect.any(Number) },
    ])
    expect(report.jobs[0]!.queueSeconds).toBeLessThan(60)
  })

  test('without an end a job lasts 30 to 300 seconds, the same ones each time', async () => {
    const once = await run(burst(20))
    const lengths = once.report.jobs.map(({ runSeconds }) => runSeconds!)
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(30)
    expect(Math.max(...lengths)).toBeLessThanOrEqual(300)
    expect(new Set(lengths).size).toBeGreaterThan(10)
    const later = (await run(burst(20, DAY))).report.jobs.map(({ runSeconds }) => runSeconds!)
    expect(later).toEqual(lengths)
  })

  test('an end without a beginning is all that is ever heard of a job', async () => {
    const { report } = await run([recorded({ jobId: 1, action: 'completed' })])
    expect(report.jobs).toMatchObject([
      { outcome: 'completed', conclusion: 'success', runner: null, costUsd: null },
    ])
  })

  test('a job that a recording leaves running is ended by GitHub, which is asked', async () => {
    const { report } = await run([recorded({ jobId: 1, action: 'in_progress' })])
    expect(report.jobs).toMatchObject([{ outcome: 'completed', conclusion: 'unknown', runner: null }])
  })

  test('a wait at a gate that somebody cancelled ends then, whatever time its deliveries have', async () => {
    const held = { jobId: 1, status: 'waiting' } as const
    const end = { conclusion: 'cancelled', completedAt: START + 2 * HOUR, runner: null } as const
    const recordings = [
      recorded({ ...held, action: 'waiting' }),
      recorded({ jobId: 1, action: 'completed', startedAt: START + 2 * HOUR, ...end }, 0),
    ]
    const { report, world } = await run(recordings)
    expect(report.jobs).toMatchObject([{ outcome: 'cancelled', conclusion: 'cancelled', runner: null }])
    expect(world.github.job('1-1')!.completedAt).toBe(START + 2 * HOUR)
  })

  test('the event and the head repository of its run decide over a role', async () => {
    const roles = { deploy: { repositories: ['acme/app'], refs: [], events: [] } }
    const asking = workflowJobPayload({ action: 'queued', jobId: 1, labels: ['tornade/role:deploy'] })
    const of = (run: unknown) =>
      recordingsOf(JSON.stringify({ headers: { 'x-github-event': 'workflow_job' }, payload: asking, run }))
    const outcome = async (run: unknown) => {
      const { report } = await runUnchecked(of(run), { roles })
      return [report.jobs[0]!.outcome, report.jobs[0]!.reason]
    }
    expect(await outcome(undefined)).toEqual(['completed', null])
    expect(await outcome({ event: 'push' })).toEqual(['completed', null])
    expect(await outcome({ event: 'pull_request', head_repository: { id: 99 } })).toEqual([
      'refused',
      expect.stringContaining('fork'),
    ])
    expect(await outcome({ head_repository: null })).toEqual(['refused', expect.stringContaining('fork')])
    expect(await outcome({ event: 'pull_request' })).toEqual([
      'refused',
      expect.stringContaining('pull_request runs'),
    ])
  })
})

describe('time', () => {
  test('deliveries come at their own times, and the clock starts with the earliest', async () => {
    const { report, world } = await run([
      recorded({ jobId: 1 }),
      recorded({ jobId: 2, createdAt: START + 6 * HOUR }, 6 * HOUR),
    ])
    const [first, second] = await runnersOf(world)
    expect(first!.launch!.at).toBeLessThan(START + MINUTE)
    expect(second!.launch!.at).toBeGreaterThan(START + 6 * HOUR)
    expect(second!.launch!.at).toBeLessThan(START + 6 * HOUR + MINUTE)
    for (const { queueSeconds } of report.jobs) expect(queueSeconds).toBeLessThan(60)
  })

  test('the order of the file does not matter where times say otherwise', async () => {
    const [first, second] = [recorded({ jobId: 1 }), recorded({ jobId: 2 }, 10 * MINUTE)]
    const { report } = await run([second, first])
    expect(report.jobs.map(({ jobId }) => jobId)).toEqual([1, 2])
  })

  test('without any time everything comes at once', async () => {
    const payload = workflowJobPayload({ action: 'queued', jobId: 1 }) as unknown as Loose
    const { created_at: _, started_at: __, ...untimed } = payload.workflow_job as Loose
    const text = (id: number) => JSON.stringify({ ...payload, workflow_job: { ...untimed, id } })
    const { report } = await run(recordingsOf(`${text(1)}\n${text(2)}`))
    expect(outcomes(report)).toEqual(['completed success', 'completed success'])
  })

  test('years without a delivery are not lived through', async () => {
    const years = 8_000 * 365 * DAY
    const recordings = [
      recorded({ jobId: 1, createdAt: 0 }, -START),
      recorded({ jobId: 2, createdAt: START }),
      recorded({ jobId: 3, createdAt: years }, years - START),
    ]
    let looks = 0
    const { report } = await runUnchecked(recordings, {}, { onProgress: () => looks++ })
    expect(counts(report)).toMatchObject({ deliveries: 3, accepted: 3 })
    expect(outcomes(report)).toEqual(Array(3).fill('completed success'))
    expectMoneyConserved(report)
    expect(looks).toBeLessThan(1000)
  })

  test('nothing at all is an answer too', async () => {
    const { report } = await runUnchecked([])
    expect(report).toEqual({
      deliveries: 0,
      accepted: 0,
      ignored: 0,
      rejected: 0,
      duplicates: 0,
      jobs: [],
      totals: { costUsd: 0, idleUsd: 0, startupUsd: 0, githubHostedUsd: 0 },
    })
  })
})

describe('the report', () => {
  test('is the same for the same input, to the last digit', async () => {
    const recordings = () => [
      ...burst(60),
      ...[
        'stolen-runner.jsonl',
        'cancelled-before-start.jsonl',
        'label-mistake.json',
        'doubled.jsonl',
      ].flatMap(name => recordingsOf(FILES.get(name)!, name)),
    ]
    const [once, twice] = [await run(recordings()), await run(recordings())]
    expect(JSON.stringify(twice.report)).toBe(JSON.stringify(once.report))
  })

  test('has the documented fields, in order, and no other', async () => {
    const { report } = await replayFile('array-labels.json')
    expect(Object.keys(report)).toEqual([
      'deliveries',
      'accepted',
      'ignored',
      'rejected',
      'duplicates',
      'jobs',
      'totals',
    ])
    expect(Object.keys(report.jobs[0]!)).toEqual([
      'jobId',
      'attempt',
      'repository',
      'workflow',
      'labels',
      'outcome',
      'conclusion',
      'reason',
      'runner',
      'queueSeconds',
      'runSeconds',
      'costUsd',
      'githubHostedUsd',
    ])
    expect(Object.keys(report.jobs[0]!.runner!)).toEqual([
      'name',
      'compute',
      'capacity',
      'arch',
      'cpu',
      'memoryGiB',
    ])
    expect(Object.keys(report.totals)).toEqual(['costUsd', 'idleUsd', 'startupUsd', 'githubHostedUsd'])
  })

  test('has the same fields for a job that was refused, cancelled or waits', async () => {
    const fields = Object.keys((await replayFile('array-labels.json')).report.jobs[0]!)
    for (const name of ['label-mistake.json', 'cancelled-before-start.jsonl']) {
      const { report } = await replayFile(name)
      expect(Object.keys(report.jobs[0]!), name).toEqual(fields)
    }
    const { report } = await run([recorded({ jobId: 1, action: 'waiting' })])
    expect(report.jobs[0]).toMatchObject({ outcome: 'waiting', runner: null })
    expect(Object.keys(report.jobs[0]!)).toEqual(fields)
  })

  test('counts every delivery once', async () => {
    const broken = recordingsOf(JSON.stringify({ action: 'queued', workflow_job: { labels: ['tornade'] } }))
    const ping = recordingsOf(JSON.stringify({ zen: 'Keep it logically awesome.', hook_id: 1 }))
    const { report, rejected } = await run([recorded({ jobId: 1 }), ...broken, ...ping])
    expect(counts(report)).toEqual({ deliveries: 3, accepted: 1, ignored: 1, rejected: 1, duplicates: 0 })
    expect(rejected).toEqual([[400, expect.stringContaining('workflow_job.id: ')]])
  })

  test('a rejected delivery has no part in what happens', async () => {
    const { workflow_job, ...rest } = workflowJobPayload({ action: 'queued', jobId: 1 })
    const { name: _, ...nameless } = workflow_job as unknown as Loose
    const { report } = await run(recordingsOf(JSON.stringify({ ...rest, workflow_job: nameless })))
    expect(report).toMatchObject({ rejected: 1, jobs: [] })
  })
})

describe('money', () => {
  test('a runner that a second job names is paid for once', async () => {
    const createdAt = Date.UTC(2026, 5, 1, 9)
    const first = workflowJobPayload({ action: 'queued', jobId: 11, runId: 1, createdAt })
    const second = workflowJobPayload({
      action: 'completed',
      jobId: 21,
      runId: 2,
      createdAt: createdAt + 208 * SECOND,
      startedAt: createdAt + 208 * SECOND,
      completedAt: createdAt + 7 * HOUR,
      // The very registration that GitHub's double gives to the runner of job 11.
      runner: { id: 1, name: 'tornade-11-1-1' },
    })
    const lines = [
      { headers: {}, payload: first, delivered_at: new Date(createdAt).toISOString() },
      { headers: {}, payload: second, delivered_at: new Date(createdAt + 210 * SECOND).toISOString() },
    ].map(line => JSON.stringify(line))
    const recordings = readRecordings(Buffer.from(lines.join('\n')), 'two jobs', fault => {
      throw fault
    })
    const { jobs, totals } = await replay(recordings, { config: DEFAULT_CONFIG, log: SILENT, secret: 's' })
    const micro = (usd: number | null) => Math.round((usd ?? 0) * 1e6)
    const parts = jobs.reduce((sum, job) => sum + micro(job.costUsd), 0)
    expect(parts + micro(totals.idleUsd) + micro(totals.startupUsd)).toBe(micro(totals.costUsd))
  })
})

describe('duplicates: the same delivery id, or the same job, attempt, action and status', () => {
  const job = { jobId: 7, action: 'queued' } as const
  test.each<[string, number, Recording[]]>([
    ['three times the same id', 2, [wrapped('a', job), wrapped('a', job), wrapped('a', job)]],
    ['another id, the same news', 1, [wrapped('a', job), wrapped('b', job)]],
    ['the same id for other news', 1, [wrapped('a', job), wrapped('a', { ...job, action: 'in_progress' })]],
    ['another attempt', 0, [wrapped('a', job), wrapped('b', { ...job, attempt: 2 })]],
    ['another action', 0, [wrapped('a', job), wrapped('b', { ...job, action: 'in_progress' })]],
    ['another status', 0, [wrapped('a', { ...job, status: 'waiting' }), wrapped('b', job)]],
    ['another job', 0, [wrapped('a', job), wrapped('b', { ...job, jobId: 8 })]],
    ['no ids, the same news', 1, [recorded(job), recorded(job)]],
    ['no ids, other news', 0, [recorded(job), recorded({ ...job, action: 'in_progress' })]],
    ['in between', 1, [wrapped('a', job), wrapped('b', { ...job, jobId: 8 }), wrapped('c', job)]],
    ['nothing', 0, []],
  ])('%s: %i', (_, count, recordings) => {
    expect(duplicates(recordings)).toBe(count)
  })
})

// What the tests share

type Loose = Record<string, unknown>
type Facts = Omit<Parameters<typeof workflowJobPayload>[0], 'action'> & {
  readonly action?: 'queued' | 'waiting' | 'in_progress' | 'completed'
}

async function replayFile(name: string): Promise<Run> {
  return run(recordingsOf(await readFile(join(PAYLOADS, name)), name))
}

/** Replays, and checks what must hold after every replay. */
async function run(recordings: readonly Recording[], config: Partial<Config> = {}): Promise<Run> {
  const done = await runUnchecked(recordings, config)
  expectMoneyConserved(done.report)
  await expectNothingLeft(done.world)
  return done
}

function mostAtOnce(runners: Awaited<ReturnType<typeof runnersOf>>): number {
  const changes = runners
    .flatMap(({ launch, stoppedAt }) => [[launch!.at, 1] as const, [stoppedAt!, -1] as const])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
  let [now, most] = [0, 0]
  for (const [, change] of changes) {
    now += change
    most = Math.max(most, now)
  }
  return most
}

function counts({ deliveries, accepted, ignored, rejected, duplicates }: ReplayReport) {
  return { deliveries, accepted, ignored, rejected, duplicates }
}

function outcomes(report: ReplayReport): string[] {
  return report.jobs.map(({ outcome, conclusion }) => `${outcome} ${conclusion}`)
}

/** A bare payload; `later` is when it was delivered, counted from START. */
function recorded({ action = 'queued', ...facts }: Facts, later?: number): Recording {
  const [one] = recordingsOf(JSON.stringify(workflowJobPayload({ createdAt: START, ...facts, action })))
  return later === undefined ? one! : { ...one!, at: START + later }
}

function wrapped(guid: string, { action = 'queued', ...facts }: Facts): Recording {
  const payload = workflowJobPayload({ createdAt: START, ...facts, action })
  const [one] = recordingsOf(JSON.stringify({ headers: { 'X-GitHub-Delivery': guid }, payload }))
  return one!
}

/** Queued jobs of four repositories, all in the same second. */
function burst(count: number, later = 0): Recording[] {
  return Array.from({ length: count }, (_, index) => {
    const number = index % 4
    return recorded(
      {
        jobId: 50_000_000_000 + index,
        runId: 20_000_000_000 + index,
        createdAt: START + later,
        repository: { ...REPOSITORY, id: 7001 + number, name: `acme/app-${number}` },
        labels: [['tornade', 'tornade/arm64', 'tornade/spot/4cpu', 'tornade/docker'][(index >> 2) % 4]!],
      },
      later + index,
    )
  })
}

const REPOSITORY = { private: true, ownerId: 9919, ownerType: 'Organization', defaultBranch: 'main' } as const

interface Example extends Loose {
  readonly action: string
  readonly workflow_job: { status: string; readonly labels: readonly string[] }
}

function officialExamples(): Example[] {
  const events = createRequire(import.meta.url)('@octokit/webhooks-examples/api.github.com/index.json') as {
    name: string
    examples: Example[]
  }[]
  return events.find(({ name }) => name === 'workflow_job')!.examples
}
