/**
 * A day at a small company, after quieter weeks: what its repositories would have queued. It goes through the system like
 * any other delivery; nothing of it is written anywhere directly. The same `now` gives the same days.
 */

import type { SteppedClock } from './clock.ts'
import type { ComputeFaults } from './compute.ts'
import type { DoubleJob, DoubleRepository, GitHubDouble } from './github.ts'
import { fraction } from './github-jobs.ts'
import type { Conclusion } from './payloads.ts'
import { generator } from './random.ts'
import type { JobLoad } from './usage.ts'

export interface SampleOptions {
  readonly marker: string
  readonly owner: { readonly login: string; readonly id: number }
  /** Before the sample day; as many as SAMPLE_HISTORY_DAYS, unless given. */
  readonly historyDays?: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/**
 * One job of a workflow: name, labels beside the marker, minutes it takes, when it starts within its run, what it uses of
 * its runner.
 */
interface JobPlan {
  readonly name: string
  readonly labels: readonly string[]
  readonly minutes: readonly [number, number]
  readonly afterMinutes?: number
  readonly load?: JobLoad
}
interface WorkflowPlan {
  readonly repository: string
  readonly private: boolean
  readonly workflow: string
  readonly event: 'push' | 'pull_request' | 'schedule' | 'workflow_dispatch'
  /** Runs in 24 hours; at night there are few. */
  readonly runs: number
  readonly jobs: readonly JobPlan[]
}

const matrix = (
  name: string,
  count: number,
  labels: readonly string[],
  minutes: readonly [number, number],
  load: JobLoad,
): JobPlan[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `${name} (${index + 1}/${count})`,
    labels,
    minutes,
    load,
  }))

const WORKFLOWS: readonly WorkflowPlan[] = [
  {
    repository: 'app',
    private: true,
    workflow: 'CI',
    event: 'pull_request',
    runs: 13,
    jobs: [
      { name: 'lint', labels: ['arm64', 'spot', '1cpu'], minutes: [0.6, 1.5] },
      // More than it can use.
      ...matrix('test', 3, ['arm64', 'spot', '4cpu'], [2, 6], { cpu: 0.2, memory: 0.4 }),
      { name: 'e2e', labels: ['docker', '4cpu'], minutes: [4, 9], afterMinutes: 7 },
    ],
  },
  {
    repository: 'app',
    private: true,
    workflow: 'Deploy',
    event: 'push',
    runs: 4,
    jobs: [
      { name: 'build image', labels: ['docker', '4cpu'], minutes: [3, 5] },
      { name: 'roll out', labels: ['1cpu'], minutes: [1, 3], afterMinutes: 6 },
    ],
  },
  {
    repository: 'api',
    private: true,
    workflow: 'Test',
    event: 'push',
    runs: 10,
    jobs: [
      // Less than it could use.
      { name: 'unit', labels: ['spot', '2cpu'], minutes: [1.5, 4], load: { cpu: 0.97, memory: 0.5 } },
      {
        name: 'integration',
        labels: ['spot', '4cpu', '16gb'],
        minutes: [4, 11],
        load: { cpu: 0.6, memory: 0.2 },
      },
    ],
  },
  {
    repository: 'docs',
    private: false,
    workflow: 'Site',
    event: 'push',
    runs: 3,
    jobs: [{ name: 'publish', labels: ['arm64', 'spot', '1cpu'], minutes: [0.8, 2] }],
  },
  {
    repository: 'data',
    private: true,
    workflow: 'Nightly',
    event: 'schedule',
    runs: 1,
    jobs: matrix('backfill', 12, ['arm64', 'spot', '8cpu', '32gb'], [10, 25], { cpu: 0.7, memory: 0.6 }),
  },
  {
    repository: 'mobile',
    private: true,
    workflow: 'Android',
    event: 'pull_request',
    runs: 3,
    // Nobody has told this team that there is no such size.
    jobs: [{ name: 'assemble', labels: ['6cpu'], minutes: [8, 15] }],
  },
]

/** Days before the sample day. */
export const SAMPLE_HISTORY_DAYS = 34
/** Runs of those days, as a share of the sample day's: enough for a trend, few enough that nobody waits for them. */
const HISTORY_SHARE = 0.2

/** Of the tasks on Spot some are taken back in the middle of their job, so that it shows what that costs. */
const RECLAIMED_SHARE = 0.04

export const SAMPLE_FAULTS: ComputeFaults = {
  fate: ({ shape, token }) =>
    shape.capacity === 'spot' && fraction(`${token} reclaim`) < RECLAIMED_SHARE
      ? { kind: 'reclaimed', afterMs: Math.round((0.5 + 3 * fraction(`${token} moment`)) * MINUTE_MS) }
      : null,
}

/** Queues weeks that end at `end` with a busy day, and goes on like it for as long as the clock runs. */
export function scheduleSample(
  clock: SteppedClock,
  github: GitHubDouble,
  end: number,
  options: SampleOptions,
): void {
  const sample = new Sample(clock, github, options)
  const { historyDays = SAMPLE_HISTORY_DAYS } = options
  for (const plan of WORKFLOWS) {
    for (const at of runTimes(plan, end)) clock.at(at, () => sample.queueRun(plan))
    for (let day = 1; day <= historyDays; day++) {
      for (const at of historyTimes(plan, end - day * DAY_MS, day))
        clock.at(at, () =>
          sample.queueRun(plan.event === 'schedule' ? { ...plan, jobs: plan.jobs.slice(0, 4) } : plan),
        )
    }
  }
  const goOn = (): void => {
    sample.queueRun(sample.pick(WORKFLOWS.filter(plan => plan.event !== 'schedule')))
    clock.after(sample.between(30_000, 120_000), goOn)
  }
  // From some minutes before the end on, so that whoever looks sees jobs move.
  clock.at(end - 6 * MINUTE_MS, goOn)
  clock.at(end - 12_000, () => sample.queueRun(WORKFLOWS[0]!))
}

