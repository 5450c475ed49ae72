/** What `whatif` counts is what the whole system would: a few jobs under each setting. test/worlds/whatif-world.test.ts plays more. */
import { describe, test } from 'vitest'
import { expectTheSame, recording, SETTINGS } from './support/both-worlds.ts'

describe.each(Object.entries(SETTINGS))('under %s', (name, [settings, happens]) => {
  test('a recording costs, waits and is refused as in the whole system', () =>
    expectTheSame(recording(1 + name.length * 100, [40, 60]), settings, happens))
})
