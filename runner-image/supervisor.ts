/**
 * First program of the runner image, as root: takes the ticket, runs the runner program as the job's user, gives the
 * guard's verdict, measures the job, and ends what lasts too long.
 *
 * The exit code is for the operator's eyes (stoppedReason of the task): what became of a job is told by webhooks.
 */
import type { ChildProcess } from 'node:child_process'
import { Guard } from './supervisor/guard.ts'
import { Keeper } from './supervisor/keeping.ts'
import { startListener } from './supervisor/listener.ts'
import { clean, createLog, type Log } from './supervisor/log.ts'
import { killTree, signal } from './supervisor/processes.ts'
import { readSettings, type Settings, SettingsError } from './supervisor/settings.ts'
import type { Ticket } from './supervisor/ticket.ts'
import { cgroupSource, Measurement, metadataSource, type Source, usageLine } from './supervisor/usage.ts'

const EXIT = {
  /** The job is done, or none came. */
  done: 0,
  /** The settings cannot work. */
  settings: 2,
  /** Nobody armed this runner in time. */
  noTicket: 3,
  /** The runner program did not come online. */
  offline: 4,
  endOfLife: 5,
  /** Another process took the ticket. */
  ticketGone: 6,
  /** The guard killed the job. */
  refused: 7,
  /** AWS did not let the ticket be asked for. */
  ticketFailed: 8,
  bug: 70,
  terminated: 143,
} as const

/** Codes after which run.sh of the runner program starts it again: retry, updated (twice), configuration renewed. */
const RELAUNCH = new Set<number | null>([2, 3, 4, 6])
const RELAUNCHES = 3
/** How soon a worker is noticed, and how soon what it does before the verdict. */
const LOOK_MS = 200
const LOOK_CLOSELY_MS = 20
/** A listener reports a killed job within this time, or is ended. */
const REPORT_MS = 60_000

type Ending = { readonly code: number; readonly reason: string }

class Supervisor {
  readonly #settings: Settings
  readonly #log: Log
  readonly #keeper = new Keeper()
  readonly #guard: Guard
  #listener: ChildProcess | null = null
  #source: Source | null = null
  #measurement: Measurement | null = null
  /** Why it ends, once it does; what the listener's exit code says no longer counts then. */
  #ending: Ending | null = null
  #end: (ending: Ending) => void = () => {}

  constructor(settings: Settings, log: Log) {
    this.#settings = settings
    this.#log = log
    this.#guard = new Guard(settings, this.#keeper, log)
  }

  async run(): Promise<Ending> {
    const { times } = this.#settings
    const ended = new Promise<Ending>(resolve => {
      this.#end = resolve
    })
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => this.#stop({ code: EXIT.terminated, reason: name }))
    }
    setTimeout(() => this.#stop({ code: EXIT.endOfLife, reason: 'end of life' }), times.life)
    await this.#guard.start()
    void this.#takeAndListen()
    return ended
  }

