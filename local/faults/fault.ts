/** What a fault is: something that goes wrong in the world around the functions, by name, share and time. */

import type { Config } from '../../functions/config.ts'
import type { Ports } from '../../functions/ports.ts'
import type { LocalClock } from '../clock.ts'
import type { ComputeFaults } from '../compute.ts'
import type { Delivery, DoubleJob } from '../github.ts'
import type { Dice } from '../random.ts'

export interface Fault {
  readonly name: string
  /** A sentence: what it does. */
  readonly about: string
  /** Least and most share of what it can touch that it does touch. */
  readonly share: readonly [number, number]
  /** What it makes of tornade.yml, for all of the time. */
  readonly config?: (config: Config) => Config
  readonly seams: (strikes: Strikes) => Seams
}

/** One fault of one world. Times are milliseconds since 1970; nothing strikes from `to` on. */
export interface FaultOrder {
  readonly name: string
  readonly share: number
  readonly from: number
  readonly to: number
}

/** What a fault decides by. */
export interface Strikes extends FaultOrder {
  readonly clock: LocalClock
  readonly dice: Dice
  /** Inside its window? */
  on(): boolean
  /** Inside its window, and for `share` of the times; `what` is what was struck, for the timeline. */
  hit(what: () => string): boolean
  /** It has struck, as decided otherwise. */
  struck(what: () => string): void
}

/** A job that the world's users will queue. Times are milliseconds since 1970. */
export interface PlannedJob {
  readonly at: number
  readonly job: DoubleJob
  /** When somebody opens its gate. */
  readonly gateAt: number | null
  /** When somebody tries to run it again. */
  readonly againAt: number | null
}

/** Where a fault takes hold. All that stand in the same place see each other's work, the last one first. */
export interface Seams {
  readonly ports?: (ports: Ports, functionName: string) => Ports
  readonly deliver?: (delivery: Delivery, send: (delivery: Delivery) => Promise<void>) => Promise<void>
  /** An event of AWS on its way to EventBridge. */
  readonly event?: (event: unknown, pass: (event: unknown) => void) => void
  readonly refuse?: NonNullable<ComputeFaults['refuse']>
  readonly fate?: NonNullable<ComputeFaults['fate']>
  readonly jobs?: (jobs: readonly PlannedJob[]) => readonly PlannedJob[]
}

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
