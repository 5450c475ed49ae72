/** Reads and checks tornade.yml. Every fault of the file is reported at once, each with its path. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Document, parseDocument } from 'yaml'
import * as z from 'zod'
import { type Config, DEFAULT_CONFIG } from '../functions/config.ts'
import { isBranchPattern } from '../functions/core/chat.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { PRICES } from '../functions/core/prices.ts'
import { type DailyTime, readDailyTime, readSchedule, type Schedule } from '../functions/core/schedule.ts'
import { clean } from '../functions/core/text.ts'
import { configFaults } from './config-faults.ts'

const name = z.string().regex(/^[a-z0-9-]{1,40}$/, 'a name is 1 to 40 of a-z, 0-9 and -')
const repository = z.string().regex(/^[\w.-]+\/[\w.-]+$/, 'a repository is written owner/name')
const count = z.int().min(1)
const gigabytes = z
  .string()
  .regex(/^(512mb|[1-9]\d{0,3}gb)$/, 'write 512mb or whole gigabytes, for example 64gb')
  .transform(text => (text === '512mb' ? 0.5 : Number.parseInt(text, 10)))
/** The gate, one item of at most 400 KB that each start and each end of a runner writes: docs/performance.md. */
export const MOST_RUNNERS = 2500
/** JIT configs that GitHub allows in an hour. */
const startsPerHour = count.max(10_000)
/** A thousandth of a cent is the least that makes sense, and micro-dollars stay whole numbers. */
const dollars = z.number().min(0.00001).max(10_000_000)
const minutes = z
  .string()
  .regex(/^[1-9]\d{0,3}[mh]$/, 'write minutes or hours, for example 90m or 6h')
  .transform(text => Number.parseInt(text, 10) * (text.endsWith('h') ? 60 : 1))
/** Of a GitHub Enterprise Server, or of an enterprise with data residency (https://api.NAME.ghe.com). */
const GITHUB_API = /^https:\/\/(?:[\w.-]+(?::\d+)?\/api\/v3|api\.[\w-]+\.ghe\.com)$/

/** GitHub takes the names of repositories without regard to case. */
const byRepository = <T extends z.ZodType>(value: T) =>
  z.record(repository, value).transform((table, context): Record<string, z.output<T>> => {
    const written = new Map<string, string>()
    for (const name of Object.keys(table)) {
      const first = written.get(name.toLowerCase())
      if (first === undefined) written.set(name.toLowerCase(), name)
      else {
        const [a, b] = [first, name].sort()
        context.addIssue({ code: 'custom', message: `${a} and ${b} are one repository` })
      }
    }
    return Object.fromEntries(
      Object.entries(table).map(([name, own]) => [name.toLowerCase(), own as z.output<T>]),
    )
  })

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html */
const ECR_NAME = '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'
const ECR = `(\\d{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com/(${ECR_NAME})`
const IMAGE = new RegExp(`^${ECR}@sha256:[0-9a-f]{64}$`)
const TAGGED_IMAGE = new RegExp(`^${ECR}(?::(\\w[\\w.-]{0,127}))?$`)
const NO_DIGEST = 'write an image in ECR by its digest, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:…'

const image = z.string().regex(IMAGE, {
  error: ({ input }) => {
    const [, account, region, repository, tag = 'latest'] = TAGGED_IMAGE.exec(String(input)) ?? []
    if (account === undefined) return NO_DIGEST
    const of = `--registry-id ${account} --region ${region} --repository-name ${repository}`
    return `a tag can be moved: write NAME@ and what this tells: aws ecr describe-images ${of} --image-ids imageTag=${tag} --query 'imageDetails[0].imageDigest'`
  },
})
const images = z.union(
  [
    image.transform(both => ({ x64: both, arm64: both })),
    z
      .strictObject({ x64: image, arm64: image })
      .partial()
      .refine(own => 'x64' in own || 'arm64' in own, 'name x64, arm64 or both'),
  ],
  `${NO_DIGEST}, or { x64: …, arm64: … } of such`,
)

