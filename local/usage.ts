/** What a job on the local stack uses of its runner, and the line that the runner writes of it. */
import type { RunnerShape } from '../functions/core/types.ts'
import { type AssignedJob, fraction } from './github-jobs.ts'

/** Shares of what the runner has that the job uses on average, from 0 to 1. */
export interface JobLoad {
  readonly cpu: number
  readonly memory: number
}

/**
 * The line of runner-image/supervisor/usage.ts. Jobs of one name are alike and no two are the same; where nothing is
 * said about a job, its name says how much it uses. Nothing here is a measurement.
 */
export function usageLine(job: AssignedJob, shape: RunnerShape, seconds: number): string {
  const { cpu, memory } = job.load ?? madeUp(job)
  const own = (what: string) => fraction(`${what} ${job.key}`)
  const cpuAverage = Math.min(1, cpu * (0.9 + 0.2 * own('cpu')))
  const cpuPeak = Math.min(1, cpuAverage * (1.2 + own('cpu peak')))
  const memoryAverage = Math.min(1, memory * (0.9 + 0.2 * own('memory')))
  const memoryPeak = Math.min(1, memoryAverage * (1.1 + 0.4 * own('memory peak')))
  const mib = shape.memoryGiB * 1024
  return JSON.stringify({
    tornade: 'usage',
    v: 1,
    seconds,
    cpuAverage: cpuAverage * shape.cpu,
    cpuPeak: cpuPeak * shape.cpu,
    memoryAverageMiB: Math.round(memoryAverage * mib),
    memoryPeakMiB: Math.round(memoryPeak * mib),
  })
}

function madeUp({ repository, workflow, name }: AssignedJob): JobLoad {
  const job = `${repository.name} ${workflow} ${name}`
  return { cpu: 0.1 + 0.85 * fraction(`cpu of ${job}`), memory: 0.1 + 0.6 * fraction(`memory of ${job}`) }
}
