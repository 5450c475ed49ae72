/** Several images as one, an index. https://github.com/opencontainers/image-spec/blob/main/image-index.md */
import { EXIT, PushFault } from './fault.ts'
import { digestOf, type Repository, type Stored } from './repository.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform: Platform
}

interface Platform {
  readonly architecture: string
  readonly os: string
  readonly variant?: string
}

const OCI = 'application/vnd.oci.image.manifest.v1+json'
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json'
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'

/**
 * @param digests of images, or of indexes, whose images are taken
 * @throws PushFault with what is missing or twice there
 */
export async function join(repository: Repository, digests: readonly string[]): Promise<Descriptor[]> {
  const found = (await Promise.all(digests.map(digest => descriptors(repository, digest)))).flat()
  const seen = new Map<string, Descriptor>()
  for (const one of found) {
    const other = seen.get(platformText(one.platform))
    if (other && other.digest !== one.digest)
      throw new PushFault(
        EXIT.unusable,
        `${other.digest} and ${one.digest} are both for ${platformText(one.platform)}: an index has one image for each platform`,
      )
    seen.set(platformText(one.platform), one)
  }
  return [...seen.values()]
}

/** The same images are the same bytes, so that it can be pushed again. Images of Docker's format alone are in a list of Docker's. */
export function indexOf(manifests: readonly Descriptor[]): Stored {
  const mediaType = manifests.every(one => one.mediaType === DOCKER) ? DOCKER_LIST : OCI_INDEX
  const text = JSON.stringify({ schemaVersion: 2, mediaType, manifests })
  return { mediaType, digest: digestOf(text), text }
}

export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join('/')
}

async function descriptors(repository: Repository, digest: string): Promise<Descriptor[]> {
  const stored = await repository.manifest(digest)
  if (stored === null)
    throw new PushFault(EXIT.failed, `${repository.name}@${digest} is not there: was it pushed?`)
  const { mediaType, text } = stored
  if (mediaType === OCI_INDEX || mediaType === DOCKER_LIST) {
    const { manifests } = JSON.parse(text) as { manifests: Descriptor[] }
    // Attestations of buildx have the platform unknown/unknown.
    return manifests.filter(({ platform }) => platform && platform.architecture !== 'unknown')
  }
  if (mediaType !== OCI && mediaType !== DOCKER)
    throw new PushFault(EXIT.unusable, `${repository.name}@${digest} is no image, but ${mediaType}`)
  const { config } = JSON.parse(text) as { config: { digest: string } }
  const { os, architecture, variant } = JSON.parse(await repository.blob(config.digest)) as Partial<Platform>
  if (!os || !architecture)
    throw new PushFault(EXIT.unusable, `${repository.name}@${digest} does not say which platform it is for`)
  const platform = { architecture, os, ...(variant ? { variant } : {}) }
  return [{ mediaType, digest, size: Buffer.byteLength(text), platform }]
}
