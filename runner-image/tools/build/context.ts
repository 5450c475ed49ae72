/** The context of a build as an archive, without what .dockerignore leaves out. */
import { spawn } from 'node:child_process'
import { createWriteStream, type Dirent, existsSync, readFileSync, realpathSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import dockerignore from '@balena/dockerignore'
import { inside, UnusableError } from './request.ts'

/**
 * Writes the context to `target` as tar in gzip's format, as kaniko wants it, and stored instead of compressed: it stays on this
 * disk. Memory does not grow with it. Owners are root's, as with Docker; links are archived as links.
 */
export async function archive(
  context: string,
  dockerfile: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const options = [
    '--create',
    // Long names without headers that some programs do not read.
    '--format=gnu',
    ...['--owner=0', '--group=0', '--numeric-owner', '--no-recursion', '--warning=no-file-changed'],
    ...['--directory', context, '--null', '--verbatim-files-from', '--files-from=-'],
  ]
  const tar = spawn('tar', options, { stdio: ['pipe', 'pipe', 'inherit'], signal })
  const ended = new Promise<number | null>((resolve, reject) => tar.on('error', reject).on('close', resolve))
  const names = Readable.from(paths(context, rulesOf(context, dockerfile)), { objectMode: false })
  const [code] = await Promise.all([
    ended,
    pipeline(names, tar.stdin, { signal }),
    pipeline(tar.stdout, createGzip({ level: 0 }), createWriteStream(target, { mode: 0o600 }), { signal }),
  ])
  // 1: a file changed while it was read, which is no more than a build with Docker would not notice either.
  if (code !== 0 && code !== 1)
    throw new UnusableError(`The context cannot be archived: tar ended with ${code}.`)
}

/** The rules for this Dockerfile, else those of the whole context. https://docs.docker.com/build/concepts/context/#filename-and-location */
function rulesOf(context: string, dockerfile: string): string {
  const own = join(dirname(dockerfile), `${basename(dockerfile)}.dockerignore`)
  const path = existsSync(own) ? own : join(context, '.dockerignore')
  if (!existsSync(path)) return ''
  if (inside(context, path) && !inside(context, realpathSync(path)))
    throw new UnusableError(`${path}: is a link that leads out of the context`)
  return readFileSync(path, 'utf8')
}

/** Names relative to the context, each followed by a NUL. */
export async function* paths(context: string, rules: string): AsyncGenerator<Buffer> {
  const rule = dockerignore.default().add(rules)
  // Something below a folder that is left out may be wanted all the same.
  const exceptions = /^\s*!/m.test(rules)
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(context, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name)
      const left = rule.ignores(path)
      if (entry.isDirectory() && (!left || exceptions)) folders.push(path)
      if (!left && isArchived(entry)) yield Buffer.from(`${path}\0`)
    }
  }
}

function isArchived(entry: Dirent): boolean {
  return entry.isFile() || entry.isDirectory() || entry.isSymbolicLink()
}
