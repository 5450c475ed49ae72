import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { applyJobToRunner, newJob, newRunner, priced, withCost } from '../functions/core/lifecycle.ts'
import { priceAge } from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import type { Job, JobRequest, Runner } from '../functions/core/types.ts'
import { duration, money } from '../functions/dashboard/format.ts'
import { type DashboardOptions, type DashboardPorts, dashboard } from '../functions/dashboard.ts'
import type { Fields } from '../functions/ports.ts'
import { LocalLedger } from '../local/ledger.ts'
import { rollUpSince } from '../local/rollups.ts'

const words = (text: string) => text.trim().split(/\s+/)

const NOW = Date.UTC(2026, 10, 20, 9, 41, 12)
const ago = (seconds: number) => NOW - seconds * 1000
const HOUR = 3600

let ledger: LocalLedger
/** Since the last write. */
let isRolledUp: boolean
let logged: [string, Fields | undefined][]
beforeEach(() => {
  ledger = new LocalLedger()
  isRolledUp = false
  logged = []
})

type Over = Partial<DashboardOptions> & Partial<DashboardPorts['stats']> & { readonly now?: number }

function app(over: Over = {}) {
  const { deadLetters = async () => 3, runnerVersion = async () => null, now = NOW, ...options } = over
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (message: string, fields?: Fields) => void logged.push([message, fields]),
  }
  return dashboard(
    { clock: { now: () => now }, ledger, log, stats: { deadLetters, runnerVersion } },
    {
      notice: null,
      refreshSeconds: null,
      gitHub: 'https://github.com',
      spend: null,
      logs: null,
      ...options,
    },
  )
}

async function get(path: string, over?: Over): Promise<Response> {
  if (!isRolledUp) await rollUpSince(ledger, { now: () => NOW }, Date.UTC(2026, 9, 1))
  isRolledUp = true
  return await app(over).request(path)
}

async function json(path: string, status = 200) {
  const response = await get(path)
  expect(response.status).toBe(status)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  // biome-ignore lint/suspicious/noExplicitAny: documents are checked by the tests that read them.
  return (await response.json()) as any
}

async function page(over: Over = {}, path = '/'): Promise<string> {
  const response = await get(path, over)
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
  isRolledUp = false
  expect(await ledger.jobs.put(item)).toEqual({ ok: true })
  return item
}

