/** The lean world of `whatif` against the whole system, with some hundred jobs under each setting. */
import { describe, test } from 'vitest'
import { expectTheSame, recording, SETTINGS } from '../support/both-worlds.ts'

describe.each(Object.entries(SETTINGS))('under %s', (name, [settings, happens]) => {
  test.each([1, 2])('recording %i costs, waits and is refused as in the whole system', seed =>
    expectTheSame(recording(seed + name.length * 100, [60, 220]), settings, happens),
  )
})
