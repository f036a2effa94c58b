/**
 * Posting lists of a segment of the index: which logs have an address, or a topic at its place.
 *
 * In, while building: keys of what logs carry ({@link keyOf}), each with the ordinal of its log,
 * counted through the segment. Out: buckets, byte strings that {@link findPosting} finds the list of
 * one key in. A list is the rising ordinals as differences, varints of 7 bits, lowest first.
 *
 * Keys are digests of 32 bits, not the items: two items may share one, so that what a list names is
 * a candidate, to be held against the log itself. They are spread over the buckets by their highest
 * bits; a bucket keeps the next 24, sorted, then the lengths of the lists, then the lists:
 *
 *     count (4 bytes) | key (3 bytes) × count | length (varint) × count | list × count
 *
 * Invariants: every ordinal that was added under a key is in that key's list, whatever else is;
 * bytes that no builder made give undefined or a RangeError, never an endless loop.
 */

/** Kinds of items: an address, or the topic at place 0 to 3 as {@link ADDRESS_KIND} + 1 + place. */
export const ADDRESS_KIND = 0

/** The buckets of a segment. */
export interface Postings {
  /** There are 2^bits buckets. */
  readonly bits: number
  readonly buckets: ReadonlyArray<Uint8Array>
}

/** Bytes that a bucket is meant to have: a lookup reads a page of the database, 16 KiB, anyway. */
const BUCKET_BYTES = 2_048
/** Bytes that an entry comes to, about, with its share of the key. */
const ENTRY_BYTES = 3
const MOST_BITS = 15
const KEY_BYTES = 3
const KEY_BITS = 8 * KEY_BYTES
const COUNT_BYTES = 4

/** The key of the item `bytes[at, at + length)`, 20 or 32 bytes: 32 bits (MurmurHash3's mixing). */
export const keyOf = (kind: number, bytes: Uint8Array, at: number, length: number): number => {
  let hash = Math.imul(kind + 1, 0x9e3779b1)
  for (let from = at; from < at + length; from += 4) {
    let word =
      bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24)
    word = Math.imul(word, 0xcc9e2d51)
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593)
    hash ^= word
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The bucket of a key. */
export const bucketOf = (key: number, bits: number): number =>
  bits === 0 ? 0 : key >>> (32 - bits)

/** What a bucket keeps of a key: the bits behind those that chose the bucket. */
const keptOf = (key: number, bits: number): number => (key << bits) >>> (32 - KEY_BITS)

/** Collects the logs of a segment. */
export class PostingsBuilder {
  #keys = new Uint32Array(4_096)
  #ordinals = new Uint32Array(4_096)
  #size = 0

  /** How many entries there are: about four a log, 8 bytes each, twice that while building. */
  get size(): number {
    return this.#size
  }

  /** The log `ordinal` carries the item of `key`; ordinals never fall. */
  add(key: number, ordinal: number): void {
    if (this.#size === this.#keys.length) {
      this.#keys = grown(this.#keys)
      this.#ordinals = grown(this.#ordinals)
    }
    this.#keys[this.#size] = key
    this.#ordinals[this.#size] = ordinal
    this.#size += 1
  }

  /** The buckets of what was added; the builder is spent. */
  build(): Postings {
    const size = this.#size
    const bits = bitsFor(size)
    const keys = this.#keys.subarray(0, size)
    // Bits that a bucket does not keep would only tear the list of one kept key apart.
    const lost = Math.max(0, 32 - bits - KEY_BITS)
    if (lost > 0) for (let at = 0; at < size; at++) keys[at] = (keys[at]! >>> lost) << lost
    const sorted = sortByKey(keys, this.#ordinals.subarray(0, size))
    const writer = new BucketWriter()
    const buckets: Array<Uint8Array> = []
    for (let bucket = 0, at = 0; bucket < 2 ** bits; bucket++) {
      while (at < size && bucketOf(sorted.keys[at]!, bits) === bucket) {
        at = writer.list(sorted, at, keptOf(sorted.keys[at]!, bits))
      }
      buckets.push(writer.take())
    }
    return { bits, buckets }
  }
}

const bitsFor = (entries: number): number =>
  Math.min(MOST_BITS, Math.max(0, Math.ceil(Math.log2((entries * ENTRY_BYTES) / BUCKET_BYTES))))

const grown = (array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
  const larger = new Uint32Array(2 * array.length)
  larger.set(array)
  return larger
}

interface Entries {
  readonly keys: Uint32Array
  readonly ordinals: Uint32Array
}

const DIGIT_BITS = 11
const DIGITS = 1 << DIGIT_BITS

/** By key, keeping the order of those that share one: a radix sort, which is linear. */
const sortByKey = (keys: Uint32Array, ordinals: Uint32Array): Entries => {
  const size = keys.length
  let from: Entries = { keys, ordinals }
  let to: Entries = { keys: new Uint32Array(size), ordinals: new Uint32Array(size) }
  const places = new Uint32Array(DIGITS)
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    places.fill(0)
    for (let at = 0; at < size; at++) places[(from.keys[at]! >>> shift) & (DIGITS - 1)]! += 1
    for (let digit = 0, sum = 0; digit < DIGITS; digit++) {
      const count = places[digit]!
      places[digit] = sum
      sum += count
    }
    for (let at = 0; at < size; at++) {
      const key = from.keys[at]!
      const place = places[(key >>> shift) & (DIGITS - 1)]!++
      to.keys[place] = key
      to.ordinals[place] = from.ordinals[at]!
    }
    ;[from, to] = [to, from]
  }
  return from
}

