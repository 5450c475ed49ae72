/** Capacity that is not to be had, at once or later, and runners that do not start: where their jobs go, and when. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../functions/core/lifecycle.ts'
import type { Deferral, StartRequest } from '../functions/core/types.ts'
import type { StartOutcome } from '../functions/ports.ts'
import type { ComputeFaults, Fate } from '../local/compute.ts'
import {
  generator,
  guarded,
  HOUR,
  job,
  jobOf,
  jobs,
  leftovers,
  MINUTE,
  proxy,
  repository,
  runners,
  SECOND,
  START,
  type Stack,
  type StackOptions,
  stack,
  startedFor,
  untilQuiet,
} from './support/world.ts'

const UNAVAILABLE =
  'Capacity is unavailable at this time. Please try again later or in a different availability zone'
const NO_CAPACITY = { outcome: 'failed', kind: 'capacity', message: UNAVAILABLE } as const
const TOO_LATE: Fate = { kind: 'fails-to-start', at: 'provision', reason: UNAVAILABLE }
const isSpot = (request: StartRequest) => request.shape.capacity === 'spot'

/** A world in which the provider is asked under watch. */
async function watched({
  refuse,
  fate,
  ...options
}: StackOptions & {
  readonly refuse?: (request: StartRequest, now: number) => StartOutcome | null
  readonly fate?: (request: StartRequest, now: number) => Fate | null
}): Promise<
  Stack & {
    readonly asked: { readonly request: StartRequest; readonly at: number }[]
    calls: number
    callsForJobs: number
  }
> {
  const asked: { request: StartRequest; at: number }[] = []
  let now = () => START
  const faults: ComputeFaults = {
    refuse: request => {
      const answer = refuse?.(request, now()) ?? null
      return answer?.outcome === 'failed' ? answer : null
    },
    fate: request => fate?.(request, now()) ?? null,
  }
  const result = { asked, calls: 0, callsForJobs: 0 }
  const s = await stack({
    ...options,
    computeFaults: faults,
    wrapPorts: (ports, name) => ({
      ...ports,
      compute: proxy(ports.compute, {
        start: async request => {
          asked.push({ request, at: ports.clock.now() })
          return ports.compute.start(request)
        },
      }),
      github: guarded(ports, async work => {
        result.calls++
        if (name !== 'sweep') result.callsForJobs++
        return work()
      }).github,
    }),
  })
  const { world } = s
  now = () => world.clock.now()
  return Object.assign(result, s)
}

/** So many jobs over an hour, from three repositories, of about two minutes each. */
function hourOfJobs({ world }: Stack, labels: readonly string[], count = 120): void {
  const random = generator(7)
  for (let id = 1; id <= count; id++) {
    const at = START + random() * HOUR
    const own = repository(1 + (id % 3))
    const script = { durationMs: Math.round((60 + random() * 120) * SECOND) }
    world.clock.at(at, () =>
      world.github.queue(job(id, { labels, repository: own, headRepositoryId: own.id, script })),
    )
  }
}

/** All of the hour has been played, and what came of it. */
async function ended(s: Stack): Promise<void> {
  await s.world.clock.run(START + HOUR)
  await untilQuiet(s)
}

async function waits({ world }: Stack): Promise<number[]> {
  const all = await jobs(world)
  return all.map(({ started, request }) => started!.at - request.createdAt).toSorted((a, b) => a - b)
}
const median = (sorted: readonly number[]) => sorted[Math.floor(sorted.length / 2)]!

