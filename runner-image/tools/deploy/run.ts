/** A deployment from its arguments to its exit code. */
import { appendFile, readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { Argo, ArgoError, argoFault } from './argocd.ts'
import { type Request, readArguments, USAGE } from './arguments.ts'
import { DeployFault, EXIT, type Exit, failed, unusable } from './fault.ts'
import { Git } from './git.ts'
import { type DeploymentState, GitHubDeployments, type Recorded } from './github.ts'
import { commitMessage, type Published, publish, stillHas, takeBack, type World } from './publish.ts'
import { closing, imageTexts, outputs, type Result, type Rollback, summary } from './report.ts'
import { duration, line, short, unmarked } from './text.ts'
import type { Relation } from './verdict.ts'
import { type Followed, follow, type Waiting } from './wait.ts'

export interface Ports {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  /** Columns of the terminal that watches stderr; null for a log. */
  readonly columns: number | null
  /** Ends the deployment early. */
  readonly signal: AbortSignal
  readonly now: () => number
  readonly random: () => number
  /** Milliseconds, as Times of wait.ts has them. */
  readonly quiet: number
  readonly poll: number
  readonly retry: number
}

/** @returns the exit code */
export async function deploy(argv: readonly string[], ports: Ports): Promise<Exit> {
  let request: Request | null
  try {
    request = readArguments(argv)
  } catch (error) {
    if (!(error instanceof DeployFault)) throw error
    ports.stderr([error.message, ...error.details.map(detail => `  ${detail}`), ''].join('\n'))
    return error.exit
  }
  if (request === null) {
    ports.stdout(USAGE)
    return EXIT.done
  }
  return new Deployment(request, ports).run()
}

class Deployment {
  readonly #request: Request
  readonly #ports: Ports
  readonly #start: number
  readonly #world: World
  #github: GitHubDeployments | null = null
  #recorded: Recorded | null = null
  #recordFault: string | null = null
  #git: Git | null = null
  #argo: Argo | null = null
  #published: Published | null = null
  #followed: readonly Followed[] = []
  #rollback: Rollback | null = null

  constructor(request: Request, ports: Ports) {
    this.#request = request
    this.#ports = ports
    this.#start = ports.now()
    this.#world = {
      random: ports.random,
      say: text => this.#say(text),
      sleep: milliseconds => setTimeout(milliseconds, undefined, { signal: ports.signal }),
    }
  }

  async run(): Promise<Exit> {
    const result = await this.#result()
    await this.#mark(
      STATES[result.exitCode],
      result.message,
      result.exitCode === EXIT.done ? result.environmentUrl : null,
    )
    const whole: Result = { ...result, deployment: this.#deployment() }
    for (const text of closing(whole)) this.#print(text)
    if (this.#request.json) this.#ports.stdout(`${JSON.stringify(whole, null, 2)}\n`)
    await this.#append(this.#request.outputs, outputs(whole))
    await this.#append(this.#request.summary, summary(whole))
    return whole.exitCode
  }

  async #result(): Promise<Result> {
    try {
      await this.#prepare()
      await this.#record()
      if (this.#request.targets.length > 0) await this.#publish()
      if (this.#request.applications.length === 0) return this.#summed()
      this.#followed = await this.#follow(this.#published?.commit ?? null, this.#request.sync)
      const healthy = this.#followed.every(({ outcome }) => outcome === 'healthy')
      if (!healthy && this.#request.rollback) this.#rollback = await this.#takeBack()
      return this.#summed()
    } catch (error) {
      if (this.#ports.signal.aborted)
        return this.#failure('cancelled', EXIT.timedOut, 'the deployment was cancelled')
      const fault = error instanceof DeployFault ? error : failed(`unexpected: ${line(String(error), 500)}`)
      return this.#failure(EARLY[fault.exit], fault.exit, fault.message, fault.details)
    } finally {
      await this.#git?.close().catch(() => {})
    }
  }

  /** Everything that can refuse the deployment without a trace comes before the first trace. */
  async #prepare(): Promise<void> {
    const { env, signal } = this.#ports
    const { targets, applications, server, checkout, branch, remote, project, ca } = this.#request
    if (targets.length > 0)
      this.#git = await Git.open({
        folder: checkout,
        remote,
        branch,
        token: secret(env, 'TORNADE_GIT_TOKEN'),
        env,
        signal,
      })
    if (applications.length > 0) {
      const token = secret(env, 'ARGOCD_TOKEN')
      if (token === null) throw unusable('ARGOCD_TOKEN is missing: the token of a role of the project.')
      const certificates = ca === null ? null : await certificatesOf(ca)
      this.#argo = new Argo({ server: server!, token, ca: certificates, project, signal, patience: 60_000 })
      await Promise.all(applications.map(name => this.#mayGet(name)))
    }
  }

  /** Whether the application can be seen. A server that is down just now is waited for later. */
  async #mayGet(name: string): Promise<void> {
    try {
      await this.#argo!.get(name)
    } catch (error) {
      if (!(error instanceof ArgoError)) throw error
      if (!error.passing || error.wrong) throw argoFault(error, name, this.#request.project, 'get')
    }
  }

  async #publish(): Promise<void> {
    const { targets, applications, message } = this.#request
    const text = commitMessage(message, targets, applications, runUrl(this.#ports.env))
    this.#published = await publish(this.#git!, targets, text, this.#world)
    const { commit, changed, files } = this.#published
    this.#say(
      changed
        ? `pushed ${short(commit)} to ${this.#git!.branch}: ${files.join(', ')}`
        : `nothing to change: ${this.#git!.branch} at ${short(commit)} has the image already`,
    )
  }

  #follow(revision: string | null, sync: boolean, isRollback = false): Promise<Followed[]> {
    const { applications, project, timeout, grace, targets } = this.#request
    const { signal, now, quiet, poll, retry } = this.#ports
    const relate = this.#relations(revision, isRollback)
    const width = Math.max(...applications.map(name => name.length))
    return Promise.all(
      applications.map(name => {
        const waiting: Waiting = {
          argo: this.#argo!,
          project,
          times: { timeout, grace, quiet, poll, retry },
          signal,
          revision,
          images: isRollback ? [] : targets.map(({ image }) => image),
          relate,
          sync,
          now,
          say: text => this.#say(`${name.padEnd(width)}  ${text}`),
        }
        return follow(name, waiting)
      }),
    )
  }

  /** Asks git once about each revision, and one after another: they share a ref. */
  #relations(ours: string | null, isRollback: boolean): (revision: string) => Promise<Relation> {
    const known = new Map<string, Promise<Relation>>()
    let turn: Promise<unknown> = Promise.resolve()
    return revision => {
      if (revision === ours) return Promise.resolve('ours')
      const answer =
        known.get(revision) ??
        turn.then(() => this.#relation(revision, ours, isRollback)).catch((): Relation => 'unrelated')
      known.set(revision, answer)
      turn = answer
      return answer
    }
  }

  async #relation(revision: string, ours: string | null, isRollback: boolean): Promise<Relation> {
    const git = this.#git
    if (git === null || ours === null || !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(revision)) return 'unrelated'
    if (!(await git.has(revision))) await git.fetch()
    if (!(await git.has(revision)) || !(await git.contains(revision, ours))) return 'unrelated'
    if (isRollback || (await stillHas(git, revision, this.#request.targets))) {
      this.#say(`${short(ours)} was overtaken by ${short(revision)}, which has the image too`)
      return 'newer'
    }
    return 'superseding'
  }

  async #takeBack(): Promise<Rollback> {
    const not = (message: string, commit: string | null = null): Rollback => ({
      outcome: commit === null ? 'not-done' : 'failed',
      commit,
      message,
    })
    const published = this.#published
    if (this.#ports.signal.aborted) return not('not done, the deployment was cancelled')
    if (!published?.changed) return not('not done, this run had changed nothing')
    if (this.#followed.some(({ outcome }) => outcome === 'superseded'))
      return not('not done, a newer commit sets the image')
    try {
      const message = `Roll back ${short(published.commit)}\n\nThis takes back ${published.commit}, which did not become healthy.\n`
      const back = await takeBack(this.#git!, published, message, this.#world)
      if (back === null) return not('not done, somebody has changed the same lines since')
      this.#say(`pushed ${short(back.commit)}, which puts the images before back`)
      const followed = await this.#follow(back.commit, this.#request.sync, true)
      const ill = followed.find(({ outcome }) => outcome !== 'healthy')
      if (ill)
        return not(
          `${short(back.commit)} is pushed, and ${ill.name} is not well: ${ill.message}`,
          back.commit,
        )
      return {
        outcome: 'healthy',
        commit: back.commit,
        message: `${short(back.commit)} put the images before back, Synced and Healthy`,
      }
    } catch (error) {
      if (error instanceof DeployFault) return not(`failed: ${error.message}`)
      throw error
    }
  }

  // ------------------------------------------------------------------------------------------------------------ GitHub

  async #record(): Promise<void> {
    const { environment, targets, images } = this.#request
    if (environment === null) return
    const { env } = this.#ports
    const token = secret(env, 'GITHUB_TOKEN')
    const { GITHUB_REPOSITORY: repository, GITHUB_SHA: ref } = env
    const known = targets.length > 0 ? targets.map(({ image }) => image) : images
    try {
      if (token === null || !repository || !ref)
        throw new Error('GITHUB_TOKEN, GITHUB_REPOSITORY or GITHUB_SHA is missing')
      if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) throw new Error('GITHUB_REPOSITORY is no repository')
      const api = env.GITHUB_API_URL || 'https://api.github.com'
      const { retry } = this.#ports
      this.#github = new GitHubDeployments({
        api,
        repository,
        token,
        ref,
        environment,
        run: runUrl(env),
        retry,
      })
      this.#recorded = await this.#github.create(known)
    } catch (error) {
      this.#unrecorded(error)
    }
    await this.#mark('in_progress', 'being rolled out', null)
  }

  async #mark(state: DeploymentState, description: string, url: string | null): Promise<void> {
    if (this.#github === null || this.#recorded === null) return
    await this.#github
      .mark(this.#recorded.id, state, description, url)
      .catch(error => this.#unrecorded(error))
  }

  #unrecorded(error: unknown): void {
    this.#recordFault = line((error as Error).message, 400)
    this.#say(`the deployment is not recorded on GitHub, and goes on: ${this.#recordFault}`)
  }

  #deployment(): Result['deployment'] {
    if (this.#request.environment === null) return null
    return { id: this.#recorded?.id ?? null, url: this.#recorded?.url ?? null, error: this.#recordFault }
  }

  // ----------------------------------------------------------------------------------------------------------- results

  #summed(): Result {
    const bad = this.#followed.filter(({ outcome }) => outcome !== 'healthy')
    const worst = SEVERITY.map(exit => bad.find(each => each.exit === exit)).find(each => each !== undefined)
    if (worst) {
      const others = bad.length > 1 ? ` (and ${bad.length - 1} more)` : ''
      return this.#failure(worst.outcome, worst.exit, `${worst.name}: ${worst.message}${others}`)
    }
    const [first] = this.#followed
    if (!first) return this.#with('pushed', EXIT.done, `${short(this.#published!.commit)} has the image`)
    const message = this.#followed.map(({ name, message }) => `${name}: ${message}`).join('; ')
    return this.#with('healthy', EXIT.done, message)
  }

  #failure(
    outcome: Result['outcome'],
    exitCode: Exit,
    message: string,
    details: readonly string[] = [],
  ): Result {
    return this.#with(outcome, exitCode, message, details)
  }

  #with(
    outcome: Result['outcome'],
    exitCode: Exit,
    message: string,
    details: readonly string[] = [],
  ): Result {
    const { targets, images, environmentUrl } = this.#request
    return {
      outcome,
      exitCode,
      message: line(message),
      details: details.map(detail => line(detail)),
      images: imageTexts(targets.length > 0 ? targets.map(({ image }) => image) : images),
      commit: this.#published?.commit ?? null,
      changed: this.#published?.changed ?? false,
      applications: this.#followed.map(({ exit: _, ...rest }) => rest),
      rollback: this.#rollback,
      deployment: null,
      environmentUrl: environmentUrl ?? this.#followed.flatMap(({ urls }) => urls)[0] ?? null,
      seconds: Math.round((this.#ports.now() - this.#start) / 100) / 10,
    }
  }

  /** A line of progress, with the time since the start. */
  #say(text: string): void {
    this.#print(`[${duration(this.#ports.now() - this.#start)}] ${text}`)
  }

  /** Nothing that others wrote begins a line, so none of it is a command to the runner. */
  #print(text: string): void {
    const { columns, stderr } = this.#ports
    const whole = unmarked(`tornade-deploy: ${text}`)
    stderr(`${columns !== null && whole.length > columns ? `${whole.slice(0, columns - 1)}…` : whole}\n`)
  }

  async #append(file: string | null, text: string): Promise<void> {
    if (file === null) return
    await appendFile(file, text).catch(error =>
      this.#say(`${line(file, 200)} cannot be written: ${error.code}`),
    )
  }
}

const STATES: Readonly<Record<Exit, DeploymentState>> = {
  0: 'success',
  1: 'failure',
  2: 'error',
  3: 'error',
  4: 'failure',
}
const EARLY: Readonly<Record<Exit, Result['outcome']>> = {
  0: 'healthy',
  1: 'failed',
  2: 'unusable',
  3: 'refused',
  4: 'timed-out',
}
/** Of several applications that did not become healthy, the first of these is what the run ends with. */
const SEVERITY: readonly Exit[] = [EXIT.failed, EXIT.refused, EXIT.unusable, EXIT.timedOut]

/** null where it is not set. @throws DeployFault where it cannot be a token, without showing it */
function secret(env: Ports['env'], name: string): string | null {
  const value = env[name]?.trim()
  if (!value) return null
  if (/[^\x21-\x7e]/.test(value))
    throw unusable(`${name} holds something that no token has (a space, a line break).`)
  return value
}

async function certificatesOf(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw unusable(`--ca ${line(file, 200)} holds no certificate.`)
  return text
}

function runUrl(env: Ports['env']): string | null {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: id } = env
  return server && repository && id ? line(`${server}/${repository}/actions/runs/${id}`, 300) : null
}
