/** The double of GitHub under as many jobs as a month has: it compares labels of few of them. */
import { beforeEach, describe, expect, test } from 'vitest'
import { SteppedClock } from '../../local/clock.ts'
import { GitHubDouble } from '../../local/github.ts'
import { job, SECOND, START } from '../support/world.ts'

const SCOPE = { repository: job(1).repository, installationId: 5001 }

let clock: SteppedClock
let github: GitHubDouble

describe('ten thousand jobs in one repository', () => {
  const COUNT = 10_000
  /** Labels of a job, and how many sets of labels may be compared for one job; all with all would be 10,000. */
  const shapes: [string, number, (index: number) => string[]][] = [
    ['labels all the same', 2, () => ['tornade', 'arm64']],
    ['one label each', 2, index => [`tornade/run-${index}`]],
    ['shared labels and one of their own', 4, index => ['tornade', 'arm64', `run-${index}`]],
    ['labels from a grid', 200, index => ['tornade', `a${index % 100}`, `b${Math.floor(index / 100)}`]],
  ]
  let started: number

  beforeEach(() => {
    started = 0
    clock = new SteppedClock(START)
    github = new GitHubDouble({
      clock,
      secret: 'it is one',
      speed: 1,
      jobSeconds: [30, 300],
      deliver: async () => {},
    })
  })

  test.each(shapes)('%s: runners find their jobs', async (_, most, labels) => {
    for (let index = 0; index < COUNT; index++) github.queue(job(index + 1, { labels: labels(index) }))
    for (let index = COUNT - 1; index >= 0; index--) await start(`r${index}`, labels(index))
    await clock.run()
    expect([github.openJobs, started]).toEqual([0, COUNT])
    expect([...github.runners()]).toEqual([])
    expect(github.comparisons).toBeLessThan(COUNT * most)
  })

  test.each(shapes)('%s: jobs find their runners', async (_, most, labels) => {
    for (let index = 0; index < COUNT; index++) await start(`r${index}`, labels(index))
    for (let index = COUNT - 1; index >= 0; index--) github.queue(job(index + 1, { labels: labels(index) }))
    await clock.run(START + 2 * SECOND)
    for (const { runnerName } of github.jobs()) expect(runnerName).not.toBeNull()
    expect(github.comparisons).toBeLessThan(COUNT * most)
  })

  test('that are all cancelled leave nothing behind', async () => {
    for (let index = 0; index < COUNT; index++)
      github.queue(job(index + 1, { runId: 1, labels: ['tornade'] }))
    await github.cancelRun(SCOPE, 1)
    const before = github.comparisons
    await start('r1', ['tornade'])
    expect(github.comparisons - before).toBe(0)
  })

  async function start(name: string, labels: string[]): Promise<void> {
    const answer = await github.createJitConfig(SCOPE, name, labels)
    if (answer.outcome !== 'created') throw new Error(`no JIT config: ${answer.outcome}`)
    const session = github.connect(answer.encodedJitConfig, {
      onJob: offered => void session!.acquire(offered.jobId),
      onDone: () => void started++,
      onGone: () => {},
    })
    if (!session) throw new Error(`${name} cannot connect`)
  }
})
