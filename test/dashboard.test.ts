import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { applyJobToRunner, newJob, newRunner, priced, withCost } from '../functions/core/lifecycle.ts'
import { priceAge } from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import type { Job, JobRequest, Runner } from '../functions/core/types.ts'
import { duration, githubUrl, money } from '../functions/dashboard/format.ts'
import { dashboard } from '../functions/dashboard.ts'
import type { Fields } from '../functions/ports.ts'
import { LocalLedger } from '../local/ledger.ts'
import { rollUpSince } from '../local/rollups.ts'

const words = (text: string) => text.trim().split(/\s+/)

const NOW = Date.UTC(2026, 10, 20, 9, 41, 12)
const ago = (seconds: number) => NOW - seconds * 1000
const HOUR = 3600

let ledger: LocalLedger
let logged: [string, Fields | undefined][]
beforeEach(() => {
  ledger = new LocalLedger()
  logged = []
})

function app(
  over: {
    notice?: string | null
    refreshSeconds?: number | null
    deadLetters?: () => Promise<number>
    now?: number
  } = {},
) {
  const { notice = null, refreshSeconds = null, deadLetters = async () => 3, now = NOW } = over
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (message: string, fields?: Fields) => void logged.push([message, fields]),
  }
  return dashboard(
    { clock: { now: () => now }, ledger, log, stats: { deadLetters } },
    { notice, refreshSeconds, spend: null },
  )
}

async function get(path: string, over?: Parameters<typeof app>[0]): Promise<Response> {
  await rollUpSince(ledger, { now: () => NOW }, Date.UTC(2026, 9, 1))
  return await app(over).request(path)
}

async function json(path: string, status = 200) {
  const response = await get(path)
  expect(response.status).toBe(status)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  // biome-ignore lint/suspicious/noExplicitAny: documents are checked by the tests that read them.
  return (await response.json()) as any
}

async function page(over?: Parameters<typeof app>[0]): Promise<string> {
  const response = await get('/', over)
  expect(response.status).toBe(200)
  return response.text()
}

let lastId = 0
beforeEach(() => {
  lastId = 0
})

function job(createdAt: number, over: Partial<Job> = {}, requested: Partial<JobRequest> = {}): Job {
  const jobId = ++lastId
  const request: JobRequest = {
    key: `${jobId}-1`,
    jobId,
    attempt: 1,
    runId: 500 + jobId,
    repository: { id: 1, name: 'acme/app', private: true },
    ownerId: 9,
    installationId: null,
    workflow: 'CI',
    name: 'test',
    headBranch: 'main',
    headSha: 'a1b2',
    labels: ['tornade', '2cpu'],
    createdAt,
    mayBeFork: false,
    ...requested,
  }
  return { ...newJob(request), version: 1, queuedAt: createdAt, ...over }
}

const store = {
  queued: (createdAt: number) => putJob(job(createdAt)),
  launching: (createdAt: number) => putJob(job(createdAt, { claim: {} as Job['claim'] })),
  gated: (createdAt: number) => putJob(job(createdAt, { queuedAt: null, gatedAt: createdAt })),
  deferred: (createdAt: number, message = 'All 100 runners are in use (limits.runners).') =>
    putJob(
      job(createdAt, {
        deferred: {
          since: createdAt,
          reason: 'total-limit',
          message,
          notBefore: null,
          runner: 'x',
          cause: 'job',
        },
      }),
    ),
  refused: (createdAt: number, message = 'Fargate has 4 or 8 vCPU.') =>
    putJob(
      job(createdAt, {
        refused: {
          at: createdAt + 1000,
          code: 'labels',
          problems: [{ label: '5cpu', message, suggestion: '8cpu' }],
        },
      }),
    ),
  /** A job that ran for a minute, or runs still, and its runner. */
  async ran(
    createdAt: number,
    {
      done = true,
      region = 'us-east-1',
      spot = false,
      request = {} as Partial<JobRequest>,
      conclusion = 'success',
    } = {},
  ): Promise<Job> {
    const created = job(createdAt, {}, request)
    const name = `tornade-${created.key}-1`
    const ref = { id: 70, name }
    const [started, ended] = [createdAt + 40_000, createdAt + 100_000]
    const running: Job = { ...created, runner: name, started: { at: started, runner: ref } }
    const completed = { at: ended, conclusion, startedAt: started, runner: ref }
    const launched: Runner = {
      ...newRunner(name),
      version: 1,
      launch: {
        at: createdAt + 1000,
        cause: 'job',
        generation: 1,
        jobKey: created.key,
        repository: created.request.repository,
        installationId: null,
        labels: created.request.labels,
        shape: {
          arch: 'x64',
          compute: 'fargate',
          capacity: spot ? 'spot' : 'on-demand',
          cpu: 2,
          memoryGiB: 4,
          diskGiB: 20,
          computeType: null,
        },
        role: null,
        region,
        timeoutMinutes: 360,
      },
      registration: { id: 70, name, at: createdAt + 2000 },
      pullStartedAt: createdAt + 8000,
      startedAt: createdAt + 30_000,
      stoppedAt: done ? ended + 8000 : null,
      for: created.key,
    }
    const event = { kind: 'in_progress', at: started, request: created.request, runner: ref } as const
    const end = {
      kind: 'completed',
      at: ended,
      request: created.request,
      conclusion,
      runner: ref,
      startedAt: started,
    } as const
    const bound = applyJobToRunner(launched, event)
    const runner = done ? applyJobToRunner(bound, end) : bound
    await putRunner(runner)
    return putJob(done ? withCost({ ...running, completed }, runner) : running)
  },
}

