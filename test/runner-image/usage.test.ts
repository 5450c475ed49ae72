/** What the supervisor makes of the kernel's counters, and of the metadata of a task. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  cgroupSource,
  Measurement,
  Meter,
  metadataSource,
  type Reading,
} from '../../runner-image/supervisor/usage.ts'

const MIB = 1024 * 1024

/** A meter that was read every two seconds while so many vCPU were busy. */
function metered(busy: readonly number[], memoryMiB: readonly number[] = []): Meter {
  const meter = new Meter()
  let cpuSeconds = 1000
  meter.take(0, { cpuSeconds, memoryBytes: (memoryMiB[0] ?? 0) * MIB })
  for (const [index, cpu] of busy.entries()) {
    cpuSeconds += 2 * cpu
    meter.take(2 * (index + 1), { cpuSeconds, memoryBytes: (memoryMiB[index + 1] ?? 0) * MIB })
  }
  return meter
}

describe('the meter', () => {
  it('tells average and peak of cpu from its counter, whatever that stood at', () => {
    expect(metered([1, 1, 1, 1, 1, 3, 3, 3, 3, 3]).usage()).toMatchObject({
      seconds: 20,
      cpuAverage: 2,
      cpuPeak: 3,
    })
  })

  it('takes no burst for a peak that is shorter than ten seconds', () => {
    expect(metered([0, 0, 0, 0, 4, 0, 0, 0, 0, 0]).usage()!.cpuPeak).toBe(0.8)
    expect(metered([0, 0, 4, 4, 4, 4, 4, 0, 0, 0]).usage()!.cpuPeak).toBe(4)
  })

  it('has no peak but the average where there are no ten seconds', () => {
    expect(metered([0, 4]).usage()).toMatchObject({ cpuAverage: 2, cpuPeak: 2 })
  })

  it('tells average and peak of memory', () => {
    expect(metered([0, 0, 0], [100, 300, 500, 100]).usage()).toMatchObject({
      memoryAverageMiB: 250,
      memoryPeakMiB: 500,
    })
  })

  it('says nothing before there are two readings', () => {
    expect(new Meter().usage()).toBeNull()
    expect(metered([]).usage()).toBeNull()
  })

  it('passes over a counter that went back, and a moment that comes twice', () => {
    const meter = metered([1, 1, 1, 1, 1])
    const before = meter.usage()
    meter.take(12, { cpuSeconds: 3, memoryBytes: 9999 * MIB })
    meter.take(10, { cpuSeconds: 5000, memoryBytes: 9999 * MIB })
    expect(meter.usage()).toEqual(before)
  })

  it('keeps the average between the least and the peak that any work can have', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 32, noNaN: true }), { minLength: 1 }), busy => {
        const { cpuAverage, cpuPeak } = metered(busy).usage()!
        expect(cpuAverage).toBeGreaterThanOrEqual(Math.min(...busy) - 0.001)
        expect(cpuPeak).toBeGreaterThanOrEqual(cpuAverage)
        expect(cpuPeak).toBeLessThanOrEqual(Math.max(...busy) + 0.001)
      }),
    )
  })

  it('tells a peak of a job of half a day', () => {
    const meter = metered(Array.from({ length: 20_000 }, (_, index) => (index === 10 ? 4 : 1)))
    expect(meter.usage()).toMatchObject({ seconds: 40_000, cpuAverage: 1, cpuPeak: 1.6 })
  })
})

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tornade-cgroup-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}
const V2 = {
  'cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n',
  'memory.current': `${300 * MIB}\n`,
  'memory.stat': `anon 1\nfile 2\nactive_file ${7 * MIB}\ninactive_file ${100 * MIB}\n`,
}
const V1 = {
  'cpu,cpuacct/cpuacct.usage': '2500000000\n',
  'memory/memory.usage_in_bytes': `${300 * MIB}\n`,
  'memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${100 * MIB}\n`,
}
const READING: Reading = { cpuSeconds: 2.5, memoryBytes: 200 * MIB }

