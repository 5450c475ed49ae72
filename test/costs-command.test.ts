/** `tornade costs`, asked of a page over HTTP and of a table in DynamoDB. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CreateTableCommand, waitUntilTableExists } from '@aws-sdk/client-dynamodb'
import { getRequestListener } from '@hono/node-server'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { costs } from '../cli/costs.ts'
import { DynamoLedger } from '../functions/aws/ledger.ts'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { withCost } from '../functions/core/lifecycle.ts'
import type { Summary } from '../functions/core/reports.ts'
import { type SpendRollup, spendOf, spendOfHour } from '../functions/core/rollups.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { LocalLedger } from '../local/ledger.ts'
import { SILENT } from '../local/log.ts'
import { type Dynalite, startDynalite, tableProperties } from './support/dynalite.ts'
import { job, launch, request, runner } from './support/facts.ts'

const DAY = 24 * 3_600_000
const TODAY = new Date().toISOString().slice(0, 10)
const NOON = Date.parse(`${TODAY}T12:00:00Z`)
const HOSTILE = '\u001b[31m=cmd|\u202e"x",y'

/** Today: a job of a workflow whose name is hostile, one on Spot, one in a region without prices, one without a job. */
function today(): SpendRollup {
  const kinds = [
    { workflow: HOSTILE, seconds: 6000 },
    { workflow: 'CI', capacity: 'spot' as const, role: 'deploy' },
    {
      workflow: 'Nightly',
      region: 'nowhere',
      repository: 'acme/a-name-that-is-as-long-as-names-of-repositories-get',
    },
    { workflow: null },
  ]
  const items = kinds.map((kind, index) => {
    const key = `${index}-1`
    const repository = { id: 1, name: kind.repository ?? 'acme/app', private: true }
    const startedAt = NOON - (kind.seconds ?? 60) * 1000
    const ran = runner({
      name: `tornade-${key}-1`,
      launch: launch({
        repository,
        role: kind.role ?? null,
        region: kind.region ?? 'us-east-1',
        shape: { ...launch().shape, capacity: kind.capacity ?? 'on-demand' },
      }),
      pullStartedAt: startedAt,
      startedAt,
      stoppedAt: NOON,
      job: kind.workflow === null ? null : { key, startedAt, completedAt: NOON, publicRepository: false },
    })
    const asked = job({ key, request: request({ key, repository, workflow: kind.workflow }) })
    return { job: withCost(asked, ran), runner: ran }
  })
  const hour = spendOfHour(`${TODAY}T12`, NOON, {
    runners: items.map(one => one.runner),
    jobs: new Map(items.map(one => [one.job.key, one.job])),
    unserved: [],
  })
  return spendOf('day', TODAY, NOON, [hour])
}

let server: Server
let url: string
let dynamo: Dynalite
let seen: (string | undefined)[]
let answer: { status: number; body: string } | null = null
const ledger = new LocalLedger()

beforeAll(async () => {
  await ledger.rollups.put([today()])
  await ledger.sweep.put({
    ...(await ledger.sweep.get()),
    version: 1,
    rollups: { lookedAt: NOON, done: [NOON - 3_600_000] },
  })
  const stats = { deadLetters: async () => 0, runnerVersion: async () => null }
  const pages = dashboard(
    { clock: Date, ledger, log: SILENT, stats },
    dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null }),
  )
  const listener = getRequestListener(pages.fetch)
  server = createServer((request, response) => {
    seen.push(request.headers.authorization)
    if (answer) response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
    else void listener(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  dynamo = await startDynalite()
})
afterAll(async () => {
  server.close()
  await dynamo.close()
})
afterEach(() => {
  answer = null
  vi.unstubAllEnvs()
})

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = { TORNADE_URL: url }) {
  const out = { stdout: '', stderr: '', code: 0 }
  seen = []
  out.code = await costs(argv, {
    stdout: text => {
      out.stdout += text
    },
    stderr: text => {
      out.stderr += text
    },
    stdin: async () => Buffer.alloc(0),
    cwd: import.meta.dirname,
    env,
    interactive: false,
  })
  return out
}

