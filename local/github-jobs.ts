/** What the GitHub double knows of a job. */
import type { GitHubRunnerRef } from '../functions/core/types.ts'
import type { GitHubJob, GitHubRunJob } from '../functions/ports.ts'
import type { LocalClock, Timer } from './clock.ts'
import type { Registration } from './github-runners.ts'
import type {
  Conclusion,
  Envelope,
  JobIdentity,
  PayloadJob,
  PayloadMoment,
  PayloadRepository,
} from './payloads.ts'
import type { JobLoad } from './usage.ts'

export type DoubleRepository = PayloadRepository

/** A job that GitHub queues. */
export interface DoubleJob extends PayloadJob {
  /** Event of its run, for example push. */
  readonly event: string
  /** Differs from the repository's own id for a fork; null when the head repository is gone. */
  readonly headRepositoryId: number | null
  /** Held by an environment until `openGate`. */
  readonly gate?: boolean
  readonly script?: JobScript
  /** What its runner is handed; where nothing is said, what GitHub hands out for its event and branch. */
  readonly handed?: HandedFacts
  readonly load?: JobLoad
}

/** What a run does not say of itself before a runner has it. */
export interface HandedFacts {
  /** GITHUB_REF, for example of a tag. */
  readonly ref?: string
  /** GITHUB_REF_PROTECTED. Where nothing is said, the default branch is protected and nothing else. */
  readonly refProtected?: boolean
  /** Of a `workflow_run`: the head repository of the run that it follows. */
  readonly followsRepositoryId?: number | null
}

/** Recorded behaviour of one attempt of a job. What is absent is made up from its id. */
export interface JobScript {
  /** From the moment a runner acquires it, at speed 1. */
  readonly durationMs?: number
  readonly conclusion?: Conclusion
  /** When somebody cancels it; milliseconds since 1970. Before its start: it never starts. */
  readonly cancelAt?: number
}

/** What a payload does not say of its run. */
export interface RunFacts {
  readonly event?: string
  readonly headRepositoryId?: number | null
}

/** What the runner program learns of the job that it is offered. */
export interface AssignedJob {
  /** `<job id>-<run attempt>` */
  readonly key: string
  readonly jobId: number
  readonly attempt: number
  readonly runId: number
  readonly repository: DoubleRepository
  readonly workflow: string | null
  readonly name: string
  readonly labels: readonly string[]
  readonly event: string
  readonly headBranch: string | null
  readonly headSha: string
  readonly headRepositoryId: number | null
  /** GITHUB_REF. The number of a pull request is not known: it is always 1. */
  readonly ref: string
  /** GITHUB_HEAD_REF: the branch of a pull request, else empty. */
  readonly headRef: string
  readonly refProtected: boolean
  readonly followsRepositoryId: number | null
  readonly load: JobLoad | null
}

/**
 * waiting: behind a gate. queued: no runner yet. matched: a runner is chosen, and nobody knows yet. offered: sent to
 * that runner, which may acquire it. From matched and offered a job can go back to queued.
 */
export type Phase = 'waiting' | 'queued' | 'matched' | 'offered' | 'running' | 'completed'

export interface JobRecord {
  readonly key: string
  readonly job: DoubleJob
  readonly createdAt: number
  script: JobScript
  phase: Phase
  /** Its place in the line, and since when; null before it is ready for a runner. */
  queued: { readonly order: number; readonly at: number } | null
  startedAt: number | null
  completedAt: number | null
  conclusion: Conclusion | null
  /** Somebody wants it cancelled, and it runs. */
  cancelling: boolean
  /** The runner that it is matched with, offered to or running on. */
  runner: Registration<AssignedJob> | null
  /** The runner that acquired it; stays when it is completed. */
  ranOn: GitHubRunnerRef | null
  /** What happens to it next by itself, depending on its phase. */
  next: { readonly at: number; readonly timer: Timer } | null
  /** The scripted cancellation. */
  cancellation: Timer | null
  /** For deliveries still to come; null once it is completed, because payloads are large. */
  source: JobSource | null
}

export interface JobSource {
  readonly envelope: Envelope
  /** The `workflow_job` of the delivery that made the job known, for jobs that came from outside. */
  readonly base?: JobIdentity
}

/** How GitHub sees a job now. */
export interface JobView extends GitHubJob {
  readonly job: DoubleJob
  /** When it became ready for a runner; null behind a gate. */
  readonly queuedAt: number | null
}

