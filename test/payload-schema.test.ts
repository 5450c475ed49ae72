import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { verify } from '@octokit/webhooks-methods'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { SteppedClock } from '../local/clock.ts'
import { type Delivery, type DoubleJob, GitHubDouble } from '../local/github.ts'
import { ACME_APP, type WorkflowJobPayload, workflowJobPayload } from '../local/payloads.ts'

const require = createRequire(import.meta.url)
const SECRET = 'schema secret'
const HOUR = 3_600_000

type Loose = Record<string, unknown>

describe('payloads against the published schemas', () => {
  let validators: Record<string, ValidateFunction>
  beforeAll(() => {
    validators = publishedSchemas()
  })

  /** What is wrong with a payload; empty when nothing is. */
  function faults(payload: Loose): string[] {
    const validate = validators[String(payload.action)]!
    validate(payload)
    return (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
  }

  test.each(['queued', 'waiting', 'in_progress', 'completed'] as const)(
    'the factory makes a valid %s payload',
    action => {
      expect(faults(loose(workflowJobPayload({ action })))).toEqual([])
      const repository = { ...ACME_APP, name: 'robin/notes', private: false, ownerType: 'User' } as const
      const payload = workflowJobPayload({ action, repository, installationId: null, headBranch: null })
      expect(faults(loose(payload))).toEqual([])
      expect(payload).not.toHaveProperty('organization')
      expect(payload).not.toHaveProperty('installation')
    },
  )

  test('every kind of delivery of the double is valid, and signed over its bytes', async () => {
    const deliveries = await dayOfEveryKind()
    const kinds = new Set<string>()
    for (const delivery of deliveries) {
      const payload = JSON.parse(delivery.body) as WorkflowJobPayload
      expect(faults(loose(payload)), delivery.body).toEqual([])
      expect(await verify(SECRET, delivery.body, delivery.headers['x-hub-signature-256']!)).toBe(true)
      kinds.add([payload.action, payload.workflow_job.status, payload.workflow_job.conclusion].join(' '))
    }
    expect([...kinds].sort()).toEqual([
      'completed completed action_required',
      'completed completed cancelled',
      'completed completed failure',
      'completed completed neutral',
      'completed completed skipped',
      'completed completed success',
      'completed completed timed_out',
      'in_progress in_progress ',
      'queued queued ',
      'queued waiting ',
      'waiting waiting ',
    ])
  })

  test('official examples and minimal payloads, adopted, are followed by valid deliveries', async () => {
    const queued = officialExamples().filter(({ action }) => action === 'queued' || action === 'waiting')
    expect(queued.length).toBeGreaterThan(1)
    const ragged = { ...loose(workflowJobPayload({ action: 'queued', jobId: 5, runId: 5 })) }
    ragged.repository = {
      ...(ragged.repository as Loose),
      homepage: '',
      html_url: '',
      pushed_at: 1_700_000_000,
    }
    ragged.sender = null
    ragged.installation = {}
    ragged.workflow_job = {
      ...(ragged.workflow_job as Loose),
      head_sha: null,
      created_at: null,
      name: 7,
      steps: 'x',
    }
    for (const payload of [...queued, minimal(), ragged]) {
      const deliveries = await adoptAndRun(payload)
      expect(deliveries.map(({ action }) => action).slice(-2)).toEqual(['in_progress', 'completed'])
      for (const delivery of deliveries) expect(faults(delivery)).toEqual([])
    }
  })

  test.each<[string, (payload: Loose, job: Loose) => void]>([
    ['a field of the job is missing', (_, job) => delete job.runner_id],
    ['a status that does not exist', (_, job) => Object.assign(job, { status: 'resting' })],
    ['a conclusion that does not exist', (_, job) => Object.assign(job, { conclusion: 'perhaps' })],
    ['a URL that is none', (_, job) => Object.assign(job, { check_run_url: 'somewhere' })],
    ['labels that are not text', (_, job) => Object.assign(job, { labels: [4] })],
    ['steps without a number', (_, job) => Object.assign(job, { steps: [{ name: 'Run' }] })],
    ['no sender', payload => delete payload.sender],
    ['half a repository', payload => Object.assign(payload, { repository: { id: 1 } })],
  ])('the check can fail: %s', (_, damage) => {
    const payload = structuredClone(loose(workflowJobPayload({ action: 'completed' })))
    damage(payload, payload.workflow_job as Loose)
    expect(faults(payload)).not.toEqual([])
  })

  test('minimal payloads would be refused as they are', () => {
    expect(faults(minimal())).not.toEqual([])
  })
})

describe('payloads against the official examples', () => {
  /** Fields of the examples that the factory leaves out, and why. */
  const exceptions: Record<string, string> = {
    deployment: 'Only jobs behind an environment have it; nothing here reads it.',
  }

  test('the factory has every field that an example has', () => {
    const ours = new Set<string>()
    for (const action of ['queued', 'waiting', 'in_progress', 'completed'] as const) {
      const repository = { ...ACME_APP, private: false }
      for (const path of pathsOf(workflowJobPayload({ action, repository }))) ours.add(path)
    }
    const missing = new Set<string>()
    for (const example of officialExamples()) {
      for (const path of pathsOf(example)) {
        if (!ours.has(path) && !(path.split('.')[0]! in exceptions)) missing.add(path)
      }
    }
    expect([...missing]).toEqual([])
  })

  test('every exception is still needed', () => {
    const paths = new Set(officialExamples().flatMap(example => [...pathsOf(example)]))
    for (const path of Object.keys(exceptions)) expect(paths).toContain(path)
  })
})

/** Deliveries of all actions, statuses and conclusions, from jobs of several kinds. */
async function dayOfEveryKind(): Promise<Delivery[]> {
  const deliveries: Delivery[] = []
  const clock = new SteppedClock(Date.UTC(2026, 10, 23, 9))
  const github = double(clock, delivery => deliveries.push(delivery))
  const now = clock.now()

  const endings = ['success', 'failure', 'skipped', 'neutral', 'timed_out', 'action_required'] as const
  for (const [index, conclusion] of endings.entries()) {
    github.queue(job({ jobId: 10 + index, script: { conclusion } }))
  }
  github.queue(job({ jobId: 30, script: { cancelAt: now + 1_000 } }))
  github.queue(job({ jobId: 31, script: { cancelAt: now + 60_000, durationMs: HOUR } }))
  github.queue(job({ jobId: 32, labels: ['nobody'], workflow: null, headBranch: null }))
  github.queue(job({ jobId: 33, gate: true }))
  github.queue(job({ jobId: 34, gate: true, script: { cancelAt: now + 30_000 } }))
  github.queue(
    job({
      jobId: 35,
      repository: { ...ACME_APP, id: 7002, name: 'robin/notes', private: false, ownerType: 'User' },
    }),
  )
  clock.after(40_000, () => void github.openGate(33))
  clock.after(5_000, () => startRunners(github, 9))
  await clock.run(now + HOUR)
  expect(github.runAgain(11)).toMatchObject({ attempt: 2, jobId: expect.any(Number) })
  await startRunners(github, 1)
  await clock.run()
  expect(github.openJobs).toBe(0)
  return deliveries
}

/** What GitHub sends after a delivery from outside was adopted and a runner took its job. */
async function adoptAndRun(payload: Loose): Promise<Loose[]> {
  const deliveries: Loose[] = []
  const clock = new SteppedClock(Date.UTC(2026, 10, 23, 9))
  const github = double(clock, delivery => deliveries.push(JSON.parse(delivery.body) as Loose))
  expect(github.adopt(payload)).toBe(true)
  const adopted = [...github.jobs()][0]!
  if (adopted.status === 'waiting') github.openGate(adopted.job.jobId)
  await startRunners(github, 1, adopted.job.labels, adopted.job.repository)
  await clock.run()
  return deliveries
}

/** Brings runners online that take whatever they are offered. */
async function startRunners(
  github: GitHubDouble,
  count: number,
  labels: readonly string[] = ['tornade'],
  repository = ACME_APP,
): Promise<void> {
  for (let index = 0; index < count; index++) {
    const name = `runner-${[...github.runners()].length}`
    const jit = await github.createJitConfig({ repository, installationId: 5001 }, name, labels)
    if (jit.outcome !== 'created') throw new Error(`No runner: ${jit.outcome}`)
    const session = github.connect(jit.encodedJitConfig, {
      onJob: offered => session!.acquire(offered.jobId),
      onDone: () => {},
      onGone: () => {},
    })
  }
}

function double(clock: SteppedClock, receive: (delivery: Delivery) => void): GitHubDouble {
  return new GitHubDouble({
    clock,
    secret: SECRET,
    speed: 1,
    jobSeconds: [30, 300],
    deliver: async delivery => receive(delivery),
  })
}

function job(facts: Partial<DoubleJob> & { readonly jobId: number }): DoubleJob {
  return {
    repository: ACME_APP,
    installationId: 5001,
    runId: 1_000 + facts.jobId,
    attempt: 1,
    workflow: 'CI',
    name: 'build',
    labels: ['tornade'],
    headBranch: 'main',
    headSha: 'c0ffee'.repeat(7).slice(0, 40),
    event: 'push',
    headRepositoryId: ACME_APP.id,
    ...facts,
  }
}

/** The least that can be adopted. */
function minimal(): Loose {
  return {
    action: 'queued',
    workflow_job: { id: 4, run_id: 2, labels: ['tornade'] },
    repository: { id: 3, full_name: 'acme/app', owner: { id: 9919 } },
  }
}

function loose(payload: WorkflowJobPayload): Loose {
  return payload as unknown as Loose
}

function publishedSchemas(): Record<string, ValidateFunction> {
  const path = require.resolve('@octokit/openapi-webhooks/generated/api.github.com.json')
  const { components } = JSON.parse(readFileSync(path, 'utf8')) as { components: Loose }
  const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false })
  const addFormats = require('ajv-formats') as (ajv: Ajv2020) => void
  addFormats(ajv)
  ajv.addSchema({ $id: 'https://schemas.invalid/github', components })
  const compile = (name: string) =>
    ajv.compile({ $ref: `https://schemas.invalid/github#/components/schemas/webhook-workflow-job-${name}` })
  return {
    queued: compile('queued'),
    waiting: compile('waiting'),
    in_progress: compile('in-progress'),
    completed: compile('completed'),
  }
}

function officialExamples(): Loose[] {
  const path = require.resolve('@octokit/webhooks-examples/api.github.com/index.json')
  const events = JSON.parse(readFileSync(path, 'utf8')) as { name: string; examples: Loose[] }[]
  return events.find(({ name }) => name === 'workflow_job')!.examples
}

/** Every field as a dotted path; elements of arrays are []. */
function pathsOf(value: unknown, path = ''): Set<string> {
  const paths = new Set<string>()
  if (typeof value !== 'object' || value === null) return paths
  for (const [name, inner] of Object.entries(value)) {
    const here = Array.isArray(value) ? `${path}[]` : path === '' ? name : `${path}.${name}`
    paths.add(here)
    for (const deeper of pathsOf(inner, here)) paths.add(deeper)
  }
  return paths
}
