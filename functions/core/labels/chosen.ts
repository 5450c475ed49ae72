/** What a set of labels chooses in each dimension. */
import type { Problem } from '../types.ts'
import type { Dimension, Values } from './rows.ts'

export interface Choice<V> {
  readonly value: V
  /** The value as `print` writes it. */
  readonly word: string
  /** What a problem with this value names: the part as it was written, or the `size:` that brought it. */
  readonly label: string
  /** The `size:` that brought it, as `print` writes it. */
  readonly preset: string | null
}
export type Chosen = { readonly [D in Dimension]?: Choice<Values[D]> }

export interface Asked {
  readonly chosen: Chosen
  /** Dimensions for which something unusable was written: their defaults are nobody's wish, so nothing is said of them. */
  readonly unsure: ReadonlySet<Dimension>
}
export interface Sorted extends Asked {
  readonly problems: readonly Problem[]
}
