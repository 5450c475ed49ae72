/** A configuration of Docker's for one build: what the job has, and logins to the registries of ECR that the build meets. */
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { dockerConfig } from '../build/registry.ts'
import { assumeRole, type Credentials, type EcrRegistry, ecrRegistry, login, readRole } from './ecr.ts'
import { PushFault } from './fault.ts'

export interface Wanted {
  /** Hosts without whose login there is no use in building. */
  readonly required: readonly string[]
  /** Hosts that may do without one. */
  readonly optional: readonly string[]
  /** ARN of a role for the registries of its account; empty for none. */
  readonly role: string
  readonly env: NodeJS.ProcessEnv
  readonly say: (text: string) => void
}

export interface Logins {
  /** For DOCKER_CONFIG. */
  readonly folder: string
  /** The environment to call AWS with for this registry. */
  envOf(registry: EcrRegistry): NodeJS.ProcessEnv
  close(): void
}

/**
 * A token each, by the credential helper: kaniko has a helper too, but knows neither a role that is taken on nor credentials that an
 * earlier step brought, and a token works for both builders. It stands in a file of this user's alone until `close`.
 *
 * @throws PushFault
 */
export async function logIn({ required, optional, role, env, say }: Wanted): Promise<Logins> {
  const registries = [...new Set([...required, ...optional])].flatMap(host => ecrRegistry(host) ?? [])
  const assumed = await assume(role, registries, env)
  const envOf = ({ account }: EcrRegistry) =>
    assumed?.account === account ? { ...withoutOwn(env), ...assumed.credentials } : env
  const config = dockerConfig() as Config
  const auths: Record<string, { auth?: string }> = { ...config.auths }
  const credHelpers: Record<string, string> = { ...config.credHelpers }
  await Promise.all(
    registries.map(async registry => {
      const { host, account } = registry
      // A login of an earlier step is meant; but a role that is named here is meant more.
      if (auths[host]?.auth && assumed?.account !== account) return
      const auth = await login(host, envOf(registry))
      if (auth !== null) {
        auths[host] = { auth }
        // Helpers come before tokens; an empty name is no helper.
        credHelpers[host] = ''
      } else if (required.includes(host))
        throw new PushFault(
          3,
          `there is no login to ${host}: give the job a role with the label role:NAME that has ecr:GetAuthorizationToken, or credentials in an earlier step`,
        )
      else say(`no login to ${host}; it goes on without`)
    }),
  )
  const folder = mkdtempSync(join(env.RUNNER_TEMP || tmpdir(), 'tornade-push-'))
  try {
    linkOthers(env.DOCKER_CONFIG || join(env.HOME || homedir(), '.docker'), folder)
    const text = JSON.stringify({ ...config, auths, credHelpers })
    writeFileSync(join(folder, 'config.json'), text, { mode: 0o600 })
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  return { folder, envOf, close: () => rmSync(folder, { recursive: true, force: true }) }
}

type Config = Readonly<Record<string, unknown>> & {
  readonly auths?: Readonly<Record<string, { readonly auth?: string }>>
  readonly credHelpers?: Readonly<Record<string, string>>
}

async function assume(
  arn: string,
  registries: readonly EcrRegistry[],
  env: NodeJS.ProcessEnv,
): Promise<{ account: string; credentials: Credentials } | null> {
  if (arn === '') return null
  const role = readRole(arn)
  if (role === null) throw new PushFault(2, 'role-to-assume is no arn:aws:iam::ACCOUNT:role/NAME')
  const registry = registries.find(({ account }) => account === role.account)
  if (!registry)
    throw new PushFault(
      2,
      `role-to-assume is of the account ${role.account}, and nothing here is in a registry of that account`,
    )
  const session = `tornade-${(env.GITHUB_RUN_ID ?? '').replace(/\D/g, '') || 'build'}`
  return { account: role.account, credentials: await assumeRole(arn, registry.region, session, env) }
}

/** A profile would come before keys in the environment. */
function withoutOwn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { AWS_PROFILE: _, AWS_DEFAULT_PROFILE: __, ...rest } = env
  return rest
}

/** Builders, contexts and plugins of Docker's, which lie beside its config.json. */
function linkOthers(from: string, to: string): void {
  if (!existsSync(from)) return
  for (const name of readdirSync(from))
    if (name !== 'config.json') symlinkSync(join(from, name), join(to, name))
}
