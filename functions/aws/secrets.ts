/**
 * Secrets from SSM's Parameter Store, kept in memory for some minutes.
 *
 * aws4fetch instead of the SDK, for the webhook's sake: one call does not pay for the import of a whole client.
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
 */
import { AwsClient } from 'aws4fetch'
import { TornadeError } from '../core/errors.ts'
import type { ChatSecrets, Clock, DashboardSecrets, Secrets } from '../ports.ts'

/** Names of parameters. */
export interface WebhookSecretNames {
  readonly webhook: string
  /** May be without a parameter: it holds the secret before the current one while that is being rotated. */
  readonly webhookPrevious: string
}

/** Names of parameters. */
export interface AppKeyNames {
  readonly appId: string
  readonly appPrivateKey: string
}

export interface AppKey {
  readonly appId: string
  /** PEM. */
  readonly privateKey: string
}

/** Names of parameters. */
export interface DashboardSecretNames {
  readonly clientId: string
  readonly clientSecret: string
  readonly sessionKey: string
  /** May be without a parameter: it holds the key before the current one, until the sessions under it are over. */
  readonly sessionKeyPrevious: string
  /** May be without a parameter: a line for each token. */
  readonly tokens: string
}

/** Values by name, without those that do not exist. At most 10 names. */
export type ReadParameters = (names: readonly string[]) => Promise<ReadonlyMap<string, string>>

/**
 * How long a value is believed. A new webhook secret is put here first and given to GitHub this much later, with the old
 * one as the previous: no delivery in between is turned away.
 */
export const SECRETS_TTL_MS = 5 * 60_000

export class SsmSecrets implements Secrets {
  readonly #webhook: Cached<readonly [string, ...string[]]>

  constructor(names: WebhookSecretNames, read: ReadParameters = ssmParameters(), clock: Clock = Date) {
    this.#webhook = new Cached<readonly [string, ...string[]]>(clock, async () => {
      const values = await read([names.webhook, names.webhookPrevious])
      const previous = values.get(names.webhookPrevious)
      const current = line(existing(values, names.webhook))
      return previous === undefined ? [current] : [current, line(previous)]
    })
  }

  webhook(): Promise<readonly [string, ...string[]]> {
    return this.#webhook.get()
  }
}

/** What GitHub's App signs its tokens with. Apart from the webhook's secrets: no function may read both. */
export function ssmAppKey(
  names: AppKeyNames,
  read: ReadParameters = ssmParameters(),
  clock: Clock = Date,
): () => Promise<AppKey> {
  const cached = new Cached(clock, async () => {
    const values = await read([names.appId, names.appPrivateKey])
    return { appId: line(existing(values, names.appId)), privateKey: existing(values, names.appPrivateKey) }
  })
  return () => cached.get()
}

/** Characters of a key or token that nobody guesses: 16 bytes in hexadecimal. */
export const SHORTEST_SECRET = 32

/** What opens the dashboard. That something is not there, or too short, is part of the answer: only so much is closed. */
export function ssmDashboardSecrets(
  names: DashboardSecretNames,
  read: ReadParameters = ssmParameters(),
  clock: Clock = Date,
): () => Promise<DashboardSecrets> {
  const load = async (): Promise<DashboardSecrets> => {
    const values = await read(Object.values(names))
    const value = (name: string) => line(values.get(name) ?? '')
    const required = [names.clientId, names.clientSecret, names.sessionKey]
    const keys = [names.sessionKey, names.sessionKeyPrevious]
    const faults = [
      ...required.filter(name => value(name) === '').map(name => `${name} is missing`),
      ...keys
        .filter(name => value(name) !== '' && value(name).length < SHORTEST_SECRET)
        .map(name => `${name} is shorter than ${SHORTEST_SECRET} characters`),
    ]
    const lines = (values.get(names.tokens) ?? '').split('\n').map(text => text.trim())
    const previous = value(names.sessionKeyPrevious)
    return {
      tokens: lines.filter(token => token.length >= SHORTEST_SECRET),
      signIn:
        faults.length > 0
          ? { faults }
          : {
              client: { id: value(names.clientId), secret: value(names.clientSecret) },
              sessionKeys: [value(names.sessionKey), ...(previous === '' ? [] : [previous])],
            },
    }
  }
  const cached = new Cached(clock, load, ({ signIn }) => !('faults' in signIn))
  return () => cached.get()
}

/**
 * The release of the runner program in the images in use, as their builder wrote it down: of two architectures the older one,
 * which GitHub gives up first. null before the first image.
 */
export function ssmRunnerVersion(
  names: readonly string[],
  read: ReadParameters = ssmParameters(),
  clock: Clock = Date,
): () => Promise<{ readonly version: string; readonly releasedAt: number } | null> {
  const cached = new Cached(clock, async () => {
    const releases = [...(await read(names)).values()].flatMap(value => {
      const [version = '', published = ''] = line(value).split(' ')
      const releasedAt = Date.parse(published)
      return /^\d+\.\d+\.\d+$/.test(version) && !Number.isNaN(releasedAt) ? [{ version, releasedAt }] : []
    })
    return releases.sort((a, b) => a.releasedAt - b.releasedAt)[0] ?? null
  })
  return () => cached.get()
}

