/**
 * The end of a runner's log in CloudWatch Logs. Which stream is its own says its task or build, and nobody else.
 *
 * aws4fetch, which the queue needs anyway, instead of the SDK's client.
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
 */
import { AwsClient } from 'aws4fetch'
import type { Usage } from '../core/types.ts'
import { readUsage } from '../core/usage.ts'
import type { RunnerLog } from '../ports.ts'
import { environmentCredentials } from './secrets.ts'

export interface RunnerLogSettings {
  readonly region: string
  /** Names of log groups. */
  readonly tasks: string
  readonly builds: string
  readonly endpoint?: string
  readonly timeoutMs?: number
}

/**
 * Streams of tasks are called by `awslogs-stream-prefix` of infra/runner-container.yml, the container and the task:
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
 */
const TASK_STREAM = 'runner/runner/'
/** CodeBuild says some ten lines after the last of the runner. A page is 1 MB at most. */
const EVENTS = 50
const TIMEOUT_MS = 1_500

export class CloudWatchRunnerLog implements RunnerLog {
  readonly #settings: RunnerLogSettings
  readonly #endpoint: string

  constructor(settings: RunnerLogSettings) {
    const { region } = settings
    this.#settings = settings
    this.#endpoint =
      settings.endpoint ??
      process.env.AWS_ENDPOINT_URL_CLOUDWATCH_LOGS ??
      process.env.AWS_ENDPOINT_URL ??
      `https://logs.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
  }

  /** @throws Error where CloudWatch Logs does not answer, or not this; what it was asked is not in its message */
  async usage(providerId: string): Promise<Usage | null> {
    const stream = this.#stream(providerId)
    if (!stream) return null
    const { region, timeoutMs = TIMEOUT_MS } = this.#settings
    const client = new AwsClient({ ...environmentCredentials(), region, service: 'logs', retries: 0 })
    const response = await client.fetch(this.#endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'Logs_20140328.GetLogEvents',
      },
      // The newest events, oldest first.
      body: JSON.stringify({ ...stream, limit: EVENTS, startFromHead: false }),
      signal: AbortSignal.timeout(timeoutMs),
    })
    const answer = (await response.json()) as LogAnswer
    if (response.ok) return readUsage(messages(answer.events))
    const type = String(answer.__type ?? `status ${response.status}`)
      .split('#')
      .at(-1)!
    // A runner that said nothing has no stream.
    if (type === 'ResourceNotFoundException') return null
    throw new Error(`GetLogEvents failed: ${type}`)
  }

  #stream(providerId: string): { readonly logGroupName: string; readonly logStreamName: string } | null {
    const { tasks, builds } = this.#settings
    const [, service, id] = /^arn:[\w-]+:(ecs|codebuild):.*[/:]([\w-]+)$/.exec(providerId) ?? []
    if (!id) return null
    return service === 'ecs'
      ? { logGroupName: tasks, logStreamName: `${TASK_STREAM}${id}` }
      : { logGroupName: builds, logStreamName: id }
  }
}

interface LogAnswer {
  readonly events?: unknown
  readonly __type?: string
}

function messages(events: unknown): string[] {
  if (!Array.isArray(events)) return []
  return events.flatMap(event => (typeof event?.message === 'string' ? [event.message] : []))
}
