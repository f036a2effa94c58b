/**
 * Values as JSON-RPC writes them, and numbers and bytes as the execution-apis specification does:
 * quantities are `0x` and hexadecimal digits without leading zeros, bytes are `0x` and two digits a
 * byte (its `uint` and `bytes` schemas).
 *
 * Invariant: every value of this type has a JSON text of its own: no bigint, no undefined, no NaN.
 */
import { toHex, toHex0x } from "../domain/hex.ts"
import type { Quantity } from "../domain/quantity.ts"

/** What JSON can say. */
export type JsonValue = string | number | boolean | null | JsonArray | JsonObject

/** See {@link JsonValue}. */
export type JsonArray = ReadonlyArray<JsonValue>

/** See {@link JsonValue}; the order of the fields is that of the answer. */
export interface JsonObject {
  readonly [field: string]: JsonValue
}

/** Bytes as JSON-RPC writes them: `0x` for none. */
export const bytesText: (bytes: Uint8Array) => string = toHex0x

/** An unsigned integer as JSON-RPC writes it. */
export const numberText = (value: number | bigint): string => `0x${value.toString(16)}`

/** As {@link numberText}, of an integer in the form of RLP (no leading zero byte). */
export const quantityText = (quantity: Quantity): string => {
  if (quantity.length === 0) return "0x0"
  const digits = toHex(quantity)
  return digits.charCodeAt(0) === ZERO_DIGIT ? `0x${digits.slice(1)}` : `0x${digits}`
}

const ZERO_DIGIT = "0".charCodeAt(0)
