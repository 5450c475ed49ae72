/** CodeBuild as far as runners need it: builds of one project, their idempotency and their events. */
import {
  defined,
  type EventBridgeEvent,
  envelope,
  fingerprint,
  type Input,
  seconds,
  uuid,
  type WireContext,
  WireException,
} from './service.ts'

export interface WireBuild {
  readonly arn: string
  readonly id: string
  readonly input: StartBuildInput
  readonly startTime: number
  /** When its container was up; null while it queues or is being provisioned. */
  upTime: number | null
  endTime: number | null
  status: string
}

interface StartBuildInput {
  readonly projectName: string
  readonly idempotencyToken?: string
  readonly environmentTypeOverride?: string
  readonly computeTypeOverride?: string
  readonly imageOverride?: string
  readonly privilegedModeOverride?: boolean
  readonly serviceRoleOverride?: string
  readonly sourceTypeOverride?: string
  readonly buildspecOverride?: string
  readonly environmentVariablesOverride?: readonly { readonly name: string; readonly value: string }[]
}

/** How long a token is remembered. */
const TOKEN_MS = 5 * 60_000
const PAGE = 100

export class WireCodeBuild {
  readonly #context: WireContext
  readonly project: string
  readonly builds = new Map<string, WireBuild>()
  /** The project's own limit; without one builds beyond the account's wait in its queue. */
  concurrentBuildLimit: number | null = null
  readonly #tokens = new Map<
    string,
    { readonly fingerprint: string; readonly build: WireBuild; readonly at: number }
  >()

  constructor(context: WireContext, project: string) {
    this.#context = context
    this.project = project
  }

  // Operations

