/** Calls to a port: the function may die at any of them, and AWS may have had enough of them. */
import type { Ports } from '../../functions/ports.ts'
import { guarded, proxy } from '../around.ts'
import { currentInvocation } from '../lambda.ts'
import type { Fault, Strikes } from './fault.ts'

const CRASHES = [
  { way: 'error', moment: 'before', about: 'A port call throws and has not taken effect.' },
  { way: 'error', moment: 'after', about: 'A port call throws after it has taken effect.' },
  { way: 'death', moment: 'before', about: 'An invocation dies before a port call takes effect.' },
  { way: 'death', moment: 'after', about: 'An invocation dies after a port call took effect.' },
] as const

export const CALL_FAULTS: readonly Fault[] = [
  ...CRASHES.map(
    ({ way, moment, about }): Fault => ({
      name: `crash-${way}-${moment}`,
      about,
      share: way === 'death' ? [0.001, 0.006] : [0.002, 0.02],
      seams: strikes => {
        const dead = new Set<string>()
        const never = new Promise<never>(() => {})
        return {
          ports: (ports, functionName) =>
            guarded(ports, async (work, name, parameters) => {
              const invocation = currentInvocation() ?? functionName
              if (dead.has(invocation)) return never
              if (!strikes.hit(() => `${functionName} ${called(name, parameters)}`)) return work()
              if (way === 'death') dead.add(invocation)
              if (moment === 'after') await work()
              if (way === 'death') return never
              throw new Error('a crash that was ordered')
            }),
        }
      },
    }),
  ),
  {
    name: 'aws-throttled',
    about: 'Calls to DynamoDB, SQS and ECS are throttled: StartTask says so, the others throw.',
    share: [0.005, 0.05],
    seams: strikes => ({
      ports: (ports, functionName) => throttled(ports, functionName, strikes),
    }),
  },
  {
    name: 'run-task-rate',
    about: 'RunTask takes a burst of three and then one call in six seconds.',
    share: [1, 1],
    seams: strikes => ({
      ports: ports =>
        limitedStarts(ports, { perSecond: 1 / 6, burst: 3, now: () => strikes.clock.now() }, strikes),
    }),
  },
]

/** A token bucket, as AWS throttles by. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
  readonly now: () => number
}

/** Starts over the rate are throttled. */
export function limitedStarts(
  ports: Ports,
  { perSecond, burst, now }: Rate,
  strikes: Pick<Strikes, 'on' | 'struck'>,
): Ports {
  let tokens = burst
  let filledAt: number | null = null
  return {
    ...ports,
    compute: proxy(ports.compute, {
      start: async request => {
        if (!strikes.on()) return ports.compute.start(request)
        tokens = Math.min(burst, tokens + ((now() - (filledAt ?? now())) / 1000) * perSecond)
        filledAt = now()
        if (tokens < 1) {
          strikes.struck(() => `start of ${request.runner}`)
          return { outcome: 'failed', kind: 'throttled', message: 'ThrottlingException: Rate exceeded' }
        }
        tokens--
        return ports.compute.start(request)
      },
    }),
  }
}

function throttled(ports: Ports, functionName: string, strikes: Strikes): Ports {
  return guarded(ports, async (work, name, parameters) => {
    if (name.startsWith('github.')) return work()
    if (!strikes.hit(() => `${functionName} ${called(name, parameters)}`)) return work()
    if (name === 'compute.start')
      return { outcome: 'failed', kind: 'throttled', message: 'ThrottlingException: Rate exceeded' }
    throw new Error('ThrottlingException: Rate exceeded')
  })
}

/** A call and whom it is about, for the timeline. */
export function called(name: string, parameters: readonly unknown[]): string {
  const about = JSON.stringify(parameters)?.match(/[a-z]+-\d+-\d+-\d+|\b\d{4,}-\d+\b/g) ?? []
  return [name, ...[...new Set(about)].slice(0, 3)].join(' ')
}
