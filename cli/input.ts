/** Files of recorded deliveries: their names, their form, and why one cannot be read. */
import { TornadeError } from '../functions/core/errors.ts'
import { clean } from '../functions/core/text.ts'

/** Names of those that are taken out of a folder. */
export const RECORDING = /\.(json|jsonl|ndjson)(\.gz)?$/i

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** @param error of the file system, or of unpacking */
export function unreadable(name: string, error: unknown): TornadeError {
  const { code, message } = error as NodeJS.ErrnoException
  const why =
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EACCES'
        ? 'it may not be read'
        : code?.startsWith('Z_')
          ? 'the gzip data is damaged, or ends too early'
          : (code ?? message)
  return new TornadeError('input-unreadable', `${name}: ${clean(why, 120)}`, [], { cause: error })
}
