/** What the adapters of ECS and CodeBuild ask for, and how they read what comes back. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AwsCompute } from '../../functions/aws/compute.ts'
import { readAwsEvent } from '../../functions/core/aws-events.ts'
import { guardPolicy, LONGEST_POLICY, policyLength } from '../../functions/core/guard.ts'
import { CODEBUILD_TYPES, FARGATE_SIZES } from '../../functions/core/sizes.ts'
import type { StartRequest } from '../../functions/core/types.ts'
import type { StartOutcome } from '../../functions/ports.ts'
import { shape } from '../support/facts.ts'
import type { FaultName } from './wire/faults.ts'
import { type WireStack, wireClients, wireStack } from './wire/stack.ts'

const ATTEMPTS = 3
const START = Date.UTC(2026, 10, 2, 9, 0, 0, 250)
const MINUTE = 60_000

const task: StartRequest = {
  runner: 'tornade-41-1-1',
  token: 'tornade-41-1-1-t1',
  repositoryId: 7001,
  repository: 'acme/app',
  shape: shape(),
  role: null,
  image: null,
  docker: false,
  build: false,
  timeoutMinutes: 360,
}
const build: StartRequest = {
  ...task,
  docker: true,
  shape: {
    ...task.shape,
    compute: 'codebuild',
    capacity: null,
    diskGiB: 64,
    computeType: 'BUILD_GENERAL1_SMALL',
  },
}

let stack: WireStack
let now: number
beforeEach(async () => {
  now = START
  stack = await wireStack({ now: () => now })
})
afterEach(async () => {
  await stack.wire.close()
  expect(stack.wire.refused).toEqual([])
})

/** An adapter that soon stops waiting for an answer. */
const hasty = () => new AwsCompute(stack.settings, wireClients(stack.wire, 100))
const lastInput = () => stack.wire.calls.at(-1)!.input
async function started(request: StartRequest, compute = stack.compute) {
  const outcome = await compute.start(request)
  expect(outcome).toMatchObject({ outcome: 'started' })
  return outcome as Extract<StartOutcome, { outcome: 'started' }>
}

