/**
 * Files that browsers get as they are. The bundler runs this module when it bundles and puts the texts in its place
 * (scripts/bundle.ts), so that nothing has to lie beside the deployed code.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const uplot = createRequire(import.meta.url).resolve('uplot')
const near = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8')

export const UPLOT_SCRIPT = readFileSync(new URL('uPlot.iife.min.js', `file://${uplot}`), 'utf8')
export const UPLOT_STYLE = readFileSync(new URL('uPlot.min.css', `file://${uplot}`), 'utf8')
export const SCRIPT = near('browser.js')
export const STYLE_SOURCE = near('style.css')
export const ICON = near('icon.svg')
