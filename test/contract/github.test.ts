import { expect } from 'vitest'
import { SteppedClock } from '../../local/clock.ts'
import { DeliveryRefused, GitHubDouble } from '../../local/github.ts'
import { ACME_APP } from '../../local/payloads.ts'
import { SCOPE, SITE, SITE_SCOPE, startGitHub } from '../github/harness.ts'
import { T0 } from '../support/facts.ts'
import { type GitHubWorld, githubContract, type QueuedJob } from './github.ts'

githubContract('on a laptop', async () => new DoubleWorld())
githubContract('on the REST API', () => restWorld('repository'))
githubContract('on the REST API of an Enterprise Server', () => restWorld('repository', '/api/v3'))
githubContract('on the REST API, for an organisation', () => restWorld('organisation'), 'organisation')

/** A long job, so that it does not end while it is looked at. */
const JOB_SECONDS = 3600

class DoubleWorld implements GitHubWorld {
  readonly #clock = new SteppedClock(T0)
  readonly #delivered: string[] = []
  #answer = 202
  readonly github = new GitHubDouble({
    clock: this.#clock,
    secret: 'secret',
    deliver: async ({ id }) => {
      this.#delivered.push(id)
      if (this.#answer !== 202) throw new DeliveryRefused(this.#answer)
    },
    speed: 1,
    jobSeconds: [JOB_SECONDS, JOB_SECONDS],
  })
  readonly scope = { repository: ACME_APP, installationId: 5001 }
  readonly elsewhere = { repository: SITE, installationId: 5001 }
  #lastId = 0

  async queue(
    run: { event?: string; headRepositoryId?: number | null; runId?: number } = {},
    gate = false,
  ): Promise<QueuedJob> {
    const jobId = ++this.#lastId
    const runId = 100 + jobId
    this.github.queue({
      repository: ACME_APP,
      installationId: 5001,
      jobId,
      runId,
      attempt: 1,
      workflow: 'CI',
      name: 'build',
      labels: [`only-${jobId}`],
      headBranch: 'main',
      headSha: 'f'.repeat(40),
      event: 'push',
      headRepositoryId: ACME_APP.id,
      gate,
      ...run,
    })
    return { jobId, runId }
  }

  async queueBeside({ runId }: QueuedJob): Promise<QueuedJob> {
    return { ...(await this.queue({ runId })), runId }
  }

  async fail(status: number): Promise<void> {
    await this.delivered()
    this.#answer = status
    await this.queue()
    await this.delivered()
    this.#answer = 202
  }

  async delivered(): Promise<readonly string[]> {
    await this.#clock.run(this.#clock.now() + 1_000)
    return this.#delivered
  }

  queueGated(): Promise<QueuedJob> {
    return this.queue({}, true)
  }

  async runOn({ encodedJitConfig, runnerId }: { encodedJitConfig: string; runnerId: number }) {
    const session = this.github.connect(encodedJitConfig, {
      onJob: ({ jobId }) => void session?.acquire(jobId),
      onDone: () => {},
      onGone: () => {},
    })
    const runner = [...this.github.runners()].find(({ id }) => id === runnerId)!
    const jobId = ++this.#lastId
    const runId = 100 + jobId
    const [workflow, name, headBranch, headSha] = ['CI', 'build', 'main', 'f'.repeat(40)]
    const { labels } = runner
    const facts = { workflow, name, headBranch, headSha, labels, event: 'push', attempt: 1 }
    this.github.queue({
      repository: ACME_APP,
      installationId: 5001,
      jobId,
      runId,
      headRepositoryId: ACME_APP.id,
      ...facts,
    })
    await this.#clock.run(this.#clock.now() + 10_000)
    expect(this.github.job(`${jobId}-1`)?.status).toBe('in_progress')
    return { jobId, runId }
  }

  async finish({ jobId }: QueuedJob): Promise<void> {
    this.github.cancelJob(jobId)
    await this.#clock.run(this.#clock.now() + 10_000)
  }

  dispatched() {
    return this.github.dispatched.map(({ inputs }) => inputs)
  }

  checks() {
    return this.github.checks
  }

  now(): number {
    return this.#clock.now()
  }

  async close(): Promise<void> {}
}

async function restWorld(level: 'repository' | 'organisation', root = ''): Promise<GitHubWorld> {
  const { github, server, clock, close } = await startGitHub({ level }, { root })
  const asked = (job: { id: number; runId: number }) => ({ jobId: job.id, runId: job.runId })
  let deliveries = 0n
  return {
    github,
    scope: SCOPE,
    elsewhere: SITE_SCOPE,
    queue: async run => asked(server.queueJob(SCOPE.repository.id, run)),
    queueGated: async () => asked(server.queueJob(SCOPE.repository.id, {}, 'waiting')),
    runOn: async ({ runnerId, name }) => {
      const job = server.queueJob(SCOPE.repository.id)
      server.runners.get(runnerId)!.busy = true
      Object.assign(job, { status: 'in_progress', runner: { id: runnerId, name }, startedAt: clock.now() })
      return asked(job)
    },
    queueBeside: async ({ runId }) => asked(server.queueJob(SCOPE.repository.id, { id: runId })),
    fail: async statusCode => {
      const id = String(90_071_992_547_409_931n + deliveries++)
      server.deliveries.unshift({
        id,
        guid: `guid-${id}`,
        deliveredAt: clock.now(),
        statusCode,
        action: 'queued',
      })
    },
    dispatched: () => server.dispatched.map(({ inputs }) => inputs),
    delivered: async () =>
      server.redelivered.map(id => server.deliveries.find(delivery => delivery.id === id)!.guid),
    finish: async ({ jobId }) => server.finishJob(server.jobs.get(jobId)!, 'cancelled'),
    checks: () => server.checks,
    now: () => clock.now(),
    close: async () => {
      expect(server.problems).toEqual([])
      await close()
    },
  }
}
