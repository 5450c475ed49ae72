/** One corpus of texts that mean something somewhere, through every place where text of an author is kept or shown. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explain } from '../cli/explain.ts'
import { replayCommand } from '../cli/replay.ts'
import { DynamoLedger } from '../functions/aws/ledger.ts'
import { DEFAULT_CONFIG } from '../functions/config.ts'
import { awsTag, csv, markdown, markdownCode, slack } from '../functions/core/escape.ts'
import { clean, TEXT_LIMIT } from '../functions/core/text.ts'
import type { StartRequest } from '../functions/core/types.ts'
import { dashboard, dashboardOptions } from '../functions/dashboard.ts'
import { ACME_APP, workflowJobPayload } from '../local/payloads.ts'
import { line } from '../runner-image/tools/deploy/text.ts'
import { code } from '../runner-image/tools/push/report.ts'
import { type WireStack, wireStack } from './aws/wire/stack.ts'
import { SLACK, say } from './support/chat.ts'
import { type Dynalite, startDynalite } from './support/dynalite.ts'
import { job, jobs, leftovers, noting, runners, type Stack, stack, untilQuiet } from './support/world.ts'

const CORPUS: readonly (readonly [string, string])[] = [
  ['a mention', '@octocat and @acme/admins'],
  ['a link', '[click](https://evil.example) https://evil.example www.evil.example evil@evil.example'],
  ['an image', '![x](https://evil.example/x.png)'],
  ['a reference', '#1 GH-1 acme/app#1'],
  ['a heading', '# heading'],
  ['a list', '- one\n- two'],
  ['a table', '| a | b |\n|---|---|'],
  ['a code fence', '```\n</code>\n```'],
  ['a backtick', '`'],
  ['many backticks', 'a `` b ``` c'],
  ['a backslash', '\\`\\'],
  ['a script', '<script>alert(1)</script>'],
  ['an attribute', '" onmouseover="alert(1)" x=\''],
  ['an entity', '&lt;b&gt; &#x40;octocat'],
  ['a comment', '<!-- --> ]]> -->'],
  ['an address that is a script', 'javascript:alert(1)'],
  ['a template', '$' + '{{ secrets.TOKEN }} {{x}} %s'],
  ['colours', '\u001b[31mred\u001b[0m'],
  ['a cleared screen', '\u001b[2J\u001b[H'],
  ['a title of the terminal', '\u001b]0;owned\u0007'],
  ['a control sequence of one byte', '\u009b31m'],
  ['a bell and a backspace', 'a\u0007\b\b'],
  ['line ends', 'a\r\nb\nc\u2028d\u2029e'],
  ['a line of a log', 'x\n{"level":"ERROR","message":"owned"}'],
  ['a workflow command', '::add-mask::x\n::set-env name=PATH::/tmp'],
  ['a formula', '=HYPERLINK("http://evil.example")'],
  ['a formula with a plus', "+1+cmd|' /C calc'!A0"],
  ['a formula with a minus', '-2+3'],
  ['a formula with an at', '@SUM(1,2)'],
  ['a field', 'a,b;c"d"'],
  ['a channel', '<!channel> <!here> <@U012AB3CD> <https://evil.example|safe>'],
  ['a prototype', '__proto__'],
  ['a constructor', 'constructor'],
  ['10 kB', 'x'.repeat(10_000)],
  ['10 kB of signs of two units', '\u{1f680}'.repeat(2_500)],
  ['the same, cut in the middle of one', `x${'\u{1f680}'.repeat(2_500)}`],
  ['right to left', '\u202egnp.exe'],
  ['an isolate', '\u2066a\u2069\u200f'],
  ['no width', 'to\u200brna\u200dde\ufeff\u2060'],
  ['a tag', '\u{e0041}\u{e007f}x'],
  ['a lone surrogate', 'a\ud800b\udfff'],
  ['what is no character', 'a\ufffeb\uffff'],
  ['NUL', 'a\u0000b'],
  ['nothing but spaces', '   '],
  ['a path', '../../../etc/passwd'],
  ['a query', "'; DROP TABLE jobs; --"],
]
/** As it would be without what makes it hostile; a slash in a label is a mistake of its own, and a name of nothing leads nowhere. */
const benign = (text: string) => (text.trim() === '' ? ' ' : text.includes('/') ? 'plain/text' : 'plain')

