/** Jobs from their delivery to their price, through the functions as they are deployed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jobState } from '../../functions/core/lifecycle.ts'
import { ACME_APP, hex } from '../../local/payloads.ts'
import { APP } from '../github/harness.ts'
import { ofType, REGION } from '../infra/stack.ts'
import { Deployment, JOB_ROLE_ID, PLAIN_ROLE_ID, USED } from './stack.ts'

const RUN = 'actions/get-workflow-run'

let world: Deployment
beforeAll(async () => {
  world = await Deployment.start()
}, 60_000)
afterAll(() => world.close())

const state = async (key: string) => jobState(await world.job(key))

/** Nothing of a runner is left: no ticket that could be taken, no registration, no place. */
async function nothingIsLeft(): Promise<void> {
  const open = (await world.items('TicketsTable')).filter(({ j }) => j !== undefined)
  expect(open).toEqual([])
  expect([...world.github.runners.values()]).toEqual([])
  expect((await world.gate())?.holders).toEqual({})
  expect(world.queues.launch.deadLetters).toEqual([])
  expect(world.queues.events.deadLetters).toEqual([])
  expect(world.faults()).toEqual([])
}

describe.each([
  { kind: 'Fargate', labels: ['tornade/arm64/4cpu'], role: PLAIN_ROLE_ID, compute: 'fargate' },
  { kind: 'CodeBuild', labels: ['tornade/docker'], role: PLAIN_ROLE_ID, compute: 'codebuild' },
  { kind: 'Fargate, with a role', labels: ['tornade/role:deploy'], role: JOB_ROLE_ID, compute: 'fargate' },
  {
    kind: 'CodeBuild, with a role',
    labels: ['tornade/docker/role:deploy'],
    role: JOB_ROLE_ID,
    compute: 'codebuild',
  },
])('a job on $kind', ({ labels, role, compute }) => {
  it('is started, runs, is priced, and leaves nothing behind', async () => {
    const { job, key, answer } = await world.queue(labels)
    expect(answer).toEqual({ status: 202, body: { outcome: 'accepted' } })
    expect(await world.settle()).toEqual([])
    expect(await state(key)).toBe('launching')
    const runner = `tornade-${key}-1`
    const started = world.started(runner)!
    expect(started.role).toBe(role)
    expect(await world.runner(runner)).toMatchObject({
      providerId: started.arn,
      ticketKey: started.key,
      launch: { jobKey: key, region: REGION, shape: { compute } },
    })
    expect(Object.keys((await world.gate())!.holders)).toEqual([runner])

    world.advance(20)
    await world.runnerTakes(runner, job, labels)
    // Whoever has the same identity comes too late.
    expect(await world.takeTicket(started.key)).toBeNull()
    expect(await world.settle()).toEqual([])
    expect(await state(key)).toBe('running')

    world.advance(120)
    await world.runnerEnds(runner, job, labels)
    expect(await world.settle()).toEqual([])
    expect(await state(key)).toBe('completed')
    expect(await world.job(key)).toMatchObject({ completed: { conclusion: 'success' }, runner })
    const ended = await world.runner(runner)
    expect(ended.stoppedAt).not.toBeNull()
    expect(ended.job).toMatchObject({ key })
    const { seconds, cpuAverage, cpuPeak } = USED
    expect(ended.usage).toEqual({ seconds, cpuAverage, cpuPeak, memoryAverageGiB: 0.5, memoryPeakGiB: 1 })
    const { totalMicroUsd, startupMicroUsd, jobMicroUsd, idleMicroUsd, billedMs, basis } = ended.cost!
    expect(billedMs).toBeGreaterThanOrEqual(120_000)
    expect(startupMicroUsd + jobMicroUsd + idleMicroUsd).toBe(totalMicroUsd)
    expect(totalMicroUsd > 0).toBe(basis !== 'unknown')
    expect((await world.job(key)).cost).toMatchObject({ runner, microUsd: jobMicroUsd })
    await nothingIsLeft()
  })
})

describe('a job that asks for what there is not', () => {
  it('is refused where its author looks', async () => {
    const { key, job } = await world.queue(['tornade', 'amr64'])
    await world.settle()
    expect(await state(key)).toBe('refused')
    expect(world.github.checks).toMatchObject([
      { conclusion: 'failure', externalId: `tornade:${job.runId}:1` },
    ])
    expect(world.github.checks[0]!.summary).toContain('did you mean `arm64`?')
    expect(job.conclusion).toBe('cancelled')
    await world.deliver(world.payload('completed', job, ['tornade', 'amr64']))
    await world.settle()
    expect(await state(key)).toBe('refused')
    await nothingIsLeft()
  })
})

