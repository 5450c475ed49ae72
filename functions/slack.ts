/**
 * A command typed in Slack: verified over its raw bytes, allowed or not, and answered. What changes something is noted
 * in the ledger and left to the events queue: this function has no key to GitHub.
 *
 * Slack wants an answer within 3 seconds, and does not ask again:
 * https://docs.slack.dev/interactivity/implementing-slash-commands
 */
import { isUtf8 } from 'node:buffer'
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Config } from './config.ts'
import { capsAt, dayOf, monthOf } from './core/admission/spend.ts'
import { type AuditAction, asked } from './core/audit.ts'
import {
  type Change,
  type ChatPolicy,
  type Command,
  deployment,
  isChange,
  isResponseUrl,
  type JobName,
  jobKeys,
  mayAsk,
  readCommand,
  type Sender,
} from './core/chat.ts'
import {
  acceptedText,
  actionWords,
  costsText,
  helpText,
  jobsText,
  logsText,
  NOT_ALLOWED,
  NOT_SET_UP,
  refusedText,
  statusText,
} from './core/chat-answers.ts'
import type { ErrorCode } from './core/errors.ts'
import { jobState, needsRunner, runnerState } from './core/lifecycle.ts'
import { gitHubSite, type LogGroups } from './core/links.ts'
import type { Job } from './core/types.ts'
import { ranOn } from './core/views.ts'
import type { HttpRequest, HttpResponse } from './lambda.ts'
import type { EventsMessage, Ports } from './ports.ts'
import { readReport } from './reports.ts'

export type SlackPorts = Pick<Ports, 'clock' | 'ledger' | 'log' | 'queue'> & {
  readonly secrets: Ports['chatSecrets']
  /** Messages that were given up, in all dead-letter queues together. */
  readonly stats: { deadLetters(): Promise<number> }
}

/** Slack sends less than 10 kB. */
const BODY_LIMIT = 65_536
/** https://docs.slack.dev/authentication/verifying-requests-from-slack */
const CLOCK_SECONDS = 300
/** Of the answer to `jobs`. */
const JOBS = 10
/** What can be read and counted in the time that Slack waits. */
const OPEN_JOBS = 1000
const DAY_MS = 86_400_000

interface Form {
  readonly sender: Sender
  readonly command: string
  readonly text: string
  readonly responseUrl: string
}

