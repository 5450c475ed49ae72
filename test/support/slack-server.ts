/**
 * Slack on loopback: an incoming webhook (or the address of a command, which is answered alike), and chat.postMessage.
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 * https://docs.slack.dev/reference/methods/chat.postMessage
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SlackMessage {
  readonly channel: string
  readonly text: string
  readonly ts: string
  readonly thread_ts: string | null
}

export interface SlackServer {
  readonly origin: string
  /** Of the incoming webhook. */
  readonly url: string
  readonly postMessage: string
  /** What the webhook was sent. */
  readonly received: unknown[]
  /** What was posted with the token, oldest first. */
  readonly messages: SlackMessage[]
  /** Channels that the bot is in. */
  readonly channels: Set<string>
  /** What every request is answered instead, where its status is another than 200 or its body is not ok. */
  answer: { readonly status: number; readonly body: string; readonly location?: string }
  close(): Promise<void>
}

const OK = { status: 200, body: 'ok' } as const
const FIELDS = new Set(['channel', 'text', 'thread_ts', 'unfurl_links', 'unfurl_media'])

/** @param token that the bot has to show; undefined where it has none */
export async function slackServer(token?: string): Promise<SlackServer> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { status, body, location } = answerTo(request, Buffer.concat(chunks).toString())
    response.writeHead(status, location === undefined ? {} : { location }).end(body)
  })

  function answerTo(request: IncomingMessage, text: string): SlackServer['answer'] {
    const isJson = /^application\/json(;|$)/.test(request.headers['content-type'] ?? '')
    if (request.method !== 'POST' || !isJson) return { status: 400, body: 'invalid_payload' }
    const isApi = request.url!.endsWith('/api/chat.postMessage')
    if (!isApi) slack.received.push(JSON.parse(text))
    if (slack.answer !== OK || !isApi) return slack.answer
    const answer = postMessage(request.headers.authorization, JSON.parse(text))
    return { status: 200, body: JSON.stringify({ ok: !('error' in answer), ...answer }) }
  }

  function postMessage(authorization: string | undefined, message: Record<string, unknown>) {
    if (authorization === undefined) return { error: 'not_authed' }
    if (token === undefined || authorization !== `Bearer ${token}`) return { error: 'invalid_auth' }
    const { channel, text, thread_ts = null } = message
    if (Object.keys(message).some(name => !FIELDS.has(name))) return { error: 'invalid_arguments' }
    if (typeof channel !== 'string' || !slack.channels.has(channel)) return { error: 'not_in_channel' }
    if (typeof text !== 'string' || text === '') return { error: 'no_text' }
    if (thread_ts !== null && typeof thread_ts !== 'string') return { error: 'invalid_arguments' }
    const first = slack.messages.find(({ ts }) => ts === thread_ts)
    if (thread_ts !== null && first?.channel !== channel) return { error: 'thread_not_found' }
    const ts = `1793000000.${String(slack.messages.length + 1).padStart(6, '0')}`
    slack.messages.push({ channel, text, ts, thread_ts })
    return { channel, ts, message: { type: 'message', text, ts } }
  }

  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const slack: SlackServer = {
    origin,
    url: `${origin}/services/T0CANARY/B0/secret`,
    postMessage: `${origin}/api/chat.postMessage`,
    received: [],
    messages: [],
    channels: new Set(['C0DEPLOYS']),
    answer: OK,
    close: () =>
      new Promise(resolve => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return slack
}
