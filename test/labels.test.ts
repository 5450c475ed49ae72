import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  DEFAULT_RULES,
  hasMarker,
  LABEL_WORDS,
  type LabelReading,
  type LabelRules,
  printLabels,
  readLabels,
} from '../functions/core/labels.ts'
import { codeBuildType, FARGATE_SIZES } from '../functions/core/sizes.ts'
import type { Problem, Spec } from '../functions/core/types.ts'

const RULES: LabelRules = {
  ...DEFAULT_RULES,
  sizes: new Map([
    ['large', ['8cpu', '32gb']],
    ['cheap', ['ARM64', 'Spot']],
    ['builder', ['docker', '4cpu']],
    ['task', ['fargate', '1cpu']],
  ]),
  roles: new Set(['deploy', 'release']),
  images: new Map([
    ['android', ['x64', 'arm64']],
    ['mobile', ['arm64']],
  ]),
}

const DEFAULT_SPEC: Spec = {
  arch: 'x64',
  compute: 'fargate',
  capacity: 'on-demand',
  cpu: 2,
  memoryGiB: 4,
  diskGiB: 20,
  docker: false,
  build: false,
  role: null,
  image: null,
  timeoutMinutes: 360,
}

/** Parts in an array, the marker added. */
function read(parts: string, rules: LabelRules = RULES): LabelReading {
  return readLabels(['tornade', ...parts.split(' ').filter(part => part !== '')], rules)
}

function specOf(parts: string, rules: LabelRules = RULES): Spec {
  const reading = read(parts, rules)
  if (reading.outcome !== 'spec') throw new Error(`${parts}: ${JSON.stringify(reading)}`)
  return reading.spec
}

function notesOf(parts: string, rules: LabelRules = RULES): readonly string[] {
  const reading = read(parts, rules)
  return reading.outcome === 'ignored' ? [] : reading.notes
}

function problemsOf(parts: string, rules: LabelRules = RULES): readonly Problem[] {
  const reading = read(parts, rules)
  return reading.outcome === 'problems' ? reading.problems : []
}

/** [label, suggestion] of each problem, in order. */
function hintsOf(parts: string, rules: LabelRules = RULES) {
  return problemsOf(parts, rules).map(({ label, suggestion }) => [label, suggestion])
}

describe('a set of labels', () => {
  test('that is only the marker asks for the defaults', () => {
    expect(read('')).toEqual({ outcome: 'spec', spec: DEFAULT_SPEC, notes: [] })
  })

  test.each([
    ['x64', {}],
    ['arm64', { arch: 'arm64' }],
    ['fargate', {}],
    ['codebuild', { compute: 'codebuild', capacity: null }],
    ['spot', { capacity: 'spot' }],
    ['spot-only', { capacity: 'spot-only' }],
    ['0.25cpu', { cpu: 0.25, memoryGiB: 0.5 }],
    ['4cpu', { cpu: 4, memoryGiB: 8 }],
    ['32cpu', { cpu: 32, memoryGiB: 120 }],
    ['8gb', { memoryGiB: 8 }],
    ['0.25cpu 512mb', { cpu: 0.25, memoryGiB: 0.5 }],
    ['disk:21gb', { diskGiB: 21 }],
    ['disk:200gb', { diskGiB: 200 }],
    ['docker', { docker: true, compute: 'codebuild', capacity: null }],
    ['build', { build: true }],
    ['build fargate', { build: true }],
    ['build docker', { build: true, docker: true, compute: 'codebuild', capacity: null }],
    ['role:deploy', { role: 'deploy' }],
    ['image:android', { image: 'android' }],
    ['timeout:90m', { timeoutMinutes: 90 }],
    ['timeout:2h', { timeoutMinutes: 120 }],
    ['timeout:6h', {}],
    ['run:1', {}],
    ['run-1 run- run:', {}],
    ['self-hosted linux', {}],
  ] as const)('with `%s` asks for it', (parts, expected) => {
    expect(specOf(parts)).toEqual({ ...DEFAULT_SPEC, ...expected })
  })

  test.each([
    [[]],
    [['self-hosted', 'linux', 'x64']],
    [['ubuntu-latest']],
    [['tornades']],
    [['xtornade/arm64']],
    [['tornade-arm64']],
    [['']],
  ])('without the marker is not ours: %j', labels => {
    expect(readLabels(labels, RULES)).toEqual({ outcome: 'ignored' })
    expect(hasMarker(labels, 'tornade')).toBe(false)
  })

  test('has the marker that the deployment chose', () => {
    const rules = { ...RULES, marker: 'ci-two' }
    expect(readLabels(['CI-Two/arm64'], rules).outcome).toBe('spec')
    expect(readLabels(['tornade', 'arm64'], rules).outcome).toBe('ignored')
  })
})

