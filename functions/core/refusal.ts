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

export function refusalReport(request: JobRequest, problems: readonly Problem[]): RefusalReport {
  const lines = problems.map(({ label, message, suggestion }) => {
    const hint = suggestion === null ? '' : ` Use ${code(suggestion)}.`
    return `- ${code(label)}: ${escapeMarkdown(message)}${hint}`
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

/** Keeps mentions, links and markup in a sentence from working; the sentence's own code spans may stay. */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\*_{}[\]<>()#+!|@~]/g, character => `\\${character}`)
}
