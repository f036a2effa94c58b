/**
 * The 2048-bit bloom filter of logs.
 *
 * In: addresses and topics. Out: bits set in a caller's 256-byte filter. Each item sets three
 * bits, taken from its Keccak-256 (yellow paper 4.3.1, formulas 26 to 30).
 *
 * Blocks name the same contracts and topics again and again, so the bits of recent items are kept
 * in a table of fixed size (about 0.7 MiB a thread). It is keyed by the whole item and never by a
 * digest of it: what collides is computed afresh, never answered wrongly. What is not in the table
 * is hashed one by one ({@link addToBloom}) or, where there is much to do, many at a time
 * ({@link bloomFiller}); with the addon all of it is, and no table is asked.
 */
import { NativeBloomFiller } from "./bloomNative.ts"
import { keccak256 } from "./keccak.ts"
import { KeccakBatch, messageBytes } from "./keccakBatch.ts"
import { native } from "./native.ts"

/** Size of a filter in bytes. */
export const BLOOM_BYTES = 256

const ADDRESS_BYTES = 20
const TOPIC_BYTES = 32

const SLOT_BITS = 14
const SLOTS = 1 << SLOT_BITS
const KEY_WORDS = TOPIC_BYTES / 4
const keys = new Int32Array(SLOTS * KEY_WORDS)
/** Words of the item in each slot: 5 for an address, 8 for a topic; 0 for a slot that is free. */
const keyWords = new Uint8Array(SLOTS)
/** Three bit numbers a slot, each below 2048. */
const slotBits = new Uint16Array(SLOTS * 3)
/** The item that is looked up just now, as words. */
const key = new Int32Array(KEY_WORDS)
/** 0 for a slot whose bits are known; otherwise which item of the batch they wait for, from 1 on. */
const slotItems = new Uint16Array(SLOTS)

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
  if (length !== ADDRESS_BYTES && length !== TOPIC_BYTES) {
    writeBits(freshBits, 0, keccak256(bytes.subarray(from, to)), 0)
    return setBits(bloom, 0, freshBits, 0)
  }
  const words = length / 4
  for (let i = 0; i < words; i++) key[i] = wordAt(bytes, from + 4 * i)
  const slot = slotOf(words)
  if (!holds(slot, words) || slotItems[slot] !== 0) {
    keep(slot, words)
    writeBits(slotBits, 3 * slot, keccak256(bytes.subarray(from, to)), 0)
  }
  setBits(bloom, 0, slotBits, 3 * slot)
}

/** Adds every item of the filter `other` to `bloom`, in place; both have 256 bytes. */
export const orBloom = (bloom: Uint8Array, other: Uint8Array): void => {
  for (let i = 0; i < BLOOM_BYTES; i++) bloom[i]! |= other[i]!
}

/** Items to be hashed at a time, and places in filters that wait for them. */
const BATCH_ITEMS = 512
const BATCH_PLACES = 2048

/** Fills many filters that lie in one array, and the filter of all of them. */
export interface BloomFiller {
  /** The filter of all items since {@link BloomFiller.start}; complete when they are settled. */
  readonly total: Uint8Array
  /** Forgets what was under way; items are taken from `bytes` now, and the total is empty. */
  start(bytes: Uint8Array): void
  /**
   * Adds the address or topic of `length` bytes, 20 or 32, that lies at `from` to the filter at
   * `target[at]`. `target` is the same array until the filters are settled.
   */
  add(target: Uint8Array, at: number, from: number, length: number): void
  /** Adds what still waits; every filter in `target` is complete then. */
  settle(target: Uint8Array): void
}

/**
 * Without the addon. Items that the table knows are added at once, others when the batch is full and
 * when it is settled.
 */
export class BloomBatch implements BloomFiller {
  readonly total = new Uint8Array(BLOOM_BYTES)
  readonly #hasher = new KeccakBatch(BATCH_ITEMS)
  readonly #messages: Int32Array
  /** Over the bytes that items are taken from. */
  #source: DataView = new DataView(new ArrayBuffer(0))
  /** Slots of the items that wait to be hashed. */
  readonly #slots = new Int32Array(BATCH_ITEMS)
  readonly #bits = new Uint16Array(BATCH_ITEMS * 3)
  /** Where a filter begins that waits for an item, and for which. */
  readonly #places = new Int32Array(BATCH_PLACES)
  readonly #placeItems = new Int32Array(BATCH_PLACES)
  #items = 0
  #waits = 0

  constructor() {
    this.#hasher.reserve(this.#messageAt(BATCH_ITEMS))
    this.#messages = new Int32Array(this.#hasher.bytes.buffer)
  }

