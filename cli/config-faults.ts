/** What can be wrong with settings that are each well written: together, or for what GitHub and AWS have. */
import { type Config, labelRules } from '../functions/config.ts'
import { isLabelWord, type LabelRules, readLabels } from '../functions/core/labels.ts'
import { ownOf } from '../functions/core/own.ts'

/**
 * Events of GitHub that start workflows, so that a run can have them. A workflow that another one calls has the event of its
 * caller, so `workflow_call` is none of them.
 * https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
 */
const WORKFLOW_EVENTS: ReadonlySet<string> = new Set(
  `branch_protection_rule check_run check_suite create delete deployment deployment_status discussion discussion_comment
   fork gollum image_version issue_comment issues label merge_group milestone page_build project project_card
   project_column public pull_request pull_request_review pull_request_review_comment pull_request_target push
   registry_package release repository_dispatch schedule status watch workflow_dispatch workflow_run`.split(
    /\s+/,
  ),
)

/** The settings that a check reads, and its faults. */
const CHECKS: readonly (readonly [keys: readonly (keyof Config)[], check: (config: Config) => string[]])[] = [
  [['marker'], markerFaults],
  [['roles'], eventFaults],
  [['github'], groupFaults],
  [['marker', 'limits', 'repositories'], limitFaults],
  [['marker', 'limits', 'repositories', 'sizes', 'roles', 'images', 'runner'], presetFaults],
  [['marker', 'limits', 'repositories', 'sizes', 'roles', 'images', 'runner', 'pools'], poolFaults],
]

/** @param unsound settings that have a fault of their own already: what follows from them is not worth a word */
export function configFaults(config: Config, unsound: ReadonlySet<string>): string[] {
  return CHECKS.filter(([keys]) => !keys.some(key => unsound.has(key))).flatMap(([, check]) => check(config))
}

function markerFaults({ marker }: Config): string[] {
  return isLabelWord(marker) ? [`marker: ${marker} is a label that means something else already`] : []
}

function eventFaults({ roles }: Config): string[] {
  return Object.entries(roles).flatMap(([role, { events }]) =>
    events.flatMap((event, index) =>
      WORKFLOW_EVENTS.has(event)
        ? []
        : [`roles.${role}.events.${index}: no event of GitHub that starts workflows is called ${event}`],
    ),
  )
}

function groupFaults({ github }: Config): string[] {
  if (github.organisationRunners || github.runnerGroup === 1) return []
  return ['github.runnerGroup: repositories have no groups; set github.organisationRunners: true as well']
}

/** Limits under which not even a job may run that asks for nothing. */
function limitFaults(config: Config): string[] {
  const reading = readLabels([config.marker], widestRules(config))
  if (reading.outcome !== 'problems') return []
  return reading.problems.map(
    ({ label, message }) =>
      `limits: a job that only says ${config.marker} gets ${label}, and would be refused. ${message}`,
  )
}

/** A preset that no job could ever use is a fault of the file, not of the job that names it. */
function presetFaults(config: Config): string[] {
  const rules = widestRules(config)
  return Object.keys(config.sizes).flatMap(size => {
    const reading = readLabels([config.marker, `size:${size}`], rules)
    return reading.outcome === 'problems'
      ? reading.problems.map(problem => `sizes.${size}: ${problem.message}`)
      : []
  })
}

/** A pool whose runners no job could have, or that leaves no place for a job. */
function poolFaults(config: Config): string[] {
  const { pools, limits } = config
  const faults = pools.flatMap(({ labels, repository }, index) => {
    const reading = readLabels(labels, labelRules(config, { limits: true, repository }))
    const at = `pools.${index}.runsOn`
    if (reading.outcome === 'ignored') return [`${at}: ${config.marker} is not among these labels`]
    if (reading.outcome === 'problems')
      return reading.problems.map(({ label, message }) => `${at}: ${label}: ${message}`)
    // Whoever takes the runner would have the role before anybody looked at the run.
    return reading.spec.role === null ? [] : [`${at}: runners of a pool have no role`]
  })
  const total = pools.reduce((sum, { size }) => sum + size, 0)
  if (total >= limits.runners)
    faults.push(`pools: ${total} runners would wait, of ${limits.runners} that there may be (limits.runners)`)
  return [...faults, ...fullRepositories(config)]
}

/** Repositories of which no other job would get a runner until one of a pool has waited out its time. */
function fullRepositories({ pools, limits, repositories }: Config): string[] {
  const sizes = new Map<string, number>()
  for (const { repository, size } of pools) {
    const name = repository.toLowerCase()
    sizes.set(name, (sizes.get(name) ?? 0) + size)
  }
  return [...sizes].flatMap(([name, size]) => {
    const own = ownOf(repositories, name)?.runners
    const most = own ?? limits.perRepository
    const setting = own === undefined ? 'limits.perRepository' : `repositories.${name}.runners`
    return size < most
      ? []
      : [`pools: ${size} runners of ${name} would wait, of ${most} that it may have (${setting})`]
  })
}

/** What a single repository may use is fine. */
function widestRules(config: Config): LabelRules {
  const { limits, repositories } = config
  const most = (key: 'cpu' | 'memoryGiB' | 'diskGiB') =>
    Math.max(limits[key], ...Object.values(repositories).map(own => own[key] ?? 0))
  return {
    ...labelRules(config, { limits: false }),
    limits: { cpu: most('cpu'), memoryGiB: most('memoryGiB'), diskGiB: most('diskGiB') },
  }
}
