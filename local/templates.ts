/**
 * Loads serverless.yml, with the files that it includes and the variables of Serverless worked out: ${file(path)},
 * ${self:address}, ${param:name} and ${sls:stage}, this one within others too. Of several files, as in ${file(a), file(b)}, the
 * first counts that is there. It remembers what came from which file, so that a fault names the place in the
 * file that a person has to open.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, normalize } from 'node:path'
import { parseDocument } from 'yaml'
import { TornadeError } from '../functions/core/errors.ts'

export type Path = readonly PropertyKey[]

/** Faults by place. The first at a place stands: what follows there mostly follows from it. */
export class Faults {
  readonly #messages = new Map<string, string>()

  add(where: string, message: string): void {
    if (!this.#messages.has(where)) this.#messages.set(where, message)
  }

  /** Throws TornadeError `wiring-unknown` with all of them, if there are any. */
  raise(): void {
    if (this.#messages.size === 0) return
    const lines = [...this.#messages].map(([where, message]) => `${where}: ${message}`)
    const message = `serverless.yml and infra/ say ${lines.length} thing(s) that the local stack cannot follow`
    throw new TornadeError('wiring-unknown', message, lines)
  }
}

export interface Templates {
  readonly tree: unknown
  /** `functions.launch.events[0]`, or `infra/queues.yml: Resources.LaunchQueue` for what another file holds. */
  locate(path: Path): string
}

/** Throws TornadeError `config-unreadable` when a file is missing or is no YAML; all else goes to `faults`. */
export async function loadTemplates(root: string, stage: string, faults: Faults): Promise<Templates> {
  const loader = new Loader(root, stage, faults)
  return { tree: await loader.load(), locate: path => loader.locate(path) }
}

const MAIN = 'serverless.yml'

/**
 * A variable of Serverless. What begins with a capital or an exclamation mark (${AWS::Region}, ${LedgerTable.Arn},
 * ${!aws:userid}) is left for CloudFormation's Fn::Sub, by Serverless as well.
 */
const VARIABLE = /\$\{(?![A-Z!])([^{}]*)\}/g
/** Known before anything else, so that it may stand within other variables. */
const STAGE = /\$\{sls:stage\}/g
const VARIABLE_ALONE = /^\$\{(?![A-Z!])([^{}]*)\}$/
/** self:address, or file(path) and file(path):address, or param:name */
const EXPRESSION = /^(?:self:([\w.-]+)|file\(([^()]+)\)(?::([\w.-]+))?|param:(\w+))$/

class Loader {
  readonly #root: string
  readonly #stage: string
  readonly #faults: Faults
  readonly #files = new Map<string, unknown>()
  readonly #origins = new WeakMap<object, string>()
  #tree: unknown = null

  constructor(root: string, stage: string, faults: Faults) {
    this.#root = root
    this.#stage = stage
    this.#faults = faults
  }

  async load(): Promise<unknown> {
    this.#tree = await this.#file(MAIN)
    return this.#resolve(this.#tree, '', [])
  }

  locate(path: Path): string {
    let where = ''
    let value = this.#tree
    for (const key of path) {
      where = step(where, key)
      value = child(value, key)
      where = this.#origin(value) ?? where
    }
    return where
  }

  #origin(value: unknown): string | undefined {
    return typeof value === 'object' && value !== null ? this.#origins.get(value) : undefined
  }

  async #file(name: string): Promise<unknown> {
    if (this.#files.has(name)) return this.#files.get(name)
    const document = parseDocument(await this.#read(name))
    const [error] = document.errors
    if (error) throw new TornadeError('config-unreadable', `${name} is no YAML: ${error.message}`)
    // The short tags of CloudFormation (!Ref, !GetAtt) end up here: one spelling is enough.
    for (const { message, linePos } of document.warnings) {
      const where = `${name}, line ${linePos?.[0].line ?? '?'}`
      this.#faults.add(where, `${message.split(' at line')[0]}; write Ref and Fn::GetAtt in full`)
    }
    const tree: unknown = document.toJS()
    if (typeof tree === 'object' && tree !== null && name !== MAIN) this.#origins.set(tree, `${name}: `)
    this.#files.set(name, tree)
    return tree
  }

  async #read(name: string): Promise<string> {
    try {
      return await readFile(join(this.#root, name), 'utf8')
    } catch (error) {
      throw new TornadeError('config-unreadable', `${name} cannot be read`, [], { cause: error })
    }
  }

  /** Works out the variables below `value`, in lists and maps in place. `open`: the variables that are being worked out. */
  async #resolve(value: unknown, where: string, open: readonly string[]): Promise<unknown> {
    if (typeof value === 'string') return this.#resolveText(value, where, open)
    if (typeof value !== 'object' || value === null) return value
    const base = this.#origins.get(value) ?? where
    for (const [key, one] of Object.entries(value)) {
      const place = step(base, Array.isArray(value) ? Number(key) : key)
      Reflect.set(value, key, await this.#resolve(one, place, open))
    }
    return value
  }

  async #resolveText(text: string, where: string, open: readonly string[]): Promise<unknown> {
    return this.#resolveFlat(
      text.replaceAll(STAGE, () => this.#stage),
      where,
      open,
    )
  }

  async #resolveFlat(text: string, where: string, open: readonly string[]): Promise<unknown> {
    const alone = VARIABLE_ALONE.exec(text)?.[1]
    if (alone !== undefined) return this.#variable(alone, where, open)
    let resolved = ''
    let end = 0
    for (const match of text.matchAll(VARIABLE)) {
      const value = await this.#variable(match[1]!, where, open)
      if (typeof value === 'object') this.#faults.add(where, `${match[0]} is no text`)
      resolved += text.slice(end, match.index) + String(value)
      end = match.index + match[0].length
    }
    resolved += text.slice(end)
    if (/\$\{(?![A-Z!])/.test(text.replaceAll(VARIABLE, ''))) {
      this.#faults.add(where, `the local stack does not know variables within variables: ${text}`)
    }
    return resolved
  }

  async #variable(expression: string, where: string, open: readonly string[]): Promise<unknown> {
    const source = await this.#firstThere(expression.split(/, */))
    const [known, selfAddress, file, fileAddress, param] = EXPRESSION.exec(source) ?? []
    if (known === undefined || (file !== undefined && !isInside(file))) {
      this.#faults.add(where, `the local stack does not know the variable \${${expression}}`)
    } else if (open.includes(expression)) {
      this.#faults.add(where, `\${${expression}} refers to itself`)
    } else {
      const tree = file === undefined ? this.#tree : await this.#file(normalize(file))
      const value = param === undefined ? descend(tree, selfAddress ?? fileAddress) : this.#param(param)
      if (value === undefined) this.#faults.add(where, `\${${expression}} leads nowhere`)
      return this.#resolve(value, where, [...open, expression])
    }
    return ''
  }

  /** The last where there is none of the files before it; all of them where one is no file. */
  async #firstThere(sources: readonly string[]): Promise<string> {
    const files = sources.map(source => EXPRESSION.exec(source)?.[2])
    if (sources.length > 1 && files.includes(undefined)) return sources.join()
    for (const [index, file] of files.slice(0, -1).entries())
      if (isInside(file!) && existsSync(join(this.#root, file!))) return sources[index]!
    return sources.at(-1)!
  }

  /** What `params` says for this stage, else for all: https://github.com/oss-serverless/osls/blob/4.x/docs/guides/parameters.md */
  #param(name: string): unknown {
    return ['default', this.#stage].reduce<unknown>(
      (value, stage) => child(child(child(this.#tree, 'params'), stage), name) ?? value,
      undefined,
    )
  }
}

function isInside(file: string): boolean {
  return !normalize(file).startsWith('..') && !file.startsWith('/')
}

function descend(tree: unknown, address: string | undefined): unknown {
  return (address?.split('.') ?? []).reduce<unknown>(child, tree)
}

function child(value: unknown, key: PropertyKey): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined
}

/** The place `key` below the place `base`. */
export function step(base: string, key: PropertyKey): string {
  if (typeof key === 'number') return `${base}[${key}]`
  return base === '' || base.endsWith(': ') ? `${base}${String(key)}` : `${base}.${String(key)}`
}
