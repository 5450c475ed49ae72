/** GitHub's API: what it refuses, what it takes its time for, and what it fails at. */
import { TornadeError } from '../../functions/core/errors.ts'
import type { GitHub, Ports } from '../../functions/ports.ts'
import { guarded, proxy } from '../around.ts'
import { called } from './calls.ts'
import type { Fault } from './fault.ts'

/** Ports with some calls of GitHub replaced. */
function withGitHub(replaced: (github: GitHub) => Partial<GitHub>): (ports: Ports) => Ports {
  return ports => ({ ...ports, github: proxy(ports.github, replaced(ports.github)) })
}

export const GITHUB_FAULTS: readonly Fault[] = [
  {
    name: 'jit-conflict',
    about: 'GitHub answers 409 to a JIT config: it registered the runner for a call whose answer was lost.',
    share: [0.03, 0.2],
    seams: ({ hit }) => ({
      ports: withGitHub(github => ({
        createJitConfig: async (scope, name, labels) => {
          if (hit(() => `JIT config of ${name}`)) await github.createJitConfig(scope, name, labels)
          return github.createJitConfig(scope, name, labels)
        },
      })),
    }),
  },
  {
    name: 'jit-refused',
    about: 'GitHub answers 422 to a JIT config.',
    share: [0.01, 0.05],
    seams: ({ hit }) => ({
      ports: withGitHub(github => ({
        createJitConfig: async (scope, name, labels) =>
          hit(() => `JIT config of ${name}`)
            ? { outcome: 'failed', message: 'Validation Failed' }
            : github.createJitConfig(scope, name, labels),
      })),
    }),
  },
  {
    name: 'jit-expired',
    about: 'The listener cannot use its JIT config any more when it has it.',
    share: [0.03, 0.2],
    seams: ({ hit }) => ({
      ports: withGitHub(github => ({
        createJitConfig: async (scope, name, labels) => {
          const answer = await github.createJitConfig(scope, name, labels)
          if (answer.outcome !== 'created' || !hit(() => `JIT config of ${name}`)) return answer
          return { ...answer, encodedJitConfig: `${answer.encodedJitConfig.slice(0, -8)}expired=` }
        },
      })),
    }),
  },
  {
    name: 'github-paused',
    about: 'GitHub answers 403 with a retry-after of up to two minutes.',
    share: [0.01, 0.08],
    seams: ({ dice, hit }) => ({
      ports: ports =>
        guarded(ports, async (work, name, parameters) => {
          if (!name.startsWith('github.') || !hit(() => called(name, parameters))) return work()
          const retryAfterSeconds = dice.whole(1, 120)
          if (name === 'github.createJitConfig') return { outcome: 'paused', retryAfterSeconds }
          throw Object.assign(new TornadeError('github-paused', 'GitHub asks to wait'), { retryAfterSeconds })
        }),
    }),
  },
  {
    name: 'github-5xx',
    about: 'GitHub answers 502; half of these calls took effect all the same.',
    share: [0.01, 0.1],
    seams: ({ dice, hit }) => ({
      ports: ports =>
        guarded(ports, async (work, name, parameters) => {
          if (!name.startsWith('github.') || !hit(() => called(name, parameters))) return work()
          if (dice.chance(0.5)) await work()
          throw new TornadeError('github-failed', 'GitHub answered 502')
        }),
    }),
  },
  {
    name: 'delete-refused',
    about: 'GitHub answers 422 to the removal of a runner that it takes for busy.',
    share: [0.05, 0.4],
    seams: ({ hit }) => ({
      ports: withGitHub(github => ({
        removeRunner: async (scope, runnerId) =>
          hit(() => `removal of runner ${runnerId}`) ? 'busy' : github.removeRunner(scope, runnerId),
      })),
    }),
  },
]
