/** What the provider and GitHub have of runners, held against the ledger. */
import type { Config } from './config.ts'
import { needsRunner } from './core/lifecycle.ts'
import { jobKeyOf, runnerOf } from './core/plan.ts'
import { LATELY_MS } from './core/questions.ts'
import { lostEvent, orphanVerdict, shouldHaveMoved } from './core/reconcile.ts'
import type { RunnerEvent } from './core/types.ts'
import { pauseFor } from './patience.ts'
import type { EventsMessage, GitHubListedRunner, GitHubScope } from './ports.ts'
import type { Round, SweepPorts } from './sweep.ts'
import type { Step } from './sweep-github.ts'

const MINUTE_MS = 60_000
/** Builds are started for so long at most after they were asked for, and end so long at most after their time. */
const BUILD_MARGIN_MINUTES = 30
/** A registration that nobody accounts for is looked at again before it goes: it may be in the making. */
const SUSPECTED_MS = 1.5 * MINUTE_MS
/** Repositories whose registrations are listed at a time, those seen last first. */
const REPOSITORIES = 20

/** Asks the provider about runners that should have moved, and passes on what nobody told. */
export async function reconcile(
  { clock, compute, log, queue }: SweepPorts,
  config: Config,
  { sight }: Round,
  kept: ReadonlySet<string>,
): Promise<void> {
  const overdue = sight.runners.filter(
    runner => !kept.has(runner.name) && shouldHaveMoved(runner, config, clock.now()),
  )
  if (overdue.length === 0) return
  const told = await compute.describe(overdue.map(({ providerId }) => providerId!))
  for (const runner of overdue) {
    const event = lostEvent(runner, told.get(runner.providerId!) ?? null, clock.now())
    if (!event) continue
    log.info('told by the provider when asked', { runner: runner.name, stop: event.stop?.code ?? null })
    await queue.send('events', [{ body: event satisfies EventsMessage }])
  }
}

export async function findOrphans(
  ports: SweepPorts,
  config: Config,
  round: Round,
  step: Step,
): Promise<void> {
  const { clock, compute, github, ledger, log, queue } = ports
  round.memory = { ...round.memory, orphansAt: clock.now() }
  await step('orphaned tasks and builds', findTasks)
  await step('orphaned registrations', findRegistrations)

  async function findTasks(): Promise<void> {
    const known = new Set(round.sight.runners.map(({ providerId }) => providerId))
    const since = clock.now() - (config.runner.lifeMinutes + BUILD_MARGIN_MINUTES) * MINUTE_MS
    const unknown = (await compute.list(since)).filter(id => !known.has(id))
    if (unknown.length === 0) return
    for (const event of (await compute.describe(unknown)).values())
      if (event && runnerOf(event.runner, config.marker) !== null) await judge(event)
  }

  async function judge(event: RunnerEvent): Promise<void> {
    const runner = await ledger.runners.get(event.runner)
    const verdict = orphanVerdict(event, runner, await isClaimed(event.runner))
    if (verdict === 'leave') return
    log.warn('a task or build that the ledger does not account for', { runner: event.runner, verdict })
    if (verdict !== 'stop') await queue.send('events', [{ body: event satisfies EventsMessage }])
    if (verdict !== 'adopt') await compute.stop(event.providerId, 'nobody accounts for this runner')
  }

  /** Its launch is under way, or will be carried on with the same request. */
  async function isClaimed(runner: string): Promise<boolean> {
    const job = await ledger.jobs.get(jobKeyOf(runner))
    if (job?.claim?.runner !== runner) return false
    return job.claim.leaseUntil > clock.now() || needsRunner(job)
  }

  async function findRegistrations(): Promise<void> {
    const now = clock.now()
    if ((round.sight.gate.pauses.github ?? 0) > now) return
    const scopes = round.memory.repositories.filter(({ seenAt }) => now - seenAt <= LATELY_MS)
    const suspects: Record<string, number> = {}
    try {
      for (const { ref, installationId } of scopes.slice(0, REPOSITORIES)) {
        const scope: GitHubScope = { repository: ref, installationId }
        for (const listed of await github.listRunners(scope)) {
          if (listed.busy || (await isAccountedFor(listed))) continue
          const key = `${ref.id} ${listed.name}`
          const since = round.memory.suspects[key] ?? now
          if (now - since < SUSPECTED_MS || (await remove(scope, listed)) === 'busy') suspects[key] = since
        }
      }
    } catch (error) {
      if ((await pauseFor(ports, error)) === null) throw error
    } finally {
      round.memory = { ...round.memory, suspects }
    }
  }

  async function isAccountedFor({ name }: GitHubListedRunner): Promise<boolean> {
    const runner = runnerOf(name, config.marker)
    if (runner === null) return true
    if (round.sight.runners.some(one => one.name === runner && one.stoppedAt === null)) return true
    const known = await ledger.runners.get(runner)
    if (known && known.stoppedAt === null) return true
    const claim = (await ledger.jobs.get(jobKeyOf(runner)))?.claim
    return claim?.runner === runner && claim.leaseUntil > clock.now()
  }

  /** Where GitHub takes it for busy, the next sweep tries again. */
  async function remove(scope: GitHubScope, { id, name }: GitHubListedRunner) {
    log.warn('a registration that no runner accounts for is removed', { runner: name })
    return github.removeRunner(scope, id)
  }
}