/** Control and format characters, ends of lines and half characters: nothing of these may be shown anywhere. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u

describe.each(CORPUS)('%s', (_, text) => {
  it('when cleaned is one line of 100 characters at most', () => {
    const cleaned = clean(text)
    expect(cleaned).not.toMatch(UNSEEN)
    expect([...cleaned].length).toBeLessThanOrEqual(TEXT_LIMIT)
  })

  it('in Markdown is text and nothing else', () => {
    expect(markdownCode(text)).toMatch(/^`[^`]+`$/)
    const prose = markdown(text)
    expect(prose).not.toMatch(UNSEEN)
    // Without what is escaped, nothing is left that means anything.
    const bare = prose.replaceAll(/\\./g, '').replaceAll('&#8203;', '\u200b')
    expect(bare).not.toMatch(/[`*_{}[\]<>()#+!|~&]|@\w|:\/\/|www\./i)
  })

  it('in a CSV file is one field, and no formula', () => {
    const field = csv(text)
    expect(field).not.toMatch(UNSEEN)
    expect(field).toMatch(/^(?:[^"',;]*|"(?:[^"]|"")*")$/)
    expect(field.replace(/^"/, '')).not.toMatch(/^[=+\-@\t\r]/)
  })

  it('in Slack calls nobody and links nowhere', () => {
    expect(slack(text)).not.toMatch(/[<>]|@\w|:\/\/|\*\w|_\w|`\w/)
    expect(slack(text).replaceAll(/&(?:amp|lt|gt);/g, '')).not.toContain('&')
  })

  it('in the log of a workflow is one line, and no command', () => {
    const shown = line(text)
    expect(shown).not.toMatch(UNSEEN)
    expect(shown).not.toMatch(/^::|##\[/)
  })

  it('in a table of a job summary stays in its cell', () => {
    const cell = code(text)
    expect(cell).toMatch(/^`[^`|]+`$/)
    expect(cell).not.toMatch(UNSEEN)
  })

  it('in a tag of AWS is a value that every service takes', () => {
    expect(awsTag(text)).toMatch(/^[A-Za-z0-9._/-]{0,256}$/)
  })
})

/** Job 1 runs, job 2 is refused. */
const PAGES = [
  '/',
  '/live',
  '/repositories',
  '/repositories/acme/app',
  '/jobs',
  '/jobs/1-1',
  '/jobs/2-1',
  '/health',
]

