// biome-ignore-all lint/suspicious/noTemplateCurlyInString: sources with templates in them
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkHouse, readImports } from './house.ts'

const ROOT = join(import.meta.dirname, '..')

async function filesBelow(...folders: string[]): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const folder of folders) {
    const entries = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })
    for (const entry of entries.filter(entry => entry.isFile())) {
      const path = join(entry.parentPath, entry.name)
      files.set(path.slice(ROOT.length + 1), await readFile(path, 'utf8'))
    }
  }
  return files
}

const check = (files: Readonly<Record<string, string>>) => checkHouse(new Map(Object.entries(files)))

describe('the house', () => {
  it('is built as the design has it', async () => {
    const files = await filesBelow('functions', 'local', 'cli', 'bench')
    const verdict = 'runner-image/supervisor/policy.ts'
    files.set(verdict, await readFile(join(ROOT, verdict), 'utf8'))
    expect(files.has('functions/ports.ts')).toBe(true)
    expect(files.has('local/wiring.ts')).toBe(true)
    expect(checkHouse(files)).toEqual([])
  })
})

describe('the checker', () => {
  it.each<[string, string, string]>([
    ['core', 'functions/core/a.ts', "import { b } from './b.ts'; import { c } from './sub/c.ts'"],
    ['core, its schemas', 'functions/core/a.ts', "import * as z from 'zod/mini'"],
    ['ports, types of core', 'functions/ports.ts', "import type { Job } from './core/types.ts'"],
    ['config', 'functions/config.ts', "import { read } from './core/labels.ts'"],
    [
      'aws',
      'functions/aws/queue.ts',
      "import '@aws-sdk/client-sqs'; import '../ports.ts'; import './names.ts'; import '../core/a.ts'",
    ],
    [
      'github',
      'functions/github/jobs.ts',
      "import '@octokit/rest'; import '../ports.ts'; import '../config.ts'",
    ],
    [
      'an entry',
      'functions/aws/entry/launch.ts',
      "import '../queue.ts'; import '../../github/jobs.ts'; import '../../launch.ts'",
    ],
    [
      'a factory',
      'functions/launch.ts',
      "import './core/a.ts'; import './ports.ts'; import './config.ts'; import './start.ts'; import './lambda.ts'",
    ],
    ['the dashboard', 'functions/dashboard.ts', "import './dashboard/jobs.ts'; import 'hono/html'"],
    ['a page', 'functions/dashboard/jobs.ts', "import './layout.ts'; import '../core/a.ts'"],
    [
      'local',
      'local/world.ts',
      "import './clock.ts'; import '../functions/launch.ts'; import '../functions/lambda.ts'; import '../functions/core/a.ts'",
    ],
    [
      'cli',
      'cli/start.ts',
      "import '../local/world.ts'; import '../functions/aws/queue.ts'; import '../package.json'",
    ],
    ['bench', 'bench/replay.ts', "import '../local/world.ts'"],
  ])('lets %s import what it may', (_, path, source) => {
    expect(check({ [path]: source })).toEqual([])
  })

  it.each<[string, string, string]>([
    ['functions/core/a.ts', '../ports.ts', 'core may import core, not ports'],
    ['functions/core/a.ts', '../config.ts', 'core may import core, not config'],
    ['functions/core/a.ts', '../../local/clock.ts', 'core may import core, not local'],
    ['functions/core/a.ts', '../../package.json', 'core may import core, not nothing'],
    ['functions/core/a.ts', 'node:crypto', 'a package that core may not import'],
    ['functions/core/a.ts', 'yaml', 'a package that core may not import'],
    ['functions/ports.ts', './config.ts', 'ports may import types only'],
    ['functions/config.ts', './ports.ts', 'config may import core, not ports'],
    ['functions/config.ts', 'node:fs', 'a package that config may not import'],
    ['functions/aws/queue.ts', '../github/jobs.ts', 'aws may import core, ports, config, aws, not github'],
    ['functions/aws/queue.ts', './entry/launch.ts', 'aws may import core, ports, config, aws, not entry'],
    ['functions/aws/queue.ts', '../launch.ts', 'aws may import core, ports, config, aws, not functions'],
    ['functions/aws/queue.ts', '@octokit/rest', 'a package that aws may not import'],
    ['functions/github/jobs.ts', '../aws/queue.ts', 'github may import core, ports, config, github, not aws'],
    ['functions/github/jobs.ts', '@aws-sdk/client-sqs', 'a package that github may not import'],
    [
      'functions/launch.ts',
      './aws/queue.ts',
      'functions may import core, ports, config, functions, pages, not aws',
    ],
    [
      'functions/launch.ts',
      './github/jobs.ts',
      'functions may import core, ports, config, functions, pages, not github',
    ],
    [
      'functions/launch.ts',
      '../local/queue.ts',
      'functions may import core, ports, config, functions, pages, not local',
    ],
    [
      'functions/launch.ts',
      '../cli/start.ts',
      'functions may import core, ports, config, functions, pages, not cli',
    ],
    ['functions/lambda.ts', '@aws-sdk/client-sqs', 'a package that functions may not import'],
    [
      'functions/dashboard/jobs.ts',
      '../aws/ledger.ts',
      'pages may import core, ports, config, functions, pages, not aws',
    ],
    ['functions/aws/entry/launch.ts', '../../../local/world.ts', 'not local'],
    [
      'local/world.ts',
      '../functions/aws/queue.ts',
      'local may import core, ports, config, functions, pages, local, verdict, not aws',
    ],
    ['local/world.ts', '../functions/aws/entry/launch.ts', 'not entry'],
    ['local/world.ts', '../functions/github/jobs.ts', 'not github'],
    ['local/world.ts', '../cli/start.ts', 'not cli'],
    ['local/world.ts', '../test/house.ts', 'not test'],
    ['local/world.ts', '@aws-sdk/client-sqs', 'a package that local may not import'],
  ])('does not let %s import %s', (path, specifier, reason) => {
    const faults = check({ [path]: `\nimport { x } from '${specifier}'` })
    expect(faults).toEqual([expect.stringContaining(reason)])
    expect(faults[0]).toContain(`${path}:2 imports`)
  })

  it('does not let ports import values of core, nor types of anything else', () => {
    const values = "import { Job } from './core/types.ts'"
    expect(check({ 'functions/ports.ts': values })).toEqual([
      'functions/ports.ts:1 imports ./core/types.ts: ports may import types only',
    ])
    const types = "import type { Config } from './config.ts'"
    expect(check({ 'functions/ports.ts': types })).toEqual([
      'functions/ports.ts:1 imports functions/config.ts: ports may import core, not config',
    ])
  })

  it('counts types as imports', () => {
    expect(check({ 'local/world.ts': "import type { X } from '../functions/aws/queue.ts'" })).toHaveLength(1)
    expect(check({ 'local/world.ts': "type X = import('../functions/aws/queue.ts').X" })).toHaveLength(1)
  })

  it('finds an import that only runs later, and refuses one that it cannot read', () => {
    expect(check({ 'local/world.ts': "await import('../functions/aws/queue.ts')" })).toHaveLength(1)
    expect(check({ 'local/world.ts': 'await import(name)' })).toEqual([
      'local/world.ts:1 imports what no reader can tell: write the module as a plain string',
    ])
    expect(check({ 'local/world.ts': "await import('../functions/' + name)" })).toHaveLength(1)
    expect(check({ 'local/world.ts': 'await import(`../functions/aws/queue.ts`)' })).toHaveLength(1)
  })

  it.each(['functions/helpers/a.ts', 'functions/a.json', 'functions/aws.js', 'lib/a.ts', 'a.ts'])(
    'knows no room for %s',
    path => {
      expect(check({ [path]: '' })).toEqual([`${path} lies in no room`])
    },
  )

  it('holds what it cannot read against it', () => {
    expect(check({ 'functions/core/a.ts': "const a = 'b" })).toEqual([
      'functions/core/a.ts cannot be read: the string in line 1 does not end',
    ])
  })

  it('reads JavaScript too, and lets other files be', () => {
    expect(check({ 'functions/dashboard/page.js': "import '../aws/queue.ts'" })).toHaveLength(1)
    expect(check({ 'functions/dashboard/page.css': "@import '../aws/queue.ts'; it's fine" })).toEqual([])
  })

  it.each([
    'Date.now()',
    'new Date()',
    'new Date',
    'Date()',
    'Date\n  .now()',
    'const { now } = Date',
    'const clock = Date',
    'const { random } = Math',
    'Math.random()',
    'process.env.X',
    'performance.now()',
    'crypto.randomUUID()',
    'globalThis.x',
    'setTimeout(run, 1)',
    'console.log(1)',
    'time.getHours()',
    'time?.getTimezoneOffset()',
    'count.toLocaleString()',
    'a.localeCompare(b)',
    `\`\${Date.now()}\``,
  ])('does not let core use %s', source => {
    expect(check({ 'functions/core/a.ts': source })).toEqual([expect.stringMatching(/: core is pure$/)])
    expect(check({ 'local/a.ts': source })).toEqual([])
  })

  it.each([
    'new Date(time).toISOString()',
    'new Date(Date.UTC(2026, 1, 1))',
    'Date.parse(text)',
    'const day: Date = value as Date',
    'Math.max(1, 2)',
    'time.getUTCHours()',
    'run.process',
    '// Date.now()',
    "'Date.now()'",
    '/Date.now()/.test(text)',
  ])('lets core use %s', source => {
    expect(check({ 'functions/core/a.ts': source })).toEqual([])
  })
})