describe('the table', () => {
  it('has the dearest first, in 80 columns, with its sum and how sure that is', async () => {
    const { code, stdout, stderr } = await run([])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    for (const line of lines) expect([...line].length, line).toBeLessThanOrEqual(80)
    expect(lines[0]).toContain(
      `to ${new Date(Date.parse(TODAY) + DAY).toISOString().slice(0, 10)} 00:00 UTC, as of ${TODAY} 12:00`,
    )
    expect(lines[2]).toMatch(/^repository +jobs +cost \$ +share +GitHub \$$/)
    expect(lines[3]).toMatch(/^acme\/app +2 +~0\.1\d{3} +100% +0\.6\d{3}$/)
    expect(lines[4]).toMatch(/^acme\/a-name-that-is-as-long-as-names… +1 +\?0\.0000 +0% +0\.0060$/)
    expect(lines[5]).toMatch(/^together +3 +\?0\.1\d{3} +100% /)
    expect(stdout).toMatch(/^jobs \$0\.\d{4}, start-up \$0\.0000, idle \$0\.\d{4}$/m)
    expect(stdout).toMatch(/^~ \$0\.0006 rests on estimated prices$/m)
    expect(stdout).toMatch(/unknown and counts as 0: 1$/m)
  })

  it.each([
    [
      'workflow',
      [/^acme\/app \/ \[31m=cmd\|/, /^acme\/app \/ \(no workflow\)/, /^acme\/app \/ CI/, /… \/ Nightly/],
    ],
    ['compute', [/^fargate /, /^fargate-spot /]],
    ['day', [new RegExp(`^${TODAY} `)]],
    ['role', [/^\(no role\) /, /^deploy /]],
  ])('by %s', async (by, rows) => {
    const lines = (await run(['--by', by])).stdout.split('\n')
    for (const [index, row] of rows.entries()) expect(lines[3 + index]).toMatch(row)
    expect(lines[3 + rows.length]).toMatch(/^together/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be there
    for (const line of lines) expect(line).not.toMatch(/[\u0000-\u001f\u202e]/)
  })

  it('of a time without runners says that there is nothing', async () => {
    const { stdout } = await run(['--from', '2026-01-01', '--to', '2026-01-02'])
    expect(stdout).toMatch(/^together +0 +0\.0000 +- +0\.0000$/m)
  })
})

describe('for programs', () => {
  it('--json is the document of the page', async () => {
    const { stdout } = await run(['--json', '--from', TODAY])
    const document = JSON.parse(stdout) as Summary
    expect(document).toEqual(await (await fetch(`${url}/api/summary?from=${TODAY}`)).json())
    expect(document.totals).toMatchObject({ runners: 4, jobs: 3, basis: 'unknown' })
  })

  it('--csv is a row each, of which no spreadsheet makes a formula', async () => {
    const { stdout } = await run(['--csv', '--by', 'workflow'])
    const [head, first, ...others] = stdout.trimEnd().split('\n')
    expect(head).toBe(
      'repository,workflow,runners,jobs,costUsd,startupUsd,idleUsd,wastedUsd,onDemandUsd,githubHostedUsd,estimateUsd,unknownRunners,basis',
    )
    expect(first).toMatch(/^acme\/app,"\[31m=cmd\| ""x"",y",1,1,0\.\d+,0,0,0,0\.\d+,0\.6,0,0,published$/)
    expect(others[0]).toMatch(/^acme\/app,,1,0,/)
    expect(others).toHaveLength(3)
  })
})

describe('what it asks', () => {
  it('sends the token to this machine, and elsewhere over https alone', async () => {
    await run([], { TORNADE_URL: url, TORNADE_TOKEN: 'a-token' })
    expect(seen).toEqual(['Bearer a-token'])
    await expect(
      run([], { TORNADE_URL: 'http://tornade.example', TORNADE_TOKEN: 'a-token' }),
    ).rejects.toThrow('a token is sent over https only')
    await expect(run([], { TORNADE_URL: url, TORNADE_TOKEN: 'a-token\nthe-next' })).rejects.toThrow(
      'TORNADE_TOKEN: a token is one word',
    )
  })

  it.each([
    [401, '{}', /wants another token: set TORNADE_TOKEN/],
    [403, '', /wants another token/],
    [404, '<html>', /answered 404 and no costs/],
    [200, '{"totals":{}}', /answered 200 and no costs/],
    [400, '{"error":"from must be \\u001b[2Ja day"}', /^from must be {2}\[2Ja day$/],
  ])('says what to do about an answer of %d %s', async (status, body, message) => {
    answer = { status, body }
    await expect(run([])).rejects.toThrow(message)
  })

  it('says what to do where nothing answers', async () => {
    const nobody = createServer()
    await new Promise<void>(resolve => nobody.listen(0, '127.0.0.1', resolve))
    const { port } = nobody.address() as AddressInfo
    await new Promise(resolve => nobody.close(resolve))
    const failed = run([], { TORNADE_URL: `http://127.0.0.1:${port}` })
    await expect(failed).rejects.toThrow(/nothing answers at .* \(ECONNREFUSED\): start the local stack/)
  })

  it.each([
    [['--by', 'team'], '--by wants one of repository, workflow, compute, day, role'],
    [['--json', '--csv'], '--json and --csv exclude each other'],
    [['--from', 'yesterday'], '--from must be a day'],
    [['--from', '2026-02-30'], '--from must be a day'],
    [['--to', '2026-01-01', '--from', '2026-01-02'], '--from must be before to'],
    [['--region', 'eu-west-1'], '--region goes with --stage'],
    [['--stage', '../x'], '--stage wants the name of a stage'],
    [['--stage', 'x', '--region', 'moon'], '--region wants an AWS region'],
  ])('refuses %s', async (argv, message) => {
    await expect(run(argv)).rejects.toThrow(message)
    await expect(run(argv)).rejects.toBeInstanceOf(TornadeError)
  })

  it('--help says how', async () => {
    expect((await run(['--help'])).stdout).toMatch(/^Usage: tornade costs/)
  })
})

describe('--stage', () => {
  const there = () => {
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', dynamo.endpoint)
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'of tests')
  }

  it('reads the ledger of that stage: two calls, and no write', async () => {
    there()
    const table = 'tornade-try-ledger'
    const { AttributeDefinitions, KeySchema, BillingMode, GlobalSecondaryIndexes } =
      tableProperties('LedgerTable')
    const properties = { AttributeDefinitions, KeySchema, BillingMode, GlobalSecondaryIndexes }
    await dynamo.client.send(new CreateTableCommand({ TableName: table, ...properties }))
    await waitUntilTableExists({ client: dynamo.client, maxWaitTime: 10, minDelay: 1 }, { TableName: table })
    const stored = new DynamoLedger({ client: dynamo.client, table, clock: Date, log: SILENT })
    await stored.rollups.put([today()])
    dynamo.forget()
    const { stdout } = await run(['--stage', 'try', '--region', 'us-east-1', '--json'])
    expect((JSON.parse(stdout) as Summary).totals).toMatchObject({ runners: 4, jobs: 3 })
    expect(dynamo.calls.map(({ action }) => action).toSorted()).toEqual(['BatchGetItem', 'GetItem'])
  })

  it('says what to do where there is no such table', async () => {
    there()
    await expect(run(['--stage', 'none', '--region', 'us-east-1'])).rejects.toThrow(
      'there is no table tornade-none-ledger in us-east-1: is that the stage, the region (--region) and the account?',
    )
  })
})
