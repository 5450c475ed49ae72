/**
 * Jobs and runners as people and programs outside see them: the documents of `tornade replay --json` and of the
 * HTTP API. Money is US dollars with six decimals, lengths are seconds with three, times are ISO 8601 in UTC.
 * Field names and their order are part of the interface. What is not known yet, or never will be, is null.
 */

import { markdownCode } from './escape.ts'
import { isFinal, jobState, readySince, runnerState } from './lifecycle.ts'
import { clean } from './text.ts'
import type {
  Arch,
  Compute,
  DeferReason,
  Deferral,
  Job,
  JobCost,
  JobState,
  LaunchCause,
  PriceBasis,
  Problem,
  Runner,
  RunnerCapacity,
  RunnerState,
  Usage,
} from './types.ts'

export type JobOutcome = 'completed' | 'refused' | 'cancelled' | 'deferred' | 'waiting'

export interface JobView {
  readonly jobId: number
  readonly attempt: number
  /** owner/name */
  readonly repository: string
  readonly workflow: string | null
  readonly labels: readonly string[]
  /** null while the job is open, unless nothing more will happen to it. */
  readonly outcome: JobOutcome | null
  /** GitHub's word for how it ended, for example success; null before that. */
  readonly conclusion: string | null
  /** Why the job was refused, waits, or ended as it did; null where that needs no words. */
  readonly reason: string | null
  /** Only while it waits for its turn: the kind of what it waits for, and since when. */
  readonly deferred?: { readonly reason: DeferReason; readonly since: string | null }
  /** The runner that ran it; null when none of ours did. */
  readonly runner: {
    readonly name: string
    readonly compute: Compute
    readonly capacity: RunnerCapacity | null
    readonly arch: Arch
    readonly cpu: number
    readonly memoryGiB: number
  } | null
  /** From when it could have run until it ran. */
  readonly queueSeconds: number | null
  readonly runSeconds: number | null
  /** Its share of the runner's cost. */
  readonly costUsd: number | null
  /** What the same minutes cost on a runner of GitHub; null where GitHub has no such runner. */
  readonly githubHostedUsd: number | null
}

export interface ApiJob extends JobView {
  readonly state: JobState
  readonly createdAt: string
  readonly queuedAt: string | null
  readonly startedAt: string | null
  readonly completedAt: string | null
  /** AWS took its runner back while it ran; `costUsd` was spent for nothing. */
  readonly lostTo: 'spot' | null
  /** Only of a refused job: why, by its code of docs/errors.md, and when. */
  readonly refused?: { readonly code: string; readonly at: string | null }
  /** The job, lost to Spot, whose re-run this is. */
  readonly rerunOf: { readonly jobId: number; readonly attempt: number } | null
  /** How sure costUsd is. */
  readonly basis: PriceBasis | null
  /** Its share of the same runner on demand. */
  readonly onDemandUsd: number | null
  readonly onDemandBasis: PriceBasis | null
  /** GitHub publishes its prices; null where there is no githubHostedUsd. */
  readonly githubHostedBasis: 'published' | null
  /** What GitHub asks for minutes on a runner that is not its own; in no sum. */
  readonly githubFeeUsd: number | null
  /** Measured by its runner itself. */
  readonly usage: Usage | null
}

export interface ApiRunner {
  readonly name: string
  readonly state: RunnerState
  /** owner/name it was started for; null, with all of its shape, while only AWS has told of it. */
  readonly repository: string | null
  /** The job that GitHub gave it. */
  readonly job: { readonly jobId: number; readonly attempt: number } | null
  readonly compute: Compute | null
  readonly capacity: RunnerCapacity | null
  readonly arch: Arch | null
  readonly cpu: number | null
  readonly memoryGiB: number | null
  readonly diskGiB: number | null
  /** Why it was started. */
  readonly cause: LaunchCause | null
  readonly launchedAt: string | null
  readonly pullStartedAt: string | null
  readonly startedAt: string | null
  readonly jobStartedAt: string | null
  readonly jobCompletedAt: string | null
  readonly stoppedAt: string | null
  /** From its launch until its stop, or until now. */
  readonly ageSeconds: number | null
  /** startupUsd + jobUsd + idleUsd; all null until it has stopped, and when its price is unknown. */
  readonly costUsd: number | null
  readonly startupUsd: number | null
  readonly jobUsd: number | null
  readonly idleUsd: number | null
  readonly basis: PriceBasis | null
  /** How much of costUsd an interruption, or a start by mistake, made worthless. */
  readonly wastedUsd: number | null
  /** The same on demand; less costUsd it is what Spot saved. */
  readonly onDemandUsd: number | null
  readonly onDemandBasis: PriceBasis | null
  /** What its job used, as measured by the runner itself: vCPU and GiB. */
  readonly usage: Usage | null
}

