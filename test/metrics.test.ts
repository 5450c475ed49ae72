import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { SILENT } from '../local/log.ts'
import { ACME_APP } from '../local/payloads.ts'
import { HOUR, job, START, type Stack, stack, untilQuiet } from './support/world.ts'

const SPEND = { monthlyMicroUsd: 500_000_000, dailyMicroUsd: 20_000_000, onCap: 'block' as const }

async function scrape({ world }: Stack, spend: typeof SPEND | null = SPEND): Promise<Response> {
  const app = dashboard(
    {
      clock: world.clock,
      ledger: world.ledger,
      log: SILENT,
      stats: { deadLetters: async () => 2, runnerVersion: async () => null },
    },
    dashboardOptions({ ...DEFAULT_CONFIG, spend }, { notice: null, refreshSeconds: null, logs: null }),
  )
  return app.request('/metrics')
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Reads what the format allows and nothing else: https://prometheus.io/docs/specs/om/open_metrics_spec/#abnf */
function read(text: string): Sample[] {
  const lines = text.split('\n')
  expect(lines.slice(-2)).toEqual(['# EOF', ''])
  const families = new Set<string>()
  return lines.slice(0, -2).flatMap(line => {
    const comment = /^# (HELP|TYPE|UNIT) (\w+) (.+)$/.exec(line)
    if (comment) {
      if (comment[1] === 'TYPE') {
        expect(families.has(comment[2]!)).toBe(false)
        families.add(comment[2]!)
        expect(comment[3]).toBe('gauge')
      }
      return []
    }
    const sample = /^(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[\d.e+-]+)$/.exec(line)
    expect(sample, line).not.toBeNull()
    const [, name, labels = '', value] = sample!
    expect(families.has(name!), line).toBe(true)
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text])
    return [{ name: name!, labels: Object.fromEntries(pairs), value: Number(value) }]
  })
}

const value = (samples: readonly Sample[], name: string, labels: Sample['labels'] = {}) =>
  samples
    .filter(
      sample =>
        sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text),
    )
    .reduce((sum, one) => sum + one.value, 0)

describe('GET /metrics', () => {
  it('is OpenMetrics, and its money is that of the ledger', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { repository: ACME_APP }))
    s.world.github.queue(
      job(2, { repository: { ...ACME_APP, id: 7, name: 'acme/other' }, labels: ['tornade', 'spot'] }),
    )
    s.world.github.queue(job(3, { labels: ['tornade', '5cpu'] }))
    await untilQuiet(s)
    await s.world.clock.run(START + 2 * HOUR)
    const answer = await scrape(s)
    expect(answer.headers.get('content-type')).toBe(
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    )
    const samples = read(await answer.text())
    const { items } = await s.world.ledger.runners.page({ limit: 10 })
    const whole = items.reduce((sum, { cost }) => sum + (cost?.totalMicroUsd ?? 0), 0) / 1e6
    expect(whole).toBeGreaterThan(0)
    for (const period of ['day', 'month'])
      expect(value(samples, 'tornade_cost_usd', { period })).toBeCloseTo(whole, 9)
    expect(value(samples, 'tornade_cost_usd', { period: 'day', compute: 'fargate-spot' })).toBeGreaterThan(0)
    expect(value(samples, 'tornade_repository_cost_usd')).toBeCloseTo(whole, 9)
    expect(value(samples, 'tornade_spend_cap_usd', { period: 'month' })).toBe(500)
    expect(value(samples, 'tornade_jobs', { period: 'day', result: 'success' })).toBe(2)
    expect(value(samples, 'tornade_events', { period: 'day', kind: 'refused' })).toBe(1)
    expect(value(samples, 'tornade_jobs_refused')).toBe(1)
    expect(value(samples, 'tornade_dead_letters')).toBe(2)
    expect(value(samples, 'tornade_start_seconds', { period: 'day', quantile: '0.95' })).toBeGreaterThan(0)
  })

  it('shows what waits and runs now', async () => {
    const s = await stack({ config: { limits: { runners: 1 } } })
    for (const id of [1, 2]) s.world.github.queue(job(id, { repository: ACME_APP }))
    await s.world.clock.run(START + 20_000)
    const samples = read(await (await scrape(s, null)).text())
    expect(value(samples, 'tornade_jobs_queued')).toBe(2)
    expect(value(samples, 'tornade_jobs_deferred')).toBe(1)
    expect(value(samples, 'tornade_runners_live')).toBe(1)
    expect(value(samples, 'tornade_queue_oldest_seconds')).toBeGreaterThan(10)
    expect(samples.filter(({ name }) => name === 'tornade_spend_cap_usd')).toEqual([])
  })

  it('has no more series than repositories of note', async () => {
    const s = await stack()
    for (let id = 1; id <= 60; id++)
      s.world.github.queue(job(id, { repository: { ...ACME_APP, id, name: `acme/r${id}"\\` } }))
    await untilQuiet(s)
    const samples = read(await (await scrape(s)).text())
    expect(samples.filter(({ name }) => name === 'tornade_repository_cost_usd')).toHaveLength(50)
  })
})

describe('the dashboard for Grafana', () => {
  it('asks for metrics that there are, and for all of them', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { repository: ACME_APP }))
    await untilQuiet(s)
    const exposed = new Set(
      [...(await (await scrape(s)).text()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!),
    )
    const text = await readFile(join(import.meta.dirname, '../infra/grafana.json'), 'utf8')
    const { panels } = JSON.parse(text) as { panels: { title: string; targets: { expr: string }[] }[] }
    const asked = new Set(
      panels.flatMap(({ targets }) =>
        targets.flatMap(({ expr }) => [...expr.matchAll(/tornade_\w+/g)].map(([name]) => name)),
      ),
    )
    expect([...asked].sort()).toEqual([...exposed].sort())
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
  })
})
