/** Why pushing ends early. The exit codes are those of tornade-build: docs/builders.md. */

export const EXIT = { done: 0, failed: 1, unusable: 2, refused: 3, cancelled: 4 } as const
export type Exit = (typeof EXIT)[keyof typeof EXIT]

/** `message` says what is wrong and what to do next, a fault a line. */
export class PushFault extends Error {
  readonly exit: Exit

  constructor(exit: Exit, message: string) {
    super(message)
    this.name = 'PushFault'
    this.exit = exit
  }
}

/** Runs a program that takes no arguments but --help. What is wrong is told by `say`, and by the exit code. */
export async function run(
  help: string,
  say: (text: string) => void,
  main: () => Promise<number>,
): Promise<void> {
  try {
    if (process.argv.includes('--help')) process.stdout.write(help)
    else process.exitCode = await main()
  } catch (error) {
    if (!(error instanceof PushFault)) throw error
    for (const text of error.message.split('\n')) say(text)
    process.exitCode = error.exit
  }
}
