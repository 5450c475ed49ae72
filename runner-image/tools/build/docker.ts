/** Builds with Docker, where there is a daemon: on CodeBuild. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unmarked } from '../deploy/text.ts'
import { LogReader, type Outcome } from './outcome.ts'
import type { Order } from './request.ts'

/** For buildx to tell the daemon. */
const CANCEL_MS = 8_000

export async function buildWithDocker(
  order: Order,
  show: (text: string) => void,
  signal: AbortSignal,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'tornade-build-'))
  const metadata = join(folder, 'metadata.json')
  const log = new LogReader()
  try {
    const options = buildxArguments(order, metadata, driver())
    const child = spawn('docker', options, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        // Its lines begin with a number.
        const plain = unmarked(text)
        log.add(plain)
        show(plain)
      })
    const ended = new Promise<number | null>((resolve, reject) =>
      child.on('error', reject).on('close', resolve),
    )
    const cancel = () => {
      kill(child.pid, 'SIGINT')
      setTimeout(() => kill(child.pid, 'SIGKILL'), CANCEL_MS).unref()
    }
    signal.addEventListener('abort', cancel)
    if (signal.aborted) cancel()
    const code = await ended
    signal.removeEventListener('abort', cancel)
    const common = { cache: { hits: log.hits, misses: Math.max(log.misses - log.hits, 0) }, immutable: false }
    if (signal.aborted) return { kind: 'cancelled', digest: null, message: String(signal.reason), ...common }
    if (code !== 0) return { kind: 'failed', digest: null, message: log.words, ...common }
    return { kind: 'built', digest: digestIn(metadata), message: 'built', ...common }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Secrets are named by where they are: Docker reads them itself, and nothing of them is in the arguments. */
export function buildxArguments(
  { request, context, dockerfile, secrets }: Order,
  metadata: string,
  container: boolean,
): string[] {
  const { buildArgs, cache, compression, labels, platform, push, tags, target } = request
  const all = (name: string, values: Readonly<Record<string, string>>) =>
    Object.entries(values).flatMap(([key, value]) => [`--${name}`, `${key}=${value}`])
  const format = compression === null ? '' : `,compression=${compression},oci-mediatypes=true`
  // Docker's own builder keeps a cache in the image alone, so the image is pushed to the cache's repository, too.
  const kept = cache.repository === null ? null : `${cache.repository}:cache`
  const inline = kept !== null && !cache.readOnly && push && !container
  return [
    ...['buildx', 'build', '--progress=plain', '--provenance=false', '--metadata-file', metadata],
    ...['--platform', platform, '--file', dockerfile],
    ...(target === null ? [] : ['--target', target]),
    ...all('build-arg', buildArgs),
    ...all('label', labels),
    ...secrets.flatMap(({ id, source }) => [
      '--secret',
      'file' in source ? `id=${id},src=${source.file}` : `id=${id},env=${source.variable}`,
    ]),
    ...tags.flatMap(tag => ['--tag', tag]),
    ...(inline ? ['--tag', kept, '--cache-to', 'type=inline'] : []),
    ...(kept === null ? [] : ['--cache-from', `type=registry,ref=${kept}`]),
    ...(kept !== null && !cache.readOnly && container
      ? ['--cache-to', `type=registry,ref=${kept},mode=max,image-manifest=true,oci-mediatypes=true`]
      : []),
    ...(container ? ['--output', `type=image,push=${push}${format}`] : push ? ['--push'] : []),
    context,
  ]
}

/** True for a builder of its own, which can do more than the daemon's. */
function driver(): boolean {
  const { stdout } = spawnSync('docker', ['buildx', 'inspect'], { encoding: 'utf8', timeout: 20_000 })
  return /^Driver:\s+(?!docker\s*$)\S/m.test(stdout ?? '')
}

/** https://docs.docker.com/reference/cli/docker/buildx/build/#metadata-file */
function digestIn(path: string): string | null {
  try {
    const digest = (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)[
      'containerimage.digest'
    ]
    return typeof digest === 'string' ? digest : null
  } catch {
    return null
  }
}

function kill(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, name)
  } catch {
    // It has ended.
  }
}
