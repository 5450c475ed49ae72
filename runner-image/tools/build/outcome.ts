/** What a builder ended with, and what its log tells. */
export interface Outcome {
  /** built, failed by the builder's word, or cancelled. */
  readonly kind: 'built' | 'failed' | 'cancelled'
  readonly digest: string | null
  /** For people; the builder's own words where it failed. */
  readonly message: string
  readonly cache: { readonly hits: number; readonly misses: number }
  /** Tags that the builder was told not to overwrite and, as it was asked to, did not fail for. */
  readonly immutable: boolean
}

/** Reads the lines of a log as they come, and keeps little of them. */
export class LogReader {
  hits = 0
  misses = 0
  immutable = false
  #rest = ''
  #last: string[] = []

  add(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!.slice(-10_000)
    for (const line of lines) this.#read(line)
  }

  /** The last line that says what is wrong, or the last at all. */
  get words(): string {
    if (this.#rest) this.#read(this.#rest)
    this.#rest = ''
    return (this.#last.findLast(line => /error|denied|fail/i.test(line)) ?? this.#last.at(-1) ?? '').slice(
      0,
      1000,
    )
  }

  #read(line: string): void {
    // kaniko names layers by commands, BuildKit by numbers.
    if (/Using caching version of cmd|^#\d+ CACHED$/.test(line)) this.hits++
    else if (/No cached layer found for cmd|^#\d+ \[[^\]]*\d+\/\d+\] (?:RUN|COPY|ADD|WORKDIR) /.test(line))
      this.misses++
    else if (line.includes('Immutable tag error ignored')) this.immutable = true
    if (line.trim()) this.#last = [...this.#last.slice(-19), line.trim()]
  }
}
