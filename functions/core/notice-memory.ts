/** What operators were told already. */
import type { NoticeMemory } from './types.ts'

export const EMPTY_NOTICES: NoticeMemory = { version: 0, digestedAt: null, alerted: {} }

/** With what was said; periods that are over are forgotten. */
export function withAlerts(
  memory: NoticeMemory,
  alerts: readonly { readonly period: string; readonly percent: number }[],
  now: number,
): NoticeMemory {
  const today = new Date(now).toISOString()
  const alerted = { ...memory.alerted, ...Object.fromEntries(alerts.map(a => [a.period, a.percent])) }
  return {
    ...memory,
    alerted: Object.fromEntries(Object.entries(alerted).filter(([period]) => today.startsWith(period))),
  }
}