describe('spellings', () => {
  const expected = {
    outcome: 'spec',
    spec: { ...DEFAULT_SPEC, arch: 'arm64', capacity: 'spot', cpu: 4, memoryGiB: 8 },
    notes: [],
  }

  test.each([
    [['tornade', 'arm64', 'spot', '4cpu']],
    [['tornade/arm64/spot/4cpu']],
    [['tornade/arm64/spot/4cpu/run-812']],
    [['4cpu/spot/arm64/tornade']],
    [['run-812/tornade/arm64/spot/4cpu']],
    [['self-hosted', 'Linux', 'tornade/arm64/spot', '4cpu']],
    [['tornade', 'tornade/arm64', 'TORNADE/spot/4cpu']],
    [['tornade', 'aarch64', 'arm64', 'ARM64', 'spot', 'Spot', '4CPU']],
    [[' tornade / arm64 ', 'spot', '4cpu ']],
  ])('%j', labels => {
    expect(readLabels(labels, RULES)).toEqual(expected)
  })

  test.each(['x86', 'x86_64', 'amd64', 'AMD64', 'x64'])('%s is x64', word => {
    expect(specOf(word).arch).toBe('x64')
  })

  test('equal values are one value, however they are written', () => {
    expect(specOf('timeout:2h timeout:120m amd64 x86').timeoutMinutes).toBe(120)
  })

  test.each([
    ['tornade', 'run:refs/heads/main'],
    ['tornade', 'run-feature/amr64/5cpu'],
    ['tornade', 'run:x/tornade/y'],
    ['tornade/spot', 'RUN-a/tornade/docker'],
  ])('a label that begins with run may hold anything: %s %s', (first, second) => {
    expect(readLabels([first, second], RULES)).toEqual(readLabels([first], RULES))
  })

  test.each(['tornade/', '/tornade', 'tornade//arm64', 'tornade/ /arm64'])(
    'an empty part is a problem: "%s"',
    label => {
      const reading = readLabels([label], RULES)
      expect(reading).toMatchObject({ outcome: 'problems', problems: [{ label: '', suggestion: null }] })
    },
  )

  test('only a label that holds the marker is split', () => {
    expect(hintsOf('arm64/spot')).toEqual([['arm64/spot', 'tornade/arm64/spot']])
    expect(hintsOf('arm64/sport')).toEqual([['arm64/sport', null]])
  })
})

