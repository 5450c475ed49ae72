/** `tornade soak`: many seeded worlds with faults, each held against what tornade promises. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { TornadeError } from '../functions/core/errors.ts'
import { clean } from '../functions/core/text.ts'
import { FAULTS } from '../local/faults/catalogue.ts'
import { LATER_FAULTS, PAST_MINUTES, PAST_SEEDS } from '../local/faults/past.ts'
import { PROMISES } from '../local/promises.ts'
import { BOUND_MS, type SoakResult, START, soak } from '../local/soak.ts'
import { EXIT, type Io } from './io.ts'
import type { WorkerAnswer, WorkerOrder } from './soak-worker.ts'
import { WIDTH, wrapped } from './text.ts'

const HELP = `Usage: tornade soak [OPTION…]

Plays simulated days with faults, each drawn from a number, its seed: lost and
doubled deliveries, crashes at any call, no capacity, hung runners, and more.
Afterwards each world is held against what tornade promises.

  --seeds N        how many worlds (default: 40), from seed 1 on
  --fresh          other seeds than ever before; says from which one on
  --past           the seeds in which a promise was broken once, among the
                   faults of then; with --seed only those
  --seed S[,S…]    these seeds alone; a single one prints what happened to the
                   jobs and runners of a broken promise
  --faults A,B     all of these faults in every world, instead of a choice
  --except A,B     a choice of all faults but these
  --minutes M      jobs are queued for so long instead of two hours, and it does
                   not matter how many kinds of fault strike
  --list           names the faults and the promises
  --json           one JSON document on stdout

Jobs are queued for two hours, and at least five kinds of fault strike. From 20
minutes later on nothing fails; 90 minutes after that all must have ended.

Exit code: 0 all promises were kept; 1 one was broken, or it was interrupted;
2 unusable input.
`

const SEEDS = 40
/** Hours of two cores, and few enough to be kept in mind at once. */
const MOST_SEEDS = 100_000
/** Seeds are whole numbers below this, so that they are short to type. */
const LARGEST_SEED = 2 ** 31
/** Broken promises that are printed at length. */
const SHOWN = 10
const TIMELINE_LINES = 400
/** Of somebody at a terminal, and of a job whose time is up. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const
const BOUND_MINUTES = BOUND_MS / 60_000

type Choice = WorkerOrder['choice']

/** A world, or why it came to no end. */
interface Outcome {
  readonly seed: number
  readonly result: SoakResult | null
  readonly error: string | null
}

/** @param worker what a thread runs, another one where threads are to die */
export async function soakCommand(
  argv: readonly string[],
  io: Io,
  worker: URL = new URL('./soak-worker.ts', import.meta.url),
): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string', multiple: true },
      fresh: { type: 'boolean', default: false },
      past: { type: 'boolean', default: false },
      faults: { type: 'string', multiple: true },
      except: { type: 'string', multiple: true },
      minutes: { type: 'string' },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help || values.list) {
    io.stdout(values.help ? HELP : list(values.json))
    return EXIT.good
  }
  if (values.seed !== undefined && (values.seeds !== undefined || values.fresh))
    throw new TornadeError('usage', '--seed says which worlds; leave --seeds and --fresh out')
  if (
    values.past &&
    [values.seeds, values.faults, values.except, values.minutes, values.fresh || undefined].some(isGiven)
  )
    throw new TornadeError('usage', '--past says which worlds; only --seed can stand beside it')
  const choice: Choice = {
    ...(values.faults === undefined ? {} : { faults: faultNames('--faults', values.faults) }),
    ...(values.except === undefined ? {} : { except: faultNames('--except', values.except) }),
    ...(values.minutes === undefined ? {} : { minutes: minutesOf(values.minutes) }),
    ...(values.past ? { except: LATER_FAULTS, minutes: PAST_MINUTES } : {}),
  }
  const seeds = values.seed?.flatMap(text => text.split(',')).map(text => wholeNumber('--seed', text)) ?? [
    ...(values.past ? PAST_SEEDS : range(values.fresh ? freshSeed() : 1, values.seeds)),
  ]
  if (values.fresh) io.stderr(`seeds ${seeds[0]} to ${seeds.at(-1)}\n`)
  const outcomes = seeds.length === 1 ? [await one(seeds[0]!, choice)] : await many(seeds, choice, io, worker)
  const kept = outcomes.length === seeds.length && outcomes.every(isKept)
  if (values.json)
    io.stdout(
      `${JSON.stringify(
        {
          asked: seeds.length,
          worlds: outcomes.length,
          interrupted: outcomes.length < seeds.length,
          boundMinutes: BOUND_MINUTES,
          outcomes,
        },
        null,
        2,
      )}\n`,
    )
  else io.stdout(describe(outcomes, seeds, choice))
  return kept ? EXIT.good : EXIT.no
}

