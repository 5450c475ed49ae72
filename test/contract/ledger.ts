/** What every ledger must do: the one in memory, and the one on DynamoDB, wherever that is. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EMPTY_GATE } from '../../functions/core/admission.ts'
import { asked, withOutcome } from '../../functions/core/audit.ts'
import { newRunner } from '../../functions/core/lifecycle.ts'
import { EMPTY_NOTICES } from '../../functions/core/notice-memory.ts'
import { withRefused } from '../../functions/core/refusal.ts'
import { adopt, remember } from '../../functions/core/rerun.ts'
import { rollupKey, spendOf, spendOfHour } from '../../functions/core/rollups.ts'
import { EMPTY_MEMORY } from '../../functions/core/sweep-memory.ts'
import type { Gate, Job, JobState, Runner, SweepMemory } from '../../functions/core/types.ts'
import type { Ledger, Page } from '../../functions/ports.ts'
import { changeGate, create, update } from '../../functions/update.ts'
import { claimOf, completed, job, launch, request, runner, T0 } from '../support/facts.ts'
import { HOSTILE } from './queue.ts'

/** Makes empty ledgers. */
export interface LedgerMaker {
  ledger(): Promise<Ledger>
  close(): Promise<void>
}

/** All items are created after this, and before the clock of the ledger. */
export const FIRST = T0
export const LEDGER_NOW = T0 + 20 * 3_600_000

const MINUTE = 60_000
const WRITERS = 20

