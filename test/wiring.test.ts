import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TornadeError } from '../functions/core/errors.ts'
import { matchesPattern, type Pattern, readWiring, routeOf, type Wiring } from '../local/wiring.ts'
import { imageResources } from '../scripts/images.ts'

const ROOT = join(import.meta.dirname, '..')
const FILES = ['serverless.yml', ...(await readdir(join(ROOT, 'infra'))).map(name => `infra/${name}`)]

let folder: string
let count = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tornade-wiring-'))
})
afterAll(() => rm(folder, { recursive: true }))

type Edits = Readonly<Record<string, string | readonly [from: string, to: string]>>

/** Reads the deployed files with edits: file → new text, or the text to replace in it and by what. */
async function readEdited(edits: Edits): Promise<Wiring> {
  const root = join(folder, String(++count))
  for (const file of new Set([...FILES, ...Object.keys(edits)])) {
    const edit = edits[file]
    const text = typeof edit === 'string' ? edit : await readFile(join(ROOT, file), 'utf8')
    if (Array.isArray(edit) && !text.includes(edit[0])) throw new Error(`${file} has no ${edit[0]}`)
    await mkdir(dirname(join(root, file)), { recursive: true })
    await writeFile(join(root, file), Array.isArray(edit) ? text.replace(edit[0], edit[1]) : text)
  }
  return readWiring(root, 'dev')
}

async function faults(edits: Edits): Promise<readonly string[]> {
  const error: TornadeError = await readEdited(edits).then(
    () => Promise.reject(new Error('nothing was refused')),
    error => error,
  )
  expect(error.code).toBe('wiring-unknown')
  return error.details
}

