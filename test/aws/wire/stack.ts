/** A deployed stack as the compute adapters are told of it, and as the wire server has it. */

import { ConfiguredRetryStrategy } from '@smithy/core/retry'
import { codeBuildClient } from '../../../functions/aws/codebuild.ts'
import { AwsCompute } from '../../../functions/aws/compute.ts'
import { ecsClient } from '../../../functions/aws/fargate.ts'
import { CLIENT_DEFAULTS, type ComputeSettings, imageKey } from '../../../functions/aws/provider.ts'
import { Wire, type WireOptions } from './server.ts'

const ACCOUNT = '123456789012'

export function settingsOf(account: string, cluster: string, project: string): ComputeSettings {
  const images = (['x64', 'arm64'] as const).flatMap(arch => [null, 'node'].map(image => ({ arch, image })))
  return {
    cluster,
    taskDefinitions: Object.fromEntries(
      images.flatMap(({ arch, image }) =>
        [false, true].map(build => [
          imageKey(arch, image, build),
          `arn:aws:ecs:us-east-1:${account}:task-definition/tornade-test-${imageKey(arch, image, build).replaceAll(/\W/g, '-')}:1`,
        ]),
      ),
    ),
    container: 'runner',
    subnets: ['subnet-0aaa', 'subnet-0bbb', 'subnet-0ccc'],
    securityGroups: ['sg-0aaa'],
    roles: {
      plain: { arn: `arn:aws:iam::${account}:role/tornade-test-runner`, id: 'AROAPLAIN00000000000' },
      jobs: {
        arnPrefix: `arn:aws:iam::${account}:role/tornade/test/jobs/tornade-test-`,
        ids: { deploy: 'AROADEPLOY0000000000' },
      },
    },
    codebuild: {
      project,
      images: Object.fromEntries(
        images.map(({ arch, image }) => [
          imageKey(arch, image),
          `${account}.dkr.ecr.us-east-1.amazonaws.com/tornade-test@sha256:${'0'.repeat(64)}`,
        ]),
      ),
      command: '/opt/tornade/entrypoint',
    },
    tags: { 'tornade:stage': 'test' },
  }
}

export interface WireStack {
  readonly wire: Wire
  readonly settings: ComputeSettings
  readonly compute: AwsCompute
}

/** SDK clients that try again as they do in an account, without the waits. */
export function wireClients({ client }: Wire, requestTimeout = 5_000) {
  const config = {
    ...client,
    requestHandler: { connectionTimeout: 1_000, requestTimeout, throwOnRequestTimeout: true },
    retryStrategy: new ConfiguredRetryStrategy(CLIENT_DEFAULTS.maxAttempts, 0),
  }
  return { ecs: ecsClient(config), codebuild: codeBuildClient(config) }
}

export async function wireStack(options: WireOptions = {}): Promise<WireStack> {
  const wire = await Wire.start({ account: ACCOUNT, ...options })
  const settings = settingsOf(ACCOUNT, wire.ecs.clusterArn, wire.codebuild.project)
  for (const [key, arn] of Object.entries(settings.taskDefinitions))
    wire.ecs.taskDefinitions.set(arn, {
      containers: key.endsWith('/build') ? ['runner', 'kaniko'] : ['runner'],
      architecture: key.startsWith('arm64') ? 'ARM64' : 'X86_64',
    })
  return { wire, settings, compute: new AwsCompute(settings, wireClients(wire)) }
}
