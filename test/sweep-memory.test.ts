import { describe, expect, it } from 'vitest'
import { EMPTY_MEMORY, leased, released, withSeen } from '../functions/core/sweep-memory.ts'
import type { SeenRepository } from '../functions/core/types.ts'
import { at, job, request, T0 } from './support/facts.ts'

const HOUR = 3600

describe('the lease', () => {
  const held = leased(EMPTY_MEMORY, 'one', at(0), at(55))!

  it('is held by one sweep at a time, and over when its function must be', () => {
    expect(held).toMatchObject({ version: 1, lease: { owner: 'one', until: at(55) } })
    expect(leased(held, 'two', at(54), at(110))).toBeNull()
    expect(leased(held, 'two', at(55), at(110))).toMatchObject({ version: 2, lease: { owner: 'two' } })
    expect(leased(held, 'one', at(54), at(110))).not.toBeNull()
  })

  it('is given back with what is remembered', () => {
    expect(released(held, at(20))).toEqual({ ...EMPTY_MEMORY, version: 2 })
  })
})

describe('what is remembered', () => {
  const inRepository = (id: number, over = {}) =>
    job({ request: request({ repository: { id, name: `acme/r${id}`, private: true } }), ...over })
  const ids = (known: readonly SeenRepository[]) => known.map(({ ref }) => ref.id)

  it('of runs are the 500 last asked about, for two hours', () => {
    const runs = Object.fromEntries(Array.from({ length: 600 }, (_, run) => [run, at(run)]))
    const kept = Object.keys(released({ ...EMPTY_MEMORY, runs }, at(600)).runs)
    expect(kept.map(Number).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => 100 + i))
    expect(released({ ...EMPTY_MEMORY, runs: { 1: T0 } }, at(2 * HOUR)).runs).toEqual({})
  })

  it('of repositories are the hundred seen last, with when they were listed', () => {
    let known: readonly SeenRepository[] = []
    for (let id = 1; id <= 120; id++) known = withSeen(known, [inRepository(id)], () => at(id))
    expect(ids(known)).toEqual(Array.from({ length: 100 }, (_, index) => 120 - index))
    known = known.map(one => ({ ...one, listedAt: at(130) }))
    expect(withSeen(known, [inRepository(50)], () => at(140))[0]).toEqual({
      ref: { id: 50, name: 'acme/r50', private: true },
      ownerId: 9919,
      installationId: 5001,
      seenAt: at(140),
      listedAt: at(130),
    })
  })

  it('of a repository whose only job waits behind a gate is when another was seen last', () => {
    const gated = inRepository(1, { queuedAt: null, gatedAt: T0 })
    const known = withSeen([], [gated], () => at(10))
    expect(ids(known)).toEqual([1])
    expect(withSeen(known, [gated], () => at(20))[0]!.seenAt).toBe(at(10))
  })
})