describe('neither order, case nor spelling change what is read', () => {
  const words = [
    ...LABEL_WORDS.filter(word => !/[:-]$/.test(word)),
    ...['3gb', '16gb', '33gb', '60gb', '100gb', '300gb', '0gb', '1024mb', '5cpu', '64cpu', '.5cpu', '4vcpu'],
    ...[
      'disk:20gb',
      'disk:50gb',
      'disk:500gb',
      'disk:',
      'timeout:90m',
      'timeout:2h',
      'timeout:9h',
      'timeout:x',
      'timeout:3m',
    ],
    ...[
      'role:deploy',
      'role:release',
      'role:depoly',
      'role:__proto__',
      'role:',
      'image:android',
      'image:mobile',
      'image:x',
    ],
    ...['size:large', 'size:cheap', 'size:builder', 'size:task', 'size:lareg', 'size:constructor'],
    ...[
      'amr64',
      'sopt',
      'large',
      'deploy',
      'on-demand',
      'windows',
      'nonsense',
      'constructor',
      '',
      'run-1',
      'run:ARM64',
    ],
  ]
  const rules = { ...RULES, limits: { cpu: 8, memoryGiB: 40, diskGiB: 100 } }

  /** Two ways to write one set: [the parts as they are, in an array], [shuffled, in any case, cut into labels anyhow]. */
  const twoSpellings = fc
    .record({
      parts: fc.array(fc.constantFrom(...words), { maxLength: 8 }),
      seed: fc.infiniteStream(fc.nat({ max: 1000 })),
      oneLabel: fc.boolean(),
    })
    .map(({ parts, seed, oneLabel }) => {
      const next = () => seed.next().value as number
      const shuffled = ['tornade', ...parts]
        .map(part => [next(), part] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, part]) => [...part].map(char => (next() % 2 === 0 ? char.toUpperCase() : char)).join(''))
      const other = oneLabel ? [shuffled.join('/')] : shuffled
      return [['tornade', ...parts], other] as const
    })

  function withoutCase(reading: LabelReading): LabelReading {
    if (reading.outcome !== 'problems') return reading
    return {
      ...reading,
      problems: reading.problems.map(problem => ({ ...problem, label: problem.label.toLowerCase() })),
    }
  }

  test('for sets that can be served and for those that cannot', () => {
    const outcomes = new Set<string>()
    fc.assert(
      fc.property(twoSpellings, ([one, other]) => {
        const reading = readLabels(one, rules)
        outcomes.add(reading.outcome)
        expect(withoutCase(readLabels(other, rules))).toEqual(withoutCase(reading))
      }),
      { numRuns: 2000 },
    )
    expect([...outcomes].sort()).toEqual(['problems', 'spec'])
  })

  test('problems come in the order of the table in docs/labels.md, then unknown parts, then what does not go together', () => {
    expect(
      hintsOf('docker zzz timeout:9h role:no disk:5gb 300gb 5cpu spot fargate arm64 x64').map(
        ([label]) => label,
      ),
    ).toEqual(['x64', '5cpu', '300gb', 'disk:5gb', 'role:no', 'timeout:9h', 'zzz', 'fargate', 'spot'])
  })
})

describe('memory on Fargate', () => {
  const pairs = FARGATE_SIZES.flatMap(({ cpu }) =>
    [0.5, ...Array.from({ length: 244 }, (_, index) => index + 1)].map(gib => ({ cpu, gib })),
  )

  test(`each of the ${FARGATE_SIZES.length} × 245 pairs is served, rounded up and noted, or told which cpu has it`, () => {
    for (const { cpu, gib } of pairs) {
      const label = gib === 0.5 ? '512mb' : `${gib}gb`
      const reading = read(`${cpu}cpu ${label}`)
      const steps = FARGATE_SIZES.find(size => size.cpu === cpu)!.memoryGiB
      const step = steps.find(one => one >= gib)
      if (step === undefined) {
        const having = FARGATE_SIZES.find(size => size.memoryGiB.at(-1)! >= gib)!
        expect(reading).toMatchObject({
          outcome: 'problems',
          problems: [{ label, suggestion: `${having.cpu}cpu` }],
        })
        expect(having.cpu).toBeGreaterThan(cpu)
        expect(read(`${having.cpu}cpu ${label}`).outcome).toBe('spec')
      } else {
        expect(reading).toMatchObject({ outcome: 'spec', spec: { cpu, memoryGiB: step } })
        expect(notesOf(`${cpu}cpu ${label}`)).toHaveLength(step === gib ? 0 : 1)
      }
    }
  })

  test('what was rounded is noted with the memory there is', () => {
    expect(notesOf('3gb')).toEqual(['`3gb` is rounded up to 4 GiB: Fargate has 4 to 16 GiB for 2 vCPU.'])
    expect(notesOf('16cpu 33gb')).toEqual([
      '`33gb` is rounded up to 40 GiB: Fargate has 32 to 120 GiB in steps of 8 for 16 vCPU.',
    ])
    expect(notesOf('32cpu 1gb')).toEqual([
      '`1gb` is rounded up to 60 GiB: Fargate has 60, 120 or 244 GiB for 32 vCPU.',
    ])
  })

  test('memory never raises the cpu', () => {
    expect(problemsOf('17gb')).toEqual([
      {
        label: '17gb',
        message: 'Fargate has 4 to 16 GiB for 2 vCPU; `17gb` needs 4 vCPU.',
        suggestion: '4cpu',
      },
    ])
  })

  test('nothing is said about memory when the cpu is not known', () => {
    expect(hintsOf('5cpu 100gb')).toEqual([['5cpu', '8cpu']])
  })
})

