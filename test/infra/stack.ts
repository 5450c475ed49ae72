/**
 * The stack as CloudFormation would get it: compiled by Serverless from the files that are deployed, without credentials, and
 * with its references worked out as an account would have them.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { runSimulation } from '@cloud-copilot/iam-simulate'
import type { Config } from '../../functions/config.ts'
import { packageFolder } from '../../scripts/bundle.ts'
import { imageResources } from '../../scripts/images.ts'
import { zip } from '../../scripts/zip.ts'

export const ROOT = join(import.meta.dirname, '..', '..')
export const ACCOUNT = '123456789012'
export const REGION = 'eu-west-1'

export interface Resource {
  readonly Type: string
  readonly Properties?: Readonly<Record<string, unknown>>
  readonly DependsOn?: string | readonly string[]
  readonly Condition?: string
}

export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>
  readonly Outputs: Readonly<Record<string, { readonly Value: unknown }>>
  readonly Parameters: Readonly<Record<string, { readonly Type: string; readonly Default?: string }>>
  readonly Conditions: Readonly<Record<string, unknown>>
}

export interface Stack {
  readonly stage: string
  readonly template: Template
  /** Tags that CloudFormation puts on every resource that takes tags. */
  readonly tags: Readonly<Record<string, string>>
}

export interface CompileOptions {
  readonly stage?: string
  /** `KEY=VALUE` of `params` in serverless.yml. */
  readonly params?: readonly string[]
  /** As tornade.yml has them; without, nothing was packaged before. */
  readonly images?: Config['images']
}

/**
 * Compiles the real serverless.yml and infra/. What the bundles hold is no part of a template, so they are empty here. The same
 * files compiled before, by this or another test, are not compiled again.
 */
export async function compileStack(options: CompileOptions = {}): Promise<Stack> {
  const { stage = 'dev', params = [], images } = options
  const key = createHash('sha256')
    .update(JSON.stringify([stage, params, images, await sources()]))
    .digest('hex')
  const kept = join(ROOT, '.tornade', 'compiled', `${key.slice(0, 32)}.json`)
  try {
    return JSON.parse(await readFile(kept, 'utf8')) as Stack
  } catch {
    const stack = await compile(stage, params, images)
    await mkdir(dirname(kept), { recursive: true })
    // Others may look for it meanwhile: it is there as a whole or not at all.
    const draft = `${kept}.${process.pid}.${Math.random()}`
    await writeFile(draft, JSON.stringify(stack))
    await rename(draft, kept)
    return stack
  }
}

/** All that a template follows from. */
async function sources(): Promise<string[]> {
  const infra = await readdir(join(ROOT, 'infra'))
  const paths = [
    'serverless.yml',
    'node_modules/osls/package.json',
    'scripts/images.ts',
    ...infra.sort().map(name => `infra/${name}`),
  ]
  return Promise.all(paths.map(async path => `${path}\n${await readFile(join(ROOT, path), 'utf8')}`))
}

async function compile(
  stage: string,
  params: readonly string[],
  images: CompileOptions['images'],
): Promise<Stack> {
  const root = await mkdtemp(join(tmpdir(), 'tornade-stack-'))
  try {
    await cp(join(ROOT, 'serverless.yml'), join(root, 'serverless.yml'))
    await cp(join(ROOT, 'infra'), join(root, 'infra'), { recursive: true })
    const folder = packageFolder(root, stage)
    await mkdir(folder, { recursive: true })
    for (const name of ['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack'])
      await writeFile(join(folder, `${name}.zip`), zip([{ path: 'empty', bytes: Buffer.alloc(0) }]))
    if (images)
      await writeFile(join(folder, 'images.json'), JSON.stringify(await imageResources(ROOT, images)))
    const target = ['--stage', stage, '--region', REGION, '--package', 'out']
    await serverless(root, ['package', ...target, ...params.map(param => `--param=${param}`)])
    const read = async (name: string) => JSON.parse(await readFile(join(root, 'out', name), 'utf8'))
    const state = await read('serverless-state.json')
    return {
      stage,
      template: await read('cloudformation-template-update-stack.json'),
      tags: state.service.provider.stackTags,
    }
  } finally {
    await rm(root, { recursive: true })
  }
}

function serverless(cwd: string, args: readonly string[]): Promise<void> {
  const program = join(ROOT, 'node_modules', 'osls', 'bin', 'serverless.js')
  // No credentials, and none to be found: packaging must do without. In HOME Serverless keeps its compiled schemas.
  const none = join(cwd, 'none')
  const { PATH, HOME } = process.env
  const env = {
    PATH,
    HOME,
    AWS_CONFIG_FILE: none,
    AWS_SHARED_CREDENTIALS_FILE: none,
    AWS_EC2_METADATA_DISABLED: 'true',
  }
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    child.stdout.on('data', text => (said += text))
    child.stderr.on('data', text => (said += text))
    child.on('error', reject)
    child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`osls ${args.join(' ')}:\n${said}`))))
  })
}

