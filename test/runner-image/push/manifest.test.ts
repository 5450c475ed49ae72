/** actions/manifest as its step runs it, against a registry of the tests over HTTP. With a real one: test/builder/push.sh. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { indexOf, join as joinImages } from '../../../runner-image/tools/push/index.ts'
import { Repository } from '../../../runner-image/tools/push/repository.ts'
import { bundleTools } from '../../../scripts/tools.ts'

const ROOT = join(import.meta.dirname, '../../..')
const ACTION = join(ROOT, 'actions/manifest')
const OCI = 'application/vnd.oci.image.manifest.v1+json'
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json'
const top = mkdtempSync(join(tmpdir(), 'tornade-manifest-test-'))
const digestOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`

// ------------------------------------------------------------------------------------------------------------ a registry
const CREDENTIALS = `Basic ${Buffer.from('AWS:canary').toString('base64')}`
let server: Server
let host: string
/** By digest, and by tag. */
const stored = new Map<string, { type: string; text: string }>()
const frozen = new Set<string>()
const puts: string[] = []
/** What the next calls are answered with, in place of an answer. */
let failures: number[] = []

beforeAll(async () => {
  vi.stubEnv('DOCKER_CONFIG', top)
  const [tool] = await bundleTools(ROOT, ['manifest'])
  writeFileSync(join(top, 'manifest.mjs'), tool!.bytes)
  writeFileSync(
    join(top, 'tornade-manifest'),
    `#!/bin/sh\nexec '${process.execPath}' '${top}/manifest.mjs' "$@"\n`,
  )
  chmodSync(join(top, 'tornade-manifest'), 0o755)
  server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += chunk))
    request.on('end', () => {
      const answer = (status: number, text = '', type = 'application/json') =>
        response.writeHead(status, { 'content-type': type }).end(text)
      const failure = failures.shift()
      if (failure) return answer(failure, 'busy')
      const url = request.url!
      if (url.startsWith('/token'))
        return request.headers.authorization === CREDENTIALS
          ? answer(200, '{"token":"bearer"}')
          : answer(401, '{}')
      if (request.headers.authorization !== 'Bearer bearer') {
        response.setHeader(
          'www-authenticate',
          `Bearer realm="http://${host}/token",service="x",scope="repository:team/shop:pull,push"`,
        )
        return answer(401)
      }
      const [, kind, reference] = /^\/v2\/team\/shop\/(manifests|blobs)\/(.+)$/.exec(url) ?? []
      if (request.method === 'PUT') {
        if (frozen.has(reference!))
          return answer(400, '{"errors":[{"code":"TAG_INVALID","message":"immutable\\n::x::"}]}')
        puts.push(reference!)
        for (const name of [reference!, digestOf(body)])
          stored.set(name, { type: request.headers['content-type']!, text: body })
        return answer(201)
      }
      const found = kind && stored.get(reference!)
      return found ? answer(200, found.text, found.type) : answer(404, '{}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(
    join(top, 'config.json'),
    JSON.stringify({ auths: { [host]: { auth: CREDENTIALS.slice('Basic '.length) } } }),
  )
})
afterAll(() => {
  vi.unstubAllEnvs()
  server.close()
  rmSync(top, { recursive: true, force: true })
})
beforeEach(() => {
  stored.clear()
  frozen.clear()
  puts.length = 0
  failures = []
})

/** @returns its digest */
function store(type: string, content: object): string {
  const text = JSON.stringify(content)
  stored.set(digestOf(text), { type, text })
  return digestOf(text)
}

/** An image of so many layers. */
function image(platform: object, type = OCI): string {
  const digest = store('application/octet-stream', { ...platform, rootfs: {} })
  return store(type, { schemaVersion: 2, mediaType: type, config: { digest, size: 10 }, layers: [] })
}

