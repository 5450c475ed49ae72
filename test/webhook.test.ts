import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { jobState } from '../functions/core/lifecycle.ts'
import { BODY_LIMIT } from '../functions/webhook.ts'
import { ACME_APP, workflowJobPayload } from '../local/payloads.ts'
import { World, type WorldOptions } from '../local/world.ts'

// Some look at thousands of cases, beside whatever else this machine does.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

const SECRET = 'the current secret'
const PREVIOUS = 'the previous secret'
const NOW = Date.UTC(2026, 5, 1, 9)
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

let world: World
/** Everything that the functions wrote into their log, and everything that anybody was answered. */
let written: string
beforeEach(async () => {
  written = ''
  world = await create()
})

afterEach(() => {
  for (const secret of [SECRET, PREVIOUS, 'sha256=']) expect(written).not.toContain(secret)
})

describe('who posts', () => {
  test('with the signature of the secret: accepted', async () => {
    expect(await post(queued())).toEqual({ status: 202, outcome: 'accepted' })
    await world.clock.run(NOW + MINUTE)
    expect(jobState((await world.ledger.jobs.get('7-1'))!)).toBe('launching')
    expect(world.compute.live).toBe(1)
  })

  test('without a signature: 401, with the setting to change', async () => {
    const answer = await post(queued(), { signature: null })
    expect(answer).toEqual({
      status: 401,
      outcome: 'rejected',
      reason: expect.stringContaining('set a secret'),
    })
  })

  test.each([
    ['of another secret', sign('another', text(queued()))],
    ['of another payload', sign(SECRET, text(queued({ jobId: 8 })))],
    ['of the same payload, printed in another way', sign(SECRET, JSON.stringify(queued(), null, 2))],
    ['in capitals', sign(SECRET, text(queued())).toUpperCase()],
    ['without its prefix', sign(SECRET, text(queued())).slice(7)],
    ['cut off', sign(SECRET, text(queued())).slice(0, -1)],
    ['twice', `${sign(SECRET, text(queued()))},${sign(SECRET, text(queued()))}`],
    ['that is none', 'sha256='],
    ['of a kilobyte', 'x'.repeat(1024)],
    ['of letters that are no ASCII', `sha256=${'é'.repeat(64)}`],
  ])('with a signature %s: 401', async (_, signature) => {
    const answer = await post(queued(), { signature })
    expect(answer).toEqual({
      status: 401,
      outcome: 'rejected',
      reason: expect.stringContaining('does not match'),
    })
    await expectNothingHappened()
  })

  test('with the older kind of signature alone: 401', async () => {
    const headers = { 'x-hub-signature': 'sha1=0123456789abcdef0123456789abcdef01234567' }
    expect(await post(queued(), { signature: null, headers })).toMatchObject({ status: 401 })
  })

  test('unsigned learns nothing about the payload', async () => {
    const answers = await Promise.all(
      [queued(), '{', '{}', ''].map(body => post(body, { signature: `sha256=${'0'.repeat(64)}` })),
    )
    expect(new Set(answers.map(answer => JSON.stringify(answer))).size).toBe(1)
  })

  test('while the secret is rotated, the previous one is as good as the current one', async () => {
    world = await create({
      wrapPorts: ports => ({ ...ports, secrets: { webhook: async () => [SECRET, PREVIOUS] } }),
    })
    expect(await post(queued({ jobId: 1 }), { secret: SECRET })).toMatchObject({ status: 202 })
    expect(await post(queued({ jobId: 2 }), { secret: PREVIOUS })).toMatchObject({ status: 202 })
    expect(await post(queued({ jobId: 3 }), { secret: 'one before' })).toMatchObject({ status: 401 })
  })

  test('signs bytes: any printing of a payload will do, and no byte of it may change', async () => {
    for (const printed of [
      JSON.stringify(queued({ jobId: 1 }), null, '\t'),
      `\r\n${text(queued({ jobId: 2 }))}\n\n`,
      text(queued({ jobId: 3, name: 'Übung 🚀' })),
      text(queued({ jobId: 4, name: '@' })).replace('"@"', '"\\ud83d\\ude80 \\/"'),
    ])
      expect(await post(printed)).toEqual({ status: 202, outcome: 'accepted' })

    const honest = Buffer.from(text(queued({ name: 'a\ufffdb' })))
    const place = honest.indexOf('\ufffd')
    const changed = Buffer.concat([
      honest.subarray(0, place),
      Buffer.from([0xff]),
      honest.subarray(place + '\ufffd'.length * 3),
    ])
    const signature = sign(SECRET, honest)
    expect(await post(changed, { signature })).toMatchObject({ outcome: 'rejected' })
  })
})

