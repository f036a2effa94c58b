/**
 * How much to ask for at once: requests whose answers weigh about what a peer sends at once. What a
 * block weighs is predicted from its gas, and from what the last answers weighed for theirs. Pure.
 */

/** What a part of a block (bodies or receipts) weighs, as learned from answers. */
export interface SizeEstimate {
  /** Bytes of answer for a unit of gas used. */
  readonly bytesPerGas: number
}

/** Bounds of one request. */
export interface RequestBounds {
  /** What the answer should weigh; a block that weighs more is asked for alone. */
  readonly targetBytes: number
  /** Most blocks, whatever they weigh. */
  readonly mostBlocks: number
}

/** What a block weighs that uses no gas: withdrawals, list prefixes. */
const BASE_BYTES = 600

/**
 * Before anything is known. Above what mainnet shows (some 0.006 for receipts and bodies each), so
 * that the first answers are short and not cut.
 */
export const unknownSize: SizeEstimate = { bytesPerGas: 0.015 }

/** Heavier blocks are believed at once, lighter ones by and by: a cut answer costs more. */
const FALL_SHARE = 0.25

/** What the part of a block with this gas is taken to weigh, in bytes. */
export const predictBytes = (estimate: SizeEstimate, gasUsed: number): number =>
  BASE_BYTES + estimate.bytesPerGas * gasUsed

/** The estimate after an answer of `bytes` for blocks that used `gasUsed` together. */
export const afterSizes = (
  estimate: SizeEstimate,
  bytes: number,
  gasUsed: number,
): SizeEstimate => {
  if (gasUsed === 0) return estimate
  const seen = bytes / gasUsed
  const before = estimate.bytesPerGas
  return { bytesPerGas: seen >= before ? seen : before + (seen - before) * FALL_SHARE }
}

/**
 * How many of the next blocks go into each request. `gasUsed` are the blocks in order; the counts
 * add up to their number, and each is at least 1.
 */
export const planRequests = (
  gasUsed: ReadonlyArray<number>,
  estimate: SizeEstimate,
  bounds: RequestBounds,
): ReadonlyArray<number> => {
  const counts: Array<number> = []
  let count = 0
  let bytes = 0
  for (const gas of gasUsed) {
    const weight = predictBytes(estimate, gas)
    if (count > 0 && (count >= bounds.mostBlocks || bytes + weight > bounds.targetBytes)) {
      counts.push(count)
      count = 0
      bytes = 0
    }
    count += 1
    bytes += weight
  }
  if (count > 0) counts.push(count)
  return counts
}
