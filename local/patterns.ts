/**
 * EventBridge event patterns, of the kinds that infra/ uses: exact values, prefix, exists, anything-but.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
 */
import { z } from 'zod'

export type Scalar = string | number | boolean | null
export type Matcher =
  | Scalar
  | { readonly prefix: string }
  | { readonly exists: boolean }
  | { readonly 'anything-but': Scalar | readonly Scalar[] | { readonly prefix: string } }
/** Fields that must all match; a list of matchers of which one must. */
export interface Pattern {
  readonly [field: string]: Pattern | readonly Matcher[]
}

/** Whether EventBridge would send `event` where `pattern` points. */
export function matchesPattern(pattern: Pattern, event: unknown): boolean {
  return Object.entries(pattern).every(([field, wanted]) => matchesField(wanted, fieldOf(event, field)))
}

/** A list in the event matches when one of its elements does. */
function matchesField(wanted: Pattern | readonly Matcher[], value: unknown): boolean {
  const values = Array.isArray(value) ? value : [value]
  if (!isList(wanted)) return values.some(one => matchesPattern(wanted, one))
  return wanted.some(matcher => values.some(one => matchesValue(matcher, one)))
}

function matchesValue(matcher: Matcher, value: unknown): boolean {
  if (typeof matcher !== 'object' || matcher === null) return value === matcher
  if ('prefix' in matcher) return typeof value === 'string' && value.startsWith(matcher.prefix)
  // Only a leaf exists, as EventBridge has it.
  if ('exists' in matcher) return (value !== undefined && !isMap(value)) === matcher.exists
  return value !== undefined && !matchesAny(matcher['anything-but'], value)
}

function matchesAny(but: Scalar | readonly Scalar[] | { readonly prefix: string }, value: unknown): boolean {
  if (typeof but !== 'object' || but === null) return value === but
  if ('prefix' in but) return typeof value === 'string' && value.startsWith(but.prefix)
  return but.some(one => one === value)
}

function isList(wanted: Pattern | readonly Matcher[]): wanted is readonly Matcher[] {
  return Array.isArray(wanted)
}

function fieldOf(value: unknown, field: string): unknown {
  return isMap(value) && Object.hasOwn(value, field) ? value[field] : undefined
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const ScalarValue = z.union([z.string(), z.number(), z.boolean(), z.null()])
const KnownMatcher = z.union([
  ScalarValue,
  z.strictObject({ prefix: z.string() }),
  z.strictObject({ exists: z.boolean() }),
  z.strictObject({
    'anything-but': z.union([ScalarValue, z.array(ScalarValue), z.strictObject({ prefix: z.string() })]),
  }),
])

export interface PatternFault {
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** What of a pattern the local stack does not know; nothing, when `pattern` is a Pattern. */
export function patternFaults(pattern: unknown, path: PatternFault['path'] = []): PatternFault[] {
  if (!isMap(pattern)) return [{ path, message: 'a pattern is a map of fields' }]
  return Object.entries(pattern).flatMap(([field, wanted]) => {
    const here = [...path, field]
    if (field.startsWith('$'))
      return [{ path: here, message: `the local stack does not know ${field} in a pattern` }]
    if (!Array.isArray(wanted)) return patternFaults(wanted, here)
    return wanted.flatMap((matcher: unknown, index) => matcherFaults(matcher, [...here, index]))
  })
}

function matcherFaults(matcher: unknown, path: PatternFault['path']): PatternFault[] {
  if (KnownMatcher.safeParse(matcher).success) return []
  const name = isMap(matcher) ? Object.keys(matcher).join(', ') : JSON.stringify(matcher)
  return [{ path, message: `the local stack does not know the matcher ${name}` }]
}
