// biome-ignore-all lint/suspicious/noTemplateCurlyInString: expressions of GitHub Actions
/** What holds of every action in actions/. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

const FOLDER = join(import.meta.dirname, '..', 'actions')
const ACTIONS = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter(path => /(^|\/)action\.ya?ml$/.test(path))
  .toSorted()

interface Action {
  readonly name: string
  readonly description: string
  readonly inputs?: Readonly<Record<string, { readonly description?: string; readonly default?: unknown }>>
  readonly outputs?: Readonly<Record<string, { readonly description?: string; readonly value?: string }>>
  readonly runs: {
    readonly using: string
    readonly steps: readonly {
      readonly id?: string
      readonly run?: string
      readonly shell?: string
      readonly uses?: string
      readonly env?: Readonly<Record<string, string>>
    }[]
  }
}
const read = (path: string) => parse(readFileSync(join(FOLDER, path), 'utf8')) as Action
/** Expressions are put into the text of a script before any shell sees it. */
const injected = ({ runs }: Action) =>
  runs.steps.filter(({ run }) => run?.includes('${{')).map(({ run }) => run)

it('finds an expression in a script, wherever it stands', () => {
  const action = (run: string) => ({ runs: { steps: [{ run }] } }) as unknown as Action
  expect(injected(action('echo "${{ inputs.image }}"'))).toHaveLength(1)
  expect(injected(action('a\nb ${{inputs.image}}'))).toHaveLength(1)
  expect(injected(action('echo "$IMAGE"'))).toEqual([])
})

it('knows the actions', () => {
  expect(ACTIONS).toEqual(['build-push/action.yml', 'deploy/action.yml', 'manifest/action.yml'])
})

describe.each(ACTIONS)('actions/%s', path => {
  const action = read(path)

  it('has no expression in a script', () => {
    expect(injected(action)).toEqual([])
  })

  it('is composite, and each of its steps has a shell or is somebody’s by commit', () => {
    expect(action.runs.using).toBe('composite')
    for (const { run, shell, uses } of action.runs.steps)
      expect(run ? shell : uses).toMatch(run ? /^bash$/ : /@[0-9a-f]{40}$/)
  })

  it('says of each input and output what it is', () => {
    for (const entry of [...Object.values(action.inputs ?? {}), ...Object.values(action.outputs ?? {})])
      expect(entry.description).toMatch(/\w{2}/)
  })

  it('uses each input, and no other', () => {
    const used = [...JSON.stringify(action.runs).matchAll(/inputs\.([\w-]+)/g)].map(([, name]) => name!)
    expect([...new Set(used)].toSorted()).toEqual(Object.keys(action.inputs ?? {}).toSorted())
  })

  it('takes its outputs from steps that it has', () => {
    const ids = action.runs.steps.flatMap(({ id }) => id ?? [])
    for (const { value } of Object.values(action.outputs ?? {}))
      expect(ids).toContain(/^\$\{\{ steps\.([\w-]+)\.outputs\.[\w-]+ \}\}$/.exec(value!)?.[1])
  })

  it('puts its script in the place of the shell, which alone is told that the job was cancelled', () => {
    for (const { run } of action.runs.steps) if (run) expect(run).toMatch(/^exec bash "[^"]+"$/)
  })

  it('has scripts in its own folder', () => {
    for (const { run } of action.runs.steps)
      for (const [, script] of (run ?? '').matchAll(/\$GITHUB_ACTION_PATH\/([\w.-]+)/g))
        expect(statSync(join(FOLDER, path, '..', script!)).isFile()).toBe(true)
  })
})

const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0
it.skipIf(!hasShellcheck)('satisfies shellcheck', () => {
  const scripts = ACTIONS.map(path => join(FOLDER, path, '..', `${dirname(path)}.sh`))
  expect(spawnSync('shellcheck', scripts, { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
})
