/** `tornade whatif`: recorded deliveries under today's settings and under others, side by side. */
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { createGunzip } from 'node:zlib'
import { type Document, parseDocument } from 'yaml'
import type { Config } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { nearest } from '../functions/core/labels/nearest.ts'
import { type Dimension, ROWS } from '../functions/core/labels/rows.ts'
import { DEFAULT_RULES } from '../functions/core/labels.ts'
import { priceAge, stalePrices } from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import {
  ASSUMPTIONS,
  type Assumptions,
  type LabelChange,
  type Only,
  type WhatIfReport,
} from '../local/whatif.ts'
import { packed, readValues } from '../local/whatif-facts.ts'
import type { Recorded, WhatIfAnswer, WhatIfOrder, WhatIfWorkerData } from '../local/whatif-worker.ts'
import { parseConfig, settingPaths } from './config-file.ts'
import { isGzip, RECORDING, unreadable } from './input.ts'
import { EXIT, type Io } from './io.ts'
import { WIDTH, wrapped } from './text.ts'

const HELP = `Usage: tornade whatif FILE… --set KEY=VALUE… [OPTION…]

Plays recorded deliveries (tornade record) in stepped time, once under today's
settings and once under others, and prints both worlds side by side: dollars,
waiting, refusals. Nothing is called but this program. FILE is what replay
reads, a folder of it, - for standard input; .gz is unpacked.

  --set KEY=VALUE  a setting of tornade.yml by its path, with a value in YAML:
                     limits.runners=50   spend.monthlyUsd=200   spend=null
                     'pools=[{runsOn: tornade, repository: acme/app, size: 2}]'
                   or what jobs ask for:
                     capacity=spot|spot-only|on-demand   arch=x64|arm64
                     compute=fargate|codebuild   cpu=4   memory=8gb
                   or an assumption, which holds in both worlds:
                     assume.arm64Speed=1       arm64 over x64
                     assume.cpuScaling=0       1: half as long on twice the vCPU
                     assume.spotReclaimsPerHour=0
                     assume.jobSeconds=120     where no length was recorded
                     assume.startSeconds.onDemand=30   (.spot, .codebuild)
  --only KEY=NAME  only jobs of repository=o/r or workflow=NAME ask for other
                   things; settings hold for all
  --config FILE    tornade.yml of today (default: ./tornade.yml if there is one)
  --json           one JSON document on stdout

Exit code: 0 good; 2 an input cannot be read (of lines that are no deliveries
the others are played all the same).
`

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BLOCK_BYTES = 8 * 2 ** 20
const CHUNK_BYTES = 2 ** 20
/** What is no JSON lines is read as a whole. */
const LONGEST_DOCUMENT = 400 * 2 ** 20
/** Few of the objects of a world live long; a larger nursery only takes memory. */
const WORKER_LIMITS = { maxYoungGenerationSizeMb: 48, maxOldGenerationSizeMb: 2000 }

const LABEL_KEYS = ['capacity', 'arch', 'compute', 'cpu', 'memory'] as const satisfies readonly Dimension[]
const ASSUME_KEYS = [
  'arm64Speed',
  'cpuScaling',
  'spotReclaimsPerHour',
  'jobSeconds',
  'startSeconds.onDemand',
  'startSeconds.spot',
  'startSeconds.codebuild',
] as const

/** What is asked for. */
interface Question {
  readonly today: Config
  readonly changed: Config
  readonly labels: readonly LabelChange[]
  readonly only: Only
  readonly assumptions: Assumptions
  readonly set: readonly string[]
}

