/**
 * Complete `workflow_job` payloads: every field that a delivery of GitHub has, so that whatever reads more than
 * tornade does today (and every published schema) finds it. Shapes: the schemas webhook-workflow-job-* of
 * https://github.com/octokit/openapi-webhooks
 *
 * Fidelity: repositories look as if nobody stars, forks or pushes to them (counts and dates stand still), and a
 * `deployment`, which GitHub adds for jobs behind an environment, is left out.
 */
import { createHash } from 'node:crypto'
import type { EmitterWebhookEvent } from '@octokit/webhooks'
import type { GitHubRunnerRef, RepositoryRef } from '../functions/core/types.ts'

export type WorkflowJobPayload = EmitterWebhookEvent<'workflow_job'>['payload']
export type WorkflowJobAction = WorkflowJobPayload['action']
type QueuedPayload = EmitterWebhookEvent<'workflow_job.queued'>['payload']
type Step = QueuedPayload['workflow_job']['steps'][number]
type User = QueuedPayload['sender']

/** Everything of a payload beside `action` and `workflow_job`; one object serves all deliveries of a repository. */
export type Envelope = Pick<QueuedPayload, 'repository' | 'sender'> &
  Partial<Pick<QueuedPayload, 'organization' | 'installation' | 'enterprise' | 'deployment'>>

/** What is known of a repository; `name` is owner/name. */
export interface PayloadRepository extends RepositoryRef {
  readonly ownerId: number
  readonly ownerType: 'Organization' | 'User'
  readonly defaultBranch: string
  /** Whether a private repository may be forked; a public one always may. */
  readonly allowForking?: boolean
}

/** What stays the same over the life of a job. */
export interface PayloadJob {
  readonly repository: PayloadRepository
  /** null for a webhook that belongs to no GitHub App: its payloads have no `installation`. */
  readonly installationId: number | null
  readonly jobId: number
  readonly runId: number
  readonly attempt: number
  readonly workflow: string | null
  readonly name: string
  readonly labels: readonly string[]
  readonly headBranch: string | null
  readonly headSha: string
}

export const CONCLUSIONS = [
  'success',
  'failure',
  'cancelled',
  'skipped',
  'neutral',
  'timed_out',
  'action_required',
] as const
export type Conclusion = (typeof CONCLUSIONS)[number]

/** Where a job stands when a delivery tells of it. Times are milliseconds since 1970; payloads have whole seconds. */
export interface PayloadMoment {
  readonly status: 'queued' | 'waiting' | 'in_progress' | 'completed'
  readonly conclusion: Conclusion | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly completedAt: number | null
  /** null before a runner has taken the job, and for good when none ever did. */
  readonly runner: GitHubRunnerRef | null
}

/** A repository for examples and tests. */
export const ACME_APP: PayloadRepository = {
  id: 7001,
  name: 'acme/app',
  private: true,
  ownerId: 9919,
  ownerType: 'Organization',
  defaultBranch: 'main',
}

/**
 * A whole payload. What is left out is that of an ordinary job of acme/app: pushed to main, attempt 1, created at
 * the start of June 2026, queued; runs for a minute on a runner if `action` says that it ran.
 */
export function workflowJobPayload(
  facts: { readonly action: WorkflowJobAction } & Partial<PayloadJob> & Partial<PayloadMoment>,
): WorkflowJobPayload {
  const repository = facts.repository ?? ACME_APP
  const jobId = facts.jobId ?? 41_000_000_001
  const runId = facts.runId ?? 17_000_000_001
  const job: PayloadJob = {
    repository,
    installationId: 5001,
    jobId,
    runId,
    attempt: 1,
    workflow: 'CI',
    name: 'build',
    labels: ['tornade'],
    headBranch: repository.defaultBranch,
    headSha: hex(`commit ${repository.id} ${runId}`, 40),
    ...facts,
  }
  return assemble(facts.action, job, { ...ordinaryMoment(facts), ...facts }, envelopeOf(job))
}

function ordinaryMoment(facts: {
  readonly action: WorkflowJobAction
  readonly createdAt?: number
}): PayloadMoment {
  const createdAt = facts.createdAt ?? Date.UTC(2026, 5, 1)
  const ran = facts.action === 'in_progress' || facts.action === 'completed'
  return {
    status: facts.action,
    conclusion: facts.action === 'completed' ? 'success' : null,
    createdAt,
    startedAt: ran ? createdAt + 30_000 : null,
    completedAt: facts.action === 'completed' ? createdAt + 90_000 : null,
    runner: ran ? { id: 1, name: 'tornade-1' } : null,
  }
}

/**
 * Joins the parts to a payload. `base` is the `workflow_job` of the delivery through which the job became known, if
 * it came from outside; of its fields those change that follow the life of a job.
 */