describe('what is deployed', () => {
  it('is these functions, on these events', async () => {
    const { functions } = await readWiring(ROOT, 'dev')
    const nothing = { http: [], queues: [], schedules: [], reservedConcurrency: null, memoryMb: 512 }
    const mapping = { batchSize: 10, reportBatchItemFailures: true, maximumConcurrency: 5 }
    const handler = (name: string) => `functions/aws/entry/${name}.handler`
    expect(functions).toEqual([
      {
        ...nothing,
        name: 'webhook',
        handler: handler('webhook'),
        timeoutMs: 10_000,
        http: [{ method: 'ANY', path: '/webhook' }],
      },
      {
        ...nothing,
        name: 'launch',
        handler: handler('launch'),
        memoryMb: 256,
        timeoutMs: 60_000,
        queues: [{ ...mapping, queue: 'launch' }],
      },
      {
        ...nothing,
        name: 'lifecycle',
        handler: handler('lifecycle'),
        timeoutMs: 60_000,
        queues: [{ ...mapping, queue: 'events' }],
      },
      {
        ...nothing,
        name: 'sweep',
        handler: handler('sweep'),
        timeoutMs: 55_000,
        schedules: [{ everyMs: 60_000 }],
      },
      {
        ...nothing,
        name: 'dashboard',
        handler: handler('dashboard'),
        timeoutMs: 20_000,
        http: [
          { method: 'ANY', path: '/' },
          { method: 'ANY', path: '/{proxy+}' },
        ],
      },
      {
        ...nothing,
        name: 'notify',
        handler: handler('notify'),
        memoryMb: 256,
        timeoutMs: 30_000,
        schedules: [{ everyMs: 900_000 }],
      },
      {
        ...nothing,
        name: 'slack',
        handler: handler('slack'),
        timeoutMs: 10_000,
        http: [{ method: 'POST', path: '/slack' }],
      },
    ])
  })

  it.each([
    ['POST', '/webhook', 'webhook', 'ANY /webhook'],
    ['GET', '/webhook', 'webhook', 'ANY /webhook'],
    ['GET', '/', 'dashboard', 'ANY /'],
    ['GET', '/webhook/', 'dashboard', 'ANY /{proxy+}'],
    ['GET', '/webhooks', 'dashboard', 'ANY /{proxy+}'],
    ['PUT', '/api/jobs', 'dashboard', 'ANY /{proxy+}'],
    ['POST', '/slack', 'slack', 'POST /slack'],
    ['GET', '/slack', 'dashboard', 'ANY /{proxy+}'],
  ])('takes %s %s to the function %s', async (method, path, name, routeKey) => {
    const { functions } = await readWiring(ROOT, 'dev')
    expect(routeOf(functions, method, path)).toEqual({ name, routeKey })
  })

  it('takes a request by the narrowest route', async () => {
    const { functions } = await readWiring(ROOT, 'dev')
    const routes = ['ANY /{all+}', 'GET /{all+}', 'ANY /a/{rest+}', 'ANY /a/b', 'GET /a/b'].map(
      (text, index) => {
        const [method, path] = text.split(' ') as [string, string]
        return { ...functions[0]!, name: String(index), http: [{ method, path }] }
      },
    )
    const taken = (method: string, path: string) => routeOf(routes, method, path)?.name
    expect([taken('GET', '/a/b'), taken('PUT', '/a/b'), taken('GET', '/a/b/c'), taken('GET', '/a/')]).toEqual(
      ['4', '3', '2', '1'],
    )
    expect([taken('PUT', '/x'), taken('GET', '/')]).toEqual(['0', undefined])
  })

  it('is these queues, named after service and stage', async () => {
    const { queues } = await readWiring(ROOT, 'staging', 'ap-northeast-1')
    const queue = (name: string) => ({
      name,
      arn: `arn:aws:sqs:ap-northeast-1:123456789012:tornade-staging-${name}`,
      visibilityTimeoutMs: 360_000,
      maxReceiveCount: 5,
      deadLetter: `tornade-staging-${name}-dead-letters`,
    })
    expect(queues).toEqual([queue('launch'), queue('events')])
  })

  it('follows the advice of AWS for queues that Lambda reads', async () => {
    const { functions, queues } = await readWiring(ROOT, 'dev')
    for (const { timeoutMs, queues: mappings } of functions) {
      for (const { queue, reportBatchItemFailures } of mappings) {
        const { visibilityTimeoutMs, maxReceiveCount } = queues.find(({ name }) => name === queue)!
        expect(visibilityTimeoutMs).toBeGreaterThanOrEqual(6 * timeoutMs)
        expect(maxReceiveCount).toBeGreaterThanOrEqual(5)
        expect(reportBatchItemFailures).toBe(true)
      }
    }
  })

  it('never runs two sweeps at once', async () => {
    const { functions } = await readWiring(ROOT, 'dev')
    const sweep = functions.find(({ name }) => name === 'sweep')!
    expect(sweep.timeoutMs).toBeLessThan(sweep.schedules[0]!.everyMs)
  })
})

