/** Time: lists that lag behind, and clocks that disagree. */
import { jobState } from '../../functions/core/lifecycle.ts'
import type { Job, Runner } from '../../functions/core/types.ts'
import type { Ledger, Ports, Store } from '../../functions/ports.ts'
import { Dice } from '../random.ts'
import { type Fault, SECOND, type Strikes } from './fault.ts'

/** Skews are an interval of seconds to both sides. */
const SKEW_MS = 4 * SECOND

export const TIME_FAULTS: readonly Fault[] = [
  {
    name: 'lagging-lists',
    about: 'Lists of open jobs and runners are up to ten seconds behind what was written.',
    share: [0.2, 1],
    seams: strikes => {
      const jobs = new Behind<Job>(strikes, job => job.key)
      const runners = new Behind<Runner>(strikes, runner => runner.name)
      return { ports: ports => lagging(ports, jobs, runners) }
    },
  },
  {
    name: 'skewed-clocks',
    about: 'The clock of each function is off by up to four seconds.',
    share: [1, 1],
    seams: ({ dice, on, struck }) => {
      const offsets = new Map<string, number>()
      return {
        ports: (ports, functionName) => {
          const offset = offsets.get(functionName) ?? Math.round(dice.between(-SKEW_MS, SKEW_MS))
          offsets.set(functionName, offset)
          struck(() => `${functionName} is off by ${offset} ms`)
          return { ...ports, clock: { now: () => ports.clock.now() + (on() ? offset : 0) } }
        },
      }
    },
  },
  {
    name: 'skewed-provider',
    about: 'The times of tasks and builds in the events of AWS are off by up to four seconds.',
    share: [0.2, 1],
    seams: ({ name, share, on, struck }) => ({
      event: (event, pass) => {
        const [id = ''] = (event as { resources: readonly string[] }).resources
        // The same for all events of a task: its times are those of one clock.
        const dice = new Dice(share * 1e9, `${name} ${id}`)
        if (!on() || !dice.chance(share)) return pass(event)
        struck(() => `times of ${id}`)
        pass(shifted(event, Math.round(dice.between(-SKEW_MS, SKEW_MS))))
      },
    }),
  },
]

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/

function shifted(event: unknown, offset: number): unknown {
  const { detail, ...rest } = event as { readonly detail: Readonly<Record<string, unknown>> }
  const moved = Object.entries(detail).map(([key, value]) => [
    key,
    typeof value === 'string' && TIME.test(value)
      ? new Date(Date.parse(value) + offset).toISOString()
      : value,
  ])
  return { ...rest, detail: Object.fromEntries(moved) }
}

/** What lists still show: the item before its latest writes. */
class Behind<T> {
  readonly #strikes: Strikes
  readonly #key: (item: T) => string
  /** By key: undefined is an item that no list shows yet. */
  readonly #old = new Map<string, { readonly item: T | undefined; readonly until: number }>()

  constructor(strikes: Strikes, key: (item: T) => string) {
    this.#strikes = strikes
    this.#key = key
  }

  async put(store: Store<T>, item: T): ReturnType<Store<T>['put']> {
    const key = this.#key(item)
    const before = this.#strikes.on() ? await store.get(key) : undefined
    const answer = await store.put(item)
    if (answer.ok && !this.#isBehind(key) && this.#strikes.hit(() => `lists lag behind ${key}`)) {
      const until = this.#strikes.clock.now() + this.#strikes.dice.between(SECOND, 10 * SECOND)
      this.#old.set(key, { item: before, until })
    }
    return answer
  }

  /** The list as it was; `listed` says whether an old item belongs to it. */
  seen(items: readonly T[], listed: (item: T) => boolean): T[] {
    const shown: T[] = []
    const keys = new Set<string>()
    for (const item of items) {
      const key = this.#key(item)
      keys.add(key)
      const old = this.#isBehind(key) ? this.#old.get(key)!.item : item
      if (old !== undefined && (old === item || listed(old))) shown.push(old)
    }
    for (const [key, { item }] of this.#old) {
      if (this.#isBehind(key) && !keys.has(key) && item !== undefined && listed(item)) shown.push(item)
    }
    return shown
  }

  #isBehind(key: string): boolean {
    const old = this.#old.get(key)
    if (old && old.until <= this.#strikes.clock.now()) this.#old.delete(key)
    return this.#old.has(key)
  }
}

function lagging(ports: Ports, jobs: Behind<Job>, runners: Behind<Runner>): Ports {
  const { ledger } = ports
  const behind: Ledger = {
    ...ledger,
    jobs: {
      ...ledger.jobs,
      put: item => jobs.put(ledger.jobs, item),
      open: async query => {
        const { repositoryId, state, wanted, limit } = query
        const open = (job: Job) => job.completed === null && job.refused === null
        const items = await ledger.jobs.open({ limit: Number.POSITIVE_INFINITY })
        return jobs
          .seen(items, open)
          .filter(job => repositoryId === undefined || job.request.repository.id === repositoryId)
          .filter(job => state === undefined || jobState(job) === state)
          .filter(job => !wanted || wanted(job))
          .slice(0, limit)
      },
    },
    runners: {
      ...ledger.runners,
      put: item => runners.put(ledger.runners, item),
      open: async ({ repositoryId }) =>
        runners
          .seen(await ledger.runners.open({}), runner => runner.cleanedAt === null)
          .filter(runner => repositoryId === undefined || runner.launch?.repository.id === repositoryId),
    },
  }
  return { ...ports, ledger: behind }
}