describe('a task', () => {
  it('is asked for in one call', async () => {
    const { providerId, ticketKey } = await started(task)
    expect(stack.wire.operations).toEqual(['RunTask'])
    expect(lastInput()).toEqual({
      cluster: stack.wire.ecs.clusterArn,
      taskDefinition: 'arn:aws:ecs:us-east-1:123456789012:task-definition/tornade-test-x64:1',
      capacityProviderStrategy: [{ capacityProvider: 'FARGATE', weight: 1 }],
      platformVersion: '1.4.0',
      count: 1,
      startedBy: 'tornade-41-1-1',
      clientToken: 'tornade-41-1-1-t1',
      networkConfiguration: {
        awsvpcConfiguration: {
          subnets: ['subnet-0aaa', 'subnet-0bbb', 'subnet-0ccc'],
          securityGroups: ['sg-0aaa'],
          assignPublicIp: 'ENABLED',
        },
      },
      overrides: {
        cpu: '2048',
        memory: '4096',
        taskRoleArn: 'arn:aws:iam::123456789012:role/tornade-test-runner',
        containerOverrides: [
          {
            name: 'runner',
            environment: [
              { name: 'TORNADE_RUNNER', value: 'tornade-41-1-1' },
              { name: 'TORNADE_COMPUTE', value: 'fargate' },
              { name: 'TORNADE_ROLE_ID', value: 'AROAPLAIN00000000000' },
              { name: 'TORNADE_TIMEOUT_MINUTES', value: '360' },
            ],
          },
        ],
      },
      tags: [
        { key: 'tornade:stage', value: 'test' },
        { key: 'tornade:repository-id', value: '7001' },
        { key: 'tornade:repository', value: 'acme/app' },
      ],
    })
    expect(providerId).toMatch(/^arn:aws:ecs:us-east-1:123456789012:task\/tornade-test\/[0-9a-f]{32}$/)
    expect(ticketKey).toBe(`AROAPLAIN00000000000:${providerId.split('/').at(-1)}`)
  })

  it('has the role, image, capacity, disk and size of its request', async () => {
    const { ticketKey } = await started({
      ...task,
      role: 'deploy',
      image: 'node',
      build: true,
      shape: { ...task.shape, arch: 'arm64', capacity: 'spot', cpu: 0.25, memoryGiB: 0.5, diskGiB: 50 },
    })
    expect(ticketKey).toMatch(/^AROADEPLOY0000000000:[0-9a-f]{32}$/)
    expect(lastInput()).toMatchObject({
      taskDefinition:
        'arn:aws:ecs:us-east-1:123456789012:task-definition/tornade-test-arm64-image-node-build:1',
      capacityProviderStrategy: [{ capacityProvider: 'FARGATE_SPOT', weight: 1 }],
      overrides: {
        cpu: '256',
        memory: '512',
        ephemeralStorage: { sizeInGiB: 50 },
        taskRoleArn: 'arn:aws:iam::123456789012:role/tornade/test/jobs/tornade-test-deploy',
        containerOverrides: [
          {
            environment: expect.arrayContaining([
              { name: 'TORNADE_ROLE', value: 'deploy' },
              { name: 'TORNADE_ROLE_ID', value: 'AROADEPLOY0000000000' },
              { name: 'TORNADE_BUILD', value: 'true' },
            ]),
          },
        ],
      },
    })
  })

  it.each([
    ['aws:a/b', 'aws_a/b'],
    ['acme/naïve<app>\n', 'acme/na_ve_app_'],
    ['x'.repeat(300), `${'x'.repeat(255)}_`],
    ['', ''],
  ])('is tagged with a repository called %j as %j', async (repository, value) => {
    await started({ ...task, repository })
    expect(lastInput().tags).toContainEqual({ key: 'tornade:repository', value })
  })

  it('of a request that does not name its repository is tagged with its id alone', async () => {
    const { repository: _, ...unnamed } = task
    await started(unnamed)
    expect(lastInput().tags).toEqual([
      { key: 'tornade:stage', value: 'test' },
      { key: 'tornade:repository-id', value: '7001' },
    ])
  })

  it('is started with the execution role of the settings, and without tags where there are none', async () => {
    const { tags: _, ...settings } = stack.settings
    const execution = 'arn:aws:iam::123456789012:role/tornade-test-execution'
    const compute = new AwsCompute(
      { ...settings, roles: { ...settings.roles, execution } },
      wireClients(stack.wire),
    )
    await started(task, compute)
    expect(lastInput()).toMatchObject({ overrides: { executionRoleArn: execution } })
    expect(lastInput()).not.toHaveProperty('tags')
  })

  it('tells its runner what the settings add, as far as ECS takes it', async () => {
    const telling = (length: number) =>
      new AwsCompute(
        {
          ...stack.settings,
          variables: ({ runner }) => ({ TORNADE_POLICY: `${runner} ${'x'.repeat(length)}` }),
        },
        wireClients(stack.wire),
      )
    await started(task, telling(7_000))
    expect(lastInput()).toMatchObject({
      overrides: {
        containerOverrides: [
          {
            environment: expect.arrayContaining([
              { name: 'TORNADE_POLICY', value: expect.stringMatching(/^tornade-41-1-1 x{7000}$/) },
              { name: 'TORNADE_RUNNER', value: 'tornade-41-1-1' },
            ]),
          },
        ],
      },
    })
    expect(await telling(9_000).start(task)).toMatchObject({
      outcome: 'failed',
      kind: 'permanent',
      message: expect.stringContaining('ECS takes 8192'),
    })
    await started(build, telling(9_000))
  })

  it('is told its rights in full, as long as tornade.yml may make them', async () => {
    const refs = Array.from({ length: 2 }, (_, index) => `refs/heads/${'x'.repeat(40)}${index}`)
    const rights = () =>
      guardPolicy(
        { repositoryId: Number.MAX_SAFE_INTEGER, role: 'deploy' },
        { forks: 'refuse', roles: { deploy: { repositories: [], refs, events: [] } } },
      )
    while (policyLength(rights()) < LONGEST_POLICY) refs.push(`refs/heads/${refs.length}`)
    const longest = {
      ...task,
      runner: 'x'.repeat(60),
      token: 'x'.repeat(64),
      build: true,
      shape: { ...task.shape, diskGiB: 200, cpu: 16, memoryGiB: 120 },
      role: 'deploy',
      timeoutMinutes: 2160,
    }
    const variables = () => ({ TORNADE_POLICY: JSON.stringify(rights()), TORNADE_IDLE_SECONDS: '100000' })
    await started(longest, new AwsCompute({ ...stack.settings, variables }, wireClients(stack.wire)))
    const { overrides } = lastInput() as { overrides: unknown }
    // Room for names of roles, and for what a runner may be told one day.
    expect(JSON.stringify(overrides).length).toBeLessThan(8192 - 300)
  })

  it('fits ECS in every size there is', async () => {
    for (const { cpu, memoryGiB } of FARGATE_SIZES)
      for (const memory of memoryGiB) {
        const runner = `tornade-${cpu * 4}-${memory * 2}-1`
        await started({ ...task, runner, token: runner, shape: { ...task.shape, cpu, memoryGiB: memory } })
      }
  })

  it.each<[FaultName, string, RegExp]>([
    ['no capacity', 'capacity', /^Capacity is unavailable/],
    ['RESOURCE:CPU', 'capacity', /^RESOURCE:CPU$/],
    ['RESOURCE:MEMORY', 'capacity', /^RESOURCE:MEMORY$/],
    ['RESOURCE:ENI', 'capacity', /^RESOURCE:ENI$/],
    ['AGENT', 'capacity', /^AGENT$/],
    ['internal error', 'capacity', /^Internal error/],
    ['vcpu quota', 'quota', /^You’ve reached the limit.*L-3032A538/],
    ['task quota', 'quota', /^You’ve reached the limit/],
    ['cpu above limit', 'permanent', /CPU configuration is above your limit.*Service Quotas/],
    ['memory above limit', 'permanent', /MEMORY configuration is above your limit/],
    ['unheard of', 'permanent', /^ATTRIBUTE: the task needs what nothing has$/],
    ['no service-linked role', 'permanent', /service linked role.*create-service-linked-role/],
    ['role not to be assumed', 'permanent', /unable to assume the role.*ecs-tasks\.amazonaws\.com/],
    ['role not to be passed', 'permanent', /iam:PassRole.*job roles/],
    [
      'client error',
      'permanent',
      /^ClientException: TaskDefinition is inactive\. .*never built.*start-build --project-name tornade-STAGE-image-.*docs\/install\.md/,
    ],
    ['no cluster', 'permanent', /^ClusterNotFoundException: Cluster not found\.$/],
    ['blocked', 'permanent', /^BlockedException: /],
    ['platform incompatible', 'permanent', /^PlatformTaskDefinitionIncompatibilityException: /],
    ['platform unknown', 'permanent', /^PlatformUnknownException: /],
    ['unsupported', 'permanent', /^UnsupportedFeatureException: /],
    ['security group look-up throttled', 'throttled', /RequestLimitExceeded/],
  ])('is not started: %s is %s', async (fault, kind, message) => {
    stack.wire.play(fault)
    expect(await stack.compute.start(task)).toEqual({
      outcome: 'failed',
      kind,
      message: expect.stringMatching(message),
    })
    expect(stack.wire.ecs.tasks.size).toBe(0)
    expect(stack.wire.operations).toEqual(['RunTask'])
  })

  it('is not started on a capacity that the cluster does not have, and says what to do', async () => {
    stack.wire.ecs.capacityProviders.delete('FARGATE_SPOT')
    expect(await stack.compute.start({ ...task, shape: { ...task.shape, capacity: 'spot' } })).toEqual({
      outcome: 'failed',
      kind: 'permanent',
      message: expect.stringMatching(/'FARGATE_SPOT' was not found\. .*associated with the cluster/),
    })
  })

  it('fails the same way for the same token, whatever has changed since', async () => {
    stack.wire.play('no capacity')
    const first = await stack.compute.start(task)
    expect(await stack.compute.start(task)).toEqual(first)
    await started({ ...task, token: 'tornade-41-1-1-t2' })
  })

  it('waits out a throttle that ends soon, and gives way to one that does not', async () => {
    stack.wire.play('RunTask: throttled', ATTEMPTS - 1)
    await started(task)
    stack.wire.play('RunTask: throttled', ATTEMPTS)
    expect(await stack.compute.start({ ...task, token: 'other' })).toEqual({
      outcome: 'failed',
      kind: 'throttled',
      message: 'ThrottlingException: Rate exceeded',
    })
  })

  it.each<FaultName>([
    'server error',
    'RunTask: lost before',
    'RunTask: lost after',
    'RunTask: silence',
    'RunTask: 500 after',
  ])('is asked for again by itself: %s', async fault => {
    stack.wire.play(fault)
    await started(task, hasty())
    expect(stack.wire.ecs.tasks.size).toBe(1)
    expect(new Set(stack.wire.calls.map(({ input }) => input.clientToken)).size).toBe(1)
  })

  it.each<FaultName>(['server error', 'RunTask: lost after', 'RunTask: silence', 'RunTask: 500 after'])(
    'throws when it never learns the outcome: %s',
    async fault => {
      stack.wire.play(fault, ATTEMPTS)
      await expect(hasty().start(task)).rejects.toThrow()
      await started(task)
      expect(stack.wire.ecs.tasks.size).toBe(1)
    },
  )

  it.each<FaultName>(['RunTask: throttled', 'no service-linked role'])(
    'does not take a later refusal for the answer to what it never got one: %s',
    async refusal => {
      stack.wire.play('RunTask: lost after')
      stack.wire.play(refusal, ATTEMPTS)
      await expect(stack.compute.start(task)).rejects.toThrow()
      expect(stack.wire.ecs.tasks.size).toBe(1)
    },
  )

  it('throws on what is not about the request', async () => {
    stack.wire.play('expired credentials', ATTEMPTS)
    await expect(stack.compute.start(task)).rejects.toThrow('expired')
  })

  it('goes on with the task that a token has already, after a deployment in between', async () => {
    const first = await started(task)
    const newer = Object.fromEntries(
      Object.entries(stack.settings.taskDefinitions).map(([key, arn]) => [key, arn.replace(':1', ':2')]),
    )
    for (const arn of Object.values(newer))
      stack.wire.ecs.taskDefinitions.set(arn, { containers: ['runner'], architecture: 'X86_64' })
    const deployed = new AwsCompute({ ...stack.settings, taskDefinitions: newer }, wireClients(stack.wire))
    expect(await deployed.start(task)).toEqual(first)
    expect(stack.wire.ecs.tasks.size).toBe(1)
  })

  it('throws when the token belongs to a request that started nothing', async () => {
    stack.wire.play('no capacity')
    await stack.compute.start(task)
    await expect(stack.compute.start({ ...task, timeoutMinutes: 10 })).rejects.toThrow('clientToken')
  })
})

