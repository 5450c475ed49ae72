/** Where somebody goes once they are signed in: a place here, whatever a link says. */

const LONGEST = 1000
const HERE = 'https://here.invalid'

/** `text` as a path of this site, or `/`. */
export function localPath(text: string | undefined): string {
  // Browsers take a backslash for a slash, and pass over tabs and line ends.
  if (!text || text.length > LONGEST || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text)) return '/'
  const url = URL.parse(text, HERE)
  if (url?.origin !== HERE || url.pathname.startsWith('//')) return '/'
  if (/^\/(?:signin|signout)(?:\/|$)/.test(url.pathname)) return '/'
  return url.pathname + url.search + url.hash
}
