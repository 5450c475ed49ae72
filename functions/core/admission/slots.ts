/**
 * Events of a sliding window, counted in slots. The oldest slot may reach into the window, so a count is never too low, and
 * room comes at most a slot too late.
 */
import type { Slot } from '../types.ts'

export interface SlotWindow {
  readonly slotMs: number
  readonly windowMs: number
}

/** Slots that still count at `now`. */
export function recent(
  slots: readonly Slot[],
  { slotMs, windowMs }: SlotWindow,
  now: number,
): readonly Slot[] {
  return slots.filter(slot => slot.at + slotMs + windowMs > now)
}

export function total(slots: readonly Slot[]): number {
  return slots.reduce((sum, slot) => sum + slot.count, 0)
}

export function counted(
  slots: readonly Slot[],
  count: number,
  { slotMs }: SlotWindow,
  now: number,
): readonly Slot[] {
  if (count === 0) return slots
  const at = now - (now % slotMs)
  const last = slots.at(-1)
  return last?.at === at
    ? [...slots.slice(0, -1), { at, count: last.count + count }]
    : [...slots, { at, count }]
}

/** Takes one back that was counted at `then`. */
export function uncounted(slots: readonly Slot[], { slotMs }: SlotWindow, then: number): readonly Slot[] {
  const at = then - (then % slotMs)
  return slots
    .map(slot => (slot.at === at ? { at, count: slot.count - 1 } : slot))
    .filter(slot => slot.count > 0)
}

/** When fewer than `most` are counted, if nothing is added; null when they are already. */
export function opensAt(
  slots: readonly Slot[],
  { slotMs, windowMs }: SlotWindow,
  most: number,
): number | null {
  let left = total(slots)
  let open: number | null = null
  for (const slot of slots) {
    if (left < most) break
    left -= slot.count
    open = slot.at + slotMs + windowMs
  }
  return open
}
