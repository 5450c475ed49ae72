/** A set of labels, cut into the parts that mean something. */
export interface Part {
  /** As it is looked up: lower case, no white space around it. */
  readonly text: string
  /** As the author wrote it. */
  readonly written: string
}

/** ASCII only, as GitHub compares labels: a Kelvin sign is no k. */
export function fold(text: string): string {
  return text.trim().replace(/[A-Z]+/g, letters => letters.toLowerCase())
}

export function holdsMarker(label: string, marker: string): boolean {
  if (label.length < marker.length) return false
  return label.includes('/') ? label.split('/').some(part => fold(part) === marker) : fold(label) === marker
}

/** `run:` and `run-` make a set of labels unique and mean nothing. */
export function isRun(text: string): boolean {
  return text.startsWith('run:') || text.startsWith('run-')
}

/** GitHub's own labels of such a runner, often written out of habit. */
export const HABITS: ReadonlySet<string> = new Set(['self-hosted', 'linux'])

export function isMeaningless(text: string): boolean {
  return isRun(text) || HABITS.has(text)
}

/**
 * Parts of a set without its markers, each once, sorted; null when no label holds the marker.
 *
 * Only labels that hold the marker are split. A label that begins with `run:` or `run-` may hold anything, a path with the
 * marker in it as well, so it is split only where nothing else holds the marker.
 */
export function partsOf(labels: readonly string[], marker: string): readonly Part[] | null {
  const wanted = fold(marker)
  const holding = labels.filter(label => holdsMarker(label, wanted))
  if (holding.length === 0) return null
  const plain = holding.filter(label => !isRun(fold(label)))
  const split = new Set(plain.length > 0 ? plain : holding)
  const parts = labels.flatMap(label => (split.has(label) ? label.split('/') : [label]))
  return distinct(parts).filter(part => part.text !== wanted && !isMeaningless(part.text))
}

/** Sorted, and of several spellings always the same one, so that a reading does not depend on the order of labels. */
export function distinct(texts: readonly string[]): readonly Part[] {
  const spellings = new Map<string, string>()
  for (const written of texts) {
    const text = fold(written)
    const known = spellings.get(text)
    if (known === undefined || written < known) spellings.set(text, written)
  }
  return [...spellings]
    .map(([text, written]) => ({ text, written }))
    .sort((a, b) => (a.text < b.text ? -1 : 1))
}
