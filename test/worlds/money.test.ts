/** What seeded worlds with faults cost, by the ledger, by its reports and by the tasks and builds that really ran. */
import { describe, expect, it } from 'vitest'
import { MISSING, newRunner, priced } from '../../functions/core/lifecycle.ts'
import type { Runner } from '../../functions/core/types.ts'
import type { TaskView } from '../../local/compute.ts'
import { soak } from '../../local/soak.ts'
import type { World } from '../../local/world.ts'
import { launch } from '../support/facts.ts'
import { summaryOfItems } from '../support/summary.ts'
import { jobs, runners } from '../support/world.ts'

const SEEDS = Array.from({ length: 12 }, (_, index) => index + 1)
/** Those that end a runner before its job. */
const INTERRUPTIONS = ['spot-reclaim', 'host-dies', 'no-capacity-late', 'image-pull']

async function world(seed: number, faults?: readonly string[]): Promise<World> {
  let present: (() => World) | null = null
  const { broken } = await soak(seed, {
    // A clock of AWS that is wrong is wrong on the bill as well.
    ...(faults ? { faults } : { except: ['skewed-provider'] }),
    variant: {
      ports: (ports, _, of) => {
        present = of
        return ports
      },
    },
  })
  expect(broken).toEqual([])
  return present!()
}

const sum = (amounts: readonly number[]) => amounts.reduce((all, one) => all + one, 0)

/** What a task costs by its own times, whatever was heard of it. Of a build its events tell the start, in whole seconds. */
function costOf({ request, createdAt, pullStartedAt, startedAt, stoppedAt }: TaskView): number {
  const isBuild = request.shape.compute === 'codebuild'
  const began = Math.floor((pullStartedAt ?? createdAt) / 1000) * 1000
  const facts = { pullStartedAt: isBuild ? began : pullStartedAt, startedAt, stoppedAt }
  return priced({ ...newRunner(request.runner), launch: launch({ shape: request.shape }), ...facts }).cost!
    .totalMicroUsd
}

async function checked(target: World): Promise<readonly Runner[]> {
  const [all, ledger] = [await jobs(target), await runners(target)]
  const costs = ledger.map(({ cost }) => cost!)
  const whole = sum(costs.map(({ totalMicroUsd }) => totalMicroUsd))
  const rest = sum(costs.map(({ startupMicroUsd, idleMicroUsd }) => startupMicroUsd + idleMicroUsd))
  expect(whole).toBeGreaterThan(0)
  expect(sum(all.map(({ cost }) => cost?.microUsd ?? 0)) + rest).toBe(whole)
  const { totals } = summaryOfItems(ledger, all)
  expect(Math.round(totals.costUsd * 1e6)).toBe(whole)
  // Of a start that nobody heard of since, all the time until it is given up is billed: rather too much than too little.
  const heardOf = ledger.filter(({ stop }) => stop!.code !== MISSING)
  const real = heardOf.flatMap(({ name }) => target.compute.tasksOf(name)).map(costOf)
  expect(sum(heardOf.map(({ cost }) => cost!.totalMicroUsd))).toBe(sum(real))
  expect(heardOf.length).toBeGreaterThan(ledger.length * 0.9)
  return ledger
}

describe('a world with faults', () => {
  it.each(SEEDS)('%i costs what its tasks and builds cost', async seed => {
    await checked(await world(seed))
  })

  it.each(SEEDS.slice(0, 4))('%i wastes what its interruptions cost', async seed => {
    const target = await world(seed, INTERRUPTIONS)
    const ledger = await checked(target)
    const wasted = ledger.filter(({ cost }) => (cost?.wastedMicroUsd ?? 0) > 0)
    expect(wasted.length).toBeGreaterThan(3)
    const ended = new Map([...target.github.jobs()].map(view => [view.job.jobId, view.conclusion]))
    for (const { job, cost, stop } of ledger) {
      if (!cost || cost.totalMicroUsd === 0) continue
      const isInterrupted = /^(?:SpotInterruption|InfrastructureHealth|TaskFailedToStart|FAULT)$/.test(
        stop!.code,
      )
      const isServed = job !== null && ended.get(Number(job.key.split('-')[0])) === 'success'
      // A job that failed by itself just before is left to the tests of one runner.
      if (!isInterrupted || isServed) expect(cost.wastedMicroUsd).toBe(0)
      else expect(cost.wastedMicroUsd).toBe(cost.totalMicroUsd)
    }
  })

  it('without an interruption wastes nothing', async () => {
    const ledger = await checked(await world(1, ['delivery-doubled', 'event-late']))
    expect(sum(ledger.map(({ cost }) => cost!.wastedMicroUsd!))).toBe(0)
  })
})
