/** What goes wrong in an account, and what the functions make of it as they are deployed. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { jobState } from '../../functions/core/lifecycle.ts'
import { FAULTS, type FaultName } from '../aws/wire/faults.ts'
import { type Break, json, type Reply } from './gateway.ts'
import { Deployment, type FunctionName } from './stack.ts'

const VISIBILITY = 360
/** Longer than the lease of a claim: the function's timeout and half a minute. */
const LEASE = 100

let world: Deployment
beforeAll(async () => {
  world = await Deployment.start()
}, 60_000)
afterAll(() => world.close())
afterEach(() => {
  world.meddle = null
  expect(world.faults()).toEqual([])
})

const state = async (key: string) => jobState(await world.job(key))
const registered = (key: string) =>
  [...world.github.runners.values()].filter(({ name }) => name.startsWith(`tornade-${key}-`)).length
const calls = (operation: string) => world.calls.filter(call => call.operation === operation).length

/** The runners of jobs come, run them and go. */
async function end(keys: readonly string[], labels: readonly string[]): Promise<void> {
  const jobs = keys.map(key => ({
    job: world.github.jobs.get(Number(key.split('-')[0]))!,
    runner: `tornade-${key}-1`,
  }))
  for (const { runner, job } of jobs) await world.runnerTakes(runner, job, labels)
  await world.settle()
  for (const { runner, job } of jobs) await world.runnerEnds(runner, job, labels)
  await world.settle()
  for (const key of keys) expect(await state(key)).toBe('completed')
}

/** Until the test says otherwise, a start meets the fault. */
function always(name: FaultName): void {
  const { operation, effect } = FAULTS[name]
  const reply = (): Reply => {
    if (effect.kind === 'exception')
      return json(effect.exception.status ?? 400, {
        __type: effect.exception.name,
        message: effect.exception.message,
      })
    if (effect.kind === 'failures') return json(200, { tasks: [], failures: [{ reason: effect.reason }] })
    throw new Error(`${name} cannot go on for ever`)
  }
  world.meddle = (_, asked) => (asked.operation === operation ? reply() : null)
}

describe('a read that fails once', () => {
  beforeEach(() => world.cool('launch'))

  it('of the webhook secret: the next delivery is taken', async () => {
    world.wire.play('parameters denied')
    const first = await world.queue(['tornade'])
    expect(first.answer).toEqual({ status: 500, body: { outcome: 'rejected', reason: 'internal error' } })
    const again = await world.deliver(world.payload('queued', first.job, first.labels))
    expect(again.status).toBe(202)
    await world.settle()
    await end([first.key], first.labels)
  })

  it.each<[string, readonly string[], () => void]>([
    ['of the App’s key', ['tornade'], () => world.wire.play('parameters denied')],
    [
      'of a token for the installation',
      ['tornade'],
      () => world.github.fail('apps/create-installation-access-token', { status: 500 }),
    ],
    ['of the image of a build', ['tornade', 'docker'], () => world.wire.play('parameters denied')],
    [
      'of the role of a job',
      ['tornade', 'role:deploy'],
      () => {
        // It is asked for three times.
        let left = 3
        world.meddle = (_, { service }) =>
          service === 'iam' && left-- > 0 ? json(500, { Error: 'InternalFailure' }) : null
      },
    ],
  ])('%s: the message comes again, and its job is served', async (_, labels, fail) => {
    const { key } = await world.queue(labels)
    fail()
    const { failed, error } = await world.batch('launch')
    expect({ failed: failed.length, error }).toEqual({ failed: 1, error: undefined })
    // The very next call reads it, in the same instance.
    const next = await world.queue(labels)
    expect((await world.batch('launch')).failed).toEqual([])
    expect(registered(next.key)).toBe(1)
    world.advance(VISIBILITY)
    expect((await world.batch('launch')).failed).toEqual([])
    expect(registered(key)).toBe(1)
    await end([key, next.key], labels)
  })
})

