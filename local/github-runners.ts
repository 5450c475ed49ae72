/** Runners that are registered at GitHub: just-in-time configurations, names, and who is online. */
import { createHmac } from 'node:crypto'
import type { GitHubScope, JitOutcome } from '../functions/ports.ts'
import type { LocalClock, Timer } from './clock.ts'
import type { Conclusion } from './payloads.ts'

/** What the runner program gets told. The double calls these from its timers, one at a time. */
export interface RunnerProgram<Job> {
  /** A job is offered; `acquire` it within 60 seconds. A later offer replaces an earlier one that has lapsed. */
  onJob(job: Job): void
  /** The job that was acquired has ended; the registration is gone, and so is this session. */
  onDone(conclusion: Conclusion): void
  /** GitHub asks to cancel the job that runs; `onDone` follows after a few seconds. */
  onCancel?(): void
  /** The registration was removed while the runner was idle: nothing will come any more. */
  onGone(reason: 'removed'): void
}

/** A runner program that is online. */
export interface RunnerSession {
  readonly runnerId: number
  readonly name: string
  /** Takes the offered job; false when the offer has lapsed (60 s), or the job was cancelled meanwhile. */
  acquire(jobId: number): boolean
  /**
   * The runner ends its job early and still can say so: its worker was killed, or it got SIGTERM, which fails the job
   * since https://github.com/actions/runner/pull/1792. Some killed runners were seen to end as cancelled:
   * https://github.com/runs-on/runs-on/issues/249
   */
  failJob(conclusion?: 'failure' | 'cancelled'): void
  /** The runner is gone without a word. Its job, if it has one, fails when its lock runs out after 10 minutes. */
  disconnect(): void
  /** The idle runner signs off, as it does on SIGTERM with RUNNER_MANUALLY_TRAP_SIG; with a job, like `disconnect`. */
  deregister(): void
}

export interface Registration<Job> {
  readonly id: number
  readonly name: string
  readonly labels: readonly string[]
  readonly repositoryId: number
  readonly createdAt: number
  readonly jitConfig: string
  /** null while no runner program is connected: the runner is offline. */
  program: RunnerProgram<Job> | null
  /** False once GitHub no longer lists it. */
  registered: boolean
  removal: Timer | null
}

/** How GitHub sees a runner now. */
export interface RunnerView {
  readonly id: number
  readonly name: string
  readonly repositoryId: number
  readonly labels: readonly string[]
  readonly status: 'offline' | 'idle' | 'busy'
  readonly createdAt: number
}

/** How long a JIT config can be used. Sources say 5 to 60 minutes. */
const JIT_CONFIG_MS = 60 * 60_000
/**
 * Ephemeral runners are removed when they were not connected for a day.
 * https://docs.github.com/en/actions/concepts/runners/communicating-with-self-hosted-runners
 */
const OFFLINE_MS = 24 * 60 * 60_000

export class Registrations<Job> {
  readonly #clock: LocalClock
  readonly #secret: string | null
  readonly #byId = new Map<number, Registration<Job>>()
  readonly #byName = new Map<string, Registration<Job>>()
  readonly #byConfig = new Map<string, Registration<Job>>()
  #lastId = 0

  /** @param secret null where nobody looks into a JIT config: it is then a mere name */
  constructor(clock: LocalClock, secret: string | null) {
    this.#clock = clock
    this.#secret = secret
  }

  create(scope: GitHubScope, name: string, labels: readonly string[]): JitOutcome {
    const problem = problemOf(name, labels)
    if (problem) return { outcome: 'failed', message: problem }
    if (this.find(scope, name)) return { outcome: 'name-taken' }
    const id = ++this.#lastId
    const runner: Registration<Job> = {
      id,
      name,
      labels: [...labels],
      repositoryId: scope.repository.id,
      createdAt: this.#clock.now(),
      jitConfig: this.#encode(id, name, scope.repository.name),
      program: null,
      registered: true,
      removal: null,
    }
    this.#byId.set(id, runner)
    this.#byName.set(nameKey(runner.repositoryId, name), runner)
    this.#byConfig.set(runner.jitConfig, runner)
    this.expireOffline(runner)
    return { outcome: 'created', runnerId: id, name, encodedJitConfig: runner.jitConfig }
  }

  get(scope: GitHubScope, id: number): Registration<Job> | null {
    const runner = this.#byId.get(id)
    return runner && runner.repositoryId === scope.repository.id ? runner : null
  }

  find(scope: GitHubScope, name: string): Registration<Job> | null {
    return this.#byName.get(nameKey(scope.repository.id, name)) ?? null
  }

  all(): Iterable<Registration<Job>> {
    return this.#byId.values()
  }

  /** The registration of a config that was not used before and is still good; it is used from now on. */
  use(jitConfig: string): Registration<Job> | null {
    const runner = this.#byConfig.get(jitConfig)
    if (!runner || this.#clock.now() > runner.createdAt + JIT_CONFIG_MS) return null
    this.#byConfig.delete(jitConfig)
    runner.removal?.cancel()
    return runner
  }

  remove(runner: Registration<Job>): void {
    runner.registered = false
    runner.removal?.cancel()
    this.#byId.delete(runner.id)
    this.#byName.delete(nameKey(runner.repositoryId, runner.name))
    this.#byConfig.delete(runner.jitConfig)
  }

  /** Removes the registration in a day unless its runner comes online. */
  expireOffline(runner: Registration<Job>): void {
    runner.removal?.cancel()
    runner.removal = this.#clock.after(OFFLINE_MS, () => this.remove(runner))
  }

  /** The shape of the real one, base64 of files in base64; what would be an RSA key is a keyed hash of the id. */
  #encode(id: number, name: string, repository: string): string {
    if (this.#secret === null) return `${id} ${name}`
    const key = createHmac('sha256', this.#secret).update(`runner ${id} ${name}`).digest('base64url')
    const settings = { AgentId: id, AgentName: name, PoolId: 1, WorkFolder: '_work', Ephemeral: true }
    return base64({
      '.runner': base64({ ...settings, gitHubUrl: `https://github.com/${repository}` }),
      '.credentials': base64({ scheme: 'OAuth', data: { clientId: key.slice(0, 20) } }),
      '.credentials_rsaparams': base64({ d: key }),
    })
  }
}

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}

function nameKey(repositoryId: number, name: string): string {
  return `${repositoryId} ${name.toLowerCase()}`
}

/** GitHub answers 422 to these. */
function problemOf(name: string, labels: readonly string[]): string | null {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(name))
    return 'The name of a runner has 1 to 64 letters, digits and hyphens.'
  if (labels.length < 1 || labels.length > 100) return 'A runner has 1 to 100 labels.'
  if (labels.some(label => label === '')) return 'A label is empty.'
  return null
}
