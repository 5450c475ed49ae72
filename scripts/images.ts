// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Serverless and CloudFormation
/**
 * What a stack has for the images of tornade.yml: a task definition for each image and architecture, since RunTask takes no other
 * image than that of its task definition, and the repositories that runners may be pulled from. serverless.yml includes it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { Config } from '../functions/config.ts'
import type { Arch } from '../functions/core/types.ts'

export interface ImageResources {
  readonly Resources: Readonly<Record<string, unknown>>
  readonly repositories: readonly unknown[]
}

const DRAFTS: Readonly<Record<Arch, string>> = { x64: 'RunnerDraftX64', arm64: 'RunnerDraftArm64' }

/** Made from the drafts of infra/compute.yml, so that an image of tornade.yml runs as the standard one does. */
export async function imageResources(root: string, images: Config['images']): Promise<ImageResources> {
  const read = async (name: string) => parse(await readFile(join(root, 'infra', name), 'utf8'))
  const none = (await read('no-images.yml')) as ImageResources
  const all = Object.entries(images).flatMap(([name, own]) =>
    (Object.entries(own) as [Arch, string][]).map(([arch, image]) => ({ name, arch, image })),
  )
  if (all.length === 0) return none
  const [{ Resources: drafts }, { containers }] = await Promise.all([
    read('compute.yml'),
    read('runner-container.yml'),
  ])
  const definition = (name: string, arch: Arch, image: string) => {
    const draft = drafts[DRAFTS[arch]]
    return {
      ...draft,
      Properties: {
        ...draft.Properties,
        Family: `\${self:service}-\${sls:stage}-image-${name}-${arch}`,
        ContainerDefinitions: containers.map((container: object) => ({
          ...container,
          Image: image,
          // Whatever the image says: one that is not made from the standard one has no such file, and never starts.
          EntryPoint: ['/opt/tornade/entrypoint'],
        })),
      },
    }
  }
  const repositories = new Set(all.map(({ image }) => ecrImage(image).arn))
  return {
    Resources: Object.fromEntries(
      all.map(({ name, arch, image }) => [logicalName(name, arch), definition(name, arch, image)]),
    ),
    repositories: [...none.repositories, ...[...repositories].map(arn => ({ 'Fn::Sub': arn }))],
  }
}

/** Names have no capitals, so no two of them end up as one. */
function logicalName(name: string, arch: Arch): string {
  return `RunnerImage${name.replaceAll('-', 'Dash')}${arch === 'x64' ? 'X64' : 'Arm64'}`
}

/** Region and repository of an image as tornade.yml has it. */
export function ecrImage(image: string): { readonly region: string; readonly arn: string } {
  const [, account, region = '', repository] = /^(\d+)\.dkr\.ecr\.([\w-]+)\.[^/]+\/([^@]+)@/.exec(image) ?? []
  return { region, arn: `arn:\${AWS::Partition}:ecr:${region}:${account}:repository/${repository}` }
}
