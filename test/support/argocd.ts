/**
 * Argo CD's API on 127.0.0.1, as far as deployments call it: real HTTP, a stream, and an application's state machine. A refresh
 * compares the application with its branch; a sync is an operation that runs, ends, and leaves health to follow. Where
 * ARGOCD_SWAGGER names Argo CD's API description, what does not fit it stands in `problems`.
 *
 * Fidelity: statuses, codes and messages of errors are those of Argo CD 3; steps take milliseconds, not minutes.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ArgoDescription } from './argocd-description.ts'

export interface Health {
  readonly status: string
  readonly message?: string
}

/** How an application is, and how it will behave. */
export interface Play {
  readonly project?: string
  readonly automated?: boolean
  /** The commit that its branch is at. */
  readonly head: () => string
  /** The images that a commit asks for. */
  readonly images: (revision: string) => readonly string[]
  /** What health becomes after a sync, one step after another; Progressing, Healthy unless given. */
  readonly health?: readonly Health[] | ((revision: string) => readonly Health[])
  /** The sync itself fails with this message. */
  readonly syncFails?: string
  /** Manifests cannot be made of its commits. */
  readonly comparisonFails?: string
  /** A sync window keeps it from syncing by itself, of which Argo CD says nothing. */
  readonly isKept?: boolean
  /** Syncing to a named revision takes a right of its own, which the token does not have. */
  readonly revisionIsOverride?: boolean
  /** How many requests to sync are answered that another operation is in progress. */
  readonly busy?: number
  /** The stream breaks off after so many events. */
  readonly breaksAfter?: number
  /** No stream at all. */
  readonly noStream?: boolean
  /** Pods of another image come up, or none. */
  readonly runs?: readonly string[]
  /** Images of pods that a CronJob has left behind. */
  readonly left?: readonly string[]
  /** A resource that its branch has no more, which a sync leaves unless it is told to prune. */
  readonly leftover?: string
  /** Called when an operation at a revision has succeeded, before health follows. */
  readonly onSynced?: (revision: string) => void
}

export interface ArgoCall {
  readonly method: string
  readonly url: string
  readonly body: unknown
  status: number | null
}

interface AppState {
  readonly name: string
  play: Play
  version: number
  operation: { sync: { revision: string }; initiatedBy: object } | undefined
  live: string | null
  status: Record<string, unknown>
  /** Whether anybody was told how it is now. Nothing moves on unseen, however slow the machine. */
  isSeen: boolean
}

const PODS = ['ReplicaSet', 'Deployment']
let clock = Date.UTC(2026, 0, 5)

export class FakeArgo {
  static readonly TOKEN = 'argocd-token-which-nobody-may-see'

  readonly calls: ArgoCall[] = []
  readonly problems: string[] = []
  /** Statuses with which the next calls are answered instead. */
  readonly failing: { readonly status: number; readonly message: string }[] = []
  /** The token is good and may not do these. */
  readonly forbidden = new Map<'get' | 'sync', string>()
  /** Milliseconds of a step. */
  readonly step: number
  readonly #apps = new Map<string, AppState>()
  readonly #streams = new Set<{ readonly name: string; readonly response: ServerResponse; events: number }>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #server: Server
  readonly #description = ArgoDescription.load()

