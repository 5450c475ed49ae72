/**
 * The shapes that every part of tornade shares. Data only: everything here can be written as JSON,
 * so that the same item lives in memory on a laptop and in DynamoDB in an account.
 *
 * Times are milliseconds since 1970 (UTC). Money is integer micro-dollars. Memory and disk are GiB.
 */

import type { DeferReason } from './errors.ts'

export type { DeferReason }

export type Arch = 'x64' | 'arm64'
export type Compute = 'fargate' | 'codebuild'
/** Capacity that a job asks for; `spot` may fall back to on-demand, `spot-only` may not. */
export type SpecCapacity = 'on-demand' | 'spot' | 'spot-only'
/** Capacity that a runner was started on. */
export type RunnerCapacity = 'on-demand' | 'spot'
/** Where a runner can be started; capacity is null on CodeBuild. */
export interface CapacityKind {
  readonly compute: Compute
  readonly capacity: RunnerCapacity | null
}
/** Where a job may go that finds no capacity where its labels send it (tornade.yml). */
export type Fallback = 'on-demand' | 'codebuild'

/** What the labels of a job ask for. */
export interface Spec {
  readonly arch: Arch
  readonly compute: Compute
  /** null on CodeBuild, which has no Spot. */
  readonly capacity: SpecCapacity | null
  readonly cpu: number
  readonly memoryGiB: number
  readonly diskGiB: number
  readonly docker: boolean
  readonly build: boolean
  /** NAME of `role:NAME`; null is the plain runner role. */
  readonly role: string | null
  readonly image: string | null
  /** Longest life of the runner. */
  readonly timeoutMinutes: number
}

/** What is started for a spec. */
export interface RunnerShape {
  readonly arch: Arch
  readonly compute: Compute
  readonly capacity: RunnerCapacity | null
  readonly cpu: number
  readonly memoryGiB: number
  readonly diskGiB: number
  /** CodeBuild compute type, for example BUILD_GENERAL1_SMALL; null on Fargate. */
  readonly computeType: string | null
}

/** One thing that is wrong with a set of labels, and what would work instead. */
export interface Problem {
  /** The label (or part of a one-label set) as it was written. */
  readonly label: string
  /** A whole sentence that says why it cannot be served. */
  readonly message: string
  /** Labels to write instead; null where nothing near works. */
  readonly suggestion: string | null
}

export interface RepositoryRef {
  readonly id: number
  /** owner/name */
  readonly name: string
  readonly private: boolean
}

/** The part of a `workflow_job` payload that tornade acts on. */
export interface JobRequest {
  /** `<job id>-<run attempt>`: the key of the job in the ledger. */
  readonly key: string
  readonly jobId: number
  readonly attempt: number
  readonly runId: number
  readonly repository: RepositoryRef
  readonly ownerId: number
  readonly installationId: number | null
  readonly workflow: string | null
  readonly name: string
  readonly headBranch: string | null
  readonly headSha: string
  readonly labels: readonly string[]
  readonly createdAt: number
  /** False where no run can be a fork's; what was written before this was known lacks it, and may be one's. */
  readonly mayBeFork: boolean
  /** Of the repository; known of jobs that may ask for a role, and not of those that GitHub was asked about. */
  readonly defaultBranch?: string
}

/** A `workflow_job` delivery, reduced to a fact about one job. */
export type JobEvent =
  | { readonly kind: 'queued'; readonly at: number; readonly request: JobRequest }
  /** Held by an environment gate, or by concurrency; a second `queued` follows when it opens. */
  | { readonly kind: 'waiting'; readonly at: number; readonly request: JobRequest }
  | {
      readonly kind: 'in_progress'
      readonly at: number
      readonly request: JobRequest
      readonly runner: GitHubRunnerRef
    }
  | {
      readonly kind: 'completed'
      readonly at: number
      readonly request: JobRequest
      readonly conclusion: string
      /** null when no runner ever took the job. */
      readonly runner: GitHubRunnerRef | null
      readonly startedAt: number | null
    }

