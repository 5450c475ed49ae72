/**
 * GitHub's REST API on 127.0.0.1, as far as tornade calls it: real HTTP, real signatures, state, and faults to order.
 * Every request and every answer is held against GitHub's own description; what does not fit stands in `problems`.
 *
 * Fidelity: what is not described (limits, tokens, messages) follows GitHub's documentation and reports of others. Tokens
 * and writes are known everywhere at once, except where a fault says otherwise. Rate limits are only told, never kept.
 */
import { createPublicKey, type KeyObject, randomBytes, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RepositoryRef } from '../../functions/core/types.ts'
import type { Clock } from '../../functions/ports.ts'
import { Description } from '../github/openapi/description.ts'

export interface Installation {
  readonly id: number
  readonly repositories: readonly RepositoryRef[]
  /** What the App was granted; everything that tornade needs, unless given. */
  readonly permissions?: Readonly<Record<string, string>>
  readonly suspended?: boolean
}

export interface GitHubServerOptions {
  readonly clock: Clock
  readonly appId: number
  /** PEM */
  readonly publicKey: string
  readonly installations: readonly Installation[]
  /** Where the API begins: '' as on api.github.com, /api/v3 on a GitHub Enterprise Server. */
  readonly root?: string
  /** Ids of the runner groups of organisations. */
  readonly groups?: readonly number[]
  /** As servers do that do not know the parameter `name` of lists of runners. */
  readonly ignoresRunnerName?: boolean
}

/** What happens to a call instead of what it asks for; with `delayMs` alone, or `after`, it happens all the same. */
export interface Fault {
  readonly status?: number
  readonly message?: string
  readonly errors?: readonly unknown[]
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of JSON. */
  readonly text?: string
  /** No answer: the connection stays open, or breaks, before or (`after`) once the call was carried out; or half of one. */
  readonly connection?: 'hangs' | 'breaks' | 'half'
  readonly after?: true
  readonly delayMs?: number
}

export interface Call {
  readonly operation: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly body: unknown
  readonly as: 'app' | 'installation' | 'user' | 'nobody'
  /** null where no answer was sent. */
  status: number | null
}

export interface ServerToken {
  readonly token: string
  readonly installationId: number
  /** null is all of the installation. */
  readonly repositoryIds: readonly number[] | null
  readonly permissions: Readonly<Record<string, string>>
  readonly expiresAt: number
}
/** Somebody whose token this server knows. */
export interface ServerUser {
  readonly id: number
  readonly login: string
  /** Of organisations that installed the App, which are all that its tokens show. */
  readonly memberships: readonly {
    readonly id: number
    readonly login: string
    readonly state?: 'active' | 'pending'
    readonly role?: 'admin' | 'member' | 'billing_manager'
  }[]
  /** False where the App has not the organisation permission `members`. */
  readonly mayListMembers?: boolean
}
export interface ServerRunner {
  readonly id: number
  readonly name: string
  readonly labels: readonly string[]
  readonly groupId: number
  /** Id of the repository, or login of the organisation. */
  readonly owner: number | string
  readonly encodedJitConfig: string
  busy: boolean
}
export interface ServerJob {
  readonly id: number
  readonly runId: number
  readonly repositoryId: number
  status: 'queued' | 'waiting' | 'pending' | 'requested' | 'in_progress' | 'completed'
  conclusion: string | null
  runner: { readonly id: number; readonly name: string } | null
  readonly createdAt: number
  startedAt: number | null
  completedAt: number | null
  labels: readonly string[]
}
export interface ServerRun {
  readonly id: number
  readonly repositoryId: number
  readonly event: string
  readonly headBranch: string
  readonly headRepositoryId: number | null
  readonly path: string
  readonly attempt: number
}
export interface ServerCheck {
  readonly id: number
  readonly repositoryId: number
  readonly name: string
  readonly headSha: string
  readonly externalId: string
  readonly status: string
  readonly conclusion: string
  readonly title: string
  readonly summary: string
}
export interface ServerDeployment {
  readonly id: number
  readonly ref: string
  readonly environment: string
  readonly statuses: {
    readonly state: string
    readonly description?: string
    readonly log_url?: string
    readonly environment_url?: string
  }[]
}
export interface ServerDelivery {
  /** Digits; too many for a double. */
  readonly id: string
  readonly guid: string
  readonly deliveredAt: number
  readonly statusCode: number
  readonly action: string
  /** workflow_job where nothing is said. */
  readonly event?: string
  /** What was sent; without it the log does not keep it any more. */
  readonly request?: { readonly headers: Readonly<Record<string, string>>; readonly payload: unknown }
}

