#!/usr/bin/env node
/** `tornade-deploy`: images by digest into a GitOps repository, and Argo CD's word that they run. docs/deploying.md */
import { deploy } from './deploy/run.ts'

const cancelled = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => cancelled.abort(new Error('cancelled')))

process.exitCode = await deploy(process.argv.slice(2), {
  env: process.env,
  stdout: text => void process.stdout.write(text),
  stderr: text => void process.stderr.write(text),
  columns: process.stderr.isTTY ? Math.min(80, process.stderr.columns || 80) : null,
  signal: cancelled.signal,
  now: Date.now,
  random: Math.random,
  quiet: 30_000,
  poll: 5000,
  retry: 3000,
})
