/** GitHub may ask to be left alone for a while, at any call. That is no failure of the message that is being handled. */
import { pause } from './core/admission.ts'
import { pauseAskedFor } from './core/errors.ts'
import type { QueueRecord } from './lambda.ts'
import type { Ports, QueueName } from './ports.ts'
import { changeGate } from './update.ts'

/** SQS delays a message no longer. */
export const LONGEST_DELAY_SECONDS = 900

/** Does `work`; where GitHub asks to wait, starts are paused, and the message of `record` comes again after that. */
export async function patiently(
  { clock, ledger, log, queue }: Pick<Ports, 'clock' | 'ledger' | 'log' | 'queue'>,
  from: QueueName,
  record: QueueRecord,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work()
  } catch (error) {
    const seconds = await pauseFor({ clock, ledger }, error)
    if (seconds === null) throw error
    log.warn('GitHub asks to wait, the message comes again then', { message: record.id, seconds })
    await queue.send(from, [{ body: record.body, delaySeconds: Math.min(LONGEST_DELAY_SECONDS, seconds) }])
  }
}

/** Pauses starts where `error` says that GitHub wants to be left alone. @returns the seconds; null for any other error */
export async function pauseFor(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  error: unknown,
): Promise<number | null> {
  const seconds = pauseAskedFor(error)
  if (seconds === null) return null
  const until = clock.now() + seconds * 1000
  await changeGate(ledger, gate => ({ gate: pause(gate, 'github', until) }))
  return seconds
}
