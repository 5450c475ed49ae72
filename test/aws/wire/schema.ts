/** Holds a JSON body against the schema that the SDK publishes for it. */
import { NormalizedSchema } from '@smithy/core/schema'

/** What is wrong with `value`, one line each; unknown members too, which AWS itself would pass over in silence. */
export function schemaFaults(schema: unknown, value: unknown): string[] {
  return faults(NormalizedSchema.of(schema as Parameters<typeof NormalizedSchema.of>[0]), value, '')
}

function faults(schema: NormalizedSchema, value: unknown, path: string): string[] {
  const at = path || 'the request'
  if (schema.isStructSchema())
    return isObject(value) ? structFaults(schema, value, path) : [`${at} is no object`]
  if (schema.isListSchema())
    return Array.isArray(value)
      ? value.flatMap((item, index) => faults(schema.getValueSchema(), item, `${path}[${index}]`))
      : [`${at} is no list`]
  if (schema.isMapSchema())
    return isObject(value)
      ? Object.entries(value).flatMap(([key, item]) => faults(schema.getValueSchema(), item, join(path, key)))
      : [`${at} is no map`]
  const type = scalarType(schema)
  return typeof value === type ? [] : [`${at} is no ${type}`]
}

function structFaults(schema: NormalizedSchema, value: Record<string, unknown>, path: string): string[] {
  const members = new Map(schema.structIterator())
  const unknown = Object.keys(value)
    .filter(name => !members.has(name))
    .map(name => `${join(path, name)} is unknown`)
  // The required members come first, and their number last: StaticStructureSchema of @smithy/types.
  const raw = schema.getSchema() as readonly unknown[]
  const required = [...members.keys()].slice(0, (raw[6] as number | undefined) ?? 0)
  const missing = required
    .filter(name => value[name] === undefined)
    .map(name => `${join(path, name)} is missing`)
  const wrong = [...members]
    .filter(([name]) => value[name] !== undefined)
    .flatMap(([name, member]) => faults(member, value[name], join(path, name)))
  const several =
    schema.isUnionSchema() && Object.keys(value).length !== 1 ? [`${path} is not one of a union`] : []
  return [...unknown, ...missing, ...wrong, ...several]
}

function scalarType(schema: NormalizedSchema): 'string' | 'number' | 'boolean' {
  if (schema.isBooleanSchema()) return 'boolean'
  // AWS JSON writes timestamps as seconds, and blobs as base64.
  if (schema.isNumericSchema() || schema.isTimestampSchema()) return 'number'
  if (schema.isStringSchema() || schema.isBlobSchema()) return 'string'
  throw new Error(`no reader for ${schema.getName(true)}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name
}
