/** Whatever is replayed comes to an end, and the same one each time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULT_CONFIG } from '../../functions/config.ts'
import { ACME_APP, workflowJobPayload } from '../../local/payloads.ts'
import type { Recording } from '../../local/recordings.ts'
import { START } from '../payloads/factory.ts'
import { expectMoneyConserved, expectNothingLeft, recordingsOf, runUnchecked } from '../support/replaying.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('any recording', () => {
  const OWN = { id: 8_120_331, name: 'tornade-11-1-1' }
  /** Deliveries of a few jobs in any order, doubled or missing, at any time within three days. */
  const recording = fc.array(
    fc.record({
      jobId: fc.integer({ min: 1, max: 6 }),
      attempt: fc.constantFrom(1, 1, 1, 2),
      sameRun: fc.boolean(),
      action: fc.constantFrom('queued', 'queued', 'queued', 'waiting', 'in_progress', 'completed'),
      status: fc.constantFrom(undefined, undefined, 'waiting'),
      conclusion: fc.constantFrom('success', 'failure', 'cancelled', 'skipped'),
      labels: fc.constantFrom(
        ['tornade'],
        ['tornade', 'codebuild'],
        ['tornade', 'arm64', 'spot'],
        ['tornade/arm64/run-1'],
        ['tornade', '5cpu'],
        ['ubuntu-latest'],
      ),
      later: fc.oneof(fc.constantFrom(0, 100, 30 * SECOND), fc.integer({ min: 0, max: 3 * DAY })),
      created: fc.constantFrom(0, 0, 0, MINUTE, 30 * HOUR),
      lasted: fc.constantFrom(0, 40 * SECOND, 7 * HOUR),
      // Recordings of a tornade have runners of the names that are given here too.
      runner: fc.constantFrom(null, { id: 812, name: 'ip-10-0-3-77' }, OWN),
      repository: fc.constantFrom(ACME_APP, ACME_APP, {
        ...ACME_APP,
        id: 7002,
        name: 'acme/site',
        private: false,
      }),
      guid: fc.constantFrom('a', 'b', 'c', undefined),
    }),
    { maxLength: 25 },
  )
  type Sketch = typeof recording extends fc.Arbitrary<(infer T)[]> ? T : never

  function draw({ later, created, lasted, guid, sameRun, status, ...facts }: Sketch): Recording {
    const createdAt = START + later - created
    const payload = workflowJobPayload({
      ...facts,
      // GitHub gives every attempt an id of its own.
      jobId: facts.jobId * 10 + facts.attempt,
      ...(status && facts.action === 'queued' ? { status } : {}),
      runId: sameRun ? 1 : facts.jobId,
      createdAt,
      ...(facts.action === 'completed' ? { startedAt: createdAt, completedAt: createdAt + lasted } : {}),
    })
    const headers = guid === undefined ? {} : { 'X-GitHub-Delivery': guid }
    const delivered_at = new Date(START + later).toISOString()
    return recordingsOf(JSON.stringify({ headers, payload, delivered_at }))[0]!
  }

  test('ends with every job told of and every runner gone, and twice in the same way', async () => {
    await fc.assert(
      fc.asyncProperty(recording, async sketches => {
        const limits = { ...DEFAULT_CONFIG.limits, runners: 3 }
        const { report, world } = await runUnchecked(sketches.map(draw), { limits })
        expect(report.accepted + report.ignored + report.rejected).toBe(sketches.length)
        expect(report.rejected).toBe(0)
        for (const { outcome, jobId } of report.jobs)
          expect(outcome, `job ${jobId}`).toMatch(/^(completed|refused|cancelled|waiting)$/)
        expect(new Set(report.jobs.map(({ jobId, attempt }) => `${jobId}-${attempt}`)).size).toBe(
          report.jobs.length,
        )
        expectMoneyConserved(report)
        if (sketches.length > 0) await expectNothingLeft(world)
        expect((await runUnchecked(sketches.map(draw), { limits })).report).toEqual(report)
      }),
      { numRuns: 20 },
    )
  })
})
