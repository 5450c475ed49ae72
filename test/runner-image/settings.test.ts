import { describe, expect, it } from 'vitest'
import { readSettings, SettingsError } from '../../runner-image/supervisor/settings.ts'

const POLICY = { repositories: [1296269], forks: false, role: null }
const ROLE = { name: 'deploy', repositories: [1], refs: [], events: [], protected: true }
const ENVIRONMENT = {
  TORNADE_CREDENTIALS_FD: '3',
  TORNADE_RUNNER: 'tornade-1-1-1',
  TORNADE_COMPUTE: 'fargate',
  TORNADE_TICKETS_TABLE: 'tickets',
  TORNADE_POLICY: JSON.stringify(POLICY),
  AWS_REGION: 'eu-west-1',
}

describe('settings', () => {
  it('have the defaults of the design', () => {
    expect(readSettings(ENVIRONMENT)).toMatchObject({
      runner: 'tornade-1-1-1',
      region: 'eu-west-1',
      table: 'tickets',
      policy: POLICY,
      compute: 'fargate',
      docker: false,
      times: { ticket: 180_000, idle: 300_000, life: 6 * 3_600_000, verdict: 30_000 },
      user: { uid: 1001, gid: 1001 },
    })
  })

  it('take what the launcher says', () => {
    const settings = readSettings({
      ...ENVIRONMENT,
      TORNADE_COMPUTE: 'codebuild',
      TORNADE_DOCKER: 'true',
      TORNADE_TIMEOUT_MINUTES: '90',
      TORNADE_IDLE_SECONDS: '60',
      TORNADE_POLICY: JSON.stringify({ ...POLICY, role: ROLE }),
    })
    expect(settings).toMatchObject({
      docker: true,
      times: { life: 5_400_000, idle: 60_000 },
      policy: { role: ROLE },
    })
    expect(readSettings({ ...ENVIRONMENT, TORNADE_DOCKER: 'true' }).docker).toBe(false)
  })

  it.each<[string, string | undefined, string]>([
    ['TORNADE_CREDENTIALS_FD', undefined, 'started by the entrypoint'],
    ['TORNADE_POLICY', undefined, 'TORNADE_POLICY is missing.'],
    ['TORNADE_POLICY', '{', 'TORNADE_POLICY is not JSON.'],
    ['TORNADE_POLICY', 'null', 'the shape of a policy'],
    ['TORNADE_POLICY', JSON.stringify({ ...POLICY, repositories: ['1'] }), 'the shape of a policy'],
    ['TORNADE_POLICY', JSON.stringify({ ...POLICY, weekdays: [1] }), 'the shape of a policy'],
    ['TORNADE_POLICY', JSON.stringify({ ...POLICY, role: 'deploy' }), 'the shape of a policy'],
    ['TORNADE_POLICY', JSON.stringify({ ...POLICY, role: { ...ROLE, refs: [''] } }), 'the shape of a policy'],
    [
      'TORNADE_POLICY',
      JSON.stringify({ ...POLICY, role: { ...ROLE, protected: 1 } }),
      'the shape of a policy',
    ],
    ['TORNADE_COMPUTE', 'lambda', 'neither fargate nor codebuild'],
    ['TORNADE_TICKETS_TABLE', '', 'TORNADE_TICKETS_TABLE is missing.'],
    ['AWS_REGION', '', 'AWS_REGION is missing.'],
    ['TORNADE_TIMEOUT_MINUTES', '6h', 'TORNADE_TIMEOUT_MINUTES is not a number from 0 to 30000.'],
    ['TORNADE_IDLE_SECONDS', '-1', 'TORNADE_IDLE_SECONDS is not a number'],
    ['TORNADE_USER_ID', '0', 'TORNADE_USER_ID is not a number from 1'],
  ])('are refused with %s=%s', (name, value, reason) => {
    const read = () => readSettings({ ...ENVIRONMENT, [name]: value })
    expect(read).toThrow(SettingsError)
    expect(read).toThrow(reason)
  })

  it('report all faults at once', () => {
    expect(() => readSettings({ TORNADE_CREDENTIALS_FD: '3' })).toThrow(
      /TORNADE_COMPUTE is missing.*TORNADE_RUNNER is missing.*AWS_REGION is missing.*TORNADE_TICKETS_TABLE is missing.*TORNADE_POLICY is missing/,
    )
  })
})
