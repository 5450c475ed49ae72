/** GitHub's log of the App's webhook deliveries, and asking for one again. Only the App itself may do this. */
import type { FailedDelivery } from '../ports.ts'
import type { Client } from './client.ts'
import { GitHubError, notUnderstood } from './errors.ts'

/** An attempt to deliver, whatever came of it. */
export type LoggedDelivery = FailedDelivery

export interface DeliveryPage {
  readonly deliveries: readonly LoggedDelivery[]
  readonly next: string | null
}

export function listFailedDeliveries(
  request: Client,
  jwt: string,
  cursor: string | null,
): Promise<DeliveryPage> {
  return list(request, jwt, cursor, { status: 'failure' })
}

/** All attempts, newest first; `cursor` is `next` of the page before. */
export function listDeliveries(request: Client, jwt: string, cursor: string | null): Promise<DeliveryPage> {
  return list(request, jwt, cursor, {})
}

/** What was sent with an attempt; null where it is not kept any more. Integers beyond 2^53 are BigInts. */
export async function getDelivery(
  request: Client,
  jwt: string,
  id: string,
): Promise<{ readonly headers: Readonly<Record<string, unknown>>; readonly payload: unknown } | null> {
  const operation = 'GET /app/hook/deliveries/{delivery_id}'
  try {
    const { data } = await request(operation, {
      delivery_id: id as unknown as number,
      headers: { authorization: `bearer ${jwt}` },
    })
    const { headers, payload } = data?.request ?? {}
    if (!payload) throw notUnderstood(operation)
    return { headers: headers ?? {}, payload }
  } catch (error) {
    if (error instanceof GitHubError && (error.status === 404 || error.status === 422)) return null
    throw error
  }
}

async function list(
  request: Client,
  jwt: string,
  cursor: string | null,
  which: { readonly status?: 'failure' },
): Promise<DeliveryPage> {
  const { data, headers } = await request('GET /app/hook/deliveries', {
    ...which,
    per_page: 100,
    ...(cursor === null ? {} : { cursor }),
    headers: { authorization: `bearer ${jwt}` },
  })
  if (!Array.isArray(data)) throw notUnderstood('GET /app/hook/deliveries')
  const deliveries = data.map(item => ({
    // Octokit reads a number that is too large for a double as a BigInt, so every digit is here
    id: String(item.id),
    guid: item.guid,
    deliveredAt: Date.parse(item.delivered_at),
    redelivery: item.redelivery,
    statusCode: item.status_code,
    event: item.event,
    action: item.action,
    installationId: numberOrNull(item.installation_id),
    repositoryId: numberOrNull(item.repository_id),
  }))
  return { deliveries, next: nextCursor(headers.link) }
}

/** 202; 404 and 422 where the delivery is not kept any more. */
export async function redeliver(request: Client, jwt: string, id: string): Promise<'accepted' | 'gone'> {
  try {
    await request('POST /app/hook/deliveries/{delivery_id}/attempts', {
      // Typed as a number, which could not hold it; it only becomes a part of the path
      delivery_id: id as unknown as number,
      headers: { authorization: `bearer ${jwt}` },
    })
    return 'accepted'
  } catch (error) {
    if (error instanceof GitHubError && (error.status === 404 || error.status === 422)) return 'gone'
    throw error
  }
}

/** Octokit types every id as one that might be a BigInt; only those of deliveries are so large. */
function numberOrNull(id: number | bigint | null): number | null {
  return id === null ? null : Number(id)
}

/** `cursor` of the link to the next page. */
function nextCursor(link: string | undefined): string | null {
  const url = /<([^>]*)>; *rel="next"/.exec(link ?? '')?.[1]
  return (url && URL.parse(url)?.searchParams.get('cursor')) || null
}
