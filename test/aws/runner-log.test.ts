/** The end of a runner's log in CloudWatch Logs, over HTTP. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CloudWatchRunnerLog } from '../../functions/aws/runner-log.ts'
import { usageLine } from '../../runner-image/supervisor/usage.ts'
import type { FaultName } from './wire/faults.ts'
import { WIRE_CREDENTIALS, Wire } from './wire/server.ts'

const TASKS = '/tornade/test/runners'
const BUILDS = '/tornade/test/builds'
const TASK_ID = 'c8f5e1d2a3b4c5d6e7f8091a2b3c4d5e'
const BUILD_ID = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d'
const TASK = `arn:aws:ecs:us-east-1:123456789012:task/tornade-test/${TASK_ID}`
const BUILD = `arn:aws:codebuild:us-east-1:123456789012:build/tornade-test:${BUILD_ID}`
const TASK_STREAM = `runner/runner/${TASK_ID}`

const MEASURED = { seconds: 60, cpuAverage: 0.5, cpuPeak: 1, memoryAverageMiB: 512, memoryPeakMiB: 1024 }
const LINE = usageLine(MEASURED)
const USAGE = { seconds: 60, cpuAverage: 0.5, cpuPeak: 1, memoryAverageGiB: 0.5, memoryPeakGiB: 1 }

let wire: Wire
let log: CloudWatchRunnerLog
const environment = { ...process.env }
beforeEach(async () => {
  wire = await Wire.start()
  process.env.AWS_ACCESS_KEY_ID = WIRE_CREDENTIALS.accessKeyId
  process.env.AWS_SECRET_ACCESS_KEY = WIRE_CREDENTIALS.secretAccessKey
  delete process.env.AWS_SESSION_TOKEN
  log = reader(wire.url)
})
afterEach(async () => {
  process.env = { ...environment }
  await wire.close()
})
const reader = (endpoint: string, timeoutMs = 1_500) =>
  new CloudWatchRunnerLog({ region: 'us-east-1', tasks: TASKS, builds: BUILDS, endpoint, timeoutMs })

describe('the log of a runner', () => {
  it.each([
    ['a task', TASK, TASKS, TASK_STREAM],
    ['a build', BUILD, BUILDS, BUILD_ID],
  ])('of %s says what it used', async (_, providerId, group, stream) => {
    wire.logs.write(group, stream, '{"message":"ticket taken"}', LINE, '{"message":"ended"}\n')
    expect(await log.usage(providerId)).toEqual(USAGE)
    expect(wire.operations).toEqual(['GetLogEvents'])
    expect(wire.refused).toEqual([])
  })

  it('is that of this runner and of no other', async () => {
    wire.logs.write(TASKS, `runner/runner/${'0'.repeat(32)}`, LINE)
    wire.logs.write(BUILDS, TASK_STREAM, LINE)
    wire.logs.write(TASKS, TASK_STREAM, 'nothing of that kind')
    expect(await log.usage(TASK)).toBeNull()
  })

  it('is read at its end', async () => {
    const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}`)
    wire.logs.write(TASKS, TASK_STREAM, usageLine({ ...MEASURED, seconds: 1 }), ...lines, LINE)
    // What CodeBuild says after the runner.
    wire.logs.write(TASKS, TASK_STREAM, ...lines.slice(0, 20))
    expect(await log.usage(TASK)).toEqual(USAGE)
    expect(wire.operations).toHaveLength(1)
  })

  it('says nothing when it is not there, or there is nothing in it', async () => {
    expect(await log.usage(TASK)).toBeNull()
    wire.logs.write(TASKS, TASK_STREAM)
    expect(await log.usage(TASK)).toBeNull()
  })

  it.each(['', 'task-1', 'arn:aws:ecs:us-east-1:123456789012:task/a/b/../x y', 'arn:aws:s3:::bucket/x'])(
    'is not asked for by %j, which is no runner',
    async providerId => {
      expect(await log.usage(providerId)).toBeNull()
      expect(wire.operations).toEqual([])
    },
  )

  it.each<FaultName>([
    'logs denied',
    'logs unavailable',
    'GetLogEvents: throttled',
    'GetLogEvents: lost before',
    'GetLogEvents: lost after',
    'GetLogEvents: 500 after',
  ])('is asked once and fails in words without the request: %s', async fault => {
    wire.logs.write(TASKS, TASK_STREAM, LINE)
    wire.play(fault)
    const error = await log.usage(TASK).catch(error => error as Error)
    expect(error).toBeInstanceOf(Error)
    expect((error as Error).message).not.toContain(TASK_ID)
    expect(wire.operations).toHaveLength(1)
    // The next runner is none the worse for it.
    expect(await log.usage(TASK)).toEqual(USAGE)
  })

  it('is not waited for', async () => {
    wire.logs.write(TASKS, TASK_STREAM, LINE)
    wire.play('GetLogEvents: silence')
    const start = performance.now()
    await expect(reader(wire.url, 100).usage(TASK)).rejects.toThrow()
    expect(performance.now() - start).toBeLessThan(2_000)
  })
})
