/** Jobs: many of them, and one with all that is known of it. */
import { html } from 'hono/html'
import { isFinal, jobState, readySince } from '../core/lifecycle.ts'
import { gitHubUrl, jobUrl, runUrl } from '../core/links.ts'
import { clean, NAME_LIMIT } from '../core/text.ts'
import type { Job, Runner, Spec } from '../core/types.ts'
import { jobView, secondsBetween } from '../core/views.ts'
import type { JobQuery } from '../ports.ts'
import { strip } from './charts.ts'
import { address, dayField, daysOf, filterForm, pager, selectField, textField } from './controls.ts'
import { count, duration, length } from './format.ts'
import { type Html, page, type Shell } from './layout.ts'
import { logLink, whyOpen } from './live.ts'
import {
  amount,
  type Column,
  empty,
  hosted,
  jobBadge,
  jobCell,
  jobTitle,
  labels,
  link,
  outward,
  repositoryLink,
  runnerCell,
  type Sorting,
  section,
  sentence,
  shapeText,
  table,
  tiles,
  time,
  workflowLink,
} from './parts.ts'
import { JOB_STATES, type Order } from './query.ts'
import { type JobDetail, type JobWithRunner, SORTED_JOBS } from './read.ts'
import type { DashboardOptions } from './settings.ts'

export const JOB_ORDERS = ['created', 'waited', 'ran', 'cost', 'hosted'] as const
export type JobOrder = (typeof JOB_ORDERS)[number]
export const JOBS_PER_PAGE = 50

/** What jobs are sorted by; NaN where a job has no such thing. */
export function jobValue(by: JobOrder): (job: Job) => number {
  switch (by) {
    case 'created':
      return job => job.request.createdAt
    case 'waited':
      return job => (job.started ? job.started.at - readySince(job) : Number.NaN)
    case 'ran':
      return job => (job.started && job.completed ? job.completed.at - job.started.at : Number.NaN)
    case 'cost':
      return job => job.cost?.microUsd ?? Number.NaN
    case 'hosted':
      return job => job.cost?.githubHostedMicroUsd ?? Number.NaN
  }
}

export interface JobsAsked {
  readonly query: JobQuery
  readonly order: Order<JobOrder>
  /** Of those that were sorted; those in the order of time go by cursor. */
  readonly page: number
}
export type JobsFound =
  | { readonly rows: readonly JobWithRunner[]; readonly next: string | null }
  | { readonly rows: readonly JobWithRunner[]; readonly found: number; readonly more: boolean }

export function jobsPage(
  shell: Shell,
  found: JobsFound,
  { query, order, page: number }: JobsAsked,
  options: DashboardOptions,
): Html {
  const path = '/jobs'
  const { state = '', repository = '', workflow = '', from, to, cursor } = query
  const chosen = {
    state,
    repository,
    workflow,
    from: from === undefined ? '' : daysOf({ from, to: from + 1 }).from,
    to: to === undefined ? '' : daysOf({ from: to - 1, to }).to,
  }
  const isFiltered = Object.values(chosen).some(value => value !== '')
  const sort = { sort: order.by, order: order.order }
  const sorting: Sorting = {
    ...order,
    href: (by, direction) =>
      address(path, by === 'created' ? chosen : { ...chosen, sort: by, order: direction }),
    first: () => 'desc',
  }
  const none = cursor
    ? html`There are none beyond these. ${link(address(path, chosen), 'To the newest')}`
    : isFiltered
      ? 'No job fits what was asked for.'
      : 'No job has come in yet. One does when a workflow runs with the label of this deployment in its runs-on.'
  return page(
    shell,
    { title: 'Jobs', at: path, lead: 'found' in found ? foundText(found) : 'newest first' },
    html`<div class="controls">${filterForm(
      path,
      'Which jobs to show',
      html`${selectField('state', 'State', state, 'any', JOB_STATES)}
        ${textField('repository', 'Repository', repository, 'owner/name')}
        ${textField('workflow', 'Workflow', workflow, 'its whole name')}
        ${dayField('from', 'From', chosen.from)}${dayField('to', 'to', chosen.to)}`,
      order.by === 'created' ? {} : sort,
      isFiltered,
    )}</div>
    ${found.rows.length === 0 && 'next' in found && found.next !== null ? empty('None of the jobs that were looked through fits; there are older ones.') : jobTable('Jobs', found.rows, none, options.gitHub, sorting)}
    ${
      'found' in found
        ? pager('Pages of jobs', number, JOBS_PER_PAGE, found.found, one =>
            address(path, { ...chosen, ...sort, page: one }),
          )
        : cursors(path, chosen, cursor, found.next)
    }`,
  )
}

