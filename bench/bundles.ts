/** The functions as they are deployed: bundled, zipped, and unpacked again where a fresh process can import them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import type { Config } from '../functions/config.ts'
import { bundle } from '../scripts/bundle.ts'

export const NAMES = ['webhook', 'launch', 'lifecycle', 'sweep', 'dashboard', 'notify', 'slack'] as const
export type FunctionName = (typeof NAMES)[number]

export interface Unpacked {
  readonly name: FunctionName
  readonly zipBytes: number
  /** What Lambda calls LAMBDA_TASK_ROOT. */
  readonly folder: string
  /** The bundled module that exports `handler`. */
  readonly module: string
}

/** Bundles into `folder`, whatever stands in .tornade stays as it is. */
export async function unpackedBundles(root: string, folder: string, config: Config): Promise<Unpacked[]> {
  const bundles = await bundle({ root, stage: 'bench', config, folder: join(folder, 'zips') })
  return Promise.all(
    NAMES.map(async name => {
      const made = bundles.find(one => one.name === name)
      if (!made) throw new Error(`serverless.yml has no function ${name}`)
      const target = join(folder, name)
      await unzip(await readFile(made.path), target)
      const module = join(target, 'functions/aws/entry', `${name}.mjs`)
      return { name, zipBytes: made.bytes, folder: target, module }
    }),
  )
}

/** By the central directory, as every zip program does it. */
async function unzip(bytes: Buffer, target: string): Promise<void> {
  const end = bytes.lastIndexOf('PK\x05\x06')
  let at = bytes.readUInt32LE(end + 16)
  for (let count = bytes.readUInt16LE(end + 10); count > 0; count--) {
    const nameLength = bytes.readUInt16LE(at + 28)
    const local = bytes.readUInt32LE(at + 42)
    const start = local + 30 + bytes.readUInt16LE(local + 26)
    const path = join(target, bytes.toString('utf8', at + 46, at + 46 + nameLength))
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, inflateRawSync(bytes.subarray(start, start + bytes.readUInt32LE(at + 20))))
    at += 46 + nameLength
  }
}
