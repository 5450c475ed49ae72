/**
 * The three addresses that the supervisor calls, on loopback: the credentials of the container, STS and DynamoDB with one
 * table of tickets. Every signature is checked against one made by aws4fetch.
 */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AwsV4Signer } from 'aws4fetch'

export interface FakeAws {
  readonly origin: string
  readonly table: string
  readonly userId: string
  /** Secrets that must not show up anywhere. */
  readonly canaries: { readonly path: string; readonly token: string; readonly keys: readonly string[] }
  /** Environment of a container whose role these credentials belong to. */
  readonly environment: Readonly<Record<string, string>>
  /** What was asked, in order: `credentials`, `sts`, `take`, `stats`, and `refused: …`. */
  readonly calls: string[]
  /** Answers of DynamoDB that come before any other: an error type each. */
  readonly errors: string[]
  /** What the metadata of the task says of its one container. */
  used: { readonly cpuSeconds: number; readonly memoryMiB: number }
  put(jitConfig: string): void
  close(): Promise<void>
}

const TOKEN = 'canary-authorization-token'
const REGION = 'eu-west-1'

export async function startFakeAws(id: string): Promise<FakeAws> {
  const path = `/v2/credentials/canary-address-${id}`
  const keys = {
    accessKeyId: `AKIACANARY${id}`,
    secretAccessKey: `canary-secret-${id}`,
    sessionToken: `canary-session-${id}`,
  }
  const table = 'tornade-test-tickets'
  const userId = `AROATEST:task-${id}`
  const items = new Map<string, { j?: { S: string } }>()
  const calls: string[] = []
  const errors: string[] = []

  const answer = async (request: IncomingMessage, body: string): Promise<[number, unknown]> => {
    if (request.url === path) {
      if (request.headers.authorization !== TOKEN) return refuse('authorization token')
      calls.push('credentials')
      const { accessKeyId, secretAccessKey, sessionToken } = keys
      return [200, { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken }]
    }
    if (request.url === `/v4/canary-metadata-${id}/task/stats`) {
      calls.push('stats')
      const { cpuSeconds, memoryMiB } = aws.used
      const cpu_stats = { cpu_usage: { total_usage: cpuSeconds * 1e9 } }
      return [200, { runner: { cpu_stats, memory_stats: { usage: memoryMiB * 1024 * 1024, stats: {} } } }]
    }
    const target = request.headers['x-amz-target']
    const service = target ? 'dynamodb' : 'sts'
    if (!(await isSigned(request, body, service))) return refuse('signature')
    if (service === 'sts') {
      if (body !== 'Action=GetCallerIdentity&Version=2011-06-15') return refuse('STS request')
      calls.push('sts')
      return [
        200,
        `<GetCallerIdentityResponse><GetCallerIdentityResult><UserId>${userId}</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>`,
      ]
    }
    return target === 'DynamoDB_20120810.UpdateItem' ? update(JSON.parse(body)) : refuse('action')
  }
  const refuse = (what: string): [number, unknown] => {
    calls.push(`refused: ${what}`)
    return [403, { __type: 'com.amazon.coral.service#AccessDeniedException', message: what }]
  }
  const update = (input: Record<string, unknown>): [number, unknown] => {
    calls.push('take')
    const { Key, ...rest } = input
    const expected = {
      TableName: table,
      UpdateExpression: 'REMOVE j',
      ConditionExpression: 'attribute_exists(j)',
      ReturnValues: 'ALL_OLD',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }
    if (JSON.stringify(rest) !== JSON.stringify(expected)) return refuse('update')
    const key = (Key as { k?: { S?: string } }).k?.S
    if (key !== userId) return refuse('leading key')
    const error = errors.shift()
    if (error) return [400, { __type: `com.amazonaws.dynamodb.v20120810#${error}` }]
    const item = items.get(key)
    if (!item?.j)
      return [
        400,
        {
          __type: 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException',
          message: 'The conditional request failed',
          ...(item && { Item: { k: { S: key } } }),
        },
      ]
    items.set(key, {})
    return [200, { Attributes: { k: { S: key }, j: item.j } }]
  }

  const isSigned = async (request: IncomingMessage, body: string, service: string): Promise<boolean> => {
    const sent = request.headers.authorization ?? ''
    const names = /SignedHeaders=([^,]+)/.exec(sent)?.[1]?.split(';') ?? []
    if (!['host', 'x-amz-date', 'x-amz-security-token'].every(name => names.includes(name))) return false
    const signer = new AwsV4Signer({
      ...keys,
      service,
      region: REGION,
      method: 'POST',
      url: `http://${request.headers.host}/`,
      headers: Object.fromEntries(
        names.filter(name => name !== 'host').map(name => [name, String(request.headers[name])]),
      ),
      body,
      datetime: String(request.headers['x-amz-date']),
    })
    return (await signer.sign()).headers.get('authorization') === sent
  }

  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const [status, content] = await answer(request, body)
    response.writeHead(status).end(typeof content === 'string' ? content : JSON.stringify(content))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const aws: FakeAws = {
    origin,
    table,
    userId,
    canaries: { path, token: TOKEN, keys: Object.values(keys) },
    environment: {
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: path,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: TOKEN,
      TORNADE_CREDENTIALS_ORIGIN: origin,
      AWS_ENDPOINT_URL_DYNAMODB: origin,
      AWS_ENDPOINT_URL_STS: origin,
      AWS_REGION: REGION,
      TORNADE_TICKETS_TABLE: table,
      ECS_CONTAINER_METADATA_URI_V4: `${origin}/v4/canary-metadata-${id}`,
    },
    calls,
    errors,
    used: { cpuSeconds: 100, memoryMiB: 64 },
    put: jitConfig => void items.set(userId, { j: { S: jitConfig } }),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return aws
}
