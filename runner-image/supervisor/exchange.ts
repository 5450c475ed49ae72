/**
 * The folder shared with the image builder beside this runner (builder-image/watch). What the builder may have is decided with
 * the verdict, and it has obeyed before anything opens to the job: it knows the credentials of the task too, and root in the
 * job could write whatever stands here.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Building } from './policy.ts'
import type { User } from './processes.ts'

/** Well below the silence after which the builder takes the runner for gone. */
const HEARTBEAT_MS = 5_000
const LOOK_MS = 50

/** Before the listener starts, so that nobody else has been in it. */
export function closeExchange(folder: string): void {
  if (process.getuid!() === 0) chownSync(folder, 0, 0)
  chmodSync(folder, 0o700)
  let beat = 0
  const tell = () => put(join(folder, 'heartbeat'), String(++beat))
  tell()
  setInterval(tell, HEARTBEAT_MS).unref()
}

/** @throws Error when the builder does not obey in time: then nothing may open */
export async function openExchange(
  folder: string,
  building: Building,
  { uid, gid }: User,
  waitMs: number,
): Promise<void> {
  put(join(folder, 'verdict'), building)
  const obeyed = join(folder, 'obeyed')
  for (const end = Date.now() + waitMs; !existsSync(obeyed); await sleep(LOOK_MS))
    if (Date.now() > end) throw new Error('the image builder beside this runner does not answer')
  if (readFileSync(obeyed, 'utf8').trim() !== building)
    throw new Error('the image builder beside this runner took another verdict')
  if (building === 'closed') return
  // The job may come and go here; verdict and heartbeat stay root's.
  const builds = join(folder, 'builds')
  mkdirSync(builds, { mode: 0o700 })
  if (process.getuid!() === 0) chownSync(builds, uid, gid)
  chmodSync(folder, 0o711)
}

function put(path: string, text: string): void {
  writeFileSync(`${path}.part`, `${text}\n`)
  renameSync(`${path}.part`, path)
}