/** @param logs null where runners have none */
export function slack(
  ports: SlackPorts,
  config: Pick<Config, 'slack' | 'spend' | 'github'>,
  logs: LogGroups | null,
): (request: HttpRequest) => Promise<HttpResponse> {
  const { clock, ledger, log, queue, secrets, stats } = ports
  const policy = config.slack?.commands ?? null
  const server = gitHubSite(config.github.url)

  return async ({ method, headers, body }) => {
    if (method !== 'POST') return { status: 405, headers: { allow: 'POST' }, body: { error: 'use POST' } }
    if (body.length > BODY_LIMIT)
      return reject(413, 'payload-too-large', `the body is over ${BODY_LIMIT} bytes`)
    const [time, signature] = [headers['x-slack-request-timestamp'], headers['x-slack-signature']]
    if (!time || !signature) return reject(401, 'signature-missing', 'this is not signed as Slack does it')
    if (!(await isSigned(time, signature, body)))
      return reject(401, 'signature-wrong', 'the signature does not match the signing secret')
    if (Math.abs(clock.now() / 1000 - Number(time)) > CLOCK_SECONDS)
      return reject(401, 'signature-old', 'this was signed more than 5 minutes ago, or ahead')
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(headers['content-type'] ?? ''))
      return reject(415, 'content-type', 'this is no form')
    const fields = new URLSearchParams(body.toString('utf8'))
    // Slack looks whether somebody is there: https://docs.slack.dev/interactivity/implementing-slash-commands
    if (fields.get('ssl_check') === '1') return { status: 200, body: {} }
    const form = isUtf8(body) ? readForm(fields) : null
    if (!form) return reject(400, 'payload-invalid', 'this is not a command as Slack sends it')
    return { status: 200, body: { response_type: 'ephemeral', text: await answer(form, signature) } }
  }

  async function answer(form: Form, signature: string): Promise<string> {
    if (!policy) return NOT_SET_UP
    const { sender } = form
    const command = readCommand(form.text)
    if (!mayAsk(policy, sender)) {
      log.warn('a command from a chat was not allowed', { ...sender, command: command.kind })
      if (isChange(command)) await note(actionOf(command), 'Not allowed.', sender, signature)
      return NOT_ALLOWED
    }
    return isChange(command) ? change(command, form, policy, signature) : read(command, form, policy)
  }

  async function read(command: Exclude<Command, Change>, form: Form, known: ChatPolicy): Promise<string> {
    switch (command.kind) {
      case 'help':
        return helpText(form.command, known, command.problem)
      case 'status':
        return await status()
      case 'jobs':
        return jobsText((await ledger.jobs.page({ limit: JOBS })).items, server)
      case 'costs':
        return await costs()
      case 'logs': {
        const job = await find(command.job)
        if (!job) return refusedText(NO_JOB)
        const name = ranOn(job) ?? job.runner
        const runner = name === null ? undefined : await ledger.runners.get(name)
        return logsText(job, runner, logs, server)
      }
    }
  }

  /** Noted before it is queued: what is sent twice, by whomever, is done once at most. */
  async function change(
    command: Change,
    { sender, responseUrl }: Form,
    known: ChatPolicy,
    signature: string,
  ): Promise<string> {
    const { action, problem } = await resolved(command, known)
    const key = await note(action, problem, sender, signature)
    if (problem !== null) return refusedText(problem)
    if (key === null) return 'That was asked for already.'
    const message: EventsMessage = { kind: 'chat', audit: key, respondTo: responseUrl }
    await queue.send('events', [{ body: message }])
    return acceptedText(actionWords(action))
  }

  async function resolved(
    command: Change,
    known: ChatPolicy,
  ): Promise<{ readonly action: AuditAction; readonly problem: string | null }> {
    const action = actionOf(command)
    if (command.kind === 'deploy') {
      const found = deployment(known, command.app, command.branch)
      return { action, problem: 'problem' in found ? found.problem : null }
    }
    const job = await find(command.job)
    if (!job) return { action, problem: NO_JOB }
    const { jobId, attempt } = job.request
    return { action: { kind: 'rerun', jobId, attempt }, problem: null }
  }

  /** The line that stays. @returns its key; null where there is one already, from the same request */
  async function note(
    action: AuditAction,
    refusal: string | null,
    sender: Sender,
    signature: string,
  ): Promise<string | null> {
    const key = createHash('sha256').update(signature).digest('hex').slice(0, 32)
    const { ok } = await ledger.audit.put(asked(key, sender, action, clock.now(), refusal))
    if (!ok) log.warn('a command from a chat came twice', { audit: key })
    return ok ? key : null
  }

  async function find(name: JobName): Promise<Job | undefined> {
    const keys = jobKeys(name)
    const found = await ledger.jobs.some(keys)
    const key = keys.find(one => found.has(one))
    return key === undefined ? undefined : found.get(key)
  }

  async function status(): Promise<string> {
    const now = clock.now()
    const [open, runners, gate, day, deadLetters] = await Promise.all([
      ledger.jobs.open({ limit: OPEN_JOBS }),
      ledger.runners.open({}),
      ledger.gate.get(),
      readReport(ports, { from: now - DAY_MS, to: now }),
      stats.deadLetters(),
    ])
    const queued = open.filter(needsRunner)
    const month = monthOf(now)
    return statusText({
      queued: queued.length,
      live: runners.filter(runner => runnerState(runner) !== 'stopped').length,
      reasons: queued.flatMap(job => (jobState(job) === 'deferred' ? [job.deferred!.reason] : [])),
      refused: day.happened.refused,
      deadLetters,
      monthMicroUsd: gate.spent[month] ?? 0,
      monthlyCapMicroUsd:
        capsAt(gate, config.spend, now).find(({ period }) => period === month)?.microUsd ?? null,
      more: open.length === OPEN_JOBS,
    })
  }

  async function costs(): Promise<string> {
    const now = clock.now()
    const [month, today] = await Promise.all(
      [`${monthOf(now)}-01`, dayOf(now)].map(day =>
        readReport(ports, { from: Date.parse(`${day}T00:00:00Z`), to: now }),
      ),
    )
    return costsText(month!, today!)
  }

  async function isSigned(time: string, signature: string, body: Buffer): Promise<boolean> {
    if (!/^\d{1,12}$/.test(time)) return false
    const given = Buffer.from(signature)
    return (await secrets.signing()).some(secret => {
      const digest = createHmac('sha256', secret).update(`v0:${time}:`).update(body).digest('hex')
      const expected = Buffer.from(`v0=${digest}`)
      return given.length === expected.length && timingSafeEqual(given, expected)
    })
  }

  function reject(status: number, code: ErrorCode, error: string): HttpResponse {
    log.warn('a command from a chat was rejected', { code, status })
    return { status, body: { error } }
  }
}

const NO_JOB = 'There is no such job here: `jobs` shows the newest ones.'

function actionOf(command: Change): AuditAction {
  if (command.kind === 'deploy') return command
  return { kind: 'rerun', jobId: command.job.id, attempt: command.job.attempt }
}

/** null for what Slack would not send. */
function readForm(fields: URLSearchParams): Form | null {
  const field = (name: string, form: RegExp) => form.exec(fields.get(name) ?? '')?.[0] ?? null
  const team = field('team_id', /^T[A-Z0-9]{1,30}$/)
  const user = field('user_id', /^[UW][A-Z0-9]{1,30}$/)
  const channel = field('channel_id', /^[CDG][A-Z0-9]{1,30}$/)
  const command = field('command', /^\/[\w-]{1,32}$/)
  const responseUrl = fields.get('response_url')
  if (team === null || user === null || channel === null || command === null) return null
  if (!isResponseUrl(responseUrl)) return null
  return { sender: { team, user, channel }, command, text: fields.get('text') ?? '', responseUrl }
}
