/**
 * `tornade-build`: builds an image with whatever builder this runner has, so that a workflow need not know which.
 * docs/builders.md
 */
import { accessSync, constants, existsSync, writeFileSync } from 'node:fs'
import { buildWithDocker } from './build/docker.ts'
import { buildWithKaniko } from './build/kaniko.ts'
import type { Outcome } from './build/outcome.ts'
import { type Manifest, manifestOf, parts } from './build/registry.ts'
import { HELP, type Order, readOrder, UnusableError } from './build/request.ts'

const EXIT = { built: 0, failed: 1, unusable: 2, refused: 3, cancelled: 4 } as const

const EXCHANGE = process.env.TORNADE_EXCHANGE_FOLDER || '/tornade/exchange'
const SOCKET = process.env.TORNADE_DOCKER_SOCKET || '/var/run/docker.sock'

const say = (text: string) => process.stderr.write(`tornade-build: ${text}\n`)
const show = (text: string) => process.stderr.write(text)

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Why there is no builder for this job; null when there is one. */
function refusal(): string | null {
  if (mayWrite(`${EXCHANGE}/builds`) || mayWrite(SOCKET)) return null
  if (existsSync(EXCHANGE) || existsSync(SOCKET))
    return 'this job may not build images: it is a fork’s, or it asked for a role that it may not have. The first step of the job says which.'
  return 'there is no image builder beside this runner. Add the label build to runs-on, for example runs-on: tornade/build, or docker for a Docker daemon.'
}

async function build(order: Order, signal: AbortSignal): Promise<Outcome> {
  if (!mayWrite(`${EXCHANGE}/builds`)) return buildWithDocker(order, show, signal)
  const own = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64'
  if (order.request.platform !== own)
    throw new UnusableError(
      `--platform ${order.request.platform}: kaniko builds for the architecture of its runner, ${own}; build it in a job with the label ${own === 'linux/arm64' ? 'x64' : 'arm64'}`,
    )
  return buildWithKaniko(order, EXCHANGE, show, signal)
}

/** The tags that exist, may not be moved, and are something else than what was built. */
async function movedTags(tags: readonly string[], digest: string): Promise<string[]> {
  const found = await Promise.all(
    tags.map(async tag => {
      const there = await manifestOf(tag).catch((error: Error) => error)
      if (there instanceof Error)
        return [`${tag} is immutable and exists; whether it is this image is unknown: ${there.message}`]
      return there.digest === digest
        ? []
        : [`${tag} is immutable and is ${there.digest}, not this image, ${digest}`]
    }),
  )
  return found.flat()
}

async function main(argv: readonly string[]): Promise<number> {
  const start = performance.now()
  const order = readOrder(argv, { environment: process.env, cwd: process.cwd(), arch: process.arch })
  if (order === null) {
    process.stdout.write(HELP)
    return EXIT.built
  }
  const refused = refusal()
  if (refused !== null) {
    say(refused)
    return EXIT.refused
  }
  const cancelled = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => cancelled.abort(`cancelled (${name})`))
  const timer = setTimeout(
    () => cancelled.abort(`not done after ${order.timeoutMs / 1000} s (--timeout)`),
    order.timeoutMs,
  )
  const outcome = await build(order, cancelled.signal).finally(() => clearTimeout(timer))
  const { request, metadataFile } = order
  const { digest } = outcome
  if (outcome.kind !== 'built') {
    say(`${outcome.kind}: ${outcome.message}`)
    return outcome.kind === 'failed' ? EXIT.failed : EXIT.cancelled
  }
  if (digest === null && request.push) {
    say('failed: the builder names no digest')
    return EXIT.failed
  }
  if (digest !== null && outcome.immutable) {
    const moved = await movedTags(request.tags, digest)
    for (const line of moved) say(`failed: ${line}`)
    if (moved.length > 0) return EXIT.failed
  }
  const seconds = Math.round((performance.now() - start) / 100) / 10
  if (metadataFile !== null) {
    const pushed: Manifest | null = request.push ? await manifestOf(request.tags[0]!).catch(() => null) : null
    const repositories = new Set(
      request.tags.map(tag => parts(tag)).map(({ registry, repository }) => `${registry}/${repository}`),
    )
    writeFileSync(
      metadataFile,
      `${JSON.stringify({
        digest,
        images: digest === null ? [] : [...repositories].map(repository => `${repository}@${digest}`),
        size: pushed?.digest === digest ? (pushed?.size ?? null) : null,
        seconds,
        cache: outcome.cache,
      })}\n`,
    )
  }
  if (digest !== null) process.stdout.write(`${digest}\n`)
  say(`built in ${seconds} s`)
  return EXIT.built
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UnusableError)) throw error
  for (const line of error.message.split('\n')) say(line)
  process.exitCode = EXIT.unusable
}
