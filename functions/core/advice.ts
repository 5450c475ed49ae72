/**
 * Which size a workflow should ask for instead, from what its last runs used (docs/costs.md, "Usage and advice").
 *
 * Cpu and memory are each judged by their own figures, and what AWS sells decides what goes with what. The figures are the
 * runners' own, and a job can forge its own: advice is for its author to take or leave, and nothing acts on it.
 */
import { perMinute } from './cost.ts'
import { printCpu, printMemory } from './labels/rows.ts'
import type { UsageOf } from './rollups.ts'
import { CODEBUILD_TYPES, FARGATE_SIZES, fargateMemory } from './sizes.ts'
import type { PriceBasis, RunnerShape } from './types.ts'

export type Direction = 'smaller' | 'larger'

export interface Advice {
  /** What the figures of cpu and of memory say, each by itself; null where they say that it fits. */
  readonly cpu: Direction | null
  readonly memory: Direction | null
  readonly from: RunnerShape
  readonly to: RunnerShape
  /** To be written instead of those that ask for cpu and memory now, for example `1cpu` and `4gb`. */
  readonly labels: readonly string[]
  /** How many runs it is drawn from. */
  readonly runs: number
  /** Of those, as shares of what they had: the highest average and peak. */
  readonly most: {
    readonly cpuAverage: number
    readonly cpuPeak: number
    readonly memoryAverage: number
    readonly memoryPeak: number
  }
  /** Price of the same minutes now less that of the advice: below 0 it costs more. null where a price is unknown. */
  readonly savingMicroUsdPerMonth: number | null
  readonly basis: PriceBasis
}

export const LEAST_RUNS = 10
export const MOST_RUNS = 20
/** All runs stayed under both: the next smaller size. */
const LOW_AVERAGE = 0.3
const LOW_PEAK = 0.7
/** More than half of the runs were over this on average: the next larger one. */
const HIGH_AVERAGE = 0.9
/** No memory is advised of which a peak would have taken more. */
const MEMORY_LEFT = 0.9
/** Sizes of cpu double from one to the next; memory, which comes in single GiB, is halved and doubled likewise. */
const STEP = 2

/** By one run, in vCPU or GiB. */
interface Used {
  readonly average: number
  readonly peak: number
}
/** What the runs used of what they had. */
interface Figures {
  readonly had: number
  readonly runs: readonly Used[]
}

/**
 * @param usage of one workflow at one size; its newest 20 runs count, in whatever order they stand
 * @param monthlyMinutes that its jobs of this size run for in 30 days; they are taken to be as many at the other size
 * @returns null where the size fits, where there is no better one, and for fewer than 10 runs
 */
export function adviceFor(
  { shape: from, region, samples }: Pick<UsageOf, 'shape' | 'region' | 'samples'>,
  monthlyMinutes: number,
): Advice | null {
  const runs = samples.toSorted((a, b) => b.at - a.at).slice(0, MOST_RUNS)
  if (runs.length < LEAST_RUNS) return null
  const cpu: Figures = {
    had: from.cpu,
    runs: runs.map(({ cpuAverage, cpuPeak }) => ({ average: cpuAverage, peak: cpuPeak })),
  }
  const memory: Figures = {
    had: from.memoryGiB,
    runs: runs.map(({ memoryAverageGiB, memoryPeakGiB }) => ({
      average: memoryAverageGiB,
      peak: memoryPeakGiB,
    })),
  }
  const to = from.compute === 'fargate' ? onFargate(from, cpu, memory) : onCodeBuild(from, cpu, memory)
  if (!to || (to.cpu === from.cpu && to.memoryGiB === from.memoryGiB)) return null
  return {
    cpu: direction(cpu),
    memory: direction(memory),
    from,
    to,
    labels: [printCpu(labelCpu(to.cpu)), printMemory(to.memoryGiB)],
    runs: runs.length,
    most: {
      cpuAverage: most(cpu, 'average') / cpu.had,
      cpuPeak: most(cpu, 'peak') / cpu.had,
      memoryAverage: most(memory, 'average') / memory.had,
      memoryPeak: most(memory, 'peak') / memory.had,
    },
    ...saving(from, to, monthlyMinutes, region),
  }
}

