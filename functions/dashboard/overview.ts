/** The front page: what this month came to. */
import { html } from 'hono/html'
import { priceAge } from '../core/prices.ts'
import type { Report, ReportDay } from '../core/reports.ts'
import { basisOf, type ComputeKind, type Sums, sumOf, wholeOf } from '../core/rollups.ts'
import { secondsBetween } from '../core/views.ts'
import { chart, gauge, spark } from './charts.ts'
import { count, counted, dayName, dollars, duration, monthName, percent } from './format.ts'
import { type Html, page, type Shell } from './layout.ts'
import {
  COMPACT,
  certainty,
  link,
  repositoryLink,
  section,
  spent,
  type Tile,
  table,
  tiles,
  time,
  withBasis,
} from './parts.ts'
import type { Overview } from './read.ts'
import type { DashboardOptions } from './settings.ts'

const REPOSITORIES_SHOWN = 8
const DAYS_SHOWN = 30

export const COMPUTES: readonly {
  readonly kind: ComputeKind
  readonly name: string
  readonly tone: string
}[] = [
  { kind: 'fargate-spot', name: 'Fargate Spot', tone: 'c-spot' },
  { kind: 'fargate', name: 'Fargate', tone: 'c-fargate' },
  { kind: 'codebuild', name: 'CodeBuild', tone: 'c-codebuild' },
]

export function overviewPage(shell: Shell, overview: Overview, options: DashboardOptions): Html {
  const { month, before } = overview
  const days = [...before.days, ...month.days].slice(-DAYS_SHOWN)
  const shown = sumOf(days.map(day => day.sums))
  return page(
    shell,
    {
      title: 'Overview',
      at: '/',
      lead: html`${monthName(monthOf(overview))}${computed(month)}`,
      charts: true,
    },
    html`${spending(overview, options)}
      ${now(overview)}
      ${shown.runners === 0 ? nothingYet() : byCompute(days)}
      <div class="beside">
        ${repositories(month)}
        ${computes(month)}
      </div>
      ${certainty(month.sums)}
      ${oldPrices(overview.now)}`,
  )
}

/** When the figures of a report were computed. */
export function computed({ computedAt, incomplete }: Report): Html {
  const lacking =
    incomplete.length === 0
      ? ''
      : html` · <b class="bad">parts of ${incomplete.slice(0, 3).join(', ')} could not be read</b>`
  if (computedAt === null) return html` · figures are not computed yet${lacking}`
  return html` · figures as of ${time(computedAt)}${lacking}`
}

function oldPrices(now: number): Html | '' {
  const { stale, checkedOn, days } = priceAge(now)
  if (!stale) return ''
  return html`<p class="notice" role="note">Prices were last checked on ${checkedOn}, ${days} days ago.</p>`
}

function nothingYet(): Html {
  return html`<div class="empty"><p><b>No runner has been paid for yet.</b></p>
    <p>Give a job the label <code>tornade</code> and push: the runner is started when GitHub queues the job, and what it
    cost stands here within minutes of its end.</p></div>`
}

/** Where nothing ran for longer than that at its beginning, a month is no measure for the next. */
const LONGEST_BREAK_DAYS = 7

function spending({ now, month, before }: Overview, { spend }: DashboardOptions): Html {
  const { sums } = month
  const whole = wholeOf(sums)
  const today = Math.min(new Date(now).getUTCDate(), before.days.length)
  const sameDays = wholeOf(sumOf(before.days.slice(0, today).map(day => day.sums)))
  const beforeName = monthName(new Date(before.period.from).toISOString())
  const lastName = beforeName.split(' ')[0]!
  const change = sameDays === 0 ? '' : signed(whole / sameDays - 1)
  const began = before.days.findIndex(day => day.sums.runners > 0)
  const last =
    began < 0
      ? `nothing was spent in ${lastName}`
      : began > LONGEST_BREAK_DAYS
        ? `${dollars(wholeOf(before.sums))} in ${lastName}, from ${dayName(before.days[began]!.day)} on`
        : html`${change}${dollars(sameDays)} by ${today} ${lastName}<br>${dollars(wholeOf(before.sums))} in all of ${lastName}`
  const spot = spotSaving(month.days)
  const basis = basisOf(spot.sums)
  const saved: Tile = {
    name: 'Saved by Spot',
    // Less is saved than where an unknown price counts as nothing, and nobody knows how much.
    figure: withBasis(dollars(spot.saved), basis, basis === 'unknown'),
    more:
      basis === 'unknown'
        ? 'nobody has written down all its prices'
        : spot.sums.runners === 0
          ? 'nothing ran on Spot'
          : `${percent(spot.saved, spot.sums.onDemandMicroUsd)} off ${dollars(spot.sums.onDemandMicroUsd)} on demand`,
  }
  return tiles([
    {
      name: 'Spent this month',
      wide: true,
      figure: spent(sums),
      more: last,
    },
    cap(whole, spend?.monthlyMicroUsd ?? null, spend?.onCap ?? 'block', now),
    {
      name: 'On GitHub-hosted runners',
      figure: dollars(sums.githubHostedMicroUsd),
      more: compared(sums),
    },
    saved,
    {
      name: 'Wasted by interruptions',
      figure: withBasis(
        dollars(sums.wastedMicroUsd),
        sums.wastedMicroUsd === 0 ? 'published' : basisOf(sums),
        false,
      ),
      more: `${percent(sums.wastedMicroUsd, whole)}; start-up ${dollars(sums.startupMicroUsd)}, idle ${dollars(sums.idleMicroUsd)}`,
    },
  ])
}

