/** The GitHub port on GitHub's REST API, as an App. */
import type { RefusalReport } from '../core/refusal.ts'
import type {
  Clock,
  DispatchOutcome,
  FailedDelivery,
  GitHub,
  GitHubJob,
  GitHubListedRun,
  GitHubListedRunner,
  GitHubRun,
  GitHubRunJob,
  GitHubScope,
  JitOutcome,
  Log,
  RerunOutcome,
} from '../ports.ts'
import type { AppKey } from './app.ts'
import { type Client, createClient, type Pace } from './client.ts'
import { listFailedDeliveries, redeliver } from './deliveries.ts'
import { GitHubError, NO_EXPLANATION, notUnderstood } from './errors.ts'
import { Memo } from './memo.ts'
import { MINT, ownerAndName, type Token, Tokens } from './tokens.ts'

export interface GitHubSettings {
  /** Root of the REST API: https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server. */
  readonly baseUrl?: string
  /** Where runners are registered. */
  readonly level?: 'repository' | 'organisation'
  /** At organisation level: the runner group. At repository level there is only 1. */
  readonly runnerGroupId?: number
  readonly timeoutMs?: number
}

export interface GitHubDeps {
  /** Asked for every JWT, about once an hour and repository; may throw, and is then asked again with the next call. */
  readonly appKey: () => Promise<AppKey>
  readonly clock: Clock
  readonly log: Log
  readonly onPace?: (pace: Pace) => void
  readonly wait?: (ms: number) => Promise<void>
}

const CHECK_NAME = 'tornade'
const PAGE = 100
/** Pages looked through for one thing; nobody has a thousand check runs of ours on one commit. */
const MAX_PAGES = 10
/** GitHub takes 10,000 runners in a group. */
const RUNNER_PAGES = 100
/** Limits of a check run's output; bytes, because which characters GitHub counts is not said. */
const TITLE_BYTES = 255
const SUMMARY_BYTES = 65_535
/** A new token is not known everywhere at once: https://github.com/octokit/auth-app.js/issues/65 */
const REPLICATION_MS = 5_000
const ATTEMPTS = 3
/** Calls left to whoever is in the middle of something: ending runners, and the sweep. */
const RESERVE = 50

export function createGitHub(settings: GitHubSettings, deps: GitHubDeps): GitHub {
  return new RestGitHub(settings, deps)
}

/** Headers and such of one call on behalf of an installation. */
interface As {
  readonly headers: { readonly authorization: string }
  readonly request: { readonly scope: string }
}

class RestGitHub implements GitHub {
  readonly #client: Client
  readonly #tokens: Tokens
  readonly #group: number
  readonly #organisation: boolean
  readonly #clock: Clock
  readonly #log: Log
  readonly #wait: (ms: number) => Promise<void>
  /** What set a run off does not change, and a matrix asks for it once for each of its jobs. */
  readonly #runs = new Memo<GitHubRun | null>(1000, run => run !== null)
  /** Whose budget is nearly used up → until when. */
  readonly #low = new Map<string, number>()

  constructor(settings: GitHubSettings, { appKey, clock, log, onPace = () => {}, wait = sleep }: GitHubDeps) {
    const { baseUrl = 'https://api.github.com', timeoutMs = 10_000 } = settings
    this.#organisation = settings.level === 'organisation'
    this.#group = this.#organisation ? (settings.runnerGroupId ?? 1) : 1
    this.#clock = clock
    this.#log = log
    this.#wait = wait
    const heard = (pace: Pace) => {
      this.#note(pace)
      onPace(pace)
    }
    this.#client = createClient({ baseUrl, timeoutMs, clock, log, onPace: heard })
    const registration = this.#organisation
      ? { organization_self_hosted_runners: 'write' }
      : { administration: 'write' }
    const permissions = { ...registration, actions: 'write', checks: 'write', metadata: 'read' }
    this.#tokens = new Tokens({ appKey, request: this.#client, permissions, clock, log })
  }

