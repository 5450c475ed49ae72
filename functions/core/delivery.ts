/**
 * A delivery of GitHub, read into a fact about one job.
 *
 * Whether it is ours is decided from as little of it as possible, so that a delivery of somebody else's job is
 * never refused for its shape; only ours must have all that tornade acts on. Fields that older servers do not
 * send (run_attempt, head_branch, workflow_name, created_at, installation) may be absent.
 * Shape: https://docs.github.com/webhooks/webhook-events-and-payloads#workflow_job
 */
import * as z from 'zod/mini'
import { hasMarker } from './labels.ts'
import { runnerOf } from './plan.ts'
import { clean } from './text.ts'
import type { GitHubRunnerRef, JobEvent, JobRequest } from './types.ts'

export interface DeliveryRules {
  readonly marker: string
  /** Numeric ids of the accounts that may start runners; null means any. */
  readonly owners: ReadonlySet<number> | null
}

export type DeliveryReading =
  | { readonly outcome: 'ours'; readonly event: JobEvent }
  | { readonly outcome: 'ignored'; readonly reason: string }
  /** One line for each field that is not as GitHub sends it, the path first. */
  | { readonly outcome: 'invalid'; readonly fields: readonly string[] }

/**
 * Deliveries about older jobs are ignored: GitHub cancels a job that was queued for 24 hours, so nothing can come of
 * them. A job of an environment, which its delivery shows by a `deployment`, may have waited for its reviewers far
 * longer before it was queued; GitHub is asked about it before it is launched, as about any late one.
 */
const OLDEST_MS = 24 * 3_600_000

const id = z.int().check(z.minimum(1))
const time = z.string().check(z.refine(text => !Number.isNaN(Date.parse(text)), 'not a time'))
const optional = <T extends z.ZodMiniType>(type: T) => z.optional(z.nullable(type))
/** SQS takes neither of these two, and nobody writes them on purpose. */
const text = z.string().check(z.overwrite(value => value.replace(/[\uFFFE\uFFFF]/g, '\uFFFD')))

/** GitHub gives a runner at most 100 labels. What is far more could be neither queued nor stored. */
const LABELS_LIMIT = 500
const LABELS_SIZE_LIMIT = 32_768

/** One fault, however many of a million labels are none. */
const labels = z.custom<readonly string[]>(
  value => Array.isArray(value) && value.every(label => typeof label === 'string'),
  'expected a list of strings',
)

/** The least that says whose a delivery is. */
const glance = z.object({ workflow_job: z.object({ labels, runner_name: z.optional(z.unknown()) }) })

const full = z.object({
  action: text,
  workflow_job: z.object({
    id,
    run_id: id,
    run_attempt: optional(id),
    name: text,
    status: optional(text),
    conclusion: optional(text),
    head_sha: text,
    head_branch: optional(text),
    workflow_name: optional(text),
    labels: z.pipe(
      labels,
      z.array(text).check(
        z.refine(all => all.length <= LABELS_LIMIT, `over ${LABELS_LIMIT} labels`),
        z.refine(all => all.join('').length <= LABELS_SIZE_LIMIT, `over ${LABELS_SIZE_LIMIT} characters`),
      ),
    ),
    created_at: optional(time),
    started_at: optional(time),
    completed_at: optional(time),
    runner_id: optional(z.number()),
    runner_name: optional(text),
  }),
  repository: z.object({
    id,
    full_name: text.check(z.regex(/^[^/\s]+\/[^/\s]+$/, 'not owner/name')),
    private: z.optional(z.boolean()),
    allow_forking: optional(z.boolean()),
    default_branch: optional(text),
    owner: z.object({ id }),
  }),
  installation: optional(z.object({ id })),
  deployment: optional(z.object({})),
})
type Payload = z.output<typeof full>

/**
 * @param name value of X-GitHub-Event
 * @param json the parsed body
 * @param receivedAt when it came, milliseconds since 1970
 */
