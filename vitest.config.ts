import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // By default one core is left alone.
    maxWorkers: '100%',
    // Nothing here is a measurement: a slow or busy machine must not fail a test. Budgets are bench/'s.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
