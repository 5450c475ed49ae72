// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a bad name
import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { crc32, inflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, DEFAULT_CONFIG, type RolePolicy } from '../../functions/config.ts'
import type { TornadeError } from '../../functions/core/errors.ts'
import { bundle } from '../../scripts/bundle.ts'
import { deploymentFaults, paramFaults, REGIONS, stageFault, templateFaults } from '../../scripts/package.ts'
import { zip } from '../../scripts/zip.ts'
import { compileStack, ROOT } from './stack.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tornade-package-'))
})
afterAll(() => rm(folder, { recursive: true }))

interface Unpacked {
  readonly path: string
  readonly text: string
  readonly mode: number
}

/** Reads an archive by its central directory, and holds each file against its checksum. */
function unzip(bytes: Buffer): Unpacked[] {
  const end = bytes.lastIndexOf('PK\x05\x06')
  const files: Unpacked[] = []
  let at = bytes.readUInt32LE(end + 16)
  for (let count = bytes.readUInt16LE(end + 10); count > 0; count--) {
    const nameLength = bytes.readUInt16LE(at + 28)
    const local = bytes.readUInt32LE(at + 42)
    const start = local + 30 + bytes.readUInt16LE(local + 26)
    const content = inflateRawSync(bytes.subarray(start, start + bytes.readUInt32LE(at + 20)))
    expect(crc32(content)).toBe(bytes.readUInt32LE(at + 16))
    expect(content.length).toBe(bytes.readUInt32LE(at + 24))
    files.push({
      path: bytes.toString('utf8', at + 46, at + 46 + nameLength),
      text: content.toString(),
      mode: (bytes.readUInt32LE(at + 38) >>> 16) & 0o777,
    })
    at += 46 + nameLength
  }
  expect(at).toBe(end)
  return files
}

describe('an archive', () => {
  const files = [
    { path: 'b/z.sh', bytes: Buffer.from('echo'), executable: true },
    { path: 'a.txt', bytes: Buffer.from('text '.repeat(100)) },
    { path: 'empty', bytes: Buffer.alloc(0) },
  ]

  it('holds its files in order, readable by all and executable where they were', () => {
    expect(unzip(zip(files))).toEqual([
      { path: 'a.txt', text: 'text '.repeat(100), mode: 0o644 },
      { path: 'b/z.sh', text: 'echo', mode: 0o755 },
      { path: 'empty', text: '', mode: 0o644 },
    ])
  })

  it('has the same bytes whenever it is made, in whatever order', () => {
    expect(zip([...files].reverse()).equals(zip(files))).toBe(true)
  })
})

const ENTRIES = ['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack']
const CONFIG = { ...DEFAULT_CONFIG, owners: { acme: 9919 } }

