/**
 * Values of rows as SQLite's driver binds them.
 *
 * In: spans of payloads. Out: {@link BindValue}s in the forms that `tables.ts` names. Views are
 * plain Uint8Arrays on the payload's buffer, so that buffer must stay attached until the rows are
 * bound.
 */
import { exactInteger } from "../domain/quantity.ts"
import type { RlpReader } from "../domain/rlp.ts"

/** A value that can be bound. Numbers are integers up to 2^53 - 1, bigints are below 2^63. */
export type BindValue = number | bigint | Uint8Array | null

/** From here on SQLite has no integers. */
const INTEGER_END = 1n << 63n

/** A view of `bytes[from, to)`. */
export const viewOf = (bytes: Uint8Array, from: number, to: number): Uint8Array =>
  // Not `subarray`: it is slower, and of a Buffer it makes another Buffer.
  new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from)

/** The integer in `bytes[from, to)`, at most 32 bytes, as a column of the kind `wide` keeps it. */
export const wideSpan = (bytes: Uint8Array, from: number, to: number): BindValue =>
  wideInteger(exactInteger(bytes, from, to))

/** As {@link wideSpan}; NULL for undefined. */
export const wideOrNull = (quantity: Uint8Array | undefined): BindValue =>
  quantity === undefined ? null : wideSpan(quantity, 0, quantity.length)

/** A non-negative integer below 2^256 as a column of the kind `wide` keeps it. */
export const wideInteger = (value: number | bigint): BindValue =>
  typeof value === "bigint" && value >= INTEGER_END ? bigintWord(value) : value

/** A quantity as 32 bytes, big-endian. */
export const word = (quantity: Uint8Array): Uint8Array => {
  if (quantity.length === 32) return quantity
  // Pooled: values below 64 bytes would otherwise live on the heap and be moved off it when bound.
  const bytes = Buffer.allocUnsafe(32)
  bytes.fill(0, 0, 32 - quantity.length)
  bytes.set(quantity, 32 - quantity.length)
  return bytes
}

/** The payload of the reader's current item. */
export const payloadOf = (reader: RlpReader): Uint8Array =>
  viewOf(reader.bytes, reader.start, reader.end)

const bigintWord = (value: bigint): Uint8Array => {
  const bytes = Buffer.allocUnsafe(32)
  let rest = value
  for (let at = 31; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}
