/**
 * Checks Signature Version 4 as AWS does: by making the signature anew.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
import { createHash, createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export interface Signed {
  readonly accessKeyId: string
  readonly region: string
  readonly service: string
  /** Names of the headers that the signature covers. */
  readonly headers: readonly string[]
}

const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/, ]+)\/(\d{8})\/([\w-]+)\/([\w-]+)\/aws4_request, ?SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})$/

/** @returns what is wrong with the signature, as text */
export function readSignature(
  request: {
    readonly method: string
    readonly path: string
    readonly headers: IncomingHttpHeaders
    readonly body: string
  },
  secretOf: (accessKeyId: string) => string | undefined,
): Signed | string {
  const { headers } = request
  const match = FORM.exec(headers.authorization ?? '')
  if (!match) return 'the request is not signed'
  const [, accessKeyId, day, region, service, names, signature] = match as unknown as string[]
  const signedHeaders = names!.split(';')
  if (signedHeaders.join() !== signedHeaders.toSorted().join()) return 'signed headers are not in order'
  for (const name of [
    'host',
    'x-amz-date',
    'x-amz-target',
    ...(headers['x-amz-security-token'] ? ['x-amz-security-token'] : []),
  ])
    if (!signedHeaders.includes(name)) return `${name} is not signed`
  const date = String(headers['x-amz-date'])
  if (!/^\d{8}T\d{6}Z$/.test(date) || !date.startsWith(day!))
    return 'x-amz-date is not the date of the signature'
  const secret = secretOf(accessKeyId!)
  if (secret === undefined) return 'the access key is unknown'
  const scope = `${day}/${region}/${service}/aws4_request`
  const [path, query = ''] = request.path.split('?')
  const canonical = [
    request.method,
    path,
    query,
    ...signedHeaders.map(
      name =>
        `${name}:${String(headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}`,
    ),
    '',
    names,
    sha256(request.body),
  ].join('\n')
  const key = [day!, region!, service!, 'aws4_request'].reduce<string | Buffer>(
    (key, part) => hmac(key, part).digest(),
    `AWS4${secret}`,
  )
  const expected = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).digest('hex')
  if (expected !== signature) return 'the signature is wrong'
  return { accessKeyId: accessKeyId!, region: region!, service: service!, headers: signedHeaders }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string) {
  return createHmac('sha256', key).update(text)
}
