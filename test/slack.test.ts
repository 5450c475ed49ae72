import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { usd } from '../functions/core/admission/spend.ts'
import { apiAudit } from '../functions/core/audit.ts'
import { isBranchName, isResponseUrl, matchesBranch, readCommand } from '../functions/core/chat.ts'
import { TornadeError } from '../functions/core/errors.ts'
import type { Ports } from '../functions/ports.ts'
import { slackReplies } from '../functions/slack/replies.ts'
import { ACME_APP } from '../local/payloads.ts'
import type { World } from '../local/world.ts'
import { ask, CHAT, RESPONSE_URL, type Said, SLACK, say, send, slackRequest } from './support/chat.ts'
import { slackServer } from './support/slack-server.ts'
import {
  job,
  jobs,
  MINUTE,
  proxy,
  SECOND,
  type Stack,
  type StackOptions,
  stack,
  untilQuiet,
} from './support/world.ts'

/** A world in which jobs 1 and 2 ran on main and release/1, and job 3 was refused. */
async function busy(options: StackOptions = {}): Promise<Stack> {
  const s = await stack({ config: { slack: SLACK, ...options.config }, ...options })
  s.world.github.queue(job(1))
  s.world.github.queue(job(2, { headBranch: 'release/1' }))
  s.world.github.queue(job(3, { labels: ['tornade', '5cpu'] }))
  await untilQuiet(s)
  return s
}

/** Lets what was queued be done. */
async function later(world: World, ms = 30 * SECOND): Promise<void> {
  await world.clock.run(world.clock.now() + ms)
}

async function audit(world: World) {
  return (await world.ledger.audit.page({ limit: 100 })).items.map(apiAudit)
}

const RUNS = 'https://github.com/acme/app/actions/workflows/ci.yml'
const NO_TOKEN = async () => undefined

const NOBODY = 'You may not use tornade from here. Who runs it decides that in tornade.yml (slack).'

describe('a request', () => {
  it('is taken with the signature that Slack documents', async () => {
    // https://docs.slack.dev/authentication/verifying-requests-from-slack (its example)
    const s = await stack({
      config: { slack: SLACK },
      secret: '8f742231b10e8888abcd99yyyzzz85a5',
      start: 1531420618000,
    })
    const body =
      'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': '1531420618',
      'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    }
    expect(await send(s.world, { headers, body: Buffer.from(body) })).toMatchObject({
      status: 200,
      text: NOBODY,
    })
  })

  it('is turned away without a signature, with another one, and where a byte differs', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    const at = world.clock.now()
    const good = slackRequest('status', { at })
    const signature = good.headers['x-slack-signature']!
    const bad: [number, Said][] = [
      [401, await say(world, 'status', { headers: { 'x-slack-signature': undefined } })],
      [401, await say(world, 'status', { headers: { 'x-slack-request-timestamp': undefined } })],
      [401, await say(world, 'status', { secret: 'another' })],
      [401, await say(world, 'status', { headers: { 'x-slack-signature': 'v0=' } })],
      [401, await say(world, 'status', { headers: { 'x-slack-signature': signature } })],
      [401, await send(world, { ...good, body: Buffer.concat([good.body, Buffer.from('&x=')]) })],
      [
        401,
        await send(world, {
          ...good,
          headers: { ...good.headers, 'x-slack-signature': signature.toUpperCase() },
        }),
      ],
      [401, await say(world, 'status', { headers: { 'x-slack-request-timestamp': `${at / 1000}.0` } })],
      [415, await say(world, 'status', { headers: { 'content-type': 'application/json' } })],
      [413, await say(world, 'x'.repeat(70_000))],
    ]
    for (const [status, answer] of bad) expect(answer.status).toBe(status)
    expect(await send(world, good)).toMatchObject({ status: 200, type: 'ephemeral' })
  })

  it('is taken for five minutes around the time of its signature', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    const now = world.clock.now()
    for (const minutes of [-5, -1, 0, 1, 5])
      expect(await say(world, 'help', { at: now + minutes * MINUTE })).toMatchObject({ status: 200 })
    for (const seconds of [-301, 301, -86_400])
      expect(await say(world, 'help', { at: now + seconds * SECOND })).toMatchObject({
        status: 401,
        text: 'this was signed more than 5 minutes ago, or ahead',
      })
  })

  it('is taken with the previous secret while it is being changed, and with none where there is none', async () => {
    const signed = async (signing: readonly string[], secret: string) => {
      const s = await stack({
        config: { slack: SLACK },
        wrapPorts: ports => ({ ...ports, chatSecrets: { signing: async () => signing } }),
      })
      return (await say(s.world, 'help', { secret })).status
    }
    expect(await signed(['new', 'old'], 'new')).toBe(200)
    expect(await signed(['new', 'old'], 'old')).toBe(200)
    expect(await signed(['new', 'old'], 'older')).toBe(401)
    expect(await signed([], '')).toBe(401)
  })

  it('is refused where it is not as Slack sends it', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    const fields: Record<string, string | null>[] = [
      { team_id: null },
      { user_id: 'alice' },
      { channel_id: '<!channel>' },
      { command: null },
      { response_url: null },
      { response_url: 'http://hooks.slack.com/commands/T/1/x' },
      { response_url: 'https://hooks.slack.com.evil.example/commands/T/1/x' },
      { response_url: 'https://169.254.169.254/latest/meta-data' },
    ]
    for (const some of fields)
      expect(await say(world, 'status', { fields: some })).toMatchObject({ status: 400 })
    const request = slackRequest('', { at: world.clock.now(), fields: { ssl_check: '1', team_id: null } })
    expect(await send(world, request)).toMatchObject({ status: 200 })
  })
})

