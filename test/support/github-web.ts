/**
 * GitHub's own site on 127.0.0.1, as far as somebody signs in to an App with it, and its API behind it on the same host:
 * https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
 *
 * Fidelity: whoever sits at the browser is set here (`visitor`) and consents at once. Nobody describes this part of GitHub in
 * a form that a request could be held against; what a careful server would not take stands in `problems`.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  createServer,
  request as forward,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../functions/ports.ts'
import type { GitHubServer, ServerUser } from './github-server.ts'

export interface GitHubWebOptions {
  readonly clock: Clock
  readonly api: GitHubServer
  readonly client: { readonly id: string; readonly secret: string }
  /** What stands before /login in its paths. */
  readonly root?: string
}

interface Code {
  readonly user: ServerUser
  readonly challenge: string | null
  readonly redirectUri: string
  readonly until: number
}

/** Instead of the answer to an exchange. */
export interface WebFault {
  readonly status?: number
  readonly text?: string
  readonly connection?: 'breaks' | 'hangs'
  /** What GitHub says with status 200. */
  readonly error?: string
}

const CODE_MS = 600_000

export class GitHubWeb {
  /** Who is signed in at GitHub in the browser that comes. */
  visitor: ServerUser | 'refuses' | null = null
  /** Callback URLs of the App's settings. */
  readonly callbacks: string[] = []
  readonly problems: string[] = []
  /** Every token, code and verifier that went through here. */
  readonly secrets: string[] = []
  /** Of exchanges, oldest first. */
  readonly exchanges: URLSearchParams[] = []
  readonly #options: GitHubWebOptions
  readonly #server: Server
  readonly #codes = new Map<string, Code>()
  readonly #faults: WebFault[] = []

  private constructor(options: GitHubWebOptions) {
    this.#options = options
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async start(options: GitHubWebOptions): Promise<GitHubWeb> {
    const web = new GitHubWeb(options)
    await new Promise<void>(resolve => web.#server.listen(0, '127.0.0.1', resolve))
    return web
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** The next exchange of a code goes wrong. */
  fail(fault: WebFault): void {
    this.#faults.push(fault)
  }

  /** A code as this site hands it out, for a request that nobody made. */
  code(user: ServerUser, redirectUri: string, challenge: string | null = null): string {
    const code = randomBytes(10).toString('hex')
    this.#codes.set(code, { user, challenge, redirectUri, until: this.#options.clock.now() + CODE_MS })
    this.secrets.push(code)
    return code
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { root = '' } = this.#options
    const url = new URL(request.url!, this.url)
    if (url.pathname === `${root}/login/oauth/authorize` && request.method === 'GET')
      return this.#authorize(url.searchParams, response)
    if (url.pathname === `${root}/login/oauth/access_token` && request.method === 'POST')
      return this.#exchange(request, response)
    const { port } = new URL(this.#options.api.url)
    const { method, url: path, headers } = request
    const onward = forward({ host: '127.0.0.1', port, method, path, headers }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  }

  #authorize(query: URLSearchParams, response: ServerResponse): void {
    const given = (name: string) => query.get(name) ?? ''
    const faults = [
      given('client_id') === this.#options.client.id ? '' : 'the client is not known',
      this.callbacks.includes(given('redirect_uri')) ? '' : `no callback URL is ${given('redirect_uri')}`,
      /^[\w-]{43}$/.test(given('code_challenge')) && given('code_challenge_method') === 'S256'
        ? ''
        : 'there is no challenge',
      given('state').length >= 32 ? '' : 'the state could be guessed',
    ].filter(fault => fault !== '')
    if (faults.length > 0) {
      this.problems.push(...faults)
      response.writeHead(404).end(faults.join('; '))
      return
    }
    const back = new URL(given('redirect_uri'))
    if (this.visitor === null) {
      response.writeHead(200, { 'content-type': 'text/html' }).end('Sign in to GitHub')
      return
    }
    if (this.visitor === 'refuses') {
      back.searchParams.set('error', 'access_denied')
      back.searchParams.set('error_description', 'The user has denied your application access.')
    } else
      back.searchParams.set('code', this.code(this.visitor, given('redirect_uri'), given('code_challenge')))
    back.searchParams.set('state', given('state'))
    response.writeHead(302, { location: back.href }).end()
  }

  async #exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    this.exchanges.push(form)
    this.secrets.push(form.get('code_verifier') ?? '', form.get('code') ?? '')
    const { headers } = request
    if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded'))
      this.problems.push('no form')
    if (headers.accept !== 'application/json') this.problems.push('no JSON is asked for')
    if (!headers['user-agent']?.startsWith('tornade')) this.problems.push('the user agent is not named')
    const fault = this.#faults.shift()
    if (fault?.connection === 'breaks') return void response.destroy()
    if (fault?.connection === 'hangs') return
    const answer = fault?.error === undefined ? this.#answer(form) : { error: fault.error }
    response.writeHead(fault?.status ?? 200, { 'content-type': 'application/json; charset=utf-8' })
    response.end(fault?.text ?? JSON.stringify(answer))
  }

  /** GitHub says no with status 200, and with words that may hold anything. */
  #answer(form: URLSearchParams): object {
    const no = (error: string) => ({
      error,
      error_description: `${error}: ${form}`,
      error_uri: 'https://docs.github.com/',
    })
    const { id, secret } = this.#options.client
    if (form.get('client_id') !== id || form.get('client_secret') !== secret)
      return no('incorrect_client_credentials')
    const text = form.get('code') ?? ''
    const code = this.#codes.get(text)
    // Once, however it ends.
    this.#codes.delete(text)
    if (!code || code.until <= this.#options.clock.now()) return no('bad_verification_code')
    if (form.get('redirect_uri') !== code.redirectUri) return no('redirect_uri_mismatch')
    const verifier = form.get('code_verifier') ?? ''
    if (code.challenge !== createHash('sha256').update(verifier).digest('base64url'))
      return no('bad_verification_code')
    const token = this.#options.api.userToken(code.user)
    const refresh = `ghr_${randomBytes(36).toString('hex')}`
    this.secrets.push(token, refresh)
    return {
      access_token: token,
      expires_in: 28_800,
      refresh_token: refresh,
      refresh_token_expires_in: 15_897_600,
      token_type: 'bearer',
      scope: '',
    }
  }
}