  start(bytes: Uint8Array): void {
    this.#source = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let item = 0; item < this.#items; item++) {
      const slot = this.#slots[item]!
      if (slotItems[slot] === 0) continue
      keyWords[slot] = 0
      slotItems[slot] = 0
    }
    this.#clear()
    this.total.fill(0)
  }

  add(target: Uint8Array, at: number, from: number, length: number): void {
    const words = length >> 2
    for (let i = 0; i < words; i++) key[i] = this.#source.getInt32(from + 4 * i, true)
    const slot = slotOf(words)
    if (!holds(slot, words)) {
      if (this.#items === BATCH_ITEMS) this.settle(target)
      return this.#wait(target, at, this.#hashLater(slot, words))
    }
    const item = slotItems[slot]!
    if (item !== 0) return this.#wait(target, at, item - 1)
    setBits(target, at, slotBits, 3 * slot)
    setBits(this.total, 0, slotBits, 3 * slot)
  }

  settle(target: Uint8Array): void {
    const { bytes, start } = this.#hasher
    this.#hasher.run()
    for (let item = 0; item < this.#items; item++) {
      writeBits(this.#bits, 3 * item, bytes, start + TOPIC_BYTES * item)
      setBits(this.total, 0, this.#bits, 3 * item)
      const slot = this.#slots[item]!
      // Of the items that took one slot, the last has it and is written last.
      writeBits(slotBits, 3 * slot, bytes, start + TOPIC_BYTES * item)
      slotItems[slot] = 0
    }
    for (let wait = 0; wait < this.#waits; wait++) {
      setBits(target, this.#places[wait]!, this.#bits, 3 * this.#placeItems[wait]!)
    }
    this.#clear()
  }

  #clear(): void {
    this.#hasher.clear()
    this.#items = 0
    this.#waits = 0
  }

  #messageAt(item: number): number {
    return this.#hasher.start + TOPIC_BYTES * BATCH_ITEMS + messageBytes(TOPIC_BYTES) * item
  }

  /** Queues the item in `key`, which gets the slot, and gives its number. */
  #hashLater(slot: number, words: number): number {
    const item = this.#items++
    const at = this.#messageAt(item)
    for (let i = 0; i < words; i++) this.#messages[(at >> 2) + i] = key[i]!
    this.#hasher.add(at, 4 * words, this.#hasher.start + TOPIC_BYTES * item)
    this.#slots[item] = slot
    keep(slot, words)
    slotItems[slot] = item + 1
    return item
  }

  #wait(target: Uint8Array, at: number, item: number): void {
    this.#places[this.#waits] = at
    this.#placeItems[this.#waits] = item
    this.#waits += 1
    if (this.#waits === BATCH_PLACES) this.settle(target)
  }
}

let filler: BloomFiller | undefined

/** The thread's filler: one, since its memory is reused and each list is done at once. */
export const bloomFiller = (): BloomFiller =>
  (filler ??=
    native === undefined || native.lanes === 1 ? new BloomBatch() : new NativeBloomFiller(native))

/** Bits of an item that is no address and no topic. */
const freshBits = new Uint16Array(3)

/** Writes the three bit numbers that the digest at `from` stands for. */
const writeBits = (bits: Uint16Array, at: number, digests: Uint8Array, from: number): void => {
  for (let i = 0; i < 3; i++) {
    bits[at + i] = ((digests[from + 2 * i]! << 8) | digests[from + 2 * i + 1]!) & 2047
  }
}

const setBits = (bloom: Uint8Array, at: number, bits: Uint16Array, from: number): void => {
  // Bit 0 is the lowest bit of the last byte.
  const last = at + BLOOM_BYTES - 1
  const [a, b, c] = [bits[from]!, bits[from + 1]!, bits[from + 2]!]
  bloom[last - (a >>> 3)]! |= 1 << (a & 7)
  bloom[last - (b >>> 3)]! |= 1 << (b & 7)
  bloom[last - (c >>> 3)]! |= 1 << (c & 7)
}

/** The slot of the item in `key`: by its last 8 bytes, where padded addresses differ. */
const slotOf = (words: number): number => {
  const mixed = Math.imul(key[words - 2]!, 0x9e3779b1) ^ Math.imul(key[words - 1]!, 0x85ebca6b)
  return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> (32 - SLOT_BITS)
}

/** Four bytes as a word, the lowest first, as processors and WebAssembly keep it. */
const wordAt = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** Whether the slot holds the item in `key`. */
const holds = (slot: number, words: number): boolean => {
  if (keyWords[slot] !== words) return false
  const at = slot * KEY_WORDS
  // From the end: padding and common prefixes sit at the front.
  for (let i = words - 1; i >= 0; i--) if (keys[at + i] !== key[i]) return false
  return true
}

/** Gives the slot to the item in `key`. */
const keep = (slot: number, words: number): void => {
  keyWords[slot] = words
  slotItems[slot] = 0
  const at = slot * KEY_WORDS
  for (let i = 0; i < words; i++) keys[at + i] = key[i]!
}