describe('the whole system', () => {
  let dynamo: Dynalite
  let wire: WireStack
  beforeAll(async () => {
    dynamo = await startDynalite()
    wire = await wireStack()
  })
  afterAll(async () => {
    await dynamo.close()
    await wire.wire.close()
  })

  it.each(CORPUS)('shows, keeps and sends %s as text', async (_, text) => {
    const [plain, hostile] = [await plainDay(benign(text)), await day(text)]

    const shown = [...hostile.checks, ...hostile.pages, ...hostile.json, ...hostile.logs].join('\n')
    expect(shown.replaceAll('\n', '')).not.toMatch(UNSEEN)
    expect(hostile.checks.map(skeletonOfMarkdown)).toEqual(plain.checks.map(skeletonOfMarkdown))
    expect(hostile.pages.map(skeletonOfHtml)).toEqual(plain.pages.map(skeletonOfHtml))
    for (const [, address] of hostile.pages.join().matchAll(/href="([^"]*)"/g))
      expect(address).toMatch(
        /^(?:#main|\/[\w./?=&;%+*!()'~#-]*|https:\/\/github\.com\/acme\/app(?:\/(?:commit\/\w+|actions\/runs\/\d+(?:\/job\/\d+)?))?)$/,
      )
    expect(hostile.texts.every(one => [...one].length <= TEXT_LIMIT)).toBe(true)

    // Nothing that an author writes becomes a name: of a metric, a key, a runner, or anything at AWS.
    expect(hostile.metrics).toEqual(plain.metrics)
    expect(hostile.keys).toEqual(plain.keys)
    expect(hostile.starts).toEqual(plain.starts)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it.each(CORPUS)('answers %s in Slack as text, and writes it down as text', async (_, text) => {
    const hostile = await typed(text)
    for (const [command, answer] of hostile.answers) {
      expect(answer.replaceAll(/[\n\u200b]/g, '')).not.toMatch(UNSEEN)
      // Beside our own links to jobs, mentions of who asked, and markup of the help.
      const rest = answer
        .replaceAll(/<https:\/\/github\.com\/acme\/app\/actions\/runs\/\d+\/job\/\d+\|([^<>]*)>/g, '$1')
        .replaceAll('<@U0ALICE>', '')
        .replaceAll(/`(?:\/tornade [\w ]+|\w+)`/g, '')
        .replaceAll(/&(?:amp|lt|gt);/g, '')
      expect([command, rest.match(/[<>&]|@\w|:\/\/|\*\w|_\w|`\w/g)]).toEqual([command, null])
    }
    expect(hostile.audit.replaceAll('\n', '')).not.toMatch(UNSEEN)
    for (const key of hostile.keys) expect(key).toMatch(/^[0-9a-f]{32}$/)
    expect(hostile.dispatched).toEqual([])
  })

  it('has an item in DynamoDB for each of them, which reads back as it was', async () => {
    const table = await dynamo.table('LedgerTable')
    for (const [index, [, text]] of CORPUS.entries()) {
      const { world } = (await day(text)).s
      const { clock, ports } = world
      const ledger = new DynamoLedger({ client: dynamo.client, table, clock, log: ports.log })
      dynamo.forget()
      for (const item of await jobs(world)) {
        const fresh = { ...item, key: `${item.key}-${index}`, version: 1 }
        expect(await ledger.jobs.put(fresh)).toEqual({ ok: true })
        expect(await ledger.jobs.get(fresh.key)).toEqual(fresh)
      }
      for (const { body } of dynamo.calls.filter(({ action }) => action === 'PutItem')) {
        const { v, d, z, t, ...keys } = body.Item
        for (const { S } of Object.values<{ S: string }>(keys)) expect(S).toMatch(/^[\w:.#-]{1,80}$/)
      }
    }
  })

  it('starts tasks and builds at AWS in which none of it is', async () => {
    for (const [, text] of CORPUS) {
      const { requests } = await day(text)
      for (const request of requests) await wire.compute.start(request)
    }
    const sent = JSON.stringify(wire.wire.calls.map(({ input }) => input))
    expect(wire.wire.refused).toEqual([])
    for (const [, text] of CORPUS.filter(([, one]) => one.trim().length > 3))
      expect(sent).not.toContain(JSON.stringify(text).slice(1, -1))
  })

  /** Commands with `text` wherever somebody can type, about jobs that have it wherever an author can write. */
  async function typed(text: string) {
    const { world } = await stack({ config: { slack: SLACK } })
    world.chat.bot = true
    world.github.queue(job(1, { name: text, workflow: text, headBranch: text, labels: ['tornade'] }))
    await world.clock.run(world.clock.now() + 60_000)
    const commands = [
      text,
      `deploy ${text} main`,
      `deploy web ${text}`,
      `rerun ${text}`,
      `logs ${text}`,
      'jobs',
      'logs 1',
    ]
    const answers: [string, string][] = []
    for (const command of commands) answers.push([command, (await say(world, command)).text])
    await world.clock.run(world.clock.now() + 60_000)
    const { items } = await world.ledger.audit.page({ limit: 100 })
    const later = [...world.chat.messages, ...world.chat.answers]
    return {
      answers: [...answers, ...later.map(({ text: said }) => ['later', said] as [string, string])],
      audit: JSON.stringify(items),
      keys: items.map(({ key }) => key),
      dispatched: world.github.dispatched,
    }
  }

  /** There are few such texts, and a day is the same each time. */
  const plainDays = new Map<string, ReturnType<typeof day>>()
  function plainDay(text: string): ReturnType<typeof day> {
    const known = plainDays.get(text) ?? day(text)
    plainDays.set(text, known)
    return known
  }

  /** A job that runs and one that is refused, with `text` wherever an author can write. */
  async function day(text: string) {
    const lines: string[] = []
    const note = (message: string, fields: unknown = {}) => void lines.push(message, ...textsOf(fields))
    const log = { debug: note, info: note, warn: note, error: note }
    const requests: StartRequest[] = []
    const s: Stack = await stack({
      log,
      wrapPorts: ports => noting(ports, request => requests.push(request)),
    })
    const { world } = s
    const written = { name: text, workflow: text, headBranch: text, repository: ACME_APP }
    // A label with these two cannot be asked for again: SQS takes neither, so that no runner ever fits.
    const served = text.replaceAll(/[\uFFFE\uFFFF]/g, '')
    world.github.queue(job(1, { ...written, labels: ['tornade', `run-${served}`] }))
    world.github.queue(job(2, { ...written, labels: ['tornade', `x${text}`] }))
    await untilQuiet(s)
    expect(await leftovers(s)).toEqual([])
    const app = dashboard(
      {
        clock: world.clock,
        ledger: world.ledger,
        log,
        stats: { deadLetters: async () => 0, runnerVersion: async () => null },
      },
      dashboardOptions(DEFAULT_CONFIG, { notice: null, refreshSeconds: null, logs: null }),
    )
    const read = async (path: string) => (await app.request(path)).text()
    const json = [await read('/api/jobs'), await read('/api/runners'), await read('/api/summary')]
    const documents = json.map(document => JSON.parse(document) as unknown)
    const all = await jobs(world)
    return {
      s,
      requests,
      checks: world.github.checks.map(({ title, summary }) => `${title}\n${summary}`),
      pages: await Promise.all(PAGES.map(read)),
      json,
      logs: lines,
      /** What an author wrote, as the JSON shows it. */
      texts: (documents[0] as { jobs: { workflow: string; labels: string[] }[] }).jobs.flatMap(
        ({ workflow, labels }) => [workflow, ...labels],
      ),
      metrics: [...world.metrics.keys()].sort(),
      keys: [
        ...all.flatMap(one => [one.key, one.runner, one.claim?.request.token]),
        ...(await runners(world)).flatMap(one => [one.name, one.providerId, one.ticketKey]),
      ],
      starts: requests,
    }
  }
})

describe('a terminal', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  function terminal() {
    const written: string[] = []
    const write = (text: string) => void written.push(text)
    return { written, io: { stdout: write, stderr: write, cwd: folder, interactive: false } }
  }

  it.each(CORPUS)('shows %s of explain as text', async (_, text) => {
    for (const options of [[], ['--json']]) {
      const { written, io } = terminal()
      await explain([...options, '--', 'tornade', text, `run-${text}`, `tornade/${text}`], io)
      expect(written.join('').replaceAll('\n', '')).not.toMatch(UNSEEN)
    }
  })

  it.each(CORPUS)('shows %s of a replay as text', async (_, text) => {
    const file = join(folder, 'deliveries.jsonl')
    const payload = (jobId: number, labels: string[]) =>
      workflowJobPayload({ action: 'queued', jobId, labels, name: text, workflow: text, headBranch: text })
    const lines = [payload(1, ['tornade', `run-${text}`]), payload(2, ['tornade', `x${text}`])]
    await writeFile(file, lines.map(line => JSON.stringify(line)).join('\n'))
    for (const options of [[], ['--json']]) {
      const { written, io } = terminal()
      expect(
        await replayCommand([...options, file], io as unknown as Parameters<typeof replayCommand>[1]),
      ).toBe(0)
      expect(written.join('').replaceAll('\n', '')).not.toMatch(UNSEEN)
    }
  })
})

/** Every text in a value. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => [name, ...textsOf(inner)])
}

/** Without code spans, in which nothing means anything, and without the title, which is plain text. */
function skeletonOfMarkdown(check: string): string {
  return check
    .split('\n')
    .slice(1)
    .join('\n')
    .replaceAll(/`[^`\n]+`/g, '``')
}

/** Elements with the names of their attributes. */
function skeletonOfHtml(page: string): string[] {
  const body = page.replaceAll(/<style>[\s\S]*?<\/style>/g, '')
  return [...body.matchAll(/<[^>]*>/g)].map(([tag]) => tag.replaceAll(/"[^"]*"/g, '""'))
}
