/**
 * Labels: the contract with workflow authors (docs/labels.md).
 *
 * A set of labels is cut into parts, every part is read by the row of the dimension it belongs to, and what was chosen
 * is held against what AWS can start. Nothing stops at the first fault: an author sees all of them at once, in an order
 * that does not depend on how the set was written.
 */
import {
  CODEBUILD_LEAST_MINUTES,
  CODEBUILD_TYPES,
  codeBuildType,
  DEFAULT_CPU,
  DEFAULT_GIB_PER_CPU,
  DISK,
  FARGATE_SIZES,
  fargateCpuFor,
  fargateDefaultMemory,
  fargateMemory,
} from './sizes.ts'
import { clean } from './text.ts'
import type { Arch, Compute, Problem, Spec, SpecCapacity } from './types.ts'

/** What a deployment adds to the labels that everybody has. */
export interface LabelRules {
  /** The part that makes a set ours; case does not matter. */
  readonly marker: string
  /** Presets of tornade.yml: name → parts. */
  readonly sizes: ReadonlyMap<string, readonly string[]>
  readonly roles: ReadonlySet<string>
  readonly images: ReadonlySet<string>
  /** Longest life of a runner, and what a job without `timeout:` gets. `timeout:` may only shorten it. */
  readonly longestMinutes: number
  /** Largest job that the deployment takes; null = not checked. */
  readonly limits: { readonly cpu: number; readonly memoryGiB: number; readonly diskGiB: number } | null
}

/** Rules without a tornade.yml: no names, six hours, no limits. */
export const DEFAULT_RULES: LabelRules = {
  marker: 'tornade',
  sizes: new Map(),
  roles: new Set(),
  images: new Set(),
  longestMinutes: 360,
  limits: null,
}

export type LabelReading =
  /** No label holds the marker: somebody else's job. */
  | { readonly outcome: 'ignored' }
  | { readonly outcome: 'spec'; readonly spec: Spec; readonly notes: readonly string[] }
  | { readonly outcome: 'problems'; readonly problems: readonly Problem[]; readonly notes: readonly string[] }

/**
 * Reads the labels of a job.
 *
 * @param labels any strings, in any order and case: an array of parts, one label with parts between `/`, or both.
 * @returns `ignored` without the marker; else the spec (memory and disk in GiB, life in minutes) with notes about what
 *   was rounded or taken for it; else every problem of the set. Order, case and spelling of the labels change nothing but
 *   how `label` of a problem is written. Never throws.
 */
export function readLabels(labels: readonly string[], rules: LabelRules): LabelReading {
  const parts = partsOf(labels, rules.marker)
  if (parts === null) return { outcome: 'ignored' }
  const own = sortParts(parts, rules)
  const preset = readPreset(own, rules)
  const { spec, problems, notes } = settle(overlay(preset, own), rules, rules.limits)
  const all = [...own.problems, ...preset.problems, ...problems]
  return all.length === 0 ? { outcome: 'spec', spec, notes } : { outcome: 'problems', problems: all, notes }
}

/** True when `readLabels` would not ignore this set. Reads no more than it must: every delivery comes through here. */
export function hasMarker(labels: readonly string[], marker: string): boolean {
  const wanted = fold(marker)
  return labels.some(label => holdsMarker(label, wanted))
}

/**
 * Labels that read back as this spec, under rules that know its names: defaults left out, always in the same order.
 *
 * @param form `array` for one label per part, `one` for a single label with `/` between the parts.
 */
export function printLabels(spec: Spec, rules: LabelRules, form: 'array' | 'one'): string[] {
  const implied: Compute = spec.docker ? 'codebuild' : 'fargate'
  const parts = [
    rules.marker,
    spec.arch !== 'x64' && ROWS.arch.print(spec.arch),
    spec.compute !== implied && ROWS.compute.print(spec.compute),
    spec.capacity !== null && spec.capacity !== 'on-demand' && ROWS.capacity.print(spec.capacity),
    spec.cpu !== DEFAULT_CPU && ROWS.cpu.print(spec.cpu),
    spec.memoryGiB !== defaultMemory(spec.compute, spec.cpu) && ROWS.memory.print(spec.memoryGiB),
    spec.diskGiB !== DISK.includedGiB && ROWS.disk.print(spec.diskGiB),
    spec.docker && ROWS.docker.print(true),
    spec.build && ROWS.build.print(true),
    spec.role !== null && ROWS.role.print(spec.role),
    spec.image !== null && ROWS.image.print(spec.image),
    spec.timeoutMinutes !== rules.longestMinutes && ROWS.timeout.print(spec.timeoutMinutes),
  ].filter(part => part !== false)
  switch (form) {
    case 'array':
      return parts
    case 'one':
      return [parts.join('/')]
  }
}

