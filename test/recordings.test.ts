import { verify } from '@octokit/webhooks-methods'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { TornadeError } from '../functions/core/errors.ts'
import { workflowJobPayload } from '../local/payloads.ts'
import { type Recording, readRecordings, scriptsOf } from '../local/recordings.ts'
import { signedHeaders } from '../local/replay.ts'

// Some look at thousands of cases, beside whatever else this machine does.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

const QUEUED = workflowJobPayload({ action: 'queued', jobId: 7, createdAt: Date.UTC(2026, 5, 1, 9) })
const TEXT = JSON.stringify(QUEUED)
const GUID = '3d2f1a00-5d0e-11f1-9a4b-0242ac120002'
const SECRET = 'a secret of the tests'

describe('a bare payload', () => {
  test('shows its event, and its job; the id is made from where it was read', () => {
    expect(one(TEXT)).toMatchObject({
      source: 'day.json',
      id: 'local-day.json',
      hasId: false,
      event: 'workflow_job',
      headers: {},
      at: Date.UTC(2026, 5, 1, 9),
      job: { key: '7-1', action: 'queued', status: 'queued', conclusion: null, ranOn: false },
      run: {},
    })
  })

  test('keeps its bytes, however it was printed, and the signature is over these bytes', async () => {
    for (const text of [
      TEXT,
      JSON.stringify(QUEUED, null, 2),
      `\n${JSON.stringify(QUEUED, null, '\t')}\r\n\n`,
    ]) {
      const recording = one(text)
      expect(Buffer.from(recording.body).equals(Buffer.from(text))).toBe(true)
      const { 'x-hub-signature-256': signature } = await signedHeaders(recording, SECRET)
      expect(await verify(SECRET, text, signature!)).toBe(true)
    }
  })

  test('keeps what a parser would change: numbers, escapes, names that come twice', () => {
    const text = '{"action":"queued", "n": 1.0e2, "s": "\\u00e9\\/", "twice": 1, "twice": 2}'
    expect(textOf(one(text))).toBe(text)
  })

  test.each([
    ['workflow_job', { workflow_job: {} }],
    ['workflow_run', { workflow_run: {}, workflow: {} }],
    ['check_run', { check_run: {} }],
    ['pull_request', { pull_request: {}, number: 1 }],
    ['ping', { zen: 'Design for failure.', hook_id: 1 }],
    ['unknown', { ref: 'refs/heads/main' }],
  ])('is of the event %s when it says so', (event, payload) => {
    expect(one(JSON.stringify(payload)).event).toBe(event)
  })
})

describe('{headers, payload}', () => {
  const wrapped = (headers: Record<string, unknown>, payload: unknown = QUEUED) =>
    one(JSON.stringify({ headers, payload }))

  test('has event and id from its headers, whatever their case', () => {
    const { event, id, hasId } = wrapped({ 'X-GitHub-Event': 'check_run', 'x-GITHUB-delivery': GUID })
    expect({ event, id, hasId }).toEqual({ event: 'check_run', id: GUID, hasId: true })
  })

  test('without the header shows its event as a bare payload does', () => {
    expect(wrapped({}).event).toBe('workflow_job')
  })

  test('keeps headers but those of the connection and the signatures', () => {
    const { headers } = wrapped({
      'User-Agent': 'GitHub-Hookshot/7f3a2c1',
      'Content-Type': 'application/json',
      'X-Hub-Signature': 'sha1=00',
      'X-Hub-Signature-256': 'sha256=00',
      'Content-Length': '12',
      'Content-Encoding': 'gzip',
      'Transfer-Encoding': 'chunked',
      Connection: 'keep-alive',
      'Keep-Alive': 'timeout=5',
      Expect: '100-continue',
      Upgrade: 'h2c',
      Host: 'tornade.example',
    })
    expect(headers).toEqual({ 'user-agent': 'GitHub-Hookshot/7f3a2c1', 'content-type': 'application/json' })
  })

  test('is signed anew', async () => {
    const recording = wrapped({ 'X-Hub-Signature-256': `sha256=${'0'.repeat(64)}` })
    const headers = await signedHeaders(recording, SECRET)
    expect(await verify(SECRET, TEXT, headers['x-hub-signature-256']!)).toBe(true)
  })

  test('keeps the bytes of a payload that is text', () => {
    const text = JSON.stringify(QUEUED, null, 3)
    const recording = wrapped({ 'X-GitHub-Event': 'workflow_job' }, text)
    expect(textOf(recording)).toBe(text)
    expect(recording.job?.key).toBe('7-1')
  })

  test('may hold anything: whether that is a delivery is for the webhook to say', () => {
    for (const payload of [null, 5, [], 'not JSON', '', { action: 'queued', workflow_job: 'no' }])
      expect(wrapped({}, payload).job).toBeNull()
  })
})

