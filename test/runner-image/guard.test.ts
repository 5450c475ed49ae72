/**
 * The guard, with whole processes: what a job gets that may use the role, what one finds that may not, and that no step
 * of a refused job ever runs. They need root: the job is another user, and so is what it must not read.
 */
import { spawn } from 'node:child_process'
import {
  chownSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { descendantsOf, listProcesses, signal } from '../../runner-image/supervisor/processes.ts'
import {
  cleanUp,
  IS_ROOT,
  PAYLOAD,
  POLICY,
  PUSH,
  REPOSITORY,
  type Supervised,
  supervise,
} from './supervised.ts'

afterAll(cleanUp)

if (!IS_ROOT) process.stdout.write('runner-image/guard.test.ts is skipped: it needs root and a second user\n')

const JOB = { jobAfterMs: 0, handed: PUSH, payload: PAYLOAD }
/** Looks for credentials as a job would, leaves what it found, and waits until the test has looked as root. */
const SEARCH = `
env >"$NOTES/environment"
cat /proc/[0-9]*/environ >"$NOTES/environments" 2>/dev/null || :
cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >"$NOTES/arguments" 2>/dev/null || :
: >"$NOTES/searched"
until [ -e "$NOTES/go-on" ]; do sleep 0.02; done
`
const PULL_REQUEST = {
  ...PUSH,
  GITHUB_EVENT_NAME: 'pull_request',
  GITHUB_REF: 'refs/pull/7/merge',
  GITHUB_HEAD_REF: 'main',
}
const FORK = { ...PAYLOAD, pull_request: { head: { repo: { id: 666 } } } }
const OWN = { ...PAYLOAD, pull_request: { head: { repo: { id: REPOSITORY } } } }

function textOf(run: Supervised, name: string): string {
  const path = join(run.folder, 'notes', name)
  return existsSync(path) ? readFileSync(path, 'latin1') : ''
}

async function searched(run: Supervised): Promise<void> {
  await run.until(() => existsSync(join(run.folder, 'notes', 'searched')))
}

async function goOn(run: Supervised): Promise<void> {
  writeFileSync(join(run.folder, 'notes', 'go-on'), '')
  expect((await run.exit()).code).toBe(0)
}

/** All processes from the entrypoint's downwards, as root in the job would find them. */
function tree(run: Supervised): number[] {
  return [run.process.pid!, ...descendantsOf(run.process.pid!, listProcesses()).map(({ pid }) => pid)]
}

/** What /proc shows of a process; nothing once it has ended. */
function shown(pid: number, name: 'environ' | 'cmdline' | 'maps'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return ''
  }
}

const PAGE = 4096

/** True when a process has the text in its memory: in any writable page that is there. */
function remembers(pid: number, text: string): boolean {
  const [pages, memory] = [openSync(`/proc/${pid}/pagemap`, 'r'), openSync(`/proc/${pid}/mem`, 'r')]
  try {
    return [...shown(pid, 'maps').matchAll(/^(\w+)-(\w+) rw/gm)].some(([, from, to]) => {
      const start = Number.parseInt(from!, 16)
      const map = new BigUint64Array((Number.parseInt(to!, 16) - start) / PAGE)
      readSync(pages, map, 0, map.byteLength, (start / PAGE) * 8)
      for (let first = 0; first < map.length; first++) {
        let end = first
        // The highest bit: the page is present.
        while (end < map.length && map[end]! >> 63n) end++
        if (end === first) continue
        const bytes = Buffer.allocUnsafe((end - first) * PAGE)
        if (readSync(memory, bytes, 0, bytes.length, start + first * PAGE) && bytes.includes(text))
          return true
        first = end
      }
      return false
    })
  } finally {
    closeSync(pages)
    closeSync(memory)
  }
}

function expectKilled(run: Supervised, code: number | null, reason: string): void {
  expect(code).toBe(7)
  expect(run.log()).toContainEqual(
    expect.objectContaining({ message: 'job killed', reason: expect.stringContaining(reason) }),
  )
  // The listener lived to report it.
  expect(run.read('result')).toEqual({ result: 'failed', code: null, signal: 'SIGKILL' })
  expect(run.read('always')).toBeUndefined()
  expect(textOf(run, 'environment')).toBe('')
  expect(existsSync(join(run.folder, 'sudoers'))).toBe(false)
  expect(textOf(run, 'job-log')).not.toContain('add-mask')
}

