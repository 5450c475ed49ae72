/**
 * Queued jobs → admitted, claimed, started, armed; or deferred, or refused.
 *
 * Receives count crashes only: whatever must wait is written down and acknowledged, never failed.
 */
import { askGitHub } from './ask.ts'
import { type Capacity, orderOf, placesFor } from './capacity.ts'
import { admissionLimits, type Config, labelRules } from './config.ts'
import {
  admit,
  type Bill,
  billOf,
  forget,
  forgo,
  type HeadTerms,
  isAnyoneWaiting,
  leave,
  type PlaceRequest,
  pause,
  stepBack,
} from './core/admission.ts'
import { backOffMs } from './core/backoff.ts'
import {
  type Breakers,
  type CapacityReport,
  isBeyondQuota,
  isDoubtful,
  isOverQuota,
  report,
} from './core/breaker.ts'
import { type Candidate, claim, claimOf, launchOf, queue, waitedFor, wants } from './core/claim.ts'
import { pauseAskedFor } from './core/errors.ts'
import { readLabels } from './core/labels.ts'
import { applyToJob, isFinal, isLostTo, needsRunner, newRunner, priced } from './core/lifecycle.ts'
import { after, generationOf, jobKeyOf, runnerName } from './core/plan.ts'
import { runRefusal } from './core/policy.ts'
import { poolFor, standbyMinutes } from './core/pools.ts'
import { lossWords, lostForCapacity, stopWords } from './core/stops.ts'
import type {
  CapacityKind,
  Deferral,
  Gate,
  Job,
  JobRequest,
  LaunchCause,
  Problem,
  Runner,
} from './core/types.ts'
import { eachRecord, type FailedRecords, type Invocation, type QueueRecord } from './lambda.ts'
import { checkLaunchMessage } from './messages.ts'
import { LONGEST_DELAY_SECONDS, patiently } from './patience.ts'
import type { Compute, LaunchMessage, Ports, QueueMessage } from './ports.ts'
import { placeRequest, refillGate, standbyFor } from './refill.ts'
import { type RefuseCode, refuse, tellRefusals } from './refuse.ts'
import { deregister } from './registration.ts'
import { rerunOf } from './rerun.ts'
import { explainStandby, standbyCandidate, standbyClaim } from './standby.ts'
import { type StartResult, startRunner, type Where } from './start.ts'
import { changeGate, create, update } from './update.ts'

export type LaunchPorts = Omit<
  Ports,
  'secrets' | 'chatSecrets' | 'notices' | 'replies' | 'compute' | 'runnerLog'
> & {
  readonly compute: Pick<Compute, 'start' | 'stop'>
}

/** Deferred jobs that one invocation starts besides those it was called for. */
const HEADS_PER_INVOCATION = 10
/** Longer than the function can run, so that a lease ends only after its owner has. */
const LEASE_MARGIN_MS = 30_000
/** A delivery that comes this late may be about a job that is long over. */
const ASK_GITHUB_AFTER_MS = 5 * 60_000

/** GitHub takes a job back from a runner that does not pick it up within this time. */
const ASSIGNMENT_SECONDS = 60

/** How long a job waits for a further runner of its own once others took too many: twice as long each time. */
const REPLACEMENT_WAIT_MS = 5 * 60_000
const LONGEST_REPLACEMENT_WAIT_MS = 60 * 60_000

/** What an author can do about money. */
const SPEND_ADVICE =
  'Ask for less (a smaller size, `spot`, a shorter `timeout:`), run the job again later, or have the cap raised: `spend` in tornade.yml.'

/** Between two starts of which the first came to nothing. */
const RETRY_MS = 10_000
const LONGEST_RETRY_MS = 300_000
/** Other users of an account may have its quota for a while. GitHub gives a job up after a day. */
const SHORTEST_OVER_QUOTA_MS = 30 * 60_000
const LONGEST_OVER_QUOTA_MS = 12 * 3_600_000
/** At least so long until the next look at kinds of capacity that are all left alone. */
const SHORTEST_SKIP_MS = 15_000

type HeldBack = NonNullable<PlaceRequest['heldBack']>
type RelaunchMessage = Extract<LaunchMessage, { kind: 'relaunch' }>

