/** What a runner says of itself reaches the ledger, within what it has, and nothing else does. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { adviceFor } from '../functions/core/advice.ts'
import type { UsageSample } from '../functions/core/rollups.ts'
import type { Runner, RunnerShape, Usage } from '../functions/core/types.ts'
import { readUsage, withUsage } from '../functions/core/usage.ts'
import { scheduleSample } from '../local/sample.ts'
import { type Usage as Measured, usageLine } from '../runner-image/supervisor/usage.ts'
import * as facts from './support/facts.ts'
import { HOUR, job, jobOf, leftovers, proxy, runners, START, stack, untilQuiet } from './support/world.ts'

const MEASURED: Measured = {
  seconds: 61.5,
  cpuAverage: 0.51,
  cpuPeak: 1.9,
  memoryAverageMiB: 512,
  memoryPeakMiB: 1536,
}
const USAGE: Usage = {
  seconds: 61.5,
  cpuAverage: 0.51,
  cpuPeak: 1.9,
  memoryAverageGiB: 0.5,
  memoryPeakGiB: 1.5,
}
const LINE = usageLine(MEASURED)

describe('a line of usage', () => {
  it('is read as the runner writes it', () => {
    expect(readUsage([LINE])).toEqual(USAGE)
    expect(readUsage([`${LINE}\n`])).toEqual(USAGE)
    expect(readUsage([`first\r\n${LINE}\r\nlast\r\n`])).toEqual(USAGE)
  })

  it('is read whatever a runner can measure', () => {
    const amount = fc.double({ min: 0, max: 1e6, noNaN: true })
    const mib = fc.integer({ min: 0, max: 1e6 })
    fc.assert(
      fc.property(amount, amount, amount, mib, mib, (seconds, cpuAverage, cpuPeak, a, b) => {
        const usage = readUsage([
          usageLine({ seconds, cpuAverage, cpuPeak, memoryAverageMiB: a, memoryPeakMiB: b }),
        ])!
        expect(usage.seconds).toBeCloseTo(seconds, 2)
        expect(usage.cpuPeak).toBeCloseTo(cpuPeak, 2)
        expect(usage.memoryPeakGiB).toBeCloseTo(b / 1024, 2)
      }),
    )
  })

  it('is the last one that is valid', () => {
    const later = usageLine({ ...MEASURED, seconds: 62 })
    expect(readUsage([LINE, later, 'ended'])?.seconds).toBe(62)
    expect(readUsage([`${LINE}\n${later}`])?.seconds).toBe(62)
    expect(readUsage([LINE, later.slice(0, -1), 'ended'])?.seconds).toBe(61.5)
  })

  const with_ = (member: string, json: string) =>
    LINE.replace(new RegExp(`"${member}":[^,}]+`), `"${member}":${json}`)
  it.each([
    ['nothing', ''],
    ['another line', '{"level":"info","message":"ended"}'],
    ['in the middle of a line', `x ${LINE}`],
    ['half a line', LINE.slice(0, 60)],
    ['two in one', LINE + LINE],
    ['of another version', with_('v', '2')],
    ['of a version that is a text', with_('v', '"1"')],
    ['with a negative', with_('cpuPeak', '-1')],
    ['with what is nearly infinite', with_('cpuPeak', '1e300')],
    ['with what JSON reads as infinite', with_('seconds', '1e999')],
    ['with a text for a number', with_('cpuAverage', '"0.5"')],
    ['with null', with_('memoryPeakMiB', 'null')],
    ['with a list', with_('memoryPeakMiB', '[1]')],
    ['with an object', with_('memoryPeakMiB', '{"valueOf":1}')],
    ['with true', with_('cpuAverage', 'true')],
    ['without a figure', LINE.replace(/,"cpuPeak":[^,}]+/, '')],
    ['of a prototype', '{"tornade":"usage","__proto__":{"v":1}}'],
    ['too long to be one', with_('v', `${' '.repeat(400)}1`)],
    ['in a line of a megabyte', `{"tornade":"usage"${' '.repeat(1_000_000)}`],
    ['a thousand brackets', `{"tornade":"usage","v":${'['.repeat(300)}`],
  ])('is none: %s', (_, line) => {
    expect(readUsage([line])).toBeNull()
  })

  it('never throws, whatever the text', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map(rest => `{"tornade":"usage"${rest}`),
      fc.json().map(json => `{"tornade":"usage","v":1,"seconds":${json}}`),
    )
    fc.assert(
      fc.property(fc.array(text), messages => {
        expect([null, 'object']).toContain(readUsage(messages) && 'object')
      }),
    )
  })
})

/** Of 2 vCPU and 4 GiB, after a job of 90 seconds. */
function stopped(over: Partial<Runner> = {}): Runner {
  const { at } = facts
  return facts.runner({
    startedAt: at(0),
    stoppedAt: at(120),
    job: { key: '41-1', startedAt: at(10), completedAt: at(100), publicRepository: false },
    ...over,
  })
}

