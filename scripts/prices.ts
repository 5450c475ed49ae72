#!/usr/bin/env node
/**
 * `npm run prices`: brings the prices of AWS in functions/core/prices.json up to date, and prints what changed.
 *
 * On-demand prices come from the public price list files, which need no credentials:
 * https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api-fetching-price-list-files-manually.html
 * Prices of Fargate Spot are not in them. They come from the file that aws.amazon.com/fargate/pricing shows them from, of
 * which nothing is promised; without it they stay as they are.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import * as z from 'zod'
import { TornadeError } from '../functions/core/errors.ts'
import {
  type PriceFile,
  type PriceText,
  type RegionEntry,
  type RegionFile,
  readPrices,
} from '../functions/core/prices.ts'
import { clean } from '../functions/core/text.ts'
import type { Arch } from '../functions/core/types.ts'

const HELP = `Usage: npm run prices -- [--region REGION]…

Brings the prices of AWS in functions/core/prices.json up to date: of all regions
in it, and of those named here. GitHub's are brought up to date by hand.

  --region REGION  a region that is not in the file yet
  --list URL       where the price list files are (price list of AWS)
  --spot URL       file of the prices of Fargate Spot
  --file PATH      another file than functions/core/prices.json
`

const FILE = join(import.meta.dirname, '..', 'functions', 'core', 'prices.json')
const LIST = 'https://pricing.us-east-1.amazonaws.com'
const SPOT = 'https://dftu77xade0tc.cloudfront.net/fargate-spot-prices.json'
const TIMEOUT_MS = 60_000

/** Usage types begin with the region (APN1-), in us-east-1 not always. */
const PREFIX = '^(?:[A-Z]+\\d*-)?'
const FARGATE = {
  x64: { vcpuHour: usage('Fargate-vCPU-Hours:perCPU'), gbHour: usage('Fargate-GB-Hours') },
  arm64: { vcpuHour: usage('Fargate-ARM-vCPU-Hours:perCPU'), gbHour: usage('Fargate-ARM-GB-Hours') },
}
const SPOT_UNITS = {
  x64: { vcpuHour: 'vCPU-Hours', gbHour: 'GB-Hours' },
  arm64: { vcpuHour: 'ARM-vCPU-Hours', gbHour: 'ARM-GB-Hours' },
}
const STORAGE = usage('Fargate-EphemeralStorage-GB-Hours')
const IPV4 = usage('PublicIPv4:InUseAddress')
const BUILD_SIZES = ['small', 'medium', 'large', 'xlarge', '2xlarge']
const BUILD_SYSTEM: Readonly<Record<Arch, string>> = { x64: 'Linux', arm64: 'ARM' }

function usage(type: string): RegExp {
  return new RegExp(`${PREFIX}${type}$`)
}

export interface PricesIo {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  /** YYYY-MM-DD, UTC. */
  readonly today: string
}

/** The part of a price list file that is read. */
const listFile = z.object({
  products: z.record(z.string(), z.object({ attributes: z.object({ usagetype: z.optional(z.string()) }) })),
  terms: z.object({
    OnDemand: z.record(
      z.string(),
      z.record(
        z.string(),
        z.object({
          priceDimensions: z.record(
            z.string(),
            z.object({ pricePerUnit: z.object({ USD: z.optional(z.string()) }) }),
          ),
        }),
      ),
    ),
  }),
})
type ListFile = z.infer<typeof listFile>

const spotFile = z.object({
  prices: z.array(
    z.object({
      unit: z.string(),
      price: z.object({ USD: z.optional(z.string()) }),
      attributes: z.record(z.string(), z.string()),
    }),
  ),
})
type SpotFile = z.infer<typeof spotFile>

/** What AWS answered, or did not. */
class Unusable extends Error {}

