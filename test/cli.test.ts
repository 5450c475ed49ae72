/** The command line as people and scripts use it: its arguments, its exit code and its two streams. */
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { main } from '../cli/main.ts'
import { workflowJobPayload } from '../local/payloads.ts'
import type { ReplayReport } from '../local/replay.ts'
import { FILES } from './payloads/factory.ts'

const ROOT = join(import.meta.dirname, '..')
const NODE = join(ROOT, 'node_modules', '.bin', 'node')
const CLI = join(ROOT, 'cli', 'tornade.ts')
const PAYLOADS = join(import.meta.dirname, 'payloads')
const SECRET = 'a secret of the tests'

// Processes are slow to start where other tests run beside them.
vi.setConfig({ testTimeout: 30_000 })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-'))
  const files = {
    'broken.json': JSON.stringify(workflowJobPayload({ action: 'queued' }), null, 2).slice(0, 3000),
    'rejected.json': JSON.stringify({ action: 'queued', workflow_job: { labels: ['tornade'] } }),
    'many/b.json': FILES.get('one-label.json')!,
    'many/a.jsonl': FILES.get('re-run.jsonl')!,
    'many/deep/c.ndjson': FILES.get('forms/4-lines.jsonl')!,
    'many/notes.txt': 'not a delivery',
    'nothing/notes.txt': 'not a delivery',
    'packed.jsonl.gz': gzipSync(FILES.get('re-run.jsonl')!),
    'cut-short.jsonl.gz': gzipSync(FILES.get('re-run.jsonl')!).subarray(0, 300),
    'half/a.json': FILES.get('array-labels.json')!,
    'half/c.json': FILES.get('one-label.json')!,
    'faults/tornade.yml': 'region: nowhere\ncolour: red\nlimits: { cpu: -1, cpus: 4 }\n',
    'warned/tornade.yml': 'region: eu-north-1\nspend: { dailyUsd: 1000 }\n',
    'hostile.json': JSON.stringify(
      workflowJobPayload({
        action: 'queued',
        workflow: '\u001b[2Jworkflow',
        labels: ['tornade', '\u001b]0;title\u0007', '\u202egnp'],
      }),
    ),
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  await symlink(join(folder, 'gone.json'), join(folder, 'half', 'b.json'))
})
afterAll(() => rm(folder, { recursive: true }))

