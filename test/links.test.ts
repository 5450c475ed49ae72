/** Where people are sent to look: GitHub's pages and CloudWatch's console. */
import { describe, expect, it } from 'vitest'
import { newJob, newRunner } from '../functions/core/lifecycle.ts'
import { gitHubSite, gitHubUrl, jobUrl, logStreamUrl } from '../functions/core/links.ts'
import { request } from './support/facts.ts'

describe('the site of an API', () => {
  it.each([
    [null, 'https://github.com'],
    ['https://api.github.com', 'https://github.com'],
    ['https://github.acme.com/api/v3', 'https://github.acme.com'],
    ['https://github.acme.com:8443/api/v3/', 'https://github.acme.com:8443'],
    ['https://api.acme.ghe.com', 'https://acme.ghe.com'],
  ])('%s is %s', (api, site) => expect(gitHubSite(api)).toBe(site))
})

describe('a page of a repository', () => {
  it.each([
    ['acme/app', 'https://github.com/acme/app'],
    ['//evil.example', 'https://github.com/evil.example'],
    ['../x', 'https://github.com/x'],
    ['a/b?c#d', 'https://github.com/a/b%3Fc%23d'],
    ['', 'https://github.com'],
  ])('of %s is %s', (repository, url) => expect(gitHubUrl('https://github.com', repository)).toBe(url))

  it('of a job is there whatever its repository is called', () => {
    const repository = { id: 1, name: 'acme/\ud800app\u202e', private: true }
    expect(jobUrl('https://github.com', newJob(request({ repository })))).toBe(
      'https://github.com/acme/%20app/actions/runs/17/job/41',
    )
  })
})

describe('what a runner writes', () => {
  const groups = { region: 'eu-west-1', runners: '/tornade/prod/runners', builds: '/tornade/prod/builds' }
  const runner = (providerId: string | null) => ({ ...newRunner('tornade-41-1-1'), providerId })
  const console = 'https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1'
  const id = '0123456789abcdef0123456789abcdef'

  it.each([
    [
      'a task',
      `arn:aws:ecs:eu-west-1:1:task/tornade/${id}`,
      `runners/log-events/runner$252Frunner$252F${id}`,
    ],
    [
      'a task by its old form',
      `arn:aws:ecs:eu-west-1:1:task/${id}`,
      `runners/log-events/runner$252Frunner$252F${id}`,
    ],
    ['a build', 'arn:aws:codebuild:eu-west-1:1:build/tornade-prod:5f3c', 'builds/log-events/5f3c'],
  ])('is in the stream of %s', (_, providerId, stream) =>
    expect(logStreamUrl(runner(providerId), groups)).toBe(
      `${console}#logsV2:log-groups/log-group/$252Ftornade$252Fprod$252F${stream}`,
    ),
  )

  it("is in China's own console there", () =>
    expect(
      logStreamUrl(runner(`arn:aws-cn:ecs:cn-north-1:1:task/tornade/${id}`), {
        ...groups,
        region: 'cn-north-1',
      }),
    ).toMatch(/^https:\/\/cn-north-1\.console\.amazonaws\.cn\/cloudwatch\/home\?region=cn-north-1#/))

  it.each([null, '', 'x', 'arn:aws:ecs:eu-west-1:1:task/a/b/c d', 'arn:aws:ecs:eu-west-1:1:cluster/tornade'])(
    'is nowhere for %s',
    providerId => expect(logStreamUrl(runner(providerId), groups)).toBeNull(),
  )
})
