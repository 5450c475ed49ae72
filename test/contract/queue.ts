/** What every queue must do. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Queue, QueueName } from '../../functions/ports.ts'

export interface QueueMaker {
  readonly queue: Queue
  /** The bodies that are there by now, parsed; they do not come again. */
  receive(queue: QueueName): Promise<unknown[]>
  /** Lets so many seconds pass. */
  pass(seconds: number): Promise<void>
  close(): Promise<void>
}

export const MEBIBYTE = 1_048_576

/** Text that something on the way may choke on. */
export const HOSTILE = [
  '',
  'null',
  '\u0000\u0001\b\t\n\v\f\r\u001b[31m\u007f\u0080\u009f',
  '\ud800 \udfff \udc00\ud800',
  '💥\u{1fffe}\u{10ffff}',
  '\u2028\u2029\ufeff\u202e\ufffd',
  '</script><!--]]>&amp;&#0;',
  '"\\"\\u0000\\ufffe',
  '+%20&x=%00;y=1#z',
  '{{7*7}} $(id) `id` ; DROP TABLE jobs --',
  'a'.repeat(2_000),
]

export function queueContract(name: string, start: () => Promise<QueueMaker>): void {
  describe(`the queues ${name}`, () => {
    let maker: QueueMaker
    beforeAll(async () => {
      maker = await start()
    })
    afterAll(() => maker.close())

    it('carry a message to the queue it was meant for, once', async () => {
      await maker.queue.send('launch', [{ body: { kind: 'wake' } }])
      await maker.queue.send('events', [{ body: { kind: 'stop-if-idle', runner: 'tornade-1-1-1' } }])
      expect(await maker.receive('launch')).toEqual([{ kind: 'wake' }])
      expect(await maker.receive('events')).toEqual([{ kind: 'stop-if-idle', runner: 'tornade-1-1-1' }])
      expect(await maker.receive('launch')).toEqual([])
    })

    it('carry nothing where there is nothing', async () => {
      await maker.queue.send('launch', [])
      expect(await maker.receive('launch')).toEqual([])
    })

    it('carry any text unchanged, in values and in names', async () => {
      const bodies = HOSTILE.map((text, index) => ({ index, text, [text]: [text] }))
      await maker.queue.send(
        'launch',
        bodies.map(body => ({ body })),
      )
      for (const body of bodies) await maker.queue.send('events', [{ body }])
      for (const queue of ['launch', 'events'] as const)
        expect(byIndex(await maker.receive(queue))).toEqual(bodies)
    })

    it('carry any JSON value unchanged', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.jsonValue(), { minLength: 1, maxLength: 8 }), async values => {
          const bodies = values.map((value, index) => ({ index, value }))
          await maker.queue.send(
            'launch',
            bodies.map(body => ({ body })),
          )
          expect(byIndex(await maker.receive('launch'))).toEqual(JSON.parse(JSON.stringify(bodies)))
          await maker.queue.send('launch', [{ body: values[0] }])
          expect(await maker.receive('launch')).toEqual([JSON.parse(JSON.stringify(values[0]))])
        }),
        { numRuns: 6 },
      )
    })

    it('carry any number of messages', async () => {
      const bodies = Array.from({ length: 25 }, (_, index) => ({ index }))
      await maker.queue.send(
        'launch',
        bodies.map(body => ({ body })),
      )
      expect(byIndex(await maker.receive('launch'))).toEqual(bodies)
    })

    it('hold a message back as long as it says', async () => {
      await maker.queue.send('launch', [
        { body: { index: 2 }, delaySeconds: 1 },
        { body: { index: 0 } },
        { body: { index: 1 }, delaySeconds: 0 },
        { body: { index: 9 }, delaySeconds: 900 },
      ])
      await maker.queue.send('launch', [{ body: { index: 3 }, delaySeconds: 1 }])
      expect(byIndex(await maker.receive('launch'))).toEqual([{ index: 0 }, { index: 1 }])
      await maker.pass(1.2)
      expect(byIndex(await maker.receive('launch'))).toEqual([{ index: 2 }, { index: 3 }])
    })

    it.each([-1, 901, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
      'refuse a delay of %d s',
      async delaySeconds => {
        await expect(maker.queue.send('launch', [{ body: 1, delaySeconds }])).rejects.toThrow()
        expect(await maker.receive('launch')).toEqual([])
      },
    )

    it.each([
      ['undefined', undefined],
      ['a function', () => {}],
      ['a bigint', 1n],
    ])('refuse %s, which is no JSON value', async (_, body) => {
      await expect(maker.queue.send('launch', [{ body }])).rejects.toThrow()
      expect(await maker.receive('launch')).toEqual([])
    })

    it('carry up to 1 MiB in a message, and that many of them', async () => {
      const largest = 'a'.repeat(MEBIBYTE - 2)
      await maker.queue.send('launch', [{ body: largest }, { body: largest }])
      expect(await maker.receive('launch')).toEqual([largest, largest])
      const ofTwoBytes = 'é'.repeat((MEBIBYTE - 2) / 2)
      await maker.queue.send('launch', [{ body: ofTwoBytes }])
      expect(await maker.receive('launch')).toEqual([ofTwoBytes])
      for (const body of [`${largest}a`, `${ofTwoBytes}é`])
        await expect(maker.queue.send('launch', [{ body }])).rejects.toThrow()
      expect(await maker.receive('launch')).toEqual([])
    })
  })
}

/** A standard queue promises no order. */
function byIndex(bodies: readonly unknown[]): unknown[] {
  return (bodies as { index: number }[]).toSorted((a, b) => a.index - b.index)
}
