/** `tornade whatif`: what is asked for, what recordings say, and what is printed. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { deliveriesOf, month } from '../bench/month.ts'
import { startThreads, type Threads, whatifCommand } from '../cli/whatif.ts'
import { DEFAULT_CONFIG, labelRules } from '../functions/config.ts'
import { type LabelChange, rewritten } from '../local/whatif.ts'
import { joined, packed, readBlock, readValues, unpacked } from '../local/whatif-facts.ts'

// Threads are slow to start where other tests run beside them.
vi.setConfig({ testTimeout: 120_000 })

const JOBS = month({ jobs: 120, days: 1, seed: 3 })
const DELIVERIES = [...deliveriesOf(JOBS)]
const LINES = `${DELIVERIES.map(delivery => JSON.stringify(delivery)).join('\n')}\n`

let folder: string
/** Started once: to start them takes longer than what most commands ask of them. */
let threads: Threads
beforeAll(async () => {
  threads = startThreads()
  folder = await mkdtemp(join(tmpdir(), 'whatif-'))
  await mkdir(join(folder, 'days'))
  const files = {
    'day.jsonl': LINES,
    'day.jsonl.gz': gzipSync(LINES),
    'cut.jsonl.gz': gzipSync(LINES).subarray(0, 2000),
    'day.json': JSON.stringify(DELIVERIES, null, 1),
    'days/1.jsonl': LINES.slice(0, LINES.indexOf('\n', LINES.length / 2) + 1),
    'days/2.jsonl.gz': gzipSync(LINES.slice(LINES.indexOf('\n', LINES.length / 2) + 1)),
    'torn.jsonl': `\ufeff${LINES.split('\n')[0]}\n{"half":\n[1]\n${LINES.split('\n').slice(1).join('\n')}`,
    'starts.jsonl': `${LINES.split('\n')
      .filter(line => line.includes('"action":"queued"'))
      .join('\n')}\n`,
    'ends.jsonl': `${LINES.split('\n')
      .filter(line => line.includes('"action":"completed"'))
      .join('\n')}\n`,
    'notes.txt': 'buy milk\n',
    'tornade.yml': 'limits: { runners: 7 }\n',
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content)
})
afterAll(async () => {
  await Promise.all(threads.map(thread => thread.end()))
  await rm(folder, { recursive: true })
})

describe('both worlds', () => {
  test('are the same where nothing of it matters', async () => {
    const { today, changed } = await json('day.jsonl', '--set', 'limits.disk=100gb')
    expect(changed).toEqual(today)
    expect(today.jobs.total).toBe(JOBS.length)
    const { costUsd, jobsUsd, startupUsd, idleUsd } = today.totals
    expect(costUsd).toBeGreaterThan(0)
    expect(jobsUsd + startupUsd + idleUsd).toBeCloseTo(costUsd, 6)
  })

  test('differ by what is asked for', async () => {
    const { today, changed } = await json('day.jsonl', '--set', 'capacity=spot', '--set', 'arch=arm64')
    expect(changed.totals.costUsd).toBeLessThan(today.totals.costUsd)
    expect(changed.runners.fargate).toBe(0)
    expect(changed.rewritten.jobs).toBeGreaterThan(0)
    // Spot is for Fargate: what is on CodeBuild stays there, and is said to.
    expect(Object.keys(changed.rewritten.left).join()).toContain('CodeBuild')
    expect(changed.runners.codebuild).toBeGreaterThan(0)
  })

  test('stand side by side: caps make jobs wait, and refuse them', async () => {
    const { today, changed } = await json(
      'day.jsonl',
      ...['--set', 'limits.runners=1', '--set', 'limits.perRepository=1', '--set', 'limits.cpu=2'],
    )
    expect(changed.waitingSeconds.p95).toBeGreaterThan(today.waitingSeconds.p95)
    expect(changed.refusals.labels).toBeGreaterThan(today.refusals.labels ?? 0)
    expect(changed.deferrals['total-limit']).toBeGreaterThan(today.deferrals['total-limit'])
  })

  test('rest on assumptions that can be set, and hold in both', async () => {
    const set = ['--set', 'assume.spotReclaimsPerHour=6', '--set', 'assume.startSeconds.onDemand=120']
    const { assumptions, today, changed } = await json('day.jsonl', '--set', 'capacity=spot', ...set)
    expect(assumptions).toMatchObject({ spotReclaimsPerHour: 6, startSeconds: { onDemand: 120, spot: null } })
    expect(today.waitingSeconds.p95).toBeGreaterThan(115)
    expect(changed.jobs.lostToSpot).toBeGreaterThan(0)
    expect(changed.totals.wastedUsd).toBeGreaterThan(0)
    expect(changed.jobs.total).toBeGreaterThan(JOBS.length)
  })

  test('take as long as was recorded, by the speed that is assumed', async () => {
    const runSeconds = async (...set: string[]) => {
      const { changed } = await json('day.jsonl', '--set', 'arch=arm64', ...set)
      return changed.totals.jobsUsd
    }
    const same = await runSeconds()
    const faster = await runSeconds('--set', 'assume.arm64Speed=2')
    expect(faster).toBeLessThan(same * 0.65)
  })

  test('change only the jobs that --only names; settings hold for all', async () => {
    const { today, changed } = await json(
      'day.jsonl',
      ...['--set', 'arch=arm64', '--only', `repository=${JOBS[0]!.repository.name.toUpperCase()}`],
    )
    const meant = JOBS.filter(({ repository }) => repository.name === JOBS[0]!.repository.name)
    expect(changed.rewritten.jobs).toBeGreaterThan(0)
    expect(changed.rewritten.jobs).toBeLessThanOrEqual(meant.length)
    expect(changed.totals.costUsd).toBeLessThan(today.totals.costUsd)
  })
})