async function one(seed: number, choice: Choice): Promise<Outcome> {
  try {
    return { seed, result: await soak(seed, { ...choice, timeline: true }), error: null }
  } catch (error) {
    return {
      seed,
      result: null,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }
  }
}

function isGiven(value: unknown): boolean {
  return value !== undefined
}

/**
 * All of the seeds on all cores. A thread that dies takes the world with it that it played, and no other.
 * @returns what there is so far when somebody interrupts it
 */
async function many(seeds: readonly number[], choice: Choice, io: Io, source: URL): Promise<Outcome[]> {
  const left = [...seeds].reverse()
  const outcomes: Outcome[] = []
  const workers = new Set<Worker>()
  let interrupted = false
  const interrupt = () => {
    interrupted = true
    for (const worker of workers) void worker.terminate()
    workers.clear()
  }
  for (const signal of SIGNALS) process.once(signal, interrupt)
  const add = (outcome: Outcome) => {
    outcomes.push(outcome)
    const broken = outcomes.filter(item => !isKept(item)).length
    if (io.interactive) io.stderr(`\r${outcomes.length} of ${seeds.length} worlds, ${broken} broken `)
  }
  const threads = Math.min(availableParallelism(), seeds.length)
  await Promise.all(
    Array.from({ length: threads }, async () => {
      while (left.length > 0 && !interrupted) await thread(source, left, choice, workers, add)
    }),
  )
  for (const signal of SIGNALS) process.removeListener(signal, interrupt)
  if (io.interactive) io.stderr('\r\u001b[K')
  if (interrupted) io.stderr(`interrupted after ${outcomes.length} of ${seeds.length} worlds\n`)
  return outcomes.sort((a, b) => seeds.indexOf(a.seed) - seeds.indexOf(b.seed))
}

/** Plays seeds in a thread of its own until none is left or it dies. */
function thread(
  source: URL,
  left: number[],
  choice: Choice,
  workers: Set<Worker>,
  add: (outcome: Outcome) => void,
): Promise<void> {
  const order: WorkerOrder = { choice }
  const worker = new Worker(source, { workerData: order })
  workers.add(worker)
  let playing: number | undefined
  let died: string | null = null
  const next = () => {
    playing = left.pop()
    if (playing === undefined) void worker.terminate()
    else worker.postMessage(playing)
  }
  worker.on('message', ({ result }: WorkerAnswer) => {
    playing = undefined
    add({ seed: result.seed, result, error: null })
    next()
  })
  worker.on('error', (error: Error) => {
    died = error.stack ?? error.message
  })
  next()
  return new Promise(resolve => {
    worker.on('exit', code => {
      // One that is still among them was not ended by us.
      if (workers.delete(worker) && playing !== undefined)
        add({ seed: playing, result: null, error: died ?? `its thread ended with ${code}` })
      resolve()
    })
  })
}

function isKept({ result }: Outcome): boolean {
  return result !== null && result.broken.length === 0
}

function range(first: number, count: string | undefined): number[] {
  const length = count === undefined ? SEEDS : wholeNumber('--seeds', count)
  if (length < 1 || length > MOST_SEEDS)
    throw new TornadeError('usage', `--seeds ${length}: 1 to ${MOST_SEEDS} worlds can be played`)
  return Array.from({ length }, (_, index) => first + index)
}

