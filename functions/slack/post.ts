/** One message to Slack. Its address, or the token with it, is a secret: whoever has it can post there. */
import { TornadeError } from '../core/errors.ts'

const TIMEOUT_MS = 5000
/** Slack's words for what went wrong, as no_service and not_in_channel. Nothing else is quoted. */
const REASON = /^[a-z][a-z_ ]{1,60}$/

/**
 * @param token where the address is open to everybody
 * @returns what Slack answered
 * @throws TornadeError notice-failed, without the address and the token
 */
export async function post(url: string, message: object, token?: string): Promise<string> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    })
  } catch (error) {
    // Neither the error nor its cause: they can quote the address and the token.
    throw new TornadeError('notice-failed', `Slack cannot be reached (${nameOf(error)})`)
  }
  const answer = await response.text().catch(() => '')
  if (!response.ok)
    throw new TornadeError('notice-failed', `Slack answered ${response.status}: ${reasonOf(answer)}`)
  return answer
}

export function reasonOf(said: unknown): string {
  return typeof said === 'string' && REASON.test(said) ? said : 'it does not say why'
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown error'
}
