/**
 * What tornade asks of the world. Everything that a function may touch is one of these interfaces; the
 * adapters in aws/ and github/ and the local stack in local/ implement them.
 *
 * Errors: a port call that throws has an unknown outcome, and its caller must be able to send it again.
 * Outcomes that decide what happens next are values, not exceptions.
 */
import type { AuditEntry } from './core/audit.ts'
import type { JobFilter } from './core/job-filter.ts'
import type { RefusalReport } from './core/refusal.ts'
import type { Rollup } from './core/rollups.ts'
import type {
  Gate,
  Job,
  JobEvent,
  JobRequest,
  JobState,
  NoticeMemory,
  RepositoryRef,
  Rerun,
  Runner,
  RunnerEvent,
  RunRefusals,
  StartRequest,
  SweepMemory,
  Usage,
} from './core/types.ts'

export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
}

export type Fields = Readonly<Record<string, unknown>>

/** Structured log. Messages are constant sentences; what varies goes into fields. Never a secret. */
export interface Log {
  debug(message: string, fields?: Fields): void
  info(message: string, fields?: Fields): void
  warn(message: string, fields?: Fields): void
  error(message: string, fields?: Fields): void
}

export interface Metrics {
  count(name: MetricName, value?: number): void
  /** As it is now. */
  gauge(name: GaugeName, value: number): void
}
/** What is emitted some times an hour, while there is anything to tell. Money is US dollars. */
export type GaugeName =
  /** Of the runners that stopped on this UTC day, and in this month. */
  | 'SpendTodayUsd'
  | 'SpendMonthUsd'
  /** That have a place. */
  | 'Runners'
/** Every metric that tornade counts; alarms in infra/ name these. */
export type MetricName =
  | 'DeliveriesAccepted'
  | 'DeliveriesIgnored'
  | 'DeliveriesRejected'
  | 'JobsLaunched'
  /** Runners started for a pool. */
  | 'StandbysLaunched'
  | 'JobsDeferred'
  | 'JobsRefused'
  | 'JobsCompleted'
  | 'RunnersReplaced'
  | 'StartFailures'
  | 'JobsLostToSpot'
  | 'JobsRunAgain'
  | 'RunnersStopped'
  | 'MessagesFailed'
  /** Events of AWS about what is no runner. */
  | 'MessagesIgnored'
  /** Tasks or builds named like a runner of which nobody knows why they were started. */
  | 'RunnersUnknown'
  /** Runners started over a spend cap that only warns. */
  | 'StartsOverSpend'
  /** Requests that a quota of the account had no room for. */
  | 'StartsOverQuota'

/** A channel in which operators are told things. */
export interface Notices {
  /**
   * @param text mrkdwn of Slack
   * @returns off while nobody has set a channel up
   * @throws TornadeError notice-failed
   */
  post(text: string): Promise<'sent' | 'off'>
}

/** Where a command was asked for in a chat. */
export interface Replies {
  /**
   * Says something in a channel, or below a message of its own there.
   * @param text mrkdwn of Slack
   * @param thread what this returned for the message that begins the thread; null for a message of its own
   * @returns the thread that this message belongs to; null, and nothing is said, while there is no token for it
   * @throws TornadeError notice-failed
   */
  say(channel: string, text: string, thread: string | null): Promise<string | null>
  /**
   * For whoever has no token, and where `say` failed.
   * @param url that came with the command. It is a capability: whoever has it can post there for half an hour
   * @param text mrkdwn of Slack, for everybody in the channel
   * @throws TornadeError notice-failed
   */
  answer(url: string, text: string): Promise<void>
}

export interface ChatSecrets {
  /** What Slack signs its requests with: the current one first, then the previous one; empty while there is none. */
  signing(): Promise<readonly string[]>
}

export interface Secrets {
  /** Webhook secrets: the current one first, then the previous one while it is being rotated. */
  webhook(): Promise<readonly [string, ...string[]]>
}

/** Of the GitHub App, as a client of GitHub's web flow. */
export interface AppClient {
  readonly id: string
  readonly secret: string
}
/** What opens the deployed dashboard. */
export interface DashboardSecrets {
  /** Of machines, for /metrics and /api; may be none. */
  readonly tokens: readonly string[]
  /** Keys of sessions: the current one first, then the previous one. `faults`: what an operator has to set before anybody can sign in. */
  readonly signIn:
    | { readonly client: AppClient; readonly sessionKeys: readonly [string, ...string[]] }
    | { readonly faults: readonly string[] }
}

