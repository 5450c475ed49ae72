/** What was chosen, held against what AWS can start and what the deployment takes. */
import {
  CODEBUILD_LEAST_MINUTES,
  CODEBUILD_TYPES,
  codeBuildType,
  DEFAULT_CPU,
  DEFAULT_GIB_PER_CPU,
  DISK,
  fargateCpuFor,
  fargateDefaultMemory,
  fargateMemory,
} from '../sizes.ts'
import type { Compute, Problem, Spec } from '../types.ts'
import type { Asked, Chosen } from './chosen.ts'
import { CPUS, type Dimension, MOST_GIB, printCpu, printMemory, ROWS } from './rows.ts'
import type { LabelRules } from './rules.ts'
import { listed, memoryOf, said, upTo } from './wording.ts'

export interface Settled {
  /** Holds defaults where something is wrong: of use only without problems. */
  readonly spec: Spec
  readonly problems: readonly Problem[]
  readonly notes: readonly string[]
}

export function settle(asked: Asked, rules: LabelRules, limits: LabelRules['limits']): Settled {
  const { chosen } = asked
  // With `docker` there is no choice; if Fargate was asked for as well, that is told as a contradiction.
  const compute = chosen.docker === undefined ? (chosen.compute?.value ?? 'fargate') : 'codebuild'
  const cpu = chosen.cpu?.value ?? DEFAULT_CPU
  const wanted: Spec = {
    arch: chosen.arch?.value ?? 'x64',
    compute,
    capacity: compute === 'codebuild' ? null : (chosen.capacity?.value ?? 'on-demand'),
    cpu,
    memoryGiB: chosen.memory?.value ?? defaultMemory(compute, cpu),
    diskGiB: chosen.disk?.value ?? DISK.includedGiB,
    docker: chosen.docker?.value ?? false,
    build: chosen.build?.value ?? false,
    role: chosen.role?.value ?? null,
    image: chosen.image?.value ?? null,
    timeoutMinutes: chosen.timeout?.value ?? rules.longestMinutes,
  }
  const sized = startedFor(wanted, asked, limits)
  return {
    spec: sized.spec,
    problems: [
      ...contradictionProblems(chosen),
      ...imageProblems(asked, rules),
      ...sized.problems,
      ...limitProblems(sized.spec, asked, limits),
    ],
    notes: sized.notes,
  }
}

export function defaultMemory(compute: Compute, cpu: number): number {
  switch (compute) {
    case 'fargate':
      return fargateDefaultMemory(cpu)
    case 'codebuild':
      return cpu * DEFAULT_GIB_PER_CPU
  }
}

function contradictionProblems(chosen: Chosen): readonly Problem[] {
  const { build, compute, docker, capacity, image, timeout } = chosen
  const problems: Problem[] = []
  // The builder's image is pinned with the standard one, after a deployment; those of tornade.yml are pinned by it.
  if (build !== undefined && image !== undefined && docker === undefined && compute?.value !== 'codebuild') {
    problems.push({
      label: image.label,
      message: `On Fargate ${said(build)} goes with the standard image only: leave ${said(image)} out, or build on CodeBuild.`,
      suggestion: compute === undefined ? 'codebuild' : null,
    })
  }
  if (docker !== undefined && compute?.value === 'fargate') {
    problems.push({
      label: compute.label,
      message: `Fargate has no Docker daemon, which ${said(docker)} asks for.`,
      suggestion: 'codebuild',
    })
  }
  if (capacity !== undefined && (docker !== undefined || compute?.value === 'codebuild')) {
    const cause = docker === undefined ? 'CodeBuild' : `CodeBuild, which ${said(docker)} needs,`
    problems.push({
      label: capacity.label,
      message: `${cause} has no Spot capacity: leave ${said(capacity)} out, or let the job run on Fargate.`,
      suggestion: docker === undefined ? 'fargate' : null,
    })
  }
  if (timeout !== undefined && compute?.value === 'codebuild' && timeout.value < CODEBUILD_LEAST_MINUTES) {
    problems.push({
      label: timeout.label,
      message: `CodeBuild lets a build live for ${CODEBUILD_LEAST_MINUTES} minutes at least.`,
      suggestion: ROWS.timeout.print(CODEBUILD_LEAST_MINUTES),
    })
  }
  return problems
}

/** An image of tornade.yml that is not there for the architecture, which is x64 where nobody says so. */
function imageProblems({ chosen: { image, arch }, unsure }: Asked, rules: LabelRules): readonly Problem[] {
  if (image === undefined || unsure.has('arch')) return []
  const made = rules.images.get(image.value) ?? []
  if (made.includes(arch?.value ?? 'x64')) return []
  const has = `tornade.yml has ${said(image)} for ${listed(made)} only`
  return arch === undefined
    ? [{ label: image.label, message: `${has}: add ${listed(made)}.`, suggestion: null }]
    : [{ label: arch.label, message: `${has}.`, suggestion: made[0] ?? null }]
}

/**
 * Finds the size that is started for a spec: memory of Fargate is rounded up, CodeBuild keeps what was asked. Says nothing
 * where it would have to guess what was meant.
 */
