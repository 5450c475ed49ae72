/** The dimensions that a job can choose in: one row each, which reads a part and prints a value. */
import { DISK, FARGATE_SIZES } from '../sizes.ts'
import type { Arch, Compute, SpecCapacity } from '../types.ts'
import { nearest } from './nearest.ts'
import { HABITS } from './parts.ts'
import type { LabelRules } from './rules.ts'
import { listed } from './wording.ts'

/** What can be chosen, once per set. */
export interface Values {
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
export type Dimension = keyof Values

interface Fault {
  readonly message: string
  readonly suggestion: string | null
}
/** null: the part belongs to another row. */
type Read<V> = { readonly value: V } | Fault | null

export interface Row<V> {
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
export const CPUS: readonly number[] = FARGATE_SIZES.map(size => size.cpu)
export const MOST_GIB = Math.max(...FARGATE_SIZES.flatMap(size => size.memoryGiB))

export const ROWS: { readonly [D in Dimension]: Row<Values[D]> } = {
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
export const DIMENSIONS = Object.keys(ROWS) as readonly Dimension[]
export const PREFIXES = DIMENSIONS.filter(dimension => ROWS[dimension].documented.includes(`${dimension}:`))

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
        : { message: `What follows \`${prefix}\` is 1 to 40 letters a-z, digits and hyphens.`, suggestion }
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

export function printCpu(cpu: number): string {
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

export function printMemory(gib: number): string {
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
