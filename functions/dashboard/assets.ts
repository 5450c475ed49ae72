/** Scripts and the icon, under addresses that change with their content: browsers keep them for good. */
import { createHash } from 'node:crypto'
import { ICON, SCRIPT, UPLOT_SCRIPT } from './vendor.ts'

const FILES = {
  'app.js': { type: 'text/javascript; charset=utf-8', body: SCRIPT },
  'uplot.js': { type: 'text/javascript; charset=utf-8', body: UPLOT_SCRIPT },
  'icon.svg': { type: 'image/svg+xml', body: ICON },
} as const

type AssetName = keyof typeof FILES

const PATHS = Object.fromEntries(
  Object.entries(FILES).map(([name, { body }]) => {
    const version = createHash('sha256').update(body).digest('hex').slice(0, 12)
    return [name, `/assets/${version}/${name}`]
  }),
) as Record<AssetName, string>

const BY_PATH = new Map(Object.entries(FILES).map(([name, file]) => [PATHS[name as AssetName], file]))

export const ASSET_HEADERS = { 'cache-control': 'private, max-age=31536000, immutable' }

export function assetPath(name: AssetName): string {
  return PATHS[name]
}

export function asset(path: string): { readonly type: string; readonly body: string } | undefined {
  return BY_PATH.get(path)
}
