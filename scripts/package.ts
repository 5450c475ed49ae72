#!/usr/bin/env node
/**
 * `npm run package -- --stage NAME` and `npm run deploy -- --stage NAME`: checks what is to be deployed, bundles the functions,
 * and has Serverless make the CloudFormation template, or deploy it. Packaging needs no credentials.
 */
import { spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { type CheckedConfig, checkConfigFile, invalid, type LoadedConfig } from '../cli/config-file.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { guardPolicy, LONGEST_POLICY, policyLength } from '../functions/core/guard.ts'
import { stalePrices } from '../functions/core/prices.ts'
import { bundle } from './bundle.ts'
import { ecrImage } from './images.ts'

const ROOT = join(import.meta.dirname, '..')

const HELP = `Usage: npm run package -- [--stage NAME] [--config FILE] [--param KEY=VALUE]…
       npm run deploy  -- [--stage NAME] [--config FILE] [--param KEY=VALUE]…

  --stage   which deployment (dev)
  --config  tornade.yml of this deployment (./tornade.yml)
  --param   a value for this once, instead of what serverless.yml has below params

package writes .tornade/stack/NAME and needs no credentials; deploy does the same and
deploys it, with the credentials that the AWS CLI would use.
`

/**
 * Where Serverless can deploy, without the isolated regions and those of other partitions. What Fargate and CodeBuild have there
 * is for AWS to say.
 */
export const REGIONS: ReadonlySet<string> = new Set(
  `af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
   ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
   eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1
   me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2`.split(/\s+/),
)
/** China and GovCloud: IAM, which launch asks for the ids of roles, has other addresses and regions there. */
const OTHER_PARTITION = /^(?:cn|us-gov)-/
/** Where accounts see two zones only, and the network of the stack (infra/network.yml) has subnets in three. */
const TWO_ZONES: ReadonlySet<string> = new Set(['us-west-1'])

/** The role of a job is tornade-STAGE-NAME; names of roles have 64 characters, and NAME up to 40. */
const LONGEST_STAGE = 15
/** What such a stage has would be called like drafts, image builds and images of the stage without this end. */
const STAGE_END = /-(?:draft$|(?:build|image).*)/

/** Why a stage cannot be deployed; null when it can. */
export function stageFault(stage: string): string | null {
  const name = JSON.stringify(stage).slice(0, 60)
  if (!/^[a-z](?:[a-z0-9-]*[a-z0-9])?$/.test(stage) || stage.length > LONGEST_STAGE)
    return `the stage ${name}: a stage is at most ${LONGEST_STAGE} of a-z, 0-9 and -, begins with a letter and does not end with -`
  const [end] = STAGE_END.exec(stage) ?? []
  if (end === undefined) return null
  return `the stage ${name}: what the stage ${stage.slice(0, -end.length)} has is called so; a stage does not end with -draft, and has no -build and no -image in it`
}

/** Why a tornade.yml cannot be deployed, beside the faults that it has anywhere. */
export function deploymentFaults(
  { config, path }: Pick<LoadedConfig, 'config' | 'path'>,
  unsound: ReadonlySet<string> = new Set(),
): string[] {
  const shown = path ?? 'tornade.yml'
  const { owners, region, roles } = config
  const faults: string[] = []
  if (!unsound.has('owners') && Object.keys(owners ?? {}).length === 0)
    faults.push(
      path === null
        ? 'tornade.yml: missing; it must at least say who may start runners, as in owners: { acme: 9919 } (login and numeric id)'
        : `${shown}: owners is required for a deployment: who may start runners, as in owners: { acme: 9919 } (login and numeric id)`,
    )
  else if (!unsound.has('owners')) faults.push(...strangers(config).map(fault => `${shown}: ${fault}`))
  if (OTHER_PARTITION.test(region))
    faults.push(`${shown}: region: ${region} is not served: China and GovCloud have an IAM of their own`)
  else if (!REGIONS.has(region)) faults.push(`${shown}: region: AWS has no region ${region}`)
  if (!unsound.has('region')) faults.push(...farImages(config).map(fault => `${shown}: ${fault}`))
  const pulled = pullLength(config)
  if (pulled > LONGEST_PULL)
    faults.push(
      `${shown}: images: their repositories take ${pulled} characters of a policy that has room for ${LONGEST_PULL}: keep more of them in one repository`,
    )
  for (const role of Object.keys(roles)) {
    const length = policyLength(guardPolicy({ repositoryId: Number.MAX_SAFE_INTEGER, role }, config))
    if (length > LONGEST_POLICY)
      faults.push(
        `${shown}: roles.${role}: a runner would be told ${length} characters of it, and ECS has room for ${LONGEST_POLICY}: let fewer refs use it`,
      )
  }
  return faults
}

/** What is no fault, and still to be known by who deploys. */
export function deploymentWarnings(
  { config, warnings }: Pick<LoadedConfig, 'config' | 'warnings'>,
  now: number,
): string[] {
  const stale = stalePrices(config.region, now)
  return [...warnings, ...(stale ? [stale] : [])]
}

/** Repositories that may use a role, and may start no runner at all. */
function strangers({ owners, roles }: LoadedConfig['config']): string[] {
  const logins = new Set(Object.keys(owners ?? {}).map(login => login.toLowerCase()))
  return Object.entries(roles).flatMap(([role, { repositories }]) =>
    repositories
      .filter(name => !logins.has(name.split('/')[0]!.toLowerCase()))
      .map(name => `roles.${role}.repositories: ${name} is of nobody among owners, and starts no runner`),
  )
}

/** Images that every runner would pull from another region, at the price of that. */
function farImages({ images, region }: LoadedConfig['config']): string[] {
  return Object.entries(images).flatMap(([name, own]) =>
    [...new Set(Object.values(own))].flatMap(image => {
      const { region: there } = ecrImage(image)
      return there === region ? [] : [`images.${name}: lies in ${there}: let ECR replicate it to ${region}`]
    }),
  )
}

/** A managed policy has 6,144 characters, and the rest of RunnerBuildPolicy takes less than 1,000 of them. */
const LONGEST_PULL = 5000

function pullLength({ images }: LoadedConfig['config']): number {
  const arns = new Set(Object.values(images).flatMap(own => Object.values(own).map(one => ecrImage(one).arn)))
  return [...arns].reduce((sum, arn) => sum + `"${arn}",`.length, 0)
}

type Parameters = Readonly<Record<string, { readonly Default?: string; readonly AllowedPattern?: string }>>

/** What a template says of the network that cannot work, and what CloudFormation would refuse of its parameters. */
export function templateFaults(template: { readonly Parameters: Parameters }, region: string): string[] {
  const faults = Object.entries(template.Parameters).flatMap(
    ([name, { Default: value, AllowedPattern: pattern }]) =>
      value === undefined || pattern === undefined || new RegExp(pattern).test(value)
        ? []
        : [
            `serverless.yml: params: ${name[0]!.toLowerCase()}${name.slice(1)}: ${JSON.stringify(value)} is not like ${pattern}`,
          ],
  )
  const [vpc, subnets] = ['VpcId', 'SubnetIds'].map(name => template.Parameters[name]?.Default ?? '')
  if ((vpc === '') !== (subnets === ''))
    faults.push('serverless.yml: params: vpcId and subnetIds belong together; set both or neither')
  else if (vpc === '' && TWO_ZONES.has(region))
    faults.push(
      `serverless.yml: params: vpcId and subnetIds are required in ${region}: it has two zones, and the network that the stack would make has three`,
    )
  return faults
}

/** `--param` and params of a stage that serverless.yml has no use for. */
export function paramFaults(serverlessYml: string, stage: string, given: readonly string[]): string[] {
  const { params } = parse(serverlessYml) as { params: Record<string, Record<string, unknown>> }
  const known = Object.keys(params.default ?? {})
  const knows = (key: string) => known.includes(key)
  const list = known.join(', ')
  return [
    ...given.flatMap(param => {
      const [key] = /^[^=]+(?==)/.exec(param) ?? []
      if (key === undefined) return [`--param ${param}: is written KEY=VALUE`]
      return knows(key) ? [] : [`--param ${param}: there is only ${list}`]
    }),
    ...Object.keys((Object.hasOwn(params, stage) && params[stage]) || {})
      .filter(key => !knows(key))
      .map(key => `serverless.yml: params.${stage}.${key}: there is only ${list}`),
  ]
}

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      stage: { type: 'string', default: 'dev' },
      config: { type: 'string' },
      param: { type: 'string', multiple: true, default: [] },
      deploy: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const { stage } = values
  const loaded = await loadForDeployment(stage, values.config ?? null, values.param)
  for (const warning of deploymentWarnings(loaded, Date.now())) process.stderr.write(`${warning}\n`)
  for (const { name, path, bytes } of await bundle({ root: ROOT, stage, config: loaded.config }))
    process.stdout.write(`${name.padEnd(10)} ${String(bytes).padStart(8)} bytes  ${relative(ROOT, path)}\n`)

  const folder = join(ROOT, '.tornade', 'stack', stage)
  await mkdir(folder, { recursive: true })
  const target = ['--stage', stage, '--region', loaded.config.region]
  const params = values.param.map(param => `--param=${param}`)
  const packaged = await serverless(['package', ...target, ...params, '--package', folder])
  if (packaged !== 0) return packaged
  const path = join(folder, 'cloudformation-template-update-stack.json')
  const faults = templateFaults(JSON.parse(await readFile(path, 'utf8')), loaded.config.region)
  if (faults.length > 0) throw new TornadeError('config-invalid', 'This cannot be deployed:', faults)
  process.stdout.write(`template             ${relative(ROOT, path)}\n`)
  return values.deploy ? serverless(['deploy', ...target, ...params, '--package', folder]) : 0
}

