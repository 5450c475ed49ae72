/**
 * What comes out of a queue, before anything is made of it. Who may send there is ours (webhook, launch, lifecycle,
 * sweep, the rules of EventBridge), so what is not as it should be was sent by hand or by another version, or AWS has
 * changed its shape: it fails, and ends as a dead letter that an operator can look at and put back.
 */
import { RUNNER_VARIABLE } from './core/aws-events.ts'
import { isResponseUrl } from './core/chat.ts'
import { TornadeError } from './core/errors.ts'
import type { EventsMessage, LaunchMessage } from './ports.ts'

type Fields = Readonly<Record<string, unknown>>
/** True when a message has all that is read of it without a look whether it is there. */
type Shape = (message: Fields) => boolean

const LAUNCH: Readonly<Record<LaunchMessage['kind'], Shape>> = {
  job: ({ request, queuedAt }) => isRequest(request) && typeof queuedAt === 'number',
  relaunch: ({ jobKey, after }) => typeof jobKey === 'string' && typeof after === 'string',
  resume: ({ jobKey }) => typeof jobKey === 'string',
  standby: ({ runner, repository, labels }) =>
    typeof runner === 'string' &&
    typeof fields(repository).id === 'number' &&
    typeof fields(repository).name === 'string' &&
    areTexts(labels),
  refusal: ({ request }) => isRequest(request),
  wake: () => true,
}

const EVENTS: Readonly<Record<EventsMessage['kind'], Shape>> = {
  queued: isNews,
  waiting: isNews,
  in_progress: message => isNews(message) && isRunner(message.runner),
  completed: message =>
    isNews(message) &&
    typeof message.conclusion === 'string' &&
    (message.runner === null || isRunner(message.runner)),
  // Why it ends can be told before it has ended.
  runner: ({ runner, providerId, stoppedAt, stop }) =>
    [runner, providerId].every(text => typeof text === 'string') &&
    (stoppedAt === null ? stop === null || isStop(stop) : typeof stoppedAt === 'number' && isStop(stop)),
  'clean-up': ({ runner }) => typeof runner === 'string',
  'stop-if-idle': ({ runner }) => typeof runner === 'string',
  rerun: ({ rerun }) => typeof rerun === 'string',
  chat: ({ audit, respondTo }) => typeof audit === 'string' && isResponseUrl(respondTo),
}

/** @throws TornadeError message-invalid, for what is no message of the launch queue */
export function checkLaunchMessage(body: unknown): void {
  const message = fields(body)
  if (!hasShape(LAUNCH, message)) throw invalid('this is no message of the launch queue, or half of one')
}

/**
 * @param isRead whether it was read, as a message or as an event of AWS about a runner
 * @throws TornadeError message-invalid, for what is neither a message of the events queue nor any event of AWS, and
 * for an event of AWS that is about a runner and has another shape than it had
 */
export function checkEventsMessage(body: unknown, isRead: boolean): void {
  const message = fields(body)
  if (typeof message['detail-type'] === 'string' && !('kind' in message)) {
    if (!isRead && isAboutRunner(message)) throw invalid('this event of AWS about a runner cannot be read')
  } else if (!hasShape(EVENTS, message)) {
    throw invalid('this is no message of the events queue, or half of one')
  }
}

function hasShape(shapes: Readonly<Record<string, Shape>>, message: Fields): boolean {
  const { kind } = message
  return typeof kind === 'string' && Object.hasOwn(shapes, kind) && shapes[kind]!(message)
}

/** Tasks that were started by hand have no name, or another; builds lack the variable. */
function isAboutRunner({ source, detail }: Fields): boolean {
  if (source === 'aws.ecs') return 'startedBy' in fields(detail)
  return source === 'aws.codebuild' && JSON.stringify(detail ?? null).includes(`"${RUNNER_VARIABLE}"`)
}

function isNews({ request, at }: Fields): boolean {
  return isRequest(request) && typeof at === 'number'
}

function isRequest(value: unknown): boolean {
  const { key, jobId, attempt, runId, repository, labels, createdAt } = fields(value)
  const { id, name } = fields(repository)
  return (
    key === `${jobId}-${attempt}` &&
    [jobId, attempt, runId, id, createdAt].every(number => typeof number === 'number') &&
    typeof name === 'string' &&
    areTexts(labels)
  )
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(text => typeof text === 'string')
}

function isRunner(value: unknown): boolean {
  const { id, name } = fields(value)
  return typeof id === 'number' && typeof name === 'string'
}

function isStop(value: unknown): boolean {
  const { code, reason } = fields(value)
  return typeof code === 'string' && typeof reason === 'string'
}

function invalid(why: string): TornadeError {
  return new TornadeError('message-invalid', `${why}; it ends as a dead letter`)
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}
