/** The log of the local stack: lines for people, on stderr, so that stdout holds answers alone. */
import type { Clock, Fields, Log } from '../functions/ports.ts'

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type Level = (typeof LEVELS)[number]

/** @param clock set later when the clock is made after the log */
export function lineLog(write: (line: string) => void, level: Level, clock: () => Clock | null): Log {
  const least = LEVELS.indexOf(level)
  const at =
    (name: Exclude<Level, 'silent'>) =>
    (message: string, fields: Fields = {}) => {
      if (LEVELS.indexOf(name) < least) return
      const time = clock()
      const when = time ? `${new Date(time.now()).toISOString().slice(11, 19)} ` : ''
      const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${plain(value)}`)
      write(`${when}${name} ${message}${rest.join('')}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** JSON, which leaves no control character as it is. */
function plain(value: unknown): string {
  return typeof value === 'string' && /^[\w./:-]+$/.test(value)
    ? value
    : (JSON.stringify(value) ?? 'undefined')
}