/** It may have to wait for a time before it asks for a place. */
interface Prepared extends Candidate {
  readonly heldBack?: HeldBack
}
interface Asking {
  readonly candidate: Prepared
  readonly record: QueueRecord
}
/** What the gate must be told once the batch is done. */
interface Aftermath {
  readonly leaving: string[]
  /** Those that leave before anything was asked of AWS or GitHub. */
  readonly forgone: string[]
  /** Whose message gave a place in this invocation, by runner. */
  readonly givenBy: ReadonlyMap<string, string>
  /** Those that hold no place for all that this invocation knows, and only wait no more. */
  readonly forgotten: string[]
  /** What those cost of them that were started. */
  readonly bills: Map<string, Bill>
  readonly stepBacks: { readonly request: PlaceRequest; readonly notBefore: number }[]
  readonly pauses: { readonly scope: string; readonly until: number }[]
  readonly messages: QueueMessage[]
  readonly reports: CapacityReport[]
}

export function launch(
  ports: LaunchPorts,
  config: Config,
): (records: readonly QueueRecord[], invocation: Invocation) => Promise<FailedRecords> {
  const { clock, github, ledger, log, metrics, queue: queues } = ports
  const limits = admissionLimits(config)

  return async (records, invocation) => {
    const asking: Asking[] = []
    const failed = new Set(
      await eachRecord(records, log, record =>
        patiently(ports, 'launch', record, async () => {
          checkLaunchMessage(record.body)
          const message = record.body as LaunchMessage
          if (message.kind === 'standby' && record.receives > 1) await explainStandby(ports, config, message)
          const candidate = await prepare(message)
          if (candidate) asking.push({ candidate, record })
        }),
      ),
    )
    const left = records.filter(record => !failed.has(record.id))
    // A message that comes again may have given out places before, whatever it is about.
    if (asking.length === 0 && !left.some(record => isWake(record) || record.receives > 1)) return [...failed]

    const terms = headTerms(left)
    const admission = await admitAll(asking, terms)
    const capacity: Capacity = { breakers: admission.gate.breakers, probed: new Set() }
    const aftermath: Aftermath = {
      leaving: [],
      forgone: [],
      givenBy: new Map(admission.admitted.map(({ runner, by }) => [runner, by])),
      forgotten: [],
      bills: new Map(),
      stepBacks: [],
      pauses: [],
      messages: [],
      reports: [],
    }
    const byRunner = new Map(asking.map(item => [item.candidate.runner, item]))
    const admitted = admission.admitted.map(holder => ({
      holder,
      record: byRunner.get(holder.runner)?.record ?? recordOf(holder.by, left),
    }))
    const byHead = recordOf(terms.by, left)
    for (const warning of admission.warnings) log.warn('spend cap passed', { warning })
    if (admission.overSpend > 0) metrics.count('StartsOverSpend', admission.overSpend)

    await Promise.all([
      ...admitted.map(({ holder, record }) =>
        guard(record, failed, async () => {
          const candidate =
            byRunner.get(holder.runner)?.candidate ?? (await headCandidate(holder.jobKey, holder.runner))
          if (candidate) await start(candidate, holder.already, invocation, capacity, aftermath)
          else await forgoPlace(holder.runner, holder.already, aftermath)
        }),
      ),
      ...admission.denied.map(({ runner, jobKey, reason, message, notBefore }) =>
        guard(byRunner.get(runner)?.record ?? byHead, failed, async () => {
          const candidate = byRunner.get(runner)?.candidate ?? (await headCandidate(jobKey, runner))
          if (!candidate || !(await defer(candidate, { reason, message, notBefore })))
            aftermath.forgotten.push(runner)
        }),
      ),
      ...admission.hopeless.map(({ runner, jobKey, message }) =>
        guard(byRunner.get(runner)?.record ?? byHead, failed, async () => {
          const candidate = byRunner.get(runner)?.candidate ?? (await headCandidate(jobKey, runner))
          if (candidate) await giveUpForMoney(candidate, message)
        }),
      ),
    ])
    if (admission.wakeAt !== null) aftermath.messages.push(wakeAt(admission.wakeAt))
    await settle(aftermath, { ...admission.gate, breakers: capacity.breakers })
    return [...failed]
  }

  /** The job a message is about, ready to ask for a place; null when there is nothing to start. */
  async function prepare(message: LaunchMessage): Promise<Prepared | null> {
    switch (message.kind) {
      case 'wake':
        return null
      case 'refusal':
        await tellRefusals(ports, message.request)
        return null
      case 'standby':
        return standbyCandidate(config, message, clock.now())
      case 'job':
        return known(message.request, message.queuedAt, () => prepareNew(message.request, message.queuedAt))
      case 'resume': {
        const job = await ledger.jobs.get(message.jobKey)
        // A deferred job waits for its turn at the gate; one with another runner has lost this one.
        if (!job?.claim || job.deferred || job.runner !== job.claim.runner) return null
        const runner = await ledger.runners.get(job.claim.runner)
        if (runner && isLostTo(runner, job.key))
          return prepare({ kind: 'relaunch', jobKey: job.key, after: runner.name, cause: 'retry' })
        return candidateOf(job, job.claim.runner, null)
      }
      case 'relaunch': {
        const job = await ledger.jobs.get(message.jobKey)
        if (!job || !needsRunner(job) || job.runner !== message.after) return null
        if (message.cause === 'replacement') return prepareAgain(job, 'replacement', undefined)
        const former = await formerOf(job, message.after)
        if (!(await isLeftAlone(job, former, message))) return null
        return prepareAgain(job, former && lostForCapacity(former) ? 'capacity' : 'retry', former)
      }
    }
  }

  /** Does `work`; where GitHub asks to wait, the job is written down first, so that it is seen while it waits. */
  async function known<T>(request: JobRequest, queuedAt: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (pauseAskedFor(error) !== null)
        await update(ledger.jobs, request.key, job =>
          job && job.queuedAt !== null ? job : applyToJob(job, { kind: 'queued', at: queuedAt, request }),
        )
      throw error
    }
  }

  async function prepareNew(request: JobRequest, queuedAt: number): Promise<Candidate | null> {
    const rules = labelRules(config, { limits: true, repository: request.repository.name })
    const reading = readLabels(request.labels, rules)
    if (reading.outcome === 'ignored') return null
    if (reading.outcome === 'problems') return giveUp(request, 'labels', reading.problems)
    const { spec } = reading
    const scope = { repository: request.repository, installationId: request.installationId }
    if (queuedAt - request.createdAt > ASK_GITHUB_AFTER_MS) {
      const job = await github.getJob(scope, request.jobId)
      if (job?.status !== 'queued') {
        log.info('late delivery of a job that is not queued any more', {
          job: request.key,
          status: job?.status ?? 'unknown',
        })
        return null
      }
    }
    if (spec.role !== null || request.mayBeFork !== false) {
      const run = await github.getRun(scope, request.runId)
      const refused = runRefusal(config, request, spec.role, run)
      if (refused) return giveUp(request, refused.code, [refused.problem])
    }
    return {
      request,
      spec,
      queuedAt,
      generation: 1,
      cause: 'job',
      runner: runnerName(config.marker, request.key, 1),
      replaces: null,
      rerunOf: await rerunOf(ports, request),
    }
  }

  /** The runner that a job has lost. One that nobody wrote down may have been started and registered all the same. */
  async function formerOf(job: Job, name: string): Promise<Runner | undefined> {
    const known = await ledger.runners.get(name)
    const claimed = claimOf(job, name)
    if (known?.launch || !claimed) return known
    return { ...(known ?? newRunner(name)), launch: launchOf(job, claimed, config.region, clock.now()) }
  }

  /** True when GitHub has given neither the job to a runner nor the runner to a job, and will not. */
  async function isLeftAlone(
    job: Job,
    former: Runner | undefined,
    message: RelaunchMessage,
  ): Promise<boolean> {
    // One that never came up could be given nothing; what GitHub has of it goes with its stop (lifecycle.ts).
    if (former && former.stoppedAt !== null && former.startedAt === null && lostForCapacity(former))
      return true
    const news = await askGitHub(ports, job)
    if (news && news.kind !== 'queued') {
      // Its delivery is late, or was lost.
      await queues.send('events', [{ body: news }])
      return false
    }
    if (!former || former.job || (await deregister(ports, former)) === 'gone') return true
    await queues.send('launch', [{ body: message, delaySeconds: ASSIGNMENT_SECONDS }])
    return false
  }

  /** @param former the runner that the job has lost */
  async function prepareAgain(
    job: Job,
    cause: Exclude<LaunchCause, 'job' | 'pool'>,
    former: Runner | undefined,
  ): Promise<Prepared | null> {
    const generation = (job.claim?.generation ?? 0) + 1
    const { starts } = config.limits
    const retries = generation - job.replacements - job.shortages - 1
    if (cause === 'retry' && retries >= starts) {
      const last = former?.stop ? ` The last one: ${stopWords(former.stop)}` : ''
      const message = `${starts} runners were started for this job and none came to run it (limits.starts).${last}`
      return giveUp(job.request, 'start-failed', [
        { label: job.request.labels.join(', '), message, suggestion: null },
      ])
    }
    if (cause === 'replacement') metrics.count('RunnersReplaced')
    const candidate = candidateOf(job, runnerName(config.marker, job.key, generation), job.runner)
    if (!candidate) return null
    const caused = { ...candidate, cause }
    const heldBack = cause === 'replacement' ? replacementWait(job) : waitBefore(job, caused, retries, former)
    return { ...caused, ...(heldBack ? { heldBack } : {}) }
  }

  /**
   * Nothing is wrong with a job whose runners are taken time and again, and no runner was wasted: others ran on them. So
   * it waits longer and longer for one of its own, and meanwhile gets the first that is left over and fits.
   */
  function replacementWait({ replacements }: Job): HeldBack | null {
    const beyond = replacements - config.limits.replacements
    if (beyond < 0) return null
    const wait = Math.min(LONGEST_REPLACEMENT_WAIT_MS, REPLACEMENT_WAIT_MS * 2 ** beyond)
    const taken = replacements === 0 ? 'the runner' : `${replacements + 1} runners`
    return {
      reason: 'replacement-limit',
      message: `Other jobs took ${taken} started for this one (limits.replacements): it gets the next that is left over, or one of its own later.`,
      notBefore: clock.now() + wait,
    }
  }

  /**
   * A runner that came to nothing by itself is not followed by the next one at once: what is wrong may pass. Where there
   * was no capacity the next kind is tried at once, if there is one.
   */
  function waitBefore(
    job: Job,
    candidate: Candidate,
    retries: number,
    former: Runner | undefined,
  ): HeldBack | null {
    if (!former?.stop || former.stopRequestedAt !== null) return null
    // It waited for its ticket in vain: what was wrong was with the launch.
    if (former.startedAt !== null && former.registration === null) return null
    const scarce = candidate.cause === 'capacity'
    if (scarce && after(orderOf(candidate, config), former.launch!.shape).length > 0) return null
    const words = lossWords(former)
    const known = job.deferred?.runner === candidate.runner ? job.deferred.notBefore : null
    const tries = scarce ? job.shortages + 1 : retries
    const notBefore = known ?? clock.now() + backOffMs(RETRY_MS, LONGEST_RETRY_MS, tries, candidate.runner)
    if (notBefore <= clock.now()) return null
    return scarce
      ? { reason: 'no-capacity', message: words, notBefore }
      : { reason: 'start-failed', message: `The last runner came to no job: ${words}`, notBefore }
  }

  async function giveUp(request: JobRequest, code: RefuseCode, problems: readonly Problem[]): Promise<null> {
    await refuse(ports, config, request, code, problems)
    return null
  }

  async function giveUpForMoney(candidate: Candidate, message: string): Promise<void> {
    const { request } = candidate
    const job = await ledger.jobs.get(request.key)
    // A message that comes again asks for a runner that its job may not need any more.
    if (job && !wants(queue(job, candidate), candidate)) return
    await giveUp(request, 'spend-limit', [
      { label: request.labels.join(', '), message: `${message} ${SPEND_ADVICE}`, suggestion: null },
    ])
  }

  /** A deferred job whose turn it is; null when it needs this runner no more. */
  async function headCandidate(jobKey: string, runner: string): Promise<Candidate | null> {
    const job = await ledger.jobs.get(jobKey)
    if (!job || !needsRunner(job)) return null
    if (job.deferred?.runner === runner) return candidateOf(job, runner, job.runner)
    const claimed = job.claim?.runner === runner && job.runner === runner && !job.deferred
    return claimed ? candidateOf(job, runner, null) : null
  }

  function admitAll(asking: readonly Asking[], terms: HeadTerms) {
    const requests = asking.map(({ candidate, record }) => ({
      ...placeRequest(config, candidate, shortId(record)),
      ...(candidate.heldBack ? { heldBack: candidate.heldBack } : {}),
      ...(candidate.cause === 'pool' ? { optional: true } : {}),
    }))
    return changeGate(ledger, gate => admit(gate, requests, limits, clock.now(), terms))
  }

  async function start(
    asked: Candidate,
    already: boolean,
    invocation: Invocation,
    capacity: Capacity,
    aftermath: Aftermath,
  ): Promise<void> {
    const now = clock.now()
    const pool = poolFor(config.pools, asked.request.repository.name, asked.request.labels, now)
    const standby = pool ? Math.min(standbyMinutes(pool, now), standbyFor(config, asked)) : 0
    const candidate: Candidate = standby > 0 ? { ...asked, standby } : asked
    const { order, kinds, until, words } = await placesFor(ports, config, candidate, capacity)
    const where: Where = {
      order,
      kinds,
      report: news => aftermath.reports.push(news),
      isDoubtful: shape => isDoubtful(capacity.breakers, shape, now),
    }
    if (candidate.cause === 'pool') return startStandby(candidate, where, aftermath)
    let claimed: ReturnType<typeof claim> | undefined
    // Without a kind nothing is written where there is no job yet, and so nobody would say that there is one.
    const write = kinds.length > 0 ? create : update
    await write(ledger.jobs, candidate.request.key, current => {
      claimed = claim(
        current,
        candidate,
        kinds,
        invocation.id,
        now,
        now + invocation.remainingMs() + LEASE_MARGIN_MS,
      )
      return claimed.outcome === 'claimed' ? claimed.job : current
    })
    switch (claimed!.outcome) {
      case 'held':
        aftermath.messages.push(delayed({ kind: 'resume', jobKey: candidate.request.key }, claimed!.until))
        return
      case 'not-needed':
        return forgoPlace(candidate.runner, already, aftermath)
      case 'claimed': {
        const { job, claim: won, resumed } = claimed!
        const result = await startRunner(ports, config, job, won, resumed, where)
        if (result.outcome !== 'deferred') return finish(candidate, result, already, aftermath)
        return putOff(
          candidate,
          result,
          already,
          order,
          report(capacity.breakers, aftermath.reports),
          aftermath,
        )
      }
      case 'no-capacity': {
        const message = words.join(' ')
        const notBefore = Math.max(until ?? 0, now + SHORTEST_SKIP_MS)
        const why = { reason: 'no-capacity', message, notBefore } as const
        return putOff(candidate, why, already, order, capacity.breakers, aftermath)
      }
    }
  }

  /** Its message is all that is known of it: what is not started now is asked for again by a later sweep. */
  async function startStandby(candidate: Candidate, where: Where, aftermath: Aftermath): Promise<void> {
    const { runner, request } = candidate
    const standby = standbyClaim(candidate, where.kinds, clock.now())
    if (!standby) return forgoPlace(runner, false, aftermath)
    const result = await startRunner(ports, config, standby.job, standby.claim, true, where)
    if (result.outcome === 'armed') {
      metrics.count('StandbysLaunched')
      log.info('runner started for a pool', { repository: request.repository.name, runner })
    }
    const pause =
      result.outcome === 'paused' ? result.until : 'pauseUntil' in result ? result.pauseUntil : null
    if (pause) aftermath.pauses.push({ scope: 'github', until: pause })
    if (result.outcome === 'deferred') return forgoPlace(runner, false, aftermath)
    if (result.outcome === 'armed') return
    // An earlier try may have started it without writing that down, and its end was told since.
    const at = clock.now()
    await update(ledger.runners, runner, current =>
      current && !current.launch
        ? priced({ ...current, launch: launchOf(standby.job, standby.claim, config.region, at) })
        : current,
    )
    return drop(runner, true, aftermath)
  }

  async function finish(
    candidate: Candidate,
    result: Exclude<StartResult, { readonly outcome: 'deferred' }>,
    already: boolean,
    aftermath: Aftermath,
  ): Promise<void> {
    const { request, runner } = candidate
    switch (result.outcome) {
      case 'armed':
        if (result.pauseUntil) aftermath.pauses.push({ scope: 'github', until: result.pauseUntil })
        metrics.count('JobsLaunched')
        log.info('runner started', { job: request.key, repository: request.repository.name, runner })
        return
      case 'not-needed':
        return drop(runner, already, aftermath)
      case 'lost': {
        const relaunch: LaunchMessage = {
          kind: 'relaunch',
          jobKey: request.key,
          after: runner,
          cause: 'retry',
        }
        aftermath.messages.push({ body: relaunch })
        return drop(runner, true, aftermath)
      }
      case 'unknown':
      case 'held':
        aftermath.messages.push(delayed({ kind: 'resume', jobKey: request.key }, result.until))
        return
      case 'paused':
        aftermath.pauses.push({ scope: 'github', until: result.until })
        aftermath.messages.push(delayed({ kind: 'resume', jobKey: request.key }, result.until))
        return
      case 'refused':
        await giveUp(request, result.code, [
          { label: request.labels.join(', '), message: result.message, suggestion: null },
        ])
        // What was started before GitHub refused it is being stopped, and holds its place until then.
        return drop(runner, true, aftermath)
    }
  }

  /** The job waits until then, and holds no place meanwhile. */
  async function putOff(
    candidate: Candidate,
    { reason: why, message, notBefore }: HeldBack,
    already: boolean,
    order: readonly CapacityKind[],
    breakers: Breakers,
    aftermath: Aftermath,
  ): Promise<void> {
    const isQuota = why === 'no-capacity' && isOverQuota(breakers, order, candidate.spec.arch)
    const reason = isQuota ? 'quota' : why
    const deferred = await defer(candidate, { reason, message, notBefore })
    if (!deferred) return forgoPlace(candidate.runner, already, aftermath)
    const vain = isQuota ? await whyInVain(candidate, deferred, order, breakers) : null
    if (vain !== null) {
      const label = candidate.request.labels.join(', ')
      const words = `${message.replace(/[.\s]*$/, '.')} ${vain}`
      await giveUp(candidate.request, 'quota', [{ label, message: words, suggestion: null }])
      return forgoPlace(candidate.runner, already, aftermath)
    }
    aftermath.stepBacks.push({ request: placeRequest(config, candidate, ''), notBefore })
    aftermath.messages.push(wakeAt(notBefore))
  }

  /** Why a job that a quota keeps waiting waits no longer; null while it may help. */
  async function whyInVain(
    { spec }: Candidate,
    { overQuotaSince }: Deferral,
    order: readonly CapacityKind[],
    breakers: Breakers,
  ): Promise<string | null> {
    const waited = clock.now() - (overQuotaSince ?? clock.now())
    if (waited >= LONGEST_OVER_QUOTA_MS) return 'The job has waited for that for 12 hours.'
    if (waited < SHORTEST_OVER_QUOTA_MS || !isBeyondQuota(breakers, order, spec, [])) return null
    const live = (await ledger.runners.open({})).filter(({ stoppedAt }) => stoppedAt === null)
    const used = live.flatMap(({ launch }) => (launch ? [launch.shape] : []))
    return isBeyondQuota(breakers, order, spec, used)
      ? 'No runner of tornade takes any of it, so that waiting does not help: the quota is smaller than this job needs.'
      : null
  }

  /** A place that was not used. One that was given before may have been. */
  async function forgoPlace(runner: string, already: boolean, aftermath: Aftermath): Promise<void> {
    if (already) return drop(runner, already, aftermath)
    aftermath.forgone.push(runner)
  }

  /**
   * A place that nobody needs is given back, unless a runner lives on it, or may: somebody is starting it right now, or
   * was interrupted. Then it goes with the stop of the runner, or with the sweep.
   */
  async function drop(runner: string, already: boolean, aftermath: Aftermath): Promise<void> {
    const known = already ? await ledger.runners.get(runner) : undefined
    if (known && known.stoppedAt === null) return
    // It may have been started without being written down: the sweep gives its place back (sweep.ts).
    if (already && !known && claimOf(await ledger.jobs.get(jobKeyOf(runner)), runner)) return
    aftermath.leaving.push(runner)
    if (known?.stoppedAt) aftermath.bills.set(runner, billOf(known, known.stoppedAt))
  }

  /** Writes down why the job waits; null when it does not need to any more. */
  async function defer(
    candidate: Candidate,
    why: Pick<Deferral, 'reason' | 'message' | 'notBefore'>,
  ): Promise<Deferral | null> {
    const { runner, cause } = candidate
    let news = false
    const saved = await update(ledger.jobs, candidate.request.key, current => {
      const job = queue(current, candidate)
      if (!wants(job, candidate)) return current
      const now = clock.now()
      const waited = waitedFor(job, runner)
      news = waited === null || (job.deferred !== null && job.deferred.runner !== runner)
      const since = waited?.since ?? now
      const quota = why.reason === 'quota' ? { overQuotaSince: waited?.overQuotaSince ?? now } : {}
      return { ...job, deferred: { since, ...quota, ...why, runner, cause } }
    })
    if (saved?.deferred?.runner !== runner) return null
    if (news) metrics.count('JobsDeferred')
    return saved.deferred
  }

  async function settle(
    { leaving, forgone, givenBy, forgotten, bills, stepBacks, pauses, messages, reports }: Aftermath,
    gate: Gate,
  ): Promise<void> {
    let latest = gate
    const isNews = report(gate.breakers, reports) !== gate.breakers
    const changes = [leaving, forgone, forgotten, stepBacks, pauses]
    if (changes.some(list => list.length > 0) || isNews) {
      const changed = await changeGate(ledger, current => {
        let next = forget(forgo(leave(current, leaving, bills), forgone, givenBy), forgotten)
        for (const { request, notBefore } of stepBacks) next = stepBack(next, request, notBefore, givenBy)
        for (const { scope, until } of pauses) next = pause(next, scope, until)
        return { gate: { ...next, breakers: report(next.breakers, reports) } }
      })
      latest = changed.gate
    }
    const came = await refillGate(ports, config, latest)
    if (came || (leaving.length + forgone.length + forgotten.length > 0 && isAnyoneWaiting(latest)))
      messages.push({ body: { kind: 'wake' } satisfies LaunchMessage })
    if (messages.length > 0) await queues.send('launch', messages)
  }

  async function guard(record: QueueRecord, failed: Set<string>, work: () => Promise<void>): Promise<void> {
    const tried = () => patiently(ports, 'launch', record, work)
    for (const id of await eachRecord([record], log, tried)) failed.add(id)
  }

  function wakeAt(time: number): QueueMessage {
    return delayed({ kind: 'wake' }, time)
  }

  function delayed(body: LaunchMessage, until: number): QueueMessage {
    const seconds = Math.ceil((until - clock.now()) / 1000)
    return { body, delaySeconds: Math.min(LONGEST_DELAY_SECONDS, Math.max(0, seconds)) }
  }
}

