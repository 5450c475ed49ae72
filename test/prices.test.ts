/** Prices by date, how old they may grow, and the script that brings them up to date, over real HTTP. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { explain } from '../cli/explain.ts'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { githubHostedPerMinute, jobCost, perMinute, runnerCost } from '../functions/core/cost.ts'
import { type PriceFile, priceAge, pricesAt, readPrices, stalePrices } from '../functions/core/prices.ts'
import { deploymentWarnings } from '../scripts/package.ts'
import { prices } from '../scripts/prices.ts'
import { launch, ON_DEMAND, runner, T0 } from './support/facts.ts'

const ROOT = join(import.meta.dirname, '..')
const FILE = join(ROOT, 'functions/core/prices.json')
const current = JSON.parse(await readFile(FILE, 'utf8')) as PriceFile
/** The file as it began: what is added to it later changes no figure here. */
const known: PriceFile = {
  regions: Object.fromEntries(
    ['us-east-1', 'eu-west-1', 'ap-northeast-1'].map(region => [
      region,
      {
        checked: { list: '2026-11-01', spot: '2026-11-01' },
        history: [current.regions[region]!.history[0]!],
      },
    ]),
  ),
  github: { checked: '2026-11-01', history: [current.github.history[0]!] },
}

const DAY = 86_400_000
const day = (date: string) => Date.parse(date)

describe('prices of a date', () => {
  // From the second of November on an on-demand vCPU costs twice as much, and GitHub takes its fee.
  const [first] = known.regions['us-east-1']!.history
  const { x64 } = first!.fargate
  const [github] = known.github.history
  const table = readPrices({
    regions: {
      'us-east-1': {
        checked: { list: '2026-11-02', spot: '2026-11-02' },
        history: [
          {
            ...first!,
            from: '2026-11-02',
            fargate: {
              ...first!.fargate,
              x64: { ...x64, 'on-demand': { ...x64['on-demand'], vcpuHour: '0.08096' } },
            },
          },
          first!,
        ],
      },
    },
    github: {
      checked: '2026-11-02',
      history: [github!, { ...github!, from: '2026-11-02', selfHostedMinute: '0.002' }],
    },
  })
  /** Five minutes up to a moment, the last two of them a job's. */
  const upTo = (stoppedAt: number) =>
    runner({
      pullStartedAt: stoppedAt - 300_000,
      startedAt: stoppedAt - 240_000,
      stoppedAt,
      job: {
        key: '41-1',
        startedAt: stoppedAt - 120_000,
        completedAt: stoppedAt,
        publicRepository: false,
      },
    })

  it('are those of the stop of a runner, to the millisecond', () => {
    const change = day('2026-11-02')
    // 2 × 0.04048 + 4 × 0.004445 + 0.005 = 0.10374 an hour; 5 min = 8,645 µ$
    expect(runnerCost(upTo(change - 1), table)).toMatchObject({ totalMicroUsd: 8645, onDemandMicroUsd: 8645 })
    // 2 × 0.08096 + 4 × 0.004445 + 0.005 = 0.1847 an hour; 5 min = 15,391.67 → 15,392
    expect(runnerCost(upTo(change), table)).toMatchObject({ totalMicroUsd: 15_392, jobMicroUsd: 6156 })
    // What held first holds for all time before.
    expect(runnerCost(upTo(day('2020-02-02')), table)?.totalMicroUsd).toBe(8645)
  })

  it('are the newest where no date is asked for', () => {
    const { shape } = launch()
    expect(perMinute(shape, 'us-east-1', undefined, table).microUsd).toBeCloseTo(184_700 / 60, 9)
    expect(perMinute(shape, 'us-east-1', day('2026-11-01'), table).microUsd).toBe(1729)
  })

  it('are those of GitHub as well, whose fee stands beside the cost of a job', () => {
    const before = jobCost(upTo(day('2026-11-02') - 1), table)
    const after = jobCost(upTo(day('2026-11-02')), table)
    expect(before).not.toHaveProperty('githubFeeMicroUsd')
    // 2 minutes × 0.002; the job's own share is 120/300 of 15,392
    expect(after).toMatchObject({ microUsd: 6156, githubFeeMicroUsd: 4000, githubHostedMicroUsd: 12_000 })
    expect(githubHostedPerMinute('x64', 2, pricesAt(table.github, T0))).toEqual({ microUsd: 6000, cpu: 2 })
  })

  it.each([
    ['no price', { fargateStorageGbHour: 'free' }],
    ['no price', { fargateStorageGbHour: '0.0000000001' }],
    ['no price', { publicIpv4Hour: '-1' }],
    ['no date', { from: '2026-11' }],
    ['no date', { from: '2026-13-01' }],
  ])('are not read from a file with %s in it', (fault, wrong) => {
    const region = known.regions['us-east-1']!
    const broken = { ...known, regions: { here: { ...region, history: [{ ...first!, ...wrong }] } } }
    expect(() => readPrices(broken)).toThrow(fault)
  })
})

