/**
 * A few times an hour: tells operators of the last day and of spend caps that come near, and what is going on as metrics.
 * What could not be sent is sent the next time; a message can come twice, but none is lost.
 */
import type { Config } from './config.ts'
import { capsAt, dayOf, monthOf } from './core/admission/spend.ts'
import { withAlerts } from './core/notice-memory.ts'
import { alertsDue, digestDue, digestPeriods, digestText } from './core/notices.ts'
import type { Gate, NoticeMemory } from './core/types.ts'
import type { Ports } from './ports.ts'
import { readReport } from './reports.ts'

export type NotifyPorts = Pick<Ports, 'clock' | 'ledger' | 'log' | 'metrics' | 'notices'> & {
  /** Messages that were given up, in all dead-letter queues together. */
  readonly stats: { deadLetters(): Promise<number> }
}

const MICRO_PER_USD = 1_000_000

/** @param name of the deployment, as messages show it */
export function notify(ports: NotifyPorts, config: Config, name: string): () => Promise<void> {
  const { clock, ledger, log, metrics, notices, stats } = ports
  const { slack, spend } = config

  return async () => {
    const now = clock.now()
    const gate = await ledger.gate.get()
    measure(gate, now)
    if (slack === null) return
    const alerted = await alert(gate, await ledger.notices.get(), now)
    await digest(gate, alerted, now)
  }

  /** A metric costs by the hour in which it is emitted: a stack that nobody uses emits none. */
  function measure({ spent, holders }: Gate, now: number): void {
    const [today = 0, month = 0] = [spent[dayOf(now)], spent[monthOf(now)]]
    const runners = Object.keys(holders).length
    if (today === 0 && runners === 0) return
    metrics.gauge('SpendTodayUsd', today / MICRO_PER_USD)
    metrics.gauge('SpendMonthUsd', month / MICRO_PER_USD)
    metrics.gauge('Runners', runners)
  }

  async function alert(gate: Gate, memory: NoticeMemory, now: number): Promise<NoticeMemory> {
    const alerts = alertsDue(gate, spend, slack!.alerts, memory, now)
    if (alerts.length === 0) return memory
    for (const { text } of alerts) if ((await notices.post(text)) === 'off') return memory
    return remember(withAlerts(memory, alerts, now))
  }

  async function digest(gate: Gate, memory: NoticeMemory, now: number): Promise<void> {
    const due = slack!.digest && digestDue(slack!.digest, memory, now)
    if (!due) return
    const [last, before] = digestPeriods(due)
    const month = { from: Date.parse(`${monthOf(due)}-01T00:00:00Z`), to: last.to }
    const [lastReport, beforeReport, monthReport, deadLetters] = await Promise.all([
      readReport(ports, last),
      readReport(ports, before),
      readReport(ports, month),
      stats.deadLetters(),
    ])
    const monthly = capsAt(gate, spend, due).find(({ period }) => period === monthOf(due))
    const text = digestText({
      name,
      last: lastReport,
      before: beforeReport,
      month: monthReport,
      monthlyCapMicroUsd: monthly?.microUsd ?? null,
      deadLetters,
    })
    if ((await notices.post(text)) === 'sent') await remember({ ...memory, digestedAt: due })
  }

  /** Nobody else writes it, but for an invocation that AWS made twice: then the other one has told the same. */
  async function remember(memory: NoticeMemory): Promise<NoticeMemory> {
    const next = { ...memory, version: memory.version + 1 }
    const { ok } = await ledger.notices.put(next)
    if (!ok) log.warn('another invocation told operators the same', {})
    return next
  }
}
