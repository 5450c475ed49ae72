/** From a push to a running application (test/support/journey.ts). `npm run test:build` goes the same way with its builder. */
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GitRemote } from './support/git-remote.ts'
import { BUILT_BY } from './support/images.ts'
import { type Journey, journey, SECRETS } from './support/journey.ts'
import { jobOf, leftovers, runners, untilQuiet } from './support/world.ts'

const CHECKED = process.env.ARGOCD_SWAGGER
  ? 'Argo CD checked against its API description'
  : 'Argo CD not checked against its API description: ARGOCD_SWAGGER is not set'
const WAY = `${BUILT_BY}; ${CHECKED}`
process.stdout.write(`journey.test.ts: ${WAY}\n`)

describe.skipIf(!GitRemote.hasHttp)(`from a push to a running application (${WAY})`, () => {
  let way: Journey
  beforeAll(async () => {
    way = await journey()
  })
  afterAll(() => way?.close())

  it('a job with the label build gets a runner with an image builder, which have its role after the verdict', () => {
    expect(way.request).toMatchObject({
      runner: 'tornade-1-1-1',
      build: true,
      role: 'push',
      shape: { compute: 'fargate', cpu: 4 },
    })
    expect(keysOf(way.tickets.taken)).toEqual(way.tickets.made.map(keysOf)[0])
    expect(way.tickets.made).toHaveLength(1)
    expect(way.builder.output).toContain('verdict: role')
    expect(way.result).toEqual({ result: 'succeeded', code: 100, signal: null })
  })

  it('actions/build-push has the image built and pushed, and tells the digest that the registry has', () => {
    expect(way.stored).toBe(way.built.digest)
    expect(way.built.images).toEqual([way.image])
    expect(way.image).toMatch(/^127.0.0.1:\d+\/team\/shop@sha256:/)
  })

  it('actions/deploy changes the digest in the GitOps repository, and nothing else', () => {
    const { remote, deployed, built } = way
    expect(deployed.commit).toBe(remote.head())
    const [before, after] = ['main^', 'main'].map(at => remote.file('shop/values.yaml', at))
    expect(after).toBe(before!.replace(/sha256:\w+/, built.digest))
  })

  it('Argo CD has it Synced and Healthy at that commit, and was asked nothing that it does not know', () => {
    const { argo, deployed, remote } = way
    expect(deployed).toMatchObject({
      outcome: 'healthy',
      applications: [{ name: 'shop', sync: 'Synced', health: 'Healthy', revision: remote.head() }],
    })
    expect(argo.isChecked).toBe(process.env.ARGOCD_SWAGGER !== undefined)
    expect(argo.problems).toEqual([])
  })

  it('GitHub has the deployment with its end, and where the application is', () => {
    expect(way.github.problems).toEqual([])
    expect(way.github.deployments).toMatchObject([
      {
        id: way.deployed.deployment!.id,
        environment: 'production',
        statuses: [
          { state: 'in_progress' },
          { state: 'success', environment_url: 'https://shop.example.com' },
        ],
      },
    ])
  })

  it('the job is completed, its runner is paid for, and nothing is left', async () => {
    await untilQuiet(way.stack)
    const { world } = way.stack
    const ended = await jobOf(world, '1-1')
    expect(ended).toMatchObject({ completed: { conclusion: 'success' }, runner: way.request.runner })
    const [runner, ...others] = await runners(world)
    expect(others).toEqual([])
    const { totalMicroUsd, startupMicroUsd, jobMicroUsd, idleMicroUsd } = runner!.cost!
    expect(jobMicroUsd).toBeGreaterThan(0)
    expect(startupMicroUsd + jobMicroUsd + idleMicroUsd).toBe(totalMicroUsd)
    expect(ended.cost).toMatchObject({ runner: way.request.runner, microUsd: jobMicroUsd })
    expect(await leftovers(way.stack)).toEqual([])
    expect(execFileSync('ls', [`${way.builder.exchange}/builds`], { encoding: 'utf8' })).toBe('')
  })

  it('no log, commit or document has a secret', () => {
    const { log, runner, builder, deployed, built, remote, github } = way
    expect(log).toContain('tornade-build: built in')
    const history = remote.git(['log', '--patch', '--all'])
    const said = [
      // These the runner takes, and shows none of them.
      log.replace(/^::add-mask::.*$/gm, ''),
      runner.output(),
      builder.output,
      history,
      JSON.stringify([deployed, built, github.deployments]),
    ]
    for (const secret of [...Object.values(SECRETS), 'canary'])
      for (const text of said) expect(text).not.toContain(secret)
  })
})

/** Of the registration in a JIT configuration; the supervisor adds to its settings. */
function keysOf(jitConfig: string): unknown {
  return JSON.parse(Buffer.from(jitConfig, 'base64').toString())['.credentials_rsaparams']
}
