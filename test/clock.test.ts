import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { SteppedClock } from '../local/clock.ts'

const START = Date.UTC(2026, 10, 2, 9)

let clock: SteppedClock
let log: string[]
const note = (text: string) => () => void log.push(`${clock.now() - START} ${text}`)

beforeEach(() => {
  clock = new SteppedClock(START)
  log = []
})
afterEach(() => clock.stop())

describe('stepped time', () => {
  it('stands still until it is run, and jumps from timer to timer', async () => {
    clock.after(5000, note('b'))
    clock.after(1000, note('a'))
    clock.at(START + 86_400_000, note('c'))
    expect(clock.now()).toBe(START)
    expect(clock.next()).toBe(START + 1000)
    await clock.run()
    expect(log).toEqual(['1000 a', '5000 b', '86400000 c'])
    expect(clock.next()).toBeNull()
  })

  it('fires timers of the same time in the order in which they were set', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) clock.after(10, note(name))
    await clock.run()
    expect(log).toEqual(['10 a', '10 b', '10 c', '10 d', '10 e'])
  })

  it('fires a timer of the past at once, not before those that are due already', async () => {
    clock.after(10, () => {
      note('a')()
      clock.at(START, note('late'))
    })
    clock.after(10, note('b'))
    await clock.run()
    expect(log).toEqual(['10 a', '10 b', '10 late'])
  })

  it('keeps the order of any timers, whoever cancels which', async () => {
    const timer = fc.record({ delay: fc.nat({ max: 20 }), cancelled: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(timer, { maxLength: 60 }), async timers => {
        const stepped = new SteppedClock(START)
        const fired: number[] = []
        const set = timers.map(({ delay }, index) => stepped.after(delay, () => void fired.push(index)))
        for (const [index, { cancelled }] of timers.entries()) if (cancelled) set[index]!.cancel()
        await stepped.run()
        const expected = [...timers.entries()]
          .filter(([, { cancelled }]) => !cancelled)
          .sort(([i, a], [j, b]) => a.delay - b.delay || i - j)
          .map(([index]) => index)
        expect(fired).toEqual(expected)
      }),
      { numRuns: 50 },
    )
  })

  it('waits for everything that a timer sets off before it goes on', async () => {
    clock.after(1, async () => {
      for (let count = 0; count < 50; count++) await null
      note('first is done')()
    })
    clock.after(1, note('second'))
    await clock.run()
    expect(log).toEqual(['1 first is done', '1 second'])
  })

  it('passes in sleep', async () => {
    const slept = (async () => {
      await clock.sleep(1500)
      note('awake')()
      await clock.sleep(500)
      note('awake again')()
    })()
    await clock.run()
    await slept
    expect(log).toEqual(['1500 awake', '2000 awake again'])
  })

  it('waits for work outside of it', async () => {
    clock.after(1, () => {
      void clock.track(new Promise(resolve => setTimeout(resolve, 20))).then(note('read'))
    })
    clock.after(2, note('after'))
    await clock.run()
    expect(log).toEqual(['1 read', '2 after'])
  })

  it('goes on when work outside of it fails', async () => {
    clock.after(1, () => {
      clock.track(Promise.reject(new Error('no such file'))).catch(note('failed'))
    })
    clock.after(2, note('after'))
    await clock.run()
    expect(log).toEqual(['1 failed', '2 after'])
  })
})

describe('a run', () => {
  it('ends at its end, which is always reached', async () => {
    clock.after(1000, note('a'))
    clock.after(3000, note('b'))
    await clock.run(START + 2000)
    expect(log).toEqual(['1000 a'])
    expect(clock.now()).toBe(START + 2000)
    await clock.run(START + 9000)
    expect(log).toEqual(['1000 a', '3000 b'])
    expect(clock.now()).toBe(START + 9000)
  })

  it('includes timers at its end', async () => {
    clock.after(2000, note('a'))
    await clock.run(START + 2000)
    expect(log).toEqual(['2000 a'])
  })

  it('never goes back', async () => {
    await clock.run(START + 2000)
    await clock.run(START + 1000)
    expect(clock.now()).toBe(START + 2000)
  })

  it('ends when it is said to be done, at that time', async () => {
    for (let count = 1; count <= 9; count++) clock.after(count * 1000, note(String(count)))
    await clock.run(START + 60_000, () => log.length === 4)
    expect(clock.now()).toBe(START + 4000)
    expect(clock.next()).toBe(START + 5000)
  })
})

