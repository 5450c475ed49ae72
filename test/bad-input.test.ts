/** What should not be on a queue: counted, logged once with a code, in nobody's way, and found again as a dead letter. */
import { describe, expect, it } from 'vitest'
import { jobState } from '../functions/core/lifecycle.ts'
import type { Fields, QueueName } from '../functions/ports.ts'
import { ACME_APP } from '../local/payloads.ts'
import * as facts from './support/facts.ts'
import {
  HOUR,
  job,
  jobOf,
  leftovers,
  proxy,
  runners,
  SECOND,
  START,
  stack,
  untilQuiet,
} from './support/world.ts'

const REQUEST = facts.request({ key: '77-1', jobId: 77 })
const { labels: _, ...WITHOUT_LABELS } = REQUEST

/** An event of ECS about a task of a runner, or what passes for one. */
const task = (detail: Fields, over: Fields = {}) => ({
  version: '0',
  source: 'aws.ecs',
  'detail-type': 'ECS Task State Change',
  time: '2026-11-02T09:00:00Z',
  detail,
  ...over,
})
const build = (detail: Fields) => ({
  version: '0',
  source: 'aws.codebuild',
  'detail-type': 'CodeBuild Build State Change',
  time: '2026-11-02T09:00:00Z',
  detail,
})
const named = { 'environment-variables': [{ name: 'TORNADE_RUNNER', value: 'tornade-1-1-1' }] }

const ANYWHERE: readonly [string, unknown][] = [
  ['nothing', null],
  ['a number', 42],
  ['a text', 'job'],
  ['a list', [{ kind: 'wake' }]],
  ['an empty object', {}],
  ['a kind that there is not', { kind: 'nothing of ours' }],
  ['a kind that every object has', { kind: 'constructor' }],
  ['a kind that is no text', { kind: { job: 1 } }],
]
const RUBBISH: Readonly<Record<QueueName, readonly [string, unknown][]>> = {
  launch: [
    ...ANYWHERE,
    ['a job without its request', { kind: 'job' }],
    ['a job whose request has no labels', { kind: 'job', request: WITHOUT_LABELS, queuedAt: START }],
    [
      'a job whose labels are no texts',
      { kind: 'job', request: { ...REQUEST, labels: [1] }, queuedAt: START },
    ],
    ['a job without its time', { kind: 'job', request: REQUEST }],
    [
      'a job whose key is that of another',
      { kind: 'job', request: { ...REQUEST, key: '78-1' }, queuedAt: START },
    ],
    [
      'a runner of a pool whose labels are no texts',
      { kind: 'standby', runner: 'tornade-5-0-1', repository: REQUEST.repository, labels: [1] },
    ],
    ['half a relaunch', { kind: 'relaunch', jobKey: '77-1' }],
    ['half a resume', { kind: 'resume' }],
    ['a message of the other queue', { kind: 'stop-if-idle', runner: 'tornade-77-1-1' }],
    ['an event of AWS', task({ taskArn: 't', startedBy: 'tornade-77-1-1', lastStatus: 'RUNNING' })],
  ],
  events: [
    ...ANYWHERE,
    ['half a queued', { kind: 'queued' }],
    ['half an in_progress', { kind: 'in_progress', at: START, request: REQUEST }],
    ['half a completed', { kind: 'completed', at: START, request: REQUEST, runner: null }],
    ['half a stop-if-idle', { kind: 'stop-if-idle' }],
    ['half a command of a chat', { kind: 'chat', audit: 'key' }],
    [
      'a command of a chat whose answer goes elsewhere',
      { kind: 'chat', audit: 'key', respondTo: 'https://evil.example/commands/T/1/x' },
    ],
    [
      'a command of a chat that nobody wrote down',
      { kind: 'chat', audit: 'key', respondTo: 'https://hooks.slack.com/commands/T/1/x' },
    ],
    ['a message of the other queue', { kind: 'wake' }],
    ['an event of a runner without its task', task({ startedBy: 'tornade-1-1-1', lastStatus: 'STOPPED' })],
    ['an event of a runner whose name is none', task({ taskArn: 't', startedBy: 7, lastStatus: 'STOPPED' })],
    [
      'an event of a build without its status',
      build({ 'build-id': 'b', 'additional-information': { environment: named } }),
    ],
  ],
}
const FOREIGN: readonly [string, unknown][] = [
  ['a task without a name', task({ taskArn: 't', lastStatus: 'RUNNING' })],
  ['a task of somebody else', task({ taskArn: 't', startedBy: 'ecs-svc/1', lastStatus: 'RUNNING' })],
  ['a build of somebody else', build({ 'build-status': 'FAILED', 'build-id': 'b' })],
  [
    'an event of another service',
    { source: 'aws.ec2', 'detail-type': 'EC2 Instance State-change', detail: {} },
  ],
]

interface Line {
  readonly message: string
  readonly fields: Fields
}

