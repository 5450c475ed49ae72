import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { SteppedClock } from '../local/clock.ts'
import {
  type AssignedJob,
  type Delivery,
  type DoubleJob,
  GitHubDouble,
  type RunnerSession,
} from '../local/github.ts'
import { JobIndex, RunnerIndex } from '../local/github-labels.ts'
import { ACME_APP, type WorkflowJobPayload, workflowJobPayload } from '../local/payloads.ts'

const START = Date.UTC(2026, 10, 23, 9)
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const SCOPE = { repository: ACME_APP, installationId: 5001 }
const OTHER = { ...ACME_APP, id: 7002, name: 'acme/site' }
const CHECK = {
  externalId: 'tornade-17',
  headSha: 'f'.repeat(40),
  title: 'No such size',
  summary: 'Use 8cpu.',
}

let clock: SteppedClock
let github: GitHubDouble
let deliveries: {
  readonly at: number
  readonly headers: Delivery['headers']
  readonly payload: WorkflowJobPayload
}[]
let refuse: boolean

beforeEach(() => {
  clock = new SteppedClock(START)
  deliveries = []
  refuse = false
  github = makeDouble()
})

describe('queueing', () => {
  test('a queued job is told of once, shortly after', async () => {
    github.queue(job(1))
    github.queue(job(1))
    await clock.run(START + SECOND)
    expect(told()).toEqual(['1 queued queued'])
    expect(deliveries[0]!.at).toBe(START + 300)
    expect(await github.getJob(SCOPE, 1)).toEqual({
      status: 'queued',
      conclusion: null,
      runnerId: null,
      runnerName: null,
      startedAt: null,
      completedAt: null,
    })
  })

  test('delivery ids are GUIDs, each one new', async () => {
    for (let id = 1; id <= 50; id++) github.queue(job(id))
    await clock.run(START + SECOND)
    const ids = new Set(deliveries.map(({ headers }) => headers['x-github-delivery']))
    expect(ids.size).toBe(50)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  })

  test('a delivery has the headers of GitHub', async () => {
    github.queue(job(1))
    await clock.run(START + SECOND)
    expect(deliveries[0]!.headers).toEqual({
      accept: '*/*',
      'content-type': 'application/json',
      'user-agent': expect.stringMatching(/^GitHub-Hookshot\/[0-9a-f]{7}$/),
      'x-github-delivery': expect.any(String),
      'x-github-event': 'workflow_job',
      'x-github-hook-id': expect.stringMatching(/^\d+$/),
      'x-github-hook-installation-target-id': expect.stringMatching(/^\d+$/),
      'x-github-hook-installation-target-type': 'integration',
      'x-hub-signature-256': expect.stringMatching(/^sha256=[0-9a-f]{64}$/),
    })
  })

  test('a delivery that is not taken is lost, and counted', async () => {
    refuse = true
    github.queue(job(1))
    await clock.run(START + HOUR)
    expect(deliveries).toHaveLength(1)
    expect(github.undelivered).toBe(1)
  })

  test('a job that nobody takes is cancelled after 24 hours', async () => {
    github.queue(job(1))
    await clock.run(START + 24 * HOUR - 1)
    expect(told()).toEqual(['1 queued queued'])
    await clock.run()
    expect(told()).toEqual(['1 queued queued', '1 completed cancelled'])
    expect(last().workflow_job).toMatchObject({ runner_id: null, runner_name: null, steps: [] })
    expect(last().workflow_job.started_at).toBe(last().workflow_job.completed_at)
    expect(clock.now()).toBe(START + 24 * HOUR + 300)
  })

  test('the same input gives the same deliveries', async () => {
    const once = await someDay()
    clock = new SteppedClock(START)
    deliveries = []
    github = makeDouble()
    expect(await someDay()).toEqual(once)
    expect(once.length).toBeGreaterThan(20)
  })
})

describe('gates', () => {
  test('a waiting job is offered to nobody until its gate opens', async () => {
    const runner = await online('r1')
    github.queue(job(1, { gate: true }))
    await clock.run(START + 48 * HOUR)
    expect(told()).toEqual(['1 waiting waiting', '1 queued waiting'])
    expect(await github.getJob(SCOPE, 1)).toMatchObject({ status: 'waiting' })
    expect(runner.events).toEqual([])

    expect(github.openGate(1)).toBe(true)
    expect(github.openGate(1)).toBe(false)
    await clock.run()
    expect(told().slice(2)).toEqual(['1 queued queued', '1 in_progress r1', '1 completed success r1'])
  })

  test('a waiting job can be cancelled', async () => {
    github.queue(job(1, { gate: true }))
    expect(github.cancelJob(1)).toBe(true)
    await clock.run()
    expect(told().at(-1)).toBe('1 completed cancelled')
    expect(github.openGate(1)).toBe(false)
  })
})

