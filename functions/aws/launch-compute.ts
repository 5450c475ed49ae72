/**
 * The Compute port of the launch function: looks up what only some requests need, the id of a job's role and the image
 * of a build, so that a plain Fargate job costs no call but its RunTask.
 */
import { AwsClient } from 'aws4fetch'
import type { Config } from '../config.ts'
import type { Arch, StartRequest } from '../core/types.ts'
import type { Clock, Compute, StartOutcome } from '../ports.ts'
import { AwsCompute, type ComputeSettings } from './compute.ts'
import { imageKey } from './provider.ts'
import type { ReadParameters } from './secrets.ts'

export interface LaunchComputeSettings extends Omit<ComputeSettings, 'roles' | 'codebuild'> {
  readonly roles: {
    readonly plain: ComputeSettings['roles']['plain']
    readonly jobs: { readonly arnPrefix: string }
  }
  readonly codebuild: {
    readonly project: string
    readonly command: string
    /** Images that tornade.yml pins, by imageKey(). */
    readonly images: Readonly<Record<string, string>>
    /** Name of the SSM parameter that holds the digest of any other image, by imageKey(). */
    readonly imageParameters: Readonly<Record<string, string>>
  }
}

/**
 * What is started of the images of tornade.yml, by imageKey(): their task definitions (scripts/images.ts makes them), and
 * themselves for CodeBuild.
 *
 * @param family what the families of their task definitions begin with
 */
export function ownImages(
  images: Config['images'],
  family: string,
): Record<'families' | 'images', Readonly<Record<string, string>>> {
  const all = Object.entries(images).flatMap(([name, own]) =>
    (Object.entries(own) as [Arch, string][]).map(([arch, image]) => ({ name, arch, image })),
  )
  return {
    families: Object.fromEntries(
      all.map(({ name, arch }) => [imageKey(arch, name), `${family}${name}-${arch}`]),
    ),
    images: Object.fromEntries(all.map(({ name, arch, image }) => [imageKey(arch, name), image])),
  }
}

/** How long a looked-up value is believed: the image builder moves images weekly, roles hardly ever change. */
const BELIEVED_MS = 5 * 60_000

export class LaunchCompute implements Pick<Compute, 'start' | 'stop'> {
  readonly #settings: LaunchComputeSettings
  readonly #clients: ConstructorParameters<typeof AwsCompute>[1]
  readonly #parameters: Believed
  readonly #roleIds: Believed

  constructor(
    settings: LaunchComputeSettings,
    lookUp: {
      readonly parameters: ReadParameters
      readonly roleId: (name: string) => Promise<string | undefined>
    },
    clock: Clock,
    clients: ConstructorParameters<typeof AwsCompute>[1] = {},
  ) {
    this.#settings = settings
    this.#clients = clients
    this.#parameters = new Believed(clock, async name => (await lookUp.parameters([name])).get(name))
    this.#roleIds = new Believed(clock, lookUp.roleId)
  }

  async start(request: StartRequest): Promise<StartOutcome> {
    return this.#adapter(await this.#ids(request), await this.#images(request)).start(request)
  }

  async stop(providerId: string, reason: string): Promise<void> {
    await this.#adapter({}, {}).stop(providerId, reason)
  }

  #adapter(ids: Readonly<Record<string, string>>, images: Readonly<Record<string, string>>): AwsCompute {
    const { roles, codebuild, ...rest } = this.#settings
    const { project, command } = codebuild
    return new AwsCompute(
      { ...rest, roles: { ...roles, jobs: { ...roles.jobs, ids } }, codebuild: { project, command, images } },
      this.#clients,
    )
  }

  async #ids({ role }: StartRequest): Promise<Readonly<Record<string, string>>> {
    if (role === null) return {}
    const name = `${this.#settings.roles.jobs.arnPrefix}${role}`.split('/').at(-1)!
    const id = await this.#roleIds.get(name)
    return id === undefined ? {} : { [role]: id }
  }

  async #images({ shape, image }: StartRequest): Promise<Readonly<Record<string, string>>> {
    if (shape.compute !== 'codebuild') return {}
    const key = imageKey(shape.arch, image)
    const { images, imageParameters } = this.#settings.codebuild
    if (Object.hasOwn(images, key)) return images
    const name = Object.hasOwn(imageParameters, key) ? imageParameters[key] : undefined
    const value = name === undefined ? undefined : await this.#parameters.get(name)
    return value === undefined ? {} : { [key]: value }
  }
}

/** Values by name, asked for once at a time and believed for a while. That there is none is not believed, nor a failure. */
class Believed {
  readonly #clock: Clock
  readonly #ask: (name: string) => Promise<string | undefined>
  readonly #known = new Map<string, { readonly value: Promise<string | undefined>; readonly until: number }>()

  constructor(clock: Clock, ask: (name: string) => Promise<string | undefined>) {
    this.#clock = clock
    this.#ask = ask
  }

  async get(name: string): Promise<string | undefined> {
    const known = this.#known.get(name)
    if (known && known.until > this.#clock.now()) return known.value
    const value = this.#ask(name)
    this.#known.set(name, { value, until: this.#clock.now() + BELIEVED_MS })
    try {
      const answer = await value
      if (answer === undefined) this.#known.delete(name)
      return answer
    } catch (error) {
      this.#known.delete(name)
      throw error
    }
  }
}

/**
 * The unique id of a role, by its name; undefined when there is no such role. Without an SDK: it is one GET.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
 */
export function iamRoleId(
  options: { readonly endpoint?: string | undefined } = {},
): (name: string) => Promise<string | undefined> {
  const endpoint =
    options.endpoint ??
    process.env.AWS_ENDPOINT_URL_IAM ??
    process.env.AWS_ENDPOINT_URL ??
    'https://iam.amazonaws.com'
  return async name => {
    const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_SESSION_TOKEN } = process.env
    const client = new AwsClient({
      accessKeyId: AWS_ACCESS_KEY_ID,
      secretAccessKey: AWS_SECRET_ACCESS_KEY,
      ...(AWS_SESSION_TOKEN ? { sessionToken: AWS_SESSION_TOKEN } : {}),
      service: 'iam',
      // IAM is global and signs for this region: https://docs.aws.amazon.com/general/latest/gr/iam-service.html
      region: 'us-east-1',
      retries: 2,
    })
    const query = new URLSearchParams({ Action: 'GetRole', Version: '2010-05-08', RoleName: name })
    const answer = await client.fetch(`${endpoint}/?${query}`, { signal: AbortSignal.timeout(5_000) })
    const text = await answer.text()
    if (answer.status === 404) return undefined
    const id = /<RoleId>(\w{16,128})<\/RoleId>/.exec(text)?.[1]
    if (!answer.ok || id === undefined) throw new Error(`GetRole answered with ${answer.status} for ${name}`)
    return id
  }
}
