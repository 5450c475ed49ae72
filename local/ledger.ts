/**
 * The ledger in memory, with the conditional writes of the deployed one. Lists are never behind writes here; the
 * deployed ones can be. Items are shared, not copied: nothing in tornade changes an item that it was given.
 */
import { EMPTY_GATE } from '../functions/core/admission.ts'
import type { AuditEntry } from '../functions/core/audit.ts'
import { fits } from '../functions/core/job-filter.ts'
import { isFinal, jobState, unservedAt } from '../functions/core/lifecycle.ts'
import { EMPTY_NOTICES } from '../functions/core/notice-memory.ts'
import { periodOf, type Rollup, rollupKey } from '../functions/core/rollups.ts'
import { EMPTY_MEMORY } from '../functions/core/sweep-memory.ts'
import type {
  Gate,
  Job,
  NoticeMemory,
  Rerun,
  Runner,
  RunRefusals,
  SweepMemory,
} from '../functions/core/types.ts'
import type { Ledger, Page, Put } from '../functions/ports.ts'

export class LocalLedger implements Ledger {
  readonly #jobs = new Items<Job>(
    job => job.key,
    job => !isFinal(job),
    job => job.request.repository.id,
    unservedAt,
  )
  readonly #runners = new Items<Runner>(
    runner => runner.name,
    runner => runner.cleanedAt === null,
    runner => runner.launch?.repository.id ?? null,
    runner => runner.stoppedAt,
  )
  readonly #reruns = new Items<Rerun>(
    rerun => rerun.key,
    rerun => rerun.outcome === null,
    rerun => rerun.repository.id,
    () => null,
  )
  readonly #audit = new Items<AuditEntry>(
    entry => entry.key,
    () => false,
    () => null,
    () => null,
  )
  readonly #rollups = new Map<string, Rollup>()
  readonly #refusals = new Items<RunRefusals>(
    run => run.key,
    () => false,
    () => null,
    () => null,
  )
  readonly #onJob: (job: Job, before: Job | undefined) => void
  #gate: Gate = EMPTY_GATE
  #memory: SweepMemory = EMPTY_MEMORY
  #notices: NoticeMemory = EMPTY_NOTICES

  /** @param onJob called after each write of a job */
  constructor(onJob: (job: Job, before: Job | undefined) => void = () => {}) {
    this.#onJob = onJob
  }

  /** Forgets an item, as the deployed one does when its time is over; answers what it was. */
  forgetJob(key: string): Job | undefined {
    return this.#jobs.forget(key)
  }

  forgetRunner(name: string): Runner | undefined {
    return this.#runners.forget(name)
  }

  readonly jobs: Ledger['jobs'] = {
    get: async key => this.#jobs.get(key),
    put: async job => {
      const before = this.#jobs.get(job.key)
      const answer = this.#jobs.put(job)
      if (answer.ok) this.#onJob(job, before)
      return answer
    },
    open: async ({ repositoryId, state, wanted, limit }) => {
      const found: Job[] = []
      for (const job of this.#jobs.open(repositoryId)) {
        if (found.length === limit) break
        if ((state === undefined || jobState(job) === state) && (wanted?.(job) ?? true)) found.push(job)
      }
      return found
    },
    page: async query => this.#jobs.page(query, job => fits(job, query)),
    some: async keys => new Map(keys.flatMap(key => this.#jobs.get(key) ?? []).map(job => [job.key, job])),
    unserved: async hour => this.#jobs.ended(hour),
  }

  readonly runners: Ledger['runners'] = {
    get: async name => this.#runners.get(name),
    put: async runner => this.#runners.put(runner),
    open: async ({ repositoryId }) => [...this.#runners.open(repositoryId)],
    page: async query => this.#runners.page(query, () => true),
    stopped: async hour => this.#runners.ended(hour),
  }

  readonly reruns: Ledger['reruns'] = {
    get: async key => this.#reruns.get(key),
    put: async rerun => this.#reruns.put(rerun),
    open: async ({ limit }) => [...this.#reruns.open(undefined)].slice(0, limit),
  }

  readonly audit: Ledger['audit'] = {
    get: async key => this.#audit.get(key),
    put: async entry => this.#audit.put(entry),
    page: async query => this.#audit.page(query, () => true),
  }

  readonly rollups: Ledger['rollups'] = {
    get: async keys =>
      new Map(keys.flatMap(key => this.#rollups.get(key) ?? []).map(rollup => [rollupKey(rollup), rollup])),
    put: async rollups => {
      for (const rollup of rollups) this.#rollups.set(rollupKey(rollup), rollup)
    },
  }

  readonly refusals: Ledger['refusals'] = {
    get: async key => this.#refusals.get(key),
    put: async run => this.#refusals.put(run),
  }

  readonly gate: Ledger['gate'] = {
    get: async () => this.#gate,
    put: async gate => {
      if (gate.version !== this.#gate.version + 1) return { ok: false, current: this.#gate }
      this.#gate = gate
      return { ok: true }
    },
  }

  readonly sweep: Ledger['sweep'] = {
    get: async () => this.#memory,
    put: async memory => {
      if (memory.version !== this.#memory.version + 1) return { ok: false, current: this.#memory }
      this.#memory = memory
      return { ok: true }
    },
  }

  readonly notices: Ledger['notices'] = {
    get: async () => this.#notices,
    put: async memory => {
      if (memory.version !== this.#notices.version + 1) return { ok: false, current: this.#notices }
      this.#notices = memory
      return { ok: true }
    },
  }
}

/** Versioned items with an index of the open ones, in the order in which they were first written. */
class Items<T extends { readonly version: number }> {
  readonly #key: (item: T) => string
  readonly #isOpen: (item: T) => boolean
  readonly #repository: (item: T) => number | null
  readonly #items = new Map<string, T>()
  #order: string[] = []
  #forgotten = 0
  readonly #open = new Set<string>()
  readonly #openByRepository = new Map<number, Set<string>>()
  readonly #endedAt: (item: T) => number | null
  readonly #endedByHour = new Map<string, Set<string>>()

  constructor(
    key: (item: T) => string,
    isOpen: (item: T) => boolean,
    repository: (item: T) => number | null,
    endedAt: (item: T) => number | null,
  ) {
    this.#endedAt = endedAt
    this.#key = key
    this.#isOpen = isOpen
    this.#repository = repository
  }

  get(key: string): T | undefined {
    return this.#items.get(key)
  }

  put(item: T): Put<T> {
    const key = this.#key(item)
    const current = this.#items.get(key)
    if (item.version !== (current?.version ?? 0) + 1) return { ok: false, current }
    if (!current) this.#order.push(key)
    this.#items.set(key, item)
    this.#index(key, item)
    this.#indexEnd(key, current, item)
    return { ok: true }
  }

  ended(hour: string): T[] {
    return [...(this.#endedByHour.get(hour) ?? [])].map(key => this.#items.get(key)!)
  }

  /** Places in the order stay empty until they are many; whoever pages meanwhile begins anew. */
  forget(key: string): T | undefined {
    const item = this.#items.get(key)
    if (!item) return undefined
    const repository = this.#repository(item)
    this.#items.delete(key)
    this.#open.delete(key)
    const hour = hourOf(this.#endedAt(item))
    if (hour !== null) this.#endedByHour.get(hour)?.delete(key)
    if (repository !== null) this.#openByRepository.get(repository)?.delete(key)
    if (++this.#forgotten > this.#order.length / 2) {
      this.#order = this.#order.filter(known => this.#items.has(known))
      this.#forgotten = 0
    }
    return item
  }

  *open(repositoryId: number | undefined): Generator<T> {
    const keys = repositoryId === undefined ? this.#open : (this.#openByRepository.get(repositoryId) ?? [])
    for (const key of keys) yield this.#items.get(key)!
  }

  /** Newest first; the cursor is the place of the last item in the order of writing. */
  page(
    { cursor, limit }: { readonly cursor?: string; readonly limit: number },
    wanted: (item: T) => boolean,
  ): Page<T> {
    const items: T[] = []
    let index = Math.min(cursor === undefined ? this.#order.length : Number(cursor), this.#order.length)
    while (items.length < limit && index > 0) {
      const item = this.#items.get(this.#order[--index]!)
      if (item && wanted(item)) items.push(item)
    }
    return { items, next: index > 0 ? String(index) : null }
  }

  #index(key: string, item: T): void {
    const repository = this.#repository(item)
    const open = this.#isOpen(item)
    change(this.#open, key, open)
    if (repository === null) return
    const keys = this.#openByRepository.get(repository) ?? new Set()
    this.#openByRepository.set(repository, keys)
    change(keys, key, open)
  }

  #indexEnd(key: string, before: T | undefined, now: T): void {
    const [old, hour] = [before ? hourOf(this.#endedAt(before)) : null, hourOf(this.#endedAt(now))]
    if (old === hour) return
    if (old !== null) this.#endedByHour.get(old)!.delete(key)
    if (hour === null) return
    const keys = this.#endedByHour.get(hour) ?? new Set()
    this.#endedByHour.set(hour, keys.add(key))
  }
}

function hourOf(at: number | null): string | null {
  return at === null || Number.isNaN(new Date(at).getTime()) ? null : periodOf('hour', at)
}

function change(set: Set<string>, key: string, present: boolean): void {
  if (present) set.add(key)
  else set.delete(key)
}
