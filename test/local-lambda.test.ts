import type { Context } from 'aws-lambda'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SteppedClock } from '../local/clock.ts'
import {
  HTTP_FAILURE,
  httpAnswer,
  httpEvent,
  InvocationError,
  type LambdaHandler,
  LocalFunction,
  scheduledEvent,
} from '../local/lambda.ts'

const START = Date.UTC(2026, 2, 12, 19, 3, 58)

function lambda(
  handler: (...args: [event: unknown, context: Context, clock: SteppedClock]) => unknown,
  settings = {},
) {
  const clock = new SteppedClock(START)
  const run: LambdaHandler = (event: unknown, context) => handler(event, context, clock)
  return { clock, one: new LocalFunction(clock, { name: 'launch', timeoutMs: 60_000, ...settings }, run) }
}

describe('a function', () => {
  it('answers what its handler answers', async () => {
    const { one } = lambda(async event => ({ got: event }))
    expect(await one.invoke({ a: 1 })).toEqual({ got: { a: 1 } })
  })

  it('answers null for nothing', async () => {
    expect(await lambda(() => undefined).one.invoke({})).toBeNull()
  })

  it('passes event and answer as JSON: neither side can reach into the other', async () => {
    const kept = { at: new Date(START), list: [1], gone: undefined }
    const { one } = lambda(event => {
      ;(event as typeof kept).list.push(2)
      return kept
    })
    const event = { list: [1] }
    const answer = await one.invoke(event)
    expect(event).toEqual({ list: [1] })
    expect(answer).toStrictEqual({ at: '2026-03-12T19:03:58.000Z', list: [1] })
    expect(answer).not.toBe(kept)
  })

  it('gets a context of its own for every invocation', async () => {
    const { clock, one } = lambda(
      async (_, context, clock) => {
        const before = context.getRemainingTimeInMillis()
        await clock.sleep(20_000)
        return { ...context, before, after: context.getRemainingTimeInMillis() }
      },
      { memoryMb: 256, region: 'eu-west-1' },
    )
    const answers = Promise.all([one.invoke({}), one.invoke({})])
    await clock.run()
    const [a, b] = (await answers) as Record<string, unknown>[]
    expect(a).toMatchObject({
      functionName: 'launch',
      functionVersion: '$LATEST',
      invokedFunctionArn: 'arn:aws:lambda:eu-west-1:123456789012:function:launch',
      memoryLimitInMB: '256',
      before: 60_000,
      after: 40_000,
    })
    expect(a?.awsRequestId).not.toBe(b?.awsRequestId)
    expect(a?.awsRequestId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  })

  it('fails with what its handler throws, at once or later, whatever it is', async () => {
    const thrown = new TypeError('no')
    await expect(lambda(() => Promise.reject(thrown)).one.invoke({})).rejects.toMatchObject({
      kind: 'function',
      errorType: 'TypeError',
      message: 'no',
      cause: thrown,
    })
    const atOnce = lambda(() => {
      throw thrown
    })
    await expect(atOnce.one.invoke({})).rejects.toMatchObject({ kind: 'function' })
    await expect(lambda(() => Promise.reject('text')).one.invoke({})).rejects.toMatchObject({
      errorType: 'string',
      message: 'text',
    })
  })

  it('fails when its answer cannot be written as JSON', async () => {
    const circle: { self?: unknown } = {}
    circle.self = circle
    await expect(lambda(() => circle).one.invoke({})).rejects.toBeInstanceOf(InvocationError)
    await expect(lambda(() => 1n).one.invoke({})).rejects.toBeInstanceOf(InvocationError)
  })

  it('fails at its timeout; what it still does counts for nothing', async () => {
    const { clock, one } = lambda((_, context, clock) =>
      clock.sleep(90_000).then(() => context.getRemainingTimeInMillis()),
    )
    const invocation = one.invoke({})
    const outcome = expect(invocation).rejects.toMatchObject({
      kind: 'timeout',
      errorType: 'Sandbox.Timedout',
    })
    await clock.run(START + 59_999)
    expect(one.running).toBe(1)
    await clock.run(START + 60_000)
    expect(one.running).toBe(0)
    await clock.run()
    await outcome
  })

  it('leaves no timer when it is done', async () => {
    const { clock, one } = lambda(() => 'done')
    await one.invoke({})
    expect(clock.next()).toBeNull()
  })

  it('throttles what goes beyond its reserved concurrency', async () => {
    const { clock, one } = lambda((_, __, clock) => clock.sleep(1_000), { reservedConcurrency: 2 })
    const admitted = [one.invoke({}), one.invoke({})]
    await expect(one.invoke({})).rejects.toMatchObject({
      kind: 'throttled',
      errorType: 'TooManyRequestsException',
    })
    await clock.run()
    await Promise.all(admitted)
    const again = one.invoke({})
    await clock.run()
    expect(await again).toBeNull()
  })
})

const bytes = (text: string) => new TextEncoder().encode(text)
const JSON_TYPE = { 'content-type': 'application/json' }

describe('a request', () => {
  it('may have headers and parameters of any name', () => {
    const { headers, queryStringParameters } = httpEvent(
      Buffer.from(''),
      { Constructor: 'a' },
      'GET',
      '/x?constructor=b&toString=c',
    )
    expect(headers).toEqual({ constructor: 'a' })
    expect(queryStringParameters).toEqual({ constructor: 'b', toString: 'c' })
  })

  it('has the shape of payload format 2.0', () => {
    const headers = {
      'Content-Type': 'application/json',
      'User-Agent': 'GitHub-Hookshot/1',
      'X-A': ['1', '2'],
    }
    const options = { at: START, requestId: 'r1', sourceIp: '192.0.2.1' }
    expect(httpEvent(bytes('{"ä":1}'), headers, 'POST', '/webhook', options)).toEqual({
      version: '2.0',
      routeKey: 'ANY /webhook',
      rawPath: '/webhook',
      rawQueryString: '',
      headers: { 'content-type': 'application/json', 'user-agent': 'GitHub-Hookshot/1', 'x-a': '1,2' },
      requestContext: {
        accountId: '123456789012',
        apiId: 'local',
        domainName: 'localhost',
        domainPrefix: 'local',
        http: {
          method: 'POST',
          path: '/webhook',
          protocol: 'HTTP/1.1',
          sourceIp: '192.0.2.1',
          userAgent: 'GitHub-Hookshot/1',
        },
        requestId: 'r1',
        routeKey: 'ANY /webhook',
        stage: '$default',
        time: '12/Mar/2026:19:03:58 +0000',
        timeEpoch: START,
      },
      body: '{"ä":1}',
      isBase64Encoded: false,
    })
  })

  it('keeps query and cookies apart', () => {
    const event = httpEvent(
      new Uint8Array(),
      { Cookie: 'a=1; b=2' },
      'GET',
      '/jobs?state=open&label=x&label=y%20z',
    )
    expect(event).toMatchObject({
      rawPath: '/jobs',
      rawQueryString: 'state=open&label=x&label=y%20z',
      queryStringParameters: { state: 'open', label: 'x,y z' },
      cookies: ['a=1', 'b=2'],
      isBase64Encoded: false,
    })
    expect(event.headers).toEqual({})
    expect(event.body).toBeUndefined()
  })

  it.each([
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, bytes('payload=1')],
    ['no type', {}, bytes('{}')],
    ['bytes that are no UTF-8', JSON_TYPE, Uint8Array.of(0x7b, 0xff, 0x7d)],
  ])('has a body in base64 for %s', (_, headers, raw) => {
    const event = httpEvent(raw, headers, 'POST', '/webhook')
    expect(event).toMatchObject({ isBase64Encoded: true, body: Buffer.from(raw).toString('base64') })
  })

  it('loses no byte of the body: a signature over it stays right', () => {
    const text = fc.string({ unit: 'binary', maxLength: 50 }).map(text => bytes(`\uFEFF${text}`))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 50 }), text), fc.boolean(), (raw, json) => {
        const { body = '', isBase64Encoded } = httpEvent(raw, json ? JSON_TYPE : {}, 'POST', '/webhook')
        return Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8').equals(raw)
      }),
    )
  })
})

