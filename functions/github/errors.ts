/** What GitHub answers when it does not do as asked, without anything secret in it. */
import { TornadeError } from '../core/errors.ts'
import { clean } from '../core/text.ts'

export interface GitHubFailure {
  /** Route of the call, for example `GET /repos/{owner}/{repo}/actions/jobs/{job_id}`. */
  readonly operation: string
  /** null when there was no answer, or none that can be understood: the outcome is unknown. */
  readonly status: number | null
  /** GitHub's own message, or what kept its answer away; cleaned. */
  readonly detail: string
  readonly documentationUrl: string | null
  /** Set when a rate limit stood in the way: nothing was done, and nothing will be before that. */
  readonly retryAfterSeconds: number | null
}

export class GitHubError extends TornadeError implements GitHubFailure {
  readonly operation: string
  readonly status: number | null
  readonly detail: string
  readonly documentationUrl: string | null
  readonly retryAfterSeconds: number | null

  /** No `cause`: what Octokit throws holds the whole request, its credentials included. */
  constructor({ operation, status, detail, documentationUrl, retryAfterSeconds }: GitHubFailure) {
    super(
      retryAfterSeconds === null ? 'github-failed' : 'github-paused',
      status === null
        ? `The answer of GitHub to ${operation} is not known: ${detail}`
        : `GitHub answered ${status} to ${operation}: ${detail}`,
    )
    this.name = 'GitHubError'
    this.operation = operation
    this.status = status
    this.detail = detail
    this.documentationUrl = documentationUrl
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** An answer that says yes in a form that GitHub does not have: a proxy's page, for example. */
export function notUnderstood(operation: string): GitHubError {
  const detail = 'it has not the form that GitHub describes'
  return new GitHubError({ operation, status: null, detail, documentationUrl: null, retryAfterSeconds: null })
}

const DETAIL_LIMIT = 300

/** Tokens (whatever their length), App JWTs, keys, and all that is long enough to be a line of one; a commit's SHA stays. */
const SECRETS = /-----BEGIN[\s\S]*|\bgh[a-z]_[\w.-]+|\beyJ[\w-]+\.[\w.-]*|[\w+/=-]{48,}/g

export function redact(text: string): string {
  return clean(text.replace(SECRETS, '[removed]'), DETAIL_LIMIT)
}

export const NO_EXPLANATION = 'no explanation'

/** `message` of GitHub's answer and its `errors`, which are sentences or {message | field, code}. */
export function detailOf(data: unknown): string {
  if (!isRecord(data)) return NO_EXPLANATION
  const errors = Array.isArray(data.errors) ? data.errors : []
  const sentences = [data.message, ...errors.map(sentenceOf)].filter(text => typeof text === 'string')
  return redact([...new Set(sentences)].join('; ')) || NO_EXPLANATION
}

function sentenceOf(error: unknown): unknown {
  if (!isRecord(error)) return error
  return error.message ?? `${error.field ?? error.resource ?? 'something'} is ${error.code ?? 'wrong'}`
}

export function documentationOf(data: unknown): string | null {
  const url = isRecord(data) ? data.documentation_url : null
  return typeof url === 'string' && url.startsWith('https://') ? redact(url) : null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
