/**
 * Tickets in their own DynamoDB table: k the ticket key, j the JIT config, t when it may be forgotten.
 *
 * Functions only store and remove them. The runner takes its own, once, with
 *
 *     UpdateItem  Key {k: its aws:userid}  REMOVE j  ConditionExpression attribute_exists(j)  ReturnValues ALL_OLD
 *
 * which its role allows where dynamodb:LeadingKeys is its ${aws:userid}, and allows no other call: nobody can look at a
 * ticket without taking it, and of two who try one gets it. The item stays behind without j, and says that it was taken.
 */
import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb'
import type { Clock, Tickets } from '../ports.ts'

export interface DynamoTicketsSettings {
  readonly client: DynamoDBClient
  readonly table: string
  readonly clock: Clock
}

export class DynamoTickets implements Tickets {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #clock: Clock

  constructor({ client, table, clock }: DynamoTicketsSettings) {
    this.#client = client
    this.#table = table
    this.#clock = clock
  }

  /**
   * DynamoDB takes its time to delete what has expired, so it is written over here. A write that the client sent twice
   * because its first answer was lost finds its own ticket there, and answers 'exists'.
   */
  async put(ticketKey: string, encodedJitConfig: string, expiresAt: number): Promise<'stored' | 'exists'> {
    try {
      await this.#client.send(
        new PutItemCommand({
          TableName: this.#table,
          Item: {
            k: { S: ticketKey },
            j: { S: encodedJitConfig },
            t: { N: String(Math.ceil(expiresAt / 1000)) },
          },
          ConditionExpression: 'attribute_not_exists(k) OR t <= :now',
          ExpressionAttributeValues: { ':now': { N: String(this.#now()) } },
        }),
      )
      return 'stored'
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return 'exists'
      throw error
    }
  }

  async has(ticketKey: string): Promise<boolean> {
    const { Item } = await this.#client.send(
      new GetItemCommand({
        TableName: this.#table,
        Key: { k: { S: ticketKey } },
        ProjectionExpression: 'k, t',
        ConsistentRead: true,
      }),
    )
    return Item !== undefined && Number(Item.t?.N) > this.#now()
  }

  async remove(ticketKey: string): Promise<void> {
    await this.#client.send(new DeleteItemCommand({ TableName: this.#table, Key: { k: { S: ticketKey } } }))
  }

  #now(): number {
    return Math.floor(this.#clock.now() / 1000)
  }
}
