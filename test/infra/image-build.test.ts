/** The commands of an image build, run as CodeBuild would, with stand-ins for everything that they call. */
import { spawn, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { zip } from '../../scripts/zip.ts'
import { ROOT } from './stack.ts'

let commands: readonly string[]
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tornade-image-'))
  const { buildspec } = parse(await readFile(join(ROOT, 'infra/image-build.yml'), 'utf8'))
  const { version, phases } = parse(buildspec)
  expect(version).toBe(0.2)
  // One phase, so that nothing runs after a failure: CodeBuild goes on with post_build after a build that failed.
  expect(Object.keys(phases)).toEqual(['build'])
  commands = phases.build.commands
})
afterAll(() => rm(folder, { recursive: true }))

const REPOSITORY = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/tornade-dev-runner'
const DRAFT = {
  taskDefinitionArn: 'arn:aws:ecs:eu-west-1:123456789012:task-definition/tornade-dev-draft-x64:4',
  family: 'tornade-dev-draft-x64',
  revision: 4,
  status: 'ACTIVE',
  requiresAttributes: [{ name: 'ecs.capability.task-eni' }],
  compatibilities: ['EC2', 'FARGATE'],
  registeredAt: '2026-11-23T05:00:00Z',
  taskRoleArn: 'arn:aws:iam::123456789012:role/tornade/dev/runners/runner',
  executionRoleArn: 'arn:aws:iam::123456789012:role/tornade/dev/runners/execution',
  networkMode: 'awsvpc',
  requiresCompatibilities: ['FARGATE'],
  runtimePlatform: { cpuArchitecture: 'X86_64', operatingSystemFamily: 'LINUX' },
  cpu: '2048',
  memory: '4096',
  volumes: [],
  containerDefinitions: [
    { name: 'runner', image: `${REPOSITORY}@sha256:${'0'.repeat(64)}`, stopTimeout: 120, essential: true },
  ],
}
/** The same with the image builder beside the runner. */
const BUILD_DRAFT = {
  ...DRAFT,
  taskDefinitionArn: 'arn:aws:ecs:eu-west-1:123456789012:task-definition/tornade-dev-draft-build-x64:4',
  family: 'tornade-dev-draft-build-x64',
  volumes: [{ name: 'exchange' }],
  containerDefinitions: [
    ...DRAFT.containerDefinitions,
    { name: 'builder', image: `${REPOSITORY}@sha256:${'0'.repeat(64)}`, essential: false },
  ],
}

const RELEASE = {
  tag_name: 'v2.336.0',
  published_at: '2026-10-20T08:30:00Z',
  body: '',
  assets: [{ name: 'actions-runner-linux-x64-2.336.0.tar.gz', digest: `sha256:${'c'.repeat(64)}` }],
}
const DIGESTS = { fargate: 'a'.repeat(64), codebuild: 'b'.repeat(64), builder: 'd'.repeat(64) }

const STAND_INS = {
  aws: `case "$1 $2" in
  'lambda get-function') echo https://source.example/zip ;;
  'ecr get-login-password') echo password ;;
  'ecs describe-task-definition') case "$4" in *-build-*) cat "$ROOT/build-draft.json" ;; *) cat "$ROOT/draft.json" ;; esac ;;
  'ecs register-task-definition') printf '%s\\n' "$4" >> "$ROOT/pinned.jsonl"; echo arn ;;
esac`,
  docker: `case "$1" in
  login) cat > /dev/null ;;
  image) case "$3" in *:fargate-*) digest=${DIGESTS.fargate} ;; *:builder-*) digest=${DIGESTS.builder} ;; *) digest=${DIGESTS.codebuild} ;; esac
    echo '[{"RepoDigests":["${REPOSITORY}@sha256:'$digest'"]}]' ;;
esac`,
  curl: `case "$*" in *api.github.com*) cat "$ROOT/release.json" ;; *) cp "$ROOT/source.zip" source.zip ;; esac`,
}

