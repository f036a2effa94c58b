/**
 * What a unit of blob gas costs in a block.
 *
 * In: the header's `excessBlobGas` and the chain's schedule of parameters. Out: wei. The rules that
 * change `excessBlobGas` from block to block (EIP-7691's target, EIP-7918's reserve price) are in
 * the header's value already: only the update fraction has to be known here.
 *
 * Sources: EIP-4844 (`get_base_fee_per_blob_gas`, `fake_exponential`), EIP-7840 and EIP-7892 for
 * the schedule.
 */
import type { BlobParameters } from "../chain/chainSpec.ts"

/** EIP-4844: GAS_PER_BLOB. */
export const GAS_PER_BLOB = 131_072

/** EIP-4844: MIN_BASE_FEE_PER_BLOB_GAS, in wei. */
const LEAST_FEE = 1n

/** e to this power is past 2^256: no chain has such a fee, and the sum would have no end in sight. */
const MOST_EXPONENT = 178n

/**
 * The base fee of blob gas in wei in a block of this time (Unix seconds); undefined where the
 * schedule says nothing about the time, or the fee would be above 2^256.
 */
export const blobBaseFee = (
  excessBlobGas: bigint,
  blockTime: number,
  schedule: ReadonlyArray<BlobParameters>,
): bigint | undefined => {
  const fraction = schedule.findLast(({ fromTime }) => fromTime <= blockTime)?.baseFeeUpdateFraction
  if (fraction === undefined || fraction <= 0n || excessBlobGas > fraction * MOST_EXPONENT) {
    return undefined
  }
  return fakeExponential(LEAST_FEE, excessBlobGas, fraction)
}

/** `factor · e^(numerator / denominator)` in whole numbers, by its Taylor series (EIP-4844). */
const fakeExponential = (factor: bigint, numerator: bigint, denominator: bigint): bigint => {
  let sum = 0n
  let term = factor * denominator
  for (let i = 1n; term > 0n; i++) {
    sum += term
    term = (term * numerator) / (denominator * i)
  }
  return sum / denominator
}
