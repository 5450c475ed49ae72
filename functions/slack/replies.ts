/**
 * Answers to commands: in a thread below a message of our own with the token of a bot, or to the address that came with
 * the command, good for half an hour and five messages. A command has no message that could be answered.
 * https://docs.slack.dev/interactivity/implementing-slash-commands
 * https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
 */
import { isResponseUrl } from '../core/chat.ts'
import { TornadeError } from '../core/errors.ts'
import type { Replies } from '../ports.ts'
import { post, reasonOf } from './post.ts'

/** https://docs.slack.dev/reference/methods/chat.postMessage */
const POST_MESSAGE = 'https://slack.com/api/chat.postMessage'
const TS = /^\d{1,12}\.\d{1,9}$/

export interface RepliesOptions {
  /** Where messages are posted with the token. */
  readonly postMessage?: string
  /** What is asked of the address of a command before anything is sent there. */
  readonly isSlack?: (url: string) => boolean
}

/** @param token of the bot, with chat:write; undefined while nobody has set one up */
export function slackReplies(
  token: () => Promise<string | undefined>,
  { postMessage = POST_MESSAGE, isSlack = isResponseUrl }: RepliesOptions = {},
): Replies {
  return {
    say: async (channel, text, thread) => {
      const bearer = await token()
      if (bearer === undefined) return null
      const message = {
        channel,
        text,
        unfurl_links: false,
        unfurl_media: false,
        ...(thread === null ? {} : { thread_ts: thread }),
      }
      const posted = messageOf(await post(postMessage, message, bearer))
      return thread ?? posted
    },
    answer: async (url, text) => {
      if (!isSlack(url))
        throw new TornadeError('notice-failed', 'the address of an answer is not one of Slack')
      await post(url, { response_type: 'in_channel', text, replace_original: false })
    },
  }
}

/** @returns its id. Slack answers 200 too where it posted nothing */
function messageOf(answer: string): string {
  let fields: { readonly ok?: unknown; readonly ts?: unknown; readonly error?: unknown } = {}
  try {
    fields = Object(JSON.parse(answer))
  } catch {
    // What is no JSON has no ts either.
  }
  if (fields.ok === true && typeof fields.ts === 'string' && TS.test(fields.ts)) return fields.ts
  throw new TornadeError('notice-failed', `Slack did not post a message: ${reasonOf(fields.error)}`)
}
