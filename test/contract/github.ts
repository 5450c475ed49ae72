/** What every GitHub must do: the double on the laptop, and the adapter on GitHub's REST API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GitHub, GitHubScope, JitOutcome } from '../../functions/ports.ts'

export type Registered = Extract<JitOutcome, { outcome: 'created' }>
export interface QueuedJob {
  readonly jobId: number
  readonly runId: number
}

/** A GitHub, and what happens there without us. */
export interface GitHubWorld {
  readonly github: GitHub
  readonly scope: GitHubScope
  /** Another repository of the same installation. */
  readonly elsewhere: GitHubScope
  queue(run?: { readonly event?: string; readonly headRepositoryId?: number | null }): Promise<QueuedJob>
  /** A job that waits for a reviewer. */
  queueGated(): Promise<QueuedJob>
  /** A job is queued, and GitHub gives it to this runner, which runs it from now on. */
  runOn(runner: Registered): Promise<QueuedJob>
  /** A job of the same run as another. */
  queueBeside(job: QueuedJob): Promise<QueuedJob>
  /** A delivery is answered with this status; 0: not at all. */
  fail(status: number): Promise<void>
  /** GUIDs of the deliveries that came, redeliveries among them. */
  delivered(): Promise<readonly string[]>
  /** Nobody will run it any more. */
  finish(job: QueuedJob): Promise<void>
  /** Inputs of the runs that were started by hand, oldest first. */
  dispatched(): readonly Readonly<Record<string, string>>[]
  checks(): readonly { readonly externalId: string; readonly title: string; readonly summary: string }[]
  now(): number
  close(): Promise<void>
}

const LABELS = ['tornade/arm64/run-17']
const CHECK = {
  headSha: 'f'.repeat(40),
  title: 'No such size',
  summary: '- `5cpu`: Fargate has 4 or 8 vCPU. Use `8cpu`.',
}