describe('what is posted', () => {
  test.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s is 405', async method => {
    expect(await post(queued(), { method })).toEqual({ status: 405, outcome: 'rejected', reason: 'use POST' })
    const { headers } = await request(method, {}, Buffer.alloc(0))
    expect(headers.allow).toBe('POST')
    await expectNothingHappened()
  })

  test('another path is the dashboard’s, whatever is posted there', async () => {
    const { status, body } = await request('POST', {}, Buffer.from(text(queued())), '/api/webhook')
    expect([status, body]).toEqual([404, { error: 'there is nothing at this path' }])
    await expectNothingHappened()
  })

  test('a payload of 1 MiB is taken, one byte more is 413', async () => {
    const padded = (length: number) => `${text(queued({ labels: ['ubuntu-latest'] }))}`.padEnd(length)
    expect(await post(padded(BODY_LIMIT))).toMatchObject({ status: 202, outcome: 'ignored' })
    expect(await post(padded(BODY_LIMIT + 1))).toEqual({
      status: 413,
      outcome: 'rejected',
      reason: `the payload is over ${BODY_LIMIT} bytes`,
    })
    expect(BODY_LIMIT).toBe(1024 * 1024)
  })

  test('bytes are counted, not characters', async () => {
    expect(await post(`"${'ü'.repeat(BODY_LIMIT / 2)}"`)).toMatchObject({ status: 413 })
  })

  test.each([
    ['a form', 'application/x-www-form-urlencoded'],
    ['a form with a charset', 'application/x-www-form-urlencoded; charset=utf-8'],
    ['plain text', 'text/plain'],
    ['something like JSON', 'application/jsonp'],
    ['nothing', undefined],
  ])('%s is 415, with the setting to change', async (_, contentType) => {
    const body = `payload=${encodeURIComponent(text(queued()))}`
    expect(await post(body, { contentType })).toEqual({
      status: 415,
      outcome: 'rejected',
      reason: 'set the content type of the webhook to application/json',
    })
  })

  test.each(['application/json; charset=utf-8', 'Application/JSON', 'application/json ;charset=utf-8'])(
    'the content type %s is JSON',
    async contentType => {
      expect(await post(queued(), { contentType })).toMatchObject({ status: 202, outcome: 'accepted' })
    },
  )

  test.each([
    ['text', 'not JSON'],
    ['half a payload', text(queued()).slice(0, 1000)],
    ['a byte order mark', `\ufeff${text(queued())}`],
    ['two payloads', `${text(queued())}\n${text(queued())}`],
    ['a form in a JSON coat', `payload=${encodeURIComponent(text(queued()))}`],
    ['a number that is none', '{"action": NaN}'],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ])('%s is no JSON: 400', async (_, body) => {
    expect(await post(body)).toEqual({
      status: 400,
      outcome: 'rejected',
      reason: expect.stringMatching(/^the payload is not (JSON|UTF-8)$/),
    })
  })
})

