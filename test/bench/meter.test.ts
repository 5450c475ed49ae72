import { describe, expect, it } from 'vitest'
import { Meter } from '../../bench/meter.ts'

const S = (text: string) => ({ S: text })
const OPEN = {
  pk: S('runner#a'),
  v: { N: '1' },
  o: S('runner'),
  r: { N: '7001' },
  h: S('runner#2026-11-02T09'),
  s: S('2026-11-02T09:00:00.000Z#a'),
}

function put(meter: Meter, item: object): number {
  return meter.units('PutItem', { TableName: 'ledger', Item: item }, {}).writes
}

describe('write units', () => {
  it('are of the table, and of the indexes where the item comes or goes', () => {
    const meter = new Meter()
    expect(put(meter, OPEN)).toBe(3)
    expect(put(meter, { ...OPEN, v: { N: '2' } })).toBe(1)
    const { o: _, r: __, ...stopped } = OPEN
    expect(put(meter, stopped)).toBe(2)
  })

  it('are two where a key of an index changes, and one where what it holds besides does', () => {
    const meter = new Meter()
    const { r: _, ...bare } = OPEN
    put(meter, bare)
    expect(put(meter, OPEN)).toBe(2)
    expect(put(meter, { ...OPEN, h: S('runner#2026-11-02T10') })).toBe(3)
  })

  it('are of every kilobyte, of what was there or of what is there now', () => {
    const meter = new Meter()
    expect(put(meter, { k: S('key'), j: S('x'.repeat(4090)) })).toBe(4)
    expect(put(meter, { k: S('key') })).toBe(4)
    expect(put(meter, { k: S('key') })).toBe(1)
  })
})

describe('read units of a query', () => {
  const query = {
    TableName: 'ledger',
    IndexName: 'open',
    ExpressionAttributeValues: { ':hash': S('runner') },
  }

  it('are of what it answers', () => {
    const meter = new Meter()
    expect(meter.units('Query', query, { Items: [] }).reads).toBe(0.5)
    const Items = Array.from({ length: 100 }, () => OPEN)
    expect(meter.units('Query', query, { Items }).reads).toBeGreaterThan(0.5)
  })

  it('are of what it looked at where it filters', () => {
    const meter = new Meter()
    for (let count = 0; count < 200; count++) put(meter, { ...OPEN, pk: S(`runner#${count}`) })
    put(meter, { ...OPEN, pk: S('job#1'), o: S('job') })
    const filtered = { ...query, FilterExpression: 'r = :only' }
    // 200 entries of pk, o, s and r: 48 to 50 bytes each.
    expect(meter.units('Query', filtered, { Items: [] }).reads).toBe(1.5)
    const jobs = { ...filtered, ExpressionAttributeValues: { ':hash': S('job') } }
    expect(meter.units('Query', jobs, { Items: [] }).reads).toBe(0.5)
  })
})
