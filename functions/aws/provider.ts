/** What the adapters of ECS and CodeBuild share: settings, roles, what a runner is told, and how refusals are read. */
import { RUNNER_VARIABLE } from '../core/aws-events.ts'
import { clean } from '../core/text.ts'
import type { Arch, StartRequest } from '../core/types.ts'
import type { StartOutcome } from '../ports.ts'

export interface RoleRef {
  readonly arn: string
  /** Unique id of the role (AROA…): the first half of the `aws:userid` of whoever assumes it. */
  readonly id: string
}

/** What the adapters know of the stack they run in; the entries fill it from their environment. */
export interface ComputeSettings {
  /** Name or ARN of the ECS cluster. */
  readonly cluster: string
  /** Task definition by imageKey(): its family, which is its newest revision, or an ARN. */
  readonly taskDefinitions: Readonly<Record<string, string>>
  /** Name of the container that is the runner, in every task definition. */
  readonly container: string
  readonly subnets: readonly string[]
  readonly securityGroups: readonly string[]
  readonly roles: {
    /** What a job gets that asks for no role: task role on Fargate, service role of the CodeBuild project. */
    readonly plain: RoleRef
    /** Overrides the execution role of the task definitions. */
    readonly execution?: string
    readonly jobs: {
      /** ARN of a job role up to its name: `arn:aws:iam::ACCOUNT:role/tornade/STAGE/jobs/tornade-STAGE-`. */
      readonly arnPrefix: string
      /** Unique role id by NAME of `role:NAME`. */
      readonly ids: Readonly<Record<string, string>>
    }
  }
  readonly codebuild: {
    readonly project: string
    /** Image (by digest) by imageKey(). */
    readonly images: Readonly<Record<string, string>>
    /** Command that starts the runner inside the image. */
    readonly command: string
    /** Unique id of the project's service role, where that is not the plain role. */
    readonly roleId?: string
  }
  /**
   * What the runner of a request is told beside its name and role, as environment variables. The same for the same
   * request, always; never a secret; never anything that authors of workflows control.
   */
  readonly variables?: (request: StartRequest) => Readonly<Record<string, string>>
  /**
   * Tags of every task; where there are some, the repository's are added. Builds have none of their own. Never anything
   * that authors of workflows control.
   */
  readonly tags?: Readonly<Record<string, string>>
}

/** Key of an image in the settings: `x64`, `arm64/build`, `x64/image:NAME`, `x64/image:NAME/build`. */
export function imageKey(arch: Arch, image: string | null, build = false): string {
  return [arch, ...(image === null ? [] : [`image:${image}`]), ...(build ? ['build'] : [])].join('/')
}

type Failed = Extract<StartOutcome, { outcome: 'failed' }>
export type FailureKind = Failed['kind']

/** Longest text of a provider that is kept: a refused IAM call alone can be some thousand characters. */
const MESSAGE_LIMIT = 500

/** The provider's own words, and what an operator can do about them. */
export function failed(kind: FailureKind, message: string, advice?: string): Failed {
  const words = clean(message, MESSAGE_LIMIT)
  return { outcome: 'failed', kind, message: advice ? `${words.replace(/[.\s]*$/, '.')} ${advice}` : words }
}

/** What an operator does where nothing can be started of an image: the standard one was never built, or its pin is gone. */
export function imageAdvice(arch: Arch, image: string | null): string {
  if (image !== null) return `It comes with a deployment whose tornade.yml has images.${image}: deploy again.`
  return `The runner image for ${arch} was never built, or is in use no more: run aws codebuild start-build --project-name tornade-STAGE-image-${arch}, and see docs/install.md, "The first image".`
}

/** The role of a request; a failure where this deployment does not know its id, and so no key for its ticket. */
export function roleOf(settings: ComputeSettings, request: StartRequest): RoleRef | Failed {
  const { plain, jobs } = settings.roles
  const { role } = request
  if (role === null) return plain
  // Own entries only: `constructor` is a fine name for a role.
  const id = Object.hasOwn(jobs.ids, role) ? jobs.ids[role] : undefined
  const arn = `${jobs.arnPrefix}${role}`
  if (id) return { arn, id }
  return failed(
    'permanent',
    `There is no role ${arn} that this deployment knows.`,
    'Create it under exactly that path and name.',
  )
}

/**
 * What the runner is told, as environment variables. Events and descriptions of tasks and builds show them, so
 * nothing here is secret and nothing is written by the authors of workflows.
 */
export function runnerVariables(
  settings: ComputeSettings,
  request: StartRequest,
  role: RoleRef,
): readonly { readonly name: string; readonly value: string }[] {
  const variables: Readonly<Record<string, string>> = {
    ...settings.variables?.(request),
    [RUNNER_VARIABLE]: request.runner,
    TORNADE_COMPUTE: request.shape.compute,
    // With the id of its task or build this is the key of the runner's ticket.
    TORNADE_ROLE_ID: role.id,
    TORNADE_TIMEOUT_MINUTES: String(request.timeoutMinutes),
    ...(request.role === null ? {} : { TORNADE_ROLE: request.role }),
    ...(request.docker ? { TORNADE_DOCKER: 'true' } : {}),
    ...(request.build ? { TORNADE_BUILD: 'true' } : {}),
  }
  return Object.entries(variables).map(([name, value]) => ({ name, value }))
}

/** Timeouts that fit a Lambda: three attempts end well within a minute. */
export const CLIENT_DEFAULTS = {
  maxAttempts: 3,
  retryMode: 'standard',
  // Without throwOnRequestTimeout the SDK only warns of a call that takes too long, and goes on waiting.
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 5_000, throwOnRequestTimeout: true },
} as const

/** What a service or the way to it answered instead of a result. */
export interface Trouble {
  readonly error: unknown
  readonly name: string
  readonly message: string
  /**
   * True when some attempt ended without an answer, or with a server's fault: it may have done its work. The SDK tries
   * again by itself, so the last attempt, refused for good or throttled, says nothing about those before it.
   */
  readonly uncertain: boolean
}

interface Stack {
  add(
    middleware: (next: (args: never) => Promise<unknown>) => (args: never) => Promise<unknown>,
    options: { step: 'deserialize'; priority: 'high'; name: string },
  ): void
}

/** Runs a command and looks at each of its attempts. */
export async function attempt<Output>(
  command: { readonly middlewareStack: unknown },
  send: () => Promise<Output>,
): Promise<{ readonly output: Output } | { readonly trouble: Trouble }> {
  let uncertain = false
  // Below the retries, so that it sees every attempt; around the deserializer, so that it sees the error as it is read.
  ;(command.middlewareStack as Stack).add(
    next => async args => {
      try {
        return await next(args)
      } catch (error) {
        uncertain ||= !isRefusal(error)
        throw error
      }
    },
    { step: 'deserialize', priority: 'high', name: 'tornadeAttempts' },
  )
  try {
    return { output: await send() }
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error))
    return { trouble: { error, name, message, uncertain } }
  }
}

/** True for an answer that says: not done, because of the request or its sender. */
function isRefusal(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
  const status = $metadata?.httpStatusCode ?? 0
  return status >= 400 && status < 500
}

/** As services of AWS name it: https://github.com/smithy-lang/smithy-typescript/blob/main/packages/service-error-classification/src/constants.ts */
const THROTTLES =
  /^(?:Throttl\w+|TooManyRequestsException|RequestLimitExceeded|RequestThrottled\w*|SlowDown)$/

export function isThrottle(name: string): boolean {
  return THROTTLES.test(name)
}
