import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RUNNER_VARIABLE, readAwsEvent } from '../functions/core/aws-events.ts'
import {
  fits,
  generationOf,
  jobKeyOf,
  registrationName,
  runnerName,
  runnerOf,
  shapeOf,
  startRequest,
} from '../functions/core/plan.ts'
import { isFork, type RoleRule, type RunFacts, roleViolation } from '../functions/core/policy.ts'
import { isUntold, refusalReport, withRefused } from '../functions/core/refusal.ts'
import { clean, TEXT_LIMIT } from '../functions/core/text.ts'
import type { JobRequest, Problem, RunRefusals } from '../functions/core/types.ts'
import { CODEBUILD, request, SPOT, spec } from './support/facts.ts'

describe('what a spec is started as', () => {
  it('is the spec itself on Fargate', () => {
    expect(shapeOf(spec({ cpu: 4, memoryGiB: 16, diskGiB: 50 }), SPOT)).toEqual({
      arch: 'x64',
      compute: 'fargate',
      capacity: 'spot',
      cpu: 4,
      memoryGiB: 16,
      diskGiB: 50,
      computeType: null,
    })
  })

  it('is the smallest type that holds it on CodeBuild', () => {
    const build = (over: Parameters<typeof spec>[0]) =>
      shapeOf(spec({ compute: 'codebuild', capacity: null, ...over }), CODEBUILD)
    expect(build({ cpu: 2, memoryGiB: 4 })).toMatchObject({
      computeType: 'BUILD_GENERAL1_SMALL',
      capacity: null,
    })
    expect(build({ cpu: 2, memoryGiB: 5 })).toMatchObject({
      computeType: 'BUILD_GENERAL1_MEDIUM',
      cpu: 4,
      memoryGiB: 8,
    })
    expect(build({ cpu: 2, memoryGiB: 4, diskGiB: 100 })).toMatchObject({
      computeType: 'BUILD_GENERAL1_MEDIUM',
      diskGiB: 128,
    })
  })

  it('that no CodeBuild type holds is a fault of the caller', () => {
    expect(() => shapeOf(spec({ compute: 'codebuild', capacity: null, memoryGiB: 1000 }), CODEBUILD)).toThrow(
      'no CodeBuild type holds 2 vCPU, 1000 GiB and 20 GiB of disk',
    )
  })

  it('is asked for under a token of its own for every try', () => {
    const tokens = [1, 2, 3].map(
      attempt => startRequest(spec(), { id: 7001 }, 'tornade-41-1-1', attempt, SPOT).token,
    )
    expect(new Set(tokens).size).toBe(3)
    // ECS: at most 64 characters, ASCII 33 to 126.
    const longest = startRequest(
      spec(),
      { id: 7001 },
      runnerName('a'.repeat(20), '99999999999999-999', 99),
      99,
      SPOT,
    ).token
    expect(longest).toMatch(/^[\x21-\x7e]{1,64}$/)
  })
})

describe('the name of a runner', () => {
  const marker = fc.constantFrom('tornade', 't', 'acme-ci', 'x1', 'a-1-2-3')
  const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
  const small = fc.integer({ min: 1, max: 9999 })

  it('reads back as its job and its number, also as GitHub shows it', () => {
    fc.assert(
      fc.property(
        marker,
        id,
        small,
        small,
        fc.integer({ min: 1, max: 5 }),
        (mark, job, attempt, generation, mint) => {
          const name = runnerName(mark, `${job}-${attempt}`, generation)
          expect(jobKeyOf(name)).toBe(`${job}-${attempt}`)
          expect(generationOf(name)).toBe(generation)
          const shown = registrationName(name, mint)
          expect(runnerOf(shown, mark)).toBe(name)
          // GitHub: 1 to 64 letters, digits and hyphens.
          expect(shown).toMatch(/^[A-Za-z0-9-]{1,64}$/)
        },
      ),
    )
  })

  it.each([
    '',
    'tornade',
    'tornade-1',
    'tornade-1-1',
    'other-1-1-1',
    'tornade-a-1-1',
    'tornade-1-1-1-r',
    'x tornade-1-1-1',
    'tornade-1-1-1\n',
  ])('%j is nobody of ours', name => expect(runnerOf(name, 'tornade')).toBeNull())

  it('is never read from any other text', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        const name = runnerOf(text, 'tornade')
        if (name !== null) expect(text.startsWith(name)).toBe(true)
      }),
    )
  })
})

