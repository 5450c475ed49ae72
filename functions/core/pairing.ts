/**
 * Which runner is meant for which waiting job.
 *
 * GitHub gives a job to any idle runner that has its labels, so a runner may serve another job than the one it was
 * started for. Then the waiting jobs and the free runners are paired anew, and a new runner is started only for a
 * job that no free runner can serve.
 */
import { isAvailable, needsRunner } from './lifecycle.ts'
import { fits } from './plan.ts'
import type { Job, Runner } from './types.ts'

export interface Pair {
  readonly job: Job
  readonly runner: Runner
}

/**
 * New pairs that give `job` a runner and leave no other waiting job without one; null when the waiting jobs outnumber
 * the free runners that can serve them. Pairs that can stay do stay: the shortest chain of swaps is found, by an
 * augmenting path (https://en.wikipedia.org/wiki/Hopcroft%E2%80%93Karp_algorithm#Augmenting_paths).
 * @param jobs open jobs of the repository
 * @param runners its runners that have not stopped
 */
export function pairAnew(job: Job, jobs: readonly Job[], runners: readonly Runner[]): readonly Pair[] | null {
  const free = runners.filter(runner => isAvailable(runner) && runner.launch !== null)
  const others = jobs.filter(other => other.key !== job.key && needsRunner(other))
  const meantFor = new Map(others.map(other => [other.runner, other]))
  const cameFrom = new Map<string, Job>()
  let front: readonly Job[] = [job]
  while (front.length > 0) {
    const next: Job[] = []
    for (const asking of front) {
      for (const runner of free) {
        if (cameFrom.has(runner.name) || !fits(asking.request.labels, runner.launch!.labels)) continue
        cameFrom.set(runner.name, asking)
        const holder = meantFor.get(runner.name)
        if (!holder) return chain(runner, cameFrom, free)
        next.push(holder)
      }
    }
    front = next
  }
  return null
}

/** The swaps that end with `last`, the one nearest to it first, so that no runner is meant for two jobs for long. */
function chain(last: Runner, cameFrom: ReadonlyMap<string, Job>, free: readonly Runner[]): Pair[] {
  const pairs: Pair[] = []
  const byName = new Map(free.map(runner => [runner.name, runner]))
  let runner: Runner | undefined = last
  while (runner && !pairs.some(pair => pair.runner === runner)) {
    const job: Job = cameFrom.get(runner.name)!
    pairs.push({ job, runner })
    runner = job.runner === null ? undefined : byName.get(job.runner)
  }
  return pairs
}

/** The oldest waiting job that `runner` can serve and that has no runner of its own coming. */
export function jobFor(runner: Runner, jobs: readonly Job[], runners: readonly Runner[]): Job | undefined {
  const available = new Set(runners.filter(isAvailable).map(other => other.name))
  return jobs.find(
    job =>
      needsRunner(job) &&
      job.deferred !== null &&
      (job.runner === null || !available.has(job.runner)) &&
      runner.launch !== null &&
      fits(job.request.labels, runner.launch.labels),
  )
}