export function assemble(
  action: WorkflowJobAction,
  job: PayloadJob,
  moment: PayloadMoment,
  envelope: Envelope,
  base?: JobIdentity,
): WorkflowJobPayload {
  const identity = base ?? identityOf(job, moment.createdAt)
  return { action, workflow_job: { ...identity, ...progressOf(moment) }, ...envelope } as WorkflowJobPayload
}

/** The part of `workflow_job` that stays the same over the life of a job. */
export type JobIdentity = ReturnType<typeof identityOf>

export function identityOf(job: PayloadJob, createdAt: number) {
  const api = `https://api.github.com/repos/${job.repository.name}`
  const run = `https://github.com/${job.repository.name}/actions/runs/${job.runId}`
  return {
    id: job.jobId,
    run_id: job.runId,
    workflow_name: job.workflow,
    head_branch: job.headBranch,
    run_url: `${api}/actions/runs/${job.runId}`,
    run_attempt: job.attempt,
    node_id: nodeId('CR', job.repository.id, job.jobId),
    head_sha: job.headSha,
    url: `${api}/actions/jobs/${job.jobId}`,
    html_url: `${run}/job/${job.jobId}`,
    created_at: timestamp(createdAt),
    name: job.name,
    check_run_url: `${api}/check-runs/${job.jobId}`,
    labels: job.labels,
  }
}

/** At repository level the one runner group is 1, "Default"; GitHub leaves all four null until a runner has the job. */
function progressOf(moment: PayloadMoment) {
  return {
    status: moment.status,
    conclusion: moment.conclusion,
    started_at: timestamp(moment.startedAt ?? moment.createdAt),
    completed_at: moment.completedAt === null ? null : timestamp(moment.completedAt),
    steps: stepsOf(moment),
    runner_id: moment.runner?.id ?? null,
    runner_name: moment.runner?.name ?? null,
    runner_group_id: moment.runner ? 1 : null,
    runner_group_name: moment.runner ? 'Default' : null,
  }
}

/** The steps that every job has; a job that no runner took has none. */
function stepsOf(moment: PayloadMoment): Step[] {
  if (!moment.runner || moment.startedAt === null) return []
  const start = stepTime(moment.startedAt)
  if (moment.completedAt === null || moment.conclusion === null) {
    return [step('Set up job', 1, 'in_progress', null, start, null)]
  }
  const end = stepTime(moment.completedAt)
  return [
    step('Set up job', 1, 'completed', 'success', start, start),
    step('Run', 2, 'completed', stepConclusion(moment.conclusion), start, end),
    step('Complete job', 3, 'completed', 'success', end, end),
  ]
}

function step(
  name: string,
  number: number,
  status: Step['status'],
  conclusion: Step['conclusion'],
  started_at: string,
  completed_at: string | null,
): Step {
  return { name, status, conclusion, number, started_at, completed_at }
}

/** Steps know fewer conclusions than jobs. */
function stepConclusion(conclusion: Conclusion): Step['conclusion'] {
  if (conclusion === 'success' || conclusion === 'cancelled' || conclusion === 'skipped') return conclusion
  return conclusion === 'neutral' ? 'success' : 'failure'
}

const envelopes = new Map<string, Envelope>()

/** The envelope of a repository's deliveries; the same object for the same repository and installation. */
export function envelopeOf(job: Pick<PayloadJob, 'repository' | 'installationId'>): Envelope {
  const key = JSON.stringify([job.repository, job.installationId])
  const known = envelopes.get(key)
  if (known) return known
  const envelope = makeEnvelope(job.repository, job.installationId)
  envelopes.set(key, envelope)
  return envelope
}

function makeEnvelope(repository: PayloadRepository, installationId: number | null): Envelope {
  const login = ownerOf(repository.name)
  return {
    repository: repositoryOf(repository),
    ...(repository.ownerType === 'Organization'
      ? { organization: organizationOf(login, repository.ownerId) }
      : {}),
    sender: userOf(`${login}-robin`, repository.ownerId * 10 + 1, 'User'),
    ...(installationId === null
      ? {}
      : { installation: { id: installationId, node_id: nodeId('I', installationId, 0) } }),
  }
}

function repositoryOf(repository: PayloadRepository): Envelope['repository'] {
  const { id, name: fullName } = repository
  const login = ownerOf(fullName)
  return {
    id,
    node_id: nodeId('R', id, 0),
    name: fullName.slice(login.length + 1),
    full_name: fullName,
    private: repository.private,
    owner: userOf(login, repository.ownerId, repository.ownerType),
    html_url: `https://github.com/${fullName}`,
    description: null,
    fork: false,
    ...repositoryUrls(fullName),
    created_at: '2024-03-01T09:00:00Z',
    updated_at: '2026-05-29T16:20:31Z',
    pushed_at: '2026-05-29T16:20:27Z',
    git_url: `git://github.com/${fullName}.git`,
    ssh_url: `git@github.com:${fullName}.git`,
    clone_url: `https://github.com/${fullName}.git`,
    svn_url: `https://github.com/${fullName}`,
    homepage: null,
    size: 2048,
    stargazers_count: 0,
    watchers_count: 0,
    language: 'TypeScript',
    has_issues: true,
    has_projects: true,
    has_downloads: true,
    has_wiki: false,
    has_pages: false,
    has_discussions: false,
    forks_count: 0,
    mirror_url: null,
    archived: false,
    disabled: false,
    open_issues_count: 0,
    license: repository.private ? null : MIT,
    allow_forking: repository.allowForking ?? !repository.private,
    is_template: false,
    web_commit_signoff_required: false,
    topics: [],
    visibility: repository.private ? 'private' : 'public',
    forks: 0,
    open_issues: 0,
    watchers: 0,
    default_branch: repository.defaultBranch,
    custom_properties: {},
  }
}