describe('a runner fits a job', () => {
  it('when it has all of its labels, whatever their case', () => {
    expect(fits(['Tornade'], ['tornade', 'ARM64'])).toBe(true)
    expect(fits(['tornade', 'arm64'], ['arm64', 'tornade'])).toBe(true)
    expect(fits(['tornade', 'arm64'], ['tornade'])).toBe(false)
    expect(fits(['tornade/arm64'], ['tornade', 'arm64'])).toBe(false)
  })
})

describe('a role', () => {
  const repository = { id: 7001, name: 'acme/app', private: true }
  const rule: RoleRule = { repositories: ['acme/app'], refs: ['refs/heads/main'], events: [] }
  const run: RunFacts = { event: 'push', headBranch: 'main', headRepositoryId: 7001 }
  const violation = (facts: Partial<RunFacts> = {}, over: Partial<RoleRule> = {}) =>
    roleViolation('deploy', { ...rule, ...over }, repository, { ...run, ...facts })

  it('may be used by the runs that tornade.yml names', () => {
    expect(violation()).toBeNull()
    expect(violation({}, { repositories: ['Acme/App'] })).toBeNull()
    expect(violation({ headBranch: 'any' }, { refs: [] })).toBeNull()
    expect(violation({ headBranch: 'v1' }, { refs: ['refs/tags/v1'] })).toBeNull()
  })

  it('is not for other repositories', () => {
    expect(violation({}, { repositories: ['acme/site'] })).toBe(
      'tornade.yml does not let acme/app use the role deploy.',
    )
    expect(violation({}, { repositories: [] })).not.toBeNull()
  })

  it.each(['pull_request', 'pull_request_target', 'workflow_run', 'issue_comment', 'release', ''])(
    'is not for %j runs unless they are named',
    event => {
      expect(violation({ event })).toBe(
        `The role deploy may not be used by ${event} runs, only by push, workflow_dispatch, schedule.`,
      )
      expect(violation({ event }, { events: [event] })).toBeNull()
    },
  )

  it('is for no event beside the named ones', () => {
    expect(violation({}, { events: ['release'] })).toContain('only by release')
    expect(violation({}, { events: ['*'] })).toContain('only by *')
  })

  it('is not for other refs', () => {
    expect(violation({ headBranch: 'main2' })).toBe('The role deploy may be used on refs/heads/main only.')
    expect(violation({ headBranch: null })).not.toBeNull()
    expect(violation({ headBranch: 'refs/heads/main' })).not.toBeNull()
    expect(violation({ headBranch: '*' }, { refs: ['refs/heads/*'] })).toBeNull()
    expect(violation({ headBranch: 'main' }, { refs: ['refs/heads/*'] })).not.toBeNull()
  })

  it('is for the default branch alone where tornade.yml names no refs', () => {
    const onDefault = (headBranch: string) =>
      roleViolation('deploy', { ...rule, refs: [] }, repository, { ...run, headBranch }, 'trunk')
    expect(onDefault('trunk')).toBeNull()
    expect(onDefault('main')).toBe('The role deploy may be used on refs/heads/trunk only.')
  })

  it('is never for a fork, and a head repository that is gone counts as one', () => {
    const everything = { refs: [], events: ['push', 'pull_request', 'pull_request_target'] }
    for (const headRepositoryId of [8001, null]) {
      expect(isFork(repository, { ...run, headRepositoryId })).toBe(true)
      for (const event of everything.events)
        expect(violation({ headRepositoryId, event }, everything)).toBe(
          'A fork may never use a role; deploy was asked for.',
        )
    }
  })
})

