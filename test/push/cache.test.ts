/** Which cache a build may read and write: docs/builders.md. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cacheOf, originOf, type Trigger } from '../../runner-image/tools/push/cache.ts'

const trigger = (event: string, ref: string, defaultBranch = 'main'): Trigger => ({
  event,
  ref,
  defaultBranch,
})

describe('where a build comes from', () => {
  it.each([
    ['push', 'refs/heads/main', 'default-branch'],
    ['workflow_dispatch', 'refs/heads/main', 'default-branch'],
    ['schedule', 'refs/heads/main', 'default-branch'],
    ['push', 'refs/heads/next', 'other'],
    ['push', 'refs/tags/main', 'other'],
    ['push', 'refs/heads/refs/heads/main', 'other'],
    ['push', 'refs/heads/Main', 'other'],
    ['workflow_dispatch', 'refs/tags/v1', 'other'],
    ['pull_request', 'refs/pull/7/merge', 'pull-request'],
    ['pull_request_review', 'refs/pull/7/merge', 'pull-request'],
    // On the default branch's ref, with what somebody else proposes in reach.
    ['pull_request_target', 'refs/heads/main', 'other'],
    ['workflow_run', 'refs/heads/main', 'other'],
    ['issue_comment', 'refs/heads/main', 'other'],
    ['repository_dispatch', 'refs/heads/main', 'other'],
    ['pull_request', 'refs/heads/main', 'other'],
    ['push', 'refs/pull/7/merge', 'other'],
    ['release', 'refs/tags/v1', 'other'],
    ['merge_group', 'refs/heads/gh-readonly-queue/main/pr-7-abc', 'other'],
    ['an event of tomorrow', 'refs/heads/main', 'other'],
  ] as const)('%s of %s: %s', (event, ref, origin) => {
    expect(originOf(trigger(event, ref))).toBe(origin)
  })

  it('is nobody’s default branch where the event names none, but for schedules, which run on no other', () => {
    expect(originOf(trigger('push', 'refs/heads/', ''))).toBe('other')
    expect(originOf(trigger('push', 'refs/heads/main', ''))).toBe('other')
    expect(originOf(trigger('schedule', 'refs/heads/main', ''))).toBe('default-branch')
  })
})

describe('its cache', () => {
  const [OWN, PROPOSED] = ['r.example/cache', 'r.example/proposed']

  it.each([
    ['push', 'refs/heads/main', '', '', null],
    ['push', 'refs/heads/main', OWN, '', { repository: OWN, readOnly: false }],
    ['push', 'refs/heads/main', OWN, PROPOSED, { repository: OWN, readOnly: false }],
    ['push', 'refs/heads/main', '', PROPOSED, null],
    ['push', 'refs/heads/next', OWN, PROPOSED, { repository: OWN, readOnly: true }],
    ['pull_request', 'refs/pull/7/merge', OWN, PROPOSED, { repository: PROPOSED, readOnly: false }],
    ['pull_request', 'refs/pull/7/merge', OWN, '', { repository: OWN, readOnly: true }],
    ['pull_request', 'refs/pull/7/merge', '', PROPOSED, { repository: PROPOSED, readOnly: false }],
    ['pull_request_target', 'refs/heads/main', OWN, PROPOSED, { repository: OWN, readOnly: true }],
    ['release', 'refs/tags/v1', '', PROPOSED, null],
  ] as const)('%s of %s with "%s" and "%s"', (event, ref, own, proposed, cache) => {
    expect(cacheOf(trigger(event, ref), own, proposed)).toEqual(cache)
  })

  it('of the default branch is never written by anything else, and that of pull requests never read by anything else', () => {
    const event = fc.constantFrom(
      ...['push', 'schedule', 'workflow_dispatch', 'workflow_run', 'pull_request', 'pull_request_target'],
      ...['pull_request_review', 'issue_comment', 'release', 'merge_group', 'delete', 'constructor', ''],
    )
    const branch = fc.oneof(fc.constantFrom('main', 'next', '', 'pull/7/merge'), fc.string())
    const ref = fc.oneof(
      branch.map(name => `refs/heads/${name}`),
      fc.constantFrom('refs/pull/7/merge', 'refs/pull/7/head', 'refs/tags/main', ''),
    )
    fc.assert(
      fc.property(event, ref, branch, (event, ref, defaultBranch) => {
        const cache = cacheOf({ event, ref, defaultBranch }, OWN, PROPOSED)!
        const proposed = event.startsWith('pull_request') && ref.startsWith('refs/pull/')
        const own =
          event === 'schedule' ||
          ((event === 'push' || event === 'workflow_dispatch') &&
            ref === `refs/heads/${defaultBranch}` &&
            defaultBranch !== '')
        if (cache.repository === OWN) expect(cache.readOnly).toBe(!own)
        else expect(proposed).toBe(true)
      }),
    )
  })

  it('is not one repository for both', () => {
    expect(() => cacheOf(trigger('pull_request', 'refs/pull/7/merge'), OWN, OWN.toUpperCase())).toThrow(
      /same repository/,
    )
  })
})