describe('a control group', () => {
  it('is read in version 2, without the cache that can be dropped', async () => {
    write(V2)
    expect(await cgroupSource(folder, null)!()).toEqual(READING)
  })

  it('is read in version 1', async () => {
    write(V1)
    symlinkSync('cpu,cpuacct', join(folder, 'cpuacct'))
    expect(await cgroupSource(folder, null)!()).toEqual(READING)
  })

  it('is the one that is mounted, and not a part of it', async () => {
    write(V2)
    write({
      'init/cpu.stat': 'usage_usec 1\n',
      'init/memory.current': '1',
      'init/memory.stat': V2['memory.stat'],
    })
    expect(await cgroupSource(folder, '/init')!()).toEqual(READING)
  })

  it('is looked up by its name where the root of the machine is mounted', async () => {
    write({ 'cpu.stat': 'usage_usec 99000000\n', 'memory.stat': V2['memory.stat'] })
    const own = Object.entries(V2).map(([name, text]) => [`docker/abc/${name}`, text])
    write(Object.fromEntries(own))
    expect(await cgroupSource(folder, '/docker/abc')!()).toEqual(READING)
  })

  it('has no less than no memory', async () => {
    write({ ...V2, 'memory.current': '5\n' })
    expect(await cgroupSource(folder, null)!()).toMatchObject({ memoryBytes: 0 })
  })

  it.each<[string, Readonly<Record<string, string>>]>([
    ['there is none', {}],
    ['a file is missing', { 'cpu.stat': V2['cpu.stat'], 'memory.current': V2['memory.current'] }],
    ['a figure is missing', { ...V2, 'cpu.stat': 'user_usec 1\n' }],
    ['a figure is none', { ...V2, 'memory.current': 'max\n' }],
    ['a file is empty', { ...V2, 'memory.current': '' }],
  ])('is no source when %s', (_, files) => {
    write(files)
    expect(cgroupSource(folder, null)).toBeNull()
  })

  it('is read where these tests run, or is not there', async () => {
    const source = cgroupSource('/sys/fs/cgroup')
    const reading = await source?.()
    if (reading) expect(reading.memoryBytes).toBeGreaterThan(MIB)
  })
})

describe('the metadata of a task', () => {
  let server: Server
  let answer: { status: number; body: string } | 'silence'
  let asked: string[]
  beforeEach(async () => {
    asked = []
    server = createServer((request, response) => {
      asked.push(request.url!)
      if (answer === 'silence') return
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })
  const source = () => metadataSource(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v4/abc-1`)

  const stats = (cpu: number, memory: number, cache: object) => ({
    cpu_stats: { cpu_usage: { total_usage: cpu }, system_cpu_usage: 1e12, online_cpus: 2 },
    memory_stats: { usage: memory, limit: 1e12, stats: cache },
  })

  it('is summed over its containers, of which one may not run', async () => {
    const containers = {
      a: stats(2e9, 250 * MIB, { inactive_file: 100 * MIB }),
      b: stats(0.5e9, 60 * MIB, { total_inactive_file: 10 * MIB }),
      c: null,
      d: {},
    }
    answer = { status: 200, body: JSON.stringify(containers) }
    expect(await source()()).toEqual(READING)
    expect(asked).toEqual(['/v4/abc-1/task/stats'])
  })

  it.each<[string, typeof answer]>([
    ['is refused', { status: 404, body: '{}' }],
    ['is no JSON', { status: 200, body: '<html>' }],
    ['has no containers', { status: 200, body: '{}' }],
    ['is null', { status: 200, body: 'null' }],
    [
      'has texts for numbers',
      { status: 200, body: '{"a":{"cpu_stats":{"cpu_usage":{"total_usage":"1"}},"memory_stats":{}}}' },
    ],
    ['never comes', 'silence'],
  ])('is no reading when it %s', async (_, wrong) => {
    answer = wrong
    expect(await source()()).toBeNull()
  })
})

describe('a measurement', () => {
  it('reads at its start, time and again, and at its end', async () => {
    let cpuSeconds = 0
    const measurement = new Measurement(async () => ({ cpuSeconds: cpuSeconds++, memoryBytes: MIB }), 5)
    await sleep(60)
    const usage = (await measurement.stop())!
    expect(cpuSeconds).toBeGreaterThan(3)
    expect(usage.memoryAverageMiB).toBe(1)
    const read = cpuSeconds
    await sleep(20)
    expect(cpuSeconds).toBe(read)
  })

  it('says nothing where nothing was read', async () => {
    expect(await new Measurement(async () => null, 5).stop()).toBeNull()
  })

  it('asks a slow source once at a time', async () => {
    let open = 0
    let most = 0
    const slow = async () => {
      most = Math.max(most, ++open)
      await sleep(15)
      open--
      return null
    }
    const measurement = new Measurement(slow, 1)
    await sleep(60)
    await measurement.stop()
    expect(most).toBe(1)
  })
})
