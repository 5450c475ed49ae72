/** Numbers that look random and are the same in every run. */
import { fraction } from './github-jobs.ts'

/** mulberry32: numbers from 0 to 1, the same ones for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Draws of one purpose: what is drawn for another one does not change them. */
export class Dice {
  readonly #next: () => number

  constructor(seed: number, purpose: string) {
    this.#next = generator(fraction(`${seed} ${purpose}`) * 2 ** 32)
  }

  /** From 0 to 1. */
  number(): number {
    return this.#next()
  }

  chance(share: number): boolean {
    return this.#next() < share
  }

  between(least: number, most: number): number {
    return least + this.#next() * (most - least)
  }

  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1))
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#next() * items.length)]!
  }

  /** So many of them, in the order in which they stand. */
  some<T>(items: readonly T[], count: number): T[] {
    const left = items.map((_, index) => index)
    const taken = new Set(
      Array.from(
        { length: Math.min(count, items.length) },
        () => left.splice(Math.floor(this.#next() * left.length), 1)[0]!,
      ),
    )
    return items.filter((_, index) => taken.has(index))
  }
}
