/** Structured log, one JSON object a line. Messages are constant sentences; what varies goes into fields. */

export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

export function createLog(runner: string): Log {
  return (level, message, fields = {}) => {
    const line = { time: new Date().toISOString(), level, message, runner, ...fields }
    process.stdout.write(`${JSON.stringify(line)}\n`)
  }
}

/** Text that others wrote, for a log line or a sentence: one line, no control characters, at most `length` characters. */
export function clean(text: string, length = 100): string {
  return text
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, length)
    .replace(/\p{Cs}$/u, '')
}