describe('assignment', () => {
  test('a job runs on a runner with its labels, and both are told', async () => {
    const runner = await online('r1', ['tornade', '4CPU', 'extra'])
    github.queue(job(1, { labels: ['Tornade', '4cpu'], script: { durationMs: 90 * SECOND } }))
    await clock.run()
    expect(told()).toEqual(['1 queued queued', '1 in_progress r1', '1 completed success r1'])
    const [, started, completed] = deliveries.map(({ payload }) => payload.workflow_job)
    expect(started).toMatchObject({
      runner_id: runner.id,
      runner_name: 'r1',
      runner_group_id: 1,
      runner_group_name: 'Default',
      completed_at: null,
      steps: [{ name: 'Set up job', status: 'in_progress', conclusion: null, number: 1 }],
    })
    expect(completed!.steps).toMatchObject([
      { name: 'Set up job' },
      { name: 'Run' },
      { name: 'Complete job' },
    ])
    expect(seconds(completed!.completed_at) - seconds(completed!.started_at)).toBe(90)
    expect(runner.events).toEqual(['job 1', 'done success'])
  })

  test('assignment takes one to two seconds, on a clock that is waited for', async () => {
    await online('r1')
    github.queue(job(1))
    await clock.run(START + 999)
    expect(await github.findRunner(SCOPE, 'r1')).toMatchObject({ busy: false })
    await clock.run(START + 2_000)
    expect(await github.findRunner(SCOPE, 'r1')).toMatchObject({ busy: true })
  })

  test('the runner learns what a job hook would see', async () => {
    const runner = await online('r1')
    const fork = { event: 'pull_request', headRepositoryId: 8001, headBranch: 'main' }
    github.queue(job(1, fork))
    await clock.run()
    expect(runner.jobs[0]).toMatchObject({ key: '1-1', runId: 101, ...fork, ref: 'refs/pull/1/merge' })
    github.queue(job(2, { headBranch: 'topic' }))
    const second = await online('r2')
    await clock.run()
    expect(second.jobs[0]).toMatchObject({ event: 'push', ref: 'refs/heads/topic', repository: ACME_APP })
  })

  test.each<[string, Partial<DoubleJob>]>([
    ['a label that the runner lacks', { labels: ['tornade', 'arm64'] }],
    ['another repository', { repository: OTHER }],
    ['no labels', { labels: [] }],
  ])('a job with %s is not for this runner', async (_, facts) => {
    const runner = await online('r1')
    github.queue(job(1, facts))
    await clock.run(START + HOUR)
    expect(runner.events).toEqual([])
    expect(told()).toEqual(['1 queued queued'])
  })

  test('the oldest job goes first, whoever the runner was started for', async () => {
    github.queue(job(1, { labels: ['tornade'] }))
    await clock.run(START + MINUTE)
    github.queue(job(2, { labels: ['tornade', 'arm64', '4cpu'] }))
    const meant = await online('for-job-2', ['tornade', 'arm64', '4cpu'])
    await clock.run(START + HOUR)
    expect(meant.events).toEqual(['job 1', 'done success'])
    expect(await github.getJob(SCOPE, 2)).toMatchObject({ status: 'queued' })

    const next = await online('late', ['arm64', '4cpu', 'tornade'])
    await clock.run()
    expect(next.events).toEqual(['job 2', 'done success'])
  })

  test('one-label runners are not taken by others', async () => {
    github.queue(job(1, { labels: ['tornade'] }))
    github.queue(job(2, { labels: ['tornade/arm64/run-2'] }))
    const runner = await online('r2', ['tornade/arm64/run-2'])
    await clock.run(START + HOUR)
    expect(runner.events).toEqual(['job 2', 'done success'])
  })

  test('of several idle runners the one that has waited longest is taken', async () => {
    const first = await online('first')
    const second = await online('second')
    github.queue(job(1))
    await clock.run(START + HOUR)
    expect([first.events.length, second.events.length]).toEqual([2, 0])
  })

  test('a job that is not acquired within 60 seconds goes to another runner, with its old place', async () => {
    const deaf = await online('deaf', ['tornade'], 'ignore')
    github.queue(job(1))
    await clock.run(START + 30 * SECOND)
    github.queue(job(2))
    await clock.run(START + 50 * SECOND)
    expect(deaf.events).toEqual(['job 1'])
    deaf.session.disconnect()
    await clock.run(START + 70 * SECOND)
    const good = await online('good')
    await clock.run(START + HOUR)
    expect(good.events).toEqual(['job 1', 'done success'])
    expect(deaf.session.acquire(1)).toBe(false)
  })

  test('a job that comes back after its 24 hours is cancelled', async () => {
    github.queue(job(1))
    await clock.run(START + 24 * HOUR - 10 * SECOND)
    await online('deaf', ['tornade'], 'ignore')
    await clock.run(START + 24 * HOUR + 30 * SECOND)
    expect(await github.getJob(SCOPE, 1)).toMatchObject({ status: 'queued' })
    await clock.run(START + 25 * HOUR)
    expect(told().at(-1)).toBe('1 completed cancelled')
  })

  test('a runner that goes away before the offer arrives: the job comes back', async () => {
    const brief = await online('brief')
    github.queue(job(1))
    await clock.run(START + 500)
    brief.session.deregister()
    await clock.run(START + 10 * SECOND)
    const good = await online('good')
    await clock.run(START + HOUR)
    expect([brief.events, good.events]).toEqual([[], ['job 1', 'done success']])
    expect([...github.runners()]).toMatchObject([{ name: 'brief', status: 'offline' }])
  })

  test('a runner that let an offer lapse is free again', async () => {
    const slow = await online('slow', ['tornade'], 'ignore')
    github.queue(job(1))
    await clock.run(START + 2 * SECOND)
    expect(await github.findRunner(SCOPE, 'slow')).toMatchObject({ busy: true })
    await clock.run(START + 65 * SECOND)
    expect(slow.events).toEqual(['job 1', 'job 1'])
    expect(slow.session.acquire(1)).toBe(true)
    expect(slow.session.acquire(1)).toBe(false)
    await clock.run()
    expect(told().at(-1)).toBe('1 completed success slow')
  })
})