/** `kept` is for who asks more than once; a command that fails may leave orders in them. */
export async function whatifCommand(argv: readonly string[], io: Io, kept?: Threads): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      set: { type: 'string', multiple: true, default: [] },
      only: { type: 'string', multiple: true, default: [] },
      config: { type: 'string' },
      json: { type: 'boolean', default: false },
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
      'whatif needs a FILE of deliveries, for example from: tornade record --out month.jsonl',
    )
  if (values.set.length === 0)
    throw new TornadeError('usage', 'whatif needs at least one --set KEY=VALUE; see tornade whatif --help')
  const question = await read(values, io)
  const threads = kept ?? startThreads()
  try {
    const blocks = await readFiles(positionals, threads, io)
    const { recorded, today, changed } = await play(blocks, question, threads, io)
    if (!today || !changed) {
      const why = recorded.deliveries === 0 ? 'no delivery' : 'no queued job'
      throw new TornadeError('input-unreadable', `${positionals.join(', ')}: there is ${why} in it`)
    }
    io.stdout(
      values.json
        ? `${JSON.stringify(documentOf(positionals, recorded, question, today, changed), null, 2)}\n`
        : describe(recorded, question, today, changed),
    )
    return recorded.unreadable > 0 ? EXIT.unusable : EXIT.good
  } finally {
    if (!kept) await Promise.all(threads.map(thread => thread.end()))
    if (io.interactive) io.stderr('\r\u001b[K')
  }
}

// What is asked for

async function read(
  {
    set,
    only,
    config: path,
  }: {
    readonly set: readonly string[]
    readonly only: readonly string[]
    readonly config?: string | undefined
  },
  io: Io,
): Promise<Question> {
  const { text, shown } = await configText(path ?? null, io)
  const { config: today, warnings } = parseConfig(text, shown)
  const document = parseDocument(text)
  const labels: LabelChange[] = []
  let assumptions = ASSUMPTIONS
  let settings = false
  for (const one of set) {
    const [key, value] = assignment('--set', one)
    if ((LABEL_KEYS as readonly string[]).includes(key))
      labels.push(...labelChange(key as (typeof LABEL_KEYS)[number], value))
    else if (key.startsWith('assume.')) assumptions = assumed(assumptions, key, value)
    else {
      setIn(document, key, value)
      settings = true
    }
  }
  const { config: changed, warnings: more } = settings
    ? parseConfig(String(document), `${shown} with --set`)
    : { config: today, warnings: [] }
  const stale = [today, changed]
    .map(({ region }) => stalePrices(region, Date.now()))
    .filter(one => one !== null)
  for (const warning of new Set([...warnings, ...more, ...stale])) io.stderr(`${warning}\n`)
  return { today, changed, labels, only: onlyOf(only), assumptions, set }
}

async function configText(path: string | null, { cwd }: Io): Promise<{ text: string; shown: string }> {
  const shown = path ?? 'tornade.yml'
  try {
    return { text: await readFile(resolve(cwd, shown), 'utf8'), shown }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (path === null && code === 'ENOENT') return { text: '{}', shown }
    throw new TornadeError('config-unreadable', `${shown} cannot be read (${code ?? 'unknown error'})`, [], {
      cause: error,
    })
  }
}

function assignment(option: string, text: string): [key: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1) throw new TornadeError('usage', `${option} ${clean(text)}: write KEY=VALUE`)
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

/** Puts a setting into the file as it would be written there; null takes it out. */
function setIn(document: Document, key: string, text: string): void {
  const path = pathOf(key)
  const value = parseDocument(text)
  if (value.errors.length > 0 || text === '')
    throw new TornadeError('usage', `--set ${clean(key)}: the value is no YAML: ${clean(text)}`)
  const known = value.toJS() as unknown
  if (known === null) document.deleteIn(path)
  else document.setIn(path, document.createNode(known))
}

/** Names of repositories may have dots, and settings have none. */
function pathOf(key: string): string[] {
  const all = settingPaths()
  const found = all.map(setting => matched(setting, key)).find(path => path !== null)
  if (found) return found
  const known = [...LABEL_KEYS, ...ASSUME_KEYS.map(name => `assume.${name}`), ...all]
  const near = known.find(name => name.endsWith(`.${key}`)) ?? nearest(key, known)
  const advice = near ? `did you mean ${near}?` : 'see tornade whatif --help and README.md, "Configuration"'
  throw new TornadeError('usage', `--set ${clean(key)}: there is no such setting; ${advice}`)
}

