/** What repositories and their workflows cost. */
import { html } from 'hono/html'
import { gitHubUrl } from '../core/links.ts'
import type { Period, Report, ReportRow } from '../core/reports.ts'
import { type Sums, type UsageOf, wholeOf } from '../core/rollups.ts'
import { clean, NAME_LIMIT } from '../core/text.ts'
import { adviceSection } from './advice.ts'
import { chart, spark } from './charts.ts'
import { address, type Chosen, daysOf, filterForm, pager, periodForm, textField } from './controls.ts'
import { count, counted, dollars, length, money, percent } from './format.ts'
import { jobTable } from './jobs.ts'
import { type Html, page, type Shell } from './layout.ts'
import { computed, daysName } from './overview.ts'
import {
  type Column,
  certainty,
  link,
  outward,
  repositoryLink,
  section,
  spent,
  table,
  tiles,
  withBasis,
  workflowLink,
} from './parts.ts'
import type { Order } from './query.ts'
import type { JobWithRunner } from './read.ts'
import type { DashboardOptions } from './settings.ts'

export const ROW_ORDERS = ['cost', 'name', 'jobs', 'failed', 'queue', 'run', 'hosted'] as const
export type RowOrder = (typeof ROW_ORDERS)[number]

const PAGE_SIZE = 50

/** Names from A on, amounts from the largest on. */
export function firstOrder(by: RowOrder): 'asc' | 'desc' {
  return by === 'name' ? 'asc' : 'desc'
}

interface Asked {
  readonly now: number
  readonly period: Period
  readonly order: Order<RowOrder>
  readonly search: string
  readonly page: number
}

export function repositoriesPage(shell: Shell, report: Report, asked: Asked): Html {
  const { now, period, order, search } = asked
  const path = '/repositories'
  const chosen = { q: search, sort: order.by, order: order.order }
  const found = report.byRepository.filter(({ repository }) => repository.toLowerCase().includes(search))
  const rows = sorted(found, order, ({ repository }) => repository)
  return page(
    shell,
    {
      title: 'Repositories',
      at: path,
      lead: html`${daysName(report.days)}${computed(report)}`,
    },
    html`<div class="controls">${periodForm(path, period, now, chosen)}
      ${filterForm(path, 'Find a repository', textField('q', 'Name', search, 'a part of it'), { ...daysOf(period), sort: order.by, order: order.order }, search !== '')}</div>
      ${rowTable('Repositories', rows, asked, path, {
        name: 'Repository',
        cell: ({ repository }) => repositoryLink(repository),
        none:
          search === ''
            ? 'No runner has stopped in these days, so nothing was spent.'
            : 'No repository with such a name spent anything in these days.',
      })}
      ${certainty(report.sums)}`,
  )
}

export function repositoryPage(
  shell: Shell,
  repository: string,
  report: Report,
  asked: Asked,
  { gitHub }: DashboardOptions,
): Html {
  const { now, period, order } = asked
  const name = clean(repository, NAME_LIMIT)
  const path = `/repositories/${repository}`
  const row = report.byRepository.find(row => row.repository === name)
  const rows = sorted(
    report.byWorkflow.filter(row => row.repository === name),
    order,
    ({ workflow }) => workflow ?? '',
  )
  return page(
    shell,
    {
      title: name,
      at: '/repositories',
      above: [{ href: '/repositories', text: 'Repositories' }],
      lead: html`${daysName(report.days)}${computed(report)} · ${outward(gitHubUrl(gitHub, name), 'GitHub', `page of ${name}`)}`,
      charts: row !== undefined,
    },
    html`<div class="controls">${periodForm(path, period, now, { sort: order.by, order: order.order })}</div>
      ${row === undefined ? '' : html`${figures(row.sums)}${trend(report, row, 'Spend by day')}`}
      ${section(
        'Workflows',
        link(address('/jobs', { repository }), 'all its jobs'),
        rowTable('Workflows', rows, asked, path, {
          name: 'Workflow',
          cell: ({ workflow }) => workflowLink(repository, workflow),
          none: 'No runner of this repository has stopped in these days, so nothing was spent.',
        }),
      )}
      ${row === undefined ? '' : certainty(row.sums)}`,
  )
}

export function workflowPage(
  shell: Shell,
  { repository, workflow }: { readonly repository: string; readonly workflow: string },
  report: Report,
  jobs: readonly JobWithRunner[],
  { now, period }: Pick<Asked, 'now' | 'period'>,
  usage: readonly UsageOf[],
  { gitHub }: DashboardOptions,
): Html {
  const name = clean(repository, NAME_LIMIT)
  const title = clean(workflow)
  const row = report.byWorkflow.find(row => row.repository === name && row.workflow === title)
  const path = address(`/repositories/${repository}/workflows`, { name: workflow })
  return page(
    shell,
    {
      title,
      at: '/repositories',
      above: [
        { href: '/repositories', text: 'Repositories' },
        { href: `/repositories/${repository}`, text: name },
      ],
      lead: html`${daysName(report.days)}${computed(report)}`,
      charts: row !== undefined,
    },
    html`<div class="controls">${periodForm(path, period, now)}</div>
      ${row === undefined ? html`<p class="empty">No runner of this workflow has stopped in these days, so nothing was spent.</p>` : html`${figures(row.sums)}${trend(report, row, 'Spend by day')}`}
      ${adviceSection(usage, report, row?.sums.jobMs ?? 0)}
      ${section('Latest jobs', link(address('/jobs', { repository, workflow }), 'all its jobs'), jobTable('Latest jobs', jobs, 'None of its jobs is kept any more.', gitHub))}
      ${row === undefined ? '' : certainty(row.sums)}`,
  )
}

