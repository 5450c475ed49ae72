/** Holds requests and answers against Argo CD's own API description (Swagger 2.0), unknown fields refused. */
import { readFileSync } from 'node:fs'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema?: object }[]
  readonly responses: Readonly<Record<string, { readonly schema?: object }>>
}
interface Swagger {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly definitions: Readonly<Record<string, object>>
}

export class ArgoDescription {
  readonly #swagger: Swagger
  readonly #ajv: Ajv
  readonly #compiled = new Map<string, ValidateFunction>()

  private constructor(swagger: Swagger) {
    this.#swagger = closed(joined(swagger)) as Swagger
    this.#ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true })
    addFormats.default(this.#ajv as never)
    for (const format of ['int64', 'int32', 'byte']) this.#ajv.addFormat(format, true)
    this.#ajv.addSchema({ $id: 'argocd', definitions: this.#swagger.definitions })
  }

  /** The file that ARGOCD_SWAGGER names; null where it names none. */
  static load(): ArgoDescription | null {
    const file = process.env.ARGOCD_SWAGGER
    return file ? new ArgoDescription(JSON.parse(readFileSync(file, 'utf8')) as Swagger) : null
  }

  requestFaults(method: string, url: URL, body: unknown): string[] {
    const operation = this.#operation(method, url.pathname)
    if (!operation) return [`${method} ${url.pathname} is not described`]
    const known = (operation.parameters ?? []).filter(parameter => parameter.in === 'query')
    const bodySchema = operation.parameters?.find(parameter => parameter.in === 'body')?.schema
    return [
      ...[...url.searchParams.keys()]
        .filter(name => !known.some(parameter => parameter.name === name))
        .map(name => `the query parameter ${name} is not described`),
      ...(bodySchema
        ? this.#faults(bodySchema, body)
        : body === undefined
          ? []
          : ['a body is not described']),
    ]
  }

  /** Of a stream each of its lines is an answer. */
  answerFaults(method: string, url: URL, status: number, body: unknown): string[] {
    const operation = this.#operation(method, url.pathname)
    const { schema } = operation?.responses[status] ?? operation?.responses.default ?? {}
    return schema ? this.#faults(schema, body) : [`${status} of ${method} ${url.pathname} is not described`]
  }

  #operation(method: string, path: string): Operation | undefined {
    return Object.entries(this.#swagger.paths)
      .filter(([template]) => new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+')}$`).test(path))
      .map(([, operations]) => operations[method.toLowerCase()])
      .find(operation => operation !== undefined)
  }

  #faults(schema: object, value: unknown): string[] {
    const key = JSON.stringify(schema)
    const validate =
      this.#compiled.get(key) ?? this.#ajv.compile(JSON.parse(key.replaceAll('"#/', '"argocd#/')))
    this.#compiled.set(key, validate)
    if (validate(value)) return []
    return validate.errors!.map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    )
  }
}

/** Each part of an `allOf`, closed by itself, would refuse what the others have. */
function joined(swagger: Swagger): Swagger {
  interface Definition {
    readonly allOf?: readonly { readonly $ref: string }[]
    readonly properties?: object
  }
  const definitions = swagger.definitions as Readonly<Record<string, Definition>>
  const whole = Object.entries(definitions).map(([name, { allOf = [], ...own }]) => {
    const parts = allOf.map(({ $ref }) => definitions[$ref.split('/').at(-1)!]?.properties)
    return [name, { ...own, properties: Object.assign({}, ...parts, own.properties) }]
  })
  return {
    ...swagger,
    definitions: {
      ...definitions,
      ...Object.fromEntries(whole.filter(([name]) => definitions[String(name)]?.allOf)),
    },
  }
}

/** Without this, a field that Argo CD does not know would fit every description. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const inner = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, closed(item)]))
  const { type, properties, additionalProperties } = inner
  return type === 'object' && properties && additionalProperties === undefined
    ? { ...inner, additionalProperties: false }
    : inner
}
