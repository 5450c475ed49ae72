/** The lines at the gate: who of the deferred jobs it remembers, and in which order. */
import type { Gate, WaitingHead, WaitingLine } from '../types.ts'

/** As much of a request as its place in line depends on. */
export interface LinePlace {
  readonly runner: string
  readonly jobKey: string
  readonly repositoryId: number
  /** owner/name */
  readonly repository: string
  readonly role: string | null
  readonly priority: number
  readonly since: number
  readonly reserveMicroUsd: number
}

/** Deferred jobs of one line that the gate itself remembers; the others wait in the ledger. */
export const HEADS_PER_REPOSITORY = 20
/** Of those that wait for their time it remembers more, because they must not keep the others from the gate. */
const HELD_BACK_PER_REPOSITORY = 60

const EMPTY_LINE: WaitingLine = { name: null, heads: [], more: false }

/** Jobs with a role have a line of their own, so that a role's limit holds up nobody else of their repository. */
export function lineOf({ repositoryId, role }: Pick<LinePlace, 'repositoryId' | 'role'>): string {
  return role === null ? String(repositoryId) : `${repositoryId}/${role}`
}

export function repositoryIdOf(line: string): number {
  return Number(line.split('/')[0])
}

export function lineAt(waiting: Gate['waiting'], line: string): WaitingLine {
  return waiting[line] ?? EMPTY_LINE
}

/** Deferred jobs in a line that wait for nothing but a place. */
export function readyHeads(line: WaitingLine): number {
  return line.heads.filter(head => head.notBefore === null).length
}

/** Behind jobs that wait in the ledger: nobody may step in front of those but a job older than one at the gate. */
export function isBehind(place: LinePlace, line: WaitingLine | undefined): boolean {
  if (!line?.more) return false
  const asking = headOf(place, null)
  return !line.heads.some(head => head.notBefore === null && byAge(asking, head) <= 0)
}

export function enqueue(
  waiting: Gate['waiting'],
  place: LinePlace,
  notBefore: number | null,
): Gate['waiting'] {
  const key = lineOf(place)
  const line = { ...lineAt(waiting, key), name: place.repository }
  return { ...waiting, [key]: enter(line, place, notBefore) }
}

function enter(line: WaitingLine, place: LinePlace, notBefore: number | null): WaitingLine {
  const known = line.heads.find(head => head.runner === place.runner)
  if (known) {
    const head = headOf(place, notBefore ?? known.notBefore)
    return { ...line, heads: line.heads.with(line.heads.indexOf(known), head) }
  }
  if (notBefore === null && isBehind(place, line)) return line
  return trimmed(line, [...line.heads, headOf(place, notBefore)], line.more)
}

/** Heads in order, as many as the gate remembers; the others are in the ledger. */
export function trimmed(line: WaitingLine, heads: readonly WaitingHead[], more: boolean): WaitingLine {
  const sorted = [...heads].sort(byAge)
  const ready = sorted.filter(head => head.notBefore === null).slice(0, HEADS_PER_REPOSITORY)
  const heldBack = sorted.filter(head => head.notBefore !== null).slice(0, HELD_BACK_PER_REPOSITORY)
  const kept = [...ready, ...heldBack].sort(byAge)
  return { ...line, heads: kept, more: more || kept.length < heads.length }
}

export function headOf(
  { jobKey, runner, role, priority, since, reserveMicroUsd }: LinePlace,
  notBefore: number | null,
): WaitingHead {
  return { jobKey, runner, role, priority, since, notBefore, reserveMicroUsd }
}

function byAge(a: WaitingHead, b: WaitingHead): number {
  return b.priority - a.priority || a.since - b.since || (a.runner < b.runner ? -1 : 1)
}

/** Changes one line; a line without anybody is forgotten. */
export function mapLine(
  waiting: Gate['waiting'],
  key: string,
  change: (line: WaitingLine) => WaitingLine,
): Gate['waiting'] {
  const line = waiting[key]
  if (!line) return waiting
  const { [key]: _, ...others } = waiting
  const changed = change(line)
  return changed.heads.length === 0 && !changed.more ? others : { ...others, [key]: changed }
}

/** Takes these runners out of every line. */
export function without(waiting: Gate['waiting'], gone: ReadonlySet<string>): Gate['waiting'] {
  let left = waiting
  for (const [key, line] of Object.entries(waiting)) {
    if (!line.heads.some(head => gone.has(head.runner))) continue
    left = mapLine(left, key, known => ({
      ...known,
      heads: known.heads.filter(head => !gone.has(head.runner)),
    }))
  }
  return left
}
