/**
 * Which cache a build reads and writes. What a pull request leaves in a cache ends up in every image that is built from it, so the
 * cache of the default branch is written by the default branch alone. docs/builders.md says what enforces that.
 */
import { PushFault } from './fault.ts'

/** As GitHub has them, not as the job's environment has them. */
export interface Trigger {
  /** github.event_name */
  readonly event: string
  /** github.ref */
  readonly ref: string
  /** Without refs/heads/; empty where the event does not say. */
  readonly defaultBranch: string
}

export interface Cache {
  readonly repository: string
  readonly readOnly: boolean
}

export type Origin = 'default-branch' | 'pull-request' | 'other'

/** Their code is what stands on the branch, and somebody who may write there began them. */
const OWN = new Set(['push', 'workflow_dispatch'])
/** Their ref is the merge of the pull request. `pull_request_target` is none of them: it has secrets, and the ref of the base. */
const PROPOSED = new Set(['pull_request', 'pull_request_review', 'pull_request_review_comment'])

/**
 * Events such as `workflow_run`, `issue_comment` or `pull_request_target` run on the default branch's ref, with its rights, and
 * often check out something else: they are `other`, as is every event that is not known here.
 * https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
 */
export function originOf({ event, ref, defaultBranch }: Trigger): Origin {
  // Always of the default branch, which its event does not always name.
  if (event === 'schedule') return 'default-branch'
  if (OWN.has(event) && defaultBranch !== '' && ref === `refs/heads/${defaultBranch}`) return 'default-branch'
  return PROPOSED.has(event) && /^refs\/pull\/\d+\/merge$/.test(ref) ? 'pull-request' : 'other'
}

/**
 * @param own repository of the default branch's cache; empty for none
 * @param proposed that of pull requests; empty where they have none, and read the default branch's
 * @throws PushFault where the two are one
 */
export function cacheOf(trigger: Trigger, own: string, proposed: string): Cache | null {
  if (own !== '' && own.toLowerCase() === proposed.toLowerCase())
    throw new PushFault(
      2,
      'cache and cache-pull-requests are the same repository: leave cache-pull-requests out for pull requests that only read, or name another',
    )
  const origin = originOf(trigger)
  if (origin === 'pull-request' && proposed !== '') return { repository: proposed, readOnly: false }
  return own === '' ? null : { repository: own, readOnly: origin !== 'default-branch' }
}