// Parts ---------------------------------------------------------------------------------------------------------------

interface Part {
  /** As it is looked up: lower case, no white space around it. */
  readonly text: string
  /** As the author wrote it. */
  readonly written: string
}

/** ASCII only, as GitHub compares labels: a Kelvin sign is no k. */
function fold(text: string): string {
  return text.trim().replace(/[A-Z]+/g, letters => letters.toLowerCase())
}

function holdsMarker(label: string, marker: string): boolean {
  if (label.length < marker.length) return false
  return label.includes('/') ? label.split('/').some(part => fold(part) === marker) : fold(label) === marker
}

/** `run:` and `run-` make a set of labels unique and mean nothing. */
function isRun(text: string): boolean {
  return text.startsWith('run:') || text.startsWith('run-')
}

/** GitHub's own labels of such a runner, often written out of habit. */
const HABITS: ReadonlySet<string> = new Set(['self-hosted', 'linux'])

function isMeaningless(text: string): boolean {
  return isRun(text) || HABITS.has(text)
}

/**
 * Parts of a set without its markers, each once, sorted; null when no label holds the marker.
 *
 * Only labels that hold the marker are split. A label that begins with `run:` or `run-` may hold anything, a path with the
 * marker in it as well, so it is split only where nothing else holds the marker.
 */
function partsOf(labels: readonly string[], marker: string): readonly Part[] | null {
  const wanted = fold(marker)
  const holding = labels.filter(label => holdsMarker(label, wanted))
  if (holding.length === 0) return null
  const plain = holding.filter(label => !isRun(fold(label)))
  const split = new Set(plain.length > 0 ? plain : holding)
  const parts = labels.flatMap(label => (split.has(label) ? label.split('/') : [label]))
  return distinct(parts).filter(part => part.text !== wanted && !isMeaningless(part.text))
}

/** Sorted, and of several spellings always the same one, so that a reading does not depend on the order of labels. */
function distinct(texts: readonly string[]): readonly Part[] {
  const spellings = new Map<string, string>()
  for (const written of texts) {
    const text = fold(written)
    const known = spellings.get(text)
    if (known === undefined || written < known) spellings.set(text, written)
  }
  return [...spellings]
    .map(([text, written]) => ({ text, written }))
    .sort((a, b) => (a.text < b.text ? -1 : 1))
}

// Dimensions: one row each --------------------------------------------------------------------------------------------

/** What can be chosen, once per set. */
interface Values {
  arch: Arch
  compute: Compute
  capacity: Exclude<SpecCapacity, 'on-demand'>
  /** vCPU */
  cpu: number
  /** GiB */
  memory: number
  /** GiB */
  disk: number
  docker: true
  build: true
  role: string
  image: string
  size: string
  /** minutes */
  timeout: number
}
type Dimension = keyof Values

interface Fault {
  readonly message: string
  readonly suggestion: string | null
}
/** null: the part belongs to another row. */
type Read<V> = { readonly value: V } | Fault | null

interface Row<V> {
  /** Completes "A job has one …". */
  readonly noun: string
  /** Words and prefixes that docs/labels.md explains. */
  readonly documented: readonly string[]
  /** Words that a misspelt part may have meant. */
  words(rules: LabelRules): readonly string[]
  read(part: string, rules: LabelRules): Read<V>
  /** The one way to write a value. */
  print(value: V): string
}

const ARCH_WORDS: ReadonlyMap<string, Arch> = new Map([
  ['x64', 'x64'],
  ['arm64', 'arm64'],
  ['x86', 'x64'],
  ['x86_64', 'x64'],
  ['amd64', 'x64'],
  ['aarch64', 'arm64'],
])
const CPUS: readonly number[] = FARGATE_SIZES.map(size => size.cpu)
const MOST_GIB = Math.max(...FARGATE_SIZES.flatMap(size => size.memoryGiB))

