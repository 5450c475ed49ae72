import type { SQSEvent } from 'aws-lambda'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SteppedClock } from '../local/clock.ts'
import { LocalFunction } from '../local/lambda.ts'
import {
  LocalQueue,
  LocalQueues,
  MAX_MESSAGE_BYTES,
  type Mapping,
  type QueueSettings,
} from '../local/queue.ts'

const START = Date.UTC(2026, 10, 2, 9)
const SETTINGS: QueueSettings = {
  arn: 'arn:aws:sqs:eu-west-1:123456789012:tornade-test-launch',
  visibilityTimeoutMs: 360_000,
  maxReceiveCount: 5,
}
const MAPPING: Mapping = { batchSize: 10, reportBatchItemFailures: true, maximumConcurrency: 5 }

/** A queue with a function on it; `batches` has what the function was given, with the time. */
function stack(
  handler: (event: SQSEvent, clock: SteppedClock) => unknown,
  { mapping = {}, settings = {}, timeoutMs = 60_000, reservedConcurrency = null as number | null } = {},
) {
  const clock = new SteppedClock(START)
  const queue = new LocalQueue(clock, { ...SETTINGS, ...settings })
  const batches: { at: number; event: SQSEvent }[] = []
  const consumer = new LocalFunction(
    clock,
    { name: 'test', timeoutMs, reservedConcurrency },
    async (event: SQSEvent) => {
      batches.push({ at: clock.now() - START, event })
      return handler(event, clock)
    },
  )
  queue.subscribe(consumer, { ...MAPPING, ...mapping })
  return { clock, queue, consumer, batches }
}

const bodies = (event: SQSEvent): unknown[] => event.Records.map(record => JSON.parse(record.body))
const failed = (...ids: unknown[]) => ({ batchItemFailures: ids.map(itemIdentifier => ({ itemIdentifier })) })
const PICK_UP = 20

