/** What a period came to, read from its roll-ups. */
import { type Period, type Report, reportOf, unitsOf } from './core/reports.ts'
import { upToDateAt } from './core/rollup-passes.ts'
import {
  mergeUsage,
  partsOf,
  periodOf,
  type Rollup,
  rollupKey,
  type SpendRollup,
  type UsageOf,
} from './core/rollups.ts'
import type { Ports } from './ports.ts'

type Reading = Pick<Ports, 'clock' | 'ledger'>

export async function readReport(ports: Reading, asked: Period): Promise<Report> {
  const [report] = await readReports(ports, [asked])
  return report!
}

/** The reports of several periods, in one reading of the ledger. */
export async function readReports(
  { clock, ledger }: Reading,
  asked: readonly Period[],
): Promise<readonly Report[]> {
  const wanted = asked.map(period => {
    const { period: whole, units } = unitsOf(period, clock.now())
    return { period: whole, keys: units.map(unit => rollupKey({ ...unit, family: 'spend' })) }
  })
  const [rollups, memory] = await Promise.all([
    ledger.rollups.get([...new Set(wanted.flatMap(({ keys }) => keys))]),
    ledger.sweep.get(),
  ])
  return wanted.map(({ period, keys }) => {
    const spend = keys.map(key => rollups.get(key)).filter(isSpend)
    return reportOf(period, spend, upToDateAt(memory.rollups))
  })
}

function isSpend(rollup: Rollup | undefined): rollup is SpendRollup {
  return rollup?.family === 'spend'
}

/**
 * What the newest measured runs of a workflow used, by size. Usage of a day is rolled up once the day is over, so that today's
 * comes from its hours.
 */
export async function readUsage(
  { clock, ledger }: Reading,
  repository: string,
  workflow: string,
): Promise<readonly UsageOf[]> {
  const now = new Date(clock.now())
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()]
  const units = [
    ...[0, 1].map(
      ago => ({ grain: 'month', period: periodOf('month', Date.UTC(year, month - ago)) }) as const,
    ),
    ...partsOf('day', periodOf('day', clock.now())).map(period => ({ grain: 'hour', period }) as const),
  ]
  const rollups = await ledger.rollups.get(units.map(unit => rollupKey({ ...unit, family: 'usage' })))
  const all = [...rollups.values()].flatMap(rollup => (rollup.family === 'usage' ? rollup.usage : []))
  return mergeUsage(all.filter(one => one.repository === repository && one.workflow === workflow))
}
