/** The wire server judges the adapters, so it is judged first: what is broken it must refuse. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AwsClient } from 'aws4fetch'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { matchesPattern, type Pattern } from '../../local/patterns.ts'
import { compileStack, REGION, Resolver } from '../infra/stack.ts'
import { FAULTS } from './wire/faults.ts'
import { WIRE_CREDENTIALS, type Wire } from './wire/server.ts'
import type { EventBridgeEvent } from './wire/service.ts'
import { type WireStack, wireStack } from './wire/stack.ts'

let stack: WireStack
let wire: Wire
let now: number
let emitted: EventBridgeEvent[]
beforeEach(async () => {
  now = Date.UTC(2026, 10, 2)
  emitted = []
  stack = await wireStack({ now: () => now, emit: event => emitted.push(event) })
  wire = stack.wire
})
afterEach(() => wire.close())

const TARGETS = {
  ecs: 'AmazonEC2ContainerServiceV20141113',
  codebuild: 'CodeBuild_20161006',
  ssm: 'AmazonSSM',
  logs: 'Logs_20140328',
} as const
type Service = keyof typeof TARGETS

interface Ask {
  readonly service?: Service
  readonly operation?: string
  readonly credentials?: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  }
  readonly region?: string
  readonly signedFor?: string
  readonly type?: string
  readonly body?: string
  /** Changes the signed request. */
  readonly tamper?: (request: Request) => Request | Promise<Request>
}

