/** What the operator wrote into tornade.yml that keeps jobs waiting. */
import type { Ports } from '../../functions/ports.ts'
import type { Fault, Strikes } from './fault.ts'

export const OPERATOR_FAULTS: readonly Fault[] = [
  {
    name: 'few-starts',
    about: 'A repository may start twenty runners in an hour, one of them thirty.',
    share: [1, 1],
    config: config => ({
      ...config,
      limits: { ...config.limits, startsPerHour: 20 },
      repositories: { ...config.repositories, 'acme/r1': { startsPerHour: 30 } },
    }),
    seams: strikes => ({ ports: ports => counting(ports, 'starts-per-hour', strikes) }),
  },
  {
    name: 'small-budget',
    about: 'Runners may cost $6 a day, and reserve what they could cost.',
    share: [1, 1],
    config: config => ({
      ...config,
      spend: { dailyMicroUsd: 6_000_000, monthlyMicroUsd: 100_000_000, onCap: 'block' },
    }),
    seams: strikes => ({ ports: ports => counting(ports, 'spend-limit', strikes) }),
  },
]

/** It has struck where a job waits for that reason. */
function counting(ports: Ports, reason: string, { struck }: Strikes): Ports {
  const { ledger } = ports
  return {
    ...ports,
    ledger: {
      ...ledger,
      jobs: {
        ...ledger.jobs,
        put: async job => {
          if (job.deferred?.reason === reason) struck(() => `job ${job.key}`)
          return ledger.jobs.put(job)
        },
      },
    },
  }
}