describe('who may use it', () => {
  it.each<[string, Record<string, string>]>([
    ['another user', { user_id: 'U0MALLORY' }],
    ['another channel', { channel_id: 'C0RANDOM' }],
    ['another workspace', { team_id: 'T0OTHER' }],
  ])('is not %s', async (_, fields) => {
    const { world } = await busy()
    for (const text of ['status', 'jobs', 'costs', 'logs 1', 'help', 'rerun 1', 'deploy web main'])
      expect(await say(world, text, { fields })).toEqual({ status: 200, type: 'ephemeral', text: NOBODY })
    await later(world)
    expect(world.github.dispatched).toEqual([])
    expect(world.chat).toMatchObject({ messages: [], answers: [] })
    const by = { via: 'slack', team: 'T0ACME', user: 'U0ALICE', channel: 'C0DEPLOYS' }
    const { team_id: team, user_id: user, channel_id: channel } = fields
    const sender = { ...by, team: team ?? by.team, user: user ?? by.user, channel: channel ?? by.channel }
    expect(await audit(world)).toMatchObject([
      { by: sender, action: { kind: 'deploy', app: 'web', branch: 'main' }, outcome: 'refused' },
      { by: sender, action: { kind: 'rerun', jobId: 1 }, outcome: 'refused', message: 'Not allowed.' },
    ])
  })

  it('is nobody until tornade.yml says who', async () => {
    for (const slack of [null, { ...SLACK, commands: null }]) {
      const { world } = await stack({ config: { slack } })
      expect(await say(world, 'deploy web main')).toMatchObject({
        status: 200,
        text: expect.stringContaining('not set up'),
      })
      expect(await audit(world)).toEqual([])
    }
  })
})

