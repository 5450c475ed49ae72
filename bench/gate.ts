/**
 * How large the gate gets, what its writes cost, and where it ends.
 *
 * Gates as a day makes them: runners with ids of GitHub's length admitted over hours by messages with random ids, and as many
 * deferred jobs as the lines hold, in a repository for every 25 runners, each of which has a limit of starts per hour. Sizes are those of the item that the ledger writes.
 */
import { randomBytes } from 'node:crypto'
import { MOST_RUNNERS } from '../cli/config-file.ts'
import { itemBytes } from '../functions/aws/dynamodb.ts'
import { readGate } from '../functions/aws/gate-item.ts'
import { gateItem, unpack } from '../functions/aws/ledger.ts'
import {
  admit,
  EMPTY_GATE,
  HEADS_PER_REPOSITORY,
  JIT_CONFIGS_PER_MINUTE,
} from '../functions/core/admission.ts'
import { runnerName } from '../functions/core/plan.ts'
import type { Gate, Holder, WaitingLine } from '../functions/core/types.ts'

const HOLDERS = [100, 250, 500, 1000, 2000, 3000, 5000]
const RUNNERS_PER_REPOSITORY = 25
const START = Date.UTC(2026, 10, 2, 9)
/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html */
const MAX_ITEM_BYTES = 400 * 1024
const UNIT_BYTES = 1024
/** Of one item: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html */
const UNITS_PER_SECOND = 1000
/** us-east-1, on demand: https://aws.amazon.com/dynamodb/pricing/on-demand/ */
const WRITE_UNIT_USD = 0.625 / 1e6
const READ_UNIT_USD = 0.125 / 1e6
const READ_UNIT_BYTES = 4096
/** Jobs in a batch of the launch queue, and so in one write; a place is given back in another. */
const BATCH = 10
/** GitHub's pace, should each start and each end of a runner be a write of its own. */
const BUSIEST_WRITES_PER_SECOND = (2 * JIT_CONFIGS_PER_MINUTE) / 60
/** Half of what the item takes is left for conflicts and for what is handled twice. */
const USABLE = 0.5
/** Times that a decision is measured. */
const RUNS = 15

interface Measured {
  readonly holders: number
  readonly bytes: number
  readonly writeUnits: number
}

export async function gate(): Promise<boolean> {
  process.stdout.write('\nThe gate: one item, written for each batch of starts and of stops\n\n')
  line(['holders', 'waiting', 'bytes', 'units a write', '$ per 1,000', 'in tens', 'writes/s', 'ms'])
  for (const holders of HOLDERS) {
    const { bytes, writeUnits } = measure(holders)
    line([
      String(holders),
      String(waitingFor(holders)),
      String(bytes),
      String(writeUnits),
      dollars(1000 * admissionUsd(bytes, 1)),
      dollars(1000 * admissionUsd(bytes, BATCH)),
      String(Math.floor(UNITS_PER_SECOND / writeUnits)),
      decision(holders).toFixed(1),
    ])
  }
  const fits = largest(({ bytes }) => bytes <= MAX_ITEM_BYTES)
  const paced = largest(
    ({ writeUnits }) => (UNITS_PER_SECOND * USABLE) / writeUnits >= BUSIEST_WRITES_PER_SECOND,
  )
  const good = MOST_RUNNERS <= paced && MOST_RUNNERS <= fits
  process.stdout.write(
    `\n${fits} holders meet DynamoDB's ${MAX_ITEM_BYTES} bytes.` +
      `\n${paced} holders are the most with which it takes GitHub's pace (${BUSIEST_WRITES_PER_SECOND.toFixed(1)} writes a second) twice over.` +
      `\nlimits.runners is ${MOST_RUNNERS} at most: ${good ? 'ok' : 'BROKEN'}\n`,
  )
  return good
}

function measure(holders: number): Measured {
  const bytes = itemBytes(gateItem(gateWith(holders, waitingFor(holders))))
  return { holders, bytes, writeUnits: Math.ceil(bytes / UNIT_BYTES) }
}

