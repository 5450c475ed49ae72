/** Who may do what in the compiled stack, asked of IAM's rules call by call. */
import { beforeAll, describe, expect, it } from 'vitest'
import {
  ACCOUNT,
  type Call,
  compileStack,
  isAllowed,
  type Policy,
  REGION,
  Resolver,
  roleId,
  roleOf,
  type Stack,
} from './stack.ts'

let stack: Stack
let resolver: Resolver
beforeAll(async () => {
  stack = await compileStack()
  resolver = new Resolver(stack)
}, 60_000)

const TASK = '0123456789abcdef0123456789abcdef'
const arn = (service: string, resource: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`
const JOB_ROLE = `arn:aws:iam::${ACCOUNT}:role/tornade/dev/jobs/tornade-dev-deploy`
/** What an operator may have given a job's role, at worst. */
const ADMINISTRATOR: Policy = {
  name: 'AdministratorAccess',
  policy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] },
}

const may = (name: string, call: Call) => isAllowed(stack, roleOf(stack, name), call)

describe('a runner', () => {
  const tickets = arn('dynamodb', 'table/tornade-dev-tickets')
  const own = `${roleId('RunnerRole')}:${TASK}`
  const ask = (action: string, keys: string[] | null, more: readonly Policy[] = [], resource = tickets) =>
    isAllowed(stack, 'RunnerRole', {
      action: `dynamodb:${action}`,
      resource,
      session: TASK,
      more,
      context: keys ? { 'dynamodb:LeadingKeys': keys } : {},
    })

  it('takes its own ticket', async () => {
    expect(await ask('UpdateItem', [own])).toBe(true)
  })

  it.each<[string, string[] | null]>([
    ['of another task of its role', [`${roleId('RunnerRole')}:another`]],
    ['of another role', [`${roleId('JobRole')}:${TASK}`]],
    ['of another, beside its own', [own, `${roleId('RunnerRole')}:another`]],
    ['that it does not name', null],
  ])('takes no ticket %s', async (_, keys) => {
    expect(await ask('UpdateItem', keys)).toBe(false)
    if (keys) expect(await ask('UpdateItem', keys, [ADMINISTRATOR])).toBe(false)
  })

  it.each([
    'GetItem',
    'BatchGetItem',
    'Query',
    'Scan',
    'PutItem',
    'DeleteItem',
    'BatchWriteItem',
    'PartiQLSelect',
    'PartiQLUpdate',
    'PartiQLDelete',
    'ExportTableToPointInTime',
  ])('does not %s there, whatever else it may', async action => {
    expect(await ask(action, [own])).toBe(false)
    expect(await ask(action, [own], [ADMINISTRATOR])).toBe(false)
  })

  it('keeps off ledger and secrets, whatever else it may', async () => {
    const more = [ADMINISTRATOR]
    for (const [action, resource] of [
      ['dynamodb:GetItem', arn('dynamodb', 'table/tornade-dev-ledger')],
      ['dynamodb:PutItem', arn('dynamodb', 'table/tornade-dev-ledger')],
      ['dynamodb:Query', arn('dynamodb', 'table/tornade-dev-ledger/index/open')],
      ['ssm:GetParameter', arn('ssm', 'parameter/tornade/dev/app-key')],
      ['ssm:GetParameters', arn('ssm', 'parameter/tornade/dev/webhook-secret')],
      ['ssm:PutParameter', arn('ssm', 'parameter/tornade/dev/images/codebuild-x64')],
    ] as const)
      expect(await isAllowed(stack, 'RunnerRole', { action, resource, session: TASK, more }), action).toBe(
        false,
      )
    // The policy is what denies: a service of the operator's own is not in its way.
    const elsewhere = { action: 'ssm:GetParameter', resource: arn('ssm', 'parameter/shop/token'), more }
    expect(await isAllowed(stack, 'RunnerRole', elsewhere)).toBe(true)
  })

  it('may by itself do nothing else but be a build', async () => {
    const build = (action: string, resource: string) => isAllowed(stack, 'RunnerRole', { action, resource })
    expect(await build('ecr:GetAuthorizationToken', '*')).toBe(true)
    expect(await build('ecr:BatchGetImage', arn('ecr', 'repository/tornade-dev-runner'))).toBe(true)
    expect(await build('ecr:BatchGetImage', arn('ecr', 'repository/shop'))).toBe(false)
    expect(await build('sqs:SendMessage', arn('sqs', 'tornade-dev-launch'))).toBe(false)
    expect(await build('iam:PassRole', JOB_ROLE)).toBe(false)
    expect(await build('s3:GetObject', 'arn:aws:s3:::shop/key')).toBe(false)
  })
})

describe('the image repository', () => {
  const repository = arn('ecr', 'repository/tornade-dev-runner')
  const push = (role: string, more: readonly Policy[] = []) => {
    const policy = stack.template.Resources.RunnerImages!.Properties!.RepositoryPolicyText
    const resourcePolicy = resolver.value(policy)
    return Promise.all(
      ['ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:PutImage'].map(
        action => isAllowed(stack, role, { action, resource: repository, resourcePolicy, more }),
      ),
    )
  }

  it('takes pushes from the image builder', async () => {
    expect(await push('ImageBuilderRole')).toEqual([true, true, true, true])
  })

  it.each(['RunnerRole', 'LaunchRole', 'ExecutionRole', 'ImageScheduleRole'])(
    'and not from %s, even if somebody made it an administrator',
    async role => {
      expect(await push(role)).toEqual([false, false, false, false])
      expect(await push(role, [ADMINISTRATOR])).toEqual([false, false, false, false])
    },
  )

  it('lets runners pull', async () => {
    const resourcePolicy = resolver.value(
      stack.template.Resources.RunnerImages!.Properties!.RepositoryPolicyText,
    )
    const call = { action: 'ecr:BatchGetImage', resource: repository, resourcePolicy }
    expect(await isAllowed(stack, 'ExecutionRole', call)).toBe(true)
    expect(await isAllowed(stack, 'RunnerRole', call)).toBe(true)
  })
})

describe('images of tornade.yml', () => {
  const image = `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/team/node@sha256:${'a'.repeat(64)}`
  let own: Stack
  beforeAll(async () => {
    own = await compileStack({ images: { node: { x64: image } } })
  }, 60_000)
  const pulls = (on: Stack, role: string, name: string) =>
    Promise.all(
      ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'].map(action =>
        isAllowed(on, role, { action, resource: arn('ecr', `repository/${name}`) }),
      ),
    )

  it.each(['ExecutionRole', 'RunnerRole'])('are pulled by %s, and no others', async role => {
    expect(await pulls(own, role, 'team/node')).toEqual([true, true, true])
    expect(await pulls(own, role, 'tornade-dev-runner')).toEqual([true, true, true])
    for (const other of ['team/node-2', 'node', 'team', 'shop'])
      expect(await pulls(own, role, other), other).toEqual([false, false, false])
    expect(await pulls(stack, role, 'team/node')).toEqual([false, false, false])
  })

  it('are pushed by nobody here', async () => {
    for (const role of ['ExecutionRole', 'RunnerRole', 'ImageBuilderRole', 'LaunchRole'])
      expect(
        await isAllowed(own, role, { action: 'ecr:PutImage', resource: arn('ecr', 'repository/team/node') }),
      ).toBe(false)
  })

  it('have task definitions that nothing of this stack can change, where IAM asks for them by name', async () => {
    const resource = arn('ecs', 'task-definition/tornade-dev-image-node-x64:2')
    for (const role of ['ImageBuilderRole', 'LaunchRole', 'RunnerRole'])
      expect(await isAllowed(own, role, { action: 'ecs:RegisterTaskDefinition', resource })).toBe(false)
  })
})

describe('the image builder', () => {
  const registers = (resource: string) =>
    isAllowed(stack, 'ImageBuilderRole', { action: 'ecs:RegisterTaskDefinition', resource })

  it('registers the families that launch starts', async () => {
    for (const family of ['x64', 'arm64', 'build-x64', 'build-arm64'])
      expect(await registers(arn('ecs', `task-definition/tornade-dev-${family}:2`)), family).toBe(true)
  })

  it('changes no draft where IAM asks for them by name', async () => {
    expect(await registers(arn('ecs', 'task-definition/tornade-dev-draft-x64:2'))).toBe(false)
    expect(await registers(arn('ecs', 'task-definition/tornade-dev-draft-build-arm64:2'))).toBe(false)
  })

  it('passes the plain role and the execution role, and those of no job', async () => {
    const context = { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' }
    const passes = (resource: string) =>
      isAllowed(stack, 'ImageBuilderRole', { action: 'iam:PassRole', resource, context })
    expect(await passes(resolver.arn('RunnerRole'))).toBe(true)
    expect(await passes(resolver.arn('ExecutionRole'))).toBe(true)
    expect(await passes(JOB_ROLE)).toBe(false)
    expect(await passes(resolver.arn('LaunchRole'))).toBe(false)
  })
})

describe('launch', () => {
  const cluster = arn('ecs', 'cluster/tornade-dev')
  const start = (definition: string, on = cluster) =>
    may('launch', {
      action: 'ecs:RunTask',
      resource: arn('ecs', `task-definition/${definition}`),
      context: { 'ecs:cluster': on },
    })

  it('starts the families that the image builder fills, on its own cluster', async () => {
    expect(await start('tornade-dev-x64:7')).toBe(true)
    expect(await start('tornade-dev-arm64:1')).toBe(true)
    expect(await start('tornade-dev-build-arm64:1')).toBe(true)
    expect(await start('tornade-dev-build-arm64:1', arn('ecs', 'cluster/web'))).toBe(false)
    expect(await start('tornade-dev-x64:7', arn('ecs', 'cluster/web'))).toBe(false)
  })

  it('starts those of images of tornade.yml, of its own stage', async () => {
    expect(await start('tornade-dev-image-node-x64:7')).toBe(true)
    expect(await start('tornade-dev-image-node-x64:7', arn('ecs', 'cluster/web'))).toBe(false)
    expect(await start('tornade-dev-images-x64:1')).toBe(false)
    expect(await start('tornade-prod-image-node-x64:1')).toBe(false)
  })

  it('starts no draft, and nothing of others', async () => {
    expect(await start('tornade-dev-draft-x64:1')).toBe(false)
    expect(await start('tornade-dev-draft-build-x64:1')).toBe(false)
    expect(await start('tornade-prod-build-x64:1')).toBe(false)
    expect(await start('tornade-prod-x64:1')).toBe(false)
    expect(await start('web:1')).toBe(false)
  })

  it('may start a family without naming its revision', () => {
    // ARNs without a revision are not in AWS's list of resources, so the simulator refuses to judge them; but IAM is asked
    // about just that when RunTask names a family.
    const { statement } = statementOf('LaunchRole', 'StartTasks')
    expect(statement.Resource).toContain(arn('ecs', 'task-definition/tornade-dev-x64'))
    expect(statement.Resource).toContain(arn('ecs', 'task-definition/tornade-dev-arm64'))
    expect(statement.Resource).toContain(arn('ecs', 'task-definition/tornade-dev-image-*'))
  })

  const pass = (resource: string, service: string) =>
    may('launch', { action: 'iam:PassRole', resource, context: { 'iam:PassedToService': service } })

  it('passes the roles of runners and jobs to ECS and CodeBuild', async () => {
    for (const role of [resolver.arn('RunnerRole'), JOB_ROLE]) {
      expect(await pass(role, 'ecs-tasks.amazonaws.com')).toBe(true)
      expect(await pass(role, 'codebuild.amazonaws.com')).toBe(true)
      expect(await pass(role, 'lambda.amazonaws.com')).toBe(false)
    }
    expect(await pass(resolver.arn('ExecutionRole'), 'ecs-tasks.amazonaws.com')).toBe(true)
    expect(await pass(resolver.arn('ExecutionRole'), 'codebuild.amazonaws.com')).toBe(false)
  })

  it.each([
    ['its own', () => resolver.arn('LaunchRole')],
    ['the image builder’s', () => resolver.arn('ImageBuilderRole')],
    ['one of another stage', () => `arn:aws:iam::${ACCOUNT}:role/tornade/prod/jobs/tornade-prod-deploy`],
    ['one of somebody else', () => `arn:aws:iam::${ACCOUNT}:role/Administrator`],
  ])('does not pass %s', async (_, role) => {
    expect(await pass(role(), 'ecs-tasks.amazonaws.com')).toBe(false)
  })

  it('writes tickets, and reads the key of the App and the images', async () => {
    const tickets = arn('dynamodb', 'table/tornade-dev-tickets')
    expect(await may('launch', { action: 'dynamodb:PutItem', resource: tickets })).toBe(true)
    const read = (name: string) =>
      may('launch', { action: 'ssm:GetParameters', resource: arn('ssm', `parameter/tornade/dev/${name}`) })
    expect(await read('app-key')).toBe(true)
    expect(await read('images/codebuild-arm64')).toBe(true)
    expect(await read('webhook-secret')).toBe(false)
  })

  function statementOf(role: string, sid: string) {
    const policies = stack.template.Resources[role]!.Properties!.Policies
    const [{ PolicyDocument }] = resolver.value(policies) as [
      { PolicyDocument: { Statement: { Sid: string; Resource: string[] }[] } },
    ]
    return { statement: PolicyDocument.Statement.find(({ Sid }) => Sid === sid)! }
  }
})

describe('the other functions', () => {
  it('know of the secrets only their own', async () => {
    const read = (name: string, secret: string) =>
      may(name, { action: 'ssm:GetParameters', resource: arn('ssm', `parameter/tornade/dev/${secret}`) })
    expect(await read('webhook', 'webhook-secret')).toBe(true)
    expect(await read('webhook', 'webhook-secret-previous')).toBe(true)
    expect(await read('webhook', 'app-key')).toBe(false)
    for (const name of ['lifecycle', 'sweep']) {
      expect(await read(name, 'app-key')).toBe(true)
      expect(await read(name, 'webhook-secret')).toBe(false)
    }
    for (const name of ['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify'])
      expect([name, await read(name, 'slack-token')]).toEqual([name, name === 'lifecycle'])
    for (const secret of ['client-secret', 'session-key', 'session-key-previous', 'dashboard-tokens']) {
      expect(await read('dashboard', secret)).toBe(true)
      for (const name of ['webhook', 'launch', 'lifecycle', 'sweep'])
        expect(await read(name, secret)).toBe(false)
    }
    for (const secret of ['app-id', 'app-key', 'webhook-secret', 'webhook-secret-previous'])
      expect(await read('dashboard', secret)).toBe(false)
  })

  it('leave the dashboard nothing that it could change', async () => {
    const ledger = arn('dynamodb', 'table/tornade-dev-ledger')
    expect(await may('dashboard', { action: 'dynamodb:GetItem', resource: ledger })).toBe(true)
    for (const action of ['PutItem', 'UpdateItem', 'DeleteItem', 'BatchWriteItem', 'Scan'])
      expect(await may('dashboard', { action: `dynamodb:${action}`, resource: ledger })).toBe(false)
    const dead = arn('sqs', 'tornade-dev-launch-dead-letters')
    expect(await may('dashboard', { action: 'sqs:GetQueueAttributes', resource: dead })).toBe(true)
    for (const action of ['ReceiveMessage', 'DeleteMessage', 'SendMessage', 'PurgeQueue'])
      expect(await may('dashboard', { action: `sqs:${action}`, resource: dead })).toBe(false)
  })

  it('let notify write what it said, and nothing else of the ledger', async () => {
    const write = (key: string) =>
      may('notify', {
        action: 'dynamodb:PutItem',
        resource: arn('dynamodb', 'table/tornade-dev-ledger'),
        context: { 'dynamodb:LeadingKeys': key },
      })
    expect(await write('notices')).toBe(true)
    for (const key of ['gate', 'sweep', 'job#41-1', 'rollup#month#2026-11'])
      expect(await write(key)).toBe(false)
  })

  it('let slack write the audit and send to the events, and nothing else', async () => {
    const write = (key: string) =>
      may('slack', {
        action: 'dynamodb:PutItem',
        resource: arn('dynamodb', 'table/tornade-dev-ledger'),
        context: { 'dynamodb:LeadingKeys': key },
      })
    expect(await write('audit#0123456789abcdef')).toBe(true)
    for (const key of ['audit', 'gate', 'sweep', 'notices', 'job#41-1', 'runner#audit#1'])
      expect(await write(key)).toBe(false)
    const send = (queue: string) => may('slack', { action: 'sqs:SendMessage', resource: arn('sqs', queue) })
    expect(await send('tornade-dev-events')).toBe(true)
    expect(await send('tornade-dev-launch')).toBe(false)
    for (const [secret, allowed] of [
      ['slack-signing-secret', true],
      ['slack-webhook', false],
      ['slack-token', false],
      ['app-key', false],
      ['webhook-secret', false],
    ] as const) {
      const resource = arn('ssm', `parameter/tornade/dev/${secret}`)
      expect([secret, await may('slack', { action: 'ssm:GetParameters', resource })]).toEqual([
        secret,
        allowed,
      ])
    }
  })

  it('start nothing', async () => {
    for (const name of ['webhook', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack']) {
      const start = { action: 'codebuild:StartBuild', resource: arn('codebuild', 'project/tornade-dev') }
      expect(await may(name, start)).toBe(false)
      const context = { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' }
      expect(await may(name, { action: 'iam:PassRole', resource: JOB_ROLE, context })).toBe(false)
    }
  })

  it('read no ticket', async () => {
    const resource = arn('dynamodb', 'table/tornade-dev-tickets')
    for (const name of ['webhook', 'lifecycle', 'sweep', 'dashboard', 'notify'])
      expect(await may(name, { action: 'dynamodb:GetItem', resource })).toBe(false)
    expect(await may('lifecycle', { action: 'dynamodb:DeleteItem', resource })).toBe(true)
  })

  it('leave the webhook nothing but its queues', async () => {
    for (const queue of ['launch', 'events']) {
      const resource = arn('sqs', `tornade-dev-${queue}`)
      expect(await may('webhook', { action: 'sqs:SendMessage', resource })).toBe(true)
      expect(await may('webhook', { action: 'sqs:ReceiveMessage', resource })).toBe(false)
    }
    const ledger = arn('dynamodb', 'table/tornade-dev-ledger')
    expect(await may('webhook', { action: 'dynamodb:GetItem', resource: ledger })).toBe(false)
  })
})
