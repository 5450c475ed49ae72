/**
 * Remembers what was loaded, by key: one load at a time for each, however many ask for it, and never a failure.
 */
export class Memo<Value> {
  readonly #limit: number
  readonly #isGood: (value: Value) => boolean
  /** Oldest use first. */
  readonly #values = new Map<string, Value>()
  readonly #loading = new Map<string, Promise<Value>>()

  /** @param limit how many values are kept; beyond it the one goes that was not used for longest */
  constructor(limit: number, isGood: (value: Value) => boolean = () => true) {
    this.#limit = limit
    this.#isGood = isGood
  }

  get size(): number {
    return this.#values.size
  }

  async get(key: string, load: () => Promise<Value>): Promise<Value> {
    const known = this.#values.get(key)
    if (known !== undefined && this.#isGood(known)) {
      this.set(key, known)
      return known
    }
    const running = this.#loading.get(key)
    if (running) return running
    const loading = this.#load(key, load)
    this.#loading.set(key, loading)
    return loading
  }

  set(key: string, value: Value): void {
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size > this.#limit) this.#values.delete(this.#values.keys().next().value!)
  }

  /** @param value forgotten only if it is still the one that is remembered */
  forget(key: string, value: Value): void {
    if (this.#values.get(key) === value) this.#values.delete(key)
  }

  async #load(key: string, load: () => Promise<Value>): Promise<Value> {
    try {
      const value = await load()
      this.set(key, value)
      return value
    } finally {
      this.#loading.delete(key)
    }
  }
}
