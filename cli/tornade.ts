#!/usr/bin/env node
/** `tornade` as a process: its streams, its environment and its exit code. */
import { EXIT } from './io.ts'
import { main } from './main.ts'

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(EXIT.good)
  process.stderr.write(`tornade: the output could not be written (${code})\n`)
  process.exit(EXIT.unusable)
})
// What nobody hears changes no answer.
process.stderr.on('error', () => {})

process.exitCode = await main(process.argv.slice(2), {
  stdout: text => void process.stdout.write(text),
  stderr: text => void process.stderr.write(text),
  stdin: readStdin,
  cwd: process.cwd(),
  env: process.env,
  interactive: process.stderr.isTTY === true,
})