async function putJob(item: Job): Promise<Job> {
  expect(await ledger.jobs.put(item)).toEqual({ ok: true })
  return item
}

async function putRunner(item: Runner): Promise<Runner> {
  expect(await ledger.runners.put(item)).toEqual({ ok: true })
  return item
}

describe('GET /api/jobs', () => {
  it('answers the documents, newest first', async () => {
    await store.ran(ago(2 * HOUR))
    await store.queued(ago(60))
    const { jobs, next, ...rest } = await json('/api/jobs')
    expect(rest).toEqual({})
    expect(next).toBeNull()
    expect(Object.keys(jobs[1])).toEqual(
      words(`
        jobId attempt repository workflow labels outcome conclusion reason runner queueSeconds
        runSeconds costUsd githubHostedUsd state createdAt queuedAt startedAt completedAt lostTo rerunOf
        basis onDemandUsd onDemandBasis githubHostedBasis githubFeeUsd usage
      `),
    )
    expect(jobs[0]).toMatchObject({ jobId: 2, state: 'queued', outcome: null, runner: null })
    expect(jobs[1]).toMatchObject({
      jobId: 1,
      state: 'completed',
      outcome: 'completed',
      conclusion: 'success',
      queueSeconds: 40,
      runSeconds: 60,
      githubHostedUsd: 0.006,
      completedAt: '2026-11-20T07:42:52.000Z',
    })
    expect(jobs[1].runner).toEqual({
      name: 'tornade-1-1-1',
      compute: 'fargate',
      capacity: 'on-demand',
      arch: 'x64',
      cpu: 2,
      memoryGiB: 4,
    })
  })

  it('filters by state and repository; an empty parameter asks for nothing', async () => {
    await store.queued(ago(60))
    await store.deferred(ago(50))
    await putJob(job(ago(40), {}, { repository: { id: 2, name: 'acme/web', private: true } }))
    const ids = async (query: string) =>
      (await json(`/api/jobs?${query}`)).jobs.map((item: { jobId: number }) => item.jobId)
    expect(await ids('state=queued')).toEqual([3, 1])
    expect(await ids('state=deferred')).toEqual([2])
    expect(await ids('state=queued&repository=acme/web')).toEqual([3])
    expect(await ids('repository=nobody/nothing')).toEqual([])
    expect(await ids('state=&repository=&cursor=&limit=')).toEqual([3, 2, 1])
  })

  it('pages to the end without a gap', async () => {
    for (let index = 0; index < 7; index++) await store.queued(ago(100 - index))
    const seen: number[] = []
    let next: string | null = ''
    for (let pages = 0; next !== null && pages < 9; pages++) {
      const answer: { jobs: { jobId: number }[]; next: string | null } = await json(
        `/api/jobs?limit=3&cursor=${next}`,
      )
      expect(answer.jobs.length).toBeLessThanOrEqual(3)
      seen.push(...answer.jobs.map(item => item.jobId))
      next = answer.next
    }
    expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1])
  })

  it.each([
    ['state=done', /^state /],
    ['state=__proto__', /^state /],
    ['state=toString', /^state /],
    ['limit=0', /^limit /],
    ['limit=501', /^limit /],
    ['limit=-1', /^limit /],
    ['limit=1e2', /^limit /],
    ['limit=ten', /^limit /],
    ['limit=%00', /^limit /],
    ['cursor=%3Cscript%3E', /^cursor /],
    [`cursor=${'9'.repeat(3000)}`, /^cursor /],
    [`repository=${'x'.repeat(3000)}`, /^repository /],
  ])('refuses %s', async (query, error) => {
    const answer = await json(`/api/jobs?${query}`, 400)
    expect(Object.keys(answer)).toEqual(['error'])
    expect(answer.error).toMatch(error)
    expect(answer.error).not.toContain('script')
  })
})

