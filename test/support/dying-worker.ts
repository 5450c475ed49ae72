/** A thread of `tornade soak` whose worlds come to no end: one throws, one takes the thread with it. */
import { parentPort } from 'node:worker_threads'
import type { WorkerAnswer } from '../../cli/soak-worker.ts'

const NOTHING = { states: {}, runners: 0, deadLetters: 0, unheard: 0, recoveryMinutes: 1 }

parentPort!.on('message', async (seed: number) => {
  if (seed === 5) process.exit(7)
  if (seed === 2) throw new Error(`the world of seed ${seed} is no more`)
  const result = { seed, jobs: 0, faults: [], broken: [], stats: NOTHING, timeline: [] }
  parentPort!.postMessage({ result, milliseconds: 1 } satisfies WorkerAnswer)
})
