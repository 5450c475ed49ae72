/** The webhook function: one secret to read, two queues to send to. */
import { httpLambda } from '../../lambda.ts'
import { webhook } from '../../webhook.ts'
import { compiledConfig, variables } from '../environment.ts'
import { SqsQueue } from '../queue.ts'
import { SsmSecrets } from '../secrets.ts'
import { telemetry } from '../telemetry.ts'

const [stage, region, launch, events, secret, previous] = variables(
  'TORNADE_STAGE',
  'AWS_REGION',
  'TORNADE_LAUNCH_QUEUE_URL',
  'TORNADE_EVENTS_QUEUE_URL',
  'TORNADE_WEBHOOK_SECRET',
  'TORNADE_WEBHOOK_SECRET_PREVIOUS',
)
const { log, metrics, flushing } = telemetry('webhook', stage)
const secrets = new SsmSecrets({ webhook: secret, webhookPrevious: previous })
const queue = new SqsQueue({ urls: { launch, events }, region })

export const handler = flushing(
  httpLambda(webhook({ clock: Date, log, metrics, queue, secrets }, compiledConfig()), { log }),
)
