/** Tasks and builds: whether they can be had, whether they start, and how they end. */
import type { StartRequest } from '../../functions/core/types.ts'
import type { StartOutcome } from '../../functions/ports.ts'
import { proxy } from '../around.ts'
import { type Fault, MINUTE, SECOND } from './fault.ts'

const CAPACITY =
  'Capacity is unavailable at this time. Please try again later or in a different availability zone'

export const TASK_FAULTS: readonly Fault[] = [
  {
    name: 'no-spot',
    about: 'Fargate Spot has no capacity.',
    share: [0.5, 1],
    seams: ({ hit }) => ({
      refuse: request =>
        request.shape.capacity === 'spot' && hit(() => started(request))
          ? failed('capacity', CAPACITY)
          : null,
    }),
  },
  {
    name: 'no-capacity',
    about: 'No capacity of any kind, told at once.',
    share: [0.1, 0.5],
    seams: ({ hit }) => ({
      refuse: request => (hit(() => started(request)) ? failed('capacity', CAPACITY) : null),
    }),
  },
  {
    name: 'no-capacity-late',
    about: 'A task is taken and ends as TaskFailedToStart, for want of capacity.',
    share: [0.05, 0.25],
    seams: ({ hit }) => ({
      fate: request =>
        hit(() => started(request)) ? { kind: 'fails-to-start', at: 'provision', reason: CAPACITY } : null,
    }),
  },
  {
    name: 'vcpu-quota',
    about: "The account's quota of vCPUs is used up.",
    share: [0.1, 0.5],
    seams: ({ hit }) => ({
      refuse: request =>
        request.shape.compute === 'fargate' && hit(() => started(request))
          ? failed('quota', 'You’ve reached the limit on the number of vCPUs you can run concurrently')
          : null,
    }),
  },
  {
    name: 'image-pull',
    about: 'The image of a task cannot be had.',
    share: [0.05, 0.25],
    seams: ({ hit }) => ({
      fate: request =>
        hit(() => started(request))
          ? {
              kind: 'fails-to-start',
              at: 'pull',
              reason: 'CannotPullContainerError: pull image manifest has been retried 5 time(s)',
            }
          : null,
    }),
  },
  {
    name: 'spot-reclaim',
    about: 'Spot takes a task back, up to six minutes after its start.',
    share: [0.2, 0.8],
    seams: ({ dice, hit }) => ({
      fate: request =>
        request.shape.capacity === 'spot' && hit(() => started(request))
          ? { kind: 'reclaimed', afterMs: dice.between(0, 6 * MINUTE) }
          : null,
    }),
  },
  {
    name: 'host-dies',
    about: 'The host of a task fails without a signal, up to six minutes after its start.',
    share: [0.03, 0.15],
    seams: ({ dice, hit }) => ({
      fate: request =>
        hit(() => started(request)) ? { kind: 'dies', afterMs: dice.between(0, 6 * MINUTE) } : null,
    }),
  },
  {
    name: 'hung-runner',
    about: 'A runner takes no ticket, never comes online, or stays after its job.',
    share: [0.03, 0.12],
    seams: ({ dice, hit }) => ({
      fate: request =>
        hit(() => started(request))
          ? { kind: 'hangs', at: dice.pick(['ticket', 'connect', 'exit'] as const) }
          : null,
    }),
  },
  {
    name: 'slow-start',
    about: 'RunTask and StartBuild take up to half a minute to answer.',
    share: [0.05, 0.3],
    seams: ({ clock, dice, hit }) => ({
      ports: ports => ({
        ...ports,
        compute: proxy(ports.compute, {
          start: async request => {
            const answer = await ports.compute.start(request)
            if (hit(() => started(request))) await clock.sleep(dice.between(SECOND, 30 * SECOND))
            return answer
          },
        }),
      }),
    }),
  },
]

function failed(kind: 'capacity' | 'quota', message: string): Extract<StartOutcome, { outcome: 'failed' }> {
  return { outcome: 'failed', kind, message }
}

function started({ runner, token }: StartRequest): string {
  return `start of ${runner} (${token.slice(runner.length + 1)})`
}
