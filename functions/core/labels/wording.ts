/** Pieces of sentences. */
import type { Choice } from './chosen.ts'

export function said(choice: Choice<unknown>): string {
  return choice.preset === null ? `\`${choice.word}\`` : `\`${choice.word}\` (of \`${choice.preset}\`)`
}

/** Words in backticks, as a sentence has them; no more than a few. */
export function listed(words: readonly string[]): string {
  const shown = words.slice(0, 5).map(word => `\`${word}\``)
  if (shown.length < words.length) return `${shown.join(', ')} and ${words.length - shown.length} more`
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}

/** [8, 9, … 30] → "8 to 30 GiB"; [16, 20, … 60] → "16 to 60 GiB in steps of 4"; [60, 120, 244] → "60, 120 or 244 GiB". */
export function memoryOf(steps: readonly number[]): string {
  const [first, second] = steps
  const last = steps.at(-1)
  const by = (second ?? 0) - (first ?? 0)
  const even = steps.every((step, index) => index === 0 || step - steps[index - 1]! === by)
  if (!even) return `${steps.slice(0, -1).join(', ')} or ${last} GiB`
  return `${first} to ${last} GiB${by === 1 ? '' : ` in steps of ${by}`}`
}

export function upTo(most: number): readonly number[] {
  return Array.from({ length: most }, (_, index) => index + 1)
}
