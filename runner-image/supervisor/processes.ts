/** The process table, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Process {
  readonly pid: number
  readonly parent: number
}

export interface User {
  readonly uid: number
  readonly gid: number
}

export function listProcesses(): Process[] {
  const processes: Process[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const stat = Number.isInteger(pid) ? read(`/proc/${pid}/stat`) : ''
    // "pid (name) state parent …", and the name may hold anything. A zombie has ended.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (parent && state !== 'Z' && state !== 'X') processes.push({ pid, parent: Number(parent) })
  }
  return processes
}

export function childrenOf(pid: number, processes: readonly Process[]): Process[] {
  return processes.filter(({ parent }) => parent === pid)
}

export function descendantsOf(pid: number, processes: readonly Process[]): Process[] {
  return childrenOf(pid, processes).flatMap(child => [child, ...descendantsOf(child.pid, processes)])
}

export function argumentsOf(pid: number): string[] {
  return read(`/proc/${pid}/cmdline`).split('\0')
}

export function isUsers(pid: number, uid: number): boolean {
  return Number(/^Uid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? -1) === uid
}

/** The environment that a process was started with, as the kernel keeps it. */
export function environmentOf(pid: number, user: User): Record<string, string> {
  const entries = as(user, () => readFileSync(`/proc/${pid}/environ`, 'utf8'))
    .split('\0')
    .filter(entry => entry.includes('='))
    .map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)])
  return Object.fromEntries(entries)
}

/**
 * Does something, quick and synchronous, with the file rights of another user. Root in a container has no
 * CAP_SYS_PTRACE, without which only the same user may read /proc/PID/environ, and what lies in a folder of the job's
 * user must not be followed with root's rights. The real and saved ids stay root's, so the other user can neither
 * signal nor trace this process meanwhile. https://man7.org/linux/man-pages/man2/ptrace.2.html, "access mode checking"
 */
export function as<T>({ uid, gid }: User, work: () => T): T {
  if (process.getuid!() !== 0 || uid === 0) return work()
  process.setegid!(gid)
  try {
    process.seteuid!(uid)
    return work()
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
}

/** True when a process of the user accepts TCP connections. */
export function listens(uid: number): boolean {
  const LISTEN = '0A'
  return ['/proc/net/tcp', '/proc/net/tcp6'].some(path =>
    read(path)
      .split('\n')
      .slice(1)
      .map(line => line.trim().split(/\s+/))
      .some(([, , , state, , , , owner]) => state === LISTEN && Number(owner) === uid),
  )
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended.
  }
}

/** Kills a process with all that it started, then all else that belongs to the user, except `spared`. */
export function killTree(root: number, uid: number, spared: number): void {
  if (root <= 1) throw new RangeError(`process ${root} is nobody's job`)
  // The root first: what is left cannot start anything in its name.
  const first = [root, ...descendantsOf(root, listProcesses()).map(({ pid }) => pid)]
  for (const pid of first) signal(pid, 'SIGKILL')
  // Where the user is not the job's alone (a test without root), others' processes are not ours to kill.
  if (uid === process.getuid!()) return
  for (let round = 0; round < 100; round++) {
    const left = listProcesses().filter(({ pid }) => pid !== spared && isUsers(pid, uid))
    if (left.length === 0) return
    for (const { pid } of left) signal(pid, 'SIGKILL')
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
