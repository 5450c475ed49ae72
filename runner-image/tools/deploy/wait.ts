/** Follows one application until its deployment is decided. */
import { setTimeout } from 'node:timers/promises'
import { type Application, type Argo, ArgoError, argoFault } from './argocd.ts'
import { DeployFault, EXIT, type Exit } from './fault.ts'
import { type Image, isApplication } from './forms.ts'
import { line, short } from './text.ts'
import {
  describe,
  type Goal,
  judge,
  type Relation,
  revisionsIn,
  type Trouble,
  troubles,
  type Verdict,
} from './verdict.ts'

export interface Times {
  /** Milliseconds from the refresh to a decision. */
  readonly timeout: number
  /** How long what may pass is given to do so. */
  readonly grace: number
  /** Between two looks while the stream works, and while it does not. */
  readonly quiet: number
  readonly poll: number
  /** Before something that failed in passing is asked again. */
  readonly retry: number
}

export interface Waiting {
  readonly argo: Argo
  readonly project: string | null
  readonly times: Times
  readonly signal: AbortSignal
  /** The commit that is to be deployed; null for whatever the application's target is at. */
  readonly revision: string | null
  readonly images: readonly Image[]
  readonly relate: (revision: string) => Promise<Relation>
  /** Start the sync instead of leaving it to the application's own policy. */
  readonly sync: boolean
  readonly now: () => number
  /** One line, about this application. */
  readonly say: (text: string) => void
}

export type Outcome = 'healthy' | 'failed' | 'superseded' | 'refused' | 'unusable' | 'timed-out' | 'cancelled'

export interface Followed {
  readonly name: string
  readonly outcome: Outcome
  readonly exit: Exit
  readonly message: string
  readonly sync: string | null
  readonly health: string | null
  readonly revision: string | null
  readonly resources: readonly Trouble[]
  readonly conditions: readonly string[]
  /** Where Argo CD shows it, and where it is served. */
  readonly page: string
  readonly urls: readonly string[]
}

const OUTCOMES: Readonly<Record<Exit, Outcome>> = {
  0: 'healthy',
  1: 'failed',
  2: 'unusable',
  3: 'refused',
  4: 'timed-out',
}

export async function follow(name: string, waiting: Waiting): Promise<Followed> {
  const { times, signal, now } = waiting
  const over = AbortSignal.timeout(times.timeout)
  const either = AbortSignal.any([signal, over])
  const follower = new Follower(name, waiting, either)
  const start = now()
  try {
    return await follower.run()
  } catch (error) {
    if (signal.aborted) return follower.result('cancelled', EXIT.timedOut, 'the deployment was cancelled')
    if (over.aborted) return follower.result('timed-out', EXIT.timedOut, follower.overdue(now() - start))
    if (!(error instanceof DeployFault)) throw error
    return follower.result(OUTCOMES[error.exit], error.exit, [error.message, ...error.details].join(' '))
  } finally {
    follower.close()
  }
}

class Follower {
  readonly #name: string
  readonly #waiting: Waiting
  readonly #signal: AbortSignal
  readonly #streams = new AbortController()
  #application: Application | null = null
  /** Of the stream, and not looked at yet. */
  readonly #events: Application[] = []
  #wake: () => void = () => {}
  #isStreaming = false
  /** The sync was not taken yet, because of another operation. */
  #isKept = false
  #said = ''
  /** Of the last answer that was none, for a sentence. */
  #fault = ''

  constructor(name: string, waiting: Waiting, signal: AbortSignal) {
    if (!isApplication(name)) throw new RangeError('not a name')
    this.#name = name
    this.#waiting = waiting
    this.#signal = signal
  }

  close(): void {
    this.#streams.abort()
  }

