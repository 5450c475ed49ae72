/**
 * A process of its own that alone knows where the role's credentials are. It takes the ticket, then waits for the
 * verdict: it tells the address, or is killed, and with its memory the address is gone. Memory of the supervisor could
 * not be cleared, and root in the job can read it.
 */
import { readFileSync } from 'node:fs'
import { createLog } from './log.ts'
import { type CredentialVariables, type Ticket, type TicketRequest, takeTicket } from './ticket.ts'

export type KeeperOrder =
  | { readonly order: 'take'; readonly runner: string; readonly request: TicketRequest }
  | { readonly order: 'release' }
  | { readonly order: 'metadata' }
export type KeeperAnswer =
  | { readonly ticket: Ticket }
  | { readonly released: CredentialVariables }
  | { readonly metadata: string | null }

/** The variables that a job needs to find the credentials by itself. */
const RELEASED = [
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
]

const variables: CredentialVariables = Object.fromEntries(
  readFileSync(3, 'utf8')
    .split('\0')
    .filter(line => line.includes('='))
    .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
)

function answer(message: KeeperAnswer, then?: () => void): void {
  process.send!(message, undefined, undefined, then)
}

process.on('message', async (order: KeeperOrder) => {
  if (order.order === 'take') {
    answer({ ticket: await takeTicket(variables, order.request, createLog(order.runner)) })
    return
  }
  if (order.order === 'metadata') {
    answer({ metadata: variables.ECS_CONTAINER_METADATA_URI_V4 || null })
    return
  }
  const released = Object.fromEntries(
    RELEASED.filter(name => variables[name]).map(name => [name, variables[name]!]),
  )
  answer({ released }, () => process.exit(0))
})
// Nobody is left to ask.
process.on('disconnect', () => process.exit(0))