function freshSeed(): number {
  return Math.floor(Math.random() * (LARGEST_SEED / 2))
}

function wholeNumber(option: string, text: string): number {
  const number = Number(text)
  if (!/^\d{1,10}$/.test(text) || number >= LARGEST_SEED)
    throw new TornadeError(
      'usage',
      `${option} ${clean(text)}: a whole number below ${LARGEST_SEED} is needed`,
    )
  return number
}

function minutesOf(text: string): number {
  const minutes = wholeNumber('--minutes', text)
  if (minutes < 30 || minutes > 24 * 60)
    throw new TornadeError('usage', `--minutes ${minutes}: jobs can be queued for 30 to ${24 * 60} minutes`)
  return minutes
}

function faultNames(option: string, texts: readonly string[]): string[] {
  const text = texts.join(',')
  const names = text.split(',').filter(name => name !== '')
  const unknown = names.filter(name => !FAULTS.has(name))
  if (unknown.length > 0 || names.length === 0)
    throw new TornadeError('usage', `${option} ${clean(text)}: there is no such fault; --list names them`)
  return names
}

function list(json: boolean): string {
  if (json) {
    const faults = [...FAULTS.values()].map(({ name, about }) => ({ name, about }))
    const promises = Object.entries(PROMISES).map(([name, about]) => ({ name, about }))
    return `${JSON.stringify({ faults, promises }, null, 2)}\n`
  }
  const lines = [...FAULTS.values()].map(({ name, about }) => wrapped(about, 24, `  ${name}`))
  const promises = Object.entries(PROMISES).map(([name, about]) => wrapped(about, 24, `  ${name}`))
  return ['Faults\n', ...lines, '\nPromises\n', ...promises].join('')
}

/** A summary of at most 80 columns; of broken worlds, the commands that play them again. */
function describe(outcomes: readonly Outcome[], seeds: readonly number[], choice: Choice): string {
  const results = outcomes.flatMap(({ result }) => (result ? [result] : []))
  const broken = outcomes.filter(outcome => !isKept(outcome))
  const lines = [summary(results), '', ...faultTable(results), '']
  for (const outcome of broken.slice(0, SHOWN)) lines.push(...explain(outcome, choice, seeds.length === 1))
  if (broken.length > SHOWN)
    lines.push(
      wrapped(
        `… and the seeds ${broken
          .slice(SHOWN)
          .map(({ seed }) => seed)
          .join(', ')}`,
        0,
      ),
    )
  lines.push(
    ...(results.length > 0 ? [recovery(results)] : []),
    broken.length === 0 && outcomes.length === seeds.length
      ? `All promises were kept in ${worlds(outcomes.length)}.`
      : verdict(outcomes, broken),
    '',
  )
  return lines.join('\n')
}

function summary(results: readonly SoakResult[]): string {
  const states = new Map<string, number>()
  for (const { stats } of results)
    for (const [state, count] of Object.entries(stats.states))
      states.set(state, (states.get(state) ?? 0) + count)
  const jobs = results.reduce((sum, result) => sum + result.jobs, 0)
  const runners = results.reduce((sum, { stats }) => sum + stats.runners, 0)
  const ended = [...states].sort(([, a], [, b]) => b - a).map(([state, count]) => `${count} ${state}`)
  const unheard = results.filter(({ stats }) => stats.unheard > 0)
  const lost = unheard.reduce((sum, { stats }) => sum + stats.unheard, 0)
  const silent =
    lost > 0
      ? `; ${lost} more in ${worlds(unheard.length)} are of repositories of which not one delivery came`
      : ''
  return wrapped(`${jobs - lost} jobs on ${runners} runners: ${ended.join(', ')}${silent}`, 0).trimEnd()
}

