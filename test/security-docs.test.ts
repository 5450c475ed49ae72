/** docs/security.md names the test that shows each of its claims; those tests are there. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const text = readFileSync(join(import.meta.dirname, '../docs/security.md'), 'utf8')

describe('docs/security.md', () => {
  it('names tests that there are', () => {
    const named = [...new Set([...text.matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, path]) => path!))]
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter(path => !existsSync(join(import.meta.dirname, path)))).toEqual([])
  })

  it('names a test in every row of what somebody wants', () => {
    const claims = text.split('## Who can do what to whom')[1]!.split('## Residual risks')[0]!
    const rows = claims
      .split('\n')
      .filter(line => /^\| (?!wants to|---)/.test(line) && !line.startsWith('|---'))
    expect(rows.length).toBeGreaterThan(20)
    expect(rows.filter(row => !row.includes('.test.ts`'))).toEqual([])
  })
})
