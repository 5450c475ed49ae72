/** What a deployed function is told by its environment; serverless.yml sets it. All that is missing is said at once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { TornadeError } from '../core/errors.ts'

/**
 * Values of the variables named, in the same order.
 * @throws TornadeError config-invalid with every variable that is missing or empty
 */
export function variables<const Names extends readonly string[]>(
  ...names: Names
): { readonly [Index in keyof Names]: string } {
  const missing = names.filter(name => !process.env[name])
  if (missing.length > 0)
    throw new TornadeError('config-invalid', `environment variables are missing: ${missing.join(', ')}`)
  return names.map(name => process.env[name]!) as { readonly [Index in keyof Names]: string }
}

/** tornade.yml as the bundler checked and compiled it; it lies beside the code. */
export function compiledConfig(): Config {
  const [name] = variables('TORNADE_CONFIG')
  return JSON.parse(readFileSync(join(process.env.LAMBDA_TASK_ROOT ?? '.', name), 'utf8')) as Config
}

/** Where GitHub is, and where runners are registered there. */
export function gitHubSettings({ github }: Pick<Config, 'github'>): {
  readonly baseUrl?: string
  readonly level: 'repository' | 'organisation'
  readonly runnerGroupId: number
} {
  return {
    ...(github.url === null ? {} : { baseUrl: github.url }),
    level: github.organisationRunners ? 'organisation' : 'repository',
    runnerGroupId: github.runnerGroup,
  }
}
