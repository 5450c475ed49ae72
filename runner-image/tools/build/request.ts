/** What is to be built, read from the command line; all faults are told together. */
import { realpathSync, statSync } from 'node:fs'
import { isAbsolute, relative, resolve, sep } from 'node:path'
import { parseArgs } from 'node:util'

/** request.json. */
export interface Request {
  readonly version: 1
  /** Relative to the context where it lies there, else absolute. */
  readonly dockerfile: string
  readonly target: string | null
  readonly buildArgs: Readonly<Record<string, string>>
  /** Ids; their values are files of their own. */
  readonly secrets: readonly string[]
  /** REGISTRY/REPOSITORY[:TAG] */
  readonly tags: readonly string[]
  readonly push: boolean
  readonly platform: 'linux/amd64' | 'linux/arm64'
  readonly cache: {
    readonly repository: string | null
    readonly readOnly: boolean
    readonly from: readonly string[]
  }
  readonly labels: Readonly<Record<string, string>>
  readonly compression: 'zstd' | 'gzip' | null
}

export interface Secret {
  readonly id: string
  readonly source: { readonly file: string } | { readonly variable: string }
}

export interface Order {
  readonly request: Request
  /** Without symbolic links. */
  readonly context: string
  /** Absolute. */
  readonly dockerfile: string
  readonly secrets: readonly Secret[]
  readonly metadataFile: string | null
  readonly timeoutMs: number
}

export const HELP = `Usage: tornade-build --context DIR --tag REF… [OPTION]…

Builds an image: with kaniko beside the runner on Fargate (label build), with
Docker on CodeBuild (label docker, or codebuild and build). Prints its digest;
the builder's log goes to standard error.

  --context DIR            what COPY copies from (.); .dockerignore holds
  --file FILE              the Dockerfile (Dockerfile in the context)
  --target STAGE           the stage to build
  --build-arg KEY[=VALUE]  without a value that of the environment
  --secret id=ID,src=FILE  for RUN --mount=type=secret; or id=ID,env=NAME
  --tag REF                REGISTRY/REPOSITORY[:TAG]
  --push, --no-push        push it (yes)
  --platform PLATFORM      linux/amd64 or linux/arm64 (that of the runner)
  --cache-repo REPOSITORY  of layers for the next build; it must exist
  --cache-read-only        add nothing to it
  --compression NAME       zstd or gzip, of layers (the builder's choice)
  --label KEY=VALUE        in the image's configuration
  --metadata-file FILE     as JSON: {digest, images, size, seconds,
                           cache: {hits, misses}}
  --timeout TIME           such as 90s, 60m or 2h (60m)

Exit code: 0 built; 1 the build failed; 2 what was asked for cannot be used;
3 there is no builder here, or this job may not build; 4 cancelled, or out of
time.
`

export class UnusableError extends Error {}