  #note({ scope, remaining, resetAt }: Pace): void {
    if (remaining !== null && remaining < RESERVE && resetAt !== null) this.#low.set(scope, resetAt)
  }

  async createJitConfig(scope: GitHubScope, name: string, labels: readonly string[]): Promise<JitOutcome> {
    const answer = await this.#createJitConfig(scope, name, labels)
    if (answer.outcome !== 'created') return answer
    const { installationId } = await this.#tokens.get(scope)
    const pauseUntil = this.#low.get(nameOf(installationId)) ?? 0
    return pauseUntil > this.#clock.now() ? { ...answer, pauseUntil } : answer
  }

  async #createJitConfig(scope: GitHubScope, name: string, labels: readonly string[]): Promise<JitOutcome> {
    const runner = { name, labels: [...labels], runner_group_id: this.#group, work_folder: '_work' }
    try {
      const { data } = await this.#as(scope, as =>
        this.#organisation
          ? this.#client('POST /orgs/{org}/actions/runners/generate-jitconfig', {
              ...as,
              ...runner,
              org: ownerOf(scope),
            })
          : this.#client('POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig', {
              ...as,
              ...runner,
              ...where(scope),
            }),
      )
      const { runner: created, encoded_jit_config: encodedJitConfig } = data ?? {}
      if (typeof created?.id !== 'number' || !encodedJitConfig) throw notUnderstood('generate-jitconfig')
      return { outcome: 'created', runnerId: created.id, name: created.name, encodedJitConfig }
    } catch (error) {
      return jitFailure(error)
    }
  }

  async removeRunner(scope: GitHubScope, runnerId: number): Promise<'removed' | 'gone' | 'busy'> {
    const runner = { runner_id: runnerId }
    try {
      await this.#as(scope, as =>
        this.#organisation
          ? this.#client('DELETE /orgs/{org}/actions/runners/{runner_id}', {
              ...as,
              ...runner,
              org: ownerOf(scope),
            })
          : this.#client('DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}', {
              ...as,
              ...runner,
              ...where(scope),
            }),
      )
      return 'removed'
    } catch (error) {
      if (answered(error, 404)) return 'gone'
      if (answered(error, 422)) return 'busy'
      throw error
    }
  }

  /** Servers that do not know `name` answer with all runners, so every page is looked through. */
  async findRunner(
    scope: GitHubScope,
    name: string,
  ): Promise<{ readonly id: number; readonly busy: boolean } | null> {
    const found = await this.#find(
      page => this.#runnersOf(scope, { name, per_page: PAGE, page }),
      runner => runner.name === name,
    )
    return found && { id: found.id, busy: found.busy }
  }

  async listRunners(scope: GitHubScope): Promise<readonly GitHubListedRunner[]> {
    const runners = await this.#all(page => this.#runnersOf(scope, { per_page: PAGE, page }), RUNNER_PAGES)
    return runners.map(({ id, name, busy, status }) => ({ id, name, busy, online: status === 'online' }))
  }

  async #runnersOf(
    scope: GitHubScope,
    query: { readonly name?: string; readonly per_page: number; readonly page: number },
  ) {
    const { data } = await this.#as(scope, as =>
      this.#organisation
        ? this.#client('GET /orgs/{org}/actions/runners', { ...as, ...query, org: ownerOf(scope) })
        : this.#client('GET /repos/{owner}/{repo}/actions/runners', { ...as, ...query, ...where(scope) }),
    )
    if (!Array.isArray(data?.runners)) throw notUnderstood('runners')
    return data.runners
  }

  async getJob(scope: GitHubScope, jobId: number): Promise<GitHubJob | null> {
    const answer = await orNull(
      this.#as(scope, as =>
        this.#client('GET /repos/{owner}/{repo}/actions/jobs/{job_id}', {
          ...as,
          ...where(scope),
          job_id: jobId,
        }),
      ),
    )
    if (!answer) return null
    return readJob(answer.data)
  }

  async listJobs(scope: GitHubScope, runId: number): Promise<readonly GitHubRunJob[] | null> {
    const run = { run_id: runId, filter: 'latest', per_page: PAGE } as const
    const jobs = await orNull(
      this.#all(async page => {
        const { data } = await this.#as(scope, as =>
          this.#client('GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs', {
            ...as,
            ...where(scope),
            ...run,
            page,
          }),
        )
        if (!Array.isArray(data?.jobs)) throw notUnderstood('jobs')
        return data.jobs
      }, MAX_PAGES),
    )
    if (!jobs) return null
    return jobs.map(job => ({
      ...readJob(job),
      id: Number(job.id),
      attempt: job.run_attempt ?? 1,
      workflow: job.workflow_name ?? null,
      name: job.name,
      headBranch: job.head_branch ?? null,
      headSha: job.head_sha,
      labels: job.labels,
      createdAt: momentOf(job.created_at),
    }))
  }

  async listRuns(scope: GitHubScope, status: 'queued' | 'in_progress'): Promise<readonly GitHubListedRun[]> {
    const runs = await this.#all(async page => {
      const { data } = await this.#as(scope, as =>
        this.#client('GET /repos/{owner}/{repo}/actions/runs', {
          ...as,
          ...where(scope),
          status,
          exclude_pull_requests: true,
          per_page: PAGE,
          page,
        }),
      )
      if (!Array.isArray(data?.workflow_runs)) throw notUnderstood('runs')
      return data.workflow_runs
    }, MAX_PAGES)
    return runs.map(({ id, run_attempt, event, head_branch }) => ({
      id: Number(id),
      attempt: run_attempt ?? 1,
      event,
      headBranch: head_branch,
    }))
  }

  async getRun(scope: GitHubScope, runId: number): Promise<GitHubRun | null> {
    return this.#runs.get(`${scope.repository.id} ${runId}`, () => this.#getRun(scope, runId))
  }

  async runAttempt(scope: GitHubScope, runId: number): Promise<number | null> {
    const run = await this.#askForRun(scope, runId)
    // Absent on old servers, where a run is the same when it is run again.
    return run && (run.run_attempt ?? 1)
  }

  async #getRun(scope: GitHubScope, runId: number): Promise<GitHubRun | null> {
    const run = await this.#askForRun(scope, runId)
    if (!run) return null
    const { event, head_branch, path } = run
    // null when the fork was deleted: https://github.com/github/rest-api-description/issues/1586
    const head: { readonly id: number | bigint } | null = run.head_repository
    return { event, headBranch: head_branch, headRepositoryId: head === null ? null : Number(head.id), path }
  }

  async #askForRun(scope: GitHubScope, runId: number) {
    const answer = await orNull(
      this.#as(scope, as =>
        this.#client('GET /repos/{owner}/{repo}/actions/runs/{run_id}', {
          ...as,
          ...where(scope),
          run_id: runId,
          exclude_pull_requests: true,
        }),
      ),
    )
    if (answer && typeof answer.data.event !== 'string') throw notUnderstood('run')
    return answer?.data ?? null
  }

  async cancelRun(scope: GitHubScope, runId: number): Promise<void> {
    try {
      await this.#as(scope, as =>
        this.#client('POST /repos/{owner}/{repo}/actions/runs/{run_id}/cancel', {
          ...as,
          ...where(scope),
          run_id: runId,
        }),
      )
    } catch (error) {
      if (!answered(error, 404, 409)) throw error
    }
  }

  async reportRefusal(
    scope: GitHubScope,
    check: RefusalReport,
    known: number | null,
  ): Promise<number | null> {
    try {
      const id = known ?? (await this.#findCheck(scope, check.headSha, check.externalId))
      if (id === null) return await this.#createCheck(scope, check)
      await this.#updateCheck(scope, id, check)
      return id
    } catch (error) {
      // The commit is not there for us, and will not be: the run can still be cancelled, and the ledger says why
      if (!answered(error, 404, 422)) throw error
      this.#log.error('GitHub takes no check run for this commit', {
        repository: scope.repository.name,
        commit: check.headSha,
        reason: error.detail,
      })
      return null
    }
  }

  async rerunJob(scope: GitHubScope, jobId: number): Promise<RerunOutcome> {
    try {
      await this.#as(scope, as =>
        this.#client('POST /repos/{owner}/{repo}/actions/jobs/{job_id}/rerun', {
          ...as,
          ...where(scope),
          job_id: jobId,
        }),
      )
      return { outcome: 'started' }
    } catch (error) {
      if (answered(error, 404)) return { outcome: 'gone' }
      if (!answered(error, 403, 422) || error.retryAfterSeconds !== null) throw error
      // "The workflow run containing this job is already running"
      if (/already running/i.test(error.detail)) return { outcome: 'running' }
      return { outcome: 'failed', message: error.detail }
    }
  }

  async dispatchWorkflow(
    scope: GitHubScope,
    workflow: string,
    branch: string,
    inputs: Readonly<Record<string, string>>,
  ): Promise<DispatchOutcome> {
    try {
      await this.#as(scope, as =>
        this.#client('POST /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches', {
          ...as,
          ...where(scope),
          workflow_id: workflow,
          // A short name could be that of a tag.
          ref: `refs/heads/${branch}`,
          ...(Object.keys(inputs).length === 0 ? {} : { inputs }),
        }),
      )
      return { outcome: 'started' }
    } catch (error) {
      if (!answered(error, 403, 404, 422) || error.retryAfterSeconds !== null) throw error
      return { outcome: 'failed', message: error.detail }
    }
  }

  async listFailedDeliveries(
    cursor: string | null,
  ): Promise<{ readonly deliveries: readonly FailedDelivery[]; readonly next: string | null }> {
    return listFailedDeliveries(this.#client, await this.#tokens.app(), cursor)
  }

  async redeliver(id: string): Promise<'accepted' | 'gone'> {
    return redeliver(this.#client, await this.#tokens.app(), id)
  }

  async #findCheck(scope: GitHubScope, ref: string, externalId: string): Promise<number | null> {
    const found = await this.#find(
      async page => {
        const { data } = await this.#as(scope, as =>
          this.#client('GET /repos/{owner}/{repo}/commits/{ref}/check-runs', {
            ...as,
            ...where(scope),
            ref,
            check_name: CHECK_NAME,
            filter: 'all',
            per_page: PAGE,
            page,
          }),
        )
        if (!Array.isArray(data?.check_runs)) throw notUnderstood('check-runs')
        return data.check_runs
      },
      run => run.external_id === externalId,
    )
    return found === null ? null : Number(found.id)
  }

  async #updateCheck(scope: GitHubScope, checkRunId: number, check: RefusalReport): Promise<void> {
    await this.#as(scope, as =>
      this.#client('PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}', {
        ...as,
        ...where(scope),
        check_run_id: checkRunId,
        output: outputOf(check),
      }),
    )
  }

  async #createCheck(scope: GitHubScope, check: RefusalReport): Promise<number> {
    const { data } = await this.#as(scope, as =>
      this.#client('POST /repos/{owner}/{repo}/check-runs', {
        ...as,
        ...where(scope),
        name: CHECK_NAME,
        head_sha: check.headSha,
        external_id: check.externalId,
        status: 'completed',
        conclusion: 'failure',
        output: outputOf(check),
      }),
    )
    if (typeof data?.id !== 'number') throw notUnderstood('check-run')
    return data.id
  }

  async #all<T>(load: (page: number) => Promise<T[]>, maxPages: number): Promise<T[]> {
    const all: T[] = []
    for (let page = 1; page <= maxPages; page++) {
      const items = await load(page)
      all.push(...items)
      if (items.length < PAGE) break
    }
    return all
  }

  async #find<T>(load: (page: number) => Promise<T[]>, wanted: (item: T) => boolean): Promise<T | null> {
    for (let page = 1; page <= MAX_PAGES; page++) {
      const items = await load(page)
      const found = items.find(wanted)
      if (found !== undefined) return found
      if (items.length < PAGE) return null
    }
    return null
  }

  /** Calls with the installation's token, and again where GitHub does not know that: then nothing was done. */
  async #as<T>(scope: GitHubScope, call: (as: As) => Promise<T>): Promise<T> {
    let token = await this.#tokens.get(scope)
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(asToken(token))
      } catch (error) {
        if (!isUnknownToken(error) || attempt === ATTEMPTS) throw error
        const { installationId, createdAt } = token
        if (this.#clock.now() - createdAt < REPLICATION_MS) {
          await this.#wait(attempt * 1000)
        } else if (error.status === 401) {
          const where = { repository: scope.repository.name, installation: installationId }
          this.#log.warn('GitHub does not know an installation token any more', where)
          this.#tokens.forget(scope, token)
          token = await this.#tokens.get(scope)
        } else throw error
      }
    }
  }
}

