/** Longer than any label word, so nobody's slip of the finger. */
export const LONGEST_SLIP = 56

/** The word that takes the fewest slips to get from `text`, the first of several; null when none is near enough. */
export function nearest(text: string, candidates: readonly string[]): string | null {
  if (text.length > LONGEST_SLIP) return null
  let best: { readonly word: string; readonly slips: number } | null = null
  for (const word of candidates) {
    const longer = Math.max(text.length, word.length)
    const allowed = longer <= 4 ? 1 : longer <= 8 ? 2 : 3
    if (Math.abs(text.length - word.length) > allowed) continue
    const slips = editDistance(text, word)
    if (slips <= allowed && (best === null || slips < best.slips)) best = { word, slips }
  }
  return best?.word ?? null
}

/** Letters to insert, delete, replace, or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: readonly number[] = []
  let previous: readonly number[] = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : replaced
      row.push(Math.min(replaced, swapped, previous[j]! + 1, row[j - 1]! + 1))
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}
