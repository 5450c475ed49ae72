/** Pages and JSON of the ledger. It only reads; who may read it is decided before it. */
import { type Context, Hono } from 'hono'
import { clean } from './core/text.ts'
import { apiRunner } from './core/views.ts'
import { messagePage, overviewPage } from './dashboard/page.ts'
import { QueryError, readJobQuery, readPeriod, readPlace } from './dashboard/query.ts'
import { type DashboardPorts, readHealth, readJobs, readOverview, readSummary } from './dashboard/read.ts'
import { STYLE_HASH } from './dashboard/style.ts'
import { errorFields } from './lambda.ts'

export type { DashboardPorts, Health } from './dashboard/read.ts'

export interface DashboardOptions {
  /** A sentence that every page shows first, for example that all of this is simulated. */
  readonly notice: string | null
  /** The page asks again after so many seconds; null leaves that to the reader. */
  readonly refreshSeconds: number | null
}

/** No script, no frame, no form, nothing from anywhere else: text that authors wrote has nothing to reach for. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; style-src '${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

export function dashboard(ports: DashboardPorts, options: DashboardOptions): Hono {
  const { clock, ledger, log } = ports
  const app = new Hono()

  app.use(async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value)
  })

  app.get('/', async c => {
    const period = readPeriod(() => undefined, clock.now())
    return c.html(overviewPage(await readOverview(ports, period), options))
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
