/** DynamoDB in process and over HTTP, with the tables of infra/tables.yml, and what was asked of it. */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DeleteTableCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  type DynamoDBClientConfig,
} from '@aws-sdk/client-dynamodb'
import { parse } from 'yaml'
import { dynamoClient } from '../../functions/aws/dynamodb.ts'

const dynalite: (options: Readonly<Record<string, number>>) => Server = createRequire(import.meta.url)(
  'dynalite',
)

export type TableId = 'LedgerTable' | 'TicketsTable'

export interface Call {
  /** PutItem, Query, … */
  readonly action: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the adapter sends
  readonly body: any
}

/** Answers a request itself, or changes what becomes of the answer. True: it has been answered. */
export type Intercept = (action: string, request: IncomingMessage, response: ServerResponse) => boolean

export interface TestDynamo {
  readonly client: DynamoDBClient
  readonly endpoint: string
  /** Creates a table of infra/tables.yml under a name of its own, and answers that. */
  table(id: TableId): Promise<string>
  close(): Promise<void>
}

export interface Dynalite extends TestDynamo {
  /** Requests since the last `forget`, as they came over the wire. */
  readonly calls: Call[]
  forget(): void
  intercept: Intercept | null
}

const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'of tests' }
const RESOURCES = parse(readFileSync(join(import.meta.dirname, '../../infra/tables.yml'), 'utf8')).Resources

/** Properties of a table as deployed. */
export function tableProperties(id: TableId): CreateTableCommandInput & Record<string, unknown> {
  return RESOURCES[id].Properties
}

export async function startDynalite(config: DynamoDBClientConfig = {}): Promise<Dynalite> {
  const store = dynalite({ createTableMs: 0, deleteTableMs: 0 })
  const calls: Call[] = []
  const server = createServer((request, response) => {
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => calls.push({ action, body: JSON.parse(Buffer.concat(chunks).toString()) }))
    if (!started.intercept?.(action, request, response)) store.emit('request', request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = at(endpoint, config)
  const started: Dynalite = {
    ...base,
    calls,
    forget: () => calls.splice(0),
    intercept: null,
    close: async () => {
      base.client.destroy()
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return started
}

let tables = 0

/** The tables at any endpoint; they are deleted in the end. */
export function at(endpoint: string, config: DynamoDBClientConfig = {}): TestDynamo {
  const client = dynamoClient({ region: 'us-east-1', credentials: CREDENTIALS, endpoint, ...config })
  const names: string[] = []
  return {
    client,
    endpoint,
    table: async id => {
      const name = `tornade-test-${process.pid}-${Date.now()}-${++tables}`
      const { AttributeDefinitions, KeySchema, BillingMode, GlobalSecondaryIndexes } = tableProperties(id)
      await client.send(
        new CreateTableCommand({
          TableName: name,
          AttributeDefinitions,
          KeySchema,
          BillingMode,
          ...(GlobalSecondaryIndexes ? { GlobalSecondaryIndexes } : {}),
        }),
      )
      names.push(name)
      while (
        (await client.send(new DescribeTableCommand({ TableName: name }))).Table?.TableStatus !== 'ACTIVE'
      )
        await new Promise(resolve => setTimeout(resolve, 20))
      return name
    },
    close: async () => {
      for (const name of names) await client.send(new DeleteTableCommand({ TableName: name }))
      client.destroy()
    },
  }
}

/** Breaks the connection where an answer would have come, once `meanwhile` is done. */
export function loseAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  meanwhile: () => Promise<unknown>,
): void {
  response.end = () => {
    void meanwhile().finally(() => request.socket.destroy())
    return response
  }
}
