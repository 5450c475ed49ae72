/** Amounts, lengths and times as the page writes them. */

const MICRO_PER_USD = 1_000_000
/** Four decimals of a dollar. */
const SMALLEST_SHOWN_MICRO_USD = 100
/** From ten dollars on nobody reads tenths of a cent. */
const CENTS_FROM_MICRO_USD = 10 * MICRO_PER_USD

const fine = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: 4 })
const cents = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' })

/** For example $0, $0.0123, $1,234.50. */
export function money(microUsd: number): string {
  if (microUsd === 0) return '$0'
  if (microUsd > 0 && microUsd < SMALLEST_SHOWN_MICRO_USD) return '<$0.0001'
  return (microUsd < CENTS_FROM_MICRO_USD ? fine : cents).format(microUsd / MICRO_PER_USD)
}

/** For example 4 s, 3 min 20 s, 2 h 5 min, 3 d 1 h. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min${rest(whole % 60, 's')}`
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h${rest(Math.floor((whole % 3600) / 60), 'min')}`
  return `${Math.floor(whole / 86_400)} d${rest(Math.floor((whole % 86_400) / 3600), 'h')}`
}

function rest(amount: number, unit: string): string {
  return amount === 0 ? '' : ` ${amount} ${unit}`
}

/** Day and time of an ISO time, for example `2026-11-02` and `09:00:07`. */
export function utc(iso: string): [day: string, time: string] {
  const [day, time] = iso.split('T')
  return [day!, time!.slice(0, 8)]
}

/** A path below github.com, whatever the parts hold. */
export function githubUrl(repository: string, ...rest: readonly (string | number)[]): string {
  const parts = [...repository.split('/').filter(part => !/^\.{0,2}$/.test(part)), ...rest]
  return ['https://github.com', ...parts.map(part => encodeURIComponent(part))].join('/')
}