describe('the rules', () => {
  /** Names of the queues that an event of AWS ends up on, in a deployment to eu-west-1. */
  async function destinations(event: object, stage = 'dev'): Promise<string[]> {
    const { rules } = await readWiring(ROOT, stage, 'eu-west-1')
    return rules.filter(({ pattern }) => matchesPattern(pattern, event)).map(({ queue }) => queue)
  }
  const task = (detail: object, stage = 'dev') => ({
    source: 'aws.ecs',
    'detail-type': 'ECS Task State Change',
    detail: { clusterArn: `arn:aws:ecs:eu-west-1:123456789012:cluster/tornade-${stage}`, ...detail },
  })
  const build = (project: string, status = 'SUCCEEDED') => ({
    source: 'aws.codebuild',
    'detail-type': 'CodeBuild Build State Change',
    detail: { 'project-name': project, 'build-status': status },
  })

  const phase = (completed: string, status = 'SUCCEEDED') => ({
    source: 'aws.codebuild',
    'detail-type': 'CodeBuild Build Phase Change',
    detail: {
      'project-name': 'tornade-dev',
      'completed-phase': completed,
      'completed-phase-status': status,
    },
  })

  it.each([
    ['a task that runs', task({ desiredStatus: 'RUNNING', lastStatus: 'RUNNING' })],
    ['the warning before Spot takes a task', task({ desiredStatus: 'STOPPED', lastStatus: 'RUNNING' })],
    ['a task that has stopped', task({ desiredStatus: 'STOPPED', lastStatus: 'STOPPED' })],
    ['a build that starts', build('tornade-dev', 'IN_PROGRESS')],
    ['a build whose container is up', phase('PROVISIONING')],
    ['a build that timed out', build('tornade-dev', 'TIMED_OUT')],
  ])('put %s on the events queue', async (_, event) => {
    expect(await destinations(event)).toEqual(['events'])
  })

  it.each([
    ['a task on its way', task({ desiredStatus: 'RUNNING', lastStatus: 'PROVISIONING' })],
    [
      'a task of another cluster',
      task({ clusterArn: 'arn:aws:ecs:eu-west-1:123456789012:cluster/web', lastStatus: 'STOPPED' }),
    ],
    ['a task of another stage', task({ lastStatus: 'STOPPED' }, 'dev-2')],
    ['the other phases of a build', phase('SUBMITTED')],
    ['a container that did not come up', phase('PROVISIONING', 'FAILED')],
    ['a build of another project', build('tornade-dev-2')],
    ['another kind of event', { ...task({ lastStatus: 'STOPPED' }), 'detail-type': 'ECS Service Action' }],
    ['another source', { ...task({ lastStatus: 'STOPPED' }), source: 'custom' }],
  ])('leave out %s', async (_, event) => {
    expect(await destinations(event)).toEqual([])
  })

  it('ask for the names that the adapters use', async () => {
    const { names, rules } = await readWiring(ROOT, 'dev', 'eu-west-1')
    expect(names).toEqual({
      clusterArn: 'arn:aws:ecs:eu-west-1:123456789012:cluster/tornade-dev',
      buildProject: 'tornade-dev',
    })
    expect(rules.map(({ pattern }) => pattern)).toMatchObject([
      { detail: { clusterArn: [names.clusterArn] } },
      { detail: { 'project-name': [names.buildProject] } },
      { detail: { 'project-name': [names.buildProject] } },
    ])
  })
})