describe('a payload of another shape is 400, with the field named', () => {
  const JOB = 'workflow_job'
  test.each<[string, string, unknown]>([
    ['workflow_job', JOB, 'no object'],
    ['workflow_job', JOB, undefined],
    ['workflow_job', JOB, null],
    ['workflow_job.labels', `${JOB}.labels`, undefined],
    ['workflow_job.labels', `${JOB}.labels`, 'tornade'],
    ['workflow_job.labels', `${JOB}.labels`, ['tornade', 5]],
    ['action', 'action', undefined],
    ['action', 'action', 7],
    ['workflow_job.id', `${JOB}.id`, undefined],
    ['workflow_job.id', `${JOB}.id`, '7'],
    ['workflow_job.id', `${JOB}.id`, 0],
    ['workflow_job.id', `${JOB}.id`, -7],
    ['workflow_job.id', `${JOB}.id`, 1.5],
    ['workflow_job.id', `${JOB}.id`, 2 ** 53],
    ['workflow_job.run_id', `${JOB}.run_id`, null],
    ['workflow_job.run_attempt', `${JOB}.run_attempt`, 'two'],
    ['workflow_job.run_attempt', `${JOB}.run_attempt`, 0],
    ['workflow_job.name', `${JOB}.name`, undefined],
    ['workflow_job.head_sha', `${JOB}.head_sha`, 5],
    ['workflow_job.created_at', `${JOB}.created_at`, 'yesterday'],
    ['workflow_job.started_at', `${JOB}.started_at`, 1780304401],
    ['workflow_job.status', `${JOB}.status`, {}],
    ['workflow_job.workflow_name', `${JOB}.workflow_name`, ['CI']],
    ['workflow_job.runner_id', `${JOB}.runner_id`, '12'],
    ['workflow_job.runner_name', `${JOB}.runner_name`, 12],
    ['repository', 'repository', undefined],
    ['repository.id', 'repository.id', 'x'],
    ['repository.full_name', 'repository.full_name', 'app'],
    ['repository.full_name', 'repository.full_name', 'acme/app/more'],
    ['repository.private', 'repository.private', 'yes'],
    ['repository.owner', 'repository.owner', null],
    ['repository.owner.id', 'repository.owner.id', undefined],
    ['installation.id', 'installation', {}],
  ])('%s', async (field, path, value) => {
    const { status, outcome, reason } = await post(changed(queued(), path, value))
    expect({ status, outcome }).toEqual({ status: 400, outcome: 'rejected' })
    expect(reason).toMatch(
      new RegExp(`^the payload is not as GitHub sends it: ${field.replaceAll('.', '\\.')}: .+`),
    )
    await expectNothingHappened()
  })

  test('all fields that are wrong are named at once', async () => {
    const broken = ['workflow_job.id', 'workflow_job.name', 'repository.owner'].reduce<unknown>(
      (payload, path) => changed(payload, path, false),
      queued(),
    )
    const { reason } = await post(broken)
    for (const field of ['workflow_job.id: ', 'workflow_job.name: ', 'repository.owner: '])
      expect(reason).toContain(field)
  })

  test('a list with many faults is named once: an answer stays short', async () => {
    expect(await post({ workflow_job: { labels: Array(250_000).fill(5) } })).toEqual({
      status: 400,
      outcome: 'rejected',
      reason: 'the payload is not as GitHub sends it: workflow_job.labels: expected a list of strings',
    })
  })

  test.each(['[]', 'null', '5', '"text"', '{}', '{"zen":"hello"}'])('%s', async body => {
    expect(await post(body)).toMatchObject({ status: 400, outcome: 'rejected' })
  })
})

describe('old servers', () => {
  test('what they do not send is not asked for', async () => {
    const old = [
      'workflow_job.run_attempt',
      'workflow_job.head_branch',
      'workflow_job.workflow_name',
      'workflow_job.created_at',
      'workflow_job.status',
      'workflow_job.runner_id',
      'workflow_job.runner_name',
      'installation',
      'organization',
      'sender',
      'repository.private',
    ].reduce<unknown>((payload, path) => changed(payload, path, undefined), queued())
    expect(await post(old)).toEqual({ status: 202, outcome: 'accepted' })
    await world.clock.run(NOW + SECOND * 10)
    expect((await world.ledger.jobs.get('7-1'))!.request).toMatchObject({
      attempt: 1,
      workflow: null,
      headBranch: null,
      installationId: null,
      // Not to be taken for a public one by mistake.
      repository: { private: true },
    })
  })
})

