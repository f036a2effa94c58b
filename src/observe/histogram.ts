/**
 * Quantiles of durations in bounded memory: buckets of equal relative width. Pure but for the
 * counts that it keeps.
 *
 * A bucket spans less than 1 % of its value and remembers the sum of what fell into it, so a
 * quantile is off by less than 1 %, and exact where all values of its bucket are equal.
 */

/** Buckets per doubling: 2^(1/100) is 0.7 % wide. */
const PER_DOUBLING = 100
/** From a microsecond up to some 19 hours. */
const SMALLEST_MS = 0.001
const BUCKETS = 36 * PER_DOUBLING

/** Percentiles in milliseconds; 0 where nothing was recorded. */
export interface Percentiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** Counts of durations in milliseconds. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS)
  readonly #sums = new Float64Array(BUCKETS)
  #total = 0

  /** How many durations were recorded. */
  get count(): number {
    return this.#total
  }

  /** The sum of the durations. */
  get sumMs(): number {
    return this.#sums.reduce((sum, each) => sum + each, 0)
  }

  /** Records a duration of at least 0 ms; one beyond the range counts in the outermost bucket. */
  record(durationMs: number): void {
    const bucket = bucketOf(durationMs)
    this.#counts[bucket] = this.#counts[bucket]! + 1
    this.#sums[bucket] = this.#sums[bucket]! + durationMs
    this.#total += 1
  }

  /** The value below which a share `q` in (0, 1] of the durations lies (nearest rank). */
  quantile(q: number): number {
    const rank = Math.max(1, Math.ceil(q * this.#total))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#counts[bucket]!
      seen += count
      if (count > 0 && seen >= rank) return this.#sums[bucket]! / count
    }
    return 0
  }

  /**
   * How many of the durations are at most each of `boundsMs`, which rise. What lies within 1 % of a
   * bound may be counted on either side of it.
   */
  atMost(
    boundsMs: ReadonlyArray<number>,
  ): ReadonlyArray<readonly [boundMs: number, count: number]> {
    let bucket = 0
    let seen = 0
    return boundsMs.map((boundMs) => {
      for (const last = bucketOf(boundMs); bucket <= last; bucket++) seen += this.#counts[bucket]!
      return [boundMs, seen] as const
    })
  }

  /** p50, p95 and p99, rounded to microseconds. */
  percentiles(): Percentiles {
    return {
      p50: roundTo(this.quantile(0.5), 3),
      p95: roundTo(this.quantile(0.95), 3),
      p99: roundTo(this.quantile(0.99), 3),
    }
  }
}

const bucketOf = (durationMs: number): number => {
  if (!(durationMs > SMALLEST_MS)) return 0
  const bucket = Math.floor(Math.log2(durationMs / SMALLEST_MS) * PER_DOUBLING)
  return Math.min(bucket, BUCKETS - 1)
}

/** `value` with at most `digits` decimals. */
export const roundTo = (value: number, digits: number): number => {
  const scale = 10 ** digits
  return Math.round(value * scale) / scale
}
