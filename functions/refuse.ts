/** A job that cannot be served is told so where its author looks, and stands as refused in the ledger. */
import type { Config } from './config.ts'
import type { RefuseCode } from './core/errors.ts'
import { isFinal, newJob } from './core/lifecycle.ts'
import { refusalReport } from './core/refusal.ts'
import type { JobRequest, Problem } from './core/types.ts'
import type { Ports } from './ports.ts'
import { update } from './update.ts'

export type { RefuseCode }

/** GitHub first, because telling it twice changes nothing and the ledger then says what has been done. */
export async function refuse(
  { clock, github, ledger, log, metrics }: Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'metrics'>,
  config: Pick<Config, 'labelMistakes'>,
  request: JobRequest,
  code: RefuseCode,
  problems: readonly Problem[],
): Promise<void> {
  const known = await ledger.jobs.get(request.key)
  // One that runs is served, whatever a late delivery of it would have been told.
  if (known && (isFinal(known) || known.started !== null)) return
  const scope = { repository: request.repository, installationId: request.installationId }
  await github.reportRefusal(scope, refusalReport(request, problems))
  if (code !== 'labels' || config.labelMistakes === 'cancel') await github.cancelRun(scope, request.runId)
  let news = false
  await update(ledger.jobs, request.key, current => {
    const job = current ?? newJob(request)
    news = !job.refused
    return job.refused
      ? job
      : {
          ...job,
          refused: { at: clock.now(), code, problems },
          deferred: null,
          queuedAt: job.queuedAt ?? request.createdAt,
        }
  })
  if (!news) return
  metrics.count('JobsRefused')
  log.warn('job refused', {
    job: request.key,
    repository: request.repository.name,
    code,
    labels: problems.map(p => p.label),
  })
}