describe('CodeBuild', () => {
  test.each([
    ['docker', 'BUILD_GENERAL1_SMALL'],
    ['codebuild 4cpu', 'BUILD_GENERAL1_MEDIUM'],
    ['codebuild 3gb', 'BUILD_GENERAL1_SMALL'],
    ['codebuild 5gb', 'BUILD_GENERAL1_MEDIUM'],
    ['docker disk:100gb', 'BUILD_GENERAL1_MEDIUM'],
    ['docker disk:200gb', 'BUILD_GENERAL1_XLARGE'],
    ['docker arm64 32cpu', 'BUILD_GENERAL1_XLARGE'],
    ['docker arm64 32cpu 65gb', 'BUILD_GENERAL1_2XLARGE'],
    ['docker 144gb', 'BUILD_GENERAL1_2XLARGE'],
  ])('%s takes %s and says so', (parts, computeType) => {
    const [note, ...others] = notesOf(parts)
    expect(note).toContain(`CodeBuild runs this on ${computeType}: `)
    expect(others).toEqual([])
  })

  test('the spec stays what was asked', () => {
    expect(specOf('docker 4cpu 3gb disk:100gb')).toMatchObject({
      cpu: 4,
      memoryGiB: 3,
      diskGiB: 100,
      capacity: null,
    })
    expect(specOf('codebuild 32cpu')).toMatchObject({ cpu: 32, memoryGiB: 64 })
  })

  test('every cpu of the labels is held by a type of both architectures', () => {
    for (const arch of ['x64', 'arm64']) {
      for (const { cpu } of FARGATE_SIZES) expect(specOf(`codebuild ${arch} ${cpu}cpu`).cpu).toBe(cpu)
    }
  })

  test('what no type holds is a problem', () => {
    expect(hintsOf('codebuild 145gb')).toEqual([['145gb', '144gb']])
    expect(hintsOf('codebuild arm64 97gb')).toEqual([['97gb', '96gb']])
  })

  test('a build lives for five minutes at least', () => {
    expect(hintsOf('codebuild timeout:4m')).toEqual([['timeout:4m', 'timeout:5m']])
    expect(specOf('timeout:4m').timeoutMinutes).toBe(4)
  })
})

describe('contradictions', () => {
  test.each([
    ['fargate docker', [['fargate', 'codebuild']]],
    ['codebuild spot', [['spot', 'fargate']]],
    ['docker spot-only', [['spot-only', null]]],
    [
      'fargate docker spot',
      [
        ['fargate', 'codebuild'],
        ['spot', null],
      ],
    ],
  ])('%s', (parts, hints) => {
    expect(hintsOf(parts)).toEqual(hints)
  })

  test.each([
    ['x64 arm64', 'x64', 'arm64'],
    ['amd64 aarch64', 'amd64', 'arm64'],
    ['fargate codebuild', 'fargate', 'codebuild'],
    ['spot spot-only', 'spot-only', 'spot'],
    ['16cpu 4cpu', '16cpu', '4cpu'],
    ['16gb 8gb', '16gb', '8gb'],
    ['disk:100gb disk:30gb', 'disk:100gb', 'disk:30gb'],
    ['role:release role:deploy', 'role:release', 'role:deploy'],
    ['size:large size:cheap', 'size:large', 'size:cheap'],
    ['timeout:2h timeout:90m', 'timeout:2h', 'timeout:90m'],
  ])('two values of one dimension: %s', (parts, label, suggestion) => {
    expect(hintsOf(parts)).toEqual([[label, suggestion]])
    expect(problemsOf(parts)[0]!.message).toMatch(/^A job has one .+: keep one\.$/)
  })
})

