/** What is left of a build for GitHub Actions: outputs and a job summary. */
import { randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { markdown } from '../../../functions/core/escape.ts'
import { clean } from '../../supervisor/log.ts'
import { duration } from '../deploy/text.ts'
import type { Cache } from './cache.ts'

/** --metadata-file of tornade-build. */
export interface Metadata {
  readonly digest: string | null
  readonly images: readonly string[]
  /** Bytes in the registry. */
  readonly size: number | null
  readonly seconds: number
  readonly cache: { readonly hits: number; readonly misses: number }
}

/** For $GITHUB_OUTPUT. A delimiter that nobody can foresee keeps a value from writing a second output. */
export function outputs(all: Readonly<Record<string, string>>): string {
  const end = `end-${randomBytes(12).toString('hex')}`
  return Object.entries(all)
    .map(([name, value]) => `${name}<<${end}\n${value}\n${end}\n`)
    .join('')
}

/** For $GITHUB_STEP_SUMMARY. */
export function buildSummary(
  { digest, size, seconds, cache: { hits, misses } }: Metadata,
  { tags, push, cache }: { tags: readonly string[]; push: boolean; cache: Cache | null },
): string {
  const known = hits + misses > 0
  return table(`Image ${push ? 'pushed' : 'built, and not pushed'}`, [
    ...tags.map(tag => ['image', code(tag)] as const),
    ['digest', digest === null ? 'unknown' : code(digest)],
    ['size', size === null ? 'unknown' : bytes(size)],
    ['time', duration(seconds * 1000)],
    [
      'layers from the cache',
      cache === null
        ? 'no cache'
        : `${known ? `${hits} of ${hits + misses}` : 'unknown'}, ${code(cache.repository)}${cache.readOnly ? ', read only' : ''}`,
    ],
  ])
}

export function indexSummary(
  { digest, tags }: { digest: string; tags: readonly string[] },
  images: readonly { readonly platform: string; readonly digest: string }[],
): string {
  return table('Index pushed', [
    ...tags.map(tag => ['image', code(tag)] as const),
    ['digest', code(digest)],
    ...images.map(image => [image.platform, code(image.digest)] as const),
  ])
}

/** Whether there is a file or none, the build stands. */
export function append(file: string | undefined, text: string, say: (text: string) => void): void {
  if (!file) return
  try {
    appendFileSync(file, text)
  } catch (error) {
    say(`${clean(file, 200)} cannot be written: ${(error as NodeJS.ErrnoException).code}`)
  }
}

function table(title: string, rows: readonly (readonly [string, string])[]): string {
  return [
    `### ${markdown(title)}`,
    '',
    '| | |',
    '|---|---|',
    ...rows.map(([name, value]) => `| ${markdown(name)} | ${value} |`),
    '',
    '',
  ].join('\n')
}

/** Code in a cell of a table that its content cannot leave. */
export function code(text: string): string {
  return `\`${clean(text, 300).replace(/[`|]/g, "'") || ' '}\``
}

/** Registries and their bills count by thousands. */
export function bytes(count: number): string {
  const [unit, name] = count < 1e6 ? [1e3, 'kB'] : count < 1e9 ? [1e6, 'MB'] : [1e9, 'GB']
  return `${(count / Number(unit)).toFixed(1)} ${name}`
}