/** One value that may be missing: undefined while it is. */
export function ssmOptional(
  name: string,
  read: ReadParameters = ssmParameters(),
  clock: Clock = Date,
): () => Promise<string | undefined> {
  const cached = new Cached(clock, async () => {
    const value = (await read([name])).get(name)
    return value === undefined ? undefined : line(value)
  })
  return () => cached.get()
}

/** Names of parameters; either may be missing, and with both nothing is believed. */
export function ssmChatSecrets(
  names: { readonly signing: string; readonly signingPrevious: string },
  read: ReadParameters = ssmParameters(),
  clock: Clock = Date,
): ChatSecrets {
  const cached = new Cached(clock, async () => {
    const values = await read([names.signing, names.signingPrevious])
    return [names.signing, names.signingPrevious]
      .map(name => line(values.get(name) ?? ''))
      .filter(secret => secret.length >= SHORTEST_SECRET)
  })
  return { signing: () => cached.get() }
}

/** A value that is loaded once for all who ask meanwhile, and again when it is old. A failure is theirs alone. */
class Cached<T> {
  readonly #clock: Clock
  readonly #load: () => Promise<T>
  readonly #lasts: (value: T) => boolean
  #fresh: { readonly value: T; readonly until: number } | undefined
  #loading: Promise<T> | undefined

  constructor(clock: Clock, load: () => Promise<T>, lasts: (value: T) => boolean = () => true) {
    this.#clock = clock
    this.#load = load
    this.#lasts = lasts
  }

  get(): Promise<T> {
    if (this.#fresh && this.#clock.now() < this.#fresh.until) return Promise.resolve(this.#fresh.value)
    this.#loading ??= this.#refresh().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #refresh(): Promise<T> {
    const until = this.#clock.now() + SECRETS_TTL_MS
    const value = await this.#load()
    if (this.#lasts(value)) this.#fresh = { value, until }
    return value
  }
}

function existing(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name)
  if (value === undefined)
    throw new TornadeError(
      'config-unreadable',
      `SSM has no parameter ${name}. docs/install.md says what goes there.`,
    )
  return value
}

/** A value that was put from a file ends as the file does. */
function line(value: string): string {
  return value.replace(/\r?\n$/, '')
}

export interface SsmOptions {
  readonly region?: string
  readonly endpoint?: string
  readonly credentials?: () => {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  }
}

const ATTEMPTS = 3
/** Three of them, and the waits between, are less than GitHub's patience of 10 seconds. */
const TIMEOUT_MS = 2_500
const FIRST_WAIT_MS = 50

/** Reads through the endpoint, region and credentials of the Lambda it runs in, unless told otherwise. */
export function ssmParameters(options: SsmOptions = {}): ReadParameters {
  const region = options.region ?? process.env.AWS_REGION ?? 'us-east-1'
  const endpoint =
    options.endpoint ??
    process.env.AWS_ENDPOINT_URL_SSM ??
    process.env.AWS_ENDPOINT_URL ??
    `https://ssm.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
  const credentials = options.credentials ?? environmentCredentials
  return async names => {
    const client = new AwsClient({ ...credentials(), region, service: 'ssm', retries: 0 })
    for (let attempt = 1; ; attempt++) {
      const answer = await ask(client, endpoint, names)
      if ('values' in answer) return answer.values
      if (!answer.again || attempt === ATTEMPTS) throw answer.error
      await new Promise(resolve => setTimeout(resolve, FIRST_WAIT_MS * 2 ** attempt * Math.random()))
    }
  }
}

type Answer =
  | { readonly values: ReadonlyMap<string, string> }
  | { readonly error: Error; readonly again: boolean }

async function ask(client: AwsClient, endpoint: string, names: readonly string[]): Promise<Answer> {
  let response: Response
  let body: GetParametersAnswer
  try {
    response = await client.fetch(endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'AmazonSSM.GetParameters',
      },
      body: JSON.stringify({ Names: names, WithDecryption: true }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    body = (await response.json()) as GetParametersAnswer
  } catch (error) {
    return { error: new Error('SSM GetParameters got no answer', { cause: error }), again: true }
  }
  if (response.ok) return { values: new Map(body.Parameters?.map(({ Name, Value }) => [Name, Value])) }
  const type = body.__type?.split('#').at(-1) ?? `status ${response.status}`
  // Of messages only this one is kept: that of a wrong signature quotes the request, session token included.
  if (type === 'AccessDeniedException')
    return {
      error: new TornadeError('config-unreadable', `SSM GetParameters: ${body.message ?? type}`),
      again: false,
    }
  return {
    error: new Error(`SSM GetParameters failed: ${type}`),
    again: response.status >= 500 || /Throttl|TooManyRequests/.test(type),
  }
}

interface GetParametersAnswer {
  readonly Parameters?: readonly { readonly Name: string; readonly Value: string }[]
  readonly __type?: string
  readonly message?: string
}

/** Lambda renews them by starting the function anew. */
export function environmentCredentials() {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY)
    throw new TornadeError('config-unreadable', 'There are no credentials of AWS in the environment.')
  return {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    ...(AWS_SESSION_TOKEN ? { sessionToken: AWS_SESSION_TOKEN } : {}),
  }
}
