/**
 * The GitOps repository, by the git program. Everything happens on git's objects, with an index of its own: the work tree is neither
 * read nor written, so that no symlink, filter, hook or half-finished change there has a part in it.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DeployFault, failed, refused, unusable } from './fault.ts'
import { line } from './text.ts'

export interface GitOptions {
  /** A folder of the checkout. */
  readonly folder: string
  readonly remote: string
  /** null is the branch that is checked out. */
  readonly branch: string | null
  /** Instead of what the checkout has; never in an argument and never printed. */
  readonly token: string | null
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

interface Ran {
  readonly code: number
  readonly stdout: Buffer
  readonly stderr: string
}

export type Pushed = 'pushed' | 'moved'

/** One file of a commit. */
export interface Blob {
  readonly path: string
  readonly mode: string
  readonly text: string
}

const FILE = /^100(644|755)$/
const LARGEST = 2_000_000

export class Git {
  readonly #options: GitOptions
  readonly #env: Record<string, string | undefined>
  readonly #ref = `refs/tornade/deploy-${randomBytes(6).toString('hex')}`
  #branch = ''

  private constructor(options: GitOptions, config: readonly (readonly [string, string])[]) {
    this.#options = options
    this.#env = {
      ...withoutGit(options.env),
      ...Object.fromEntries(
        config.flatMap(([key, value], index) => [
          [`GIT_CONFIG_KEY_${index}`, key],
          [`GIT_CONFIG_VALUE_${index}`, value],
        ]),
      ),
      GIT_CONFIG_COUNT: String(config.length),
      GIT_TERMINAL_PROMPT: '0',
      GIT_LITERAL_PATHSPECS: '1',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_ADVICE: '0',
      LC_ALL: 'C',
    }
  }

  /** @throws DeployFault where there is no checkout, remote or branch */
  static async open(options: GitOptions): Promise<Git> {
    const config: [string, string][] = [
      ['core.hooksPath', '/dev/null'],
      ['gc.auto', '0'],
      ['maintenance.auto', 'false'],
      ['push.recurseSubmodules', 'no'],
      ['push.gpgSign', 'false'],
    ]
    const plain = new Git(options, config)
    const url = await plain.#run(['remote', 'get-url', '--push', options.remote])
    if (url.code !== 0)
      throw unusable(
        `${line(options.folder, 200)} is no checkout with a remote ${options.remote}: ${firstLine(url.stderr)}`,
      )
    const git = new Git(options, [...config, ...credentials(url.stdout.toString().trim(), options.token)])
    git.#branch = options.branch ?? (await git.#checkedOut())
    return git
  }

  get branch(): string {
    return this.#branch
  }

  async #checkedOut(): Promise<string> {
    const { code, stdout } = await this.#run(['symbolic-ref', '--quiet', '--short', 'HEAD'])
    if (code !== 0) throw unusable('No branch is checked out; name the one to push to by --branch.')
    return stdout.toString().trim()
  }

  /** The commit that the branch is at on the remote. */
  async fetch(): Promise<string> {
    const { remote } = this.#options
    const refspec = `+refs/heads/${this.#branch}:${this.#ref}`
    const { code, stderr } = await this.#run([
      'fetch',
      '--quiet',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      remote,
      refspec,
    ])
    if (code === 0) return (await this.#text(['rev-parse', '--verify', `${this.#ref}^{commit}`])).trim()
    if (/couldn't find remote ref/.test(stderr))
      throw unusable(`The remote ${remote} has no branch ${this.#branch}.`)
    throw remoteFault(stderr) ?? failed(`The branch cannot be fetched: ${said(stderr)}`)
  }

  /** The file as a commit has it; null where it has none. */
  async read(commit: string, path: string): Promise<Blob | null> {
    const entry = await this.#entry(commit, path)
    if (entry && FILE.test(entry.mode)) {
      const { stdout } = await this.#good(['cat-file', 'blob', entry.id])
      return { path, mode: entry.mode, text: decoded(stdout, path) }
    }
    // In git's trees a link leads nowhere; it is only told here why nothing was found.
    for (const [index] of path.split('/').entries()) {
      const part = path
        .split('/')
        .slice(0, index + 1)
        .join('/')
      const mode = (await this.#entry(commit, part))?.mode
      if (mode === '120000') throw unusable(`${part} is a symbolic link; name the file that it leads to.`)
      if (mode === '160000') throw unusable(`${part} is a submodule; deploy from a checkout of it.`)
    }
    return null
  }

  async #entry(commit: string, path: string): Promise<{ readonly mode: string; readonly id: string } | null> {
    const listed = await this.#text(['ls-tree', '-z', '--full-tree', commit, '--', path])
    const [, mode, id] = /^(\d{6}) \w+ ([0-9a-f]+)\t/.exec(listed) ?? []
    return mode && id ? { mode, id } : null
  }

  /** A commit on top of another one, with these files changed. */
  async commit(parent: string, files: readonly Blob[], message: string): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'tornade-deploy-'))
    const index = { GIT_INDEX_FILE: join(folder, 'index') }
    try {
      await this.#good(['read-tree', parent], { env: index })
      const entries: string[] = []
      for (const { path, mode, text } of files) {
        const id = await this.#text(['hash-object', '-w', '--stdin', '--no-filters'], { input: text })
        entries.push(`${mode} ${id.trim()}\t${path}\0`)
      }
      await this.#good(['update-index', '-z', '--index-info'], { env: index, input: entries.join('') })
      const tree = (await this.#text(['write-tree'], { env: index })).trim()
      return (
        await this.#text(['commit-tree', tree, '-p', parent], { env: await this.#identity(), input: message })
      ).trim()
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Who the job's git says it is; GitHub's own name for workflows where it does not say. */
  async #identity(): Promise<Record<string, string>> {
    const { env } = this.#options
    const { stdout } = await this.#run(['config', '--get-regexp', '^user\\.(name|email)$'])
    const configured = (key: string) => new RegExp(`^user\\.${key} (.+)$`, 'm').exec(stdout.toString())?.[1]
    const name = env.GIT_AUTHOR_NAME || configured('name') || 'github-actions[bot]'
    const email =
      env.GIT_AUTHOR_EMAIL || configured('email') || '41898282+github-actions[bot]@users.noreply.github.com'
    return {
      GIT_AUTHOR_NAME: name,
      GIT_AUTHOR_EMAIL: email,
      GIT_COMMITTER_NAME: name,
      GIT_COMMITTER_EMAIL: email,
    }
  }

  /** @throws DeployFault where the remote refuses for good */
  async push(commit: string): Promise<Pushed> {
    const { code, stdout, stderr } = await this.#run([
      'push',
      '--porcelain',
      '--no-verify',
      this.#options.remote,
      `${commit}:refs/heads/${this.#branch}`,
    ])
    if (code === 0) return 'pushed'
    const reason = /^!\t[^\t]*\t(.*)$/m.exec(stdout.toString())?.[1] ?? ''
    // What GitHub and servers of others say when two pushes meet, with one more or less word of git's own.
    if (
      /non-fast-forward|fetch first|stale info|cannot lock ref|failed to update ref|incorrect old value/.test(
        reason,
      )
    )
      return 'moved'
    const message = `${reason} ${said(stderr)}`
    if (/GH006|GH013|protected branch|rule violations/i.test(message))
      throw refused(
        `The branch ${this.#branch} is protected and takes no push from here. Deploy by a pull request to it, or put the App or the actor ` +
          `that pushes on the list of those who may bypass the rule.`,
        remoteLines(stderr),
      )
    if (/hook declined/.test(reason))
      throw refused(`The remote refuses the push: ${line(reason, 200)}`, remoteLines(stderr))
    throw remoteFault(stderr) ?? failed(`The commit cannot be pushed: ${line(reason, 200)} ${said(stderr)}`)
  }

  /** Whether a commit is there. */
  async has(commit: string): Promise<boolean> {
    return (await this.#run(['cat-file', '-e', `${commit}^{commit}`])).code === 0
  }

  async contains(commit: string, ancestor: string): Promise<boolean> {
    return (await this.#run(['merge-base', '--is-ancestor', ancestor, commit])).code === 0
  }

  /** `now` with what led from `before` to `after` taken back; null where somebody has changed the same lines since. */
  async takenBack(now: string, before: string, after: string): Promise<string | null> {
    if (now === after) return before
    const folder = await mkdtemp(join(tmpdir(), 'tornade-deploy-'))
    try {
      const merged = await this.#run([
        'merge-file',
        '-p',
        ...(await this.#files(folder, [now, after, before])),
      ])
      return merged.code === 0 ? merged.stdout.toString() : null
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async #files(folder: string, texts: readonly string[]): Promise<string[]> {
    const paths = texts.map((_, index) => join(folder, String(index)))
    await Promise.all(paths.map((path, index) => writeFile(path, texts[index]!)))
    return paths
  }

  async close(): Promise<void> {
    await this.#run(['update-ref', '-d', this.#ref], { isCleaningUp: true })
  }

  async #text(args: readonly string[], more: RunOptions = {}): Promise<string> {
    return (await this.#good(args, more)).stdout.toString()
  }

  async #good(args: readonly string[], more: RunOptions = {}): Promise<Ran> {
    const ran = await this.#run(args, more)
    if (ran.code !== 0) throw failed(`git ${args[0]} failed: ${said(ran.stderr)}`)
    return ran
  }

  #run(
    args: readonly string[],
    { input = '', env = {}, isCleaningUp = false }: RunOptions = {},
  ): Promise<Ran> {
    const { folder, signal } = this.#options
    return new Promise((resolve, reject) => {
      const child = spawn('git', ['-C', folder, ...args], {
        env: { ...this.#env, ...env },
        ...(isCleaningUp ? {} : { signal }),
      })
      const out: Buffer[] = []
      const err: Buffer[] = []
      child.stdout.on('data', chunk => out.push(chunk))
      child.stderr.on('data', chunk => err.push(chunk))
      // Whoever ends without reading says why by its exit code.
      child.stdin.on('error', () => {})
      child.on('error', error =>
        reject(signal.aborted ? signal.reason : unusable(`git cannot be run: ${error.message}`)),
      )
      child.on('close', code =>
        resolve({ code: code ?? 1, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() }),
      )
      child.stdin.end(input)
    })
  }
}

