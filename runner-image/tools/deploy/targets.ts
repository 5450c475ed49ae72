/** Where an image stands in a GitOps repository: Helm values, a Kustomize overlay, a plain manifest. */
import { isMap, isPair, isScalar, isSeq, type Node, type Pair, visit, type YAMLMap } from 'yaml'
import { type Image, imageText, isDigest, repositoryOf } from './forms.ts'
import { type Edited, type Path, rendered, YamlText } from './yaml.ts'

export type Target = {
  /** Below the root of the repository. */
  readonly path: string
  readonly image: Image
} & (
  | { readonly kind: 'values'; readonly key: string }
  | { readonly kind: 'kustomize'; readonly name: string }
  | { readonly kind: 'manifest' }
)

/** @throws DeployFault where the image has no place in the text */
export function edited(text: string, target: Target): Edited {
  const yaml = new YamlText(text, target.path)
  if (target.kind === 'values') editValues(yaml, target.key, target.image)
  else if (target.kind === 'kustomize') editOverlay(yaml, target.name, target.image)
  else editManifest(yaml, target.image)
  return yaml.done()
}

/** `a.b[0].c`; a dot that belongs to a key is written `\.`. */
export function keyPath(key: string): string[] {
  return key
    .replace(/\[(\d+)\]/g, '.$1')
    .split(/(?<!\\)\./)
    .map(part => part.replaceAll('\\.', '.'))
}

// ------------------------------------------------------------------------------------------------------------- values

/**
 * A map with `repository`, `tag` and `digest` of which only those are set that are there: a chart that has no `digest` would not
 * look at it. Or a single value: a digest where one stood or the key says so, else the whole image.
 */
function editValues(yaml: YamlText, key: string, image: Image): void {
  const path = keyPath(key)
  const at = yaml.find(path)
  if (at === null) throw yaml.fault(`has no ${key}`)
  const node = isPair(at) ? at.value : at
  if (isMap(node)) {
    editImageMap(yaml, path, image)
    return
  }
  const current = isScalar(node) && typeof node.value === 'string' ? node.value : ''
  const last = path.at(-1)!
  if (isDigest(current) || last === 'digest') yaml.set(0, path, at, image.digest)
  else if (/tag$/i.test(last) && !current.includes('/'))
    yaml.set(0, path, at, tagged(yaml, path, node, image))
  else yaml.set(0, path, at, imageText(image))
}

function editImageMap(yaml: YamlText, path: Path, image: Image): void {
  const at = (key: string) => yaml.find([...path, key]) as Pair | null
  const set = (key: string, pair: Pair, value: string) => yaml.set(0, [...path, key], pair, value)
  const [registry, repository, tag, digest] = ['registry', 'repository', 'tag', 'digest'].map(at)
  if (!repository && !digest && !tag)
    throw yaml.fault(`has neither repository, tag nor digest below ${path.join('.')}`)
  const slash = image.repository.indexOf('/')
  const hasHost = /[.:]|^localhost$/.test(image.repository.slice(0, Math.max(slash, 0)))
  if (repository && registry) {
    if (!hasHost) throw yaml.fault(`wants a registry below ${path.join('.')}, and the image names none`)
    set('registry', registry, image.repository.slice(0, slash))
    set('repository', repository, image.repository.slice(slash + 1))
  } else if (repository) set('repository', repository, image.repository)
  if (digest) {
    set('digest', digest, image.digest)
    if (tag && image.tag !== null) set('tag', tag, image.tag)
  } else if (tag) {
    set('tag', tag, tagged(yaml, path, tag.value, image))
  } else throw yaml.fault(`has neither tag nor digest below ${path.join('.')}`)
}

/** A chart without a digest writes repository:tag, and tag@digest is good there. */
function tagged(yaml: YamlText, path: Path, node: unknown, image: Image): string {
  const current = isScalar(node) ? String(node.value ?? '').split('@')[0]! : ''
  const name = image.tag ?? current
  if (name === '')
    throw yaml.fault(
      `has an empty tag and no digest below ${path.join('.')}: add "digest:" if the chart uses it, or name the image with a tag`,
    )
  return `${name}@${image.digest}`
}

// ---------------------------------------------------------------------------------------------------------- Kustomize

