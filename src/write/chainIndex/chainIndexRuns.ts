/**
 * Sorted runs of transactions: from the beginning of a transaction's hash to where it stands.
 *
 * In: hashes, each with its block's number and its index in it. Out: entries of {@link ENTRY_BYTES}
 * bytes, sorted by what they keep of the hash, cut into buckets by its highest bits:
 *
 *     hash[0, 5) | block number (4 bytes, big-endian) | index modulo 2^16 (2 bytes, big-endian)
 *
 * 40 bits of the hash are enough to be wrong once in 300 lookups among three thousand million
 * transactions; what is found is a candidate, to be held against the transaction itself.
 *
 * Runs are merged, so that few of them have to be looked through: {@link mergeRuns}.
 *
 * Invariants: a run holds what was put in, duplicates too; a merged run holds what its runs held.
 */

/** Bytes of an entry. */
export const ENTRY_BYTES = 11
const HASH_BYTES = 5
const BLOCK_AT = HASH_BYTES
const INDEX_AT = BLOCK_AT + 4
/** Entries that a bucket is meant to have at most: about 2 KiB. */
const BUCKET_ENTRIES = 192
const MOST_BITS = 24
/** The index is kept modulo this. */
const INDEX_SPAN = 65_536

/** Where a transaction may stand: at `index` or any multiple of 2^16 above it. */
export interface Candidate {
  readonly blockNumber: number
  readonly index: number
}

/** What a run keeps of a hash, as a number: its first 40 bits. */
export const prefixOf = (bytes: Uint8Array, at = 0): number =>
  (bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!)) *
    256 +
  bytes[at + 4]!

/** How many of the highest bits of a hash choose its bucket, in a run of so many entries. */
export const runBits = (entries: number): number =>
  Math.min(MOST_BITS, Math.max(0, Math.ceil(Math.log2(entries / BUCKET_ENTRIES))))

/** The bucket of a prefix. */
export const runBucket = (prefix: number, bits: number): number =>
  Math.floor(prefix / 2 ** (8 * HASH_BYTES - bits))

/** The entries of a bucket with a prefix. */
export const findInBucket = (bucket: Uint8Array, prefix: number): ReadonlyArray<Candidate> => {
  const count = Math.floor(bucket.length / ENTRY_BYTES)
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (prefixOf(bucket, middle * ENTRY_BYTES) < prefix) low = middle + 1
    else high = middle
  }
  const found: Array<Candidate> = []
  const view = new DataView(bucket.buffer, bucket.byteOffset, bucket.length)
  for (let at = low * ENTRY_BYTES; at + ENTRY_BYTES <= bucket.length; at += ENTRY_BYTES) {
    if (prefixOf(bucket, at) !== prefix) break
    found.push({
      blockNumber: view.getUint32(at + BLOCK_AT),
      index: view.getUint16(at + INDEX_AT),
    })
  }
  return found
}

/** The places in a block of `count` transactions that a candidate's index stands for. */
export const placesOf = (index: number, count: number): ReadonlyArray<number> => {
  const places: Array<number> = []
  for (let at = index; at < count; at += INDEX_SPAN) places.push(at)
  return places
}

/** Collects the transactions of a segment. */
export class RunBuilder {
  #bytes = new Uint8Array(1_024 * ENTRY_BYTES)
  #view = new DataView(this.#bytes.buffer)
  #count = 0

  get size(): number {
    return this.#count
  }