/** Somebody, as GitHub knows them. */
export interface Person {
  readonly id: number
  readonly login: string
  /**
   * Ids of the organisations with the App that they are an active member of; null where the App may not see that. Asks GitHub.
   * @throws TornadeError github-failed or github-paused
   */
  organisations(): Promise<readonly number[] | null>
}
/** GitHub's web flow, with PKCE. What it hands out is used for these questions alone, and kept nowhere. */
export interface SignIn {
  /** Where a browser goes to say who it is of; `challenge` is the SHA-256 of the verifier. */
  url(
    clientId: string,
    request: { readonly state: string; readonly challenge: string; readonly redirectUri: string },
  ): string
  /**
   * Whose code this is; null where GitHub does not know it (any more).
   * @throws TornadeError github-failed or github-paused
   */
  identify(
    client: AppClient,
    grant: { readonly code: string; readonly verifier: string; readonly redirectUri: string },
  ): Promise<Person | null>
}

export type QueueName = 'launch' | 'events'
export interface QueueMessage {
  /** JSON value. */
  readonly body: unknown
  /** 0–900 s. */
  readonly delaySeconds?: number
}
export interface Queue {
  send(queue: QueueName, messages: readonly QueueMessage[]): Promise<void>
}

export type StartOutcome =
  /** `providerId` is the task ARN or the build id; `ticketKey` is the key under which that runner may take its ticket. */
  | { readonly outcome: 'started'; readonly providerId: string; readonly ticketKey: string }
  /**
   * Definitely not started. capacity: none of this kind now; quota: an account limit; throttled: too many calls;
   * permanent: the same request can never work.
   */
  | {
      readonly outcome: 'failed'
      readonly kind: 'capacity' | 'quota' | 'throttled' | 'permanent'
      readonly message: string
    }
export interface Compute {
  /** Idempotent by `request.token`: the same request again answers what the first one did. */
  start(request: StartRequest): Promise<StartOutcome>
  /** Idempotent; an unknown or stopped runner is no error. */
  stop(providerId: string, reason: string): Promise<void>
  /** What the provider says of these now, as its events would; null where it knows none of that id (any more). */
  describe(providerIds: readonly string[]): Promise<ReadonlyMap<string, RunnerEvent | null>>
  /** Ids of all tasks and builds that have not stopped; of those started before `since` some may be left out. */
  list(since: number): Promise<readonly string[]>
}

export interface RunnerLog {
  /**
   * What the task or build wrote about itself at the end of its log; null where there is nothing of it, or not yet. One
   * call that ends within seconds; whoever asks goes on without an answer.
   */
  usage(providerId: string): Promise<Usage | null>
}

export type JitOutcome =
  | {
      readonly outcome: 'created'
      readonly runnerId: number
      readonly name: string
      readonly encodedJitConfig: string
      /** Set when GitHub's budget is nearly used up: nothing more should be asked of it before. */
      readonly pauseUntil?: number
    }
  | { readonly outcome: 'name-taken' }
  | { readonly outcome: 'paused'; readonly retryAfterSeconds: number }
  | { readonly outcome: 'failed'; readonly message: string }

/** Where a call to GitHub is made on behalf of. */
export interface GitHubScope {
  readonly repository: RepositoryRef
  readonly installationId: number | null
}
export interface GitHubJob {
  readonly status: 'queued' | 'waiting' | 'in_progress' | 'completed'
  readonly conclusion: string | null
  readonly runnerId: number | null
  readonly runnerName: string | null
  readonly startedAt: number | null
  readonly completedAt: number | null
}
/** A job in the list of its run: enough to be told of it as by its delivery. */
export interface GitHubRunJob extends GitHubJob {
  readonly id: number
  readonly attempt: number
  readonly workflow: string | null
  readonly name: string
  readonly headBranch: string | null
  readonly headSha: string
  readonly labels: readonly string[]
  /** null where the server does not say. */
  readonly createdAt: number | null
}
export interface GitHubListedRun {
  readonly id: number
  readonly attempt: number
  readonly event: string
  readonly headBranch: string | null
}
export interface GitHubListedRunner {
  readonly id: number
  readonly name: string
  readonly busy: boolean
  readonly online: boolean
}
/** An attempt to deliver a webhook, as GitHub's log of the App has it. */
export interface FailedDelivery {
  /** Of this attempt. A string, because it exceeds 2^53. */
  readonly id: string
  /** X-GitHub-Delivery: the same for every attempt. */
  readonly guid: string
  readonly deliveredAt: number
  readonly redelivery: boolean
  /** Of the answer; GitHub's own 502 or 504, or 0, where there was none. */
  readonly statusCode: number
  /** X-GitHub-Event */
  readonly event: string
  readonly action: string | null
  readonly installationId: number | null
  readonly repositoryId: number | null
}
export interface GitHubRun {
  readonly event: string
  readonly headBranch: string | null
  /** null when the head repository is gone: treated as a fork. */
  readonly headRepositoryId: number | null
  readonly path: string
}
export type RerunOutcome =
  | { readonly outcome: 'started' }
  /** The run has other jobs that have not ended. */
  | { readonly outcome: 'running' }
  | { readonly outcome: 'gone' }
  /** It can never be run again, for example because it is a month old. */
  | { readonly outcome: 'failed'; readonly message: string }