/** `repositories.acme/my.app.runners` by `repositories.*.runners` */
function matched(setting: string, key: string): string[] | null {
  const [before, after] = setting.split('*')
  if (after === undefined) return setting === key ? key.split('.') : null
  if (!key.startsWith(before!) || !key.endsWith(after) || key.length <= before!.length + after.length)
    return null
  const name = key.slice(before!.length, key.length - after.length)
  return [...before!.split('.').slice(0, -1), name, ...after.split('.').slice(1)]
}

function labelChange(dimension: (typeof LABEL_KEYS)[number], value: string): LabelChange[] {
  const text = value.toLowerCase()
  if (dimension === 'capacity' && text === 'on-demand') return [{ dimension, part: null }]
  const part = dimension === 'cpu' && /^[\d.]+$/.test(text) ? `${text}cpu` : text
  const reading = ROWS[dimension].read(part, DEFAULT_RULES)
  if (reading && 'value' in reading) {
    const change = { dimension, part }
    // CodeBuild has no Spot.
    return part === 'codebuild' ? [change, { dimension: 'capacity', part: null }] : [change]
  }
  const allowed =
    dimension === 'capacity' ? ['on-demand', 'spot', 'spot-only'] : ROWS[dimension].words(DEFAULT_RULES)
  const near = reading?.suggestion ?? nearest(part, allowed)
  const why = reading?.message ?? `one of ${allowed.slice(0, 8).join(', ')} is needed.`
  throw new TornadeError(
    'usage',
    `--set ${dimension}=${clean(value)}: ${why}${near ? ` Did you mean ${near}?` : ''}`,
  )
}

function assumed(known: Assumptions, key: string, text: string): Assumptions {
  const name = key.slice('assume.'.length) as (typeof ASSUME_KEYS)[number]
  if (!ASSUME_KEYS.includes(name)) {
    const near = nearest(name, ASSUME_KEYS)
    throw new TornadeError(
      'usage',
      `--set ${clean(key)}: there is no such assumption; ${near ? `did you mean assume.${near}?` : `there are ${ASSUME_KEYS.join(', ')}`}`,
    )
  }
  const value = text === '' ? Number.NaN : Number(text)
  const [least, most] = RANGES[name]
  if (!(value >= least && value <= most))
    throw new TornadeError(
      'usage',
      `--set ${key}=${clean(text)}: a number from ${least} to ${most} is needed`,
    )
  const [first, second] = name.split('.') as [keyof Assumptions, string | undefined]
  return second === undefined
    ? { ...known, [first]: value }
    : { ...known, startSeconds: { ...known.startSeconds, [second]: value } }
}

const RANGES: Readonly<Record<(typeof ASSUME_KEYS)[number], readonly [number, number]>> = {
  arm64Speed: [0.1, 10],
  cpuScaling: [0, 1],
  spotReclaimsPerHour: [0, 60],
  jobSeconds: [1, 86_400],
  'startSeconds.onDemand': [1, 3600],
  'startSeconds.spot': [1, 3600],
  'startSeconds.codebuild': [1, 3600],
}

function onlyOf(texts: readonly string[]): Only {
  const only: Record<keyof Only, string | null> = { repository: null, workflow: null }
  for (const text of texts) {
    const [key, value] = assignment('--only', text)
    if (key !== 'repository' && key !== 'workflow')
      throw new TornadeError('usage', `--only ${clean(text)}: write repository=owner/name or workflow=NAME`)
    only[key] = value.toLowerCase()
  }
  return only
}

// Threads

export type Threads = readonly [Thread, Thread]

export function startThreads(): Threads {
  return [new Thread(), new Thread()]
}

