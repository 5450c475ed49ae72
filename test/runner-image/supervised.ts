/** Starts the entrypoint of the runner image as the image does, with a stand-in for the runner program. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Policy } from '../../runner-image/supervisor/policy.ts'
import { descendantsOf, isUsers, listProcesses, signal } from '../../runner-image/supervisor/processes.ts'
import { type FakeAws, startFakeAws } from './fake-aws.ts'

/** What the stand-ins do. */
export interface Scenario {
  /** Folder for what they saw. */
  readonly folder: string
  /** Exit codes of the first starts of the listener. */
  readonly listenerExits?: readonly number[]
  /** No job without it. */
  readonly jobAfterMs?: number
  /** The listener ignores signals. */
  readonly deaf?: boolean
  readonly hook?: 'debugged' | 'skipped' | 'forged' | 'cancelled'
  readonly forged?: Readonly<Record<string, string>>
  /** GITHUB_* variables of the job. */
  readonly handed?: Readonly<Record<string, string>>
  readonly payload?: unknown
  /** Script of the first step. */
  readonly step?: string
}

export const IS_ROOT = process.getuid!() === 0
const IMAGE = join(import.meta.dirname, '..', '..', 'runner-image')
/** The default set of Docker, and so of Fargate. https://docs.docker.com/engine/security/#linux-kernel-capabilities */
const CAPABILITIES =
  'chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap'

export const REPOSITORY = 1296269
/** A push to the protected default branch. */
export const PUSH = {
  GITHUB_REPOSITORY_ID: String(REPOSITORY),
  GITHUB_REPOSITORY: 'acme/app',
  GITHUB_EVENT_NAME: 'push',
  GITHUB_REF: 'refs/heads/main',
  GITHUB_REF_PROTECTED: 'true',
}
export const PAYLOAD = { repository: { default_branch: 'main' } }
export const POLICY: Policy = {
  repositories: [REPOSITORY],
  forks: false,
  role: { name: 'deploy', repositories: [REPOSITORY], refs: [], events: [], protected: true },
}
/** What GitHub sends, with a canary in each part. */
export const JIT_CONFIG = encode({
  '.runner': encode({ AgentId: '1', AgentName: 'canary-agent', DisableUpdate: 'False', Ephemeral: 'True' }),
  '.credentials': encode({ Scheme: 'OAuth', Data: { clientId: 'canary-client' } }),
  '.credentials_rsaparams': encode({ d: 'canary-private-key' }),
})

export function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}

export interface Supervised {
  readonly process: ChildProcess
  readonly aws: FakeAws
  readonly folder: string
  readonly uid: number
  /** Standard output and error so far. */
  output(): string
  /** The lines of the log. */
  log(): { message: string; [field: string]: unknown }[]
  /** What a stand-in wrote; undefined while it has not. */
  read(name: string): unknown
  exit(): Promise<{ code: number | null; milliseconds: number }>
  until(what: () => unknown): Promise<void>
}

/** Writes the stand-ins where the programs of actions/runner are. */
export function writeRunner(folder: string, node: string): void {
  mkdirSync(join(folder, 'bin'), { recursive: true })
  for (const [name, source] of [
    ['Listener', 'listener'],
    ['Worker', 'worker'],
  ] as const) {
    const text = readFileSync(join(import.meta.dirname, 'stand-in', `${source}.ts`), 'utf8')
    const program = join(folder, 'bin', `Runner.${name}`)
    writeFileSync(join(folder, 'bin', `${source}.mjs`), stripTypeScriptTypes(text))
    writeFileSync(program, `#!${node}\nimport('./${source}.mjs')\n`, { mode: 0o755 })
  }
}

/** What the kernel says from now on that was used below `folder`, which a supervisor was started for. */
export function useUp(
  folder: string,
  { cpuSeconds, memoryMiB }: { readonly cpuSeconds: number; readonly memoryMiB: number },
): void {
  const files = {
    'cpu.stat': `usage_usec ${cpuSeconds * 1e6}\n`,
    'memory.stat': 'inactive_file 0\n',
    'memory.current': `${memoryMiB * 1024 * 1024}\n`,
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'cgroup', name), text)
}

let count = 0
const cleanups: (() => unknown)[] = []

export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0)) await cleanup()
}