describe('a forgotten setting', () => {
  it.each([
    [
      'functionResponseType',
      '          functionResponseType: ReportBatchItemFailures\n',
      { reportBatchItemFailures: false },
    ],
    ['maximumConcurrency', '          maximumConcurrency: 5\n', { maximumConcurrency: null }],
    ['batchSize', '          batchSize: 10\n', { batchSize: 10 }],
  ])('%s shows, as it would on AWS', async (_, line, expected) => {
    const text = await readFile(join(ROOT, 'serverless.yml'), 'utf8')
    const { functions } = await readEdited({ 'serverless.yml': text.replaceAll(line, '') })
    for (const name of ['launch', 'lifecycle']) {
      expect(functions.find(one => one.name === name)!.queues[0]).toMatchObject(expected)
    }
  })

  it('VisibilityTimeout leaves the 30 seconds of SQS, shorter than the function: Lambda refuses that', async () => {
    expect(await faults({ 'infra/queues.yml': ['      VisibilityTimeout: 360\n', ''] })).toEqual([
      'functions.launch.timeout: longer than the VisibilityTimeout of LaunchQueue, which Lambda refuses',
    ])
  })

  it('RedrivePolicy leaves a queue without dead letters', async () => {
    const policy = / {6}RedrivePolicy:\n.*\n.*LaunchDeadLetterQueue.*\n.*\n/
    const text = await readFile(join(ROOT, 'infra/queues.yml'), 'utf8')
    const lone = /\n {2}LaunchDeadLetterQueue:[\s\S]*?(?=\n {2}\w)/
    const { queues } = await readEdited({ 'infra/queues.yml': text.replace(policy, '').replace(lone, '') })
    expect(queues[0]).toMatchObject({ maxReceiveCount: null, deadLetter: null })
  })

  it('the queue policy loses every event of EventBridge', async () => {
    const policy = await readFile(join(ROOT, 'infra/events.yml'), 'utf8')
    const without = policy.slice(0, policy.indexOf('  EventsQueuePolicy'))
    const missing = 'no AWS::SQS::QueuePolicy lets this rule send to EventsQueue'
    expect(await faults({ 'infra/events.yml': without })).toEqual([
      `infra/events.yml: Resources.TaskStateChanges.Properties.Targets[0]: ${missing}`,
      `infra/events.yml: Resources.BuildStateChanges.Properties.Targets[0]: ${missing}`,
      `infra/events.yml: Resources.BuildsUp.Properties.Targets[0]: ${missing}`,
    ])
    expect(
      await faults({
        'infra/events.yml': ['                  - Fn::GetAtt: [BuildStateChanges, Arn]\n', ''],
      }),
    ).toEqual([`infra/events.yml: Resources.BuildStateChanges.Properties.Targets[0]: ${missing}`])
  })

  it("logs would leave out a function's own lines, or Lambda would refuse them", async () => {
    const logs = '    logs: { logFormat: JSON, systemLogLevel: WARN }\n'
    const edited = (text: string) => faults({ 'serverless.yml': [logs, `    logs: ${text}\n`] })
    expect(await edited('{ logFormat: JSON, systemLogLevel: WARN, applicationLogLevel: ERROR }')).toEqual([
      'functions.webhook.logs.applicationLogLevel: the local stack does not know this key',
    ])
    expect(await edited('{ logFormat: Text, systemLogLevel: WARN }')).toEqual([
      expect.stringMatching(/^functions\.webhook\.logs\.logFormat: /),
    ])
  })

  it('maximumRetryAttempts lets Lambda repeat a failed sweep', async () => {
    expect(await faults({ 'serverless.yml': ['    maximumRetryAttempts: 0\n', ''] })).toEqual([
      'functions.sweep.maximumRetryAttempts: write 0 where there is a schedule: Lambda repeats a failed one twice, the local stack never',
    ])
  })
})