describe('a job of a fork', () => {
  it('is refused where its author looks, starts nothing, and costs one look at its run', async () => {
    const before = { runs: world.github.count(RUN), tasks: world.wire.calls.length }
    const job = world.github.queueJob(APP.id, { event: 'pull_request', headRepositoryId: 666 })
    const open = { repository: { ...ACME_APP, id: APP.id, name: APP.name, private: false } }
    await world.deliver(world.payload('queued', job, ['tornade'], open))
    await world.settle()
    const refused = (await world.job(`${job.id}-1`)).refused
    expect(refused).toMatchObject({ code: 'fork' })
    expect(world.github.checks.at(-1)).toMatchObject({
      conclusion: 'failure',
      externalId: `tornade:${job.runId}:1`,
      summary: expect.stringContaining('`forks: allow`'),
    })
    expect(job.conclusion).toBe('cancelled')
    expect(world.github.count(RUN) - before.runs).toBe(1)
    expect(world.wire.calls.length).toBe(before.tasks)
    await nothingIsLeft()
  })
})

describe('a job that is cancelled before it runs', () => {
  it('gives its runner back: no registration, no task, no place', async () => {
    const labels = ['tornade']
    const { job, key } = await world.queue(labels)
    await world.settle()
    const runner = `tornade-${key}-1`
    const { arn, key: ticket } = world.started(runner)!
    world.github.finishJob(job, 'cancelled')
    await world.deliver(world.payload('completed', job, labels))
    await world.settle()
    expect(await state(key)).toBe('cancelled')
    expect(world.github.runners.size).toBe(0)
    expect(world.wire.ecs.tasks.get(arn)!.stop).toBeNull()

    world.advance(90)
    await world.settle()
    expect(world.wire.ecs.tasks.get(arn)!.stop).toMatchObject({ code: 'UserInitiated' })
    expect((await world.items('TicketsTable')).map(({ k }) => k!.S)).toContain(ticket)

    world.wire.ecs.stopped(arn)
    await world.settle()
    expect((await world.items('TicketsTable')).map(({ k }) => k!.S)).not.toContain(ticket)
    expect((await world.runner(runner)).cost).not.toBeNull()
    await nothingIsLeft()
  })
})

describe('a runner whose job never comes', () => {
  it('is found by the sweep and stopped, on Fargate and on CodeBuild', async () => {
    const runners: string[] = []
    for (const labels of [['tornade'], ['tornade', 'docker']]) {
      const { key, job } = await world.queue(labels)
      await world.settle()
      const runner = `tornade-${key}-1`
      runners.push(runner)
      await world.runnerTakes(runner, job, labels)
      await world.settle()
    }
    await world.sweep()
    expect(runners.map(runner => isStopped(runner))).toEqual([false, false])

    // Its end is never told, and it lives on.
    world.advance(6 * 3600 + 180)
    await world.sweep()
    expect(runners.map(runner => isStopped(runner))).toEqual([true, true])
    for (const runner of runners) {
      const { job } = await world.runner(runner)
      const served = world.github.jobs.get(Number(job!.key.split('-')[0]))!
      await world.runnerEnds(runner, served, [])
    }
    await world.settle()
    await nothingIsLeft()
  })

  function isStopped(runner: string): boolean {
    const { arn } = world.started(runner)!
    const task = world.wire.ecs.tasks.get(arn)
    return task ? task.stop !== null : world.wire.codebuild.builds.get(arn)!.status === 'STOPPED'
  }
})