function foundText({ found, more }: { readonly found: number; readonly more: boolean }): string {
  return more
    ? `sorted among the newest ${count(Math.min(found, SORTED_JOBS))} that fit`
    : `${count(found)} that fit`
}

function cursors(
  path: string,
  chosen: Readonly<Record<string, string>>,
  cursor: string | undefined,
  next: string | null,
): Html | '' {
  if (cursor === undefined && next === null) return ''
  return html`<nav class="pager" aria-label="Pages of jobs">
    ${cursor === undefined ? '' : html`<a class="button" rel="first" href="${address(path, chosen)}">Newest</a>`}
    ${next === null ? html`<span>These are the oldest.</span>` : html`<a class="button" rel="next" href="${address(path, { ...chosen, cursor: next })}">Older</a>`}</nav>`
}

export function jobTable(
  label: string,
  jobs: readonly JobWithRunner[],
  none: Html | string,
  gitHub: string,
  sorting?: Sorting,
): Html {
  const rows = jobs.map(({ job, runner }) => ({ job, runner, view: jobView(job, runner, { final: false }) }))
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { name: 'Job', kind: 'main', cell: ({ job }) => jobCell(gitHub, job) },
    {
      name: 'State',
      kind: 'why',
      cell: ({ job, view }) =>
        html`${jobBadge(job)}${view.reason === null ? '' : html`<span class="under">${sentence(view.reason)}</span>`}${job.rerunOf === null ? '' : html`<span class="under">again after Spot took its runner</span>`}`,
    },
    {
      name: 'Waited',
      kind: 'number',
      sort: 'waited',
      cell: ({ view }) => (view.queueSeconds === null ? null : duration(view.queueSeconds)),
    },
    {
      name: 'Ran',
      kind: 'number',
      sort: 'ran',
      cell: ({ view }) => (view.runSeconds === null ? null : duration(view.runSeconds)),
    },
    {
      name: 'Runner',
      kind: 'runner',
      cell: ({ runner, view }) =>
        view.runner && runner ? html`<span class="shape">${shapeText(runner)}</span>` : null,
    },
    {
      name: 'Cost',
      kind: 'number',
      sort: 'cost',
      cell: ({ job }) => job.cost && amount(job.cost.microUsd, job.cost.basis),
    },
    {
      name: 'GitHub-hosted',
      kind: 'number',
      sort: 'hosted',
      cell: ({ job }) => job.cost && hosted(job.cost.githubHostedMicroUsd),
    },
    { name: 'Created', kind: 'time', sort: 'created', cell: ({ job }) => time(job.request.createdAt) },
  ]
  return table(label, rows, none, columns, { sorting })
}

// One job

