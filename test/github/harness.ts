/** The adapter against the mock GitHub, on a clock that tests move. */
import { generateKeyPairSync } from 'node:crypto'
import type { RepositoryRef } from '../../functions/core/types.ts'
import type { Pace } from '../../functions/github/client.ts'
import { createGitHub, type GitHubDeps, type GitHubSettings } from '../../functions/github/github.ts'
import type { Fields, GitHub, GitHubScope } from '../../functions/ports.ts'
import { T0 } from '../support/facts.ts'
import { GitHubServer, type GitHubServerOptions } from '../support/github-server.ts'

export const APP: RepositoryRef = { id: 7001, name: 'acme/app', private: true }
export const SITE: RepositoryRef = { id: 7002, name: 'acme/site', private: false }
export const SCOPE: GitHubScope = { repository: APP, installationId: 5001 }
export const SITE_SCOPE: GitHubScope = { repository: SITE, installationId: 5001 }
export const STRANGER: GitHubScope = {
  repository: { id: 8001, name: 'stranger/app', private: false },
  installationId: null,
}
export const APP_ID = 12345

const newKey = (type: 'pkcs1' | 'pkcs8') =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type, format: 'pem' },
  })
/** As GitHub gives it: PKCS#1. */
export const KEY = newKey('pkcs1')

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Fields | undefined
}
export interface Harness {
  readonly github: GitHub
  /** One more adapter on the same server, which has to find out everything by itself. */
  readonly another: (settings: GitHubSettings) => GitHub
  readonly server: GitHubServer
  readonly clock: { now(): number; time: number }
  readonly log: LogLine[]
  readonly paces: Pace[]
  readonly waits: number[]
  /** How often the App's key was read. */
  reads: number
  close(): Promise<void>
}

/** The server without an adapter, and the clock that it goes by. */
export async function startServer(over: Partial<GitHubServerOptions> = {}) {
  const clock = {
    time: T0,
    now() {
      return this.time
    },
  }
  const installations = [{ id: 5001, repositories: [APP, SITE] }]
  const server = await GitHubServer.start({
    clock,
    appId: APP_ID,
    publicKey: KEY.publicKey,
    installations,
    ...over,
  })
  return { server, clock }
}

export async function startGitHub(
  settings: GitHubSettings = {},
  over: Partial<GitHubServerOptions> = {},
  deps: Partial<GitHubDeps> = {},
): Promise<Harness> {
  const { server, clock } = await startServer(over)
  const log: LogLine[] = []
  const paces: Pace[] = []
  const waits: number[] = []
  const write = (level: string) => (message: string, fields?: Fields) => {
    log.push({ level, message, fields })
  }
  const harness = { reads: 0 }
  const all: GitHubDeps = {
    appKey: async () => {
      harness.reads++
      return { appId: APP_ID, privateKey: KEY.privateKey }
    },
    clock,
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    onPace: pace => paces.push(pace),
    wait: async ms => {
      waits.push(ms)
      clock.time += ms
    },
    ...deps,
  }
  const another = (given: GitHubSettings) =>
    createGitHub({ baseUrl: server.url, timeoutMs: 5000, ...given }, all)
  const close = () => server.close()
  return Object.assign(harness, {
    github: another(settings),
    another,
    server,
    clock,
    log,
    paces,
    waits,
    close,
  })
}
