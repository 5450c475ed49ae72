/** The command line. Everything that can be wrong in it is told before anything is done. */
import { parseArgs } from 'node:util'
import { unusable } from './fault.ts'
import { type Image, isApplication, isBranch, isRemote, pathFault, readDuration, readImage } from './forms.ts'
import { isLoopback } from './git.ts'
import { keyPath, type Target } from './targets.ts'
import { line } from './text.ts'

export const USAGE = `Usage: tornade-deploy --image REPOSITORY[:TAG]@DIGEST [WHERE…] [--app NAME…]

  Puts images by digest into a GitOps repository and waits until Argo CD has
  rolled them out.

  where, each any number of times and all in one commit
    --image IMAGE        what to set; an --image between two of the following
                         holds for those after it
    --values FILE        a Helm values file; --key KEY after it says where
                         (default: image)
    --kustomize FOLDER   a Kustomize overlay; --name NAME after it says which of
                         its images (default: the repository of the image)
    --manifest FILE      a plain manifest: containers of that repository

  git
    --checkout FOLDER    the checkout to push from (default: .)
    --branch BRANCH      the branch to push to (default: the one checked out)
    --remote NAME        (default: origin)
    --message TEXT       first line of the commit message

  Argo CD
    --server URL         its address; the token is read from ARGOCD_TOKEN
    --app [NAMESPACE/]NAME  an application to wait for
    --project NAME       the project of the applications
    --sync               sync now instead of waiting for automated sync
    --timeout TIME       (default: 10m)
    --grace TIME         how long it may be Degraded (default: 60s)
    --rollback           put the images before back if it does not get healthy
    --ca FILE            certificates to trust beside the usual ones (PEM)
    --plain-http         allow an address by http://

  GitHub, with the token from GITHUB_TOKEN
    --environment NAME   record a deployment to it
    --environment-url URL   (default: what the application says)

    --json               the result as one JSON document
    --outputs FILE       append outputs for GitHub Actions
    --summary FILE       append a job summary for GitHub Actions
    --help               this text

  Exit codes: 0 Synced and Healthy, 1 failed, 2 unusable input, 3 refused,
  4 timed out.
`

export interface Request {
  readonly images: readonly Image[]
  readonly targets: readonly Target[]
  readonly checkout: string
  readonly branch: string | null
  readonly remote: string
  readonly message: string | null
  readonly server: URL | null
  readonly applications: readonly string[]
  readonly project: string | null
  readonly sync: boolean
  /** Milliseconds. */
  readonly timeout: number
  readonly grace: number
  readonly rollback: boolean
  readonly ca: string | null
  readonly environment: string | null
  readonly environmentUrl: string | null
  readonly json: boolean
  readonly outputs: string | null
  readonly summary: string | null
}

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const many = { type: 'string', multiple: true } as const
const OPTIONS = {
  image: many,
  values: many,
  key: many,
  kustomize: many,
  name: many,
  manifest: many,
  checkout: text,
  branch: text,
  remote: text,
  message: text,
  server: text,
  app: many,
  project: text,
  sync: flag,
  timeout: text,
  grace: text,
  rollback: flag,
  ca: text,
  'plain-http': flag,
  environment: text,
  'environment-url': text,
  json: flag,
  outputs: text,
  summary: text,
  help: flag,
} as const

/**
 * @returns null where only help is asked for
 * @throws DeployFault with every fault that there is
 */
