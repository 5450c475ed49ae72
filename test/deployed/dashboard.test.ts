/** The dashboard as it is deployed: signing in, what is behind that, and what is in front of those who may not. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Browser } from '../support/browser.ts'
import type { ServerUser } from '../support/github-server.ts'
import { Deployment, ORIGIN } from './stack.ts'

const ADA: ServerUser = { id: 583231, login: 'ada', memberships: [] }
const GRACE: ServerUser = { id: 42, login: 'grace', memberships: [{ id: 9919, login: 'acme' }] }
const STRANGER: ServerUser = { id: 666, login: 'mallory', memberships: [] }

let world: Deployment
let browser: Browser
beforeAll(async () => {
  world = await Deployment.start()
}, 60_000)
afterAll(async () => {
  expect(world.faults()).toEqual([])
  await world.close()
})
beforeEach(() => {
  browser = new Browser(world, world.visit)
  world.web.visitor = ADA
})

const open = (path: string, init?: RequestInit) => browser.open(ORIGIN + path, init)
const get = async (path: string, headers: Record<string, string> = {}) =>
  world.visit(new URL(ORIGIN + path), { headers })
const parameter = (name: string) => `/tornade/dev/${name}`

/** What is not there is known only inside, and read from no ledger. */
const inside = { status: 404 }
const signIn = () => open('/signin/github?next=/nothing')

describe('the deployed dashboard', () => {
  it('lets somebody in through GitHub, shows what the ledger has, and lets them out', async () => {
    const { job } = await world.queue(['tornade'])
    await world.settle()
    expect((await open('/api/jobs')).status).toBe(401)
    expect((await open('/?x=1')).url).toBe(`${ORIGIN}/signin?next=%2F%3Fx%3D1`)
    const visit = await open('/signin/github?next=/api/jobs%3Flimit=1')
    expect([visit.status, visit.url]).toEqual([200, `${ORIGIN}/api/jobs?limit=1`])
    expect(JSON.parse(visit.text)).toMatchObject({ jobs: [{ jobId: job.id }] })
    expect((await open('/api/runners?limit=1')).status).toBe(200)
    expect(browser.refused).toEqual([])

    const out = await open('/signout', { method: 'POST', headers: { origin: ORIGIN } })
    expect(out.url).toBe(`${ORIGIN}/signin`)
    expect((await open('/api/jobs')).status).toBe(401)
  })

  it('lets a member of an organisation in', async () => {
    world.web.visitor = GRACE
    expect(await signIn()).toMatchObject(inside)
  })

  it('tells a stranger what to do, and nothing else', async () => {
    world.web.visitor = STRANGER
    const { status, text } = await open('/signin/github')
    expect(status).toBe(403)
    expect(text).toContain('666')
    expect((await open('/api/jobs')).status).toBe(401)
  })

  it('is read by machines with a token, the next one among them five minutes after it is put there', async () => {
    const token = world.secrets.get('bearer token')!
    const bearer = async (text: string) =>
      (await get('/api/nothing', { authorization: `Bearer ${text}` })).status
    expect([await bearer(token), await bearer(`${token}x`)]).toEqual([404, 401])
    const next = 'n'.repeat(40)
    world.wire.ssm.parameters.set(parameter('dashboard-tokens'), `${next}\n${token}\n`)
    world.advance(300)
    expect([await bearer(next), await bearer(token)]).toEqual([404, 404])
    world.wire.ssm.parameters.set(parameter('dashboard-tokens'), next)
    world.advance(300)
    expect([await bearer(next), await bearer(token)]).toEqual([404, 401])
  })

  it('counts dead letters', async () => {
    await signIn()
    world.queues.launch.deadLetters.push(world.queues.launch.sent[0]!)
    expect(JSON.parse((await open('/api/health')).text)).toMatchObject({ deadLetters: 1 })
    world.queues.launch.deadLetters.length = 0
  })

  it('keeps sessions through a new key, once the old one stands beside it', async () => {
    await signIn()
    const { parameters } = world.wire.ssm
    const old = parameters.get(parameter('session-key'))!
    parameters.set(parameter('session-key-previous'), old)
    parameters.set(parameter('session-key'), 'k'.repeat(64))
    world.advance(300)
    expect((await open('/api/nothing')).status).toBe(404)
    parameters.delete(parameter('session-key-previous'))
    world.advance(300)
    expect((await open('/api/nothing')).status).toBe(401)
  })

  it.each(['client-id', 'client-secret', 'session-key'])(
    'is closed without %s, says so, and opens with the next request once it is there',
    async name => {
      await signIn()
      const { parameters } = world.wire.ssm
      const kept = parameters.get(parameter(name))!
      parameters.delete(parameter(name))
      world.advance(300)
      for (const path of ['/', '/signin', '/signin/github']) {
        const { status, text } = await open(path)
        expect([path, status]).toEqual([path, 503])
        expect(text).toContain(`${parameter(name)} is missing`)
      }
      parameters.set(parameter(name), kept)
      expect(await open('/nothing')).toMatchObject(inside)
    },
  )

  it('is closed where its secrets cannot be read', async () => {
    await world.cool('dashboard')
    world.wire.play('parameters denied', 2)
    expect((await open('/signin')).status).toBe(503)
    expect((await get('/api/health', { authorization: 'Bearer x' })).status).toBe(503)
    expect((await open('/signin')).status).toBe(200)
  })

  it('lives without asking anybody', async () => {
    const before = world.calls.length
    expect(await (await get('/healthz')).json()).toEqual({ ok: true })
    expect((await get('/')).status).toBe(303)
    expect((await get('/api/jobs')).status).toBe(401)
    expect(world.calls.length).toBe(before)
  })
})