describe('a part that does not exist', () => {
  test.each([
    ['5cpu', '8cpu'],
    ['0.1cpu', '0.25cpu'],
    ['64cpu', '32cpu'],
    ['.5cpu', '0.5cpu'],
    ['02cpu', '2cpu'],
    ['4vcpus', '4cpu'],
    ['0gb', '512mb'],
    ['0.5gb', '512mb'],
    ['1024mb', '1gb'],
    ['8gib', '8gb'],
    ['245gb', '244gb'],
    ['disk:20gb', 'disk:21gb'],
    ['disk:201gb', 'disk:200gb'],
    ['disk:50', 'disk:50gb'],
    ['disk50gb', 'disk:50gb'],
    ['disc:50gb', 'disk:50gb'],
    ['timeout:90', 'timeout:90m'],
    ['timeout:1.5h', 'timeout:90m'],
    ['timeout:0m', 'timeout:1m'],
    ['timeout:361m', 'timeout:6h'],
    ['timout:2h', 'timeout:2h'],
    ['amr64', 'arm64'],
    ['arm', 'arm64'],
    ['x68', 'x64'],
    ['spt', 'spot'],
    ['spot_only', 'spot-only'],
    ['fargte', 'fargate'],
    ['code-build', 'codebuild'],
    ['dokcer', 'docker'],
    ['16bg', '16gb'],
    ['role:depoly', 'role:deploy'],
    ['roel:deploy', 'role:deploy'],
    ['role=deploy', 'role:deploy'],
    ['deploy', 'role:deploy'],
    ['large', 'size:large'],
    ['image:andriod', 'image:android'],
    ['self-hostd', 'self-hosted'],
  ])('%s: use %s', (part, suggestion) => {
    expect(hintsOf(part)).toEqual([[part, suggestion]])
    expect(read(suggestion === '244gb' ? `32cpu ${suggestion}` : suggestion).outcome).toBe('spec')
  })

  test.each([
    'nonsense',
    'ubuntu-latest',
    'windows',
    'on-demand',
    'gpu',
    'disk:',
    'timeout:soon',
    'role:',
    '🦀',
    'constructor',
  ])('%s: nothing is near', part => {
    expect(hintsOf(part)).toEqual([[part, null]])
  })

  test('the reason is a sentence', () => {
    expect(problemsOf('5cpu')[0]!.message).toBe('Fargate has 4 or 8 vCPU.')
    expect(problemsOf('amr64')[0]!.message).toBe('There is no such label; did you mean `arm64`?')
    expect(problemsOf('zzz')[0]!.message).toBe('There is no such label: leave it out.')
    expect(problemsOf('role:nobody')[0]!.message).toBe(
      'tornade.yml has only `role:deploy` and `role:release`.',
    )
    expect(problemsOf('role:deploy', DEFAULT_RULES)[0]!.message).toBe('tornade.yml has no roles.')
  })

  test('all of them are told at once', () => {
    expect(hintsOf('5cpu amr64 role:depoly disk:5gb')).toEqual([
      ['5cpu', '8cpu'],
      ['disk:5gb', 'disk:21gb'],
      ['role:depoly', 'role:deploy'],
      ['amr64', 'arm64'],
    ])
    expect(hintsOf('x64 arm64 60gb disk:5gb')).toEqual([
      ['x64', 'arm64'],
      ['disk:5gb', 'disk:21gb'],
      ['60gb', '8cpu'],
    ])
    expect(hintsOf('codebuild spot 145gb timeout:3m 5cpu')).toEqual([
      ['5cpu', '8cpu'],
      ['spot', 'fargate'],
      ['timeout:3m', 'timeout:5m'],
      ['145gb', '144gb'],
    ])
  })

  test('is told whatever else the set holds', () => {
    const broken = ['5cpu', '300gb', 'disk:5gb', 'role:nobody', 'image:x', 'size:x', 'timeout:9h', 'zzz', '']
    const others = [
      ...broken,
      ...LABEL_WORDS.filter(word => !/[:-]$/.test(word)),
      'size:large',
      'size:task',
      'role:deploy',
    ]
    fc.assert(
      fc.property(fc.constantFrom(...broken), fc.array(fc.constantFrom(...others)), (part, beside) => {
        const reading = readLabels(['tornade', part, ...beside], RULES)
        expect(reading).toMatchObject({ outcome: 'problems' })
        expect(reading.outcome === 'problems' && reading.problems.map(problem => problem.label)).toContain(
          part,
        )
      }),
    )
  })
})

describe('names of tornade.yml', () => {
  test.each([
    '__proto__',
    'constructor',
    'toString',
    'hasownproperty',
    'A B',
    '../x',
    'ünï',
    'x'.repeat(41),
    '',
  ])('an unknown name is a problem and nothing else: %j', name => {
    for (const kind of ['role', 'image', 'size']) {
      expect(readLabels(['tornade', `${kind}:${name}`], RULES).outcome).toBe('problems')
    }
  })

  test('case does not matter', () => {
    expect(specOf('ROLE:Deploy').role).toBe('deploy')
  })
})