/** Refusals list every problem of a set of labels; what is beyond this many characters helps nobody. */
const REASON_LIMIT = 2000

const MICRO_PER_USD = 1_000_000

/**
 * @param runner the item named by `ranOn(job)`; another runner than the one that ran the job counts as none
 * @param options.final nothing more will happen: open jobs get the outcome that they are left with
 */
export function jobView(
  job: Job,
  runner: Runner | undefined,
  { final }: { readonly final: boolean },
): JobView {
  const { request, started, completed, cost } = job
  const own = ranBy(job, runner)
  return {
    jobId: request.jobId,
    attempt: request.attempt,
    repository: request.repository.name,
    workflow: request.workflow,
    labels: request.labels.map(label => clean(label)),
    outcome: outcomeOf(job, final),
    conclusion: completed?.conclusion ?? null,
    reason: reasonOf(job),
    ...(jobState(job) === 'deferred' ? { deferred: deferralOf(job.deferred!) } : {}),
    runner: own ? runnerOf(own) : null,
    queueSeconds: started && secondsBetween(readySince(job), started.at),
    runSeconds: started && completed && secondsBetween(started.at, completed.at),
    costUsd: cost && isKnown(cost.microUsd, cost.basis) ? usd(cost.microUsd) : null,
    githubHostedUsd: cost && cost.githubHostedMicroUsd !== null ? usd(cost.githubHostedMicroUsd) : null,
  }
}

export function apiJob(job: Job, runner: Runner | undefined): ApiJob {
  const { cost } = job
  return {
    ...jobView(job, runner, { final: false }),
    state: jobState(job),
    createdAt: new Date(job.request.createdAt).toISOString(),
    queuedAt: iso(job.queuedAt),
    startedAt: iso(job.started?.at),
    completedAt: iso(job.completed?.at),
    lostTo: job.lostTo,
    ...(job.refused ? { refused: { code: job.refused.code, at: iso(job.refused.at) } } : {}),
    rerunOf: job.rerunOf === null ? null : jobOf(job.rerunOf),
    basis: cost?.basis ?? null,
    onDemandUsd: cost && onDemandUsd(cost),
    onDemandBasis: cost?.onDemandBasis ?? null,
    githubHostedBasis: cost && cost.githubHostedMicroUsd !== null ? 'published' : null,
    githubFeeUsd: cost && usd(cost.githubFeeMicroUsd ?? 0),
    usage: usageOf(ranBy(job, runner)),
  }
}

/** @param now milliseconds since 1970 */
export function apiRunner(runner: Runner, now: number): ApiRunner {
  const { launch, job, cost } = runner
  const shape = launch?.shape
  const known = cost && isKnown(cost.totalMicroUsd, cost.basis) ? cost : null
  return {
    name: runner.name,
    state: runnerState(runner),
    repository: launch?.repository.name ?? null,
    job: job && jobOf(job.key),
    compute: shape?.compute ?? null,
    capacity: shape?.capacity ?? null,
    arch: shape?.arch ?? null,
    cpu: shape?.cpu ?? null,
    memoryGiB: shape?.memoryGiB ?? null,
    diskGiB: shape?.diskGiB ?? null,
    cause: launch?.cause ?? null,
    launchedAt: iso(launch?.at),
    pullStartedAt: iso(runner.pullStartedAt),
    startedAt: iso(runner.startedAt),
    jobStartedAt: iso(job?.startedAt),
    jobCompletedAt: iso(job?.completedAt),
    stoppedAt: iso(runner.stoppedAt),
    ageSeconds: launch && secondsBetween(launch.at, runner.stoppedAt ?? now),
    costUsd: known && usd(known.totalMicroUsd),
    startupUsd: known && usd(known.startupMicroUsd),
    jobUsd: known && usd(known.jobMicroUsd),
    idleUsd: known && usd(known.idleMicroUsd),
    basis: cost?.basis ?? null,
    wastedUsd: known && usd(known.wastedMicroUsd ?? 0),
    onDemandUsd: cost && onDemandUsd(cost),
    onDemandBasis: cost?.onDemandBasis ?? null,
    usage: usageOf(runner),
  }
}

