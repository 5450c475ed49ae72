/**
 * What the control plane costs for 1,000 jobs, from counted calls. Runners themselves are not in it.
 *
 * Prices: us-east-1, public price pages, November 2026, without free tiers. What cannot be counted here is assumed below,
 * rather too high than too low.
 */
import type { Deployed } from './cloud.ts'
import type { Step, Usage, Way } from './way.ts'

export const PRICES_AS_OF = '2026-11'

/** USD. */
const PRICES = {
  /** Of arm64: https://aws.amazon.com/lambda/pricing/ */
  lambdaRequest: 0.2 / 1e6,
  lambdaGigabyteSecond: 0.0000133334,
  /** https://aws.amazon.com/sqs/pricing/ (standard queues, 64 KB a request) */
  sqsRequest: 0.4 / 1e6,
  /** https://aws.amazon.com/dynamodb/pricing/on-demand/ */
  writeUnit: 0.625 / 1e6,
  readUnit: 0.125 / 1e6,
  /** https://aws.amazon.com/api-gateway/pricing/ (HTTP APIs, 512 KB a request) */
  httpRequest: 1 / 1e6,
  /** https://aws.amazon.com/cloudwatch/pricing/ (standard log class; an alarm a month) */
  logGigabyte: 0.5,
  alarm: 0.1,
  /** https://aws.amazon.com/kms/pricing/ */
  keyRequest: 0.03 / 10_000,
  /** https://aws.amazon.com/ecr/pricing/ (a month) */
  imageGigabyte: 0.1,
  /** https://aws.amazon.com/codebuild/pricing/ (general1.small, x64 and arm64) */
  buildMinutes: 0.005 + 0.0034,
} as const

/** Memory with which Lambda gives one vCPU; less gives less: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
const MEGABYTES_PER_CPU = 1769
/** Milliseconds until a service answers; GitHub's and RunTask's are the long ones. */
const LATENCY: Readonly<Record<string, number>> = {
  dynamodb: 6,
  sqs: 10,
  ecs: 800,
  codebuild: 500,
  github: 500,
  ssm: 30,
  logs: 40,
  iam: 100,
}
/** Of all invocations, and what Lambda bills for each: the start of Node and the import. */
const COLD_SHARE = 0.03
const INIT_MS = 350
/** Which CloudWatch adds to each line. */
const LOG_LINE_OVERHEAD = 26
/** START, END and REPORT, as Lambda writes them for each invocation of a function that has not been told otherwise. */
const PLATFORM_LOG_LINES = 3
const PLATFORM_LOG_BYTES = 70 + 52 + 168

const HOURS_A_MONTH = 730
/** Lambda keeps five long polls of 20 seconds open for each queue. */
const POLLS_A_MINUTE = 15
/** Images of the runner: three builds each, which share most of their layers. */
const IMAGE_GIGABYTES = 4
/** A week, on each architecture. */
const IMAGE_BUILD_MINUTES = 8

/** Units of DynamoDB for rolling up a job, in a busy month; `npm run bench -- dashboard` holds them. */
export const ROLLED_UP = { writeUnits: 0.2, readUnits: 5.5 }

export interface BillLine {
  readonly name: string
  /** Of 1,000 jobs, or of a month. */
  readonly quantity: number
  readonly unit: string
  readonly dollars: number
}

export interface Bill {
  readonly lines: readonly BillLine[]
  readonly total: number
  /** Assumed, of an invocation of each function. */
  readonly milliseconds: Readonly<Record<string, number>>
}

