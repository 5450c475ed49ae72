/** How long to wait before the next try. */

/**
 * Doubles with every try up to the longest, and is shortened by up to half, so that what failed together does not come
 * back together. Random enough, and the same whenever it is asked for: it follows from the name.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * @param tries that were made, 1 at least
 */
export function backOffMs(firstMs: number, longestMs: number, tries: number, name: string): number {
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(Math.max(tries, 1) - 1, 30))
  return Math.round(whole * (1 - fraction(`${name} ${tries}`) / 2))
}

/** From 0 to 1, the same for the same text: FNV-1a, then mixed as MurmurHash3 does at its end. */
function fraction(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
