/** One repository of a registry, over its API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { authorize, basicOf, originOf, TYPES } from '../build/registry.ts'
import { line } from '../deploy/text.ts'
import { EXIT, PushFault } from './fault.ts'

export interface Stored {
  readonly mediaType: string
  readonly digest: string
  readonly text: string
}

const CALL_MS = 30_000
const TRIES = 4
const PAUSE_MS = 250
/** Manifests are at most 4 MB by the specification, and a configuration is smaller. */
const MOST_BYTES = 4 * 1024 * 1024

export class Repository {
  readonly name: string
  readonly #registry: string
  readonly #url: string
  #authorization: string | null = null

  /** @param registry its host and port */
  constructor(registry: string, name: string) {
    this.name = `${registry}/${name}`
    this.#registry = registry
    this.#url = `${originOf(registry)}/v2/${name}`
  }

  /** By tag or digest; null where there is none. @throws PushFault */
  async manifest(reference: string): Promise<Stored | null> {
    const answer = await this.#call(`/manifests/${reference}`, { headers: { accept: TYPES.join(', ') } })
    if (answer.status === 404) {
      await answer.body?.cancel()
      return null
    }
    const text = await this.#text(answer, `${this.name} at ${reference}`)
    const digest = digestOf(text)
    if (reference.startsWith('sha256:') && digest !== reference)
      throw new PushFault(
        EXIT.failed,
        `${this.#registry} answers with ${digest} when it is asked for ${reference}`,
      )
    const mediaType = answer.headers.get('content-type')?.split(';')[0]?.trim() ?? ''
    return { mediaType: typeIn(text) ?? mediaType, digest, text }
  }

  /** A small one, such as the configuration of an image. @throws PushFault */
  async blob(digest: string): Promise<string> {
    const text = await this.#text(await this.#call(`/blobs/${digest}`, {}), `${this.name}@${digest}`)
    if (digestOf(text) !== digest)
      throw new PushFault(EXIT.failed, `${this.#registry} has other bytes under ${digest}`)
    return text
  }

  /** A tag that is there already and is the same is fine, immutable or not. @throws PushFault */
  async put(tag: string, { mediaType, digest, text }: Stored): Promise<void> {
    const answer = await this.#call(`/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'content-type': mediaType },
      body: text,
    })
    if (answer.ok) return void (await answer.body?.cancel())
    const words = line((await answer.text()).slice(0, 2000), 500)
    const there = await this.manifest(tag).catch(() => null)
    if (there?.digest === digest) return
    throw new PushFault(
      answer.status === 401 || answer.status === 403 ? EXIT.refused : EXIT.failed,
      `${this.name}:${tag} cannot be pushed: ${this.#registry} answers ${answer.status}: ${words}${there === null ? '' : `. It is ${there.digest}`}`,
    )
  }

  async #text(answer: Response, what: string): Promise<string> {
    if (!answer.ok)
      throw new PushFault(
        answer.status === 401 || answer.status === 403 ? EXIT.refused : EXIT.failed,
        `${what} cannot be read: ${this.#registry} answers ${answer.status}`,
      )
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of answer.body ?? []) {
      size += chunk.length
      if (size > MOST_BYTES) throw new PushFault(EXIT.failed, `${what} is larger than ${MOST_BYTES} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString()
  }

  /** What is asked for twice is the same thing, so it is asked for again where the answer is lost. */
  async #call(path: string, init: RequestInit): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#authorized(path, init).catch((error: Error) => error)
      const fails = answer instanceof Error || answer.status === 429 || answer.status >= 500
      if (!fails) return answer
      if (attempt === TRIES) {
        if (!(answer instanceof Error)) return answer
        throw new PushFault(EXIT.failed, `${this.#registry} cannot be reached: ${line(wordsOf(answer), 300)}`)
      }
      await sleep(PAUSE_MS * 2 ** attempt)
    }
  }

  async #authorized(path: string, init: RequestInit): Promise<Response> {
    const ask = () =>
      fetch(`${this.#url}${path}`, {
        ...init,
        headers: {
          ...init.headers,
          ...(this.#authorization === null ? {} : { authorization: this.#authorization }),
        },
        signal: AbortSignal.timeout(CALL_MS),
      })
    const answer = await ask()
    if (answer.status !== 401) return answer
    const authorization = await authorize(answer.headers.get('www-authenticate'), basicOf(this.#registry))
    if (authorization === null) return answer
    this.#authorization = authorization
    await answer.body?.cancel()
    return ask()
  }
}

export function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

/** Of manifests, what they say themselves counts. */
function typeIn(text: string): string | null {
  try {
    const { mediaType } = JSON.parse(text) as { mediaType?: unknown }
    return typeof mediaType === 'string' ? mediaType : null
  } catch {
    return null
  }
}

function wordsOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