const MIT = {
  key: 'mit',
  name: 'MIT License',
  spdx_id: 'MIT',
  url: 'https://api.github.com/licenses/mit',
  node_id: nodeId('L', 13, 0),
}

function repositoryUrls(fullName: string) {
  const api = `https://api.github.com/repos/${fullName}`
  return {
    url: api,
    forks_url: `${api}/forks`,
    keys_url: `${api}/keys{/key_id}`,
    collaborators_url: `${api}/collaborators{/collaborator}`,
    teams_url: `${api}/teams`,
    hooks_url: `${api}/hooks`,
    issue_events_url: `${api}/issues/events{/number}`,
    events_url: `${api}/events`,
    assignees_url: `${api}/assignees{/user}`,
    branches_url: `${api}/branches{/branch}`,
    tags_url: `${api}/tags`,
    blobs_url: `${api}/git/blobs{/sha}`,
    git_tags_url: `${api}/git/tags{/sha}`,
    git_refs_url: `${api}/git/refs{/sha}`,
    trees_url: `${api}/git/trees{/sha}`,
    statuses_url: `${api}/statuses/{sha}`,
    languages_url: `${api}/languages`,
    stargazers_url: `${api}/stargazers`,
    contributors_url: `${api}/contributors`,
    subscribers_url: `${api}/subscribers`,
    subscription_url: `${api}/subscription`,
    commits_url: `${api}/commits{/sha}`,
    git_commits_url: `${api}/git/commits{/sha}`,
    comments_url: `${api}/comments{/number}`,
    issue_comment_url: `${api}/issues/comments{/number}`,
    contents_url: `${api}/contents/{+path}`,
    compare_url: `${api}/compare/{base}...{head}`,
    merges_url: `${api}/merges`,
    archive_url: `${api}/{archive_format}{/ref}`,
    downloads_url: `${api}/downloads`,
    issues_url: `${api}/issues{/number}`,
    pulls_url: `${api}/pulls{/number}`,
    milestones_url: `${api}/milestones{/number}`,
    notifications_url: `${api}/notifications{?since,all,participating}`,
    labels_url: `${api}/labels{/name}`,
    releases_url: `${api}/releases{/id}`,
    deployments_url: `${api}/deployments`,
  }
}

function organizationOf(login: string, id: number): NonNullable<Envelope['organization']> {
  const api = `https://api.github.com/orgs/${login}`
  return {
    login,
    id,
    node_id: nodeId('O', id, 0),
    url: api,
    repos_url: `${api}/repos`,
    events_url: `${api}/events`,
    hooks_url: `${api}/hooks`,
    issues_url: `${api}/issues`,
    members_url: `${api}/members{/member}`,
    public_members_url: `${api}/public_members{/member}`,
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    description: null,
  }
}

function userOf(login: string, id: number, type: 'User' | 'Organization'): User {
  const api = `https://api.github.com/users/${login}`
  return {
    login,
    id,
    node_id: nodeId(type === 'User' ? 'U' : 'O', id, 0),
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    gravatar_id: '',
    url: api,
    html_url: `https://github.com/${login}`,
    followers_url: `${api}/followers`,
    following_url: `${api}/following{/other_user}`,
    gists_url: `${api}/gists{/gist_id}`,
    starred_url: `${api}/starred{/owner}{/repo}`,
    subscriptions_url: `${api}/subscriptions`,
    organizations_url: `${api}/orgs`,
    repos_url: `${api}/repos`,
    events_url: `${api}/events{/privacy}`,
    received_events_url: `${api}/received_events`,
    type,
    user_view_type: 'public',
    site_admin: false,
  }
}

function ownerOf(fullName: string): string {
  return fullName.slice(0, fullName.indexOf('/'))
}

/** GitHub's times have whole seconds. */
function timestamp(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`
}
function stepTime(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}.000Z`
}

/** Looks like a node id (a type and something in base64); it cannot be decoded. */
function nodeId(type: string, first: number, second: number): string {
  return `${type}_kwDO${Buffer.from(`${first}:${second}`).toString('base64url')}`
}

/** As many hexadecimal digits as wanted (at most 64), the same for the same seed. */
export function hex(seed: string, digits: number): string {
  return createHash('sha256').update(seed).digest('hex').slice(0, digits)
}
