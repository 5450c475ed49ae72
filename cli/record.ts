/** `tornade record`: GitHub's own log of the App's deliveries, as JSON lines that `replay` and `whatif` read. */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pauseAskedFor, TornadeError } from '../functions/core/errors.ts'
import { clean } from '../functions/core/text.ts'
import { appAuth } from '../functions/github/app.ts'
import { type Client, createClient } from '../functions/github/client.ts'
import {
  type DeliveryPage,
  getDelivery,
  type LoggedDelivery,
  listDeliveries,
} from '../functions/github/deliveries.ts'
import { GitHubError } from '../functions/github/errors.ts'
import type { Clock } from '../functions/ports.ts'
import { SILENT } from '../local/log.ts'
import { EXIT, type Io } from './io.ts'

const HELP = `Usage: tornade record [OPTION…]

Writes GitHub's own log of the App's workflow_job deliveries as JSON lines,
oldest first, for tornade replay and tornade whatif. GitHub keeps 3 days; run
it every day or two with the same --out, and the file grows: only what is not
in it is fetched. It may be interrupted, and goes on where it stopped.

  --out FILE       append to this file (default: all to stdout)
  --since 3d       how far back, in d, h or m; 3d at most
  --github URL     REST API of a GitHub Enterprise Server:
                   https://HOST/api/v3 (default: https://api.github.com)
  --json           with --out: a summary as one JSON document on stdout

Environment: TORNADE_APP_ID, and TORNADE_APP_KEY, the private key of the
GitHub App or the name of the .pem file that holds it.

Each delivery is a call; GitHub's limits are waited for. What is written holds
what GitHub sent: names, branches and e-mail addresses of a private repository
are in it. Signatures are left out.

Exit code: 0 good; 2 GitHub or the file could not be read.
`

const DAY_MS = 86_400_000
const UNITS: Readonly<Record<string, number>> = { d: DAY_MS, h: 3_600_000, m: 60_000 }
const KEPT_MS = 3 * DAY_MS
const TIMEOUT_MS = 30_000
/** Calls under way at once; GitHub allows a hundred, and wants few. */
const AT_ONCE = 5
/** Of a call that failed for no limit. */
const TRIES = 4
/** GitHub takes a JWT for nine minutes. */
const JWT_MS = 5 * 60_000
const GOES_ON = 'What was written is good: the same command goes on from there.'

/** What a test replaces. */
export interface RecordWorld {
  readonly clock: Clock
  readonly wait: (ms: number) => Promise<unknown>
}

interface Summary {
  /** Attempts in GitHub's log of that time. */
  readonly listed: number
  /** Deliveries of workflow_job among them. */
  readonly deliveries: number
  readonly written: number
  /** In the file already. */
  readonly known: number
  /** Not kept any more when they were asked for. */
  readonly gone: number
}

export async function recordCommand(
  argv: readonly string[],
  io: Io,
  world: RecordWorld = { clock: { now: () => Date.now() }, wait: sleep },
): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      out: { type: 'string' },
      since: { type: 'string', default: '3d' },
      github: { type: 'string', default: 'https://api.github.com' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    io.stdout(HELP)
    return EXIT.good
  }
  if (values.json && values.out === undefined)
    throw new TornadeError('usage', '--json needs --out FILE: without it the deliveries go to stdout')
  const since = world.clock.now() - sinceOf(values.since)
  const log = await DeliveryLog.open(values.github, io, world)
  const target = values.out === undefined ? null : await Target.open(resolve(io.cwd, values.out), values.out)
  try {
    const write = async (lines: string) => (target ? target.append(lines) : io.stdout(lines))
    const summary = await record(log, since, target?.guids ?? new Set(), write, io)
    if (io.interactive) io.stderr('\r\u001b[K')
    if (values.json) io.stdout(`${JSON.stringify({ out: values.out, ...summary }, null, 2)}\n`)
    else io.stderr(describe(summary, values.out))
    return EXIT.good
  } finally {
    await target?.close()
  }
}

function sinceOf(text: string): number {
  const [, number, unit] = /^(\d{1,6})([dhm])$/.exec(text) ?? []
  const ms = Number(number) * (UNITS[unit ?? ''] ?? Number.NaN)
  if (!(ms > 0 && ms <= KEPT_MS))
    throw new TornadeError('usage', `--since ${clean(text)}: write 3d, 36h or 90m; GitHub keeps 3 days`)
  return ms
}