export function ofType(template: Template, type: string): [name: string, resource: Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type)
}

/* ------------------------------------------------------------------------------------------------ working values out */

/** Type → the property that names it, and its ARN. */
const NAMES: Readonly<Record<string, readonly [property: string, arn: (name: string) => string]>> = {
  'AWS::CodeBuild::Project': ['Name', name => arn('codebuild', `project/${name}`)],
  'AWS::DynamoDB::Table': ['TableName', name => arn('dynamodb', `table/${name}`)],
  'AWS::ECR::Repository': ['RepositoryName', name => arn('ecr', `repository/${name}`)],
  'AWS::ECS::Cluster': ['ClusterName', name => arn('ecs', `cluster/${name}`)],
  'AWS::ECS::TaskDefinition': ['Family', name => arn('ecs', `task-definition/${name}:1`)],
  'AWS::Events::Rule': ['Name', name => arn('events', `rule/${name}`)],
  'AWS::Lambda::Function': ['FunctionName', name => arn('lambda', `function:${name}`)],
  'AWS::Logs::LogGroup': ['LogGroupName', name => arn('logs', `log-group:${name}:*`)],
  'AWS::SNS::Topic': ['TopicName', name => arn('sns', name)],
  'AWS::SQS::Queue': ['QueueName', name => arn('sqs', name)],
}
/** Types whose Ref is their ARN. */
const REF_IS_ARN = new Set(['AWS::ECS::TaskDefinition', 'AWS::SNS::Topic', 'AWS::IAM::ManagedPolicy'])

function arn(service: string, resource: string): string {
  return `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`
}

type Tree = Readonly<Record<string, unknown>>

/** Works references and functions out, as CloudFormation would in an account. */
export class Resolver {
  readonly #stack: Stack

  constructor(stack: Stack) {
    this.#stack = stack
  }

  value(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(one => this.value(one)).filter(one => one !== undefined)
    if (typeof value !== 'object' || value === null) return value
    const keys = Object.keys(value)
    if (keys.length === 1 && (keys[0] === 'Ref' || keys[0]!.startsWith('Fn::')))
      return this.#function(keys[0]!, Object.values(value)[0])
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, one]) => [key, this.value(one)])
        .filter(([, one]) => one !== undefined),
    )
  }

  text(value: unknown): string {
    return String(this.value(value))
  }

  /** Name of a resource in the account. */
  name(logicalName: string): string {
    const resource = this.#resource(logicalName)
    const named = NAMES[resource.Type]
    const own = named && resource.Properties?.[named[0]]
    return own === undefined ? `tornade-${this.#stack.stage}-${logicalName}-1A2B3C` : this.text(own)
  }

  arn(logicalName: string): string {
    const { Type, Properties } = this.#resource(logicalName)
    const name = this.name(logicalName)
    const path = Properties?.Path === undefined ? '/' : this.text(Properties.Path)
    if (Type === 'AWS::IAM::Role') return `arn:aws:iam::${ACCOUNT}:role${path}${name}`
    if (Type === 'AWS::IAM::ManagedPolicy') return `arn:aws:iam::${ACCOUNT}:policy${path}${name}`
    const named = NAMES[Type]
    if (!named) throw new Error(`what is the ARN of ${Type}?`)
    return named[1](name)
  }

  /** Environment of a function, as its code would find it. */
  environment(functionName: string): Record<string, string> {
    const [, { Properties }] = ofType(this.#stack.template, 'AWS::Lambda::Function').find(
      ([, { Properties }]) => Properties!.FunctionName === `tornade-${this.#stack.stage}-${functionName}`,
    )!
    return this.value((Properties!.Environment as Tree).Variables) as Record<string, string>
  }

  #resource(logicalName: string): Resource {
    const resource = this.#stack.template.Resources[logicalName]
    if (!resource) throw new Error(`the stack has no ${logicalName}`)
    return resource
  }

  #function(name: string, argument: unknown): unknown {
    const list = Array.isArray(argument) ? (argument as unknown[]) : []
    switch (name) {
      case 'Ref':
        return this.#ref(argument as string)
      case 'Fn::GetAtt':
        return this.#attribute(list[0] as string, list[1] as string)
      case 'Fn::Sub':
        return this.#substitute(argument as string)
      case 'Fn::Join':
        return (this.value(list[1]) as unknown[]).join(list[0] as string)
      case 'Fn::Select':
        return (this.value(list[1]) as unknown[])[list[0] as number]
      case 'Fn::GetAZs':
        return ['a', 'b', 'c'].map(zone => REGION + zone)
      case 'Fn::If':
        return this.value(this.condition(list[0] as string) ? list[1] : list[2])
      case 'Fn::Equals':
        return this.value(list[0]) === this.value(list[1])
      case 'Fn::Not':
        return !this.value(list[0])
      default:
        throw new Error(`what is ${name}?`)
    }
  }

  condition(name: string): boolean {
    return this.value(this.#stack.template.Conditions[name]) as boolean
  }

  #ref(name: string): unknown {
    const pseudo: Tree = {
      'AWS::AccountId': ACCOUNT,
      'AWS::NoValue': undefined,
      'AWS::Partition': 'aws',
      'AWS::Region': REGION,
      'AWS::StackId': arn('cloudformation', `stack/tornade-${this.#stack.stage}/1`),
      'AWS::URLSuffix': 'amazonaws.com',
    }
    if (name in pseudo) return pseudo[name]
    const parameter = this.#stack.template.Parameters[name]
    if (parameter) return parameter.Default
    const { Type } = this.#resource(name)
    if (Type === 'AWS::SQS::Queue') return `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${this.name(name)}`
    if (REF_IS_ARN.has(Type)) return this.arn(name)
    return NAMES[Type] ? this.name(name) : `${name}-id`
  }

  #attribute(name: string, attribute: string): string {
    if (attribute === 'Arn') return this.arn(name)
    if (attribute === 'RoleId') return roleId(name)
    if (attribute === 'QueueName') return this.name(name)
    if (attribute === 'RepositoryUri') return `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/${this.name(name)}`
    throw new Error(`what is ${name}.${attribute}?`)
  }

  #substitute(text: string): string {
    return text.replace(/\$\{(!?)([^{}]*)\}/g, (_, literal: string, name: string) => {
      if (literal) return `\${${name}}`
      const [resource, attribute] = name.split('.')
      return String(attribute ? this.#attribute(resource!, attribute) : this.#ref(name))
    })
  }
}

