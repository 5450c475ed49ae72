/** What the author of a job that cannot be served is told, where they look: a check run on the commit. */
import { clean } from './text.ts'
import type { JobRequest, Problem } from './types.ts'

export interface RefusalReport {
  /** One check run for each run and attempt, however many of its jobs are refused or deliveries doubled. */
  readonly externalId: string
  readonly headSha: string
  readonly title: string
  /** Markdown. */
  readonly summary: string
}

/** Words of a provider can be long; a check run holds 65,535 characters. */
const SENTENCE_LIMIT = 1000

export function refusalReport(request: JobRequest, problems: readonly Problem[]): RefusalReport {
  const lines = problems.map(({ label, message, suggestion }) => {
    const hint = suggestion === null ? '' : ` Use ${code(suggestion)}.`
    return `- ${code(label)}: ${sentence(message)}${hint}`
  })
  return {
    externalId: `tornade:${request.runId}:${request.attempt}`,
    headSha: request.headSha,
    title: `tornade cannot run the job ${clean(request.name)}`,
    summary: [
      `\`runs-on\` of the job ${code(request.name)} asks for something that cannot be started:`,
      '',
      ...lines,
    ].join('\n'),
  }
}

/** A code span that its content cannot leave. */
function code(text: string): string {
  return `\`${clean(text).replaceAll('`', "'") || ' '}\``
}

/** One line of text. Its own code spans stay, but for a backtick without a partner, which is text like the rest. */
function sentence(text: string): string {
  const parts = clean(text, SENTENCE_LIMIT).split('`')
  if (parts.length % 2 === 0) return escapeMarkdown(parts.join("'"))
  return parts.map((part, index) => (index % 2 === 0 ? escapeMarkdown(part) : code(part))).join('')
}

/** Keeps mentions, links and markup from working. */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\*_{}[\]<>()#+!|@~]/g, character => `\\${character}`)
}
