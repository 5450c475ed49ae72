/** The shell around the supervisor: what its entrypoint passes on, its hooks, and the build that decides what is used. */
import { execFile, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'

const IMAGE = join(import.meta.dirname, '..', '..', 'runner-image')
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tornade-scripts-'))
  folders.push(folder)
  return folder
}

function writeProgram(folder: string, name: string, script: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/usr/bin/env bash\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

function execute(
  program: string,
  options: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ code: number; output: string }> {
  return new Promise(resolve => {
    execFile(program, options, { env: { PATH: process.env.PATH, ...environment } }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    )
  })
}

const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0
if (!hasShellcheck)
  process.stdout.write('runner-image/scripts.test.ts skips shellcheck: it is not installed\n')

it.skipIf(!hasShellcheck)('satisfies shellcheck', async () => {
  const scripts = [
    ...readdirSync(IMAGE).map(name => join(IMAGE, name)),
    ...readdirSync(join(IMAGE, 'hooks')).map(name => join(IMAGE, 'hooks', name)),
    ...readdirSync(join(IMAGE, '..', 'builder-image')).map(name => join(IMAGE, '..', 'builder-image', name)),
  ].filter(path => /\.sh$|\/(entrypoint|self-check|watch)$/.test(path))
  expect(scripts).toHaveLength(9)
  expect(await execute('shellcheck', ['--external-sources', ...scripts], {})).toEqual({ code: 0, output: '' })
})

describe('the entrypoint', () => {
  it('passes what tells where credentials are through a pipe only', async () => {
    const folder = newFolder()
    const init = writeProgram(folder, 'init', 'env; echo ---; tr "\\0" "\\n" <&3; printf "%s " "$@"')
    const { output } = await execute(join(IMAGE, 'entrypoint'), [], {
      TORNADE_INIT: init,
      TORNADE_NODE: '/node',
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/x',
      AWS_SECRET_ACCESS_KEY: 'with = and\nlines',
      ECS_AGENT_URI: 'http://169.254.170.2/api/x',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL_STS: 'http://127.0.0.1',
      OTHER: 'kept',
    })
    const [environment, rest] = output.split('---\n') as [string, string]
    const names = environment.split('\n').map(line => line.split('=')[0])
    expect(names.filter(name => /^(AWS|ECS)_/.test(name!)).toSorted()).toEqual([
      'AWS_ENDPOINT_URL_STS',
      'AWS_REGION',
    ])
    expect(environment).toContain('OTHER=kept')
    expect(environment).toContain('TORNADE_CREDENTIALS_FD=3')
    expect(rest.split('-s --')[0]).toBe(
      'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/x\nAWS_SECRET_ACCESS_KEY=with = and\nlines\nECS_AGENT_URI=http://169.254.170.2/api/x\n',
    )
    expect(rest).toContain('-s -- /node --disable-warning=ExperimentalWarning')
  })

  it.each([
    [255, 0],
    [1, 1],
  ])(
    'starts although bash forgets how the writer of the pipe ended, but not where that failed: %i',
    async (status, code) => {
      const init = writeProgram(newFolder(), 'init', 'tr "\\0" "\\n" <&3')
      const forgetful = writeProgram(
        newFolder(),
        'bash-env',
        `wait() { builtin wait "$1"; return ${status}; }`,
      )
      const ended = await execute(join(IMAGE, 'entrypoint'), [], {
        TORNADE_INIT: init,
        BASH_ENV: forgetful,
        AWS_PROFILE: 'x',
      })
      expect(ended).toEqual({ code, output: code === 0 ? 'AWS_PROFILE=x\n' : '' })
    },
  )

  it('starts without any of them as well', async () => {
    const init = writeProgram(newFolder(), 'init', 'cat <&3')
    expect(await execute(join(IMAGE, 'entrypoint'), [], { TORNADE_INIT: init })).toEqual({
      code: 0,
      output: '',
    })
  })
})

describe('the container hook', () => {
  const run = (command: string) =>
    spawnSync(join(IMAGE, 'hooks', 'no-containers.sh'), {
      input: JSON.stringify({ command }),
      encoding: 'utf8',
    })

  it.each(['prepare_job', 'run_container_step', 'run_script_step'])(
    'says what to do instead of %s',
    command => {
      const { status, stdout } = run(command)
      expect(status).toBe(1)
      expect(stdout).toMatch(/^::error title=tornade::.*Add the label docker to runs-on.*\n$/)
    },
  )

  it('has nothing to clean up', () => {
    expect(run('cleanup_job').status).toBe(0)
  })
})

describe('the image', () => {
  it('keeps what Docker stores off its own overlay, where builds have it', () => {
    const [, target] = readFileSync(join(IMAGE, 'Dockerfile'), 'utf8').split(/^FROM common AS codebuild$/m)
    expect(target).toMatch(/^VOLUME \/var\/lib\/docker$/m)
  })
})

const SHA = 'a'.repeat(64)
const DIGEST = `sha256:${'d'.repeat(64)}`
const REPOSITORY = '1.dkr.ecr.eu-west-1.amazonaws.com/tornade-test-runner'

/** Runs a copy of build.sh and pin.sh where docker and aws are stand-ins that write down what they are asked. */
async function build({
  release,
  status = 200,
  docker = '',
  arch = 'x64',
}: {
  release: unknown
  /** Of GitHub's answer. */
  status?: number
  /** Shell commands of the stand-in; $* is what it was asked. */
  docker?: string
  arch?: string
}) {
  const folder = newFolder()
  for (const name of ['build.sh', 'pin.sh']) cpSync(join(IMAGE, name), join(folder, name))
  writeProgram(
    folder,
    'docker',
    `echo "$*" >>"${folder}/docker.log"
${docker}
[[ $1 != image ]] || echo '[{"RepoDigests":["elsewhere@${DIGEST}","${REPOSITORY}@${DIGEST}"]}]'`,
  )
  writeProgram(
    folder,
    'aws',
    `printf '%s\\n' "$*" >>"${folder}/aws.log"
case $2 in
  describe-task-definition) cat "${folder}/$4.json" ;;
  register-task-definition) echo arn:aws:ecs:eu-west-1:1:task-definition/tornade-test-x64:8 ;;
esac`,
  )
  writeFileSync(
    join(folder, 'draft.json'),
    JSON.stringify({
      taskDefinitionArn: 'arn:…:draft:3',
      family: 'tornade-test-draft-x64',
      revision: 3,
      status: 'ACTIVE',
      requiresAttributes: [{ name: 'x' }],
      compatibilities: ['FARGATE'],
      registeredAt: 1,
      networkMode: 'awsvpc',
      cpu: '2048',
      memory: '4096',
      taskRoleArn: 'arn:role',
      executionRoleArn: 'arn:execution',
      volumes: [],
      containerDefinitions: [{ name: 'runner', image: 'none', stopTimeout: 120 }],
    }),
  )
  writeFileSync(
    join(folder, 'build-draft.json'),
    JSON.stringify({
      family: 'tornade-test-draft-build-x64',
      volumes: [{ name: 'exchange' }],
      containerDefinitions: [
        { name: 'runner', image: 'none' },
        { name: 'builder', image: 'none' },
      ],
    }),
  )
  const server = createServer((_, response) => response.writeHead(status).end(JSON.stringify(release)))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const environment = {
    PATH: `${folder}:${process.env.PATH}`,
    REPOSITORY,
    GITHUB_API: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    GITHUB_RETRIES: '1',
    DRAFT: 'draft',
    FAMILY: 'tornade-test-x64',
    BUILD_DRAFT: 'build-draft',
    BUILD_FAMILY: 'tornade-test-build-x64',
    PARAMETER: '/tornade/test/images/codebuild-x64',
    RUNNER_PARAMETER: '/tornade/test/images/runner-x64',
  }
  const built = await execute(join(folder, 'build.sh'), [arch], environment)
  server.close()
  const log = (name: string) => {
    const path = join(folder, name)
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  }
  return {
    ...built,
    docker: log('docker.log'),
    aws: () => log('aws.log'),
    pin: () => execute(join(folder, 'pin.sh'), [], environment),
  }
}

const asset = (arch: string, digest: string | null = `sha256:${SHA}`) => ({
  name: `actions-runner-linux-${arch}-2.340.1.tar.gz`,
  digest,
})
const RELEASE = {
  tag_name: 'v2.340.1',
  published_at: '2026-11-10T08:30:00Z',
  assets: [asset('arm64', `sha256:${'b'.repeat(64)}`), asset('x64')],
  body: 'Notes',
}

describe('the image build', () => {
  it('builds and tests both targets of the newest release before it pushes either', async () => {
    const { code, docker, pin, aws } = await build({ release: RELEASE })
    expect(code).toBe(0)
    expect(docker.map(line => line.split(' ')[0])).toEqual([
      'build',
      'run',
      'build',
      'run',
      'build',
      'run',
      'push',
      'image',
      'push',
      'image',
      'push',
      'image',
    ])
    expect(docker[0]).toContain(
      `--build-arg TARGETARCH=amd64 --build-arg RUNNER_VERSION=2.340.1 --build-arg RUNNER_SHA256=${SHA}`,
    )
    expect(docker[1]).toMatch(
      /--network none --entrypoint \/opt\/tornade\/self-check \S+:fargate-x64-2\.340\.1-\d{14} fargate$/,
    )
    expect(aws()).toEqual([])

    expect((await pin()).code).toBe(0)
    const [described, , registered, beside, parameter, runner] = aws()
    expect(described).toContain('ecs describe-task-definition --task-definition draft')
    expect(beside).toContain(
      `"containerDefinitions":[{"name":"runner","image":"${REPOSITORY}@${DIGEST}"},{"name":"builder","image":"${REPOSITORY}@${DIGEST}"}]`,
    )
    const input = JSON.parse(
      /^ecs register-task-definition --cli-input-json (\{.*\}) --query/.exec(registered!)![1]!,
    )
    expect(input).toEqual({
      family: 'tornade-test-x64',
      networkMode: 'awsvpc',
      cpu: '2048',
      memory: '4096',
      taskRoleArn: 'arn:role',
      executionRoleArn: 'arn:execution',
      volumes: [],
      containerDefinitions: [{ name: 'runner', image: `${REPOSITORY}@${DIGEST}`, stopTimeout: 120 }],
    })
    expect(parameter).toBe(
      `ssm put-parameter --name /tornade/test/images/codebuild-x64 --type String --overwrite --value ${REPOSITORY}@${DIGEST}`,
    )
    expect(runner).toBe(
      'ssm put-parameter --name /tornade/test/images/runner-x64 --type String --overwrite --value 2.340.1 2026-11-10T08:30:00Z',
    )
  })

  it('takes the checksum from the release notes where the asset has none', async () => {
    const body = `- x <!-- BEGIN SHA linux-arm64 -->${'c'.repeat(64)}<!-- END SHA linux-arm64 -->`
    const { docker } = await build({
      release: { ...RELEASE, assets: [asset('arm64', null)], body },
      arch: 'arm64',
    })
    expect(docker[0]).toContain(
      `TARGETARCH=arm64 --build-arg RUNNER_VERSION=2.340.1 --build-arg RUNNER_SHA256=${'c'.repeat(64)}`,
    )
  })

  it.each([
    ['no release', { message: 'Not Found' }, 'names no checksum'],
    ['no asset', { ...RELEASE, assets: [] }, 'names no checksum'],
    ['an odd version', { ...RELEASE, tag_name: 'v2; rm' }, 'names no checksum'],
    [
      'two checksums',
      { ...RELEASE, body: `<!-- BEGIN SHA linux-x64 -->${'e'.repeat(64)}<!-- END SHA linux-x64 -->` },
      'disagree',
    ],
  ])('builds nothing with %s', async (_, release, reason) => {
    const { code, docker, output } = await build({ release })
    expect(code).toBe(1)
    expect(docker).toEqual([])
    expect(output).toContain(reason)
  })

  it('says what it means when GitHub does not answer any more', async () => {
    const message = 'API rate limit exceeded for 192.0.2.1.'
    const { code, docker, output } = await build({ release: { message }, status: 403 })
    expect(code).toBe(1)
    expect(docker).toEqual([])
    expect(output).toContain('used up its 60 calls an hour')
    expect(output).toContain('Start this build again in an hour')
  })

  it.each([
    ['a build fails', '[[ $* != build*codebuild* ]] || exit 1'],
    ['a test fails', '[[ $* != run*codebuild ]] || exit 1'],
  ])('pushes and pins nothing when %s', async (_, docker) => {
    const { code, docker: asked, pin, aws } = await build({ release: RELEASE, docker })
    expect(code).not.toBe(0)
    expect(asked.filter(line => line.startsWith('push'))).toEqual([])
    expect((await pin()).code).not.toBe(0)
    expect(aws()).toEqual([])
  })

  it('pins nothing when a push fails', async () => {
    const { code, pin, aws } = await build({
      release: RELEASE,
      docker: '[[ $* != push*codebuild* ]] || exit 1',
    })
    expect(code).not.toBe(0)
    expect((await pin()).code).not.toBe(0)
    expect(aws()).toEqual([])
  })
})