/** @returns the exit code: 0 the file is up to date, 1 it could not be brought there and is as it was, 2 unusable input */
export async function prices(argv: readonly string[], io: PricesIo): Promise<number> {
  const options = {
    region: { type: 'string', multiple: true, default: [] as string[] },
    list: { type: 'string', default: LIST },
    spot: { type: 'string', default: SPOT },
    file: { type: 'string', default: FILE },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    const { values } = parseArgs({ args: [...argv], options })
    if (values.help) {
      io.stdout(HELP)
      return 0
    }
    const unnamed = values.region.find(region => !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region))
    if (unnamed !== undefined) throw new TornadeError('usage', `--region ${clean(unnamed)}: no AWS region`)
    await refresh(values, io)
    return 0
  } catch (error) {
    const isUsage =
      error instanceof TornadeError ||
      String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
    if (!isUsage && !(error instanceof Unusable)) throw error
    io.stderr(`${(error as Error).message}\n${isUsage ? HELP : 'No price was changed.\n'}`)
    return isUsage ? 2 : 1
  }
}

async function refresh(
  { region: more, list, spot, file }: { region: string[]; list: string; spot: string; file: string },
  { stdout, stderr, today }: PricesIo,
): Promise<void> {
  const known = JSON.parse(await readFile(file, 'utf8')) as PriceFile
  const names = [...new Set([...Object.keys(known.regions), ...more])]
  const spotPrices = await fetchJson(spot, spotFile).catch((error: Error) => {
    stderr(`${error.message}\nPrices of Fargate Spot stay as they are.\n`)
    return null
  })
  const regions: Record<string, RegionFile> = {}
  for (const name of names) {
    const [ecs, codebuild, vpc] = await Promise.all(
      ['AmazonECS', 'AWSCodeBuild', 'AmazonVPC'].map(service =>
        fetchJson(`${list}/offers/v1.0/aws/${service}/current/${name}/index.json`, listFile),
      ),
    )
    const before = known.regions[name]
    const last = before?.history.at(-1)
    const entry = entryOf(name, last, { ecs: ecs!, codebuild: codebuild!, vpc: vpc! }, spotPrices)
    const isSpotKnown = spotPrices?.prices.some(price => price.attributes['aws:region'] === name) ?? false
    const isSame = last !== undefined && isDeepStrictEqual(withoutDate(last), entry)
    for (const line of changes(last ? withoutDate(last) : {}, entry)) stdout(`${name} ${line}\n`)
    regions[name] = {
      checked: { list: today, spot: isSpotKnown ? today : (before?.checked.spot ?? today) },
      history: isSame
        ? before!.history
        : [...(before?.history ?? []).filter(({ from }) => from !== today), { from: today, ...entry }],
    }
    if (isSame) stdout(`${name} nothing changed\n`)
  }
  const updated: PriceFile = { ...known, regions }
  readPrices(updated)
  await writeFile(`${file}.new`, `${JSON.stringify(updated, null, 2)}\n`)
  await rename(`${file}.new`, file)
}

type Entry = Omit<RegionEntry, 'from'>

function withoutDate({ from: _, ...entry }: RegionEntry): Entry {
  return entry
}

/** What is published takes the place of what was known; the rest stays. */
function entryOf(
  region: string,
  last: RegionEntry | undefined,
  { ecs, codebuild, vpc }: Readonly<Record<'ecs' | 'codebuild' | 'vpc', ListFile>>,
  spot: SpotFile | null,
): Entry {
  const fargate = (arch: Arch) => ({
    'on-demand': {
      vcpuHour: listed(ecs, FARGATE[arch].vcpuHour) ?? missing(region, arch),
      gbHour: listed(ecs, FARGATE[arch].gbHour) ?? missing(region, arch),
    },
    spot: {
      vcpuHour:
        spotPrice(spot, region, SPOT_UNITS[arch].vcpuHour) ?? last?.fargate[arch].spot.vcpuHour ?? null,
      gbHour: spotPrice(spot, region, SPOT_UNITS[arch].gbHour) ?? last?.fargate[arch].spot.gbHour ?? null,
    },
  })
  const builds = (arch: Arch) =>
    Object.fromEntries(
      BUILD_SIZES.flatMap((size): [string, PriceText][] => {
        const type = `BUILD_GENERAL1_${size.toUpperCase()}`
        const price = listed(codebuild, usage(`Build-Min:${BUILD_SYSTEM[arch]}:g1\\.${size}`))
        const before = last?.codebuildMinute[arch][type]
        return price === null && before === undefined ? [] : [[type, price ?? before ?? null]]
      }),
    )
  return {
    fargate: { x64: fargate('x64'), arm64: fargate('arm64') },
    fargateStorageGbHour: listed(ecs, STORAGE) ?? last?.fargateStorageGbHour ?? null,
    publicIpv4Hour: listed(vpc, IPV4) ?? last?.publicIpv4Hour ?? null,
    codebuildMinute: { x64: builds('x64'), arm64: builds('arm64') },
  }
}

