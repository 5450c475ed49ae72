/** What the job may reach only after the verdict: sudo, the Docker socket, the folder shared with the image builder. */
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { closeExchange, openExchange } from './exchange.ts'
import type { Log } from './log.ts'
import type { Building } from './policy.ts'
import type { Settings } from './settings.ts'

type GateSettings = Pick<Settings, 'docker' | 'paths' | 'times' | 'user'>

const DOCKER_START_MS = 20_000

export function closeGates({ docker, paths }: GateSettings, log: Log): void {
  rmSync(paths.sudoers, { force: true })
  if (paths.exchange) closeExchange(paths.exchange)
  if (existsSync(paths.dockerSocket)) give(paths.dockerSocket, { uid: 0, gid: 0 }, 0o700)
  if (docker) startDocker(paths.dockerSocket, log)
}

/** @throws Error when the image builder does not obey; then nothing has opened */
export async function openGates(
  { docker, paths, times, user }: GateSettings,
  building: Building,
  log: Log,
): Promise<void> {
  // First: sudo lets the job write whatever the builder goes by.
  if (paths.exchange) await openExchange(paths.exchange, building, user, times.builder)
  if (process.getuid!() === 0) {
    writeFileSync(paths.sudoers, `#${user.uid} ALL=(ALL:ALL) NOPASSWD: ALL\n`, { mode: 0o440 })
  }
  if (docker) await appears(paths.dockerSocket)
  if (existsSync(paths.dockerSocket)) give(paths.dockerSocket, { uid: 0, gid: user.gid }, 0o660)
  else if (docker) log('error', 'the Docker daemon did not start')
}

/** Its socket belongs to root until it is opened; no TCP. */
function startDocker(socket: string, log: Log): void {
  const daemon = spawn('dockerd', [`--host=unix://${socket}`, '--group=0'], { stdio: 'ignore' })
  daemon.on('error', error => log('error', 'the Docker daemon did not start', { reason: error.message }))
  daemon.on('exit', code => log('warn', 'the Docker daemon ended', { code }))
}

async function appears(path: string): Promise<void> {
  for (const end = Date.now() + DOCKER_START_MS; !existsSync(path) && Date.now() < end; ) await sleep(100)
}

function give(
  path: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  mode: number,
): void {
  if (process.getuid!() === 0) chownSync(path, uid, gid)
  chmodSync(path, mode)
}
