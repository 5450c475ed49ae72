import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { usd } from '../functions/core/admission/spend.ts'
import { EMPTY_GATE } from '../functions/core/admission.ts'
import { EMPTY_NOTICES, withAlerts } from '../functions/core/notice-memory.ts'
import { alertsDue, digestDue, digestPeriods } from '../functions/core/notices.ts'
import { lastDue, readDailyTime } from '../functions/core/schedule.ts'
import type { Gate } from '../functions/core/types.ts'
import { slackWebhook } from '../functions/slack/webhook.ts'
import { ACME_APP } from '../local/payloads.ts'
import { type SlackServer, slackServer } from './support/slack-server.ts'
import { HOUR, job, MINUTE, START, type Stack, stack, untilQuiet } from './support/world.ts'

const time = (text: string) => {
  const read = readDailyTime(text)
  if (typeof read === 'string') throw new Error(read)
  return read
}

describe('the time of a digest', () => {
  it.each([
    ['09:00', { days: [0, 1, 2, 3, 4, 5, 6], minute: 540, timeZone: 'UTC' }],
    ['Mon-Fri 18:30 Asia/Tokyo', { days: [1, 2, 3, 4, 5], minute: 1110, timeZone: 'Asia/Tokyo' }],
  ])('is read from %s', (text, expected) => {
    expect(readDailyTime(text)).toEqual(expected)
  })

  it.each([
    ['9:00', 'write days, a time and a time zone, for example Mon-Fri 09:00 Asia/Tokyo'],
    ['24:00', 'times go from 00:00 to 23:59'],
    ['09:60', 'times go from 00:00 to 23:59'],
    ['Xyz 09:00', 'Xyz are no days: write Mon-Fri or Sat,Sun'],
    ['09:00 Mars/Base', 'Mars/Base is no time zone: write UTC or a name like Asia/Tokyo'],
  ])('is refused as %s', (text, reason) => {
    expect(readDailyTime(text)).toBe(reason)
  })

  it('is when the clocks of its zone show it, at most a day ago', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 11, 31) }),
        fc.integer({ min: 0, max: 1439 }),
        fc.constantFrom('UTC', 'Asia/Tokyo', 'Asia/Kolkata', 'America/Phoenix'),
        (now, minute, timeZone) => {
          const due = lastDue({ days: [0, 1, 2, 3, 4, 5, 6], minute, timeZone }, now)!
          const shown = new Intl.DateTimeFormat('en-GB', {
            timeZone,
            hour: '2-digit',
            minute: '2-digit',
            hourCycle: 'h23',
          }).format(due)
          const [hours, minutes] = shown.split(':').map(Number)
          expect(hours! * 60 + minutes!).toBe(minute)
          expect(now - due).toBeGreaterThanOrEqual(0)
          expect(now - due).toBeLessThan(24 * HOUR)
        },
      ),
    )
  })

  it('is on its own days only', () => {
    // Monday the 2nd; in Tokyo it is 08:59, so that the last 09:00 was on Sunday.
    const now = Date.parse('2026-11-01T23:59:00Z')
    expect(lastDue(time('Mon-Fri 09:00 Asia/Tokyo'), now)).toBeNull()
    expect(lastDue(time('Mon-Fri 09:00 Asia/Tokyo'), now + MINUTE)).toBe(now + MINUTE)
  })

  it('comes once, also where clocks are put back, and not half a day late', () => {
    const at = Date.parse('2026-11-02T09:07:00Z')
    const due = digestDue(time('09:00'), EMPTY_NOTICES, at)
    expect(due).toBe(Date.parse('2026-11-02T09:00:00Z'))
    const told = { ...EMPTY_NOTICES, digestedAt: due }
    expect(digestDue(time('09:00'), told, at + 15 * MINUTE)).toBeNull()
    expect(digestDue(time('10:00'), told, at + HOUR)).toBeNull()
    expect(digestDue(time('09:00'), told, at + 24 * HOUR)).toBe(due! + 24 * HOUR)
    expect(digestDue(time('09:00'), EMPTY_NOTICES, at + 13 * HOUR)).toBeNull()
  })

  it('is about the whole hours of a day before it', () => {
    expect(digestPeriods(Date.parse('2026-11-02T03:30:00Z'))).toEqual([
      { from: Date.parse('2026-11-01T03:00:00Z'), to: Date.parse('2026-11-02T03:00:00Z') },
      { from: Date.parse('2026-10-31T03:00:00Z'), to: Date.parse('2026-11-01T03:00:00Z') },
    ])
  })
})

