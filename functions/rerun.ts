/** A job that Spot ended in the middle is run again, once, as soon as GitHub lets it. */
import type { Config } from './config.ts'
import {
  adopt,
  asking,
  askLater,
  isLostToSpot,
  isRerun,
  nextStep,
  remember,
  rerunKey,
  settled,
} from './core/rerun.ts'
import type { Job, JobRequest, Rerun, Runner } from './core/types.ts'
import { LONGEST_DELAY_SECONDS } from './patience.ts'
import type { EventsMessage, Ports } from './ports.ts'
import { update } from './update.ts'

type RerunPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'metrics' | 'queue'>

/** Writes down what was lost, and has it run again where tornade.yml lets it. Can be repeated. */
export async function noteLoss(
  ports: RerunPorts,
  { rerunAfterReclaim }: Pick<Config, 'rerunAfterReclaim'>,
  jobKey: string,
  runner: Runner,
): Promise<void> {
  const { clock, ledger, log, metrics } = ports
  let news = false
  const job = await update(ledger.jobs, jobKey, (current): Job | undefined => {
    news = current !== undefined && current.lostTo === null && isLostToSpot(current, runner)
    return current && news ? { ...current, lostTo: 'spot' } : current
  })
  if (!job?.lostTo) return
  if (news) {
    metrics.count('JobsLostToSpot')
    log.warn('a job was lost to Spot', { job: jobKey, runner: runner.name })
  }
  const wanted = rerunAfterReclaim === 'with-role' || (rerunAfterReclaim && job.spec?.role === null)
  if (!wanted || job.rerunOf !== null) return
  const rerun = await update(ledger.reruns, rerunKey(job.request), current =>
    remember(current, job, clock.now()),
  )
  if (rerun?.jobKey === jobKey && rerun.outcome === null) await askAt(ports, rerun)
}

/** Key of the lost job that this one is the re-run of; null when it is none. */
export async function rerunOf(
  { ledger }: Pick<RerunPorts, 'ledger'>,
  request: JobRequest,
): Promise<string | null> {
  if (request.attempt === 1) return null
  const adopted = await update(ledger.reruns, rerunKey(request), current =>
    current && isRerun(current, request) ? adopt(current, request) : current,
  )
  return adopted?.by === request.key ? adopted.jobKey : null
}

/** Asks GitHub for the re-run, if it is time to. */
export async function askForRerun(ports: RerunPorts, key: string): Promise<void> {
  const { clock, github, ledger } = ports
  const rerun = await ledger.reruns.get(key)
  if (!rerun || rerun.outcome !== null || rerun.askAt > clock.now()) return
  const { repository, installationId, runId, jobId } = rerun
  const scope = { repository, installationId }
  const runAttempt = await github.runAttempt(scope, runId)
  const step = nextStep(rerun, runAttempt, clock.now())
  if (step === 'wait') return
  if (step !== 'ask') return settle(ports, rerun, step)
  const intent = await replace(ports, rerun, asking(rerun, runAttempt!, clock.now()))
  // Somebody else asks, or the re-run is there already.
  if (!intent) return
  const answer = await github.rerunJob(scope, jobId)
  if (answer.outcome === 'running') {
    const later = await replace(ports, intent, askLater(intent, clock.now()))
    if (later) await askAt(ports, later)
    return
  }
  const message = answer.outcome === 'failed' ? answer.message : null
  await settle(ports, rerun, { outcome: answer.outcome, message })
}

async function settle(
  { ledger, log, metrics }: RerunPorts,
  { key, jobKey }: Rerun,
  end: Pick<Rerun, 'outcome' | 'message'>,
): Promise<void> {
  await update(ledger.reruns, key, current => current && settled(current, end))
  if (end.outcome === 'started') metrics.count('JobsRunAgain')
  const fields = { job: jobKey, outcome: end.outcome, reason: end.message }
  if (end.outcome === 'started') log.info('a job that was lost to Spot is run again', fields)
  else log.warn('a job that was lost to Spot cannot be run again', fields)
}

/** Writes `next`, unless somebody wrote since `known` was read. */
async function replace({ ledger }: RerunPorts, known: Rerun, next: Rerun): Promise<Rerun | null> {
  const item = { ...next, version: known.version + 1 }
  return (await ledger.reruns.put(item)).ok ? item : null
}

/** What is further off than a message can be delayed is left to the sweep. */
async function askAt({ clock, queue }: RerunPorts, { key, askAt: at }: Rerun): Promise<void> {
  const delaySeconds = Math.max(0, Math.ceil((at - clock.now()) / 1000))
  if (delaySeconds > LONGEST_DELAY_SECONDS) return
  await queue.send('events', [{ body: { kind: 'rerun', rerun: key } satisfies EventsMessage, delaySeconds }])
}
