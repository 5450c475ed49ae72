/** docs/security.md names the file that shows each of its claims; the tests that do are in it, by their titles. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const read = (path: string) => readFileSync(join(import.meta.dirname, path), 'utf8')
const text = read('../docs/security.md')

/** Of a test file, and of the suite beside it that it runs. */
function textOf(path: string): string {
  const suite = `${path}.ts`
  return read(`${path}.test.ts`) + (existsSync(join(import.meta.dirname, suite)) ? read(suite) : '')
}

describe('docs/security.md', () => {
  it('names tests that there are', () => {
    const named = [...new Set([...text.matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, path]) => path!))]
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter(path => !existsSync(join(import.meta.dirname, path)))).toEqual([])
  })

  it('names in every row of what somebody wants the file of the test that shows it', () => {
    const claims = text.split('## Who can do what to whom')[1]!.split('## Residual risks')[0]!
    const rows = [...claims.matchAll(/^\| (?!wants to)([^|]+) \|[^|]+\| ([^|]+) \|$/gm)]
    expect(rows.map(([, wants]) => wants)).toEqual(Object.keys(SHOWN_BY))
    for (const [, wants, files] of rows) {
      const tests = [...files!.matchAll(/`([\w/-]+)\.test\.ts`/g)].map(([, path]) => textOf(path!))
      const titles = SHOWN_BY[wants!]!
      const has = (test: string, title: string) => test.includes(`'${title}'`) || test.includes(`"${title}"`)
      expect([wants, titles.filter(title => !tests.some(test => has(test, title)))]).toEqual([wants, []])
      // Each of the files shows something of it.
      expect([wants, tests.every(test => titles.some(title => has(test, title)))]).toEqual([wants, true])
    }
  })
})

/** What somebody wants → titles of the tests that show that they cannot. */
const SHOWN_BY: Readonly<Record<string, readonly string[]>> = {
  'run anything at all': ['a job of a fork'],
  'run on a runner that was started for somebody else': [
    'of a private repository that cannot be forked is not looked for, and the guard stops it all the same',
    'kills the job of %s, with the reason in its log',
  ],
  'have a role, where `forks: allow`': [
    'runs where tornade.yml allows it, without a role',
    'never have a role',
  ],
  'pass for an allowed branch by its name': ["of a fork's branch named like an allowed one"],
  'come in by `pull_request_target`, `workflow_run` or a comment': [
    'of pull_request_target for a branch of its own',
    'that follows another run',
    'of a comment',
    'of a fork that targets',
    'after a run of a fork',
  ],
  'spend money': ['for its %s', 'when every delivery comes once'],
  'have a role from their own branch': [
    'of another branch',
    'of a branch that nobody protects',
    'on another branch',
  ],
  'have it from a tag named like the branch, or by a release': [
    'of a tag named like the branch',
    'of a release',
  ],
  'have it by taking the runner of a run that may': [
    '%s has no step with the role',
    'on a runner of its own without a role, when it asks for none',
  ],
  'take credentials before the verdict, or after a refusal': [
    'releases the credentials to a job that may use the role, and to nothing else',
    'opens the Docker socket only with the verdict',
    'a job %s has none: it has ended before anything opened',
    'kills the job when the builder does not obey',
  ],
  "trick the hook (its socket, environment, a debugger's port, a second worker)": [
    'gives a socket to the hook that the job can neither move nor replace',
    'kills a job that opens a port before the verdict, as the debugger does',
    'kills a job when something else asks for the verdict',
    'does not follow a payload with rights of root',
  ],
  'write something into a check run, page, log, terminal or key': [
    'in Markdown is text and nothing else',
    'shows, keeps and sends %s as text',
    'shows %s of explain as text',
  ],
  "run jobs at the operator's cost": [
    'is not given beyond the limit of the repository, nor beyond that of all',
    'of all runners and of a repository are never exceeded, and are used up',
  ],
  'have a role that is not for their repository': [
    'agree: what the filter refuses gets nothing of the guard, and what the guard releases passes the filter',
    'of another repository',
  ],
  'get a runner of somebody else': ['is asked for as GitHub wants it'],
  'have their own runner taken for one of ours': [
    'is told from another one by its registration and its repository',
  ],
  'starve the others': ['two hundred jobs of one do not starve five of another'],
  'start runners for their own repositories': [
    'a job of an account that is not in owners',
    'cannot without owners, or without a region that there is',
  ],
  'forge, change or repeat deliveries': [
    'signs bytes: any printing of a payload will do, and no byte of it may change',
    'a queued job that was created over 24 hours ago',
    'that comes again at any moment is 202, and there is one runner',
  ],
  'see the dashboard': [
    'is everybody where nobody is named, and no secret is read for them',
    'tells a stranger what to do, and nothing else',
  ],
  "have somebody else's code, session or browser sign in for them": [
    'is taken once',
    'with the code of a sign-in that somebody else began is not taken',
    'is the only one: a second cookie of that name does not stand in for it',
  ],
  'keep deliveries out with a flood of requests': [
    'have routes on which a flood of strangers does not reach the webhook',
  ],
  'break it with odd input': [
    'a payload of 1 MiB is taken, one byte more is 413',
    'anything at all, signed or not: an answer that says what came of it, and never a failure',
    'are reached through an API that slows a flood down',
  ],
  "register a second runner, or take another's ticket": [
    'takes its own ticket',
    'are taken by one of two at a time',
  ],
  'read or change ledger, secrets, other tickets': ['keeps off ledger and secrets, whatever else it may'],
  'change the image of the runners': [
    'and not from %s, even if somebody made it an administrator',
    'builds and tests, pushes, and then pins what it pushed',
    'have a task definition for each image and architecture of tornade.yml, pinned, and else as the draft',
  ],
  'be reached from outside': ['lets nobody in'],
  'change what another runner is said to have used': [
    'is that of this runner and of no other',
    'is cut to what the runner had, and to the time of its job',
  ],
  'live on': [
    'runs one job and ends',
    'cancels a job at the end of its life',
    'is started, runs, ends, is paid for, and leaves nothing behind',
  ],
  'use commands without being allowed to': ['is nobody until tornade.yml says who'],
  'forge a command, or repeat one': [
    'is turned away without a signature, with another one, and where a byte differs',
    'is taken for five minutes around the time of its signature',
    'is done once, however often the same request comes',
  ],
  'deploy something else': [
    'is refused and written down: %s',
    'is decided by tornade.yml once more when it is started',
    'is started on a branch by its full name, which no tag can have',
  ],
  'have an answer sent elsewhere, or a request made inside': [
    'goes to Slack and nowhere else',
    '%s is logged once, tried five times, and kept as a dead letter',
  ],
  'have the bot say something elsewhere': [
    'say nothing in another place than the thread that they are given',
    'is answered in the thread of what was asked for',
    'know of the secrets only their own',
  ],
  'get at the key of the App through that function': [
    'let slack write the audit and send to the events, and nothing else',
    'is all that their roles allow',
  ],
  'say something in the words of tornade': ['answers %s in Slack as text, and writes it down as text'],
}
