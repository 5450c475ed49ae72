/** What the pages are told of the deployment that they show. */
import type { Config } from '../config.ts'
import { gitHubSite, type LogGroups } from '../core/links.ts'

export interface DashboardOptions {
  /** A sentence that every page shows first, for example that all of this is simulated. */
  readonly notice: string | null
  /** Live asks again after so many seconds, where there is JavaScript; null leaves that to the reader. */
  readonly refreshSeconds: number | null
  /** Root of GitHub's pages. */
  readonly gitHub: string
  readonly spend: Config['spend']
  /** Where the output of runners is kept; null where nobody can look at it. */
  readonly logs: LogGroups | null
}

export function dashboardOptions(
  config: Pick<Config, 'github' | 'spend'>,
  more: Pick<DashboardOptions, 'notice' | 'refreshSeconds' | 'logs'>,
): DashboardOptions {
  return { gitHub: gitHubSite(config.github.url), spend: config.spend, ...more }
}
