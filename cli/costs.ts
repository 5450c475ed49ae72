/** `tornade costs`: what runners cost, from the local stack, from a deployed page or from a deployed ledger. */
import { parseArgs } from 'node:util'
import { dynamoClient } from '../functions/aws/dynamodb.ts'
import { DynamoLedger } from '../functions/aws/ledger.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { csv } from '../functions/core/escape.ts'
import { type Period, type Row, type Summary, summaryOf } from '../functions/core/reports.ts'
import { clean } from '../functions/core/text.ts'
import { QueryError, readPeriod } from '../functions/dashboard/query.ts'
import { readReport } from '../functions/reports.ts'
import { lineLog } from '../local/log.ts'
import { loadConfigFile } from './config-file.ts'
import { EXIT, type Io } from './io.ts'

const BY = ['repository', 'workflow', 'compute', 'day', 'role'] as const
type By = (typeof BY)[number]

const HELP = `Usage: tornade costs [OPTION…]

  What runners cost that stopped in a period: thirty days, if none is given.

  --from DAY      2026-11-02, or a time with its zone (2026-11-02T09:00:00Z)
  --to DAY        likewise; a day is part of the period. Days are UTC days
  --by WHAT       ${BY.join(', ')}
                  (default: repository)
  --json          one JSON document, as GET /api/summary answers it
  --csv           rows for a spreadsheet
  --stage NAME    read the ledger of this deployed stage in DynamoDB, with the
                  AWS credentials of this shell
  --region NAME   where that stage is (default: AWS_REGION, then tornade.yml)
  --config FILE   read this file (default: ./tornade.yml, if there is one)
  --help          this text

  Without --stage the page at TORNADE_URL is asked (default: the local stack,
  ${'http://127.0.0.1:3000'}), with the bearer token TORNADE_TOKEN if that is set.

  ~ before a sum: a part of it rests on estimated prices. ?: a price in it is
  unknown and counts as 0, so it is a lower bound.
`

const LOCAL_URL = 'http://127.0.0.1:3000'
const TIMEOUT_MS = 30_000
/** Rows of the table; the other forms have all of them. */
const ROWS = 40

export async function costs(argv: readonly string[], io: Io): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      from: { type: 'string' },
      to: { type: 'string' },
      by: { type: 'string', default: 'repository' },
      json: { type: 'boolean', default: false },
      csv: { type: 'boolean', default: false },
      stage: { type: 'string' },
      region: { type: 'string' },
      config: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    io.stdout(HELP)
    return EXIT.good
  }
  const by = BY.find(one => one === values.by)
  if (!by) throw new TornadeError('usage', `--by wants one of ${BY.join(', ')}`)
  if (values.json && values.csv) throw new TornadeError('usage', '--json and --csv exclude each other')
  if (values.region !== undefined && values.stage === undefined)
    throw new TornadeError('usage', '--region goes with --stage')
  const asked = { from: values.from, to: values.to }
  const period = periodOf(asked)
  const summary =
    values.stage === undefined
      ? await fromPage(io.env.TORNADE_URL || LOCAL_URL, io.env.TORNADE_TOKEN, asked)
      : await fromLedger(values.stage, await regionOf(values, io), period, io)
  for (const part of summary.incomplete)
    io.stderr(`A part of ${clean(part)} could not be read: it is in the total and in no row. Try again.\n`)
  io.stdout(
    values.json
      ? `${JSON.stringify(summary, null, 2)}\n`
      : values.csv
        ? spreadsheet(summary, by)
        : table(summary, by),
  )
  return EXIT.good
}

type Asked = Readonly<Record<'from' | 'to', string | undefined>>

/** @throws TornadeError usage */
function periodOf(asked: Asked): Period {
  try {
    return readPeriod(name => (name === 'from' || name === 'to' ? asked[name] : undefined), Date.now())
  } catch (error) {
    if (error instanceof QueryError) throw new TornadeError('usage', `--${error.message}`)
    throw error
  }
}

// ------------------------------------------------------------------------------------------------------- sources

