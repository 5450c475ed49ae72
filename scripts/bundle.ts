/**
 * Bundles the functions that serverless.yml names: one zip each in .tornade/package/STAGE/, with the same bytes for the same
 * sources. Source maps lie beside them in maps/: Lambda would load them for nothing.
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type BuildFailure, type BuildResult, build, type OutputFile, type Plugin } from 'esbuild'
import type { Config } from '../functions/config.ts'
import { TornadeError } from '../functions/core/errors.ts'
import { readWiring } from '../local/wiring.ts'
import { imageResources } from './images.ts'
import { bundleTools, TOOLS } from './tools.ts'
import { type ZipEntry, zip } from './zip.ts'

export interface Bundle {
  readonly name: string
  /** Where its zip is. */
  readonly path: string
  readonly bytes: number
}

export interface BundleOptions {
  /** Folder of serverless.yml. */
  readonly root: string
  readonly stage: string
  /** What every bundle carries as tornade.json (TORNADE_CONFIG in serverless.yml). */
  readonly config: Config
  /** Where the bundles go, if not to packageFolder(). */
  readonly folder?: string
}

/** The function whose bundle carries the sources of the images, and their folders. infra/images.yml fetches it. */
const CARRIER = 'sweep'
const IMAGE_SOURCES = ['runner-image', 'builder-image']

/** Where the bundles of a stage are; serverless.yml names their zips. */
export function packageFolder(root: string, stage: string): string {
  return join(root, '.tornade', 'package', stage)
}

/** @throws TornadeError config-unreadable for handlers that are not there, or that do not compile */
export async function bundle({
  root,
  stage,
  config,
  folder = packageFolder(root, stage),
}: BundleOptions): Promise<readonly Bundle[]> {
  const { functions } = await readWiring(root, stage)
  const entries = functions.map(({ name, handler }) => ({ name, ...readHandler(handler) }))
  const missing = await Promise.all(
    entries.map(async ({ name, module }) =>
      (await exists(join(root, `${module}.ts`)))
        ? []
        : [`functions.${name}.handler: there is no ${module}.ts`],
    ),
  )
  const sources = await Promise.all(IMAGE_SOURCES.map(name => imageSource(root, name)))
  const faults = [
    ...missing.flat(),
    ...IMAGE_SOURCES.filter((_, index) => sources[index]!.length === 0).map(
      name => `${name}/: there is no such folder`,
    ),
  ]
  if (faults.length > 0)
    throw new TornadeError('config-unreadable', 'serverless.yml names what does not exist:', faults)

  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'images.json'), JSON.stringify(await imageResources(root, config.images)))
  const settings: ZipEntry = { path: 'tornade.json', bytes: Buffer.from(JSON.stringify(config)) }
  return Promise.all(
    entries.map(async ({ name, module, exported }): Promise<Bundle> => {
      const files = await compile(root, name, module, exported)
      const code = files.filter(file => !file.path.endsWith('.map')).map(withRequire)
      const archive = zip([...code, settings, ...(name === CARRIER ? sources.flat() : [])])
      const path = join(folder, `${name}.zip`)
      await writeFile(path, archive)
      for (const map of files.filter(file => file.path.endsWith('.map'))) {
        const target = join(folder, 'maps', name, map.path)
        await mkdir(dirname(target), { recursive: true })
        await writeFile(target, map.bytes)
      }
      return { name, path, bytes: archive.length }
    }),
  )
}

/** `functions/aws/entry/webhook.handler` → its module and what it exports. */
function readHandler(handler: string): { readonly module: string; readonly exported: string } {
  const dot = handler.lastIndexOf('.')
  return { module: handler.slice(0, dot), exported: handler.slice(dot + 1) }
}

/** Code and maps by their path in the archive. */
async function compile(root: string, name: string, module: string, exported: string): Promise<ZipEntry[]> {
  const { metafile, outputFiles } = await runEsbuild(root, name, module)
  const entry = Object.values(metafile!.outputs).find(output => output.entryPoint === `${module}.ts`)
  if (!entry?.exports.includes(exported)) {
    const fault = `functions.${name}.handler: ${module}.ts exports no ${exported}`
    throw new TornadeError('config-unreadable', 'serverless.yml names what does not exist:', [fault])
  }
  return outputFiles!.map(file => ({ path: pathInArchive(root, file), bytes: file.contents }))
}

async function runEsbuild(root: string, name: string, module: string): Promise<BuildResult> {
  try {
    return await build({
      absWorkingDir: root,
      entryPoints: { [module]: `${module}.ts` },
      outdir: OUT,
      entryNames: '[dir]/[name]',
      // What a function loads only when it needs it (a credential provider, say) stays in files of its own.
      splitting: true,
      chunkNames: 'chunks/[hash]',
      outExtension: { '.js': '.mjs' },
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      // The SDK's CommonJS, which is esbuild's first choice for Node, is half as large again.
      mainFields: ['module', 'main'],
      minify: true,
      legalComments: 'none',
      sourcemap: 'external',
      metafile: true,
      plugins: [constants],
      write: false,
      logLevel: 'silent',
    })
  } catch (error) {
    const details = (error as BuildFailure).errors?.map(
      ({ text, location }) => `${location ? `${location.file}:${location.line}: ` : ''}${text}`,
    )
    throw new TornadeError('config-unreadable', `the function ${name} cannot be bundled:`, details ?? [], {
      cause: error,
    })
  }
}

/** A module that only reads files near it: each of its exports is a text, which takes the place of reading it. */
const CONSTANTS = /[\\/]functions[\\/]dashboard[\\/]vendor\.ts$/

export const constants: Plugin = {
  name: 'constants',
  setup({ onLoad }) {
    onLoad({ filter: CONSTANTS }, async ({ path }) => {
      const texts: Record<string, string> = await import(pathToFileURL(path).href)
      const lines = Object.entries(texts).map(
        ([name, text]) => `export const ${name} = ${JSON.stringify(text)}`,
      )
      return { contents: lines.join('\n'), loader: 'js' }
    })
  },
}

const OUT = 'out'

function pathInArchive(root: string, file: OutputFile): string {
  return relative(join(root, OUT), file.path).split(sep).join('/')
}

/** What stands in the file where esbuild put its way to call `require`, which ES modules do not have. */
const SHIM = 'Dynamic require of'
const REQUIRE =
  "import{createRequire as tornadeRequire}from'node:module';const require=tornadeRequire(import.meta.url);"

/** Only that one file gets a `require`: making it takes time at every cold start. */
function withRequire({ path, bytes }: ZipEntry): ZipEntry {
  const text = Buffer.from(bytes)
  return { path, bytes: text.includes(SHIM) ? Buffer.concat([Buffer.from(REQUIRE), text]) : bytes }
}

/** Everything in the folder of an image, and its tools as bundles; empty where there is none. */
async function imageSource(root: string, name: string): Promise<ZipEntry[]> {
  const folder = join(root, name)
  if (!(await exists(folder))) return []
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const sources = await Promise.all(
    found
      .filter(entry => entry.isFile() && !`${entry.parentPath}/`.startsWith(`${join(root, TOOLS)}/`))
      .map(async entry => {
        const path = join(entry.parentPath, entry.name)
        const { mode } = await stat(path)
        return {
          path: `${basename(folder)}/${relative(folder, path).split(sep).join('/')}`,
          bytes: await readFile(path),
          executable: (mode & 0o100) !== 0,
        }
      }),
  )
  if (!TOOLS.startsWith(`${name}/`)) return sources
  const tools = await bundleTools(root)
  return [...sources, ...tools.map(tool => ({ ...tool, path: `${name}/${tool.path}` }))]
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