describe.concurrent('replay', () => {
  test('shows what became of the jobs in 80 columns, and is content', async () => {
    const files = ['matrix-of-20.jsonl', 'label-mistake.json', 're-run.jsonl', 'cancelled-before-start.jsonl']
    const { code, stdout, stderr } = await tornade(['replay', ...files.map(file => join(PAYLOADS, file))])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    expect(lines[0]).toBe('29 deliveries: 29 accepted, 0 ignored, 0 rejected (0 duplicates)')
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80)
    for (const text of ['completed', 'failure', 'cancelled', 'refused', 'acme/app', 'fargate spot'])
      expect(stdout).toContain(text)
    expect(lines.at(-1)).toMatch(/^cost \$\d+\.\d{4} \(start-up .+, idle .+\); GitHub-hosted \$\d+\.\d{4}$/)
  })

  test('--json: one document on stdout, and nothing else anywhere; - is standard input', async () => {
    const stdin = FILES.get('doubled.jsonl')!
    const { code, stdout, stderr } = await inShell(['replay', '-', '--json'], { stdin })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const report = JSON.parse(stdout) as ReplayReport
    expect(report).toMatchObject({ deliveries: 3, duplicates: 2, jobs: [{ outcome: 'completed' }] })
  })

  test('--json stays one document when there is something to say on stderr', async () => {
    const files = [join(folder, 'rejected.json'), join(PAYLOADS, 'one-label.json')]
    const { code, stdout, stderr } = await inShell(['replay', '--json', '--verbose', ...files], {
      cwd: join(folder, 'warned'),
    })
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ deliveries: 2, accepted: 1, rejected: 1 })
    expect(stderr).toContain('tornade.yml: spend counts nothing in eu-north-1')
    expect(stderr).toContain(`${files[0]}: rejected with 400: the payload is not as GitHub sends it: `)
    expect(stderr).toContain('info runner started')
  })

  test('what cannot be read is named, a line each, and the rest is replayed all the same: 2', async () => {
    const files = ['missing.json', 'broken.json', 'half', 'nothing', join(PAYLOADS, 'stolen-runner.jsonl')]
    const { code, stdout, stderr } = await tornade(['replay', '--json', ...files], { cwd: folder })
    expect(code).toBe(2)
    expect(stderr.trimEnd().split('\n')).toEqual([
      'missing.json: there is no such file',
      expect.stringMatching(/^broken\.json: not JSON \(.+\)$/),
      'half/b.json: there is no such file',
      'nothing: no .json or .jsonl file in this folder',
    ])
    const { jobs } = JSON.parse(stdout) as ReplayReport
    expect(jobs.map(({ outcome }) => outcome)).toEqual(Array(4).fill('completed'))
  })

  test('a recording that was packed with gzip is unpacked; one that was cut short is named', async () => {
    const { code, stdout, stderr } = await tornade(['replay', '--json', 'packed.jsonl.gz'], { cwd: folder })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ deliveries: 6, accepted: 6 })
    expect(await tornade(['replay', 'cut-short.jsonl.gz'], { cwd: folder })).toEqual({
      code: 2,
      stdout: '',
      stderr: 'cut-short.jsonl.gz: the gzip data is damaged, or ends too early\n',
    })
  })

  test('nothing that can be read at all: 2, and nothing on stdout', async () => {
    const { code, stdout, stderr } = await tornade(['replay', '--json', 'missing.json'], { cwd: folder })
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: 'missing.json: there is no such file\n',
    })
  })

  test('hostile text reaches no terminal', async () => {
    const { code, stdout, stderr } = await tornade(['replay', 'hostile.json'], { cwd: folder })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('refused')
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })
})