describe('what is printed', () => {
  test('has at most 80 columns and says what it rests on', async () => {
    const { code, stdout, stderr } = await whatif(
      'day.jsonl',
      '--set',
      'cpu=4',
      '--set',
      'assume.cpuScaling=1',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(Math.max(...lines.map(line => [...line].length))).toBeLessThanOrEqual(80)
    expect(lines[1]!.trim().split(/\s+/)).toEqual(['today', 'changed', 'difference'])
    for (const words of [
      'cost, $',
      'waiting, s',
      'had to wait: total-limit',
      'Assumed:',
      'assume.arm64Speed',
    ])
      expect(stdout).toContain(words)
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('The length of every job was recorded.')
  })

  test('is the help where that is asked for', async () => {
    const { code, stdout } = await whatif('--help')
    expect(code).toBe(0)
    expect(Math.max(...stdout.split('\n').map(line => line.length))).toBeLessThanOrEqual(80)
  })

  test('does not depend on which threads play it', async () => {
    const argv = ['day.jsonl', '--set', 'cpu=4', '--json']
    expect(await alone(...argv)).toEqual(await whatif(...argv))
  })

  test('shows how far it is to who watches', async () => {
    const { stderr, stdout } = await whatif('day.jsonl', '--set', 'cpu=4', { interactive: true })
    expect(stderr).toMatch(/\rreading \[#+\.*\] \d+ % /)
    expect(stderr.endsWith('\r\u001b[K')).toBe(true)
    expect(stdout).not.toContain('reading')
  })
})

describe('recordings', () => {
  /** The same for all forms of it. */
  let plainly: ReturnType<typeof json> | undefined
  test.each(['day.jsonl.gz', 'day.json', 'days', '-'])(
    'are read from %s as from a file of lines',
    async file => {
      plainly ??= json('day.jsonl', '--set', 'cpu=4')
      const plain = await plainly
      const { files, ...rest } = await json(file, '--set', 'cpu=4')
      expect(files).toEqual([file])
      expect(rest).toEqual({
        ...plain,
        files: undefined,
        ...rest,
        today: plain.today,
        changed: plain.changed,
      })
      expect(rest.recorded).toEqual(plain.recorded)
    },
  )

  test('with lines that are none are read without these, and the first is named', async () => {
    const { code, stdout } = await whatif('torn.jsonl', '--set', 'cpu=4')
    expect(code).toBe(2)
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('2 lines are no deliveries, the first is line 2.')
    expect(stdout).toContain(`${JOBS.length} jobs`)
  })

  test('without ends say how many jobs are assumed to last how long', async () => {
    const { stdout } = await whatif('starts.jsonl', '--set', 'cpu=4', '--set', 'assume.jobSeconds=60')
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
      `${JOBS.length} jobs have no recorded end and are taken to last 60 s (assume.jobSeconds).`,
    )
  })

  test('tell the same in any cut, packed or not', () => {
    const whole = joined([readValues(DELIVERIES)])
    expect(whole).toMatchObject({ deliveries: DELIVERIES.length, jobs: JOBS.length, withoutLength: 0 })
    for (const cut of [1, 2, 7]) {
      const lines = LINES.trimEnd().split('\n')
      const size = Math.ceil(lines.length / cut)
      const blocks = Array.from({ length: cut }, (_, index) =>
        Buffer.from(lines.slice(index * size, (index + 1) * size).join('\n')),
      )
      expect(joined(blocks.map(block => unpacked(packed(readBlock(block)))))).toEqual(whole)
    }
  })
})

describe('labels', () => {
  const config = { ...DEFAULT_CONFIG, sizes: { large: ['8cpu', '32gb', 'spot'] } }
  const rules = labelRules(config, { limits: true })
  test.each([
    [['tornade'], [['capacity', 'spot']], ['tornade', 'spot']],
    [['tornade', 'spot', 'run-7'], [['capacity', null]], ['tornade', 'run-7']],
    [
      ['tornade/arm64/spot/run-7'],
      [
        ['arch', 'x64'],
        ['cpu', '4cpu'],
      ],
      ['tornade/spot/run-7/x64/4cpu'],
    ],
    [['tornade', 'size:large'], [['capacity', null]], ['tornade', '8cpu', '32gb']],
    [['tornade', 'size:large', '16gb'], [['cpu', '4cpu']], ['tornade', 'spot', '16gb', '4cpu']],
    [['self-hosted', 'Tornade/X64'], [['arch', 'arm64']], ['self-hosted', 'Tornade/arm64']],
  ] as const)('%j with %j are %j', (labels, changes, expected) => {
    const asked = changes.map(([dimension, part]): LabelChange => ({ dimension, part }))
    expect(rewritten(labels, asked, rules)).toEqual(expected)
  })
})

describe('what is refused, with what to do', () => {
  test.each([
    [[], 'whatif needs a FILE of deliveries'],
    [['day.jsonl'], 'at least one --set KEY=VALUE'],
    [['day.jsonl', '--set', 'limits.runners'], 'write KEY=VALUE'],
    [['day.jsonl', '--set', 'limits.runers=5'], 'did you mean limits.runners?'],
    [['day.jsonl', '--set', 'monthlyUsd=5'], 'did you mean spend.monthlyUsd?'],
    [['day.jsonl', '--set', 'repositories.acme/my.app.runers=5'], 'repositories.acme/my.app.runers: '],
    [['day.jsonl', '--set', 'limits.runners=many'], 'limits.runners: '],
    [['day.jsonl', '--set', 'pools=[{'], 'the value is no YAML'],
    [['day.jsonl', '--set', 'capacity=spott'], 'Did you mean spot?'],
    [['day.jsonl', '--set', 'cpu=5'], 'Fargate has 4 or 8 vCPU. Did you mean 8cpu?'],
    [['day.jsonl', '--set', 'arch=riscv'], '--set arch=riscv'],
    [['day.jsonl', '--set', 'assume.arm64Sped=2'], 'did you mean assume.arm64Speed?'],
    [['day.jsonl', '--set', 'assume.arm64Speed=fast'], 'a number from 0.1 to 10 is needed'],
    [['day.jsonl', '--set', 'cpu=4', '--only', 'owner=acme'], 'write repository=owner/name or workflow=NAME'],
    [['gone.jsonl', '--set', 'cpu=4'], 'gone.jsonl: there is no such file'],
    [['notes.txt', '--set', 'cpu=4'], 'notes.txt: not JSON'],
    [['cut.jsonl.gz', '--set', 'cpu=4'], 'the gzip data is damaged, or ends too early'],
    [['ends.jsonl', '--set', 'cpu=4'], 'there is no queued job in it'],
    [['day.jsonl', '--set', 'cpu=4', '--config', 'none.yml'], 'none.yml cannot be read (ENOENT)'],
  ])('%j', async (argv, message) => {
    const { code, stdout, stderr } = await alone(...argv)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
  })

  test('settings of tornade.yml are those of today, and can be taken out', async () => {
    const { today, changed } = await json('day.jsonl', '--set', 'limits=null')
    expect([today, changed].map(({ deferrals }) => Object.keys(deferrals))).toEqual([expect.any(Array), []])
  })
})

// biome-ignore lint/suspicious/noExplicitAny: what is read back is what the tests hold it against
async function json(...argv: string[]): Promise<any> {
  const { code, stdout, stderr } = await whatif(...argv, '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

type Given = readonly (string | { readonly interactive: true })[]
const whatif = (...given: Given) => run(given, threads)
/** In threads of its own, as in a shell. */
const alone = (...given: Given) => run(given)

async function run(given: Given, kept?: Threads) {
  const argv = given.filter(one => typeof one === 'string')
  const output = { stdout: '', stderr: '' }
  const io = {
    stdout: (text: string) => {
      output.stdout += text
    },
    stderr: (text: string) => {
      output.stderr += text
    },
    stdin: async () => Buffer.from(LINES),
    cwd: folder,
    env: {},
    interactive: given.some(one => typeof one === 'object'),
  }
  try {
    return { code: await whatifCommand(argv, io, kept), ...output }
  } catch (error) {
    const { message, details = [] } = error as Error & { details?: readonly string[] }
    return { code: 2, ...output, stderr: [output.stderr, message, ...details].join('\n') }
  }
}
