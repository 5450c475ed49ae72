/**
 * Runners as CodeBuild builds, for jobs that need a Docker daemon or ask for CodeBuild.
 * https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html
 */
import {
  BatchGetBuildsCommand,
  type Build,
  CodeBuildClient,
  type CodeBuildClientConfig,
  type ComputeType,
  ListBuildsForProjectCommand,
  StartBuildCommand,
  type StartBuildCommandInput,
  StopBuildCommand,
} from '@aws-sdk/client-codebuild'
import { cameUp, RUNNER_VARIABLE } from '../core/aws-events.ts'
import { CODEBUILD_LEAST_MINUTES, CODEBUILD_QUEUED_MINUTES } from '../core/sizes.ts'
import type { RunnerEvent, StartRequest } from '../core/types.ts'
import type { Compute, StartOutcome } from '../ports.ts'
import {
  attempt,
  CLIENT_DEFAULTS,
  type ComputeSettings,
  failed,
  imageAdvice,
  imageKey,
  isThrottle,
  type RoleRef,
  roleOf,
  runnerVariables,
  type Trouble,
} from './provider.ts'

/** Longest `timeoutInMinutes`: 36 hours. */
const MOST_MINUTES = 2160
/** Most builds that one BatchGetBuilds takes. */
const DESCRIBE_LIMIT = 100

export function codeBuildClient(config: CodeBuildClientConfig = {}): CodeBuildClient {
  return new CodeBuildClient({ ...CLIENT_DEFAULTS, ...config })
}

export class CodeBuild implements Compute {
  readonly #settings: ComputeSettings
  readonly #client: CodeBuildClient

  constructor(settings: ComputeSettings, client: CodeBuildClient = codeBuildClient()) {
    this.#settings = settings
    this.#client = client
  }

  /**
   * CodeBuild forgets an idempotencyToken after 5 minutes. A request that is sent again later than that starts a
   * second build. It does no harm: there is one ticket for each generation of a runner, and a build that finds none for
   * itself within 3 minutes ends, so that the first is gone before its token is.
   * @throws where the outcome is unknown: send the same request again
   */
  async start(request: StartRequest): Promise<StartOutcome> {
    const role = this.#role(request)
    if ('outcome' in role) return role
    const key = imageKey(request.shape.arch, request.image)
    const { images } = this.#settings.codebuild
    const image = Object.hasOwn(images, key) ? images[key] : undefined
    if (!image)
      return failed(
        'permanent',
        `This deployment has no CodeBuild image for ${key}.`,
        imageAdvice(request.shape.arch, request.image),
      )
    const command = new StartBuildCommand(this.#input(request, role, image))
    const answer = await attempt(command, () => this.#client.send(command))
    if ('trouble' in answer) return refused(answer.trouble)
    const arn = answer.output.build?.arn
    if (!arn) throw new Error('StartBuild answered without a build')
    return { outcome: 'started', providerId: arn, ticketKey: `${role.id}:AWSCodeBuild-${uuidOf(arn)}` }
  }

  /** A build that has ended already stays as it is; CodeBuild answers with it. */
  async stop(providerId: string): Promise<void> {
    try {
      await this.#client.send(new StopBuildCommand({ id: idOf(providerId) }))
    } catch (error) {
      if ((error as Error).name !== 'ResourceNotFoundException') throw error
    }
  }

  async describe(providerIds: readonly string[]): Promise<Map<string, RunnerEvent | null>> {
    const events = new Map<string, RunnerEvent | null>(providerIds.map(id => [id, null]))
    for (let from = 0; from < providerIds.length; from += DESCRIBE_LIMIT) {
      const ids = providerIds.slice(from, from + DESCRIBE_LIMIT).map(idOf)
      const answer = await this.#client.send(new BatchGetBuildsCommand({ ids }))
      for (const build of answer.builds ?? []) if (build.arn) events.set(build.arn, event(build))
    }
    return events
  }

  /** CodeBuild lists every build it ever had, the newest first, and does not say of one when it was. */
  async list(since: number): Promise<readonly string[]> {
    const { project } = this.#settings.codebuild
    const running: string[] = []
    let nextToken: string | undefined
    do {
      const query = {
        projectName: project,
        sortOrder: 'DESCENDING',
        ...(nextToken ? { nextToken } : {}),
      } as const
      const page = await this.#client.send(new ListBuildsForProjectCommand(query))
      const ids = page.ids ?? []
      if (ids.length === 0) break
      const { builds = [] } = await this.#client.send(new BatchGetBuildsCommand({ ids }))
      for (const { arn, buildStatus } of builds) if (arn && buildStatus === 'IN_PROGRESS') running.push(arn)
      const isOld = builds.some(({ startTime }) => startTime !== undefined && startTime.getTime() < since)
      nextToken = isOld ? undefined : page.nextToken
    } while (nextToken)
    return running
  }

  #role(request: StartRequest) {
    const role = roleOf(this.#settings, request)
    const { roleId } = this.#settings.codebuild
    return request.role === null && roleId ? { ...this.#settings.roles.plain, id: roleId } : role
  }

  #input(request: StartRequest, role: RoleRef, image: string): StartBuildCommandInput {
    const { command, project } = this.#settings.codebuild
    const { shape } = request
    return {
      projectName: project,
      idempotencyToken: request.token,
      sourceTypeOverride: 'NO_SOURCE',
      // JSON is YAML, and needs no quoting of its own.
      buildspecOverride: JSON.stringify({ version: 0.2, phases: { build: { commands: [command] } } }),
      environmentTypeOverride: shape.arch === 'arm64' ? 'ARM_CONTAINER' : 'LINUX_CONTAINER',
      ...(shape.computeType ? { computeTypeOverride: shape.computeType as ComputeType } : {}),
      imageOverride: image,
      privilegedModeOverride: request.docker || request.build,
      ...(request.role === null ? {} : { serviceRoleOverride: role.arn }),
      timeoutInMinutesOverride: Math.max(
        CODEBUILD_LEAST_MINUTES,
        Math.min(MOST_MINUTES, request.timeoutMinutes),
      ),
      queuedTimeoutInMinutesOverride: CODEBUILD_QUEUED_MINUTES,
      environmentVariablesOverride: runnerVariables(this.#settings, request, role).map(variable => ({
        ...variable,
        type: 'PLAINTEXT',
      })),
    }
  }
}

