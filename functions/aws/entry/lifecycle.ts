/** The lifecycle function: follows jobs and runners to their end, stops runners, and starts none. */
import { createGitHub } from '../../github/github.ts'
import { queueLambda } from '../../lambda.ts'
import { lifecycle } from '../../lifecycle.ts'
import { slackReplies } from '../../slack/replies.ts'
import { stoppingCompute } from '../compute.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, gitHubSettings, variables } from '../environment.ts'
import { DynamoLedger } from '../ledger.ts'
import { SqsQueue } from '../queue.ts'
import { CloudWatchRunnerLog } from '../runner-log.ts'
import { ssmAppKey, ssmOptional } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'
import { DynamoTickets } from '../tickets.ts'

const [stage, region, launchQueue, eventsQueue, ledgerTable, ticketsTable] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_QUEUE_URL',
  'TORNADE_EVENTS_QUEUE_URL',
  'TORNADE_LEDGER_TABLE',
  'TORNADE_TICKETS_TABLE',
)
const [appId, appPrivateKey, slackToken, cluster, project, tasks, builds] = variables(
  'TORNADE_APP_ID',
  'TORNADE_APP_KEY',
  'TORNADE_SLACK_TOKEN',
  'TORNADE_CLUSTER',
  'TORNADE_BUILD_PROJECT',
  'TORNADE_RUNNER_LOGS',
  'TORNADE_BUILD_LOGS',
)

const config = compiledConfig()
const clock = Date
const { log, metrics, flushing } = telemetry('lifecycle', stage)
const client = dynamoClient()
const ports = {
  clock,
  log,
  metrics,
  compute: stoppingCompute({ cluster, project }),
  runnerLog: new CloudWatchRunnerLog({ region, tasks, builds }),
  queue: new SqsQueue({ urls: { launch: launchQueue, events: eventsQueue }, region }),
  github: createGitHub(gitHubSettings(config), { appKey: ssmAppKey({ appId, appPrivateKey }), clock, log }),
  tickets: new DynamoTickets({ client, table: ticketsTable, clock }),
  replies: slackReplies(ssmOptional(slackToken)),
  ledger: new DynamoLedger({ client, table: ledgerTable, clock, log }),
}

export const handler = flushing(queueLambda(lifecycle(ports, config), ports))
