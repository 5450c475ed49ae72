/** What is left of a deployment: the document of --json, outputs and a job summary for GitHub Actions. */
import { randomBytes } from 'node:crypto'
import { markdown } from '../../../functions/core/escape.ts'
import type { Exit } from './fault.ts'
import { type Image, imageText } from './forms.ts'
import { duration, line, short } from './text.ts'
import type { Trouble } from './verdict.ts'
import type { Followed, Outcome } from './wait.ts'

/** Characters of what others wrote, in a cell or an entry of the summary. */
const CELL = 300

export interface Rollback {
  readonly outcome: 'healthy' | 'pushed' | 'failed' | 'not-done'
  readonly commit: string | null
  readonly message: string
}

/** The document of --json. */
export interface Result {
  /** `pushed` is done as well, where there is no application to wait for. */
  readonly outcome: Outcome | 'pushed'
  readonly exitCode: Exit
  readonly message: string
  readonly details: readonly string[]
  readonly images: readonly string[]
  /** The commit that has the images. */
  readonly commit: string | null
  /** Whether this run made it. */
  readonly changed: boolean
  readonly applications: readonly Omit<Followed, 'exit'>[]
  readonly rollback: Rollback | null
  /** Of GitHub; null where none was asked for. */
  readonly deployment: {
    readonly id: number | null
    readonly url: string | null
    readonly error: string | null
  } | null
  readonly environmentUrl: string | null
  readonly seconds: number
}

/** For $GITHUB_OUTPUT. A delimiter that nobody can foresee keeps a value from writing a second output. */
export function outputs(result: Result): string {
  const all = {
    outcome: result.outcome,
    message: result.message,
    commit: result.commit ?? '',
    changed: String(result.changed),
    'environment-url': result.environmentUrl ?? '',
    'deployment-id': String(result.deployment?.id ?? ''),
    'rollback-commit': result.rollback?.commit ?? '',
    result: JSON.stringify(result),
  }
  const end = `end-${randomBytes(12).toString('hex')}`
  return Object.entries(all)
    .map(([name, value]) => `${name}<<${end}\n${value}\n${end}\n`)
    .join('')
}

/** For $GITHUB_STEP_SUMMARY. */
export function summary(result: Result): string {
  const rows = result.applications.map(
    ({ name, outcome, sync, health, message }) =>
      `| ${markdown(name, CELL)} | ${outcome} | ${sync ?? ''} | ${health ?? ''} | ${markdown(message, CELL)} |`,
  )
  const troubles = result.applications.flatMap(({ name, resources, conditions }) => [
    ...resources.map(trouble => `- ${markdown(`${name}: ${told(trouble)}`, CELL)}`),
    ...conditions.map(condition => `- ${markdown(`${name}: ${condition}`, CELL)}`),
  ])
  return [
    `### Deployment: ${result.outcome}`,
    '',
    markdown(result.message, 600),
    '',
    ...result.images.map(image => `- \`${image}\``),
    ...(result.commit
      ? [`- commit \`${short(result.commit)}\`${result.changed ? '' : ', which had the image already'}`]
      : []),
    `- ${duration(result.seconds * 1000)}`,
    ...(result.rollback ? [`- rollback: ${markdown(result.rollback.message, 600)}`] : []),
    '',
    ...(rows.length > 0
      ? ['| application | outcome | sync | health | |', '|---|---|---|---|---|', ...rows, '']
      : []),
    ...troubles,
    '',
  ].join('\n')
}

/** For a person at the end of a log. */
export function closing(result: Result): string[] {
  return [
    ...result.applications
      .filter(({ outcome }) => outcome !== 'healthy')
      .flatMap(({ name, message, resources, conditions, page }) => [
        `${name}: ${message}`,
        ...resources.map(trouble => `  ${name}: ${told(trouble)}`),
        ...conditions.map(condition => `  ${name}: ${line(condition, 500)}`),
        `  ${name}: ${page}`,
      ]),
    ...(result.rollback ? [`rollback: ${result.rollback.message}`] : []),
    ...result.details,
    `${result.outcome}: ${result.message}`,
  ]
}

export function imageTexts(images: readonly Image[]): string[] {
  return [...new Set(images.map(imageText))]
}

function told({ resource, status, message }: Trouble): string {
  return line(`${resource}: ${status}${message === '' ? '' : `, ${message}`}`, 500)
}
