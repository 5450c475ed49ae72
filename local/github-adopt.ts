/**
 * Reads payloads that came from outside, complete or not, so that later deliveries of the same job can repeat what
 * they said and yet lack nothing.
 */
import {
  type Envelope,
  envelopeOf,
  hex,
  identityOf,
  type JobIdentity,
  type PayloadJob,
  type PayloadRepository,
} from './payloads.ts'

/** What a delivery from outside tells of its job: the job, and the parts that later deliveries must repeat. */
export interface AdoptedPayload {
  readonly job: PayloadJob
  readonly status: 'queued' | 'waiting'
  readonly createdAt: number
  /** The `workflow_job` of the payload, with what it lacked. */
  readonly base: JobIdentity
  readonly envelope: Envelope
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Reads a `queued` or `waiting` payload. Only the ids of job and run and the repository's id and full name must be
 * there; the rest is filled in.
 * @param now when the job was created if the payload does not say (those of old servers do not)
 * @returns null for any other payload
 */
export function readPayload(payload: unknown, now: number): AdoptedPayload | null {
  const root = fields(payload)
  const base = fields(root.workflow_job)
  const job = readJob(root, base)
  if (!job || (root.action !== 'queued' && root.action !== 'waiting')) return null
  const created = Date.parse(text(base.created_at) ?? text(base.started_at) ?? '')
  const createdAt = Number.isNaN(created) ? now : created
  return {
    job,
    status: root.action === 'waiting' || base.status === 'waiting' ? 'waiting' : 'queued',
    createdAt,
    base: keepIdentity(base, identityOf(job, createdAt)),
    envelope: keepEnvelope(root, job),
  }
}

function readJob(root: Fields, base: Fields): PayloadJob | null {
  const repository = readRepository(root)
  const jobId = integer(base.id)
  const runId = integer(base.run_id)
  if (!repository || jobId === null || runId === null) return null
  return {
    repository,
    installationId: integer(fields(root.installation).id),
    jobId,
    runId,
    attempt: integer(base.run_attempt) ?? 1,
    workflow: text(base.workflow_name),
    name: text(base.name) ?? 'job',
    labels: Array.isArray(base.labels) ? base.labels.filter(label => typeof label === 'string') : [],
    headBranch: text(base.head_branch),
    headSha: text(base.head_sha) ?? hex(`commit ${repository.id} ${runId}`, 40),
  }
}

function readRepository(root: Fields): PayloadRepository | null {
  const given = fields(root.repository)
  const owner = fields(given.owner)
  const id = integer(given.id)
  const name = text(given.full_name)
  if (id === null || name === null || !/^[^/\s]+\/[^/\s]+$/.test(name)) return null
  return {
    id,
    name,
    private: given.private === true,
    ownerId: integer(owner.id) ?? integer(fields(root.organization).id) ?? 0,
    ownerType: root.organization || owner.type === 'Organization' ? 'Organization' : 'User',
    defaultBranch: text(given.default_branch) ?? 'main',
  }
}

function keepIdentity(given: Fields, complete: JobIdentity): JobIdentity {
  const { id, run_id, run_attempt, labels } = complete
  return { ...fillIn(given, complete), id, run_id, run_attempt, labels }
}

/** Keeps what a payload says beside its job. Optional objects that are absent stay absent. */
function keepEnvelope(root: Fields, job: PayloadJob): Envelope {
  const { action: _, workflow_job: __, installation, ...given } = root
  const { organization, installation: id, ...required } = envelopeOf(job)
  return {
    ...fillIn(given, required),
    ...(given.organization && organization ? { organization: fillIn(given.organization, organization) } : {}),
    ...(id ? { installation: fillIn(installation, id) } : {}),
  }
}

/** Fields that may be null although the factory fills them. */
const NULLABLE = new Set([
  'head_branch',
  'workflow_name',
  'language',
  'license',
  'description',
  'gravatar_id',
])

/** `given` where it has a value of the right kind, else `complete`; objects field by field, with further fields kept. */
function fillIn<T>(given: unknown, complete: T, key = ''): T {
  if (given === undefined || !fits(given, complete, key)) return complete
  if (!isObject(given) || !isObject(complete)) return given as T
  const merged: Record<string, unknown> = { ...given }
  for (const [name, value] of Object.entries(complete)) merged[name] = fillIn(given[name], value, name)
  return merged as T
}

function fits(given: unknown, complete: unknown, key: string): boolean {
  if (given === null) return complete === null || NULLABLE.has(key)
  // GitHub sends "" for a repository without a homepage, which its own schema (a URI, or null) refuses.
  if (key === 'homepage') return isUrl(given)
  if (complete === null) return true
  if (isUrl(complete)) return isUrl(given)
  return typeof given === typeof complete && Array.isArray(given) === Array.isArray(complete)
}

function isUrl(value: unknown): boolean {
  return typeof value === 'string' && /^[a-z]+:\/\/\S+$/.test(value)
}
function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
function fields(value: unknown): Fields {
  return isObject(value) ? value : {}
}
function integer(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : null
}
function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
