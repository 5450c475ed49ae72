/**
 * Signature Version 4, as much of it as two calls need: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.
 * The SDK would be a hundred times the size of all else in this folder.
 */
import { createHash, createHmac } from 'node:crypto'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
}

export interface Target {
  readonly service: string
  readonly region: string
  readonly url: URL
}

/** Headers of a signed POST to `/`. */
export function signedHeaders(
  { service, region, url }: Target,
  credentials: Credentials,
  body: string,
  headers: Readonly<Record<string, string>>,
  now: Date,
): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const signed: Record<string, string> = {
    host: url.host,
    'x-amz-date': time,
    'x-amz-security-token': credentials.sessionToken,
  }
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('x-amz-')) signed[name] = value
  }
  const names = Object.keys(signed).sort()
  const request = [
    'POST',
    '/',
    '',
    ...names.map(name => `${name}:${signed[name]}`),
    '',
    names.join(';'),
    sha256(body),
  ]
  const scope = [time.slice(0, 8), region, service, 'aws4_request']
  const key = scope.reduce<string | Buffer>(
    (parent, part) => createHmac('sha256', parent).update(part).digest(),
    `AWS4${credentials.secretAccessKey}`,
  )
  const text = ['AWS4-HMAC-SHA256', time, scope.join('/'), sha256(request.join('\n'))].join('\n')
  const signature = createHmac('sha256', key).update(text).digest('hex')
  const { host: _, ...sent } = signed
  return {
    ...headers,
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope.join('/')}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
