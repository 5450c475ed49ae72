/** Which queue has what. */
import type { JobEvent } from './core/types.ts'
import type { LaunchMessage, QueueMessage, QueueName } from './ports.ts'

/** Where an event about a job goes: queued jobs to launch, whatever else happens to the events. */
export function route(event: JobEvent): [QueueName, QueueMessage[]] {
  if (event.kind !== 'queued') return ['events', [{ body: event }]]
  const message: LaunchMessage = { kind: 'job', request: event.request, queuedAt: event.at }
  return ['launch', [{ body: message }]]
}
