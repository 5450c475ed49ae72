import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { explain } from '../cli/explain.ts'

const MOBILE = `123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/mobile@sha256:${'a'.repeat(64)}`
const TORNADE_YML = `
region: ap-northeast-1
sizes: { large: [8cpu, 32gb] }
roles:
  deploy: { repositories: [acme/app] }
images: { mobile: { arm64: '${MOBILE}' } }
limits: { cpu: 16, memory: 64gb, disk: 100gb }
`

let empty: string
let deployed: string

beforeAll(async () => {
  empty = await mkdtemp(join(tmpdir(), 'explain-'))
  deployed = await mkdtemp(join(tmpdir(), 'explain-'))
  await writeFile(join(deployed, 'tornade.yml'), TORNADE_YML)
  await writeFile(join(deployed, 'broken.yml'), 'region: nowhere\nfoo: 1\n')
})

afterAll(async () => {
  for (const folder of [empty, deployed]) await rm(folder, { recursive: true })
})

async function run(cwd: string, ...argv: string[]) {
  let [stdout, stderr] = ['', '']
  const io = {
    stdout: (text: string) => (stdout += text),
    stderr: (text: string) => (stderr += text),
    cwd,
    now: () => Date.UTC(2026, 10, 2),
  }
  return { code: await explain(argv, io), stdout, stderr }
}

/** Runs with --json; the whole of stdout has to be one document. */
async function json(cwd: string, ...argv: string[]) {
  const { code, stdout, stderr } = await run(cwd, ...argv, '--json')
  expect(stderr).toBe('')
  return { code, answer: JSON.parse(stdout) }
}

describe('labels that can be served', () => {
  test('--json has the spec, the notes and the price, and no other field', async () => {
    const { code, answer } = await json(empty, 'tornade', 'arm64', 'spot', '4cpu')
    expect(code).toBe(0)
    expect(answer).toEqual({
      ok: true,
      spec: {
        arch: 'arm64',
        compute: 'fargate',
        capacity: 'spot',
        cpu: 4,
        memoryGiB: 8,
        diskGiB: 20,
        docker: false,
        build: false,
        role: null,
        image: null,
        timeoutMinutes: 360,
      },
      notes: [],
      price: {
        region: 'us-east-1',
        perMinuteUsd: expect.closeTo((4 * 0.01034 + 8 * 0.00114 + 0.005) / 60, 9),
        basis: 'estimate',
        githubHostedPerMinuteUsd: 0.008,
      },
    })
  })

  test('one label says the same as an array', async () => {
    expect(await json(empty, 'tornade/arm64/spot/4cpu')).toEqual(
      await json(empty, 'tornade', 'arm64', 'spot', '4cpu'),
    )
  })

  test('people see where it runs, how large it is, how long it lives and what it costs', async () => {
    const { code, stdout, stderr } = await run(empty, 'tornade', 'arm64', 'spot', '4cpu')
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toBe(`tornade arm64 spot 4cpu

  runs on        Fargate Spot, on demand when there is no Spot capacity
  architecture   arm64
  cpu            4 vCPU
  memory         8 GiB
  disk           20 GiB
  role           none, only that of the runner
  longest life   6 h
  price          $0.00092 a minute, $0.0555 an hour (estimate, us-east-1)
  GitHub-hosted  $0.00800 a minute, $0.4800 an hour (4-core arm64)
`)
  })

  test('CodeBuild is priced by the type that is taken, and the type is named', async () => {
    const { answer } = await json(empty, 'tornade', 'docker')
    expect(answer.spec).toMatchObject({ compute: 'codebuild', capacity: null, docker: true })
    expect(answer.notes).toEqual([expect.stringContaining('BUILD_GENERAL1_SMALL')])
    expect(answer.price).toMatchObject({
      perMinuteUsd: 0.005,
      basis: 'published',
      githubHostedPerMinuteUsd: 0.006,
    })
  })

  test('an unknown price is unknown, not nothing', async () => {
    const { answer } = await json(empty, 'tornade', '--region', 'sa-east-1')
    expect(answer.price).toMatchObject({ region: 'sa-east-1', perMinuteUsd: null, basis: 'unknown' })
    expect((await run(empty, 'tornade', '--region', 'sa-east-1')).stdout).toContain(
      'unknown: no prices for this in sa-east-1',
    )
  })

  test('the region is that of tornade.yml unless another is asked for', async () => {
    expect((await json(deployed, 'tornade')).answer.price.region).toBe('ap-northeast-1')
    expect((await json(deployed, 'tornade', '--region', 'eu-west-1')).answer.price.region).toBe('eu-west-1')
  })
})

describe('an image of tornade.yml', () => {
  test('is part of the spec', async () => {
    const { code, answer } = await json(deployed, 'tornade', 'arm64', 'image:mobile')
    expect(code).toBe(0)
    expect(answer.spec).toMatchObject({ arch: 'arm64', image: 'mobile' })
    expect((await run(deployed, 'tornade', 'arm64', 'image:mobile')).stdout).toMatch(/^ *image +mobile$/m)
  })

  test('that is not there for the architecture is a problem', async () => {
    const { code, answer } = await json(deployed, 'tornade/image:mobile')
    expect(code).toBe(1)
    expect(answer.problems).toMatchObject([{ label: 'image:mobile', suggestion: null }])
  })
})

