/**
 * A token bucket: how often something may happen, with room for a burst. Pure; time comes from
 * outside, in milliseconds, and may stand still, but not go back.
 *
 * Invariants: a bucket holds at most `burst` tokens; over any span of `ms` at most
 * `burst + perSecond * ms / 1000` come due. A bucket below 0 owes tokens that were reserved.
 */

/** How fast a bucket fills, and how much it holds. */
export interface BucketRate {
  readonly perSecond: number
  readonly burst: number
}

/** The state of a bucket. */
export interface Bucket {
  readonly tokens: number
  /** When `tokens` was true. */
  readonly atMs: number
}

/** A full bucket. */
export const fullBucket = (rate: BucketRate, nowMs: number): Bucket => ({
  tokens: rate.burst,
  atMs: nowMs,
})

/** Takes one token where there is one. */
export const takeToken = (
  rate: BucketRate,
  bucket: Bucket,
  nowMs: number,
): { readonly bucket: Bucket; readonly taken: boolean } => {
  const { bucket: after, waitMs } = reserveToken(rate, bucket, nowMs, 0)
  return { bucket: after, taken: waitMs !== undefined }
}

/**
 * Takes tokens, one if not told otherwise, be it some that are yet to come: gives how long to wait
 * for them. Undefined, and nothing is taken, when that is longer than `mostWaitMs`.
 */
export const reserveToken = (
  rate: BucketRate,
  bucket: Bucket,
  nowMs: number,
  mostWaitMs: number,
  amount = 1,
): { readonly bucket: Bucket; readonly waitMs: number | undefined } => {
  const gained = (Math.max(0, nowMs - bucket.atMs) * rate.perSecond) / 1000
  const tokens = Math.min(rate.burst, bucket.tokens + gained)
  const waitMs = (Math.max(0, amount - tokens) * 1000) / rate.perSecond
  if (waitMs > mostWaitMs) return { bucket: { tokens, atMs: nowMs }, waitMs: undefined }
  return { bucket: { tokens: tokens - amount, atMs: nowMs }, waitMs }
}

/** Puts back what was taken and not needed; below 0 takes what was needed beyond it. */
export const correctTokens = (bucket: Bucket, amount: number): Bucket => ({
  tokens: bucket.tokens + amount,
  atMs: bucket.atMs,
})
