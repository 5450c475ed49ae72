/**
 * What `whatif` needs of recorded deliveries, out of files of gigabytes: a block of JSON lines in, a few hundred bytes for
 * each job out. Two deliveries tell of a job: the first its labels and times, the last how it went.
 */
import { deserialize, serialize } from 'node:v8'
import type { JobScript } from './github.ts'
import { readContents, scriptOf } from './recordings.ts'
import type { Arrival, ArrivalPayload } from './whatif-world.ts'

/** What one block holds, in its order. */
export interface Facts {
  /** `at` is null where the recording does not say when it came. */
  readonly arrivals: readonly RecordedArrival[]
  readonly endings: readonly { readonly key: string; readonly script: JobScript }[]
  readonly deliveries: number
  /** Deliveries of other events, or without a job. */
  readonly others: number
  /** Of the latest delivery whose time is known; in-progress ones do not count. */
  readonly latest: number
  /** Lines, or values. */
  readonly length: number
  /** Of them no deliveries; the first one, counted from 1 within the block. */
  readonly unreadable: number
  readonly firstUnreadable: number | null
}

export type RecordedArrival = Omit<Arrival, 'at' | 'script'> & {
  readonly key: string
  readonly at: number | null
}

/** What all blocks together say. */
export interface RecordedJobs {
  /** In the order of their times. */
  readonly arrivals: readonly Arrival[]
  /** Of the last delivery of all. */
  readonly end: number
  readonly deliveries: number
  readonly others: number
  readonly unreadable: number
  /** Counted from 1. */
  readonly firstUnreadable: number | null
  /** Different jobs among the arrivals. */
  readonly jobs: number
  /** Of them: nothing says how long they ran, or that they never did. */
  readonly withoutLength: number
  /** Jobs of which only the end was recorded: nothing can be made of them. */
  readonly withoutStart: number
}

const NEWLINE = 0x0a
const SPACE = 0x20
/** Says nothing that its `completed` does not say. In a JSON text these characters are never part of a string. */
const IN_PROGRESS = Buffer.from('"action":"in_progress"')

/** Reads a block of whole lines. */
export function readBlock(bytes: Uint8Array): Facts {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const reader = new FactReader()
  let number = 0
  for (let start = 0; start < block.length; ) {
    const newline = block.indexOf(NEWLINE, start)
    const end = newline < 0 ? block.length : newline
    number++
    reader.length++
    const line = block.subarray(start, end)
    start = end + 1
    if (!line.some(byte => byte > SPACE)) continue
    if (line.includes(IN_PROGRESS)) reader.pass()
    else reader.line(line, number)
  }
  return reader.facts
}

/** Reads deliveries that are parsed already. */
export function readValues(values: readonly unknown[]): Facts {
  const reader = new FactReader()
  for (const value of values) reader.value(value, ++reader.length)
  return reader.facts
}

class FactReader {
  readonly #arrivals: RecordedArrival[] = []
  readonly #endings: { key: string; script: JobScript }[] = []
  readonly #texts = new Map<string, unknown>()
  #latest = 0
  length = 0
  #deliveries = 0
  #others = 0
  #unreadable = 0
  #firstUnreadable: number | null = null

  get facts(): Facts {
    return {
      arrivals: this.#arrivals,
      endings: this.#endings,
      deliveries: this.#deliveries,
      others: this.#others,
      latest: this.#latest,
      length: this.length,
      unreadable: this.#unreadable,
      firstUnreadable: this.#firstUnreadable,
    }
  }

  pass(): void {
    this.#deliveries++
  }

  line(line: Buffer, number: number): void {
    try {
      this.value(JSON.parse(line.toString('utf8')), number)
    } catch {
      this.#unreadableAt(number)
    }
  }

  value(value: unknown, number: number): void {
    const contents = readContents(value)
    if (!contents) {
      this.#unreadableAt(number)
      return
    }
    this.#deliveries++
    const { event, job, json, at, run } = contents
    this.#latest = Math.max(this.#latest, at ?? 0)
    if (event !== 'workflow_job' || !job || !json) this.#others++
    else if (job.action === 'completed') this.#endings.push({ key: job.key, script: scriptOf(job) })
    else if (job.action === 'queued' || job.action === 'waiting')
      this.#arrivals.push({ key: job.key, at, run, payload: this.#trimmed(json) })
  }