/** https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/ */
function editOverlay(yaml: YamlText, name: string, image: Image): void {
  const images = yaml.find(['images']) as Pair | null
  const wanted = {
    name,
    ...(image.repository === name ? {} : { newName: image.repository }),
    ...(image.tag === null ? {} : { newTag: image.tag }),
    digest: image.digest,
  }
  const list = images?.value
  if (!isSeq(list) || list.items.length === 0) addList(yaml, images, wanted)
  else {
    const index = list.items.findIndex(item => isMap(item) && item.get('name') === name)
    if (index < 0) addEntry(yaml, list as never, wanted)
    else editEntry(yaml, ['images', index], list.items[index] as YAMLMap, wanted)
  }
}

function editEntry(
  yaml: YamlText,
  path: Path,
  entry: YAMLMap,
  wanted: {
    readonly name: string
    readonly newName?: string
    readonly newTag?: string
    readonly digest: string
  },
): void {
  const pair = (key: string) => yaml.find([...path, key]) as Pair | null
  const put = (key: string, value: string) => {
    const at = pair(key)
    if (at) yaml.set(0, [...path, key], at, value)
    else yaml.add(path, entry, key, value)
  }
  if (pair('newName') || wanted.newName) put('newName', wanted.newName ?? wanted.name)
  const newTag = pair('newTag')
  if (newTag && !wanted.newTag && !pair('digest'))
    yaml.rename([...path, 'newTag'], newTag, 'digest', wanted.digest)
  else {
    if (newTag && wanted.newTag) put('newTag', wanted.newTag)
    put('digest', wanted.digest)
  }
}

function lines(yaml: YamlText, entry: Readonly<Record<string, string>>, indent: number): string {
  const space = ' '.repeat(indent)
  return Object.entries(entry)
    .map(
      ([key, value], index) =>
        `${yaml.newline}${space}${index === 0 ? '- ' : '  '}${key}: ${rendered(value)}`,
    )
    .join('')
}

function addEntry(
  yaml: YamlText,
  list: {
    readonly items: readonly Node[]
    readonly flow?: boolean
    readonly range: readonly number[]
  } & Node,
  entry: Readonly<Record<string, string>>,
): void {
  if (list.flow) throw yaml.fault('has its images on one line; write the list with one entry a line')
  const end = yaml.endOfLine(yaml.lastEnd(list))
  yaml.insert(end, end, lines(yaml, entry, yaml.column(list.range[0]!)), ['images', list.items.length], entry)
}

function addList(yaml: YamlText, images: Pair | null, entry: Readonly<Record<string, string>>): void {
  if (images) {
    const range = (images.value as Node | null)?.range
    if (!range || range[0] === range[1]) throw yaml.fault('has images without a value; take the key away')
    yaml.insert(range[0], range[1], lines(yaml, entry, 0), ['images'], [entry])
    return
  }
  const { contents } = yaml.single
  if (contents !== null && !isMap(contents)) throw yaml.fault('is no kustomization')
  const end = yaml.text.length
  const gap = end === 0 || yaml.text.endsWith('\n') ? '' : yaml.newline
  const text = `${gap}images:${lines(yaml, entry, 0)}${yaml.newline}`
  yaml.insert(end, end, text, ['images'], [entry])
}

// ----------------------------------------------------------------------------------------------------------- manifest

const CONTAINERS = ['containers', 'initContainers', 'ephemeralContainers']

/** Every container, wherever its pod stands, whose image is of the repository. */
function editManifest(yaml: YamlText, image: Image): void {
  const seen = new Set<string>()
  let matches = 0
  yaml.documents.forEach((document, index) => {
    visit(document, {
      Pair: (_, pair, ancestors) => {
        if (!isScalar(pair.key) || pair.key.value !== 'image' || !isScalar(pair.value)) return
        const path = pathOf([...ancestors, pair])
        if (!CONTAINERS.includes(String(path.at(-3))) || typeof path.at(-2) !== 'number') return
        const repository = repositoryOf(String(pair.value.value))
        seen.add(repository)
        if (repository !== image.repository) return
        matches++
        yaml.set(index, path, pair, imageText(image))
      },
    })
  })
  if (matches === 0) {
    const others = seen.size > 0 ? `; it has ${[...seen].join(', ')}` : ''
    throw yaml.fault(`has no container with an image of ${image.repository}${others}`)
  }
}

/** Keys and indices of what lies within each other, the document first. */
function pathOf(ancestors: readonly unknown[]): Path {
  return ancestors.flatMap((node, index): (string | number)[] => {
    if (isPair(node)) return [String((node.key as { value?: unknown }).value)]
    const parent = ancestors[index - 1]
    return isSeq(parent) ? [parent.items.indexOf(node as never)] : []
  })
}