export function jobPage(shell: Shell, { job, runner, now }: JobDetail, options: DashboardOptions): Html {
  const { request, cost } = job
  const own = runner?.job?.key === job.key ? runner : undefined
  const view = jobView(job, own, { final: false })
  const name = clean(request.repository.name, NAME_LIMIT) || 'repository without a name'
  const why = view.reason ?? (isFinal(job) ? null : whyOpenOf(job, own, now))
  const waited = secondsBetween(
    readySince(job),
    job.started?.at ?? job.completed?.at ?? job.refused?.at ?? now,
  )
  return page(
    shell,
    {
      title: jobTitle(job),
      at: '/jobs',
      above: [
        { href: '/jobs', text: 'Jobs' },
        { href: address('/jobs', { repository: request.repository.name.slice(0, NAME_LIMIT) }), text: name },
      ],
      lead: html`${jobBadge(job)} ${request.attempt > 1 ? `attempt ${request.attempt} · ` : ''}${outward(jobUrl(options.gitHub, job), 'GitHub', 'page of this job')}`,
    },
    html`${why === null ? '' : html`<p class="${jobState(job) === 'refused' ? 'notice bad' : 'why-open'}">${typeof why === 'string' ? sentence(why, 2000) : why}</p>`}
      ${job.rerunOf === null ? '' : html`<p>It runs ${link(`/jobs/${job.rerunOf}`, `job ${job.rerunOf}`)} again, which Spot interrupted.</p>`}
      ${tiles([
        {
          name: 'Waited',
          figure: duration(waited),
          more: job.started ? 'until it ran' : isFinal(job) ? 'and never ran' : 'until now',
        },
        {
          name: 'Ran',
          figure:
            view.runSeconds !== null
              ? duration(view.runSeconds)
              : job.started && !isFinal(job)
                ? duration(secondsBetween(job.started.at, now))
                : '–',
          more: view.conclusion === null ? (job.started ? 'until now' : 'not yet') : clean(view.conclusion),
        },
        {
          name: 'Cost of the job',
          figure: cost ? amount(cost.microUsd, cost.basis) : '–',
          more: cost
            ? html`on demand ${amount(cost.onDemandMicroUsd, cost.onDemandBasis ?? cost.basis)}`
            : job.started && !isFinal(job)
              ? 'known once its runner has stopped'
              : 'nothing',
        },
        {
          name: 'On a GitHub-hosted runner',
          figure: cost ? hosted(cost.githubHostedMicroUsd) : '–',
          more: 'the same minutes',
        },
      ])}
      ${section('How it went', null, timeline(job, own, now))}
      ${own?.cost ? section('What its runner cost', null, costParts(own)) : ''}
      <div class="beside">
        ${section('Job', null, facts(jobFacts(job, options)))}
        ${runner === undefined ? section('Runner', null, empty(job.started ? html`It ran on <code>${clean(job.started.runner.name)}</code>, which is none of ours.` : 'It has none.')) : section(own ? 'Runner' : 'Runner meant for it', null, facts(runnerFacts(runner, options)))}
      </div>`,
  )
}

function whyOpenOf(job: Job, runner: Runner | undefined, now: number): Html | string | null {
  return jobState(job) === 'running' && runner ? null : whyOpen(job, now)
}

type Fact = readonly [name: string, value: Html | string | null]

function facts(all: readonly Fact[]): Html {
  return html`<dl class="facts">${all.flatMap(([name, value]) => (value === null || value === '' ? [] : [html`<div><dt>${name}</dt><dd>${value}</dd></div>`]))}</dl>`
}

function jobFacts(job: Job, { gitHub }: DashboardOptions): readonly Fact[] {
  const { request, spec } = job
  const { repository, workflow, name, headBranch, headSha, runId, jobId, attempt } = request
  const cleanName = clean(repository.name, NAME_LIMIT)
  return [
    ['Repository', repositoryLink(repository.name)],
    ['Workflow', workflowLink(repository.name, workflow)],
    ['Name', clean(name)],
    ['Branch', headBranch === null ? null : clean(headBranch)],
    [
      'Commit',
      outward(
        gitHubUrl(gitHub, cleanName, 'commit', clean(headSha)),
        clean(headSha).slice(0, 10),
        'at GitHub',
      ),
    ],
    ['Run', outward(runUrl(gitHub, job), String(runId), 'at GitHub')],
    ['Job', `${jobId}, attempt ${attempt}`],
    ['Labels', labels(request.labels)],
    ['Asked for', spec === null ? null : specText(spec)],
  ]
}

function specText({
  compute,
  capacity,
  arch,
  cpu,
  memoryGiB,
  diskGiB,
  docker,
  role,
  image,
  timeoutMinutes,
}: Spec): string {
  return [
    compute === 'codebuild' ? 'CodeBuild' : `Fargate ${capacity ?? ''}`.trim(),
    arch,
    `${cpu} vCPU`,
    `${memoryGiB} GiB`,
    `disk ${diskGiB} GiB`,
    docker ? 'Docker' : '',
    role === null ? '' : `role ${clean(role)}`,
    image === null ? '' : `image ${clean(image)}`,
    `at most ${duration(timeoutMinutes * 60)}`,
  ]
    .filter(part => part !== '')
    .join(', ')
}

const CAUSES = {
  job: 'the job',
  retry: 'a runner before it that did not start',
  replacement: 'a runner before it that another job took',
  capacity: 'a runner before it that found no capacity',
  pool: 'a pool',
} as const