describe('the log of a runner', () => {
  it.each<FaultName>([
    'logs denied',
    'logs unavailable',
    'GetLogEvents: throttled',
    'GetLogEvents: lost after',
    'GetLogEvents: silence',
  ])('that cannot be read costs what it would have said, and nothing else: %s', async fault => {
    const labels = ['tornade']
    const { job, key } = await world.queue(labels)
    await world.settle()
    const runner = `tornade-${key}-1`
    await world.runnerTakes(runner, job, labels)
    world.wire.play(fault)
    const before = calls('GetLogEvents')
    await world.runnerEnds(runner, job, labels)
    expect(await world.settle()).toEqual([])
    expect(calls('GetLogEvents') - before).toBe(1)
    const ended = await world.runner(runner)
    expect(ended.cost).not.toBeNull()
    expect(ended.usage).toBeUndefined()
    expect(await state(key)).toBe('completed')
    expect(world.queues.events.deadLetters).toEqual([])
  })
})

/** DynamoDB refuses this of one item from now on. */
function refuse(operation: 'GetItem' | 'PutItem', key: string): void {
  const __type = 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException'
  world.meddle = (_, call) =>
    call.operation === operation && call.body.includes(`"${key}"`)
      ? json(400, { __type, message: 'no' })
      : null
}

describe('a batch of ten', () => {
  it.each<[string, (key: string) => void]>([
    ['whose claim cannot be written', key => refuse('PutItem', `job#${key}`)],
    [
      'whom GitHub does not register',
      key => {
        world.meddle = (_, { service, operation, body }) =>
          service === 'github' && operation.endsWith('generate-jitconfig') && body.includes(`tornade-${key}-`)
            ? json(502, { message: 'Server Error' }, 'application/json')
            : null
      },
    ],
  ])('of which the third is one %s fails the third only', async (_, fail) => {
    const labels = ['tornade']
    const jobs = []
    for (let count = 0; count < 10; count++) jobs.push(await world.queue(labels))
    fail(jobs[2]!.key)
    const { taken, failed } = await world.batch('launch')
    expect(taken).toHaveLength(10)
    expect(failed).toEqual([taken[2]!.id])
    expect(jobs.map(({ key }) => registered(key))).toEqual([1, 1, 0, 1, 1, 1, 1, 1, 1, 1])
    world.meddle = null
    world.advance(VISIBILITY)
    expect((await world.batch('launch')).failed).toEqual([])
    expect(jobs.map(({ key }) => registered(key))).toEqual(Array(10).fill(1))
    const tasks = [...world.wire.ecs.tasks.values()].map(({ input }) => input.startedBy)
    for (const { key } of jobs) expect(tasks.filter(name => name === `tornade-${key}-1`)).toHaveLength(1)
    await end(
      jobs.map(({ key }) => key),
      labels,
    )
  })
})

describe('a batch of ten for lifecycle', () => {
  it.each<[string, (key: string) => void]>([
    ['whose job cannot be written', key => refuse('PutItem', `job#${key}`)],
    ['whose runner cannot be read', key => refuse('GetItem', `runner#tornade-${key}-1`)],
  ])('of which the third is one %s fails the third only', async (_, fail) => {
    const labels = ['tornade']
    const queued: Awaited<ReturnType<typeof world.queue>>[] = []
    for (let count = 0; count < 10; count++) queued.push(await world.queue(labels))
    await world.settle()
    for (const { key, job } of queued) {
      await world.runnerTakes(`tornade-${key}-1`, job, labels)
      // What ECS says of it, so that the ten are a batch.
      const { messages } = world.queues.events
      messages.splice(messages.length - 2, 1)
    }
    fail(queued[2]!.key)
    const { taken, failed } = await world.batch('events')
    expect(taken).toHaveLength(10)
    expect(failed).toEqual([taken[2]!.id])
    const running = async () => Promise.all(queued.map(({ key }) => state(key)))
    expect(await running()).toEqual(queued.map((_, index) => (index === 2 ? 'launching' : 'running')))
    world.meddle = null
    world.advance(VISIBILITY)
    expect((await world.batch('events')).failed).toEqual([])
    expect(await running()).toEqual(Array(10).fill('running'))
    for (const { key, job } of queued) await world.runnerEnds(`tornade-${key}-1`, job, labels)
    await world.settle()
  })
})

