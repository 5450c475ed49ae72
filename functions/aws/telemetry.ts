/** Logs and metrics of a deployed function: JSON lines, and CloudWatch's embedded metric format among them. */
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics as EmbeddedMetrics, MetricUnit } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import type { Fields, Log, Metrics } from '../ports.ts'

/** Namespace of every metric; alarms in infra/ name it. */
export const NAMESPACE = 'tornade'

export interface Telemetry {
  readonly log: Log
  readonly metrics: Metrics
  /** Writes out what was counted when the invocation ends, however it ends: one line for all of it. */
  flushing<Event, Result>(
    handler: (event: Event, context: Context) => Promise<Result>,
  ): (event: Event, context: Context) => Promise<Result>
}

/** @param service name of the function */
export function telemetry(service: string, stage: string): Telemetry {
  const logger = new Logger({ serviceName: service })
  const embedded = new EmbeddedMetrics({
    namespace: NAMESPACE,
    // Powertools makes the service a dimension. With one name for all functions a metric is that of its stage, and costs
    // once.
    serviceName: NAMESPACE,
    defaultDimensions: { stage },
  })
  return {
    log: {
      debug: (message, fields = {}) => logger.debug(message, redacted(fields)),
      info: (message, fields = {}) => logger.info(message, redacted(fields)),
      warn: (message, fields = {}) => logger.warn(message, redacted(fields)),
      error: (message, fields = {}) => logger.error(message, redacted(fields)),
    },
    metrics: {
      count: (name, value = 1) => embedded.addMetric(name, MetricUnit.Count, value),
      gauge: (name, value) => embedded.addMetric(name, MetricUnit.NoUnit, value),
    },
    flushing: handler => async (event, context) => {
      try {
        return await handler(event, context)
      } finally {
        if (embedded.hasStoredMetrics()) embedded.publishStoredMetrics()
      }
    },
  }
}

/** Session tokens, JIT configs, tokens and JWTs are longer than any name, ARN or digest. */
const CREDENTIALS = /[\w+/=.-]{100,}/g

/**
 * Errors of AWS can quote what they are about: that of a wrong signature has the headers of the request, session token
 * included. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
 */
function redacted(fields: Fields): Record<string, unknown> {
  const text = JSON.stringify(fields, (_, value: unknown) => {
    if (typeof value === 'string') return value.replace(CREDENTIALS, '[removed]')
    return typeof value === 'bigint' ? String(value) : value
  })
  return JSON.parse(text)
}