describe("GitHub's delivery object", () => {
  const delivery = {
    id: 12345678901,
    guid: GUID,
    delivered_at: '2026-06-01T09:00:07Z',
    event: 'workflow_job',
    request: {
      headers: { 'X-GitHub-Delivery': 'another', 'X-GitHub-Event': 'another' },
      payload: QUEUED,
    },
    response: { headers: {}, payload: 'OK' },
  }

  test('says itself which delivery it is, of which event, and when it came', () => {
    expect(one(JSON.stringify(delivery))).toMatchObject({
      id: GUID,
      hasId: true,
      event: 'workflow_job',
      at: Date.UTC(2026, 5, 1, 9, 0, 7),
      job: { key: '7-1' },
    })
  })
})

describe('several in one file', () => {
  const [first, second] = [TEXT, JSON.stringify({ headers: { 'X-GitHub-Delivery': GUID }, payload: QUEUED })]

  test.each<[string, string]>([
    ['lines', `${first}\n${second}\n`],
    ['lines without an end', `${first}\n${second}`],
    ['lines of Windows', `${first}\r\n${second}\r\n`],
    ['lines with empty ones between', `\n${first}\n\n  \n${second}\n\n`],
    ['an array', `[${first},\n${second}]`],
  ])('%s', (_, text) => {
    const recordings = read(text)
    expect(recordings.map(({ hasId, job }) => [hasId, job?.key])).toEqual([
      [false, '7-1'],
      [true, '7-1'],
    ])
    for (const { body } of recordings) expect(JSON.parse(Buffer.from(body).toString())).toEqual(QUEUED)
  })

  test('each is named by its place', () => {
    expect(read(`${first}\n\n${second}`).map(({ source }) => source)).toEqual(['day.json:1', 'day.json:3'])
    expect(read(`[${first},${second}]`).map(({ source }) => source)).toEqual(['day.json[0]', 'day.json[1]'])
  })

  test('made ids differ', () => {
    const ids = read(`${first}\n${first}\n${first}`).map(({ id }) => id)
    expect(new Set(ids).size).toBe(3)
  })

  test('a line keeps its bytes', () => {
    const odd = '{"action": "queued",  "n": 1.0}'
    expect(read(`${odd}\n${first}`).map(textOf)).toEqual([odd, first])
  })

  test('an empty array holds nothing, and that is no fault', () => {
    expect(read('[]')).toEqual([])
  })

  test('as many as there are', () => {
    expect(read('{"zen":""}\n'.repeat(200_000))).toHaveLength(200_000)
  })
})

describe('a byte order mark', () => {
  test('in front of a file is not part of the delivery', () => {
    expect(textOf(one(`\ufeff${TEXT}`))).toBe(TEXT)
    expect(read(`\ufeff${TEXT}\n${TEXT}`).map(textOf)).toEqual([TEXT, TEXT])
  })
})

