/** What a registry has under a tag. https://github.com/opencontainers/distribution-spec/blob/main/spec.md */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface Manifest {
  readonly digest: string
  /** Bytes of all layers and the configuration, as they are stored; null for an index of several images. */
  readonly size: number | null
}

interface DockerConfig {
  readonly auths?: Readonly<Record<string, { readonly auth?: string }>>
  readonly credHelpers?: Readonly<Record<string, string>>
  readonly credsStore?: string
}

const ECR = /^\d{12}\.dkr\.ecr(?:-fips)?\.[\w-]+\.amazonaws\.com(?:\.cn)?$|^public\.ecr\.aws$/
export const TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const CALL_MS = 15_000

/** Of REGISTRY/REPOSITORY[:TAG]; @throws Error when it cannot be had */
export async function manifestOf(reference: string): Promise<Manifest> {
  const { registry, repository, tag } = parts(reference)
  const url = `${originOf(registry)}/v2/${repository}/manifests/${tag}`
  const ask = (authorization: string | null) =>
    fetch(url, {
      headers: { accept: TYPES.join(', '), ...(authorization ? { authorization } : {}) },
      signal: AbortSignal.timeout(CALL_MS),
    })
  const basic = basicOf(registry)
  let answer = await ask(ECR.test(registry) ? basic : null)
  if (answer.status === 401)
    answer = await ask(await authorize(answer.headers.get('www-authenticate'), basic))
  if (!answer.ok) throw new Error(`${registry} answered with ${answer.status}`)
  const text = await answer.text()
  const manifest = JSON.parse(text) as { config?: { size: number }; layers?: { size: number }[] }
  return {
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    size: manifest.layers
      ? manifest.layers.reduce((sum, { size }) => sum + size, manifest.config?.size ?? 0)
      : null,
  }
}

/** By http on this machine alone. */
export function originOf(registry: string): string {
  const plain = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/.test(registry)
  return `${plain ? 'http' : 'https'}://${registry}`
}

export function parts(reference: string): { registry: string; repository: string; tag: string } {
  const slash = reference.indexOf('/')
  const [repository = '', tag = 'latest'] = reference.slice(slash + 1).split(':')
  return { registry: reference.slice(0, slash), repository, tag }
}

/** https://distribution.github.io/distribution/spec/auth/token/ */
export async function authorize(challenge: string | null, basic: string | null): Promise<string | null> {
  if (!/^bearer /i.test(challenge ?? '')) return basic
  const fields = Object.fromEntries(
    [...challenge!.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
  )
  const url = new URL(fields.realm ?? '')
  for (const name of ['service', 'scope']) if (fields[name]) url.searchParams.set(name, fields[name])
  const answer = await fetch(url, {
    headers: basic ? { authorization: basic } : {},
    signal: AbortSignal.timeout(CALL_MS),
  })
  const { token, access_token } = (await answer.json()) as { token?: string; access_token?: string }
  return `Bearer ${token ?? access_token}`
}

/** What `docker login` has left, a credential helper, or for ECR the role of the job. */
export function basicOf(registry: string): string | null {
  const config = dockerConfig()
  const helper = config.credHelpers?.[registry] ?? (ECR.test(registry) ? 'ecr-login' : config.credsStore)
  const auth = config.auths?.[registry]?.auth
  if (auth) return `Basic ${auth}`
  if (helper === undefined || !/^[\w-]+$/.test(helper)) return null
  try {
    const answer = execFileSync(`docker-credential-${helper}`, ['get'], {
      input: registry,
      timeout: CALL_MS,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const { Username, Secret } = JSON.parse(answer.toString()) as { Username: string; Secret: string }
    return `Basic ${Buffer.from(`${Username}:${Secret}`).toString('base64')}`
  } catch {
    return null
  }
}

/** config.json of Docker's client; empty where there is none. */
export function dockerConfig(): DockerConfig {
  try {
    const folder = process.env.DOCKER_CONFIG || join(process.env.HOME || homedir(), '.docker')
    return JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as DockerConfig
  } catch {
    return {}
  }
}