describe('an answer', () => {
  const text = (body: Uint8Array) => new TextDecoder().decode(body)

  it('is a response when it has a status', () => {
    const { status, headers, body } = httpAnswer({ statusCode: 202, headers: { 'X-A': 1 }, body: 'ä' })
    expect([status, headers, text(body)]).toEqual([202, { 'x-a': '1' }, 'ä'])
    expect(text(httpAnswer({ statusCode: 200, body: 'w6Q=', isBase64Encoded: true }).body)).toBe('ä')
    expect(text(httpAnswer({ statusCode: 204 }).body)).toBe('')
  })

  it.each([
    [{ a: 1 }, '{"a":1}'],
    ['text', 'text'],
    [null, 'null'],
    [[1], '[1]'],
  ])('is the body of a 200 when it has none: %j', (answer, expected) => {
    const { status, headers, body } = httpAnswer(answer)
    expect([status, headers['content-type'], text(body)]).toEqual([200, 'application/json', expected])
  })

  it.each([0, 99, 600, 200.5, 'fine', null])('is a failure with the status %s', statusCode => {
    expect(httpAnswer({ statusCode })).toBe(HTTP_FAILURE)
  })
})

it('a schedule sends the event of EventBridge', () => {
  expect(scheduledEvent(START, 'id-1', 'sweep', 'eu-west-1')).toEqual({
    id: 'id-1',
    version: '0',
    account: '123456789012',
    time: '2026-03-12T19:03:58Z',
    region: 'eu-west-1',
    resources: ['arn:aws:events:eu-west-1:123456789012:rule/sweep'],
    source: 'aws.events',
    'detail-type': 'Scheduled Event',
    detail: {},
  })
})
