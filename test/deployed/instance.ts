/** Runs in a worker thread and is one instance of a function: its own environment, modules, output and death. */
import { parentPort, workerData } from 'node:worker_threads'

export interface InstanceData {
  /** URL of the module that exports `handler`. */
  readonly module: string
  /** One double: milliseconds by which this world's clock is ahead of the machine's. */
  readonly ahead: SharedArrayBuffer
}
export interface Invocation {
  readonly id: number
  readonly event: unknown
  readonly requestId: string
  readonly functionName: string
  readonly timeoutMs: number
}
export type Outcome =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }

const { module, ahead } = workerData as InstanceData
const skew = new Float64Array(ahead)
const RealDate = Date

class WorldDate extends RealDate {
  constructor(...parts: []) {
    if (parts.length === 0) super(WorldDate.now())
    else super(...parts)
  }
  static override now(): number {
    return RealDate.now() + skew[0]!
  }
}
globalThis.Date = WorldDate as DateConstructor

const realFetch = globalThis.fetch
/** No setting leads elsewhere: Slack has one address, and gives those of its answers itself. */
globalThis.fetch = (input, init) =>
  typeof input === 'string' && /^https:\/\/(hooks\.)?slack\.com\//.test(input)
    ? realFetch(input.replace('https:/', process.env.AWS_ENDPOINT_URL!), init)
    : realFetch(input, init)

const loading = import(module)

parentPort!.on('message', async ({ id, event, requestId, functionName, timeoutMs }: Invocation) => {
  const end = RealDate.now() + timeoutMs
  const context = {
    awsRequestId: requestId,
    functionName,
    getRemainingTimeInMillis: () => end - RealDate.now(),
  }
  let outcome: Outcome
  try {
    const { handler } = await loading
    outcome = { id, result: (await handler(event, context)) ?? null }
  } catch (error) {
    outcome = { id, error: `${(error as Error).name}: ${(error as Error).message}` }
  }
  // What was logged is to be there before the answer is.
  await Promise.all([process.stdout, process.stderr].map(flushed))
  parentPort!.postMessage(outcome)
})

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(resolve => stream.write('\n', () => resolve()))
}