async function watched() {
  const lines: Line[] = []
  const note = (message: string, fields: Fields = {}) => void lines.push({ message, fields })
  const s = await stack({ log: { debug: () => {}, info: () => {}, warn: note, error: note } })
  return { s, lines, codes: (code: string) => lines.filter(({ fields }) => fields.code === code) }
}

describe.each(['launch', 'events'] as const)('on the %s queue', name => {
  it.each(RUBBISH[name])(
    '%s is logged once, tried five times, and kept as a dead letter',
    async (_, body) => {
      const { s, codes } = await watched()
      const { world } = s
      world.queues[name].send(body)
      world.github.queue(job(1))
      await world.clock.run(START + HOUR)
      const letters = world.queues[name].deadLetters
      expect(letters.map(letter => letter.body)).toEqual([JSON.stringify(body)])
      expect(codes('message-invalid').map(({ fields }) => fields.message)).toEqual([letters[0]!.messageId])
      expect(world.metrics.get('MessagesFailed')).toBe(5)
      expect(world.backlog.waiting).toBe(0)
      expect(jobState(await jobOf(world, '1-1'))).toBe('completed')
      expect((await leftovers(s)).filter(fault => fault !== '1 dead letters')).toEqual([])
    },
  )

  it('all of it at once keeps nobody from their job', async () => {
    const { s, codes } = await watched()
    const { world } = s
    for (const [, body] of RUBBISH[name]) world.queues[name].send(body)
    for (let id = 1; id <= 5; id++) world.github.queue(job(id))
    await world.clock.run(START + 60 * SECOND)
    for (let id = 1; id <= 5; id++) expect(jobState(await jobOf(world, `${id}-1`))).toBe('running')
    await untilQuiet(s)
    expect(codes('message-invalid')).toHaveLength(RUBBISH[name].length)
    expect(world.queues[name].deadLetters).toHaveLength(RUBBISH[name].length)
  })
})

describe('events of AWS', () => {
  it.each(FOREIGN)('about %s are counted and done with', async (_, body) => {
    const { s, lines } = await watched()
    s.world.queues.events.send(body)
    await s.world.clock.run(START + HOUR)
    expect(s.world.metrics.get('MessagesIgnored')).toBe(1)
    expect(lines).toEqual([])
    expect(await runners(s.world)).toEqual([])
    expect(await leftovers(s)).toEqual([])
  })

  it('about a task that is named like a runner and that nobody started are counted, and logged once', async () => {
    const { s, codes } = await watched()
    const own = { taskArn: 'task/unknown', startedBy: 'tornade-99-1-1' }
    const times = { startedAt: '2026-11-02T09:00:00Z', stoppedAt: '2026-11-02T09:01:00Z' }
    s.world.queues.events.send(task({ ...own, lastStatus: 'RUNNING', startedAt: times.startedAt }))
    s.world.queues.events.send(task({ ...own, ...times, lastStatus: 'STOPPED', stopCode: 'UserInitiated' }))
    await s.world.clock.run(START + HOUR)
    expect(codes('runner-unknown').map(({ fields }) => fields)).toEqual([
      { code: 'runner-unknown', runner: 'tornade-99-1-1', providerId: 'task/unknown' },
    ])
    expect(s.world.metrics.get('RunnersUnknown')).toBe(1)
    expect(s.world.backlog).toEqual({ waiting: 0, dead: 0 })
  })
})

describe('items and messages from before forks were told apart', () => {
  it('are held against their run', async () => {
    const { s } = await watched()
    const fork = job(1, { event: 'pull_request', headRepositoryId: 8001 })
    s.world.github.queue(fork)
    const { mayBeFork: __, ...older } = facts.request({ key: '1-1', jobId: 1, runId: fork.runId })
    s.world.queues.launch.send({ kind: 'job', request: older, queuedAt: START })
    await untilQuiet(s)
    expect((await jobOf(s.world, '1-1')).refused).toMatchObject({ code: 'fork' })
  })
})

describe('a dead letter', () => {
  it('that is put back once its cause is gone is handled as if nothing had been', async () => {
    let broken = true
    const s = await stack({
      wrapPorts: ports => ({
        ...ports,
        github: proxy(ports.github, {
          getRun: async (...call) => {
            if (broken) throw new Error('GitHub cannot be reached')
            return ports.github.getRun(...call)
          },
        }),
      }),
    })
    const { world } = s
    world.github.queue(job(1, { repository: { ...ACME_APP, private: false } }))
    await world.clock.run(START + HOUR)
    expect(world.queues.launch.deadLetters).toHaveLength(1)
    expect(await runners(world)).toEqual([])
    broken = false
    expect(world.queues.launch.redrive()).toBe(1)
    await untilQuiet(s)
    expect(jobState(await jobOf(world, '1-1'))).toBe('completed')
    expect(await leftovers(s)).toEqual([])
  })
})
