import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Deploying, IMAGE, NEW, OLD, OTHER, VALUES } from '../../support/deploying.ts'
import { GitRemote } from '../../support/git-remote.ts'

let world: Deploying
const start = async (files?: Readonly<Record<string, string>>) => {
  world = await Deploying.start(files)
  return world
}
afterEach(() => world.close())

const RUN = {
  GITHUB_SERVER_URL: 'https://github.com',
  GITHUB_REPOSITORY: 'acme/shop',
  GITHUB_RUN_ID: '77',
}
/** The branch moves in the hook of each push until the commits that were made for it are used up. */
const MOVES = (...commits: string[]) => `
for commit in ${commits.join(' ')}; do
  marker=hooks/used-$commit
  [ -e $marker ] || { : >$marker; git update-ref refs/heads/main $commit; exit 0; }
done`

describe('a deployment to a branch', () => {
  it('is one commit that says what and why, and changes the digest alone', async () => {
    const { remote } = await start()
    const before = remote.head()
    const { code, stderr } = await world.run(world.argv(), RUN)
    expect([code, stderr]).toEqual([0, expect.stringContaining('pushed: ')])
    expect(remote.file('shop/values.yaml')).toBe(VALUES.replace(OLD, NEW))
    expect(remote.git(['rev-parse', 'main^'])).toBe(before)
    expect(remote.git(['log', '-1', '--format=%B', 'main'])).toBe(
      `Deploy shop ${NEW.slice(0, 19)}\n\nImage: ${IMAGE}\nDigest: ${NEW}\nRun: https://github.com/acme/shop/actions/runs/77`,
    )
    expect(remote.git(['log', '-1', '--format=%an <%ae>', 'main'])).toContain(
      'github-actions[bot] <41898282+',
    )
  })

  it('is one commit for several files and images, with a first line of one’s own', async () => {
    const { remote } = await start({
      'shop/values.yaml': VALUES,
      'over/prod/kustomization.yaml': 'images:\n- name: shop\n  newTag: v1\n',
      'plain.yaml': `spec:\n  containers:\n  - image: ghcr.io/acme/api:1\n`,
    })
    const before = remote.head()
    const argv = world.argv([], '--kustomize', 'over/prod', '--name', 'shop', '--message', 'Ship\nit ::x::')
    const { code } = await world.run([
      ...argv,
      '--image',
      `ghcr.io/acme/api@${OTHER}`,
      '--manifest',
      './plain.yaml',
    ])
    expect(code).toBe(0)
    expect(remote.git(['log', '--format=%s', `${before}..main`])).toBe('Ship it ::x::')
    expect(remote.file('over/prod/kustomization.yaml')).toContain(`digest: ${NEW}`)
    expect(remote.file('plain.yaml')).toContain(`ghcr.io/acme/api@${OTHER}`)
  })

  it('leaves the work tree, its index and its refs as they are', async () => {
    const { remote } = await start()
    writeFileSync(join(remote.checkout, 'shop/values.yaml'), 'half done\n')
    mkdirSync(join(remote.checkout, '.git/hooks'), { recursive: true })
    writeFileSync(join(remote.checkout, '.git/hooks/pre-push'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    const look = () =>
      [['status', '--porcelain'], ['rev-parse', 'HEAD'], ['for-each-ref', 'refs/tornade'], ['diff']].map(
        args => remote.git(args, remote.checkout),
      )
    const before = look()
    expect((await world.run(world.argv())).code).toBe(0)
    expect(look()).toEqual(before)
    expect(remote.file('shop/values.yaml')).toBe(VALUES.replace(OLD, NEW))
    expect(readdirSync(remote.checkout)).toEqual(['.git', 'shop'])
  })

  it('says that there is nothing to change, and makes no commit', async () => {
    const { remote } = await start({ 'shop/values.yaml': VALUES.replace(OLD, NEW) })
    const before = remote.head()
    const { code, stderr } = await world.run(world.argv())
    expect([code, remote.head()]).toEqual([0, before])
    expect(stderr).toContain('nothing to change: main at')
  })

  it('goes to another branch and by the newest commit there, whatever is checked out', async () => {
    const { remote } = await start()
    remote.git(['branch', 'prod', 'main'])
    const moved = remote.change({ 'README.md': 'new' }, { branch: 'prod' })
    expect((await world.run(world.argv([], '--branch', 'prod'))).code).toBe(0)
    expect(remote.git(['rev-parse', 'prod^'])).toBe(moved)
    expect(remote.file('shop/values.yaml')).toBe(VALUES)
  })
})

describe('a branch that has moved', () => {
  it('is deployed to on top of what came, however often', async () => {
    const { remote } = await start()
    const first = remote.change({ 'a.txt': 'one' }, { move: false })
    remote.git(['update-ref', 'refs/heads/main', first])
    const second = remote.change({ 'b.txt': 'two' }, { move: false })
    remote.git(['update-ref', 'refs/heads/main', `${first}^`])
    remote.hook('update', MOVES(first, second))
    const { code, stderr } = await world.run(world.argv())
    expect([code, stderr]).toEqual([0, expect.stringContaining(`main has moved to ${first.slice(0, 10)}`)])
    expect(remote.git(['rev-parse', 'main^'])).toBe(second)
    expect(remote.git(['ls-tree', '--name-only', 'main'])).toBe('a.txt\nb.txt\nshop')
  })

  it('is given up on after eight pushes', async () => {
    const { remote } = await start()
    remote.hook(
      'update',
      'echo push >>hooks/pushes; git update-ref refs/heads/main $(git -c user.name=x -c user.email=x@example.com commit-tree -p main -m more main^{tree})',
    )
    const { code, stderr } = await world.run(world.argv(), {}, { random: () => 0 })
    expect([code, stderr]).toEqual([1, expect.stringContaining('moved at each of 8 pushes')])
  })

  it('is left alone where somebody has set another image meanwhile', async () => {
    const { remote } = await start()
    const theirs = remote.change({ 'shop/values.yaml': VALUES.replace(OLD, OTHER) }, { move: false })
    remote.hook('update', MOVES(theirs))
    const { code, stderr } = await world.run(world.argv())
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('Another deployment set the same value meanwhile'),
    ])
    expect(stderr).toContain(OTHER)
    expect(remote.head()).toBe(theirs)
  })
})

