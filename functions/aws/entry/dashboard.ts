/** The dashboard: reads the ledger and counts dead letters, for whoever is let in. */
import { handle } from 'hono/aws-lambda'
import { access } from '../../dashboard/access/access.ts'
import { dashboard, dashboardOptions } from '../../dashboard.ts'
import { createSignIn } from '../../github/sign-in.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, gitHubSettings, variables } from '../environment.ts'
import { DynamoLedger } from '../ledger.ts'
import { countDeadLetters } from '../queue.ts'
import { ssmDashboardSecrets, ssmRunnerVersion } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'

const [stage, region, launch, events, ledgerTable] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_DEAD_LETTERS_URL',
  'TORNADE_EVENTS_DEAD_LETTERS_URL',
  'TORNADE_LEDGER_TABLE',
)
const [runnerLogs, buildLogs, runnerX64, runnerArm64] = variables(
  'TORNADE_RUNNER_LOGS',
  'TORNADE_BUILD_LOGS',
  'TORNADE_RUNNER_X64',
  'TORNADE_RUNNER_ARM64',
)
const [clientId, clientSecret, sessionKey, sessionKeyPrevious, tokens] = variables(
  'TORNADE_CLIENT_ID',
  'TORNADE_CLIENT_SECRET',
  'TORNADE_SESSION_KEY',
  'TORNADE_SESSION_KEY_PREVIOUS',
  'TORNADE_TOKENS',
)

/** Live reads what is open each time. */
const LIVE_SECONDS = 10

const config = compiledConfig()
const clock = Date
const { log, flushing } = telemetry('dashboard', stage)
const stats = {
  deadLetters: countDeadLetters({ launch, events }, region),
  runnerVersion: ssmRunnerVersion([runnerX64, runnerArm64]),
}
const pages = dashboard(
  { clock, log, stats, ledger: new DynamoLedger({ client: dynamoClient(), table: ledgerTable, clock, log }) },
  dashboardOptions(config, {
    notice: null,
    refreshSeconds: LIVE_SECONDS,
    logs: { region, runners: runnerLogs, builds: buildLogs },
  }),
)
const secrets = ssmDashboardSecrets({ clientId, clientSecret, sessionKey, sessionKeyPrevious, tokens })
const signIn = createSignIn(gitHubSettings(config), { clock, log })

export const handler = flushing(handle(access({ clock, log, secrets, signIn }, config.dashboard, pages)))