describe('just-in-time configurations', () => {
  test('works once only', async () => {
    const jit = await jitConfig('r1')
    expect(github.connect(jit, idle)).not.toBeNull()
    expect(github.connect(jit, idle)).toBeNull()
    expect(github.connect('bm9uc2Vuc2U=', idle)).toBeNull()
  })

  test('does not work when its registration was removed', async () => {
    const jit = await jitConfig('r1')
    const { id } = (await github.findRunner(SCOPE, 'r1'))!
    expect(await github.removeRunner(SCOPE, id)).toBe('removed')
    expect(github.connect(jit, idle)).toBeNull()
    expect(await github.removeRunner(SCOPE, id)).toBe('gone')
  })

  test('expires after an hour, the offline registration after a day', async () => {
    const early = await jitConfig('early')
    const late = await jitConfig('late')
    await clock.run(START + HOUR)
    expect(github.connect(early, idle)).not.toBeNull()
    await clock.run(START + HOUR + 1)
    expect(github.connect(late, idle)).toBeNull()
    expect(await github.findRunner(SCOPE, 'late')).not.toBeNull()
    await clock.run(START + 25 * HOUR)
    expect([...github.runners()].map(({ name, status }) => `${name} ${status}`)).toEqual(['early idle'])
  })

  test('a name is taken while a runner of that repository has it', async () => {
    const first = await online('r1')
    expect(await github.createJitConfig(SCOPE, 'r1', ['tornade'])).toEqual({ outcome: 'name-taken' })
    expect(await github.createJitConfig({ ...SCOPE, repository: OTHER }, 'r1', ['tornade'])).toMatchObject({
      outcome: 'created',
    })
    await github.removeRunner(SCOPE, first.id)
    expect(first.events).toEqual(['gone removed'])
    expect(await github.createJitConfig(SCOPE, 'r1', ['tornade'])).toMatchObject({
      outcome: 'created',
      name: 'r1',
    })
  })

  test('ids grow, and configs look like those of GitHub', async () => {
    const first = await github.createJitConfig(SCOPE, 'a', ['tornade'])
    const second = await github.createJitConfig(SCOPE, 'b', ['tornade'])
    if (first.outcome !== 'created' || second.outcome !== 'created')
      throw new Error('Both should be created.')
    expect(second.runnerId).toBeGreaterThan(first.runnerId)
    const files = JSON.parse(Buffer.from(second.encodedJitConfig, 'base64').toString())
    expect(Object.keys(files)).toEqual(['.runner', '.credentials', '.credentials_rsaparams'])
    expect(JSON.parse(Buffer.from(files['.runner'], 'base64').toString())).toMatchObject({ AgentName: 'b' })
  })

  test.each<[string, string, string[]]>([
    ['a name over 64 characters', 'x'.repeat(65), ['tornade']],
    ['no name', '', ['tornade']],
    ['a name with other characters', 'r_1', ['tornade']],
    ['no labels', 'r1', []],
    ['over 100 labels', 'r1', Array.from({ length: 101 }, (_, index) => `l${index}`)],
    ['an empty label', 'r1', ['']],
  ])('%s is refused', async (_, name, labels) => {
    expect(await github.createJitConfig(SCOPE, name, labels)).toMatchObject({ outcome: 'failed' })
  })
})

