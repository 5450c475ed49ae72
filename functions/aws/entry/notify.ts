/** Notices: reads the ledger and counts dead letters, writes to one channel of Slack. */
import { scheduleLambda } from '../../lambda.ts'
import { notify } from '../../notify.ts'
import { slackWebhook } from '../../slack/webhook.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, variables } from '../environment.ts'
import { DynamoLedger } from '../ledger.ts'
import { countDeadLetters } from '../queue.ts'
import { ssmOptional } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'

const [stage, region, launch, events, ledgerTable, webhook] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_DEAD_LETTERS_URL',
  'TORNADE_EVENTS_DEAD_LETTERS_URL',
  'TORNADE_LEDGER_TABLE',
  'TORNADE_SLACK_WEBHOOK',
)

const config = compiledConfig()
const clock = Date
const { log, metrics, flushing } = telemetry('notify', stage)
const ports = {
  clock,
  log,
  metrics,
  ledger: new DynamoLedger({ client: dynamoClient(), table: ledgerTable, clock, log }),
  notices: slackWebhook(ssmOptional(webhook)),
  stats: { deadLetters: countDeadLetters({ launch, events }, region) },
}

export const handler = flushing(scheduleLambda(notify(ports, config, `tornade ${stage}`), ports))