describe('what is not ours is 202, ignored, with the reason', () => {
  const ignored = (reason: string) => ({ status: 202, outcome: 'ignored', reason })

  test.each(['ping', 'push', 'workflow_run', 'check_run', 'workflow_job.queued', 'WORKFLOW_JOB'])(
    'the event %s, whatever its payload',
    async event => {
      for (const body of [queued(), { zen: 'Speak like a human.' }, []])
        expect(await post(body, { event })).toEqual(ignored(`event ${event} is not workflow_job`))
    },
  )

  test('a delivery that names no event', async () => {
    expect(await post(queued(), { event: undefined })).toEqual(ignored('event (none) is not workflow_job'))
  })

  test('an event that has a hostile name, which is cleaned', async () => {
    const answer = await post(queued(), { event: `x\u001b[2J${'y'.repeat(500)}` })
    expect(answer).toMatchObject({ status: 202, outcome: 'ignored' })
    expect(answer.reason!.length).toBeLessThan(150)
    expect(answer.reason).not.toMatch(/\p{Cc}/u)
  })

  test('a job of a hosted runner', async () => {
    for (const labels of [['ubuntu-latest'], ['self-hosted', 'linux'], ['tornades'], ['my-tornade'], []])
      expect(await post(queued({ labels }))).toEqual(ignored('labels do not contain tornade'))
  })

  test.each<[string, string, unknown]>([
    ['an action', 'action', undefined],
    ['an id', 'workflow_job.id', 'x'],
    ['a runner name', 'workflow_job.runner_name', 5],
    ['times', 'workflow_job.created_at', 'x'],
    ['a repository', 'repository', null],
    ['an owner', 'repository.owner', 5],
  ])('a job of a hosted runner without %s as it should be', async (_, path, value) => {
    const broken = changed(queued({ labels: ['ubuntu-latest'] }), path, value)
    expect(await post(broken)).toEqual(ignored('labels do not contain tornade'))
  })

  test('a job of an account that is not in owners', async () => {
    world = await create({ config: { ...DEFAULT_CONFIG, owners: { acme: 9919, robin: 12 } } })
    const of = (ownerId: number) => queued({ jobId: ownerId, repository: { ...ACME_APP, ownerId } })
    expect(await post(of(9919))).toMatchObject({ outcome: 'accepted' })
    expect(await post(of(12))).toMatchObject({ outcome: 'accepted' })
    expect(await post(of(13))).toEqual(ignored('owner 13 is not in owners of tornade.yml'))
  })

  test('a job of any account, where owners is there and empty', async () => {
    world = await create({ config: { ...DEFAULT_CONFIG, owners: {} } })
    expect(await post(queued())).toEqual(ignored('owner 9919 is not in owners of tornade.yml'))
  })

  test('a queued job that was created over 24 hours ago', async () => {
    const createdAt = NOW - 24 * HOUR
    expect(await post(queued({ jobId: 1, createdAt }))).toMatchObject({ outcome: 'accepted' })
    const old = queued({ jobId: 2, createdAt: createdAt - SECOND })
    expect(await post(old)).toEqual(ignored('the job was created over 24 hours ago'))
  })

  test('but not the end of one that was created long ago', async () => {
    const createdAt = NOW - 30 * HOUR
    for (const action of ['in_progress', 'completed'] as const) {
      const payload = workflowJobPayload({ ...FACTS, action, createdAt })
      expect(await post(payload)).toEqual({ status: 202, outcome: 'accepted' })
    }
  })

  test('but not one that waited for its environment all that time', async () => {
    const old = queued({ createdAt: NOW - 60 * HOUR })
    expect(await post({ ...old, deployment: { id: 1 } })).toEqual({ status: 202, outcome: 'accepted' })
  })

  test('an action that nobody knows yet, and a start without a runner', async () => {
    expect(await post(changed(queued(), 'action', 'paused'))).toEqual(
      ignored('action paused is not acted on'),
    )
    const started = workflowJobPayload({ ...FACTS, action: 'in_progress', runner: null })
    expect(await post(started)).toEqual(ignored('action in_progress is not acted on'))
  })
})

