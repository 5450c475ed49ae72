/** `tornade explain`: what a set of labels gets, what that costs, or why it cannot be served. */
import { parseArgs } from 'node:util'
import { type Config, labelRules } from '../functions/config.ts'
import { githubHostedPerMinute, perMinute } from '../functions/core/cost.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { type LabelReading, type LabelRules, readLabels } from '../functions/core/labels.ts'
import { firstCapacity, shapeOf } from '../functions/core/plan.ts'
import { stalePrices } from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import type { PriceBasis, Problem, Spec } from '../functions/core/types.ts'
import { loadConfigFile } from './config-file.ts'
import { WIDTH, wrapped } from './text.ts'

const USAGE = `Usage: tornade explain LABEL… [options]

  What these labels get, what it costs, or what is wrong with them.

  --repo OWNER/NAME  also check that this repository may use the role
  --region REGION    prices of this AWS region (default: tornade.yml)
  --config FILE      read this file (default: ./tornade.yml, if there is one)
  --json             one JSON document
  --help             this text

  tornade explain tornade arm64 spot 4cpu
  tornade explain tornade/arm64/spot/4cpu
`

export interface ExplainIo {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly cwd: string
  /** Milliseconds since 1970; Date.now without it. */
  readonly now?: () => number
}

/** Prices in US dollars; null is unknown, and of `githubHosted…` also that GitHub has no such runner. */
interface PriceAnswer {
  readonly region: string
  readonly perMinuteUsd: number | null
  readonly basis: PriceBasis
  readonly githubHostedPerMinuteUsd: number | null
}

/** The document that `--json` prints. */
type Answer =
  | { readonly ok: true; readonly spec: Spec; readonly notes: readonly string[]; readonly price: PriceAnswer }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/**
 * @param argv labels and options, without `explain` itself
 * @returns the exit code: 0 the labels can be served, 1 they cannot, 2 unusable input
 */
export async function explain(argv: readonly string[], io: ExplainIo): Promise<number> {
  try {
    const { labels, options } = readArguments(argv)
    if (options.help) {
      io.stdout(USAGE)
      return 0
    }
    if (labels.length === 0) throw new TornadeError('usage', 'explain needs labels')
    const { config, path, warnings } = await loadConfigFile(options.config ?? null, io.cwd)
    for (const warning of warnings) io.stderr(`${warning}\n`)
    const region = options.region ?? config.region
    const now = (io.now ?? Date.now)()
    const stale = stalePrices(region, now)
    if (stale) io.stderr(`${stale}\n`)
    const answer = answerFor({
      labels,
      config,
      deployed: path !== null,
      repository: options.repo ?? null,
      region,
      now,
    })
    io.stdout(options.json ? `${JSON.stringify(answer, null, 2)}\n` : describe(labels, answer))
    return answer.ok ? 0 : 1
  } catch (error) {
    if (!(error instanceof TornadeError)) throw error
    io.stderr(wrapped(error.message, 0))
    for (const detail of error.details) io.stderr(wrapped(detail, 2))
    if (error.code === 'usage') io.stderr(`\n${USAGE}`)
    return 2
  }
}

/** @throws TornadeError usage */
function readArguments(argv: readonly string[]) {
  const { values, positionals } = parse(argv)
  const { region, repo } = values
  if (region !== undefined && !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)) {
    throw new TornadeError('usage', '--region wants an AWS region, for example eu-west-1')
  }
  if (repo !== undefined && !/^[\w.-]+\/[\w.-]+$/.test(repo)) {
    throw new TornadeError('usage', '--repo wants OWNER/NAME')
  }
  return { labels: asCopied(positionals), options: values }
}