function cap(spentMicroUsd: number, capMicroUsd: number | null, onCap: 'block' | 'warn', now: number): Tile {
  const date = new Date(now)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  const [from, to] = [Date.UTC(year, month), Date.UTC(year, month + 1)]
  // The first day says too little.
  const pace =
    now - from < 86_400_000
      ? ''
      : `at this pace ${dollars((spentMicroUsd / (now - from)) * (to - from))} by the end of the month`
  if (capMicroUsd === null)
    return {
      name: 'Cap of the month',
      figure: 'none',
      more: html`${pace === '' ? '' : html`${pace}<br>`}<code>spend.monthlyUsd</code> sets one`,
    }
  const isOver = spentMicroUsd >= capMicroUsd
  return {
    name: `Of the cap of ${dollars(capMicroUsd).replace(/\.00$/, '')}`,
    figure: percent(spentMicroUsd, capMicroUsd),
    tone: isOver ? 'bad' : spentMicroUsd >= capMicroUsd * 0.8 ? 'warn' : '',
    more: html`${gauge(spentMicroUsd, capMicroUsd)}${isOver ? (onCap === 'block' ? 'Jobs wait until the month ends or the cap is raised.' : 'The cap only warns.') : pace || `${dollars(capMicroUsd - spentMicroUsd)} are left`}`,
  }
}

function compared(sums: Sums): string {
  const whole = wholeOf(sums)
  if (whole === 0 || sums.githubHostedMicroUsd === 0) return 'the jobs’ minutes at GitHub’s prices'
  const share = 1 - whole / sums.githubHostedMicroUsd
  const least = basisOf(sums) === 'unknown' ? 'at most ' : ''
  if (Math.round(share * 100) === 0) return 'about the same here'
  return share > 0
    ? `${least}${Math.round(share * 100)} % less here`
    : `${Math.round(-share * 100)} % more here`
}

function spotSaving(days: readonly ReportDay[]): { readonly saved: number; readonly sums: Sums } {
  const sums = sumOf(days.flatMap(day => day.byCompute['fargate-spot'] ?? []))
  return { saved: Math.max(0, sums.onDemandMicroUsd - wholeOf(sums)), sums }
}

function signed(share: number): string {
  const rounded = Math.round(share * 100)
  return rounded === 0 ? 'as much as ' : `${rounded > 0 ? '+' : '−'}${count(Math.abs(rounded))} % against `
}

function now({ now, live, deferred, deadLetters }: Overview): Html {
  const waiting =
    deferred.count === 0
      ? 'no job is held back'
      : html`${deferred.more ? 'more than ' : ''}${counted(deferred.count, 'job')} held back, the longest for ${duration(secondsBetween(deferred.oldest ?? now, now))}`
  const dead =
    deadLetters === 0 ? '' : html` · <a class="bad" href="/health">${counted(deadLetters, 'dead letter')}</a>`
  return html`<p class="now"><b>Now:</b> <a href="/live">${counted(live, 'runner')}</a> at work or on the way · ${waiting}${dead}</p>`
}

function byCompute(days: readonly ReportDay[]): Html {
  return section(
    'Spend by day',
    null,
    chart({
      title: `The last ${days.length} days, by compute`,
      kind: 'bars',
      unit: 'usd',
      days: days.map(({ day }) => day),
      series: COMPUTES.map(({ kind, name, tone }) => ({
        name,
        tone,
        values: days.map(({ byCompute }) => (byCompute[kind] ? wholeOf(byCompute[kind]) : 0)),
      })),
    }),
  )
}

function repositories({ byRepository, sums, days }: Report): Html {
  const whole = wholeOf(sums)
  return section(
    'Dearest repositories',
    html`this month · ${link('/repositories', byRepository.length > REPOSITORIES_SHOWN ? `all ${count(byRepository.length)}` : 'more about them')}`,
    table(
      'Dearest repositories of this month',
      byRepository.slice(0, REPOSITORIES_SHOWN),
      'Nothing was spent this month.',
      [
        { name: 'Repository', kind: 'main', cell: ({ repository }) => repositoryLink(repository) },
        { name: 'Jobs', kind: 'number', cell: ({ sums }) => count(sums.jobs) },
        { name: 'Cost', kind: 'number', cell: ({ sums }) => spent(sums) },
        { name: 'Share', kind: 'number', cell: ({ sums }) => percent(wholeOf(sums), whole) },
        { name: 'By day', kind: 'chart', cell: ({ daily }) => (days.length > 1 ? spark(daily) : null) },
      ],
      COMPACT,
    ),
  )
}

function computes({ byCompute }: Report): Html {
  return section(
    'By compute',
    'this month',
    table(
      'Spend of this month by compute',
      byCompute,
      'Nothing was spent this month.',
      [
        {
          name: 'Compute',
          kind: 'main',
          cell: ({ compute }) => COMPUTES.find(({ kind }) => kind === compute)!.name,
        },
        { name: 'Runners', kind: 'number', cell: ({ sums }) => count(sums.runners) },
        { name: 'Cost', kind: 'number', cell: ({ sums }) => spent(sums) },
        { name: 'On demand', kind: 'number', cell: ({ sums }) => dollars(sums.onDemandMicroUsd) },
      ],
      COMPACT,
    ),
  )
}

function monthOf({ now }: Overview): string {
  return new Date(now).toISOString()
}

/** From the first to the last of these days. */
export function daysName(days: readonly ReportDay[]): string {
  if (days.length === 0) return ''
  return `${dayName(days[0]!.day)} – ${dayName(days.at(-1)!.day)}`
}
