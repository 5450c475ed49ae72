import { DynamoLedger } from '../../functions/aws/ledger.ts'
import { LocalLedger } from '../../local/ledger.ts'
import { SILENT } from '../../local/log.ts'
import { at, startDynalite, type TestDynamo } from '../support/dynalite.ts'
import { LEDGER_NOW, type LedgerMaker, ledgerContract } from './ledger.ts'

ledgerContract('in memory', async () => ({ ledger: async () => new LocalLedger(), close: async () => {} }))

ledgerContract('on DynamoDB (dynalite)', async () => on(await startDynalite()))

const { AWS_ENDPOINT_URL: endpoint } = process.env
if (endpoint) ledgerContract(`on DynamoDB at ${endpoint}`, async () => on(at(endpoint)))

function on(dynamo: TestDynamo): LedgerMaker {
  return {
    ledger: async () =>
      new DynamoLedger({
        client: dynamo.client,
        table: await dynamo.table('LedgerTable'),
        clock: { now: () => LEDGER_NOW },
        log: SILENT,
        keepDays: 3,
        keepAuditDays: 3,
      }),
    close: () => dynamo.close(),
  }
}
