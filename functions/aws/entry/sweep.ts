/** The sweep: looks at what is open, asks GitHub about what should have moved, stops what outlived its time. */
import { createGitHub } from '../../github/github.ts'
import { scheduleLambda } from '../../lambda.ts'
import { sweep } from '../../sweep.ts'
import { stoppingCompute } from '../compute.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, gitHubSettings, variables } from '../environment.ts'
import { DynamoLedger } from '../ledger.ts'
import { SqsQueue } from '../queue.ts'
import { ssmAppKey } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'

const [stage, region, launchQueue, eventsQueue, ledgerTable] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_QUEUE_URL',
  'TORNADE_EVENTS_QUEUE_URL',
  'TORNADE_LEDGER_TABLE',
)
const [appId, appPrivateKey, cluster, project] = variables(
  'TORNADE_APP_ID',
  'TORNADE_APP_KEY',
  'TORNADE_CLUSTER',
  'TORNADE_BUILD_PROJECT',
)

const config = compiledConfig()
const clock = Date
const { log, flushing } = telemetry('sweep', stage)
const ports = {
  clock,
  log,
  compute: stoppingCompute({ cluster, project }),
  queue: new SqsQueue({ urls: { launch: launchQueue, events: eventsQueue }, region }),
  github: createGitHub(gitHubSettings(config), { appKey: ssmAppKey({ appId, appPrivateKey }), clock, log }),
  ledger: new DynamoLedger({ client: dynamoClient(), table: ledgerTable, clock, log }),
}

export const handler = flushing(scheduleLambda(sweep(ports, config), ports))
