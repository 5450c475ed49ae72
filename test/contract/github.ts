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
  /** Nobody will run it any more. */
  finish(job: QueuedJob): Promise<void>
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

    describe('a refusal', () => {
      const shown = (externalId: string) => world.checks().filter(check => check.externalId === externalId)

      it('is shown once, however often and however many at a time report it', async () => {
        const check = { ...CHECK, externalId: 'tornade:17:1' }
        await Promise.all([github.reportRefusal(scope, check), github.reportRefusal(scope, check)])
        await github.reportRefusal(scope, { ...check, summary: 'something else' })
        expect(shown(check.externalId)).toEqual([
          expect.objectContaining({ title: CHECK.title, summary: CHECK.summary }),
        ])
      })

      it('is another one for another run', async () => {
        for (const externalId of ['tornade:18:1', 'tornade:18:2', 'tornade:18:1'])
          await github.reportRefusal(scope, { ...CHECK, externalId })
        expect(shown('tornade:18:1')).toHaveLength(1)
        expect(shown('tornade:18:2')).toHaveLength(1)
      })
    })
  })
}
