/** One of the threads of `tornade whatif`: reads its blocks of the recording, and then plays one of the worlds. */
import { parentPort, workerData } from 'node:worker_threads'
import { type WhatIfOptions, type WhatIfReport, whatIf } from './whatif.ts'
import { joined, packed, type RecordedJobs, readBlock, unpacked } from './whatif-facts.ts'
import { readWiring } from './wiring.ts'

export interface WhatIfWorkerData {
  /** Folder of serverless.yml. */
  readonly root: string
}
export type WhatIfOrder =
  | { readonly kind: 'read'; readonly index: number; readonly block: Uint8Array; readonly length: number }
  | {
      readonly kind: 'play'
      /** Packed facts, in the order of the files. */
      readonly blocks: readonly Uint8Array[]
      readonly world: Omit<WhatIfOptions, 'wiring' | 'onProgress' | 'arrivals' | 'end'>
    }
/** `days`: from the first arrival to the last. */
export type Recorded = Omit<RecordedJobs, 'arrivals' | 'end'> & { readonly days: number }
export type WhatIfAnswer =
  | { readonly kind: 'read'; readonly index: number; readonly facts: Uint8Array; readonly block: Uint8Array }
  | { readonly kind: 'progress'; readonly share: number }
  | { readonly kind: 'played'; readonly recorded: Recorded; readonly report: WhatIfReport | null }

const { root } = workerData as WhatIfWorkerData
/** Often enough for an eye, and rarely enough not to count. */
const PROGRESS_MS = 200
const DAY_MS = 86_400_000

parentPort!.on('message', async (order: WhatIfOrder) => {
  if (order.kind === 'read') {
    const { index, block, length } = order
    // The block goes back, to be filled again.
    answer({ kind: 'read', index, facts: packed(readBlock(block.subarray(0, length))), block }, [
      block.buffer as ArrayBuffer,
    ])
    return
  }
  const { world, blocks } = order
  const { arrivals, end, ...counts } = joined(blocks.map(unpacked))
  const days = ((arrivals.at(-1)?.at ?? 0) - (arrivals[0]?.at ?? 0)) / DAY_MS
  const recorded = { ...counts, days }
  if (arrivals.length === 0) {
    answer({ kind: 'played', recorded, report: null })
    return
  }
  const wiring = await readWiring(root, 'local', world.config.region)
  let told = 0
  const report = await whatIf({
    ...world,
    arrivals,
    end,
    wiring,
    onProgress: share => {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      answer({ kind: 'progress', share })
    },
  })
  answer({ kind: 'played', recorded, report })
})

function answer(message: WhatIfAnswer, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer)
}
