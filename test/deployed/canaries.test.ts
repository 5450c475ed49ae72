/**
 * Secrets are where they belong, and nowhere else: whatever the functions print, write, send and answer is searched for
 * every secret that they ever had in hand. Failures most of all, because errors quote what they were about.
 */
import { deflateRawSync } from 'node:zlib'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { unpack } from '../../functions/aws/ledger.ts'
import { Resolver } from '../infra/stack.ts'
import { Browser } from '../support/browser.ts'
import { type Asked, json, type Reply } from './gateway.ts'
import { canary, Deployment, type FunctionName, ORIGIN } from './stack.ts'

const PREVIOUS = canary('previous webhook secret')

let world: Deployment
beforeAll(async () => {
  world = await Deployment.start({ webhookSecrets: [canary('webhook secret'), PREVIOUS] })
}, 60_000)
afterAll(() => world.close())

/** Characters of a secret that no other text has by chance, and that are no use to anybody alone. */
const PIECE = 20

/** Names of the secrets of which a piece stands in one of the texts, with the place. */
function found(texts: ReadonlyMap<string, readonly string[]>): string[] {
  const pieces = new Map<string, string>()
  for (const [name, secret] of world.secrets)
    for (const line of secret.split(/\s+/))
      for (let at = 0; at + PIECE <= line.length; at += PIECE) pieces.set(line.slice(at, at + PIECE), name)
  const hits = new Set<string>()
  for (const [place, all] of texts) {
    for (const text of all) {
      for (let at = 0; at + PIECE <= text.length; at++) {
        const name = pieces.get(text.slice(at, at + PIECE))
        if (name !== undefined) hits.add(`${place}: ${name}`)
      }
    }
  }
  return [...hits]
}

/** Every place where a secret could come to stand, without the one for it. */
async function places(): Promise<Map<string, string[]>> {
  const ledger = await world.items('LedgerTable')
  const tickets = await world.items('TicketsTable')
  const { launch, events } = world.queues
  return new Map([
    ['logs', world.logs.map(({ text }) => text)],
    ['ledger', ledger.flatMap(item => [JSON.stringify(item), unpack(item)])],
    ['keys of tickets', tickets.map(({ j: _, ...item }) => JSON.stringify(item))],
    ['messages', [launch, events].flatMap(({ sent }) => sent.map(({ body }) => body))],
    ['tasks and builds', world.wire.calls.map(({ input }) => JSON.stringify(input))],
    ['events', world.wire.events.map(event => JSON.stringify(event))],
    ['check runs', world.github.checks.map(check => JSON.stringify(check))],
    [
      'requests to GitHub',
      world.github.calls.map(({ path, query, body }) => JSON.stringify([path, query, body])),
    ],
    ['answers', world.answers],
    ['Slack', [...world.slack.messages, ...world.slack.received].map(message => JSON.stringify(message))],
  ])
}

const leaks = async () => found(await places())

describe('the search', () => {
  it('finds a secret wherever it is', async () => {
    const { job, labels, key } = await world.queue(['tornade'])
    await world.settle()
    const jit = [...world.secrets].find(([name]) => name.startsWith('JIT'))![1]
    for (const place of (await places()).keys()) {
      const planted = new Map(
        [...(await places())].map(([name, all]) => [
          name,
          name === place ? [...all, `x${jit.slice(99, 150)}`] : all,
        ]),
      )
      expect(found(planted)).toEqual([expect.stringMatching(`^${place}: JIT config`)])
    }
    // Also where it is packed.
    const TableName = new Resolver(world.stack).name('LedgerTable')
    const Item = { pk: { S: 'job#canary' }, v: { N: '1' }, z: { B: deflateRawSync(`{"note":"${jit}"}`) } }
    await world.dynamo.client.send(new PutItemCommand({ TableName, Item }))
    expect(await leaks()).toEqual([expect.stringMatching('^ledger: JIT config')])
    await world.dynamo.client.send(
      new PutItemCommand({ TableName, Item: { ...Item, z: { B: deflateRawSync('{}') } } }),
    )
    expect(await leaks()).toEqual([])
    await world.runnerTakes(`tornade-${key}-1`, job, labels)
    await world.runnerEnds(`tornade-${key}-1`, job, labels)
    await world.settle()
  })

  it('knows the secrets', () => {
    const kinds = new Set(
      [...world.secrets.keys()].map(name => name.replace(/ [0-9a-f-]{8,}$|(?<=secret of ).*/, '')),
    )
    expect([...kinds].toSorted()).toEqual(
      [
        'JIT config',
        'JWT',
        'bearer token',
        'client secret',
        'key of the App',
        'previous webhook secret',
        'secret of ',
        'session key',
        'session token',
        'signing secret',
        'token',
        'token of Slack',
        'webhook secret',
      ].toSorted(),
    )
  })
})

