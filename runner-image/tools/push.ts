/**
 * `tornade-push`: what actions/build-push does, from its inputs in the environment: logins to ECR, repositories that do not exist
 * yet, `tornade-build`, and what it says for GitHub. docs/builders.md
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parts } from './build/registry.ts'
import { line } from './deploy/text.ts'
import { createRepository, ecrRegistry } from './push/ecr.ts'
import { EXIT, run } from './push/fault.ts'
import { type Logins, logIn } from './push/logins.ts'
import { hostOf, type PushOrder, readOrder } from './push/order.ts'
import { append, buildSummary, type Metadata, outputs } from './push/report.ts'

const HELP = `Usage: tornade-push

What actions/build-push of tornade runs: it takes its inputs by the environment,
logs in to ECR, and calls tornade-build, which is the command to build an image
with by hand.
`

const say = (text: string) => void process.stderr.write(`tornade-push: ${line(text)}\n`)

let builder: ChildProcess | null = null
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => {
    // It cleans up behind itself, and ends with 4.
    if (builder !== null) builder.kill('SIGTERM')
    else process.exit(EXIT.cancelled)
  })

async function main(): Promise<number> {
  const order = readOrder(process.env)
  // Nothing that is started here is told more than it has to know.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('INPUT_')))
  const { cache, mentioned, push, role, tags } = order
  const logins = await logIn({
    required: [
      ...(push ? tags.map(hostOf) : []),
      ...(cache !== null && !cache.readOnly ? [hostOf(cache.repository)] : []),
    ],
    optional: [...(cache === null ? [] : [hostOf(cache.repository)]), ...mentioned],
    ...{ role, env, say },
  })
  process.on('exit', logins.close)
  const metadataFile = join(logins.folder, 'tornade-metadata.json')
  await create(order, logins)
  const code = await build([...order.argv, `--metadata-file=${metadataFile}`], {
    ...{ ...env, ...order.secrets },
    DOCKER_CONFIG: logins.folder,
  })
  if (code !== EXIT.done) return code
  const metadata = JSON.parse(readFileSync(metadataFile, 'utf8')) as Metadata
  const all = {
    digest: metadata.digest ?? '',
    // By this name it can be deployed, so it has to be in the registry.
    image: push ? (metadata.images[0] ?? '') : '',
    tags: tags.join('\n'),
    metadata: JSON.stringify(metadata),
  }
  append(process.env.GITHUB_OUTPUT, outputs(all), say)
  append(process.env.GITHUB_STEP_SUMMARY, buildSummary(metadata, order), say)
  return EXIT.done
}

/** Images by tags that stay what they are; layers of a cache by tags that move. */
async function create({ cache, create, push, tags }: PushOrder, { envOf }: Logins): Promise<void> {
  if (create === null) return
  const wanted = new Map<string, 'IMMUTABLE' | 'MUTABLE'>()
  const want = (reference: string, mutability: 'IMMUTABLE' | 'MUTABLE') => {
    const { registry, repository } = parts(reference)
    wanted.set(`${registry}/${repository}`, mutability)
  }
  if (push) for (const tag of tags) want(tag, create === 'immutable' ? 'IMMUTABLE' : 'MUTABLE')
  if (cache !== null && !cache.readOnly) want(cache.repository, 'MUTABLE')
  for (const [name, mutability] of wanted) {
    const { registry: host, repository } = parts(name)
    const registry = ecrRegistry(host)
    // Other registries make theirs at the first push.
    if (registry === null) continue
    if (await createRepository(registry, repository, mutability, envOf(registry))) say(`created ${name}`)
  }
}

/** @returns its exit code */
function build(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    builder = spawn('tornade-build', [...argv], { env, stdio: ['ignore', 'inherit', 'inherit'] })
    builder.on('error', reject).on('close', code => resolve(code ?? EXIT.failed))
  })
}

await run(HELP, say, main)