describe('Spot with no capacity for an hour', () => {
  const bySpot = (request: StartRequest, now: number) => now < START + HOUR && isSpot(request)

  it('that says so at once costs neither waiting nor calls to GitHub', async () => {
    const fine = await watched({})
    hourOfJobs(fine, ['tornade', 'spot'])
    await ended(fine)
    const scarce = await watched({ refuse: (request, now) => (bySpot(request, now) ? NO_CAPACITY : null) })
    hourOfJobs(scarce, ['tornade', 'spot'])
    await ended(scarce)
    expect(median(await waits(scarce)) - median(await waits(fine))).toBeLessThan(5 * SECOND)
    expect((await waits(scarce)).at(-1)! - (await waits(fine)).at(-1)!).toBeLessThan(15 * SECOND)
    expect(scarce.calls).toBeLessThanOrEqual(fine.calls)
    // Three failures, and then the probes alone.
    const refused = scarce.asked.filter(({ request, at }) => isSpot(request) && at < START + HOUR)
    expect(refused.length).toBeLessThan(10)
    expect([...(await leftovers(fine)), ...(await leftovers(scarce))]).toEqual([])
  })

  it('that says so only later costs little waiting, and GitHub nothing but for those under way at first', async () => {
    const fine = await watched({})
    hourOfJobs(fine, ['tornade', 'spot'])
    await ended(fine)
    const scarce = await watched({ fate: (request, now) => (bySpot(request, now) ? TOO_LATE : null) })
    hourOfJobs(scarce, ['tornade', 'spot'])
    await ended(scarce)
    expect(median(await waits(scarce)) - median(await waits(fine))).toBeLessThan(5 * SECOND)
    expect((await waits(scarce)).at(-1)! - (await waits(fine)).at(-1)!).toBeLessThan(MINUTE)
    expect(scarce.calls - fine.calls).toBeLessThan(0.01 * fine.calls)
    const failed = (await runners(scarce.world)).filter(({ stop }) => stop?.code === 'TaskFailedToStart')
    expect(failed.length).toBeGreaterThan(5)
    expect(failed.length).toBeLessThan(20)
    // Those were started before the first failure was told.
    const known = failed.filter(({ registration }) => registration !== null)
    expect(known.length).toBeLessThanOrEqual(2)
    expect(Math.max(...known.map(({ launch }) => launch!.at))).toBeLessThan(
      Math.min(...failed.map(({ stoppedAt }) => stoppedAt!)),
    )
    // Each of them was registered, found and removed.
    expect(scarce.callsForJobs - fine.callsForJobs).toBe(3 * known.length)
    expect([...(await leftovers(fine)), ...(await leftovers(scarce))]).toEqual([])
  })

  /** Once late failures are known: runner of the job's first try → its fate. */
  async function heldBy(fate: Fate | null, options: StackOptions = {}): Promise<ReturnType<typeof watched>> {
    const s = await watched({
      ...options,
      fate: ({ runner, shape }) =>
        shape.capacity !== 'spot' ? null : runner.startsWith('tornade-1-') ? TOO_LATE : fate,
    })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'] }))
    s.world.clock.after(5 * MINUTE, () =>
      s.world.github.queue(job(2, { labels: ['tornade', 'spot'], script: { durationMs: 2 * MINUTE } })),
    )
    return s
  }
  const heldRunner = async ({ world }: Stack) => (await world.ledger.runners.get('tornade-2-1-1'))!

  describe('a runner that is registered only once it has come up', () => {
    it('serves its job hardly later, and ends the doubt about its kind', async () => {
      const s = await heldBy(null)
      await s.world.clock.run(START + 5 * MINUTE + 10 * SECOND)
      expect(await heldRunner(s)).toMatchObject({ registration: null, heldUntil: expect.any(Number) })
      await s.world.clock.run(START + 6 * MINUTE)
      const { registration, startedAt, job: own } = await heldRunner(s)
      expect(registration!.at - startedAt!).toBeLessThan(2 * SECOND)
      expect(own!.startedAt - startedAt!).toBeLessThan(10 * SECOND)
      expect((await s.world.ledger.gate.get()).breakers).toEqual({})
      await untilQuiet(s)
      expect(s.asked.filter(({ request }) => request.runner === 'tornade-2-1-1').length).toBeGreaterThan(0)
      expect(await leftovers(s)).toEqual([])
    })

    it('is registered in time where nobody tells that it came up', async () => {
      const s = await heldBy(null, {
        onEvent: (_, event, pass) => {
          if (!JSON.stringify(event).includes('"lastStatus":"RUNNING"')) pass(event)
        },
      })
      await untilQuiet(s)
      const { registration, startedAt, launch } = await heldRunner(s)
      expect(registration!.at - launch!.at).toBeLessThan(3 * MINUTE)
      expect(registration!.at - startedAt!).toBeGreaterThan(MINUTE)
      expect((await jobOf(s.world, '2-1')).runner).toBe('tornade-2-1-1')
      expect(await leftovers(s)).toEqual([])
    })

    it('is stopped where its job is cancelled meanwhile', async () => {
      const s = await heldBy(null)
      s.world.clock.after(5 * MINUTE + 8 * SECOND, () => void s.world.github.cancelJob(2))
      await untilQuiet(s)
      const { registration, stoppedAt } = await heldRunner(s)
      expect(registration).toBeNull()
      expect(stoppedAt! - START).toBeLessThan(7 * MINUTE)
      expect(await leftovers(s)).toEqual([])
    })

    it('costs GitHub nothing where its task fails', async () => {
      const s = await heldBy(TOO_LATE)
      await untilQuiet(s)
      expect(await heldRunner(s)).toMatchObject({ registration: null, cleanedAt: expect.any(Number) })
      expect(s.callsForJobs).toBe(3 + 1 + 1)
      expect(await leftovers(s)).toEqual([])
    })
  })

  it.each(['at once', 'later'])(
    'starts no spot-only job on demand, and all once there is capacity (%s)',
    async when => {
      const s = await watched(
        when === 'at once'
          ? { refuse: (request, now) => (bySpot(request, now) ? NO_CAPACITY : null) }
          : { fate: (request, now) => (bySpot(request, now) ? TOO_LATE : null) },
      )
      hourOfJobs(s, ['tornade', 'spot-only'], 20)
      await s.world.clock.run(START + 50 * MINUTE)
      const waiting = (await jobs(s.world)).filter(({ deferred }) => deferred)
      expect(waiting.length).toBeGreaterThan(10)
      for (const { deferred } of waiting)
        expect(deferred).toMatchObject({
          reason: 'no-capacity',
          message: expect.stringContaining(UNAVAILABLE),
        })
      expect((await s.world.ledger.gate.get()).holders).toEqual({})
      await untilQuiet(s)
      expect(s.asked.every(({ request }) => isSpot(request))).toBe(true)
      // Nobody is refused for what is not their fault, and nobody asks for what is known.
      expect((await jobs(s.world)).map(jobState)).toEqual(Array(20).fill('completed'))
      expect(s.asked.filter(({ at }) => at < START + HOUR).length).toBeLessThan(25)
      for (const { started } of await jobs(s.world))
        expect(started!.at).toBeLessThan(START + HOUR + 20 * MINUTE)
      expect(await leftovers(s)).toEqual([])
    },
  )
})