/** What people copy out of a workflow, in one argument or in many: `runs-on: [tornade, 'arm64']`. */
function asCopied(words: readonly string[]): readonly string[] {
  const text = words.join(' ').replace(/^runs-on:\s*/, '')
  const list = /^\[(.*)\]$/s.exec(text.trim())?.[1]
  if (list !== undefined)
    return list
      .split(',')
      .map(label => label.trim().replace(/^(["'])(.*)\1$/s, '$2'))
      .filter(label => label !== '')
  return words[0]?.startsWith('runs-on:') ? text.split(/\s+/).filter(Boolean) : words
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        region: { type: 'string' },
        repo: { type: 'string' },
        config: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new TornadeError('usage', clean((error as Error).message, 300), [], { cause: error })
  }
}

interface Question {
  readonly labels: readonly string[]
  readonly config: Config
  /** False without a tornade.yml: then nobody has decided on limits yet. */
  readonly deployed: boolean
  readonly repository: string | null
  readonly region: string
  readonly now: number
}

function answerFor({ labels, config, deployed, repository, region, now }: Question): Answer {
  const limited = labelRules(config, { limits: true, ...(repository === null ? {} : { repository }) })
  const unlimited = labelRules(config, { limits: false })
  const reading = readLabels(labels, deployed ? limited : unlimited)
  const role = repository === null ? [] : roleProblems(reading, labels, unlimited, config, repository)
  switch (reading.outcome) {
    case 'ignored':
      return { ok: false, problems: [notOurs(labels, config.marker)] }
    case 'problems':
      return { ok: false, problems: [...reading.problems, ...role] }
    case 'spec': {
      if (role.length > 0) return { ok: false, problems: role }
      const notes = deployed ? reading.notes : [...reading.notes, ...limitNotes(readLabels(labels, limited))]
      return { ok: true, spec: reading.spec, notes, price: priceOf(reading.spec, region, now) }
    }
  }
}

function notOurs(labels: readonly string[], marker: string): Problem {
  const words = labels.flatMap(label => label.split(/[\s,]+/).filter(Boolean))
  if (words.some(word => word.toLowerCase() === marker.toLowerCase()))
    return {
      label: clean(labels.join(', ')),
      message:
        'Not a job for tornade: commas and spaces are part of a label. Write each label as an argument of its own, or parts with `/`.',
      suggestion: clean(words.join('/')),
    }
  return {
    label: clean(labels.join(', ')),
    message: `Not a job for tornade: the label \`${marker}\` is missing. Add it.`,
    suggestion: marker,
  }
}

/** Whether this repository may use the role, also where other labels of the set are wrong. */
function roleProblems(
  reading: LabelReading,
  labels: readonly string[],
  rules: LabelRules,
  config: Config,
  repository: string,
): readonly Problem[] {
  const role = reading.outcome === 'spec' ? reading.spec.role : roleAlone(labels, rules)
  const rule = new Map(Object.entries(config.roles)).get(role ?? '')
  if (rule === undefined) return []
  if (rule.repositories.some(name => name.toLowerCase() === repository.toLowerCase())) return []
  const setting = `\`roles.${role}.repositories\` in tornade.yml`
  return [{ label: `role:${role}`, message: `${repository} is not among ${setting}.`, suggestion: null }]
}

function roleAlone(labels: readonly string[], rules: LabelRules): string | null {
  const parts = labels.flatMap(label => label.split('/')).filter(part => /^\s*(role|size):/i.test(part))
  const reading = readLabels([rules.marker, ...parts], rules)
  return reading.outcome === 'spec' ? reading.spec.role : null
}

/** What the default limits would refuse; nothing is deployed yet, so they can still be raised. */
function limitNotes(reading: LabelReading): readonly string[] {
  if (reading.outcome !== 'problems') return []
  return reading.problems.map(({ label, message }) => `\`${label}\` is over a default limit. ${message}`)
}

function priceOf(spec: Spec, region: string, now: number): PriceAnswer {
  const { microUsd, basis } = perMinute(shapeOf(spec, firstCapacity(spec)), region, now)
  const hosted = githubHostedPerMinute(spec.arch, spec.cpu)
  return {
    region,
    perMinuteUsd: microUsd === null ? null : dollars(microUsd),
    basis,
    githubHostedPerMinuteUsd: hosted === null ? null : dollars(hosted.microUsd),
  }
}

/** Nano-dollars are the finest that any price is given in; what lies beyond is noise of the division. */
function dollars(microUsd: number): number {
  return Math.round(microUsd * 1000) / 1e9
}

// For people ----------------------------------------------------------------------------------------------------------

function describe(labels: readonly string[], answer: Answer): string {
  const title = clean(labels.join(' '), WIDTH)
  if (answer.ok) return `${title}\n\n${table(specRows(answer))}${notesText(answer.notes)}`
  const count = answer.problems.length === 1 ? 'one problem' : `${answer.problems.length} problems`
  return `${title}\n\nThis cannot be served: ${count}.\n${answer.problems.map(problemText).join('')}`
}

function problemText({ label, message, suggestion }: Problem): string {
  const hint = suggestion === null ? '' : wrapped(`use ${suggestion}`, 4)
  return `\n${wrapped(label === '' ? '(empty)' : label, 2)}${wrapped(message, 4)}${hint}`
}

function notesText(notes: readonly string[]): string {
  return notes.length === 0 ? '' : `\n${notes.map(note => wrapped(note, 2)).join('')}`
}

function specRows({ spec, price }: Extract<Answer, { ok: true }>): readonly (readonly [string, string])[] {
  return [
    ['runs on', computeText(spec)],
    ['architecture', spec.arch],
    ['cpu', `${spec.cpu} vCPU`],
    ['memory', `${spec.memoryGiB} GiB`],
    ['disk', `${spec.diskGiB} GiB`],
    ...(spec.docker ? ([['docker', 'a Docker daemon of its own']] as const) : []),
    ...(spec.build ? ([['builds images', buildText(spec)]] as const) : []),
    ['role', spec.role ?? 'none, only that of the runner'],
    ...(spec.image === null ? [] : ([['image', spec.image]] as const)),
    ['longest life', durationText(spec.timeoutMinutes)],
    ['price', priceText(price)],
    ['GitHub-hosted', githubText(spec, price)],
  ]
}

function computeText(spec: Spec): string {
  switch (spec.capacity) {
    case null:
      return 'CodeBuild'
    case 'on-demand':
      return 'Fargate'
    case 'spot':
      return 'Fargate Spot, on demand when there is no Spot capacity'
    case 'spot-only':
      return 'Fargate Spot, waiting when there is no Spot capacity'
  }
}

function buildText(spec: Spec): string {
  switch (spec.compute) {
    case 'fargate':
      return 'with kaniko beside the runner'
    case 'codebuild':
      return 'with Docker'
  }
}

function durationText(minutes: number): string {
  const hours = Math.floor(minutes / 60)
  const rest = minutes % 60
  return [hours > 0 ? `${hours} h` : '', rest > 0 ? `${rest} min` : ''].filter(text => text !== '').join(' ')
}

function priceText({ region, perMinuteUsd, basis }: PriceAnswer): string {
  if (perMinuteUsd === null) return `unknown: no prices for this in ${region}`
  const amount = `$${perMinuteUsd.toFixed(5)} a minute, $${(perMinuteUsd * 60).toFixed(4)} an hour`
  return `${amount} (${basisText(basis)}, ${region})`
}

function basisText(basis: PriceBasis): string {
  switch (basis) {
    case 'published':
      return 'published'
    case 'estimate':
      return 'estimate'
    case 'unknown':
      return 'or more: not all of it is known'
  }
}

function githubText(spec: Spec, { githubHostedPerMinuteUsd }: PriceAnswer): string {
  const hosted = githubHostedPerMinute(spec.arch, spec.cpu)
  if (githubHostedPerMinuteUsd === null || hosted === null)
    return `no ${spec.arch} runner with ${spec.cpu} vCPU`
  const amount = `$${githubHostedPerMinuteUsd.toFixed(5)} a minute, $${(githubHostedPerMinuteUsd * 60).toFixed(4)} an hour`
  return `${amount} (${hosted.cpu}-core ${spec.arch})`
}

function table(rows: readonly (readonly [string, string])[]): string {
  const column = Math.max(...rows.map(([name]) => name.length)) + 4
  return rows.map(([name, text]) => wrapped(text, column, `  ${name}`)).join('')
}