async function record(
  log: DeliveryLog,
  since: number,
  known: Set<string>,
  write: (lines: string) => Promise<void> | void,
  { interactive, stderr }: Io,
): Promise<Summary> {
  const listed = await log.since(since, count => {
    if (interactive) stderr(`\rlisting GitHub's log: ${count} attempts `)
  })
  // The oldest first: they are the next that GitHub forgets. Of the attempts at one delivery the first.
  const first = new Map<string, LoggedDelivery>()
  for (const delivery of listed.toReversed())
    if (delivery.event === 'workflow_job' && !first.has(delivery.guid)) first.set(delivery.guid, delivery)
  const missing = [...first.values()].filter(({ guid }) => !known.has(guid))
  let written = 0
  let gone = 0
  for (let at = 0; at < missing.length; at += AT_ONCE) {
    const lines = await Promise.all(missing.slice(at, at + AT_ONCE).map(delivery => log.line(delivery)))
    const found = lines.filter(line => line !== null)
    gone += lines.length - found.length
    // Whole lines: what is interrupted in the middle of one is cut off by the next run.
    if (found.length > 0) await write(found.join(''))
    written += found.length
    if (interactive) stderr(`\rfetching deliveries: ${at + lines.length} of ${missing.length} `)
  }
  return { listed: listed.length, deliveries: first.size, written, known: first.size - missing.length, gone }
}

/** GitHub's log, at the pace that it allows. */
class DeliveryLog {
  readonly #request: Client
  readonly #newJwt: () => Promise<string>
  readonly #io: Io
  readonly #world: RecordWorld
  #jwt: { readonly token: Promise<string>; readonly until: number } | null = null

  static async open(baseUrl: string, io: Io, world: RecordWorld): Promise<DeliveryLog> {
    const appId = io.env.TORNADE_APP_ID
    const key = io.env.TORNADE_APP_KEY
    if (!appId || !key)
      throw new TornadeError(
        'usage',
        `record asks GitHub as the App: set ${[appId ? '' : 'TORNADE_APP_ID', key ? '' : 'TORNADE_APP_KEY (the private key, or its file)'].filter(Boolean).join(' and ')}`,
      )
    const privateKey = key.includes('-----BEGIN') ? key : await keyFile(key, io)
    const { clock } = world
    const request = createClient({ baseUrl, timeoutMs: TIMEOUT_MS, clock, log: SILENT, onPace: () => {} })
    const auth = appAuth({ appId, privateKey }, clock, request)
    return new DeliveryLog(request, async () => (await auth({ type: 'app' })).token, io, world)
  }

  private constructor(request: Client, newJwt: () => Promise<string>, io: Io, world: RecordWorld) {
    this.#request = request
    this.#newJwt = newJwt
    this.#io = io
    this.#world = world
  }

  /** Newest first. */
  async since(time: number, onCount: (count: number) => void): Promise<LoggedDelivery[]> {
    const found: LoggedDelivery[] = []
    let cursor: string | null = null
    do {
      const at: string | null = cursor
      const { deliveries, next }: DeliveryPage = await this.#patiently(jwt =>
        listDeliveries(this.#request, jwt, at),
      )
      found.push(...deliveries.filter(({ deliveredAt }) => deliveredAt >= time))
      onCount(found.length)
      cursor = deliveries.some(({ deliveredAt }) => deliveredAt < time) ? null : next
    } while (cursor !== null)
    return found
  }

  /** One delivery as a line; null where GitHub does not keep it any more. */
  async line({ id, guid, event, deliveredAt }: LoggedDelivery): Promise<string | null> {
    const sent = await this.#patiently(jwt => getDelivery(this.#request, jwt, id))
    if (!sent) return null
    const delivered_at = new Date(deliveredAt).toISOString().replace(/\.000Z$/, 'Z')
    const request = { headers: harmless(sent.headers), payload: sent.payload }
    return `${JSON.stringify({ guid, id, event, delivered_at, request }, digits)}\n`
  }

  /** Waits as long as GitHub asks for, and a little where a call failed for another reason that may pass. */
  async #patiently<T>(call: (jwt: string) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await call(await this.#token())
      } catch (error) {
        const pause = pauseAskedFor(error)
        if (pause !== null) {
          this.#io.stderr(`${this.#io.interactive ? '\n' : ''}GitHub asks to wait for ${pause} s\n`)
          await this.#world.wait(pause * 1000)
          tries = 0
        } else if (mayPass(error) && tries < TRIES) await this.#world.wait(1000 * 2 ** tries)
        else throw explained(error)
      }
    }
  }

  #token(): Promise<string> {
    const now = this.#world.clock.now()
    if (!this.#jwt || this.#jwt.until <= now) this.#jwt = { token: this.#newJwt(), until: now + JWT_MS }
    return this.#jwt.token
  }
}

async function keyFile(path: string, { cwd }: Io): Promise<string> {
  try {
    return await readFile(resolve(cwd, path), 'utf8')
  } catch {
    // What stands there may be half of a key.
    throw new TornadeError(
      'usage',
      'TORNADE_APP_KEY is neither a private key in PEM nor the name of a file that can be read',
    )
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof GitHubError && (error.status === null || error.status >= 500)
}

function explained(error: unknown): unknown {
  if (!(error instanceof GitHubError)) return error
  const next =
    error.status === 401 || error.status === 404
      ? 'Check TORNADE_APP_ID, TORNADE_APP_KEY and --github.'
      : GOES_ON
  return new TornadeError(error.code, `${error.message.replace(/\.?$/, '.')} ${next}`)
}

/** They are made anew, and none of them is anybody's business. */
const SECRET = /^(x-hub-signature(-256)?|authorization|cookie)$/i

function harmless(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !SECRET.test(name)))
}

