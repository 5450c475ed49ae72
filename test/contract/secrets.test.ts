import { AwsClient } from 'aws4fetch'
import { expect } from 'vitest'
import { SECRETS_TTL_MS, SsmSecrets, ssmParameters } from '../../functions/aws/secrets.ts'
import { LocalSecrets } from '../../local/secrets.ts'
import { WIRE_CREDENTIALS, Wire } from '../aws/wire/server.ts'
import { CURRENT, type SecretsMaker, secretsContract } from './secrets.ts'

const REGION = 'us-east-1'

secretsContract(
  'on the laptop',
  async () => ({ secrets: new LocalSecrets(CURRENT), close: async () => {} }),
  'nobody rotates that of a local stack',
)

secretsContract('in SSM (wire)', async () => {
  const wire = await Wire.start({ region: REGION })
  const put = async (name: string, value: string | null) => {
    if (value === null) wire.ssm.parameters.delete(name)
    else wire.ssm.parameters.set(name, value)
  }
  return keptBy(wire.url, '/tornade/test', put, async () => {
    await wire.close()
    expect(wire.refused).toEqual([])
  })
})

const { AWS_ENDPOINT_URL: endpoint } = process.env
let stages = 0
if (endpoint)
  secretsContract(`in SSM at ${endpoint}`, () =>
    keptBy(endpoint, `/tornade/test-${process.pid}-${++stages}`, (name, value) =>
      value === null
        ? call(endpoint, 'DeleteParameter', { Name: name })
        : call(endpoint, 'PutParameter', { Name: name, Value: value, Type: 'SecureString', Overwrite: true }),
    ),
  )

async function keptBy(
  url: string,
  path: string,
  put: (name: string, value: string | null) => Promise<void>,
  close = async () => {},
): Promise<SecretsMaker> {
  const names = { webhook: `${path}/webhook-secret`, webhookPrevious: `${path}/webhook-secret-previous` }
  let now = 0
  const read = ssmParameters({ region: REGION, endpoint: url, credentials: () => WIRE_CREDENTIALS })
  await put(names.webhook, CURRENT)
  return {
    secrets: new SsmSecrets(names, read, { now: () => now }),
    rotate: async (current, previous) => {
      await put(names.webhook, current)
      await put(names.webhookPrevious, previous)
      now += SECRETS_TTL_MS
    },
    close,
  }
}

async function call(url: string, action: string, input: object): Promise<void> {
  const client = new AwsClient({ ...WIRE_CREDENTIALS, region: REGION, service: 'ssm' })
  const answer = await client.fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `AmazonSSM.${action}` },
    body: JSON.stringify(input),
  })
  if (!answer.ok) throw new Error(`${action}: ${await answer.text()}`)
}
