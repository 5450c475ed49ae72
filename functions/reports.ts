/** What a period came to, read from its roll-ups. */
import { type Period, type Report, reportOf, unitsOf } from './core/reports.ts'
import { upToDateAt } from './core/rollup-passes.ts'
import { rollupKey, type SpendRollup } from './core/rollups.ts'
import type { Ports } from './ports.ts'

export async function readReport(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  asked: Period,
): Promise<Report> {
  const { period, units } = unitsOf(asked, clock.now())
  const [rollups, memory] = await Promise.all([
    ledger.rollups.get(units.map(unit => rollupKey({ ...unit, family: 'spend' }))),
    ledger.sweep.get(),
  ])
  const spend = [...rollups.values()].filter((rollup): rollup is SpendRollup => rollup.family === 'spend')
  return reportOf(period, spend, upToDateAt(memory.rollups))
}