async function run(images: readonly string[], tags = [`${host}/team/shop:1`], env: object = {}) {
  const output = join(mkdtempSync(join(top, 'run-')), 'output')
  const { code, log } = await new Promise<{ code: number; log: string }>(resolve =>
    execFile(
      'bash',
      ['-c', 'exec bash "$GITHUB_ACTION_PATH/manifest.sh"'],
      {
        env: {
          ...{ PATH: `${top}:${process.env.PATH}`, HOME: top, DOCKER_CONFIG: top, RUNNER_TEMP: top },
          ...{ GITHUB_ACTION_PATH: ACTION, GITHUB_OUTPUT: output, GITHUB_STEP_SUMMARY: `${output}.md` },
          ...{ INPUT_IMAGES: images.join('\n'), INPUT_TAGS: tags.join('\n'), ...env },
        },
      },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, log: stdout + stderr }),
    ),
  )
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
  const outputs = Object.fromEntries(
    Array.from(read(output).matchAll(/^(\S+)<<(\S+)\n([\s\S]*?)\n\2$/gm), ([, name, , value]) => [
      name,
      value,
    ]),
  )
  expect(log + read(output) + read(`${output}.md`)).not.toMatch(/canary|bearer/)
  return { code, log, outputs, summary: read(`${output}.md`) }
}
const named = (digest: string) => `${host}/team/shop@${digest}`

describe('actions/manifest', () => {
  it('joins what two jobs have pushed, under each tag', async () => {
    const [x64, arm64] = [
      image({ os: 'linux', architecture: 'amd64' }),
      image({ os: 'linux', architecture: 'arm64', variant: 'v8' }),
    ]
    const { code, outputs, summary } = await run(
      [named(x64), named(arm64)],
      [`${host}/team/shop:1`, `${host}/team/shop:2`],
    )
    const index = stored.get('1')!
    expect(JSON.parse(index.text)).toEqual({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [
        {
          mediaType: OCI,
          digest: x64,
          size: stored.get(x64)!.text.length,
          platform: { architecture: 'amd64', os: 'linux' },
        },
        {
          mediaType: OCI,
          digest: arm64,
          size: stored.get(arm64)!.text.length,
          platform: { architecture: 'arm64', os: 'linux', variant: 'v8' },
        },
      ],
    })
    expect([code, puts, index.type]).toEqual([0, ['1', '2'], OCI_INDEX])
    expect(outputs).toEqual({
      digest: digestOf(index.text),
      image: named(digestOf(index.text)),
      tags: `${host}/team/shop:1\n${host}/team/shop:2`,
      platforms: 'linux/amd64\nlinux/arm64/v8',
    })
    expect(summary).toContain(`| linux/amd64 | \`${x64}\` |`)
  })

  it('is the same when it runs again, so that an immutable tag may be there; another image under it may not', async () => {
    const [x64, arm64] = [
      image({ os: 'linux', architecture: 'amd64' }),
      image({ os: 'linux', architecture: 'arm64' }),
    ]
    const first = await run([named(x64), named(arm64)])
    frozen.add('1')
    const again = await run([named(x64), named(arm64)])
    expect([again.code, again.outputs]).toEqual([0, first.outputs])
    const other = await run([named(x64)])
    expect([other.code, other.outputs]).toEqual([1, {}])
    expect(other.log).toMatch(
      /^tornade-manifest: \S+:1 cannot be pushed: .* answers 400: .*immutable.*It is sha256:/m,
    )
    expect(other.log).not.toMatch(/^::/m)
  })

  it('says what it may not do', async () => {
    const x64 = image({ os: 'linux', architecture: 'amd64' })
    const { code, log } = await run([named(x64)], undefined, { DOCKER_CONFIG: '/nowhere' })
    expect([code, log]).toEqual([3, expect.stringContaining('answers 401')])
  })

  it('tells everything that it cannot use at once', async () => {
    const [none, wrong] = await Promise.all([
      run([], []),
      run(
        [
          'shop',
          `shop@sha256:${'1'.repeat(64)}`,
          named(`sha256:${'1'.repeat(64)}`),
          `${host}/team/other@sha256:${'1'.repeat(64)}`,
        ],
        [`${host}/team/shop:-`, `${host}/team/web:1`],
        { INPUT_ROLE_TO_ASSUME: 'push' },
      ),
    ])
    expect([none.code, none.log]).toEqual([
      2,
      expect.stringMatching(/images: which images\?[\s\S]*tags: what should/),
    ])
    expect(wrong.code).toBe(2)
    expect(wrong.log.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/shop: is no REGISTRY/),
      expect.stringMatching(/shop@sha256:1+: is no REGISTRY/),
      expect.stringMatching(/team\/other: an index lies in the repository of its images/),
      expect.stringMatching(/team\/shop:-: is no REGISTRY/),
      expect.stringMatching(/team\/web:1: an index lies in/),
      expect.stringMatching(/role-to-assume is no arn/),
    ])
  })

  it.each([
    ['first', (image: string) => ['', image, '']],
    ['last', (image: string) => [image, '', '']],
  ])('pushes no index without the image of a job whose output is empty, the %s', async (_, given) => {
    const { code, log, outputs } = await run(given(named(image({ os: 'linux', architecture: 'amd64' }))))
    expect([code, outputs, puts]).toEqual([2, {}, []])
    expect(log).toMatch(/images: line [12] is empty/)
  })

  it('says what to do on another runner', async () => {
    const { code, log } = await run([], [], { PATH: '/usr/bin:/bin' })
    expect([code, log]).toEqual([3, expect.stringContaining('needs its labels in runs-on')])
  })

  it('has an input for everything that its program reads', () => {
    const { steps } = (
      parse(readFileSync(join(ACTION, 'action.yml'), 'utf8')) as { runs: { steps: { env: object }[] } }
    ).runs
    const source = readFileSync(join(ROOT, 'runner-image/tools/manifest.ts'), 'utf8')
    const read = [...source.matchAll(/env\.(INPUT_\w+)/g)].map(([, name]) => name)
    expect(Object.keys(steps[0]!.env).toSorted()).toEqual(read.toSorted())
  })
})