  async run(): Promise<Followed> {
    const { sync } = this.#waiting
    this.#application = await this.#ask(() => this.#waiting.argo.get(this.#name, true), 'get')
    const earlier = sync ? await this.#sync() : null
    void this.#stream()
    let ailing: number | null = null
    let unconfirmed: number | null = null
    for (;;) {
      const application = this.#application
      this.#report(describe(application))
      const verdict = await this.#judged(application, earlier)
      if (verdict.state === 'failed') return this.result('failed', EXIT.failed, verdict.why)
      if (verdict.state === 'superseded')
        return this.result(
          'superseded',
          EXIT.failed,
          `the newer commit ${short(verdict.revision)} sets another image; this one is not deployed any more`,
        )
      const { grace } = this.#waiting.times
      const time = this.#waiting.now()
      if (verdict.state === 'healthy') {
        unconfirmed ??= time
        const patient = !verdict.confirmed && this.#waiting.images.length > 0
        if (!patient || time - unconfirmed >= grace) return this.#healthy(verdict, patient)
      } else unconfirmed = null
      if (verdict.state === 'ailing') {
        // What it says of itself may change from look to look; that it ails is what counts.
        ailing ??= time
        if (time - ailing >= grace) return this.result('failed', EXIT.failed, verdict.why)
      } else ailing = null
      const since = ailing ?? unconfirmed
      await this.#next(since === null ? Number.POSITIVE_INFINITY : grace - (time - since))
    }
  }