/** A runner as GitHub names it. */
export interface GitHubRunnerRef {
  readonly id: number
  readonly name: string
}

/** What AWS tells about a task or a build, reduced to facts about one runner. */
export interface RunnerEvent {
  readonly kind: 'runner'
  /** Name of the runner, read from the task's `startedBy` or the build's environment. */
  readonly runner: string
  readonly providerId: string
  readonly pullStartedAt: number | null
  readonly startedAt: number | null
  /** Since when it is on its way out: the warning of Spot, or the request to stop. */
  readonly stoppingAt: number | null
  readonly stoppedAt: number | null
  readonly stop: StopReason | null
}

export interface StopReason {
  /** ECS stopCode, or the CodeBuild build status. */
  readonly code: string
  readonly reason: string
}

/** A definite request to a compute provider; sent again byte for byte when its outcome is unknown. */
export interface StartRequest {
  /** Name of the runner. */
  readonly runner: string
  /** Idempotency token: runner name and try. */
  readonly token: string
  /** The runner works for this repository alone. */
  readonly repositoryId: number
  /** owner/name of it, for people who read the bill; absent in requests from before it was told. */
  readonly repository?: string
  readonly shape: RunnerShape
  readonly role: string | null
  readonly image: string | null
  readonly docker: boolean
  readonly build: boolean
  readonly timeoutMinutes: number
  /** How long it waits for a job, where that is longer than usual: it may stand in a pool. */
  readonly idleMinutes?: number
}

/**
 * capacity: the runner before was lost for want of capacity, which is not counted as a failed start. pool: it waits for
 * a job that does not exist yet.
 */
export type LaunchCause = 'job' | 'retry' | 'replacement' | 'capacity' | 'pool'

/** The claim of one launch on a job: who starts which runner, with which request, until when. */
export interface Claim {
  /** Counts the runners of this job: 1 for the first. */
  readonly generation: number
  /** Counts the start requests of this generation. */
  readonly attempt: number
  readonly cause: LaunchCause
  readonly runner: string
  readonly request: StartRequest
  /** The provider has definitely refused `request`: the next try is a new one. */
  readonly refused?: boolean
  /** The deferral that this claim ended, should it come to nothing. */
  readonly waited?: Waited
  /** The invocation that holds the claim, and until when nobody else may resume it. */
  readonly owner: string
  readonly leaseUntil: number
}

/** What a deferral keeps from one try to the next. */
export interface Waited {
  readonly since: number
  /** Since when nothing but a quota of the account stands in its way. */
  readonly overQuotaSince?: number
}

export interface Deferral extends Waited {
  readonly reason: DeferReason
  readonly message: string
  readonly notBefore: number | null
  /** The runner that the job waits to have started, and why that one is needed. */
  readonly runner: string
  readonly cause: LaunchCause
}
export interface Refusal {
  readonly at: number
  /** Stable code of the kind of refusal. */
  readonly code: string
  readonly problems: readonly Problem[]
}

export type JobState =
  | 'waiting'
  | 'queued'
  | 'deferred'
  | 'launching'
  | 'running'
  | 'completed'
  | 'cancelled'
  | 'refused'

/** A job in the ledger: facts, each set once; the state follows from them (lifecycle.ts). */
export interface Job {
  readonly key: string
  /** Counts writes; every write names the version it replaces. */
  readonly version: number
  readonly request: JobRequest
  /** Set when the labels were read. */
  readonly spec: Spec | null
  readonly gatedAt: number | null
  readonly queuedAt: number | null
  readonly started: { readonly at: number; readonly runner: GitHubRunnerRef } | null
  readonly completed: {
    readonly at: number
    readonly conclusion: string
    readonly startedAt: number | null
    readonly runner: GitHubRunnerRef | null
  } | null
  readonly refused: Refusal | null
  readonly deferred: Deferral | null
  readonly claim: Claim | null
  /** Claims of earlier runners: what they were started for may not be written down yet. */
  readonly earlier: readonly Claim[] | null
  /** Name of the runner that is meant for this job, or that runs it. */
  readonly runner: string | null
  /** Runners that were started because another job took the one before. */
  readonly replacements: number
  /** Runners that were started because the one before was lost for want of capacity. */
  readonly shortages: number
  /** AWS took its runner back while it ran, so that what it had done was wasted. */
  readonly lostTo: 'spot' | null
  /** Key of the job, lost to Spot, whose re-run this is. */
  readonly rerunOf: string | null
  readonly cost: JobCost | null
}

