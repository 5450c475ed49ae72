/**
 * A function in a process of its own, as in Lambda: imports the bundled handler that its argument names, and calls it with
 * the events that come, one after the other.
 */
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'

export interface Answer {
  /** Of each event. */
  readonly milliseconds: readonly number[]
  /** CPU of the whole process, of all events together. */
  readonly cpuMilliseconds: number
  readonly results: readonly unknown[]
}

const { handler } = createRequire(import.meta.url)(process.argv[2]!)

process.on('message', async (events: readonly unknown[]) => {
  const milliseconds: number[] = []
  const results: unknown[] = []
  const before = process.cpuUsage()
  for (const event of events) {
    const context = { awsRequestId: randomUUID(), getRemainingTimeInMillis: () => 55_000 }
    const start = performance.now()
    results.push(await handler(event, context))
    milliseconds.push(performance.now() - start)
  }
  const { user, system } = process.cpuUsage(before)
  process.send!({ milliseconds, cpuMilliseconds: (user + system) / 1000, results } satisfies Answer)
})
process.on('disconnect', () => process.exit())
process.send!('ready')
