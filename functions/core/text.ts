/** Text that workflow authors control is cut and cleaned before it goes anywhere. */

/** Longest author-controlled text that is kept. */
export const TEXT_LIMIT = 100
/** Longest name of a repository, with its owner's. */
export const NAME_LIMIT = 140

/** Removes control and bidirectional-override characters and cuts to `limit` code points. */
export function clean(text: string, limit: number = TEXT_LIMIT): string {
  const kept = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ').trim()
  const points = [...kept.slice(0, limit * 2 + 2)]
  return points.length > limit ? `${points.slice(0, limit - 1).join('')}…` : points.join('')
}