const ROWS: { readonly [D in Dimension]: Row<Values[D]> } = {
  arch: words('architecture', ARCH_WORDS),
  compute: words('compute', wordsOf('fargate', 'codebuild')),
  capacity: words('capacity', wordsOf('spot', 'spot-only')),
  cpu: {
    noun: 'number of vCPU',
    documented: CPUS.map(printCpu),
    words: () => CPUS.map(printCpu),
    read: readCpu,
    print: printCpu,
  },
  memory: {
    noun: 'memory',
    documented: ['512mb', '1gb', printMemory(MOST_GIB)],
    words: () => [...new Set(FARGATE_SIZES.flatMap(size => size.memoryGiB))].map(printMemory),
    read: readMemory,
    print: printMemory,
  },
  disk: {
    noun: 'disk',
    documented: ['disk:'],
    words: () => [],
    read: readDisk,
    print: gib => `disk:${gib}gb`,
  },
  docker: flag('docker'),
  build: flag('build'),
  role: named('role', rules => rules.roles),
  image: named('image', rules => rules.images),
  size: named('size', rules => rules.sizes),
  timeout: {
    noun: 'timeout',
    documented: ['timeout:'],
    words: () => [],
    read: readTimeout,
    print: minutes => `timeout:${minutes % 60 === 0 ? `${minutes / 60}h` : `${minutes}m`}`,
  },
}
const DIMENSIONS = Object.keys(ROWS) as readonly Dimension[]
const PREFIXES = DIMENSIONS.filter(dimension => ROWS[dimension].documented.includes(`${dimension}:`))

/** Every fixed label word, and every prefix with its colon. The marker is not among them: tornade.yml names it. */
export const LABEL_WORDS: readonly string[] = [
  ...DIMENSIONS.flatMap(dimension => ROWS[dimension].documented),
  'run:',
  'run-',
  ...HABITS,
]

function wordsOf<W extends string>(...all: readonly W[]): ReadonlyMap<string, W> {
  return new Map(all.map(word => [word, word]))
}

function words<V extends string>(noun: string, meanings: ReadonlyMap<string, V>): Row<V> {
  const all = [...meanings.keys()]
  return {
    noun,
    documented: all,
    words: () => all,
    read: part => {
      const value = meanings.get(part)
      return value === undefined ? null : { value }
    },
    print: value => value,
  }
}

function flag(word: string): Row<true> {
  return {
    noun: word,
    documented: [word],
    words: () => [word],
    read: part => (part === word ? { value: true } : null),
    print: () => word,
  }
}

type Names = ReadonlySet<string> | ReadonlyMap<string, unknown>

function named(kind: 'role' | 'image' | 'size', namesOf: (rules: LabelRules) => Names): Row<string> {
  const prefix = `${kind}:`
  const known = (rules: LabelRules) => [...namesOf(rules).keys()].map(name => prefix + name)
  return {
    noun: kind,
    documented: [prefix],
    words: known,
    read: (part, rules) => {
      if (!part.startsWith(prefix)) return null
      const name = part.slice(prefix.length)
      if (namesOf(rules).has(name)) return { value: name }
      const suggestion = nearest(part, known(rules))
      return NAME.test(name)
        ? {
            message: `tornade.yml has ${known(rules).length === 0 ? `no ${kind}s` : `only ${listed(known(rules))}`}.`,
            suggestion,
          }
        : { message: `The name of a ${kind} is 1 to 40 letters a-z, digits and hyphens.`, suggestion }
    },
    print: name => prefix + name,
  }
}
const NAME = /^[a-z0-9-]{1,40}$/

function readCpu(part: string): Read<number> {
  const asked = amount(part)
  if (asked === null || !/^v?cpus?$/.test(asked.unit)) return null
  const above = CPUS.find(cpu => cpu >= asked.number)
  const suggestion = printCpu(above ?? CPUS.at(-1)!)
  if (part === suggestion) return { value: above! }
  if (above === undefined) return { message: `The most is ${CPUS.at(-1)} vCPU.`, suggestion }
  if (above === asked.number) return { message: `This is written \`${suggestion}\`.`, suggestion }
  const below = CPUS.findLast(cpu => cpu < asked.number)
  const has = below === undefined ? `no less than ${above}` : `${below} or ${above}`
  return { message: `Fargate has ${has} vCPU.`, suggestion }
}

function printCpu(cpu: number): string {
  return `${cpu}cpu`
}

function readMemory(part: string): Read<number> {
  const asked = gibibytes(part)
  if (asked === null) return null
  const gib = asked <= 0.5 ? 0.5 : Math.min(Math.ceil(asked), MOST_GIB)
  const suggestion = printMemory(gib)
  if (part === suggestion) return { value: gib }
  const message =
    asked > MOST_GIB
      ? `The most is ${MOST_GIB} GiB, with ${FARGATE_SIZES.at(-1)!.cpu} vCPU.`
      : `Memory is written \`512mb\`, or in whole GiB from \`1gb\` to \`${printMemory(MOST_GIB)}\`.`
  return { message, suggestion }
}