describe('an account', () => {
  it.each<[string, FaultName | null, readonly string[], RegExp]>([
    ['without the service-linked role', 'no service-linked role', ['tornade'], /create-service-linked-role/],
    ['whose quota is below one task', 'cpu above limit', ['tornade'], /Service Quotas/],
    ['that may run no builds', 'no builds allowed', ['tornade', 'docker'], /Service Quotas/],
    [
      'without the image of tasks',
      null,
      ['tornade', 'arm64'],
      /TaskDefinition not found\. .*never built.*start-build --project-name tornade-STAGE-image-arm64/,
    ],
    [
      'without the image of builds',
      null,
      ['tornade', 'arm64', 'docker'],
      /no CodeBuild image for arm64\. .*never built.*image-arm64/,
    ],
  ])('%s refuses the job once, by name', async (_, fault, labels, message) => {
    if (fault) world.wire.play(fault)
    const { taskDefinitions } = world.wire.ecs
    const { parameters } = world.wire.ssm
    const [family, image] = ['tornade-dev-arm64', '/tornade/dev/images/codebuild-arm64']
    const kept = [taskDefinitions.get(family)!, parameters.get(image)!] as const
    if (!fault) {
      taskDefinitions.delete(family)
      parameters.delete(image)
    }
    const before = world.metrics()
    const { key, job } = await world.queue(labels)
    const message0 = world.queues.launch.messages.at(-1)!
    await world.settle()
    const { refused } = await world.job(key)
    expect(refused).toMatchObject({
      code: 'provider-refused',
      problems: [{ message: expect.stringMatching(message) }],
    })
    expect(world.github.checks.at(-1)!.summary.replaceAll('`', '')).toMatch(message)
    expect(job.conclusion).toBe('cancelled')
    expect(message0.receives).toBe(1)
    const after = world.metrics()
    for (const name of ['JobsRefused', 'StartFailures'])
      expect({ name, count: after[name]! - (before[name] ?? 0) }).toEqual({ name, count: 1 })
    // And for good.
    const started = calls('RunTask') + calls('StartBuild')
    world.advance(3600)
    await world.sweep()
    await world.settle()
    expect(calls('RunTask') + calls('StartBuild')).toBe(started)
    expect(registered(key)).toBe(0)
    expect((await world.gate())!.holders).toEqual({})
    taskDefinitions.set(family, kept[0])
    parameters.set(image, kept[1])
  })

  it('whose quota is smaller than the job names it, and has it wait for half an hour, not for ever', async () => {
    always('vcpu quota')
    const { key, job } = await world.queue(['tornade'])
    const before = world.metrics()
    await world.settle()
    const first = (await world.job(key)).deferred!
    expect(first).toMatchObject({ reason: 'quota', message: expect.stringMatching(/limit.*L-3032A538/) })
    for (let minutes = 0; minutes < 60 && (await state(key)) === 'deferred'; minutes++) {
      expect((await world.job(key)).deferred!.since).toBe(first.since)
      world.advance(60)
      await world.settle()
    }
    expect((await world.job(key)).refused).toMatchObject({
      code: 'quota',
      problems: [{ message: expect.stringMatching(/L-3032A538.*smaller than this job needs/) }],
    })
    expect(job.conclusion).toBe('cancelled')
    expect(world.github.checks.at(-1)!.summary.replaceAll('\\', '')).toMatch(/L-3032A538/)
    const counted = (name: string) => (world.metrics()[name] ?? 0) - (before[name] ?? 0)
    expect(counted('StartsOverQuota')).toBeGreaterThanOrEqual(5)
    expect(counted('StartsOverQuota')).toBe(counted('StartFailures'))
    expect(counted('JobsDeferred')).toBe(1)
    expect((await world.gate())!.holders).toEqual({})
    // Whoever comes once it was raised is served, with the next look at it.
    world.meddle = null
    const next = await world.queue(['tornade'])
    await world.settle()
    for (let minutes = 0; minutes < 16 && (await state(next.key)) === 'deferred'; minutes++) {
      world.advance(60)
      await world.settle()
    }
    await end([next.key], next.labels)
  })

  it.each<[string, FaultName, readonly string[], string]>([
    ['without capacity', 'no capacity', ['tornade'], 'no-capacity'],
    ['with a full queue of builds', 'build queue full', ['tornade', 'docker'], 'quota'],
  ])('%s has the job wait, longer and longer, and serves it in the end', async (_, fault, labels, reason) => {
    always(fault)
    const { key } = await world.queue(labels)
    const message = world.queues.launch.messages.at(-1)!
    const before = calls('RunTask') + calls('StartBuild')
    const deferred = world.metrics().JobsDeferred ?? 0
    await world.settle()
    expect(await world.job(key)).toMatchObject({ deferred: { reason } })
    expect((await world.job(key)).deferred!.message).not.toBe('')
    for (let minutes = 0; minutes < 30; minutes++) {
      world.advance(60)
      await world.settle()
    }
    expect(await state(key)).toBe('deferred')
    const tries = calls('RunTask') + calls('StartBuild') - before
    // Three times soon, and then a probe after 1, 2, 4, 8 and 15 minutes.
    expect(tries).toBeGreaterThan(5)
    expect(tries).toBeLessThan(14)
    expect(world.metrics().JobsDeferred! - deferred).toBe(1)
    expect(message.receives).toBe(1)
    expect(world.queues.launch.deadLetters).toEqual([])
    world.meddle = null
    world.advance(600)
    await world.settle()
    await end([key], labels)
  })

  it('whose image cannot be pulled has four starts, and then the job is refused', async () => {
    const { key } = await world.queue(['tornade'])
    const before = calls('RunTask')
    await world.settle()
    for (let generation = 1; generation <= 6; generation++) {
      const started = world.started(`tornade-${key}-${generation}`)
      if (!started) break
      world.wire.ecs.stopped(started.arn, 'TaskFailedToStart', 'CannotPullContainerError: not found', null)
      await world.settle()
      world.advance(120)
      await world.settle()
    }
    expect(calls('RunTask') - before).toBe(4)
    expect((await world.job(key)).refused).toMatchObject({ code: 'start-failed' })
    expect((await world.runner(`tornade-${key}-1`)).stop).toMatchObject({ code: 'TaskFailedToStart' })
    expect(registered(key)).toBe(0)
  })
})

