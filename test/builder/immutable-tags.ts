#!/usr/bin/env node
/** Stands before a registry and lets no tag be moved, in the words of ECR: `immutable-tags.ts REGISTRY`. Prints its own address. */
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'

const [, , registry] = process.argv
/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html */
const refusal = (tag: string, repository: string) => ({
  errors: [
    {
      code: 'TAG_INVALID',
      message: `The image tag '${tag}' already exists in the '${repository}' repository and cannot be overwritten because the tag is immutable.`,
    },
  ],
})

const server = createServer(async (request, response) => {
  const { method, url, headers } = request
  const [, repository, tag] = /^\/v2\/(.+)\/manifests\/([\w.-]+)$/.exec(url!) ?? []
  const accept =
    'application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json'
  if (method === 'PUT' && tag && (await fetch(`http://${registry}${url}`, { headers: { accept } })).ok) {
    request.resume()
    response.writeHead(400, { 'content-type': 'application/json' })
    return void response.end(JSON.stringify(refusal(tag, repository!)))
  }
  // With its own Host, so that the registry names this address in its answers.
  const forwarded = send(`http://${registry}${url}`, { method, headers }, answer => {
    response.writeHead(answer.statusCode!, answer.headers)
    answer.pipe(response)
  })
  forwarded.on('error', () => response.destroy())
  request.pipe(forwarded)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
