/** `tornade record` over HTTP, against a GitHub that holds every call against its own description. */
import { existsSync } from 'node:fs'
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deliveriesOf, month } from '../bench/month.ts'
import { recordCommand } from '../cli/record.ts'
import { readRecordings } from '../local/recordings.ts'
import { KEY, startServer } from './github/harness.ts'
import { T0 } from './support/facts.ts'
import type { GitHubServer } from './support/github-server.ts'

const FIRST_ID = 90_071_992_547_409_931n
const SENT = [...deliveriesOf(month({ jobs: 60, days: 1, seed: 5 }))]

let folder: string
let out: string
let server: GitHubServer
let clock: { time: number; now(): number }
let waits: number[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'record-'))
  out = join(folder, 'month.jsonl')
  waits = []
  const started = await startServer()
  server = started.server
  clock = started.clock
  // An attempt a minute, so that the last of them was just now.
  for (const [index, { guid, request }] of SENT.entries()) logged(index, guid, request)
})
afterEach(async () => {
  expect(server.problems).toEqual([])
  await server.close()
  await rm(folder, { recursive: true })
})

describe('what is written', () => {
  test('every delivery of a job once, the oldest first, as replay reads them', async () => {
    // An attempt that failed and was repeated, and a delivery of another event.
    logged(SENT.length, SENT[3]!.guid, SENT[3]!.request, 502)
    server.deliveries.unshift({ ...server.deliveries[0]!, id: '9', guid: 'ping', event: 'ping' })
    const { code, stderr } = await record('--out', out)
    expect({ code, stderr }).toEqual({ code: 0, stderr: `${SENT.length} deliveries written to ${out}\n` })
    const faults: unknown[] = []
    const recordings = readRecordings(await readFile(out), 'out', fault => faults.push(fault))
    expect(faults).toEqual([])
    expect(recordings.map(({ id }) => id)).toEqual(SENT.map(({ guid }) => guid))
    expect(recordings.map(({ at }) => at)).toEqual(SENT.map((_, index) => timeOf(index)))
    expect(recordings.map(({ body }) => JSON.parse(Buffer.from(body).toString()))).toEqual(
      SENT.map(({ request }) => request.payload),
    )
  })

  test('ids with every digit, and no signature or credential', async () => {
    await record('--out', out)
    const text = await readFile(out, 'utf8')
    const lines = text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines.map(({ id }) => id)).toEqual(SENT.map((_, index) => String(FIRST_ID + BigInt(index))))
    for (const secret of ['sha256=', 'sha1=', 'session=', 'Bearer']) expect(text).not.toContain(secret)
    expect(lines[0].request.headers).toMatchObject({ 'X-GitHub-Event': 'workflow_job' })
  })

  test('integers that no double holds stay what they are', async () => {
    server.deliveries.length = 0
    logged(0, 'big', { headers: {}, payload: { action: 'queued', enormous: FIRST_ID as unknown as number } })
    await record('--out', out)
    expect(await readFile(out, 'utf8')).toContain(`"enormous":${FIRST_ID}}`)
  })

  test('goes to stdout where no file is named', async () => {
    const { stdout } = await record('--since', '1h')
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line).guid),
    ).toEqual(SENT.slice(-61).map(({ guid }) => guid))
  })

  test('a page of the log after the other, and none beyond what is asked for', async () => {
    await record('--since', '30m', '--out', out)
    expect(server.calls.filter(({ operation }) => operation === 'apps/list-webhook-deliveries')).toHaveLength(
      1,
    )
    await record('--out', out)
    const pages = server.calls
      .filter(({ operation }) => operation === 'apps/list-webhook-deliveries')
      .slice(1)
    expect(pages.map(({ query }) => query.cursor ?? null)).toEqual([null, 'v1_100'])
  })
})