function outputOf({ title, summary }: RefusalReport) {
  return { title: cut(title, TITLE_BYTES), summary: cut(summary, SUMMARY_BYTES) }
}

interface ApiJob {
  readonly status: string
  readonly conclusion: string | null
  readonly runner_id: number | null
  readonly runner_name: string | null
  readonly started_at: string | null
  readonly completed_at: string | null
}

function readJob(job: ApiJob): GitHubJob {
  const { status, conclusion, runner_id, runner_name, started_at, completed_at } = job
  if (typeof status !== 'string') throw notUnderstood('job')
  const begun = status === 'in_progress' || status === 'completed'
  return {
    // requested and pending: held by something that opens later, as an environment does
    status: begun || status === 'queued' ? status : 'waiting',
    conclusion,
    // A job that no runner took has the runner 0, without a name
    runnerId: runner_id || null,
    runnerName: runner_name || null,
    // Before its start, GitHub gives the time when it was queued
    startedAt: begun ? momentOf(started_at) : null,
    completedAt: momentOf(completed_at),
  }
}

/** 403 too: https://github.com/octokit/auth-app.js/issues/589 (its rights can be known later than the token itself) */
function isUnknownToken(error: unknown): error is GitHubError {
  return answered(error, 401) || (answered(error, 403) && /not accessible/i.test(error.detail))
}

