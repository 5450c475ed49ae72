/** GitHub's deliveries: GitHub promises neither that one comes, nor once, nor when, nor in which order. */
import type { Delivery } from '../github.ts'
import { type Fault, MINUTE, SECOND } from './fault.ts'

export const DELIVERY_FAULTS: readonly Fault[] = [
  {
    name: 'delivery-lost',
    about: 'The endpoint does not take a delivery; GitHub logs that it failed.',
    share: [0.02, 0.3],
    seams: ({ hit }) => ({
      deliver: async (delivery, send) => {
        if (hit(() => told(delivery))) throw new Error('a delivery that was to be lost')
        await send(delivery)
      },
    }),
  },
  {
    name: 'delivery-never-logged',
    about: "A delivery is never sent, and GitHub's log does not know of it.",
    share: [0.02, 0.15],
    seams: ({ hit }) => ({
      deliver: async (delivery, send) => {
        if (!hit(() => told(delivery))) await send(delivery)
      },
    }),
  },
  {
    name: 'delivery-doubled',
    about: 'A delivery comes again, up to ten minutes later.',
    share: [0.05, 0.5],
    seams: ({ clock, dice, hit }) => ({
      deliver: async (delivery, send) => {
        if (hit(() => told(delivery))) clock.after(dice.between(0, 10 * MINUTE), () => ignore(send(delivery)))
        await send(delivery)
      },
    }),
  },
  {
    name: 'delivery-late',
    about: 'A delivery takes up to ten minutes.',
    share: [0.05, 0.3],
    seams: ({ clock, dice, hit }) => ({
      deliver: async (delivery, send) => {
        if (hit(() => told(delivery))) await clock.sleep(dice.between(SECOND, 10 * MINUTE))
        await send(delivery)
      },
    }),
  },
  {
    name: 'delivery-reordered',
    about: 'A delivery waits until the next one has passed it, or for five minutes.',
    share: [0.1, 0.6],
    seams: ({ clock, hit }) => {
      let next = Promise.withResolvers<void>()
      return {
        deliver: async (delivery, send) => {
          const overtaken = next.promise
          if (hit(() => told(delivery))) await Promise.race([overtaken, clock.sleep(5 * MINUTE)])
          await send(delivery)
          next.resolve()
          next = Promise.withResolvers()
        },
      }
    },
  },
]

/** What a delivery tells, for the timeline. */
export function told({ body }: Delivery): string {
  const { action, workflow_job } = JSON.parse(body) as {
    action: string
    workflow_job: { id: number; run_attempt: number; status: string }
  }
  return `delivery ${action} (${workflow_job.status}) of ${workflow_job.id}-${workflow_job.run_attempt}`
}

async function ignore(work: Promise<void>): Promise<void> {
  await work.catch(() => {})
}
