/** What every page has around it. */
import { html, raw } from 'hono/html'
import { signOutForm, type Viewer } from './access/viewer.ts'
import { assetPath } from './assets.ts'
import { STYLE } from './style.ts'

export type Html = ReturnType<typeof html>

export interface Shell {
  /** A sentence that every page shows first. */
  readonly notice: string | null
  readonly viewer: Viewer | null
  /** Of the page's scripts. */
  readonly nonce: string
}

export interface PageOptions {
  readonly title: string
  /** Which entry of the navigation is this one, or the one above it. */
  readonly at: string | null
  /** Pages above this one, outermost first. */
  readonly above?: readonly { readonly href: string; readonly text: string }[]
  /** Beside the title. */
  readonly lead?: Html | string
  /** The page asks for itself again after so many seconds, with JavaScript. */
  readonly refreshSeconds?: number | null
  /** The page has charts. */
  readonly charts?: boolean
}

const NAVIGATION = [
  ['/', 'Overview'],
  ['/live', 'Live'],
  ['/repositories', 'Repositories'],
  ['/jobs', 'Jobs'],
  ['/health', 'Health'],
] as const

export const MARK = html`<svg class="mark" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M3 4h18M5.5 9h13M8.5 14h8M11 19h4"/></svg>`

export function page(shell: Shell, options: PageOptions, content: Html): Html {
  const { title, at, above = [], lead = '', refreshSeconds = null, charts = false } = options
  const { notice, viewer, nonce } = shell
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title} · tornade</title>
    <link rel="icon" type="image/svg+xml" href="${assetPath('icon.svg')}">
    <style>${raw(STYLE)}</style>
    ${charts ? script(assetPath('uplot.js'), nonce) : ''}
    ${script(assetPath('app.js'), nonce)}
  </head>
  <body>
    <a class="skip" href="#main">Skip to the content</a>
    <header class="bar">
      <a class="brand" href="/">${MARK}<span>tornade</span></a>
      <nav aria-label="Pages"><ul>${NAVIGATION.map(
        ([href, name]) =>
          html`<li><a href="${href}"${href === at ? raw(' aria-current="page"') : ''}>${name}</a></li>`,
      )}</ul></nav>
      ${viewer === null ? '' : signOutForm(viewer)}
    </header>
    ${notice === null ? '' : html`<p class="notice" role="note">${notice}</p>`}
    <main id="main"${refreshSeconds === null ? '' : html` data-refresh="${refreshSeconds}"`}>
      <div class="head">
        ${above.length === 0 ? '' : html`<nav aria-label="Above this page" class="above">${above.map(({ href, text }) => html`<a href="${href}">${text}</a><span aria-hidden="true"> / </span>`)}</nav>`}
        <h1>${title}</h1>
        <p class="lead">${lead}</p>
      </div>
      ${content}
    </main>
    <footer>
      <p>Times are <span id="zone">UTC</span>; days and months are of UTC.</p>
      <p>As JSON: <a href="/api/summary">summary</a>, <a href="/api/jobs">jobs</a>, <a href="/api/runners">runners</a>,
      <a href="/api/health">health</a></p>
    </footer>
  </body>
</html>`
}

function script(path: string, nonce: string): Html {
  return html`<script src="${path}" nonce="${nonce}" defer></script>`
}

/** A page that only says something. */
export function messagePage(shell: Shell, title: string, message: string): Html {
  return page(
    shell,
    { title, at: null },
    html`<div class="empty"><p>${message}</p><p><a href="/">To the overview</a></p></div>`,
  )
}
