/** What the pages are told of the deployment that they show. */
import type { Config } from '../config.ts'
import { gitHubRoot } from './format.ts'

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

/** In CloudWatch. */
export interface LogGroups {
  readonly region: string
  /** Of tasks on Fargate, and of builds. */
  readonly runners: string
  readonly builds: string
}

export function dashboardOptions(
  config: Pick<Config, 'github' | 'spend'>,
  more: Pick<DashboardOptions, 'notice' | 'refreshSeconds' | 'logs'>,
): DashboardOptions {
  return { gitHub: gitHubRoot(config), spend: config.spend, ...more }
}