describe('a remote that refuses', () => {
  it.each<[string, string, string]>([
    [
      'a protected branch',
      'echo "error: GH006: Protected branch update failed for refs/heads/main." >&2; echo "error: Changes must be made through a pull request." >&2',
      'is protected and takes no push from here. Deploy by a pull request',
    ],
    [
      'a rule',
      'echo "error: GH013: Repository rule violations found for refs/heads/main." >&2',
      'is protected and takes no push from here. Deploy by a pull request',
    ],
    ['another hook', 'echo "::error::no ##[group] today" >&2', 'The remote refuses the push'],
  ])('by %s ends with 3, in its own words', async (_, words, reason) => {
    const { remote } = await start()
    remote.hook('pre-receive', `${words}; exit 1`)
    const { code, stderr } = await world.run(world.argv())
    expect([code, stderr]).toEqual([3, expect.stringContaining(reason)])
    expect(stderr).toContain(/echo "(?:::)?(error)/.exec(words)![1]!)
    for (const text of stderr.trimEnd().split('\n')) expect(text).toMatch(/^tornade-deploy: /)
    expect(stderr).not.toContain('##[')
  })
})

describe('what cannot be deployed to', () => {
  it.each<[string, string[], string]>([
    ['a file that is not there', ['--values', 'none.yaml'], 'main has no file none.yaml'],
    ['a folder', ['--values', 'shop'], 'main has no file shop'],
    ['a symbolic link', ['--values', 'link.yaml'], 'link.yaml is a symbolic link'],
    ['a file behind a symbolic link', ['--values', 'out/passwd'], 'out is a symbolic link'],
    ['a file behind a file', ['--values', 'shop/values.yaml/x'], 'main has no file'],
    ['an overlay without a kustomization', ['--kustomize', 'shop'], 'main has no kustomization.yaml in shop'],
    [
      'a branch that is not there',
      ['--values', 'shop/values.yaml', '--branch', 'none'],
      'has no branch none',
    ],
    [
      'a remote that is not there',
      ['--values', 'shop/values.yaml', '--remote', 'none'],
      'no checkout with a remote none',
    ],
  ])('is %s: 2, and nothing is pushed', async (_, more, reason) => {
    const { remote } = await start()
    remote.change({}, { links: { 'link.yaml': 'shop/values.yaml', out: '/etc' } })
    const before = remote.head()
    const { code, stderr } = await world.run(['--checkout', remote.checkout, '--image', IMAGE, ...more])
    expect([code, stderr]).toEqual([2, expect.stringContaining(reason)])
    expect(remote.head()).toBe(before)
  })

  it('is a folder without a checkout', async () => {
    const { remote } = await start()
    const { code } = await world.run(['--checkout', remote.folder, '--image', IMAGE, '--values', 'a'])
    expect(code).toBe(2)
  })
})

describe.skipIf(!GitRemote.hasHttp)('a token for git', () => {
  const TOKEN = 'ghs_secret-of-the-app'

  it('opens the remote in place of what the checkout has, and is nowhere to be seen', async () => {
    const { remote } = await start()
    const url = new URL(await remote.serve(TOKEN))
    // As actions/checkout leaves it.
    remote.git(
      ['config', `http.${url.origin}/.extraheader`, 'AUTHORIZATION: basic b2xkOm9sZA=='],
      remote.checkout,
    )
    const theirs = remote.change({ 'a.txt': 'one' }, { move: false })
    let moves = 0
    remote.onPush = () => {
      if (moves++ === 0) remote.git(['update-ref', 'refs/heads/main', theirs])
    }
    const { code, stdout, stderr } = await world.run(world.argv([], '--json'), {
      TORNADE_GIT_TOKEN: TOKEN,
      GIT_TRACE_CURL: '1',
    })
    expect([code, stderr]).toEqual([0, expect.stringContaining('main has moved to')])
    expect(remote.file('shop/values.yaml')).toBe(VALUES.replace(OLD, NEW))
    expect(new Set(remote.authorizations).size).toBe(1)
    const secret = Buffer.from(`x-access-token:${TOKEN}`).toString('base64')
    expect(stdout + stderr).not.toMatch(new RegExp(`${TOKEN}|${secret}`))
    expect(remote.git(['config', '--list'], remote.checkout)).not.toContain(secret)
  })

  it('that is wrong is refused with 3, and with what it needs', async () => {
    const { remote } = await start()
    await remote.serve(TOKEN)
    const { code, stderr } = await world.run(world.argv(), { TORNADE_GIT_TOKEN: 'ghs_another' })
    expect([code, stderr]).toEqual([3, expect.stringContaining('"contents: write"')])
    expect(stderr).not.toContain('ghs_another')
  })

  it('goes to no remote but one by https', async () => {
    const { remote } = await start()
    for (const url of ['http://git.example.com/x.git', 'ssh://git@example.com/x.git']) {
      remote.git(['remote', 'set-url', 'origin', url], remote.checkout)
      expect((await world.run(world.argv(), { TORNADE_GIT_TOKEN: TOKEN })).code).toBe(2)
    }
  })
})