const OPTIONS = {
  context: { type: 'string', default: '.' },
  file: { type: 'string', short: 'f' },
  target: { type: 'string' },
  'build-arg': { type: 'string', multiple: true },
  secret: { type: 'string', multiple: true },
  tag: { type: 'string', short: 't', multiple: true },
  push: { type: 'boolean', default: true },
  platform: { type: 'string' },
  'cache-repo': { type: 'string' },
  'cache-read-only': { type: 'boolean', default: false },
  compression: { type: 'string' },
  label: { type: 'string', multiple: true },
  'metadata-file': { type: 'string' },
  timeout: { type: 'string', default: '60m' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** https://github.com/distribution/reference, with the registry that every image here is pushed to. */
const REPOSITORY = /^[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d{1,5})?(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)+$/
const TAG = /^\w[\w.-]{0,127}$/
const PLATFORMS: Readonly<Record<string, Request['platform']>> = {
  x64: 'linux/amd64',
  arm64: 'linux/arm64',
  'linux/amd64': 'linux/amd64',
  'linux/arm64': 'linux/arm64',
}
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

/**
 * @returns null when help was asked for
 * @throws UnusableError with all faults, one a line
 */
export function readOrder(
  argv: readonly string[],
  { environment, cwd, arch }: { environment: NodeJS.ProcessEnv; cwd: string; arch: string },
): Order | null {
  const values = parse(argv)
  if (values.help) return null
  const faults: string[] = []
  const pairs = (name: string, given: readonly string[], fallback: NodeJS.ProcessEnv = {}) => {
    const read = given.flatMap(text => {
      const at = text.indexOf('=')
      const key = at < 0 ? text : text.slice(0, at)
      const value = at < 0 ? fallback[key] : text.slice(at + 1)
      if (key === '' || /\s/.test(key) || (at < 0 && fallback !== environment))
        faults.push(`--${name} ${text}: is written KEY=VALUE`)
      // As with docker build: an argument that the environment does not have is not given.
      return value === undefined ? [] : [[key, value] as const]
    })
    return Object.fromEntries(read)
  }
  const chosen = <V>(name: string, given: string, known: Readonly<Record<string, V>>): V | null => {
    if (Object.hasOwn(known, given)) return known[given]!
    faults.push(`--${name} ${given}: there is only ${Object.keys(known).join(', ')}`)
    return null
  }

  const context = folder(resolve(cwd, values.context), faults)
  const path = values.file === undefined ? resolve(context, 'Dockerfile') : resolve(cwd, values.file)
  const dockerfile = file(path, context, faults)
  const secrets = (values.secret ?? []).flatMap(text => secret(text, { environment, cwd }, faults))
  for (const { id } of secrets)
    if (secrets.filter(other => other.id === id).length > 1) faults.push(`--secret id=${id}: is given twice`)
  const tags = values.tag ?? []
  for (const tag of tags) if (!isTagged(tag)) faults.push(`--tag ${tag}: is no REGISTRY/REPOSITORY[:TAG]`)
  if (values.push && tags.length === 0) faults.push('--tag: where should the image be pushed?')
  const repository = values['cache-repo'] ?? null
  if (repository !== null && !REPOSITORY.test(repository))
    faults.push(`--cache-repo ${repository}: is no REGISTRY/REPOSITORY`)
  if (values.target !== undefined && !/^[\w.-]+$/.test(values.target))
    faults.push(`--target ${values.target}: no stage has such a name`)
  const [, amount, unit] = /^([1-9]\d{0,4})([smh])$/.exec(values.timeout) ?? []
  if (amount === undefined) faults.push(`--timeout ${values.timeout}: is written like 90s, 60m or 2h`)
  const request: Request = {
    version: 1,
    dockerfile: inside(context, dockerfile) ? relative(context, dockerfile) : dockerfile,
    target: values.target ?? null,
    buildArgs: pairs('build-arg', values['build-arg'] ?? [], environment),
    secrets: secrets.map(({ id }) => id),
    tags,
    push: values.push,
    platform: chosen('platform', values.platform ?? arch, PLATFORMS) ?? 'linux/amd64',
    cache: { repository, readOnly: values['cache-read-only'], from: [] },
    labels: pairs('label', values.label ?? []),
    compression:
      values.compression === undefined
        ? null
        : chosen('compression', values.compression, { zstd: 'zstd', gzip: 'gzip' }),
  }
  if (faults.length > 0) throw new UnusableError(faults.join('\n'))
  return {
    request,
    context,
    dockerfile,
    secrets,
    metadataFile: values['metadata-file'] === undefined ? null : resolve(cwd, values['metadata-file']),
    timeoutMs: Number(amount) * UNITS[unit!]!,
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowNegative: true, strict: true }).values
  } catch (error) {
    throw new UnusableError((error as Error).message)
  }
}

function folder(path: string, faults: string[]): string {
  try {
    if (statSync(path).isDirectory()) return realpathSync(path)
    faults.push(`--context ${path}: is no folder`)
  } catch {
    faults.push(`--context ${path}: there is no such folder`)
  }
  return path
}

/** A file that is named inside of the context lies there, too: a checkout may hold links to anywhere. */
function file(path: string, context: string, faults: string[]): string {
  try {
    const real = realpathSync(path)
    if (!statSync(real).isFile()) faults.push(`--file ${path}: is no file`)
    else if (inside(context, path) && !inside(context, real))
      faults.push(`--file ${path}: is a link that leads out of the context`)
    else return real
  } catch {
    faults.push(`--file ${path}: there is no such Dockerfile`)
  }
  return path
}

export function inside(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function isTagged(text: string): boolean {
  const at = text.lastIndexOf(':')
  const tagged = at > text.lastIndexOf('/')
  return REPOSITORY.test(tagged ? text.slice(0, at) : text) && (!tagged || TAG.test(text.slice(at + 1)))
}

function secret(
  text: string,
  { environment, cwd }: { environment: NodeJS.ProcessEnv; cwd: string },
  faults: string[],
): Secret[] {
  const fields = new Map(
    text.split(',').map(part => {
      const at = part.indexOf('=')
      return [part.slice(0, Math.max(at, 0)), part.slice(at + 1)]
    }),
  )
  const [id, path, variable] = [
    fields.get('id'),
    fields.get('src') ?? fields.get('source'),
    fields.get('env'),
  ]
  const known = [...fields.keys()].every(key => ['id', 'src', 'source', 'env', 'type'].includes(key))
  // Never the text itself: whoever wrote the value there by mistake should not find it in the log.
  if (!known || id === undefined || (path === undefined) === (variable === undefined))
    faults.push('--secret: is written id=ID,src=FILE or id=ID,env=NAME')
  else if (!/^[\w.-]{1,64}$/.test(id) || /^\.+$/.test(id))
    faults.push('--secret: an id is 1 to 64 of A-Z, a-z, 0-9, _, . and -')
  else if (variable !== undefined && environment[variable] === undefined)
    faults.push(`--secret id=${id}: the environment has no ${variable}`)
  else if (path !== undefined && !statSync(resolve(cwd, path), { throwIfNoEntry: false })?.isFile())
    faults.push(`--secret id=${id}: there is no such file`)
  else return [{ id, source: variable === undefined ? { file: resolve(cwd, path!) } : { variable } }]
  return []
}
