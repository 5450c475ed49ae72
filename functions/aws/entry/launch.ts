/** The launch function: starts tasks and builds, arms them with JIT configs, and keeps the ledger. */
import { guardPolicy } from '../../core/guard.ts'
import { createGitHub } from '../../github/github.ts'
import { queueLambda } from '../../lambda.ts'
import { launch } from '../../launch.ts'
import { dynamoClient } from '../dynamodb.ts'
import { compiledConfig, gitHubSettings, variables } from '../environment.ts'
import { iamRoleId, LaunchCompute, ownImages } from '../launch-compute.ts'
import { DynamoLedger } from '../ledger.ts'
import { imageKey } from '../provider.ts'
import { SqsQueue } from '../queue.ts'
import { ssmAppKey, ssmParameters } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'
import { DynamoTickets } from '../tickets.ts'

const [stage, region, launchQueue, eventsQueue, ledgerTable, ticketsTable, appId, appPrivateKey] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_QUEUE_URL',
  'TORNADE_EVENTS_QUEUE_URL',
  'TORNADE_LEDGER_TABLE',
  'TORNADE_TICKETS_TABLE',
  'TORNADE_APP_ID',
  'TORNADE_APP_KEY',
)
const [cluster, taskX64, taskArm64, taskOfBuild, taskOfImage, subnets, securityGroup] = variables(
  'TORNADE_CLUSTER',
  'TORNADE_TASK_X64',
  'TORNADE_TASK_ARM64',
  'TORNADE_TASK_BUILD',
  'TORNADE_TASK_IMAGE',
  'TORNADE_SUBNETS',
  'TORNADE_SECURITY_GROUP',
)
const [project, imageX64, imageArm64, runnerRole, runnerRoleId, jobRoles] = variables(
  'TORNADE_BUILD_PROJECT',
  'TORNADE_BUILD_IMAGE_X64',
  'TORNADE_BUILD_IMAGE_ARM64',
  'TORNADE_RUNNER_ROLE',
  'TORNADE_RUNNER_ROLE_ID',
  'TORNADE_JOB_ROLES',
)

const config = compiledConfig()
const clock = Date
const { log, metrics, flushing } = telemetry('launch', stage)
const client = dynamoClient()
const own = ownImages(config.images, taskOfImage)
const compute = new LaunchCompute(
  {
    cluster,
    taskDefinitions: {
      x64: taskX64,
      arm64: taskArm64,
      ...Object.fromEntries(
        (['x64', 'arm64'] as const).map(arch => [imageKey(arch, null, true), taskOfBuild + arch]),
      ),
      ...own.families,
    },
    container: 'runner',
    subnets: subnets.split(','),
    securityGroups: [securityGroup],
    roles: { plain: { arn: runnerRole, id: runnerRoleId }, jobs: { arnPrefix: jobRoles } },
    codebuild: {
      project,
      command: '/opt/tornade/entrypoint',
      images: own.images,
      imageParameters: { x64: imageX64, arm64: imageArm64 },
    },
    variables: request => ({
      TORNADE_POLICY: JSON.stringify(guardPolicy(request, config)),
      TORNADE_IDLE_SECONDS: String((request.idleMinutes ?? config.runner.idleMinutes) * 60),
    }),
    // The tags of the stack do not reach what is started by hand.
    tags: { project: 'tornade', stage },
  },
  { parameters: ssmParameters(), roleId: iamRoleId() },
  clock,
)
const ports = {
  clock,
  log,
  metrics,
  compute,
  queue: new SqsQueue({ urls: { launch: launchQueue, events: eventsQueue }, region }),
  github: createGitHub(gitHubSettings(config), { appKey: ssmAppKey({ appId, appPrivateKey }), clock, log }),
  tickets: new DynamoTickets({ client, table: ticketsTable, clock }),
  ledger: new DynamoLedger({ client, table: ledgerTable, clock, log }),
}

export const handler = flushing(queueLambda(launch(ports, config), ports))
