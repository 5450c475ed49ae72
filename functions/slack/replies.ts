/**
 * Answers to commands, to the address that came with each: good for half an hour and five messages.
 * https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
 */
import { isResponseUrl } from '../core/chat.ts'
import { TornadeError } from '../core/errors.ts'
import type { Replies } from '../ports.ts'
import { post } from './post.ts'

/** @param isSlack what is asked of an address before anything is sent there */
export function slackReplies(isSlack: (url: string) => boolean = isResponseUrl): Replies {
  return {
    answer: async (url, text) => {
      if (!isSlack(url))
        throw new TornadeError('notice-failed', 'the address of an answer is not one of Slack')
      await post(url, { response_type: 'in_channel', text, replace_original: false })
    },
  }
}