describe('a spend cap', () => {
  const spend = { monthlyMicroUsd: 100_000_000, dailyMicroUsd: 10_000_000, onCap: 'block' as const }
  const now = Date.parse('2026-11-02T12:00:00Z')
  const spent = (month: number, day = 0): Gate => ({
    ...EMPTY_GATE,
    spent: { '2026-11': month, '2026-11-02': day },
  })

  it('is told of once for each part of it that is used up, the highest only', () => {
    let memory = EMPTY_NOTICES
    const said: [number, string, number][] = []
    for (const dollars of [10, 49, 50, 60, 99, 120, 130]) {
      const alerts = alertsDue(spent(dollars * 1_000_000), spend, [50, 80, 100], memory, now)
      for (const { period, percent } of alerts) said.push([dollars, period, percent])
      memory = withAlerts(memory, alerts, now)
    }
    expect(said).toEqual([
      [50, '2026-11', 50],
      [99, '2026-11', 80],
      [120, '2026-11', 100],
    ])
  })

  it('says what becomes of new jobs', () => {
    const [blocked] = alertsDue(spent(100_000_000), spend, [100], EMPTY_NOTICES, now)
    expect(blocked!.text).toBe(
      '*100 % of a spend cap.* The cap of $100.00 a month (spend.monthlyUsd): $100.00 are spent. New jobs wait until the period ends or the cap is raised.',
    )
    const warned = alertsDue(spent(100_000_000), { ...spend, onCap: 'warn' }, [100], EMPTY_NOTICES, now)
    expect(warned[0]!.text).toContain('New jobs still start: onCap is warn.')
    const [early] = alertsDue(spent(50_000_000), spend, [50], EMPTY_NOTICES, now)
    expect(early!.text).toContain('Nothing is held back yet.')
  })

  it('of a day and of a month are two, and a new day begins anew', () => {
    const alerts = alertsDue(spent(90_000_000, 9_000_000), spend, [80], EMPTY_NOTICES, now)
    expect(alerts.map(({ period }) => period)).toEqual(['2026-11-02', '2026-11'])
    const memory = withAlerts(EMPTY_NOTICES, alerts, now)
    const tomorrow = withAlerts(memory, [], now + 24 * HOUR)
    expect(tomorrow.alerted).toEqual({ '2026-11': 80 })
  })

  it('is none where there is no cap', () => {
    expect(alertsDue(spent(1e12), null, [1], EMPTY_NOTICES, now)).toEqual([])
  })
})

