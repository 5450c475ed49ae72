/** Argo CD's REST API, as far as a deployment needs it. The token goes to the server that was named and nowhere else. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { rootCertificates } from 'node:tls'
import { type DeployFault, failed, refused, unusable } from './fault.ts'
import { line } from './text.ts'

/** Of v1alpha1Application, what is looked at. Anything may be missing. */
export interface Application {
  readonly metadata?: { readonly name?: string }
  readonly spec?: {
    readonly project?: string
    readonly source?: { readonly repoURL?: string; readonly targetRevision?: string }
    readonly syncPolicy?: { readonly automated?: { readonly enabled?: boolean } }
  }
  readonly operation?: object
  readonly status?: Status
}
export interface Status {
  readonly sync?: { readonly status?: string } & Revisions
  readonly health?: { readonly status?: string; readonly message?: string }
  readonly operationState?: {
    readonly phase?: string
    readonly message?: string
    readonly startedAt?: string
    readonly operation?: { readonly sync?: Revisions }
    readonly syncResult?: Revisions & { readonly resources?: readonly SyncedResource[] }
  }
  readonly conditions?: readonly { readonly type?: string; readonly message?: string }[]
  readonly resources?: readonly Resource[]
  readonly summary?: { readonly images?: readonly string[]; readonly externalURLs?: readonly string[] }
}
/** An application with several sources has several. */
export interface Revisions {
  readonly revision?: string
  readonly revisions?: readonly string[]
}
export interface Resource {
  readonly kind?: string
  readonly name?: string
  readonly namespace?: string
  readonly status?: string
  readonly requiresPruning?: boolean
  readonly health?: { readonly status?: string; readonly message?: string }
}
export interface SyncedResource {
  readonly kind?: string
  readonly name?: string
  readonly status?: string
  readonly hookPhase?: string
  readonly message?: string
}

interface Tree {
  readonly nodes?: readonly {
    readonly kind?: string
    readonly images?: readonly string[]
    readonly parentRefs?: readonly { readonly kind?: string }[]
  }[]
}

export interface ArgoOptions {
  readonly server: URL
  readonly token: string
  /** PEM, beside the authorities that Node knows. */
  readonly ca: string | null
  readonly project: string | null
  readonly signal: AbortSignal
  /** Milliseconds without a byte of an answer; a stream may be silent for as long as nothing changes. */
  readonly patience: number
}

/** An answer that is no success; null as status where there was no answer. */
export class ArgoError extends Error {
  readonly status: number | null
  /** A certificate that does not hold, or something at the address that is not Argo CD; null for everything else. */
  readonly wrong: 'certificate' | 'address' | null

  constructor(status: number | null, message: string, wrong: ArgoError['wrong'] = null) {
    super(message)
    this.status = status
    this.wrong = wrong
  }

  /** Whether the same may be asked again: nothing came, the server was busy, or it failed. */
  get passing(): boolean {
    return this.wrong !== 'certificate' && (this.status === null || this.status === 429 || this.status >= 500)
  }
}

const LARGEST = 64_000_000

export class Argo {
  readonly #options: ArgoOptions

  constructor(options: ArgoOptions) {
    this.#options = options
  }

