/**
 * The sizes that AWS sells, as data. Memory and disk are GiB (AWS writes GB and means GiB), cpu is vCPU.
 */
import type { Arch } from './types.ts'

export interface FargateSize {
  readonly cpu: number
  /** Every memory that may be asked for with this cpu, smallest first; 0.5 is 512 MiB. */
  readonly memoryGiB: readonly number[]
}

/**
 * Task sizes of Fargate for Linux, smallest first.
 * Source: Amazon ECS developer guide, "Task CPU and memory" of the Fargate task definition parameters.
 */
export const FARGATE_SIZES: readonly FargateSize[] = [
  { cpu: 0.25, memoryGiB: [0.5, 1, 2] },
  { cpu: 0.5, memoryGiB: steps(1, 4, 1) },
  { cpu: 1, memoryGiB: steps(2, 8, 1) },
  { cpu: 2, memoryGiB: steps(4, 16, 1) },
  { cpu: 4, memoryGiB: steps(8, 30, 1) },
  { cpu: 8, memoryGiB: steps(16, 60, 4) },
  { cpu: 16, memoryGiB: steps(32, 120, 8) },
  { cpu: 32, memoryGiB: [60, 120, 244] },
]

/** What a job gets that says nothing about its size. */
export const DEFAULT_CPU = 2
/** Memory that a job gets for each vCPU when it asks for none. */
export const DEFAULT_GIB_PER_CPU = 2

/**
 * Ephemeral storage of a Fargate task, GiB: what is included, and what may be asked for instead.
 * Source: Amazon ECS developer guide, "Fargate task ephemeral storage".
 */
export const DISK = { includedGiB: 20, leastGiB: 21, mostGiB: 200 } as const

export interface CodeBuildType {
  readonly computeType: string
  readonly cpu: number
  readonly memoryGiB: number
  readonly diskGiB: number
}

/**
 * On-demand EC2 compute types of CodeBuild, smallest first.
 * Source: AWS CodeBuild user guide, "Build environment compute modes and types" (LINUX_CONTAINER and
 * ARM_CONTAINER), and ProjectEnvironment.computeType of its API reference for the x86 memory (older versions of the
 * guide say 3, 7, 15, 70 and 145). Versions of the guide differ about the disk of ARM large, 128 or 256 GB:
 * the smaller one stands here, because a type that is too large costs money and one that is too small fails the job.
 */
export const CODEBUILD_TYPES: Readonly<Record<Arch, readonly CodeBuildType[]>> = {
  x64: [
    { computeType: 'BUILD_GENERAL1_SMALL', cpu: 2, memoryGiB: 4, diskGiB: 64 },
    { computeType: 'BUILD_GENERAL1_MEDIUM', cpu: 4, memoryGiB: 8, diskGiB: 128 },
    { computeType: 'BUILD_GENERAL1_LARGE', cpu: 8, memoryGiB: 16, diskGiB: 128 },
    { computeType: 'BUILD_GENERAL1_XLARGE', cpu: 36, memoryGiB: 72, diskGiB: 256 },
    { computeType: 'BUILD_GENERAL1_2XLARGE', cpu: 72, memoryGiB: 144, diskGiB: 824 },
  ],
  arm64: [
    { computeType: 'BUILD_GENERAL1_SMALL', cpu: 2, memoryGiB: 4, diskGiB: 64 },
    { computeType: 'BUILD_GENERAL1_MEDIUM', cpu: 4, memoryGiB: 8, diskGiB: 128 },
    { computeType: 'BUILD_GENERAL1_LARGE', cpu: 8, memoryGiB: 16, diskGiB: 128 },
    { computeType: 'BUILD_GENERAL1_XLARGE', cpu: 32, memoryGiB: 64, diskGiB: 256 },
    { computeType: 'BUILD_GENERAL1_2XLARGE', cpu: 48, memoryGiB: 96, diskGiB: 824 },
  ],
}

/** Shortest `timeoutInMinutes` that StartBuild takes. Source: AWS CodeBuild API reference, StartBuild (5 to 2160). */
export const CODEBUILD_LEAST_MINUTES = 5
/**
 * How long a build may queue for its turn in the account. A ticket is good for 15 minutes: one that waits for longer has
 * nothing to start for. CodeBuild says of a build that it began when it was submitted, whenever its turn came.
 */
export const CODEBUILD_QUEUED_MINUTES = 15

/** GiB steps of memory that Fargate has for this cpu, smallest first; null when Fargate has no such cpu. */
export function fargateMemory(cpu: number): readonly number[] | null {
  return FARGATE_SIZES.find(size => size.cpu === cpu)?.memoryGiB ?? null
}

/** Smallest Fargate cpu that can have this much memory (GiB); null when none can. */
export function fargateCpuFor(memoryGiB: number): number | null {
  return FARGATE_SIZES.find(size => size.memoryGiB.at(-1)! >= memoryGiB)?.cpu ?? null
}

/** Memory (GiB) of a Fargate job that asks for none: the smallest step that is at least 2 GiB per vCPU. */
export function fargateDefaultMemory(cpu: number): number {
  const wanted = cpu * DEFAULT_GIB_PER_CPU
  return fargateMemory(cpu)?.find(step => step >= wanted) ?? wanted
}

/** Smallest CodeBuild type that holds cpu, memory (GiB) and disk (GiB); null when none does. */
export function codeBuildType(need: {
  readonly arch: Arch
  readonly cpu: number
  readonly memoryGiB: number
  readonly diskGiB: number
}): CodeBuildType | null {
  const holds = (type: CodeBuildType) =>
    type.cpu >= need.cpu && type.memoryGiB >= need.memoryGiB && type.diskGiB >= need.diskGiB
  return CODEBUILD_TYPES[need.arch].find(holds) ?? null
}

function steps(from: number, to: number, by: number): readonly number[] {
  return Array.from({ length: (to - from) / by + 1 }, (_, index) => from + index * by)
}