describe('a queue', () => {
  it('hands a message to the function in the shape of SQS', async () => {
    const { clock, queue, batches } = stack(() => null)
    const id = queue.send({ kind: 'wake', text: 'ü' })
    await clock.run()
    expect(batches).toEqual([
      {
        at: PICK_UP,
        event: {
          Records: [
            {
              messageId: id,
              receiptHandle: expect.any(String),
              body: '{"kind":"wake","text":"ü"}',
              attributes: {
                ApproximateReceiveCount: '1',
                SentTimestamp: String(START),
                SenderId: expect.any(String),
                ApproximateFirstReceiveTimestamp: String(START + PICK_UP),
              },
              messageAttributes: {},
              md5OfBody: '4d49c1401e5ca5096a1ff5a0549c5924',
              eventSource: 'aws:sqs',
              eventSourceARN: SETTINGS.arn,
              awsRegion: 'eu-west-1',
            },
          ],
        },
      },
    ])
  })

  it('gives the same ids in every run, and other ids in another queue', () => {
    const ids = (arn: string) => {
      const queue = new LocalQueue(new SteppedClock(START), { ...SETTINGS, arn })
      return [queue.send(1), queue.send(2)]
    }
    const first = ids('arn:aws:sqs:eu-west-1:123456789012:a')
    expect(ids('arn:aws:sqs:eu-west-1:123456789012:a')).toEqual(first)
    expect(new Set([...first, ...ids('arn:aws:sqs:eu-west-1:123456789012:b')]).size).toBe(4)
    expect(first[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('keeps what was sent, whatever becomes of the object later', async () => {
    const { clock, queue, batches } = stack(() => null)
    const body = { jobs: [1] }
    queue.send(body)
    body.jobs.push(2)
    await clock.run()
    expect(bodies(batches[0]!.event)).toEqual([{ jobs: [1] }])
  })

  it('fills batches up to batchSize', async () => {
    const { clock, queue, batches } = stack(() => null, { mapping: { batchSize: 4 } })
    for (let n = 0; n < 10; n++) queue.send(n)
    await clock.run()
    expect(batches.map(({ event }) => bodies(event))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ])
  })

  it('never makes an event larger than Lambda takes', async () => {
    const { clock, queue, batches } = stack(() => null)
    for (let n = 0; n < 10; n++) queue.send('x'.repeat(1_000_000))
    await clock.run()
    expect(batches.map(({ event }) => event.Records.length)).toEqual([6, 4])
  })

  it('hides a delayed message until its time', async () => {
    const { clock, queue, batches } = stack(() => null)
    queue.send('late', 900)
    queue.send('soon', 1)
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 2 })
    await clock.run()
    expect(batches.map(({ at, event }) => [at, ...bodies(event)])).toEqual([
      [1_000 + PICK_UP, 'soon'],
      [900_000 + PICK_UP, 'late'],
    ])
  })

  it.each([-1, 0.5, 901, Number.NaN])('refuses a delay of %s seconds', delay => {
    const queue = new LocalQueue(new SteppedClock(START), SETTINGS)
    expect(() => queue.send('x', delay)).toThrow('DelaySeconds is 0 to 900')
  })

  it('takes a body of 1 MiB and no byte more', () => {
    const queue = new LocalQueue(new SteppedClock(START), SETTINGS)
    const quotes = 2
    queue.send('ü'.repeat((MAX_MESSAGE_BYTES - quotes) / 2))
    expect(() => queue.send('x'.repeat(MAX_MESSAGE_BYTES - quotes + 1))).toThrow('1048577 bytes')
  })

  it('refuses what SQS refuses in a body', () => {
    const queue = new LocalQueue(new SteppedClock(START), SETTINGS)
    expect(() => queue.send('\uFFFF')).toThrow(expect.objectContaining({ name: 'InvalidMessageContents' }))
    expect(() => queue.send(undefined)).toThrow(expect.objectContaining({ name: 'InvalidMessageContents' }))
    expect(() => queue.send('\u0000 \uD800 \u{1F680}')).not.toThrow()
  })

  it('has no timer when it is idle', async () => {
    const { clock, queue } = stack(() => null)
    expect(clock.next()).toBeNull()
    queue.send('x')
    await clock.run()
    expect(clock.next()).toBeNull()
    expect(clock.now()).toBe(START + PICK_UP)
  })

  it('knows its depth and its oldest message', async () => {
    const { clock, queue } = stack((_, clock) => clock.sleep(10_000), {
      mapping: { batchSize: 1, maximumConcurrency: 2 },
    })
    expect(queue.oldestAgeMs()).toBe(0)
    for (let n = 0; n < 3; n++) queue.send(n)
    queue.send('late', 60)
    await clock.run(START + 5_000)
    expect(queue.depth()).toEqual({ visible: 1, inFlight: 2, delayed: 1 })
    expect(queue.oldestAgeMs()).toBe(5_000)
    await clock.run(START + 10_000 + PICK_UP)
    expect(queue.depth()).toEqual({ visible: 1, inFlight: 0, delayed: 1 })
    await clock.run()
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
    expect(queue.oldestAgeMs()).toBe(0)
  })

  it('is the port, for any number of messages', async () => {
    const clock = new SteppedClock(START)
    const launch = new LocalQueue(clock, SETTINGS)
    const events = new LocalQueue(clock, { ...SETTINGS, arn: `${SETTINGS.arn}-events` })
    const port = new LocalQueues({ launch, events })
    await port.send('launch', [{ body: 1 }, { body: 2, delaySeconds: 5 }])
    await port.send('events', [])
    expect(launch.depth()).toEqual({ visible: 1, inFlight: 0, delayed: 1 })
    expect(events.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
  })
})

describe('a function that fails', () => {
  it('gets the whole batch again, once the visibility timeout has passed', async () => {
    const { clock, queue, batches } = stack(event => {
      if (event.Records[0]!.attributes.ApproximateReceiveCount === '1') throw new Error('no')
    })
    queue.send('a')
    queue.send('b')
    await clock.run()
    expect(batches.map(({ at, event }) => [at, ...bodies(event)])).toEqual([
      [PICK_UP, 'a', 'b'],
      [PICK_UP + 360_000 + PICK_UP, 'a', 'b'],
    ])
    const [first, second] = batches.map(({ event }) => event.Records[0]!)
    expect(second!.messageId).toBe(first!.messageId)
    expect(second!.receiptHandle).not.toBe(first!.receiptHandle)
    expect(second!.attributes).toMatchObject({
      ApproximateReceiveCount: '2',
      ApproximateFirstReceiveTimestamp: first!.attributes.ApproximateFirstReceiveTimestamp,
      SentTimestamp: first!.attributes.SentTimestamp,
    })
  })

  it('gets only the messages again that it reported', async () => {
    const { clock, queue, batches } = stack(({ Records: [first, , third] }) =>
      third ? failed(first!.messageId, third.messageId) : failed(),
    )
    for (const body of ['a', 'b', 'c']) queue.send(body)
    await clock.run()
    expect(batches.map(({ event }) => bodies(event))).toEqual([
      ['a', 'b', 'c'],
      ['a', 'c'],
    ])
  })

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['an empty text', ''],
    ['an empty object', {}],
    ['an empty list', { batchItemFailures: [] }],
    ['no list', { batchItemFailures: null }],
  ])('succeeds when it answers %s', async (_, answer) => {
    const { clock, queue, batches } = stack(() => answer)
    queue.send('a')
    await clock.run()
    expect(batches).toHaveLength(1)
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
  })

  it.each([
    ['an id of another batch', failed('00000000-0000-4000-8000-000000000000')],
    ['an empty id', failed('')],
    ['no id', failed(null)],
    ['another key', { batchItemFailures: [{ messageId: 'x' }] }],
    ['a number', failed(7)],
    ['ids as they are', { batchItemFailures: ['x'] }],
    ['nothing in the list', { batchItemFailures: [null] }],
    ['a text', 'fine'],
    ['a list that is none', { batchItemFailures: 'x' }],
  ])('fails as a whole when its answer has %s', async (_, answer) => {
    const { clock, queue, batches } = stack(() => (batches.length === 1 ? answer : null))
    queue.send('a')
    queue.send('b')
    await clock.run()
    expect(batches.map(({ event }) => bodies(event))).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
  })

  it('fails as a whole when one id of several is unknown', async () => {
    const { clock, queue, batches } = stack(({ Records }) =>
      batches.length === 1 ? failed(Records[0]!.messageId, 'unknown') : null,
    )
    queue.send('a')
    queue.send('b')
    await clock.run()
    expect(batches.map(({ event }) => event.Records.length)).toEqual([2, 2])
  })

  it('fails at its timeout, and what it answers later counts for nothing', async () => {
    const { clock, queue, batches } = stack(
      async (_, clock) => {
        if (batches.length === 1) await clock.sleep(90_000)
        return failed()
      },
      { timeoutMs: 60_000 },
    )
    queue.send('slow')
    await clock.run(START + 100_000)
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 1, delayed: 0 })
    await clock.run()
    expect(batches.map(({ at }) => at)).toEqual([PICK_UP, PICK_UP + 360_000 + PICK_UP])
  })
})

