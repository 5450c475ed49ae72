/**
 * Roll-ups as the table holds them: JSON in which names are numbers of a list, and figures stand in the order of their
 * names in core/rollups.ts. New ones go to the end there; what is not stored is 0.
 *
 * What is too long for an item goes on in further pages, each with the time of the whole, so that it shows when pages of two
 * times are read together.
 */
import {
  type Cell,
  HAPPENING_NAMES,
  type Rollup,
  type SpendRollup,
  START_NAMES,
  SUM_NAMES,
  type Sums,
  spanOf,
  type UsageOf,
  type UsageRollup,
} from '../core/rollups.ts'
import type { RunnerShape } from '../core/types.ts'

/** Characters of JSON: deflated far below the 400 KB of an item, whatever is in it. */
const PAGE_CHARACTERS = 300_000

/** The pages of a roll-up as JSON, one at least. */
export function writeRollup(rollup: Rollup, pageCharacters: number = PAGE_CHARACTERS): readonly string[] {
  const pages =
    rollup.family === 'spend'
      ? paged(rollup.cells, writeCell, pageCharacters)
      : paged(rollup.usage, writeUsage, pageCharacters)
  const head = rollup.family === 'spend' ? writeHead(rollup) : {}
  return pages.map((page, index) =>
    JSON.stringify({ at: rollup.at, ...(index === 0 ? { pages: pages.length, ...head } : {}), ...page }),
  )
}

/** How many pages there are, as the first one says. @throws Error when it is none */
export function pagesOf(first: string): number {
  const { pages } = JSON.parse(first) as { readonly pages?: unknown }
  if (typeof pages !== 'number') throw new Error('not the first page of a roll-up')
  return pages
}

/** @param pages all of them, in order; undefined for one that is not there @throws Error when it is none */
export function readRollup(key: string, pages: readonly [string, ...(string | undefined)[]]): Rollup {
  const [grain, period, family] = key.split('#') as [Rollup['grain'], string, Rollup['family']]
  const [head, ...others] = pages.map(text => (text === undefined ? undefined : (JSON.parse(text) as Stored)))
  const fitting = others.filter(page => page?.at === head!.at) as Stored[]
  const read = [head!, ...fitting]
  const common = { grain, period, at: head!.at }
  const incomplete = fitting.length < others.length ? { incomplete: true as const } : {}
  if (family === 'usage') {
    const usage = read.flatMap(({ names, rows }) => rows.map(row => readUsage(row, names)))
    return { family, ...common, usage, ...incomplete } satisfies UsageRollup
  }
  const { sums, byCompute, byArch, happened, starts } = head as StoredHead
  return {
    family,
    ...common,
    sums: named(SUM_NAMES, sums),
    byCompute: mapped(byCompute, figures => named(SUM_NAMES, figures)),
    byArch: mapped(byArch, figures => named(SUM_NAMES, figures)),
    happened: named(HAPPENING_NAMES, happened),
    starts: Object.fromEntries(
      START_NAMES.map((name, index) => [name, starts[index] ?? {}]),
    ) as unknown as SpendRollup['starts'],
    cells: read.flatMap(({ names, rows }) => rows.map(row => readCell(row, names))),
    ...incomplete,
  } satisfies SpendRollup
}

/** When it may be forgotten is counted from here. */
export function endOf(key: string): number {
  const [grain, period] = key.split('#') as [Rollup['grain'], string]
  return spanOf(grain, period).to
}

type StoredRow = readonly unknown[]
interface Stored {
  readonly at: number
  readonly names: readonly (string | null)[]
  readonly rows: readonly StoredRow[]
}
interface StoredHead extends Stored {
  readonly sums: readonly number[]
  readonly byCompute: SpendFigures
  readonly byArch: SpendFigures
  readonly happened: readonly number[]
  readonly starts: readonly SpendRollup['starts']['whole'][]
}
type SpendFigures = Readonly<Record<string, readonly number[]>>

type Namer = (name: string | null) => number

/** Rows in pages, each with the names in it; one page where there is no row. */
function paged<Row>(
  rows: readonly Row[],
  write: (row: Row, name: Namer) => StoredRow,
  characters: number,
): { names: (string | null)[]; rows: StoredRow[] }[] {
  const pages: { names: (string | null)[]; rows: StoredRow[] }[] = []
  let known = new Map<string | null, number>()
  let left = 0
  const name: Namer = text => {
    const index = known.get(text) ?? known.size
    if (index === known.size) {
      known.set(text, index)
      pages.at(-1)!.names.push(text)
      left -= (text?.length ?? 0) + 3
    }
    return index
  }
  const begin = () => {
    pages.push({ names: [], rows: [] })
    known = new Map()
    left = characters
  }
  begin()
  for (const row of rows) {
    if (left <= 0) begin()
    const written = write(row, name)
    left -= JSON.stringify(written).length + 1
    pages.at(-1)!.rows.push(written)
  }
  return pages
}

function writeHead({ sums, byCompute, byArch, happened, starts }: SpendRollup) {
  const figures = (of: Sums) => SUM_NAMES.map(name => of[name])
  return {
    sums: figures(sums),
    byCompute: mapped(byCompute, figures),
    byArch: mapped(byArch, figures),
    happened: HAPPENING_NAMES.map(name => happened[name]),
    starts: START_NAMES.map(name => starts[name]),
  }
}

function writeCell(cell: Cell, name: Namer): StoredRow {
  const names = [cell.repository, cell.workflow, cell.role, cell.compute].map(name)
  return [...names, ...SUM_NAMES.map(sum => cell[sum])]
}

function readCell(row: StoredRow, names: Stored['names']): Cell {
  const [repository, workflow, role, compute, ...figures] = row as number[]
  return {
    repository: names[repository!]!,
    workflow: names[workflow!] ?? null,
    role: names[role!] ?? null,
    compute: names[compute!] as Cell['compute'],
    ...named(SUM_NAMES, figures),
  }
}

function writeUsage({ repository, workflow, region, shape, samples }: UsageOf, name: Namer): StoredRow {
  const { arch, compute, capacity, cpu, memoryGiB, diskGiB, computeType } = shape
  const size = [name(arch), name(compute), name(capacity), cpu, memoryGiB, diskGiB, name(computeType)]
  const figures = samples.map(
    ({ jobKey, at, seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB }) => [
      jobKey,
      at,
      seconds,
      cpuAverage,
      cpuPeak,
      memoryAverageGiB,
      memoryPeakGiB,
    ],
  )
  return [name(repository), name(workflow), name(region), size, figures]
}

function readUsage(row: StoredRow, names: Stored['names']): UsageOf {
  const [repository, workflow, region, size, figures] = row as [number, number, number, number[], StoredRow[]]
  const [arch, compute, capacity, cpu, memoryGiB, diskGiB, computeType] = size
  const shape = {
    arch: names[arch!],
    compute: names[compute!],
    capacity: names[capacity!] ?? null,
    cpu,
    memoryGiB,
    diskGiB,
    computeType: names[computeType!] ?? null,
  } as RunnerShape
  const samples = figures.map(figure => {
    const [jobKey, at, seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB] = figure as [
      string,
      ...[number, number, number, number, number, number],
    ]
    return { jobKey, at, seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB }
  })
  return {
    repository: names[repository]!,
    workflow: names[workflow]!,
    region: names[region]!,
    shape,
    samples,
  }
}

function named<Name extends string>(
  names: readonly Name[],
  figures: readonly number[],
): Record<Name, number> {
  return Object.fromEntries(names.map((name, index) => [name, figures[index] ?? 0])) as Record<Name, number>
}

function mapped<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}
