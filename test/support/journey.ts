/**
 * A push to a running application, all of it: the local stack launches a runner with an image builder beside it; its job is run by the
 * programs of the runner image, as the launch ordered them, with the steps of a workflow that builds, pushes and deploys; and how it
 * went ends the job in the local stack. What GitHub's own runner does is left to a stand-in, and a job of minutes takes seconds.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { guardPolicy } from '../../functions/core/guard.ts'
import type { StartRequest } from '../../functions/core/types.ts'
import { proxy } from '../../local/around.ts'
import type { DoubleJob } from '../../local/github.ts'
import type { Result } from '../../runner-image/tools/deploy/report.ts'
import { bundleTools } from '../../scripts/tools.ts'
import { startServer } from '../github/harness.ts'
import { cleanUp, type Supervised, supervise } from '../runner-image/supervised.ts'
import { FakeArgo } from './argocd.ts'
import { GitRemote } from './git-remote.ts'
import type { GitHubServer } from './github-server.ts'
import { Builder, IS_REAL, startRegistry } from './images.ts'
import { job, noting, type Stack, stack } from './world.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const BEFORE = `sha256:${'0'.repeat(64)}`
/** What no log, image, commit or document may show. */
export const SECRETS = {
  git: 'ghs_canary-of-the-gitops-repository',
  github: 'ghs_canary-of-the-workflow',
  argo: FakeArgo.TOKEN,
  build: 'canary-of-the-build',
}
const DOCKERFILE = `FROM scratch
ARG GREETING=none
COPY busybox /bin/busybox
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "printf %s \\"$GREETING\\" >/greeting; /bin/busybox wc -c </run/secrets/token >/length"]
`
/** The steps, as a workflow has them: actions/checkout is git here, and our own actions are their scripts. */
const STEPS = `
cd "$NOTES"
git -c http.extraheader="authorization: basic $(printf 'x-access-token:%s' "$TORNADE_GIT_TOKEN" | base64 -w 0)" \\
  clone --quiet --depth 1 "$REMOTE" gitops
INPUT_CONTEXT=$CONTEXT INPUT_TAGS=$SHOP:$GITHUB_SHA INPUT_BUILD_ARGS='GREETING=two words' INPUT_SECRET_ENVS=token=BUILD_TOKEN \\
  INPUT_EVENT=$GITHUB_EVENT_NAME INPUT_REF=$GITHUB_REF INPUT_DEFAULT_BRANCH=main GITHUB_OUTPUT=built \\
  bash "$ACTIONS/build-push/build-push.sh"
INPUT_IMAGE=$(sed -n '/^image<</{n;p}' built) INPUT_CHECKOUT=gitops INPUT_VALUES=shop/values.yaml INPUT_SERVER=$ARGOCD \\
  INPUT_APPLICATIONS=shop INPUT_ENVIRONMENT=production INPUT_TIMEOUT=60s GITHUB_OUTPUT=deployed \\
  bash "$ACTIONS/deploy/deploy.sh"
`

export interface Journey {
  readonly stack: Stack
  /** As the launch asked for it. */
  readonly request: StartRequest
  /** The registration that the launch made, and the one that the runner program was given. */
  readonly tickets: { readonly made: readonly string[]; readonly taken: string }
  readonly result: unknown
  readonly runner: Supervised
  readonly builder: Builder
  /** What the steps wrote. */
  readonly log: string
  readonly built: { readonly digest: string; readonly images: readonly string[] }
  readonly deployed: Result
  /** What the registry has under the tag. */
  readonly stored: string | null
  readonly image: string
  readonly remote: GitRemote
  readonly argo: FakeArgo
  readonly github: GitHubServer
  close(): Promise<void>
}

