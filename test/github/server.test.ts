import { generateKeyPairSync, sign } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { T0 } from '../support/facts.ts'
import type { GitHubServer, ServerJob } from '../support/github-server.ts'
import { APP, APP_ID, KEY, SITE, STRANGER, startServer } from './harness.ts'

const HOUR = 3_600_000
const HEADERS = {
  'x-github-api-version': '2022-11-28',
  'user-agent': 'tornade test',
  'content-type': 'application/json',
}
const JIT = '/repos/acme/app/actions/runners/generate-jitconfig'
const RUNNER = { name: 'one', runner_group_id: 1, labels: ['a'] }

let server: GitHubServer
let clock: { time: number }
let tokens = 0
beforeAll(async () => {
  const installations = [
    { id: 5001, repositories: [APP, SITE] },
    { id: 6001, repositories: [STRANGER.repository], permissions: { actions: 'read', metadata: 'read' } },
  ]
  const started = await startServer({ installations })
  server = started.server
  clock = started.clock
})
afterAll(() => server.close())
afterEach(() => {
  clock.time = T0
  server.problems.length = 0
})

interface Sent {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly as?: string
}
async function send(path: string, { method = 'GET', body, headers = {}, as }: Sent = {}) {
  const response = await fetch(server.url + path, {
    method,
    headers: { ...HEADERS, ...(as === undefined ? {} : { authorization: as }), ...headers },
    body: body === undefined ? null : JSON.stringify(body),
  })
  const text = await response.text()
  const { message, ...answer } = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  return { status: response.status, message, answer, headers: response.headers }
}
const post = (path: string, as: string, body: unknown) => send(path, { method: 'POST', as, body })

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
function jwt(
  claims: object = {},
  key = KEY.privateKey,
  header: object = { alg: 'RS256', typ: 'JWT' },
): string {
  const now = Math.floor(clock.time / 1000)
  const all = { iss: String(APP_ID), iat: now - 60, exp: now + 540, jti: `jti-${tokens++}`, ...claims }
  const text = `${base64url(header)}.${base64url(all)}`
  return `Bearer ${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`
}
async function token(body: object = {}, installation = 5001): Promise<string> {
  const { status, message, answer } = await post(
    `/app/installations/${installation}/access_tokens`,
    jwt(),
    body,
  )
  if (status !== 201) throw new Error(`${status} ${message}`)
  return `token ${answer.token}`
}

describe('a request', () => {
  it.each<[string, string, Sent, string]>([
    [
      'a property is missing',
      JIT,
      { method: 'POST', body: { name: 'one', labels: ['a'] } },
      'runner_group_id',
    ],
    ['there are no labels', JIT, { method: 'POST', body: { ...RUNNER, labels: [] } }, 'labels'],
    ['a property has another type', JIT, { method: 'POST', body: { ...RUNNER, name: 1 } }, 'name'],
    [
      'a property is made up',
      JIT,
      { method: 'POST', body: { ...RUNNER, group: 1 } },
      'group is not described',
    ],
    ['there is no body', JIT, { body: undefined }, 'requestBody'],
    ['a parameter is made up', '/repos/acme/app/actions/runners?nome=x', {}, 'nome is not described'],
    ['a parameter has another type', '/repos/acme/app/actions/runners?per_page=all', {}, 'per_page'],
    [
      'a parameter has another value',
      '/repos/acme/app/commits/abc/check-runs?filter=oldest',
      {},
      'filter must be equal to one of',
    ],
    ['an id is no number', '/repos/acme/app/actions/jobs/abc', {}, 'job_id'],
    ['no version is asked for', JIT, { headers: { 'x-github-api-version': '' } }, 'version'],
  ])('is refused when %s', async (_, path, sent, problem) => {
    const as = await token()
    const sentAs = {
      method: path === JIT ? 'POST' : 'GET',
      ...(path === JIT ? { body: RUNNER } : {}),
      ...sent,
      as,
    }
    const { status } = await send(path, sentAs)
    expect(status).toBe(400)
    expect(server.problems.join('\n')).toContain(problem)
  })

  it.each(['/users', '/repos/acme/app', '/repos/acme/app/actions/runners/one/more'])(
    'is refused when GitHub is not known to have %s here',
    async path => {
      expect(await send(path, { as: await token() })).toMatchObject({ status: 404 })
      expect(server.problems).toEqual([`get ${path} is not described`])
    },
  )

  it('is answered when nothing is wrong with it', async () => {
    expect(await post(JIT, await token(), RUNNER)).toMatchObject({
      status: 201,
      answer: { runner: { name: 'one' }, encoded_jit_config: expect.any(String) },
    })
    expect(server.problems).toEqual([])
  })
})

