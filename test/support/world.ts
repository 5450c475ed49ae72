/** A whole tornade in stepped time, with what tests want to know of it. */
import { type Config, DEFAULT_CONFIG } from '../../functions/config.ts'
import { generationOf, jobKeyOf } from '../../functions/core/plan.ts'
import type { Job, Runner, StartRequest } from '../../functions/core/types.ts'
import type { Ports } from '../../functions/ports.ts'
import { proxy } from '../../local/around.ts'
import type { DoubleJob } from '../../local/github.ts'
import { SILENT } from '../../local/log.ts'
import { ACME_APP, hex } from '../../local/payloads.ts'
import { Promises } from '../../local/promises.ts'
import { generator } from '../../local/random.ts'
import { World, type WorldOptions } from '../../local/world.ts'

export { guarded } from '../../local/around.ts'
export { generator, proxy }

export const START = Date.UTC(2026, 10, 2, 9)
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export type ConfigOverrides = Omit<Partial<Config>, 'limits' | 'runner'> & {
  readonly limits?: Partial<Config['limits']>
  readonly runner?: Partial<Config['runner']>
}
export interface StackOptions extends Omit<Partial<WorldOptions>, 'config'> {
  readonly config?: ConfigOverrides
}

/** A world, and a watch over what it promises. */
export interface Stack {
  readonly world: World
  readonly config: Config
  readonly promises: Promises
}

export async function stack({ config: overrides = {}, ...options }: StackOptions = {}): Promise<Stack> {
  const config: Config = {
    ...DEFAULT_CONFIG,
    ...overrides,
    limits: { ...DEFAULT_CONFIG.limits, ...overrides.limits },
    runner: { ...DEFAULT_CONFIG.runner, ...overrides.runner },
  }
  const secret = 'a secret of these tests'
  const promises = new Promises(config, secret)
  const { wrapPorts = (ports: Ports) => ports, log = SILENT } = options
  const world = await World.create({
    start: START,
    secret,
    ...options,
    log: promises.log(log),
    config,
    wrapPorts: (ports, name) => wrapPorts(promises.watch(ports), name),
  })
  promises.attach(world)
  return { world, config, promises }
}

/** An ordinary job of acme/app, pushed to main. */
export function job(jobId: number, facts: Partial<DoubleJob> = {}): DoubleJob {
  const repository = facts.repository ?? ACME_APP
  return {
    repository,
    installationId: 5001,
    jobId,
    runId: 900_000 + jobId,
    attempt: 1,
    workflow: 'CI',
    name: `job ${jobId}`,
    labels: ['tornade'],
    headBranch: 'main',
    headSha: hex(`commit ${jobId}`, 40),
    event: 'push',
    headRepositoryId: repository.id,
    ...facts,
  }
}

/** Tells of each request to start a runner. */
export function noting(ports: Ports, note: (request: StartRequest) => void): Ports {
  const { compute } = ports
  return {
    ...ports,
    compute: proxy(compute, {
      start: request => {
        note(request)
        return compute.start(request)
      },
    }),
  }
}

export function repository(id: number, name = `acme/r${id}`): DoubleJob['repository'] {
  return { ...ACME_APP, id, name }
}

export async function jobs({ ledger }: World): Promise<readonly Job[]> {
  return (await ledger.jobs.page({ limit: Number.POSITIVE_INFINITY })).items.toReversed()
}

export async function runners({ ledger }: World): Promise<readonly Runner[]> {
  return (await ledger.runners.page({ limit: Number.POSITIVE_INFINITY })).items.toReversed()
}

export async function jobOf({ ledger }: World, key: string): Promise<Job> {
  const found = await ledger.jobs.get(key)
  if (!found) throw new Error(`the ledger has no job ${key}`)
  return found
}

/** Names of the runners that were started for a job, and why. */
export async function startedFor(world: World, key: string): Promise<string[]> {
  const own = (await runners(world)).filter(({ name }) => jobKeyOf(name) === key)
  return own.map(({ name, launch }) => `${generationOf(name)} ${launch?.cause}`)
}

/**
 * Lets time pass until nothing is under way any more, at most `limit`, and then for half an hour, in which all that
 * has a time limit runs out.
 */
export async function untilQuiet({ world }: Stack, limit = 26 * HOUR): Promise<void> {
  const end = world.clock.now() + limit
  let quiet = false
  const look = async (): Promise<void> => {
    const { jobs: store, reruns } = world.ledger
    const owed = (await store.open({ limit: 1 })).length + (await reruns.open({ limit: 1 })).length
    const open = owed + world.github.openJobs
    quiet = open === 0 && world.compute.live === 0 && world.backlog.waiting === 0
    if (!quiet) world.clock.after(MINUTE, look)
  }
  // Between two sweeps, so that what a sweep sends has been handled.
  world.clock.at(world.clock.now() - (world.clock.now() % MINUTE) + 1.5 * MINUTE, look)
  await world.clock.run(end, () => quiet)
  await world.clock.run(world.clock.now() + 30 * MINUTE)
}

/** Everything that must be so once nothing is under way; an empty list is a clean end. */
export async function leftovers({ world, promises }: Stack): Promise<string[]> {
  const faults = (await promises.end()).map(({ what }) => what)
  if (world.backlog.dead > 0) faults.push(`${world.backlog.dead} dead letters`)
  if (world.backlog.waiting > 0) faults.push(`${world.backlog.waiting} messages left`)
  return faults
}

/** Sets of labels that contain each other, so that runners are taken by other jobs. */
const LABELS: readonly (readonly string[])[] = [
  ['tornade'],
  ['tornade', 'arm64'],
  ['tornade', 'arm64', 'spot'],
  ['tornade', 'arm64', 'spot', '4cpu'],
  ['tornade', 'spot', '4cpu'],
  ['tornade', '4cpu'],
  ['tornade', 'docker'],
  ['tornade/arm64'],
]

/**
 * Queues a day of three repositories: jobs of all kinds, some cancelled before they start or while they run, some
 * behind gates, some run again, some of forks and some with a role that only acme/r1 may use.
 */
export function busyDay(
  { clock, github }: World,
  { seed, count, hours }: { readonly seed: number; readonly count: number; readonly hours: number },
): void {
  const random = generator(seed)
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  for (let index = 0; index < count; index++) {
    const at = START + random() * hours * HOUR
    const own = repository(pick([1, 2, 3]))
    const gate = random() < 0.06
    const cancelled = random() < 0.15
    const queued = job(1000 + index, {
      repository: own,
      labels: random() < 0.06 ? ['tornade', 'role:deploy'] : pick(LABELS),
      ...(random() < 0.04 ? ofFork(own) : {}),
      gate,
      script: {
        durationMs: Math.round((20 + random() * 300) * SECOND),
        ...(cancelled ? { cancelAt: at + random() * 2 * MINUTE } : {}),
      },
    })
    clock.at(at, () => github.queue(queued))
    if (gate) clock.at(at + random() * 20 * MINUTE, () => void github.openGate(queued.jobId))
    if (random() < 0.06) clock.at(at + random() * 30 * MINUTE, () => void github.runAgain(queued.jobId))
  }
}

/** A pull request from a fork that is gone. */
function ofFork(own: DoubleJob['repository']): Partial<DoubleJob> {
  return { repository: { ...own, allowForking: true }, headRepositoryId: null, event: 'pull_request' }
}
