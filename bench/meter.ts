/**
 * What DynamoDB would bill for calls, in read and write units, from the sizes of the items:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
 */
import type { ServerResponse } from 'node:http'
import { type Attributes, itemBytes } from '../functions/aws/dynamodb.ts'
import { type Intercept, tableProperties } from '../test/support/dynalite.ts'

const WRITE_UNIT = 1024
const READ_UNIT = 4096

export interface Units {
  readonly reads: number
  readonly writes: number
}

interface Index {
  readonly name: string
  /** Names of its keys: the partition key first. */
  readonly keys: readonly string[]
  /** Names of what its entries hold besides. */
  readonly others: readonly string[]
}

/** Follows every item, because a write is billed by the larger of what was there and what is there now. */
export class Meter {
  readonly #items = new Map<string, Attributes>()
  readonly #indexes: readonly Index[]

  constructor() {
    this.#indexes = (tableProperties('LedgerTable').GlobalSecondaryIndexes ?? []).map(
      ({ IndexName, KeySchema, Projection }) => {
        if (Projection?.ProjectionType === 'ALL') throw new Error(`what does a write to ${IndexName} cost?`)
        return {
          name: IndexName!,
          keys: KeySchema!.map(({ AttributeName }) => AttributeName!),
          others: Projection?.NonKeyAttributes ?? [],
        }
      },
    )
  }

  /** @param answer null for a call that failed, its condition most likely */
  // biome-ignore lint/suspicious/noExplicitAny: requests and answers as they come over the wire
  units(action: string, request: any, answer: any): Units {
    const table: string = request.TableName
    switch (action) {
      case 'PutItem': {
        const item = binary(request.Item)
        return { reads: 0, writes: this.#write(keyOf(table, item), item, answer !== null) }
      }
      case 'UpdateItem': {
        // The only update there is takes a ticket: REMOVE j.
        const key = keyOf(table, request.Key)
        const { j: _, ...rest } = this.#items.get(key) ?? {}
        return { reads: 0, writes: this.#write(key, rest, answer !== null) }
      }
      case 'DeleteItem':
        return { reads: 0, writes: this.#write(keyOf(table, request.Key), undefined, answer !== null) }
      case 'GetItem':
        return { reads: this.#read(keyOf(table, request.Key), request.ConsistentRead), writes: 0 }
      case 'BatchGetItem': {
        const asked = Object.entries<{ Keys: Attributes[]; ConsistentRead?: boolean }>(request.RequestItems)
        const reads = asked.flatMap(([name, { Keys, ConsistentRead }]) =>
          Keys.map(key => this.#read(keyOf(name, key), ConsistentRead)),
        )
        return { reads: sum(reads), writes: 0 }
      }
      case 'Query': {
        // What is filtered out is billed like what is answered.
        const entries = request.FilterExpression
          ? this.#entries(request.IndexName, request.ExpressionAttributeValues[':hash'].S)
          : (answer?.Items ?? []).map(binary)
        return { reads: unitsOf(sum(entries.map(itemBytes)), READ_UNIT) / 2, writes: 0 }
      }
      default:
        throw new Error(`what does ${action} cost?`)
    }
  }

  /** Tickets, and whatever else has a key like this. */
  keys(attribute: string): string[] {
    return [...this.#items.values()].flatMap(item => item[attribute]?.S ?? [])
  }

  bytes(attribute: string, key: string): number {
    const item = [...this.#items.values()].find(one => one[attribute]?.S === key)
    return item ? itemBytes(item) : 0
  }

  #write(key: string, item: Attributes | undefined, done: boolean): number {
    const before = this.#items.get(key)
    const table = unitsOf(Math.max(size(before), done ? size(item) : 0), WRITE_UNIT)
    // A condition that fails is billed like a write of what stands there.
    if (!done) return table
    if (item) this.#items.set(key, item)
    else this.#items.delete(key)
    const indexes = this.#indexes.map(({ keys, others }) => {
      const [old, now] = [entry(before, keys), entry(item, keys)]
      // Entries are far below a unit each. A changed key is a deletion and an insertion.
      if (old !== now) return Number(old !== null) + Number(now !== null)
      return Number(now !== null && text(before!, others) !== text(item!, others))
    })
    return table + sum(indexes)
  }

  /** All entries of an index with this partition key, also where a range or a limit would leave some out. */
  #entries(index: string, hash: string): Attributes[] {
    const { keys, others } = this.#indexes.find(({ name }) => name === index)!
    const held = new Set(['pk', ...keys, ...others])
    return [...this.#items.values()]
      .filter(item => entry(item, keys) !== null && item[keys[0]!]!.S === hash)
      .map(item => Object.fromEntries(Object.entries(item).filter(([name]) => held.has(name))))
  }

  #read(key: string, consistent = false): number {
    return unitsOf(size(this.#items.get(key)), READ_UNIT) / (consistent ? 1 : 2)
  }
}

/**
 * For `Dynalite.intercept`: counts a call when its answer leaves, by `dynamodb PutItem`, `dynamodb read units`
 * and the like.
 * @param answered told of the bytes of each answer
 */
export function metered(
  meter: Meter,
  count: (name: string, by: number) => void,
  answered: (bytes: number) => void = () => {},
): Intercept {
  return (action, request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    const end = response.end.bind(response) as (...given: unknown[]) => ServerResponse
    response.end = ((...given: unknown[]) => {
      const asked = JSON.parse(Buffer.concat(chunks).toString())
      const text = String(given[0] ?? '{}')
      const answer = response.statusCode === 200 ? JSON.parse(text) : null
      if (!action.endsWith('Table')) {
        const { reads, writes } = meter.units(action, asked, answer)
        count(`dynamodb ${action}`, 1)
        count('dynamodb read units', reads)
        count('dynamodb write units', writes)
        answered(text.length)
      }
      return end(...given)
    }) as ServerResponse['end']
    return false
  }
}

function keyOf(table: string, item: Attributes): string {
  return `${table} ${item.pk?.S ?? item.k?.S}`
}

/** Of an index; null where the item has not all of its keys, and so no entry. */
function entry(item: Attributes | undefined, names: readonly string[]): string | null {
  const values = names.map(name => item?.[name]?.S)
  return values.includes(undefined) ? null : values.join(' ')
}

function text(item: Attributes, names: readonly string[]): string {
  return JSON.stringify(names.map(name => item[name]))
}

function size(item: Attributes | undefined): number {
  return item ? itemBytes(item) : 0
}

/** Nothing costs as much as one unit. */
function unitsOf(bytes: number, unit: number): number {
  return Math.max(1, Math.ceil(bytes / unit))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}

/** On the wire bytes are base64. */
function binary(item: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(item).map(([name, value]) => [
      name,
      value.B === undefined ? value : { B: Buffer.from(String(value.B), 'base64') },
    ]),
  )
}
