/**
 * tornade-build as a process: with the real watcher and a stand-in for kaniko that writes down what it was given, and with a
 * stand-in for Docker. What a real builder makes of it: test/builder/build.sh.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { paths } from '../../runner-image/tools/build/context.ts'
import { buildxArguments } from '../../runner-image/tools/build/docker.ts'
import { readOrder, UnusableError } from '../../runner-image/tools/build/request.ts'
import { bundleTools } from '../../scripts/tools.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const OWN = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64'
const DIGEST = `sha256:${'7'.repeat(64)}`
const REF = 'registry.example/team/app:1'

let tool: string
let top: string
beforeAll(async () => {
  top = mkdtempSync(join(tmpdir(), 'tornade-tool-'))
  tool = join(top, 'build.mjs')
  const { bytes } = (await bundleTools(ROOT)).find(({ path }) => path === 'tools/build.mjs')!
  writeFileSync(tool, bytes)
})
afterAll(() => rmSync(top, { recursive: true, force: true }))

function newFolder(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(top, 'folder-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

function program(path: string, script: string): string {
  writeFileSync(path, `#!/usr/bin/env bash\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

interface Run {
  readonly child: ChildProcess
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>
}

function start(argv: readonly string[], environment: Readonly<Record<string, string>>): Run {
  const child = spawn(process.execPath, [tool, ...argv], {
    env: { PATH: process.env.PATH, HOME: top, TORNADE_DOCKER_SOCKET: '/nowhere', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout!.on('data', data => (stdout += data))
  child.stderr!.on('data', data => (stderr += data))
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    child,
    ended: new Promise(resolve => child.on('close', code => resolve({ code, stdout, stderr }))),
  }
}

const shells = [['dash'], ['busybox', 'sh']].filter(
  ([shell]) => spawnSync(shell!, ['-c', ':'], { stdio: 'ignore' }).error === undefined,
)
if (shells.length < 2) process.stdout.write('runner-image/build.test.ts: dash or busybox is missing\n')

/** An exchange folder that the guard has opened, and a watcher whose kaniko is `script`. */
function startWatcher(script: string, { shell = ['sh'], silence = 60 } = {}) {
  const [exchange, own] = [newFolder({ verdict: 'plain\n', heartbeat: '0' }), newFolder()]
  mkdirSync(join(exchange, 'builds'))
  const notes = newFolder()
  const kaniko = program(
    join(own, 'executor'),
    `printf '%s\\0' "$@" >"${notes}/arguments"\nenv >"${notes}/environment"\nfor a in "$@"; do case $a in
  --digest-file=*) digest=\${a#*=} ;;
  --context=*) context=\${a#*=tar://} ;;
esac; done\nfolder=$(dirname "$digest")\n${script}`,
  )
  const [command, ...options] = [...shell, join(ROOT, 'builder-image', 'watch')]
  const watcher = spawn(command!, options, {
    env: {
      PATH: process.env.PATH,
      TORNADE_EXCHANGE_FOLDER: exchange,
      TORNADE_KANIKO_FOLDER: own,
      TORNADE_KANIKO: kaniko,
      TORNADE_SHELL: shell.join(' '),
      TORNADE_INIT: '',
      TORNADE_WATCH_SECONDS: '0.05',
      TORNADE_SILENCE_SECONDS: String(silence),
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/canary',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  watcher.stdout.on('data', data => (said += data))
  let beat = 0
  const heart = setInterval(() => writeFileSync(join(exchange, 'heartbeat'), String(++beat)), 100)
  const ended = new Promise<number | null>(resolve => watcher.on('close', resolve))
  onTestFinished(async () => {
    clearInterval(heart)
    watcher.kill('SIGTERM')
    await ended
  })
  const note = (name: string) => readFileSync(join(notes, name), 'utf8')
  return {
    exchange,
    own,
    notes,
    ended,
    said: () => said,
    stopHeart: () => clearInterval(heart),
    note,
    given: () => note('arguments').split('\0').slice(0, -1),
    left: () => readdirSync(join(exchange, 'builds')),
    build: (argv: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
      start(argv, { TORNADE_EXCHANGE_FOLDER: exchange, ...environment }),
  }
}

const BUILT = `printf %s ${DIGEST} >"$digest"`

async function until(what: () => unknown): Promise<void> {
  for (const end = Date.now() + 40_000; !what(); await new Promise(resolve => setTimeout(resolve, 20)))
    if (Date.now() > end) throw new Error('did not happen')
}

describe('tornade-build beside kaniko', () => {
  it.each(shells)('hands a build over, and answers with its digest (%s %s)', async (...shell) => {
    const watcher = startWatcher(
      `echo from kaniko; tar tzf "$context" >"${top}/listing"; cat "$folder"/secrets/token >"${top}/token"; ${BUILT}`,
      { shell: shell.filter(word => word !== undefined) },
    )
    const context = newFolder({
      Dockerfile: 'FROM scratch\n',
      'a/b': 'x',
      'left/c': 'x',
      '.dockerignore': 'left\n',
    })
    const value = 'two  "quoted" \'words\' \\n \\ $HOME `id` \n second line\n'
    const { code, stdout, stderr } = await watcher.build(
      [
        ...['--context', context, '--tag', REF, '--tag', 'other.example/app', '--target', 'final'],
        ...['--build-arg', `A=${value}`, '--build-arg', 'EMPTY=', '--label', 'key=1 2'],
        ...[
          '--secret',
          'id=token,env=TOKEN',
          '--cache-repo',
          'registry.example/team/cache',
          '--cache-read-only',
        ],
        ...['--compression', 'zstd', '--metadata-file', join(top, 'metadata.json')],
      ],
      { TOKEN: 'canary-secret' },
    ).ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${DIGEST}\n` })
    expect(stderr).toContain('from kaniko\n')
    const given = watcher.given()
    const folder = dirname(given.find(one => one.startsWith('--digest-file='))!.split('=')[1]!)
    expect(given.filter(one => !one.includes(folder) || one.startsWith('--secret'))).toEqual([
      '--pre-cleanup',
      '--cleanup',
      `--ignore-path=${watcher.exchange}`,
      '--compressed-caching=false',
      '--push-retry=2',
      '--image-download-retry=2',
      '--push-ignore-immutable-tag-errors',
      `--custom-platform=${OWN}`,
      '--target=final',
      `--build-arg=A=${value}`,
      '--build-arg=EMPTY=',
      '--label=key=1 2',
      `--secret=id=token,src=${folder}/secrets/token`,
      `--destination=${REF}`,
      '--destination=other.example/app',
      '--cache=true',
      '--cache-repo=registry.example/team/cache',
      '--no-push-cache',
      '--compression=zstd',
      '--image-format=oci',
    ])
    expect(readFileSync(join(top, 'listing'), 'utf8').trim().split('\n').toSorted()).toEqual([
      '.dockerignore',
      'Dockerfile',
      'a/',
      'a/b',
    ])
    expect(readFileSync(join(top, 'token'), 'utf8')).toBe('canary-secret')
    for (const text of [given.join(), stderr, watcher.note('environment'), watcher.said()])
      expect(text).not.toContain('canary')
    expect(JSON.parse(readFileSync(join(top, 'metadata.json'), 'utf8'))).toMatchObject({
      digest: DIGEST,
      images: [`registry.example/team/app@${DIGEST}`, `other.example/app@${DIGEST}`],
      seconds: expect.any(Number),
      cache: { hits: 0, misses: 0 },
    })
    expect(watcher.left()).toEqual([])
  })

  it('fails with the words of kaniko', async () => {
    const words =
      'error checking push permissions: denied: not authorized to perform: ecr:InitiateLayerUpload'
    const watcher = startWatcher(`echo working; echo "${words}"; echo; exit 1`)
    const context = newFolder({ Dockerfile: '' })
    const { code, stdout, stderr } = await watcher.build(['--context', context, '--tag', REF]).ended
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(`tornade-build: failed: ${words}`)
    expect(watcher.left()).toEqual([])
  })

  it('shows a log to its end, and the words there, however much came at last', async () => {
    const watcher = startWatcher(
      'head -c 5000000 /dev/zero | tr "\\0" x | fold -w 99; echo; echo "error building image: at the end"; exit 1',
    )
    const context = newFolder({ Dockerfile: '' })
    const { code, stderr } = await watcher.build(['--context', context, '--tag', REF]).ended
    expect(code).toBe(1)
    expect(stderr.length).toBeGreaterThan(5_000_000)
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      'tornade-build: failed: error building image: at the end',
    )
  })

  it('shows nothing of what is built as a command to the runner program', async () => {
    const watcher = startWatcher(
      `printf '%s\\n' '::add-mask::a' ' \t::set-output name=digest::b' 'x ##[add-mask]c' std::vector; printf '..\\r::error::d\\n'
printf 'error: ##[add-mask]e\\n'; exit 1`,
    )
    const { stderr } = await watcher.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF]).ended
    expect(stderr).toContain('std::vector')
    expect(stderr).toContain('add-mask]e')
    // https://github.com/actions/runner/blob/v2.336.0/src/Runner.Common/ActionCommand.cs
    for (const line of stderr.split(/[\r\n]/)) expect(line).not.toMatch(/^\s*::|##\[/)
  })

  it('says that memory was short when kaniko was killed', async () => {
    const watcher = startWatcher('kill -KILL $$')
    const { code, stderr } = await watcher.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
      .ended
    expect(code).toBe(1)
    expect(stderr).toContain('for want of memory')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'is cancelled by %s in the middle, and leaves nothing behind',
    async name => {
      const watcher = startWatcher(
        'echo it sleeps; (setsid sleep 0; exec sleep 86399) & echo $! >"' +
          `${top}/child-${name}` +
          '"; wait',
      )
      const run = watcher.build(
        ['--context', newFolder({ Dockerfile: '' }), '--tag', REF, '--secret', 'id=t,env=T'],
        {
          T: 'canary',
        },
      )
      await until(
        () => existsSync(join(top, `child-${name}`)) && readFileSync(join(top, `child-${name}`), 'utf8'),
      )
      const began = performance.now()
      run.child.kill(name)
      const { code, stderr } = await run.ended
      expect(code).toBe(4)
      expect(stderr).toContain(`cancelled (${name})`)
      expect(performance.now() - began).toBeLessThan(30_000)
      expect(watcher.left()).toEqual([])
      const child = Number(readFileSync(join(top, `child-${name}`), 'utf8'))
      await until(() => !existsSync(`/proc/${child}`))
      expect(existsSync(join(watcher.own, 'session'))).toBe(false)
    },
  )

  it('is cancelled while its context is archived', async () => {
    const watcher = startWatcher(BUILT)
    const context = newFolder({ Dockerfile: '', big: '' })
    truncateSync(join(context, 'big'), 20 * 2 ** 30)
    const run = watcher.build(['--context', context, '--tag', REF])
    const archive = () => watcher.left().map(id => join(watcher.exchange, 'builds', id, 'context.tar.gz'))[0]
    await until(() => existsSync(archive() ?? '/nowhere') && statSync(archive()!).size > 2 ** 20)
    const began = performance.now()
    run.child.kill('SIGTERM')
    expect((await run.ended).code).toBe(4)
    expect(performance.now() - began).toBeLessThan(30_000)
    expect(watcher.left()).toEqual([])
    expect(existsSync(join(watcher.notes, 'arguments'))).toBe(false)
  })

  it('waits for another one of its job, and can be cancelled meanwhile', async () => {
    const going = join(newFolder(), 'going')
    const watcher = startWatcher(
      `[ ! -e "${going}" ] || echo both >>"${top}/both"; : >"${going}"
until [ -e "${going}-on" ]; do sleep 0.05; done; rm "${going}"; ${BUILT}`,
    )
    const build = () => watcher.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
    const first = build()
    await until(() => existsSync(going))
    const [second, third] = [build(), build()]
    const ready = () => watcher.left().filter(id => existsSync(join(watcher.exchange, 'builds', id, 'ready')))
    await until(() => ready().length === 2)
    third.child.kill('SIGTERM')
    expect((await third.ended).code).toBe(4)
    expect(ready()).toHaveLength(1)
    writeFileSync(`${going}-on`, '')
    expect([(await first.ended).code, (await second.ended).code]).toEqual([0, 0])
    expect([existsSync(join(top, 'both')), watcher.left()]).toEqual([false, []])
  })

  it('ends with its own timeout', async () => {
    const watcher = startWatcher('sleep 86399')
    const { code, stderr } = await watcher.build([
      '--context',
      newFolder({ Dockerfile: '' }),
      '--tag',
      REF,
      '--timeout',
      '1s',
    ]).ended
    expect(code).toBe(4)
    expect(stderr).toContain('not done after 1 s (--timeout)')
    expect(watcher.left()).toEqual([])
  })

  it('is given up by the watcher when it was killed itself, its secrets with it', async () => {
    const watcher = startWatcher('sleep 86399', { silence: 3 })
    const run = watcher.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
    await until(() => existsSync(join(watcher.notes, 'environment')))
    run.child.kill('SIGKILL')
    await until(() => watcher.left().length === 0)
    expect(watcher.said()).toContain('nobody waits for it any more')
  })

  it('has kaniko killed, and the watcher end, when the runner is gone', async () => {
    const watcher = startWatcher(`echo $$ >"${top}/gone"; exec sleep 86399`, { silence: 2 })
    watcher.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
    await until(() => existsSync(join(top, 'gone')) && readFileSync(join(top, 'gone'), 'utf8'))
    watcher.stopHeart()
    expect(await watcher.ended).toBe(0)
    expect(existsSync(`/proc/${Number(readFileSync(join(top, 'gone'), 'utf8'))}`)).toBe(false)
  })

  it('takes a context of 2 GB without taking memory for it', async () => {
    const watcher = startWatcher(
      `tar --extract --gzip --to-stdout --file "$context" big | wc -c >"${top}/size"; ${BUILT}`,
    )
    const context = newFolder({ Dockerfile: '', big: '' })
    truncateSync(join(context, 'big'), 2 * 2 ** 30)
    const run = watcher.build(['--context', context, '--tag', REF])
    let most = 0
    const look = setInterval(() => {
      const status =
        existsSync(`/proc/${run.child.pid}/status`) && readFileSync(`/proc/${run.child.pid}/status`, 'utf8')
      most = Math.max(most, Number(/^VmHWM:\s+(\d+) kB/m.exec(status || '')?.[1] ?? 0))
    }, 50)
    const { code } = await run.ended
    clearInterval(look)
    expect(code).toBe(0)
    expect(Number(readFileSync(join(top, 'size'), 'utf8'))).toBe(2 * 2 ** 30)
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(300 * 1024)
  }, 300_000)

  it.each([
    ['--insecure'],
    ['--context=dir:///'],
    ['--digest-file=/etc/passwd'],
    ['--custom-platform=linux/s390x'],
    ['--secret=id=x,src=/etc/passwd'],
    ['--secret=id=../x,src=/etc/passwd'],
    ['--registry-mirror=evil.example'],
    [''],
  ])('has a watcher that gives kaniko nothing but what belongs to a request: %s', async argument => {
    const watcher = startWatcher(BUILT)
    const folder = join(watcher.exchange, 'builds', 'forged')
    mkdirSync(folder)
    writeFileSync(join(folder, 'arguments'), `${argument}\n`)
    writeFileSync(join(folder, 'ready'), '')
    await until(() => existsSync(join(folder, 'result.json')))
    expect(JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8'))).toEqual({
      exitCode: 2,
      digest: null,
      message: 'an argument is not allowed',
    })
    expect(existsSync(join(watcher.notes, 'arguments'))).toBe(false)
  })

  describe('and a tag that is immutable', () => {
    async function registry(manifest: string): Promise<string> {
      const server: Server = createServer((request, response) =>
        request.url === '/v2/team/app/manifests/1' ? response.end(manifest) : response.writeHead(404).end(),
      )
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      onTestFinished(() => void server.close())
      return `127.0.0.1:${(server.address() as AddressInfo).port}/team/app:1`
    }
    const MANIFEST = JSON.stringify({ config: { size: 1 }, layers: [{ size: 20 }, { size: 300 }] })
    const IS = 'sha256:4b6fe1f5dcb81a7c6cb0a91e3f1a5cf2f0ea1b6a9a9a2f0b1d2b3f1b1c6b0d00'
    const ignored = 'echo "INFO[0001] Immutable tag error ignored for x"'

    it('fails where it is another image', async () => {
      const watcher = startWatcher(`${ignored}; printf ${IS} >"$digest"`)
      const tag = await registry(MANIFEST)
      const { code, stdout, stderr } = await watcher.build([
        '--context',
        newFolder({ Dockerfile: '' }),
        '--tag',
        tag,
      ]).ended
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toContain(`${tag} is immutable and is sha256:`)
    })

    it('is built where it is the same one, whose size is told', async () => {
      const watcher = startWatcher(
        `${ignored}; printf 'sha256:%s' "$(printf %s '${MANIFEST}' | sha256sum | cut -d ' ' -f 1)" >"$digest"`,
      )
      const tag = await registry(MANIFEST)
      const { code } = await watcher.build([
        ...[
          '--context',
          newFolder({ Dockerfile: '' }),
          '--tag',
          tag,
          '--metadata-file',
          join(top, 'same.json'),
        ],
      ]).ended
      expect(code).toBe(0)
      expect(JSON.parse(readFileSync(join(top, 'same.json'), 'utf8')).size).toBe(321)
    })
  })

  it('is refused where this job may not build, and where nothing builds', async () => {
    const argv = ['--context', newFolder({ Dockerfile: '' }), '--tag', REF]
    const closed = await start(argv, { TORNADE_EXCHANGE_FOLDER: newFolder() }).ended
    expect([closed.code, closed.stderr]).toEqual([
      3,
      expect.stringContaining('this job may not build images'),
    ])
    const none = await start(argv, { TORNADE_EXCHANGE_FOLDER: '/nowhere' }).ended
    expect([none.code, none.stderr]).toEqual([3, expect.stringContaining('Add the label build to runs-on')])
  })

  it('builds for its own architecture alone', async () => {
    const watcher = startWatcher(BUILT)
    const other = OWN === 'linux/amd64' ? 'linux/arm64' : 'linux/amd64'
    const { code, stderr } = await watcher.build([
      '--context',
      newFolder({ Dockerfile: '' }),
      '--tag',
      REF,
      '--platform',
      other,
    ]).ended
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('kaniko builds for the architecture of its runner'),
    ])
  })
})

describe('tornade-build with Docker', () => {
  /** @param script what `docker buildx build` does; $metadata is the file that it should write */
  function withDocker(script: string, driver = 'docker') {
    const folder = newFolder({ socket: '' })
    program(
      join(folder, 'docker'),
      `if [[ $2 = inspect ]]; then printf 'Name: default\\nDriver:   ${driver}\\n'; exit; fi
printf '%s\\0' "$@" >"${folder}/arguments"
while [[ $1 != --metadata-file ]]; do shift; done; metadata=$2
${script}`,
    )
    return {
      given: () => readFileSync(join(folder, 'arguments'), 'utf8').split('\0').slice(0, -1),
      folder,
      build: (argv: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
        start(argv, {
          PATH: `${folder}:${process.env.PATH}`,
          TORNADE_EXCHANGE_FOLDER: '/nowhere',
          TORNADE_DOCKER_SOCKET: join(folder, 'socket'),
          ...environment,
        }),
    }
  }

  it('hands the same request to buildx', async () => {
    const docker = withDocker(
      `echo '#5 [2/3] RUN make' >&2; echo '#5 CACHED' >&2; echo '#6 [3/3] COPY . .' >&2; test "$TOKEN" = canary || exit 1
echo '{"containerimage.digest":"${DIGEST}"}' >"$metadata"`,
    )
    const context = newFolder({ Dockerfile: '' })
    const { code, stdout, stderr } = await docker.build(
      [
        ...[
          '--context',
          context,
          '--tag',
          REF,
          '--build-arg',
          'A=two "words"',
          '--secret',
          'id=token,env=TOKEN',
        ],
        ...['--metadata-file', join(top, 'docker.json')],
      ],
      { TOKEN: 'canary' },
    ).ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${DIGEST}\n` })
    const given = docker.given()
    expect(given.slice(given.indexOf('--platform'))).toEqual([
      ...['--platform', OWN, '--file', join(context, 'Dockerfile'), '--build-arg', 'A=two "words"'],
      ...['--secret', 'id=token,env=TOKEN', '--tag', REF, '--push', context],
    ])
    expect(given.join() + stderr).not.toContain('canary')
    expect(JSON.parse(readFileSync(join(top, 'docker.json'), 'utf8')).cache).toEqual({ hits: 1, misses: 1 })
  })

  it('fails with the words of Docker', async () => {
    const docker = withDocker('echo "ERROR: failed to push: the tag is immutable" >&2; exit 1')
    const { code, stderr } = await docker.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
      .ended
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('tornade-build: failed: ERROR: failed to push: the tag'),
    ])
  })

  it('shows nothing of what is built as a command to the runner program', async () => {
    const docker = withDocker('echo "#7 0.1 std::vector ##[add-mask]a" >&2; exit 1')
    const { stderr } = await docker.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF]).ended
    expect(stderr).toContain('#7 0.1 std::vector ## [add-mask]a\n')
    expect(stderr).not.toContain('##[')
  })

  it('is cancelled in the middle', async () => {
    const docker = withDocker(`echo $$ >"${top}/docker-pid"; sleep 86399`)
    const run = docker.build(['--context', newFolder({ Dockerfile: '' }), '--tag', REF])
    await until(() => existsSync(join(top, 'docker-pid')) && readFileSync(join(top, 'docker-pid'), 'utf8'))
    run.child.kill('SIGTERM')
    expect((await run.ended).code).toBe(4)
    expect(existsSync(`/proc/${Number(readFileSync(join(top, 'docker-pid'), 'utf8'))}`)).toBe(false)
  })

  it('keeps a cache where each of its builders can', () => {
    const context = newFolder({ Dockerfile: '' })
    const order = (...more: string[]) =>
      readOrder(['--tag', REF, '--cache-repo', 'r.example/cache', ...more], {
        environment: {},
        cwd: context,
        arch: 'x64',
      })!
    const cacheOf = (given: string[]) => given.filter(one => /^type=|^r\.example/.test(one))
    expect(cacheOf(buildxArguments(order(), '/m', false))).toEqual([
      'r.example/cache:cache',
      'type=inline',
      'type=registry,ref=r.example/cache:cache',
    ])
    expect(cacheOf(buildxArguments(order('--compression', 'zstd'), '/m', true))).toEqual([
      'type=registry,ref=r.example/cache:cache',
      'type=registry,ref=r.example/cache:cache,mode=max,image-manifest=true,oci-mediatypes=true',
      'type=image,push=true,compression=zstd,oci-mediatypes=true',
    ])
    expect(cacheOf(buildxArguments(order('--cache-read-only'), '/m', false))).toEqual([
      'type=registry,ref=r.example/cache:cache',
    ])
  })
})

