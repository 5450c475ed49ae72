/**
 * What operators are told without asking: a digest of the last day, and that a spend cap comes near. Decides what is to be
 * said and remembers that it was; messages are Slack's mrkdwn.
 */
import { capsAt, type SpendLimits, usd } from './admission/spend.ts'
import { slack } from './escape.ts'
import type { Period, Report } from './reports.ts'
import { basisOf, quantileOf, type Sums, wholeOf } from './rollups.ts'
import { type DailyTime, lastDue } from './schedule.ts'
import type { Gate, NoticeMemory } from './types.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** One that could not be sent in this time is not news any more. */
const DIGEST_LATE_MS = 12 * HOUR_MS
/** Clocks are put forward and back, which moves a digest by an hour. */
const DIGEST_APART_MS = 12 * HOUR_MS
const DEAREST = 5

/** The time for which a digest is due; null when there is none to send. */
export function digestDue(time: DailyTime, memory: NoticeMemory, now: number): number | null {
  const due = lastDue(time, now)
  if (due === null || now - due > DIGEST_LATE_MS) return null
  return memory.digestedAt !== null && due - memory.digestedAt < DIGEST_APART_MS ? null : due
}

/** The 24 whole hours before a digest, and the 24 before those. */
export function digestPeriods(due: number): readonly [last: Period, before: Period] {
  const to = Math.floor(due / HOUR_MS) * HOUR_MS
  return [
    { from: to - DAY_MS, to },
    { from: to - 2 * DAY_MS, to: to - DAY_MS },
  ]
}
export interface Alert {
  /** Day or month of the cap: 2026-11-02 or 2026-11. */
  readonly period: string
  readonly percent: number
  readonly text: string
}

/**
 * The caps of which more is spent than was last said. What is only reserved is not counted: it may never be spent.
 * @param percents at which of a cap something is said, for example 50, 80, 100
 */
export function alertsDue(
  gate: Gate,
  spend: SpendLimits | null,
  percents: readonly number[],
  memory: NoticeMemory,
  now: number,
): readonly Alert[] {
  return capsAt(gate, spend, now).flatMap(({ microUsd, spent, period, words }) => {
    const passed = percents.filter(percent => spent * 100 >= microUsd * percent)
    const percent = Math.max(0, ...passed)
    if (percent <= (memory.alerted[period] ?? 0)) return []
    const next =
      percent < 100
        ? 'Nothing is held back yet.'
        : spend?.onCap === 'block'
          ? 'New jobs wait until the period ends or the cap is raised.'
          : 'New jobs still start: onCap is warn.'
    const text = `*${percent} % of a spend cap.* ${words}: ${usd(spent)} are spent. ${next}`
    return [{ period, percent, text }]
  })
}

export interface DigestInput {
  /** For people: the deployment. */
  readonly name: string
  readonly last: Report
  readonly before: Report
  readonly month: Report
  readonly monthlyCapMicroUsd: number | null
  readonly deadLetters: number
}

export function digestText(input: DigestInput): string {
  const { name, last, before, month, monthlyCapMicroUsd, deadLetters } = input
  const { sums, happened, starts, byRepository } = last
  const cost = wholeOf(sums)
  const monthCost = wholeOf(month.sums)
  const cap =
    monthlyCapMicroUsd === null
      ? ''
      : ` of ${usd(monthlyCapMicroUsd)} (${Math.floor((monthCost * 100) / monthlyCapMicroUsd)} %)`
  const spot = last.byCompute.find(({ compute }) => compute === 'fargate-spot')?.sums
  const lines = [
    `*${slack(name)}: the last 24 hours*`,
    `${money(sums)} for ${count(sums.jobs, 'job')} on ${count(sums.runners, 'runner')}${change(cost, wholeOf(before.sums))}`,
    `This month: ${money(month.sums)}${cap}`,
    `GitHub-hosted runners: ${usd(sums.githubHostedMicroUsd)} for the same jobs${
      spot && basisOf(spot) !== 'unknown' && spot.onDemandMicroUsd > wholeOf(spot)
        ? ` · Spot saved ${usd(spot.onDemandMicroUsd - wholeOf(spot))}`
        : ''
    }${sums.wastedMicroUsd > 0 ? ` · interruptions wasted ${usd(sums.wastedMicroUsd)}` : ''}`,
    sums.jobs > 0
      ? `Waiting: half under ${seconds(quantileOf(starts.whole, 0.5))}, 95 % under ${seconds(quantileOf(starts.whole, 0.95))}`
      : '',
    troubles([
      [happened.refused, 'refused'],
      [happened.reclaims, 'taken back by Spot'],
      [happened.fallbacks, 'started elsewhere than asked'],
      [happened.startFailures, 'never came up'],
      [deadLetters, 'in the dead-letter queues'],
    ]),
    ...byRepository
      .slice(0, DEAREST)
      .map(({ repository, sums: own }) => `• ${slack(repository)}: ${money(own)}, ${count(own.jobs, 'job')}`),
  ]
  return lines.filter(line => line !== '').join('\n')
}

/** Marked where it rests on an estimate, or where a price is missing. */
function money(sums: Sums): string {
  const basis = basisOf(sums)
  const text = usd(wholeOf(sums))
  if (basis === 'unknown') return `at least ${text}`
  return basis === 'estimate' ? `about ${text}` : text
}

function change(now: number, before: number): string {
  if (before === 0) return ''
  const percent = Math.round(((now - before) * 100) / before)
  return percent === 0
    ? ', as the day before'
    : `, ${Math.abs(percent)} % ${percent > 0 ? 'more' : 'less'} than the day before`
}

function troubles(counts: readonly (readonly [number, string])[]): string {
  const some = counts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`)
  return some.length === 0 ? 'Nothing refused, nothing lost.' : some.join(' · ')
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function seconds(ms: number | null): string {
  if (ms === null) return '–'
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
}
