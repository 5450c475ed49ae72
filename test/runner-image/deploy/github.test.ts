import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Result } from '../../../runner-image/tools/deploy/report.ts'
import { startServer } from '../../github/harness.ts'
import { FakeArgo } from '../../support/argocd.ts'
import { Deploying, NEW } from '../../support/deploying.ts'
import type { GitHubServer } from '../../support/github-server.ts'

const TOKEN = 'ghs_of-the-workflow'
let world: Deploying
let github: GitHubServer
let folder: string

beforeEach(async () => {
  const { server, clock } = await startServer()
  github = server
  github.tokens.set(TOKEN, {
    token: TOKEN,
    installationId: 5001,
    repositoryIds: null,
    permissions: { deployments: 'write' },
    expiresAt: clock.now() + 3_600_000,
  })
  world = await Deploying.start()
  folder = mkdtempSync(join(tmpdir(), 'tornade-outputs-'))
})
afterEach(async () => {
  rmSync(folder, { recursive: true })
  await Promise.all([github.close(), world.close()])
  expect(world.argo.problems).toEqual([])
})

const run = async (argv: readonly string[], env = {}) => {
  const repository = github.installations[0]!.repositories[0]!.name
  const ran = await world.run([...argv, '--json', '--environment', 'production'], {
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: repository,
    GITHUB_SHA: 'c'.repeat(40),
    GITHUB_RUN_ID: '77',
    GITHUB_TOKEN: TOKEN,
    ...env,
  })
  return {
    ...ran,
    result: JSON.parse(ran.stdout) as Result,
    log: `https://github.com/${repository}/actions/runs/77`,
  }
}

describe('a deployment on GitHub', () => {
  it('is made for the commit of the workflow and followed to its end, with where it runs', async () => {
    world.application('shop')
    const { code, result, log } = await run(world.argv(['shop']))
    expect([code, github.problems]).toEqual([0, []])
    expect(github.deployments).toMatchObject([
      {
        id: result.deployment!.id,
        ref: 'c'.repeat(40),
        environment: 'production',
        statuses: [
          { state: 'in_progress', log_url: log },
          { state: 'success', log_url: log, environment_url: 'https://shop.example.com' },
        ],
      },
    ])
    expect(github.calls[0]!.body).toMatchObject({ auto_merge: false, required_contexts: [] })
  })

  it('fails with the deployment', async () => {
    world.application('shop', { health: [{ status: 'Degraded', message: 'x'.repeat(500) }] })
    const { code } = await run(world.argv(['shop'], '--environment-url', 'https://shop.example.org'))
    expect([code, github.problems]).toEqual([1, []])
    expect(github.deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'failure'])
    expect(github.deployments[0]!.statuses[1]).not.toHaveProperty('environment_url')
  })

  it('is an error where the deployment was refused', async () => {
    world.remote.hook('pre-receive', 'echo "error: GH006: Protected branch update failed" >&2; exit 1')
    expect((await run(world.argv())).code).toBe(3)
    expect(github.deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'error'])
  })

  it('ends as it did although GitHub fails in passing', async () => {
    world.application('shop', {
      onSynced: () => {
        github.fail('repos/create-deployment-status', { connection: 'breaks' })
        github.fail('repos/create-deployment-status', { status: 502 })
      },
    })
    const { code, result } = await run(world.argv(['shop']))
    expect([code, result.deployment!.error]).toEqual([0, null])
    expect(github.deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'success'])
  })

  it.each<[string, Record<string, string>, () => void, string]>([
    [
      'may not',
      {},
      () => github.tokens.set(TOKEN, { ...github.tokens.get(TOKEN)!, permissions: {} }),
      'deployments: write',
    ],
    ['is unknown', { GITHUB_TOKEN: 'ghs_old' }, () => {}, '401'],
    ['is missing', { GITHUB_TOKEN: '' }, () => {}, 'is missing'],
    [
      'is good and GitHub is not',
      {},
      () => github.fail('repos/create-deployment', { connection: 'breaks' }),
      'GitHub does not answer',
    ],
    ['is for a commit that is gone', {}, () => github.missingCommits.add('c'.repeat(40)), '422'],
  ])(
    'that cannot be recorded because the token %s changes nothing else, and is told',
    async (_, env, prepare, reason) => {
      prepare()
      const { code, result, stderr } = await run(world.argv(), env)
      expect([code, result.deployment!.error]).toEqual([0, expect.stringContaining(reason)])
      expect(stderr).toContain('the deployment is not recorded on GitHub, and goes on')
      expect(world.remote.file('shop/values.yaml')).toContain(NEW)
      expect(stderr).not.toContain(TOKEN)
    },
  )
})

describe('outputs and summary', () => {
  it('say how it went, and nothing in them is markup, an output or a command of somebody else’s', async () => {
    const evil =
      '| <img src=x> @acme/team **x** https://evil.example `\noutcome=healthy\n::set-output name=x::y'
    world.application('shop', { health: [{ status: 'Degraded', message: evil }] })
    const [outputs, summary] = [join(folder, 'outputs'), join(folder, 'summary')]
    const { code } = await run(world.argv(['shop'], '--outputs', outputs, '--summary', summary))
    expect(code).toBe(1)
    const written = readOutputs(readFileSync(outputs, 'utf8'))
    expect(written).toMatchObject({ outcome: 'failed', changed: 'true', commit: world.remote.head() })
    expect(JSON.parse(written.result!)).toMatchObject({ outcome: 'failed', exitCode: 1 })
    const text = readFileSync(summary, 'utf8')
    expect(text).toContain('### Deployment: failed')
    expect(text).not.toMatch(/(?<!\\)<img|@acme|(?<!\\)\*\*x|https:\/\/evil|^::/m)
    expect(text + written.result).not.toContain(FakeArgo.TOKEN)
  })

  it('are written of a deployment that was refused as well', async () => {
    const outputs = join(folder, 'outputs')
    await run(world.argv(['shop'], '--outputs', outputs), { ARGOCD_TOKEN: 'old' })
    expect(readOutputs(readFileSync(outputs, 'utf8'))).toMatchObject({ outcome: 'refused', commit: '' })
  })
})

/** As the runner reads $GITHUB_OUTPUT. */
function readOutputs(text: string): Record<string, string> {
  const lines = text.split('\n')
  const found: Record<string, string> = {}
  while (lines.length > 1) {
    const [name, end] = lines.shift()!.split('<<')
    const value: string[] = []
    while (lines[0] !== end) value.push(lines.shift()!)
    lines.shift()
    found[name!] = value.join('\n')
  }
  return found
}