describe('Spot that takes a runner back', () => {
  it('in the middle of a job has that run again, on demand', async () => {
    const labels = ['tornade', 'spot']
    const { job, key } = await world.queue(labels)
    await world.settle()
    await world.runnerTakes(`tornade-${key}-1`, job, labels)
    await world.settle()
    const { arn } = world.started(`tornade-${key}-1`)!
    world.advance(60)
    world.wire.ecs.stopping(arn, 'SpotInterruption', 'Your Spot Task was interrupted.')
    world.advance(2)
    world.github.finishJob(job, 'failure')
    world.github.runners.delete(job.runner!.id)
    await world.deliver(world.payload('completed', job, labels))
    world.wire.ecs.stopped(arn)
    await world.settle()
    expect(await world.job(key)).toMatchObject({ lostTo: 'spot' })
    world.advance(15)
    await world.settle()
    const again = [...world.github.jobs.values()].filter(({ runId }) => runId === job.runId)
    expect(again.map(({ status }) => status)).toEqual(['completed', 'queued'])
    await world.deliver(world.payload('queued', again[1]!, labels, { attempt: 2 }))
    await world.settle()
    const next = `${again[1]!.id}-2`
    expect(await world.job(next)).toMatchObject({ rerunOf: key, spec: { capacity: 'spot' } })
    expect((await world.runner(`tornade-${next}-1`)).launch?.shape.capacity).toBe('on-demand')
    // A sweep finds nothing left to ask for.
    world.advance(600)
    await world.sweep()
    await world.settle()
    expect([...world.github.jobs.values()].filter(({ runId }) => runId === job.runId)).toHaveLength(2)
    world.github.finishJob(again[1]!, 'success')
    await world.deliver(world.payload('completed', again[1]!, labels, { attempt: 2 }))
    world.stops(`tornade-${next}-1`)
    await world.settle()
  })
})