/** The cpu that its figures ask for, else the one there is, else, for more memory, the next one that has it. */
function onFargate(from: RunnerShape, cpu: Figures, memory: Figures): RunnerShape | null {
  const sizes = FARGATE_SIZES.map(size => size.cpu)
  const index = sizes.indexOf(from.cpu)
  if (index < 0) return null
  const step = { smaller: -1, larger: 1 }
  const wanted = direction(cpu)
  const cpus = [
    ...(wanted === null ? [] : sizes.slice(Math.max(0, index + step[wanted])).slice(0, 1)),
    from.cpu,
    ...(direction(memory) === 'larger' ? sizes.slice(index + 1) : []),
  ]
  for (const size of cpus) {
    const memoryGiB = memoryWith(size, memory)
    if (memoryGiB !== null) return { ...from, cpu: size, memoryGiB }
  }
  return null
}

/** Memory to have with this cpu; null where Fargate has none with it that will do. */
function memoryWith(cpu: number, memory: Figures): number | null {
  const steps = fargateMemory(cpu)!
  const enough = (least: number) => steps.find(step => step >= least) ?? null
  switch (direction(memory)) {
    case null:
      return enough(memory.had)
    case 'smaller':
      return enough(Math.max(memory.had / STEP, most(memory, 'peak') / MEMORY_LEFT))
    case 'larger':
      return enough(memory.had * STEP) ?? (steps.at(-1)! > memory.had ? steps.at(-1)! : null)
  }
}

/** Its types have cpu and memory together: less only where both may be less, more where either should be more. */
function onCodeBuild(from: RunnerShape, cpu: Figures, memory: Figures): RunnerShape | null {
  const types = CODEBUILD_TYPES[from.arch]
  const index = types.findIndex(({ computeType }) => computeType === from.computeType)
  if (index < 0) return null
  const ways = [direction(cpu), direction(memory)]
  const isLess = ways[0] === 'smaller' && ways[1] !== 'larger'
  const type = ways.includes('larger') ? types[index + 1] : isLess ? types[index - 1] : undefined
  if (!type) return null
  if (isLess && !(holds(type.cpu, cpu) && most(memory, 'peak') <= type.memoryGiB * MEMORY_LEFT)) return null
  return { ...from, ...type }
}

/** A step of more than a half asks of the smaller size what a half would have left of it. */
function holds(cpu: number, record: Figures): boolean {
  return most(record, 'average') < LOW_AVERAGE * STEP * cpu && most(record, 'peak') < LOW_PEAK * STEP * cpu
}

function direction({ had, runs }: Figures): Direction | null {
  if (runs.every(({ average, peak }) => average < LOW_AVERAGE * had && peak < LOW_PEAK * had))
    return 'smaller'
  const over = runs.filter(({ average }) => average > HIGH_AVERAGE * had)
  return over.length > runs.length / 2 ? 'larger' : null
}

function most({ runs }: Figures, figure: keyof Used): number {
  return Math.max(...runs.map(used => used[figure]))
}

/** Labels have the vCPU of Fargate; CodeBuild's larger types lie between them or beyond, and are told by their memory. */
function labelCpu(cpu: number): number {
  return FARGATE_SIZES.findLast(size => size.cpu <= cpu)!.cpu
}

function saving(
  from: RunnerShape,
  to: RunnerShape,
  monthlyMinutes: number,
  region: string,
): Pick<Advice, 'savingMicroUsdPerMonth' | 'basis'> {
  const [now, then] = [perMinute(from, region), perMinute(to, region)]
  const bases = [now.basis, then.basis]
  const basis = (['unknown', 'estimate'] as const).find(one => bases.includes(one)) ?? 'published'
  // An unknown price of storage is the same in both, and falls out of the difference.
  if (now.microUsd === null || then.microUsd === null) return { savingMicroUsdPerMonth: null, basis }
  // + 0: no saving is not −0.
  return { savingMicroUsdPerMonth: Math.round((now.microUsd - then.microUsd) * monthlyMinutes) + 0, basis }
}