describe('a second run', () => {
  test('appends what is new and nothing else', async () => {
    const newest = server.deliveries.splice(0, 40)
    await record('--out', out)
    server.deliveries.unshift(...newest)
    const { stdout } = await record('--out', out, '--json')
    expect(JSON.parse(stdout)).toEqual({
      out,
      listed: SENT.length,
      deliveries: SENT.length,
      written: 40,
      known: SENT.length - 40,
      gone: 0,
    })
    expect(await guids()).toEqual(SENT.map(({ guid }) => guid))
  })

  test('goes on where the first was interrupted, in the middle of a line too', async () => {
    const failing = { status: 500, message: 'Server Error' }
    await record('--since', '1h', '--out', out)
    const whole = await readFile(out, 'utf8')
    await writeFile(out, whole.slice(0, -500))
    server.fail('apps/get-webhook-delivery', failing, 1000)
    const { code, stderr } = await record('--out', out)
    expect(code).toBe(2)
    expect(stderr).toContain('the same command goes on from there')
    await server.close()
    const restarted = await startServer()
    server = restarted.server
    clock = restarted.clock
    for (const [index, { guid, request }] of SENT.entries()) logged(index, guid, request)
    expect((await record('--out', out)).code).toBe(0)
    expect(new Set(await guids())).toEqual(new Set(SENT.map(({ guid }) => guid)))
    expect(await guids()).toHaveLength(SENT.length)
  })

  test('keeps a last line that only lacks its end, and leaves files of something else alone', async () => {
    await record('--since', '1h', '--out', out)
    const whole = await readFile(out, 'utf8')
    await writeFile(out, whole.trimEnd())
    await record('--since', '1h', '--out', out)
    expect(await readFile(out, 'utf8')).toBe(whole)
    const other = join(folder, 'notes.txt')
    await appendFile(other, 'buy milk\n')
    const { code, stderr } = await record('--out', other)
    expect({ code, text: await readFile(other, 'utf8') }).toEqual({ code: 2, text: 'buy milk\n' })
    expect(stderr).toContain('something else than JSON lines')
  })

  test.each([
    ['a note without an end of line', 'buy milk'],
    ['a number', '12345'],
    ['a pretty document', '{\n  "a": 1\n}'],
  ])('never cuts off what it did not write itself: %s', async (_, text) => {
    await writeFile(out, text)
    const { code, stderr } = await record('--out', out)
    expect({ code, text: await readFile(out, 'utf8') }).toEqual({ code: 2, text })
    expect(stderr).toContain('something else than JSON lines')
  })

  test('appends to a payload that has no guid and no end of line', async () => {
    const payload = JSON.stringify(SENT[0]!.request.payload)
    await writeFile(out, payload)
    await record('--since', '1m', '--out', out)
    expect((await readFile(out, 'utf8')).split('\n')[0]).toBe(payload)
  })

  test('stops where something else writes to the file at the same time', async () => {
    const limit = { status: 429, message: 'Too many', headers: { 'retry-after': '60' } }
    server.fail('apps/get-webhook-delivery', limit)
    const { code, stderr } = await record('--out', out, () => appendFile(out, '{"guid":"other"}\n'))
    expect({ code, text: await readFile(out, 'utf8') }).toEqual({ code: 2, text: '{"guid":"other"}\n' })
    expect(stderr).toContain('something else writes to it')
  })

  // Linux has a device that is always full.
  test.runIf(existsSync('/dev/full'))(
    'a full disk is told as such, and as nothing that is lost',
    async () => {
      const { code, stderr } = await record('--out', '/dev/full')
      expect(code).toBe(2)
      expect(stderr).toBe(
        '--out /dev/full cannot be written (ENOSPC). What was written is good: the same command goes on from there.',
      )
    },
  )

  test('says what GitHub does not keep any more', async () => {
    const [oldest] = server.deliveries.splice(-1)
    const { request: _, ...gone } = oldest!
    server.deliveries.push(gone)
    const { stderr } = await record('--out', out)
    expect(stderr).toBe(`${SENT.length - 1} deliveries written to ${out}, 1 are not kept any more\n`)
  })
})

