/**
 * Changes single values of a YAML text and leaves every other byte as it is: a parser finds where the values stand, and the text
 * is cut there. What comes out is parsed again and compared with the same change made to the parsed documents, so that a
 * text that is written in a way nobody thought of is refused instead of being spoilt.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  type Node,
  type Pair,
  parse,
  parseAllDocuments,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { unusable } from './fault.ts'

export type Path = readonly (string | number)[]

/** A value as it stood and as it is wanted; `before` is null where there was none. */
export interface Change {
  readonly document: number
  readonly path: Path
  readonly before: string | null
  /** undefined takes the value away. */
  readonly after: unknown
}

export interface Edited {
  readonly text: string
  /** Also those that stood so already. */
  readonly changes: readonly Change[]
}

interface Splice {
  readonly start: number
  readonly end: number
  readonly text: string
}

export class YamlText {
  readonly text: string
  readonly name: string
  readonly documents: readonly Document.Parsed[]
  readonly newline: string
  readonly #splices: Splice[] = []
  readonly #changes: Change[] = []

  /** @throws DeployFault where it is no YAML */
  constructor(text: string, name: string) {
    this.text = text
    this.name = name
    this.newline = text.includes('\r\n') ? '\r\n' : '\n'
    this.documents = parsed(text)
    const fault = this.documents.flatMap(({ errors }) => errors)[0]
    if (fault) throw unusable(`${name} is no YAML that can be read: ${fault.message.split('\n')[0]}`)
  }

  /** The only document of a text that holds one. */
  get single(): Document.Parsed {
    const [document, ...others] = this.documents
    if (!document || others.length > 0) throw this.fault('holds not one YAML document')
    return document
  }

  /** @throws DeployFault where a value on the way is an alias, whose text stands elsewhere */
  find(path: Path): Pair | Node | null {
    let found: Pair | Node | null = null
    let node: unknown = this.single.contents
    for (const key of path) {
      if (isAlias(node))
        throw this.fault(`has an alias on the way to ${path.join('.')}; name the value itself`)
      found = childOf(node, key)
      node = isPair(found) ? found.value : found
    }
    if (isAlias(node)) throw this.fault(`has an alias at ${path.join('.')}; name the value itself`)
    return found
  }

  /** Puts a value where a scalar, or nothing, stands. */
  set(document: number, path: Path, at: Pair | Node, value: string): void {
    const node = isPair(at) ? (at.value as Node | null) : at
    if (node !== null && !isScalar(node)) throw this.fault(`has no single value at ${path.join('.')}`)
    const before = node === null || node.value === null ? null : String(node.value)
    this.#changes.push({ document, path, before, after: value })
    if (before === value && typeof node!.value === 'string') return
    const [start, end] = node?.range ?? [0, 0]
    if (start !== end) {
      if (node!.type === Scalar.BLOCK_FOLDED || node!.type === Scalar.BLOCK_LITERAL)
        throw this.fault(`has a block of text at ${path.join('.')}; write the value on one line`)
      this.#splices.push({ start, end, text: rendered(value, node!.type) })
    } else {
      const colon = isPair(at) ? colonOf(at) : null
      if (colon === null) throw this.fault(`has nothing at ${path.join('.')}`)
      this.#splices.push({ start: colon, end: colon, text: ` ${rendered(value)}` })
    }
  }

  /** Turns `key: old` into `renamed: value`. */
  rename(path: Path, pair: Pair, renamed: string, value: string): void {
    const key = pair.key as Scalar.Parsed
    const node = pair.value as Scalar.Parsed | null
    if (!isScalar(node) || node.range[0] === node.range[1])
      throw this.fault(`has no value at ${path.join('.')}`)
    this.#splices.push({ start: key.range[0], end: key.range[1], text: renamed })
    this.#splices.push({ start: node.range[0], end: node.range[1], text: rendered(value, node.type) })
    this.#changes.push({ document: 0, path, before: String(node.value), after: undefined })
    this.#changes.push({ document: 0, path: [...path.slice(0, -1), renamed], before: null, after: value })
  }

