/** Port calls take time, so that what happens at once in the cloud happens at once on the laptop too. */
import type { Ledger, Ports } from '../functions/ports.ts'
import type { LocalClock } from './clock.ts'

/** Milliseconds for a call; typical figures seen from a Lambda, not promises. */
const LATENCY = { queue: 8, ledger: 5, tickets: 5, compute: 450, runnerLog: 40, github: 250 } as const

export function withLatency(clock: LocalClock, ports: Ports): Ports {
  return {
    ...ports,
    queue: slow(clock, ports.queue, LATENCY.queue),
    ledger: slowLedger(clock, ports.ledger),
    tickets: slow(clock, ports.tickets, LATENCY.tickets),
    compute: slow(clock, ports.compute, LATENCY.compute),
    runnerLog: slow(clock, ports.runnerLog, LATENCY.runnerLog),
    github: slow(clock, ports.github, LATENCY.github),
  }
}

function slowLedger(
  clock: LocalClock,
  { jobs, runners, reruns, audit, rollups, refusals, gate, sweep, notices }: Ledger,
): Ledger {
  const slowly = <T extends object>(store: T) => slow(clock, store, LATENCY.ledger)
  return {
    jobs: slowly(jobs),
    runners: slowly(runners),
    reruns: slowly(reruns),
    audit: slowly(audit),
    rollups: slowly(rollups),
    refusals: slowly(refusals),
    gate: slowly(gate),
    sweep: slowly(sweep),
    notices: slowly(notices),
  }
}

/** The same port; every call takes effect halfway through its time. */
function slow<T extends object>(clock: LocalClock, port: T, milliseconds: number): T {
  return new Proxy(port, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return async (...parameters: unknown[]) => {
        await clock.sleep(milliseconds / 2)
        const answer: unknown = await member.apply(target, parameters)
        await clock.sleep(milliseconds / 2)
        return answer
      }
    },
  })
}
