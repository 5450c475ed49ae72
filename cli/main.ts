/** Finds the command and gives it the world. Errors are for people: a sentence, and what to do next. */
import { readFile } from 'node:fs/promises'
import { TornadeError } from '../functions/core/errors.ts'
import { EXIT, type Io } from './io.ts'

type Command = (argv: readonly string[], io: Io) => Promise<number>

const COMMANDS: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Command> }>> =
  {
    start: {
      about: 'run the local stack: webhook endpoint, page and five sample weeks',
      load: async () => (await import('./start.ts')).start,
    },
    replay: {
      about: 'run recorded deliveries through the system, or send them to one',
      load: async () => (await import('./replay.ts')).replayCommand,
    },
    explain: {
      about: 'say what a set of labels starts and what it costs',
      load: async () => (await import('./explain.ts')).explain,
    },
    costs: {
      about: 'say what runners cost, by repository, workflow, compute, day or role',
      load: async () => (await import('./costs.ts')).costs,
    },
    record: {
      about: "write GitHub's log of deliveries to a file, for replay and whatif",
      load: async () => (await import('./record.ts')).recordCommand,
    },
    whatif: {
      about: 'play recorded deliveries under other settings, beside today',
      load: async () => (await import('./whatif.ts')).whatifCommand,
    },
    soak: {
      about: 'play seeded days with faults and check what tornade promises',
      load: async () => (await import('./soak.ts')).soakCommand,
    },
  }

const HELP = `Usage: tornade COMMAND [OPTION…]

${Object.entries(COMMANDS)
  .map(([name, { about }]) => `  ${name.padEnd(9)}${about}`)
  .join('\n')}

tornade COMMAND --help says more; tornade --version. Exit code: 0 good,
1 the answer is no, 2 the input cannot be used.
`

/** @returns the exit code */
export async function main([name, ...rest]: readonly string[], io: Io): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    ;(name === undefined ? io.stderr : io.stdout)(HELP)
    return name === undefined ? EXIT.unusable : EXIT.good
  }
  if (name === '--version') {
    const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
    io.stdout(`tornade ${version}\n`)
    return EXIT.good
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    io.stderr(`tornade: there is no command ${JSON.stringify(name).slice(0, 60)}\n\n${HELP}`)
    return EXIT.unusable
  }
  try {
    const command = await COMMANDS[name]!.load()
    return await command(rest, io)
  } catch (error) {
    io.stderr(describe(error, io))
    return EXIT.unusable
  }
}

function describe(error: unknown, { env }: Io): string {
  if (error instanceof TornadeError)
    return [error.message, ...error.details.map(line => `  ${line}`), ''].join('\n')
  if (isArgumentError(error)) return `tornade: ${error.message.split(/\.\s/)[0]}; see --help\n`
  const detail = error instanceof Error ? (env.TORNADE_DEBUG ? error.stack : error.message) : String(error)
  return `tornade: unexpected error: ${detail}\n${env.TORNADE_DEBUG ? '' : 'TORNADE_DEBUG=1 shows where it happened.\n'}`
}

/** https://nodejs.org/api/util.html#utilparseargsconfig */
function isArgumentError(error: unknown): error is Error {
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
}