class Thread {
  readonly #worker = new Worker(new URL('../local/whatif-worker.ts', import.meta.url), {
    workerData: { root: ROOT } satisfies WhatIfWorkerData,
    resourceLimits: WORKER_LIMITS,
  })

  /** One order at a time. */
  order<K extends WhatIfOrder['kind']>(
    order: Extract<WhatIfOrder, { kind: K }>,
    transfer: ArrayBuffer[] = [],
    onProgress: (share: number) => void = () => {},
  ): Promise<Extract<WhatIfAnswer, { kind: K extends 'play' ? 'played' : 'read' }>> {
    return new Promise((done, failed) => {
      this.#worker.removeAllListeners()
      this.#worker.on('error', failed)
      this.#worker.on('exit', code => failed(new Error(`a thread ended with ${code}`)))
      this.#worker.on('message', (answer: WhatIfAnswer) => {
        if (answer.kind === 'progress') onProgress(answer.share)
        else done(answer as never)
      })
      this.#worker.postMessage(order, transfer)
    })
  }

  async end(): Promise<void> {
    this.#worker.removeAllListeners()
    await this.#worker.terminate()
  }
}

async function play(
  blocks: readonly Uint8Array[],
  { today, changed, labels, only, assumptions }: Question,
  threads: Threads,
  io: Io,
) {
  const shares = [0, 0]
  const show = (index: number) => (share: number) => {
    shares[index] = share
    bar(io, 'playing', Math.min(...shares))
  }
  const everybody: Only = { repository: null, workflow: null }
  const worlds = [
    { assumptions, config: today, changes: [], only: everybody },
    { assumptions, config: changed, changes: labels, only },
  ]
  const [one, other] = await Promise.all(
    worlds.map((world, index) =>
      threads[index]!.order<'play'>({ kind: 'play', blocks, world }, [], show(index)),
    ),
  )
  return { recorded: one!.recorded, today: one!.report, changed: other!.report }
}

/** For an eye on a terminal. */
function bar({ interactive, stderr }: Io, what: string, share: number): void {
  if (!interactive) return
  const room = 40
  const full = Math.round(share * room)
  stderr(`\r${what} [${'#'.repeat(full)}${'.'.repeat(room - full)}] ${Math.floor(share * 100)} % `)
}

// Files

async function readFiles(
  paths: readonly string[],
  threads: readonly Thread[],
  io: Io,
): Promise<readonly Uint8Array[]> {
  const files = (await Promise.all(paths.map(path => filesOf(path, io)))).flat()
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const reading = new Reading(threads)
  let done = 0
  for (const file of files) {
    await reading.file(file, bytes => {
      done += bytes
      if (total > 0) bar(io, 'reading', Math.min(1, done / total))
    })
  }
  return reading.end()
}

interface InputFile {
  readonly name: string
  /** 0 where that is not known. */
  readonly bytes: number
  readonly open: () => Promise<Readable>
}

async function filesOf(path: string, io: Io): Promise<InputFile[]> {
  const { cwd, stdin } = io
  if (path === '-')
    return [{ name: 'standard input', bytes: 0, open: async () => Readable.from([await stdin()]) }]
  const full = resolve(cwd, path)
  const found = await stat(full).catch(error => {
    throw unreadable(path, error)
  })
  if (!found.isDirectory())
    return [
      {
        name: path,
        bytes: found.size,
        open: async () => createReadStream(full, { highWaterMark: CHUNK_BYTES }),
      },
    ]
  const names = (await readdir(full)).filter(name => RECORDING.test(name)).sort()
  if (names.length === 0)
    throw new TornadeError('input-unreadable', `${path}: no .json or .jsonl file in this folder`)
  return (await Promise.all(names.map(name => filesOf(join(path, name), io)))).flat()
}

const NEWLINE = 0x0a

/** Cuts files into blocks of whole lines, which the threads read in turn. */
class Reading {
  readonly #threads: readonly { readonly thread: Thread; last: Promise<void> }[]
  readonly #facts: Uint8Array[] = []
  /** Blocks that were read, to be filled again. */
  readonly #free: Uint8Array[] = []
  #blocks = 0

  constructor(threads: readonly Thread[]) {
    this.#threads = threads.map(thread => ({ thread, last: Promise.resolve() }))
  }

