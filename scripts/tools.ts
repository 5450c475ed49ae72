#!/usr/bin/env node
/**
 * Bundles the commands of runner-image/tools, one file each, so that the image needs no packages of npm. Run by itself it writes
 * them to a folder: `tools.ts FOLDER`.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { build } from 'esbuild'
import type { ZipEntry } from './zip.ts'

const ROOT = join(import.meta.dirname, '..')
/** Below the root; each .ts in it is a command, tornade-NAME. */
export const TOOLS = 'runner-image/tools'

/**
 * `tools/NAME.mjs`, relative to runner-image/.
 *
 * @param only names of commands without `tornade-`; all, unless given
 */
export async function bundleTools(root: string, only: readonly string[] | null = null): Promise<ZipEntry[]> {
  const found = await readdir(join(root, TOOLS), { withFileTypes: true }).catch(() => [])
  const names = found
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ name }) => name)
    .filter(name => only === null || only.includes(basename(name, '.ts')))
  return Promise.all(
    names.toSorted().map(async name => {
      const { outputFiles } = await build({
        absWorkingDir: root,
        entryPoints: [join(TOOLS, name)],
        bundle: true,
        format: 'esm',
        platform: 'node',
        target: 'node24',
        // Packages in CommonJS ask for node's own modules by `require`, which ES modules do not have.
        banner: {
          js: "import{createRequire as tornadeRequire}from'node:module';const require=tornadeRequire(import.meta.url);",
        },
        // What packages ask of us is that their licences go with them.
        legalComments: 'inline',
        write: false,
        logLevel: 'silent',
      })
      return { path: `tools/${basename(name, '.ts')}.mjs`, bytes: outputFiles[0]!.contents }
    }),
  )
}

if (import.meta.main) {
  const folder = process.argv[2]
  if (!folder) throw new Error('tools.ts: which folder?')
  await mkdir(join(folder, 'tools'), { recursive: true })
  for (const { path, bytes } of await bundleTools(ROOT)) await writeFile(join(folder, path), bytes)
}
