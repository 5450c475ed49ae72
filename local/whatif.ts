/** What recorded jobs would have cost, and how long they would have waited, under some settings and labels. */
import { type Config, labelRules } from '../functions/config.ts'
import { fold, holdsMarker } from '../functions/core/labels/parts.ts'
import { DIMENSIONS, type Dimension, ROWS } from '../functions/core/labels/rows.ts'
import { type LabelReading, type LabelRules, readLabels } from '../functions/core/labels.ts'
import { isFinal, jobState, readySince } from '../functions/core/lifecycle.ts'
import type { Job, Runner, RunnerShape, Spec } from '../functions/core/types.ts'
import type { Fate } from './compute.ts'
import { fraction } from './github-jobs.ts'
import { type Arrival, type Intake, playLean } from './whatif-world.ts'
import type { Wiring } from './wiring.ts'

/** Every job that `only` fits asks for these instead; null takes the part away. */
export interface LabelChange {
  readonly dimension: Dimension
  /** As it is written in a label. */
  readonly part: string | null
}

/** Names in lower case; null is all. */
export interface Only {
  readonly repository: string | null
  readonly workflow: string | null
}

/** What a recording does not say. */
export interface Assumptions {
  /** Speed of arm64 over x64: 2 halves how long a job takes that moves from x64 to arm64. */
  readonly arm64Speed: number
  /** 0: a job takes as long on any number of vCPU; 1: half as long on twice as many. */
  readonly cpuScaling: number
  /** How often Spot takes a runner, for each hour that it runs. */
  readonly spotReclaimsPerHour: number
  /** Seconds of jobs whose length was not recorded; null is 30 to 300, by their id. */
  readonly jobSeconds: number | null
  /** From the request until a runner is up, seconds; null is what the local stack takes for usual. */
  readonly startSeconds: {
    readonly onDemand: number | null
    readonly spot: number | null
    readonly codebuild: number | null
  }
}

export const ASSUMPTIONS: Assumptions = {
  arm64Speed: 1,
  cpuScaling: 0,
  spotReclaimsPerHour: 0,
  jobSeconds: null,
  startSeconds: { onDemand: null, spot: null, codebuild: null },
}

export interface WhatIfOptions {
  readonly config: Config
  readonly wiring: Wiring
  readonly arrivals: readonly Arrival[]
  /** When the last delivery of the recording came. */
  readonly end?: number
  readonly changes: readonly LabelChange[]
  readonly only: Only
  readonly assumptions: Assumptions
  /** From 0 to 1. */
  readonly onProgress?: (share: number) => void
}

type ComputeKind = 'fargate' | 'fargate-spot' | 'codebuild'

/** US dollars with six decimals, seconds. */
export interface WhatIfReport {
  readonly totals: {
    /** All runners: jobsUsd + startupUsd + idleUsd. */
    readonly costUsd: number
    readonly jobsUsd: number
    readonly startupUsd: number
    readonly idleUsd: number
    /** Of it: what runners cost that were taken from their jobs, or started by mistake. */
    readonly wastedUsd: number
    /** The same runners on demand. */
    readonly onDemandUsd: number
    /** The jobs' minutes on runners of GitHub; a job that GitHub has no runner for counts as 0. */
    readonly githubHostedUsd: number
  }
  readonly jobs: {
    /** Those of the recording that are ours, and re-runs after a loss to Spot. */
    readonly total: number
    readonly completed: number
    readonly cancelled: number
    readonly refused: number
    /** When all was over, a day after the last delivery. */
    readonly open: number
    readonly lostToSpot: number
  }
  /** From when a job could have run until it ran; null where none ran. */
  readonly waitingSeconds: {
    readonly p50: number | null
    readonly p95: number | null
    readonly most: number | null
  }
  /** Code of the refusal → jobs. */
  readonly refusals: Readonly<Record<string, number>>
  /** Reason → how often a job began to wait for it. */
  readonly deferrals: Readonly<Record<string, number>>
  readonly runners: Readonly<Record<ComputeKind, number>>
  /** Runners whose price is an estimate, or unknown and counted as 0. */
  readonly prices: { readonly estimate: number; readonly unknown: number }
  readonly deliveries: Intake
  /** Jobs that ask for something else than was recorded, and why others that should do not: message → jobs. */
  readonly rewritten: { readonly jobs: number; readonly left: Readonly<Record<string, number>> }
}

const MICRO_PER_USD = 1_000_000
const HOUR_MS = 3_600_000

