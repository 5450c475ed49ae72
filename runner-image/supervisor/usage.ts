/**
 * What the job uses of cpu and memory, as one line of the log. Whoever reads the line there knows by its log stream which
 * runner wrote it, so the job needs no right to report anything.
 *
 * Counters of the kernel are read every two seconds: of the container's control group, or, where that cannot be
 * read, of the task's containers by the task metadata endpoint.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html
 * https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Cpu time used so far, and memory in use now without the file cache that the kernel can drop. */
export interface Reading {
  readonly cpuSeconds: number
  readonly memoryBytes: number
}
/** null where nothing can be read. */
export type Source = () => Promise<Reading | null>

export interface Usage {
  readonly seconds: number
  /** vCPU. */
  readonly cpuAverage: number
  readonly cpuPeak: number
  readonly memoryAverageMiB: number
  readonly memoryPeakMiB: number
}

/** A peak of cpu lasts at least this long; where the job does not, it is the average. */
export const PEAK_SECONDS = 10
const METADATA_MS = 2_000
const MIB = 1024 * 1024

/** Makes figures of readings. */
export class Meter {
  #first: { readonly at: number; readonly cpuSeconds: number } | null = null
  /** As far back as a peak reaches, oldest first. */
  #recent: { readonly at: number; readonly cpuSeconds: number }[] = []
  #cpuPeak = 0
  #memorySum = 0
  #memoryPeak = 0
  #count = 0

  /** @param at seconds on a clock that never goes back */
  take(at: number, { cpuSeconds, memoryBytes }: Reading): void {
    const last = this.#recent.at(-1)
    // A counter that went back, or stands in the same moment, tells nothing.
    if (last && (cpuSeconds < last.cpuSeconds || at <= last.at)) return
    const now = { at, cpuSeconds }
    this.#first ??= now
    this.#recent.push(now)
    while (this.#recent.length > 1 && this.#recent[1]!.at <= at - PEAK_SECONDS) this.#recent.shift()
    const [from] = this.#recent
    if (from!.at <= at - PEAK_SECONDS) this.#cpuPeak = Math.max(this.#cpuPeak, rate(from!, now))
    this.#memorySum += memoryBytes
    this.#memoryPeak = Math.max(this.#memoryPeak, memoryBytes)
    this.#count++
  }

  /** null before there are two readings. */
  usage(): Usage | null {
    const last = this.#recent.at(-1)
    if (!this.#first || !last || last === this.#first) return null
    const cpuAverage = rate(this.#first, last)
    return {
      seconds: thousandths(last.at - this.#first.at),
      cpuAverage: thousandths(cpuAverage),
      cpuPeak: thousandths(Math.max(this.#cpuPeak, cpuAverage)),
      memoryAverageMiB: Math.round(this.#memorySum / this.#count / MIB),
      memoryPeakMiB: Math.round(this.#memoryPeak / MIB),
    }
  }
}

/** Reads a source time and again from now on; the figures are there when it is stopped. */
export class Measurement {
  readonly #source: Source
  readonly #meter = new Meter()
  readonly #timer: NodeJS.Timeout
  #reading: Promise<void> | null = null

  constructor(source: Source, everyMs: number) {
    this.#source = source
    this.#timer = setInterval(() => void this.#read(), everyMs)
    void this.#read()
  }

  async stop(): Promise<Usage | null> {
    clearInterval(this.#timer)
    await this.#reading
    await this.#read()
    return this.#meter.usage()
  }

  /** One at a time: a slow source is asked less often. */
  #read(): Promise<void> {
    this.#reading ??= this.#source()
      .then(reading => {
        if (reading) this.#meter.take(performance.now() / 1000, reading)
      })
      .finally(() => {
        this.#reading = null
      })
    return this.#reading
  }
}

export function usageLine(usage: Usage): string {
  return JSON.stringify({ tornade: 'usage', v: 1, ...usage })
}

/**
 * The container's own control group; null where there is none to read. What is mounted is the container's own, and
 * holds what a Docker daemon in it starts. Only where the mount is the machine's root, which has no figure of memory, the
 * group is looked up by its name.
 */
export function cgroupSource(root: string, own = ownGroup()): Source | null {
  const readers = [
    () => readV2(root),
    ...(own === null ? [] : [() => readV2(join(root, own))]),
    () => readV1(root),
  ]
  const read = readers.find(one => attempt(one) !== null)
  return read ? async () => attempt(read) : null
}

/** @param address of the container: what ECS_CONTAINER_METADATA_URI_V4 says */
export function metadataSource(address: string): Source {
  return async () => {
    try {
      const answer = await fetch(`${address}/task/stats`, { signal: AbortSignal.timeout(METADATA_MS) })
      return answer.ok ? readStats(await answer.json()) : null
    } catch {
      return null
    }
  }
}

function readV2(folder: string): Reading {
  const memory = number(text(folder, 'memory.current'))
  const cache = entry(text(folder, 'memory.stat'), 'inactive_file')
  return {
    cpuSeconds: entry(text(folder, 'cpu.stat'), 'usage_usec') / 1e6,
    memoryBytes: Math.max(0, memory - cache),
  }
}

function readV1(folder: string): Reading {
  const memory = number(text(folder, 'memory/memory.usage_in_bytes'))
  const cache = entry(text(folder, 'memory/memory.stat'), 'total_inactive_file')
  return {
    cpuSeconds: number(text(folder, 'cpuacct/cpuacct.usage')) / 1e9,
    memoryBytes: Math.max(0, memory - cache),
  }
}

/** Statistics of each container as Docker has them; null for one that does not run. */
function readStats(containers: unknown): Reading | null {
  const readings = Object.values(containers as Record<string, ContainerStats | null>).flatMap(stats => {
    if (!stats?.cpu_stats?.cpu_usage || !stats.memory_stats) return []
    const { usage = 0, stats: details = {} } = stats.memory_stats
    const cache = details.inactive_file ?? details.total_inactive_file ?? 0
    const cpu = stats.cpu_stats.cpu_usage.total_usage
    return [{ cpuSeconds: checked(cpu) / 1e9, memoryBytes: Math.max(0, checked(usage) - checked(cache)) }]
  })
  if (readings.length === 0) return null
  return {
    cpuSeconds: readings.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    memoryBytes: readings.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
  }
}

interface ContainerStats {
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage: number } }
  readonly memory_stats?: {
    readonly usage?: number
    readonly stats?: { readonly inactive_file?: number; readonly total_inactive_file?: number }
  }
}

/** Path of the own group below the mount, of version 2; null where it is the mount. */
function ownGroup(): string | null {
  const line = attempt(() => readFileSync('/proc/self/cgroup', 'utf8'))?.match(/^0::(\/.+)$/m)
  return line?.[1] ?? null
}

function attempt<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

function text(folder: string, name: string): string {
  return readFileSync(join(folder, name), 'utf8')
}

/** The number behind `key` in lines of `key number`. */
function entry(lines: string, key: string): number {
  return number(new RegExp(`^${key} (\\d+)$`, 'm').exec(lines)?.[1])
}

function number(digits: string | undefined): number {
  return checked(digits === undefined || digits.trim() === '' ? Number.NaN : Number(digits))
}

function checked(value: number): number {
  if (!Number.isFinite(value) || value < 0) throw new RangeError('no such figure')
  return value
}

function rate(
  from: { readonly at: number; readonly cpuSeconds: number },
  to: { readonly at: number; readonly cpuSeconds: number },
): number {
  return (to.cpuSeconds - from.cpuSeconds) / (to.at - from.at)
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000
}