describe.concurrent('replay --to', () => {
  test('sends files and folders in order, byte for byte and signed, and tells what was answered', async () => {
    await using endpoint = await listen(() => [202, { outcome: 'accepted' }])
    const files = [join(PAYLOADS, 'array-labels.json'), join(PAYLOADS, 'doubled.jsonl'), 'many']
    const options = { env: { TORNADE_WEBHOOK_SECRET: SECRET } }
    const { code, stdout, stderr } = await tornade(
      ['replay', '--json', '--to', endpoint.url, ...files],
      options,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const jobs = endpoint.received.map(({ body }) => jobIdOf(body) - 45_000_000_000)
    expect(jobs).toEqual([
      101, // the first file
      ...[701, 701, 701], // the second
      ...[401, 401, 401, 402, 402, 402, 201, 1204, 1205, 1206], // the folder, its files by name
    ])
    for (const { method, path, headers, body } of endpoint.received) {
      expect([method, path]).toEqual(['POST', '/webhook'])
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'x-github-event': 'workflow_job',
        'x-hub-signature-256': `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`,
      })
      expect(headers).not.toHaveProperty('x-hub-signature')
    }
    const [first, ...doubled] = endpoint.received
    expect(first!.body.equals(Buffer.from(FILES.get('array-labels.json')!))).toBe(true)
    const ids = doubled.slice(0, 3).map(({ headers }) => headers['x-github-delivery'])
    expect(ids[0]).toBe(ids[1])
    expect(ids[0]).not.toBe(ids[2])
    expect(JSON.parse(stdout)).toEqual(
      endpoint.received.map(({ headers }) => ({
        id: headers['x-github-delivery'],
        status: 202,
        outcome: 'accepted',
      })),
    )
  })

  test('is not content when one was turned down, and says which and why', async () => {
    const reason = 'the signature does not match'
    await using endpoint = await listen(count =>
      count === 2 ? [401, { outcome: 'rejected', reason }] : [202, { outcome: 'ignored', reason: 'too old' }],
    )
    const file = join(PAYLOADS, 're-run.jsonl')
    const { code, stdout, stderr } = await tornade([
      'replay',
      file,
      '--to',
      endpoint.url,
      '--secret',
      'wrong',
    ])
    expect(code).toBe(1)
    expect(stderr).toBe(`${file}:2: 401: ${reason}\n`)
    expect(stdout.trimEnd().split('\n')).toHaveLength(6)
    expect(stdout.split('\n')[1]).toMatch(/^[0-9a-f-]{36} {2}401 {2}rejected$/)
    expect(stdout.split('\n')[2]).toMatch(/^[0-9a-f-]{36} {2}202 {2}ignored: too old$/)
  })

  test('answers that are not ours are shown as they are', async () => {
    await using endpoint = await listen(() => [502, '<html>\u001b[31mBad gateway</html>'])
    const file = join(PAYLOADS, 'one-label.json')
    const { code, stdout, stderr } = await tornade(['replay', file, '--to', endpoint.url, '--secret', SECRET])
    expect(code).toBe(1)
    expect(stderr).toBe(`${file}: 502\n`)
    expect(stdout).toMatch(/ {2}502 {2}unknown\n$/)
  })

  test('an endpoint that does not answer: 1, and a line that says so', async () => {
    const endpoint = await listen(() => [202, {}])
    await endpoint[Symbol.asyncDispose]()
    const file = join(PAYLOADS, 'one-label.json')
    const args = ['replay', file, '--json', '--to', endpoint.url, '--secret', SECRET]
    const { code, stdout, stderr } = await tornade(args)
    expect(code).toBe(1)
    expect(stderr).toBe(`${file}: no answer from ${new URL(endpoint.url).host} (ECONNREFUSED)\n`)
    expect(JSON.parse(stdout)).toEqual([{ id: expect.any(String), status: null, outcome: 'failed' }])
  })

  test.each<[string, string[], RegExp]>([
    ['no secret', ['--to', 'http://127.0.0.1:9'], /TORNADE_WEBHOOK_SECRET/],
    ['no http', ['--to', 'file:///etc/passwd', '--secret', SECRET], /not an http or https URL/],
    ['a password', ['--to', 'http://me:pass@127.0.0.1:9', '--secret', SECRET], /user name or password/],
  ])('%s: 2', async (_, options, message) => {
    const file = join(PAYLOADS, 'one-label.json')
    const { code, stdout, stderr } = await tornade(['replay', file, ...options])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).not.toContain('pass@')
  })
})

describe('start', () => {
  test('ends with npm, whose shell hands no signal on', async () => {
    const shell = spawn('sh', ['-c', `"${NODE}" "${CLI}" start --empty --port 0; :`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: folder,
      detached: true,
      env: { PATH: process.env.PATH, npm_lifecycle_event: 'start' },
    })
    onTestFinished(() => killGroup(shell.pid!))
    let said = ''
    for await (const text of shell.stdout.setEncoding('utf8')) {
      said += text
      if (said.includes('http://')) shell.kill('SIGTERM')
    }
    // Who held the other end of the pipe is gone.
    expect(said).toContain('http://')
  })
})