describe('removal', () => {
  test('a runner with a job is busy, from the offer on, and its registration goes with the job', async () => {
    const runner = await online('r1', ['tornade'], 'ignore')
    github.queue(job(1))
    await clock.run(START + 2 * SECOND)
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('busy')
    runner.session.acquire(1)
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('busy')
    await clock.run(START + HOUR)
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('gone')
    expect(await github.findRunner(SCOPE, 'r1')).toBeNull()
    expect([...github.runners()]).toEqual([])
  })

  test('a removed idle runner gets no job any more', async () => {
    const runner = await online('r1')
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('removed')
    github.queue(job(1))
    await clock.run(START + HOUR)
    expect(runner.events).toEqual(['gone removed'])
  })

  test('the race: 204 just before an assigned job arrives, which then runs', async () => {
    const runner = await online('r1')
    github.queue(job(1))
    await clock.run(START + 500)
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('removed')
    expect(await github.findRunner(SCOPE, 'r1')).toBeNull()
    await clock.run(START + HOUR)
    expect(runner.events).toEqual(['job 1', 'done success'])
    expect(told()).toEqual(['1 queued queued', '1 in_progress r1', '1 completed success r1'])
  })

  test('the race, lost: a removed runner that does not acquire is sent away, the job waits', async () => {
    const runner = await online('r1', ['tornade'], 'ignore')
    github.queue(job(1))
    await clock.run(START + 500)
    await github.removeRunner(SCOPE, runner.id)
    await clock.run(START + HOUR)
    expect(runner.events).toEqual(['job 1', 'gone removed'])
    expect(await github.getJob(SCOPE, 1)).toMatchObject({ status: 'queued' })
  })

  test('a runner of another repository is not found', async () => {
    const runner = await online('r1')
    const scope = { ...SCOPE, repository: OTHER }
    expect(await github.removeRunner(scope, runner.id)).toBe('gone')
    expect(await github.findRunner(scope, 'r1')).toBeNull()
  })
})

describe('the end of a runner', () => {
  test('gone in the middle of a job: the job fails when its lock runs out', async () => {
    const runner = await online('r1')
    github.queue(job(1, { script: { durationMs: HOUR } }))
    await clock.run(START + 5 * MINUTE)
    runner.session.disconnect()
    await clock.run(START + 15 * MINUTE - 1)
    expect(await github.removeRunner(SCOPE, runner.id)).toBe('busy')
    await clock.run(START + 16 * MINUTE)
    expect(told().at(-1)).toBe('1 completed failure r1')
    expect(last().workflow_job.completed_at).toBe('2026-11-23T09:15:00Z')
    expect(await github.findRunner(SCOPE, 'r1')).toBeNull()
    expect(runner.events).toEqual(['job 1'])
  })

  test.each(['failure', 'cancelled'] as const)(
    'killed worker: the job ends at once as %s',
    async conclusion => {
      const runner = await online('r1')
      github.queue(job(1, { script: { durationMs: HOUR } }))
      await clock.run(START + 5 * MINUTE)
      runner.session.failJob(conclusion)
      await clock.run(START + 5 * MINUTE + SECOND)
      expect(told().at(-1)).toBe(`1 completed ${conclusion} r1`)
      expect(runner.events).toEqual(['job 1', `done ${conclusion}`])
      await clock.run()
      expect(deliveries).toHaveLength(3)
    },
  )

  test('gone while idle: offline, gets nothing, disappears after a day', async () => {
    const runner = await online('r1')
    runner.session.disconnect()
    github.queue(job(1))
    await clock.run(START + 23 * HOUR)
    expect([...github.runners()]).toMatchObject([{ name: 'r1', status: 'offline' }])
    await clock.run()
    expect([...github.runners()]).toEqual([])
    expect(runner.events).toEqual([])
  })

  test('signs off while idle: no registration is left', async () => {
    const runner = await online('r1')
    runner.session.deregister()
    expect(await github.findRunner(SCOPE, 'r1')).toBeNull()
    expect(github.cancelJob(1)).toBe(false)
    await clock.run()
    expect(clock.now()).toBe(START)
  })

  test('what it says afterwards changes nothing', async () => {
    const runner = await online('r1')
    github.queue(job(1))
    await clock.run(START + HOUR)
    runner.session.failJob()
    runner.session.disconnect()
    runner.session.deregister()
    expect(runner.session.acquire(1)).toBe(false)
    await clock.run()
    expect(told()).toEqual(['1 queued queued', '1 in_progress r1', '1 completed success r1'])
  })
})