describe('without functionResponseType: ReportBatchItemFailures', () => {
  const forgotten = { mapping: { reportBatchItemFailures: false } }

  it('a reported failure is lost, because nobody reads the report', async () => {
    const { clock, queue, batches } = stack(({ Records }) => failed(Records[1]!.messageId), forgotten)
    queue.send('good')
    queue.send('bad')
    await clock.run()
    expect(batches).toHaveLength(1)
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
    expect(queue.deadLetters).toEqual([])
  })

  it('a function that throws does the good messages of the batch again', async () => {
    const done: unknown[] = []
    const { clock, queue } = stack(event => {
      for (const body of bodies(event)) {
        if (body === 'bad') throw new Error('no')
        done.push(body)
      }
    }, forgotten)
    queue.send('good')
    queue.send('bad')
    await clock.run()
    expect(done).toEqual(['good', 'good', 'good', 'good', 'good'])
    expect(queue.deadLetters.map(letter => letter.body)).toEqual(['"good"', '"bad"'])
  })
})

describe('dead letters', () => {
  it('are messages that failed maxReceiveCount times, with the last reason', async () => {
    const { clock, queue, batches } = stack(() => {
      throw new RangeError(`no ${batches.length}`)
    })
    const messageId = queue.send({ poison: true })
    await clock.run()
    expect(batches.map(({ event }) => event.Records[0]!.attributes.ApproximateReceiveCount)).toEqual([
      ...'12345',
    ])
    expect(queue.deadLetters).toEqual([
      {
        messageId,
        body: '{"poison":true}',
        sentAt: START,
        deadAt: START + 5 * 360_000 + 6 * PICK_UP,
        receiveCount: 5,
        reason: 'RangeError: no 5',
      },
    ])
    expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
    expect(queue.oldestAgeMs()).toBe(0)
  })

  it('name the timeout and the report as reasons too', async () => {
    const settings = { settings: { maxReceiveCount: 1 }, timeoutMs: 3_000 }
    const hanging = stack((_, clock) => clock.sleep(3_600_000), settings)
    hanging.queue.send('x')
    await hanging.clock.run(START + 3_000_000)
    expect(hanging.queue.deadLetters[0]!.reason).toMatch(
      /^Sandbox.Timedout: .*Task timed out after 3.00 seconds$/,
    )

    const reporting = stack(({ Records: [record] }) => failed(record!.messageId), settings)
    reporting.queue.send('x')
    await reporting.clock.run()
    expect(reporting.queue.deadLetters[0]!.reason).toBe('reported by the function in batchItemFailures')
  })

  it('do not exist without a redrive policy', async () => {
    const { clock, queue, batches } = stack(() => Promise.reject(new Error('no')), {
      settings: { maxReceiveCount: null },
    })
    queue.send('x')
    await clock.run(START + 360_100 * 50)
    expect(batches.length).toBeGreaterThan(45)
    expect(queue.deadLetters).toEqual([])
  })

  it('come back as new messages', async () => {
    let broken = true
    const { clock, queue, batches } = stack(() => {
      if (broken) throw new Error('no')
    })
    const first = queue.send('x')
    await clock.run()
    broken = false
    expect(queue.redrive()).toBe(1)
    expect(queue.deadLetters).toEqual([])
    await clock.run()
    const last = batches.at(-1)!.event.Records[0]!
    expect(last.messageId).not.toBe(first)
    expect(last.attributes.ApproximateReceiveCount).toBe('1')
    expect(bodies(batches.at(-1)!.event)).toEqual(['x'])
    expect(queue.redrive()).toBe(0)
  })
})

