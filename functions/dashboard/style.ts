/** The one stylesheet, and the hash by which the content security policy lets it through. */
import { createHash } from 'node:crypto'
import { STYLE_SOURCE, UPLOT_STYLE } from './vendor.ts'

/** Without what only its authors need. */
export const STYLE = `${UPLOT_STYLE}\n${STYLE_SOURCE}`.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/\s+/g, ' ')

export const STYLE_HASH = `sha256-${createHash('sha256').update(STYLE).digest('base64')}`
