/** A job that cannot be served is told so once, whatever comes twice, late, at once, or only half. */
import { describe, expect, it } from 'vitest'
import { applyToJob, jobState } from '../functions/core/lifecycle.ts'
import type { Ports } from '../functions/ports.ts'
import { refuse } from '../functions/refuse.ts'
import { update } from '../functions/update.ts'
import type { DoubleJob } from '../local/github.ts'
import { ACME_APP } from '../local/payloads.ts'
import { request } from './support/facts.ts'
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
  untilQuiet,
} from './support/world.ts'

const RULE = { repositories: ['acme/app'], refs: ['refs/heads/main'], events: [] }
const OPEN = { ...repository(7001, 'acme/app'), private: false }

/** Every reason that is known before anything is started. */
const REASONS: readonly [string, Partial<DoubleJob>][] = [
  ['labels', { labels: ['tornade', '5cpu'] }],
  ['role', { labels: ['tornade', 'role:deploy'], headBranch: 'feature' }],
  ['fork', { repository: OPEN, event: 'pull_request', headRepositoryId: 8001 }],
]

/** Three jobs of one run that are all refused for the same reason. */
async function refused(
  told: Partial<DoubleJob>,
  options: StackOptions | ((s: () => Stack) => StackOptions) = {},
): Promise<Stack> {
  const given = typeof options === 'function' ? options(() => s) : options
  const s: Stack = await stack({ ...given, config: { roles: { deploy: RULE }, ...given.config } })
  for (const id of [1, 2, 3]) s.world.github.queue(job(id, { ...told, runId: 5, headSha: 'c'.repeat(40) }))
  await untilQuiet(s)
  return s
}

async function isToldOnce(s: Stack, code: string): Promise<void> {
  expect(s.world.github.checks).toMatchObject([{ externalId: 'tornade:5:1', headSha: 'c'.repeat(40) }])
  const all = await jobs(s.world)
  expect(all.map(one => one.completed?.conclusion)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  const own = all.filter(one => one.refused)
  expect(own.length).toBeGreaterThan(0)
  for (const one of own) {
    expect(one.refused).toMatchObject({ code })
    expect(s.world.github.checks[0]!.summary).toContain(`\`${one.request.name}\``)
  }
  expect(s.world.metrics.get('JobsRefused')).toBe(own.length)
  expect(await runners(s.world)).toEqual([])
  expect(await leftovers(s)).toEqual([])
}

describe.each(REASONS)('for its %s', (code, told) => {
  it('when every delivery comes once', async () => isToldOnce(await refused(told), code))

  it('when every delivery comes three times, the last of them long after the end', async () => {
    const s = await refused(told, {
      deliver: async (world, delivery) => {
        await world.accept(delivery)
        await world.accept(delivery)
        world.clock.after(20 * MINUTE, () => world.accept(delivery))
      },
    })
    await isToldOnce(s, code)
  })

  it('when deliveries come in any order', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = generator(seed)
      const s = await refused(told, {
        deliver: async (world, delivery) => {
          for (let count = 0; count < 2; count++)
            world.clock.after(1 + random() * 20 * SECOND, () => world.accept(delivery))
        },
      })
      await isToldOnce(s, code)
    }
  })

  it('when many are handled at once, and calls take their time', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = generator(seed)
      const s = await refused(told, slow => ({
        deliver: async (world, delivery) => {
          await Promise.all([world.accept(delivery), world.accept(delivery)])
        },
        wrapPorts: ports =>
          guarded(ports, async work => {
            await slow().world.clock.sleep(Math.floor(random() * 2 * SECOND))
            const answer = await work()
            await slow().world.clock.sleep(Math.floor(random() * 2 * SECOND))
            return answer
          }),
      }))
      await isToldOnce(s, code)
    }
  })

  it('when any of its calls fails once, before it is carried out or after', async () => {
    for (const after of [false, true])
      for (let failing = 1; failing <= 8; failing++) {
        let count = 0
        const s = await refused(told, {
          wrapPorts: (ports, name) =>
            name !== 'launch'
              ? ports
              : guarded(ports, async work => {
                  const fails = ++count === failing
                  if (fails && !after) throw new Error('no answer')
                  const answer = await work()
                  if (fails) throw new Error('no answer')
                  return answer
                }),
        })
        await isToldOnce(s, code)
      }
  })
})