export type DispatchOutcome =
  | { readonly outcome: 'started' }
  /** GitHub will not: there is no such workflow or branch, or it is not started by hand. */
  | { readonly outcome: 'failed'; readonly message: string }
/** @throws TornadeError github-paused, with what `Paused` says, where a rate limit stands in the way */
export interface GitHub {
  /** POST /repos/{o}/{r}/actions/runners/generate-jitconfig */
  createJitConfig(scope: GitHubScope, name: string, labels: readonly string[]): Promise<JitOutcome>
  /** DELETE /repos/{o}/{r}/actions/runners/{id}: 204 removed, 404 gone, 422 busy. */
  removeRunner(scope: GitHubScope, runnerId: number): Promise<'removed' | 'gone' | 'busy'>
  /** GET /repos/{o}/{r}/actions/runners?name=… ; null when there is none. */
  findRunner(
    scope: GitHubScope,
    name: string,
  ): Promise<{ readonly id: number; readonly busy: boolean } | null>
  /** GET /repos/{o}/{r}/actions/jobs/{id}; null when it does not exist. */
  getJob(scope: GitHubScope, jobId: number): Promise<GitHubJob | null>
  /** GET /repos/{o}/{r}/actions/runs/{id} */
  getRun(scope: GitHubScope, runId: number): Promise<GitHubRun | null>
  /**
   * `run_attempt` of the run as it is now: 1, and one more each time that it, or a part of it, is run again; null when
   * there is no such run.
   */
  runAttempt(scope: GitHubScope, runId: number): Promise<number | null>
  /** GET /repos/{o}/{r}/actions/runs?status=… , newest first, at most a thousand. */
  listRuns(scope: GitHubScope, status: 'queued' | 'in_progress'): Promise<readonly GitHubListedRun[]>
  /** GET /repos/{o}/{r}/actions/runs/{id}/jobs?filter=latest: the jobs of its latest attempt; null when it does not exist. */
  listJobs(scope: GitHubScope, runId: number): Promise<readonly GitHubRunJob[] | null>
  /** GET /repos/{o}/{r}/actions/runners: all that are registered where runners of this repository are. */
  listRunners(scope: GitHubScope): Promise<readonly GitHubListedRunner[]>
  /** GET /app/hook/deliveries?status=failure, newest first, kept 3 days; `cursor` is `next` of the page before. */
  listFailedDeliveries(
    cursor: string | null,
  ): Promise<{ readonly deliveries: readonly FailedDelivery[]; readonly next: string | null }>
  /** POST /app/hook/deliveries/{id}/attempts: the same delivery once more; gone where it is not kept any more. */
  redeliver(id: string): Promise<'accepted' | 'gone'>
  /** POST /repos/{o}/{r}/actions/runs/{id}/cancel; a finished run is no error. */
  cancelRun(scope: GitHubScope, runId: number): Promise<void>
  /**
   * POST /repos/{o}/{r}/actions/jobs/{id}/rerun: the job and those that depend on it, as the next attempt of the run, once
   * all of the run has ended.
   */
  rerunJob(scope: GitHubScope, jobId: number): Promise<RerunOutcome>
  /**
   * POST /repos/{o}/{r}/actions/workflows/{file}/dispatches: a new run each time that it is called.
   * @param branch never a tag or a commit, even where one has that name
   */
  dispatchWorkflow(
    scope: GitHubScope,
    workflow: string,
    branch: string,
    inputs: Readonly<Record<string, string>>,
  ): Promise<DispatchOutcome>
  /**
   * A failed check run that says this: the one that is known by its id, else the one found by `externalId`, else a new one.
   * GitHub's list lags and knows no condition, so two calls at once without the id can make two of them.
   * @returns its id; null where GitHub takes none for this commit
   */
  reportRefusal(scope: GitHubScope, check: RefusalReport, known: number | null): Promise<number | null>
}

export interface Tickets {
  /** Stores the JIT config for the one runner that may take it, unless there is one already. */
  put(ticketKey: string, encodedJitConfig: string, expiresAt: number): Promise<'stored' | 'exists'>
  /** True for a ticket that waits, and for one that was taken. */
  has(ticketKey: string): Promise<boolean>
  remove(ticketKey: string): Promise<void>
}