describe('what is ours', () => {
  test.each([
    ['the marker', ['tornade']],
    ['the marker in capitals', ['TORNADE', 'arm64']],
    ['one label', ['tornade/arm64/4cpu']],
    ['the marker anywhere', ['linux', 'arm64', 'tornade']],
  ])('by its labels: %s', async (_, labels) => {
    expect(await post(queued({ labels }))).toEqual({ status: 202, outcome: 'accepted' })
  })

  test('by the name of the runner that took it, whatever its labels', async () => {
    const taken = (name: string) =>
      workflowJobPayload({ ...FACTS, action: 'in_progress', labels: ['gpu'], runner: { id: 3, name } })
    expect(await post(taken('tornade-41-1-1'))).toMatchObject({ outcome: 'accepted' })
    expect(await post(taken('tornade-41-1-1-r2'))).toMatchObject({ outcome: 'accepted' })
    expect(await post(taken('tornade'))).toMatchObject({ outcome: 'ignored' })
    expect(await post(taken('another-41-1-1'))).toMatchObject({ outcome: 'ignored' })
  })

  test('by another marker, where tornade.yml has one', async () => {
    world = await create({ config: { ...DEFAULT_CONFIG, marker: 'storm' } })
    expect(await post(queued({ labels: ['storm/arm64'] }))).toMatchObject({ outcome: 'accepted' })
    expect(await post(queued({ labels: ['tornade'] }))).toMatchObject({ outcome: 'ignored' })
  })

  test('a job at its gate is noted and not launched', async () => {
    expect(await post(queued({ status: 'waiting' }))).toEqual({ status: 202, outcome: 'accepted' })
    await world.clock.run(NOW + 5 * MINUTE)
    expect(jobState((await world.ledger.jobs.get('7-1'))!)).toBe('waiting')
    expect(world.compute.live).toBe(0)
  })
})

