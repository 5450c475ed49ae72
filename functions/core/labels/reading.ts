/**
 * Reads a set of labels: parts go into their dimensions, presets below what the author wrote, and what was chosen is
 * held against what there is.
 */
import { clean } from '../text.ts'
import type { Problem, Spec } from '../types.ts'
import type { Asked, Choice, Chosen, Sorted } from './chosen.ts'
import { ELSEWHERE, meant } from './meant.ts'
import { distinct, fold, isMeaningless, type Part, partsOf } from './parts.ts'
import { DIMENSIONS, type Dimension, ROWS, type Row, type Values } from './rows.ts'
import type { LabelRules } from './rules.ts'
import { settle } from './settle.ts'
import { listed } from './wording.ts'

export type LabelReading =
  /** No label holds the marker: somebody else's job. */
  | { readonly outcome: 'ignored' }
  | { readonly outcome: 'spec'; readonly spec: Spec; readonly notes: readonly string[] }
  | { readonly outcome: 'problems'; readonly problems: readonly Problem[]; readonly notes: readonly string[] }

/**
 * Reads the labels of a job.
 *
 * @param labels any strings, in any order and case: an array of parts, one label with parts between `/`, or both.
 * @returns `ignored` without the marker; else the spec (memory and disk in GiB, life in minutes) with notes about what
 *   was rounded or taken for it; else every problem of the set. Order, case and spelling of the labels change nothing but
 *   how `label` of a problem is written. Never throws.
 */
export function readLabels(labels: readonly string[], rules: LabelRules): LabelReading {
  const parts = partsOf(labels, rules.marker)
  if (parts === null) return { outcome: 'ignored' }
  const own = sortParts(parts, rules)
  const preset = readPreset(own, rules)
  const asked = overlay(preset, own)
  const { spec, problems, notes } = settle(asked, rules, rules.limits)
  const all = [...own.problems, ...preset.problems, ...problems]
  return all.length === 0 ? { outcome: 'spec', spec, notes } : { outcome: 'problems', problems: all, notes }
}

/**
 * More distinct parts than any job can mean: there are a dozen dimensions. What lies beyond is not read, so that a
 * generated list of labels costs neither time nor room in the ledger.
 */
const MOST_PARTS = 100

/** Puts every part into its dimension. `preset` is the `size:` that brought the parts. */
function sortParts(all: readonly Part[], rules: LabelRules, preset: Choice<string> | null = null): Sorted {
  const parts = all.slice(0, MOST_PARTS)
  const rows = DIMENSIONS.map(dimension => choose(dimension, parts, rules, preset))
  const read = new Set(rows.flatMap(row => row.read))
  const unsure = new Set(rows.filter(row => row.problems.length > 0).map(row => row.dimension))
  const problems = [
    ...countProblems(all),
    ...rows.flatMap(row => row.problems),
    ...parts.filter(part => !read.has(part)).map(part => unknownProblem(part, rules)),
  ]
  return { chosen: implyCompute(Object.assign({}, ...rows.map(row => row.chosen)), unsure), unsure, problems }
}

/** All that the parts say about one dimension. */
function choose<D extends Dimension>(
  dimension: D,
  parts: readonly Part[],
  rules: LabelRules,
  preset: Choice<string> | null,
) {
  const row: Row<Values[D]> = ROWS[dimension]
  const read: Part[] = []
  const problems: Problem[] = []
  const byWord = new Map<string, Choice<Values[D]>>()
  for (const part of parts) {
    const result = row.read(part.text, rules)
    if (result === null) continue
    read.push(part)
    const written = clean(part.written)
    if ('message' in result) {
      problems.push({ label: written, message: result.message, suggestion: result.suggestion })
      continue
    }
    const word = row.print(result.value)
    if (byWord.has(word)) continue
    byWord.set(word, {
      value: result.value,
      word,
      label: preset?.label ?? written,
      preset: preset?.word ?? null,
    })
  }
  const choices = [...byWord.values()].sort((a, b) => (a.value < b.value ? -1 : 1))
  problems.push(...conflictProblems(row.noun, choices))
  const [choice] = choices
  const chosen: Chosen = problems.length > 0 || choice === undefined ? {} : { [dimension]: choice }
  return { dimension, chosen, problems, read }
}