const ALL: Readonly<Record<string, string>> = {
  administration: 'write',
  organization_self_hosted_runners: 'write',
  actions: 'write',
  checks: 'write',
  metadata: 'read',
}

/** Who may call an operation: the App itself, a person, or an installation with this right. */
const RIGHTS: Readonly<
  Record<string, 'app' | 'user' | readonly [permission: string, level: 'read' | 'write']>
> = {
  'apps/create-installation-access-token': 'app',
  'apps/get-repo-installation': 'app',
  'apps/list-webhook-deliveries': 'app',
  'apps/get-webhook-delivery': 'app',
  'apps/redeliver-webhook-delivery': 'app',
  'actions/generate-runner-jitconfig-for-repo': ['administration', 'write'],
  'actions/list-self-hosted-runners-for-repo': ['administration', 'read'],
  'actions/delete-self-hosted-runner-from-repo': ['administration', 'write'],
  'actions/generate-runner-jitconfig-for-org': ['organization_self_hosted_runners', 'write'],
  'actions/list-self-hosted-runners-for-org': ['organization_self_hosted_runners', 'read'],
  'actions/delete-self-hosted-runner-from-org': ['organization_self_hosted_runners', 'write'],
  'actions/get-job-for-workflow-run': ['actions', 'read'],
  'actions/list-jobs-for-workflow-run': ['actions', 'read'],
  'actions/list-workflow-runs-for-repo': ['actions', 'read'],
  'actions/re-run-job-for-workflow-run': ['actions', 'write'],
  'actions/get-workflow-run': ['actions', 'read'],
  'actions/cancel-workflow-run': ['actions', 'write'],
  'actions/create-workflow-dispatch': ['actions', 'write'],
  'checks/list-for-ref': ['checks', 'read'],
  'checks/create': ['checks', 'write'],
  'repos/create-deployment': ['deployments', 'write'],
  'repos/create-deployment-status': ['deployments', 'write'],
  'users/get-authenticated': 'user',
  'orgs/list-memberships-for-authenticated-user': 'user',
  'checks/update': ['checks', 'write'],
}

interface Reply {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}
type Body = Record<string, unknown>
type Incoming = Omit<Call, 'status' | 'as'> & {
  readonly params: Readonly<Record<string, string>>
  readonly authorization: string
}

export class GitHubServer {
  readonly calls: Call[] = []
  /** Requests and answers that are not as GitHub describes them, and credentials that are not as they should be. */
  readonly problems: string[] = []
  readonly tokens = new Map<string, ServerToken>()
  readonly userTokens = new Map<string, ServerUser>()
  readonly runners = new Map<number, ServerRunner>()
  readonly jobs = new Map<number, ServerJob>()
  readonly runs = new Map<number, ServerRun>()
  readonly checks: ServerCheck[] = []
  readonly deployments: ServerDeployment[] = []
  /** Newest first. */
  readonly deliveries: ServerDelivery[] = []
  readonly redelivered: string[] = []
  readonly dispatched: {
    readonly repositoryId: number
    readonly workflow: string
    readonly ref: string
    readonly inputs: Readonly<Record<string, string>>
  }[] = []
  /** Commits that are not in any repository. */
  readonly missingCommits = new Set<string>()
  installations: readonly Installation[]

  readonly #options: GitHubServerOptions
  readonly #description: Description
  readonly #key: KeyObject
  readonly #server: Server
  readonly #jwts = new Set<string>()
  readonly #faults: { readonly operation: string; readonly fault: Fault; times: number }[] = []
  #lastId = 1000
  #used = 0