describe('what the local stack does not know', () => {
  const unknown = 'the local stack does not know this key'

  it.each<[string, Edits, string]>([
    [
      'a key of an event',
      { 'serverless.yml': ['batchSize: 10', 'filterPatterns: []'] },
      `functions.launch.events[0].sqs.filterPatterns: ${unknown}`,
    ],
    [
      'a kind of event',
      { 'serverless.yml': ['- httpApi: ANY /webhook', '- sns: topic'] },
      `functions.webhook.events[0].sns: ${unknown}`,
    ],
    [
      'a key of a function',
      { 'serverless.yml': ['timeout: 10', 'url: true'] },
      `functions.webhook.url: ${unknown}`,
    ],
    [
      'a key of the provider',
      { 'serverless.yml': ['memorySize: 512', 'vpc: {}'] },
      `provider.vpc: ${unknown}`,
    ],
    [
      'a key at the top',
      { 'serverless.yml': ['service: tornade', 'service: tornade\nplugins: []'] },
      `plugins: ${unknown}`,
    ],
    [
      'a schedule',
      { 'serverless.yml': ['rate(1 minute)', 'cron(0 * * * ? *)'] },
      'functions.sweep.events[0].schedule: the local stack does not know the schedule cron(0 * * * ? *); it knows rate(5 minutes)',
    ],
    [
      'a rate that AWS refuses',
      { 'serverless.yml': ['rate(1 minute)', 'rate(5 minute)'] },
      'functions.sweep.events[0].schedule: the local stack does not know the schedule rate(5 minute); it knows rate(5 minutes)',
    ],
    [
      'a route',
      { 'serverless.yml': ['ANY /webhook', '"*"'] },
      'functions.webhook.events[0].httpApi: the local stack does not know the route *; it knows ANY /path and ANY /path/{rest+}',
    ],
    [
      'a route with a part that stands for one',
      { 'serverless.yml': ['{proxy+}', '{proxy}'] },
      'functions.dashboard.events[1].httpApi: the local stack does not know the route ANY /{proxy}; it knows ANY /path and ANY /path/{rest+}',
    ],
    [
      'a setting of a route',
      { 'infra/api.yml': ['ANY /: { ThrottlingRateLimit: 20', 'ANY /: { LoggingLevel: INFO'] },
      `infra/api.yml: extensions.HttpApiStage.Properties.RouteSettings.ANY /.LoggingLevel: ${unknown}`,
    ],
    [
      'a variable',
      { 'serverless.yml': ['memorySize: 512', `memorySize: \${opt:memory, 512}`] },
      `provider.memorySize: the local stack does not know the variable \${opt:memory, 512}`,
    ],
    [
      'a variable in another file',
      { 'infra/queues.yml': [`\${sls:stage}-launch\n`, `\${env:STAGE}-launch\n`] },
      `infra/queues.yml: Resources.LaunchQueue.Properties.QueueName: the local stack does not know the variable \${env:STAGE}`,
    ],
    [
      'a variable within a variable',
      {
        'serverless.yml': [
          'service: tornade',
          `service: tornade\nframeworkVersion: \${self:by.\${self:service}}`,
        ],
      },
      `frameworkVersion: the local stack does not know variables within variables: \${self:by.\${self:service}}`,
    ],
    [
      'a file outside the project',
      { 'serverless.yml': ['file(infra/events.yml)', 'file(../events.yml)'] },
      `resources[1]: the local stack does not know the variable \${file(../events.yml)}`,
    ],
    [
      'a property of a queue',
      { 'infra/queues.yml': ['SqsManagedSseEnabled: true', 'DelaySeconds: 5'] },
      `infra/queues.yml: Resources.LaunchQueue.Properties.DelaySeconds: ${unknown}`,
    ],
    [
      'a property of a target',
      { 'infra/events.yml': ['- Id: EventsQueue', '- Id: EventsQueue\n          InputPath: $.detail'] },
      `infra/events.yml: Resources.TaskStateChanges.Properties.Targets[0].InputPath: ${unknown}`,
    ],
    [
      'a type of resource',
      { 'infra/events.yml': ['Type: AWS::SQS::QueuePolicy', 'Type: AWS::Pipes::Pipe'] },
      'infra/events.yml: Resources.EventsQueuePolicy.Type: the local stack does not know AWS::Pipes::Pipe',
    ],
    [
      'a rule that starts runners on CodeBuild',
      {
        'infra/images.yml': [
          'Fn::GetAtt: [ImageX64Project, Arn] }\n          RoleArn',
          'Fn::GetAtt: [BuildProject, Arn] }\n          RoleArn',
        ],
      },
      `infra/images.yml: Resources.WeeklyImages.Properties.ScheduleExpression: ${unknown}`,
    ],
    [
      'a rule with a target beside the builds of images',
      {
        'infra/images.yml': [
          'Fn::GetAtt: [ImageX64Project, Arn] }\n          RoleArn',
          'Fn::GetAtt: [LaunchQueue, Arn] }\n          RoleArn',
        ],
      },
      `infra/images.yml: Resources.WeeklyImages.Properties.Targets[0].RoleArn: ${unknown}`,
    ],
    [
      'a change to what Serverless makes',
      { 'infra/api.yml': ['HttpApiStage:', 'HttpApi:'] },
      `infra/api.yml: extensions.HttpApi: ${unknown}`,
    ],
    [
      'a setting of the API',
      { 'infra/api.yml': ['DetailedMetricsEnabled', 'DataTraceEnabled'] },
      `infra/api.yml: extensions.HttpApiStage.Properties.DefaultRouteSettings.DataTraceEnabled: ${unknown}`,
    ],
    [
      'a section of a template',
      { 'infra/outputs.yml': ['Outputs:', 'Transform:'] },
      `infra/outputs.yml: Transform: ${unknown}`,
    ],
    [
      'a parameter that is not there',
      { 'serverless.yml': ['memorySize: 512', `memorySize: \${param:memory}`] },
      `provider.memorySize: \${param:memory} leads nowhere`,
    ],
    [
      'a condition on a resource',
      { 'infra/queues.yml': ['Type: AWS::SQS::Queue', 'Type: AWS::SQS::Queue\n    Condition: Sometimes'] },
      `infra/queues.yml: Resources.LaunchQueue.Condition: ${unknown}`,
    ],
    [
      'a matcher',
      { 'infra/events.yml': ['lastStatus: [RUNNING, STOPPED]', 'lastStatus: [{ suffix: ED }]'] },
      'infra/events.yml: Resources.TaskStateChanges.Properties.EventPattern.detail.lastStatus[0]: the local stack does not know the matcher suffix',
    ],
    [
      'an operator of patterns',
      { 'infra/events.yml': ['lastStatus: [RUNNING, STOPPED]', '$or: []'] },
      'infra/events.yml: Resources.TaskStateChanges.Properties.EventPattern.detail.$or: the local stack does not know $or in a pattern',
    ],
    [
      'a pseudo parameter',
      { 'infra/events.yml': [`\${AWS::AccountId}`, `\${AWS::StackName}`] },
      `infra/events.yml: Resources.TaskStateChanges.Properties.EventPattern.detail.clusterArn[0]: the local stack does not know \${AWS::StackName}`,
    ],
    [
      'another function of CloudFormation',
      { 'serverless.yml': ['Fn::GetAtt: [LaunchQueue, Arn]', 'Fn::ImportValue: Queue'] },
      'functions.launch.events[0].sqs.arn: the local stack knows Fn::GetAtt: [LogicalName, Arn] here and nothing else',
    ],
    [
      'a statement of a queue policy',
      { 'infra/events.yml': ['Service: events.amazonaws.com', 'AWS: "*"'] },
      `infra/events.yml: Resources.EventsQueuePolicy.Properties.PolicyDocument.Statement[0].Principal.AWS: ${unknown}`,
    ],
  ])('is refused by name: %s', async (_, edits, fault) => {
    expect(await faults(edits)).toContain(fault)
  })

  it('is refused all at once', async () => {
    const details = await faults({
      'serverless.yml': ['batchSize: 10', 'filterPatterns: []'],
      'infra/queues.yml': ['SqsManagedSseEnabled: true', 'FifoQueue: true'],
      'infra/events.yml': ['Type: AWS::SQS::QueuePolicy', 'Type: AWS::Pipes::Pipe'],
    })
    expect(details).toEqual([
      `functions.launch.events[0].sqs.filterPatterns: ${unknown}`,
      `infra/queues.yml: Resources.LaunchQueue.Properties.FifoQueue: ${unknown}`,
      'infra/events.yml: Resources.EventsQueuePolicy.Type: the local stack does not know AWS::Pipes::Pipe',
    ])
  })

  it('is a short tag of CloudFormation too', async () => {
    const edits: Edits = {
      'infra/queues.yml': ['Fn::GetAtt: [LaunchDeadLetterQueue, Arn]', '!GetAtt LaunchDeadLetterQueue.Arn'],
    }
    expect(await faults(edits)).toContainEqual(
      expect.stringMatching(
        /^infra\/queues.yml, line \d+: Unresolved tag: !GetAtt; write Ref and Fn::GetAtt in full$/,
      ),
    )
  })
})