  async file({ name, open }: InputFile, onBytes: (bytes: number) => void): Promise<void> {
    let parts: Buffer[] = []
    let size = 0
    let lines: boolean | null = null
    for await (const chunk of unpacked(await open(), onBytes, name)) {
      parts.push(chunk)
      size += chunk.length
      if (lines === null && chunk.includes(NEWLINE)) lines = areLines(Buffer.concat(parts))
      if (!lines && size > LONGEST_DOCUMENT)
        throw new TornadeError('input-unreadable', `${name}: not JSON lines, and too long to be one document`)
      const cut = lines && size >= BLOCK_BYTES ? chunk.lastIndexOf(NEWLINE) + 1 : 0
      if (cut === 0) continue
      const rest = chunk.subarray(cut)
      await this.#block([...parts.slice(0, -1), chunk.subarray(0, cut)], size - rest.length)
      parts = [rest]
      size = rest.length
    }
    if (lines ?? areLines(Buffer.concat(parts))) await this.#block(parts, size)
    else if (size > 0) this.#document(Buffer.concat(parts), name)
  }

  async end(): Promise<readonly Uint8Array[]> {
    await Promise.all(this.#threads.map(({ last }) => last))
    return this.#facts
  }

  async #block(parts: readonly Uint8Array[], length: number): Promise<void> {
    const index = this.#blocks++
    const next = this.#threads[index % this.#threads.length]!
    await next.last
    const room = Math.max(length, BLOCK_BYTES + CHUNK_BYTES)
    const free = this.#free.pop()
    const block = free && free.length >= length ? free : new Uint8Array(room)
    let at = 0
    for (const part of parts) {
      block.set(part, at)
      at += part.length
    }
    next.last = next.thread
      .order<'read'>({ kind: 'read', index, block, length }, [block.buffer as ArrayBuffer])
      .then(answer => {
        this.#facts[index] = answer.facts
        this.#free.push(answer.block)
      })
    // It is awaited before the next block; until then nobody may take it for unhandled.
    next.last.catch(() => {})
  }

  #document(bytes: Buffer, name: string): void {
    try {
      const value: unknown = JSON.parse(bytes.toString('utf8'))
      this.#facts[this.#blocks++] = packed(readValues(Array.isArray(value) ? value : [value]))
    } catch (error) {
      throw new TornadeError(
        'input-unreadable',
        `${name}: not JSON (${clean((error as Error).message, 120)})`,
      )
    }
  }
}

/** A document of many lines begins with one that is no object by itself. */
function areLines(bytes: Buffer): boolean {
  const first = bytes.toString('utf8').trimStart().split('\n', 1)[0]!.trim()
  return first.startsWith('{') && first.endsWith('}')
}

async function* unpacked(
  stream: Readable,
  onBytes: (bytes: number) => void,
  name: string,
): AsyncGenerator<Buffer> {
  const chunks = stream.iterator() as AsyncIterator<Buffer>
  const { value: first, done } = await chunks.next().catch(error => {
    throw unreadable(name, error)
  })
  if (done) return
  async function* all() {
    for (let chunk: Buffer | undefined = first; chunk; chunk = (await chunks.next()).value) {
      onBytes(chunk.length)
      yield chunk
    }
  }
  try {
    if (!isGzip(first)) yield* withoutMark(all())
    else
      yield* withoutMark(pipeline(Readable.from(all()), createGunzip({ chunkSize: CHUNK_BYTES }), () => {}))
  } catch (error) {
    throw unreadable(name, error)
  }
}

/** Without a byte order mark. */
async function* withoutMark(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let first = true
  for await (const chunk of chunks) {
    yield first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk
    first = false
  }
}

// What is printed

function documentOf(
  files: readonly string[],
  recorded: Recorded,
  { set, only, assumptions }: Question,
  today: WhatIfReport,
  changed: WhatIfReport,
) {
  return {
    files,
    recorded,
    set,
    only,
    assumptions,
    pricesCheckedOn: priceAge(Date.now()).checkedOn,
    today,
    changed,
  }
}