export function ledgerContract(name: string, start: () => Promise<LedgerMaker>): void {
  describe(`the ledger ${name}`, () => {
    let maker: LedgerMaker
    let ledger: Ledger
    beforeAll(async () => {
      maker = await start()
    })
    afterAll(() => maker.close())
    beforeEach(async () => {
      ledger = await maker.ledger()
    })

    describe('single items', () => {
      it('has nothing at first', async () => {
        expect(await ledger.jobs.get('41-1')).toBeUndefined()
        expect(await ledger.runners.get('tornade-41-1-1')).toBeUndefined()
        expect(await ledger.gate.get()).toEqual(EMPTY_GATE)
        expect(await ledger.jobs.open({ limit: 10 })).toEqual([])
        expect(await ledger.runners.open({})).toEqual([])
        expect(await all(cursor => ledger.jobs.page({ limit: 10, ...cursor }))).toEqual([])
      })

      it('gives back what was written', async () => {
        const rich: Job = {
          ...numbered(1),
          version: 1,
          claim: claimOf(),
          gatedAt: T0,
          started: { at: T0 + 0.5, runner: { id: 7, name: 'tornade-1-1-1' } },
          completed: completed(9),
          refused: { at: T0, code: 'labels', problems: [{ label: 'x', message: 'y', suggestion: null }] },
          cost: {
            runner: 'tornade-1-1-1',
            microUsd: 0,
            githubHostedMicroUsd: null,
            onDemandMicroUsd: 12,
            basis: 'unknown',
          },
        }
        const bare = { ...newRunner('tornade-1-1-1'), version: 1 }
        expect(await ledger.jobs.put(rich)).toEqual({ ok: true })
        expect(await ledger.runners.put(bare)).toEqual({ ok: true })
        expect(await ledger.jobs.get('1-1')).toEqual(rich)
        expect(await ledger.runners.get('tornade-1-1-1')).toEqual(bare)
        const full = { ...runner({ name: 'tornade-1-1-1' }), version: 2 }
        expect(await ledger.runners.put(full)).toEqual({ ok: true })
        expect(await ledger.runners.get('tornade-1-1-1')).toEqual(full)
        const gate = { ...gateWith(3), version: 1 }
        expect(await ledger.gate.put(gate)).toEqual({ ok: true })
        expect(await ledger.gate.get()).toEqual(gate)
        expect(await ledger.sweep.get()).toEqual(EMPTY_MEMORY)
        const memory = { ...MEMORY, version: 1 }
        expect(await ledger.sweep.put(memory)).toEqual({ ok: true })
        expect(await ledger.sweep.get()).toEqual(memory)
        expect(await ledger.sweep.put({ ...EMPTY_MEMORY, version: 1 })).toEqual({
          ok: false,
          current: memory,
        })
        expect(await ledger.sweep.put({ ...memory, lease: null, version: 2 })).toEqual({ ok: true })
        expect(await ledger.notices.get()).toEqual(EMPTY_NOTICES)
        const told = { version: 1, digestedAt: T0, alerted: { '2026-11': 80 } }
        expect(await ledger.notices.put(told)).toEqual({ ok: true })
        expect(await ledger.notices.put({ ...told, alerted: {} })).toEqual({ ok: false, current: told })
        expect(await ledger.notices.get()).toEqual(told)
      })

      it('keeps what was asked for, once for the same request, and gives it back newest first', async () => {
        const by = { via: 'slack', team: 'T0ACME', user: 'U0ALICE', channel: 'C0DEPLOYS' } as const
        const entry = (number: number) =>
          asked(`key-${number}`, by, { kind: 'rerun', jobId: number, attempt: 1 }, T0 + number * MINUTE)
        const entries = numbers(5).map(entry)
        for (const one of entries) expect(await ledger.audit.put(one)).toEqual({ ok: true })
        expect(await ledger.audit.put({ ...entries[0]!, at: T0 })).toEqual({ ok: false, current: entries[0] })
        const done = { ...withOutcome(entries[1]!, 'failed', T0 + 60 * MINUTE, 'why'), version: 2 }
        expect(await ledger.audit.put(done)).toEqual({ ok: true })
        expect(await ledger.audit.get('key-2')).toEqual(done)
        expect(await ledger.audit.get('key-9')).toBeUndefined()
        const found = await all(cursor => ledger.audit.page({ limit: 2, ...cursor }))
        expect(found).toEqual([entries[4], entries[3], entries[2], done, entries[0]])
        expect(await ledger.jobs.open({ limit: 10 })).toEqual([])
      })

      it.each(HOSTILE)('gives back any text, like %.20s', async text => {
        const item = numbered(1, { version: 1, request: { workflow: text, labels: [text, text] } })
        await ledger.jobs.put(item)
        expect(await ledger.jobs.get('1-1')).toEqual(item)
      })

      it('does not mistake a job for a runner of the same name', async () => {
        const one = numbered(1, { version: 1 })
        const other = { ...newRunner('1-1'), version: 1 }
        await ledger.jobs.put(one)
        expect(await ledger.runners.put(other)).toEqual({ ok: true })
        expect(await ledger.jobs.get('1-1')).toEqual(one)
        expect(await ledger.runners.get('1-1')).toEqual(other)
      })

      it('keeps what is to be run again, and lists it until GitHub was asked', async () => {
        const lost = job({
          key: '7-1',
          request: request({ key: '7-1', jobId: 7, runId: 17, name: 'béb \u{1f642}' }),
        })
        const rerun = { ...remember(undefined, lost, T0), version: 1 }
        const other = { ...remember(undefined, job(), T0 + 1), version: 1 }
        expect(await ledger.reruns.get(rerun.key)).toBeUndefined()
        expect(await ledger.reruns.put(rerun)).toEqual({ ok: true })
        expect(await ledger.reruns.put(other)).toEqual({ ok: true })
        expect(await ledger.reruns.get(rerun.key)).toEqual(rerun)
        expect(await ledger.reruns.put({ ...rerun, asked: 3 })).toEqual({ ok: false, current: rerun })
        expect(await ledger.reruns.open({ limit: 10 })).toEqual([rerun, other])
        expect(await ledger.reruns.open({ limit: 1 })).toEqual([rerun])
        const adopted = { ...adopt(rerun, request({ key: '8-2', attempt: 2 })), version: 2 }
        expect(await ledger.reruns.put(adopted)).toEqual({ ok: true })
        expect(await ledger.reruns.get(rerun.key)).toEqual(adopted)
        expect(await ledger.reruns.open({ limit: 10 })).toEqual([other])
      })

      it('keeps what a run was told of its refused jobs', async () => {
        const problems = [{ label: '5cpu', message: 'béb \u{1f642}', suggestion: null }]
        const first = { ...withRefused(undefined, request(), problems, T0), version: 1 }
        expect(await ledger.refusals.get(first.key)).toBeUndefined()
        expect(await ledger.refusals.put(first)).toEqual({ ok: true })
        expect(await ledger.refusals.get(first.key)).toEqual(first)
        expect(await ledger.refusals.put({ ...first, told: 1 })).toEqual({ ok: false, current: first })
        const told = { ...first, version: 2, told: 1, checkId: 7, tellingUntil: T0 }
        expect(await ledger.refusals.put(told)).toEqual({ ok: true })
        expect(await ledger.refusals.get(first.key)).toEqual(told)
      })

      it('writes one version over the one before it and nothing else, and answers what is there', async () => {
        const first = numbered(1, { version: 1 })
        expect(await ledger.jobs.put({ ...first, version: 2 })).toEqual({ ok: false, current: undefined })
        expect(await ledger.jobs.put(first)).toEqual({ ok: true })
        const otherFirst = { ...first, replacements: 9 }
        expect(await ledger.jobs.put(otherFirst)).toEqual({ ok: false, current: first })
        expect(await ledger.jobs.put({ ...first, version: 3 })).toEqual({ ok: false, current: first })
        const second = { ...first, version: 2, replacements: 1 }
        expect(await ledger.jobs.put(second)).toEqual({ ok: true })
        expect(await ledger.jobs.put({ ...second, replacements: 5 })).toEqual({ ok: false, current: second })
        expect(await ledger.jobs.get('1-1')).toEqual(second)
      })

      it('does not tell two writers of the same that both of them wrote it', async () => {
        const item = numbered(1, { version: 1 })
        expect(await ledger.jobs.put(item)).toEqual({ ok: true })
        expect(await ledger.jobs.put(item)).toEqual({ ok: false, current: item })
      })
    })

    describe('writers at the same time', () => {
      it('lose nothing of an item that exists', async () => {
        await ledger.jobs.put(numbered(1, { version: 1 }))
        const saved = await atOnce(() =>
          update(
            ledger.jobs,
            '1-1',
            current => current && { ...current, replacements: current.replacements + 1 },
          ),
        )
        expect(new Set(saved.map(item => item?.version)).size).toBe(WRITERS)
        expect(await ledger.jobs.get('1-1')).toMatchObject({ version: 1 + WRITERS, replacements: WRITERS })
      })

      it('lose nothing of an item that each of them wants to make', async () => {
        await atOnce(number =>
          create(ledger.runners, 'tornade-1-1-1', current => {
            const base = current ?? newRunner('tornade-1-1-1')
            return { ...base, for: [base.for, number].filter(part => part !== null).join(',') }
          }),
        )
        const item = await ledger.runners.get('tornade-1-1-1')
        expect(item?.version).toBe(WRITERS)
        expect(item?.for?.split(',').map(Number).sort(byNumber)).toEqual(numbers(WRITERS))
      })

      it('lose nothing of the gate', async () => {
        await atOnce(number => changeGate(ledger, gate => ({ gate: withHolder(gate, number) })))
        const gate = await ledger.gate.get()
        expect(gate.version).toBe(WRITERS)
        expect(Object.keys(gate.holders)).toHaveLength(WRITERS)
      })
    })

    it('says what stands in the way at the gate', async () => {
      const first = { ...gateWith(1), version: 1 }
      expect(await ledger.gate.put({ ...first, version: 2 })).toMatchObject({ ok: false })
      expect(await ledger.gate.put(first)).toEqual({ ok: true })
      expect(await ledger.gate.put({ ...gateWith(2), version: 1 })).toEqual({ ok: false, current: first })
      expect(await ledger.gate.get()).toEqual(first)
    })

    describe('open items', () => {
      it('are listed oldest first until they are final', async () => {
        await putJobs(
          ledger,
          numbers(5).map(number => numbered(number)),
        )
        const keys = async () => (await ledger.jobs.open({ limit: 10 })).map(({ key }) => key)
        expect(await keys()).toEqual(['1-1', '2-1', '3-1', '4-1', '5-1'])
        await update(ledger.jobs, '2-1', item => item && { ...item, completed: completed(9) })
        await update(ledger.jobs, '4-1', item => item && { ...item, refused: REFUSED })
        await update(ledger.jobs, '5-1', item => item && { ...item, started: STARTED })
        expect(await keys()).toEqual(['1-1', '3-1', '5-1'])
        expect(await ledger.jobs.open({ limit: 10 })).toContainEqual(await ledger.jobs.get('5-1'))
      })

      it('are as many as were asked for', async () => {
        await putJobs(
          ledger,
          numbers(12).map(number => numbered(number)),
        )
        expect((await ledger.jobs.open({ limit: 5 })).map(({ key }) => key)).toEqual([
          '1-1',
          '2-1',
          '3-1',
          '4-1',
          '5-1',
        ])
        expect(await ledger.jobs.open({ limit: 12 })).toHaveLength(12)
        expect(await ledger.jobs.open({ limit: Number.POSITIVE_INFINITY })).toHaveLength(12)
      })

      it('are found by repository and state', async () => {
        const items = numbers(12).map(number =>
          numbered(number, {
            repository: number % 2 === 0 ? 7002 : 7001,
            ...(number % 3 === 0 ? { deferred: deferral(number) } : {}),
          }),
        )
        await putJobs(ledger, [...items, numbered(13, { repository: 7002, refused: REFUSED })])
        const keys = async (query: Parameters<Ledger['jobs']['open']>[0]) =>
          (await ledger.jobs.open(query)).map(({ request: { jobId } }) => jobId)
        expect(await keys({ repositoryId: 7002, limit: 10 })).toEqual([2, 4, 6, 8, 10, 12])
        expect(await keys({ repositoryId: 7002, limit: 2 })).toEqual([2, 4])
        expect(await keys({ state: 'deferred', limit: 10 })).toEqual([3, 6, 9, 12])
        expect(await keys({ state: 'deferred', limit: 3 })).toEqual([3, 6, 9])
        expect(await keys({ repositoryId: 7001, state: 'deferred', limit: 10 })).toEqual([3, 9])
        expect(await keys({ repositoryId: 7001, state: 'running', limit: 10 })).toEqual([])
        expect(await keys({ repositoryId: 7003, limit: 10 })).toEqual([])
        const wanted = ({ request: { jobId } }: Job) => jobId > 4
        expect(await keys({ repositoryId: 7001, state: 'deferred', wanted, limit: 10 })).toEqual([9])
        expect(await keys({ wanted, limit: 3 })).toEqual([5, 6, 7])
      })

      it('are runners that have not stopped or left something behind, also those of which little is known', async () => {
        const [one, two, three] = [1, 2, 3].map(number => numberedRunner(number, 7000 + number))
        const early = { ...newRunner('tornade-4-1-1'), version: 1, startedAt: T0 + 4 * MINUTE }
        for (const item of [one!, two!, three!, early]) await ledger.runners.put(item)
        const stoppedAt = T0 + 9 * MINUTE
        await update(ledger.runners, two!.name, item => item && { ...item, stoppedAt })
        expect((await ledger.runners.open({})).map(({ name }) => name)).toContain(two!.name)
        await update(ledger.runners, two!.name, item => item && { ...item, cleanedAt: stoppedAt })
        const names = async (repositoryId?: number) =>
          (await ledger.runners.open(repositoryId === undefined ? {} : { repositoryId })).map(
            ({ name }) => name,
          )
        expect(await names()).toEqual([one!.name, three!.name, early.name])
        expect(await names(7003)).toEqual([three!.name])
        expect(await names(7002)).toEqual([])
        const known = await update(
          ledger.runners,
          early.name,
          item => item && { ...item, launch: numberedRunner(4, 7003).launch },
        )
        expect(await ledger.runners.open({ repositoryId: 7003 })).toEqual([three, known])
      })
    })

    describe('what ended in an hour', () => {
      const HOUR = '2026-11-02T09'
      const NEXT = '2026-11-02T10'

      it('are runners by their stop, wherever it is moved', async () => {
        const names = async (hour: string) => (await ledger.runners.stopped(hour)).map(({ name }) => name)
        const items = numbers(5).map(number => numberedRunner(number, 7001))
        for (const item of items) await ledger.runners.put(item)
        expect(await names(HOUR)).toEqual([])
        const stop = (number: number, stoppedAt: number) =>
          update(ledger.runners, items[number - 1]!.name, item => item && { ...item, stoppedAt })
        await stop(1, T0 + 60 * MINUTE - 1)
        await stop(2, T0 + 60 * MINUTE)
        await stop(3, T0 + 61 * MINUTE)
        expect(await names(HOUR)).toEqual([items[0]!.name])
        expect((await names(NEXT)).toSorted()).toEqual([items[1]!.name, items[2]!.name])
        await stop(3, T0 + 59 * MINUTE)
        expect((await names(HOUR)).toSorted()).toEqual([items[0]!.name, items[2]!.name])
        expect(await names(NEXT)).toEqual([items[1]!.name])
      })

      it('are jobs that no runner ran', async () => {
        await putJobs(ledger, [
          numbered(1, { refused: REFUSED }),
          numbered(2, { completed: completed(3700, { runner: null, conclusion: 'cancelled' }) }),
          numbered(3, { completed: completed(9), started: STARTED }),
          numbered(4),
          numbered(5, { refused: REFUSED, completed: completed(3700, { runner: null }) }),
        ])
        const keys = async (hour: string) =>
          (await ledger.jobs.unserved(hour)).map(({ key }) => key).toSorted()
        expect(await keys(HOUR)).toEqual(['1-1', '5-1'])
        expect(await keys(NEXT)).toEqual(['2-1'])
        await update(ledger.jobs, '2-1', item => item && { ...item, started: STARTED })
        expect(await keys(NEXT)).toEqual([])
      })

      it('is answered with the jobs that are asked for, where there are such', async () => {
        await putJobs(ledger, [numbered(1), numbered(2)])
        expect([...(await ledger.jobs.some(['2-1', '9-1', '2-1'])).keys()]).toEqual(['2-1'])
        expect(await ledger.jobs.some([])).toEqual(new Map())
      })

      it.each(HOSTILE)('is rolled up whatever names say, like %.20s', async text => {
        const named = numbered(1, { request: { workflow: text } })
        const ran = runner({
          launch: launch({ role: text, repository: { id: 1, name: text, private: true } }),
          pullStartedAt: T0,
          stoppedAt: T0 + MINUTE,
          job: { key: named.key, startedAt: T0, completedAt: T0 + 1, publicRepository: false },
        })
        const items = { runners: [ran], jobs: new Map([[named.key, named]]), unserved: [] }
        const hour = spendOfHour(HOUR, T0, items)
        const day = spendOf('day', '2026-11-02', T0, [hour, { ...hour, period: NEXT }])
        const key = rollupKey(hour)
        expect(await ledger.rollups.get([key])).toEqual(new Map())
        await ledger.rollups.put([hour, day])
        expect(await ledger.rollups.get([key, rollupKey(day), 'day#2026-11-03#spend'])).toEqual(
          new Map([
            [key, hour],
            [rollupKey(day), day],
          ]),
        )
        await ledger.rollups.put([{ ...hour, at: T0 + 1 }])
        expect(await ledger.rollups.get([key])).toEqual(new Map([[key, { ...hour, at: T0 + 1 }]]))
      })
    })

    describe('pages', () => {
      it('show every item once, newest first, whatever becomes of them meanwhile', async () => {
        await putJobs(
          ledger,
          numbers(23).map(number => numbered(number, { minutes: number * 37 })),
        )
        let seen = 0
        const items = await all(async cursor => {
          const page = await ledger.jobs.page({ limit: 4, ...cursor })
          expect(page.items.length).toBeLessThanOrEqual(4)
          // Something ends, and something new arrives, between any two pages.
          const newest = page.items[0]
          if (newest)
            await update(ledger.jobs, newest.key, item => item && { ...item, completed: completed(9) })
          await putJobs(ledger, [numbered(100 + ++seen, { minutes: 1000 + seen })])
          return page
        })
        expect(items.map(({ request: { jobId } }) => jobId)).toEqual(numbers(23).reverse())
      })

      it('show items of one moment once', async () => {
        await putJobs(
          ledger,
          numbers(9).map(number => numbered(number, { minutes: 5 })),
        )
        const items = await all(cursor => ledger.jobs.page({ limit: 2, ...cursor }))
        expect(items.map(({ request: { jobId } }) => jobId).sort(byNumber)).toEqual(numbers(9))
      })

      it('are found by state and repository name', async () => {
        const items = numbers(30).map(number =>
          numbered(number, {
            minutes: number * 20,
            repository: number % 2 === 0 ? 7002 : 7001,
            ...(number % 3 === 0 ? { completed: completed(number) } : {}),
            ...(number % 5 === 0 ? { started: STARTED } : {}),
          }),
        )
        await putJobs(ledger, items)
        const ids = async (query: { state?: JobState; repository?: string }) =>
          (await all(cursor => ledger.jobs.page({ limit: 3, ...query, ...cursor }))).map(
            item => item.request.jobId,
          )
        expect(await ids({ state: 'completed' })).toEqual([30, 27, 24, 21, 18, 15, 12, 9, 6, 3])
        expect(await ids({ state: 'running' })).toEqual([25, 20, 10, 5])
        expect(await ids({ state: 'running', repository: 'acme/r7002' })).toEqual([20, 10])
        expect(await ids({ state: 'completed', repository: 'acme/r7001' })).toEqual([27, 21, 15, 9, 3])
        expect(await ids({ state: 'refused' })).toEqual([])
        expect(await ids({ repository: 'acme/unknown' })).toEqual([])
      })

      it('show runners, stopped or not', async () => {
        const items = numbers(7).map(number => numberedRunner(number, 7001))
        for (const item of items) await ledger.runners.put(item)
        await update(ledger.runners, items[3]!.name, item => item && { ...item, stoppedAt: T0 + 60 * MINUTE })
        const found = await all(cursor => ledger.runners.page({ limit: 3, ...cursor }))
        expect(found.map(({ name }) => name)).toEqual(items.map(({ name }) => name).reverse())
      })

      it.each(['nonsense', '💥', '../../etc', 'bm9uc2Vuc2U', '-'.repeat(5000)])(
        'of a cursor that no page gave are empty: %j',
        async cursor => {
          await putJobs(ledger, [numbered(1)])
          expect(await ledger.jobs.page({ limit: 5, cursor })).toEqual({ items: [], next: null })
          expect(await ledger.runners.page({ limit: 5, cursor })).toEqual({ items: [], next: null })
        },
      )
    })
  })
}

