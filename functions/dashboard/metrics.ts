/**
 * GET /metrics: what is going on and what it costs, in OpenMetrics. Everything is a gauge, because it is read from the ledger:
 * sums of a day or a month start again with it. Series are bounded: of repositories only the dearest.
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
import { Gauge, type OpenMetricsContentType, Registry } from 'prom-client'
import type { Config } from '../config.ts'
import { dayOf, monthOf } from '../core/admission/spend.ts'
import type { Report } from '../core/reports.ts'
import { quantileOf, type Sums, wholeOf } from '../core/rollups.ts'
import { clean } from '../core/text.ts'
import { readReport } from '../reports.ts'
import { type DashboardPorts, type Health, readHealth } from './read.ts'

interface MetricsReading {
  readonly health: Health
  /** Of this UTC day and month, until now. */
  readonly day: Report
  readonly month: Report
  readonly spend: Config['spend']
}

export const METRICS_CONTENT_TYPE = Registry.OPENMETRICS_CONTENT_TYPE

const MICRO_PER_USD = 1_000_000
const REPOSITORIES = 50
const QUANTILES = [0.5, 0.95]

export async function readMetrics(ports: DashboardPorts, spend: Config['spend']): Promise<string> {
  const now = ports.clock.now()
  const since = (start: string) => readReport(ports, { from: Date.parse(start), to: now + 1 })
  const [health, day, month] = await Promise.all([
    readHealth(ports),
    since(dayOf(now)),
    since(`${monthOf(now)}-01`),
  ])
  return openMetrics({ health, day, month, spend })
}

async function openMetrics(reading: MetricsReading): Promise<string> {
  const registry = new Registry<OpenMetricsContentType>()
  registry.setContentType(METRICS_CONTENT_TYPE)
  const { health, day, month, spend } = reading
  const gauge = (name: string, help: string, labels: readonly string[] = []) =>
    new Gauge({ name: `tornade_${name}`, help, labelNames: labels, registers: [registry] })

  gauge('jobs_queued', 'Jobs that wait for a runner, deferred ones included.').set(health.queued)
  gauge('jobs_deferred', 'Queued jobs that a limit or a lack of capacity holds back.').set(health.deferred)
  gauge('jobs_refused', 'Jobs refused in the last 24 hours.').set(health.refused)
  gauge('queue_oldest_seconds', 'How long the oldest queued job has waited; 0 when there is none.').set(
    health.oldestQueuedSeconds ?? 0,
  )
  gauge('runners_live', 'Runners that have not stopped.').set(health.live)
  gauge('dead_letters', 'Messages in the dead-letter queues.').set(health.deadLetters)

  const periods = [
    ['day', day, spend?.dailyMicroUsd ?? null],
    ['month', month, spend?.monthlyMicroUsd ?? null],
  ] as const
  const cap = gauge('spend_cap_usd', 'Spend cap, where there is one.', ['period'])
  const cost = gauge('cost_usd', 'Cost of the runners that stopped in this UTC day or month, by part.', [
    'period',
    'compute',
    'part',
  ])
  const wasted = gauge('wasted_usd', 'What interruptions made worthless of it.', ['period'])
  const onDemand = gauge('on_demand_usd', 'The same runners on demand.', ['period'])
  const hosted = gauge('github_hosted_usd', 'The same jobs on GitHub-hosted runners.', ['period'])
  const jobs = gauge('jobs', 'Jobs that ran on these runners.', ['period', 'result'])
  const happened = gauge('events', 'What went another way than planned.', ['period', 'kind'])
  const start = gauge('start_seconds', 'From when a job could have run until it ran.', ['period', 'quantile'])
  for (const [period, report, capMicroUsd] of periods) {
    const { sums } = report
    if (capMicroUsd !== null) cap.set({ period }, capMicroUsd / MICRO_PER_USD)
    for (const { compute, sums: own } of report.byCompute) {
      for (const [part, microUsd] of parts(own)) cost.set({ period, compute, part }, microUsd / MICRO_PER_USD)
    }
    wasted.set({ period }, sums.wastedMicroUsd / MICRO_PER_USD)
    onDemand.set({ period }, sums.onDemandMicroUsd / MICRO_PER_USD)
    hosted.set({ period }, sums.githubHostedMicroUsd / MICRO_PER_USD)
    jobs.set({ period, result: 'success' }, sums.jobs - sums.failed)
    jobs.set({ period, result: 'other' }, sums.failed)
    for (const [kind, count] of Object.entries(report.happened)) happened.set({ period, kind }, count)
    for (const quantile of QUANTILES) {
      const ms = quantileOf(report.starts.whole, quantile)
      if (ms !== null) start.set({ period, quantile }, ms / 1000)
    }
  }
  const repository = gauge('repository_cost_usd', `Cost this UTC month, the dearest ${REPOSITORIES}.`, [
    'repository',
  ])
  for (const row of month.byRepository.slice(0, REPOSITORIES)) {
    repository.set({ repository: clean(row.repository) }, wholeOf(row.sums) / MICRO_PER_USD)
  }
  return registry.metrics()
}

function parts({ startupMicroUsd, jobMicroUsd, idleMicroUsd }: Sums): [part: string, microUsd: number][] {
  return [
    ['startup', startupMicroUsd],
    ['job', jobMicroUsd],
    ['idle', idleMicroUsd],
  ]
}
