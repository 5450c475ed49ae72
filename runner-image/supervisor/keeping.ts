/** The supervisor's side of the keeper. */
import { type ChildProcess, fork } from 'node:child_process'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import type { KeeperAnswer, KeeperOrder } from './keeper.ts'
import type { CredentialVariables, Ticket, TicketRequest } from './ticket.ts'

export class Keeper {
  readonly #process: ChildProcess
  readonly #ended: Promise<void>

  /** Passes descriptor 3, unread, on to the keeper. */
  constructor() {
    this.#process = fork(join(import.meta.dirname, 'keeper.ts'), {
      execArgv: process.execArgv,
      env: {},
      stdio: ['ignore', 'inherit', 'inherit', 3, 'ipc'],
    })
    this.#ended = new Promise(resolve => {
      this.#process.once('exit', () => resolve())
      this.#process.once('error', () => resolve())
    })
    closeSync(3)
  }

  async ticket(runner: string, request: TicketRequest): Promise<Ticket> {
    const answer = await this.#ask({ order: 'take', runner, request })
    return answer && 'ticket' in answer ? answer.ticket : { outcome: 'failed', reason: 'keeper ended' }
  }

  /** Where the task tells of itself; null where it does not. Who has it is not kept secret from the job any more. */
  async metadata(): Promise<string | null> {
    const answer = await this.#ask({ order: 'metadata' })
    return answer && 'metadata' in answer ? answer.metadata : null
  }

  /** The variables by which a job finds the credentials; null when they are lost. */
  async release(): Promise<CredentialVariables | null> {
    const answer = await this.#ask({ order: 'release' })
    await this.forget()
    return answer && 'released' in answer ? answer.released : null
  }

  /** Once this is done, no process knows where the credentials are. */
  async forget(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  async #ask(order: KeeperOrder): Promise<KeeperAnswer | null> {
    if (!this.#process.connected) return null
    const answer = new Promise<KeeperAnswer>(resolve =>
      this.#process.once('message', message => resolve(message as KeeperAnswer)),
    )
    // A keeper that has just ended fails the write; its end answers.
    this.#process.send(order, () => {})
    return Promise.race([answer, this.#ended.then(() => null)])
  }
}
