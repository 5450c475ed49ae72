/**
 * What happens to jobs and runners → ledger, cost, follow-ups: pairs are swapped when GitHub gave a runner to
 * another job, a runner that nobody needs goes, a job whose runner is lost gets another.
 *
 * Every step can be repeated: it looks at the ledger, not at what an earlier try may have done.
 */
import { carryOut } from './chat.ts'
import type { Config } from './config.ts'
import { type Bill, billOf, isAnyoneWaiting, leave, spend } from './core/admission.ts'
import { readAwsEvent } from './core/aws-events.ts'
import { type CapacityReport, kindKey, report } from './core/breaker.ts'
import { claimOf, launchOf } from './core/claim.ts'
import {
  applyJobToRunner,
  applyRunnerEvent,
  applyToJob,
  isAvailable,
  isOfAnother,
  isRunner,
  needsRunner,
  newRunner,
  priced,
  runnerState,
  withCleaning,
  withCost,
} from './core/lifecycle.ts'
import { jobFor, type Pair, pairAnew } from './core/pairing.ts'
import { jobKeyOf, runnerOf } from './core/plan.ts'
import { poolState } from './core/pools.ts'
import { isReclaim, lossWords, lostForCapacity } from './core/stops.ts'
import { isOverIdle } from './core/sweep.ts'
import type {
  GitHubRunnerRef,
  Job,
  JobEvent,
  JobRequest,
  Runner,
  RunnerEvent,
  RunnerLaunch,
  Usage,
} from './core/types.ts'
import { withUsage } from './core/usage.ts'
import { eachRecord, type FailedRecords, type QueueRecord } from './lambda.ts'
import { checkEventsMessage } from './messages.ts'
import { patiently } from './patience.ts'
import type { Compute, EventsMessage, LaunchMessage, Ports } from './ports.ts'
import { refillGate } from './refill.ts'
import { deregister } from './registration.ts'
import { askForRerun, noteLoss } from './rerun.ts'
import { stopRunner } from './stop.ts'
import { changeGate, update, updateFrom } from './update.ts'

interface Freed {
  readonly runner: Runner
  readonly bill: Bill
  readonly record: QueueRecord
}
/** Told of a runner that has stopped, and what it did cost. */
type Free = (runner: Runner, bill: Bill) => void

/** It stops runners and starts none. */
export type LifecyclePorts = Omit<Ports, 'secrets' | 'chatSecrets' | 'notices' | 'compute'> & {
  readonly compute: Pick<Compute, 'stop'>
}

/** A job can arrive just before GitHub answers that its runner is removed; its in_progress comes within this time. */
const LISTENER_GRACE_SECONDS = 90
/** Between two looks at a runner that is still being started and is not needed any more. */
const ARMING_SECONDS = 5
/** In a crowd GitHub gives jobs to runners in its own order: so long the news of it can be under way. */
const CROWD_SECONDS = 10
/** Open jobs of a repository that are looked at when runners are paired anew, oldest first. */
const NEIGHBOURS = 500
/** Looks for a free runner before another one is started: in a crowd others take what was found. */
const PAIRINGS = 10