describe('what fits nothing', () => {
  it.each<[string, Edits, string]>([
    [
      'a queue that is not there',
      { 'serverless.yml': ['[EventsQueue, Arn]', '[EventQueue, Arn]'] },
      'functions.lifecycle.events[0].sqs.arn: EventQueue is no queue of functions/ports.ts and infra/',
    ],
    [
      'a queue that no function reads',
      { 'serverless.yml': ['[EventsQueue, Arn]', '[LaunchQueue, Arn]'] },
      'functions: LaunchQueue needs one function that reads it and has 2',
    ],
    [
      'a queue that no port names',
      { 'infra/queues.yml': ['  LaunchDeadLetterQueue:', '  OtherQueue:'] },
      'infra/queues.yml: Resources.OtherQueue: neither a queue of functions/ports.ts nor for dead letters',
    ],
    [
      'dead letters that go nowhere',
      { 'infra/queues.yml': ['[LaunchDeadLetterQueue, Arn]', '[Nowhere, Arn]'] },
      'infra/queues.yml: Resources.LaunchQueue.Properties.RedrivePolicy.deadLetterTargetArn: Nowhere is no queue of infra/',
    ],
    [
      'a port without a queue',
      { 'infra/queues.yml': ['  LaunchQueue:', '  LunchQueue:'] },
      'infra/: LaunchQueue: missing; it is the queue launch of functions/ports.ts',
    ],
    [
      'two resources of one name',
      { 'infra/events.yml': ['  EventsQueuePolicy:', '  EventsQueue:'] },
      'infra/events.yml: Resources.EventsQueue: the name stands at infra/queues.yml: Resources.EventsQueue too',
    ],
    [
      'a variable that leads nowhere',
      { 'serverless.yml': ['memorySize: 512', `memorySize: \${self:custom.memory}`] },
      `provider.memorySize: \${self:custom.memory} leads nowhere`,
    ],
    [
      'a variable that refers to itself',
      { 'serverless.yml': ['memorySize: 512', `memorySize: \${self:provider.memorySize}`] },
      `provider.memorySize: \${self:provider.memorySize} refers to itself`,
    ],
  ])('is a fault: %s', async (_, edits, fault) => {
    expect(await faults(edits)).toContain(fault)
  })

  it('is a file that is missing, or no YAML', async () => {
    const missing = readEdited({ 'serverless.yml': ['infra/events.yml', 'infra/none.yml'] })
    await expect(missing).rejects.toMatchObject({
      code: 'config-unreadable',
      message: 'infra/none.yml cannot be read',
    })
    const broken = readEdited({ 'infra/events.yml': 'Resources: [' })
    await expect(broken).rejects.toMatchObject({ code: 'config-unreadable' })
  })
})

