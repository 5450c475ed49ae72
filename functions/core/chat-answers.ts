/** What the chat is answered: Slack's mrkdwn, in which all that comes from outside is escaped. */
import { usd } from './admission/spend.ts'
import type { AuditAction, AuditEntry } from './audit.ts'
import type { ChatPolicy, Sender } from './chat.ts'
import { slack } from './escape.ts'
import { jobState } from './lifecycle.ts'
import { jobUrl, type LogGroups, logStreamUrl } from './links.ts'
import type { Report } from './reports.ts'
import { basisOf, type Sums, wholeOf } from './rollups.ts'
import { NAME_LIMIT } from './text.ts'
import type { DeferReason, Job, Runner } from './types.ts'

const LONGEST_SENTENCE = 600
const TOP_REASONS = 3
const DEAREST = 5

export const NOT_ALLOWED =
  'You may not use tornade from here. Who runs it decides that in tornade.yml (slack).'
export const NOT_SET_UP = 'Commands are not set up: tornade.yml has to name team, users and channels (slack).'

export function helpText(
  command: string,
  { apps }: Pick<ChatPolicy, 'apps'>,
  problem: string | null,
): string {
  const names = Object.keys(apps)
  return lines([
    problem,
    `\`${command} status\` what waits, runs and went wrong`,
    `\`${command} jobs\` the newest jobs`,
    `\`${command} costs\` this month and today`,
    `\`${command} logs JOB\` where the logs of a job are`,
    `\`${command} rerun JOB\` runs a job again, once its run has ended`,
    `\`${command} deploy APP BRANCH\` starts the workflow of an application${
      names.length === 0 ? '; none is set up' : `: ${names.map(name => slack(name)).join(', ')}`
    }`,
  ])
}

export interface Status {
  readonly queued: number
  readonly live: number
  readonly reasons: readonly DeferReason[]
  /** Of the last 24 hours. */
  readonly refused: number
  readonly deadLetters: number
  readonly monthMicroUsd: number
  readonly monthlyCapMicroUsd: number | null
  /** True where more jobs are open than were looked at. */
  readonly more: boolean
}

export function statusText(status: Status): string {
  const { queued, live, reasons, refused, deadLetters, monthMicroUsd, monthlyCapMicroUsd, more } = status
  const counts = new Map<DeferReason, number>()
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  const top = [...counts].sort(([, a], [, b]) => b - a).slice(0, TOP_REASONS)
  const why = top.map(([reason, count]) => `${count} ${reason}`).join(', ')
  const least = more ? 'at least ' : ''
  return lines([
    `Queued: ${least}${queued} · runners: ${live}`,
    `Deferred: ${least}${reasons.length}${why === '' ? '' : ` (${why})`}`,
    `Refused in 24 hours: ${refused} · dead letters: ${deadLetters}`,
    `Spent this month: ${usd(monthMicroUsd)}${monthlyCapMicroUsd === null ? '' : ` of ${usd(monthlyCapMicroUsd)}`}`,
  ])
}

/** @param server where GitHub's pages are: https://github.com */
export function jobsText(jobs: readonly Job[], server: string): string {
  if (jobs.length === 0) return 'No job in the last month.'
  return lines(
    jobs.map(job => {
      const { key, request, completed } = job
      const state = jobState(job)
      const { name, workflow, repository } = request
      const what = [workflow, name].filter(text => text !== null).map(text => slack(text))
      const ended = state === 'completed' ? `completed: ${slack(completed!.conclusion)}` : state
      return `${jobLink(job, server, key)} ${slack(repository.name, NAME_LIMIT)} · ${what.join(' / ')} · ${ended}`
    }),
  )
}

export function costsText(month: Report, today: Report): string {
  const dearest = month.byRepository.slice(0, DEAREST)
  return lines([
    `Today (UTC): ${money(today.sums)} for ${plural(today.sums.jobs, 'job')}`,
    `This month: ${money(month.sums)} for ${plural(month.sums.jobs, 'job')}`,
    ...dearest.map(({ repository, sums }) => `• ${slack(repository, NAME_LIMIT)}: ${money(sums)}`),
    month.computedAt === null ? 'Nothing was added up yet.' : null,
  ])
}

/** @param logs null where there are none, as on a laptop */
export function logsText(
  job: Job,
  runner: Runner | undefined,
  logs: LogGroups | null,
  server: string,
): string {
  const stream = logs && runner ? logStreamUrl(runner, logs) : null
  return lines([
    `${jobLink(job, server, `Job ${job.key} at GitHub`)}: the log of its steps`,
    stream === null
      ? 'No runner of it has a log.'
      : `<${stream}|${slack(runner!.name)} in CloudWatch>: what its runner says of itself`,
  ])
}

/** For whoever asked, once it is on the queue. */
export function acceptedText(words: string): string {
  return `On its way: ${words}. What comes of it follows in this channel.`
}

/** What begins the thread, for everybody in the channel. */
export function askedText(sender: Sender, words: string): string {
  return `<@${sender.user}> asks to ${words}.`
}

export function refusedText(problem: string): string {
  return slack(problem, LONGEST_SENTENCE)
}

/**
 * What became of it.
 * @param page of GitHub where it can be followed; null where none is known
 */
export function outcomeText({ by, action, outcome, message }: AuditEntry, page: string | null): string {
  const what = `<@${by.user}>: ${actionWords(action)}`
  const why = message === null ? '' : ` ${slack(message, LONGEST_SENTENCE)}`
  switch (outcome) {
    case 'done':
      return `${what}: ${page === null ? 'started' : `<${page}|started>`}.`
    case 'unknown':
      return `${what}: it is not known whether that has started; look at ${page === null ? 'GitHub' : `<${page}|GitHub>`} before asking again.${why}`
    default:
      return `${what}: not started.${why}`
  }
}

export function actionWords(action: AuditAction): string {
  if (action.kind === 'rerun')
    return `rerun job ${action.jobId}${action.attempt === null ? '' : `-${action.attempt}`}`
  return `deploy ${slack(action.app)} from ${slack(action.branch, 244)}`
}

function jobLink(job: Job, server: string, words: string): string {
  return `<${jobUrl(server, job)}|${words}>`
}

/** Marked where it rests on an estimate, or where a price is missing. */
function money(sums: Sums): string {
  const basis = basisOf(sums)
  const text = usd(wholeOf(sums))
  if (basis === 'unknown') return `at least ${text}`
  return basis === 'estimate' ? `about ${text}` : text
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function lines(all: readonly (string | null)[]): string {
  return all.filter(line => line !== null && line !== '').join('\n')
}