/** The configuration of a stage; all that is wrong with it, the stage or what is given besides is said at once. */
async function loadForDeployment(
  stage: string,
  path: string | null,
  params: readonly string[],
): Promise<LoadedConfig> {
  const faults = [stageFault(stage)].filter(fault => fault !== null)
  faults.push(...paramFaults(await readFile(join(ROOT, 'serverless.yml'), 'utf8'), stage, params))
  const said = (error: TornadeError) => faults.push(error.message, ...error.details.map(line => `  ${line}`))
  let loaded: CheckedConfig | null = null
  try {
    loaded = await checkConfigFile(path, process.cwd())
    if (loaded.faults.length > 0) said(invalid(loaded.path ?? 'tornade.yml', loaded.faults))
    faults.push(...deploymentFaults(loaded, loaded.unsound))
  } catch (error) {
    if (!(error instanceof TornadeError)) throw error
    said(error)
  }
  if (loaded === null || faults.length > 0)
    throw new TornadeError('config-invalid', 'This cannot be deployed:', faults)
  return loaded
}

/** Runs Serverless (osls) in this project; answers its exit code. */
function serverless(args: readonly string[]): Promise<number> {
  const program = join(ROOT, 'node_modules', 'osls', 'bin', 'serverless.js')
  return new Promise((resolve, reject) => {
    spawn(process.execPath, [program, ...args], { cwd: ROOT, stdio: 'inherit' })
      .on('error', reject)
      .on('exit', code => resolve(code ?? 1))
  })
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    const isUsage = String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
    if (!isUsage && !(error instanceof TornadeError)) throw error
    const lines = error instanceof TornadeError ? error.details.map(line => `  ${line}`) : [HELP]
    process.stderr.write(`${[(error as Error).message, ...lines].join('\n')}\n`)
    process.exitCode = isUsage ? 2 : 1
  }
}
