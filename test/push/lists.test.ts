/** Lists in inputs, as docker/build-push-action has them. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { lines, pairs, words } from '../../runner-image/tools/push/lists.ts'

it('reads an entry a line, and quotes around those with line breaks', () => {
  expect(lines('x', '\n  A=1 \r\nB=say "hi", you\n\n"C=two\nlines, ""quoted"""\nD=\n')).toEqual([
    'A=1',
    'B=say "hi", you',
    'C=two\nlines, "quoted"',
    'D=',
  ])
  expect(lines('x', ' \n\n ')).toEqual([])
})

it('reads back whatever is quoted', () => {
  const entry = fc.string({ minLength: 1 }).map(text => text.replaceAll('\r', ''))
  const written = (entries: readonly string[]) =>
    entries.map(text => `"${text.replaceAll('"', '""')}"`).join('\n')
  fc.assert(
    fc.property(fc.array(entry), entries => {
      expect(lines('x', written(entries))).toEqual(entries)
    }),
  )
})

it('shows nothing of what it cannot read', () => {
  for (const text of ['"canary', '"A=canary" more', 'canary', '=canary'])
    expect(() => pairs('secrets', text)).toThrow(/^secrets: (?!.*canary)/)
})

it('splits tags at lines and commas, each once', () => {
  expect(words(' a:1,b:2\na:1\n\n c:3 , ')).toEqual(['a:1', 'b:2', 'c:3'])
})