async function putRunner(item: Runner): Promise<Runner> {
  isRolledUp = false
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
  const POLICY = [
    "base-uri 'none'",
    "default-src 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    expect.stringMatching(/^style-src 'sha256-[A-Za-z0-9+/=]{44}'$/),
  ]
  const SCRIPTS = [
    "img-src 'self'",
    "connect-src 'self'",
    expect.stringMatching(/^script-src 'nonce-[A-Za-z0-9+/=]{24}'$/),
  ]

  it.each([
    ['/', SCRIPTS],
    ['/live', SCRIPTS],
    ['/nothing', SCRIPTS],
    ['/jobs?state=x', SCRIPTS],
    ['/healthz', []],
    ['/api/jobs', []],
    ['/api/jobs?limit=x', []],
    ['/api/nothing', []],
  ])('guards %s', async (path, scripts) => {
    const { headers } = await get(path)
    for (const [name, value] of CALM) expect(headers.get(name)).toBe(value)
    const policy = headers.get('content-security-policy')!.split('; ')
    expect(policy).toHaveLength(POLICY.length + scripts.length)
    expect(policy).toEqual(expect.arrayContaining([...POLICY, ...scripts]))
  })

  it('has a nonce of its own in each answer', async () => {
    const policies = [await get('/'), await get('/')].map(({ headers }) =>
      headers.get('content-security-policy'),
    )
    expect(policies[0]).not.toBe(policies[1])
  })

  it.each(['/', '/live', '/repositories', '/repositories/acme/app', '/jobs', '/jobs/1-1', '/health'])(
    'lets the style and the scripts of %s through, and has nothing else that the policy would stop',
    async path => {
      await store.ran(ago(HOUR))
      await store.deferred(ago(50))
      const response = await get(path)
      const text = await response.text()
      const policy = response.headers.get('content-security-policy')!
      const style = /<style>([\s\S]*?)<\/style>/.exec(text)![1]!
      const hash = createHash('sha256').update(style).digest('base64')
      expect(policy).toContain(`style-src 'sha256-${hash}'`)
      expect(text.match(/<style/g)).toHaveLength(1)
      const scripts = [...text.matchAll(/<script src="([^"]+)" nonce="([^"]+)" defer><\/script>/g)]
      expect(text.match(/<script/g)).toHaveLength(scripts.length)
      for (const [, src, nonce] of scripts) {
        expect(policy).toContain(`script-src 'nonce-${nonce}'`)
        expect(src).toMatch(/^\/assets\/[0-9a-f]{12}\/\w+\.js$/)
      }
      expect(text).not.toMatch(/<(img|iframe|object|embed|base)\b|\sstyle=|\son\w+=|javascript:/i)
    },
  )

  it('serves scripts and the icon under addresses that may be kept for good', async () => {
    const text = await page()
    const paths = [...text.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => path!)
    expect(paths.map(path => path.split('/').at(-1)).sort()).toEqual(['app.js', 'icon.svg', 'uplot.js'])
    for (const path of paths) {
      const response = await get(path)
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-control')).toBe('private, max-age=31536000, immutable')
      expect(response.headers.get('content-type')).toMatch(/^(text\/javascript|image\/svg\+xml)/)
      const body = await response.text()
      expect(path).toContain(createHash('sha256').update(body).digest('hex').slice(0, 12))
    }
    expect((await get('/assets/000000000000/app.js')).status).toBe(404)
    expect((await get('/assets/../package.json')).status).toBe(404)
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

  it.each([
    ['/<script>alert(1)</script>', 'There is nothing at this address.'],
    ['/jobs/1-1', 'job 1-1'],
    ['/jobs/%3Cscript%3E', 'job &lt;script&gt;'],
    ['/jobs/__proto__', 'job __proto__'],
    ['/repositories/acme/none', 'repository acme/none'],
    ['/repositories/acme/%3Cscript%3E', 'repository acme/&lt;script&gt;'],
    ['/repositories/acme/app/workflows?name=%3Cscript%3E', 'workflow &lt;script&gt;'],
  ])('answers 404 as a page at %s', async (path, words) => {
    const response = await get(path)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toMatch(/^text\/html/)
    const text = await response.text()
    expect(text).toContain(words)
    expect(text).not.toMatch(/<script>/)
    expect((await app().request('/', { method: 'POST' })).status).toBe(404)
  })

  it.each([
    ['/jobs?state=lost', 'state must be one of waiting, queued,'],
    ['/jobs?sort=name', 'sort must be one of created, waited, ran, cost, hosted'],
    ['/jobs?order=up', 'order must be asc or desc'],
    ['/jobs?page=0', 'page must be a whole number'],
    ['/jobs?page=1e3', 'page must be a whole number'],
    ['/jobs?from=2026-02-30', 'from must be a day'],
    ['/jobs?from=2026-11-02&to=2026-11-01', 'from must be before to'],
    ['/jobs?cursor=%3Cscript%3E', 'cursor must be'],
    [`/jobs?workflow=${'x'.repeat(400)}`, 'workflow must be'],
    ['/repositories?sort=created', 'sort must be one of cost, name, jobs,'],
    [`/repositories?q=${'x'.repeat(400)}`, 'q must be'],
    ['/repositories/acme/app?to=tomorrow', 'to must be a day'],
    ['/repositories/acme/app/workflows', 'name must be'],
    ['/health?from=%3Cscript%3E', 'from must be a day'],
  ])('refuses %s with a page that names the field', async (path, words) => {
    await store.ran(ago(HOUR))
    const response = await get(path)
    expect(response.status).toBe(400)
    const text = await response.text()
    expect(text).toContain(words)
    expect(text).not.toMatch(/<script>/)
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

describe('every page', () => {
  it('has the notice, and says who looks and how to go', async () => {
    const shown = app({ notice: 'A simulation: <nothing> runs.' })
    const answer = await shown.request('/live', {}, { viewer: { id: 1, login: 'octo<b>' } })
    const text = await answer.text()
    expect(text).toContain('<p class="notice" role="note">A simulation: &lt;nothing&gt; runs.</p>')
    expect(text).toContain('octo&lt;b&gt;')
    expect(text).toContain('<form class="viewer" method="post" action="/signout">')
    expect(await page({}, '/live')).not.toContain('/signout')
  })

  it('says where it is', async () => {
    await store.ran(ago(HOUR))
    for (const [path, at] of [
      ['/', '/'],
      ['/repositories/acme/app', '/repositories'],
      ['/jobs/1-1', '/jobs'],
    ])
      expect(await page({}, path!)).toContain(`<a href="${at}" aria-current="page">`)
  })
})

describe('Overview', () => {
  it('of an empty ledger', async () => {
    const text = await page()
    expect(text).toContain('No runner has been paid for yet.')
    expect(text).toContain('Nothing was spent this month.')
    expect(text).toContain('nothing was spent in October')
    expect(text).toContain('no job is held back')
    expect(text).not.toContain('class="notice"')
  })

  it('does not hold this month against one in which it all began', async () => {
    for (const [month, day] of [
      [9, 16],
      [10, 3],
    ] as const)
      await store.ran(Date.UTC(2026, month, day, 12))
    const text = tile(await page(), 'Spent this month')
    expect(text).toMatch(/in October, from 16 Oct on$/)
    expect(text).not.toContain('%')
  })

  it('holds this month against the last one and against the cap', async () => {
    for (const day of [5, 19, 28]) await store.ran(Date.UTC(2026, 9, day, 12))
    for (const day of [3, 9]) await store.ran(Date.UTC(2026, 10, day, 12))
    const text = await page({ spend: { monthlyMicroUsd: 10_000, dailyMicroUsd: null, onCap: 'block' } })
    const { totals } = await json('/api/summary?from=2026-11-01')
    expect(totals.jobs).toBe(2)
    expect(tile(text, 'Spent this month')).toMatch(/^<\$0\.01|^\$0\.0\d/)
    expect(tile(text, 'Spent this month')).toContain('as much as $0.01 by 20 October $0.01 in all of October')
    expect(tile(text, 'Of the cap of $0.01')).toMatch(/^\d+ %/)
  })

  it('says what Spot saved, and what the same minutes cost at GitHub', async () => {
    for (let index = 0; index < 60; index++) await store.ran(ago(2 * HOUR + index * 60), { spot: true })
    const text = await page()
    expect(tile(text, 'Saved by Spot')).toMatch(/^~about \$0\.\d\d ?6\d % off \$0\.\d\d on demand/)
    expect(tile(text, 'On GitHub-hosted runners')).toMatch(/^\$0\.36 ?\d\d % less here/)
    expect(text).toContain('rest on estimated prices')
  })

  it('says where a price is unknown, and that the sum lacks it', async () => {
    await store.ran(ago(HOUR), { region: 'xx-nowhere-1' })
    const text = await page()
    expect(tile(text, 'Spent this month')).toMatch(/^\?unknown/)
    expect(text).toMatch(/class="notice" role="note"><b>\?<\/b> 1 runner ran at a price/)
  })

  it('does not say what Spot saved where nobody knows what it costs', async () => {
    await store.ran(ago(HOUR), { region: 'eu-west-1', spot: true })
    const text = tile(await page(), 'Saved by Spot')
    expect(text).toMatch(/^\?unknown/)
    expect(text).not.toContain('%')
  })

  it('names no day that the last month did not have', async () => {
    await store.ran(Date.UTC(2026, 10, 1, 12))
    await store.ran(Date.UTC(2026, 11, 1, 12))
    const text = await page({ now: Date.UTC(2026, 11, 31, 12) })
    expect(tile(text, 'Spent this month')).toContain('by 30 November')
  })

  it('says when the prices are old', async () => {
    expect(await page()).not.toContain('Prices were last checked')
    const { checkedOn } = priceAge(0)
    const text = await page({ now: Date.parse(checkedOn) + 91 * 86_400_000 })
    expect(text).toContain(`Prices were last checked on ${checkedOn}, 91 days ago.`)
  })

  it('says when a cap is reached, and what comes of it', async () => {
    for (let index = 0; index < 10; index++) await store.ran(ago(2 * HOUR + index * 60))
    const cap = { monthlyMicroUsd: 10_000, dailyMicroUsd: null }
    expect(await page({ spend: { ...cap, onCap: 'block' } })).toContain('Jobs wait until the month ends')
    expect(await page({ spend: { ...cap, onCap: 'warn' } })).toContain('The cap only warns.')
  })

  it('has a table of each day beside the chart', async () => {
    await store.ran(Date.UTC(2026, 9, 25, 12))
    await store.ran(ago(2 * HOUR), { spot: true })
    const days = [...(await page()).matchAll(/data-day="([\d-]+)"/g)].map(([, day]) => day)
    expect(days).toHaveLength(30)
    expect([days[0], days.at(-1)]).toEqual(['2026-10-22', '2026-11-20'])
  })
})

describe('Live', () => {
  const live = (over?: Over) => page(over, '/live')

  it('of an empty ledger', async () => {
    const text = await live()
    expect(text).toContain('No job waits for a runner.')
    expect(text).toContain('No runner is alive.')
    expect(text).not.toContain('data-refresh')
  })

  it('refreshes itself when told to, by a script alone', async () => {
    const text = await live({ refreshSeconds: 5 })
    expect(text).toContain('<main id="main" data-refresh="5">')
    expect(text).toContain('<a class="button" href="/live">Refresh</a>')
    expect(text).not.toContain('http-equiv')
  })

  it('shows why jobs wait', async () => {
    await store.gated(ago(90))
    await store.deferred(ago(80))
    await store.launching(ago(70))
    const text = await live()
    expect(text).toMatch(/All 100 runners are in use \(limits.runners\)\. <small>for \d/)
    for (const state of ['waiting', 'deferred', 'launching']) expect(text).toContain(`>${state}</span>`)
    expect(text).toContain('1 min 20 s')
  })

  it('shows a runner with its age, its cost so far, its job at GitHub and its log', async () => {
    const { runner } = await store.ran(ago(608), { done: false })
    const item = (await ledger.runners.get(runner!))!
    const task = 'arn:aws:ecs:eu-west-1:1:task/tornade/0123abcd'
    await putRunner({ ...item, version: 2, providerId: task })
    const logs = { region: 'eu-west-1', runners: '/tornade/prod/runners', builds: '/tornade/prod/builds' }
    const text = await live({ logs, gitHub: 'https://github.acme.com' })
    expect(text).toContain('href="https://github.acme.com/acme/app/actions/runs/501/job/1"')
    expect(text).toContain(
      'href="https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Ftornade$252Fprod$252Frunners/log-events/runner$252Frunner$252F0123abcd"',
    )
    expect(text).toContain('10 min 7 s')
    // Billed since the pull began, ten minutes ago: 10 × (2 × 0.04048 + 4 × 0.004445 + 0.005) / 60.
    expect(text).toContain('<div>$0.0173</div>')
    expect(await live()).not.toContain('cloudwatch')
  })

  it('shows a runner without a job, one that AWS alone knows, and a job that lost its runner', async () => {
    const waiting = await store.launching(ago(50))
    const { runner } = await store.ran(ago(HOUR), { done: false })
    const lost = (await ledger.runners.get(runner!))!
    await putRunner(priced({ ...lost, version: 2, stoppedAt: ago(60) }))
    await putRunner({ ...lost, name: 'tornade-1-1-1', version: 1, job: null, for: waiting.key })
    await putRunner({ ...newRunner('tornade-9-1-1'), version: 1 })
    const text = await live()
    expect(text).toContain('meant for this job')
    expect(text).toContain('known from AWS only')
    expect(text).toContain('No live runner of ours runs it')
  })

  it('shows a hundred rows of a long queue and says so', async () => {
    for (let index = 0; index < 130; index++) await store.queued(ago(index))
    const text = await live()
    expect(text).toContain('<small>100 of 130</small>')
    expect(text.match(/>queued<\/span>/g)).toHaveLength(100)
  })
})

describe('Jobs', () => {
  it('of an empty ledger', async () => {
    expect(await page({}, '/jobs')).toContain('No job has come in yet.')
    expect(await page({}, '/jobs?state=running')).toContain('No job fits what was asked for.')
  })

  it('shows outcomes with their reasons, and links to GitHub', async () => {
    await store.ran(ago(HOUR), { spot: true })
    await store.refused(ago(60))
    const text = await page({}, '/jobs')
    expect(text).toContain('<code>5cpu</code>: Fargate has 4 or 8 vCPU.')
    expect(text).toContain('href="https://github.com/acme/app/actions/runs/501/job/1"')
    expect(text).toContain('<a href="/jobs/1-1">CI / test</a>')
    expect(text).toContain('Spot, x64, 2 vCPU, 4 GiB')
    expect(text).toContain('$0.0060')
  })

  it('keeps filters from page to page, and in its form', async () => {
    for (let index = 0; index < 120; index++) await store.queued(ago(index))
    const text = await page(
      {},
      '/jobs?state=queued&repository=acme/app&workflow=CI&from=2026-11-20&to=2026-11-20',
    )
    const next = /rel="next" href="([^"]+)"/.exec(text)![1]!.replaceAll('&amp;', '&')
    const query = new URLSearchParams(next.split('?')[1])
    expect(Object.fromEntries(query)).toMatchObject({
      state: 'queued',
      repository: 'acme/app',
      workflow: 'CI',
      from: '2026-11-20',
      to: '2026-11-20',
    })
    expect(text).toContain('<option selected>queued</option>')
    expect(text).toContain('name="repository" value="acme/app"')
    expect((await page({}, next)).match(/>queued<\/span>/g)).toHaveLength(50)
  })

  it('sorts the newest thousand that fit, and says that there are more', async () => {
    for (let index = 0; index < 1010; index++) await store.queued(ago(index))
    const text = await page({}, '/jobs?sort=waited')
    expect(text).toContain('sorted among the newest 1,000 that fit')
    expect(text).toContain('1 – 50 of 1,000')
    expect(await page({}, '/jobs?sort=waited&page=21')).toContain('Beyond the last of 1,000')
  })
})

describe('a job', () => {
  it('shows everything that is known of it', async () => {
    await store.ran(ago(HOUR), { request: { headBranch: 'fix/it' } })
    const text = await page({}, '/jobs/1-1')
    for (const known of [
      'fix/it',
      'tornade-1-1-1',
      'us-east-1',
      'Image pull began',
      'Provisioning',
      'Start-up',
    ])
      expect(text).toContain(known)
    expect(tile(text, 'Waited')).toContain('40 s')
    expect(tile(text, 'Ran')).toContain('1 min')
    expect(tile(text, 'On a GitHub-hosted runner')).toContain('$0.0060')
  })

  it.each([
    // Published and estimated; of Ireland the price of Spot is not known, that on demand is.
    ['us-east-1', /^~about (\$\S+) on demand (\$\S+)/],
    ['eu-west-1', /^\?unknown on demand (\$\S+)/],
    ['xx-nowhere-1', /^\?unknown on demand \?unknown/],
  ])(
    'says what it costs, and would on demand, as surely as that is known: on Spot in %s',
    async (region, words) => {
      await store.ran(ago(HOUR), { region, spot: true })
      const text = tile(await page({}, '/jobs/1-1'), 'Cost of the job').trim()
      expect(text).toMatch(words)
      const { costUsd, onDemandUsd } = (await json('/api/jobs')).jobs[0]
      const amounts = [costUsd, onDemandUsd].filter(usd => usd !== null)
      expect(words.exec(text)!.slice(1)).toEqual(amounts.map(usd => `$${usd.toFixed(4)}`))
    },
  )

  it('says why it was refused, and what works', async () => {
    await store.refused(ago(60))
    expect(await page({}, '/jobs/1-1')).toContain(
      '<code>5cpu</code>: Fargate has 4 or 8 vCPU. Use <code>8cpu</code>.',
    )
  })

  it('says whose runner ran it, and what it runs again', async () => {
    const again = await store.queued(ago(60))
    await putJob({
      ...again,
      version: 2,
      rerunOf: '41-1',
      started: { at: ago(9), runner: { id: 5, name: 'other' } },
    })
    const text = await page({}, '/jobs/1-1')
    expect(text).toContain('<a href="/jobs/41-1">job 41-1</a>')
    expect(text).toContain('It ran on <code>other</code>, which is none of ours.')
  })
})

describe('Repositories', () => {
  it('are paged when there are ten thousand', async () => {
    for (let index = 0; index < 10_000; index++) {
      const repository = { id: index, name: `acme/r${String(index).padStart(5, '0')}`, private: true }
      await store.ran(ago(2 * HOUR), { request: { repository } })
    }
    const text = await page({}, '/repositories?sort=name')
    expect(text.match(/href="\/repositories\/acme\/r\d{5}"/g)).toHaveLength(50)
    expect(text).toContain('1 – 50 of 10,000')
    expect(text.length).toBeLessThan(150_000)
    expect(await page({}, '/repositories?sort=name&page=200')).toContain('/repositories/acme/r09999')
    const found = await page({}, '/repositories?q=R0777')
    expect(found.match(/href="\/repositories\/acme\/r0777\d"/g)).toHaveLength(10)
  })

  it('have a page although nothing was spent in the days looked at', async () => {
    await store.ran(ago(2 * HOUR))
    const text = await page({}, '/repositories/acme/app?from=2026-10-01&to=2026-10-02')
    expect(text).toContain('No runner of this repository has stopped in these days')
    expect(
      await page({}, '/repositories/acme/app/workflows?name=CI&from=2026-10-01&to=2026-10-02'),
    ).toContain('No runner of this workflow has stopped in these days')
  })

  it('show only their own workflows and jobs', async () => {
    await store.ran(ago(2 * HOUR))
    const other = { repository: { id: 2, name: 'acme/web', private: true }, workflow: 'Site' }
    await store.ran(ago(2 * HOUR), { request: other })
    const text = await page({}, '/repositories/acme/app')
    expect(text).toContain('/repositories/acme/app/workflows?name=CI')
    expect(text).not.toContain('Site')
    const workflow = await page({}, '/repositories/acme/web/workflows?name=Site')
    expect(workflow).toContain('/jobs/2-1')
    expect(workflow).not.toContain('/jobs/1-1')
  })
})

describe('Health', () => {
  it('of an empty ledger', async () => {
    const text = await page({}, '/health')
    expect(text).toContain('No job has run in these days.')
    expect(tile(text, 'Runner program')).toMatch(/^unknown/)
    expect(tile(text, 'Dead letters')).toMatch(/^3/)
  })

  it('shows how long jobs waited, and on what', async () => {
    for (let index = 0; index < 30; index++) await store.ran(ago(2 * HOUR + index))
    await store.refused(ago(HOUR))
    const text = await page({}, '/health')
    expect(tile(text, 'Queue time, the middle job')).toMatch(/^(3[89]|4[0-2]) s/)
    expect(text).toMatch(/Pull<span class="under">.*?<\/span>/)
    expect(text).toContain('href="/jobs?state=refused"')
  })

  it.each([
    [5, '25 days left at least', 'good'],
    [23, '7 days left at least', 'warn'],
    [31, 'may be cut off', 'bad'],
  ])('says of a runner released %d days ago: %s', async (days, words, tone) => {
    const releasedAt = NOW - days * 24 * HOUR * 1000
    const text = await page({ runnerVersion: async () => ({ version: '2.336.0', releasedAt }) }, '/health')
    expect(tile(text, 'Runner program')).toMatch(/^2\.336\.0/)
    expect(text).toContain(`<span class="badge ${tone}">${words}</span>`)
  })
})

/** Text of a tile: the figure and what stands below it. */
function tile(page: string, name: string): string {
  const found = page.split('<dt>').find(part => part.startsWith(`${name}</dt>`))
  if (found === undefined) throw new Error(`no tile ${name}`)
  return found
    .slice(name.length + 5)
    .split('</div>')[0]!
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/([~?≥]) /g, '$1')
    .trim()
}

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
    const name = new URLSearchParams({ name: text || ' ' })
    for (const path of [
      '/',
      '/live',
      '/repositories',
      '/jobs',
      '/jobs?sort=cost',
      '/jobs/1-1',
      '/jobs/5-1',
      '/health',
    ])
      expectText(await page({}, path))
    for (const path of [
      `/jobs?repository=${encodeURIComponent(text.toWellFormed().slice(0, 140))}`,
      `/repositories?q=${encodeURIComponent(text.toWellFormed().slice(0, 140))}`,
      `/repositories/a/b/workflows?${name}`,
    ])
      expectText(await (await get(path)).text())

    const documents = [await json('/api/jobs'), await json('/api/runners'), await json('/api/summary')]
    expect(documents[0].jobs).toHaveLength(5)
    expect(documents[2].byRepository[0].repository).toBe(clean(`${text}/${text}`, 140))
    expect(documents[0].jobs.flatMap((item: { labels: string[] }) => item.labels).join('')).not.toMatch(
      /[\p{Cc}\p{Cf}]/u,
    )
  })

  /** No tag, no attribute and no address but those of the page itself, and nothing that cannot be seen. */
  function expectText(found: string): void {
    const body = found.replace(/<style>[\s\S]*?<\/style>/, '')
    const opened = [...body.matchAll(/<[a-z0-9]+((?:\s+[a-z-]+(?:="[^"<>]*")?)*)\s*\/?>/gi)]
    // Each start of a tag is one that can be read whole.
    expect(body.match(/<[a-z]/gi)!.length).toBe(opened.length)
    const tags = new Set([...body.matchAll(/<\/?([a-z0-9]+)/gi)].map(match => match[1]!.toLowerCase()))
    for (const tag of tags) expect(TAGS).toContain(tag)
    const attributes = opened.flatMap(([, all]) =>
      [...all!.replaceAll(/="[^"]*"/g, '').matchAll(/[a-z-]+/gi)].map(([attribute]) => attribute),
    )
    for (const attribute of new Set(attributes)) expect(ATTRIBUTES).toContain(attribute)
    for (const [, href] of body.matchAll(/href="([^"]*)"/g)) {
      expect(href).toMatch(/^(#main|\/(?!\/)|https:\/\/github\.com(\/([\w.%!()*~-]|&#39;)+)*$)/)
      expect(['https://pages.example', 'https://github.com']).toContain(
        new URL(href!.replaceAll('&amp;', '&'), 'https://pages.example').origin,
      )
    }
    expect(body.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u)
    expect(body.length).toBeLessThan(60_000)
  }

  const TAGS = words(`
    html head meta title link script body header nav ul li main footer section h1 h2 p b br small code a span div dl dt dd ol
    table thead tbody tr th td time figure figcaption details summary svg path rect g
    form label input select option button
  `)
  const ATTRIBUTES = words(`
    lang charset name content class id role aria-label aria-hidden aria-current aria-sort scope data-label href rel datetime type
    src nonce defer data-chart data-unit data-value data-day data-tone tabindex viewBox preserveAspectRatio focusable d x y
    width height method action value placeholder maxlength autocomplete spellcheck selected
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
})