describe.concurrent('help and mistakes', () => {
  const HELP = ['', 'start', 'replay', 'explain', 'costs', 'record', 'whatif', 'soak']
  test('tornade --version', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect(await tornade(['--version'])).toMatchObject({
      code: 0,
      stdout: `tornade ${version}\n`,
      stderr: '',
    })
  })

  test.each(HELP)('tornade %s --help', async command => {
    const { code, stdout, stderr } = await tornade([command, '--help'].filter(Boolean))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Usage: tornade /)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })

  test.each<[string[], RegExp]>([
    [[], /^Usage: tornade COMMAND/],
    [['__proto__'], /there is no command "__proto__"/],
    [['replay', '--jsn', 'x'], /Unknown option '--jsn'; see --help/],
    [['replay'], /replay needs a FILE/],
  ])('%j: 2, on stderr', async (args, message) => {
    const { code, stdout, stderr } = await tornade(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('a tornade.yml with faults: 2, and all of them are listed', async () => {
    const file = join(PAYLOADS, 'one-label.json')
    const { code, stdout, stderr } = await inShell(['replay', file, '--json'], {
      cwd: join(folder, 'faults'),
    })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    const [first, ...faults] = stderr.trimEnd().split('\n')
    expect(first).toBe('tornade.yml has 4 faults:')
    const paths = faults.map(fault => fault.split(':')[0])
    expect(paths.sort()).toEqual(['  colour', '  limits.cpu', '  limits.cpus', '  region'])
  })
})

describe.concurrent('its streams', () => {
  // Linux has a device that is always full.
  test.runIf(existsSync('/dev/full'))(
    'an output that cannot be written is said, and no good end',
    async () => {
      const { code, stderr } = await inShell(['explain', 'tornade'], { into: '/dev/full' })
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: 'tornade: the output could not be written (ENOSPC)\n',
      })
    },
  )

  test('nobody who reads what it says on stderr: the answer is given all the same', async () => {
    const files = Array(400).fill('missing.json')
    const { code, stdout } = await inShell(['replay', '--json', 'many', ...files], { deaf: true })
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ deliveries: 10 })
  })
})

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Circumstances {
  readonly cwd?: string
  readonly stdin?: string
  readonly env?: Record<string, string>
  /** A file in the place of stdout. */
  readonly into?: string
  /** Nobody reads stderr. */
  readonly deaf?: boolean
}

/** Runs the command line. Whatever it does, nobody is shown a stack trace. */
async function tornade(args: readonly string[], options: Circumstances = {}): Promise<Ran> {
  const said = { stdout: '', stderr: '' }
  const code = await main(args, {
    stdout: text => {
      said.stdout += text
    },
    stderr: text => {
      said.stderr += text
    },
    stdin: async () => Buffer.from(options.stdin ?? ''),
    cwd: options.cwd ?? folder,
    env: options.env ?? {},
    interactive: false,
  })
  expect(said.stdout + said.stderr).not.toMatch(/^ {4}at /m)
  return { code, ...said }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // Nobody is left in it.
  }
}

/** The same in a process of its own. */
async function inShell(args: readonly string[], options: Circumstances = {}): Promise<Ran> {
  const into = options.into === undefined ? null : await open(options.into, 'w')
  const child = spawn(NODE, [CLI, ...args], {
    stdio: ['pipe', into?.fd ?? 'pipe', 'pipe'],
    cwd: options.cwd ?? folder,
    // The cache halves the time of a start, and changes nothing else: https://nodejs.org/api/module.html#module-compile-cache
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: join(folder, 'compiled'), ...options.env },
  })
  child.stdin!.end(options.stdin ?? '')
  if (options.deaf) child.stderr!.destroy()
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  await into?.close()
  expect(stdout + stderr).not.toMatch(/^ {4}at /m)
  return { code, stdout, stderr }
}

function jobIdOf(body: Buffer): number {
  return (JSON.parse(body.toString()) as { workflow_job: { id: number } }).workflow_job.id
}

interface Received {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** A webhook endpoint; `answer` is given how many requests there were so far. */
async function listen(answer: (count: number) => [number, unknown]) {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method, url: path, headers } = request
    received.push({ method, path, headers, body: Buffer.concat(chunks) })
    const [status, body] = answer(received.length)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  return { received, url: `http://127.0.0.1:${port}/webhook`, [Symbol.asyncDispose]: close }
}