/** A table of at most 80 columns, and what it rests on. */
function describe(
  recorded: Recorded,
  question: Question,
  today: WhatIfReport,
  changed: WhatIfReport,
): string {
  const { deliveries, days } = recorded
  const both = [today, changed] as const
  const rows = [
    row(['', 'today', 'changed', 'difference']),
    ...MONEY.map(([name, value]) => amounts(name, both.map(value), dollars)),
    '',
    ...WAITING.map(([name, value]) => amounts(name, both.map(value), seconds)),
    '',
    ...JOBS.map(([name, value]) => amounts(name, both.map(value), String)),
    ...causes(
      'refused: ',
      both.map(({ refusals }) => refusals),
    ),
    ...causes(
      'had to wait: ',
      both.map(({ deferrals }) => deferrals),
    ),
    '',
    ...RUNNERS.map(([name, value]) => amounts(name, both.map(value), String)),
  ]
  return [
    wrapped(
      `${recorded.jobs} jobs of ${deliveries} deliveries, ${days < 2 ? `${(days * 24).toFixed(1)} hours` : `${days.toFixed(1)} days`}; changed: ${question.set.map(one => clean(one, 200)).join(', ')}${onlyWords(question.only)}`,
      0,
    ),
    ...rows.map(line => `${line}\n`),
    '\n',
    ...notes(recorded, question, today, changed).map(note => wrapped(note, 2, '-')),
  ].join('')
}

const MONEY: readonly (readonly [string, (report: WhatIfReport) => number])[] = [
  ['cost, $', ({ totals }) => totals.costUsd],
  ['  jobs', ({ totals }) => totals.jobsUsd],
  ['  start-up', ({ totals }) => totals.startupUsd],
  ['  idle', ({ totals }) => totals.idleUsd],
  ['of it wasted', ({ totals }) => totals.wastedUsd],
  ['the same on demand', ({ totals }) => totals.onDemandUsd],
  ['on GitHub-hosted runners', ({ totals }) => totals.githubHostedUsd],
]
const WAITING: readonly (readonly [string, (report: WhatIfReport) => number | null])[] = [
  ['waiting, s, half of jobs', ({ waitingSeconds }) => waitingSeconds.p50],
  ['  95 of 100 jobs', ({ waitingSeconds }) => waitingSeconds.p95],
  ['  longest', ({ waitingSeconds }) => waitingSeconds.most],
]
const JOBS: readonly (readonly [string, (report: WhatIfReport) => number])[] = [
  ['jobs completed', ({ jobs }) => jobs.completed],
  ['  cancelled', ({ jobs }) => jobs.cancelled],
  ['  refused', ({ jobs }) => jobs.refused],
  ['  still open', ({ jobs }) => jobs.open],
  ['  lost to Spot', ({ jobs }) => jobs.lostToSpot],
]
const RUNNERS: readonly (readonly [string, (report: WhatIfReport) => number])[] = [
  ['runners on Fargate', ({ runners }) => runners.fargate],
  ['  on Fargate Spot', ({ runners }) => runners['fargate-spot']],
  ['  on CodeBuild', ({ runners }) => runners.codebuild],
]

function causes(prefix: string, [today, changed]: readonly Readonly<Record<string, number>>[]): string[] {
  const names = [...new Set([...Object.keys(today!), ...Object.keys(changed!)])].sort()
  return names.map(name => amounts(`  ${prefix}${name}`, [today![name] ?? 0, changed![name] ?? 0], String))
}

