/** Spot takes a runner back in the middle of its job: which jobs are lost to it, and how they are run again. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jobState, newJob } from '../functions/core/lifecycle.ts'
import {
  adopt,
  asking,
  askLater,
  isLostToSpot,
  isRerun,
  nextStep,
  remember,
  seenBehind,
  settled,
} from '../functions/core/rerun.ts'
import type { Rerun } from '../functions/core/types.ts'
import type { RerunOutcome } from '../functions/ports.ts'
import { at, job as jobItem, request, runner as runnerItem, T0 } from './support/facts.ts'
import {
  guarded,
  HOUR,
  job,
  jobOf,
  jobs,
  leftovers,
  MINUTE,
  proxy,
  runners,
  SECOND,
  START,
  type Stack,
  type StackOptions,
  stack,
  untilQuiet,
} from './support/world.ts'

const SPOT_JOB = { labels: ['tornade', 'spot'], script: { durationMs: 10 * MINUTE } }

interface Asked {
  readonly at: number
  readonly answer: RerunOutcome['outcome']
}

/** Spot takes back every runner so long after it came up. */
async function reclaiming(
  options: StackOptions & { readonly afterMs?: number } = {},
): Promise<Stack & { readonly asked: Asked[] }> {
  const { afterMs = 3 * MINUTE, wrapPorts = ports => ports, ...others } = options
  const asked: Asked[] = []
  const s = await stack({
    computeFaults: { fate: () => ({ kind: 'reclaimed', afterMs }) },
    ...others,
    wrapPorts: (ports, name) => {
      const github = proxy(ports.github, {
        rerunJob: async (...call) => {
          const answer = await ports.github.rerunJob(...call)
          asked.push({ at: ports.clock.now(), answer: answer.outcome })
          return answer
        },
      })
      return wrapPorts({ ...ports, github }, name)
    },
  })
  return Object.assign(s, { asked })
}

const lost = async ({ world }: Stack) => (await jobs(world)).filter(({ lostTo }) => lostTo !== null)
const again = async ({ world }: Stack) => (await jobs(world)).filter(({ rerunOf }) => rerunOf !== null)