/** A project with the real serverless.yml and infra/ and stand-ins for all else. */
async function project(name: string, files: Readonly<Record<string, string | null>> = {}): Promise<string> {
  const root = join(folder, name)
  await mkdir(root)
  await cp(join(ROOT, 'serverless.yml'), join(root, 'serverless.yml'))
  await cp(join(ROOT, 'infra'), join(root, 'infra'), { recursive: true })
  const all = {
    ...Object.fromEntries(
      ENTRIES.map(entry => [
        `functions/aws/entry/${entry}.ts`,
        `import { shared } from '../../shared.ts'\nexport const handler = async () => shared('${entry}')\n`,
      ]),
    ),
    'functions/shared.ts': 'export const shared = (name: string): string => `hello from ${name}`\n',
    'runner-image/Dockerfile': 'FROM scratch\n',
    'runner-image/hooks/started.sh': '#!/bin/sh\n',
    'runner-image/tools/greet.ts': `import { hello } from './greet/hello.ts'\nconsole.log(hello)\n`,
    'runner-image/tools/greet/hello.ts': `export const hello = 'hello'\n`,
    'builder-image/Dockerfile': 'FROM scratch\n',
    ...files,
  }
  for (const [path, text] of Object.entries(all)) {
    if (text === null) continue
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  return root
}

async function unpack(root: string, name: string, stage = 'dev'): Promise<Unpacked[]> {
  return unzip(await readFile(join(root, `.tornade/package/${stage}/${name}.zip`)))
}

/** Unpacks a bundle as Lambda does, and loads its handler. */
async function load(root: string, name: string): Promise<() => Promise<unknown>> {
  const target = await mkdtemp(join(folder, 'task-'))
  for (const { path, text } of await unpack(root, name)) {
    await mkdir(dirname(join(target, path)), { recursive: true })
    await writeFile(join(target, path), text)
  }
  const module = await import(pathToFileURL(join(target, `functions/aws/entry/${name}.mjs`)).href)
  return module.handler
}

const faultsOf = async (root: string): Promise<readonly string[]> => {
  const error: TornadeError = await bundle({ root, stage: 'dev', config: CONFIG }).then(
    () => Promise.reject(new Error('nothing was refused')),
    error => error,
  )
  expect(error.code).toBe('config-unreadable')
  return error.details
}

describe('a bundle', () => {
  it('holds the function and tornade.json, and for the image builder the sources of the images, tools as bundles', async () => {
    const root = await project('whole')
    const bundles = await bundle({ root, stage: 'dev', config: CONFIG })
    expect(bundles.map(({ name }) => name)).toEqual(ENTRIES)
    const paths = async (name: string) => (await unpack(root, name)).map(({ path }) => path)
    expect(await paths('webhook')).toEqual(['functions/aws/entry/webhook.mjs', 'tornade.json'])
    expect(await paths('sweep')).toEqual([
      'builder-image/Dockerfile',
      'functions/aws/entry/sweep.mjs',
      'runner-image/Dockerfile',
      'runner-image/hooks/started.sh',
      'runner-image/tools/greet.mjs',
      'tornade.json',
    ])
    const settings = (await unpack(root, 'launch')).find(({ path }) => path === 'tornade.json')!
    expect(JSON.parse(settings.text)).toEqual(CONFIG)
    expect(await (await load(root, 'webhook'))()).toBe('hello from webhook')
  })

  it('has beside it what the stack needs for images of tornade.yml, of this time alone', async () => {
    const root = await project('images')
    const x64 = `123456789012.dkr.ecr.us-east-1.amazonaws.com/node@sha256:${'a'.repeat(64)}`
    const made = async () =>
      JSON.parse(await readFile(join(root, '.tornade/package/dev/images.json'), 'utf8')).Resources
    await bundle({ root, stage: 'dev', config: { ...CONFIG, images: { node: { x64 } } } })
    expect(Object.keys(await made())).toEqual(['RunnerImagenodeX64'])
    await bundle({ root, stage: 'dev', config: CONFIG })
    expect(await made()).toEqual({})
  })

  it('leaves source maps out, and beside it', async () => {
    const root = await project('maps')
    await bundle({ root, stage: 'dev', config: CONFIG })
    const [code] = await unpack(root, 'launch')
    expect(code!.text).not.toContain('sourceMappingURL')
    const map = await readFile(
      join(root, '.tornade/package/dev/maps/launch/functions/aws/entry/launch.mjs.map'),
      'utf8',
    )
    expect(JSON.parse(map).sources.join()).toContain('shared.ts')
  })

  it('has the same bytes wherever and whenever it is made', async () => {
    const [one, two] = [await project('here'), await project('there')]
    for (const root of [one, two]) await bundle({ root, stage: 'dev', config: CONFIG })
    for (const name of ENTRIES) {
      const [a, b] = await Promise.all(
        [one, two].map(root => readFile(join(root, `.tornade/package/dev/${name}.zip`))),
      )
      expect(a!.equals(b!), name).toBe(true)
    }
  })

  it('keeps what is loaded only when it is needed in a file of its own', async () => {
    const root = await project('split', {
      'functions/late.ts': `export const late = 'late'\n`,
      'functions/aws/entry/launch.ts': `export const handler = async () => (await import('../../late.ts')).late\n`,
    })
    await bundle({ root, stage: 'dev', config: CONFIG })
    const files = await unpack(root, 'launch')
    expect(files.filter(({ path }) => path.startsWith('chunks/'))).toHaveLength(1)
    expect(await (await load(root, 'launch'))()).toBe('late')
  })

  it('gives old packages their require', async () => {
    const root = await project('commonjs', {
      'node_modules/old/package.json': '{"name":"old","main":"index.js"}',
      'node_modules/old/index.js': `module.exports = require('os').EOL`,
      'functions/aws/entry/launch.ts': `import eol from 'old'\nexport const handler = async () => eol\n`,
    })
    await bundle({ root, stage: 'dev', config: CONFIG })
    expect(await (await load(root, 'launch'))()).toBe('\n')
    // The others need none.
    const [webhook] = await unpack(root, 'webhook')
    expect(webhook!.text).not.toContain('createRequire')
  })

  it('prefers ES modules', async () => {
    const root = await project('modern', {
      'node_modules/both/package.json': '{"name":"both","main":"old.js","module":"new.js"}',
      'node_modules/both/old.js': `module.exports.kind = 'old'`,
      'node_modules/both/new.js': `export const kind = 'new'`,
      'functions/aws/entry/launch.ts': `import { kind } from 'both'\nexport const handler = async () => kind\n`,
    })
    await bundle({ root, stage: 'dev', config: CONFIG })
    expect(await (await load(root, 'launch'))()).toBe('new')
  })

  it('is refused for a handler that is not there', async () => {
    const root = await project('missing', {
      'functions/aws/entry/launch.ts': null,
      'functions/aws/entry/sweep.ts': null,
    })
    expect(await faultsOf(root)).toEqual([
      'functions.launch.handler: there is no functions/aws/entry/launch.ts',
      'functions.sweep.handler: there is no functions/aws/entry/sweep.ts',
    ])
  })

  it('is refused for a module that does not export the handler', async () => {
    const root = await project('unnamed', { 'functions/aws/entry/launch.ts': 'export const handle = 1\n' })
    expect(await faultsOf(root)).toEqual([
      'functions.launch.handler: functions/aws/entry/launch.ts exports no handler',
    ])
  })

  it('is refused for what cannot be compiled, with the place', async () => {
    const root = await project('broken', { 'functions/shared.ts': `import './nothing.ts'\n` })
    const [fault] = await faultsOf(root)
    expect(fault).toContain('functions/shared.ts:1: Could not resolve "./nothing.ts"')
  })

  it('is refused without the source of the image', async () => {
    const root = await project('imageless', {
      'runner-image/Dockerfile': null,
      'runner-image/hooks/started.sh': null,
      'runner-image/tools/greet.ts': null,
      'runner-image/tools/greet/hello.ts': null,
      'builder-image/Dockerfile': null,
    })
    expect(await faultsOf(root)).toEqual([
      'runner-image/: there is no such folder',
      'builder-image/: there is no such folder',
    ])
  })
})

describe('the functions of this project', () => {
  it('can be bundled, the webhook within 60 kB', async () => {
    const bundles = await bundle({
      root: ROOT,
      stage: 'dev',
      config: CONFIG,
      folder: join(folder, 'real'),
    })
    expect(bundles.find(({ name }) => name === 'webhook')!.bytes).toBeLessThanOrEqual(60_000)
    const made = (await readdir(join(folder, 'real'))).filter(name => name.endsWith('.zip'))
    expect(made.sort()).toEqual([...ENTRIES].map(name => `${name}.zip`).sort())
  })
})

describe('a stage', () => {
  it.each(['dev', 'a', 'eu-west-2', 'a23456789012345', 'draft-1', 'image-x64', 'build'])(
    'may be %s',
    stage => {
      expect(stageFault(stage)).toBeNull()
    },
  )

  it.each(['', 'Dev', '1st', '-dev', 'dev-', 'a_b', 'a b', 'a234567890123456', '${x}', '../up'])(
    'may not be %j',
    stage => {
      expect(stageFault(stage)).toMatch(/^the stage ".*": a stage is at most 15 of a-z, 0-9 and -/)
    },
  )

  it.each([
    ['dev-draft', '-draft'],
    ['dev-build', '-build'],
    ['dev-build-x64', '-build'],
    ['dev-image', '-image'],
    ['dev-image-x64', '-image'],
    ['d-image-node', '-image'],
  ])('may not be %s, which has names that another stage has', (stage, word) => {
    expect(stageFault(stage)).toBe(
      `the stage "${stage}": what the stage ${stage.slice(0, stage.indexOf(word))} has is called so; a stage does not end with -draft, and has no -build and no -image in it`,
    )
  })
})

describe('a tornade.yml', () => {
  const loaded = (config: Partial<Config>) => ({ config: { ...CONFIG, ...config }, path: 'tornade.yml' })
  const role = (more: Partial<RolePolicy>): Config['roles'] => ({
    deploy: { repositories: ['acme/app'], refs: [], events: [], ...more },
  })

  it('can be deployed with owners and a region', () => {
    expect(deploymentFaults(loaded({}))).toEqual([])
  })

  it('cannot without owners, or without a region that there is', () => {
    expect(deploymentFaults({ config: DEFAULT_CONFIG, path: null })).toEqual([
      'tornade.yml: missing; it must at least say who may start runners, as in owners: { acme: 9919 } (login and numeric id)',
    ])
    expect(deploymentFaults(loaded({ owners: {}, region: 'eu-west-9' }))).toEqual([
      'tornade.yml: owners is required for a deployment: who may start runners, as in owners: { acme: 9919 } (login and numeric id)',
      'tornade.yml: region: AWS has no region eu-west-9',
    ])
  })

  it('may name the regions that Serverless knows', async () => {
    const provider = await readFile(join(ROOT, 'node_modules/osls/lib/plugins/aws/provider.js'), 'utf8')
    expect([...REGIONS].filter(region => !provider.includes(`'${region}'`))).toEqual([])
    expect(REGIONS.size).toBeGreaterThan(30)
  })

  it.each(['cn-north-1', 'us-gov-west-1'])('cannot be for %s, whose IAM is another', region => {
    expect(deploymentFaults(loaded({ region }))).toEqual([
      `tornade.yml: region: ${region} is not served: China and GovCloud have an IAM of their own`,
    ])
  })

  it('lets only repositories use a role that may start runners', () => {
    expect(deploymentFaults(loaded({ roles: role({ repositories: ['Acme/App', 'other/app'] }) }))).toEqual([
      'tornade.yml: roles.deploy.repositories: other/app is of nobody among owners, and starts no runner',
    ])
  })

  it('has images of its own where its runners are', () => {
    const images = (region: string) => {
      const both = `123456789012.dkr.ecr.${region}.amazonaws.com/team/android@sha256:${'a'.repeat(64)}`
      return { region: 'eu-west-1', images: { android: { x64: both, arm64: both } } }
    }
    expect(deploymentFaults(loaded(images('eu-west-1')))).toEqual([])
    expect(deploymentFaults(loaded(images('us-east-1')))).toEqual([
      'tornade.yml: images.android: lies in us-east-1: let ECR replicate it to eu-west-1',
    ])
    expect(deploymentFaults(loaded(images('us-east-1')), new Set(['region']))).toEqual([])
  })

  it('has images of its own in as many repositories as a policy can name', async () => {
    const images = (count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => {
          const x64 = `123456789012.dkr.ecr.us-east-1.amazonaws.com/${'team/'.repeat(20)}${index}@sha256:${'a'.repeat(64)}`
          return [`image-${index}`, { x64 }]
        }),
      )
    expect(deploymentFaults(loaded({ images: images(30) }))).toEqual([])
    expect(deploymentFaults(loaded({ images: images(34) }))).toEqual([
      expect.stringMatching(/^tornade\.yml: images: their repositories take 5\d{3} characters of a policy/),
    ])
    const { template } = await compileStack({ images: images(30) })
    const policy = JSON.stringify(template.Resources.RunnerBuildPolicy!.Properties!.PolicyDocument)
    const resolved = policy.replaceAll(/\{"Fn::Sub":("[^"]*")\}/g, '$1')
    expect(resolved.length).toBeGreaterThan(5000)
    expect(resolved.length).toBeLessThan(6144)
  })

  it('says no more of a role than ECS has room for', () => {
    const refs = (count: number) => Array.from({ length: count }, (_, index) => `refs/heads/release/${index}`)
    expect(deploymentFaults(loaded({ roles: role({ refs: refs(200) }) }))).toEqual([])
    expect(deploymentFaults(loaded({ roles: role({ refs: refs(400) }) }))).toEqual([
      expect.stringMatching(
        /^tornade\.yml: roles\.deploy: a runner would be told \d{5} characters of it, and ECS has room for 7000/,
      ),
    ])
  })

  it('is not told that owners are missing where they are wrong', () => {
    expect(deploymentFaults(loaded({ owners: null }), new Set(['owners']))).toEqual([])
  })
})

describe('params', () => {
  const faults = async (params: Readonly<Record<string, string>>, region = 'eu-west-1') => {
    const given = Object.entries(params).map(([key, value]) => `${key}=${value}`)
    return templateFaults((await compileStack({ params: given })).template, region)
  }

  it('have a VPC with subnets, or neither', async () => {
    expect(await faults({})).toEqual([])
    expect(await faults({ vpcId: 'vpc-0123456789abcdef0', subnetIds: 'subnet-0123456789abcdef0' })).toEqual(
      [],
    )
    const together = 'serverless.yml: params: vpcId and subnetIds belong together; set both or neither'
    expect(await faults({ vpcId: 'vpc-0123456789abcdef0' })).toEqual([together])
    expect(await faults({ subnetIds: 'subnet-0123456789abcdef0' })).toEqual([together])
  })

  it('have ids where CloudFormation wants ids', async () => {
    expect(await faults({ vpcId: 'foo', subnetIds: 'bar' })).toEqual([
      expect.stringMatching(/^serverless\.yml: params: vpcId: "foo" is not like /),
      expect.stringMatching(/^serverless\.yml: params: subnetIds: "bar" is not like /),
    ])
  })

  it('have a VPC in a region with two zones', async () => {
    expect(await faults({}, 'us-west-1')).toEqual([
      'serverless.yml: params: vpcId and subnetIds are required in us-west-1: it has two zones, and the network that the stack would make has three',
    ])
    const own = { vpcId: 'vpc-0123456789abcdef0', subnetIds: 'subnet-0123456789abcdef0' }
    expect(await faults(own, 'us-west-1')).toEqual([])
  })

  it('are those of serverless.yml', async () => {
    const yml = await readFile(join(ROOT, 'serverless.yml'), 'utf8')
    expect(paramFaults(yml, 'dev', ['vpcId=vpc-1', 'alarmEmail=a=b@c.de'])).toEqual([])
    expect(paramFaults(yml, 'dev', ['typo=1', 'vpcId'])).toEqual([
      '--param typo=1: there is only vpcId, subnetIds, alarmEmail',
      '--param vpcId: is written KEY=VALUE',
    ])
    const staged = 'params: { default: { vpcId: "" }, dev: { vpcID: vpc-1 }, prod: { vcpId: vpc-1 } }'
    expect(paramFaults(staged, 'dev', [])).toEqual(['serverless.yml: params.dev.vpcID: there is only vpcId'])
    expect(paramFaults(staged, 'constructor', [])).toEqual([])
  })
})

describe('npm run package', () => {
  const run = (cwd: string, ...args: string[]): Promise<{ code: number | null; stderr: string }> =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [join(ROOT, 'scripts/package.ts'), ...args], {
        cwd,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let stderr = ''
      child.stderr.on('data', text => (stderr += text))
      child.on('error', reject)
      child.on('exit', code => resolve({ code, stderr }))
    })

  it('says all that cannot work at once', async () => {
    const cwd = await mkdtemp(join(folder, 'cwd-'))
    await writeFile(join(cwd, 'tornade.yml'), 'region: mars\nlimits: { runners: many }\n')
    const { code, stderr } = await run(cwd, '--stage', 'Production')
    expect(code).toBe(1)
    expect(stderr.split('\n').slice(0, 3)).toEqual([
      'This cannot be deployed:',
      '  the stage "Production": a stage is at most 15 of a-z, 0-9 and -, begins with a letter and does not end with -',
      '  tornade.yml has 2 faults:',
    ])
    expect(stderr).toContain('region: an AWS region')
    expect(stderr).toContain('limits.runners: ')
    expect(stderr).toContain('tornade.yml: owners is required')
  })

  it('hides no fault behind another', async () => {
    const cwd = await mkdtemp(join(folder, 'cwd-'))
    await writeFile(join(cwd, 'tornade.yml'), 'colour: red\nregion: eu-west-9\n')
    const { code, stderr } = await run(cwd, '--param', 'typo=1')
    expect(code).toBe(1)
    expect(stderr.trimEnd().split('\n')).toEqual([
      'This cannot be deployed:',
      expect.stringMatching(/^ {2}--param typo=1: /),
      '  tornade.yml has a fault:',
      '    colour: unknown key',
      expect.stringMatching(/^ {2}tornade\.yml: owners is required/),
      '  tornade.yml: region: AWS has no region eu-west-9',
    ])
  })

  it('refuses options that it does not know', async () => {
    expect(await run(folder, '--stag', 'dev')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--stag'),
    })
  })
})
