/** Pages and JSON of the ledger. It only reads; who may read it is decided before it. */
import { type Context, Hono } from 'hono'
import { apiAudit } from './core/audit.ts'
import type { Report } from './core/reports.ts'
import { clean } from './core/text.ts'
import { apiRunner } from './core/views.ts'
import { viewerOf } from './dashboard/access/viewer.ts'
import { ASSET_HEADERS, asset } from './dashboard/assets.ts'
import { nonceOf, type Secured, secured } from './dashboard/headers.ts'
import { healthPage } from './dashboard/health.ts'
import { JOB_ORDERS, JOBS_PER_PAGE, type JobsFound, jobPage, jobsPage, jobValue } from './dashboard/jobs.ts'
import { messagePage, type Shell } from './dashboard/layout.ts'
import { livePage } from './dashboard/live.ts'
import { METRICS_CONTENT_TYPE, readMetrics } from './dashboard/metrics.ts'
import { overviewPage } from './dashboard/overview.ts'
import {
  QueryError,
  readJobQuery,
  readOrder,
  readPageNumber,
  readPeriod,
  readPlace,
  readSearch,
  readWorkflow,
} from './dashboard/query.ts'
import {
  type DashboardPorts,
  isKnownRepository,
  readHealth,
  readJobDetail,
  readJobRows,
  readJobs,
  readLive,
  readOverview,
  readSortedJobs,
  readSummary,
} from './dashboard/read.ts'
import {
  firstOrder,
  ROW_ORDERS,
  repositoriesPage,
  repositoryPage,
  workflowPage,
} from './dashboard/repositories.ts'
import type { DashboardOptions } from './dashboard/settings.ts'
import { errorFields } from './lambda.ts'
import { readReport, readUsage } from './reports.ts'

export type { DashboardPorts, Health, RunnerVersion } from './dashboard/read.ts'
export { type DashboardOptions, dashboardOptions } from './dashboard/settings.ts'

const LATEST_JOBS = 20

