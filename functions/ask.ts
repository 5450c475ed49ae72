/** Deliveries of GitHub can be lost. Whoever wonders what became of a job asks. */
import { jobKey } from './core/delivery.ts'
import { isFinal } from './core/lifecycle.ts'
import { clean } from './core/text.ts'
import type { Job, JobEvent, JobRequest, SeenRepository } from './core/types.ts'
import type { GitHubJob, GitHubRunJob, Ports } from './ports.ts'

/** What GitHub knows of `job`, told as the delivery that would have said it; null while it waits behind a gate. */
export async function askGitHub(
  { clock, github }: Pick<Ports, 'clock' | 'github'>,
  { request }: Job,
): Promise<JobEvent | null> {
  const { repository, installationId } = request
  const known = await github.getJob({ repository, installationId }, request.jobId)
  const event = eventOf(request, known, clock.now())
  return event?.kind === 'waiting' ? null : event
}

/** What GitHub's API says of a job, told as its delivery. A job that GitHub does not know any more was deleted with its run. */
export function eventOf(request: JobRequest, known: GitHubJob | null, now: number): JobEvent | null {
  const runner = known?.runnerId && known.runnerName ? { id: known.runnerId, name: known.runnerName } : null
  if (known === null || known.status === 'completed')
    return {
      kind: 'completed',
      at: known?.completedAt ?? now,
      request,
      conclusion: clean(known?.conclusion ?? 'unknown'),
      runner,
      startedAt: runner && (known?.startedAt ?? null),
    }
  if (known.status === 'in_progress')
    return runner && { kind: 'in_progress', at: known.startedAt ?? now, request, runner }
  return { kind: known.status, at: now, request }
}

/** True when the ledger, which has `job` (undefined: nothing) has not heard of this. */
export function isNews(event: JobEvent, job: Job | undefined): boolean {
  if (!job) return true
  if (isFinal(job)) return event.kind === 'completed' && !job.completed
  switch (event.kind) {
    case 'completed':
      return true
    case 'in_progress':
      return job.started === null
    case 'queued':
      return job.queuedAt === null
    case 'waiting':
      return false
  }
}

/** A job of a run's list, as its delivery would have it. */
export function requestOf(
  repository: SeenRepository,
  runId: number,
  job: GitHubRunJob,
  now: number,
): JobRequest {
  const { id, attempt, workflow, name, headBranch, headSha, labels, createdAt } = job
  return {
    key: jobKey(id, attempt),
    jobId: id,
    attempt,
    runId,
    repository: repository.ref,
    ownerId: repository.ownerId,
    installationId: repository.installationId,
    workflow: workflow === null ? null : clean(workflow),
    name: clean(name),
    headBranch: headBranch === null ? null : clean(headBranch),
    headSha: clean(headSha, 64),
    labels,
    createdAt: createdAt ?? now,
    // The list does not say, and launch looks where it may be.
    mayBeFork: true,
  }
}
