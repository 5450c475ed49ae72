/** What everything must do that answers commands from a chat. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Replies } from '../../functions/ports.ts'

export interface RepliesMaker {
  /** Of a bot that is in `CHANNEL`. */
  readonly replies: Replies
  /** For which nobody has set up a token. */
  readonly tokenless: Replies
  /** What stands in the channel: texts, and below them those of their threads. */
  channel(): readonly { readonly text: string; readonly below: readonly string[] }[]
  /** What was sent to the address of the command. */
  answers(): readonly string[]
  /** Of a command. */
  readonly url: string
  close(): Promise<void>
}

export const CHANNEL = 'C0DEPLOYS'

export function repliesContract(name: string, start: () => Promise<RepliesMaker>): void {
  describe(`the replies ${name}`, () => {
    let maker: RepliesMaker
    beforeEach(async () => {
      maker = await start()
    })
    afterEach(() => maker.close())

    it('begin a thread with each message of its own, and answer below it', async () => {
      const { replies } = maker
      const one = await replies.say(CHANNEL, 'one', null)
      const two = await replies.say(CHANNEL, 'two', null)
      expect(new Set([one, two, null]).size).toBe(3)
      expect(await replies.say(CHANNEL, 'of two', two)).toBe(two)
      expect(await replies.say(CHANNEL, 'of one', one)).toBe(one)
      expect(await replies.say(CHANNEL, 'of two again', two)).toBe(two)
      expect(maker.channel()).toEqual([
        { text: 'one', below: ['of one'] },
        { text: 'two', below: ['of two', 'of two again'] },
      ])
    })

    it('say nothing in another place than the thread that they are given', async () => {
      const one = await maker.replies.say(CHANNEL, 'one', null)
      for (const [channel, thread] of [
        [CHANNEL, '1.000001'],
        ['C0OTHER', one],
      ] as const)
        await expect(maker.replies.say(channel, 'two', thread)).rejects.toMatchObject({
          code: 'notice-failed',
        })
      expect(maker.channel()).toEqual([{ text: 'one', below: [] }])
    })

    it('say nothing without a token', async () => {
      expect(await maker.tokenless.say(CHANNEL, 'one', null)).toBeNull()
      expect(await maker.tokenless.say(CHANNEL, 'one', '1.000001')).toBeNull()
      expect(maker.channel()).toEqual([])
    })

    it('answer the address of a command, with a token and without one', async () => {
      await maker.replies.answer(maker.url, 'one')
      await maker.tokenless.answer(maker.url, 'two')
      expect(maker.answers()).toEqual(['one', 'two'])
      expect(maker.channel()).toEqual([])
    })
  })
}
