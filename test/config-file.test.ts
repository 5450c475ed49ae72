import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadConfigFile, parseConfig } from '../cli/config-file.ts'
import { admissionLimits, DEFAULT_CONFIG, labelRules, priorityOf } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { readLabels } from '../functions/core/labels.ts'

// Some look at thousands of cases, beside whatever else this machine does.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

/** The example of the design. */
const EXAMPLE = `
region: ap-northeast-1
owners: { acme: 9919 }
sizes: { large: [8cpu, 32gb] }
roles:
  deploy: { repositories: [acme/app], refs: [refs/heads/main], events: [push, workflow_dispatch] }
limits: { runners: 200, perRepository: 50, cpu: 16, memory: 64gb, disk: 100gb }
spend: { monthlyUsd: 500, onCap: block }
priority: { acme/hotfix: 10 }
pools: [{ runsOn: tornade/arm64, repository: acme/app, size: 2, schedule: Mon-Fri 09:00-19:00 Asia/Tokyo }]
`

describe('where it is read', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'config-'))
    await mkdir(join(folder, 'with'))
    await writeFile(join(folder, 'with', 'tornade.yml'), 'marker: storm\n')
    await writeFile(join(folder, 'other.yml'), 'marker: gale\n')
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('./tornade.yml, if there is one', async () => {
    const { config, path, warnings } = await loadConfigFile(null, join(folder, 'with'))
    expect([config.marker, path, warnings]).toEqual(['storm', 'tornade.yml', []])
  })

  test('without one the defaults hold', async () => {
    expect(await loadConfigFile(null, folder)).toEqual({ config: DEFAULT_CONFIG, path: null, warnings: [] })
  })

  test('another file, by a path from where the command runs', async () => {
    const { config, path } = await loadConfigFile('../other.yml', join(folder, 'with'))
    expect([config.marker, path]).toEqual(['gale', '../other.yml'])
  })

  test('a file that was asked for and is not there is a fault', async () => {
    const error = await loadConfigFile('missing.yml', folder).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TornadeError)
    expect(error).toMatchObject({
      code: 'config-unreadable',
      message: 'missing.yml cannot be read (ENOENT)',
      details: [],
    })
  })

  test('and so is one that is there and cannot be read', async () => {
    await mkdir(join(folder, 'strange', 'tornade.yml'), { recursive: true })
    await expect(loadConfigFile(null, join(folder, 'strange'))).rejects.toMatchObject({
      code: 'config-unreadable',
      message: 'tornade.yml cannot be read (EISDIR)',
    })
  })
})

