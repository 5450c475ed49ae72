/** One thread of `tornade soak`: plays the seeds that it is given, one after the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { type SoakOptions, type SoakResult, soak } from '../local/soak.ts'
import { readWiring } from '../local/wiring.ts'

export interface WorkerOrder {
  readonly root: string
  readonly region: string
  readonly choice: Pick<SoakOptions, 'faults' | 'except' | 'minutes'>
}
export interface WorkerAnswer {
  readonly result: SoakResult
  readonly milliseconds: number
}

const { root, region, choice } = workerData as WorkerOrder
/** Reading serverless.yml takes longer than a world does. */
const wiring = await readWiring(root, 'local', region)

parentPort!.on('message', async (seed: number) => {
  const start = performance.now()
  const result = await soak(seed, { ...choice, wiring })
  parentPort!.postMessage({ result, milliseconds: performance.now() - start } satisfies WorkerAnswer)
})
