/** Where a job may be started now: the kinds of capacity in its order, less those that are left alone for their failures. */
import type { Config } from './config.ts'
import { type Breakers, type Choice, choose, kindKey, takeProbe } from './core/breaker.ts'
import type { Candidate } from './core/claim.ts'
import { after, capacities } from './core/plan.ts'
import type { CapacityKind } from './core/types.ts'
import type { Ports } from './ports.ts'
import { changeGate } from './update.ts'

/** What one invocation knows: the breakers as the gate last had them, and the kinds that it has asked to probe. */
export interface Capacity {
  breakers: Breakers
  readonly probed: Set<string>
}

export interface Places extends Omit<Choice, 'probe'> {
  readonly order: readonly CapacityKind[]
}

export function orderOf(
  { spec, rerunOf }: Pick<Candidate, 'spec' | 'rerunOf'>,
  { fallback }: Pick<Config, 'fallback'>,
): readonly CapacityKind[] {
  return capacities(spec, fallback, rerunOf !== null)
}

export async function placesFor(
  { clock, ledger }: Pick<Ports, 'clock' | 'ledger'>,
  config: Pick<Config, 'fallback'>,
  candidate: Candidate,
  capacity: Capacity,
): Promise<Places> {
  const { runner, spec } = candidate
  const order = await orderAfterLoss(ledger, config, candidate)
  const now = clock.now()
  const { probe, ...chosen } = choose(capacity.breakers, order, spec.arch, runner, now)
  const key = probe && kindKey({ ...probe, arch: spec.arch })
  if (!probe || !key || capacity.probed.has(key)) return { order, ...chosen }
  // The first to come probes it, for the others it is still closed: it is noted before anybody else can look.
  capacity.probed.add(key)
  const { gate, mine } = await changeGate(ledger, current => {
    const breakers = takeProbe(current.breakers, { ...probe, arch: spec.arch }, runner, now)
    return { gate: breakers ? { ...current, breakers } : current, mine: breakers !== null }
  })
  capacity.breakers = gate.breakers
  return { order, ...chosen, kinds: mine ? [probe, ...chosen.kinds] : chosen.kinds }
}

/** After a runner that was lost for want of capacity: what comes after its kind, if there is anything. */
async function orderAfterLoss(
  ledger: Ports['ledger'],
  config: Pick<Config, 'fallback'>,
  candidate: Candidate,
): Promise<readonly CapacityKind[]> {
  const order = orderOf(candidate, config)
  if (candidate.cause !== 'capacity' || candidate.replaces === null) return order
  const former = await ledger.runners.get(candidate.replaces)
  const others = former?.launch ? after(order, former.launch.shape) : []
  return others.length > 0 ? others : order
}
