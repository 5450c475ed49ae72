import { describe, expect, it } from 'vitest'
import { billOf, idleBillOf } from '../../bench/bill.ts'
import { type Deployed, platformLogsOf } from '../../bench/cloud.ts'
import type { Usage, Way } from '../../bench/way.ts'

const USAGE: Usage = {
  invocations: 2,
  messages: 2,
  calls: new Map(),
  cpuMilliseconds: 0,
  logLines: 1,
  logBytes: 100,
}
const WAY: Way = {
  jobs: 1,
  batch: 1,
  gateBytes: 0,
  steps: { webhook: USAGE, launch: USAGE, lifecycle: USAGE, runner: { ...USAGE, invocations: 0 } },
}
const DEPLOYED: Deployed = {
  memoryMb: {
    webhook: 512,
    launch: 512,
    lifecycle: 512,
    sweep: 512,
    dashboard: 512,
    notify: 256,
    slack: 512,
  },
  platformLogs: {
    webhook: 'all',
    launch: 'all',
    lifecycle: 'all',
    sweep: 'all',
    dashboard: 'all',
    notify: 'all',
    slack: 'all',
  },
  alarms: 0,
  polledQueues: 0,
  ticketsHaveKey: false,
}

describe('the log on the bill', () => {
  const bytesOf = (deployed: Deployed) =>
    Math.round(billOf(WAY, deployed).lines.find(({ name }) => name === 'CloudWatch Logs')!.quantity * 1e3)

  it('has what the functions wrote, what CloudWatch adds to a line, and what Lambda writes of each invocation', () => {
    expect(bytesOf(DEPLOYED)).toBe(3 * (100 + 26 + 2 * (290 + 3 * 26)))
  })

  it('has nothing that Lambda does not write', () => {
    const { platformLogs } = DEPLOYED
    const deployed: Deployed = {
      ...DEPLOYED,
      platformLogs: { ...platformLogs, webhook: 'failures', lifecycle: 'failures' },
    }
    expect(bytesOf(deployed)).toBe(3 * (100 + 26) + 2 * (290 + 3 * 26))
    expect(idleBillOf(USAGE, deployed)).toEqual(idleBillOf(USAGE, DEPLOYED))
  })

  it.each([
    [undefined, 'all'],
    [{ LogFormat: 'Text' }, 'all'],
    [{ LogFormat: 'JSON', SystemLogLevel: 'WARN' }, 'failures'],
  ])('goes by the template: %j', (config, expected) => {
    expect(platformLogsOf(config)).toBe(expected)
  })

  it.each([{ LogFormat: 'JSON' }, { LogFormat: 'JSON', SystemLogLevel: 'INFO' }])(
    'is not made up where nobody knows: %j',
    config => expect(() => platformLogsOf(config)).toThrow('what does Lambda write'),
  )
})
