/**
 * The recorded deliveries in this folder, made from complete payloads. `node test/payloads/factory.ts` writes the
 * files anew; test/replay.test.ts replays each of them and checks that they are what stands here.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ACME_APP, hex, type WorkflowJobPayload, workflowJobPayload } from '../../local/payloads.ts'

type Facts = Parameters<typeof workflowJobPayload>[0]

/** A payload, when it was delivered, and the id under which it was. */
interface Delivered {
  readonly payload: WorkflowJobPayload
  readonly at: number
  readonly guid: string
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** A Monday morning; every file starts then. */
export const START = Date.UTC(2026, 5, 1, 9)
/** What a recorded runner is called: that of another system, for none of tornade's could be it. */
const RECORDED_RUNNER = { id: 812, name: 'ip-10-0-3-77' }

/** File name → text. */
export const FILES: ReadonlyMap<string, string> = new Map([
  ['array-labels.json', bare(queued({ jobId: 101, labels: ['tornade', 'arm64', 'spot', '4cpu'] }))],
  ['one-label.json', headersAndPayload(delivered(queued({ jobId: 201, labels: [oneLabel(201)] })))],
  ['matrix-of-20.jsonl', lines(matrix(20))],
  ['re-run.jsonl', lines([...ran({ jobId: 401 }, 'failure'), ...again()])],
  ['cancelled-before-start.jsonl', lines(cancelledBeforeStart({ jobId: 501 }))],
  ['cancelled-while-running.jsonl', lines(ran({ jobId: 551 }, 'cancelled'))],
  ['reordered.jsonl', lines(reordered({ jobId: 601 }))],
  ['doubled.jsonl', lines(doubled({ jobId: 701 }))],
  ['environment-gate.jsonl', lines(gated({ jobId: 801 }, 20 * MINUTE))],
  ['environment-gate-weekend.jsonl', lines(gated({ jobId: 851 }, 63 * HOUR))],
  ['hosted-runner.jsonl', lines(ran({ jobId: 901, labels: ['ubuntu-latest'] }, 'success'))],
  ['stolen-runner.jsonl', lines(stolen())],
  ['label-mistake.json', delivery(delivered(queued({ jobId: 1101, labels: ['tornade', 'amr64', '5cpu'] })))],
  ['forms/1-bare.json', bare(queued({ jobId: 1201 }))],
  ['forms/2-headers-and-payload.json', headersAndPayload(delivered(queued({ jobId: 1202 })))],
  ['forms/3-delivery.json', delivery(delivered(queued({ jobId: 1203 })))],
  ['forms/4-lines.jsonl', mixedLines([1204, 1205, 1206])],
])

// What was recorded

function matrix(count: number): Delivered[] {
  const runId = runOf(301)
  return Array.from({ length: count }, (_, index) =>
    delivered(
      queued({
        jobId: 301 + index,
        runId,
        workflow: 'Test',
        name: `test (${index + 1}, ${count})`,
        labels: [`tornade/arm64/spot/1cpu/run-${runId}`],
      }),
      START + index * 40,
    ),
  )
}

/** Queued, run for two minutes by somebody's runner, and done. */
function ran(facts: JobFacts, conclusion: 'success' | 'failure' | 'cancelled', from = START): Delivered[] {
  const life = {
    ...facts,
    createdAt: from,
    startedAt: from + 45 * SECOND,
    runner: RECORDED_RUNNER,
  }
  return [
    delivered(queued({ ...facts, createdAt: from }), from + SECOND),
    delivered(job({ ...life, action: 'in_progress' }), from + 46 * SECOND),
    delivered(
      job({ ...life, action: 'completed', conclusion, completedAt: from + 165 * SECOND }),
      from + 166 * SECOND,
    ),
  ]
}

/** The failed job of `re-run.jsonl` once more, ten minutes later: another id, the same run, attempt 2. */
function again(): Delivered[] {
  return ran({ jobId: 402, runId: runOf(401), attempt: 2 }, 'success', START + 10 * MINUTE)
}

/** Somebody cancelled it 8 seconds after it was queued, when no runner had it. */
function cancelledBeforeStart(facts: JobFacts): Delivered[] {
  const at = START + 8 * SECOND
  const ended = { conclusion: 'cancelled', startedAt: at, completedAt: at, runner: null } as const
  return [
    delivered(queued(facts), START + SECOND),
    delivered(job({ ...facts, action: 'completed', ...ended }), at + SECOND),
  ]
}

/** The end first, then the start, then the beginning: GitHub promises no order. */
function reordered(facts: JobFacts): Delivered[] {
  const [first, second, third] = ran(facts, 'success').map(({ payload }) => payload)
  return [third!, second!, first!].map((payload, index) => delivered(payload, START + index * SECOND))
}

/** The same delivery twice, and the same news under another id. */
function doubled(facts: JobFacts): Delivered[] {
  const once = delivered(queued(facts))
  return [once, { ...once, at: START + SECOND }, delivered(once.payload, START + 2 * SECOND, 'again')]
}

/** Behind a protected environment until somebody approved it, and told of three times. */
function gated(facts: JobFacts, wait: number): Delivered[] {
  const held = { ...facts, status: 'waiting' } as const
  return [
    delivered(job({ ...held, action: 'waiting' }), START + SECOND),
    delivered(withDeployment(job({ ...held, action: 'queued' })), START + SECOND + 80),
    delivered(withDeployment(queued(facts)), START + wait),
  ]
}

/** What GitHub adds to the queued deliveries of a job that deploys to an environment. */
function withDeployment(payload: WorkflowJobPayload): WorkflowJobPayload {
  const { repository, sender, workflow_job: job } = payload
  const id = job.id - 44_000_000_000
  const environment = { original_environment: 'production', environment: 'production' }
  const deployment = {
    url: `${repository.url}/deployments/${id}`,
    id,
    node_id: `DE_kwDO${Buffer.from(String(id)).toString('base64url')}`,
    task: 'deploy',
    ...environment,
    description: null,
    created_at: job.created_at,
    updated_at: job.created_at,
    statuses_url: `${repository.url}/deployments/${id}/statuses`,
    repository_url: repository.url,
    creator: sender,
    sha: job.head_sha,
    ref: job.head_branch,
    payload: {},
    transient_environment: false,
    production_environment: true,
    performed_via_github_app: null,
  }
  return { ...payload, deployment } as unknown as WorkflowJobPayload
}

/**
 * The first job asks for less than the second, and CodeBuild starts faster than Fargate: the runner that was started
 * for the second job is online first, has all labels of the first job, and gets it.
 */
function stolen(): Delivered[] {
  return [
    delivered(queued({ jobId: 1001, labels: ['tornade'] })),
    delivered(queued({ jobId: 1002, labels: ['tornade', 'codebuild'] }), START + 3 * SECOND),
  ]
}

type JobFacts = Omit<Facts, 'action'> & { readonly jobId: number }

function queued(facts: JobFacts): WorkflowJobPayload {
  return job({ ...facts, action: 'queued' })
}

/** Job 101 is GitHub's 45000000101, of run 19000000101. */
function job({ jobId, ...facts }: JobFacts & Pick<Facts, 'action'>): WorkflowJobPayload {
  return workflowJobPayload({
    repository: ACME_APP,
    createdAt: START,
    runId: runOf(jobId),
    labels: [oneLabel(jobId)],
    ...facts,
    jobId: 45_000_000_000 + jobId,
  })
}

function runOf(jobId: number): number {
  return 19_000_000_000 + jobId
}

function oneLabel(jobId: number): string {
  return `tornade/arm64/spot/4cpu/run-${runOf(jobId)}`
}

function delivered(payload: WorkflowJobPayload, at: number = START, seed = ''): Delivered {
  const { action, workflow_job: job } = payload
  return { payload, at, guid: guid(`${job.id} ${action} ${job.status} ${seed}`) }
}

function guid(seed: string): string {
  const digits = hex(seed, 32)
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ].join('-')
}