describe('the reader of imports', () => {
  const specifiers = (source: string) => readImports(source).map(({ specifier }) => specifier)

  it.each<[string, (string | null)[]]>([
    ["import 'a'", ['a']],
    ["import a from 'a'", ['a']],
    ["import a, { b as c } from 'a'", ['a']],
    ["import * as a from 'a'", ['a']],
    ["import {\n  a,\n  from,\n  type b,\n} from 'a'", ['a']],
    ["import from from 'a'", ['a']],
    ["import type from 'a'", ['a']],
    ["import type { a } from 'a'", ['a']],
    ["import data from './a.json' with { type: 'json' }", ['./a.json']],
    ["export * from 'a'", ['a']],
    ["export * as a from 'a'", ['a']],
    ["export { a } from 'a'", ['a']],
    ["export type { a } from 'a'", ['a']],
    ["import('a')", ['a']],
    ["import('a', { with: { type: 'json' } })", ['a']],
    ["import(/* why */ 'a')", ['a']],
    ['import("a")', ['a']],
    ["import/* */{ a }/* from 'b' */from/* */'a'", ['a']],
    ["const x = `${await import('a')}`", ['a']],
    ["const x = a / b; import 'a' // /", ['a']],
    ["const quote = /['\"`]/; import 'a'", ['a']],
    ["const slash = /[/'\"]\\//g; import 'a'", ['a']],
    ['import(a)', [null]],
    ["import('a' + b)", [null]],
    ['import(`a`)', [null]],
    ["// import 'a'", []],
    ["/* import 'a' */", []],
    ["/*\n * import a from 'a'\n */", []],
    ['const text = "import \'a\'"', []],
    ["const text = 'it\\'s'; // import 'a'", []],
    ["const text = `import 'a'`", []],
    ["const text = `${b} import 'a' ${{ c: '}' }}`", []],
    ["const text = `\\`import 'a'`", []],
    ["export const from = 'a'", []],
    ["export { a }\nconst from = 'a'", []],
    ["export type A = 'a'", []],
    ['import.meta.url', []],
    ["it.import('a')", []],
    ['const rules = { import: 1, export: 2 }', []],
  ])('reads %s', (source, expected) => {
    expect(specifiers(source)).toEqual(expected)
  })

  it('tells types from values, and the line', () => {
    const source =
      "import a from 'a'\n\nimport type { b } from 'b'\nexport type { c } from 'c'\nimport { type d } from 'd'"
    expect(readImports(source)).toEqual([
      { specifier: 'a', typeOnly: false, line: 1 },
      { specifier: 'b', typeOnly: true, line: 3 },
      { specifier: 'c', typeOnly: true, line: 4 },
      { specifier: 'd', typeOnly: false, line: 5 },
    ])
  })

  it('says so when it cannot read a source', () => {
    expect(() => readImports("const a = 'b")).toThrow('the string in line 1 does not end')
    expect(() => readImports('\nconst a = `b')).toThrow('the template in line 2 does not end')
  })

  const decoys = [
    "// import 'no'\n",
    "/* export * from 'no' */",
    "const a = 'import(\\'no\\')'\n",
    'const b = "import \'no\'"\n',
    "const c = `import 'no' ${1 + `${'import(\"no\")'}`.length}`\n",
    "const d = /import 'no'/.test(e)\n",
    'const f = g / 2 / h\n',
    'if (a) { b() } else { c() }\n',
    "const i = { import: 'no' }\n",
  ]
  const real = [
    "import 'yes'\n",
    "import { x } from 'yes'\n",
    "await import('yes')\n",
    "export * from 'yes'\n",
  ]

  it('finds every import and nothing else, whatever stands around', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...decoys, ...real), { maxLength: 30 }), pieces => {
        const expected = pieces.filter(piece => real.includes(piece)).map(() => 'yes')
        expect(specifiers(pieces.join(''))).toEqual(expected)
      }),
    )
  })
})