describe('a cancelled timer', () => {
  it('does not fire, and is not the next', async () => {
    const timer = clock.after(1000, note('a'))
    clock.after(2000, note('b'))
    timer.cancel()
    timer.cancel()
    expect(clock.next()).toBe(START + 2000)
    await clock.run()
    expect(log).toEqual(['2000 b'])
  })

  it('may be cancelled by another one of the same time', async () => {
    clock.after(10, () => second.cancel())
    const second = clock.after(10, note('b'))
    await clock.run()
    expect(log).toEqual([])
  })

  it('that has fired is no fault', async () => {
    const timer = clock.after(10, note('a'))
    await clock.run()
    timer.cancel()
    expect(log).toEqual(['10 a'])
  })
})

describe("a timer's fault", () => {
  it('is told, thrown at once or later, and the others go on', async () => {
    const faults: unknown[] = []
    const careful = new SteppedClock(START, error => faults.push(error))
    careful.after(1, () => {
      throw new Error('at once')
    })
    careful.after(2, async () => {
      await null
      throw new Error('later')
    })
    let ran = false
    careful.after(3, () => {
      ran = true
    })
    await careful.run()
    expect(faults).toEqual([new Error('at once'), new Error('later')])
    expect(ran).toBe(true)
  })
})

describe('going live', () => {
  beforeEach(() => {
    vi.useFakeTimers({
      now: START + 1_000_000,
      toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'],
    })
  })
  afterEach(() => {
    clock.stop()
    vi.useRealTimers()
  })

  it('lets time pass by itself, from where it stood', () => {
    clock.goLive()
    expect(clock.now()).toBe(START)
    vi.advanceTimersByTime(2500)
    expect(clock.now()).toBe(START + 2500)
  })

  it('fires the timers that were set before and those that are set after', () => {
    clock.after(2000, note('before'))
    clock.goLive()
    clock.after(1000, note('after'))
    vi.advanceTimersByTime(999)
    expect(log).toEqual([])
    vi.advanceTimersByTime(1)
    expect(log).toEqual(['1000 after'])
    vi.advanceTimersByTime(5000)
    expect(log).toEqual(['1000 after', '2000 before'])
  })

  it('fires timers that a timer sets', () => {
    clock.goLive()
    clock.after(100, () => void clock.after(100, note('second')))
    vi.advanceTimersByTime(1000)
    expect(log).toEqual(['200 second'])
  })

  it('does not fire what was cancelled', () => {
    clock.goLive()
    const timer = clock.after(100, note('a'))
    clock.after(200, note('b'))
    timer.cancel()
    vi.advanceTimersByTime(1000)
    expect(log).toEqual(['200 b'])
  })

  it('waits for what is a month away', () => {
    const days = 40 * 86_400_000
    clock.goLive()
    clock.after(days, note('at last'))
    vi.advanceTimersByTime(days - 1)
    expect(log).toEqual([])
    vi.advanceTimersByTime(1)
    expect(log).toEqual([`${days} at last`])
  })

  it('is not disturbed when the clock of the machine is set', () => {
    clock.goLive()
    vi.advanceTimersByTime(5000)
    vi.setSystemTime(START - 3_600_000)
    expect(clock.now()).toBe(START + 5000)
    clock.after(1000, note('a'))
    vi.advanceTimersByTime(1000)
    expect(log).toEqual(['6000 a'])
  })

  it('is over when it is stopped', () => {
    clock.goLive()
    clock.after(100, note('a'))
    clock.stop()
    vi.advanceTimersByTime(1000)
    expect(log).toEqual([])
  })
})
