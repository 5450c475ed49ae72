/** What is printed. Argo CD, git and GitHub word much of it, and it ends up in the log of a workflow. */
import { clean } from '../../supervisor/log.ts'

/**
 * One line of a log that nobody takes for a command: workflows obey `::name::` at the start of a line and `##[name]` anywhere.
 * https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */
export function line(text: string, length = 2000): string {
  return unmarked(clean(text, length)).replace(/^::/, ': :')
}

/** Whole lines of a log, as they are but for what would be a command. .NET takes U+0085 for a space, and \r for the end of a line. */
export function commandless(text: string): string {
  return unmarked(text).replace(/^([\s\u0085]*):(?=:)/gm, '$1: ')
}

/** Any part of a log, without what is a command wherever it stands. */
export function unmarked(text: string): string {
  return text.replaceAll('##[', '## [')
}

/** `1m05s` */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  const rest = seconds % 60
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${String(rest).padStart(2, '0')}s`
}

export function short(revision: string): string {
  return revision.slice(0, 10)
}
