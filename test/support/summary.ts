/** What `GET /api/summary` would say of these runners and jobs, by the roll-ups of the hours in which the runners stopped. */
import { reportOf, type Summary, summaryOf } from '../../functions/core/reports.ts'
import { periodOf, spanOf, spendOfHour } from '../../functions/core/rollups.ts'
import type { Job, Runner } from '../../functions/core/types.ts'

export function summaryOfItems(runners: readonly Runner[], jobs: readonly Job[]): Summary {
  const byKey = new Map(jobs.map(job => [job.key, job]))
  const byHour = Map.groupBy(
    runners.filter(({ stoppedAt }) => stoppedAt !== null),
    ({ stoppedAt }) => periodOf('hour', stoppedAt!),
  )
  const rollups = [...byHour].map(([hour, stopped]) =>
    spendOfHour(hour, 0, { runners: stopped, jobs: byKey, unserved: [] }),
  )
  const spans = [...byHour.keys()].map(hour => spanOf('hour', hour))
  const period = {
    from: Math.min(...spans.map(({ from }) => from)),
    to: Math.max(...spans.map(({ to }) => to)),
  }
  return summaryOf(reportOf(spans.length > 0 ? period : { from: 0, to: 0 }, rollups, null))
}
