#!/usr/bin/env node
/**
 * `npm run package -- --stage NAME` and `npm run deploy -- --stage NAME`: checks what is to be deployed, bundles the functions,
 * and has Serverless make the CloudFormation template, or deploy it. Packaging needs no credentials.
 */
import { spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { type LoadedConfig, loadConfigFile } from '../cli/config-file.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { bundle } from './bundle.ts'

const ROOT = join(import.meta.dirname, '..')

const HELP = `Usage: npm run package -- [--stage NAME] [--config FILE] [--param KEY=VALUE]…
       npm run deploy  -- [--stage NAME] [--config FILE] [--param KEY=VALUE]…

  --stage   which deployment (dev)
  --config  tornade.yml of this deployment (./tornade.yml)
  --param   a value for this once, instead of what serverless.yml has below params

package writes .tornade/stack/NAME and needs no credentials; deploy does the same and
deploys it, with the credentials that the AWS CLI would use.
`

/** Where Serverless can deploy, without the isolated regions. What Fargate and CodeBuild have there is for AWS to say. */
export const REGIONS: ReadonlySet<string> = new Set(
  `af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
   ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
   cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
   il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1
   us-west-1 us-west-2`.split(/\s+/),
)

/** The role of a job is tornade-STAGE-NAME; names of roles have 64 characters, and NAME up to 40. */
const LONGEST_STAGE = 15

/** Why a stage cannot be deployed; null when it can. */
export function stageFault(stage: string): string | null {
  if (/^[a-z](?:[a-z0-9-]*[a-z0-9])?$/.test(stage) && stage.length <= LONGEST_STAGE) return null
  const name = JSON.stringify(stage).slice(0, 60)
  return `the stage ${name}: a stage is at most ${LONGEST_STAGE} of a-z, 0-9 and -, begins with a letter and does not end with -`
}

/** Why a tornade.yml that has no fault of its own cannot be deployed. */
export function deploymentFaults({ config, path }: LoadedConfig): string[] {
  const shown = path ?? 'tornade.yml'
  const owners = Object.keys(config.owners ?? {}).length
  return [
    ...(owners > 0
      ? []
      : [
          path === null
            ? 'tornade.yml: missing; it must at least say who may start runners, as in owners: { acme: 9919 } (login and numeric id)'
            : `${shown}: owners is required for a deployment: who may start runners, as in owners: { acme: 9919 } (login and numeric id)`,
        ]),
    ...(REGIONS.has(config.region) ? [] : [`${shown}: region: AWS has no region ${config.region}`]),
  ]
}

/** What a template says of the network; why it cannot work, or null. */
export function networkFault(template: {
  readonly Parameters: Readonly<Record<string, { readonly Default?: string }>>
}): string | null {
  const [vpc, subnets] = ['VpcId', 'SubnetIds'].map(name => template.Parameters[name]?.Default ?? '')
  if ((vpc === '') === (subnets === '')) return null
  return 'serverless.yml: params: vpcId and subnetIds belong together; set both or neither'
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
  const loaded = await loadForDeployment(stage, values.config ?? null)
  for (const warning of loaded.warnings) process.stderr.write(`${warning}\n`)
  for (const { name, path, bytes } of await bundle({ root: ROOT, stage, config: loaded.config }))
    process.stdout.write(`${name.padEnd(10)} ${String(bytes).padStart(8)} bytes  ${relative(ROOT, path)}\n`)

  const folder = join(ROOT, '.tornade', 'stack', stage)
  await mkdir(folder, { recursive: true })
  const target = ['--stage', stage, '--region', loaded.config.region]
  const params = values.param.map(param => `--param=${param}`)
  const packaged = await serverless(['package', ...target, ...params, '--package', folder])
  if (packaged !== 0) return packaged
  const path = join(folder, 'cloudformation-template-update-stack.json')
  const fault = networkFault(JSON.parse(await readFile(path, 'utf8')))
  if (fault) throw new TornadeError('config-invalid', 'This cannot be deployed:', [fault])
  process.stdout.write(`template             ${relative(ROOT, path)}\n`)
  return values.deploy ? serverless(['deploy', ...target, ...params, '--package', folder]) : 0
}

/** The configuration of a stage; all that is wrong with either is said at once. */
async function loadForDeployment(stage: string, path: string | null): Promise<LoadedConfig> {
  const faults = [stageFault(stage)].filter(fault => fault !== null)
  try {
    const loaded = await loadConfigFile(path, process.cwd())
    faults.push(...deploymentFaults(loaded))
    if (faults.length === 0) return loaded
  } catch (error) {
    if (!(error instanceof TornadeError)) throw error
    faults.push(error.message, ...error.details.map(line => `  ${line}`))
  }
  throw new TornadeError('config-invalid', 'This cannot be deployed:', faults)
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