describe('a job that Spot ends', () => {
  it('is run again once, on demand, and says what was lost', async () => {
    const s = await reclaiming()
    s.world.github.queue(job(1, SPOT_JOB))
    await untilQuiet(s)
    expect(await jobOf(s.world, '1-1')).toMatchObject({
      lostTo: 'spot',
      completed: { conclusion: 'cancelled' },
    })
    const [rerun, ...others] = await again(s)
    expect(others).toEqual([])
    expect(rerun).toMatchObject({
      rerunOf: '1-1',
      lostTo: null,
      // What was asked for stays what it was.
      spec: { capacity: 'spot' },
      request: { attempt: 2, runId: 900_001, name: 'job 1' },
      completed: { conclusion: 'success' },
    })
    const started = await runners(s.world)
    expect(started.map(({ launch }) => launch?.shape.capacity)).toEqual(['spot', 'on-demand'])
    expect(rerun!.request.createdAt - (await jobOf(s.world, '1-1')).completed!.at).toBeLessThan(20 * SECOND)
    // What was wasted stays on the job that was lost.
    expect((await jobOf(s.world, '1-1')).cost!.microUsd).toBeGreaterThan(0)
    expect(s.asked.map(({ answer }) => answer)).toEqual(['started'])
    expect([...s.world.metrics].filter(([name]) => /Lost|Again/.test(name))).toEqual([
      ['JobsLostToSpot', 1],
      ['JobsRunAgain', 1],
    ])
    expect(await leftovers(s)).toEqual([])
  })

  it('waits for the other jobs of its run, with growing delays', async () => {
    const s = await reclaiming({
      computeFaults: {
        fate: ({ runner }) => (runner.includes('-1-1-') ? { kind: 'reclaimed', afterMs: MINUTE } : null),
      },
    })
    s.world.github.queue(job(1, SPOT_JOB))
    s.world.github.queue(job(2, { runId: 900_001, script: { durationMs: 5 * HOUR } }))
    await untilQuiet(s)
    const answers = s.asked.map(({ answer }) => answer)
    expect(answers.at(-1)).toBe('started')
    expect(answers.slice(0, -1).every(answer => answer === 'running')).toBe(true)
    expect(s.asked.length).toBeLessThan(18)
    const gaps = s.asked.slice(1).map((one, index) => one.at - s.asked[index]!.at)
    // Over a quarter of an hour it is the sweep that asks, and that comes once a minute.
    gaps.slice(1, -1).forEach((gap, index) => {
      expect(gap).toBeGreaterThan(gaps[index]! - MINUTE)
      expect(gap).toBeLessThan(2 * gaps[index]! + 3 * MINUTE)
    })
    expect((await again(s)).map(jobState)).toEqual(['completed'])
    expect(await leftovers(s)).toEqual([])
  })

  it.each([
    ['two minutes of the end of the last job that is known of', ['tornade'], 2 * MINUTE],
    // Of jobs that are not ours nobody hears.
    ['an hour of the end of a job of somebody else', ['ubuntu-latest'], HOUR + 2 * MINUTE],
  ])('is run again within %s', async (_, labels, boundMs) => {
    const s = await reclaiming({
      computeFaults: {
        fate: ({ runner }) => (runner.includes('-1-1-') ? { kind: 'reclaimed', afterMs: MINUTE } : null),
      },
    })
    s.world.github.queue(job(1, SPOT_JOB))
    s.world.github.queue(
      job(2, { labels, runId: 900_001, script: { durationMs: 9 * HOUR, cancelAt: START + 5 * HOUR } }),
    )
    await untilQuiet(s)
    const [rerun] = await again(s)
    const waited = rerun!.request.createdAt - (START + 5 * HOUR)
    expect(waited).toBeGreaterThan(0)
    expect(waited).toBeLessThan(boundMs)
    expect(s.asked.length).toBeLessThan(18)
    expect(await leftovers(s)).toEqual([])
  })

  it('is run again beside others of its run that were lost with it, one after the other', async () => {
    const s = await reclaiming()
    for (let id = 1; id <= 3; id++) s.world.github.queue(job(id, { ...SPOT_JOB, runId: 900_001 }))
    await untilQuiet(s)
    expect((await lost(s)).map(({ key }) => key)).toEqual(['1-1', '2-1', '3-1'])
    const reruns = await again(s)
    expect(reruns.map(({ rerunOf }) => rerunOf).toSorted()).toEqual(['1-1', '2-1', '3-1'])
    expect(reruns.map(({ completed }) => completed?.conclusion)).toEqual(Array(3).fill('success'))
    expect(reruns.map(({ request: { attempt } }) => attempt).toSorted()).toEqual([2, 3, 4])
    expect(await leftovers(s)).toEqual([])
  })

  it.each([
    ['the warning is lost', (event: Event) => (isWarning(event) ? 0 : 1)],
    [
      'the stop is lost',
      (event: Event) => (isWarning(event) ? 1 : event.detail.lastStatus === 'STOPPED' ? 0 : 1),
    ],
    ['every event comes twice', () => 2],
  ])('is found where %s', async (_, times) => {
    const s = await reclaiming({
      onEvent: (world, event, pass) => {
        const spot = (event as Event).detail.capacityProviderName === 'FARGATE_SPOT'
        for (let count = spot ? times(event as Event) : 1; count > 0; count--) pass(event)
        // The sweep knows of no task that is gone: somebody tells it late.
        if (spot && times(event as Event) === 0) world.clock.after(HOUR, () => pass(event))
      },
    })
    s.world.github.queue(job(1, SPOT_JOB))
    await untilQuiet(s)
    await s.world.clock.run(s.world.clock.now() + 2 * HOUR)
    expect((await lost(s)).map(({ key }) => key)).toEqual(['1-1'])
    expect((await again(s)).length).toBe(1)
    expect(s.asked.map(({ answer }) => answer)).toEqual(['started'])
    expect(await leftovers(s)).toEqual([])
  })

  it('and whose runner is killed before it can say so is found by its end at GitHub', async () => {
    const s = await reclaiming({
      // Neither warning nor signal: the first that is heard of it is the stop, and the end ten minutes later.
      onEvent: (_, event, pass) => (isWarning(event as Event) ? undefined : pass(event)),
      deliver: async (world, delivery) => {
        const isEnd = delivery.body.startsWith('{"action":"completed"')
        if (isEnd) world.clock.after(10 * MINUTE, () => world.accept(delivery))
        else await world.accept(delivery)
      },
    })
    s.world.github.queue(job(1, SPOT_JOB))
    await untilQuiet(s)
    expect((await again(s)).map(({ rerunOf }) => rerunOf)).toEqual(['1-1'])
    expect(await leftovers(s)).toEqual([])
  })
})