describe('what it says', () => {
  test.each(['', '\n', '# nothing yet\n', '---\n', 'null', '{}'])('nothing (%j): the defaults', text => {
    expect(parseConfig(text, 'tornade.yml')).toEqual({ config: DEFAULT_CONFIG, warnings: [] })
  })

  test('the defaults are those of the design', () => {
    expect(DEFAULT_CONFIG).toMatchObject({
      marker: 'tornade',
      owners: null,
      limits: {
        runners: 100,
        perRepository: 50,
        cpu: 16,
        memoryGiB: 120,
        diskGiB: 200,
        starts: 4,
        replacements: 3,
      },
      runner: { lifeMinutes: 360, idleMinutes: 5 },
      labelMistakes: 'cancel',
      forks: 'refuse',
      fallback: ['on-demand'],
      rerunAfterReclaim: true,
      dashboard: { users: [], organisations: [] },
    })
  })

  test('who may sign in: nobody who is not named', () => {
    const of = (text: string) => parseConfig(text, 'tornade.yml').config.dashboard
    expect(of('dashboard: {}')).toEqual({ users: [], organisations: [] })
    expect(of('dashboard: { users: [583231] }')).toEqual({ users: [583231], organisations: [] })
    expect(of('dashboard: { organisations: [9919, 1] }')).toEqual({ users: [], organisations: [9919, 1] })
  })

  test('who may operate from Slack, and what: nobody and nothing that is not named', () => {
    const of = (text: string) => parseConfig(text, 'tornade.yml').config.slack
    expect(of('slack: { alerts: [80] }')).toEqual({ digest: null, alerts: [80], commands: null })
    const who = 'team: T0ACME, users: [U0ALICE, W0BOB], channels: [C0OPS]'
    const commands = { team: 'T0ACME', users: ['U0ALICE', 'W0BOB'], channels: ['C0OPS'] }
    expect(of(`slack: { ${who} }`)?.commands).toEqual({ ...commands, apps: {} })
    const web = 'repository: acme/web, workflow: deploy.yml, branches: [main, release/*]'
    expect(of(`slack: { ${who}, apps: { web: { ${web} } } }`)?.commands?.apps).toEqual({
      web: { repository: 'acme/web', workflow: 'deploy.yml', branches: ['main', 'release/*'], inputs: {} },
    })
    const inputs = 'inputs: { environment: production }'
    expect(of(`slack: { ${who}, apps: { web: { ${web}, ${inputs} } } }`)?.commands?.apps.web?.inputs).toEqual(
      {
        environment: 'production',
      },
    )
  })

  test.each([
    'team: T0ACME',
    'team: T0ACME, users: [U0ALICE]',
    'team: T0ACME, channels: [C0OPS]',
    'users: [U0ALICE], channels: [C0OPS]',
    'apps: {}',
    'team: acme, users: [U0ALICE], channels: [C0OPS]',
    'team: T0ACME, users: [alice], channels: [C0OPS]',
    'team: T0ACME, users: [], channels: [C0OPS]',
    "team: T0ACME, users: [U0ALICE], channels: ['#ops']",
    "team: T0ACME, users: ['*'], channels: [C0OPS]",
  ])('commands for half of somebody are a fault: %s', slack => {
    expect(faultsOf(`slack: { ${slack} }`)).toEqual([expect.stringMatching(/^slack/)])
  })

  test.each([
    'repository: web, workflow: deploy.yml, branches: [main]',
    'repository: acme/web, workflow: .github/workflows/deploy.yml, branches: [main]',
    'repository: acme/web, workflow: ../deploy.yml, branches: [main]',
    'repository: acme/web, workflow: deploy.yml, branches: []',
    'repository: acme/web, workflow: deploy.yml, branches: [refs/tags/*]',
    "repository: acme/web, workflow: deploy.yml, branches: ['release/..']",
    'repository: acme/web, workflow: deploy.yml, branches: [main], inputs: { a: 1 }',
    'repository: acme/web, workflow: deploy.yml, branches: [main], tags: [v1]',
    'repository: acme/web, branches: [main]',
  ])('an application that cannot be is a fault: %s', app => {
    const who = 'team: T0ACME, users: [U0ALICE], channels: [C0OPS]'
    expect(faultsOf(`slack: { ${who}, apps: { web: { ${app} } } }`)).toEqual([
      expect.stringMatching(/^slack\.apps\.web\./),
    ])
  })

  test('the example of the design', () => {
    const { config, warnings } = parseConfig(EXAMPLE, 'tornade.yml')
    expect(config).toEqual({
      ...DEFAULT_CONFIG,
      region: 'ap-northeast-1',
      owners: { acme: 9919 },
      sizes: { large: ['8cpu', '32gb'] },
      roles: {
        deploy: {
          repositories: ['acme/app'],
          refs: ['refs/heads/main'],
          events: ['push', 'workflow_dispatch'],
          protected: true,
        },
      },
      limits: {
        ...DEFAULT_CONFIG.limits,
        runners: 200,
        perRepository: 50,
        cpu: 16,
        memoryGiB: 64,
        diskGiB: 100,
      },
      spend: { monthlyMicroUsd: 500_000_000, dailyMicroUsd: null, onCap: 'block' },
      pools: [
        {
          labels: ['tornade/arm64'],
          repository: 'acme/app',
          size: 2,
          schedule: { days: [1, 2, 3, 4, 5], from: 540, to: 1140, timeZone: 'Asia/Tokyo' },
        },
      ],
      priority: { 'acme/hotfix': 10 },
    })
    expect(warnings).toEqual([])
  })

  test('exceptions of repositories, and limits of roles', () => {
    const { config, warnings } = parseConfig(
      `roles: { deploy: { repositories: [acme/app], runners: 2 } }
repositories:
  acme/app: { runners: 20, cpu: 8, memory: 32gb, disk: 50gb, startsPerHour: 100 }
  acme/other: { cpu: 32 }
limits: { startsPerHour: 500 }
spend: { dailyUsd: 12.5, onCap: warn }
sizes: { huge: [32cpu] }
`,
      'tornade.yml',
    )
    expect(warnings).toEqual([])
    expect(config.roles.deploy?.runners).toBe(2)
    expect(config.repositories).toEqual({
      'acme/app': { runners: 20, cpu: 8, memoryGiB: 32, diskGiB: 50, startsPerHour: 100 },
      'acme/other': { cpu: 32 },
    })
    expect(config.spend).toEqual({ monthlyMicroUsd: null, dailyMicroUsd: 12_500_000, onCap: 'warn' })
    expect(admissionLimits(config)).toEqual({
      runners: 100,
      perRepository: 50,
      startsPerHour: 500,
      roles: { deploy: 2 },
      repositories: config.repositories,
      spend: config.spend,
    })
  })

  test('the largest job of a repository, in labels', () => {
    const { config } = parseConfig('repositories: { acme/app: { cpu: 4, disk: 150gb } }', 'tornade.yml')
    const problems = (repository: string, ...labels: string[]) => {
      const rules = labelRules(config, { limits: true, repository })
      const reading = readLabels(['tornade', ...labels], rules)
      return reading.outcome === 'problems' ? reading.problems : []
    }
    expect(problems('acme/app', '8cpu')).toEqual([
      {
        label: '8cpu',
        message: 'The largest job here has 4 vCPU: `repositories.acme/app.cpu` in tornade.yml.',
        suggestion: '4cpu',
      },
    ])
    expect(problems('acme/app', '8cpu', 'disk:160gb').map(({ message }) => message)).toEqual([
      expect.stringContaining('`repositories.acme/app.cpu`'),
      expect.stringContaining('`repositories.acme/app.disk`'),
    ])
    expect(problems('acme/other', '8cpu', 'disk:160gb')).toEqual([])
    expect(problems('constructor', '8cpu')).toEqual([])
  })

  test('a warning where a spend cap has no prices to go by', () => {
    const text = 'spend: { monthlyUsd: 5 }\nregion: eu-north-1\n'
    expect(parseConfig(text, 'tornade.yml').warnings).toEqual([
      'tornade.yml: spend counts nothing in eu-north-1, whose prices are unknown (docs/costs.md)',
    ])
  })

  test.each([
    ['fallback: []', { fallback: [] }],
    ['fallback: [on-demand, codebuild]', { fallback: ['on-demand', 'codebuild'] }],
    ['rerunAfterReclaim: false', { rerunAfterReclaim: false }],
    ['rerunAfterReclaim: with-role', { rerunAfterReclaim: 'with-role' }],
  ])('where jobs go without capacity, and what is run again: %s', (text, expected) => {
    expect(parseConfig(text, 'tornade.yml').config).toEqual({ ...DEFAULT_CONFIG, ...expected })
  })

  test.each(['fallback: [spot]', 'fallback: on-demand', 'rerunAfterReclaim: sometimes'])(
    'but nothing else: %s',
    text => {
      expect(() => parseConfig(text, 'tornade.yml')).toThrow(/tornade.yml has a fault/)
    },
  )

  test('a part of limits leaves the others as they are', () => {
    const { config } = parseConfig('limits: { cpu: 4 }\nrunner: { idle: 10m }', 'tornade.yml')
    expect(config.limits).toEqual({ ...DEFAULT_CONFIG.limits, cpu: 4 })
    expect(config.runner).toEqual({ lifeMinutes: 360, idleMinutes: 10 })
  })

  test.each<[string, string, number]>([
    ['4gb', 'memoryGiB', 4],
    ['120gb', 'memoryGiB', 120],
  ])('memory: %s', (written, key, gib) => {
    expect(parseConfig(`limits: { memory: ${written} }`, 't').config.limits).toMatchObject({ [key]: gib })
  })

  test.each([
    ['90m', 90],
    ['2h', 120],
    ['36h', 2160],
  ])('a life of %s', (written, minutes) => {
    expect(parseConfig(`runner: { life: ${written} }`, 't').config.runner.lifeMinutes).toBe(minutes)
  })

  test.each([
    ['url: https://github.acme.com/api/v3', { url: 'https://github.acme.com/api/v3' }],
    ['url: https://api.acme.ghe.com', { url: 'https://api.acme.ghe.com' }],
    ['organisationRunners: true', { organisationRunners: true }],
    ['organisationRunners: true, runnerGroup: 7', { organisationRunners: true, runnerGroup: 7 }],
  ])('github: %s', (written, github) => {
    expect(parseConfig(`github: { ${written} }`, 't').config.github).toEqual({
      ...{ url: null, organisationRunners: false, runnerGroup: 1 },
      ...github,
    })
  })

  test('nothing of it is JSON that could not be deployed', () => {
    const { config } = parseConfig(EXAMPLE, 'tornade.yml')
    expect(JSON.parse(JSON.stringify(config))).toEqual(config)
  })

  test('anchors may be used', () => {
    const text = 'sizes:\n  a: &parts [8cpu, 32gb]\n  b: *parts\n'
    expect(parseConfig(text, 't').config.sizes).toEqual({ a: ['8cpu', '32gb'], b: ['8cpu', '32gb'] })
  })
})