const schedule = z.string().transform((text, context): Schedule => {
  const read = readSchedule(text)
  if (typeof read !== 'string') return read
  context.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

const dailyTime = z.string().transform((text, context): DailyTime => {
  const read = readDailyTime(text)
  if (typeof read !== 'string') return read
  context.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

/** Of Slack: https://docs.slack.dev/reference/objects/user-object */
const slackId = (letters: string, what: string) =>
  z.string().regex(new RegExp(`^[${letters}][A-Z0-9]{1,30}$`), `the id of ${what}, not its name`)

const slack = z
  .strictObject({
    digest: dailyTime.optional(),
    alerts: z.array(z.int().min(1).max(1000)).max(10).default([50, 80, 100]),
    team: slackId('T', 'a workspace of Slack, T…').optional(),
    users: z.array(slackId('UW', 'a member of Slack, U…')).min(1).max(200).optional(),
    channels: z.array(slackId('CDG', 'a channel of Slack, C…')).min(1).max(100).optional(),
    apps: z
      .record(
        name,
        z.strictObject({
          repository,
          workflow: z
            .string()
            .regex(
              /^[\w][\w.-]{0,99}\.ya?ml$/,
              'the file of a workflow without its folder, for example deploy.yml',
            ),
          branches: z
            .array(z.string().refine(isBranchPattern, 'a branch, or a pattern like release/*'))
            .min(1)
            .max(50),
          inputs: z
            .record(z.string().regex(/^[A-Za-z_][\w-]{0,99}$/, 'the name of an input'), z.string().max(1000))
            .refine(all => Object.keys(all).length <= 25, 'GitHub takes 25 inputs')
            .default({}),
        }),
      )
      .refine(all => Object.keys(all).length <= 50, 'at most 50 applications')
      .optional(),
  })
  .refine(({ team, users, channels, apps }) => {
    const named = [team, users, channels].filter(one => one !== undefined).length
    return named === 3 || (named === 0 && apps === undefined)
  }, 'commands need all of team, users and channels')

const file = z.strictObject({
  marker: name.max(20).optional(),
  region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'an AWS region, for example eu-west-1')
    .optional(),
  owners: z.record(z.string().regex(/^[\w-]{1,39}$/, 'a GitHub login'), count).optional(),
  sizes: z.record(name, z.array(z.string()).min(1)).optional(),
  // Each is two resources of a template, which has room for 500.
  images: z
    .record(name, images)
    .refine(all => Object.keys(all).length <= 100, 'at most 100 images')
    .optional(),
  roles: z
    .record(
      name,
      z.strictObject({
        repositories: z.array(repository).min(1),
        refs: z
          .array(z.string().regex(/^refs\/(heads|tags)\/.+$/, 'a full ref, for example refs/heads/main'))
          .default([]),
        events: z.array(z.string().regex(/^[a-z_]+$/, 'an event name, for example push')).default([]),
        protected: z.boolean().default(true),
        runners: count.max(MOST_RUNNERS).optional(),
      }),
    )
    .optional(),
  limits: z
    .strictObject({
      runners: count.max(MOST_RUNNERS),
      perRepository: count.max(MOST_RUNNERS),
      cpu: z.number().positive().max(96),
      memory: gigabytes,
      disk: gigabytes,
      starts: count.max(10),
      replacements: z.int().min(0).max(10),
      startsPerHour,
    })
    .partial()
    .optional(),
  repositories: byRepository(
    z
      .strictObject({
        runners: count.max(MOST_RUNNERS),
        cpu: z.number().positive().max(96),
        memory: gigabytes,
        disk: gigabytes,
        startsPerHour,
      })
      .partial(),
  ).optional(),
  runner: z
    .strictObject({ life: minutes.refine(m => m <= 2160, 'at most 36h'), idle: minutes })
    .partial()
    .optional(),
  spend: z
    .strictObject({
      monthlyUsd: dollars.optional(),
      dailyUsd: dollars.optional(),
      onCap: z.enum(['block', 'warn']).default('block'),
    })
    .refine(({ monthlyUsd, dailyUsd }) => monthlyUsd ?? dailyUsd, 'name monthlyUsd, dailyUsd or both')
    .optional(),
  slack: slack.optional(),
  fallback: z.array(z.enum(['on-demand', 'codebuild'])).optional(),
  rerunAfterReclaim: z.union([z.boolean(), z.literal('with-role')], 'true, false or with-role').optional(),
  priority: byRepository(z.int().min(-100).max(100)).optional(),
  pools: z
    .array(
      z.strictObject({
        runsOn: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
        repository,
        size: count.max(100),
        schedule: schedule.optional(),
      }),
    )
    .optional(),
  github: z
    .strictObject({
      url: z
        .string()
        .regex(GITHUB_API, 'the REST API of your server, for example https://github.acme.com/api/v3'),
      organisationRunners: z.boolean(),
      runnerGroup: count,
    })
    .partial()
    .optional(),
  labelMistakes: z.enum(['cancel', 'report']).optional(),
  forks: z.enum(['refuse', 'allow']).optional(),
  dashboard: z
    .strictObject({ users: z.array(count).max(1000), organisations: z.array(count).max(100) })
    .partial()
    .optional(),
})

/** Paths of all settings; `*` stands for a name that the operator gives. */
export function settingPaths(): string[] {
  return pathsOf(file, '')
}

function pathsOf(type: z.core.$ZodType, path: string): string[] {
  if (type instanceof z.ZodOptional || type instanceof z.ZodDefault)
    return pathsOf((type as z.ZodOptional).unwrap(), path)
  if (type instanceof z.ZodPipe) return pathsOf(type.in, path)
  const below = (name: string, inner: z.core.$ZodType) =>
    pathsOf(inner, path === '' ? name : `${path}.${name}`)
  if (type instanceof z.ZodRecord) return [path, ...below('*', type.valueType)]
  if (!(type instanceof z.ZodObject)) return [path]
  const own = Object.entries(type.shape as Record<string, z.core.$ZodType>)
  return [...(path === '' ? [] : [path]), ...own.flatMap(([name, inner]) => below(name, inner))]
}

/** Names and values of the file are part of what is said of it. */
const FAULT_LIMIT = 300

export interface LoadedConfig {
  readonly config: Config
  /** Where it was read; null when there is no file and the defaults hold. */
  readonly path: string | null
  /** Settings that are read but not acted on yet, or that can do nothing. */
  readonly warnings: readonly string[]
}

/** A file that may have faults. */
export interface CheckedConfig extends LoadedConfig {
  /** One line for every fault; with any of them `config` holds defaults in the place of what is wrong. */
  readonly faults: readonly string[]
  /** Settings with a fault of their own. */
  readonly unsound: ReadonlySet<string>
}

/**
 * Reads `path`, or ./tornade.yml where there is one, or takes the defaults.
 * @throws TornadeError config-unreadable or config-invalid
 */
export async function loadConfigFile(path: string | null, cwd: string): Promise<LoadedConfig> {
  const { faults, config, path: read, warnings } = await checkConfigFile(path, cwd)
  if (faults.length > 0) throw invalid(read ?? 'tornade.yml', faults)
  return { config, path: read, warnings }
}

/**
 * The same for whoever has more to find in the file: its faults are part of the answer.
 * @throws TornadeError config-unreadable, or config-invalid for what is no YAML
 */
export async function checkConfigFile(path: string | null, cwd: string): Promise<CheckedConfig> {
  const shown = path ?? 'tornade.yml'
  const full = resolve(cwd, shown)
  let text: string
  try {
    text = await readFile(full, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (path === null && code === 'ENOENT')
      return { config: DEFAULT_CONFIG, path: null, warnings: [], faults: [], unsound: new Set() }
    throw new TornadeError('config-unreadable', `${shown} cannot be read (${code ?? 'unknown error'})`, [], {
      cause: error,
    })
  }
  return { ...checkConfig(text, shown), path: shown }
}

/** @throws TornadeError config-invalid with one line in `details` for every fault. */
export function parseConfig(text: string, shown: string): { config: Config; warnings: readonly string[] } {
  const { faults, config, warnings } = checkConfig(text, shown)
  if (faults.length > 0) throw invalid(shown, faults)
  return { config, warnings }
}

/** @throws TornadeError config-invalid for what is no YAML */
function checkConfig(text: string, shown: string): Omit<CheckedConfig, 'path'> {
  const document = parseDocument(text)
  if (document.errors.length > 0)
    throw invalid(
      shown,
      document.errors.map(error => firstLine(error.message)),
    )
  const value = resolved(document, shown)
  const issues = file.safeParse(value).error?.issues ?? []
  const reserved = reservedNames(value, '')
  const faults = new Set([...reserved, ...issues.flatMap(describe)])
  const unsound = new Set([...issues.map(({ path }) => String(path[0])), ...reserved.map(topOf)])
  // Settings are read one by one, so what is left of them has no fault of its own.
  const sound = Object.entries(value as object).filter(
    ([key]) => Object.hasOwn(file.shape, key) && !unsound.has(key),
  )
  const data = file.parse(Object.fromEntries(sound))
  const config = compile(data)
  for (const fault of configFaults(config, unsound)) faults.add(fault)
  const blind = config.spend !== null && !PRICES.regions.has(config.region)
  const warnings = [
    ...(blind ? [`spend counts nothing in ${config.region}, whose prices are unknown (docs/costs.md)`] : []),
  ]
  return {
    config,
    warnings: warnings.map(warning => `${shown}: ${warning}`),
    faults: [...faults],
    unsound,
  }
}

/** `limits.cpu: …` → limits */
function topOf(fault: string): string {
  return fault.split(/[.:]/)[0]!
}

/** Aliases are looked up here, and may be of nothing, or too many. */
function resolved(document: Document, shown: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {}
  } catch (error) {
    throw invalid(shown, [(error as Error).message])
  }
}

/** No setting lies deeper; what does is refused for its shape. */
const DEEPEST = 4

/** zod passes over this name without a word. */
function reservedNames(value: unknown, path: string, depth = 0): string[] {
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const here = [path, key].filter(Boolean).join('.')
    return key === '__proto__' ? [`${here}: unknown key`] : reservedNames(inner, here, depth + 1)
  })
}

function compile(data: z.output<typeof file>): Config {
  const { limits, runner } = data
  const base = DEFAULT_CONFIG
  return {
    marker: data.marker ?? base.marker,
    region: data.region ?? base.region,
    owners: data.owners ?? base.owners,
    sizes: data.sizes ?? base.sizes,
    images: mapValues(data.images ?? {}, ({ x64, arm64 }) => defined({ x64, arm64 })),
    roles: data.roles ? roles(data.roles) : base.roles,
    limits: {
      runners: limits?.runners ?? base.limits.runners,
      perRepository: limits?.perRepository ?? base.limits.perRepository,
      cpu: limits?.cpu ?? base.limits.cpu,
      memoryGiB: limits?.memory ?? base.limits.memoryGiB,
      diskGiB: limits?.disk ?? base.limits.diskGiB,
      starts: limits?.starts ?? base.limits.starts,
      replacements: limits?.replacements ?? base.limits.replacements,
      startsPerHour: limits?.startsPerHour ?? base.limits.startsPerHour,
    },
    repositories: exceptions(data.repositories ?? {}),
    spend: data.spend ? spendLimits(data.spend) : base.spend,
    slack: data.slack ? slackSettings(data.slack) : base.slack,
    runner: {
      lifeMinutes: runner?.life ?? base.runner.lifeMinutes,
      idleMinutes: runner?.idle ?? base.runner.idleMinutes,
    },
    fallback: data.fallback ?? base.fallback,
    rerunAfterReclaim: data.rerunAfterReclaim ?? base.rerunAfterReclaim,
    priority: data.priority ?? base.priority,
    pools: (data.pools ?? []).map(({ runsOn, schedule, ...pool }) => ({
      ...pool,
      labels: typeof runsOn === 'string' ? [runsOn] : runsOn,
      schedule: schedule ?? null,
    })),
    github: {
      url: data.github?.url ?? base.github.url,
      organisationRunners: data.github?.organisationRunners ?? base.github.organisationRunners,
      runnerGroup: data.github?.runnerGroup ?? base.github.runnerGroup,
    },
    labelMistakes: data.labelMistakes ?? base.labelMistakes,
    forks: data.forks ?? base.forks,
    dashboard: { ...base.dashboard, ...defined(data.dashboard ?? {}) },
  }
}

type File = z.output<typeof file>

function roles(data: NonNullable<File['roles']>): Config['roles'] {
  return mapValues(data, ({ runners, ...rule }) => ({ ...rule, ...defined({ runners }) }))
}

function exceptions(data: NonNullable<File['repositories']>): Config['repositories'] {
  return mapValues(data, ({ memory: memoryGiB, disk: diskGiB, ...own }) =>
    defined({ ...own, memoryGiB, diskGiB }),
  )
}

function slackSettings({
  digest,
  alerts,
  team,
  users,
  channels,
  apps = {},
}: NonNullable<File['slack']>): Config['slack'] {
  const commands = team && users && channels ? { team, users, channels, apps } : null
  return { digest: digest ?? null, alerts, commands }
}

function spendLimits({ monthlyUsd, dailyUsd, onCap }: NonNullable<File['spend']>): Config['spend'] {
  const microUsd = (usd: number | undefined) => (usd === undefined ? null : Math.round(usd * 1_000_000))
  return { monthlyMicroUsd: microUsd(monthlyUsd), dailyMicroUsd: microUsd(dailyUsd), onCap }
}

function mapValues<T, R>(values: Readonly<Record<string, T>>, map: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]))
}

/** Without what nothing is said of. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof defined<T>
  >
}

function describe(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map(key => `${[path, key].filter(Boolean).join('.')}: unknown key`)
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
  return [`${path || 'the file'}: ${message}`]
}

function firstLine(text: string): string {
  return text.split('\n')[0]!.replace(/:$/, '')
}

export function invalid(shown: string, faults: readonly string[]): TornadeError {
  return new TornadeError(
    'config-invalid',
    `${shown} has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:`,
    faults.map(line => clean(line, FAULT_LIMIT)),
  )
}
