/**
 * Events of AWS, read into facts about one runner.
 * ECS Task State Change: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
 * CodeBuild Build State Change, and Build Phase Change of the phase that ends when the container is up:
 * https://docs.aws.amazon.com/codebuild/latest/userguide/sample-build-notifications-ref.html
 */
import * as z from 'zod/mini'
import { stopReason } from './stops.ts'
import type { RunnerEvent } from './types.ts'

const text = z.optional(z.nullable(z.string()))

const task = z.object({
  source: z.literal('aws.ecs'),
  'detail-type': z.literal('ECS Task State Change'),
  time: text,
  detail: z.object({
    taskArn: z.string(),
    /** Set by RunTask: the name of the runner. */
    startedBy: z.string(),
    lastStatus: z.string(),
    desiredStatus: text,
    pullStartedAt: text,
    startedAt: text,
    stoppingAt: text,
    stoppedAt: text,
    stopCode: text,
    stoppedReason: text,
  }),
})

const buildDetail = z.object({
  'build-id': z.string(),
  'additional-information': z.object({
    'build-start-time': text,
    phases: z.optional(
      z.array(z.object({ 'phase-type': z.string(), 'phase-status': text, 'end-time': text })),
    ),
    environment: z.object({
      'environment-variables': z.array(z.object({ name: z.string(), value: text })),
    }),
  }),
})
const buildState = z.object({
  source: z.literal('aws.codebuild'),
  'detail-type': z.literal('CodeBuild Build State Change'),
  time: z.string(),
  detail: z.extend(buildDetail, { 'build-status': z.string() }),
})
const buildPhase = z.object({
  source: z.literal('aws.codebuild'),
  'detail-type': z.literal('CodeBuild Build Phase Change'),
  time: z.string(),
  detail: buildDetail,
})

/** Whether a container came up with the end of this phase. The build began when it was submitted, even if it had to queue. */
export function cameUp(phase: string | undefined, status: string | null | undefined): boolean {
  return phase === 'PROVISIONING' && status === 'SUCCEEDED'
}

/** Environment variable of a build that names its runner. */
export const RUNNER_VARIABLE = 'TORNADE_RUNNER'

/** @returns null for what is not an event of a runner of ours, whatever its shape. */
export function readAwsEvent(event: unknown): RunnerEvent | null {
  const ecs = task.safeParse(event)
  if (ecs.success) return taskEvent(ecs.data)
  const state = buildState.safeParse(event)
  if (state.success) return buildEvent(state.data.detail, state.data.detail['build-status'], state.data.time)
  const phase = buildPhase.safeParse(event)
  return phase.success ? buildEvent(phase.data.detail, 'IN_PROGRESS', phase.data.time) : null
}

function taskEvent({ detail, time: at }: z.output<typeof task>): RunnerEvent {
  const stopped = detail.lastStatus === 'STOPPED'
  // The warning of Spot is about a task that runs and shall not; a second event follows when it has stopped.
  const stopping = stopped || detail.desiredStatus === 'STOPPED'
  return {
    kind: 'runner',
    runner: detail.startedBy,
    providerId: detail.taskArn,
    pullStartedAt: time(detail.pullStartedAt),
    startedAt: time(detail.startedAt),
    stoppingAt: time(detail.stoppingAt) ?? (stopping && !stopped ? time(at) : null),
    stoppedAt: stopped ? (time(detail.stoppedAt) ?? time(at)) : null,
    stop: stopReason(stopped, stopping ? detail : {}),
  }
}

function buildEvent(detail: z.output<typeof buildDetail>, status: string, at: string): RunnerEvent | null {
  const information = detail['additional-information']
  const runner = information.environment['environment-variables'].find(
    ({ name }) => name === RUNNER_VARIABLE,
  )?.value
  if (!runner) return null
  const start = buildTime(information['build-start-time'])
  const stopped = status !== 'IN_PROGRESS'
  const { phases } = information
  const up = phases?.find(phase => cameUp(phase['phase-type'], phase['phase-status']))?.['end-time']
  return {
    kind: 'runner',
    runner,
    providerId: detail['build-id'],
    pullStartedAt: start,
    startedAt: phases ? buildTime(up) : stopped ? start : null,
    stoppingAt: null,
    stoppedAt: stopped ? time(at) : null,
    stop: stopped ? { code: status, reason: `build ${status.toLowerCase()}` } : null,
  }
}

/** CodeBuild writes "Sep 1, 2017 4:12:29 PM", in UTC and without saying so. */
function buildTime(value: string | null | undefined): number | null {
  return value == null ? null : time(/Z$|[+-]\d\d:?\d\d$/.test(value) ? value : `${value} UTC`)
}

function time(value: string | null | undefined): number | null {
  if (value == null) return null
  const parsed = Date.parse(value)
  return Number.isNaN(parsed) ? null : parsed
}
