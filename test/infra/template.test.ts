// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of Fn::Sub
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from 'aws-lambda'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { telemetry } from '../../functions/aws/telemetry.ts'
import type { MetricName } from '../../functions/ports.ts'
import {
  alarmFaults,
  cycleFaults,
  deadLetterFaults,
  type Emitted,
  grantFaults,
  idleCostFaults,
  logFaults,
  passRoleFaults,
  referenceFaults,
  roleFaults,
  secretFaults,
  specificationFaults,
} from './checks.ts'
import { compileStack, ofType, Resolver, type Resource, ROOT, type Stack, type Template } from './stack.ts'

/** Statements whose resource is *, because AWS knows none for the action. */
const EVERYWHERE = {
  'ExecutionRole.LogInToEcr': 'a login is to the registry of the account, not to a repository',
  'RunnerBuildPolicy.LogInToEcr': 'a login is to the registry of the account, not to a repository',
  'ImageBuilderRole.LogInToEcr': 'a login is to the registry of the account, not to a repository',
  'SweepRole.ListTasks':
    'ecs:ListTasks is for container instances, of which Fargate has none; it is held to the cluster',
  'ImageBuilderRole.ReadDrafts': 'ecs:DescribeTaskDefinition has no resources',
  'ImageBuilderRole.PinForFargate':
    'a definition that is yet to be registered has no name that IAM would ask for',
}

/** Without those of the role that the checks are tried on, whose statements they replace. */
const { 'SweepRole.ListTasks': _, ...OTHERS } = EVERYWHERE

const SUBNETS = 'subnet-0123456789abcdef0,subnet-0123456789abcdef1'

