import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // By default one core is left alone.
    maxWorkers: '100%',
    // A process for each file spent a tenth of the time of all tests on reading the same modules again. So a file leaves
    // what is the process's (environment, clock, spies) as it found it.
    isolate: false,
    // Nothing here is a measurement: a slow or busy machine must not fail a test. Budgets are bench/'s.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
