/**
 * The supervisor as a process, from the entrypoint on: its ticket, its limits and its end. As root it runs with Docker's
 * default capabilities and the job as another user; without root it runs all the same, as one user.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { readUsage } from '../../functions/core/usage.ts'
import { startFakeAws } from './fake-aws.ts'
import {
  cleanUp,
  encode,
  JIT_CONFIG,
  PAYLOAD,
  PUSH,
  type Supervised,
  supervise,
  useUp,
} from './supervised.ts'

afterAll(cleanUp)

const JOB = { jobAfterMs: 0, handed: PUSH, payload: PAYLOAD }
/** A step that says when it runs, and then runs for as long as nobody stops it. */
const LONG_STEP = 'echo \'"yes"\' >"$NOTES/running"; exec sleep 30'

/** What CodeBuild tells a build of itself. */
const OF_BUILD = {
  CODEBUILD_BUILD_ARN: 'arn:aws:codebuild:eu-west-1:123456789012:build/tornade-test:1',
  CODEBUILD_AUTH_TOKEN: 'canary-of-codebuild',
  CODEBUILD_SRC_DIR: '/codebuild/output/src1/src',
}

interface ListenerStart {
  jitConfig: string | null
  arguments: string[]
  environment: Record<string, string>
}

describe.concurrent('the supervisor', { timeout: 120_000 }, () => {
  it('takes its ticket, runs the listener with it, and goes when no job comes', async () => {
    const run = await supervise({
      environment: { TORNADE_IDLE_SECONDS: '0.6', CUSTOM: 'of the image', ...OF_BUILD },
    })
    const { code } = await run.exit()
    expect(code).toBe(0)
    expect(run.aws.calls).toEqual(['credentials', 'sts', 'take'])
    const start = run.read('listener-1') as ListenerStart
    expect(start.arguments).toEqual(['run'])
    const files = JSON.parse(Buffer.from(start.jitConfig!, 'base64').toString())
    const runner = JSON.parse(Buffer.from(files['.runner'], 'base64').toString())
    expect(runner).toEqual({
      AgentId: '1',
      AgentName: 'canary-agent',
      Ephemeral: 'True',
      DisableUpdate: true,
    })
    const { '.runner': _, ...rest } = JSON.parse(Buffer.from(JIT_CONFIG, 'base64').toString())
    expect(files).toMatchObject(rest)
    expect(run.read('signed-off')).toBe(true)
    expect(run.log().at(-1)).toMatchObject({ message: 'ended', code: 0, reason: 'no job came' })
    const names = Object.keys(start.environment)
    expect(names.filter(name => /^(AWS|ECS|CODEBUILD|TORNADE)_/.test(name))).toEqual([
      'AWS_REGION',
      'TORNADE_GUARD_SOCKET',
    ])
    expect(start.environment.CUSTOM).toBe('of the image')
    expect(start.environment.ACTIONS_RUNNER_CONTAINER_HOOKS).toBe(`${run.folder}/hooks/no-containers.sh`)
  })

  it('runs one job and ends', async () => {
    const run = await supervise({ scenario: JOB })
    expect((await run.exit()).code).toBe(0)
    expect(run.read('result')).toMatchObject({ result: 'succeeded' })
    expect(run.log().at(-1)).toMatchObject({ message: 'ended', reason: 'job done' })
  })

  it('waits for a ticket that comes late', async () => {
    const run = await supervise({ ticket: null, scenario: JOB })
    await run.until(() => run.aws.calls.includes('take'))
    run.aws.put(JIT_CONFIG)
    expect((await run.exit()).code).toBe(0)
    expect(run.aws.calls.filter(call => call === 'sts')).toHaveLength(1)
    expect(run.read('result')).toMatchObject({ result: 'succeeded' })
  })

  it('goes when there is no ticket within its time', async () => {
    const run = await supervise({ ticket: null, environment: { TORNADE_TICKET_SECONDS: '1' } })
    const { code, milliseconds } = await run.exit()
    expect(code).toBe(3)
    expect(milliseconds).toBeLessThan(6000)
    expect(run.read('listener-1')).toBeUndefined()
  })

  it('gives one ticket to one of two', async () => {
    const aws = await startFakeAws('two')
    const runs = [
      await supervise({ aws, ticket: null, scenario: JOB }),
      await supervise({ aws, ticket: null, scenario: JOB }),
    ]
    // Both know who they are, and ask for it.
    await runs[0]!.until(() => aws.calls.filter(call => call === 'sts').length === 2)
    aws.put(JIT_CONFIG)
    const codes = await Promise.all(runs.map(async run => (await run.exit()).code))
    await aws.close()
    expect(codes.toSorted()).toEqual([0, 6])
    expect(runs.filter(run => run.read('listener-1'))).toHaveLength(1)
    expect(aws.calls.filter(call => call.startsWith('refused'))).toEqual([])
  })

  it('asks again after an error that may pass', async () => {
    const run = await supervise({ ticket: null, scenario: JOB })
    run.aws.errors.push('ProvisionedThroughputExceededException', 'InternalServerError')
    run.aws.put(JIT_CONFIG)
    expect((await run.exit()).code).toBe(0)
    expect(run.log().filter(({ message }) => message === 'ticket not asked for')).toHaveLength(2)
  })

  it.each([
    [
      'its role does not let it',
      { TORNADE_TICKET_SECONDS: '0.5' },
      Array(9).fill('AccessDeniedException'),
      'AccessDeniedException',
    ],
    ['there is no such table', {}, ['ResourceNotFoundException'], 'ResourceNotFoundException'],
    [
      'there are no credentials',
      { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '', TORNADE_TICKET_SECONDS: '0.3' },
      [],
      'NoCredentials',
    ],
  ])('says so when %s', async (_, environment, errors, reason) => {
    const run = await supervise({ environment })
    run.aws.errors.push(...errors)
    expect((await run.exit()).code).toBe(8)
    expect(run.log().at(-1)).toMatchObject({ reason: `ticket failed: ${reason}` })
  })

  it('starts a listener that asks for it again, three times, without the JIT config', async () => {
    const run = await supervise({
      scenario: { listenerExits: [2, 6, 2, 2, 2, 2] },
      environment: { TORNADE_RELAUNCH_SECONDS: '0.02' },
    })
    expect((await run.exit()).code).toBe(4)
    expect(run.read('starts')).toBe(4)
    const given = [1, 2, 3, 4].map(
      count => (run.read(`listener-${count}`) as ListenerStart).jitConfig !== null,
    )
    expect(given).toEqual([true, false, false, false])
  })

  it.each([
    [1, 4],
    [0, 0],
  ])('ends when the listener ends with %i before any job', async (listenerExit, code) => {
    const run = await supervise({ scenario: { listenerExits: [listenerExit] } })
    expect((await run.exit()).code).toBe(code)
  })

  it('says so when the runner program is missing', async () => {
    const run = await supervise({ environment: { TORNADE_RUNNER_FOLDER: '/nonexistent' } })
    expect((await run.exit()).code).toBe(4)
  })

  it('hands a JIT config of a shape it does not know on as it is', async () => {
    const ticket = encode({ settings: 'unknown' })
    const run = await supervise({ ticket, scenario: { listenerExits: [0] } })
    await run.exit()
    expect((run.read('listener-1') as ListenerStart).jitConfig).toBe(ticket)
  })

  it('cancels a running job within seconds of SIGTERM', async () => {
    const run = await supervise({ scenario: { ...JOB, step: LONG_STEP } })
    await run.until(() => run.read('running'))
    const start = performance.now()
    run.process.kill('SIGTERM')
    expect((await run.exit()).code).toBe(143)
    expect(performance.now() - start).toBeLessThan(5000)
    expect(run.read('result')).toMatchObject({ result: 'cancelled' })
    // Steps that clean up are run: the signal reached the listener alone.
    expect(run.read('always')).toBe('yes\n')
  })

  it('signs an idle runner off at once on SIGTERM', async () => {
    const run = await supervise()
    await run.until(() => run.read('listener-1'))
    run.process.kill('SIGTERM')
    const start = performance.now()
    expect((await run.exit()).code).toBe(143)
    expect(performance.now() - start).toBeLessThan(5000)
    expect(run.read('signed-off')).toBe(true)
  })

  it('ends at once on SIGTERM while it waits for its ticket', async () => {
    const run = await supervise({ ticket: null })
    await run.until(() => run.aws.calls.includes('take'))
    run.process.kill('SIGTERM')
    const start = performance.now()
    expect((await run.exit()).code).toBe(143)
    expect(performance.now() - start).toBeLessThan(3000)
  })

  it('cancels a job at the end of its life', async () => {
    const run = await supervise({
      scenario: { ...JOB, step: LONG_STEP },
      environment: { TORNADE_TIMEOUT_MINUTES: String(2.5 / 60) },
    })
    const { code, milliseconds } = await run.exit()
    expect(code).toBe(5)
    expect(milliseconds).toBeLessThan(8000)
    expect(run.read('result')).toMatchObject({ result: 'cancelled' })
  })

  it('uses force on what does not stop', async () => {
    const run = await supervise({
      scenario: { ...JOB, deaf: true, step: LONG_STEP },
      environment: { TORNADE_STOP_SECONDS: '0.3' },
    })
    await run.until(() => run.read('running'))
    run.process.kill('SIGTERM')
    expect((await run.exit()).code).toBe(143)
    expect(run.read('result')).toBeUndefined()
  })

  it('does not start with settings that cannot work', async () => {
    const run = await supervise({ environment: { TORNADE_POLICY: '{' } })
    expect((await run.exit()).code).toBe(2)
    expect(run.log()).toEqual([expect.objectContaining({ reason: 'TORNADE_POLICY is not JSON.' })])
    expect(run.aws.calls).toEqual([])
  })
})

