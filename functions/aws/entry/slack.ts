/** Commands from Slack: reads the ledger and counts dead letters, writes the audit, sends to one queue. */
import { httpLambda } from '../../lambda.ts'
import { slack } from '../../slack.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, variables } from '../environment.ts'
import { DynamoLedger } from '../ledger.ts'
import { countDeadLetters, SqsQueue } from '../queue.ts'
import { ssmChatSecrets } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'

const [stage, region, events, launchDead, eventsDead, ledgerTable] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_EVENTS_QUEUE_URL',
  'TORNADE_LAUNCH_DEAD_LETTERS_URL',
  'TORNADE_EVENTS_DEAD_LETTERS_URL',
  'TORNADE_LEDGER_TABLE',
)
const [signing, signingPrevious, runners, builds] = variables(
  'TORNADE_SLACK_SIGNING_SECRET',
  'TORNADE_SLACK_SIGNING_SECRET_PREVIOUS',
  'TORNADE_RUNNER_LOGS',
  'TORNADE_BUILD_LOGS',
)

const config = compiledConfig()
const clock = Date
const { log, flushing } = telemetry('slack', stage)
const ports = {
  clock,
  log,
  ledger: new DynamoLedger({ client: dynamoClient(), table: ledgerTable, clock, log }),
  queue: new SqsQueue({ urls: { events }, region }),
  secrets: ssmChatSecrets({ signing, signingPrevious }),
  stats: { deadLetters: countDeadLetters({ launch: launchDead, events: eventsDead }, region) },
}

export const handler = flushing(httpLambda(slack(ports, config, { region, runners, builds }), ports))
