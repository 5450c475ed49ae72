/**
 * One escaper for each place where text that an author controls is shown. All of them clean it first (text.ts), so that
 * it is one line of at most so many characters; cleaned text as it is goes to terminals, logs and keys. Pages escape by
 * hono's `html`, through which everything in functions/dashboard goes.
 */
import { clean, TEXT_LIMIT } from './text.ts'

/** A Markdown code span that its content cannot leave: nothing in it is a mention, a link or markup. */
export function markdownCode(text: string): string {
  return `\`${clean(text).replaceAll('`', "'") || ' '}\``
}

/**
 * Markdown prose without markup, mentions and links. GitHub looks for mentions and addresses in what Markdown has made
 * of the text, where a backslash has gone already; a space without width keeps them apart.
 * https://github.github.com/gfm/#autolinks-extension-
 */
export function markdown(text: string, limit: number = TEXT_LIMIT): string {
  return clean(text, limit)
    .replace(/[\\`*_{}[\]<>()+!|~&]/g, character => `\\${character}`)
    .replace(/[@#]|:(?=\/\/)|www(?=\.)/gi, word => `${word.replace('#', '\\#')}&#8203;`)
}

/** A field of a CSV file of which no spreadsheet makes a formula: https://owasp.org/www-community/attacks/CSV_Injection */
export function csv(text: string): string {
  const cleaned = clean(text)
  const harmless = /^[=+\-@]/.test(cleaned) ? `'${cleaned}` : cleaned
  return /["',;]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

/**
 * Slack's mrkdwn without mentions and links: https://docs.slack.dev/messaging/formatting-message-text#escaping
 * Its bold and code have no escape; they are kept apart from their text as well.
 */
export function slack(text: string, limit: number = TEXT_LIMIT): string {
  return clean(text, limit)
    .replace(/[*_~`]|:(?=\/\/)|@/g, character => `${character}\u200B`)
    .replace(/[&<>]/g, character => ENTITIES[character]!)
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/**
 * The value of a tag at AWS. It takes more, but `:` ends the prefix `aws:`, which is not for us to write.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html#tag-restrictions
 */
export function awsTag(text: string): string {
  return clean(text, 256)
    .replace(/[^A-Za-z0-9._/-]/g, '_')
    .slice(0, 256)
}
