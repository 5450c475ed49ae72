/**
 * A month of a busy company, the same one for the same seed: some 40 repositories and 150 workflows that sleep at
 * night and at the weekend. It comes as deliveries in GitHub's own form, and as what the ledger holds once all is over.
 */
import { DEFAULT_CONFIG, labelRules } from '../functions/config.ts'
import { jobKey } from '../functions/core/delivery.ts'
import { readLabels } from '../functions/core/labels.ts'
import { newJob, newRunner, priced, withCost } from '../functions/core/lifecycle.ts'
import { firstCapacity, runnerName, startRequest } from '../functions/core/plan.ts'
import type { Claim, Job, JobRequest, Runner, Spec } from '../functions/core/types.ts'
import {
  type Conclusion,
  hex,
  type PayloadRepository,
  type WorkflowJobPayload,
  workflowJobPayload,
} from '../local/payloads.ts'
import { Dice } from '../local/random.ts'

export interface MonthOptions {
  readonly jobs?: number
  readonly days?: number
  readonly seed?: number
  /** A Monday, midnight UTC. */
  readonly start?: number
}

/** One attempt of one job. Times are milliseconds since 1970, whole seconds as GitHub has them. */
export interface MonthJob {
  readonly repository: PayloadRepository
  readonly jobId: number
  readonly runId: number
  readonly attempt: number
  readonly workflow: string
  readonly name: string
  readonly labels: readonly string[]
  readonly headBranch: string
  readonly headSha: string
  readonly createdAt: number
  /** null when it was cancelled, or refused, before a runner had it. */
  readonly startedAt: number | null
  readonly completedAt: number
  readonly conclusion: Conclusion
  /** Spot took its runner while it ran. */
  readonly lost: boolean
  /** Key of the job lost to Spot whose re-run this is. */
  readonly rerunOf: string | null
}

/** GitHub's delivery object, as `GET /app/hook/deliveries/{id}` answers it, reduced to what `replay` reads. */
export interface MonthDelivery {
  readonly guid: string
  readonly event: 'workflow_job'
  readonly delivered_at: string
  readonly request: {
    readonly headers: Readonly<Record<string, string>>
    readonly payload: WorkflowJobPayload
  }
}

interface Workflow {
  readonly repository: PayloadRepository
  readonly name: string
  /** Of each of its jobs. */
  readonly jobs: readonly {
    readonly name: string
    readonly labels: readonly string[]
    readonly seconds: number
  }[]
  /** How often it runs, beside others. */
  readonly weight: number
}

const SECOND_MS = 1000
const HOUR_SECONDS = 3600
/** Monday. */
const START = Date.UTC(2026, 9, 5)
const REPOSITORIES = 40
const WORKFLOWS = 150
const [SHORTEST_SECONDS, LONGEST_SECONDS] = [30, 1800]

const PRODUCTS = ['shop', 'pay', 'search', 'maps', 'mail', 'data', 'auth', 'media', 'infra', 'docs']
const PARTS = ['api', 'web', 'worker', 'tools']
const WORKFLOW_NAMES = [
  'CI',
  'Release',
  'Nightly',
  'Déploiement',
  'ビルドとテスト',
  'Prüfung',
  'Сборка',
  'e2e 🚀',
  'Lint & format',
  '依存関係の更新',
]
const JOB_NAMES = ['build', 'test (ubuntu, 20)', 'test (ubuntu, 22)', 'überprüfen', '結合テスト', 'package']
const BRANCHES = ['main', 'main', 'feature/größe', 'fix/typo', 'renovate/all', '機能/検索']
/** Labels and how many of a hundred workflows use them. The last ones cannot be served. */
const LABELS: readonly (readonly [number, readonly string[]])[] = [
  [30, ['tornade']],
  [16, ['tornade', 'spot']],
  [12, ['tornade/arm64/spot']],
  [10, ['tornade', '4cpu', 'spot']],
  [8, ['tornade/arm64/4cpu/8gb']],
  [7, ['tornade', '8cpu', '32gb']],
  [5, ['tornade', '1cpu', 'spot-only']],
  [5, ['tornade', 'codebuild']],
  [4, ['tornade', 'docker', '4cpu']],
  [2, ['tornade', 'disk:60gb', 'spot']],
  [1, ['tornade', '5cpu']],
]
/** By the hour of a working day, UTC; a tenth of it at the weekend. */
const BY_HOUR = [1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 16, 12, 16, 18, 17, 14, 9, 6, 4, 3, 2, 2, 1]
const AT_WEEKEND = 0.1

