/**
 * How much of something a session may bring: so much a second, and some more at once. Time comes from
 * outside, in milliseconds; where it goes back, nothing is granted for it.
 *
 * Invariant: over any span of `ms` at most `burst + perSecond * ms / 1000` is granted.
 */

/** How fast an allowance grows, and the most that it grows to. */
export interface AllowanceRate {
  readonly perSecond: number
  readonly burst: number
}

/** See the module. It starts full. */
export class Allowance {
  readonly #rate: AllowanceRate
  #left: number
  #atMs: number

  constructor(rate: AllowanceRate, nowMs: number) {
    this.#rate = rate
    this.#left = rate.burst
    this.#atMs = nowMs
  }

  /** Takes `amount`; false, and nothing is taken, where that much is not left. */
  take(amount: number, nowMs: number): boolean {
    const { perSecond, burst } = this.#rate
    // A clock that was set back gives nothing, and takes nothing.
    const gained = (Math.max(0, nowMs - this.#atMs) * perSecond) / 1000
    this.#left = Math.min(burst, this.#left + gained)
    this.#atMs = nowMs
    if (amount > this.#left) return false
    this.#left -= amount
    return true
  }
}