function ranBy(job: Job, runner: Runner | undefined): Runner | undefined {
  return job.started !== null && runner?.job?.key === job.key ? runner : undefined
}

/** Field by field, in the order of the interface. */
function usageOf(runner: Runner | undefined): Usage | null {
  if (!runner?.usage) return null
  const { seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB } = runner.usage
  return { seconds, cpuAverage, cpuPeak, memoryAverageGiB, memoryPeakGiB }
}

/** Name of the runner item to look a job's runner up by; null when no runner has it yet. */
export function ranOn(job: Job): string | null {
  return job.started === null ? null : (job.cost?.runner ?? job.runner)
}

/** ISO 8601 in UTC; null for none, and for what is no time. */
export function iso(at: number | null | undefined): string | null {
  const date = new Date(at ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}

/** Whole seconds and milliseconds; clocks differ, so what would be negative is 0. */
export function secondsBetween(from: number, to: number): number {
  return Math.max(0, Math.round(to - from) / 1000)
}

function outcomeOf(job: Job, final: boolean): JobOutcome | null {
  const state = jobState(job)
  if (state === 'completed' || state === 'cancelled' || state === 'refused') return state
  if (!final) return null
  return state === 'deferred' ? 'deferred' : 'waiting'
}

function reasonOf(job: Job): string | null {
  if (job.refused) return clean(job.refused.problems.map(sentence).join(' '), REASON_LIMIT)
  if (!isFinal(job)) return job.deferred ? clean(job.deferred.message, REASON_LIMIT) : null
  if (job.lostTo === 'spot') return 'AWS took the Spot runner back.'
  const { conclusion } = job.completed!
  if (conclusion !== 'cancelled' && conclusion !== 'failure') return null
  if (job.started !== null) return null
  return conclusion === 'cancelled' ? 'Cancelled before a runner took it.' : 'Failed before a runner took it.'
}

function deferralOf({ reason, since }: Deferral): NonNullable<JobView['deferred']> {
  return { reason, since: iso(since) }
}

function sentence({ label, message, suggestion }: Problem): string {
  const hint = suggestion === null ? '' : ` Use ${markdownCode(suggestion)}.`
  return `${markdownCode(label)}: ${message}${hint}`
}

function runnerOf({ name, launch }: Runner): JobView['runner'] {
  if (launch === null) return null
  const { compute, capacity, arch, cpu, memoryGiB } = launch.shape
  return { name, compute, capacity, arch, cpu, memoryGiB }
}

/** `<job id>-<attempt>` */
function jobOf(key: string): ApiRunner['job'] {
  const [jobId, attempt] = key.split('-').map(Number)
  return { jobId: jobId!, attempt: attempt ?? 1 }
}

/** An unknown price counts as 0 in sums, and is no price when shown. Above 0 it is a lower bound. */
function isKnown(microUsd: number, basis: PriceBasis): boolean {
  return basis !== 'unknown' || microUsd > 0
}

/** Items from before its basis was kept have that of the cost, which is no surer. */
function onDemandUsd({
  onDemandMicroUsd,
  basis,
  onDemandBasis = basis,
}: Pick<JobCost, 'onDemandMicroUsd' | 'basis' | 'onDemandBasis'>): number | null {
  return isKnown(onDemandMicroUsd, onDemandBasis) ? usd(onDemandMicroUsd) : null
}

function usd(microUsd: number): number {
  return microUsd / MICRO_PER_USD
}
