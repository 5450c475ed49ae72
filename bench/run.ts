/** `npm run bench -- [replay] [functions] [gate] [dashboard] [whatif]`: measures, prints tables, and exits with 1 when a budget is broken. */
import { dashboardBench } from './dashboard.ts'
import { functions } from './functions.ts'
import { gate } from './gate.ts'
import { replay } from './replay.ts'
import { whatif } from './whatif.ts'

const PARTS: Readonly<Record<string, () => Promise<boolean>>> = {
  functions,
  replay,
  gate,
  dashboard: dashboardBench,
  whatif,
}

const asked = process.argv.slice(2)
const unknown = asked.filter(name => !Object.hasOwn(PARTS, name))
if (unknown.length > 0) {
  process.stderr.write(`Usage: npm run bench -- [${Object.keys(PARTS).join('] [')}]\n`)
  process.exit(2)
}
for (const name of asked.length > 0 ? asked : Object.keys(PARTS))
  if (!(await PARTS[name]!())) process.exitCode = 1