describe('a JIT config', () => {
  it.each([[['tornade']], [['tornade', 'docker', 'role:deploy']]])(
    'is among the tickets until its runner (%o) has taken it, and then nowhere',
    async labels => {
      const { job, key } = await world.queue(labels)
      await world.settle()
      const runner = `tornade-${key}-1`
      const [registered] = [...world.github.runners.values()].filter(({ name }) => name === runner)
      const tickets = async () => JSON.stringify(await world.items('TicketsTable'))
      expect(await tickets()).toContain(registered!.encodedJitConfig)
      expect(await leaks()).toEqual([])
      await world.runnerTakes(runner, job, labels)
      expect(await tickets()).not.toContain(registered!.encodedJitConfig.slice(100, 150))
      await world.runnerEnds(runner, job, labels)
      await world.settle()
      expect(await leaks()).toEqual([])
    },
  )
})

describe('no secret is told', () => {
  it('to whoever sends deliveries', async () => {
    const job = world.github.queueJob(7001)
    const payload = world.payload('queued', job, ['tornade'])
    expect((await world.deliver(payload, { secret: PREVIOUS })).status).toBe(202)
    expect((await world.deliver(payload, { secret: 'another' })).status).toBe(401)
    expect((await world.deliver({ action: 'queued', workflow_job: { labels: ['tornade'] } })).status).toBe(
      400,
    )
    await world.cool('webhook')
    world.wire.play('wrong signature')
    expect((await world.deliver(payload)).status).toBe(500)
    await world.settle()
    expect(await leaks()).toEqual([])
  })

  it('where jobs are refused and cancelled', async () => {
    await world.queue(['tornade', 'amr64'])
    await world.settle()
    const { job, labels } = await world.queue(['tornade'])
    await world.settle()
    world.github.finishJob(job, 'cancelled')
    await world.deliver(world.payload('completed', job, labels))
    await world.settle()
    world.advance(90)
    await world.settle()
    await world.sweep()
    expect(await leaks()).toEqual([])
  })
})

describe('the dashboard tells nobody', () => {
  const VISITOR = { id: 583231, login: 'ada', memberships: [] }
  const signIn = () => {
    world.web.visitor = VISITOR
    return new Browser(world, world.visit).open(`${ORIGIN}/signin/github?next=/nothing`)
  }
  const bearer = (text: string) =>
    world.visit(new URL(`${ORIGIN}/api/nothing`), { headers: { authorization: `Bearer ${text}` } })
  /** Codes, verifiers and refresh tokens as well: what the function was handed and never put into a request of its own. */
  const told = async () => {
    for (const [index, text] of world.web.secrets.entries())
      world.secrets.set(`of the web flow ${index}`, text)
    return leaks()
  }

  it('what it signs in with, or was signed in with', async () => {
    expect((await signIn()).status).toBe(404)
    const token = world.secrets.get('bearer token')!
    expect([(await bearer(token)).status, (await bearer(`${token}x`)).status]).toEqual([404, 401])
    expect([...world.secrets.keys()].some(name => name.startsWith('user token'))).toBe(true)
    expect(await told()).toEqual([])
  })

  it.each<[string, (asked: Asked) => Reply | { readonly lost: 'after' } | null]>([
    ['SSM quotes the request', asked => (asked.service === 'ssm' ? quoting(400, asked) : null)],
    ['GitHub quotes an exchange', asked => (/access_token$/.test(asked.path) ? quoting(200, asked) : null)],
    ['GitHub refuses an exchange', asked => (/access_token$/.test(asked.path) ? quoting(500, asked) : null)],
    ['GitHub quotes the user token', asked => (/\/user$/.test(asked.path) ? quoting(401, asked) : null)],
    ['GitHub’s answer is lost', asked => (asked.service === 'github' ? { lost: 'after' } : null)],
  ])('when %s', async (_, meddle) => {
    await world.cool('dashboard')
    world.logs.length = 0
    world.meddle = (caller, asked) => (caller === 'dashboard' ? meddle(asked) : null)
    expect([502, 503]).toContain((await signIn()).status)
    world.meddle = null
    expect(world.logs.some(({ text }) => /"level":"ERROR"/.test(text))).toBe(true)
    expect(await told()).toEqual([])
  })
})

/** An answer that says all that it was asked with, as some errors do: headers, credentials, body. */
function quoting(
  status: number,
  { headers, body, service }: Asked,
  name = 'InvalidSignatureException',
): Reply {
  const quoted = `The Canonical String for this request should have been '${JSON.stringify(headers)}'\n${headers['x-amz-security-token']}\n${body}`
  if (service === 'slack')
    return json(status, { error: `${headers.authorization} ${quoted}`, ok: false }, 'application/json')
  return service === 'github'
    ? json(
        status,
        { message: quoted, documentation_url: quoted, errors: [quoted, { message: quoted }] },
        'application/json',
      )
    : json(status, { __type: name, message: quoted, Message: quoted })
}