  #healthy(
    { revision, newer }: { readonly revision: string | null; readonly newer: boolean },
    isUnconfirmed: boolean,
  ): Followed {
    const at = revision === null ? '' : ` at ${short(revision)}`
    const overtaken = newer ? ', a newer commit that has this image too' : ''
    const doubt = isUnconfirmed
      ? '; no pod runs the image just now (none may be wanted), so its digest could not be confirmed'
      : ''
    return this.result('healthy', EXIT.done, `Synced and Healthy${at}${overtaken}${doubt}`)
  }

  async #judged(application: Application, earlier: string | null): Promise<Verdict> {
    const goal = await this.#goal(application, earlier)
    const verdict = judge(application, goal)
    if (verdict.state !== 'ailing' || !verdict.isOther) return verdict
    const running = await this.#ask(() => this.#waiting.argo.running(this.#name), 'get')
    return judge(application, { ...goal, running })
  }

  async #goal(application: Application, earlier: string | null): Promise<Goal> {
    const { revision, relate, images } = this.#waiting
    const known = new Map<string, Relation>()
    for (const each of revisionsIn(application))
      known.set(each, revision === null ? 'ours' : await relate(each))
    return { images, earlier, relation: each => known.get(each) ?? 'unrelated' }
  }

  /** @returns startedAt of the operation before it; null where ours was not needed */
  async #sync(): Promise<string | null> {
    const { argo, say, times } = this.#waiting
    let { revision } = this.#waiting
    let earlier = this.#application?.status?.operationState?.startedAt ?? ''
    for (;;) {
      try {
        await this.#ask(() => argo.sync(this.#name, revision), 'sync')
        this.#isKept = false
        say(revision ? `sync of ${short(revision)} asked for` : 'sync asked for')
        return earlier
      } catch (error) {
        if (!(error instanceof ArgoError)) throw error
        if (/auto-sync currently set/i.test(error.message) && revision !== null) {
          say('it syncs by itself, so the sync is asked for without a revision')
          revision = null
          continue
        }
        if (needsOverride(error) && revision !== null) {
          say('the token may sync to no revision of its own choice, so the sync is asked for without one')
          revision = null
          continue
        }
        if (!/another operation is already in progress/i.test(error.message))
          throw argoFault(error, this.#name, this.#waiting.project, 'sync')
        this.#isKept = true
        this.#report('another operation is in progress')
      }
      await this.#sleep(times.retry)
      const application = await this.#ask(() => argo.get(this.#name), 'get')
      this.#application = application
      const verdict = judge(application, await this.#goal(application, null))
      if (verdict.state === 'healthy') return null
      earlier = application.status?.operationState?.startedAt ?? ''
    }
  }

  /** Asks again and again while it fails in passing. What the caller of a sync has to read is for it. */
  async #ask<T>(question: () => Promise<T>, verb: 'get' | 'sync'): Promise<T> {
    for (;;) {
      this.#signal.throwIfAborted()
      try {
        return await question()
      } catch (error) {
        if (!(error instanceof ArgoError)) throw error
        this.#signal.throwIfAborted()
        if (verb === 'sync' && (error.status === 400 || needsOverride(error))) throw error
        if (!error.passing) throw argoFault(error, this.#name, this.#waiting.project, verb)
        this.#fault = `: ${error.message}`
        this.#report(`Argo CD does not answer as it should, trying again${this.#fault}`)
        await this.#sleep(this.#waiting.times.retry)
      }
    }
  }

  /** The application at its next change, or when it is time to look. */
  async #next(atMost: number): Promise<void> {
    const { argo, times, revision } = this.#waiting
    if (this.#events.length === 0) {
      const pause = Math.max(1, Math.min(atMost, this.#isStreaming ? times.quiet : times.poll))
      const woken = new AbortController()
      this.#wake = () => woken.abort()
      await setTimeout(pause, undefined, { signal: AbortSignal.any([woken.signal, this.#signal]) }).catch(
        () => {},
      )
      this.#signal.throwIfAborted()
    }
    const event = this.#events.shift()
    if (event) {
      this.#application = event
      return
    }
    // Where it has not seen our commit yet, it is told to look again.
    const stale = revision !== null && !revisionsIn(this.#application ?? {}).includes(revision)
    const application = await this.#ask(() => argo.get(this.#name, stale), 'get')
    // What came by the stream meanwhile may be newer, and comes in order.
    if (this.#events.length === 0) this.#application = application
  }

  async #stream(): Promise<void> {
    const { argo, times, say } = this.#waiting
    const signal = AbortSignal.any([this.#signal, this.#streams.signal])
    let toldOf = ''
    while (!signal.aborted) {
      let why = 'it ended'
      try {
        for await (const application of argo.watch(this.#name, signal)) {
          this.#isStreaming = true
          this.#events.push(application)
          this.#wake()
        }
      } catch (error) {
        why = error instanceof Error ? error.message : String(error)
      }
      this.#isStreaming = false
      if (signal.aborted) return
      if (toldOf !== why)
        say(`the stream of Argo CD broke off (${line(why, 100)}); asking now and then instead`)
      toldOf = why
      this.#wake()
      await this.#sleep(times.poll).catch(() => {})
    }
  }

  #sleep(milliseconds: number): Promise<void> {
    return setTimeout(milliseconds, undefined, { signal: this.#signal })
  }

  #report(text: string): void {
    if (text !== this.#said) this.#waiting.say(text)
    this.#said = text
  }

  overdue(milliseconds: number): string {
    const application = this.#application
    if (application === null) return `Argo CD did not answer in time${this.#fault}`
    const hint = this.#hint(application)
    return `not done after ${Math.round(milliseconds / 1000)} s: ${describe(application)}${hint && `; ${hint}`}`
  }

  /** What it may hang on, for whoever can help it; empty where nobody knows. */
  #hint(application: Application): string {
    const { revision, sync } = this.#waiting
    const { spec, status } = application
    if (this.#isKept)
      return 'another operation is in progress, and the sync was not taken: end it in Argo CD (argocd app terminate-op)'
    if (revision !== null && !revisionsIn(application).includes(revision))
      return `it never saw ${short(revision)}: does it look at this branch of ${line(spec?.source?.repoURL ?? 'this repository', 200)}?`
    if (status?.sync?.status !== 'OutOfSync') return ''
    const automated = spec?.syncPolicy?.automated
    if (!sync && (!automated || automated.enabled === false)) return 'it does not sync by itself: use --sync'
    const old = status.resources?.find(({ requiresPruning }) => requiresPruning)
    if (old)
      return `${line(`${old.kind}/${old.name}`, 200)} is to be pruned, which is left to Argo CD (argocd app sync --prune)`
    return sync ? '' : 'is there a sync window of its project that keeps it from syncing by itself?'
  }

  result(outcome: Outcome, exit: Exit, message: string): Followed {
    const application = this.#application ?? {}
    const { status } = application
    const found = outcome === 'healthy' ? { resources: [], conditions: [] } : troubles(application)
    return {
      name: this.#name,
      outcome,
      exit,
      message: line(message, 1000),
      sync: status?.sync?.status ?? null,
      health: status?.health?.status ?? null,
      revision: status?.sync?.revision ?? status?.sync?.revisions?.[0] ?? null,
      resources: found.resources,
      conditions: found.conditions,
      page: this.#waiting.argo.page(this.#name),
      urls: (status?.summary?.externalURLs ?? []).filter(url => /^https?:\/\//.test(url)),
    }
  }
}

/** https://argo-cd.readthedocs.io/en/stable/operator-manual/rbac/#the-override-action: for revisions too, where it is set so. */
function needsOverride({ status, message }: ArgoError): boolean {
  return status === 403 && /\bapplications, override\b/.test(message)
}
