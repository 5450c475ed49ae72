/** Puts images into the branch of a GitOps repository, however often it moves meanwhile, and takes them out again. */
import { failed, unusable } from './fault.ts'
import { imageText, pathFault } from './forms.ts'
import type { Blob, Git } from './git.ts'
import { edited, type Target } from './targets.ts'
import { line, short } from './text.ts'
import type { Change } from './yaml.ts'

export interface World {
  /** Ends early, by throwing, when the deployment is called off. */
  readonly sleep: (milliseconds: number) => Promise<void>
  /** From 0 to below 1. */
  readonly random: () => number
  readonly say: (text: string) => void
}

export interface Published {
  /** The head of the branch that has the images: ours, or the one that had them already. */
  readonly commit: string
  readonly changed: boolean
  /** Paths that the commit changed. */
  readonly files: readonly string[]
}

/** Pushes of others that one deployment gives way to. */
const TRIES = 8
/** Milliseconds; doubled with each try, and drawn between nothing and that. */
const FIRST_WAIT = 250

const KUSTOMIZATIONS = ['kustomization.yaml', 'kustomization.yml', 'Kustomization']

interface Planned {
  readonly files: readonly Blob[]
  readonly changes: ReadonlyMap<string, Change>
}

/** What the targets make of a commit. */
async function plan(git: Git, commit: string, targets: readonly Target[]): Promise<Planned> {
  const files = new Map<string, { readonly blob: Blob; text: string }>()
  const changes = new Map<string, Change>()
  for (const target of targets) {
    const path = await existing(git, commit, target)
    const fault = pathFault(path)
    if (fault) throw unusable(`${line(path, 200)} is no path to deploy to: ${fault}.`)
    const file = files.get(path) ?? (await open(git, commit, path))
    const result = edited(file.text, { ...target, path })
    file.text = result.text
    files.set(path, file)
    for (const change of result.changes)
      changes.set(`${path} ${change.document} ${JSON.stringify(change.path)}`, change)
  }
  const changed = [...files.values()].filter(({ blob, text }) => blob.text !== text)
  return { files: changed.map(({ blob, text }) => ({ ...blob, text })), changes }
}

async function open(git: Git, commit: string, path: string) {
  const blob = await git.read(commit, path)
  if (blob === null) throw unusable(`${git.branch} has no file ${path}.`)
  return { blob, text: blob.text }
}

/** An overlay may be named by its folder. */
async function existing(git: Git, commit: string, { kind, path }: Target): Promise<string> {
  if (kind !== 'kustomize' || KUSTOMIZATIONS.some(name => path.endsWith(name))) return path
  for (const name of KUSTOMIZATIONS) {
    const inside = path === '.' ? name : `${path}/${name}`
    if ((await git.read(commit, inside)) !== null) return inside
  }
  throw unusable(`${git.branch} has no ${KUSTOMIZATIONS[0]} in ${path}.`)
}

/** @throws DeployFault */
export async function publish(
  git: Git,
  targets: readonly Target[],
  message: string,
  world: World,
): Promise<Published> {
  const base = await git.fetch()
  const first = await plan(git, base, targets)
  let head = base
  let now = first
  for (let attempt = 1; ; attempt++) {
    const files = now.files.map(({ path }) => path)
    if (files.length === 0) return { commit: head, changed: false, files }
    const commit = await git.commit(head, now.files, message)
    if ((await git.push(commit)) === 'pushed') return { commit, changed: true, files }
    if (attempt === TRIES)
      throw failed(`The branch ${git.branch} moved at each of ${TRIES} pushes; try again when it is quieter.`)
    await world.sleep(FIRST_WAIT * 2 ** (attempt - 1) * world.random())
    head = await git.fetch()
    world.say(`${git.branch} has moved to ${short(head)}; trying again on top of it`)
    now = await plan(git, head, targets)
    refuseConflict(first, now, `${git.branch} at ${short(head)}`)
  }
}

/** Somebody else set the same values while we did. Who is right is not for the last one to decide. */
function refuseConflict(first: Planned, now: Planned, where: string): void {
  for (const [key, { before, after }] of now.changes) {
    const known = first.changes.get(key)
    if (known?.before === before || before === after) continue
    throw failed(
      `Another deployment set the same value meanwhile: ${key.split(' ')[0]} in ${where} has ${line(String(before), 200)}. ` +
        'Nothing was pushed. Run this one again if it is the newer, and give such workflows one concurrency group.',
    )
  }
}

/** Whether a commit of others still has what the targets say. */
export async function stillHas(git: Git, commit: string, targets: readonly Target[]): Promise<boolean> {
  return (await plan(git, commit, targets).catch(() => null))?.files.length === 0
}

/**
 * Takes a commit of ours back by another one.
 * @returns null where somebody has changed the same lines since: that is newer, and stays
 */
export async function takeBack(
  git: Git,
  { commit: ours, files: paths }: Published,
  message: string,
  world: World,
): Promise<Published | null> {
  for (let attempt = 1; ; attempt++) {
    const head = await git.fetch()
    const files: Blob[] = []
    for (const path of paths) {
      const [now, before, after] = await Promise.all([head, `${ours}^`, ours].map(at => git.read(at, path)))
      const text = now && before && after ? await git.takenBack(now.text, before.text, after.text) : null
      if (text === null) return null
      files.push({ ...now!, text })
    }
    const commit = await git.commit(head, files, message)
    if ((await git.push(commit)) === 'pushed') return { commit, changed: true, files: paths }
    if (attempt === TRIES) throw failed(`The branch ${git.branch} moved at each of ${TRIES} pushes.`)
    await world.sleep(FIRST_WAIT * 2 ** (attempt - 1) * world.random())
  }
}

/** First line, then what an auditor asks. */
export function commitMessage(
  first: string | null,
  targets: readonly Target[],
  applications: readonly string[],
  run: string | null,
): string {
  const images = [...new Map(targets.map(({ image }) => [imageText(image), image])).values()]
  const names = images.map(
    ({ repository, digest }) => `${repository.split('/').at(-1)} ${digest.slice(0, 19)}`,
  )
  const subject = first ? line(first, 200) : `Deploy ${names.join(', ')}`
  return [
    subject,
    '',
    ...images.map(image => `Image: ${imageText(image)}`),
    ...images.map(({ digest }) => `Digest: ${digest}`),
    ...(applications.length > 0 ? [`Applications: ${applications.join(', ')}`] : []),
    ...(run ? [`Run: ${run}`] : []),
    '',
  ].join('\n')
}
