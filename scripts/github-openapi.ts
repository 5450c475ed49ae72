/**
 * Makes test/github/openapi/github.json: the operations of GitHub's REST API that tornade calls, with all that they
 * refer to, cut out of the @octokit/openapi package. That package unpacks to 440 MB, so it is no dependency.
 *
 *     node scripts/github-openapi.ts [folder of an unpacked @octokit/openapi]
 *
 * Without a folder the newest package is downloaded with npm into a temporary folder first.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const OPERATIONS = [
  'apps/create-installation-access-token',
  'apps/get-repo-installation',
  'apps/list-webhook-deliveries',
  'apps/get-webhook-delivery',
  'apps/redeliver-webhook-delivery',
  'actions/generate-runner-jitconfig-for-repo',
  'actions/list-self-hosted-runners-for-repo',
  'actions/delete-self-hosted-runner-from-repo',
  'actions/generate-runner-jitconfig-for-org',
  'actions/list-self-hosted-runners-for-org',
  'actions/delete-self-hosted-runner-from-org',
  'actions/get-job-for-workflow-run',
  'actions/list-jobs-for-workflow-run',
  'actions/list-workflow-runs-for-repo',
  'actions/re-run-job-for-workflow-run',
  'actions/get-workflow-run',
  'actions/cancel-workflow-run',
  'actions/create-workflow-dispatch',
  'checks/list-for-ref',
  'checks/create',
  'checks/update',
  'users/get-authenticated',
  'orgs/list-memberships-for-authenticated-user',
  'repos/create-deployment',
  'repos/create-deployment-status',
]
const ROOT = join(import.meta.dirname, '..')
const TARGET = join(ROOT, 'test', 'github', 'openapi')
const SOURCE = 'generated/api.github.com.json'

interface Description {
  openapi: string
  info: { version: string; [key: string]: unknown }
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, unknown>>
}
interface Operation {
  operationId?: string
  responses: Record<string, unknown>
}

/** The description with these operations alone, and the components that they reach. */
export function subset(description: Description, operationIds: readonly string[]): Description {
  const missing = new Set(operationIds)
  const paths: Description['paths'] = {}
  for (const [path, methods] of Object.entries(description.paths))
    for (const [method, operation] of Object.entries(methods))
      if (operation.operationId && missing.delete(operation.operationId))
        paths[path] = { ...paths[path], [method]: operation }
  if (missing.size > 0) throw new Error(`GitHub has no such operation any more: ${[...missing].join(', ')}`)
  const { openapi, info } = description
  return { openapi, info, paths, components: reached(description, paths) }
}

function reached(description: Description, paths: unknown): Description['components'] {
  const components: Description['components'] = {}
  const open = referencesIn(paths)
  // The answer to everything that an operation does not say itself
  open.push('#/components/schemas/basic-error')
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const [kind, name] = reference.replace('#/components/', '').split('/') as [string, string]
    if (components[kind]?.[name] !== undefined) continue
    const component = description.components[kind]?.[name]
    if (component === undefined) throw new Error(`${reference} is not in the description`)
    components[kind] = { ...components[kind], [name]: component }
    open.push(...referencesIn(component))
  }
  return components
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : referencesIn(inner),
  )
}

/** What no test reads; it is most of the text. */
const DROPPED = new Set(['description', 'summary', 'tags', 'externalDocs', 'x-github'])

/** Without prose, and with sorted keys, so that two versions can be compared. */
function tidy(value: unknown, isNameMap = false): unknown {
  if (Array.isArray(value)) return value.map(item => tidy(item))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .filter(([key]) => isNameMap || !DROPPED.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, key === 'value' ? inner : tidy(inner, key === 'properties')]),
  )
}

async function unpacked(folder: string | undefined, temporary: string): Promise<string> {
  if (folder !== undefined) return folder
  const npm = (...args: string[]) => execFileSync('npm', args, { cwd: temporary, encoding: 'utf8' })
  const tarball = npm('pack', '@octokit/openapi', '--silent').trim().split('\n').at(-1)!
  execFileSync('tar', ['-xzf', tarball], { cwd: temporary })
  return join(temporary, 'package')
}

/** What the file must hold, by an unpacked @octokit/openapi. */
export async function cutOutOf(folder: string): Promise<Description> {
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string }
  const whole = JSON.parse(await readFile(join(folder, SOURCE), 'utf8')) as Description
  const cut = tidy(subset(whole, OPERATIONS)) as Description
  const origin = `Cut out of @octokit/openapi ${version} (${SOURCE}) by scripts/github-openapi.ts`
  return { ...cut, info: { ...cut.info, version, 'x-origin': origin } }
}

async function main(given: string | undefined): Promise<void> {
  const temporary = await mkdtemp(join(tmpdir(), 'github-openapi-'))
  try {
    const folder = await unpacked(given, temporary)
    const description = await cutOutOf(folder)
    const text = `${JSON.stringify(description, null, 2)}\n`
    const file = join(TARGET, 'github.json')
    await writeFile(file, text)
    execFileSync(join(ROOT, 'node_modules', '.bin', 'biome'), ['format', '--write', file], {
      stdio: 'ignore',
    })
    await writeFile(join(TARGET, 'LICENSE'), await readFile(join(folder, 'LICENSE'), 'utf8'))
    process.stdout.write(
      `${OPERATIONS.length} operations of ${description.info.version}, ${Math.round(text.length / 1000)} kB\n`,
    )
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

if (import.meta.main) await main(process.argv[2])
