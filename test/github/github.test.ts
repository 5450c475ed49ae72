import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { GitHubError } from '../../functions/github/errors.ts'
import { createGitHub, type GitHubDeps, type GitHubSettings } from '../../functions/github/github.ts'
import { SILENT } from '../../local/log.ts'
import type { Fault, GitHubServerOptions } from '../support/github-server.ts'
import { APP, APP_ID, type Harness, KEY, SCOPE, STRANGER, startGitHub } from './harness.ts'

const NAME = 'tornade-41-1-1'
const LABELS = ['tornade/arm64/run-17']
const TOKEN = 'apps/create-installation-access-token'
const JIT = 'actions/generate-runner-jitconfig-for-repo'
const JOB = 'actions/get-job-for-workflow-run'
const CANCEL = 'actions/cancel-workflow-run'
const CHECK = {
  externalId: 'tornade:17:1',
  headSha: 'f'.repeat(40),
  title: 'No such size',
  summary: 'Use 8cpu.',
}

let open: Harness[] = []
afterEach(async () => {
  const ended = open
  open = []
  await Promise.all(ended.map(harness => harness.close()))
  expect(ended.flatMap(harness => harness.server.problems)).toEqual([])
})

async function start(
  settings: GitHubSettings = {},
  server: Partial<GitHubServerOptions> = {},
  deps: Partial<GitHubDeps> = {},
): Promise<Harness> {
  const harness = await startGitHub(settings, server, deps)
  open.push(harness)
  return harness
}

/** With the answers of the server compiled, so that none takes longer than a short timeout. */
async function startWarm(): Promise<Harness> {
  const harness = await start()
  await harness.github.createJitConfig(SCOPE, 'warm', LABELS)
  await harness.github.getJob(SCOPE, harness.server.queueJob(APP.id).id)
  return harness
}

