/**
 * Decides, once, what the job on this runner may have, and sees to it that no step runs before that.
 *
 * The hook only asks. What the runner was handed is read from the environment that the kernel keeps of the hook's
 * process, and that process is found from the listener downwards: a child of the worker, which is a child of the
 * listener that the supervisor itself started. So nothing that is said over the socket is believed, and it does not
 * matter who says it: there is one job and one verdict.
 *
 * This holds as long as nobody else can start a child of the worker before the hook. The one way to do so is the
 * runner's own debugger, which opens a port first; a port that is open before the verdict ends the job.
 * https://github.com/actions/runner/blob/v2.336.0/src/Runner.Worker/Dap/DapDebugger.cs
 */
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { closeGates, openGates } from './gates.ts'
import type { Keeper } from './keeping.ts'
import { hookPath } from './listener.ts'
import { clean, type Log } from './log.ts'
import { decide, type Handed, type Verdict } from './policy.ts'
import {
  argumentsOf,
  as,
  childrenOf,
  environmentOf,
  killTree,
  listens,
  listProcesses,
  type Process,
  signal,
} from './processes.ts'
import type { Settings } from './settings.ts'

/** idle: no job yet; undecided: a job waits for its verdict; decided: it has it; killed: it was refused. */
export type JobState = 'idle' | 'undecided' | 'decided' | 'killed'

/** The runner writes the script of a step there; for the hook, and for all it does before it, there is none. */
const STEP_SCRIPT = /\/_temp\/[^/]+\.\w+$/

export class Guard {
  readonly socket: string
  readonly #settings: Settings
  readonly #keeper: Keeper
  readonly #log: Log
  readonly #server: Server
  #state: JobState = 'idle'
  #listener = 0
  #worker = 0
  #hook: { readonly pid: number; readonly since: number } | null = null
  #asked = false