describe('a refusal', () => {
  const report = (label: string, over = {}) =>
    reportOf(request(), [{ label, message: 'There is no such size.', suggestion: '8cpu', ...over }])
  const reportOf = (one: JobRequest, problems: readonly Problem[]) =>
    refusalReport(withRefused(undefined, one, problems, 0))

  const NEXT =
    'Once that is put right, run it again: push the changed workflow, or, where nothing in the repository had to change, choose Re-run jobs.'

  it('says what is wrong, what to write instead, and what to do then', () => {
    expect(report('5cpu')).toEqual({
      externalId: 'tornade:17:1',
      headSha: 'a'.repeat(40),
      title: 'tornade cannot run the job build',
      summary: [
        'The job `build` cannot be run:',
        '',
        '- `5cpu`: There is no such size. Use `8cpu`.',
        '',
        NEXT,
      ].join('\n'),
    })
  })

  describe('of several jobs', () => {
    const job = (jobId: number, over = {}) =>
      request({ jobId, key: `${jobId}-1`, name: `job ${jobId}`, ...over })
    const problem = (label: string, message = 'There is no such size.') => ({
      label,
      message,
      suggestion: null,
    })
    const all = (jobs: readonly [JobRequest, readonly Problem[]][]) =>
      jobs.reduce<RunRefusals | undefined>(
        (run, [one, problems]) => withRefused(run, one, problems, 0),
        undefined,
      )!

    it('names them together where they have the same problems', () => {
      const run = all([
        [job(1), [problem('5cpu')]],
        [job(2), [problem('7cpu')]],
        [job(3), [problem('5cpu')]],
      ])
      expect(refusalReport(run).title).toBe('tornade cannot run 3 jobs')
      expect(refusalReport(run).summary).toBe(
        [
          'The jobs `job 1`, `job 3` cannot be run:\n\n- `5cpu`: There is no such size.',
          'The job `job 2` cannot be run:\n\n- `7cpu`: There is no such size.',
          NEXT,
        ].join('\n\n'),
      )
    })

    it('has each of them once, whatever is told twice', () => {
      const run = all([[job(1), [problem('5cpu')]]])
      expect(withRefused(run, job(1), [problem('6cpu')], 1)).toBe(run)
      expect(isUntold(run)).toBe(true)
      expect(isUntold({ ...run, told: 1 })).toBe(false)
    })

    it('is never longer than GitHub takes, however many there are and whatever they say', () => {
      const long = (id: number, count: number) =>
        Array.from({ length: count }, (_, index) => problem(`label ${id} ${index}`, 'é*'.repeat(500)))
      const run = all(
        Array.from({ length: 1200 }, (_, id) => [
          job(id, { name: '🌪'.repeat(100) }),
          long(id, id === 0 ? 500 : 3),
        ]),
      )
      const { summary } = refusalReport(run)
      expect(Buffer.byteLength(summary)).toBeLessThan(65_535)
      expect(summary).toMatch(/^- and \d+ more$/m)
      expect(summary).toMatch(/ and \d+ more cannot be run either, for reasons that have no room here\.$/m)
      expect(summary.endsWith(NEXT)).toBe(true)
      // An item of the ledger, which holds 400 KB.
      expect(Buffer.byteLength(JSON.stringify(run))).toBeLessThan(400 * 1024)
    })
  })

  it('has one id for all jobs of a run and attempt', () => {
    const ids = [
      request(),
      request({ jobId: 42, key: '42-1' }),
      request({ attempt: 2 }),
      request({ runId: 18 }),
    ].map(one => reportOf(one, []).externalId)
    expect(ids).toEqual(['tornade:17:1', 'tornade:17:1', 'tornade:17:2', 'tornade:18:1'])
  })

  it.each([
    '`',
    '``` \n# owned',
    '` [x](https://evil.example) `',
    'a\n\n- `role:admin`: fine',
    '<img src=x onerror=alert(1)>',
    '</code><script>',
    '@octocat',
    '#1',
    '\u202Egnp.cpu',
    '|a|b|',
    '\\`',
  ])('cannot be broken out of by the label %j', label => {
    const { summary } = report(label)
    expect(summary.split('\n')).toHaveLength(5)
    expect(outsideOfCode(summary)).toBe(outsideOfCode(report('5cpu').summary))
  })

  it('cannot be broken out of by any label, name, message or suggestion', () => {
    const hostile = fc.string({
      unit: fc.constantFrom(
        '`',
        '\\',
        '\n',
        '\r',
        '[',
        ']',
        '(',
        '<',
        '>',
        '*',
        '@',
        '#',
        '\u202E',
        '\u2028',
        'a',
        ' ',
      ),
    })
    fc.assert(
      fc.property(hostile, hostile, hostile, (label, name, suggestion) => {
        const { summary, title } = reportOf(request({ name }), [
          { label, message: 'There is no such size.', suggestion },
        ])
        expect(summary.split(/[\n\r\u2028\u2029]/)).toHaveLength(5)
        expect(outsideOfCode(summary)).toBe(outsideOfCode(report('5cpu').summary))
        expect(title).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u)
      }),
    )
  })

  it('takes the words of a provider for words', () => {
    const { summary } = report('5cpu', {
      message: 'see [this](https://evil.example) <b>now</b> @octocat',
      suggestion: null,
    })
    expect(summary).toContain(
      'see \\[this\\]\\(https:&#8203;//evil.example\\) \\<b\\>now\\</b\\> @&#8203;octocat',
    )
  })

  it('keeps the code spans of a sentence, and lets none of them run on', () => {
    const { summary } = report('5cpu', { message: 'Write `8cpu` or ` and see.', suggestion: null })
    expect(summary.split('`').length % 2).toBe(1)
  })
})

