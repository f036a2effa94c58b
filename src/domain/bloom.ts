/**
 * The 2048-bit bloom filter of logs.
 *
 * In: addresses and topics. Out: bits set in a caller's 256-byte filter. Each item sets three
 * bits, taken from its Keccak-256 (yellow paper 4.3.1, formulas 26 to 30).
 *
 * Blocks name the same contracts and topics again and again, so the bits of recent items are kept
 * in a table of fixed size (about 0.6 MiB a thread). It is keyed by the whole item and never by a
 * digest of it: what collides is computed afresh, never answered wrongly.
 */
import { keccak256 } from "./keccak.ts"

/** Size of a filter in bytes. */
export const BLOOM_BYTES = 256

const SLOT_BITS = 14
const SLOTS = 1 << SLOT_BITS
const KEY_BYTES = 32
const keys = new Uint8Array(SLOTS * KEY_BYTES)
/** Length of the key in each slot; 0 for a slot that is free. */
const keyLengths = new Uint8Array(SLOTS)
/** Three bit numbers a slot, each below 2048. */
const bits = new Uint16Array(SLOTS * 3)

/** Adds an address or a topic to the 256-byte filter `bloom`, in place. */
export const addToBloom = (bloom: Uint8Array, item: Uint8Array): void =>
  addSpanToBloom(bloom, item, 0, item.length)

/** As {@link addToBloom}, for the item `bytes[from, to)`; spares the caller a view of it. */
export const addSpanToBloom = (
  bloom: Uint8Array,
  bytes: Uint8Array,
  from: number,
  to: number,
): void => {
  const length = to - from
  const cached = length >= 8 && length <= KEY_BYTES
  // Items too long to be kept pass through slot 0 and leave it marked as free.
  const slot = cached ? slotOf(bytes, to) : 0
  if (!cached || !holds(slot, bytes, from, length)) fill(slot, bytes.subarray(from, to), cached)
  const at = slot * 3
  setBit(bloom, bits[at]!)
  setBit(bloom, bits[at + 1]!)
  setBit(bloom, bits[at + 2]!)
}

/** Adds every item of the filter `other` to `bloom`, in place; both have 256 bytes. */
export const orBloom = (bloom: Uint8Array, other: Uint8Array): void => {
  for (let i = 0; i < BLOOM_BYTES; i++) bloom[i]! |= other[i]!
}

const setBit = (bloom: Uint8Array, bit: number): void => {
  // Bit 0 is the lowest bit of the last byte.
  bloom[BLOOM_BYTES - 1 - (bit >>> 3)]! |= 1 << (bit & 7)
}

/** The slot of an item of 8 bytes or more: its last 8 bytes, where padded addresses differ. */
const slotOf = (bytes: Uint8Array, to: number): number => {
  const high = word(bytes, to - 8)
  const low = word(bytes, to - 4)
  const mixed = Math.imul(high, 0x9e3779b1) ^ Math.imul(low, 0x85ebca6b)
  return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> (32 - SLOT_BITS)
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

const holds = (slot: number, bytes: Uint8Array, from: number, length: number): boolean => {
  if (keyLengths[slot] !== length) return false
  const key = slot * KEY_BYTES
  // From the end: padding and common prefixes sit at the front.
  for (let i = length - 1; i >= 0; i--) if (keys[key + i] !== bytes[from + i]) return false
  return true
}

const fill = (slot: number, item: Uint8Array, keep: boolean): void => {
  const digest = keccak256(item)
  for (let i = 0; i < 3; i++) {
    bits[slot * 3 + i] = ((digest[2 * i]! << 8) | digest[2 * i + 1]!) & 2047
  }
  keyLengths[slot] = keep ? item.length : 0
  if (keep) keys.set(item, slot * KEY_BYTES)
}
