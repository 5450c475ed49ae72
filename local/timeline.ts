/** What happened in a world, line by line, for whoever wants to know why a promise was broken. */
import { jobState } from '../functions/core/lifecycle.ts'
import type { Job } from '../functions/core/types.ts'
import type { Clock, Log, Ports } from '../functions/ports.ts'
import { guarded } from './around.ts'
import { called } from './faults/calls.ts'

export interface TimelineEntry {
  readonly at: number
  readonly what: string
  /** How often the same was said again, and when last. */
  readonly again: { readonly times: number; readonly until: number } | null
}

/** Calls whose answer changes something outside the ledger. */
const TOLD = new Set([
  'compute.start',
  'compute.stop',
  'github.createJitConfig',
  'github.removeRunner',
  'github.cancelRun',
  'github.reportRefusal',
  'tickets.put',
  'tickets.remove',
])

export class Timeline {
  readonly #entries: Omit<TimelineEntry, 'again'>[] = []
  readonly #clock: () => Clock

  /** @param clock of the world, which is made later */
  constructor(clock: () => Clock) {
    this.#clock = clock
  }

  add(what: string): void {
    this.#entries.push({ at: this.#clock().now(), what })
  }

  onJob(job: Job, before: Job | undefined): void {
    const [was, is] = [before ? jobState(before) : null, jobState(job)]
    const why = job.deferred?.message ?? job.refused?.code ?? job.completed?.conclusion ?? job.runner
    if (was !== is || before?.runner !== job.runner)
      this.add(`job ${job.key} is ${is}${why ? `: ${why}` : ''}`)
  }

  watch(ports: Ports, functionName: string): Ports {
    return guarded(ports, async (work, name, parameters) => {
      const answer = await work()
      if (TOLD.has(name)) this.add(`${functionName} ${called(name, parameters)}${outcome(answer)}`)
      return answer
    })
  }

  log(): Log {
    const line = (message: string, fields: object = {}) => {
      // Names of runners say the same in fewer characters.
      const told = Object.entries(fields).filter(([name]) => name !== 'providerId')
      const facts = told.map(([name, value]) => `${name} ${plain(value)}`)
      this.add([message, ...facts].join(', '))
    }
    return { debug() {}, info: line, warn: line, error: line }
  }

  /** The entries about these jobs and their runners, each text once; all of them where no job of the world is named. */
  about(texts: readonly string[]): readonly TimelineEntry[] {
    const keys = new Set(texts.flatMap(text => [...text.matchAll(/\d{4,}-\d+/g)].map(([key]) => key)))
    const pattern = new RegExp(`(?<!\\d)(?:${[...keys].join('|')})(?!\\d)`)
    const named = keys.size > 0 ? this.#entries.filter(({ what }) => pattern.test(what)) : []
    const said = new Map<string, TimelineEntry>()
    for (const { at, what } of named.length > 0 ? named : this.#entries) {
      const first = said.get(what)
      const again = first && { times: (first.again?.times ?? 0) + 1, until: at }
      said.set(what, first ? { ...first, again: again! } : { at, what, again: null })
    }
    return [...said.values()]
  }
}

function outcome(answer: unknown): string {
  if (typeof answer === 'string') return ` → ${answer}`
  if (typeof answer !== 'object' || answer === null || !('outcome' in answer)) return ''
  return ` → ${answer.outcome}${'kind' in answer ? ` (${answer.kind})` : ''}`
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined')
}