describe('a build', () => {
  it('is asked for in one call', async () => {
    const { providerId, ticketKey } = await started(build)
    expect(stack.wire.operations).toEqual(['StartBuild'])
    expect(lastInput()).toEqual({
      projectName: 'tornade-test',
      idempotencyToken: 'tornade-41-1-1-t1',
      sourceTypeOverride: 'NO_SOURCE',
      buildspecOverride: '{"version":0.2,"phases":{"build":{"commands":["/opt/tornade/entrypoint"]}}}',
      environmentTypeOverride: 'LINUX_CONTAINER',
      computeTypeOverride: 'BUILD_GENERAL1_SMALL',
      imageOverride: `123456789012.dkr.ecr.us-east-1.amazonaws.com/tornade-test@sha256:${'0'.repeat(64)}`,
      privilegedModeOverride: true,
      timeoutInMinutesOverride: 360,
      queuedTimeoutInMinutesOverride: 15,
      environmentVariablesOverride: [
        { name: 'TORNADE_RUNNER', value: 'tornade-41-1-1', type: 'PLAINTEXT' },
        { name: 'TORNADE_COMPUTE', value: 'codebuild', type: 'PLAINTEXT' },
        { name: 'TORNADE_ROLE_ID', value: 'AROAPLAIN00000000000', type: 'PLAINTEXT' },
        { name: 'TORNADE_TIMEOUT_MINUTES', value: '360', type: 'PLAINTEXT' },
        { name: 'TORNADE_DOCKER', value: 'true', type: 'PLAINTEXT' },
      ],
    })
    expect(providerId).toMatch(/^arn:aws:codebuild:us-east-1:123456789012:build\/tornade-test:[0-9a-f-]{36}$/)
    expect(ticketKey).toBe(`AROAPLAIN00000000000:AWSCodeBuild-${providerId.split(':').at(-1)}`)
  })

  it('has the role, architecture and privileges of its request', async () => {
    const { ticketKey } = await started({
      ...build,
      docker: false,
      role: 'deploy',
      shape: { ...build.shape, arch: 'arm64' },
    })
    expect(ticketKey).toMatch(/^AROADEPLOY0000000000:AWSCodeBuild-/)
    expect(lastInput()).toMatchObject({
      environmentTypeOverride: 'ARM_CONTAINER',
      privilegedModeOverride: false,
      serviceRoleOverride: 'arn:aws:iam::123456789012:role/tornade/test/jobs/tornade-test-deploy',
    })
  })

  it.each([
    [1, 5],
    [90, 90],
    [9_000, 2160],
  ])('of %i minutes lives for %i', async (timeoutMinutes, minutes) => {
    await started({ ...build, timeoutMinutes })
    expect(lastInput()).toMatchObject({ timeoutInMinutesOverride: minutes })
  })

  it('has its ticket under the service role of the project, where that is another', async () => {
    const { settings, wire } = stack
    const codebuild = { ...settings.codebuild, roleId: 'AROAPROJECT000000000' }
    const compute = new AwsCompute({ ...settings, codebuild }, wireClients(wire))
    expect((await started(build, compute)).ticketKey).toMatch(/^AROAPROJECT000000000:/)
    expect((await started({ ...build, token: 'other', role: 'deploy' }, compute)).ticketKey).toMatch(
      /^AROADEPLOY/,
    )
  })

  it('fits CodeBuild in every size there is', async () => {
    for (const [arch, types] of Object.entries(CODEBUILD_TYPES))
      for (const type of types) {
        const runner = `tornade-${arch}-${type.cpu}-1`
        const shape = { ...build.shape, ...type, arch: arch as 'x64' }
        await started({ ...build, runner, token: runner, shape })
      }
  })

  it.each<[FaultName, string, RegExp]>([
    ['build queue full', 'quota', /^AccountLimitExceededException: Cannot have more than 60 builds/],
    ['no builds allowed', 'permanent', /more than 0 builds.*Concurrently running builds/],
    ['invalid build input', 'permanent', /^InvalidInputException: Invalid input: image is not valid$/],
    ['build variable too long', 'permanent', /at most 4096 characters\. Let fewer repositories or refs/],
    ['service role not to be assumed', 'permanent', /sts:AssumeRole.*codebuild\.amazonaws\.com/],
    ['service role not to be passed', 'permanent', /iam:PassRole.*job roles/],
    ['no project', 'permanent', /^ResourceNotFoundException: .*Deploy again\.$/],
  ])('is not started: %s is %s', async (fault, kind, message) => {
    stack.wire.play(fault)
    expect(await stack.compute.start(build)).toEqual({
      outcome: 'failed',
      kind,
      message: expect.stringMatching(message),
    })
    expect(stack.wire.codebuild.builds.size).toBe(0)
  })

  it('is asked for again by itself when nothing was done', async () => {
    stack.wire.play('StartBuild: lost before')
    await started(build)
    expect(stack.wire.codebuild.builds.size).toBe(1)
  })

  it.each<FaultName>([
    'build server error',
    'StartBuild: lost after',
    'StartBuild: silence',
    'StartBuild: 500 after',
  ])('is one, however often it is asked for: %s', async fault => {
    stack.wire.play(fault)
    await started(build, hasty())
    stack.wire.play(fault, ATTEMPTS)
    await expect(hasty().start(build)).rejects.toThrow()
    await started(build)
    expect(stack.wire.codebuild.builds.size).toBe(1)
  })

  it('waits while its project runs as many as it may, if somebody gave it a limit', async () => {
    stack.wire.codebuild.concurrentBuildLimit = 1
    const { providerId } = await started(build)
    const next = { ...build, token: 'tornade-42-1-1-t1' }
    expect(await stack.compute.start(next)).toMatchObject({ outcome: 'failed', kind: 'quota' })
    await stack.compute.stop(providerId, 'why')
    await started(next)
  })

  it('does not take a later refusal for the answer to what it never got one', async () => {
    stack.wire.play('StartBuild: lost after')
    stack.wire.play('build queue full', ATTEMPTS)
    await expect(stack.compute.start(build)).rejects.toThrow()
  })

  it('throws while its token belongs to another request, and starts when CodeBuild has forgotten that', async () => {
    await started(build)
    const other = { ...build, timeoutMinutes: 10 }
    await expect(stack.compute.start(other)).rejects.toThrow('mismatch')
    now += 5 * MINUTE
    await started(other)
  })

  it('is another one after five minutes: CodeBuild remembers no longer', async () => {
    const first = await started(build)
    now += 5 * MINUTE - 1
    expect(await started(build)).toEqual(first)
    now += 1
    expect(await started(build)).not.toEqual(first)
  })
})