function printMemory(gib: number): string {
  return gib === 0.5 ? '512mb' : `${gib}gb`
}

function readDisk(part: string): Read<number> {
  if (!part.startsWith('disk:')) return null
  const size = part.slice('disk:'.length)
  const asked = gibibytes(size) ?? gibibytes(`${size}gb`)
  if (asked === null) return { message: `Disk is written like \`disk:50gb\`.`, suggestion: null }
  const gib = Math.min(Math.max(Math.ceil(asked), DISK.leastGiB), DISK.mostGiB)
  const suggestion = ROWS.disk.print(gib)
  if (part === suggestion) return { value: gib }
  if (gib === asked) return { message: `This is written \`${suggestion}\`.`, suggestion }
  return {
    message: `Disk is ${DISK.leastGiB} to ${DISK.mostGiB} GiB in whole GiB; without the label it is ${DISK.includedGiB}.`,
    suggestion,
  }
}

function readTimeout(part: string, rules: LabelRules): Read<number> {
  if (!part.startsWith('timeout:')) return null
  const length = part.slice('timeout:'.length)
  const asked = amount(length) ?? amount(`${length}m`)
  const unit = asked === null ? undefined : MINUTES.get(asked.unit)
  if (asked === null || unit === undefined) {
    return { message: 'A timeout is written like `timeout:90m` or `timeout:2h`.', suggestion: null }
  }
  const minutes = Math.max(1, Math.min(Math.ceil(asked.number * unit), rules.longestMinutes))
  const suggestion = ROWS.timeout.print(minutes)
  if (asked.number * unit > rules.longestMinutes) {
    return {
      message: `A runner lives ${rules.longestMinutes} minutes at most, and a timeout only shortens that.`,
      suggestion,
    }
  }
  if (asked.number === 0) return { message: 'A runner needs some time.', suggestion }
  if (/^[1-9]\d*[mh]$/.test(length)) return { value: minutes }
  return { message: 'A timeout is written in whole minutes or hours.', suggestion }
}
const MINUTES: ReadonlyMap<string, number> = new Map([
  ['m', 1],
  ['min', 1],
  ['mins', 1],
  ['minutes', 1],
  ['h', 60],
  ['hour', 60],
  ['hours', 60],
])

/** No value is longer; longer text is not worth a pattern. */
const LONGEST_VALUE = 32

/** `1.5gb` → 1.5 and `gb`; null for anything else. */
function amount(text: string): { readonly number: number; readonly unit: string } | null {
  const [, number, unit] =
    (text.length <= LONGEST_VALUE && /^(\d+(?:\.\d+)?|\.\d+)([a-z]+)$/.exec(text)) || []
  return number === undefined || unit === undefined ? null : { number: Number(number), unit }
}

function gibibytes(text: string): number | null {
  const asked = amount(text)
  switch (asked?.unit) {
    case 'gb':
    case 'gib':
      return asked.number
    case 'mb':
    case 'mib':
      return asked.number / 1024
    default:
      return null
  }
}

// Reading -------------------------------------------------------------------------------------------------------------

interface Choice<V> {
  readonly value: V
  /** The value as `print` writes it. */
  readonly word: string
  /** What a problem with this value names: the part as it was written, or the `size:` that brought it. */
  readonly label: string
  /** The `size:` that brought it, as `print` writes it. */
  readonly preset: string | null
}
type Chosen = { readonly [D in Dimension]?: Choice<Values[D]> }

interface Asked {
  readonly chosen: Chosen
  /** Dimensions for which something unusable was written: their defaults are nobody's wish, so nothing is said of them. */
  readonly unsure: ReadonlySet<Dimension>
}
interface Sorted extends Asked {
  readonly problems: readonly Problem[]
}

/**
 * More distinct parts than any job can mean: there are a dozen dimensions. What lies beyond is not read, so that a
 * generated list of labels costs neither time nor room in the ledger.
 */
const MOST_PARTS = 100

/** Puts every part into its dimension. `preset` is the `size:` that brought the parts. */
function sortParts(all: readonly Part[], rules: LabelRules, preset: Choice<string> | null = null): Sorted {
  const parts = all.slice(0, MOST_PARTS)
  const rows = DIMENSIONS.map(dimension => choose(dimension, parts, rules, preset))
  const read = new Set(rows.flatMap(row => row.read))
  const unsure = new Set(rows.filter(row => row.problems.length > 0).map(row => row.dimension))
  const problems = [
    ...countProblems(all),
    ...rows.flatMap(row => row.problems),
    ...parts.filter(part => !read.has(part)).map(part => unknownProblem(part, rules)),
  ]
  return { chosen: implyCompute(Object.assign({}, ...rows.map(row => row.chosen)), unsure), unsure, problems }
}

