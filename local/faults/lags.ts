/** What the sweep asks to make good what was lost can fail too, or be behind. */
import type { Ports } from '../../functions/ports.ts'
import { guarded, proxy } from '../around.ts'
import { called } from './calls.ts'
import { told } from './deliveries.ts'
import { type Fault, MINUTE, SECOND, type Strikes } from './fault.ts'

export const LAG_FAULTS: readonly Fault[] = [
  {
    name: 'redelivery-lost',
    about: 'The endpoint does not take a delivery, nor what comes of asking for it again, up to three times.',
    share: [0.02, 0.2],
    seams: ({ dice, hit, on, struck }) => {
      /** X-GitHub-Delivery → how often it fails yet. */
      const left = new Map<string, number>()
      return {
        deliver: async (delivery, send) => {
          const more = left.get(delivery.id)
          if (more === undefined ? !hit(() => told(delivery)) : !on() || more === 0) return send(delivery)
          if (more !== undefined) struck(() => `${told(delivery)}, again`)
          left.set(delivery.id, more === undefined ? dice.whole(1, 3) : more - 1)
          throw new Error('a delivery that was to be lost')
        },
      }
    },
  },
  {
    name: 'log-unavailable',
    about: "GitHub's log of deliveries cannot be read, or nothing in it asked for again.",
    share: [0.3, 1],
    seams: strikes => ({
      ports: ports => failing(ports, ['github.listFailedDeliveries', 'github.redeliver'], strikes),
    }),
  },
  {
    name: 'provider-unavailable',
    about: 'ECS and CodeBuild do not say what runs, nor what became of it.',
    share: [0.3, 1],
    seams: strikes => ({ ports: ports => failing(ports, ['compute.describe', 'compute.list'], strikes) }),
  },
  {
    name: 'provider-behind',
    about: 'ECS and CodeBuild do not know yet of what was started in the last half minute.',
    share: [0.3, 1],
    seams: ({ clock, hit }) => {
      const startedAt = new Map<string, number>()
      const isNew = (id: string) => clock.now() - (startedAt.get(id) ?? 0) < 30 * SECOND
      return {
        ports: ports => ({
          ...ports,
          compute: proxy(ports.compute, {
            start: async request => {
              const answer = await ports.compute.start(request)
              if (answer.outcome === 'started' && !startedAt.has(answer.providerId))
                startedAt.set(answer.providerId, clock.now())
              return answer
            },
            describe: async ids => {
              const known = await ports.compute.describe(ids)
              const hidden = new Set(ids.filter(id => isNew(id) && hit(() => `describe ${id}`)))
              return new Map([...known].map(([id, event]) => [id, hidden.has(id) ? null : event]))
            },
            list: async since => {
              const ids = await ports.compute.list(since)
              return ids.filter(id => !isNew(id) || !hit(() => `list ${id}`))
            },
          }),
        }),
      }
    },
  },
  {
    name: 'github-behind',
    about: "GitHub's lists of runs, jobs and runners are as they were up to two minutes before.",
    share: [0.3, 1],
    seams: ({ clock, hit, on }) => {
      const before = new Map<string, { readonly at: number; readonly answer: unknown }>()
      return {
        ports: ports =>
          guarded(ports, async (work, name, parameters) => {
            if (!/^github\.list(Runs|Jobs|Runners)$/.test(name) || !on()) return work()
            const key = JSON.stringify([name, parameters])
            const old = before.get(key)
            if (old && clock.now() - old.at <= 2 * MINUTE && hit(() => called(name, parameters)))
              return old.answer
            const answer = await work()
            before.set(key, { at: clock.now(), answer })
            return answer
          }),
      }
    },
  },
  {
    name: 'runner-log',
    about: "The end of a runner's log is not there yet, or cannot be read.",
    share: [0.2, 1],
    seams: ({ dice, hit }) => ({
      ports: ports => ({
        ...ports,
        runnerLog: proxy(ports.runnerLog, {
          usage: async providerId => {
            if (!hit(() => `log of ${providerId}`)) return ports.runnerLog.usage(providerId)
            if (dice.chance(0.5)) return null
            throw new Error('GetLogEvents failed: ThrottlingException')
          },
        }),
      }),
    }),
  },
]

function failing(ports: Ports, calls: readonly string[], { hit }: Strikes): Ports {
  return guarded(ports, async (work, name, parameters) => {
    if (calls.includes(name) && hit(() => called(name, parameters))) throw new Error('Service Unavailable')
    return work()
  })
}
