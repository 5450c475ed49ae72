/** A job that cannot be served is told so where its author looks, and stands as refused in the ledger. */
import { askGitHub } from './ask.ts'
import type { Config } from './config.ts'
import type { RefuseCode } from './core/errors.ts'
import { isFinal, newJob } from './core/lifecycle.ts'
import { isUntold, refusalReport, refusalsKey, withRefused } from './core/refusal.ts'
import type { Job, JobRequest, Problem, RunRefusals } from './core/types.ts'
import type { LaunchMessage, Ports } from './ports.ts'
import { update } from './update.ts'

export type { RefuseCode }

type RefusePorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'metrics' | 'queue'>

/** No call of a function that tells GitHub is under way any more after this. */
const TELLING_MS = 120_000
/** GitHub's list of check runs lags behind its writes by seconds. */
const LISTED_MS = 15_000

/** GitHub first, because telling it twice changes nothing and the ledger then says what has been done. */
export async function refuse(
  ports: RefusePorts,
  config: Pick<Config, 'labelMistakes'>,
  request: JobRequest,
  code: RefuseCode,
  problems: readonly Problem[],
): Promise<void> {
  const { clock, github, ledger, log, metrics } = ports
  const known = await ledger.jobs.get(request.key)
  // One that runs is served, whatever a late delivery of it would have been told.
  if (known && (isFinal(known) || known.started !== null)) return
  if (known?.claim && (await isServed(ports, known))) return
  const scope = { repository: request.repository, installationId: request.installationId }
  await tellRefusals(ports, request, problems)
  if (code !== 'labels' || config.labelMistakes === 'cancel') await github.cancelRun(scope, request.runId)
  let news = false
  await update(ledger.jobs, request.key, current => {
    const job = current ?? newJob(request)
    // That it was cancelled is our own doing; anything else that ended it meanwhile stands.
    const ended = job.completed !== null && job.completed.conclusion !== 'cancelled'
    news = !job.refused && job.started === null && !ended
    return news
      ? {
          ...job,
          refused: { at: clock.now(), code, problems },
          deferred: null,
          queuedAt: job.queuedAt ?? request.createdAt,
        }
      : current
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

/** A runner may have taken the job meanwhile, and the delivery that says so be late. */
async function isServed(ports: RefusePorts, job: Job): Promise<boolean> {
  const news = await askGitHub(ports, job)
  if (!news || news.kind === 'queued') return false
  await ports.queue.send('events', [{ body: news }])
  return true
}

/**
 * The check run of a run shows all of its refused jobs. One at a time writes it, because GitHub's writes know no condition, and
 * that one tells of all who come meanwhile; those look again later, should it have been interrupted.
 * @param problems of the job, where the ledger does not have them yet
 */
export async function tellRefusals(
  { clock, github, ledger, queue }: RefusePorts,
  request: JobRequest,
  problems: readonly Problem[] | null = null,
): Promise<void> {
  const key = refusalsKey(request)
  const scope = { repository: request.repository, installationId: request.installationId }
  const now = clock.now()
  let isMine = false
  const refusals = await update(ledger.refusals, key, current => {
    const run = problems ? withRefused(current, request, problems, now) : current
    isMine = run !== undefined && isUntold(run) && (run.tellingUntil ?? 0) <= now
    return isMine ? { ...run!, tellingUntil: now + TELLING_MS } : run
  })
  if (!refusals || !isUntold(refusals)) return
  if (!isMine) {
    const later: LaunchMessage = { kind: 'refusal', request }
    await queue.send('launch', [{ body: later, delaySeconds: TELLING_MS / 1000 }])
    return
  }
  for (let shown: RunRefusals = refusals; isUntold(shown); ) {
    let checkId: number | null
    try {
      checkId = await github.reportRefusal(scope, refusalReport(shown), shown.checkId)
    } catch (error) {
      // A check run may have been made all the same, and must be in the list before the next look for it.
      const until = shown.checkId === null ? clock.now() + LISTED_MS : null
      await update(ledger.refusals, key, current => current && { ...current, tellingUntil: until })
      throw error
    }
    const told = shown.jobs.length
    const next = await update(ledger.refusals, key, current => {
      const run = { ...current!, checkId, told }
      return { ...run, tellingUntil: isUntold(run) ? clock.now() + TELLING_MS : null }
    })
    shown = next!
  }
}