describe('concurrency', () => {
  it.each([2, 5])('never goes over maximumConcurrency %i', async maximumConcurrency => {
    let running = 0
    const seen: number[] = []
    const { clock, queue, batches } = stack(
      async ({ Records }, clock) => {
        seen.push(++running)
        await clock.sleep(1_000 + 137 * (Number(Records[0]!.body) % 7))
        running--
      },
      { mapping: { maximumConcurrency, batchSize: 1 } },
    )
    for (let n = 0; n < 40; n++) queue.send(n)
    await clock.run()
    expect(batches).toHaveLength(40)
    expect(Math.max(...seen)).toBe(maximumConcurrency)
  })

  it('costs no receive when the function is throttled: Lambda keeps the batch and tries again', async () => {
    const { clock, queue, batches } = stack((_, clock) => clock.sleep(10_000), {
      mapping: { batchSize: 1 },
      reservedConcurrency: 1,
    })
    for (let n = 0; n < 5; n++) queue.send(n)
    await clock.run()
    expect(batches.map(({ event }) => event.Records[0]!.attributes.ApproximateReceiveCount)).toEqual([
      ...'11111',
    ])
    expect(queue.deadLetters).toEqual([])
  })

  it('gives a throttled batch back when the visibility timeout ends', async () => {
    const { clock, queue, consumer } = stack(() => null, { reservedConcurrency: 0 })
    queue.send('x')
    await clock.run()
    expect(consumer.running).toBe(0)
    expect(queue.deadLetters.map(letter => [letter.receiveCount, letter.reason])).toEqual([
      [5, 'TooManyRequestsException: Rate Exceeded.'],
    ])
  })
})