/** Unique id of a role, the first half of its sessions' aws:userid. */
export function roleId(role: string): string {
  return `AROA${role.toUpperCase()}`
}

/* -------------------------------------------------------------------------------------------------------- permissions */

export interface Statement {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Action?: string | readonly string[]
  readonly NotAction?: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

export interface Policy {
  readonly name: string
  readonly policy: { readonly Version: string; readonly Statement: readonly Statement[] }
}

/** The policies of a role, its own and the managed ones of this stack. */
export function policiesOf(stack: Stack, role: string): Policy[] {
  const resolver = new Resolver(stack)
  const properties = stack.template.Resources[role]?.Properties
  if (!properties) throw new Error(`the stack has no ${role}`)
  const own = (properties.Policies ?? []) as readonly { PolicyName: string; PolicyDocument: unknown }[]
  const managed = (properties.ManagedPolicyArns ?? []) as readonly { Ref: string }[]
  const document = (value: unknown) => resolver.value(value) as Policy['policy']
  return [
    ...own.map(({ PolicyName, PolicyDocument }) => ({ name: PolicyName, policy: document(PolicyDocument) })),
    ...managed.map(({ Ref }) => ({
      name: Ref,
      policy: document(stack.template.Resources[Ref]!.Properties!.PolicyDocument),
    })),
  ]
}

export interface Call {
  /** service:Action */
  readonly action: string
  /** ARN; * where AWS knows none for that action. */
  readonly resource: string
  /** Condition keys beside those that follow from the role. */
  readonly context?: Readonly<Record<string, string | string[]>>
  /** Name of the session: a task id, AWSCodeBuild-<uuid>. */
  readonly session?: string
  /** Policies that somebody gave the role besides. */
  readonly more?: readonly Policy[]
  /** The policy of the resource itself. */
  readonly resourcePolicy?: unknown
}

/**
 * Whether IAM would let `role` (its logical name) make a call.
 * @throws Error for an action that does not exist, or not on such a resource
 */
export async function isAllowed(stack: Stack, role: string, call: Call): Promise<boolean> {
  const resolver = new Resolver(stack)
  const name = resolver.name(role)
  const session = call.session ?? 'session'
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/${name}/${session}`,
        action: call.action,
        resource: { resource: call.resource, accountId: ACCOUNT },
        contextVariables: {
          'aws:PrincipalArn': resolver.arn(role),
          'aws:PrincipalAccount': ACCOUNT,
          'aws:userid': `${roleId(role)}:${session}`,
          ...call.context,
        },
      },
      identityPolicies: [...policiesOf(stack, role), ...(call.more ?? [])],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(call.resourcePolicy === undefined ? {} : { resourcePolicy: call.resourcePolicy }),
    },
    {},
  )
  if (answer.resultType === 'error')
    throw new Error(`${call.action} on ${call.resource}: ${JSON.stringify(answer.errors)}`)
  return answer.overallResult === 'Allowed'
}

/** Logical name of the role of a function. */
export function roleOf(stack: Stack, functionName: string): string {
  const { template } = stack
  const found = ofType(template, 'AWS::Lambda::Function').find(
    ([, { Properties }]) => Properties!.FunctionName === `tornade-${stack.stage}-${functionName}`,
  )
  if (!found) throw new Error(`the stack has no function ${functionName}`)
  return (found[1].Properties!.Role as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'][0]
}