// ------------------------------------------------------------------------------------------------------ items

const REFUSED: Job['refused'] = { at: T0 + 9 * MINUTE, code: 'labels', problems: [] }
const STARTED: Job['started'] = { at: T0 + 9 * MINUTE, runner: { id: 7, name: 'tornade-1-1-1' } }

function deferral(number: number): Job['deferred'] {
  const [reason, message] = ['total-limit', 'All 100 runners are in use (limits.runners).'] as const
  return { since: T0, reason, message, notBefore: null, runner: `tornade-${number}-1-1`, cause: 'job' }
}

/** Job `number`, created so many minutes after the first. */
export function numbered(
  number: number,
  {
    minutes = number,
    repository = 7001,
    request: over = {},
    ...facts
  }: Partial<Omit<Job, 'request'>> & {
    minutes?: number
    repository?: number
    request?: Partial<Job['request']>
  } = {},
): Job {
  const { id: _, ...rest } = request().repository
  return job({
    ...facts,
    key: `${number}-1`,
    version: facts.version ?? 0,
    request: request({
      key: `${number}-1`,
      jobId: number,
      repository: { ...rest, id: repository, name: `acme/r${repository}` },
      createdAt: FIRST + minutes * MINUTE,
      ...over,
    }),
  })
}

const MEMORY: SweepMemory = {
  ...EMPTY_MEMORY,
  lease: { owner: 'a sweep', until: T0 },
  deliveries: { watermark: T0, lookedAt: T0, asked: { guid: { times: 2, at: T0, failedAt: T0 } } },
  runs: { 17: T0 },
  repositories: [
    {
      ref: { id: 7001, name: 'acme/app', private: true },
      ownerId: 9919,
      installationId: null,
      seenAt: T0,
      listedAt: 0,
    },
  ],
  suspects: { '7001 tornade-1-1-1': T0 },
}

