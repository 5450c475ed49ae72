/**
 * What pages are made of. Every value goes through hono's `html`, which escapes it; text that authors control is cleaned
 * and cut once more, whatever way it came.
 */
import { html, raw } from 'hono/html'
import { jobState } from '../core/lifecycle.ts'
import { jobUrl } from '../core/links.ts'
import { basisOf, type Sums, wholeOf } from '../core/rollups.ts'
import { clean, NAME_LIMIT } from '../core/text.ts'
import type { Job, PriceBasis, Runner, RunnerShape } from '../core/types.ts'
import { iso } from '../core/views.ts'
import { count, dollars, money, utc } from './format.ts'
import type { Html } from './layout.ts'

export type Tone = '' | 'good' | 'bad' | 'warn' | 'busy'
export type Cell = Html | string | null

const CONCLUSION_TONES: ReadonlyMap<string, Tone> = new Map([
  ['success', 'good'],
  ['skipped', ''],
  ['neutral', ''],
])
const LABELS_SHOWN = 12
const SENTENCE_LIMIT = 400
/** In an address. */
export const LONGEST_WORKFLOW = 200

// Blocks

export function section(title: string, more: Cell, content: Html, id?: string): Html {
  return html`<section${id === undefined ? '' : html` id="${id}"`}><h2>${title}${more === null ? '' : html` <small>${more}</small>`}</h2>${content}</section>`
}

export interface Tile {
  readonly name: string
  readonly figure: Html | string
  readonly more: Html | string
  /** warn and bad colour the figure. */
  readonly tone?: Tone
  readonly wide?: boolean
}

export function tiles(all: readonly Tile[]): Html {
  return html`<dl class="tiles">${all.map(
    ({ name, figure, more, tone = '', wide = false }) =>
      html`<div class="tile ${tone}${wide ? ' wide' : ''}"><dt>${name}</dt><dd class="figure">${figure}</dd><dd class="soft">${more}</dd></div>`,
  )}</dl>`
}

export function empty(message: Html | string): Html {
  return html`<p class="empty">${message}</p>`
}

/** Only screen readers say it. */
export function unseen(text: string): Html {
  return html`<span class="unseen">${text}</span>`
}

// Tables

export interface Column<Row> {
  readonly name: string
  readonly kind: 'main' | 'state' | 'why' | 'runner' | 'number' | 'time' | 'chart'
  /** null leaves the cell empty. */
  readonly cell: (row: Row) => Cell
  /** Value of `sort` in the address that this column stands for. */
  readonly sort?: string
}

export interface Sorting {
  readonly by: string
  readonly order: 'asc' | 'desc'
  /** Address of the same rows in this order. */
  readonly href: (by: string, order: 'asc' | 'desc') => string
  /** In which direction a column begins. */
  readonly first: (by: string) => 'asc' | 'desc'
}

/** Few and short columns: it stays a table on the narrowest screen. */
export const COMPACT = { compact: true } as const

/** Roles are written out: browsers forget them where the stylesheet turns rows into cards. */
export function table<Row>(
  label: string,
  rows: readonly Row[],
  none: Html | string,
  columns: readonly Column<Row>[],
  { sorting, compact = false }: { readonly sorting?: Sorting | undefined; readonly compact?: boolean } = {},
): Html {
  if (rows.length === 0) return empty(none)
  return html`<table role="table" class="${compact ? 'compact' : 'cards'}" aria-label="${label}">
    <thead role="rowgroup"><tr role="row">${columns.map(column => heading(column, sorting))}</tr></thead>
    <tbody role="rowgroup">${rows.map(row => html`<tr role="row">${columns.map(column => tableCell(column, row))}</tr>`)}</tbody>
  </table>`
}

function heading<Row>({ name, kind, sort }: Column<Row>, sorting: Sorting | undefined): Html {
  if (!sorting || sort === undefined)
    return html`<th role="columnheader" scope="col" class="${kind}">${name}</th>`
  const isSorted = sorting.by === sort
  const next = isSorted ? (sorting.order === 'asc' ? 'desc' : 'asc') : sorting.first(sort)
  const mark = isSorted ? (sorting.order === 'asc' ? '↑' : '↓') : ''
  const aria = isSorted ? raw(` aria-sort="${sorting.order === 'asc' ? 'ascending' : 'descending'}"`) : ''
  return html`<th role="columnheader" scope="col" class="${kind} sortable"${aria}><a href="${sorting.href(sort, next)}">${name}<span aria-hidden="true" class="arrow">${mark}</span></a></th>`
}

function tableCell<Row>({ name, kind, cell }: Column<Row>, row: Row): Html {
  const content = cell(row)
  return html`<td role="cell" class="${content === null ? `${kind} none` : kind}" data-label="${name}"><div>${content}</div></td>`
}

// Amounts

/** With a sign that says how sure it is: ~ rests on estimates, ? lacks what nobody knows. */
export function withBasis(text: string, basis: PriceBasis, isNothing: boolean): Html | string {
  switch (basis) {
    case 'published':
      return text
    case 'estimate':
      return html`${sign('~', 'about ')}${text}`
    case 'unknown':
      return isNothing
        ? html`${sign('?', 'unknown')}`
        : html`${sign('≥', 'at least ')}${text}${sign('?', ', a part is unknown')}`
  }
}

function sign(mark: string, words: string): Html {
  return html`<span class="sign" aria-hidden="true">${mark}</span>${unseen(words)}`
}

