/** `tornade replay`: recorded deliveries through the local system, or to an endpoint. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { TornadeError } from '../functions/core/errors.ts'
import { clean } from '../functions/core/text.ts'
import { lineLog } from '../local/log.ts'
import { type Recording, readRecordings } from '../local/recordings.ts'
import { type ReplayReport, replay, signedHeaders } from '../local/replay.ts'
import { loadConfigFile } from './config-file.ts'
import { isGzip, RECORDING, unreadable } from './input.ts'
import { EXIT, type Io } from './io.ts'
import { wrapped } from './text.ts'

const HELP = `Usage: tornade replay FILE|DIR|- [OPTION…]

Runs recorded workflow_job deliveries through the whole system in stepped time:
nothing is called but this program, and a day takes seconds. A file holds a
payload, {headers, payload}, GitHub's delivery object, or JSON lines of these;
.gz is unpacked.

  --json           one JSON document on stdout
  --config FILE    tornade.yml to use (default: ./tornade.yml if there is one)
  --to URL         send the deliveries to this endpoint instead
  --secret S       webhook secret of that endpoint (default: the environment
                   variable TORNADE_WEBHOOK_SECRET)
  --verbose        log of the functions on stderr

Exit code: 0 good; 1 something was rejected or is still deferred; 2 an input
cannot be read (the others are replayed all the same).
`

const TIMEOUT_MS = 30_000
const LARGEST_BYTES = 400 * 2 ** 20

interface Sent {
  readonly id: string
  readonly status: number | null
  readonly outcome: string
}

export async function replayCommand(argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      config: { type: 'string' },
      to: { type: 'string' },
      secret: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    io.stdout(HELP)
    return EXIT.good
  }
  if (positionals.length === 0)
    throw new TornadeError(
      'usage',
      'replay needs a FILE, a DIR or - for standard input; see tornade replay --help',
    )
  const { config, warnings } = await loadConfigFile(values.config ?? null, io.cwd)
  for (const warning of warnings) io.stderr(`${warning}\n`)
  const { recordings, faults } = await readInputs(positionals, io)
  for (const fault of faults) io.stderr(`${fault.message}\n`)
  if (recordings.length === 0 && faults.length > 0) return EXIT.unusable
  const good =
    values.to === undefined
      ? await local(recordings, config, values, io)
      : await remote(recordings, values.to, values.secret ?? io.env.TORNADE_WEBHOOK_SECRET, values.json, io)
  return faults.length > 0 ? EXIT.unusable : good ? EXIT.good : EXIT.no
}

async function readInputs(
  paths: readonly string[],
  io: Io,
): Promise<{ recordings: Recording[]; faults: TornadeError[] }> {
  const recordings: Recording[] = []
  const faults: TornadeError[] = []
  for (const path of paths) {
    for (const { name, bytes } of await tryTo(path, () => filesOf(path, io), [])) {
      const content = await tryTo(name, async () => unpacked(await bytes(), name), null)
      if (!content) continue
      for (const one of readRecordings(content, name, fault => faults.push(fault))) recordings.push(one)
    }
  }
  return { recordings, faults }

  /** One that cannot be read is written down and keeps nobody from reading the others. */
  async function tryTo<T>(name: string, read: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await read()
    } catch (error) {
      faults.push(error instanceof TornadeError ? error : unreadable(name, error))
      return otherwise
    }
  }
}

interface Input {
  readonly name: string
  readonly bytes: () => Promise<Buffer>
}