describe('what it tells', () => {
  it('is the state of things, to whoever asks', async () => {
    const s = await busy({
      config: {
        slack: SLACK,
        limits: { runners: 1 },
        spend: { monthlyMicroUsd: 500_000_000, dailyMicroUsd: null, onCap: 'warn' },
      },
    })
    const { world } = s
    for (const id of [11, 12, 13]) world.github.queue(job(id))
    await later(world, 5 * SECOND)
    const { type, text } = await say(world, 'status')
    expect(type).toBe('ephemeral')
    const { spent } = await world.ledger.gate.get()
    expect(text.split('\n')).toEqual([
      'Queued: 3 · runners: 1',
      'Deferred: 2 (2 total-limit)',
      'Refused in 24 hours: 1 · dead letters: 0',
      `Spent this month: ${usd(spent['2026-11']!)} of $500.00`,
    ])
  })

  it('are the newest jobs, with what became of them', async () => {
    const { world } = await busy()
    const { text } = await say(world, 'jobs')
    expect(text.split('\n').sort().reverse()).toEqual([
      '<https://github.com/acme/app/actions/runs/900003/job/3|3-1> acme/app · CI / job 3 · refused',
      '<https://github.com/acme/app/actions/runs/900002/job/2|2-1> acme/app · CI / job 2 · completed: success',
      '<https://github.com/acme/app/actions/runs/900001/job/1|1-1> acme/app · CI / job 1 · completed: success',
    ])
  })

  it('are ten of them at most, and none in an empty ledger', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    expect(await say(world, 'jobs')).toMatchObject({ text: 'No job in the last month.' })
    for (let id = 1; id <= 12; id++) world.github.queue(job(id))
    await later(world)
    expect((await say(world, 'jobs')).text.split('\n')).toHaveLength(10)
  })

  it('is what it cost, as the ledger has it', async () => {
    const { world } = await busy()
    const spent = (await world.ledger.runners.page({ limit: 100 })).items.reduce(
      (sum, { cost }) => sum + (cost?.totalMicroUsd ?? 0),
      0,
    )
    const money = usd(spent)
    expect((await say(world, 'costs')).text.split('\n')).toEqual([
      `Today (UTC): ${money} for 2 jobs`,
      `This month: ${money} for 2 jobs`,
      `• acme/app: ${money}`,
    ])
  })

  it('is where the logs of a job are, and not what is in them', async () => {
    const { world } = await busy()
    const { text } = await say(world, 'logs 1')
    expect(text).toContain('<https://github.com/acme/app/actions/runs/900001/job/1|Job 1-1 at GitHub>')
    expect(await say(world, 'logs 1-1')).toMatchObject({ text })
    for (const none of ['logs 99', 'logs 1-2'])
      expect(await say(world, none)).toMatchObject({
        text: expect.stringContaining('There is no such job here'),
      })
  })

  it.each([
    'nonsense',
    'status now',
    'rerun',
    'rerun one',
    'rerun 0',
    'rerun 99999999999999999999',
    'rerun 1 2',
    'logs -1',
    'deploy',
    'deploy web',
    'deploy web main now',
    `deploy web ${'x'.repeat(300)}`,
  ])('is how to write it, instead of "%s"', async text => {
    const { world } = await stack({ config: { slack: SLACK } })
    const answer = await say(world, text)
    expect(answer).toMatchObject({
      type: 'ephemeral',
      text: expect.stringContaining('`/tornade deploy APP BRANCH`'),
    })
    expect(answer.text.split('\n').length).toBeGreaterThan((await say(world, 'help')).text.split('\n').length)
    expect(await audit(world)).toEqual([])
  })
})