/** All jobs of the month by the time of their creation; exactly as many as asked for. */
export function month({ jobs = 100_000, days = 30, seed = 1, start = START }: MonthOptions = {}): MonthJob[] {
  const workflows = workflowsOf(seed)
  const shares = sharesOf(workflows.map(({ weight }) => weight))
  const when = new Dice(seed, 'when')
  const which = new Dice(seed, 'which')
  const what = new Dice(seed, 'what')
  const hours = hoursOf(days)
  const made: MonthJob[] = []
  let runId = 17_000_000_000
  let jobId = 41_000_000_000
  while (made.length < jobs) {
    const seconds = Math.floor((at(hours, when.number()) + when.number()) * HOUR_SECONDS)
    const createdAt = start + seconds * SECOND_MS
    const workflow = workflows[at(shares, which.number())]!
    runId++
    const run = {
      repository: workflow.repository,
      runId,
      workflow: workflow.name,
      headBranch: what.pick(BRANCHES),
    }
    const headSha = hex(`commit ${seed} ${runId}`, 40)
    for (const { name, labels, seconds } of workflow.jobs) {
      const first = jobOf(
        { ...run, headSha, name, labels, jobId: ++jobId, attempt: 1 },
        createdAt,
        seconds,
        what,
        null,
      )
      made.push(first)
      const again = first.lost || (first.conclusion === 'failure' && what.chance(0.3))
      if (!again) continue
      const later = first.completedAt + (first.lost ? 120 : what.whole(60, 3600)) * SECOND_MS
      const facts = { ...run, headSha, name, labels, jobId: ++jobId, attempt: 2 }
      made.push(jobOf(facts, later, seconds, what, first.lost ? jobKey(first.jobId, 1) : null))
    }
  }
  made.length = jobs
  return made.sort((a, b) => a.createdAt - b.createdAt || a.jobId - b.jobId)
}

/** The deliveries of these jobs as they came: queued, in_progress and completed of each, or queued and completed. */
export function* deliveriesOf(jobs: readonly MonthJob[]): Generator<MonthDelivery> {
  const later: {
    readonly at: number
    readonly job: MonthJob
    readonly action: 'in_progress' | 'completed'
  }[] = []
  for (const job of jobs) {
    const { startedAt, completedAt } = job
    if (startedAt !== null) later.push({ at: startedAt, job, action: 'in_progress' })
    later.push({ at: completedAt, job, action: 'completed' })
  }
  later.sort((a, b) => a.at - b.at)
  let next = 0
  for (const job of jobs) {
    for (; next < later.length && later[next]!.at < job.createdAt; next++)
      yield deliveryOf(later[next]!.job, later[next]!.action)
    yield deliveryOf(job, 'queued')
  }
  for (; next < later.length; next++) yield deliveryOf(later[next]!.job, later[next]!.action)
}

/** What the ledger holds of these jobs once each is in its final state; `runner` is null where none was started. */
export function* ledgerOf(jobs: readonly MonthJob[]): Generator<{ job: Job; runner: Runner | null }> {
  const rules = labelRules(DEFAULT_CONFIG, { limits: true })
  for (const facts of jobs) {
    const request = requestOf(facts)
    const queued: Job = { ...newJob(request), version: 3, queuedAt: facts.createdAt + SECOND_MS }
    const reading = readLabels(facts.labels, rules)
    if (reading.outcome === 'problems') {
      const at = facts.createdAt + 2 * SECOND_MS
      const completed = { at: facts.completedAt, conclusion: facts.conclusion, startedAt: null, runner: null }
      yield {
        job: { ...queued, refused: { at, code: 'labels', problems: reading.problems }, completed },
        runner: null,
      }
    } else if (reading.outcome === 'spec') yield itemsOf(facts, queued, reading.spec)
  }
}

