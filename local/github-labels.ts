/**
 * Who fits whom: jobs and runners of one repository, found by their labels without looking at all of them.
 *
 * Entries with the same set of labels share a group, which is a heap by age. Groups are found by label. Labels
 * compare without regard to case, as GitHub's do.
 */
interface Node<T> {
  readonly value: T
  readonly order: number
  readonly group: Group<T>
  gone: boolean
}

interface Group<T> {
  readonly key: string
  readonly labels: ReadonlySet<string>
  /** Labels under which the group is found. */
  readonly places: readonly string[]
  /** Heap by order; nodes that are gone stay until they come to the top. */
  readonly heap: Node<T>[]
  live: number
}

abstract class LabelIndex<T> {
  /** How often the labels of a group were compared: the work done, for tests. */
  comparisons = 0
  readonly #groups = new Map<string, Group<T>>()
  readonly #byLabel = new Map<string, Set<Group<T>>>()
  readonly #nodes = new Map<T, Node<T>>()

  get size(): number {
    return this.#nodes.size
  }

  /** Lower orders are older. An entry that is there already stays as it is. */
  add(value: T, order: number, labels: readonly string[]): void {
    if (this.#nodes.has(value)) return
    const group = this.#group(normal(labels))
    const node: Node<T> = { value, order, group, gone: false }
    group.live++
    this.#nodes.set(value, node)
    push(group.heap, node)
  }

  delete(value: T): void {
    const node = this.#nodes.get(value)
    if (!node) return
    this.#nodes.delete(value)
    node.gone = true
    if (--node.group.live === 0) this.#drop(node.group)
  }

  /** Labels under which a new group must be found. */
  protected abstract placesOf(labels: ReadonlySet<string>): readonly string[]

  protected groupsAt(label: string): ReadonlySet<Group<T>> {
    return this.#byLabel.get(label) ?? NONE
  }

  protected older(best: Node<T> | null, group: Group<T>): Node<T> | null {
    const head = headOf(group)
    return head && (!best || head.order < best.order) ? head : best
  }

  #group(labels: ReadonlySet<string>): Group<T> {
    const key = [...labels].sort().join('\n')
    const known = this.#groups.get(key)
    if (known) return known
    const group: Group<T> = { key, labels, places: this.placesOf(labels), heap: [], live: 0 }
    this.#groups.set(key, group)
    for (const label of group.places) {
      const groups = this.#byLabel.get(label)
      if (groups) groups.add(group)
      else this.#byLabel.set(label, new Set([group]))
    }
    return group
  }

  #drop(group: Group<T>): void {
    this.#groups.delete(group.key)
    for (const label of group.places) {
      const groups = this.#byLabel.get(label)!
      groups.delete(group)
      if (groups.size === 0) this.#byLabel.delete(label)
    }
  }
}

/** Queued jobs. Each group is found by its rarest label alone, so that a label that all jobs have finds few. */
export class JobIndex<T> extends LabelIndex<T> {
  /** The oldest job whose labels are all among `labels`; a job without labels fits nowhere. */
  oldestWithin(labels: readonly string[]): T | null {
    const wanted = normal(labels)
    let best: Node<T> | null = null
    for (const label of wanted) {
      for (const group of this.groupsAt(label)) {
        this.comparisons++
        if (isSubset(group.labels, wanted)) best = this.older(best, group)
      }
    }
    return best?.value ?? null
  }

  protected override placesOf(labels: ReadonlySet<string>): readonly string[] {
    const rarest = rarestOf(labels, label => this.groupsAt(label).size)
    return rarest === null ? [] : [rarest]
  }
}

/** Idle runners. Each group is found by all of its labels; a search starts at the rarest label of the job. */
export class RunnerIndex<T> extends LabelIndex<T> {
  /** The runner that has been idle longest of those that have all of `labels`. */
  oldestContaining(labels: readonly string[]): T | null {
    const wanted = normal(labels)
    const rarest = rarestOf(wanted, label => this.groupsAt(label).size)
    if (rarest === null) return null
    let best: Node<T> | null = null
    for (const group of this.groupsAt(rarest)) {
      this.comparisons++
      if (isSubset(wanted, group.labels)) best = this.older(best, group)
    }
    return best?.value ?? null
  }

  protected override placesOf(labels: ReadonlySet<string>): readonly string[] {
    return [...labels]
  }
}

const NONE: ReadonlySet<never> = new Set()

function normal(labels: readonly string[]): Set<string> {
  return new Set(labels.map(label => label.toLowerCase()))
}

function isSubset(part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean {
  if (part.size > whole.size) return false
  for (const label of part) if (!whole.has(label)) return false
  return true
}

function rarestOf(labels: Iterable<string>, count: (label: string) => number): string | null {
  let rarest: string | null = null
  let least = Number.POSITIVE_INFINITY
  for (const label of labels) {
    const groups = count(label)
    if (groups < least) {
      rarest = label
      least = groups
    }
  }
  return rarest
}

function headOf<T>(group: Group<T>): Node<T> | null {
  while (group.heap[0]?.gone) pop(group.heap)
  return group.heap[0] ?? null
}

function push<T>(heap: Node<T>[], node: Node<T>): void {
  let index = heap.push(node) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (heap[parent]!.order <= node.order) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = node
}

function pop<T>(heap: Node<T>[]): void {
  const last = heap.pop()
  if (heap.length === 0 || last === undefined) return
  let index = 0
  for (;;) {
    let child = index * 2 + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.order < heap[child]!.order) child++
    if (last.order <= heap[child]!.order) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
}