describe('messages that nobody sent', () => {
  const ODD = [
    'no JSON',
    '',
    'null',
    '[]',
    '42',
    '{}',
    '{"kind":"nothing of ours"}',
    ...['job', 'resume', 'relaunch', 'stop-if-idle', 'rerun'].map(kind => JSON.stringify({ kind })),
    JSON.stringify({ version: '0', source: 'aws.ecs', 'detail-type': 'ECS Task State Change', detail: {} }),
    JSON.stringify({
      version: '0',
      source: 'aws.ec2',
      'detail-type': 'EC2 Instance State-change Notification',
    }),
  ]

  it('do not keep launch from its jobs', async () => {
    const { key, labels } = await world.queue(['tornade'])
    for (const body of ODD) world.queues.launch.put(body, world.now())
    expect(await world.settle()).toEqual([])
    expect(registered(key)).toBe(1)
    await end([key], labels)
  })

  it('do not keep lifecycle from its events', async () => {
    const { key, labels, job } = await world.queue(['tornade'])
    await world.settle()
    await world.runnerTakes(`tornade-${key}-1`, job, labels)
    for (const body of ODD) world.queues.events.put(body, world.now())
    expect(await world.settle()).toEqual([])
    expect(await state(key)).toBe('running')
    await world.runnerEnds(`tornade-${key}-1`, job, labels)
    await world.settle()
  })

  /** Half an event has no key by which lifecycle could put it beside others of its job; it fails alone. */
  it('do not keep lifecycle from its events, if they are half of one', async () => {
    const { key, labels, job } = await world.queue(['tornade'])
    await world.settle()
    await end([key], labels)
    await world.deliver(world.payload('completed', job, labels))
    const half = world.queues.events.put('{"kind":"completed"}', world.now())
    const { taken, failed } = await world.batch('events')
    // Neither is in the way of other tests.
    world.queues.events.messages.splice(0)
    expect({ taken: taken.length, failed }).toEqual({ taken: 2, failed: [half.id] })
  })

  it('end as dead letters after five tries, or are done with', async () => {
    for (let tries = 0; tries < 6; tries++) {
      world.advance(VISIBILITY)
      await world.settle()
    }
    const { launch, events } = world.queues
    expect([...launch.messages, ...events.messages].filter(({ body }) => ODD.includes(body))).toEqual([])
    for (const { body, receives } of [...launch.deadLetters, ...events.deadLetters]) {
      expect(ODD).toContain(body)
      expect(receives).toBe(5)
    }
  })
})