describe('an image of tornade.yml', () => {
  test.each([
    ['image:android', 'x64'],
    ['image:android arm64', 'arm64'],
    ['image:mobile arm64', 'arm64'],
    ['image:mobile arm64 docker', 'arm64'],
    ['size:mobile', 'arm64'],
  ] as const)('is there for %s', (parts, arch) => {
    const rules = { ...RULES, sizes: new Map([['mobile', ['image:mobile', 'arm64']]]) }
    expect(specOf(parts, rules)).toMatchObject({ arch, image: /android|mobile/.exec(parts)![0] })
  })

  test('is a problem for an architecture that it does not have, which names the one that it has', () => {
    expect(problemsOf('image:mobile x64')).toEqual([
      {
        label: 'x64',
        message: 'tornade.yml has `image:mobile` for `arm64` only.',
        suggestion: 'arm64',
      },
    ])
    expect(problemsOf('image:mobile')).toEqual([
      {
        label: 'image:mobile',
        message: 'tornade.yml has `image:mobile` for `arm64` only: add `arm64`.',
        suggestion: null,
      },
    ])
    // Nobody knows which was meant.
    expect(hintsOf('image:mobile x64 arm64')).toEqual([['x64', 'arm64']])
  })

  test('does not go into a preset that has not its architecture', () => {
    const rules = { ...RULES, sizes: new Map([['mobile', ['image:mobile', '4cpu']]]) }
    expect(problemsOf('size:mobile arm64', rules)).toMatchObject([
      { label: 'size:mobile', message: expect.stringMatching(/ for `arm64` only: add `arm64`\.$/) },
    ])
    const whole = { ...RULES, sizes: new Map([['mobile', ['image:mobile', 'arm64']]]) }
    expect(hintsOf('size:mobile x64', whole)).toEqual([['x64', 'arm64']])
    expect(specOf('size:mobile x64 image:android', whole)).toMatchObject({ arch: 'x64', image: 'android' })
  })

  test('is one', () => {
    expect(hintsOf('image:android image:mobile arm64')).toEqual([['image:mobile', 'image:android']])
  })
})

describe('presets', () => {
  test('stand for their parts', () => {
    expect(specOf('size:large')).toEqual(specOf('8cpu 32gb'))
    expect(specOf('size:cheap')).toEqual(specOf('arm64 spot'))
    expect(specOf('size:builder arm64')).toEqual(specOf('docker 4cpu arm64'))
  })

  test('yield to the parts beside them', () => {
    expect(specOf('size:large 16cpu')).toMatchObject({ cpu: 16, memoryGiB: 32 })
    expect(specOf('size:cheap x64 spot-only')).toMatchObject({ arch: 'x64', capacity: 'spot-only' })
    expect(specOf('size:task docker')).toMatchObject({ compute: 'codebuild', docker: true, cpu: 1 })
  })

  test('are named where they contradict the parts beside them', () => {
    expect(problemsOf('size:large 4cpu')).toEqual([
      {
        label: 'size:large',
        message: 'Fargate has 8 to 30 GiB for 4 vCPU; `32gb` (of `size:large`) needs 8 vCPU.',
        suggestion: '8cpu',
      },
    ])
    expect(hintsOf('size:cheap docker')).toEqual([['size:cheap', null]])
    expect(hintsOf('size:builder fargate')).toEqual([['fargate', 'codebuild']])
  })

  test('that are unknown make nobody guess about the rest', () => {
    expect(hintsOf('size:lareg 60gb')).toEqual([['size:lareg', 'size:large']])
  })

  test.each([
    [['5cpu'], '`5cpu`: Fargate has 4 or 8 vCPU.'],
    [['fargate', 'docker'], 'Fargate has no Docker daemon'],
    [['x64', 'arm64'], 'A job has one architecture'],
    [['2cpu', '100gb'], 'Fargate has 4 to 16 GiB for 2 vCPU'],
    [['size:large'], '`size:large` cannot stand in a preset.'],
    [['size:bad'], '`size:bad` cannot stand in a preset.'],
    [['TORNADE'], '`tornade` cannot stand in a preset.'],
    [['tornade/arm64'], 'is split at `/`'],
    [['role:nobody'], '`role:nobody`: tornade.yml has only'],
  ])('that are broken are named: %j', (parts, reason) => {
    const rules = { ...RULES, sizes: new Map([...RULES.sizes, ['bad', parts]]) }
    const [problem, ...others] = problemsOf('size:bad', rules)
    expect(problem).toMatchObject({ label: 'size:bad', suggestion: null })
    expect(problem!.message).toContain('The preset `size:bad` of tornade.yml cannot be used. ')
    expect(problem!.message).toContain(reason)
    expect(others).toEqual([])
  })
})

