/**
 * What must hold, whatever fails: the eight promises, each checked by name. Some are watched at every write, because
 * they must never be broken; the others are held against the world in the end.
 *
 * Nothing here asks the code that it checks: who may use a role, what a cap is and whom a runner is for is worked out
 * again from the configuration and from what the doubles of AWS and GitHub saw.
 */
import type { Config } from '../functions/config.ts'
import { perMinute } from '../functions/core/cost.ts'
import { isFinal, jobState } from '../functions/core/lifecycle.ts'
import { jobKeyOf, runnerOf } from '../functions/core/plan.ts'
import { periodOf, wholeOf } from '../functions/core/rollups.ts'
import type { Gate, Job, Runner } from '../functions/core/types.ts'
import type { Fields, Log, Ports } from '../functions/ports.ts'
import { rollUp } from '../functions/rollup.ts'
import { proxy } from './around.ts'
import type { TaskView } from './compute.ts'
import type { JobView } from './github.ts'
import { assignedJob } from './github-jobs.ts'
import type { World } from './world.ts'

export const PROMISES = {
  final: 'Every accepted job ends in one final state, served or explained.',
  'one-runner': 'A job has one live registration at most, and every runner a recorded cause.',
  ends: 'Every runner that started stops within its limits and is priced.',
  'nothing-left': 'No ticket and no registration outlives its runner by more than two sweeps.',
  money: 'Money is conserved to the micro-dollar.',
  secrets: 'No secret is anywhere it must not be.',
  caps: 'No cap is ever exceeded.',
  roles: 'No step ever ran with a role that its run was not allowed.',
} as const
export type PromiseName = keyof typeof PROMISES

export interface Broken {
  readonly promise: PromiseName
  readonly what: string
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Two sweeps, and the time that it takes to do what they ask for. */
const TWO_SWEEPS_MS = 3 * MINUTE
/** What a limit of a runner may be exceeded by: two sweeps, the listener's grace, SIGTERM to SIGKILL, one lost message. */
const LIMIT_MARGIN_MS = 15 * MINUTE
/** What a runner may cost beyond its time: the gate reserves so much more. */
const OVERTIME_MINUTES = 5
/** Clocks of functions that give places are so far apart. */
const SKEW_MS = 10 * SECOND
/**
 * What a job may be outlived by: where the delivery of its end is lost and its runner hangs, GitHub is asked about a job that
 * runs each 10 minutes, and where its lists are two minutes behind two minutes later again; then come the sweep that stops
 * the runner, and SIGTERM to SIGKILL.
 */
const OUTLIVED_MS = 18 * MINUTE
/** GitHub's own limit: 900 points a minute, of which a JIT config costs 5. */
const JIT_CONFIGS_PER_MINUTE = 180

/** How a JIT config begins, what its inner files begin with, and the name of its key file. */
const JIT_TRACES = ['eyIucnVubmVyIjo', 'eyJkIjoi', 'credentials_rsaparams']

export class Promises {
  readonly broken: Broken[] = []
  /** Most runners at once that the gate gave a place. */
  readonly peak = { total: 0, perRepository: new Map<number, number>() }
  readonly #config: Config
  readonly #secrets: RegExp
  readonly #known = new Set<string>()
  readonly #minted: number[] = []
  /** Runner → when the gate gave it a place; a name may have one again. */
  readonly #placed = new Map<string, number[]>()
  #holders: ReadonlySet<string> = new Set()
  /** Repository id → owner/name. */
  readonly #names = new Map<number, string>()
  #world: World | null = null

  constructor(config: Config, secret: string) {
    this.#config = config
    const traces = [secret, Buffer.from(secret).toString('base64').replaceAll('=', ''), ...JIT_TRACES]
    this.#secrets = new RegExp(traces.map(trace => trace.replaceAll(/\W/g, '\\$&')).join('|'))
  }

  /** The world that is watched; it is made later than what it is given. */
  attach(world: World): void {
    this.#world = world
  }

