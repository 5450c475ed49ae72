/** A delivery in: verified over its raw bytes, matched, and put on a queue. One call to AWS, nothing else. */
import { isUtf8 } from 'node:buffer'
import { verifyWithFallback } from '@octokit/webhooks-methods'
import type { Config } from './config.ts'
import { type DeliveryRules, readDelivery } from './core/delivery.ts'
import type { ErrorCode } from './core/errors.ts'
import type { HttpRequest, HttpResponse } from './lambda.ts'
import type { Ports } from './ports.ts'
import { route } from './route.ts'

/** Deliveries of workflow_job are about 20 kB; GitHub sends up to 25 MB for other events. */
export const BODY_LIMIT = 1_048_576

export type WebhookPorts = Pick<Ports, 'clock' | 'log' | 'metrics' | 'queue' | 'secrets'>

export function webhook(
  ports: WebhookPorts,
  config: Pick<Config, 'marker' | 'owners'>,
): (request: HttpRequest) => Promise<HttpResponse> {
  const { clock, log, metrics, queue, secrets } = ports
  const rules: DeliveryRules = {
    marker: config.marker,
    owners: config.owners && new Set(Object.values(config.owners)),
  }

  return async ({ method, headers, body }) => {
    if (method !== 'POST')
      return { status: 405, headers: { allow: 'POST' }, body: { outcome: 'rejected', reason: 'use POST' } }
    if (body.length > BODY_LIMIT)
      return reject(413, 'payload-too-large', `the payload is over ${BODY_LIMIT} bytes`)
    const signature = headers['x-hub-signature-256']
    if (!signature)
      return reject(401, 'signature-missing', 'X-Hub-Signature-256 is missing: set a secret on the webhook')
    // Of other bytes several read as the same text, and the signature is checked over the text.
    if (!isUtf8(body)) return reject(400, 'payload-not-json', 'the payload is not UTF-8')
    const text = body.toString('utf8')
    if (!(await isSigned(text, signature)))
      return reject(401, 'signature-wrong', 'the signature does not match the webhook secret')
    if (!isJson(headers['content-type'])) {
      return reject(415, 'content-type', 'set the content type of the webhook to application/json')
    }
    const json = parse(text)
    if (json === undefined) return reject(400, 'payload-not-json', 'the payload is not JSON')
    const reading = readDelivery(headers['x-github-event'] ?? '', json, clock.now(), rules)
    switch (reading.outcome) {
      case 'invalid':
        return reject(
          400,
          'payload-invalid',
          `the payload is not as GitHub sends it: ${reading.fields.join('; ')}`,
        )
      case 'ignored':
        metrics.count('DeliveriesIgnored')
        return { status: 202, body: { outcome: 'ignored', reason: reading.reason } }
      case 'ours':
        await queue.send(...route(reading.event))
        metrics.count('DeliveriesAccepted')
        return { status: 202, body: { outcome: 'accepted' } }
    }
  }

  async function isSigned(text: string, signature: string): Promise<boolean> {
    const [current, ...previous] = await secrets.webhook()
    // The library throws on an empty payload; an empty payload is not signed by anybody.
    return text !== '' && verifyWithFallback(current, text, signature, previous)
  }

  function reject(status: number, code: ErrorCode, reason: string): HttpResponse {
    metrics.count('DeliveriesRejected')
    log.warn('delivery rejected', { code, status })
    return { status, body: { outcome: 'rejected', reason } }
  }
}

function isJson(contentType: string | undefined): boolean {
  return /^application\/json\s*(;|$)/i.test(contentType ?? '')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