describe('labels that cannot be served', () => {
  test('build on Fargate with an image of tornade.yml, which has no builder beside it', async () => {
    const { code, answer } = await json(deployed, 'tornade', 'arm64', 'build', 'image:mobile')
    expect(code).toBe(1)
    expect(answer.problems).toMatchObject([{ label: 'image:mobile', suggestion: 'codebuild' }])
  })

  test('--json has every problem with its label, message and suggestion', async () => {
    const { code, answer } = await json(empty, 'tornade', '5cpu', 'amr64')
    expect(code).toBe(1)
    expect(answer).toEqual({
      ok: false,
      problems: [
        { label: '5cpu', message: 'Fargate has 4 or 8 vCPU.', suggestion: '8cpu' },
        { label: 'amr64', message: 'There is no such label; did you mean `arm64`?', suggestion: 'arm64' },
      ],
    })
  })

  test('people see the label, the reason and what to use, on stdout', async () => {
    const { code, stdout, stderr } = await run(empty, 'tornade', '5cpu', 'zzz')
    expect([code, stderr]).toEqual([1, ''])
    expect(stdout).toBe(`tornade 5cpu zzz

This cannot be served: 2 problems.

  5cpu
    Fargate has 4 or 8 vCPU.
    use 8cpu

  zzz
    There is no such label: leave it out.
`)
  })

  test.each([
    [['[tornade, arm64, spot]']],
    [['[tornade,', 'arm64,', 'spot]']],
    [['runs-on:', '[tornade,', '"arm64",', "'spot'", ']']],
    [['runs-on: [tornade, arm64, spot]']],
    [['runs-on:', 'tornade/arm64/spot']],
  ])('what was copied from a workflow is read as it is there: %j', async labels => {
    const { code, answer } = await json(empty, ...labels)
    expect(code).toBe(0)
    expect(answer).toMatchObject({ spec: { arch: 'arm64', capacity: 'spot' } })
  })

  test.each([[['tornade arm64']], [['tornade, arm64']], [['tornade,', 'arm64']], [['tornade,arm64']]])(
    'commas and spaces part no labels, and %j is told so',
    async labels => {
      const { code, answer } = await json(empty, ...labels)
      expect(code).toBe(1)
      expect(answer.problems).toEqual([
        {
          label: labels.join(', '),
          message: expect.stringContaining('Write each label as an argument of its own'),
          suggestion: 'tornade/arm64',
        },
      ])
    },
  )

  test('a set without the marker is not for tornade', async () => {
    const { code, answer } = await json(empty, 'ubuntu-latest')
    expect(code).toBe(1)
    expect(answer.problems).toEqual([
      { label: 'ubuntu-latest', message: expect.stringContaining('`tornade`'), suggestion: 'tornade' },
    ])
  })
})

describe('limits', () => {
  test('of tornade.yml are problems', async () => {
    const { code, answer } = await json(deployed, 'tornade', '32cpu')
    expect(code).toBe(1)
    expect(answer.problems).toEqual([
      {
        label: '32cpu',
        message: expect.stringContaining('`limits.cpu` in tornade.yml'),
        suggestion: '16cpu',
      },
    ])
  })

  test('that nobody has set yet are notes', async () => {
    const { code, answer } = await json(empty, 'tornade', '32cpu')
    expect(code).toBe(0)
    expect(answer.spec.cpu).toBe(32)
    expect(answer.notes).toEqual([expect.stringContaining('`limits.cpu` in tornade.yml')])
  })
})

describe('--repo', () => {
  test('says whether the repository may use the role', async () => {
    expect((await json(deployed, 'tornade/role:deploy', '--repo', 'Acme/App')).code).toBe(0)
    const { code, answer } = await json(deployed, 'tornade/role:deploy', '--repo', 'acme/lib')
    expect(code).toBe(1)
    expect(answer.problems).toEqual([
      {
        label: 'role:deploy',
        message: 'acme/lib is not among `roles.deploy.repositories` in tornade.yml.',
        suggestion: null,
      },
    ])
  })

  test('says so beside other problems', async () => {
    const { answer } = await json(deployed, 'tornade', '5cpu', 'role:deploy', '--repo', 'acme/lib')
    expect(answer.problems.map((problem: { label: string }) => problem.label)).toEqual([
      '5cpu',
      'role:deploy',
    ])
  })

  test('says nothing where no role is asked for', async () => {
    expect((await json(deployed, 'tornade', '--repo', 'acme/lib')).code).toBe(0)
  })
})

describe('unusable input', () => {
  test.each([
    [[]],
    [['--json']],
    [['tornade', '--colour']],
    [['tornade', '--region']],
    [['tornade', '--region', 'Mars']],
    [['tornade', '--repo', 'acme']],
  ])('%j: usage on stderr, nothing on stdout', async argv => {
    const { code, stdout, stderr } = await run(empty, ...argv)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: tornade explain')
  })

  test('a tornade.yml with faults: all of them on stderr', async () => {
    const { code, stdout, stderr } = await run(deployed, 'tornade', '--config', 'broken.yml')
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/region/)
    expect(stderr).toMatch(/foo: unknown key/)
  })

  test('a file that is not there', async () => {
    const { code, stdout, stderr } = await run(empty, 'tornade', '--config', 'other.yml')
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('other.yml')
  })

  test('--help is no fault', async () => {
    expect(await run(empty, '--help')).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('Usage'),
    })
  })
})

test('whatever the labels, the answer fits 80 columns and holds no control characters', async () => {
  const label = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 90, maxLength: 300 }))
  await fc.assert(
    fc.asyncProperty(fc.array(label), async labels => {
      const { stdout, stderr } = await run(empty, '--', 'tornade', ...labels)
      expect(stderr).toBe('')
      for (const line of stdout.split('\n')) {
        expect([...line].length).toBeLessThanOrEqual(80)
        expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
      }
    }),
  )
})