async function failureOf(promise: Promise<unknown>): Promise<GitHubError> {
  const error = await promise.then(
    () => null,
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(GitHubError)
  return error as GitHubError
}

describe('calls for one job', () => {
  it('are two when nothing is known, and one after that', async () => {
    const { github, server } = await start()
    await github.createJitConfig(SCOPE, NAME, LABELS)
    expect(server.calls.map(({ operation }) => operation)).toEqual([TOKEN, JIT])
    await github.createJitConfig(SCOPE, `${NAME}-r2`, LABELS)
    expect(server.calls.map(({ operation }) => operation)).toEqual([TOKEN, JIT, JIT])
  })

  it('are three where the delivery named no installation, and one after that', async () => {
    const { github, server } = await start()
    const scope = { ...SCOPE, installationId: null }
    await github.createJitConfig(scope, NAME, LABELS)
    await github.createJitConfig(scope, `${NAME}-r2`, LABELS)
    const operations = server.calls.map(({ operation }) => operation)
    expect(operations).toEqual(['apps/get-repo-installation', TOKEN, JIT, JIT])
  })
})

describe('a JIT config', () => {
  it('is asked for as GitHub wants it', async () => {
    const { github, server } = await start()
    await github.createJitConfig(SCOPE, NAME, LABELS)
    expect(server.calls.at(-1)).toMatchObject({
      path: '/repos/acme/app/actions/runners/generate-jitconfig',
      body: { name: NAME, labels: LABELS, runner_group_id: 1, work_folder: '_work' },
    })
  })

  it.each<[string, Fault, object]>([
    ['retry-after', { status: 403, headers: { 'retry-after': '17' } }, { retryAfterSeconds: 17 }],
    ['429 without a word', { status: 429 }, { retryAfterSeconds: 60 }],
    [
      'a limit used up',
      {
        status: 403,
        headers: {
          'x-ratelimit-remaining': '0',
          'x-ratelimit-reset': String(Date.UTC(2026, 10, 2, 9, 1, 30) / 1000),
        },
      },
      { retryAfterSeconds: 90 },
    ],
    [
      'a limit used up until a moment ago',
      { status: 429, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' } },
      { retryAfterSeconds: 1 },
    ],
    [
      'a secondary limit',
      { status: 403, message: 'You have exceeded a secondary rate limit.' },
      { retryAfterSeconds: 60 },
    ],
    ['a day to wait', { status: 429, headers: { 'retry-after': '86400' } }, { retryAfterSeconds: 3600 }],
  ])('is paused for %s', async (_, fault, expected) => {
    const { github, server } = await start()
    server.fail(JIT, fault)
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({ outcome: 'paused', ...expected })
    expect(server.count(JIT)).toBe(1)
  })

  it('is paused when the token is', async () => {
    const { github, server } = await start()
    server.fail(TOKEN, { status: 429, headers: { 'retry-after': '5' } })
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({
      outcome: 'paused',
      retryAfterSeconds: 5,
    })
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toMatchObject({ outcome: 'created' })
  })

  it.each<[string, Fault, string]>([
    ['404', { status: 404, message: 'Not Found' }, 'Not Found'],
    [
      '422',
      { status: 422, message: 'Validation Failed', errors: ['A label is empty.', 'Validation Failed'] },
      'Validation Failed; A label is empty.',
    ],
    ['403', { status: 403, message: 'Repository was\u001b[31m archived' }, 'Repository was [31m archived'],
    ['410', { status: 410, text: '<html>gone</html>' }, 'no explanation'],
    [
      'a 403 without a word',
      { status: 403, message: '' },
      'no explanation. GitHub answers so where the organisation or its enterprise lets the repository have no runners of its own: Settings, Actions, Runners.',
    ],
  ])('fails for good on %s, in words of GitHub', async (_, fault, message) => {
    const { github, server } = await start()
    server.fail(JIT, fault)
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({ outcome: 'failed', message })
  })

  it('fails for good on faults that GitHub names by their fields', async () => {
    const { github, server } = await start()
    const errors = [
      { resource: 'Token', field: 'permissions', code: 'invalid' },
      { code: 'custom', message: 'No.' },
    ]
    server.fail(TOKEN, { status: 422, message: 'Validation Failed', errors })
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({
      outcome: 'failed',
      message: 'Validation Failed; permissions is invalid; No.',
    })
  })

  it('fails for good where the App is not, or not any more', async () => {
    const { github, server } = await start()
    const gone = { ...SCOPE, installationId: 666, repository: STRANGER.repository }
    for (const scope of [STRANGER, gone])
      expect(await github.createJitConfig(scope, NAME, LABELS)).toEqual({
        outcome: 'failed',
        message: 'the GitHub App is not installed on stranger/app',
      })
    expect(server.count(JIT)).toBe(0)
  })

  it('fails for good where the installation is suspended, or has granted too little', async () => {
    const suspended = await start({}, { installations: [{ id: 5001, repositories: [APP], suspended: true }] })
    expect(await suspended.github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({
      outcome: 'failed',
      message: 'This installation has been suspended',
    })
    const poor = await start({}, { installations: [{ id: 5001, repositories: [APP], permissions: {} }] })
    expect(await poor.github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({
      outcome: 'failed',
      message: 'The permissions requested are not granted to this installation.',
    })
    expect(await failureOf(poor.github.cancelRun(SCOPE, 1))).toMatchObject({ status: 422 })
    expect(await failureOf(poor.github.removeRunner(SCOPE, 1))).toMatchObject({ status: 422 })
    expect(await failureOf(poor.github.reportRefusal(SCOPE, CHECK, null))).toMatchObject({ status: 422 })
  })

  it.each<[string, Fault, number | null]>([
    ['500', { status: 500 }, 500],
    ['502 with a page', { status: 502, text: '<html>502</html>' }, 502],
    ['401, again and again', { status: 401 }, 401],
    ['a broken connection', { connection: 'breaks' }, null],
    ['another form of answer', { status: 201, text: 'created' }, null],
  ])('has an unknown outcome on %s', async (_, fault, status) => {
    const { github, server } = await start()
    server.fail(JIT, fault, 3)
    expect(await failureOf(github.createJitConfig(SCOPE, NAME, LABELS))).toMatchObject({ status })
  })

  it('is found to be taken where the answer got lost', async () => {
    const { github, server } = await start()
    server.fail(JIT, { connection: 'breaks', after: true })
    await failureOf(github.createJitConfig(SCOPE, NAME, LABELS))
    expect(server.count(JIT)).toBe(1)
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toEqual({ outcome: 'name-taken' })
  })
})

describe('what goes wrong with any call', () => {
  it('sends a GET again once after a server error or a broken connection', async () => {
    const { github, server, log } = await start()
    const { id } = server.queueJob(APP.id)
    for (const fault of [{ status: 502 }, { connection: 'breaks' }, { connection: 'half' }] as const) {
      server.fail(JOB, fault)
      expect(await github.getJob(SCOPE, id)).toMatchObject({ status: 'queued' })
    }
    expect(log.filter(({ message }) => message === 'GitHub is asked again')).toHaveLength(3)
    server.fail(JOB, { status: 503, message: 'Unicorn' }, 2)
    expect(await failureOf(github.getJob(SCOPE, id))).toMatchObject({
      status: 503,
      detail: 'Unicorn',
      operation: 'GET /repos/{owner}/{repo}/actions/jobs/{job_id}',
      documentationUrl: 'https://docs.github.com/rest',
      message: 'GitHub answered 503 to GET /repos/{owner}/{repo}/actions/jobs/{job_id}: Unicorn',
    })
    expect(server.count(JOB)).toBe(8)
  })

  it('sends nothing else again', async () => {
    const { github, server } = await start()
    const { runId } = server.queueJob(APP.id)
    server.fail(CANCEL, { status: 502 })
    expect(await failureOf(github.cancelRun(SCOPE, runId))).toMatchObject({ status: 502 })
    expect(server.count(CANCEL)).toBe(1)
    await github.cancelRun(SCOPE, runId)
  })

  it('does not take the page of a proxy for an answer', async () => {
    const { github, server } = await start()
    const page = { status: 200, text: '<html>Sign in</html>' }
    const operations: [string, () => Promise<unknown>][] = [
      ['apps/get-repo-installation', () => github.getJob({ ...SCOPE, installationId: null }, 1)],
      [TOKEN, () => github.getJob(SCOPE, 1)],
      [JOB, () => github.getJob(SCOPE, 1)],
      ['actions/get-workflow-run', () => github.getRun(SCOPE, 1)],
      ['actions/list-self-hosted-runners-for-repo', () => github.findRunner(SCOPE, NAME)],
      ['checks/list-for-ref', () => github.reportRefusal(SCOPE, CHECK, null)],
      ['apps/list-webhook-deliveries', () => github.listFailedDeliveries(null)],
    ]
    for (const [operation, call] of operations) {
      server.fail(operation, page)
      expect(await failureOf(call())).toMatchObject({ status: null })
    }
  })

  it('waits for an answer no longer than it may', async () => {
    const { server, another } = await startWarm()
    const github = another({ timeoutMs: 300 })
    const { id } = server.queueJob(APP.id)
    await github.getJob(SCOPE, id)
    const asked = server.count(JOB)
    server.fail(JIT, { connection: 'hangs' })
    server.fail(JOB, { connection: 'hangs' })
    const failure = await failureOf(github.createJitConfig(SCOPE, NAME, LABELS))
    expect(failure).toMatchObject({ status: null, detail: 'there was none within 0.3 s' })
    await failureOf(github.getJob(SCOPE, id))
    expect(server.count(JOB) - asked).toBe(1)
    server.fail(JOB, { delayMs: 10 })
    expect(await github.getJob(SCOPE, id)).not.toBeNull()
  })

  it('says that GitHub cannot be reached', async () => {
    const { github, server } = await start()
    await server.close()
    const failure = await failureOf(github.getJob(SCOPE, 1))
    expect(failure).toMatchObject({ status: null, detail: expect.stringContaining('ECONNREFUSED') })
  })

  it('throws what a limit asks for where the caller has no value for it', async () => {
    const { github, server } = await start()
    server.fail(CANCEL, { status: 403, headers: { 'retry-after': '30' } })
    expect(await failureOf(github.cancelRun(SCOPE, 1))).toMatchObject({ status: 403, retryAfterSeconds: 30 })
  })

  it('tells the pace of every answer', async () => {
    const { github, server, paces, clock } = await start()
    await github.createJitConfig({ ...SCOPE, installationId: null }, NAME, LABELS)
    const resetAt = clock.now() + 3_600_000
    const told = { resetAt, retryAfter: null }
    expect(paces).toEqual([
      { scope: 'app', resource: 'core', remaining: 4999, ...told },
      { scope: 'app', resource: 'core', remaining: 4998, ...told },
      { scope: 'installation:5001', resource: 'actions_runner_registration', remaining: 4997, ...told },
    ])
    server.fail(JIT, { status: 403, headers: { 'retry-after': '17' } })
    await github.createJitConfig(SCOPE, NAME, LABELS)
    expect(paces.at(-1)).toMatchObject({ scope: 'installation:5001', retryAfter: 17 })
    expect(paces).toHaveLength(server.calls.length)
  })

  it('asks to be left alone once the budget of an installation is nearly used up', async () => {
    const { github, server, clock } = await start()
    const resetAt = Math.ceil(clock.now() / 1000 + 1800) * 1000
    const low = { 'x-ratelimit-remaining': '20', 'x-ratelimit-reset': String(resetAt / 1000) }
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).not.toHaveProperty('pauseUntil')
    server.fail(CANCEL, { status: 409, headers: low })
    await github.cancelRun(SCOPE, 1)
    expect(await github.createJitConfig(SCOPE, `${NAME}-r2`, LABELS)).toMatchObject({ pauseUntil: resetAt })
    clock.time = resetAt
    expect(await github.createJitConfig(SCOPE, `${NAME}-r3`, LABELS)).not.toHaveProperty('pauseUntil')
  })
})

describe('jobs, runs and runners', () => {
  it('takes a job that is not ready yet for one that waits', async () => {
    const { github, server } = await start()
    for (const status of ['waiting', 'pending', 'requested'] as const) {
      const { id } = server.queueJob(APP.id, {}, status)
      expect(await github.getJob(SCOPE, id)).toMatchObject({ status: 'waiting', startedAt: null })
    }
  })

  it('looks through all runners on a server that does not look for names', async () => {
    const { github, server } = await start({}, { ignoresRunnerName: true })
    const common = { labels: LABELS, groupId: 1, owner: APP.id, encodedJitConfig: '', busy: false }
    for (let id = 1; id <= 120; id++) server.runners.set(id, { id, name: `tornade-${id}`, ...common })
    const last = [...server.runners.values()].at(-1)!
    expect(await github.findRunner(SCOPE, last.name)).toEqual({ id: last.id, busy: false })
    expect(await github.findRunner(SCOPE, 'tornade-121')).toBeNull()
  })

  it('throws where GitHub forbids what it is asked for', async () => {
    const { github, server } = await start()
    await github.createJitConfig(SCOPE, NAME, LABELS)
    const { id } = [...server.runners.values()][0]!
    server.fail('actions/delete-self-hosted-runner-from-repo', { status: 403, message: 'No.' })
    expect(await failureOf(github.removeRunner(SCOPE, id))).toMatchObject({ status: 403, detail: 'No.' })
    server.fail(CANCEL, { status: 403, message: 'No.' })
    expect(await failureOf(github.cancelRun(SCOPE, 1))).toMatchObject({ status: 403 })
  })
})

describe('a re-run', () => {
  const RERUN = 'actions/re-run-job-for-workflow-run'

  it('starts once the run has ended', async () => {
    const { github, server } = await start()
    const job = server.queueJob(APP.id)
    expect(await github.rerunJob(SCOPE, job.id)).toEqual({ outcome: 'running' })
    server.finishJob(job, 'failure')
    expect(await github.rerunJob(SCOPE, job.id)).toEqual({ outcome: 'started' })
    expect([...server.jobs.values()].map(({ runId }) => runId)).toEqual([job.runId, job.runId])
    expect(await github.rerunJob(SCOPE, 999)).toEqual({ outcome: 'gone' })
  })

  it('is refused for good, or put off by a limit', async () => {
    const { github, server } = await start()
    const message = 'Unable to retry this workflow run because it was created over a month ago'
    server.fail(RERUN, { status: 403, message })
    expect(await github.rerunJob(SCOPE, 1)).toEqual({ outcome: 'failed', message })
    server.fail(RERUN, { status: 403, headers: { 'retry-after': '9' } })
    expect(await failureOf(github.rerunJob(SCOPE, 1))).toMatchObject({ retryAfterSeconds: 9 })
  })
})

describe('a workflow that is started by hand', () => {
  const DISPATCH = 'actions/create-workflow-dispatch'

  it('is started on a branch by its full name, which no tag can have', async () => {
    const { github, server } = await start()
    server.queueJob(APP.id)
    expect(await github.dispatchWorkflow(SCOPE, 'ci.yml', 'main', { to: 'production' })).toEqual({
      outcome: 'started',
    })
    expect(server.dispatched).toEqual([
      { repositoryId: APP.id, workflow: 'ci.yml', ref: 'refs/heads/main', inputs: { to: 'production' } },
    ])
    expect(server.problems).toEqual([])
  })

  it('is refused for good, put off by a limit, or of an outcome that nobody knows, and called once', async () => {
    const { github, server } = await start()
    server.queueJob(APP.id)
    const message = "Workflow does not have 'workflow_dispatch' trigger"
    const dispatch = () => github.dispatchWorkflow(SCOPE, 'ci.yml', 'main', {})
    server.fail(DISPATCH, { status: 422, message })
    expect(await dispatch()).toEqual({ outcome: 'failed', message })
    server.fail(DISPATCH, { status: 403, headers: { 'retry-after': '9' } })
    expect(await failureOf(dispatch())).toMatchObject({ retryAfterSeconds: 9 })
    server.fail(DISPATCH, { status: 502 })
    expect(await failureOf(dispatch())).toMatchObject({ status: 502, retryAfterSeconds: null })
    server.fail(DISPATCH, { connection: 'breaks', after: true })
    expect(await failureOf(dispatch())).toMatchObject({ status: null })
    expect(server.count(DISPATCH)).toBe(4)
    expect(server.dispatched).toHaveLength(1)
  })
})

describe('failed deliveries', () => {
  const FIRST_ID = 9_007_199_254_740_993_111n

  it('are listed page by page, with every digit of their ids', async () => {
    const { github, server, clock } = await start()
    const ids = Array.from({ length: 230 }, (_, index) => String(FIRST_ID + BigInt(index)))
    ids.forEach((id, index) => {
      const statusCode = index % 10 === 0 ? 200 : 502
      server.deliveries.push({
        id,
        guid: `guid-${index}`,
        deliveredAt: clock.now(),
        statusCode,
        action: 'queued',
      })
    })
    const first = await github.listFailedDeliveries(null)
    expect(first.deliveries[0]).toEqual({
      id: ids[1],
      guid: 'guid-1',
      deliveredAt: clock.now(),
      redelivery: false,
      statusCode: 502,
      event: 'workflow_job',
      action: 'queued',
      installationId: 5001,
      repositoryId: 7001,
    })
    const second = await github.listFailedDeliveries(first.next)
    const third = await github.listFailedDeliveries(second.next)
    expect(third.next).toBeNull()
    const listed = [first, second, third].flatMap(({ deliveries }) => deliveries.map(({ id }) => id))
    expect(listed).toEqual(ids.filter((_, index) => index % 10 !== 0))
  })

  it('are asked for again by their whole id', async () => {
    const { github, server, clock } = await start()
    const id = String(FIRST_ID)
    server.deliveries.push({ id, guid: 'guid', deliveredAt: clock.now(), statusCode: 502, action: 'queued' })
    expect(await github.redeliver(id)).toBe('accepted')
    expect(server.redelivered).toEqual([id])
    expect(await github.redeliver(String(FIRST_ID + 1n))).toBe('gone')
    server.fail('apps/redeliver-webhook-delivery', { status: 500 })
    expect(await failureOf(github.redeliver(id))).toMatchObject({ status: 500 })
  })

  it('are asked for as the App itself', async () => {
    const { github, server } = await start()
    await github.listFailedDeliveries(null)
    expect(server.calls).toMatchObject([{ as: 'app', query: { status: 'failure', per_page: '100' } }])
  })
})

describe('the run of a matrix', () => {
  const RUN = 'actions/get-workflow-run'

  it('is asked for once by one process', async () => {
    const { github, server } = await start()
    const { runId } = server.queueJob(APP.id)
    const answers = await Promise.all(Array.from({ length: 20 }, () => github.getRun(SCOPE, runId)))
    expect(await github.getRun(SCOPE, runId)).toEqual(answers[0])
    expect(server.count(RUN)).toBe(1)
  })

  it('is asked for again after a failure, and while GitHub does not know it', async () => {
    const { github, server } = await start()
    const { runId } = server.queueJob(APP.id)
    server.fail(RUN, { status: 502 }, 3)
    expect(await failureOf(github.getRun(SCOPE, runId))).toMatchObject({ status: 502 })
    expect(await github.getRun(SCOPE, runId)).toMatchObject({ headRepositoryId: APP.id })
    const before = server.count(RUN)
    expect(await github.getRun(SCOPE, 999_999)).toBeNull()
    expect(await github.getRun(SCOPE, 999_999)).toBeNull()
    expect(server.count(RUN) - before).toBe(2)
  })
})

describe('a refusal', () => {
  const LIST = 'checks/list-for-ref'
  const CREATE = 'checks/create'

  it('is a failed check run', async () => {
    const { github, server } = await start()
    await github.reportRefusal(SCOPE, CHECK, null)
    expect(server.checks).toMatchObject([
      {
        name: 'tornade',
        headSha: CHECK.headSha,
        status: 'completed',
        conclusion: 'failure',
        title: CHECK.title,
      },
    ])
  })

  it('is looked for first, through all pages', async () => {
    const { github, server } = await start()
    const common = { repositoryId: APP.id, name: 'tornade', status: 'completed', conclusion: 'failure' }
    for (let id = 0; id < 101; id++)
      server.checks.push({ ...CHECK, ...common, id, externalId: `tornade:${id}:1` })
    await github.reportRefusal(SCOPE, { ...CHECK, externalId: 'tornade:100:1' }, null)
    expect(server.checks).toHaveLength(101)
    expect(server.count(LIST)).toBe(2)
  })

  it('that is known is written over without a look for it', async () => {
    const { github, server } = await start()
    const id = await github.reportRefusal(SCOPE, CHECK, null)
    const more = { ...CHECK, title: 'Two of them', summary: 'Use 8cpu, both.' }
    expect(await github.reportRefusal(SCOPE, more, id)).toBe(id)
    expect(server.checks).toMatchObject([{ ...more, conclusion: 'failure' }])
    expect([server.count(LIST), server.count(CREATE), server.count('checks/update')]).toEqual([1, 1, 1])
  })

  it('is there once, although the first answer got lost', async () => {
    const { github, server } = await start()
    server.fail(CREATE, { connection: 'breaks', after: true })
    await failureOf(github.reportRefusal(SCOPE, CHECK, null))
    await github.reportRefusal(SCOPE, CHECK, null)
    expect(server.checks).toHaveLength(1)
  })

  it('is cut to what GitHub takes', async () => {
    const { github, server } = await start()
    await github.reportRefusal(
      SCOPE,
      { ...CHECK, title: 'é'.repeat(300), summary: `x${'🌪'.repeat(20_000)}` },
      null,
    )
    const { title, summary } = server.checks[0]!
    expect(Buffer.byteLength(title)).toBeLessThanOrEqual(255)
    expect(Buffer.byteLength(summary)).toBeLessThanOrEqual(65_535)
    expect(Buffer.byteLength(summary)).toBeGreaterThan(65_525)
    expect(summary).toMatch(/^x(?:🌪)+…$/u)
  })

  it('is given up, and logged, where the commit is not there', async () => {
    const { github, server, log } = await start()
    server.missingCommits.add(CHECK.headSha)
    await github.reportRefusal(SCOPE, CHECK, null)
    expect(server.checks).toEqual([])
    expect(log.filter(({ level }) => level === 'error')).toEqual([
      {
        level: 'error',
        message: 'GitHub takes no check run for this commit',
        fields: {
          repository: 'acme/app',
          commit: CHECK.headSha,
          reason: `No commit found for SHA: ${CHECK.headSha}`,
        },
      },
    ])
  })
})

describe('runners of an organisation', () => {
  it('are registered in their group, found and removed there', async () => {
    const { github, server } = await start({ level: 'organisation', runnerGroupId: 7 }, { groups: [1, 7] })
    const answer = await github.createJitConfig(SCOPE, NAME, LABELS)
    expect(answer).toMatchObject({ outcome: 'created', name: NAME })
    expect(server.calls.at(-1)).toMatchObject({
      path: '/orgs/acme/actions/runners/generate-jitconfig',
      body: { runner_group_id: 7 },
    })
    const found = await github.findRunner(SCOPE, NAME)
    expect(found).toMatchObject({ busy: false })
    expect(await github.removeRunner(SCOPE, found!.id)).toBe('removed')
    expect(await github.removeRunner(SCOPE, found!.id)).toBe('gone')
    const [token] = [...server.tokens.values()]
    expect(token!.permissions).toEqual({
      organization_self_hosted_runners: 'write',
      actions: 'write',
      checks: 'write',
      metadata: 'read',
    })
  })

  it('are refused for a group that is not there', async () => {
    const { github } = await start({ level: 'organisation', runnerGroupId: 8 })
    expect(await github.createJitConfig(SCOPE, NAME, LABELS)).toMatchObject({ outcome: 'failed' })
  })
})

describe('settings', () => {
  const deps = { appKey, clock: { now: () => 0 }, log: SILENT }

  it.each([
    'http://github.example',
    'github.example',
    'https://user:pw@github.example',
    'https://a.b/?c',
    'ftp://a.b',
  ])('does not send credentials to %s', baseUrl => {
    expect(() => createGitHub({ baseUrl }, deps)).toThrow('base URL of GitHub must be an https address')
  })

  it.each(['https://github.example/api/v3', 'https://api.github.com/', 'http://127.0.0.1:80'])(
    'takes %s',
    baseUrl => {
      expect(() => createGitHub({ baseUrl }, deps)).not.toThrow()
    },
  )
})

describe('secrets', () => {
  it('are in no error, log line or pace, whatever GitHub says', async () => {
    const { github, server, log, paces, another } = await startWarm()
    const jit = await github.createJitConfig(SCOPE, 'first', LABELS)
    const { token } = [...server.tokens.values()][0]!
    const jwt = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from('{"iss":"12345"}').toString('base64url')}.c2lnbmF0dXJl`
    const { encodedJitConfig } = jit as { encodedJitConfig: string }
    const secrets = [token, jwt, encodedJitConfig, KEY.privateKey.split('\n')[3]!, 'ghs_short']
    const errors: unknown[] = []
    const collect = (promise: Promise<unknown>) =>
      promise.then(
        value => errors.push(value),
        error => errors.push(error),
      )
    for (const secret of [...secrets, KEY.privateKey])
      for (const status of [400, 401, 403, 422, 429, 500]) {
        const fault = {
          status,
          message: `Bad thing: ${secret} is wrong`,
          errors: [secret],
        }
        const headers = { 'x-ratelimit-resource': secret.replaceAll('\n', '').slice(0, 600) }
        server.fail(JIT, { ...fault, headers }, status === 401 ? 2 : 1)
        await collect(github.createJitConfig(SCOPE, NAME, LABELS))
        server.fail(CANCEL, { ...fault, headers }, status === 401 ? 2 : 1)
        await collect(github.cancelRun(SCOPE, 1))
      }
    server.fail(JIT, { connection: 'hangs' })
    await collect(another({ timeoutMs: 300 }).createJitConfig(SCOPE, NAME, LABELS))
    server.fail(JIT, { connection: 'breaks' })
    await collect(github.createJitConfig(SCOPE, NAME, LABELS))
    server.fail(JIT, { status: 201, text: JSON.stringify({ encoded_jit_config: encodedJitConfig }) })
    await collect(github.createJitConfig(SCOPE, NAME, LABELS))
    expect(errors.length).toBe(6 * 6 * 2 + 3)
    const everything = inspect([errors, log, paces], {
      depth: 20,
      showHidden: true,
      maxStringLength: null,
      maxArrayLength: null,
    })
    const live = [...server.tokens.keys()]
    for (const secret of [...secrets, ...live]) expect(everything).not.toContain(secret)
    for (const part of [token.slice(0, 40), encodedJitConfig.slice(100, 160), 'BEGIN RSA'])
      expect(everything).not.toContain(part)
    expect(everything).toContain('Bad thing: [removed]')
  })

  it('are in no error about the key itself', async () => {
    const privateKey = KEY.privateKey.slice(0, 200)
    const { github } = await start({}, {}, { appKey: async () => ({ appId: APP_ID, privateKey }) })
    const error = await github.createJitConfig(SCOPE, NAME, LABELS).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'config-invalid', message: expect.stringContaining('.pem') })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(privateKey.slice(40, 80))
  })
})

async function appKey() {
  return { appId: APP_ID, privateKey: KEY.privateKey }
}
