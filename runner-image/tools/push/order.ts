/** The inputs of actions/build-push, as arguments of tornade-build and what has to be there before it. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parts } from '../build/registry.ts'
import { type Cache, cacheOf } from './cache.ts'
import { ecrHostsIn, readRole } from './ecr.ts'
import { EXIT, PushFault } from './fault.ts'
import { lines, pairs, words } from './lists.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface PushOrder {
  /** For tornade-build. No secret is in them. */
  readonly argv: readonly string[]
  /** Values of secrets, by the names that `argv` has. */
  readonly secrets: Readonly<Record<string, string>>
  readonly tags: readonly string[]
  readonly push: boolean
  readonly cache: Cache | null
  readonly role: string
  readonly create: 'immutable' | 'mutable' | null
  /** Registries of ECR that the Dockerfile or the build arguments name. */
  readonly mentioned: readonly string[]
}

/** @throws PushFault with all faults, one a line */
export function readOrder(env: Environment): PushOrder {
  const faults: string[] = []
  const input = (name: string) => env[`INPUT_${name.toUpperCase().replaceAll('-', '_')}`] ?? ''
  const attempt = <V>(read: () => V, otherwise: V): V => {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof PushFault)) throw error
      faults.push(error.message)
      return otherwise
    }
  }
  const each = (name: string) => attempt(() => pairs(name, input(name)), [])
  const option = (name: string, value: string) => (value.trim() === '' ? [] : [`--${name}=${value.trim()}`])

  const tags = words(input('tags'))
  const push = input('push') !== 'false'
  if (!['true', 'false', ''].includes(input('push'))) faults.push('push is neither true nor false')
  const create = (['immutable', 'mutable'] as const).find(word => word === input('create')) ?? null
  if (create === null && !['', 'false'].includes(input('create')))
    faults.push('create is neither immutable nor mutable')
  const platforms = words(input('platforms'))
  if (platforms.length > 1)
    faults.push(
      `platforms has ${platforms.length}: build each in a job of its own, with the labels x64 and arm64, and join them with actions/manifest`,
    )
  const role = input('role-to-assume').trim()
  if (role !== '' && readRole(role) === null)
    faults.push('role-to-assume is no arn:aws:iam::ACCOUNT:role/NAME')
  const cache = attempt(
    () =>
      cacheOf(
        {
          event: input('event'),
          ref: input('ref'),
          defaultBranch: input('default-branch'),
        },
        input('cache').trim(),
        input('cache-pull-requests').trim(),
      ),
    null,
  )
  const values = each('secrets')
  const secrets = Object.fromEntries(values.map(([, value], index) => [`TORNADE_SECRET_${index}`, value]))
  // Names alone: of the lists of KEY=VALUE this is the one that docker/build-push-action takes with commas, too.
  const secretEnvs = attempt(() => pairs('secret-envs', input('secret-envs').replaceAll(',', '\n')), [])
  const buildArgs = attempt(() => lines('build-args', input('build-args')), [])
  const labels = { ...labelsOf(env), ...Object.fromEntries(each('labels')) }
  const argv = [
    ...option('context', input('context')),
    ...option('file', input('file')),
    ...option('target', input('target')),
    ...option('platform', platforms[0] ?? ''),
    ...option('compression', input('compression')),
    ...option('timeout', input('timeout')),
    ...tags.map(tag => `--tag=${tag}`),
    ...(push ? [] : ['--no-push']),
    ...buildArgs.map(text => `--build-arg=${text}`),
    ...Object.entries(labels).map(([key, value]) => `--label=${key}=${value}`),
    ...values.map(([id], index) => `--secret=id=${id},env=TORNADE_SECRET_${index}`),
    ...secretEnvs.map(([id, name]) => `--secret=id=${id},env=${name}`),
    ...each('secret-files').map(([id, path]) => `--secret=id=${id},src=${path}`),
    ...(cache === null ? [] : [`--cache-repo=${cache.repository}`]),
    ...(cache?.readOnly ? ['--cache-read-only'] : []),
  ]
  if (faults.length > 0) throw new PushFault(EXIT.unusable, faults.join('\n'))
  const dockerfile = resolve(
    input('file').trim() === '' ? join(input('context') || '.', 'Dockerfile') : input('file').trim(),
  )
  const mentioned = ecrHostsIn([textOf(dockerfile), ...buildArgs].join('\n')).slice(0, 10)
  return { argv, secrets, tags, push, cache, role, create, mentioned }
}

/** https://github.com/opencontainers/image-spec/blob/main/annotations.md, which has no key for a run. */
function labelsOf({ GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_SHA, GITHUB_RUN_ID }: Environment) {
  if (!GITHUB_SERVER_URL || !GITHUB_REPOSITORY) return {}
  const source = `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}`
  return {
    'org.opencontainers.image.source': source,
    ...(GITHUB_SHA ? { 'org.opencontainers.image.revision': GITHUB_SHA } : {}),
    ...(GITHUB_RUN_ID ? { 'tornade.run': `${source}/actions/runs/${GITHUB_RUN_ID}` } : {}),
  }
}

export function hostOf(reference: string): string {
  return parts(reference).registry
}

/** What is wrong with it is tornade-build's to say. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, 1_000_000)
  } catch {
    return ''
  }
}