  private constructor(step: number) {
    this.step = step
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async start(step = 5): Promise<FakeArgo> {
    const argo = new FakeArgo(step)
    await new Promise<void>(resolve => argo.#server.listen(0, '127.0.0.1', resolve))
    return argo
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get isChecked(): boolean {
    return this.#description !== null
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** An application that is Synced and Healthy at the head of its branch. */
  add(name: string, play: Play): void {
    const head = play.head()
    const images = play.comparisonFails ? [] : play.images(head)
    const status = {
      sync: { status: 'Synced', revision: head },
      health: { status: 'Healthy' },
      operationState: operationState(head, 'Succeeded', 'successfully synced (all tasks run)'),
      resources: resourcesOf('Healthy'),
      summary: { images: [...images], externalURLs: [`https://${name}.example.com`] },
    }
    this.#apps.set(name, { name, play, version: 1, operation: undefined, live: head, status, isSeen: true })
  }

  /** How often something was asked for. */
  count(method: string, path: string | RegExp): number {
    return this.calls.filter(
      call =>
        call.method === method &&
        (typeof path === 'string' ? call.url.startsWith(path) : path.test(call.url)),
    ).length
  }

  // ----------------------------------------------------------------------------------------------------- state machine

  #refresh(app: AppState): void {
    const { play } = app
    const head = play.head()
    if (play.comparisonFails) {
      const condition = { type: 'ComparisonError', message: play.comparisonFails, lastTransitionTime: now() }
      app.status = { ...app.status, sync: { status: 'Unknown', revision: head }, conditions: [condition] }
      this.#emit(app)
      return
    }
    const same = app.live !== null && String(play.images(app.live)) === String(play.images(head))
    app.status = { ...app.status, sync: { status: same ? 'Synced' : 'OutOfSync', revision: head } }
    const last = app.status.operationState as { syncResult?: { revision?: string } } | undefined
    const isTried = last?.syncResult?.revision === head
    if (!same && play.automated !== false && !play.isKept && !app.operation && !isTried)
      this.#operate(app, head)
    this.#emit(app)
  }

  #operate(app: AppState, revision: string): void {
    app.operation = { sync: { revision }, initiatedBy: { automated: app.play.automated !== false } }
    app.status = {
      ...app.status,
      operationState: operationState(revision, 'Running', 'waiting for completion'),
    }
    this.#later(app, () => {
      app.operation = undefined
      if (app.play.syncFails) {
        const resource = { kind: 'Job', name: 'migrate', namespace: 'shop', status: 'SyncFailed' }
        const state = operationState(revision, 'Failed', app.play.syncFails, [
          { ...resource, message: 'the server could not find the requested resource' },
        ])
        app.status = { ...app.status, operationState: state }
        return this.#emit(app)
      }
      app.live = revision
      const state = operationState(revision, 'Succeeded', 'successfully synced (all tasks run)')
      const status = app.play.leftover ? 'OutOfSync' : 'Synced'
      app.status = { ...app.status, operationState: state, sync: { status, revision } }
      app.play.onSynced?.(revision)
      const { health = [{ status: 'Progressing' }, { status: 'Healthy' }] } = app.play
      this.#healthy(app, [...(typeof health === 'function' ? health(revision) : health)], revision)
    })
    this.#emit(app)
  }

  #healthy(app: AppState, [health, ...later]: Health[], revision: string): void {
    if (!health || app.live !== revision) return
    const images = [...(app.play.runs ?? app.play.images(revision)), ...(app.play.left ?? [])]
    app.status = {
      ...app.status,
      health,
      resources: [...resourcesOf(health.status, health.message), ...leftoverOf(app.play)],
      summary: { ...(app.status.summary as object), images },
    }
    this.#emit(app)
    this.#later(app, () => this.#healthy(app, later, revision))
  }

  #later(app: AppState, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (app.isSeen) work()
      else this.#later(app, work)
    }, this.step)
    this.#timers.add(timer)
  }

  #application(app: AppState): object {
    app.version++
    app.isSeen = true
    return {
      metadata: {
        name: app.name,
        namespace: 'argocd',
        resourceVersion: String(app.version),
        uid: `uid-${app.name}`,
      },
      spec: {
        project: app.play.project ?? 'default',
        source: { repoURL: 'https://git.example.com/gitops.git', path: app.name, targetRevision: 'main' },
        destination: { server: 'https://kubernetes.default.svc', namespace: 'shop' },
        syncPolicy: app.play.automated === false ? {} : { automated: { prune: true, selfHeal: true } },
      },
      ...(app.operation ? { operation: app.operation } : {}),
      status: { ...app.status, reconciledAt: now(), sourceType: 'Helm' },
    }
  }

  #emit(app: AppState): void {
    app.isSeen = false
    for (const stream of this.#streams) {
      if (stream.name !== app.name) continue
      this.#event(stream, { result: { type: 'MODIFIED', application: this.#application(app) } })
      stream.events++
      const { breaksAfter } = app.play
      if (breaksAfter !== undefined && stream.events >= breaksAfter) {
        this.#streams.delete(stream)
        stream.response.destroy()
      }
    }
  }

  #event(
    { name, response }: { readonly name: string; readonly response: ServerResponse },
    event: object,
  ): void {
    const url = new URL(`/api/v1/stream/applications?name=${name}`, this.url)
    this.#check(
      () => this.#description!.answerFaults('GET', url, 200, JSON.parse(JSON.stringify(event))),
      'an event',
    )
    response.write(`${JSON.stringify(event)}\n`)
  }

  // -------------------------------------------------------------------------------------------------------------- HTTP

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const body = text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>)
    const url = new URL(request.url!, this.url)
    const method = request.method!
    const call: ArgoCall = { method, url: request.url!, body, status: null }
    this.calls.push(call)
    this.#check(() => this.#description!.requestFaults(method, url, body), `${method} ${request.url}`)
    const answer = (status: number, content: object) => {
      call.status = status
      const plain = JSON.parse(JSON.stringify(content))
      this.#check(() => this.#description!.answerFaults(method, url, status, plain), `the answer ${status}`)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(plain))
    }
    const refuse = (status: number, code: number, message: string) =>
      answer(status, { error: message, code, message })
    const failing = this.failing.shift()
    if (failing) return refuse(failing.status, 14, failing.message)
    if (request.headers.authorization !== `Bearer ${FakeArgo.TOKEN}`)
      return refuse(401, 16, 'invalid session: token has invalid claims: token is expired')
    const [, , , kind, named, action] = url.pathname.split('/')
    const name = kind === 'stream' ? url.searchParams.get('name')! : named!
    const app = this.#apps.get(name)
    const verb = action === 'sync' ? 'sync' : 'get'
    const denied = this.forbidden.get(verb)
    if (denied) return refuse(403, 7, denied)
    const project = url.searchParams.get('project') ?? (body?.project as string | undefined)
    if (!app && project === undefined) return refuse(403, 7, 'permission denied')
    if (!app) return refuse(404, 5, `applications.argoproj.io "${name}" not found`)
    if (project !== undefined && project !== (app.play.project ?? 'default'))
      return refuse(403, 7, 'permission denied')
    if (kind === 'stream') return this.#watch(app, call, response)
    if (verb === 'sync') return this.#sync(app, body!, answer, refuse)
    if (action === 'resource-tree') return answer(200, treeOf(app.play, app.play.images(app.live!)))
    if (url.searchParams.has('refresh')) this.#refresh(app)
    answer(200, this.#application(app))
  }

  #watch(app: AppState, call: ArgoCall, response: ServerResponse): void {
    if (app.play.noStream) return void response.destroy()
    call.status = 200
    response.writeHead(200, { 'content-type': 'application/json' })
    const stream = { name: app.name, response, events: 0 }
    this.#streams.add(stream)
    response.on('close', () => this.#streams.delete(stream))
    this.#event(stream, { result: { type: 'ADDED', application: this.#application(app) } })
  }

  #sync(
    app: AppState,
    body: Record<string, unknown>,
    answer: (status: number, content: object) => void,
    refuse: (status: number, code: number, message: string) => void,
  ): void {
    const { revision } = body as { revision?: string }
    const { play } = app
    const busy = play.busy ?? 0
    if (play.revisionIsOverride && revision !== undefined && revision !== 'main')
      refuse(403, 7, `permission denied: applications, override, default/${app.name}, sub: proj:default:ci`)
    else if (play.automated !== false && revision !== undefined && revision !== 'main')
      refuse(400, 9, `Cannot sync to ${revision}: auto-sync currently set to main`)
    else if (busy > 0 || app.operation) {
      app.play = { ...play, busy: busy - 1 }
      refuse(400, 9, 'another operation is already in progress')
    } else {
      this.#operate(app, revision ?? play.head())
      answer(200, this.#application(app))
    }
  }

  #check(faults: () => string[], what: string): void {
    if (this.#description === null) return
    this.problems.push(...faults().map(fault => `${what}: ${fault}`))
  }
}

