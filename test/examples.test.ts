// biome-ignore-all lint/suspicious/noTemplateCurlyInString: expressions of GitHub Actions
/** The workflows of examples/, held against what they use: labels, actions, files to deploy to. actionlint is a step of .ci/run. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { parseConfig } from '../cli/config-file.ts'
import { labelRules } from '../functions/config.ts'
import { readLabels } from '../functions/core/labels.ts'
import { readImage } from '../runner-image/tools/deploy/forms.ts'
import { edited, type Target } from '../runner-image/tools/deploy/targets.ts'
import { readOrder } from '../runner-image/tools/push/order.ts'

const ROOT = join(import.meta.dirname, '..')
const EXAMPLES = join(ROOT, 'examples')
const read = (...path: string[]) => readFileSync(join(EXAMPLES, ...path), 'utf8')
const files = readdirSync(EXAMPLES, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile())
  .map(entry => join(entry.parentPath, entry.name).slice(EXAMPLES.length + 1))
  .toSorted()
const workflows = files.filter(path => path.endsWith('/workflow.yml'))

interface Step {
  readonly id?: string
  readonly uses?: string
  readonly with?: Readonly<Record<string, unknown>>
}
interface Job {
  readonly 'runs-on': string | readonly string[]
  readonly needs?: string | readonly string[]
  readonly outputs?: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}
interface Action {
  readonly inputs: Readonly<Record<string, { readonly required?: boolean }>>
  readonly outputs: Readonly<Record<string, unknown>>
}

const { config } = parseConfig(read('tornade.yml'), 'examples/tornade.yml')
const rules = labelRules(config, { limits: true })
const OURS = /^acme\/tornade\/actions\/([\w-]+)@/
const actionOf = ({ uses = '' }: Step) => {
  const [, name] = OURS.exec(uses) ?? []
  return name === undefined
    ? null
    : (parse(readFileSync(join(ROOT, 'actions', name, 'action.yml'), 'utf8')) as Action)
}
const DIGEST = `sha256:${'a'.repeat(64)}`

it('are all in their table, and linked from where their readers look', () => {
  expect(workflows.map(path => dirname(path)).toSorted()).toEqual([
    ...['deploy-on-main', 'nightly-base', 'other-account', 'preview', 'staging', 'two-architectures'],
  ])
  for (const path of workflows) expect(read('README.md')).toContain(`](${path})`)
  for (const page of ['README.md', 'docs/deploying.md'])
    expect(readFileSync(join(ROOT, page), 'utf8')).toMatch(/\]\((?:\.\.\/)?examples\/README\.md\)/)
})

describe.each(workflows)('examples/%s', path => {
  const { jobs, env = {} } = parse(read(path)) as {
    jobs: Readonly<Record<string, Job>>
    env?: Readonly<Record<string, string>>
  }
  const all = Object.entries(jobs)
  const steps = all.flatMap(([, job]) => job.steps.map(step => ({ job, step })))
  /** With something harmless for each expression. */
  const filled = (text: unknown) =>
    String(text).replace(/\$\{\{ (.+?) \}\}/g, (_, expression: string) =>
      expression.startsWith('env.') ? env[expression.slice('env.'.length)]! : '1',
    )
  const repositories = steps.flatMap(({ step }) =>
    OURS.exec(step.uses ?? '')?.[1] === 'build-push' ? filled(step.with!.tags).replace(/:[^/]*$/, '') : [],
  )

  it.each(all)('%s: its labels are tornade’s', (_, job) => {
    const labels = [job['runs-on']].flat().map(filled)
    expect(readLabels(labels, rules)).toMatchObject({ outcome: 'spec' })
  })

  it('names each action by commit, its inputs as they are, and none that is required is missing', () => {
    for (const { step } of steps) {
      expect(step.uses).toMatch(/@[0-9a-f]{40}$/)
      const action = actionOf(step)
      if (action === null) continue
      const given = Object.keys(step.with ?? {})
      expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(given))
      const required = Object.keys(action.inputs).filter(name => action.inputs[name]!.required)
      expect(given).toEqual(expect.arrayContaining(required))
    }
    // A comment says which release a commit is, or that it is to be replaced.
    for (const line of read(path)
      .split('\n')
      .filter(line => line.includes('uses:')))
      expect(line).toMatch(/@[0-9a-f]{40} # (v\d+\.\d+\.\d+|the commit of your copy)$/)
  })

  it('builds where there is a builder, with what may push', () => {
    for (const { job, step } of steps) {
      const [, name] = OURS.exec(step.uses ?? '') ?? []
      if (name !== 'build-push' && name !== 'manifest') continue
      const reading = readLabels([job['runs-on']].flat().map(filled), rules)
      const spec = reading.outcome === 'spec' ? reading.spec : null
      if (name === 'build-push') expect(spec).toMatchObject({ build: true })
      const other = job.steps.some(({ uses }) => uses?.startsWith('aws-actions/configure-aws-credentials@'))
      expect(spec?.role === 'push').toBe(!other)
    }
  })

  it('gives build-push what it can use', () => {
    for (const { step } of steps) {
      if (OURS.exec(step.uses ?? '')?.[1] !== 'build-push') continue
      const inputs = Object.entries(step.with!).map(([name, value]) => [
        `INPUT_${name.toUpperCase().replaceAll('-', '_')}`,
        filled(value),
      ])
      const order = readOrder({ ...Object.fromEntries(inputs), INPUT_EVENT: 'schedule' })
      expect(order.argv.filter(argument => argument.startsWith('--tag='))).not.toEqual([])
    }
  })

  it('takes from other jobs and steps what they have', () => {
    const text = read(path)
    for (const [, job, output] of text.matchAll(/needs\.([\w-]+)\.outputs\.([\w-]+)/g))
      expect(Object.keys(jobs[job!]?.outputs ?? {})).toContain(output)
    for (const [, job] of all)
      for (const value of Object.values(job.outputs ?? {})) {
        const [, id, output] = /^\$\{\{ steps\.([\w-]+)\.outputs\.([\w-]+) \}\}$/.exec(value)!
        const step = job.steps.find(each => each.id === id)!
        expect(Object.keys(actionOf(step)!.outputs)).toContain(output)
      }
  })

  it('deploys to files that take its image, and waits for applications that are there', () => {
    for (const { step } of steps) {
      if (OURS.exec(step.uses ?? '')?.[1] !== 'deploy') continue
      const { values, kustomize, manifests, applications, project } = step.with as Record<string, string>
      // The last job before it has built what is deployed.
      const image = readImage(`${repositories.at(-1)}@${DIGEST}`)!
      const targets: Target[] = [
        ...(values ? [{ path: values, image, kind: 'values' as const, key: 'image' }] : []),
        ...(kustomize
          ? [
              {
                path: `${kustomize}/kustomization.yaml`,
                image,
                kind: 'kustomize' as const,
                name: image.repository,
              },
            ]
          : []),
        ...(manifests ? [{ path: manifests, image, kind: 'manifest' as const }] : []),
      ]
      expect(targets).toHaveLength(1)
      const text = read(dirname(path), 'gitops', targets[0]!.path)
      expect(edited(text, targets[0]!).text).toBe(text.replace(/sha256:0{64}/, DIGEST))
      const argo = manifestsOf(join(dirname(path), 'gitops', 'argocd'))
      const application = argo.find(({ kind }) => kind === 'Application')!
      expect([application.metadata.name, application.spec.project]).toEqual([applications, project])
    }
  })
})

