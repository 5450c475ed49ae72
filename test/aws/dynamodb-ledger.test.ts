/** What the contract of a ledger does not say: calls, what is stored, and what happens when the network fails. */
import { randomBytes } from 'node:crypto'
import { DeleteItemCommand, GetItemCommand, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Attributes, itemBytes } from '../../functions/aws/dynamodb.ts'
import { DynamoLedger, unpack } from '../../functions/aws/ledger.ts'
import { EMPTY_GATE } from '../../functions/core/admission.ts'
import { newRunner } from '../../functions/core/lifecycle.ts'
import { type SpendRollup, spendOf, spendOfHour, type UsageOf } from '../../functions/core/rollups.ts'
import type { Gate, Job, Runner } from '../../functions/core/types.ts'
import type { Fields, Log } from '../../functions/ports.ts'
import { SILENT } from '../../local/log.ts'
import {
  all,
  FIRST,
  gateWith,
  LEDGER_NOW,
  numbered,
  numberedRunner,
  numbers,
  putJobs,
} from '../contract/ledger.ts'
import {
  type Dynalite,
  type Intercept,
  loseAnswer,
  startDynalite,
  tableProperties,
} from '../support/dynalite.ts'
import { claimOf, completed, job, request, runner, T0 } from '../support/facts.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

let dynamo: Dynalite
let table: string
let ledger: DynamoLedger
let now: number
const errors: { message: string; fields: Fields | undefined }[] = []
const log: Log = { ...SILENT, error: (message, fields) => errors.push({ message, fields }) }

beforeAll(async () => {
  dynamo = await startDynalite()
})
afterAll(() => dynamo.close())
beforeEach(async () => {
  table = await dynamo.table('LedgerTable')
  now = LEDGER_NOW
  ledger = ledgerOf()
  errors.length = 0
  dynamo.intercept = null
  dynamo.forget()
})

function ledgerOf(keepDays = 3): DynamoLedger {
  return new DynamoLedger({ client: dynamo.client, table, clock: { now: () => now }, log, keepDays })
}

async function stored(pk: string): Promise<Attributes> {
  const { Item } = await dynamo.client.send(new GetItemCommand({ TableName: table, Key: { pk: { S: pk } } }))
  return Item!
}

async function store(item: Attributes): Promise<void> {
  await dynamo.client.send(new PutItemCommand({ TableName: table, Item: item }))
}

async function remove(pk: string): Promise<void> {
  await dynamo.client.send(new DeleteItemCommand({ TableName: table, Key: { pk: { S: pk } } }))
}

async function scan(): Promise<Attributes[]> {
  return (await dynamo.client.send(new ScanCommand({ TableName: table }))).Items!
}

/** The calls that something makes. */
async function callsOf(work: () => Promise<unknown>): Promise<string[]> {
  dynamo.forget()
  await work()
  return dynamo.calls.map(({ action }) => action)
}

const first = (number = 1, facts: Parameters<typeof numbered>[1] = {}): Job =>
  numbered(number, { ...facts, version: 1 })