export async function journey(): Promise<Journey> {
  const { server: github, clock } = await startServer()
  github.tokens.set(SECRETS.github, {
    token: SECRETS.github,
    installationId: 5001,
    repositoryIds: null,
    permissions: { deployments: 'write' },
    expiresAt: clock.now() + 3_600_000,
  })
  const registry = await startRegistry()
  const shop = `${registry.address}/team/shop`
  const remote = new GitRemote({
    'shop/values.yaml': `# Values of the shop\nimage:\n  repository: ${shop}\n  digest: ${BEFORE} # not yet\n`,
  })
  const url = await remote.serve(SECRETS.git)
  const argo = await FakeArgo.start()
  const images = (revision: string) =>
    /sha256:\w+/.exec(remote.file('shop/values.yaml', revision))!.map(digest => `${shop}@${digest}`)
  argo.add('shop', {
    head: () => remote.head(),
    images,
    // Its pods start when their image can be pulled.
    health: revision =>
      images(revision).every(image => registry.digest(image.slice(registry.address.length + 1)))
        ? [{ status: 'Progressing' }, { status: 'Healthy' }]
        : [{ status: 'Degraded', message: 'ImagePullBackOff' }],
  })
  const folder = workspace()
  await tools(folder)

  // The push: GitHub says that a job is queued, and tornade launches a runner for it.
  const requests: StartRequest[] = []
  const made: string[] = []
  const config = {
    roles: { push: { repositories: ['acme/app'], refs: [], events: [], protected: true } },
  }
  const s = await stack({
    config,
    wrapPorts: ports => ({
      ...noting(ports, request => requests.push(request)),
      tickets: proxy(ports.tickets, {
        put: (key, config, expires) => {
          made.push(config)
          return ports.tickets.put(key, config, expires)
        },
      }),
    }),
  })
  const queued = job(1, { labels: ['tornade/build/4cpu/role:push/run-1'], script: { durationMs: 3_600_000 } })
  s.world.github.queue(queued)
  await s.world.clock.run(
    s.world.clock.now() + 600_000,
    () => s.world.github.job('1-1')?.status === 'in_progress',
  )
  const request = requests[0]
  if (!request) throw new Error('no runner was started')

  // The runner, and the builder beside it.
  const builder = new Builder()
  const start = performance.now()
  const runner = await supervise({
    policy: guardPolicy(request, s.config),
    ticket: made[0]!,
    environment: {
      PATH: `${folder}/bin:${process.env.PATH}`,
      TORNADE_RUNNER: request.runner,
      TORNADE_EXCHANGE_FOLDER: builder.exchange,
    },
    scenario: {
      jobAfterMs: 0,
      handed: handed(queued, github.url),
      payload: { repository: { default_branch: 'main' } },
      step: withVariables(STEPS, {
        REMOTE: url,
        ARGOCD: argo.url,
        SHOP: shop,
        CONTEXT: join(folder, 'context'),
        ACTIONS: join(folder, 'actions'),
        BUILD_TOKEN: SECRETS.build,
        TORNADE_GIT_TOKEN: SECRETS.git,
        ARGOCD_TOKEN: SECRETS.argo,
        GITHUB_TOKEN: SECRETS.github,
        TORNADE_EXCHANGE_FOLDER: builder.exchange,
      }),
    },
  })
  const { code } = await runner.exit()

  // And its job ends in the local stack as it ended here.
  s.world.github.script('1-1', {
    durationMs: Math.round(performance.now() - start),
    conclusion:
      code === 0 && (runner.read('result') as { result?: string } | undefined)?.result === 'succeeded'
        ? 'success'
        : 'failure',
  })
  const output = (step: string, name: string): string => {
    const path = join(runner.folder, 'notes', step)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const found = new RegExp(`^${name}<<(.*)\\n([^]*?)\\n\\1$`, 'm').exec(text)
    if (!found) throw new Error(`${runner.read('job-log')}\n${runner.output()}\n${builder.output}`)
    return found[2]!
  }
  return {
    stack: s,
    request,
    tickets: { made, taken: (runner.read('listener-1') as { jitConfig: string }).jitConfig },
    result: runner.read('result'),
    runner,
    builder,
    log: String(runner.read('job-log')),
    built: JSON.parse(output('built', 'metadata')),
    deployed: JSON.parse(output('deployed', 'result')),
    stored: registry.digest(`team/shop:${queued.headSha}`),
    image: output('built', 'image'),
    remote,
    argo,
    github,
    close: async () => {
      await cleanUp()
      await Promise.all([builder.close(), registry.close(), remote.close(), argo.close(), github.close()])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** What a push to the protected default branch hands a runner. */
function handed({ repository, headSha, runId }: DoubleJob, api: string): Record<string, string> {
  return {
    GITHUB_REPOSITORY_ID: String(repository.id),
    GITHUB_REPOSITORY: repository.name,
    GITHUB_EVENT_NAME: 'push',
    GITHUB_REF: 'refs/heads/main',
    GITHUB_REF_PROTECTED: 'true',
    GITHUB_SHA: headSha,
    GITHUB_RUN_ID: String(runId),
    GITHUB_API_URL: api,
    GITHUB_SERVER_URL: 'https://github.com',
  }
}

/** What is to be built, where the job's user may read it. */
function workspace(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tornade-journey-'))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'context'))
  cpSync(join(ROOT, 'actions'), join(folder, 'actions'), { recursive: true })
  if (IS_REAL) copyFileSync('/bin/busybox', join(folder, 'context', 'busybox'))
  else writeFileSync(join(folder, 'context', 'busybox'), 'no program')
  writeFileSync(join(folder, 'context', 'Dockerfile'), DOCKERFILE)
  return folder
}

/** The commands of the runner image, as its Dockerfile puts them into PATH. */
async function tools(folder: string): Promise<void> {
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'tools'))
  for (const { path, bytes } of await bundleTools(ROOT, ['build', 'push', 'deploy'])) {
    const name = /^tools\/(.*)\.mjs$/.exec(path)![1]
    writeFileSync(join(folder, path), bytes)
    const script = `#!/bin/sh\nexec '${process.execPath}' '${join(folder, path)}' "$@"\n`
    writeFileSync(join(folder, 'bin', `tornade-${name}`), script, { mode: 0o755 })
  }
}

function withVariables(script: string, variables: Readonly<Record<string, string>>): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`)
  return `${lines.join('\n')}\n${script}`
}
