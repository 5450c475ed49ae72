/** An incoming webhook of Slack on loopback: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SlackServer {
  readonly url: string
  readonly received: unknown[]
  answer: { readonly status: number; readonly body: string; readonly location?: string }
  close(): Promise<void>
}

export async function slackServer(): Promise<SlackServer> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const fits = request.method === 'POST' && request.headers['content-type'] === 'application/json'
    if (fits) slack.received.push(JSON.parse(Buffer.concat(chunks).toString()))
    const { status, body, location } = fits ? slack.answer : { status: 400, body: 'invalid_payload' }
    response.writeHead(status, location === undefined ? {} : { location }).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const slack: SlackServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T0CANARY/B0/secret`,
    received: [],
    answer: { status: 200, body: 'ok' },
    close: () =>
      new Promise(resolve => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return slack
}