describe('a deployment', () => {
  it('is acknowledged, started on its branch with its inputs, and written down', async () => {
    const { world } = await busy()
    const at = world.clock.now()
    expect(await say(world, 'deploy web release/1')).toEqual({
      status: 200,
      type: 'ephemeral',
      text: 'On its way: deploy web from release/1. What comes of it follows in this channel.',
    })
    expect(world.github.dispatched).toEqual([])
    await later(world)
    expect(world.github.dispatched).toEqual([
      {
        repository: 'acme/app',
        workflow: 'ci.yml',
        branch: 'release/1',
        inputs: { environment: 'production' },
      },
    ])
    const [entry] = await audit(world)
    expect(entry).toEqual({
      at: expect.any(String),
      by: { via: 'slack', team: 'T0ACME', user: 'U0ALICE', channel: 'C0DEPLOYS' },
      action: { kind: 'deploy', app: 'web', branch: 'release/1' },
      outcome: 'done',
      message: null,
    })
    expect(Date.parse(entry!.at) - at).toBeLessThan(SECOND)
  })

  it('runs as any other job does', async () => {
    const s = await busy()
    await say(s.world, 'deploy web release/1')
    await untilQuiet(s)
    const newest = (await jobs(s.world)).at(-1)!
    expect(newest).toMatchObject({
      request: { headBranch: 'release/1' },
      completed: { conclusion: 'success' },
    })
  })

  it.each([
    ['deploy shop main', 'The applications are: web.'],
    ['deploy __proto__ main', 'The applications are: web.'],
    ['deploy web feature', 'web is deployed from main, release/* only.'],
    ['deploy web release/1/2', 'web is deployed from main, release/* only.'],
    ['deploy web refs/heads/main', 'That is not the name of a branch.'],
    ['deploy web refs/tags/v1', 'That is not the name of a branch.'],
    ['deploy web release/..', 'That is not the name of a branch.'],
    [`deploy web ${'a1'.repeat(20)}`, 'That is not the name of a branch.'],
  ])('is refused and written down: %s', async (text, problem) => {
    const { world } = await busy()
    const answer = await say(world, text)
    expect({ ...answer, text: answer.text.replaceAll('\u200b', '') }).toEqual({
      status: 200,
      type: 'ephemeral',
      text: problem,
    })
    await later(world)
    expect(world.github.dispatched).toEqual([])
    expect(await audit(world)).toMatchObject([
      { action: { kind: 'deploy' }, outcome: 'refused', message: problem },
    ])
  })

  it('that GitHub does not start says why', async () => {
    const { world } = await busy()
    await say(world, 'deploy web release/none')
    await later(world)
    const message = 'No ref found for: refs/heads/release/none'
    expect(await audit(world)).toMatchObject([{ outcome: 'failed', message }])
    expect(world.chat.answers[0]!.text).toBe(
      `<@U0ALICE>: deploy web from release/none: not started. ${message}`,
    )
  })

  it('of a repository that tornade does not know is not started', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    await say(world, 'deploy web main')
    await later(world)
    expect(await audit(world)).toMatchObject([
      { outcome: 'failed', message: 'tornade has run no job of acme/app yet, and so does not know it.' },
    ])
  })

  it('is decided by tornade.yml once more when it is started', async () => {
    const { world } = await busy()
    const { ledger, queues } = world
    const by = { via: 'slack' as const, team: 'T0ACME', user: 'U0ALICE', channel: 'C0DEPLOYS' }
    const now = world.clock.now()
    const action = { kind: 'deploy' as const, app: 'web', branch: 'feature' }
    await ledger.audit.put({
      key: 'forged',
      version: 1,
      at: now,
      since: now,
      by,
      action,
      outcome: 'asked',
      message: null,
      thread: null,
    })
    queues.events.send({ kind: 'chat', audit: 'forged', respondTo: RESPONSE_URL })
    await later(world)
    expect(world.github.dispatched).toEqual([])
    expect(await audit(world)).toMatchObject([{ outcome: 'failed' }])
  })
})

