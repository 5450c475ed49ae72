/** Which jobs somebody wants to see. */
import { jobState } from './lifecycle.ts'
import { clean } from './text.ts'
import type { Job, JobState } from './types.ts'

export interface JobFilter {
  readonly state?: JobState
  /** owner/name */
  readonly repository?: string
  /** As roll-ups name it: cleaned. */
  readonly workflow?: string
  /** Created then or later, and before `to`; milliseconds since 1970. */
  readonly from?: number
  readonly to?: number
}

export function isFiltered({ state, repository, workflow, from, to }: JobFilter): boolean {
  return [state, repository, workflow, from, to].some(wanted => wanted !== undefined)
}

export function fits(job: Job, { state, repository, workflow, from, to }: JobFilter): boolean {
  const { request } = job
  return (
    (state === undefined || jobState(job) === state) &&
    (repository === undefined || request.repository.name === repository) &&
    (workflow === undefined || clean(request.workflow ?? '') === workflow) &&
    (from === undefined || request.createdAt >= from) &&
    (to === undefined || request.createdAt < to)
  )
}