export function readArguments(argv: readonly string[]): Request | null {
  const { values, tokens } = parsed(argv)
  if (values.help) return null
  const faults: string[] = []
  const { targets, images } = readTargets(tokens, faults)
  const check = (given: string | undefined, option: string, fits: (value: string) => boolean) => {
    if (given !== undefined && !fits(given)) faults.push(`--${option} is no ${option}: ${line(given, 100)}`)
    return given ?? null
  }
  const time = (option: 'timeout' | 'grace', fallback: string) => {
    const read = readDuration(values[option] ?? fallback)
    if (read === null) faults.push(`--${option} is a time like 90s or 10m, of at most a day`)
    return read ?? 0
  }
  const applications = [...new Set(values.app ?? [])]
  for (const name of applications)
    if (!isApplication(name)) faults.push(`--app is no name of an application: ${line(name, 100)}`)
  if (targets.length === 0 && applications.length === 0)
    faults.push(
      'nothing to do: name a place by --values, --kustomize or --manifest, or an application by --app',
    )
  if (applications.length > 0 && values.server === undefined) faults.push('--app needs --server')
  if (values.sync && applications.length === 0) faults.push('--sync needs --app')
  if (values.rollback && (applications.length === 0 || targets.length === 0))
    faults.push('--rollback needs an application and a place')
  if (targets.length === 0 && applications.length > 0 && !values.sync)
    faults.push('--app without a place to set an image needs --sync')
  const isText = (value: string) => value.length <= 255 && /^[^\p{Cc}]+$/u.test(value)
  const request: Request = {
    images,
    targets,
    checkout: values.checkout ?? '.',
    branch: check(values.branch, 'branch', isBranch),
    remote: check(values.remote, 'remote', isRemote) ?? 'origin',
    message: values.message ?? null,
    server:
      values.server === undefined ? null : readServer(values.server, values['plain-http'] === true, faults),
    applications,
    project: check(values.project, 'project', name => isApplication(name) && !name.includes('/')),
    sync: values.sync === true,
    timeout: time('timeout', '10m'),
    grace: time('grace', '60s'),
    rollback: values.rollback === true,
    ca: values.ca ?? null,
    environment: check(values.environment, 'environment', isText),
    environmentUrl: check(values['environment-url'], 'environment-url', url =>
      /^https?:\/\/[^\s\p{Cc}]+$/u.test(url),
    ),
    json: values.json === true,
    outputs: values.outputs ?? null,
    summary: values.summary ?? null,
  }
  if (faults.length > 0) throw unusable('tornade-deploy cannot be run like this:', faults)
  return request
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: OPTIONS,
      tokens: true,
      strict: true,
      allowPositionals: false,
    })
  } catch (error) {
    throw unusable(`tornade-deploy: ${line((error as Error).message.split(/\.\s/)[0]!, 300)}; see --help`)
  }
}

type Tokens = ReturnType<typeof parsed>['tokens']
type Place = { kind: Target['kind']; path: string; image: Image | null; at: string | null }

/** In the order in which they stand: --key and --name belong to the place before them. */
function readTargets(tokens: Tokens, faults: string[]): { targets: Target[]; images: Image[] } {
  const places: Place[] = []
  const images: Image[] = []
  for (const token of tokens) {
    if (token.kind !== 'option' || token.value === undefined) continue
    const { name, value } = token
    const last = places.at(-1)
    if (name === 'image') {
      const image = readImage(value)
      if (image) images.push(image)
      else faults.push(`--image is no image by digest (repository@sha256:64 hex digits): ${line(value, 150)}`)
    } else if (name === 'values' || name === 'kustomize' || name === 'manifest') {
      const path = value.replace(/^\.\//, '').replace(/\/$/, '')
      const isRoot = name === 'kustomize' && (path === '.' || path === '')
      const fault = isRoot ? null : pathFault(path)
      if (fault) faults.push(`--${name} ${line(value, 150)} is no path to deploy to: ${fault}`)
      places.push({ kind: name, path: isRoot ? '.' : path, image: images.at(-1) ?? null, at: null })
    } else if (name === 'key' || name === 'name') {
      if (last?.kind !== (name === 'key' ? 'values' : 'kustomize') || last.at !== null)
        faults.push(`--${name} ${line(value, 100)} stands after no place that it could belong to`)
      else if (value === '' || value.length > 500 || (name === 'key' && keyPath(value).includes('')))
        faults.push(`--${name} ${line(value, 100)} has an empty part or is too long`)
      else last.at = value
    }
  }
  if (images.length === 0 && places.length > 0 && faults.length === 0)
    faults.push(
      '--image is missing; where it is the output of another job, GitHub leaves that out if it holds something masked, such as the number of an account that is kept as a secret',
    )
  const targets = places.flatMap(({ kind, path, image: own, at }): Target[] => {
    const image = own ?? images[0]
    if (!image) return []
    if (kind === 'values') return [{ kind, path, image, key: at ?? 'image' }]
    if (kind === 'kustomize') return [{ kind, path, image, name: at ?? image.repository }]
    return [{ kind, path, image }]
  })
  return { targets, images }
}

function readServer(given: string, isPlainAllowed: boolean, faults: string[]): URL | null {
  let url: URL
  try {
    url = new URL(/^[a-z]+:\/\//i.test(given) ? given : `https://${given}`)
  } catch {
    faults.push(`--server is no address: ${line(given, 100)}`)
    return null
  }
  const { protocol, hostname, username, password, search, hash } = url
  if (protocol !== 'https:' && protocol !== 'http:') faults.push('--server is an address by https://')
  else if (protocol === 'http:' && !isPlainAllowed && !isLoopback(hostname))
    faults.push('--server by http:// would show the token to the network; --plain-http allows it')
  if (username || password || search || hash)
    faults.push('--server is an address without user, password, query and fragment')
  return url
}
