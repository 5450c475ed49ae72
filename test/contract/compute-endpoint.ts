/** ECS and CodeBuild at any endpoint, with a stack made for the tests. */
import {
  BatchGetBuildsCommand,
  CodeBuildClient,
  CreateProjectCommand,
  ListBuildsForProjectCommand,
} from '@aws-sdk/client-codebuild'
import {
  CreateClusterCommand,
  ECSClient,
  ListTasksCommand,
  RegisterContainerInstanceCommand,
  RegisterTaskDefinitionCommand,
} from '@aws-sdk/client-ecs'
import { AwsClient } from 'aws4fetch'
import { AwsCompute } from '../../functions/aws/compute.ts'
import type { ComputeSettings } from '../../functions/aws/provider.ts'
import { settingsOf } from '../aws/wire/stack.ts'
import type { Case, ComputeSubject } from './compute.ts'

const CREDENTIALS = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'of-tests' }
const REGION = 'us-east-1'

/** What moto 5.2 has not, or has otherwise than AWS; the wire server has it as AWS documents it. */
export function motoLacks(which: Case, provider: 'fargate' | 'codebuild'): string | undefined {
  if (provider === 'codebuild') return 'moto writes times as text, which no SDK reads in AWS JSON 1.1'
  if (which === 'again' || which === 'atOnce' || which === 'after') return 'moto has no clientToken for tasks'
  if (which === 'unknown') return 'moto answers 500 for a task that it does not know'
  if (which === 'list') return 'moto places tasks on an instance, which has no room for so many'
  return undefined
}

export async function isMoto(endpoint: string): Promise<boolean> {
  const answer = await fetch(`${endpoint}/moto-api/data.json`).catch(() => null)
  return answer?.ok ?? false
}

/** Makes a cluster, its task definitions and a project, and then subjects that share them. */
export function computeAt(endpoint: string): () => Promise<ComputeSubject> {
  const config = { endpoint, region: REGION, credentials: CREDENTIALS }
  const ecs = new ECSClient(config)
  const codebuild = new CodeBuildClient(config)
  let stack: Promise<ComputeSettings> | undefined
  return async () => {
    stack ??= deploy(endpoint, ecs, codebuild)
    const settings = await stack
    const { cluster } = settings
    const projectName = settings.codebuild.project
    const compute = new AwsCompute(settings, { ecs, codebuild })
    return {
      compute,
      live: async () => {
        const [{ taskArns = [] }, { ids = [] }] = await Promise.all([
          ecs.send(new ListTasksCommand({ cluster, desiredStatus: 'RUNNING' })),
          codebuild.send(new ListBuildsForProjectCommand({ projectName })),
        ])
        if (ids.length === 0) return taskArns.length
        const { builds = [] } = await codebuild.send(new BatchGetBuildsCommand({ ids: ids.slice(0, 100) }))
        return taskArns.length + builds.filter(({ buildStatus }) => buildStatus === 'IN_PROGRESS').length
      },
      settle: async () => {},
      close: async () => {},
    }
  }
}

async function deploy(
  endpoint: string,
  ecs: ECSClient,
  codebuild: CodeBuildClient,
): Promise<ComputeSettings> {
  const name = `tornade-test-${process.pid}`
  const { cluster } = await ecs.send(
    new CreateClusterCommand({ clusterName: name, capacityProviders: ['FARGATE', 'FARGATE_SPOT'] }),
  )
  const arn = cluster!.clusterArn!
  const settings = settingsOf(accountOf(arn), arn, name)
  const taskDefinitions = Object.fromEntries(
    await Promise.all(
      Object.keys(settings.taskDefinitions).map(async key => {
        const { taskDefinition } = await ecs.send(
          new RegisterTaskDefinitionCommand({
            family: `${name}-${key.replaceAll(/\W/g, '-')}`,
            networkMode: 'awsvpc',
            requiresCompatibilities: ['FARGATE'],
            cpu: '2048',
            memory: '4096',
            runtimePlatform: { cpuArchitecture: key.startsWith('arm64') ? 'ARM64' : 'X86_64' },
            containerDefinitions: [{ name: settings.container, image: 'runner', essential: true, memory: 6 }],
          }),
        )
        return [key, taskDefinition!.taskDefinitionArn!]
      }),
    ),
  )
  if (await isMoto(endpoint)) await addInstance(endpoint, ecs, arn)
  await codebuild.send(
    new CreateProjectCommand({
      name,
      // moto wants a location even of no source.
      source: { type: 'NO_SOURCE', location: 'none', buildspec: 'version: 0.2' },
      artifacts: { type: 'NO_ARTIFACTS' },
      environment: { type: 'LINUX_CONTAINER', image: 'none', computeType: 'BUILD_GENERAL1_SMALL' },
      serviceRole: settings.roles.plain.arn,
    }),
  )
  return { ...settings, taskDefinitions, subnets: await subnetsAt(endpoint), securityGroups: [] }
}

/** moto passes over capacity providers, and places tasks on instances alone. */
async function addInstance(endpoint: string, ecs: ECSClient, cluster: string): Promise<void> {
  const run = { Action: 'RunInstances', ImageId: 'ami-0123456789abcdef0', MinCount: '1', MaxCount: '1' }
  const instanceId = /<instanceId>(i-\w+)</.exec(await ec2(endpoint, run))?.[1]
  await ecs.send(
    new RegisterContainerInstanceCommand({
      cluster,
      instanceIdentityDocument: JSON.stringify({ instanceId }),
    }),
  )
}

async function subnetsAt(endpoint: string): Promise<string[]> {
  const answer = await ec2(endpoint, { Action: 'DescribeSubnets' })
  return [...new Set(answer.match(/\bsubnet-[0-9a-f]+\b/g))].slice(0, 3)
}

/** Two calls of EC2 are not worth a client. */
async function ec2(endpoint: string, query: Readonly<Record<string, string>>): Promise<string> {
  const client = new AwsClient({ ...CREDENTIALS, region: REGION, service: 'ec2' })
  const answer = await client.fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ ...query, Version: '2016-11-15' }).toString(),
  })
  return answer.text()
}

function accountOf(arn: string): string {
  return arn.split(':')[4]!
}