describe('hostile input', () => {
  const STRINGS = [
    'x'.repeat(10_000),
    '\ud800',
    '\udfff\ud800 lone surrogates',
    'a\uffffb',
    'a\ufffeb',
    '\u0000\u001b[2J\u0007\r\n',
    '\u202egnp.exe',
    '__proto__',
    'constructor',
    '<script>alert(1)</script>',
    '`$(reboot)`',
    '$' + '{{ secrets.TOKEN }}',
    '=HYPERLINK("http://tornade.example")',
    '../../../etc/passwd',
    "'; DROP TABLE jobs; --",
    '\u{1f680}'.repeat(500),
    '',
    ' ',
  ]
  const hostile = fc.constantFrom(...STRINGS)

  test.each(STRINGS.map(string => [JSON.stringify(string).slice(0, 40), string]))(
    'in every text of a payload: %s',
    async (_, string) => {
      const job = { name: string, workflow: string, headBranch: string, headSha: string }
      for (const action of ['queued', 'waiting', 'in_progress', 'completed'] as const) {
        const labels = ['tornade', string, `tornade/${string}`, `run-${string}`]
        const payload = workflowJobPayload({
          ...FACTS,
          ...job,
          action,
          labels,
          runner: { id: 1, name: string },
        })
        const { status } = await post(payload)
        expect(status).toBe(202)
      }
    },
  )

  test.each<[string, string]>([
    ['deep arrays', `${'['.repeat(400_000)}${']'.repeat(400_000)}`],
    ['deep objects', `${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}`],
    ['deep labels', `{"workflow_job":{"labels":${'['.repeat(400_000)}${']'.repeat(400_000)}}}`],
    ['huge numbers', '{"action":"queued","workflow_job":{"id":1e400,"run_id":-1e400,"labels":["tornade"]}}'],
    ['a number of many digits', `{"workflow_job":{"id":${'9'.repeat(100_000)},"labels":["tornade"]}}`],
    [
      '__proto__ as a name',
      '{"__proto__":{"action":"queued"},"workflow_job":{"__proto__":{"labels":["tornade"]}}}',
    ],
    ['__proto__ as a list', '{"workflow_job":{"labels":{"__proto__":["tornade"]}}}'],
    ['constructor and toString', '{"constructor":1,"toString":2,"workflow_job":{"hasOwnProperty":3}}'],
  ])('%s: 400', async (_, body) => {
    expect(await post(body)).toMatchObject({ status: 400, outcome: 'rejected' })
    expect(({} as Record<string, unknown>).action).toBeUndefined()
  })

  test('a name that comes twice: the last one counts, as everywhere', async () => {
    const twice = text(queued()).replace(
      '"labels":["tornade"]',
      '"labels":["tornade"],"labels":["ubuntu-latest"]',
    )
    expect(await post(twice)).toMatchObject({ status: 202, outcome: 'ignored' })
  })

  test('a runner of a hostile name', async () => {
    for (const name of ['x'.repeat(BODY_LIMIT - 10_000), 'tornade-1-1-1\uffff', '\ufffe']) {
      const payload = workflowJobPayload({ ...FACTS, action: 'completed', runner: { id: 1, name } })
      expect(await post(payload)).toEqual({ status: 202, outcome: 'accepted' })
    }
  })

  test('a repository of a hostile name', async () => {
    for (const name of ['acme/a\uffff', '\ufffe/b', `acme/${'x'.repeat(500_000)}`, '__proto__/constructor'])
      expect((await post(queued({ repository: { ...ACME_APP, name } }))).status).toBeLessThan(500)
  })

  test.each<[string, readonly string[]]>([
    ['one label of nearly 1 MiB', ['tornade', 'x'.repeat(BODY_LIMIT - 300)]],
    ['one label of nearly 1 MiB, all escapes', ['tornade', '\u0001'.repeat((BODY_LIMIT - 300) / 6)]],
    ['100,000 labels', ['tornade', ...Array<string>(100_000).fill('x')]],
    ['300,000 empty labels', ['tornade', ...Array<string>(300_000).fill('')]],
  ])('%s: more than a message may carry is no failure', async (_, labels) => {
    const slim = {
      action: 'queued',
      workflow_job: { id: 1, run_id: 1, name: 'a', head_sha: 'b', labels },
      repository: { id: 1, full_name: 'a/b', owner: { id: 1 } },
    }
    const { status, reason } = await post(slim)
    expect(status).toBe(400)
    expect(reason).toMatch(/workflow_job\.labels: over \d+ (labels|characters)$/)
  })

  test('anything at all, signed or not: an answer that says what came of it, and never a failure', async () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)),
      fc.json().map(json => Buffer.from(json)),
      fc.record({ path: path(), value: value() }).map(({ path, value }) => {
        return Buffer.from(text(changed(queued(), path, value)))
      }),
      fc
        .array(fc.record({ path: path(), value: value() }), { maxLength: 8 })
        .map(changes =>
          Buffer.from(
            text(
              changes.reduce<unknown>(
                (payload, { path, value }) => changed(payload, path, value),
                workflowJobPayload({ ...FACTS, action: 'completed' }),
              ),
            ),
          ),
        ),
    )
    await fc.assert(
      fc.asyncProperty(anything, fc.boolean(), hostile, async (body, signed, event) => {
        const options = { ...(signed ? {} : { signature: event }), event: signed ? 'workflow_job' : event }
        const { status, outcome } = await post(body, options)
        expect(status).toBeLessThan(500)
        expect(outcome).toMatch(/^(accepted|ignored|rejected)$/)
        expect(outcome === 'rejected').toBe(status >= 400)
      }),
      { numRuns: 400 },
    )

    function path() {
      return fc.constantFrom(
        'action',
        'workflow_job',
        'installation',
        'deployment',
        'repository',
        'repository.full_name',
        'repository.owner.id',
        ...Object.keys(queued().workflow_job).map(name => `workflow_job.${name}`),
      )
    }
    function value() {
      const label = fc.oneof(hostile, fc.constant('tornade'))
      return fc.oneof(
        hostile,
        fc.array(label),
        fc.jsonValue(),
        fc.double(),
        fc.date({ noInvalidDate: true }).map(date => date.toISOString()),
        fc.constant(undefined),
      )
    }
  })

  test('what was accepted of it harms nobody further on', async () => {
    for (const [index, string] of STRINGS.entries()) {
      const job = {
        jobId: 100 + index,
        runId: 100 + index,
        name: string,
        workflow: string,
        headBranch: string,
      }
      await post(queued({ ...job, labels: ['tornade', string] }))
      await post(queued({ ...job, jobId: 200 + index, labels: [`tornade/run-${string}`] }))
    }
    await world.clock.run(NOW + 2 * HOUR)
    expect(world.backlog).toEqual({ waiting: 0, dead: 0 })
    expect(world.compute.live).toBe(0)
  })
})