describe('what cannot be read', () => {
  test('is named by its line, and the others are read', () => {
    const { recordings, faults } = attempt(`{"action":\n${TEXT}\nnonsense\n\n${TEXT}\n${TEXT.slice(0, 500)}`)
    expect(recordings.map(({ source }) => source)).toEqual(['day.json:2', 'day.json:5'])
    expect(faults.map(fault => fault.split(': ')[0])).toEqual(['day.json:1', 'day.json:3', 'day.json:6'])
    for (const fault of faults) expect(fault).toMatch(/: not JSON \(.+\)$/)
  })

  test.each<[string, string | Buffer]>([
    ['empty', ''],
    ['white space', ' \n\r\n\t'],
    ['text', 'Hello,\nworld'],
    ['binary', Buffer.from([0x1f, 0x8b, 8, 0, 0xff, 0x0a, 0xfe, 0x0a, 0])],
    ['UTF-16', Buffer.from(TEXT, 'utf16le')],
    ['a payload that was cut off', JSON.stringify(QUEUED, null, 2).slice(0, -1000)],
    [
      'a payload that was cut off, its lists on one line',
      '{\n  "a": [\n    { "b": 1 },\n    { "b": 2 }\n  ],\n',
    ],
    ['a payload with a word too much', JSON.stringify(QUEUED, null, 2).replace('{', '{ oops,')],
  ])('as a whole (%s) is one fault that names the file', (_, content) => {
    const { recordings, faults } = attempt(content)
    expect(recordings).toEqual([])
    expect(faults).toEqual([expect.stringMatching(/^day\.json: not JSON \(.+\)$/)])
  })

  test.each(['5', 'null', 'true', '"text"'])('%s is no delivery', text => {
    const { recordings, faults } = attempt(text)
    expect(recordings).toEqual([])
    expect(faults).toEqual(['day.json: a delivery is a JSON object'])
  })

  test('elements of an array that are no deliveries are named by their place', () => {
    const { recordings, faults } = attempt(`[1, ${TEXT}, [${TEXT}], "x"]`)
    expect(recordings.map(({ source }) => source)).toEqual(['day.json[1]'])
    expect(faults.map(fault => fault.split(': ')[0])).toEqual(['day.json[0]', 'day.json[2]', 'day.json[3]'])
  })

  test('reaches no terminal with more than one line of plain text', () => {
    for (const text of [
      '\u001b[2J\u001b]0;title\u0007',
      `{"a":1}\n\u009b31m\u202e`,
      `{"\u0000\r\n": \u001b`,
    ]) {
      for (const fault of attempt(text).faults) expect(fault).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,200}$/u)
    }
  })

  test('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const { recordings, faults } = attempt(Buffer.from(bytes))
        expect(recordings.length + faults.length).toBeGreaterThan(0)
      }),
    )
    fc.assert(fc.property(fc.jsonValue(), value => void attempt(JSON.stringify(value))))
    const loose = fc.record(
      {
        guid: fc.jsonValue(),
        event: fc.jsonValue(),
        delivered_at: fc.jsonValue(),
        run: fc.jsonValue(),
        headers: fc.jsonValue(),
        payload: fc.jsonValue(),
        request: fc.record({ headers: fc.jsonValue(), payload: fc.jsonValue() }, { requiredKeys: [] }),
        action: fc.jsonValue(),
        workflow_job: fc.record(
          {
            id: fc.jsonValue(),
            run_attempt: fc.jsonValue(),
            status: fc.jsonValue(),
            conclusion: fc.jsonValue(),
            started_at: fc.jsonValue(),
            completed_at: fc.jsonValue(),
            runner_id: fc.jsonValue(),
            runner_name: fc.jsonValue(),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(loose, value => {
        const recordings = read(JSON.stringify(value))
        expect(recordings).toHaveLength(1)
        scriptsOf(recordings)
      }),
    )
  })
})