function asToken({ token, installationId }: Token): As {
  return {
    headers: { authorization: `token ${token}` },
    request: { scope: nameOf(installationId) },
  }
}

/** What the pace of an installation is known by. */
function nameOf(installationId: number): string {
  return `installation:${installationId}`
}

/** https://github.com/runs-on/runs-on/issues/417 */
const MAY_HAVE_NONE = `${NO_EXPLANATION}. GitHub answers so where the organisation or its enterprise lets the repository have no runners of its own: Settings, Actions, Runners.`

/** What a failed registration means; throws where it is not known whether there is one now. */
function jitFailure(error: unknown): JitOutcome {
  if (!(error instanceof GitHubError)) throw error
  const { status, retryAfterSeconds, detail } = error
  if (retryAfterSeconds !== null) return { outcome: 'paused', retryAfterSeconds }
  if (answered(error, 409)) return { outcome: 'name-taken' }
  // 401: GitHub does not know the App's key, which is nothing that a job should be refused for
  if (status === null || status >= 500 || status < 400 || status === 401 || status === 408) throw error
  if (status === 403 && detail === NO_EXPLANATION) return { outcome: 'failed', message: MAY_HAVE_NONE }
  return { outcome: 'failed', message: detail }
}

/** True for these answers to the call itself, not to the request for a token before it. */
function answered(error: unknown, ...statuses: readonly number[]): error is GitHubError {
  return (
    error instanceof GitHubError &&
    error.status !== null &&
    statuses.includes(error.status) &&
    error.operation !== MINT
  )
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (answered(error, 404)) return null
    throw error
  }
}

function where({ repository }: GitHubScope): { owner: string; repo: string } {
  const [owner, repo] = ownerAndName(repository.name)
  return { owner, repo }
}

function ownerOf({ repository }: GitHubScope): string {
  return ownerAndName(repository.name)[0]
}

function momentOf(time: string | null): number | null {
  const at = time === null ? Number.NaN : Date.parse(time)
  return Number.isNaN(at) ? null : at
}

/** The longest beginning of `text` that fits, in whole characters. */
function cut(text: string, bytes: number): string {
  const encoded = Buffer.from(text)
  if (encoded.length <= bytes) return text
  let end = bytes - 3
  while (((encoded[end] ?? 0) & 0xc0) === 0x80) end--
  return `${encoded.toString('utf8', 0, end)}…`
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
