/**
 * Prices, as data. To correct a price or add a region, change this file and its date; no code reads a price
 * from anywhere else.
 *
 * All prices are integer nano-dollars (9 digits after the point: 40_480_000 is $0.040480000), before tax,
 * free tiers, savings plans and private discounts. What is not listed, or is listed as UNKNOWN, is unknown.
 *
 * Published prices stand at aws.amazon.com/fargate/pricing, aws.amazon.com/codebuild/pricing,
 * aws.amazon.com/vpc/pricing and docs.github.com/billing/reference/actions-runner-pricing.
 */
import type { Arch, PriceBasis, RunnerCapacity } from './types.ts'

/** Month in which the prices below were gathered. */
export const PRICES_AS_OF = '2026-11'

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
  /** EC2-mode builds: compute type → price of a minute. */
  readonly codebuildMinute: Readonly<Record<Arch, ReadonlyMap<string, Price>>>
}

/** Read on the price page of AWS or GitHub. */
const published = (nanoUsd: number): Price => ({ nanoUsd, basis: 'published' })
/** From a secondary source, or a price that moves. */
const estimate = (nanoUsd: number): Price => ({ nanoUsd, basis: 'estimate' })

export const UNKNOWN: Price = { nanoUsd: null, basis: 'unknown' }
const UNKNOWN_FARGATE: FargatePrices = { vcpuHour: UNKNOWN, gbHour: UNKNOWN }

/** On-demand Fargate where the lowest prices apply; Ireland costs what Virginia costs. */
const FARGATE_X64: FargatePrices = { vcpuHour: published(40_480_000), gbHour: published(4_445_000) }
const FARGATE_ARM64: FargatePrices = { vcpuHour: published(32_380_000), gbHour: published(3_560_000) }

const TOKYO_X64: FargatePrices = { vcpuHour: published(50_560_000), gbHour: published(5_530_000) }
const TOKYO_ARM64: FargatePrices = { vcpuHour: published(40_450_000), gbHour: published(4_420_000) }
/** Tokyo's Spot prices are not at hand: about 68 % off was reported. */
const TOKYO_SPOT_DISCOUNT_PERCENT = 68

export const REGIONS: ReadonlyMap<string, RegionPrices> = new Map([
  [
    'us-east-1',
    {
      fargate: {
        x64: {
          'on-demand': FARGATE_X64,
          // Seen between 0.01255 and 0.01334 per vCPU, 0.00137 and 0.00146 per GB: the middle.
          spot: { vcpuHour: estimate(12_945_000), gbHour: estimate(1_415_000) },
        },
        arm64: {
          'on-demand': FARGATE_ARM64,
          spot: { vcpuHour: estimate(10_340_000), gbHour: estimate(1_140_000) },
        },
      },
      fargateStorageGbHour: published(111_000),
      codebuildMinute: {
        x64: new Map([
          ['BUILD_GENERAL1_SMALL', published(5_000_000)],
          ['BUILD_GENERAL1_MEDIUM', published(10_000_000)],
          ['BUILD_GENERAL1_LARGE', published(20_000_000)],
          ['BUILD_GENERAL1_XLARGE', estimate(80_000_000)],
          ['BUILD_GENERAL1_2XLARGE', estimate(200_000_000)],
        ]),
        arm64: new Map([
          ['BUILD_GENERAL1_SMALL', published(3_400_000)],
          ['BUILD_GENERAL1_MEDIUM', estimate(7_000_000)],
          ['BUILD_GENERAL1_LARGE', UNKNOWN],
          ['BUILD_GENERAL1_XLARGE', estimate(60_000_000)],
          ['BUILD_GENERAL1_2XLARGE', estimate(90_000_000)],
        ]),
      },
    },
  ],
  [
    'eu-west-1',
    {
      fargate: {
        x64: { 'on-demand': FARGATE_X64, spot: UNKNOWN_FARGATE },
        arm64: { 'on-demand': FARGATE_ARM64, spot: UNKNOWN_FARGATE },
      },
      fargateStorageGbHour: UNKNOWN,
      codebuildMinute: { x64: new Map(), arm64: new Map() },
    },
  ],
  [
    'ap-northeast-1',
    {
      fargate: {
        x64: { 'on-demand': TOKYO_X64, spot: discounted(TOKYO_X64, TOKYO_SPOT_DISCOUNT_PERCENT) },
        arm64: { 'on-demand': TOKYO_ARM64, spot: discounted(TOKYO_ARM64, TOKYO_SPOT_DISCOUNT_PERCENT) },
      },
      fargateStorageGbHour: estimate(133_000),
      codebuildMinute: {
        x64: new Map(),
        arm64: new Map([['BUILD_GENERAL1_SMALL', estimate(4_250_000)]]),
      },
    },
  ],
])

/** Storage of every Fargate task that costs nothing extra, GiB. */
export const FARGATE_INCLUDED_DISK_GIB = 20

/** Public IPv4 address of a Fargate task, per hour; the same in every region. CodeBuild's costs nothing. */
export const PUBLIC_IPV4_HOUR: Price = published(5_000_000)

export interface GitHubHostedPrice {
  readonly cpu: number
  /** Per started minute of a job in a private repository. */
  readonly nanoUsd: number
}

/** GitHub-hosted Linux runners since 2026-01-01, smallest first. The 1-core runner exists for x64 only. */
export const GITHUB_HOSTED: Readonly<Record<Arch, readonly GitHubHostedPrice[]>> = {
  x64: [
    { cpu: 1, nanoUsd: 2_000_000 },
    { cpu: 2, nanoUsd: 6_000_000 },
    { cpu: 4, nanoUsd: 12_000_000 },
    { cpu: 8, nanoUsd: 22_000_000 },
    { cpu: 16, nanoUsd: 42_000_000 },
    { cpu: 32, nanoUsd: 82_000_000 },
    { cpu: 64, nanoUsd: 162_000_000 },
    { cpu: 96, nanoUsd: 252_000_000 },
  ],
  arm64: [
    { cpu: 2, nanoUsd: 5_000_000 },
    { cpu: 4, nanoUsd: 8_000_000 },
    { cpu: 8, nanoUsd: 14_000_000 },
    { cpu: 16, nanoUsd: 26_000_000 },
    { cpu: 32, nanoUsd: 50_000_000 },
    { cpu: 64, nanoUsd: 98_000_000 },
  ],
}

/**
 * Largest standard Linux runner of public repositories, where standard runners are free: 4 cores on x64 and
 * on arm64 (a private repository gets 2 under the same label). Larger runners are charged everywhere.
 * Source: docs.github.com/actions/reference/runners/github-hosted-runners, "Standard GitHub-hosted runners
 * for public repositories".
 */
export const PUBLIC_STANDARD_MAX_CPU = 4

/**
 * GitHub's fee per minute of a self-hosted runner. Announced on 2025-12-16 as $0.002 (2_000_000) and
 * postponed; no cost contains it yet.
 */
export const GITHUB_SELF_HOSTED_FEE_NANO_USD = 0

function discounted(prices: FargatePrices, percent: number): FargatePrices {
  return { vcpuHour: off(prices.vcpuHour, percent), gbHour: off(prices.gbHour, percent) }
}

/** A price with so many percent off is no published price any more. */
function off(price: Price, percent: number): Price {
  return price.nanoUsd === null ? UNKNOWN : estimate(Math.round((price.nanoUsd * (100 - percent)) / 100))
}
