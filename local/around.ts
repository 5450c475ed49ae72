/** Ports with something put around their calls. */
import type { Ports } from '../functions/ports.ts'

/** The same port with some of its calls replaced; works for classes with private fields. */
export function proxy<T extends object>(port: T, replaced: Partial<T>): T {
  return new Proxy(port, {
    get(target, name) {
      if (Object.hasOwn(replaced, name)) return Reflect.get(replaced, name)
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

/** Stands between a caller and one call of a port: its name, as in `jobs.put`, and what it was called with. */
export type Guard = (
  work: () => Promise<unknown>,
  name: string,
  parameters: readonly unknown[],
) => Promise<unknown>

/** The ports with every call to the outside behind `guard`. */
export function guarded(ports: Ports, guard: Guard): Ports {
  const wrap = <T extends object>(port: T, portName: string): T => {
    const known = new Map<PropertyKey, unknown>()
    return new Proxy(port, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        const made =
          known.get(name) ??
          ((...parameters: unknown[]) =>
            guard(async () => member.apply(target, parameters), `${portName}.${String(name)}`, parameters))
        known.set(name, made)
        return made
      },
    })
  }
  const { ledger } = ports
  return {
    ...ports,
    queue: wrap(ports.queue, 'queue'),
    compute: wrap(ports.compute, 'compute'),
    github: wrap(ports.github, 'github'),
    tickets: wrap(ports.tickets, 'tickets'),
    notices: wrap(ports.notices, 'channel'),
    replies: wrap(ports.replies, 'replies'),
    ledger: {
      jobs: wrap(ledger.jobs, 'jobs'),
      runners: wrap(ledger.runners, 'runners'),
      reruns: wrap(ledger.reruns, 'reruns'),
      audit: wrap(ledger.audit, 'audit'),
      rollups: wrap(ledger.rollups, 'rollups'),
      refusals: wrap(ledger.refusals, 'refusals'),
      gate: wrap(ledger.gate, 'gate'),
      sweep: wrap(ledger.sweep, 'sweep'),
      notices: wrap(ledger.notices, 'notices'),
    },
  }
}