/** Runs the build; `failing`: the call that fails, by how its line in the log begins. Answers what was called, in order. */
async function build(failing?: string): Promise<{ code: number | null; calls: string[]; pinned: unknown[] }> {
  const root = await mkdtemp(join(folder, 'build-'))
  const [bin, work] = [join(root, 'bin'), join(root, 'work')]
  await Promise.all([bin, work].map(path => mkdir(path)))
  const log = `line="$(basename "$0") $*"
line="\${line//$'\\n'/ }"
echo "$line" >> "$ROOT/log"
case "$line" in "$FAILING"*) exit 1 ;; esac
`
  for (const [name, body] of Object.entries(STAND_INS)) {
    await writeFile(join(bin, name), `#!/usr/bin/env bash\n${log}${body}\n`)
    await chmod(join(bin, name), 0o755)
  }
  await writeFile(join(root, 'draft.json'), JSON.stringify(DRAFT))
  await writeFile(join(root, 'build-draft.json'), JSON.stringify(BUILD_DRAFT))
  await writeFile(join(root, 'release.json'), JSON.stringify(RELEASE))
  const source = ['runner-image/build.sh', 'runner-image/pin.sh', 'builder-image/Dockerfile'].map(
    async path => ({ path, bytes: await readFile(join(ROOT, path)) }),
  )
  await writeFile(join(root, 'source.zip'), zip(await Promise.all(source)))
  const script = commands.map(command => `${command}\n[ $? -eq 0 ] || exit 9`).join('\n')
  const code = await run(script, work, {
    PATH: `${bin}:${process.env.PATH}`,
    ROOT: root,
    FAILING: failing ?? 'nothing',
    ARCH: 'x64',
    REPOSITORY,
    SOURCE: 'tornade-dev-sweep',
    DRAFT: DRAFT.taskDefinitionArn,
    FAMILY: 'tornade-dev-x64',
    BUILD_DRAFT: BUILD_DRAFT.taskDefinitionArn,
    BUILD_FAMILY: 'tornade-dev-build-x64',
    PARAMETER: '/tornade/dev/images/codebuild-x64',
    RUNNER_PARAMETER: '/tornade/dev/images/runner-x64',
  })
  const calls = (await readFile(join(root, 'log'), 'utf8'))
    .replaceAll(/\d{14}/g, 'TIME')
    .trim()
    .split('\n')
  const pinned = await readFile(join(root, 'pinned.jsonl'), 'utf8').then(
    text =>
      text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line)),
    () => [],
  )
  return { code, calls, pinned }
}

function run(script: string, cwd: string, env: Record<string, string>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    spawn('bash', ['-c', script], { cwd, env, stdio: 'ignore' }).on('error', reject).on('exit', resolve)
  })
}

const missing = ['bash', 'jq', 'unzip'].filter(name => spawnSync(name, ['--version']).error)

