/**
 * Prices, read from prices.json. To correct a price, change that file; no code reads a price from anywhere else.
 * `npm run prices` brings those of AWS up to date.
 *
 * In the file a price is US dollars with up to nine decimals. With ~ before it is an estimate, from a secondary source
 * or of something that moves; without, it was read where AWS or GitHub publish it. null, and what is not listed, is
 * unknown. All are before tax, free tiers, savings plans and private discounts.
 *
 * Published prices stand at aws.amazon.com/fargate/pricing, aws.amazon.com/codebuild/pricing,
 * aws.amazon.com/vpc/pricing and docs.github.com/billing/reference/actions-runner-pricing.
 */
import data from './prices.json' with { type: 'json' }
import type { Arch, PriceBasis, RunnerCapacity } from './types.ts'

/** Integer nano-dollars: 40_480_000 is $0.040480000. */
export type Price =
  | { readonly nanoUsd: number; readonly basis: Exclude<PriceBasis, 'unknown'> }
  | { readonly nanoUsd: null; readonly basis: 'unknown' }

/** Prices of one hour of a Fargate task on Linux. AWS says GB; it means the GiB of the task size. */
export interface FargatePrices {
  readonly vcpuHour: Price
  readonly gbHour: Price
}

export interface RegionPrices {
  readonly fargate: Readonly<Record<Arch, Readonly<Record<RunnerCapacity, FargatePrices>>>>
  /** Ephemeral storage beyond what is included, per GB and hour. Spot lowers vCPU and memory, not this. */
  readonly fargateStorageGbHour: Price
  /** Public IPv4 address of a Fargate task, per hour. CodeBuild's costs nothing. */
  readonly publicIpv4Hour: Price
  /** EC2-mode builds: compute type → price of a minute. */
  readonly codebuildMinute: Readonly<Record<Arch, ReadonlyMap<string, Price>>>
}

export interface GitHubPrices {
  /** Linux runners, smallest first: per started minute of a job in a private repository. */
  readonly hosted: Readonly<Record<Arch, readonly { readonly cpu: number; readonly nanoUsd: number }[]>>
  /** GitHub's fee for a minute of a job on a self-hosted runner. */
  readonly selfHostedMinuteNanoUsd: number
}

/** Newest last. Prices hold from their date on (UTC) until the next; the first hold for all time before, too. */
export type History<T> = readonly [Dated<T>, ...Dated<T>[]]
export interface Dated<T> {
  readonly from: number
  readonly prices: T
}

export interface PriceTable {
  readonly regions: ReadonlyMap<string, History<RegionPrices>>
  readonly github: History<GitHubPrices>
  readonly checked: readonly Check[]
}

/** When somebody last looked whether prices still hold (YYYY-MM-DD). */
export interface Check {
  readonly source: 'AWS' | 'Fargate Spot' | 'GitHub'
  /** null for what is the same everywhere. */
  readonly region: string | null
  readonly on: string
}

/** The document that is prices.json. */
export interface PriceFile {
  readonly regions: Readonly<Record<string, RegionFile>>
  readonly github: {
    readonly checked: string
    readonly history: readonly {
      readonly from: string
      readonly selfHostedMinute: string
      readonly hostedMinute: Readonly<Record<Arch, Readonly<Record<string, string>>>>
    }[]
  }
}
export interface RegionFile {
  /** list: the price list of AWS; spot: prices of Fargate Spot, which are not in it. */
  readonly checked: { readonly list: string; readonly spot: string }
  readonly history: readonly RegionEntry[]
}
export interface RegionEntry {
  readonly from: string
  readonly fargate: Readonly<
    Record<
      Arch,
      Readonly<Record<RunnerCapacity, { readonly vcpuHour: PriceText; readonly gbHour: PriceText }>>
    >
  >
  readonly fargateStorageGbHour: PriceText
  readonly publicIpv4Hour: PriceText
  readonly codebuildMinute: Readonly<Record<Arch, Readonly<Record<string, PriceText>>>>
}
export type PriceText = string | null

/** Storage of every Fargate task that costs nothing extra, GiB. */
export const FARGATE_INCLUDED_DISK_GIB = 20

/**
 * Largest standard Linux runner of public repositories, where standard runners are free: 4 cores on x64 and
 * on arm64 (a private repository gets 2 under the same label). Larger runners are charged everywhere.
 * Source: docs.github.com/actions/reference/runners/github-hosted-runners, "Standard GitHub-hosted runners
 * for public repositories".
 */
export const PUBLIC_STANDARD_MAX_CPU = 4

/** Prices that nobody looked at for longer are told of. */
export const STALE_AFTER_DAYS = 90
const DAY_MS = 86_400_000

