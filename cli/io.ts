/** What a command is given to speak through. */
export interface Io {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly stdin: () => Promise<Buffer>
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether somebody watches stderr. */
  readonly interactive: boolean
}

/** The answer is yes; the answer is no; the input cannot be used. */
export const EXIT = { good: 0, no: 1, unusable: 2 } as const