async function fromPage(base: string, token: string | undefined, asked: Asked): Promise<Summary> {
  const url = URL.canParse(base) ? new URL('/api/summary', base) : null
  if (!url || !/^https?:$/.test(url.protocol))
    throw new TornadeError('usage', `TORNADE_URL ${clean(base)}: not an http or https URL`)
  const { host, hostname, protocol, username, password } = url
  if (username || password) throw new TornadeError('usage', 'TORNADE_URL: leave user name and password out')
  if (token && protocol === 'http:' && !/^(127\.0\.0\.1|localhost|\[::1\])$/.test(hostname))
    throw new TornadeError('usage', `TORNADE_URL ${host}: a token is sent over https only`)
  if (token && !/^[!-~]+$/.test(token))
    throw new TornadeError(
      'usage',
      'TORNADE_TOKEN: a token is one word of plain characters; is there a line too many?',
    )
  for (const name of ['from', 'to'] as const) if (asked[name]) url.searchParams.set(name, asked[name])
  const answer = await ask(url, token)
  const document = (await answer.json().catch(() => null)) as (Summary & { readonly error?: unknown }) | null
  if (answer.status === 401 || answer.status === 403)
    throw unread(
      `${host} wants another token: set TORNADE_TOKEN to one that it knows, or read the ledger with --stage`,
    )
  if (answer.status === 400) throw new TornadeError('usage', clean(String(document?.error), 300))
  if (answer.status !== 200 || !isSummary(document))
    throw unread(
      `${host} answered ${answer.status} and no costs: is it tornade, and of this version? TORNADE_URL says where to ask`,
    )
  return document
}

