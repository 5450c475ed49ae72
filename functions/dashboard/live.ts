/** What waits and what runs at this moment. */
import { html } from 'hono/html'
import { costSoFar, perMinute } from '../core/cost.ts'
import { jobState, readySince, runnerState } from '../core/lifecycle.ts'
import { type LogGroups, logStreamUrl } from '../core/links.ts'
import { clean } from '../core/text.ts'
import type { Job, Runner, RunnerState } from '../core/types.ts'
import { secondsBetween } from '../core/views.ts'
import { count, duration, money } from './format.ts'
import { type Html, page, type Shell } from './layout.ts'
import {
  amount,
  badge,
  jobBadge,
  jobCell,
  labels,
  outward,
  runnerCell,
  section,
  sentence,
  type Tone,
  table,
  tiles,
  time,
  withBasis,
} from './parts.ts'
import type { Live } from './read.ts'
import type { DashboardOptions } from './settings.ts'

const RUNNER_TONES: Readonly<Record<RunnerState, Tone>> = {
  starting: '',
  idle: 'good',
  busy: 'busy',
  stopping: '',
  stopped: '',
}

export function livePage(shell: Shell, live: Live, options: DashboardOptions): Html {
  const { now, health, busy, queue, queueLength, runners } = live
  const { refreshSeconds } = options
  const rate = runners.reduce((sum, { runner }) => sum + (minutePrice(runner) ?? 0), 0)
  const oldest =
    health.oldestQueuedSeconds === null
      ? 'nobody waits'
      : `the longest for ${duration(health.oldestQueuedSeconds)}`
  return page(
    shell,
    { title: 'Live', at: '/live', lead: html`as of ${time(now)}`, refreshSeconds },
    html`${
      refreshSeconds === null
        ? ''
        : html`<div class="refresh" data-keep="refresh"><span role="status"></span> <a class="button" href="/live">Refresh</a></div>`
    }
      ${tiles([
        { name: 'Waiting for a runner', figure: count(health.queued), more: oldest },
        {
          name: 'Held back',
          figure: count(health.deferred),
          tone: health.deferred > 0 ? 'warn' : '',
          more: health.deferred > 0 ? 'by a limit, or for want of capacity' : 'by no limit',
        },
        {
          name: 'Runners',
          figure: count(health.live),
          more: health.live === 0 ? 'nothing runs' : `${count(busy)} at work`,
        },
        {
          name: 'Spending',
          figure: html`${money(Math.round(rate * 60))} <small>an hour</small>`,
          more: shownOf(runners.length, health.live) ?? 'while these run',
        },
      ])}
      ${section('Queue', shownOf(queue.length, queueLength), queueTable(queue, now, options), 'queue')}
      ${section('Runners', shownOf(runners.length, health.live), runnerTable(runners, now, options), 'runners')}`,
  )
}

function queueTable(jobs: readonly Job[], now: number, { gitHub }: DashboardOptions): Html {
  return table('Queue', jobs, 'No job waits for a runner.', [
    { name: 'Job', kind: 'main', cell: job => html`${jobCell(gitHub, job)}${labels(job.request.labels)}` },
    { name: 'State', kind: 'state', cell: jobBadge },
    { name: 'Why', kind: 'why', cell: job => whyOpen(job, now) },
    { name: 'Waiting', kind: 'number', cell: job => duration(secondsBetween(readySince(job), now)) },
  ])
}

function runnerTable(rows: Live['runners'], now: number, { gitHub, logs }: DashboardOptions): Html {
  return table('Runners', rows, 'No runner is alive. One is started when a job is queued.', [
    {
      name: 'Job',
      kind: 'main',
      cell: ({ runner, job }) => {
        if (job === undefined) return html`<span class="soft">no job yet</span>`
        return html`${jobCell(gitHub, job)}${runner.job ? '' : html`<span class="under">meant for this job</span>`}`
      },
    },
    {
      name: 'State',
      kind: 'state',
      cell: ({ runner }) => badge(runnerState(runner), RUNNER_TONES[runnerState(runner)]),
    },
    {
      name: 'Runner',
      kind: 'runner',
      cell: ({ runner }) => html`${runnerCell(runner)}${logLink(runner, logs) ?? ''}`,
    },
    {
      name: 'Job runs for',
      kind: 'number',
      cell: ({ runner: { job } }) =>
        job ? duration(secondsBetween(job.startedAt, job.completedAt ?? now)) : null,
    },
    {
      name: 'Age',
      kind: 'number',
      cell: ({ runner }) => (runner.launch ? duration(secondsBetween(runner.launch.at, now)) : null),
    },
    {
      name: 'Cost so far',
      kind: 'number',
      cell: ({ runner }) => {
        const cost = costSoFar(runner, now)
        if (cost === null || cost.billedMs === 0) return null
        return amount(cost.totalMicroUsd, cost.basis)
      },
    },
    {
      name: 'A minute',
      kind: 'number',
      cell: ({ runner: { launch } }) => {
        if (launch === null) return null
        const { microUsd, basis } = perMinute(launch.shape, launch.region)
        return withBasis(money(microUsd ?? 0), basis, microUsd === null)
      },
    },
  ])
}

function minutePrice({ launch }: Runner): number | null {
  return launch && perMinute(launch.shape, launch.region).microUsd
}

export function logLink(runner: Runner, logs: LogGroups | null): Html | null {
  const url = logs && logStreamUrl(runner, logs)
  if (url === null) return null
  return html`<span class="under">${outward(url, 'Log', `of ${clean(runner.name)}`)}</span>`
}

export function whyOpen(job: Job, now: number): Html | string | null {
  switch (jobState(job)) {
    case 'waiting':
      return 'GitHub holds it back: an environment that asks for approval, or concurrency.'
    case 'queued':
      return 'It has just come in.'
    case 'deferred':
      return html`${sentence(job.deferred!.message)} <small>for ${duration(secondsBetween(job.deferred!.since, now))}</small>`
    case 'launching':
      return 'A runner is being started for it.'
    case 'running':
      return 'No live runner of ours runs it, and GitHub has not said how it ended.'
    default:
      return null
  }
}

function shownOf(shown: number, all: number): string | null {
  return shown < all ? `${count(shown)} of ${count(all)}` : null
}
