import { describe, expect, it } from 'vitest'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import {
  mergeUsage,
  NO_STARTS,
  NO_SUMS,
  NOTHING_HAPPENED,
  type UsageRollup,
} from '../functions/core/rollups.ts'
import type { RunnerShape } from '../functions/core/types.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { LocalLedger } from '../local/ledger.ts'
import { SILENT } from '../local/log.ts'

const NOW = Date.UTC(2026, 10, 20, 9, 41, 12)
const HOUR = 3_600_000
const SHAPE: RunnerShape = {
  arch: 'x64',
  compute: 'fargate',
  capacity: 'on-demand',
  cpu: 4,
  memoryGiB: 8,
  diskGiB: 20,
  computeType: null,
}

/** Runs of ten minutes each, an hour apart, that used this much of four vCPU. */
function usage(runs: number, share: number): UsageRollup['usage'] {
  const samples = Array.from({ length: runs }, (_, index) => ({
    jobKey: `${index + 1}-1`,
    at: NOW - (index + 1) * HOUR,
    seconds: 600,
    cpuAverage: share * 4,
    cpuPeak: share * 4,
    memoryAverageGiB: 5,
    memoryPeakGiB: 6,
  }))
  return mergeUsage([{ repository: 'acme/app', workflow: 'CI', region: 'us-east-1', shape: SHAPE, samples }])
}

async function page(rows: UsageRollup['usage'], jobHours = 1_000): Promise<string> {
  const ledger = new LocalLedger()
  const sums = { ...NO_SUMS, jobs: 1, runners: 1, jobMicroUsd: 1_000_000, jobMs: jobHours * HOUR }
  const names = { repository: 'acme/app', workflow: 'CI', role: null, compute: 'fargate' as const }
  const at = { at: NOW, grain: 'day' as const, period: '2026-11-19' }
  const none = { byCompute: {}, byArch: {} }
  await ledger.rollups.put([
    {
      ...at,
      family: 'spend',
      sums,
      ...none,
      happened: NOTHING_HAPPENED,
      starts: NO_STARTS,
      cells: [{ ...names, ...sums }],
    },
    { family: 'usage', at: NOW, grain: 'hour', period: '2026-11-20T08', usage: rows },
  ])
  const stats = { deadLetters: async () => 0, runnerVersion: async () => null }
  const app = dashboard(
    { clock: { now: () => NOW }, ledger, log: SILENT, stats },
    dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null }),
  )
  const text = await (await app.request('/repositories/acme/app/workflows?name=CI')).text()
  return text.slice(text.indexOf('<h2>Size'), text.indexOf('<h2>Latest jobs'))
}

describe('advice on the page of a workflow', () => {
  it('names the labels to ask for, what they save in a month, and what it is drawn from', async () => {
    const text = await page(usage(20, 0.2))
    expect(text).toContain('<b>Fargate, x64, 4 vCPU, 8 GiB:</b>')
    expect(text).toContain('<code>2cpu</code> <code>8gb</code>')
    expect(text).toContain('In its last 20 runs')
    expect(text).toContain('20 % on average')
    // 20 runs of 10 minutes in 19 hours are 7,579 minutes in 30 days, at 2 × $0.04048 an hour less.
    expect(text).toContain('which saves $10.23 a month')
  })

  it('counts no more minutes than all jobs of the workflow ran', async () => {
    expect(await page(usage(20, 0.2), 10)).toContain('which saves $0.81 a month')
  })

  it('says what a larger size costs', async () => {
    expect(await page(usage(20, 0.97))).toMatch(
      /<code>8cpu<\/code>[\s\S]*which costs \$\d+\.\d\d a month more/,
    )
  })

  it('gives none from fewer than ten runs, and none where the size fits', async () => {
    expect(await page(usage(9, 0.2))).toContain('9 are measured so far')
    expect(await page([])).toContain('none is measured so far')
    expect(await page(usage(20, 0.6))).toContain('fits the sizes that they asked for')
  })
})