export async function supervise({
  scenario = {},
  policy = POLICY,
  ticket = JIT_CONFIG,
  environment = {},
  aws: shared,
  prepare,
}: {
  scenario?: Omit<Scenario, 'folder'>
  policy?: Policy
  ticket?: string | null
  environment?: Readonly<Record<string, string | undefined>>
  aws?: FakeAws
  prepare?: (folder: string) => void
} = {}): Promise<Supervised> {
  const number = ++count
  const aws = shared ?? (await startFakeAws(`${process.pid}x${number}`))
  if (ticket !== null) aws.put(ticket)
  // A user of its own for every run: the guard kills all that belongs to it.
  const uid = IS_ROOT ? randomInt(200_000, 2_000_000_000) : process.getuid!()
  const folder = mkdtempSync(join(tmpdir(), 'tornade-runner-'))
  chmodSync(folder, 0o755)
  const runner = join(folder, 'runner')
  const notes = join(folder, 'notes')
  for (const path of [notes, join(folder, 'home')]) mkdirSync(path, { recursive: true })
  // The kernel ends the path of an interpreter at a space, and there may be one on the way to a clone.
  const node = join(folder, 'node')
  symlinkSync(process.execPath, node)
  writeRunner(runner, node)
  writeFileSync(join(folder, 'scenario.json'), JSON.stringify({ ...scenario, folder: notes }))
  if (IS_ROOT) for (const path of [notes, join(folder, 'home')]) chownSync(path, uid, uid)
  // A copy below the folder: where the sources lie need not be open to the job's user.
  cpSync(join(IMAGE, 'hooks'), join(folder, 'hooks'), { recursive: true })
  mkdirSync(join(folder, 'cgroup'))
  useUp(folder, { cpuSeconds: 100, memoryMiB: 64 })
  prepare?.(folder)

  const entrypoint = join(IMAGE, 'entrypoint')
  const [program, ...options] = IS_ROOT
    ? [
        'setpriv',
        '--inh-caps=-all',
        `--bounding-set=-all,${CAPABILITIES.replace(/^|,/g, ',+').slice(1)}`,
        entrypoint,
      ]
    : [entrypoint]
  const child = spawn(program!, options, {
    env: {
      PATH: process.env.PATH,
      TORNADE_NODE: process.execPath,
      TORNADE_INIT: init(folder),
      TORNADE_RUNNER: `tornade-1-1-${number}`,
      TORNADE_COMPUTE: 'fargate',
      TORNADE_POLICY: JSON.stringify(policy),
      TORNADE_USER_ID: String(uid),
      TORNADE_GROUP_ID: String(uid),
      TORNADE_HOME: join(folder, 'home'),
      TORNADE_RUNNER_FOLDER: runner,
      TORNADE_HOOKS_FOLDER: join(folder, 'hooks'),
      TORNADE_RUN_FOLDER: join(folder, 'run'),
      TORNADE_SUDOERS: join(folder, 'sudoers'),
      TORNADE_DOCKER_SOCKET: join(folder, 'docker.sock'),
      TORNADE_CGROUP_FOLDER: join(folder, 'cgroup'),
      TORNADE_EXPLAIN_SECONDS: '0.15',
      TORNADE_TICKET_SECONDS: '5',
      STAND_IN: join(folder, 'scenario.json'),
      ...aws.environment,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', data => (output += data))
  const start = performance.now()
  let state = 'runs'
  const exit = new Promise<{ code: number | null; milliseconds: number }>(resolve =>
    child.on('close', (code, signal) => {
      state = `ended with ${signal ?? code}`
      resolve({ code, milliseconds: performance.now() - start })
    }),
  )
  cleanups.push(async () => {
    const all = listProcesses()
    const own = descendantsOf(child.pid!, all)
    const left = [...own, ...(IS_ROOT ? all.filter(({ pid }) => isUsers(pid, uid)) : [])]
    for (const { pid } of left) signal(pid, 'SIGKILL')
    child.kill('SIGKILL')
    await exit
    rmSync(folder, { recursive: true, force: true })
    if (!shared) await aws.close()
  })
  return {
    process: child,
    aws,
    folder,
    uid,
    output: () => output,
    log: () =>
      output
        .split('\n')
        .filter(line => line.startsWith('{'))
        .map(line => JSON.parse(line)),
    read: name => {
      const path = join(notes, name)
      if (!existsSync(path)) return undefined
      const text = readFileSync(path, 'utf8')
      // That a step ran shows in its file being there at all.
      if (name === 'job-log' || name === 'always') return text
      // Opened for writing, and not written yet.
      return text === '' ? undefined : JSON.parse(text)
    },
    exit: () => exit,
    until: async what => {
      for (const end = Date.now() + 40_000; !what(); ) {
        if (Date.now() > end) throw new Error(`did not happen; it ${state}; output:\n${output}`)
        await new Promise(resolve => setTimeout(resolve, 15))
      }
    },
  }
}

/** tini where there is one, else a shell that runs what tini would. */
function init(folder: string): string {
  if (spawnSync('tini', ['--version']).status === 0) return 'tini'
  const path = join(folder, 'init')
  writeFileSync(path, '#!/bin/sh\nshift 2\nexec "$@"\n', { mode: 0o755 })
  return path
}