  #unreadableAt(number: number): void {
    this.#unreadable++
    this.#firstUnreadable ??= number
  }

  /** Values that are told again and again are kept once. */
  #trimmed(json: Readonly<Record<string, unknown>>): ArrivalPayload {
    const {
      action,
      workflow_job: job,
      repository,
      installation,
      deployment,
    } = json as Partial<Record<string, Readonly<Record<string, unknown>>>>
    const owner = repository?.owner as { id?: unknown } | undefined
    return {
      action: String(action),
      workflow_job: {
        ...picked(job, JOB_FIELDS),
        labels: this.#once(job?.labels) as readonly string[],
        head_branch: this.#once(job?.head_branch),
        workflow_name: this.#once(job?.workflow_name),
        name: this.#once(job?.name),
      },
      repository: this.#once({
        ...picked(repository, REPOSITORY_FIELDS),
        owner: { id: owner?.id },
      }) as object,
      ...(installation === undefined ? {} : { installation: this.#once(picked(installation, ['id'])) }),
      ...(deployment == null ? {} : { deployment: {} }),
    } as ArrivalPayload
  }

  #once(value: unknown): unknown {
    const text = JSON.stringify(value)
    if (text === undefined) return value
    const known = this.#texts.get(text)
    if (known === undefined) this.#texts.set(text, value)
    return known ?? value
  }
}

const JOB_FIELDS = ['id', 'run_id', 'run_attempt', 'status', 'head_sha', 'created_at', 'started_at'] as const
const REPOSITORY_FIELDS = ['id', 'full_name', 'private', 'allow_forking', 'default_branch'] as const

function picked(from: Readonly<Record<string, unknown>> | null | undefined, names: readonly string[]) {
  return from == null
    ? from
    : Object.fromEntries(names.filter(name => from[name] !== undefined).map(name => [name, from[name]]))
}

/** Start of the clock for recordings without any time. */
const NO_TIME = Date.UTC(2026, 0, 1)

/** Facts for other threads, which share the bytes. */
export function packed(facts: Facts): Uint8Array {
  const bytes = serialize(facts)
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}

export function unpacked(bytes: Uint8Array): Facts {
  return deserialize(bytes) as Facts
}

/** Puts blocks together, in the order of the file. */
export function joined(blocks: readonly Facts[]): RecordedJobs {
  const scripts = new Map<string, JobScript>()
  for (const { endings } of blocks)
    for (const { key, script } of endings) scripts.set(key, { ...scripts.get(key), ...script })
  const recorded = blocks.flatMap(({ arrivals }) => arrivals)
  // One that does not say when it came is taken to have come with the one before it.
  let at = recorded.find(arrival => arrival.at !== null)?.at ?? NO_TIME
  const keys = new Set<string>()
  const arrivals = recorded.map(({ key, at: own, ...arrival }): Arrival => {
    at = own ?? at
    keys.add(key)
    return { ...arrival, at, script: scripts.get(key) ?? NOTHING }
  })
  const sum = (count: (facts: Facts) => number) => blocks.reduce((total, facts) => total + count(facts), 0)
  return {
    arrivals: arrivals.sort((a, b) => a.at - b.at),
    end: blocks.reduce((end, { latest }) => Math.max(end, latest), arrivals.at(-1)?.at ?? 0),
    deliveries: sum(({ deliveries }) => deliveries),
    others: sum(({ others }) => others),
    unreadable: sum(({ unreadable }) => unreadable),
    firstUnreadable: firstOf(blocks),
    jobs: keys.size,
    withoutLength: [...keys].filter(key => !isKnown(scripts.get(key))).length,
    withoutStart: [...scripts.keys()].filter(key => !keys.has(key)).length,
  }
}

function firstOf(blocks: readonly Facts[]): number | null {
  let before = 0
  for (const { length, firstUnreadable } of blocks) {
    if (firstUnreadable !== null) return before + firstUnreadable
    before += length
  }
  return null
}

const NOTHING: JobScript = {}

function isKnown(script: JobScript | undefined): boolean {
  return script?.durationMs !== undefined || script?.cancelAt !== undefined
}