describe('a role or an image', () => {
  it.each(['release', 'constructor', '__proto__'])(
    'that is not known (%s) is a permanent failure, without a call',
    async name => {
      for (const request of [task, build]) {
        expect(await stack.compute.start({ ...request, role: name })).toEqual({
          outcome: 'failed',
          kind: 'permanent',
          message: expect.stringContaining(`role/tornade/test/jobs/tornade-test-${name}`),
        })
        expect(await stack.compute.start({ ...request, image: name })).toEqual({
          outcome: 'failed',
          kind: 'permanent',
          message: expect.stringMatching(
            new RegExp(`x64/image:${name}\\. .*tornade\\.yml has images\\.${name}: deploy again`),
          ),
        })
      }
      expect(stack.wire.calls).toEqual([])
    },
  )
})

describe('what AWS tells of runners', () => {
  it('is the same in descriptions as in events, at every step of a task', async () => {
    const { ecs } = stack.wire
    const { providerId } = await started({ ...task, shape: { ...task.shape, capacity: 'spot' } })
    const steps = [
      () => ecs.event(providerId),
      () => ecs.run(providerId),
      () => ecs.stopping(providerId, 'SpotInterruption', 'Your Spot Task was interrupted.'),
      () => ecs.stopped(providerId),
    ]
    for (const step of steps) {
      now += MINUTE
      const event = readAwsEvent(step())
      expect(event).not.toBeNull()
      expect(await stack.compute.describe([providerId])).toEqual(new Map([[providerId, event]]))
    }
    now += 61 * MINUTE
    expect(await stack.compute.describe([providerId])).toEqual(new Map([[providerId, null]]))
  })

  it.each(['SUCCEEDED', 'FAILED', 'FAULT', 'STOPPED', 'TIMED_OUT'] as const)(
    'is the same in descriptions as in events, at every step of a build that ends as %s',
    async status => {
      const { codebuild } = stack.wire
      const { providerId } = await started(build)
      const steps = [
        () => codebuild.started(providerId),
        () => codebuild.provisioned(providerId),
        () => codebuild.ended(providerId, status),
      ]
      const up: boolean[] = []
      for (const step of steps) {
        now += MINUTE
        const event = readAwsEvent(step())
        expect(event).not.toBeNull()
        expect(await stack.compute.describe([providerId])).toEqual(new Map([[providerId, event]]))
        up.push(event!.startedAt !== null)
      }
      expect(up).toEqual([false, true, true])
    },
  )

  it('is asked for by the hundred, of both, and null for what AWS does not know', async () => {
    const tasks = await Promise.all(
      Array.from({ length: 120 }, (_, index) => started({ ...task, token: `t${index}` })),
    )
    const one = await started(build)
    const unknown = [
      'arn:aws:ecs:us-east-1:123456789012:task/tornade-test/00000000000000000000000000000000',
      'arn:aws:codebuild:us-east-1:123456789012:build/tornade-test:00000000-0000-4000-8000-000000000000',
    ]
    stack.wire.calls.length = 0
    const ids = [...tasks.map(({ providerId }) => providerId), ...unknown, one.providerId]
    const events = await stack.compute.describe(ids)
    expect([...events.keys()].toSorted()).toEqual(ids.toSorted())
    for (const [id, event] of events) expect(event === null).toBe(unknown.includes(id))
    expect(stack.wire.operations.toSorted()).toEqual(['BatchGetBuilds', 'DescribeTasks', 'DescribeTasks'])
    expect(await stack.compute.describe([])).toEqual(new Map())
  })

  it('is listed by the hundred, of builds as far back as one can still run', async () => {
    const { codebuild } = stack.wire
    const start = (count: number, from: number) =>
      Promise.all(
        Array.from({ length: count }, (_, index) => started({ ...build, token: `b${from + index}` })),
      )
    for (const { providerId } of await start(150, 0)) codebuild.ended(providerId)
    const [forgotten] = await start(1, 150)
    now += 100 * MINUTE
    for (const { providerId } of (await start(120, 200)).slice(1)) codebuild.ended(providerId)
    stack.wire.calls.length = 0
    const listed = await stack.compute.list(now - 50 * MINUTE)
    expect(listed).toHaveLength(2)
    expect(listed).toContain(forgotten!.providerId)
    // Three pages there are, and the third is too old.
    expect(stack.wire.operations.filter(name => name === 'ListBuildsForProject')).toHaveLength(2)
    expect(stack.wire.refused).toEqual([])
  })

  it('is nothing for the ids of others', async () => {
    await expect(stack.compute.stop('i-0123456789', 'why')).rejects.toThrow(TypeError)
  })
})

