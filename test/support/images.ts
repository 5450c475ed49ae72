/**
 * Where images are built and kept: Debian's docker-registry, with buildah behind the real watcher, where those are and this is root; else
 * stand-ins for both. JOURNEY_BUILDER names another program to start beside the runner, for one a container with kaniko; with JOURNEY=real
 * there are no stand-ins.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const OWN_BUILDER = process.env.JOURNEY_BUILDER
const NEEDED = ['docker-registry', 'skopeo', 'busybox', ...(OWN_BUILDER ? [] : ['buildah'])]
const MISSING = [
  ...(process.getuid!() === 0 ? [] : ['root']),
  ...NEEDED.filter(name => spawnSync(name, ['--version'], { stdio: 'ignore' }).error),
]

if (process.env.JOURNEY === 'real' && MISSING.length > 0) throw new Error(`Missing: ${MISSING.join(', ')}`)
export const IS_REAL = MISSING.length === 0
export const BUILT_BY = IS_REAL
  ? `images by ${OWN_BUILDER ? 'kaniko' : 'buildah'} in docker-registry, read back by skopeo`
  : `images by stand-ins for builder and registry, for want of ${MISSING.join(', ')}`

export interface Registry {
  /** 127.0.0.1:PORT */
  readonly address: string
  /** What stands under a tag or digest, for example team/shop:1; null where nothing does. */
  digest(reference: string): string | null
  close(): Promise<void>
}

export function startRegistry(): Promise<Registry> {
  return IS_REAL ? dockerRegistry() : standIn()
}

async function dockerRegistry(): Promise<Registry> {
  const folder = mkdtempSync(join(tmpdir(), 'tornade-registry-'))
  const address = `127.0.0.1:${await freePort()}`
  const file = join(folder, 'config.yml')
  const storage = { filesystem: { rootdirectory: join(folder, 'images') } }
  const log = { level: 'error', accesslog: { disabled: true } }
  writeFileSync(file, JSON.stringify({ version: '0.1', log, storage, http: { addr: address } }))
  const server = spawn('docker-registry', ['serve', file], { stdio: 'ignore' })
  const ended = new Promise(resolve => server.on('close', resolve))
  while (!(await fetch(`http://${address}/v2/`).catch(() => null))) {
    if (server.exitCode !== null) throw new Error(`docker-registry ended with ${server.exitCode}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return {
    address,
    digest: reference => {
      const options = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', '--no-tags']
      const { status, stdout } = spawnSync('skopeo', [...options, `docker://${address}/${reference}`], {
        encoding: 'utf8',
      })
      return status === 0 ? stdout.trim() : null
    },
    close: async () => {
      server.kill()
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** As much of https://github.com/opencontainers/distribution-spec/blob/main/spec.md as test/builder/kaniko-by-hand.ts and tornade-build use. */
async function standIn(): Promise<Registry> {
  const blobs = new Set<string>()
  const manifests = new Map<string, Buffer>()
  const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const { pathname, searchParams } = new URL(request.url!, 'http://registry')
    const [, name, reference] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(pathname) ?? []
    const said = searchParams.get('digest')
    if (request.method === 'POST' && said === digestOf(body)) {
      blobs.add(said)
      response.writeHead(201).end()
    } else if (request.method === 'PUT' && name) {
      const { config, layers } = JSON.parse(body.toString())
      const isWhole = [config, ...layers].every(({ digest }) => blobs.has(digest))
      if (isWhole)
        for (const key of [`${name}:${reference}`, `${name}@${digestOf(body)}`]) manifests.set(key, body)
      response.writeHead(isWhole ? 201 : 400).end()
    } else {
      const found = request.method === 'GET' && manifests.get(`${name}:${reference}`)
      if (found) response.writeHead(200).end(found)
      else response.writeHead(404).end()
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    digest: reference => {
      const found = manifests.get(reference)
      return found ? digestOf(found) : null
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** The image builder of a task, beside a runner that has the same exchange folder. */
export class Builder {
  readonly exchange = mkdtempSync(join(tmpdir(), 'tornade-exchange-'))
  readonly #own = mkdtempSync(join(tmpdir(), 'tornade-kaniko-'))
  readonly #process: ChildProcess
  readonly ended: Promise<number | null>
  output = ''

  constructor() {
    const shell = IS_REAL ? 'busybox sh' : 'sh'
    const kaniko = join(ROOT, 'test/builder', IS_REAL ? 'kaniko-by-buildah' : 'kaniko-by-hand.ts')
    const [command, ...options] = OWN_BUILDER
      ? [OWN_BUILDER]
      : [...shell.split(' '), join(ROOT, 'builder-image/watch')]
    this.#process = spawn(command!, options, {
      env: {
        PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
        ...(process.env.DOCKER_HOST ? { DOCKER_HOST: process.env.DOCKER_HOST } : {}),
        TORNADE_EXCHANGE_FOLDER: this.exchange,
        TORNADE_KANIKO_FOLDER: this.#own,
        TORNADE_KANIKO: kaniko,
        TORNADE_SHELL: shell,
        TORNADE_INIT: '',
        TORNADE_WATCH_SECONDS: '0.1',
        AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/canary-builder',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#process.stdout!, this.#process.stderr!])
      stream.on('data', data => (this.output += data))
    this.ended = new Promise(resolve => this.#process.on('close', resolve))
  }

  async close(): Promise<void> {
    this.#process.kill('SIGTERM')
    await this.ended
    for (const folder of [this.exchange, this.#own]) rmSync(folder, { recursive: true, force: true })
  }
}

function freePort(): Promise<number> {
  const socket = createSocket()
  return new Promise(resolve =>
    socket.listen(0, '127.0.0.1', () => {
      const { port } = socket.address() as AddressInfo
      socket.close(() => resolve(port))
    }),
  )
}
