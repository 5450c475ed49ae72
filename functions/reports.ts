/** What a period came to, read from its roll-ups. */
import { type Period, type Report, reportOf, unitsOf } from './core/reports.ts'
import { upToDateAt } from './core/rollup-passes.ts'
import { type Rollup, rollupKey, type SpendRollup } from './core/rollups.ts'
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
