/** The pages of whoever is not in yet. They know nothing of the ledger. */
import { html, raw } from 'hono/html'
import { MARK } from '../layout.ts'
import { STYLE } from '../style.ts'
import { signOutForm, type Viewer } from './viewer.ts'

type Html = ReturnType<typeof html>

export function signInPage(next: string): Html {
  return page(
    'Sign in',
    html`<p>What runners cost, what waits and why: for those who are named in this deployment’s tornade.yml.</p>
    <p><a class="button" href="/signin/github?${new URLSearchParams({ next }).toString()}">Sign in with GitHub</a></p>`,
  )
}

export function signedInPage(viewer: Viewer): Html {
  return page('Signed in', html`${signOutForm(viewer)}<p><a href="/">To the overview</a></p>`)
}

/** Something stands in the way of a sign-in, which may be tried again. */
export function refusedPage(title: string, message: string, { again = true } = {}): Html {
  return page(
    title,
    html`<p>${message}</p>${again ? html`<p><a class="button" href="/signin">Sign in again</a></p>` : ''}`,
  )
}

export function strangerPage({ id, login }: Viewer, unseen: boolean): Html {
  const hint = unseen
    ? html`<p>Whether you are a member of an organisation that may could not be seen: the GitHub App needs the organisation
      permission “Members: read-only”, and the organisation’s approval of it.</p>`
    : ''
  return page(
    'Not allowed',
    html`<p>GitHub says that you are <strong>${login}</strong>, number <strong>${id}</strong>, who may not see this dashboard.</p>
    <p>Ask an operator of this deployment to add ${id} to <code>dashboard.users</code> in tornade.yml and to deploy it, or to
      make you a member of an organisation that stands there.</p>${hint}
    <p>To come in as somebody else, sign out at GitHub first. <a href="/signin">Sign in again</a></p>`,
  )
}

export function notSetUpPage(faults: readonly string[]): Html {
  return page(
    'Not set up yet',
    html`<p>Nobody can sign in. An operator has to put these into SSM’s Parameter Store, as docs/install.md says:</p>
    <ul>${faults.map(fault => html`<li><code>${fault}</code></li>`)}</ul>`,
  )
}

function page(title: string, content: Html): Html {
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${title} · tornade</title>
    <style>${raw(STYLE)}</style>
  </head>
  <body class="door">
    <header class="bar"><a class="brand" href="/">${MARK}<span>tornade</span></a></header>
    <main><h1>${title}</h1>${content}</main>
  </body>
</html>`
}
