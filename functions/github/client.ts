/**
 * One Octokit for all calls: a timeout for each, one kind of error, GETs sent again once, and the pace that GitHub
 * asks for told to whoever keeps to it. Nothing else is sent again here: whether that is safe is known to the caller.
 */
import { Octokit } from '@octokit/rest'
import { TornadeError } from '../core/errors.ts'
import type { Clock, Log } from '../ports.ts'
import { detailOf, documentationOf, GitHubError, redact } from './errors.ts'

/** What the headers of an answer say of the limits. */
export interface Pace {
  /** Whose limit: `app`, or `installation:<id>`. */
  readonly scope: string
  /** GitHub's name of the limit, for example `core`; null when it is not said. */
  readonly resource: string | null
  readonly remaining: number | null
  /** Milliseconds since 1970. */
  readonly resetAt: number | null
  /** Seconds; set when this call was refused for its pace. */
  readonly retryAfter: number | null
}

export interface ClientOptions {
  readonly baseUrl: string
  readonly timeoutMs: number
  readonly clock: Clock
  readonly log: Log
  readonly onPace: (pace: Pace) => void
}

export type Client = Octokit['request']

/** @see https://github.blog/changelog/2026-03-12-rest-api-version-2026-03-10-is-now-available (GHES has the older only) */
const API_VERSION = '2022-11-28'
/** https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit */
const SECONDARY_LIMIT_SECONDS = 60
/** No limit of GitHub lasts longer. */
const LONGEST_PAUSE_SECONDS = 3600

export function createClient(options: ClientOptions): Client {
  const { log, timeoutMs } = options
  const ignore = () => {}
  const octokit = new Octokit({
    baseUrl: checkedBaseUrl(options.baseUrl),
    userAgent: 'tornade',
    // Octokit logs whole requests, credentials included; only the deprecation of a call is worth a line, and that names its URL
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    request: {
      fetch: fetchWhole,
      log: { warn: (text: string) => log.warn('a call of GitHub is deprecated', { text: redact(text) }) },
    },
  })
  octokit.hook.wrap('request', async (request, call) => {
    const operation = `${call.method} ${call.url}`
    const scope = String(call.request?.scope ?? 'app')
    call.headers['x-github-api-version'] = API_VERSION
    for (let again = call.method === 'GET'; ; again = false) {
      // In place, because an inner hook (of @octokit/rest) goes by this object, whatever it is called with:
      // https://github.com/gr2m/before-after-hook/blob/main/lib/register.js
      call.request = { ...call.request, signal: AbortSignal.timeout(timeoutMs) }
      try {
        const answer = await request(call)
        report(options, scope, answer.headers, null)
        return answer
      } catch (error) {
        const answer = answerOf(error)
        const failure = toGitHubError(operation, error, answer, options)
        if (answer) report(options, scope, answer.headers, failure.retryAfterSeconds)
        // Not after a timeout, because a second one would outlast the caller
        const passing = answer ? answer.status >= 500 : !isTimeout(error)
        if (!again || !passing) throw failure
        log.warn('GitHub is asked again', { operation, status: failure.status, reason: failure.detail })
      }
    }
  })
  return octokit.request
}

/**
 * Reads the body here, because Octokit takes a body that breaks off for an empty one:
 * https://github.com/octokit/request.js/blob/main/src/fetch-wrapper.ts (getResponseData)
 */
async function fetchWhole(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init)
  const text = await response.text()
  const { status, statusText, headers } = response
  return new Response(text === '' ? null : text, { status, statusText, headers })
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly data: unknown
}
type Headers = Readonly<Record<string, string | number | undefined>>

/** Octokit gives a call without an answer the status 500, and no `response`. */
function answerOf(error: unknown): Answer | null {
  return (error as { response?: Answer }).response ?? null
}

function isTimeout(error: unknown): boolean {
  const { cause } = error as Error
  return cause instanceof Error && cause.name === 'TimeoutError'
}

function toGitHubError(
  operation: string,
  error: unknown,
  answer: Answer | null,
  { clock, timeoutMs }: ClientOptions,
): GitHubError {
  if (answer === null) {
    const detail = isTimeout(error)
      ? `there was none within ${timeoutMs / 1000} s`
      : redact((error as Error).message)
    return new GitHubError({
      operation,
      status: null,
      detail,
      documentationUrl: null,
      retryAfterSeconds: null,
    })
  }
  const { status, data, headers } = answer
  const detail = detailOf(data)
  return new GitHubError({
    operation,
    status,
    detail,
    documentationUrl: documentationOf(data),
    retryAfterSeconds: pauseOf(status, headers, detail, clock.now()),
  })
}

/** Seconds that a rate limit asks for, or null when this is no rate limit: 403 is also the answer to a missing right. */
function pauseOf(status: number, headers: Headers, detail: string, now: number): number | null {
  if (status !== 403 && status !== 429) return null
  const retryAfter = numberOf(headers['retry-after'])
  const reset = numberOf(headers['x-ratelimit-reset'])
  const usedUp = numberOf(headers['x-ratelimit-remaining']) === 0 && reset !== null
  if (retryAfter !== null) return bounded(retryAfter)
  if (usedUp) return bounded(reset - now / 1000)
  return status === 429 || /rate limit|abuse/i.test(detail) ? SECONDARY_LIMIT_SECONDS : null
}

function bounded(seconds: number): number {
  return Math.min(LONGEST_PAUSE_SECONDS, Math.max(1, Math.ceil(seconds)))
}

function report({ onPace }: ClientOptions, scope: string, headers: Headers, retryAfter: number | null): void {
  const remaining = numberOf(headers['x-ratelimit-remaining'])
  const reset = numberOf(headers['x-ratelimit-reset'])
  if (remaining === null && reset === null && retryAfter === null) return
  const resource = headers['x-ratelimit-resource']
  onPace({
    scope,
    resource: resource === undefined ? null : redact(String(resource)),
    remaining,
    resetAt: reset === null ? null : reset * 1000,
    retryAfter,
  })
}

function numberOf(header: string | number | undefined): number | null {
  const number = Number(header ?? Number.NaN)
  return Number.isFinite(number) && number >= 0 ? number : null
}

/** GitHub's API root. Credentials go there: plain http only to this machine. */
function checkedBaseUrl(text: string): string {
  const url = URL.parse(text)
  const isLocal = url !== null && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  const works = url && (url.protocol === 'https:' || (url.protocol === 'http:' && isLocal))
  if (!works || url.username || url.password || url.search || url.hash)
    throw new TornadeError(
      'config-invalid',
      'The base URL of GitHub must be an https address such as https://api.github.com or https://HOST/api/v3.',
    )
  return url.href.replace(/\/+$/, '')
}
