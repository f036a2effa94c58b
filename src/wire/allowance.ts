/**
 * How much of something a session may bring: a token bucket (`domain/tokenBucket.ts`) that is asked
 * at once and never waited for.
 *
 * Invariant: over any span of `ms` at most `burst + perSecond * ms / 1000` is granted; where the
 * clock goes back, nothing is granted for it.
 */
import { type Bucket, type BucketRate, fullBucket, reserveToken } from "../domain/tokenBucket.ts"

/** See the module. It starts full. */
export class Allowance {
  readonly #rate: BucketRate
  #bucket: Bucket

  constructor(rate: BucketRate, nowMs: number) {
    this.#rate = rate
    this.#bucket = fullBucket(rate, nowMs)
  }

  /** Takes `amount`; false, and nothing is taken, where that much is not left. */
  take(amount: number, nowMs: number): boolean {
    const { bucket, waitMs } = reserveToken(this.#rate, this.#bucket, nowMs, 0, amount)
    this.#bucket = bucket
    return waitMs !== undefined
  }
}
