/**
 * Who may import whom: the rooms of the house, and a checker that holds a set of files against them.
 *
 * Imports are read from tokens, so that neither comments nor strings can hide one or make one up. Types count as
 * imports too: who knows another's types depends on it.
 */
import { posix } from 'node:path'

interface Room {
  readonly name: string
  /** The first room whose pattern fits a path has the file. */
  readonly files: RegExp
  /** Names of rooms. */
  readonly mayImport: readonly string[] | 'anything'
  /** Packages and node: modules, where not all of them may be imported. */
  readonly packages?: RegExp
  /** True where only `import type` may be used. */
  readonly typesOnly?: boolean
  /** True where nothing may depend on time, chance or surroundings. */
  readonly pure?: boolean
}

/** Everything but the SDK of AWS. */
const NO_AWS = /^(?!@aws-sdk\/|@smithy\/|@aws-crypto\/|aws4fetch)/
const SHARED = ['core', 'ports', 'config'] as const
const FUNCTIONS = [...SHARED, 'functions', 'pages'] as const

export const ROOMS: readonly Room[] = [
  { name: 'core', files: /^functions\/core\//, mayImport: ['core'], packages: /^zod(\/mini)?$/, pure: true },
  { name: 'ports', files: /^functions\/ports\.ts$/, mayImport: ['core'], packages: /^$/, typesOnly: true },
  { name: 'config', files: /^functions\/config\.ts$/, mayImport: ['core'], packages: /^zod(\/mini)?$/ },
  {
    name: 'entry',
    files: /^functions\/aws\/entry\//,
    mayImport: [...FUNCTIONS, 'aws', 'github', 'slack'],
  },
  { name: 'aws', files: /^functions\/aws\//, mayImport: [...SHARED, 'aws'], packages: /^(?!@octokit\/)/ },
  { name: 'github', files: /^functions\/github\//, mayImport: [...SHARED, 'github'], packages: NO_AWS },
  { name: 'slack', files: /^functions\/slack\//, mayImport: [...SHARED, 'slack'], packages: /^$/ },
  { name: 'pages', files: /^functions\/dashboard\//, mayImport: FUNCTIONS, packages: NO_AWS },
  { name: 'functions', files: /^functions\/[\w-]+\.ts$/, mayImport: FUNCTIONS, packages: NO_AWS },
  {
    name: 'verdict',
    files: /^runner-image\/supervisor\/policy\.ts$/,
    mayImport: [],
    packages: /^$/,
    pure: true,
  },
  { name: 'local', files: /^local\//, mayImport: [...FUNCTIONS, 'local', 'verdict'], packages: NO_AWS },
  { name: 'cli', files: /^cli\//, mayImport: 'anything' },
  { name: 'bench', files: /^bench\//, mayImport: 'anything' },
  { name: 'test', files: /^test\//, mayImport: 'anything' },
]

function roomOf(path: string): Room | undefined {
  return ROOMS.find(room => room.files.test(path))
}

/** What breaks the rules in `files` (path from the root of the project → text), one line each. */
export function checkHouse(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) => {
    const room = roomOf(path)
    if (!room) return [`${path} lies in no room`]
    if (!/\.m?[jt]s$/.test(path)) return []
    try {
      return checkSource(path, room, tokenize(text))
    } catch (error) {
      return [`${path} cannot be read: ${(error as Error).message}`]
    }
  })
}

function checkSource(path: string, room: Room, tokens: readonly Token[]): string[] {
  return [
    ...imports(tokens).flatMap(found => checkImport(path, room, found)),
    ...(room.pure ? impurities(tokens).map(what => `${path} uses ${what}: ${room.name} is pure`) : []),
  ]
}

function checkImport(path: string, room: Room, { specifier, typeOnly, line }: Import): string[] {
  const where = `${path}:${line}`
  if (specifier === null)
    return [`${where} imports what no reader can tell: write the module as a plain string`]
  if (room.typesOnly && !typeOnly)
    return [`${where} imports ${specifier}: ${room.name} may import types only`]
  if (!specifier.startsWith('.')) {
    if (room.packages?.test(specifier) ?? true) return []
    return [`${where} imports ${specifier}: a package that ${room.name} may not import`]
  }
  const target = posix.join(posix.dirname(path), specifier)
  const targetRoom = roomOf(target)?.name ?? 'nothing'
  if (room.mayImport === 'anything' || room.mayImport.includes(targetRoom)) return []
  return [
    `${where} imports ${target}: ${room.name} may import ${room.mayImport.join(', ')}, not ${targetRoom}`,
  ]
}

/** Globals that know the time, throw dice, or reach out of the process. */
const GLOBALS =
  /^(?:process|performance|crypto|console|fetch|globalThis|navigator|require|Temporal|set(?:Timeout|Interval|Immediate)|queueMicrotask)$/
/** Methods whose answer depends on the machine's time zone or language. */
const SURROUNDINGS =
  /^(?:get(?:Hours|Minutes|Date|Day|Month|FullYear|TimezoneOffset)|set(?:Hours|Minutes|Date|Month|FullYear)|toLocale\w*|localeCompare)$/

function impurities(tokens: readonly Token[]): string[] {
  return tokens.flatMap(({ kind, text, line }, index) => {
    if (kind !== 'word') return []
    const [before, next, afterNext] = [
      tokens[index - 1]?.text,
      tokens[index + 1]?.text,
      tokens[index + 2]?.text,
    ]
    const isMember = before === '.' || before === '?.'
    const found = isMember
      ? SURROUNDINGS.test(text)
      : GLOBALS.test(text) ||
        (text === 'Math' && (next !== '.' || afterNext === 'random')) ||
        (text === 'Date' && !isPureDate(before, next, afterNext))
    return found ? [`${text} in line ${line}`] : []
  })
}

/** Dates made from something, and the type. */
function isPureDate(
  before: string | undefined,
  next: string | undefined,
  afterNext: string | undefined,
): boolean {
  if (before === 'new') return next === '(' && afterNext !== ')'
  if (next === '.') return afterNext === 'UTC' || afterNext === 'parse'
  return [':', '|', '<', 'as', 'instanceof'].includes(before ?? '') && next !== '('
}

// ------------------------------------------------------------------------------------------------- reading imports

export interface Import {
  /** null when it is not written as a plain string. */
  readonly specifier: string | null
  /** Of `import type` and `export type`, which leave nothing at run time. */
  readonly typeOnly: boolean
  readonly line: number
}

/** All modules that a source names: import, export from, import(), and types by import('…'). */
export function readImports(source: string): Import[] {
  return imports(tokenize(source))
}

function imports(tokens: readonly Token[]): Import[] {
  return tokens.flatMap((token, index) => {
    const before = tokens[index - 1]?.text
    if (token.kind !== 'word' || before === '.' || before === '?.') return []
    if (token.text === 'import') return importAt(tokens, index)
    if (token.text === 'export') return exportAt(tokens, index)
    return []
  })
}

function importAt(tokens: readonly Token[], index: number): Import[] {
  const next = tokens[index + 1]
  if (!next || next.text === '.' || next.text === ':') return []
  const { line } = tokens[index]!
  if (next.kind === 'string') return [{ specifier: next.text, typeOnly: false, line }]
  if (next.text === '(') return [{ specifier: plainArgument(tokens, index + 2), typeOnly: false, line }]
  return fromClause(tokens, index)
}

function exportAt(tokens: readonly Token[], index: number): Import[] {
  const next = tokens[index + (tokens[index + 1]?.text === 'type' ? 2 : 1)]?.text
  return next === '{' || next === '*' ? fromClause(tokens, index) : []
}

/** The module of `import … from '…'`; none when the statement has no `from`, as in `export { x }`. */
function fromClause(tokens: readonly Token[], index: number): Import[] {
  const typeOnly =
    tokens[index + 1]?.text === 'type' && !['from', ','].includes(tokens[index + 2]?.text ?? '')
  let depth = 0
  for (let at = index + 1; at < tokens.length; at++) {
    const { kind, text } = tokens[at]!
    if (kind === 'other' && text === '{') depth++
    if (kind === 'other' && text === '}') depth--
    const next = tokens[at + 1]
    if (kind === 'word' && text === 'from' && depth === 0 && next?.kind === 'string') {
      return [{ specifier: next.text, typeOnly, line: tokens[index]!.line }]
    }
    if (depth === 0 && text === '}' && next?.text !== 'from') return []
  }
  return []
}

function plainArgument(tokens: readonly Token[], index: number): string | null {
  const [argument, end] = [tokens[index], tokens[index + 1]?.text]
  return argument?.kind === 'string' && (end === ')' || end === ',') ? argument.text : null
}

// ----------------------------------------------------------------------------------------------------------- tokens

interface Token {
  readonly kind: 'word' | 'string' | 'template' | 'regex' | 'other'
  /** Of a string: what stands between its quotes. */
  readonly text: string
  readonly line: number
}

const SPACE = /\s+/y
const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y
const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*|\d[\w.]*/uy
const STRING = /'((?:[^'\\\n]|\\[\s\S])*)'|"((?:[^"\\\n]|\\[\s\S])*)"/y
/** A piece of a template: up to its end, or to the next thing that it embeds. */
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y
const OTHER = /\?\.|[\s\S]/uy

/** Words after which a slash starts a regular expression. */
const BEFORE_REGEX = /^(?:return|typeof|case|in|of|do|else|void|delete|await|yield|throw|new|instanceof)$/

/** The tokens of a source without its comments. Throws for a string or template that does not end. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** Open braces; true for those that embed something in a template. */
  const braces: boolean[] = []
  let at = 0
  let line = 1

  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(source)
    at += match?.[0].length ?? 0
    line += match?.[0].split('\n').length ?? 1
    line -= 1
    return match
  }
  const add = (kind: Token['kind'], text: string, start: number) => tokens.push({ kind, text, line: start })
  const template = (start: number) => {
    const match = take(TEMPLATE)
    if (!match) throw new Error(`the template in line ${start} does not end`)
    if (match[1] === '${') braces.push(true)
    add('template', '`', start)
  }

  while (at < source.length) {
    const start = line
    if (take(SPACE) || take(COMMENT)) continue
    const string = take(STRING)
    const word = string ? null : take(WORD)
    if (string) add('string', string[1] ?? string[2] ?? '', start)
    else if (word) add('word', word[0], start)
    else if (source[at] === '/' && startsRegex(tokens.at(-1)) && take(REGEX)) add('regex', '/', start)
    else {
      const [text] = take(OTHER)!
      if (text === "'" || text === '"') throw new Error(`the string in line ${start} does not end`)
      if (text === '`') template(start)
      else if (text === '}' && braces.pop()) template(start)
      else {
        if (text === '{') braces.push(false)
        add('other', text, start)
      }
    }
  }
  return tokens
}

function startsRegex(before: Token | undefined): boolean {
  if (!before) return true
  if (before.kind === 'word') return BEFORE_REGEX.test(before.text)
  return before.kind === 'other' && !/^[)\]}]$/.test(before.text)
}