export function lifecycle(
  ports: LifecyclePorts,
  config: Config,
): (records: readonly QueueRecord[]) => Promise<FailedRecords> {
  const { clock, compute, github, ledger, log, metrics, queue, runnerLog, tickets } = ports

  return async records => {
    const freed: Freed[] = []
    const failed: string[] = []
    // One after the other per job or runner: they would only stand in each other's way.
    await Promise.all(
      [...groupBy(records, recordKey).values()].map(async group => {
        for (const record of group) {
          failed.push(
            ...(await eachRecord([record], log, () =>
              patiently(ports, 'events', record, () =>
                handle(record, (runner, bill) => freed.push({ runner, bill, record })),
              ),
            )),
          )
        }
      }),
    )
    if (freed.length > 0) failed.push(...(await giveBack(freed)))
    return [...new Set(failed)]
  }

  async function handle(record: QueueRecord, free: Free): Promise<void> {
    const message = read(record.body)
    checkEventsMessage(record.body, message !== null)
    if (message === null) return passOver(record)
    switch (message.kind) {
      case 'queued':
      case 'waiting':
        await update(ledger.jobs, message.request.key, job => applyToJob(job, message))
        return
      case 'in_progress':
      case 'completed':
        return onJob(message)
      case 'runner':
        return onRunner(message, free)
      case 'clean-up':
        return onCleanUp(message.runner)
      case 'stop-if-idle':
        return onStopIfIdle(message.runner)
      case 'rerun':
        return askForRerun(ports, message.rerun)
      case 'chat':
        return carryOut(ports, config, message)
    }
  }

  /** A task or build that is no runner: somebody uses the cluster or the project for something else. */
  function passOver({ id }: QueueRecord): void {
    metrics.count('MessagesIgnored')
    log.info('event of something else', { message: id })
  }

  async function onJob(event: Extract<JobEvent, { kind: 'in_progress' | 'completed' }>): Promise<void> {
    const runner = event.runner ? await bind(event.runner, event) : undefined
    let before: Job | undefined
    const job = await update(ledger.jobs, event.request.key, current => {
      before = current
      const applied = applyToJob(current, event)
      return runner ? withCost({ ...applied, runner: runner.name }, runner) : applied
    })
    if (runner?.cost) {
      await pay(runner)
      if (runner.cleanedAt === null && runner.stoppedAt !== null)
        await update(ledger.runners, runner.name, current => current && withCleaning(current, clock.now()))
    }
    if (event.kind === 'completed' && !before?.completed) metrics.count('JobsCompleted')
    if (
      event.kind === 'completed' &&
      runner?.launch?.shape.capacity === 'spot' &&
      event.conclusion !== 'success'
    ) {
      // The stop of its runner may have been told since.
      const latest = await ledger.runners.get(runner.name)
      if (latest) await noteLoss(ports, config, job!.key, latest)
    }
    const meant = before?.runner ?? null
    // Who lost this runner comes before who may have the runner that this job left.
    if (runner) await repair(runner, job!)
    // One that its job left for another runner may be needed by whoever was meant to have that.
    if (meant !== null && meant !== runner?.name) await release(meant, runner ? CROWD_SECONDS : 0)
  }

  /** Its job pays what the runner says last: its stop and the end of its job can be told at the same time. */
  async function pay(runner: Runner): Promise<void> {
    let paid = runner
    for (;;) {
      await charge(paid)
      const latest = await ledger.runners.get(paid.name)
      if (!latest || latest.version === paid.version) return
      paid = latest
    }
  }

  async function charge(runner: Runner): Promise<void> {
    if (runner.job) await update(ledger.jobs, runner.job.key, job => job && withCost(job, runner))
  }

  /** Writes on the runner that GitHub gave it this job; undefined when the runner is not ours. */
  async function bind(
    ref: GitHubRunnerRef,
    event: Extract<JobEvent, { kind: 'in_progress' | 'completed' }>,
  ): Promise<Runner | undefined> {
    const name = runnerOf(ref.name, config.marker)
    if (name === null) return undefined
    const bound = await update(ledger.runners, name, current => {
      if (!current || !isRunner(current, ref, event.request.repository.id)) return current
      const taken = applyJobToRunner(current, event)
      // It stays open until its job has paid what it costs now, so that the sweep finds it should that not come to pass.
      return isSameBill(current, taken) ? taken : { ...taken, cleanedAt: null }
    })
    if (bound?.job?.key === event.request.key) return bound
    log.warn('a runner named like one of ours took a job', { runner: ref.name, job: event.request.key })
    return undefined
  }

  /** The job that `runner` was meant for has lost it, if it went to `job` instead: another one, or a new one. */
  async function repair(runner: Runner, job: Job): Promise<void> {
    if (runner.for === null || runner.for === job.key) return
    await recover(runner.for, runner.name, 'replacement', job.key)
    await update(ledger.runners, runner.name, current => current && { ...current, for: job.key })
  }

  /**
   * A job has lost its runner: it gets one that is free, if need be by a chain of swaps, or a new one is started.
   * @param served key of a job that is known to need no runner any more, which the list may not know yet
   */
  async function recover(
    jobKey: string,
    lost: string,
    cause: 'retry' | 'replacement',
    served?: string,
  ): Promise<void> {
    for (let tries = 0; tries < PAIRINGS; tries++) {
      const job = await ledger.jobs.get(jobKey)
      if (!job || !needsRunner(job) || job.runner !== lost) return
      const { runners, jobs } = await neighbours(job.request.repository.id, job)
      const pairs = pairAnew(
        job,
        jobs.filter(({ key }) => key !== served),
        runners.filter(({ name }) => name !== lost),
      )
      log.info('a job lost its runner', { job: jobKey, runner: lost, cause, swaps: pairs?.length ?? 0 })
      if (!pairs) break
      if (await pairAll(pairs)) return
    }
    await launchAgain(jobKey, lost, cause)
  }

  /** One swap after the other; false when somebody was faster at one of them, and the rest is as it was. */
  async function pairAll(pairs: readonly Pair[]): Promise<boolean> {
    for (const pairing of pairs) {
      if (!(await pair(pairing.job, pairing.runner))) return false
    }
    return true
  }

  /**
   * Finds a use for a runner that its job does not need, or lets it go.
   * @param grace seconds that it is left for others to find
   */
  async function release(name: string, grace = 0): Promise<void> {
    const runner = await ledger.runners.get(name)
    if (!runner?.registration) return stopLater(name, ARMING_SECONDS)
    if (!isAvailable(runner)) return
    // No use is to be found for one that hangs.
    if (isOverIdle(runner, config, clock.now())) return letGo(runner)
    if (await isWanted(runner)) return
    const { runners, jobs } = await neighbours(runner.launch!.repository.id)
    const other = jobFor(runner, jobs, runners)
    if (other && (await pair(other, runner))) return
    if (await standBy(runner, runners)) return
    if (grace > 0) return stopLater(name, grace)
    await letGo(runner)
  }

  /** Leaves a runner that nobody needs to a pool that lacks one. */
  async function standBy(runner: Runner, runners: readonly Runner[]): Promise<boolean> {
    const spare = { ...runner, for: null }
    const others = runners.filter(({ name }) => name !== runner.name)
    // Who stands there already comes first.
    const { kept } = poolState(config.pools, [...others, spare], clock.now())
    if (!kept.has(runner.name)) return false
    await update(ledger.runners, runner.name, current =>
      current && current.for === runner.for && current.for !== null ? { ...current, for: null } : current,
    )
    return true
  }

  async function isWanted(runner: Runner): Promise<boolean> {
    const job = runner.for === null ? undefined : await ledger.jobs.get(runner.for)
    return job !== undefined && needsRunner(job) && job.runner === runner.name
  }

  /** Off GitHub at once, so that it gets no job; stopped once no job can have slipped in. */
  async function letGo(runner: Runner): Promise<void> {
    const { repository, installationId } = runner.launch!
    const answer = await github.removeRunner({ repository, installationId }, runner.registration!.id)
    if (answer === 'busy') return
    let meantFor: string | null = null
    await update(ledger.runners, runner.name, current => {
      meantFor = current?.for ?? null
      return current && { ...current, for: null, deregisteredAt: current.deregisteredAt ?? clock.now() }
    })
    await stopLater(runner.name, LISTENER_GRACE_SECONDS)
    // Somebody may have been given it meanwhile.
    if (meantFor !== null) await recover(meantFor, runner.name, 'retry')
  }

  async function stopLater(runner: string, seconds: number): Promise<void> {
    await queue.send('events', [
      { body: { kind: 'stop-if-idle', runner } satisfies EventsMessage, delaySeconds: seconds },
    ])
  }

  async function onStopIfIdle(name: string): Promise<void> {
    const runner = await ledger.runners.get(name)
    if (!runner?.registration && (await isBeingArmed(name))) return stopLater(name, ARMING_SECONDS)
    if (!runner || runner.stoppedAt !== null || runner.job !== null) return
    if (runner.registration && runner.deregisteredAt === null) return release(name)
    if (runner.providerId === null) return
    // One that was never armed has no ticket, and so can have no job; its registration may exist all the same.
    if (!runner.registration && (await deregister(ports, runner)) === 'busy') return
    await stopRunner(ports, name, runner.providerId, 'no job needs this runner')
  }

  /** Whoever starts it may yet register it: then it must not stay. */
  async function isBeingArmed(name: string): Promise<boolean> {
    const claim = (await ledger.jobs.get(jobKeyOf(name)))?.claim
    return claim?.runner === name && claim.leaseUntil > clock.now()
  }

  /**
   * From now on `runner` is meant for `job`. The runner is written first, because two jobs may look for one at once.
   * @returns false when either has found another use meanwhile
   */
  async function pair(job: Job, runner: Runner): Promise<boolean> {
    let free = false
    await update(ledger.runners, runner.name, current => {
      free = current !== undefined && isAvailable(current) && current.for === runner.for
      return current && free ? { ...current, for: job.key } : current
    })
    if (!free) return false
    const paired = await update(ledger.jobs, job.key, current =>
      current && needsRunner(current) && current.runner === job.runner
        ? { ...current, runner: runner.name, deferred: null }
        : current,
    )
    if (paired?.runner !== runner.name) return false
    // It may have gone, or taken a job, before the job knew of it.
    const meant = await ledger.runners.get(runner.name)
    if (!meant || !isAvailable(meant)) await recover(job.key, runner.name, 'replacement')
    return true
  }

  async function onRunner(event: RunnerEvent, free: Free): Promise<void> {
    if (runnerOf(event.runner, config.marker) === null) {
      metrics.count('MessagesIgnored')
      return
    }
    const before = await ledger.runners.get(event.runner)
    if (before && isOfAnother(before, event)) return onSecond(before, event)
    const launch = before?.launch ?? (await launchOfClaim(event, before))
    const measured = await measuredBy(event, before)
    const take = (current: Runner | undefined) => {
      const known = current ?? newRunner(event.runner)
      const explained = known.launch || !launch ? known : { ...known, launch }
      return withUsage(withCleaning(applyRunnerEvent(explained, event), clock.now()), measured)
    }
    // The job pays first: should anything fail after it, the runner still counts as running and is asked about.
    const paid = take(before)
    if (paid.stoppedAt !== null && paid.job) await charge(paid)
    await spendMore(before, paid)
    const runner = (await updateFrom(before, ledger.runners, event.runner, take))!
    if (runner.job && runner.stop && isReclaim(runner.stop))
      await noteLoss(ports, config, runner.job.key, runner)
    if (runner.stoppedAt === null) return armHeld(runner)
    if (runner.launch === null) {
      metrics.count('RunnersUnknown')
      const { providerId } = event
      log.warn('a task or build named like a runner, that nobody started', {
        code: 'runner-unknown',
        runner: runner.name,
        providerId,
      })
    }
    free(runner, billOf(runner, runner.stoppedAt))
    if (before?.stoppedAt == null) metrics.count('RunnersStopped')
    if (!runner.job) await cleanUp(runner)
    else if (!isSameBill(runner, paid)) await pay(runner)
    for (const key of new Set([runner.for, jobKeyOf(runner.name)])) {
      if (key !== null) await recover(key, runner.name, 'retry')
    }
  }

  /** One that was not registered before it came up has done so. */
  async function armHeld({ heldUntil, startedAt, registration, launch }: Runner): Promise<void> {
    if (heldUntil == null || startedAt === null || registration !== null || !launch) return
    const resume: LaunchMessage = { kind: 'resume', jobKey: launch.jobKey }
    await queue.send('launch', [{ body: resume }])
  }

  /** Its launch was interrupted before it was written down, or will be in a moment; the claim says what was started. */
  async function launchOfClaim(event: RunnerEvent, known: Runner | undefined): Promise<RunnerLaunch | null> {
    const job = await ledger.jobs.get(jobKeyOf(event.runner))
    const claimed = claimOf(job, event.runner)
    if (!claimed) return null
    const { pullStartedAt, startedAt, stoppedAt } = applyRunnerEvent(known, event)
    return launchOf(job!, claimed, config.region, pullStartedAt ?? startedAt ?? stoppedAt ?? clock.now())
  }

  /** What a runner that ran says of itself at its end. Nothing depends on it, so that it is not known is no failure. */
  async function measuredBy(event: RunnerEvent, before: Runner | undefined): Promise<Usage | null> {
    const ran = event.startedAt !== null || before?.startedAt != null || before?.job != null
    if (event.stoppedAt === null || !ran || before?.usage) return null
    try {
      return await runnerLog.usage(event.providerId)
    } catch (error) {
      log.warn('usage not read', { runner: event.runner, reason: (error as Error).message })
      return null
    }
  }

  /** A runner that has stopped gave its place back with what it did cost; what is learnt later comes on top. */
  async function spendMore(before: Runner | undefined, now: Runner): Promise<void> {
    if (!before?.cost || !now.cost || now.stoppedAt === null) return
    const bill = { at: now.stoppedAt, microUsd: now.cost.totalMicroUsd - before.cost.totalMicroUsd }
    if (bill.microUsd > 0) await changeGate(ledger, gate => ({ gate: spend(gate, bill) }))
  }

  /**
   * A second task or build of a runner. It can take no ticket, so nothing of it is the runner's but its cost, which is on the
   * caps by itself and in that of the runner. It is booked before it is written down: rather twice than never.
   */
  async function onSecond(runner: Runner, event: RunnerEvent): Promise<void> {
    const { providerId, stoppedAt } = event
    if (stoppedAt === null) {
      // Which of the two is the runner only our own write says.
      if (runner.ticketKey !== null) await compute.stop(providerId, 'its runner was started twice')
      return
    }
    if (runner.launch === null || runner.wasted?.[providerId] !== undefined) return
    const { name, launch } = runner
    const microUsd = applyRunnerEvent({ ...newRunner(name), launch }, event).cost!.totalMicroUsd
    metrics.count('RunnersUnknown')
    log.warn('a runner was started twice', { code: 'runner-unknown', runner: name, providerId, microUsd })
    await changeGate(ledger, gate => ({ gate: spend(gate, { at: stoppedAt, microUsd }) }))
    await update(
      ledger.runners,
      name,
      current => current && priced({ ...current, wasted: { ...current.wasted, [providerId]: microUsd } }),
    )
  }

  /** What a runner that ran nothing leaves behind. Whatever fails here, or comes too early, the sweep asks for again. */
  async function cleanUp(runner: Runner): Promise<void> {
    if (runner.cleanedAt !== null) return
    const { name, registration, deregisteredAt, stoppedAt } = runner
    if (runner.ticketKey) await tickets.remove(runner.ticketKey)
    // Once it was written down nobody asks for another one; only its ticket may still be on its way.
    const isOff = registration !== null && deregisteredAt !== null && deregisteredAt >= stoppedAt!
    if (!isOff && (await deregister(ports, runner)) === 'busy') return
    if (runner.job) await pay(runner)
    const isArming = await isBeingArmed(name)
    if (isArming && (isOff || registration === null)) return
    const now = clock.now()
    await update(
      ledger.runners,
      name,
      current =>
        current && {
          ...current,
          ...(isArming ? { deregisteredAt: now } : { cleanedAt: current.cleanedAt ?? now }),
        },
    )
  }

  async function onCleanUp(name: string): Promise<void> {
    const runner = await ledger.runners.get(name)
    if (runner && runner.stoppedAt !== null) await cleanUp(runner)
  }

  async function launchAgain(jobKey: string, after: string, cause: 'retry' | 'replacement'): Promise<void> {
    await queue.send('launch', [{ body: { kind: 'relaunch', jobKey, after, cause } satisfies LaunchMessage }])
  }

  /** @param own a job whose own runners are among them, listed or not */
  async function neighbours(repositoryId: number, own?: Job) {
    const [open, jobs] = await Promise.all([
      ledger.runners.open({ repositoryId }),
      ledger.jobs.open({ repositoryId, limit: NEIGHBOURS }),
    ])
    const all = own ? [...open, ...(await unlisted(own, open))] : open
    const runners = all.filter(runner => runnerState(runner) !== 'stopped')
    return { runners, jobs: [...jobs, ...(await holders(runners, jobs))] }
  }

  /** Runners that were started for the job. Lists lag behind: it must not get another while it has one. */
  async function unlisted(job: Job, listed: readonly Runner[]): Promise<Runner[]> {
    const known = new Set(listed.map(({ name }) => name))
    const names = [...(job.earlier ?? []), ...(job.claim ? [job.claim] : [])].map(({ runner }) => runner)
    const found = await Promise.all(
      [...new Set(names)].filter(name => !known.has(name)).map(name => ledger.runners.get(name)),
    )
    return found.filter(runner => runner !== undefined)
  }

  /** Jobs that are not listed, for lag or for length, and have a runner: it must not be taken for free. */
  async function holders(runners: readonly Runner[], listed: readonly Job[]): Promise<Job[]> {
    const known = new Set(listed.map(({ key }) => key))
    const keys = runners.flatMap(runner =>
      isAvailable(runner) && runner.for !== null && !known.has(runner.for) ? [runner.for] : [],
    )
    const further = await Promise.all([...new Set(keys)].map(key => ledger.jobs.get(key)))
    return further.filter(job => job !== undefined && needsRunner(job)) as Job[]
  }

  /** Gives the places of stopped runners back, and wakes who waits for one. */
  async function giveBack(freed: readonly Freed[]): Promise<string[]> {
    const names = freed.map(({ runner }) => runner.name)
    const bills = new Map(freed.map(({ runner, bill }) => [runner.name, bill]))
    const reports = freed.flatMap(({ runner }) => capacityReport(runner))
    const failed = await eachRecord([freed[0]!.record], log, async () => {
      const { gate } = await changeGate(ledger, current => ({
        gate: { ...leave(current, names, bills), breakers: report(current.breakers, reports) },
      }))
      if (!isAnyoneWaiting(gate)) return
      await refillGate(ports, config, gate)
      await queue.send('launch', [{ body: { kind: 'wake' } satisfies LaunchMessage }])
    })
    return failed.length > 0 ? freed.map(item => item.record.id) : []
  }
}