describe('a re-run', () => {
  it('is the next attempt of the job', async () => {
    const s = await busy()
    expect(await say(s.world, 'rerun 2')).toMatchObject({
      type: 'ephemeral',
      text: 'On its way: rerun job 2-1. What comes of it follows in this channel.',
    })
    await untilQuiet(s)
    expect(s.world.chat.answers.map(({ text }) => text)).toEqual([
      '<@U0ALICE>: rerun job 2-1: <https://github.com/acme/app/actions/runs/900002|started>.',
    ])
    expect((await jobs(s.world)).at(-1)).toMatchObject({ request: { attempt: 2, runId: 900_002 } })
    expect(await audit(s.world)).toMatchObject([
      { action: { kind: 'rerun', jobId: 2, attempt: 1 }, outcome: 'done', message: null },
    ])
  })

  it('waits for nobody: of a job whose run goes on it fails', async () => {
    const { world } = await stack({ config: { slack: SLACK } })
    world.github.queue(job(1))
    await later(world)
    await say(world, 'rerun 1')
    await later(world)
    expect(await audit(world)).toMatchObject([{ outcome: 'failed', message: 'Its run has not ended.' }])
  })

  it('of a job that is not known is refused', async () => {
    const { world } = await busy()
    expect(await say(world, 'rerun 99')).toMatchObject({
      type: 'ephemeral',
      text: expect.stringContaining('There is no such job'),
    })
    await later(world)
    expect(await audit(world)).toMatchObject([{ action: { jobId: 99 }, outcome: 'refused' }])
    expect(world.chat).toMatchObject({ messages: [], answers: [] })
  })
})

describe('what was asked for once', () => {
  it('is done once, however often the same request comes', async () => {
    const { world } = await busy()
    const request = slackRequest('deploy web main', { at: world.clock.now() })
    const answers = await Promise.all([request, request, request].map(one => send(world, one)))
    await later(world)
    answers.push(await send(world, request))
    await later(world)
    expect(world.github.dispatched).toHaveLength(1)
    expect(await audit(world)).toHaveLength(1)
    const texts = answers.map(({ text }) => text).sort()
    expect(texts).toEqual([
      'On its way: deploy web from main. What comes of it follows in this channel.',
      ...Array.from({ length: 3 }, () => 'That was asked for already.'),
    ])
  })

  it('is done twice when it is asked for twice', async () => {
    const { world } = await busy()
    for (let count = 0; count < 2; count++) await say(world, 'deploy web main')
    await later(world)
    expect(world.github.dispatched).toHaveLength(2)
  })

  it('is done once, however often its message comes', async () => {
    const { world } = await busy({
      wrapPorts: (ports, name) =>
        name !== 'slack'
          ? ports
          : {
              ...ports,
              queue: { send: (queue, messages) => ports.queue.send(queue, [...messages, ...messages]) },
            },
    })
    await say(world, 'deploy web main')
    await later(world)
    expect(world.github.dispatched).toHaveLength(1)
    expect(world.chat.answers).toHaveLength(1)
    expect(await audit(world)).toMatchObject([{ outcome: 'done' }])
  })

  it('is not done again where the answer of GitHub was lost', async () => {
    const s = await busy({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          dispatchWorkflow: async (...call) => {
            await ports.github.dispatchWorkflow(...call)
            throw new Error('the connection broke')
          },
        }),
      }),
    })
    await say(s.world, 'deploy web main')
    await untilQuiet(s)
    expect(s.world.github.dispatched).toHaveLength(1)
    expect(await audit(s.world)).toMatchObject([{ outcome: 'unknown' }])
    expect(s.world.chat.answers[0]!.text).toContain('it is not known whether that has started')
  })

  it('is not done again where the function died while it asked', async () => {
    let dies = true
    const s = await busy({
      wrapPorts: (ports, name) =>
        name !== 'lifecycle'
          ? ports
          : {
              ...ports,
              github: proxy(ports.github, {
                dispatchWorkflow: async (...call) => {
                  const answer = await ports.github.dispatchWorkflow(...call)
                  return dies ? new Promise(() => {}) : answer
                },
              }),
            },
    })
    await say(s.world, 'deploy web main')
    await later(s.world, 2 * MINUTE)
    dies = false
    await untilQuiet(s)
    expect(s.world.github.dispatched).toHaveLength(1)
    expect(await audit(s.world)).toMatchObject([
      { outcome: 'unknown', message: 'Whoever asked GitHub was interrupted.' },
    ])
  })

  it('is done later where GitHub asks to wait, and not at all where that is too long', async () => {
    for (const [seconds, outcome] of [
      [60, 'done'],
      [1200, 'failed'],
    ] as const) {
      const { world } = await busy({ wrapPorts: pausing(2, seconds) })
      await say(world, 'deploy web main')
      await later(world, 60 * MINUTE)
      expect(world.github.dispatched).toHaveLength(outcome === 'done' ? 1 : 0)
      expect(await audit(world)).toMatchObject([{ outcome }])
    }
  })

  it('is done and written down where nobody can be told', async () => {
    const { world } = await busy({
      wrapPorts: ports => ({
        ...ports,
        replies: {
          say: async () => Promise.reject(new Error('no Slack')),
          answer: async () => Promise.reject(new Error('no Slack')),
        },
      }),
    })
    await say(world, 'deploy web main')
    await later(world)
    expect(world.github.dispatched).toHaveLength(1)
    expect(await audit(world)).toMatchObject([{ outcome: 'done' }])
    expect(world.backlog).toEqual({ waiting: 0, dead: 0 })
  })
})