function runnerFacts(runner: Runner, { logs }: DashboardOptions): readonly Fact[] {
  const { launch, stop, job } = runner
  return [
    ['Runner', runnerCell(runner)],
    ['Disk', launch && `${launch.shape.diskGiB} GiB`],
    ['Region', launch && clean(launch.region)],
    ['Role', launch?.role ? clean(launch.role) : null],
    ['Started for', launch && CAUSES[launch.cause]],
    [
      'Ran',
      job === null
        ? 'no job'
        : job.key === runner.for || job.key === launch?.jobKey
          ? null
          : link(`/jobs/${job.key}`, `job ${job.key}`),
    ],
    ['Task or build', runner.providerId === null ? null : html`<code>${clean(runner.providerId)}</code>`],
    ['Ended by', stop === null ? null : clean(`${stop.code}: ${stop.reason}`, 200)],
    ['Output', logLink(runner, logs)],
  ]
}

function costParts({ cost }: Runner): Html {
  const { startupMicroUsd, jobMicroUsd, idleMicroUsd, totalMicroUsd, basis, billedMs } = cost!
  return html`${strip('What its runner cost', [
    { name: 'Start-up', tone: 'p-startup', value: startupMicroUsd, text: amount(startupMicroUsd, basis) },
    { name: 'Job', tone: 'p-job', value: jobMicroUsd, text: amount(jobMicroUsd, basis) },
    { name: 'Idle', tone: 'p-idle', value: idleMicroUsd, text: amount(idleMicroUsd, basis) },
  ])}<p class="soft">${amount(totalMicroUsd, basis)} for ${duration(billedMs / 1000)} that are billed.</p>`
}

/** Moments in their order, each with what it took from the one before. */
function timeline(job: Job, runner: Runner | undefined, now: number): Html {
  const { request, queuedAt, gatedAt, started, completed, refused } = job
  const moments = (
    [
      ['Created at GitHub', request.createdAt],
      ['Held back by an environment', gatedAt],
      ['Heard of', queuedAt],
      ['Runner asked for', runner?.launch?.at],
      ['Image pull began', runner?.pullStartedAt],
      ['Container ran', runner?.startedAt],
      ['Job started', started?.at],
      ['Job ended', completed?.at],
      ['Refused', refused?.at],
      ['Runner stopped', runner?.stoppedAt],
    ] as const
  ).flatMap(([name, at]) => (at === null || at === undefined ? [] : [{ name, at }]))
  // Clocks differ; what is told is in the order in which it happens.
  const rows = moments.map((moment, index) => ({
    ...moment,
    after: index === 0 ? null : Math.max(0, moment.at - moments[index - 1]!.at),
  }))
  const spans = rows.flatMap(({ name, after }) =>
    after === null || after === 0
      ? []
      : [
          {
            name: SPANS.get(name)?.name ?? name,
            tone: SPANS.get(name)?.tone ?? '',
            value: after,
            text: length(after),
          },
        ],
  )
  const open = isFinal(job)
    ? ''
    : html`<li><span>Now</span>${time(now)}<span class="soft">${length(now - rows.at(-1)!.at)} later</span></li>`
  return html`${spans.length > 1 ? strip('What took how long', spans) : ''}
    <details><summary>Each moment</summary><ol class="moments">${rows.map(({ name, at, after }) => html`<li><span>${name}</span>${time(at)}<span class="soft">${after === null ? '' : html`${length(after)} later`}</span></li>`)}${open}</ol></details>`
}

/** What lies before a moment. */
const SPANS = new Map<string, { readonly name: string; readonly tone: string }>([
  ['Held back by an environment', { name: 'Delivery', tone: 't-delivery' }],
  ['Heard of', { name: 'Delivery', tone: 't-delivery' }],
  ['Runner asked for', { name: 'Queue', tone: 't-queue' }],
  ['Image pull began', { name: 'Provisioning', tone: 't-provisioning' }],
  ['Container ran', { name: 'Pull', tone: 't-pull' }],
  ['Job started', { name: 'Registration', tone: 't-registration' }],
  ['Job ended', { name: 'Job', tone: 'p-job' }],
  ['Refused', { name: 'Until it was refused', tone: 't-queue' }],
  ['Runner stopped', { name: 'Runner’s end', tone: 'p-idle' }],
])
