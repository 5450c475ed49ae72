/**
 * Charts as inline SVG beside a table of the same figures. The SVG holds no text and may be stretched; axes are HTML, so
 * that letters keep their size. The script (browser.js) reads the table and draws over the SVG.
 */
import { html } from 'hono/html'
import { dayName, dollars, length } from './format.ts'
import type { Html } from './layout.ts'

export interface Series {
  readonly name: string
  /** Class of the stylesheet that has its colour. */
  readonly tone: string
  /** One for each day; null where there is nothing to show. */
  readonly values: readonly (number | null)[]
}

export interface Chart {
  readonly title: string
  readonly kind: 'bars' | 'lines'
  /** Micro-dollars, or milliseconds. */
  readonly unit: 'usd' | 'ms'
  /** YYYY-MM-DD, oldest first. */
  readonly days: readonly string[]
  readonly series: readonly Series[]
}

const HEIGHT = 100
const STEP = 10
const BAR = 7.4

export function chart({ title, kind, unit, days, series }: Chart): Html {
  const write = unit === 'usd' ? dollars : length
  const tops = days.map((_, day) => {
    const values = series.map(({ values }) => values[day] ?? 0)
    return kind === 'bars' ? values.reduce((sum, value) => sum + value, 0) : Math.max(0, ...values)
  })
  const scale = niceScale(Math.max(0, ...tops), unit)
  const width = Math.max(1, days.length) * STEP
  const y = (value: number) => round(HEIGHT - (value / scale.top) * HEIGHT)
  const total = (values: Series['values']) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
  const key = html`<ul class="key">${series.map(
    ({ name, tone, values }) =>
      html`<li><span class="swatch ${tone}" aria-hidden="true"></span>${name}${kind === 'bars' ? html` <span class="value">${write(total(values))}</span>` : html` <span class="value"></span>`}</li>`,
  )}<li class="day"></li></ul>`
  return html`<figure class="chart" data-chart="${kind}" data-unit="${unit}">
    <figcaption><span class="title">${title}</span>${key}</figcaption>
    <div class="plot">
      <div class="y" aria-hidden="true">${scale.steps.map(step => html`<span>${axisText(step, unit)}</span>`)}</div>
      <svg viewBox="0 0 ${width} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true" focusable="false">
        ${scale.steps.map(step => html`<path class="grid" d="M0 ${y(step)}H${width}"/>`)}
        ${kind === 'bars' ? bars(series, days.length, y) : series.map(one => line(one, y))}
      </svg>
      <div class="x" aria-hidden="true">${marks(days).map(day => html`<span>${dayName(day)}</span>`)}</div>
    </div>
    <details><summary>The same as a table</summary><div class="scroll" role="region" aria-label="${title}, as a table" tabindex="0"><table class="data">
      <thead><tr><th scope="col">Day</th>${series.map(({ name, tone }) => html`<th scope="col" class="number" data-tone="${tone}">${name}</th>`)}</tr></thead>
      <tbody>${days.map((day, index) => html`<tr><th scope="row" data-day="${day}">${dayName(day)}</th>${series.map(({ values }) => dataCell(values[index] ?? null, write))}</tr>`)}</tbody>
    </table></div></details>
  </figure>`
}

function dataCell(value: number | null, write: (value: number) => string): Html {
  return value === null
    ? html`<td class="number">–</td>`
    : html`<td class="number" data-value="${value}">${write(value)}</td>`
}

function bars(series: readonly Series[], days: number, y: (value: number) => number): Html[] {
  const below = Array.from({ length: days }, () => 0)
  return series.map(
    ({ tone, values }) =>
      html`<g class="${tone}">${values.map((value, day) => {
        if (!value) return ''
        const [bottom, top] = [below[day]!, below[day]! + value]
        below[day] = top
        return html`<rect x="${round(day * STEP + (STEP - BAR) / 2)}" y="${y(top)}" width="${BAR}" height="${round(y(bottom) - y(top))}"/>`
      })}</g>`,
  )
}