/** Share of a runner's cost that belongs to the job it ran. */
export interface JobCost {
  readonly runner: string
  readonly microUsd: number
  /** The same minutes on GitHub-hosted runners; null where GitHub has no such runner. */
  readonly githubHostedMicroUsd: number | null
  /** The same runner on demand. */
  readonly onDemandMicroUsd: number
  readonly basis: PriceBasis
  /** Absent in items from before it was kept. */
  readonly onDemandBasis?: PriceBasis
  /** What GitHub asks for the job's minutes on a runner that is not its own; absent while that is nothing. In no sum. */
  readonly githubFeeMicroUsd?: number
}

/** How sure a price is. `unknown` counts as 0 and is shown as unknown. */
export type PriceBasis = 'published' | 'estimate' | 'unknown'

export type RunnerState = 'starting' | 'idle' | 'busy' | 'stopping' | 'stopped'

/** A runner in the ledger: what was started, and the facts that followed. */
export interface Runner {
  readonly name: string
  readonly version: number
  /** null while only an event of the provider is known (it can overtake our own write). */
  readonly launch: RunnerLaunch | null
  /** Registration at GitHub. */
  readonly registration: { readonly id: number; readonly name: string; readonly at: number } | null
  readonly providerId: string | null
  /** Key under which this runner, and nobody else, may take its ticket. */
  readonly ticketKey: string | null
  /**
   * GitHub is not asked for it before it has come up, or before this time: its kind of capacity may have none. Once it was
   * asked for by that time, null; absent where it never waited.
   */
  readonly heldUntil?: number | null
  /** Start of the image pull (Fargate) or of the build (CodeBuild): from here on it is billed. */
  readonly pullStartedAt: number | null
  readonly startedAt: number | null
  /** Since when it is on its way out; null while nobody has said so. */
  readonly stoppingAt: number | null
  readonly stoppedAt: number | null
  readonly stop: StopReason | null
  /** Key of the waiting job this runner is meant for now; null when nobody waits for it. */
  readonly for: string | null
  /** The job that GitHub gave it. */
  readonly job: {
    readonly key: string
    readonly startedAt: number
    readonly completedAt: number | null
    /** GitHub's word for how it ended; absent before, and in items from before it was kept. */
    readonly conclusion?: string
    readonly publicRepository: boolean
  } | null
  readonly deregisteredAt: number | null
  readonly stopRequestedAt: number | null
  /**
   * When it was known that nothing of it is left: neither ticket nor registration. null before its stop. A runner that
   * ran its job has used the one, and GitHub removes the other with the end of the job.
   */
  readonly cleanedAt: number | null
  readonly cost: RunnerCost | null
  /** Absent where it said nothing, ran no job, or ran before this was measured. */
  readonly usage?: Usage
  /** Provider id → micro-dollars of another task or build that was started for it by mistake; they are in its cost. */
  readonly wasted?: Readonly<Record<string, number>>
}

/**
 * What the job used, as measured by its runner itself, within what the runner has; a job can forge its own figures. The
 * peak of cpu lasts ten seconds or more.
 */
export interface Usage {
  readonly seconds: number
  /** vCPU. */
  readonly cpuAverage: number
  readonly cpuPeak: number
  readonly memoryAverageGiB: number
  readonly memoryPeakGiB: number
}

export interface RunnerLaunch {
  readonly at: number
  readonly cause: LaunchCause
  readonly generation: number
  readonly jobKey: string
  readonly repository: RepositoryRef
  readonly installationId: number | null
  readonly labels: readonly string[]
  readonly shape: RunnerShape
  readonly role: string | null
  readonly region: string
  readonly timeoutMinutes: number
  /** How long it waits for a job, where that is longer than usual. */
  readonly idleMinutes?: number
}

