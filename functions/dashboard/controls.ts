/** What a reader chooses by: forms that need no script, and the addresses that keep what was chosen. */
import { html, raw } from 'hono/html'
import type { Period } from '../core/reports.ts'
import { clean } from '../core/text.ts'
import { count } from './format.ts'
import type { Html } from './layout.ts'

const DAY_MS = 86_400_000
const LONGEST = 140
const LONGEST_KEPT = 300

export type Chosen = Readonly<Record<string, string | number | undefined>>

/** Address of a page with these parameters; what is empty is left out. */
export function address(path: string, chosen: Chosen): string {
  const parameters = Object.entries(chosen).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [[name, String(value)] as [string, string]],
  )
  return parameters.length === 0
    ? path
    : `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams(parameters)}`
}

/** A day as a field of a form has it, and as an address has it: the last one is part of the period. */
export function daysOf({ from, to }: Period): { readonly from: string; readonly to: string } {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10)
  return { from: day(from), to: day(to - 1) }
}

export function textField(name: string, label: string, value: string, hint: string): Html {
  return html`<label>${label}<input type="search" name="${name}" value="${clean(value, LONGEST)}" placeholder="${hint}" maxlength="${LONGEST}" autocomplete="off" spellcheck="false"></label>`
}

export function dayField(name: string, label: string, value: string): Html {
  return html`<label>${label}<input type="date" name="${name}" value="${value}"></label>`
}

export function selectField(
  name: string,
  label: string,
  value: string,
  all: string,
  values: readonly string[],
): Html {
  return html`<label>${label}<select name="${name}"><option value="">${all}</option>${values.map(
    one => html`<option${one === value ? raw(' selected') : ''}>${one}</option>`,
  )}</select></label>`
}

export function filterForm(
  path: string,
  label: string,
  fields: Html,
  kept: Chosen,
  isFiltered: boolean,
): Html {
  const hidden = Object.entries(kept).flatMap(([name, value]) =>
    value === undefined || value === ''
      ? []
      : [html`<input type="hidden" name="${name}" value="${clean(String(value), LONGEST_KEPT)}">`],
  )
  return html`<form class="filter" method="get" action="${path}" role="search" aria-label="${label}">${fields}${hidden}
    <button>Show</button>${isFiltered ? html` <a href="${path}">Show all</a>` : ''}</form>`
}

const PRESETS = [7, 30, 90]

/** Days to look at, counted back from today, or from one day to another. */
export function periodForm(path: string, period: Period, now: number, kept: Chosen = {}): Html {
  const { from, to } = daysOf(period)
  const today = Math.floor(now / DAY_MS) * DAY_MS
  const presets = PRESETS.map(days => {
    const chosen = daysOf({ from: today - (days - 1) * DAY_MS, to: today + DAY_MS })
    const isThis = chosen.from === from && chosen.to === to
    return html`<a href="${address(path, { ...kept, ...chosen })}"${isThis ? raw(' aria-current="true"') : ''}>${days} days</a>`
  })
  const [base, query] = path.split('?') as [string, string | undefined]
  const all = { ...Object.fromEntries(new URLSearchParams(query ?? '')), ...kept }
  return html`<div class="period"><div class="presets" role="group" aria-label="Days to look at">${presets}</div>
    ${filterForm(base, 'Days to look at', html`${dayField('from', 'From', from)}${dayField('to', 'to', to)}`, all, false)}</div>`
}

/** Pages by number. */
export function pager(
  label: string,
  page: number,
  size: number,
  all: number,
  href: (page: number) => string,
): Html | '' {
  const last = Math.max(1, Math.ceil(all / size))
  if (last === 1) return ''
  const from = (page - 1) * size + 1
  return html`<nav class="pager" aria-label="${label}">
    ${page > 1 ? html`<a class="button" rel="prev" href="${href(page - 1)}">Previous</a>` : ''}
    <span>${from <= all ? html`${count(from)} – ${count(Math.min(all, page * size))} of ${count(all)}` : html`Beyond the last of ${count(all)}`}</span>
    ${page < last ? html`<a class="button" rel="next" href="${href(page + 1)}">Next</a>` : ''}</nav>`
}