function candidateOf(job: Job, runner: string, replaces: string | null): Candidate | null {
  if (!job.spec || isFinal(job)) return null
  const known = [job.claim, job.deferred].find(item => item?.runner === runner)
  const cause = known?.cause ?? 'job'
  const generation = generationOf(runner)
  return {
    request: job.request,
    spec: job.spec,
    queuedAt: job.queuedAt ?? job.request.createdAt,
    generation,
    cause,
    runner,
    replaces,
    rerunOf: job.rerunOf,
  }
}

function isWake({ body }: QueueRecord): boolean {
  return (body as LaunchMessage | null)?.kind === 'wake'
}

function headTerms(records: readonly QueueRecord[]): HeadTerms {
  return {
    take: HEADS_PER_INVOCATION,
    by: shortId(records.find(isWake) ?? records[0]!),
    redelivered: new Set(records.filter(record => record.receives > 1).map(shortId)),
  }
}

/** As much of a message's id as tells it from the others of its time; every place in the gate holds one. */
function shortId({ id }: QueueRecord): string {
  return id.slice(-12)
}

/** The record on whose behalf a deferred job was admitted; any of the batch when that record is long gone. */
function recordOf(id: string, records: readonly QueueRecord[]): QueueRecord {
  return records.find(record => shortId(record) === id) ?? records[0]!
}