/** All that the parts say about one dimension. */
function choose<D extends Dimension>(
  dimension: D,
  parts: readonly Part[],
  rules: LabelRules,
  preset: Choice<string> | null,
) {
  const row: Row<Values[D]> = ROWS[dimension]
  const read: Part[] = []
  const problems: Problem[] = []
  const byWord = new Map<string, Choice<Values[D]>>()
  for (const part of parts) {
    const result = row.read(part.text, rules)
    if (result === null) continue
    read.push(part)
    const written = clean(part.written)
    if ('message' in result) {
      problems.push({ label: written, message: result.message, suggestion: result.suggestion })
      continue
    }
    const word = row.print(result.value)
    if (byWord.has(word)) continue
    byWord.set(word, {
      value: result.value,
      word,
      label: preset?.label ?? written,
      preset: preset?.word ?? null,
    })
  }
  const choices = [...byWord.values()].sort((a, b) => (a.value < b.value ? -1 : 1))
  problems.push(...conflictProblems(row.noun, choices))
  const [choice] = choices
  const chosen: Chosen = problems.length > 0 || choice === undefined ? {} : { [dimension]: choice }
  return { dimension, chosen, problems, read }
}

function conflictProblems(noun: string, choices: readonly Choice<unknown>[]): readonly Problem[] {
  const [first, ...others] = choices
  const last = others.at(-1)
  if (first === undefined || last === undefined) return []
  const words = listed(choices.map(choice => choice.word))
  return [
    {
      label: last.label,
      message: `A job has one ${noun}, and this set asks for ${words}: keep one.`,
      suggestion: first.word,
    },
  ]
}

/** `docker` asks for CodeBuild, unless something else is said about compute (which is then a contradiction). */
function implyCompute(chosen: Chosen, unsure: ReadonlySet<Dimension>): Chosen {
  if (chosen.docker === undefined || chosen.compute !== undefined || unsure.has('compute')) return chosen
  return { ...chosen, compute: { ...chosen.docker, value: 'codebuild' } }
}

function countProblems(parts: readonly Part[]): readonly Problem[] {
  if (parts.length <= MOST_PARTS) return []
  const message = `There are ${parts.length} different labels; only the first ${MOST_PARTS} in alphabetical order were read.`
  return [{ label: clean(parts[MOST_PARTS]!.written), message, suggestion: null }]
}

// Presets -------------------------------------------------------------------------------------------------------------

const NO_PRESET: Sorted = { chosen: {}, unsure: new Set(), problems: [] }
const UNKNOWN_PRESET: Sorted = { chosen: {}, unsure: new Set(DIMENSIONS), problems: [] }

/**
 * The parts of a preset, once they make sense by themselves. A broken preset is the operator's to mend: its faults are
 * reported as one label's, and nothing of it is used.
 */
function readPreset(own: Sorted, rules: LabelRules): Sorted {
  const { size } = own.chosen
  if (size === undefined) return own.unsure.has('size') ? UNKNOWN_PRESET : NO_PRESET
  const parts = distinct(rules.sizes.get(size.value) ?? []).filter(part => !isMeaningless(part.text))
  const misplaced = parts.filter(part => part.text === fold(rules.marker) || part.text.startsWith('size:'))
  const placed = parts.filter(part => !misplaced.includes(part))
  const sorted = sortParts(placed, rules, size)
  const faults = [
    ...misplaced.map(part => `\`${clean(part.text)}\` cannot stand in a preset.`),
    ...[...sorted.problems, ...settle(sorted, rules, null).problems].map(({ label, message }) =>
      label === size.label ? message : `\`${label}\`: ${message}`,
    ),
  ]
  if (faults.length === 0) return sorted
  const problems = faults.map(fault => ({
    label: size.label,
    message: `The preset \`${size.word}\` of tornade.yml cannot be used. ${fault}`,
    suggestion: null,
  }))
  return { ...UNKNOWN_PRESET, problems }
}