function missing(region: string, arch: Arch): never {
  throw new Unusable(`The price list of ${region} has no prices of Fargate on ${arch}.`)
}

/** The on-demand price of a usage type; null where the list has none. A price of 0 is a free tier. */
function listed({ products, terms }: ListFile, type: RegExp): PriceText {
  const skus = Object.keys(products).filter(sku => type.test(products[sku]!.attributes.usagetype ?? ''))
  const dollars = skus
    .flatMap(sku => Object.values(terms.OnDemand[sku] ?? {}))
    .flatMap(({ priceDimensions }) => Object.values(priceDimensions))
    .map(({ pricePerUnit }) => priceText(pricePerUnit.USD))
    .filter(price => price !== '0')
  const [price, ...others] = new Set(dollars)
  if (others.length > 0)
    throw new Unusable(
      `The price list has several prices of ${type.source}: ${[price, ...others].join(', ')}.`,
    )
  return price ?? null
}

/** They move, so they are estimates. */
function spotPrice(file: SpotFile | null, region: string, unit: string): PriceText {
  const found = file?.prices.find(price => price.unit === unit && price.attributes['aws:region'] === region)
  const price = found ? priceText(found.price.USD) : '0'
  return price === '0' ? null : `~${price}`
}

/** To the nano-dollar, without needless zeros. */
function priceText(text: string | undefined): string {
  const nanoUsd = Math.round(Number(text) * 1e9)
  if (text === undefined || !Number.isSafeInteger(nanoUsd) || nanoUsd < 0)
    throw new Unusable(`${clean(JSON.stringify(text) ?? 'nothing')} is no price in US dollars.`)
  const digits = String(nanoUsd).padStart(10, '0')
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`.replace(/\.?0+$/, '')
}

async function fetchJson<T>(url: string, shape: z.ZodType<T>): Promise<T> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (!answer.ok) throw new Error(`answered ${answer.status}`)
    const { data, error } = shape.safeParse(await answer.json())
    if (error) throw new Error(`is no such file: ${z.prettifyError(error)}`)
    return data
  } catch (error) {
    const { message, cause } = error as Error
    throw new Unusable(`${url}: ${clean(cause instanceof Error ? cause.message : message, 300)}`)
  }
}

/** `fargate.x64.spot.gbHour ~0.0014 → ~0.0015`, for each price that is another one now. */
function changes(before: unknown, now: unknown, path = ''): string[] {
  if (typeof now === 'object' && now !== null)
    return Object.entries(now).flatMap(([key, value]) =>
      changes((before as Record<string, unknown> | undefined)?.[key], value, path ? `${path}.${key}` : key),
    )
  const old = before ?? null
  return old === now ? [] : [`${path} ${old ?? 'unknown'} → ${now ?? 'unknown'}`]
}

if (import.meta.main) {
  process.exitCode = await prices(process.argv.slice(2), {
    stdout: text => void process.stdout.write(text),
    stderr: text => void process.stderr.write(text),
    today: new Date().toISOString().slice(0, 10),
  })
}
