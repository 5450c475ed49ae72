/**
 * The ledger in one DynamoDB table, by conditional writes of single items.
 *
 *     pk   job#KEY, runner#NAME, rerun#KEY, audit#KEY, refusals#RUN-ATTEMPT, gate (gate-item.ts), sweep, notices or rollup#KEY (rollup-item.ts)
 *     v    version
 *     d    the item as JSON, without what its key and version say and without empty facts; or
 *     z    the same, deflated, where that takes fewer write units (a unit is 1 KB)
 *     t    when it may be forgotten, seconds; only once the job is final, nothing is left of the runner, or the re-run is settled;
 *          of a roll-up and of the audit always
 *     o    job, runner or rerun               } while open
 *     p    job#REPOSITORY                     } of a job
 *     r    REPOSITORY, a number               } of a runner, once it is known
 *     h    job#HOUR, runner#HOUR, rerun#HOUR, audit#HOUR, refusals#HOUR (UTC) of creation
 *     s    time of creation and key, in the order of time
 *     e    runner#HOUR of its stop, or job#HOUR of the end of a job that never ran
 *
 * Indexes: open (o, s; r), repository (p, s), hour (h, s), ended (e, s). They hold nothing that changes while an item is open, so a
 * write costs units there when an item is made and when it ends, not in between. The items of a list are read from the
 * table, and what is no longer open there is left out. An index can lag behind: lists do, single items never.
 *
 * Open runners are few (limits.runners), so those of a repository are filtered out of all; any number of jobs may wait,
 * and looking through them all would cost more than the two write units of a job in an index of their own.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb'
import { EMPTY_GATE } from '../core/admission.ts'
import type { AuditEntry } from '../core/audit.ts'
import { TornadeError } from '../core/errors.ts'
import { fits, isFiltered } from '../core/job-filter.ts'
import { isFinal, jobState, newJob, newRunner, unservedAt } from '../core/lifecycle.ts'
import { EMPTY_NOTICES } from '../core/notice-memory.ts'
import { KEPT_MS, type Rollup, rollupKey } from '../core/rollups.ts'
import { EMPTY_MEMORY } from '../core/sweep-memory.ts'
import type {
  Gate,
  Job,
  JobRequest,
  JobState,
  NoticeMemory,
  Rerun,
  Runner,
  RunRefusals,
  SweepMemory,
} from '../core/types.ts'
import type { Clock, Ledger, Log, Page, Put } from '../ports.ts'
import { type Attributes, batchGet, itemBytes, queryKeys } from './dynamodb.ts'
import { readGate, writeGate } from './gate-item.ts'
import { endOf, pagesOf, readRollup, writeRollup } from './rollup-item.ts'

export interface DynamoLedgerSettings {
  readonly client: DynamoDBClient
  readonly table: string
  readonly clock: Clock
  readonly log: Log
  /** Days that an item is kept after its end; pages go back as far. */
  readonly keepDays?: number
  /** The same of the audit. */
  readonly keepAuditDays?: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
export const KEEP_DAYS = KEPT_MS.hour / DAY_MS

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html */
const MAX_ITEM_BYTES = 400 * 1024
/** A write unit. */
const UNIT_BYTES = 1024
/** Far above what 400 KB of an item can hold, and far below what a function's memory can. */
const MAX_TEXT_BYTES = 32 * 1024 * 1024

export class DynamoLedger implements Ledger {
  readonly jobs: Ledger['jobs']
  readonly runners: Ledger['runners']
  readonly reruns: Ledger['reruns']
  readonly audit: Ledger['audit']
  readonly rollups: Ledger['rollups']
  readonly refusals: Ledger['refusals']
  readonly gate: Ledger['gate']
  readonly sweep: Ledger['sweep']
  readonly notices: Ledger['notices']