/** Plays the recorded jobs to their end. */
export async function whatIf(options: WhatIfOptions): Promise<WhatIfReport> {
  const { config, wiring, assumptions, onProgress } = options
  const rewriter = new Rewriter(options)
  const { arrivals } = options
  const count = new Count()
  const { jobSeconds, spotReclaimsPerHour } = assumptions
  const intakes: Intake[] = []
  for (const part of partsOf(arrivals)) {
    const [first, last] = [part[0]!.at, part.at(-1)!.at]
    const before = arrivals.indexOf(part[0]!)
    intakes.push(
      await playLean({
        config,
        wiring,
        arrivals: part,
        ...(options.end !== undefined && part.at(-1) === arrivals.at(-1) ? { end: options.end } : {}),
        ...(options.changes.length > 0 ? { change: arrival => rewriter.arrival(arrival) } : {}),
        ...(jobSeconds === null ? {} : { jobSeconds: [jobSeconds, jobSeconds] }),
        startSeconds: shape => startSecondsOf(shape, assumptions),
        ...(spotReclaimsPerHour > 0
          ? { fate: (token, shape) => fateOf(token, shape, spotReclaimsPerHour) }
          : {}),
        onJob: job => count.job(job),
        onRunner: runner => count.runner(runner),
        onDeferred: job => count.deferred(job),
        onProgress: now => {
          const share = Math.min(1, (now - first) / Math.max(1, last - first))
          onProgress?.((before + share * part.length) / arrivals.length)
        },
      }),
    )
  }
  const sum = (name: keyof Intake) => intakes.reduce((total, intake) => total + intake[name], 0)
  const intake = {
    accepted: sum('accepted'),
    ignored: sum('ignored'),
    rejected: sum('rejected'),
    dead: sum('dead'),
  }
  return count.report(intake, rewriter)
}

/**
 * A workflow run ends within 35 days, so nothing lasts from before such a gap until after it, and nobody has to wait for
 * years to pass: https://docs.github.com/en/actions/reference/limits
 */
const LONGEST_RUN_MS = 35 * 24 * HOUR_MS

function partsOf(arrivals: readonly Arrival[]): Arrival[][] {
  const parts: Arrival[][] = []
  let last = Number.NEGATIVE_INFINITY
  for (const arrival of arrivals) {
    if (arrival.at - last > LONGEST_RUN_MS) parts.push([])
    parts.at(-1)!.push(arrival)
    last = arrival.at
  }
  return parts
}

function startSecondsOf({ compute, capacity }: RunnerShape, { startSeconds }: Assumptions): number | null {
  if (compute === 'codebuild') return startSeconds.codebuild
  return capacity === 'spot' ? startSeconds.spot : startSeconds.onDemand
}

/** As lightbulbs: the same chance in each hour, whatever came before. */
function fateOf(token: string, { capacity }: RunnerShape, perHour: number): Fate | null {
  if (capacity !== 'spot') return null
  const hours = -Math.log(1 - fraction(`reclaim ${token}`)) / perHour
  return { kind: 'reclaimed', afterMs: Math.round(hours * HOUR_MS) }
}

// Labels

/** Gives jobs other labels, and the length that they would then have. */
class Rewriter {
  readonly #options: WhatIfOptions
  /** Repository and labels → what becomes of them. */
  readonly #known = new Map<string, Rewritten>()
  readonly left: Record<string, number> = {}
  jobs = 0

  constructor(options: WhatIfOptions) {
    this.#options = options
  }

  arrival(arrival: Arrival): Arrival {
    const { changes, only } = this.#options
    const { payload, script } = arrival
    const { workflow_job: job, repository } = payload
    if (changes.length === 0 || !isMeant(repository.full_name, only.repository)) return arrival
    if (!isMeant(job.workflow_name, only.workflow)) return arrival
    const key = `${repository.full_name}\n${job.labels.join('\n')}`
    const known = this.#known.get(key) ?? this.#rewrite(job.labels, String(repository.full_name))
    this.#known.set(key, known)
    if (known.why !== null) this.left[known.why] = (this.left[known.why] ?? 0) + 1
    if (!known.changed) return arrival
    this.jobs++
    const durationMs =
      script.durationMs === undefined ? {} : { durationMs: Math.round(script.durationMs * known.factor) }
    return {
      ...arrival,
      payload: { ...payload, workflow_job: { ...job, labels: known.labels } },
      script: { ...script, ...durationMs },
    }
  }

  #rewrite(labels: readonly string[], repository: string): Rewritten {
    const { config, changes, assumptions } = this.#options
    const rules = labelRules(config, { limits: true, repository })
    const before = readLabels(labels, rules)
    const changed = rewritten(labels, changes, rules)
    const after = readLabels(changed, rules)
    const same = { changed: false, labels, factor: 1, why: null }
    // What cannot be served as it is stays as it is, and so does what is not ours.
    if (before.outcome !== 'spec') return same
    if (after.outcome !== 'spec') return { ...same, why: whyNot(after) }
    return sameSpec(before.spec, after.spec)
      ? same
      : {
          changed: true,
          labels: changed,
          factor: factorOf(before.spec, after.spec, assumptions),
          why: null,
        }
  }
}

interface Rewritten {
  readonly changed: boolean
  readonly labels: readonly string[]
  /** Of how long the job takes. */
  readonly factor: number
  /** Why it stays as it is although it was meant. */
  readonly why: string | null
}