describe('old prices', () => {
  const checked = day(priceAge(0).checkedOn)

  it('are told of after 90 days, and not before', () => {
    expect(priceAge(checked + 90 * DAY)).toMatchObject({ days: 90, stale: false })
    expect(priceAge(checked + 91 * DAY)).toMatchObject({ days: 91, stale: true })
    expect(priceAge(checked - DAY)).toMatchObject({ days: 0, stale: false })
  })

  it('are those of the region, of Spot or of GitHub', () => {
    const fresh = readPrices({
      ...known,
      regions: {
        'us-east-1': { ...known.regions['us-east-1']!, checked: { list: '2027-03-01', spot: '2026-11-05' } },
        'eu-west-1': { ...known.regions['eu-west-1']!, checked: { list: '2026-11-04', spot: '2027-03-01' } },
      },
      github: { ...known.github, checked: '2027-03-01' },
    })
    const now = day('2027-03-02')
    expect(stalePrices('us-east-1', now, fresh)).toBe(
      'prices last checked over 90 days ago: Fargate Spot in us-east-1 2026-11-05; see docs/costs.md, "Prices"',
    )
    expect(stalePrices('eu-west-1', now, fresh)).toContain('ago: AWS in eu-west-1 2026-11-04;')
    expect(stalePrices('mars-north-1', now, fresh)).toBeNull()
    expect(stalePrices('mars-north-1', now + 90 * DAY, fresh)).toContain('ago: GitHub 2027-03-01;')
    expect(priceAge(now, fresh)).toEqual({ checkedOn: '2026-11-04', days: 118, stale: true })
  })

  it('are told of when a stack is packaged', () => {
    const loaded = { config: { ...DEFAULT_CONFIG, region: 'ap-northeast-1' }, warnings: ['tornade.yml: hm'] }
    expect(deploymentWarnings(loaded, checked)).toEqual(['tornade.yml: hm'])
    expect(deploymentWarnings(loaded, checked + 91 * DAY)).toEqual([
      'tornade.yml: hm',
      expect.stringContaining('AWS in ap-northeast-1'),
    ])
  })

  it('are told of by explain, on stderr alone', async () => {
    const ask = async (now: number) => {
      const [out, errors]: [string[], string[]] = [[], []]
      await explain(['tornade', '--region', 'eu-west-1', '--json'], {
        stdout: text => out.push(text),
        stderr: text => errors.push(text),
        cwd: tmpdir(),
        now: () => now,
      })
      return { ok: JSON.parse(out.join('')).ok, stderr: errors.join('') }
    }
    const [fresh, old] = [await ask(checked), await ask(checked + 91 * DAY)]
    expect(fresh).toEqual({ ok: true, stderr: '' })
    expect(old).toEqual({ ok: true, stderr: expect.stringContaining('AWS in eu-west-1') })
  })

  it('are told of by start', async () => {
    const later = `const real = Date.now; const then = ${checked + 91 * DAY} - real(); Date.now = () => real() + then`
    const child = spawn(
      process.execPath,
      ['--import', `data:text/javascript,${later}`, 'cli/tornade.ts', 'start', '--empty', '--port', '0'],
      { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const [text] = (await once(child.stderr.setEncoding('utf8'), 'data')) as [string]
    child.kill('SIGTERM')
    await once(child, 'exit')
    expect(text).toContain('prices last checked over 90 days ago: ')
  })
})

describe('npm run prices', () => {
  let folder: string
  let file: string
  let server: Server
  let base: string
  /** Path → what is answered; anything else is 404. */
  let answers: Map<string, unknown>

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'prices-'))
    file = join(folder, 'prices.json')
    await writeFile(file, JSON.stringify(known))
    answers = new Map()
    server = createServer(({ url }, response) => {
      const answer = answers.get(url ?? '')
      response.statusCode = answer === undefined ? 404 : 200
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? 'Not Found'))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    for (const region of Object.keys(known.regions)) publish(region, as(region))
    answers.set('/spot.json', spotFile([]))
  })
  afterEach(async () => {
    server.close()
    await rm(folder, { recursive: true })
  })

  const TODAY = '2027-01-15'
  async function run(...argv: string[]) {
    const [out, errors]: [string[], string[]] = [[], []]
    const io = {
      stdout: (text: string) => void out.push(text),
      stderr: (text: string) => void errors.push(text),
      today: TODAY,
    }
    const options = ['--list', base, '--spot', `${base}/spot.json`, '--file', file]
    const code = await prices([...options, ...argv], io)
    return { code, lines: out.join('').split('\n').filter(Boolean), stderr: errors.join('') }
  }
  const written = async () => JSON.parse(await readFile(file, 'utf8')) as PriceFile

  /** Usage type without its prefix → dollars, as the price list has them: ten decimals. */
  type Listed = Record<string, string>
  const PREFIXES: Record<string, string> = {
    'us-east-1': 'USE1-',
    'eu-west-1': 'EU-',
    'ap-northeast-1': 'APN1-',
    'eu-central-1': 'EUC1-',
  }

  /** What the file knows already. */
  function as(region: string): Listed {
    const { fargate } = known.regions[region]!.history[0]!
    return {
      'Fargate-vCPU-Hours:perCPU': fargate.x64['on-demand'].vcpuHour!,
      'Fargate-GB-Hours': fargate.x64['on-demand'].gbHour!,
      'Fargate-ARM-vCPU-Hours:perCPU': fargate.arm64['on-demand'].vcpuHour!,
      'Fargate-ARM-GB-Hours': fargate.arm64['on-demand'].gbHour!,
    }
  }

  function publish(region: string, ecs: Listed, codebuild: Listed = {}, vpc: Listed = {}) {
    const prefix = PREFIXES[region]!
    // What looks alike, and is something else.
    const others = {
      AmazonECS: {
        'Fargate-Windows-vCPU-Hours:perCPU': '0.0465520000',
        'Fargate-Windows-GB-Hours': '0.0051117500',
        'Fargate-Windows-OS-Hours:perCPU': '0.0460000000',
        'Fargate-vCPU-Hours:perCPU-Preview': '0.0000000000',
        'ECS-Anywhere-Instance-hours': '0.0102500000',
      },
      AWSCodeBuild: {
        'Build-Min:Windows:g1.medium': '0.0180000000',
        'Build-Min:Linux:Reserved:g1.small': '0.0010000000',
        'Build-Sec:Lambda.1GB': '0.0000100000',
        'Build-Min:LinuxGPU:g1.large': '0.6500000000',
      },
      AmazonVPC: { 'PublicIPv4:IdleAddress': '0.0070000000', 'VpcEndpoint-Hours': '0.0100000000' },
    }
    for (const [service, listed] of [
      ['AmazonECS', { ...others.AmazonECS, ...ecs }],
      ['AWSCodeBuild', { ...others.AWSCodeBuild, ...codebuild }],
      ['AmazonVPC', { ...others.AmazonVPC, ...vpc }],
    ] as const)
      answers.set(
        `/offers/v1.0/aws/${service}/current/${region}/index.json`,
        document(service, region, prefix, listed),
      )
  }

  /** A price list file as AWS publishes it, cut to what was seen in all of them. */
  function document(service: string, region: string, prefix: string, listed: Listed) {
    const entries = Object.entries(listed).map(([type, usd], index) => ({
      sku: `SKU${index}${type.replace(/\W/g, '').toUpperCase()}`.slice(0, 16).padEnd(16, 'X'),
      usagetype: `${prefix}${type}`,
      usd: usd.includes('.') ? usd.padEnd(usd.indexOf('.') + 11, '0') : usd,
    }))
    return {
      formatVersion: 'v1.0',
      disclaimer: 'This pricing list is for informational purposes only.',
      offerCode: service,
      version: '20270110000000',
      publicationDate: '2027-01-10T00:00:00Z',
      products: Object.fromEntries(
        entries.map(({ sku, usagetype }) => [
          sku,
          {
            sku,
            productFamily: 'Compute',
            attributes: {
              servicecode: service,
              location: region,
              locationType: 'AWS Region',
              usagetype,
              operation: '',
              regionCode: region,
            },
          },
        ]),
      ),
      terms: {
        OnDemand: Object.fromEntries(
          entries.map(({ sku, usd }) => [
            sku,
            {
              [`${sku}.JRTCKXETXF`]: {
                offerTermCode: 'JRTCKXETXF',
                sku,
                effectiveDate: '2027-01-01T00:00:00Z',
                priceDimensions: {
                  [`${sku}.JRTCKXETXF.6YS6EN2CT7`]: {
                    rateCode: `${sku}.JRTCKXETXF.6YS6EN2CT7`,
                    description: '',
                    beginRange: '0',
                    endRange: 'Inf',
                    unit: 'hours',
                    pricePerUnit: { USD: usd },
                    appliesTo: [],
                  },
                },
                termAttributes: {},
              },
            },
          ]),
        ),
      },
    }
  }

  function spotFile(rows: readonly (readonly [region: string, unit: string, usd: string])[]) {
    return {
      manifest: { serviceId: 'ecs', currencyCode: 'USD', source: 'ecs' },
      prices: rows.map(([region, unit, USD]) => ({
        id: `${region}-${unit}`,
        unit,
        price: { USD },
        attributes: { 'aws:region': region, 'aws:label': region },
      })),
    }
  }

  it('changes nothing but the dates where nothing changed', async () => {
    const { code, lines, stderr } = await run()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(lines).toEqual(Object.keys(known.regions).map(region => `${region} nothing changed`))
    const now = await written()
    for (const [region, { checked, history }] of Object.entries(now.regions)) {
      expect(history).toEqual(known.regions[region]!.history)
      // The file of Spot prices said nothing of it.
      expect(checked).toEqual({ list: TODAY, spot: known.regions[region]!.checked.spot })
    }
    expect(now.github).toEqual(known.github)
  })

  it('writes what changed with its date, as published, and leaves what was', async () => {
    publish(
      'ap-northeast-1',
      {
        ...as('ap-northeast-1'),
        'Fargate-vCPU-Hours:perCPU': '0.0500000000',
        'Fargate-EphemeralStorage-GB-Hours': '0.0001330000',
      },
      { 'Build-Min:Linux:g1.small': '0.0050000000', 'Build-Min:ARM:g1.small': '0.0042500000' },
      { 'PublicIPv4:InUseAddress': '0.0050000000' },
    )
    const { code, lines } = await run()
    expect(code).toBe(0)
    expect(lines.filter(line => !line.endsWith('nothing changed'))).toEqual([
      'ap-northeast-1 fargate.x64.on-demand.vcpuHour 0.05056 → 0.05',
      'ap-northeast-1 fargateStorageGbHour ~0.000133 → 0.000133',
      'ap-northeast-1 codebuildMinute.x64.BUILD_GENERAL1_SMALL unknown → 0.005',
      'ap-northeast-1 codebuildMinute.arm64.BUILD_GENERAL1_SMALL ~0.00425 → 0.00425',
    ])
    const table = readPrices(await written())
    const { shape } = launch({
      shape: { ...launch().shape, ...ON_DEMAND, cpu: 1, memoryGiB: 2, diskGiB: 120 },
    })
    // Before: 0.05056 + 2 × 0.00553 + 0.005 + 100 × 0.000133 = 0.07992 an hour.
    expect(perMinute(shape, 'ap-northeast-1', day(TODAY) - 1, table)).toEqual({
      microUsd: 1332,
      basis: 'estimate',
    })
    // Since: 0.05 + 0.01106 + 0.005 + 0.0133 = 0.07936.
    const since = perMinute(shape, 'ap-northeast-1', day(TODAY), table)
    expect(since.microUsd).toBeCloseTo(79_360 / 60, 9)
    expect(since.basis).toBe('published')
    // Once more on the same day there is nothing to do.
    const first = await readFile(file, 'utf8')
    expect((await run()).lines.every(line => line.endsWith('nothing changed'))).toBe(true)
    expect(await readFile(file, 'utf8')).toBe(first)
  })

  it('takes prices of Spot as estimates, from the file that has them', async () => {
    answers.set(
      '/spot.json',
      spotFile([
        ['us-east-1', 'vCPU-Hours', '0.01288871'],
        ['us-east-1', 'GB-Hours', '0.00141527'],
        ['us-east-1', 'Windows-vCPU-Hours', '0.9'],
        ['eu-west-1', 'ARM-vCPU-Hours', '0.00979124'],
        ['eu-west-1', 'ARM-GB-Hours', '0.00107649'],
        ['eu-west-1', 'GB-Hours', '0.0000000000'],
      ]),
    )
    const { lines } = await run()
    expect(lines.filter(line => !line.endsWith('nothing changed'))).toEqual([
      'us-east-1 fargate.x64.spot.vcpuHour ~0.012945 → ~0.01288871',
      'us-east-1 fargate.x64.spot.gbHour ~0.001415 → ~0.00141527',
      'eu-west-1 fargate.arm64.spot.vcpuHour unknown → ~0.00979124',
      'eu-west-1 fargate.arm64.spot.gbHour unknown → ~0.00107649',
    ])
    const { regions } = await written()
    expect(regions['us-east-1']!.checked).toEqual({ list: TODAY, spot: TODAY })
    expect(regions['ap-northeast-1']!.checked.spot).toBe('2026-11-01')
    expect(regions['us-east-1']!.history.map(({ from }) => from)).toEqual(['2026-11-01', TODAY])
  })

  it('adds a region', async () => {
    publish('eu-central-1', as('us-east-1'), {}, { 'PublicIPv4:InUseAddress': '0.0050000000' })
    expect((await run('--region', 'eu-central-1')).code).toBe(0)
    const table = readPrices(await written())
    expect([...table.regions.keys()]).toEqual([...Object.keys(known.regions), 'eu-central-1'])
    expect(perMinute(launch().shape, 'eu-central-1', undefined, table)).toEqual({
      microUsd: 1729,
      basis: 'published',
    })
  })

  it('says that the prices of Spot cannot be had, and goes on', async () => {
    answers.delete('/spot.json')
    const { code, stderr } = await run()
    expect(code).toBe(0)
    expect(stderr).toMatch(/spot\.json: answered 404\nPrices of Fargate Spot stay as they are\.\n$/)
    expect((await written()).regions['us-east-1']!.checked).toEqual({ list: TODAY, spot: '2026-11-01' })
  })

  const ECS = '/offers/v1.0/aws/AmazonECS/current/eu-west-1/index.json'
  const twice = document('AmazonECS', 'eu-west-1', 'EU-', as('eu-west-1'))
  it.each<[string, unknown, RegExp]>([
    ['is not there', undefined, /eu-west-1\/index\.json: answered 404/],
    ['is no JSON', '<html>', /eu-west-1\/index\.json: /],
    ['is something else', { regions: [] }, /is no such file: /],
    [
      'has no prices of Fargate',
      document('AmazonECS', 'eu-west-1', 'EU-', {}),
      /has no prices of Fargate on x64/,
    ],
    [
      'has what is no price',
      document('AmazonECS', 'eu-west-1', 'EU-', { ...as('eu-west-1'), 'Fargate-GB-Hours': 'cheap' }),
      /"cheap" is no price/,
    ],
    [
      'has two prices for one thing',
      {
        products: { ...twice.products, Y: { attributes: { usagetype: 'EU-Fargate-GB-Hours' } } },
        terms: {
          OnDemand: {
            ...twice.terms.OnDemand,
            Y: { 'Y.1': { priceDimensions: { 'Y.1.1': { pricePerUnit: { USD: '0.1' } } } } },
          },
        },
      },
      /has several prices of .*Fargate-GB-Hours\$: 0\.004445, 0\.1/,
    ],
  ])('changes nothing where a price list %s', async (_, answer, words) => {
    publish('us-east-1', { ...as('us-east-1'), 'Fargate-GB-Hours': '0.0050000000' })
    if (answer === undefined) answers.delete(ECS)
    else answers.set(ECS, answer)
    const before = await readFile(file, 'utf8')
    const { code, stderr } = await run()
    expect(code).toBe(1)
    expect(stderr).toMatch(words)
    expect(stderr).toMatch(/No price was changed\.\n$/)
    expect(await readFile(file, 'utf8')).toBe(before)
    expect(await readdir(folder)).toEqual(['prices.json'])
  })

  it('changes nothing where nobody can be reached', async () => {
    server.close()
    const { code, stderr } = await run()
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('ECONNREFUSED') })
    expect(await written()).toEqual(known)
  })

  it.each([['--region', 'mars'], ['--bogus'], ['extra']])('does not take %s %s', async (...argv) => {
    const { code, stderr } = await run(...argv)
    expect(code).toBe(2)
    expect(stderr).toContain('Usage: npm run prices')
  })

  it('writes the file as it is formatted', async () => {
    expect(await readFile(FILE, 'utf8')).toBe(`${JSON.stringify(current, null, 2)}\n`)
  })
})