/** True when the job of either pays the same. */
function isSameBill(a: Runner, b: Runner): boolean {
  return JSON.stringify([a.job, a.cost]) === JSON.stringify([b.job, b.cost])
}

/** What a runner that stopped says about its kind of capacity. */
function capacityReport(runner: Runner): CapacityReport[] {
  const { launch, name, startedAt, stop, stoppedAt } = runner
  if (!launch) return []
  const news = { kind: kindKey(launch.shape), runner: name, id: name }
  if (lostForCapacity(runner))
    return [{ ...news, result: 'failed', at: stoppedAt!, words: lossWords(runner) }]
  return startedAt === null || (stop && isReclaim(stop)) ? [] : [{ ...news, result: 'ran', at: startedAt }]
}

function read(body: unknown): EventsMessage | RunnerEvent | null {
  return isOwn(body) ? body : readAwsEvent(body)
}

function isOwn(body: unknown): body is EventsMessage {
  return typeof body === 'object' && body !== null && 'kind' in body
}

/** Records about the same job or runner share a key. */
function recordKey(record: QueueRecord): string {
  const message = read(record.body)
  if (message === null) return record.id
  switch (message.kind) {
    case 'runner':
    case 'clean-up':
    case 'stop-if-idle':
      return message.runner
    case 'rerun':
      return message.rerun
    case 'chat':
      return message.audit
    case 'queued':
    case 'waiting':
    case 'in_progress':
    case 'completed':
      // Half a message is its own record's failure, not the batch's.
      return (message.request as Partial<JobRequest> | undefined)?.key ?? record.id
  }
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item])
  return groups
}