describe('GET /api/runners', () => {
  it('answers the documents, newest first', async () => {
    await store.ran(ago(2 * HOUR))
    await store.ran(ago(300), { done: false })
    const { runners, next, ...rest } = await json('/api/runners')
    expect([rest, next]).toEqual([{}, null])
    expect(Object.keys(runners[0])).toEqual(
      words(`
        name state repository job compute capacity arch cpu memoryGiB diskGiB cause launchedAt
        pullStartedAt startedAt jobStartedAt jobCompletedAt stoppedAt ageSeconds costUsd startupUsd
        jobUsd idleUsd basis wastedUsd onDemandUsd onDemandBasis usage
      `),
    )
    expect(runners.map((runner: { state: string }) => runner.state)).toEqual(['busy', 'stopped'])
    expect(runners[0]).toMatchObject({ job: { jobId: 2, attempt: 1 }, ageSeconds: 299, costUsd: null })
    expect((await json('/api/runners?limit=1')).runners).toHaveLength(1)
    expect((await json('/api/runners?limit=x', 400)).error).toMatch(/^limit /)
  })
})

describe('GET /api/summary', () => {
  beforeEach(async () => {
    await store.ran(Date.UTC(2026, 9, 1, 12))
    await store.ran(Date.UTC(2026, 10, 18, 12))
    await store.ran(Date.UTC(2026, 10, 19, 12), {
      spot: true,
      request: { repository: { id: 2, name: 'acme/web', private: true } },
    })
    await store.ran(ago(120), { done: false })
  })

  it('sums the last thirty days', async () => {
    const document = await json('/api/summary')
    const more = ['byWorkflow', 'byRole', 'from', 'to', 'computedAt', 'incomplete']
    expect(Object.keys(document)).toEqual(['totals', 'byDay', 'byRepository', 'byCompute', ...more])
    const keys = words(`
      costUsd idleUsd startupUsd githubHostedUsd wastedUsd onDemandUsd estimateUsd unknownRunners basis
    `)
    expect(Object.keys(document.totals)).toEqual([...keys, 'runners', 'jobs'])
    expect(Object.keys(document.byDay[0])).toEqual(['day', ...keys, 'runners', 'jobs'])
    expect(Object.keys(document.byRepository[0])).toEqual(['repository', 'jobs', ...keys, 'runners'])
    expect(Object.keys(document.byCompute[0])).toEqual(['compute', 'runners', ...keys, 'jobs'])
    expect(document).toMatchObject({ computedAt: new Date(NOW).toISOString(), incomplete: [] })
    expect(document.totals).toMatchObject({ basis: 'estimate', runners: 2, jobs: 2 })
    expect(document.byDay.map((row: { day: string }) => row.day)).toEqual(['2026-11-18', '2026-11-19'])
    expect(document.totals.githubHostedUsd).toBe(0.012)
    expect(document.byCompute.map((row: { compute: string }) => row.compute)).toEqual([
      'fargate',
      'fargate-spot',
    ])
  })

  it.each([
    ['from=2026-10-01&to=2026-10-01', ['2026-10-01']],
    ['from=2026-10-01', ['2026-10-01', '2026-11-18', '2026-11-19']],
    ['to=2026-11-18', ['2026-11-18']],
    ['to=2026-10-30', ['2026-10-01']],
    ['to=2026-10-31', []],
    ['from=2026-11-18T12:00:00Z&to=2026-11-18T12:01:00Z', ['2026-11-18']],
    ['from=2026-11-18T12:59:59Z&to=2026-11-18T13:30:00Z', ['2026-11-18']],
    ['from=2026-11-18T13:00:00Z&to=2026-11-18T14:00:00Z', []],
    ['from=2026-11-18T12:30:00Z&to=9999-12-31', ['2026-11-18', '2026-11-19']],
    ['from=2026-11-18T21:00:00%2B09:00&to=2026-11-18T21:30%2B09:00', ['2026-11-18']],
    ['from=&to=', ['2026-11-18', '2026-11-19']],
  ])('%s', async (query, days) => {
    const document = await json(`/api/summary?${query}`)
    expect(document.byDay.map((row: { day: string }) => row.day)).toEqual(days)
  })

  it.each([
    ['from=yesterday', /^from /],
    ['from=2026-02-30', /^from /],
    ['from=2026-11-02T09:00:00', /^from /],
    ['from=2026-11-02T25:00:00Z', /^from /],
    ['to=0', /^to /],
    ['to=+002026-01-01', /^to /],
    ['from=2026-11-02&to=2026-11-01', /^from must be before to/],
  ])('refuses %s', async (query, error) => {
    expect((await json(`/api/summary?${query}`, 400)).error).toMatch(error)
  })
})

