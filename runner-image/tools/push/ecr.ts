/** Amazon ECR: who may push, as whom, and repositories that do not exist yet. */
import { execFile } from 'node:child_process'
import { clean } from '../../supervisor/log.ts'
import { PushFault } from './fault.ts'

export interface EcrRegistry {
  readonly host: string
  readonly account: string
  readonly region: string
}

export interface Credentials {
  readonly AWS_ACCESS_KEY_ID: string
  readonly AWS_SECRET_ACCESS_KEY: string
  readonly AWS_SESSION_TOKEN: string
}

type Environment = Readonly<Record<string, string | undefined>>

const HOST = '(\\d{12})\\.dkr\\.ecr(?:-fips)?\\.([a-z]{2}(?:-[a-z0-9]+){2,3})\\.amazonaws\\.com(?:\\.cn)?'
const CALL_MS = 60_000

/** null for a registry that is not a private one of ECR. */
export function ecrRegistry(host: string): EcrRegistry | null {
  const [, account, region] = new RegExp(`^${HOST}$`).exec(host) ?? []
  return account === undefined ? null : { host, account, region: region! }
}

/** All that are named in a text, each once. */
export function ecrHostsIn(text: string): string[] {
  return [
    ...new Set(Array.from(text.matchAll(new RegExp(`(?<![\\w.-])${HOST}(?=/)`, 'g')), ([host]) => host)),
  ]
}

/** Partition, account and name of an IAM role's ARN; null for anything else. */
export function readRole(arn: string): { readonly account: string } | null {
  const [, account] = /^arn:aws[\w-]*:iam::(\d{12}):role\/[\w+=,.@/-]{1,576}$/.exec(arn) ?? []
  return account === undefined ? null : { account }
}

/** Keys of another role, for an hour: AWS's limit where a role takes on a role. @throws PushFault */
export async function assumeRole(
  arn: string,
  region: string,
  session: string,
  env: Environment,
): Promise<Credentials> {
  const answer = await aws(
    [
      ...['sts', 'assume-role', '--region', region, '--role-arn', arn],
      ...['--role-session-name', session, '--output', 'json'],
    ],
    env,
    `${arn} cannot be assumed: its trust policy has to name the role of this job, and that role needs sts:AssumeRole`,
  )
  const { AccessKeyId, SecretAccessKey, SessionToken } = JSON.parse(answer).Credentials
  return {
    AWS_ACCESS_KEY_ID: AccessKeyId,
    AWS_SECRET_ACCESS_KEY: SecretAccessKey,
    AWS_SESSION_TOKEN: SessionToken,
  }
}

/**
 * @param repository without its registry
 * @returns false where it was there already
 * @throws PushFault
 */
export async function createRepository(
  { account, region }: EcrRegistry,
  repository: string,
  mutability: 'IMMUTABLE' | 'MUTABLE',
  env: Environment,
): Promise<boolean> {
  try {
    await aws(
      [
        ...['ecr', 'create-repository', '--region', region, '--registry-id', account],
        ...['--repository-name', repository, '--image-tag-mutability', mutability],
        ...['--image-scanning-configuration', 'scanOnPush=true', '--output', 'json'],
      ],
      env,
      `the repository ${repository} of ${account} cannot be created: make it, or allow this job's role ecr:CreateRepository there`,
    )
    return true
  } catch (error) {
    if ((error as Error).message.includes('(RepositoryAlreadyExistsException)')) return false
    throw error
  }
}

/** For `auth` of Docker's config.json; null when there is no login. The token lasts for twelve hours and is in no file of the helper's. */
export function login(host: string, env: Environment): Promise<string | null> {
  return new Promise(resolve => {
    const child = execFile(
      'docker-credential-ecr-login',
      ['get'],
      { env: { ...env, AWS_ECR_DISABLE_CACHE: 'true' }, timeout: CALL_MS },
      (error, stdout) => {
        if (error) return resolve(null)
        try {
          const { Username, Secret } = JSON.parse(stdout) as { Username: string; Secret: string }
          resolve(Buffer.from(`${Username}:${Secret}`).toString('base64'))
        } catch {
          resolve(null)
        }
      },
    )
    // One that ended before it read says so by its exit code.
    child.stdin?.on('error', () => {}).end(host)
  })
}

/** https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-returncodes.html */
const REFUSED =
  /\((?:AccessDenied\w*|UnrecognizedClient\w*|ExpiredToken\w*|InvalidClientTokenId)\)|locate credentials/

/** @param failure what could not be done, and what to do about it */
function aws(argv: readonly string[], env: Environment, failure: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...env, AWS_PAGER: '' }, timeout: CALL_MS, encoding: 'utf8' as const }
    execFile('aws', [...argv], options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const words = clean(stderr, 600) || `aws ended with ${error.code}`
      reject(new PushFault(REFUSED.test(words) ? 3 : 1, `${failure}. AWS says: ${words}`))
    })
  })
}
