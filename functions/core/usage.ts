/**
 * What a runner measured of itself, from a line of its log.
 *
 * Whoever has root on a runner can write such a line into its log, so a figure is as good as the job is honest. It can
 * say nothing of another runner, because the log stream says whose it is, and nothing that its own could not have used.
 */
import type { Runner, Usage } from './types.ts'

/** runner-image/supervisor/usage.ts writes some 150 characters. */
const LONGEST_LINE = 400
const START = '{"tornade":"usage"'
const MIB_PER_GIB = 1024

/** What the last line says that is one; null where there is none. */
export function readUsage(messages: readonly string[]): Usage | null {
  for (const message of messages.toReversed()) {
    for (const line of message.split('\n').toReversed()) {
      const usage = line.startsWith(START) && line.length <= LONGEST_LINE ? usageOf(line) : null
      if (usage) return usage
    }
  }
  return null
}

/** The runner with what it measured, within what it can have used. The first that is known stays. */
export function withUsage(runner: Runner, measured: Usage | null): Runner {
  const { launch, job, startedAt, stoppedAt } = runner
  if (measured === null || runner.usage || launch === null || stoppedAt === null) return runner
  const { cpu, memoryGiB } = launch.shape
  const from = job?.startedAt ?? startedAt ?? stoppedAt
  const to = Math.min(job?.completedAt ?? stoppedAt, stoppedAt)
  const cpuAverage = Math.min(measured.cpuAverage, cpu)
  const memoryAverageGiB = Math.min(measured.memoryAverageGiB, memoryGiB)
  const usage: Usage = {
    seconds: Math.min(measured.seconds, Math.max(0, to - from) / 1000),
    cpuAverage,
    cpuPeak: Math.max(cpuAverage, Math.min(measured.cpuPeak, cpu)),
    memoryAverageGiB,
    memoryPeakGiB: Math.max(memoryAverageGiB, Math.min(measured.memoryPeakGiB, memoryGiB)),
  }
  return { ...runner, usage }
}

function usageOf(line: string): Usage | null {
  const said = parse(line)
  if (said?.v !== 1) return null
  const usage = {
    seconds: amount(said.seconds),
    cpuAverage: amount(said.cpuAverage),
    cpuPeak: amount(said.cpuPeak),
    memoryAverageGiB: amount(said.memoryAverageMiB, MIB_PER_GIB),
    memoryPeakGiB: amount(said.memoryPeakMiB, MIB_PER_GIB),
  }
  return Object.values(usage).includes(null) ? null : (usage as Usage)
}

/** In thousandths; null for what is no amount. */
function amount(value: unknown, unit = 1): number | null {
  if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) return null
  return Math.max(0, Math.round((value / unit) * 1000) / 1000)
}

function parse(line: string): Record<string, unknown> | null {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return null
  }
}