/** Milliseconds of CPU to read the item, decide on a batch and write it down again; the median. */
function decision(holders: number): number {
  const stored = gateItem(gateWith(holders, waitingFor(holders)))
  const limits = { runners: holders + 5, perRepository: holders }
  const requests = Array.from({ length: BATCH }, (_, index) => ({
    ...oneOf(1_000_000 + index),
    repositoryId: 1,
    repository: 'organisation/other',
    role: null,
    priority: 0,
    by: 'message',
    reserveMicroUsd: 631_085,
  }))
  const times = Array.from({ length: RUNS }, () => {
    const before = performance.now()
    const read = readGate(JSON.parse(unpack(stored)), 1)!
    const terms = { take: BATCH, by: 'message', redelivered: new Set<string>() }
    gateItem(admit(read, requests, limits, START, terms).gate)
    return performance.now() - before
  })
  return times.sort((a, b) => a - b)[Math.floor(RUNS / 2)]!
}

/** The most holders for which it is still so. */
function largest(isSo: (measured: Measured) => boolean): number {
  let [low, high] = [1, 65_536]
  while (high - low > 50) {
    const middle = Math.floor((low + high) / 2)
    if (isSo(measure(middle))) low = middle
    else high = middle
  }
  return low
}

/** Of one job: admitted in a write and given back in another, each after a read. */
function admissionUsd(bytes: number, batch: number): number {
  const write = Math.ceil(bytes / UNIT_BYTES) * WRITE_UNIT_USD
  const read = Math.ceil(bytes / READ_UNIT_BYTES) * READ_UNIT_USD
  return (2 * (write + read)) / batch
}

function waitingFor(holders: number): number {
  return Math.min(holders, (holders / RUNNERS_PER_REPOSITORY) * HEADS_PER_REPOSITORY)
}

function gateWith(holders: number, waiting: number): Gate {
  const repositories = Math.max(1, Math.ceil(holders / RUNNERS_PER_REPOSITORY))
  const held: Record<string, Holder> = {}
  for (let index = 0; index < holders; index++) {
    const { runner, jobKey, since } = oneOf(index)
    held[runner] = {
      repository: idOf(index % repositories),
      role: index % 10 === 0 ? 'deploy' : null,
      since,
      jobKey,
      by: randomBytes(6).toString('hex'),
      reservedMicroUsd: [631_085, 1_262_170, 37_876_000][index % 3]!,
    }
  }
  const lines: Record<string, WaitingLine> = {}
  for (let index = 0; index < waiting; index++) {
    const { runner, jobKey, since } = oneOf(holders + index)
    const repository = index % repositories
    const line = lines[idOf(repository)] ?? {
      name: `organisation/repository-${repository}`,
      heads: [],
      more: true,
    }
    const head = { jobKey, runner, role: null, priority: 0, since, notBefore: null, reserveMicroUsd: 631_085 }
    lines[idOf(repository)] = { ...line, heads: [...line.heads, head] }
  }
  const pace = Array.from({ length: 13 }, (_, index) => ({ at: START + index * 5000, count: 13 }))
  const slots = Array.from({ length: 13 }, (_, index) => ({
    at: START + index * 300_000,
    count: 1 + (index % 9),
  }))
  const starts = Object.fromEntries(
    Array.from({ length: repositories }, (_, index) => [idOf(index), slots.slice(index % 4)]),
  )
  const spent = {
    '2026-11-02': 12_345_678,
    '2026-11-01': 23_456_789,
    '2026-11': 345_678_901,
    '2026-10': 987_654_321,
  }
  return {
    ...EMPTY_GATE,
    version: 123_456,
    holders: held,
    waiting: lines,
    pace,
    starts,
    spent,
    wakeAt: START,
  }
}

function idOf(repository: number): number {
  return 700_000_000 + repository * 7919
}

/** Ids of jobs rise by a few for each job that GitHub has anywhere. */
function oneOf(index: number): { runner: string; jobKey: string; since: number } {
  const jobKey = `${45_000_000_000 + index * 20_011 + ((index * 7919) % 9973)}-1`
  return {
    runner: runnerName('tornade', jobKey, 1),
    jobKey,
    since: START + index * 353 + ((index * 31) % 353),
  }
}

function dollars(amount: number): string {
  return amount.toFixed(4)
}

const WIDTHS = [8, 8, 9, 14, 12, 9, 9, 7] as const
function line(cells: readonly string[]): void {
  process.stdout.write(`${cells.map((cell, index) => cell.padStart(WIDTHS[index]!)).join(' ')}\n`)
}