/** Cost of a runner's billed window. startup + job + idle = total, to the micro-dollar. */
export interface RunnerCost {
  readonly totalMicroUsd: number
  readonly startupMicroUsd: number
  readonly jobMicroUsd: number
  /** With what other tasks or builds cost that were started for it by mistake. */
  readonly idleMicroUsd: number
  /**
   * How much of the total was paid for nothing: all of it where an interruption took the runner from its job or before it
   * had one, else what was started by mistake. No fourth part. Absent, which is 0, in items from before it was counted.
   */
  readonly wastedMicroUsd?: number
  /** The same on demand: less the total it is what Spot saved. */
  readonly onDemandMicroUsd: number
  readonly billedMs: number
  readonly basis: PriceBasis
  /** Absent in items from before it was kept. */
  readonly onDemandBasis?: PriceBasis
}

/** The one item through which all admissions go. */
export interface Gate {
  readonly version: number
  /** Runner name → what it counts against; a runner holds its place from admission until it has stopped. */
  readonly holders: Readonly<Record<string, Holder>>
  /** Repository id, or `id/role` for jobs with a role → the first of its deferred jobs; the rest wait in the ledger. */
  readonly waiting: Readonly<Record<string, WaitingLine>>
  /** JIT configs asked for lately, counted in slots of a few seconds: GitHub's pace is a budget per minute. */
  readonly pace: readonly Slot[]
  /** Repository id → runners given a place there in the last hour; only where a limit asks for it. */
  readonly starts: Readonly<Record<string, readonly Slot[]>>
  /** Day (2026-11-02, UTC) or month (2026-11) → micro-dollars of the runners that stopped in it; the latest two of each. */
  readonly spent: Readonly<Record<string, number>>
  /** Days and months of which was said that their spend cap is passed (onCap: warn). */
  readonly warned: readonly string[]
  /** Scope (`github`, `fargate`, `codebuild`) → nothing is started there before this time. */
  readonly pauses: Readonly<Record<string, number>>
  /** When a wake message is due that was sent already. */
  readonly wakeAt: number | null
  /** Kind of capacity (breaker.ts) → what is wrong with it; kinds without trouble are absent. */
  readonly breakers: Readonly<Record<string, Breaker>>
}

/** Failures of one kind of capacity, and until when it is left alone for them. */
export interface Breaker {
  /** In a row. */
  readonly failures: number
  /** One of them was told only after the provider had taken the request: that it takes one proves nothing here. */
  readonly late: boolean
  /** Time of the last one, and what failed: the same failure told twice counts once. */
  readonly at: number
  readonly last: string
  /** What the provider said then. */
  readonly words: string
  /** The fewest vCPU that were refused for a quota of the account; absent where it failed for anything else last. */
  readonly quota?: number
  /** Times in a row that the kind was left alone; the more, the longer. */
  readonly openings: number
  /** Nothing is started of this kind before, and then one probe; null while the kind is used. */
  readonly openUntil: number | null
  readonly probe: { readonly runner: string; readonly at: number } | null
}

/** A job that was lost to Spot, to be run again once. There is one for each job name of a run. */
/** What the author of a run is told of its refused jobs, in one check run. */
export interface RunRefusals {
  /** `<run id>-<attempt>` */
  readonly key: string
  readonly version: number
  readonly headSha: string
  /** Of the first refusal. */
  readonly at: number
  /** Markdown lists of problems, each once: a matrix mostly has the same ones. */
  readonly problems: readonly string[]
  /** In the order of their refusals; `problems` is a place in the list of those, null where there was no more room. */
  readonly jobs: readonly { readonly key: string; readonly name: string; readonly problems: number | null }[]
  /** GitHub shows the first so many of them, and by this id. null: none yet, or GitHub takes no check run for this commit. */
  readonly told: number
  readonly checkId: number | null
  /** Until then somebody tells GitHub, and of those who come meanwhile as well. */
  readonly tellingUntil: number | null
}