  /** A transaction whose hash is the 32 bytes at `at`. */
  add(bytes: Uint8Array, at: number, blockNumber: number, index: number): void {
    const end = this.#count * ENTRY_BYTES
    if (end === this.#bytes.length) {
      const larger = new Uint8Array(2 * end)
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    for (let i = 0; i < HASH_BYTES; i++) this.#bytes[end + i] = bytes[at + i]!
    this.#view.setUint32(end + BLOCK_AT, blockNumber)
    this.#view.setUint16(end + INDEX_AT, index % INDEX_SPAN)
    this.#count += 1
  }

  /** The buckets of what was added, 2^{@link runBits} of them. */
  build(): ReadonlyArray<Uint8Array> {
    const prefixes = new Float64Array(this.#count)
    const order = new Uint32Array(this.#count)
    for (let at = 0; at < this.#count; at++) {
      prefixes[at] = prefixOf(this.#bytes, at * ENTRY_BYTES)
      order[at] = at
    }
    order.sort((a, b) => prefixes[a]! - prefixes[b]!)
    const writer = new RunWriter(this.#count)
    const buckets: Array<Uint8Array> = []
    for (const place of order) {
      buckets.push(...writer.add(prefixes[place]!, this.#bytes, place * ENTRY_BYTES))
    }
    buckets.push(...writer.end())
    return buckets
  }
}

/** Cuts entries that come sorted into the buckets of a run. */
class RunWriter {
  readonly #bits: number
  #bytes = new Uint8Array(2 * BUCKET_ENTRIES * ENTRY_BYTES)
  #length = 0
  #bucket = 0

  constructor(entries: number) {
    this.#bits = runBits(entries)
  }

  /** Takes an entry and gives the buckets that are full with it: those before its own. */
  add(prefix: number, bytes: Uint8Array, at: number): ReadonlyArray<Uint8Array> {
    const full = this.#closeUpTo(runBucket(prefix, this.#bits))
    if (this.#length + ENTRY_BYTES > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    for (let i = 0; i < ENTRY_BYTES; i++) this.#bytes[this.#length + i] = bytes[at + i]!
    this.#length += ENTRY_BYTES
    return full
  }

  /** The buckets that are left. */
  end(): ReadonlyArray<Uint8Array> {
    return this.#closeUpTo(2 ** this.#bits)
  }

  #closeUpTo(bucket: number): ReadonlyArray<Uint8Array> {
    if (bucket === this.#bucket) return NONE
    const closed: Array<Uint8Array> = []
    for (; this.#bucket < bucket; this.#bucket++) {
      closed.push(this.#bytes.slice(0, this.#length))
      this.#length = 0
    }
    return closed
  }
}

const NONE: ReadonlyArray<Uint8Array> = []

/** A run that is read for merging: its buckets in their order, and how many entries they hold. */
export interface RunSource {
  readonly entries: number
  readonly buckets: Iterator<Uint8Array>
}

/**
 * Merges runs: gives the buckets of the run of all their entries, in their order. Holds one bucket
 * of each run, whatever their sizes.
 */
export function* mergeRuns(sources: ReadonlyArray<RunSource>): Generator<Uint8Array, void> {
  const writer = new RunWriter(sources.reduce((sum, { entries }) => sum + entries, 0))
  const cursors = sources.map(({ buckets }) => new RunCursor(buckets))
  for (;;) {
    let lowest: RunCursor | undefined
    for (const cursor of cursors) {
      if (cursor.prefix < (lowest?.prefix ?? Infinity)) lowest = cursor
    }
    if (lowest === undefined) break
    for (const bucket of writer.add(lowest.prefix, lowest.bytes, lowest.at)) yield bucket
    lowest.next()
  }
  yield* writer.end()
}

/** Stands on an entry of a run. */
class RunCursor {
  /** Infinity behind the last entry. */
  prefix = Infinity
  bytes = new Uint8Array(0)
  at = -ENTRY_BYTES
  readonly #buckets: Iterator<Uint8Array>

  constructor(buckets: Iterator<Uint8Array>) {
    this.#buckets = buckets
    this.next()
  }

  next(): void {
    this.at += ENTRY_BYTES
    while (this.at + ENTRY_BYTES > this.bytes.length) {
      const { done, value } = this.#buckets.next()
      if (done === true) {
        this.prefix = Infinity
        return
      }
      this.bytes = new Uint8Array(value)
      this.at = 0
    }
    this.prefix = prefixOf(this.bytes, this.at)
  }
}
