/** One of the threads of `tornade whatif`: reads its blocks of the recording, and then plays one of the worlds. */
import { parentPort, workerData } from 'node:worker_threads'
import { type WhatIfOptions, type WhatIfReport, whatIf } from './whatif.ts'
import { type Facts, readBlock } from './whatif-facts.ts'
import { readWiring } from './wiring.ts'

export interface WhatIfWorkerData {
  /** Folder of serverless.yml. */
  readonly root: string
}
export type WhatIfOrder =
  | { readonly kind: 'read'; readonly index: number; readonly block: Uint8Array; readonly length: number }
  | { readonly kind: 'play'; readonly world: Omit<WhatIfOptions, 'wiring' | 'onProgress'> }
export type WhatIfAnswer =
  | { readonly kind: 'read'; readonly index: number; readonly facts: Facts; readonly block: Uint8Array }
  | { readonly kind: 'progress'; readonly share: number }
  | { readonly kind: 'played'; readonly report: WhatIfReport }

const { root } = workerData as WhatIfWorkerData
/** Often enough for an eye, and rarely enough not to count. */
const PROGRESS_MS = 200

parentPort!.on('message', async (order: WhatIfOrder) => {
  if (order.kind === 'read') {
    const { index, block, length } = order
    // The block goes back, to be filled again.
    answer({ kind: 'read', index, facts: readBlock(block.subarray(0, length)), block }, [
      block.buffer as ArrayBuffer,
    ])
    return
  }
  const { world } = order
  const wiring = await readWiring(root, 'local', world.config.region)
  let told = 0
  const report = await whatIf({
    ...world,
    wiring,
    onProgress: share => {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      answer({ kind: 'progress', share })
    },
  })
  answer({ kind: 'played', report })
})

function answer(message: WhatIfAnswer, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer)
}