/** The same set of labels with other parts; presets are written out, because what stands beside one cannot take away. */
export function rewritten(
  labels: readonly string[],
  changes: readonly LabelChange[],
  rules: LabelRules,
): readonly string[] {
  const marker = fold(rules.marker)
  const replaced = new Set(changes.map(({ dimension }) => dimension))
  const added = changes.flatMap(({ part }) => (part === null ? [] : [part]))
  const index = labels.findIndex(label => label.includes('/') && holdsMarker(label, marker))
  const parts = index < 0 ? labels : labels[index]!.split('/')
  const beside = new Set(parts.map(part => dimensionOf(part, rules)))
  const spelled = parts.flatMap(part => {
    const preset = rules.sizes.get(fold(part).replace(/^size:/, ''))
    if (dimensionOf(part, rules) !== 'size' || !preset) return [part]
    return preset.filter(own => !beside.has(dimensionOf(own, rules)))
  })
  const kept = spelled.filter(part => {
    const dimension = dimensionOf(part, rules)
    return dimension === null || !replaced.has(dimension)
  })
  const changed = [...kept, ...added]
  return index < 0 ? changed : labels.toSpliced(index, 1, changed.join('/'))
}

function dimensionOf(part: string, rules: LabelRules): Dimension | null {
  const text = fold(part)
  return DIMENSIONS.find(dimension => ROWS[dimension].read(text, rules) !== null) ?? null
}

function whyNot(reading: Exclude<LabelReading, { outcome: 'spec' }>): string {
  return reading.outcome === 'problems' ? reading.problems[0]!.message : 'The marker is gone.'
}

function sameSpec(a: Spec, b: Spec): boolean {
  return (Object.keys(a) as (keyof Spec)[]).every(key => a[key] === b[key])
}

function factorOf(before: Spec, after: Spec, { arm64Speed, cpuScaling }: Assumptions): number {
  const speed = (spec: Spec) => (spec.arch === 'arm64' ? arm64Speed : 1) * spec.cpu ** cpuScaling
  return speed(before) / speed(after)
}

function isMeant(name: unknown, wanted: string | null): boolean {
  return wanted === null || (typeof name === 'string' && name.toLowerCase() === wanted)
}

// Counting

/** Micro-dollars and seconds. */
class Count {
  readonly #jobs = { total: 0, completed: 0, cancelled: 0, refused: 0, open: 0, lostToSpot: 0 }
  readonly #waited: number[] = []
  readonly #refusals = new Map<string, number>()
  readonly #deferrals = new Map<string, number>()
  readonly #runners: Record<ComputeKind, number> = { fargate: 0, 'fargate-spot': 0, codebuild: 0 }
  readonly #prices = { estimate: 0, unknown: 0 }
  #own = 0
  #startup = 0
  #idle = 0
  #wasted = 0
  #onDemand = 0
  #githubHosted = 0

  job(job: Job): void {
    const { refused, started, cost, lostTo } = job
    this.#jobs.total++
    if (!isFinal(job)) this.#jobs.open++
    else if (refused) {
      this.#jobs.refused++
      add(this.#refusals, refused.code)
    } else this.#jobs[jobState(job) === 'cancelled' ? 'cancelled' : 'completed']++
    if (started) this.#waited.push(Math.max(0, (started.at - readySince(job)) / 1000))
    if (lostTo) this.#jobs.lostToSpot++
    this.#githubHosted += Math.round(cost?.githubHostedMicroUsd ?? 0)
  }

  runner({ launch, cost }: Runner): void {
    if (launch) this.#runners[kindOf(launch.shape)]++
    if (!cost) return
    this.#own += cost.jobMicroUsd
    this.#startup += cost.startupMicroUsd
    this.#idle += cost.idleMicroUsd
    this.#wasted += cost.wastedMicroUsd ?? 0
    this.#onDemand += cost.onDemandMicroUsd
    if (cost.basis !== 'published') this.#prices[cost.basis]++
  }

  deferred({ deferred }: Job): void {
    add(this.#deferrals, deferred!.reason)
  }

  report(deliveries: Intake, { jobs, left }: Rewriter): WhatIfReport {
    const usd = (microUsd: number) => microUsd / MICRO_PER_USD
    const waited = Float64Array.from(this.#waited).sort()
    const at = (share: number) => waited[Math.ceil(share * waited.length) - 1] ?? null
    return {
      totals: {
        costUsd: usd(this.#own + this.#startup + this.#idle),
        jobsUsd: usd(this.#own),
        startupUsd: usd(this.#startup),
        idleUsd: usd(this.#idle),
        wastedUsd: usd(this.#wasted),
        onDemandUsd: usd(this.#onDemand),
        githubHostedUsd: usd(this.#githubHosted),
      },
      jobs: { ...this.#jobs },
      waitingSeconds: { p50: at(0.5), p95: at(0.95), most: at(1) },
      refusals: Object.fromEntries(this.#refusals),
      deferrals: Object.fromEntries(this.#deferrals),
      runners: { ...this.#runners },
      prices: { ...this.#prices },
      deliveries,
      rewritten: { jobs, left },
    }
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function kindOf({ compute, capacity }: RunnerShape): ComputeKind {
  return compute === 'fargate' && capacity === 'spot' ? 'fargate-spot' : compute
}