const NODE = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/node@sha256:${'a'.repeat(64)}`
const MOBILE = `210987654321.dkr.ecr.eu-west-1.amazonaws.com/mobile@sha256:${'b'.repeat(64)}`
const IMAGES = { 'node-22': { x64: NODE, arm64: NODE }, node22: { x64: NODE }, mobile: { arm64: MOBILE } }

let stack: Stack
let other: Stack
let existing: Stack
let withImages: Stack
let emitted: Emitted
beforeAll(async () => {
  ;[stack, other, existing, withImages, emitted] = await Promise.all([
    compileStack(),
    compileStack({ stage: 'blue' }),
    compileStack({ params: ['vpcId=vpc-0123456789abcdef0', `subnetIds=${SUBNETS}`] }),
    compileStack({ images: IMAGES }),
    readEmitted(),
  ])
}, 60_000)

/** The metrics that functions/ counts, as functions/aws/telemetry.ts writes them. */
async function readEmitted(): Promise<Emitted> {
  const paths = (await readdir(join(ROOT, 'functions'), { recursive: true })).filter(path =>
    path.endsWith('.ts'),
  )
  const sources = await Promise.all(paths.map(path => readFile(join(ROOT, 'functions', path), 'utf8')))
  const counted = [...sources.join('\n').matchAll(/metrics\.count\(([^)]*)\)/g)]
  const names = [...new Set(counted.flatMap(([, given]) => given!.match(/(?<=')\w+(?=')/g) ?? []))]
  const lines: string[] = []
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(line => lines.push(String(line)) > 0)
  const log = vi.spyOn(console, 'log').mockImplementation(line => lines.push(String(line)))
  try {
    const { metrics, flushing } = telemetry('launch', 'dev')
    await flushing(async () => metrics.count(names[0] as MetricName))(null, {} as Context)
  } finally {
    write.mockRestore()
    log.mockRestore()
  }
  const line = JSON.parse(lines.find(text => text.includes('"_aws"'))!)
  const [{ Namespace, Dimensions, Metrics }] = line._aws.CloudWatchMetrics
  expect(Metrics).toMatchObject([{ Name: names[0] }])
  const dimensions = Object.fromEntries(Dimensions[0].map((name: string) => [name, line[name]]))
  return { namespace: Namespace, names, dimensions }
}

/** The stack with one resource changed. */
function edited(name: string, change: (resource: Resource) => Resource): Stack {
  const { template } = stack
  const resource = template.Resources[name]!
  return {
    ...stack,
    template: { ...template, Resources: { ...template.Resources, [name]: change(resource) } },
  }
}
const withProperties = (name: string, properties: Record<string, unknown>) =>
  edited(name, resource => ({ ...resource, Properties: { ...resource.Properties, ...properties } }))
const without = (name: string, property: string) =>
  edited(name, resource => {
    const { [property]: _, ...Properties } = resource.Properties!
    return { ...resource, Properties }
  })
const withStatement = (role: string, statement: Record<string, unknown>) =>
  withProperties(role, {
    Policies: [
      {
        PolicyName: 'broken',
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [{ Sid: 'Broken', Effect: 'Allow', ...statement }],
        },
      },
    ],
  })

interface LifecycleRule {
  readonly selection: {
    readonly tagStatus: string
    readonly tagPatternList?: readonly [string]
    readonly countNumber: number
  }
}

/** Tags of the images that stay; oldest first. A rule expires nothing that one before it is about. */
function kept(rules: readonly LifecycleRule[], images: readonly (readonly string[])[]) {
  const spoken = new Set<readonly string[]>()
  const expired = new Set<readonly string[]>()
  for (const { selection } of rules) {
    const [pattern] = selection.tagPatternList ?? []
    const about = images.filter(
      tags => pattern && tags.some(tag => tag.startsWith(pattern.replace(/\*$/, ''))),
    )
    for (const tags of about.slice(0, -selection.countNumber)) if (!spoken.has(tags)) expired.add(tags)
    for (const tags of about) spoken.add(tags)
  }
  return images.filter(tags => !expired.has(tags))
}

describe('the template', () => {
  it('is as the specification of CloudFormation has it', () => {
    expect(specificationFaults(stack.template)).toEqual([])
  })

  it('refers to what is there', () => {
    expect(referenceFaults(stack.template)).toEqual([])
    expect(cycleFaults(stack.template)).toEqual([])
  })

  it('is the same for another stage but for its name', () => {
    const text = (template: Template) =>
      JSON.stringify(template)
        .replaceAll(/\d{13}-[\dTZ:.-]+/g, 'TIME')
        .replaceAll(/(\W)blue(\W)/g, '$1dev$2')
    expect(text(other.template)).toBe(text(stack.template))
  })

  it('grants nothing beyond this stack, and * only where AWS knows no other', async () => {
    expect(await grantFaults(stack, EVERYWHERE)).toEqual([])
    expect(passRoleFaults(stack)).toEqual([])
  })

  it('has a role for each function and a log group that forgets for whatever writes logs', () => {
    expect(roleFaults(stack.template)).toEqual([])
    expect(logFaults(stack)).toEqual([])
  })

  it('has Lambda write of the functions that run most only what failed', () => {
    const configs = ofType(stack.template, 'AWS::Lambda::Function').map(([, { Properties }]) => [
      Properties!.FunctionName,
      Properties!.LoggingConfig,
    ])
    const failuresOnly = { LogFormat: 'JSON', SystemLogLevel: 'WARN' }
    expect(Object.fromEntries(configs)).toEqual({
      'tornade-dev-webhook': failuresOnly,
      'tornade-dev-launch': undefined,
      'tornade-dev-lifecycle': failuresOnly,
      'tornade-dev-sweep': undefined,
      'tornade-dev-dashboard': undefined,
    })
  })

  it('has no secret in it', () => {
    expect(secretFaults(stack)).toEqual([])
  })

  it('keeps what failed', () => {
    expect(deadLetterFaults(stack.template)).toEqual([])
  })

  it('costs nothing by the hour, and alarms for $1.20 a month', () => {
    expect(idleCostFaults(stack.template)).toEqual([])
    expect(ofType(stack.template, 'AWS::CloudWatch::Alarm')).toHaveLength(12)
  })

  it('rings on metrics that the code emits', () => {
    expect(emitted).toMatchObject({ namespace: 'tornade', dimensions: { stage: 'dev' } })
    expect(emitted.names).toContain('JobsRefused')
    expect(alarmFaults(stack, emitted)).toEqual([])
    const silent = { ...emitted, names: emitted.names.filter(name => name !== 'JobsRefused') }
    expect(alarmFaults(stack, silent)).toEqual(['RefusedLaunchesAlarm: nothing emits JobsRefused'])
  })

  it('declares no metric that nothing emits', async () => {
    const ports = await readFile(join(ROOT, 'functions/ports.ts'), 'utf8')
    const union = /export type MetricName =\n(.*?)\n\n/s.exec(ports)![1]!
    expect([...emitted.names].sort()).toEqual(union.match(/(?<=^ {2}\| ')\w+(?=')/gm)!.sort())
  })

  it('has an alarm for dead letters, age of queues, errors, refused launches, quotas and image builds', () => {
    const resolver = new Resolver(stack)
    const about = ofType(stack.template, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => {
      const { MetricName, Dimensions } = resolver.value(Properties) as {
        MetricName: string
        Dimensions: { Value: string }[]
      }
      return `${MetricName} ${Dimensions.map(one => one.Value).join(' ')}`
    })
    expect(about.sort()).toEqual([
      '5xx HttpApi-id',
      'ApproximateAgeOfOldestMessage tornade-dev-events',
      'ApproximateAgeOfOldestMessage tornade-dev-launch',
      'ApproximateNumberOfMessagesVisible tornade-dev-events-dead-letters',
      'ApproximateNumberOfMessagesVisible tornade-dev-launch-dead-letters',
      'Errors tornade-dev-launch',
      'Errors tornade-dev-lifecycle',
      'Errors tornade-dev-sweep',
      'FailedBuilds tornade-dev-image-arm64',
      'FailedBuilds tornade-dev-image-x64',
      'JobsRefused tornade dev',
      'StartsOverQuota tornade dev',
    ])
  })

  it('tags everything with project and stage', () => {
    expect(stack.tags).toEqual({ project: 'tornade', stage: 'dev' })
  })

  it('says where to go from there', () => {
    const resolver = new Resolver(stack)
    const outputs = Object.entries(stack.template.Outputs).map(([name, { Value }]) => [
      name,
      resolver.text(Value),
    ])
    expect(Object.fromEntries(outputs)).toMatchObject({
      DashboardUrl: 'https://HttpApi-id.execute-api.eu-west-1.amazonaws.com/',
      WebhookUrl: 'https://HttpApi-id.execute-api.eu-west-1.amazonaws.com/webhook',
      LedgerTableName: 'tornade-dev-ledger',
      TicketsTableName: 'tornade-dev-tickets',
      ClusterName: 'tornade-dev',
    })
  })
})

describe('a handler', () => {
  it('is there for every function', () => {
    const named = ofType(stack.template, 'AWS::Lambda::Function').map(([, { Properties }]) =>
      String(Properties!.Handler),
    )
    expect(named).toHaveLength(7)
    expect(named.filter(handler => !/^functions\/aws\/entry\/[a-z]+\.handler$/.test(handler))).toEqual([])
    expect(named.filter(handler => !existsSync(join(ROOT, handler.replace(/\.handler$/, '.ts'))))).toEqual([])
  })
})

describe('the functions', () => {
  it('run on Node 24 and arm64', () => {
    for (const [, { Properties }] of ofType(stack.template, 'AWS::Lambda::Function'))
      expect(Properties).toMatchObject({ Runtime: 'nodejs24.x', Architectures: ['arm64'] })
  })

  it('are reached through an API that slows a flood down', () => {
    expect(stack.template.Resources.HttpApiStage!.Properties!.DefaultRouteSettings).toEqual({
      ThrottlingRateLimit: 200,
      ThrottlingBurstLimit: 400,
      DetailedMetricsEnabled: false,
    })
  })

  it('have routes on which a flood of strangers does not reach the webhook', () => {
    const { HttpApiStage, ...rest } = stack.template.Resources
    const routes = Object.entries(rest).filter(([, { Type }]) => Type === 'AWS::ApiGatewayV2::Route')
    const keys = routes.map(([, { Properties }]) => String(Properties!.RouteKey))
    expect(keys.sort()).toEqual(['ANY /', 'ANY /webhook', 'ANY /{proxy+}', 'POST /slack'])
    const limited = HttpApiStage!.Properties!.RouteSettings as Record<string, { ThrottlingRateLimit: number }>
    expect(Object.keys(limited).sort()).toEqual(['ANY /', 'ANY /{proxy+}', 'POST /slack'])
    for (const { ThrottlingRateLimit } of Object.values(limited))
      expect(ThrottlingRateLimit).toBeLessThanOrEqual(20)
    // CloudFormation makes the routes first.
    const waitedFor = [HttpApiStage!.DependsOn ?? []].flat()
    const made = routes.filter(([name]) => waitedFor.includes(name))
    expect(made.map(([, { Properties }]) => Properties!.RouteKey)).toEqual(
      expect.arrayContaining(Object.keys(limited)),
    )
  })

  it.each(['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack'])(
    'are told what they ask for, and no more: %s',
    async name => {
      const sources = await Promise.all(
        [`functions/aws/entry/${name}.ts`, 'functions/aws/environment.ts'].map(path =>
          readFile(join(ROOT, path), 'utf8'),
        ),
      )
      // By their names in quotes, which variables() takes: any other way would not be seen here.
      expect(sources.join().match(/.*TORNADE_.*process\.env.*|.*process\.env.*TORNADE_.*/g)).toBeNull()
      const asked = sources.join().match(/(?<=')TORNADE_\w+(?=')/g)
      expect(Object.keys(new Resolver(stack).environment(name)).sort()).toEqual([...new Set(asked)].sort())
    },
  )
})

describe('the network', () => {
  const resource = (one: Stack, name: string) =>
    new Resolver(one).value(one.template.Resources[name]!.Properties) as Record<string, unknown>

  it('is three public /20 subnets in three zones, without NAT', () => {
    const subnets = ['SubnetA', 'SubnetB', 'SubnetC'].map(name => resource(stack, name))
    expect(subnets).toMatchObject([
      { CidrBlock: '10.83.0.0/20', AvailabilityZone: 'eu-west-1a' },
      { CidrBlock: '10.83.16.0/20', AvailabilityZone: 'eu-west-1b' },
      { CidrBlock: '10.83.32.0/20', AvailabilityZone: 'eu-west-1c' },
    ])
    expect(ofType(stack.template, 'AWS::EC2::NatGateway')).toEqual([])
    expect(resource(stack, 'DefaultRoute')).toMatchObject({ GatewayId: 'InternetGateway-id' })
    expect(['DynamoDBEndpoint', 'S3Endpoint'].map(name => resource(stack, name))).toMatchObject([
      { ServiceName: 'com.amazonaws.eu-west-1.dynamodb', VpcEndpointType: 'Gateway' },
      { ServiceName: 'com.amazonaws.eu-west-1.s3', VpcEndpointType: 'Gateway' },
    ])
  })

  it('lets nobody in', () => {
    const group = resource(stack, 'RunnerSecurityGroup')
    expect(group).not.toHaveProperty('SecurityGroupIngress')
    expect(ofType(stack.template, 'AWS::EC2::SecurityGroupIngress')).toEqual([])
  })

  it('can be one that exists', () => {
    const resolver = new Resolver(existing)
    expect(resolver.condition('OwnNetwork')).toBe(false)
    expect(resolver.environment('launch').TORNADE_SUBNETS).toBe(SUBNETS)
    expect(resource(existing, 'RunnerSecurityGroup')).toMatchObject({ VpcId: 'vpc-0123456789abcdef0' })
    const made = Object.entries(existing.template.Resources).filter(
      ([, { Type, Condition }]) => Type.startsWith('AWS::EC2::') && Condition !== 'OwnNetwork',
    )
    expect(made.map(([name]) => name)).toEqual(['RunnerSecurityGroup'])
  })
})

describe('runners', () => {
  it.each([
    ['RunnerDraftX64', 'x64', 'X86_64'],
    ['RunnerDraftArm64', 'arm64', 'ARM64'],
  ])('have the draft %s for Fargate', (name, arch, CpuArchitecture) => {
    const draft = new Resolver(stack).value(stack.template.Resources[name]!.Properties)
    expect(draft).toMatchObject({
      Family: `tornade-dev-draft-${arch}`,
      RequiresCompatibilities: ['FARGATE'],
      RuntimePlatform: { CpuArchitecture },
      ContainerDefinitions: [
        {
          Name: 'runner',
          Image: expect.stringMatching(
            /^123456789012\.dkr\.ecr\.eu-west-1\.amazonaws\.com\/tornade-dev-runner@sha256:0{64}$/,
          ),
          StopTimeout: 120,
          LogConfiguration: { Options: { 'awslogs-group': '/tornade/dev/runners', mode: 'non-blocking' } },
        },
      ],
    })
    // The drafts are not what is started.
    expect(new Resolver(stack).environment('launch')[`TORNADE_TASK_${arch.toUpperCase()}`]).toBe(
      `tornade-dev-${arch}`,
    )
  })

  it.each([
    ['BuildDraftX64', 'RunnerDraftX64', 'x64'],
    ['BuildDraftArm64', 'RunnerDraftArm64', 'arm64'],
  ])('have the draft %s with the image builder beside the runner', (name, plain, arch) => {
    const definition = (of: string) =>
      new Resolver(stack).value(stack.template.Resources[of]!.Properties) as {
        ContainerDefinitions: Record<string, unknown>[]
        Volumes: unknown
      }
    const [{ ContainerDefinitions, Volumes, ...rest }, { ContainerDefinitions: alone, ...draft }] = [
      definition(name),
      definition(plain),
    ]
    expect(rest).toEqual({ ...draft, Family: `tornade-dev-draft-build-${arch}` })
    expect(Volumes).toEqual([{ Name: 'exchange' }])
    const [runner, builder] = ContainerDefinitions as [Record<string, unknown>, Record<string, unknown>]
    const MountPoints = [{ SourceVolume: 'exchange', ContainerPath: '/tornade/exchange', ReadOnly: false }]
    expect(runner).toEqual({
      ...alone[0],
      DependsOn: [{ ContainerName: 'builder', Condition: 'START' }],
      Environment: [
        ...(alone[0]!.Environment as unknown[]),
        { Name: 'TORNADE_EXCHANGE_FOLDER', Value: '/tornade/exchange' },
      ],
      MountPoints,
    })
    // It is told nothing: neither a ticket's table nor a policy.
    expect(builder).toMatchObject({ Name: 'builder', Essential: false, MountPoints })
    expect(builder).not.toHaveProperty('Environment')
    expect(new Resolver(stack).environment('launch').TORNADE_TASK_BUILD + arch).toBe(
      `tornade-dev-build-${arch}`,
    )
  })

  it('have a cluster with both kinds of capacity', () => {
    expect(stack.template.Resources.Cluster!.Properties).toMatchObject({
      CapacityProviders: ['FARGATE', 'FARGATE_SPOT'],
    })
  })

  it('have a project on CodeBuild without source or privileges of its own', () => {
    expect(stack.template.Resources.BuildProject!.Properties).toMatchObject({
      Source: { Type: 'NO_SOURCE' },
      Environment: { PrivilegedMode: false, ImagePullCredentialsType: 'SERVICE_ROLE' },
    })
  })

  it('have a task definition for each image and architecture of tornade.yml, pinned, and else as the draft', () => {
    const resolver = new Resolver(withImages)
    const definitionOf = (name: string) =>
      resolver.value(withImages.template.Resources[name]!.Properties) as {
        Family: string
        ContainerDefinitions: [Record<string, unknown>]
      }
    const drafts = { x64: definitionOf('RunnerDraftX64'), arm64: definitionOf('RunnerDraftArm64') }
    const made = Object.keys(withImages.template.Resources).filter(
      name => !(name in stack.template.Resources),
    )
    const expected = [
      ['node-22', 'x64', NODE],
      ['node-22', 'arm64', NODE],
      ['node22', 'x64', NODE],
      ['mobile', 'arm64', MOBILE],
    ] as const
    expect(made.map(definitionOf)).toEqual(
      expected.map(([name, arch, Image]) => ({
        ...drafts[arch],
        Family: `tornade-dev-image-${name}-${arch}`,
        ContainerDefinitions: [
          { ...drafts[arch].ContainerDefinitions[0], Image, EntryPoint: ['/opt/tornade/entrypoint'] },
        ],
      })),
    )
    expect(expected[0]![2]).toMatch(/@sha256:[0-9a-f]{64}$/)
    const families = resolver.environment('launch').TORNADE_TASK_IMAGE
    for (const { Family } of made.map(definitionOf)) expect(Family.startsWith(families!)).toBe(true)
  })

  it('have a template with images that is as sound as the one without', async () => {
    expect(specificationFaults(withImages.template)).toEqual([])
    expect(referenceFaults(withImages.template)).toEqual([])
    expect(cycleFaults(withImages.template)).toEqual([])
    expect(await grantFaults(withImages, EVERYWHERE)).toEqual([])
    expect(passRoleFaults(withImages)).toEqual([])
    expect(logFaults(withImages)).toEqual([])
    expect(secretFaults(withImages)).toEqual([])
    expect(idleCostFaults(withImages.template)).toEqual([])
  })

  it('have the same template where tornade.yml has no images and where nothing was packaged', async () => {
    const text = ({ template }: Stack) => JSON.stringify(template).replaceAll(/\d{13}-[\dTZ:.-]+/g, 'TIME')
    expect(text(await compileStack({ images: {} }))).toBe(text(stack))
  })

  it('come from images that keep their tags and are scanned and tidied away', () => {
    const repository = stack.template.Resources.RunnerImages!.Properties!
    expect(repository).toMatchObject({
      ImageTagMutability: 'IMMUTABLE',
      ImageScanningConfiguration: { ScanOnPush: true },
    })
    const { LifecyclePolicyText } = repository.LifecyclePolicy as { LifecyclePolicyText: string }
    expect(JSON.parse(LifecyclePolicyText).rules).toHaveLength(13)
  })

  it('come from images that stay while they are in use, however many are pushed after them', () => {
    const { LifecyclePolicyText } = stack.template.Resources.RunnerImages!.Properties!.LifecyclePolicy as {
      LifecyclePolicyText: string
    }
    const kinds = ['fargate-x64', 'fargate-arm64', 'codebuild-x64', 'codebuild-arm64']
    const pushed = kinds.flatMap(kind => [
      [`${kind}-1`, `pinned-${kind}-1`],
      ...Array.from({ length: 10 }, (_, index) => [`${kind}-${index + 2}`]),
    ])
    const left = kept(JSON.parse(LifecyclePolicyText).rules, pushed)
    for (const kind of kinds) expect(left.filter(([tag]) => tag!.startsWith(kind))).toHaveLength(4)
    expect(left.filter(tags => tags.length > 1)).toHaveLength(4)
    // And what was in use before goes.
    const weeks = Array.from({ length: 10 }, (_, week) => [
      `fargate-x64-${week}`,
      `pinned-fargate-x64-${week}`,
    ])
    expect(kept(JSON.parse(LifecyclePolicyText).rules, weeks)).toEqual(weeks.slice(-3))
  })

  it('get new images every week and after each deployment', () => {
    const resolver = new Resolver(stack)
    const rule = (name: string) => resolver.value(stack.template.Resources[name]!.Properties)
    const targets = ['image-x64', 'image-arm64'].map(name => ({
      Arn: `arn:aws:codebuild:eu-west-1:123456789012:project/tornade-dev-${name}`,
    }))
    expect(rule('WeeklyImages')).toMatchObject({
      ScheduleExpression: 'cron(17 3 ? * MON *)',
      Targets: targets,
    })
    expect(rule('ImagesAfterDeployment')).toMatchObject({ Targets: targets })
  })
})

describe('docs/install.md', () => {
  let text: string
  beforeAll(async () => {
    text = await readFile(join(ROOT, 'docs/install.md'), 'utf8')
  })

  it('names what the stack has', () => {
    const known = JSON.stringify(stack.template)
    // Families of the image builder and roles of jobs, which the template has as a prefix or an environment variable.
    const elsewhere = new Set(['tornade-dev-deploy', 'tornade-dev-draft-', 'tornade-dev-refused-launches'])
    const names = text.match(/(?:tornade-dev(?:-[a-z0-9-]+)|\/tornade\/dev\/[a-z0-9/-]+)/g) ?? []
    const strange = [...new Set(names)].filter(
      name =>
        !elsewhere.has(name) &&
        !known.includes(name.replace(/^\/tornade\/dev\/jobs\/$/, '/tornade/dev/jobs/*')),
    )
    expect(strange).toEqual([])
    for (const output of ['WebhookUrl', 'RunnerBasePolicyArn', 'RunnerBuildPolicyArn']) {
      expect(text).toContain(output)
      expect(stack.template.Outputs).toHaveProperty(output)
    }
  })

  it('tells the cost of an idle stack as docs/costs.md adds it up, at most $3 a month', async () => {
    const costs = await readFile(join(ROOT, 'docs/costs.md'), 'utf8')
    const table = costs.slice(costs.indexOf('### A month in which nothing runs'))
    const rows = [...table.matchAll(/^\|.*\| (?:\*\*)?(\d+\.\d\d)(?:\*\*)? \|$/gm)]
    const amounts = rows.map(([, amount]) => Math.round(Number(amount) * 100))
    const total = amounts.pop()!
    expect(text).toContain(`About $${(Math.round(total / 10) / 10).toFixed(2)} a month`)
    expect(amounts.reduce((sum, one) => sum + one)).toBe(total)
    expect(total).toBeLessThanOrEqual(300)
    const alarms = ofType(stack.template, 'AWS::CloudWatch::Alarm').length
    expect(amounts[0]).toBe(alarms * 10)
  })
})

describe('the checks find', () => {
  it.each<[string, () => Stack, string]>([
    [
      'a property that does not exist',
      () => withProperties('LaunchQueue', { Visibility: 1 }),
      'LaunchQueue.Visibility: there is no such property',
    ],
    [
      'a property of another kind',
      () => withProperties('LaunchQueue', { VisibilityTimeout: 'long' }),
      'LaunchQueue.VisibilityTimeout: is no integer',
    ],
    [
      'a property deep down',
      () => withProperties('Cluster', { ClusterSettings: [{ Nam: 'x' }] }),
      'Cluster.ClusterSettings[0].Nam: there is no such property',
    ],
    [
      'a value that is none of those allowed',
      () => withProperties('RunnerImages', { ImageTagMutability: 'NEVER' }),
      'RunnerImages.ImageTagMutability: NEVER is none of MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION',
    ],
    [
      'a list that is none',
      () => withProperties('Cluster', { CapacityProviders: 'FARGATE' }),
      'Cluster.CapacityProviders: is no list',
    ],
    ['a property that is missing', () => without('SubnetA', 'VpcId'), 'SubnetA.VpcId: is required'],
    [
      'a fault in one branch of an Fn::If',
      () =>
        withProperties('RunnerSecurityGroup', { VpcId: { 'Fn::If': ['OwnNetwork', 1, { Ref: 'VpcId' }] } }),
      'RunnerSecurityGroup.VpcId: is no string',
    ],
    [
      'a type that does not exist',
      () => edited('Cluster', one => ({ ...one, Type: 'AWS::ECS::Clutter' })),
      'Cluster: CloudFormation has no type AWS::ECS::Clutter',
    ],
    [
      'a tag without a key',
      () => withProperties('Vpc', { Tags: [{ Name: 'x', Value: 'y' }] }),
      'Vpc.Tags[0]: is no tag',
    ],
  ])('%s', (_, broken, fault) => {
    expect(specificationFaults(broken().template)).toEqual([fault])
  })

  it.each<[string, () => Stack, string]>([
    [
      'a reference to nothing',
      () => withProperties('AlarmTopic', { TopicName: { Ref: 'Nothing' } }),
      'AlarmTopic.TopicName: there is no Nothing',
    ],
    [
      'a name in a text that leads nowhere',
      () => withProperties('AlarmTopic', { TopicName: { 'Fn::Sub': 'x-${Nothing}-${!Literal}' } }),
      'AlarmTopic.TopicName: there is no Nothing',
    ],
    [
      'an attribute that a type does not have',
      () => withProperties('AlarmTopic', { TopicName: { 'Fn::GetAtt': ['LaunchQueue', 'Name'] } }),
      'AlarmTopic.TopicName: AWS::SQS::Queue has no attribute Name',
    ],
    [
      'a dependency that is not there',
      () => edited('AlarmTopic', one => ({ ...one, DependsOn: 'Nothing' })),
      'AlarmTopic.DependsOn: there is no Nothing',
    ],
    [
      'a reference to what may not be there',
      () => withProperties('RunnerSecurityGroup', { VpcId: { Ref: 'Vpc' } }),
      'RunnerSecurityGroup.VpcId: Vpc is there under OwnNetwork only',
    ],
    [
      'a condition that is not there',
      () => edited('AlarmTopic', one => ({ ...one, Condition: 'Sometimes' })),
      'AlarmTopic: there is no condition Sometimes',
    ],
  ])('%s', (_, broken, fault) => {
    expect(referenceFaults(broken().template)).toContain(fault)
  })

  it('resources that wait for each other', () => {
    const broken = withProperties('LaunchDeadLetterQueue', {
      QueueName: { 'Fn::Sub': '${LaunchQueue.QueueName}-dead' },
    })
    expect(cycleFaults(broken.template)).toEqual(['LaunchQueue → LaunchDeadLetterQueue → LaunchQueue'])
  })

  it.each<[string, Record<string, unknown>, string]>([
    [
      '* without a reason',
      { Action: 'ecs:DescribeTaskDefinition', Resource: '*' },
      'SweepRole.Broken: allows * without a reason',
    ],
    ['every action', { Action: '*', Resource: { Ref: 'AlarmTopic' } }, 'SweepRole.Broken: allows *'],
    [
      'every action of a service',
      { Action: 'sns:*', Resource: { Ref: 'AlarmTopic' } },
      'SweepRole.Broken: allows sns:*',
    ],
    [
      'all but one action',
      { NotAction: 'sns:Publish', Resource: { Ref: 'AlarmTopic' } },
      'SweepRole.Broken: allows all but some actions',
    ],
    [
      'what other stacks have',
      { Action: 'ssm:GetParameters', Resource: 'arn:aws:ssm:eu-west-1:123456789012:parameter/*' },
      'SweepRole.Broken: arn:aws:ssm:eu-west-1:123456789012:parameter/* reaches beyond this stack',
    ],
    [
      'what a stage has whose name begins alike',
      { Action: 'sqs:SendMessage', Resource: 'arn:aws:sqs:eu-west-1:123456789012:tornade-de*' },
      'SweepRole.Broken: arn:aws:sqs:eu-west-1:123456789012:tornade-de* reaches beyond this stack',
    ],
    [
      'an action that does not exist',
      { Action: 'sqs:SendMessages', Resource: { 'Fn::GetAtt': ['LaunchQueue', 'Arn'] } },
      'SweepRole.Broken: there is no action sqs:SendMessages',
    ],
    [
      'an action on what it is not for',
      { Action: 'ecs:RunTask', Resource: { 'Fn::GetAtt': ['Cluster', 'Arn'] } },
      'SweepRole.Broken: ecs:RunTask is not for arn:aws:ecs:eu-west-1:123456789012:cluster/tornade-dev',
    ],
    [
      'an action that knows no resource',
      { Action: 'ecr:GetAuthorizationToken', Resource: { 'Fn::GetAtt': ['RunnerImages', 'Arn'] } },
      'SweepRole.Broken: ecr:GetAuthorizationToken knows no resource but *',
    ],
    [
      'an action that is asked of * all the same',
      {
        Action: 'ecs:RegisterTaskDefinition',
        Resource: 'arn:aws:ecs:eu-west-1:123456789012:task-definition/tornade-dev-x64:*',
      },
      'SweepRole.Broken: ecs:RegisterTaskDefinition is asked of * and would be refused',
    ],
    [
      'a condition that its action does not know',
      {
        Action: 'ecs:StopTask',
        Resource: 'arn:aws:ecs:eu-west-1:123456789012:task/tornade-dev/*',
        Condition: { ArnEquals: { 'ecs:clusters': 'x' } },
      },
      'SweepRole.Broken: ecs:StopTask has no condition key ecs:clusters',
    ],
  ])('a grant of %s', async (_, statement, fault) => {
    expect(await grantFaults(withStatement('SweepRole', statement), OTHERS)).toEqual([fault])
  })

  it('an exception that nobody needs, and one for an action that needs none', async () => {
    expect(await grantFaults(stack, { ...EVERYWHERE, 'SweepRole.SendMessages': 'why' })).toEqual([
      'SweepRole.SendMessages: is listed with * and does not have it',
    ])
    const broken = withStatement('SweepRole', { Action: 'sqs:SendMessage', Resource: '*' })
    expect(await grantFaults(broken, { ...OTHERS, 'SweepRole.Broken': 'why' })).toEqual([
      'SweepRole.Broken: sqs:SendMessage knows narrower resources than *',
    ])
  })

  it('roles that are passed to anybody', () => {
    const broken = withStatement('LaunchRole', {
      Action: 'iam:PassRole',
      Resource: { 'Fn::GetAtt': ['RunnerRole', 'Arn'] },
    })
    expect(passRoleFaults(broken)).toEqual(['LaunchRole.Broken: passes roles to anybody'])
  })

  it('functions that share a role, or have none', () => {
    const Role = { 'Fn::GetAtt': ['LaunchRole', 'Arn'] }
    expect(roleFaults(withProperties('SweepLambdaFunction', { Role }).template)).toEqual([
      'LaunchRole: is the role of LaunchLambdaFunction and SweepLambdaFunction',
    ])
    expect(roleFaults(without('SweepLambdaFunction', 'Role').template)).toEqual([
      'SweepLambdaFunction: has no role of this stack',
    ])
  })

  it('logs that are kept for ever, and log groups that nobody makes', () => {
    expect(logFaults(without('RunnerLogs', 'RetentionInDays'))).toEqual(['RunnerLogs: keeps logs for ever'])
    expect(logFaults(withProperties('SweepLambdaFunction', { FunctionName: 'tornade-dev-sleep' }))).toEqual([
      'SweepLambdaFunction: nobody makes /aws/lambda/tornade-dev-sleep',
    ])
    const LogsConfig = { CloudWatchLogs: { Status: 'ENABLED', GroupName: '/other' } }
    expect(logFaults(withProperties('ImageX64Project', { LogsConfig }))).toEqual([
      'ImageX64Project: nobody makes /other',
    ])
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['a value that is no name', { SECRET: 'hunter2' }, 'tornade-dev-sweep: SECRET is no name of this stack'],
    [
      'a secret that CloudFormation would look up',
      { SECRET: '/tornade/dev/{{resolve:ssm-secure:x}}' },
      'the template has /\\{\\{resolve:/',
    ],
    ['a key', { SECRET: { 'Fn::Sub': '-----BEGIN RSA PRIVATE KEY-----' } }, 'the template has /-----BEGIN/'],
  ])('%s', (_, Variables, fault) => {
    expect(secretFaults(withProperties('SweepLambdaFunction', { Environment: { Variables } }))).toEqual([
      fault,
    ])
  })

  it('a queue without dead letters', () => {
    expect(deadLetterFaults(without('EventsQueue', 'RedrivePolicy').template)).toEqual([
      'LifecycleEventSourceMappingSQSEventsQueue: EventsQueue keeps no dead letters',
    ])
  })

  it.each<[string, Record<string, unknown>, string]>([
    [
      'on a metric that nothing emits',
      { MetricName: 'LaunchesRefused' },
      'RefusedLaunchesAlarm: nothing emits LaunchesRefused',
    ],
    [
      'under dimensions that the metric does not have',
      { Dimensions: [{ Name: 'Stage', Value: 'dev' }] },
      'RefusedLaunchesAlarm: JobsRefused is emitted with {"service":"tornade","stage":"dev"}',
    ],
    ['that tells nobody', { AlarmActions: [] }, 'RefusedLaunchesAlarm: tells nobody'],
    [
      'on a metric that AWS does not have',
      { Namespace: 'AWS/Lambda', MetricName: 'Faults' },
      'RefusedLaunchesAlarm: there is no AWS/Lambda Faults',
    ],
    [
      'on a metric of AWS under other dimensions',
      { Namespace: 'AWS/Lambda', MetricName: 'Errors' },
      'RefusedLaunchesAlarm: Errors has the dimensions FunctionName',
    ],
  ])('an alarm %s', (_, properties, fault) => {
    expect(alarmFaults(withProperties('RefusedLaunchesAlarm', properties), emitted)).toEqual([fault])
  })

  it('what is billed while nothing runs', () => {
    expect(idleCostFaults(withProperties('S3Endpoint', { VpcEndpointType: 'Interface' }).template)).toEqual([
      'S3Endpoint: $7.30 a month and zone',
    ])
    const insights = [{ Name: 'containerInsights', Value: 'enabled' }]
    expect(idleCostFaults(withProperties('Cluster', { ClusterSettings: insights }).template)).toEqual([
      'Cluster: metrics by the month',
    ])
  })
})
