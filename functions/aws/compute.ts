/** The Compute port on AWS: Fargate and CodeBuild behind one face, told apart by what is asked for and by its ARN. */
import type { CodeBuildClient } from '@aws-sdk/client-codebuild'
import type { ECSClient } from '@aws-sdk/client-ecs'
import type { RunnerEvent, StartRequest } from '../core/types.ts'
import type { Compute, StartOutcome } from '../ports.ts'
import { CodeBuild } from './codebuild.ts'
import { Fargate } from './fargate.ts'
import type { ComputeSettings } from './provider.ts'

export type { ComputeSettings, RoleRef } from './provider.ts'

export class AwsCompute implements Compute {
  readonly #settings: ComputeSettings
  readonly #clients: { readonly ecs?: ECSClient; readonly codebuild?: CodeBuildClient }
  #fargate: Fargate | undefined
  #codebuild: CodeBuild | undefined

  /** Clients that are not given are made when they are first needed. */
  constructor(
    settings: ComputeSettings,
    clients: { readonly ecs?: ECSClient; readonly codebuild?: CodeBuildClient } = {},
  ) {
    this.#settings = settings
    this.#clients = clients
  }

  start(request: StartRequest): Promise<StartOutcome> {
    return this.#adapter(request.shape.compute).start(request)
  }

  async stop(providerId: string, reason: string): Promise<void> {
    await this.#adapter(computeOf(providerId)).stop(providerId, reason)
  }

  async describe(providerIds: readonly string[]): Promise<Map<string, RunnerEvent | null>> {
    const by = Map.groupBy(providerIds, computeOf)
    const events = await Promise.all([...by].map(([compute, ids]) => this.#adapter(compute).describe(ids)))
    return new Map(events.flatMap(some => [...some]))
  }

  async list(since: number): Promise<readonly string[]> {
    const lists = [this.#adapter('fargate').list(since), this.#adapter('codebuild').list(since)]
    return (await Promise.all(lists)).flat()
  }

  #adapter(compute: 'fargate' | 'codebuild'): Compute {
    if (compute === 'fargate') {
      this.#fargate ??= new Fargate(this.#settings, this.#clients.ecs)
      return this.#fargate
    }
    this.#codebuild ??= new CodeBuild(this.#settings, this.#clients.codebuild)
    return this.#codebuild
  }
}

/** For functions that start nothing: stops and describes what others started. */
export function stoppingCompute(
  { cluster, project }: { readonly cluster: string; readonly project: string },
  clients: { readonly ecs?: ECSClient; readonly codebuild?: CodeBuildClient } = {},
): Omit<Compute, 'start'> {
  const nothing = { arn: '', id: '' }
  return new AwsCompute(
    {
      cluster,
      taskDefinitions: {},
      container: '',
      subnets: [],
      securityGroups: [],
      roles: { plain: nothing, jobs: { arnPrefix: '', ids: {} } },
      codebuild: { project, images: {}, command: '' },
    },
    clients,
  )
}

/** @throws TypeError for what is the id of neither; no runner has such an id */
function computeOf(providerId: string): 'fargate' | 'codebuild' {
  const service = /^arn:[\w-]+:(ecs|codebuild):/.exec(providerId)?.[1]
  if (!service) throw new TypeError(`neither the ARN of a task nor of a build: ${providerId}`)
  return service === 'ecs' ? 'fargate' : 'codebuild'
}
