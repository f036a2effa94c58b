/**
 * Rate limits as token buckets: one for each key, and as many keys as are worth remembering.
 *
 * Invariants: in any span of t seconds a key passes at most `burst + t × perSecond` times, as long
 * as it is remembered; no more than `maxKeys` are, the longest unused goes first. Times are
 * milliseconds and never run backwards.
 */

/** How often something may happen. */
export interface Rate {
  readonly perSecond: number
  /** How many at once after a rest. */
  readonly burst: number
}

interface Bucket {
  tokens: number
  atMs: number
}

/** See the module. */
export class RateLimits {
  readonly #buckets = new Map<string, Bucket>()
  readonly #rate: Rate
  readonly #maxKeys: number

  constructor(rate: Rate, maxKeys: number) {
    this.#rate = rate
    this.#maxKeys = maxKeys
  }

  /** Keys remembered. */
  get size(): number {
    return this.#buckets.size
  }

  /** Takes one from the key's bucket; false when there is none. */
  take(key: string, nowMs: number): boolean {
    const { perSecond, burst } = this.#rate
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    this.#buckets.delete(key)
    if (this.#buckets.size >= this.#maxKeys) {
      const oldest = this.#buckets.keys().next()
      if (!oldest.done) this.#buckets.delete(oldest.value)
    }
    this.#buckets.set(key, bucket)
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond)
    bucket.atMs = nowMs
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }
}
