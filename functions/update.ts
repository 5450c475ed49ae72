/** Optimistic writes: read, decide, write if nobody wrote meanwhile, else decide again on what they wrote. */
import { TornadeError } from './core/errors.ts'
import type { Gate } from './core/types.ts'
import type { Ledger, Store } from './ports.ts'

/** Writers of one item take turns, so this is far more than a Lambda's worth of neighbours. */
const TRIES = 50

/**
 * Changes one item. `change` is pure and may run several times; returning its argument writes nothing.
 * @returns the item as it is now stored
 * @throws TornadeError ledger-contention
 */
export async function update<T extends { readonly version: number }>(
  store: Store<T>,
  key: string,
  change: (current: T | undefined) => T | undefined,
): Promise<T | undefined> {
  return attempt(await store.get(key), change, item => store.put(item), key)
}

/** Like `update`, for an item that most likely does not exist yet: the first write goes without a read. */
export async function create<T extends { readonly version: number }>(
  store: Store<T>,
  key: string,
  change: (current: T | undefined) => T | undefined,
): Promise<T | undefined> {
  return updateFrom(undefined, store, key, change)
}

/** Like `update`, for an item that was read a moment ago, and is `known` since. */
export async function updateFrom<T extends { readonly version: number }>(
  known: T | undefined,
  store: Store<T>,
  key: string,
  change: (current: T | undefined) => T | undefined,
): Promise<T | undefined> {
  return attempt(known, change, item => store.put(item), key)
}

/** Changes the gate; `decide` returns the new gate with whatever else it found out. */
export async function changeGate<R>(
  ledger: Ledger,
  decide: (gate: Gate) => { gate: Gate } & R,
): Promise<{ gate: Gate } & R> {
  let result: ({ gate: Gate } & R) | undefined
  const first = await ledger.gate.get()
  await attempt<Gate>(
    first,
    current => {
      result = decide(current ?? first)
      return result.gate
    },
    gate => ledger.gate.put(gate),
    'gate',
  )
  return result!
}

async function attempt<T extends { readonly version: number }>(
  first: T | undefined,
  change: (current: T | undefined) => T | undefined,
  put: (item: T) => Promise<{ readonly ok: true } | { readonly ok: false; readonly current: T | undefined }>,
  key: string,
): Promise<T | undefined> {
  let current = first
  for (let count = 0; count < TRIES; count++) {
    const changed = change(current)
    if (changed === undefined || changed === current) return current
    const item = { ...changed, version: (current?.version ?? 0) + 1 }
    const answer = await put(item)
    if (answer.ok) return item
    current = answer.current
  }
  throw new TornadeError(
    'ledger-contention',
    `${key} is written by too many at once; the message will be tried again`,
  )
}
