/** One message to an address of Slack that is a secret, or as good as one: whoever has it can post there. */
import { TornadeError } from '../core/errors.ts'

const TIMEOUT_MS = 5000
/** What Slack answers is a word or two. */
const LONGEST_REASON = 100

/** @throws TornadeError notice-failed, without the address */
export async function post(url: string, message: object): Promise<void> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    })
  } catch (error) {
    // Neither the error nor its cause: they can quote the address.
    throw new TornadeError('notice-failed', `Slack cannot be reached (${nameOf(error)})`)
  }
  const answer = (await response.text().catch(() => '')).slice(0, LONGEST_REASON)
  if (!response.ok) throw new TornadeError('notice-failed', `Slack answered ${response.status}: ${answer}`)
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown error'
}