  constructor(settings: Settings, keeper: Keeper, log: Log) {
    this.socket = join(settings.paths.run, 'guard.sock')
    this.#settings = settings
    this.#keeper = keeper
    this.#log = log
    this.#server = createServer(async (_, response) => {
      const { status, text } = await this.#answer()
      response.writeHead(status, { connection: 'close' }).end(text)
    })
  }

  get state(): JobState {
    return this.#state
  }

  async start(): Promise<void> {
    const { paths, user } = this.#settings
    closeGates(this.#settings, this.#log)
    mkdirSync(paths.run, { recursive: true, mode: 0o750 })
    rmSync(this.socket, { force: true })
    await new Promise<void>((resolve, reject) =>
      this.#server.once('error', reject).listen(this.socket, () => resolve()),
    )
    if (process.getuid!() !== 0) return
    for (const [path, mode] of [[paths.run, 0o750] as const, [this.socket, 0o660] as const]) {
      chownSync(path, 0, user.gid)
      chmodSync(path, mode)
    }
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** Looks at the job that `listener` has started, if any. Called every few milliseconds while it is undecided. */
  look(listener: number): void {
    if (this.#state === 'decided' || this.#state === 'killed') return
    this.#listener = listener
    const processes = listProcesses()
    const program = join(this.#settings.paths.runner, 'bin', 'Runner.Worker')
    // Behind an interpreter, in tests, it is the second argument.
    const worker = childrenOf(listener, processes).find(({ pid }) =>
      argumentsOf(pid).slice(0, 2).includes(program),
    )
    if (!worker) return
    if (this.#state === 'idle') {
      this.#log('info', 'a job has come')
      this.#state = 'undecided'
      this.#worker = worker.pid
    }
    this.#watch(worker, processes)
  }

  #watch(worker: Process, processes: readonly Process[]): void {
    const { times, user } = this.#settings
    const children = childrenOf(worker.pid, processes).map(({ pid }) => ({ pid, argv: argumentsOf(pid) }))
    const hooks = children.filter(({ argv }) => argv.includes(hookPath(this.#settings)))
    if (worker.pid !== this.#worker) this.kill('another worker was started')
    else if (children.some(({ argv }) => argv.some(argument => STEP_SCRIPT.test(argument))))
      this.kill('a step was started before the verdict')
    else if (hooks.length > 1) this.kill('the hook was started twice')
    // Where the user is not the job's alone (a test without root), its ports say nothing.
    else if (user.uid !== process.getuid!() && listens(user.uid))
      this.kill('a port was opened before the verdict, as the debugger does')
    else if (this.#hook && hooks[0]?.pid !== this.#hook.pid) this.kill('the hook ended before the verdict')
    else if (hooks[0] && !this.#hook) {
      this.#hook = { pid: hooks[0].pid, since: Date.now() }
      // Whatever becomes of the hook, the worker cannot go on to a step.
      signal(worker.pid, 'SIGSTOP')
    } else if (this.#hook && Date.now() - this.#hook.since > times.verdict)
      this.kill('there was no verdict in time')
  }

  /** Ends the job so that none of its steps runs; the listener lives and reports the job as failed. */
  kill(reason: string): void {
    if (this.#state === 'killed') return
    this.#state = 'killed'
    this.#log('error', 'job killed', { reason })
    if (this.#worker > 0) killTree(this.#worker, this.#settings.user.uid, this.#listener)
    void this.#keeper.forget()
  }

  async #answer(): Promise<{ readonly status: number; readonly text: string }> {
    if (this.#listener > 0) this.look(this.#listener)
    if (this.#state !== 'undecided' || this.#asked) return { status: 409, text: '' }
    this.#asked = true
    try {
      if (!this.#hook) throw new Error('it was asked for by something that is not the hook')
      const environment = environmentOf(this.#hook.pid, this.#settings.user)
      const handed = this.#handed(environment)
      const { compute, policy } = this.#settings
      const verdict = decide(handed, policy, { forgets: compute === 'fargate' })
      this.#log('info', 'verdict', {
        verdict: verdict.kind,
        reason: clean(verdict.reason, 300),
        repository: handed.repositoryId,
        run: clean(handed.runId),
        event: clean(handed.event),
        ref: clean(handed.ref),
      })
      return await this.#carryOut(verdict, environment)
    } catch (error) {
      this.kill(`the verdict failed: ${clean(error instanceof Error ? error.message : 'Error')}`)
      return { status: 500, text: '' }
    }
  }

  async #carryOut(
    verdict: Verdict,
    environment: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { user, times } = this.#settings
    if (verdict.kind === 'kill') {
      // The hook stays: while it does, no step can start, and the worker sends the reason to the log of the job.
      signal(this.#worker, 'SIGCONT')
      void sleep(times.explain).then(() => this.kill(verdict.reason))
      return { status: 403, text: workflowCommand('error', verdict.reason) }
    }
    let text = verdict.notice
      ? workflowCommand('notice', verdict.reason)
      : `tornade: ${line(verdict.reason)}\n`
    if (verdict.kind === 'release') {
      const released = await this.#keeper.release()
      if (!released) throw new Error('the credentials are lost')
      const lines = Object.entries(released).map(([name, value]) => `${name}=${value.replaceAll('\n', '')}\n`)
      as(user, () => appendFileSync(environment.GITHUB_ENV!, lines.join('')))
      // The address is worth something on this machine only; it is masked because every step prints its env.
      text =
        Object.values(released)
          .map(value => `::add-mask::${value}\n`)
          .join('') + text
    } else {
      await this.#keeper.forget()
    }
    // What happened meanwhile counts: a job that was killed gets nothing opened.
    if (this.#state === 'undecided') await openGates(this.#settings, verdict.building, this.#log)
    if (this.#state !== 'undecided') throw new Error('the job was killed meanwhile')
    this.#state = 'decided'
    signal(this.#worker, 'SIGCONT')
    return { status: 200, text }
  }

  #handed(environment: Readonly<Record<string, string>>): Handed {
    return {
      repositoryId: Number(environment.GITHUB_REPOSITORY_ID),
      event: environment.GITHUB_EVENT_NAME ?? '',
      ref: environment.GITHUB_REF ?? '',
      headRef: environment.GITHUB_HEAD_REF ?? '',
      refProtected: environment.GITHUB_REF_PROTECTED?.toLowerCase() === 'true',
      runId: environment.GITHUB_RUN_ID ?? '',
      payload: this.#payload(environment.GITHUB_EVENT_PATH),
    }
  }

  /** A payload that cannot be read is none, and rules that need one then refuse. */
  #payload(path: string | undefined): unknown {
    if (!path) return undefined
    try {
      return JSON.parse(as(this.#settings.user, () => readFileSync(path, 'utf8')))
    } catch (error) {
      this.#log('warn', 'event payload not read', { reason: (error as NodeJS.ErrnoException).code })
      return undefined
    }
  }
}

/** https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands */
function workflowCommand(command: 'error' | 'notice', text: string): string {
  const escaped = clean(text, 400).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  return `::${command} title=tornade::${escaped}\n`
}

/** A line of the job's log that cannot be taken for a workflow command. */
function line(text: string): string {
  return clean(text, 400).replaceAll('::', ': :').replaceAll('##[', '## [')
}
