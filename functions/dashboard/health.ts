/** Whether jobs start in time, and what stood in their way. */
import { html } from 'hono/html'
import type { Period, Report } from '../core/reports.ts'
import { type Happenings, type Histogram, quantileOf, type StartTimes } from '../core/rollups.ts'
import { clean } from '../core/text.ts'
import { chart, strip } from './charts.ts'
import { periodForm } from './controls.ts'
import { count, counted, length } from './format.ts'
import { type Html, page, type Shell } from './layout.ts'
import { computed, daysName } from './overview.ts'
import { badge, COMPACT, empty, link, section, type Tone, table, tiles, time } from './parts.ts'
import type { RunnerVersion } from './read.ts'

const PARTS: readonly {
  readonly part: keyof StartTimes
  readonly name: string
  readonly who: string
  readonly tone: string
}[] = [
  { part: 'delivery', name: 'Delivery', who: 'GitHub tells of the job', tone: 't-delivery' },
  { part: 'queue', name: 'Queue', who: 'until its runner is asked for: limits, capacity', tone: 't-queue' },
  { part: 'provisioning', name: 'Provisioning', who: 'AWS finds a place for it', tone: 't-provisioning' },
  { part: 'pull', name: 'Pull', who: 'the image comes', tone: 't-pull' },
  {
    part: 'registration',
    name: 'Registration',
    who: 'the runner starts, and GitHub gives it the job',
    tone: 't-registration',
  },
]

const HAPPENINGS: readonly {
  readonly what: keyof Happenings
  readonly name: string
  readonly more: string
}[] = [
  { what: 'refused', name: 'Refused', more: 'jobs that cannot be served' },
  {
    what: 'unserved',
    name: 'Never ran',
    more: 'cancelled, or given up by GitHub, before a runner took them',
  },
  { what: 'startFailures', name: 'Did not start', more: 'runners that never came to run' },
  { what: 'fallbacks', name: 'Fell back', more: 'runners on other capacity than was asked for first' },
  { what: 'reclaims', name: 'Reclaimed', more: 'runners that Spot took back' },
  { what: 'replacements', name: 'Replaced', more: 'runners started because another job took the one before' },
]

/** GitHub gives no job to a release once a newer one is this old. https://docs.github.com/en/actions/reference/runners/self-hosted-runners */
const CUT_OFF_DAYS = 30
const DAY_MS = 86_400_000
/** Less than two weekly builds of the image. */
const SOON_DAYS = 10

export interface HealthAsked {
  readonly now: number
  readonly period: Period
}

export function healthPage(
  shell: Shell,
  report: Report,
  deadLetters: number,
  version: RunnerVersion | null,
  { now, period }: HealthAsked,
): Html {
  const { starts, happened, days } = report
  const has = quantileOf(starts.whole, 0.5) !== null
  return page(
    shell,
    { title: 'Health', at: '/health', lead: html`${daysName(days)}${computed(report)}`, charts: has },
    html`<div class="controls">${periodForm('/health', period, now)}</div>
      ${tiles([
        {
          name: 'Queue time, the middle job',
          figure: quantile(starts.whole, 0.5),
          more: 'half of all jobs run sooner (p50)',
        },
        {
          name: 'Queue time, the slow ones',
          figure: quantile(starts.whole, 0.95),
          more: 'one in twenty waits longer (p95)',
        },
        {
          name: 'Dead letters',
          figure: count(deadLetters),
          tone: deadLetters > 0 ? 'bad' : '',
          more:
            deadLetters > 0
              ? 'messages given up now: docs/operating.md says how to put them back'
              : 'no message was given up',
        },
        runnerTile(version, now),
      ])}
      ${has ? queueTimes(report) : section('Queue time', null, empty('No job has run in these days.'))}
      ${has ? section('What a start is made of', 'the middle job', startParts(starts)) : ''}
      ${section(
        'What happened',
        null,
        html`<dl class="happenings">${HAPPENINGS.map(
          ({ what, name, more }) =>
            html`<div><dt>${name}</dt><dd class="figure">${count(happened[what])}</dd><dd class="soft">${more}${what === 'refused' && happened.refused > 0 ? html` · ${link('/jobs?state=refused', 'which')}` : ''}</dd></div>`,
        )}</dl>${eventful(report)}`,
      )}`,
  )
}

function quantile(lengths: Histogram, share: number): string {
  const ms = quantileOf(lengths, share)
  return ms === null ? '–' : length(ms)
}

function queueTimes({ days }: Report): Html {
  return section(
    'Queue time by day',
    null,
    chart({
      title: 'From when a job could run until it ran',
      kind: 'lines',
      unit: 'ms',
      days: days.map(({ day }) => day),
      series: [
        { name: 'p50', tone: 'c-spot', values: days.map(({ starts }) => quantileOf(starts.whole, 0.5)) },
        {
          name: 'p95',
          tone: 'c-codebuild',
          values: days.map(({ starts }) => quantileOf(starts.whole, 0.95)),
        },
      ],
    }),
  )
}

function startParts(starts: StartTimes): Html {
  const rows = [...PARTS, { part: 'whole', name: 'All of it', who: '', tone: '' } as const]
  return html`${strip(
    'Parts of a start, p50',
    PARTS.map(({ part, name, tone }) => ({
      name,
      tone,
      value: quantileOf(starts[part], 0.5) ?? 0,
      text: quantile(starts[part], 0.5),
    })),
  )}${table(
    'Parts of a start',
    rows,
    '',
    [
      {
        name: 'Part',
        kind: 'main',
        cell: ({ name, who }) => html`${name}${who === '' ? '' : html`<span class="under">${who}</span>`}`,
      },
      { name: 'p50', kind: 'number', cell: ({ part }) => quantile(starts[part], 0.5) },
      { name: 'p95', kind: 'number', cell: ({ part }) => quantile(starts[part], 0.95) },
      { name: 'p99', kind: 'number', cell: ({ part }) => quantile(starts[part], 0.99) },
    ],
    COMPACT,
  )}`
}

function eventful({ days }: Report): Html | '' {
  const rows = days.filter(({ happened }) => HAPPENINGS.some(({ what }) => happened[what] > 0)).toReversed()
  if (rows.length === 0) return ''
  return html`<details><summary>By day</summary>${table('What happened by day', rows, '', [
    { name: 'Day', kind: 'main', cell: ({ day }) => day },
    ...HAPPENINGS.map(({ what, name }) => ({
      name,
      kind: 'number' as const,
      cell: (row: (typeof rows)[number]) => (row.happened[what] === 0 ? '–' : count(row.happened[what])),
    })),
  ])}</details>`
}

function runnerTile(version: RunnerVersion | null, now: number) {
  const name = 'Runner program'
  if (version === null)
    return {
      name,
      figure: 'unknown',
      more: 'Which version the image in use has is written down nowhere that these pages can read.',
    }
  // A newer one can have come out at once at the earliest.
  const cutOff = version.releasedAt + CUT_OFF_DAYS * DAY_MS
  const left = Math.floor((cutOff - now) / DAY_MS)
  const tone: Tone = left < 0 ? 'bad' : left < SOON_DAYS ? 'warn' : 'good'
  return {
    name,
    figure: clean(version.version),
    more: html`${badge(left < 0 ? 'may be cut off' : `${counted(left, 'day')} left at least`, tone)} GitHub gives it jobs until ${time(cutOff)} in any case: 30 days after a newer release it ends.`,
  }
}