// Parts

function figures(sums: Sums): Html {
  const whole = wholeOf(sums)
  const { jobs, githubHostedMicroUsd } = sums
  return tiles([
    {
      name: 'Spent',
      figure: spent(sums),
      more: `start-up ${dollars(sums.startupMicroUsd)}, idle ${dollars(sums.idleMicroUsd)}${sums.wastedMicroUsd > 0 ? `, interrupted ${dollars(sums.wastedMicroUsd)}` : ''}`,
    },
    {
      name: 'Jobs',
      figure: count(jobs),
      more: sums.failed === 0 ? 'all ended well' : `${percent(sums.failed, jobs)} did not end well`,
    },
    {
      name: 'Cost of a job',
      figure: jobs === 0 ? '–' : money(Math.round(whole / jobs)),
      more: jobs === 0 ? 'none ran' : `${length(sums.jobMs / jobs)} on average`,
    },
    {
      name: 'Waited',
      figure: jobs === 0 ? '–' : length(sums.queueMs / jobs),
      more: 'on average, until it ran',
    },
    {
      name: 'On GitHub-hosted runners',
      figure: dollars(githubHostedMicroUsd),
      more:
        githubHostedMicroUsd > whole
          ? `${percent(githubHostedMicroUsd - whole, githubHostedMicroUsd)} less here`
          : 'the same minutes',
    },
  ])
}

function trend({ days }: Report, { daily }: ReportRow, title: string): Html {
  return section(
    title,
    null,
    chart({
      title: `${counted(days.length, 'day')}, by the end of the runner`,
      kind: 'bars',
      unit: 'usd',
      days: days.map(({ day }) => day),
      series: [{ name: 'Spent', tone: 'c-fargate', values: daily }],
    }),
  )
}

function rowTable<Row extends ReportRow>(
  label: string,
  rows: readonly Row[],
  { period, order, search, page }: Asked,
  path: string,
  { name, cell, none }: { readonly name: string; readonly cell: Column<Row>['cell']; readonly none: string },
): Html {
  const chosen: Chosen = { ...daysOf(period), q: search }
  const href = (more: Chosen) => address(path, { ...chosen, sort: order.by, order: order.order, ...more })
  const shown = rows.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)
  const columns: readonly Column<Row>[] = [
    { name, kind: 'main', cell, sort: 'name' },
    { name: 'Jobs', kind: 'number', cell: ({ sums }) => count(sums.jobs), sort: 'jobs' },
    {
      name: 'Failed',
      kind: 'number',
      cell: ({ sums }) => (sums.jobs === 0 ? null : percent(sums.failed, sums.jobs)),
      sort: 'failed',
    },
    { name: 'Waited', kind: 'number', cell: ({ sums }) => average(sums.queueMs, sums), sort: 'queue' },
    { name: 'Ran', kind: 'number', cell: ({ sums }) => average(sums.jobMs, sums), sort: 'run' },
    { name: 'Cost', kind: 'number', cell: ({ sums }) => spent(sums), sort: 'cost' },
    {
      name: 'GitHub-hosted',
      kind: 'number',
      cell: ({ sums }) => withBasis(dollars(sums.githubHostedMicroUsd), 'published', false),
      sort: 'hosted',
    },
    { name: 'By day', kind: 'chart', cell: ({ daily }) => (daily.length > 1 ? spark(daily) : null) },
  ]
  return html`${table(label, shown, rows.length > 0 ? 'There are not so many of them.' : none, columns, { sorting: { ...order, href: (by, direction) => href({ sort: by, order: direction }), first: by => firstOrder(by as RowOrder) } })}${pager(`Pages of ${label.toLowerCase()}`, page, PAGE_SIZE, rows.length, number => href({ page: number }))}`
}

function average(ms: number, { jobs }: Sums): string | null {
  return jobs === 0 ? null : length(ms / jobs)
}

function sorted<Row extends ReportRow>(
  rows: readonly Row[],
  { by, order }: Order<RowOrder>,
  name: (row: Row) => string,
): readonly Row[] {
  const sign = order === 'asc' ? 1 : -1
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  if (by === 'name')
    return [...rows].sort((a, b) => sign * compare(name(a).toLowerCase(), name(b).toLowerCase()))
  const value = ({ sums }: Row): number => {
    switch (by) {
      case 'cost':
        return wholeOf(sums)
      case 'jobs':
        return sums.jobs
      case 'failed':
        return sums.jobs === 0 ? 0 : sums.failed / sums.jobs
      case 'queue':
        return sums.jobs === 0 ? 0 : sums.queueMs / sums.jobs
      case 'run':
        return sums.jobs === 0 ? 0 : sums.jobMs / sums.jobs
      case 'hosted':
        return sums.githubHostedMicroUsd
    }
  }
  return [...rows].sort((a, b) => sign * (value(a) - value(b)) || compare(name(a), name(b)))
}