/** Where nobody gets further, everything that they have in hand is tried. */
type Failure = readonly [
  name: string,
  meddle: (caller: FunctionName, asked: Asked) => Reply | { readonly lost: 'before' | 'after' } | null,
]

const FAILURES: readonly Failure[] = [
  ...['dynamodb', 'sqs', 'ecs', 'codebuild', 'ssm', 'iam'].flatMap((service): Failure[] => [
    [
      `${service} quotes a request whose signature it finds wrong`,
      (_, asked) => (asked.service === service ? quoting(400, asked) : null),
    ],
  ]),
  ...[403, 422, 429, 500].map(
    (status): Failure => [
      `GitHub answers ${status} and quotes the request`,
      (_, asked) => (asked.service === 'github' ? quoting(status, asked) : null),
    ],
  ),
  [
    'GitHub gives no token and quotes the JWT',
    (_, asked) => (asked.operation.endsWith('access_tokens') ? quoting(401, asked) : null),
  ],
  [
    'the ticket is not taken in, and its item quoted',
    (_, asked) =>
      asked.operation === 'PutItem' && asked.body.includes('-tickets')
        ? quoting(400, asked, 'ValidationException')
        : null,
  ],
  ['connections to GitHub break', (_, { service }) => (service === 'github' ? { lost: 'after' } : null)],
]

describe('no secret is told when', () => {
  beforeAll(() => world.keepSpare('launch'))
  beforeEach(async () => {
    await world.cool('launch')
    world.logs.length = 0
    // GitHub may have asked for a pause.
    world.advance(61)
  })

  it.each(FAILURES)('%s', async (_, meddle) => {
    world.meddle = meddle
    const labels = ['tornade', 'docker', 'role:deploy']
    const plain = await world.queue(['tornade'])
    await world.queue(labels)
    await world.settle()
    world.github.finishJob(plain.job, 'cancelled')
    await world.deliver(world.payload('completed', plain.job, ['tornade']))
    await world.settle()
    expect(await leaks()).toEqual([])
    // Something was said of it.
    expect(world.logs.some(({ text }) => /"level":"(ERROR|WARN)"/.test(text))).toBe(true)

    world.meddle = null
  })

  it('logs quotes a request whose signature it finds wrong', async () => {
    const labels = ['tornade']
    const { job, key } = await world.queue(labels)
    await world.settle()
    const runner = `tornade-${key}-1`
    await world.runnerTakes(runner, job, labels)
    world.meddle = (_, asked) => (asked.service === 'logs' ? quoting(400, asked) : null)
    await world.runnerEnds(runner, job, labels)
    await world.settle()
    world.meddle = null
    const said = world.logs.map(({ text }) => text).join('')
    expect(said).toContain('usage not read')
    expect(await leaks()).toEqual([])
  })

  it.each<Failure>([
    [
      'Slack quotes a message with its token',
      (_, asked) => (asked.service === 'slack' ? quoting(200, asked) : null),
    ],
    [
      'Slack refuses a message and quotes it',
      (_, asked) => (asked.service === 'slack' ? quoting(403, asked) : null),
    ],
    ['connections to Slack break', (_, { service }) => (service === 'slack' ? { lost: 'after' } : null)],
  ])('%s', async (_, meddle) => {
    world.meddle = meddle
    await world.typed('deploy web main')
    await world.settle()
    world.meddle = null
    const said = world.logs.map(({ text }) => text).join('')
    expect(said).toContain('a channel did not take a message')
    expect(said).toContain('a command from a chat has ended')
    expect(await leaks()).toEqual([])
  })

  it('the key of the App cannot be read', async () => {
    const { parameters } = world.wire.ssm
    const name = '/tornade/dev/app-key'
    const kept = parameters.get(name)!
    const broken = `-----BEGIN RSA PRIVATE KEY-----\n${canary('broken key')}\n-----END RSA PRIVATE KEY-----\n`
    world.secrets.set('broken key', broken)
    parameters.set(name, broken)
    await world.queue(['tornade'])
    await world.settle()
    parameters.set(name, kept)
    const said = world.logs.map(({ text }) => text).join('')
    expect(said).toContain('private key of the GitHub App cannot be read')
    expect(await leaks()).toEqual([])
  })

  it('all of it comes again', { timeout: 30_000 }, async () => {
    const { launch, events } = world.queues
    for (let minutes = 0; minutes < 30; minutes += 6) {
      world.advance(360)
      await world.settle()
    }
    expect([...launch.messages, ...events.messages]).toEqual([])
    expect([...launch.deadLetters, ...events.deadLetters]).toEqual([])
    expect(await leaks()).toEqual([])
  })
})
