/** Runners as GitHub lists them. */
import { mintOf, registrationName } from './core/plan.ts'
import type { Runner } from './core/types.ts'
import type { Ports } from './ports.ts'

/**
 * Takes a runner off GitHub. It is looked up by its name, because an interrupted launch may have registered it
 * without writing that down, and by each name tried before the one that it was registered by.
 * @returns busy when GitHub has given it a job
 */
export async function deregister(
  { github }: Pick<Ports, 'github'>,
  { name, launch, registration }: Runner,
): Promise<'gone' | 'busy'> {
  if (!launch) return 'gone'
  const { repository, installationId } = launch
  const scope = { repository, installationId }
  const mints = registration ? mintOf(registration.name) : 1
  let answer: 'gone' | 'busy' = 'gone'
  for (let mint = 1; mint <= mints; mint++) {
    const found = await github.findRunner(scope, registrationName(name, mint))
    if (!found) continue
    if (found.busy || (await github.removeRunner(scope, found.id)) === 'busy') answer = 'busy'
  }
  return answer
}
