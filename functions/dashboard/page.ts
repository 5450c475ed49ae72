/**
 * The front page, without a script. Every value goes through hono's `html`, which escapes it; text that authors
 * control is cleaned and cut once more, whatever way it came.
 */
import { html, raw } from 'hono/html'
import { perMinute } from '../core/cost.ts'
import { jobState, readySince, runnerState } from '../core/lifecycle.ts'
import type { Totals } from '../core/reports.ts'
import { clean } from '../core/text.ts'
import type { Job, PriceBasis, Runner } from '../core/types.ts'
import { iso, jobView, secondsBetween } from '../core/views.ts'
import { signOutForm, type Viewer } from './access/viewer.ts'
import { duration, githubUrl, money, utc } from './format.ts'
import { DEFAULT_DAYS } from './query.ts'
import { endedAt, type JobWithRunner, type Overview } from './read.ts'
import { STYLE } from './style.ts'

type Html = ReturnType<typeof html>
type Tone = '' | 'good' | 'bad' | 'warn' | 'busy'

const MICRO_PER_USD = 1_000_000
const CONCLUSION_TONES: ReadonlyMap<string, Tone> = new Map([
  ['success', 'good'],
  ['skipped', ''],
  ['neutral', ''],
])
const LABELS_SHOWN = 12
const REPOSITORIES_SHOWN = 10
const SENTENCE_LIMIT = 400

export function overviewPage(
  overview: Overview,
  {
    notice,
    refreshSeconds,
    viewer,
  }: {
    readonly notice: string | null
    readonly refreshSeconds: number | null
    readonly viewer: Viewer | null
  },
): Html {
  const { now, health, queue, queueLength, live, recent, summary } = overview
  const refresh = refreshSeconds === null ? '' : html` · refreshes every ${duration(refreshSeconds)}`
  return layout(
    { title: `${health.queued} waiting, ${health.live} live`, notice, refreshSeconds, viewer },
    html`
      <p class="soft">${time(now)} UTC${refresh}</p>
      ${tiles(overview)}
      ${certainty(overview)}
      ${section('Queue', shownOf(queue.length, queueLength), queueTable(queue, now))}
      ${section('Live runners', shownOf(live.length, health.live), liveTable(live, now))}
      ${section('Latest jobs', null, recentTable(recent))}
      ${section('Cost by repository', `${DEFAULT_DAYS} days`, repositoryTable(summary.byRepository))}
    `,
  )
}

/** A page that only says something. */
export function messagePage(title: string, message: string, notice: string | null): Html {
  return layout(
    { title, notice, refreshSeconds: null, viewer: null },
    html`<h2>${title}</h2><p>${message} <a href="/">To the overview</a></p>`,
  )
}

