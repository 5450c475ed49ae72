import { slackReplies } from '../../functions/slack/replies.ts'
import { LocalChat } from '../../local/chat.ts'
import { RESPONSE_URL } from '../support/chat.ts'
import { slackServer } from '../support/slack-server.ts'
import { CHANNEL, repliesContract } from './replies.ts'

repliesContract('in memory', async () => {
  const [chat, other] = [new LocalChat(true), new LocalChat()]
  // The second is the same chat without its bot.
  const tokenless = { say: other.say.bind(other), answer: chat.answer.bind(chat) }
  return {
    replies: chat,
    tokenless,
    channel: () => threads(chat.messages),
    answers: () => chat.answers.map(({ text }) => text),
    url: RESPONSE_URL,
    close: async () => {},
  }
})

repliesContract('of Slack, over HTTP', async () => {
  const slack = await slackServer('xoxb-token')
  const options = { postMessage: slack.postMessage, isSlack: () => true }
  return {
    replies: slackReplies(async () => 'xoxb-token', options),
    tokenless: slackReplies(async () => undefined, options),
    channel: () =>
      threads(slack.messages.map(({ ts, thread_ts, ...rest }) => ({ ...rest, id: ts, thread: thread_ts }))),
    answers: () => (slack.received as { text: string }[]).map(({ text }) => text),
    url: slack.url,
    close: () => slack.close(),
  }
})

function threads(messages: LocalChat['messages']) {
  return messages
    .filter(({ channel, thread }) => channel === CHANNEL && thread === null)
    .map(({ id, text }) => ({
      text,
      below: messages.filter(({ thread }) => thread === id).map(one => one.text),
    }))
}
