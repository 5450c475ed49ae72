import type { Arch } from '../types.ts'

/** What a deployment adds to the labels that everybody has. */
export interface LabelRules {
  /** The part that makes a set ours; case does not matter. */
  readonly marker: string
  /** Presets of tornade.yml: name → parts. */
  readonly sizes: ReadonlyMap<string, readonly string[]>
  readonly roles: ReadonlySet<string>
  /** Images of tornade.yml: name → the architectures that it has. */
  readonly images: ReadonlyMap<string, readonly Arch[]>
  /** Longest life of a runner, and what a job without `timeout:` gets. `timeout:` may only shorten it. */
  readonly longestMinutes: number
  /** Largest job that the deployment takes; null = not checked. */
  readonly limits: {
    readonly cpu: number
    readonly memoryGiB: number
    readonly diskGiB: number
    /** Settings of tornade.yml that they come from, where that is not `limits`. */
    readonly settings?: { readonly cpu?: string; readonly memory?: string; readonly disk?: string }
  } | null
}

/** Rules without a tornade.yml: no names, six hours, no limits. */
export const DEFAULT_RULES: LabelRules = {
  marker: 'tornade',
  sizes: new Map(),
  roles: new Set(),
  images: new Map(),
  longestMinutes: 360,
  limits: null,
}