describe('GET /api/health', () => {
  it('of an empty ledger', async () => {
    const document = await json('/api/health')
    expect(document).toEqual({
      queued: 0,
      oldestQueuedSeconds: null,
      live: 0,
      deferred: 0,
      refused: 0,
      deadLetters: 3,
    })
    expect(Object.keys(document)).toEqual(
      words('queued oldestQueuedSeconds live deferred refused deadLetters'),
    )
  })

  it('counts what waits, lives and was refused', async () => {
    await store.refused(ago(25 * HOUR))
    await store.refused(ago(23 * HOUR))
    await store.gated(ago(9 * HOUR))
    await store.deferred(ago(500))
    await store.launching(ago(400))
    await store.queued(ago(90))
    await store.ran(ago(300), { done: false })
    await store.ran(ago(2 * HOUR))
    expect(await json('/api/health')).toEqual({
      queued: 3,
      oldestQueuedSeconds: 500,
      live: 1,
      deferred: 1,
      refused: 1,
      deadLetters: 3,
    })
  })

  it('counts refusals over pages', async () => {
    for (let index = 0; index < 1100; index++) await store.refused(ago(20 * HOUR))
    expect((await json('/api/health')).refused).toBe(1100)
  })
})

describe('paths, headers and errors', () => {
  const CALM = [
    ['x-content-type-options', 'nosniff'],
    ['referrer-policy', 'no-referrer'],
    ['cache-control', 'no-store'],
  ] as const

  it.each(['/', '/healthz', '/api/jobs', '/api/jobs?limit=x', '/api/nothing', '/nothing'])(
    'guards %s',
    async path => {
      const { headers } = await get(path)
      for (const [name, value] of CALM) expect(headers.get(name)).toBe(value)
      const policy = headers.get('content-security-policy')!
      expect(policy.split('; ').sort()).toEqual([
        "base-uri 'none'",
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        expect.stringMatching(/^style-src 'sha256-[A-Za-z0-9+/=]{44}'$/),
      ])
    },
  )

  it('lets its own stylesheet through, and has nothing else that the policy would stop', async () => {
    await store.ran(ago(HOUR))
    await store.deferred(ago(50))
    const response = await get('/')
    const text = await response.text()
    const style = /<style>([\s\S]*?)<\/style>/.exec(text)![1]!
    const hash = createHash('sha256').update(style).digest('base64')
    expect(response.headers.get('content-security-policy')).toContain(`style-src 'sha256-${hash}'`)
    expect(text.match(/<style/g)).toHaveLength(1)
    expect(text).not.toMatch(/<(script|img|link|iframe|form|object|svg)\b|\sstyle=|\son\w+=|javascript:/i)
  })

  it('says that it lives', async () => {
    expect(await json('/healthz')).toEqual({ ok: true })
    expect((await app().request('/healthz', { method: 'HEAD' })).status).toBe(200)
  })

  it.each([['/api'], ['/api/'], ['/api/jobs/1'], ['/api/<script>']])(
    'answers 404 as JSON at %s',
    async path => {
      expect(await json(path, 404)).toEqual({ error: 'there is nothing at this path' })
    },
  )

  it('answers 404 as a page elsewhere', async () => {
    const response = await get('/<script>alert(1)</script>')
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toMatch(/^text\/html/)
    expect(await response.text()).not.toContain('<script')
    expect((await app().request('/', { method: 'POST' })).status).toBe(404)
  })

  it.each([['/api/health'], ['/']])(
    'answers an unexpected error at %s without its text, and logs it',
    async path => {
      const broken = {
        deadLetters: async () => {
          throw new Error('secret text')
        },
      }
      const response = await get(path, broken)
      expect(response.status).toBe(500)
      expect(await response.text()).not.toContain('secret text')
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
      expect(logged).toEqual([
        ['dashboard request failed', { path, code: 'unexpected', error: 'Error: secret text' }],
      ])
    },
  )
})

