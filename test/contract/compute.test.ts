import { expect } from 'vitest'
import { SteppedClock } from '../../local/clock.ts'
import { LocalCompute } from '../../local/compute.ts'
import { GitHubDouble } from '../../local/github.ts'
import { LocalTickets } from '../../local/tickets.ts'
import type { FaultName } from '../aws/wire/faults.ts'
import { wireStack } from '../aws/wire/stack.ts'
import { computeContract, type Kind } from './compute.ts'
import { computeAt, isMoto, motoLacks } from './compute-endpoint.ts'

computeContract('on the laptop', async () => {
  const clock = new SteppedClock(Date.UTC(2026, 10, 2, 9))
  const tickets = new LocalTickets(clock)
  const github = new GitHubDouble({
    clock,
    secret: 'a secret of these tests',
    deliver: async () => {},
    speed: 1,
    jobSeconds: [1, 1],
  })
  const compute = new LocalCompute({
    clock,
    github,
    tickets,
    emit: () => {},
    region: 'us-east-1',
    clusterArn: 'arn:aws:ecs:us-east-1:123456789012:cluster/tornade-test',
    buildProject: 'tornade-test',
    speed: 1,
    idleMinutes: 5,
  })
  return {
    compute,
    live: async () => {
      // Longer than a task takes to end, shorter than a runner waits for its ticket.
      await clock.run(clock.now() + 5_000)
      return compute.live
    },
    settle: () => clock.run(clock.now() + 30_000),
    close: async () => clock.stop(),
  }
})

/** The SDK makes three attempts. */
const ATTEMPTS = 3
const FAULTS = {
  fargate: {
    capacity: 'no capacity',
    quota: 'vcpu quota',
    throttled: 'RunTask: throttled',
    permanent: 'no service-linked role',
    unknown: 'RunTask: lost after',
  },
  codebuild: {
    quota: 'build queue full',
    throttled: 'StartBuild: throttled',
    permanent: 'invalid build input',
    unknown: 'StartBuild: lost after',
  },
} as const satisfies Record<'fargate' | 'codebuild', Partial<Record<Kind | 'unknown', FaultName>>>

computeContract(
  'on ECS and CodeBuild (wire)',
  async () => {
    const { wire, compute } = await wireStack()
    const { ecs, codebuild } = wire
    return {
      compute,
      live: async () =>
        [...ecs.tasks.values()].filter(({ stop }) => !stop).length +
        [...codebuild.builds.values()].filter(({ status }) => status === 'IN_PROGRESS').length,
      settle: async () => {
        for (const { arn, stop, startedAt, stoppedAt } of ecs.tasks.values()) {
          if (stop && stoppedAt === null) ecs.stopped(arn)
          else if (startedAt === null) ecs.run(arn)
        }
      },
      play: (what, provider) => {
        const again = what === 'throttled' || what === 'unknown'
        const faults: Partial<Record<Kind | 'unknown', FaultName>> = FAULTS[provider]
        wire.play(faults[what]!, again ? ATTEMPTS : 1)
      },
      close: async () => {
        await wire.close()
        expect(wire.refused).toEqual([])
      },
    }
  },
  {
    plays: {
      fargate: ['capacity', 'quota', 'throttled', 'permanent'],
      // It has no word for capacity: builds wait in its queue, up to the account's limit.
      codebuild: ['quota', 'throttled', 'permanent'],
    },
  },
)

const { AWS_ENDPOINT_URL: endpoint } = process.env
if (endpoint)
  computeContract(`at ${endpoint}`, computeAt(endpoint), {
    skipped: (await isMoto(endpoint)) ? motoLacks : () => undefined,
  })
