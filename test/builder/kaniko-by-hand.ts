#!/usr/bin/env node
/**
 * Stands in for kaniko where nothing builds: takes what builder-image/watch gives kaniko, makes a layer of the context as it is, whatever
 * the Dockerfile says, and pushes that.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'

const { values } = parseArgs({
  options: {
    context: { type: 'string' },
    'digest-file': { type: 'string' },
    destination: { type: 'string', multiple: true, default: [] },
    label: { type: 'string', multiple: true, default: [] },
  },
  strict: false,
})
const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const archive = readFileSync(String(values.context).replace('tar://', ''))
const labels = (values.label as string[]).map(text => [text.split('=')[0], text.slice(text.indexOf('=') + 1)])
const config = Buffer.from(
  JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: Object.fromEntries(labels) },
    rootfs: { type: 'layers', diff_ids: [digestOf(gunzipSync(archive))] },
  }),
)
const part = (mediaType: string, bytes: Buffer) => ({
  mediaType: `application/vnd.oci.image.${mediaType}`,
  digest: digestOf(bytes),
  size: bytes.length,
})
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: part('config.v1+json', config),
    layers: [part('layer.v1.tar+gzip', archive)],
  }),
)

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push */
async function send(method: 'POST' | 'PUT', url: string, type: string, body: Buffer): Promise<void> {
  const { ok, status } = await fetch(url, { method, headers: { 'content-type': type }, body })
  if (!ok) throw new Error(`${method} ${url}: ${status}`)
}
for (const destination of values.destination as string[]) {
  const [, registry, repository, tag] = /^([^/]+)\/(.+):([^:/]+)$/.exec(destination)!
  const base = `http://${registry}/v2/${repository}`
  for (const blob of [archive, config])
    await send('POST', `${base}/blobs/uploads/?digest=${digestOf(blob)}`, 'application/octet-stream', blob)
  await send('PUT', `${base}/manifests/${tag}`, 'application/vnd.oci.image.manifest.v1+json', manifest)
  process.stdout.write(`Pushed ${destination}\n`)
}
writeFileSync(String(values['digest-file']), digestOf(manifest))
