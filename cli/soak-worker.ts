/** One thread of `tornade soak`: plays the seeds that it is given, one after the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { type SoakOptions, type SoakResult, soak } from '../local/soak.ts'

export interface WorkerOrder {
  readonly choice: Pick<SoakOptions, 'faults' | 'except' | 'minutes'>
}
export interface WorkerAnswer {
  readonly result: SoakResult
  readonly milliseconds: number
}

const { choice } = workerData as WorkerOrder

parentPort!.on('message', async (seed: number) => {
  const start = performance.now()
  const result = await soak(seed, choice)
  parentPort!.postMessage({ result, milliseconds: performance.now() - start } satisfies WorkerAnswer)
})