describe('what a runner measured', () => {
  it('is written down as it is where that can be', () => {
    expect(withUsage(stopped(), USAGE)).toEqual({ ...stopped(), usage: USAGE })
  })

  it('is cut to what the runner had, and to the time of its job', () => {
    const much = {
      seconds: 1e9,
      cpuAverage: 1e9,
      cpuPeak: 1e9,
      memoryAverageGiB: 1e9,
      memoryPeakGiB: 1e9,
    }
    const most = { seconds: 90, cpuAverage: 2, cpuPeak: 2, memoryAverageGiB: 4, memoryPeakGiB: 4 }
    expect(withUsage(stopped(), much).usage).toEqual(most)
    const open = stopped({ job: { ...stopped().job!, completedAt: null } })
    expect(withUsage(open, much).usage).toEqual({ ...most, seconds: 110 })
    expect(withUsage(stopped({ job: null }), much).usage).toEqual({ ...most, seconds: 120 })
  })

  it('lies within the runner whatever it says, with a peak that is no less than the average', () => {
    const figure = fc.oneof(fc.double({ min: 0, max: 10, noNaN: true }), fc.maxSafeNat())
    const record = {
      seconds: figure,
      cpuAverage: figure,
      cpuPeak: figure,
      memoryAverageGiB: figure,
      memoryPeakGiB: figure,
    }
    fc.assert(
      fc.property(fc.record(record), said => {
        const { usage } = withUsage(stopped(), said)
        expect(usage!.seconds).toBeLessThanOrEqual(90)
        expect(usage!.cpuAverage).toBeLessThanOrEqual(usage!.cpuPeak)
        expect(usage!.cpuPeak).toBeLessThanOrEqual(2)
        expect(usage!.memoryAverageGiB).toBeLessThanOrEqual(usage!.memoryPeakGiB)
        expect(usage!.memoryPeakGiB).toBeLessThanOrEqual(4)
      }),
    )
  })

  it('stays as it was first known', () => {
    const known = withUsage(stopped(), USAGE)
    expect(withUsage(known, { ...USAGE, seconds: 1 })).toBe(known)
  })

  it.each<[string, Partial<Runner>, Usage | null]>([
    ['it said nothing', {}, null],
    ['it has not stopped', { stoppedAt: null }, USAGE],
    ['nobody knows what was started', { launch: null }, USAGE],
  ])('is left out when %s', (_, over, usage) => {
    expect('usage' in withUsage(stopped(over), usage)).toBe(false)
  })
})

describe('in the local world', () => {
  it('the sample day shows what its jobs used, and has advice where they ask for too much or too little', async () => {
    const { world, promises } = await stack()
    const historyDays = 13
    const end = START + historyDays * 24 * HOUR
    scheduleSample(world.clock, world.github, end, {
      marker: 'tornade',
      owner: { login: 'acme', id: 9919 },
      historyDays,
    })
    await world.clock.run(end)
    expect(promises.broken).toEqual([])
    const samples = new Map<string, { shape: RunnerShape; samples: UsageSample[] }>()
    for (const runner of await runners(world)) {
      if (runner.stoppedAt === null || runner.job?.completedAt == null) continue
      const { request } = await jobOf(world, runner.job.key)
      const { shape } = runner.launch!
      const { usage } = runner
      expect(usage, `${runner.name} of ${request.name}`).toBeDefined()
      expect(usage!.cpuPeak).toBeLessThanOrEqual(shape.cpu)
      const size = `${request.repository.name} ${request.workflow} ${shape.compute} ${shape.cpu}/${shape.memoryGiB}`
      const sample = { jobKey: request.key, at: runner.stoppedAt, ...usage! }
      samples.set(size, { shape, samples: [...(samples.get(size)?.samples ?? []), sample] })
    }
    const advice = new Map(
      [...samples].map(([size, of]) => [size, adviceFor({ ...of, region: 'us-east-1' }, 1000)]),
    )
    expect(advice.get('acme/app CI fargate 4/8')).toMatchObject({ cpu: 'smaller', labels: ['2cpu', '8gb'] })
    expect(advice.get('acme/api Test fargate 2/4')).toMatchObject({ cpu: 'larger', labels: ['4cpu', '8gb'] })
    expect(advice.get('acme/api Test fargate 4/16')).toMatchObject({
      memory: 'smaller',
      labels: ['4cpu', '8gb'],
    })
    expect(advice.get('acme/data Nightly fargate 8/32')).toBeNull()
  })

  it.each<[string, () => Promise<Usage | null>]>([
    ['has no line yet', async () => null],
    [
      'cannot be read',
      async () => {
        throw new Error('GetLogEvents failed: ThrottlingException')
      },
    ],
  ])('a job ends and is paid as ever when the log of its runner %s', async (_, usage) => {
    const one = await stack({
      wrapPorts: ports => ({ ...ports, runnerLog: proxy(ports.runnerLog, { usage }) }),
    })
    one.world.github.queue(job(1))
    await untilQuiet(one)
    const [runner] = await runners(one.world)
    expect(runner!.job?.completedAt).toBeTypeOf('number')
    expect(runner!.cost!.totalMicroUsd).toBeGreaterThan(0)
    expect('usage' in runner!).toBe(false)
    expect(await leftovers(one)).toEqual([])
  })

  it('a runner that dies has said nothing, and one that stops without a job has nothing to say', async () => {
    const one = await stack({ computeFaults: { fate: () => ({ kind: 'hangs', at: 'connect' }) } })
    one.world.github.queue(job(1))
    await one.world.clock.run(START + HOUR)
    const all = await runners(one.world)
    expect(all.filter(({ stoppedAt }) => stoppedAt !== null)).not.toEqual([])
    for (const runner of all) expect('usage' in runner).toBe(false)
  })

  it('the log is asked once for each runner that ran', async () => {
    const asked: string[] = []
    const one = await stack({
      wrapPorts: ports => ({
        ...ports,
        runnerLog: proxy(ports.runnerLog, {
          usage: providerId => {
            asked.push(providerId)
            return ports.runnerLog.usage(providerId)
          },
        }),
      }),
    })
    for (const id of [1, 2, 3]) one.world.github.queue(job(id))
    await untilQuiet(one)
    const own = (await runners(one.world)).map(({ providerId }) => providerId)
    expect(own).toHaveLength(3)
    expect(asked.toSorted()).toEqual(own.toSorted())
  })
})
