/** Runners as GitHub lists them. */
import { registrationName } from './core/plan.ts'
import type { Runner } from './core/types.ts'
import type { Ports } from './ports.ts'

/**
 * Takes a runner off GitHub. It is looked up by its name, because an interrupted launch may have registered it
 * without writing that down.
 * @returns busy when GitHub has given it a job
 */
export async function deregister(
  { github }: Pick<Ports, 'github'>,
  { name, launch, registration }: Runner,
): Promise<'gone' | 'busy'> {
  if (!launch) return 'gone'
  const { repository, installationId } = launch
  const scope = { repository, installationId }
  for (const listed of new Set([
    registrationName(name, 1),
    registration?.name ?? registrationName(name, 1),
  ])) {
    const found = await github.findRunner(scope, listed)
    if (!found) continue
    if (found.busy || (await github.removeRunner(scope, found.id)) === 'busy') return 'busy'
  }
  return 'gone'
}