/** Parts beside `size:` win over the preset's. */
function overlay(preset: Sorted, own: Sorted): Asked {
  const kept = Object.entries(preset.chosen).filter(([dimension]) => !own.unsure.has(dimension as Dimension))
  const chosen: Chosen = { ...Object.fromEntries(kept), ...own.chosen }
  const unsure = [...preset.unsure, ...own.unsure].filter(dimension => chosen[dimension] === undefined)
  return { chosen, unsure: new Set(unsure) }
}

// What was chosen, against what there is ------------------------------------------------------------------------------

interface Settled {
  /** Holds defaults where something is wrong: of use only without problems. */
  readonly spec: Spec
  readonly problems: readonly Problem[]
  readonly notes: readonly string[]
}

function settle(asked: Asked, rules: LabelRules, limits: LabelRules['limits']): Settled {
  const { chosen } = asked
  // With `docker` there is no choice; if Fargate was asked for as well, that is told as a contradiction.
  const compute = chosen.docker === undefined ? (chosen.compute?.value ?? 'fargate') : 'codebuild'
  const cpu = chosen.cpu?.value ?? DEFAULT_CPU
  const wanted: Spec = {
    arch: chosen.arch?.value ?? 'x64',
    compute,
    capacity: compute === 'codebuild' ? null : (chosen.capacity?.value ?? 'on-demand'),
    cpu,
    memoryGiB: chosen.memory?.value ?? defaultMemory(compute, cpu),
    diskGiB: chosen.disk?.value ?? DISK.includedGiB,
    docker: chosen.docker?.value ?? false,
    build: chosen.build?.value ?? false,
    role: chosen.role?.value ?? null,
    image: chosen.image?.value ?? null,
    timeoutMinutes: chosen.timeout?.value ?? rules.longestMinutes,
  }
  const sized = startedFor(wanted, asked, limits)
  return {
    spec: sized.spec,
    problems: [
      ...contradictionProblems(chosen),
      ...sized.problems,
      ...limitProblems(sized.spec, asked, limits),
    ],
    notes: sized.notes,
  }
}

function defaultMemory(compute: Compute, cpu: number): number {
  switch (compute) {
    case 'fargate':
      return fargateDefaultMemory(cpu)
    case 'codebuild':
      return cpu * DEFAULT_GIB_PER_CPU
  }
}

function contradictionProblems(chosen: Chosen): readonly Problem[] {
  const { compute, docker, capacity, timeout } = chosen
  const problems: Problem[] = []
  if (docker !== undefined && compute?.value === 'fargate') {
    problems.push({
      label: compute.label,
      message: `Fargate has no Docker daemon, which ${said(docker)} asks for; a job that only builds images can do with \`build\`.`,
      suggestion: 'codebuild',
    })
  }
  if (capacity !== undefined && (docker !== undefined || compute?.value === 'codebuild')) {
    const cause = docker === undefined ? 'CodeBuild' : `CodeBuild, which ${said(docker)} needs,`
    problems.push({
      label: capacity.label,
      message: `${cause} has no Spot capacity: leave ${said(capacity)} out, or let the job run on Fargate.`,
      suggestion: docker === undefined ? 'fargate' : 'build',
    })
  }
  if (timeout !== undefined && compute?.value === 'codebuild' && timeout.value < CODEBUILD_LEAST_MINUTES) {
    problems.push({
      label: timeout.label,
      message: `CodeBuild lets a build live for ${CODEBUILD_LEAST_MINUTES} minutes at least.`,
      suggestion: ROWS.timeout.print(CODEBUILD_LEAST_MINUTES),
    })
  }
  return problems
}

/**
 * Finds the size that is started for a spec: memory of Fargate is rounded up, CodeBuild keeps what was asked. Says nothing
 * where it would have to guess what was meant.
 */
function startedFor(wanted: Spec, { chosen, unsure }: Asked, limits: LabelRules['limits']): Settled {
  const sure = (...dimensions: readonly Dimension[]) => !dimensions.some(dimension => unsure.has(dimension))
  const unsized: Settled = { spec: wanted, problems: [], notes: [] }
  switch (wanted.compute) {
    case 'fargate':
      return sure('compute', 'cpu', 'memory') ? startedOnFargate(wanted, chosen.memory, limits) : unsized
    case 'codebuild': {
      if (!sure('compute', 'arch')) return unsized
      const sized = startedOnCodeBuild(wanted, chosen)
      return sure('cpu', 'memory', 'disk') ? sized : { ...sized, notes: [] }
    }
  }
}