interface Event {
  readonly detail: Readonly<Record<string, unknown>>
}
function isWarning({ detail }: Event): boolean {
  return detail.desiredStatus === 'STOPPED' && detail.lastStatus === 'RUNNING'
}

describe('a job is not run again', () => {
  const nothing = async (s: Stack & { asked: Asked[] }) => {
    await untilQuiet(s)
    expect(s.asked).toEqual([])
    expect(await again(s)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  }

  it('that somebody cancelled before', async () => {
    const s = await reclaiming()
    s.world.github.queue(
      job(1, { ...SPOT_JOB, script: { durationMs: 10 * MINUTE, cancelAt: START + 2 * MINUTE } }),
    )
    await nothing(s)
    expect(await lost(s)).toEqual([])
  })

  it('that failed by itself, or was done, before its runner was taken back', async () => {
    const s = await reclaiming({ computeFaults: { fate: () => ({ kind: 'hangs', at: 'exit' }) } })
    s.world.github.queue(job(1, { ...SPOT_JOB, script: { durationMs: MINUTE, conclusion: 'failure' } }))
    s.world.github.queue(job(2, { ...SPOT_JOB, script: { durationMs: MINUTE } }))
    await nothing(s)
    expect(await lost(s)).toEqual([])
  })

  it('whose host died, which is not Spot', async () => {
    const s = await reclaiming({ computeFaults: { fate: () => ({ kind: 'dies', afterMs: MINUTE }) } })
    s.world.github.queue(job(1, SPOT_JOB))
    await nothing(s)
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('failure')
    expect(await lost(s)).toEqual([])
  })

  it('where tornade.yml says so, and it still shows', async () => {
    const s = await reclaiming({ config: { rerunAfterReclaim: false } })
    s.world.github.queue(job(1, SPOT_JOB))
    await nothing(s)
    expect((await lost(s)).map(({ key }) => key)).toEqual(['1-1'])
  })

  const roles = { deploy: { repositories: ['acme/app'], refs: [], events: [] } }
  const withRole = { ...SPOT_JOB, labels: [...SPOT_JOB.labels, 'role:deploy'] }

  it('that has a role', async () => {
    const s = await reclaiming({ config: { roles } })
    s.world.github.queue(job(1, withRole))
    await nothing(s)
    expect((await lost(s)).map(({ key }) => key)).toEqual(['1-1'])
  })

  it('that has a role, unless tornade.yml says that those are, too', async () => {
    const s = await reclaiming({ config: { roles, rerunAfterReclaim: 'with-role' } })
    s.world.github.queue(job(1, withRole))
    await untilQuiet(s)
    expect((await again(s)).map(({ completed }) => completed?.conclusion)).toEqual(['success'])
    expect(await leftovers(s)).toEqual([])
  })

  it('that is a re-run itself: spot-only jobs stay on Spot, and are lost once more', async () => {
    const s = await reclaiming()
    s.world.github.queue(job(1, { ...SPOT_JOB, labels: ['tornade', 'spot-only'] }))
    // The re-run is as long as the first, and so it is lost as well.
    const rerun = '40000000001-2'
    s.world.github.script(rerun, { durationMs: 10 * MINUTE })
    await untilQuiet(s)
    expect((await lost(s)).map(({ key }) => key)).toEqual(['1-1', rerun])
    expect((await again(s)).map(({ key }) => key)).toEqual([rerun])
    expect(s.asked.length).toBe(1)
    expect((await runners(s.world)).map(({ launch }) => launch?.shape.capacity)).toEqual(['spot', 'spot'])
    expect(await leftovers(s)).toEqual([])
  })

  it('twice where a person was faster: theirs is the re-run', async () => {
    const s = await reclaiming()
    s.world.github.queue(job(1, SPOT_JOB))
    const look = () => {
      if (s.world.github.job('1-1')?.status === 'completed') s.world.github.runAgain(1)
      else s.world.clock.after(SECOND, look)
    }
    look()
    await untilQuiet(s)
    expect((await again(s)).map(({ request: { attempt } }) => attempt)).toEqual([2])
    expect(s.asked.filter(({ answer }) => answer === 'started')).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('where GitHub will not, and that is written down', async () => {
    const message = 'Unable to retry this workflow run because it was created over a month ago'
    const s = await reclaiming({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, { rerunJob: async () => ({ outcome: 'failed', message }) }),
      }),
    })
    s.world.github.queue(job(1, SPOT_JOB))
    await untilQuiet(s)
    expect(await s.world.ledger.reruns.get('900001-job 1')).toMatchObject({
      outcome: 'failed',
      message,
      asked: 1,
    })
    expect(await again(s)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a later attempt', () => {
  it('of a job that was not lost, or was run again before, is an ordinary one', async () => {
    const s = await reclaiming()
    s.world.github.queue(job(1, SPOT_JOB))
    await untilQuiet(s)
    s.world.github.runAgain(40_000_000_001, { durationMs: MINUTE })
    await untilQuiet(s)
    const third = await jobOf(s.world, '40000000002-3')
    expect(third).toMatchObject({ rerunOf: null, completed: { conclusion: 'success' } })
    expect((await runners(s.world)).at(-1)!.launch?.shape.capacity).toBe('spot')
    expect(await leftovers(s)).toEqual([])
  })

  it('costs one look into the ledger, and a first one none', async () => {
    const looks: string[] = []
    const s = await stack({
      wrapPorts: ports =>
        guarded(ports, async (work, name) => {
          if (name === 'reruns.get') looks.push(name)
          return work()
        }),
    })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(looks).toEqual([])
    s.world.github.runAgain(1)
    await untilQuiet(s)
    expect(looks).toEqual(['reruns.get'])
  })
})

describe('what was lost', () => {
  const stop = { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }
  const ran = (over: Parameters<typeof runnerItem>[0] = {}) =>
    runnerItem({
      stop,
      stoppingAt: at(60),
      job: { key: '41-1', startedAt: at(10), completedAt: null, publicRepository: false },
      ...over,
    })
  const done = (seconds: number, conclusion: string) =>
    jobItem({ completed: { at: at(seconds), conclusion, startedAt: at(10), runner: null } })

  it.each([
    [61, 'failure', true],
    [60, 'cancelled', true],
    [56, 'cancelled', true],
    [54, 'cancelled', false],
    [600, 'failure', true],
    [61, 'success', false],
    [61, 'skipped', false],
  ])('is told by the time of its end: at %i s, %s: %s', (seconds, conclusion, isLost) => {
    expect(isLostToSpot(done(seconds, conclusion), ran())).toBe(isLost)
  })

  it('is told by the stop of its own runner', () => {
    const failed = done(61, 'failure')
    expect(isLostToSpot(failed, ran({ stop: { code: 'UserInitiated', reason: 'longest life' } }))).toBe(false)
    expect(isLostToSpot(failed, ran({ stop: null }))).toBe(false)
    expect(isLostToSpot(failed, ran({ stoppingAt: null }))).toBe(false)
    expect(isLostToSpot(failed, ran({ job: null }))).toBe(false)
    expect(isLostToSpot(newJob(request()), ran())).toBe(false)
  })

  it('is asked for again whatever happens to its calls, and never after one may have worked', () => {
    const step = fc.constantFrom('started', 'running', 'crash-before', 'crash-after', 'somebody-else')
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), steps => {
        let rerun: Rerun = remember(undefined, done(61, 'failure'), T0)
        let attempt = 1
        let reruns = 0
        let now = T0
        for (const what of steps) {
          now = Math.max(now, rerun.askAt)
          if (rerun.outcome !== null) break
          if (what === 'somebody-else') {
            // The job beside it is run again, and has ended by now.
            if (rerun.asking === null) attempt++
            continue
          }
          const next = nextStep(rerun, attempt, now)
          if (typeof next === 'object') {
            rerun = settled(rerun, next)
            continue
          }
          expect(next).toBe('ask')
          rerun = asking(rerun, attempt, now)
          expect(nextStep(rerun, attempt, now)).toBe('wait')
          if (what === 'running') rerun = askLater(rerun, now)
          if (what === 'started' || what === 'crash-after') {
            attempt++
            reruns++
          }
          if (what === 'started') rerun = settled(rerun, { outcome: 'started', message: null })
        }
        expect(reruns).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('is asked for at once when the last job of its run has ended, unless a call is under way', () => {
    const slow = { ...remember(undefined, jobItem(), T0), asked: 9, askAt: T0 + HOUR, behind: true }
    expect(seenBehind(slow, true, T0 + MINUTE)).toBe(slow)
    expect(seenBehind(slow, false, T0 + MINUTE)).toMatchObject({
      behind: false,
      asked: 0,
      askAt: T0 + MINUTE,
    })
    const called = asking(slow, 1, T0 + HOUR)
    expect(seenBehind(called, false, T0 + HOUR)).toEqual({ ...called, behind: false })
    const done = settled(slow, { outcome: 'gone', message: null })
    expect(seenBehind(done, false, T0 + MINUTE)).toBe(done)
  })

  it('is given up after the time in which GitHub runs anything again', () => {
    const rerun = remember(undefined, done(61, 'failure'), T0)
    expect(nextStep(rerun, null, at(60))).toEqual({ outcome: 'gone', message: null })
    expect(nextStep(rerun, 1, T0 + 31 * 24 * HOUR)).toMatchObject({ outcome: 'failed' })
  })

  it('has one re-run, and may be lost again in a later attempt that is none', () => {
    const first = remember(undefined, done(61, 'failure'), T0)
    const second = { ...request(), key: '42-2', jobId: 42, attempt: 2 }
    const third = { ...request(), key: '43-3', jobId: 43, attempt: 3 }
    expect(isRerun(first, request())).toBe(false)
    expect(isRerun(first, second)).toBe(true)
    const adopted = adopt(first, second)
    expect(adopted).toMatchObject({ by: '42-2', outcome: 'started' })
    expect(adopt(adopted, third)).toBe(adopted)
    expect(isRerun(adopted, second)).toBe(true)
    expect(isRerun(adopted, third)).toBe(false)
    expect(remember(adopted, jobItem({ key: '42-2', request: second }), T0)).toBe(adopted)
    expect(remember(adopted, jobItem({ key: '43-3', request: third }), T0)).toMatchObject({
      jobKey: '43-3',
      by: null,
    })
    expect(isRerun(settled(first, { outcome: 'failed', message: 'too old' }), second)).toBe(false)
  })
})
