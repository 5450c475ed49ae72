/** What IAM is asked for the calls of the functions, and whether roles allow that, all of it and nothing else. */
import { grantsOf, listOf } from '../infra/checks.ts'
import { ACCOUNT, isAllowed, REGION, Resolver, roleOf, type Stack } from '../infra/stack.ts'
import { type FunctionName, JOB_ROLE_ARN, type Recorded } from './stack.ts'

/** One question that IAM decides. */
export interface Asking {
  readonly caller: FunctionName
  readonly action: string
  readonly resource: string
  readonly context: Readonly<Record<string, string>>
}

const arn = (service: string, resource: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`

/** Every question once. */
export function askings(stack: Stack, calls: readonly Recorded[]): Asking[] {
  const all = calls
    .filter(({ service }) => service !== 'github' && service !== 'slack')
    .flatMap(call => questions(stack, call))
  return [...new Map(all.map(one => [JSON.stringify(one), one])).values()]
}

function questions(stack: Stack, { caller, service, operation, input }: Recorded): Asking[] {
  const resolver = new Resolver(stack)
  const one = (action: string, resource: string, context: Asking['context'] = {}): Asking => ({
    ...{ caller, action, resource, context },
  })
  const pass = (role: string, to: string) =>
    one('iam:PassRole', role, { 'iam:PassedToService': `${to}.amazonaws.com` })
  switch (`${service}:${operation}`) {
    case 'dynamodb:PutItem': {
      const { pk, k } = input.Item
      const key = { 'dynamodb:LeadingKeys': (pk ?? k).S }
      return [one('dynamodb:PutItem', arn('dynamodb', `table/${input.TableName}`), key)]
    }
    case 'dynamodb:GetItem':
    case 'dynamodb:DeleteItem':
      return [one(`dynamodb:${operation}`, arn('dynamodb', `table/${input.TableName}`))]
    case 'dynamodb:Query': {
      const index = input.IndexName === undefined ? '' : `/index/${input.IndexName}`
      return [one('dynamodb:Query', arn('dynamodb', `table/${input.TableName}${index}`))]
    }
    case 'dynamodb:BatchGetItem':
      return Object.keys(input.RequestItems).map(table =>
        one('dynamodb:BatchGetItem', arn('dynamodb', `table/${table}`)),
      )
    case 'sqs:SendMessage':
    case 'sqs:SendMessageBatch':
      return [one('sqs:SendMessage', arn('sqs', String(input.QueueUrl).split('/').at(-1)!))]
    case 'sqs:GetQueueAttributes':
      return [one('sqs:GetQueueAttributes', arn('sqs', String(input.QueueUrl).split('/').at(-1)!))]
    case 'ssm:GetParameters':
      return input.Names.map((name: string) => one('ssm:GetParameters', arn('ssm', `parameter${name}`)))
    case 'logs:GetLogEvents': {
      const { logGroupName, logStreamName } = input
      return [one('logs:GetLogEvents', arn('logs', `log-group:${logGroupName}:log-stream:${logStreamName}`))]
    }
    case 'ecs:RunTask': {
      const { cluster, overrides, tags = [], taskDefinition } = input
      const task = arn('ecs', `task/${resolver.name('Cluster')}/${'0'.repeat(32)}`)
      return [
        // The simulator knows task definitions with a revision only; the first that there is stands for the newest.
        one('ecs:RunTask', arn('ecs', `task-definition/${taskDefinition}:1`), { 'ecs:cluster': cluster }),
        ...(tags.length > 0 ? [one('ecs:TagResource', task, { 'ecs:CreateAction': 'RunTask' })] : []),
        pass(overrides.taskRoleArn ?? resolver.arn('RunnerRole'), 'ecs-tasks'),
        // That of the task definition: no start overrides it.
        pass(overrides.executionRoleArn ?? resolver.arn('ExecutionRole'), 'ecs-tasks'),
      ]
    }
    case 'ecs:StopTask':
      return [one('ecs:StopTask', input.task, { 'ecs:cluster': input.cluster })]
    case 'ecs:DescribeTasks':
      return input.tasks.map((task: string) =>
        one('ecs:DescribeTasks', task, { 'ecs:cluster': input.cluster }),
      )
    case 'ecs:ListTasks':
      return [one('ecs:ListTasks', '*', { 'ecs:cluster': input.cluster })]
    case 'codebuild:StartBuild': {
      const { projectName, serviceRoleOverride } = input
      return [
        one('codebuild:StartBuild', arn('codebuild', `project/${projectName}`)),
        ...(serviceRoleOverride ? [pass(serviceRoleOverride, 'codebuild')] : []),
      ]
    }
    case 'codebuild:StopBuild':
      return [one('codebuild:StopBuild', arn('codebuild', `project/${String(input.id).split(':')[0]}`))]
    case 'codebuild:BatchGetBuilds':
      return input.ids.map((id: string) =>
        one('codebuild:BatchGetBuilds', arn('codebuild', `project/${id.split(':')[0]}`)),
      )
    case 'codebuild:ListBuildsForProject':
      return [one('codebuild:ListBuildsForProject', arn('codebuild', `project/${input.projectName}`))]
    case 'iam:GetRole': {
      const known = JOB_ROLE_ARN.endsWith(`/${input.RoleName}`)
      // IAM knows no path of a role that does not exist.
      return [one('iam:GetRole', known ? JOB_ROLE_ARN : `arn:aws:iam::${ACCOUNT}:role/${input.RoleName}`)]
    }
    default:
      throw new Error(`what does IAM ask for ${service}:${operation}?`)
  }
}

/** Calls that an account would have refused. */
export async function forbidden(stack: Stack, asked: readonly Asking[]): Promise<string[]> {
  const faults = await Promise.all(
    asked.map(async ({ caller, action, resource, context }) =>
      (await isAllowed(stack, roleOf(stack, caller), { action, resource, context }))
        ? []
        : [`${caller} may not ${action} on ${resource}`],
    ),
  )
  return faults.flat()
}

/**
 * Grants of the functions' roles that none of the calls needed: `Role.Sid action resource`.
 * @param spared beginnings of such lines that are known, with the reason
 */
export function unused(
  stack: Stack,
  asked: readonly Asking[],
  spared: Readonly<Record<string, string>>,
): string[] {
  const callers = new Map(asked.map(({ caller }) => [roleOf(stack, caller), caller]))
  const grants = grantsOf(stack).flatMap(({ where, statement }) => {
    const caller = callers.get(where.split('.')[0]!)
    if (!caller || statement.Effect !== 'Allow') return []
    return listOf(statement.Action).flatMap(action =>
      listOf(statement.Resource).map(resource => ({ caller, action, resource, where })),
    )
  })
  const idle = grants.flatMap(({ caller, action, resource, where }) => {
    const needed = asked.some(
      one => one.caller === caller && one.action === action && matches(resource, one.resource),
    )
    return needed ? [] : [`${where} ${action} ${resource}`]
  })
  const known = Object.keys(spared)
  return [
    ...idle.filter(line => !known.some(start => `${line} `.startsWith(`${start} `))),
    ...known
      .filter(start => !idle.some(line => `${line} `.startsWith(`${start} `)))
      .map(start => `${start} is used after all`),
  ]
}

function matches(pattern: string, resource: string): boolean {
  const source = pattern
    .split('*')
    .map(part => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
  return new RegExp(`^${source}$`).test(resource)
}