/** A step that says when it runs, and goes on when it is told to. */
const WAITING_STEP = 'echo \'"yes"\' >"$NOTES/running"; until [ -e "$NOTES/go" ]; do sleep 0.02; done'
const MEASURED = { TORNADE_SAMPLE_SECONDS: '0.02' }

const goOn = (run: Supervised) => writeFileSync(join(run.folder, 'notes', 'go'), '')
const usageLines = (run: Supervised) =>
  run
    .output()
    .split('\n')
    .filter(line => line.includes('"usage"'))

describe.concurrent('at the end of its job the supervisor says what was used', { timeout: 120_000 }, () => {
  it('from its control group, in one line that can be read, of the job alone', async () => {
    const run = await supervise({ scenario: { ...JOB, step: WAITING_STEP }, environment: MEASURED })
    await run.until(() => run.read('running'))
    useUp(run.folder, { cpuSeconds: 101, memoryMiB: 128 })
    await new Promise(resolve => setTimeout(resolve, 300))
    useUp(run.folder, { cpuSeconds: 102, memoryMiB: 96 })
    goOn(run)
    expect((await run.exit()).code).toBe(0)
    const lines = usageLines(run)
    expect(lines).toHaveLength(1)
    const usage = readUsage(lines)!
    expect(usage.cpuAverage * usage.seconds).toBeCloseTo(2, 1)
    expect(usage.cpuPeak).toBe(usage.cpuAverage)
    expect(usage.memoryPeakGiB).toBe(0.125)
    expect(usage.memoryAverageGiB).toBeGreaterThan(0.062)
    expect(usage.memoryAverageGiB).toBeLessThan(0.125)
    expect(run.log().at(-1)).toMatchObject({ message: 'ended' })
    expect(run.aws.calls).not.toContain('stats')
  })

  it.each([
    ['it has no control group to read', false],
    ['an image builder stands beside it, whose memory is the task’s too', true],
  ])('from the metadata of its task, where %s', async (_, beside) => {
    // A builder that obeys at once.
    const exchange = mkdtempSync(join(tmpdir(), 'tornade-exchange-'))
    writeFileSync(join(exchange, 'obeyed'), 'role')
    onTestFinished(() => rmSync(exchange, { recursive: true, force: true }))
    const run = await supervise({
      scenario: { ...JOB, step: WAITING_STEP },
      environment: {
        ...MEASURED,
        ...(beside ? { TORNADE_EXCHANGE_FOLDER: exchange } : { TORNADE_CGROUP_FOLDER: '/nonexistent' }),
      },
    })
    await run.until(() => run.read('running') && run.aws.calls.includes('stats'))
    run.aws.used = { cpuSeconds: 103, memoryMiB: 256 }
    goOn(run)
    expect((await run.exit()).code).toBe(0)
    const usage = readUsage(usageLines(run))!
    expect(usage.cpuAverage * usage.seconds).toBeCloseTo(3, 1)
    expect(usage.memoryPeakGiB).toBe(0.25)
    expect(run.output()).not.toContain('canary')
  })

  it('when the job is cut short', async () => {
    const run = await supervise({ scenario: { ...JOB, step: LONG_STEP }, environment: MEASURED })
    await run.until(() => run.read('running'))
    useUp(run.folder, { cpuSeconds: 101, memoryMiB: 128 })
    run.process.kill('SIGTERM')
    expect((await run.exit()).code).toBe(143)
    expect(readUsage(usageLines(run))!.memoryPeakGiB).toBe(0.125)
  })

  it.each([
    [
      'nothing can be read',
      JOB,
      { TORNADE_CGROUP_FOLDER: '/nonexistent', ECS_CONTAINER_METADATA_URI_V4: '' },
      0,
    ],
    ['there was no job', {}, { TORNADE_IDLE_SECONDS: '0.3' }, 0],
    ['its job was refused', { ...JOB, handed: { ...PUSH, GITHUB_REPOSITORY_ID: '5' } }, {}, 7],
  ])('but nothing when %s', async (_, scenario, environment, code) => {
    const run = await supervise({ scenario, environment: { ...MEASURED, ...environment } })
    expect((await run.exit()).code).toBe(code)
    expect(usageLines(run)).toEqual([])
  })
})