async function ask(url: URL, token: string | undefined): Promise<Response> {
  try {
    return await fetch(url, {
      headers: { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (error) {
    const { name, cause } = error as Error & { cause?: NodeJS.ErrnoException }
    const why =
      name === 'TimeoutError'
        ? `no answer within ${TIMEOUT_MS / 1000} s`
        : clean(cause?.code ?? cause?.message ?? name)
    throw unread(
      `nothing answers at ${url.origin} (${why}): start the local stack with \`npx tornade start\`, set TORNADE_URL, or read a deployed ledger with --stage`,
    )
  }
}

function isSummary(document: Summary | null): document is Summary {
  const lists = ['byDay', 'byRepository', 'byCompute', 'byWorkflow', 'byRole', 'incomplete'] as const
  return typeof document?.totals?.costUsd === 'number' && lists.every(name => Array.isArray(document[name]))
}

async function regionOf(values: { region?: string; config?: string }, io: Io): Promise<string> {
  const region = values.region ?? io.env.AWS_REGION ?? io.env.AWS_DEFAULT_REGION
  return region || (await loadConfigFile(values.config ?? null, io.cwd)).config.region
}

async function fromLedger(stage: string, region: string, period: Period, io: Io): Promise<Summary> {
  if (!/^[a-z][a-z0-9-]{0,40}$/i.test(stage))
    throw new TornadeError('usage', '--stage wants the name of a stage')
  if (!/^[a-z]{2}(-[a-z]+)+-\d$/.test(region))
    throw new TornadeError('usage', '--region wants an AWS region, for example eu-west-1')
  const table = `tornade-${stage}-ledger`
  const client = dynamoClient({ region })
  const log = lineLog(io.stderr, 'error', () => null)
  try {
    const ledger = new DynamoLedger({ client, table, clock: Date, log })
    return summaryOf(await readReport({ clock: Date, ledger }, period))
  } catch (error) {
    throw unread(whyNot(error as Error, table, region))
  } finally {
    client.destroy()
  }
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html */
function whyNot({ name, message }: Error, table: string, region: string): string {
  if (name === 'CredentialsProviderError')
    return 'this shell has no AWS credentials: sign in (`aws sso login`), or set AWS_PROFILE'
  if (/^(ExpiredToken|UnrecognizedClient|InvalidSignature|InvalidClientTokenId)/.test(name))
    return `AWS does not take the credentials of this shell (${name}): sign in again, or set AWS_PROFILE`
  if (name === 'ResourceNotFoundException')
    return `there is no table ${table} in ${region}: is that the stage, the region (--region) and the account?`
  if (/^AccessDenied/.test(name))
    return `these credentials may not read ${table} (dynamodb:GetItem and dynamodb:BatchGetItem): ${clean(message, 300)}`
  return `${table} in ${region} could not be read: ${clean(message, 300)}`
}

function unread(message: string): TornadeError {
  return new TornadeError('input-unreadable', message)
}

// --------------------------------------------------------------------------------------------------------- forms

/** The rows, with what tells them apart. */
function rowsOf(
  summary: Summary,
  by: By,
): readonly { readonly names: readonly (string | null)[]; readonly row: Row }[] {
  switch (by) {
    case 'repository':
      return summary.byRepository.map(row => ({ names: [row.repository], row }))
    case 'workflow':
      return summary.byWorkflow.map(row => ({ names: [row.repository, row.workflow], row }))
    case 'compute':
      return summary.byCompute.map(row => ({ names: [row.compute], row }))
    case 'day':
      return summary.byDay.map(row => ({ names: [row.day], row }))
    case 'role':
      return summary.byRole.map(row => ({ names: [row.role], row }))
  }
}

const FIGURES = [
  'runners',
  'jobs',
  'costUsd',
  'startupUsd',
  'idleUsd',
  'wastedUsd',
  'onDemandUsd',
  'githubHostedUsd',
  'estimateUsd',
  'unknownRunners',
  'basis',
] as const

function spreadsheet(summary: Summary, by: By): string {
  const head = by === 'workflow' ? ['repository', 'workflow'] : [by]
  const rows = rowsOf(summary, by).map(({ names, row }) => [
    ...names.map(name => csv(name ?? '')),
    ...FIGURES.map(name => csv(String(row[name]))),
  ])
  return [[...head, ...FIGURES], ...rows].map(cells => `${cells.join(',')}\n`).join('')
}

const NAME_WIDTH = 37

function table(summary: Summary, by: By): string {
  const { totals, from, to, computedAt } = summary
  const decimals = totals.costUsd < 10 ? 4 : 2
  const all = rowsOf(summary, by)
  const line = (name: string, row: Row) =>
    columns([
      name,
      String(row.jobs),
      `${MARKS[row.basis]}${row.costUsd.toFixed(decimals)}`,
      totals.costUsd === 0 ? '-' : `${Math.round((row.costUsd / totals.costUsd) * 100)}%`,
      row.githubHostedUsd.toFixed(decimals),
    ])
  const more = all.length - ROWS
  const dollars = (amount: number) => `$${amount.toFixed(decimals)}`
  const jobsUsd = totals.costUsd - totals.startupUsd - totals.idleUsd
  return [
    `${minute(from)} to ${minute(to)} UTC, ${computedAt === null ? 'nothing rolled up yet' : `as of ${minute(computedAt)}`}`,
    '',
    columns([by, 'jobs', 'cost $', 'share', 'GitHub $']),
    ...all.slice(0, ROWS).map(({ names, row }) => line(nameOf(names, by), row)),
    ...(more > 0 ? [`… and ${more} more (--csv and --json have them all)`] : []),
    line('together', totals),
    '',
    `jobs ${dollars(jobsUsd)}, start-up ${dollars(totals.startupUsd)}, idle ${dollars(totals.idleUsd)}`,
    `wasted by interruptions ${dollars(totals.wastedUsd)}; all on demand ${dollars(totals.onDemandUsd)}`,
    ...(totals.estimateUsd > 0 ? [`~ ${dollars(totals.estimateUsd)} rests on estimated prices`] : []),
    ...(totals.unknownRunners > 0
      ? [`? runners whose price, or a part of it, is unknown and counts as 0: ${totals.unknownRunners}`]
      : []),
    '',
  ].join('\n')
}

const MARKS: Readonly<Record<Row['basis'], string>> = { published: '', estimate: '~', unknown: '?' }

function nameOf(names: readonly (string | null)[], by: By): string {
  if (by === 'role') return names[0] ?? '(no role)'
  if (by !== 'workflow') return names[0] || '-'
  // The end of both is what tells them apart.
  const [repository, workflow] = [names[0] ?? '', names[1] ?? '(no workflow)']
  const room = NAME_WIDTH - 3 - Math.min([...clean(workflow)].length, 17)
  return `${clean(repository, room)} / ${clean(workflow, 17)}`
}

function columns([name, jobs, cost, share, hosted]: readonly string[]): string {
  const text = clean(name!, NAME_WIDTH)
  const padded = text + ' '.repeat(Math.max(0, NAME_WIDTH - [...text].length))
  return `${padded} ${jobs!.padStart(8)} ${cost!.padStart(13)} ${share!.padStart(5)} ${hosted!.padStart(12)}`
}

function minute(time: string): string {
  return clean(time).slice(0, 16).replace('T', ' ')
}