describe('cancelling', () => {
  test('before a runner has the job: at once, with no runner', async () => {
    github.queue(job(1))
    await clock.run(START + MINUTE)
    expect(github.cancelJob(1)).toBe(true)
    expect(github.cancelJob(1)).toBe(false)
    await clock.run()
    expect(told()).toEqual(['1 queued queued', '1 completed cancelled'])
    expect(last().workflow_job).toMatchObject({ runner_id: null, runner_group_name: null, steps: [] })
    expect(await github.getJob(SCOPE, 1)).toMatchObject({
      conclusion: 'cancelled',
      runnerId: null,
      runnerName: null,
    })
    const idler = await online('r1')
    await clock.run(clock.now() + HOUR)
    expect(idler.events).toEqual([])
  })

  test('while it is offered: the runner cannot acquire it and takes the next one', async () => {
    const runner = await online('r1', ['tornade'], 'ignore')
    github.queue(job(1))
    await clock.run(START + 2 * SECOND)
    github.cancelJob(1)
    expect(runner.session.acquire(1)).toBe(false)
    github.queue(job(2))
    await clock.run(START + 5 * SECOND)
    expect(runner.events).toEqual(['job 1', 'job 2'])
  })

  test('while it runs: the runner is told and gets a few seconds', async () => {
    const runner = await online('r1')
    github.queue(job(1, { script: { durationMs: HOUR } }))
    await clock.run(START + MINUTE)
    github.cancelJob(1)
    github.cancelJob(1)
    await clock.run(START + MINUTE + 10 * SECOND)
    expect(told().at(-1)).toBe('1 completed cancelled r1')
    expect(runner.events).toEqual(['job 1', 'cancel', 'done cancelled'])
  })

  test('while its runner is gone: only when the lock runs out', async () => {
    const runner = await online('r1')
    github.queue(job(1, { script: { durationMs: HOUR } }))
    await clock.run(START + MINUTE)
    runner.session.disconnect()
    github.cancelJob(1)
    await clock.run(START + 10 * MINUTE)
    expect(told()).toHaveLength(2)
    await clock.run()
    expect(told().at(-1)).toBe('1 completed cancelled r1')
  })

  test('a runner that goes away while it cancels leaves a cancelled job', async () => {
    const runner = await online('r1')
    github.queue(job(1, { script: { durationMs: HOUR } }))
    await clock.run(START + MINUTE)
    github.cancelJob(1)
    runner.session.disconnect()
    await clock.run()
    expect(told().at(-1)).toBe('1 completed cancelled r1')
    expect(clock.now()).toBeGreaterThanOrEqual(START + 11 * MINUTE)
  })

  test('a run: all of its jobs that have not ended, and no others', async () => {
    await online('r1')
    github.queue(job(1, { runId: 50, script: { durationMs: MINUTE } }))
    await clock.run(START + 5 * MINUTE)
    github.queue(job(2, { runId: 50 }))
    github.queue(job(3, { runId: 50, gate: true }))
    github.queue(job(4, { runId: 51 }))
    await github.cancelRun({ ...SCOPE, repository: OTHER }, 50)
    await github.cancelRun(SCOPE, 999)
    expect(github.openJobs).toBe(3)
    await github.cancelRun(SCOPE, 50)
    await github.cancelRun(SCOPE, 50)
    expect([...github.jobs()].map(({ conclusion }) => conclusion)).toEqual([
      'success',
      'cancelled',
      'cancelled',
      null,
    ])
  })
})