interface RunOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** Also once the deployment is called off. */
  readonly isCleaningUp?: boolean
}

/** Variables by which git could be led to another repository or index than the one that was named. */
function withoutGit(env: GitOptions['env']): Record<string, string | undefined> {
  const leading =
    /^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|TRACE.*|CONFIG_COUNT|CONFIG_(KEY|VALUE)_\d+|CONFIG_PARAMETERS|CURL_VERBOSE)$/
  const secret = /^(TORNADE_GIT_TOKEN|ARGOCD_TOKEN|GITHUB_TOKEN)$/
  return Object.fromEntries(Object.entries(env).filter(([name]) => !leading.test(name) && !secret.test(name)))
}

/** The token as a header for this server alone. An empty header before it takes away the one that a checkout left. */
function credentials(remote: string, token: string | null): [string, string][] {
  if (token === null) return []
  if (!/^https?:\/\//.test(remote))
    throw unusable('A token for git needs a remote by https://; leave the token out or change the remote.')
  const { origin, protocol, hostname } = new URL(remote)
  if (protocol === 'http:' && !isLoopback(hostname))
    throw unusable('A token goes to a remote by https:// only.')
  const key = `http.${origin}/.extraheader`
  const basic = Buffer.from(`x-access-token:${token}`).toString('base64')
  return [
    ['credential.helper', ''],
    ['http.followRedirects', 'false'],
    [key, ''],
    [key, `AUTHORIZATION: basic ${basic}`],
  ]
}

export function isLoopback(hostname: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
}

/** Why a remote lets nobody in; null for everything else. */
function remoteFault(stderr: string): DeployFault | null {
  if (
    /Authentication failed|could not read (Username|Password)|Permission (to .* )?denied|returned error: 40[13]|Invalid username or (password|token)|Write access to repository not granted|Repository not found/i.test(
      stderr,
    )
  )
    return refused(
      'The remote lets nobody in with these credentials. The token needs "contents: write" on that repository.',
      remoteLines(stderr),
    )
  return null
}

function firstLine(text: string): string {
  return line(text.split('\n')[0] ?? '', 200)
}

function said(stderr: string): string {
  return line(remoteLines(stderr).join(' ') || 'git does not say why', 600)
}

/** Without what servers say about nothing in particular. A user and password of an address are nobody's to see. */
function remoteLines(stderr: string): string[] {
  return stderr
    .split('\n')
    .map(text => line(text.replace(/^remote:\s*/, '').replace(/\/\/[^/@\s]+@/g, '//***@'), 300))
    .filter(text => text !== '' && !/^(To |hint:|error: failed to push some refs)/.test(text))
    .slice(0, 8)
}

function decoded(bytes: Buffer, path: string): string {
  if (bytes.length > LARGEST) throw unusable(`${path} is larger than ${LARGEST / 1_000_000} MB.`)
  if (bytes.subarray(0, 40).toString().startsWith('version https://git-lfs'))
    throw unusable(`${path} is kept by Git LFS.`)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw unusable(`${path} is no UTF-8 text.`)
  }
}