describe('the limits of a deployment', () => {
  const limits = { cpu: 8, memoryGiB: 40, diskGiB: 100 }
  const rules = { ...RULES, limits }

  test.each([
    ['16cpu', [['16cpu', '8cpu']], 'limits.cpu'],
    ['8cpu 44gb', [['44gb', '40gb']], 'limits.memory'],
    ['8cpu 41gb', [['41gb', '40gb']], 'limits.memory'],
    ['disk:101gb', [['disk:101gb', 'disk:100gb']], 'limits.disk'],
    ['docker 60gb', [['60gb', '40gb']], 'limits.memory'],
  ])('%s is too large', (parts, hints, setting) => {
    expect(hintsOf(parts, rules)).toEqual(hints)
    expect(problemsOf(parts, rules)[0]!.message).toContain(`\`${setting}\` in tornade.yml`)
  })

  test('are kept by what is suggested', () => {
    expect(hintsOf('4cpu 60gb', { ...rules, limits: { ...limits, cpu: 4, memoryGiB: 60 } })).toEqual([
      ['60gb', '30gb'],
    ])
  })

  test('are themselves allowed', () => {
    expect(specOf('8cpu 40gb disk:100gb', rules)).toMatchObject({ cpu: 8, memoryGiB: 40, diskGiB: 100 })
  })

  test('name the preset that breaks them, or the default', () => {
    expect(hintsOf('size:large', { ...rules, limits: { ...limits, cpu: 4 } })).toEqual([
      ['size:large', '4cpu'],
    ])
    expect(hintsOf('', { ...rules, limits: { ...limits, cpu: 1 } })).toEqual([['2cpu', '1cpu']])
    expect(hintsOf('', { ...rules, limits: { ...limits, memoryGiB: 2 } })).toEqual([['4gb', null]])
  })

  test('a timeout may only shorten the longest life', () => {
    const short = { ...RULES, longestMinutes: 90 }
    expect(specOf('', short).timeoutMinutes).toBe(90)
    expect(hintsOf('timeout:2h', short)).toEqual([['timeout:2h', 'timeout:90m']])
  })
})

describe('any strings', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map(units => String.fromCharCode(...units)),
    fc.constantFrom('tornade', 'tornade/', 'role:', 'size:', 'disk:', 'timeout:', '/', 'cpu', 'gb'),
    fc.string().map(text => `tornade/${text}`),
    fc
      .tuple(fc.constantFrom('role:', 'size:', 'disk:', 'timeout:', 'image:'), fc.string())
      .map(parts => parts.join('')),
  )

  test('are read without a throw, and hasMarker agrees', () => {
    fc.assert(
      fc.property(fc.array(anything), labels => {
        const reading = readLabels(labels, RULES)
        expect(hasMarker(labels, 'tornade')).toBe(reading.outcome !== 'ignored')
        if (reading.outcome === 'problems') expect(reading.problems.length).toBeGreaterThan(0)
      }),
      { numRuns: 1000 },
    )
  })

  test('are cut and cleaned where a problem shows them', () => {
    const [long, hostile] = [`a${'b'.repeat(10_000)}`, 'evil\u001b[31m\u202e\ud800']
    expect(hintsOf(long)).toEqual([[`a${'b'.repeat(98)}…`, null]])
    expect(problemsOf(hostile)[0]!.label).toBe('evil [31m')
  })

  test.each([
    ['one endless label', [`tornade/${'9'.repeat(1_000_000)}cpu`]],
    ['a label of slashes', [`tornade${'/'.repeat(1_000_000)}`]],
    ['very many labels', ['tornade', ...Array.from({ length: 100_000 }, (_, index) => `role:deplo${index}`)]],
    ['very many parts', [`tornade/${Array.from({ length: 100_000 }, (_, index) => `sp${index}`).join('/')}`]],
  ])('do not take long: %s', (_, labels) => {
    const before = performance.now()
    const reading = readLabels(labels, RULES)
    expect(performance.now() - before).toBeLessThan(2000)
    if (reading.outcome !== 'problems') throw new Error(reading.outcome)
    expect(reading.problems.length).toBeLessThan(120)
  })
})

