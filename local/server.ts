/** The local stack over HTTP, on loopback: the webhook endpoint as API Gateway would pass it on, and the pages. */
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { TornadeError } from '../functions/core/errors.ts'
import type { World } from './world.ts'

export interface LocalServer {
  /** http://127.0.0.1:PORT */
  readonly url: string
  close(): Promise<void>
}

/** What API Gateway takes: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html */
const GATEWAY_LIMIT = 10 * 1024 * 1024

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/**
 * @param ready deliveries from outside wait for it, pages do not
 * @throws TornadeError usage when the port is taken or not allowed
 */
export async function listen(
  world: World,
  pages: { fetch: (request: Request) => Response | Promise<Response> },
  port: number,
  ready: Promise<void>,
): Promise<LocalServer> {
  const app = new Hono()
  app.all('/webhook', async context => {
    const body = await readLimited(context.req.raw.body, GATEWAY_LIMIT)
    if (!body) return context.json({ outcome: 'rejected', reason: 'the payload is over 10 MiB' }, 413)
    await ready
    const headers = Object.fromEntries(context.req.raw.headers)
    const answer = await world.request(context.req.method, '/webhook', headers, body)
    if (answer.status === 202) adopt(world, body, answer.body)
    return new Response(Buffer.from(answer.body), { status: answer.status, headers: answer.headers })
  })
  // Signed with the same secret; what comes of it stays here.
  app.post('/slack', async context => {
    const body = await readLimited(context.req.raw.body, GATEWAY_LIMIT)
    if (!body) return context.json({ error: 'the body is over 10 MiB' }, 413)
    await ready
    const headers = Object.fromEntries(context.req.raw.headers)
    const answer = await world.request('POST', '/slack', headers, body)
    return new Response(Buffer.from(answer.body), { status: answer.status, headers: answer.headers })
  })
  // A page that resolves its own name to this machine is of the same origin as what it reads here. Deliveries are signed.
  app.use(async (context, next) => {
    if (LOOPBACK.test(context.req.header('host') ?? '')) return next()
    return context.text(
      'This is shown under names of this machine only, as http://127.0.0.1 and http://localhost are.',
      421,
    )
  })
  app.mount('/', request => pages.fetch(request), { replaceRequest: request => request })
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, port, hostname: '127.0.0.1' }, (info: AddressInfo) =>
      resolve({
        url: `http://127.0.0.1:${info.port}`,
        close: () =>
          new Promise<void>(done => {
            server.close(() => done())
            if ('closeAllConnections' in server) server.closeAllConnections()
          }),
      }),
    )
    server.on('error', (error: NodeJS.ErrnoException) => reject(portError(error, port)))
  })
}

/** What came from outside stands for GitHub's own state: the double gives the job to a runner. */
function adopt(world: World, body: Uint8Array, answer: Uint8Array): void {
  const { outcome } = JSON.parse(Buffer.from(answer).toString('utf8')) as { outcome?: string }
  if (outcome === 'accepted') world.github.adopt(JSON.parse(Buffer.from(body).toString('utf8')))
}

/** null when there is more than `limit`. */
async function readLimited(
  stream: ReadableStream<Uint8Array> | null,
  limit: number,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream ?? []) {
    length += chunk.length
    if (length > limit) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function portError(error: NodeJS.ErrnoException, port: number): TornadeError {
  const why =
    error.code === 'EADDRINUSE'
      ? 'is in use: give another one with --port'
      : `cannot be used (${error.code ?? error.message})`
  return new TornadeError('usage', `port ${port} ${why}`, [], { cause: error })
}
