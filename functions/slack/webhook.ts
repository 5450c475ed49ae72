/**
 * Messages to one channel of Slack, by an incoming webhook. Its address is a secret: whoever has it can post.
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 */
import type { Notices } from '../ports.ts'
import { post } from './post.ts'

/** Slack cuts a message at 40,000 characters. */
const LONGEST = 10_000

/** @param address of the webhook; undefined while nobody has set one up */
export function slackWebhook(address: () => Promise<string | undefined>): Notices {
  return {
    post: async text => {
      const url = await address()
      if (url === undefined) return 'off'
      await post(url, { text: text.slice(0, LONGEST), unfurl_links: false })
      return 'sent'
    },
  }
}
