/**
 * `tornade-manifest`: what actions/manifest does, from its inputs in the environment: joins images of several architectures into
 * one, by the registry's API alone, as there is no Docker on Fargate. docs/builders.md
 */
import { parts } from './build/registry.ts'
import { readImage } from './deploy/forms.ts'
import { line } from './deploy/text.ts'
import { readRole } from './push/ecr.ts'
import { EXIT, PushFault, run } from './push/fault.ts'
import { indexOf, join, platformText } from './push/index.ts'
import { words } from './push/lists.ts'
import { logIn } from './push/logins.ts'
import { append, indexSummary, outputs } from './push/report.ts'
import { Repository } from './push/repository.ts'

const HELP = `Usage: tornade-manifest

What actions/manifest of tornade runs: it takes its inputs by the environment.
`
const TAG = /^\w[\w.-]{0,127}$/

const say = (text: string) => void process.stderr.write(`tornade-manifest: ${line(text)}\n`)

/** @throws PushFault with all faults, one a line */
function readOrder(env: NodeJS.ProcessEnv) {
  const faults: string[] = []
  const tags = words(env.INPUT_TAGS ?? '')
  const given = (env.INPUT_IMAGES ?? '').replace(/\n$/, '').split('\n')
  const images = words(given.join('\n')).map(text => {
    const read = readImage(text)
    const image = read !== null && /^(?:localhost|[^/]*[.:][^/]*)\//.test(read.repository) ? read : null
    if (image === null)
      faults.push(`${text}: is no REGISTRY/REPOSITORY@sha256:…, the output "image" of build-push`)
    return image
  })
  const repository = images.find(image => image !== null)?.repository
  if (images.length === 0) faults.push('images: which images? The job that built them has to be in "needs"')
  else if (given.some(text => text.trim() === ''))
    faults.push(
      `images: line ${given.findIndex(text => text.trim() === '') + 1} is empty: that image was not pushed, or GitHub left the output of its job out because it holds something masked, such as the number of an account that is kept as a secret`,
    )
  if (tags.length === 0) faults.push('tags: what should the index be called?')
  for (const image of images)
    if (image && image.repository !== repository)
      faults.push(`${image.repository}: an index lies in the repository of its images, ${repository}`)
  for (const text of tags) {
    const { registry, repository: name, tag } = parts(text)
    if (!TAG.test(tag) || name === '') faults.push(`${text}: is no REGISTRY/REPOSITORY:TAG`)
    else if (repository && `${registry}/${name}` !== repository)
      faults.push(`${text}: an index lies in the repository of its images, ${repository}`)
  }
  const role = (env.INPUT_ROLE_TO_ASSUME ?? '').trim()
  if (role !== '' && readRole(role) === null)
    faults.push('role-to-assume is no arn:aws:iam::ACCOUNT:role/NAME')
  if (faults.length > 0) throw new PushFault(EXIT.unusable, faults.join('\n'))
  return { tags, role, repository: repository!, digests: images.map(image => image!.digest) }
}

async function main(): Promise<number> {
  const { tags, role, repository, digests } = readOrder(process.env)
  const { registry, repository: name } = parts(repository)
  const logins = await logIn({ required: [registry], optional: [], role, env: process.env, say })
  process.on('exit', logins.close)
  process.env.DOCKER_CONFIG = logins.folder
  const there = new Repository(registry, name)
  const images = await join(there, digests)
  const index = indexOf(images)
  // One after the other, so that a tag that cannot be pushed leaves those after it alone.
  for (const tag of tags) await there.put(parts(tag).tag, index)
  const platforms = images.map(({ platform, digest }) => ({ platform: platformText(platform), digest }))
  append(
    process.env.GITHUB_OUTPUT,
    outputs({
      digest: index.digest,
      image: `${repository}@${index.digest}`,
      tags: tags.join('\n'),
      platforms: platforms.map(({ platform }) => platform).join('\n'),
    }),
    say,
  )
  append(process.env.GITHUB_STEP_SUMMARY, indexSummary({ digest: index.digest, tags }, platforms), say)
  say(`pushed ${tags.join(', ')} for ${platforms.map(({ platform }) => platform).join(', ')}`)
  process.stdout.write(`${index.digest}\n`)
  return EXIT.done
}

for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => process.exit(EXIT.cancelled))
await run(HELP, say, main)
