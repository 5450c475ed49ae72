import { execFileSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import type { Result } from '../../../runner-image/tools/deploy/report.ts'
import { FakeArgo, type Play } from '../../support/argocd.ts'
import { Deploying, IMAGE, NEW, OLD, OTHER, REPOSITORY, VALUES } from '../../support/deploying.ts'

let world: Deploying
const start = async (play: Partial<Play> = {}, names = ['shop']) => {
  world = await Deploying.start()
  for (const name of names) world.application(name, play)
  return world
}
/** Nothing that was sent or answered may be unknown to Argo CD, in any of these tests. */
afterEach(async () => {
  await world.close()
  expect(world.argo.problems).toEqual([])
})
if (!process.env.ARGOCD_SWAGGER)
  process.stdout.write(
    'argocd.test.ts: ARGOCD_SWAGGER is not set, so nothing is checked against Argo CD’s API description\n',
  )

const deployed = () => world.remote.file('shop/values.yaml')
const run = async (argv: readonly string[], env = {}) => {
  const ran = await world.run([...argv, '--json'], env)
  return { ...ran, result: JSON.parse(ran.stdout) as Result }
}

describe('a deployment by Argo CD', () => {
  it('ends when the application is Synced and Healthy at our commit and runs the digest', async () => {
    const health = [...Array(5).fill({ status: 'Progressing' }), { status: 'Healthy' }]
    const { remote, argo } = await start({ health })
    const { code, result, stderr } = await run(world.argv(['shop']))
    expect([code, result.outcome]).toEqual([0, 'healthy'])
    expect(result.commit).toBe(remote.head())
    expect(result.applications[0]).toMatchObject({
      name: 'shop',
      outcome: 'healthy',
      sync: 'Synced',
      health: 'Healthy',
      revision: remote.head(),
      message: `Synced and Healthy at ${remote.head().slice(0, 10)}`,
      page: `${argo.url}/applications/shop`,
    })
    expect(result.environmentUrl).toBe('https://shop.example.com')
    expect(stderr).toMatch(
      /shop {2}OutOfSync, Healthy, syncing[\s\S]*shop {2}Synced, Progressing[\s\S]*Synced, Healthy/,
    )
    expect(argo.calls.find(call => call.url.includes('refresh'))!.url).toBe(
      '/api/v1/applications/shop?refresh=normal',
    )
    expect(argo.count('POST', '')).toBe(0)
  })

  it('waits although nothing is to be changed', async () => {
    await start()
    await run(world.argv(['shop']))
    const { code, result } = await run(world.argv(['shop']))
    expect([code, result.changed, result.outcome]).toEqual([0, false, 'healthy'])
  })

  it('waits for many applications at once, each with its own lines and its namespace', async () => {
    await start({ project: 'team' }, ['shop', 'shop-worker', 'admin'])
    const applications = ['shop', 'shop-worker', 'apps/admin']
    const { code, result, stderr } = await run(world.argv(applications, '--project', 'team'))
    expect(code).toBe(0)
    expect(result.applications.map(({ name }) => name)).toEqual(applications)
    expect(world.argo.count('GET', /admin\?project=team&appNamespace=apps/)).toBeGreaterThan(0)
    for (const name of applications) expect(stderr).toContain(`${name.padEnd(11)}  Synced, Healthy`)
  })

  it('says each state once, in lines that fit a terminal', async () => {
    await start({ health: Array(8).fill({ status: 'Progressing' }).concat({ status: 'Healthy' }) })
    const { stderr } = await world.run(world.argv(['shop']), {}, { columns: 80 })
    const said = stderr.trimEnd().split('\n')
    for (const text of said) expect(text.length).toBeLessThanOrEqual(80)
    expect(said.filter(text => text.includes('Progressing'))).toHaveLength(1)
  })

  it('takes a pod that nobody wants just now for done, and says that the digest is not confirmed', async () => {
    await start({ runs: [] })
    const { code, result } = await run(world.argv(['shop'], '--grace', '20ms'))
    expect([code, result.message]).toEqual([0, expect.stringContaining('digest could not be confirmed')])
  })

  it('does not take the pods that a CronJob has left behind for pods of another image', async () => {
    const { argo } = await start({ runs: [], left: [`${REPOSITORY}@${OLD}`] })
    const argv = world.argv(['shop'], '--grace', '20ms', '--project', 'default')
    const { code, result } = await run(argv)
    expect([code, result.message]).toEqual([0, expect.stringContaining('digest could not be confirmed')])
    expect(argo.count('GET', '/api/v1/applications/shop/resource-tree?project=default')).toBeGreaterThan(0)
  })

  it('fails where pods of another image run, because something else sets it', async () => {
    await start({ runs: [`${REPOSITORY}@${OTHER}`] })
    const { code, result } = await run(world.argv(['shop'], '--grace', '20ms'))
    expect([code, result.message]).toEqual([1, expect.stringContaining('something else sets the image')])
  })
})

describe('health', () => {
  const sick = { status: 'Degraded', message: 'Deployment "shop" exceeded its progress deadline' }

  it('may be Degraded for a while', async () => {
    await start({ health: [sick, { status: 'Progressing' }, { status: 'Healthy' }] })
    expect((await run(world.argv(['shop'], '--grace', '10s'))).code).toBe(0)
  })

  it('that stays Degraded fails, with what is not healthy', async () => {
    await start({ health: [sick] })
    const { code, result, stderr } = await run(world.argv(['shop']))
    expect([code, result.outcome]).toEqual([1, 'failed'])
    expect(result.applications[0]!.resources).toEqual(
      ['ReplicaSet', 'Deployment'].map(kind => ({
        resource: `${kind}/shop`,
        status: 'Degraded',
        message: sick.message,
      })),
    )
    expect(stderr).toContain(`shop: Deployment/shop: Degraded, ${sick.message}`)
  })

  it('that never comes is a time-out: 4', async () => {
    await start({ health: [{ status: 'Progressing' }] })
    const { code, result } = await run(world.argv(['shop'], '--timeout', '300ms'))
    expect([code, result.outcome]).toEqual([4, 'timed-out'])
    expect(result.message).toContain('Synced, Progressing')
  })
})

describe('a sync', () => {
  it('that fails is told with the resources that could not be applied', async () => {
    await start({ syncFails: 'one or more synchronization tasks completed unsuccessfully' })
    const { code, result } = await run(world.argv(['shop']))
    expect([code, result.message]).toEqual([
      1,
      expect.stringContaining('the sync ended as Failed: one or more'),
    ])
    expect(result.applications[0]!.resources).toEqual([
      {
        resource: 'Job/migrate',
        status: 'SyncFailed',
        message: 'the server could not find the requested resource',
      },
    ])
  })

  it('cannot be where no manifests can be made, which is told with the condition', async () => {
    const why = 'failed to load target state: Error: YAML parse error on shop/templates/x.yaml'
    await start({ comparisonFails: why })
    const { code, result } = await run(world.argv(['shop'], '--grace', '20ms'))
    expect([code, result.applications[0]!.conditions]).toEqual([1, [`ComparisonError: ${why}`]])
  })

  it('that nobody starts is a time-out that says how to start it', async () => {
    await start({ automated: false })
    const { code, result } = await run(world.argv(['shop'], '--timeout', '200ms'))
    expect([code, result.message]).toEqual([
      4,
      expect.stringContaining('it does not sync by itself: use --sync'),
    ])
  })

  it('that an application should begin by itself and does not is a time-out that says what may keep it', async () => {
    await start({ automated: true, isKept: true })
    const { code, result } = await run(world.argv(['shop'], '--timeout', '200ms'))
    expect([code, result.message]).toEqual([4, expect.stringMatching(/OutOfSync.*; is there a sync window/)])
  })

  it('is asked for by --sync, at our commit', async () => {
    const { argo, remote } = await start({ automated: false })
    expect((await run(world.argv(['shop'], '--sync', '--project', 'default'))).code).toBe(0)
    const [sync] = argo.calls.filter(({ method }) => method === 'POST')
    expect(sync!.body).toEqual({ name: 'shop', project: 'default', revision: remote.head() })
  })

  it('is asked for without a revision where the application syncs by itself', async () => {
    // It is in no hurry of its own, so that the two do not meet.
    const { argo, remote } = await start({ automated: true })
    const before = remote.head()
    argo.add('shop', { head: () => before, images: () => [`${REPOSITORY}@${OLD}`] })
    const { stderr } = await world.run(world.argv(['shop'], '--sync', '--timeout', '300ms'))
    const bodies = argo.calls.filter(({ method }) => method === 'POST').map(({ body }) => body)
    expect(bodies).toEqual([{ name: 'shop', revision: remote.head() }, { name: 'shop' }])
    expect(stderr).toContain('it syncs by itself, so the sync is asked for without a revision')
  })

  it('is asked for without a revision where the token may sync to no other than that of the application', async () => {
    const { argo, remote } = await start({ automated: false, revisionIsOverride: true })
    const { code, stderr } = await run(world.argv(['shop'], '--sync'))
    const bodies = argo.calls.filter(({ method }) => method === 'POST').map(({ body }) => body)
    expect([code, bodies]).toEqual([0, [{ name: 'shop', revision: remote.head() }, { name: 'shop' }]])
    expect(stderr).toContain('so the sync is asked for without one')
  })

  it('by --sync prunes nothing, which is told where that keeps an application from being Synced', async () => {
    await start({ automated: false, leftover: 'settings-old' })
    const { code, result } = await run(world.argv(['shop'], '--sync', '--timeout', '300ms'))
    expect([code, result.message]).toEqual([
      4,
      expect.stringMatching(/ConfigMap\/settings-old is to be pruned/),
    ])
  })

  it('waits while another operation is in progress', async () => {
    const { argo } = await start({ automated: false, busy: 3 })
    const { code, stderr } = await run(world.argv(['shop'], '--sync'))
    expect([code, argo.count('POST', '')]).toEqual([0, 4])
    expect(stderr).toContain('another operation is in progress')
  })

  it('is given up on where another operation never ends, in time and by name', async () => {
    const { argo } = await start({ automated: false, busy: Number.POSITIVE_INFINITY })
    const { code, result } = await run(world.argv(['shop'], '--sync', '--timeout', '300ms'))
    expect([code, result.outcome, result.message]).toEqual([
      4,
      'timed-out',
      expect.stringContaining('another operation is in progress'),
    ])
    expect(argo.count('POST', '')).toBeGreaterThan(1)
  })

  it('that an application does by itself meanwhile is as good', async () => {
    const { argo } = await start({ automated: true, busy: 1 })
    expect((await run(world.argv(['shop'], '--sync'))).code).toBe(0)
    expect(argo.count('POST', '')).toBeGreaterThan(0)
  })

  it('without anything to push is done when its own operation is, not an earlier one', async () => {
    const { argo } = await start({ automated: false })
    const { code, result } = await run(['--server', argo.url, '--app', 'shop', '--sync', '--timeout', '20s'])
    expect([code, result.outcome, result.commit]).toEqual([0, 'healthy', null])
    expect(argo.count('POST', '')).toBe(1)
  })
})

describe('a commit that is overtaken', () => {
  it('by one that has the image too is as good', async () => {
    const { remote } = await start({
      onSynced: () => {
        if (remote.git(['log', '-1', '--format=%s', 'main']) !== 'more') remote.change({ 'other.txt': 'x' })
      },
      health: Array(30).fill({ status: 'Progressing' }).concat({ status: 'Healthy' }),
    })
    const { argo } = world
    // As its controller does now and then.
    const look = setInterval(() => {
      const token = { headers: { authorization: `Bearer ${FakeArgo.TOKEN}` } }
      void fetch(`${argo.url}/api/v1/applications/shop?refresh=normal`, token).catch(() => {})
    }, 20)
    const { code, result, stderr } = await run(world.argv(['shop']))
    clearInterval(look)
    expect([code, result.message]).toEqual([
      0,
      expect.stringContaining('a newer commit that has this image too'),
    ])
    expect(stderr).toContain('was overtaken by')
    expect(result.commit).not.toBe(remote.head())
  })

  it('by one with another image fails, and is not rolled back', async () => {
    const { remote } = await start()
    const images = (revision: string) => [
      `${REPOSITORY}@${/sha256:\w+/.exec(remote.file('shop/values.yaml', revision))![0]}`,
    ]
    let calls = 0
    const head = () => {
      // Between our push and the refresh somebody else deploys.
      if (calls++ === 1) remote.change({ 'shop/values.yaml': VALUES.replace(OLD, OTHER) })
      return remote.head()
    }
    world.argo.add('shop', { head, images })
    const { code, result } = await run(world.argv(['shop'], '--rollback'))
    expect([code, result.outcome]).toEqual([1, 'superseded'])
    expect(result.message).toContain('sets another image; this one is not deployed any more')
    expect(result.rollback).toMatchObject({ outcome: 'not-done', commit: null })
    expect(deployed()).toContain(OTHER)
  })
})

describe('a stream', () => {
  it('that breaks off is taken up again, and asking goes on meanwhile', async () => {
    const { argo } = await start({
      breaksAfter: 1,
      health: Array(9).fill({ status: 'Progressing' }).concat({ status: 'Healthy' }),
    })
    const { code, stderr } = await run(world.argv(['shop']))
    expect([code, stderr]).toEqual([0, expect.stringContaining('the stream of Argo CD broke off')])
    expect(argo.count('GET', '/api/v1/stream/')).toBeGreaterThan(1)
  })

  it('is not needed', async () => {
    await start({ noStream: true })
    expect((await run(world.argv(['shop']))).code).toBe(0)
  })
})

describe('Argo CD that fails in passing', () => {
  it('is asked again', async () => {
    const { argo } = await start()
    argo.failing.push(...Array(4).fill({ status: 503, message: 'upstream connect error' }))
    const { code, stderr } = await run(world.argv(['shop']))
    expect([code, stderr]).toEqual([0, expect.stringContaining('trying again: upstream connect error')])
  })

  it('for longer than the time there is ends with 4', async () => {
    const { argo } = await start()
    argo.failing.push(...Array(500).fill({ status: 502, message: '<html>Bad Gateway' }))
    const { code, result } = await run(world.argv(['shop'], '--timeout', '150ms'))
    expect([code, result.message]).toEqual([
      4,
      expect.stringContaining('did not answer in time: <html>Bad Gateway'),
    ])
  })
})

describe('before anything is pushed', () => {
  it.each<[string, number, string, () => void, Record<string, string>, string[]]>([
    ['a token that has expired', 3, 'does not accept the token (401)', () => {}, { ARGOCD_TOKEN: 'old' }, []],
    [
      'a token that may not look',
      3,
      'Its role needs "applications, get, default/shop, allow"',
      () => world.argo.forbidden.set('get', 'permission denied'),
      {},
      ['--project', 'default'],
    ],
    [
      'an application that is not there',
      2,
      'has no application none in the project default (404)',
      () => {},
      {},
      ['--app', 'none', '--project', 'default'],
    ],
    [
      'one that is not there, without its project',
      3,
      'answered in the same way unless --project',
      () => {},
      {},
      ['--app', 'none'],
    ],
    ['no token', 2, 'ARGOCD_TOKEN is missing', () => {}, { ARGOCD_TOKEN: '' }, []],
    [
      'a token with a line break',
      2,
      'ARGOCD_TOKEN holds something that no token has',
      () => {},
      { ARGOCD_TOKEN: 'a\nb' },
      [],
    ],
    ['certificates that are none', 2, 'holds no certificate', () => {}, {}, ['--ca', '/etc/hostname']],
  ])('%s ends it with %i', async (_, exit, reason, prepare, env, more) => {
    const { remote } = await start()
    prepare()
    const before = remote.head()
    const { code, result } = await run(world.argv(['shop'], ...more), env)
    expect([code, [result.message, ...result.details].join(' ')]).toEqual([
      exit,
      expect.stringContaining(reason),
    ])
    expect([remote.head(), result.commit]).toEqual([before, null])
  })
})

describe('while it is waited for', () => {
  it.each<[string, number, string, () => void]>([
    [
      'a token that runs out',
      3,
      'does not accept the token (401)',
      () => world.argo.failing.push(...Array(9).fill({ status: 401, message: 'token is expired' })),
    ],
    [
      'a right that is taken away',
      3,
      'Its role needs "applications, get, PROJECT/shop, allow"',
      () => world.argo.forbidden.set('get', 'permission denied'),
    ],
    [
      'an application that is deleted',
      2,
      'has no application shop (404)',
      () => world.argo.failing.push(...Array(9).fill({ status: 404, message: '"shop" not found' })),
    ],
  ])('%s ends it with %i, and what was pushed is told', async (_, exit, reason, strike) => {
    const { remote } = await start({ noStream: true, onSynced: () => strike() })
    const { code, result } = await run(world.argv(['shop']))
    expect([code, result.message]).toEqual([exit, expect.stringContaining(reason)])
    expect(result.commit).toBe(remote.head())
  })
})

describe('a sync that is refused', () => {
  it.each<[string, string]>([
    ['permission denied', 'Its role needs "applications, sync, PROJECT/shop, allow"'],
    ['cannot sync: blocked by sync window', 'A sync window of Argo CD keeps shop from being synced now'],
  ])('by "%s" ends with 3', async (message, reason) => {
    const { argo } = await start({ automated: false })
    argo.forbidden.set('sync', message)
    const { code, result } = await run(world.argv(['shop'], '--sync'))
    expect([code, result.outcome, result.message]).toEqual([3, 'refused', expect.stringContaining(reason)])
  })
})

describe('--rollback', () => {
  const health = (revision: string) =>
    world.remote.file('shop/values.yaml', revision).includes(NEW)
      ? [{ status: 'Degraded', message: 'crash loop' }]
      : [{ status: 'Healthy' }]

  it('puts the image before back by a commit of its own, waits for it, and fails all the same', async () => {
    const { remote } = await start({ health })
    const { code, result, stderr } = await run(world.argv(['shop'], '--rollback'))
    expect([code, result.outcome]).toEqual([1, 'failed'])
    expect(result.rollback).toEqual({
      outcome: 'healthy',
      commit: remote.head(),
      message: expect.stringContaining('put the images before back, Synced and Healthy'),
    })
    expect(deployed()).toBe(VALUES)
    expect(remote.git(['log', '-1', '--format=%s', 'main'])).toBe(`Roll back ${result.commit!.slice(0, 10)}`)
    expect(stderr).toContain('rollback: ')
  })

  it('keeps what others have changed since, and the images of others', async () => {
    const { remote } = await start()
    const onSynced = (revision: string) => {
      if (remote.git(['log', '-1', '--format=%s', revision]).startsWith('Deploy'))
        remote.change({
          'shop/values.yaml': deployed().replace('replicas: 2', 'replicas: 2\nmore: true'),
          'x.txt': 'x',
        })
    }
    world.application('shop', { onSynced, health })
    const { result } = await run(world.argv(['shop'], '--rollback'))
    expect(result.rollback).toMatchObject({ outcome: 'healthy' })
    expect(deployed()).toBe(VALUES.replace('replicas: 2', 'replicas: 2\nmore: true'))
  })

  it('changes nothing where this run had changed nothing', async () => {
    const { remote } = await start()
    remote.change({ 'shop/values.yaml': VALUES.replace(OLD, NEW) })
    world.application('shop', { images: () => [`${REPOSITORY}@${NEW}`], runs: [] })
    const before = remote.head()
    world.argo.forbidden.set('sync', 'permission denied')
    const { code, result } = await run(world.argv(['shop'], '--rollback', '--sync'))
    expect([code, result.rollback?.message]).toEqual([3, 'not done, this run had changed nothing'])
    expect(remote.head()).toBe(before)
  })
})

describe('a deployment that is called off', () => {
  it('ends with 4 and says so', async () => {
    await start({ health: [{ status: 'Progressing' }] })
    const running = run(world.argv(['shop']))
    setTimeout(() => world.cancelled.abort(new Error('cancelled')), 400)
    const { code, result } = await running
    expect([code, result.outcome]).toEqual([4, 'cancelled'])
  })
})

describe('the token', () => {
  it('is in no line, no document and no commit', async () => {
    const { remote } = await start({ health: [{ status: 'Degraded', message: 'x' }] })
    const { stdout, stderr } = await run(world.argv(['shop'], '--rollback'))
    const history = execFileSync('git', ['log', '-p', '--all'], { cwd: remote.bare, encoding: 'utf8' })
    expect(stdout + stderr + history).not.toContain(FakeArgo.TOKEN)
    expect(stdout).toContain(IMAGE)
  })
})
