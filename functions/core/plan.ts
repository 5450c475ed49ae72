/** From a spec to what is started: shapes, capacities in the order they are tried, names and tokens. */
import { codeBuildType } from './sizes.ts'
import type { CapacityKind, Fallback, RunnerShape, Spec, StartRequest } from './types.ts'

const SPOT: CapacityKind = { compute: 'fargate', capacity: 'spot' }
const ON_DEMAND: CapacityKind = { compute: 'fargate', capacity: 'on-demand' }
const CODEBUILD: CapacityKind = { compute: 'codebuild', capacity: null }

/**
 * Where a spec may be started, the first choice first. `spot-only` never leaves Spot, CodeBuild never leaves CodeBuild,
 * and CodeBuild stands in only where a type of it holds the size.
 * @param afterReclaim Spot has taken a runner of this job before: it goes elsewhere, if it may
 */
export function capacities(
  spec: Spec,
  fallback: readonly Fallback[],
  afterReclaim = false,
): readonly CapacityKind[] {
  const builds = fallback.includes('codebuild') && codeBuildType(spec) ? [CODEBUILD] : []
  switch (spec.capacity) {
    case null:
      return [CODEBUILD]
    case 'on-demand':
      return [ON_DEMAND, ...builds]
    case 'spot-only':
      return [SPOT]
    case 'spot': {
      const others = [...(fallback.includes('on-demand') ? [ON_DEMAND] : []), ...builds]
      return afterReclaim && others.length > 0 ? others : [SPOT, ...others]
    }
  }
}

export function firstCapacity(spec: Spec): CapacityKind {
  return capacities(spec, [])[0]!
}

/** The kinds of `order` that come after `kind`. */
export function after(order: readonly CapacityKind[], kind: CapacityKind): readonly CapacityKind[] {
  return order.slice(order.findIndex(other => isSameKind(other, kind)) + 1)
}

export function isSameKind(a: CapacityKind, b: CapacityKind): boolean {
  return a.compute === b.compute && a.capacity === b.capacity
}

/** What a spec is started as. On CodeBuild the smallest type that holds it. */
export function shapeOf(spec: Spec, { compute, capacity }: CapacityKind): RunnerShape {
  const { arch, cpu, memoryGiB, diskGiB } = spec
  if (compute === 'fargate') return { arch, compute, capacity, cpu, memoryGiB, diskGiB, computeType: null }
  const type = codeBuildType({ arch, cpu, memoryGiB, diskGiB })
  if (!type)
    throw new RangeError(`no CodeBuild type holds ${cpu} vCPU, ${memoryGiB} GiB and ${diskGiB} GiB of disk`)
  return { arch, compute, capacity, ...type }
}

/**
 * Name of a runner: made from its job, so that every delivery of the same message means the same runner.
 * GitHub allows 64 of [A-Za-z0-9-].
 */
export function runnerName(marker: string, jobKey: string, generation: number): string {
  return `${marker}-${jobKey}-${generation}`
}

/** Key of the job that a runner was started for. */
export function jobKeyOf(runner: string): string {
  return runner.split('-').slice(-3, -1).join('-')
}

/** Which runner of its job this is: 1 for the first. */
export function generationOf(runner: string): number {
  return Number(runner.slice(runner.lastIndexOf('-') + 1))
}

/** A registration name that GitHub has already is followed by the next: a JIT config cannot be asked for twice. */
export function registrationName(runner: string, mint: number): string {
  return mint === 1 ? runner : `${runner}-r${mint}`
}

/** Which of its names a runner is registered by: 1 for the first. */
export function mintOf(registered: string): number {
  return Number(/-r(\d{1,4})$/.exec(registered)?.[1] ?? 1)
}

const NAME = /^([a-z0-9-]{1,20})-(\d{1,20}-\d{1,6}-\d{1,6})(-r\d{1,4})?$/

/** The ledger name of a runner from the name GitHub shows; null when it is not one of ours. */
export function runnerOf(registered: string, marker: string): string | null {
  const match = NAME.exec(registered)
  return match && match[1] === marker ? `${match[1]}-${match[2]}` : null
}

/**
 * The request that starts `runner` for a spec; `attempt` counts its start requests and makes the token new.
 * @param standby minutes that it may wait for a job in a pool, by which it lives longer
 */
export function startRequest(
  spec: Spec,
  repository: { readonly id: number; readonly name?: string | undefined },
  runner: string,
  attempt: number,
  kind: CapacityKind,
  standby = 0,
): StartRequest {
  return {
    runner,
    token: `${runner}-t${attempt}`,
    repositoryId: repository.id,
    ...(repository.name === undefined ? {} : { repository: repository.name }),
    shape: shapeOf(spec, kind),
    role: spec.role,
    image: spec.image,
    docker: spec.docker,
    build: spec.build,
    timeoutMinutes: spec.timeoutMinutes + standby,
    ...(standby > 0 ? { idleMinutes: standby } : {}),
  }
}

/** True when GitHub may give a job with `jobLabels` to a runner with `runnerLabels`. */
export function fits(jobLabels: readonly string[], runnerLabels: readonly string[]): boolean {
  const has = new Set(runnerLabels.map(label => label.toLowerCase()))
  return jobLabels.every(label => has.has(label.toLowerCase()))
}