  constructor(settings: DynamoLedgerSettings) {
    const table = new Table(settings)
    const jobs = new Items(table, settings, JOBS)
    const runners = new Items(table, settings, RUNNERS)
    const reruns = new Items(table, settings, RERUNS)
    const { keepAuditDays = KEPT_MS.day / DAY_MS } = settings
    const audit = new Items(table, { ...settings, keepDays: keepAuditDays }, AUDIT)
    const rollups = new Rollups(table, settings)
    this.jobs = {
      get: key => jobs.get(key),
      put: job => jobs.put(job),
      open: ({ repositoryId, state, wanted, limit }) =>
        jobs.open(
          repositoryId,
          limit,
          state || wanted
            ? job => (state === undefined || jobState(job) === state) && (wanted?.(job) ?? true)
            : undefined,
        ),
      page: ({ cursor, limit, ...filter }) => {
        const wanted = isFiltered(filter) ? (job: Job) => fits(job, filter) : undefined
        return jobs.page(cursor, limit, wanted, {
          openOnly: filter.state !== undefined && OPEN_STATES.has(filter.state),
          ...(filter.from === undefined ? {} : { from: filter.from }),
          ...(filter.to === undefined ? {} : { to: filter.to }),
        })
      },
      some: keys => jobs.some(keys),
      unserved: hour => jobs.ended(hour),
    }
    this.runners = {
      get: name => runners.get(name),
      put: runner => runners.put(runner),
      open: ({ repositoryId }) => runners.open(repositoryId),
      page: ({ cursor, limit }) => runners.page(cursor, limit),
      stopped: hour => runners.ended(hour),
    }
    this.reruns = {
      get: key => reruns.get(key),
      put: rerun => reruns.put(rerun),
      open: ({ limit }) => reruns.open(undefined, limit),
    }
    this.audit = {
      get: key => audit.get(key),
      put: entry => audit.put(entry),
      page: ({ cursor, limit }) => audit.page(cursor, limit),
    }
    this.rollups = {
      get: keys => rollups.get(keys),
      put: all => rollups.put(all),
    }
    const refusals = new Items(table, settings, REFUSALS)
    this.refusals = { get: key => refusals.get(key), put: run => refusals.put(run) }
    this.gate = {
      get: async () => {
        const stored = await table.get('gate')
        return stored ? gateOf(stored) : EMPTY_GATE
      },
      put: async gate => {
        const answer = await table.put('gate', gate.version, writeGate(gate), {})
        if (answer.ok) return answer
        return { ok: false, current: answer.current && gateOf(answer.current) }
      },
    }
    this.sweep = {
      get: async () => {
        const stored = await table.get('sweep')
        return stored ? readMemory(stored) : EMPTY_MEMORY
      },
      put: async ({ version, ...memory }) => {
        const answer = await table.put('sweep', version, JSON.stringify(memory), {})
        if (answer.ok) return answer
        return { ok: false, current: answer.current && readMemory(answer.current) }
      },
    }
    this.notices = {
      get: async () => {
        const stored = await table.get('notices')
        return stored ? readNotices(stored) : EMPTY_NOTICES
      },
      put: async ({ version, ...memory }) => {
        const answer = await table.put('notices', version, JSON.stringify(memory), {})
        if (answer.ok) return answer
        return { ok: false, current: answer.current && readNotices(answer.current) }
      },
    }
  }
}

/** States of a job that is not final. */
const OPEN_STATES: ReadonlySet<JobState> = new Set(['waiting', 'queued', 'deferred', 'launching', 'running'])

/** What the ledger has to know of the things it keeps. */
interface Kind<T> {
  readonly name: 'job' | 'runner' | 'rerun' | 'audit' | 'refusals'
  readonly key: (item: T) => string
  /** What is stored of it besides key and version; `undefined` when that is no such item. */
  readonly read: (stored: Readonly<Record<string, unknown>>, key: string, version: number) => T | undefined
  /** The same item with nothing known of it: facts that equal it are not stored. */
  readonly empty: (item: T) => Partial<T>
  readonly repositoryId: (item: T) => number | null
  /** How the open ones of a repository are found: in an index of their own, or among all that are open. */
  readonly byRepository: 'index' | 'filter'
  /** null when nobody knows yet. */
  readonly createdAt: (item: T) => number | null
  /** null while it is open. */
  readonly endedAt: (item: T) => number | null
  /** Where it stands in the index of what ended in an hour. */
  readonly listedAt: (item: T) => number | null
}