/** @param level what runners belong to, and so who knows them by their names */
export function githubContract(
  name: string,
  start: () => Promise<GitHubWorld>,
  level: 'repository' | 'organisation' = 'repository',
): void {
  describe(`GitHub ${name}`, () => {
    let world: GitHubWorld
    let github: GitHub
    let scope: GitHubScope
    let count = 0
    beforeAll(async () => {
      world = await start()
      github = world.github
      scope = world.scope
    })
    afterAll(() => world.close())

    const newName = () => `tornade-41-1-${++count}`
    async function register(runner = newName()): Promise<Registered> {
      const answer = await github.createJitConfig(scope, runner, LABELS)
      if (answer.outcome !== 'created') throw new Error(answer.outcome)
      return answer
    }

    describe('registering a runner', () => {
      it('gives a JIT config, for each name another', async () => {
        const [one, two] = [await register('one'), await register('two')]
        expect(one.name).toBe('one')
        expect(one.encodedJitConfig).toMatch(/^[\w+/]{100,}=*$/)
        expect(two.encodedJitConfig).not.toBe(one.encodedJitConfig)
        expect(two.runnerId).not.toBe(one.runnerId)
      })

      it('tells of a name that is taken, in any case', async () => {
        const { name } = await register()
        expect(await github.createJitConfig(scope, name, LABELS)).toEqual({ outcome: 'name-taken' })
        expect(await github.createJitConfig(scope, name.toUpperCase(), LABELS)).toEqual({
          outcome: 'name-taken',
        })
      })

      it('gives the name again once its runner is removed', async () => {
        const { name, runnerId } = await register()
        await github.removeRunner(scope, runnerId)
        expect(await github.createJitConfig(scope, name, LABELS)).toMatchObject({ outcome: 'created', name })
      })

      const apart = level === 'repository'
      it(`${apart ? 'keeps the names of repositories apart' : 'has names once for all repositories'}`, async () => {
        const { name } = await register()
        expect(await github.createJitConfig(world.elsewhere, name, LABELS)).toMatchObject({
          outcome: apart ? 'created' : 'name-taken',
        })
      })

      it('says why it does not register one', async () => {
        for (const bad of ['a'.repeat(65), 'no spaces'])
          expect(await github.createJitConfig(scope, bad, LABELS)).toEqual({
            outcome: 'failed',
            message: expect.stringMatching(/name/),
          })
      })
    })

    describe('removing a runner', () => {
      it('removes an idle one once', async () => {
        const { runnerId } = await register()
        expect(await github.removeRunner(scope, runnerId)).toBe('removed')
        expect(await github.removeRunner(scope, runnerId)).toBe('gone')
      })

      if (level === 'repository')
        it('does not know those of another repository', async () => {
          const { runnerId, name } = await register()
          expect(await github.removeRunner(world.elsewhere, runnerId)).toBe('gone')
          expect(await github.findRunner(scope, name)).toEqual({ id: runnerId, busy: false })
        })
      else
        it('removes it on behalf of any repository of the organisation', async () => {
          const { runnerId, name } = await register()
          expect(await github.removeRunner(world.elsewhere, runnerId)).toBe('removed')
          expect(await github.findRunner(scope, name)).toBeNull()
        })

      it('leaves a busy one', async () => {
        const runner = await register()
        const job = await world.runOn(runner)
        expect(await github.removeRunner(scope, runner.runnerId)).toBe('busy')
        await world.finish(job)
      })
    })

    describe('finding a runner', () => {
      it('finds it by its whole name', async () => {
        const { name, runnerId } = await register(`${newName()}-r2`)
        expect(await github.findRunner(scope, name)).toEqual({ id: runnerId, busy: false })
        expect(await github.findRunner(scope, name.slice(0, -1))).toBeNull()
        expect(await github.findRunner(scope, `${name}2`)).toBeNull()
      })

      it('sees that it is busy', async () => {
        const runner = await register()
        const job = await world.runOn(runner)
        expect(await github.findRunner(scope, runner.name)).toEqual({ id: runner.runnerId, busy: true })
        await world.finish(job)
      })
    })

    describe('a job', () => {
      it('is queued, and has no runner and no times', async () => {
        const { jobId } = await world.queue()
        const nothing = { conclusion: null, runnerId: null, runnerName: null }
        const noTimes = { startedAt: null, completedAt: null }
        expect(await github.getJob(scope, jobId)).toEqual({ status: 'queued', ...nothing, ...noTimes })
      })

      it('waits behind a gate', async () => {
        const { jobId } = await world.queueGated()
        expect(await github.getJob(scope, jobId)).toMatchObject({ status: 'waiting', startedAt: null })
      })

      it('runs on a runner', async () => {
        const runner = await register()
        const job = await world.runOn(runner)
        const known = await github.getJob(scope, job.jobId)
        expect(known).toMatchObject({
          status: 'in_progress',
          conclusion: null,
          runnerId: runner.runnerId,
          runnerName: runner.name,
          completedAt: null,
        })
        expect(Math.abs(known!.startedAt! - world.now())).toBeLessThan(60_000)
        await world.finish(job)
      })

      it('ends', async () => {
        const job = await world.queue()
        await world.finish(job)
        const known = await github.getJob(scope, job.jobId)
        expect(known).toMatchObject({ status: 'completed', conclusion: 'cancelled', runnerId: null })
        expect(Math.abs(known!.completedAt! - world.now())).toBeLessThan(60_000)
      })

      it('is null when it is unknown, or of another repository', async () => {
        const { jobId } = await world.queue()
        expect(await github.getJob(scope, 999_999)).toBeNull()
        expect(await github.getJob(world.elsewhere, jobId)).toBeNull()
      })
    })

    describe('a run', () => {
      it('has its event, branch, head repository and path', async () => {
        const { runId } = await world.queue({ event: 'workflow_dispatch' })
        expect(await github.getRun(scope, runId)).toEqual({
          event: 'workflow_dispatch',
          headBranch: 'main',
          headRepositoryId: scope.repository.id,
          path: expect.stringMatching(/^\.github\/workflows\/.*\.ya?ml$/),
        })
      })

      it('has the fork that it comes from, and none where that was deleted', async () => {
        const fork = await world.queue({ event: 'pull_request', headRepositoryId: 999 })
        expect(await github.getRun(scope, fork.runId)).toMatchObject({ headRepositoryId: 999 })
        const orphan = await world.queue({ event: 'pull_request', headRepositoryId: null })
        expect(await github.getRun(scope, orphan.runId)).toMatchObject({ headRepositoryId: null })
      })

      it('is null when it is unknown, or of another repository', async () => {
        const { runId } = await world.queue()
        expect(await github.getRun(scope, 999_999)).toBeNull()
        expect(await github.getRun(world.elsewhere, runId)).toBeNull()
      })

      it('is cancelled with its jobs', async () => {
        const { jobId, runId } = await world.queue()
        await github.cancelRun(scope, runId)
        expect(await github.getJob(scope, jobId)).toMatchObject({
          status: 'completed',
          conclusion: 'cancelled',
        })
      })

      it('may be cancelled when it has ended, or is unknown', async () => {
        const job = await world.queue()
        await world.finish(job)
        await github.cancelRun(scope, job.runId)
        await github.cancelRun(scope, 999_999)
      })

      it('is not cancelled from another repository', async () => {
        const { jobId, runId } = await world.queue()
        await github.cancelRun(world.elsewhere, runId)
        expect(await github.getJob(scope, jobId)).toMatchObject({ status: 'queued' })
      })
    })

    describe('a re-run', () => {
      it('waits for the end of the run, and is its next attempt, which must end before another', async () => {
        const job = await world.queue()
        expect(await github.rerunJob(scope, job.jobId)).toEqual({ outcome: 'running' })
        await world.finish(job)
        // What is known of a run may be remembered; where it has got to may not.
        await github.getRun(scope, job.runId)
        expect(await github.runAttempt(scope, job.runId)).toBe(1)
        expect(await github.rerunJob(scope, job.jobId)).toEqual({ outcome: 'started' })
        expect(await github.runAttempt(scope, job.runId)).toBe(2)
        expect(await github.rerunJob(scope, job.jobId)).toEqual({ outcome: 'running' })
      })

      it('is none of a job that is unknown, or of another repository', async () => {
        const job = await world.queue()
        await world.finish(job)
        expect(await github.rerunJob(scope, 999_999)).toEqual({ outcome: 'gone' })
        expect(await github.rerunJob(world.elsewhere, job.jobId)).toEqual({ outcome: 'gone' })
        expect(await github.runAttempt(scope, job.runId)).toBe(1)
        expect(await github.runAttempt(scope, 999_999)).toBeNull()
        expect(await github.runAttempt(world.elsewhere, job.runId)).toBeNull()
      })
    })

    describe('a workflow', () => {
      it('is started by hand on a branch, with what it is given', async () => {
        const before = world.dispatched().length
        await world.queue()
        expect(await github.dispatchWorkflow(scope, 'ci.yml', 'main', { to: 'staging' })).toEqual({
          outcome: 'started',
        })
        expect(await github.dispatchWorkflow(scope, 'ci.yml', 'main', {})).toEqual({ outcome: 'started' })
        expect(world.dispatched().slice(before)).toEqual([{ to: 'staging' }, {}])
      })

      it('is not, where GitHub knows no such workflow or branch, or another repository has it', async () => {
        const before = world.dispatched().length
        await world.queue()
        const outcomes = [
          await github.dispatchWorkflow(scope, 'none.yml', 'main', {}),
          await github.dispatchWorkflow(scope, 'ci.yml', 'no/such', {}),
          await github.dispatchWorkflow(world.elsewhere, 'ci.yml', 'main', {}),
        ]
        expect(outcomes).toMatchObject([
          { outcome: 'failed', message: expect.stringContaining('Not Found') },
          { outcome: 'failed', message: expect.stringContaining('No ref found for: refs/heads/no/such') },
          { outcome: 'failed', message: expect.stringContaining('Not Found') },
        ])
        expect(world.dispatched()).toHaveLength(before)
      })
    })

    describe('the runs of a repository', () => {
      const ids = async (status: 'queued' | 'in_progress', where = scope) =>
        (await github.listRuns(where, status)).map(({ id }) => id)

      it('are listed while they wait for a runner, the newest first', async () => {
        const [one, two] = [await world.queue(), await world.queue({ event: 'workflow_dispatch' })]
        const listed = await github.listRuns(scope, 'queued')
        expect(listed.map(({ id }) => id).slice(0, 2)).toEqual([two.runId, one.runId])
        expect(listed[0]).toEqual({
          id: two.runId,
          attempt: 1,
          event: 'workflow_dispatch',
          headBranch: 'main',
        })
        for (const job of [one, two]) await world.finish(job)
        expect(await ids('queued')).not.toContain(one.runId)
      })

      it('are in progress while one of their jobs runs', async () => {
        const job = await world.runOn(await register())
        expect(await ids('in_progress')).toContain(job.runId)
        expect(await ids('queued')).not.toContain(job.runId)
        await world.finish(job)
        expect(await ids('in_progress')).not.toContain(job.runId)
      })

      it('are in neither list behind a gate, nor in those of another repository', async () => {
        const [gated, open] = [await world.queueGated(), await world.queue()]
        expect([...(await ids('queued')), ...(await ids('in_progress'))]).not.toContain(gated.runId)
        expect(await ids('queued', world.elsewhere)).not.toContain(open.runId)
      })
    })

    describe('the jobs of a run', () => {
      it('are listed with all that a delivery would say', async () => {
        const one = await world.queue()
        const two = await world.queueBeside(one)
        const listed = (await github.listJobs(scope, one.runId))!
        expect(listed.map(({ id }) => id).toSorted()).toEqual([one.jobId, two.jobId].toSorted())
        expect(listed[0]).toEqual({
          ...(await github.getJob(scope, listed[0]!.id)),
          id: one.jobId,
          attempt: 1,
          workflow: expect.any(String),
          name: expect.any(String),
          headBranch: expect.any(String),
          headSha: expect.stringMatching(/^[0-9a-f]{40}$/),
          labels: [expect.any(String)],
          createdAt: expect.any(Number),
        })
        expect(Math.abs(listed[0]!.createdAt! - world.now())).toBeLessThan(600_000)
      })

      it('are listed beyond a page', async () => {
        const first = await world.queue()
        for (let count = 1; count < 105; count++) await world.queueBeside(first)
        const listed = (await github.listJobs(scope, first.runId))!
        expect(new Set(listed.map(({ id }) => id)).size).toBe(105)
      })

      it('are null when the run is unknown, or of another repository', async () => {
        const { runId } = await world.queue()
        expect(await github.listJobs(scope, 999_999)).toBeNull()
        expect(await github.listJobs(world.elsewhere, runId)).toBeNull()
      })
    })

    describe('the runners of a repository', () => {
      it('are listed, busy or not, beyond a page', async () => {
        const busy = await register()
        const job = await world.runOn(busy)
        const others: Registered[] = []
        for (let index = 0; index < 101; index++) others.push(await register())
        const listed = await github.listRunners(scope)
        expect(listed).toContainEqual({ id: busy.runnerId, name: busy.name, busy: true, online: true })
        for (const { runnerId: id, name } of others)
          expect(listed).toContainEqual({ id, name, busy: false, online: false })
        // Those of an organisation are registered for all of its repositories.
        const beside = (await github.listRunners(world.elsewhere)).map(({ id }) => id)
        expect(beside.includes(busy.runnerId)).toBe(level === 'organisation')
        await world.finish(job)
      })
    })

    describe('a delivery that failed', () => {
      const failures = async () => (await github.listFailedDeliveries(null)).deliveries

      it('is in the log, with an id beyond 2^53, and the newest first', async () => {
        await world.fail(500)
        await world.fail(401)
        const [second, first] = await failures()
        expect(first).toMatchObject({ statusCode: 500, event: 'workflow_job', redelivery: false })
        expect(second).toMatchObject({ statusCode: 401, repositoryId: scope.repository.id })
        expect(BigInt(first!.id) > 2n ** 53n && first!.id !== second!.id).toBe(true)
        expect(Math.abs(first!.deliveredAt - world.now())).toBeLessThan(60_000)
      })

      it('is listed in pages, each failure once', async () => {
        for (let count = 0; count < 130; count++) await world.fail(502)
        const first = await github.listFailedDeliveries(null)
        expect(first.deliveries).toHaveLength(100)
        const second = await github.listFailedDeliveries(first.next)
        const all = [...first.deliveries, ...second.deliveries].map(({ id }) => id)
        expect(new Set(all).size).toBe(all.length)
        expect(all.length).toBeGreaterThanOrEqual(130)
        expect(second.next).toBeNull()
      })

      it('comes again with the same guid when it is asked for, and stays in the log', async () => {
        await world.fail(503)
        const [failed] = await failures()
        const before = (await world.delivered()).filter(guid => guid === failed!.guid).length
        expect(await github.redeliver(failed!.id)).toBe('accepted')
        expect((await world.delivered()).filter(guid => guid === failed!.guid)).toHaveLength(before + 1)
        expect((await failures()).map(({ id }) => id)).toContain(failed!.id)
      })

      it('that is not known is gone', async () => {
        expect(await github.redeliver('12345678901234567890')).toBe('gone')
      })
    })

    describe('a refusal', () => {
      const shown = (externalId: string) => world.checks().filter(check => check.externalId === externalId)

      it('is shown once, in the latest words', async () => {
        const check = { ...CHECK, externalId: 'tornade:17:1' }
        const id = await github.reportRefusal(scope, check, null)
        expect(shown(check.externalId)).toEqual([expect.objectContaining(check)])
        const more = { ...check, title: 'Two of them', summary: 'something else' }
        expect(await github.reportRefusal(scope, more, id)).toBe(id)
        expect(shown(check.externalId)).toEqual([expect.objectContaining(more)])
      })

      it('is another one for another run', async () => {
        const ids = await Promise.all(
          ['tornade:18:1', 'tornade:18:2'].map(externalId =>
            github.reportRefusal(scope, { ...CHECK, externalId }, null),
          ),
        )
        expect(new Set(ids).size).toBe(2)
        expect(shown('tornade:18:1')).toHaveLength(1)
        expect(shown('tornade:18:2')).toHaveLength(1)
      })
    })
  })
}