function startedOnFargate(wanted: Spec, memory: Chosen['memory'], limits: LabelRules['limits']): Settled {
  if (memory === undefined) return { spec: wanted, problems: [], notes: [] }
  const { cpu } = wanted
  const steps = fargateMemory(cpu) ?? []
  const has = `Fargate has ${memoryOf(steps)} for ${cpu} vCPU`
  const step = steps.find(gib => gib >= memory.value)
  if (step !== undefined) {
    const notes = step === memory.value ? [] : [`${said(memory)} is rounded up to ${step} GiB: ${has}.`]
    return { spec: { ...wanted, memoryGiB: step }, problems: [], notes }
  }
  const needed = fargateCpuFor(memory.value)!
  const suggestion = limits === null || needed <= limits.cpu ? printCpu(needed) : printMemory(steps.at(-1)!)
  const message = `${has}; ${said(memory)} needs ${needed} vCPU.`
  return { spec: wanted, problems: [{ label: memory.label, message, suggestion }], notes: [] }
}

function startedOnCodeBuild(wanted: Spec, chosen: Chosen): Settled {
  const type = codeBuildType(wanted)
  if (type !== null) {
    const size = `${type.cpu} vCPU, ${type.memoryGiB} GiB of memory, ${type.diskGiB} GB of disk`
    return { spec: wanted, problems: [], notes: [`CodeBuild runs this on ${type.computeType}: ${size}.`] }
  }
  const largest = CODEBUILD_TYPES[wanted.arch].at(-1)!
  const over = (dimension: Size, asked: number, has: number, unit: string): readonly Problem[] => {
    const message = `The largest ${wanted.arch} type of CodeBuild has ${has} ${unit}.`
    const suggestion = ROWS[dimension].print(has)
    return asked <= has ? [] : [{ label: sizeLabel(chosen, dimension, asked), message, suggestion }]
  }
  const problems = [
    ...over('cpu', wanted.cpu, largest.cpu, 'vCPU'),
    ...over('memory', wanted.memoryGiB, largest.memoryGiB, 'GiB of memory'),
    ...over('disk', wanted.diskGiB, largest.diskGiB, 'GB of disk'),
  ]
  return { spec: wanted, problems, notes: [] }
}

/** Over a limit of the deployment: the operator's decision, so the message names the setting. */
function limitProblems(
  spec: Spec,
  { chosen, unsure }: Asked,
  limits: LabelRules['limits'],
): readonly Problem[] {
  if (limits === null) return []
  const over = (dimension: Size, asked: number, most: number, unit: string, fits: readonly number[]) => {
    if (unsure.has(dimension) || asked <= most) return []
    const message = `The largest job here has ${most} ${unit}: \`limits.${dimension}\` in tornade.yml.`
    const fitting = fits.findLast(size => size <= most)
    const suggestion = fitting === undefined ? null : ROWS[dimension].print(fitting)
    return [{ label: sizeLabel(chosen, dimension, asked), message, suggestion }]
  }
  const cpu = over('cpu', spec.cpu, limits.cpu, 'vCPU', CPUS)
  // Memory that nobody asked for only follows the cpu, of which enough is said.
  const follows = chosen.memory === undefined && (cpu.length > 0 || unsure.has('cpu'))
  const stepped = spec.compute === 'fargate' && !unsure.has('cpu')
  const memory = stepped ? (fargateMemory(spec.cpu) ?? []) : upTo(MOST_GIB)
  return [
    ...cpu,
    ...(follows ? [] : over('memory', spec.memoryGiB, limits.memoryGiB, 'GiB of memory', memory)),
    ...over('disk', spec.diskGiB, limits.diskGiB, 'GiB of disk', upTo(DISK.mostGiB).slice(DISK.leastGiB - 1)),
  ]
}

type Size = 'cpu' | 'memory' | 'disk'

/** The part that made something this size; the default that it is where nothing was written. */
function sizeLabel(chosen: Chosen, dimension: Size, asked: number): string {
  const choice = chosen[dimension] ?? (dimension === 'memory' ? chosen.cpu : undefined)
  return choice?.label ?? ROWS[dimension].print(asked)
}

// What was meant ------------------------------------------------------------------------------------------------------