describe('notices of a running system', () => {
  const SLACK = { digest: time('10:00'), alerts: [50, 100], commands: null }

  async function busy(config: Parameters<typeof stack>[0] = {}): Promise<Stack> {
    const s = await stack(config)
    for (const id of [1, 2, 3]) s.world.github.queue(job(id, { repository: ACME_APP }))
    s.world.github.queue(job(4, { labels: ['tornade', '5cpu'] }))
    await untilQuiet(s)
    return s
  }

  it('are a digest of the last day, once, in which the money is that of the ledger', async () => {
    const s = await busy({ config: { slack: SLACK } })
    await s.world.clock.run(START + 3 * HOUR)
    expect(s.world.told).toHaveLength(1)
    const runners = await s.world.ledger.runners.page({ limit: 100 })
    const microUsd = runners.items.reduce((sum, { cost }) => sum + (cost?.totalMicroUsd ?? 0), 0)
    const [digest] = s.world.told
    expect(digest).toContain('*tornade local: the last 24 hours*')
    expect(digest).toContain(`${usd(microUsd)} for 3 jobs on 3 runners`)
    expect(digest).toContain('1 refused')
    expect(digest).toContain('• acme/app: $')
    expect(digest).toMatch(/Waiting: half under \d+ s, 95 % under \d+ s/)
  })

  it.each([
    ['us-east-1', / · Spot saved \$0\.0\d+/],
    // Of Ireland the prices of Spot are not known, those on demand are.
    ['eu-west-1', /^(?!.*Spot saved)/s],
  ])('say what Spot saved only where that is known (%s)', async (region, words) => {
    const s = await stack({ config: { slack: SLACK, region } })
    s.world.github.queue(job(1, { labels: ['tornade', 'spot'], script: { durationMs: 600_000 } }))
    await untilQuiet(s)
    await s.world.clock.run(START + 3 * HOUR)
    expect(s.world.told[0]).toMatch(words)
  })

  it('say that a spend cap comes near, once', async () => {
    const s = await busy({
      config: {
        slack: { ...SLACK, digest: null },
        spend: { monthlyMicroUsd: 10_000, dailyMicroUsd: null, onCap: 'warn' },
      },
    })
    await s.world.clock.run(START + 3 * HOUR)
    expect(s.world.told).toHaveLength(1)
    expect(s.world.told[0]).toMatch(/^\*(50|100) % of a spend cap\.\*/)
  })

  it('come again when they could not be sent, and nothing is said twice', async () => {
    let failures = 2
    const s = await busy({
      config: { slack: SLACK },
      wrapPorts: ports => ({
        ...ports,
        notices: {
          post: async text => {
            if (failures-- > 0) throw new Error('the channel is down')
            return ports.notices.post(text)
          },
        },
      }),
    })
    await s.world.clock.run(START + 3 * HOUR)
    expect(failures).toBeLessThan(0)
    expect(s.world.told).toHaveLength(1)
  })

  it('are none where nobody asked for them, and none about nothing', async () => {
    const quiet = await busy()
    await quiet.world.clock.run(START + 3 * HOUR)
    expect(quiet.world.told).toEqual([])
    const idle = await stack()
    await idle.world.clock.run(START + 3 * HOUR)
    expect([...idle.world.gauges]).toEqual([])
  })

  it('come with metrics of what is spent', async () => {
    const s = await busy()
    await s.world.clock.run(START + 3 * HOUR)
    const { spent } = await s.world.ledger.gate.get()
    expect(s.world.gauges.get('SpendMonthUsd')).toBe(spent['2026-11']! / 1e6)
    expect(s.world.gauges.get('SpendTodayUsd')).toBe(spent['2026-11-02']! / 1e6)
    expect(s.world.gauges.get('Runners')).toBe(0)
  })
})

describe('the channel of Slack', () => {
  let slack: SlackServer
  beforeEach(async () => {
    slack = await slackServer()
  })
  afterEach(() => slack.close())

  it('takes a message as JSON', async () => {
    expect(await slackWebhook(async () => slack.url).post('*hello* <!channel>')).toBe('sent')
    expect(slack.received).toEqual([{ text: '*hello* <!channel>', unfurl_links: false }])
  })

  it('is off without an address', async () => {
    expect(await slackWebhook(async () => undefined).post('hello')).toBe('off')
  })

  it.each([403, 404, 410, 500])('says what it answered with %d, and never the address', async status => {
    slack.answer = { status, body: 'no_service' }
    const sent = slackWebhook(async () => slack.url).post('hello')
    await expect(sent).rejects.toMatchObject({ code: 'notice-failed' })
    await expect(sent).rejects.toThrow(`Slack answered ${status}: no_service`)
  })

  it('does not follow to another place, and hides the address when it cannot be reached', async () => {
    slack.answer = { status: 302, body: '', location: 'http://127.0.0.1:1/' }
    await expect(slackWebhook(async () => slack.url).post('hello')).rejects.toMatchObject({
      code: 'notice-failed',
    })
    await slack.close()
    const error = await slackWebhook(async () => slack.url)
      .post('hello')
      .catch((thrown: Error) => thrown)
    expect(JSON.stringify([String(error), (error as Error).cause])).not.toContain('T0CANARY')
  })
})
