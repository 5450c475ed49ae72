/** Starts the runner program as the job's user. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { clean, type Log } from './log.ts'
import type { Settings } from './settings.ts'

/** Of the container, not of the job: addresses, names and settings that a job has no use for, or no right to. */
const HIDDEN = /^(AWS|ECS|CODEBUILD|TORNADE|ACTIONS_RUNNER_INPUT)_/
const SHOWN = new Set(['AWS_REGION', 'AWS_DEFAULT_REGION'])

/**
 * Runs bin/Runner.Listener itself. run.sh around it starts it again without bound after exit code 2, answers 0 for
 * nearly everything, and on a signal interrupts the steps together with the worker that should cancel them.
 * https://github.com/actions/runner/blob/v2.336.0/src/Misc/layoutroot/run.sh
 *
 * @param jitConfig null when an earlier start has written it to the runner's folder
 */
export function startListener(
  settings: Settings,
  socket: string,
  jitConfig: string | null,
  log: Log,
): ChildProcess {
  const { paths, user, compute } = settings
  const program = join(paths.runner, 'bin', 'Runner.Listener')
  const child = spawn(program, ['run'], {
    cwd: paths.runner,
    env: listenerEnvironment(process.env, {
      HOME: user.home,
      USER: 'runner',
      LOGNAME: 'runner',
      TORNADE_GUARD_SOCKET: socket,
      ACTIONS_RUNNER_HOOK_JOB_STARTED: hookPath(settings),
      ...(compute === 'fargate' && { ACTIONS_RUNNER_CONTAINER_HOOKS: join(paths.hooks, 'no-containers.sh') }),
      // In the environment, where arguments would show it to every process; the listener takes it out of what it hands on.
      ...(jitConfig && { ACTIONS_RUNNER_INPUT_JITCONFIG: withoutUpdates(jitConfig) }),
    }),
    ...(process.getuid!() === 0 && { uid: user.uid, gid: user.gid }),
    // A session of its own: a signal for the supervisor's group is not one for the job.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface(stream).on('line', line => log('info', 'listener', { line: clean(line, 300) }))
  }
  return child
}

export function hookPath({ paths }: Pick<Settings, 'paths'>): string {
  return join(paths.hooks, 'job-started.sh')
}

export function listenerEnvironment(
  own: NodeJS.ProcessEnv,
  added: Readonly<Record<string, string>>,
): Record<string, string> {
  const kept = Object.entries(own).filter(([name]) => SHOWN.has(name) || !HIDDEN.test(name))
  return { ...Object.fromEntries(kept), ...added } as Record<string, string>
}

/**
 * Says in the configuration that updates are off, which config.sh --disableupdate would do and the API cannot: the
 * program belongs to root, so an update could only fail, and each job would wait for it. The image is rebuilt weekly.
 * https://github.com/actions/runner/blob/v2.336.0/src/Runner.Common/ConfigurationStore.cs
 */
export function withoutUpdates(jitConfig: string): string {
  try {
    const files = JSON.parse(decode(jitConfig)) as Record<string, string>
    const runner = Object.entries(JSON.parse(decode(files['.runner']!)) as Record<string, unknown>)
    const changed = [
      ...runner.filter(([name]) => name.toLowerCase() !== 'disableupdate'),
      ['DisableUpdate', true],
    ]
    return encode(
      JSON.stringify({ ...files, '.runner': encode(JSON.stringify(Object.fromEntries(changed))) }),
    )
  } catch {
    // A shape that is not known is the listener's to judge.
    return jitConfig
  }
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8')
}

function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}