describe('running again', () => {
  test('a new job id, the next attempt', async () => {
    await online('r1')
    github.queue(job(1, { script: { conclusion: 'failure' } }))
    await clock.run(START + HOUR)
    const again = github.runAgain(1)!
    expect(again).toMatchObject({ runId: 101, attempt: 2, labels: ['tornade'] })
    expect(again.jobId).not.toBe(1)
    await online('r2')
    await clock.run()
    const { jobId } = again
    expect(told().slice(3)).toEqual([
      `${jobId} queued queued`,
      `${jobId} in_progress r2`,
      `${jobId} completed success r2`,
    ])
    expect(last().workflow_job.run_attempt).toBe(2)
    expect(await github.getJob(SCOPE, 1)).toMatchObject({ conclusion: 'failure' })
  })

  test('attempts count by run', async () => {
    await online('r1')
    await online('r2')
    github.queue(job(1, { runId: 50 }))
    github.queue(job(2, { runId: 50 }))
    await clock.run(START + HOUR)
    expect(github.runAgain(1)).toMatchObject({ attempt: 2 })
    await online('r3')
    await clock.run(START + 2 * HOUR)
    expect(github.runAgain(2)).toMatchObject({ attempt: 3 })
  })

  test('not while the run is in progress, and not what is unknown', async () => {
    await online('r1')
    github.queue(job(1, { runId: 50 }))
    await clock.run(START + HOUR)
    github.queue(job(2, { runId: 50 }))
    expect(github.runAgain(1)).toBeNull()
    expect(github.runAgain(99)).toBeNull()
  })
})

describe('recordings', () => {
  test('a job runs as long, and ends, as its script says; speed divides how long', async () => {
    github = makeDouble(4)
    await online('r1')
    github.script('1-1', { durationMs: 200 * SECOND })
    github.script('1-1', { conclusion: 'timed_out' })
    github.queue(job(1))
    await clock.run()
    expect(told().at(-1)).toBe('1 completed timed_out r1')
    const view = github.job('1-1')!
    expect(view.completedAt! - view.startedAt!).toBe(50 * SECOND)
  })

  test('a script that comes while the job runs still counts', async () => {
    await online('r1')
    github.queue(job(1))
    await clock.run(START + 10 * SECOND)
    github.script('1-1', { durationMs: 2 * HOUR, conclusion: 'failure' })
    await clock.run()
    const view = github.job('1-1')!
    expect(view.completedAt! - view.startedAt!).toBe(2 * HOUR)
    expect(view.conclusion).toBe('failure')
  })

  test.each([
    ['before its start', START + SECOND / 2, null],
    ['while it runs', START + MINUTE, 'r1'],
  ])('cancelled %s', async (_, cancelAt, runnerName) => {
    await online('r1')
    github.queue(job(1, { script: { cancelAt, durationMs: HOUR } }))
    await clock.run(START + 2 * HOUR)
    expect(github.job('1-1')).toMatchObject({ conclusion: 'cancelled', runnerName })
  })

  test('without a script the length is hashed from the job, within the range', async () => {
    for (let id = 1; id <= 40; id++) {
      github.queue(job(id))
      await online(`r${id}`)
    }
    await clock.run()
    const lengths = [...github.jobs()].map(
      ({ startedAt, completedAt }) => (completedAt! - startedAt!) / SECOND,
    )
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(30)
    expect(Math.max(...lengths)).toBeLessThanOrEqual(300)
    expect(new Set(lengths).size).toBeGreaterThan(30)
  })
})