  /** The doubles, with a look at every call that could break a promise. */
  watch(ports: Ports): Ports {
    const { ledger, github, compute, queue } = ports
    return {
      ...ports,
      queue: {
        send: async (name, messages) => {
          for (const { body } of messages) this.#search(body, `a message on the queue ${name}`)
          await queue.send(name, messages)
        },
      },
      ledger: {
        ...ledger,
        jobs: {
          ...ledger.jobs,
          put: async job => {
            this.#search(job, `the ledger's job ${job.key}`)
            const answer = await ledger.jobs.put(job)
            this.#names.set(job.request.repository.id, job.request.repository.name)
            if (answer.ok) this.#checkTries(job)
            return answer
          },
        },
        runners: {
          ...ledger.runners,
          put: async runner => {
            this.#search(runner, `the ledger's runner ${runner.name}`)
            return ledger.runners.put(runner)
          },
        },
        gate: {
          get: () => ledger.gate.get(),
          put: async gate => {
            this.#search(gate, 'the gate')
            const answer = await ledger.gate.put(gate)
            if (answer.ok) this.#checkPlaces(gate)
            return answer
          },
        },
      },
      github: proxy(github, {
        createJitConfig: async (scope, name, labels) => {
          this.#checkPace()
          const answer = await github.createJitConfig(scope, name, labels)
          if (answer.outcome === 'created') await this.#checkRegistrations(name)
          return answer
        },
        reportRefusal: async (scope, check, known) => {
          this.#search(check, 'a check run')
          return github.reportRefusal(scope, check, known)
        },
      }),
      compute: proxy(compute, {
        start: async request => {
          this.#search(request, `the start request of ${request.runner}`)
          const answer = await compute.start(request)
          if (answer.outcome === 'started') this.#checkLive(request.runner)
          return answer
        },
        stop: async (providerId, reason) => {
          this.#search(reason, `the reason to stop ${providerId}`)
          await compute.stop(providerId, reason)
        },
      }),
    }
  }

  /** A log that is read before it is written. */
  log(log: Log): Log {
    const read =
      (level: keyof Log) =>
      (message: string, fields: Fields = {}): void => {
        this.#search([message, fields], 'a log line')
        log[level](message, fields)
      }
    return { debug: read('debug'), info: read('info'), warn: read('warn'), error: read('error') }
  }

  /** An answer of an endpoint. */
  answered(body: string): void {
    this.#search(body, 'an HTTP answer')
  }

  /**
   * Each write of a job: the final state is one. A refusal cancels the run, and the news of that may come first; it
   * may also cross with a cancel of somebody else. Either way the refusal says more.
   */
  onJob(job: Job, before: Job | undefined): void {
    if (!before || !isFinal(before)) return
    const [was, is] = [jobState(before), jobState(job)]
    if (was !== is && !(was === 'cancelled' && is === 'refused'))
      this.#break('final', `job ${job.key} was ${was} and became ${is}`)
  }

