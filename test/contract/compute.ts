/** What every compute must do: the one on the laptop, and ECS with CodeBuild, wherever those are. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunnerShape, StartRequest } from '../../functions/core/types.ts'
import type { Compute, StartOutcome } from '../../functions/ports.ts'
import { shape } from '../support/facts.ts'

export type Kind = Extract<StartOutcome, { outcome: 'failed' }>['kind']
export type Case = keyof typeof CASES

export interface ComputeSubject {
  readonly compute: Compute
  /** Tasks and builds that neither stopped nor are about to. */
  live(): Promise<number>
  /** Lets what has begun go on: what was started runs, what was stopped ends. */
  settle(): Promise<void>
  /** The next request to this provider ends this way; `unknown`: it is done and not answered. */
  play?(what: Kind | 'unknown', provider: RunnerShape['compute']): void
  close(): Promise<void>
}

const CASES = {
  starts: 'starts a runner',
  again: 'answers the same request as before, and starts nothing',
  atOnce: 'starts one runner for the same request, many times at once',
  after: 'answers the same request as before when its runner has stopped',
  token: 'starts another for another token',
  stop: 'stops a runner, again and again',
  unknown: 'stops what it does not know without an error',
  describe: 'says what it knows of runners',
  list: 'lists what has not stopped, beyond a page',
  longest: 'takes the longest names there are',
} as const

const fargate = shape()
const codebuild: RunnerShape = {
  ...fargate,
  compute: 'codebuild',
  capacity: null,
  diskGiB: 64,
  computeType: 'BUILD_GENERAL1_SMALL',
}

type Wish = Omit<StartRequest, 'runner' | 'token' | 'repositoryId'>
const wish = (shape: RunnerShape, over: Partial<Wish> = {}): Wish => ({
  shape,
  role: null,
  image: null,
  docker: false,
  build: false,
  timeoutMinutes: 360,
  ...over,
})

/** A subject must know the role `deploy` and the image `node`, for both architectures. */
const WISHES: readonly (readonly [string, Wish])[] = [
  ['Fargate on demand', wish(fargate)],
  ['Fargate Spot on arm64', wish({ ...fargate, arch: 'arm64', capacity: 'spot' })],
  ['the smallest task', wish({ ...fargate, cpu: 0.25, memoryGiB: 0.5 })],
  ['the largest task', wish({ ...fargate, cpu: 32, memoryGiB: 244, diskGiB: 200 })],
  ['a task with a role', wish(fargate, { role: 'deploy' })],
  ['a task with an image', wish(fargate, { image: 'node' })],
  ['a task that builds images', wish(fargate, { build: true })],
  ['CodeBuild with Docker', wish(codebuild, { docker: true })],
  [
    'CodeBuild on arm64',
    wish({ ...codebuild, arch: 'arm64', computeType: 'BUILD_GENERAL1_LARGE', cpu: 8, memoryGiB: 16 }),
  ],
  ['a build with a role and an image', wish(codebuild, { role: 'deploy', image: 'node' })],
  ['a build with the shortest life', wish(codebuild, { timeoutMinutes: 1 })],
  ['a build with the longest life', wish(codebuild, { timeoutMinutes: 5_000 })],
]

