/** The program itself: one file without packages, its signals, and the script of actions/deploy around it. */
import { execFile, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { USAGE } from '../../../runner-image/tools/deploy/arguments.ts'
import { FakeArgo } from '../../support/argocd.ts'
import { Deploying, IMAGE } from '../../support/deploying.ts'

const ROOT = join(import.meta.dirname, '../../..')
const SCRIPT = join(ROOT, 'actions/deploy/deploy.sh')
const folder = mkdtempSync(join(tmpdir(), 'tornade-program-'))
const program = join(folder, 'deploy.mjs')

beforeAll(async () => {
  await build({
    entryPoints: [join(ROOT, 'runner-image/tools/deploy.ts')],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'silent',
  })
})
afterAll(() => rmSync(folder, { recursive: true }))

const environment = { PATH: process.env.PATH, HOME: folder, GIT_CONFIG_SYSTEM: '/dev/null' }

function run(command: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>) {
  return new Promise<{ code: number; stdout: string; stderr: string }>(resolve => {
    execFile(command, [...argv], { cwd: folder, env: { ...environment, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    )
  })
}

describe('tornade-deploy', () => {
  it('is one file that needs no packages', async () => {
    expect(await run(process.execPath, [program, '--help'], {})).toEqual({
      code: 0,
      stdout: USAGE,
      stderr: '',
    })
    for (const text of USAGE.split('\n')) expect(text.length).toBeLessThanOrEqual(80)
    expect((await run(process.execPath, [program], {})).code).toBe(2)
  })

  it('deploys, has no secret in an argument of git, and ends by SIGTERM with 4', async () => {
    const world = await Deploying.start()
    try {
      world.application('shop', { health: [{ status: 'Progressing' }] })
      // A git that writes down how it was called.
      const spy = join(folder, 'git')
      writeFileSync(
        spy,
        `#!/bin/sh\necho "$*" >>'${folder}/called'\nPATH='${process.env.PATH}' exec git "$@"\n`,
      )
      chmodSync(spy, 0o755)
      const child = spawn(process.execPath, [program, ...world.argv(['shop'])], {
        env: {
          ...environment,
          PATH: `${folder}:${process.env.PATH}`,
          ARGOCD_TOKEN: FakeArgo.TOKEN,
          GITHUB_TOKEN: 'ghs_x1',
        },
      })
      let stderr = ''
      child.stderr.on('data', chunk => {
        stderr += chunk
        if (!child.killed && stderr.includes('Progressing')) child.kill('SIGTERM')
      })
      const code = await new Promise(resolve => child.on('close', resolve))
      expect([code, stderr]).toEqual([
        4,
        expect.stringContaining('cancelled: shop: the deployment was cancelled'),
      ])
      expect(readFileSync(join(folder, 'called'), 'utf8')).toMatch(/commit-tree[\s\S]*push/)
      expect(readFileSync(join(folder, 'called'), 'utf8') + stderr).not.toMatch(
        new RegExp(`${FakeArgo.TOKEN}|ghs_x1`),
      )
      expect(world.argo.problems).toEqual([])
    } finally {
      await world.close()
    }
  })
})

describe('actions/deploy', () => {
  const bin = join(folder, 'bin')
  /** What the script makes of its inputs: the arguments, one a line. */
  const argumentsOf = async (env: Readonly<Record<string, string>>) => {
    const stub = join(folder, 'tornade-deploy')
    writeFileSync(stub, '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    chmodSync(stub, 0o755)
    const { code, stdout, stderr } = await run('bash', [SCRIPT], {
      ...env,
      PATH: `${folder}:${process.env.PATH}`,
    })
    return code === 0 ? stdout.trimEnd().split('\n') : [`${code}: ${stderr}`]
  }

  it('gives each input on as it is, lists a line at a time', async () => {
    expect(
      await argumentsOf({
        INPUT_IMAGE: IMAGE,
        INPUT_VALUES: '  shop/values.yaml\n\napi/values.yaml  web.image \n',
        INPUT_KUSTOMIZE: 'over/prod shop',
        INPUT_MANIFESTS: 'a.yaml',
        INPUT_APPLICATIONS: 'shop\nteam/api',
        INPUT_SYNC: 'true',
        INPUT_ROLLBACK: 'false',
        INPUT_TIMEOUT: '10m',
        INPUT_MESSAGE: '$(touch x) `id` "; exit 7 #',
        GITHUB_OUTPUT: '/o',
      }),
    ).toEqual([
      `--image=${IMAGE}`,
      '--values=shop/values.yaml',
      '--values=api/values.yaml',
      '--key=web.image',
      '--kustomize=over/prod',
      '--name=shop',
      '--manifest=a.yaml',
      '--message=$(touch x) `id` "; exit 7 #',
      '--app=shop',
      '--app=team/api',
      '--sync',
      '--timeout=10m',
      '--outputs=/o',
    ])
  })

  it('refuses a switch that is neither, and a list with a word too many', async () => {
    expect(await argumentsOf({ INPUT_SYNC: 'yes' })).toEqual([expect.stringMatching(/^2: .*sync/)])
    expect(await argumentsOf({ INPUT_APPLICATIONS: 'a b' })).toEqual([expect.stringMatching(/^2: /)])
  })

  it('says what to do on another runner', async () => {
    const { code, stderr } = await run('/bin/bash', [SCRIPT], { PATH: bin })
    expect([code, stderr]).toEqual([3, expect.stringContaining('needs its labels in runs-on')])
  })

  it('has an input for every option that its script knows', () => {
    const action = readFileSync(join(ROOT, 'actions/deploy/action.yml'), 'utf8')
    const { steps } = (parse(action) as { runs: { steps: { env: Record<string, string> }[] } }).runs
    const given = Object.keys(steps[0]!.env).filter(name => name.startsWith('INPUT_'))
    const read = [...readFileSync(SCRIPT, 'utf8').matchAll(/\$\{(INPUT_\w+):-\}/g)].map(([, name]) => name!)
    expect(given.toSorted()).toEqual(read.toSorted())
  })
})