function layout(
  {
    title,
    notice,
    refreshSeconds,
    viewer,
  }: {
    readonly title: string
    readonly notice: string | null
    readonly refreshSeconds: number | null
    readonly viewer: Viewer | null
  },
  content: Html,
): Html {
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    ${refreshSeconds === null ? '' : html`<meta http-equiv="refresh" content="${refreshSeconds}">`}
    <title>${title} · tornade</title>
    <style>${raw(STYLE)}</style>
  </head>
  <body>
    <header><h1><a href="/">tornade</a></h1>${viewer === null ? '' : signOutForm(viewer)}</header>
    ${notice === null ? '' : html`<p class="notice" role="note">${notice}</p>`}
    <main>${content}</main>
    <footer>
      As JSON: <a href="/api/jobs">jobs</a>, <a href="/api/runners">runners</a>, <a href="/api/summary">summary</a>,
      <a href="/api/health">health</a>
    </footer>
  </body>
</html>`
}

// Figures

function tiles({ health, busy, summary: { totals } }: Overview): Html {
  const oldest =
    health.oldestQueuedSeconds === null
      ? 'nobody waits'
      : `the longest for ${duration(health.oldestQueuedSeconds)}`
  const deferred = health.deferred === 0 ? '' : `${health.deferred} deferred, `
  const mark = totals.basis === 'unknown' ? 'at least' : totals.basis === 'estimate' ? 'est.' : ''
  const jobsUsd = totals.costUsd - totals.startupUsd - totals.idleUsd
  const parts = `jobs ${dollars(jobsUsd)}, start-up ${dollars(totals.startupUsd)}, idle ${dollars(totals.idleUsd)}`
  return html`<dl class="tiles">
    ${tile('Waiting for a runner', health.queued, `${deferred}${oldest}`)}
    ${tile('Live runners', health.live, health.live === 0 ? 'nothing runs' : `${busy} at work`)}
    ${tile('Refused', health.refused, 'jobs in 24 hours', health.refused > 0)}
    ${tile('Dead letters', health.deadLetters, 'messages given up', health.deadLetters > 0)}
    ${tile(`Cost in ${DEFAULT_DAYS} days`, html`${dollars(totals.costUsd)} <small>${mark}</small>`, parts)}
    ${tile('On GitHub-hosted', dollars(totals.githubHostedUsd), compared(totals, totals.unknownRunners > 0))}
  </dl>`
}

function tile(name: string, figure: Html | string | number, more: string, alarm = false): Html {
  return html`<div class="${alarm ? 'alarm' : ''}"><dt>${name}</dt><dd class="figure">${figure}</dd><dd class="soft">${more}</dd></div>`
}

function compared({ costUsd, githubHostedUsd }: Totals, incomplete: boolean): string {
  if (incomplete || costUsd === 0 || githubHostedUsd === 0) return 'the jobs’ minutes at GitHub’s prices'
  const percent = Math.round((1 - costUsd / githubHostedUsd) * 100)
  if (percent === 0) return 'about the same here'
  return percent > 0 ? `${percent} % less here` : `${-percent} % more here`
}

function certainty({ prices, summary: { totals } }: Overview): Html | '' {
  const { estimateUsd: estimate, unknownRunners: unknown } = totals
  const notes = [
    prices.stale ? `Prices were last checked on ${prices.checkedOn}, ${prices.days} days ago.` : '',
    unknown > 0
      ? `${counted(unknown, 'runner')} in this time ran at a price that is unknown, and counts as $0 where nothing is known.`
      : '',
    estimate > 0 ? `${dollars(estimate)} of it rests on estimated prices.` : '',
  ]
    .filter(note => note !== '')
    .join(' ')
  if (unknown > 0 || prices.stale) return html`<p class="notice" role="note">${notes}</p>`
  return estimate > 0 ? html`<p class="soft">${notes}</p>` : ''
}

// Tables

interface Column<Row> {
  readonly name: string
  readonly kind: 'job' | 'state' | 'why' | 'runner' | 'number' | 'time'
  /** null leaves the cell empty. */
  readonly cell: (row: Row) => Html | string | null
}

function section(title: string, more: string | null, content: Html): Html {
  return html`<section><h2>${title}${more === null ? '' : html` <small>${more}</small>`}</h2>${content}</section>`
}

/** Roles are written out: browsers forget them where the stylesheet turns rows into cards. */
function table<Row>(
  label: string,
  rows: readonly Row[],
  empty: string,
  columns: readonly Column<Row>[],
): Html {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`
  return html`<table role="table" aria-label="${label}">
    <thead role="rowgroup"><tr role="row">${columns.map(({ name, kind }) => html`<th role="columnheader" scope="col" class="${kind}">${name}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map(row => html`<tr role="row">${columns.map(column => cell(column, row))}</tr>`)}</tbody>
  </table>`
}

function cell<Row>({ name, kind, cell }: Column<Row>, row: Row): Html {
  const content = cell(row)
  return html`<td role="cell" class="${content === null ? `${kind} none` : kind}" data-label="${name}"><div>${content}</div></td>`
}

function queueTable(jobs: readonly Job[], now: number): Html {
  return table('Queue', jobs, 'No job waits for a runner.', [
    { name: 'Job', kind: 'job', cell: job => html`${jobLinks(job)}${labels(job.request.labels)}` },
    { name: 'State', kind: 'state', cell: job => badge(jobState(job), jobTone(job)) },
    { name: 'Why', kind: 'why', cell: job => whyOpen(job, now) },
    { name: 'Waiting', kind: 'number', cell: job => duration(secondsBetween(readySince(job), now)) },
  ])
}

function liveTable(live: Overview['live'], now: number): Html {
  return table('Live runners', live, 'No runner is alive. One is started when a job is queued.', [
    {
      name: 'Job',
      kind: 'job',
      cell: ({ runner, job }) => {
        if (job === undefined) return html`<span class="soft">no job</span>`
        return html`${jobLinks(job)}${runner.job ? '' : html`<span class="soft">meant for this job</span>`}`
      },
    },
    {
      name: 'State',
      kind: 'state',
      cell: ({ runner }) => badge(runnerState(runner), runnerState(runner) === 'busy' ? 'busy' : ''),
    },
    { name: 'Runner', kind: 'runner', cell: ({ runner }) => runnerCell(runner) },
    {
      name: 'Waited',
      kind: 'number',
      cell: ({ runner, job }) =>
        runner.job && job?.started ? duration(secondsBetween(readySince(job), job.started.at)) : null,
    },
    {
      name: 'Runs for',
      kind: 'number',
      cell: ({ runner }) =>
        runner.job ? duration(secondsBetween(runner.job.startedAt, runner.job.completedAt ?? now)) : null,
    },
    {
      name: 'Alive for',
      kind: 'number',
      cell: ({ runner }) => (runner.launch ? duration(secondsBetween(runner.launch.at, now)) : null),
    },
    { name: 'Cost a minute', kind: 'number', cell: ({ runner }) => minutePrice(runner) },
  ])
}

function recentTable(jobs: readonly JobWithRunner[]): Html {
  const rows = jobs.map(({ job, runner }) => ({ job, runner, view: jobView(job, runner, { final: false }) }))
  return table('Latest jobs', rows, 'No job has ended yet.', [
    { name: 'Job', kind: 'job', cell: ({ job }) => jobLinks(job) },
    {
      name: 'Outcome',
      kind: 'why',
      cell: ({ job, view }) =>
        html`${badge(outcomeOf(job), jobTone(job))}${view.reason === null ? '' : html`<span class="soft">${sentence(view.reason)}</span>`}${job.rerunOf === null ? '' : html`<span class="soft">Run again after Spot took the runner of job ${job.rerunOf}.</span>`}`,
    },
    {
      name: 'Waited',
      kind: 'number',
      cell: ({ view }) => (view.queueSeconds === null ? null : duration(view.queueSeconds)),
    },
    {
      name: 'Ran',
      kind: 'number',
      cell: ({ view }) => (view.runSeconds === null ? null : duration(view.runSeconds)),
    },
    {
      name: 'Runner',
      kind: 'runner',
      cell: ({ runner, view }) => (view.runner && runner ? runnerCell(runner) : null),
    },
    {
      name: 'Cost',
      kind: 'number',
      cell: ({ job }) => job.cost && amount(job.cost.microUsd, job.cost.basis),
    },
    {
      name: 'GitHub-hosted',
      kind: 'number',
      cell: ({ job }) => job.cost && hosted(job.cost.githubHostedMicroUsd),
    },
    { name: 'Ended (UTC)', kind: 'time', cell: ({ job }) => time(endedAt(job)) },
  ])
}

function repositoryTable(rows: Overview['summary']['byRepository']): Html {
  return table('Cost by repository', rows.slice(0, REPOSITORIES_SHOWN), 'No runner has been paid for yet.', [
    { name: 'Repository', kind: 'job', cell: ({ repository }) => repositoryLink(repository) },
    { name: 'Jobs', kind: 'number', cell: ({ jobs }) => String(jobs) },
    { name: 'Cost', kind: 'number', cell: ({ costUsd }) => dollars(costUsd) },
    { name: 'of it start-up', kind: 'number', cell: ({ startupUsd }) => dollars(startupUsd) },
    { name: 'of it idle', kind: 'number', cell: ({ idleUsd }) => dollars(idleUsd) },
    { name: 'GitHub-hosted', kind: 'number', cell: ({ githubHostedUsd }) => dollars(githubHostedUsd) },
  ])
}

// Cells

function repositoryLink(name: string): Html {
  const text = clean(name, 140)
  return link(githubUrl(text), text || 'repository without a name')
}

function jobLinks({ request }: Job): Html {
  const { repository, runId, jobId, attempt, workflow, name } = request
  const title = [workflow, name]
    .map(part => clean(part ?? ''))
    .filter(part => part !== '')
    .join(' / ')
  const again = attempt > 1 ? html` <small>attempt ${attempt}</small>` : ''
  return html`${repositoryLink(repository.name)}<span>${link(githubUrl(clean(repository.name, 140), 'actions', 'runs', runId, 'job', jobId), title || `job ${jobId}`)}${again}</span>`
}

function link(url: string, text: string): Html {
  return html`<a href="${url}" rel="noopener noreferrer">${text}</a>`
}

function labels(all: readonly string[]): Html {
  const more = all.length > LABELS_SHOWN ? html`<small>and ${all.length - LABELS_SHOWN} more</small>` : ''
  return html`<span class="labels">${all.slice(0, LABELS_SHOWN).map(label => html`<code>${clean(label)}</code> `)}${more}</span>`
}

function runnerCell({ name, launch }: Runner): Html {
  const shape = launch?.shape
  const size = shape
    ? `${shape.compute}${shape.capacity === 'spot' ? ' spot' : ''}, ${shape.arch}, ${shape.cpu} vCPU, ${shape.memoryGiB} GiB`
    : 'known from AWS only'
  return html`<code>${clean(name)}</code><span>${size}</span>`
}

function badge(text: string, tone: Tone): Html {
  return html`<span class="badge ${tone}">${clean(text)}</span>`
}

function jobTone(job: Job): Tone {
  switch (jobState(job)) {
    case 'completed':
      return CONCLUSION_TONES.get(job.completed!.conclusion) ?? 'bad'
    case 'refused':
      return 'bad'
    case 'deferred':
      return 'warn'
    case 'launching':
    case 'running':
      return 'busy'
    case 'waiting':
    case 'queued':
    case 'cancelled':
      return ''
  }
}

/** Prose with labels between backticks, as refusals and deferrals have it. */
function sentence(text: string): Html {
  const parts = clean(text, SENTENCE_LIMIT).split('`')
  // Without its closing half a backtick is only a character.
  if (parts.length % 2 === 0) return html`${parts.join('`')}`
  return html`${parts.map((part, index) => (index % 2 === 0 ? part : html`<code>${part}</code>`))}`
}

