/** Loaded before a measured command: writes its peak memory in kilobytes to the file that TORNADE_BENCH_MEMORY names. */
import { writeFileSync } from 'node:fs'

process.on('exit', () => {
  const file = process.env.TORNADE_BENCH_MEMORY
  if (file) writeFileSync(file, String(process.resourceUsage().maxRSS))
})
