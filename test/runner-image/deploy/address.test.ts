/** Argo CD behind certificates, proxies and paths, as it is met. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, request, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Result } from '../../../runner-image/tools/deploy/report.ts'
import { Deploying } from '../../support/deploying.ts'

const isMissing = spawnSync('openssl', ['version'], { stdio: 'ignore' }).error !== undefined
if (isMissing) process.stdout.write('runner-image/deploy/address.test.ts: openssl is missing\n')

const folder = mkdtempSync(join(tmpdir(), 'tornade-address-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let world: Deploying
afterEach(async () => {
  await world.close()
  expect(world.argo.problems).toEqual([])
})

/** Signed by itself, as the one that Argo CD makes at its first start. */
function certificate(name: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  const options = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
  ]
  const names = ['-subj', '/O=Argo CD', '-addext', `subjectAltName=DNS:${name}`]
  execFileSync('openssl', [...options, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { cert, key }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** In front of the Argo CD of this test, which lies below a path there. */
async function proxy(name: string, path = '') {
  world = await Deploying.start()
  world.application('shop')
  const { cert, key } = certificate(name)
  const server = createHttpsServer(
    { cert: readFileSync(cert), key: readFileSync(key) },
    (incoming, outgoing) => {
      const { method, url, headers } = incoming
      if (!url!.startsWith(`${path}/`)) return void outgoing.writeHead(404).end()
      incoming.pipe(
        request(new URL(url!.slice(path.length), world.argo.url), { method: method!, headers }, answer => {
          outgoing.writeHead(answer.statusCode!, answer.headers)
          answer.pipe(outgoing)
        }).on('error', () => outgoing.destroy()),
      )
      outgoing.on('close', () => incoming.destroy())
    },
  )
  return { port: await listening(server), cert }
}

async function run(server: string, ...more: string[]) {
  const argv = world
    .argv()
    .concat('--app', 'shop', '--server', server, '--grace', '60ms', '--timeout', '20s', '--json')
  const before = world.remote.head()
  const { code, stdout } = await world.run([...argv, ...more])
  return { code, result: JSON.parse(stdout) as Result, isPushed: world.remote.head() !== before }
}

describe.skipIf(isMissing)('Argo CD with a certificate of its own', () => {
  it('is trusted by --ca, below a path too', async () => {
    const { port, cert } = await proxy('localhost', '/argocd')
    const { code, result } = await run(`https://localhost:${port}/argocd/`, '--ca', cert)
    expect([code, result.message]).toEqual([0, expect.stringContaining('Synced and Healthy')])
    expect(result.applications[0]!.page).toBe(`https://localhost:${port}/argocd/applications/shop`)
  })

  it.each([
    ['nobody has vouched for', 'localhost', [], /not trusted.*self-signed certificate.*--ca/],
    [
      'is for another name',
      'argocd-server',
      ['--ca', join(folder, 'argocd-server.pem')],
      /not trusted.*localhost/,
    ],
  ])('that %s ends it with 2 before anything is pushed', async (_, name, more, reason) => {
    const { port } = await proxy(name)
    const { code, result, isPushed } = await run(`https://localhost:${port}`, ...more)
    expect([code, result.message, isPushed]).toEqual([2, expect.stringMatching(reason), false])
  })
})

describe('an address where Argo CD is not', () => {
  it.each([
    ['speaks no TLS', 'https'],
    ['has a page for everything', 'http'],
  ])('but something that %s ends it with 2 before anything is pushed', async (_, scheme) => {
    world = await Deploying.start()
    world.application('shop')
    const port = await listening(
      createHttpServer((_, answer) =>
        answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>'),
      ),
    )
    const { code, result, isPushed } = await run(`${scheme}://127.0.0.1:${port}`)
    expect([code, result.message, isPushed]).toEqual([
      2,
      expect.stringContaining('--server is not where Argo CD answers'),
      false,
    ])
  })
})