async function ask(input: unknown, options: Ask = {}) {
  const {
    service = 'ecs',
    operation = 'RunTask',
    credentials = WIRE_CREDENTIALS,
    tamper = same => same,
  } = options
  const client = new AwsClient({
    ...credentials,
    service: options.signedFor ?? service,
    region: options.region ?? wire.region,
    retries: 0,
  })
  const signed = await client.sign(`${wire.url}/`, {
    method: 'POST',
    headers: {
      'content-type': options.type ?? 'application/x-amz-json-1.1',
      'x-amz-target': `${TARGETS[service]}.${operation}`,
    },
    body: options.body ?? JSON.stringify(input),
  })
  const response = await fetch(await tamper(signed))
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const task = () => ({
  cluster: wire.ecs.clusterArn,
  taskDefinition: stack.settings.taskDefinitions.x64!,
  capacityProviderStrategy: [{ capacityProvider: 'FARGATE', weight: 1 }],
  count: 1,
  startedBy: 'tornade-1-1-1',
  clientToken: 'token-1',
  networkConfiguration: {
    awsvpcConfiguration: { subnets: ['subnet-0a'], securityGroups: ['sg-0a'], assignPublicIp: 'ENABLED' },
  },
  overrides: { cpu: '1024', memory: '2048', containerOverrides: [{ name: 'runner', environment: [] }] },
})
const build = () => ({ projectName: 'tornade-test', idempotencyToken: 'token-1' })

/** `input` with the member at `path` replaced; undefined takes it away. */
function having(input: object, path: string, value: unknown): object {
  const copy = structuredClone(input) as Record<string, unknown>
  const steps = path.split('.')
  const last = steps.pop()!
  const holder = steps.reduce<Record<string, unknown>>(
    (part, step) => part[step] as Record<string, unknown>,
    copy,
  )
  holder[last] = value
  return copy
}

describe('a right request', () => {
  it('is answered and remembered', async () => {
    const { status, body } = await ask(task())
    expect(status).toBe(200)
    expect(body).toMatchObject({
      failures: [],
      tasks: [{ lastStatus: 'PROVISIONING', startedBy: 'tornade-1-1-1', capacityProviderName: 'FARGATE' }],
    })
    expect(wire.calls).toEqual([
      {
        service: 'ecs',
        operation: 'RunTask',
        input: task(),
        signed: expect.objectContaining({ accessKeyId: WIRE_CREDENTIALS.accessKeyId, service: 'ecs' }),
        raw: expect.stringContaining('X-Amz-Target'.toLowerCase()),
      },
    ])
    expect(wire.refused).toEqual([])
  })

  it('may come with a session token', async () => {
    const credentials = { ...WIRE_CREDENTIALS, sessionToken: 'session' }
    expect((await ask(task(), { credentials })).status).toBe(200)
  })
})

describe('a request is refused', () => {
  const refused = async (input: unknown, options: Ask, reason: string | RegExp) => {
    const { status, body } = await ask(input, options)
    expect(status).toBe(400)
    expect(body.message).toEqual(expect.stringMatching(reason))
    expect(wire.calls).toEqual([])
    expect(wire.refused).toHaveLength(1)
    expect(wire.ecs.tasks.size + wire.codebuild.builds.size).toBe(0)
  }

  it.each<[string, Ask, RegExp]>([
    ['unsigned', { tamper: r => strip(r, 'authorization') }, /not signed/],
    [
      'signed with another key',
      { credentials: { ...WIRE_CREDENTIALS, secretAccessKey: 'other' } },
      /signature is wrong/,
    ],
    [
      'signed by nobody known',
      { credentials: { accessKeyId: 'AKIAOTHER', secretAccessKey: 'x' } },
      /unknown/,
    ],
    [
      'changed after it was signed',
      { tamper: async r => new Request(r, { body: `${await r.text()} ` }) },
      /signature is wrong/,
    ],
    ['signed for another service', { signedFor: 'sqs' }, /signed for sqs/],
    ['signed for another region', { region: 'eu-west-1' }, /eu-west-1/],
    [
      'with a session token that is not signed',
      { tamper: r => plus(r, 'x-amz-security-token', 'x') },
      /not signed/,
    ],
    ['of another type', { type: 'application/json' }, /content-type application\/json/],
    ['no JSON', { body: '{' }, /no JSON/],
    ['a list', { body: '[]' }, /is no object/],
    ['for an operation that is not known', { operation: 'ListClusters' }, /unknown operation/],
    ['for an operation that nothing has', { operation: 'constructor' }, /unknown operation/],
  ])('when it is %s', async (_, options, reason) => {
    await refused(task(), options, reason)
  })

  it.each<[string, unknown, RegExp]>([
    ['taskDefinition', undefined, /taskDefinition is missing/],
    ['image', 'x', /image is unknown/],
    ['overrides.image', 'x', /overrides.image is unknown/],
    ['overrides.containerOverrides.0.secrets', [], /secrets is unknown/],
    ['overrides.cpu', 1024, /overrides.cpu is no string/],
    ['count', '1', /count is no number/],
    ['count', 11, /count is 11/],
    ['count', 1.5, /count is 1.5/],
    ['capacityProviderStrategy', {}, /capacityProviderStrategy is no list/],
    ['capacityProviderStrategy.0.capacityProvider', undefined, /capacityProvider is missing/],
    ['startedBy', 'a b', /startedBy does not match/],
    ['startedBy', 'x'.repeat(129), /startedBy has 129 characters/],
    ['clientToken', 'x'.repeat(65), /clientToken has 65 characters/],
    ['clientToken', 'ü', /clientToken does not match/],
    ['cluster', null, /cluster is no string/],
    ['networkConfiguration.awsvpcConfiguration.subnets', undefined, /subnets is missing/],
    ['networkConfiguration.awsvpcConfiguration.subnets', [], /subnets has 0 items/],
    ['networkConfiguration.awsvpcConfiguration.assignPublicIp', 'YES', /assignPublicIp is YES/],
    ['overrides.ephemeralStorage', { sizeInGiB: 20 }, /sizeInGiB is 20/],
    ['overrides.taskRoleArn', 'role', /taskRoleArn has 4 characters/],
    [
      'overrides.containerOverrides.0.environment',
      [{ name: 'A', value: 'x'.repeat(8192) }],
      /longer than 8192/,
    ],
    ['tags', Array.from({ length: 51 }, (_, i) => ({ key: `k${i}`, value: '' })), /tags has 51 items/],
    ['tags', [{ key: 'aws:x', value: '' }], /key does not match/],
    ['propagateTags', 'ALWAYS', /propagateTags is ALWAYS/],
  ])('when %s of RunTask is %j', async (path, value, reason) => {
    await refused(having(task(), path, value), {}, reason)
  })

  it.each<[Service, string, object, RegExp]>([
    ['ecs', 'StopTask', {}, /task is missing/],
    ['ecs', 'StopTask', { task: 'x', reason: 'x'.repeat(256) }, /reason has 256/],
    ['ecs', 'DescribeTasks', { tasks: Array(101).fill('x') }, /tasks has 101/],
    ['codebuild', 'StartBuild', {}, /projectName is missing/],
    ['codebuild', 'StartBuild', { projectName: 'tornade-test', image: 'x' }, /image is unknown/],
    [
      'codebuild',
      'StartBuild',
      { projectName: 'tornade-test', timeoutInMinutesOverride: 4 },
      /is 4, not 5–2160/,
    ],
    [
      'codebuild',
      'StartBuild',
      { projectName: 'tornade-test', queuedTimeoutInMinutesOverride: 481 },
      /is 481/,
    ],
    [
      'codebuild',
      'StartBuild',
      { projectName: 'tornade-test', privilegedModeOverride: 'true' },
      /is no boolean/,
    ],
    ['codebuild', 'StartBuild', { projectName: 'tornade-test', computeTypeOverride: 'HUGE' }, /is HUGE/],
    [
      'codebuild',
      'StartBuild',
      { projectName: 'tornade-test', environmentTypeOverride: 'LINUX' },
      /is LINUX/,
    ],
    ['codebuild', 'StartBuild', { projectName: 'tornade-test', idempotencyToken: 'x'.repeat(65) }, /has 65/],
    [
      'codebuild',
      'StartBuild',
      {
        projectName: 'tornade-test',
        environmentVariablesOverride: [{ name: 'A', value: 'b', type: 'SECRET' }],
      },
      /is SECRET/,
    ],
    [
      'codebuild',
      'StartBuild',
      { projectName: 'tornade-test', environmentVariablesOverride: [{ name: 'A' }] },
      /value is missing/,
    ],
    ['codebuild', 'StopBuild', { id: 'arn:aws:codebuild:us-east-1:1:build/a:b' }, /id does not match/],
    ['codebuild', 'BatchGetBuilds', { ids: [] }, /ids has 0/],
    ['ssm', 'GetParameters', { Names: [] }, /Names has 0/],
    ['ssm', 'GetParameters', { Names: Array(11).fill('/a') }, /Names has 11/],
    ['ssm', 'GetParameters', { Names: ['/a'], WithDecryption: 'yes' }, /is no boolean/],
    ['ssm', 'GetParameter', {}, /Name is missing/],
    ['logs', 'GetLogEvents', { logGroupName: '/a' }, /logStreamName is missing/],
    ['logs', 'GetLogEvents', { logGroupName: '/a', logStreamName: 'b', limit: 10_001 }, /limit is 10001/],
    ['logs', 'GetLogEvents', { logGroupName: '/a', logStreamName: 'b:c' }, /logStreamName does not match/],
  ])('by %s %s when it is %j', async (service, operation, input, reason) => {
    await refused(input, { service, operation }, reason)
  })

  it('whatever JSON it is, without falling over', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('RunTask', 'StopTask', 'DescribeTasks'),
        fc.jsonValue(),
        async (operation, input) => {
          expect((await ask(input, { operation })).status).toBe(400)
        },
      ),
      { numRuns: 50 },
    )
    expect(wire.refused.filter(line => line.includes('wire server failed'))).toEqual([])
  })
})

