import { generateKeyPairSync } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { RepositoryRef } from '../../functions/core/types.ts'
import type { GitHubDeps } from '../../functions/github/github.ts'
import { Memo } from '../../functions/github/memo.ts'
import type { GitHubScope } from '../../functions/ports.ts'
import type { GitHubServerOptions } from '../support/github-server.ts'
import { APP, APP_ID, type Harness, KEY, SCOPE, SITE, SITE_SCOPE, startGitHub } from './harness.ts'

const TOKEN = 'apps/create-installation-access-token'
const LOOKUP = 'apps/get-repo-installation'
const JOB = 'actions/get-job-for-workflow-run'
const MINUTE = 60_000

let harness: Harness
afterEach(async () => {
  await harness.close()
  expect(harness.server.problems).toEqual([])
})

async function start(server: Partial<GitHubServerOptions> = {}, deps: Partial<GitHubDeps> = {}) {
  harness = await startGitHub({}, server, deps)
  return harness
}

/** Any call that needs a token. */
const ask = (scope: GitHubScope = SCOPE) => harness.github.getJob(scope, 1)

describe('an installation token', () => {
  it('is narrowed to its repository and to what is done there', async () => {
    const { server } = await start()
    await ask()
    await ask(SITE_SCOPE)
    const permissions = { administration: 'write', actions: 'write', checks: 'write', metadata: 'read' }
    expect([...server.tokens.values()]).toMatchObject([
      { installationId: 5001, repositoryIds: [APP.id], permissions },
      { installationId: 5001, repositoryIds: [SITE.id], permissions },
    ])
  })

  it('is asked for once by all who need it at the same time', async () => {
    const { server } = await start()
    await Promise.all(Array.from({ length: 50 }, () => ask()))
    expect(server.count(TOKEN)).toBe(1)
    expect(harness.reads).toBe(1)
  })

  it('is used until shortly before its hour ends', async () => {
    const { server, clock } = await start()
    await ask()
    clock.time += 54 * MINUTE
    await ask()
    expect(server.count(TOKEN)).toBe(1)
    clock.time += 2 * MINUTE
    await Promise.all([ask(), ask()])
    expect(server.count(TOKEN)).toBe(2)
    clock.time += 54 * MINUTE
    await ask()
    expect(server.count(TOKEN)).toBe(2)
  })

  it('is whatever GitHub makes it', async () => {
    const { server } = await start()
    await ask()
    const [token] = [...server.tokens.keys()]
    expect(token).toHaveLength(520)
    expect(token!.split('.')).toHaveLength(3)
  })

  it('is asked for again after a failure, which nobody remembers', async () => {
    const { server } = await start()
    server.fail(TOKEN, { status: 500 })
    const answers = await Promise.allSettled([ask(), ask(), ask()])
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(server.count(TOKEN)).toBe(1)
    expect(await ask()).toBeNull()
    expect(server.count(TOKEN)).toBe(2)
  })

  it('heals after the key could not be read once', async () => {
    let reads = 0
    await start(
      {},
      {
        appKey: async () => {
          if (++reads === 1) throw new Error('the parameter store is throttled')
          return { appId: APP_ID, privateKey: KEY.privateKey }
        },
      },
    )
    await expect(ask()).rejects.toThrow('the parameter store is throttled')
    expect(await ask()).toBeNull()
  })

  it('is a new one where GitHub does not know the old one any more', async () => {
    const { server, clock, log } = await start()
    await ask()
    clock.time += MINUTE
    server.tokens.clear()
    expect(await ask()).toBeNull()
    expect(server.count(TOKEN)).toBe(2)
    expect(log).toContainEqual(expect.objectContaining({ level: 'warn' }))
  })

  it.each([
    { status: 401, message: 'Bad credentials' },
    { status: 403, message: 'Resource not accessible by integration' },
  ])('is tried again shortly after it was made: $status', async fault => {
    const { server, waits } = await start()
    server.fail(JOB, fault, 2)
    expect(await ask()).toBeNull()
    expect(waits).toEqual([1000, 2000])
    expect(server.count(TOKEN)).toBe(1)
  })

  it('is given up when GitHub goes on not knowing it', async () => {
    const { server, clock } = await start()
    await ask()
    clock.time += MINUTE
    server.fail(JOB, { status: 401, message: 'Bad credentials' }, 10)
    await expect(ask()).rejects.toMatchObject({ status: 401 })
    expect(server.count(JOB)).toBe(4)
  })
})

