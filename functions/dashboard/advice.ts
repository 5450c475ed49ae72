/** Which size a workflow should ask for instead, for its author to take or leave. */
import { html } from 'hono/html'
import { type Advice, adviceFor, LEAST_RUNS } from '../core/advice.ts'
import type { Report } from '../core/reports.ts'
import type { UsageOf } from '../core/rollups.ts'
import { counted, dollars } from './format.ts'
import type { Html } from './layout.ts'
import { empty, section, shapeName, withBasis } from './parts.ts'

const DAY_MS = 86_400_000
const MONTH_MS = 30 * DAY_MS
const MINUTE_MS = 60_000

/** @param jobMs how long all jobs of the workflow ran in the period of the report */
export function adviceSection(usage: readonly UsageOf[], { period }: Report, jobMs: number): Html {
  const wholeMs = (jobMs * MONTH_MS) / Math.max(DAY_MS, period.to - period.from)
  const found = usage.flatMap(one => adviceFor(one, monthlyMinutes(one, wholeMs)) ?? [])
  const measured = Math.max(0, ...usage.map(({ samples }) => samples.length))
  const none =
    measured < LEAST_RUNS
      ? `Advice is drawn from ${LEAST_RUNS} runs on the same size at least; ${measured === 0 ? 'none is' : `${measured === 1 ? '1 is' : `${measured} are`}`} measured so far.`
      : 'What its last runs used fits the sizes that they asked for.'
  return section(
    'Size',
    'as the runners measured themselves',
    found.length === 0 ? empty(none) : html`<ul class="advice">${found.map(item)}</ul>`,
  )
}

/** The pace of the runs that were measured, and no more than the whole workflow runs for. */
function monthlyMinutes({ samples }: UsageOf, wholeMs: number): number {
  const seconds = samples.reduce((sum, sample) => sum + sample.seconds, 0)
  const times = samples.map(({ at }) => at)
  const spanMs = Math.max(...times) - Math.min(...times)
  const paceMs = spanMs > 0 ? (seconds * 1000 * MONTH_MS) / spanMs : wholeMs
  return Math.min(paceMs, wholeMs) / MINUTE_MS
}

function item(advice: Advice): Html {
  const { from, labels, most, runs, cpu, memory } = advice
  const share = (of: number) => `${Math.round(of * 100)} %`
  return html`<li><p><b>${shapeName(from)}:</b> ask for ${labels.map(label => html`<code>${label}</code> `)}instead${saving(advice)}.</p>
    <p class="soft">In its last ${counted(runs, 'run')}: cpu ${word(cpu)}, at most ${share(most.cpuAverage)} on average and ${share(most.cpuPeak)} at its peak;
    memory ${word(memory)}, at most ${share(most.memoryAverage)} and ${share(most.memoryPeak)}.</p></li>`
}

function word(direction: Advice['cpu']): string {
  if (direction === null) return 'fits'
  return direction === 'smaller' ? 'is more than is used' : 'is short'
}

function saving({ savingMicroUsdPerMonth: saved, basis }: Advice): Html | string {
  if (saved === null) return ', at a price that nobody has written down'
  if (saved === 0) return ', which costs the same'
  const amount = withBasis(dollars(Math.abs(saved)), basis, false)
  return saved > 0
    ? html`, which saves ${amount} a month`
    : html`, which costs ${amount} a month more while a minute takes as long`
}
