/**
 * What can be asked of tornade from a chat, and who may ask it. Everything here was typed by somebody, or sent by
 * whoever says so: it is read by its form, and what has another form is refused.
 */
import { clean } from './text.ts'

/** Workflows that can be started from the chat by the name of an application. */
export interface ChatApp {
  /** owner/name */
  readonly repository: string
  /** File name below .github/workflows. */
  readonly workflow: string
  /** Names, or patterns: * stands for anything but a slash, ** for anything. */
  readonly branches: readonly string[]
  readonly inputs: Readonly<Record<string, string>>
}
/** Who may use the commands, and where: all three have to fit. */
export interface ChatPolicy {
  /** Ids of Slack. */
  readonly team: string
  readonly users: readonly string[]
  readonly channels: readonly string[]
  readonly apps: Readonly<Record<string, ChatApp>>
}
/** Ids of Slack. */
export interface Sender {
  readonly team: string
  readonly user: string
  readonly channel: string
}

export type Change =
  | { readonly kind: 'rerun'; readonly job: JobName }
  | { readonly kind: 'deploy'; readonly app: string; readonly branch: string }
/** A job by its id at GitHub; without an attempt, the latest that is known. */
export interface JobName {
  readonly id: number
  readonly attempt: number | null
}
export type Command =
  | { readonly kind: 'status' | 'jobs' | 'costs' }
  | { readonly kind: 'logs'; readonly job: JobName }
  | Change
  /** `problem`: why it is not what was asked for. */
  | { readonly kind: 'help'; readonly problem: string | null }

/** A branch has 244 bytes at most at GitHub. */
const LONGEST_TEXT = 300
const JOB = /^([1-9]\d{0,15})(?:-([1-9]\d{0,3}))?$/
/** Attempts of a job that are looked for when none is named. */
export const ATTEMPTS_LOOKED_AT = 10

/** @param text what was typed behind the name of the command */
export function readCommand(text: string): Command {
  if (text.length > LONGEST_TEXT) return help(`That is more than ${LONGEST_TEXT} characters.`)
  const [name = '', ...rest] = text.split(/\s+/).filter(word => word !== '')
  const takes = (count: number) => rest.length === count
  switch (name.toLowerCase()) {
    case '':
    case 'help':
      return { kind: 'help', problem: null }
    case 'status':
    case 'jobs':
    case 'costs':
      if (!takes(0)) return help(`\`${name.toLowerCase()}\` takes nothing more.`)
      return { kind: name.toLowerCase() as 'status' | 'jobs' | 'costs' }
    case 'logs':
    case 'rerun': {
      const kind = name.toLowerCase() as 'logs' | 'rerun'
      const job = takes(1) ? readJobName(rest[0]!) : null
      return job ? { kind, job } : help(`\`${kind}\` takes the number of a job, as \`jobs\` shows it.`)
    }
    case 'deploy':
      if (!takes(2)) return help('`deploy` takes an application and a branch.')
      return { kind: 'deploy', app: clean(rest[0]!), branch: rest[1]! }
    default:
      return help('There is no such command.')
  }
}

function help(problem: string): Command {
  return { kind: 'help', problem }
}

function readJobName(text: string): JobName | null {
  const [, id, attempt] = JOB.exec(text) ?? []
  if (id === undefined || !Number.isSafeInteger(Number(id))) return null
  return { id: Number(id), attempt: attempt === undefined ? null : Number(attempt) }
}

/** Keys of the ledger under which the job may be, the latest attempt first. */
export function jobKeys({ id, attempt }: JobName): readonly string[] {
  if (attempt !== null) return [`${id}-${attempt}`]
  return Array.from({ length: ATTEMPTS_LOOKED_AT }, (_, index) => `${id}-${ATTEMPTS_LOOKED_AT - index}`)
}

export function isChange(command: Command): command is Change {
  return command.kind === 'rerun' || command.kind === 'deploy'
}

export function mayAsk({ team, users, channels }: ChatPolicy, sender: Sender): boolean {
  return team === sender.team && users.includes(sender.user) && channels.includes(sender.channel)
}

/** What is to be started, or a sentence why it is not. */
export function deployment(
  { apps }: Pick<ChatPolicy, 'apps'>,
  app: string,
  branch: string,
): { readonly app: ChatApp } | { readonly problem: string } {
  const found = Object.hasOwn(apps, app) ? apps[app]! : null
  if (!found) {
    const known = Object.keys(apps).join(', ')
    return { problem: known === '' ? 'No application is set up.' : `The applications are: ${known}.` }
  }
  if (!isBranchName(branch)) return { problem: 'That is not the name of a branch.' }
  if (!found.branches.some(pattern => matchesBranch(pattern, branch)))
    return { problem: `${app} is deployed from ${found.branches.join(', ')} only.` }
  return { app: found }
}

const LONGEST_BRANCH = 244
/** https://git-scm.com/docs/git-check-ref-format */
// biome-ignore lint/suspicious/noControlCharactersInRegex: git's own list
const NEVER_IN_BRANCH = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|^[-./]|[./]$/
/** It would be taken for a commit, or for something that is no branch. */
const NO_BRANCH = /^(?:[0-9a-f]{40}|[0-9a-f]{64}|@|HEAD|refs\/.*)$/i

/** As git has it, of visible characters; neither a full ref nor a commit. */
export function isBranchName(text: string): boolean {
  return (
    text !== '' &&
    text.length <= LONGEST_BRANCH &&
    !NEVER_IN_BRANCH.test(text) &&
    !NO_BRANCH.test(text) &&
    clean(text, LONGEST_BRANCH) === text
  )
}

/** Of tornade.yml: a name of a branch with stars. */
export function isBranchPattern(text: string): boolean {
  return isBranchName(text.replaceAll('*', 'x'))
}

export function matchesBranch(pattern: string, branch: string): boolean {
  const source = pattern
    .split(/(\*+)/)
    .map(part => {
      if (part === '*') return '[^/]*'
      return part.startsWith('*') ? '.*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    })
    .join('')
  return new RegExp(`^${source}$`).test(branch)
}

const LONGEST_URL = 500

/** Where Slack takes the answer to a command. Whoever is sent somewhere else would be sent there by a forger. */
export function isResponseUrl(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > LONGEST_URL) return false
  return /^https:\/\/hooks\.slack\.com\/commands\/[\w/-]+$/.test(value)
}