describe('a printed spec', () => {
  const common = {
    arch: fc.constantFrom('x64' as const, 'arm64' as const),
    diskGiB: fc.oneof(fc.constant(20), fc.integer({ min: 21, max: 200 })),
    build: fc.boolean(),
    role: fc.constantFrom(null, ...RULES.roles),
    image: fc.constantFrom(null, 'android'),
    timeoutMinutes: fc.integer({ min: 5, max: 360 }),
  }
  const fargate = fc
    .constantFrom(...FARGATE_SIZES)
    .chain(({ cpu, memoryGiB }) =>
      fc.record<Spec>({
        ...common,
        compute: fc.constant('fargate'),
        capacity: fc.constantFrom('on-demand', 'spot', 'spot-only'),
        cpu: fc.constant(cpu),
        memoryGiB: fc.constantFrom(...memoryGiB),
        docker: fc.constant(false),
      }),
    )
    .filter(({ build, image }) => !build || image === null)
  const codebuild = fc
    .record<Spec>({
      ...common,
      compute: fc.constant('codebuild'),
      capacity: fc.constant(null),
      cpu: fc.constantFrom(...FARGATE_SIZES.map(size => size.cpu)),
      memoryGiB: fc.oneof(fc.constant(0.5), fc.integer({ min: 1, max: 144 })),
      docker: fc.boolean(),
    })
    .filter(spec => codeBuildType(spec) !== null)
  const form = fc.constantFrom('array' as const, 'one' as const)

  test('reads back as itself, with nothing rounded', () => {
    fc.assert(
      fc.property(fc.oneof(fargate, codebuild), form, (spec, form) => {
        const reading = readLabels(printLabels(spec, RULES, form), RULES)
        expect(reading).toEqual({ outcome: 'spec', spec, notes: expect.any(Array) })
        expect(notesAbout(reading, 'rounded')).toEqual([])
      }),
      { numRuns: 2000 },
    )
  })

  test('leaves defaults out', () => {
    expect(printLabels(DEFAULT_SPEC, RULES, 'array')).toEqual(['tornade'])
    expect(printLabels(specOf('docker'), RULES, 'one')).toEqual(['tornade/docker'])
    expect(printLabels(specOf('4cpu 8gb timeout:120m spot aarch64 fargate'), RULES, 'one')).toEqual([
      'tornade/arm64/spot/4cpu/timeout:2h',
    ])
    expect(printLabels(specOf('size:large role:deploy'), RULES, 'array')).toEqual([
      'tornade',
      '8cpu',
      '32gb',
      'role:deploy',
    ])
  })

  function notesAbout(reading: LabelReading, word: string): readonly string[] {
    return reading.outcome === 'ignored' ? [] : reading.notes.filter(note => note.includes(word))
  }
})

describe('building images', () => {
  test.each([
    ['build image:android', [['image:android', 'codebuild']]],
    ['build image:android spot', [['image:android', 'codebuild']]],
    ['build image:android fargate', [['image:android', null]]],
  ])('%s is a mistake: on Fargate the builder comes with the standard image', (parts, hints) => {
    expect(hintsOf(parts)).toEqual(hints)
  })

  test.each(['build', 'build spot arm64', 'docker build image:android', 'codebuild build image:android'])(
    '%s is none',
    parts => {
      expect(problemsOf(parts)).toEqual([])
    },
  )
})

describe('docs/labels.md', () => {
  const docs = readFileSync(new URL('../docs/labels.md', import.meta.url), 'utf8')

  test.each(LABEL_WORDS)('explains %s', word => {
    expect(docs).toContain(`\`${word}`)
  })

  const examples = [...docs.matchAll(/^\| `\[tornade, (.+?)\]` \| `(.+?)`: (.+) \| `(.+)` \|$/gm)]

  test.each(examples.map(([, parts, label, message, use]) => ({ parts, label, message, use })))(
    'tells the truth about [tornade, $parts]',
    ({ parts, label, message, use }) => {
      const rules: LabelRules = {
        ...DEFAULT_RULES,
        sizes: new Map([['large', ['8cpu', '32gb']]]),
        roles: new Set(['deploy']),
        images: new Map([['mobile', ['arm64']]]),
      }
      expect(problemsOf(parts!.replaceAll(',', ''), rules)).toEqual([{ label, message, suggestion: use }])
    },
  )

  test('has examples', () => {
    expect(examples.length).toBeGreaterThan(8)
  })
})
