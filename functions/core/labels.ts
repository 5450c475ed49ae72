/**
 * Labels: the contract with workflow authors (docs/labels.md).
 *
 * A set of labels is cut into parts, every part is read by the row of the dimension it belongs to, and what was chosen
 * is held against what AWS can start. Nothing stops at the first fault: an author sees all of them at once, in an order
 * that does not depend on how the set was written.
 */

import { fold, holdsMarker, isRun } from './labels/parts.ts'
import { DIMENSIONS, ROWS } from './labels/rows.ts'
import { DEFAULT_RULES, type LabelRules } from './labels/rules.ts'
import { defaultMemory } from './labels/settle.ts'
import { DEFAULT_CPU, DISK } from './sizes.ts'
import type { Compute, Spec } from './types.ts'

export { type LabelReading, readLabels } from './labels/reading.ts'
export { LABEL_WORDS } from './labels/rows.ts'
export { DEFAULT_RULES, type LabelRules } from './labels/rules.ts'

/** True when `readLabels` would not ignore this set. Reads no more than it must: every delivery comes through here. */
export function hasMarker(labels: readonly string[], marker: string): boolean {
  const wanted = fold(marker)
  return labels.some(label => holdsMarker(label, wanted))
}

/** True for what a label means already, whatever the deployment: no marker can be called so. */
export function isLabelWord(word: string): boolean {
  const part = fold(word)
  return isRun(part) || DIMENSIONS.some(dimension => ROWS[dimension].read(part, DEFAULT_RULES) !== null)
}

/**
 * Labels that read back as this spec, under rules that know its names: defaults left out, always in the same order.
 *
 * @param form `array` for one label per part, `one` for a single label with `/` between the parts.
 */
export function printLabels(spec: Spec, rules: LabelRules, form: 'array' | 'one'): string[] {
  const implied: Compute = spec.docker ? 'codebuild' : 'fargate'
  const parts = [
    rules.marker,
    spec.arch !== 'x64' && ROWS.arch.print(spec.arch),
    spec.compute !== implied && ROWS.compute.print(spec.compute),
    spec.capacity !== null && spec.capacity !== 'on-demand' && ROWS.capacity.print(spec.capacity),
    spec.cpu !== DEFAULT_CPU && ROWS.cpu.print(spec.cpu),
    spec.memoryGiB !== defaultMemory(spec.compute, spec.cpu) && ROWS.memory.print(spec.memoryGiB),
    spec.diskGiB !== DISK.includedGiB && ROWS.disk.print(spec.diskGiB),
    spec.docker && ROWS.docker.print(true),
    spec.build && ROWS.build.print(true),
    spec.role !== null && ROWS.role.print(spec.role),
    spec.image !== null && ROWS.image.print(spec.image),
    spec.timeoutMinutes !== rules.longestMinutes && ROWS.timeout.print(spec.timeoutMinutes),
  ].filter(part => part !== false)
  switch (form) {
    case 'array':
      return parts
    case 'one':
      return [parts.join('/')]
  }
}
