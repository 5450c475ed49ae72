import { GetItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DynamoTickets } from '../../functions/aws/tickets.ts'
import { type Dynalite, startDynalite } from '../support/dynalite.ts'
import { T0 } from '../support/facts.ts'

describe('tickets on DynamoDB', () => {
  let dynamo: Dynalite
  let table: string
  let tickets: DynamoTickets

  beforeAll(async () => {
    dynamo = await startDynalite()
    table = await dynamo.table('TicketsTable')
    tickets = new DynamoTickets({ client: dynamo.client, table, clock: { now: () => T0 } })
  })
  afterAll(() => dynamo.close())
  beforeEach(() => dynamo.forget())

  it('take one call each', async () => {
    await tickets.put('a:1', 'config', T0 + 900_000)
    await tickets.put('a:1', 'config', T0 + 900_000)
    await tickets.has('a:1')
    await tickets.remove('a:1')
    expect(dynamo.calls.map(({ action }) => action)).toEqual(['PutItem', 'PutItem', 'GetItem', 'DeleteItem'])
  })

  it('are never read back', async () => {
    await tickets.put('a:2', 'the secret config', T0 + 900_000)
    await tickets.has('a:2')
    const [put, has] = dynamo.calls
    expect(has?.body).toMatchObject({ ConsistentRead: true, ProjectionExpression: 'k, t' })
    expect(put?.body).not.toHaveProperty('ReturnValues')
    expect(put?.body).not.toHaveProperty('ReturnValuesOnConditionCheckFailure')
  })

  it('are deleted by DynamoDB some time after they expire', async () => {
    await tickets.put('a:3', 'config', T0 + 900_001)
    const { Item } = await dynamo.client.send(
      new GetItemCommand({ TableName: table, Key: { k: { S: 'a:3' } } }),
    )
    expect(Item).toEqual({ k: { S: 'a:3' }, j: { S: 'config' }, t: { N: String(T0 / 1000 + 901) } })
  })
})