  startBuild(input: Input): Record<string, unknown> {
    const request = input as unknown as StartBuildInput
    const { idempotencyToken: token, projectName } = request
    if (projectName !== this.project)
      throw new WireException('ResourceNotFoundException', `Project cannot be found: ${projectName}`)
    if (request.sourceTypeOverride === 'NO_SOURCE' && !request.buildspecOverride)
      throw new WireException('InvalidInputException', 'Invalid input: a buildspec is required for NO_SOURCE')
    const known = token === undefined ? undefined : this.#tokens.get(token)
    const print = fingerprint(input)
    if (known && this.#context.now() - known.at < TOKEN_MS) {
      if (known.fingerprint === print) return { build: this.#shape(known.build) }
      throw new WireException('InvalidInputException', 'Parameter mismatch for the idempotency token')
    }
    // The user guide says that it is an error, and not in which words: only the name is told by.
    // https://docs.aws.amazon.com/codebuild/latest/userguide/builds-working.html
    const running = [...this.builds.values()].filter(({ status }) => status === 'IN_PROGRESS').length
    if (this.concurrentBuildLimit !== null && running >= this.concurrentBuildLimit)
      throw new WireException(
        'AccountLimitExceededException',
        `Cannot have more than ${this.concurrentBuildLimit} active builds for the project`,
      )
    const build = this.#create(request)
    if (token !== undefined) this.#tokens.set(token, { fingerprint: print, build, at: this.#context.now() })
    return { build: this.#shape(build) }
  }

  stopBuild(input: Input): Record<string, unknown> {
    const build = this.#find(input.id as string)
    if (!build) throw new WireException('ResourceNotFoundException', `Build cannot be found: ${input.id}`)
    if (build.status === 'IN_PROGRESS') this.ended(build.arn, 'STOPPED')
    return { build: this.#shape(build) }
  }

  batchGetBuilds(input: Input): Record<string, unknown> {
    const ids = input.ids as readonly string[]
    const found = ids.map(id => this.#find(id)).filter(build => build !== undefined)
    return {
      builds: found.map(build => this.#shape(build)),
      buildsNotFound: ids.filter(id => !this.#find(id)),
    }
  }

  /** All there ever were, in pages of a hundred. */
  listBuildsForProject(input: Input): Record<string, unknown> {
    if (input.projectName !== this.project)
      throw new WireException('ResourceNotFoundException', `Project cannot be found: ${input.projectName}`)
    const ids = [...this.builds.values()].map(({ id }) => id)
    if (input.sortOrder !== 'ASCENDING') ids.reverse()
    const from = Number(input.nextToken ?? 0)
    const to = from + PAGE
    return defined({ ids: ids.slice(from, to), nextToken: to < ids.length ? String(to) : undefined })
  }

  // What happens to builds

  /** The event that a build began with. */
  started(arn: string): EventBridgeEvent {
    return this.#emit(arn)
  }

  /** Its turn has come and its container is up. */
  provisioned(arn: string): EventBridgeEvent {
    const build = this.#get(arn)
    build.upTime ??= Math.floor(this.#context.now() / 1000) * 1000
    const event = envelope(this.#context, 'aws.codebuild', 'CodeBuild Build Phase Change', arn, {
      'completed-phase': 'PROVISIONING',
      'completed-phase-status': 'SUCCEEDED',
      'completed-phase-end': buildTime(build.upTime),
      ...this.#detail(build),
    })
    this.#context.emit(event)
    return event
  }

  ended(
    arn: string,
    status: 'SUCCEEDED' | 'FAILED' | 'FAULT' | 'STOPPED' | 'TIMED_OUT' = 'SUCCEEDED',
  ): EventBridgeEvent {
    const build = this.#get(arn)
    build.status = status
    build.endTime = this.#context.now()
    return this.#emit(arn)
  }

  event(arn: string): EventBridgeEvent {
    const build = this.#get(arn)
    const running = build.status === 'IN_PROGRESS'
    return envelope(this.#context, 'aws.codebuild', 'CodeBuild Build State Change', arn, {
      'build-status': build.status,
      'current-phase': running ? 'SUBMITTED' : 'COMPLETED',
      ...this.#detail(build),
    })
  }

  #detail(build: WireBuild) {
    const { input } = build
    return {
      'project-name': this.project,
      'build-id': build.arn,
      'additional-information': {
        'build-start-time': buildTime(build.startTime),
        initiator: 'tornade/launch',
        phases: phasesOf(build).map(([phase, end]) => ({
          'phase-type': phase,
          'phase-status': 'SUCCEEDED',
          'end-time': buildTime(end),
        })),
        environment: {
          image: input.imageOverride,
          'compute-type': input.computeTypeOverride,
          type: input.environmentTypeOverride,
          'privileged-mode': input.privilegedModeOverride ?? false,
          'environment-variables': input.environmentVariablesOverride ?? [],
        },
      },
      version: '1',
    }
  }

  #emit(arn: string): EventBridgeEvent {
    const event = this.event(arn)
    this.#context.emit(event)
    return event
  }

  #create(input: StartBuildInput): WireBuild {
    const id = `${this.project}:${uuid(`${this.builds.size} ${input.idempotencyToken}`)}`
    const { account, region } = this.#context
    const arn = `arn:aws:codebuild:${region}:${account}:build/${id}`
    const build: WireBuild = {
      arn,
      id,
      input,
      // CodeBuild's times have whole seconds where events tell them.
      startTime: Math.floor(this.#context.now() / 1000) * 1000,
      upTime: null,
      endTime: null,
      status: 'IN_PROGRESS',
    }
    this.builds.set(arn, build)
    return build
  }

  #shape(build: WireBuild): Record<string, unknown> {
    const { input } = build
    return defined({
      id: build.id,
      arn: build.arn,
      projectName: this.project,
      buildStatus: build.status,
      buildComplete: build.endTime !== null,
      startTime: seconds(build.startTime),
      endTime: seconds(build.endTime),
      phases: phasesOf(build).map(([phaseType, end]) => ({
        phaseType,
        phaseStatus: 'SUCCEEDED',
        endTime: seconds(end),
      })),
      currentPhase: build.endTime === null ? 'SUBMITTED' : 'COMPLETED',
      serviceRole: input.serviceRoleOverride,
      environment: defined({
        // What a request does not override is as in the project.
        type: input.environmentTypeOverride ?? 'LINUX_CONTAINER',
        image: input.imageOverride ?? 'aws/codebuild/standard:7.0',
        computeType: input.computeTypeOverride ?? 'BUILD_GENERAL1_SMALL',
        privilegedMode: input.privilegedModeOverride ?? false,
        environmentVariables: input.environmentVariablesOverride ?? [],
      }),
    })
  }

  #get(arn: string): WireBuild {
    const build = this.builds.get(arn)
    if (!build) throw new Error(`no build ${arn}`)
    return build
  }

  #find(id: string): WireBuild | undefined {
    return [...this.builds.values()].find(build => build.id === id)
  }
}

/** Those of its phases that have ended, and when. */
function phasesOf({ startTime, upTime }: WireBuild): [phase: string, end: number][] {
  return [
    ['SUBMITTED', startTime],
    ...(upTime === null ? [] : [['PROVISIONING', upTime] as [string, number]]),
  ]
}

/** As CodeBuild writes times in events: "Sep 1, 2017 4:12:29 PM", in UTC. */
function buildTime(time: number): string {
  return new Date(time)
    .toLocaleString('en-US', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' })
    .replaceAll('\u202f', ' ')
}
