/**
 * All that one instance of a function sees of the world: it notes each request, passes it to the double that plays the
 * service, and breaks it where a test says so.
 */
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body: Buffer
}

/** A request of a function, understood as far as it says whom it is for. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** github, slack, dynamodb, sqs, ecs, codebuild, ssm, iam */
  readonly service: string
  /** Operation of AWS; for GitHub the method and path. */
  readonly operation: string
}

/** before: it never arrives. after: it is carried out, and its answer never comes. */
export interface Break {
  readonly lost: 'before' | 'after'
  /** The function dies with it, at once and without a word. */
  readonly dies?: true
}

/** What a test does to a request: an answer of its own, a broken connection, or nothing. */
export type Meddle = (asked: Asked) => Reply | Break | null | undefined

export interface World {
  readonly now: () => number
  readonly meddle: Meddle
  readonly die: () => void
  readonly noted: (asked: Asked) => (reply: Reply | null) => void
  /** URL of the double that plays a service, or an answer. */
  readonly serve: (asked: Asked) => string | Reply
}

const TARGETS: Readonly<Record<string, string>> = {
  DynamoDB_20120810: 'dynamodb',
  AmazonSQS: 'sqs',
  AmazonEC2ContainerServiceV20141113: 'ecs',
  CodeBuild_20161006: 'codebuild',
  AmazonSSM: 'ssm',
  Logs_20140328: 'logs',
}

export class Gateway {
  readonly #world: World
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })

  private constructor(world: World) {
    this.#world = world
    this.#server = createServer((incoming, response) => void this.#handle(incoming, response))
    this.#server.keepAliveTimeout = 60_000
  }

  static async start(world: World): Promise<Gateway> {
    const gateway = new Gateway(world)
    await new Promise<void>(resolve => gateway.#server.listen(0, '127.0.0.1', resolve))
    return gateway
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await read(incoming)
    const done = this.#world.noted(asked)
    const meddled = this.#world.meddle(asked) ?? null
    const broken = meddled !== null && 'lost' in meddled ? meddled : null
    const cut = () => {
      if (broken?.dies) this.#world.die()
      response.destroy()
    }
    if (broken?.lost === 'before') return cut()
    const played = meddled !== null && 'status' in meddled ? meddled : this.#world.serve(asked)
    const reply = typeof played === 'string' ? await this.#pass(played, asked) : played
    done(reply)
    if (!reply || broken) return cut()
    // The SDK goes by it: a clock that is far from its own would have it repeat whatever failed.
    const date = new Date(this.#world.now()).toUTCString()
    response.writeHead(reply.status, { ...reply.headers, date } as Record<string, string>)
    response.end(reply.body)
  }

  /** @returns null where there is no whole answer */
  #pass(server: string, { method, path, headers, body }: Asked): Promise<Reply | null> {
    return new Promise(resolve => {
      const { host: _, ...rest } = headers
      const { hostname, port } = new URL(server)
      // The Host stays that of the request, because it is signed.
      const options = { hostname, port, method, path, agent: this.#agent }
      const outgoing = request({ ...options, headers: { ...rest, host: headers.host! } }, answer => {
        const chunks: Buffer[] = []
        answer.on('data', chunk => chunks.push(chunk))
        answer.on('error', () => resolve(null))
        answer.on('end', () => {
          const { connection: _, 'transfer-encoding': __, ...kept } = answer.headers
          const body = Buffer.concat(chunks)
          const status = answer.statusCode!
          // An answer without content has no length.
          const length = status === 204 ? {} : { 'content-length': String(body.length) }
          resolve({ status, headers: { ...(kept as Reply['headers']), ...length }, body })
        })
      })
      outgoing.on('error', () => resolve(null))
      outgoing.end(body)
    })
  }
}

export function json(status: number, body: unknown, type = 'application/x-amz-json-1.0'): Reply {
  return { status, headers: { 'content-type': type }, body: Buffer.from(JSON.stringify(body)) }
}

async function read(incoming: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
  )
  const method = incoming.method!
  const path = incoming.url!
  const [target = '', operation = ''] = (headers['x-amz-target'] ?? '').split('.')
  const asked = { method, path, headers, body: Buffer.concat(chunks) }
  if (path.startsWith('/github/'))
    return { ...asked, service: 'github', operation: `${method} ${path.slice('/github'.length)}` }
  if (/^\/(hooks\.)?slack\.com\//.test(path)) return { ...asked, service: 'slack', operation: path }
  const action = new URL(path, 'http://127.0.0.1').searchParams.get('Action')
  if (action !== null) return { ...asked, service: 'iam', operation: action }
  return { ...asked, service: TARGETS[target] ?? `unknown (${target})`, operation }
}
