/** Ends a task or build. */
import type { Compute, Ports } from './ports.ts'
import { update } from './update.ts'

/** Asks the provider to stop a runner, and writes down since when that is asked for. */
export async function stopRunner(
  { clock, compute, ledger }: Pick<Ports, 'clock' | 'ledger'> & { readonly compute: Pick<Compute, 'stop'> },
  runner: string,
  providerId: string,
  reason: string,
): Promise<void> {
  await compute.stop(providerId, reason)
  await update(
    ledger.runners,
    runner,
    current => current && { ...current, stopRequestedAt: current.stopRequestedAt ?? clock.now() },
  )
}