describe('the calls', () => {
  it('of single items are one each', async () => {
    const item = first()
    expect(await callsOf(() => ledger.jobs.put(item))).toEqual(['PutItem'])
    expect(await callsOf(() => ledger.jobs.put({ ...item, version: 2 }))).toEqual(['PutItem'])
    expect(await callsOf(() => ledger.jobs.get('1-1'))).toEqual(['GetItem'])
    expect(await callsOf(() => ledger.runners.get('unknown'))).toEqual(['GetItem'])
    expect(await callsOf(() => ledger.gate.get())).toEqual(['GetItem'])
    expect(await callsOf(() => ledger.gate.put({ ...gateWith(1), version: 1 }))).toEqual(['PutItem'])
  })

  it('read single items consistently', async () => {
    await ledger.jobs.get('1-1')
    await ledger.gate.get()
    expect(dynamo.calls.map(({ body }) => body.ConsistentRead)).toEqual([true, true])
  })

  it('of a conflict are one, since DynamoDB tells what stands in the way', async () => {
    const item = first()
    await ledger.jobs.put(item)
    const current = await stored('job#1-1')
    dynamo.intercept = conflict(current)
    const other = { ...item, replacements: 3 }
    expect(
      await callsOf(async () => expect(await ledger.jobs.put(other)).toEqual({ ok: false, current: item })),
    ).toEqual(['PutItem'])
    expect(dynamo.calls[0]?.body.ReturnValuesOnConditionCheckFailure).toBe('ALL_OLD')
  })

  it('of a conflict are two where it does not', async () => {
    const item = first()
    await ledger.jobs.put(item)
    expect(await callsOf(() => ledger.jobs.put({ ...item, replacements: 3 }))).toEqual(['PutItem', 'GetItem'])
    expect(dynamo.calls[1]?.body.ConsistentRead).toBe(true)
  })

  it('of open lists are a query and a batch of up to 100', async () => {
    expect(await callsOf(() => ledger.jobs.open({ limit: 100 }))).toEqual(['Query'])
    await putMany(1, 100)
    expect(await callsOf(() => ledger.jobs.open({ limit: 100 }))).toEqual(['Query', 'BatchGetItem'])
    expect(await callsOf(() => ledger.jobs.open({ limit: 7, repositoryId: 7001 }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
    expect(dynamo.calls[0]?.body.Limit).toBe(7)
    expect(dynamo.calls[1]?.body.RequestItems[table]).toMatchObject({
      ConsistentRead: true,
      Keys: { length: 7 },
    })
    expect(await callsOf(() => ledger.jobs.open({ limit: 5, state: 'queued' }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
    expect(await callsOf(() => ledger.runners.open({}))).toEqual(['Query'])
    await putMany(101, 230)
    expect(
      await callsOf(async () => expect(await ledger.jobs.open({ limit: 500 })).toHaveLength(230)),
    ).toEqual(['Query', ...Array(3).fill('BatchGetItem')])
  })

  it('of the open runners of a repository leave those of others unread', async () => {
    for (const number of numbers(9)) await ledger.runners.put(numberedRunner(number, 7001 + (number % 3)))
    expect(await callsOf(() => ledger.runners.open({ repositoryId: 7002 }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
    const [query, batch] = dynamo.calls.map(({ body }) => body)
    expect(query).toMatchObject({ IndexName: 'open', FilterExpression: 'r = :only' })
    expect(query.ExpressionAttributeValues).toEqual({ ':hash': { S: 'runner' }, ':only': { N: '7002' } })
    expect(batch.RequestItems[table].Keys).toEqual(
      [1, 4, 7].map(number => ({ pk: { S: `runner#tornade-${number}-1-1` } })),
    )
    expect(await callsOf(() => ledger.runners.open({ repositoryId: 7009 }))).toEqual(['Query'])
  })

  it('of a page are a query and a batch where much goes on', async () => {
    now = FIRST + 30 * 60_000
    await putMany(1, 40)
    expect(await callsOf(() => ledger.jobs.page({ limit: 20 }))).toEqual(['Query', 'BatchGetItem'])
    expect(await callsOf(() => ledger.jobs.page({ limit: 20, state: 'queued' }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
  })

  it('of a page of open jobs do not walk through the hours', async () => {
    now = FIRST + 2 * DAY
    await putMany(1, 40)
    expect(await callsOf(() => ledger.jobs.page({ limit: 20, state: 'queued' }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
    expect(await callsOf(() => ledger.jobs.page({ limit: 20, state: 'running' }))).toEqual([
      'Query',
      'BatchGetItem',
    ])
  })

  it('of a page end, also where nothing ever went on', async () => {
    const quiet = ledgerOf(33)
    let page = await quiet.jobs.page({ limit: 20 })
    expect(page).toEqual({ items: [], next: expect.any(String) })
    expect(dynamo.calls.length).toBe(31 * 24)
    page = await quiet.jobs.page({ limit: 20, cursor: page.next! })
    expect(page).toEqual({ items: [], next: null })
    expect(dynamo.calls.length).toBe(33 * 24 + 1)
  })

  async function putMany(from: number, to: number): Promise<void> {
    await Promise.all(
      numbers(to)
        .slice(from - 1)
        .map(number => ledger.jobs.put(first(number, { minutes: number / 100 }))),
    )
  }
})

describe('what is stored of a job', () => {
  it('is in the indexes while it is open, and forgotten some time after its end', async () => {
    const item = first()
    await ledger.jobs.put(item)
    const at = new Date(item.request.createdAt).toISOString()
    const keys = { h: { S: `job#${at.slice(0, 13)}` }, s: { S: `${at}#1-1` } }
    const open = { o: { S: 'job' }, p: { S: 'job#7001' } }
    expect(await stored('job#1-1')).toEqual({
      pk: { S: 'job#1-1' },
      v: { N: '1' },
      d: { S: expect.any(String) },
      ...keys,
      ...open,
    })
    await ledger.jobs.put({ ...item, version: 2, claim: claimOf() })
    expect(await stored('job#1-1')).toMatchObject({ v: { N: '2' }, ...keys, ...open })
    expect(await stored('job#1-1')).not.toHaveProperty('t')
    await ledger.jobs.put({ ...item, version: 3, completed: completed(60) })
    const ended = await stored('job#1-1')
    const { d, z, ...rest } = ended
    expect(Object.keys(rest).toSorted()).toEqual(['e', 'h', 'pk', 's', 't', 'v'])
    expect(ended).toMatchObject({
      ...keys,
      e: { S: `job#${new Date(T0).toISOString().slice(0, 13)}` },
      t: { N: String((T0 + 60_000 + 3 * DAY) / 1000) },
    })
    const started = { at: T0, runner: { id: 1, name: 'x' } }
    await ledger.jobs.put({ ...item, version: 4, completed: completed(60), started })
    expect(await stored('job#1-1')).not.toHaveProperty('e')
  })

  it('is kept 90 days when nobody says otherwise', async () => {
    const settings = { client: dynamo.client, table, clock: { now: () => now }, log }
    await new DynamoLedger(settings).jobs.put(first(1, { completed: completed(0) }))
    expect((await stored('job#1-1')).t).toEqual({ N: String((T0 + 90 * DAY) / 1000) })
  })

  it('names neither key nor version twice, nor what nobody knows yet', async () => {
    await ledger.jobs.put(first())
    expect(Object.keys(JSON.parse((await stored('job#1-1')).d!.S!))).toEqual(['request', 'spec', 'queuedAt'])
  })

  it('is readable while that costs no more', async () => {
    const small = first()
    const large = first(2, {
      claim: claimOf(),
      started: { at: T0, runner: { id: 1, name: 'x' } },
      completed: completed(9),
    })
    await ledger.jobs.put(small)
    await ledger.jobs.put(large)
    expect(await stored('job#1-1')).not.toHaveProperty('z')
    expect(await stored('job#2-1')).not.toHaveProperty('d')
    expect(JSON.parse(unpack(await stored('job#2-1')))).toMatchObject({
      completed: { conclusion: 'success' },
    })
    expect(await ledger.jobs.get('2-1')).toEqual(large)
  })

  it('takes one write unit for jobs and runners as they are, and few for a full gate', async () => {
    await ledger.jobs.put(fullJob())
    await ledger.runners.put(fullRunner())
    await ledger.gate.put({ ...fullGate(100), version: 1 })
    expect(itemBytes(await stored('job#98765430001-1'))).toBeLessThanOrEqual(1024)
    expect(itemBytes(await stored('runner#tornade-98765430001-1-1'))).toBeLessThanOrEqual(1024)
    expect(itemBytes(await stored('gate'))).toBeLessThanOrEqual(6 * 1024)
    expect(JSON.stringify(fullGate(100)).length).toBeGreaterThan(14 * 1024)
  })

  it('can be dated when only its stop is known, or nothing', async () => {
    await ledger.runners.put({ ...newRunner('a'), version: 1, stoppedAt: T0 })
    await ledger.runners.put({ ...newRunner('b'), version: 1 })
    await ledger.jobs.put(first(1, { request: { createdAt: Number.NaN } }))
    expect((await stored('runner#a')).h).toEqual({ S: 'runner#2026-11-02T09' })
    for (const pk of ['runner#b', 'job#1-1']) {
      const { h } = await stored(pk)
      expect(h?.S).toBe(`${pk.split('#')[0]}#${new Date(now).toISOString().slice(0, 13)}`)
    }
  })

  it.each([1, 2])('is refused before it is sent when it is too large', async version => {
    const text = () => randomBytes(300_000).toString('base64')
    const job = first(1, { request: { labels: [text(), text()] } })
    await expect(ledger.jobs.put({ ...job, version })).rejects.toMatchObject({
      code: 'payload-too-large',
      message: expect.stringMatching(/^job#1-1 has \d+ bytes and DynamoDB takes 400 KB/),
    })
    await expect(ledger.gate.put({ ...fullGate(40_000), version })).rejects.toMatchObject({
      code: 'payload-too-large',
      message: expect.stringContaining('limits.runners'),
    })
    expect(dynamo.calls).toEqual([])
  })
})

describe('what is stored of a runner', () => {
  it('is in the index of what is open and in that of its hour, and once it has stopped in that of this hour', async () => {
    const item = numberedRunner(1, 7001)
    await ledger.runners.put(item)
    const at = new Date(item.launch!.at).toISOString()
    const keys = { h: { S: `runner#${at.slice(0, 13)}` }, s: { S: `${at}#${item.name}` } }
    expect(await stored(`runner#${item.name}`)).toEqual({
      pk: { S: `runner#${item.name}` },
      v: { N: '1' },
      d: { S: expect.any(String) },
      o: { S: 'runner' },
      r: { N: '7001' },
      ...keys,
    })
    await ledger.runners.put({ ...item, version: 2, stoppedAt: T0, cleanedAt: T0 })
    const stopped = await stored(`runner#${item.name}`)
    expect(Object.keys(stopped).toSorted()).toEqual(['d', 'e', 'h', 'pk', 's', 't', 'v'])
    const e = { S: `runner#${new Date(T0).toISOString().slice(0, 13)}` }
    expect(stopped).toMatchObject({ ...keys, e, t: { N: String((T0 + 3 * DAY) / 1000) } })
  })

  it('names no repository while nobody knows one', async () => {
    await ledger.runners.put({ ...newRunner('a'), version: 1, startedAt: T0 })
    expect(Object.keys(await stored('runner#a')).toSorted()).toEqual(['d', 'h', 'o', 'pk', 's', 'v'])
  })
})

describe('when the network fails', () => {
  // The pauses before another try are chosen at random, from none upwards.
  beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
  afterEach(() => vi.restoreAllMocks())

  it('a write whose answer is lost is still this one', async () => {
    for (const version of [1, 2]) {
      loseFirst('PutItem')
      expect(await ledger.jobs.put({ ...first(), version })).toEqual({ ok: true })
      expect(dynamo.calls.filter(({ action }) => action === 'PutItem')).toHaveLength(2)
      dynamo.forget()
    }
    loseFirst('PutItem')
    expect(await ledger.gate.put({ ...gateWith(1), version: 1 })).toEqual({ ok: true })
    expect(await ledger.jobs.get('1-1')).toMatchObject({ version: 2 })
  })

  it('a write that went on to be overwritten is a conflict', async () => {
    const other = { ...first(), version: 2, replacements: 5 }
    loseFirst('PutItem', () => ledger.jobs.put(other))
    expect(await ledger.jobs.put(first())).toEqual({ ok: false, current: other })
  })

  it('a write that came second is a conflict, though its answer was lost too', async () => {
    await ledger.jobs.put(first())
    loseFirst('PutItem')
    const other = first(1, { replacements: 1 })
    expect(await ledger.jobs.put(other)).toEqual({ ok: false, current: first() })
  })

  it('a read is tried again', async () => {
    await ledger.jobs.put(first())
    loseFirst('GetItem')
    expect(await ledger.jobs.get('1-1')).toEqual(first())
  })

  it('what a batch leaves unread is asked for again', async () => {
    await putJobs(
      ledger,
      numbers(3).map(number => numbered(number)),
    )
    let left = 2
    dynamo.intercept = (action, request, response) => {
      if (action !== 'BatchGetItem' || left-- === 0) return false
      request.on('end', () => {
        const { RequestItems } = dynamo.calls.at(-1)!.body
        response.end(JSON.stringify({ Responses: { [table]: [] }, UnprocessedKeys: RequestItems }))
      })
      return true
    }
    expect(await ledger.jobs.open({ limit: 10 })).toHaveLength(3)
    left = Number.POSITIVE_INFINITY
    await expect(ledger.jobs.open({ limit: 10 })).rejects.toThrow('3 keys of a batch unread')
  })

  /** The first such request is carried out and not answered; `meanwhile` runs before it is sent again. */
  function loseFirst(lost: string, meanwhile: () => Promise<unknown> = async () => {}): void {
    let count = 0
    dynamo.intercept = (action, request, response) => {
      if (action !== lost || count++ > 0) return false
      loseAnswer(request, response, meanwhile)
      return false
    }
  }
})

describe('items that cannot be read', () => {
  const broken: readonly (readonly [string, Attributes])[] = [
    ['no JSON', { d: { S: '{' } }],
    ['no object', { d: { S: '[]' } }],
    ['not deflated', { z: { B: Buffer.from('x') } }],
    ['no content', {}],
    ['no request', { d: { S: '{"labels":[]}' } }],
    ['a request of another shape', { d: { S: '{"request":{"repository":"acme/app"}}' } }],
  ]

  it('are left out of lists, counted and logged once', async () => {
    await putJobs(ledger, [numbered(50), numbered(60)])
    for (const [index, [, content]] of broken.entries()) await store(listed(index, content))
    expect((await ledger.jobs.open({ limit: 100 })).map(({ key }) => key)).toEqual(['50-1', '60-1'])
    expect(errors).toEqual([
      {
        message: 'items of the ledger cannot be read and are left out of its lists',
        fields: { code: 'ledger-item-unreadable', count: 6, items: expect.arrayContaining(['job#bad-0']) },
      },
    ])
    expect((await all(cursor => ledger.jobs.page({ limit: 3, ...cursor }))).map(({ key }) => key)).toEqual([
      '60-1',
      '50-1',
    ])
  })

  it.each(broken)('are an error where one is asked for: %s', async (_, content) => {
    await store(listed(0, content))
    const unreadable = { code: 'input-unreadable', message: expect.stringContaining('job#bad-0') }
    await expect(ledger.jobs.get('bad-0')).rejects.toMatchObject(unreadable)
    await expect(ledger.jobs.put({ ...first(), key: 'bad-0' })).rejects.toMatchObject(unreadable)
  })

  it.each(['{', '[]', '{"holders":[]}'])('are an error at the gate: %s', async text => {
    await store({ pk: { S: 'gate' }, v: { N: '4' }, d: { S: text } })
    await expect(ledger.gate.get()).rejects.toMatchObject({ code: 'input-unreadable' })
    await expect(ledger.gate.put({ ...gateWith(1), version: 1 })).rejects.toMatchObject({
      code: 'input-unreadable',
    })
  })

  it('are not those from before a field was added', async () => {
    const { request } = first()
    await store({ ...listed(0, { d: { S: JSON.stringify({ request }) } }), pk: { S: 'job#1-1' } })
    expect(await ledger.jobs.get('1-1')).toEqual({ ...first(), version: 4, spec: null, queuedAt: null })
    await store({
      pk: { S: 'gate' },
      v: { N: '4' },
      d: { S: '{"holders":{},"waiting":{},"pauses":{},"pace":[]}' },
    })
    expect(await ledger.gate.get()).toEqual({ ...EMPTY_GATE, version: 4 })
  })

  it('are not those of a gate from before holders and heads were lists', async () => {
    const holder = { repository: 7001, role: 'deploy', since: T0, jobKey: '1-1', by: 'm1' }
    const head = {
      jobKey: '2-1',
      runner: 'tornade-2-1-1',
      role: null,
      priority: 3,
      since: T0,
      notBefore: null,
    }
    const waiting = { 7001: { heads: [head], more: true } }
    const old = { holders: { 'tornade-1-1-1': holder }, waiting, pauses: { github: 9 }, pace: [], wakeAt: 7 }
    await store({ pk: { S: 'gate' }, v: { N: '4' }, d: { S: JSON.stringify(old) } })
    const read = await ledger.gate.get()
    expect(read).toEqual({
      ...EMPTY_GATE,
      version: 4,
      holders: { 'tornade-1-1-1': { ...holder, reservedMicroUsd: 0 } },
      waiting: { 7001: { name: null, heads: [{ ...head, reserveMicroUsd: 0 }], more: true } },
      pauses: { github: 9 },
      wakeAt: 7,
    })
    expect(await ledger.gate.put({ ...read, version: 5 })).toEqual({ ok: true })
    expect(await ledger.gate.get()).toEqual({ ...read, version: 5 })
  })

  it('keeps what a job of another name has at the gate', async () => {
    const holders = {
      'tornade-1-1-1': {
        repository: 1,
        role: null,
        since: T0,
        jobKey: 'other',
        by: 'm',
        reservedMicroUsd: 5,
      },
    }
    const gate = {
      ...EMPTY_GATE,
      version: 1,
      holders,
      starts: { 1: [{ at: T0, count: 2 }] },
      spent: { '2026-11': 4 },
    }
    expect(await ledger.gate.put(gate)).toEqual({ ok: true })
    expect(await ledger.gate.get()).toEqual(gate)
  })

  function listed(index: number, content: Attributes): Attributes {
    const at = new Date(FIRST + index * 60_000).toISOString()
    const pk = `job#bad-${index}`
    const keys = {
      o: { S: 'job' },
      p: { S: 'job#7001' },
      h: { S: `job#${at.slice(0, 13)}` },
      s: { S: `${at}#bad` },
    }
    return { pk: { S: pk }, v: { N: '4' }, ...keys, ...content }
  }
})

describe('lists that lag behind', () => {
  it('leave out what has ended or moved, and go on until there are enough', async () => {
    await putJobs(
      ledger,
      numbers(6).map(number => numbered(number)),
    )
    // The entries say open, in repository 7001; the items say otherwise.
    for (const [number, facts] of [
      [1, { completed: completed(9) }],
      [2, { repository: 7002 }],
    ] as const) {
      const { o, p, h, s } = await stored(`job#${number}-1`)
      await ledger.jobs.put({ ...first(number, facts), version: 2 })
      const { d, z } = await stored(`job#${number}-1`)
      const content = d ? { d } : { z: z! }
      await store({ pk: { S: `job#${number}-1` }, v: { N: '2' }, o: o!, p: p!, h: h!, s: s!, ...content })
    }
    const keys = (jobs: readonly Job[]) => jobs.map(({ key }) => key)
    expect(keys(await ledger.jobs.open({ repositoryId: 7001, limit: 3 }))).toEqual(['3-1', '4-1', '5-1'])
    expect(keys(await ledger.jobs.open({ limit: 3 }))).toEqual(['2-1', '3-1', '4-1'])
    expect(dynamo.calls.filter(({ body }) => body.ExclusiveStartKey)).toHaveLength(2)
  })
})

describe('roll-ups', () => {
  const KEY = 'day#2026-11-02#spend'
  const large = (workflows: number, at = T0): SpendRollup => {
    const jobs = numbers(workflows).map(number =>
      job({
        key: `${number}-1`,
        request: request({ key: `${number}-1`, workflow: `${number} ${'x'.repeat(80)}` }),
      }),
    )
    const runners = jobs.map(({ key }) =>
      runner({
        name: `tornade-${key}-1`,
        pullStartedAt: T0,
        startedAt: T0,
        stoppedAt: T0 + 60_000,
        job: { key, startedAt: T0, completedAt: T0 + 9, publicRepository: false },
      }),
    )
    const items = { runners, jobs: new Map(jobs.map(one => [one.key, one])), unserved: [] }
    return spendOf('day', '2026-11-02', at, [spendOfHour('2026-11-02T09', at, items)])
  }
  const pks = async () =>
    (await scan())
      .map(({ pk }) => pk!.S!)
      .filter(pk => pk.startsWith('rollup#'))
      .toSorted()

  it('are one item each, which goes some time after its period', async () => {
    await ledger.rollups.put([large(3), { ...large(3), grain: 'hour', period: '2026-11-02T09' }])
    expect(await pks()).toEqual(['rollup#day#2026-11-02#spend', 'rollup#hour#2026-11-02T09#spend'])
    const seconds = (at: number, days: number) => ({ N: String((at + days * DAY) / 1000) })
    const day = await stored(`rollup#${KEY}`)
    expect(Object.keys(day).toSorted()).toEqual(['d', 'pk', 't', 'v'])
    expect(day.t).toEqual(seconds(Date.UTC(2026, 10, 3), 400))
    expect((await stored('rollup#hour#2026-11-02T09#spend')).t).toEqual(seconds(T0 + 3_600_000, 90))
    expect(await ledger.rollups.get([KEY])).toEqual(new Map([[KEY, large(3)]]))
    expect(dynamo.calls.filter(({ action }) => action === 'BatchGetItem')).toHaveLength(1)
  })

  it('go on in further pages, which are written first', async () => {
    const rollup = large(5000)
    await ledger.rollups.put([rollup])
    const written = dynamo.calls.map(({ body }) => body.Item.pk.S)
    expect(written.length).toBeGreaterThan(2)
    expect(written.at(-1)).toBe(`rollup#${KEY}`)
    for (const pk of written) expect(itemBytes(await stored(pk))).toBeLessThan(300_000)
    dynamo.forget()
    expect(await ledger.rollups.get([KEY])).toEqual(new Map([[KEY, rollup]]))
    expect(dynamo.calls).toHaveLength(2)
  })

  it('say so where a page is missing or of another time, and are read again before', async () => {
    const rollup = large(5000)
    await ledger.rollups.put([rollup])
    const second = await stored(`rollup#${KEY}#1`)
    const breakers = [
      async () => {
        await ledger.rollups.put([large(5000, T0 + 1)])
        await store(second)
      },
      () => remove(`rollup#${KEY}#1`),
    ]
    for (const breakIt of breakers) {
      await breakIt()
      dynamo.forget()
      const read = (await ledger.rollups.get([KEY])).get(KEY) as SpendRollup
      expect(read).toMatchObject({ incomplete: true, sums: rollup.sums })
      expect(read.cells.length).toBeLessThan(rollup.cells.length)
      expect(dynamo.calls).toHaveLength(4)
      await ledger.rollups.put([rollup])
    }
  })

  it('that cannot be read are left out, and logged', async () => {
    await ledger.rollups.put([large(1)])
    await store({ pk: { S: 'rollup#day#2026-11-03#spend' }, v: { N: '1' }, d: { S: '{"at":1}' } })
    expect([...(await ledger.rollups.get([KEY, 'day#2026-11-03#spend'])).keys()]).toEqual([KEY])
    expect(errors[0]?.fields).toMatchObject({ code: 'ledger-item-unreadable' })
  })

  it('keep what runners measured', async () => {
    const shape = { arch: 'x64', compute: 'codebuild', capacity: null, cpu: 2, memoryGiB: 3, diskGiB: 50 }
    const usage: UsageOf = {
      repository: 'acme/app',
      workflow: 'CI',
      region: 'us-east-1',
      shape: { ...shape, computeType: 'BUILD_GENERAL1_SMALL' } as UsageOf['shape'],
      samples: [
        {
          jobKey: '1-1',
          at: 5,
          seconds: 60.5,
          cpuAverage: 0.25,
          cpuPeak: 1.9,
          memoryAverageGiB: 1,
          memoryPeakGiB: 2,
        },
      ],
    }
    const rollup = { family: 'usage', grain: 'month', period: '2026-11', at: 7, usage: [usage] } as const
    await ledger.rollups.put([rollup, { ...rollup, period: '2026-10', usage: [] }])
    expect([...(await ledger.rollups.get(['month#2026-11#usage', 'month#2026-10#usage'])).values()]).toEqual([
      rollup,
      { ...rollup, period: '2026-10', usage: [] },
    ])
  })
})

describe('cursors', () => {
  const cursor = (text: string) => Buffer.from(text).toString('base64url')

  it.each([
    '',
    '2026-13-02T09',
    '2026-11-02T99',
    '2026-11-02',
    '2026-11-02T09:00:00.000Z',
    '2026-11-02T09:00:00.000Z#',
    '2026-11-02T09:00:00.000Z#ü',
    `2026-11-02T09:00:00.000Z#${'a'.repeat(300)}`,
    '{"pk":"job#1-1"}',
  ])('that no page gave, like %.40s, get an empty page and no call', async text => {
    expect(await ledger.jobs.page({ limit: 5, cursor: cursor(text) })).toEqual({ items: [], next: null })
    expect(dynamo.calls).toEqual([])
  })

  it('out of reach end at once, or begin at the newest', async () => {
    await putJobs(ledger, [numbered(1)])
    dynamo.forget()
    expect(await ledger.jobs.page({ limit: 5, cursor: cursor('2020-01-01T00') })).toEqual({
      items: [],
      next: null,
    })
    expect(dynamo.calls).toEqual([])
    const page = await ledger.jobs.page({ limit: 1, cursor: cursor('9000-01-01T00:00:00.000Z#x') })
    expect(page.items.map(({ key }) => key)).toEqual(['1-1'])
  })

  it('are of the letters that an address takes', async () => {
    await putJobs(
      ledger,
      numbers(3).map(number => numbered(number)),
    )
    const { next } = await ledger.jobs.page({ limit: 2 })
    expect(next).toMatch(/^[\w-]+$/)
  })

  it('reach from quiet days to busy hours and back', async () => {
    const minutes = [0, 1, 2, 3, 600, 601, 602, 1100]
    await putJobs(
      ledger,
      minutes.map(minute => numbered(minute + 1, { minutes: minute })),
    )
    for (const limit of [1, 2, 3, 7, 8, 9]) {
      const items = await all(cursor => ledger.jobs.page({ limit, ...cursor }))
      expect(items.map(({ request: { jobId } }) => jobId - 1)).toEqual(minutes.toReversed())
    }
  })

  it('show no item of the coming hours, but those that a fast clock made', async () => {
    now = FIRST + 58 * 60_000
    await putJobs(ledger, [numbered(1, { minutes: 61 }), numbered(2, { minutes: 180 })])
    expect((await all(c => ledger.jobs.page({ limit: 5, ...c }))).map(({ key }) => key)).toEqual(['1-1'])
  })
})

describe('infra/tables.yml', () => {
  it('has the ledger kept, backed up and thinned out, with indexes that change when an item opens or ends', () => {
    const { GlobalSecondaryIndexes, ...table } = tableProperties('LedgerTable')
    expect(table).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      TimeToLiveSpecification: { AttributeName: 't', Enabled: true },
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    })
    const projections = GlobalSecondaryIndexes!.map(({ IndexName, Projection }) => [IndexName, Projection])
    expect(Object.fromEntries(projections)).toEqual({
      open: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['r'] },
      repository: { ProjectionType: 'KEYS_ONLY' },
      hour: { ProjectionType: 'KEYS_ONLY' },
      ended: { ProjectionType: 'KEYS_ONLY' },
    })
  })

  it('has tickets that nothing keeps', () => {
    const table = tableProperties('TicketsTable')
    expect(table).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      TimeToLiveSpecification: { AttributeName: 't', Enabled: true },
    })
    expect(table).not.toHaveProperty('PointInTimeRecoverySpecification')
  })
})

/** What DynamoDB answers to a conditional write when it is asked for what stands in the way. */
function conflict(current: Attributes): Intercept {
  return (action, request, response) => {
    if (action !== 'PutItem') return false
    request.resume().on('end', () => {
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' })
      response.end(
        JSON.stringify({
          __type: 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException',
          message: 'The conditional request failed',
          Item: current,
        }),
      )
    })
    return true
  }
}

/** As long as they get. */
function fullJob(): Job {
  const name = 'tornade-98765430001-1-1'
  const runner = { id: 123_456, name }
  const facts: Parameters<typeof numbered>[1] = {
    request: {
      key: '98765430001-1',
      jobId: 98_765_430_001,
      runId: 98_765_430_000,
      installationId: 123_456_789,
      workflow: 'Continuous integration and delivery',
      name: 'build and test (ubuntu, node 24, shard 3 of 12)',
      headBranch: 'dependabot/npm_and_yarn/aws-sdk/client-dynamodb-3.1164.0',
      headSha: randomBytes(20).toString('hex'),
      labels: ['self-hosted', 'linux', 'tornade', 'arm64', 'spot', '4cpu', '16gb', 'role:deploy'],
    },
    claim: claimOf({ runner: name, owner: crypto.randomUUID() }),
    started: { at: T0 + 61_234, runner },
    completed: { at: T0 + 361_234, conclusion: 'success', startedAt: T0 + 61_234, runner },
    runner: name,
    cost: {
      runner: name,
      microUsd: 12_345,
      githubHostedMicroUsd: 40_000,
      onDemandMicroUsd: 43_210,
      basis: 'estimate',
    },
  }
  return { ...first(1, facts), key: '98765430001-1' }
}

function fullRunner(): Runner {
  const id = randomBytes(16).toString('hex')
  const name = 'tornade-98765430001-1-1'
  const base = numberedRunner(1, 7001)
  return {
    ...base,
    name,
    launch: { ...base.launch!, jobKey: '98765430001-1', labels: fullJob().request.labels },
    registration: { id: 123_456, name, at: T0 },
    providerId: `arn:aws:ecs:ap-northeast-1:123456789012:task/tornade-production/${id}`,
    ticketKey: `AROAZ7EXAMPLEABCDEFGH:${id}`,
    pullStartedAt: T0 + 21_234,
    startedAt: T0 + 31_234,
    stoppedAt: T0 + 371_234,
    stop: { code: 'EssentialContainerExited', reason: 'Essential container in task exited' },
    job: { key: '98765430001-1', startedAt: T0 + 61_234, completedAt: T0 + 361_234, publicRepository: false },
    cost: {
      totalMicroUsd: 14_253,
      startupMicroUsd: 1156,
      jobMicroUsd: 12_345,
      idleMicroUsd: 137,
      onDemandMicroUsd: 43_497,
      billedMs: 350_000,
      basis: 'estimate',
    },
  }
}

/** A gate through which so many runners went, with ids as SQS makes them. */
function fullGate(runners: number): Gate {
  const holders = numbers(runners).map(number => {
    const jobKey = `${98_765_430_000 + number * 37}-1`
    const by = crypto.randomUUID().slice(-12)
    const reservedMicroUsd = 37_876_000
    return [
      `tornade-${jobKey}-1`,
      { repository: 7001 + (number % 9), role: null, since: T0 + number * 997, jobKey, by, reservedMicroUsd },
    ]
  })
  return { ...EMPTY_GATE, holders: Object.fromEntries(holders), pace: [{ at: T0, count: 100 }] }
}