/** Words that people bring along, and why there is no such label. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ['on-demand', 'On demand is what a job gets without `spot`: leave it out.'],
  ['windows', 'Every runner is Linux.'],
  ['macos', 'Every runner is Linux.'],
  ['gpu', 'No runner has a GPU.'],
])

function unknownProblem(part: Part, rules: LabelRules): Problem {
  const label = clean(part.written)
  if (part.text === '') {
    return { label, message: 'A label is empty, or there is a `/` too many.', suggestion: null }
  }
  const reason = ELSEWHERE.get(part.text)
  if (reason !== undefined) return { label, message: reason, suggestion: null }
  if (part.text.includes('/')) {
    const message = `Only the label that holds \`${fold(rules.marker)}\` is split at \`/\`.`
    return { label, message, suggestion: asOneLabel(part.text, rules) }
  }
  const suggestion = meant(part.text, rules)
  const question = suggestion === null ? '.' : `; did you mean \`${suggestion}\`?`
  return { label, message: `There is no such label${question}`, suggestion }
}

/** The label with the marker in front, where that would do. Without presets: they could hold the same part again. */
function asOneLabel(text: string, rules: LabelRules): string | null {
  const label = `${fold(rules.marker)}/${text}`
  const works = readLabels([label], { ...rules, sizes: new Map() }).outcome === 'spec'
  return works && clean(label) === label ? label : null
}

/** Longer than any label word, so nobody's slip of the finger. */
const LONGEST_SLIP = 56

/** The label that an unknown part most likely stands for; null when none is near. */
function meant(text: string, rules: LabelRules): string | null {
  if (text.length > LONGEST_SLIP) return null
  for (const prefix of ['size:', 'role:', 'image:']) {
    if (isValue(prefix + text, rules)) return prefix + text
  }
  return (
    withPrefixRepaired(text, rules) ??
    nearest(text, [...DIMENSIONS.flatMap(d => ROWS[d].words(rules)), ...HABITS])
  )
}

/** `disk50gb`, `role=deploy`, `timout:90m`: the right value after the wrong prefix. */
function withPrefixRepaired(text: string, rules: LabelRules): string | null {
  const colon = text.indexOf(':')
  for (const prefix of PREFIXES) {
    const begins = text.startsWith(prefix)
    const nearly = colon > 0 && nearest(text.slice(0, colon), [prefix]) !== null
    if (!begins && !nearly) continue
    const value = begins ? text.slice(prefix.length).replace(/^[^a-z0-9]/, '') : text.slice(colon + 1)
    const repaired = `${prefix}:${value}`
    if (isValue(repaired, rules)) return repaired
  }
  return null
}

function isValue(text: string, rules: LabelRules): boolean {
  return DIMENSIONS.some(dimension => {
    const read = ROWS[dimension].read(text, rules)
    return read !== null && 'value' in read
  })
}

/** The word that takes the fewest slips to get from `text`, the first of several; null when none is near enough. */
function nearest(text: string, candidates: readonly string[]): string | null {
  if (text.length > LONGEST_SLIP) return null
  let best: { readonly word: string; readonly slips: number } | null = null
  for (const word of candidates) {
    const longer = Math.max(text.length, word.length)
    const allowed = longer <= 4 ? 1 : longer <= 8 ? 2 : 3
    if (Math.abs(text.length - word.length) > allowed) continue
    const slips = editDistance(text, word)
    if (slips <= allowed && (best === null || slips < best.slips)) best = { word, slips }
  }
  return best?.word ?? null
}

/** Letters to insert, delete, replace, or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: readonly number[] = []
  let previous: readonly number[] = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replaced
      row.push(Math.min(replaced, swapped, previous[j]! + 1, row[j - 1]! + 1))
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}

// Text ----------------------------------------------------------------------------------------------------------------

function said(choice: Choice<unknown>): string {
  return choice.preset === null ? `\`${choice.word}\`` : `\`${choice.word}\` (of \`${choice.preset}\`)`
}

/** Words in backticks, as a sentence has them; no more than a few. */
function listed(words: readonly string[]): string {
  const shown = words.slice(0, 5).map(word => `\`${word}\``)
  if (shown.length < words.length) return `${shown.join(', ')} and ${words.length - shown.length} more`
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}

/** [8, 9, … 30] → "8 to 30 GiB"; [16, 20, … 60] → "16 to 60 GiB in steps of 4"; [60, 120, 244] → "60, 120 or 244 GiB". */
function memoryOf(steps: readonly number[]): string {
  const [first, second] = steps
  const last = steps.at(-1)
  const by = (second ?? 0) - (first ?? 0)
  const even = steps.every((step, index) => index === 0 || step - steps[index - 1]! === by)
  if (!even) return `${steps.slice(0, -1).join(', ')} or ${last} GiB`
  return `${first} to ${last} GiB${by === 1 ? '' : ` in steps of ${by}`}`
}

function upTo(most: number): readonly number[] {
  return Array.from({ length: most }, (_, index) => index + 1)
}