describe('GitHub', () => {
  test('is waited for as long as it asks', async () => {
    const limit = {
      status: 403,
      message: 'You have exceeded a secondary rate limit.',
      headers: { 'retry-after': '37' },
    }
    server.fail('apps/list-webhook-deliveries', limit)
    server.fail('apps/get-webhook-delivery', {
      status: 429,
      message: 'Too many',
      headers: { 'retry-after': '90' },
    })
    const { code, stderr } = await record('--out', out)
    expect(code).toBe(0)
    expect(waits).toEqual([37_000, 90_000])
    expect(stderr).toContain('GitHub asks to wait for 37 s')
    expect(await guids()).toHaveLength(SENT.length)
  })

  test('is asked as the App, by a key in a file too, whose JWTs do not grow old', async () => {
    await writeFile(join(folder, 'app.pem'), KEY.privateKey)
    const listing = { status: 429, message: 'Too many', headers: { 'retry-after': '1800' } }
    server.fail('apps/list-webhook-deliveries', listing)
    expect((await record('--out', out, { TORNADE_APP_KEY: 'app.pem' })).code).toBe(0)
    expect(new Set(server.calls.map(({ as }) => as))).toEqual(new Set(['app']))
  })

  test.each([
    [{ TORNADE_APP_ID: undefined, TORNADE_APP_KEY: undefined }, [], 'TORNADE_APP_ID and TORNADE_APP_KEY'],
    [{ TORNADE_APP_KEY: 'no-such-file.pem' }, [], 'neither a private key in PEM nor the name of a file'],
    [{ TORNADE_APP_ID: '999' }, [], 'Check TORNADE_APP_ID, TORNADE_APP_KEY and --github.'],
    [{}, ['--since', '4d'], 'GitHub keeps 3 days'],
    [{}, ['--since', 'yesterday'], 'write 3d, 36h or 90m'],
    [{}, ['--github', 'http://github.acme.com/api/v3'], 'must be an https address'],
    [{}, ['--json'], '--json needs --out'],
    [{}, ['--out', '/no/such/folder/file'], '--out /no/such/folder/file cannot be written (ENOENT)'],
  ] as const)('%j %j is refused with what to do', async (env, options, message) => {
    const { code, stdout, stderr } = await record(...options, env)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('PRIVATE KEY')
    // Whoever is not the App was refused for it: that is what this test wants.
    if ('TORNADE_APP_ID' in env) server.problems.length = 0
  })
})

function logged(
  index: number,
  guid: string,
  request: { headers: Readonly<Record<string, string>>; payload: unknown },
  statusCode = 202,
): void {
  const { action } = request.payload as { action: string }
  const secrets = {
    'X-Hub-Signature': 'sha1=5f1',
    'x-hub-signature-256': 'sha256=5f2',
    Authorization: 'Bearer 5f3',
    Cookie: 'session=5f4',
  }
  server.deliveries.unshift({
    id: String(FIRST_ID + BigInt(index)),
    guid,
    deliveredAt: timeOf(index),
    statusCode,
    action,
    request: { headers: { ...request.headers, ...secrets }, payload: request.payload },
  })
}

function timeOf(index: number): number {
  return T0 - (SENT.length - 1 - index) * 60_000
}

async function guids(): Promise<string[]> {
  return (await readFile(out, 'utf8'))
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line).guid)
}

/** A function among what is given is called while GitHub is waited for. */
async function record(
  ...given: (string | Readonly<Record<string, string | undefined>> | (() => Promise<void>))[]
) {
  const options = given.filter(one => typeof one === 'string')
  const meanwhile = given.find(one => typeof one === 'function')
  const env = given.find(one => typeof one === 'object') ?? {}
  const output = { stdout: '', stderr: '' }
  const io = {
    stdout: (text: string) => {
      output.stdout += text
    },
    stderr: (text: string) => {
      output.stderr += text
    },
    stdin: async () => Buffer.alloc(0),
    cwd: folder,
    env: { TORNADE_APP_ID: '12345', TORNADE_APP_KEY: KEY.privateKey, ...env },
    interactive: false,
  }
  const wait = async (ms: number) => {
    waits.push(ms)
    clock.time += ms
    await meanwhile?.()
  }
  const address = options.includes('--github') ? [] : ['--github', server.url]
  try {
    return { code: await recordCommand([...options, ...address], io, { clock, wait }), ...output }
  } catch (error) {
    return { code: 2, ...output, stderr: output.stderr + (error as Error).message }
  }
}