  private constructor(options: GitHubServerOptions, description: Description) {
    this.#options = options
    this.#description = description
    this.#key = createPublicKey(options.publicKey)
    this.installations = options.installations
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async start(options: GitHubServerOptions): Promise<GitHubServer> {
    const server = new GitHubServer(options, await description())
    await new Promise<void>(resolve => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}${this.#options.root ?? ''}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** As the App's web flow hands it out. */
  userToken(user: ServerUser): string {
    const token = `ghu_${randomBytes(27).toString('base64url').replace(/[-_]/g, 'x')}`
    this.userTokens.set(token, user)
    return token
  }

  /** The next calls of an operation go wrong. */
  fail(operation: string, fault: Fault, times = 1): void {
    this.#faults.push({ operation, fault, times })
  }

  /** How often an operation was called. */
  count(operation: string): number {
    return this.calls.filter(call => call.operation === operation).length
  }

  queueJob(
    repositoryId: number,
    run: Partial<ServerRun> = {},
    status: ServerJob['status'] = 'queued',
  ): ServerJob {
    const id = this.#newId()
    const runId = run.id ?? this.#newId()
    this.runs.set(runId, {
      id: runId,
      repositoryId,
      event: 'push',
      headBranch: 'main',
      headRepositoryId: repositoryId,
      path: '.github/workflows/ci.yml',
      attempt: 1,
      ...run,
    })
    const createdAt = this.#options.clock.now()
    const nothing = { conclusion: null, runner: null, startedAt: null, completedAt: null }
    const job: ServerJob = { id, runId, repositoryId, status, createdAt, ...nothing, labels: ['tornade'] }
    this.jobs.set(id, job)
    return job
  }

  finishJob(job: ServerJob, conclusion: string): void {
    job.status = 'completed'
    job.conclusion = conclusion
    job.completedAt = this.#options.clock.now()
  }

  // ------------------------------------------------------------------------------------------------------------ HTTP

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#handle(request, response)
    } catch (error) {
      this.problems.push(`the server itself failed: ${(error as Error).stack}`)
      response.destroy()
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const incoming = await this.#read(request)
    if (!incoming) return send(response, notFound())
    const who = this.#identify(incoming)
    const call: Call = { ...incoming, as: who.as, status: null }
    this.calls.push(call)
    const fault = this.#takeFault(incoming.operation)
    if (fault?.delayMs) await new Promise(resolve => setTimeout(resolve, fault.delayMs))
    const silent = fault?.connection === 'hangs' || fault?.connection === 'breaks'
    if (silent && !fault.after) return fault.connection === 'breaks' ? void response.destroy() : undefined
    const reply = fault?.status ? replyOf(fault) : this.#answer(incoming, who)
    if (silent) return fault.connection === 'breaks' ? void response.destroy() : undefined
    call.status = reply.status
    const limited: Reply = { ...reply, headers: { ...this.#pace(incoming.operation), ...reply.headers } }
    if (fault?.text !== undefined) return send(response, limited, fault.text)
    if (fault?.connection === 'half') return sendHalf(response, reply)
    send(response, this.#checked(incoming, limited))
  }

  async #read(request: IncomingMessage): Promise<Incoming | null> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const method = (request.method ?? '').toLowerCase()
    const url = new URL(request.url ?? '', 'http://127.0.0.1')
    const root = this.#options.root ?? ''
    const path = url.pathname.startsWith(`${root}/`) ? url.pathname.slice(root.length) : null
    const match = path === null ? null : this.#description.match({ method, path })
    if (path === null || match === null) {
      this.problems.push(`${method} ${url.pathname} is not described`)
      return null
    }
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    )
    const query = Object.fromEntries(url.searchParams)
    const { authorization = '', ...rest } = headers
    const body = text === '' ? undefined : (JSON.parse(text) as unknown)
    const params = Object.fromEntries(
      Object.entries(match.params).map(([name, value]) => [name, decodeURIComponent(value)]),
    )
    return { operation: match.operationId, method, path, headers: rest, query, body, params, authorization }
  }

  #takeFault(operation: string): Fault | undefined {
    const index = this.#faults.findIndex(entry => entry.operation === operation)
    const entry = this.#faults[index]
    if (!entry) return undefined
    entry.times--
    if (entry.times === 0) this.#faults.splice(index, 1)
    return entry.fault
  }

  #pace(operation: string): Record<string, string> {
    this.#used++
    return {
      'x-ratelimit-limit': '5000',
      'x-ratelimit-used': String(this.#used),
      'x-ratelimit-remaining': String(5000 - this.#used),
      'x-ratelimit-reset': String(Math.floor(this.#options.clock.now() / 1000) + 3600),
      'x-ratelimit-resource': operation.includes('jitconfig') ? 'actions_runner_registration' : 'core',
    }
  }

  /** An answer that is not as described is a fault of this server, and no test may pass with it. */
  #checked({ operation }: Incoming, reply: Reply): Reply {
    const described = withoutDeviations(operation, JSON.parse(JSON.stringify(reply.body ?? null, asNumber)))
    const body = reply.body === undefined ? undefined : described
    const faults = this.#description.responseFaults(operation, reply.status, body)
    if (faults.length === 0) return reply
    this.problems.push(...faults.map(fault => `${operation} is answered ${reply.status}: ${fault}`))
    return failed(500, `The answer would not be as described: ${faults.join('; ')}`)
  }

  // ----------------------------------------------------------------------------------------------------- credentials

  #identify({ authorization }: Incoming): Identity {
    const [scheme = '', secret = ''] = authorization.split(' ')
    const token = this.tokens.get(secret)
    if (token) return { as: 'installation', token }
    const user = this.userTokens.get(secret)
    if (user) return { as: 'user', user }
    if (scheme.toLowerCase() === 'bearer' && secret.split('.').length === 3 && !secret.startsWith('ghs_'))
      return { as: 'app', jwt: secret }
    return { as: 'nobody' }
  }

  #answer(incoming: Incoming, who: Identity): Reply {
    const { operation, headers } = incoming
    const faults = this.#description.requestFaults(operation, incoming)
    if (headers['x-github-api-version'] !== '2022-11-28') faults.push('no API version is asked for')
    if (!headers['user-agent']?.startsWith('tornade ')) faults.push('the user agent is not named')
    if (faults.length > 0) {
      this.problems.push(...faults.map(fault => `${incoming.method} ${incoming.path}: ${fault}`))
      return failed(400, `Problems with the request: ${faults.join('; ')}`)
    }
    const right = RIGHTS[operation]!
    if (right === 'app') return who.as === 'app' ? this.#asApp(incoming, who.jwt) : badCredentials()
    if (right === 'user')
      return who.as === 'user'
        ? this.#userOperations[incoming.operation]!(incoming, who.user)
        : badCredentials()
    return who.as === 'installation' ? this.#asInstallation(incoming, who.token, right) : badCredentials()
  }

  #asApp(incoming: Incoming, jwt: string): Reply {
    const fault = this.#jwtFault(jwt)
    if (fault) {
      this.problems.push(`JWT: ${fault}`)
      return failed(401, fault)
    }
    // As reported: https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5025
    if (incoming.operation === 'apps/create-installation-access-token' && this.#jwts.has(jwt))
      return notFound()
    this.#jwts.add(jwt)
    return this.#appOperations[incoming.operation]!(incoming)
  }

  #jwtFault(jwt: string): string | null {
    const [header, claims, signature] = jwt.split('.') as [string, string, string]
    const { alg, typ } = decoded(header)
    if (alg !== 'RS256' || typ !== 'JWT') return 'A JSON web token could not be decoded'
    const text = Buffer.from(`${header}.${claims}`)
    if (!verify('sha256', text, this.#key, Buffer.from(signature, 'base64url')))
      return 'A JSON web token could not be decoded'
    const { iss, iat, exp, jti } = decoded(claims)
    const now = this.#options.clock.now() / 1000
    if (String(iss) !== String(this.#options.appId)) return "'Issuer' claim ('iss') must be an Integer"
    if (!Number.isInteger(iat) || (iat as number) > now)
      return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if (!Number.isInteger(exp) || (exp as number) <= now)
      return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
    if ((exp as number) - now > 600) return "'Expiration time' claim ('exp') is too far in the future"
    return typeof jti === 'string' && jti !== '' ? null : 'the token has no jti'
  }

  #asInstallation(
    incoming: Incoming,
    token: ServerToken,
    [permission, level]: readonly [string, string],
  ): Reply {
    if (token.expiresAt <= this.#options.clock.now()) return badCredentials()
    const { params } = incoming
    const granted = token.permissions[permission]
    const mayCall = granted === 'write' || granted === level
    if (params.org !== undefined) {
      const ours = this.#reposOf(token).some(({ name }) => sameName(ownerOf(name), params.org!))
      if (!ours) return notFound()
      return mayCall ? this.#orgOperations[incoming.operation]!(incoming, params.org) : forbidden()
    }
    const fullName = `${params.owner}/${params.repo}`
    const repository = this.#reposOf(token).find(({ name }) => sameName(name, fullName))
    if (!repository) return notFound()
    return mayCall ? this.#repoOperations[incoming.operation]!(incoming, repository) : forbidden()
  }

  /** What the token is narrowed to. */
  #reposOf({ installationId, repositoryIds }: ServerToken): readonly RepositoryRef[] {
    const all = this.installations.find(({ id }) => id === installationId)?.repositories ?? []
    return repositoryIds === null ? all : all.filter(({ id }) => repositoryIds.includes(id))
  }

  // ------------------------------------------------------------------------------------------------------ operations

  readonly #appOperations: Readonly<Record<string, (incoming: Incoming) => Reply>> = {
    'apps/get-repo-installation': ({ params }) => {
      const name = `${params.owner}/${params.repo}`
      const installation = this.installations.find(({ repositories }) =>
        repositories.some(repository => sameName(repository.name, name)),
      )
      if (!installation) return notFound()
      return this.#example('apps/get-repo-installation', 200, {
        id: installation.id,
        app_id: this.#options.appId,
      })
    },
    'apps/create-installation-access-token': ({ params, body }) => {
      const installation = this.installations.find(({ id }) => String(id) === params.installation_id)
      if (!installation) return notFound()
      if (installation.suspended) return failed(403, 'This installation has been suspended')
      const { repository_ids: ids = null, permissions } = (body ?? {}) as {
        repository_ids?: number[]
        permissions?: Record<string, string>
      }
      const granted = installation.permissions ?? ALL
      const asked = permissions ?? granted
      if (Object.entries(asked).some(([name, level]) => granted[name] !== level && granted[name] !== 'write'))
        return invalid('The permissions requested are not granted to this installation.')
      if (ids?.some(wanted => !installation.repositories.some(({ id }) => id === wanted)))
        return invalid(
          'There is at least one repository that does not exist or is not accessible to the parent installation.',
        )
      return this.#newToken(installation.id, ids, asked)
    },
    'apps/list-webhook-deliveries': ({ query }) => {
      const failures = this.deliveries.filter(
        ({ statusCode }) => (query.status === 'failure') === statusCode >= 400 || query.status === undefined,
      )
      const from = query.cursor === undefined ? 0 : Number(query.cursor.replace('v1_', ''))
      const size = Number(query.per_page ?? 30)
      const next = `<${this.url}/app/hook/deliveries?per_page=${size}&cursor=v1_${from + size}>; rel="next"`
      const items = failures.slice(from, from + size).map(delivery => this.#logged(delivery))
      return { status: 200, body: items, headers: from + size < failures.length ? { link: next } : {} }
    },
    'apps/get-webhook-delivery': ({ params }) => {
      const delivery = this.deliveries.find(({ id }) => id === params.delivery_id)
      if (!delivery?.request) return notFound()
      const response = { headers: {}, payload: null }
      return { status: 200, body: { ...this.#logged(delivery), request: delivery.request, response } }
    },
    'apps/redeliver-webhook-delivery': ({ params }) => {
      const delivery = this.deliveries.find(({ id }) => id === params.delivery_id)
      if (!delivery) return notFound()
      this.redelivered.push(delivery.id)
      return { status: 202, body: {} }
    },
  }

  readonly #userOperations: Readonly<Record<string, (incoming: Incoming, user: ServerUser) => Reply>> = {
    'users/get-authenticated': ({ operation }, { id, login }) => this.#example(operation, 200, { id, login }),
    'orgs/list-memberships-for-authenticated-user': ({ query, operation }, user) => {
      if (user.mayListMembers === false) return forbidden()
      const found = user.memberships.filter(({ state = 'active' }) => state === (query.state ?? state))
      const [first] = this.#description.example(operation, 200) as unknown as [Body]
      return {
        status: 200,
        body: page(found, query).map(({ id, login, state = 'active', role = 'member' }) => ({
          ...first,
          state,
          role,
          organization: { ...(first.organization as Body), id, login },
          user: { ...(first.user as Body), id: user.id, login: user.login },
        })),
      }
    },
  }

  #logged({ id, guid, deliveredAt, statusCode, action, event = 'workflow_job' }: ServerDelivery) {
    return {
      id: BigInt(id),
      guid,
      delivered_at: iso(deliveredAt),
      redelivery: false,
      duration: 0.03,
      status: statusCode >= 400 ? 'Bad Gateway' : 'OK',
      status_code: statusCode,
      event,
      action,
      installation_id: this.installations[0]?.id ?? null,
      repository_id: this.installations[0]?.repositories[0]?.id ?? null,
      throttled_at: null,
    }
  }

  readonly #orgOperations: Readonly<Record<string, (incoming: Incoming, org: string) => Reply>> = {
    'actions/generate-runner-jitconfig-for-org': (incoming, org) =>
      this.#register(incoming, org, this.#options.groups ?? [1]),
    'actions/list-self-hosted-runners-for-org': (incoming, org) => this.#listRunners(incoming, org),
    'actions/delete-self-hosted-runner-from-org': (incoming, org) => this.#deleteRunner(incoming, org),
  }

  readonly #repoOperations: Readonly<
    Record<string, (incoming: Incoming, repository: RepositoryRef) => Reply>
  > = {
    'actions/generate-runner-jitconfig-for-repo': (incoming, { id }) => this.#register(incoming, id, [1]),
    'actions/list-self-hosted-runners-for-repo': (incoming, { id }) => this.#listRunners(incoming, id),
    'actions/delete-self-hosted-runner-from-repo': (incoming, { id }) => this.#deleteRunner(incoming, id),
    'actions/get-job-for-workflow-run': ({ params, operation }, { id }) => {
      const job = this.jobs.get(Number(params.job_id))
      if (job?.repositoryId !== id) return notFound()
      return this.#example(operation, 200, jobBody(job))
    },
    'actions/get-workflow-run': ({ params, operation }, { id }) => {
      const run = this.runs.get(Number(params.run_id))
      if (run?.repositoryId !== id) return notFound()
      return this.#example(operation, 200, example => runBody(run, example))
    },
    'actions/list-jobs-for-workflow-run': ({ params, query, operation }, { id }) => {
      const run = this.runs.get(Number(params.run_id))
      if (run?.repositoryId !== id) return notFound()
      const jobs = [...this.jobs.values()].filter(({ runId }) => runId === run.id)
      return this.#example(operation, 200, example => {
        const [first] = example.jobs as Body[]
        return {
          total_count: jobs.length,
          jobs: page(jobs, query).map(job => ({
            ...first,
            ...jobBody(job),
            labels: job.labels,
          })),
        }
      })
    },
    'actions/list-workflow-runs-for-repo': ({ query, operation }, { id }) => {
      const runs = [...this.runs.values()]
        .filter(run => run.repositoryId === id && [undefined, this.#statusOf(run.id)].includes(query.status))
        .reverse()
      return this.#example(operation, 200, example => {
        const [first] = example.workflow_runs as Body[]
        return {
          total_count: runs.length,
          workflow_runs: page(runs, query).map(run => ({
            ...first,
            ...runBody(run, first!),
          })),
        }
      })
    },
    'actions/cancel-workflow-run': ({ params }, { id }) => {
      const run = this.runs.get(Number(params.run_id))
      if (run?.repositoryId !== id) return notFound()
      const open = this.#openJobs(run.id)
      if (open.length === 0) return failed(409, 'Cannot cancel a workflow run that is completed.')
      for (const job of open) this.finishJob(job, 'cancelled')
      return { status: 202, body: {} }
    },
    'actions/create-workflow-dispatch': ({ params, body }, { id }) => {
      const { ref, inputs = {} } = body as { ref: string; inputs?: Record<string, string> }
      const own = [...this.runs.values()].filter(run => run.repositoryId === id)
      if (!own.some(({ path }) => path === `.github/workflows/${params.workflow_id}`)) return notFound()
      const branch = own.find(({ headBranch }) => [headBranch, `refs/heads/${headBranch}`].includes(ref))
      if (!branch) return invalid(`No ref found for: ${ref}`)
      this.dispatched.push({ repositoryId: id, workflow: params.workflow_id!, ref, inputs })
      return { status: 204 }
    },
    'actions/re-run-job-for-workflow-run': ({ params }, { id }) => {
      const job = this.jobs.get(Number(params.job_id))
      const run = job && this.runs.get(job.runId)
      if (!run || job.repositoryId !== id) return notFound()
      // https://github.com/NVIDIA-NeMo/RL/pull/1193
      if (this.#openJobs(run.id).length > 0)
        return failed(403, 'The workflow run containing this job is already running')
      this.queueJob(id, { ...run, attempt: run.attempt + 1 })
      return { status: 201, body: {} }
    },
    'checks/list-for-ref': ({ params, query, operation }, { id }) => {
      if (this.missingCommits.has(params.ref!)) return invalid(`No commit found for SHA: ${params.ref}`)
      const mine = this.checks.filter(
        check => check.repositoryId === id && check.headSha === params.ref && check.name === query.check_name,
      )
      const shown = query.filter === 'all' ? mine : mine.slice(-1)
      return this.#example(operation, 200, example => {
        const [first] = example.check_runs as Body[]
        return {
          total_count: shown.length,
          check_runs: page(shown, query).map(check => ({ ...first, ...checkBody(check) })),
        }
      })
    },
    'checks/create': ({ body, operation }, { id }) => {
      const { name, head_sha, external_id, status, conclusion, output } = body as Record<string, string> & {
        output: { title: string; summary: string }
      }
      if (this.missingCommits.has(head_sha!)) return invalid(`No commit found for SHA: ${head_sha}`)
      if (output.summary.length > 65_535) return invalid('Invalid request. summary is too long.')
      const check: ServerCheck = {
        id: this.#newId(),
        repositoryId: id,
        name: name!,
        headSha: head_sha!,
        externalId: external_id ?? '',
        status: status!,
        conclusion: conclusion!,
        ...output,
      }
      this.checks.push(check)
      return this.#example(operation, 201, checkBody(check))
    },
    'checks/update': ({ params, body, operation }, { id }) => {
      const place = this.checks.findIndex(
        check => check.repositoryId === id && check.id === Number(params.check_run_id),
      )
      if (place < 0) return notFound()
      const { output } = body as { output: { title: string; summary: string } }
      if (output.summary.length > 65_535) return invalid('Invalid request. summary is too long.')
      this.checks[place] = { ...this.checks[place]!, ...output }
      return this.#example(operation, 200, checkBody(this.checks[place]))
    },
    'repos/create-deployment': ({ body, operation }, { name }) => {
      const { ref, environment = 'production' } = body as { ref: string; environment?: string }
      if (this.missingCommits.has(ref)) return invalid(`No ref found for: ${ref}`)
      const deployment: ServerDeployment = { id: this.#newId(), ref, environment, statuses: [] }
      this.deployments.push(deployment)
      const url = `https://api.github.com/repos/${name}/deployments/${deployment.id}`
      return this.#example(operation, 201, () => ({ id: deployment.id, url, sha: ref, ref, environment }))
    },
    'repos/create-deployment-status': ({ body, params, operation }) => {
      const deployment = this.deployments.find(({ id }) => id === Number(params.deployment_id))
      if (!deployment) return notFound()
      const { state, description = '' } = body as { state: string; description?: string }
      if (description.length > 140) return invalid('description is too long (maximum is 140 characters)')
      deployment.statuses.push(body as ServerDeployment['statuses'][number])
      return this.#example(operation, 201, () => ({ id: this.#newId(), state, description }))
    },
  }

  #newToken(
    installationId: number,
    repositoryIds: readonly number[] | null,
    permissions: Record<string, string>,
  ): Reply {
    const expiresAt = Math.floor(this.#options.clock.now() / 1000) * 1000 + 3_600_000
    const token = newTokenText(this.#options.appId)
    this.tokens.set(token, { token, installationId, repositoryIds, permissions, expiresAt })
    return this.#example('apps/create-installation-access-token', 201, example => {
      const [first] = example.repositories as Body[]
      const repositories = this.#reposOf(this.tokens.get(token)!)
      return {
        token,
        expires_at: iso(expiresAt),
        permissions,
        repository_selection: repositoryIds === null ? 'all' : 'selected',
        repositories: repositories.map(({ id, name }) => ({
          ...first,
          id,
          name: name.split('/')[1],
          full_name: name,
        })),
      }
    })
  }

  #register({ body, operation }: Incoming, owner: number | string, groups: readonly number[]): Reply {
    const {
      name,
      labels,
      runner_group_id: groupId,
    } = body as {
      name: string
      labels: string[]
      runner_group_id: number
    }
    if (!groups.includes(groupId)) return notFound()
    if (!/^[\w.-]{1,64}$/.test(name)) return invalid('Invalid runner name.')
    if ([...this.runners.values()].some(other => other.owner === owner && sameName(other.name, name)))
      return failed(409, `Already exists - A runner with the name ${name} already exists.`)
    const id = this.#newId()
    const encodedJitConfig = randomBytes(3400).toString('base64')
    const runner: ServerRunner = { id, name, labels, groupId, owner, encodedJitConfig, busy: false }
    this.runners.set(id, runner)
    return this.#example(operation, 201, {
      runner: runnerBody(runner),
      encoded_jit_config: encodedJitConfig,
    })
  }

  #listRunners({ query, operation }: Incoming, owner: number | string): Reply {
    const name = this.#options.ignoresRunnerName ? undefined : query.name
    const found = [...this.runners.values()].filter(
      runner => runner.owner === owner && (name === undefined || runner.name === name),
    )
    return this.#example(operation, 200, {
      total_count: found.length,
      runners: page(found, query).map(runnerBody),
    })
  }

  #deleteRunner({ params }: Incoming, owner: number | string): Reply {
    const runner = this.runners.get(Number(params.runner_id))
    if (runner?.owner !== owner) return notFound()
    if (runner.busy)
      return invalid(
        `Bad request - Runner "${runner.name}" is currently running a job and cannot be deleted.`,
      )
    this.runners.delete(runner.id)
    return { status: 204 }
  }

  #statusOf(runId: number): string {
    const statuses = new Set(
      [...this.jobs.values()].filter(job => job.runId === runId).map(job => job.status),
    )
    if (statuses.size === 1) return [...statuses][0]!
    return statuses.has('in_progress') || statuses.has('completed') ? 'in_progress' : 'queued'
  }

  #openJobs(runId: number): ServerJob[] {
    return [...this.jobs.values()].filter(job => job.runId === runId && job.status !== 'completed')
  }

  /** GitHub's example, with what is known here in place of what it says. */
  #example(operation: string, status: number, changes: Body | ((example: Body) => Body)): Reply {
    const example = this.#description.example(operation, status)
    return {
      status,
      body: { ...example, ...(typeof changes === 'function' ? changes(example) : changes) },
    }
  }

  #newId(): number {
    return ++this.#lastId
  }
}

