/** The users: they cancel jobs, and queue some that take the runners of others. */
import { type Fault, MINUTE, type PlannedJob, SECOND } from './fault.ts'

export const USER_FAULTS: readonly Fault[] = [
  {
    name: 'jobs-cancelled',
    about: 'Jobs are cancelled before their start, while it is under way, or while they run.',
    share: [0.1, 0.5],
    seams: ({ dice, from, to, share, struck }) => ({
      jobs: jobs =>
        jobs.map(planned => {
          const cancelAt = planned.at + dice.between(0, 2 * MINUTE)
          if (planned.at < from || cancelAt >= to || !dice.chance(share)) return planned
          struck(() => `job ${planned.job.jobId}`)
          return cancelled(planned, cancelAt)
        }),
    }),
  },
  {
    name: 'jobs-stolen',
    about: 'Jobs that ask for less come a moment after those whose runners they can take.',
    share: [0.1, 0.5],
    seams: ({ dice, from, to, share, struck }) => ({
      jobs: jobs =>
        jobs.flatMap(planned => {
          const { at, job } = planned
          if (at < from || at >= to || job.labels.length === 1 || !dice.chance(share)) return [planned]
          struck(() => `job ${job.jobId}`)
          return [planned, copy(planned, at + dice.between(0, 20 * SECOND), [job.labels[0]!])]
        }),
    }),
  },
  {
    name: 'delete-race',
    about: 'A job is cancelled, and one that fits its runner comes within the second of the removal.',
    share: [0.1, 0.4],
    seams: ({ dice, from, to, share, struck }) => ({
      jobs: jobs =>
        jobs.flatMap(planned => {
          const cancelAt = planned.at + dice.between(15 * SECOND, 50 * SECOND)
          if (planned.at < from || cancelAt >= to || !dice.chance(share)) return [planned]
          struck(() => `job ${planned.job.jobId}`)
          const other = copy(planned, cancelAt + dice.between(-2 * SECOND, SECOND), planned.job.labels)
          return [cancelled(planned, cancelAt), other]
        }),
    }),
  },
]

function cancelled(planned: PlannedJob, cancelAt: number): PlannedJob {
  return { ...planned, job: { ...planned.job, script: { ...planned.job.script, cancelAt } } }
}

/** Another job of the same repository, in a run of its own. */
function copy({ job }: PlannedJob, at: number, labels: readonly string[]): PlannedJob {
  const jobId = job.jobId + 10_000 * (1 + (labels === job.labels ? 1 : 0))
  const { gate: _, ...same } = job
  const { cancelAt: __, ...script } = job.script ?? {}
  return {
    at,
    job: { ...same, jobId, runId: job.runId + (jobId - job.jobId), name: `job ${jobId}`, labels, script },
    gateAt: null,
    againAt: null,
  }
}
