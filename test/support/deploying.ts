/** Runs tornade-deploy in this process against a git remote and an Argo CD of the tests. */
import { deploy, type Ports } from '../../runner-image/tools/deploy/run.ts'
import { FakeArgo, type Play } from './argocd.ts'
import { GitRemote } from './git-remote.ts'

export const REPOSITORY = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/shop'
export const OLD = `sha256:${'0'.repeat(64)}`
export const NEW = `sha256:${'a1'.repeat(32)}`
export const OTHER = `sha256:${'b2'.repeat(32)}`
export const IMAGE = `${REPOSITORY}@${NEW}`

export const VALUES = `# Values of the shop
image:
  repository: ${REPOSITORY}   # ECR
  tag: "1.0"
  digest: ${OLD}
replicas: 2
`

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One deployment's world; close it. */
export class Deploying {
  readonly remote: GitRemote
  readonly argo: FakeArgo
  readonly cancelled = new AbortController()

  private constructor(remote: GitRemote, argo: FakeArgo) {
    this.remote = remote
    this.argo = argo
  }

  static async start(
    files: Readonly<Record<string, string>> = { 'shop/values.yaml': VALUES },
  ): Promise<Deploying> {
    return new Deploying(new GitRemote(files), await FakeArgo.start())
  }

  async close(): Promise<void> {
    await Promise.all([this.remote.close(), this.argo.close()])
  }

  /** An application whose image is what its file has on main. */
  application(name: string, play: Partial<Play> = {}, path = 'shop/values.yaml'): void {
    const known = new Map<string, string[]>()
    const images = (revision: string) => {
      const digests = () => this.remote.file(path, revision).match(/sha256:[0-9a-f]{64}/g) ?? []
      const found = known.get(revision) ?? digests().map(digest => `${REPOSITORY}@${digest}`)
      known.set(revision, found)
      return found
    }
    this.argo.add(name, { head: () => this.remote.head(), images, ...play })
  }

  /** Arguments of a deployment of the new image to these applications. */
  argv(applications: readonly string[] = [], ...more: readonly string[]): string[] {
    const argo =
      applications.length > 0 ? ['--server', this.argo.url, '--grace', '60ms', '--timeout', '20s'] : []
    return [
      ...['--checkout', this.remote.checkout, '--image', IMAGE, '--values', 'shop/values.yaml'],
      ...argo,
      ...applications.flatMap(name => ['--app', name]),
      ...more,
    ]
  }

  async run(argv: readonly string[], env: Ports['env'] = {}, ports: Partial<Ports> = {}): Promise<Ran> {
    const out: string[] = []
    const err: string[] = []
    const code = await deploy(argv, {
      env: {
        PATH: process.env.PATH,
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_SYSTEM: '/dev/null',
        ARGOCD_TOKEN: FakeArgo.TOKEN,
        ...env,
      },
      stdout: text => out.push(text),
      stderr: text => err.push(text),
      columns: null,
      signal: this.cancelled.signal,
      now: Date.now,
      random: () => 0.01,
      quiet: 5000,
      poll: 10,
      retry: 5,
      ...ports,
    })
    return { code, stdout: out.join(''), stderr: err.join('') }
  }
}
