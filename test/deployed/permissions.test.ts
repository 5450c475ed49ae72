/**
 * Every call that the functions make in whole runs is allowed by the role that the compiled template gives them, and
 * nothing is granted that no run needs.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DynamoLedger } from '../../functions/aws/ledger.ts'
import { isAllowed, Resolver, roleOf, type Stack, type Statement } from '../infra/stack.ts'
import { Browser } from '../support/browser.ts'
import { slackServer } from '../support/slack-server.ts'
import { type Asking, askings, forbidden, unused } from './grants.ts'
import { Deployment, FUNCTIONS, ORIGIN } from './stack.ts'

/** Grants that no recorded call can need, and who needs them. */
const SPARED: Readonly<Record<string, string>> = {
  'WebhookRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'LaunchRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'LifecycleRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'SweepRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'NotifyRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'SlackRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'DashboardRole.WriteLogs': 'Lambda writes what the function prints, with its role',
  'LaunchRole.ReadQueue': 'Lambda reads the queue for the function, with its role',
  'LifecycleRole.ReadQueue': 'Lambda reads the queue for the function, with its role',
  ...Object.fromEntries(
    ['x64', 'arm64'].map(arch => [
      `LaunchRole.StartTasks ecs:RunTask arn:aws:ecs:eu-west-1:123456789012:task-definition/tornade-dev-${arch}`,
      'tasks are started by their family; the simulator of IAM knows task definitions with a revision only',
    ]),
  ),
}

let world: Deployment
let stack: Stack
let asked: Asking[]
const tickets: { readonly role: string; readonly key: string }[] = []