  /**
   * Holds what outlives its runner against that. Each sweep or so, while nothing keeps anybody from cleaning up, or once
   * faults have stopped and their last messages have come again.
   */
  look(): void {
    const { clock, compute, github, tickets } = this.#attached
    const since = clock.now() - TWO_SWEEPS_MS
    // While it takes the job of a dead runner for running, GitHub lets nobody remove that one.
    const bound = new Map([...github.jobs()].map(view => [view.runnerName, view.completedAt ?? clock.now()]))
    for (const { name, status } of github.runners()) {
      const tasks = compute.tasksOf(this.#nameOf(name))
      const isGone = tasks.every(({ stoppedAt }) => stoppedAt !== null && stoppedAt < since)
      if (tasks.length > 0 && isGone && (bound.get(name) ?? 0) < since)
        this.#break('nothing-left', `the registration ${name} (${status}) outlives its runner`)
    }
    const waiting = new Set(tickets.held())
    for (const { ticketKey, stoppedAt, request } of compute.tasks()) {
      if (stoppedAt !== null && stoppedAt < since && waiting.has(ticketKey))
        this.#break('nothing-left', `the ticket of ${request.runner} outlives its runner`)
    }
  }

  /** Everything that must be so once nothing is under way, or the bound for that is over. */
  async end(): Promise<readonly Broken[]> {
    const { ledger, compute, github, tickets } = this.#attached
    const all = { limit: Number.POSITIVE_INFINITY }
    const [jobs, runners, gate, reruns] = await Promise.all([
      ledger.jobs.page(all).then(page => page.items.toReversed()),
      ledger.runners.page(all).then(page => page.items.toReversed()),
      ledger.gate.get(),
      ledger.reruns.open(all),
    ])
    for (const { key } of reruns) this.#break('final', `the re-run ${key} is not settled`)
    this.#checkJobs(jobs)
    this.#checkRunners(runners)
    this.#checkMoney(jobs, runners)
    this.#checkBookings(gate, runners)
    await this.#checkRollups(runners)
    this.#checkRoles()
    this.#checkStarts()
    const places = Object.keys(gate.holders)
    if (places.length > 0) this.#break('ends', `places left: ${places.join(', ')}`)
    if (Object.keys(gate.waiting).length > 0)
      this.#break('final', `waiting at the gate: ${JSON.stringify(gate.waiting)}`)
    if (compute.live > 0) this.#break('ends', `${compute.live} tasks live`)
    if (tickets.waiting > 0) this.#break('nothing-left', `${tickets.waiting} tickets left`)
    const registered = [...github.runners()].map(({ name, status }) => `${name} (${status})`)
    if (registered.length > 0) this.#break('nothing-left', `registered at GitHub: ${registered.join(', ')}`)
    return this.broken
  }

  get #attached(): World {
    return this.#world!
  }

  #break(promise: PromiseName, what: string): void {
    const key = `${promise} ${what}`
    if (this.#known.has(key)) return
    this.#known.add(key)
    this.broken.push({ promise, what })
  }

  // final

  #checkJobs(jobs: readonly Job[]): void {
    const known = new Map(jobs.map(job => [job.key, job]))
    const heardOf = new Set(jobs.map(({ request }) => request.repository.id))
    for (const view of this.#attached.github.jobs()) {
      const key = keyOf(view)
      // Not one delivery of its repository ever came: nobody accepted the job, and nobody knows where to look for it.
      if (!heardOf.has(view.job.repository.id)) continue
      if (view.status !== 'completed') this.#break('final', `job ${key} is ${view.status} at GitHub`)
      else this.#checkEnd(known.get(key), view)
    }
    for (const job of jobs) {
      if (!isFinal(job)) this.#break('final', `job ${job.key} is not final: ${jobState(job)}`)
      if (job.deferred) this.#break('final', `job ${job.key} is final and deferred`)
      if (job.refused && !this.#isExplained(job))
        this.#break('final', `job ${job.key} is refused without a word, or with two`)
    }
  }

  #checkEnd(job: Job | undefined, view: JobView): void {
    const key = keyOf(view)
    if (!job) {
      // A job that never had a runner ended without any doing of ours.
      const ours = view.job.labels.some(label => label.toLowerCase().split('/')[0] === this.#config.marker)
      if (ours && view.conclusion !== 'cancelled')
        this.#break('final', `job ${key} ended and nobody knows of it`)
      return
    }
    const told = job.completed?.conclusion
    if (told !== undefined && told !== view.conclusion)
      this.#break('final', `job ${key} ended as ${view.conclusion} and is known as ${told}`)
    if (job.refused && view.conclusion === 'success')
      this.#break('final', `job ${key} succeeded and is known as refused`)
  }