export function billOf(way: Way, { memoryMb, platformLogs, ticketsHaveKey }: Deployed): Bill {
  const per = 1000 / way.jobs
  const { webhook, launch, lifecycle } = way.steps
  const functions = [webhook, launch, lifecycle]
  const names = ['webhook', 'launch', 'lifecycle'] as const
  const every = Object.values(way.steps)
  const invocations = total(functions.map(one => one.invocations))
  const milliseconds = {
    webhook: duration(webhook, memoryMb.webhook),
    launch: duration(launch, memoryMb.launch),
    lifecycle: duration(lifecycle, memoryMb.lifecycle),
  }
  const gigabyteSeconds = names.map(name =>
    gigabytesTimesSeconds(
      memoryMb[name],
      way.steps[name].invocations * (milliseconds[name] + COLD_SHARE * INIT_MS),
    ),
  )
  const messages = launch.messages + lifecycle.messages
  const sent = total(functions.map(one => sum(one, /^sqs /)))
  // What does not come from a function comes from EventBridge, one message for each event.
  const fromEvents = messages - sent
  const batches = launch.invocations + lifecycle.invocations
  const logBytes = total(names.map(name => logged(way.steps[name], platformLogs[name])))
  const lines: BillLine[] = [
    line('HTTP API', webhook.invocations * per, 'requests', PRICES.httpRequest),
    line('Lambda', invocations * per, 'requests', PRICES.lambdaRequest),
    line('Lambda', total(gigabyteSeconds) * per, 'GB-seconds', PRICES.lambdaGigabyteSecond),
    line('SQS: send', (sent + fromEvents) * per, 'requests', PRICES.sqsRequest),
    // Lambda's pollers, for each batch.
    line('SQS: receive and delete', 2 * batches * per, 'requests', PRICES.sqsRequest),
    line(
      'DynamoDB',
      total(every.map(one => sum(one, /write units$/))) * per,
      'write units',
      PRICES.writeUnit,
    ),
    line('DynamoDB', total(every.map(one => sum(one, /read units$/))) * per, 'read units', PRICES.readUnit),
    line('DynamoDB: roll-ups', 1000 * ROLLED_UP.writeUnits, 'write units', PRICES.writeUnit),
    line('DynamoDB: roll-ups', 1000 * ROLLED_UP.readUnits, 'read units', PRICES.readUnit),
    line('CloudWatch Logs', (logBytes / 1e6) * per, 'MB', PRICES.logGigabyte / 1000),
    // DynamoDB keeps a table's key for five minutes for each of its callers; every runner is one of its own.
    ...(ticketsHaveKey ? [line('KMS: tickets', 1000, 'requests', PRICES.keyRequest)] : []),
  ]
  return { lines, total: total(lines.map(({ dollars }) => dollars)), milliseconds }
}

/** What a stack costs in a month in which nobody needs a runner: the sweep, the polls of the queues, alarms and images. */
export function idleBillOf(sweep: Usage, { memoryMb, platformLogs, alarms, polledQueues }: Deployed): Bill {
  const sweeps = HOURS_A_MONTH * 60
  const per = sweeps / sweep.invocations
  const milliseconds = duration(sweep, memoryMb.sweep)
  const lines = [
    line('alarms', alarms, '', PRICES.alarm),
    line(
      'SQS: empty receives',
      polledQueues * POLLS_A_MINUTE * 60 * HOURS_A_MONTH,
      'requests',
      PRICES.sqsRequest,
    ),
    line('ECR', IMAGE_GIGABYTES, 'GB', PRICES.imageGigabyte),
    line('CodeBuild: weekly images', (IMAGE_BUILD_MINUTES * 52) / 12, 'minutes × 2', PRICES.buildMinutes),
    line('sweep: Lambda', sweeps, 'requests', PRICES.lambdaRequest),
    line(
      'sweep: Lambda',
      gigabytesTimesSeconds(memoryMb.sweep, sweeps * milliseconds),
      'GB-seconds',
      PRICES.lambdaGigabyteSecond,
    ),
    line('sweep: DynamoDB', sum(sweep, /read units$/) * per, 'read units', PRICES.readUnit),
    line('sweep: DynamoDB', sum(sweep, /write units$/) * per, 'write units', PRICES.writeUnit),
    line(
      'sweep: CloudWatch Logs',
      (logged(sweep, platformLogs.sweep) / 1e6) * per,
      'MB',
      PRICES.logGigabyte / 1000,
    ),
  ].filter(({ quantity }) => quantity > 0)
  return { lines, total: total(lines.map(({ dollars }) => dollars)), milliseconds: { sweep: milliseconds } }
}

/** With what CloudWatch and Lambda add. */
function logged({ logBytes, logLines, invocations }: Usage, platformLogs: 'all' | 'failures'): number {
  const platform = platformLogs === 'all' ? PLATFORM_LOG_BYTES + PLATFORM_LOG_LINES * LOG_LINE_OVERHEAD : 0
  return logBytes + logLines * LOG_LINE_OVERHEAD + invocations * platform
}

/** Its CPU at Lambda's share, and the calls for one of its messages, one after the other; messages of a batch wait together. */
function duration(usage: Usage, memoryMb: number): number {
  if (usage.invocations === 0) return 0
  const waits = total(
    [...usage.calls].map(([name, count]) =>
      name.endsWith(' units') ? 0 : count * LATENCY[name.split(' ')[0]!]!,
    ),
  )
  const parallel = Math.max(1, usage.messages / usage.invocations)
  const share = Math.min(1, memoryMb / MEGABYTES_PER_CPU)
  return (usage.cpuMilliseconds / share + waits / parallel) / usage.invocations
}

function gigabytesTimesSeconds(memoryMb: number, milliseconds: number): number {
  return (memoryMb / 1024) * (milliseconds / 1000)
}

function line(name: string, quantity: number, unit: string, price: number): BillLine {
  return { name, quantity, unit, dollars: quantity * price }
}

export function sum({ calls }: Usage, pattern: RegExp): number {
  return total([...calls].map(([name, count]) => (pattern.test(name) ? count : 0)))
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}

/** The functions of a way, in order. */
export const STEPS: readonly Step[] = ['webhook', 'launch', 'runner', 'lifecycle']