describe('launch, cut off', () => {
  beforeAll(async () => {
    await world.close()
    world = await Deployment.start()
    world.keepSpare('launch')
  })

  const PLAIN = ['tornade']
  const LOOKED_UP = ['tornade', 'docker', 'role:deploy']

  /** What launch asks for one job; `cold`: an instance that knows nothing yet. */
  async function requests(labels: readonly string[], cold: boolean): Promise<string[]> {
    if (cold) await world.cool('launch')
    const { key } = await world.queue(labels)
    const from = world.calls.length
    await world.settle()
    const asked = world.calls.slice(from).filter(({ caller }) => caller === 'launch')
    await end([key], labels)
    return asked.map(({ service, operation }) => `${service} ${operation}`)
  }

  /** A job whose launch is cut off at its n-th request. */
  async function cut(labels: readonly string[], number: number, how: Break) {
    if (how.dies) await world.cool('launch')
    const { key } = await world.queue(labels)
    let count = 0
    let which = 'none'
    world.meddle = (caller: FunctionName, { service, operation }) => {
      if (caller !== 'launch' || ++count !== number) return null
      which = `${service} ${operation}`
      return how
    }
    const { taken } = await world.batch('launch')
    expect(taken).toHaveLength(1)
    world.meddle = null
    return { key, which, labels }
  }

  /** All comes again that comes again, and then each job has one runner, one registration, and in the end nothing. */
  async function recovered(cuts: readonly Awaited<ReturnType<typeof cut>>[]): Promise<void> {
    world.advance(LEASE)
    await world.sweep()
    await world.settle()
    world.advance(VISIBILITY - LEASE)
    await world.settle()
    const names = [
      ...[...world.wire.ecs.tasks.values()].map(({ input }) => input.startedBy),
      ...[...world.wire.codebuild.builds.values()].map(
        ({ input }) =>
          input.environmentVariablesOverride?.find(({ name }) => name === 'TORNADE_RUNNER')?.value,
      ),
    ]
    const found = cuts.map(({ key, which }) => ({
      which,
      registered: registered(key),
      started: names.filter(name => name?.startsWith(`tornade-${key}-`)).length,
    }))
    expect(found).toEqual(cuts.map(({ which }) => ({ which, registered: 1, started: 1 })))
    for (const labels of new Set(cuts.map(one => one.labels)))
      await end(
        cuts.filter(one => one.labels === labels).map(({ key }) => key),
        labels,
      )
    await world.sweep()
    world.advance(60)
    await world.sweep()
    await world.settle()
    const { launch, events } = world.queues
    expect({
      holders: (await world.gate())!.holders,
      registrations: world.github.runners.size,
      tickets: (await world.items('TicketsTable')).filter(({ j }) => j).length,
      messages: [launch.messages, launch.deadLetters, events.messages, events.deadLetters],
    }).toEqual({ holders: {}, registrations: 0, tickets: 0, messages: [[], [], [], []] })
  }

  // To die before a request is to die after the one before it.
  it('by its death after each of its requests in turn, starts and registers one runner', async () => {
    const asked = await requests(PLAIN, true)
    const cuts = []
    for (let number = 1; number <= asked.length; number++)
      cuts.push(await cut(PLAIN, number, { lost: 'after', dies: true }))
    // Of requests at the same time either may be the first.
    expect(cuts.map(({ which }) => which).toSorted()).toEqual(asked.toSorted())
    expect(asked).toEqual(expect.arrayContaining(['ssm GetParameters', 'ecs RunTask', 'dynamodb PutItem']))
    await recovered(cuts)
  }, 60_000)

  it('by its death after what only some jobs need, starts and registers one runner', async () => {
    const asked = await requests(LOOKED_UP, true)
    const cuts = []
    for (const [index, request] of asked.entries())
      if (/^(iam|ssm|codebuild) /.test(request))
        cuts.push(await cut(LOOKED_UP, index + 1, { lost: 'after', dies: true }))
    expect(cuts.map(({ which }) => which)).toEqual(
      expect.arrayContaining(['iam GetRole', 'ssm GetParameters', 'codebuild StartBuild']),
    )
    await recovered(cuts)
  }, 60_000)

  it.each(['before', 'after'] as const)(
    'from the answer to each of its requests, lost %s it was done, starts and registers one runner',
    async lost => {
      await requests(PLAIN, false)
      const asked = await requests(PLAIN, false)
      const cuts = []
      for (let number = 1; number <= asked.length; number++) cuts.push(await cut(PLAIN, number, { lost }))
      expect(cuts.map(({ which }) => which).toSorted()).toEqual(asked.toSorted())
      await recovered(cuts)
    },
    60_000,
  )
})