/** Integers that no double holds, digit by digit: https://tc39.es/proposal-json-parse-with-source/ */
function digits(_key: string, value: unknown): unknown {
  const { rawJSON } = JSON as typeof JSON & { rawJSON(text: string): unknown }
  return typeof value === 'bigint' ? rawJSON(String(value)) : value
}

/** A file of whole lines that only grows. */
class Target {
  readonly #file: FileHandle
  readonly #shown: string
  /** Bytes, as this command left them; null of what is no file, such as a pipe. */
  #size: number | null
  readonly guids: Set<string>

  static async open(path: string, shown: string): Promise<Target> {
    try {
      const file = await open(path, 'a+')
      const guids = await readGuids(file, shown)
      const stat = await file.stat()
      return new Target(file, shown, stat.isFile() ? stat.size : null, guids)
    } catch (error) {
      throw unwritable(error, shown)
    }
  }

  private constructor(file: FileHandle, shown: string, size: number | null, guids: Set<string>) {
    this.#file = file
    this.#shown = shown
    this.#size = size
    this.guids = guids
  }

  /** Of two that write to one file each would take the other's unfinished line for one that was interrupted. */
  async append(lines: string): Promise<void> {
    const shown = this.#shown
    if (this.#size !== null && (await this.#file.stat()).size !== this.#size)
      throw new TornadeError('usage', `--out ${shown}: something else writes to it; run one at a time`)
    try {
      await this.#file.appendFile(lines)
    } catch (error) {
      throw unwritable(error, shown, `. ${GOES_ON}`)
    }
    if (this.#size !== null) this.#size += Buffer.byteLength(lines)
  }

  async close(): Promise<void> {
    if (this.#size !== null) await this.#file.sync()
    await this.#file.close()
  }
}

function unwritable(error: unknown, shown: string, next = ''): TornadeError {
  if (error instanceof TornadeError) return error
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
  return new TornadeError('usage', `--out ${shown} cannot be written (${code})${next}`, [], { cause: error })
}

const NEWLINE = 0x0a

/** Which deliveries the file has. A last line of this command that was not written to its end is cut off. */
async function readGuids(file: FileHandle, shown: string): Promise<Set<string>> {
  const guids = new Set<string>()
  const { size } = await file.stat()
  let whole = 0
  let pending: Buffer[] = []
  if (size === 0) return guids
  for await (const chunk of file.createReadStream({ autoClose: false, start: 0, highWaterMark: 2 ** 20 })) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...pending, chunk.subarray(start, end)])
      pending = []
      start = end + 1
      whole += line.length + 1
      const guid = guidOf(line, shown)
      if (guid !== null) guids.add(guid)
    }
    if (start < chunk.length) pending.push(chunk.subarray(start))
  }
  if (whole === size) return guids
  const last = Buffer.concat(pending)
  if (isCutShort(last)) await file.truncate(whole)
  else {
    const guid = guidOf(last, shown)
    if (guid !== null) guids.add(guid)
    await file.appendFile('\n')
  }
  return guids
}

/** What this command writes has its guid at the front. */
const GUID = /^\{"guid":"([\w-]{1,100})"/
const START = '{"guid":"'

/** Whether it is the beginning of a line that this command wrote, and not all of it. */
function isCutShort(last: Buffer): boolean {
  const text = last.toString('utf8')
  return text.startsWith(START.slice(0, text.length)) && parsed(text) === undefined
}

function guidOf(line: Buffer, shown: string): string | null {
  const found = GUID.exec(line.subarray(0, 120).toString('latin1'))?.[1]
  if (found) return found
  const text = line.toString('utf8').trim()
  if (text === '') return null
  const value = text.startsWith('{') ? parsed(text) : undefined
  if (value === undefined)
    throw new TornadeError(
      'usage',
      `--out ${shown}: this file holds something else than JSON lines; name another`,
    )
  return typeof value.guid === 'string' ? value.guid : null
}

/** undefined: it is no JSON. */
function parsed(text: string): { readonly guid?: unknown } | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function describe({ deliveries, written, known, gone }: Summary, out: string | undefined): string {
  const parts = [`${written} deliveries written${out === undefined ? '' : ` to ${clean(out, 200)}`}`]
  if (known > 0) parts.push(`${known} of ${deliveries} were there`)
  if (gone > 0) parts.push(`${gone} are not kept any more`)
  return `${parts.join(', ')}\n`
}
