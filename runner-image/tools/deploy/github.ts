/** The deployment as GitHub shows it. That it cannot be recorded is told, and changes nothing else. */
import { setTimeout as sleep } from 'node:timers/promises'
import { clean } from '../../supervisor/log.ts'
import { type Image, imageText } from './forms.ts'
import { line } from './text.ts'

export interface GitHubOptions {
  readonly api: string
  readonly repository: string
  readonly token: string
  /** Commit of the workflow's own repository. */
  readonly ref: string
  readonly environment: string
  readonly run: string | null
  /** Milliseconds before a status that was not taken is told again. */
  readonly retry: number
}

export type DeploymentState = 'in_progress' | 'success' | 'failure' | 'error' | 'inactive'

export interface Recorded {
  readonly id: number
  readonly url: string
}

const PATIENCE = 10_000
const TRIES = 3

/** Nothing came, or GitHub was busy. */
class PassingError extends Error {}

export class GitHubDeployments {
  readonly #options: GitHubOptions

  constructor(options: GitHubOptions) {
    this.#options = options
  }

  /** @throws Error with a sentence */
  async create(images: readonly Image[]): Promise<Recorded> {
    const { ref, environment } = this.#options
    const { id, url } = (await this.#post('', {
      ref,
      task: 'deploy',
      // Neither merges the default branch nor asks for green checks of the commit that is being deployed by its own workflow.
      auto_merge: false,
      required_contexts: [],
      environment,
      description: clean(images.map(({ digest }) => digest).join(' '), 140),
      payload: { images: images.map(imageText) },
    })) as { id?: unknown; url?: unknown }
    if (typeof id !== 'number' || typeof url !== 'string') throw new Error('GitHub made no deployment')
    return { id, url }
  }

  /** Told again where it fails in passing: a deployment without its last status would be in progress for ever. */
  async mark(
    id: number,
    state: DeploymentState,
    description: string,
    environmentUrl: string | null,
  ): Promise<void> {
    const { run, environment, retry } = this.#options
    const status = {
      state,
      environment,
      description: clean(description, 140),
      ...(run === null ? {} : { log_url: run }),
      ...(environmentUrl === null ? {} : { environment_url: environmentUrl }),
    }
    for (let attempt = 1; ; attempt++) {
      try {
        return void (await this.#post(`/${id}/statuses`, status))
      } catch (error) {
        if (!(error instanceof PassingError) || attempt === TRIES) throw error
        await sleep(retry)
      }
    }
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const { api, repository, token } = this.#options
    let response: Response
    try {
      response = await fetch(`${api}/repos/${repository}/deployments${path}`, {
        method: 'POST',
        redirect: 'error',
        signal: AbortSignal.timeout(PATIENCE),
        headers: {
          accept: 'application/vnd.github+json',
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'user-agent': 'tornade deploy',
          'x-github-api-version': '2022-11-28',
        },
        body: JSON.stringify(body),
      })
    } catch (error) {
      throw new PassingError(`GitHub does not answer: ${line((error as Error).message, 200)}`)
    }
    const answer = (await response.json().catch(() => ({}))) as { message?: unknown }
    if (response.ok) return answer
    const hint =
      response.status === 403 || response.status === 404
        ? '; the token needs "permissions: { deployments: write }" in the workflow'
        : ''
    const Kind = response.status === 429 || response.status >= 500 ? PassingError : Error
    throw new Kind(`GitHub answers ${response.status}: ${line(String(answer.message ?? ''), 200)}${hint}`)
  }
}