describe('variables', () => {
  it('take parameters of the stage, and else of all stages', async () => {
    const text = await readFile(join(ROOT, 'serverless.yml'), 'utf8')
    const read = async (params: string) => {
      const edited = text
        .replace('memorySize: 512', `memorySize: \${param:memory}`)
        .replace('params:\n', `params:\n${params}`)
        .replace('    vpcId:', '    memory: 256\n    vpcId:')
      return (await readEdited({ 'serverless.yml': edited })).functions[0]!.memoryMb
    }
    expect(await read('  other: { memory: 1024 }\n')).toBe(256)
    expect(await read('  dev: { memory: 1024 }\n')).toBe(1024)
  })

  it('leave to CloudFormation what belongs to it', async () => {
    const { queues } = await readEdited({
      'infra/queues.yml': [
        `\${self:service}-\${sls:stage}-launch\n`,
        `\${AWS::StackName}-\${Table.Arn}-\${!aws:userid}\n`,
      ],
    })
    expect(queues[0]!.arn).toBe(
      `arn:aws:sqs:us-east-1:123456789012:\${AWS::StackName}-\${Table.Arn}-\${!aws:userid}`,
    )
  })

  it('take values of any kind, from this file or another, with variables of their own', async () => {
    const text = await readFile(join(ROOT, 'serverless.yml'), 'utf8')
    const { functions } = await readEdited({
      'serverless.yml': text
        .replace('memorySize: 512', `memorySize: \${self:custom.memory}`)
        .replace('custom:\n', `custom:\n  memory: \${file(more.yml):memory}\n`),
      'more.yml': `memory: \${file(most.yml)}`,
      'most.yml': '256',
    })
    expect(functions[0]!.memoryMb).toBe(256)
  })

  it('take of several files the first that is there, whose name may have the stage in it', async () => {
    const memory = `\${file(made/\${sls:stage}.yml), file(kept.yml)}`
    const edits: Edits = { 'serverless.yml': ['memorySize: 512', `memorySize: ${memory}`], 'kept.yml': '256' }
    expect((await readEdited(edits)).functions[0]!.memoryMb).toBe(256)
    expect((await readEdited({ ...edits, 'made/dev.yml': '128' })).functions[0]!.memoryMb).toBe(128)
    expect((await readEdited({ ...edits, 'made/blue.yml': '128' })).functions[0]!.memoryMb).toBe(256)
  })
})