function notes(
  { withoutLength, withoutStart, others, unreadable, firstUnreadable }: Recorded,
  { assumptions, labels }: Question,
  today: WhatIfReport,
  changed: WhatIfReport,
): string[] {
  const { arm64Speed, cpuScaling, spotReclaimsPerHour, jobSeconds, startSeconds } = assumptions
  const given = (what: string, value: number | null) => (value === null ? [] : [`${what} ${value} s`])
  const starts = [
    ...given('on demand', startSeconds.onDemand),
    ...given('Spot', startSeconds.spot),
    ...given('CodeBuild', startSeconds.codebuild),
  ]
  const {
    rewritten: { jobs, left },
  } = changed
  const intake = today.deliveries
  const unknown = Math.max(today.prices.unknown, changed.prices.unknown)
  const estimates = Math.max(today.prices.estimate, changed.prices.estimate)
  return [
    'Assumed: ' +
      [
        `arm64 is ${arm64Speed} times as fast as x64 (assume.arm64Speed)`,
        cpuScaling === 0
          ? 'the number of vCPU does not change how long a job takes (assume.cpuScaling)'
          : `twice the vCPU take ${(2 ** -cpuScaling).toFixed(2)} of the time (assume.cpuScaling)`,
        `Spot takes a runner ${spotReclaimsPerHour} times an hour (assume.spotReclaimsPerHour)`,
        starts.length > 0
          ? `runners are up after: ${starts.join(', ')}`
          : 'runners are up after 14 to 30 s on Fargate, 4 to 13 s on CodeBuild (assume.startSeconds)',
        'capacity is there, and nothing fails',
      ].join('; ') +
      '.',
    ...(labels.length > 0 ? [`${jobs} jobs ask for something else.`] : []),
    ...Object.entries(left).map(([why, count]) => `${count} jobs stay as they are: ${clean(why, 300)}`),
    withoutLength === 0
      ? 'The length of every job was recorded.'
      : `${withoutLength} jobs have no recorded end and are taken to last ${jobSeconds === null ? '30 to 300 s' : `${jobSeconds} s`} (assume.jobSeconds).`,
    ...(withoutStart > 0 ? [`${withoutStart} jobs are left out: only their end was recorded.`] : []),
    ...(intake.ignored > 0
      ? [`${intake.ignored} queued deliveries are not for this deployment (labels, owners).`]
      : []),
    ...(intake.rejected > 0
      ? [`${intake.rejected} queued deliveries are not as GitHub sends them and count for nothing.`]
      : []),
    ...(others > 0 ? [`${others} deliveries are of no job.`] : []),
    ...(unreadable > 0
      ? [`${unreadable} lines are no deliveries, the first is line ${firstUnreadable}.`]
      : []),
    ...(unknown > 0
      ? [`Of ${unknown} runners the price is unknown and counts as 0: the cost is too low (docs/costs.md).`]
      : []),
    ...(estimates > 0 ? [`Of up to ${estimates} runners the price is an estimate.`] : []),
    `Prices were last checked on ${priceAge(Date.now()).checkedOn} (docs/costs.md).`,
  ]
}

function onlyWords({ repository, workflow }: Only): string {
  const words = [
    repository && `repository ${clean(repository, 140)}`,
    workflow && `workflow ${clean(workflow, 100)}`,
  ]
  const said = words.filter(Boolean).join(' and ')
  return said ? ` (what jobs ask for: only ${said})` : ''
}

const WIDTHS = [32, 13, 13, WIDTH - 32 - 13 - 13] as const

function amounts(
  name: string,
  [today, changed]: readonly (number | null)[],
  format: (value: number) => string,
): string {
  const cell = (value: number | null | undefined) => (value == null ? '-' : format(value))
  return row([name, cell(today), cell(changed), difference(today ?? null, changed ?? null, format)])
}

function difference(before: number | null, after: number | null, format: (value: number) => string): string {
  if (before === null || after === null) return ''
  const by = after - before
  if (format(by) === format(0) || format(by) === `-${format(0)}`) return ''
  const percent = before === 0 ? '' : ` (${by > 0 ? '+' : '−'}${Math.abs((by / before) * 100).toFixed(0)} %)`
  return `${by > 0 ? '+' : '−'}${format(Math.abs(by))}${percent}`
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => (index === 0 ? cell.padEnd(WIDTHS[0]) : cell.padStart(WIDTHS[index]!)))
    .join('')
    .trimEnd()
}

function dollars(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(2) : value.toFixed(4)
}

function seconds(value: number): string {
  return value.toFixed(1)
}
