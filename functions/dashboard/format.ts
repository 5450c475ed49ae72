/** Amounts, lengths and times as the pages write them. */
const MICRO_PER_USD = 1_000_000
/** Four decimals of a dollar. */
const SMALLEST_SHOWN_MICRO_USD = 100
const CENT_MICRO_USD = 10_000
/** From ten dollars on nobody reads tenths of a cent. */
const CENTS_FROM_MICRO_USD = 10 * MICRO_PER_USD

const fine = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: 4 })
const cents = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' })
const whole = new Intl.NumberFormat('en-US')

/** Of one job or runner, for example $0, $0.0123, $1,234.50. */
export function money(microUsd: number): string {
  if (microUsd === 0) return '$0'
  if (microUsd > 0 && microUsd < SMALLEST_SHOWN_MICRO_USD) return '<$0.0001'
  return (microUsd < CENTS_FROM_MICRO_USD ? fine : cents).format(microUsd / MICRO_PER_USD)
}

/** Of many, in cents: $0.00, <$0.01, $1,234.50. */
export function dollars(microUsd: number): string {
  if (microUsd > 0 && microUsd < CENT_MICRO_USD / 2) return '<$0.01'
  return cents.format(microUsd / MICRO_PER_USD)
}

/** For example 12,345. */
export function count(amount: number): string {
  return whole.format(amount)
}

/** For example `1 job`, `12,345 jobs`. */
export function counted(amount: number, noun: string): string {
  return `${count(amount)} ${noun}${amount === 1 ? '' : 's'}`
}

/** Of a whole that may be nothing: for example 0 %, <1 %, 42 %. */
export function percent(part: number, of: number): string {
  if (of === 0 || part === 0) return '0 %'
  const share = (part / of) * 100
  return share > 0 && share < 1 ? '<1 %' : `${Math.round(share)} %`
}

/** For example 4 s, 3 min 20 s, 2 h 5 min, 3 d 1 h. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min${rest(whole % 60, 's')}`
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h${rest(Math.floor((whole % 3600) / 60), 'min')}`
  return `${Math.floor(whole / 86_400)} d${rest(Math.floor((whole % 86_400) / 3600), 'h')}`
}

/** The same of milliseconds, with tenths where seconds are few: 0.4 s, 4.2 s, 12 s. */
export function length(ms: number): string {
  return ms < 10_000 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : duration(ms / 1000)
}

function rest(amount: number, unit: string): string {
  return amount === 0 ? '' : ` ${amount} ${unit}`
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
)

/** Of a day (YYYY-MM-DD) or a month (YYYY-MM): 2 Nov, November 2026. */
export function dayName(day: string): string {
  return `${Number(day.slice(8, 10))} ${MONTHS[Number(day.slice(5, 7)) - 1]!.slice(0, 3)}`
}
export function monthName(month: string): string {
  return `${MONTHS[Number(month.slice(5, 7)) - 1]} ${month.slice(0, 4)}`
}

/** Day and time of an ISO time, for example `2026-11-02` and `09:00:07`. */
export function utc(iso: string): [day: string, time: string] {
  const [day, time] = iso.split('T')
  return [day!, time!.slice(0, 8)]
}