/** A summary without its code spans, as Markdown reads them: backslashes mean nothing within. */
function outsideOfCode(markdown: string): string {
  return markdown.replaceAll(/`[^`\n]+`/g, '')
}

describe('clean text', () => {
  it('has no control, format or line characters, and at most so many code points', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 150 }), (text, limit) => {
        const cleaned = clean(text, limit)
        expect([...cleaned].length).toBeLessThanOrEqual(limit)
        expect(cleaned).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
        expect(clean(cleaned, limit)).toBe(cleaned)
      }),
      { numRuns: 50 },
    )
  })

  it('is unchanged where there is nothing to clean', () => {
    expect(clean('feature/größe-1')).toBe('feature/größe-1')
    expect(clean('x'.repeat(TEXT_LIMIT))).toBe('x'.repeat(TEXT_LIMIT))
    expect(clean('x'.repeat(TEXT_LIMIT + 1))).toBe(`${'x'.repeat(TEXT_LIMIT - 1)}…`)
  })

  it('does not cut a character in two', () => {
    expect(clean('😀'.repeat(200), 3)).toBe('😀😀…')
  })
})

describe('an event of ECS', () => {
  const arn = 'arn:aws:ecs:eu-west-1:123456789012:task/tornade/0123456789abcdef'
  const event = (detail: object, over: object = {}) => ({
    version: '0',
    id: '9bcdac79-b31f-4d3d-9410-fbd727c29fab',
    'detail-type': 'ECS Task State Change',
    source: 'aws.ecs',
    account: '123456789012',
    time: '2026-11-02T09:01:30Z',
    region: 'eu-west-1',
    resources: [arn],
    detail: {
      clusterArn: 'arn:aws:ecs:eu-west-1:123456789012:cluster/tornade',
      taskArn: arn,
      capacityProviderName: 'FARGATE_SPOT',
      cpu: '1024',
      memory: '2048',
      desiredStatus: 'RUNNING',
      lastStatus: 'RUNNING',
      createdAt: '2026-11-02T09:00:00.123Z',
      startedBy: 'tornade-41-1-1',
      version: 3,
      platformVersion: '1.4.0',
      overrides: { containerOverrides: [] },
      containers: [{ name: 'runner', lastStatus: 'RUNNING', imageDigest: 'sha256:0' }],
      ...detail,
    },
    ...over,
  })
  const times = { pullStartedAt: '2026-11-02T09:00:12.5Z', startedAt: '2026-11-02T09:00:30Z' }

  it('tells of the start', () => {
    expect(readAwsEvent(event(times))).toEqual({
      kind: 'runner',
      runner: 'tornade-41-1-1',
      providerId: arn,
      pullStartedAt: Date.UTC(2026, 10, 2, 9, 0, 12, 500),
      startedAt: Date.UTC(2026, 10, 2, 9, 0, 30),
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
    })
  })

  it('tells of the end and its reason', () => {
    const stopped = {
      ...times,
      desiredStatus: 'STOPPED',
      lastStatus: 'STOPPED',
      stoppedAt: '2026-11-02T09:05:00Z',
      stopCode: 'SpotInterruption',
      stoppedReason: 'Your Spot Task was interrupted.',
    }
    expect(readAwsEvent(event(stopped))).toMatchObject({
      stoppedAt: Date.UTC(2026, 10, 2, 9, 5),
      stop: { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' },
    })
  })

  it('that warns of a Spot reclaim is no end yet', () => {
    const warning = {
      ...times,
      desiredStatus: 'STOPPED',
      lastStatus: 'RUNNING',
      stoppingAt: '2026-11-02T09:03:00Z',
      stopCode: 'SpotInterruption',
      stoppedReason: 'Your Spot Task was interrupted.',
    }
    expect(readAwsEvent(event(warning))).toMatchObject({
      stoppingAt: Date.UTC(2026, 10, 2, 9, 3),
      stoppedAt: null,
      stop: { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' },
    })
  })

  it('of a task that never ran has a stop and no start', () => {
    const failed = { lastStatus: 'STOPPED', stoppedAt: '2026-11-02T09:01:00Z', stopCode: 'TaskFailedToStart' }
    expect(readAwsEvent(event(failed))).toMatchObject({
      pullStartedAt: null,
      startedAt: null,
      stop: { code: 'TaskFailedToStart', reason: '' },
    })
  })

  it('that says STOPPED without a time stopped when the event came', () => {
    expect(readAwsEvent(event({ ...times, lastStatus: 'STOPPED' }))).toMatchObject({
      stoppedAt: Date.UTC(2026, 10, 2, 9, 1, 30),
      stop: { code: 'unknown', reason: '' },
    })
  })

  it.each([
    ['another source', { source: 'aws.ec2' }],
    ['another type', { 'detail-type': 'ECS Container Instance State Change' }],
    ['no detail', { detail: null }],
    ['nobody who started it', { detail: { taskArn: arn, lastStatus: 'RUNNING' } }],
  ])('with %s is nothing to us', (_, over) => {
    expect(readAwsEvent(event({}, over))).toBeNull()
  })
})

describe('an event of CodeBuild', () => {
  const id = 'arn:aws:codebuild:eu-west-1:123456789012:build/tornade:a1b2'
  const event = (
    status: string,
    start = 'Nov 2, 2026 9:00:29 AM',
    variables: object[] = named,
    phases: object[] | undefined = [{ 'phase-type': 'SUBMITTED', 'end-time': start }],
  ) => ({
    version: '0',
    'detail-type': 'CodeBuild Build State Change',
    source: 'aws.codebuild',
    time: '2026-11-02T09:04:10Z',
    detail: {
      'build-status': status,
      'project-name': 'tornade',
      'build-id': id,
      'current-phase': 'COMPLETED',
      'additional-information': {
        environment: {
          image: 'x',
          'compute-type': 'BUILD_GENERAL1_SMALL',
          'environment-variables': variables,
        },
        'build-start-time': start,
        phases,
      },
    },
  })
  const named = [
    { name: 'OTHER', type: 'PLAINTEXT', value: 'x' },
    { name: RUNNER_VARIABLE, type: 'PLAINTEXT', value: 'tornade-41-1-1' },
  ]
  const START = Date.UTC(2026, 10, 2, 9, 0, 29)

  it('tells of the start, in a time that is UTC and does not say so', () => {
    expect(readAwsEvent(event('IN_PROGRESS'))).toEqual({
      kind: 'runner',
      runner: 'tornade-41-1-1',
      providerId: id,
      pullStartedAt: START,
      startedAt: null,
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
    })
  })

  it('tells at its end since when its container ran, if ever it did: it may have queued before', () => {
    const phases = ['SUBMITTED', 'QUEUED'].map(name => ({
      'phase-type': name,
      'end-time': 'Nov 2, 2026 9:03:00 AM',
    }))
    const up = {
      'phase-type': 'PROVISIONING',
      'phase-status': 'SUCCEEDED',
      'end-time': 'Nov 2, 2026 9:03:20 AM',
    }
    const told = (...all: object[]) => readAwsEvent(event('STOPPED', undefined, undefined, all))
    expect(told(...phases)).toMatchObject({ pullStartedAt: START, startedAt: null })
    expect(told(...phases, { 'phase-type': 'PROVISIONING' })).toMatchObject({ startedAt: null })
    expect(told(...phases, { ...up, 'phase-status': 'FAILED' })).toMatchObject({ startedAt: null })
    expect(told(...phases, up)).toMatchObject({
      pullStartedAt: START,
      startedAt: Date.UTC(2026, 10, 2, 9, 3, 20),
    })
  })

  it('tells that its container is up, once it is', () => {
    const phases = ['SUBMITTED', 'QUEUED', 'PROVISIONING'].map(name => ({
      'phase-type': name,
      'phase-status': 'SUCCEEDED',
      'end-time': 'Nov 2, 2026 9:03:20 AM',
    }))
    const { 'build-status': _, ...detail } = event('IN_PROGRESS', undefined, undefined, phases).detail
    const change = {
      source: 'aws.codebuild',
      'detail-type': 'CodeBuild Build Phase Change',
      time: '2026-11-02T09:03:21Z',
      detail: { ...detail, 'completed-phase': 'PROVISIONING', 'completed-phase-status': 'SUCCEEDED' },
    }
    expect(readAwsEvent(change)).toEqual({
      kind: 'runner',
      runner: 'tornade-41-1-1',
      providerId: id,
      pullStartedAt: START,
      startedAt: Date.UTC(2026, 10, 2, 9, 3, 20),
      stoppingAt: null,
      stoppedAt: null,
      stop: null,
    })
    expect(readAwsEvent({ ...change, 'detail-type': 'CodeBuild Build State Change' })).toBeNull()
  })

  it.each([
    ['Sep 1, 2017 4:12:29 PM', Date.UTC(2017, 8, 1, 16, 12, 29)],
    ['Dec 31, 2026 12:00:00 AM', Date.UTC(2026, 11, 31)],
    ['Nov 2, 2026 9:00:29\u202fAM', START],
    ['2026-11-02T09:00:29Z', START],
    ['2026-11-02T10:00:29+01:00', START],
    ['not a time', null],
  ])('reads %j', (text, time) => {
    expect(readAwsEvent(event('IN_PROGRESS', text))).toMatchObject({ pullStartedAt: time })
  })

  it.each(['SUCCEEDED', 'FAILED', 'FAULT', 'STOPPED', 'TIMED_OUT'])('tells that it ended as %s', status => {
    expect(readAwsEvent(event(status))).toMatchObject({
      stoppedAt: Date.UTC(2026, 10, 2, 9, 4, 10),
      stop: { code: status },
    })
  })

  it('of a build of somebody else is nothing to us', () => {
    expect(readAwsEvent(event('FAILED', undefined, []))).toBeNull()
    expect(readAwsEvent(event('FAILED', undefined, [{ name: RUNNER_VARIABLE }]))).toBeNull()
  })

  it('is the same in every time zone', () => {
    const zone = process.env.TZ
    try {
      for (const name of ['UTC', 'Asia/Tokyo', 'America/New_York']) {
        process.env.TZ = name
        expect(readAwsEvent(event('IN_PROGRESS'))).toMatchObject({ pullStartedAt: START })
      }
    } finally {
      if (zone === undefined) delete process.env.TZ
      else process.env.TZ = zone
    }
  })
})

describe('anything else', () => {
  it('is no event of ours, and no fault', () => {
    fc.assert(fc.property(fc.jsonValue(), value => readAwsEvent(value) === null))
    expect(readAwsEvent(undefined)).toBeNull()
  })

  it('that looks like one is never a fault', () => {
    const detail = fc.record(
      {
        taskArn: fc.jsonValue(),
        startedBy: fc.oneof(fc.string(), fc.jsonValue()),
        lastStatus: fc.constantFrom('STOPPED', 'RUNNING', 3),
        stoppedAt: fc.oneof(fc.string(), fc.jsonValue()),
        'build-status': fc.string(),
        'build-id': fc.string(),
        'additional-information': fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const kinds = fc.constantFrom(
      ['aws.ecs', 'ECS Task State Change'],
      ['aws.codebuild', 'CodeBuild Build State Change'],
      ['aws.codebuild', 'CodeBuild Build Phase Change'],
    )
    fc.assert(
      fc.property(kinds, fc.string(), detail, ([source, type], time, value) => {
        const read = readAwsEvent({ source, 'detail-type': type, time, detail: value })
        if (read) expect(typeof read.runner).toBe('string')
      }),
    )
  })
})
