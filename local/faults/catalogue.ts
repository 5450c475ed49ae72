/** Every fault by name, and what becomes of a set of them that a world is given. */
import type { Ports } from '../../functions/ports.ts'
import type { LocalClock } from '../clock.ts'
import type { Delivery } from '../github.ts'
import { Dice } from '../random.ts'
import type { World, WorldOptions } from '../world.ts'
import { CALL_FAULTS } from './calls.ts'
import { DELIVERY_FAULTS } from './deliveries.ts'
import { EVENT_FAULTS } from './events.ts'
import type { Fault, FaultOrder, PlannedJob, Seams, Strikes } from './fault.ts'
import { GITHUB_FAULTS } from './github.ts'
import { LAG_FAULTS } from './lags.ts'
import { OPERATOR_FAULTS } from './operator.ts'
import { TASK_FAULTS } from './tasks.ts'
import { TIME_FAULTS } from './time.ts'
import { USER_FAULTS } from './users.ts'

export const FAULTS: ReadonlyMap<string, Fault> = new Map(
  [
    ...DELIVERY_FAULTS,
    ...CALL_FAULTS,
    ...TASK_FAULTS,
    ...GITHUB_FAULTS,
    ...USER_FAULTS,
    ...EVENT_FAULTS,
    ...TIME_FAULTS,
    ...LAG_FAULTS,
    ...OPERATOR_FAULTS,
  ].map(fault => [fault.name, fault]),
)

/** The faults of one world, as it takes them. */
export class OrderedFaults {
  /** How often each has struck. */
  readonly struck = new Map<string, number>()
  readonly #seams: readonly Seams[]
  readonly #onStrike: ((name: string, what: string) => void) | null

  /**
   * @param clock of the world, which is made later
   * @param onStrike called with what was struck
   */
  constructor(
    seed: number,
    orders: readonly FaultOrder[],
    clock: () => LocalClock,
    onStrike: ((name: string, what: string) => void) | null = null,
  ) {
    this.#onStrike = onStrike
    this.#seams = orders.map(order => FAULTS.get(order.name)!.seams(this.#strikes(seed, order, clock)))
  }

  /** What the users queue, with what the faults make of it. */
  jobs(planned: readonly PlannedJob[]): readonly PlannedJob[] {
    return this.#seams.reduce((jobs, { jobs: change }) => change?.(jobs) ?? jobs, planned)
  }

  /** @param accept takes a delivery that comes through */
  worldOptions(
    accept: (world: World, delivery: Delivery) => Promise<void> = (world, delivery) => world.accept(delivery),
  ): Required<Pick<WorldOptions, 'wrapPorts' | 'deliver' | 'onEvent' | 'computeFaults'>> {
    const seams = this.#seams
    return {
      wrapPorts: (ports, functionName) =>
        seams.reduce((wrapped: Ports, { ports: wrap }) => wrap?.(wrapped, functionName) ?? wrapped, ports),
      deliver: (world: World, delivery) => {
        const send = seams.reduce(
          (next: (delivery: Delivery) => Promise<void>, { deliver }) =>
            deliver ? one => deliver(one, next) : next,
          one => accept(world, one),
        )
        return send(delivery)
      },
      onEvent: (_, event, pass) => {
        const send = seams.reduce(
          (next: (event: unknown) => void, { event: change }) => (change ? one => change(one, next) : next),
          pass,
        )
        send(event)
      },
      computeFaults: {
        refuse: request => firstOf(seams, ({ refuse }) => refuse?.(request)),
        fate: request => firstOf(seams, ({ fate }) => fate?.(request)),
      },
    }
  }

  #strikes(seed: number, order: FaultOrder, clock: () => LocalClock): Strikes {
    const dice = new Dice(seed, `fault ${order.name}`)
    const on = () => {
      const now = clock().now()
      return now >= order.from && now < order.to
    }
    const struck = (what: () => string) => {
      this.struck.set(order.name, (this.struck.get(order.name) ?? 0) + 1)
      this.#onStrike?.(order.name, what())
    }
    const hit = (what: () => string) => {
      if (!on() || !dice.chance(order.share)) return false
      struck(what)
      return true
    }
    return { ...order, clock: later(clock), dice, on, hit, struck }
  }
}

/** The clock of a world that is made later. */
function later(clock: () => LocalClock): LocalClock {
  return {
    now: () => clock().now(),
    at: (time, run) => clock().at(time, run),
    after: (milliseconds, run) => clock().after(milliseconds, run),
    sleep: milliseconds => clock().sleep(milliseconds),
    track: work => clock().track(work),
  }
}

function firstOf<T>(seams: readonly Seams[], ask: (seam: Seams) => T | null | undefined): T | null {
  for (const seam of seams) {
    const answer = ask(seam)
    if (answer) return answer
  }
  return null
}
