/**
 * What somebody asked for in a chat: told in the channel, done once at most, and its outcome written down and answered in
 * the thread below.
 */
import type { Config } from './config.ts'
import {
  ASKED_FOR_MS,
  type AuditAction,
  type AuditEntry,
  type AuditOutcome,
  isAtWork,
  isSettled,
  withOutcome,
} from './core/audit.ts'
import { deployment } from './core/chat.ts'
import { actionWords, askedText, outcomeText } from './core/chat-answers.ts'
import { pauseAskedFor, TornadeError } from './core/errors.ts'
import { gitHubSite, gitHubUrl, runUrl } from './core/links.ts'
import { errorFields } from './lambda.ts'
import type { EventsMessage, Ports } from './ports.ts'
import { update } from './update.ts'

type ChatPorts = Pick<Ports, 'clock' | 'github' | 'ledger' | 'log' | 'replies'>
type Outcome = Pick<AuditEntry, 'message'> & { readonly outcome: 'done' | 'failed' }

/**
 * Neither of the two calls of GitHub may be made twice, and whoever makes one can die before he hears what came of it.
 * So it is written down that one is made, and who finds that written by somebody else says that nobody knows.
 * @throws TornadeError github-paused: nothing was done, and the same message can do it later
 */
export async function carryOut(
  ports: ChatPorts,
  config: Pick<Config, 'slack' | 'github'>,
  { audit: key, respondTo }: Extract<EventsMessage, { kind: 'chat' }>,
): Promise<void> {
  const { clock, ledger, log, replies } = ports
  let mine = false
  const entry = await update(ledger.audit, key, current => {
    mine = current?.outcome === 'asked'
    return current && mine ? withOutcome(current, 'working', clock.now()) : current
  })
  if (!entry) throw new TornadeError('message-invalid', `nobody asked for ${key}; it ends as a dead letter`)
  if (isSettled(entry) || (!mine && isAtWork(entry, clock.now()))) return
  if (!mine) return end('unknown', 'Whoever asked GitHub was interrupted.')
  if (clock.now() - entry.at > ASKED_FOR_MS)
    return end('failed', 'It had to wait for more than a quarter of an hour.')
  if (!entry.thread) await tell(entry)
  let result: Outcome
  try {
    result = await ask(ports, config, entry.action)
  } catch (error) {
    if (pauseAskedFor(error) !== null) {
      await update(ledger.audit, key, current => current && withOutcome(current, 'asked', clock.now()))
      throw error
    }
    log.error('what came of a command from a chat is not known', { audit: key, ...errorFields(error) })
    return end('unknown', error instanceof TornadeError ? error.message : null)
  }
  await end(result.outcome, result.message)

  /** Before it is done, so that others in the channel know; nothing fails for want of it. */
  async function tell({ by, action }: AuditEntry): Promise<void> {
    const thread = await say(by.channel, askedText(by, actionWords(action)), null)
    if (thread !== null) await update(ledger.audit, key, current => current && { ...current, thread })
  }

  async function end(outcome: AuditOutcome, message: string | null): Promise<void> {
    const last = await update(
      ledger.audit,
      key,
      current => current && withOutcome(current, outcome, clock.now(), message),
    )
    const { by, action } = last!
    log.info('a command from a chat has ended', { audit: key, user: by.user, ...action, outcome })
    try {
      await answer(last!)
    } catch (error) {
      // It is done and written down, and is not done again for the sake of the answer.
      log.warn('a chat was not told of an outcome', { audit: key, ...errorFields(error) })
    }
  }

  async function answer(entry: AuditEntry): Promise<void> {
    const { by, action, thread } = entry
    const text = outcomeText(entry, await pageOf(ports, config, action))
    if (thread && (await say(by.channel, text, thread)) !== null) return
    await replies.answer(respondTo, text)
  }

  async function say(channel: string, text: string, thread: string | null): Promise<string | null> {
    try {
      return await replies.say(channel, text, thread)
    } catch (error) {
      log.warn('a channel did not take a message', { audit: key, channel, ...errorFields(error) })
      return null
    }
  }
}

async function ask(ports: ChatPorts, config: Pick<Config, 'slack'>, action: AuditAction): Promise<Outcome> {
  return action.kind === 'rerun' ? rerun(ports, action) : deploy(ports, config, action)
}

async function rerun(
  { github, ledger }: ChatPorts,
  { jobId, attempt }: Extract<AuditAction, { kind: 'rerun' }>,
): Promise<Outcome> {
  const job = await ledger.jobs.get(`${jobId}-${attempt}`)
  if (!job) return failed('The job is not in the ledger any more.')
  const { repository, installationId } = job.request
  const answer = await github.rerunJob({ repository, installationId }, jobId)
  switch (answer.outcome) {
    case 'started':
      return DONE
    case 'running':
      return failed('Its run has not ended.')
    case 'gone':
      return failed('GitHub does not know it any more.')
    case 'failed':
      return failed(answer.message)
  }
}

/** Where people see what was started. */
async function pageOf(
  { ledger }: ChatPorts,
  { slack, github }: Pick<Config, 'slack' | 'github'>,
  action: AuditAction,
): Promise<string | null> {
  const site = gitHubSite(github.url)
  if (action.kind === 'rerun') {
    const job = await ledger.jobs.get(`${action.jobId}-${action.attempt}`)
    return job ? runUrl(site, job) : null
  }
  const found = deployment(slack?.commands ?? { apps: {} }, action.app, action.branch)
  if ('problem' in found) return null
  return gitHubUrl(site, found.app.repository, 'actions', 'workflows', found.app.workflow)
}

/** tornade.yml decides again: it may have changed, and the queue is not what is believed. */
async function deploy(
  { github, ledger }: ChatPorts,
  { slack }: Pick<Config, 'slack'>,
  { app, branch }: Extract<AuditAction, { kind: 'deploy' }>,
): Promise<Outcome> {
  const found = deployment(slack?.commands ?? { apps: {} }, app, branch)
  if ('problem' in found) return failed(found.problem)
  const { repository, workflow, inputs } = found.app
  const seen = (await ledger.sweep.get()).repositories.find(
    ({ ref }) => ref.name.toLowerCase() === repository.toLowerCase(),
  )
  if (!seen) return failed(`tornade has run no job of ${repository} yet, and so does not know it.`)
  const scope = { repository: seen.ref, installationId: seen.installationId }
  const answer = await github.dispatchWorkflow(scope, workflow, branch, inputs)
  return answer.outcome === 'started' ? DONE : failed(answer.message)
}

const DONE: Outcome = { outcome: 'done', message: null }

function failed(message: string): Outcome {
  return { outcome: 'failed', message }
}