  /** Writes `key: value` below the last entry of a map. */
  add(path: Path, map: YAMLMap, key: string, value: string): void {
    const [first] = map.items
    const end = lastEnd(map)
    const entry = `${key}: ${rendered(value)}`
    if (map.flow) this.#splices.push({ start: end, end, text: `, ${entry}` })
    else {
      const column = this.column((first!.key as Scalar.Parsed).range[0])
      const start = this.endOfLine(end)
      this.#splices.push({ start, end: start, text: `${this.newline}${' '.repeat(column)}${entry}` })
    }
    this.#changes.push({ document: 0, path: [...path, key], before: null, after: value })
  }

  /** Text of the caller's at a place of the caller's. */
  insert(start: number, end: number, text: string, path: Path, value: unknown): void {
    this.#splices.push({ start, end, text })
    this.#changes.push({ document: 0, path, before: null, after: value })
  }

  /** How many characters stand before it on its line. */
  column(offset: number): number {
    return offset - (this.text.lastIndexOf('\n', offset - 1) + 1)
  }

  endOfLine(offset: number): number {
    const end = this.text.indexOf('\n', offset)
    if (end < 0) return this.text.length
    return this.text[end - 1] === '\r' ? end - 1 : end
  }

  lastEnd(node: Node): number {
    return lastEnd(node)
  }

  /** @throws DeployFault where the text would come to mean something else as well */
  done(): Edited {
    let text = this.text
    // Of two at one place the later one stands behind the other.
    const splices = this.#splices.map((splice, index) => ({ ...splice, index }))
    for (const splice of splices.sort((a, b) => b.start - a.start || b.index - a.index))
      text = text.slice(0, splice.start) + splice.text + text.slice(splice.end)
    if (!this.#isMeant(text)) throw this.fault('is written in a way that cannot be changed safely')
    return { text, changes: this.#changes }
  }

  #isMeant(text: string): boolean {
    const wanted = parsed(this.text)
    for (const { document, path, after } of this.#changes) {
      if (after === undefined) wanted[document]!.deleteIn(path)
      else wanted[document]!.setIn(path, after)
    }
    const got = parsed(text)
    try {
      return (
        got.every(({ errors }) => errors.length === 0) &&
        isDeepStrictEqual(
          got.map(document => document.toJS()),
          wanted.map(document => document.toJS()),
        )
      )
    } catch {
      // Aliases of aliases of aliases, of which the parser makes no value.
      return false
    }
  }

  fault(what: string) {
    return unusable(`${this.name} ${what}.`)
  }
}

function parsed(text: string): Document.Parsed[] {
  const documents = parseAllDocuments(text, { keepSourceTokens: true, logLevel: 'silent' })
  return Array.isArray(documents) ? [...documents] : []
}

function childOf(node: unknown, key: string | number): Pair | Node | null {
  if (isMap(node))
    return node.items.find(item => isScalar(item.key) && String(item.key.value) === String(key)) ?? null
  const items = (node as { items?: Node[] } | null)?.items
  return Array.isArray(items) && /^\d+$/.test(String(key)) ? (items[Number(key)] ?? null) : null
}

/** Where the `:` of `key:` without a value ends. */
function colonOf(pair: Pair): number | null {
  const token = (pair as { srcToken?: { sep?: { type: string; offset: number }[] } }).srcToken
  const colon = token?.sep?.find(({ type }) => type === 'map-value-ind')
  return colon ? colon.offset + 1 : null
}

function lastEnd(node: Node): number {
  let end = 0
  visit(node, {
    Scalar: (_, { range }) => {
      end = Math.max(end, range?.[1] ?? 0)
    },
    Alias: (_, { range }) => {
      end = Math.max(end, range?.[1] ?? 0)
    },
  })
  return end
}

/** In the quotes that stood there. Helm and Kubernetes read YAML 1.1, where `on` and `1_0` are no text. */
export function rendered(value: string, type?: string): string {
  if (type === Scalar.QUOTE_SINGLE) return `'${value.replaceAll("'", "''")}'`
  if (type === Scalar.QUOTE_DOUBLE) return JSON.stringify(value)
  return isPlain(value) ? value : JSON.stringify(value)
}

function isPlain(value: string): boolean {
  if (!/^[\w./:@-]+$/.test(value)) return false
  return (['1.1', '1.2'] as const).every(version =>
    isDeepStrictEqual(parse(`[${value}]`, { version, logLevel: 'silent' }), [value]),
  )
}