describe('what comes of a change', () => {
  const THREAD = [
    { text: '<@U0ALICE> asks to deploy web from main.', channel: 'C0DEPLOYS', thread: null },
    {
      text: `<@U0ALICE>: deploy web from main: <${RUNS}|started>.`,
      channel: 'C0DEPLOYS',
      thread: '1793000000.000001',
    },
  ]

  it('is answered in the thread of what was asked for', async () => {
    const { world } = await busy()
    world.chat.bot = true
    await say(world, 'deploy web main')
    await later(world)
    await say(world, 'rerun 2')
    await later(world)
    expect(world.chat.messages).toMatchObject([
      ...THREAD,
      { text: '<@U0ALICE> asks to rerun job 2-1.', thread: null },
      { text: expect.stringContaining('rerun job 2-1: <https://github.com/'), thread: '1793000000.000003' },
    ])
    expect(world.chat.answers).toEqual([])
  })

  it('is answered in the channel, by the address of the command, while there is no bot', async () => {
    const { world } = await busy()
    await say(world, 'deploy web main')
    await later(world)
    expect(world.chat.messages).toEqual([])
    expect(world.chat.answers).toEqual([{ url: RESPONSE_URL, text: THREAD[1]!.text }])
  })

  it('is told once to all, however often GitHub asks to wait', async () => {
    const { world } = await busy({ wrapPorts: pausing(2, 60) })
    world.chat.bot = true
    await say(world, 'deploy web main')
    await later(world, 10 * MINUTE)
    expect(world.github.dispatched).toHaveLength(1)
    expect(world.chat.messages).toMatchObject(THREAD)
  })

  it('is answered in the thread where another function has to say that nobody knows', async () => {
    const s = await busy({
      wrapPorts: (ports, name) =>
        name !== 'lifecycle'
          ? ports
          : { ...ports, github: proxy(ports.github, { dispatchWorkflow: () => new Promise(() => {}) }) },
    })
    s.world.chat.bot = true
    await say(s.world, 'deploy web main')
    await untilQuiet(s)
    const unknown = expect.stringContaining(
      `it is not known whether that has started; look at <${RUNS}|GitHub> before asking again.`,
    )
    expect(s.world.chat.messages).toMatchObject([THREAD[0], { ...THREAD[1], text: unknown }])
  })

  it('is answered by the address of the command where the thread takes nothing', async () => {
    for (const fails of ['the first message', 'the answer to it']) {
      const { world } = await busy({
        wrapPorts: ports => ({
          ...ports,
          replies: proxy(ports.replies, {
            say: async (channel, text, thread) => {
              if ((thread === null) === (fails === 'the first message')) throw new Error('no Slack')
              return ports.replies.say(channel, text, thread)
            },
          }),
        }),
      })
      world.chat.bot = true
      await say(world, 'deploy web main')
      await later(world)
      expect([fails, world.chat.answers]).toEqual([fails, [{ url: RESPONSE_URL, text: THREAD[1]!.text }]])
      expect(await audit(world)).toMatchObject([{ outcome: 'done' }])
    }
  })
})