describe('adopted deliveries', () => {
  const queued = workflowJobPayload({ action: 'queued', jobId: 9, runId: 8, createdAt: START - 90 * SECOND })

  test('make the job known without another delivery; a doubled one changes nothing', async () => {
    expect(github.adopt(queued)).toBe(true)
    expect(github.adopt(structuredClone(queued))).toBe(true)
    await clock.run(START + HOUR)
    expect(deliveries).toEqual([])
    expect([...github.jobs()]).toMatchObject([{ status: 'queued', queuedAt: START }])
  })

  test('later deliveries repeat what they said, unknown fields too', async () => {
    const sender = { ...queued.sender, login: 'acme-kim', team: 'platform' }
    const workflow_job = { ...queued.workflow_job, workflow_name: 'Nightly', priority: 3 }
    github.adopt({ ...queued, sender, workflow_job, extra: { of: 'GitHub' } })
    await online('r1')
    await clock.run()
    expect(told()).toEqual(['9 in_progress r1', '9 completed success r1'])
    expect(last()).toMatchObject({ sender, repository: queued.repository, extra: { of: 'GitHub' } })
    expect(last().workflow_job).toMatchObject({
      workflow_name: 'Nightly',
      priority: 3,
      created_at: '2026-11-23T08:58:30Z',
      status: 'completed',
    })
  })

  test('a waiting job becomes ready with a queued one', async () => {
    await online('r1')
    github.adopt({
      ...queued,
      action: 'waiting',
      workflow_job: { ...queued.workflow_job, status: 'waiting' },
    })
    github.adopt({ ...queued, workflow_job: { ...queued.workflow_job, status: 'waiting' } })
    await clock.run(START + HOUR)
    expect(github.job('9-1')).toMatchObject({ status: 'waiting', queuedAt: null })
    github.adopt(queued)
    await clock.run()
    expect(told()).toEqual(['9 in_progress r1', '9 completed success r1'])
  })

  test('the run is a push by the repository itself, unless the caller knows better', async () => {
    github.adopt(queued)
    expect(await github.getRun(SCOPE, 8)).toEqual({
      event: 'push',
      headBranch: 'main',
      headRepositoryId: ACME_APP.id,
      path: '.github/workflows/ci.yml',
    })
    github.adopt(workflowJobPayload({ action: 'queued', jobId: 11, runId: 12 }), {
      event: 'pull_request',
      headRepositoryId: null,
    })
    expect(await github.getRun(SCOPE, 12)).toMatchObject({ event: 'pull_request', headRepositoryId: null })
  })

  test('a script may come first', async () => {
    github.script('9-1', { cancelAt: START + MINUTE })
    github.adopt(queued)
    await clock.run(START + HOUR)
    expect(told()).toEqual(['9 completed cancelled'])
    expect(github.job('9-1')).toMatchObject({ completedAt: START + MINUTE })
  })

  test('several attempts under one job id are several jobs; the latest is the one GitHub knows', async () => {
    github.adopt({ ...queued, workflow_job: { ...queued.workflow_job, run_attempt: 2 } })
    github.adopt(queued)
    github.cancelJob(9)
    expect([...github.jobs()].map(({ job, status }) => `${job.attempt} ${status}`)).toEqual([
      '2 completed',
      '1 queued',
    ])
  })

  test('new ids stay clear of adopted ones', async () => {
    await online('r1')
    github.adopt(workflowJobPayload({ action: 'queued', jobId: 90_000_000_000, runId: 8 }))
    await clock.run()
    expect(github.runAgain(90_000_000_000)!.jobId).toBeGreaterThan(90_000_000_000)
  })

  test.each<[string, unknown]>([
    ['nothing', null],
    ['text', 'queued'],
    ['another action', { ...queued, action: 'completed' }],
    ['a job without an id', { ...queued, workflow_job: { run_id: 1 } }],
    ['a repository without a name', { ...queued, repository: { id: 1 } }],
    ['a repository whose name is none', { ...queued, repository: { id: 1, full_name: 'acme/app/..' } }],
  ])('%s is no queued job', (_, payload) => {
    expect(github.adopt(payload)).toBe(false)
    expect([...github.jobs()]).toEqual([])
  })
})

describe('what the port reads and reports', () => {
  test('jobs and runs of another repository, and unknown ones, are not found', async () => {
    github.queue(job(1))
    const scope = { ...SCOPE, repository: OTHER }
    expect(await github.getJob(scope, 1)).toBeNull()
    expect(await github.getJob(SCOPE, 2)).toBeNull()
    expect(await github.getRun(scope, 101)).toBeNull()
    expect(await github.getRun(SCOPE, 102)).toBeNull()
    expect(await github.getRun(SCOPE, 101)).toMatchObject({ event: 'push', headRepositoryId: ACME_APP.id })
  })

  test('a check run is written over by its id, or once the list has it, by its external id', async () => {
    const id = await github.reportRefusal(SCOPE, CHECK, null)
    const report = (summary: string, known: number | null = null) =>
      github.reportRefusal(SCOPE, { ...CHECK, summary }, known)
    expect(await report('Said again.', id)).toBe(id)
    expect(github.checks).toMatchObject([
      { ...CHECK, summary: 'Said again.', repository: 'acme/app', at: START },
    ])
    // The list lags, as GitHub's does.
    const second = await report('Made twice.')
    expect(second).not.toBe(id)
    await clock.run(START + MINUTE)
    expect(await report('Found.')).toBe(id)
    expect(github.checks.map(({ summary }) => summary)).toEqual(['Found.', 'Made twice.'])
  })
})

