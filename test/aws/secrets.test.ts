import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type AppKey,
  SECRETS_TTL_MS,
  SHORTEST_SECRET,
  SsmSecrets,
  ssmAppKey,
  ssmChatSecrets,
  ssmDashboardSecrets,
  ssmParameters,
  ssmRunnerVersion,
} from '../../functions/aws/secrets.ts'
import type { FaultName } from './wire/faults.ts'
import { WIRE_CREDENTIALS, Wire } from './wire/server.ts'

const NAMES = {
  webhook: '/tornade/test/webhook-secret',
  webhookPrevious: '/tornade/test/webhook-secret-previous',
  appId: '/tornade/test/app-id',
  appPrivateKey: '/tornade/test/app-private-key',
}
const PEM = '-----BEGIN RSA PRIVATE KEY-----\ncanary-key\n-----END RSA PRIVATE KEY-----\n'
const ATTEMPTS = 3
const SESSION = 'canary-session-token'

let wire: Wire
let now: number
let secrets: SsmSecrets
let appKey: () => Promise<AppKey>
beforeEach(async () => {
  wire = await Wire.start()
  now = 0
  const read = ssmParameters({
    region: wire.region,
    endpoint: wire.url,
    credentials: () => ({ ...WIRE_CREDENTIALS, sessionToken: SESSION }),
  })
  secrets = new SsmSecrets(NAMES, read, { now: () => now })
  appKey = ssmAppKey(NAMES, read, { now: () => now })
  wire.ssm.parameters.set(NAMES.webhook, 'canary-current')
  wire.ssm.parameters.set(NAMES.appId, '12345\n')
  wire.ssm.parameters.set(NAMES.appPrivateKey, PEM)
})
afterEach(async () => {
  await wire.close()
  expect(wire.refused).toEqual([])
})

describe('secrets', () => {
  it('are read decrypted, in one call', async () => {
    expect(await secrets.webhook()).toEqual(['canary-current'])
    expect(wire.calls.map(({ operation, input }) => [operation, input])).toEqual([
      ['GetParameters', { Names: [NAMES.webhook, NAMES.webhookPrevious], WithDecryption: true }],
    ])
    expect(wire.calls[0]!.signed).toMatchObject({
      service: 'ssm',
      headers: expect.arrayContaining(['x-amz-security-token']),
    })
  })

  it('are two while the webhook secret is rotated, without the line ends of files', async () => {
    wire.ssm.parameters.set(NAMES.webhook, 'new\n')
    wire.ssm.parameters.set(NAMES.webhookPrevious, 'old\r\n')
    expect(await secrets.webhook()).toEqual(['new', 'old'])
  })

  it('have the key of the App', async () => {
    expect(await appKey()).toEqual({ appId: '12345', privateKey: PEM })
    expect(wire.calls[0]!.input).toEqual({
      Names: [NAMES.appId, NAMES.appPrivateKey],
      WithDecryption: true,
    })
  })

  it('are kept for some minutes, and read once for all who ask meanwhile', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => secrets.webhook()))
    expect(new Set(all).size).toBe(1)
    wire.ssm.parameters.set(NAMES.webhook, 'canary-next')
    now = SECRETS_TTL_MS - 1
    expect(await secrets.webhook()).toEqual(['canary-current'])
    expect(wire.calls).toHaveLength(1)
    now = SECRETS_TTL_MS
    await Promise.all(Array.from({ length: 20 }, () => secrets.webhook()))
    expect(await secrets.webhook()).toEqual(['canary-next'])
    expect(wire.calls).toHaveLength(2)
  })

  it('survive one silence, however long SSM would keep it', async () => {
    wire.play('GetParameters: silence')
    const impatient = vi.spyOn(AbortSignal, 'timeout').mockImplementationOnce(() => {
      const soon = new AbortController()
      setTimeout(() => soon.abort(new DOMException('timed out', 'TimeoutError')), 50)
      return soon.signal
    })
    expect(await secrets.webhook()).toEqual(['canary-current'])
    expect(impatient).toHaveBeenCalledTimes(2)
    impatient.mockRestore()
  })

  it.each<FaultName>([
    'GetParameters: lost after',
    'GetParameters: 500 after',
    'parameters server error',
    'GetParameters: throttled',
  ])('survive one failure: %s', async fault => {
    wire.play(fault)
    expect(await secrets.webhook()).toEqual(['canary-current'])
    expect(wire.calls).toHaveLength(2)
  })

  it.each<[FaultName, number, RegExp]>([
    ['GetParameters: lost before', ATTEMPTS, /got no answer/],
    ['parameters server error', ATTEMPTS, /InternalServerError/],
    ['GetParameters: throttled', ATTEMPTS, /ThrottlingException/],
    ['parameters denied', 1, /not authorized to perform: ssm:GetParameters/],
    ['wrong signature', 1, /InvalidSignatureException/],
  ])('heal on the next call after a failed read: %s', async (fault, times, message) => {
    wire.play(fault, times)
    const failed = await Promise.allSettled([appKey(), appKey()])
    for (const result of failed) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { message: expect.stringMatching(message) },
      })
      expect(inspect(result, { depth: 10 })).not.toContain('canary')
    }
    expect(wire.calls).toHaveLength(times)
    expect(await appKey()).toMatchObject({ appId: '12345' })
  })

  it('name the parameter that does not exist, and find it once it does', async () => {
    wire.ssm.parameters.delete(NAMES.webhook)
    wire.ssm.parameters.set(NAMES.webhookPrevious, 'canary-old')
    const error = await secrets.webhook().catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'config-unreadable',
      message: expect.stringContaining(`SSM has no parameter ${NAMES.webhook}`),
    })
    expect(inspect(error)).not.toContain('canary')
    wire.ssm.parameters.set(NAMES.webhook, 'canary-current')
    expect(await secrets.webhook()).toEqual(['canary-current', 'canary-old'])
  })

  it('show up in nothing that is printed of them', async () => {
    await secrets.webhook()
    await appKey()
    expect(inspect([secrets, appKey], { depth: 10 })).not.toContain('canary')
    expect(JSON.stringify([secrets, appKey])).not.toContain('canary')
  })
})