class Sample {
  readonly #clock: SteppedClock
  readonly #github: GitHubDouble
  readonly #options: SampleOptions
  readonly #random: () => number
  #nextId = 1

  constructor(clock: SteppedClock, github: GitHubDouble, options: SampleOptions) {
    this.#clock = clock
    this.#github = github
    this.#options = options
    this.#random = generator(clock.now())
  }

  queueRun(plan: WorkflowPlan): void {
    const runId = 19_000_000_000 + this.#nextId++
    const headSha = this.#hex(40)
    const cancelled = this.#random() < 0.05
    const rerun = this.#random() < 0.25
    for (const job of plan.jobs) {
      const delay = (job.afterMinutes ?? 0) * MINUTE_MS + this.between(0, 4_000)
      this.#clock.after(delay, () => this.#queueJob(plan, job, { runId, headSha, cancelled, rerun }))
    }
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)]!
  }

  between(least: number, most: number): number {
    return least + this.#random() * (most - least)
  }

  #queueJob(
    plan: WorkflowPlan,
    job: JobPlan,
    run: {
      readonly runId: number
      readonly headSha: string
      readonly cancelled: boolean
      readonly rerun: boolean
    },
  ): void {
    const { marker } = this.#options
    const repository = this.#repository(plan)
    const durationMs = Math.round(this.between(...job.minutes) * MINUTE_MS)
    const conclusion: Conclusion = this.#random() < 0.06 ? 'failure' : 'success'
    const jobId = 52_000_000_000 + this.#nextId++
    // A newer push cancels what still waits, or has just started.
    const cancelAt = run.cancelled
      ? { cancelAt: this.#clock.now() + Math.round(this.between(5_000, 90_000)) }
      : {}
    const queued: DoubleJob = {
      repository,
      installationId: 5001,
      jobId,
      runId: run.runId,
      attempt: 1,
      workflow: plan.workflow,
      name: job.name,
      // Both spellings are in use.
      labels:
        this.#nextId % 3 === 0
          ? [[marker, ...job.labels, `run-${run.runId}`].join('/')]
          : [marker, ...job.labels],
      headBranch:
        plan.event === 'pull_request' ? `feature/${run.headSha.slice(0, 6)}` : repository.defaultBranch,
      headSha: run.headSha,
      event: plan.event,
      headRepositoryId: repository.id,
      script: { durationMs, conclusion, ...cancelAt },
      ...(job.load ? { load: job.load } : {}),
    }
    this.#github.queue(queued)
    if (conclusion === 'failure' && run.rerun)
      this.#clock.after(durationMs + 10 * MINUTE_MS, () => this.#rerun(jobId))
  }

  #rerun(jobId: number): void {
    this.#github.runAgain(jobId, {
      durationMs: Math.round(this.between(2, 5) * MINUTE_MS),
      conclusion: 'success',
    })
  }

  #repository({ repository, private: isPrivate }: WorkflowPlan): DoubleRepository {
    const { login, id } = this.#options.owner
    const index = [...new Set(WORKFLOWS.map(plan => plan.repository))].indexOf(repository)
    return {
      id: 7001 + index,
      name: `${login}/${repository}`,
      private: isPrivate,
      ownerId: id,
      ownerType: 'Organization',
      defaultBranch: 'main',
    }
  }

  #hex(length: number): string {
    return Array.from({ length }, () => Math.floor(this.#random() * 16).toString(16)).join('')
  }
}

/** Times of the runs of a day before `end`: most of them in working hours. */
function runTimes({ event, runs, workflow }: WorkflowPlan, end: number, wanted = runs): number[] {
  if (event === 'schedule') return [lastHour(end, 2)]
  const random = generator(runs * 7919 + workflow.length)
  const times: number[] = []
  while (times.length < wanted) {
    const at = end - DAY_MS + random() * (DAY_MS - HOUR_MS / 2)
    if (random() < load(new Date(at).getUTCHours())) times.push(Math.round(at))
  }
  return times.sort((a, b) => a - b)
}

/** Runs of a day some weeks ago: fewer at the weekend, more of late. */
function historyTimes(plan: WorkflowPlan, end: number, daysAgo: number): number[] {
  const weekday = new Date(end).getUTCDay()
  const isWeekend = weekday === 0 || weekday === 6
  if (plan.event === 'schedule') return isWeekend ? [] : runTimes(plan, end)
  const growth = 1.3 - (0.6 * daysAgo) / SAMPLE_HISTORY_DAYS
  const share = HISTORY_SHARE * growth * (isWeekend ? 0.25 : 1)
  return runTimes({ ...plan, runs: plan.runs * 31 + daysAgo }, end, Math.round(plan.runs * share))
}

/** Share of the day's busiest hour. */
function load(hour: number): number {
  if (hour >= 9 && hour < 18) return hour === 12 ? 0.6 : 1
  return hour >= 7 && hour < 22 ? 0.35 : 0.06
}

/** The last time before `end` at which it was `hour` o'clock. */
function lastHour(end: number, hour: number): number {
  const midnight = end - (end % DAY_MS)
  const at = midnight + hour * HOUR_MS
  return at < end - HOUR_MS ? at : at - DAY_MS
}