describe('a run with jobs that cannot be served for reasons of their own', () => {
  const LABELS = ['5cpu', 'amr64', 'role:nobody']
  const seen = (s: Stack) => s.world.github.checks.map(({ title, summary }) => ({ title, summary }))
  /** @param gap from one delivery to the next, so that each is handled before the next comes */
  async function played(gap: number, options: StackOptions = {}): Promise<Stack> {
    const s = await stack({ ...options, config: { labelMistakes: 'report', ...options.config } })
    for (const [index, label] of LABELS.entries())
      s.world.clock.after(1 + index * gap, () =>
        s.world.github.queue(
          job(1 + index, { runId: 5, headSha: 'c'.repeat(40), labels: ['tornade', label] }),
        ),
      )
    await s.world.clock.run(START + 30 * MINUTE)
    return s
  }

  it.each([0, SECOND, MINUTE])('has all of them in one check run, %i ms apart', async gap => {
    const s = await played(gap)
    expect(seen(s)).toHaveLength(1)
    const [{ title, summary }] = seen(s) as [{ title: string; summary: string }]
    expect(title).toBe('tornade cannot run 3 jobs')
    for (const text of ['`job 1`', '`5cpu`', '`job 2`', '`amr64`', '`job 3`', '`role:nobody`'])
      expect(summary).toContain(text)
  })

  it('has all of them where whoever was telling of them died', async () => {
    for (const after of [false, true]) {
      let died = false
      const s = await played(0, {
        wrapPorts: ports => ({
          ...ports,
          github: proxy(ports.github, {
            reportRefusal: async (...parameters) => {
              if (died) return ports.github.reportRefusal(...parameters)
              died = true
              if (after) await ports.github.reportRefusal(...parameters)
              return new Promise<never>(() => {})
            },
          }),
        }),
      })
      expect(died).toBe(true)
      expect(seen(s)).toHaveLength(1)
      for (const id of [1, 2, 3]) expect(seen(s)[0]!.summary).toContain(`\`job ${id}\``)
    }
  })

  it('asks GitHub for as many writes as there are looks, not as there are jobs, when they come at once', async () => {
    let writes = 0
    const s = await stack({
      config: { labelMistakes: 'report' },
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          reportRefusal: async (...parameters) => {
            writes++
            return ports.github.reportRefusal(...parameters)
          },
        }),
      }),
    })
    for (let id = 1; id <= 100; id++)
      s.world.github.queue(job(id, { runId: 5, headSha: 'c'.repeat(40), labels: ['tornade', '5cpu'] }))
    await s.world.clock.run(START + 30 * MINUTE)
    expect((await jobs(s.world)).filter(one => one.refused)).toHaveLength(100)
    expect(writes).toBeLessThan(20)
    expect(seen(s)).toMatchObject([{ title: 'tornade cannot run 100 jobs' }])
  })
})

describe('a job that runs, of which the news is late', () => {
  it('is not refused for what became of another runner of it', async () => {
    let ports!: Ports
    const s = await stack({
      deliver: async (world, delivery) => {
        if (delivery.body.startsWith('{"action":"queued"')) return world.accept(delivery)
        world.clock.after(5 * MINUTE, () => world.accept(delivery))
      },
      wrapPorts: (given, name) => {
        if (name === 'launch') ports = given
        return given
      },
    })
    s.world.github.queue(job(1, { script: { durationMs: 2 * MINUTE } }))
    s.world.clock.after(MINUTE, async () => {
      expect(s.world.github.job('1-1')?.status).toBe('in_progress')
      const { request } = await jobOf(s.world, '1-1')
      await refuse(ports, s.config, request, 'github-refused', [
        { label: 'tornade', message: 'No.', suggestion: null },
      ])
    })
    await s.world.clock.run(START + 90 * SECOND)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('running')
    await untilQuiet(s)
    expect(s.world.github.checks).toEqual([])
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })
})

describe('a job that ends while it is being refused', () => {
  const ENDS = [
    ['failure', 'completed'],
    ['success', 'completed'],
    ['cancelled', 'refused'],
  ] as const

  it.each(ENDS)('as %s is known as %s', async (conclusion, state) => {
    let ports!: Ports
    const s = await stack({
      deliver: async () => {},
      wrapPorts: (given, name) => {
        if (name === 'launch') ports = given
        return given
      },
    })
    s.world.github.queue(job(1))
    const asked = request({ key: '1-1', jobId: 1, runId: 900_001, repository: ACME_APP })
    const at = START + MINUTE
    const event = {
      kind: 'completed',
      at,
      conclusion,
      startedAt: null,
      runner: null,
      request: asked,
    } as const
    const meanwhile = proxy(ports.github, {
      reportRefusal: async (...call) => {
        await update(s.world.ledger.jobs, asked.key, known => applyToJob(known, event))
        return ports.github.reportRefusal(...call)
      },
    })
    const problem = { label: '5cpu', message: 'No.', suggestion: null }
    await refuse({ ...ports, github: meanwhile }, s.config, asked, 'fork', [problem])
    expect(jobState(await jobOf(s.world, '1-1'))).toBe(state)
    expect(s.world.metrics.get('JobsRefused') ?? 0).toBe(state === 'refused' ? 1 : 0)
  })
})

describe('a run with one job that cannot be served', () => {
  it('is cancelled as a whole, and its other jobs cost nothing more', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { runId: 5 }))
    s.world.github.queue(job(2, { runId: 5, labels: ['tornade', '5cpu'] }))
    await untilQuiet(s, HOUR)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('cancelled')
    expect(jobState(await jobOf(s.world, '2-1'))).toBe('refused')
    expect(s.world.github.checks).toHaveLength(1)
    expect(await leftovers(s)).toEqual([])
  })

  it('runs on where label mistakes are only reported; a fork is cancelled all the same', async () => {
    const s = await stack({ config: { labelMistakes: 'report' } })
    s.world.github.queue(job(1, { runId: 5, script: { durationMs: MINUTE } }))
    s.world.github.queue(job(2, { runId: 5, labels: ['tornade', '5cpu'] }))
    s.world.github.queue(
      job(3, { runId: 6, repository: OPEN, event: 'pull_request', headRepositoryId: null }),
    )
    await s.world.clock.run(START + 10 * MINUTE)
    expect(jobState(await jobOf(s.world, '1-1'))).toBe('completed')
    expect(s.world.github.job('2-1')?.status).toBe('queued')
    expect(s.world.github.job('3-1')?.conclusion).toBe('cancelled')
  })

  it('is told again in its next attempt', async () => {
    const s = await stack()
    s.world.github.queue(job(1, { runId: 5, labels: ['tornade', '5cpu'] }))
    await untilQuiet(s, HOUR)
    s.world.github.runAgain(1)
    await untilQuiet(s, HOUR)
    expect(s.world.github.checks.map(({ externalId }) => externalId)).toEqual(['tornade:5:1', 'tornade:5:2'])
  })
})