function itemsOf(facts: MonthJob, queued: Job, spec: Spec): { job: Job; runner: Runner } {
  const { request } = queued
  const name = runnerName(DEFAULT_CONFIG.marker, request.key, 1)
  const kind =
    facts.rerunOf && spec.capacity === 'spot'
      ? ({ compute: 'fargate', capacity: 'on-demand' } as const)
      : firstCapacity(spec)
  const start = startRequest(spec, request.repository, name, 1, kind)
  const claim: Claim = {
    generation: 1,
    attempt: 1,
    cause: 'job',
    runner: name,
    request: start,
    owner: '',
    leaseUntil: 0,
  }
  const ref = { id: facts.jobId - 40_000_000_000, name }
  const { startedAt, completedAt, conclusion } = facts
  // Of a job that was cancelled at once the runner was on its way all the same.
  const launchedAt = queued.queuedAt! + SECOND_MS
  const up = startedAt === null ? null : startedAt - 4 * SECOND_MS
  const pull =
    up === null
      ? Math.min(completedAt, launchedAt + 12 * SECOND_MS)
      : Math.max(launchedAt, up - 8 * SECOND_MS)
  const stoppedAt = Math.max(pull, completedAt) + 3 * SECOND_MS
  const provider = `arn:aws:ecs:us-east-1:111122223333:task/tornade/${hex(name, 32)}`
  const runner = priced({
    ...newRunner(name),
    version: 6,
    launch: {
      at: launchedAt,
      cause: 'job',
      generation: 1,
      jobKey: request.key,
      repository: request.repository,
      installationId: request.installationId,
      labels: request.labels,
      shape: start.shape,
      role: spec.role,
      region: DEFAULT_CONFIG.region,
      timeoutMinutes: spec.timeoutMinutes,
    },
    registration: { id: ref.id, name, at: launchedAt + SECOND_MS },
    providerId: provider,
    ticketKey: `AROAEXAMPLE:${hex(name, 32)}`,
    pullStartedAt: pull,
    startedAt: up,
    stoppingAt: stoppedAt - 2 * SECOND_MS,
    stoppedAt,
    stop: facts.lost
      ? { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }
      : {
          code: startedAt === null ? 'UserInitiated' : 'EssentialContainerExited',
          reason: 'Essential container in task exited',
        },
    job:
      startedAt === null
        ? null
        : {
            key: request.key,
            startedAt,
            completedAt,
            conclusion,
            publicRepository: !request.repository.private,
          },
    deregisteredAt: startedAt === null ? completedAt : null,
    stopRequestedAt: startedAt === null ? completedAt : null,
    cleanedAt: stoppedAt + SECOND_MS,
  })
  const job: Job = {
    ...queued,
    spec,
    started: startedAt === null ? null : { at: startedAt, runner: ref },
    completed: { at: completedAt, conclusion, startedAt, runner: startedAt === null ? null : ref },
    claim,
    runner: name,
    lostTo: facts.lost ? 'spot' : null,
    rerunOf: facts.rerunOf,
  }
  return { job: withCost(job, runner), runner }
}

function requestOf(facts: MonthJob): JobRequest {
  const { repository, jobId, attempt, runId, workflow, name, headBranch, headSha, labels, createdAt } = facts
  return {
    key: jobKey(jobId, attempt),
    jobId,
    attempt,
    runId,
    repository: { id: repository.id, name: repository.name, private: repository.private },
    ownerId: repository.ownerId,
    installationId: 5001,
    workflow,
    name,
    headBranch,
    headSha,
    labels,
    createdAt,
    mayBeFork: !repository.private,
  }
}

function deliveryOf(job: MonthJob, action: 'queued' | 'in_progress' | 'completed'): MonthDelivery {
  const { startedAt, completedAt } = job
  const at = action === 'queued' ? job.createdAt : action === 'completed' ? completedAt : startedAt!
  const guid = hex(`delivery ${job.jobId} ${action}`, 32)
  const payload = workflowJobPayload({
    ...job,
    action,
    status: action,
    conclusion: action === 'completed' ? job.conclusion : null,
    startedAt: action === 'queued' ? null : startedAt,
    completedAt: action === 'completed' ? completedAt : null,
    runner:
      action === 'queued' || startedAt === null
        ? null
        : { id: job.jobId - 40_000_000_000, name: `tornade-${jobKey(job.jobId, job.attempt)}-1` },
  })
  return {
    guid: `${guid.slice(0, 8)}-${guid.slice(8, 12)}-${guid.slice(12, 16)}-${guid.slice(16, 20)}-${guid.slice(20)}`,
    event: 'workflow_job',
    delivered_at: `${new Date(at + SECOND_MS).toISOString().slice(0, 19)}Z`,
    request: {
      headers: {
        'Content-Type': 'application/json',
        'User-Agent': 'GitHub-Hookshot/4f1c9d2',
        'X-GitHub-Event': 'workflow_job',
      },
      payload,
    },
  }
}