function faultTable(results: readonly SoakResult[]): string[] {
  const counts = new Map<string, { worlds: number; struck: number }>()
  for (const { name, struck } of results.flatMap(result => result.faults)) {
    const count = counts.get(name) ?? { worlds: 0, struck: 0 }
    counts.set(name, { worlds: count.worlds + 1, struck: count.struck + struck })
  }
  const rows = [...FAULTS.keys()].flatMap(name => {
    const count = counts.get(name)
    return count
      ? [`${name.padEnd(24)}${String(count.worlds).padStart(8)}${String(count.struck).padStart(10)}`]
      : []
  })
  return rows.length > 0
    ? [`${'fault'.padEnd(24)}${'worlds'.padStart(8)}${'struck'.padStart(10)}`, ...rows]
    : []
}

function explain({ seed, result, error }: Outcome, choice: Choice, timeline: boolean): string[] {
  const again = replay(seed, choice)
  if (!result)
    return [`seed ${seed} came to no end:`, wrapped(clean(error ?? '', 600), 2).trimEnd(), ...again, '']
  const shown = result.broken.slice(0, timeline ? result.broken.length : 4)
  const lines = [
    `seed ${seed}`,
    ...shown.map(({ promise, what }) => wrapped(clean(what, 400), 16, `  ${promise}`).trimEnd()),
    ...(shown.length < result.broken.length ? [`  … and ${result.broken.length - shown.length} more`] : []),
  ]
  if (!timeline) return [...lines, ...again, '']
  const entries = result.timeline.slice(0, TIMELINE_LINES)
  return [
    ...lines,
    '',
    ...result.faults.map(({ name, share, from, to, struck }) => {
      const when = `${clock(from)} to ${clock(to)}, ${(share * 100).toFixed(1)} %, struck ${struck} times`
      return wrapped(when, 26, `  ${name}`).trimEnd()
    }),
    '',
    ...entries.map(entry => wrapped(line(entry), 10, clock(entry.at)).trimEnd()),
    '',
  ]
}

/** The command that plays the world again, in as many lines as a shell takes for one. */
function replay(seed: number, choice: Choice): string[] {
  const command = `npx tornade soak --seed ${seed}`
  if (choice.except === LATER_FAULTS) return [`  ${command} --past`]
  const parts = Object.entries(choice).flatMap(([name, given]) =>
    (typeof given === 'number' ? [given] : given).map(text => ` --${name} ${text}`),
  )
  const lines = [`  ${command}`]
  for (const part of parts) {
    if (lines.at(-1)!.length + part.length + 2 <= WIDTH) lines.push(lines.pop()! + part)
    else lines.push(`${lines.pop()!} \\`, `   ${part}`)
  }
  return lines
}

function line({ what, again }: SoakResult['timeline'][number]): string {
  return clean(what, 400) + (again ? ` (${again.times} times more, until ${clock(again.until)})` : '')
}

/** Hours, minutes and seconds since the world began. */
function clock(at: number): string {
  return new Date(at - START).toISOString().slice(11, 19)
}

function recovery(results: readonly SoakResult[]): string {
  const longest = Math.max(...results.map(({ stats }) => stats.recoveryMinutes))
  return wrapped(
    `Everything ended within ${longest} min of the time from which nothing fails; the bound is ${BOUND_MINUTES} min.`,
    0,
  ).trimEnd()
}

function verdict(outcomes: readonly Outcome[], broken: readonly Outcome[]): string {
  const counts = new Map<string, number>()
  for (const { result } of broken) {
    for (const name of new Set(result?.broken.map(({ promise }) => promise) ?? ['no end']))
      counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  if (broken.length === 0) return `Interrupted: all promises were kept in ${worlds(outcomes.length)} so far.`
  const which = [...counts].map(([name, count]) => `${name} in ${count}`).join(', ')
  return wrapped(`Broken in ${broken.length} of ${worlds(outcomes.length)}: ${which}.`, 0).trimEnd()
}

function worlds(count: number): string {
  return `${count} ${count === 1 ? 'world' : 'worlds'}`
}