describe('the JWT of the App', () => {
  it('is another one each time, also within one second', async () => {
    const repositories: RepositoryRef[] = Array.from({ length: 20 }, (_, index) => ({
      id: index,
      name: `acme/r${index}`,
      private: true,
    }))
    const { server } = await start({ installations: [{ id: 5001, repositories }] })
    await Promise.all(repositories.map(repository => ask({ repository, installationId: 5001 })))
    expect(server.calls.filter(({ status }) => status === 201)).toHaveLength(20)
  })

  it.each<[string, string | number, (pem: string) => string]>([
    ['PKCS#1', APP_ID, pem => pem],
    ['in one line', APP_ID, pem => pem.replaceAll('\n', '\\n')],
    ['a text for an id', String(APP_ID), pem => pem],
  ])('is signed with a key as it is kept: %s', async (_, appId, kept) => {
    await start({}, { appKey: async () => ({ appId, privateKey: kept(KEY.privateKey) }) })
    expect(await ask()).toBeNull()
  })

  it('is signed with a PKCS#8 key too', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    await start({ publicKey }, { appKey: async () => ({ appId: APP_ID, privateKey }) })
    expect(await ask()).toBeNull()
  })
})

describe('the installation', () => {
  const unknown = { ...SCOPE, installationId: null }

  it('is looked up once', async () => {
    const { server, clock } = await start()
    await Promise.all([ask(unknown), ask(unknown)])
    clock.time += 60 * MINUTE
    await ask(unknown)
    expect(server.count(LOOKUP)).toBe(1)
    expect(server.count(TOKEN)).toBe(2)
  })

  it('is looked up again after a failure', async () => {
    const { server } = await start()
    server.fail(LOOKUP, { status: 500 }, 2)
    await expect(ask(unknown)).rejects.toMatchObject({ status: 500 })
    expect(await ask(unknown)).toBeNull()
  })

  it('is looked up where the one of the delivery is gone', async () => {
    const { server, clock } = await start()
    const old = { ...SCOPE, installationId: 4000 }
    expect(await ask(old)).toBeNull()
    expect(server.calls.map(({ operation }) => operation)).toEqual([TOKEN, LOOKUP, TOKEN, JOB])
    await ask(old)
    expect(server.count(LOOKUP)).toBe(1)
    clock.time += 60 * MINUTE
    server.installations = [{ id: 6001, repositories: [APP] }]
    expect(await ask(unknown)).toBeNull()
    expect([...server.tokens.values()].map(({ installationId }) => installationId)).toEqual([5001, 6001])
  })

  it('is not taken for gone when only its token could not be had', async () => {
    const { server } = await start()
    server.fail(TOKEN, { status: 404 })
    await expect(ask()).rejects.toMatchObject({ status: null })
    expect(await ask()).toBeNull()
  })

  it('that is gone has no jobs, runs or runners', async () => {
    const { server, github, clock } = await start()
    await ask()
    server.installations = []
    server.tokens.clear()
    clock.time += 60 * MINUTE
    expect(await ask()).toBeNull()
    expect(await github.removeRunner(SCOPE, 1)).toBe('gone')
    await github.cancelRun(SCOPE, 1)
  })
})

describe('the memo', () => {
  it('keeps no more than it may, and what was used last', async () => {
    await start()
    const memo = new Memo<number>(3)
    const load = async () => 1
    for (const key of ['a', 'b', 'c', 'a', 'd']) await memo.get(key, load)
    expect(memo.size).toBe(3)
    let loads = 0
    for (const key of ['a', 'c', 'd'])
      await memo.get(key, async () => {
        loads++
        return 2
      })
    expect(loads).toBe(0)
    expect(await memo.get('b', async () => 3)).toBe(3)
  })

  it('forgets only the value that is meant', async () => {
    await start()
    const memo = new Memo<number>(3)
    memo.set('a', 1)
    memo.forget('a', 2)
    expect(memo.size).toBe(1)
    memo.forget('a', 1)
    expect(memo.size).toBe(0)
  })
})