describe('with images of its own in tornade.yml', () => {
  const [node, mobile] = ['node', 'mobile'].map(
    name => `123456789012.dkr.ecr.${REGION}.amazonaws.com/team/${name}@sha256:${hex(name, 64)}`,
  ) as [string, string]
  let own: Deployment
  beforeAll(async () => {
    const images = { node: { x64: node, arm64: node }, mobile: { arm64: mobile } }
    own = await Deployment.start({ config: { images, sizes: { phone: ['image:mobile', 'arm64', '4cpu'] } } })
  }, 60_000)
  afterAll(() => own.close())

  const last = (operation: string) => own.calls.findLast(call => call.operation === operation)!.input
  /** The image that the compiled template has for a family. */
  const imageOf = (family: string) =>
    ofType(own.stack.template, 'AWS::ECS::TaskDefinition').flatMap(([, { Properties }]) =>
      Properties!.Family === family
        ? (Properties!.ContainerDefinitions as { Image: string }[])[0]!.Image
        : [],
    )

  it.each([
    ['tornade/image:node', 'tornade-dev-image-node-x64', node],
    ['tornade/arm64/image:node/role:deploy', 'tornade-dev-image-node-arm64', node],
    ['tornade/IMAGE:Mobile/aarch64/spot', 'tornade-dev-image-mobile-arm64', mobile],
    ['tornade/size:phone', 'tornade-dev-image-mobile-arm64', mobile],
  ])('%s starts a task of %s', async (label, family, image) => {
    const { job, key } = await own.queue([label])
    expect(await own.settle()).toEqual([])
    expect(last('RunTask')).toMatchObject({ taskDefinition: family })
    expect(imageOf(family)).toEqual([image])
    const runner = `tornade-${key}-1`
    await own.runnerTakes(runner, job, [label])
    await own.runnerEnds(runner, job, [label])
    await own.settle()
    expect(jobState(await own.job(key))).toBe('completed')
    expect(own.faults()).toEqual([])
  })

  it.each([
    ['tornade/docker/image:node', node],
    ['tornade/codebuild/arm64/image:mobile', mobile],
  ])('%s starts a build of it, and asks nobody for its digest', async (label, image) => {
    const { job, key } = await own.queue([label])
    expect(await own.settle()).toEqual([])
    expect(last('StartBuild')).toMatchObject({ imageOverride: image })
    const asked = own.calls.filter(({ operation }) => operation === 'GetParameters')
    expect(JSON.stringify(asked.map(({ input }) => input))).not.toContain('/images/')
    const runner = `tornade-${key}-1`
    await own.runnerTakes(runner, job, [label])
    await own.runnerEnds(runner, job, [label])
    await own.settle()
    expect(jobState(await own.job(key))).toBe('completed')
    expect(own.faults()).toEqual([])
  })

  it.each(['x64', 'arm64'])(
    'starts the builder beside the runner where images are built, on %s',
    async arch => {
      await own.queue([`tornade/build/${arch}`])
      await own.settle()
      expect(last('RunTask')).toMatchObject({
        taskDefinition: `tornade-dev-build-${arch}`,
        overrides: { containerOverrides: [{ name: 'runner' }] },
      })
    },
  )

  it('starts the standard image where none is named', async () => {
    await own.queue(['tornade'])
    await own.settle()
    expect(last('RunTask')).toMatchObject({ taskDefinition: 'tornade-dev-x64' })
    await own.queue(['tornade/docker'])
    await own.settle()
    expect(last('StartBuild').imageOverride).toMatch(/\/tornade-dev-runner@sha256:/)
  })

  it('refuses what is not there, and starts nothing for it', async () => {
    const before = own.wire.calls.length
    for (const [label, message] of [
      ['tornade/image:mobile/x64', 'for `arm64` only'],
      ['tornade/image:moble', 'only `image:node` and `image:mobile`'],
      ['tornade/image:__proto__', 'What follows `image:` is'],
      ['tornade/image:../x64', 'What follows `image:` is'],
      ['tornade/image:node/build', 'goes with the standard image only'],
    ] as const) {
      const { key } = await own.queue([label])
      await own.settle()
      expect((await own.job(key)).refused, label).toMatchObject({ code: 'labels' })
      expect(JSON.stringify((await own.job(key)).refused), label).toContain(message)
    }
    expect(own.wire.calls.length).toBe(before)
  })

  it('refuses a job whose image was packaged and not deployed, with what to do', async () => {
    const family = 'tornade-dev-image-mobile-arm64'
    const kept = own.wire.ecs.taskDefinitions.get(family)!
    own.wire.ecs.taskDefinitions.delete(family)
    const { key } = await own.queue(['tornade/image:mobile/arm64'])
    await own.settle()
    expect((await own.job(key)).refused).toMatchObject({
      code: 'provider-refused',
      problems: [
        { message: expect.stringMatching(/not found\. .*tornade\.yml has images\.mobile: deploy again/) },
      ],
    })
    own.wire.ecs.taskDefinitions.set(family, kept)
  })
})

describe('with runners of the organisation in tornade.yml', () => {
  let acme: Deployment
  beforeAll(async () => {
    acme = await Deployment.start({
      config: { github: { url: null, organisationRunners: true, runnerGroup: 7 } },
      groups: [1, 7],
    })
  }, 60_000)
  afterAll(() => acme.close())

  it('a runner is registered in its group', async () => {
    await acme.queue(['tornade'])
    expect(await acme.settle()).toEqual([])
    expect(acme.github.calls.filter(({ operation }) => operation.includes('jitconfig'))).toMatchObject([
      { path: '/orgs/acme/actions/runners/generate-jitconfig', body: { runner_group_id: 7 } },
    ])
    expect(acme.faults()).toEqual([])
  })
})