describe('what is asked for', () => {
  const read = (cwd: string, ...argv: string[]) =>
    readOrder(argv, { environment: { SET: 's' }, cwd, arch: 'arm64' })
  const faults = (cwd: string, ...argv: string[]) => {
    try {
      read(cwd, ...argv)
    } catch (error) {
      if (error instanceof UnusableError) return error.message
      throw error
    }
    return ''
  }

  it('has defaults', () => {
    const cwd = newFolder({ Dockerfile: '' })
    expect(read(cwd, '--tag', REF, '--build-arg', 'SET', '--build-arg', 'UNSET')).toMatchObject({
      request: { dockerfile: 'Dockerfile', buildArgs: { SET: 's' }, push: true, platform: 'linux/arm64' },
      timeoutMs: 3_600_000,
    })
    expect(read(cwd, '--no-push')?.request).toMatchObject({ push: false, tags: [] })
  })

  it('is told with all its faults at once', () => {
    const said = faults(
      newFolder(),
      '--tag',
      'app:1',
      '--platform',
      'linux/mips',
      '--timeout',
      '0m',
      '--label',
      'x',
    )
    expect(said.split('\n')).toHaveLength(5)
    expect(said).toContain('there is no such Dockerfile')
  })

  it.each([
    'id=x',
    'src=/x',
    'id=a/b,env=SET',
    'id=..,env=SET',
    'canary',
    'id=x,env=NONE',
    'id=x,src=/none',
    'id=x,env=SET,src=/x',
  ])('has no secret %s, and does not repeat it', text => {
    const said = faults(newFolder({ Dockerfile: '' }), '--no-push', '--secret', text)
    expect(said).toMatch(/^--secret/)
    expect(said).not.toContain('canary')
  })

  it('does not follow links out of the context', () => {
    const cwd = newFolder()
    symlinkSync('/etc/hostname', join(cwd, 'Dockerfile'))
    expect(faults(cwd, '--no-push')).toContain('is a link that leads out of the context')
  })

  it('takes no tag that is none', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        fc.pre(!/^[\w.:/-]*$/.test(text))
        expect(faults(newFolderOnce(), '--no-push', `--tag=r.example/a${text}`)).toContain('--tag')
      }),
    )
  })

  let once: string | undefined
  const newFolderOnce = () => {
    once ??= newFolder({ Dockerfile: '' })
    return once
  }
})

describe('the context', () => {
  const listed = async (folder: string, rules: string) => {
    const names: string[] = []
    for await (const name of paths(folder, rules)) names.push(name.toString().replace('\0', ''))
    return names.toSorted()
  }

  it('is what .dockerignore leaves, exceptions below what is left out among it', async () => {
    const folder = newFolder({ 'a/x': '', 'a/y/z': '', b: '', 'c/d.log': '' })
    symlinkSync('/etc', join(folder, 'link'))
    expect(await listed(folder, '')).toEqual(['a', 'a/x', 'a/y', 'a/y/z', 'b', 'c', 'c/d.log', 'link'])
    expect(await listed(folder, 'a\n!a/y/z\n**/*.log\n')).toEqual(['a/y/z', 'b', 'c', 'link'])
    expect(await listed(folder, '*\n')).toEqual([])
  })
})