describe('what Slack signs with', () => {
  const of = (values: Record<string, string>) =>
    ssmChatSecrets(
      { signing: '/s', signingPrevious: '/p' },
      async () => new Map(Object.entries(values)),
    ).signing()
  const [one, other] = ['1'.repeat(SHORTEST_SECRET), '2'.repeat(SHORTEST_SECRET)]

  it('is the present secret and the one before, without the ends of their lines', async () => {
    expect(await of({ '/s': `${one}\n`, '/p': `${other}\r\n` })).toEqual([one, other])
    expect(await of({ '/s': one! })).toEqual([one])
  })

  it('is nothing where there is none, or one that could be guessed', async () => {
    expect(await of({})).toEqual([])
    expect(await of({ '/s': '\n', '/p': 'short' })).toEqual([])
  })
})

describe('the release of the runner program in the images', () => {
  const of = (values: Record<string, string>) =>
    ssmRunnerVersion(['/x64', '/arm64'], async () => new Map(Object.entries(values)))()

  it('is the older one of two architectures, which GitHub gives up first', async () => {
    const values = { '/x64': '2.340.1 2026-11-10T08:30:00Z\n', '/arm64': '2.339.0 2026-10-20T08:30:00Z' }
    expect(await of(values)).toEqual({ version: '2.339.0', releasedAt: Date.UTC(2026, 9, 20, 8, 30) })
  })

  it('is not known before the first image, and of what nobody can read', async () => {
    expect(await of({})).toBeNull()
    expect(await of({ '/x64': '2.340.1 ', '/arm64': 'null null' })).toBeNull()
  })
})

describe('what opens the dashboard', () => {
  const DASHBOARD = {
    clientId: '/tornade/test/client-id',
    clientSecret: '/tornade/test/client-secret',
    sessionKey: '/tornade/test/session-key',
    sessionKeyPrevious: '/tornade/test/session-key-previous',
    tokens: '/tornade/test/dashboard-tokens',
  }
  const long = (name: string) => `canary-${name}-`.padEnd(SHORTEST_SECRET, 'x')
  const put = (values: Partial<Record<keyof typeof DASHBOARD, string>>) => {
    for (const [name, value] of Object.entries(values))
      wire.ssm.parameters.set(DASHBOARD[name as keyof typeof DASHBOARD], value)
  }
  const keeper = () =>
    ssmDashboardSecrets(
      DASHBOARD,
      ssmParameters({ region: wire.region, endpoint: wire.url, credentials: () => WIRE_CREDENTIALS }),
      { now: () => now },
    )

  it('is read in one call, and without what may be missing', async () => {
    put({ clientId: 'Iv23li\n', clientSecret: 'canary-secret\n', sessionKey: `${long('key')}\n` })
    expect(await keeper()()).toEqual({
      tokens: [],
      signIn: { client: { id: 'Iv23li', secret: 'canary-secret' }, sessionKeys: [long('key')] },
    })
    expect(wire.calls.map(({ input }) => input)).toEqual([
      { Names: Object.values(DASHBOARD), WithDecryption: true },
    ])
  })

  it('has the key of before, and a token on each line that is long enough', async () => {
    put({ clientId: 'Iv23li', clientSecret: 's', sessionKey: long('key'), sessionKeyPrevious: long('old') })
    put({ tokens: `${long('a')}\r\n\n short \n  ${long('b')}\n` })
    expect(await keeper()()).toMatchObject({
      tokens: [long('a'), long('b')],
      signIn: { sessionKeys: [long('key'), long('old')] },
    })
  })

  it('says all that is missing or too short, and is open as far as it can be', async () => {
    put({ clientSecret: '\n', sessionKey: 'canary-short', sessionKeyPrevious: 'x', tokens: long('a') })
    const secrets = keeper()
    expect(await secrets()).toEqual({
      tokens: [long('a')],
      signIn: {
        faults: [
          `${DASHBOARD.clientId} is missing`,
          `${DASHBOARD.clientSecret} is missing`,
          `${DASHBOARD.sessionKey} is shorter than ${SHORTEST_SECRET} characters`,
          `${DASHBOARD.sessionKeyPrevious} is shorter than ${SHORTEST_SECRET} characters`,
        ],
      },
    })
  })

  it('is found on the next call once it is there', async () => {
    put({ clientId: 'Iv23li', clientSecret: 's', sessionKey: long('key') })
    const secrets = keeper()
    wire.play('GetParameters: throttled', ATTEMPTS)
    await expect(secrets()).rejects.toThrow(/ThrottlingException/)
    wire.ssm.parameters.delete(DASHBOARD.clientId)
    expect(await secrets()).toMatchObject({ signIn: { faults: [`${DASHBOARD.clientId} is missing`] } })
    put({ clientId: 'Iv23li' })
    expect(await secrets()).toMatchObject({ signIn: { client: { id: 'Iv23li' } } })
  })
})