// What the tests share

function sign(secret: string, body: string | Buffer): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
}

type Facts = Omit<Parameters<typeof workflowJobPayload>[0], 'action'>
type Payload = ReturnType<typeof workflowJobPayload>

interface Options {
  readonly method?: string
  readonly event?: string | undefined
  readonly contentType?: string | undefined
  /** Made with this secret, unless `signature` is given; null sends none. */
  readonly secret?: string
  readonly signature?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

async function create(options: Partial<WorldOptions> = {}): Promise<World> {
  const write = (...line: unknown[]): void => {
    written += `${JSON.stringify(line)}\n`
  }
  const log = { debug: write, info: write, warn: write, error: write }
  return World.create({ config: DEFAULT_CONFIG, start: NOW, secret: SECRET, log, ...options })
}

/** Posts as GitHub does, and waits for the answer. */
async function post(body: unknown, options: Options = {}) {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : text(body))
  const { method = 'POST', secret = SECRET, headers } = options
  const { signature = sign(secret, bytes) } = options
  const named = {
    'X-GitHub-Delivery': '3d2f1a00-5d0e-11f1-9a4b-0242ac120002',
    'X-GitHub-Event': 'event' in options ? options.event : 'workflow_job',
    'Content-Type': 'contentType' in options ? options.contentType : 'application/json',
    'X-Hub-Signature-256': signature ?? undefined,
    ...headers,
  }
  const answer = await request(method, named, bytes)
  expect(answer.headers['content-type']).toBe('application/json')
  const { outcome, reason, ...rest } = answer.body as { outcome: string; reason?: string }
  expect(rest).toEqual({})
  return { status: answer.status, outcome, ...(reason === undefined ? {} : { reason }) }
}

async function request(
  method: string,
  headers: Readonly<Record<string, string | undefined>>,
  body: Buffer,
  path = '/webhook',
) {
  const pending = world.request(method, path, headers, body)
  // Time must pass for the queue to answer; what comes of the delivery is not waited for.
  await world.clock.run(world.clock.now() + 10)
  const answer = await pending
  const answered = Buffer.from(answer.body).toString()
  written += answered
  return { ...answer, body: JSON.parse(answered) as unknown }
}

const FACTS = { jobId: 7, runId: 70, createdAt: NOW } as const

function queued(facts: Facts = {}): Payload {
  return workflowJobPayload({ ...FACTS, ...facts, action: 'queued' })
}

function text(payload: unknown): string {
  return JSON.stringify(payload) ?? 'undefined'
}

/** A copy with one field changed, or without it where `value` is undefined. */
function changed(payload: unknown, path: string, value: unknown): unknown {
  const copy = structuredClone(payload) as Record<string, unknown>
  const names = path.split('.')
  const last = names.pop()!
  let inner: unknown = copy
  for (const name of names) inner = (inner as Record<string, unknown> | null)?.[name]
  if (typeof inner !== 'object' || inner === null) return copy
  if (value === undefined) delete (inner as Record<string, unknown>)[last]
  else (inner as Record<string, unknown>)[last] = value
  return copy
}

async function expectNothingHappened(): Promise<void> {
  await world.clock.run(NOW + MINUTE)
  expect(await world.ledger.jobs.page({ limit: 10 })).toEqual({ items: [], next: null })
  expect(world.backlog).toEqual({ waiting: 0, dead: 0 })
}
