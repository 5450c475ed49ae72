import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  CODEBUILD_TYPES,
  codeBuildType,
  FARGATE_SIZES,
  fargateCpuFor,
  fargateDefaultMemory,
  fargateMemory,
} from '../functions/core/sizes.ts'

describe('Fargate', () => {
  test.each([
    [0.25, 0.5, 2, 3],
    [0.5, 1, 4, 4],
    [1, 2, 8, 7],
    [2, 4, 16, 13],
    [4, 8, 30, 23],
    [8, 16, 60, 12],
    [16, 32, 120, 12],
    [32, 60, 244, 3],
  ])('%d vCPU has %d to %d GiB in %d sizes', (cpu, least, most, count) => {
    const steps = fargateMemory(cpu)!
    expect([steps[0], steps.at(-1), steps.length]).toEqual([least, most, count])
    expect(steps).toEqual([...steps].sort((a, b) => a - b))
  })

  test.each([0, 3, 5, 64, -1, Number.NaN])('there is no %d vCPU', cpu => {
    expect(fargateMemory(cpu)).toBeNull()
  })

  test.each([
    [0.25, 0.5],
    [0.5, 1],
    [1, 2],
    [2, 4],
    [4, 8],
    [8, 16],
    [16, 32],
    [32, 120],
  ])('%d vCPU comes with %d GiB when no memory is asked for', (cpu, gib) => {
    expect(fargateDefaultMemory(cpu)).toBe(gib)
    expect(fargateMemory(cpu)).toContain(gib)
  })

  test.each([
    [0.5, 0.25],
    [3, 0.5],
    [17, 4],
    [31, 8],
    [61, 16],
    [121, 32],
    [244, 32],
    [245, null],
  ])('%d GiB needs at least %s vCPU', (gib, cpu) => {
    expect(fargateCpuFor(gib)).toBe(cpu)
  })
})

describe('CodeBuild', () => {
  test.each([
    ['x64', 2, 4, 20, 'BUILD_GENERAL1_SMALL'],
    ['x64', 2, 5, 20, 'BUILD_GENERAL1_MEDIUM'],
    ['x64', 4, 4, 20, 'BUILD_GENERAL1_MEDIUM'],
    ['x64', 2, 4, 65, 'BUILD_GENERAL1_MEDIUM'],
    ['x64', 2, 4, 129, 'BUILD_GENERAL1_XLARGE'],
    ['x64', 16, 32, 20, 'BUILD_GENERAL1_XLARGE'],
    ['arm64', 32, 64, 20, 'BUILD_GENERAL1_XLARGE'],
    ['arm64', 32, 65, 20, 'BUILD_GENERAL1_2XLARGE'],
    ['x64', 36, 72, 256, 'BUILD_GENERAL1_XLARGE'],
    ['x64', 72, 144, 824, 'BUILD_GENERAL1_2XLARGE'],
  ] as const)(
    '%s with %d vCPU, %d GiB and %d GiB of disk is %s',
    (arch, cpu, memoryGiB, diskGiB, computeType) => {
      expect(codeBuildType({ arch, cpu, memoryGiB, diskGiB })?.computeType).toBe(computeType)
    },
  )

  test.each([
    ['x64', 73, 1, 1],
    ['x64', 1, 145, 1],
    ['arm64', 1, 97, 1],
    ['arm64', 1, 1, 825],
  ] as const)(
    '%s with %d vCPU, %d GiB and %d GiB of disk does not exist',
    (arch, cpu, memoryGiB, diskGiB) => {
      expect(codeBuildType({ arch, cpu, memoryGiB, diskGiB })).toBeNull()
    },
  )

  test.each(['x64', 'arm64'] as const)('the types of %s grow in every respect', arch => {
    for (const key of ['cpu', 'memoryGiB', 'diskGiB'] as const) {
      const sizes = CODEBUILD_TYPES[arch].map(type => type[key])
      expect(sizes).toEqual([...sizes].sort((a, b) => a - b))
    }
  })
})

describe('docs/labels.md', () => {
  const docs = readFileSync(new URL('../docs/labels.md', import.meta.url), 'utf8')

  test.each(FARGATE_SIZES)('says which memory $cpu vCPU has', ({ cpu, memoryGiB }) => {
    const [, shown, usual] = new RegExp(`^\\| \`${cpu}cpu\` \\| (.+) \\| \`(.+)\` \\|$`, 'm').exec(docs)!
    expect(numbersOf(shown!)).toEqual(memoryGiB)
    expect(usual).toBe(cpu === 0.25 ? '512mb' : `${fargateDefaultMemory(cpu)}gb`)
  })

  test('says what every CodeBuild type holds', () => {
    const row = (index: number) => {
      const sizes = (['x64', 'arm64'] as const).map(arch => {
        const { cpu, memoryGiB, diskGiB } = CODEBUILD_TYPES[arch][index]!
        return `${cpu}, ${memoryGiB} GiB, ${diskGiB} GB`
      })
      return `| ${CODEBUILD_TYPES.x64[index]!.computeType} | ${sizes.join(' | ')} |`
    }
    for (const index of CODEBUILD_TYPES.x64.keys()) expect(docs).toContain(row(index))
  })

  /** "60, 120, 244" or "16 to 60 in steps of 4" */
  function numbersOf(text: string): number[] {
    const range = /^(\d+) to (\d+)(?: in steps of (\d+))?$/.exec(text)
    if (range === null) return text.split(', ').map(Number)
    const [from, to, by] = [Number(range[1]), Number(range[2]), Number(range[3] ?? 1)]
    return Array.from({ length: (to - from) / by + 1 }, (_, index) => from + index * by)
  }
})
