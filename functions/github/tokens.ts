/** One installation token for each installation and repository, good for that repository and for what is done there. */
import type { Clock, GitHubScope, Log } from '../ports.ts'
import { type AppAuth, type AppKey, appAuth } from './app.ts'
import type { Client } from './client.ts'
import { GitHubError, notUnderstood } from './errors.ts'

import { Memo } from './memo.ts'

export interface Token {
  readonly token: string
  readonly installationId: number
  readonly createdAt: number
  readonly expiresAt: number
}

export interface TokensOptions {
  readonly appKey: () => Promise<AppKey>
  readonly request: Client
  readonly permissions: Readonly<Record<string, string>>
  readonly clock: Clock
  readonly log: Log
}

export const MINT = 'POST /app/installations/{installation_id}/access_tokens'
const LOOKUP = 'GET /repos/{owner}/{repo}/installation'

/** Tokens last an hour; a request that starts with one must end with it. */
const MARGIN_MS = 5 * 60_000
/** Repositories whose tokens are kept: about 1 kB each. */
const KEPT = 1000

export class Tokens {
  readonly #options: TokensOptions
  readonly #tokens: Memo<Token>
  /** Installation by id of the repository, where a delivery did not name it, or named one that is gone. */
  readonly #installations = new Memo<number>(KEPT)

  constructor(options: TokensOptions) {
    this.#options = options
    this.#tokens = new Memo(KEPT, token => token.expiresAt - MARGIN_MS > options.clock.now())
  }

  /** How many tokens are kept. */
  get size(): number {
    return this.#tokens.size
  }

  /** A JWT of the App itself; a new one each time. */
  async app(): Promise<string> {
    const auth = await this.#auth()
    return (await auth({ type: 'app' })).token
  }

  get(scope: GitHubScope): Promise<Token> {
    return this.#tokens.get(keyOf(scope), () => this.#mint(scope))
  }

  /** GitHub does not take this token any more. */
  forget(scope: GitHubScope, token: Token): void {
    this.#tokens.forget(keyOf(scope), token)
  }

  /** Read anew for every JWT, of which a repository needs one an hour: a rotated key is found without a restart. */
  async #auth(): Promise<AppAuth> {
    const { appKey, clock, request } = this.#options
    return appAuth(await appKey(), clock, request)
  }

  async #mint(scope: GitHubScope): Promise<Token> {
    const key = String(scope.repository.id)
    const find = () => this.#installations.get(key, () => this.#find(scope))
    const given = scope.installationId ?? (await find())
    try {
      return await this.#buy(scope, given)
    } catch (error) {
      if (!(error instanceof GitHubError) || error.status !== 404) throw error
      this.#installations.forget(key, given)
    }
    // 404: the App was installed anew since the delivery, or is gone, or GitHub did not know who asks
    const found = await find()
    if (found === given)
      throw new GitHubError({
        operation: MINT,
        status: null,
        detail: `GitHub knows installation ${found}, but gives no token for it now`,
        documentationUrl: null,
        retryAfterSeconds: null,
      })
    return this.#buy(scope, found)
  }

  async #buy({ repository }: GitHubScope, installationId: number): Promise<Token> {
    const { clock, permissions } = this.#options
    const auth = await this.#auth()
    const createdAt = clock.now()
    const { token, expiresAt } = await auth({
      type: 'installation',
      installationId,
      repositoryIds: [repository.id],
      permissions,
      refresh: true,
    })
    const end = Date.parse(expiresAt)
    if (!token || Number.isNaN(end)) throw notUnderstood(MINT)
    return { token, installationId, createdAt, expiresAt: end }
  }

  async #find({ repository }: GitHubScope): Promise<number> {
    const { request, log } = this.#options
    const [owner, repo] = ownerAndName(repository.name)
    const authorization = `bearer ${await this.app()}`
    try {
      const { data } = await request(LOOKUP, { owner, repo, headers: { authorization } })
      if (typeof data?.id !== 'number') throw notUnderstood(LOOKUP)
      log.debug('installation found', { repository: repository.name, installation: data.id })
      return data.id
    } catch (error) {
      if (!(error instanceof GitHubError) || error.status !== 404) throw error
      throw new GitHubError({ ...error, detail: `the GitHub App is not installed on ${repository.name}` })
    }
  }
}

function keyOf({ repository, installationId }: GitHubScope): string {
  return `${installationId} ${repository.id}`
}

/** The two halves of owner/name. */
export function ownerAndName(fullName: string): [owner: string, name: string] {
  const slash = fullName.indexOf('/')
  return [fullName.slice(0, slash), fullName.slice(slash + 1)]
}