/** What Argo CD holds an application against: https://argo-cd.readthedocs.io/en/stable/user-guide/projects/ */
describe('an application of Argo CD', () => {
  const folders = new Set(files.filter(path => path.includes('/gitops/argocd/')).map(path => dirname(path)))

  it.each([...folders])('in %s may do what it does in its project, and be deployed by its role', folder => {
    const manifests = manifestsOf(folder)
    const projects = manifests.filter(({ kind }) => kind === 'AppProject')
    const applications = manifests.flatMap(manifest => {
      if (manifest.kind === 'ApplicationSet') return [(manifest.spec as unknown as Template).template]
      return manifest.kind === 'Application' ? [manifest as unknown as Application] : []
    })
    expect(applications).not.toEqual([])
    for (const { metadata, spec } of applications) {
      const project = projects.find(({ metadata: { name } }) => name === spec.project)
      expect(project).toBeDefined()
      const allowed = project!.spec as unknown as Project
      expect(allowed.sourceRepos).toContain(spec.source.repoURL)
      const fits = (pattern: string) =>
        new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(spec.destination.namespace)
      expect(allowed.destinations.filter(({ namespace }) => fits(namespace))).not.toEqual([])
      if (spec.syncPolicy.syncOptions?.includes('CreateNamespace=true'))
        expect(allowed.clusterResourceWhitelist).toContainEqual({ group: '', kind: 'Namespace' })
      // That of a pull request is nobody's to wait for.
      if (metadata.name.includes('{{')) continue
      const [role] = allowed.roles!
      expect(role!.policies).toEqual([
        `p, proj:${spec.project}:${role!.name}, applications, get, ${spec.project}/*, allow`,
      ])
    }
  })
})

