/** Has the image builder beside this runner build: a folder for each request, which builder-image/watch looks for. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { commandless } from '../deploy/text.ts'
import { archive } from './context.ts'
import { LogReader, type Outcome } from './outcome.ts'
import { dockerConfig } from './registry.ts'
import type { Order, Request } from './request.ts'

const LOOK_MS = 200
/** Well below the silence after which the builder gives a build up. */
const ASK_MS = 2_000
/** A builder that says nothing for so long has ended. */
const SILENCE_MS = 60_000
/** For the builder to end a build that is cancelled. GitHub kills what takes longer than 10 s: */
/** https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation */
const CANCEL_MS = 8_000

/**
 * @param exchange the folder shared with the builder
 * @param signal cancels the build; nothing is left behind
 */
export async function buildWithKaniko(
  { request, context, dockerfile, secrets }: Order,
  exchange: string,
  show: (text: string) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const folder = join(exchange, 'builds', `${Date.now().toString(36)}-${randomBytes(4).toString('hex')}`)
  const own = (name: string) => join(folder, name)
  const log = new LogReader()
  const outcome = (kind: Outcome['kind'], message: string, digest: string | null = null): Outcome => ({
    ...{ kind, message, digest, immutable: log.immutable },
    cache: { hits: log.hits, misses: log.misses },
  })
  mkdirSync(folder, { mode: 0o700 })
  try {
    mkdirSync(own('secrets'), { mode: 0o700 })
    mkdirSync(own('docker'), { mode: 0o700 })
    for (const { id, source } of secrets) {
      const value = 'file' in source ? readFileSync(source.file) : process.env[source.variable]!
      writeFileSync(join(own('secrets'), id), value, { mode: 0o600 })
    }
    // Logins of this job; helpers are programs, and the builder has its own.
    const { auths = {} } = dockerConfig()
    writeFileSync(join(own('docker'), 'config.json'), JSON.stringify({ auths }), { mode: 0o600 })
    copyFileSync(dockerfile, own('Dockerfile'))
    // What is left out has been left out of the archive.
    writeFileSync(own('Dockerfile.dockerignore'), '')
    writeFileSync(own('request.json'), JSON.stringify(request))
    writeFileSync(own('arguments'), kanikoArguments(request, folder).map(line).join(''))
    await archive(context, dockerfile, own('context.tar.gz'), signal)
    writeFileSync(own('ready.part'), '')
    renameSync(own('ready.part'), own('ready'))
    return await follow()
  } catch (error) {
    if (signal.aborted) return outcome('cancelled', String(signal.reason))
    throw error
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  async function follow(): Promise<Outcome> {
    const alive = new Pulse(join(exchange, 'alive'))
    let read = 0
    let asked = 0
    let cancelledAt: number | null = null
    for (;;) {
      // In this order, so that what stands in the log before the result is shown.
      const result = existsSync(own('result.json')) ? readFileSync(own('result.json'), 'utf8') : null
      let before: number
      do {
        before = read
        read = tail(own('log'), read, text => {
          // Lines of what RUN prints may begin with anything; with Docker a number stands before them.
          const plain = commandless(text)
          log.add(plain)
          show(plain)
        })
      } while (result !== null && read > before)
      if (cancelledAt !== null) {
        if (result !== null || Date.now() - cancelledAt > CANCEL_MS)
          return outcome('cancelled', String(signal.reason))
      } else if (result !== null) return end(JSON.parse(result))
      else if (signal.aborted) {
        cancelledAt = Date.now()
        writeFileSync(own('cancel'), '')
        // One that has not been begun is nobody's to cancel.
        if (!existsSync(own('taken'))) return outcome('cancelled', String(signal.reason))
      } else if (alive.silentMs() > SILENCE_MS)
        return outcome(
          'failed',
          'The image builder beside this runner has ended, perhaps for want of memory: ask for more with a label such as 8gb.',
        )
      if (Date.now() - asked > ASK_MS) {
        asked = Date.now()
        writeFileSync(own('asking.part'), String(asked))
        renameSync(own('asking.part'), own('asking'))
      }
      await sleep(LOOK_MS)
    }
  }

  function end({ exitCode, digest, message }: { exitCode: number; digest: string | null; message: string }) {
    if (exitCode === 0) return outcome('built', message, digest)
    if (exitCode === 4) return outcome('cancelled', message)
    if (exitCode === 137)
      return outcome(
        'failed',
        `kaniko was killed, most likely for want of memory: ask for more with a label such as 8gb. ${log.words}`,
      )
    return outcome('failed', log.words || message)
  }
}

/** Those that the watcher takes from a request; the others are its own. */
export function kanikoArguments(request: Request, folder: string): string[] {
  const { buildArgs, cache, compression, labels, platform, push, secrets, tags, target } = request
  const all = (name: string, values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([key, value]) => `--${name}=${key}=${value}`)
  return [
    `--custom-platform=${platform}`,
    ...(target === null ? [] : [`--target=${target}`]),
    ...all('build-arg', buildArgs),
    ...all('label', labels),
    ...secrets.map(id => `--secret=id=${id},src=${join(folder, 'secrets', id)}`),
    ...tags.map(tag => `--destination=${tag}`),
    ...(push ? [] : ['--no-push']),
    ...(cache.repository === null ? [] : ['--cache=true', `--cache-repo=${cache.repository}`]),
    ...(cache.repository !== null && cache.readOnly ? ['--no-push-cache'] : []),
    ...(compression === null ? [] : [`--compression=${compression}`]),
    // Docker's own format has no name for layers in zstd.
    ...(compression === 'zstd' ? ['--image-format=oci'] : []),
  ]
}

function line(argument: string): string {
  return `${argument.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n`
}

/** Shows what was added to a file since `from`; answers how far that was. */
function tail(path: string, from: number, show: (text: string) => void): number {
  if (!existsSync(path)) return from
  const size = statSync(path).size
  if (size <= from) return from
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.min(size - from, 1 << 20))
    const read = readSync(file, bytes, 0, bytes.length, from)
    // Whole lines, so that no character is cut in two.
    const end = bytes.lastIndexOf(0x0a, read - 1) + 1 || read
    show(bytes.subarray(0, end).toString())
    return from + end
  } finally {
    closeSync(file)
  }
}

/** A file that somebody writes a number into time and again, as long as they live. */
class Pulse {
  readonly #path: string
  #seen = ''
  #at = Date.now()

  constructor(path: string) {
    this.#path = path
  }

  silentMs(): number {
    const now = existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : ''
    if (now !== this.#seen) {
      this.#seen = now
      this.#at = Date.now()
    }
    return Date.now() - this.#at
  }
}
