/** docs/errors.md explains every code there is, and docs/operating.md every alarm; neither explains one that is gone. No table is cut. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { DEFER_REASONS, ERROR_CODES, LOG_CODES, REFUSE_CODES } from '../functions/core/errors.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const errors = read('docs/errors.md')

describe('docs/errors.md', () => {
  const TABLES: readonly (readonly [heading: string, codes: readonly string[]])[] = [
    ['Why a job is refused', REFUSE_CODES],
    ['Why a job waits', DEFER_REASONS],
    ['Errors', ERROR_CODES],
    ['Codes of log lines', LOG_CODES],
  ]

  it.each(TABLES)('explains under "%s" each code once, and no other', (heading, codes) => {
    expect(rows(heading).map(([code]) => code)).toEqual(expect.arrayContaining([...codes]))
    expect(rows(heading)).toHaveLength(codes.length)
  })

  it.each(TABLES)('says under "%s" cause, doing and remedy of each', heading => {
    for (const [code, ...cells] of rows(heading))
      expect([code, cells.filter(cell => cell.length > 2).length]).toEqual([code, 3])
  })

  it('has tables for all codes', () => {
    expect(errors.match(/^## .+$/gm)).toEqual(TABLES.map(([heading]) => `## ${heading}`))
  })

  /** How each kind of code is given to whoever reads it. A word like `role` stands in the sources for much else. */
  const GIVEN: Readonly<Record<string, string>> = {
    'Why a job is refused': String.raw`(?:\bgiveUp\([\w.]+, |(?<!readonly )\bcode: )'CODE'`,
    'Why a job waits': String.raw`(?<!readonly )\breason(?:: | = \w+ \? )'CODE'`,
    Errors: String.raw`(?:\bTornadeError\(\s*|\breject\(\s*\d{3},\s*|\bsuper\(\s*[^;]{0,80})'CODE'`,
    'Codes of log lines': String.raw`(?<!readonly )\bcode: 'CODE'`,
  }

  it.each(TABLES)(
    'explains under "%s" what is given: no code is left over from something that is gone',
    (heading, codes) => {
      const sources = sourcesOf('functions', 'cli', 'local', 'scripts').filter(
        path => path !== 'functions/core/errors.ts' && !path.startsWith('local/faults/'),
      )
      const text = sources.map(read).join('\n')
      const isGiven = (code: string) => new RegExp(GIVEN[heading]!.replace('CODE', code)).test(text)
      expect(codes.filter(code => !isGiven(code))).toEqual([])
      expect(isGiven('no-such-code')).toBe(false)
    },
  )

  it('knows every code that a log line or an error is given', () => {
    const known = new Set<string>(TABLES.flatMap(([, codes]) => codes))
    const given = sourcesOf('functions').flatMap(path =>
      [...read(path).matchAll(/(?:TornadeError\(\s*|\{ code: |\bcode: )'([a-z-]+)'/g)].map(
        ([, code]) => code!,
      ),
    )
    expect(given.length).toBeGreaterThan(20)
    expect(given.filter(code => !known.has(code))).toEqual([])
  })
})

describe('docs/operating.md', () => {
  it('says of every alarm what it means, and of none that is gone', () => {
    const { Resources } = parse(read('infra/alarms.yml')) as {
      Resources: Record<string, { Type: string; Properties: { AlarmName: string } }>
    }
    const alarms = Object.values(Resources)
      .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
      .map(({ Properties }) => Properties.AlarmName.replace(/^.*\}-/, ''))
    const explained = [...read('docs/operating.md').matchAll(/^### `(.+)`$/gm)].map(([, name]) => name)
    expect(alarms.length).toBeGreaterThan(5)
    expect(explained.toSorted()).toEqual(alarms.toSorted())
  })
})

describe('a table', () => {
  const files = ['README.md', ...readdirSync(join(ROOT, 'docs')).map(name => `docs/${name}`)]

  it.each(files.filter(name => name.endsWith('.md')))(
    'of %s has no row with more cells than its head: GitHub leaves them out',
    name => {
      const tables = read(name).match(/(?:^\|.*\n)+/gm) ?? []
      const tooLong = tables.flatMap(table => {
        const [head, ...others] = table.trimEnd().split('\n')
        return others.filter(row => cells(row) > cells(head!))
      })
      expect(tooLong).toEqual([])
    },
  )
})

/** A stroke ends a cell in code spans too, unless a backslash stands before it: https://github.github.com/gfm/#example-200 */
function cells(row: string): number {
  return row.split(/(?<!\\)\|/).length
}

/** Cells of the table below a heading, the code first. */
function rows(heading: string): string[][] {
  const section = errors.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!
  return [...section.matchAll(/^\| `([a-z-]+)` \|(.*)\|$/gm)].map(([, code, rest]) => [
    code!,
    ...rest!.split(' | ').map(cell => cell.trim()),
  ])
}

function sourcesOf(...folders: readonly string[]): string[] {
  return folders.flatMap(folder =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .map(path => `${folder}/${path}`)
      .filter(path => path.endsWith('.ts')),
  )
}