/** Of one job or runner. */
export function amount(microUsd: number, basis: PriceBasis): Html | string {
  return withBasis(money(microUsd), basis, microUsd === 0)
}

/** Of many. */
export function spent(sums: Sums): Html | string {
  return withBasis(dollars(wholeOf(sums)), basisOf(sums), wholeOf(sums) === 0)
}

export function hosted(microUsd: number | null): string {
  if (microUsd === null) return 'has none'
  return microUsd === 0 ? 'free' : money(microUsd)
}

/** How sure these sums are, in a sentence; empty where all prices are published. */
export function certainty(sums: Sums): Html | '' {
  const { estimateMicroUsd, unknownRunners } = sums
  if (unknownRunners > 0)
    return html`<p class="notice" role="note"><b>?</b> ${count(unknownRunners)} ${unknownRunners === 1 ? 'runner' : 'runners'} ran at a price
      that nobody has written down, and ${unknownRunners === 1 ? 'counts' : 'count'} as $0 where nothing is known: what was spent is more than what stands here.</p>`
  if (estimateMicroUsd > 0)
    return html`<p class="soft"><b>~</b> ${dollars(estimateMicroUsd)} of ${dollars(wholeOf(sums))} rest on estimated prices, above all those of Spot, which move. The rest is at published prices.</p>`
  return ''
}

// Cells

export function time(at: number | null | undefined): Html | string {
  const text = iso(at)
  return text === null
    ? ''
    : html`<time datetime="${text}">${utc(text).map(part => html`<span>${part}</span> `)}</time>`
}

export function link(href: string, text: string): Html {
  return html`<a href="${href}">${text}</a>`
}

/** Leads away from these pages. */
export function outward(href: string, text: string, what: string): Html {
  return html`<a class="out" href="${href}" rel="noopener noreferrer">${text}${unseen(` ${what}`)}<span aria-hidden="true"> ↗</span></a>`
}

/** Names that a path can say. Others are shown without a link: no repository of GitHub is called so. */
const REPOSITORY = /^[\w.-]{1,100}\/[\w.-]{1,100}$/

export function repositoryPath(name: string): string | null {
  if (!REPOSITORY.test(name) || name.split('/').some(part => /^\.{1,2}$/.test(part))) return null
  return `/repositories/${name}`
}

export function workflowPath(repository: string, workflow: string | null): string | null {
  const path = repositoryPath(repository)
  if (path === null || !workflow || workflow.length > LONGEST_WORKFLOW) return null
  return `${path}/workflows?${new URLSearchParams({ name: workflow })}`
}

export function repositoryLink(name: string): Html | string {
  const text = clean(name, NAME_LIMIT) || 'repository without a name'
  const path = repositoryPath(name)
  return path === null ? text : link(path, text)
}

export function workflowLink(repository: string, workflow: string | null): Html | string {
  if (workflow === null) return 'no workflow known'
  const text = clean(workflow) || 'workflow without a name'
  const path = workflowPath(repository, workflow)
  return path === null ? text : link(path, text)
}

export function jobTitle({ request: { workflow, name, jobId } }: Job): string {
  const parts = [workflow, name].map(part => clean(part ?? '')).filter(part => part !== '')
  return parts.join(' / ') || `job ${jobId}`
}

/** The job's own page, GitHub's, and whose it is. */
export function jobCell(root: string, job: Job): Html {
  const { key, attempt, repository } = job.request
  const again = attempt > 1 ? html` <small>attempt ${attempt}</small>` : ''
  return html`${link(`/jobs/${key}`, jobTitle(job))}${again} ${outward(jobUrl(root, job), '', 'at GitHub')}<span class="under">${clean(repository.name, NAME_LIMIT) || 'repository without a name'}</span>`
}

export function labels(all: readonly string[]): Html {
  const more = all.length > LABELS_SHOWN ? html`<small>and ${all.length - LABELS_SHOWN} more</small>` : ''
  return html`<span class="labels">${all.slice(0, LABELS_SHOWN).map(label => html`<code>${clean(label)}</code> `)}${more}</span>`
}

export function shapeText({ launch }: Runner): string {
  if (launch === null) return 'known from AWS only'
  return shapeName(launch.shape)
}

export function shapeName({ compute, capacity, arch, cpu, memoryGiB }: RunnerShape): string {
  return `${compute === 'codebuild' ? 'CodeBuild' : capacity === 'spot' ? 'Spot' : 'Fargate'}, ${arch}, ${cpu} vCPU, ${memoryGiB} GiB`
}

export function runnerCell(runner: Runner): Html {
  return html`<span class="shape">${shapeText(runner)}</span><span class="under"><code>${clean(runner.name)}</code></span>`
}

export function badge(text: string, tone: Tone): Html {
  return html`<span class="badge ${tone}">${clean(text)}</span>`
}

export function jobBadge(job: Job): Html {
  const state = jobState(job)
  return badge(state === 'completed' ? job.completed!.conclusion : state, jobTone(job))
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
export function sentence(text: string, limit = SENTENCE_LIMIT): Html {
  const parts = clean(text, limit).split('`')
  // Without its closing half a backtick is only a character.
  if (parts.length % 2 === 0) return html`${parts.join('`')}`
  return html`${parts.map((part, index) => (index % 2 === 0 ? part : html`<code>${part}</code>`))}`
}