export function readDelivery(
  name: string,
  json: unknown,
  receivedAt: number,
  rules: DeliveryRules,
): DeliveryReading {
  if (name !== 'workflow_job') return ignored(`event ${clean(name) || '(none)'} is not workflow_job`)
  const first = glance.safeParse(json)
  if (!first.success) return invalid(first.error)
  const { labels, runner_name } = first.data.workflow_job
  const ours =
    hasMarker(labels, rules.marker) ||
    (typeof runner_name === 'string' && runnerOf(runner_name, rules.marker) !== null)
  if (!ours) return ignored(`labels do not contain ${rules.marker}`)
  const read = full.safeParse(json)
  if (!read.success) return invalid(read.error)
  const payload = read.data
  const { owner } = payload.repository
  if (rules.owners && !rules.owners.has(owner.id))
    return ignored(`owner ${owner.id} is not in owners of tornade.yml`)
  const request = jobRequest(payload, receivedAt)
  if (payload.action === 'queued' && !payload.deployment && receivedAt - request.createdAt > OLDEST_MS)
    return ignored('the job was created over 24 hours ago')
  const event = jobEvent(payload, request, receivedAt)
  return event ? { outcome: 'ours', event } : ignored(`action ${clean(payload.action)} is not acted on`)
}

/** `<job id>-<run attempt>` */
export function jobKey(jobId: number, attempt: number): string {
  return `${jobId}-${attempt}`
}

function jobEvent(
  { action, workflow_job: job }: Payload,
  request: JobRequest,
  receivedAt: number,
): JobEvent | null {
  const runner = runnerRef(job)
  switch (action) {
    case 'queued':
      // An environment gate: https://github.com/octokit/webhooks has an example of action queued, status waiting.
      return { kind: job.status === 'waiting' ? 'waiting' : 'queued', at: receivedAt, request }
    case 'waiting':
      return { kind: 'waiting', at: receivedAt, request }
    case 'in_progress':
      return runner && { kind: 'in_progress', at: parseTime(job.started_at) ?? receivedAt, request, runner }
    case 'completed':
      return {
        kind: 'completed',
        at: parseTime(job.completed_at) ?? receivedAt,
        request,
        conclusion: clean(job.conclusion ?? 'unknown'),
        runner,
        startedAt: runner && (parseTime(job.started_at) ?? null),
      }
    default:
      return null
  }
}

function jobRequest(payload: Payload, receivedAt: number): JobRequest {
  const { workflow_job: job, repository, installation } = payload
  const attempt = job.run_attempt ?? 1
  return {
    key: jobKey(job.id, attempt),
    jobId: job.id,
    attempt,
    runId: job.run_id,
    repository: {
      id: repository.id,
      name: clean(repository.full_name, 140),
      private: repository.private ?? true,
    },
    ownerId: repository.owner.id,
    installationId: installation?.id ?? null,
    workflow: job.workflow_name == null ? null : clean(job.workflow_name),
    name: clean(job.name),
    headBranch: job.head_branch == null ? null : clean(job.head_branch),
    headSha: clean(job.head_sha, 64),
    // Labels are sent to GitHub again as they are: cutting them would register a runner that fits nothing.
    labels: job.labels,
    createdAt: parseTime(job.created_at) ?? parseTime(job.started_at) ?? receivedAt,
    // A payload does not say whose run it is, only that some repositories have no forks.
    mayBeFork: repository.private === false || repository.allow_forking !== false,
    // Only who asks for a role, or for a preset that may hold one, needs it: it would be stored with every job.
    ...(repository.default_branch && job.labels.some(label => /\b(?:role|size):/i.test(label))
      ? { defaultBranch: clean(repository.default_branch) }
      : {}),
  }
}

/** GitHub writes "no runner" as null, as 0, and as an empty name. */
function runnerRef(job: Payload['workflow_job']): GitHubRunnerRef | null {
  return job.runner_id && job.runner_name ? { id: job.runner_id, name: clean(job.runner_name) } : null
}

function parseTime(text: string | null | undefined): number | null {
  return text == null ? null : Date.parse(text)
}

function ignored(reason: string): DeliveryReading {
  return { outcome: 'ignored', reason }
}

function invalid(error: z.core.$ZodError): DeliveryReading {
  return {
    outcome: 'invalid',
    fields: error.issues.map(issue => `${issue.path.map(String).join('.') || 'payload'}: ${describe(issue)}`),
  }
}

function describe(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${issue.expected}`
    case 'too_small':
      return 'too small'
    case 'invalid_format':
    case 'custom':
      return issue.message || 'not in the expected form'
    default:
      return 'not as GitHub sends it'
  }
}
