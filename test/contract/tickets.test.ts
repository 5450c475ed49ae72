import { ConditionalCheckFailedException, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { DynamoTickets } from '../../functions/aws/tickets.ts'
import { SteppedClock } from '../../local/clock.ts'
import { LocalTickets } from '../../local/tickets.ts'
import { at, startDynalite, type TestDynamo } from '../support/dynalite.ts'
import { T0 } from '../support/facts.ts'
import { type TicketsMaker, ticketsContract } from './tickets.ts'

ticketsContract('in memory', async () => {
  const clock = new SteppedClock(T0)
  const tickets = new LocalTickets(clock)
  return {
    tickets,
    now: () => clock.now(),
    advance: milliseconds => clock.run(clock.now() + milliseconds),
    take: async key => tickets.take(key),
    close: async () => {},
  }
})

ticketsContract('on DynamoDB (dynalite)', async () => on(await startDynalite()))

const { AWS_ENDPOINT_URL: endpoint } = process.env
if (endpoint) ticketsContract(`on DynamoDB at ${endpoint}`, async () => on(at(endpoint)))

async function on(dynamo: TestDynamo): Promise<TicketsMaker> {
  const table = await dynamo.table('TicketsTable')
  let now = Date.now()
  return {
    tickets: new DynamoTickets({ client: dynamo.client, table, clock: { now: () => now } }),
    now: () => now,
    advance: async milliseconds => {
      now += milliseconds
    },
    // The one call that a runner's role allows.
    take: async key => {
      try {
        const { Attributes } = await dynamo.client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: { k: { S: key } },
            UpdateExpression: 'REMOVE j',
            ConditionExpression: 'attribute_exists(j)',
            ReturnValues: 'ALL_OLD',
          }),
        )
        return Attributes?.j?.S ?? null
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return null
        throw error
      }
    },
    close: () => dynamo.close(),
  }
}