async function filesOf(path: string, { cwd, stdin }: Io): Promise<Input[]> {
  if (path === '-') return [{ name: 'standard input', bytes: stdin }]
  const full = resolve(cwd, path)
  if (!(await stat(full)).isDirectory()) return [{ name: path, bytes: () => readFile(full) }]
  const entries = await readdir(full, { recursive: true, withFileTypes: true })
  const files = entries
    .filter(entry => (entry.isFile() || entry.isSymbolicLink()) && RECORDING.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
  if (files.length === 0)
    throw new TornadeError('input-unreadable', `${path}: no .json or .jsonl file in this folder`)
  return files.sort().map(file => ({ name: relative(cwd, file), bytes: () => readFile(file) }))
}

function unpacked(bytes: Buffer, name: string): Buffer {
  if (!isGzip(bytes)) return bytes
  try {
    return gunzipSync(bytes, { maxOutputLength: LARGEST_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error
    throw new TornadeError(
      'input-unreadable',
      `${name}: more than ${LARGEST_BYTES / 2 ** 20} MiB when it is unpacked: unpack it first`,
    )
  }
}

async function local(
  recordings: readonly Recording[],
  config: Parameters<typeof replay>[1]['config'],
  { json, verbose }: { readonly json: boolean; readonly verbose: boolean },
  io: Io,
): Promise<boolean> {
  let shown = ''
  const progress = (text: string) => {
    if (text !== shown) io.stderr(text)
    shown = text
  }
  const report = await replay(recordings, {
    config,
    secret: 'replay',
    log: lineLog(io.stderr, verbose ? 'info' : 'silent', () => null),
    onRejected: ({ source }, status, reason) => io.stderr(`${source}: rejected with ${status}: ${reason}\n`),
    ...(io.interactive
      ? {
          onProgress: ({ delivered, ended }) =>
            progress(`\r${delivered} of ${recordings.length} deliveries, ${ended} jobs ended `),
        }
      : {}),
  })
  if (io.interactive) io.stderr('\r\u001b[K')
  io.stdout(json ? `${JSON.stringify(report, null, 2)}\n` : describe(report))
  return report.rejected === 0 && !report.jobs.some(job => job.outcome === 'deferred')
}

async function remote(
  recordings: readonly Recording[],
  to: string,
  secret: string | undefined,
  json: boolean,
  io: Io,
): Promise<boolean> {
  if (!secret)
    throw new TornadeError(
      'usage',
      '--to needs the webhook secret: give --secret or set TORNADE_WEBHOOK_SECRET',
    )
  if (!URL.canParse(to) || !/^https?:$/.test(new URL(to).protocol))
    throw new TornadeError('usage', `--to ${clean(to)}: not an http or https URL`)
  const { host, username, password } = new URL(to)
  if (username || password) throw new TornadeError('usage', `--to ${host}: leave user name or password out`)
  const sent: Sent[] = []
  for (const recording of recordings) {
    const { reason, ...one } = await send(recording, to, secret, io)
    sent.push(one)
    const why = one.outcome === 'ignored' && reason !== '' ? `: ${reason}` : ''
    if (!json) io.stdout(`${clean(one.id)}  ${one.status ?? '---'}  ${one.outcome}${why}\n`)
  }
  if (json) io.stdout(`${JSON.stringify(sent, null, 2)}\n`)
  return sent.every(({ status }) => status !== null && status < 400)
}

async function send(
  recording: Recording,
  to: string,
  secret: string,
  io: Io,
): Promise<Sent & { readonly reason: string }> {
  try {
    const answer = await fetch(to, {
      method: 'POST',
      headers: await signedHeaders(recording, secret),
      body: Buffer.from(recording.body),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const body = (await answer.json().catch(() => null)) as { outcome?: unknown; reason?: unknown } | null
    const reason = clean(String(body?.reason ?? ''), 300)
    if (answer.status >= 400)
      io.stderr(`${[recording.source, answer.status, reason].filter(Boolean).join(': ')}\n`)
    const outcome = clean(String(body?.outcome ?? 'unknown'))
    return { id: recording.id, status: answer.status, outcome, reason }
  } catch (error) {
    io.stderr(`${recording.source}: ${whyNot(error, new URL(to).host)}\n`)
    return { id: recording.id, status: null, outcome: 'failed', reason: '' }
  }
}

/** fetch has the reason in `cause`; without a code of the system the request itself was no good. */
function whyNot(error: unknown, host: string): string {
  const { name, message, cause } = error as Error & { cause?: NodeJS.ErrnoException }
  if (name === 'TimeoutError') return `no answer from ${host} within ${TIMEOUT_MS / 1000} s`
  return cause?.code
    ? `no answer from ${host} (${cause.code})`
    : `not sent: ${clean(cause?.message ?? message)}`
}

/** A table of at most 80 columns. */
function describe({
  deliveries,
  accepted,
  ignored,
  rejected,
  duplicates,
  jobs,
  totals,
}: ReplayReport): string {
  const lines = [
    `${deliveries} deliveries: ${accepted} accepted, ${ignored} ignored, ${rejected} rejected (${duplicates} duplicates)`,
  ]
  if (jobs.length > 0)
    lines.push('', row(['job', 'repository', 'outcome', 'runner', 'queued', 'ran', 'cost $', 'GitHub $']))
  const shown = jobs.slice(0, 40)
  for (const job of shown) {
    lines.push(
      row([
        String(job.jobId),
        job.repository,
        (job.outcome === 'completed' && job.conclusion !== 'success' && job.conclusion) ||
          String(job.outcome),
        job.runner ? `${job.runner.compute} ${job.runner.capacity === 'spot' ? 'spot' : ''}`.trim() : '-',
        seconds(job.queueSeconds),
        seconds(job.runSeconds),
        money(job.costUsd),
        money(job.githubHostedUsd),
      ]),
    )
    const since = job.deferred?.since?.slice(0, 19).replace('T', ' ')
    const waits = since ? ` (${job.deferred!.reason} since ${since} UTC)` : ''
    if (job.reason) lines.push(wrapped(clean(`${job.reason}${waits}`, 400), 2).trimEnd())
  }
  if (jobs.length > shown.length)
    lines.push(`… and ${jobs.length - shown.length} more jobs (--json has them all)`)
  const saved = `GitHub-hosted $${money(totals.githubHostedUsd)}`
  lines.push(
    '',
    `cost $${money(totals.costUsd)} (start-up $${money(totals.startupUsd)}, idle $${money(totals.idleUsd)}); ${saved}`,
    '',
  )
  return lines.join('\n')
}

const WIDTHS = [12, 14, 9, 12, 6, 5, 7, 8] as const

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) =>
      index < 4 ? clean(cell, WIDTHS[index]!).padEnd(WIDTHS[index]!) : cell.padStart(WIDTHS[index]!),
    )
    .join(' ')
    .trimEnd()
}

function seconds(value: number | null): string {
  return value === null ? '-' : value >= 10_000 ? `${Math.round(value / 60)}m` : `${Math.round(value)}s`
}

function money(value: number | null): string {
  return value === null ? '-' : value.toFixed(4)
}