describe('a stop', () => {
  it('says why, in as many characters as ECS takes', async () => {
    const { providerId } = await started(task)
    await stack.compute.stop(providerId, `no job\u0007 ${'x'.repeat(400)}`)
    expect(lastInput()).toEqual({
      cluster: stack.wire.ecs.clusterArn,
      task: providerId,
      reason: expect.stringMatching(/^no job +x{240,}…$/),
    })
  })

  it('throws what it cannot do, so that it is tried again', async () => {
    const { providerId } = await started(task)
    stack.wire.play('StopTask: throttled', ATTEMPTS)
    await expect(stack.compute.stop(providerId, 'why')).rejects.toThrow('Rate exceeded')
    const { providerId: buildId } = await started(build)
    stack.wire.play('StopBuild: throttled', ATTEMPTS)
    await expect(stack.compute.stop(buildId, 'why')).rejects.toThrow('Rate exceeded')
  })
})

const OUTAGES = ['lost before', 'lost after', 'silence', '500 after', 'throttled'] as const

describe.each([
  ['a task', task, 'StopTask', 'DescribeTasks', 'ListTasks'],
  ['a build', build, 'StopBuild', 'BatchGetBuilds', 'ListBuildsForProject'],
] as const)('of %s', (_, request, stopping, describing, listing) => {
  it.each(OUTAGES)('an answer to a stop may be missing once, and then again and again: %s', async outage => {
    const { providerId } = await started(request)
    stack.wire.play(`${stopping}: ${outage}`, ATTEMPTS)
    await expect(hasty().stop(providerId, 'why')).rejects.toThrow()
    stack.wire.play(`${stopping}: ${outage}`)
    await hasty().stop(providerId, 'why')
    if (request === task) stack.wire.ecs.stopped(providerId)
    const ended = (await stack.compute.describe([providerId])).get(providerId)
    expect(ended?.stop?.code).toBe(request === task ? 'UserInitiated' : 'STOPPED')
  })

  it.each(OUTAGES)('nobody takes the lack of a description for the lack of a runner: %s', async outage => {
    const { providerId } = await started(request)
    stack.wire.play(`${describing}: ${outage}`, ATTEMPTS)
    await expect(hasty().describe([providerId])).rejects.toThrow()
    stack.wire.play(`${describing}: ${outage}`)
    expect((await hasty().describe([providerId])).get(providerId)).toMatchObject({ stop: null })
  })

  it.each(OUTAGES)('nobody takes the lack of a list for an empty one: %s', async outage => {
    const { providerId } = await started(request)
    stack.wire.play(`${listing}: ${outage}`, ATTEMPTS)
    await expect(hasty().list(0)).rejects.toThrow()
    stack.wire.play(`${listing}: ${outage}`)
    expect(await hasty().list(0)).toContain(providerId)
  })
})

describe('canaries', () => {
  it('are in no request: nothing of the credentials, and nothing that the settings do not hold', async () => {
    const { compute, wire } = stack
    const name = fc.stringMatching(/^[a-z0-9-]{1,40}$/)
    const requests = fc.record({
      runner: fc.constant('tornade-41-1-1'),
      token: fc.uuid(),
      repositoryId: fc.constant(7001),
      shape: fc.constantFrom(task.shape, build.shape),
      role: fc.option(fc.constantFrom('deploy', 'release')),
      image: fc.option(fc.oneof(name, fc.constant('node'))),
      docker: fc.boolean(),
      build: fc.boolean(),
      timeoutMinutes: fc.integer({ min: 1, max: 5_000 }),
      // What must never reach a provider, should it ever stand beside a request.
      encodedJitConfig: fc.constant('canary-jit-config'),
      labels: fc.constant(['canary-label']),
    })
    await fc.assert(
      fc.asyncProperty(requests, async request => {
        await compute.start(request)
      }),
      { numRuns: 60 },
    )
    expect(wire.calls.length).toBeGreaterThan(0)
    for (const { raw } of wire.calls) {
      expect(raw).not.toContain('canary')
      expect(raw).not.toContain('wire/secret/key')
    }
  })
})
