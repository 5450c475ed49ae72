/** Why a deployment ends early. The exit codes are part of the command: docs/deploying.md. */

export const EXIT = { done: 0, failed: 1, unusable: 2, refused: 3, timedOut: 4 } as const
export type Exit = (typeof EXIT)[keyof typeof EXIT]

/** `message` says what is wrong and what to do next; `details` are lines of their own. */
export class DeployFault extends Error {
  readonly exit: Exit
  readonly details: readonly string[]

  constructor(exit: Exit, message: string, details: readonly string[] = []) {
    super(message)
    this.name = 'DeployFault'
    this.exit = exit
    this.details = details
  }
}

export const unusable = (message: string, details: readonly string[] = []) =>
  new DeployFault(EXIT.unusable, message, details)
export const failed = (message: string, details: readonly string[] = []) =>
  new DeployFault(EXIT.failed, message, details)
export const refused = (message: string, details: readonly string[] = []) =>
  new DeployFault(EXIT.refused, message, details)