type Identity =
  | { readonly as: 'app'; readonly jwt: string }
  | { readonly as: 'installation'; readonly token: ServerToken }
  | { readonly as: 'user'; readonly user: ServerUser }
  | { readonly as: 'nobody' }

let loading: Promise<Description> | undefined
/** Shared, because compiling its schemas is what takes long. */
function description(): Promise<Description> {
  loading ??= Description.load()
  return loading
}

/** What GitHub is known to answer although its description does not allow it. */
function withoutDeviations(operation: string, body: unknown): unknown {
  // A deleted fork: https://github.com/github/rest-api-description/issues/1586
  if (operation === 'actions/get-workflow-run' && (body as Body | null)?.head_repository === null)
    return { ...(body as Body), head_repository: (body as Body).repository }
  if (operation === 'actions/list-workflow-runs-for-repo' && (body as Body | null)?.workflow_runs) {
    const runs = (body as { workflow_runs: Body[] }).workflow_runs
    return {
      ...(body as Body),
      workflow_runs: runs.map(run => ({ ...run, head_repository: run.head_repository ?? run.repository })),
    }
  }
  return body
}

/** 520 characters, with dots: https://github.blog/changelog/2026-05-15-github-app-installation-tokens-per-request-override-header */
function newTokenText(appId: number): string {
  const part = (length: number) => randomBytes(length).toString('base64url').slice(0, length)
  const start = `ghs_${appId}_eyJ${part(40)}.eyJ${part(200)}.`
  return start + part(520 - start.length)
}

