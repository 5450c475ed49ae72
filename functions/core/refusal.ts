/** What the author of a job that cannot be served is told, where they look: a check run on the commit. */
import { markdown, markdownCode } from './escape.ts'
import { clean } from './text.ts'
import type { JobRequest, Problem } from './types.ts'

export interface RefusalReport {
  /**
   * One check run for each run and attempt, however many of its jobs are refused or deliveries doubled. It keeps what
   * the first of them said: GitHub's lists lag behind its writes and no write of its depends on a version, so that two
   * launches that added to one text would lose what the other wrote.
   */
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
    const hint = suggestion === null ? '' : ` Use ${markdownCode(suggestion)}.`
    return `- ${markdownCode(label)}: ${sentence(message)}${hint}`
  })
  return {
    externalId: `tornade:${request.runId}:${request.attempt}`,
    headSha: request.headSha,
    title: `tornade cannot run the job ${clean(request.name)}`,
    summary: [
      `The job ${markdownCode(request.name)} cannot be run:`,
      '',
      ...lines,
      '',
      'Other jobs of this run may have problems of their own; only those of the first one are shown.',
    ].join('\n'),
  }
}

/** One line of text. Its own code spans stay, but for a backtick without a partner, which is text like the rest. */
function sentence(text: string): string {
  const parts = clean(text, SENTENCE_LIMIT).split('`')
  if (parts.length % 2 === 0) return markdown(parts.join("'"), SENTENCE_LIMIT)
  const spans = parts.map((part, index) => (index % 2 === 0 ? prose(part) : markdownCode(part)))
  return spans.join('')
}

/** With the spaces at its ends, which stand between it and its neighbours. */
function prose(text: string): string {
  const [, before, words, after] = /^(\s*)(.*?)(\s*)$/s.exec(text)!
  return `${before}${markdown(words!, SENTENCE_LIMIT)}${after}`
}