describe('ECS', () => {
  it.each<[string, string, unknown, string, RegExp]>([
    ['another cluster', 'cluster', 'other', 'ClusterNotFoundException', /not found/],
    ['a task definition that does not exist', 'taskDefinition', 'other', 'ClientException', /not found/],
    ['a launch type beside the strategy', 'launchType', 'FARGATE', 'InvalidParameterException', /both/],
    [
      'a strategy without weight',
      'capacityProviderStrategy',
      [{ capacityProvider: 'FARGATE' }],
      'InvalidParameterException',
      /weight/,
    ],
    [
      'a provider that is not of the cluster',
      'capacityProviderStrategy',
      [{ capacityProvider: 'other', weight: 1 }],
      'InvalidParameterException',
      /other/,
    ],
    ['no network', 'networkConfiguration', undefined, 'InvalidParameterException', /awsvpc/],
    ['a platform that does not exist', 'platformVersion', '9.9.9', 'PlatformUnknownException', /platform/],
    [
      'a container that is not in the definition',
      'overrides',
      { containerOverrides: [{ name: 'x' }] },
      'InvalidParameterException',
      /container named x/,
    ],
    [
      'a size that Fargate does not have',
      'overrides',
      { cpu: '1024', memory: '16384' },
      'ClientException',
      /No Fargate configuration/,
    ],
  ])('does not start a task with %s', async (_, path, value, type, message) => {
    const { status, body } = await ask(having(task(), path, value))
    expect(status).toBe(400)
    expect(body).toEqual({ __type: type, message: expect.stringMatching(message) })
    expect(wire.ecs.tasks.size).toBe(0)
  })

  it('remembers a token for a day, and names its task to a request that is another', async () => {
    const first = await ask(task())
    const { taskArn } = (first.body.tasks as { taskArn: string }[])[0]!
    expect((await ask(task())).body).toEqual(first.body)
    expect((await ask(having(task(), 'startedBy', 'other'))).body).toMatchObject({
      __type: 'ConflictException',
      resourceIds: [taskArn],
    })
    now += 24 * 3_600_000
    await ask(task())
    expect(wire.ecs.tasks.size).toBe(2)
  })

  it('forgets a token an hour after its task stopped', async () => {
    await ask(task())
    wire.ecs.stopped([...wire.ecs.tasks.keys()][0]!)
    now += 3_600_000 - 1
    await ask(task())
    expect(wire.ecs.tasks.size).toBe(1)
    now += 1
    await ask(task())
    expect(wire.ecs.tasks.size).toBe(2)
  })

  it('tells what happens to a task, once for each step, in events that the rules of infra/ let pass', async () => {
    await ask(task())
    const arn = [...wire.ecs.tasks.keys()][0]!
    wire.ecs.run(arn)
    await ask({ cluster: wire.ecs.clusterArn, task: arn, reason: 'why' }, { operation: 'StopTask' })
    await ask({ cluster: wire.ecs.clusterArn, task: arn, reason: 'again' }, { operation: 'StopTask' })
    wire.ecs.stopped(arn, 'x', 'x', 143)
    expect(emitted.map(({ detail }) => [detail.lastStatus, detail.desiredStatus, detail.version])).toEqual([
      ['RUNNING', 'RUNNING', 2],
      ['RUNNING', 'STOPPED', 3],
      ['STOPPED', 'STOPPED', 4],
    ])
    expect(emitted.at(-1)!.detail).toMatchObject({ stopCode: 'UserInitiated', stoppedReason: 'why' })
    const pattern = await patternOf('TaskStateChanges')
    for (const event of emitted) expect(matchesPattern(pattern, event)).toBe(true)
  })
})