function jobBody({
  id,
  runId,
  status,
  conclusion,
  runner,
  createdAt,
  startedAt,
  completedAt,
}: ServerJob): Body {
  return {
    id,
    run_id: runId,
    status,
    conclusion,
    created_at: iso(createdAt),
    // Before its start a job has the time when it was queued here
    started_at: iso(startedAt ?? createdAt),
    completed_at: completedAt === null ? null : iso(completedAt),
    runner_id: runner?.id ?? 0,
    runner_name: runner?.name ?? '',
  }
}

function runBody({ id, attempt, event, headBranch, path, headRepositoryId }: ServerRun, example: Body): Body {
  const head = example.head_repository as Body
  return {
    id,
    run_attempt: attempt,
    event,
    head_branch: headBranch,
    path,
    head_repository: headRepositoryId === null ? null : { ...head, id: headRepositoryId },
  }
}

function runnerBody({ id, name, labels, groupId, busy }: ServerRunner): Body {
  const status = busy ? 'online' : 'offline'
  const custom = labels.map(label => ({ id: 0, name: label, type: 'custom' }))
  return { id, name, os: 'unknown', status, busy, labels: custom, runner_group_id: groupId, ephemeral: true }
}

function checkBody({ id, name, headSha, externalId, status, conclusion, title, summary }: ServerCheck): Body {
  const output = {
    title,
    summary,
    text: null,
    annotations_count: 0,
    annotations_url: 'https://api.github.com/a',
  }
  return { id, name, head_sha: headSha, external_id: externalId, status, conclusion, output }
}