interface Template {
  readonly template: Application
}
interface Application {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly project: string
    readonly source: { readonly repoURL: string }
    readonly destination: { readonly namespace: string }
    readonly syncPolicy: { readonly syncOptions?: readonly string[] }
  }
}
interface Project {
  readonly sourceRepos: readonly string[]
  readonly destinations: readonly { readonly namespace: string }[]
  readonly clusterResourceWhitelist?: readonly object[]
  readonly roles?: readonly { readonly name: string; readonly policies: readonly string[] }[]
}
interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> }
  readonly spec: { readonly project?: string }
}
function manifestsOf(folder: string): Manifest[] {
  return files
    .filter(path => path.startsWith(`${folder}/`) && /\.ya?ml$/.test(path))
    .flatMap(path => parseAllDocuments(read(path)).map(document => document.toJS() as Manifest))
}

describe('what lies beside them', () => {
  it.each(files.filter(path => path.endsWith('.json')))('%s is a policy', path => {
    const policy = JSON.parse(read(path)) as { Version: string; Statement: { Effect: string }[] }
    expect([policy.Version, policy.Statement.map(({ Effect }) => Effect)]).toEqual([
      '2012-10-17',
      policy.Statement.map(() => 'Allow'),
    ])
  })

  it.each(files.filter(path => path.includes('/gitops/')))('%s is YAML', path => {
    for (const document of parseAllDocuments(read(path))) {
      expect([document.errors, document.warnings]).toEqual([[], []])
      const { apiVersion, kind } = document.toJS() as Manifest
      if (!path.endsWith('/values.yaml')) expect(apiVersion).toBeTruthy()
      if (!/values\.yaml|Chart\.yaml/.test(path)) expect(kind).toMatch(/^[A-Z]\w+$/)
    }
  })

  it('names files that are there', () => {
    for (const path of files.filter(path => path.endsWith('/kustomization.yaml')))
      for (const resource of (parse(read(path)) as { resources: string[] }).resources) {
        const there = join(dirname(path), resource)
        expect(files.some(file => file === there || file === `${there}/kustomization.yaml`)).toBe(true)
      }
  })

  it('runs the migration before the pods, and again each time', () => {
    const migration = manifestsOf('deploy-on-main/gitops/shop/base').find(({ kind }) => kind === 'Job')!
    expect(migration.metadata.annotations).toEqual({
      'argocd.argoproj.io/hook': 'PreSync',
      'argocd.argoproj.io/hook-delete-policy': 'BeforeHookCreation',
    })
  })
})
