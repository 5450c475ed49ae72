/** A GitOps repository: a bare one that plays the server, with its hooks, and a checkout of it. Over files, or by git's own HTTP server. */
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const ENV = {
  PATH: process.env.PATH,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'somebody',
  GIT_AUTHOR_EMAIL: 'somebody@example.com',
  GIT_COMMITTER_NAME: 'somebody',
  GIT_COMMITTER_EMAIL: 'somebody@example.com',
}

/** Copying a folder is quicker than making one. */
const templates = new Map<string, string>()

export class GitRemote {
  readonly folder = mkdtempSync(join(tmpdir(), 'tornade-remote-'))
  readonly bare = join(this.folder, 'remote.git')
  readonly checkout = join(this.folder, 'checkout')
  #server: Server | null = null
  /** Called when a push has read where the branch is, and before it sends anything. */
  onPush: (() => void) | null = null
  readonly authorizations: (string | undefined)[] = []

  constructor(files: Readonly<Record<string, string>>) {
    const key = JSON.stringify(files)
    const template = templates.get(key)
    if (template) {
      cpSync(template, this.folder, { recursive: true })
      const config = join(this.checkout, '.git', 'config')
      writeFileSync(config, readFileSync(config, 'utf8').replaceAll(template, this.folder))
      return
    }
    this.git(['init', '--quiet', '--bare', '--initial-branch=main', '--template=', this.bare], this.folder)
    this.git(['config', 'http.receivepack', 'true'])
    this.change(files)
    const clone = ['clone', '--quiet', '--depth=1', '--template=', `file://${this.bare}`, this.checkout]
    this.git(clone, this.folder)
    const kept = mkdtempSync(join(tmpdir(), 'tornade-template-'))
    cpSync(this.folder, kept, { recursive: true })
    const config = join(kept, 'checkout', '.git', 'config')
    writeFileSync(config, readFileSync(config, 'utf8').replaceAll(this.folder, kept))
    templates.set(key, kept)
    process.once('exit', () => rmSync(kept, { recursive: true, force: true }))
  }

  git(args: readonly string[], folder = this.bare, input = ''): string {
    const options = { cwd: folder, env: ENV, input, encoding: 'utf8' } as const
    return execFileSync('git', [...args], { ...options, stdio: ['pipe', 'pipe', 'pipe'] }).trim()
  }

  /** Somebody else's commit on top of a branch; `links` are symbolic links. */
  change(
    files: Readonly<Record<string, string>>,
    {
      branch = 'main',
      move = true,
      links = {},
    }: {
      readonly branch?: string
      readonly move?: boolean
      readonly links?: Readonly<Record<string, string>>
    } = {},
  ): string {
    const at = `refs/heads/${branch}`
    const blobs = Object.entries({ ...files, ...links }).map(([path, text]) => {
      const mode = path in links ? '120000' : '100644'
      return `M ${mode} inline ${path}\ndata ${Buffer.byteLength(text)}\n${text}\n`
    })
    const target = move ? at : 'refs/heads/prepared'
    const parent = this.#has(at) ? `from ${this.head(branch)}\n` : ''
    const author = 'committer somebody <somebody@example.com> 1767600000 +0000\n'
    const stream = `commit ${target}\n${author}data 4\nmore\n${parent}${blobs.join('')}\n`
    this.git(['fast-import', '--quiet', '--force'], this.bare, stream)
    return this.git(['rev-parse', target])
  }

  /** Read where git keeps it: asking git takes a process, and tests ask often. */
  head(branch = 'main'): string {
    return readFileSync(join(this.bare, 'refs', 'heads', branch), 'utf8').trim()
  }

  file(path: string, revision = 'main'): string {
    return execFileSync('git', ['show', `${revision}:${path}`], {
      cwd: this.bare,
      env: ENV,
      encoding: 'utf8',
    })
  }

  hook(name: 'update' | 'pre-receive', script: string): void {
    const path = join(this.bare, 'hooks', name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o755)
  }

  #has(ref: string): boolean {
    try {
      this.git(['rev-parse', '--verify', '--quiet', ref])
      return true
    } catch {
      return false
    }
  }

  static get hasHttp(): boolean {
    return existsSync(
      join(execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim(), 'git-http-backend'),
    )
  }

  /** From now on the checkout's remote is an http server that wants this password. */
  async serve(token: string): Promise<string> {
    const wanted = `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
    this.#server = createServer((request, response) => {
      const url = new URL(request.url!, 'http://127.0.0.1')
      this.authorizations.push(request.headers.authorization)
      if (request.headers.authorization !== wanted)
        return void response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      const backend = spawn('git', ['http-backend'], {
        env: {
          ...ENV,
          GIT_PROJECT_ROOT: this.folder,
          GIT_HTTP_EXPORT_ALL: '1',
          REMOTE_USER: 'x-access-token',
          REQUEST_METHOD: request.method,
          PATH_INFO: url.pathname,
          QUERY_STRING: url.search.slice(1),
          CONTENT_TYPE: request.headers['content-type'] ?? '',
          GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
          ...(request.headers['content-encoding']
            ? { HTTP_CONTENT_ENCODING: request.headers['content-encoding'] }
            : {}),
        },
      })
      request.pipe(backend.stdin)
      const chunks: Buffer[] = []
      backend.stdout.on('data', chunk => chunks.push(chunk))
      backend.on('close', () => {
        const whole = Buffer.concat(chunks)
        const end = whole.indexOf('\r\n\r\n')
        const headers = Object.fromEntries(
          whole
            .subarray(0, end)
            .toString()
            .split('\r\n')
            .map(text => text.split(/:\s*/, 2) as [string, string]),
        )
        const { Status: status = '200', ...rest } = headers
        if (url.search.includes('git-receive-pack')) this.onPush?.()
        response.writeHead(Number.parseInt(status, 10), rest).end(whole.subarray(end + 4))
      })
    })
    await new Promise<void>(resolve => this.#server!.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/remote.git`
    this.git(['remote', 'set-url', 'origin', url], this.checkout)
    return url
  }

  async close(): Promise<void> {
    this.#server?.closeAllConnections()
    if (this.#server) await new Promise(resolve => this.#server!.close(resolve))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