function line({ tone, values }: Series, y: (value: number) => number): Html {
  let pen = 'M'
  const path = values.map((value, day) => {
    if (value === null) {
      pen = 'M'
      return ''
    }
    const step = `${pen}${day * STEP + STEP / 2} ${y(value)}`
    // A single day between two empty ones would have no length.
    const isAlone = pen === 'M' && (values[day + 1] ?? null) === null
    pen = 'L'
    return isAlone ? `${step}h0` : step
  })
  return html`<path class="line ${tone}" d="${path.join('')}"/>`
}

/** Bars in a cell of a table, where the figures stand beside it. */
export function spark(values: readonly number[]): Html {
  const top = Math.max(...values, 1)
  const shown = values.map((value, index) => {
    const height = value === 0 ? 0.6 : Math.max(1.5, round((value / top) * 20))
    return html`<rect x="${index * 4}" y="${round(20 - height)}" width="3" height="${height}"/>`
  })
  return html`<svg class="spark" viewBox="0 0 ${Math.max(1, values.length) * 4} 20" preserveAspectRatio="none" aria-hidden="true" focusable="false">${shown}</svg>`
}

/** Parts of a whole, side by side, with what each one is. */
export function strip(
  label: string,
  parts: readonly {
    readonly name: string
    readonly tone: string
    readonly value: number
    readonly text: Html | string
  }[],
): Html {
  const whole = parts.reduce((sum, part) => sum + part.value, 0)
  let from = 0
  const rects = parts.map(({ tone, value }) => {
    const width = whole === 0 ? 0 : (value / whole) * 1000
    const rect = html`<rect class="${tone}" x="${round(from)}" y="0" width="${round(width)}" height="10"/>`
    from += width
    return rect
  })
  return html`<div class="strip"><svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">${rects}</svg>
    <dl aria-label="${label}">${parts.map(({ name, tone, text }) => html`<div><dt><span class="swatch ${tone}" aria-hidden="true"></span>${name}</dt><dd>${text}</dd></div>`)}</dl></div>`
}

/** How much of a limit is used. */
export function gauge(part: number, of: number): Html {
  const share = of <= 0 ? 1 : Math.min(1, part / of)
  const tone = share >= 1 ? 'over' : share >= 0.8 ? 'near' : ''
  return html`<svg class="gauge ${tone}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="all" x="0" y="0" width="100" height="4"/><rect class="part" x="0" y="0" width="${round(share * 100)}" height="4"/></svg>`
}

const USD = 1_000_000
const STEPS: Readonly<Record<Chart['unit'], readonly number[]>> = {
  usd: [],
  ms: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400].map(
    s => s * 1000,
  ),
}

/** A top that is a round number, and the lines from it down to zero. */
function niceScale(
  most: number,
  unit: Chart['unit'],
): { readonly top: number; readonly steps: readonly number[] } {
  const step =
    most <= 0
      ? unit === 'usd'
        ? USD
        : 1000
      : (STEPS[unit].find(one => one * 4 >= most) ?? niceStep(most / 4))
  const lines = Math.max(1, Math.ceil(most / step))
  return { top: lines * step, steps: Array.from({ length: lines + 1 }, (_, index) => (lines - index) * step) }
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return [1, 2, 2.5, 5, 10].map(factor => factor * power).find(step => step >= least * 0.999) ?? 10 * power
}

function axisText(value: number, unit: Chart['unit']): string {
  if (unit === 'ms') return value === 0 ? '0' : length(value).replace('.0 s', ' s')
  if (value === 0) return '$0'
  return value % USD === 0
    ? dollars(value).replace(/\.00$/, '')
    : value < USD / 100
      ? `$${value / USD}`
      : dollars(value)
}

/** Five days or fewer, evenly apart. */
function marks(days: readonly string[]): readonly string[] {
  if (days.length <= 5) return days
  return [0, 1, 2, 3, 4].map(index => days[Math.round((index * (days.length - 1)) / 4)]!)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