export function newRecord(job: DoubleJob, createdAt: number, source: JobSource): JobRecord {
  return {
    key: jobKey(job),
    job,
    createdAt,
    script: {},
    phase: 'waiting',
    queued: null,
    startedAt: null,
    completedAt: null,
    conclusion: null,
    cancelling: false,
    runner: null,
    ranOn: null,
    next: null,
    cancellation: null,
    source,
  }
}

/** One thing at a time happens to a job by itself; the next replaces the one before. */
export function plan(clock: LocalClock, record: JobRecord, at: number, run: () => void): void {
  record.next?.timer.cancel()
  record.next = { at, timer: clock.at(at, run) }
}

export function jobKey(job: { readonly jobId: number; readonly attempt: number }): string {
  return `${job.jobId}-${job.attempt}`
}

/** The job as GitHub's API and its payloads tell of it. */
export function momentOf(record: JobRecord): PayloadMoment {
  return {
    status: statusOf(record),
    conclusion: record.conclusion,
    createdAt: record.createdAt,
    // A job that no runner took has its end as its start: https://github.com/actions/actions-runner-controller/pull/2520
    startedAt: record.startedAt ?? record.completedAt,
    completedAt: record.completedAt,
    runner: record.ranOn,
  }
}

function statusOf(record: JobRecord): PayloadMoment['status'] {
  if (record.phase === 'running') return 'in_progress'
  return record.phase === 'waiting' || record.phase === 'completed' ? record.phase : 'queued'
}

export function apiOf(record: JobRecord): GitHubJob {
  const { status, conclusion, startedAt, completedAt, runner } = momentOf(record)
  return {
    status,
    conclusion,
    runnerId: runner?.id ?? null,
    runnerName: runner?.name ?? null,
    startedAt,
    completedAt,
  }
}

export function listedJob(record: JobRecord): GitHubRunJob {
  const { jobId, attempt, workflow, name, headBranch, headSha, labels } = record.job
  const facts = { workflow, name, headBranch, headSha, labels }
  // GitHub writes times without milliseconds.
  const createdAt = Math.floor(record.createdAt / 1000) * 1000
  return { ...apiOf(record), id: jobId, attempt, ...facts, createdAt }
}

export function viewOf(record: JobRecord): JobView {
  return { ...apiOf(record), job: record.job, queuedAt: record.queued?.at ?? null }
}

export function assignedJob(job: DoubleJob): AssignedJob {
  const { jobId, attempt, runId, repository, workflow, name, labels, handed = {} } = job
  const { event, headBranch, headSha, headRepositoryId } = job
  const { ref = refOf(job), followsRepositoryId = repository.id } = handed
  const { refProtected = ref === branchRef(repository.defaultBranch) } = handed
  const headRef = HAVE_HEAD_REF.has(event) ? (headBranch ?? '') : ''
  const commit = { event, headBranch, headSha, headRepositoryId, ref, headRef }
  const rest = { refProtected, followsRepositoryId, load: job.load ?? null }
  return { key: jobKey(job), jobId, attempt, runId, repository, workflow, name, labels, ...commit, ...rest }
}

/** https://docs.github.com/en/actions/reference/workflows-and-actions/variables */
const HAVE_HEAD_REF: ReadonlySet<string> = new Set(['pull_request', 'pull_request_target'])

/** GITHUB_REF by event: https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows */
function refOf({ event, headBranch, repository }: DoubleJob): string {
  switch (event) {
    case 'pull_request':
    case 'pull_request_review':
    case 'pull_request_review_comment':
      return 'refs/pull/1/merge'
    case 'pull_request_target':
    case 'workflow_run':
    case 'issue_comment':
    case 'schedule':
      return branchRef(repository.defaultBranch)
    case 'release':
      return `refs/tags/${headBranch}`
    default:
      return branchRef(headBranch ?? repository.defaultBranch)
  }
}

function branchRef(branch: string): string {
  return `refs/heads/${branch}`
}

/** A number from 0 to 1 that looks random and is always the same for the same text: FNV-1a, then mixed well. */
export function fraction(seed: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < seed.length; index++)
    hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/** A whole number in the range, picked by a hash of the seed. */
export function between([least, most]: readonly [number, number], seed: string): number {
  return Math.round(least + (most - least) * fraction(seed))
}
