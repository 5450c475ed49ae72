/** Whole jobs on their way through the deployed functions, from the first delivery to the stop of the runner. */
import { randomUUID } from 'node:crypto'
import { sign } from '@octokit/webhooks-methods'
import type { RepositoryRef } from '../functions/core/types.ts'
import { workflowJobPayload } from '../local/payloads.ts'
import { type Cloud, type Lambda, type QueueName, type Tally, WEBHOOK_SECRET } from './cloud.ts'

export type Step = 'webhook' | 'launch' | 'lifecycle' | 'runner'

/** What a function did for all jobs of a way. */
export interface Usage {
  readonly invocations: number
  /** Messages that it was called with. */
  readonly messages: number
  readonly calls: Tally
  readonly cpuMilliseconds: number
  /** Its own lines, without what Lambda itself writes. */
  readonly logLines: number
  readonly logBytes: number
}

export interface Way {
  readonly jobs: number
  readonly batch: number
  readonly steps: Readonly<Record<Step, Usage>>
  /** Bytes of the gate's item while all of the jobs had their runners. */
  readonly gateBytes: number
}

export interface Functions {
  readonly webhook: Lambda
  readonly launch: Lambda
  readonly lifecycle: Lambda
}

let lastJob = 41_000_000_000

/**
 * @param batch messages that a function gets at once; what comes first is done for all jobs before what comes next, so that
 * with a batch of one and one job nothing is shared, and with many jobs all their runners live at the same time
 */
export async function goTheWay(
  cloud: Cloud,
  functions: Functions,
  repositories: readonly RepositoryRef[],
  jobs: number,
  { batch, labels }: { readonly batch: number; readonly labels: readonly string[] },
): Promise<Way> {
  const steps: Record<Step, Usage> = {
    webhook: NOTHING,
    launch: NOTHING,
    lifecycle: NOTHING,
    runner: NOTHING,
  }
  const measured = async (step: Step, events: readonly unknown[], messages: number) => {
    const before = cloud.tally()
    const { logged, work } = callOf(functions, step)
    const wrote = logged()
    const cpuMilliseconds = await work(events)
    const after = logged()
    steps[step] = sum(steps[step], {
      invocations: events.length,
      messages,
      calls: difference(cloud.tally(), before),
      cpuMilliseconds,
      logLines: after.lines - wrote.lines,
      logBytes: after.bytes - wrote.bytes,
    })
  }
  const deliver = async (facts: readonly Parameters<typeof workflowJobPayload>[0][]) => {
    const events = await Promise.all(facts.map(one => delivery(one)))
    await measured('webhook', events, 0)
  }
  const consume = async (queue: QueueName, step: 'launch' | 'lifecycle') => {
    const bodies = cloud.queues[queue].splice(0)
    const events = chunks(bodies, batch).map(some => ({ Records: some.map(record) }))
    await measured(step, events, bodies.length)
  }

  const now = Date.now()
  const queued = Array.from({ length: jobs }, () => {
    const jobId = ++lastJob
    const repository = repositories[jobId % repositories.length]!
    return {
      jobId,
      runId: jobId - 24_000_000_000,
      labels,
      createdAt: now,
      repository: { ...repository, ...OWNER },
    }
  })
  // Before it may use a role, GitHub is asked about the run.
  for (const { runId, repository } of queued)
    cloud.github.runs.set(runId, {
      id: runId,
      repositoryId: repository.id,
      attempt: 1,
      event: 'push',
      headBranch: 'main',
      headRepositoryId: repository.id,
      path: '.github/workflows/ci.yml',
    })
  await deliver(queued.map(job => ({ ...job, action: 'queued' })))
  const known = new Set([...cloud.wire.ecs.tasks.keys(), ...cloud.wire.codebuild.builds.keys()])
  await consume('launch', 'launch')
  const started = [...cloud.wire.ecs.tasks.keys(), ...cloud.wire.codebuild.builds.keys()].filter(
    arn => !known.has(arn),
  )
  if (started.length !== jobs) throw new Error(`${started.length} runners were started for ${jobs} jobs`)
  const gateBytes = cloud.itemBytes('pk', 'gate')
  await measured('runner', started, 0)
  const { ecs, codebuild } = cloud.wire
  const isTask = (arn: string) => ecs.tasks.has(arn)
  for (const arn of started)
    for (const event of isTask(arn) ? [ecs.run(arn)] : [codebuild.started(arn), codebuild.provisioned(arn)])
      cloud.queues.events.push(JSON.stringify(event))
  await consume('events', 'lifecycle')

  const runners = new Map([...cloud.github.runners.values()].map(({ id, name }) => [name, { id, name }]))
  const running = queued.map(job => {
    const found = [...runners.values()].find(({ name }) => name.includes(`-${job.jobId}-`))
    if (!found) throw new Error(`GitHub has no runner for job ${job.jobId}`)
    return { ...job, runner: found, startedAt: now + 1000, completedAt: null }
  })
  await deliver(running.map(job => ({ ...job, action: 'in_progress' })))
  await consume('events', 'lifecycle')
  await deliver(running.map(job => ({ ...job, action: 'completed', completedAt: now + 2000 })))
  await consume('events', 'lifecycle')
  for (const { runner } of running) cloud.github.runners.delete(runner.id)
  for (const arn of started)
    cloud.queues.events.push(JSON.stringify(isTask(arn) ? ecs.stopped(arn) : codebuild.ended(arn)))
  await consume('events', 'lifecycle')
  const left = [...cloud.queues.launch, ...cloud.queues.events]
  if (left.length > 0) throw new Error(`messages that nobody expected: ${left.join('\n')}`)
  return { jobs, batch, steps, gateBytes }

  function callOf(by: Functions, step: Step) {
    if (step === 'runner')
      return {
        logged: () => ({ lines: 0, bytes: 0 }),
        work: async (arns: readonly unknown[]) => {
          for (const arn of arns) await cloud.takeTicket(arn as string)
          return 0
        },
      }
    const lambda = by[step]
    return {
      logged: () => lambda.logged(),
      work: async (events: readonly unknown[]) => {
        const { cpuMilliseconds, results } = await lambda.call(events)
        const failed = results.filter(result => !isFine(result))
        if (failed.length > 0)
          throw new Error(`${step} answered ${JSON.stringify(failed[0])}:\n${lambda.logText().slice(-4000)}`)
        return cpuMilliseconds
      },
    }
  }
}