beforeAll(async () => {
  const image = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/node@sha256:${'a'.repeat(64)}`
  world = await Deployment.start({ config: { images: { node: { x64: image } } } })
  stack = world.stack
  await served(['tornade/arm64/spot'])
  await served(['tornade', 'docker'])
  await served(['tornade/image:node'])
  await served(['tornade/docker/image:node'])
  await served(['tornade/build'])
  await served(['tornade/role:deploy'])
  await served(['tornade/docker/role:deploy'])
  await refused(['tornade', 'amr64'])
  await refused(['tornade/role:ghost'])
  await cancelled(['tornade'])
  await cancelled(['tornade', 'docker'])
  await notRegistered(['tornade'])
  await notRegistered(['tornade', 'docker'])
  await interrupted(['tornade'])
  await lost(['tornade'])
  await unheard(['tornade'])
  await crowded(['tornade'])
  await forgotten(['tornade'])
  await visited()
  await told()
  await operated()
  asked = askings(stack, world.calls)
}, 120_000)
afterAll(() => world.close())

async function launched(labels: readonly string[]) {
  const { job, key } = await world.queue(labels)
  await world.settle()
  return { job, key, runner: `tornade-${key}-1` }
}

async function served(labels: readonly string[]): Promise<void> {
  const { job, runner } = await launched(labels)
  const { role, key } = world.started(runner)!
  tickets.push({ role, key })
  await world.runnerTakes(runner, job, labels)
  await world.runnerEnds(runner, job, labels)
  await world.settle()
}

async function refused(labels: readonly string[]): Promise<void> {
  const { key } = await launched(labels)
  expect((await world.job(key)).refused).not.toBeNull()
}

async function cancelled(labels: readonly string[]): Promise<void> {
  const { job, runner } = await launched(labels)
  world.github.finishJob(job, 'cancelled')
  await world.deliver(world.payload('completed', job, labels))
  await world.settle()
  world.advance(90)
  await world.settle()
  world.stops(runner)
  await world.settle()
}

/** GitHub registers no runner for it, when it has been started. */
async function notRegistered(labels: readonly string[]): Promise<void> {
  world.github.fail('actions/generate-runner-jitconfig-for-repo', { status: 403, message: 'Forbidden' })
  const { key, runner } = await launched(labels)
  expect((await world.job(key)).refused).toMatchObject({ code: 'github-refused' })
  world.stops(runner)
  await world.settle()
}

/** Launch dies once the ticket is there, and its message comes again. */
async function interrupted(labels: readonly string[]): Promise<void> {
  world.meddle = (_, { operation, body }) =>
    operation === 'PutItem' && body.includes('tornade-dev-tickets') ? { lost: 'after', dies: true } : null
  const { job, key } = await world.queue(labels)
  await world.settle()
  world.meddle = null
  world.advance(600)
  await world.settle()
  const runner = `tornade-${key}-1`
  await world.runnerTakes(runner, job, labels)
  await world.runnerEnds(runner, job, labels)
  await world.settle()
}

/** The task stops before it ran the job, which gets another; then the end of that one is told by nobody. */
async function lost(labels: readonly string[]): Promise<void> {
  const { job, key, runner } = await launched(labels)
  world.stops(runner)
  await world.settle()
  world.advance(60)
  await world.settle()
  const next = `tornade-${key}-2`
  await world.runnerTakes(next, job, labels)
  await world.settle()
  world.github.finishJob(job, 'success')
  world.github.runners.delete(job.runner!.id)
  world.stops(next)
  await world.settle()
  world.advance(600)
  await world.sweep()
  await world.settle()
  expect((await world.job(key)).completed).toMatchObject({ conclusion: 'success' })
}

/** Nobody tells that the job was cancelled; launch asks before it starts a second runner, and says so. */
async function unheard(labels: readonly string[]): Promise<void> {
  const { job, key, runner } = await launched(labels)
  world.github.finishJob(job, 'cancelled')
  world.stops(runner)
  await world.settle()
  expect((await world.job(key)).completed).toMatchObject({ conclusion: 'cancelled' })
}

/** More jobs of a repository wait than the gate remembers, when a runner starts, ends, and when the sweep looks. */
async function crowded(labels: readonly string[]): Promise<void> {
  const first = await launched(labels)
  await more()
  const second = await launched(labels)
  await more()
  for (const { job, runner } of [first, second]) {
    await world.runnerTakes(runner, job, labels)
    await world.runnerEnds(runner, job, labels)
    await world.settle()
  }
  const third = await launched(labels)
  const ledger = ledgerOf()
  const job = (await ledger.jobs.get(third.key))!
  const deferred = { since: 0, reason: 'total-limit', message: '', notBefore: null, cause: 'job' } as const
  await ledger.jobs.put({
    ...job,
    version: job.version + 1,
    deferred: { ...deferred, runner: `${third.runner}0` },
  })
  await world.sweep()
  // Also what runs for too long is the sweep's.
  await world.runnerTakes(third.runner, third.job, labels)
  const build = await launched(['tornade', 'docker'])
  await world.runnerTakes(build.runner, build.job, ['tornade', 'docker'])
  await world.settle()
  world.advance(7 * 3600)
  await world.sweep()
  for (const one of [third, build]) await world.runnerEnds(one.runner, one.job, labels)
  await world.settle()
}

/** A runner that waits for nobody: the sweep has it released. */
async function forgotten(labels: readonly string[]): Promise<void> {
  const { runner } = await launched(labels)
  world.wire.ecs.run(world.started(runner)!.arn)
  await world.settle()
  world.advance(600)
  await world.sweep()
  await world.settle()
}

/** Somebody signs in, and looks around. */
/** Operators are told of the last day, once. */
async function told(): Promise<void> {
  const slack = await slackServer()
  await world.notify()
  world.wire.ssm.parameters.set('/tornade/dev/slack-webhook', `${slack.url}\n`)
  world.secrets.set('address of the channel', slack.url)
  world.advance(600)
  await world.notify()
  await world.notify()
  await slack.close()
  expect(slack.received).toEqual([
    { text: expect.stringContaining('*tornade dev: the last 24 hours*'), unfurl_links: false },
  ])
}

/** Somebody looks around in Slack, and changes something. */
async function operated(): Promise<void> {
  const { job, key } = await launched(['tornade'])
  const runner = `tornade-${key}-1`
  await world.runnerTakes(runner, job, ['tornade'])
  await world.runnerEnds(runner, job, ['tornade'])
  await world.settle()
  for (const text of ['status', 'jobs', 'costs', `logs ${job.id}`])
    expect(await world.typed(text)).toMatch(/Queued|success|This month|log-group/)
  expect(await world.typed('deploy web main')).toContain('On its way: deploy web from main')
  expect(await world.typed(`rerun ${job.id}`)).toContain(`On its way: rerun job ${key}`)
  await world.settle()
  await world.sweep()
  expect(world.github.dispatched).toEqual([
    { repositoryId: 7001, workflow: 'ci.yml', ref: 'refs/heads/main', inputs: { environment: 'production' } },
  ])
  const { messages } = world.slack
  const threads = messages
    .filter(({ thread_ts }) => thread_ts === null)
    .map(({ text, ts }) => [text, messages.find(({ thread_ts }) => thread_ts === ts)?.text])
  expect(threads.sort()).toEqual([
    [
      '<@U0ALICE> asks to deploy web from main.',
      expect.stringMatching(/: deploy web from main: <.+\|started>\.$/),
    ],
    [`<@U0ALICE> asks to rerun job ${key}.`, expect.stringMatching(`: rerun job ${key}: <.+\\|started>\\.$`)],
  ])
}

async function visited(): Promise<void> {
  world.web.visitor = { id: 583231, login: 'ada', memberships: [] }
  const browser = new Browser(world, world.visit)
  expect((await browser.open(`${ORIGIN}/signin/github?next=/nothing`)).status).toBe(404)
  for (const path of ['/api/jobs?state=completed&limit=1', '/api/runners?limit=1', '/api/health', '/health'])
    expect((await browser.open(ORIGIN + path)).status).toBe(200)
}

function ledgerOf(): DynamoLedger {
  const quiet = () => {}
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  const table = new Resolver(stack).name('LedgerTable')
  return new DynamoLedger({ client: world.dynamo.client, table, clock: world, log })
}

async function more(): Promise<void> {
  const ledger = ledgerOf()
  const gate = await ledger.gate.get()
  const waiting = { ...gate.waiting, 7001: { name: null, heads: [], more: true } }
  await ledger.gate.put({ ...gate, version: gate.version + 1, waiting })
}

describe('what the functions call', () => {
  it('is what AWS and GitHub would take', () => {
    expect(world.faults()).toEqual([])
    for (const name of FUNCTIONS) expect(asked.filter(({ caller }) => caller === name)).not.toEqual([])
  })

  it('is allowed by their roles', async () => {
    expect(await forbidden(stack, asked)).toEqual([])
  })

  it('is all that their roles allow', () => {
    expect(unused(stack, asked, SPARED)).toEqual([])
  })

  it('lets runners take the tickets that were written for them', async () => {
    const resource = askings(stack, world.calls).find(({ resource }) =>
      resource.endsWith('tickets'),
    )!.resource
    const plain = tickets.filter(({ role }) => role === 'AROARUNNERROLE')
    expect(plain.length).toBeGreaterThan(1)
    for (const { key } of plain) {
      const session = key.slice(key.indexOf(':') + 1)
      const take = { action: 'dynamodb:UpdateItem', resource, session }
      expect(
        await isAllowed(stack, 'RunnerRole', { ...take, context: { 'dynamodb:LeadingKeys': [key] } }),
      ).toBe(true)
    }
  })
})

describe('the checker', () => {
  const statements = (role: string, change: (all: Statement[]) => Statement[]): Stack => {
    const copy = structuredClone(stack)
    const [policy] = copy.template.Resources[role]!.Properties!.Policies as {
      PolicyDocument: { Statement: Statement[] }
    }[]
    policy!.PolicyDocument.Statement = change(policy!.PolicyDocument.Statement)
    return copy
  }
  const without = (role: string, sid: string) => statements(role, all => all.filter(({ Sid }) => Sid !== sid))

  it('finds every statement that is missing', async () => {
    const missed: string[] = []
    for (const name of FUNCTIONS) {
      const role = roleOf(stack, name)
      const [policy] = stack.template.Resources[role]!.Properties!.Policies as {
        PolicyDocument: { Statement: Statement[] }
      }[]
      for (const { Sid } of policy!.PolicyDocument.Statement) {
        const mine = asked.filter(({ caller }) => caller === name)
        const found = (await forbidden(without(role, Sid!), mine)).length > 0
        if (!found && !(`${role}.${Sid}` in SPARED)) missed.push(`${role}.${Sid}`)
      }
    }
    expect(missed).toEqual([])
  })

  it('finds a grant too many: an action, and a resource', () => {
    const Effect = 'Allow'
    const ledger = 'arn:aws:dynamodb:eu-west-1:123456789012:table/tornade-dev-ledger'
    const scan: Statement = {
      Sid: 'Scan',
      Effect,
      Action: ['dynamodb:GetItem', 'dynamodb:Scan'],
      Resource: ledger,
    }
    expect(
      unused(
        statements('SweepRole', all => [...all, scan]),
        asked,
        SPARED,
      ),
    ).toEqual([`SweepRole.Scan dynamodb:Scan ${ledger}`])
    const index: Statement = {
      Sid: 'Owner',
      Effect,
      Action: 'dynamodb:Query',
      Resource: `${ledger}/index/owner`,
    }
    expect(
      unused(
        statements('SweepRole', all => [...all, index]),
        asked,
        SPARED,
      ),
    ).toEqual([`SweepRole.Owner dynamodb:Query ${ledger}/index/owner`])
  })

  it('finds a reason that is none any more', () => {
    expect(unused(stack, asked, { ...SPARED, 'SweepRole.DescribeAndStopTasks': 'nobody' })).toEqual([
      'SweepRole.DescribeAndStopTasks is used after all',
    ])
  })

  it('knows what it has not seen', () => {
    const [call] = world.calls.filter(({ service }) => service === 'ecs')
    expect(() => askings(stack, [{ ...call!, operation: 'ListClusters' }])).toThrow(/ecs:ListClusters/)
  })
})
