/** The functions as they are deployed: bundled by scripts/bundle.ts, and unpacked as Lambda would have them. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import { DEFAULT_CONFIG } from '../../functions/config.ts'
import { bundle } from '../../scripts/bundle.ts'
import { ROOT } from '../infra/stack.ts'

/** Folder with one folder for each function. The same sources bundled before, by this or another test, are not bundled again. */
export async function bundles(): Promise<string> {
  const hash = createHash('sha256')
  for (const path of await sources()) hash.update(path).update(await readFile(join(ROOT, path)))
  const kept = join(ROOT, '.tornade', 'bundled', hash.digest('hex').slice(0, 32))
  if (await exists(kept)) return kept
  await mkdir(dirname(kept), { recursive: true })
  // Others may look for it meanwhile: it is there as a whole or not at all.
  const draft = await mkdtemp(`${kept}-`)
  const made = await bundle({ root: ROOT, stage: 'dev', config: DEFAULT_CONFIG, folder: join(draft, 'zips') })
  for (const { name, path } of made) await unpack(await readFile(path), join(draft, name))
  await rm(join(draft, 'zips'), { recursive: true })
  try {
    await rename(draft, kept)
  } catch (error) {
    await rm(draft, { recursive: true })
    if (!(await exists(kept))) throw error
  }
  return kept
}

/** All that the code in a bundle follows from. */
async function sources(): Promise<string[]> {
  const entries = await readdir(join(ROOT, 'functions'), { recursive: true, withFileTypes: true })
  const code = entries.flatMap(entry =>
    entry.isFile() ? [join(entry.parentPath, entry.name).slice(ROOT.length + 1)] : [],
  )
  return ['package-lock.json', 'serverless.yml', 'scripts/bundle.ts', 'scripts/zip.ts', ...code.sort()]
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function unpack(archive: Buffer, folder: string): Promise<void> {
  let at = archive.readUInt32LE(archive.lastIndexOf('PK\x05\x06') + 16)
  while (archive.readUInt32LE(at) === 0x02014b50) {
    const nameLength = archive.readUInt16LE(at + 28)
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength)
    const local = archive.readUInt32LE(at + 42)
    const start = local + 30 + archive.readUInt16LE(local + 26)
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, inflateRawSync(archive.subarray(start, start + archive.readUInt32LE(at + 20))))
    at += 46 + nameLength
  }
}