describe('where a job falls to', () => {
  const onFargate = (request: StartRequest) => request.shape.compute === 'fargate'
  const noFargate = (request: StartRequest) => (onFargate(request) ? NO_CAPACITY : null)

  it('is CodeBuild where tornade.yml says so, at the price of what was started there', async () => {
    const s = await watched({ config: { fallback: ['on-demand', 'codebuild'] }, refuse: noFargate })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot', '1cpu'] }))
    s.world.github.queue(job(2, { labels: ['tornade', 'arm64'] }))
    await untilQuiet(s)
    const [second, first] = (await runners(s.world)).toSorted((a, b) => (a.name < b.name ? 1 : -1))
    expect(first!.launch?.shape).toMatchObject({ compute: 'codebuild', capacity: null, cpu: 2, memoryGiB: 4 })
    expect(second!.launch?.shape).toMatchObject({ compute: 'codebuild', arch: 'arm64' })
    // The spec says what was asked for.
    expect((await jobOf(s.world, '1-1')).spec).toMatchObject({ compute: 'fargate', capacity: 'spot', cpu: 1 })
    expect(first!.cost!.billedMs % MINUTE).toBe(0)
    expect(first!.cost!.totalMicroUsd).toBe((first!.cost!.billedMs / MINUTE) * 5_000)
    expect(
      s.asked.slice(0, 3).map(({ request }) => request.shape.computeType ?? request.shape.capacity),
    ).toEqual(expect.arrayContaining(['spot', 'on-demand']))
    expect(await leftovers(s)).toEqual([])
  })

  it.each([
    [[], ['tornade', 'spot'], ['spot']],
    [['on-demand'], ['tornade', 'spot'], ['on-demand', 'spot']],
    [['on-demand'], ['tornade'], ['on-demand']],
    [['codebuild'], ['tornade', '32cpu', '244gb'], ['on-demand']],
  ] as const)('is nowhere else: fallback %j, labels %j', async (fallback, labels, kinds) => {
    const s = await watched({
      config: { fallback, limits: { cpu: 32, memoryGiB: 244 } },
      refuse: (request, now) => (now < START + 20 * MINUTE ? noFargate(request) : null),
    })
    s.world.github.queue(job(1, { labels }))
    await s.world.clock.run(START + 19 * MINUTE)
    expect((await jobOf(s.world, '1-1')).deferred?.reason).toBe('no-capacity')
    await untilQuiet(s)
    expect([...new Set(s.asked.map(({ request }) => request.shape.capacity))].toSorted()).toEqual(kinds)
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('success')
    expect(await leftovers(s)).toEqual([])
  })

  it('is the next kind at once where a task finds no capacity only after it was taken', async () => {
    const s = await watched({ fate: request => (isSpot(request) ? TOO_LATE : null) })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'] }))
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 capacity'])
    const [first, second] = s.asked
    expect([first!.request.shape.capacity, second!.request.shape.capacity]).toEqual(['spot', 'on-demand'])
    expect(second!.at - first!.at).toBeLessThan(30 * SECOND)
    expect((await s.world.ledger.gate.get()).breakers).toMatchObject({
      'fargate-spot-x64': { failures: 1, late: true },
    })
    expect(await leftovers(s)).toEqual([])
  })

  it('is the next kind after Spot took the runner back before it had a job', async () => {
    const s = await watched({
      fate: request => (isSpot(request) ? { kind: 'reclaimed', afterMs: SECOND } : null),
    })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'] }))
    await untilQuiet(s)
    expect(s.asked.map(({ request }) => request.shape.capacity)).toEqual(['spot', 'on-demand'])
    expect(await jobOf(s.world, '1-1')).toMatchObject({ lostTo: null, completed: { conclusion: 'success' } })
    expect((await s.world.ledger.gate.get()).breakers).toMatchObject({ 'fargate-spot-x64': { failures: 1 } })
    expect(await leftovers(s)).toEqual([])
  })

  it('is the next kind where the quota is used up', async () => {
    const message = 'You’ve reached the limit on the number of vCPUs you can run concurrently'
    const s = await watched({
      refuse: request => (isSpot(request) ? { outcome: 'failed', kind: 'quota', message } : null),
    })
    for (let id = 1; id <= 5; id++)
      s.world.clock.after(id * MINUTE, () => s.world.github.queue(job(id, { labels: ['tornade', 'spot'] })))
    await untilQuiet(s)
    expect(s.asked.filter(({ request }) => isSpot(request)).length).toBeLessThan(5)
    expect((await s.world.ledger.gate.get()).breakers).toMatchObject({
      'fargate-spot-x64': { words: message },
    })
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a quota of the account', () => {
  const message = 'You’ve reached the limit on the number of vCPUs you can run concurrently'
  const OVER = { outcome: 'failed', kind: 'quota', message } as const

  it('that is smaller than the job is named, counted, and ends in a refusal instead of a wait for ever', async () => {
    const sinces = new Set<number>()
    const s = await watched({
      refuse: () => OVER,
      onJob: ({ deferred }) => deferred && sinces.add(deferred.since),
    })
    s.world.github.queue(job(1))
    await s.world.clock.run(START + 29 * MINUTE)
    expect((await jobOf(s.world, '1-1')).deferred).toMatchObject({ reason: 'quota', message })
    await untilQuiet(s)
    const { refused } = await jobOf(s.world, '1-1')
    expect(refused).toMatchObject({
      code: 'quota',
      problems: [{ message: expect.stringContaining(message) }],
    })
    expect(refused!.problems[0]!.message).toMatch(/the quota is smaller than this job needs/)
    expect(refused!.at - START).toBeLessThan(HOUR)
    expect(s.asked.length).toBeLessThan(14)
    expect(s.world.metrics.get('StartsOverQuota')).toBe(s.asked.length)
    // It waited once, however often it was tried.
    expect(sinces.size).toBe(1)
    expect(s.world.metrics.get('JobsDeferred')).toBe(1)
    expect(await leftovers(s)).toEqual([])
  })

  it.each([
    ['that runners of ours use up', ['tornade']],
    ['of builds, which others may use up,', ['tornade', 'docker']],
  ] as const)('%s is waited for', async (_, labels) => {
    const s = await watched({
      config: { runner: { lifeMinutes: 24 * 60 } },
      refuse: ({ runner }, now) => (runner.startsWith('tornade-2-') && now < START + 5 * HOUR ? OVER : null),
    })
    s.world.github.queue(job(1, { labels: ['tornade'], script: { durationMs: 5 * HOUR } }))
    s.world.clock.after(MINUTE, () => s.world.github.queue(job(2, { labels })))
    await s.world.clock.run(START + 4 * HOUR)
    expect((await jobOf(s.world, '2-1')).deferred?.reason).toBe('quota')
    await untilQuiet(s)
    expect(jobState(await jobOf(s.world, '2-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })

  it('is waited for no longer than twelve hours', async () => {
    const s = await watched({
      config: { runner: { lifeMinutes: 24 * 60 } },
      refuse: ({ runner }) => (runner.startsWith('tornade-2-') ? OVER : null),
    })
    s.world.github.queue(job(1, { script: { durationMs: 14 * HOUR } }))
    s.world.clock.after(MINUTE, () => s.world.github.queue(job(2)))
    await untilQuiet(s)
    const { refused } = await jobOf(s.world, '2-1')
    expect(refused).toMatchObject({ code: 'quota' })
    expect(Math.round((refused!.at - START) / HOUR)).toBe(12)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a runner that does not start', () => {
  const REASON = 'CannotPullContainerError: pull image manifest has been retried 5 time(s): not found'
  const noImage: Fate = { kind: 'fails-to-start', at: 'pull', reason: REASON }

  it('is followed by others, each after a longer while, and at last by a refusal in the words of AWS', async () => {
    const waited: (Deferral | null)[] = []
    const s = await watched({ fate: () => noImage, onJob: ({ deferred }) => waited.push(deferred) })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry', '3 retry', '4 retry'])
    expect(waited.find(deferral => deferral !== null)).toMatchObject({
      reason: 'start-failed',
      message: `The last runner came to no job: ${REASON} (TaskFailedToStart)`,
      cause: 'retry',
      notBefore: expect.any(Number),
    })
    const gaps = s.asked.slice(1).map(({ at }, index) => at - s.asked[index]!.at)
    expect(gaps.every(gap => gap > 20 * SECOND && gap < 90 * SECOND)).toBe(true)
    expect(gaps[2]! - gaps[0]!).toBeGreaterThan(5 * SECOND)
    const { refused } = await jobOf(s.world, '1-1')
    expect(refused).toMatchObject({ code: 'start-failed' })
    expect(refused!.problems[0]!.message).toContain(`${REASON} (TaskFailedToStart)`)
    expect(s.world.github.checks).toHaveLength(1)
    expect(s.world.github.checks[0]!.summary).toContain('CannotPullContainerError')
    // The image is what fails, and not the kind of capacity.
    expect((await s.world.ledger.gate.get()).breakers).toEqual({})
    expect(await leftovers(s)).toEqual([])
  })

  it('holds no place while it waits, and is served when what was wrong has passed', async () => {
    const s = await watched({
      config: { limits: { runners: 1 } },
      fate: ({ runner }, now) => (runner.includes('-1-1-') && now < START + MINUTE ? noImage : null),
    })
    s.world.github.queue(job(1))
    s.world.clock.after(SECOND, () => s.world.github.queue(job(2, { script: { durationMs: 10 * SECOND } })))
    await untilQuiet(s)
    expect((await jobs(s.world)).map(jobState)).toEqual(['completed', 'completed'])
    expect(await leftovers(s)).toEqual([])
  })

  it.each<[string, Fate]>([
    ['dies before it has a job', { kind: 'dies', afterMs: 2 * SECOND }],
    ['never comes online', { kind: 'hangs', at: 'connect' }],
    ['takes no ticket', { kind: 'hangs', at: 'ticket' }],
  ])('because it %s is started again', async (_, fate) => {
    const s = await watched({ fate: ({ runner }) => (runner.endsWith('-1') ? fate : null) })
    s.world.github.queue(job(1))
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).completed?.conclusion).toBe('success')
    expect(await startedFor(s.world, '1-1')).toEqual(['1 job', '2 retry'])
    expect(await leftovers(s)).toEqual([])
  })

  it('for a throttle backs off, which is no failure of the kind', async () => {
    const s = await watched({
      refuse: (_, now) =>
        now < START + 10 * MINUTE ? { outcome: 'failed', kind: 'throttled', message: 'Rate exceeded' } : null,
    })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'] }))
    await s.world.clock.run(START + 9 * MINUTE)
    expect((await jobOf(s.world, '1-1')).deferred).toMatchObject({
      reason: 'throttled',
      message: 'Rate exceeded',
    })
    expect(s.asked.length).toBeLessThan(25)
    expect((await s.world.ledger.gate.get()).breakers).toEqual({})
    await untilQuiet(s)
    // It did not go elsewhere for that.
    expect(s.asked.every(({ request }) => isSpot(request))).toBe(true)
    expect((await jobOf(s.world, '1-1')).started!.at).toBeLessThan(START + 12 * MINUTE)
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a bad hour', () => {
  it.each([1, 2, 3])(
    'in which starts fail in every way now and then ends well (%i)',
    { timeout: 20_000 },
    async seed => {
      const random = generator(seed)
      const calm = START + HOUR
      const s = await watched({
        config: {
          limits: { runners: 12, starts: 10, replacements: 20 },
          fallback: ['on-demand', 'codebuild'],
        },
        refuse: (_, now) => (now < calm && random() < 0.25 ? NO_CAPACITY : null),
        fate: (request, now) => {
          if (now >= calm) return null
          const dice = random()
          if (dice < 0.1) return TOO_LATE
          if (dice < 0.15) return { kind: 'fails-to-start', at: 'pull', reason: 'CannotPullContainerError' }
          if (dice < 0.25 && isSpot(request)) return { kind: 'reclaimed', afterMs: random() * 3 * MINUTE }
          return dice < 0.3 ? { kind: 'dies', afterMs: random() * 10 * SECOND } : null
        },
      })
      hourOfJobs(s, ['tornade', 'spot'], 40)
      await ended(s)
      expect(await leftovers(s)).toEqual([])
      for (const one of await jobs(s.world)) {
        expect(one.refused).toBeNull()
        expect(
          one.completed?.conclusion === 'success' ||
            one.lostTo === 'spot' ||
            one.rerunOf !== null ||
            one.completed?.conclusion === 'failure',
        ).toBe(true)
      }
    },
  )
})