export interface Rerun {
  /** Run and job name (rerun.ts). */
  readonly key: string
  readonly version: number
  readonly jobKey: string
  readonly jobId: number
  readonly runId: number
  /** Of the lost job; what runs it again has a later one. */
  readonly attempt: number
  readonly repository: RepositoryRef
  readonly installationId: number | null
  readonly lostAt: number
  /** How often GitHub was asked for the re-run, and when it is asked again. */
  readonly asked: number
  readonly askAt: number
  /** Attempt that the run had when a call was made of which no answer is known; null while there is no such call. */
  readonly asking: number | null
  /** Jobs of its run were open when the ledger was last looked at: GitHub would say no. */
  readonly behind: boolean
  /** null while GitHub is still to be asked. failed: it will never run it again, and `message` says why. */
  readonly outcome: 'started' | 'gone' | 'failed' | null
  readonly message: string | null
  /** Key of the job that is the re-run. */
  readonly by: string | null
}

/** So many within a few seconds or minutes from `at` on. */
export interface Slot {
  readonly at: number
  readonly count: number
}

export interface Holder {
  readonly repository: number
  readonly role: string | null
  readonly since: number
  readonly jobKey: string
  /** Message that admitted it, so that its redelivery carries on instead of losing it. */
  readonly by: string
  /** When its message came again, or another one took it over. */
  readonly touchedAt?: number
  /** The most that it can cost; it counts against the spend caps until its real cost is known. */
  readonly reservedMicroUsd: number
}

export interface WaitingLine {
  /** owner/name, by which tornade.yml knows the repository; null in a line from before it was written there. */
  readonly name: string | null
  readonly heads: readonly WaitingHead[]
  /** True when more deferred jobs of this repository wait in the ledger. */
  readonly more: boolean
}

export interface WaitingHead {
  readonly jobKey: string
  readonly runner: string
  readonly role: string | null
  readonly priority: number
  readonly since: number
  readonly notBefore: number | null
  readonly reserveMicroUsd: number
}

/** What operators were told. */
export interface NoticeMemory {
  readonly version: number
  /** Time for which the last digest was due. */
  readonly digestedAt: number | null
  /** Day or month → percent of its spend cap that was last said to be reached. */
  readonly alerted: Readonly<Record<string, number>>
}

/** What one sweep leaves for the next. */
export interface SweepMemory {
  readonly version: number
  /** The sweep that is at work. */
  readonly lease: { readonly owner: string; readonly until: number } | null
  /** Failed deliveries of GitHub's log. */
  readonly deliveries: {
    /** All that failed before are dealt with; null before the first look. */
    readonly watermark: number | null
    /** When the log was looked at last. */
    readonly lookedAt: number
    /** X-GitHub-Delivery → how often it was asked for again. */
    readonly asked: Readonly<Record<string, AskedDelivery>>
  }
  /** Run id → when its jobs were last asked for. */
  readonly runs: Readonly<Record<string, number>>
  /** Repositories with jobs of ours, the one seen last first. */
  readonly repositories: readonly SeenRepository[]
  /** When tasks, builds and registrations were last held against the ledger. */
  readonly orphansAt: number
  /** Registrations that no live runner accounts for: name at GitHub → since when. */
  readonly suspects: Readonly<Record<string, number>>
  /** Place of a pool in tornade.yml → when runners were last asked for it. */
  readonly pools: Readonly<Record<string, number>>
  readonly rollups: RollupMemory
}

/** Which hours are rolled up. */
export interface RollupMemory {
  /** When roll-ups were last brought up to date. */
  readonly lookedAt: number
  /** For each pass over an hour (rollup-passes.ts), the first hour that it is still to be made of. */
  readonly done: readonly number[]
}

export interface AskedDelivery {
  readonly times: number
  readonly at: number
  /** Of its last attempt that is known to have failed. */
  readonly failedAt: number
}

export interface SeenRepository {
  readonly ref: RepositoryRef
  readonly ownerId: number
  readonly installationId: number | null
  readonly seenAt: number
  /** When its runs were last listed. */
  readonly listedAt: number
}