  async #takeAndListen(): Promise<void> {
    const { runner, region, table, times } = this.#settings
    const ticket = await this.#keeper.ticket(runner, {
      region,
      table,
      waitMs: times.ticket,
      endpoints: {
        dynamodb: process.env.AWS_ENDPOINT_URL_DYNAMODB ?? process.env.AWS_ENDPOINT_URL,
        sts: process.env.AWS_ENDPOINT_URL_STS ?? process.env.AWS_ENDPOINT_URL,
        credentials: process.env.TORNADE_CREDENTIALS_ORIGIN,
      },
    })
    if (this.#ending) return
    if (ticket.outcome !== 'taken') {
      this.#end(withoutTicket(ticket))
      return
    }
    this.#log('info', 'ticket taken')
    this.#source = await this.#findSource()
    setTimeout(() => {
      if (this.#guard.state === 'idle') this.#stop({ code: EXIT.done, reason: 'no job came' })
    }, times.idle)
    this.#listen(ticket.jitConfig, 0)
    this.#watch()
  }

  #listen(jitConfig: string | null, relaunches: number): void {
    if (this.#ending) return
    const child = startListener(this.#settings, this.#guard.socket, jitConfig, this.#log)
    this.#listener = child
    let over = false
    const end = (code: number | null, reason: string) => {
      if (over) return
      over = true
      this.#listener = null
      this.#log('info', 'listener ended', { code, reason })
      if (this.#ending) this.#end(this.#ending)
      else if (this.#guard.state === 'killed') this.#end({ code: EXIT.refused, reason: 'job killed' })
      else if (this.#guard.state !== 'idle') this.#end({ code: EXIT.done, reason: 'job done' })
      else if (RELAUNCH.has(code) && relaunches < RELAUNCHES)
        setTimeout(() => this.#listen(null, relaunches + 1), this.#settings.times.relaunch)
      else if (code === 0) this.#end({ code: EXIT.done, reason: 'listener signed off' })
      else this.#end({ code: EXIT.offline, reason: 'listener not online' })
    }
    child.once('exit', (code, name) => end(code, name ?? ''))
    child.once('error', error => end(null, clean(error.message)))
  }

  #watch(): void {
    if (this.#listener?.pid) this.#guard.look(this.#listener.pid)
    const { state } = this.#guard
    if (state === 'decided' && this.#source)
      this.#measurement = new Measurement(this.#source, this.#settings.times.sample)
    if (state === 'killed') {
      setTimeout(() => this.#force(), REPORT_MS)
      return
    }
    if (state !== 'decided') setTimeout(() => this.#watch(), state === 'idle' ? LOOK_MS : LOOK_CLOSELY_MS)
  }

  /**
   * SIGINT makes the listener cancel a running job, or sign off when idle. A job that has no verdict yet is killed: its
   * steps with `if: always()` run after a cancel.
   */
  #stop(ending: Ending): void {
    if (this.#ending) return
    this.#ending = ending
    this.#log('info', 'stopping', { reason: ending.reason })
    if (!this.#listener) {
      this.#end(ending)
      return
    }
    if (this.#guard.state === 'undecided') this.#guard.kill('stopped before the verdict')
    signal(this.#listener.pid!, 'SIGINT')
    setTimeout(() => this.#force(), this.#settings.times.stop)
  }

  #force(): void {
    if (this.#listener?.pid) killTree(this.#listener.pid, this.#settings.user.uid, 0)
  }

  /** The address of the metadata stays with the keeper, and ends with it, unless it is needed here. */
  async #findSource(): Promise<Source | null> {
    const { cgroup, exchange } = this.#settings.paths
    // An image builder beside this runner has a group of its own, and the task's memory is for both.
    const group = exchange === null ? cgroupSource(cgroup) : null
    if (group) return group
    const address = await this.#keeper.metadata()
    return address === null ? null : metadataSource(address)
  }

  async close(): Promise<void> {
    this.#guard.close()
    await this.#keeper.forget()
    const usage = await this.#measurement?.stop()
    if (usage) process.stdout.write(`${usageLine(usage)}\n`)
  }
}

function withoutTicket(ticket: Exclude<Ticket, { outcome: 'taken' }>): Ending {
  switch (ticket.outcome) {
    case 'none':
      return { code: EXIT.noTicket, reason: 'no ticket in time' }
    case 'gone':
      return { code: EXIT.ticketGone, reason: 'another process took the ticket' }
    case 'failed':
      return { code: EXIT.ticketFailed, reason: `ticket failed: ${clean(ticket.reason)}` }
  }
}

async function main(): Promise<number> {
  const log = createLog(process.env.TORNADE_RUNNER ?? '')
  try {
    const supervisor = new Supervisor(readSettings(process.env), log)
    const { code, reason } = await supervisor.run()
    await supervisor.close()
    log('info', 'ended', { code, reason })
    return code
  } catch (error) {
    const settings = error instanceof SettingsError
    log('error', settings ? 'settings cannot work' : 'bug', {
      reason: error instanceof Error ? error.message.slice(0, 1000) : 'unknown',
    })
    return settings ? EXIT.settings : EXIT.bug
  }
}

// An error that nobody awaits ends the process as well, and with it the container: the guard fails closed.
process.exit(await main())