/** Pods below a ReplicaSet, and those that jobs of a CronJob have left. */
function treeOf({ runs, left = [] }: Play, images: readonly string[]): object {
  const pod = (kind: string, image: string) => ({
    ...{ version: 'v1', kind: 'Pod', namespace: 'shop', name: `${kind.toLowerCase()}-1`, images: [image] },
    parentRefs: [{ kind, namespace: 'shop', name: `${kind.toLowerCase()}-1` }],
    health: { status: 'Healthy' },
  })
  return {
    nodes: [
      { group: 'batch', version: 'v1', kind: 'CronJob', namespace: 'shop', name: 'shop' },
      ...(runs ?? images).map(image => pod('ReplicaSet', image)),
      ...left.map(image => pod('Job', image)),
    ],
  }
}

function leftoverOf({ leftover }: Play): object[] {
  if (leftover === undefined) return []
  return [{ kind: 'ConfigMap', name: leftover, version: 'v1', status: 'OutOfSync', requiresPruning: true }]
}

function resourcesOf(health: string, message?: string): object[] {
  const said = { status: health, ...(message === undefined ? {} : { message }) }
  return [
    ...PODS.map(kind => ({
      kind,
      name: 'shop',
      namespace: 'shop',
      version: 'v1',
      status: 'Synced',
      health: said,
    })),
    {
      kind: 'Service',
      name: 'shop',
      namespace: 'shop',
      version: 'v1',
      status: 'Synced',
      health: { status: 'Healthy' },
    },
  ]
}

function operationState(revision: string, phase: string, message: string, resources: object[] = []): object {
  return {
    operation: { sync: { revision } },
    phase,
    message,
    startedAt: now(),
    ...(phase === 'Running' ? {} : { finishedAt: now() }),
    syncResult: { revision, resources },
  }
}

/** To the second, as Kubernetes tells times; each a later one. */
function now(): string {
  clock += 1000
  return new Date(clock).toISOString().replace('.000', '')
}