describe('what is written', () => {
  it('is shown to those who may see the dashboard, newest first, in pages', async () => {
    const { world } = await busy()
    for (const branch of ['main', 'release/1', 'feature']) {
      await say(world, `deploy web ${branch}`)
      await later(world)
    }
    const read = async (query: string) => (await ask(world, 'GET', `/api/audit?${query}`)).document
    const first = await read('limit=2')
    const branches = (page: { entries: { action: { branch: string } }[] }) =>
      page.entries.map(({ action }) => action.branch)
    expect(branches(first)).toEqual(['feature', 'release/1'])
    expect(branches(await read(`limit=2&cursor=${first.next}`))).toEqual(['main'])
  })

  it('never has the address of an answer or the token, nor do logs', async () => {
    const closed = await slackServer()
    await closed.close()
    const replies = slackReplies(async () => 'xoxb-canaryOfTheToken', {
      postMessage: `${closed.postMessage}?canaryOfTheMethod`,
      isSlack: () => false,
    })
    const lines: string[] = []
    const note = (message: string, fields: unknown = {}) => void lines.push(message, JSON.stringify(fields))
    const { world } = await busy({
      log: { debug: note, info: note, warn: note, error: note },
      wrapPorts: ports => ({ ...ports, replies }),
    })
    await say(world, 'deploy web main')
    await say(world, 'deploy web main', { secret: 'wrong' })
    await vi.waitFor(async () => {
      await later(world, SECOND)
      expect(lines).toContain('a chat was not told of an outcome')
    })
    expect(lines).toContain('a channel did not take a message')
    expect(lines).toContain('a command from a chat has ended')
    const kept = JSON.stringify([lines, (await world.ledger.audit.page({ limit: 10 })).items])
    expect(kept).not.toContain('canaryOf')
  })
})

describe('an answer', () => {
  it('goes to Slack and nowhere else', async () => {
    const elsewhere = await slackServer()
    await expect(slackReplies(NO_TOKEN).answer(elsewhere.url, 'text')).rejects.toMatchObject({
      code: 'notice-failed',
    })
    expect(elsewhere.received).toEqual([])
    const anywhere = slackReplies(NO_TOKEN, { isSlack: () => true })
    await anywhere.answer(elsewhere.url, 'text')
    expect(elsewhere.received).toEqual([
      { response_type: 'in_channel', text: 'text', replace_original: false },
    ])
    elsewhere.answer = { status: 404, body: 'used_url' }
    const failure = await anywhere.answer(elsewhere.url, 'text').catch((error: Error) => error)
    expect(String(failure)).toContain('Slack answered 404: used_url')
    expect(String(failure)).not.toContain(elsewhere.url)
    await elsewhere.close()
  })

  it.each([
    [
      { status: 200, body: '{"ok":false,"error":"not_in_channel"}' },
      'did not post a message: not_in_channel',
    ],
    [{ status: 200, body: '{"ok":true}' }, 'did not post a message: it does not say why'],
    [{ status: 200, body: '{"ok":true,"ts":"<!channel>"}' }, 'it does not say why'],
    [{ status: 200, body: 'null' }, 'it does not say why'],
    [{ status: 200, body: '<html>' }, 'it does not say why'],
    [{ status: 429, body: 'ratelimited' }, 'Slack answered 429: ratelimited'],
    [{ status: 302, body: '', location: 'https://evil.example' }, 'Slack cannot be reached'],
  ])('in a thread fails without the token: %j', async (answer, message) => {
    const slack = await slackServer('xoxb-canary')
    slack.answer = answer
    const replies = slackReplies(async () => 'xoxb-canary', { postMessage: slack.postMessage })
    const failure = await replies.say('C0DEPLOYS', 'text', null).catch((error: Error) => error)
    expect(failure).toMatchObject({ code: 'notice-failed', message: expect.stringContaining(message) })
    expect(inspect(failure)).not.toContain('canary')
    await slack.close()
  })

  it('in a thread does not quote a token that no header takes', async () => {
    const failure = await slackReplies(async () => 'xoxb-canary\nsecond line')
      .say('C0DEPLOYS', 'text', null)
      .catch((error: Error) => error)
    expect(failure).toMatchObject({ code: 'notice-failed' })
    expect(inspect(failure)).not.toContain('canary')
  })

  it.each([
    'http://hooks.slack.com/commands/T/1/x',
    'https://hooks.slack.com:8443/commands/T/1/x',
    'https://user@hooks.slack.com/commands/T/1/x',
    'https://hooks.slack.com@evil.example/commands/x',
    'https://hooks.slack.com/services/T/B/x',
    'https://hooks.slack.com/commands/../services/T/B/x',
    'https://hooks.slack.com/commands/T/1/x?y=z',
    'https://evil.example/https://hooks.slack.com/commands/T/1/x',
    'https://hooks.slack.com\n/commands/T/1/x',
    '',
    null,
  ])('is not sent to %j', url => {
    expect(isResponseUrl(url)).toBe(false)
  })

  it('is sent to what Slack gives', () => {
    expect(isResponseUrl(RESPONSE_URL)).toBe(true)
  })
})

