/** Pages and JSON of the ledger. It only reads; who may read it is decided before it. */
import { type Context, Hono } from 'hono'
import type { Config } from './config.ts'
import { clean } from './core/text.ts'
import { apiRunner } from './core/views.ts'
import { viewerOf } from './dashboard/access/viewer.ts'
import { secured } from './dashboard/headers.ts'
import { METRICS_CONTENT_TYPE, readMetrics } from './dashboard/metrics.ts'
import { messagePage, overviewPage } from './dashboard/page.ts'
import { QueryError, readJobQuery, readPeriod, readPlace } from './dashboard/query.ts'
import { type DashboardPorts, readHealth, readJobs, readOverview, readSummary } from './dashboard/read.ts'
import { errorFields } from './lambda.ts'

export type { DashboardPorts, Health } from './dashboard/read.ts'

export interface DashboardOptions {
  /** A sentence that every page shows first, for example that all of this is simulated. */
  readonly notice: string | null
  /** The page asks again after so many seconds; null leaves that to the reader. */
  readonly refreshSeconds: number | null
  readonly spend: Config['spend']
}

export function dashboard(ports: DashboardPorts, options: DashboardOptions): Hono {
  const { clock, ledger, log } = ports
  const app = new Hono()

  app.use(secured())

  app.get('/', async c => {
    const period = readPeriod(() => undefined, clock.now())
    return c.html(overviewPage(await readOverview(ports, period), { ...options, viewer: viewerOf(c) }))
  })
  app.get('/api/jobs', async c => {
    const { items, next } = await readJobs(ledger, readJobQuery(parametersOf(c)))
    return c.json({ jobs: items, next })
  })
  app.get('/api/runners', async c => {
    const { items, next } = await ledger.runners.page(readPlace(parametersOf(c)))
    const now = clock.now()
    return c.json({ runners: items.map(runner => apiRunner(runner, now)), next })
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
      : c.html(messagePage('Not found', 'There is nothing at this address.', options.notice), 404),
  )
  app.onError((error, c) => {
    if (error instanceof QueryError) return c.json({ error: error.message }, 400)
    log.error('dashboard request failed', { path: clean(c.req.path), ...errorFields(error) })
    return isApi(c)
      ? c.json({ error: 'internal error' }, 500)
      : c.html(
          messagePage('Something went wrong', 'The log says what. Please try again.', options.notice),
          500,
        )
  })
  return app
}

function parametersOf(c: Context): (name: string) => string | undefined {
  return name => c.req.query(name)
}

function isApi(c: Context): boolean {
  return c.req.path === '/api' || c.req.path.startsWith('/api/')
}