export function dashboard(ports: DashboardPorts, options: DashboardOptions): Hono<Secured> {
  const { clock, ledger, log, stats } = ports
  const app = new Hono<Secured>()

  app.use(secured())

  // Pages

  app.get('/', async c => c.html(overviewPage(shellOf(c), await readOverview(ports), options)))
  app.get('/live', async c => c.html(livePage(shellOf(c), await readLive(ports), options)))

  app.get('/repositories', async c => {
    const asked = askedOf(c)
    return c.html(repositoriesPage(shellOf(c), await readReport(ports, asked.period), asked))
  })
  app.get('/repositories/:owner/:name', async c => {
    const repository = `${c.req.param('owner')}/${c.req.param('name')}`
    const asked = askedOf(c)
    const report = await readReport(ports, asked.period)
    if (!(await isKnown(report, repository))) return missing(c, `repository ${clean(repository, 140)}`)
    return c.html(repositoryPage(shellOf(c), repository, report, asked, options))
  })
  app.get('/repositories/:owner/:name/workflows', async c => {
    const repository = `${c.req.param('owner')}/${c.req.param('name')}`
    const workflow = clean(readWorkflow(parametersOf(c)))
    const asked = askedOf(c)
    const [report, { items, next }, usage] = await Promise.all([
      readReport(ports, asked.period),
      readJobRows(ledger, { repository, workflow, limit: LATEST_JOBS }),
      readUsage(ports, repository, workflow),
    ])
    const isKnownHere = report.byWorkflow.some(
      row => row.repository === repository && row.workflow === workflow,
    )
    if (!isKnownHere && items.length === 0 && next === null) return missing(c, `workflow ${workflow}`)
    return c.html(workflowPage(shellOf(c), { repository, workflow }, report, items, asked, usage, options))
  })

  app.get('/jobs', async c => {
    const parameters = parametersOf(c)
    const query = { ...readJobQuery(parameters), limit: JOBS_PER_PAGE }
    const order = readOrder(parameters, JOB_ORDERS, () => 'desc')
    const page = readPageNumber(parameters)
    const isByTime = order.by === 'created' && order.order === 'desc'
    const found: JobsFound = isByTime
      ? await readJobRows(ledger, query).then(({ items, next }) => ({ rows: items, next }))
      : await readSortedJobs(ledger, query, jobValue(order.by), order.order, { page, size: JOBS_PER_PAGE })
    return c.html(jobsPage(shellOf(c), found, { query, order, page }, options))
  })
  app.get('/jobs/:key', async c => {
    const key = c.req.param('key')
    const detail = /^\d{1,20}-\d{1,6}$/.test(key) ? await readJobDetail(ports, key) : undefined
    if (!detail) return missing(c, `job ${clean(key)}`)
    return c.html(jobPage(shellOf(c), detail, options))
  })

  app.get('/health', async c => {
    const now = clock.now()
    const period = readPeriod(parametersOf(c), now)
    const [report, deadLetters, version] = await Promise.all([
      readReport(ports, period),
      stats.deadLetters(),
      stats.runnerVersion(),
    ])
    return c.html(healthPage(shellOf(c), report, deadLetters, version, { now, period }))
  })

  app.get('/assets/*', c => {
    const found = asset(c.req.path)
    if (!found) return c.notFound()
    return c.body(found.body, 200, { ...ASSET_HEADERS, 'content-type': found.type })
  })

  // Documents

  app.get('/api/jobs', async c => {
    const { items, next } = await readJobs(ledger, readJobQuery(parametersOf(c)))
    return c.json({ jobs: items, next })
  })
  app.get('/api/runners', async c => {
    const { items, next } = await ledger.runners.page(readPlace(parametersOf(c)))
    const now = clock.now()
    return c.json({ runners: items.map(runner => apiRunner(runner, now)), next })
  })
  app.get('/api/audit', async c => {
    const { items, next } = await ledger.audit.page(readPlace(parametersOf(c)))
    return c.json({ entries: items.map(apiAudit), next })
  })
  app.get('/api/summary', async c =>
    c.json(await readSummary(ports, readPeriod(parametersOf(c), clock.now()))),
  )
  app.get('/api/health', async c => c.json(await readHealth(ports)))
  app.get('/metrics', async c => {
    c.header('content-type', METRICS_CONTENT_TYPE)
    return c.body(await readMetrics(ports, options.spend))
  })
  app.get('/healthz', c => c.json({ ok: true }))

  app.notFound(c =>
    isApi(c)
      ? c.json({ error: 'there is nothing at this path' }, 404)
      : c.html(messagePage(shellOf(c), 'Not found', 'There is nothing at this address.'), 404),
  )
  app.onError((error, c) => {
    if (error instanceof QueryError)
      return isApi(c)
        ? c.json({ error: error.message }, 400)
        : c.html(messagePage(shellOf(c), 'This cannot be asked', `In the address, ${error.message}.`), 400)
    log.error('dashboard request failed', { path: clean(c.req.path), ...errorFields(error) })
    return isApi(c)
      ? c.json({ error: 'internal error' }, 500)
      : c.html(messagePage(shellOf(c), 'Something went wrong', 'The log says what. Please try again.'), 500)
  })
  return app

  function shellOf(c: Context<Secured>): Shell {
    return { notice: options.notice, viewer: viewerOf(c), nonce: nonceOf(c) }
  }

  function askedOf(c: Context<Secured>) {
    const parameters = parametersOf(c)
    const now = clock.now()
    return {
      now,
      period: readPeriod(parameters, now),
      order: readOrder(parameters, ROW_ORDERS, firstOrder),
      search: readSearch(parameters),
      page: readPageNumber(parameters),
    }
  }

  async function isKnown({ byRepository }: Report, repository: string): Promise<boolean> {
    return byRepository.some(row => row.repository === repository) || isKnownRepository(ledger, repository)
  }

  function missing(c: Context<Secured>, what: string) {
    const message = `Nothing is known of ${what}: it may be misspelt, or older than what is kept.`
    return c.html(messagePage(shellOf(c), 'Not found', message), 404)
  }
}

function parametersOf(c: Context): (name: string) => string | undefined {
  return name => c.req.query(name)
}

function isApi(c: Context): boolean {
  return c.req.path === '/api' || c.req.path.startsWith('/api/')
}
