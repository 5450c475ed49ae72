/** Who looks at a page, told to the pages by what stands in front of them. Where nothing does, on a laptop, nobody is known. */
import type { Context } from 'hono'
import { html } from 'hono/html'

export interface Viewer {
  readonly id: number
  readonly login: string
}

/** Bindings of the app with the pages. */
export interface ViewerBindings {
  readonly viewer?: Viewer
}

export function viewerOf(c: Context): Viewer | null {
  return (c.env as ViewerBindings | undefined)?.viewer ?? null
}

/** Their name and a button; works without JavaScript. */
export function signOutForm({ login }: Viewer) {
  return html`<form class="viewer" method="post" action="/signout"><span>${login}</span> <button>Sign out</button></form>`
}
