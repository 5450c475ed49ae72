import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { SQSEvent } from 'aws-lambda'
import { AwsClient } from 'aws4fetch'
import { startFauxqs } from 'fauxqs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { SqsQueue, type SqsQueueSettings } from '../../functions/aws/queue.ts'
import type { QueueName } from '../../functions/ports.ts'
import { SteppedClock } from '../../local/clock.ts'
import { LocalFunction } from '../../local/lambda.ts'
import { LocalQueue, LocalQueues } from '../../local/queue.ts'
import { MEBIBYTE, type QueueMaker, queueContract } from './queue.ts'

const REGION = 'us-east-1'
const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'of tests' }
const { AWS_ENDPOINT_URL: given } = process.env

beforeEach(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId)
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey)
  vi.stubEnv('AWS_SESSION_TOKEN', undefined)
  vi.stubEnv('AWS_ENDPOINT_URL', undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

queueContract('in memory', async () => {
  const clock = new SteppedClock(Date.UTC(2026, 10, 2, 9))
  const arrived: Record<QueueName, unknown[]> = { launch: [], events: [] }
  const local = (name: QueueName) => {
    const arn = `arn:aws:sqs:${REGION}:123456789012:tornade-test-${name}`
    const queue = new LocalQueue(clock, { arn, visibilityTimeoutMs: 60_000, maxReceiveCount: null })
    const consumer = new LocalFunction(
      clock,
      { name, timeoutMs: 60_000, reservedConcurrency: null },
      async ({ Records }: SQSEvent) => {
        arrived[name].push(...Records.map(record => JSON.parse(record.body)))
        return { batchItemFailures: [] }
      },
    )
    queue.subscribe(consumer, { batchSize: 10, reportBatchItemFailures: true, maximumConcurrency: null })
    return queue
  }
  const pass = (seconds: number) => clock.run(clock.now() + seconds * 1000)
  return {
    queue: new LocalQueues({ launch: local('launch'), events: local('events') }),
    receive: async name => {
      await pass(0.1)
      return arrived[name].splice(0)
    },
    pass,
    close: async () => {},
  }
})

queueContract('on SQS (fauxqs)', async () => {
  const server = await startFauxqs({ port: 0, logger: false })
  return on(`http://127.0.0.1:${server.port}/`, () => server.stop())
})

if (given) queueContract(`on SQS at ${given}`, () => on(given, async () => {}))

async function on(endpoint: string, close: () => Promise<void>): Promise<QueueMaker> {
  const client = new AwsClient({ ...CREDENTIALS, service: 'sqs', region: REGION, retries: 0 })
  // biome-ignore lint/suspicious/noExplicitAny: answers of SQS
  const call = async (action: string, body: unknown): Promise<any> => {
    const response = await client.fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${action}: ${text}`)
    return text === '' ? {} : JSON.parse(text)
  }
  const create = async (name: QueueName): Promise<string> =>
    (
      await call('CreateQueue', {
        QueueName: `tornade-test-${process.pid}-${Date.now()}-${name}`,
        Attributes: { MaximumMessageSize: String(MEBIBYTE) },
      })
    ).QueueUrl
  const urls = { launch: await create('launch'), events: await create('events') }
  return {
    queue: new SqsQueue({ urls, region: REGION, endpoint }),
    receive: async name => {
      const bodies: unknown[] = []
      for (;;) {
        const { Messages = [] } = await call('ReceiveMessage', {
          QueueUrl: urls[name],
          MaxNumberOfMessages: 10,
          VisibilityTimeout: 600,
        })
        if (Messages.length === 0) return bodies
        for (const message of Messages) {
          bodies.push(JSON.parse(message.Body))
          await call('DeleteMessage', { QueueUrl: urls[name], ReceiptHandle: message.ReceiptHandle })
        }
      }
    },
    pass: seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000)),
    close: async () => {
      for (const QueueUrl of Object.values(urls)) await call('DeleteQueue', { QueueUrl })
      await close()
    },
  }
}

interface Request {
  readonly action: string
  readonly headers: NodeJS.Dict<string | string[]>
  // biome-ignore lint/suspicious/noExplicitAny: what was sent
  readonly body: any
}
type Answer = readonly [status: number, body: unknown] | 'hang' | 'cut'

describe('the adapter for SQS', () => {
  let server: Server
  let requests: Request[]
  let answers: Answer[]
  let settings: SqsQueueSettings
  let waiting: AbortController[]

  beforeEach(async () => {
    waiting = []
    vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
      waiting.push(new AbortController())
      return waiting.at(-1)!.signal
    })
    requests = []
    answers = []
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const action = String(request.headers['x-amz-target'])
      const body = JSON.parse(Buffer.concat(chunks).toString())
      requests.push({ action, headers: request.headers, body })
      const answer = answers.shift() ?? [200, taken(body)]
      // Its patience ends here, and not by a clock: a machine may be too busy for any.
      if (answer === 'hang') return waiting.at(-1)!.abort(new DOMException('timed out', 'TimeoutError'))
      if (answer === 'cut') return void request.socket.destroy()
      response.writeHead(answer[0], { 'content-type': 'application/x-amz-json-1.0' })
      response.end(typeof answer[1] === 'string' ? answer[1] : JSON.stringify(answer[1]))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const urls = { launch: `${origin}/123456789012/launch`, events: `${origin}/123456789012/events` }
    settings = { urls, region: REGION }
    // The pauses before another try are chosen at random, from none upwards.
    vi.spyOn(Math, 'random').mockReturnValue(0)
  })
  afterEach(() => {
    vi.restoreAllMocks()
    server.closeAllConnections()
    server.close()
  })

  const messages = (count: number) => Array.from({ length: count }, (_, index) => ({ body: { index } }))
  const send = (count: number) => new SqsQueue(settings).send('events', messages(count))

  it('sends one message with one signed call', async () => {
    vi.stubEnv('AWS_SESSION_TOKEN', 'a token')
    await new SqsQueue(settings).send('events', [{ body: { kind: 'wake' }, delaySeconds: 5 }])
    expect(requests).toEqual([
      {
        action: 'AmazonSQS.SendMessage',
        headers: expect.objectContaining({
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-security-token': 'a token',
          authorization: expect.stringMatching(
            /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/sqs\//,
          ),
        }),
        body: { QueueUrl: settings.urls.events, MessageBody: '{"kind":"wake"}', DelaySeconds: 5 },
      },
    ])
  })

  it('says how many messages wait', async () => {
    answers = [[200, { Attributes: { ApproximateNumberOfMessages: '7' } }], 'cut', [200, {}]]
    const queue = new SqsQueue(settings)
    expect([await queue.depth('launch'), await queue.depth('events')]).toEqual([7, 0])
    expect(requests.map(({ action, body }) => [action, body])).toEqual(
      [settings.urls.launch, settings.urls.events, settings.urls.events].map(QueueUrl => [
        'AmazonSQS.GetQueueAttributes',
        { QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] },
      ]),
    )
  })

  it('says how many messages wait, as SQS would', async () => {
    const server = await startFauxqs({ port: 0, logger: false })
    const maker = await on(`http://127.0.0.1:${server.port}/`, () => server.stop())
    const queue = maker.queue as SqsQueue
    await queue.send('launch', messages(3))
    expect([await queue.depth('launch'), await queue.depth('events')]).toEqual([3, 0])
    await maker.close()
  })

  it('sends ten at a time', async () => {
    await send(25)
    expect(requests.map(({ action }) => action)).toEqual(Array(3).fill('AmazonSQS.SendMessageBatch'))
    expect(requests.map(({ body }) => body.Entries.length).toSorted()).toEqual([10, 10, 5])
    expect(
      requests.flatMap(({ body }) => body.Entries.map((entry: { Id: string }) => entry.Id)),
    ).toHaveLength(25)
  })

  it('sends no more than 1 MiB at a time', async () => {
    const large = 'a'.repeat(400_000)
    await new SqsQueue(settings).send('events', Array(5).fill({ body: large }))
    expect(requests.map(({ body }) => body.Entries.length).toSorted()).toEqual([1, 2, 2])
  })

  it('sends only characters that SQS takes', async () => {
    const body = { 'a\uFFFE': ['\uFFFF', '\\\uFFFE', '\u0000\u001f\u007f', '\ud800', '💥', 'é'] }
    await new SqsQueue(settings).send('events', [{ body }])
    const sent = requests[0]?.body.MessageBody
    expect(sent).toMatch(/^[\t\n\r\x20-\ud7ff\ue000-\ufffd]+$/)
    expect(JSON.parse(sent)).toEqual(body)
  })

  it('sends again what failed for no fault of the message', async () => {
    answers = [
      [200, { Successful: ids(0, 2), Failed: [fault(1, false, 'InternalError')] }],
      [200, { Successful: [], Failed: [fault(1, false, 'InternalError')] }],
    ]
    await send(3)
    expect(requests.map(({ body }) => body.Entries.map((entry: { Id: string }) => entry.Id))).toEqual([
      ['0', '1', '2'],
      ['1'],
      ['1'],
    ])
  })

  it('gives up a message that fails again and again, and says how many', async () => {
    answers = Array(3).fill([200, { Successful: ids(0), Failed: [fault(1, false, 'InternalError')] }])
    await expect(send(2)).rejects.toMatchObject({
      name: 'SqsError',
      code: 'InternalError',
      message: 'InternalError: 1 of 2 messages were not taken: because',
    })
    expect(requests).toHaveLength(3)
  })

  it('does not send again what can never be taken, but the other batches', async () => {
    answers = [
      [
        200,
        { Successful: ids(1, 2, 3, 4, 5, 6, 7, 8, 9), Failed: [fault(0, true, 'InvalidMessageContents')] },
      ],
    ]
    await expect(send(20)).rejects.toMatchObject({ code: 'InvalidMessageContents' })
    expect(requests).toHaveLength(2)
  })

  it('does not take silence about a message for success', async () => {
    answers = [
      [200, { Successful: ids(0) }],
      [200, ''],
    ]
    await send(2)
    expect(requests.map(({ body }) => body.Entries.length)).toEqual([2, 1, 1])
  })

  it.each<[string, Answer]>([
    ['a server error', [500, { __type: 'com.amazonaws.sqs#InternalFailure', message: 'because' }]],
    ['a page of a proxy', [503, '<html>']],
    ['a throttle', [400, { __type: 'com.amazonaws.sqs#RequestThrottled', message: 'because' }]],
    ['too many requests', [429, {}]],
    ['no answer', 'hang'],
    ['a broken connection', 'cut'],
  ])('tries again after %s, twice', async (_, answer) => {
    answers = [answer, answer]
    await send(1)
    expect(requests).toHaveLength(3)
    answers = [answer, answer, answer]
    await expect(send(1)).rejects.toMatchObject({
      name: 'SqsError',
      message: expect.stringContaining('(3 tries)'),
    })
    expect(requests).toHaveLength(6)
  })

  it('waits for an answer for as long as it was told', async () => {
    await new SqsQueue({ ...settings, timeoutMs: 1234 }).send('events', messages(1))
    expect(AbortSignal.timeout).toHaveBeenCalledWith(1234)
  })

  it('does not try again what SQS refuses', async () => {
    answers = [[400, { __type: 'com.amazonaws.sqs#QueueDoesNotExist', message: 'no such queue' }]]
    await expect(send(1)).rejects.toMatchObject({
      code: 'QueueDoesNotExist',
      message: 'QueueDoesNotExist: no such queue',
    })
    expect(requests).toHaveLength(1)
  })

  it('says nothing of a message in its errors', async () => {
    answers = Array(3).fill('cut')
    const error: Error = await new SqsQueue(settings).send('events', [{ body: 'canary' }]).then(
      () => expect.fail(),
      reason => reason,
    )
    expect(JSON.stringify([error, error.message, error.stack, error.cause])).not.toMatch(/canary|of tests/)
  })

  it('sends nothing when one of the messages cannot be sent', async () => {
    const queue = new SqsQueue(settings)
    const [fine] = messages(1)
    await expect(queue.send('events', [fine!, { body: 1, delaySeconds: 901 }])).rejects.toMatchObject({
      code: 'message-invalid',
    })
    await expect(queue.send('events', [fine!, { body: 1n }])).rejects.toMatchObject({
      code: 'message-invalid',
    })
    await expect(queue.send('events', [fine!, { body: 'a'.repeat(MEBIBYTE) }])).rejects.toMatchObject({
      code: 'payload-too-large',
    })
    expect(requests).toEqual([])
  })

  it('reads the credentials when it sends, and says so when there are none', async () => {
    const queue = new SqsQueue(settings)
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    await expect(queue.send('events', messages(1))).rejects.toMatchObject({ code: 'config-invalid' })
    for (const id of ['AKIDFIRST', 'AKIDFIRST', 'AKIDSECOND']) {
      vi.stubEnv('AWS_ACCESS_KEY_ID', id)
      await queue.send('events', messages(1))
    }
    const used = requests.map(({ headers }) => /Credential=(\w+)/.exec(String(headers.authorization))?.[1])
    expect(used).toEqual(['AKIDFIRST', 'AKIDFIRST', 'AKIDSECOND'])
  })

  it('goes to the endpoint that the environment names, as the SDK does', async () => {
    const { launch } = settings.urls
    vi.stubEnv('AWS_ENDPOINT_URL', new URL('/', launch).href)
    const urls = { launch: 'https://sqs.invalid/1/launch', events: 'https://sqs.invalid/1/events' }
    await new SqsQueue({ ...settings, urls }).send('launch', messages(1))
    expect(requests[0]?.body.QueueUrl).toBe(urls.launch)
  })
})

/** What SQS answers when all is well. */
function taken(body: { Entries?: { Id: string }[] }): unknown {
  return body.Entries
    ? { Successful: body.Entries.map(({ Id }) => ({ Id })), Failed: [] }
    : { MessageId: 'id' }
}

function ids(...numbers: number[]): { Id: string }[] {
  return numbers.map(number => ({ Id: String(number) }))
}

function fault(number: number, SenderFault: boolean, Code: string) {
  return { Id: String(number), SenderFault, Code, Message: 'because' }
}