export function numberedRunner(number: number, repository: number): Runner {
  const at = FIRST + number * MINUTE
  return {
    ...runner({
      name: `tornade-${number}-1-1`,
      launch: launch({ at, repository: { id: repository, name: `acme/r${repository}`, private: true } }),
    }),
    version: 1,
  }
}

export async function putJobs({ jobs }: Ledger, items: readonly Job[]): Promise<void> {
  for (const item of items) expect(await jobs.put({ ...item, version: 1 })).toEqual({ ok: true })
}

export function gateWith(holders: number): Gate {
  return numbers(holders).reduce(withHolder, EMPTY_GATE)
}

function withHolder(gate: Gate, number: number): Gate {
  const holder = {
    repository: 7001,
    role: null,
    since: T0,
    jobKey: `${number}-1`,
    by: `message-${number}`,
    reservedMicroUsd: 37_000 * number,
  }
  return { ...gate, holders: { ...gate.holders, [`tornade-${number}-1-1`]: holder } }
}

function atOnce<T>(work: (number: number) => Promise<T>): Promise<T[]> {
  return Promise.all(numbers(WRITERS).map(work))
}

export async function all<T>(read: (cursor: { cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = []
  let next: string | null = null
  for (let count = 0; count < 200; count++) {
    const page: Page<T> = await read(next === null ? {} : { cursor: next })
    items.push(...page.items)
    next = page.next
    if (next === null) return items
  }
  throw new Error('the pages do not end')
}

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

function byNumber(a: number, b: number): number {
  return a - b
}
