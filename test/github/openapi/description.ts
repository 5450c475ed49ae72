/** Holds requests and answers against GitHub's own description of its REST API, as far as tornade calls it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import addFormats from 'ajv-formats'
import { type Document, OpenAPIBackend } from 'openapi-backend'

export interface DescribedRequest {
  readonly method: string
  /** Below the root of the API, without the query. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  /** undefined where there is none. */
  readonly body: unknown
}

export interface Match {
  readonly operationId: string
  readonly params: Readonly<Record<string, string>>
}

export class Description {
  readonly #api: OpenAPIBackend

  private constructor(api: OpenAPIBackend) {
    this.#api = api
  }

  static async load(): Promise<Description> {
    const text = readFileSync(join(import.meta.dirname, 'github.json'), 'utf8')
    const definition = nullablesForAjv(JSON.parse(text)) as Document
    const api = new OpenAPIBackend({
      definition,
      // The examples in GitHub's description are not all what it says they are
      strict: false,
      // Schemas are compiled when they are first needed: a test uses few of them
      quick: true,
      ajvOpts: { strict: false, formats: { timestamp: true, 'repository.name': true } },
      customizeAjv: ajv => addFormats.default(ajv as never) as never,
    })
    await api.init()
    return new Description(api)
  }

  /** The operation that this is a request for. */
  match({ method, path }: Pick<DescribedRequest, 'method' | 'path'>): Match | null {
    const request = { method, path, headers: {} }
    const operation = this.#api.router.matchOperation(request)
    if (!operation?.operationId) return null
    const { params } = this.#api.router.parseRequest(request, operation)
    return { operationId: operation.operationId, params: params as Record<string, string> }
  }

  /** What is wrong with a request. GitHub ignores a parameter or property that it does not know; here it is wrong. */
  requestFaults(operationId: string, request: DescribedRequest): string[] {
    const { method, path, query, headers, body } = request
    const operation = this.#api.router.getOperation(operationId)!
    const result = this.#api.validator.validateRequest(
      { method, path, query: { ...query }, headers: { ...headers }, body },
      operation,
    )
    const known = (operation.parameters ?? []) as { name: string; in: string }[]
    const content = (operation.requestBody as Body | undefined)?.content['application/json']?.schema
    const properties = typeof body === 'object' && body !== null ? Object.keys(body) : []
    return [
      ...(result.errors ?? []).map(fault => `${fault.instancePath} ${fault.message}`),
      ...Object.keys(query)
        .filter(name => !known.some(parameter => parameter.in === 'query' && parameter.name === name))
        .map(name => `the query parameter ${name} is not described`),
      ...properties
        .filter(name => !(name in (content?.properties ?? {})))
        .map(name => `the property ${name} is not described`),
    ]
  }

  /** What is wrong with an answer; one with a status that is not described must be an error like any other. */
  responseFaults(operationId: string, status: number, body: unknown): string[] {
    const described = this.#api.router.getOperation(operationId)!.responses as Record<string, Body>
    if (status === 204) return body === undefined ? [] : ['a 204 has no body']
    if (!described[status]?.content) return errorFaults(status, body)
    const { errors } = this.#api.validator.validateResponse(body, operationId, status)
    return (errors ?? []).map(fault => `${fault.instancePath} ${fault.message}`)
  }

  /** GitHub's example of an answer. */
  example(operationId: string, status: number): Record<string, unknown> {
    const { mock } = this.#api.mockResponseForOperation(operationId, { code: status })
    return structuredClone(mock)
  }
}

interface Body {
  readonly content: Readonly<Record<string, { readonly schema?: { readonly properties?: object } }>>
}

/** `basic-error` */
function errorFaults(status: number, body: unknown): string[] {
  if (status < 400) return [`${status} is not described`]
  const { message } = (body ?? {}) as { message?: unknown }
  return typeof message === 'string' ? [] : [`an answer with status ${status} has a message`]
}

/** OpenAPI 3.0 has `nullable` beside `$ref`, `oneOf` and `enum`, where ajv refuses it or still wants one of the values. */
function nullablesForAjv(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(nullablesForAjv)
  if (typeof value !== 'object' || value === null) return value
  const { nullable, ...rest } = value as Record<string, unknown>
  const inner = Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, nullablesForAjv(item)]))
  return nullable === true ? { anyOf: [inner, { enum: [null] }] } : inner
}