function conflictProblems(noun: string, choices: readonly Choice<unknown>[]): readonly Problem[] {
  const [first, ...others] = choices
  const last = others.at(-1)
  if (first === undefined || last === undefined) return []
  const words = listed(choices.map(choice => choice.word))
  return [
    {
      label: last.label,
      message: `A job has one ${noun}, and this set asks for ${words}: keep one.`,
      suggestion: first.word,
    },
  ]
}

/** `docker` asks for CodeBuild, unless something else is said about compute (which is then a contradiction). */
function implyCompute(chosen: Chosen, unsure: ReadonlySet<Dimension>): Chosen {
  if (chosen.docker === undefined || chosen.compute !== undefined || unsure.has('compute')) return chosen
  return { ...chosen, compute: { ...chosen.docker, value: 'codebuild' } }
}

function countProblems(parts: readonly Part[]): readonly Problem[] {
  if (parts.length <= MOST_PARTS) return []
  const message = `There are ${parts.length} different labels; only the first ${MOST_PARTS} in alphabetical order were read.`
  return [{ label: clean(parts[MOST_PARTS]!.written), message, suggestion: null }]
}

function unknownProblem(part: Part, rules: LabelRules): Problem {
  const label = clean(part.written)
  if (part.text === '') {
    return { label, message: 'A label is empty, or there is a `/` too many.', suggestion: null }
  }
  const reason = ELSEWHERE.get(part.text)
  if (reason !== undefined) return { label, message: reason, suggestion: null }
  if (part.text.includes('/')) {
    const message = `Only the label that holds \`${fold(rules.marker)}\` is split at \`/\`.`
    return { label, message, suggestion: asOneLabel(part.text, rules) }
  }
  const suggestion = meant(part.text, rules)
  const question = suggestion === null ? ': leave it out.' : `; did you mean \`${suggestion}\`?`
  return { label, message: `There is no such label${question}`, suggestion }
}

/** The label with the marker in front, where that would do. Without presets: they could hold the same part again. */
function asOneLabel(text: string, rules: LabelRules): string | null {
  const label = `${fold(rules.marker)}/${text}`
  const works = readLabels([label], { ...rules, sizes: new Map() }).outcome === 'spec'
  return works && clean(label) === label ? label : null
}

const NO_PRESET: Sorted = { chosen: {}, unsure: new Set(), problems: [] }
const UNKNOWN_PRESET: Sorted = { chosen: {}, unsure: new Set(DIMENSIONS), problems: [] }

/**
 * The parts of a preset, once they make sense by themselves. A broken preset is the operator's to mend: its faults are
 * reported as one label's, and nothing of it is used.
 */
function readPreset(own: Sorted, rules: LabelRules): Sorted {
  const { size } = own.chosen
  if (size === undefined) return own.unsure.has('size') ? UNKNOWN_PRESET : NO_PRESET
  const parts = distinct(rules.sizes.get(size.value) ?? []).filter(part => !isMeaningless(part.text))
  const misplaced = parts.filter(part => part.text === fold(rules.marker) || part.text.startsWith('size:'))
  const placed = parts.filter(part => !misplaced.includes(part))
  const sorted = sortParts(placed, rules, size)
  const faults = [
    ...misplaced.map(part => `\`${clean(part.text)}\` cannot stand in a preset.`),
    ...[...sorted.problems, ...settle(sorted, rules, null).problems].map(({ label, message }) =>
      label === size.label ? message : `\`${label}\`: ${message}`,
    ),
  ]
  if (faults.length === 0) return sorted
  const problems = faults.map(fault => ({
    label: size.label,
    message: `The preset \`${size.word}\` of tornade.yml cannot be used. ${fault}`,
    suggestion: null,
  }))
  return { ...UNKNOWN_PRESET, problems }
}

/** Parts beside `size:` win over the preset's. */
function overlay(preset: Sorted, own: Sorted): Asked {
  const kept = Object.entries(preset.chosen).filter(([dimension]) => !own.unsure.has(dimension as Dimension))
  const chosen: Chosen = { ...Object.fromEntries(kept), ...own.chosen }
  const unsure = [...preset.unsure, ...own.unsure].filter(dimension => chosen[dimension] === undefined)
  return { chosen, unsure: new Set(unsure) }
}