// The forms in which people have deliveries

/** The body of a delivery, as `jq .` writes it. */
function bare(payload: WorkflowJobPayload): string {
  return pretty(payload)
}

/** As a proxy in front of the webhook writes it down. */
function headersAndPayload(one: Delivered): string {
  return pretty({ headers: headersOf(one), payload: one.payload })
}

/** As `GET /app/hook/deliveries/{id}` answers: https://docs.github.com/rest/apps/webhooks */
function delivery(one: Delivered): string {
  return pretty(deliveryOf(one))
}

function lines(deliveries: readonly Delivered[]): string {
  return deliveries.map(one => `${JSON.stringify(deliveryOf(one))}\n`).join('')
}

/** Three forms in one file. */
function mixedLines([first, second, third]: readonly [number, number, number]): string {
  const wrapped = delivered(queued({ jobId: second }))
  const forms = [
    queued({ jobId: first }),
    { headers: headersOf(wrapped), payload: wrapped.payload },
    deliveryOf(delivered(queued({ jobId: third }))),
  ]
  return forms.map(form => `${JSON.stringify(form)}\n`).join('')
}

function deliveryOf(one: Delivered) {
  const { payload, at, guid } = one
  const number = Number.parseInt(hex(`delivery ${guid} ${at}`, 12), 16)
  return {
    id: number,
    guid,
    delivered_at: new Date(at).toISOString(),
    redelivery: false,
    duration: 0.18,
    status: 'OK',
    status_code: 202,
    event: 'workflow_job',
    action: payload.action,
    installation_id: payload.installation?.id ?? null,
    repository_id: payload.repository.id,
    throttled_at: null,
    url: 'https://tornade.example/webhook',
    request: { headers: headersOf(one), payload },
    response: {
      headers: { 'Content-Type': 'application/json' },
      payload: '{"outcome":"accepted"}',
    },
  }
}

/** The signatures are those of a secret that nobody has any more: a replay must sign anew. */
function headersOf({ guid }: Delivered) {
  return {
    Accept: '*/*',
    'Content-Type': 'application/json',
    'User-Agent': 'GitHub-Hookshot/7f3a2c1',
    'X-GitHub-Delivery': guid,
    'X-GitHub-Event': 'workflow_job',
    'X-GitHub-Hook-ID': '480000001',
    'X-GitHub-Hook-Installation-Target-ID': '900001',
    'X-GitHub-Hook-Installation-Target-Type': 'integration',
    'X-Hub-Signature': `sha1=${hex(`sha1 ${guid}`, 40)}`,
    'X-Hub-Signature-256': `sha256=${hex(`sha256 ${guid}`, 64)}`,
  }
}

/** Two spaces, and short lists of words on one line: as the formatter of this project leaves it. */
function pretty(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  const joined = text.replace(/\[\n((?: +"[^"\n]*",?\n)+) +\]/g, (_, items: string) => {
    return `[${items.trim().split(/\n */).join(' ')}]`
  })
  return `${joined}\n`
}

if (import.meta.main) {
  for (const [name, text] of FILES) {
    const path = join(import.meta.dirname, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
}
