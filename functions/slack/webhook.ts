/**
 * Messages to one channel of Slack, by an incoming webhook. Its address is a secret: whoever has it can post.
 * https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 */
import { TornadeError } from '../core/errors.ts'
import type { Notices } from '../ports.ts'

const TIMEOUT_MS = 5000
/** Slack cuts a message at 40,000 characters. */
const LONGEST = 10_000
/** What Slack answers is a word or two. */
const LONGEST_REASON = 100

/** @param address of the webhook; undefined while nobody has set one up */
export function slackWebhook(address: () => Promise<string | undefined>): Notices {
  return {
    post: async text => {
      const url = await address()
      if (url === undefined) return 'off'
      let response: Response
      try {
        response = await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text: text.slice(0, LONGEST), unfurl_links: false }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
          redirect: 'error',
        })
      } catch (error) {
        // Neither the error nor its cause: they can quote the address.
        throw new TornadeError('notice-failed', `Slack cannot be reached (${nameOf(error)})`)
      }
      const answer = (await response.text().catch(() => '')).slice(0, LONGEST_REASON)
      if (!response.ok)
        throw new TornadeError('notice-failed', `Slack answered ${response.status}: ${answer}`)
      return 'sent'
    },
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown error'
}
