/**
 * Unsigned integers as RLP carries them: big-endian bytes, as few as possible, none for zero
 * (yellow paper, appendix B). Fields stay in this form until somebody needs a number, because a
 * BigInt made of every value of every block would cost more than decoding the block.
 *
 * In: a reader or bytes. Out: views, or exact numbers. Invariant: every value below 2^256 has
 * exactly one form; whatever has another one is an `RlpError`, and who sent the bytes is to blame.
 */
import { RlpError, type RlpReader } from "./rlp.ts"

/** An unsigned integer below 2^256 in its shortest big-endian form; usually a view. */
export type Quantity = Uint8Array

/** The widest integer that any field of a block may have, in bytes. */
const MAX_BYTES = 32
/** Six bytes are the most that cannot leave the exact range of a double. */
const EXACT_BYTES = 6

/** Whether the current item of `reader` is a canonical integer below 2^256. */
export const isQuantity = (reader: RlpReader): boolean =>
  !reader.isList &&
  reader.end - reader.start <= MAX_BYTES &&
  (reader.start === reader.end || reader.bytes[reader.start] !== 0)

/** Steps onto the next item, which must be a canonical integer below 2^256, without a view. */
export const stepQuantity = (reader: RlpReader): void => {
  reader.next()
  if (!isQuantity(reader)) throw new RlpError("no canonical integer", reader.itemStart)
}

/** As {@link stepQuantity}, and gives a view of its bytes. */
export const nextQuantity = (reader: RlpReader): Quantity => {
  stepQuantity(reader)
  return reader.payload()
}

/** The integer in `bytes[from, to)`: a number up to 2^53 - 1, a bigint above; always exact. */
export const exactInteger = (bytes: Uint8Array, from: number, to: number): number | bigint => {
  if (to - from > EXACT_BYTES) return largeInteger(bytes, from, to)
  let value = 0
  for (let at = from; at < to; at++) value = value * 256 + bytes[at]!
  return value
}

/** A quantity as a bigint. */
export const quantityToBigInt = (quantity: Quantity): bigint =>
  BigInt(exactInteger(quantity, 0, quantity.length))

const largeInteger = (bytes: Uint8Array, from: number, to: number): number | bigint => {
  let value = 0n
  for (let at = from; at < to; at++) value = (value << 8n) | BigInt(bytes[at]!)
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? value : Number(value)
}
