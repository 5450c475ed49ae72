/** How long a bundled handler takes to import: the time of `await import(handler)` alone, in a process of its own. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

/** Runs of each module. They take turns, so that what else the machine does falls on all of them. */
export const RUNS = 21

export interface ImportTime {
  readonly name: string
  readonly median: number
  readonly fastest: number
  /** Median as a multiple of the median of an empty module. */
  readonly ratio: number
}

export interface Imported {
  readonly name: string
  readonly module: string
  readonly environment: Readonly<Record<string, string>>
}

const PROGRAM = `const start = performance.now()
await import(process.env.BENCH_MODULE)
const took = performance.now() - start
process.stdout.write(String(took), () => process.exit())`

/** @returns the empty module first */
export async function importTimes(folder: string, modules: readonly Imported[]): Promise<ImportTime[]> {
  const empty = join(folder, 'empty.mjs')
  await writeFile(empty, '')
  const all = [{ name: 'an empty module', module: empty, environment: {} }, ...modules]
  const times = new Map<string, number[]>(all.map(({ name }) => [name, []]))
  // The first round fills the page cache, and does not count.
  for (let run = 0; run <= RUNS; run++) {
    process.stderr.write(`\rimports, run ${run} of ${RUNS} `)
    for (const one of all) {
      const took = await importTime(one)
      if (run > 0) times.get(one.name)!.push(took)
    }
  }
  process.stderr.write('\r\u001b[K')
  const floor = quantile(times.get('an empty module')!, 0.5)
  return [...times].map(([name, taken]) => {
    const median = quantile(taken, 0.5)
    return { name, median, fastest: Math.min(...taken), ratio: median / floor }
  })
}

async function importTime({ module, environment }: Imported): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', PROGRAM], {
    env: { ...environment, BENCH_MODULE: pathToFileURL(module).href },
  })
  return Number(stdout)
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
}
