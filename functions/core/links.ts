/** Where people look at what the APIs name: pages of GitHub and of CloudWatch's console. */
import { clean, NAME_LIMIT } from './text.ts'
import type { Job, Runner } from './types.ts'

/**
 * The web pages of the GitHub whose API is at `url`: https://HOST of https://HOST/api/v3, and of https://api.HOST.
 * @param url null is GitHub's own
 */
export function gitHubSite(url: string | null): string {
  const api = (url ?? 'https://api.github.com').replace(/\/+$/, '')
  return api.endsWith('/api/v3')
    ? api.slice(0, -'/api/v3'.length)
    : api.replace(/^https:\/\/api\./, 'https://')
}

/** A page of a repository, whatever the parts hold. */
export function gitHubUrl(site: string, repository: string, ...rest: readonly (string | number)[]): string {
  const parts = [...repository.split('/').filter(part => !/^\.{0,2}$/.test(part)), ...rest]
  return [site, ...parts.map(part => encodeURIComponent(part))].join('/')
}

export function runUrl(site: string, { request: { repository, runId } }: Job): string {
  return gitHubUrl(site, clean(repository.name, NAME_LIMIT), 'actions', 'runs', runId)
}

export function jobUrl(site: string, job: Job): string {
  return `${runUrl(site, job)}/job/${encodeURIComponent(job.request.jobId)}`
}

/** Log groups of CloudWatch in which runners write. */
export interface LogGroups {
  readonly region: string
  /** Of tasks on Fargate, and of builds. */
  readonly runners: string
  readonly builds: string
}

/** What a runner writes, in the console; null while nobody has started it. */
export function logStreamUrl({ providerId }: Runner, groups: LogGroups): string | null {
  const { region, runners, builds } = groups
  const task = /:task\/(?:[\w-]+\/)?([\w-]+)$/.exec(providerId ?? '')?.[1]
  const build = /:build\/[\w-]+:([\w-]+)$/.exec(providerId ?? '')?.[1]
  if (task === undefined && build === undefined) return null
  const [group, stream] = build === undefined ? [runners, `runner/runner/${task}`] : [builds, build]
  const domain = region.startsWith('cn-') ? 'console.amazonaws.cn' : 'console.aws.amazon.com'
  const place = `log-groups/log-group/${consoleName(group)}/log-events/${consoleName(stream)}`
  return `https://${region}.${domain}/cloudwatch/home?region=${region}#logsV2:${place}`
}

/** The console encodes a part of its address twice, with $ for %. */
function consoleName(name: string): string {
  return encodeURIComponent(encodeURIComponent(name)).replaceAll('%', '$')
}
