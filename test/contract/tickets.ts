/** What every store of tickets must do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Tickets } from '../../functions/ports.ts'

export interface TicketsMaker {
  readonly tickets: Tickets
  readonly now: () => number
  advance(milliseconds: number): Promise<void>
  /** What the runner does with its key: the JIT config, or null. */
  take(ticketKey: string): Promise<string | null>
  close(): Promise<void>
}

const MINUTE = 60_000

export function ticketsContract(name: string, start: () => Promise<TicketsMaker>): void {
  describe(`tickets ${name}`, () => {
    let maker: TicketsMaker
    let count = 0
    const newKey = () => `AROAEXAMPLE:${++count}`
    const put = (key: string, config: string, life = 15 * MINUTE) =>
      maker.tickets.put(key, config, maker.now() + life)
    beforeAll(async () => {
      maker = await start()
    })
    afterAll(() => maker.close())

    it('are stored unless there is one', async () => {
      const key = newKey()
      expect(await maker.tickets.has(key)).toBe(false)
      expect(await put(key, 'first')).toBe('stored')
      expect(await put(key, 'second')).toBe('exists')
      expect(await maker.tickets.has(key)).toBe(true)
      expect(await maker.take(key)).toBe('first')
    })

    it('are stored by one of two at a time', async () => {
      const key = newKey()
      const answers = await Promise.all([put(key, 'first'), put(key, 'second')])
      expect(answers.toSorted()).toEqual(['exists', 'stored'])
      expect(await maker.take(key)).toBe(answers[0] === 'stored' ? 'first' : 'second')
    })

    it('are taken once, and then say that they were', async () => {
      const key = newKey()
      expect(await maker.take(key)).toBeNull()
      await put(key, 'the config')
      expect(await maker.take(key)).toBe('the config')
      expect(await maker.take(key)).toBeNull()
      expect(await maker.tickets.has(key)).toBe(true)
      expect(await put(key, 'another')).toBe('exists')
      expect(await maker.take(key)).toBeNull()
    })

    it('are taken by one of two at a time', async () => {
      for (let round = 0; round < 5; round++) {
        const key = newKey()
        await put(key, 'the config')
        const taken = await Promise.all([maker.take(key), maker.take(key)])
        expect(taken.filter(config => config !== null)).toEqual(['the config'])
      }
    })

    it('are apart from each other', async () => {
      const [mine, other] = [newKey(), newKey()]
      await put(mine, 'mine')
      await put(other, 'other')
      await maker.tickets.remove(mine)
      expect(await maker.tickets.has(mine)).toBe(false)
      expect(await maker.take(mine)).toBeNull()
      expect(await maker.take(other)).toBe('other')
    })

    it('can be removed, or not be there to be removed', async () => {
      const key = newKey()
      await maker.tickets.remove(key)
      await put(key, 'first')
      await maker.tickets.remove(key)
      await maker.tickets.remove(key)
      expect(await put(key, 'second')).toBe('stored')
      expect(await maker.take(key)).toBe('second')
    })

    it('hold as much as a JIT config has', async () => {
      const key = newKey()
      const config = Buffer.alloc(12_000, 'config').toString('base64')
      await put(key, config)
      expect(await maker.take(key)).toBe(config)
    })

    it('are gone when their time is over', async () => {
      const [waiting, taken] = [newKey(), newKey()]
      await put(waiting, 'first', MINUTE)
      await put(taken, 'first', MINUTE)
      await maker.take(taken)
      await maker.advance(2 * MINUTE)
      for (const key of [waiting, taken]) {
        expect(await maker.tickets.has(key)).toBe(false)
        expect(await put(key, 'second')).toBe('stored')
        expect(await maker.take(key)).toBe('second')
      }
    })
  })
}