/** @throws Error that names what in the document is no price or date */
export function readPrices({ regions, github }: PriceFile): PriceTable {
  return {
    regions: new Map(
      Object.entries(regions).map(([region, { history }]) => [region, historyOf(history, regionPrices)]),
    ),
    github: historyOf(github.history, ({ selfHostedMinute, hostedMinute }) => ({
      hosted: { x64: hosted(hostedMinute.x64), arm64: hosted(hostedMinute.arm64) },
      selfHostedMinuteNanoUsd: nanoUsd(selfHostedMinute),
    })),
    checked: [
      ...Object.entries(regions).flatMap(([region, { checked }]) => [
        { source: 'AWS', region, on: dateText(checked.list) } as const,
        { source: 'Fargate Spot', region, on: dateText(checked.spot) } as const,
      ]),
      { source: 'GitHub', region: null, on: dateText(github.checked) },
    ],
  }
}

export const PRICES: PriceTable = readPrices(data)

/** What held at a moment (milliseconds since 1970). */
export function pricesAt<T>(history: History<T>, at: number): T {
  return (history.findLast(({ from }) => from <= at) ?? history[0]).prices
}

/** How old the prices are: those that were looked at longest ago. */
export interface PriceAge {
  /** YYYY-MM-DD */
  readonly checkedOn: string
  readonly days: number
  readonly stale: boolean
}

/** @param now milliseconds since 1970 */
export function priceAge(now: number, { checked }: PriceTable = PRICES): PriceAge {
  const checkedOn = checked.map(({ on }) => on).reduce((a, b) => (a < b ? a : b))
  return { checkedOn, days: daysSince(checkedOn, now), stale: daysSince(checkedOn, now) > STALE_AFTER_DAYS }
}

/** One line that says which of the prices that matter in a region are stale; null when none is. */
export function stalePrices(region: string, now: number, { checked }: PriceTable = PRICES): string | null {
  const stale = checked.filter(
    check => (check.region ?? region) === region && daysSince(check.on, now) > STALE_AFTER_DAYS,
  )
  if (stale.length === 0) return null
  const which = stale.map(({ source, region, on }) => `${source}${region ? ` in ${region}` : ''} ${on}`)
  return `prices last checked over ${STALE_AFTER_DAYS} days ago: ${which.join(', ')}; see docs/costs.md, "Prices"`
}

function daysSince(date: string, now: number): number {
  return Math.max(0, Math.floor((now - Date.parse(date)) / DAY_MS))
}

function historyOf<From extends { readonly from: string }, T>(
  entries: readonly From[],
  read: (entry: From) => T,
): History<T> {
  const [first, ...later] = entries
    .map(entry => ({ from: Date.parse(dateText(entry.from)), prices: read(entry) }))
    .sort((a, b) => a.from - b.from)
  if (!first) throw new Error('prices: a history without prices')
  return [first, ...later]
}

function regionPrices(entry: RegionEntry): RegionPrices {
  const fargate = ({ vcpuHour, gbHour }: { vcpuHour: PriceText; gbHour: PriceText }) => ({
    vcpuHour: price(vcpuHour),
    gbHour: price(gbHour),
  })
  const byCapacity = (prices: RegionEntry['fargate'][Arch]) => ({
    'on-demand': fargate(prices['on-demand']),
    spot: fargate(prices.spot),
  })
  const byType = (minutes: Readonly<Record<string, PriceText>>) =>
    new Map(Object.entries(minutes).map(([type, text]) => [type, price(text)]))
  return {
    fargate: { x64: byCapacity(entry.fargate.x64), arm64: byCapacity(entry.fargate.arm64) },
    fargateStorageGbHour: price(entry.fargateStorageGbHour),
    publicIpv4Hour: price(entry.publicIpv4Hour),
    codebuildMinute: { x64: byType(entry.codebuildMinute.x64), arm64: byType(entry.codebuildMinute.arm64) },
  }
}

function hosted(minutes: Readonly<Record<string, string>>) {
  return Object.entries(minutes)
    .map(([cpu, text]) => ({ cpu: Number(cpu), nanoUsd: nanoUsd(text) }))
    .sort((a, b) => a.cpu - b.cpu)
}

function price(text: PriceText): Price {
  if (text === null) return { nanoUsd: null, basis: 'unknown' }
  return text.startsWith('~')
    ? { nanoUsd: nanoUsd(text.slice(1)), basis: 'estimate' }
    : { nanoUsd: nanoUsd(text), basis: 'published' }
}

function nanoUsd(text: string): number {
  const [match, whole, decimals = ''] = /^(\d{1,4})(?:\.(\d{1,9}))?$/.exec(text) ?? []
  if (match === undefined) throw new Error(`prices: ${JSON.stringify(text)} is no price`)
  return Number(`${whole}${decimals.padEnd(9, '0')}`)
}

function dateText(text: string): string {
  if (!/^\d{4}-\d\d-\d\d$/.test(text) || Number.isNaN(Date.parse(text)))
    throw new Error(`prices: ${JSON.stringify(text)} is no date`)
  return text
}
