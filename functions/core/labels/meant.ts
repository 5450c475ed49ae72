/** What an unknown part may have meant. */

import { LONGEST_SLIP, nearest } from './nearest.ts'
import { HABITS } from './parts.ts'
import { DIMENSIONS, PREFIXES, ROWS } from './rows.ts'
import type { LabelRules } from './rules.ts'

/** Words that people bring along, and why there is no such label. */
export const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ['on-demand', 'On demand is what a job gets without `spot`: leave it out.'],
  ['windows', 'Every runner is Linux.'],
  ['macos', 'Every runner is Linux.'],
  ['gpu', 'No runner has a GPU.'],
])

/** The label that an unknown part most likely stands for; null when none is near. */
export function meant(text: string, rules: LabelRules): string | null {
  if (text.length > LONGEST_SLIP) return null
  for (const prefix of ['size:', 'role:', 'image:']) {
    if (isValue(prefix + text, rules)) return prefix + text
  }
  return (
    withPrefixRepaired(text, rules) ??
    nearest(text, [...DIMENSIONS.flatMap(d => ROWS[d].words(rules)), ...HABITS])
  )
}

/** `disk50gb`, `role=deploy`, `timout:90m`: the right value after the wrong prefix. */
function withPrefixRepaired(text: string, rules: LabelRules): string | null {
  const colon = text.indexOf(':')
  for (const prefix of PREFIXES) {
    const begins = text.startsWith(prefix)
    const nearly = colon > 0 && nearest(text.slice(0, colon), [prefix]) !== null
    if (!begins && !nearly) continue
    const value = begins ? text.slice(prefix.length).replace(/^[^a-z0-9]/, '') : text.slice(colon + 1)
    const repaired = `${prefix}:${value}`
    if (isValue(repaired, rules)) return repaired
  }
  return null
}

function isValue(text: string, rules: LabelRules): boolean {
  return DIMENSIONS.some(dimension => {
    const read = ROWS[dimension].read(text, rules)
    return read !== null && 'value' in read
  })
}
