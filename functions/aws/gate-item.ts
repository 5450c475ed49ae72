/**
 * The gate as it is stored. Every start and every end of a runner writes it, and a write costs a unit for each KB: so
 * holders and heads are lists without names, and a job's key is left out where the runner's name says it.
 *
 *     holders   runner → [repository, role, since, by, reservedMicroUsd, jobKey?, touchedAt?]
 *     waiting   line → { name, more, heads: [[runner, role, priority, since, notBefore, reserveMicroUsd, jobKey?], …] }
 *
 * Everything else is as in Gate. Items of before, with objects in the place of lists, are read as well.
 */
import { EMPTY_GATE } from '../core/admission.ts'
import { jobKeyOf } from '../core/plan.ts'
import type { Gate, Holder, WaitingHead, WaitingLine } from '../core/types.ts'

type Stored = Readonly<Record<string, unknown>>

export function writeGate({ version: _, holders, waiting, ...rest }: Gate): string {
  return JSON.stringify({
    ...rest,
    holders: mapValues(holders, packHolder),
    waiting: mapValues(waiting, ({ name, more, heads }) => ({ name, more, heads: heads.map(packHead) })),
  })
}

/** The gate from what is stored of it; undefined when that is no gate. */
export function readGate(stored: Stored, version: number): Gate | undefined {
  const { holders, waiting, pauses, pace } = stored
  if (!isRecord(holders) || !isRecord(waiting) || !isRecord(pauses) || !Array.isArray(pace)) return undefined
  return {
    ...EMPTY_GATE,
    ...stored,
    holders: mapValues(holders, (value, runner) => unpackHolder(value, runner)),
    waiting: mapValues(waiting, unpackLine),
    version,
  }
}

function packHolder(holder: Holder, runner: string) {
  const { repository, role, since, by, reservedMicroUsd, jobKey, touchedAt } = holder
  const facts = [repository, role, since, by, reservedMicroUsd]
  const own = jobKey === jobKeyOf(runner) ? null : jobKey
  if (touchedAt !== undefined) return [...facts, own, touchedAt]
  return own === null ? facts : [...facts, own]
}

function unpackHolder(value: unknown, runner: string): Holder {
  if (!Array.isArray(value)) return { reservedMicroUsd: 0, ...(value as Omit<Holder, 'reservedMicroUsd'>) }
  const [repository, role, since, by, reservedMicroUsd, own, touchedAt] = value
  const holder = { repository, role, since, jobKey: own ?? jobKeyOf(runner), by, reservedMicroUsd }
  return touchedAt === undefined ? holder : { ...holder, touchedAt }
}

function packHead({ runner, role, priority, since, notBefore, reserveMicroUsd, jobKey }: WaitingHead) {
  const facts = [runner, role, priority, since, notBefore, reserveMicroUsd]
  return jobKey === jobKeyOf(runner) ? facts : [...facts, jobKey]
}

function unpackHead(value: unknown): WaitingHead {
  if (!Array.isArray(value)) return { reserveMicroUsd: 0, ...(value as Omit<WaitingHead, 'reserveMicroUsd'>) }
  const [runner, role, priority, since, notBefore, reserveMicroUsd, jobKey = jobKeyOf(runner)] = value
  return { jobKey, runner, role, priority, since, notBefore, reserveMicroUsd }
}

function unpackLine(value: unknown): WaitingLine {
  const { name = null, more, heads } = value as WaitingLine
  return { name, heads: heads.map(unpackHead), more }
}

function mapValues<T, R>(values: Readonly<Record<string, T>>, map: (value: T, key: string) => R) {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value, key)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