describe('the page', () => {
  it('of an empty ledger', async () => {
    const text = await page()
    expect(text).toContain('No job waits for a runner.')
    expect(text).toContain('No job has ended yet.')
    expect(text).not.toContain('http-equiv')
    expect(text).not.toContain('class="notice"')
  })

  it('has the notice and refreshes itself when told to', async () => {
    const text = await page({ notice: 'A simulation: <nothing> runs.', refreshSeconds: 5 })
    expect(text).toContain('<p class="notice" role="note">A simulation: &lt;nothing&gt; runs.</p>')
    expect(text).toContain('<meta http-equiv="refresh" content="5">')
  })

  it('links to GitHub, and shows waiting, runner and cost beside the price of GitHub', async () => {
    await store.ran(ago(HOUR))
    await store.ran(ago(2 * HOUR), { spot: true })
    const text = await page()
    expect(text).toContain('<a href="https://github.com/acme/app" rel="noopener noreferrer">acme/app</a>')
    expect(text).toContain(
      '<a href="https://github.com/acme/app/actions/runs/501/job/1" rel="noopener noreferrer">CI / test</a>',
    )
    expect(text).toContain('<code>tornade-1-1-1</code><span>fargate, x64, 2 vCPU, 4 GiB</span>')
    expect(text).toContain('<span>fargate spot, x64, 2 vCPU, 4 GiB</span>')
    expect(text).toContain('<time datetime="2026-11-20T08:42:52.000Z">')
    expect(text).toContain('$0.0060')
    expect(text).toMatch(/\$0\.\d{4} <small>est\.<\/small>/)
    expect(text).toMatch(/\$0\.\d{4} of it rests on estimated prices\./)
  })

  it('says when the prices are old', async () => {
    expect(await page()).not.toContain('Prices were last checked')
    const { checkedOn } = priceAge(0)
    const text = await page({ now: Date.parse(checkedOn) + 91 * 86_400_000 })
    expect(text).toContain(`Prices were last checked on ${checkedOn}, 91 days ago.`)
  })

  it('says where a price is unknown, and that the sum lacks it', async () => {
    await store.ran(ago(HOUR), { region: 'xx-nowhere-1' })
    const text = await page()
    expect(text).toContain('<div>unknown</div>')
    expect(text).toMatch(/class="notice" role="note">1 runner [^<]*unknown/)
    expect(text).toContain('at least')
  })

  it('shows why jobs wait and were refused', async () => {
    await store.gated(ago(90))
    await store.deferred(ago(80))
    await store.launching(ago(70))
    await store.refused(ago(60))
    const text = await page()
    expect(text).toMatch(/All 100 runners are in use \(limits.runners\)\. <small>for \d/)
    expect(text).toContain('<code>5cpu</code>: Fargate has 4 or 8 vCPU.')
    for (const state of ['waiting', 'deferred', 'launching', 'refused'])
      expect(text).toContain(`>${state}</span>`)
    expect(text).toContain('1 min 20 s')
  })

  it('shows a runner without a job, one that AWS alone knows, and a job that lost its runner', async () => {
    const waiting = await store.launching(ago(50))
    const { runner } = await store.ran(ago(HOUR), { done: false })
    const lost = (await ledger.runners.get(runner!))!
    await putRunner(priced({ ...lost, version: 2, stoppedAt: ago(60) }))
    await putRunner({ ...lost, name: 'tornade-1-1-1', version: 1, job: null, for: waiting.key })
    await putRunner({ ...newRunner('tornade-9-1-1'), version: 1 })
    const text = await page()
    expect(text).toContain('meant for this job')
    expect(text).toContain('known from AWS only')
    expect(text).toContain('No live runner of ours runs it')
  })

  it('shows a hundred rows of a long queue and says so', async () => {
    for (let index = 0; index < 130; index++) await store.queued(ago(index))
    const text = await page()
    expect(text).toContain('<small>100 of 130</small>')
    expect(text.match(/>queued<\/span>/g)).toHaveLength(100)
  })
})

