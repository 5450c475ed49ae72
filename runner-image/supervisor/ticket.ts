/** Takes the ticket of this runner: the JIT config that only it can take, and only once. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from './log.ts'
import { type Credentials, signedHeaders, type Target } from './sigv4.ts'

export interface TicketRequest {
  readonly region: string
  readonly table: string
  readonly waitMs: number
  readonly endpoints: Endpoints
}

/** Other addresses of what is called. */
export interface Endpoints {
  readonly dynamodb?: string | undefined
  readonly sts?: string | undefined
  /** What AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is relative to. */
  readonly credentials?: string | undefined
}

export type Ticket =
  | { readonly outcome: 'taken'; readonly jitConfig: string }
  /** Nobody armed this runner in time. */
  | { readonly outcome: 'none' }
  /** Another process with the same identity had it. */
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'failed'; readonly reason: string }

export type CredentialVariables = Readonly<Record<string, string>>

const FIRST_PAUSE_MS = 400
const LONGEST_PAUSE_MS = 2_000
const CALL_MS = 10_000
const CREDENTIALS_ORIGIN = 'http://169.254.170.2'

class AwsError extends Error {
  readonly type: string
  readonly taken: boolean
  constructor(type: string, taken: boolean) {
    super(type)
    this.type = type
    this.taken = taken
  }
}

/** No second try can change these. */
const PERMANENT = new Set(['ResourceNotFoundException', 'ValidationException'])

export async function takeTicket(
  variables: CredentialVariables,
  request: TicketRequest,
  log: Log,
): Promise<Ticket> {
  const deadline = Date.now() + request.waitMs
  let credentials: Credentials | undefined
  let key: string | undefined
  let fault: string | undefined
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    try {
      credentials ??= await fetchCredentials(variables, request.endpoints)
      key ??= await ownKey(credentials, request)
      return { outcome: 'taken', jitConfig: await take(credentials, key, request) }
    } catch (error) {
      const type = error instanceof AwsError ? error.type : describe(error)
      if (error instanceof AwsError && error.taken) return { outcome: 'gone' }
      if (PERMANENT.has(type)) return { outcome: 'failed', reason: type }
      const waits = type === 'ConditionalCheckFailedException'
      if (!waits && fault !== type) log('warn', 'ticket not asked for', { reason: type })
      fault = waits ? undefined : type
      if (Date.now() + pause > deadline)
        return fault ? { outcome: 'failed', reason: fault } : { outcome: 'none' }
    }
    await sleep(pause)
  }
}

/** https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
async function fetchCredentials(variables: CredentialVariables, endpoints: Endpoints): Promise<Credentials> {
  const relative = variables.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
  const address = relative
    ? (endpoints.credentials || CREDENTIALS_ORIGIN) + relative
    : variables.AWS_CONTAINER_CREDENTIALS_FULL_URI
  if (!address) throw new AwsError('NoCredentials', false)
  const token = variables.AWS_CONTAINER_AUTHORIZATION_TOKEN
  const answer = await fetch(address, {
    headers: token ? { authorization: token } : {},
    signal: AbortSignal.timeout(CALL_MS),
  })
  if (!answer.ok) throw new AwsError(`Credentials${answer.status}`, false)
  const { AccessKeyId, SecretAccessKey, Token } = (await answer.json()) as Record<string, unknown>
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string' || typeof Token !== 'string')
    throw new AwsError('NoCredentials', false)
  return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: Token }
}

/** Our own aws:userid, which the policy of the tickets table is written for. Needs no permission. */
async function ownKey(
  credentials: Credentials,
  { region, endpoints }: Pick<TicketRequest, 'region' | 'endpoints'>,
): Promise<string> {
  const answer = await call(
    { service: 'sts', region, url: endpointOf('sts', region, endpoints.sts) },
    credentials,
    {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'Action=GetCallerIdentity&Version=2011-06-15',
    },
  )
  const id = /<UserId>([^<]+)<\/UserId>/.exec(answer)?.[1]
  if (!id) throw new AwsError('NoIdentity', false)
  return id
}

/** One conditional update that removes the JIT config and returns it: of two askers, one gets it. */
async function take(
  credentials: Credentials,
  key: string,
  { region, table, endpoints }: TicketRequest,
): Promise<string> {
  const target = { service: 'dynamodb', region, url: endpointOf('dynamodb', region, endpoints.dynamodb) }
  const answer = await call(target, credentials, {
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.UpdateItem' },
    body: JSON.stringify({
      TableName: table,
      Key: { k: { S: key } },
      UpdateExpression: 'REMOVE j',
      ConditionExpression: 'attribute_exists(j)',
      ReturnValues: 'ALL_OLD',
      // An item without a JIT config is a ticket that was taken: no use in waiting for it.
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }),
  })
  const jitConfig = (JSON.parse(answer) as { Attributes?: { j?: { S?: string } } }).Attributes?.j?.S
  if (!jitConfig) throw new AwsError('ValidationException', false)
  return jitConfig
}

async function call(
  target: Target,
  credentials: Credentials,
  { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
): Promise<string> {
  const answer = await fetch(target.url, {
    method: 'POST',
    headers: signedHeaders(target, credentials, body, headers, new Date()),
    body,
    signal: AbortSignal.timeout(CALL_MS),
  })
  const text = await answer.text()
  if (answer.ok) return text
  const type = /"__type"\s*:\s*"(?:[^"#]*#)?(\w+)"|<Code>(\w+)<\/Code>/.exec(text)
  const name = type?.[1] ?? type?.[2] ?? `Status${answer.status}`
  throw new AwsError(name, name === 'ConditionalCheckFailedException' && /"Item"\s*:\s*\{\s*"/.test(text))
}

function endpointOf(service: string, region: string, override: string | undefined): URL {
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  return new URL(override || `https://${service}.${region}.${suffix}`)
}

/** Never the message of a network error: it can hold the address of the credentials. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'Error'
  const { code } = (error.cause ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}
