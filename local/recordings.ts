/**
 * Recorded deliveries in the forms in which people have them: a bare payload, {headers, payload}, GitHub's own
 * delivery object, an array or JSON lines of any of these. The bytes of a body are kept where the recording has them,
 * because a signature is over bytes.
 */
import { jobKey } from '../functions/core/delivery.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { clean } from '../functions/core/text.ts'
import type { JobScript, RunFacts } from './github.ts'
import { CONCLUSIONS, type Conclusion } from './payloads.ts'

export interface Recording {
  /** Where it was read, for messages: file, or file:line. */
  readonly source: string
  /** X-GitHub-Delivery, or one made from the source where the recording has none. */
  readonly id: string
  readonly hasId: boolean
  readonly event: string
  /** Names in lower case, without those that are made anew. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** When it was delivered, milliseconds since 1970; null when the recording does not say. */
  readonly at: number | null
  readonly job: RecordedJob | null
  /** What the payload does not say of the run. */
  readonly run: RunFacts
}

export interface RecordedJob {
  readonly key: string
  readonly action: string
  readonly status: string
  readonly conclusion: string | null
  readonly startedAt: number | null
  readonly completedAt: number | null
  readonly ranOn: boolean
}

/** Headers that belong to the connection it came by, or are made anew. */
const NOT_KEPT = new Set([
  'x-hub-signature',
  'x-hub-signature-256',
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/**
 * Reads all deliveries of one file.
 * @param onFault called with a line for each part that cannot be read; the others are returned
 */
export function readRecordings(
  file: Buffer,
  source: string,
  onFault: (fault: TornadeError) => void,
): Recording[] {
  const marked = file.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
  const bytes = marked ? file.subarray(BYTE_ORDER_MARK.length) : file
  const whole = parse(bytes)
  if (whole.ok) {
    if (!Array.isArray(whole.value)) return read(whole.value, bytes, source, onFault)
    return whole.value.flatMap((value, index) => read(value, null, `${source}[${index}]`, onFault))
  }
  const lines = splitLines(bytes)
  const parsed = lines.map(line => ({ ...line, json: parse(line.bytes) }))
  // In a broken document of many lines some are JSON by themselves, but these are indented, or no objects.
  if (!parsed.some(({ bytes: line, json }) => json.ok && line[0] === OPENING_BRACE)) {
    onFault(new TornadeError('input-unreadable', `${source}: not JSON (${whole.error})`))
    return []
  }
  return parsed.flatMap(({ bytes: line, number, json }) => {
    if (json.ok) return read(json.value, line, `${source}:${number}`, onFault)
    onFault(new TornadeError('input-unreadable', `${source}:${number}: not JSON (${json.error})`))
    return []
  })
}

/** What the in_progress and completed deliveries of a recording say of each job, by `<job id>-<run attempt>`. */
export function scriptsOf(recordings: readonly Recording[]): Map<string, JobScript> {
  const scripts = new Map<string, JobScript>()
  for (const { job } of recordings) {
    if (job?.action === 'completed') scripts.set(job.key, { ...scripts.get(job.key), ...scriptOf(job) })
  }
  return scripts
}

/** What a `completed` delivery says of how its job went. */
export function scriptOf({ ranOn, startedAt, completedAt, conclusion: recorded }: RecordedJob): JobScript {
  const conclusion = CONCLUSIONS.find(one => one === recorded) satisfies Conclusion | undefined
  const end = completedAt === null ? {} : { cancelAt: completedAt }
  if (!ranOn) return conclusion === 'cancelled' ? end : {}
  const duration =
    startedAt === null || completedAt === null ? {} : { durationMs: Math.max(0, completedAt - startedAt) }
  return { ...duration, ...(conclusion ? { conclusion } : {}) }
}

function read(
  value: unknown,
  bytes: Uint8Array | null,
  source: string,
  onFault: (fault: TornadeError) => void,
): Recording[] {
  const outer = asObject(value)
  if (!outer) {
    onFault(new TornadeError('input-unreadable', `${source}: a delivery is a JSON object`))
    return []
  }
  const { request, wrapped, payload } = unwrapped(outer)
  const headers = wrapped ? textHeaders(request.headers) : {}
  const body = wrapped ? bodyOf(payload) : (bytes ?? bodyOf(payload))
  const recordedId = asText(outer.guid) ?? headers['x-github-delivery']
  const { json: _, ...contents } = contentsOf(outer, headers)
  return [
    {
      source,
      id: recordedId ?? `local-${source}`,
      hasId: recordedId !== undefined,
      headers,
      body,
      ...contents,
    },
  ]
}

function unwrapped(outer: Record<string, unknown>) {
  const request = asObject(outer.request) ?? outer
  const wrapped = asObject(request.headers) !== null && 'payload' in request
  return { request, wrapped, payload: wrapped ? request.payload : outer }
}

/** What a delivery tells, without its bytes. */
export interface RecordedContents extends Pick<Recording, 'event' | 'at' | 'job' | 'run'> {
  /** The parsed payload; null where it is none. */
  readonly json: Readonly<Record<string, unknown>> | null
}

/** Reads one delivery in any of the forms, for who needs neither its bytes nor its headers; null for what is none. */
export function readContents(value: unknown): RecordedContents | null {
  const outer = asObject(value)
  return outer && contentsOf(outer)
}

function contentsOf(
  outer: Record<string, unknown>,
  known?: Readonly<Record<string, string>>,
): RecordedContents {
  const { request, wrapped, payload } = unwrapped(outer)
  const json = typeof payload === 'string' ? asObject(parseText(payload)) : asObject(payload)
  const headers = () => known ?? (wrapped ? textHeaders(request.headers) : {})
  return {
    json,
    event: asText(outer.event) ?? headers()['x-github-event'] ?? inferEvent(json),
    at:
      time(outer.delivered_at) ??
      time(asObject(json?.workflow_job)?.created_at) ??
      time(asObject(json?.workflow_job)?.started_at),
    job: jobOf(json),
    run: runOf(asObject(outer.run)),
  }
}

function bodyOf(payload: unknown): Uint8Array {
  return Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
}

/** GitHub says the event in a header; a bare payload shows it by what it is about. */
function inferEvent(payload: Record<string, unknown> | null): string {
  for (const event of ['workflow_job', 'workflow_run', 'check_run', 'pull_request'])
    if (payload && event in payload) return event
  return payload && 'zen' in payload ? 'ping' : 'unknown'
}

function jobOf(payload: Record<string, unknown> | null): RecordedJob | null {
  const job = asObject(payload?.workflow_job)
  const action = asText(payload?.action)
  if (!job || !action || typeof job.id !== 'number') return null
  const attempt = typeof job.run_attempt === 'number' ? job.run_attempt : 1
  return {
    key: jobKey(job.id, attempt),
    action,
    status: asText(job.status) ?? '',
    conclusion: asText(job.conclusion) ?? null,
    startedAt: time(job.started_at),
    completedAt: time(job.completed_at),
    ranOn: Boolean(job.runner_id) && Boolean(job.runner_name),
  }
}

function runOf(run: Record<string, unknown> | null): RunFacts {
  if (!run) return {}
  const event = asText(run.event)
  const head = run.head_repository
  const id = asObject(head)?.id
  return {
    ...(event === undefined ? {} : { event }),
    ...(head === null ? { headRepositoryId: null } : typeof id === 'number' ? { headRepositoryId: id } : {}),
  }
}

function textHeaders(value: unknown): Record<string, string> {
  const entries = Object.entries(asObject(value) ?? {}).map(
    ([name, text]) => [name.toLowerCase(), String(text)] as const,
  )
  return Object.fromEntries(entries.filter(([name]) => !NOT_KEPT.has(name)))
}

const OPENING_BRACE = 0x7b

interface Line {
  readonly bytes: Buffer
  readonly number: number
}

function splitLines(bytes: Buffer): Line[] {
  const lines: Line[] = []
  for (let start = 0, number = 1; start < bytes.length; number++) {
    const newline = bytes.indexOf(0x0a, start)
    const end = newline < 0 ? bytes.length : newline
    const line = bytes.subarray(start, end)
    if (line.some(byte => byte > 0x20)) lines.push({ bytes: line, number })
    start = end + 1
  }
  return lines
}

type Parsed = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string }

function parse(bytes: Buffer): Parsed {
  try {
    return { ok: true, value: JSON.parse(bytes.toString('utf8')) }
  } catch (error) {
    return { ok: false, error: clean((error as Error).message, 120) }
  }
}

function parseText(text: string): unknown {
  const parsed = parse(Buffer.from(text))
  return parsed.ok ? parsed.value : null
}

function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

const LAST_TIME = Date.UTC(9999, 11, 31)

/** Some programs write 0001-01-01 for "never"; no clock of ours goes there. */
function time(value: unknown): number | null {
  const parsed = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return parsed >= 0 && parsed <= LAST_TIME ? parsed : null
}
