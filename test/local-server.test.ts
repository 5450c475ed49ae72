/** What the local stack shows over HTTP, and to whom. */
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { type LocalServer, listen } from '../local/server.ts'
import { SLACK, slackRequest } from './support/chat.ts'
import { type Stack, stack } from './support/world.ts'

let s: Stack
let server: LocalServer
beforeAll(async () => {
  s = await stack({ config: { slack: SLACK } })
  const stats = { deadLetters: async () => 0, runnerVersion: async () => null }
  const pages = dashboard(
    { ...s.world.ports, ledger: s.world.ledger, stats },
    dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null }),
  )
  server = await listen(s.world, pages, 0, Promise.resolve())
})
afterAll(() => server.close())

/** With a Host of one's own, which fetch does not allow. */
function ask(host: string | null, path = '/', method = 'GET'): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(server.url)
    const headers = host === null ? {} : { host: host.replace('PORT', port) }
    const options = { host: '127.0.0.1', port, path, method, headers, setHost: host !== null }
    request(options, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, text }))
    })
      .on('error', reject)
      .end()
  })
}

describe('the pages of the local stack', () => {
  it.each(['127.0.0.1:PORT', 'localhost:PORT', 'LOCALHOST', '[::1]:PORT', '127.0.0.2:1'])(
    'are open under the name %s',
    async host => {
      for (const path of ['/', '/api/jobs', '/healthz']) expect((await ask(host, path)).status).toBe(200)
    },
  )

  it.each([
    'evil.example',
    'evil.example:PORT',
    '127.0.0.1.evil.example:PORT',
    'localhost.evil.example',
    'evil-localhost',
    '10.0.0.1:PORT',
    '0.0.0.0:PORT',
    '[::]:PORT',
    'localhost@evil.example',
  ])('are nothing under the name %s, which anybody may give this machine', async host => {
    for (const path of ['/', '/api/jobs', '/metrics', '/nothing']) {
      const { status, text } = await ask(host, path)
      // Of what is no name at all Node says so itself.
      expect([path, [400, 421].includes(status)]).toEqual([path, true])
      expect(text).not.toMatch(/<html|"jobs"/)
    }
  })

  it('take deliveries under any name: those are signed', async () => {
    expect((await ask('tunnel.example', '/webhook', 'POST')).status).toBe(401)
  })
})

describe('the dashboard among the functions', () => {
  it('answers where API Gateway would call it, and shows what is in the ledger', async () => {
    const get = async (path: string) => {
      const pending = s.world.request('GET', path, { host: 'localhost' }, Buffer.alloc(0))
      await s.world.clock.run(s.world.clock.now() + 60_000)
      const { status, body } = await pending
      return { status, text: Buffer.from(body).toString() }
    }
    expect(await get('/api/jobs?limit=5')).toEqual({ status: 200, text: '{"jobs":[],"next":null}' })
    expect((await get('/nothing')).status).toBe(404)
  })
})

describe('a command of Slack to the local stack', () => {
  it('is answered where it is signed with the secret of the stack, and not elsewhere', async () => {
    const answerTo = (secret: string) => {
      const { headers, body } = slackRequest('help', { at: s.world.clock.now(), secret })
      return fetch(`${server.url}/slack`, { method: 'POST', headers, body: new Uint8Array(body) })
    }
    const good = await answerTo('a secret of these tests')
    expect([good.status, ((await good.json()) as { response_type: string }).response_type]).toEqual([
      200,
      'ephemeral',
    ])
    expect((await answerTo('another')).status).toBe(401)
  })
})