  /** One check run of its run and attempt names it; a name that has to be escaped is anyone's guess. */
  #isExplained({ request }: Job): boolean {
    const { repository, runId, attempt, headSha, name } = request
    const own = this.#attached.github.checks.filter(
      check => check.repository === repository.name && check.externalId === `tornade:${runId}:${attempt}`,
    )
    const [check] = own
    const isNamed = !/^[\w ]+$/.test(name) || check?.summary.includes(name)
    return own.length === 1 && check!.headSha === headSha && isNamed === true
  }

  // one-runner

  /**
   * Runners that wait at GitHub for the same job. A busy one has found its job already, and the JIT config of one whose
   * task has stopped can be used by nobody.
   */
  async #checkRegistrations(name: string): Promise<void> {
    const { compute, github, ledger } = this.#attached
    const key = jobKeyOf(this.#nameOf(name))
    const same = new Set<string>()
    for (const other of github.runners()) {
      const runner = this.#nameOf(other.name)
      if (other.status === 'busy' || jobKeyOf(runner) !== key) continue
      const tasks = compute.tasksOf(runner)
      if (tasks.length > 0 && tasks.every(({ stoppedAt }) => stoppedAt !== null)) continue
      const item = await ledger.runners.get(runner)
      // Another job has it by now, or ran on it: what GitHub keeps under a name of it whose JIT config was lost serves nobody.
      const has = item?.job?.key ?? item?.for ?? key
      if (has !== key) continue
      same.add(runner)
    }
    if (same.size > 1) this.#break('one-runner', `job ${key} has the live runners ${[...same].join(', ')}`)
  }

  /** The ledger's name of a runner, from the one that GitHub shows. */
  #nameOf(registered: string): string {
    return runnerOf(registered, this.#config.marker) ?? registered
  }

  // ends, and the recorded cause

  #checkRunners(runners: readonly Runner[]): void {
    const { compute, github, clock } = this.#attached
    const known = new Map(runners.map(runner => [runner.name, runner]))
    const ran = new Map<string, JobView>()
    for (const view of github.jobs()) {
      const runner = view.runnerName === null ? null : runnerOf(view.runnerName, this.#config.marker)
      if (runner !== null) ran.set(runner, view)
    }
    for (const task of compute.tasks()) {
      const { runner } = task.request
      this.#checkLimits(task, ran.get(runner), clock.now())
      const item = known.get(runner)
      if (!item?.launch) this.#break('one-runner', `nobody knows why runner ${runner} was started`)
      if (!item) continue
      if (task.stoppedAt !== null && item.stoppedAt === null)
        this.#break('ends', `runner ${runner} has not stopped`)
      if (task.pullStartedAt !== null && !item.cost) this.#break('ends', `runner ${runner} has no price`)
    }
    for (const { name, launch, stoppedAt, cleanedAt, cost } of runners) {
      if (launch === null) this.#break('one-runner', `nobody knows why runner ${name} was started`)
      if (stoppedAt === null) this.#break('ends', `runner ${name} has not stopped`)
      else if (launch !== null && cost === null) this.#break('ends', `runner ${name} has no price`)
      if (stoppedAt !== null && cleanedAt === null)
        this.#break('nothing-left', `runner ${name} may have left something behind`)
    }
  }

  #checkLimits(
    { request, createdAt, startedAt, stoppedAt }: TaskView,
    ran: JobView | undefined,
    now: number,
  ): void {
    const end = stoppedAt ?? now
    const { runner, timeoutMinutes } = request
    const life = end - (startedAt ?? createdAt)
    if (life > timeoutMinutes * MINUTE + LIMIT_MARGIN_MS)
      this.#break('ends', `runner ${runner} lived ${minutes(life)}, of ${timeoutMinutes} min`)
    const idle = (ran?.startedAt ?? end) - (startedAt ?? end)
    const idleMinutes = request.idleMinutes ?? this.#config.runner.idleMinutes
    if (idle > idleMinutes * MINUTE + LIMIT_MARGIN_MS)
      this.#break('ends', `runner ${runner} was idle for ${minutes(idle)}, of ${idleMinutes} min`)
    const after = ran?.completedAt ? end - ran.completedAt : 0
    if (after > OUTLIVED_MS) this.#break('ends', `runner ${runner} outlived its job by ${minutes(after)}`)
  }

  // money

  /** The parts of every runner sum to its whole, and what jobs pay is what their runners say. */
  #checkMoney(jobs: readonly Job[], runners: readonly Runner[]): void {
    const paid = new Map(jobs.flatMap(({ cost }) => (cost ? [[cost.runner, cost.microUsd]] : [])))
    for (const { name, cost, job: ran } of runners) {
      if (!cost) continue
      if (cost.startupMicroUsd + cost.jobMicroUsd + cost.idleMicroUsd !== cost.totalMicroUsd)
        this.#break('money', `the parts of ${name} do not sum to its whole`)
      const { wastedMicroUsd = 0 } = cost
      if (wastedMicroUsd > cost.totalMicroUsd) this.#break('money', `${name} wasted more than it cost`)
      const amounts = [cost.startupMicroUsd, cost.jobMicroUsd, cost.idleMicroUsd, wastedMicroUsd]
      if (amounts.some(amount => !Number.isSafeInteger(amount) || amount < 0))
        this.#break('money', `the parts of ${name} are no amounts: ${amounts.join(', ')}`)
      if (ran && paid.get(name) !== cost.jobMicroUsd)
        this.#break(
          'money',
          `the job ${ran.key} pays ${paid.get(name)} of the ${cost.jobMicroUsd} of ${name}`,
        )
      if (!ran && (cost.jobMicroUsd !== 0 || paid.has(name)))
        this.#break('money', `${name} ran nothing and is paid for it`)
      paid.delete(name)
    }
    for (const name of paid.keys()) this.#break('money', `${name} is paid for and costs nothing`)
  }

  /**
   * What the gate booked is at least what its runners cost: a start that a crash interrupted, and that may have cost
   * something, is booked by the time since.
   */
  #checkBookings({ spent }: Gate, runners: readonly Runner[]): void {
    const sums = new Map<string, number>()
    for (const { stoppedAt, cost } of runners) {
      const month = stoppedAt === null ? '' : new Date(stoppedAt).toISOString().slice(0, 7)
      sums.set(month, (sums.get(month) ?? 0) + (cost?.totalMicroUsd ?? 0))
    }
    for (const [month, sum] of sums) {
      if (sum > (spent[month] ?? 0))
        this.#break('money', `the gate booked ${spent[month]} in ${month}, and its runners cost ${sum}`)
    }
  }

  /** Once the sweeps of the next days have made their passes, the months are what their runners cost. */
  async #checkRollups(runners: readonly Runner[]): Promise<void> {
    const { ledger, clock } = this.#attached
    let { rollups: memory } = await ledger.sweep.get()
    // As many as have room for the hours of these days.
    for (const hours of [0, 74, 74, 74]) {
      const later = { now: () => clock.now() + hours * HOUR }
      memory = await rollUp(
        { ledger, clock: later },
        { ...memory, lookedAt: 0 },
        () => Number.POSITIVE_INFINITY,
      )
    }
    const priced = runners.filter(({ cost }) => cost !== null)
    const months = new Set(priced.map(({ stoppedAt }) => `month#${periodOf('month', stoppedAt!)}#spend`))
    const spent = [...(await ledger.rollups.get([...months])).values()].reduce(
      (all, rollup) => all + (rollup.family === 'spend' ? wholeOf(rollup.sums) : 0),
      0,
    )
    const cost = priced.reduce((all, runner) => all + runner.cost!.totalMicroUsd, 0)
    if (spent !== cost) this.#break('money', `the months come to ${spent}, and their runners cost ${cost}`)
  }

  // secrets

  #search(value: unknown, where: string): void {
    if (holds(value, this.#secrets)) this.#break('secrets', `a secret in ${where}`)
  }

  // caps

  #checkPlaces({ holders }: Gate): void {
    const { limits, roles } = this.#config
    const now = this.#attached.clock.now()
    for (const runner of Object.keys(holders)) {
      if (!this.#holders.has(runner)) this.#placed.set(runner, [...(this.#placed.get(runner) ?? []), now])
    }
    this.#holders = new Set(Object.keys(holders))
    const counts = new Map<number, number>()
    const withRole = new Map<string, number>()
    for (const { repository, role } of Object.values(holders)) {
      counts.set(repository, (counts.get(repository) ?? 0) + 1)
      if (role !== null) withRole.set(role, (withRole.get(role) ?? 0) + 1)
    }
    const total = Object.keys(holders).length
    this.peak.total = Math.max(this.peak.total, total)
    if (total > limits.runners) this.#break('caps', `${total} places given, of ${limits.runners}`)
    for (const [role, count] of withRole) {
      const most = roles[role]?.runners ?? count
      if (count > most) this.#break('caps', `${count} places with the role ${role}, of ${most}`)
    }
    for (const [repository, count] of counts) {
      this.peak.perRepository.set(repository, Math.max(count, this.peak.perRepository.get(repository) ?? 0))
      const most = this.#runnersOf(repository)
      if (count > most) this.#break('caps', `${count} places of repository ${repository}, of ${most}`)
    }
  }

  /** The cap of one repository: its own exception, by its name, or everybody's. */
  #runnersOf(repositoryId: number): number {
    const { limits, repositories } = this.#config
    const own = Object.entries(repositories).find(([name]) => this.#names.get(repositoryId) === name)
    return own?.[1].runners ?? limits.perRepository
  }

  /** The gate may be wrong about what lives: the tasks themselves are counted as well. */
  #checkLive(runner: string): void {
    const { compute } = this.#attached
    const { limits } = this.#config
    if (compute.live > limits.runners)
      this.#break('caps', `${compute.live} tasks live at once, of ${limits.runners}`)
    const { request } = compute.tasksOf(runner)[0]!
    let ofRepository = 0
    for (const task of compute.liveTasks())
      if (task.request.repositoryId === request.repositoryId) ofRepository++
    const most = this.#runnersOf(request.repositoryId)
    if (ofRepository > most)
      this.#break('caps', `${ofRepository} tasks of repository ${request.repositoryId}, of ${most}`)
    this.#checkSpend()
  }

  /**
   * What tasks that have stopped did cost, and the most that the live ones can: the real prices and times are no lower.
   * A task is of the day and the month of its stop.
   */
  #checkSpend(): void {
    const { spend, region } = this.#config
    if (spend?.onCap !== 'block') return
    const { clock, compute } = this.#attached
    const spent = { day: 0, month: 0 }
    const now = dateOf(clock.now())
    for (const { request, pullStartedAt, stoppedAt } of compute.tasks()) {
      const stopped = dateOf(stoppedAt ?? clock.now())
      const rate = perMinute(request.shape, region).microUsd ?? 0
      const ran = stoppedAt === null || pullStartedAt === null ? 0 : (stoppedAt - pullStartedAt) / MINUTE
      const cost = rate * (stoppedAt === null ? request.timeoutMinutes + OVERTIME_MINUTES : ran)
      if (stopped === now) spent.day += cost
      if (stopped.slice(0, 7) === now.slice(0, 7)) spent.month += cost
    }
    const { dailyMicroUsd, monthlyMicroUsd } = spend
    for (const [per, sum, cap] of [
      ['day', spent.day, dailyMicroUsd],
      ['month', spent.month, monthlyMicroUsd],
    ] as const)
      if (cap !== null && sum > cap)
        this.#break('caps', `runners cost or can cost ${Math.round(sum)} in a ${per}, of ${cap}`)
  }

  /** In no hour are there more places that came to cost something than a repository may start runners. */
  #checkStarts(): void {
    const { limits, repositories } = this.#config
    const starts = new Map<number, number[]>()
    for (const { request, createdAt, pullStartedAt } of this.#attached.compute.tasks()) {
      const at = this.#placed.get(request.runner)?.findLast(time => time <= createdAt)
      if (pullStartedAt === null || at === undefined) continue
      starts.set(request.repositoryId, [...(starts.get(request.repositoryId) ?? []), at])
    }
    for (const [repository, times] of starts) {
      const own = repositories[this.#names.get(repository) ?? '']?.startsPerHour
      const most = own ?? limits.startsPerHour
      if (most === null) continue
      const sorted = times.toSorted((a, b) => a - b)
      const over = sorted.some(
        (at, index) => (sorted[index + most] ?? Number.POSITIVE_INFINITY) - at < HOUR - SKEW_MS,
      )
      if (over) this.#break('caps', `more than ${most} starts of repository ${repository} within an hour`)
    }
  }

  #checkTries({ key, request, claim, replacements, shortages, spec }: Job): void {
    const { limits } = this.#config
    if (!claim || !spec) return
    const starts = claim.generation - replacements - shortages
    if (starts > limits.starts)
      this.#break('caps', `job ${key} was started ${starts} times, of ${limits.starts}`)
    const { cpu, memoryGiB, diskGiB } = spec
    const most = { ...limits, ...this.#config.repositories[request.repository.name] }
    if (cpu > most.cpu || memoryGiB > most.memoryGiB || diskGiB > most.diskGiB)
      this.#break('caps', `job ${key} is larger than jobs may be`)
  }

  #checkPace(): void {
    const now = this.#attached.clock.now()
    this.#minted.push(now)
    while (this.#minted[0]! <= now - MINUTE) this.#minted.shift()
    if (this.#minted.length > JIT_CONFIGS_PER_MINUTE)
      this.#break('caps', `more than ${JIT_CONFIGS_PER_MINUTE} JIT configs asked for in a minute`)
  }

  // roles

  #checkRoles(): void {
    const { github, roleUses } = this.#attached
    for (const { runner, jobKey, role } of roleUses) {
      const view = github.job(jobKey)
      if (!view || !mayUse(this.#config, view, role))
        this.#break('roles', `job ${jobKey} ran with the role ${role} on ${runner}`)
    }
  }
}

/** tornade.yml, read once more: repositories, full refs and events by name; a fork and what is not named never. */
function mayUse({ roles }: Config, { job }: JobView, role: string): boolean {
  const rule = Object.hasOwn(roles, role) ? roles[role]! : null
  const { ref, refProtected, followsRepositoryId } = assignedJob(job)
  const { id, name, defaultBranch } = job.repository
  if (!rule || job.headRepositoryId !== id || followsRepositoryId !== id) return false
  const refs = rule.refs.length > 0 ? rule.refs : [`refs/heads/${defaultBranch}`]
  const events = rule.events.length > 0 ? rule.events : ['push', 'workflow_dispatch', 'schedule']
  const named = rule.repositories.some(known => known.toLowerCase() === name.toLowerCase())
  return (
    named && refs.includes(ref) && events.includes(job.event) && (refProtected || rule.protected === false)
  )
}

/** Whether any text in a JSON value, its names included, has a secret in it. */
function holds(value: unknown, secrets: RegExp): boolean {
  if (typeof value === 'string') return secrets.test(value)
  if (typeof value !== 'object' || value === null) return false
  for (const name in value) {
    if (secrets.test(name) || holds((value as Record<string, unknown>)[name], secrets)) return true
  }
  return value instanceof Error && (secrets.test(value.message) || holds(value.cause, secrets))
}

function keyOf({ job }: JobView): string {
  return `${job.jobId}-${job.attempt}`
}

/** UTC, to the day. */
function dateOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

function minutes(milliseconds: number): string {
  return `${Math.round(milliseconds / MINUTE)} min`
}