function page<T>(items: readonly T[], query: Readonly<Record<string, string>>): T[] {
  const size = Math.min(100, Number(query.per_page ?? 30))
  const from = (Number(query.page ?? 1) - 1) * size
  return items.slice(from, from + size)
}

function replyOf({ status = 500, message = 'Server Error', errors, headers }: Fault): Reply {
  const reply = failed(status, message)
  return {
    ...reply,
    body: { ...(reply.body as Body), ...(errors ? { errors } : {}) },
    headers: headers ?? {},
  }
}

function failed(status: number, message: string): Reply {
  const documentation_url = 'https://docs.github.com/rest'
  return { status, body: { message, documentation_url, status: String(status) } }
}
const notFound = () => failed(404, 'Not Found')
const badCredentials = () => failed(401, 'Bad credentials')
const forbidden = () => failed(403, 'Resource not accessible by integration')
const invalid = (message: string) => failed(422, message)

function send(response: ServerResponse, { status, body, headers }: Reply, text?: string): void {
  const type = text === undefined ? 'application/json; charset=utf-8' : 'text/html'
  response.writeHead(status, { ...(status === 204 ? {} : { 'content-type': type }), ...headers })
  response.end(text ?? (body === undefined ? undefined : JSON.stringify(body, asRaw)))
}

function sendHalf(response: ServerResponse, { status, body }: Reply): void {
  const text = JSON.stringify(body, asRaw)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length })
  response.write(text.slice(0, text.length / 2), () => response.destroy())
}

/** Numbers of any length: https://github.com/tc39/proposal-json-parse-with-source, which TypeScript does not know yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
function asRaw(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJSON(String(value)) : value
}
function asNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

function decoded(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
}
function ownerOf(fullName: string): string {
  return fullName.slice(0, fullName.indexOf('/'))
}
function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}
/** As GitHub writes times: without milliseconds. */
function iso(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z')
}