describe('when a delivery came', () => {
  const at = (outer: object, job: object = {}) =>
    one(JSON.stringify({ ...outer, headers: {}, payload: { action: 'queued', workflow_job: job } })).at
  const [delivered, created, started] = [
    '2026-06-01T09:00:05Z',
    '2026-06-01T09:00:01Z',
    '2026-06-01T09:00:03Z',
  ]

  test('delivered_at, else created_at, else started_at of its job', () => {
    const job = { created_at: created, started_at: started }
    expect(at({ delivered_at: delivered }, job)).toBe(Date.parse(delivered))
    expect(at({}, job)).toBe(Date.parse(created))
    expect(at({}, { started_at: started })).toBe(Date.parse(started))
    expect(at({ delivered_at: 'yesterday' }, { created_at: 5, started_at: started })).toBe(
      Date.parse(started),
    )
  })

  test('is unknown where nothing says so', () => {
    expect(at({})).toBeNull()
    expect(at({ delivered_at: null }, { created_at: '', started_at: 'soon' })).toBeNull()
  })

  test('is no time before 1970 or after 9999: those stand for "none", or are mistakes', () => {
    for (const time of ['0001-01-01T00:00:00Z', '+012026-06-01T09:00:00Z', '-000001-01-01T00:00:00Z'])
      expect(at({ delivered_at: time }, { created_at: created })).toBe(Date.parse(created))
  })
})

describe('what is known of the run', () => {
  const run = (value: unknown) => one(JSON.stringify({ headers: {}, payload: QUEUED, run: value })).run

  test('is nothing, unless the record has it', () => {
    for (const value of [undefined, null, 5, [], {}]) expect(run(value)).toEqual({})
  })

  test('is its event and its head repository; null is one that is gone', () => {
    expect(run({ event: 'pull_request', head_repository: { id: 99, full_name: 'robin/app' } })).toEqual({
      event: 'pull_request',
      headRepositoryId: 99,
    })
    expect(run({ event: 'push', head_repository: null })).toEqual({ event: 'push', headRepositoryId: null })
    expect(run({ event: 7, head_repository: { id: '99' } })).toEqual({})
  })
})

describe('what scripts the double', () => {
  const START = Date.UTC(2026, 5, 1, 9)
  const scripts = (...facts: Parameters<typeof workflowJobPayload>[0][]) =>
    Object.fromEntries(scriptsOf(facts.map(fact => one(JSON.stringify(workflowJobPayload(fact))))))
  const end = {
    action: 'completed',
    jobId: 7,
    startedAt: START,
    completedAt: START + 90_000,
    conclusion: 'failure',
  } as const

  test('a job that ran: how long, and how it ended', () => {
    expect(scripts(end)).toEqual({ '7-1': { durationMs: 90_000, conclusion: 'failure' } })
    expect(scripts({ ...end, conclusion: 'cancelled' })).toEqual({
      '7-1': { durationMs: 90_000, conclusion: 'cancelled' },
    })
  })

  test('a job that was cancelled before it ran: when', () => {
    expect(scripts({ ...end, conclusion: 'cancelled', runner: null })).toEqual({
      '7-1': { cancelAt: START + 90_000 },
    })
  })

  test('a job that nobody ran says nothing of what tornade would have done', () => {
    expect(scripts({ ...end, runner: null })).toEqual({ '7-1': {} })
  })

  test('attempts are told apart; what is not completed says nothing', () => {
    expect(Object.keys(scripts(end, { ...end, attempt: 2 }))).toEqual(['7-1', '7-2'])
    expect(scripts({ action: 'queued' }, { action: 'in_progress' })).toEqual({})
  })

  test('clocks that ran backwards make no negative length', () => {
    expect(scripts({ ...end, completedAt: START - 1_000 })['7-1']).toMatchObject({ durationMs: 0 })
  })
})

function attempt(content: string | Buffer): { recordings: Recording[]; faults: string[] } {
  const faults: string[] = []
  const onFault = (fault: TornadeError) => {
    expect(fault.code).toBe('input-unreadable')
    faults.push(fault.message)
  }
  const recordings = readRecordings(Buffer.from(content as string), 'day.json', onFault)
  return { recordings, faults }
}

function read(content: string): Recording[] {
  const { recordings, faults } = attempt(content)
  expect(faults).toEqual([])
  return recordings
}

function one(content: string): Recording {
  const recordings = read(content)
  expect(recordings).toHaveLength(1)
  return recordings[0]!
}

function textOf({ body }: Recording): string {
  return Buffer.from(body).toString()
}
