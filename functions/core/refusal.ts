/** What the author of a job that cannot be served is told, where they look: a check run on the commit. */
import { markdown, markdownCode } from './escape.ts'
import { clean } from './text.ts'
import type { JobRequest, Problem, RunRefusals } from './types.ts'

export interface RefusalReport {
  /** One check run for each run and attempt, however many of its jobs are refused or deliveries doubled. */
  readonly externalId: string
  readonly headSha: string
  readonly title: string
  /** Markdown. */
  readonly summary: string
}

/** Words of a provider can be long; a check run holds 65,535 bytes. */
const SENTENCE_LIMIT = 1000
/** Bytes of problems that a check run shows. */
const PROBLEMS_BYTES = 50_000
/** Jobs that are named for the same problems. */
const NAMES = 20
/** Jobs that are remembered, in an item of at most 400 KB; a matrix has 256. */
const JOBS = 500
const NEXT =
  'Once that is put right, run it again: push the changed workflow, or, where nothing in the repository had to change, choose Re-run jobs.'

export function refusalsKey({ runId, attempt }: Pick<JobRequest, 'runId' | 'attempt'>): string {
  return `${runId}-${attempt}`
}

/** @returns `known` itself where it has the job already, or can take no more */
export function withRefused(
  known: RunRefusals | undefined,
  request: JobRequest,
  problems: readonly Problem[],
  at: number,
): RunRefusals {
  const none = { problems: [], jobs: [], told: 0, checkId: null, tellingUntil: null }
  const run = known ?? { key: refusalsKey(request), version: 0, headSha: request.headSha, at, ...none }
  if (run.jobs.length >= JOBS || run.jobs.some(({ key }) => key === request.key)) return run
  const text = fitting(problems.map(line), PROBLEMS_BYTES)
  const place = run.problems.indexOf(text)
  const isNew = place < 0
  const fits = !isNew || bytes([...run.problems, text].join()) <= PROBLEMS_BYTES
  const job = {
    key: request.key,
    name: clean(request.name),
    problems: fits ? (isNew ? run.problems.length : place) : null,
  }
  return {
    ...run,
    jobs: [...run.jobs, job],
    problems: isNew && fits ? [...run.problems, text] : run.problems,
  }
}

/** True while GitHub does not show all of them. */
export function isUntold({ told, jobs }: RunRefusals): boolean {
  return told < jobs.length
}

export function refusalReport({ key, headSha, problems, jobs }: RunRefusals): RefusalReport {
  const of = (place: number | null) => jobs.flatMap(job => (job.problems === place ? [job.name] : []))
  const parts = problems.map((text, place) => `${cannot(of(place))}:\n\n${text}`)
  const rest = of(null)
  const [first, ...others] = jobs
  return {
    externalId: `tornade:${key.replace('-', ':')}`,
    headSha,
    title:
      others.length === 0
        ? `tornade cannot run the job ${first!.name}`
        : `tornade cannot run ${jobs.length} jobs`,
    summary: [
      ...parts,
      ...(rest.length > 0 ? [`${cannot(rest)} either, for reasons that have no room here.`] : []),
      NEXT,
    ].join('\n\n'),
  }
}

function cannot(names: readonly string[]): string {
  const more = names.length - NAMES
  const shown = names.slice(0, NAMES).map(markdownCode).join(', ')
  return `The ${names.length === 1 ? 'job' : 'jobs'} ${shown}${more > 0 ? ` and ${more} more` : ''} cannot be run`
}

function line({ label, message, suggestion }: Problem): string {
  const hint = suggestion === null ? '' : ` Use ${markdownCode(suggestion)}.`
  return `- ${markdownCode(label)}: ${sentence(message)}${hint}`
}

/** As many lines as there is room for. */
function fitting(lines: readonly string[], limit: number): string {
  let text = lines.join('\n')
  for (let count = lines.length - 1; bytes(text) > limit && count > 0; count--)
    text = [...lines.slice(0, count), `- and ${lines.length - count} more`].join('\n')
  return text
}

const encoder = new TextEncoder()
function bytes(text: string): number {
  return encoder.encode(text).length
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