describe('a branch', () => {
  it.each([
    'main',
    'release/1.0',
    'a',
    'feature/a_b-c',
    'ünï',
    'dependabot/npm/@types/node',
    'x'.repeat(244),
  ])('may be %s', name => expect(isBranchName(name)).toBe(true))

  it.each([
    ...[
      '',
      '@',
      'HEAD',
      '-x',
      '/x',
      'x/',
      'x//y',
      '.x',
      'x/.y',
      'x..y',
      'x.lock',
      'x.lock/y',
      'x.',
      'x@{1}',
      'a b',
    ],
    ...[
      'x~1',
      'x^',
      'x:y',
      'x?',
      'x*',
      'x[',
      'x\\y',
      'x\u0000',
      'x\u007f',
      'x\u202ey',
      'refs/heads/main',
      'refs/tags/v1',
    ],
    ...['a'.repeat(40), 'A'.repeat(40), '0'.repeat(64), 'x'.repeat(245)],
  ])('may not be %j', name => expect(isBranchName(name)).toBe(false))

  it('fits a pattern whose star stands for anything but a slash', () => {
    const word = fc.stringMatching(/^[a-z0-9.+$^()-]{1,8}$/)
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(matchesBranch(`${a}/*`, `${a}/${b}`)).toBe(true)
        expect(matchesBranch(`${a}/*`, `${a}/${b}/c`)).toBe(false)
        expect(matchesBranch(`${a}/**`, `${a}/${b}/c`)).toBe(true)
        expect(matchesBranch(a, b)).toBe(a === b)
      }),
    )
  })
})

describe('a command', () => {
  it('is read from any text, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), text => {
        expect(readCommand(text)).toHaveProperty('kind')
      }),
    )
  })

  it('does not mind case and spaces', () => {
    expect(readCommand('  DEPLOY  web\tmain ')).toEqual({ kind: 'deploy', app: 'web', branch: 'main' })
    expect(readCommand('Rerun 12-3')).toEqual({ kind: 'rerun', job: { id: 12, attempt: 3 } })
  })

  it('names an application of tornade.yml only', () => {
    expect(CHAT.apps.web!.repository).toBe(ACME_APP.name)
  })
})

/** GitHub asks to wait for so long, so many times, before it starts a workflow. */
function pausing(times: number, seconds: number): (ports: Ports) => Ports {
  let left = times
  return ports => ({
    ...ports,
    github: proxy(ports.github, {
      dispatchWorkflow: async (...call) => {
        if (left-- <= 0) return ports.github.dispatchWorkflow(...call)
        throw Object.assign(new TornadeError('github-paused', 'GitHub asks to wait'), {
          retryAfterSeconds: seconds,
        })
      },
    }),
  })
}