export function computeContract(
  name: string,
  start: () => Promise<ComputeSubject>,
  options: {
    /** Kinds of failure that the subject can play. */
    readonly plays?: Readonly<Record<RunnerShape['compute'], readonly Kind[]>>
    /** Why the subject has a case not. */
    readonly skipped?: (which: Case, provider: RunnerShape['compute']) => string | undefined
  } = {},
): void {
  const { plays, skipped = () => undefined } = options
  const checks =
    ({ shape }: Wish) =>
    (which: Case, run: () => Promise<void>) => {
      const reason = skipped(which, shape.compute)
      if (reason) it.skip(`${CASES[which]} (skipped: ${reason})`)
      else it(CASES[which], run)
    }

  describe(`the compute ${name}`, () => {
    let subject: ComputeSubject
    let jobs = 0
    const request = (of: Wish, attempt = 1, runner = `tornade-${++jobs}-1-1`): StartRequest => ({
      ...of,
      runner,
      token: `${runner}-t${attempt}`,
      repositoryId: 7001,
    })
    /** Runners that came and went while `work` was done. */
    const change = async (work: () => Promise<void>) => {
      const before = await subject.live()
      await work()
      return (await subject.live()) - before
    }
    beforeEach(async () => {
      subject = await start()
    })
    afterEach(() => subject?.close())

    describe.each(WISHES)('for %s', (_, of) => {
      const check = checks(of)
      check('starts', async () => {
        const first = started(await subject.compute.start(request(of)))
        const second = started(await subject.compute.start(request(of)))
        expect(first.providerId).not.toBe(second.providerId)
        expect(first.ticketKey).not.toBe(second.ticketKey)
        expect(first.ticketKey).toMatch(/^[^:]+:.+$/)
      })

      check('again', async () => {
        const same = request(of)
        const first = started(await subject.compute.start(same))
        expect(await change(async () => expect(await subject.compute.start(same)).toEqual(first))).toBe(0)
        await subject.settle()
        expect(await subject.compute.start({ ...same, shape: { ...same.shape } })).toEqual(first)
      })

      check('token', async () => {
        const runner = `tornade-${++jobs}-1-1`
        const first = started(await subject.compute.start(request(of, 1, runner)))
        const second = started(await subject.compute.start(request(of, 2, runner)))
        expect(second.providerId).not.toBe(first.providerId)
        expect(second.ticketKey).not.toBe(first.ticketKey)
      })

      check('after', async () => {
        const same = request(of)
        const first = started(await subject.compute.start(same))
        await subject.compute.stop(first.providerId, 'no longer needed')
        await subject.settle()
        expect(await change(async () => expect(await subject.compute.start(same)).toEqual(first))).toBe(0)
      })
    })

    describe.each([
      ['Fargate', wish(fargate)],
      ['CodeBuild', wish(codebuild)],
    ] as const)('of %s', (_, of) => {
      const check = checks(of)
      check('atOnce', async () => {
        const same = request(of)
        let answers: StartOutcome[] = []
        const came = await change(async () => {
          answers = await Promise.all(Array.from({ length: 8 }, () => subject.compute.start(same)))
        })
        expect(came).toBe(1)
        for (const answer of answers) expect(answer).toEqual(answers[0])
      })

      check('stop', async () => {
        const { providerId } = started(await subject.compute.start(request(of)))
        const went = await change(async () => {
          await subject.compute.stop(providerId, 'x'.repeat(1000))
          await subject.compute.stop(providerId, 'twice\u0000\u202e\n')
        })
        expect(went).toBe(-1)
        await subject.settle()
        await subject.compute.stop(providerId, 'after its end')
      })

      check('unknown', async () => {
        const { providerId } = started(await subject.compute.start(request(of)))
        const unknown = providerId.replace(/.$/, last => (last === '0' ? '1' : '0'))
        expect(await change(() => subject.compute.stop(unknown, 'unknown'))).toBe(0)
      })

      check('describe', async () => {
        const { compute } = subject
        const { providerId } = started(await compute.start(request(of, 1, 'tornade-9-1-1')))
        const unknown = providerId.replace(/.$/, last => (last === '0' ? '1' : '0'))
        const told = await compute.describe([providerId, unknown])
        expect(told.get(providerId)).toMatchObject({ runner: 'tornade-9-1-1', providerId, stoppedAt: null })
        expect(told.get(unknown)).toBeNull()
        expect([...told.keys()]).toEqual([providerId, unknown])
        expect(await compute.describe([])).toEqual(new Map())
      })

      check('list', async () => {
        const { compute } = subject
        const ids: string[] = []
        for (let count = 0; count < 105; count++)
          ids.push(started(await compute.start(request(of))).providerId)
        const [gone, ...left] = ids
        await compute.stop(gone!, 'no longer needed')
        await subject.settle()
        const listed = new Set(await compute.list(0))
        expect(left.filter(id => !listed.has(id))).toEqual([])
        expect(listed.has(gone!)).toBe(false)
      })

      check('longest', async () => {
        const runner = `${'m'.repeat(20)}-${'9'.repeat(20)}-999-999`
        started(await subject.compute.start(request(of, 999_999_999, runner)))
      })

      if (!plays) {
        it.skip(
          'says why a runner is not started, or that it cannot know (skipped: nobody can order failures there)',
        )
        return
      }
      it.each(plays[of.shape.compute])(
        'says so when the reason is %s, and starts what is asked for next',
        async kind => {
          const runner = `tornade-${++jobs}-1-1`
          subject.play!(kind, of.shape.compute)
          const came = await change(async () => {
            const answer = await subject.compute.start(request(of, 1, runner))
            expect(answer).toMatchObject({ outcome: 'failed', kind, message: expect.stringMatching(/\w/) })
          })
          expect(came).toBe(0)
          started(await subject.compute.start(request(of, 2, runner)))
        },
      )

      it('throws when it cannot know the outcome, and finds it by the same request', async () => {
        const same = request(of)
        const came = await change(async () => {
          subject.play!('unknown', of.shape.compute)
          await expect(subject.compute.start(same)).rejects.toThrow()
          started(await subject.compute.start(same))
        })
        expect(came).toBe(1)
      })
    })
  })
}

function started(outcome: StartOutcome): Extract<StartOutcome, { outcome: 'started' }> {
  if (outcome.outcome !== 'started') throw new Error(`not started: ${outcome.kind}: ${outcome.message}`)
  return outcome
}