function refused({ error, name, message, uncertain }: Trouble): StartOutcome {
  if (uncertain) throw error
  if (isThrottle(name)) return failed('throttled', `${name}: ${message}`)
  const words = `${name}: ${message}`
  switch (name) {
    case 'AccountLimitExceededException':
      // What an account gets that CodeBuild is not opened for: no wait ends that.
      // https://github.com/awslabs/landing-zone-accelerator-on-aws/issues/1013
      if (/more than 0 builds/.test(message))
        return failed(
          'permanent',
          words,
          'The account may run no builds of this type: have "Concurrently running builds" raised in Service Quotas (CodeBuild).',
        )
      return failed(
        'quota',
        words,
        'Have "Concurrently running builds" raised in Service Quotas (CodeBuild).',
      )
    case 'InvalidInputException':
      // The token is in use with other parameters, as after a deployment in between. Unlike ECS, CodeBuild does not say
      // which build that is; within 5 minutes it forgets the token, and that build has given up by then.
      if (/mismatch|idempoten/i.test(message)) throw error
      return failed('permanent', words, adviceFor(message))
    case 'ResourceNotFoundException':
      return failed('permanent', words, 'Deploy again.')
    case 'AccessDeniedException':
      return failed('permanent', words, adviceFor(message))
    default:
      throw error
  }
}

function adviceFor(words: string): string | undefined {
  if (/iam:PassRole/.test(words))
    return 'The launch function may pass roles below the path of job roles only.'
  if (/sts:AssumeRole|assume/i.test(words))
    return 'The trust policy of the role must let codebuild.amazonaws.com assume it.'
  // A limit that no page of AWS names: https://github.com/wolfeidau/buildkite-serverless-agent/issues/35
  if (/EnvironmentVariable should be at most/.test(words))
    return 'Let fewer repositories or refs use its role.'
  return undefined
}

/** `<project>:<uuid>`, which is what StopBuild and BatchGetBuilds know a build by. */
function idOf(arn: string): string {
  return arn.slice(arn.indexOf(':build/') + ':build/'.length)
}

/** The session of a build's service role is named after it. */
function uuidOf(arn: string): string {
  return arn.slice(arn.lastIndexOf(':') + 1)
}

/** The same facts that the build's events tell (core/aws-events.ts); null for a build that is no runner. */
function event(build: Build): RunnerEvent | null {
  const runner = build.environment?.environmentVariables?.find(({ name }) => name === RUNNER_VARIABLE)?.value
  if (!build.arn || !runner) return null
  const status = build.buildStatus ?? 'IN_PROGRESS'
  const stopped = status !== 'IN_PROGRESS'
  const start = build.startTime?.getTime() ?? null
  const up = build.phases?.find(({ phaseType, phaseStatus }) => cameUp(phaseType, phaseStatus))?.endTime
  return {
    kind: 'runner',
    runner,
    providerId: build.arn,
    pullStartedAt: start,
    startedAt: build.phases ? (up?.getTime() ?? null) : stopped ? start : null,
    stoppingAt: null,
    stoppedAt: stopped ? (build.endTime?.getTime() ?? null) : null,
    stop: stopped ? { code: status, reason: `build ${status.toLowerCase()}` } : null,
  }
}