const JOBS: Kind<Job> = {
  name: 'job',
  key: job => job.key,
  read: (stored, key, version) =>
    isRequest(stored.request) ? { ...newJob(stored.request), ...stored, key, version } : undefined,
  empty: job => newJob(job.request),
  repositoryId: job => job.request.repository.id,
  byRepository: 'index',
  createdAt: job => job.request.createdAt,
  endedAt: job => (isFinal(job) ? Math.max(job.refused?.at ?? 0, job.completed?.at ?? 0) : null),
  listedAt: unservedAt,
}

const RUNNERS: Kind<Runner> = {
  name: 'runner',
  key: runner => runner.name,
  read: (stored, key, version) => ({ ...newRunner(key), ...stored, version }),
  empty: runner => newRunner(runner.name),
  repositoryId: runner => runner.launch?.repository.id ?? null,
  byRepository: 'filter',
  createdAt: ({ launch, pullStartedAt, startedAt, stoppedAt }) =>
    launch?.at ?? pullStartedAt ?? startedAt ?? stoppedAt,
  endedAt: ({ stoppedAt, cleanedAt }) => (cleanedAt === null ? null : stoppedAt),
  listedAt: ({ stoppedAt }) => stoppedAt,
}

const RERUNS: Kind<Rerun> = {
  name: 'rerun',
  key: rerun => rerun.key,
  read: (stored, key, version) => {
    const known = typeof stored.jobKey === 'string' && isRecord(stored.repository)
    return known ? ({ ...NO_RERUN, ...stored, key, version } as Rerun) : undefined
  },
  empty: ({ key }) => ({ ...NO_RERUN, key }),
  repositoryId: rerun => rerun.repository.id,
  byRepository: 'filter',
  createdAt: rerun => rerun.lostAt,
  endedAt: rerun => (rerun.outcome === null ? null : rerun.lostAt),
  listedAt: () => null,
}
const NO_RERUN: Pick<Rerun, 'asked' | 'asking' | 'behind' | 'outcome' | 'message' | 'by'> = {
  asked: 0,
  asking: null,
  behind: false,
  outcome: null,
  message: null,
  by: null,
}

/** Nobody looks for them, so they are never open. */
const REFUSALS: Kind<RunRefusals> = {
  name: 'refusals',
  key: run => run.key,
  read: (stored, key, version) => {
    const known = Array.isArray(stored.jobs) && typeof stored.headSha === 'string'
    return known ? ({ ...NO_REFUSALS, ...stored, key, version } as RunRefusals) : undefined
  },
  empty: ({ key }) => ({ ...NO_REFUSALS, key }),
  repositoryId: () => null,
  byRepository: 'filter',
  createdAt: run => run.at,
  endedAt: run => run.at,
  listedAt: () => null,
}
const NO_REFUSALS: Pick<RunRefusals, 'told' | 'checkId' | 'tellingUntil'> = {
  told: 0,
  checkId: null,
  tellingUntil: null,
}

const AUDIT: Kind<AuditEntry> = {
  name: 'audit',
  key: entry => entry.key,
  read: (stored, key, version) =>
    typeof stored.at === 'number' && isRecord(stored.by) && isRecord(stored.action)
      ? ({ message: null, ...stored, key, version } as AuditEntry)
      : undefined,
  empty: ({ key }) => ({ key, message: null }),
  repositoryId: () => null,
  byRepository: 'filter',
  createdAt: entry => entry.at,
  // Never looked for among what is open.
  endedAt: entry => entry.at,
  listedAt: () => null,
}