function startedFor(wanted: Spec, { chosen, unsure }: Asked, limits: LabelRules['limits']): Settled {
  const sure = (...dimensions: readonly Dimension[]) => !dimensions.some(dimension => unsure.has(dimension))
  const unsized: Settled = { spec: wanted, problems: [], notes: [] }
  switch (wanted.compute) {
    case 'fargate':
      return sure('compute', 'cpu', 'memory') ? startedOnFargate(wanted, chosen.memory, limits) : unsized
    case 'codebuild': {
      if (!sure('compute', 'arch')) return unsized
      const sized = startedOnCodeBuild(wanted, chosen)
      return sure('cpu', 'memory', 'disk') ? sized : { ...sized, notes: [] }
    }
  }
}

function startedOnFargate(wanted: Spec, memory: Chosen['memory'], limits: LabelRules['limits']): Settled {
  if (memory === undefined) return { spec: wanted, problems: [], notes: [] }
  const { cpu } = wanted
  const steps = fargateMemory(cpu) ?? []
  const has = `Fargate has ${memoryOf(steps)} for ${cpu} vCPU`
  const step = steps.find(gib => gib >= memory.value)
  if (step !== undefined) {
    const notes = step === memory.value ? [] : [`${said(memory)} is rounded up to ${step} GiB: ${has}.`]
    return { spec: { ...wanted, memoryGiB: step }, problems: [], notes }
  }
  const needed = fargateCpuFor(memory.value)!
  const suggestion = limits === null || needed <= limits.cpu ? printCpu(needed) : printMemory(steps.at(-1)!)
  const message = `${has}; ${said(memory)} needs ${needed} vCPU.`
  return { spec: wanted, problems: [{ label: memory.label, message, suggestion }], notes: [] }
}

function startedOnCodeBuild(wanted: Spec, chosen: Chosen): Settled {
  const type = codeBuildType(wanted)
  if (type !== null) {
    const size = `${type.cpu} vCPU, ${type.memoryGiB} GiB of memory, ${type.diskGiB} GB of disk`
    return { spec: wanted, problems: [], notes: [`CodeBuild runs this on ${type.computeType}: ${size}.`] }
  }
  const largest = CODEBUILD_TYPES[wanted.arch].at(-1)!
  const over = (dimension: Size, asked: number, has: number, unit: string): readonly Problem[] => {
    const message = `The largest ${wanted.arch} type of CodeBuild has ${has} ${unit}.`
    const suggestion = ROWS[dimension].print(has)
    return asked <= has ? [] : [{ label: sizeLabel(chosen, dimension, asked), message, suggestion }]
  }
  const problems = [
    ...over('cpu', wanted.cpu, largest.cpu, 'vCPU'),
    ...over('memory', wanted.memoryGiB, largest.memoryGiB, 'GiB of memory'),
    ...over('disk', wanted.diskGiB, largest.diskGiB, 'GB of disk'),
  ]
  return { spec: wanted, problems, notes: [] }
}

const MEMORIES = upTo(MOST_GIB)
const DISKS = upTo(DISK.mostGiB).slice(DISK.leastGiB - 1)

/** Over a limit of the deployment: the operator's decision, so the message names the setting. */
function limitProblems(
  spec: Spec,
  { chosen, unsure }: Asked,
  limits: LabelRules['limits'],
): readonly Problem[] {
  if (limits === null) return []
  const over = (dimension: Size, asked: number, most: number, unit: string, fits: readonly number[]) => {
    if (unsure.has(dimension) || asked <= most) return []
    const message = `The largest job here has ${most} ${unit}: \`${limits.settings?.[dimension] ?? `limits.${dimension}`}\` in tornade.yml.`
    const fitting = fits.findLast(size => size <= most)
    const suggestion = fitting === undefined ? null : ROWS[dimension].print(fitting)
    return [{ label: sizeLabel(chosen, dimension, asked), message, suggestion }]
  }
  const cpu = over('cpu', spec.cpu, limits.cpu, 'vCPU', CPUS)
  // Memory that nobody asked for only follows the cpu, of which enough is said.
  const follows = chosen.memory === undefined && (cpu.length > 0 || unsure.has('cpu'))
  const stepped = spec.compute === 'fargate' && !unsure.has('cpu')
  const memory = stepped ? (fargateMemory(spec.cpu) ?? []) : MEMORIES
  return [
    ...cpu,
    ...(follows ? [] : over('memory', spec.memoryGiB, limits.memoryGiB, 'GiB of memory', memory)),
    ...over('disk', spec.diskGiB, limits.diskGiB, 'GiB of disk', DISKS),
  ]
}

type Size = 'cpu' | 'memory' | 'disk'

/** The part that made something this size; the default that it is where nothing was written. */
function sizeLabel(chosen: Chosen, dimension: Size, asked: number): string {
  const choice = chosen[dimension] ?? (dimension === 'memory' ? chosen.cpu : undefined)
  return choice?.label ?? ROWS[dimension].print(asked)
}