describe('an index', () => {
  const joined = (...digests: readonly string[]) => joinImages(new Repository(host, 'team/shop'), digests)

  it('is a list of Docker’s of images of Docker’s, and takes another apart without its attestations', async () => {
    const [x64, arm64] = [
      image({ os: 'linux', architecture: 'amd64' }, DOCKER),
      image({ os: 'linux', architecture: 'arm64' }, DOCKER),
    ]
    const platform = (architecture: string, os = 'linux') => ({ platform: { architecture, os } })
    const nested = store(OCI_INDEX, {
      mediaType: OCI_INDEX,
      manifests: [
        { mediaType: DOCKER, digest: x64, size: 5, ...platform('amd64') },
        { mediaType: OCI, digest: arm64, size: 5, ...platform('unknown', 'unknown') },
      ],
    })
    const { mediaType, text, digest } = indexOf(await joined(nested, arm64, arm64))
    expect([mediaType, digest]).toEqual([
      'application/vnd.docker.distribution.manifest.list.v2+json',
      digestOf(text),
    ])
    expect(JSON.parse(text).manifests.map((each: { digest: string }) => each.digest)).toEqual([x64, arm64])
  })

  it('is asked for again where the registry is busy', async () => {
    const x64 = image({ os: 'linux', architecture: 'amd64' })
    failures = [503]
    expect(await joined(x64)).toHaveLength(1)
  })

  it('has no image that is missing, is another than it is called, is none, or has the platform of another', async () => {
    const x64 = image({ os: 'linux', architecture: 'amd64' })
    const twin = image({ os: 'linux', architecture: 'amd64', made: 'twice' })
    const forged = `sha256:${'f'.repeat(64)}`
    stored.set(forged, stored.get(x64)!)
    const chart = store(OCI, { mediaType: 'application/vnd.cncf.helm', config: { digest: x64 } })
    const nowhere = image({})
    for (const [digests, exit, message] of [
      [[`sha256:${'0'.repeat(64)}`], 1, 'is not there: was it pushed?'],
      [[forged], 1, 'when it is asked for'],
      [[chart], 2, 'is no image'],
      [[nowhere], 2, 'does not say which platform'],
      [[x64, twin], 2, 'both for linux/amd64'],
    ] as const)
      await expect(joined(...digests)).rejects.toMatchObject({
        exit,
        message: expect.stringContaining(message),
      })
  })
})