describe('an answer', () => {
  it('that is not as GitHub describes it is none', async () => {
    const job = server.queueJob(APP.id, {}, 'asleep' as ServerJob['status'])
    expect(await send(`/repos/acme/app/actions/jobs/${job.id}`, { as: await token() })).toMatchObject({
      status: 500,
      message: expect.stringContaining('/status'),
    })
    expect(server.problems).toEqual([
      expect.stringContaining('actions/get-job-for-workflow-run is answered 200'),
    ])
  })

  it('to order must be as GitHub describes it too', async () => {
    server.fail('actions/generate-runner-jitconfig-for-repo', { status: 422, errors: [{ code: 'custom' }] })
    expect(await post(JIT, await token(), RUNNER)).toMatchObject({ status: 500 })
    expect(server.problems).toHaveLength(1)
  })

  it('tells the limits', async () => {
    const { headers } = await post(JIT, await token(), { ...RUNNER, name: 'two' })
    expect(headers.get('x-ratelimit-resource')).toBe('actions_runner_registration')
    expect(Number(headers.get('x-ratelimit-remaining'))).toBeLessThan(5000)
  })
})

describe('the JWT of the App', () => {
  const later = (seconds: number) => Math.floor(T0 / 1000) + seconds
  const { privateKey: stranger } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })

  it.each<[string, () => string]>([
    ['signed by somebody else', () => jwt({}, stranger)],
    ['not signed with RS256', () => jwt({}, KEY.privateKey, { alg: 'none', typ: 'JWT' })],
    ['of another App', () => jwt({ iss: '1' })],
    ['not issued yet', () => jwt({ iat: later(5) })],
    ['over', () => jwt({ exp: later(0) })],
    ['good for too long', () => jwt({ exp: later(601) })],
    ['without jti', () => jwt({ jti: undefined })],
  ])('is refused when it is %s', async (_, make) => {
    expect(await send('/app/hook/deliveries', { as: make() })).toMatchObject({ status: 401 })
    expect(server.problems).toEqual([expect.stringContaining('JWT: ')])
  })

  it('buys one token, and is not known after that', async () => {
    const as = jwt()
    expect(await post('/app/installations/5001/access_tokens', as, {})).toMatchObject({ status: 201 })
    expect(await post('/app/installations/5001/access_tokens', as, {})).toMatchObject({ status: 404 })
  })

  it('opens nothing of a repository, and a token nothing of the App', async () => {
    expect(await post(JIT, jwt(), RUNNER)).toMatchObject({ status: 401 })
    expect(await send('/app/hook/deliveries', { as: await token() })).toMatchObject({ status: 401 })
    expect(await send('/app/hook/deliveries')).toMatchObject({ status: 401 })
  })
})

describe('an installation token', () => {
  it('does not reach beyond what it is narrowed to', async () => {
    const as = await token({ repository_ids: [SITE.id] })
    expect(await post(JIT, as, RUNNER)).toMatchObject({ status: 404 })
    expect(await post(JIT.replace('app', 'site'), as, RUNNER)).toMatchObject({ status: 201 })
    const reader = await token({ permissions: { administration: 'read' } })
    expect(await post(JIT, reader, RUNNER)).toMatchObject({ status: 403 })
    expect(await send('/repos/acme/app/actions/runners', { as: reader })).toMatchObject({ status: 200 })
  })

  it('does not reach other installations', async () => {
    const as = await token({}, 6001)
    expect(await post(JIT, as, RUNNER)).toMatchObject({ status: 404 })
    expect(await send('/repos/stranger/app/actions/jobs/1', { as })).toMatchObject({ status: 404 })
    expect(await post('/repos/stranger/app/actions/runs/1/cancel', as, undefined)).toMatchObject({
      status: 403,
    })
  })

  it.each<[string, object]>([
    ['a right that was not granted', { permissions: { contents: 'write' } }],
    ['more than was granted', { permissions: { metadata: 'write' } }],
    ['a repository of somebody else', { repository_ids: [STRANGER.repository.id] }],
  ])('is refused for %s', async (_, body) => {
    await expect(token(body)).rejects.toThrow('422')
  })

  it('ends with its hour', async () => {
    const as = await token()
    clock.time += HOUR
    expect(await send('/repos/acme/app/actions/runners', { as })).toMatchObject({ status: 401 })
    expect(await send('/repos/acme/app/actions/runners', { as: 'token ghs_unknown' })).toMatchObject({
      status: 401,
    })
  })
})