function outcomeOf(job: Job): string {
  return jobState(job) === 'completed' ? job.completed!.conclusion : jobState(job)
}

function whyOpen(job: Job, now: number): Html | string | null {
  switch (jobState(job)) {
    case 'waiting':
      return 'GitHub holds it back: an environment that asks for approval, or concurrency.'
    case 'deferred':
      return html`${sentence(job.deferred!.message)} <small>for ${duration(secondsBetween(job.deferred!.since, now))}</small>`
    case 'launching':
      return 'A runner is being started for it.'
    case 'running':
      return 'No live runner of ours runs it, and GitHub has not said how it ended.'
    default:
      return null
  }
}

function amount(microUsd: number, basis: PriceBasis): Html | string {
  if (basis === 'published') return money(microUsd)
  if (basis === 'estimate') return html`${money(microUsd)} <small>est.</small>`
  return microUsd === 0 ? 'unknown' : html`<small>at least</small> ${money(microUsd)}`
}

function minutePrice({ launch }: Runner): Html | string | null {
  if (launch === null) return null
  const { microUsd, basis } = perMinute(launch.shape, launch.region)
  return amount(microUsd ?? 0, basis)
}

function hosted(microUsd: number | null): string {
  if (microUsd === null) return 'has none'
  return microUsd === 0 ? 'free' : money(microUsd)
}

function dollars(usd: number): string {
  return money(Math.round(usd * MICRO_PER_USD))
}

function time(at: number): Html | string {
  const text = iso(at)
  return text === null
    ? ''
    : html`<time datetime="${text}">${utc(text).map(part => html`<span>${part}</span> `)}</time>`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function shownOf(shown: number, all: number): string | null {
  return shown < all ? `${shown} of ${all}` : null
}