type Identity = Pick<
  MonthJob,
  'repository' | 'runId' | 'jobId' | 'attempt' | 'workflow' | 'name' | 'labels' | 'headBranch' | 'headSha'
>

function jobOf(
  identity: Identity,
  createdAt: number,
  usual: number,
  dice: Dice,
  rerunOf: string | null,
): MonthJob {
  const waited = dice.chance(0.02) ? dice.whole(120, 1800) : dice.whole(22, 60)
  const spread = 0.7 + 0.6 * dice.number()
  const seconds = Math.round(Math.min(LONGEST_SECONDS, Math.max(SHORTEST_SECONDS, usual * spread)))
  const spot = identity.labels.some(label => label.split('/').some(part => part.startsWith('spot')))
  const [fate, cut] = [dice.number(), dice.number()]
  const whole = { ...identity, createdAt, rerunOf, lost: false }
  const startedAt = createdAt + waited * SECOND_MS
  if (identity.labels.includes('5cpu'))
    return { ...whole, startedAt: null, completedAt: createdAt + 5 * SECOND_MS, conclusion: 'cancelled' }
  if (fate < 0.015)
    return {
      ...whole,
      startedAt: null,
      completedAt: createdAt + Math.ceil(cut * waited) * SECOND_MS,
      conclusion: 'cancelled',
    }
  const cutAt = startedAt + Math.max(1, Math.floor(cut * seconds)) * SECOND_MS
  if (fate < 0.03) return { ...whole, startedAt, completedAt: cutAt, conclusion: 'cancelled' }
  if (fate < 0.034 && spot && rerunOf === null && identity.attempt === 1)
    return { ...whole, startedAt, completedAt: cutAt, conclusion: 'failure', lost: true }
  const completedAt = startedAt + seconds * SECOND_MS
  return { ...whole, startedAt, completedAt, conclusion: fate < 0.1 ? 'failure' : 'success' }
}

function workflowsOf(seed: number): Workflow[] {
  const dice = new Dice(seed, 'workflows')
  const repositories = Array.from(
    { length: REPOSITORIES },
    (_, index): PayloadRepository => ({
      id: 8000 + index,
      name: `acme/${PRODUCTS[index % PRODUCTS.length]}-${PARTS[Math.floor(index / PRODUCTS.length)]}`,
      private: index % 10 !== 9,
      ownerId: 9919,
      ownerType: 'Organization',
      defaultBranch: 'main',
    }),
  )
  const shares = LABELS.flatMap(([share, labels]) => Array.from({ length: share }, () => labels))
  return Array.from({ length: WORKFLOWS }, (_, index) => {
    const count = dice.whole(1, 5)
    return {
      repository: repositories[index % REPOSITORIES]!,
      name: WORKFLOW_NAMES[(Math.floor(index / REPOSITORIES) * 3 + index) % WORKFLOW_NAMES.length]!,
      jobs: JOB_NAMES.slice(0, count).map(name => ({
        name,
        labels: dice.pick(shares),
        // As many short ones as long ones, by their order of magnitude.
        seconds: SHORTEST_SECONDS * (LONGEST_SECONDS / SHORTEST_SECONDS) ** dice.number(),
      })),
      weight: 1 / (1 + (index % 23)),
    }
  })
}

/** The share of the month that is over when each of its hours is. */
function hoursOf(days: number): number[] {
  return sharesOf(
    Array.from({ length: days * 24 }, (_, hour) => {
      const weekend = Math.floor(hour / 24) % 7 >= 5
      return BY_HOUR[hour % 24]! * (weekend ? AT_WEEKEND : 1)
    }),
  )
}

/** Summed up from the first on; the last is 1. */
function sharesOf(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  return weights.map(weight => {
    sum += weight / total
    return sum
  })
}

function at(shares: readonly number[], share: number): number {
  const index = shares.findIndex(until => share < until)
  return index < 0 ? shares.length - 1 : index
}
