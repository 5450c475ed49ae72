/** Events of AWS: delivered at least once, in any order, as EventBridge says, and now and then not at all. */
import { type Fault, MINUTE, SECOND } from './fault.ts'

export const EVENT_FAULTS: readonly Fault[] = [
  {
    name: 'event-lost',
    about: 'An event of a task or build never comes.',
    share: [0.02, 0.2],
    seams: ({ hit }) => ({
      event: (event, pass) => {
        if (!hit(() => told(event))) pass(event)
      },
    }),
  },
  {
    name: 'event-late',
    about: 'An event of a task or build takes up to five minutes.',
    share: [0.05, 0.4],
    seams: ({ clock, dice, hit }) => ({
      event: (event, pass) => {
        if (hit(() => told(event))) clock.after(dice.between(SECOND, 5 * MINUTE), () => pass(event))
        else pass(event)
      },
    }),
  },
  {
    name: 'event-doubled',
    about: 'An event of a task or build comes again, up to ten minutes later.',
    share: [0.05, 0.5],
    seams: ({ clock, dice, hit }) => ({
      event: (event, pass) => {
        if (hit(() => told(event))) clock.after(dice.between(0, 10 * MINUTE), () => pass(event))
        pass(event)
      },
    }),
  },
]

interface AwsEvent {
  readonly detail: {
    readonly startedBy?: string
    readonly lastStatus?: string
    readonly stopCode?: string
    readonly 'build-status'?: string
    readonly 'build-id'?: string
    readonly 'additional-information'?: {
      readonly environment: { readonly 'environment-variables': readonly { readonly value: string }[] }
    }
  }
}

/** What an event tells, for the timeline. */
export function told(event: unknown): string {
  const { detail } = event as AwsEvent
  const runner =
    detail.startedBy ?? detail['additional-information']?.environment['environment-variables'][0]?.value
  const status = detail.lastStatus ?? detail['build-status']
  return [`event ${status} of ${runner}`, ...(detail.stopCode ? [`(${detail.stopCode})`] : [])].join(' ')
}
