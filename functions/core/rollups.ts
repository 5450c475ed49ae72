/**
 * Roll-ups: what an hour, a day or a month came to, made from the runners that stopped in it and from the jobs that ended in
 * it without one. They are recomputed from those items and overwritten, so that a second pass changes nothing. Days are made
 * from hours and months from days; all of them are of UTC.
 *
 * Data only: written as JSON. Money is integer micro-dollars, lengths are milliseconds.
 */
import type { Arch, PriceBasis, RunnerShape } from './types.ts'

export type ComputeKind = 'fargate' | 'fargate-spot' | 'codebuild'
export type Grain = 'hour' | 'day' | 'month'

/** What runners and their jobs sum to. startup + job + idle is the whole; nothing else is part of that sum. */
export interface Sums {
  /** Runners that stopped. */
  readonly runners: number
  /** Jobs that ran on them. */
  readonly jobs: number
  /** Of these jobs, those that did not end with success. */
  readonly failed: number
  readonly startupMicroUsd: number
  readonly jobMicroUsd: number
  readonly idleMicroUsd: number
  /** The part of the whole that interruptions made worthless. */
  readonly wastedMicroUsd: number
  /** The same runners on demand. */
  readonly onDemandMicroUsd: number
  /** The jobs' minutes on runners of GitHub; jobs that GitHub has no runner for count as 0. */
  readonly githubHostedMicroUsd: number
  /** The part of the whole that rests on an estimated price. */
  readonly estimateMicroUsd: number
  /** Runners whose price, or a part of it, is unknown and counts as 0. */
  readonly unknownRunners: number
  /** How long the jobs ran. */
  readonly jobMs: number
  readonly billedMs: number
  /** How long the jobs waited, from when they could have run until they ran. */
  readonly queueMs: number
}

/** What was spent for one kind of thing. The cells of a period are all different, and sum to its totals. */
export interface Cell extends Sums {
  /** owner/name; one that was renamed stands under each of its names. */
  readonly repository: string
  /** null where no job ran, and where GitHub does not say. */
  readonly workflow: string | null
  readonly role: string | null
  readonly compute: ComputeKind
}

/** Lengths counted in buckets, each a fixed share longer than the one before: bucket → count. */
export type Histogram = Readonly<Record<string, number>>

/** A job's way from GitHub to its first step. */
export interface StartTimes {
  /** Created at GitHub → heard of. */
  readonly delivery: Histogram
  /** Heard of, or the gate opened → its runner asked for. */
  readonly queue: Histogram
  /** Asked for → begins to pull its image. */
  readonly provisioning: Histogram
  /** Pull, until the container runs. */
  readonly pull: Histogram
  /** Runs → GitHub has given it the job. */
  readonly registration: Histogram
  /** All of it, from when the job could have run. */
  readonly whole: Histogram
}

/** What happened, each counted in the hour in which the job or its runner ended. */
export interface Happenings {
  readonly refused: number
  /** Cancelled, or failed by GitHub, before a runner took them. */
  readonly unserved: number
  /** Runners that Spot took back. */
  readonly reclaims: number
  /** Runners started on another kind of capacity than the labels ask for first. */
  readonly fallbacks: number
  /** Runners started because another job took the one before. */
  readonly replacements: number
  /** Runners that never came to run. */
  readonly startFailures: number
}

/** One run of a workflow, as its runner measured itself. */
export interface UsageSample {
  readonly jobKey: string
  readonly at: number
  readonly seconds: number
  /** vCPU used. */
  readonly cpuAverage: number
  readonly cpuPeak: number
  readonly memoryAverageGiB: number
  readonly memoryPeakGiB: number
}
export interface UsageOf {
  readonly repository: string
  readonly workflow: string
  readonly region: string
  readonly shape: RunnerShape
  /** The newest 20, newest first. */
  readonly samples: readonly UsageSample[]
}

/** The first page of a period, and the one that is written last: it says how many others there are. */
export interface TotalsRollup {
  readonly family: 'totals'
  /** 2026-11-02T09, 2026-11-02 or 2026-11 */
  readonly period: string
  readonly grain: Grain
  /** When it was computed. */
  readonly at: number
  readonly sums: Sums
  readonly byCompute: Readonly<Partial<Record<ComputeKind, Sums>>>
  readonly byArch: Readonly<Partial<Record<Arch, Sums>>>
  readonly happened: Happenings
  readonly starts: StartTimes
  readonly pages: { readonly cells: number; readonly usage: number }
}
export interface CellsRollup {
  readonly family: 'cells'
  readonly period: string
  readonly grain: Grain
  readonly page: number
  readonly cells: readonly Cell[]
}
export interface UsageRollup {
  readonly family: 'usage'
  readonly period: string
  readonly grain: Grain
  readonly page: number
  readonly usage: readonly UsageOf[]
}
export type Rollup = TotalsRollup | CellsRollup | UsageRollup

/** Key of a roll-up in the ledger, for example `day#2026-11-02#cells#0`. */
export function rollupKey(rollup: Rollup): string {
  const { grain, period, family } = rollup
  return family === 'totals' ? `${grain}#${period}#totals` : `${grain}#${period}#${family}#${rollup.page}`
}

/** How sure a sum is: the worst basis of what is in it. */
export function basisOf({ estimateMicroUsd, unknownRunners }: Sums): PriceBasis {
  if (unknownRunners > 0) return 'unknown'
  return estimateMicroUsd > 0 ? 'estimate' : 'published'
}