describe('at any size and whatever the function does', () => {
  it('gets 10,000 messages through, each once', async () => {
    const seen = new Set<unknown>()
    const { clock, queue, batches } = stack(async (event, clock) => {
      for (const body of bodies(event)) seen.add(body)
      await clock.sleep(50)
      return failed()
    })
    for (let n = 0; n < 10_000; n++) queue.send(n)
    await clock.run()
    expect(seen.size).toBe(10_000)
    expect(batches).toHaveLength(1_000)
    expect(clock.next()).toBeNull()
  })

  const outcome = fc.constantFrom('ok', 'report', 'throw', 'garbage', 'hang')
  const script = fc.record({
    messages: fc.array(
      fc.record({
        after: fc.integer({ min: 0, max: 60_000 }),
        delay: fc.integer({ min: 0, max: 900 }),
        outcomes: fc.array(outcome, { maxLength: 6 }),
      }),
      { maxLength: 25 },
    ),
    batchSize: fc.integer({ min: 1, max: 10 }),
    maximumConcurrency: fc.integer({ min: 2, max: 4 }),
    maxReceiveCount: fc.integer({ min: 1, max: 5 }),
  })

  it('handles every message or keeps it as a dead letter, within every limit', async () => {
    await fc.assert(
      fc.asyncProperty(script, async ({ messages, batchSize, maximumConcurrency, maxReceiveCount }) => {
        const most = { running: 0, records: 0, receives: 0 }
        const good: number[] = []
        const { clock, queue, consumer } = stack(
          async ({ Records }, clock) => {
            const receives = Records.map(record => Number(record.attributes.ApproximateReceiveCount))
            most.running = Math.max(most.running, consumer.running)
            most.records = Math.max(most.records, Records.length)
            most.receives = Math.max(most.receives, ...receives)
            const ids = Records.map(record => Number(record.body))
            const results = ids.map((id, index) => messages[id]!.outcomes[receives[index]! - 1] ?? 'ok')
            await clock.sleep(results.includes('hang') ? 600_000 : 100)
            if (results.includes('throw')) throw new Error('no')
            if (results.includes('garbage')) return 'garbage'
            // What hung is late: its invocation has failed already.
            if (!results.includes('hang')) good.push(...ids.filter((_, index) => results[index] === 'ok'))
            return failed(
              ...Records.filter((_, index) => results[index] === 'report').map(one => one.messageId),
            )
          },
          { mapping: { batchSize, maximumConcurrency }, settings: { maxReceiveCount } },
        )
        messages.forEach(({ delay, after }, index) => {
          clock.after(after, () => void queue.send(index, delay))
        })
        await clock.run()

        const ended = [...good, ...queue.deadLetters.map(letter => Number(letter.body))]
        expect(ended.sort((a, b) => a - b)).toEqual([...messages.keys()])
        expect(queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 })
        expect(consumer.running).toBe(0)
        expect(most.running).toBeLessThanOrEqual(maximumConcurrency)
        expect(most.records).toBeLessThanOrEqual(batchSize)
        expect(most.receives).toBeLessThanOrEqual(maxReceiveCount)
      }),
      { numRuns: 200 },
    )
  })
})