describe('the index of labels', () => {
  const labels = fc.subarray(['a', 'b', 'c', 'd', 'e'])
  const step = fc.record({ what: fc.constantFrom('add', 'delete', 'ask'), entry: fc.nat(20), labels })

  test('agrees with looking at everything', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), agree))
  })

  function agree(steps: readonly { what: string; entry: number; labels: string[] }[]): void {
    const jobs = new JobIndex<number>()
    const runners = new RunnerIndex<number>()
    const all = new Map<number, { readonly order: number; readonly labels: readonly string[] }>()
    const oldest = (fits: (labels: readonly string[]) => boolean) => {
      const fitting = [...all].filter(([, { labels }]) => labels.length > 0 && fits(labels))
      return fitting.sort(([, a], [, b]) => a.order - b.order)[0]?.[0] ?? null
    }
    for (const [index, { what, entry, labels }] of steps.entries()) {
      if (what === 'add' && !all.has(entry)) {
        // Not in the order of age: a job that comes back keeps its old place.
        const order = (index * 7919) % 211
        all.set(entry, { order, labels })
        jobs.add(entry, order, labels.toReversed())
        runners.add(entry, order, labels)
      } else if (what === 'delete') {
        all.delete(entry)
        jobs.delete(entry)
        runners.delete(entry)
      } else {
        const wanted = labels.map(label => label.toUpperCase())
        const containing =
          labels.length > 0 ? oldest(own => labels.every(label => own.includes(label))) : null
        expect(jobs.oldestWithin(wanted)).toBe(oldest(own => own.every(label => labels.includes(label))))
        expect(runners.oldestContaining(wanted)).toBe(containing)
      }
      expect([jobs.size, runners.size]).toEqual([all.size, all.size])
    }
  }
})

const idle = { onJob: () => {}, onDone: () => {}, onGone: () => {} }

interface Online {
  readonly id: number
  readonly session: RunnerSession
  readonly jobs: AssignedJob[]
  /** What it was told, in order. */
  readonly events: string[]
}

/** A runner program that is online; it acquires each job that it is offered, or ignores the offers. */
async function online(
  name: string,
  labels = ['tornade'],
  offers: 'acquire' | 'ignore' = 'acquire',
): Promise<Online> {
  const events: string[] = []
  const jobs: AssignedJob[] = []
  const session = github.connect(await jitConfig(name, labels), {
    onJob: offered => {
      events.push(`job ${offered.jobId}`)
      jobs.push(offered)
      if (offers === 'acquire') session?.acquire(offered.jobId)
    },
    onCancel: () => events.push('cancel'),
    onDone: conclusion => events.push(`done ${conclusion}`),
    onGone: reason => events.push(`gone ${reason}`),
  })
  if (!session) throw new Error(`${name} cannot connect`)
  return { id: session.runnerId, session, jobs, events }
}

async function jitConfig(name: string, labels = ['tornade']): Promise<string> {
  const jit = await github.createJitConfig(SCOPE, name, labels)
  if (jit.outcome !== 'created') throw new Error(`${name}: ${jit.outcome}`)
  return jit.encodedJitConfig
}

async function receive({ id, headers, body }: Delivery): Promise<void> {
  expect(headers['x-github-delivery']).toBe(id)
  deliveries.push({ at: clock.now(), headers, payload: JSON.parse(body) })
  if (refuse) throw new Error('503')
}

function makeDouble(speed = 1, deliver: (delivery: Delivery) => Promise<void> = receive): GitHubDouble {
  return new GitHubDouble({
    clock,
    secret: 'it is one',
    speed,
    jobSeconds: [30, 300],
    deliver,
  })
}

/** Jobs that queue, run, lapse, are cancelled and run again. */
async function someDay(): Promise<unknown[]> {
  for (let id = 1; id <= 8; id++) {
    github.queue(job(id))
    clock.after(
      id * MINUTE,
      async () => void (await online(`r${id}`, ['tornade'], id === 5 ? 'ignore' : 'acquire')),
    )
  }
  clock.after(7 * MINUTE, () => void github.cancelJob(7))
  await clock.run(START + 2 * HOUR)
  github.runAgain(2)
  await online('again')
  await clock.run()
  return deliveries
}

function job(jobId: number, facts: Partial<DoubleJob> = {}): DoubleJob {
  return {
    repository: ACME_APP,
    installationId: 5001,
    jobId,
    runId: 100 + jobId,
    attempt: 1,
    workflow: 'CI',
    name: 'build',
    labels: ['tornade'],
    headBranch: 'main',
    headSha: 'f'.repeat(40),
    event: 'push',
    headRepositoryId: ACME_APP.id,
    ...facts,
  }
}

/** Deliveries in short: job id, action, then the status or how it stands with which runner. */
function told(): string[] {
  return deliveries.map(({ payload: { action, workflow_job: told } }) => {
    const standing = action === 'queued' || action === 'waiting' ? told.status : told.conclusion
    return [told.id, action, standing, told.runner_name].filter(part => part !== null).join(' ')
  })
}

function last(): WorkflowJobPayload {
  return deliveries.at(-1)!.payload
}

function seconds(time: string | null): number {
  return Date.parse(time!) / SECOND
}