/** Answer of a conditional write: done, or the item that stood in its way. */
export type Put<T> = { readonly ok: true } | { readonly ok: false; readonly current: T | undefined }
export interface Store<T> {
  /** Strongly consistent. */
  get(key: string): Promise<T | undefined>
  /** Writes `item` if the stored version is `item.version - 1` (0: there is none yet). */
  put(item: T): Promise<Put<T>>
}
export interface Page<T> {
  readonly items: readonly T[]
  readonly next: string | null
}
export interface JobQuery extends JobFilter {
  readonly cursor?: string
  readonly limit: number
}
export interface Ledger {
  readonly jobs: Store<Job> & {
    /** Jobs that are not final, oldest first. May lag behind writes. */
    open(query: {
      readonly repositoryId?: number
      readonly state?: JobState
      /** Which of them are wanted. */
      readonly wanted?: (job: Job) => boolean
      readonly limit: number
    }): Promise<readonly Job[]>
    /** All jobs, newest first. */
    page(query: JobQuery): Promise<Page<Job>>
    /** Those of these keys that there are. May lag behind writes. */
    some(keys: readonly string[]): Promise<ReadonlyMap<string, Job>>
    /** Jobs that ended in this hour (2026-11-02T09, UTC) without having run. May lag behind writes. */
    unserved(hour: string): Promise<readonly Job[]>
  }
  readonly runners: Store<Runner> & {
    /** Runners that have not stopped, and those that left something behind (`cleanedAt`). May lag behind writes. */
    open(query: { readonly repositoryId?: number }): Promise<readonly Runner[]>
    page(query: { readonly cursor?: string; readonly limit: number }): Promise<Page<Runner>>
    /** Runners that stopped in this hour (2026-11-02T09, UTC). May lag behind writes. */
    stopped(hour: string): Promise<readonly Runner[]>
  }
  readonly reruns: Store<Rerun> & {
    /** Re-runs that GitHub is still to be asked for. May lag behind writes. */
    open(query: { readonly limit: number }): Promise<readonly Rerun[]>
  }
  readonly audit: Store<AuditEntry> & {
    /** Newest first. */
    page(query: { readonly cursor?: string; readonly limit: number }): Promise<Page<AuditEntry>>
  }
  readonly rollups: {
    /** Those of these keys (rollups.ts) that there are. May lag behind writes. */
    get(keys: readonly string[]): Promise<ReadonlyMap<string, Rollup>>
    /** Overwrites them one after the other, in this order. */
    put(rollups: readonly Rollup[]): Promise<void>
  }
  readonly refusals: Store<RunRefusals>
  readonly gate: { get(): Promise<Gate>; put(gate: Gate): Promise<Put<Gate>> }
  readonly sweep: { get(): Promise<SweepMemory>; put(memory: SweepMemory): Promise<Put<SweepMemory>> }
  readonly notices: { get(): Promise<NoticeMemory>; put(memory: NoticeMemory): Promise<Put<NoticeMemory>> }
}

export interface Ports {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly secrets: Secrets
  readonly chatSecrets: ChatSecrets
  readonly notices: Notices
  readonly replies: Replies
  readonly queue: Queue
  readonly compute: Compute
  readonly runnerLog: RunnerLog
  readonly github: GitHub
  readonly tickets: Tickets
  readonly ledger: Ledger
}

/** What the queues carry. */
export type LaunchMessage =
  | { readonly kind: 'job'; readonly request: JobRequest; readonly queuedAt: number }
  /** The runner `after` is lost to the job: start another, unless that has happened already. */
  | {
      readonly kind: 'relaunch'
      readonly jobKey: string
      readonly after: string
      readonly cause: 'retry' | 'replacement'
    }
  /** A claim was interrupted: carry it on once its lease is over. */
  | { readonly kind: 'resume'; readonly jobKey: string }
  /** A pool wants a runner of this name. */
  | {
      readonly kind: 'standby'
      readonly runner: string
      readonly repository: RepositoryRef
      readonly ownerId: number
      readonly installationId: number | null
      readonly labels: readonly string[]
    }
  /** Somebody else was telling GitHub of the refused jobs of this run: have they told of this one? */
  | { readonly kind: 'refusal'; readonly request: JobRequest }
  /** A place may be free: look at the gate. */
  | { readonly kind: 'wake' }
export type EventsMessage =
  | JobEvent
  /** What AWS would have told, had its event not been lost. */
  | RunnerEvent
  /** A runner that has stopped left its ticket or its registration behind. */
  | { readonly kind: 'clean-up'; readonly runner: string }
  /** Ask again whether a deregistered runner is still without a job, and stop it if so. */
  | { readonly kind: 'stop-if-idle'; readonly runner: string }
  /** A job was lost to Spot: ask GitHub to run it again, or ask once more. */
  | { readonly kind: 'rerun'; readonly rerun: string }
  /** Somebody asked for a change in a chat: its key in the audit, and where the answer goes. */
  | { readonly kind: 'chat'; readonly audit: string; readonly respondTo: string }