/** A rule of infra/, for the region of this server. */
async function patternOf(rule: string): Promise<Pattern> {
  const stack = await compileStack({ stage: 'test' })
  const resolved = new Resolver(stack).value(stack.template.Resources[rule]!.Properties!.EventPattern)
  return JSON.parse(JSON.stringify(resolved).replaceAll(REGION, wire.region))
}

describe('a fault', () => {
  it('is played by some test, or is not declared', async () => {
    const tests = await readdir(import.meta.dirname).then(names =>
      names.filter(one => one.endsWith('.test.ts')),
    )
    const contract = join(import.meta.dirname, '..', 'contract', 'compute.test.ts')
    const paths = [contract, ...tests.map(name => join(import.meta.dirname, name))]
    const text = (await Promise.all(paths.map(path => readFile(path, 'utf8')))).join('\n')
    // Those of stopping, describing and listing are put together from the two lists.
    const [, outages] = /^const OUTAGES = \[(.+)\] as const$/m.exec(text)!
    const [, kinds] = /^describe\.each\(\[\n((?: {2}\['a (?:task|build)'.+\n)+)/m.exec(text)!
    const composed = [...kinds!.matchAll(/'([A-Z]\w+)'/g)].flatMap(([, operation]) =>
      [...outages!.matchAll(/'([^']+)'/g)].map(([, outage]) => `${operation}: ${outage}`),
    )
    expect(composed).toHaveLength(30)
    const played = (name: string) =>
      composed.includes(name) || text.includes(`'${name}'`) || text.includes(`    ${name},`)
    expect(Object.keys(FAULTS).filter(name => !played(name))).toEqual([])
  })
})

describe('CodeBuild', () => {
  it('remembers a token for five minutes', async () => {
    const of = { service: 'codebuild', operation: 'StartBuild' } as const
    await ask(build(), of)
    await ask(build(), of)
    expect(wire.codebuild.builds.size).toBe(1)
    expect((await ask({ ...build(), timeoutInMinutesOverride: 9 }, of)).body.__type).toBe(
      'InvalidInputException',
    )
    now += 300_000
    await ask({ ...build(), timeoutInMinutesOverride: 9 }, of)
    expect(wire.codebuild.builds.size).toBe(2)
  })

  it('knows no other project, and no source without a buildspec', async () => {
    const of = { service: 'codebuild', operation: 'StartBuild' } as const
    expect((await ask({ projectName: 'other' }, of)).body.__type).toBe('ResourceNotFoundException')
    expect((await ask({ ...build(), sourceTypeOverride: 'NO_SOURCE' }, of)).body.__type).toBe(
      'InvalidInputException',
    )
  })
})

describe('SSM', () => {
  it('gives what is stored, decrypted when it is asked to', async () => {
    wire.ssm.parameters.set('/a', 'secret')
    const of = { service: 'ssm', operation: 'GetParameters' } as const
    expect((await ask({ Names: ['/a', '/b'], WithDecryption: true }, of)).body).toMatchObject({
      Parameters: [{ Name: '/a', Value: 'secret' }],
      InvalidParameters: ['/b'],
    })
    const encrypted = await ask({ Names: ['/a'] }, of)
    expect(JSON.stringify(encrypted.body)).not.toContain('"secret"')
    expect((await ask({ Name: '/b' }, { ...of, operation: 'GetParameter' })).body.__type).toBe(
      'ParameterNotFound',
    )
  })
})

function strip(request: Request, header: string): Request {
  const headers = new Headers(request.headers)
  headers.delete(header)
  return new Request(request, { headers })
}

function plus(request: Request, header: string, value: string): Request {
  const headers = new Headers(request.headers)
  headers.set(header, value)
  return new Request(request, { headers })
}