describe('the name of a repository', () => {
  const { config } = parseConfig(
    `repositories: { Acme/App: { cpu: 2, runners: 3 } }
priority: { Acme/App: 5 }`,
    't',
  )

  test.each(['acme/app', 'Acme/App', 'ACME/APP'])('is the same in any case, as GitHub has it: %s', name => {
    const reading = readLabels(['tornade', '4cpu'], labelRules(config, { limits: true, repository: name }))
    expect(reading).toMatchObject({ outcome: 'problems' })
    expect(priorityOf(config, name)).toBe(5)
  })
})

describe('what is wrong with it', () => {
  test('unknown keys, each with its path', () => {
    const text = 'colour: red\nlimits: { cpus: 4, cpu: 4, RUNNERS: 5 }\nroles: { a: { repos: [acme/app] } }\n'
    expect(faultsOf(text)).toEqual([
      'colour: unknown key',
      'limits.RUNNERS: unknown key',
      'limits.cpus: unknown key',
      'roles.a.repos: unknown key',
      expect.stringMatching(/^roles\.a\.repositories: /),
    ])
  })

  test('all faults at once', () => {
    const faults = faultsOf(`
marker: TOR NADE
region: here
owners: { acme: nine }
sizes: { Large: [8cpu], small: [] }
roles:
  deploy: { repositories: [app], refs: [main], events: [Push] }
limits: { runners: 0, cpu: -1, memory: 64, disk: lots, starts: 2.5 }
runner: { life: 100h, idle: 5 }
spend: { monthlyUsd: free, onCap: explode }
priority: { hotfix: 1000 }
pools: [{ runsOn: '', repository: app, size: 0 }]
labelMistakes: ignore
forks: yes please
dashboard: { users: [ada, 0], organisations: acme, everybody: true }
`)
    const paths = faults.map(fault => fault.split(':')[0])
    expect(new Set(paths)).toEqual(
      new Set([
        'marker',
        'region',
        'owners.acme',
        'sizes.Large',
        'sizes.small',
        'roles.deploy.repositories.0',
        'roles.deploy.refs.0',
        'roles.deploy.events.0',
        'limits.runners',
        'limits.cpu',
        'limits.memory',
        'limits.disk',
        'limits.starts',
        'runner.life',
        'runner.idle',
        'spend.monthlyUsd',
        'spend.onCap',
        'priority.hotfix',
        'pools.0.runsOn',
        'pools.0.repository',
        'pools.0.size',
        'labelMistakes',
        'forks',
        'dashboard.users.0',
        'dashboard.users.1',
        'dashboard.organisations',
        'dashboard.everybody',
      ]),
    )
    for (const fault of faults) expect(fault).toMatch(/^[\w.]+: \S.{5,}$/)
  })

  test('the message says of which file, and how many faults there are', () => {
    expect(errorOf('a: 1')).toMatchObject({
      code: 'config-invalid',
      message: 'tornade.yml has a fault:',
      details: ['a: unknown key'],
    })
    expect(errorOf('a: 1\nb: 2').message).toBe('tornade.yml has 2 faults:')
  })

  test.each(['- a\n- b', 'just text', '5', 'true'])('no settings at all: %j', text => {
    expect(faultsOf(text)).toEqual([expect.stringMatching(/^the file: /)])
  })

  test.each<[string, string, RegExp]>([
    ['bad indentation', 'limits:\n  cpu: 4\n runners: 5\n', /line 3/],
    ['a bracket that stays open', 'sizes: { large: [8cpu\nregion: us-east-1\n', /line \d/],
    ['tabs', 'limits:\n\tcpu: 4\n', /line 2/],
    ['a key that comes twice', 'region: us-east-1\nregion: eu-west-1\n', /unique.*line 2/],
    ['a key that comes twice, further in', 'limits: { cpu: 4, cpu: 8 }\n', /unique.*line 1/],
    ['an alias of nothing', 'sizes: { a: *nothing }\n', /nothing/],
    ['two documents', 'region: us-east-1\n---\nregion: eu-west-1\n', /document/],
    ['control characters', 'region: "us\u0007-east-1"\nb: \u0001', /./],
  ])('YAML with %s', (_, text, message) => {
    const faults = faultsOf(text)
    expect(faults.length).toBeGreaterThan(0)
    expect(faults.join(' ')).toMatch(message)
    for (const fault of faults) expect(fault).toMatch(/^[^\p{Cc}]+$/u)
  })

  test('aliases that grow without end', () => {
    const layers = Array.from({ length: 30 }, (_, index) => {
      const alias = index === 0 ? '[x, x]' : `[*a${index - 1}, *a${index - 1}]`
      return `  a${index}: &a${index} ${alias}`
    })
    const before = performance.now()
    expect(faultsOf(`sizes:\n${layers.join('\n')}\n`)).toEqual([expect.stringContaining('alias')])
    expect(performance.now() - before).toBeLessThan(2000)
  })

  test('of exceptions, roles and money', () => {
    expect(
      faultsOf(
        `limits: { runners: 2501, startsPerHour: 0 }
repositories: { app: { runners: 1 }, acme/app: { runners: 0, cpus: 4, startsPerHour: 1.5 } }
roles: { deploy: { repositories: [acme/app], runners: 0 } }
spend: { onCap: warn }
`,
      ).map(fault => fault.split(': ')[0]),
    ).toEqual([
      'limits.runners',
      'limits.startsPerHour',
      'repositories.acme/app.cpus',
      'repositories.acme/app.runners',
      'repositories.acme/app.startsPerHour',
      'repositories.app',
      'roles.deploy.runners',
      'spend',
    ])
  })

  test('an alias of itself', () => {
    expect(faultsOf('sizes: &a { x: *a }\n')).toEqual([expect.stringMatching(/^sizes\.x: /)])
    expect(faultsOf('x: &a [*a]\n')).toEqual(['x: unknown key'])
  })

  test('names that mean something to JavaScript', () => {
    for (const where of [
      '',
      'sizes: ',
      'owners: ',
      'roles: ',
      'images: ',
      'priority: ',
      'repositories: ',
      'limits: ',
      'runner: ',
    ]) {
      const text = where === '' ? '__proto__: { marker: storm }' : `${where}{ __proto__: { a: 1 } }`
      expect(faultsOf(text), text).toEqual([
        expect.stringMatching(new RegExp(`^${where === '' ? '' : `${where.slice(0, -2)}\\.`}__proto__: `)),
      ])
    }
    expect(({} as Record<string, unknown>).marker).toBeUndefined()
    expect(faultsOf('constructor: 1\ntoString: 2')).toEqual([
      'constructor: unknown key',
      'toString: unknown key',
    ])
    expect(parseConfig('sizes: { constructor: [8cpu] }', 't').config.sizes).toEqual({ constructor: ['8cpu'] })
    expect(parseConfig('owners: { constructor: 5 }', 't').config.owners).toEqual({ constructor: 5 })
  })

  test('an image is in ECR, and pinned', () => {
    const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
    const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
    const shape = /^images\.node(\.x64)?: write an image in ECR by its digest, ACCOUNT\.dkr\.ecr\./
    for (const bad of [
      'node',
      `node@${digest}`,
      `ghcr.io/acme/node@${digest}`,
      `${ecr}/node@sha256:abc`,
      `${ecr}/node@${digest.toUpperCase()}`,
      `${ecr}/node:22@${digest}`,
      `${ecr}/Node@${digest}`,
      `${ecr}/../node@${digest}`,
      `${ecr}/node*@${digest}`,
      `${ecr}/\${AWS::Region}@${digest}`,
      `${ecr}.evil.example/node@${digest}`,
      `123.dkr.ecr.eu-west-1.amazonaws.com/node@${digest}`,
      `${ecr}/${'a-'.repeat(20_000)}@${digest}`,
      '',
    ])
      for (const text of [bad, { x64: bad }])
        expect(faultsOf(JSON.stringify({ images: { node: text } })), bad).toEqual([
          expect.stringMatching(shape),
        ])
    const many = Object.fromEntries(
      Array.from({ length: 101 }, (_, index) => [`i${index}`, `${ecr}/node@${digest}`]),
    )
    expect(faultsOf(JSON.stringify({ images: many }))).toEqual(['images: at most 100 images'])
    expect(faultsOf('images: { node: {} }')).toEqual(['images.node: name x64, arm64 or both'])
    expect(faultsOf(`images: { node: { x86: ${ecr}/node@${digest}, x64: ${ecr}/node@${digest} } }`)).toEqual([
      'images.node.x86: unknown key',
    ])
    expect(faultsOf(`images: { "no/de": ${ecr}/node@${digest} }`)).toEqual([
      expect.stringMatching(/^images\.no\/de: a name is/),
    ])
  })

  test('an image by its tag is told how to find the digest', () => {
    const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
    for (const [written, tag] of [
      [`${ecr}/team/node:22`, '22'],
      [`${ecr}/team/node`, 'latest'],
    ])
      expect(faultsOf(`images: { node: { arm64: '${written}' } }`)).toEqual([
        'images.node.arm64: a tag can be moved: write NAME@ and what this tells: aws ecr describe-images ' +
          `--registry-id 123456789012 --region eu-west-1 --repository-name team/node --image-ids imageTag=${tag} ` +
          `--query 'imageDetails[0].imageDigest'`,
      ])
  })

  test('an image is one for both architectures, or one for each', () => {
    const [one, other] = ['a', 'b'].map(
      letter => `123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/node@sha256:${letter.repeat(64)}`,
    )
    const text = `images: { node: '${one}', own: { arm64: '${other}', x64: '${one}' }, constructor: { arm64: '${other}' } }`
    const { config } = parseConfig(text, 't')
    expect(config.images).toEqual({
      node: { x64: one, arm64: one },
      own: { x64: one, arm64: other },
      constructor: { arm64: other },
    })
    const rules = labelRules(config, { limits: true })
    expect(readLabels(['tornade', 'image:constructor', 'arm64'], rules)).toMatchObject({
      spec: { image: 'constructor', arch: 'arm64' },
    })
    expect(readLabels(['tornade', 'image:constructor'], rules).outcome).toBe('problems')
  })

  test('a pool or a preset for an architecture that its image does not have is a fault of the file', () => {
    const image = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/mobile@sha256:${'c'.repeat(64)}`
    const text = `images: { mobile: { arm64: '${image}' } }
sizes: { phone: [image:mobile], tablet: [image:mobile, arm64] }
pools: [{ runsOn: tornade/image:mobile/x64, repository: acme/app, size: 1 }]`
    expect(faultsOf(text)).toEqual([
      'pools.0.runsOn: x64: tornade.yml has `image:mobile` for `arm64` only.',
      expect.stringMatching(
        /^sizes\.phone: .* `image:mobile` \(of `size:phone`\) for `arm64` only: add `arm64`\.$/,
      ),
    ])
  })

  test('a preset that no job could use is a fault of the file', () => {
    const faults = faultsOf(
      'sizes: { odd: [5cpu], big: [16cpu], nested: [size:odd], ok: [4cpu] }\nlimits: { cpu: 8 }',
    )
    const paths = new Set(faults.map(fault => fault.split(':')[0]))
    expect(paths).toEqual(new Set(['sizes.odd', 'sizes.big', 'sizes.nested']))
  })

  test.each([
    ['memory: 512mb', /^limits: a job that only says tornade gets 4gb, .*`limits.memory`/],
    ['cpu: 0.01', /^limits: a job that only says tornade gets 2cpu, .*`limits.cpu`/],
    ['disk: 1gb', /^limits: a job that only says tornade gets disk:20gb, .*`limits.disk`/],
  ])('limits under which no plain job could run: %s', (written, fault) => {
    expect(faultsOf(`limits: { ${written} }`)).toEqual([expect.stringMatching(fault)])
  })

  test.each(['spot', 'x64', 'aarch64', 'docker', '4cpu', '5cpu', '16gb', '512mb', 'run-1'])(
    'a marker that labels know: %s',
    marker => {
      expect(faultsOf(`marker: ${marker}`)).toEqual([
        `marker: ${marker} is a label that means something else already`,
      ])
    },
  )

  test('events that start no workflow', () => {
    expect(
      faultsOf('roles: { a: { repositories: [acme/app], events: [push, pushh, workflow_call] } }'),
    ).toEqual([
      'roles.a.events.1: no event of GitHub that starts workflows is called pushh',
      'roles.a.events.2: no event of GitHub that starts workflows is called workflow_call',
    ])
  })

  test.each([
    'http://github.acme.com/api/v3',
    'https://github.acme.com',
    'https://github.acme.com/api/v3/',
    'https://a:b@github.acme.com/api/v3',
  ])('an address that is no API: %s', url => {
    expect(faultsOf(`github: { url: "${url}" }`)).toEqual([expect.stringMatching(/^github\.url: /)])
  })

  test('what a setting that is neither yes nor no may be', () => {
    expect(faultsOf('rerunAfterReclaim: maybe')).toEqual(['rerunAfterReclaim: true, false or with-role'])
  })

  test('a repository that stands there twice, GitHub takes names without case', () => {
    expect(
      faultsOf(
        'repositories: { acme/app: { cpu: 2 }, Acme/App: { cpu: 4 } }\npriority: { acme/a: 1, acme/A: 2 }',
      ),
    ).toEqual([
      'priority: acme/A and acme/a are one repository',
      'repositories: Acme/App and acme/app are one repository',
    ])
  })

  test('a runner group without an organisation', () => {
    expect(faultsOf('github: { runnerGroup: 2 }')).toEqual([
      'github.runnerGroup: repositories have no groups; set github.organisationRunners: true as well',
    ])
  })

  test('what is well written is looked at beside what is not, and nothing follows from a fault', () => {
    expect(faultsOf('colour: red\nmarker: spot\nlimits: { cpu: none }\nsizes: { big: [5cpu] }')).toEqual([
      'colour: unknown key',
      expect.stringMatching(/^limits\.cpu: /),
      'marker: spot is a label that means something else already',
    ])
  })

  test('hostile names and values reach no terminal as they are', () => {
    for (const fault of faultsOf('"a\\e[2J\\nb": 1\nregion: "\\e]0;title\\a"\n"\\u202ex": 2\n'))
      expect(fault).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u)
  })

  test('any text at all is read, or refused with faults', () => {
    const yaml = fc.array(
      fc.constantFrom(...'{}[]:,-&*!|>"\'#%@`? \n\ta1', 'limits', 'sizes: ', '<<: ', '!!set '),
      {
        maxLength: 40,
      },
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          yaml.map(parts => parts.join('')),
        ),
        text => {
          try {
            parseConfig(text, 'tornade.yml')
          } catch (error) {
            expect(error).toBeInstanceOf(TornadeError)
            expect((error as TornadeError).details.length).toBeGreaterThan(0)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})

function errorOf(text: string): TornadeError {
  try {
    parseConfig(text, 'tornade.yml')
  } catch (error) {
    expect(error).toBeInstanceOf(TornadeError)
    expect(error).toMatchObject({ code: 'config-invalid' })
    return error as TornadeError
  }
  throw new Error(`no fault was found in ${JSON.stringify(text)}`)
}

/** Sorted. */
function faultsOf(text: string): string[] {
  return [...errorOf(text).details].sort()
}