/** As much as the lists look at; an item from before a field was added has its default. */
function isRequest(value: unknown): value is JobRequest {
  if (!isRecord(value) || !isRecord(value.repository)) return false
  return (
    typeof value.repository.id === 'number' &&
    typeof value.repository.name === 'string' &&
    typeof value.createdAt === 'number' &&
    Array.isArray(value.labels)
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function gateOf(stored: Attributes): Gate {
  const facts = parse(stored)
  const gate = facts && readGate(facts, versionOf(stored))
  if (!gate) throw unreadable('gate')
  return gate
}

/** The gate as the table would hold it. */
export function gateItem(gate: Gate): Attributes {
  return itemOf('gate', gate.version, writeGate(gate), {})
}

/** What cannot be read is only a help that is missing: the sweep starts anew. */
function readMemory(stored: Attributes): SweepMemory {
  const memory = parse(stored)
  const fine =
    memory &&
    isRecord(memory.deliveries) &&
    isRecord(memory.deliveries.asked) &&
    isRecord(memory.runs) &&
    isRecord(memory.suspects) &&
    Array.isArray(memory.repositories)
  return { ...EMPTY_MEMORY, ...(fine ? memory : {}), version: versionOf(stored) }
}

/** Without it something is said twice. */
function readNotices(stored: Attributes): NoticeMemory {
  const memory = parse(stored)
  return {
    ...EMPTY_NOTICES,
    ...(memory && isRecord(memory.alerted) ? memory : {}),
    version: versionOf(stored),
  }
}

/** Jobs, or runners. */
class Items<T extends { readonly version: number }> {
  readonly #table: Table
  readonly #settings: DynamoLedgerSettings
  readonly #keepMs: number
  readonly #kind: Kind<T>

  constructor(table: Table, settings: DynamoLedgerSettings, kind: Kind<T>) {
    this.#table = table
    this.#settings = settings
    this.#keepMs = (settings.keepDays ?? KEEP_DAYS) * DAY_MS
    this.#kind = kind
  }

  async get(key: string): Promise<T | undefined> {
    const stored = await this.#table.get(this.#pk(key))
    return stored && this.#readOrThrow(stored)
  }

  async put(item: T): Promise<Put<T>> {
    const pk = this.#pk(this.#kind.key(item))
    const answer = await this.#table.put(pk, item.version, this.#text(item), this.#keys(item))
    if (answer.ok) return answer
    return { ok: false, current: answer.current && this.#readOrThrow(answer.current) }
  }

  /** Oldest first. */
  async open(
    repositoryId: number | undefined,
    limit: number = Number.POSITIVE_INFINITY,
    wanted?: (item: T) => boolean,
  ): Promise<readonly T[]> {
    const kind = this.#kind
    const open = { index: 'open', hash: 'o', value: kind.name }
    const where =
      repositoryId === undefined
        ? open
        : kind.byRepository === 'filter'
          ? { ...open, only: { attribute: 'r', value: repositoryId } }
          : { index: 'repository', hash: 'p', value: `${kind.name}#${repositoryId}` }
    const size = wanted ? Math.max(limit, FILTERED_KEYS) : limit
    const found: T[] = []
    let startKey: Attributes | undefined
    do {
      const { entries, more } = await this.#table.query({
        ...where,
        range: 's',
        newestFirst: false,
        ...(Number.isFinite(size) ? { limit: size } : {}),
        ...(startKey ? { startKey } : {}),
      })
      for (const item of await this.#read(entries, true)) {
        if (!item || kind.endedAt(item) !== null) continue
        if (repositoryId !== undefined && kind.repositoryId(item) !== repositoryId) continue
        if (!wanted || wanted(item)) found.push(item)
      }
      startKey = more
    } while (startKey && found.length < limit)
    return found.slice(0, limit)
  }

  /**
   * Newest first, by creation. One call looks at so many hours and items at most, so a page may hold fewer than
   * `limit`, even none, and still have a next one. A cursor that no page has answered gets an empty page.
   */
  async page(
    cursor: string | undefined,
    limit: number,
    wanted?: (item: T) => boolean,
    {
      openOnly = false,
      from: first = Number.NEGATIVE_INFINITY,
      to: end = Number.POSITIVE_INFINITY,
    }: Span = {},
  ): Promise<Page<T>> {
    const now = this.#settings.clock.now()
    const newest = hourOf(Math.min(now + CLOCK_SKEW_MS, end - 1))
    const oldest = hourOf(Math.max(now - this.#keepMs, first))
    const from = cursor === undefined ? { hour: newest, below: null } : readCursor(cursor)
    if (!from) return { items: [], next: null }
    const size = Math.min(Math.max(1, limit), KEYS_PER_PAGE)
    const items: T[] = []
    let place: Place | null = from.hour > newest ? { hour: newest, below: null } : from
    let hours = HOURS_PER_PAGE
    let keys = KEYS_PER_PAGE
    for (let width = 1; place && place.hour >= oldest && hours > 0 && keys > 0; width *= 2) {
      const count = wanted ? Math.max(size - items.length, FILTERED_KEYS) : size - items.length
      const span = Math.min(width, HOURS_AT_ONCE, hours, (place.hour - oldest) / HOUR_MS + 1)
      const older: Older = openOnly
        ? await this.#olderOpen(place, count)
        : await this.#older(place, span, count)
      for (const [index, item] of (await this.#read(older.entries, false)).entries()) {
        if (!item || (wanted && !wanted(item))) continue
        items.push(item)
        if (items.length === size) return { items, next: writeCursor(placeOf(older.entries[index]!)) }
      }
      hours -= span
      keys -= older.entries.length
      place = older.rest
    }
    return { items, next: place && place.hour >= oldest ? writeCursor(place) : null }
  }

  /** The next entries of the hours from `place` back, `count` at most. Quiet hours are asked for many at once. */
  async #older(place: Place, span: number, count: number): Promise<Older> {
    const hours = Array.from({ length: span }, (_, index) => place.hour - index * HOUR_MS)
    const answers = await Promise.all(
      hours.map((hour, index) =>
        this.#table.query({
          index: 'hour',
          hash: 'h',
          range: 's',
          value: `${this.#kind.name}#${hourText(hour)}`,
          newestFirst: true,
          limit: count,
          ...(index === 0 && place.below !== null ? { below: place.below } : {}),
        }),
      ),
    )
    const cut = answers.findIndex(answer => answer.more)
    const read = cut < 0 ? answers : answers.slice(0, cut + 1)
    const all = read.flatMap(answer => answer.entries)
    const entries = all.slice(0, count)
    if (cut >= 0 || entries.length < all.length) return { entries, rest: placeOf(entries.at(-1)!) }
    return { entries, rest: { hour: place.hour - span * HOUR_MS, below: null } }
  }

  /** The same of open items, which need no walk through the hours. */
  async #olderOpen({ hour, below }: Place, count: number): Promise<Older> {
    const { entries, more } = await this.#table.query({
      index: 'open',
      hash: 'o',
      range: 's',
      value: this.#kind.name,
      newestFirst: true,
      limit: count,
      below: below ?? hourText(hour + HOUR_MS),
    })
    return { entries, rest: more && entries.length > 0 ? placeOf(entries.at(-1)!) : null }
  }

  /** Those of these keys that there are. */
  async some(keys: readonly string[]): Promise<ReadonlyMap<string, T>> {
    const entries = [...new Set(keys)].map(key => ({ pk: { S: this.#pk(key) } }))
    const items = await this.#read(entries, false)
    return new Map(items.flatMap(item => (item ? [[this.#kind.key(item), item] as const] : [])))
  }

  async ended(hour: string): Promise<readonly T[]> {
    const found: T[] = []
    let startKey: Attributes | undefined
    do {
      const { entries, more } = await this.#table.query({
        index: 'ended',
        hash: 'e',
        range: 's',
        value: `${this.#kind.name}#${hour}`,
        newestFirst: false,
        ...(startKey ? { startKey } : {}),
      })
      for (const item of await this.#read(entries, false))
        if (item && this.#endedHour(item) === hour) found.push(item)
      startKey = more
    } while (startKey)
    return found
  }

  #endedHour(item: T): string | null {
    const at = dateable(this.#kind.listedAt(item))
    return at === null ? null : hourText(at)
  }

  /** The items of an index's entries, in their order. What is gone or cannot be read is `undefined`. */
  async #read(entries: readonly Attributes[], consistent: boolean): Promise<(T | undefined)[]> {
    const stored = await this.#table.getAll(
      entries.map(entry => entry.pk!.S!),
      consistent,
    )
    const unreadable: string[] = []
    const items = new Map(
      stored.map(attributes => {
        const item = this.#parse(attributes)
        if (!item) unreadable.push(attributes.pk!.S!)
        return [attributes.pk!.S!, item]
      }),
    )
    if (unreadable.length > 0) {
      this.#settings.log.error('items of the ledger cannot be read and are left out of its lists', {
        code: 'ledger-item-unreadable',
        count: unreadable.length,
        items: unreadable.slice(0, 10),
      })
    }
    return entries.map(entry => items.get(entry.pk!.S!))
  }

  #readOrThrow(stored: Attributes): T {
    const item = this.#parse(stored)
    if (!item) throw unreadable(stored.pk!.S!)
    return item
  }

  #parse(stored: Attributes): T | undefined {
    const facts = parse(stored)
    return facts && this.#kind.read(facts, stored.pk!.S!.slice(this.#kind.name.length + 1), versionOf(stored))
  }

  /** Without key and version, which are attributes of their own, and without facts that nobody knows yet. */
  #text(item: T): string {
    const empty: Readonly<Record<string, unknown>> = { ...this.#kind.empty(item) }
    const facts = Object.entries(item).filter(
      ([name, value]) => name === 'request' || (name !== 'version' && value !== empty[name]),
    )
    return JSON.stringify(Object.fromEntries(facts))
  }

  #keys(item: T): Attributes {
    const { name, key, createdAt, endedAt } = this.#kind
    const created = new Date(dateable(createdAt(item)) ?? this.#settings.clock.now()).toISOString()
    const ended = endedAt(item)
    const endedHour = this.#endedHour(item)
    return {
      h: { S: `${name}#${created.slice(0, HOUR_CHARACTERS)}` },
      s: { S: `${created}#${key(item)}` },
      ...(ended === null
        ? { o: { S: name }, ...this.#repository(item) }
        : { t: { N: String(Math.ceil((ended + this.#keepMs) / 1000)) } }),
      ...(endedHour === null ? {} : { e: { S: `${name}#${endedHour}` } }),
    }
  }

  #repository(item: T): Attributes {
    const { name, repositoryId, byRepository } = this.#kind
    const id = repositoryId(item)
    if (id === null) return {}
    return byRepository === 'filter' ? { r: { N: String(id) } } : { p: { S: `${name}#${id}` } }
  }

  #pk(key: string): string {
    return `${this.#kind.name}#${key}`
  }
}

/** Pages of two times can be met only while they are being written. */
const ROLLUP_READS = 2

class Rollups {
  readonly #table: Table
  readonly #log: Log

  constructor(table: Table, { log }: DynamoLedgerSettings) {
    this.#table = table
    this.#log = log
  }

  async get(keys: readonly string[]): Promise<ReadonlyMap<string, Rollup>> {
    const found = new Map<string, Rollup>()
    let wanted = keys
    for (let reads = 0; reads < ROLLUP_READS && wanted.length > 0; reads++) {
      for (const [key, rollup] of await this.#read(wanted)) found.set(key, rollup)
      wanted = wanted.filter(key => found.get(key)?.incomplete)
    }
    return found
  }

  /** Further pages first: the first one, which counts them, makes them count. */
  async put(rollups: readonly Rollup[]): Promise<void> {
    for (const rollup of rollups) {
      const key = rollupKey(rollup)
      const t = { N: String(Math.ceil((endOf(key) + KEPT_MS[rollup.grain]) / 1000)) }
      for (const [page, text] of [...writeRollup(rollup).entries()].reverse())
        await this.#table.write(pageKey(key, page), text, { t })
    }
  }

  async #read(keys: readonly string[]): Promise<Map<string, Rollup>> {
    const firsts = await this.#texts(keys.map(key => pageKey(key, 0)))
    const further = keys.flatMap(key => this.#furtherPages(key, firsts))
    const others = further.length === 0 ? firsts : await this.#texts(further)
    const rollups = new Map<string, Rollup>()
    for (const key of keys) {
      const first = firsts.get(pageKey(key, 0))
      const rest = this.#furtherPages(key, firsts).map(pk => others.get(pk))
      const rollup =
        first === undefined ? undefined : this.#orNone(key, () => readRollup(key, [first, ...rest]))
      if (rollup) rollups.set(key, rollup)
    }
    return rollups
  }

  #furtherPages(key: string, firsts: ReadonlyMap<string, string>): string[] {
    const first = firsts.get(pageKey(key, 0))
    const pages = first === undefined ? 1 : (this.#orNone(key, () => pagesOf(first)) ?? 1)
    return Array.from({ length: pages - 1 }, (_, index) => pageKey(key, index + 1))
  }

  async #texts(pks: readonly string[]): Promise<Map<string, string>> {
    const texts = new Map<string, string>()
    for (const stored of await this.#table.getAll(pks, false)) {
      const text = this.#orNone(stored.pk!.S!, () => unpack(stored))
      if (text !== undefined) texts.set(stored.pk!.S!, text)
    }
    return texts
  }

  #orNone<T>(key: string, read: () => T): T | undefined {
    try {
      return read()
    } catch {
      const fields = { code: 'ledger-item-unreadable', items: [key] }
      this.#log.error('a roll-up cannot be read and is left out', fields)
      return undefined
    }
  }
}

function pageKey(key: string, page: number): string {
  return page === 0 ? `rollup#${key}` : `rollup#${key}#${page}`
}

/** The calls, and how an item is written down. */
class Table {
  readonly #client: DynamoDBClient
  readonly #name: string

  constructor({ client, table }: DynamoLedgerSettings) {
    this.#client = client
    this.#name = table
  }

  async get(pk: string): Promise<Attributes | undefined> {
    const answer = await this.#client.send(
      new GetItemCommand({ TableName: this.#name, Key: { pk: { S: pk } }, ConsistentRead: true }),
    )
    return answer.Item
  }

  getAll(pks: readonly string[], consistent: boolean): Promise<Attributes[]> {
    const keys = pks.map(pk => ({ pk: { S: pk } }))
    return batchGet(this.#client, this.#name, keys, consistent)
  }

  query(query: Parameters<typeof queryKeys>[2]): ReturnType<typeof queryKeys> {
    return queryKeys(this.#client, this.#name, query)
  }

  /** Whatever stands there. @throws TornadeError payload-too-large */
  async write(pk: string, text: string, keys: Attributes): Promise<void> {
    const item = itemOf(pk, 1, text, keys)
    if (itemBytes(item) > MAX_ITEM_BYTES) throw tooLarge(pk, itemBytes(item))
    await this.#client.send(new PutItemCommand({ TableName: this.#name, Item: item }))
  }

  /**
   * Writes version `version` over the one before it. A conflict answers what is stored, without a second call.
   *
   * When the answer to a write is lost the client sends it again, and then finds its own version in its way. That is
   * told from somebody else's write by its content, and only where something was sent twice: two writers who
   * happen to write the same must not both be told that they did.
   */
  async put(pk: string, version: number, text: string, keys: Attributes): Promise<Put<Attributes>> {
    const item = itemOf(pk, version, text, keys)
    if (itemBytes(item) > MAX_ITEM_BYTES) throw tooLarge(pk, itemBytes(item))
    try {
      await this.#client.send(
        new PutItemCommand({
          TableName: this.#name,
          Item: item,
          ...(version === 1
            ? { ConditionExpression: 'attribute_not_exists(pk)' }
            : {
                ConditionExpression: 'v = :previous',
                ExpressionAttributeValues: { ':previous': { N: String(version - 1) } },
              }),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      )
      return { ok: true }
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error
      const current = error.Item ?? (await this.get(pk))
      const isRetry = (error.$metadata.attempts ?? 1) > 1
      if (isRetry && current && versionOf(current) === version && unpack(current) === text)
        return { ok: true }
      return { ok: false, current }
    }
  }
}

function itemOf(pk: string, version: number, text: string, keys: Attributes): Attributes {
  return { pk: { S: pk }, v: { N: String(version) }, ...keys, ...pack(text, pk, keys) }
}

/** Small items stay readable for people; the others are deflated, which makes most of them fit into one unit. */
function pack(text: string, pk: string, keys: Attributes): Attributes {
  const plain = { d: { S: text } }
  if (itemBytes({ pk: { S: pk }, v: { N: '1234567890' }, ...keys, ...plain }) <= UNIT_BYTES) return plain
  return { z: { B: deflateRawSync(text) } }
}

/** The JSON of an item as it is stored. @throws Error when it is not deflated text */
export function unpack(stored: Attributes): string {
  if (stored.d?.S !== undefined) return stored.d.S
  if (stored.z?.B !== undefined)
    return inflateRawSync(stored.z.B, { maxOutputLength: MAX_TEXT_BYTES }).toString()
  throw new Error('an item without content')
}

function parse(stored: Attributes): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(unpack(stored))
    return isRecord(value) && versionOf(stored) >= 1 ? value : undefined
  } catch {
    // Neither text nor JSON: the callers say so, with the key.
    return undefined
  }
}

function versionOf(stored: Attributes): number {
  return Number(stored.v?.N)
}

function tooLarge(pk: string, bytes: number): TornadeError {
  const limit = `${MAX_ITEM_BYTES / 1024} KB`
  return new TornadeError(
    'payload-too-large',
    pk === 'gate'
      ? `The gate has ${bytes} bytes and DynamoDB takes ${limit}: lower limits.runners in tornade.yml`
      : `${pk} has ${bytes} bytes and DynamoDB takes ${limit} in an item; it was not written`,
  )
}

function unreadable(pk: string): TornadeError {
  return new TornadeError(
    'input-unreadable',
    `${pk} in the ledger cannot be read: another version of tornade wrote it, or it was changed by hand`,
  )
}

// ------------------------------------------------------------------------------------------------------- pages

/** Created by GitHub's clock, read by ours. */
const CLOCK_SKEW_MS = 300_000
/** What one call looks at, at most. */
const HOURS_PER_PAGE = 31 * 24
const KEYS_PER_PAGE = 2_000
/** Fewer than the client has connections (50). */
const HOURS_AT_ONCE = 32
/** Where most items may be passed over, this many are looked at at a time: one batch. */
const FILTERED_KEYS = 100

/** What a walk through the items may leave out. */
interface Span {
  readonly openOnly?: boolean
  /** Of creation, milliseconds since 1970; `to` is not part of it. */
  readonly from?: number
  readonly to?: number
}
/** Everything from here back in time: the items of this hour (below a sort key), then those of the hours before. */
interface Place {
  /** Start of the hour. */
  readonly hour: number
  readonly below: string | null
}
interface Older {
  readonly entries: readonly Attributes[]
  /** null when there are no more. */
  readonly rest: Place | null
}

/** 2026-11-02T09 */
const HOUR_CHARACTERS = 13
const LAST_TIME = Date.UTC(9999, 11, 31)

function hourOf(time: number): number {
  return Math.floor(time / HOUR_MS) * HOUR_MS
}

function hourText(hour: number): string {
  return new Date(hour).toISOString().slice(0, HOUR_CHARACTERS)
}

/** Times that sort as text. */
function dateable(time: number | null): number | null {
  return time !== null && time >= 0 && time <= LAST_TIME ? time : null
}

function placeOf(entry: Attributes): Place {
  const below = entry.s!.S!
  return { hour: Date.parse(`${below.slice(0, HOUR_CHARACTERS)}:00Z`), below }
}

/** A sort key, or an hour. */
function writeCursor({ hour, below }: Place): string {
  return Buffer.from(below ?? hourText(hour)).toString('base64url')
}

function readCursor(cursor: string): Place | undefined {
  const text = Buffer.from(cursor, 'base64url').toString()
  const match = /^(\d{4}-\d\d-\d\dT\d\d)(:\d\d:\d\d\.\d{3}Z#[\x21-\x7e]{1,200})?$/.exec(text)
  const hour = match ? Date.parse(`${match[1]}:00Z`) : Number.NaN
  if (!match || Number.isNaN(hour)) return undefined
  return { hour, below: match[2] === undefined ? null : text }
}
