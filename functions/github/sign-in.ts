/**
 * GitHub's web flow, as a person signs in with it to the dashboard.
 * https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
 */
import { gitHubSite } from '../core/links.ts'
import type { AppClient, Clock, Log, Person, SignIn } from '../ports.ts'
import { type Client, createClient } from './client.ts'
import { GitHubError, notUnderstood, redact } from './errors.ts'

export interface SignInSettings {
  /** Root of the REST API, as in GitHubSettings. */
  readonly baseUrl?: string
  readonly timeoutMs?: number
}

export function createSignIn(
  settings: SignInSettings,
  deps: { readonly clock: Clock; readonly log: Log },
): SignIn {
  const { baseUrl = 'https://api.github.com', timeoutMs = 5_000 } = settings
  const request = createClient({ baseUrl, timeoutMs, ...deps, onPace: () => {} })
  const site = gitHubSite(baseUrl)
  return {
    url: (clientId, { state, challenge, redirectUri }) =>
      `${site}/login/oauth/authorize?${new URLSearchParams({
        client_id: clientId,
        redirect_uri: redirectUri,
        state,
        code_challenge: challenge,
        code_challenge_method: 'S256',
        // Who has no account yet is nobody who may come in.
        allow_signup: 'false',
      })}`,
    identify: async (client, grant) => {
      const token = await exchange(site, client, grant, timeoutMs)
      return token === null ? null : personOf(request, token)
    },
  }
}

const EXCHANGE = 'POST /login/oauth/access_token'

/** @returns null for a code that GitHub does not know, or not with this verifier */
async function exchange(
  site: string,
  { id, secret }: AppClient,
  { code, verifier, redirectUri }: Parameters<SignIn['identify']>[1],
  timeoutMs: number,
): Promise<string | null> {
  let status: number
  let text: string
  try {
    const response = await fetch(`${site}/login/oauth/access_token`, {
      method: 'POST',
      headers: { accept: 'application/json', 'user-agent': 'tornade' },
      body: new URLSearchParams({
        client_id: id,
        client_secret: secret,
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
      }),
      // Another address would be told the secret.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    })
    status = response.status
    text = await response.text()
  } catch (error) {
    // Not sent again: a code works once.
    throw failed(null, `there was none (${redact((error as Error).name)})`)
  }
  const { access_token: token, error } = fields(text)
  if (token) return token
  // https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
  if (error === 'bad_verification_code') return null
  if (error !== undefined) throw failed(status, redact(error))
  throw status === 200 ? notUnderstood(EXCHANGE) : failed(status, 'no explanation')
}

/** GitHub says no with status 200. */
function fields(text: string): { readonly access_token?: string; readonly error?: string } {
  try {
    const { access_token, error } = JSON.parse(text)
    return {
      ...(typeof access_token === 'string' ? { access_token } : {}),
      ...(typeof error === 'string' ? { error } : {}),
    }
  } catch {
    return {}
  }
}

function failed(status: number | null, detail: string): GitHubError {
  return new GitHubError({
    operation: EXCHANGE,
    status,
    detail,
    documentationUrl: null,
    retryAfterSeconds: null,
  })
}

async function personOf(request: Client, token: string): Promise<Person> {
  const as = { headers: { authorization: `bearer ${token}` }, request: { scope: 'user' } }
  const { data } = await request('GET /user', as)
  const { id, login } = data ?? {}
  if (typeof id !== 'number' || typeof login !== 'string') throw notUnderstood('GET /user')
  return { id, login, organisations: () => organisationsOf(request, as) }
}

const PAGE = 100
const MAX_PAGES = 10

/** Lists only organisations that installed the App: https://github.com/octokit/octokit.js/discussions/2139 */
async function organisationsOf(
  request: Client,
  as: { readonly headers: { readonly authorization: string }; readonly request: { readonly scope: string } },
): Promise<readonly number[] | null> {
  const found: number[] = []
  for (let page = 1; page <= MAX_PAGES; page++) {
    try {
      const { data } = await request('GET /user/memberships/orgs', {
        ...as,
        state: 'active',
        per_page: PAGE,
        page,
      })
      if (!Array.isArray(data)) throw notUnderstood('GET /user/memberships/orgs')
      // A billing manager is no member.
      for (const { organization, role, state } of data)
        if (state === 'active' && role !== 'billing_manager') found.push(organization.id)
      if (data.length < PAGE) break
    } catch (error) {
      const mayNot = error instanceof GitHubError && error.status === 403 && error.retryAfterSeconds === null
      if (mayNot) return null
      throw error
    }
  }
  return found
}