  /** With `refresh` it comes when Argo CD has compared the application with its repository anew. */
  async get(name: string, refresh = false): Promise<Application> {
    const query = { ...this.#scope(name), ...(refresh ? { refresh: 'normal' } : {}) }
    return (await this.#json('GET', `/api/v1/applications/${bare(name)}`, query)) as Application
  }

  /** Images of pods, but those of Jobs, which keep the image that they were begun with for as long as they are there. */
  async running(name: string): Promise<string[]> {
    const path = `/api/v1/applications/${bare(name)}/resource-tree`
    const { nodes } = (await this.#json('GET', path, this.#scope(name))) as Tree
    return (nodes ?? [])
      .filter(({ kind, parentRefs = [] }) => kind === 'Pod' && !parentRefs.some(({ kind }) => kind === 'Job'))
      .flatMap(({ images }) => images ?? [])
  }

  async sync(name: string, revision: string | null): Promise<Application> {
    const { project } = this.#options
    const { appNamespace } = this.#scope(name)
    const body = {
      name: bare(name),
      ...(appNamespace ? { appNamespace } : {}),
      ...(project ? { project } : {}),
      ...(revision ? { revision } : {}),
    }
    return (await this.#json('POST', `/api/v1/applications/${bare(name)}/sync`, {}, body)) as Application
  }

  /** The application whenever it changes, at first as it is, until the stream ends or breaks. */
  async *watch(name: string, signal: AbortSignal): AsyncGenerator<Application> {
    const query = { name: bare(name), ...this.#scope(name) }
    const response = await this.#open('GET', '/api/v1/stream/applications', query, undefined, signal, 0)
    if (response.statusCode !== 200) throw await this.#errorOf(response)
    let rest = ''
    response.setEncoding('utf8')
    for await (const chunk of response) {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop()!
      if (rest.length > LARGEST) throw new ArgoError(null, 'an event of the stream has no end')
      for (const text of parts.filter(part => part.trim() !== '')) {
        const { result } = parsed(text) as { result?: { type?: string; application?: Application } }
        if (!result?.application) throw new ArgoError(null, 'the stream says that it has failed')
        if (result.application.metadata?.name === bare(name)) yield result.application
      }
    }
  }

  /** Where a person looks at it. */
  page(name: string): string {
    const { appNamespace } = this.#scope(name)
    return this.#url(`/applications/${appNamespace ? `${appNamespace}/` : ''}${bare(name)}`, {}).href
  }

  #scope(name: string): { readonly project?: string; readonly appNamespace?: string } {
    const { project } = this.#options
    const slash = name.indexOf('/')
    return { ...(project ? { project } : {}), ...(slash > 0 ? { appNamespace: name.slice(0, slash) } : {}) }
  }

  #url(path: string, query: Readonly<Record<string, string>>): URL {
    const { server } = this.#options
    const url = new URL(server.pathname.replace(/\/+$/, '') + path, server)
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
    return url
  }

  async #json(
    method: string,
    path: string,
    query: Readonly<Record<string, string>>,
    body?: unknown,
  ): Promise<unknown> {
    const response = await this.#open(method, path, query, body, this.#options.signal, this.#options.patience)
    if (response.statusCode !== 200) throw await this.#errorOf(response)
    return parsed(await textOf(response))
  }

  async #errorOf(response: IncomingMessage): Promise<ArgoError> {
    const status = response.statusCode!
    if (status >= 300 && status < 400) {
      response.destroy()
      return new ArgoError(status, `it redirects to ${line(response.headers.location ?? 'nowhere', 200)}`)
    }
    const text = await textOf(response).catch(() => '')
    let message = text
    try {
      const { message: said, error } = JSON.parse(text) as { message?: string; error?: string }
      message = said ?? error ?? text
    } catch {
      // A proxy's page.
    }
    return new ArgoError(status, line(String(message), 500) || 'it does not say why')
  }

  #open(
    method: string,
    path: string,
    query: Readonly<Record<string, string>>,
    body: unknown,
    signal: AbortSignal,
    patience: number,
  ): Promise<IncomingMessage> {
    const { token, ca } = this.#options
    const url = this.#url(path, query)
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options: RequestOptions = {
      method,
      signal,
      timeout: patience,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${token}`,
        'user-agent': 'tornade deploy',
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      },
    }
    const own = ca === null ? {} : { ca: [...rootCertificates, ca] }
    return new Promise((resolve, reject) => {
      const request =
        url.protocol === 'https:' ? httpsRequest(url, { ...options, ...own }) : httpRequest(url, options)
      request.on('timeout', () => request.destroy(new Error('no answer')))
      request.on('error', error => reject(new ArgoError(null, reasonOf(error), wrongIn(error))))
      request.on('response', resolve)
      request.end(text)
    })
  }
}

function bare(name: string): string {
  return name.slice(name.indexOf('/') + 1)
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer)
      length += (chunk as Buffer).length
      if (length > LARGEST) throw new Error('the answer has no end')
    }
  } catch (error) {
    throw new ArgoError(null, reasonOf(error as Error))
  }
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    throw new ArgoError(null, 'it answers with something that is no JSON', 'address')
  }
}

/** Names of OpenSSL and Node for a certificate that does not hold; and TLS towards a port that speaks none. */
function wrongIn({ code = '', message }: NodeJS.ErrnoException): ArgoError['wrong'] {
  if (/CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE/.test(code)) return 'certificate'
  return /wrong version number|packet length too long/i.test(message) ? 'address' : null
}

function reasonOf(error: NodeJS.ErrnoException): string {
  return line(error.code ? `${error.code}: ${error.message}` : error.message, 300)
}

/** What an answer means for the deployment. */
export function argoFault(
  error: ArgoError,
  name: string,
  project: string | null,
  verb: 'get' | 'sync',
): DeployFault {
  const { status, message, wrong } = error
  if (wrong === 'certificate')
    return unusable(
      `The certificate of Argo CD is not trusted: ${message}. Name a file with that of its authority by --ca, and the server by a name that it is for.`,
    )
  if (wrong === 'address')
    return unusable(
      `--server is not where Argo CD answers: ${message}. Is the path, the port or a login before it missing?`,
    )
  const object = `${project ?? 'PROJECT'}/${name}`
  if (status === 401)
    return refused(
      `Argo CD does not accept the token (401): ${message}. Make a new one for the role of the project.`,
    )
  if (status === 403 && /sync window/.test(message))
    return refused(`A sync window of Argo CD keeps ${name} from being synced now (403): ${message}.`)
  if (status === 403)
    return refused(
      `The token may not ${verb} ${object} (403): ${message}. Its role needs "applications, ${verb}, ${object}, allow".`,
      project === null
        ? [
            'An application that does not exist is answered in the same way unless --project names its project.',
          ]
        : [],
    )
  if (status === 404)
    return unusable(
      `Argo CD has no application ${name}${project ? ` in the project ${project}` : ''} (404): ${message}.`,
    )
  if (status !== null && status >= 300 && status < 400)
    return unusable(`--server is not where Argo CD answers (${status}): ${message}. Name the address itself.`)
  return failed(`Argo CD fails for ${name}${status === null ? '' : ` (${status})`}: ${message}.`)
}
