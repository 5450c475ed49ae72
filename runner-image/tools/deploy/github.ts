/** The deployment as GitHub shows it. That it cannot be recorded is told, and changes nothing else. */
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
}

export type DeploymentState = 'in_progress' | 'success' | 'failure' | 'error' | 'inactive'

export interface Recorded {
  readonly id: number
  readonly url: string
}

const PATIENCE = 10_000

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

  async mark(
    id: number,
    state: DeploymentState,
    description: string,
    environmentUrl: string | null,
  ): Promise<void> {
    const { run, environment } = this.#options
    await this.#post(`/${id}/statuses`, {
      state,
      environment,
      description: clean(description, 140),
      ...(run === null ? {} : { log_url: run }),
      ...(environmentUrl === null ? {} : { environment_url: environmentUrl }),
    })
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
      throw new Error(`GitHub does not answer: ${line((error as Error).message, 200)}`)
    }
    const answer = (await response.json().catch(() => ({}))) as { message?: unknown }
    if (response.ok) return answer
    const hint =
      response.status === 403 || response.status === 404
        ? '; the token needs "permissions: { deployments: write }" in the workflow'
        : ''
    throw new Error(`GitHub answers ${response.status}: ${line(String(answer.message ?? ''), 200)}${hint}`)
  }
}
