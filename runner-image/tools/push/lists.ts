/** Inputs of an action that hold lists. Written as for docker/build-push-action, so that a step can be taken over. */
import { PushFault } from './fault.ts'

/**
 * An entry a line. One that begins with a quote goes on to the next quote at the end of a line, over line breaks too; a
 * quote in it is doubled.
 *
 * @throws PushFault, which does not show the text: it may be a secret
 */
export function lines(name: string, text: string): string[] {
  const entries: string[] = []
  const rest = text.replaceAll('\r\n', '\n')
  for (let at = 0; at < rest.length; ) {
    const [blank] = /^\s*/.exec(rest.slice(at))!
    at += blank.length
    if (rest[at] === '"') {
      const [quoted] = /^"(?:[^"]|"")*"[^\S\n]*(?=\n|$)/.exec(rest.slice(at)) ?? []
      if (quoted === undefined)
        throw new PushFault(2, `${name}: an entry begins with a quote, and none ends it at the end of a line`)
      entries.push(quoted.trimEnd().slice(1, -1).replaceAll('""', '"'))
      at += quoted.length
    } else {
      const end = rest.indexOf('\n', at)
      const entry = rest.slice(at, end < 0 ? undefined : end).trim()
      if (entry !== '') entries.push(entry)
      at = end < 0 ? rest.length : end
    }
  }
  return entries
}

/** Entries with lines or commas between them, each once. */
export function words(text: string): string[] {
  return [...new Set(text.split(/[\n,]/).map(word => word.trim()))].filter(word => word !== '')
}

/**
 * `KEY=VALUE`, an entry a line.
 *
 * @throws PushFault, which names the entry by its number
 */
export function pairs(name: string, text: string): [string, string][] {
  return lines(name, text).map((entry, index) => {
    const at = entry.indexOf('=')
    if (at < 1) throw new PushFault(2, `${name}: entry ${index + 1} is not written KEY=VALUE`)
    return [entry.slice(0, at), entry.slice(at + 1)]
  })
}