describe.skipIf(missing.length > 0)('an image build', () => {
  const tag = (target: string) => `${REPOSITORY}:${target}-x64-2.336.0-TIME`
  const pinnedTag = (target: string) => `${REPOSITORY}:pinned-${target}-x64-2.336.0-TIME`

  it('builds and tests, pushes, and then pins what it pushed', async () => {
    const { code, calls, pinned } = await build()
    expect(code).toBe(0)
    // Of a call no more than what says which it is.
    const expected = [
      'aws lambda get-function --function-name tornade-dev-sweep',
      'curl --fail --silent --show-error --location --output source.zip https://source.example/zip',
      'aws ecr get-login-password',
      `docker login --username AWS --password-stdin ${REPOSITORY}`,
      'curl ',
      `docker build --pull --target fargate --tag ${tag('fargate')} `,
      `docker run --rm --network none --entrypoint /opt/tornade/self-check ${tag('fargate')}`,
      `docker build --pull --target codebuild --tag ${tag('codebuild')} `,
      `docker run --rm --network none --entrypoint /opt/tornade/self-check ${tag('codebuild')}`,
      `docker build --pull --tag ${tag('builder')} `,
      `docker run --rm --network none --entrypoint /kaniko/bin/sh ${tag('builder')} /kaniko/self-check`,
      `docker push --quiet ${tag('fargate')}`,
      `docker image inspect ${tag('fargate')}`,
      `docker push --quiet ${tag('codebuild')}`,
      `docker image inspect ${tag('codebuild')}`,
      `docker push --quiet ${tag('builder')}`,
      `docker image inspect ${tag('builder')}`,
      `aws ecs describe-task-definition --task-definition ${DRAFT.taskDefinitionArn}`,
      `aws ecs describe-task-definition --task-definition ${BUILD_DRAFT.taskDefinitionArn}`,
      'aws ecs register-task-definition ',
      'aws ecs register-task-definition ',
      'aws ssm put-parameter --name /tornade/dev/images/codebuild-x64 --type String --overwrite ' +
        `--value ${REPOSITORY}@sha256:${DIGESTS.codebuild}`,
      'aws ssm put-parameter --name /tornade/dev/images/runner-x64 --type String --overwrite ' +
        '--value 2.336.0 2026-10-20T08:30:00Z',
      // So that no later push makes the repository forget them.
      `docker tag ${REPOSITORY}@sha256:${DIGESTS.fargate} ${pinnedTag('fargate')}`,
      `docker push --quiet ${pinnedTag('fargate')}`,
      `docker tag ${REPOSITORY}@sha256:${DIGESTS.codebuild} ${pinnedTag('codebuild')}`,
      `docker push --quiet ${pinnedTag('codebuild')}`,
      `docker tag ${REPOSITORY}@sha256:${DIGESTS.builder} ${pinnedTag('builder')}`,
      `docker push --quiet ${pinnedTag('builder')}`,
    ]
    expect(calls.map((call, index) => call.slice(0, expected[index]?.length))).toEqual(expected)
    const kept = ({ family, volumes }: typeof DRAFT, images: Readonly<Record<string, string>>) => ({
      family: family.replace('-draft', ''),
      volumes,
      containerDefinitions: BUILD_DRAFT.containerDefinitions.flatMap(container =>
        images[container.name]
          ? [{ ...container, image: `${REPOSITORY}@sha256:${images[container.name]}` }]
          : [],
      ),
      taskRoleArn: DRAFT.taskRoleArn,
      executionRoleArn: DRAFT.executionRoleArn,
      networkMode: DRAFT.networkMode,
      requiresCompatibilities: DRAFT.requiresCompatibilities,
      runtimePlatform: DRAFT.runtimePlatform,
      cpu: DRAFT.cpu,
      memory: DRAFT.memory,
    })
    expect(pinned).toEqual([
      kept(DRAFT, { runner: DIGESTS.fargate }),
      kept(BUILD_DRAFT as never, { runner: DIGESTS.fargate, builder: DIGESTS.builder }),
    ])
  })

  it.each([
    'aws lambda get-function',
    'curl --fail --silent --show-error --location --output',
    'aws ecr get-login-password',
    'docker login',
    'curl --fail --silent --show-error --location --retry',
    'docker build --pull --target codebuild',
    'docker run',
    `docker push --quiet ${REPOSITORY}:builder`,
    `docker push --quiet ${REPOSITORY}:fargate`,
    `docker push --quiet ${REPOSITORY}:codebuild`,
    'docker image inspect',
    'aws ecs describe-task-definition',
    `aws ecs describe-task-definition --task-definition ${BUILD_DRAFT.taskDefinitionArn}`,
  ])('pins nothing when this fails: %s', async failing => {
    const { code, calls } = await build(failing)
    expect(code).toBe(9)
    expect(calls.at(-1)!.startsWith(failing)).toBe(true)
    expect(calls.filter(call => /register-task-definition|put-parameter|pinned-/.test(call))).toEqual([])
  })

  it.each([
    `docker build --pull --tag ${REPOSITORY}:builder`,
    'docker run --rm --network none --entrypoint /kaniko/bin/sh',
  ])('pins the images of runners alone, and fails, when the builder fails: %s', async failing => {
    const { code, calls, pinned } = await build(failing)
    expect(code).toBe(9)
    expect(pinned).toMatchObject([{ family: 'tornade-dev-x64', containerDefinitions: [{ name: 'runner' }] }])
    const kept = calls.filter(call => /put-parameter|docker push/.test(call))
    expect(kept.map(call => call.split(' ').slice(0, 5).join(' '))).toEqual([
      `docker push --quiet ${tag('fargate')}`,
      `docker push --quiet ${tag('codebuild')}`,
      'aws ssm put-parameter --name /tornade/dev/images/codebuild-x64',
      'aws ssm put-parameter --name /tornade/dev/images/runner-x64',
      `docker push --quiet ${pinnedTag('fargate')}`,
      `docker push --quiet ${pinnedTag('codebuild')}`,
    ])
  })

  it('leaves CodeBuild its image when Fargate could not be given one', async () => {
    const { code, calls } = await build('aws ecs register-task-definition')
    expect(code).toBe(9)
    expect(calls.filter(call => call.includes('put-parameter'))).toEqual([])
  })
})