describe('hostile text', () => {
  const HOSTILE = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    'javascript:alert(1)//',
    '\u001b[31mred\u001b[0m\u0007',
    '\u202Eevil\u2066',
    '__proto__',
    'constructor',
    '`code` `',
    '&lt;b&gt;',
    'x'.repeat(10_000),
    '💥'.repeat(3000),
    '../../../settings',
    '\ud800',
    '',
  ]

  it.each(HOSTILE.map(text => [JSON.stringify(text).slice(0, 40), text]))('%s', async (_name, text) => {
    const request: Partial<JobRequest> = {
      repository: { id: 3, name: `${text}/${text}`, private: true },
      workflow: text,
      name: text,
      headBranch: text,
      labels: [text, `tornade/${text}`],
    }
    await store.ran(ago(HOUR), { request, conclusion: text })
    await store.ran(ago(HOUR), { request, done: false })
    await putJob(job(ago(30), {}, request))
    await store.deferred(ago(20), text)
    await store.refused(ago(10), text)
    const found = await page()
    const body = found.replace(/<style>[\s\S]*?<\/style>/, '')
    // No tag and no attribute but those of the page itself.
    const tags = new Set([...body.matchAll(/<\/?([a-z0-9]+)/gi)].map(match => match[1]!.toLowerCase()))
    for (const tag of tags) expect(TAGS).toContain(tag)
    const attributes = [...body.matchAll(/<[a-z0-9]+((?:\s+[a-z-]+="[^"]*")*)\s*>/gi)].flatMap(tag =>
      [...tag[1]!.matchAll(/([a-z-]+)="/g)].map(match => match[1]!),
    )
    for (const attribute of new Set(attributes)) expect(ATTRIBUTES).toContain(attribute)
    expect(body.match(/<[a-z]/gi)!.length).toBe(
      [...body.matchAll(/<[a-z0-9]+(?:\s+[a-z-]+="[^"<>]*")*\s*>/gi)].length,
    )
    for (const [, href] of body.matchAll(/href="([^"]*)"/g)) {
      expect(href).toMatch(
        /^(\/|\/api\/(jobs|runners|summary|health)|https:\/\/github\.com(\/([\w.%!()*~-]|&#39;)+)*)$/,
      )
      expect(new URL(href!, 'https://github.com').origin).toBe('https://github.com')
    }
    expect(body.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u)
    expect(body.length).toBeLessThan(60_000)

    const documents = [await json('/api/jobs'), await json('/api/runners'), await json('/api/summary')]
    expect(documents[0].jobs).toHaveLength(5)
    expect(documents[2].byRepository[0].repository).toBe(clean(`${text}/${text}`, 140))
    expect(documents[0].jobs.flatMap((item: { labels: string[] }) => item.labels).join('')).not.toMatch(
      /[\p{Cc}\p{Cf}]/u,
    )
  })

  const TAGS = words(`
    html head meta title body header main footer section h1 h2 p small code a span div dl dt dd
    table thead tbody tr th td time
  `)
  const ATTRIBUTES = words(`
    lang charset name content http-equiv class role aria-label scope data-label href rel
    datetime
  `)
})

describe('format', () => {
  it.each([
    [0, '$0'],
    [99, '<$0.0001'],
    [100, '$0.0001'],
    [12_345, '$0.0123'],
    [9_999_900, '$9.9999'],
    [10_000_000, '$10.00'],
    [1_234_500_000, '$1,234.50'],
  ])('money(%d)', (microUsd, text) => expect(money(microUsd)).toBe(text))

  it.each([
    [0.4, '0 s'],
    [59.9, '59 s'],
    [60, '1 min'],
    [200, '3 min 20 s'],
    [7500, '2 h 5 min'],
    [86_400 * 3 + 3600, '3 d 1 h'],
    [-5, '0 s'],
  ])('duration(%d)', (seconds, text) => expect(duration(seconds)).toBe(text))

  it.each([
    ['acme/app', 'https://github.com/acme/app'],
    ['//evil.example', 'https://github.com/evil.example'],
    ['../x', 'https://github.com/x'],
    ['a/b?c#d', 'https://github.com/a/b%3Fc%23d'],
    ['', 'https://github.com'],
  ])('githubUrl(%s)', (repository, url) => expect(githubUrl(repository)).toBe(url))
})
