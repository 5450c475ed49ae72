/**
 * Reads off an application how its deployment goes. Pure: what it needs to know of git and of the past it is told.
 * https://argo-cd.readthedocs.io/en/stable/user-guide/sync-kubectl/ and the state machine of the sync operation.
 */
import type { Application, Resource, Revisions, SyncedResource } from './argocd.ts'
import { type Image, imageText, isDigest, repositoryOf } from './forms.ts'

/** How a revision stands to ours: the same, a newer one that has our image, a newer one that has another, none of these. */
export type Relation = 'ours' | 'newer' | 'superseding' | 'unrelated'

export interface Goal {
  readonly images: readonly Image[]
  /** How the revisions that stand in the application relate to ours. */
  readonly relation: (revision: string) => Relation
  /** startedAt of the operation that had ended before ours was asked for; null where none of ours was asked for. */
  readonly earlier: string | null
  /** Images of pods that are not of Jobs, where somebody has asked. */
  readonly running?: readonly string[]
}

export type Verdict =
  | {
      readonly state: 'healthy'
      readonly confirmed: boolean
      readonly revision: string | null
      readonly newer: boolean
    }
  | { readonly state: 'waiting' }
  /** What may pass: it fails the deployment when it stays. */
  | { readonly state: 'ailing'; readonly why: string; readonly isOther?: boolean }
  | { readonly state: 'failed'; readonly why: string }
  | { readonly state: 'superseded'; readonly revision: string }

/** Conditions without which there is nothing to sync; the others tell of earlier operations. */
const FATAL = ['ComparisonError', 'InvalidSpecError']

export function judge(application: Application, goal: Goal): Verdict {
  const { operation, status = {} } = application
  const at = revisionsOf(status.sync)
  const relations = at.map(goal.relation)
  if (relations.includes('superseding'))
    return { state: 'superseded', revision: at[relations.indexOf('superseding')]! }
  const own = ownOperation(application, goal)
  if (own && !operation && ['Failed', 'Error'].includes(own.phase ?? ''))
    return {
      state: 'failed',
      why: `the sync ended as ${own.phase}: ${own.message ?? 'Argo CD does not say why'}`,
    }
  const conditions = (status.conditions ?? []).filter(({ type }) => FATAL.includes(type ?? ''))
  if (conditions.length > 0)
    return { state: 'ailing', why: `${conditions[0]!.type}: ${conditions[0]!.message ?? ''}` }
  const index = relations.findIndex(relation => relation === 'ours' || relation === 'newer')
  if (index < 0 || operation) return { state: 'waiting' }
  const { phase } = status.operationState ?? {}
  if (phase === 'Running' || phase === 'Terminating') return { state: 'waiting' }
  if (goal.earlier !== null && status.operationState?.startedAt === goal.earlier) return { state: 'waiting' }
  if (status.sync?.status !== 'Synced') return { state: 'waiting' }
  const health = status.health?.status
  if (health === 'Degraded')
    return {
      state: 'ailing',
      why: `it is Degraded${status.health?.message ? `: ${status.health.message}` : ''}`,
    }
  if (health !== 'Healthy') return { state: 'waiting' }
  const running = goal.running ?? status.summary?.images ?? []
  const mismatch = otherDigest(running, goal.images)
  if (mismatch) return { state: 'ailing', why: mismatch, isOther: true }
  const confirmed = goal.images.some(image => runs(running, image))
  return { state: 'healthy', confirmed, revision: at[index] ?? null, newer: relations[index] === 'newer' }
}

export function revisionsOf(holder: Revisions | undefined): readonly string[] {
  const all = holder?.revisions?.length ? holder.revisions : [holder?.revision ?? '']
  return all.filter(revision => revision !== '')
}

/** All that stand in an application, so that git can be asked about them first. */
export function revisionsIn({ status }: Application): readonly string[] {
  const { syncResult, operation } = status?.operationState ?? {}
  return [status?.sync, syncResult, operation?.sync].flatMap(revisionsOf)
}

/** The last operation, where it was one at our revision. */
function ownOperation({ status }: Application, goal: Goal) {
  const state = status?.operationState
  if (!state || (goal.earlier !== null && state.startedAt === goal.earlier)) return null
  const told = revisionsOf(state.syncResult)
  const revisions = told.length > 0 ? told : revisionsOf(state.operation?.sync)
  return revisions.some(revision => ['ours', 'newer'].includes(goal.relation(revision))) ? state : null
}

function runs(images: readonly string[], { digest }: Image): boolean {
  return images.some(image => image.endsWith(`@${digest}`))
}

/** An image of the same repository by another digest or tag, and none by ours: something else sets it. */
function otherDigest(images: readonly string[], goals: readonly Image[]): string | null {
  for (const goal of goals) {
    const same = images.filter(image => repositoryOf(image) === goal.repository)
    if (same.length === 0 || runs(images, goal)) continue
    return `it runs ${same[0]} and not ${imageText(goal)}; something else sets the image`
  }
  return null
}

export interface Trouble {
  /** kind/name */
  readonly resource: string
  readonly status: string
  readonly message: string
}

/** The resources that are not healthy or could not be applied, and the conditions. */
export function troubles({ status }: Application): {
  readonly resources: Trouble[]
  readonly conditions: string[]
} {
  const unhealthy = (status?.resources ?? [])
    .filter(({ health }) => health?.status && !['Healthy', 'Suspended'].includes(health.status))
    .map((resource: Resource) => trouble(resource, resource.health!.status!, resource.health!.message))
  const unapplied = (status?.operationState?.syncResult?.resources ?? [])
    .filter(
      ({ status, hookPhase }) => status === 'SyncFailed' || ['Failed', 'Error'].includes(hookPhase ?? ''),
    )
    .map((resource: SyncedResource) =>
      trouble(resource, resource.status || resource.hookPhase || '', resource.message),
    )
  const conditions = (status?.conditions ?? []).map(({ type, message }) => `${type}: ${message ?? ''}`)
  return { resources: [...unapplied, ...unhealthy], conditions }
}

function trouble({ kind, name }: Resource, status: string, message: string | undefined): Trouble {
  return { resource: `${kind}/${name}`, status, message: message ?? '' }
}

/** What a person reads while waiting. */
export function describe({ operation, status }: Application): string {
  const running = operation || status?.operationState?.phase === 'Running'
  return [
    status?.sync?.status ?? 'Unknown',
    status?.health?.status ?? 'Unknown',
    ...(running ? ['syncing'] : []),
    ...revisionsOf(status?.sync)
      .slice(0, 1)
      .map(revision => `at ${isDigest(revision) ? revision : revision.slice(0, 10)}`),
  ].join(', ')
}
