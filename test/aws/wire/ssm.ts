/** Parameter Store as far as secrets need it. */
import { type Input, type WireContext, WireException } from './service.ts'

export class WireSsm {
  readonly #context: WireContext
  /** By name. */
  readonly parameters = new Map<string, string>()

  constructor(context: WireContext) {
    this.#context = context
  }

  getParameter(input: Input): Record<string, unknown> {
    const name = input.Name as string
    const value = this.parameters.get(name)
    if (value === undefined) throw new WireException('ParameterNotFound', `Parameter ${name} not found.`)
    return { Parameter: this.#shape(name, value, input.WithDecryption === true) }
  }

  getParameters(input: Input): Record<string, unknown> {
    const names = input.Names as readonly string[]
    const known = names.filter(name => this.parameters.has(name))
    return {
      Parameters: known.map(name =>
        this.#shape(name, this.parameters.get(name)!, input.WithDecryption === true),
      ),
      InvalidParameters: names.filter(name => !this.parameters.has(name)),
    }
  }

  /** What was not asked for decrypted comes as it is stored. */
  #shape(name: string, value: string, decrypted: boolean): Record<string, unknown> {
    const { account, region } = this.#context
    return {
      Name: name,
      Type: 'SecureString',
      Value: decrypted ? value : `AQICAH${Buffer.from(name).toString('base64')}`,
      Version: 1,
      ARN: `arn:aws:ssm:${region}:${account}:parameter${name}`,
      DataType: 'text',
    }
  }
}