/** Writes one bucket after the other. */
class BucketWriter {
  readonly #keys = new Bytes()
  readonly #lengths = new Bytes()
  readonly #lists = new Bytes()
  #count = 0

  /** Writes the list of the entries from `at` on that share its key, and gives where they end. */
  list({ keys, ordinals }: Entries, at: number, kept: number): number {
    const key = keys[at]!
    const start = this.#lists.length
    let end = at
    for (let last = 0; end < keys.length && keys[end] === key; end++) {
      const ordinal = ordinals[end]!
      // Two items of one log may share a key.
      if (end > at && ordinal === last) continue
      this.#lists.varint(ordinal - last)
      last = ordinal
    }
    this.#keys.byte(kept >>> 16)
    this.#keys.byte(kept >>> 8)
    this.#keys.byte(kept)
    this.#lengths.varint(this.#lists.length - start)
    this.#count += 1
    return end
  }

  take(): Uint8Array {
    const parts = [this.#keys, this.#lengths, this.#lists]
    const bucket = new Uint8Array(parts.reduce((sum, part) => sum + part.length, COUNT_BYTES))
    new DataView(bucket.buffer).setUint32(0, this.#count, true)
    let at = COUNT_BYTES
    for (const part of parts) at = part.moveTo(bucket, at)
    this.#count = 0
    return bucket
  }
}

/** Bytes that are appended to. */
class Bytes {
  length = 0
  #bytes = new Uint8Array(4_096)

  byte(value: number): void {
    if (this.length === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes[this.length++] = value
  }

  varint(value: number): void {
    let rest = value
    for (; rest >= 0x80; rest >>>= 7) this.byte((rest & 0x7f) | 0x80)
    this.byte(rest)
  }

  /** Empties itself into `target` and gives the offset behind. */
  moveTo(target: Uint8Array, at: number): number {
    target.set(this.#bytes.subarray(0, this.length), at)
    const end = at + this.length
    this.length = 0
    return end
  }
}

/** Numbers below 2^32 as varints, one after the other. */
export const encodeVarints = (values: Iterable<number>): Uint8Array => {
  const bytes = new Bytes()
  for (const value of values) bytes.varint(value)
  const joined = new Uint8Array(bytes.length)
  bytes.moveTo(joined, 0)
  return joined
}

/** The numbers that {@link encodeVarints} wrote. Throws a RangeError for bytes that end within one. */
export const decodeVarints = (bytes: Uint8Array): Uint32Array => {
  const values = new Uint32Array(bytes.length)
  let count = 0
  for (let at = 0; at < bytes.length;) {
    let value = 0
    let byte = 0x80
    for (let shift = 0; byte >= 0x80; shift += 7) {
      if (at >= bytes.length || shift > 28) throw new RangeError("a varint without an end")
      byte = bytes[at++]!
      value |= (byte & 0x7f) << shift
    }
    values[count++] = value
  }
  return values.subarray(0, count)
}

/** The list of a key in its bucket; undefined where no log has it. */
export const findPosting = (
  bucket: Uint8Array,
  key: number,
  bits: number,
): Uint8Array | undefined => {
  if (bucket.length < COUNT_BYTES) throw new RangeError("a bucket without a count")
  const view = new DataView(bucket.buffer, bucket.byteOffset, bucket.length)
  const count = view.getUint32(0, true)
  const lengthsAt = COUNT_BYTES + KEY_BYTES * count
  if (lengthsAt > bucket.length) throw new RangeError("a bucket with fewer keys than it says")
  const place = placeOfKey(bucket, count, keptOf(key, bits))
  if (place === undefined) return undefined
  let at = lengthsAt
  let before = 0
  let length = 0
  for (let index = 0; index < count; index++) {
    let value = 0
    for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
      if (at >= bucket.length || shift > 28) throw new RangeError("a bucket with broken lengths")
      byte = bucket[at++]!
      value |= (byte & 0x7f) << shift
    }
    if (index < place) before += value
    else if (index === place) length = value
  }
  if (at + before + length > bucket.length) throw new RangeError("a list reaches past its bucket")
  return bucket.subarray(at + before, at + before + length)
}

const placeOfKey = (bucket: Uint8Array, count: number, kept: number): number | undefined => {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = COUNT_BYTES + KEY_BYTES * middle
    const found = (bucket[at]! << 16) | (bucket[at + 1]! << 8) | bucket[at + 2]!
    if (found === kept) return middle
    if (found < kept) low = middle + 1
    else high = middle
  }
  return undefined
}

/** The ordinals of a list that lie in `[from, to)`, rising. */
export const ordinalsIn = (posting: Uint8Array, from: number, to: number): Uint32Array => {
  const ordinals = decodeVarints(posting)
  let count = 0
  for (let at = 0, ordinal = 0; at < ordinals.length; at++) {
    ordinal += ordinals[at]!
    if (ordinal >= to) break
    if (ordinal >= from) ordinals[count++] = ordinal
  }
  return ordinals.subarray(0, count)
}
