/** Deliveries of GitHub can be lost. Whoever wonders what became of a job asks. */
import type { Job, JobEvent } from './core/types.ts'
import type { Ports } from './ports.ts'

/** What GitHub knows of `job`, told as the delivery that would have said it; null while it waits behind a gate. */
export async function askGitHub(
  { clock, github }: Pick<Ports, 'clock' | 'github'>,
  { request }: Job,
): Promise<JobEvent | null> {
  const { repository, installationId } = request
  const known = await github.getJob({ repository, installationId }, request.jobId)
  const runner = known?.runnerId && known.runnerName ? { id: known.runnerId, name: known.runnerName } : null
  if (known === null || known.status === 'completed')
    return {
      kind: 'completed',
      at: known?.completedAt ?? clock.now(),
      request,
      // A job that GitHub does not know any more was deleted with its run.
      conclusion: known?.conclusion ?? 'unknown',
      runner,
      startedAt: runner && (known?.startedAt ?? null),
    }
  if (known.status === 'in_progress' && runner)
    return { kind: 'in_progress', at: known.startedAt ?? clock.now(), request, runner }
  return known.status === 'queued' ? { kind: 'queued', at: clock.now(), request } : null
}
