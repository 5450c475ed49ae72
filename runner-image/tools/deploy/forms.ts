/** What images, paths, branches, applications and durations may look like. Everything else is refused before anything is done. */

/** `repository[:tag]@digest` */
export interface Image {
  readonly repository: string
  readonly tag: string | null
  /** sha256:… */
  readonly digest: string
}

const DIGEST = /^sha256:[0-9a-f]{64}$/
const TAG = /^\w[\w.-]{0,127}$/
/** https://github.com/distribution/reference: a registry's host with its port, then lower-case components. */
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const HOST =
  '(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?'
const REPOSITORY = new RegExp(`^(?:${HOST}/)?${COMPONENT}(?:/${COMPONENT})*$`)

export function isDigest(text: string): boolean {
  return DIGEST.test(text)
}

/** null for everything that is no image by digest. */
export function readImage(text: string): Image | null {
  const at = text.indexOf('@')
  const digest = text.slice(at + 1)
  if (at < 0 || !isDigest(digest)) return null
  const { repository, tag } = splitTag(text.slice(0, at))
  if (repository.length > 255 || !REPOSITORY.test(repository)) return null
  return tag === null || TAG.test(tag) ? { repository, tag, digest } : null
}

export function imageText({ repository, tag, digest }: Image): string {
  return `${repository}${tag === null ? '' : `:${tag}`}@${digest}`
}

/** The repository of what stands in a manifest, with or without tag and digest. */
export function repositoryOf(reference: string): string {
  return splitTag(reference.split('@')[0]!).repository
}

function splitTag(name: string): { readonly repository: string; readonly tag: string | null } {
  const colon = name.lastIndexOf(':')
  return colon > name.lastIndexOf('/')
    ? { repository: name.slice(0, colon), tag: name.slice(colon + 1) }
    : { repository: name, tag: null }
}

/** What is wrong with a path inside the repository; null where nothing is. */
export function pathFault(path: string): string | null {
  if (path === '' || path.length > 1000) return 'it is empty or too long'
  if (/[\p{Cc}\\]/u.test(path)) return 'it has a control character or a backslash'
  if (path.startsWith('/')) return 'it is not below the root of the repository'
  const parts = path.split('/')
  if (parts.some(part => part === '' || part === '.' || part === '..'))
    return 'it has an empty part, "." or ".."'
  if (parts.some(part => ['.git', '.github'].includes(part.toLowerCase())))
    return '.git and .github are not for deployments to change'
  return null
}

/** A branch by the rules of git check-ref-format, without `refs/heads/`. */
export function isBranch(name: string): boolean {
  return (
    name.length <= 244 &&
    !/[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|^[-/.]|[/.]$|\/\.|\.lock(\/|$)/u.test(name) &&
    name !== '' &&
    name !== '@' &&
    name !== 'HEAD'
  )
}

export function isRemote(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]{0,99}$/.test(name) && isBranch(name)
}

/** `NAME` or `NAMESPACE/NAME`, as Kubernetes names things. */
export function isApplication(name: string): boolean {
  const part = '[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?'
  return new RegExp(`^(?:${part}/)?${part}$`).test(name)
}

/** Milliseconds of `90s`, `10m`, `1.5h`; null for anything else, and for more than a day. */
export function readDuration(text: string): number | null {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text) ?? []
  const value = Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit as 'ms' | 's' | 'm' | 'h']
  return value <= 86_400_000 ? value : null
}
