/** A chat on a laptop: with a bot, what it says begins threads; the addresses of commands can be answered either way. */
import { TornadeError } from '../functions/core/errors.ts'
import type { Replies } from '../functions/ports.ts'

export interface ChatMessage {
  /** What names it: those below it have it as their thread. */
  readonly id: string
  readonly channel: string
  readonly text: string
  /** null where it is below no other. */
  readonly thread: string | null
}

export class LocalChat implements Replies {
  /** What the bot said, oldest first. */
  readonly messages: ChatMessage[] = []
  /** What went to addresses of commands, oldest first. */
  readonly answers: { readonly url: string; readonly text: string }[] = []
  /** False is a chat that nobody gave a token for. */
  bot: boolean

  constructor(bot = false) {
    this.bot = bot
  }

  async say(channel: string, text: string, thread: string | null): Promise<string | null> {
    if (!this.bot) return null
    const begun = ({ id, ...first }: ChatMessage) =>
      id === thread && first.channel === channel && first.thread === null
    if (thread !== null && !this.messages.some(begun))
      throw new TornadeError('notice-failed', `${channel} has no thread ${thread}`)
    const id = `1793000000.${String(this.messages.length + 1).padStart(6, '0')}`
    this.messages.push({ id, channel, text, thread })
    return thread ?? id
  }

  async answer(url: string, text: string): Promise<void> {
    this.answers.push({ url, text })
  }
}
