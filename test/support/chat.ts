/** Commands as Slack sends them. */
import { createHmac } from 'node:crypto'
import type { Config } from '../../functions/config.ts'
import type { World } from '../../local/world.ts'

export const RESPONSE_URL = 'https://hooks.slack.com/commands/T0ACME/123456/canaryOfTheAnswer'

export const CHAT: NonNullable<NonNullable<Config['slack']>['commands']> = {
  team: 'T0ACME',
  users: ['U0ALICE', 'U0BOB'],
  channels: ['C0DEPLOYS'],
  apps: {
    web: {
      repository: 'acme/app',
      workflow: 'ci.yml',
      branches: ['main', 'release/*'],
      inputs: { environment: 'production' },
    },
  },
}
export const SLACK: NonNullable<Config['slack']> = { digest: null, alerts: [], commands: CHAT }

export interface Typed {
  /** Instead of what Slack would say, or besides; null leaves it out. */
  readonly fields?: Readonly<Record<string, string | null>>
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly secret?: string
  /** When it was signed. */
  readonly at?: number
}
export interface SlackRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

let last = 0

/** @see https://docs.slack.dev/interactivity/implementing-slash-commands */
export function slackRequest(
  text: string,
  { fields = {}, headers = {}, secret = 'a secret of these tests', at = 0 }: Typed = {},
): SlackRequest {
  const all = {
    token: 'deprecated',
    team_id: 'T0ACME',
    team_domain: 'acme',
    channel_id: 'C0DEPLOYS',
    channel_name: 'deploys',
    user_id: 'U0ALICE',
    user_name: 'alice',
    command: '/tornade',
    text,
    api_app_id: 'A0TORNADE',
    is_enterprise_install: 'false',
    response_url: RESPONSE_URL,
    trigger_id: `13345224609.738474920.${++last}`,
    ...fields,
  }
  const kept = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null)
  const body = Buffer.from(new URLSearchParams(kept).toString())
  const time = String(Math.floor(at / 1000))
  const digest = createHmac('sha256', secret).update(`v0:${time}:`).update(body).digest('hex')
  const given = {
    'content-type': 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': time,
    'x-slack-signature': `v0=${digest}`,
    ...headers,
  }
  const set = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { headers: Object.fromEntries(set), body }
}

export interface Said {
  readonly status: number
  readonly type: string | undefined
  readonly text: string
}

export async function send(world: World, { headers, body }: SlackRequest): Promise<Said> {
  const { status, document } = await ask(world, 'POST', '/slack', headers, body)
  return { status, type: document.response_type, text: document.text ?? document.error ?? '' }
}

/** A request in a world whose time goes on meanwhile. */
export async function ask(
  world: World,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: Uint8Array = Buffer.alloc(0),
) {
  let answered = false
  const asked = world.request(method, path, headers, body).finally(() => {
    answered = true
  })
  await world.clock.run(world.clock.now() + 20_000, () => answered)
  const answer = await asked
  return { status: answer.status, document: JSON.parse(Buffer.from(answer.body).toString()) }
}

/** Types a command now. */
export function say(world: World, text: string, typed: Typed = {}): Promise<Said> {
  return send(world, slackRequest(text, { at: world.clock.now(), ...typed }))
}