/** Sweeps of a stack in which nothing happens. */
export async function sweepTimes(cloud: Cloud, sweep: Lambda, times: number): Promise<Usage> {
  const [before, wrote] = [cloud.tally(), sweep.logged()]
  const { cpuMilliseconds } = await sweep.call(Array.from({ length: times }, () => ({})))
  const after = sweep.logged()
  return {
    invocations: times,
    messages: 0,
    calls: difference(cloud.tally(), before),
    cpuMilliseconds,
    logLines: after.lines - wrote.lines,
    logBytes: after.bytes - wrote.bytes,
  }
}

/** An event of the HTTP API, as GitHub's delivery causes it. */
export async function delivery(facts: Parameters<typeof workflowJobPayload>[0]): Promise<unknown> {
  const body = JSON.stringify(workflowJobPayload(facts))
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'GitHub-Hookshot/044aadd',
    'x-github-event': 'workflow_job',
    'x-github-delivery': randomUUID(),
    'x-hub-signature-256': await sign(WEBHOOK_SECRET, body),
  }
  return {
    version: '2.0',
    routeKey: 'ANY /webhook',
    rawPath: '/webhook',
    rawQueryString: '',
    headers,
    requestContext: { http: { method: 'POST', path: '/webhook' } },
    body,
    isBase64Encoded: false,
  }
}

const OWNER = { ownerId: 9919, ownerType: 'Organization', defaultBranch: 'main' } as const

function record(body: string) {
  return { messageId: randomUUID(), body, attributes: { ApproximateReceiveCount: '1' } }
}

function isFine(result: unknown): boolean {
  const { statusCode, batchItemFailures } = result as { statusCode?: number; batchItemFailures?: unknown[] }
  return statusCode === 202 || batchItemFailures?.length === 0
}

const NOTHING: Usage = {
  invocations: 0,
  messages: 0,
  calls: new Map(),
  cpuMilliseconds: 0,
  logLines: 0,
  logBytes: 0,
}

function sum(a: Usage, b: Usage): Usage {
  const names = new Set([...a.calls.keys(), ...b.calls.keys()])
  return {
    invocations: a.invocations + b.invocations,
    messages: a.messages + b.messages,
    calls: new Map([...names].map(name => [name, (a.calls.get(name) ?? 0) + (b.calls.get(name) ?? 0)])),
    cpuMilliseconds: a.cpuMilliseconds + b.cpuMilliseconds,
    logLines: a.logLines + b.logLines,
    logBytes: a.logBytes + b.logBytes,
  }
}

/** Several ways as one. */
export function together(ways: readonly Way[]): Way {
  const [first] = ways
  return {
    jobs: ways.reduce((all, { jobs }) => all + jobs, 0),
    batch: first!.batch,
    gateBytes: Math.max(...ways.map(({ gateBytes }) => gateBytes)),
    steps: {
      webhook: ways.map(({ steps }) => steps.webhook).reduce(sum),
      launch: ways.map(({ steps }) => steps.launch).reduce(sum),
      lifecycle: ways.map(({ steps }) => steps.lifecycle).reduce(sum),
      runner: ways.map(({ steps }) => steps.runner).reduce(sum),
    },
  }
}

function difference(after: Tally, before: Tally): Tally {
  return new Map(
    [...after]
      .map(([name, count]): [string, number] => [name, count - (before.get(name) ?? 0)])
      .filter(([, count]) => count !== 0),
  )
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}