describe.skipIf(!IS_ROOT).concurrent('the guard', { timeout: 120_000 }, () => {
  it('releases the credentials to a job that may use the role, and to nothing else', async () => {
    const run = await supervise({ scenario: { ...JOB, step: SEARCH } })
    await searched(run)
    const { path, token, keys } = run.aws.canaries
    const environment = textOf(run, 'environment')
    expect(environment).toContain(`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=${path}\n`)
    expect(environment).toContain(`AWS_CONTAINER_AUTHORIZATION_TOKEN=${token}\n`)
    expect(environment).toContain('AWS_REGION=eu-west-1\n')
    expect(environment).not.toContain('canary-metadata')
    for (const key of keys) expect(environment).not.toContain(key)
    const knowing = tree(run).filter(pid => shown(pid, 'environ').includes(path))
    const names = new Set(knowing.map(pid => shown(pid, 'cmdline').split('\0')[0]))
    expect([...names].filter(name => !['bash', 'sleep', ''].includes(name!))).toEqual([])
    expect(names).toContain('bash')
    // Nor does the job see the JIT config, as a whole or in parts.
    const { jitConfig } = run.read('listener-1') as { jitConfig: string }
    for (const name of ['environment', 'arguments', 'job-log']) {
      expect(textOf(run, name)).not.toContain(jitConfig)
      expect(textOf(run, name)).not.toMatch(/canary-(agent|client|private-key)/)
    }
    // Masked before the first line that could show it.
    const log = textOf(run, 'job-log')
    expect(log.startsWith(`::add-mask::${path}\n::add-mask::${token}\n`)).toBe(true)
    expect(log).toContain('tornade: The job has the role deploy.')
    expect(readFileSync(join(run.folder, 'sudoers'), 'utf8')).toBe(
      `#${run.uid} ALL=(ALL:ALL) NOPASSWD: ALL\n`,
    )
    await goOn(run)
    expect(run.read('result')).toMatchObject({ result: 'succeeded' })
    expect(run.output()).not.toContain('canary')
    expect(run.output()).not.toContain(jitConfig.slice(0, 40))
  })

  it.each([
    ['no role was asked for', { ...POLICY, role: null }, JOB, 'tornade: The job runs without a role'],
    [
      'its ref may not use the role',
      POLICY,
      { ...JOB, handed: { ...PUSH, GITHUB_REF: 'refs/heads/wip' } },
      '::notice title=tornade::The job runs without the role deploy: it is for refs/heads/main, and this is refs/heads/wip.',
    ],
    [
      'forks may run',
      { ...POLICY, forks: true },
      { ...JOB, handed: PULL_REQUEST, payload: FORK },
      '::notice',
    ],
  ])('runs a job without any credentials to be found when %s', async (_, policy, scenario, line) => {
    const run = await supervise({ policy, scenario: { ...scenario, step: SEARCH } })
    await searched(run)
    const { path, token, keys } = run.aws.canaries
    for (const name of ['environment', 'environments', 'arguments', 'job-log']) {
      const text = textOf(run, name)
      expect(text).not.toBe('')
      for (const secret of [path, token, ...keys, `canary-metadata`])
        expect(text.includes(secret)).toBe(false)
    }
    // Nor would root find any: in the environments, the arguments and the memory of what runs.
    const pids = tree(run)
    expect(pids.length).toBeGreaterThan(4)
    for (const pid of pids) {
      const text = shown(pid, 'environ') + shown(pid, 'cmdline')
      expect(text).not.toMatch(/canary-(address|authorization|secret|session|metadata)/)
    }
    // The step runs nothing with a memory of its own: what is left are the init, the supervisor, listener and worker.
    const lasting = pids.filter(pid => /tini|init|supervisor|Runner/.test(shown(pid, 'cmdline')))
    expect(lasting).toHaveLength(4)
    for (const pid of lasting) expect(remembers(pid, path), shown(pid, 'cmdline')).toBe(false)
    expect(remembers(lasting[1]!, 'guard.sock')).toBe(true)
    expect(textOf(run, 'job-log')).toContain(line)
    await goOn(run)
    expect(run.output()).not.toContain('canary')
  })

  it.each([
    ['a fork', { ...JOB, handed: PULL_REQUEST, payload: FORK }, 'Jobs of forks are not allowed'],
    [
      'a fork that is gone',
      { ...JOB, handed: PULL_REQUEST, payload: { pull_request: { head: { repo: null } } } },
      'forks',
    ],
    [
      'another repository',
      { ...JOB, handed: { ...PUSH, GITHUB_REPOSITORY_ID: '2' } },
      'not started for this repository',
    ],
    ['nothing at all', { ...JOB, handed: {} }, 'not started for this repository'],
  ])('kills the job of %s, with the reason in its log', async (_, scenario, reason) => {
    const run = await supervise({ scenario: { ...scenario, step: SEARCH } })
    expectKilled(run, (await run.exit()).code, reason)
    expect(textOf(run, 'job-log')).toContain('::error title=tornade::')
  })

  it('kills a job whose hook crashes', async () => {
    const run = await supervise({ scenario: JOB, prepare: withHook('echo yes >"$NOTES/hook"; sleep 30') })
    await run.until(() => textOf(run, 'hook'))
    const worker = run.read('worker') as number
    // It waits: it could not go on to a step if it wanted to.
    await run.until(() => / T /.test(readFileSync(`/proc/${worker}/stat`, 'utf8')))
    for (const { pid } of descendantsOf(worker, listProcesses())) signal(pid, 'SIGKILL')
    expectKilled(run, (await run.exit()).code, 'the hook ended before the verdict')
  })

  it('kills a job whose hook is silent', async () => {
    const run = await supervise({
      scenario: JOB,
      environment: { TORNADE_VERDICT_SECONDS: '0.3' },
      prepare: withHook('sleep 30'),
    })
    const { code, milliseconds } = await run.exit()
    expectKilled(run, code, 'there was no verdict in time')
    expect(milliseconds).toBeLessThan(15_000)
  })

  it('kills a job whose steps start without the hook', async () => {
    const run = await supervise({ scenario: { ...JOB, hook: 'skipped', step: 'sleep 5' } })
    expectKilled(run, (await run.exit()).code, 'a step was started before the verdict')
  })

  it('kills a job that opens a port before the verdict, as the debugger does', async () => {
    const run = await supervise({ scenario: { ...JOB, hook: 'debugged' } })
    expectKilled(run, (await run.exit()).code, 'a port was opened')
  })

  it('kills a job when something else asks for the verdict', async () => {
    const run = await supervise({
      scenario: { ...JOB, hook: 'forged', handed: PULL_REQUEST, payload: FORK, forged: PUSH },
    })
    expectKilled(run, (await run.exit()).code, 'something that is not the hook')
  })

  it('kills a job that has no verdict yet when it is told to stop', async () => {
    const run = await supervise({ scenario: JOB, prepare: withHook('sleep 30') })
    await run.until(() => run.log().some(({ message }) => message === 'a job has come'))
    run.process.kill('SIGTERM')
    expect((await run.exit()).code).toBe(143)
    expect(run.read('always')).toBeUndefined()
  })

  it('keeps the hook waiting through a cancel', async () => {
    const run = await supervise({
      scenario: { ...JOB, handed: PULL_REQUEST, payload: FORK, hook: 'cancelled' },
      environment: { TORNADE_EXPLAIN_SECONDS: '0.6' },
    })
    expectKilled(run, (await run.exit()).code, 'Jobs of forks are not allowed')
  })

  it('kills a job that may not use the role on CodeBuild, where root would find it', async () => {
    const run = await supervise({
      scenario: { ...JOB, handed: { ...PUSH, GITHUB_REF: 'refs/heads/wip' } },
      environment: { TORNADE_COMPUTE: 'codebuild' },
    })
    expectKilled(run, (await run.exit()).code, 'The job may not use the role deploy')
  })

  it('opens the Docker socket only with the verdict', async () => {
    const run = await supervise({
      scenario: { ...JOB, jobAfterMs: 400, step: SEARCH },
      environment: { TORNADE_COMPUTE: 'codebuild' },
      prepare: folder => writeFileSync(join(folder, 'docker.sock'), '', { mode: 0o666 }),
    })
    const socket = join(run.folder, 'docker.sock')
    await run.until(() => run.read('listener-1'))
    expect(rights(socket)).toEqual([0, 0, '700'])
    await searched(run)
    expect(rights(socket)).toEqual([0, run.uid, '660'])
    await goOn(run)
  })

  const rights = (path: string) => {
    const { uid, gid, mode } = statSync(path)
    return [uid, gid, (mode & 0o777).toString(8)]
  }

  describe('beside an image builder', () => {
    const WATCH = join(import.meta.dirname, '..', '..', 'builder-image', 'watch')

    /** A runner whose builder is the real watcher, or nothing. */
    async function besideBuilder(scenario: Parameters<typeof supervise>[0], builder: string | null = WATCH) {
      const exchange = mkdtempSync(join(tmpdir(), 'tornade-exchange-'))
      const own = mkdtempSync(join(tmpdir(), 'tornade-kaniko-'))
      const watcher = spawn('sh', builder ? [builder] : ['-c', ':'], {
        env: {
          PATH: process.env.PATH,
          TORNADE_EXCHANGE_FOLDER: exchange,
          TORNADE_KANIKO_FOLDER: own,
          TORNADE_SHELL: 'sh',
          TORNADE_INIT: '',
          TORNADE_WATCH_SECONDS: '0.05',
          AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/canary-builder',
          ECS_AGENT_URI: 'http://169.254.170.2/api/canary-builder',
        },
        stdio: 'ignore',
      })
      onTestFinished(() => {
        watcher.kill('SIGTERM')
        for (const folder of [exchange, own]) rmSync(folder, { recursive: true, force: true })
      })
      const run = await supervise({
        ...scenario,
        environment: { TORNADE_EXCHANGE_FOLDER: exchange, TORNADE_BUILDER_SECONDS: '2' },
      })
      const read = (name: string) => {
        const path = join(exchange, name)
        return existsSync(path) ? readFileSync(path, 'utf8').trim() : null
      }
      return { run, exchange, watcher, read }
    }

    it.each([
      ['a job with a role has a builder with that role', POLICY, PUSH, 'role', true],
      ['a job that asked for none has one without', { ...POLICY, role: null }, PUSH, 'plain', false],
    ])('%s', async (_, policy, handed, verdict, knows) => {
      const { run, exchange, watcher, read } = await besideBuilder({
        policy,
        scenario: { ...JOB, jobAfterMs: 400, handed, step: SEARCH },
      })
      await run.until(() => run.read('listener-1'))
      expect(rights(exchange)).toEqual([0, 0, '700'])
      expect([read('verdict'), existsSync(join(exchange, 'builds'))]).toEqual([null, false])
      await searched(run)
      expect([read('obeyed'), rights(exchange), rights(join(exchange, 'builds'))]).toEqual([
        verdict,
        [0, 0, '711'],
        [run.uid, run.uid, '700'],
      ])
      const environment = readFileSync(`/proc/${watcher.pid}/environ`, 'utf8')
      expect([environment.includes('RELATIVE_URI'), environment.includes('ECS_AGENT_URI')]).toEqual([
        knows,
        false,
      ])
      await goOn(run)
    })

    it.each([
      ['whose role was refused', POLICY, { handed: { ...PUSH, GITHUB_REF: 'refs/heads/wip' } }],
      [
        'of a fork',
        { ...POLICY, role: null, forks: true },
        {
          handed: { ...PUSH, GITHUB_EVENT_NAME: 'pull_request' },
          payload: { pull_request: { head: { repo: { id: 666 } } } },
        },
      ],
    ])('a job %s has none: it has ended before anything opened', async (_, policy, more) => {
      const { run, exchange, watcher, read } = await besideBuilder({
        policy,
        scenario: { ...JOB, ...more, step: SEARCH },
      })
      await searched(run)
      expect([watcher.exitCode, read('obeyed'), rights(exchange)]).toEqual([0, 'closed', [0, 0, '700']])
      await goOn(run)
    })

    it('kills the job when the builder does not obey', async () => {
      const { run } = await besideBuilder({ scenario: { ...JOB, step: SEARCH } }, null)
      expectKilled(run, (await run.exit()).code, 'the image builder beside this runner does not answer')
      expect(existsSync(join(run.folder, 'sudoers'))).toBe(false)
    })
  })

  it('gives a socket to the hook that the job can neither move nor replace', async () => {
    const run = await supervise({
      scenario: { ...JOB, step: `: >"$(dirname "$TORNADE_GUARD_SOCKET")/x" || ${SEARCH}` },
    })
    await searched(run)
    expect(statSync(join(run.folder, 'run'))).toMatchObject({ uid: 0, gid: run.uid })
    expect(statSync(join(run.folder, 'run')).mode & 0o777).toBe(0o750)
    expect(existsSync(join(run.folder, 'run', 'x'))).toBe(false)
    await goOn(run)
  })

  it('lets a pull request of the repository itself run', async () => {
    const run = await supervise({ scenario: { ...JOB, handed: PULL_REQUEST, payload: OWN } })
    expect((await run.exit()).code).toBe(0)
    expect(run.read('always')).toBe('yes\n')
  })

  it('does not follow a payload with rights of root', async () => {
    const run = await supervise({
      scenario: { ...JOB, handed: { ...PULL_REQUEST, GITHUB_EVENT_PATH: '/etc/shadow' } },
    })
    expectKilled(run, (await run.exit()).code, 'Jobs of forks are not allowed')
    expect(run.log()).toContainEqual(
      expect.objectContaining({ message: 'event payload not read', reason: 'EACCES' }),
    )
  })
})

function withHook(script: string): (folder: string) => void {
  return folder => {
    const path = join(folder, 'hooks', 'job-started.sh')
    writeFileSync(path, `#!/usr/bin/env bash\n${script}\n`)
    chownSync(path, 0, 0)
  }
}
