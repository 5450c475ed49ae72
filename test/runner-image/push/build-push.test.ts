/**
 * actions/build-push as its step runs it, with stand-ins for the AWS CLI, ECR's credential helper and tornade-build, which write
 * down what they were given. With a real builder and registry: test/builder/push.sh.
 */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readOrder } from '../../../runner-image/tools/push/order.ts'
import { bundleTools } from '../../../scripts/tools.ts'

const ROOT = join(import.meta.dirname, '../../..')
const ACTION = join(ROOT, 'actions/build-push')
const [STEP] = (
  parse(readFileSync(join(ACTION, 'action.yml'), 'utf8')) as {
    runs: { steps: [{ run: string; env: Readonly<Record<string, string>> }] }
  }
).runs.steps
const DIGEST = `sha256:${'7'.repeat(64)}`
const HOME_ECR = '111111111111.dkr.ecr.eu-west-1.amazonaws.com'
const AWAY_ECR = '222222222222.dkr.ecr.eu-central-1.amazonaws.com'

const top = mkdtempSync(join(tmpdir(), 'tornade-push-test-'))
const bin = join(top, 'bin')
beforeAll(async () => {
  mkdirSync(bin)
  writeFileSync(join(top, 'step.sh'), STEP.run)
  const [tool] = await bundleTools(ROOT, ['push'])
  writeFileSync(join(top, 'push.mjs'), tool!.bytes)
  const program = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!/usr/bin/env bash\nset -eu\n${text}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  program('tornade-push', `exec '${process.execPath}' '${top}/push.mjs' "$@"`)
  program(
    'aws',
    `echo "$* as $AWS_ACCESS_KEY_ID" >>"$WORLD/aws"
case "$1 $2 $MODE" in
  *" denied") echo "An error occurred (AccessDeniedException) when calling the operation: not $AWS_ACCESS_KEY_ID" >&2; exit 254 ;;
  "sts assume-role"*) echo '{"Credentials":{"AccessKeyId":"AKIAAWAY","SecretAccessKey":"canary-key","SessionToken":"canary-session"}}' ;;
  *" exists") echo 'An error occurred (RepositoryAlreadyExistsException) when calling the CreateRepository operation: it is' >&2; exit 254 ;;
  *) echo '{}' ;;
esac`,
  )
  program(
    'docker-credential-ecr-login',
    `host=$(cat)
echo "$1 $host as $AWS_ACCESS_KEY_ID, cache \${AWS_ECR_DISABLE_CACHE:-}" >>"$WORLD/helper"
[[ $MODE != stranger ]] || exit 1
printf '{"Username":"AWS","Secret":"canary-%s"}' "$AWS_ACCESS_KEY_ID"`,
  )
  program(
    'tornade-build',
    `printf '%s\\0' "$@" >"$WORLD/argv"
env >"$WORLD/env"
cp "$DOCKER_CONFIG/config.json" "$WORLD/config.json"
stat --format %a "$DOCKER_CONFIG" "$DOCKER_CONFIG/config.json" >"$WORLD/modes"
ls "$DOCKER_CONFIG" >"$WORLD/beside"
[[ $MODE != slow ]] || { trap 'echo told >"$WORLD/told"; exit 4' TERM; touch "$WORLD/begun"; while :; do sleep 0.05; done; }
echo 'a line of the builder' >&2
for argument; do case $argument in --metadata-file=*) file=\${argument#*=} ;; esac; done
[[ -n \${CODE:-} ]] && exit "$CODE"
echo '{"digest":"${DIGEST}","images":["${HOME_ECR}/team/shop@${DIGEST}"],"size":12345678,"seconds":65.4,"cache":{"hits":3,"misses":2}}' >"$file"
echo '${DIGEST}'`,
  )
})
afterAll(() => rmSync(top, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  /** Everything that was printed. */
  readonly log: string
  readonly world: string
  readonly argv: readonly string[]
  readonly outputs: Readonly<Record<string, string>>
  readonly summary: string
  /** What a stand-in wrote down; empty where it was not called. */
  told(name: string): string
  readonly auths: Readonly<Record<string, { auth: string }>>
}

function start(env: Readonly<Record<string, string>>, docker: object | null = null) {
  const world = mkdtempSync(join(top, 'world-'))
  mkdirSync(join(world, 'temp'))
  mkdirSync(join(world, '.docker', 'buildx'), { recursive: true })
  if (docker) writeFileSync(join(world, '.docker', 'config.json'), JSON.stringify(docker))
  // https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#defaultsrunshell
  const child = spawn('bash', ['--noprofile', '--norc', '-eo', 'pipefail', join(top, 'step.sh')], {
    cwd: world,
    env: {
      ...{ PATH: `${bin}:${process.env.PATH}`, HOME: world, WORLD: world, MODE: '' },
      ...{ AWS_ACCESS_KEY_ID: 'AKIAHOME', RUNNER_TEMP: join(world, 'temp') },
      GITHUB_ACTION_PATH: ACTION,
      GITHUB_OUTPUT: join(world, 'output'),
      GITHUB_STEP_SUMMARY: join(world, 'summary'),
      ...{ INPUT_EVENT: 'push', INPUT_REF: 'refs/heads/main', INPUT_DEFAULT_BRANCH: 'main' },
      INPUT_TAGS: `${HOME_ECR}/team/shop:1`,
      ...env,
    },
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (log += data))
  const read = (name: string) =>
    existsSync(join(world, name)) ? readFileSync(join(world, name), 'utf8') : ''
  const ended = new Promise<Ended>(resolve =>
    child.on('close', code =>
      resolve({
        ...{ code, log, world, told: read, summary: read('summary') },
        argv: read('argv').split('\0').slice(0, -1),
        outputs: Object.fromEntries(
          Array.from(read('output').matchAll(/^(\S+)<<(\S+)\n([\s\S]*?)\n\2$/gm), ([, name, , value]) => [
            name,
            value,
          ]),
        ),
        auths: read('config.json') === '' ? {} : JSON.parse(read('config.json')).auths,
      }),
    ),
  )
  return { child, world, ended }
}

const run = (env: Readonly<Record<string, string>> = {}, docker: object | null = null) =>
  start(env, docker).ended
const basic = (text: string) => Buffer.from(text).toString('base64')

describe.concurrent('actions/build-push', () => {
  it('hands its inputs to tornade-build, each as one argument', async () => {
    const { code, argv, told } = await run({
      INPUT_CONTEXT: 'web app',
      INPUT_FILE: 'docker/Dockerfile',
      INPUT_TARGET: 'final',
      INPUT_TAGS: `${HOME_ECR}/team/shop:1, ${HOME_ECR}/team/shop:2`,
      INPUT_BUILD_ARGS: 'A=1\nB=$(touch x) `id` "; exit 7 #\n"C=two\nlines"\nFROM_ENVIRONMENT',
      INPUT_LABELS: 'org.opencontainers.image.revision=mine\nteam=a b',
      INPUT_PLATFORMS: 'linux/arm64',
      INPUT_PUSH: 'false',
      INPUT_CACHE: `${HOME_ECR}/team/cache`,
      INPUT_COMPRESSION: 'zstd',
      INPUT_TIMEOUT: '20m',
      INPUT_SECRETS: 'token=canary=1\n"key=canary\n2"',
      INPUT_SECRET_ENVS: 'other=OTHER',
      INPUT_SECRET_FILES: 'file=/run/x',
      OTHER: 'canary-3',
      GITHUB_SERVER_URL: 'https://github.com',
      GITHUB_REPOSITORY: 'acme/shop',
      GITHUB_SHA: 'abc',
      GITHUB_RUN_ID: '5',
    })
    expect([code, argv.slice(0, -1)]).toEqual([
      0,
      [
        ...['--context=web app', '--file=docker/Dockerfile', '--target=final', '--platform=linux/arm64'],
        ...['--compression=zstd', '--timeout=20m'],
        ...[`--tag=${HOME_ECR}/team/shop:1`, `--tag=${HOME_ECR}/team/shop:2`, '--no-push'],
        ...['--build-arg=A=1', '--build-arg=B=$(touch x) `id` "; exit 7 #', '--build-arg=C=two\nlines'],
        '--build-arg=FROM_ENVIRONMENT',
        '--label=org.opencontainers.image.source=https://github.com/acme/shop',
        '--label=org.opencontainers.image.revision=mine',
        '--label=tornade.run=https://github.com/acme/shop/actions/runs/5',
        '--label=team=a b',
        ...['--secret=id=token,env=TORNADE_SECRET_0', '--secret=id=key,env=TORNADE_SECRET_1'],
        ...['--secret=id=other,env=OTHER', '--secret=id=file,src=/run/x'],
        `--cache-repo=${HOME_ECR}/team/cache`,
      ],
    ])
    expect(argv.at(-1)).toMatch(/^--metadata-file=/)
    expect(told('env')).toContain('TORNADE_SECRET_0=canary=1\nTORNADE_SECRET_1=canary\n2\n')
    expect(told('env')).not.toContain('INPUT_')
  })

  it('takes variables of secrets with commas between them too, as docker/build-push-action does', () => {
    const { argv } = readOrder({ INPUT_SECRET_ENVS: 'a=A, b=B\nc=C', INPUT_SECRET_FILES: 'd=/run/x,y' })
    expect(argv.filter(argument => argument.startsWith('--secret'))).toEqual([
      ...['--secret=id=a,env=A', '--secret=id=b,env=B', '--secret=id=c,env=C', '--secret=id=d,src=/run/x,y'],
    ])
  })

  it('says what was built: outputs, a summary, the builder’s own log', async () => {
    const { outputs, summary, log } = await run({ INPUT_CACHE: `${HOME_ECR}/team/cache` })
    const { metadata, ...rest } = outputs
    expect(rest).toEqual({
      digest: DIGEST,
      image: `${HOME_ECR}/team/shop@${DIGEST}`,
      tags: `${HOME_ECR}/team/shop:1`,
    })
    expect(JSON.parse(metadata!)).toMatchObject({ size: 12345678, cache: { hits: 3, misses: 2 } })
    expect(summary).toContain(`| digest | \`${DIGEST}\` |`)
    expect(summary).toContain('| size | 12.3 MB |')
    expect(summary).toContain('| time | 1m05s |')
    expect(summary).toContain(`| layers from the cache | 3 of 5, \`${HOME_ECR}/team/cache\` |`)
    expect(log).toContain('a line of the builder')
  })

  it('names no image to deploy where none was pushed', async () => {
    const { outputs, summary } = await run({ INPUT_PUSH: 'false' })
    expect(outputs.image).toBe('')
    expect(summary).toContain('built, and not pushed')
  })

  it('ends as tornade-build does, and says nothing was built', async () => {
    const { code, outputs, summary, world } = await run({ CODE: '4' })
    expect([code, outputs, summary]).toEqual([4, {}, ''])
    expect(readdirSync(join(world, 'temp'))).toEqual([])
  })

  it('reads and writes the cache that the event allows', () => {
    const cache = { INPUT_CACHE: 'r.example/c', INPUT_CACHE_PULL_REQUESTS: 'r.example/p' }
    const pull = { INPUT_EVENT: 'pull_request', INPUT_REF: 'refs/pull/7/merge' }
    const main = { INPUT_EVENT: 'push', INPUT_REF: 'refs/heads/main', INPUT_DEFAULT_BRANCH: 'main' }
    const given = (env: Readonly<Record<string, string>>) =>
      readOrder({ INPUT_TAGS: 'r.example/a:1', ...cache, ...env }).argv.filter(argument =>
        argument.startsWith('--cache'),
      )
    expect(given(main)).toEqual(['--cache-repo=r.example/c'])
    expect(given({ ...main, INPUT_REF: 'refs/heads/next' })).toEqual([
      ...['--cache-repo=r.example/c', '--cache-read-only'],
    ])
    expect(given({ ...main, ...pull })).toEqual(['--cache-repo=r.example/p'])
  })
})

describe.concurrent('its logins', () => {
  it('are a token for each registry of ECR that it meets, in a file of its own that is gone after it', async () => {
    const base = '333333333333.dkr.ecr.us-east-1.amazonaws.com'
    const docker = {
      auths: { 'ghcr.io': { auth: 'eDp5' } },
      credHelpers: { [HOME_ECR]: 'ecr-login' },
      credsStore: 'x',
    }
    const { code, auths, told, world } = await run(
      { INPUT_BUILD_ARGS: `BASE=${base}/base:1\nHOST=${HOME_ECR.replace('111', '444')}` },
      docker,
    )
    expect([code, auths]).toEqual([
      0,
      {
        'ghcr.io': { auth: 'eDp5' },
        [HOME_ECR]: { auth: basic('AWS:canary-AKIAHOME') },
        [base]: { auth: basic('AWS:canary-AKIAHOME') },
      },
    ])
    // Docker asks a helper before it reads a token.
    expect(JSON.parse(told('config.json'))).toMatchObject({
      credHelpers: { [HOME_ECR]: '' },
      credsStore: 'x',
    })
    expect(told('modes')).toBe('700\n600\n')
    expect(told('beside')).toContain('buildx')
    expect(told('helper')).toMatch(/^(get \S+ as AKIAHOME, cache true\n){2}$/)
    expect(readdirSync(join(world, 'temp'))).toEqual([])
    expect(JSON.parse(readFileSync(join(world, '.docker/config.json'), 'utf8'))).toEqual(docker)
  })

  it('leave alone what an earlier step logged in to, and registries that are not ECR’s', async () => {
    const { auths, told } = await run(
      { INPUT_TAGS: `${HOME_ECR}/shop:1\nghcr.io/acme/shop:1` },
      { auths: { [HOME_ECR]: { auth: 'bWluZQ==' } } },
    )
    expect([auths, told('helper')]).toEqual([{ [HOME_ECR]: { auth: 'bWluZQ==' } }, ''])
  })

  it('are refused with the label to add where there is none', async () => {
    const { code, log, argv } = await run({ MODE: 'stranger' })
    expect([code, argv]).toEqual([3, []])
    expect(log).toMatch(
      /tornade-push: there is no login to \S+: give the job a role with the label role:NAME/,
    )
  })

  it('are not needed for a base image, a cache that is only read, or an image that is not pushed', async () => {
    const { code, log } = await run({
      MODE: 'stranger',
      INPUT_PUSH: 'false',
      INPUT_CACHE: `${AWAY_ECR}/c`,
      INPUT_REF: 'refs/heads/next',
    })
    expect([code, log]).toEqual([0, expect.stringContaining(`no login to ${AWAY_ECR}; it goes on without`)])
  })

  it('by another role are for the registry of its account', async () => {
    const { code, auths, told, argv, log } = await run({
      INPUT_TAGS: `${AWAY_ECR}/shop:1`,
      INPUT_CACHE: `${HOME_ECR}/cache`,
      INPUT_ROLE_TO_ASSUME: 'arn:aws:iam::222222222222:role/push',
      INPUT_CREATE: 'immutable',
      GITHUB_RUN_ID: '77',
    })
    expect([code, auths]).toEqual([
      0,
      {
        [AWAY_ECR]: { auth: basic('AWS:canary-AKIAAWAY') },
        [HOME_ECR]: { auth: basic('AWS:canary-AKIAHOME') },
      },
    ])
    const create = (region: string, account: string, name: string, tags: string, as: string) =>
      `ecr create-repository --region ${region} --registry-id ${account} --repository-name ${name} --image-tag-mutability ${tags} --image-scanning-configuration scanOnPush=true --output json as ${as}`
    expect(told('aws').trim().split('\n')).toEqual([
      'sts assume-role --region eu-central-1 --role-arn arn:aws:iam::222222222222:role/push --role-session-name tornade-77 --output json as AKIAHOME',
      create('eu-central-1', '222222222222', 'shop', 'IMMUTABLE', 'AKIAAWAY'),
      create('eu-west-1', '111111111111', 'cache', 'MUTABLE', 'AKIAHOME'),
    ])
    expect(argv.join() + told('aws') + told('env') + log).not.toContain('canary')
  })

  it('by another role say what is missing', async () => {
    const tags = { INPUT_TAGS: `${AWAY_ECR}/shop:1` }
    const [denied, elsewhere] = await Promise.all([
      run({ ...tags, MODE: 'denied', INPUT_ROLE_TO_ASSUME: 'arn:aws:iam::222222222222:role/push' }),
      run({ ...tags, INPUT_ROLE_TO_ASSUME: 'arn:aws:iam::999999999999:role/push' }),
    ])
    expect([denied.code, denied.log]).toEqual([
      3,
      expect.stringMatching(/cannot be assumed: its trust policy.*AccessDenied/),
    ])
    expect([elsewhere.code, elsewhere.log]).toEqual([
      2,
      expect.stringContaining('of the account 999999999999'),
    ])
  })
})

it('reach Docker’s client through tornade-build itself', async () => {
  const real = mkdtempSync(join(top, 'real-'))
  const [tool] = await bundleTools(ROOT, ['build'])
  writeFileSync(join(real, 'build.mjs'), tool!.bytes)
  writeFileSync(join(real, 'socket'), '')
  writeFileSync(join(real, 'Dockerfile'), 'FROM scratch\n')
  writeFileSync(
    join(real, 'tornade-build'),
    `#!/bin/sh\nexec '${process.execPath}' '${real}/build.mjs' "$@"\n`,
  )
  writeFileSync(
    join(real, 'docker'),
    `#!/usr/bin/env bash
[[ $2 != inspect ]] || exit 0
cp "$DOCKER_CONFIG/config.json" "$WORLD/config.json"
printf '%s\\0' "$@" >"$WORLD/argv"
while [[ $1 != --metadata-file ]]; do shift; done
echo '{"containerimage.digest":"${DIGEST}"}' >"$2"
`,
  )
  for (const name of ['tornade-build', 'docker']) chmodSync(join(real, name), 0o755)
  const { code, auths, argv, outputs } = await run({
    PATH: `${real}:${bin}:${process.env.PATH}`,
    ...{ TORNADE_DOCKER_SOCKET: join(real, 'socket'), TORNADE_EXCHANGE_FOLDER: '/nowhere' },
    ...{ INPUT_CONTEXT: real, INPUT_TAGS: '127.0.0.1:1/team/shop:1', INPUT_CACHE: `${HOME_ECR}/cache` },
    ...{ INPUT_SECRETS: 'token=canary', INPUT_REF: 'refs/heads/next' },
  })
  expect([code, outputs.image]).toEqual([0, `127.0.0.1:1/team/shop@${DIGEST}`])
  expect(auths).toEqual({ [HOME_ECR]: { auth: basic('AWS:canary-AKIAHOME') } })
  expect(argv).toEqual(expect.arrayContaining(['--push', 'id=token,env=TORNADE_SECRET_0', real]))
  expect(argv.join()).not.toContain('canary')
})

describe.concurrent('its repositories', () => {
  it('are made where they are missing, and are fine where they are not', async () => {
    const [made, there] = await Promise.all([
      run({ INPUT_CREATE: 'mutable' }),
      run({ INPUT_CREATE: 'immutable', MODE: 'exists' }),
    ])
    expect([made.code, made.log]).toEqual([0, expect.stringContaining(`created ${HOME_ECR}/team/shop`)])
    expect(made.told('aws')).toContain('--image-tag-mutability MUTABLE')
    expect([there.code, there.log]).not.toContain('created')
    expect(there.code).toBe(0)
  })

  it('are not asked for unless told to, nor those of a cache that is only read', async () => {
    const [none, reading] = await Promise.all([
      run(),
      run({ INPUT_CREATE: 'immutable', INPUT_CACHE: `${HOME_ECR}/c`, INPUT_REF: 'refs/heads/next' }),
    ])
    expect(none.told('aws')).toBe('')
    expect(reading.told('aws').match(/--repository-name \S+/g)).toEqual(['--repository-name team/shop'])
  })

  it('that may not be made end it before anything is built', async () => {
    const { code, log, argv } = await run({ INPUT_CREATE: 'immutable', MODE: 'denied' })
    expect([code, argv]).toEqual([3, []])
    expect(log).toMatch(/allow this job's role ecr:CreateRepository there\. AWS says: .*AccessDenied/)
  })
})

describe.concurrent('what it cannot use', () => {
  it('is told all at once, without a secret', async () => {
    const { code, log, argv } = await run({
      INPUT_PUSH: 'yes',
      INPUT_CREATE: 'true',
      INPUT_PLATFORMS: 'linux/amd64,linux/arm64',
      INPUT_SECRETS: 'canary',
      INPUT_LABELS: 'none',
      INPUT_CACHE: 'r.example/c',
      INPUT_CACHE_PULL_REQUESTS: 'r.example/c',
      INPUT_ROLE_TO_ASSUME: 'push',
    })
    expect([code, argv, log.trimEnd().split('\n')]).toEqual([
      2,
      [],
      [
        expect.stringContaining('push is neither'),
        expect.stringContaining('create is neither'),
        expect.stringMatching(/platforms has 2: build each in a job of its own.*actions\/manifest/),
        expect.stringContaining('role-to-assume is no arn:aws:iam'),
        expect.stringContaining('same repository'),
        expect.stringContaining('secrets: entry 1'),
        expect.stringContaining('labels: entry 1'),
      ],
    ])
    expect(log).not.toContain('canary')
  })

  it('is a runner that is not tornade’s', async () => {
    const { code, log } = await run({ PATH: '/usr/bin:/bin' })
    expect([code, log]).toEqual([3, expect.stringContaining('needs its labels in runs-on')])
  })
})

// GitHub tells the first process of a step, and nobody below it.
it('has tornade-build end when the job is cancelled, and leaves nothing', async () => {
  const { child, world, ended } = start({ MODE: 'slow' })
  while (!existsSync(join(world, 'begun'))) await new Promise(resolve => setTimeout(resolve, 20))
  child.kill('SIGINT')
  const { code, told } = await ended
  expect([code, told('told')]).toEqual([4, 'told\n'])
  expect(readdirSync(join(world, 'temp'))).toEqual([])
})

it('has an input for everything that its program reads', () => {
  const source = readFileSync(join(ROOT, 'runner-image/tools/push/order.ts'), 'utf8')
  const read = [...source.matchAll(/(?:input|each)\('([a-z-]+)'\)/g)].map(
    ([, name]) => `INPUT_${name!.toUpperCase().replaceAll('-', '_')}`,
  )
  expect(Object.keys(STEP.env).toSorted()).toEqual([...new Set([...read, 'INPUT_BUILD_ARGS'])].toSorted())
})
