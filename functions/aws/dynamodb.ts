/** What the adapters on DynamoDB share: the client, lists of keys, and reading many items at once. */
import {
  type AttributeValue,
  BatchGetItemCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  QueryCommand,
} from '@aws-sdk/client-dynamodb'

export type Attributes = Record<string, AttributeValue>

/**
 * DynamoDB answers within milliseconds, so a call that takes seconds is lost: better to give it up and send it again
 * than to wait until the function ends. Every call here may be sent twice.
 */
export function dynamoClient(over: DynamoDBClientConfig = {}): DynamoDBClient {
  return new DynamoDBClient({
    maxAttempts: 4,
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
    ...over,
  })
}

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html */
const KEYS_PER_BATCH = 100
const BATCHES_AT_ONCE = 8
const BATCH_TRIES = 8
const BATCH_PAUSE_MS = 25

/** Reads the items that exist of `keys`, in no order. @throws Error when the table goes on answering a part only */
export async function batchGet(
  client: DynamoDBClient,
  table: string,
  keys: readonly Attributes[],
  consistent: boolean,
): Promise<Attributes[]> {
  const batches: (readonly Attributes[])[] = []
  for (let from = 0; from < keys.length; from += KEYS_PER_BATCH)
    batches.push(keys.slice(from, from + KEYS_PER_BATCH))
  const items: Attributes[] = []
  const work = async () => {
    for (let batch = batches.shift(); batch; batch = batches.shift())
      items.push(...(await oneBatch(client, table, batch, consistent)))
  }
  await Promise.all(Array.from({ length: Math.min(BATCHES_AT_ONCE, batches.length) }, work))
  return items
}

async function oneBatch(
  client: DynamoDBClient,
  table: string,
  keys: readonly Attributes[],
  consistent: boolean,
): Promise<Attributes[]> {
  const items: Attributes[] = []
  let left = keys
  for (let count = 0; count < BATCH_TRIES; count++) {
    if (count > 0) await pause(count)
    const answer = await client.send(
      new BatchGetItemCommand({ RequestItems: { [table]: { Keys: [...left], ConsistentRead: consistent } } }),
    )
    items.push(...(answer.Responses?.[table] ?? []))
    left = answer.UnprocessedKeys?.[table]?.Keys ?? []
    if (left.length === 0) return items
  }
  throw new Error(`${table} left ${left.length} keys of a batch unread ${BATCH_TRIES} times`)
}

/** Longer each time, and never the same for two who were throttled together. */
function pause(count: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.random() * BATCH_PAUSE_MS * 2 ** count))
}

export interface KeyQuery {
  readonly index: string
  /** Names of the index's partition key and sort key. */
  readonly hash: string
  readonly range: string
  readonly value: string
  /** Only below this value of the sort key. */
  readonly below?: string
  /** Only entries with this value of a projected number. Those without it are read, billed and counted all the same. */
  readonly only?: { readonly attribute: string; readonly value: number }
  readonly newestFirst: boolean
  /** Entries to read at most; without it, as many as one answer holds (1 MB). */
  readonly limit?: number
  readonly startKey?: Attributes
}

/** One Query: entries of an index, and where to go on when there are more. */
export async function queryKeys(
  client: DynamoDBClient,
  table: string,
  { index, hash, range, value, below, only, newestFirst, limit, startKey }: KeyQuery,
): Promise<{ readonly entries: readonly Attributes[]; readonly more: Attributes | undefined }> {
  const answer = await client.send(
    new QueryCommand({
      TableName: table,
      IndexName: index,
      KeyConditionExpression:
        below === undefined ? `${hash} = :hash` : `${hash} = :hash AND ${range} < :below`,
      ExpressionAttributeValues: {
        ':hash': { S: value },
        ...(below === undefined ? {} : { ':below': { S: below } }),
        ...(only ? { ':only': { N: String(only.value) } } : {}),
      },
      ...(only ? { FilterExpression: `${only.attribute} = :only` } : {}),
      ScanIndexForward: !newestFirst,
      ...(limit === undefined ? {} : { Limit: limit }),
      ...(startKey ? { ExclusiveStartKey: startKey } : {}),
    }),
  )
  return { entries: answer.Items ?? [], more: answer.LastEvaluatedKey }
}

/**
 * Bytes of an item as DynamoDB counts them, for the kinds of attributes used here; numbers are counted a little high.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
export function itemBytes(item: Attributes): number {
  return Object.entries(item).reduce((sum, [name, value]) => sum + name.length + valueBytes(value), 0)
}

function valueBytes(value: AttributeValue): number {
  if (value.S !== undefined) return Buffer.byteLength(value.S)
  if (value.B !== undefined) return value.B.byteLength
  return Math.ceil((value.N?.length ?? 0) / 2) + 1
}