describe('images of tornade.yml', () => {
  const made = (Resources: unknown): Edits => ({
    '.tornade/package/dev/images.json': JSON.stringify({ Resources, repositories: [] }),
  })

  it('change nothing here, once they are packaged', async () => {
    const image = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/node@sha256:${'a'.repeat(64)}`
    const { Resources } = await imageResources(ROOT, { node: { x64: image, arm64: image } })
    expect(Object.keys(Resources)).toHaveLength(2)
    expect(await readEdited(made(Resources))).toEqual(await readEdited({}))
  })

  it('are no way in for what the local stack does not know', async () => {
    expect(await faults(made({ Pipe: { Type: 'AWS::Pipes::Pipe' } }))).toEqual([
      expect.stringMatching(/Resources\.Pipe\.Type: the local stack does not know AWS::Pipes::Pipe$/),
    ])
  })
})

describe('a pattern', () => {
  const matches = (pattern: Pattern, event: unknown) => matchesPattern(pattern, event)

  it.each<[Pattern, unknown, boolean]>([
    [{ a: ['x'] }, { a: 'x' }, true],
    [{ a: ['x', 'y'] }, { a: 'y' }, true],
    [{ a: ['x'] }, { a: 'xy' }, false],
    [{ a: ['x'] }, {}, false],
    [{ a: [1] }, { a: '1' }, false],
    [{ a: [null] }, { a: null }, true],
    [{ a: [null] }, {}, false],
    [{ a: [] }, { a: 'x' }, false],
    [{}, { a: 'x' }, true],
    [{ a: ['x'], b: ['y'] }, { a: 'x', b: 'z' }, false],
    [{ a: { b: ['x'] } }, { a: { b: 'x', c: 1 } }, true],
    [{ a: { b: ['x'] } }, { a: 'x' }, false],
    [{ a: ['x'] }, { a: ['w', 'x'] }, true],
    [{ a: { b: ['x'] } }, { a: [{ b: 'w' }, { b: 'x' }] }, true],
    [{ a: [{ prefix: 'x' }] }, { a: 'xy' }, true],
    [{ a: [{ prefix: 'x' }] }, { a: 'yx' }, false],
    [{ a: [{ prefix: '1' }] }, { a: 1 }, false],
    [{ a: [{ exists: true }] }, { a: null }, true],
    [{ a: [{ exists: true }] }, {}, false],
    [{ a: [{ exists: true }] }, { a: { b: 1 } }, false],
    [{ a: [{ exists: false }] }, {}, true],
    [{ a: [{ exists: false }] }, { a: 1 }, false],
    [{ a: [{ 'anything-but': 'x' }] }, { a: 'y' }, true],
    [{ a: [{ 'anything-but': 'x' }] }, { a: 'x' }, false],
    [{ a: [{ 'anything-but': 'x' }] }, {}, false],
    [{ a: [{ 'anything-but': ['x', 'y'] }] }, { a: 'y' }, false],
    [{ a: [{ 'anything-but': { prefix: 'x' } }] }, { a: 'yx' }, true],
    [{ a: [{ 'anything-but': { prefix: 'x' } }] }, { a: 'xy' }, false],
    [{ a: ['x', { exists: false }] }, {}, true],
    [{ toString: [{ exists: true }] }, {}, false],
    [{ a: ['x'] }, null, false],
  ])('%j against %j: %s', (pattern, event, expected) => {
    expect(matches(pattern, event)).toBe(expected)
  })
})
